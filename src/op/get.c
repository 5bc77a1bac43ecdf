/* get: a dataset version as files of the user's. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "data/tree_place.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/resolve.h"

static enum sl_place_how how_of(const struct sl_call *call) { return sl_call_flag(call, "link") ? SL_PLACE_LINK : SL_PLACE_COPY; }

static int get_tree(struct sl_call *call, struct sl_store *store, const struct sl_hash *hash, const char *dir, struct sl_error *err)
{
	char seen[SL_PATH_MAX];
	const struct sl_tree_checkout checkout = {.dir = dir, .how = how_of(call), .force = sl_call_flag(call, "force"), .seen_dir = seen};
	struct sl_tree_checked_out done;
	int rc = sl_path_join(seen, store->dir, "seen", err);
	rc = rc ? rc : sl_tree_checkout(store->objects, hash, &checkout, &done, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_int(call, result, "added", (int64_t)done.added);
	sl_put_int(call, result, "changed", (int64_t)done.changed);
	sl_put_int(call, result, "removed", (int64_t)done.removed);
	sl_put_int(call, result, "kept", (int64_t)done.kept);
	return 0;
}

/* NAME.parquet, or NAME-000000.parquet and so on, in a folder that does not have them. */
static int get_table(struct sl_call *call, struct sl_store *store, const char *name, const struct sl_hash *hash, const char *dir,
		     struct sl_error *err)
{
	struct sl_manifest manifest;
	char path[SL_PATH_MAX], file[SL_NAME_MAX + 32];
	int rc = sl_manifest_read(store->objects, hash, call->arena, &manifest, err);
	rc = rc ? rc : sl_dir_make(dir, err);
	for (size_t i = 0; !rc && i < manifest.file_count; i++) {
		snprintf(file, sizeof file, manifest.file_count > 1 ? "%s-%06zu.parquet" : "%s.parquet", name, i);
		rc = sl_path_join(path, dir, file, err);
		if (!rc && sl_call_flag(call, "force"))
			rc = sl_dir_remove(path, err);
		rc = rc ? rc : sl_objects_place(store->objects, &manifest.files[i].object, path, 0666, how_of(call), err);
		if (rc == SL_E_CONFLICT)
			sl_error_hint(err, "choose another folder, or overwrite it with --force");
	}
	if (!rc)
		sl_put_int(call, sl_call_object(call), "added", (int64_t)manifest.file_count);
	return rc;
}

int sl_op_get(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_dataset_head head;
	char dir[SL_PATH_MAX], hex[SL_HASH_HEX + 1];
	int rc = sl_call_store(call, &store, err);
	rc = rc ? rc : sl_resolve(call, store, sl_call_text(call, "ref"), &ref, err);
	if (!rc && ref.kind != SL_REF_DATASET && ref.kind != SL_REF_SOURCE && ref.kind != SL_REF_STEP)
		rc = sl_fail(err, SL_E_INVALID, "a %s is no dataset", sl_ref_kind_name(ref.kind));
	rc = rc ? rc : sl_dataset_find(&store->track, ref.name, ref.version, &head, err);
	rc = rc ? rc : sl_call_path(call, sl_call_given(call, "dir") ? sl_call_text(call, "dir") : ref.name, dir, err);
	if (rc)
		return rc;
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		dir[--len] = 0;
	sl_put_text(call, sl_call_object(call), "version", sl_hash_hex(&head.hash, hex));
	sl_put_text(call, sl_call_object(call), "dir", dir);
	bool tree;
	rc = sl_tree_is(store->objects, &head.hash, &tree, err);
	if (rc)
		return rc;
	return tree ? get_tree(call, store, &head.hash, dir, err) : get_table(call, store, ref.name, &head.hash, dir, err);
}

/* profile: what a dataset version's rows look like. */
#include <string.h>

#include "data/profile.h"
#include "op/handlers.h"
#include "op/profile.h"
#include "op/resolve.h"

/* For the next who asks. Only a copy of what can be computed again, so a store that takes no writes is no error. */
static void keep(struct sl_meta *meta, const struct sl_hash *version, const char *text)
{
	if (!sl_meta_begin(meta, NULL))
		sl_meta_end(meta, sl_profile_keep(meta, version, text, NULL), NULL);
}

/* Of a version that was made without checks, or came without a run. */
static int compute(struct sl_call *call, struct sl_store *store, const struct sl_hash *version, const char **ret, struct sl_error *err)
{
	struct sl_staged table;
	struct sl_profile profile;
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_PROFILE_BYTES_MAX);
	int rc = sl_staged_version(store->objects, version, call->arena, &table, err);
	const char **paths = rc ? NULL : sl_arena_array(call->arena, table.file_count + 1, sizeof *paths);
	if (!paths)
		return rc ? rc : sl_fail_memory(err);
	for (size_t i = 0; i < table.file_count; i++)
		paths[i] = table.files[i].path;
	struct sl_sql_options options = {.raw_paths = paths, .raw_path_count = table.file_count, .cancel = call->cancel};
	rc = sl_sql_open(&options, &sql, err);
	rc = rc ? rc : sl_profile_execute(sql, &table, call->arena, &profile, err);
	rc = rc ? rc : sl_profile_write(&profile, &text, err);
	*ret = rc ? NULL : sl_arena_strndup(call->arena, sl_buf_cstr(&text), text.len);
	if (!rc && *ret)
		keep(store->meta, version, *ret);
	return rc || *ret ? rc : sl_fail_memory(err);
}

int sl_profile_text(struct sl_call *call, struct sl_store *store, const struct sl_hash *version, const char **ret, struct sl_error *err)
{
	int rc = sl_profile_find(store->meta, version, call->arena, ret, err);
	if (rc == 0)
		return compute(call, store, version, ret, err);
	return rc < 0 ? rc : 0;
}

int sl_op_profile(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	const char *text;
	int rc = sl_call_store(call, &store, err);
	rc = rc ? rc : sl_ref_parse(sl_call_text(call, "dataset"), &ref, err);
	if (!rc && ref.kind != SL_REF_ANY && ref.kind != SL_REF_DATASET)
		rc = sl_fail(err, SL_E_INVALID, "'%s' is no dataset", sl_call_text(call, "dataset"));
	rc = rc ? rc : sl_dataset_find(&store->track, ref.name, ref.version, &head, err);
	rc = rc ? rc : sl_profile_text(call, store, &head.hash, &text, err);
	if (rc < 0)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "profile", err);
	yyjson_val *key, *root = yyjson_doc_get_root(doc);
	if (!doc)
		return SL_E_CORRUPT;
	sl_put_text(call, sl_call_object(call), "name", ref.name);
	sl_put_text(call, sl_call_object(call), "version", sl_hash_hex(&head.hash, hex));
	yyjson_obj_iter members = yyjson_obj_iter_with(root);
	while ((key = yyjson_obj_iter_next(&members)))
		yyjson_mut_obj_add(sl_call_object(call), yyjson_val_mut_copy(call->doc, key),
			yyjson_val_mut_copy(call->doc, yyjson_obj_iter_get_val(key)));
	return 0;
}

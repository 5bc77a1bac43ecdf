#include "flow/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/file_hash.h"
#include "data/tree_place.h"

/* ---- keep ----------------------------------------------------------------------------------------------------------- */

int flow_tree_take(struct sl_store *store, const char *path, struct sl_tree_taken *ret, struct sl_error *err)
{
	const struct sl_tree_take take = {.dir = path, .hidden = true, .links = SL_LINKS_REFUSE, .how = SL_PUT_MOVE, .write = true};
	if (!sl_dir_exists(path))
		return sl_fail_at(err, SL_E_FAILED, path, "an output whose path ends in '/' is a folder");
	return sl_tree_take(store->objects, &take, ret, err);
}

int flow_tree_keep(struct sl_store *store, const char *path, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_file_info info;
	struct sl_tree_taken taken;
	uint64_t size;
	int rc = sl_file_info(path, &info, err);
	if (rc)
		return rc;
	if (info.is_regular)
		return sl_objects_put_file(store->objects, path, SL_PUT_MOVE, ret, &size, err);
	if (!info.is_dir)
		return sl_fail_at(err, SL_E_FAILED, path, "an output is a file or a folder");
	rc = flow_tree_take(store, path, &taken, err);
	*ret = taken.hash;
	return rc;
}

/* ---- copy ----------------------------------------------------------------------------------------------------------- */

static int copy_file(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err)
{
	char object[SL_PATH_MAX];
	if (!link)
		return sl_objects_place(store->objects, hash, to, 0644, SL_PLACE_COPY, err);
	int rc = sl_objects_path(store->objects, hash, object, err);
	return rc ? rc : symlink(object, to) == 0 ? 0 : sl_fail_errno(err, errno, to, "cannot link");
}

int flow_tree_copy(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err)
{
	bool tree;
	int rc = sl_tree_is(store->objects, hash, &tree, err);
	if (rc || !tree)
		return rc ? rc : copy_file(store, hash, to, link, err);
	return sl_tree_place(store->objects, hash, to, link ? SL_PLACE_LINK : SL_PLACE_COPY, err);
}

/* ---- place ---------------------------------------------------------------------------------------------------------- */

static bool file_is(struct sl_store *store, const char *path, const struct sl_hash *hash)
{
	struct sl_hash now;
	struct sl_file_info info;
	uint64_t size;
	return sl_file_info(path, &info, NULL) == 0 && info.is_regular && sl_file_hash(store->meta, path, &now, &size, NULL) == 0 &&
	       sl_hash_eq(&now, hash);
}

bool flow_tree_in_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash)
{
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	struct sl_tree_file file;
	char full[SL_PATH_MAX], below[SL_PATH_MAX];
	if (sl_path_join(full, dir, path, NULL))
		return false;
	if (!sl_dir_exists(full))
		return file_is(store, full, hash);
	bool tree;
	if (sl_tree_is(store->objects, hash, &tree, NULL) || !tree || sl_tree_reader_new(store->objects, hash, &reader, NULL))
		return false;
	int rc;
	while ((rc = sl_tree_reader_next(reader, &file, NULL)) == 1)
		if (sl_path_join(below, full, file.path, NULL) || !file_is(store, below, &file.hash))
			return false;
	return rc == 0;
}

int flow_tree_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash, struct sl_error *err)
{
	char full[SL_PATH_MAX], parent[SL_PATH_MAX], aside[SL_PATH_MAX], fresh[SL_PATH_MAX], old[SL_PATH_MAX];
	int rc = sl_path_join(full, dir, path, err);
	if (rc)
		return rc;
	memcpy(parent, full, sizeof parent);
	*strrchr(parent, '/') = 0;
	rc = sl_dir_make(parent, err);
	/* Beside its place, so that it can be renamed: the project may be another file system than the store. */
	rc = rc ? rc : sl_dir_make_temporary(parent, ".sluice-", aside, err);
	if (rc)
		return rc;
	rc = sl_path_join(fresh, aside, "new", err);
	rc = rc ? rc : sl_path_join(old, aside, "old", err);
	rc = rc ? rc : flow_tree_copy(store, hash, fresh, false, err);
	if (!rc && (sl_dir_exists(full) || (sl_dir_exists(fresh) && sl_file_exists(full))))
		rc = sl_file_rename(full, old, err);
	rc = rc ? rc : sl_file_rename(fresh, full, err);
	sl_dir_remove(aside, NULL);
	return rc;
}

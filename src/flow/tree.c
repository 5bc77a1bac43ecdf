#include "flow/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "data/file_hash.h"
#include "data/ingest.h"

#define FORMAT "sluice.tree/1"
enum { MANIFEST_BYTES_MAX = 256 << 20 };

/* ---- keep -------------------------------------------------------------------------------------------------------------------------- */

struct keeper { struct sl_store *store; struct sl_buf *out; const char *dir, *prefix; int depth; size_t *count; };

static int keep_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct keeper *k = context;
	char path[SL_PATH_MAX], relative[SL_PATH_MAX], hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	uint64_t size;
	int n = snprintf(relative, sizeof relative, "%s%s%s", k->prefix, *k->prefix ? "/" : "", name);
	int rc = sl_path_join(path, k->dir, name, err);
	if (rc)
		return rc;
	if (n >= (int)sizeof relative || k->depth == SL_TREE_DEPTH_MAX || ++*k->count > SL_TREE_FILES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "an output folder is too deep, or has more than a million files");
	if (info->is_dir) {
		struct keeper below = {k->store, k->out, path, relative, k->depth + 1, k->count};
		return sl_dir_each(path, keep_entry, &below, err);
	}
	if (!info->is_regular)
		return sl_fail_at(err, SL_E_FAILED, path, "an output may hold files and folders only");
	rc = sl_objects_put_file(k->store->objects, path, SL_PUT_MOVE, &hash, &size, err);
	if (rc)
		return rc;
	sl_buf_str(k->out, k->out->data[k->out->len - 1] == '[' ? "{\"object\":\"" : ",{\"object\":\"");
	sl_buf_printf(k->out, "%s\",\"path\":", sl_hash_hex(&hash, hex));
	sl_json_string(k->out, relative, strlen(relative));
	sl_buf_printf(k->out, ",\"size\":%llu}", (unsigned long long)size);
	return sl_buf_check(k->out, "the list of an output folder's files", err);
}

int flow_tree_keep(struct sl_store *store, const char *path, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_file_info info;
	uint64_t size;
	int rc = sl_file_info(path, &info, err);
	if (rc)
		return rc;
	if (info.is_regular)
		return sl_objects_put_file(store->objects, path, SL_PUT_MOVE, ret, &size, err);
	if (!info.is_dir)
		return sl_fail_at(err, SL_E_FAILED, path, "an output is a file or a folder");
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(MANIFEST_BYTES_MAX);
	size_t count = 0;
	struct keeper k = {store, &out, path, "", 0, &count};
	sl_buf_str(&out, "{\"files\":[");
	rc = sl_dir_each(path, keep_entry, &k, err);
	sl_buf_str(&out, "],\"format\":\"" FORMAT "\"}");
	rc = rc ? rc : sl_buf_check(&out, "the list of an output folder's files", err);
	return rc ? rc : sl_objects_put(store->objects, out.data, out.len, ret, err);
}

/* ---- read -------------------------------------------------------------------------------------------------------------------------- */

/* The manifest when `hash` is a folder's, NULL in *ret when it is a file's. */
static int read_manifest(struct sl_store *store, const struct sl_hash *hash, yyjson_doc **ret, struct sl_error *err)
{
	static const char BEGIN[] = "{\"files\":[", END[] = "],\"format\":\"" FORMAT "\"}";
	char path[SL_PATH_MAX], head[sizeof BEGIN] = "", tail[sizeof END] = "";
	struct sl_file_info info;
	*ret = NULL;
	int rc = sl_objects_path(store->objects, hash, path, err);
	rc = rc ? rc : sl_file_info(path, &info, err);
	if (rc || info.size_bytes < sizeof head + sizeof tail - 2 || info.size_bytes > MANIFEST_BYTES_MAX)
		return rc;
	SL_AUTO_CLOSE int fd = -1;
	rc = sl_file_open(path, 0, 0, &fd, err);
	rc = rc ? rc : sl_file_read_at(fd, head, sizeof head - 1, 0, path, err);
	rc = rc ? rc : sl_file_read_at(fd, tail, sizeof tail - 1, info.size_bytes - (sizeof tail - 1), path, err);
	if (rc || strcmp(head, BEGIN) != 0 || strcmp(tail, END) != 0)
		return rc;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(MANIFEST_BYTES_MAX);
	rc = sl_objects_get(store->objects, hash, &text, err);
	if (rc)
		return rc;
	*ret = sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	return *ret ? 0 : SL_E_CORRUPT;
}

static int copy_file(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err)
{
	char object[SL_PATH_MAX];
	int rc = sl_objects_path(store->objects, hash, object, err);
	if (rc)
		return rc;
	if (link)
		return symlink(object, to) == 0 ? 0 : sl_fail_errno(err, errno, to, "cannot link");
	return sl_file_copy(object, to, 0644, err);
}

static int copy_entry(struct sl_store *store, yyjson_val *entry, const char *to, bool link, struct sl_error *err)
{
	const char *name = sl_json_str(entry, "path", "");
	struct sl_hash hash;
	char path[SL_PATH_MAX];
	if (!sl_relative_path_valid(name) || !sl_hash_parse(sl_json_str(entry, "object", ""), &hash))
		return sl_fail_at(err, SL_E_CORRUPT, to, "the manifest of a folder is not what was written");
	int rc = sl_path_join(path, to, name, err);
	if (rc)
		return rc;
	char *slash = strrchr(path, '/');
	*slash = 0;
	rc = sl_dir_make(path, err);
	*slash = '/';
	return rc ? rc : copy_file(store, &hash, path, link, err);
}

int flow_tree_copy(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	int rc = read_manifest(store, hash, &doc, err);
	if (rc || !doc)
		return rc ? rc : copy_file(store, hash, to, link, err);
	yyjson_val *files = yyjson_obj_get(yyjson_doc_get_root(doc), "files"), *entry;
	size_t i, max;
	rc = sl_dir_make(to, err);
	yyjson_arr_foreach(files, i, max, entry)
		if (!rc)
			rc = copy_entry(store, entry, to, link, err);
	return rc;
}

/* ---- place ------------------------------------------------------------------------------------------------------------------------- */

static bool file_is(struct sl_store *store, const char *path, const struct sl_hash *hash)
{
	struct sl_hash now;
	struct sl_file_info info;
	uint64_t size;
	return sl_file_info(path, &info, NULL) == 0 && info.is_regular && sl_file_hash(store->meta, path, &now, &size, NULL) == 0 && sl_hash_eq(&now, hash);
}

bool flow_tree_in_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash)
{
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	char full[SL_PATH_MAX], below[SL_PATH_MAX];
	if (sl_path_join(full, dir, path, NULL))
		return false;
	if (!sl_dir_exists(full))
		return file_is(store, full, hash);
	if (read_manifest(store, hash, &doc, NULL) || !doc)
		return false;
	yyjson_val *files = yyjson_obj_get(yyjson_doc_get_root(doc), "files"), *entry;
	size_t i, max;
	bool ok = true;
	yyjson_arr_foreach(files, i, max, entry) {
		struct sl_hash want;
		ok = ok && sl_hash_parse(sl_json_str(entry, "object", ""), &want) && sl_path_join(below, full, sl_json_str(entry, "path", "-"), NULL) == 0 &&
		     file_is(store, below, &want);
	}
	return ok;
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

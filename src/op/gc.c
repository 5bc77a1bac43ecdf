/* gc: what nothing refers to.
 *
 * Roots are every hash in the store's tables; a kept object that is a JSON document (manifests, packages) keeps every hash that
 * stands in it. So the collector knows no format: what looks like a reference is one. It may keep too much, never too little. It
 * holds the lock of `sluice run`, so that no object is between being written and being named.
 */
#include <ctype.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"

enum { DOCUMENT_BYTES_MAX = 64 << 20, SHOWN_MAX = 100 };

struct collector {
	struct sl_call *call;
	struct sl_store *store;
	struct sl_map *kept;          /* hex of what is referred to */
	yyjson_mut_val *items;
	int64_t objects, objects_kept, removed;
	uint64_t bytes, removed_bytes;
	bool remove;
};

/* Every run of exactly 64 lower-case hex digits. */
static int keep_hashes(struct collector *c, const char *text, size_t len, struct sl_error *err)
{
	for (size_t i = 0; i < len;) {
		size_t run = 0;
		while (i + run < len && (isdigit((unsigned char)text[i + run]) || (text[i + run] >= 'a' && text[i + run] <= 'f')))
			run++;
		if (run == SL_HASH_HEX) {
			char hex[SL_HASH_HEX + 1];
			memcpy(hex, text + i, SL_HASH_HEX);
			hex[SL_HASH_HEX] = 0;
			int rc = sl_map_has(c->kept, hex) ? 0 : sl_map_set(c->kept, hex, c, NULL, err);
			if (rc)
				return rc;
		}
		i += run + 1;
	}
	return 0;
}

static int keep_roots(struct collector *c, struct sl_error *err)
{
	static const char *const sources[] = {
		"SELECT hash FROM dataset_version",
		"SELECT hash FROM model_version",
		"SELECT hash FROM run_input",
		"SELECT hash FROM run_output",
		"SELECT hash FROM run_artifact",
		"SELECT outputs FROM step_result",
		"SELECT hash FROM check_result",
		"SELECT record FROM run WHERE record IS NOT NULL",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(sources); i++) {
		struct sl_stmt *stmt SL_AUTO_STMT = NULL;
		int rc = sl_meta_query(c->store->meta, &stmt, err, sources[i], "");
		while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
			rc = keep_hashes(c, sl_stmt_text(stmt, 0), strlen(sl_stmt_text(stmt, 0)), err);
		if (rc)
			return rc;
	}
	return 0;
}

/* What the kept documents refer to, and what those refer to: the map grows while it is walked. */
static int keep_referred(struct collector *c, struct sl_error *err)
{
	for (size_t i = 0; i < sl_map_count(c->kept); i++) {
		struct sl_hash hash;
		struct sl_file_info info;
		char path[SL_PATH_MAX];
		struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(DOCUMENT_BYTES_MAX);
		if (!sl_hash_parse(sl_map_key(c->kept, i), &hash) || !sl_objects_has(c->store->objects, &hash))
			continue;
		int rc = sl_objects_path(c->store->objects, &hash, path, err);
		if (!rc)
			rc = sl_file_info(path, &info, err);
		if (rc)
			return rc;
		char first = 0;
		int fd SL_AUTO_CLOSE = -1;
		if (!info.size_bytes || info.size_bytes > DOCUMENT_BYTES_MAX || sl_file_open(path, 0, 0, &fd, NULL) ||
		    sl_file_read_at(fd, &first, 1, 0, path, NULL) || first != '{')
			continue;
		rc = sl_objects_get(c->store->objects, &hash, &text, err);
		if (!rc)
			rc = keep_hashes(c, text.data, text.len, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int visit(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	struct collector *c = context;
	char hex[SL_HASH_HEX + 1];
	c->objects++;
	c->bytes += size_bytes;
	if (sl_map_has(c->kept, sl_hash_hex(hash, hex))) {
		c->objects_kept++;
		return 0;
	}
	int rc = c->remove ? sl_objects_remove(c->store->objects, hash, err) : 0;
	if (rc)
		return rc;
	c->removed++;
	c->removed_bytes += size_bytes;
	if (c->removed > SHOWN_MAX)
		return 0;
	yyjson_mut_val *item = sl_add_object(c->call, c->items);
	sl_put_text(c->call, item, "object", hex);
	sl_put_int(c->call, item, "size_bytes", (int64_t)size_bytes);
	return 0;
}

static int record(struct collector *c, struct sl_error *err)
{
	yyjson_mut_val *detail = yyjson_mut_obj(c->call->doc);
	yyjson_mut_obj_add_int(c->call->doc, detail, "objects", c->removed);
	yyjson_mut_obj_add_int(c->call->doc, detail, "size_bytes", (int64_t)c->removed_bytes);
	int rc = sl_meta_begin(c->store->meta, err);
	if (rc)
		return rc;
	rc = sl_ledger_append(c->store->ledger, "store.gc", "store:", detail, NULL, err);
	if (!rc)
		return sl_meta_commit(c->store->meta, err);
	sl_meta_rollback(c->store->meta);
	return rc;
}

static int collect(struct collector *c, struct sl_error *err)
{
	int rc = keep_roots(c, err);
	if (!rc)
		rc = keep_referred(c, err);
	/* The entry first: a crash between leaves an entry about too much, never a removal that nobody knows of. */
	bool remove = c->remove;
	c->remove = false;
	if (!rc)
		rc = sl_objects_each(c->store->objects, visit, c, err);
	if (!rc && remove && c->removed)
		rc = record(c, err);
	if (rc || !remove)
		return rc;
	c->remove = true;
	c->objects = c->objects_kept = c->removed = 0;
	c->bytes = c->removed_bytes = 0;
	c->items = yyjson_mut_arr(c->call->doc);
	rc = sl_objects_each(c->store->objects, visit, c, err);
	return rc ? rc : sl_objects_tidy(c->store->objects, err);
}

int sl_op_gc(struct sl_call *call, struct sl_error *err)
{
	char lock[SL_PATH_MAX];
	int lock_fd SL_AUTO_CLOSE = -1;
	struct collector c = {.call = call, .remove = sl_call_flag(call, "yes"), .items = yyjson_mut_arr(call->doc)};
	int rc = sl_call_store(call, &c.store, err);
	if (!rc)
		rc = sl_path_join(lock, c.store->dir, "run.lock", err);
	if (!rc)
		rc = sl_file_lock(lock, "sluice gc", false, &lock_fd, err);
	struct sl_map *kept SL_CLEANUP(sl_map_freep) = rc ? NULL : sl_map_new(err);
	c.kept = kept;
	if (!rc)
		rc = kept ? collect(&c, err) : SL_E_NO_MEMORY;
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_bool(call, result, "removed", c.remove);
	sl_put_int(call, result, "unreferenced", c.removed);
	sl_put_int(call, result, "size_bytes", (int64_t)c.removed_bytes);
	sl_put_int(call, result, "kept", c.objects_kept);
	yyjson_mut_obj_add_val(call->doc, result, "objects", c.items);
	if (!c.remove && c.removed)
		sl_put_text(call, result, "next", "sluice gc --yes removes them");
	return 0;
}

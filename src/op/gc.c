/* gc: what nothing refers to.
 *
 * Roots are every hash in the store's tables; a kept object that is a document (manifests, packages, trees) keeps every hash that
 * stands in it. So the collector knows no format: what looks like a reference is one. It may keep too much, never too little. It
 * holds the lock of `sluice run`, so that no object is between being written and being named.
 */
#include <ctype.h>
#include <string.h>

#include "base/hash_set.h"
#include "base/str.h"
#include "data/refs.h"
#include "data/seen.h"
#include "data/tree.h"
#include "op/context.h"
#include "op/handlers.h"
#include "os/clock.h"

enum { DOCUMENT_BYTES_MAX = 64 << 20, SHOWN_MAX = 100 };
/* Of a kept hash: nothing is known of it; it is a file of a tree, which is no document, whatever its first byte is. */
enum { MARK_ANY = 1, MARK_FILE };

struct collector {
	struct sl_call *call;
	struct sl_store *store;
	struct sl_hash_set kept;      /* what is referred to */
	struct sl_hash_set gone;      /* versions that nothing but old runs refers to */
	struct sl_expiring *expiring; /* versions that are let go now */
	size_t expiring_count, expiring_room;
	yyjson_mut_val *versions;     /* of them, for the result */
	struct sl_hash *queue;        /* of it, what is to be looked into */
	size_t queued, queue_room;
	yyjson_mut_val *items;
	int64_t objects, objects_kept, removed;
	uint64_t bytes, removed_bytes;
	bool remove;
};

static int keep_hash(struct collector *c, const struct sl_hash *hash, unsigned char mark, struct sl_error *err)
{
	unsigned char before = sl_hash_set_get(&c->kept, hash);
	if (before == MARK_ANY || before == mark || sl_hash_set_get(&c->gone, hash))
		return 0;
	int rc = sl_hash_set_put(&c->kept, hash, mark, err);
	if (rc || mark == MARK_FILE)
		return rc;
	if (c->queued == c->queue_room) {
		size_t room = c->queue_room ? c->queue_room * 2 : 1024;
		struct sl_hash *queue = sl_realloc(c->queue, room * sizeof *queue, err);
		if (!queue)
			return SL_E_NO_MEMORY;
		c->queue = queue;
		c->queue_room = room;
	}
	c->queue[c->queued++] = *hash;
	return 0;
}

/* Every run of exactly 64 lower-case hex digits. */
static int keep_hashes(struct collector *c, const char *text, size_t len, unsigned char mark, struct sl_error *err)
{
	for (size_t i = 0; i < len;) {
		size_t run = 0;
		struct sl_hash hash;
		while (i + run < len && (isdigit((unsigned char)text[i + run]) || (text[i + run] >= 'a' && text[i + run] <= 'f')))
			run++;
		if (run == SL_HASH_HEX) {
			char hex[SL_HASH_HEX + 1];
			memcpy(hex, text + i, SL_HASH_HEX);
			hex[SL_HASH_HEX] = 0;
			int rc = sl_hash_parse(hex, &hash) ? keep_hash(c, &hash, mark, err) : 0;
			if (rc)
				return rc;
		}
		i += run + 1;
	}
	return 0;
}

/* ---- versions that are let go --------------------------------------------------------------------------------------- */

static int note_expiring(void *context, const struct sl_expiring *version, struct sl_error *err)
{
	struct collector *c = context;
	char hex[SL_HASH_HEX + 1];
	if (c->expiring_count == c->expiring_room) {
		size_t room = c->expiring_room ? c->expiring_room * 2 : 64;
		struct sl_expiring *expiring = sl_realloc(c->expiring, room * sizeof *expiring, err);
		if (!expiring)
			return SL_E_NO_MEMORY;
		c->expiring = expiring;
		c->expiring_room = room;
	}
	c->expiring[c->expiring_count++] = *version;
	if (yyjson_mut_arr_size(c->versions) >= SHOWN_MAX)
		return 0;
	yyjson_mut_val *item = sl_add_object(c->call, c->versions);
	sl_put_text(c->call, item, "dataset", version->dataset);
	sl_put_text(c->call, item, "version", sl_hash_hex(&version->hash, hex));
	return 0;
}

/* By the project's rules, when there is a project file, and what was dropped for long enough. */
static int find_expiring(struct collector *c, struct sl_error *err)
{
	struct sl_project *project = NULL;
	size_t count = 0;
	struct sl_error why;
	int found = sl_call_project(c->call, &project, &why);
	if (found && found != SL_E_NOT_FOUND) { /* rules that cannot be read are not taken for none */
		*err = why;
		return found;
	}
	project = found ? NULL : project;
	size_t room = project ? project->dataset_count : 0;
	struct sl_retention *rules = sl_arena_array(c->call->arena, room + 1, sizeof *rules);
	if (!rules)
		return sl_fail_memory(err);
	for (size_t i = 0; i < room; i++)
		rules[count++] = (struct sl_retention){project->datasets[i].name, project->datasets[i].keep_last, project->datasets[i].keep_for_ms};
	return sl_retention_each(&c->store->track, rules, count, sl_now_ms(), sl_call_int(c->call, "dropped"), note_expiring, c, err);
}

static bool is_expiring(const struct collector *c, int64_t seq)
{
	for (size_t i = 0; i < c->expiring_count; i++)
		if (c->expiring[i].seq == seq)
			return true;
	return false;
}

/* One pass over the versions: those that stay are kept; of the others, what nothing that stays stands on is gone, for old runs too. */
static int pass_versions(struct collector *c, bool staying, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_hash hash;
	int rc = sl_meta_query(c->store->meta, &stmt, err,
			       "SELECT v.seq, v.hash, e.seq FROM dataset_version v LEFT JOIN dataset_expired e ON e.seq = v.seq", "");
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		bool stays = !sl_stmt_int(stmt, 2) && !is_expiring(c, sl_stmt_int(stmt, 0));
		rc = 0;
		if (stays != staying || !sl_hash_parse(sl_stmt_text(stmt, 1), &hash))
			continue;
		if (staying)
			rc = keep_hash(c, &hash, MARK_ANY, err);
		else if (!sl_hash_set_get(&c->kept, &hash))
			rc = sl_hash_set_put(&c->gone, &hash, MARK_ANY, err);
	}
	return rc;
}

static int expire_all(struct collector *c, struct sl_error *err)
{
	int64_t now_ms = sl_now_ms();
	int rc = 0;
	for (size_t i = 0; !rc && i < c->expiring_count; i++)
		rc = sl_dataset_expire(&c->store->track, &c->expiring[i], now_ms, err);
	return rc;
}

/* ---- what is kept --------------------------------------------------------------------------------------------------- */

static int keep_rows(struct collector *c, const char *sql, unsigned char mark, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(c->store->meta, &stmt, err, sql, "");
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = keep_hashes(c, sl_stmt_text(stmt, 0), strlen(sl_stmt_text(stmt, 0)), mark, err);
	return rc;
}

/* What clients stored is no document of ours, whatever stands in it. */
static int keep_artifacts(struct collector *c, struct sl_error *err)
{
	return keep_rows(c, "SELECT hash FROM artifact WHERE hash IS NOT NULL", MARK_FILE, err);
}

static int keep_roots(struct collector *c, struct sl_error *err)
{
	static const char *const sources[] = {
		"SELECT hash FROM model_version",
		"SELECT hash FROM run_input",
		"SELECT hash FROM run_output",
		"SELECT hash FROM run_artifact",
		"SELECT outputs FROM step_result",
		"SELECT hash FROM check_result",
		"SELECT record FROM run WHERE record IS NOT NULL",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(sources); i++) {
		int rc = keep_rows(c, sources[i], MARK_ANY, err);
		if (rc)
			return rc;
	}
	return keep_artifacts(c, err);
}

static int keep_part(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	(void)size_bytes;
	return keep_hash(context, hash, MARK_FILE, err);
}

enum { STOP = 1 };
static int first_byte(void *context, const void *data, size_t len, struct sl_error *err)
{
	(void)len, (void)err;
	*(char *)context = *(const char *)data;
	return STOP;
}

/* What a kept object refers to, when it is a document. What cannot be read is for `verify` to tell; its place is kept. */
static int keep_referred(struct collector *c, const struct sl_hash *hash, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(DOCUMENT_BYTES_MAX);
	uint64_t size;
	char first = 0;
	if (!sl_objects_has(c->store->objects, hash))
		return 0;
	int rc = sl_objects_parts(c->store->objects, hash, keep_part, c, err);
	rc = rc ? rc : sl_objects_size(c->store->objects, hash, &size, err);
	if (rc || size > DOCUMENT_BYTES_MAX || sl_objects_read(c->store->objects, hash, first_byte, &first, NULL) != STOP)
		return rc;
	if (first != '{' && first != *SL_TREE_MAGIC)
		return 0;
	rc = sl_objects_get(c->store->objects, hash, &text, err);
	return rc ? rc : keep_hashes(c, text.data, text.len, sl_tree_is_leaf(text.data, text.len) ? MARK_FILE : MARK_ANY, err);
}

static int keep_all_referred(struct collector *c, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < c->queued; i++) { /* grows meanwhile */
		const struct sl_hash hash = c->queue[i];
		rc = keep_referred(c, &hash, err);
	}
	return rc;
}

/* Big files of trees are not looked into, but what they are made of stays. The set may be laid out anew while it is gone through:
 * until a whole pass adds nothing. */
static int keep_parts_of_kept(struct collector *c, struct sl_error *err)
{
	size_t before;
	int rc = 0;
	do {
		before = c->kept.count;
		for (size_t i = 0; !rc && i < c->kept.room; i++) {
			const struct sl_hash hash = c->kept.hashes[i];
			if (c->kept.marks[i] == MARK_FILE)
				rc = sl_objects_parts(c->store->objects, &hash, keep_part, c, err);
		}
	} while (!rc && c->kept.count != before);
	return rc;
}

static int visit(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	struct collector *c = context;
	char hex[SL_HASH_HEX + 1];
	c->objects++;
	c->bytes += size_bytes;
	if (sl_hash_set_get(&c->kept, hash)) {
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
	sl_put_text(c->call, item, "object", sl_hash_hex(hash, hex));
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
	rc = expire_all(c, err);
	rc = rc ? rc : sl_ledger_append(c->store->ledger, "store.gc", "store:", detail, NULL, err);
	if (!rc)
		return sl_meta_commit(c->store->meta, err);
	sl_meta_rollback(c->store->meta);
	return rc;
}

static bool is_kept(void *context, const struct sl_hash *root)
{
	const struct collector *c = context;
	return sl_hash_set_get(&c->kept, root) != 0;
}

/* A server takes artifacts meanwhile, without the lock of runs: it names one in a transaction, in which it also looks whether the object is
 * still there. So what it named before this transaction is kept, and what it would name later it sees gone. */
static int remove_all(struct collector *c, struct sl_error *err)
{
	int rc = sl_meta_begin(c->store->meta, err);
	if (rc)
		return rc;
	rc = keep_artifacts(c, err);
	rc = rc ? rc : keep_parts_of_kept(c, err);
	rc = rc ? rc : sl_objects_each(c->store->objects, visit, c, err);
	return sl_meta_end(c->store->meta, rc, err);
}

static int collect(struct collector *c, struct sl_error *err)
{
	char seen[SL_PATH_MAX];
	int rc = find_expiring(c, err);
	rc = rc ? rc : pass_versions(c, true, err);
	rc = rc ? rc : pass_versions(c, false, err);
	rc = rc ? rc : keep_roots(c, err);
	rc = rc ? rc : keep_all_referred(c, err);
	rc = rc ? rc : keep_parts_of_kept(c, err);
	/* The entry first: a crash between leaves an entry about too much, never a removal that nobody knows of. */
	bool remove = c->remove;
	c->remove = false;
	if (!rc)
		rc = sl_objects_each(c->store->objects, visit, c, err);
	if (!rc && remove && (c->removed || c->expiring_count))
		rc = record(c, err);
	if (rc || !remove)
		return rc;
	rc = sl_path_join(seen, c->store->dir, "seen", err);
	rc = rc ? rc : sl_seen_forget(seen, is_kept, c, err);
	if (rc)
		return rc;
	c->remove = true;
	c->objects = c->objects_kept = c->removed = 0;
	c->bytes = c->removed_bytes = 0;
	c->items = yyjson_mut_arr(c->call->doc);
	rc = remove_all(c, err);
	rc = rc ? rc : sl_objects_compact(c->store->objects, err);
	return rc ? rc : sl_objects_tidy(c->store->objects, err);
}

/* Steps of a killed run may still read what nothing else refers to. */
static int refuse_attempts(struct sl_store *store, struct sl_error *err)
{
	int64_t count;
	int rc = sl_meta_int(store->meta, 0, &count, err, "SELECT count(*) FROM attempt", "");
	if (rc || !count)
		return rc;
	sl_fail(err, SL_E_BUSY, "%lld steps of a run that was killed are not recorded yet", (long long)count);
	return sl_error_hint(err, "`sluice run --resume` takes them over");
}

int sl_op_gc(struct sl_call *call, struct sl_error *err)
{
	char lock[SL_PATH_MAX];
	int lock_fd SL_AUTO_CLOSE = -1;
	uint64_t cache_bytes = 0;
	struct collector c = {.call = call, .remove = sl_call_flag(call, "yes"), .items = yyjson_mut_arr(call->doc),
			      .versions = yyjson_mut_arr(call->doc)};
	int rc = sl_call_store(call, &c.store, err);
	if (!rc)
		rc = sl_path_join(lock, c.store->dir, "run.lock", err);
	if (!rc)
		rc = sl_file_lock(lock, "sluice gc", false, &lock_fd, err);
	rc = rc ? rc : refuse_attempts(c.store, err);
	rc = rc ? rc : collect(&c, err);
	rc = rc ? rc : sl_objects_cache_size(c.store->objects, &cache_bytes, err);
	if (!rc && c.remove && sl_call_flag(call, "cache"))
		rc = sl_objects_cache_clear(c.store->objects, err);
	sl_hash_set_done(&c.kept);
	sl_hash_set_done(&c.gone);
	sl_free(c.expiring);
	sl_free(c.queue);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_bool(call, result, "removed", c.remove);
	sl_put_int(call, result, "unreferenced", c.removed);
	sl_put_int(call, result, "size_bytes", (int64_t)c.removed_bytes);
	sl_put_int(call, result, "kept", c.objects_kept);
	if (cache_bytes)
		sl_put_int(call, result, "cache_bytes", (int64_t)cache_bytes);
	if (yyjson_mut_arr_size(c.versions))
		yyjson_mut_obj_add_val(call->doc, result, "versions", c.versions);
	yyjson_mut_obj_add_val(call->doc, result, "objects", c.items);
	if (!c.remove && (c.removed || c.expiring_count))
		sl_put_text(call, result, "next", "sluice gc --yes removes them");
	return 0;
}

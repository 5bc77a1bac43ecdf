#include "track/verify_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "ledger/rows.h"

enum { KEY_MAX = SL_ROW_KEY_MAX };

/* What the entries say of one thing. Keys: "run <id>", "<table>:<key>" (a row, ledger/rows.h), "seal <stream> <base offset>". */
struct fact {
	bool has_row, ended;
	char status[16];
	char hash[SL_HASH_HEX + 1]; /* of the record, row or segment; "" for a row that was removed */
	int64_t seq;                /* of the entry */
};

struct facts {
	struct sl_verify *verify;
	struct sl_map *map;
	struct sl_arena *arena;
};

static struct fact *get(struct facts *facts, const char *key) { return sl_map_get(facts->map, key); }

/* Finds or makes; NULL when memory is out. */
static struct fact *fact_of(struct facts *facts, const char *key, struct sl_error *err)
{
	struct fact *fact = get(facts, key);
	if (fact)
		return fact;
	fact = sl_arena_alloc(facts->arena, sizeof *fact);
	if (!fact || sl_map_set(facts->map, key, fact, NULL, err)) {
		sl_fail_memory(err);
		return NULL;
	}
	return fact;
}

static void copy(char *out, size_t size, const char *text) { snprintf(out, size, "%s", text); }
#define COPY(field, text) copy(field, sizeof(field), text)

/* ---- from entries --------------------------------------------------------------------------------------------------- */

static int learn_run(struct facts *facts, int64_t seq, const char *id, const char *action, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, "run %.64s", id);
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	fact->seq = seq;
	if (sl_str_eq(action, "run.end")) {
		fact->ended = true;
		COPY(fact->status, sl_json_str(detail, "status", ""));
		COPY(fact->hash, sl_json_str(detail, "record", ""));
	}
	return 0;
}

static int learn_rows(struct facts *facts, int64_t seq, yyjson_val *rows, struct sl_error *err)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(rows);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		yyjson_val *hash = yyjson_obj_iter_get_val(key);
		struct fact *fact = fact_of(facts, yyjson_get_str(key), err);
		if (!fact)
			return SL_E_NO_MEMORY;
		fact->seq = seq;
		fact->has_row = !yyjson_is_str(hash);
		COPY(fact->hash, yyjson_is_str(hash) ? yyjson_get_str(hash) : "");
	}
	return 0;
}

static int learn_seal(struct facts *facts, const char *stream, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, "seal %.256s %" PRId64, stream, sl_json_int(detail, "base_offset", -1));
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	fact->has_row = true; /* retention may have removed it since */
	COPY(fact->hash, sl_json_str(detail, "sha256", ""));
	return 0;
}

static int learn_entry(struct facts *facts, int64_t seq, const char *text, size_t len, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, len, "entry", NULL);
	yyjson_val *entry = doc ? yyjson_doc_get_root(doc) : NULL, *detail = yyjson_obj_get(entry, "detail");
	const char *action = sl_json_str(entry, "action", ""), *subject = sl_json_str(entry, "subject", "");
	if (!entry || sl_json_int(entry, "seq", -1) != seq)
		return sl_verify_problem(facts->verify, "ledger_entry row %" PRId64 ": is not an entry of that number", seq);
	int rc = learn_rows(facts, seq, yyjson_obj_get(detail, "covers"), err);
	if (rc)
		return rc;
	if (sl_str_starts(action, "run.") && sl_str_starts(subject, "run:"))
		return learn_run(facts, seq, subject + 4, action, detail, err);
	if (sl_str_eq(action, "stream.seal") && sl_str_starts(subject, "stream:"))
		return learn_seal(facts, subject + 7, detail, err);
	return 0;
}

static int learn(struct facts *facts, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(facts->verify->store->meta, &stmt, err, "SELECT seq, entry FROM ledger_entry ORDER BY seq", NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *text = sl_stmt_blob(stmt, 1, &len);
		rc = learn_entry(facts, sl_stmt_int(stmt, 0), text, len, err);
	}
	return rc;
}

/* ---- against rows --------------------------------------------------------------------------------------------------- */

static int check_record(struct facts *facts, const char *id, const char *record, const struct fact *fact, struct sl_error *err)
{
	struct sl_id run;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	struct sl_error why = {0};
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	if (!sl_str_eq(record, fact->hash))
		return sl_verify_problem(facts->verify, "run %s: its record is %.12s, the ledger says %.12s", id, record,
					 fact->hash);
	if (!sl_id_parse(id, &run))
		return sl_verify_problem(facts->verify, "run '%.40s': is not an id", id);
	int rc = sl_run_record(&facts->verify->store->track, &run, &text, &why);
	if (rc) {
		if (err)
			*err = why;
		return sl_verify_absorb(facts->verify, rc, &why);
	}
	sl_sha256(sl_buf_cstr(&text), text.len, &hash);
	if (!sl_str_eq(sl_hash_hex(&hash, hex), record))
		return sl_verify_problem(
			facts->verify, "run %s: its rows (parameters, metrics, inputs, outputs ...) are not those of its record",
			id);
	return 0;
}

static int check_run(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	char key[KEY_MAX], id[40];
	COPY(id, sl_stmt_text(row, 0));
	snprintf(key, sizeof key, "run %.64s", id);
	struct fact *fact = get(facts, key);
	facts->verify->report->runs++;
	if (!fact)
		return sl_verify_problem(facts->verify, "sluice.db: run %s: no ledger entry covers it", id);
	fact->has_row = true;
	bool ended = !sl_stmt_null(row, 2);
	if (ended != fact->ended)
		return sl_verify_problem(facts->verify, "run %s: %s, but the ledger %s", id,
					 ended ? "has ended" : "has not ended",
					 ended ? "has no entry of that" : "says that it has");
	if (!ended)
		return 0;
	if (!sl_str_eq(sl_stmt_text(row, 1), fact->status))
		return sl_verify_problem(facts->verify, "run %s: its status is '%s', the ledger says '%s'", id,
					 sl_stmt_text(row, 1), fact->status);
	return check_record(facts, id, sl_stmt_text(row, 3), fact, err);
}

static int check_runs(struct facts *facts, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(facts->verify->store->meta, &stmt, err, "SELECT id, status, ended_ms, record FROM run WHERE kind <> 'logged' ORDER BY id",
			       NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = check_run(facts, stmt, err);
	return rc;
}

static void count_row(struct sl_verify_report *report, const char *table)
{
	report->rows++;
	report->dataset_versions += sl_str_eq(table, "dataset_version");
	report->model_versions += sl_str_eq(table, "model_version");
	report->aliases += sl_str_eq(table, "model_alias");
}

static int check_covered(struct facts *facts, const struct sl_ledger_table *table, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_ledger_rows(facts->verify->store->meta, table, &stmt, err);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		char name[SL_ROW_KEY_MAX], hex[SL_HASH_HEX + 1];
		struct sl_hash hash;
		rc = sl_ledger_row(table, stmt, name, &hash, err);
		if (rc)
			return rc;
		struct fact *fact = get(facts, name);
		count_row(facts->verify->report, table->name);
		if (!fact || !fact->hash[0]) {
			sl_verify_problem(facts->verify, "sluice.db: row %s: no ledger entry covers it", name);
			continue;
		}
		fact->has_row = true;
		if (!sl_str_eq(sl_hash_hex(&hash, hex), fact->hash))
			sl_verify_problem(facts->verify, "sluice.db: row %s: is not what ledger entry %" PRId64 " says", name,
					  fact->seq);
	}
	return rc;
}

/* ---- against the seals of streams ----------------------------------------------------------------------------------- */

struct stream_walk {
	struct facts *facts;
	char path[SL_PATH_MAX];
	const char *name;
};

/* That the segment is what its seal says is for sl_stream_check; here, that the seal is what the ledger says. */
static int check_seal(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct stream_walk *walk = context;
	char path[SL_PATH_MAX], key[KEY_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(65536);
	if (!info->is_regular || !sl_str_ends(name, ".sealed"))
		return 0;
	int rc = sl_path_join(path, walk->path, name, err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc; /* retired since */
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&text), text.len, path, NULL);
	yyjson_val *seal = doc ? yyjson_doc_get_root(doc) : NULL;
	snprintf(key, sizeof key, "seal %.256s %" PRId64, walk->name, sl_json_int(seal, "base_offset", -1));
	const struct fact *fact = get(walk->facts, key);
	if (!fact)
		return sl_verify_problem(walk->facts->verify, "%s: no ledger entry covers it", path);
	if (!sl_str_eq(fact->hash, sl_json_str(seal, "sha256", "")))
		return sl_verify_problem(walk->facts->verify, "%s: its digest is not what the ledger says", path);
	return 0;
}

static int check_stream_seals(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct stream_walk walk = {.facts = context, .name = name};
	int rc = info->is_dir ? sl_path_join(walk.path, walk.facts->verify->store->streams_dir, name, err) : 1;
	return rc ? (rc > 0 ? 0 : rc) : sl_dir_each(walk.path, check_seal, &walk, err);
}

static int check_seals(struct facts *facts, struct sl_error *err)
{
	const char *dir = facts->verify->store->streams_dir;
	return sl_dir_exists(dir) ? sl_dir_each(dir, check_stream_seals, facts, err) : 0;
}

static int check_leftovers(struct facts *facts)
{
	for (size_t i = 0; i < sl_map_count(facts->map); i++) {
		const struct fact *fact = sl_map_value(facts->map, i);
		if (!fact->has_row)
			sl_verify_problem(facts->verify, "sluice.db: row %s: ledger entry %" PRId64 " has it, the row is missing",
					  sl_map_key(facts->map, i), fact->seq);
	}
	return 0;
}

/* One part after the other; damage in one does not keep the next from being looked at. */
static int check_all(struct facts *facts, struct sl_error *err)
{
	struct sl_error why = {0};
	int rc = learn(facts, &why), part = rc ? 0 : check_runs(facts, &why);
	bool whole = !part;
	if (!rc)
		rc = sl_verify_absorb(facts->verify, part, &why);
	for (size_t i = 0; i < sl_ledger_table_count && !rc; i++) {
		sl_verify_progress(facts->verify, "facts", (double)i / (double)sl_ledger_table_count);
		part = check_covered(facts, &sl_ledger_tables[i], &why);
		whole = whole && !part;
		rc = sl_verify_absorb(facts->verify, part, &why);
	}
	if (!rc)
		rc = check_seals(facts, &why);
	if (rc) {
		rc = sl_verify_absorb(facts->verify, rc, &why);
		if (rc && err)
			*err = why;
		return rc;
	}
	return whole ? check_leftovers(facts) : 0;
}

int sl_verify_facts(struct sl_verify *verify, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new((size_t)8 << 30, err);
	struct sl_map *map SL_CLEANUP(sl_map_freep) = arena ? sl_map_new(err) : NULL;
	struct facts facts = {.verify = verify, .map = map, .arena = arena};
	if (!map)
		return SL_E_NO_MEMORY;
	int rc = sl_meta_begin_read(verify->store->meta, err);
	if (rc)
		return rc;
	rc = check_all(&facts, err);
	sl_meta_end_read(verify->store->meta);
	return rc;
}

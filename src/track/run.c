#include "track/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/alive.h"
#include "os/clock.h"
#include "record/own.h"

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static int changed(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* Why a statement that only takes open runs changed no row. */
static int fail_not_open(struct sl_track *track, const struct sl_id *run, struct sl_error *err)
{
	int64_t there;
	int rc = sl_meta_int(track->meta, 0, &there, err, "SELECT 1 FROM run WHERE id = ?1", "s", run->text);
	if (rc)
		return rc;
	return there ? sl_fail(err, SL_E_CONFLICT, "run %s has ended already", run->text)
		     : sl_fail(err, SL_E_NOT_FOUND, "there is no run %s", run->text);
}

/* For the inserts below: each takes its row from the run's own, if that is still open, so that nothing is added to a finished
 * run. */
static int added(struct sl_track *track, const struct sl_id *run, int64_t rows, struct sl_error *err)
{
	return rows == 0 ? fail_not_open(track, run, err) : changed(rows);
}

static int append(struct sl_track *track, const char *action, const struct sl_id *run, yyjson_mut_val *detail,
		  struct sl_error *err)
{
	char subject[SL_ID_LEN + 8];
	snprintf(subject, sizeof subject, "run:%s", run->text);
	return sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
}

static int insert_run(struct sl_track *track, const struct sl_run_start *start, const struct sl_id *id, struct sl_error *err)
{
	int64_t now_ms = sl_now_ms();
	int rc = changed(sl_meta_exec(track->meta, err,
				      "INSERT INTO run(id, parent, kind, name, status, reason, started_ms, fingerprint, "
				      "environment) VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7, ?8)",
				      "sssssiss", id->text, start->parent, start->kind, start->name,
				      start->reason ? start->reason : "", now_ms, start->fingerprint,
				      start->environment ? start->environment : "{}"));
	if (!rc)
		rc = sl_own_begin(track->meta, id, &(struct sl_own_run){start->kind, start->name, start->parent, now_ms}, err);
	if (!rc && !start->parent) {
		char process[SL_PROCESS_MARK];
		rc = sl_run_tag(track, id, "process", sl_process_mark(0, process), err);
	}
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!rc && (!detail || !yyjson_mut_obj_add_str(doc, detail, "kind", start->kind) ||
		    !yyjson_mut_obj_add_str(doc, detail, "name", start->name)))
		rc = sl_fail_memory(err);
	return rc ? rc : append(track, "run.begin", id, detail, err);
}

int sl_run_begin(struct sl_track *track, const struct sl_run_start *start, struct sl_id *ret, struct sl_error *err)
{
	struct sl_id id;
	int rc = sl_id_new(&id, err);
	if (!rc)
		rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = sl_meta_end(track->meta, insert_run(track, start, &id, err), err);
	if (!rc)
		*ret = id;
	return rc;
}

int sl_run_param(struct sl_track *track, const struct sl_id *run, const char *name, const char *json_value, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = added(track, run,
		       sl_meta_exec(track->meta, err,
				    "INSERT INTO run_param(run, name, value) SELECT ?1, ?2, ?3 FROM run WHERE id = ?1 AND ended_ms "
				    "IS NULL ON CONFLICT(run, name) DO UPDATE SET value = excluded.value",
				    "sss", run->text, name, json_value),
		       err);
	rc = rc ? rc : sl_own_param(track->meta, run, name, json_value, err);
	return sl_meta_end(track->meta, rc, err);
}

int sl_run_tag(struct sl_track *track, const struct sl_id *run, const char *name, const char *value, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = added(track, run,
		       sl_meta_exec(track->meta, err,
				    "INSERT INTO run_tag(run, name, value) SELECT ?1, ?2, ?3 FROM run WHERE id = ?1 AND ended_ms "
				    "IS NULL ON CONFLICT(run, name) DO UPDATE SET value = excluded.value",
				    "sss", run->text, name, value),
		       err);
	rc = rc ? rc : sl_own_tag(track->meta, run, name, value, err);
	return sl_meta_end(track->meta, rc, err);
}

static int insert_metric(struct sl_track *track, const struct sl_id *run, const struct sl_metric *m, int64_t time_ms,
			 struct sl_error *err)
{
	static const char SQL[] = "INSERT INTO run_metric(run, name, step, seq, time_ms, value) "
				  "SELECT ?1, ?2, ?3, (SELECT COALESCE(MAX(seq), -1) + 1 FROM run_metric WHERE run = ?1 AND name "
				  "= ?2 AND step = ?3), ?4, ?5 "
				  "FROM run WHERE id = ?1 AND ended_ms IS NULL";
	if (isnan(m->value))
		return added(track, run, sl_meta_exec(track->meta, err, SQL, "ssiin", run->text, m->name, m->step, time_ms), err);
	return added(track, run, sl_meta_exec(track->meta, err, SQL, "ssiid", run->text, m->name, m->step, time_ms, m->value),
		     err);
}

/* As clients see them (record/own.h), a piece at a time. */
static int show_metrics(struct sl_track *track, const struct sl_id *run, const struct sl_metric *metrics, size_t count, int64_t now_ms,
			struct sl_error *err)
{
	struct sl_own_point points[256];
	int rc = 0;
	for (size_t done = 0; !rc && done < count;) {
		size_t n = 0;
		for (; n < SL_ARRAY_LEN(points) && done < count; n++, done++) {
			const struct sl_metric *m = &metrics[done];
			points[n] = (struct sl_own_point){m->name, m->step, m->time_ms ? m->time_ms : now_ms, m->value};
		}
		rc = sl_own_points(track->meta, run, points, n, err);
	}
	return rc;
}

int sl_run_metrics(struct sl_track *track, const struct sl_id *run, const struct sl_metric *metrics, size_t count,
		   struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	int64_t now_ms = sl_now_ms();
	for (size_t i = 0; !rc && i < count; i++) {
		int64_t time_ms = metrics[i].time_ms ? metrics[i].time_ms : now_ms;
		rc = insert_metric(track, run, &metrics[i], time_ms, err);
	}
	if (!rc)
		rc = show_metrics(track, run, metrics, count, now_ms, err);
	return sl_meta_end(track->meta, rc, err);
}

int sl_run_input(struct sl_track *track, const struct sl_id *run, const char *kind, const char *name, const struct sl_hash *hash,
		 struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = added(track, run,
		       sl_meta_exec(track->meta, err,
				    "INSERT INTO run_input(run, kind, name, hash) SELECT ?1, ?2, ?3, ?4 FROM run WHERE id = ?1 AND "
				    "ended_ms IS NULL ON CONFLICT(run, kind, name) DO UPDATE SET hash = excluded.hash",
				    "ssss", run->text, kind, name, sl_hash_hex(hash, hex)),
		       err);
	rc = rc ? rc : sl_own_input(track->meta, run, kind, name, hex, err);
	return sl_meta_end(track->meta, rc, err);
}

int sl_run_output(struct sl_track *track, const struct sl_id *run, const char *kind, const char *name, const struct sl_hash *hash,
		  struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	return added(track, run,
		     sl_meta_exec(track->meta, err,
				  "INSERT INTO run_output(run, kind, name, hash) SELECT ?1, ?2, ?3, ?4 FROM run WHERE id = ?1 "
				  "AND ended_ms IS NULL ON CONFLICT(run, kind, name) DO UPDATE SET hash = excluded.hash",
				  "ssss", run->text, kind, name, sl_hash_hex(hash, hex)),
		     err);
}

int sl_run_artifact(struct sl_track *track, const struct sl_id *run, const char *path, const struct sl_hash *hash,
		    uint64_t size_bytes, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	if (!sl_relative_path_valid(path))
		return sl_fail(err, SL_E_INVALID, "'%.200s' is not a relative path", path);
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = added(track, run,
		       sl_meta_exec(track->meta, err,
				    "INSERT INTO run_artifact(run, path, hash, size_bytes) SELECT ?1, ?2, ?3, ?4 FROM run WHERE id "
				    "= ?1 AND ended_ms IS NULL "
				    "ON CONFLICT(run, path) DO UPDATE SET hash = excluded.hash, size_bytes = excluded.size_bytes",
				    "sssi", run->text, path, sl_hash_hex(hash, hex), (int64_t)size_bytes),
		       err);
	rc = rc ? rc : sl_own_artifact(track->meta, run, path, hex, (int64_t)size_bytes, err);
	return sl_meta_end(track->meta, rc, err);
}

/* ---- the end, and the record ------------------------------------------------------------------------------------------ */

static int hash_record(struct sl_track *track, const struct sl_id *run, char hex[SL_HASH_HEX + 1], struct sl_error *err)
{
	struct sl_buf record SL_AUTO_BUF = SL_BUF_INIT((size_t)64 << 20);
	int rc = sl_run_record(track, run, &record, err);
	if (rc)
		return rc;
	struct sl_hash hash;
	sl_sha256(sl_buf_cstr(&record), record.len, &hash);
	sl_hash_hex(&hash, hex);
	return 0;
}

static int end_run(struct sl_track *track, const struct sl_id *run, const char *status, const char *cause, struct sl_error *err)
{
	char record[SL_HASH_HEX + 1];
	int64_t now_ms = sl_now_ms();
	int64_t rows = sl_meta_exec(track->meta, err,
				    "UPDATE run SET status = ?2, cause = ?3, ended_ms = ?4 WHERE id = ?1 AND ended_ms IS NULL",
				    "sssi", run->text, status, cause, now_ms);
	if (rows <= 0)
		return rows < 0 ? (int)rows : fail_not_open(track, run, err);
	int rc = hash_record(track, run, record, err);
	if (!rc)
		rc = changed(sl_meta_exec(track->meta, err, "UPDATE run SET record = ?2 WHERE id = ?1", "ss", run->text, record));
	if (!rc)
		rc = sl_own_end(track->meta, run, status, cause, now_ms, err);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!rc && (!detail || !yyjson_mut_obj_add_str(doc, detail, "status", status) ||
		    !yyjson_mut_obj_add_str(doc, detail, "record", record)))
		rc = sl_fail_memory(err);
	return rc ? rc : append(track, "run.end", run, detail, err);
}

int sl_run_end(struct sl_track *track, const struct sl_id *run, const char *status, const char *cause, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	return rc ? rc : sl_meta_end(track->meta, end_run(track, run, status, cause, err), err);
}

/* Rows of `sql` as {"name": text} members, or as arrays when there are more columns. */
static int add_rows(struct sl_track *track, const struct sl_id *run, const char *sql, bool members, yyjson_mut_doc *doc,
		    yyjson_mut_val *into, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err, sql, "s", run->text);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		bool ok = true;
		if (members) {
			yyjson_mut_val *key = yyjson_mut_strcpy(doc, sl_stmt_text(stmt, 0)),
				       *value = yyjson_mut_strcpy(doc, sl_stmt_text(stmt, 1));
			ok = key && value && yyjson_mut_obj_add(into, key, value);
		} else {
			yyjson_mut_val *row = yyjson_mut_arr_add_arr(doc, into);
			for (int c = 0; row && ok && c < sl_stmt_columns(stmt); c++)
				ok = sl_stmt_type(stmt, c) == 'i' ? yyjson_mut_arr_add_int(doc, row, sl_stmt_int(stmt, c)) :
								   yyjson_mut_arr_add_strcpy(doc, row, sl_stmt_text(stmt, c));
			ok = ok && row;
		}
		rc = ok ? 0 : sl_fail_memory(err);
	}
	return rc;
}

/* A series can be long: the record holds its count and the SHA-256 over its points, each "name NUL" and four big-endian 64-bit
 * words (step, seq, time, bits of the value; NaN as 7ff8000000000000). */
static int add_metrics(struct sl_track *track, const struct sl_id *run, yyjson_mut_doc *doc, yyjson_mut_val *record,
		       struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = NULL;
	struct sl_buf point SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT name, step, seq, time_ms, value FROM run_metric WHERE run = ?1 ORDER BY name, step, seq",
			       "s", run->text);
	int64_t count = 0;
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		double value = sl_stmt_double(stmt, 4);
		uint64_t bits;
		if (!sha && !(sha = sl_sha256_new(err)))
			return SL_E_NO_MEMORY;
		memcpy(&bits, &value, sizeof bits);
		sl_buf_clear(&point);
		sl_buf_add(&point, sl_stmt_text(stmt, 0), strlen(sl_stmt_text(stmt, 0)) + 1);
		for (int c = 1; c < 4; c++)
			sl_buf_u64be(&point, (uint64_t)sl_stmt_int(stmt, c));
		sl_buf_u64be(&point, sl_stmt_null(stmt, 4) ? UINT64_C(0x7ff8000000000000) : bits);
		rc = sl_buf_check(&point, "a metric", err);
		sl_sha256_add(sha, sl_buf_cstr(&point), point.len);
		count++;
	}
	if (rc || !count)
		return rc;
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	sl_sha256_end(sha, &hash);
	yyjson_mut_val *metrics = yyjson_mut_obj_add_obj(doc, record, "metrics");
	if (!metrics || !yyjson_mut_obj_add_int(doc, metrics, "count", count) ||
	    !yyjson_mut_obj_add_strcpy(doc, metrics, "hash", sl_hash_hex(&hash, hex)))
		return sl_fail_memory(err);
	return 0;
}

static int add_row(struct sl_track *track, const struct sl_id *run, yyjson_mut_doc *doc, yyjson_mut_val *record,
		   struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT id, parent, kind, name, status, reason, cause, fingerprint, environment, started_ms, "
			       "ended_ms FROM run WHERE id = ?1",
			       "s", run->text);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc ? rc : sl_fail(err, SL_E_NOT_FOUND, "there is no run %s", run->text);
	bool ok = yyjson_mut_obj_add_str(doc, record, "format", "sluice.run/1");
	for (int c = 0; ok && c < sl_stmt_columns(stmt); c++) {
		const char *name = sl_stmt_column_name(stmt, c);
		yyjson_mut_val *key = yyjson_mut_strcpy(doc, name),
			       *value = sl_stmt_type(stmt, c) == 'i' ? yyjson_mut_sint(doc, sl_stmt_int(stmt, c))
								     : yyjson_mut_strcpy(doc, sl_stmt_text(stmt, c));
		if (!sl_stmt_null(stmt, c))
			ok = key && value && yyjson_mut_obj_add(record, key, value);
	}
	return ok ? 0 : sl_fail_memory(err);
}

int sl_run_record(struct sl_track *track, const struct sl_id *run, struct sl_buf *out, struct sl_error *err)
{
	static const struct { const char *name, *sql; bool members; } PARTS[] = {
		{"params", "SELECT name, value FROM run_param WHERE run = ?1 ORDER BY name", true},
		{"tags", "SELECT name, value FROM run_tag WHERE run = ?1 ORDER BY name", true},
		{"inputs", "SELECT kind, name, hash FROM run_input WHERE run = ?1 ORDER BY kind, name", false},
		{"outputs", "SELECT kind, name, hash FROM run_output WHERE run = ?1 ORDER BY kind, name", false},
		{"artifacts", "SELECT path, hash, size_bytes FROM run_artifact WHERE run = ?1 ORDER BY path", false},
	};
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *record = doc ? yyjson_mut_obj(doc) : NULL;
	if (!record)
		return sl_fail_memory(err);
	int rc = add_row(track, run, doc, record, err);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(PARTS); i++) {
		yyjson_mut_val *part = PARTS[i].members ? yyjson_mut_obj(doc) : yyjson_mut_arr(doc);
		if (!part || !yyjson_mut_obj_add_val(doc, record, PARTS[i].name, part))
			return sl_fail_memory(err);
		rc = add_rows(track, run, PARTS[i].sql, PARTS[i].members, doc, part, err);
	}
	if (!rc)
		rc = add_metrics(track, run, doc, record, err);
	return rc ? rc : sl_json_mut_canonical(record, out, err);
}

/* ---- finding and reaping -------------------------------------------------------------------------------------------------- */

/* One run whose process is gone; 1 with its id, 0 when there is none after `after`. */
static int next_dead(struct sl_track *track, struct sl_id *after, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err,
		"SELECT r.id, COALESCE(t.value, '') FROM run r LEFT JOIN run_tag t ON t.run = COALESCE(r.parent, r.id) AND t.name = 'process' "
		"WHERE r.ended_ms IS NULL AND r.kind <> 'logged' AND r.id > ?1 AND r.id NOT IN (SELECT run FROM attempt) ORDER BY r.id", "s", after->text);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		snprintf(after->text, sizeof after->text, "%s", sl_stmt_text(stmt, 0));
		if (!sl_process_mark_alive(sl_stmt_text(stmt, 1)))
			return 1;
		rc = 0;
	}
	return rc;
}

int sl_run_reap(struct sl_track *track, struct sl_error *err)
{
	struct sl_id id = {""};
	int rc;
	while ((rc = next_dead(track, &id, err)) == 1) {
		rc = sl_run_end(track, &id, "killed", "its process ended without a word (killed, or the machine stopped)", err);
		if (rc && rc != SL_E_CONFLICT) /* another command reaped it meanwhile */
			return rc;
	}
	return rc;
}

int sl_run_find(struct sl_track *track, const char *id_or_prefix, struct sl_id *ret, struct sl_error *err)
{
	char from[SL_ID_LEN + 1], to[SL_ID_LEN + 2];
	size_t n = strlen(id_or_prefix);
	if (n == 0 || n > SL_ID_LEN)
		return sl_fail(err, SL_E_INVALID, "'%.64s' is not a run's id", id_or_prefix);
	for (size_t i = 0; i <= n; i++)
		from[i] =
			id_or_prefix[i] >= 'a' && id_or_prefix[i] <= 'z' ? (char)(id_or_prefix[i] - 'a' + 'A') : id_or_prefix[i];
	snprintf(to, sizeof to, "%s~", from); /* '~' is behind every character of an id */
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err, "SELECT id FROM run WHERE id >= ?1 AND id < ?2 LIMIT 2", "ss", from, to);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "there is no run %s", from);
	if (rc < 0 || !sl_id_parse(sl_stmt_text(stmt, 0), ret))
		return rc < 0 ? rc : sl_fail(err, SL_E_CORRUPT, "a run has the id '%.64s'", sl_stmt_text(stmt, 0));
	rc = sl_stmt_step(stmt, err);
	return rc == 1 ? sl_fail(err, SL_E_INVALID, "%s begins more than one run's id", from) : rc;
}

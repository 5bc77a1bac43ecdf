#include "record/own.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "record/artifact.h"
#include "record/limits.h"
#include "record/log.h"
#include "record/own_registry.h"

enum { DIGEST = SL_REC_DATASET_DIGEST_MAX };
static const char KIND_TAG[] = "sluice.kind", NAME_TAG[] = "mlflow.runName", PARENT_TAG[] = "mlflow.parentRunId";

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static bool can_be_named(const char *name)
{
	return sl_rec_check_key(name, "key", NULL) == 0 && sl_rec_check_length(name, SL_REC_KEY_MAX, "key", NULL) == 0;
}

/* ---- begin and end -------------------------------------------------------------------------------------------------- */

static int put_tag(struct sl_meta *meta, const struct sl_id *id, const char *name, const char *value, struct sl_error *err)
{
	return from_rows(sl_meta_exec(meta, err,
		"INSERT INTO rec_tag(run, name, value) SELECT num, ?2, substr(?3, 1, 8000) FROM rec_run WHERE id = ?1 "
		"ON CONFLICT(run, name) DO UPDATE SET value = excluded.value", "sss", id->text, name, value));
}

int sl_own_begin(struct sl_meta *meta, const struct sl_id *id, const struct sl_own_run *run, struct sl_error *err)
{
	struct sl_id parent;
	char hex[SL_ID_HEX + 1], uri[80];
	int64_t num;
	assert(sl_meta_in_transaction(meta));
	sl_id_hex(id, hex);
	snprintf(uri, sizeof uri, "mlflow-artifacts:/0/%s/artifacts", hex);
	int rc = sl_meta_int(meta, 1, &num, err, "SELECT max(num) + 1 FROM rec_run", NULL);
	if (!rc)
		rc = from_rows(sl_meta_exec(meta, err,
			"INSERT INTO rec_run(num, id, experiment, status, started_ms, name, user_name, artifact_uri) VALUES (?1, ?2, 0, 'RUNNING', "
			"?3, ?4, '', ?5)", "isiss", num, id->text, run->started_ms, run->name, uri));
	if (!rc)
		rc = put_tag(meta, id, NAME_TAG, run->name, err);
	if (!rc)
		rc = put_tag(meta, id, KIND_TAG, run->kind, err);
	if (rc || !run->parent || !sl_id_parse(run->parent, &parent))
		return rc;
	sl_id_hex(&parent, hex);
	return put_tag(meta, id, PARENT_TAG, hex, err);
}

int sl_own_end(struct sl_meta *meta, const struct sl_id *id, const char *status, const char *cause, int64_t ended_ms, struct sl_error *err)
{
	const char *word = sl_str_eq(status, "ok") ? "FINISHED" : sl_str_eq(status, "failed") ? "FAILED" : "KILLED";
	int rc = from_rows(sl_meta_exec(meta, err, "UPDATE rec_run SET status = ?2, ended_ms = ?3 WHERE id = ?1", "ssi", id->text, word, ended_ms));
	return rc || !cause || !*cause ? rc : put_tag(meta, id, "sluice.cause", cause, err);
}

/* ---- parameters, tags, inputs, artifacts ------------------------------------------------------------------------------ */

/* As a client would have written it. `doc` holds the text. */
static const char *text_of(const char *json_value, yyjson_doc *doc)
{
	const char *text = yyjson_get_str(yyjson_doc_get_root(doc));
	return text ? text : json_value;
}

int sl_own_param(struct sl_meta *meta, const struct sl_id *id, const char *name, const char *json_value, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(json_value, strlen(json_value), 0);
	if (!can_be_named(name))
		return 0;
	return from_rows(sl_meta_exec(meta, err,
		"INSERT INTO rec_param(run, name, value) SELECT num, ?2, substr(?3, 1, 6000) FROM rec_run WHERE id = ?1 "
		"ON CONFLICT(run, name) DO UPDATE SET value = excluded.value", "sss", id->text, name, text_of(json_value, doc)));
}

int sl_own_param_is(struct sl_meta *meta, const char *id, const char *name, const char *value, bool *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_id key;
	*ret = false;
	if (!sl_id_parse_hex(id, &key))
		return 0;
	int rc = sl_meta_query(meta, &stmt, err, "SELECT value FROM run_param WHERE run = ?1 AND name = ?2", "ss", key.text, name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	const char *own = sl_stmt_text(stmt, 0);
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(own, strlen(own), 0);
	*ret = strcmp(text_of(own, doc), value) == 0;
	return 0;
}

int sl_own_tag(struct sl_meta *meta, const struct sl_id *id, const char *name, const char *value, struct sl_error *err)
{
	char full[SL_REC_KEY_MAX + 8];
	if (sl_str_eq(name, "process") || snprintf(full, sizeof full, "sluice.%s", name) >= (int)sizeof full || !can_be_named(full))
		return 0;
	return put_tag(meta, id, full, value, err);
}

int sl_own_input(struct sl_meta *meta, const struct sl_id *id, const char *kind, const char *name, const char *hash, struct sl_error *err)
{
	struct sl_buf source SL_AUTO_BUF = SL_BUF_INIT(64 << 10), uri SL_AUTO_BUF = SL_BUF_INIT(16 << 10);
	char digest[DIGEST + 1], tags[96];
	if (sl_rec_length(name) > SL_REC_DATASET_NAME_MAX)
		return 0;
	snprintf(digest, sizeof digest, "%.*s", DIGEST, hash);
	snprintf(tags, sizeof tags, "[{\"key\":\"mlflow.data.context\",\"value\":\"%.20s\"}]", kind);
	sl_buf_printf(&uri, "%s:%s@%s", kind, name, hash);
	sl_buf_str(&source, "{\"uri\":");
	sl_json_string(&source, sl_buf_cstr(&uri), uri.len);
	sl_buf_char(&source, '}');
	int rc = sl_buf_check(&source, "an input's name", err);
	if (!rc)
		rc = from_rows(sl_meta_exec(meta, err,
			"INSERT INTO rec_dataset(experiment, name, digest, source_type, source) SELECT experiment, ?2, ?3, 'sluice', ?4 FROM rec_run "
			"WHERE id = ?1 ON CONFLICT DO NOTHING", "ssss", id->text, name, digest, sl_buf_cstr(&source)));
	return rc ? rc : from_rows(sl_meta_exec(meta, err,
		"INSERT INTO rec_input(run, dataset, context, tags) SELECT r.num, d.id, ?4, ?5 FROM rec_run r JOIN rec_dataset d ON d.experiment = "
		"r.experiment AND d.name = ?2 AND d.digest = ?3 WHERE r.id = ?1 ON CONFLICT DO NOTHING", "sssss", id->text, name, digest, kind, tags));
}

int sl_own_artifact(struct sl_meta *meta, const struct sl_id *id, const char *path, const char *hash, int64_t size_bytes, struct sl_error *err)
{
	struct sl_record record = {.meta = meta};
	struct sl_hash content;
	char whole[SL_ARTIFACT_PATH_MAX], hex[SL_ID_HEX + 1];
	sl_id_hex(id, hex);
	if (snprintf(whole, sizeof whole, "0/%s/artifacts/%s", hex, path) >= (int)sizeof whole || sl_artifact_check_path(whole, NULL) ||
	    !sl_hash_parse(hash, &content))
		return 0;
	int rc = sl_artifact_name(&record, whole, &content, (uint64_t)size_bytes, err);
	return rc == SL_E_INVALID ? 0 : rc; /* a folder has that name */
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

/* 1: *ret has what logging needs. 0: it is not shown, or a client has put it into the bin. */
static int find_run(struct sl_meta *meta, const struct sl_id *id, struct sl_rec_run *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(meta, &stmt, err, "SELECT num, experiment FROM rec_run WHERE id = ?1 AND deleted = 0", "s", id->text);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	*ret = (struct sl_rec_run){.num = sl_stmt_int(stmt, 0), .experiment = sl_stmt_int(stmt, 1)};
	sl_id_hex(id, ret->id);
	return rc;
}

static int log_batch(struct sl_meta *meta, struct sl_rec_run *run, const struct sl_own_point *points, size_t count, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_rec_metric *metrics = arena ? sl_arena_array(arena, count, sizeof *metrics) : NULL;
	struct sl_record record = {.meta = meta};
	struct sl_rec_batch batch = {.metrics = metrics};
	if (!metrics)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		if (can_be_named(points[i].name) && points[i].time_ms >= 0)
			metrics[batch.metric_count++] = (struct sl_rec_metric){.name = points[i].name, .value = points[i].value,
				.time_ms = points[i].time_ms, .step = points[i].step, .model = "", .dataset_name = "", .dataset_digest = ""};
	return sl_rec_log(&record, run, &batch, NULL, arena, err);
}

int sl_own_points(struct sl_meta *meta, const struct sl_id *id, const struct sl_own_point *points, size_t count, struct sl_error *err)
{
	struct sl_rec_run run;
	int rc = find_run(meta, id, &run, err);
	if (rc != 1)
		return rc;
	rc = 0;
	for (size_t i = 0; !rc && i < count; i += SL_REC_BATCH_METRICS) {
		size_t left = count - i;
		rc = log_batch(meta, &run, points + i, left < SL_REC_BATCH_METRICS ? left : SL_REC_BATCH_METRICS, err);
	}
	return rc;
}

/* ---- runs of before ------------------------------------------------------------------------------------------------- */

/* One row of a run's table to its place here. */
typedef int row_fn(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err);

static int show_param(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err)
{
	return sl_own_param(meta, id, sl_stmt_text(row, 0), sl_stmt_text(row, 1), err);
}

static int show_tag(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err)
{
	return sl_own_tag(meta, id, sl_stmt_text(row, 0), sl_stmt_text(row, 1), err);
}

static int show_input(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err)
{
	return sl_own_input(meta, id, sl_stmt_text(row, 0), sl_stmt_text(row, 1), sl_stmt_text(row, 2), err);
}

static int show_artifact(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err)
{
	return sl_own_artifact(meta, id, sl_stmt_text(row, 0), sl_stmt_text(row, 1), sl_stmt_int(row, 2), err);
}

static int show_point(struct sl_meta *meta, const struct sl_id *id, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_own_point point = {sl_stmt_text(row, 0), sl_stmt_int(row, 1), sl_stmt_int(row, 2),
		sl_stmt_null(row, 3) ? (double)NAN : sl_stmt_double(row, 3)};
	return sl_own_points(meta, id, &point, 1, err);
}

static int show_rows(struct sl_meta *meta, const struct sl_id *id, struct sl_error *err)
{
	static const struct { const char *sql; row_fn *show; } PARTS[] = {
		{"SELECT name, value FROM run_param WHERE run = ?1", show_param},
		{"SELECT name, value FROM run_tag WHERE run = ?1", show_tag},
		{"SELECT kind, name, hash FROM run_input WHERE run = ?1", show_input},
		{"SELECT path, hash, size_bytes FROM run_artifact WHERE run = ?1", show_artifact},
		{"SELECT name, step, time_ms, value FROM run_metric WHERE run = ?1", show_point}};
	int rc = 0;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(PARTS); i++) {
		struct sl_stmt *row SL_AUTO_STMT = NULL;
		rc = sl_meta_query(meta, &row, err, PARTS[i].sql, "s", id->text);
		while (!rc && (rc = sl_stmt_step(row, err)) == 1)
			rc = PARTS[i].show(meta, id, row, err);
	}
	return rc;
}

/* The first run that is not shown yet; 0: none is left. */
static int show_next(struct sl_meta *meta, struct sl_id *after, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(meta, &row, err,
		"SELECT id, kind, name, parent, started_ms, status, cause, ended_ms FROM run WHERE id > ?1 AND kind <> 'logged' AND NOT EXISTS "
		"(SELECT 1 FROM rec_run WHERE rec_run.id = run.id) ORDER BY id LIMIT 1", "s", after->text);
	if (!rc)
		rc = sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	snprintf(after->text, sizeof after->text, "%s", sl_stmt_text(row, 0));
	struct sl_own_run run = {sl_stmt_text(row, 1), sl_stmt_text(row, 2), sl_stmt_null(row, 3) ? NULL : sl_stmt_text(row, 3), sl_stmt_int(row, 4)};
	rc = sl_own_begin(meta, after, &run, err);
	if (!rc)
		rc = show_rows(meta, after, err);
	if (!rc && !sl_stmt_null(row, 7))
		rc = sl_own_end(meta, after, sl_stmt_text(row, 5), sl_stmt_text(row, 6), sl_stmt_int(row, 7), err);
	return rc ? rc : 1;
}

static int show_all(struct sl_meta *meta, struct sl_error *err)
{
	struct sl_id after = {""};
	int rc;
	while ((rc = show_next(meta, &after, err)) == 1)
		;
	rc = rc ? rc : sl_own_registry_show(meta, err);
	return rc ? rc : from_rows(sl_meta_exec(meta, err, "INSERT INTO setting(name, value) VALUES ('own_runs_shown', '1')", ""));
}

int sl_own_catch_up(struct sl_meta *meta, struct sl_error *err)
{
	int64_t shown;
	int rc = sl_meta_int(meta, 0, &shown, err, "SELECT count(*) FROM setting WHERE name = 'own_runs_shown'", NULL);
	if (rc || shown)
		return rc;
	rc = sl_meta_begin(meta, err);
	if (!rc)
		rc = sl_meta_int(meta, 0, &shown, err, "SELECT count(*) FROM setting WHERE name = 'own_runs_shown'", NULL);
	else
		return rc;
	return sl_meta_end(meta, rc || shown ? rc : show_all(meta, err), err);
}

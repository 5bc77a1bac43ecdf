#include "record/trace.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "record/limits.h"
#include "record/trace_internal.h"

#define COLUMNS "num, id, experiment, started_ms, duration_ms, state, client_request, request_preview, response_preview"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const char *id, struct sl_error *err)
{
	return sl_record_entry(record, change, "trace", id, err);
}

bool sl_trace_state_valid(const char *state)
{
	static const char *const STATES[] = {"STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"};
	for (size_t i = 0; i < SL_ARRAY_LEN(STATES); i++)
		if (strcmp(state, STATES[i]) == 0)
			return true;
	return false;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* False when memory is out. */
static bool copy_text(struct sl_stmt *row, int column, struct sl_arena *arena, const char **ret)
{
	*ret = sl_stmt_null(row, column) ? NULL : sl_arena_strdup(arena, sl_stmt_text(row, column));
	return *ret || sl_stmt_null(row, column);
}

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err)
{
	*ret = (struct sl_trace){.num = sl_stmt_int(row, 0), .experiment = sl_stmt_int(row, 2), .started_ms = sl_stmt_int(row, 3),
		.duration_ms = sl_stmt_int(row, 4), .ended = !sl_stmt_null(row, 4)};
	bool whole = copy_text(row, 1, arena, &ret->id) && copy_text(row, 5, arena, &ret->state) &&
		copy_text(row, 6, arena, &ret->client_request) && copy_text(row, 7, arena, &ret->request_preview) &&
		copy_text(row, 8, arena, &ret->response_preview);
	return whole ? 0 : sl_fail_memory(err);
}

int sl_trace_find(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM trace WHERE id = ?1", "s", id);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	rc = fill(row, arena, ret, err);
	return rc ? rc : 1;
}

int sl_trace_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err)
{
	int found = sl_trace_find(record, id, arena, ret, err);
	if (found == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Trace with ID '%.256s' not found.", id);
	return found < 0 ? found : 0;
}

int sl_trace_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM trace WHERE num = ?1", "i", num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	rc = fill(row, arena, ret, err);
	return rc ? rc : 1;
}

int sl_trace_pairs(struct sl_record *record, int64_t num, enum sl_trace_pair kind, struct sl_arena *arena, struct sl_pair **ret,
	size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int64_t count;
	*ret_count = 0;
	int rc = sl_meta_int(record->meta, 0, &count, err, "SELECT count(*) FROM trace_pair WHERE trace = ?1 AND kind = ?2", "ii", num,
		(int64_t)kind);
	struct sl_pair *pairs = rc ? NULL : sl_arena_array(arena, (size_t)count + 1, sizeof *pairs);
	if (!pairs)
		return rc ? rc : sl_fail_memory(err);
	*ret = pairs;
	rc = sl_meta_query(record->meta, &row, err, "SELECT name, value FROM trace_pair WHERE trace = ?1 AND kind = ?2 ORDER BY name", "ii",
		num, (int64_t)kind);
	while (!rc && *ret_count < (size_t)count && (rc = sl_stmt_step(row, err)) == 1) {
		struct sl_pair *pair = &pairs[(*ret_count)++];
		pair->name = sl_arena_strdup(arena, sl_stmt_text(row, 0));
		pair->value = sl_arena_strdup(arena, sl_stmt_text(row, 1));
		rc = pair->name && pair->value ? 0 : sl_fail_memory(err);
	}
	return rc;
}

int sl_trace_pair_get(struct sl_record *record, int64_t num, enum sl_trace_pair kind, const char *name, struct sl_arena *arena,
	const char **ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	*ret = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT value FROM trace_pair WHERE trace = ?1 AND kind = ?2 AND name = ?3", "iis",
		num, (int64_t)kind, name);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	return copy_text(row, 0, arena, ret) ? 0 : sl_fail_memory(err);
}

/* ---- tags and metadata ---------------------------------------------------------------------------------------------- */

/* The name and the session stand in the trace's row too, where searches sort by them and sessions are found. */
static int follow(struct sl_record *record, int64_t num, enum sl_trace_pair kind, const char *name, const char *value, struct sl_error *err)
{
	const char *sql = kind == SL_TRACE_TAG && strcmp(name, SL_TRACE_TAG_NAME) == 0 ? "UPDATE trace SET name = ?2 WHERE num = ?1"
		: kind == SL_TRACE_METADATA && strcmp(name, SL_TRACE_SESSION) == 0 ? "UPDATE trace SET session = ?2 WHERE num = ?1" : NULL;
	return sql ? from_rows(sl_meta_exec(record->meta, err, sql, "is", num, value)) : 0;
}

static int check_name(enum sl_trace_pair kind, const char *name, struct sl_error *err)
{
	int rc = kind == SL_TRACE_TAG ? sl_rec_check_key(name, "key", err) : 0;
	return rc ? rc : sl_rec_check_length(name, SL_REC_KEY_MAX, "key", err);
}

int sl_trace_put(struct sl_record *record, int64_t num, enum sl_trace_pair kind, const struct sl_pair *pair, struct sl_arena *arena,
	struct sl_error *err)
{
	int rc = check_name(kind, pair->name, err);
	if (!rc && kind == SL_TRACE_TAG && strcmp(pair->name, SL_TRACE_TAG_NAME) == 0)
		rc = sl_rec_check_length(pair->value, SL_TRACE_NAME_MAX, "Trace name", err);
	const char *value = rc ? NULL : sl_rec_cut(pair->value, kind == SL_TRACE_TAG ? SL_TRACE_TAG_MAX : SL_TRACE_METADATA_MAX, arena);
	if (!value)
		return rc ? rc : sl_fail_memory(err);
	rc = from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO trace_pair(trace, kind, name, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (trace, kind, name) DO UPDATE SET value = "
		"excluded.value", "iiss", num, (int64_t)kind, pair->name, value));
	return rc ? rc : follow(record, num, kind, pair->name, value, err);
}

static int put_all(struct sl_record *record, int64_t num, const struct sl_trace_start *start, struct sl_arena *arena, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < start->tag_count; i++)
		rc = sl_trace_put(record, num, SL_TRACE_TAG, &start->tags[i], arena, err);
	for (size_t i = 0; !rc && i < start->metadata_count; i++)
		rc = sl_trace_put(record, num, SL_TRACE_METADATA, &start->metadata[i], arena, err);
	if (!rc && start->final)
		rc = sl_trace_put(record, num, SL_TRACE_METADATA, &(struct sl_pair){"mlflow.trace.infoFinalized", "true"}, arena, err);
	return rc;
}

int sl_trace_set_tag(struct sl_record *record, const struct sl_trace *trace, const char *name, const char *value,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err)
{
	const struct sl_pair pair = {name, value};
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_trace_put(record, trace->num, SL_TRACE_TAG, &pair, arena, err);
	return rc ? rc : entry(record, change, trace->id, err);
}

int sl_trace_delete_tag(struct sl_record *record, const struct sl_trace *trace, const char *name, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int64_t rows = sl_meta_exec(record->meta, err, "DELETE FROM trace_pair WHERE trace = ?1 AND kind = 1 AND name = ?2", "is", trace->num,
		name);
	if (rows == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "No trace tag with key '%.250s' for trace with ID '%s'", name, trace->id);
	int rc = from_rows(rows);
	rc = rc ? rc : follow(record, trace->num, SL_TRACE_TAG, name, NULL, err);
	return rc ? rc : entry(record, change, trace->id, err);
}

/* ---- starting and ending -------------------------------------------------------------------------------------------- */

/* It becomes a folder's name. */
static int check_id(const char *id, struct sl_error *err)
{
	static const char GOOD[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t len = strlen(id);
	if (len && len <= SL_TRACE_ID_MAX && strspn(id, GOOD) == len)
		return 0;
	return sl_rec_invalid(err, "trace_id", id, "it may have letters, digits, '-' and '_'");
}

static int check_experiment(const struct sl_experiment *experiment, struct sl_error *err)
{
	if (!experiment->deleted)
		return 0;
	return sl_fail(err, SL_E_INVALID, "The experiment %" PRId64 " must be in the 'active' state. Current state is deleted.",
		experiment->id);
}

static int put_location(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_trace *trace,
	struct sl_arena *arena, struct sl_error *err)
{
	const char *place = sl_arena_printf(arena, "%s/traces/%s/artifacts", experiment->artifact_location, trace->id);
	const struct sl_pair pair = {SL_TRACE_TAG_ARTIFACTS, place};
	return place ? sl_trace_put(record, trace->num, SL_TRACE_TAG, &pair, arena, err) : sl_fail_memory(err);
}

/* What insert and update write alike: ?1 num ... ?10. Without an end there is no duration. */
static int write_row(struct sl_record *record, const char *sql, const struct sl_trace *t, bool final, struct sl_error *err)
{
	if (!t->ended)
		return from_rows(sl_meta_exec(record->meta, err, sql, "isiinsisss", t->num, t->id, t->experiment, t->started_ms, t->state,
			(int64_t)final, t->client_request, t->request_preview, t->response_preview));
	return from_rows(sl_meta_exec(record->meta, err, sql, "isiiisisss", t->num, t->id, t->experiment, t->started_ms, t->duration_ms,
		t->state, (int64_t)final, t->client_request, t->request_preview, t->response_preview));
}

int sl_trace_insert(struct sl_record *record, const struct sl_experiment *experiment, struct sl_trace *trace, bool final,
	struct sl_arena *arena, struct sl_error *err)
{
	int rc = check_id(trace->id, err);
	rc = rc ? rc : check_experiment(experiment, err);
	trace->experiment = experiment->id;
	rc = rc ? rc : sl_meta_int(record->meta, 1, &trace->num, err, "SELECT max(num) + 1 FROM trace", NULL);
	if (rc)
		return rc;
	rc = write_row(record, "INSERT INTO trace(num, id, experiment, started_ms, duration_ms, state, finalized, client_request, "
		"request_preview, response_preview) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", trace, final, err);
	return rc ? rc : put_location(record, experiment, trace, arena, err);
}

/* A trace that its spans have made already. */
static int complete(struct sl_record *record, const struct sl_experiment *experiment, struct sl_trace *trace, bool final,
	struct sl_arena *arena, struct sl_error *err)
{
	int rc = check_experiment(experiment, err);
	trace->experiment = experiment->id;
	if (rc)
		return rc;
	rc = write_row(record, "UPDATE trace SET id = ?2, experiment = ?3, started_ms = ?4, duration_ms = ?5, state = ?6, finalized = ?7, "
		"client_request = ?8, request_preview = coalesce(?9, request_preview), response_preview = coalesce(?10, response_preview) "
		"WHERE num = ?1", trace, final, err);
	return rc ? rc : put_location(record, experiment, trace, arena, err);
}

static int check_texts(const struct sl_trace *trace, struct sl_error *err)
{
	int rc = trace->client_request ? sl_rec_check_length(trace->client_request, SL_REC_KEY_MAX, "client_request_id", err) : 0;
	if (!rc && !sl_trace_state_valid(trace->state))
		rc = sl_fail(err, SL_E_INVALID, "Invalid trace state: %.60s", trace->state);
	return rc;
}

static int name_it(struct sl_trace *trace, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_id id;
	char hex[SL_ID_HEX + 1];
	if (trace->id)
		return 0;
	int rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	sl_id_hex(&id, hex);
	trace->id = sl_arena_printf(arena, "tr-%s", hex);
	return trace->id ? 0 : sl_fail_memory(err);
}

int sl_trace_start(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_trace_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err)
{
	struct sl_trace trace = start->trace, old;
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_texts(&trace, err);
	rc = rc ? rc : name_it(&trace, arena, err);
	if (rc)
		return rc;
	if (trace.request_preview)
		trace.request_preview = sl_rec_cut(trace.request_preview, SL_TRACE_PREVIEW_MAX, arena);
	if (trace.response_preview)
		trace.response_preview = sl_rec_cut(trace.response_preview, SL_TRACE_PREVIEW_MAX, arena);
	int found = sl_trace_find(record, trace.id, arena, &old, err);
	if (found < 0)
		return found;
	trace.num = found ? old.num : 0;
	rc = found ? complete(record, experiment, &trace, start->final, arena, err)
		   : sl_trace_insert(record, experiment, &trace, start->final, arena, err);
	rc = rc ? rc : put_all(record, trace.num, start, arena, err);
	rc = rc ? rc : entry(record, change, trace.id, err);
	if (rc)
		return rc;
	found = sl_trace_at(record, trace.num, arena, ret, err);
	return found < 0 ? found : 0;
}

int sl_trace_end(struct sl_record *record, struct sl_trace *trace, int64_t ended_ms, const char *state, const struct sl_trace_start *more,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	trace->duration_ms = ended_ms - trace->started_ms;
	trace->ended = true;
	trace->state = state;
	int rc = check_texts(trace, err);
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE trace SET duration_ms = ?2, state = ?3, finalized = 1 WHERE num = ?1",
		"iis", trace->num, trace->duration_ms, state));
	rc = rc ? rc : put_all(record, trace->num, more, arena, err);
	return rc ? rc : entry(record, change, trace->id, err);
}

/* ---- deleting ------------------------------------------------------------------------------------------------------- */

/* "WHERE trace IN (<which>)" of every table that hangs off a trace, then the traces themselves. */
static int64_t delete_where(struct sl_record *record, int64_t experiment, const char *id, int64_t until_ms, int64_t max,
	struct sl_error *err)
{
#define BY_ID "(SELECT num FROM trace WHERE experiment = ?1 AND id = ?2)"
#define BY_AGE "(SELECT num FROM trace WHERE experiment = ?1 AND started_ms <= ?2 ORDER BY started_ms, id LIMIT ?3)"
	static const struct { const char *by_id, *by_age; } TABLES[] = {
		{"DELETE FROM trace_pair WHERE trace IN " BY_ID, "DELETE FROM trace_pair WHERE trace IN " BY_AGE},
		{"DELETE FROM trace_span WHERE trace IN " BY_ID, "DELETE FROM trace_span WHERE trace IN " BY_AGE},
		{"DELETE FROM trace_assessment WHERE trace IN " BY_ID, "DELETE FROM trace_assessment WHERE trace IN " BY_AGE},
		{"DELETE FROM trace_link WHERE trace IN " BY_ID, "DELETE FROM trace_link WHERE trace IN " BY_AGE},
		{"DELETE FROM trace WHERE num IN " BY_ID, "DELETE FROM trace WHERE num IN " BY_AGE},
	};
	int64_t rows = 0;
	for (size_t i = 0; rows >= 0 && i < SL_ARRAY_LEN(TABLES); i++)
		rows = id ? sl_meta_exec(record->meta, err, TABLES[i].by_id, "is", experiment, id)
			  : sl_meta_exec(record->meta, err, TABLES[i].by_age, "iii", experiment, until_ms, max);
	return rows;
}

int sl_traces_delete(struct sl_record *record, int64_t experiment, const struct sl_trace_selection *selection,
	const struct sl_change *change, int64_t *ret_count, struct sl_error *err)
{
	char subject[24];
	int64_t rows, max = selection->max < SL_TRACES_DELETE_MAX ? selection->max : SL_TRACES_DELETE_MAX;
	assert(sl_meta_in_transaction(record->meta));
	*ret_count = 0;
	if (selection->count > SL_TRACES_DELETE_MAX)
		return sl_fail(err, SL_E_INVALID, "At most %d traces can be deleted at once", SL_TRACES_DELETE_MAX);
	for (size_t i = 0; i < selection->count; i++) {
		rows = delete_where(record, experiment, selection->ids[i], 0, 0, err);
		if (rows < 0)
			return (int)rows;
		*ret_count += rows;
	}
	if (!selection->count) {
		rows = delete_where(record, experiment, NULL, selection->until_ms, max, err);
		if (rows < 0)
			return (int)rows;
		*ret_count = rows;
	}
	snprintf(subject, sizeof subject, "%" PRId64, experiment);
	return sl_record_entry(record, change, "experiment", subject, err);
}

/* ---- links ---------------------------------------------------------------------------------------------------------- */

int sl_trace_add_link(struct sl_record *record, int64_t num, enum sl_trace_link kind, const char *target, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO trace_link(trace, kind, target) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", "iss", num,
		kind == SL_TRACE_TO_RUN ? "run" : "prompt", target));
}

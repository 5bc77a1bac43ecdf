/* Spans, and what a trace learns from them. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "record/limits.h"
#include "record/trace_internal.h"

enum { NS_PER_MS = 1000000 };
#define TRACE_USER "mlflow.trace.user"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- previews ------------------------------------------------------------------------------------------------------- */

/* Where chats keep their messages (mlflow/tracing/utils/truncation.py): messages, input, output, choices[0].message, request. */
static yyjson_val *messages_of(yyjson_val *object)
{
	static const char *const LISTS[] = {"messages", "input", "output"};
	yyjson_val *list = NULL, *choice = yyjson_arr_get_first(yyjson_obj_get(object, "choices"));
	for (size_t i = 0; i < SL_ARRAY_LEN(LISTS); i++)
		if (yyjson_arr_size(list = yyjson_obj_get(object, LISTS[i])))
			return list;
	if (yyjson_obj_get(choice, "message"))
		return yyjson_obj_get(choice, "message");
	yyjson_val *request = yyjson_obj_get(object, "request");
	return request ? messages_of(request) : NULL;
}

static bool is_message(yyjson_val *value) { return yyjson_obj_get(value, "role") && yyjson_obj_get(value, "content"); }

/* The last message of that role, else the last. */
static yyjson_val *last_message(yyjson_val *messages, const char *role)
{
	yyjson_val *last = NULL, *of_role = NULL, *item;
	if (yyjson_is_obj(messages))
		return is_message(messages) ? messages : NULL;
	yyjson_arr_iter it = yyjson_arr_iter_with(messages);
	while ((item = yyjson_arr_iter_next(&it)))
		if (is_message(item)) {
			last = item;
			if (yyjson_equals_str(yyjson_obj_get(item, "role"), role))
				of_role = item;
		}
	return of_role ? of_role : last;
}

static const char *text_of(yyjson_val *message)
{
	yyjson_val *content = yyjson_obj_get(message, "content"), *part;
	if (!yyjson_is_arr(content))
		return yyjson_get_str(content);
	yyjson_arr_iter it = yyjson_arr_iter_with(content);
	while ((part = yyjson_arr_iter_next(&it))) {
		const char *type = sl_json_str(part, "type", "");
		if (yyjson_is_str(part))
			return yyjson_get_str(part);
		if (strcmp(type, "text") == 0 || strcmp(type, "output_text") == 0)
			return sl_json_str(part, "text", NULL);
	}
	return NULL;
}

/* What a list of traces shows of inputs or outputs; NULL when there are none, or no memory. */
static const char *preview(const char *json, const char *role, struct sl_arena *arena)
{
	if (!json)
		return NULL;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(json, strlen(json), "span", NULL);
	yyjson_val *message = doc ? last_message(messages_of(yyjson_doc_get_root(doc)), role) : NULL;
	const char *text = message ? text_of(message) : NULL;
	text = text && *text ? text : json;
	if (sl_rec_length(text) <= SL_TRACE_PREVIEW_MAX)
		return sl_arena_strdup(arena, text);
	text = sl_rec_cut(text, SL_TRACE_PREVIEW_MAX - 3, arena);
	return text ? sl_arena_printf(arena, "%s...", text) : NULL;
}

/* ---- the trace of a group of spans ---------------------------------------------------------------------------------- */

struct group {
	struct sl_record *record;
	const struct sl_experiment *experiment;
	const struct sl_trace_span *spans, *root; /* of one trace; the root may be NULL */
	size_t count;
	int64_t started_ms, ended_ms;             /* ended 0: none has */
	const char *session, *user;
	struct sl_arena *arena;
	int64_t num;
};

static const char *state_of(const struct group *g)
{
	return !g->root ? "IN_PROGRESS" : strcmp(g->root->status, "ERROR") == 0 ? "ERROR" : "OK";
}

static void look_at(struct group *g)
{
	g->started_ms = INT64_MAX;
	for (size_t i = 0; i < g->count; i++) {
		const struct sl_trace_span *span = &g->spans[i];
		int64_t started = span->started_ns / NS_PER_MS, ended = span->ended_ns / NS_PER_MS;
		g->started_ms = started < g->started_ms ? started : g->started_ms;
		g->ended_ms = ended > g->ended_ms ? ended : g->ended_ms;
		g->root = *span->parent ? g->root : span;
		g->session = g->session ? g->session : span->session;
		g->user = g->user ? g->user : span->user;
	}
}

static int make_trace(struct group *g, struct sl_error *err)
{
	struct sl_trace trace = {.id = g->spans->trace, .started_ms = g->started_ms, .ended = g->ended_ms > 0,
		.duration_ms = g->ended_ms - g->started_ms, .state = state_of(g)};
	int rc = sl_trace_insert(g->record, g->experiment, &trace, false, g->arena, err);
	g->num = trace.num;
	return rc;
}

static int find_or_make(struct group *g, struct sl_error *err)
{
	int rc = sl_meta_int(g->record->meta, 0, &g->num, err, "SELECT num FROM trace WHERE id = ?1", "s", g->spans->trace);
	return rc || g->num ? rc : make_trace(g, err);
}

static int insert_spans(struct group *g, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < g->count; i++) {
		const struct sl_trace_span *s = &g->spans[i];
		rc = from_rows(sl_meta_exec(g->record->meta, err,
			"INSERT INTO trace_span(trace, id, parent, name, type, status, started_ns, ended_ns, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
			"?7, ?8, ?9) ON CONFLICT (trace, id) DO UPDATE SET parent = excluded.parent, name = excluded.name, type = excluded.type, "
			"status = excluded.status, started_ns = excluded.started_ns, ended_ns = excluded.ended_ns, content = excluded.content",
			"isssssiis", g->num, s->id, s->parent, s->name, s->type, s->status, s->started_ns, s->ended_ns, s->content));
	}
	return rc;
}

/* The times of a trace that nobody has finalized reach from its first span to its last; a root tells how it ended. */
static int update_trace(struct group *g, struct sl_error *err)
{
	const char *request = g->root ? preview(g->root->inputs, "user", g->arena) : NULL;
	const char *response = g->root ? preview(g->root->outputs, "assistant", g->arena) : NULL;
	int rc = from_rows(sl_meta_exec(g->record->meta, err,
		"UPDATE trace SET started_ms = min(started_ms, ?2), duration_ms = CASE WHEN ?3 = 0 AND duration_ms IS NULL THEN NULL ELSE "
		"max(started_ms + coalesce(duration_ms, 0), ?3) - min(started_ms, ?2) END WHERE num = ?1 AND finalized = 0", "iii", g->num,
		g->started_ms, g->ended_ms));
	if (rc || !g->root)
		return rc;
	rc = from_rows(sl_meta_exec(g->record->meta, err,
		"UPDATE trace SET state = ?2 WHERE num = ?1 AND state IN ('IN_PROGRESS', 'STATE_UNSPECIFIED')", "is", g->num, state_of(g)));
	return rc ? rc : from_rows(sl_meta_exec(g->record->meta, err, "UPDATE trace SET request_preview = coalesce(request_preview, ?2), "
		"response_preview = coalesce(response_preview, ?3) WHERE num = ?1", "iss", g->num, request, response));
}

/* Metadata that is there stays. */
static int put_missing(struct group *g, const char *name, const char *value, struct sl_error *err)
{
	const char *there;
	const struct sl_pair pair = {name, value};
	if (!value)
		return 0;
	int rc = sl_trace_pair_get(g->record, g->num, SL_TRACE_METADATA, name, g->arena, &there, err);
	return rc || there ? rc : sl_trace_put(g->record, g->num, SL_TRACE_METADATA, &pair, g->arena, err);
}

/* A tag of a resource whose name cannot be one is left out, as MLflow does. */
static int put_tags(struct group *g, struct sl_error *err)
{
	const struct sl_pair in_store = {SL_TRACE_TAG_SPANS, SL_TRACE_IN_STORE};
	const struct sl_trace_span *from = g->root ? g->root : g->spans;
	int rc = sl_trace_put(g->record, g->num, SL_TRACE_TAG, &in_store, g->arena, err);
	for (size_t i = 0; !rc && i < from->tag_count; i++)
		if (!sl_rec_check_key(from->tags[i].name, "key", NULL) && !sl_rec_check_length(from->tags[i].name, SL_REC_KEY_MAX, "key", NULL))
			rc = sl_trace_put(g->record, g->num, SL_TRACE_TAG, &from->tags[i], g->arena, err);
	return rc;
}

static int log_group(struct group *g, struct sl_error *err)
{
	look_at(g);
	int rc = find_or_make(g, err);
	rc = rc ? rc : insert_spans(g, err);
	rc = rc ? rc : update_trace(g, err);
	rc = rc ? rc : put_missing(g, SL_TRACE_SESSION, g->session, err);
	rc = rc ? rc : put_missing(g, TRACE_USER, g->user, err);
	return rc ? rc : put_tags(g, err);
}

static int compare_traces(const void *a, const void *b)
{
	return strcmp(((const struct sl_trace_span *)a)->trace, ((const struct sl_trace_span *)b)->trace);
}

int sl_trace_log_spans(struct sl_record *record, const struct sl_experiment *experiment, struct sl_trace_span *spans, size_t count,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err)
{
	char subject[24];
	int rc = 0;
	assert(sl_meta_in_transaction(record->meta));
	if (count > 1)
		qsort(spans, count, sizeof *spans, compare_traces);
	for (size_t from = 0, to; !rc && from < count; from = to) {
		for (to = from + 1; to < count && strcmp(spans[from].trace, spans[to].trace) == 0; to++)
			;
		struct group group = {.record = record, .experiment = experiment, .spans = spans + from, .count = to - from, .arena = arena};
		rc = log_group(&group, err);
	}
	snprintf(subject, sizeof subject, "%" PRId64, experiment->id);
	return rc ? rc : sl_record_entry(record, change, "experiment", subject, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

int sl_trace_spans(struct sl_record *record, int64_t num, sl_trace_span_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT content FROM trace_span WHERE trace = ?1 ORDER BY CASE parent WHEN '' THEN 0 ELSE 1 END, started_ns, id", "i", num);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1)
		rc = each(context, sl_stmt_text(row, 0), err);
	return rc;
}

int sl_trace_span_count(struct sl_record *record, int64_t num, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(record->meta, 0, ret, err, "SELECT count(*) FROM trace_span WHERE trace = ?1", "i", num);
}

#include "mlflow/trace_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

enum { PAGE = 100 };

/* ---- version 3 ------------------------------------------------------------------------------------------------------ */

static void put_time(struct sl_buf *out, const char *name, int64_t ms)
{
	char text[SL_TIME_TEXT];
	sl_ml_put_text(out, name, sl_time_format(ms, text));
}

/* protobuf's Duration: seconds with three digits behind the point, or none. */
static void put_duration(struct sl_buf *out, int64_t ms)
{
	char text[40];
	const char *sign = ms < 0 ? "-" : "";
	uint64_t all = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	if (all % 1000)
		snprintf(text, sizeof text, "%s%" PRIu64 ".%03" PRIu64 "s", sign, all / 1000, all % 1000);
	else
		snprintf(text, sizeof text, "%s%" PRIu64 "s", sign, all / 1000);
	sl_ml_put_text(out, "execution_duration", text);
}

static int put_map(struct sl_ml_call *call, const struct sl_trace *trace, enum sl_trace_pair kind, const char *name, struct sl_error *err)
{
	struct sl_pair *pairs;
	size_t count;
	int rc = sl_trace_pairs(&call->record, trace->num, kind, call->arena, &pairs, &count, err);
	if (rc || !count)
		return rc;
	sl_ml_open(&call->out, name, '{');
	for (size_t i = 0; i < count; i++) {
		sl_ml_comma(&call->out);
		sl_json_string(&call->out, pairs[i].name, strlen(pairs[i].name));
		sl_buf_char(&call->out, ':');
		sl_json_string(&call->out, pairs[i].value, strlen(pairs[i].value));
	}
	sl_buf_char(&call->out, '}');
	return 0;
}

void sl_ml_write_assessment(struct sl_buf *out, const struct sl_assessment *assessment, const char *trace_id)
{
	size_t body = strlen(assessment->body);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "assessment_id", assessment->id);
	sl_ml_put_text(out, "assessment_name", assessment->name);
	sl_ml_put_text(out, "trace_id", trace_id);
	put_time(out, "create_time", assessment->created_ms);
	put_time(out, "last_update_time", assessment->updated_ms);
	if (*assessment->overrides)
		sl_ml_put_text(out, "overrides", assessment->overrides);
	sl_ml_put_bool(out, "valid", assessment->valid);
	if (body > 2) { /* the members of an object */
		sl_buf_char(out, ',');
		sl_buf_add(out, assessment->body + 1, body - 2);
	}
	sl_buf_char(out, '}');
}

struct assessments { struct sl_buf *out; const char *trace; bool any; };

static int put_assessment(void *context, const struct sl_assessment *assessment, struct sl_error *err)
{
	struct assessments *all = context;
	(void)err;
	if (!all->any)
		sl_ml_open(all->out, "assessments", '[');
	all->any = true;
	sl_ml_comma(all->out);
	sl_ml_write_assessment(all->out, assessment, all->trace);
	return 0;
}

static int put_assessments(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err)
{
	struct assessments all = {&call->out, trace->id, false};
	int rc = sl_assessments_each(&call->record, trace, call->arena, put_assessment, &all, err);
	if (all.any)
		sl_buf_char(&call->out, ']');
	return rc;
}

static void put_if(struct sl_buf *out, const char *name, const char *text)
{
	if (text)
		sl_ml_put_text(out, name, text);
}

int sl_ml_write_trace_info(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	char experiment[24];
	snprintf(experiment, sizeof experiment, "%" PRId64, trace->experiment);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "trace_id", trace->id);
	put_if(out, "client_request_id", trace->client_request);
	sl_buf_str(out, ",\"trace_location\":{\"type\":\"MLFLOW_EXPERIMENT\",\"mlflow_experiment\":{");
	sl_ml_put_text(out, "experiment_id", experiment);
	sl_buf_str(out, "}}");
	put_if(out, "request_preview", trace->request_preview);
	put_if(out, "response_preview", trace->response_preview);
	put_time(out, "request_time", trace->started_ms);
	if (trace->ended)
		put_duration(out, trace->duration_ms);
	sl_ml_put_text(out, "state", trace->state);
	int rc = put_map(call, trace, SL_TRACE_METADATA, "trace_metadata", err);
	rc = rc ? rc : put_map(call, trace, SL_TRACE_TAG, "tags", err);
	rc = rc ? rc : put_assessments(call, trace, err);
	sl_buf_char(out, '}');
	return rc;
}

static int put_span(void *context, const char *content, struct sl_error *err)
{
	struct sl_buf *out = context;
	sl_ml_comma(out);
	sl_buf_str(out, content);
	return sl_buf_check(out, "the spans of a trace", err);
}

int sl_ml_write_trace(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"trace_info\":");
	int rc = sl_ml_write_trace_info(call, trace, err);
	sl_ml_open(&call->out, "spans", '[');
	rc = rc ? rc : sl_trace_spans(&call->record, trace->num, put_span, &call->out, err);
	sl_buf_str(&call->out, "]}");
	return rc;
}

/* ---- version 2 ------------------------------------------------------------------------------------------------------ */

static int put_list(struct sl_ml_call *call, const struct sl_trace *trace, enum sl_trace_pair kind, const char *name, struct sl_error *err)
{
	struct sl_pair *pairs;
	size_t count;
	int rc = sl_trace_pairs(&call->record, trace->num, kind, call->arena, &pairs, &count, err);
	if (rc || !count)
		return rc;
	sl_ml_open(&call->out, name, '[');
	for (size_t i = 0; i < count; i++) {
		sl_ml_comma(&call->out);
		sl_buf_char(&call->out, '{');
		sl_ml_put_text(&call->out, "key", pairs[i].name);
		sl_ml_put_text(&call->out, "value", pairs[i].value);
		sl_buf_char(&call->out, '}');
	}
	sl_buf_char(&call->out, ']');
	return 0;
}

int sl_ml_write_trace_info_v2(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	char experiment[24];
	bool unspecified = strcmp(trace->state, "STATE_UNSPECIFIED") == 0;
	snprintf(experiment, sizeof experiment, "%" PRId64, trace->experiment);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "request_id", trace->id);
	sl_ml_put_text(out, "experiment_id", experiment);
	sl_ml_put_int(out, "timestamp_ms", trace->started_ms);
	sl_ml_put_int(out, "execution_time_ms", trace->ended ? trace->duration_ms : 0);
	sl_ml_put_text(out, "status", unspecified ? "TRACE_STATUS_UNSPECIFIED" : trace->state);
	int rc = put_list(call, trace, SL_TRACE_METADATA, "request_metadata", err);
	rc = rc ? rc : put_list(call, trace, SL_TRACE_TAG, "tags", err);
	sl_buf_char(out, '}');
	return rc;
}

/* ---- shared --------------------------------------------------------------------------------------------------------- */

int sl_ml_trace_is_whole(struct sl_ml_call *call, const struct sl_trace *trace, bool *ret, struct sl_error *err)
{
	const char *stats;
	int64_t count;
	int rc = sl_trace_pair_get(&call->record, trace->num, SL_TRACE_METADATA, "mlflow.trace.sizeStats", call->arena, &stats, err);
	rc = rc ? rc : sl_trace_span_count(&call->record, trace->num, &count, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = stats ? sl_json_parse(stats, strlen(stats), "sizeStats", NULL) : NULL;
	*ret = count > 0 && count >= (doc ? sl_json_int(yyjson_doc_get_root(doc), "num_spans", 0) : 0);
	return 0;
}

const char *sl_ml_trace_state(yyjson_val *value)
{
	static const char *const STATES[] = {"STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"};
	const char *text = yyjson_get_str(value);
	if (text && strcmp(text, "TRACE_STATUS_UNSPECIFIED") == 0)
		return STATES[0];
	if (text)
		return sl_trace_state_valid(text) ? text : NULL;
	return yyjson_is_uint(value) && yyjson_get_uint(value) < SL_ARRAY_LEN(STATES) ? STATES[yyjson_get_uint(value)] : NULL;
}

static int compare_numbers(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

int sl_ml_experiment_numbers(struct sl_ml_call *call, const char *const *texts, size_t count, int64_t **ret, size_t *ret_count,
	struct sl_error *err)
{
	size_t kept = 0;
	if (count > SL_SEARCH_EXPERIMENTS_MAX)
		return sl_fail(err, SL_E_INVALID, "more than %d experiments in one search", SL_SEARCH_EXPERIMENTS_MAX);
	int64_t *ids = sl_arena_array(call->arena, count + 1, sizeof *ids);
	if (!ids)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		if (!sl_str_int(texts[i], &ids[i]))
			return sl_fail(err, SL_E_INVALID, "Invalid experiment ID: '%.64s'", texts[i]);
	if (count > 1)
		qsort(ids, count, sizeof *ids, compare_numbers);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	*ret = ids;
	*ret_count = kept;
	return 0;
}

int sl_ml_search_traces(struct sl_ml_call *call, const int64_t *experiments, size_t count, struct sl_search_page *ret,
	struct sl_error *err)
{
	struct sl_search search = {0};
	const char **order;
	int rc = sl_ml_text(call, "filter", &search.filter, err);
	rc = rc ? rc : sl_ml_text(call, "page_token", &search.page_token, err);
	rc = rc ? rc : sl_ml_texts(call, "order_by", &order, &search.order_count, err);
	rc = rc ? rc : sl_ml_int(call, "max_results", PAGE, &search.max, err);
	if (rc < 0)
		return rc;
	if (search.max < 1 || search.max > SL_TRACES_PAGE_MAX)
		return sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter 'max_results' supplied. It must be between 1 and %d",
			search.max, SL_TRACES_PAGE_MAX);
	search.order = order;
	return sl_traces_search(&call->record, &search, experiments, count, call->arena, ret, err);
}

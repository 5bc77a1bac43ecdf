/* /mlflow/traces of version 2: what clients before MLflow 3 use, and tags and links, for which the newest still does. */
#include <string.h>

#include "mlflow/trace_json.h"
#include "mlflow/trace_route.h"

static int answer(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"trace_info\":");
	int rc = sl_ml_write_trace_info_v2(call, trace, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

static int read_pairs(struct sl_ml_call *call, struct sl_trace_start *ret, struct sl_error *err)
{
	struct sl_pair *tags, *metadata;
	int rc = sl_ml_pairs(call, "tags", &tags, &ret->tag_count, err);
	rc = rc ? rc : sl_ml_pairs(call, "request_metadata", &metadata, &ret->metadata_count, err);
	if (rc)
		return rc;
	ret->tags = tags;
	ret->metadata = metadata;
	return 0;
}

static int start(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace_start start = {.trace = {.state = "IN_PROGRESS"}};
	struct sl_experiment experiment;
	struct sl_trace trace;
	const char *id;
	const struct sl_change change = sl_ml_change(call, "trace.start");
	int rc = sl_ml_text(call, "experiment_id", &id, err);
	rc = rc ? rc : sl_ml_int(call, "timestamp_ms", 0, &start.trace.started_ms, err);
	if (rc < 0)
		return rc;
	rc = read_pairs(call, &start, err);
	rc = rc ? rc : sl_experiment_get(&call->record, id ? id : "", SL_REC_ALL, call->arena, &experiment, err);
	rc = rc ? rc : sl_trace_start(&call->record, &experiment, &start, &change, call->arena, &trace, err);
	return rc ? rc : answer(call, &trace, err);
}

static int end(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace_start more = {0};
	struct sl_trace trace;
	int64_t ended_ms;
	yyjson_val *status = yyjson_obj_get(call->body, "status");
	const char *state = status ? sl_ml_trace_state(status) : "STATE_UNSPECIFIED";
	const struct sl_change change = sl_ml_change(call, "trace.end");
	int rc = sl_ml_int(call, "timestamp_ms", 0, &ended_ms, err);
	if (rc < 0)
		return rc;
	if (!state)
		return sl_fail(err, SL_E_INVALID, "Invalid value for parameter 'status' supplied: it is not the status of a trace");
	rc = read_pairs(call, &more, err);
	rc = rc ? rc : sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	rc = rc ? rc : sl_trace_end(&call->record, &trace, ended_ms, state, &more, &change, call->arena, err);
	return rc ? rc : answer(call, &trace, err);
}

static int get_info(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	int rc = sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	return rc ? rc : answer(call, &trace, err);
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search_page page;
	struct sl_trace trace;
	const char **places;
	int64_t *experiments;
	size_t count;
	int rc = sl_ml_texts(call, "experiment_ids", &places, &count, err);
	rc = rc ? rc : !count ? sl_ml_missing("experiment_ids", err) : 0;
	rc = rc ? rc : sl_ml_experiment_numbers(call, places, count, &experiments, &count, err);
	rc = rc ? rc : sl_ml_search_traces(call, experiments, count, &page, err);
	if (rc || !page.count)
		return rc;
	sl_buf_str(&call->out, "{\"traces\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		int found = sl_trace_at(&call->record, page.nums[i], call->arena, &trace, err);
		if (found != 1)
			return found;
		sl_ml_comma(&call->out);
		rc = sl_ml_write_trace_info_v2(call, &trace, err);
	}
	sl_buf_char(&call->out, ']');
	if (page.token)
		sl_ml_put_text(&call->out, "next_page_token", page.token);
	sl_buf_char(&call->out, '}');
	return rc;
}

#define TRACES "/mlflow/traces"
const struct sl_ml_route sl_ml_routes_traces_v2[] = {
	{SL_ML_V2, SL_HTTP_POST, TRACES, SL_PERMIT_RUN, SL_ML_WRITE, start, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, TRACES, SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, TRACES "/delete-traces", SL_PERMIT_EDIT, SL_ML_WRITE, sl_ml_traces_delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, TRACES "/link-to-run", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_traces_link_run, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, TRACES "/link-prompts", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_traces_link_prompts, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, TRACES "/{}", SL_PERMIT_RUN, SL_ML_WRITE, end, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, TRACES "/{}/info", SL_PERMIT_VIEW, SL_ML_READ, get_info, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, TRACES "/{}/tags", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_trace_set_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, TRACES "/{}/tags", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_trace_delete_tag, NULL, NULL},
	{0},
};

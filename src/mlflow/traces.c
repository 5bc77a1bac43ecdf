/* /mlflow/traces of version 3. */
#include "mlflow/trace_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "mlflow/route.h"
#include "mlflow/trace_route.h"
#include "record/run.h"

/* ---- starting ------------------------------------------------------------------------------------------------------- */

/* "1.5s" */
static bool duration_of(const char *text, int64_t *ret_ms)
{
	char number[32];
	double seconds;
	size_t len = strlen(text);
	if (len < 2 || len > sizeof number || text[len - 1] != 's')
		return false;
	memcpy(number, text, len - 1);
	number[len - 1] = 0;
	if (!sl_str_double(number, &seconds) || !(fabs(seconds) < 1e12))
		return false;
	*ret_ms = (int64_t)llround(seconds * 1000);
	return true;
}

/* An object of texts as pairs. */
static int read_map(struct sl_ml_call *call, yyjson_val *info, const char *name, const struct sl_pair **ret, size_t *ret_count,
	struct sl_error *err)
{
	yyjson_val *map = yyjson_obj_get(info, name), *key;
	struct sl_pair *pairs = sl_arena_array(call->arena, yyjson_obj_size(map) + 1, sizeof *pairs);
	if (!pairs)
		return sl_fail_memory(err);
	if (map && !yyjson_is_obj(map))
		return sl_fail(err, SL_E_INVALID, "trace.trace_info.%s must be an object of texts", name);
	yyjson_obj_iter it = yyjson_obj_iter_with(map);
	while ((key = yyjson_obj_iter_next(&it))) {
		yyjson_val *value = yyjson_obj_iter_get_val(key);
		if (!yyjson_is_str(value))
			return sl_fail(err, SL_E_INVALID, "trace.trace_info.%s.%.100s must be a text", name, yyjson_get_str(key));
		pairs[(*ret_count)++] = (struct sl_pair){yyjson_get_str(key), yyjson_get_str(value)};
	}
	*ret = pairs;
	return 0;
}

static const char *location_of(yyjson_val *location)
{
	return sl_json_str(yyjson_obj_get(location, "mlflow_experiment"), "experiment_id", NULL);
}

static int read_times(yyjson_val *info, struct sl_trace *ret, struct sl_error *err)
{
	const char *started = sl_json_str(info, "request_time", NULL), *duration = sl_json_str(info, "execution_duration", NULL);
	if (!started)
		return sl_ml_missing("trace.trace_info.request_time", err);
	if (!sl_time_parse(started, &ret->started_ms))
		return sl_fail(err, SL_E_INVALID, "trace.trace_info.request_time: '%.60s' is not a time", started);
	ret->ended = duration != NULL;
	if (duration && !duration_of(duration, &ret->duration_ms))
		return sl_fail(err, SL_E_INVALID, "trace.trace_info.execution_duration: '%.60s' is not a duration", duration);
	return 0;
}

static int read_info(struct sl_ml_call *call, yyjson_val *info, struct sl_trace_start *ret, struct sl_error *err)
{
	yyjson_val *state = yyjson_obj_get(info, "state");
	*ret = (struct sl_trace_start){.final = true, .trace = {.id = sl_json_str(info, "trace_id", NULL),
		.state = state ? sl_ml_trace_state(state) : "STATE_UNSPECIFIED", .client_request = sl_json_str(info, "client_request_id", NULL),
		.request_preview = sl_json_str(info, "request_preview", NULL), .response_preview = sl_json_str(info, "response_preview", NULL)}};
	if (!ret->trace.id)
		return sl_ml_missing("trace.trace_info.trace_id", err);
	if (!ret->trace.state)
		return sl_fail(err, SL_E_INVALID, "trace.trace_info.state is not the state of a trace");
	int rc = read_times(info, &ret->trace, err);
	rc = rc ? rc : read_map(call, info, "tags", &ret->tags, &ret->tag_count, err);
	return rc ? rc : read_map(call, info, "trace_metadata", &ret->metadata, &ret->metadata_count, err);
}

/* Those that the client attached while the trace was going on. */
static int create_assessments(struct sl_ml_call *call, yyjson_val *info, const struct sl_trace *trace, struct sl_error *err)
{
	yyjson_val *said;
	struct sl_assessment one;
	yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(info, "assessments"));
	int rc = 0;
	while (!rc && (said = yyjson_arr_iter_next(&it)))
		rc = sl_assessment_create(&call->record, trace, said, NULL, call->arena, &one, err);
	return rc;
}

static int start(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace_start start;
	struct sl_experiment experiment;
	struct sl_trace trace;
	yyjson_val *info = yyjson_obj_get(yyjson_obj_get(call->body, "trace"), "trace_info");
	const char *place = location_of(yyjson_obj_get(info, "trace_location"));
	const struct sl_change change = sl_ml_change(call, "trace.start");
	if (!yyjson_is_obj(info))
		return sl_ml_missing("trace", err);
	if (!place)
		return sl_fail(err, SL_E_INVALID, "trace.trace_info.trace_location must name an experiment of this server");
	int rc = read_info(call, info, &start, err);
	rc = rc ? rc : sl_experiment_get(&call->record, place, SL_REC_ALL, call->arena, &experiment, err);
	rc = rc ? rc : sl_trace_start(&call->record, &experiment, &start, &change, call->arena, &trace, err);
	rc = rc ? rc : create_assessments(call, info, &trace, err);
	if (rc)
		return rc;
	sl_buf_str(&call->out, "{\"trace\":{\"trace_info\":");
	rc = sl_ml_write_trace_info(call, &trace, err);
	sl_buf_str(&call->out, "}}");
	return rc;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int get_info(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	int rc = sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	if (rc)
		return rc;
	sl_buf_str(&call->out, "{\"trace\":{\"trace_info\":");
	rc = sl_ml_write_trace_info(call, &trace, err);
	sl_buf_str(&call->out, "}}");
	return rc;
}

static bool is_among(int64_t experiment, const int64_t *among, size_t count)
{
	bool found = false;
	for (size_t i = 0; i < count; i++)
		found |= among[i] == experiment;
	return found;
}

/* One of a batch: nothing when it is not there, in none of the experiments asked for, or its spans are not all here. */
static int put_one(struct sl_ml_call *call, const char *id, const int64_t *among, size_t among_count, bool spans, struct sl_error *err)
{
	struct sl_trace trace;
	bool whole = true;
	int found = sl_trace_find(&call->record, id, call->arena, &trace, err);
	if (found != 1 || (sl_ml_has(call, "experiment_ids") && !is_among(trace.experiment, among, among_count)))
		return found < 0 ? found : 0;
	int rc = spans ? sl_ml_trace_is_whole(call, &trace, &whole, err) : 0;
	if (rc || !whole)
		return rc;
	sl_ml_comma(&call->out);
	return spans ? sl_ml_write_trace(call, &trace, err) : sl_ml_write_trace_info(call, &trace, err);
}

static int put_batch(struct sl_ml_call *call, const char *list, bool spans, struct sl_error *err)
{
	const char **ids, **places;
	size_t count, place_count, among_count = 0;
	int64_t *among = NULL;
	int rc = sl_ml_texts(call, "trace_ids", &ids, &count, err);
	rc = rc ? rc : sl_ml_texts(call, "experiment_ids", &places, &place_count, err);
	rc = rc ? rc : sl_ml_experiment_numbers(call, places, place_count, &among, &among_count, err);
	if (rc)
		return rc;
	if (!count)
		return sl_ml_missing("trace_ids", err);
	sl_buf_char(&call->out, '{');
	sl_ml_open(&call->out, list, '[');
	for (size_t i = 0; !rc && i < count; i++)
		rc = put_one(call, ids[i], among, among_count, spans, err);
	sl_buf_str(&call->out, "]}");
	return rc;
}

static int batch_get(struct sl_ml_call *call, struct sl_error *err) { return put_batch(call, "traces", true, err); }
static int batch_get_infos(struct sl_ml_call *call, struct sl_error *err) { return put_batch(call, "trace_infos", false, err); }

static int read_locations(struct sl_ml_call *call, const char ***ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list, *item;
	int rc = sl_ml_list(call, "locations", &list, err);
	if (rc)
		return rc;
	if (!yyjson_arr_size(list))
		return sl_ml_missing("locations", err);
	const char **texts = sl_arena_array(call->arena, yyjson_arr_size(list), sizeof *texts);
	if (!texts)
		return sl_fail_memory(err);
	*ret_count = 0;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it)))
		if (location_of(item))
			texts[(*ret_count)++] = location_of(item);
	*ret = texts;
	return 0;
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search_page page;
	struct sl_trace trace;
	const char **places = NULL;
	int64_t *experiments;
	size_t count;
	int rc = read_locations(call, &places, &count, err);
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
		rc = sl_ml_write_trace_info(call, &trace, err);
	}
	sl_buf_char(&call->out, ']');
	if (page.token)
		sl_ml_put_text(&call->out, "next_page_token", page.token);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- tags, links, deleting: both versions ---------------------------------------------------------------------------- */

/* What this server itself keeps there. */
static int check_tag(const char *key, const char *operation, struct sl_error *err)
{
	static const char *const OURS[] = {SL_TRACE_TAG_SPANS, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"};
	for (size_t i = 0; i < SL_ARRAY_LEN(OURS); i++)
		if (strcmp(key, OURS[i]) == 0)
			return sl_fail(err, SL_E_INVALID, "Tag '%s' is immutable and cannot be %s on a trace.", key, operation);
	return 0;
}

int sl_ml_trace_set_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	const char *key, *value;
	const struct sl_change change = sl_ml_change(call, "trace.tag");
	int rc = sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : sl_ml_text(call, "value", &value, err);
	rc = rc ? rc : check_tag(key, "set", err);
	rc = rc ? rc : sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	return rc ? rc : sl_trace_set_tag(&call->record, &trace, key, value ? value : "", &change, call->arena, err);
}

int sl_ml_trace_delete_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	const char *key;
	const struct sl_change change = sl_ml_change(call, "trace.untag");
	int rc = sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : check_tag(key, "deleted", err);
	rc = rc ? rc : sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	return rc ? rc : sl_trace_delete_tag(&call->record, &trace, key, &change, err);
}

static int check_selection(const struct sl_trace_selection *selection, bool until, bool max, struct sl_error *err)
{
	if (!until && !selection->count)
		return sl_fail(err, SL_E_INVALID, "Either `max_timestamp_millis` or `trace_ids` must be specified.");
	if (until && selection->count)
		return sl_fail(err, SL_E_INVALID, "Only one of `max_timestamp_millis` and `trace_ids` can be specified.");
	if (selection->count && max)
		return sl_fail(err, SL_E_INVALID, "`max_traces` can't be specified if `trace_ids` is specified.");
	if (selection->max <= 0)
		return sl_fail(err, SL_E_INVALID, "`max_traces` must be a positive integer, received %" PRId64 ".", selection->max);
	return 0;
}

int sl_ml_traces_delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace_selection selection = {0};
	struct sl_experiment experiment;
	const char *id, **ids;
	int64_t deleted;
	const struct sl_change change = sl_ml_change(call, "trace.delete");
	int rc = sl_ml_need(call, "experiment_id", &id, err);
	rc = rc ? rc : sl_ml_texts(call, "request_ids", &ids, &selection.count, err);
	int until = rc ? rc : sl_ml_int(call, "max_timestamp_millis", 0, &selection.until_ms, err);
	int max = until < 0 ? until : sl_ml_int(call, "max_traces", SL_TRACES_DELETE_MAX, &selection.max, err);
	if (max < 0)
		return max;
	selection.ids = ids;
	rc = check_selection(&selection, until, max, err);
	rc = rc ? rc : sl_experiment_get(&call->record, id, SL_REC_ALL, call->arena, &experiment, err);
	rc = rc ? rc : sl_traces_delete(&call->record, experiment.id, &selection, &change, &deleted, err);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	sl_ml_put_int(&call->out, "traces_deleted", deleted);
	sl_buf_char(&call->out, '}');
	return 0;
}

/* What is not there is passed over, as MLflow does. */
static int link_all(struct sl_ml_call *call, const char *const *ids, size_t count, const char *run, struct sl_error *err)
{
	struct sl_trace trace;
	int found = 0;
	for (size_t i = 0; found >= 0 && i < count; i++) {
		found = sl_trace_find(&call->record, ids[i], call->arena, &trace, err);
		if (found == 1)
			found = sl_trace_add_link(&call->record, trace.num, SL_TRACE_TO_RUN, run, err);
	}
	return found < 0 ? found : 0;
}

int sl_ml_traces_link_run(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run run;
	const char **ids, *id;
	size_t count;
	const struct sl_change change = sl_ml_change(call, "trace.link");
	int rc = sl_ml_texts(call, "trace_ids", &ids, &count, err);
	rc = rc ? rc : !count ? sl_ml_missing("trace_ids", err) : 0;
	rc = rc ? rc : sl_ml_need(call, "run_id", &id, err);
	if (!rc && count > SL_TRACE_LINKS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "Cannot link more than %d traces to a run in a single request. Provided %zu traces.",
			SL_TRACE_LINKS_MAX, count);
	rc = rc ? rc : sl_rec_run_get(&call->record, id, call->arena, &run, err);
	rc = rc ? rc : link_all(call, ids, count, run.id, err);
	return rc ? rc : sl_record_entry(&call->record, &change, "run", run.id, err);
}

int sl_ml_traces_link_prompts(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	yyjson_val *list, *item;
	const char *id;
	const struct sl_change change = sl_ml_change(call, "trace.link");
	int rc = sl_ml_need(call, "trace_id", &id, err);
	rc = rc ? rc : sl_ml_list(call, "prompt_versions", &list, err);
	rc = rc ? rc : !yyjson_arr_size(list) ? sl_ml_missing("prompt_versions", err) : 0;
	rc = rc ? rc : yyjson_arr_size(list) > SL_TRACE_LINKS_MAX ? sl_fail(err, SL_E_INVALID, "more than %d prompts", SL_TRACE_LINKS_MAX) : 0;
	rc = rc ? rc : sl_trace_get(&call->record, id, call->arena, &trace, err);
	if (rc)
		return rc;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while (!rc && (item = yyjson_arr_iter_next(&it))) {
		const char *name = sl_json_str(item, "name", ""), *version = sl_ml_member_text(item, "version", call->arena);
		const char *target = sl_arena_printf(call->arena, "%s/%s", name, version ? version : "");
		rc = target ? sl_trace_add_link(&call->record, trace.num, SL_TRACE_TO_PROMPT, target, err) : sl_fail_memory(err);
	}
	return rc ? rc : sl_record_entry(&call->record, &change, "trace", trace.id, err);
}

#define TRACES "/mlflow/traces"
const struct sl_ml_route sl_ml_routes_traces[] = {
	{SL_ML_V3, SL_HTTP_POST, TRACES, SL_PERMIT_RUN, SL_ML_WRITE, start, NULL, NULL},
	{SL_ML_V3, SL_HTTP_POST, TRACES "/search", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{SL_ML_V3, SL_HTTP_POST, TRACES "/delete-traces", SL_PERMIT_EDIT, SL_ML_WRITE, sl_ml_traces_delete, NULL, NULL},
	{SL_ML_V3, SL_HTTP_GET, TRACES "/batchGet", SL_PERMIT_VIEW, SL_ML_SLOW, batch_get, NULL, NULL},
	{SL_ML_V3, SL_HTTP_POST, TRACES "/batchGetInfos", SL_PERMIT_VIEW, SL_ML_SLOW, batch_get_infos, NULL, NULL},
	{SL_ML_V3, SL_HTTP_GET, TRACES "/{}", SL_PERMIT_VIEW, SL_ML_READ, get_info, NULL, NULL},
	{SL_ML_V3, SL_HTTP_PATCH, TRACES "/{}/tags", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_trace_set_tag, NULL, NULL},
	{SL_ML_V3, SL_HTTP_DELETE, TRACES "/{}/tags", SL_PERMIT_RUN, SL_ML_WRITE, sl_ml_trace_delete_tag, NULL, NULL},
	{0},
};

/* /mlflow/traces/ID/assessments of version 3. */
#include <string.h>

#include "mlflow/route.h"
#include "mlflow/trace_json.h"

enum { MASK_MAX = 16 };

static int answer(struct sl_ml_call *call, const struct sl_assessment *assessment)
{
	sl_buf_str(&call->out, "{\"assessment\":");
	sl_ml_write_assessment(&call->out, assessment, call->parts[0]);
	sl_buf_char(&call->out, '}');
	return 0;
}

static int read_said(struct sl_ml_call *call, yyjson_val **ret, struct sl_error *err)
{
	*ret = yyjson_obj_get(call->body, "assessment");
	return yyjson_is_obj(*ret) ? 0 : sl_ml_missing("assessment", err);
}

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_trace trace;
	struct sl_assessment assessment;
	yyjson_val *said;
	const struct sl_change change = sl_ml_change(call, "trace.assess");
	int rc = read_said(call, &said, err);
	rc = rc ? rc : sl_trace_get(&call->record, call->parts[0], call->arena, &trace, err);
	rc = rc ? rc : sl_assessment_create(&call->record, &trace, said, &change, call->arena, &assessment, err);
	return rc ? rc : answer(call, &assessment);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_assessment assessment;
	int rc = sl_assessment_get(&call->record, call->parts[0], call->parts[1], call->arena, &assessment, err);
	return rc ? rc : answer(call, &assessment);
}

/* "assessmentName,feedback", which is how protobuf writes a mask, or {"paths":[...]}. */
static int read_mask(struct sl_ml_call *call, const char **mask, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *value = yyjson_obj_get(call->body, "update_mask"), *path;
	yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(value, "paths"));
	char *text = sl_arena_strdup(call->arena, yyjson_is_str(value) ? yyjson_get_str(value) : ""), *rest = text, *one;
	*ret_count = 0;
	if (!text)
		return sl_fail_memory(err);
	if (!value)
		return sl_ml_missing("update_mask", err);
	while (*ret_count < MASK_MAX && (one = strsep(&rest, ",")))
		mask[(*ret_count)++] = one;
	while (*ret_count < MASK_MAX && (path = yyjson_arr_iter_next(&it)))
		if (yyjson_is_str(path))
			mask[(*ret_count)++] = yyjson_get_str(path);
	return 0;
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_assessment assessment;
	yyjson_val *said;
	const char *mask[MASK_MAX];
	size_t count;
	const struct sl_change change = sl_ml_change(call, "trace.assess");
	int rc = read_said(call, &said, err);
	rc = rc ? rc : read_mask(call, mask, &count, err);
	rc = rc ? rc : sl_assessment_update(&call->record, call->parts[0], call->parts[1], said, mask, count, &change, call->arena,
		&assessment, err);
	return rc ? rc : answer(call, &assessment);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	const struct sl_change change = sl_ml_change(call, "trace.unassess");
	return sl_assessment_delete(&call->record, call->parts[0], call->parts[1], &change, err);
}

#define ASSESSMENTS "/mlflow/traces/{}/assessments"
const struct sl_ml_route sl_ml_routes_assessments[] = {
	{SL_ML_V3, SL_HTTP_POST, ASSESSMENTS, SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V3, SL_HTTP_GET, ASSESSMENTS "/{}", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V3, SL_HTTP_PATCH, ASSESSMENTS "/{}", SL_PERMIT_RUN, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V3, SL_HTTP_DELETE, ASSESSMENTS "/{}", SL_PERMIT_RUN, SL_ML_WRITE, delete, NULL, NULL},
	{0},
};

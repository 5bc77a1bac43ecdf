/* /mlflow/metrics: histories. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mlflow/entity.h"
#include "mlflow/route.h"

/* A page's token is the last point that the page has: "time:step:bits of the value" in hex. */
static bool read_token(const char *token, struct sl_rec_cursor *ret)
{
	uint64_t bits;
	int end = 0;
	if (sscanf(token, "%" SCNx64 ":%" SCNx64 ":%" SCNx64 "%n", (uint64_t *)&ret->time_ms, (uint64_t *)&ret->step, &bits, &end) != 3 ||
		token[end])
		return false;
	memcpy(&ret->value, &bits, sizeof bits);
	ret->set = !isnan(ret->value);
	return ret->set;
}

static void write_token(const struct sl_rec_cursor *cursor, struct sl_buf *out)
{
	uint64_t bits;
	char text[60];
	memcpy(&bits, &cursor->value, sizeof bits);
	snprintf(text, sizeof text, "%" PRIx64 ":%" PRIx64 ":%" PRIx64, (uint64_t)cursor->time_ms, (uint64_t)cursor->step, bits);
	sl_ml_put_text(out, "next_page_token", text);
}

static int write_point(void *context, const struct sl_rec_point *point)
{
	sl_ml_write_point(context, point, NULL);
	return 0;
}

static int read_page(struct sl_ml_call *call, int64_t *ret_max, struct sl_rec_cursor *cursor, struct sl_error *err)
{
	const char *token;
	int rc = sl_ml_int(call, "max_results", INT64_MAX, ret_max, err);
	if (rc < 0)
		return rc;
	if (*ret_max <= 0)
		return sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter 'max_results' supplied. It must be a positive "
			"integer.", *ret_max);
	rc = sl_ml_text(call, "page_token", &token, err);
	if (!rc && token && !read_token(token, cursor))
		rc = sl_fail(err, SL_E_INVALID, "Invalid page token");
	return rc;
}

static int get_history(struct sl_ml_call *call, struct sl_error *err)
{
	const char *id, *key;
	struct sl_rec_run run;
	struct sl_rec_cursor cursor = {0};
	int64_t series, max, count = 0;
	int rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = sl_ml_need(call, "metric_key", &key, err);
	if (!rc)
		rc = read_page(call, &max, &cursor, err);
	if (!rc)
		rc = sl_rec_run_get(&call->record, id, call->arena, &run, err);
	if (!rc)
		rc = sl_rec_series(&call->record, run.num, key, &series, err);
	if (rc || !series)
		return rc;
	sl_buf_str(&call->out, "{\"metrics\":[");
	count = sl_rec_history(&call->record, series, key, &cursor, max, write_point, &call->out, err);
	sl_buf_char(&call->out, ']');
	if (count == max)
		write_token(&cursor, &call->out);
	sl_buf_char(&call->out, '}');
	return count < 0 ? (int)count : 0;
}

const struct sl_ml_route sl_ml_routes_metrics[] = {
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/metrics/get-history", SL_PERMIT_VIEW, SL_ML_SLOW, get_history, NULL, NULL},
	{0},
};

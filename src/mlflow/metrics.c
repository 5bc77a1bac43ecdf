/* /mlflow/metrics: histories. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mlflow/entity.h"
#include "mlflow/route.h"
#include "mlflow/server.h"

enum {
	CHUNK_POINTS = 1000,      /* between two looks at the client; about 75 KB */
	SAMPLE_RUNS_MAX = 100,
	SAMPLE_POINTS_MAX = 2500,
	BULK_POINTS_MAX = 25000,
};

/* ---- one history, in pieces ----------------------------------------------------------------------------------------- */

/* A page's token is the last point that the page has: "time:step:bits of the value" in hex. */
static bool read_token(const char *token, struct sl_rec_cursor *ret)
{
	uint64_t time, step, bits;
	int end = 0;
	if (sscanf(token, "%" SCNx64 ":%" SCNx64 ":%" SCNx64 "%n", &time, &step, &bits, &end) != 3 || token[end])
		return false;
	*ret = (struct sl_rec_cursor){.time_ms = (int64_t)time, .step = (int64_t)step};
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

/* In the request's arena. */
struct history {
	struct sl_ml_call *call;
	const char *key;
	int64_t series, left; /* points that the page may still have */
	struct sl_rec_cursor cursor;
	bool streaming, done;
};

static int write_point(void *context, const struct sl_rec_point *point)
{
	sl_ml_write_point(context, point, NULL);
	return 0;
}

static int read_page(struct sl_ml_call *call, struct history *history, struct sl_error *err)
{
	const char *token;
	int rc = sl_ml_int(call, "max_results", INT64_MAX, &history->left, err);
	if (rc < 0)
		return rc;
	if (history->left <= 0)
		return sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter 'max_results' supplied. It must be a positive "
			"integer.", history->left);
	rc = sl_ml_text(call, "page_token", &token, err);
	if (!rc && token && !read_token(token, &history->cursor))
		rc = sl_fail(err, SL_E_INVALID, "Invalid page token");
	return rc;
}

static int open_history(struct sl_ml_call *call, struct history *history, struct sl_error *err)
{
	const char *id;
	struct sl_rec_run run;
	int rc = sl_ml_call_read(call, err);
	if (!rc)
		rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = sl_ml_need(call, "metric_key", &history->key, err);
	if (!rc)
		rc = read_page(call, history, err);
	if (!rc)
		rc = sl_rec_run_get(&call->record, id, call->arena, &run, err);
	return rc ? rc : sl_rec_series(&call->record, run.num, history->key, &history->series, err);
}

/* Appends the next points to call->out; done is set with the last. */
static int write_chunk(struct history *history, struct sl_error *err)
{
	struct sl_buf *out = &history->call->out;
	int64_t wanted = history->left < CHUNK_POINTS ? history->left : CHUNK_POINTS;
	int64_t count = sl_rec_history(&history->call->record, history->series, history->key, &history->cursor, wanted, write_point, out,
		err);
	if (count < 0)
		return (int)count;
	history->left -= count;
	history->done = count < wanted || history->left == 0;
	if (!history->done)
		return sl_buf_check(out, "the history", err);
	sl_buf_char(out, ']');
	if (history->left == 0)
		write_token(&history->cursor, out);
	sl_buf_char(out, '}');
	return sl_buf_check(out, "the history", err);
}

static void stream(void *context, struct sl_http_request *request)
{
	struct history *history = context;
	struct sl_ml_call *call = history->call;
	struct sl_error err;
	int rc = 0;
	while (!rc && !history->done) {
		sl_buf_clear(&call->out);
		sl_buf_char(&call->out, ' '); /* not an opening bracket: so a comma comes between the pieces */
		rc = write_chunk(history, &err);
		if (!rc)
			rc = sl_http_stream_write(request, call->out.data, call->out.len);
	}
	if (rc == SL_HTTP_WAIT && !history->done)
		return;
	bool whole = history->done && rc >= 0;
	sl_mlflow_call_free(call);
	if (whole)
		sl_http_stream_end(request);
	else
		sl_http_stream_abort(request);
}

static void start_stream(struct history *history)
{
	struct sl_ml_call *call = history->call;
	struct sl_http_request *request = call->request;
	sl_http_stream_start(request, &(struct sl_http_response){.status = 200, .content_type = "application/json"}, -1);
	sl_http_stream_on_writable(request, stream, history);
	int rc = sl_http_stream_write(request, call->out.data, call->out.len);
	if (rc != SL_HTTP_WAIT) /* also when the client has gone: stream() then finds that out and ends it */
		stream(history, request);
}

static void get_history(struct sl_ml_call *call)
{
	struct history *history = sl_arena_alloc(call->arena, sizeof *history);
	struct sl_error err = {0};
	if (!history) {
		sl_fail_memory(&err);
		sl_mlflow_refuse(call, &err);
		return;
	}
	history->call = call;
	int rc = open_history(call, history, &err);
	if (!rc && history->series) {
		sl_buf_str(&call->out, "{\"metrics\":[");
		rc = write_chunk(history, &err);
	}
	if (rc)
		sl_mlflow_refuse(call, &err);
	else if (history->done || !history->series)
		sl_mlflow_answer(call);
	else
		start_stream(history);
}

/* ---- samples of many ------------------------------------------------------------------------------------------------ */

struct sampled { struct sl_buf *out; const char *run_id; int64_t left; };

static int write_sampled(void *context, const struct sl_rec_point *point)
{
	struct sampled *to = context;
	sl_ml_write_point(to->out, point, to->run_id);
	to->left--;
	return 0;
}

/* Both ends of the range or neither. */
static int read_range(struct sl_ml_call *call, struct sl_rec_range *ret, struct sl_error *err)
{
	int begin = sl_ml_int(call, "start_step", 0, &ret->first, err);
	int end = begin < 0 ? begin : sl_ml_int(call, "end_step", 0, &ret->last, err);
	if (end < 0)
		return end;
	ret->set = begin && end;
	if (begin != end)
		return sl_fail(err, SL_E_INVALID, "If either start step or end step are specified, both must be specified.");
	if (ret->set && ret->first > ret->last)
		return sl_fail(err, SL_E_INVALID, "end_step must be greater than start_step. Found start_step=%" PRId64 " and end_step=%" PRId64
			".", ret->first, ret->last);
	return 0;
}

static int read_max(struct sl_ml_call *call, int64_t *ret, struct sl_error *err)
{
	int rc = sl_ml_int(call, "max_results", SAMPLE_POINTS_MAX, ret, err);
	if (rc >= 0 && (*ret < 1 || *ret > SAMPLE_POINTS_MAX))
		return sl_fail(err, SL_E_INVALID, "max_results must be between 1 and %d. See the API docs for more information about request "
			"parameters.", SAMPLE_POINTS_MAX);
	return rc < 0 ? rc : 0;
}

static int get_interval(struct sl_ml_call *call, struct sl_error *err)
{
	const char **ids, *key;
	size_t count;
	int64_t max;
	struct sl_rec_range range;
	struct sl_rec_run run;
	int rc = sl_ml_texts(call, "run_ids", &ids, &count, err);
	if (!rc && !count)
		rc = sl_ml_missing("run_ids", err);
	if (!rc && count > SAMPLE_RUNS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %zu run_ids. "
			"See the API docs for more information about request parameters.", SAMPLE_RUNS_MAX, count);
	if (!rc)
		rc = sl_ml_need(call, "metric_key", &key, err);
	if (!rc)
		rc = read_max(call, &max, err);
	if (!rc)
		rc = read_range(call, &range, err);
	sl_buf_str(&call->out, "{\"metrics\":[");
	for (size_t i = 0; !rc && i < count; i++) {
		struct sampled to = {.out = &call->out, .run_id = ids[i]};
		int64_t series;
		rc = sl_rec_run_get(&call->record, ids[i], call->arena, &run, err);
		if (!rc)
			rc = sl_rec_series(&call->record, run.num, key, &series, err);
		if (!rc && series)
			rc = sl_rec_sample(&call->record, series, key, &range, max, call->arena, write_sampled, &to, err);
	}
	sl_buf_str(&call->out, "]}");
	return rc;
}

/* The pages' older way: whole histories, up to a number of points in all. */
static int get_bulk(struct sl_ml_call *call, struct sl_error *err)
{
	const char **ids, *key;
	size_t count;
	struct sl_rec_run run;
	struct sampled to = {.out = &call->out};
	int rc = sl_ml_texts(call, "run_id", &ids, &count, err);
	if (!rc && !count)
		rc = sl_fail(err, SL_E_INVALID, "GetMetricHistoryBulk request must specify at least one run_id.");
	if (!rc && count > SAMPLE_RUNS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %zu run_ids.",
			SAMPLE_RUNS_MAX, count);
	if (!rc)
		rc = sl_ml_text(call, "metric_key", &key, err);
	if (!rc && !key)
		rc = sl_fail(err, SL_E_INVALID, "GetMetricHistoryBulk request must specify a metric_key.");
	if (!rc)
		rc = sl_ml_int(call, "max_results", BULK_POINTS_MAX, &to.left, err);
	to.left = to.left > BULK_POINTS_MAX ? BULK_POINTS_MAX : to.left;
	sl_buf_str(&call->out, "{\"metrics\":[");
	for (size_t i = 0; rc >= 0 && i < count && to.left > 0; i++) {
		struct sl_rec_cursor cursor = {0};
		int64_t series;
		to.run_id = ids[i];
		rc = sl_rec_run_get(&call->record, ids[i], call->arena, &run, err);
		if (!rc)
			rc = sl_rec_series(&call->record, run.num, key, &series, err);
		if (!rc && series && sl_rec_history(&call->record, series, key, &cursor, to.left, write_sampled, &to, err) < 0)
			rc = err->code;
	}
	sl_buf_str(&call->out, "]}");
	return rc < 0 ? rc : 0;
}

const struct sl_ml_route sl_ml_routes_metrics[] = {
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/metrics/get-history", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_history, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/metrics/get-history-bulk-interval", SL_PERMIT_VIEW, SL_ML_SLOW, get_interval, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/metrics/get-history-bulk", SL_PERMIT_VIEW, SL_ML_SLOW, get_bulk, NULL, NULL},
	{0},
};

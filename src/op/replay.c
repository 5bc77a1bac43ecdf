/* replay: a dataset's rows through a live endpoint, in order of event time, labels in between.
 *
 *   rows   -- sl_sql, ordered by time --> batch of N --> POST /v2/models/ENDPOINT/infer
 *   labels -- sl_sql, ordered by time + delay ------> what is due before the batch's first row --> POST /api/v1/labels/SET
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "data/dataset.h"
#include "net/http_client.h"
#include "op/client.h"
#include "op/context.h"
#include "op/handlers.h"
#include "os/clock.h"
#include "project/ref.h"

enum { REQUEST_BYTES_MAX = 48 << 20, LABELS_PER_POST = 5000, VERSIONS_MAX = 64, LATENCIES_MAX = 1 << 20 };

/* A result that is read row by row. */
struct cursor {
	struct sl_sql_result *result;
	const struct sl_sql_column *columns;
	size_t rows, row;
};

struct replay {
	struct sl_call *call;
	struct sl_project *project;
	struct sl_store *store;
	const struct sl_endpoint *endpoint;
	struct sl_server server;
	struct sl_sql *sql, *label_sql;  /* a session streams one result at a time */
	struct cursor rows, labels;
	size_t time_column;
	int64_t from_ms, until_ms, delay_ms;
	double pace;                  /* wall milliseconds for a millisecond of event time; 0: as fast as it goes */
	int64_t started_ns;
	struct sl_loop *loop;
	struct sl_http_client *client;
	struct sl_buf body, label_body;
	size_t label_count;
	/* of the request under way */
	bool done;
	int status;
	struct sl_buf answer;
	struct sl_error fault;
	/* what came of it */
	int64_t row_total, request_total, failed_total, label_total;
	double *latencies_ms;
	size_t latency_count;
	struct { char version[24]; int64_t rows; } versions[VERSIONS_MAX];
	char first_error[512];
};

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

/* 1 when a row stands ready, 0 at the end. */
static int cursor_ready(struct cursor *c, struct sl_error *err)
{
	while (c->row == c->rows) {
		int rc = sl_sql_next(c->result, &c->columns, &c->rows, err);
		c->row = 0;
		if (rc <= 0) {
			c->rows = 0;
			return rc;
		}
	}
	return 1;
}

static int open_tables(struct replay *r, struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_dataset_head head;
	struct sl_sql_table table;
	int rc = sl_ref_parse(sl_call_text(r->call, "data"), &ref, err);
	if (!rc)
		rc = sl_dataset_find(&r->store->track, ref.name, ref.version, &head, err);
	if (!rc)
		rc = sl_dataset_table(r->store->objects, "data", &head.hash, r->call->arena, &table, err);
	struct sl_sql_options options = {.tables = &table, .table_count = 1, .cancel = r->call->cancel};
	if (!rc)
		rc = sl_sql_open(&options, &r->sql, err);
	return rc || !sl_call_text(r->call, "labels") ? rc : sl_sql_open(&options, &r->label_sql, err);
}

static int query(struct replay *r, struct sl_sql *sql, struct sl_buf *text, int64_t from_ms, int64_t until_ms, struct cursor *ret,
	struct sl_error *err)
{
	const struct sl_sql_param params[] = {
		{.name = "from", .type = 't', .i = from_ms * 1000}, {.name = "until", .type = 't', .i = until_ms * 1000},
	};
	sl_buf_str(text, " where ");
	sl_sql_quote_name(text, r->endpoint->time);
	sl_buf_str(text, " >= $from and ");
	sl_sql_quote_name(text, r->endpoint->time);
	sl_buf_str(text, " < $until order by ");
	sl_sql_quote_name(text, r->endpoint->time);
	int rc = sl_buf_check(text, "the query", err);
	return rc ? rc : sl_sql_query(sql, text->data, params, SL_ARRAY_LEN(params), "replay", &ret->result, err);
}

/* All columns but the label: what the endpoint does not want it ignores, if the project says so. */
static int query_rows(struct replay *r, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	const char *label = sl_call_text(r->call, "label");
	sl_buf_str(&text, "select *");
	if (label) {
		sl_buf_str(&text, " exclude (");
		sl_sql_quote_name(&text, label);
		sl_buf_char(&text, ')');
	}
	sl_buf_str(&text, " from data");
	int rc = query(r, r->sql, &text, r->from_ms, r->until_ms, &r->rows, err);
	size_t count = rc ? 0 : sl_sql_columns(r->rows.result);
	for (r->time_column = 0; r->time_column < count; r->time_column++)
		if (sl_str_eq(sl_sql_column_name(r->rows.result, r->time_column), r->endpoint->time))
			break;
	if (!rc && (r->time_column == count || sl_sql_column_kind(r->rows.result, r->time_column) != SL_SQL_TIME))
		rc = sl_fail(err, SL_E_INVALID, "the dataset's column '%s' is not a time", r->endpoint->time);
	return rc;
}

static int query_labels(struct replay *r, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	const char *label = sl_call_text(r->call, "label"), *set = sl_call_text(r->call, "labels");
	if (!set)
		return 0;
	if (!label || !r->endpoint->key[0])
		return sl_fail(err, SL_E_INVALID,
			label ? "endpoint '%s' has no key column to label by" : "--labels needs --label, the column",
			r->endpoint->name);
	sl_buf_str(&text, "select ");
	sl_sql_quote_name(&text, r->endpoint->time);
	sl_buf_str(&text, ", ");
	sl_sql_quote_name(&text, r->endpoint->key);
	sl_buf_str(&text, ", ");
	sl_sql_quote_name(&text, label);
	sl_buf_str(&text, " from data");
	return query(r, r->label_sql, &text, r->from_ms - r->delay_ms, r->until_ms - r->delay_ms, &r->labels, err);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------ */

static void on_answer(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct replay *r = context;
	r->done = true;
	r->status = answer ? answer->status : 0;
	sl_buf_clear(&r->answer);
	if (answer)
		sl_buf_add(&r->answer, answer->body, answer->body_len);
	if (err)
		r->fault = *err;
	sl_loop_stop(r->loop);
}

/* One request on the kept connection; 0 when it was answered, whatever the status. */
static int post(struct replay *r, const char *path, const struct sl_buf *body, struct sl_error *err)
{
	char url[400];
	snprintf(url, sizeof url, "%s%s", r->server.url, path);
	const struct sl_http_header headers[] = {
		{"Content-Type", "application/json"}, {"Authorization", r->server.authorization}};
	struct sl_http_call call = {
		.method = SL_HTTP_POST,
		.url = url,
		.headers = headers,
		.header_count = SL_ARRAY_LEN(headers),
		.body = body->data,
		.body_len = body->len,
		.done = on_answer,
		.context = r,
	};
	r->done = false;
	r->fault = (struct sl_error){0};
	int rc = sl_http_client_start(r->client, &call, NULL, err);
	if (rc)
		return rc;
	while (!r->done)
		sl_loop_run(r->loop);
	if (r->fault.code && err)
		*err = r->fault;
	return r->fault.code;
}

static void put_cell(struct sl_buf *out, const struct sl_sql_column *column, size_t row)
{
	if (column->valid && !column->valid[row]) {
		sl_buf_str(out, "null");
		return;
	}
	switch (column->kind) {
	case SL_SQL_BOOL: sl_buf_str(out, column->bools[row] ? "true" : "false"); break;
	case SL_SQL_INT:
	case SL_SQL_TIME: sl_buf_printf(out, "%lld", (long long)column->ints[row]); break;
	case SL_SQL_DOUBLE: sl_buf_printf(out, "%.17g", column->doubles[row]); break;
	case SL_SQL_TEXT: sl_json_string(out, column->texts[row].data, column->texts[row].len); break;
	}
}

/* Rows [first, last) of the present chunk as one V2 request of one tensor a column; times as whole microseconds. */
static void make_request(struct replay *r, size_t first, size_t last)
{
	static const char *const TYPES[] = {[SL_SQL_BOOL] = "BOOL",
		[SL_SQL_INT] = "INT64",
		[SL_SQL_DOUBLE] = "FP64",
		[SL_SQL_TEXT] = "BYTES",
		[SL_SQL_TIME] = "INT64"};
	sl_buf_clear(&r->body);
	sl_buf_str(&r->body, "{\"inputs\":[");
	for (size_t c = 0; c < sl_sql_columns(r->rows.result); c++) {
		const char *name = sl_sql_column_name(r->rows.result, c);
		sl_buf_str(&r->body, c ? ",{\"name\":" : "{\"name\":");
		sl_json_string(&r->body, name, strlen(name));
		sl_buf_printf(&r->body, ",\"shape\":[%zu],\"datatype\":\"%s\",\"data\":[", last - first,
			TYPES[r->rows.columns[c].kind]);
		for (size_t row = first; row < last; row++) {
			if (row > first)
				sl_buf_char(&r->body, ',');
			put_cell(&r->body, &r->rows.columns[c], row);
		}
		sl_buf_str(&r->body, "]}");
	}
	sl_buf_str(&r->body, "]}");
}

static void count_version(struct replay *r, int64_t rows)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&r->answer), r->answer.len, "answer", NULL);
	const char *version = doc ? sl_json_str(yyjson_doc_get_root(doc), "model_version", "?") : "?";
	size_t i = 0;
	while (i < VERSIONS_MAX - 1 && r->versions[i].rows && !sl_str_eq(r->versions[i].version, version))
		i++;
	snprintf(r->versions[i].version, sizeof r->versions[i].version, "%.20s", version);
	r->versions[i].rows += rows;
}

static int send_rows(struct replay *r, size_t first, size_t last, struct sl_error *err)
{
	char path[SL_NAME_MAX + 32];
	snprintf(path, sizeof path, "/v2/models/%s/infer", r->endpoint->name);
	make_request(r, first, last);
	int rc = sl_buf_check(&r->body, "a request (use fewer --rows-per-request)", err);
	if (rc)
		return rc;
	struct sl_error fault = {0};
	int64_t begun = sl_monotonic_ns();
	rc = post(r, path, &r->body, &fault);
	if (r->latency_count < LATENCIES_MAX)
		r->latencies_ms[r->latency_count++] = (double)(sl_monotonic_ns() - begun) / 1e6;
	r->request_total++;
	r->row_total += (int64_t)(last - first);
	if (!rc && r->status == 200) {
		count_version(r, (int64_t)(last - first));
		return 0;
	}
	if (!rc)
		sl_server_error(r->status, sl_buf_cstr(&r->answer), r->answer.len, &fault);
	if (!r->failed_total++)
		snprintf(r->first_error, sizeof r->first_error, "%.480s", fault.message);
	return 0;
}

/* ---- labels in between ---------------------------------------------------------------------------------------------------- */

static int flush_labels(struct replay *r, struct sl_error *err)
{
	char path[SL_NAME_MAX + 32];
	if (!r->label_count)
		return 0;
	snprintf(path, sizeof path, "/api/v1/labels/%s", sl_call_text(r->call, "labels"));
	sl_buf_str(&r->label_body, "]}");
	int rc = sl_buf_check(&r->label_body, "labels", err);
	if (!rc)
		rc = post(r, path, &r->label_body, err);
	if (!rc && r->status / 100 != 2)
		rc = sl_server_error(r->status, sl_buf_cstr(&r->answer), r->answer.len, err);
	r->label_total += rc ? 0 : (int64_t)r->label_count;
	r->label_count = 0;
	return rc;
}

static void add_label(struct replay *r, int64_t time_ms)
{
	const struct cursor *c = &r->labels;
	char time[SL_TIME_TEXT];
	if (!r->label_count)
		sl_buf_clear(&r->label_body);
	sl_buf_str(&r->label_body, r->label_count ? ",{\"key\":" : "{\"labels\":[{\"key\":");
	put_cell(&r->label_body, &c->columns[1], c->row);
	sl_buf_str(&r->label_body, ",\"value\":");
	put_cell(&r->label_body, &c->columns[2], c->row);
	sl_buf_printf(&r->label_body, ",\"time\":\"%s\"}", sl_time_format(time_ms, time));
	r->label_count++;
}

/* Posts every label that became known before `now_ms` of event time. Rows without a label are passed over. */
static int send_labels(struct replay *r, int64_t now_ms, struct sl_error *err)
{
	int rc = 1;
	while (r->labels.result && (rc = cursor_ready(&r->labels, err)) == 1) {
		const struct cursor *c = &r->labels;
		int64_t known_ms = c->columns[0].ints[c->row] / 1000 + r->delay_ms;
		if (known_ms > now_ms)
			break;
		if (!c->columns[2].valid || c->columns[2].valid[c->row])
			add_label(r, known_ms);
		r->labels.row++;
		if (r->label_count == LABELS_PER_POST && (rc = flush_labels(r, err)))
			return rc;
	}
	return rc < 0 ? rc : flush_labels(r, err);
}

/* ---- the replay ----------------------------------------------------------------------------------------------------------- */

static void keep_pace(const struct replay *r, int64_t event_ms)
{
	double due_ms = (double)(event_ms - r->from_ms) * r->pace, now_ms = (double)(sl_monotonic_ns() - r->started_ns) / 1e6;
	while (r->pace > 0 && now_ms < due_ms && !sl_call_cancelled(r->call)) {
		poll(NULL, 0, due_ms - now_ms > 100 ? 100 : (int)(due_ms - now_ms) + 1);
		now_ms = (double)(sl_monotonic_ns() - r->started_ns) / 1e6;
	}
}

static void show_progress(const struct replay *r, int64_t event_ms)
{
	char day[SL_TIME_TEXT], what[96];
	double seconds = (double)(sl_monotonic_ns() - r->started_ns) / 1e9;
	snprintf(what, sizeof what, "%.10s, %.0f rows/s", sl_time_format(event_ms, day),
		seconds > 0 ? (double)r->row_total / seconds : 0);
	sl_call_advance(r->call, "replay", (double)(event_ms - r->from_ms) / (double)(r->until_ms - r->from_ms), what);
}

static int replay_rows(struct replay *r, struct sl_error *err)
{
	size_t most = (size_t)sl_call_int(r->call, "rows-per-request");
	int rc;
	while ((rc = cursor_ready(&r->rows, err)) == 1) {
		size_t first = r->rows.row, last = first + most < r->rows.rows ? first + most : r->rows.rows;
		int64_t event_ms = r->rows.columns[r->time_column].ints[first] / 1000;
		if (sl_call_cancelled(r->call))
			return sl_fail(err, SL_E_CANCELLED, "stopped");
		keep_pace(r, event_ms);
		rc = send_labels(r, event_ms, err);
		if (!rc)
			rc = send_rows(r, first, last, err);
		if (rc)
			return rc;
		r->rows.row = last;
		show_progress(r, event_ms);
	}
	if (!rc)
		rc = send_labels(r, r->until_ms - 1, err);
	sl_call_advance(r->call, "replay", 1, "");
	return rc;
}

/* "2s/1d", "2s/d" */
static int parse_pace(const char *text, double *ret, struct sl_error *err)
{
	char wall[32], event[32];
	int64_t wall_ms, event_ms;
	const char *slash = text ? strchr(text, '/') : NULL;
	*ret = 0;
	if (!text)
		return 0;
	if (slash && slash - text < (int)sizeof wall) {
		snprintf(wall, sizeof wall, "%.*s", (int)(slash - text), text);
		snprintf(event, sizeof event, "%s%.28s", slash[1] >= '0' && slash[1] <= '9' ? "" : "1", slash + 1);
		if (sl_duration_parse(wall, &wall_ms) && sl_duration_parse(event, &event_ms) && event_ms > 0) {
			*ret = (double)wall_ms / (double)event_ms;
			return 0;
		}
	}
	sl_fail(err, SL_E_INVALID, "'%.64s' is no pace", text);
	return sl_error_hint(err, "wall time over event time: 2s/1d");
}

static int open_replay(struct replay *r, struct sl_error *err)
{
	const char *name = sl_call_text(r->call, "endpoint");
	r->from_ms = sl_call_int(r->call, "from");
	r->until_ms = sl_call_int(r->call, "until");
	r->delay_ms = sl_call_int(r->call, "delay");
	if (r->until_ms <= r->from_ms)
		return sl_fail(err, SL_E_INVALID, "--until must be later than --from");
	int rc = parse_pace(sl_call_text(r->call, "pace"), &r->pace, err);
	if (!rc)
		rc = sl_call_project(r->call, &r->project, err);
	if (!rc)
		rc = sl_call_store(r->call, &r->store, err);
	if (rc)
		return rc;
	r->endpoint = sl_project_endpoint(r->project, name);
	if (!r->endpoint || !r->endpoint->time[0])
		return sl_fail(err, r->endpoint ? SL_E_INVALID : SL_E_NOT_FOUND,
			r->endpoint ? "endpoint '%s' has no time column" : "there is no endpoint '%s'", name);
	rc = sl_server_find(r->store->dir, &r->server, err);
	if (rc == 0) {
		sl_fail(err, SL_E_CONFLICT, "no server runs");
		return sl_error_hint(err, "start it with 'sluice up'");
	}
	if (rc > 0)
		rc = open_tables(r, err);
	if (!rc)
		rc = query_rows(r, err);
	if (!rc)
		rc = query_labels(r, err);
	if (!rc)
		rc = sl_loop_new(&r->loop, err);
	if (!rc)
		rc = sl_http_client_new(r->loop, &(struct sl_http_client_config){0}, &r->client, err);
	r->latencies_ms = rc ? NULL : sl_alloc_array(LATENCIES_MAX, sizeof *r->latencies_ms, err);
	return rc || r->latencies_ms ? rc : SL_E_NO_MEMORY;
}

static void close_replay(struct replay *r)
{
	sl_http_client_free(r->client);
	sl_loop_free(r->loop);
	sl_sql_result_close(r->rows.result);
	sl_sql_result_close(r->labels.result);
	sl_sql_close(r->sql);
	sl_sql_close(r->label_sql);
	sl_buf_done(&r->body);
	sl_buf_done(&r->label_body);
	sl_buf_done(&r->answer);
	sl_free(r->latencies_ms);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void put_result(struct replay *r)
{
	yyjson_mut_val *result = sl_call_object(r->call);
	int64_t took_ms = (sl_monotonic_ns() - r->started_ns) / 1000000;
	sl_put_int(r->call, result, "rows", r->row_total);
	sl_put_int(r->call, result, "labels", r->label_total);
	sl_put_int(r->call, result, "took_ms", took_ms);
	sl_put_double(r->call, result, "rows_per_s", took_ms ? (double)r->row_total * 1000 / (double)took_ms : 0);
	if (r->latency_count) {
		qsort(r->latencies_ms, r->latency_count, sizeof *r->latencies_ms, by_value);
		yyjson_mut_val *latency = sl_put_object(r->call, result, "latency_ms");
		sl_put_double(r->call, latency, "p50", r->latencies_ms[r->latency_count / 2]);
		sl_put_double(r->call, latency, "p99", r->latencies_ms[r->latency_count * 99 / 100]);
		sl_put_double(r->call, latency, "max", r->latencies_ms[r->latency_count - 1]);
	}
	yyjson_mut_val *versions = sl_put_array(r->call, result, "versions");
	for (size_t i = 0; i < VERSIONS_MAX && r->versions[i].rows; i++) {
		yyjson_mut_val *item = sl_add_object(r->call, versions);
		sl_put_text(r->call, item, "version", r->versions[i].version);
		sl_put_int(r->call, item, "rows", r->versions[i].rows);
	}
	sl_put_int(r->call, result, "requests", r->request_total);
	sl_put_int(r->call, result, "failed", r->failed_total);
	if (r->failed_total)
		sl_put_text(r->call, result, "first_error", r->first_error);
}

int sl_op_replay(struct sl_call *call, struct sl_error *err)
{
	struct replay *r = sl_arena_alloc(call->arena, sizeof *r);
	if (!r)
		return sl_fail_memory(err);
	r->call = call;
	sl_buf_init(&r->body, REQUEST_BYTES_MAX);
	sl_buf_init(&r->label_body, REQUEST_BYTES_MAX);
	sl_buf_init(&r->answer, REQUEST_BYTES_MAX);
	int rc = open_replay(r, err);
	r->started_ns = sl_monotonic_ns();
	if (!rc)
		rc = replay_rows(r, err);
	if (!rc) {
		put_result(r);
		call->failed = r->failed_total > 0;
	}
	close_replay(r);
	return rc;
}

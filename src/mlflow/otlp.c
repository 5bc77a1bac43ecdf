/* POST /v1/traces: spans from MLflow's clients and from OpenTelemetry's exporters. */
#include "mlflow/otlp.h"

#include <string.h>
#include <strings.h>

#include "mlflow/route.h"
#include "net/inflate.h"
#include "record/run.h"

static const char PROTOBUF[] = "application/x-protobuf", JSON[] = "application/json";

static const char *header(const struct sl_ml_call *call, const char *name) { return sl_http_request_header(call->request, name); }

static bool is_type(const char *type, const char *wanted)
{
	size_t len = type ? strcspn(type, "; ") : 0;
	return len == strlen(wanted) && strncasecmp(type, wanted, len) == 0;
}

/* What this server cannot take is no fault of the transport: no status here is one that exporters send again. */
static int check_head(struct sl_ml_call *call, struct sl_error *err)
{
	const char *type = header(call, "content-type");
	if (is_type(type, PROTOBUF) || is_type(type, JSON))
		call->answer_type = is_type(type, JSON) ? JSON : PROTOBUF;
	else
		return sl_fail(err, SL_E_INVALID, "Invalid Content-Type: %.100s. Expected: application/x-protobuf or application/json",
			type ? type : "None");
	if (header(call, "x-mlflow-experiment-id"))
		return 0;
	call->status = 422;
	sl_fail(err, SL_E_INVALID, "the header x-mlflow-experiment-id is missing");
	return sl_error_hint(err, "set OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-mlflow-experiment-id=0");
}

/* The body as it was before its compression; `plain` is where that goes. */
static int read_body(struct sl_ml_call *call, struct sl_buf *plain, const char **ret, size_t *ret_len, struct sl_error *err)
{
	const struct sl_http_request *request = call->request;
	const char *encoding = header(call, "content-encoding");
	int rc;
	*ret = request->body;
	*ret_len = request->body_len;
	if (!encoding || !*encoding || strcasecmp(encoding, "identity") == 0)
		return 0;
	if (strcasecmp(encoding, "gzip") == 0) {
		rc = sl_net_inflate(SL_INFLATE_GZIP, request->body, request->body_len, plain, err);
	} else if (strcasecmp(encoding, "deflate") == 0) {
		rc = sl_net_inflate(SL_INFLATE_ZLIB, request->body, request->body_len, plain, err);
		if (rc == SL_E_INVALID) { /* some clients send it without its envelope */
			sl_buf_clear(plain);
			rc = sl_net_inflate(SL_INFLATE_RAW, request->body, request->body_len, plain, err);
		}
	} else {
		rc = sl_fail(err, SL_E_INVALID, "Unsupported Content-Encoding: %.60s", encoding);
	}
	*ret = sl_buf_cstr(plain);
	*ret_len = plain->len;
	return rc;
}

static int read_spans(struct sl_ml_call *call, struct sl_trace_span **ret, size_t *ret_count, struct sl_error *err)
{
	struct sl_buf plain SL_AUTO_BUF = SL_BUF_INIT(SL_OTLP_BYTES_MAX);
	const char *body;
	size_t len;
	int rc = read_body(call, &plain, &body, &len, err);
	if (rc)
		return rc;
	return call->answer_type == JSON ? sl_otlp_read_json(body, len, call->arena, ret, ret_count, err)
					 : sl_otlp_read_proto(body, len, call->arena, ret, ret_count, err);
}

/* The header that ties whole traces to a run. */
static int link_run(struct sl_ml_call *call, const struct sl_trace_span *spans, size_t count, struct sl_error *err)
{
	const char *id = header(call, "x-mlflow-run-id");
	struct sl_rec_run run;
	struct sl_trace trace;
	if (!id)
		return 0;
	int rc = sl_rec_run_get(&call->record, id, call->arena, &run, err);
	for (size_t i = 0; !rc && i < count; i++) {
		if (*spans[i].parent)
			continue;
		rc = sl_trace_get(&call->record, spans[i].trace, call->arena, &trace, err);
		rc = rc ? rc : sl_trace_add_link(&call->record, trace.num, SL_TRACE_TO_RUN, run.id, err);
	}
	return rc;
}

static int log_spans(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	struct sl_trace_span *spans;
	size_t count;
	const struct sl_change change = sl_ml_change(call, "trace.spans");
	int rc = check_head(call, err);
	rc = rc ? rc : read_spans(call, &spans, &count, err);
	rc = rc ? rc : sl_experiment_get(&call->record, header(call, "x-mlflow-experiment-id"), SL_REC_ALL, call->arena, &experiment, err);
	if (!rc && count)
		rc = sl_trace_log_spans(&call->record, &experiment, spans, count, &change, call->arena, err);
	rc = rc ? rc : link_run(call, spans, count, err);
	if (!rc && call->answer_type == JSON)
		sl_buf_str(&call->out, "{}");
	return rc;
}

const struct sl_ml_route sl_ml_routes_otlp[] = {
	{0, SL_HTTP_POST, "/v1/traces", SL_PERMIT_RUN, SL_ML_RAW, log_spans, NULL, NULL},
	{0},
};

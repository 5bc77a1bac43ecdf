#include "oip/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/proto.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "os/clock.h"

enum { RANDOM_BYTES = 4096, TELL_EVERY_MS = 60000, TIMEOUT_MS = 10000, KIND_INTERNAL = 1, KIND_SERVER = 2, STATUS_ERROR = 2 };

struct oip_tracer {
	struct sl_tls *tls;            /* of an https collector; NULL */
	struct sl_http_client *client;
	struct sl_timer *timer;
	char url[1024];
	double ratio;
	struct sl_buf spans;           /* field 2 of ScopeSpans each */
	size_t span_count;
	bool sending;
	uint64_t dropped, told;
	int64_t told_ms;
	unsigned char random[RANDOM_BYTES]; /* ids out of one system call per 128 requests */
	size_t random_used;
};

/* ---- trace context ---- */

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* Lower-case digits, not all of them 0. */
static bool parse_hex(const char *text, unsigned char *ret, size_t bytes)
{
	unsigned any = 0;
	for (size_t i = 0; i < bytes; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);
		if (low < 0)
			return false;
		ret[i] = (unsigned char)(high << 4 | low);
		any |= ret[i];
	}
	return any;
}

/* Version 00, or a later one that begins like it and goes on after another '-'. */
static bool parse_parent(const char *text, struct oip_trace *ret, bool *ret_sampled)
{
	enum { TRACE = 3, PARENT = 36, FLAGS = 53, END = 55 };
	size_t len = text ? strlen(text) : 0;
	if (len < END || text[2] != '-' || text[35] != '-' || text[52] != '-' || digit(text[0]) < 0 || digit(text[1]) < 0 ||
	    memcmp(text, "ff", 2) == 0 || (len > END && (memcmp(text, "00", 2) == 0 || text[END] != '-')))
		return false;
	int high = digit(text[FLAGS]), low = digit(text[FLAGS + 1]);
	*ret_sampled = low >= 0 && low & 1;
	return high >= 0 && low >= 0 && parse_hex(text + TRACE, ret->trace, sizeof ret->trace) && parse_hex(text + PARENT, ret->parent, sizeof ret->parent);
}

static bool take_random(struct oip_tracer *tracer, void *out, size_t bytes)
{
	if (tracer->random_used + bytes > RANDOM_BYTES) {
		if (sl_random(tracer->random, RANDOM_BYTES, NULL))
			return false;
		tracer->random_used = 0;
	}
	memcpy(out, tracer->random + tracer->random_used, bytes);
	tracer->random_used += bytes;
	return true;
}

/* The caller's decision counts; without one a draw, made of the trace's own number, as the specification has it. */
void oip_trace_begin(struct oip_tracer *tracer, const char *traceparent, struct oip_trace *ret)
{
	uint32_t draw;
	*ret = (struct oip_trace){0};
	if (!tracer)
		return;
	ret->has_parent = parse_parent(traceparent, ret, &ret->sampled);
	if (!take_random(tracer, ret->span, sizeof ret->span) || (!ret->has_parent && !take_random(tracer, ret->trace, sizeof ret->trace))) {
		*ret = (struct oip_trace){0};
		return;
	}
	memcpy(&draw, ret->trace + sizeof ret->trace - sizeof draw, sizeof draw);
	if (!ret->has_parent)
		ret->sampled = (double)draw < tracer->ratio * 4294967296.0;
	ret->answer = ret->has_parent || ret->sampled;
}

static char *put_hex(char *out, const unsigned char *bytes, size_t count)
{
	static const char DIGITS[] = "0123456789abcdef";
	for (size_t i = 0; i < count; i++) {
		*out++ = DIGITS[bytes[i] >> 4];
		*out++ = DIGITS[bytes[i] & 15];
	}
	*out++ = '-';
	return out;
}

const char *oip_trace_text(const struct oip_trace *trace, char out[OIP_TRACEPARENT])
{
	memcpy(out, "00-", 3);
	char *p = put_hex(put_hex(out + 3, trace->trace, sizeof trace->trace), trace->span, sizeof trace->span);
	memcpy(p, trace->sampled ? "01" : "00", 3);
	return out;
}

/* ---- spans: opentelemetry/proto/trace/v1/trace.proto ---- */

static void put_attribute(struct sl_buf *out, uint32_t field, const char *key, const char *text, int64_t number)
{
	size_t pair = sl_proto_open(out, field);
	sl_proto_put_text(out, 1, key);
	size_t value = sl_proto_open(out, 2);
	if (text)
		sl_proto_put_text(out, 1, text);
	else
		sl_proto_put_int(out, 3, (uint64_t)number);
	sl_proto_close(out, value);
	sl_proto_close(out, pair);
}

struct span {
	const unsigned char *trace, *id, *parent; /* parent NULL: none */
	const char *name;
	int kind;
	int64_t from_ns, to_ns; /* monotonic */
};

/* Opens it: attributes and status may follow. */
static size_t open_span(struct sl_buf *out, const struct span *span, int64_t wall_minus_monotonic_ns)
{
	size_t at = sl_proto_open(out, 2);
	sl_proto_put_bytes(out, 1, span->trace, 16);
	sl_proto_put_bytes(out, 2, span->id, 8);
	if (span->parent)
		sl_proto_put_bytes(out, 4, span->parent, 8);
	sl_proto_put_text(out, 5, span->name);
	sl_proto_put_int(out, 6, (uint64_t)span->kind);
	sl_proto_put_fixed64(out, 7, (uint64_t)(span->from_ns + wall_minus_monotonic_ns));
	sl_proto_put_fixed64(out, 8, (uint64_t)(span->to_ns + wall_minus_monotonic_ns));
	return at;
}

static void put_stages(struct oip_tracer *tracer, const struct oip_trace *trace, const struct oip_traced *what, int64_t now_ns, int64_t offset_ns)
{
	const struct sl_inputs *rows = what->rows;
	const struct { const char *name; int64_t from_ns, to_ns; } stages[] = {
		{"parse", what->started_ns, rows->parsed_ns}, {"compute", rows->parsed_ns, rows->computed_ns}, {"write", rows->computed_ns, now_ns}};
	for (size_t i = 0; i < SL_ARRAY_LEN(stages); i++) {
		unsigned char id[8];
		if (!take_random(tracer, id, sizeof id))
			return;
		struct span span = {.trace = trace->trace, .id = id, .parent = trace->span, .name = stages[i].name, .kind = KIND_INTERNAL,
				    .from_ns = stages[i].from_ns, .to_ns = stages[i].to_ns};
		sl_proto_close(&tracer->spans, open_span(&tracer->spans, &span, offset_ns));
		tracer->span_count++;
	}
}

static void put_request(struct oip_tracer *tracer, const struct oip_trace *trace, const struct oip_traced *what, int64_t now_ns, int64_t offset_ns)
{
	struct sl_buf *out = &tracer->spans;
	char name[SL_NAME_MAX + 16];
	snprintf(name, sizeof name, "predict %.*s", SL_NAME_MAX, what->served->spec->name);
	struct span span = {.trace = trace->trace, .id = trace->span, .parent = trace->has_parent ? trace->parent : NULL, .name = name,
			    .kind = KIND_SERVER, .from_ns = what->started_ns, .to_ns = now_ns};
	size_t at = open_span(out, &span, offset_ns);
	put_attribute(out, 9, "sluice.endpoint", what->served->spec->name, 0);
	put_attribute(out, 9, "network.protocol.name", what->protocol, 0);
	put_attribute(out, 9, "sluice.model.version", what->id ? sl_inputs_answered(what->rows)->version_text : what->served->version_text, 0);
	put_attribute(out, 9, "http.response.status_code", NULL, what->error ? sl_code_http_status(what->error->code) : 200);
	if (what->id) {
		put_attribute(out, 9, "sluice.prediction.id", what->id->text, 0);
		put_attribute(out, 9, "sluice.rows", NULL, (int64_t)what->rows->count);
	}
	if (what->error) {
		size_t status = sl_proto_open(out, 15);
		sl_proto_put_text(out, 2, what->error->message);
		sl_proto_put_int(out, 3, STATUS_ERROR);
		sl_proto_close(out, status);
	}
	sl_proto_close(out, at);
	tracer->span_count++;
}

static void tell_drops(struct oip_tracer *tracer, const char *why)
{
	int64_t now_ms = sl_monotonic_ns() / 1000000;
	if (tracer->dropped == tracer->told || (tracer->told && now_ms - tracer->told_ms < TELL_EVERY_MS))
		return;
	sl_log(SL_LOG_WARNING, "traces: %llu spans were dropped since the start: %s", (unsigned long long)tracer->dropped, why);
	tracer->told = tracer->dropped;
	tracer->told_ms = now_ms;
}

static void send_batch(struct oip_tracer *tracer);

void oip_trace_end(struct oip_tracer *tracer, const struct oip_trace *trace, const struct oip_traced *what)
{
	if (!trace->sampled)
		return;
	size_t before = tracer->spans.len, count = tracer->span_count;
	int64_t now_ns = sl_monotonic_ns(), offset_ns = sl_now_ms() * 1000000 - now_ns;
	put_request(tracer, trace, what, now_ns, offset_ns);
	if (what->id)
		put_stages(tracer, trace, what, now_ns, offset_ns);
	if (sl_buf_check(&tracer->spans, "spans", NULL)) { /* full: as it was before */
		tracer->dropped += tracer->span_count - count;
		tracer->span_count = count;
		tracer->spans.len = before;
		tracer->spans.failed = 0;
		tell_drops(tracer, "there are more than the collector takes");
	}
	if (tracer->spans.len > OIP_TRACE_BATCH_BYTES)
		send_batch(tracer);
}

/* ---- sending ---- */

struct batch {
	struct oip_tracer *tracer;
	size_t spans;
};

static void on_sent(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct batch *batch = context;
	struct oip_tracer *tracer = batch->tracer;
	tracer->sending = false;
	if (!answer || answer->status / 100 != 2) {
		char why[64];
		tracer->dropped += batch->spans;
		if (answer)
			snprintf(why, sizeof why, "the collector answered %d", answer->status);
		tell_drops(tracer, answer ? why : err->message);
	}
	sl_free(batch);
}

/* ExportTraceServiceRequest { ResourceSpans { Resource, ScopeSpans { scope, spans } } } */
static int write_request(const struct oip_tracer *tracer, struct sl_buf *out)
{
	size_t all = sl_proto_open(out, 1), resource = sl_proto_open(out, 1);
	put_attribute(out, 1, "service.name", "sluice", 0);
	put_attribute(out, 1, "service.version", SLUICE_VERSION, 0);
	sl_proto_close(out, resource);
	size_t scope_spans = sl_proto_open(out, 2), scope = sl_proto_open(out, 1);
	sl_proto_put_text(out, 1, "sluice");
	sl_proto_close(out, scope);
	sl_buf_add(out, tracer->spans.data, tracer->spans.len);
	sl_proto_close(out, scope_spans);
	sl_proto_close(out, all);
	return sl_buf_check(out, "spans", NULL);
}

static void send_batch(struct oip_tracer *tracer)
{
	static const struct sl_http_header HEADERS[] = {{"Content-Type", "application/x-protobuf"}};
	if (tracer->sending || !tracer->span_count)
		return;
	SL_AUTO_BUF struct sl_buf body = SL_BUF_INIT(OIP_TRACE_BYTES_MAX + 4096);
	struct batch *batch = sl_alloc(sizeof *batch, NULL);
	struct sl_error err = {0};
	int rc = batch ? write_request(tracer, &body) : SL_E_NO_MEMORY;
	if (!rc) {
		*batch = (struct batch){tracer, tracer->span_count};
		rc = sl_http_client_start(tracer->client, &(struct sl_http_call){
			.method = SL_HTTP_POST, .url = tracer->url, .headers = HEADERS, .header_count = 1, .body = body.data, .body_len = body.len,
			.done = on_sent, .context = batch}, NULL, &err);
	}
	tracer->sending = !rc;
	if (rc) {
		tracer->dropped += tracer->span_count;
		tell_drops(tracer, err.code ? err.message : "out of memory");
		sl_free(batch);
	}
	sl_buf_clear(&tracer->spans);
	tracer->span_count = 0;
}

static void on_timer(void *context) { send_batch(context); }

int oip_tracer_new(struct sl_loop *loop, const char *url, double ratio, struct oip_tracer **ret, struct sl_error *err)
{
	struct oip_tracer *tracer = sl_alloc(sizeof *tracer, err);
	if (!tracer)
		return SL_E_NO_MEMORY;
	size_t len = strlen(url);
	tracer->ratio = ratio;
	tracer->random_used = RANDOM_BYTES;
	sl_buf_init(&tracer->spans, OIP_TRACE_BYTES_MAX);
	snprintf(tracer->url, sizeof tracer->url, "%s%sv1/traces", url, len && url[len - 1] == '/' ? "" : "/");
	int rc = strncmp(url, "https:", 6) ? 0 : sl_tls_client_new(NULL, &tracer->tls, err);
	const struct sl_http_client_config config = {.tls = tracer->tls, .timeout_ms = TIMEOUT_MS, .connect_timeout_ms = TIMEOUT_MS,
						     .connections_per_host = 1};
	if (!rc)
		rc = sl_http_client_new(loop, &config, &tracer->client, err);
	if (!rc)
		rc = sl_timer_new(loop, on_timer, tracer, &tracer->timer, err);
	if (rc) {
		oip_tracer_free(tracer);
		return rc;
	}
	sl_timer_start(tracer->timer, OIP_TRACE_EVERY_MS, OIP_TRACE_EVERY_MS);
	*ret = tracer;
	return 0;
}

void oip_tracer_free(struct oip_tracer *tracer)
{
	if (!tracer)
		return;
	sl_timer_free(tracer->timer);
	sl_http_client_free(tracer->client);
	sl_tls_free(tracer->tls);
	sl_buf_done(&tracer->spans);
	sl_free(tracer);
}

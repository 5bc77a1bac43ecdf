/* One prediction request, of whatever protocol: small ones of trees at once, on the loop; others by the pool (oip/work.h), so that the small ones
 * behind them do not wait (100,000 rows in JSON would hold it for some tenths of a second, a network for as long as it computes). Logging, counting
 * and answering are the loop's in all cases. */
#include "base/str.h"
#include "oip/answer.h"
#include "oip/work.h"
#include "os/clock.h"

enum { TIMEOUT_MS_MAX = 3600000 };

int oip_desk_init(struct oip_desk *desk, struct sl_error *err)
{
	*desk = (struct oip_desk){0};
	sl_buf_init(&desk->out, OIP_ANSWER_BYTES_MAX);
	return sl_body_parser_init(&desk->parser, err);
}

void oip_desk_done(struct oip_desk *desk)
{
	sl_inputs_done(&desk->rows);
	sl_body_parser_done(&desk->parser);
	sl_buf_done(&desk->out);
}

size_t oip_trace_header(const struct oip_prediction *p, struct sl_http_header *ret, char text[OIP_TRACEPARENT])
{
	if (!p->trace.answer)
		return 0;
	*ret = (struct sl_http_header){"traceparent", oip_trace_text(&p->trace, text)};
	return 1;
}

static void begin_trace(struct oip_prediction *p)
{
	if (p->oip->tracer)
		oip_trace_begin(p->oip->tracer, p->request ? sl_http_request_header(p->request, "traceparent") : sl_grpc_header(p->call, "traceparent"),
				&p->trace);
}

/* `id` NULL: refused, as `err` says. */
static void end_trace(const struct oip_prediction *p, const struct sl_id *id, const struct sl_error *err)
{
	if (!p->trace.sampled || !p->served)
		return;
	oip_trace_end(p->oip->tracer, &p->trace, &(struct oip_traced){
		.served = p->served, .rows = id ? &p->desk->rows : NULL, .id = id, .error = id ? NULL : err, .protocol = p->request ? "http" : "grpc",
		.started_ns = p->started_ns});
}

void oip_finish(struct oip_prediction *p, int rc, struct sl_error *err)
{
	struct sl_id id;
	p->desk->rows.waited_ns = p->waited_ns;
	if (!rc)
		rc = sl_predict_commit(&p->desk->rows, p->started_ns, &id, err);
	if (rc)
		p->refuse(p, err);
	else
		p->answer(p, &id);
	end_trace(p, rc ? NULL : &id, err);
	if (!rc)
		oip_shadow(p->oip, &p->desk->rows, &id);
	sl_v2_end(&p->v2);
	sl_body_end(&p->doc);
	sl_inputs_end(&p->desk->rows);
}

void oip_refuse_http(struct oip_prediction *p, const struct sl_error *err) { oip_refuse(p->served->endpoint, p->request, err); }

static int want_room(struct oip_prediction *p, struct sl_error *err)
{
	if (oip_admit(&p->oip->admission, sl_loop_turn(p->oip->loop), p->started_ns, p->served->spec->max_wait_ms * 1000000))
		return 0;
	sl_fail(err, SL_E_BUSY, "there are more requests than can be answered");
	return sl_error_hint(err, "ask again later");
}

/* When the client says how long it waits: milliseconds; else the endpoint does. */
static int take_deadline(struct oip_prediction *p, struct sl_error *err)
{
	const char *text = p->request ? sl_http_request_header(p->request, "x-sluice-timeout-ms") : NULL;
	int64_t timeout_ms = p->served->spec->timeout_ms, left_ms = p->call ? sl_grpc_left_ms(p->call) : -1;
	if (text && (!sl_str_int(text, &timeout_ms) || timeout_ms < 1 || timeout_ms > TIMEOUT_MS_MAX))
		return sl_fail(err, SL_E_INVALID, "X-Sluice-Timeout-Ms must be a whole number from 1 to %d", TIMEOUT_MS_MAX);
	if (left_ms >= 0 && (!timeout_ms || left_ms < timeout_ms))
		timeout_ms = left_ms > 1 ? left_ms : 1;
	p->deadline_ns = timeout_ms ? p->started_ns + timeout_ms * 1000000 : 0;
	return 0;
}

/* A stream's answers leave in the order of its messages. */
static bool is_at_once(const struct oip_prediction *p)
{
	return !p->served->heavy && !p->more && p->len < OIP_FAT_BYTES && !(p->stream && oip_stream_waits(p->stream));
}

static int read_and_compute(struct oip_prediction *p, struct sl_error *err)
{
	int rc = p->read(p, err);
	return rc ? rc : sl_predict_compute(&p->desk->rows, err);
}

void oip_predict(struct oip_prediction *p)
{
	struct sl_error err = {0};
	p->started_ns = sl_monotonic_ns();
	p->desk = &p->oip->desk;
	if (p->request)
		p->len = p->request->body_len;
	begin_trace(p);
	int rc = want_room(p, &err);
	if (!rc)
		rc = take_deadline(p, &err);
	if (rc && p->stream && oip_stream_waits(p->stream)) {
		oip_work_refuse(p, &err);
	} else if (rc) {
		p->refuse(p, &err);
		end_trace(p, NULL, &err);
	} else if (is_at_once(p)) {
		sl_buf_clear(&p->desk->out);
		oip_finish(p, read_and_compute(p, &err), &err);
		oip_trim(p->oip);
	} else {
		oip_work_begin(p);
	}
}

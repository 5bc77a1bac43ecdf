/* Traces of predictions: W3C Trace Context in and out (https://www.w3.org/TR/trace-context/), spans by OTLP to a collector.
 *
 *   traceparent, or a draw --begin--> sampled? --end--> spans in memory --each second, or when there are many--> POST URL/v1/traces (protobuf)
 *
 * A request is never held up: spans wait in at most OIP_TRACE_BYTES_MAX of memory, one batch is on its way at a time, and what finds no room, or what
 * a collector does not take, is dropped, counted and told once a minute. On the loop's thread. A prediction is four spans: the request, and
 * its stages (parse, with the time in a queue; compute; write).
 */
#ifndef SL_OIP_TRACE_H
#define SL_OIP_TRACE_H

#include "base/id.h"
#include "net/loop.h"
#include "serve/predict.h"

enum { OIP_TRACE_BYTES_MAX = 4 << 20, OIP_TRACE_BATCH_BYTES = 256 << 10, OIP_TRACE_EVERY_MS = 1000, OIP_TRACEPARENT = 56 };

struct oip_tracer;
/* `url`: of the collector, "http://127.0.0.1:4318"; `ratio` of the requests that bring no traceparent are sampled. */
int oip_tracer_new(struct sl_loop *loop, const char *url, double ratio, struct oip_tracer **ret, struct sl_error *err);
void oip_tracer_free(struct oip_tracer *tracer); /* NULL is fine; what waits is dropped */

/* Of one request. */
struct oip_trace {
	bool sampled, answer;      /* spans are made; the answer says which */
	bool has_parent;
	unsigned char trace[16], parent[8], span[8];
};
/* `traceparent`: the request's header, or NULL; one that is none counts as absent. `tracer` NULL: nothing is traced. */
void oip_trace_begin(struct oip_tracer *tracer, const char *traceparent, struct oip_trace *ret);
/* For the answer: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01". */
const char *oip_trace_text(const struct oip_trace *trace, char out[OIP_TRACEPARENT]);

/* What a request's spans tell. */
struct oip_traced {
	const struct sl_served *served;
	const struct sl_inputs *rows;   /* NULL: it was refused before its rows were there */
	const struct sl_id *id;         /* NULL: refused */
	const struct sl_error *error;   /* why */
	const char *protocol;           /* "http", "grpc" */
	int64_t started_ns;
};
void oip_trace_end(struct oip_tracer *tracer, const struct oip_trace *trace, const struct oip_traced *what);

#endif

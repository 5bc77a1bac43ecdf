/* OpenTelemetry's OTLP for traces: ExportTraceServiceRequest, as protobuf and as JSON (opentelemetry-proto v1, trace.proto, common.proto;
 * https://opentelemetry.io/docs/specs/otlp/). What comes out is the span as MLflow's protocol answers it: that message's JSON with the
 * field names of the .proto file, ids in base 64.
 *
 * As in MLflow, a span's kind, trace state, flags and counts of what was dropped are not kept, and its attribute mlflow.traceRequestId is
 * what its trace id says, whatever the client says.
 */
#ifndef SL_MLFLOW_OTLP_H
#define SL_MLFLOW_OTLP_H

#include "base/json.h"
#include "record/trace.h"

enum {
	SL_OTLP_BYTES_MAX = 32 << 20,    /* decompressed */
	SL_OTLP_SPANS_MAX = 100000,
	SL_OTLP_ATTRIBUTES_MAX = 10000,  /* of one span, event, link or resource; and its events; and its links */
	SL_OTLP_DEPTH_MAX = 30,          /* of values in values */
	SL_OTLP_TRACE_BYTES = 16, SL_OTLP_SPAN_BYTES = 8,
};

/* Everything in the arena. SL_E_INVALID: not such a message, or a span without ids; SL_E_TOO_LARGE. */
int sl_otlp_read_proto(const void *data, size_t len, struct sl_arena *arena, struct sl_trace_span **ret, size_t *ret_count,
	struct sl_error *err);
int sl_otlp_read_json(const char *text, size_t len, struct sl_arena *arena, struct sl_trace_span **ret, size_t *ret_count,
	struct sl_error *err);

/* ---- for the two readers ---- */

struct sl_otlp_spans {
	struct sl_trace_span *spans;
	size_t count, room;
	struct sl_arena *arena;
	const struct sl_pair *tags;      /* of the resource that is being read */
	size_t tag_count;
};
/* A span under construction. The values are of `doc`. */
struct sl_otlp_span {
	yyjson_mut_doc *doc;
	unsigned char trace[SL_OTLP_TRACE_BYTES], id[SL_OTLP_SPAN_BYTES], parent[SL_OTLP_SPAN_BYTES];
	bool has_trace, has_id, has_parent;
	const char *name;                /* of `doc` too; NULL: "" */
	uint64_t started_ns, ended_ns;
	int64_t status;                  /* 0 unset, 1 OK, 2 error */
	yyjson_mut_val *message;         /* of the status; may be NULL */
	yyjson_mut_val *attributes, *events, *links; /* arrays; NULL: none */
};
int sl_otlp_add(struct sl_otlp_spans *spans, struct sl_otlp_span *span, struct sl_error *err);
/* The resource's attributes (an array of {"key","value"}) become the tags of its spans' traces. */
int sl_otlp_set_resource(struct sl_otlp_spans *spans, yyjson_mut_doc *doc, yyjson_mut_val *attributes, struct sl_error *err);
/* Bytes as base 64; a number, also one that JSON lacks. NULL: no memory. */
yyjson_mut_val *sl_otlp_bytes(yyjson_mut_doc *doc, const void *data, size_t len);
yyjson_mut_val *sl_otlp_double(yyjson_mut_doc *doc, double value);
/* SL_E_INVALID */
int sl_otlp_fail(const char *what, struct sl_error *err);

#endif

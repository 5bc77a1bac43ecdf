/* Assessments of traces: what people, judges and code say of them (feedback), and what should have come out (expectation). */
#ifndef SL_RECORD_ASSESSMENT_H
#define SL_RECORD_ASSESSMENT_H

#include "base/json.h"
#include "record/trace.h"

enum { SL_ASSESSMENT_NAME_MAX = 250, SL_ASSESSMENT_BYTES_MAX = 1 << 20 };

struct sl_assessment {
	int64_t created_ms, updated_ms;
	bool valid;                      /* false: another one stands in its place */
	/* In the arena that was given. body: the members source, span_id, rationale, metadata and one of feedback, expectation, issue,
	 * as MLflow's protocol has them. overrides: the id of the one whose place it takes, or "". */
	const char *id, *name, *overrides, *body;
};

/* `said`: a client's assessment (mlflow/protos/assessments.proto as JSON). The one that it overrides is no longer valid. SL_E_INVALID, SL_E_NOT_FOUND.
 * `change` NULL: it is part of a larger change, whose entry the caller makes. */
int sl_assessment_create(struct sl_record *record, const struct sl_trace *trace, yyjson_val *said, const struct sl_change *change,
	struct sl_arena *arena, struct sl_assessment *ret, struct sl_error *err);
/* SL_E_NOT_FOUND, also when there is no such trace. */
int sl_assessment_get(struct sl_record *record, const char *trace_id, const char *id, struct sl_arena *arena, struct sl_assessment *ret,
	struct sl_error *err);
/* Those of a trace, the oldest first. */
typedef int sl_assessment_fn(void *context, const struct sl_assessment *assessment, struct sl_error *err);
int sl_assessments_each(struct sl_record *record, const struct sl_trace *trace, struct sl_arena *arena, sl_assessment_fn *each,
	void *context, struct sl_error *err);
/* Takes the members of `said` that `mask` names ("assessment_name", "feedback", ...; either spelling); metadata is added to what is
 * there. A feedback does not become an expectation. */
int sl_assessment_update(struct sl_record *record, const char *trace_id, const char *id, yyjson_val *said, const char *const *mask,
	size_t mask_count, const struct sl_change *change, struct sl_arena *arena, struct sl_assessment *ret, struct sl_error *err);
/* What it overrode is valid again. Does nothing when there is none. */
int sl_assessment_delete(struct sl_record *record, const char *trace_id, const char *id, const struct sl_change *change,
	struct sl_error *err);

#endif

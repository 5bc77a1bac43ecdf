/* Inside traces: what trace.c and trace_span.c share. */
#ifndef SL_RECORD_TRACE_INTERNAL_H
#define SL_RECORD_TRACE_INTERNAL_H

#include "record/trace.h"

/* A new row; *trace gets its number and experiment. Its place for artifacts becomes a tag. */
int sl_trace_insert(struct sl_record *record, const struct sl_experiment *experiment, struct sl_trace *trace, bool final,
	struct sl_arena *arena, struct sl_error *err);
/* Checks the name, cuts the value, and sets it in place of an older value. The trace's own columns follow. */
int sl_trace_put(struct sl_record *record, int64_t num, enum sl_trace_pair kind, const struct sl_pair *pair, struct sl_arena *arena,
	struct sl_error *err);

#endif

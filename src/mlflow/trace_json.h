/* MLflow's JSON of traces, of both versions of its protocol, and what their routes share. */
#ifndef SL_MLFLOW_TRACE_JSON_H
#define SL_MLFLOW_TRACE_JSON_H

#include "mlflow/call.h"
#include "record/assessment.h"
#include "record/trace.h"

/* {"trace_id","trace_location",...,"assessments":[...]}: TraceInfoV3 */
int sl_ml_write_trace_info(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err);
/* {"request_id","experiment_id",...}: TraceInfo of version 2 */
int sl_ml_write_trace_info_v2(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err);
/* {"trace_info":{...},"spans":[...]}. SL_E_TOO_LARGE when the answer would be. */
int sl_ml_write_trace(struct sl_ml_call *call, const struct sl_trace *trace, struct sl_error *err);
/* {"assessment_id",...} */
void sl_ml_write_assessment(struct sl_buf *out, const struct sl_assessment *assessment, const char *trace_id);

/* Whether all spans that the trace announced (metadata mlflow.trace.sizeStats) are here. *ret false: some, or none at all. */
int sl_ml_trace_is_whole(struct sl_ml_call *call, const struct sl_trace *trace, bool *ret, struct sl_error *err);
/* "OK", or the number that protobuf has for it; NULL when it is neither. */
const char *sl_ml_trace_state(yyjson_val *value);
/* experiments' ids as numbers, each once. */
int sl_ml_experiment_numbers(struct sl_ml_call *call, const char *const *texts, size_t count, int64_t **ret, size_t *ret_count,
	struct sl_error *err);
/* A page of traces: the rest of the request as both versions have it. */
int sl_ml_search_traces(struct sl_ml_call *call, const int64_t *experiments, size_t count, struct sl_search_page *ret,
	struct sl_error *err);

#endif

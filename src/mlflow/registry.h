/* The registry as JSON, for its two groups of routes. */
#ifndef SL_MLFLOW_REGISTRY_H
#define SL_MLFLOW_REGISTRY_H

#include "mlflow/call.h"
#include "mlflow/pairs.h"
#include "record/registry.h"

/* {"name","version",...}; `aliases`: with those that point to it. */
int sl_ml_put_version(struct sl_ml_call *call, const struct sl_reg_version *version, bool aliases, struct sl_error *err);
/* {"model_version":...} with aliases */
int sl_ml_answer_version(struct sl_ml_call *call, const struct sl_reg_version *version, struct sl_error *err);
/* filter, order_by, page_token, max_results of a search; SL_E_INVALID beyond `max`. */
int sl_ml_read_search(struct sl_ml_call *call, int64_t usual, int64_t max, struct sl_search *ret, struct sl_error *err);
/* The registered model that the argument "name" names. */
int sl_ml_named_model(struct sl_ml_call *call, struct sl_reg_model *ret, struct sl_error *err);
/* The version that "name" and "version" name. */
int sl_ml_named_version(struct sl_ml_call *call, struct sl_reg_version *ret, struct sl_error *err);

#endif

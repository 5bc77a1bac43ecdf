/* What webhooks are told of the registry, with MLflow's payloads (mlflow/webhooks/types.py). Each inside the transaction of what happened. */
#ifndef SL_MLFLOW_WEBHOOK_EVENTS_H
#define SL_MLFLOW_WEBHOOK_EVENTS_H

#include "mlflow/registry.h"

int sl_ml_tell_model_created(struct sl_ml_call *call, const struct sl_reg_model *model, const struct sl_pair *tags, size_t count,
	struct sl_error *err);
int sl_ml_tell_version_created(struct sl_ml_call *call, const struct sl_reg_version *version, const struct sl_pair *tags, size_t count,
	struct sl_error *err);
/* value NULL: it was deleted. A registered model's tags are told of prompts only, as MLflow does. */
int sl_ml_tell_model_tag(struct sl_ml_call *call, const struct sl_reg_model *model, const char *key, const char *value, struct sl_error *err);
int sl_ml_tell_version_tag(struct sl_ml_call *call, const struct sl_reg_version *version, const char *key, const char *value,
	struct sl_error *err);
/* version NULL: it was deleted */
int sl_ml_tell_alias(struct sl_ml_call *call, const struct sl_reg_model *model, const char *alias, const struct sl_reg_version *version,
	struct sl_error *err);

#endif

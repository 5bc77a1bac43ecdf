/* Predictions out of the endpoints' logs: for ls, show and why. */
#ifndef SL_OP_PREDICTION_H
#define SL_OP_PREDICTION_H

#include "op/context.h"
#include "project/ref.h"
#include "serve/log.h"
#include "serve/plan.h"
#include "track/lineage.h"

/* The newest `limit` requests of `endpoint` (NULL: of every endpoint of the project, newest first) as objects. */
int sl_predictions_list(struct sl_call *call, struct sl_store *store, const char *endpoint, int64_t limit, yyjson_mut_val *items,
	struct sl_error *err);
/* One request, or one row of it: inputs and outputs. */
int sl_prediction_show(
	struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, yyjson_mut_val *out, struct sl_error *err);
/* One request, or the record of it that holds the reference's row; in the call's arena. `endpoint`: its name. */
int sl_prediction_find(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_prediction *ret,
	char endpoint[160], struct sl_error *err);
/* What it was made with, in the call's arena. */
int sl_prediction_origin(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_lineage_prediction *ret,
	struct sl_error *err);

#endif

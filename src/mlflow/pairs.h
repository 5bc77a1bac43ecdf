/* "tags" and "params" of models, as JSON. */
#ifndef SL_MLFLOW_PAIRS_H
#define SL_MLFLOW_PAIRS_H

#include "mlflow/call.h"
#include "record/pair.h"

/* "<list>":[{"key","value"}...]; left out when there are none. */
int sl_ml_put_pairs(struct sl_ml_call *call, const char *list, enum sl_pair_kind kind, int64_t owner, struct sl_error *err);

#endif

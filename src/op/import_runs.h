/* import mlflow, import mlflow-files: what another tracking server has kept. */
#ifndef SL_OP_IMPORT_RUNS_H
#define SL_OP_IMPORT_RUNS_H

#include "op/op.h"

/* Fills the result with the counts of both sides. */
int sl_import_runs(struct sl_call *call, struct sl_error *err);

#endif

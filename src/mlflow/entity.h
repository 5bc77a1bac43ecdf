/* MLflow's JSON of the things that several answers show. */
#ifndef SL_MLFLOW_ENTITY_H
#define SL_MLFLOW_ENTITY_H

#include "base/buf.h"
#include "mlflow/call.h"
#include "record/experiment.h"
#include "record/history.h"
#include "record/run.h"

/* {"experiment_id","name",...,"tags":[...]} */
int sl_ml_write_experiment(struct sl_record *record, const struct sl_experiment *experiment, struct sl_arena *arena,
	struct sl_buf *out, struct sl_error *err);
/* {"run_id",...}: RunInfo */
void sl_ml_write_run_info(const struct sl_rec_run *run, struct sl_buf *out);
/* {"info","data","inputs","outputs"}: Run */
int sl_ml_write_run(struct sl_record *record, const struct sl_rec_run *run, struct sl_buf *out, struct sl_error *err);
/* {"key","value","timestamp","step"}; `run_id` NULL: without it. For sl_rec_point_fn. */
void sl_ml_write_point(struct sl_buf *out, const struct sl_rec_point *point, const char *run_id);

#endif

/* Runs of this program's own (`sluice run` and its steps) as clients see them: what track/run.h records of a run is written here too, under the
 * same id and in the same transaction, so that searches, histories, artifacts and inputs are one store for both.
 *
 *   parameter   its text, or its JSON when it is no text; a client may log another value over it, once
 *   tag         "sluice.<name>"; mlflow.runName, mlflow.parentRunId, sluice.kind; at the end sluice.cause
 *   input       a dataset of the run with the first 36 digits of its hash as digest, context = its kind
 *   artifact    below "mlflow-artifacts:/0/<run>/artifacts", whatever an operator chose for clients' own
 *
 * A name that no client could use (limits.h) is left out. Nothing here writes to the ledger: the run's own entries cover it.
 */
#ifndef SL_RECORD_OWN_H
#define SL_RECORD_OWN_H

#include "record/record.h"

struct sl_own_run { const char *kind, *name, *parent; int64_t started_ms; }; /* parent: a ULID or NULL */
/* Inside a transaction. */
int sl_own_begin(struct sl_meta *meta, const struct sl_id *id, const struct sl_own_run *run, struct sl_error *err);
int sl_own_param(struct sl_meta *meta, const struct sl_id *id, const char *name, const char *json_value, struct sl_error *err);
int sl_own_tag(struct sl_meta *meta, const struct sl_id *id, const char *name, const char *value, struct sl_error *err);
int sl_own_input(struct sl_meta *meta, const struct sl_id *id, const char *kind, const char *name, const char *hash, struct sl_error *err);
int sl_own_artifact(struct sl_meta *meta, const struct sl_id *id, const char *path, const char *hash, int64_t size_bytes, struct sl_error *err);
struct sl_own_point { const char *name; int64_t step, time_ms; double value; };
/* Inside a transaction. */
int sl_own_points(struct sl_meta *meta, const struct sl_id *id, const struct sl_own_point *points, size_t count, struct sl_error *err);
/* status: ok, failed, cancelled, killed. */
int sl_own_end(struct sl_meta *meta, const struct sl_id *id, const char *status, const char *cause, int64_t ended_ms, struct sl_error *err);

/* Is `value` what the run's own parameter of this name shows? Then a client's takes its place. */
int sl_own_param_is(struct sl_meta *meta, const char *id, const char *name, const char *value, bool *ret, struct sl_error *err);

/* Shows the runs and models of a store that an older program wrote; once per store, a look-up afterwards. Outside of any transaction. */
int sl_own_catch_up(struct sl_meta *meta, struct sl_error *err);

#endif

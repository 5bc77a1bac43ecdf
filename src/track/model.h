/* The model registry: versions, aliases, gates' verdicts. A version's `hash` is a model package (docs/formats/model.md), an
 * object in the store. */
#ifndef SL_TRACK_MODEL_H
#define SL_TRACK_MODEL_H

#include "track/run.h"

struct sl_model_version {
	int64_t version;
	struct sl_hash hash;
	struct sl_id run;
	char status[16];          /* candidate, refused, waiting, ready */
	int64_t created_ms;
};
/* Makes version max+1, status "candidate"; ledger "model.create". */
int sl_model_create(struct sl_track *track, const char *model, const struct sl_hash *package, const struct sl_id *run,
		    const char *metrics_json, int64_t *ret_version, struct sl_error *err);
/* The same with a number that the registry of MLflow's clients gave out (record/own_registry.h). SL_E_CONFLICT when it is taken. */
int sl_model_create_as(struct sl_track *track, const char *model, int64_t version, const struct sl_hash *package, const struct sl_id *run,
		       const char *metrics_json, struct sl_error *err);
/* Stores the gate's verdict (JSON array) and the new status; ledger "model.gate". */
int sl_model_gate(struct sl_track *track, const char *model, int64_t version, const char *status, const char *gate_json,
		  const char *metrics_json, struct sl_error *err);
/* Moves (or makes) an alias to `version`; version 0 removes it. Ledger "model.alias". Refuses versions that are refused or
 * waiting unless `force`. */
int sl_model_alias(struct sl_track *track, const char *model, const char *alias, int64_t version, const char *reason, bool force,
		   struct sl_error *err);
/* Back to the version that the alias had before its present one. *ret_version gets it. Ledger "model.rollback". SL_E_CONFLICT
 * when there is none. */
int sl_model_rollback(struct sl_track *track, const char *model, const char *alias, int64_t *ret_version, struct sl_error *err);
/* `version`: number, alias, hash prefix, or "" = champion, else newest. */
int sl_model_find(struct sl_track *track, const char *model, const char *version, struct sl_model_version *ret,
		  struct sl_error *err);

#endif

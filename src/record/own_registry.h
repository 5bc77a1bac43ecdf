/* Versions of this program's own models in the registry of MLflow's clients: one name is one model in both, numbers are given out over both, and
 * an alias that moves here (track/model.h) moves there. Inside the transaction of the change itself, whose ledger entry covers it. */
#ifndef SL_RECORD_OWN_REGISTRY_H
#define SL_RECORD_OWN_REGISTRY_H

#include "record/record.h"

/* The next number of a model's versions. */
int sl_own_next_version(struct sl_meta *meta, const char *model, int64_t *ret, struct sl_error *err);
/* `package` (hex) is the model; the run that made it has its files below "model". A version that a client registered is left as it is. */
int sl_own_version(struct sl_meta *meta, const char *model, int64_t version, const char *package, int64_t created_ms, struct sl_error *err);
/* The gate's word, as the version's tag "sluice.status". */
int sl_own_version_status(struct sl_meta *meta, const char *model, int64_t version, const char *status, struct sl_error *err);
/* version 0: no more. */
int sl_own_alias(struct sl_meta *meta, const char *model, const char *alias, int64_t version, struct sl_error *err);

/* All versions and aliases of a store that an older program wrote. */
int sl_own_registry_show(struct sl_meta *meta, struct sl_error *err);

#endif

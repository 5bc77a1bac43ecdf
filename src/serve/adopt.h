/* A version that a client registered with MLflow's registry, as a version of this program's model of that name: its files are read as data (the
 * flavours of serve/model_find.h; nothing that carries code), a package is made of them, and gate, aliases, endpoints and lineage know it from
 * then on. The two registries name the same thing (record/own_registry.h).
 *
 * The package has no reference statistics of training, which nobody logged: monitors compare with a window or a dataset instead.
 *
 * The gate of such a version are the rules of `models:` in the project file, over the latest metrics of the run that logged it (the champion's
 * are those of its run). Without rules it is ready.
 */
#ifndef SL_SERVE_ADOPT_H
#define SL_SERVE_ADOPT_H

#include "project/project.h"
#include "track/store.h"

/* Makes it one; fine when it is one already. `project` may be NULL: no rules. Outside of any transaction. SL_E_NOT_FOUND: no such version;
 * SL_E_DENIED: its files are not in this store, or carry code; SL_E_INVALID and the like: what is wrong with the file. */
int sl_adopt(struct sl_store *store, const struct sl_project *project, const char *model, int64_t version, struct sl_error *err);
/* The aliases that clients set, onto the versions that were adopted; and away with those that clients removed. One that its gate refused gets
 * none: told in the log. */
int sl_adopt_aliases(struct sl_store *store, const char *model, struct sl_error *err);

#endif

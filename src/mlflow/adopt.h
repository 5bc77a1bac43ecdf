/* Behind the answers: what clients do in their registry becomes known to this program's own (serve/adopt.h), on a pool thread and in a transaction of
 * its own, so that reading a large model file holds up no request. */
#ifndef SL_MLFLOW_ADOPT_H
#define SL_MLFLOW_ADOPT_H

#include "net/loop.h"
#include "track/pool.h"

enum { SL_ML_ADOPT_WAITING_MAX = 1000 }; /* beyond, a change waits for the next of its model, or for `sluice promote` */

struct sl_ml_adopter;
/* Borrows loop and pool. */
int sl_ml_adopter_new(struct sl_loop *loop, struct sl_store_pool *pool, const char *project_dir, struct sl_ml_adopter **ret, struct sl_error *err);
/* Does what waits still; NULL is fine. */
void sl_ml_adopter_free(struct sl_ml_adopter *adopter);
/* After this turn's commit: takes the version (0: none), then the aliases of the model. */
void sl_ml_adopt_later(struct sl_ml_adopter *adopter, const char *model, int64_t version);

#endif

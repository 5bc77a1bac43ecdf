/* Shadows: variants that see copies of answered requests. Nobody waits for them, and nothing that they do reaches a client.
 *
 *   answered request --offer: a copy, within limits--> queue --take--> batch --compute, on another thread--> log, on the loop's
 *
 * What they say is in the endpoint's prediction log, marked, under an id of its own. When they cannot keep up, copies are dropped: that is
 * counted per endpoint, and told in the log of the process at most once a minute.
 * A served version that a waiting copy needs is kept loaded by it.
 */
#ifndef SL_SERVE_SHADOW_H
#define SL_SERVE_SHADOW_H

#include "serve/predict.h"

enum {
	SL_SHADOW_QUEUE_MAX = 1024,          /* copies that wait */
	SL_SHADOW_BYTES_MAX = 32 << 20,      /* of their values */
	SL_SHADOW_BATCH_MAX = 64,            /* copies that are computed, then logged, at once */
};

struct sl_shadow;
int sl_shadow_new(struct sl_shadow **ret, struct sl_error *err);
void sl_shadow_free(struct sl_shadow *shadow); /* NULL is fine; no batch may be under way */
/* Copies the request for each shadow of its front, as their shares say; `id` is the prediction's. Never fails: what cannot be kept is
 * dropped. Of no effect for what is no front, or for an endpoint that logs nothing. */
void sl_shadow_offer(struct sl_shadow *shadow, const struct sl_inputs *rows, const struct sl_id *id);

/* Takes what waits, at most a batch, to be computed. False: nothing waits, or a batch is under way. */
bool sl_shadow_take(struct sl_shadow *shadow);
void sl_shadow_compute(struct sl_shadow *shadow); /* the batch; any thread */
void sl_shadow_log(struct sl_shadow *shadow);     /* the batch, which ends with this */

struct sl_shadow_stats { uint64_t seen, failed, dropped; };

#endif

/* Refused requests, for the ledger: entries "request.refused" by the caller, about "METHOD PATH", with how often in `times`.
 *
 * Whoever asks without permission may ask a thousand times a second. So nothing here waits: the first refusal after a quiet
 * second is written at once by another thread, later ones are counted and written together after each second, one entry per
 * caller and thing. Of more than SL_REFUSALS_KEPT different ones in a second the last entry tells how many are not named
 * (`left_out`). Equal refusals cost a comparison, and the ledger grows by at most SL_REFUSALS_KEPT entries a second. */
#ifndef SL_OP_REFUSAL_H
#define SL_OP_REFUSAL_H

#include "net/loop.h"

enum { SL_REFUSALS_KEPT = 8 };

struct sl_refusals;
int sl_refusals_open(struct sl_loop *loop, const char *project_dir, struct sl_refusals **ret, struct sl_error *err);
/* What still waits is written, here and now. Before sl_loop_free. NULL is fine. */
void sl_refusals_close(struct sl_refusals *refusals);
/* On the loop's thread. `actor` as in struct sl_caller; `method` and `path` of the request, or what else says what was asked. */
void sl_refusals_note(struct sl_refusals *refusals, const char *actor, const char *method, const char *path);

#endif

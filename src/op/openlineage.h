/* Events of runs to where the project wants them: beside the run, by a process that outlives it. */
#ifndef SL_OP_OPENLINEAGE_H
#define SL_OP_OPENLINEAGE_H

#include "op/context.h"

struct sl_openlineage_beside { bool wanted; int run_fd; }; /* run_fd: open while the run goes on; -1 */
#define SL_OPENLINEAGE_NOBODY {.run_fd = -1}
/* Before a run. Whatever is wrong is a line for the user, never the run's failure. */
void sl_openlineage_prepare(struct sl_call *call, struct sl_store *store, const struct sl_project *project, struct sl_openlineage_beside *ret);
/* When its first step starts: the process that delivers, which ends after this one has. Later calls do nothing. */
void sl_openlineage_accompany(struct sl_call *call, struct sl_openlineage_beside *beside);
/* After it: says what could not be delivered the last time that it was tried. */
void sl_openlineage_done(struct sl_call *call, struct sl_store *store, struct sl_openlineage_beside *beside);
/* How delivery stands: {"delivered","waiting","refused","given_up","since","message"}; nothing when there is none. */
int sl_openlineage_put(struct sl_call *call, struct sl_store *store, yyjson_mut_val *into, struct sl_error *err);

#endif

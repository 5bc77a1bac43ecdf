/* Canaries, tests and bandits at work: they follow their endpoint's prediction log and label set, and decide which share each variant gets.
 *
 *   prediction log + labels --> arms (watch/arm.h) --> phase, step, weights: table `route_state`, a ledger entry, the bell --> infer
 *
 * A change and its ledger entry are one transaction. Weights name the versions that they are for, and whoever serves uses them for these
 * only: when an alias moves, everything goes to the endpoint's own model until the experiment has begun anew.
 * Restart: the state says where the present step began; its records are read again, so nothing is lost or counted twice.
 */
#ifndef SL_WATCH_EXPERIMENT_H
#define SL_WATCH_EXPERIMENT_H

#include "project/project.h"
#include "track/store.h"

struct sl_experiments;
/* `project` must outlive it. */
int sl_experiments_open(struct sl_store *store, const struct sl_project *project, struct sl_experiments **ret, struct sl_error *err);
void sl_experiments_close(struct sl_experiments *experiments); /* NULL is fine */
/* Looks at every endpoint: rules that are new, records that are new, what follows from them. An endpoint that fails is told once per
 * message and tried again. `now_ms`: the clock's. */
void sl_experiments_tick(struct sl_experiments *experiments, int64_t now_ms);

#endif

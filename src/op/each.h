/* Queries of `each`: asked before a run, when what they read is up to date. */
#ifndef SL_OP_EACH_H
#define SL_OP_EACH_H

#include "flow/flow.h"
#include "op/context.h"

/* Brings what the queries read up to date (a run of its own, with `options` but for the names; only for steps that `options` asks for), and asks those
 * whose datasets have other versions than when they were answered. An answer that stands is not asked for again. *ret_changed: one of the
 * answers is another one; load the project anew and call again, for another query may read what these steps make. */
int sl_each_settle(struct sl_call *call, struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options, bool *ret_changed,
	struct sl_error *err);

#endif

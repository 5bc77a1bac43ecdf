/* The project as it is in force: sluice.yaml, then the pinned parameters (track/pin.h), then what the caller overrides. */
#ifndef SL_OP_PINS_H
#define SL_OP_PINS_H

#include "op/context.h"

/* Loads it into call->project. A pin whose parameter the file gives another value by now does not hold; `settle` also removes
 * it, with a line that says so (what only looks leaves it alone). */
int sl_pins_project(struct sl_call *call, struct sl_store *store, const char *const *overrides, size_t count, bool settle,
	struct sl_project **ret, struct sl_error *err);
/* Keeps the overrides for later runs. */
int sl_pins_keep(struct sl_call *call, struct sl_store *store, const char *const *overrides, size_t count, struct sl_error *err);
/* Drops all pins. */
int sl_pins_drop(struct sl_call *call, struct sl_store *store, const char *reason, struct sl_error *err);

#endif

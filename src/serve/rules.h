/* The traffic rules of an endpoint as they are in use: those that were set while the project ran (table `route`), else those of the project
 * file; and how far an experiment has moved the weights (table `route_state`). */
#ifndef SL_SERVE_RULES_H
#define SL_SERVE_RULES_H

#include "project/project.h"
#include "track/store.h"

struct sl_rules {
	const char *text;      /* canonical JSON; "" = all to the endpoint's `model` */
	bool set;              /* not the project file's */
	const char *reason;    /* why they were set */
	int64_t changed_ms;
	const char *phase;     /* of the experiment; "" = none has begun on these rules */
	const char *weights;   /* JSON {"MODEL@ALIAS": share}; "" = the rules' own */
	const char *state;     /* JSON; "" */
};
/* Texts live in `arena`. */
int sl_rules_read(struct sl_store *store, const struct sl_endpoint *endpoint, struct sl_arena *arena, struct sl_rules *ret,
		  struct sl_error *err);
/* Sets them, with a ledger entry "route.set", or, with `text` NULL, goes back to the project file's ("route.reset"; SL_E_CONFLICT when they are
 * in use). Who serves sees it at once. SL_E_INVALID for what are no rules of this endpoint. */
int sl_rules_set(struct sl_store *store, const struct sl_endpoint *endpoint, const char *text, const char *reason, struct sl_error *err);

#endif

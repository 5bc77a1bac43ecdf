/* An endpoint's traffic rules, shown: for route, show and status. */
#ifndef SL_OP_ROUTE_H
#define SL_OP_ROUTE_H

#include "op/context.h"

/* "rules", "from" and, where they were set by a command, "reason" and "set". */
int sl_route_put(struct sl_call *call, struct sl_store *store, const struct sl_endpoint *endpoint, yyjson_mut_val *out,
		 struct sl_error *err);

#endif

/* A flow report as JSON: for run and status. */
#ifndef SL_OP_FLOW_JSON_H
#define SL_OP_FLOW_JSON_H

#include "flow/flow.h"
#include "op/context.h"

/* {"run","took_ms","counts":{...},"steps":[{"name","kind","action","state","reason","note","cause","run","took_ms"}]} */
void sl_flow_put_report(struct sl_call *call, yyjson_mut_val *object, const struct sl_flow_report *report);

#endif

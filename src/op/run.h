/* The operation `run` without what app/run.c puts around it. */
#ifndef SL_OP_RUN_H
#define SL_OP_RUN_H

#include "flow/flow.h"
#include "op/op.h"

/* `face`: as in flow/flow.h; NULL: none. */
int sl_run_project(struct sl_call *call, const struct sl_flow_face *face, struct sl_error *err);

#endif

/* The operation `run` without what app/run.c puts around it. */
#ifndef SL_OP_RUN_H
#define SL_OP_RUN_H

#include "op/op.h"

int sl_run_project(struct sl_call *call, struct sl_error *err);

#endif

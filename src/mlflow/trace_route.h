/* Handlers that the routes of traces share in both versions of the protocol. */
#ifndef SL_MLFLOW_TRACE_ROUTE_H
#define SL_MLFLOW_TRACE_ROUTE_H

#include "mlflow/route.h"

sl_ml_handler sl_ml_trace_set_tag, sl_ml_trace_delete_tag, sl_ml_traces_delete, sl_ml_traces_link_run, sl_ml_traces_link_prompts;

#endif

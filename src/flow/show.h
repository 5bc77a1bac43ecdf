/* Inside flow/: what a step made, among the artifacts of its run as MLflow's clients see it (record/own.h): files under their paths, a model as
 * "model/" in MLflow's own layout, so that its client loads it. */
#ifndef SL_FLOW_SHOW_H
#define SL_FLOW_SHOW_H

#include "flow/graph.h"

/* Inside the transaction that commits the step; `output` is a file or a model. */
int flow_show_output(struct flow_graph *graph, const struct sl_id *run, const struct flow_output *output, struct sl_error *err);

#endif

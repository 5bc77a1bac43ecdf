/* Inside flow/: carries out a plan. Event-driven: a node is looked at when the last thing it waits for has ended, and never
 * again. */
#ifndef SL_FLOW_EXECUTE_H
#define SL_FLOW_EXECUTE_H

#include "flow/plan.h"

struct flow_plan {
	struct flow_graph graph;
	struct flow_decision **decisions; /* beside graph.nodes, in its arena: of what is STALE or REUSED; else NULL */
	struct sl_flow_report *report;   /* nodes beside graph.nodes */
};

/* Decides for nodes[i], whose inputs are known, and shows it in the report. */
int flow_plan_node(struct flow_plan *plan, size_t i, const struct sl_flow_options *options, struct sl_error *err);

/* Runs what is STALE or MAYBE, puts REUSED in place. Fills the report. Returns as sl_flow_run. */
int flow_execute(struct flow_plan *plan, const struct sl_flow_options *options, struct sl_error *err);

#endif

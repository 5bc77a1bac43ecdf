/* Inside flow/: which nodes of a project are in a run's graph, and in which order. */
#ifndef SL_FLOW_GRAPH_ORDER_H
#define SL_FLOW_GRAPH_ORDER_H

#include "base/map.h"
#include "flow/graph.h"

/* Where a readable name comes from. */
struct flow_place { size_t node, output; struct flow_place *next; /* of instances that are read together */ };

/* Of all nodes of the project, whose inputs are found: keeps what was asked for (nothing: everything) and what it needs, each behind what it reads, with followers;
 * leaves out what conditions leave out. `places`: readable name -> struct flow_place. SL_E_INVALID for a cycle, SL_E_NOT_FOUND for a name that is none. */
int flow_graph_order(struct flow_graph *graph, const struct sl_map *places, const char *const *asked, size_t asked_count, struct sl_error *err);

#endif

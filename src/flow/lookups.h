/* Inside flow/: the lookups that were joined on the way to a training step's data. */
#ifndef SL_FLOW_LOOKUPS_H
#define SL_FLOW_LOOKUPS_H

#include "flow/graph.h"

/* As a JSON array (project/lookup.h), the nearest to the data first; *ret NULL when there is none. SL_E_INVALID when two different ones have the same
 * dataset and key: who serves could not tell which is meant. */
int flow_lookups_json(const struct flow_graph *graph, size_t node, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct sl_error *err);

#endif

/* Inside flow/: a node's document, and in words what two documents differ in. */
#ifndef SL_FLOW_DOCUMENT_H
#define SL_FLOW_DOCUMENT_H

#include "flow/graph.h"

/* Appends the canonical JSON of nodes[i]. Inputs must be known. Sources look at their files here (sl_ingest_prepare). */
int flow_document_make(struct flow_graph *graph, size_t i, bool write, struct sl_buf *out, struct sl_error *err);
/* What changed from `old` to `new`, the weightiest first: "parameter max_depth changed 6 → 8, and 2 more". Fills `out` always. */
void flow_document_difference(const char *old_text, const char *new_text, char out[SL_FLOW_REASON_MAX]);

#endif

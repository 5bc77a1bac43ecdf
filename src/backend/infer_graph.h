/* A graph (port/graph.h) as a model of rows (port/infer.h): what of port/infer.h is asked of one.
 *
 * Taken are graphs that are proven to work by rows, whose inputs are real columns: [rows] or [rows, 1] each, or the one [rows, columns], of FP32 or FP64.
 * Its answer is the last output of reals, [rows] or [rows, values]: one value is a prediction; several are the probabilities of classes, when the
 * graph gives labels too; of two, the second. */
#ifndef SL_BACKEND_INFER_GRAPH_H
#define SL_BACKEND_INFER_GRAPH_H

#include "port/infer.h"

struct sl_infer_graph;
/* SL_E_INVALID: it is none of these, and why. It is run once, to see what it gives. */
int sl_infer_graph_load(const void *data, size_t len, struct sl_infer_graph **ret, struct sl_error *err);
void sl_infer_graph_free(struct sl_infer_graph *model); /* NULL is fine */
void sl_infer_graph_info(const struct sl_infer_graph *model, struct sl_infer_info *ret);
const char *sl_infer_graph_feature_name(const struct sl_infer_graph *model, size_t i);
/* What cannot be computed is NaN. */
int sl_infer_graph_predict(const struct sl_infer_graph *model, const float *rows, size_t row_count, float *ret, struct sl_error *err);

#endif

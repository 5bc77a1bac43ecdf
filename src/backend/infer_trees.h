/* What the tree engine has beyond port/infer.h, for its own tests and benchmark. */
#ifndef SL_BACKEND_INFER_TREES_H
#define SL_BACKEND_INFER_TREES_H

#include "port/infer.h"

/* sl_infer_margin by the plain node-by-node walk, which runs where blocks do not fit: the two must agree in every bit. */
void sl_infer_margin_by_walking(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret);

#endif

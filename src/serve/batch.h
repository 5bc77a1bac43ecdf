/* Requests for one graph as one run of it: their rows one after the other, and each caller its own again. Only for graphs that work by rows
 * (sl_graph_info.by_rows), so that nobody's answer depends on who came along, or whose user says so (config.pbtxt's dynamic_batching): there is
 * a lane with batch_rows. */
#ifndef SL_SERVE_BATCH_H
#define SL_SERVE_BATCH_H

#include "serve/predict.h"

enum { SL_BATCH_ROWS = 64 }; /* of a run, when nothing else is said */

/* Whether these rows could go with others. */
bool sl_batch_may(const struct sl_inputs *rows);
/* Whether both could go together: the same version, outputs and shapes behind the first size. */
bool sl_batch_fits(const struct sl_inputs *first, const struct sl_inputs *other);
/* As sl_predict_compute for each of them, which must fit the first. On failure nothing is filled; they are then to be computed one by one, since
 * nobody knows whose fault it was. */
int sl_batch_compute(struct sl_inputs *const *batch, size_t count, struct sl_graph_brake *brake);

#endif

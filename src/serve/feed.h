/* A request's values for a graph: tensors of the graph's own types and shapes.
 *
 *   feed_begin --> feed_shape for each input, its elements set --> sl_predict_compute --> feed.outputs --> inputs_end
 *   inputs_begin --> cells, as for a table's columns -----------^
 */
#ifndef SL_SERVE_FEED_H
#define SL_SERVE_FEED_H

#include "serve/predict.h"

/* Takes a reference to `served`, as sl_inputs_begin. All outputs are wanted at first. */
int sl_feed_begin(struct sl_inputs *rows, struct sl_served *served, struct sl_error *err);
/* The input of that name; SL_E_INVALID with the nearest one. */
int sl_feed_find(const struct sl_served *served, const char *name, size_t len, size_t guess, size_t *ret, struct sl_error *err);
/* Gives an input its shape and room for its elements. SL_E_INVALID: given before, or not the shape that the graph takes;
 * SL_E_TOO_LARGE: beyond the limits. */
int sl_feed_shape(struct sl_inputs *rows, size_t input, const int64_t *sizes, size_t dims, struct sl_error *err);
/* Sets one element. Whole numbers stand for reals, and for truth values when they are 0 or 1; null is NaN in reals. SL_E_INVALID without
 * saying where. A text is borrowed. */
int sl_feed_set(struct sl_graph_value *value, size_t index, const struct sl_cell *cell, struct sl_error *err);
/* Wants this output; who names some sets all of feed.wanted to 0 first. SL_E_INVALID: there is none. */
int sl_feed_want(struct sl_inputs *rows, const char *name, size_t len, size_t *ret, struct sl_error *err);

/* Makes tensors of the cells when there are no others, and looks whether each input is there. */
int sl_feed_prepare(struct sl_inputs *rows, struct sl_error *err);
/* For sl_predict_compute: prepares what is not, and runs the graph. */
int sl_feed_compute(struct sl_inputs *rows, struct sl_error *err);

/* A real number of FP16, BF16, FP32 or FP64, exactly. */
double sl_feed_real(const struct sl_graph_value *value, size_t index);
/* Rounded to nearest, ties to even. */
uint16_t sl_half_of(double value);

#endif

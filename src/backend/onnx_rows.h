/* Whether a graph works row by row: proven of its operators, or not known.
 *
 * Values are followed from the inputs, whose first size counts rows, to the outputs. Constants and rows make rows as long as an operator takes the first
 * size for what it is: a sum along it, a product with a transposed input, a size that is computed from another, and every operator that is not in the table
 * end the proof. What is proven: each row of the outputs follows from that row of the inputs alone, and there are as many; and no operator makes
 * more of its input than its own attributes say, so that the cost follows from the shapes.
 */
#ifndef SL_BACKEND_ONNX_ROWS_H
#define SL_BACKEND_ONNX_ROWS_H

#include <stdbool.h>
#include <stddef.h>

/* Of a file that sl_onnx_check found sound. False: not proven, also when memory is out. */
bool sl_onnx_by_rows(const void *data, size_t len);

#endif

/* A request's tensors, whichever protocol brought them: which columns they are, and raw bytes as values. */
#ifndef SL_OIP_TENSOR_H
#define SL_OIP_TENSOR_H

#include "oip/datatype.h"
#include "serve/predict.h"

struct sl_tensor {
	const char *name;         /* NUL-terminated */
	size_t name_len;
	const struct sl_datatype *type;
	size_t rows, width;       /* width 1 but for a matrix */
	const void *values;       /* as the protocol has them; or raw */
	const unsigned char *raw;
	size_t raw_len;
	ptrdiff_t slot;           /* SL_SLOT_NONE: the matrix */
	bool ignored;             /* `extra: ignore`, and the model has no such column */
};

struct sl_tensors {
	struct sl_served *served;
	struct sl_inputs *rows;
	struct sl_tensor *items;
	size_t count;
};

/* [rows] or [rows, columns]. SL_E_INVALID, SL_E_TOO_LARGE. */
int sl_tensor_shape(struct sl_tensor *tensor, const int64_t *sizes, size_t dims, struct sl_error *err);
/* Whether `raw_len` bytes are the shape's. */
int sl_tensor_check_raw(const struct sl_tensor *tensor, struct sl_error *err);
/* Finds each tensor's columns and begins tensors->rows. */
int sl_tensors_place(struct sl_tensors *tensors, struct sl_error *err);
/* Marks its columns as given, once. */
int sl_tensor_give(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err);
/* Where element `index` (row-major) goes. */
static inline struct sl_cell *sl_tensor_cell(const struct sl_tensors *tensors, const struct sl_tensor *tensor, size_t index)
{
	size_t row = index / tensor->width, slot = tensor->slot == SL_SLOT_NONE ? index % tensor->width : (size_t)tensor->slot;
	return &tensors->rows->cells[slot * tensor->rows + row];
}
/* Little-endian, row-major; BYTES: each element is its length in 4 bytes, and its bytes. */
int sl_tensor_fill_raw(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err);

#endif

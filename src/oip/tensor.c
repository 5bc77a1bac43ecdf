#include "oip/tensor.h"

#include "base/str.h"
#include "oip/column.h"

int sl_tensor_shape(struct sl_tensor *tensor, const int64_t *sizes, size_t dims, struct sl_error *err)
{
	int64_t rows = dims ? sizes[0] : 0, width = dims == 2 ? sizes[1] : 1;
	if (dims < 1 || dims > 2)
		return sl_fail(err, SL_E_INVALID, "input '%s': its shape must be [rows] or [rows, columns]", tensor->name);
	if (rows > SL_INPUTS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "input '%s' has %lld rows, at most %d are taken", tensor->name, (long long)rows,
			       SL_INPUTS_MAX);
	if (rows < 1 || width < 1 || width > SL_FEATURES_MAX)
		return sl_fail(err, SL_E_INVALID, "input '%s': a size in its shape is impossible", tensor->name);
	tensor->rows = (size_t)rows;
	tensor->width = (size_t)width;
	return 0;
}

int sl_tensor_check_raw(const struct sl_tensor *tensor, struct sl_error *err)
{
	size_t count = tensor->rows * tensor->width;
	if (!tensor->type->bytes || tensor->raw_len == count * tensor->type->bytes)
		return 0;
	return sl_fail(err, SL_E_INVALID, "input '%s': %zu bytes came for %zu values of %s", tensor->name, tensor->raw_len, count,
		       tensor->type->name);
}

/* ---- which tensor is which column ---- */

static int place(struct sl_tensors *tensors, size_t i, struct sl_error *err)
{
	struct sl_tensor *tensor = &tensors->items[i];
	const struct sl_served *served = tensors->served;
	size_t features = served->column_count;
	tensor->slot = sl_served_slot(served, tensor->name, tensor->name_len, i);
	if (tensor->rows != tensors->items[0].rows)
		return sl_fail(err, SL_E_INVALID, "input '%s' has %zu rows, '%s' has %zu", tensor->name, tensor->rows,
			       tensors->items[0].name, tensors->items[0].rows);
	if (tensor->slot != SL_SLOT_NONE && tensor->width == 1)
		return 0;
	if (tensor->width == 1 && (features != 1 || tensors->count > 1)) {
		tensor->ignored = served->spec->ignore_extra;
		return tensor->ignored ? 0 : sl_unknown_column(served, tensor->name, err);
	}
	if (tensor->width != features)
		return sl_fail(err, SL_E_INVALID, "input '%s' has %zu columns, the model has %zu", tensor->name, tensor->width,
			       features);
	tensor->slot = SL_SLOT_NONE;
	return 0;
}

int sl_tensors_place(struct sl_tensors *tensors, struct sl_error *err)
{
	for (size_t i = 0; i < tensors->count; i++) {
		int rc = place(tensors, i, err);
		if (rc)
			return rc;
	}
	return sl_inputs_begin(tensors->rows, tensors->served, tensors->items[0].rows, err);
}

int sl_tensor_give(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err)
{
	size_t first = tensor->slot == SL_SLOT_NONE ? 0 : (size_t)tensor->slot;
	for (size_t i = 0; i < tensor->width; i++) {
		if (tensors->rows->given[first + i])
			return sl_fail(err, SL_E_INVALID, "column '%s' is given twice", tensors->served->slots[first + i]);
		tensors->rows->given[first + i] = 1;
	}
	return 0;
}

/* ---- raw values ---- */

static uint64_t raw_bits(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void raw_element(const struct sl_datatype *type, const unsigned char *p, struct sl_cell *ret)
{
	uint64_t bits = raw_bits(p, type->bytes);
	*ret = (struct sl_cell){.kind = SL_CELL_INT};
	switch (type->family) {
	case SL_FAMILY_BOOL:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = bits != 0};
		break;
	case SL_FAMILY_INT:
		ret->i = (int64_t)(bits << (64 - 8 * type->bytes)) >> (64 - 8 * type->bytes);
		break;
	case SL_FAMILY_UINT:
		if (bits <= INT64_MAX)
			ret->i = (int64_t)bits;
		else
			*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)bits};
		break;
	default:
		*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = sl_datatype_real(type, bits)};
	}
}

static int fill_raw_texts(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err)
{
	const unsigned char *p = tensor->raw, *end = p + tensor->raw_len;
	for (size_t i = 0; i < tensor->rows * tensor->width; i++) {
		uint64_t len = end - p < 4 ? UINT64_MAX : raw_bits(p, 4);
		if (len > (uint64_t)(end - p) - 4)
			return sl_fail(err, SL_E_INVALID, "input '%s': element %zu goes beyond its binary data", tensor->name, i);
		if (!sl_utf8_valid((const char *)p + 4, (size_t)len))
			return sl_fail(err, SL_E_INVALID, "input '%s': element %zu is not UTF-8", tensor->name, i);
		*sl_tensor_cell(tensors, tensor, i) = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)len,
			.text = (const char *)p + 4};
		p += 4 + len;
	}
	return p == end ? 0 : sl_fail(err, SL_E_INVALID, "input '%s' has more binary data than elements", tensor->name);
}

int sl_tensor_fill_raw(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err)
{
	if (tensor->type->family == SL_FAMILY_BYTES)
		return fill_raw_texts(tensors, tensor, err);
	for (size_t i = 0; i < tensor->rows * tensor->width; i++)
		raw_element(tensor->type, tensor->raw + i * tensor->type->bytes, sl_tensor_cell(tensors, tensor, i));
	return 0;
}

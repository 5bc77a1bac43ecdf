/* Elements of tensors: out of JSON and raw bytes, and back. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "oip/answer.h"
#include "oip/graph.h"

/* ---- out of JSON ---- */

struct filling {
	struct sl_graph_value *value;
	const char *name;
	size_t next; /* element */
	struct sl_error *err;
};

static int fill_element(struct filling *f, yyjson_val *from)
{
	struct sl_cell cell;
	size_t index = f->next++;
	if (index >= f->value->count)
		return sl_fail(f->err, SL_E_INVALID, "input '%s' has more elements than its shape says", f->name);
	if (f->value->element == SL_ELEMENT_FP32 && yyjson_is_real(from)) { /* what most elements are */
		((float *)f->value->data)[index] = (float)yyjson_get_real(from);
		return 0;
	}
	if (f->value->element == SL_ELEMENT_UINT64 && yyjson_is_uint(from)) { /* a cell holds no more than an int64 exactly */
		((uint64_t *)f->value->data)[index] = yyjson_get_uint(from);
		return 0;
	}
	if (!sl_body_cell(from, &cell))
		return sl_fail(f->err, SL_E_INVALID, "input '%s': element %zu is %s", f->name, index, sl_body_kind(from));
	int rc = sl_feed_set(f->value, index, &cell, f->err);
	return rc ? sl_error_context(f->err, "input '%s': element %zu", f->name, index) : 0;
}

static int fill_level(struct filling *f, yyjson_val *data, size_t level)
{
	if (!yyjson_is_arr(data) || level == f->value->dims || yyjson_arr_size(data) != (size_t)f->value->sizes[level])
		return sl_fail(f->err, SL_E_INVALID, "input '%s': its data is nested, but not as its shape says", f->name);
	yyjson_arr_iter it = yyjson_arr_iter_with(data);
	int rc = 0;
	for (yyjson_val *item; !rc && (item = yyjson_arr_iter_next(&it));)
		rc = level + 1 == f->value->dims ? fill_element(f, item) : fill_level(f, item, level + 1);
	return rc;
}

int sl_graph_fill_json(struct sl_graph_value *value, yyjson_val *data, const char *name, struct sl_error *err)
{
	struct filling f = {.value = value, .name = name, .err = err};
	int rc = 0;
	if (yyjson_is_arr(yyjson_arr_get_first(data))) {
		rc = fill_level(&f, data, 0);
	} else {
		yyjson_arr_iter it = yyjson_arr_iter_with(data);
		for (yyjson_val *item; !rc && (item = yyjson_arr_iter_next(&it));)
			rc = fill_element(&f, item);
	}
	if (!rc && f.next != value->count)
		rc = sl_fail(err, SL_E_INVALID, "input '%s': its data has %zu elements, its shape says %zu", name, f.next, value->count);
	return rc;
}

/* ---- out of raw bytes ---- */

static int fill_texts(struct sl_graph_value *value, const unsigned char *raw, size_t len, const char *name, struct sl_error *err)
{
	struct sl_graph_text *texts = value->data;
	const unsigned char *end = raw + len;
	for (size_t i = 0; i < value->count; i++) {
		uint32_t size = 0;
		size_t left = (size_t)(end - raw);
		if (left >= 4)
			memcpy(&size, raw, 4);
		if (left < 4 || size > left - 4)
			return sl_fail(err, SL_E_INVALID, "input '%s': element %zu goes beyond its binary data", name, i);
		texts[i] = (struct sl_graph_text){(const char *)raw + 4, size};
		raw += 4 + (size_t)size;
	}
	return raw == end ? 0 : sl_fail(err, SL_E_INVALID, "input '%s' has more binary data than elements", name);
}

int sl_graph_fill_raw(struct sl_graph_value *value, const unsigned char *raw, size_t len, const char *name, struct sl_error *err)
{
	size_t wanted = value->count * sl_element_bytes(value->element);
	if (value->element == SL_ELEMENT_TEXT)
		return fill_texts(value, raw, len, name, err);
	if (len != wanted)
		return sl_fail(err, SL_E_INVALID, "input '%s': %zu bytes came for %zu values of %s", name, len, value->count,
			       sl_element_name(value->element));
	memcpy(value->data, raw, len);
	unsigned char *truths = value->data;
	for (size_t i = 0; value->element == SL_ELEMENT_BOOL && i < len; i++)
		truths[i] = truths[i] != 0;
	return 0;
}

/* ---- to JSON ---- */

static void write_uint(struct sl_buf *out, uint64_t v)
{
	char text[24], *p = text + sizeof text;
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	sl_buf_add(out, p, (size_t)(text + sizeof text - p));
}

static void write_int(struct sl_buf *out, int64_t v)
{
	if (v < 0)
		sl_buf_char(out, '-');
	write_uint(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

/* The element's bits, its sign kept. */
static int64_t whole(const struct sl_graph_value *value, size_t index)
{
	switch (value->element) {
	case SL_ELEMENT_INT8: return ((const int8_t *)value->data)[index];
	case SL_ELEMENT_INT16: return ((const int16_t *)value->data)[index];
	case SL_ELEMENT_INT32: return ((const int32_t *)value->data)[index];
	case SL_ELEMENT_UINT8: return ((const uint8_t *)value->data)[index];
	case SL_ELEMENT_UINT16: return ((const uint16_t *)value->data)[index];
	case SL_ELEMENT_UINT32: return ((const uint32_t *)value->data)[index];
	default: return ((const int64_t *)value->data)[index];
	}
}

static void write_text(struct sl_buf *out, const struct sl_graph_text *text)
{
	if (sl_utf8_valid(text->text, text->len))
		sl_json_string(out, text->text, text->len);
	else
		sl_buf_str(out, "null"); /* JSON has no bytes: whoever needs them asks for binary data */
}

static void write_element(struct sl_buf *out, const struct sl_graph_value *value, size_t index)
{
	char text[SL_FLOAT_TEXT];
	double real;
	switch (value->element) {
	case SL_ELEMENT_BOOL:
		sl_buf_str(out, ((const unsigned char *)value->data)[index] ? "true" : "false");
		break;
	case SL_ELEMENT_TEXT:
		write_text(out, &((const struct sl_graph_text *)value->data)[index]);
		break;
	case SL_ELEMENT_FP16:
	case SL_ELEMENT_BF16:
	case SL_ELEMENT_FP32:
		sl_buf_add(out, text, sl_float_text((float)sl_feed_real(value, index), text));
		break;
	case SL_ELEMENT_FP64:
		real = sl_feed_real(value, index);
		if (isfinite(real))
			sl_json_double(out, real);
		else
			sl_buf_str(out, "null");
		break;
	case SL_ELEMENT_UINT64:
		write_uint(out, ((const uint64_t *)value->data)[index]);
		break;
	default:
		write_int(out, whole(value, index));
	}
}

void sl_graph_write_flat(struct sl_buf *out, const struct sl_graph_value *value)
{
	sl_buf_char(out, '[');
	for (size_t i = 0; i < value->count && !out->failed; i++) {
		if (i)
			sl_buf_char(out, ',');
		write_element(out, value, i);
	}
	sl_buf_char(out, ']');
}

void sl_graph_write_nested(struct sl_buf *out, const struct sl_graph_value *value, size_t level, size_t from)
{
	size_t below = 1;
	if (level == value->dims) {
		write_element(out, value, from);
		return;
	}
	for (size_t i = level + 1; i < value->dims; i++)
		below *= (size_t)value->sizes[i];
	sl_buf_char(out, '[');
	for (size_t i = 0; i < (size_t)value->sizes[level] && !out->failed; i++) {
		if (i)
			sl_buf_char(out, ',');
		sl_graph_write_nested(out, value, level + 1, from + i * below);
	}
	sl_buf_char(out, ']');
}

void sl_graph_write_shape(struct sl_buf *out, const int64_t *sizes, size_t dims)
{
	sl_buf_char(out, '[');
	for (size_t i = 0; i < dims; i++) {
		if (i)
			sl_buf_char(out, ',');
		write_int(out, sizes[i]);
	}
	sl_buf_char(out, ']');
}

/* ---- to raw bytes ---- */

size_t sl_graph_raw_bytes(const struct sl_graph_value *value)
{
	const struct sl_graph_text *texts = value->data;
	size_t bytes = value->count * sl_element_bytes(value->element);
	if (value->element != SL_ELEMENT_TEXT)
		return bytes;
	bytes = value->count * 4;
	for (size_t i = 0; i < value->count; i++)
		bytes += texts[i].len;
	return bytes;
}

void sl_graph_write_raw(struct sl_buf *out, const struct sl_graph_value *value)
{
	const struct sl_graph_text *texts = value->data;
	if (value->element != SL_ELEMENT_TEXT) {
		sl_buf_add(out, value->data, sl_graph_raw_bytes(value));
		return;
	}
	for (size_t i = 0; i < value->count; i++) {
		sl_buf_u32le(out, (uint32_t)texts[i].len);
		sl_buf_add(out, texts[i].text, texts[i].len);
	}
}

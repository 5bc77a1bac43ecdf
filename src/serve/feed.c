#include "serve/feed.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* ---- beginning ---- */

static int make_room(struct sl_inputs *rows, const struct sl_graph_info *info, struct sl_error *err)
{
	if (!rows->arena && !(rows->arena = sl_arena_new(SL_INPUTS_MEMORY_MAX, err)))
		return SL_E_NO_MEMORY;
	struct sl_feed *feed = &rows->feed;
	feed->inputs = sl_arena_array(rows->arena, info->input_count, sizeof *feed->inputs);
	feed->outputs = sl_arena_array(rows->arena, info->output_count, sizeof *feed->outputs);
	feed->wanted = sl_arena_array(rows->arena, info->output_count, sizeof *feed->wanted);
	if (!feed->inputs || !feed->outputs || !feed->wanted)
		return sl_fail_memory(err);
	memset(feed->wanted, SL_FEED_WANTED, info->output_count);
	return 0;
}

int sl_feed_begin(struct sl_inputs *rows, struct sl_served *served, struct sl_error *err)
{
	assert(!rows->served);
	int rc = make_room(rows, sl_graph_info(served->graph), err);
	if (rc) {
		rows->feed = (struct sl_feed){0};
		return rc;
	}
	rows->count = 1;
	rows->unseen = 0;
	rows->served = served;
	sl_served_ref(served);
	return 0;
}

static bool is_called(const struct sl_graph_port *port, const char *name, size_t len)
{
	return strncmp(port->name, name, len) == 0 && !port->name[len];
}

static int no_port(const char *what, const struct sl_graph_port *ports, size_t count, const char *name, size_t len, struct sl_error *err)
{
	sl_fail(err, SL_E_INVALID, "the model has no %s '%.*s'", what, (int)(len < 100 ? len : 100), name);
	return count == 1 ? sl_error_hint(err, "it has '%s'", ports[0].name) : sl_error_hint(err, "it has '%s' and others", ports[0].name);
}

int sl_feed_find(const struct sl_served *served, const char *name, size_t len, size_t guess, size_t *ret, struct sl_error *err)
{
	const struct sl_graph_info *info = sl_graph_info(served->graph);
	for (size_t i = 0; i < info->input_count; i++) {
		size_t at = (guess + i) % info->input_count;
		if (is_called(&info->inputs[at], name, len)) {
			*ret = at;
			return 0;
		}
	}
	return no_port("input", info->inputs, info->input_count, name, len, err);
}

int sl_feed_want(struct sl_inputs *rows, const char *name, size_t len, size_t *ret, struct sl_error *err)
{
	const struct sl_graph_info *info = sl_graph_info(rows->served->graph);
	for (size_t i = 0; i < info->output_count; i++)
		if (is_called(&info->outputs[i], name, len)) {
			rows->feed.wanted[i] = SL_FEED_WANTED;
			*ret = i;
			return 0;
		}
	return no_port("output", info->outputs, info->output_count, name, len, err);
}

/* ---- shapes ---- */

static int wrong_shape(const struct sl_graph_port *port, const int64_t *sizes, size_t dims, struct sl_error *err)
{
	char have[160] = "", wanted[160] = "";
	size_t at = 0, end = 0;
	for (size_t i = 0; i < dims && at < sizeof have - 24; i++)
		at += (size_t)snprintf(have + at, sizeof have - at, i ? ",%lld" : "%lld", (long long)sizes[i]);
	for (size_t i = 0; i < port->dims && end < sizeof wanted - 24; i++)
		end += (size_t)snprintf(wanted + end, sizeof wanted - end, i ? ",%lld" : "%lld", (long long)port->sizes[i]);
	return sl_fail(err, SL_E_INVALID, "input '%s' has the shape [%s], the model takes [%s]", port->name, have, wanted);
}

static int check_shape(const struct sl_graph_port *port, const int64_t *sizes, size_t dims, size_t *ret_count, struct sl_error *err)
{
	size_t count = 1;
	if (dims > SL_GRAPH_DIMS_MAX || (!port->any_shape && dims != port->dims))
		return wrong_shape(port, sizes, dims < SL_GRAPH_DIMS_MAX ? dims : SL_GRAPH_DIMS_MAX, err);
	for (size_t i = 0; i < dims; i++) {
		if (sizes[i] < 1 || (!port->any_shape && port->sizes[i] != -1 && port->sizes[i] != sizes[i]))
			return wrong_shape(port, sizes, dims, err);
		if (sizes[i] > SL_GRAPH_ELEMENTS_MAX || count > SL_GRAPH_ELEMENTS_MAX / (size_t)sizes[i])
			return sl_fail(err, SL_E_TOO_LARGE, "input '%s' has more than %d elements", port->name, SL_GRAPH_ELEMENTS_MAX);
		count *= (size_t)sizes[i];
	}
	*ret_count = count;
	return 0;
}

int sl_feed_shape(struct sl_inputs *rows, size_t input, const int64_t *sizes, size_t dims, struct sl_error *err)
{
	const struct sl_graph_port *port = &sl_graph_info(rows->served->graph)->inputs[input];
	struct sl_graph_value *value = &rows->feed.inputs[input];
	size_t most = rows->served->max_rows;
	if (value->data)
		return sl_fail(err, SL_E_INVALID, "input '%s' is given twice", port->name);
	int rc = check_shape(port, sizes, dims, &value->count, err);
	if (rc)
		return rc;
	if (dims && most && (size_t)sizes[0] > most)
		return sl_fail(err, SL_E_TOO_LARGE, "the request has %lld rows, at most %zu are taken", (long long)sizes[0], most);
	value->element = port->element;
	value->dims = dims;
	memcpy(value->sizes, sizes, dims * sizeof *sizes);
	value->data = sl_arena_array(rows->arena, value->count, sl_element_bytes(value->element));
	if (!value->data)
		return sl_fail(err, SL_E_TOO_LARGE, "the request takes more than %d MiB in memory", SL_INPUTS_MEMORY_MAX >> 20);
	if (dims)
		rows->count = (size_t)sizes[0];
	return 0;
}

/* ---- elements ---- */

uint16_t sl_half_of(double value)
{
	uint16_t sign = signbit(value) ? 0x8000 : 0;
	int exponent;
	if (isnan(value))
		return 0x7e00;
	value = fabs(value);
	if (isinf(value) || value >= 65520) /* half way from the greatest to what would be the next */
		return sign | 0x7c00;
	if (value < 0x1p-14) /* subnormal, or 0: units of 2^-24 */
		return sign | (uint16_t)nearbyint(ldexp(value, 24));
	frexp(value, &exponent); /* value = 0.5..1 x 2^exponent */
	uint32_t fraction = (uint32_t)nearbyint(ldexp(value, 11 - exponent)); /* 1024..2048 */
	return (uint16_t)(sign + (uint32_t)((exponent + 13) << 10) + fraction);
}

/* BF16: the upper half of the float32, rounded to nearest. */
static uint16_t brain_of(double value)
{
	float f = (float)value;
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	if (isnan(f))
		return 0x7fc0;
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double half_real(uint16_t bits)
{
	int exponent = bits >> 10 & 31;
	double fraction = bits & 1023;
	double value = exponent == 31 ? (fraction > 0 ? NAN : INFINITY)
		       : exponent     ? ldexp(1024 + fraction, exponent - 25)
				      : ldexp(fraction, -24);
	return bits >> 15 ? -value : value;
}

double sl_feed_real(const struct sl_graph_value *value, size_t index)
{
	const uint16_t *halves = value->data;
	uint32_t bits;
	float f;
	switch (value->element) {
	case SL_ELEMENT_FP16:
		return half_real(halves[index]);
	case SL_ELEMENT_BF16:
		bits = (uint32_t)halves[index] << 16;
		memcpy(&f, &bits, sizeof f);
		return (double)f;
	case SL_ELEMENT_FP64:
		return ((const double *)value->data)[index];
	default:
		return (double)((const float *)value->data)[index];
	}
}

static const char *kind_of(const struct sl_cell *cell)
{
	static const char *const names[] = {"null", "true or false", "an integer", "a number", "text"};
	return names[cell->kind];
}

static int wrong(const struct sl_graph_value *value, const struct sl_cell *cell, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "it is %s, its datatype is %s", kind_of(cell), sl_element_name(value->element));
}

static int set_real(struct sl_graph_value *value, size_t index, const struct sl_cell *cell, struct sl_error *err)
{
	double real = cell->kind == SL_CELL_NULL ? NAN : cell->kind == SL_CELL_INT ? (double)cell->i : cell->d;
	if (cell->kind != SL_CELL_NULL && cell->kind != SL_CELL_INT && cell->kind != SL_CELL_DOUBLE)
		return wrong(value, cell, err);
	if (value->element == SL_ELEMENT_FP32)
		((float *)value->data)[index] = (float)real;
	else if (value->element == SL_ELEMENT_FP64)
		((double *)value->data)[index] = real;
	else
		((uint16_t *)value->data)[index] = value->element == SL_ELEMENT_FP16 ? sl_half_of(real) : brain_of(real);
	return 0;
}

static bool fits(enum sl_element element, int64_t v)
{
	unsigned bits = (unsigned)sl_element_bytes(element) * 8;
	if (element >= SL_ELEMENT_UINT8)
		return v >= 0 && (bits == 64 || v < (int64_t)1 << bits);
	return bits == 64 || (v >= -((int64_t)1 << (bits - 1)) && v < (int64_t)1 << (bits - 1));
}

/* The values are little-endian, so the low bytes of an int64 are those of every smaller one. A double stands for a whole number that is
 * beyond an int64. */
static int set_whole(struct sl_graph_value *value, size_t index, const struct sl_cell *cell, struct sl_error *err)
{
	size_t bytes = sl_element_bytes(value->element);
	char *to = (char *)value->data + index * bytes;
	if (cell->kind == SL_CELL_DOUBLE && value->element == SL_ELEMENT_UINT64 && cell->d >= 0x1p63 && cell->d < 0x1p64) {
		uint64_t big = (uint64_t)cell->d;
		memcpy(to, &big, bytes);
		return 0;
	}
	if (cell->kind != SL_CELL_INT)
		return wrong(value, cell, err);
	if (!fits(value->element, cell->i))
		return sl_fail(err, SL_E_INVALID, "it is out of range, its datatype is %s", sl_element_name(value->element));
	memcpy(to, &cell->i, bytes);
	return 0;
}

int sl_feed_set(struct sl_graph_value *value, size_t index, const struct sl_cell *cell, struct sl_error *err)
{
	switch (value->element) {
	case SL_ELEMENT_TEXT:
		if (cell->kind != SL_CELL_TEXT)
			return wrong(value, cell, err);
		((struct sl_graph_text *)value->data)[index] = (struct sl_graph_text){cell->text, cell->len};
		return 0;
	case SL_ELEMENT_BOOL:
		if (cell->kind != SL_CELL_BOOL && !(cell->kind == SL_CELL_INT && (cell->i == 0 || cell->i == 1)))
			return wrong(value, cell, err);
		((unsigned char *)value->data)[index] = cell->kind == SL_CELL_BOOL ? cell->b : (unsigned char)cell->i;
		return 0;
	case SL_ELEMENT_FP16:
	case SL_ELEMENT_BF16:
	case SL_ELEMENT_FP32:
	case SL_ELEMENT_FP64:
		return set_real(value, index, cell, err);
	default:
		return set_whole(value, index, cell, err);
	}
}

/* ---- columns ---- */

/* Columns [first, first + width) of the cells become the input, [rows] or [rows, width]. */
static int take_cells(struct sl_inputs *rows, size_t input, size_t first, size_t width, struct sl_error *err)
{
	const struct sl_graph_port *port = &sl_graph_info(rows->served->graph)->inputs[input];
	int64_t sizes[2] = {(int64_t)rows->count, (int64_t)width};
	int rc = sl_feed_shape(rows, input, sizes, port->dims, err);
	for (size_t row = 0; !rc && row < rows->count; row++)
		for (size_t i = 0; !rc && i < width; i++) {
			const struct sl_cell *cell = &rows->cells[(first + i) * rows->count + row];
			rc = sl_feed_set(&rows->feed.inputs[input], row * width + i, cell, err);
			if (rc)
				sl_error_context(err, "row %zu: column '%s'", row, rows->served->slots[first + i]);
		}
	return rc;
}

static int take_columns(struct sl_inputs *rows, struct sl_error *err)
{
	const struct sl_graph_info *info = sl_graph_info(rows->served->graph);
	size_t columns = rows->served->package.feature_count;
	int rc = make_room(rows, info, err);
	for (size_t i = 0; !rc && i < info->input_count; i++)
		rc = take_cells(rows, i, i, info->input_count == 1 ? columns : 1, err);
	return rc;
}

/* ---- computing ---- */

static int check_inputs(const struct sl_inputs *rows, const struct sl_graph_info *info, struct sl_error *err)
{
	for (size_t i = 0; i < info->input_count; i++)
		if (!rows->feed.inputs[i].data)
			return sl_fail(err, SL_E_INVALID, "input '%s' is missing", info->inputs[i].name);
	return 0;
}

int sl_feed_prepare(struct sl_inputs *rows, struct sl_error *err)
{
	int rc = rows->feed.inputs ? 0 : take_columns(rows, err);
	return rc ? rc : check_inputs(rows, sl_graph_info(rows->served->graph), err);
}

int sl_feed_compute(struct sl_inputs *rows, struct sl_error *err)
{
	struct sl_feed *feed = &rows->feed;
	int rc = sl_feed_prepare(rows, err);
	return rc ? rc : sl_graph_run(rows->served->graph, feed->inputs, feed->wanted, rows->arena, feed->outputs, feed->brake, err);
}

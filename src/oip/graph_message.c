/* Open Inference Protocol over gRPC, for a graph: open_inference_grpc.proto. */
#include <string.h>

#include "base/str.h"
#include "oip/graph.h"

static int not_a_message(struct sl_error *err) { return sl_fail(err, SL_E_INVALID, "the message is no ModelInferRequest"); }

static const struct sl_graph_info *info_of(const struct sl_inputs *rows) { return sl_graph_info(rows->served->graph); }

/* ---- one tensor ---- */

struct tensor {
	const char *name, *type;
	size_t name_len, type_len, dims;
	int64_t sizes[SL_GRAPH_DIMS_MAX];
	struct sl_proto_field contents; /* `data` NULL: none */
	size_t input;
};

static bool add_size(struct tensor *tensor, uint64_t size)
{
	if (tensor->dims == SL_GRAPH_DIMS_MAX)
		return false;
	tensor->sizes[tensor->dims++] = (int64_t)size;
	return true;
}

static bool read_shape(const struct sl_proto_field *field, struct tensor *tensor)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	if (field->wire == SL_PROTO_VARINT)
		return add_size(tensor, field->value);
	while (in.p < in.end && !in.bad)
		if (!add_size(tensor, sl_proto_varint(&in)))
			return false;
	return !in.bad;
}

static int read_tensor(const struct sl_proto_field *from, struct tensor *ret, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(from->data, from->len);
	struct sl_proto_field field;
	*ret = (struct tensor){.name = "", .type = ""};
	while (sl_proto_next(&in, &field)) {
		bool bytes = field.wire == SL_PROTO_BYTES;
		if (field.number == TENSOR_NAME && bytes && sl_utf8_valid((const char *)field.data, field.len)) {
			ret->name = (const char *)field.data;
			ret->name_len = field.len;
		} else if (field.number == TENSOR_DATATYPE && bytes && sl_utf8_valid((const char *)field.data, field.len)) {
			ret->type = (const char *)field.data;
			ret->type_len = field.len;
		} else if (field.number == TENSOR_CONTENTS && bytes) {
			ret->contents = field;
		} else if (field.number == TENSOR_SHAPE && !read_shape(&field, ret)) {
			return sl_fail(err, SL_E_INVALID, "an input's shape has more than %d sizes", SL_GRAPH_DIMS_MAX);
		}
	}
	return in.bad ? not_a_message(err) : 0;
}

/* Finds the input, and gives it its shape. */
static int place_tensor(struct sl_inputs *rows, struct tensor *tensor, size_t guess, struct sl_error *err)
{
	int rc = sl_feed_find(rows->served, tensor->name, tensor->name_len, guess, &tensor->input, err);
	if (rc)
		return rc;
	const struct sl_graph_port *port = &info_of(rows)->inputs[tensor->input];
	const char *type = sl_element_name(port->element);
	if (strlen(type) != tensor->type_len || memcmp(type, tensor->type, tensor->type_len) != 0)
		return sl_fail(err, SL_E_INVALID, "input '%s': its datatype is '%.*s', the model takes %s", port->name,
			       (int)(tensor->type_len < 40 ? tensor->type_len : 40), tensor->type, type);
	return sl_feed_shape(rows, tensor->input, tensor->sizes, tensor->dims, err);
}

/* ---- typed contents ---- */

static uint32_t contents_field(enum sl_element element)
{
	switch (element) {
	case SL_ELEMENT_BOOL: return CONTENTS_BOOL;
	case SL_ELEMENT_INT8:
	case SL_ELEMENT_INT16:
	case SL_ELEMENT_INT32: return CONTENTS_INT;
	case SL_ELEMENT_INT64: return CONTENTS_INT64;
	case SL_ELEMENT_UINT8:
	case SL_ELEMENT_UINT16:
	case SL_ELEMENT_UINT32: return CONTENTS_UINT;
	case SL_ELEMENT_UINT64: return CONTENTS_UINT64;
	case SL_ELEMENT_FP32: return CONTENTS_FP32;
	case SL_ELEMENT_FP64: return CONTENTS_FP64;
	case SL_ELEMENT_TEXT: return CONTENTS_BYTES;
	default: return 0; /* FP16 and BF16 come raw only */
	}
}

struct filling {
	struct sl_graph_value *value;
	const char *name;
	size_t next;
	struct sl_error *err;
};

static int put_cell(struct filling *f, const struct sl_cell *cell)
{
	if (f->next == f->value->count)
		return sl_fail(f->err, SL_E_INVALID, "input '%s' has more values than its shape says", f->name);
	int rc = sl_feed_set(f->value, f->next, cell, f->err);
	if (rc)
		return sl_error_context(f->err, "input '%s': element %zu", f->name, f->next);
	f->next++;
	return 0;
}

/* A varint or the bits of a fixed number. */
static int put_bits(struct filling *f, uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	struct sl_cell cell = {.kind = SL_CELL_INT, .i = (int64_t)bits};
	float real;
	switch (f->value->element) {
	case SL_ELEMENT_BOOL:
		cell = (struct sl_cell){.kind = SL_CELL_BOOL, .b = bits != 0};
		break;
	case SL_ELEMENT_FP32:
		memcpy(&real, &low, sizeof real);
		cell = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)real};
		break;
	case SL_ELEMENT_FP64:
		cell.kind = SL_CELL_DOUBLE;
		memcpy(&cell.d, &bits, sizeof cell.d);
		break;
	case SL_ELEMENT_UINT64: /* beyond what a cell holds */
		if (f->next < f->value->count)
			((uint64_t *)f->value->data)[f->next++] = bits;
		else
			return put_cell(f, &cell);
		return 0;
	default: break;
	}
	return put_cell(f, &cell);
}

static int put_packed(struct filling *f, const struct sl_proto_field *field)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	size_t fixed = f->value->element == SL_ELEMENT_FP32 ? 4 : f->value->element == SL_ELEMENT_FP64 ? 8 : 0;
	int rc = 0;
	if (fixed && field->len % fixed)
		return not_a_message(f->err);
	while (!rc && in.p < in.end && !in.bad) {
		uint64_t bits = 0;
		if (fixed)
			memcpy(&bits, in.p, fixed);
		else
			bits = sl_proto_varint(&in);
		in.p += fixed;
		rc = in.bad ? not_a_message(f->err) : put_bits(f, bits);
	}
	return rc;
}

static int put_field(struct filling *f, const struct sl_proto_field *field)
{
	struct sl_cell text = {.kind = SL_CELL_TEXT, .text = (const char *)field->data, .len = (uint32_t)field->len};
	if (f->value->element == SL_ELEMENT_TEXT)
		return field->wire == SL_PROTO_BYTES ? put_cell(f, &text) : not_a_message(f->err);
	return field->wire == SL_PROTO_BYTES ? put_packed(f, field) : put_bits(f, field->value);
}

static int fill_contents(struct sl_inputs *rows, const struct tensor *tensor, struct sl_error *err)
{
	struct filling f = {.value = &rows->feed.inputs[tensor->input], .name = info_of(rows)->inputs[tensor->input].name, .err = err};
	struct sl_proto in = sl_proto_of(tensor->contents.data ? tensor->contents.data : (const unsigned char *)"", tensor->contents.len);
	struct sl_proto_field field;
	uint32_t wanted = contents_field(f.value->element);
	int rc = wanted ? 0 : sl_fail(err, SL_E_INVALID, "input '%s': %s comes in raw_input_contents only", f.name, sl_element_name(f.value->element));
	while (!rc && sl_proto_next(&in, &field))
		rc = field.number == wanted ? put_field(&f, &field)
					    : sl_fail(err, SL_E_INVALID, "input '%s': its contents are not of its datatype %s", f.name,
						      sl_element_name(f.value->element));
	if (rc || in.bad)
		return rc ? rc : not_a_message(err);
	return f.next == f.value->count ? 0 : sl_fail(err, SL_E_INVALID, "input '%s' has %zu values, its shape says %zu", f.name, f.next,
						      f.value->count);
}

/* ---- the request ---- */

static int read_output(struct sl_inputs *rows, const struct sl_proto_field *from, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(from->data, from->len);
	struct sl_proto_field field;
	size_t at;
	int rc = 0;
	while (!rc && sl_proto_next(&in, &field))
		if (field.number == TENSOR_NAME && field.wire == SL_PROTO_BYTES && sl_utf8_valid((const char *)field.data, field.len))
			rc = sl_feed_want(rows, (const char *)field.data, field.len, &at, err);
	return in.bad ? not_a_message(err) : rc;
}

/* The first of `number` at or behind in->p. */
static bool next_of(struct sl_proto *in, uint32_t number, struct sl_proto_field *ret)
{
	while (sl_proto_next(in, ret))
		if (ret->number == number)
			return true;
	return false;
}

static int read_inputs(const void *data, size_t len, bool raw, struct sl_inputs *rows, struct sl_error *err)
{
	struct sl_proto inputs = sl_proto_of(data, len), raws = inputs;
	struct sl_proto_field field, bytes;
	struct tensor tensor;
	for (size_t i = 0; next_of(&inputs, REQUEST_INPUTS, &field); i++) {
		int rc = read_tensor(&field, &tensor, err);
		if (!rc)
			rc = place_tensor(rows, &tensor, i, err);
		if (!rc && raw && tensor.contents.data)
			rc = sl_fail(err, SL_E_INVALID, "an input has contents beside raw_input_contents");
		if (!rc && raw && next_of(&raws, REQUEST_RAW, &bytes))
			rc = sl_graph_fill_raw(&rows->feed.inputs[tensor.input], bytes.data, bytes.len, info_of(rows)->inputs[tensor.input].name, err);
		else if (!rc)
			rc = fill_contents(rows, &tensor, err);
		if (rc)
			return rc;
	}
	return 0;
}

int sl_graph_message_read(const void *data, size_t len, const struct sl_infer_message *head, struct sl_served *served, struct sl_inputs *rows,
			  struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	bool named = false;
	if (head->raw_count && head->raw_count != head->input_count)
		return sl_fail(err, SL_E_INVALID, "raw_input_contents has %zu entries for %zu inputs", head->raw_count, head->input_count);
	int rc = sl_feed_begin(rows, served, err);
	while (!rc && next_of(&in, REQUEST_OUTPUTS, &field)) {
		if (!named)
			memset(rows->feed.wanted, 0, info_of(rows)->output_count);
		named = true;
		rc = read_output(rows, &field, err);
	}
	return rc ? rc : read_inputs(data, len, head->raw_count, rows, err);
}

/* ---- the answer ---- */

static uint64_t varint_of(const struct sl_graph_value *value, size_t i)
{
	switch (value->element) {
	case SL_ELEMENT_BOOL:
	case SL_ELEMENT_UINT8: return ((const uint8_t *)value->data)[i];
	case SL_ELEMENT_INT8: return (uint64_t)((const int8_t *)value->data)[i];
	case SL_ELEMENT_INT16: return (uint64_t)((const int16_t *)value->data)[i];
	case SL_ELEMENT_UINT16: return ((const uint16_t *)value->data)[i];
	case SL_ELEMENT_INT32: return (uint64_t)((const int32_t *)value->data)[i];
	case SL_ELEMENT_UINT32: return ((const uint32_t *)value->data)[i];
	default: return ((const uint64_t *)value->data)[i];
	}
}

static void put_contents(struct sl_buf *out, const struct sl_graph_value *value)
{
	const struct sl_graph_text *texts = value->data;
	uint32_t number = contents_field(value->element);
	size_t contents = sl_proto_open(out, TENSOR_CONTENTS);
	if (value->element == SL_ELEMENT_TEXT) {
		for (size_t i = 0; i < value->count; i++)
			sl_proto_put_bytes(out, number, texts[i].text, texts[i].len);
	} else if (value->element == SL_ELEMENT_FP32 || value->element == SL_ELEMENT_FP64) {
		sl_proto_put_bytes(out, number, value->data, sl_graph_raw_bytes(value));
	} else {
		size_t packed = sl_proto_open(out, number);
		for (size_t i = 0; i < value->count; i++)
			sl_proto_put_varint(out, varint_of(value, i));
		sl_proto_close(out, packed);
	}
	sl_proto_close(out, contents);
}

static void put_output(struct sl_buf *out, const struct sl_graph_port *port, const struct sl_graph_value *value, bool raw)
{
	size_t output = sl_proto_open(out, ANSWER_OUTPUTS);
	sl_proto_put_text(out, TENSOR_NAME, port->name);
	sl_proto_put_text(out, TENSOR_DATATYPE, sl_element_name(value->element));
	size_t shape = sl_proto_open(out, TENSOR_SHAPE);
	for (size_t i = 0; i < value->dims; i++)
		sl_proto_put_varint(out, (uint64_t)value->sizes[i]);
	sl_proto_close(out, shape);
	if (!raw)
		put_contents(out, value);
	sl_proto_close(out, output);
}

/* Raw when the request was, or when an output has no other form: then all are. */
void sl_graph_message_write(const struct sl_infer_message *head, const struct sl_inputs *rows, struct sl_buf *out)
{
	const struct sl_graph_info *info = info_of(rows);
	const struct sl_feed *feed = &rows->feed;
	bool raw = head->raw_count;
	for (size_t i = 0; i < info->output_count; i++)
		raw |= feed->wanted[i] && !contents_field(feed->outputs[i].element);
	for (size_t i = 0; i < info->output_count; i++)
		if (feed->wanted[i])
			put_output(out, &info->outputs[i], &feed->outputs[i], raw);
	for (size_t i = 0; raw && i < info->output_count; i++) {
		if (!feed->wanted[i])
			continue;
		size_t opened = sl_proto_open(out, ANSWER_RAW);
		sl_graph_write_raw(out, &feed->outputs[i]);
		sl_proto_close(out, opened);
	}
}

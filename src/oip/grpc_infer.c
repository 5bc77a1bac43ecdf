#include "oip/grpc_infer.h"

#include <string.h>

#include "base/str.h"
#include "oip/graph.h"

static int not_a_message(struct sl_error *err) { return sl_fail(err, SL_E_INVALID, "the message is no ModelInferRequest"); }

/* An entry of map<string, InferParameter>. */
static void read_parameter(const struct sl_proto_field *entry, struct sl_infer_message *ret)
{
	enum { KEY = 1, VALUE };
	struct sl_proto in = sl_proto_of(entry->data, entry->len), value;
	struct sl_proto_field field;
	uint64_t *number = NULL;
	while (sl_proto_next(&in, &field)) {
		if (field.number == KEY && field.len == strlen("priority") && memcmp(field.data, "priority", field.len) == 0)
			number = &ret->priority;
		else if (field.number == KEY && field.len == strlen("timeout") && memcmp(field.data, "timeout", field.len) == 0)
			number = &ret->timeout_us;
		if (field.number != VALUE || !number)
			continue;
		for (value = sl_proto_of(field.data, field.len); sl_proto_next(&value, &field);)
			if (field.wire == SL_PROTO_VARINT && (field.number == PARAMETER_INT || field.number == PARAMETER_UINT))
				*number = (int64_t)field.value < 0 ? 0 : field.value;
	}
}

int sl_infer_message_head(const void *data, size_t len, struct sl_infer_message *ret, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	*ret = (struct sl_infer_message){.model = "", .version = "", .id = ""};
	while (sl_proto_next(&in, &field)) {
		bool bytes = field.wire == SL_PROTO_BYTES;
		const char *text = (const char *)field.data;
		if (field.number <= REQUEST_RAW && !bytes)
			return not_a_message(err);
		if (field.number <= REQUEST_ID && !sl_utf8_valid(text, field.len))
			return not_a_message(err);
		if (field.number == REQUEST_MODEL) {
			ret->model = text;
			ret->model_len = field.len;
		} else if (field.number == REQUEST_VERSION) {
			ret->version = text;
			ret->version_len = field.len;
		} else if (field.number == REQUEST_ID) {
			ret->id = text;
			ret->id_len = field.len;
		}
		if (field.number == REQUEST_PARAMETERS)
			read_parameter(&field, ret);
		ret->input_count += field.number == REQUEST_INPUTS;
		ret->raw_count += field.number == REQUEST_RAW;
	}
	if (in.bad)
		return not_a_message(err);
	return ret->id_len <= SL_V2_ID_MAX ? 0 : sl_fail(err, SL_E_INVALID, "'id' must be text of at most %d bytes", SL_V2_ID_MAX);
}

/* ---- one tensor ---- */

struct sizes {
	int64_t items[3]; /* a third one is one too many */
	size_t count;
};

static void add_size(struct sizes *sizes, uint64_t value)
{
	if (sizes->count < SL_ARRAY_LEN(sizes->items))
		sizes->items[sizes->count++] = (int64_t)value;
}

static void read_shape(const struct sl_proto_field *field, struct sizes *sizes)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	if (field->wire == SL_PROTO_VARINT)
		add_size(sizes, field->value);
	while (field->wire == SL_PROTO_BYTES && in.p < in.end && !in.bad)
		add_size(sizes, sl_proto_varint(&in));
}

static int read_tensor(const struct sl_proto_field *from, struct sl_arena *arena, struct sl_tensor *ret, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(from->data, from->len);
	struct sl_proto_field field, datatype = {0}, *contents = sl_arena_alloc(arena, sizeof *contents);
	struct sizes sizes = {0};
	bool has_name = false;
	if (!contents)
		return sl_fail_memory(err);
	while (sl_proto_next(&in, &field)) {
		bool bytes = field.wire == SL_PROTO_BYTES;
		if (field.number == TENSOR_NAME && bytes && sl_utf8_valid((const char *)field.data, field.len)) {
			ret->name = sl_arena_strndup(arena, (const char *)field.data, field.len);
			ret->name_len = field.len;
			has_name = true;
		} else if (field.number == TENSOR_DATATYPE && bytes) {
			datatype = field;
		} else if (field.number == TENSOR_SHAPE) {
			read_shape(&field, &sizes);
		} else if (field.number == TENSOR_CONTENTS && bytes) {
			*contents = field;
			ret->values = contents;
		}
	}
	if (in.bad || !has_name)
		return in.bad ? not_a_message(err) : sl_fail(err, SL_E_INVALID, "an input has no 'name'");
	if (!ret->name)
		return sl_fail_memory(err);
	ret->type = datatype.len ? sl_datatype_find((const char *)datatype.data, datatype.len) : NULL;
	if (!ret->type)
		return sl_fail(err, SL_E_INVALID, "input '%s': its datatype is not known", ret->name);
	return sl_tensor_shape(ret, sizes.items, sizes.count, err);
}

/* ---- typed contents ---- */

static uint32_t contents_field(const struct sl_datatype *type)
{
	switch (type->family) {
	case SL_FAMILY_BOOL: return CONTENTS_BOOL;
	case SL_FAMILY_INT: return type->bytes == 8 ? CONTENTS_INT64 : CONTENTS_INT;
	case SL_FAMILY_UINT: return type->bytes == 8 ? CONTENTS_UINT64 : CONTENTS_UINT;
	case SL_FAMILY_FLOAT: return type->bytes == 8 ? CONTENTS_FP64 : type->bytes == 4 ? CONTENTS_FP32 : 0;
	default: return CONTENTS_BYTES;
	}
}

/* A number as its varint or fixed bits. False: out of the datatype's range. */
static bool number_cell(const struct sl_datatype *type, uint64_t value, struct sl_cell *ret)
{
	switch (type->family) {
	case SL_FAMILY_BOOL:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = value != 0};
		return true;
	case SL_FAMILY_FLOAT:
		*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = sl_datatype_real(type, value)};
		return true;
	default:
		*ret = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)value};
		if (type->family == SL_FAMILY_UINT && type->bytes == 8 && value > INT64_MAX)
			*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)value};
		return type->bytes == 8 || sl_datatype_fits(type, (int64_t)value);
	}
}

static int put_element(const struct sl_tensors *tensors, const struct sl_tensor *tensor, size_t *index, uint64_t value,
		       struct sl_error *err)
{
	if (*index == tensor->rows * tensor->width)
		return sl_fail(err, SL_E_INVALID, "input '%s' has more values than its shape says", tensor->name);
	if (!number_cell(tensor->type, value, sl_tensor_cell(tensors, tensor, *index)))
		return sl_fail(err, SL_E_INVALID, "input '%s': element %zu is out of range, its datatype is %s", tensor->name, *index,
			       tensor->type->name);
	++*index;
	return 0;
}

static int put_text(const struct sl_tensors *tensors, const struct sl_tensor *tensor, size_t *index, const struct sl_proto_field *field,
		    struct sl_error *err)
{
	if (*index == tensor->rows * tensor->width)
		return sl_fail(err, SL_E_INVALID, "input '%s' has more values than its shape says", tensor->name);
	if (!sl_utf8_valid((const char *)field->data, field->len))
		return sl_fail(err, SL_E_INVALID, "input '%s': element %zu is not UTF-8", tensor->name, *index);
	*sl_tensor_cell(tensors, tensor, *index) = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)field->len,
		.text = (const char *)field->data};
	++*index;
	return 0;
}

/* A packed field: fixed or varint, by the datatype. */
static int put_packed(const struct sl_tensors *tensors, const struct sl_tensor *tensor, size_t *index,
		      const struct sl_proto_field *field, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	unsigned fixed = tensor->type->family == SL_FAMILY_FLOAT ? tensor->type->bytes : 0;
	int rc = 0;
	while (!rc && in.p < in.end && !in.bad) {
		uint64_t value = 0;
		if (fixed && (size_t)(in.end - in.p) < fixed)
			return not_a_message(err);
		for (unsigned i = 0; i < fixed; i++)
			value |= (uint64_t)*in.p++ << (8 * i);
		if (!fixed)
			value = sl_proto_varint(&in);
		rc = in.bad ? not_a_message(err) : put_element(tensors, tensor, index, value, err);
	}
	return rc;
}

static int fill_contents(const struct sl_tensors *tensors, const struct sl_tensor *tensor, struct sl_error *err)
{
	const struct sl_proto_field *contents = tensor->values;
	struct sl_proto in = contents ? sl_proto_of(contents->data, contents->len) : sl_proto_of("", 0);
	struct sl_proto_field field;
	uint32_t wanted = contents_field(tensor->type);
	size_t index = 0;
	if (!wanted)
		return sl_fail(err, SL_E_INVALID, "input '%s': %s comes in raw_input_contents only", tensor->name, tensor->type->name);
	while (sl_proto_next(&in, &field)) {
		int rc = 0;
		if (field.number != wanted)
			return sl_fail(err, SL_E_INVALID, "input '%s': its contents are not of its datatype %s", tensor->name,
				       tensor->type->name);
		if (wanted == CONTENTS_BYTES)
			rc = field.wire == SL_PROTO_BYTES ? put_text(tensors, tensor, &index, &field, err) : not_a_message(err);
		else if (field.wire == SL_PROTO_BYTES)
			rc = put_packed(tensors, tensor, &index, &field, err);
		else
			rc = put_element(tensors, tensor, &index, field.value, err);
		if (rc)
			return rc;
	}
	if (in.bad)
		return not_a_message(err);
	return index == tensor->rows * tensor->width
		       ? 0
		       : sl_fail(err, SL_E_INVALID, "input '%s' has %zu values, its shape says %zu", tensor->name, index,
				 tensor->rows * tensor->width);
}

/* ---- the request ---- */

static int check_output(const struct sl_proto_field *from, const struct sl_served *served, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(from->data, from->len);
	struct sl_proto_field field;
	const char *output = served->package.output;
	while (sl_proto_next(&in, &field)) {
		if (field.number != TENSOR_NAME)
			continue;
		if (field.wire == SL_PROTO_BYTES && field.len == strlen(output) && memcmp(field.data, output, field.len) == 0)
			continue;
		sl_fail(err, SL_E_INVALID, "the model has no such output");
		return sl_error_hint(err, "it has '%s'", output);
	}
	return in.bad ? not_a_message(err) : 0;
}

static int read_parts(struct sl_proto in, struct sl_tensors *tensors, const struct sl_infer_message *head, struct sl_arena *arena,
		      struct sl_error *err)
{
	struct sl_proto_field field;
	size_t raw = 0;
	int rc = 0;
	while (!rc && sl_proto_next(&in, &field)) {
		if (field.number == REQUEST_INPUTS) {
			rc = read_tensor(&field, arena, &tensors->items[tensors->count++], err);
		} else if (field.number == REQUEST_OUTPUTS) {
			rc = check_output(&field, tensors->served, err);
		} else if (field.number == REQUEST_RAW) {
			tensors->items[raw].raw = field.data;
			tensors->items[raw++].raw_len = field.len;
		}
	}
	for (size_t i = 0; !rc && i < head->raw_count; i++) {
		if (tensors->items[i].values)
			rc = sl_fail(err, SL_E_INVALID, "input '%s' has contents beside raw_input_contents", tensors->items[i].name);
		else
			rc = sl_tensor_check_raw(&tensors->items[i], err);
	}
	return rc;
}

int sl_infer_message_read(const void *data, size_t len, const struct sl_infer_message *head, struct sl_served *served,
			  struct sl_arena *arena, struct sl_inputs *rows, struct sl_error *err)
{
	struct sl_tensors tensors = {.served = served, .rows = rows};
	if (served->graph)
		return sl_graph_message_read(data, len, head, served, rows, err);
	if (!head->input_count)
		return sl_fail(err, SL_E_INVALID, "the request has no input");
	if (head->input_count > served->slot_count + SL_NAME_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the request has %zu inputs, the model has %zu columns", head->input_count,
			       served->slot_count);
	if (head->raw_count && head->raw_count != head->input_count)
		return sl_fail(err, SL_E_INVALID, "raw_input_contents has %zu entries for %zu inputs", head->raw_count,
			       head->input_count);
	tensors.items = sl_arena_array(arena, head->input_count, sizeof *tensors.items);
	if (!tensors.items)
		return sl_fail_memory(err);
	int rc = read_parts(sl_proto_of(data, len), &tensors, head, arena, err);
	if (!rc)
		rc = sl_tensors_place(&tensors, err);
	for (size_t i = 0; !rc && i < tensors.count; i++) {
		const struct sl_tensor *tensor = &tensors.items[i];
		if (tensor->ignored)
			continue;
		rc = sl_tensor_give(&tensors, tensor, err);
		if (!rc)
			rc = head->raw_count ? sl_tensor_fill_raw(&tensors, tensor, err) : fill_contents(&tensors, tensor, err);
	}
	return rc;
}

/* ---- the answer ---- */

/* An entry of map<string, InferParameter>. */
static void put_parameter(struct sl_buf *out, const char *name, const char *value)
{
	size_t entry = sl_proto_open(out, ANSWER_PARAMETERS);
	sl_proto_put_text(out, 1, name);
	size_t parameter = sl_proto_open(out, 2);
	sl_proto_put_text(out, PARAMETER_STRING, value);
	sl_proto_close(out, parameter);
	sl_proto_close(out, entry);
}

static void put_floats(struct sl_buf *out, uint32_t number, const float *values, size_t count)
{
	size_t opened = sl_proto_open(out, number);
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, &values[i], sizeof bits);
		sl_buf_u32le(out, bits);
	}
	sl_proto_close(out, opened);
}

static void put_output(const struct sl_inputs *rows, bool raw, struct sl_buf *out)
{
	const struct sl_package *package = &rows->served->package;
	size_t output = sl_proto_open(out, ANSWER_OUTPUTS);
	sl_proto_put_text(out, TENSOR_NAME, package->output);
	sl_proto_put_text(out, TENSOR_DATATYPE, "FP32");
	size_t shape = sl_proto_open(out, TENSOR_SHAPE);
	sl_proto_put_varint(out, rows->count);
	if (package->output_count > 1)
		sl_proto_put_varint(out, package->output_count);
	sl_proto_close(out, shape);
	if (!raw) {
		size_t contents = sl_proto_open(out, TENSOR_CONTENTS);
		put_floats(out, CONTENTS_FP32, rows->outputs, rows->count * package->output_count);
		sl_proto_close(out, contents);
	}
	sl_proto_close(out, output);
}

void sl_infer_message_write(const struct sl_infer_message *head, struct sl_inputs *rows, const struct sl_id *id,
			    struct sl_buf *out)
{
	const struct sl_served *served = rows->served;
	const char *version = sl_inputs_version(rows), *variant = sl_inputs_variant(rows), *places = sl_inputs_row_variants(rows);
	sl_proto_put_text(out, ANSWER_MODEL, served->spec->name);
	sl_proto_put_text(out, ANSWER_VERSION, version);
	if (head->id_len)
		sl_proto_put_bytes(out, ANSWER_ID, head->id, head->id_len);
	put_parameter(out, "prediction_id", id->text);
	put_parameter(out, "model_version", version);
	if (served->graph) {
		sl_graph_message_write(head, rows, out);
		return;
	}
	if (variant) {
		put_parameter(out, "variant", variant);
		put_parameter(out, "route", sl_inputs_reason(rows));
	}
	if (places)
		put_parameter(out, "row_variants", places);
	put_output(rows, head->raw_count, out);
	if (head->raw_count)
		put_floats(out, ANSWER_RAW, rows->outputs, rows->count * served->package.output_count);
}

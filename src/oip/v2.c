#include "oip/v2.h"

#include <string.h>

#include "base/str.h"
#include "oip/answer.h"
#include "oip/column.h"
#include "oip/graph.h"
#include "oip/tensor.h"
#include "oip/v2_plain.h"

/* ---- the request's parts ---- */

struct reading {
	struct sl_tensors all;
	const unsigned char *raw, *raw_end; /* what raw tensors have not taken */
};

static int take_shape(yyjson_val *shape, struct sl_tensor *ret, struct sl_error *err)
{
	size_t dims = yyjson_arr_size(shape);
	int64_t sizes[2] = {0};
	if (!yyjson_is_arr(shape))
		return sl_fail(err, SL_E_INVALID, "input '%s': its shape must be [rows] or [rows, columns]", ret->name);
	for (size_t i = 0; i < dims && i < 2; i++) {
		yyjson_val *size = yyjson_arr_get(shape, i);
		if (!yyjson_is_uint(size))
			return sl_fail(err, SL_E_INVALID, "input '%s': its shape holds %s, expected whole numbers from 0",
				       ret->name, sl_body_kind(size));
		sizes[i] = yyjson_get_uint(size) > INT64_MAX ? INT64_MAX : (int64_t)yyjson_get_uint(size);
	}
	return sl_tensor_shape(ret, sizes, dims, err);
}

static int take_raw(struct reading *reading, yyjson_val *size, struct sl_tensor *ret, struct sl_error *err)
{
	uint64_t want = yyjson_get_uint(size);
	if (!yyjson_is_uint(size) || want > (uint64_t)(reading->raw_end - reading->raw))
		return sl_fail(err, SL_E_INVALID, "input '%s': its binary_data_size is more than the bytes that came", ret->name);
	ret->raw = reading->raw;
	ret->raw_len = (size_t)want;
	reading->raw += want;
	return sl_tensor_check_raw(ret, err);
}

static int take_tensor(struct reading *reading, yyjson_val *input, struct sl_tensor *ret, struct sl_error *err)
{
	enum { NAME, SHAPE, DATATYPE, DATA, PARAMETERS, COUNT };
	static const char *const names[COUNT] = {"name", "shape", "datatype", "data", "parameters"};
	yyjson_val *values[COUNT] = {0};
	if (!yyjson_is_obj(input))
		return sl_fail(err, SL_E_INVALID, "'inputs' holds %s, expected objects", sl_body_kind(input));
	int rc = sl_body_members(input, names, values, COUNT, err);
	if (rc)
		return rc;
	if (!yyjson_is_str(values[NAME]))
		return sl_fail(err, SL_E_INVALID, "an input has no 'name'");
	ret->name = yyjson_get_str(values[NAME]);
	ret->name_len = yyjson_get_len(values[NAME]);
	ret->type = yyjson_is_str(values[DATATYPE])
			    ? sl_datatype_find(yyjson_get_str(values[DATATYPE]), yyjson_get_len(values[DATATYPE]))
			    : NULL;
	if (!ret->type)
		return sl_fail(err, SL_E_INVALID,
			       "input '%s': its datatype must be FP16, BF16, FP32, FP64, INT8 to INT64, UINT8 to UINT64, BOOL or BYTES",
			       ret->name);
	rc = take_shape(values[SHAPE], ret, err);
	yyjson_val *raw_size = yyjson_obj_get(values[PARAMETERS], "binary_data_size");
	if (rc || raw_size)
		return rc ? rc : take_raw(reading, raw_size, ret, err);
	ret->values = values[DATA];
	if (!yyjson_is_arr(values[DATA]))
		return sl_fail(err, SL_E_INVALID, "input '%s' has no 'data' array", ret->name);
	return 0;
}

/* ---- values ---- */

static int wrong_element(const struct sl_tensor *tensor, size_t index, const char *found, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "input '%s': element %zu is %s, its datatype is %s", tensor->name, index, found,
		       tensor->type->name);
}

static int int_element(const struct sl_tensor *tensor, yyjson_val *value, size_t index, const struct sl_cell *cell,
		       struct sl_error *err)
{
	const struct sl_datatype *type = tensor->type;
	bool beyond = cell->kind == SL_CELL_DOUBLE && yyjson_is_uint(value); /* more than a signed one holds */
	if (cell->kind != SL_CELL_INT && !beyond)
		return wrong_element(tensor, index, sl_body_kind(value), err);
	if (beyond ? type->family == SL_FAMILY_UINT && type->bytes == 8 : sl_datatype_fits(type, cell->i))
		return 0;
	return wrong_element(tensor, index, "out of range", err);
}

static int json_element(const struct sl_tensor *tensor, yyjson_val *value, size_t index, struct sl_cell *ret, struct sl_error *err)
{
	if (!sl_body_cell(value, ret))
		return wrong_element(tensor, index, sl_body_kind(value), err);
	enum sl_cell_kind kind = ret->kind;
	if (kind == SL_CELL_NULL)
		return 0;
	switch (tensor->type->family) {
	case SL_FAMILY_BOOL:
		return kind == SL_CELL_BOOL ? 0 : wrong_element(tensor, index, sl_body_kind(value), err);
	case SL_FAMILY_INT:
	case SL_FAMILY_UINT:
		return int_element(tensor, value, index, ret, err);
	case SL_FAMILY_FLOAT:
		if (kind == SL_CELL_INT)
			*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)ret->i};
		return ret->kind == SL_CELL_DOUBLE ? 0 : wrong_element(tensor, index, sl_body_kind(value), err);
	default:
		return kind == SL_CELL_TEXT ? 0 : wrong_element(tensor, index, sl_body_kind(value), err);
	}
}

/* Row `row` of nested data. */
static int fill_nested_row(struct reading *reading, const struct sl_tensor *tensor, yyjson_val *values, size_t row,
			   struct sl_error *err)
{
	if (!yyjson_is_arr(values) || yyjson_arr_size(values) != tensor->width)
		return sl_fail(err, SL_E_INVALID, "input '%s': row %zu of its data is no array of %zu", tensor->name, row,
			       tensor->width);
	size_t index = row * tensor->width;
	yyjson_arr_iter it = yyjson_arr_iter_with(values);
	for (yyjson_val *value; (value = yyjson_arr_iter_next(&it)); index++) {
		int rc = json_element(tensor, value, index, sl_tensor_cell(&reading->all, tensor, index), err);
		if (rc)
			return rc;
	}
	return 0;
}

static int fill_from_json(struct reading *reading, const struct sl_tensor *tensor, struct sl_error *err)
{
	yyjson_val *data = (yyjson_val *)(uintptr_t)tensor->values;
	size_t have = yyjson_arr_size(data), index = 0;
	bool nested = yyjson_is_arr(yyjson_arr_get_first(data));
	if (have != (nested ? tensor->rows : tensor->rows * tensor->width))
		return sl_fail(err, SL_E_INVALID, "input '%s': its data has %zu %s, its shape says %zu", tensor->name, have,
			       nested ? "rows" : "elements",
			       nested ? tensor->rows : tensor->rows * tensor->width);
	yyjson_arr_iter it = yyjson_arr_iter_with(data);
	for (yyjson_val *value; (value = yyjson_arr_iter_next(&it)); index++) {
		int rc = nested ? fill_nested_row(reading, tensor, value, index, err)
				: json_element(tensor, value, index, sl_tensor_cell(&reading->all, tensor, index), err);
		if (rc)
			return rc;
	}
	return 0;
}

static int fill_tensor(struct reading *reading, const struct sl_tensor *tensor, struct sl_error *err)
{
	if (tensor->ignored)
		return 0;
	int rc = sl_tensor_give(&reading->all, tensor, err);
	if (rc)
		return rc;
	return tensor->raw ? sl_tensor_fill_raw(&reading->all, tensor, err) : fill_from_json(reading, tensor, err);
}

/* ---- the whole request ---- */

static int take_outputs(const struct sl_served *served, yyjson_val *outputs, bool *binary, struct sl_error *err)
{
	if (!outputs)
		return 0;
	if (!yyjson_is_arr(outputs))
		return sl_fail(err, SL_E_INVALID, "'outputs' is %s, expected an array", sl_body_kind(outputs));
	yyjson_arr_iter it = yyjson_arr_iter_with(outputs);
	for (yyjson_val *output; (output = yyjson_arr_iter_next(&it));) {
		yyjson_val *name = yyjson_obj_get(output, "name");
		yyjson_val *wants = yyjson_obj_get(yyjson_obj_get(output, "parameters"), "binary_data");
		if (!yyjson_equals_str(name, served->package.output)) {
			sl_fail(err, SL_E_INVALID, "the model has no output '%s'",
				yyjson_is_str(name) ? yyjson_get_str(name) : "");
			return sl_error_hint(err, "it has '%s'", served->package.output);
		}
		if (wants)
			*binary = yyjson_get_bool(wants);
	}
	return 0;
}

int sl_v2_take_head(yyjson_val *id, yyjson_val *parameters, struct sl_v2_request *ret, struct sl_error *err)
{
	if (id && (!yyjson_is_str(id) || yyjson_get_len(id) > SL_V2_ID_MAX))
		return sl_fail(err, SL_E_INVALID, "'id' must be text of at most %d bytes", SL_V2_ID_MAX);
	ret->id = yyjson_get_str(id);
	ret->id_len = yyjson_get_len(id);
	if (parameters && !yyjson_is_obj(parameters))
		return sl_fail(err, SL_E_INVALID, "'parameters' is %s, expected an object", sl_body_kind(parameters));
	ret->binary_output = yyjson_get_bool(yyjson_obj_get(parameters, "binary_data_output"));
	yyjson_val *priority = yyjson_obj_get(parameters, "priority"), *timeout = yyjson_obj_get(parameters, "timeout");
	if (priority && !yyjson_is_uint(priority))
		return sl_fail(err, SL_E_INVALID, "the parameter 'priority' is %s, expected a whole number from 1", sl_body_kind(priority));
	if (timeout && !yyjson_is_uint(timeout))
		return sl_fail(err, SL_E_INVALID, "the parameter 'timeout' is %s, expected microseconds", sl_body_kind(timeout));
	sl_v2_set_priority(ret, yyjson_get_uint(priority));
	sl_v2_set_timeout(ret, yyjson_get_uint(timeout));
	return 0;
}

void sl_v2_set_priority(struct sl_v2_request *request, uint64_t priority)
{
	request->priority = priority > SL_POOL_PRIORITIES ? SL_POOL_PRIORITIES : (unsigned)priority;
}

void sl_v2_set_timeout(struct sl_v2_request *request, uint64_t timeout_us)
{
	const uint64_t day_us = UINT64_C(86400) * 1000000;
	request->timeout_ns = (int64_t)(timeout_us > day_us ? day_us : timeout_us) * 1000;
}

static int take_request(struct reading *reading, yyjson_val *root, struct sl_arena *arena, struct sl_v2_request *ret,
			struct sl_error *err)
{
	enum { ID, PARAMETERS, INPUTS, OUTPUTS, COUNT };
	static const char *const names[COUNT] = {"id", "parameters", "inputs", "outputs"};
	yyjson_val *values[COUNT] = {0};
	int rc = sl_body_members(root, names, values, COUNT, err);
	if (rc)
		return rc;
	rc = sl_v2_take_head(values[ID], values[PARAMETERS], ret, err);
	if (!rc)
		rc = take_outputs(reading->all.served, values[OUTPUTS], &ret->binary_output, err);
	if (rc)
		return rc;
	reading->all.count = yyjson_arr_size(values[INPUTS]);
	if (!reading->all.count)
		return sl_fail(err, SL_E_INVALID, "'inputs' must be an array of tensors");
	if (reading->all.count > reading->all.served->slot_count + SL_NAME_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "'inputs' has %zu tensors, the model has %zu columns", reading->all.count,
			       reading->all.served->slot_count);
	reading->all.items = sl_arena_array(arena, reading->all.count, sizeof *reading->all.items);
	if (!reading->all.items)
		return sl_fail_memory(err);
	size_t i = 0;
	yyjson_arr_iter it = yyjson_arr_iter_with(values[INPUTS]);
	for (yyjson_val *input; !rc && (input = yyjson_arr_iter_next(&it)); i++)
		rc = take_tensor(reading, input, &reading->all.items[i], err);
	return rc;
}

/* No JSON at all: the bytes are the model's one input, of as many rows as they make; a text is one row. The answer is raw too. */
static int read_raw_body(struct sl_tensors *tensors, const char *body, size_t len, struct sl_v2_request *ret, struct sl_error *err)
{
	const char *matrix = tensors->served->matrix;
	size_t columns = tensors->served->column_count;
	if (!matrix && columns != 1)
		return sl_fail(err, SL_E_INVALID, "a body without JSON needs a model of one input, this one has %zu", columns);
	const char *type = matrix ? "FP32" : sl_v2_datatype(sl_served_feature(tensors->served, 0));
	struct sl_tensor input = {.name = matrix ? matrix : tensors->served->slots[0], .type = sl_datatype_find(type, strlen(type)),
				  .width = columns, .raw = (const unsigned char *)body, .raw_len = len};
	size_t row_bytes = input.width * input.type->bytes;
	if (row_bytes && len % row_bytes)
		return sl_fail(err, SL_E_INVALID, "the body is no whole number of rows of %zu bytes", row_bytes);
	input.name_len = strlen(input.name);
	input.rows = row_bytes ? len / row_bytes : 1;
	tensors->items = &input;
	tensors->count = 1;
	ret->binary_output = true;
	int rc = sl_tensors_place(tensors, err);
	if (!rc)
		rc = sl_tensor_give(tensors, &input, err);
	if (rc || row_bytes)
		return rc ? rc : sl_tensor_fill_raw(tensors, &input, err);
	*sl_tensor_cell(tensors, &input, 0) = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)len, .text = body};
	return sl_utf8_valid(body, len) ? 0 : sl_fail(err, SL_E_INVALID, "the body is not UTF-8");
}

int sl_v2_read_any(struct sl_body_parser *parser, struct sl_served *served, const char *body, size_t len, size_t json_len,
		   struct sl_arena *arena, struct sl_inputs *rows, struct sl_v2_request *ret, struct sl_error *err)
{
	struct reading reading = {.all = {.served = served, .rows = rows}};
	*ret = (struct sl_v2_request){0};
	if (json_len > len)
		return sl_fail(err, SL_E_INVALID, "Inference-Header-Content-Length is more than the body");
	if (!json_len && len)
		return read_raw_body(&reading.all, body, len, ret, err);
	reading.raw = (const unsigned char *)body + json_len;
	reading.raw_end = (const unsigned char *)body + len;
	int rc = sl_body_parse(parser, body, json_len, &ret->doc, err);
	if (!rc)
		rc = take_request(&reading, yyjson_doc_get_root(ret->doc), arena, ret, err);
	if (!rc && reading.raw != reading.raw_end)
		rc = sl_fail(err, SL_E_INVALID, "%zu bytes follow that belong to no tensor",
			     (size_t)(reading.raw_end - reading.raw));
	if (!rc)
		rc = sl_tensors_place(&reading.all, err);
	for (size_t i = 0; !rc && i < reading.all.count; i++)
		rc = fill_tensor(&reading, &reading.all.items[i], err);
	return rc;
}

int sl_v2_read(struct sl_body_parser *parser, struct sl_served *served, const char *body, size_t len, size_t json_len,
	       struct sl_arena *arena, struct sl_inputs *rows, struct sl_v2_request *ret, struct sl_error *err)
{
	*ret = (struct sl_v2_request){0};
	if (served->graph)
		return sl_graph_v2_read(parser, served, &(struct sl_graph_body){body, len, json_len}, rows, ret, err);
	if (json_len == len && sl_v2_read_plain(served, body, len, rows, ret))
		return 0;
	return sl_v2_read_any(parser, served, body, len, json_len, arena, rows, ret, err);
}

void sl_v2_end(struct sl_v2_request *request) { sl_body_end(&request->doc); }

/* ---- answers ---- */

static void write_raw(struct sl_buf *out, const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, &values[i], sizeof bits);
		sl_buf_u32le(out, bits);
	}
}

/* printf costs as much as all the rest of an answer of one row. */
static void write_count(struct sl_buf *out, size_t count)
{
	char text[24], *p = text + sizeof text;
	do
		*--p = (char)('0' + count % 10);
	while (count /= 10);
	sl_buf_add(out, p, (size_t)(text + sizeof text - p));
}

/* Behind "model_version" of the parameters: who answered, by the endpoint's rules. */
static void write_route(struct sl_buf *out, struct sl_inputs *rows)
{
	const char *variant = sl_inputs_variant(rows), *places = variant ? sl_inputs_row_variants(rows) : NULL;
	if (!variant)
		return;
	sl_buf_str(out, ",\"variant\":\"");
	sl_buf_str(out, variant);
	sl_buf_str(out, "\",\"route\":\"");
	sl_buf_str(out, sl_inputs_reason(rows));
	if (places) {
		sl_buf_str(out, "\",\"row_variants\":\"");
		sl_buf_str(out, places);
	}
	sl_buf_char(out, '"');
}

void sl_v2_write_head(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out)
{
	const struct sl_served *served = rows->served;
	const char *version = sl_inputs_version(rows);
	sl_buf_str(out, "{\"model_name\":\"");
	sl_buf_str(out, served->spec->name); /* a name of ours: nothing in it needs an escape */
	sl_buf_str(out, "\",\"model_version\":\"");
	sl_buf_str(out, version);
	if (request->id) {
		sl_buf_str(out, "\",\"id\":");
		sl_json_string(out, request->id, request->id_len);
		sl_buf_str(out, ",\"parameters\":{\"prediction_id\":\"");
	} else {
		sl_buf_str(out, "\",\"parameters\":{\"prediction_id\":\"");
	}
	sl_buf_add(out, id->text, SL_ID_LEN);
	sl_buf_str(out, "\",\"model_version\":\"");
	sl_buf_str(out, version);
	sl_buf_char(out, '"');
	write_route(out, rows);
	sl_buf_str(out, "},\"outputs\":[");
}

void sl_v2_write(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out,
		 size_t *ret_json_len)
{
	const struct sl_served *served = rows->served;
	size_t width = served->package.output_count, count = rows->count * width;
	if (served->graph) {
		sl_graph_v2_write(request, rows, id, out, ret_json_len);
		return;
	}
	sl_v2_write_head(request, rows, id, out);
	sl_buf_str(out, "{\"name\":");
	sl_json_string(out, served->package.output, strlen(served->package.output));
	sl_buf_str(out, ",\"datatype\":\"FP32\",\"shape\":[");
	write_count(out, rows->count);
	if (width > 1) {
		sl_buf_char(out, ',');
		write_count(out, width);
	}
	sl_buf_str(out, "],");
	if (request->binary_output) {
		sl_buf_printf(out, "\"parameters\":{\"binary_data_size\":%zu}}]}", count * sizeof(float));
		*ret_json_len = out->len;
		write_raw(out, rows->outputs, count);
		return;
	}
	sl_buf_str(out, "\"data\":");
	sl_answer_floats(out, rows->outputs, count, 1, false);
	sl_buf_str(out, "}]}");
	*ret_json_len = out->len;
}

const char *sl_v2_datatype(const struct sl_feature *feature)
{
	switch (feature->kind) {
	case SL_SQL_BOOL:
		return "BOOL";
	case SL_SQL_INT:
		return "INT64";
	case SL_SQL_DOUBLE:
		return "FP64";
	default:
		return "BYTES";
	}
}

static void write_property(struct sl_buf *out, const char *name, const char *value)
{
	sl_buf_str(out, out->data[out->len - 1] == '{' ? "\"" : ",\"");
	sl_buf_str(out, name);
	sl_buf_str(out, "\":");
	sl_json_string(out, value, strlen(value));
}

static void write_duration(struct sl_buf *out, const char *name, uint64_t count, uint64_t ns)
{
	sl_buf_printf(out, "\"%s\":{\"count\":%llu,\"ns\":%llu}", name, (unsigned long long)count, (unsigned long long)ns);
}

void sl_v2_statistics(struct sl_endpoint_state *endpoint, const char *version, struct sl_buf *out)
{
	const struct sl_endpoint_stats *stats = sl_endpoint_stats(endpoint);
	uint64_t ns = stats->latency_us * 1000, queue_ns = stats->queue_us * 1000;
	sl_buf_printf(out,
		      "{\"name\":\"%s\",\"version\":\"%s\",\"last_inference\":%lld,\"inference_count\":%llu,\"execution_count\":%llu,"
		      "\"inference_stats\":{",
		      sl_endpoint_spec(endpoint)->name, version, (long long)stats->last_ms, (unsigned long long)stats->rows,
		      (unsigned long long)(stats->requests - stats->joined));
	write_duration(out, "success", stats->requests, ns);
	sl_buf_char(out, ',');
	write_duration(out, "fail", stats->refused + stats->failed, 0);
	static const char *const idle[] = {"compute_input", "compute_output", "cache_hit", "cache_miss"};
	for (size_t i = 0; i < SL_ARRAY_LEN(idle); i++) {
		sl_buf_char(out, ',');
		write_duration(out, idle[i], i < 2 ? stats->requests : 0, 0);
	}
	sl_buf_char(out, ',');
	write_duration(out, "queue", stats->requests, queue_ns);
	sl_buf_char(out, ',');
	write_duration(out, "compute_infer", stats->requests, ns > queue_ns ? ns - queue_ns : 0);
	sl_buf_printf(out, "},\"batch_stats\":[],\"memory_usage\":[],\"pending_count\":%llu}", (unsigned long long)stats->pending);
}

/* One input [rows, columns]: of a model whose columns have no names. */
static void write_matrix(const struct sl_served *served, struct sl_buf *out)
{
	sl_buf_str(out, "{\"name\":");
	sl_json_string(out, served->matrix, strlen(served->matrix));
	sl_buf_printf(out, ",\"datatype\":\"FP32\",\"shape\":[-1,%zu]}", served->column_count);
}

void sl_v2_metadata(const struct sl_served *served, struct sl_buf *out)
{
	const struct sl_endpoint *spec = served->spec;
	const struct sl_package *package = &served->package;
	char hex[SL_HASH_HEX + 1];
	sl_buf_printf(out, "{\"name\":\"%s\",\"versions\":[", spec->name);
	for (size_t i = 0; i < sl_endpoint_version_count(served->endpoint); i++)
		sl_buf_printf(out, "%s\"%s\"", i ? "," : "", sl_endpoint_version(served->endpoint, i));
	sl_buf_printf(out, "],\"platform\":\"sluice_%s\",\"inputs\":[", package->algorithm);
	if (served->graph) {
		sl_graph_metadata(served, out);
		return;
	}
	if (served->matrix)
		write_matrix(served, out);
	for (size_t i = 0; !served->matrix && i < served->column_count; i++) {
		sl_buf_str(out, i ? ",{\"name\":" : "{\"name\":");
		sl_json_string(out, served->slots[i], served->slot_lens[i]);
		sl_buf_printf(out, ",\"datatype\":\"%s\",\"shape\":[-1]}", sl_v2_datatype(sl_served_feature(served, i)));
	}
	sl_buf_str(out, "],\"outputs\":[{\"name\":");
	sl_json_string(out, package->output, strlen(package->output));
	sl_buf_str(out, ",\"datatype\":\"FP32\",\"shape\":[-1");
	if (package->output_count > 1)
		sl_buf_printf(out, ",%zu", package->output_count);
	sl_buf_str(out, "]}],\"properties\":{");
	write_property(out, "model", spec->model);
	write_property(out, "package", sl_hash_hex(&package->hash, hex));
	write_property(out, "task", sl_task_name(package->task));
	write_property(out, "target", package->target);
	if (spec->key[0])
		write_property(out, "key", spec->key);
	if (spec->time[0])
		write_property(out, "time", spec->time);
	sl_buf_str(out, "}}");
}

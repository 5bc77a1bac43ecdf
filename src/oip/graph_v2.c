/* Open Inference Protocol over REST, for a graph. */
#include <string.h>

#include "base/str.h"
#include "oip/graph.h"

/* ---- the request ---- */

struct reading {
	struct sl_inputs *rows;
	const unsigned char *raw, *raw_end; /* what raw tensors have not taken */
};

static const struct sl_graph_info *info_of(const struct sl_inputs *rows) { return sl_graph_info(rows->served->graph); }

static int read_shape(yyjson_val *shape, const char *name, int64_t *sizes, size_t *ret_dims, struct sl_error *err)
{
	size_t dims = yyjson_arr_size(shape);
	if (!yyjson_is_arr(shape) || dims > SL_GRAPH_DIMS_MAX)
		return sl_fail(err, SL_E_INVALID, "input '%s': its shape must be an array of at most %d sizes", name, SL_GRAPH_DIMS_MAX);
	for (size_t i = 0; i < dims; i++) {
		yyjson_val *size = yyjson_arr_get(shape, i);
		if (!yyjson_is_uint(size) || yyjson_get_uint(size) > INT64_MAX)
			return sl_fail(err, SL_E_INVALID, "input '%s': a size in its shape is impossible", name);
		sizes[i] = (int64_t)yyjson_get_uint(size);
	}
	*ret_dims = dims;
	return 0;
}

static int fill(struct reading *reading, struct sl_graph_value *value, yyjson_val *data, yyjson_val *raw_size, const char *name,
		struct sl_error *err)
{
	if (!raw_size)
		return yyjson_is_arr(data) ? sl_graph_fill_json(value, data, name, err)
					   : sl_fail(err, SL_E_INVALID, "input '%s' has no 'data' array", name);
	uint64_t len = yyjson_get_uint(raw_size);
	if (!yyjson_is_uint(raw_size) || len > (uint64_t)(reading->raw_end - reading->raw))
		return sl_fail(err, SL_E_INVALID, "input '%s': its binary_data_size is more than the bytes that came", name);
	const unsigned char *raw = reading->raw;
	reading->raw += len;
	return sl_graph_fill_raw(value, raw, (size_t)len, name, err);
}

static int read_input(struct reading *reading, yyjson_val *input, size_t guess, struct sl_error *err)
{
	enum { NAME, SHAPE, DATATYPE, DATA, PARAMETERS, COUNT };
	static const char *const names[COUNT] = {"name", "shape", "datatype", "data", "parameters"};
	yyjson_val *values[COUNT] = {0};
	int64_t sizes[SL_GRAPH_DIMS_MAX];
	size_t at, dims = 0;
	if (!yyjson_is_obj(input))
		return sl_fail(err, SL_E_INVALID, "'inputs' holds %s, expected objects", sl_body_kind(input));
	int rc = sl_body_members(input, names, values, COUNT, err);
	if (!rc && !yyjson_is_str(values[NAME]))
		rc = sl_fail(err, SL_E_INVALID, "an input has no 'name'");
	const char *name = yyjson_get_str(values[NAME]);
	if (!rc)
		rc = sl_feed_find(reading->rows->served, name, yyjson_get_len(values[NAME]), guess, &at, err);
	if (rc)
		return rc;
	const char *type = sl_element_name(info_of(reading->rows)->inputs[at].element);
	if (!yyjson_equals_str(values[DATATYPE], type))
		return sl_fail(err, SL_E_INVALID, "input '%s': its datatype is %s, the model takes %s", name,
			       yyjson_is_str(values[DATATYPE]) ? yyjson_get_str(values[DATATYPE]) : "missing", type);
	rc = read_shape(values[SHAPE], name, sizes, &dims, err);
	if (!rc)
		rc = sl_feed_shape(reading->rows, at, sizes, dims, err);
	return rc ? rc : fill(reading, &reading->rows->feed.inputs[at], values[DATA], yyjson_obj_get(values[PARAMETERS], "binary_data_size"), name,
			      err);
}

static int read_outputs(struct sl_inputs *rows, yyjson_val *outputs, bool all_binary, struct sl_error *err)
{
	if (outputs && !yyjson_is_arr(outputs))
		return sl_fail(err, SL_E_INVALID, "'outputs' is %s, expected an array", sl_body_kind(outputs));
	if (yyjson_arr_size(outputs))
		memset(rows->feed.wanted, 0, info_of(rows)->output_count);
	yyjson_arr_iter it = yyjson_arr_iter_with(outputs);
	for (yyjson_val *output; (output = yyjson_arr_iter_next(&it));) {
		yyjson_val *name = yyjson_obj_get(output, "name");
		yyjson_val *binary = yyjson_obj_get(yyjson_obj_get(output, "parameters"), "binary_data");
		size_t at;
		int rc = yyjson_is_str(name) ? sl_feed_want(rows, yyjson_get_str(name), yyjson_get_len(name), &at, err)
					     : sl_fail(err, SL_E_INVALID, "an output has no 'name'");
		if (rc)
			return rc;
		if (binary ? yyjson_get_bool(binary) : all_binary)
			rows->feed.wanted[at] |= SL_FEED_BINARY;
	}
	return 0;
}

static int read_request(struct reading *reading, yyjson_val *root, struct sl_v2_request *ret, struct sl_error *err)
{
	enum { ID, PARAMETERS, INPUTS, OUTPUTS, COUNT };
	static const char *const names[COUNT] = {"id", "parameters", "inputs", "outputs"};
	yyjson_val *values[COUNT] = {0};
	size_t i = 0, outputs = info_of(reading->rows)->output_count;
	int rc = sl_body_members(root, names, values, COUNT, err);
	if (!rc)
		rc = sl_v2_take_head(values[ID], values[PARAMETERS], ret, err);
	for (size_t o = 0; !rc && o < outputs && ret->binary_output; o++)
		reading->rows->feed.wanted[o] |= SL_FEED_BINARY;
	if (!rc)
		rc = read_outputs(reading->rows, values[OUTPUTS], ret->binary_output, err);
	if (!rc && !yyjson_arr_size(values[INPUTS]))
		rc = sl_fail(err, SL_E_INVALID, "'inputs' must be an array of tensors");
	yyjson_arr_iter it = yyjson_arr_iter_with(values[INPUTS]);
	for (yyjson_val *input; !rc && (input = yyjson_arr_iter_next(&it)); i++)
		rc = read_input(reading, input, i, err);
	if (!rc && reading->raw != reading->raw_end)
		rc = sl_fail(err, SL_E_INVALID, "%zu bytes follow that belong to no tensor", (size_t)(reading->raw_end - reading->raw));
	return rc;
}

/* No JSON at all: the bytes are the one input, whose one size that may vary follows from them; a text is one element. */
static int read_raw_body(struct sl_inputs *rows, const struct sl_graph_body *body, struct sl_error *err)
{
	const struct sl_graph_info *info = info_of(rows);
	const struct sl_graph_port *port = info->inputs;
	int64_t sizes[SL_GRAPH_DIMS_MAX] = {1};
	size_t bytes = sl_element_bytes(port->element), vary = 0, at = 0;
	memset(rows->feed.wanted, SL_FEED_WANTED | SL_FEED_BINARY, info->output_count);
	for (size_t i = 0; i < port->dims; i++) {
		sizes[i] = port->sizes[i];
		vary += sizes[i] == -1;
		at = sizes[i] == -1 ? i : at;
		if (sizes[i] > 0 && __builtin_mul_overflow(bytes, (size_t)sizes[i], &bytes))
			return sl_fail(err, SL_E_TOO_LARGE, "the model's input is beyond every body");
	}
	if (info->input_count != 1 || port->any_shape || vary > 1)
		return sl_fail(err, SL_E_INVALID, "a body without JSON needs a model of one input of at most one size that varies");
	if (port->element == SL_ELEMENT_TEXT) {
		sizes[at] = 1;
		int rc = sl_feed_shape(rows, 0, sizes, port->dims, err);
		return rc ? rc : sl_feed_set(rows->feed.inputs, 0, &(struct sl_cell){.kind = SL_CELL_TEXT, .text = body->bytes, .len = (uint32_t)body->len}, err);
	}
	if (vary)
		sizes[at] = (int64_t)(body->len / bytes);
	int rc = sl_feed_shape(rows, 0, sizes, port->dims, err);
	return rc ? rc : sl_graph_fill_raw(rows->feed.inputs, (const unsigned char *)body->bytes, body->len, port->name, err);
}

int sl_graph_v2_read(struct sl_body_parser *parser, struct sl_served *served, const struct sl_graph_body *body, struct sl_inputs *rows,
		     struct sl_v2_request *ret, struct sl_error *err)
{
	struct reading reading = {.rows = rows};
	if (body->json_len > body->len)
		return sl_fail(err, SL_E_INVALID, "Inference-Header-Content-Length is more than the body");
	int rc = sl_feed_begin(rows, served, err);
	if (rc || (!body->json_len && body->len))
		return rc ? rc : read_raw_body(rows, body, err);
	reading.raw = (const unsigned char *)body->bytes + body->json_len;
	reading.raw_end = (const unsigned char *)body->bytes + body->len;
	rc = sl_body_parse(parser, body->bytes, body->json_len, &ret->doc, err);
	return rc ? rc : read_request(&reading, yyjson_doc_get_root(ret->doc), ret, err);
}

/* ---- the answer ---- */

void sl_graph_write_output(struct sl_buf *out, size_t index, const char *name, const struct sl_graph_value *value, bool binary)
{
	sl_buf_str(out, index ? ",{\"name\":" : "{\"name\":");
	sl_json_string(out, name, strlen(name));
	sl_buf_str(out, ",\"datatype\":\"");
	sl_buf_str(out, sl_element_name(value->element));
	sl_buf_str(out, "\",\"shape\":");
	sl_graph_write_shape(out, value->sizes, value->dims);
	if (binary) {
		sl_buf_printf(out, ",\"parameters\":{\"binary_data_size\":%zu}}", sl_graph_raw_bytes(value));
		return;
	}
	sl_buf_str(out, ",\"data\":");
	sl_graph_write_flat(out, value);
	sl_buf_char(out, '}');
}

void sl_graph_v2_write(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out,
		       size_t *ret_json_len)
{
	const struct sl_graph_info *info = info_of(rows);
	const struct sl_feed *feed = &rows->feed;
	size_t written = 0;
	sl_v2_write_head(request, rows, id, out);
	for (size_t i = 0; i < info->output_count; i++)
		if (feed->wanted[i])
			sl_graph_write_output(out, written++, info->outputs[i].name, &feed->outputs[i], feed->wanted[i] & SL_FEED_BINARY);
	sl_buf_str(out, "]}");
	*ret_json_len = out->len;
	for (size_t i = 0; i < info->output_count; i++)
		if (feed->wanted[i] & SL_FEED_BINARY)
			sl_graph_write_raw(out, &feed->outputs[i]);
}

/* ---- metadata ---- */

static void write_ports(struct sl_buf *out, const struct sl_graph_port *ports, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sl_buf_str(out, i ? ",{\"name\":" : "{\"name\":");
		sl_json_string(out, ports[i].name, strlen(ports[i].name));
		sl_buf_printf(out, ",\"datatype\":\"%s\",\"shape\":", sl_element_name(ports[i].element));
		sl_graph_write_shape(out, ports[i].sizes, ports[i].dims);
		sl_buf_char(out, '}');
	}
}

void sl_graph_metadata(const struct sl_served *served, struct sl_buf *out)
{
	const struct sl_graph_info *info = sl_graph_info(served->graph);
	char hex[SL_HASH_HEX + 1];
	write_ports(out, info->inputs, info->input_count);
	sl_buf_str(out, "],\"outputs\":[");
	write_ports(out, info->outputs, info->output_count);
	sl_buf_printf(out, "],\"properties\":{\"model\":\"%s\",\"package\":\"%s\"", served->spec->model, sl_hash_hex(&served->package.hash, hex));
	if (served->lane.batch_rows)
		sl_buf_printf(out, ",\"batch_rows\":\"%zu\"", served->lane.batch_rows);
	sl_buf_str(out, "}}");
}

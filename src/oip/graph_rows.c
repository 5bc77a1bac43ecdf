/* MLflow's scoring protocol and KServe's V1, for a graph. */
#include <string.h>

#include "oip/graph.h"

static const struct sl_graph_info *info_of(const struct sl_served *served) { return sl_graph_info(served->graph); }

/* ---- which form ---- */

static bool names_input(const struct sl_served *served, yyjson_val *object)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	yyjson_val *key = yyjson_obj_iter_next(&it);
	for (size_t i = 0; key && i < info_of(served)->input_count; i++)
		if (yyjson_equals_str(key, info_of(served)->inputs[i].name))
			return true;
	return false;
}

bool sl_graph_is_tensors(const struct sl_served *served, const char *form, yyjson_val *value)
{
	if (strcmp(form, "inputs") == 0)
		return !yyjson_is_obj(value) || names_input(served, value) || !served->package.feature_count;
	return strcmp(form, "instances") == 0 && !served->package.feature_count;
}

int sl_graph_check_table(const struct sl_served *served, struct sl_error *err)
{
	if (served->package.feature_count)
		return 0;
	sl_fail(err, SL_E_INVALID, "the model takes tensors, which are no columns of a table");
	return sl_error_hint(err, "send {\"inputs\": {\"%s\": [...]}}", info_of(served)->inputs[0].name);
}

/* ---- tensors ---- */

/* The shape that nested arrays have, by their first items; the items are checked when they are read. A column may come without the
 * size 1 behind it that the graph wants. */
static size_t shape_of(yyjson_val *data, const struct sl_graph_port *port, int64_t sizes[SL_GRAPH_DIMS_MAX])
{
	size_t dims = 0;
	for (; yyjson_is_arr(data) && dims < SL_GRAPH_DIMS_MAX; data = yyjson_arr_get_first(data))
		sizes[dims++] = (int64_t)yyjson_arr_size(data);
	if (dims && dims + 1 == port->dims && port->sizes[dims] == 1)
		sizes[dims++] = 1;
	return dims;
}

static int read_tensor(struct sl_inputs *rows, size_t at, yyjson_val *data, struct sl_error *err)
{
	const struct sl_graph_port *port = &info_of(rows->served)->inputs[at];
	int64_t sizes[SL_GRAPH_DIMS_MAX];
	struct sl_graph_value *value = &rows->feed.inputs[at];
	if (!yyjson_is_arr(data))
		return sl_fail(err, SL_E_INVALID, "input '%s' is %s, expected an array", port->name, sl_body_kind(data));
	int rc = sl_feed_shape(rows, at, sizes, shape_of(data, port, sizes), err);
	return rc ? rc : sl_graph_fill_json(value, data, port->name, err);
}

static int read_named(struct sl_inputs *rows, yyjson_val *inputs, struct sl_error *err)
{
	size_t i = 0, at;
	int rc = 0;
	yyjson_obj_iter it = yyjson_obj_iter_with(inputs);
	for (yyjson_val *key; !rc && (key = yyjson_obj_iter_next(&it)); i++) {
		rc = sl_feed_find(rows->served, yyjson_get_str(key), yyjson_get_len(key), i, &at, err);
		if (!rc)
			rc = read_tensor(rows, at, yyjson_obj_iter_get_val(key), err);
	}
	return rc;
}

int sl_graph_rows_read(struct sl_served *served, const char *form, yyjson_val *value, struct sl_inputs *rows, struct sl_error *err)
{
	int rc = sl_feed_begin(rows, served, err);
	if (rc)
		return rc;
	if (yyjson_is_obj(value))
		return read_named(rows, value, err);
	if (info_of(served)->input_count == 1)
		return read_tensor(rows, 0, value, err);
	sl_fail(err, SL_E_INVALID, "'%s' is one tensor, the model takes %zu", form, info_of(served)->input_count);
	return sl_error_hint(err, "send {\"inputs\": {\"%s\": [...], ...}}", info_of(served)->inputs[0].name);
}

/* ---- the answer ---- */

/* Row `row` of an output: what is below its first dimension. */
static void write_row(struct sl_buf *out, const struct sl_graph_value *value, size_t row)
{
	size_t each = value->count / (size_t)value->sizes[0];
	if (value->dims == 2 && each == 1) /* a column */
		sl_graph_write_nested(out, value, 2, row);
	else
		sl_graph_write_nested(out, value, 1, row * each);
}

static void write_records(struct sl_buf *out, const struct sl_graph_info *info, const struct sl_graph_value *values, size_t rows)
{
	sl_buf_char(out, '[');
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = 0; i < info->output_count; i++) {
			sl_buf_str(out, i ? "," : row ? ",{" : "{");
			sl_json_string(out, info->outputs[i].name, strlen(info->outputs[i].name));
			sl_buf_char(out, ':');
			write_row(out, &values[i], row);
		}
		sl_buf_char(out, '}');
	}
	sl_buf_char(out, ']');
}

static void write_object(struct sl_buf *out, const struct sl_graph_info *info, const struct sl_graph_value *values)
{
	for (size_t i = 0; i < info->output_count; i++) {
		sl_buf_char(out, i ? ',' : '{');
		sl_json_string(out, info->outputs[i].name, strlen(info->outputs[i].name));
		sl_buf_char(out, ':');
		sl_graph_write_nested(out, &values[i], 0, 0);
	}
	sl_buf_char(out, '}');
}

void sl_graph_rows_write(const struct sl_inputs *rows, struct sl_buf *out)
{
	const struct sl_graph_info *info = info_of(rows->served);
	const struct sl_graph_value *values = rows->feed.outputs;
	bool by_row = rows->count > 0;
	for (size_t i = 0; i < info->output_count; i++)
		by_row = by_row && values[i].dims && values[i].sizes[0] == (int64_t)rows->count;
	sl_buf_str(out, "{\"predictions\":");
	if (info->output_count == 1)
		sl_graph_write_nested(out, values, 0, 0);
	else if (by_row)
		write_records(out, info, values, rows->count);
	else
		write_object(out, info, values);
	sl_buf_char(out, '}');
}

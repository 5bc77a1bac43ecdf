#include "oip/invocations.h"

#include <string.h>

#include "oip/answer.h"
#include "oip/column.h"
#include "oip/graph.h"

#define LACKING UINT32_MAX /* the stamp of a column that some record lacks */

static int give(struct sl_inputs *rows, ptrdiff_t slot, struct sl_error *err)
{
	if (slot == SL_SLOT_NONE)
		return 0;
	if (rows->given[slot])
		return sl_fail(err, SL_E_INVALID, "column '%s' is given twice", rows->served->slots[slot]);
	rows->given[slot] = 1;
	return 0;
}

static int set_cell(struct sl_inputs *rows, ptrdiff_t slot, size_t row, yyjson_val *value, struct sl_error *err)
{
	struct sl_cell ignored;
	struct sl_cell *cell = slot == SL_SLOT_NONE ? &ignored : &rows->cells[(size_t)slot * rows->count + row];
	if (sl_body_cell(value, cell))
		return 0;
	return sl_fail(err, SL_E_INVALID, "row %zu: column '%s' is %s", row,
		       slot == SL_SLOT_NONE ? "(ignored)" : rows->served->slots[slot],
		       sl_body_kind(value));
}

/* ---- dataframe_split, and instances by position ---- */

/* Names of columns to slots. */
static int take_columns(yyjson_val *columns, struct sl_inputs *rows, ptrdiff_t *slots, struct sl_error *err)
{
	size_t i = 0;
	yyjson_arr_iter it = yyjson_arr_iter_with(columns);
	for (yyjson_val *name; (name = yyjson_arr_iter_next(&it)); i++) {
		int rc;
		if (!yyjson_is_str(name))
			return sl_fail(err, SL_E_INVALID, "'columns' holds %s, expected names", sl_body_kind(name));
		slots[i] = sl_column_slot(rows->served, yyjson_get_str(name), yyjson_get_len(name), i, &rc, err);
		if (!rc)
			rc = give(rows, slots[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int fill_matrix(yyjson_val *data, struct sl_inputs *rows, const ptrdiff_t *slots, size_t width, struct sl_error *err)
{
	size_t row = 0;
	yyjson_arr_iter it = yyjson_arr_iter_with(data);
	for (yyjson_val *values; (values = yyjson_arr_iter_next(&it)); row++) {
		size_t i = 0;
		if (!yyjson_is_arr(values) || yyjson_arr_size(values) != width)
			return sl_fail(err, SL_E_INVALID, "row %zu is no array of %zu values", row, width);
		yyjson_arr_iter inner = yyjson_arr_iter_with(values);
		for (yyjson_val *value; (value = yyjson_arr_iter_next(&inner)); i++) {
			int rc = set_cell(rows, slots[i], row, value, err);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int read_split(yyjson_val *split, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
		      struct sl_error *err)
{
	yyjson_val *columns = yyjson_obj_get(split, "columns"), *data = yyjson_obj_get(split, "data");
	size_t width = yyjson_arr_size(columns);
	if (!yyjson_is_arr(columns) || !yyjson_is_arr(data))
		return sl_fail(err, SL_E_INVALID, "'dataframe_split' needs the arrays 'columns' and 'data'");
	ptrdiff_t *slots = sl_arena_array(arena, width + 1, sizeof *slots);
	if (!slots)
		return sl_fail_memory(err);
	int rc = sl_inputs_begin(rows, served, yyjson_arr_size(data), err);
	if (!rc)
		rc = take_columns(columns, rows, slots, err);
	return rc ? rc : fill_matrix(data, rows, slots, width, err);
}

/* Values in the order of the model's columns. */
static int read_positions(yyjson_val *instances, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
			  struct sl_error *err)
{
	size_t width = served->column_count;
	ptrdiff_t *slots = sl_arena_array(arena, width + 1, sizeof *slots);
	int rc = slots ? sl_inputs_begin(rows, served, yyjson_arr_size(instances), err) : sl_fail_memory(err);
	for (size_t i = 0; !rc && i < width; i++) {
		slots[i] = (ptrdiff_t)i;
		rows->given[i] = 1;
	}
	return rc ? rc : fill_matrix(instances, rows, slots, width, err);
}

/* ---- dataframe_records ---- */

/* `stamps` tells, per slot, the last row that gave it, counted from 1. */
/* Every feature is in every record. Where rules decide who answers, not each model needs each of them: a column that some record lacks is as
 * one that none has, and what needs it says so. */
static int check_record(struct sl_inputs *rows, size_t row, uint32_t *stamps, struct sl_error *err)
{
	const struct sl_served *served = rows->served;
	for (size_t slot = 0; slot < served->slot_count; slot++) {
		if (stamps[slot] == row + 1 || !sl_served_feature(served, slot))
			continue;
		if (!served->plan)
			return sl_fail(err, SL_E_INVALID, "row %zu: column '%s' is missing", row, served->slots[slot]);
		stamps[slot] = LACKING;
	}
	return 0;
}

static int fill_record(yyjson_val *record, struct sl_inputs *rows, size_t row, uint32_t *stamps, struct sl_error *err)
{
	size_t i = 0;
	if (!yyjson_is_obj(record))
		return sl_fail(err, SL_E_INVALID, "row %zu is %s, expected an object", row, sl_body_kind(record));
	yyjson_obj_iter it = yyjson_obj_iter_with(record);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)); i++) {
		int rc;
		ptrdiff_t slot = sl_column_slot(rows->served, yyjson_get_str(key), yyjson_get_len(key), i, &rc, err);
		if (!rc)
			rc = set_cell(rows, slot, row, yyjson_obj_iter_get_val(key), err);
		if (rc)
			return rc;
		if (slot == SL_SLOT_NONE)
			continue;
		if (stamps[slot] == row + 1)
			return sl_fail(err, SL_E_INVALID, "row %zu: column '%s' is given twice", row, rows->served->slots[slot]);
		if (stamps[slot] == LACKING)
			continue;
		stamps[slot] = (uint32_t)row + 1;
		rows->given[slot] = 1;
	}
	return check_record(rows, row, stamps, err);
}

static int read_records(yyjson_val *records, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
			struct sl_error *err)
{
	size_t row = 0;
	uint32_t *stamps = sl_arena_array(arena, served->slot_count, sizeof *stamps);
	int rc = stamps ? sl_inputs_begin(rows, served, yyjson_arr_size(records), err) : sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(records);
	for (yyjson_val *record; !rc && (record = yyjson_arr_iter_next(&it)); row++)
		rc = fill_record(record, rows, row, stamps, err);
	for (size_t slot = 0; !rc && slot < served->slot_count; slot++)
		if (stamps[slot] == LACKING)
			rows->given[slot] = 0;
	return rc;
}

/* ---- inputs: columns ---- */

static int fill_column(struct sl_inputs *rows, ptrdiff_t slot, yyjson_val *values, const char *name, struct sl_error *err)
{
	size_t row = 0;
	if (!yyjson_is_arr(values) || yyjson_arr_size(values) != rows->count)
		return sl_fail(err, SL_E_INVALID, "column '%s' is no array of %zu values", name, rows->count);
	yyjson_arr_iter it = yyjson_arr_iter_with(values);
	for (yyjson_val *value; (value = yyjson_arr_iter_next(&it)); row++) {
		int rc = set_cell(rows, slot, row, value, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_columns(yyjson_val *inputs, struct sl_served *served, struct sl_inputs *rows, struct sl_error *err)
{
	size_t i = 0;
	yyjson_obj_iter it = yyjson_obj_iter_with(inputs);
	if (!yyjson_obj_size(inputs))
		return sl_fail(err, SL_E_INVALID, "'inputs' must be an object with an array per column");
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)); i++) {
		yyjson_val *values = yyjson_obj_iter_get_val(key);
		int rc = i ? 0 : sl_inputs_begin(rows, served, yyjson_arr_size(values), err);
		if (rc)
			return rc;
		ptrdiff_t slot = sl_column_slot(served, yyjson_get_str(key), yyjson_get_len(key), i, &rc, err);
		if (!rc)
			rc = give(rows, slot, err);
		if (!rc)
			rc = fill_column(rows, slot, values, yyjson_get_str(key), err);
		if (rc)
			return rc;
	}
	return 0;
}

int sl_invocations_json(yyjson_val *body, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
			struct sl_error *err)
{
	enum { SPLIT, RECORDS, INSTANCES, INPUTS, PARAMS, COUNT };
	static const char *const names[COUNT] = {"dataframe_split", "dataframe_records", "instances", "inputs", "params"};
	int form = COUNT;
	yyjson_val *value = NULL;
	yyjson_obj_iter it = yyjson_obj_iter_with(body);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		int i = 0;
		while (i < COUNT && !yyjson_equals_str(key, names[i]))
			i++;
		if (i == PARAMS && !yyjson_is_obj(yyjson_obj_iter_get_val(key)))
			return sl_fail(err, SL_E_INVALID, "'params' is %s, expected an object", sl_body_kind(yyjson_obj_iter_get_val(key)));
		if (i == PARAMS)
			continue;
		if (i == COUNT)
			return sl_fail(err, SL_E_INVALID, "'%s' is none of dataframe_split, dataframe_records, instances, inputs",
				       yyjson_get_str(key));
		if (value)
			return sl_fail(err, SL_E_INVALID, "'%s' and '%s' came together, expected one", names[form], names[i]);
		form = i;
		value = yyjson_obj_iter_get_val(key);
	}
	if (form != COUNT && served->graph && sl_graph_is_tensors(served, names[form], value))
		return sl_graph_rows_read(served, names[form], value, rows, err);
	if (form != COUNT && served->graph && sl_graph_check_table(served, err))
		return SL_E_INVALID;
	if (form == SPLIT)
		return read_split(value, served, arena, rows, err);
	if (form == INPUTS)
		return read_columns(value, served, rows, err);
	if (form == COUNT)
		return sl_fail(err, SL_E_INVALID, "expected one of dataframe_split, dataframe_records, instances, inputs");
	if (!yyjson_is_arr(value))
		return sl_fail(err, SL_E_INVALID, "'%s' is %s, expected an array of rows", names[form], sl_body_kind(value));
	if (form == INSTANCES && !yyjson_is_obj(yyjson_arr_get_first(value)))
		return read_positions(value, served, arena, rows, err);
	return read_records(value, served, arena, rows, err);
}

void sl_invocations_write(const struct sl_inputs *rows, struct sl_buf *out)
{
	size_t width = rows->served->package.output_count;
	if (rows->served->graph) {
		sl_graph_rows_write(rows, out);
		return;
	}
	sl_buf_str(out, "{\"predictions\":");
	sl_answer_floats(out, rows->outputs, rows->count, width, width > 1);
	sl_buf_char(out, '}');
}

/* sql: DuckDB over the project's datasets and records. */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "op/handlers.h"
#include "op/tables.h"

/* Without the end mark, which could not stand within brackets. */
static char *trimmed(struct sl_call *call, const char *text)
{
	size_t len = strlen(text);
	while (len && (isspace((unsigned char)text[len - 1]) || text[len - 1] == ';'))
		len--;
	return sl_arena_strndup(call->arena, text, len);
}

static yyjson_mut_val *cell(struct sl_call *call, const struct sl_sql_column *column, size_t row)
{
	char text[SL_TIME_TEXT];
	if (column->valid && !column->valid[row])
		return yyjson_mut_null(call->doc);
	switch (column->kind) {
	case SL_SQL_BOOL: return yyjson_mut_bool(call->doc, column->bools[row]);
	case SL_SQL_INT: return yyjson_mut_sint(call->doc, column->ints[row]);
	case SL_SQL_DOUBLE: return yyjson_mut_real(call->doc, column->doubles[row]);
	case SL_SQL_TIME: return yyjson_mut_strcpy(call->doc, sl_time_format(column->ints[row] / 1000, text));
	case SL_SQL_TEXT: break;
	}
	char *copy = sl_arena_strndup(call->arena, column->texts[row].data, column->texts[row].len);
	return sl_call_json_text(call, copy);
}

/* Two columns of one name would be one member: the later ones get a number. */
static const char **member_names(struct sl_call *call, const struct sl_sql_result *rows)
{
	size_t count = sl_sql_columns(rows);
	const char **names = sl_arena_array(call->arena, count ? count : 1, sizeof *names);
	for (size_t i = 0; names && i < count; i++) {
		int same = 1;
		names[i] = sl_arena_strdup(call->arena, sl_sql_column_name(rows, i));
		for (size_t k = 0; k < i; k++)
			same += sl_str_eq(sl_sql_column_name(rows, k), sl_sql_column_name(rows, i));
		if (same > 1)
			names[i] = sl_arena_printf(call->arena, "%s_%d", sl_sql_column_name(rows, i), same);
	}
	return names;
}

static void put_columns(struct sl_call *call, const struct sl_sql_result *rows, const char **names)
{
	yyjson_mut_val *columns = sl_put_array(call, sl_call_object(call), "columns");
	for (size_t i = 0; i < sl_sql_columns(rows); i++) {
		yyjson_mut_val *column = sl_add_object(call, columns);
		sl_put_text(call, column, "name", names[i]);
		sl_put_text(call, column, "type", sl_sql_column_type(rows, i));
	}
}

static int collect(struct sl_call *call, struct sl_sql_result *rows, int64_t limit, struct sl_error *err)
{
	const struct sl_sql_column *columns;
	const char **names = member_names(call, rows);
	size_t in_chunk, count = 0;
	int rc;
	if (!names)
		return sl_fail_memory(err);
	put_columns(call, rows, names);
	yyjson_mut_val *items = sl_put_array(call, sl_call_object(call), "items");
	while ((rc = sl_sql_next(rows, &columns, &in_chunk, err)) == 1)
		for (size_t row = 0; row < in_chunk; row++) {
			if (count++ == (size_t)limit) {
				sl_put_bool(call, sl_call_object(call), "more", true);
				sl_put_text(call, sl_call_object(call), "note",
					"there are more rows: --limit N shows them, --out FILE writes all");
				return 0;
			}
			yyjson_mut_val *item = sl_add_object(call, items);
			for (size_t c = 0; c < sl_sql_columns(rows); c++)
				yyjson_mut_obj_add(item, yyjson_mut_strcpy(call->doc, names[c]), cell(call, &columns[c], row));
		}
	if (!rc && !count)
		sl_put_text(call, sl_call_object(call), "note", "no rows");
	return rc;
}

static int run_query(struct sl_call *call, struct sl_tables *tables, const char *text, const char *out, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_sql_result *rows SL_CLEANUP(sl_sql_result_closep) = NULL;
	struct sl_sql_options options = {.tables = tables->items, .table_count = tables->count, .cancel = call->cancel,
		.write_dir = out ? tables->folder : NULL};
	char path[SL_PATH_MAX];
	int64_t written = 0;
	int rc = sl_sql_open(&options, &sql, err);
	if (!rc && out) {
		rc = sl_call_path(call, out, path, err);
		if (!rc)
			rc = sl_tables_export(sql, tables, text, path, &written, err);
		sl_put_text(call, sl_call_object(call), "file", path);
		sl_put_int(call, sl_call_object(call), "rows", written);
		return rc;
	}
	if (!rc)
		rc = sl_sql_query(sql, text, NULL, 0, "sql", &rows, err);
	return rc ? rc : collect(call, rows, sl_call_int(call, "limit"), err);
}

int sl_op_sql(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_tables tables = {0};
	const char *out = sl_call_text(call, "out");
	char *text = trimmed(call, sl_call_text(call, "text"));
	if (out && call->remote)
		return sl_fail(err, SL_E_DENIED, "a file cannot be written over HTTP");
	if (!text)
		return sl_fail_memory(err);
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_tables_find(call, store, text, "sql", &tables, err);
	if (!rc && out)
		rc = sl_tables_folder(&tables, store, err);
	if (!rc)
		rc = run_query(call, &tables, text, out, err);
	sl_tables_done(&tables);
	return rc;
}

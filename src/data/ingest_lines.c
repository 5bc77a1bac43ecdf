/* JSON lines: one object per line. They are read by the engine's JSON reader; only when it refuses are the lines looked at one by
 * one, which finds every broken one and its number. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/ingest_worker.h"

struct lines {
	struct sl_ingest_worker *w;
	struct sl_data_column *columns;
	size_t column_count;
};

/* ---- columns ------------------------------------------------------------------------------------------------------------- */

/* One SELECT per run of files that are packed alike: `head`, the files, `tail` with the compression. */
static void each_run(const struct sl_ingest_worker *w, const char *head, const char *tail, struct sl_buf *out)
{
	for (size_t from = 0, to; from < w->job->file_count; from = to) {
		for (to = from + 1; to < w->job->file_count && strcmp(w->compressions[from], w->compressions[to]) == 0;)
			to++;
		sl_buf_str(out, from ? " UNION ALL " : "");
		sl_buf_str(out, head);
		sl_engine_list(out, w->objects + from, to - from);
		sl_buf_printf(out, ", compression = '%s'", w->compressions[from]);
		sl_buf_str(out, tail);
	}
}

static int add_column(struct lines *l, const char *name, const char *type, struct sl_error *err)
{
	struct sl_data_column *column = &l->columns[l->column_count];

	column->name = sl_arena_strdup(l->w->arena, name);
	column->type = sl_arena_strdup(l->w->arena, type);
	l->column_count++;
	return column->name && column->type ? 0 : sl_fail_memory(err);
}

/* Declared types win; a declared name that no line of the sample has is a column all the same. */
static int declare(struct lines *l, yyjson_val *declared, struct sl_error *err)
{
	yyjson_obj_iter iter = yyjson_obj_iter_with(declared);
	yyjson_val *key;
	int rc = 0;

	while (rc == 0 && (key = yyjson_obj_iter_next(&iter))) {
		const char *name = yyjson_get_str(key), *type = yyjson_get_str(yyjson_obj_iter_get_val(key));
		size_t i = 0;
		while (i < l->column_count && strcmp(l->columns[i].name, name) != 0)
			i++;
		if (i == l->column_count)
			rc = add_column(l, name, type ? type : "VARCHAR", err);
		else if (!(l->columns[i].type = sl_arena_strdup(l->w->arena, type ? type : "VARCHAR")))
			rc = sl_fail_memory(err);
	}
	return rc;
}

static int find_columns(struct lines *l, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	SL_AUTO_JSON yyjson_doc *declared = NULL;

	sl_buf_str(&text, "SELECT * FROM read_json(");
	sl_engine_list(&text, l->w->objects, l->w->job->file_count);
	sl_buf_printf(&text,
		      ", format = 'newline_delimited', union_by_name = true, ignore_errors = true, compression = '%s') LIMIT 0",
		      l->w->compressions[0]);
	int rc = sl_buf_check(&text, "the list of input files", err);
	if (rc < 0 || (rc = sl_ingest_declared(l->w, &declared, err)) < 0)
		return rc;
	if ((rc = sl_engine_query(&l->w->engine, sl_buf_cstr(&text), &result, err)) < 0)
		return sl_ingest_blame(l->w, rc, err);
	size_t found = sl_sql_columns(result);
	l->columns = sl_arena_array(l->w->arena, found + yyjson_obj_size(yyjson_doc_get_root(declared)), sizeof *l->columns);
	if (!l->columns)
		return sl_fail_memory(err);
	/* Lines that are no objects come as one column "json". */
	bool objects = found != 1 || strcmp(sl_sql_column_name(result, 0), "json") != 0;
	for (size_t i = 0; objects && i < found && rc == 0; i++)
		rc = add_column(l, sl_sql_column_name(result, i), sl_sql_column_type(result, i), err);
	if (rc == 0)
		rc = declare(l, yyjson_doc_get_root(declared), err);
	if (rc == 0 && !l->column_count)
		rc = sl_fail_at(err, SL_E_FAILED, l->w->names[0], "there is no JSON object in it, one per line");
	return rc;
}

/* ---- the straight way ------------------------------------------------------------------------------------------------------ */

static int read_all(struct lines *l, struct sl_ingest_result *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), tail = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	sl_buf_str(&tail, ", format = 'newline_delimited', columns = {");
	for (size_t i = 0; i < l->column_count; i++) {
		sl_buf_str(&tail, i ? ", " : "");
		sl_sql_quote_text(&tail, l->columns[i].name);
		sl_buf_str(&tail, ": ");
		sl_sql_quote_text(&tail, l->columns[i].type);
	}
	sl_buf_str(&tail, "})");
	each_run(l->w, "SELECT * FROM read_json(", sl_buf_cstr(&tail), &text);
	int rc = sl_buf_check(&text, "the list of input files", err);
	return rc < 0 ? rc : sl_ingest_write(l->w, sl_buf_cstr(&text), l->w->table_path, &ret->table, err);
}

/* ---- line by line ---------------------------------------------------------------------------------------------------------- */

static bool is_nested(const char *type)
{
	return strchr(type, '[') || sl_str_starts(type, "STRUCT") || sl_str_starts(type, "MAP");
}

/* json_extract_string(raw, '$."name"'), or json_extract for nested types. */
static void value_of(const struct sl_data_column *column, struct sl_buf *out)
{
	SL_AUTO_BUF struct sl_buf path = SL_BUF_INIT(SL_PATH_MAX);

	sl_buf_str(&path, "$.\"");
	for (const char *c = column->name; *c; c++) {
		if (*c == '"' || *c == '\\')
			sl_buf_char(&path, '\\');
		sl_buf_char(&path, *c);
	}
	sl_buf_char(&path, '"');
	sl_buf_str(out, is_nested(column->type) ? "json_extract(raw, " : "json_extract_string(raw, ");
	sl_sql_quote_text(out, sl_buf_cstr(&path));
	sl_buf_char(out, ')');
}

/* WITH raws AS (file, line, raw), judged AS (... and the reason, null for a good line). Blank lines are nothing. */
static void judge_lines(const struct lines *l, struct sl_buf *out)
{
	sl_buf_str(out, "WITH raws AS (");
	for (size_t i = 0; i < l->w->job->file_count; i++) {
		sl_buf_str(out, i ? " UNION ALL SELECT " : "SELECT ");
		sl_sql_quote_text(out, l->w->names[i]);
		sl_buf_str(out, " AS file, row_number() OVER () AS line, raw FROM read_csv(");
		sl_sql_quote_text(out, l->w->objects[i]);
		sl_buf_printf(
			out,
			", auto_detect = false, columns = {'raw': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', "
			"header = false, "
			"ignore_errors = true, compression = '%s')",
			l->w->compressions[i]);
	}
	sl_buf_str(out, "), judged AS (SELECT file, line, raw, CASE WHEN NOT json_valid(raw) THEN 'not JSON' "
		"WHEN json_type(raw) <> 'OBJECT' THEN 'not a JSON object'");
	for (size_t i = 0; i < l->column_count; i++) {
		const struct sl_data_column *column = &l->columns[i];
		sl_buf_str(out, " WHEN ");
		value_of(column, out);
		sl_buf_str(out, " IS NOT NULL AND TRY_CAST(");
		value_of(column, out);
		sl_buf_printf(out, " AS %s) IS NULL THEN '''' || ", column->type);
		value_of(column, out);
		sl_buf_str(out, " || ''' is not a ' || lower(");
		sl_sql_quote_text(out, column->type);
		sl_buf_str(out, ") || ' in column ''' || ");
		sl_sql_quote_text(out, column->name);
		sl_buf_str(out, " || ''''");
	}
	sl_buf_str(out, " END AS reason FROM raws WHERE raw IS NOT NULL AND trim(raw) <> '') ");
}

struct first_line { char *file, *reason; int64_t line, broken, rows; struct sl_arena *arena; };

static int take_line(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct first_line *first = context;

	first->file = sl_engine_text(first->arena, &columns[0], row);
	first->line = columns[1].ints[row];
	first->reason = sl_engine_text(first->arena, &columns[2], row);
	first->broken = columns[3].ints[row];
	first->rows = columns[4].ints[row];
	return first->file && first->reason ? 1 : sl_fail_memory(err);
}

static int write_good(const struct lines *l, const struct sl_buf *judge, struct sl_ingest_result *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	sl_buf_str(&text, sl_buf_cstr(judge));
	sl_buf_str(&text, "SELECT ");
	for (size_t i = 0; i < l->column_count; i++) {
		sl_buf_str(&text, i ? ", CAST(" : "CAST(");
		value_of(&l->columns[i], &text);
		sl_buf_printf(&text, " AS %s) AS ", l->columns[i].type);
		sl_sql_quote_name(&text, l->columns[i].name);
	}
	sl_buf_str(&text, " FROM judged WHERE reason IS NULL ORDER BY file, line");
	int rc = sl_buf_check(&text, "the list of input files", err);
	return rc < 0 ? rc : sl_ingest_write(l->w, sl_buf_cstr(&text), l->w->table_path, &ret->table, err);
}

static int write_broken(const struct lines *l, const struct sl_buf *judge, struct sl_ingest_result *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	sl_buf_str(&text, sl_buf_cstr(judge));
	sl_buf_str(&text, "SELECT file, line, reason, raw FROM judged WHERE reason IS NOT NULL ORDER BY file, line");
	int rc = sl_buf_check(&text, "the list of input files", err);
	if (rc == 0)
		rc = sl_ingest_write(l->w, sl_buf_cstr(&text), l->w->broken_path, &ret->broken, err);
	if (rc == 0)
		ret->broken_rows = ret->broken.files[0].rows;
	return rc;
}

/* `err` holds what the straight way said: it stays when the lines by themselves are sound. */
static int read_lines(struct lines *l, int straight, struct sl_ingest_result *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf judge = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	struct first_line first = {.arena = l->w->arena};

	judge_lines(l, &judge);
	sl_buf_str(&text, sl_buf_cstr(&judge));
	sl_buf_str(
		&text,
		"SELECT file, line, reason, count(*) OVER (), (SELECT count(*) FROM judged) FROM judged WHERE reason IS NOT NULL "
		"ORDER BY file, line LIMIT 1");
	int rc = sl_engine_each(&l->w->engine, sl_buf_cstr(&text), take_line, &first, NULL);
	if (rc <= 0)
		return sl_ingest_blame(l->w, straight, err);
	if (!l->w->job->quarantine)
		return sl_ingest_fail_line(first.file, first.line, 1, first.reason, (uint64_t)first.broken, (uint64_t)first.rows,
					   err);
	rc = write_good(l, &judge, ret, err);
	return rc < 0 ? rc : write_broken(l, &judge, ret, err);
}

int sl_ingest_lines(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err)
{
	struct lines l = {.w = w};
	int rc = find_columns(&l, err);

	if (rc < 0)
		return rc;
	rc = read_all(&l, ret, err);
	if (rc == 0 || rc == SL_E_CANCELLED || rc == SL_E_NO_SPACE || rc == SL_E_NO_MEMORY)
		return rc;
	return read_lines(&l, rc, ret, err);
}

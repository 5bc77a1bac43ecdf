/* Putting rows aside: the table without them, and NAME.quarantine with them and the reason. */
#include <stdio.h>
#include <string.h>

#include "data/check_worker.h"

static bool separates(const struct sl_checking *c) { return c->check->quarantine && !c->settled && (c->fails || *c->positions); }

void sl_check_rows_kept(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_printf(out, "%s AS t", w->source);
	/* ANTI JOIN and not NOT EXISTS, which reads the table three times. */
	for (size_t i = 0; i < w->job->count; i++)
		if (separates(&w->checks[i]) && *w->checks[i].positions)
			sl_buf_printf(out, " ANTI JOIN %s AS s%zu ON s%zu.sl_i = t.file_index AND s%zu.sl_r = t.file_row_number",
				      w->checks[i].positions, i, i, i);
	sl_buf_printf(out, " WHERE NOT (%s)", w->put_aside);
}

/* The names of all checks that put the row aside: concat_ws leaves nulls out. */
static void reason_sql(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_str(out, "concat_ws('; ', NULL"); /* at least one argument, also when no row can be put aside */
	for (size_t i = 0; i < w->job->count; i++) {
		const struct sl_checking *c = &w->checks[i];
		if (!separates(c))
			continue;
		sl_buf_str(out, ", CASE WHEN ");
		if (c->fails)
			sl_buf_printf(out, "%s AND %s", c->where, c->fails);
		else
			sl_buf_printf(out, "s%zu.sl_r IS NOT NULL", i);
		sl_buf_str(out, " THEN ");
		sl_sql_quote_text(out, c->check->name);
		sl_buf_str(out, " END");
	}
	sl_buf_char(out, ')');
}

static void quarantine_sql(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_printf(out, "SELECT %s, ", w->columns);
	reason_sql(w, out);
	sl_buf_str(out, " AS ");
	sl_sql_quote_name(out, w->reason_name);
	sl_buf_str(out, ", NULL::VARCHAR AS ");
	sl_sql_quote_name(out, w->raw_name);
	sl_buf_printf(out, ", file_index AS sl_i, file_row_number AS sl_r FROM %s AS t", w->source);
	for (size_t i = 0; i < w->job->count; i++)
		if (separates(&w->checks[i]) && *w->checks[i].positions)
			sl_buf_printf(out, " LEFT JOIN %s AS s%zu ON s%zu.sl_i = t.file_index AND s%zu.sl_r = t.file_row_number",
				      w->checks[i].positions, i, i, i);
	sl_buf_printf(out, " WHERE (%s)", w->put_aside);
	for (size_t i = 0; i < w->job->count; i++)
		if (separates(&w->checks[i]) && *w->checks[i].positions)
			sl_buf_printf(out, " OR s%zu.sl_r IS NOT NULL", i);
}

/* Lines that ingest could not read have no columns: their text stands in `raw`, their place in the reason. */
static void broken_sql(const struct sl_check_worker *w, struct sl_buf *out)
{
	const struct sl_staged *broken = &w->job->broken;

	sl_buf_str(out, " UNION ALL SELECT ");
	for (size_t i = 0; i < w->job->table.column_count; i++)
		sl_buf_str(out, "NULL, ");
	sl_buf_str(out, "file || ':' || line || ': ' || reason, raw, -1, line FROM read_parquet(");
	sl_sql_quote_text(out, broken->files[0].path);
	sl_buf_char(out, ')');
}

static int write_quarantine(struct sl_check_worker *w, bool some, struct sl_staged *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int64_t rows;

	sl_buf_printf(&text, "SELECT %s, ", w->columns);
	sl_sql_quote_name(&text, w->reason_name);
	sl_buf_str(&text, ", ");
	sl_sql_quote_name(&text, w->raw_name);
	sl_buf_str(&text, " FROM (");
	quarantine_sql(w, &text);
	if (w->job->broken.file_count)
		broken_sql(w, &text);
	sl_buf_printf(&text, ") %s ORDER BY sl_i, sl_r, ", some ? "" : "WHERE false");
	sl_sql_quote_name(&text, w->reason_name);
	const char *path = sl_arena_printf(w->arena, "%s/quarantine.parquet", w->staging);
	int rc = path ? sl_buf_check(&text, "a check", err) : sl_fail_memory(err);
	if (rc < 0 || (rc = sl_engine_write(&w->engine, sl_buf_cstr(&text), path, &rows, err)) < 0)
		return rc;
	ret->column_count = w->job->table.column_count + 2;
	ret->columns = sl_arena_array(w->arena, ret->column_count, sizeof *ret->columns);
	ret->files = sl_arena_array(w->arena, 1, sizeof *ret->files);
	if (!ret->columns || !ret->files)
		return sl_fail_memory(err);
	memcpy(ret->columns, w->job->table.columns, w->job->table.column_count * sizeof *ret->columns);
	ret->columns[ret->column_count - 2] = (struct sl_data_column){w->reason_name, "VARCHAR"};
	ret->columns[ret->column_count - 1] = (struct sl_data_column){w->raw_name, "VARCHAR"};
	ret->files[0] = (struct sl_staged_file){.path = path, .rows = (uint64_t)rows};
	ret->file_count = 1;
	return 0;
}

/* The columns of the version: the file's, but for those that a schema rule makes others. */
static int clean_columns(struct sl_check_worker *w, struct sl_staged *ret, struct sl_buf *out, struct sl_error *err)
{
	size_t count = w->job->table.column_count;

	ret->columns = sl_arena_array(w->arena, count + 1, sizeof *ret->columns);
	ret->column_count = 0;
	if (!ret->columns)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct sl_check_column *changed = &w->changed[i];
		struct sl_data_column *column = &ret->columns[ret->column_count];
		if (changed->dropped)
			continue;
		*column = w->job->table.columns[i];
		sl_buf_str(out, ret->column_count++ ? ", " : "");
		sl_buf_printf(out, changed->sql ? "%s AS " : "%s", changed->sql ? changed->sql : "");
		sl_sql_quote_name(out, column->name);
		column->type = changed->sql ? changed->type : column->type;
	}
	return ret->column_count ? 0 : sl_fail(err, SL_E_FAILED, "the schema rule of '%s' leaves no column", w->job->dataset);
}

static int write_clean(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int64_t rows;

	report->clean = w->job->table;
	sl_buf_str(&text, "SELECT ");
	int rc = clean_columns(w, &report->clean, &text, err);
	sl_buf_str(&text, " FROM ");
	sl_check_rows_kept(w, &text);
	const char *path = sl_arena_printf(w->arena, "%s/clean.parquet", w->staging);
	struct sl_staged_file *file = sl_arena_alloc(w->arena, sizeof *file);
	rc = rc < 0 ? rc : path && file ? sl_buf_check(&text, "a check", err) : sl_fail_memory(err);
	if (rc < 0 || (rc = sl_engine_write(&w->engine, sl_buf_cstr(&text), path, &rows, err)) < 0)
		return rc;
	*file = (struct sl_staged_file){.path = path, .rows = (uint64_t)rows};
	report->clean.files = file;
	report->clean.file_count = 1;
	report->clean_rows = (uint64_t)rows;
	return 0;
}

int sl_check_separate(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err)
{
	uint64_t broken = w->job->broken.file_count ? w->job->broken.files[0].rows : 0;
	bool wanted = false, some = false;
	int rc = 0;

	report->clean = w->job->table;
	for (size_t i = 0; i < w->job->count; i++) {
		wanted |= w->checks[i].check->quarantine;
		some |= separates(&w->checks[i]) && w->checks[i].result->failing;
	}
	if ((!wanted && !w->reshaped) || !w->staging)
		return 0;
	if ((some || w->reshaped) && (rc = write_clean(w, report, err)) < 0)
		return rc;
	if (!wanted)
		return 0;
	report->quarantined_rows = report->rows - report->clean_rows + broken;
	return write_quarantine(w, some || broken, &report->quarantine, err);
}

#include "data/engine.h"

#include <stdio.h>
#include <string.h>

static void on_progress(void *context, double fraction)
{
	const struct sl_engine *engine = context;

	engine->work->progress(engine->work->context, fraction, engine->what);
}

int sl_engine_open(struct sl_engine *engine, struct sl_sql_options *options, const struct sl_work *work, const char *what,
		   struct sl_error *err)
{
	*engine = (struct sl_engine){.work = work, .what = what};
	options->threads = work->threads;
	options->memory_bytes = work->memory_bytes;
	options->temp_bytes = work->temp_bytes;
	options->cancel = work->cancel;
	options->progress = work->progress ? on_progress : NULL;
	options->progress_context = engine;
	return sl_sql_open(options, &engine->sql, err);
}

void sl_engine_done(struct sl_engine *engine) { sl_sql_closep(&engine->sql); }

int sl_engine_query(struct sl_engine *engine, const char *text, struct sl_sql_result **ret, struct sl_error *err)
{
	return sl_sql_query(engine->sql, text, engine->params, engine->param_count, "", ret, err);
}

int sl_engine_run(struct sl_engine *engine, const char *text, struct sl_error *err)
{
	return sl_sql_run(engine->sql, text, engine->params, engine->param_count, "", NULL, err);
}

int sl_engine_write(struct sl_engine *engine, const char *select, const char *path, int64_t *ret_rows, struct sl_error *err)
{
	return sl_sql_write(engine->sql, select, engine->params, engine->param_count, "", path, ret_rows, err);
}

int sl_engine_each(struct sl_engine *engine, const char *text, sl_engine_row *each, void *context, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = sl_engine_query(engine, text, &result, err);

	if (rc < 0)
		return rc;
	while ((rc = sl_sql_next(result, &columns, &rows, err)) == 1)
		for (size_t r = 0; r < rows; r++)
			if ((rc = each(context, columns, r, err)) != 0)
				return rc;
	return rc;
}

int sl_engine_ints(struct sl_engine *engine, const char *text, int64_t *ret, size_t count, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = sl_engine_query(engine, text, &result, err);

	if (rc < 0 || (rc = sl_sql_next(result, &columns, &rows, err)) < 0)
		return rc;
	if (rc == 0 || sl_sql_columns(result) < count)
		return sl_fail(err, SL_E_BUG, "a statement of ours gave no row of %zu numbers", count);
	for (size_t i = 0; i < count; i++)
		ret[i] = columns[i].valid && !columns[i].valid[0] ? 0 : columns[i].ints[0];
	return 0;
}

void sl_engine_list(struct sl_buf *out, const char *const *texts, size_t count)
{
	sl_buf_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, texts[i]);
	}
	sl_buf_char(out, ']');
}

char *sl_engine_text(struct sl_arena *arena, const struct sl_sql_column *column, size_t row)
{
	if (column->valid && !column->valid[row])
		return sl_arena_strdup(arena, "");
	return sl_arena_strndup(arena, column->texts[row].data, column->texts[row].len);
}

char *sl_grouped(uint64_t number, char out[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), to = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[to++] = ',';
		out[to++] = digits[i];
	}
	out[to] = '\0';
	return out;
}

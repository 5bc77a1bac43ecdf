/* increasing, decreasing: a row fails when its value is on the wrong side of the value before it. */
#include "data/check_worker.h"

int sl_check_order(struct sl_check_worker *w, size_t index, struct sl_error *err)
{
	struct sl_checking *c = &w->checks[index];
	const struct sl_check *check = c->check;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), name = SL_BUF_INIT(1 << 20), rows = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	const char *wrong = check->kind == SL_CHECK_INCREASING ? "<" : ">";
	int64_t counts[2];

	sl_sql_quote_name(&name, check->columns.items[0]);
	sl_buf_printf(&rows, " FROM %s WHERE %s AND NOT (%s) AND %s IS NOT NULL", w->source, c->where, w->put_aside, sl_buf_cstr(&name));
	sl_buf_printf(&text, "CREATE TABLE sl_found_%zu AS SELECT sl_i, sl_r FROM (SELECT file_index AS sl_i, file_row_number AS sl_r, %s %s%s lag(%s) OVER (",
		      index, sl_buf_cstr(&name), wrong, check->strict ? "=" : "", sl_buf_cstr(&name));
	for (size_t i = 0; i < check->keys.count; i++) {
		sl_buf_str(&text, i ? ", " : "PARTITION BY ");
		sl_sql_quote_name(&text, check->keys.items[i]);
	}
	sl_buf_printf(&text, " ORDER BY file_index, file_row_number) AS sl_wrong%s) WHERE sl_wrong", sl_buf_cstr(&rows));
	int rc = sl_buf_check(&text, "a check", err);
	if (rc < 0 || (rc = sl_engine_run(&w->engine, sl_buf_cstr(&text), err)) < 0)
		return rc;
	sl_buf_clear(&text);
	sl_buf_printf(&text, "SELECT count(*), (SELECT count(*) FROM sl_found_%zu)%s", index, sl_buf_cstr(&rows));
	if ((rc = sl_engine_ints(&w->engine, sl_buf_cstr(&text), counts, 2, err)) < 0)
		return rc;
	c->result->considered = (uint64_t)counts[0];
	c->result->failing = (uint64_t)counts[1];
	c->positions = sl_arena_printf(w->arena, "sl_found_%zu", index);
	return c->positions ? 0 : sl_fail_memory(err);
}

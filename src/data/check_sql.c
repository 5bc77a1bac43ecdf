/* Checks as SQL. Every text of the user's is quoted; only `where` and the query of a `sql` check are SQL of the user's own, and
 * the session can read nothing but this table. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/check_worker.h"

const struct sl_data_column *sl_check_column(const struct sl_check_worker *w, const char *name)
{
	for (size_t i = 0; i < w->job->table.column_count; i++)
		if (strcmp(w->job->table.columns[i].name, name) == 0)
			return &w->job->table.columns[i];
	return NULL;
}

char *sl_check_place(const struct sl_check *check, char out[64])
{
	snprintf(out, 64, "sluice.yaml:%d:%d", check->mark.line, check->mark.column);
	return out;
}

char *sl_check_keep_text(struct sl_check_worker *w, const struct sl_buf *text, struct sl_error *err)
{
	char *copy = sl_buf_check(text, "a check", err) < 0 ? NULL : sl_arena_strndup(w->arena, sl_buf_cstr(text), text->len);

	if (!copy && !text->failed)
		sl_fail_memory(err);
	return copy;
}

/* The check fails as a whole: no row can be looked at. */
static int settle(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err, const char *format, ...)
	SL_PRINTF(4, 5);
static int settle(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err, const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	c->settled = true;
	c->result->state = c->check->warn_only ? SL_CHECK_WARNED : SL_CHECK_FAILED;
	c->result->message = sl_arena_strdup(w->arena, message);
	return c->result->message ? 0 : sl_fail_memory(err);
}

static int settle_absent(struct sl_check_worker *w, struct sl_checking *c, const char *name, struct sl_error *err)
{
	const char **names = sl_arena_array(w->arena, w->job->table.column_count, sizeof *names);

	if (!names)
		return sl_fail_memory(err);
	for (size_t i = 0; i < w->job->table.column_count; i++)
		names[i] = w->job->table.columns[i].name;
	const char *nearest = sl_str_nearest(name, names, w->job->table.column_count);
	if (nearest)
		return settle(w, c, err, "there is no column '%s'; the nearest is '%s'", name, nearest);
	return settle(w, c, err, "there is no column '%s'", name);
}

/* ---- columns and types
 * ------------------------------------------------------------------------------------------------------ */

/* The engine's spelling of a type that the user spelt his way: "text" is VARCHAR. */
static int spell_type(struct sl_check_worker *w, const struct sl_check *check, const char *type, const char **ret,
		      struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16);
	char place[64];

	/* Only what types are made of may come into the statement. */
	if (strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ (),[]\"'") != strlen(type))
		return sl_fail_at(err, SL_E_INVALID, sl_check_place(check, place), "'%s' is not a type", type);
	sl_buf_printf(&text, "SELECT CAST(NULL AS %s)", type);
	if (sl_engine_query(&w->engine, sl_buf_cstr(&text), &result, NULL) < 0 || sl_sql_columns(result) != 1) {
		sl_fail_at(err, SL_E_INVALID, sl_check_place(check, place), "'%s' is not a type", type);
		return sl_error_hint(err, "types are bigint, integer, double, text, boolean, date, timestamp, decimal(18,3) ...");
	}
	*ret = sl_arena_strdup(w->arena, sl_sql_column_type(result, 0));
	return *ret ? 0 : sl_fail_memory(err);
}

static int check_columns(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;

	for (size_t i = 0; i < check->columns.count && !c->settled; i++) {
		const struct sl_data_column *column = sl_check_column(w, check->columns.items[i]);
		const char *type = NULL;
		int rc;
		if (!column) {
			if ((rc = settle_absent(w, c, check->columns.items[i], err)) < 0)
				return rc;
			continue;
		}
		if (i >= check->types.count || !*check->types.items[i])
			continue;
		if ((rc = spell_type(w, check, check->types.items[i], &type, err)) < 0)
			return rc;
		if (strcmp(type, column->type) != 0
		    && (rc = settle(w, c, err, "column '%s' is %s, not %s", column->name, column->type, type)) < 0)
			return rc;
	}
	c->settled = true;
	return 0;
}

/* ---- rows
 * --------------------------------------------------------------------------------------------------------------------- */

static void value_sql(const struct sl_value *value, struct sl_buf *out)
{
	switch (value->type) {
	case SL_VALUE_BOOL:
		sl_buf_str(out, value->i ? "true" : "false");
		break;
	case SL_VALUE_INT:
		sl_buf_printf(out, "%lld", (long long)value->i);
		break;
	case SL_VALUE_DOUBLE:
		sl_buf_printf(out, "%.17g::DOUBLE", value->d);
		break;
	case SL_VALUE_TIME:
		sl_buf_printf(out, "make_timestamp(%lld)", (long long)value->i);
		break;
	case SL_VALUE_NULL:
		sl_buf_str(out, "NULL");
		break;
	case SL_VALUE_TEXT:
	case SL_VALUE_JSON:
		sl_sql_quote_text(out, value->text);
	}
}

static bool is_float(const char *type) { return strcmp(type, "FLOAT") == 0 || strcmp(type, "DOUBLE") == 0; }

static bool is_number(const char *type)
{
	static const char *const names[] = {"TINYINT",	"SMALLINT", "INTEGER", "BIGINT",   "UTINYINT", "USMALLINT",
					    "UINTEGER", "UBIGINT",  "HUGEINT", "UHUGEINT", "FLOAT",    "DOUBLE"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		if (strcmp(names[i], type) == 0)
			return true;
	return sl_str_starts(type, "DECIMAL");
}

static bool is_time(const char *type) { return strcmp(type, "DATE") == 0 || sl_str_starts(type, "TIMESTAMP"); }

/* A bound and a column that cannot be compared: "" when they can. */
static const char *cannot_compare(const struct sl_value *bound, const char *type)
{
	bool number = bound->type == SL_VALUE_INT || bound->type == SL_VALUE_DOUBLE;

	if (number && !is_number(type))
		return "a number";
	return bound->type == SL_VALUE_TIME && !is_time(type) ? "a time" : "";
}

/* Nulls are not looked at: that is what not_null is for. NaN is beyond every bound. */
static void between_sql(const struct sl_check *check, const struct sl_data_column *column, struct sl_buf *out)
{
	const char *or_word = "";

	if (check->has_min) {
		sl_sql_quote_name(out, column->name);
		sl_buf_str(out, " < ");
		value_sql(&check->min, out);
		or_word = " OR ";
	}
	if (check->has_max) {
		sl_buf_str(out, or_word);
		sl_sql_quote_name(out, column->name);
		sl_buf_str(out, " > ");
		value_sql(&check->max, out);
		or_word = " OR ";
	}
	if (is_float(column->type)) {
		sl_buf_printf(out, "%sisnan(", or_word);
		sl_sql_quote_name(out, column->name);
		sl_buf_char(out, ')');
	}
}

static void row_sql(const struct sl_check *check, const struct sl_data_column *column, struct sl_buf *out)
{
	switch (check->kind) {
	case SL_CHECK_NOT_NULL:
		sl_sql_quote_name(out, column->name);
		sl_buf_str(out, " IS NULL");
		break;
	case SL_CHECK_BETWEEN:
		between_sql(check, column, out);
		break;
	case SL_CHECK_IN_SET:
		sl_sql_quote_name(out, column->name);
		sl_buf_str(out, " NOT IN (");
		for (size_t i = 0; i < check->value_count; i++) {
			sl_buf_str(out, i ? ", " : "");
			value_sql(&check->values[i], out);
		}
		sl_buf_char(out, ')');
		break;
	default:
		sl_buf_str(out, "NOT regexp_full_match(");
		sl_sql_quote_name(out, column->name);
		sl_buf_str(out, "::VARCHAR, ");
		sl_sql_quote_text(out, check->text);
		sl_buf_char(out, ')');
	}
}

/* Settles the check when one of its columns is not there or cannot be compared. */
static int check_operands(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;

	for (size_t i = 0; i < check->columns.count; i++) {
		const struct sl_data_column *column = sl_check_column(w, check->columns.items[i]);
		if (!column)
			return settle_absent(w, c, check->columns.items[i], err);
		if (check->kind != SL_CHECK_BETWEEN)
			continue;
		const char *against = check->has_min ? cannot_compare(&check->min, column->type) : "";
		if (!*against && check->has_max)
			against = cannot_compare(&check->max, column->type);
		if (*against)
			return settle(w, c, err, "column '%s' is %s, which cannot be compared with %s", column->name,
				      column->type, against);
	}
	return 0;
}

static int plan_rows(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf fails = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = check_operands(w, c, err);

	if (rc < 0 || c->settled)
		return rc;
	/* Null (a null column, a null comparison) means that the row does not fail. */
	sl_buf_str(&fails, "coalesce(");
	for (size_t i = 0; i < c->check->columns.count; i++) {
		sl_buf_str(&fails, i ? " OR (" : "(");
		row_sql(c->check, sl_check_column(w, c->check->columns.items[i]), &fails);
		sl_buf_char(&fails, ')');
	}
	sl_buf_str(&fails, ", false)");
	c->fails = sl_check_keep_text(w, &fails, err);
	return c->fails ? 0 : SL_E_NO_MEMORY;
}

/* Rows in which every column of the key is null are left out: they have no key. */
static int plan_unique(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf key = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), where = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = check_operands(w, c, err);

	if (rc < 0 || c->settled)
		return rc;
	sl_buf_printf(&where, "(%s AND (", c->where);
	for (size_t i = 0; i < c->check->columns.count; i++) {
		sl_buf_str(&key, i ? ", " : "");
		sl_sql_quote_name(&key, c->check->columns.items[i]);
		sl_buf_str(&where, i ? " OR " : "");
		sl_sql_quote_name(&where, c->check->columns.items[i]);
		sl_buf_str(&where, " IS NOT NULL");
	}
	sl_buf_str(&where, "))");
	c->key = sl_check_keep_text(w, &key, err);
	c->where = sl_check_keep_text(w, &where, err);
	return c->key && c->where ? 0 : SL_E_NO_MEMORY;
}

/* Lets the engine bind the check alone, so that a wrong expression is told at its place. */
static int prove(struct sl_check_worker *w, const struct sl_checking *c, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	char place[64];

	sl_buf_printf(&text, "EXPLAIN SELECT coalesce((%s)::BOOLEAN, false) AND (%s) FROM %s LIMIT 0", c->where,
		      c->fails ? c->fails : "true", w->source);
	int rc = sl_engine_query(&w->engine, sl_buf_cstr(&text), &result, err);
	if (rc == 0 || rc == SL_E_CANCELLED || rc == SL_E_NO_MEMORY)
		return rc;
	sl_error_context(err, "check %s", c->check->name);
	if (err) {
		err->code = SL_E_INVALID;
		snprintf(err->where, sizeof err->where, "%s", sl_check_place(c->check, place));
	}
	return SL_E_INVALID;
}

static int plan_one(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	SL_AUTO_BUF struct sl_buf where = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = 0;

	/* A line end, so that a comment in the expression ends there. */
	sl_buf_printf(&where, *check->where ? "coalesce((%s\n)::BOOLEAN, false)" : "true%s", check->where);
	if (!(c->where = sl_check_keep_text(w, &where, err)))
		return SL_E_NO_MEMORY;
	switch (check->kind) {
	case SL_CHECK_COLUMNS:
		return check_columns(w, c, err);
	case SL_CHECK_ROWS:
	case SL_CHECK_SQL:
		return 0;
	case SL_CHECK_UNIQUE:
		rc = plan_unique(w, c, err);
		break;
	default:
		rc = plan_rows(w, c, err);
	}
	return rc < 0 || c->settled ? rc : prove(w, c, err);
}

int sl_check_plan(struct sl_check_worker *w, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf aside = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	for (size_t i = 0; i < w->job->count; i++) {
		struct sl_checking *c = &w->checks[i];
		int rc = plan_one(w, c, err);
		if (rc < 0)
			return rc;
		if (c->check->quarantine && c->fails && !c->settled)
			sl_buf_printf(&aside, "%s(%s AND %s)", aside.len ? " OR " : "", c->where, c->fails);
	}
	w->put_aside = aside.len ? sl_check_keep_text(w, &aside, err) : "false";
	return w->put_aside ? 0 : SL_E_NO_MEMORY;
}

/* Planning: checks as SQL. Every text of the user's is quoted; only `where`, `holds` and the query of a `sql` check are SQL of the
 * user's own, and the session can read nothing but this table and those that its checks name. */
#include <math.h>
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

int sl_check_settle(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err, const char *format, ...)
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

int sl_check_settle_absent(struct sl_check_worker *w, struct sl_checking *c, const char *name, struct sl_error *err)
{
	const char **names = sl_arena_array(w->arena, w->job->table.column_count, sizeof *names);

	if (c->check->if_present) { /* and so it passes, as it stands */
		c->settled = true;
		return 0;
	}
	if (!names)
		return sl_fail_memory(err);
	for (size_t i = 0; i < w->job->table.column_count; i++)
		names[i] = w->job->table.columns[i].name;
	const char *nearest = sl_str_nearest(name, names, w->job->table.column_count);
	if (nearest)
		return sl_check_settle(w, c, err, "there is no column '%s'; the nearest is '%s'", name, nearest);
	return sl_check_settle(w, c, err, "there is no column '%s'", name);
}

int sl_check_need_columns(struct sl_check_worker *w, struct sl_checking *c, const struct sl_names *names, struct sl_error *err)
{
	for (size_t i = 0; i < names->count; i++)
		if (!sl_check_column(w, names->items[i]))
			return sl_check_settle_absent(w, c, names->items[i], err);
	return 0;
}

const struct sl_sql_table *sl_check_other(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	for (size_t i = 0; i < w->job->table_count; i++)
		if (strcmp(w->job->tables[i].name, c->check->other) == 0)
			return &w->job->tables[i];
	sl_check_settle(w, c, err, "the dataset '%s' has no version to compare with", c->check->other);
	return NULL;
}

/* ---- types and values ------------------------------------------------------------------------------------------------- */

bool sl_check_is_float(const char *type) { return strcmp(type, "FLOAT") == 0 || strcmp(type, "DOUBLE") == 0; }

static bool is_number(const char *type)
{
	static const char *const names[] = {"TINYINT",	"SMALLINT", "INTEGER", "BIGINT",   "UTINYINT", "USMALLINT",
					    "UINTEGER", "UBIGINT",  "HUGEINT", "UHUGEINT", "FLOAT",    "DOUBLE"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		if (strcmp(names[i], type) == 0)
			return true;
	return sl_str_starts(type, "DECIMAL") && !sl_str_ends(type, "]");
}

enum sl_check_class sl_check_class(const char *type)
{
	if (is_number(type))
		return SL_CLASS_NUMBER;
	if (strcmp(type, "DATE") == 0 || (sl_str_starts(type, "TIMESTAMP") && !sl_str_ends(type, "]")))
		return SL_CLASS_TIME;
	if (strcmp(type, "BOOLEAN") == 0)
		return SL_CLASS_BOOL;
	return strcmp(type, "VARCHAR") == 0 || (sl_str_starts(type, "ENUM") && !sl_str_ends(type, "]")) ? SL_CLASS_TEXT : SL_CLASS_OTHER;
}

void sl_check_value_sql(const struct sl_value *value, struct sl_buf *out)
{
	switch (value->type) {
	case SL_VALUE_BOOL:
		sl_buf_str(out, value->i ? "true" : "false");
		break;
	case SL_VALUE_INT:
		sl_buf_printf(out, "%lld", (long long)value->i);
		break;
	case SL_VALUE_DOUBLE:
		if (isfinite(value->d))
			sl_buf_printf(out, "%.17g::DOUBLE", value->d);
		else
			sl_buf_printf(out, "'%s'::DOUBLE", isnan(value->d) ? "nan" : value->d > 0 ? "inf" : "-inf");
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

static bool same_class(const struct sl_value *value, enum sl_check_class class)
{
	switch (value->type) {
	case SL_VALUE_INT:
	case SL_VALUE_DOUBLE:
		return class == SL_CLASS_NUMBER;
	case SL_VALUE_TIME:
		return class == SL_CLASS_TIME;
	case SL_VALUE_BOOL:
		return class == SL_CLASS_BOOL;
	default:
		return class == SL_CLASS_TEXT;
	}
}

void sl_check_set_sql(const struct sl_check *check, const struct sl_data_column *column, bool not, struct sl_buf *out)
{
	enum sl_check_class class = sl_check_class(column->type);
	bool same = true;

	for (size_t i = 0; i < check->value_count; i++)
		same &= same_class(&check->values[i], class);
	sl_sql_quote_name(out, column->name);
	sl_buf_printf(out, "%s%s IN (", same ? "" : "::VARCHAR", not ? " NOT" : "");
	for (size_t i = 0; i < check->value_count; i++) {
		sl_buf_str(out, i ? ", (" : "(");
		sl_check_value_sql(&check->values[i], out);
		sl_buf_str(out, same ? ")" : ")::VARCHAR");
	}
	sl_buf_char(out, ')');
}

double sl_check_bound(const struct sl_value *value) { return value->type == SL_VALUE_DOUBLE ? value->d : (double)value->i; }

bool sl_check_within(const struct sl_check *check, double value)
{
	double min = sl_check_bound(&check->min), max = sl_check_bound(&check->max);

	return !isnan(value) && (!check->has_min || (check->above ? value > min : value >= min))
		&& (!check->has_max || (check->below ? value < max : value <= max));
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

/* Rows in which every column of the key is null are left out: they have no key. */
static int plan_unique(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf key = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), where = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = sl_check_need_columns(w, c, &c->check->columns, err);

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

static int plan_order(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	int rc = sl_check_need_columns(w, c, &c->check->columns, err);

	return rc < 0 || c->settled ? rc : sl_check_need_columns(w, c, &c->check->keys, err);
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

static int plan_by_kind(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	enum sl_check_kind kind = c->check->kind;

	if (kind == SL_CHECK_UNIQUE)
		return plan_unique(w, c, err);
	if (kind == SL_CHECK_INCREASING || kind == SL_CHECK_DECREASING)
		return plan_order(w, c, err);
	if (sl_check_by_row(kind))
		return sl_check_plan_row(w, c, err);
	if (kind == SL_CHECK_ROWS || kind == SL_CHECK_SQL)
		return 0;
	return kind < SL_CHECK_MEAN ? sl_check_plan_table(w, c, err) : sl_check_plan_number(w, c, err);
}

static int plan_one(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	SL_AUTO_BUF struct sl_buf where = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	/* A line end, so that a comment in the expression ends there. */
	sl_buf_printf(&where, *check->where ? "coalesce((%s\n)::BOOLEAN, false)" : "true%s", check->where);
	if (!(c->where = sl_check_keep_text(w, &where, err)))
		return SL_E_NO_MEMORY;
	int rc = plan_by_kind(w, c, err);
	return rc < 0 || c->settled || (!c->fails && !*check->where && !c->key) ? rc : prove(w, c, err);
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

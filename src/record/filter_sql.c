#include "record/filter_sql.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- building ------------------------------------------------------------------------------------------------------- */

int sl_select_init(struct sl_select *sql, struct sl_arena *arena, struct sl_error *err)
{
	*sql = (struct sl_select){.text = SL_BUF_INIT(SL_SELECT_BYTES_MAX), .arena = arena};
	sql->values = sl_arena_array(arena, SL_SELECT_VALUES_MAX, sizeof *sql->values);
	return sql->values ? 0 : sl_fail_memory(err);
}

void sl_select_done(struct sl_select *sql) { sl_buf_done(&sql->text); }

void sl_select_add(struct sl_select *sql, const char *text) { sl_buf_str(&sql->text, text); }

static void bind(struct sl_select *sql, struct sl_meta_value value)
{
	if (sql->count == SL_SELECT_VALUES_MAX) {
		sql->text.failed = SL_E_TOO_LARGE;
		return;
	}
	sql->values[sql->count++] = value;
	sl_buf_printf(&sql->text, "?%zu", sql->count);
}

void sl_select_text(struct sl_select *sql, const char *value) { bind(sql, (struct sl_meta_value){.type = 's', .s = value}); }
void sl_select_int(struct sl_select *sql, int64_t value) { bind(sql, (struct sl_meta_value){.type = 'i', .i = value}); }
void sl_select_double(struct sl_select *sql, double value) { bind(sql, (struct sl_meta_value){.type = 'd', .d = value}); }

int sl_select_query(struct sl_select *sql, struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err)
{
	int rc = sl_buf_check(&sql->text, "the search", err);
	return rc ? rc : sl_meta_query_values(meta, ret, err, sl_buf_cstr(&sql->text), sql->values, sql->count);
}

/* ---- comparisons ---------------------------------------------------------------------------------------------------- */

/* LIKE, which is case-sensitive for MLflow, as GLOB: % is *, _ is ?, and GLOB's own signs stand for themselves in brackets. */
static const char *glob_of(struct sl_arena *arena, const char *pattern)
{
	char *out = sl_arena_alloc(arena, strlen(pattern) * 3 + 1), *to = out;
	for (; out && *pattern; pattern++) {
		if (strchr("*?[", *pattern))
			to += sprintf(to, "[%c]", *pattern);
		else
			*to++ = *pattern == '%' ? '*' : *pattern == '_' ? '?' : *pattern;
	}
	return out;
}

static void add_number(struct sl_select *sql, double number)
{
	if (number == floor(number) && fabs(number) < 9e15)
		sl_select_int(sql, (int64_t)number);
	else
		sl_select_double(sql, number);
}

static const char *stored(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql, const char *text)
{
	return f->entity == SL_ENTITY_ATTRIBUTE && tables->stored ? tables->stored(sql->arena, f->attribute, text) : text;
}

static void add_list(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	sl_select_add(sql, f->op == SL_OP_IN ? " IN (" : " NOT IN (");
	for (size_t i = 0; i < f->list_count; i++) {
		sl_select_add(sql, i ? ", " : "");
		sl_select_text(sql, stored(f, tables, sql, f->list[i]));
	}
	sl_select_add(sql, ")");
}

void sl_filter_condition_sql(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql,
	const char *column)
{
	static const char *const SIGNS[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
	sl_select_add(sql, column);
	if (f->op == SL_OP_IN || f->op == SL_OP_NOT_IN) {
		add_list(f, tables, sql);
	} else if (f->op == SL_OP_LIKE) {
		sl_select_add(sql, " GLOB ");
		sl_select_text(sql, glob_of(sql->arena, f->text));
	} else if (f->op == SL_OP_ILIKE) {
		sl_select_add(sql, " LIKE ");
		sl_select_text(sql, f->text);
	} else {
		sl_select_add(sql, SIGNS[f->op]);
		if (f->numeric)
			add_number(sql, f->number);
		else
			sl_select_text(sql, stored(f, tables, sql, f->text));
	}
}

static void add_keyed(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql, const char *from)
{
	sl_select_add(sql, f->op == SL_OP_NULL ? "NOT EXISTS (" : "EXISTS (");
	sl_select_add(sql, from);
	sl_select_text(sql, f->key);
	if (f->op != SL_OP_NULL && f->op != SL_OP_NOT_NULL) {
		sl_select_add(sql, " AND (");
		sl_filter_condition_sql(f, tables, sql, "value");
		sl_select_add(sql, f->entity == SL_ENTITY_METRIC && f->op == SL_OP_NE ? " OR value IS NULL)" : ")"); /* a NaN differs */
	}
	sl_select_add(sql, ")");
}

static void add_comparison(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	switch (f->entity) {
	case SL_ENTITY_ATTRIBUTE: sl_filter_condition_sql(f, tables, sql, tables->attributes[f->attribute]); break;
	case SL_ENTITY_METRIC: add_keyed(f, tables, sql, tables->metric); break;
	case SL_ENTITY_PARAM: add_keyed(f, tables, sql, tables->param); break;
	case SL_ENTITY_TAG: add_keyed(f, tables, sql, tables->tag); break;
	case SL_ENTITY_DATASET:
		sl_select_add(sql, "EXISTS (");
		sl_select_add(sql, tables->dataset);
		sl_select_add(sql, " AND ");
		sl_filter_condition_sql(f, tables, sql, tables->datasets[f->attribute]);
		sl_select_add(sql, ")");
		break;
	case SL_ENTITY_SPAN: case SL_ENTITY_FEEDBACK: case SL_ENTITY_EXPECTATION: case SL_ENTITY_ISSUE: assert(false); /* tables->own */
	}
}

void sl_filter_sql(const struct sl_filter *filter, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	if (filter->type == SL_FILTER_COMPARE) {
		if (tables->own && tables->own(filter, tables, sql))
			return;
		add_comparison(filter, tables, sql);
		return;
	}
	sl_select_add(sql, "(");
	for (const struct sl_filter *f = filter->first; f; f = f->next) {
		sl_filter_sql(f, tables, sql);
		if (f->next)
			sl_select_add(sql, filter->type == SL_FILTER_AND ? " AND " : " OR ");
	}
	sl_select_add(sql, ")");
}

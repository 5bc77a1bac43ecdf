/* columns, column_set, column_count, schema: what is known without reading a row. */
#include <stdio.h>
#include <string.h>

#include "data/check_worker.h"
#include "project/column_type.h"

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

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

/* "any integer", "any float" (decimals with it), "any number", "no number". */
static bool in_family(const char *family, const char *type)
{
	bool number = sl_check_class(type) == SL_CLASS_NUMBER, fraction = sl_check_is_float(type) || strncmp(type, "DECIMAL", 7) == 0;

	if (strcmp(family, "no number") == 0)
		return !number;
	return number && (strcmp(family, "any number") == 0 || (strcmp(family, "any float") == 0) == fraction);
}

static int check_columns(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;

	for (size_t i = 0; i < check->columns.count && !c->settled; i++) {
		const struct sl_data_column *column = sl_check_column(w, check->columns.items[i]);
		const char *type = NULL;
		int rc;
		if (!column && check->if_present)
			continue;
		if (!column) {
			if ((rc = sl_check_settle_absent(w, c, check->columns.items[i], err)) < 0)
				return rc;
			continue;
		}
		if (i >= check->types.count || !*check->types.items[i])
			continue;
		if (sl_column_family(check->types.items[i])) {
			if (!in_family(check->types.items[i], column->type)
			    && (rc = sl_check_settle(w, c, err, "column '%s' is %s, not %s", column->name, column->type, check->types.items[i])) < 0)
				return rc;
			continue;
		}
		if ((rc = spell_type(w, check, check->types.items[i], &type, err)) < 0)
			return rc;
		if (strcmp(type, column->type) != 0
		    && (rc = sl_check_settle(w, c, err, "column '%s' is %s, not %s", column->name, column->type, type)) < 0)
			return rc;
	}
	return 0;
}

static bool lists(const struct sl_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

/* The columns that the set names, in the table's order, must stand in the set's order. */
static int check_column_set(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_staged *table = &w->job->table;
	const struct sl_names *names = &c->check->columns;
	int rc = sl_check_need_columns(w, c, names, err);
	size_t next = 0;

	for (size_t i = 0; i < table->column_count && rc == 0 && !c->settled; i++) {
		const char *name = table->columns[i].name;
		if (!lists(names, name)) {
			rc = c->check->strict && !lists(&c->check->keys, name) ? sl_check_settle(w, c, err, "column '%s' is not among those that are asked for", name) : 0;
			continue;
		}
		if (c->check->ordered && strcmp(names->items[next], name) != 0)
			rc = sl_check_settle(w, c, err, "column '%s' stands where '%s' is asked for", name, names->items[next]);
		next++;
	}
	return rc;
}

static int check_column_count(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	double count = (double)w->job->table.column_count;

	c->result->has_observed = true;
	c->result->observed = count;
	return sl_check_within(c->check, count) ? 0 : sl_check_settle(w, c, err, "the table has %.0f columns", count);
}

/* ---- schema rules ----------------------------------------------------------------------------------------------------- */

static const struct sl_data_column *column_before(const struct sl_check_job *job, const char *name)
{
	for (size_t i = 0; i < job->previous_column_count; i++)
		if (strcmp(job->previous_columns[i].name, name) == 0)
			return &job->previous_columns[i];
	return NULL;
}

static bool rule_is(const char *rule, const char *name) { return strcmp(rule, name) == 0; }

/* A column that was not there: discard_* leave it out; with discard_row, rows that have a value in it are put aside. */
static int new_column(struct sl_check_worker *w, struct sl_checking *c, size_t at, struct sl_buf *fails, struct sl_error *err)
{
	const char *name = w->job->table.columns[at].name, *rule = c->check->text;

	if (rule_is(rule, "freeze"))
		return sl_check_settle(w, c, err, "column '%s' is new", name);
	if (rule_is(rule, "evolve"))
		return 0;
	w->changed[at].dropped = w->reshaped = true;
	if (rule_is(rule, "discard_row")) {
		sl_buf_str(fails, fails->len ? " OR " : "");
		sl_sql_quote_name(fails, name);
		sl_buf_str(fails, " IS NOT NULL");
	}
	return 0;
}

/* A column of another type: discard_* keep the type, and null what it cannot hold; with discard_row such rows are put aside. */
static int changed_type(struct sl_check_worker *w, struct sl_checking *c, size_t at, const char *before, struct sl_buf *fails,
			struct sl_error *err)
{
	const struct sl_data_column *column = &w->job->table.columns[at];
	SL_AUTO_BUF struct sl_buf cast = SL_BUF_INIT(1 << 20);

	if (rule_is(c->check->other, "freeze"))
		return sl_check_settle(w, c, err, "column '%s' is %s, and was %s", column->name, column->type, before);
	if (rule_is(c->check->other, "evolve"))
		return 0;
	sl_buf_str(&cast, "TRY_CAST(");
	sl_sql_quote_name(&cast, column->name);
	sl_buf_printf(&cast, " AS %s)", before);
	w->changed[at].sql = sl_check_keep_text(w, &cast, err);
	w->changed[at].type = before;
	w->reshaped = true;
	if (rule_is(c->check->other, "discard_row")) {
		sl_buf_str(fails, fails->len ? " OR " : "");
		sl_sql_quote_name(fails, column->name);
		sl_buf_printf(fails, " IS NOT NULL AND %s IS NULL", sl_buf_cstr(&cast));
	}
	return w->changed[at].sql ? 0 : SL_E_NO_MEMORY;
}

static int gone_columns(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	for (size_t i = 0; i < w->job->previous_column_count && rule_is(c->check->text, "freeze") && !c->settled; i++) {
		const char *name = w->job->previous_columns[i].name;
		int rc = sl_check_column(w, name) ? 0 : sl_check_settle(w, c, err, "column '%s' is gone", name);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Beside the columns of the version before; the first version is what it is. */
static int check_schema(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_staged *table = &w->job->table;
	SL_AUTO_BUF struct sl_buf fails = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = w->job->previous_column_count ? gone_columns(w, c, err) : 0;

	for (size_t i = 0; i < table->column_count && w->job->previous_column_count && rc == 0 && !c->settled; i++) {
		const struct sl_data_column *before = column_before(w->job, table->columns[i].name);
		if (!before)
			rc = new_column(w, c, i, &fails, err);
		else if (strcmp(before->type, table->columns[i].type) != 0)
			rc = changed_type(w, c, i, before->type, &fails, err);
	}
	if (rc < 0 || c->settled || !fails.len)
		return rc;
	const char *text = sl_check_keep_text(w, &fails, err);
	c->fails = text ? sl_arena_printf(w->arena, "coalesce(%s, false)", text) : NULL;
	return c->fails ? 0 : text ? sl_fail_memory(err) : SL_E_NO_MEMORY;
}

int sl_check_plan_table(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	int rc = 0;

	switch (c->check->kind) {
	case SL_CHECK_COLUMNS:
		rc = check_columns(w, c, err);
		break;
	case SL_CHECK_COLUMN_SET:
		rc = check_column_set(w, c, err);
		break;
	case SL_CHECK_COLUMN_COUNT:
		rc = check_column_count(w, c, err);
		break;
	default:
		rc = check_schema(w, c, err);
	}
	c->settled |= !c->fails;
	return rc;
}

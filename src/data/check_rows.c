/* What fails in a row, as SQL. Null (a null column, a null comparison) means that the row does not fail: that is what not_null is
 * for. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/check_worker.h"

/* ---- formats ---------------------------------------------------------------------------------------------------------- */

#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define H "[0-9A-Fa-f]{1,4}"
/* RFC 4291, 2.2: eight groups, one run of zeros as '::', the last two groups as an IPv4 address. */
#define IPV6                                                                                                                     \
	"((" H ":){7}" H "|(" H ":){1,7}:|(" H ":){1,6}:" H "|(" H ":){1,5}(:" H "){1,2}|(" H ":){1,4}(:" H "){1,3}|(" H ":){1,3}(:" \
	H "){1,4}|(" H ":){1,2}(:" H "){1,5}|" H ":(:" H "){1,6}|:((:" H "){1,7}|:)|(" H ":){6}" IPV4 "|::(" H ":){0,5}" IPV4 "|" H  \
	":(:" H "){0,4}:" IPV4 "|(" H ":){2}(:" H "){0,3}:" IPV4 "|(" H ":){3}(:" H "){0,2}:" IPV4 "|(" H ":){4}(:" H "){0,1}:" IPV4 \
	"|(" H ":){5}:" IPV4 ")"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define CLOCK "([01][0-9]|2[0-3]):[0-5][0-9]"

/* `also`: an expression over the text (named by @) that must be true as well; NULL none. */
static const struct format { const char *name, *pattern, *also; } FORMATS[] = {
	/* The pattern of HTML's <input type=email>, with at least one dot in the domain. */
	{"email", "[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@" LABEL "(\\." LABEL ")+", NULL},
	{"date", "[0-9]{4}-[0-9]{2}-[0-9]{2}", "TRY_CAST(@ AS DATE) IS NOT NULL"},
	/* RFC 3339, section 5.6, with T or a blank between. */
	{"date-time", "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]" CLOCK ":[0-5][0-9](\\.[0-9]+)?([Zz]|[+-]" CLOCK ")", "TRY_CAST(@[1:10] AS DATE) IS NOT NULL"},
	{"time", CLOCK "(:[0-5][0-9](\\.[0-9]+)?)?", NULL},
	{"uuid", "[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", NULL},
	{"ipv4", IPV4, NULL},
	{"ipv6", IPV6, NULL},
	{"ip", "(" IPV4 "|" IPV6 ")", NULL},
	{"json", NULL, "json_valid(@)"},
	{"url", "[A-Za-z][A-Za-z0-9+.-]*://[^\\s/?#]+([/?#]\\S*)?", NULL},
	{"hostname", LABEL "(\\." LABEL ")*", "length(@) <= 253"},
	{"integer", "[+-]?[0-9]+", NULL},
	{"number", "[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?", NULL},
	{"hex", "[0-9A-Fa-f]+", NULL},
	{"base64", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", NULL},
};

static void text_sql(const char *name, struct sl_buf *out)
{
	sl_sql_quote_name(out, name);
	sl_buf_str(out, "::VARCHAR");
}

static void format_sql(const struct sl_check *check, const char *name, struct sl_buf *out)
{
	const struct format *format = NULL;

	for (size_t i = 0; i < SL_ARRAY_LEN(FORMATS); i++)
		format = strcmp(FORMATS[i].name, check->text) == 0 ? &FORMATS[i] : format;
	sl_sql_quote_name(out, name);
	sl_buf_str(out, " IS NOT NULL AND NOT (");
	if (!format) {
		sl_buf_str(out, "try_strptime(");
		text_sql(name, out);
		sl_buf_str(out, ", ");
		sl_sql_quote_text(out, check->text);
		sl_buf_str(out, ") IS NOT NULL)");
		return;
	}
	if (format->pattern) {
		sl_buf_str(out, "regexp_full_match(");
		text_sql(name, out);
		sl_buf_str(out, ", ");
		sl_sql_quote_text(out, format->pattern);
		sl_buf_str(out, format->also ? ") AND " : ")");
	}
	for (const char *p = format->also; p && *p; p++) {
		if (*p == '@') {
			sl_buf_char(out, '(');
			text_sql(name, out);
			sl_buf_char(out, ')');
		} else {
			sl_buf_char(out, *p);
		}
	}
	sl_buf_char(out, ')');
}

/* ---- one column ------------------------------------------------------------------------------------------------------- */

/* A bound and a column that cannot be compared: "" when they can. */
static const char *cannot_compare(const struct sl_value *bound, const char *type)
{
	bool number = bound->type == SL_VALUE_INT || bound->type == SL_VALUE_DOUBLE;

	if (number && sl_check_class(type) != SL_CLASS_NUMBER)
		return "a number";
	return bound->type == SL_VALUE_TIME && sl_check_class(type) != SL_CLASS_TIME ? "a time" : "";
}

/* `what` is below or above a bound. */
static void bounds_sql(const struct sl_check *check, const char *what, struct sl_buf *out)
{
	if (check->has_min) {
		sl_buf_printf(out, "%s %s ", what, check->above ? "<=" : "<");
		sl_check_value_sql(&check->min, out);
	}
	if (check->has_max) {
		sl_buf_printf(out, "%s%s %s ", check->has_min ? " OR " : "", what, check->below ? ">=" : ">");
		sl_check_value_sql(&check->max, out);
	}
}

/* NaN is beyond every bound. */
static void between_sql(const struct sl_check *check, const struct sl_data_column *column, const char *name, struct sl_buf *out)
{
	bounds_sql(check, name, out);
	if (sl_check_is_float(column->type))
		sl_buf_printf(out, " OR isnan(%s)", name);
}

static void length_sql(const struct sl_check *check, const struct sl_data_column *column, struct sl_buf *out)
{
	SL_AUTO_BUF struct sl_buf length = SL_BUF_INIT(1 << 20);

	sl_buf_str(&length, "length(");
	if (sl_str_ends(column->type, "]"))
		sl_sql_quote_name(&length, column->name);
	else
		text_sql(column->name, &length);
	sl_buf_char(&length, ')');
	bounds_sql(check, sl_buf_cstr(&length), out);
}

/* name(COLUMN, 'pattern'), or its opposite. */
static void match_sql(const char *function, const struct sl_check *check, const char *name, bool not, struct sl_buf *out)
{
	sl_buf_printf(out, "%s%s(", not ? "NOT " : "", function);
	text_sql(name, out);
	sl_buf_str(out, ", ");
	sl_sql_quote_text(out, check->text);
	sl_buf_char(out, ')');
}

static void like_sql(const struct sl_check *check, const char *name, bool not, struct sl_buf *out)
{
	text_sql(name, out);
	sl_buf_str(out, not ? " NOT LIKE " : " LIKE ");
	sl_sql_quote_text(out, check->text);
}

/* Mean and deviation of all rows that the check looks at. */
static void z_score_sql(const struct sl_check_worker *w, const struct sl_checking *c, const char *name, struct sl_buf *out)
{
	SL_AUTO_BUF struct sl_buf table = SL_BUF_INIT(1 << 20);

	sl_sql_quote_name(&table, w->job->dataset);
	const char *from = sl_buf_cstr(&table);
	sl_buf_printf(out, "%s%s - (SELECT avg(%s) FROM %s WHERE %s)%s > %.17g * (SELECT stddev_samp(%s) FROM %s WHERE %s)",
		      c->check->strict ? "" : "abs(", name, name, from, c->where, c->check->strict ? "" : ")", c->check->number, name, from,
		      c->where);
}

static void column_sql(const struct sl_check_worker *w, const struct sl_checking *c, const struct sl_data_column *column,
		       struct sl_buf *out)
{
	const struct sl_check *check = c->check;
	SL_AUTO_BUF struct sl_buf quoted = SL_BUF_INIT(1 << 20);

	sl_sql_quote_name(&quoted, column->name);
	const char *name = sl_buf_cstr(&quoted), *search = check->strict ? "regexp_matches" : "regexp_full_match";
	switch (check->kind) {
	case SL_CHECK_NOT_NULL:
		sl_buf_printf(out, "%s IS NULL", name);
		break;
	case SL_CHECK_NULL:
		sl_buf_printf(out, "%s IS NOT NULL", name);
		break;
	case SL_CHECK_BETWEEN:
		between_sql(check, column, name, out);
		break;
	case SL_CHECK_IN_SET:
	case SL_CHECK_NOT_IN_SET:
		sl_check_set_sql(check, column, check->kind == SL_CHECK_IN_SET, out);
		break;
	case SL_CHECK_REGEX:
	case SL_CHECK_NOT_REGEX:
		match_sql(search, check, column->name, check->kind == SL_CHECK_REGEX, out);
		break;
	case SL_CHECK_LIKE:
	case SL_CHECK_NOT_LIKE:
		like_sql(check, column->name, check->kind == SL_CHECK_LIKE, out);
		break;
	case SL_CHECK_LENGTH:
		length_sql(check, column, out);
		break;
	case SL_CHECK_FORMAT:
		format_sql(check, column->name, out);
		break;
	case SL_CHECK_FINITE:
		if (sl_check_is_float(column->type))
			sl_buf_printf(out, "NOT isfinite(%s)", name);
		else
			sl_buf_str(out, "false");
		break;
	default:
		z_score_sql(w, c, name, out);
	}
}

/* ---- several columns -------------------------------------------------------------------------------------------------- */

static void compare_sql(const struct sl_check *check, struct sl_buf *out)
{
	sl_buf_str(out, "NOT (");
	sl_sql_quote_name(out, check->columns.items[0]);
	sl_buf_printf(out, " %s ", check->text);
	sl_sql_quote_name(out, check->other);
	sl_buf_char(out, ')');
}

static void all_there_sql(const struct sl_names *names, struct sl_buf *out)
{
	for (size_t i = 0; i < names->count; i++) {
		sl_buf_str(out, i ? " AND " : "");
		sl_sql_quote_name(out, names->items[i]);
		sl_buf_str(out, " IS NOT NULL");
	}
}

static void pairs_sql(const struct sl_check_worker *w, const struct sl_check *check, struct sl_buf *out)
{
	all_there_sql(&check->columns, out);
	sl_buf_str(out, " AND NOT (");
	for (size_t i = 0; i < check->value_count; i += 2)
		for (size_t k = 0; k < 2; k++) {
			struct sl_check one = {.values = &check->values[i + k], .value_count = 1};
			sl_buf_str(out, k ? " AND " : i ? " OR (" : "(");
			sl_check_set_sql(&one, sl_check_column(w, check->columns.items[k]), false, out);
			sl_buf_str(out, k ? ")" : "");
		}
	sl_buf_char(out, ')');
}

static void sums_sql(const struct sl_check *check, struct sl_buf *out)
{
	sl_buf_str(out, "abs(");
	for (size_t i = 0; i < check->columns.count; i++) {
		sl_buf_str(out, i ? " + " : "");
		sl_sql_quote_name(out, check->columns.items[i]);
	}
	sl_buf_str(out, " - ");
	if (*check->other)
		sl_sql_quote_name(out, check->other);
	else
		sl_buf_printf(out, "(%.17g)", check->number);
	sl_buf_printf(out, ") > %.17g", check->tolerance);
}

static void different_sql(const struct sl_check *check, struct sl_buf *out)
{
	bool first = true;

	for (size_t a = 0; a < check->columns.count; a++)
		for (size_t b = a + 1; b < check->columns.count; b++, first = false) {
			sl_buf_str(out, first ? "coalesce(" : " OR coalesce(");
			sl_sql_quote_name(out, check->columns.items[a]);
			sl_buf_str(out, " = ");
			sl_sql_quote_name(out, check->columns.items[b]);
			sl_buf_str(out, ", false)");
		}
}

static void key_list(const struct sl_names *names, struct sl_buf *out)
{
	sl_buf_str(out, names->count > 1 ? "row(" : "");
	for (size_t i = 0; i < names->count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_name(out, names->items[i]);
	}
	sl_buf_str(out, names->count > 1 ? ")" : "");
}

/* Rows with a null among their columns refer to nothing, as in SQL. */
static void foreign_key_sql(const struct sl_check *check, struct sl_buf *out)
{
	all_there_sql(&check->columns, out);
	sl_buf_str(out, " AND ");
	key_list(&check->columns, out);
	sl_buf_str(out, " NOT IN (SELECT ");
	key_list(&check->keys, out);
	sl_buf_str(out, " FROM ");
	sl_sql_quote_name(out, check->other);
	sl_buf_str(out, " WHERE ");
	all_there_sql(&check->keys, out);
	sl_buf_char(out, ')');
}

/* ---- all -------------------------------------------------------------------------------------------------------------- */

/* Settles the check when it cannot be asked of these columns. */
static int check_operands(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	const struct sl_names other = {(const char **)(uintptr_t)&check->other, 1};
	bool second = (check->kind == SL_CHECK_COMPARE || check->kind == SL_CHECK_SUMS_TO) && *check->other;
	int rc = sl_check_need_columns(w, c, &check->columns, err);

	if (rc == 0 && !c->settled && second)
		rc = sl_check_need_columns(w, c, &other, err);
	if (rc < 0 || c->settled)
		return rc;
	if (check->kind == SL_CHECK_FOREIGN_KEY)
		return sl_check_other(w, c, err) || c->settled ? 0 : SL_E_NO_MEMORY;
	const struct sl_data_column *column = check->columns.count ? sl_check_column(w, check->columns.items[0]) : NULL;
	const char *against = "";
	if (check->kind == SL_CHECK_BETWEEN)
		against = check->has_min ? cannot_compare(&check->min, column->type) : "";
	if (check->kind == SL_CHECK_BETWEEN && !*against && check->has_max)
		against = cannot_compare(&check->max, column->type);
	if (check->kind == SL_CHECK_Z_SCORE && sl_check_class(column->type) != SL_CLASS_NUMBER)
		against = "a number";
	return *against ? sl_check_settle(w, c, err, "column '%s' is %s, which cannot be compared with %s", column->name, column->type, against)
			: 0;
}

static void row_sql(struct sl_check_worker *w, const struct sl_checking *c, struct sl_buf *out)
{
	const struct sl_check *check = c->check;

	switch (check->kind) {
	case SL_CHECK_COMPARE:
		compare_sql(check, out);
		break;
	case SL_CHECK_PAIRS:
		pairs_sql(w, check, out);
		break;
	case SL_CHECK_SUMS_TO:
		sums_sql(check, out);
		break;
	case SL_CHECK_DIFFERENT:
		different_sql(check, out);
		break;
	case SL_CHECK_HOLDS: /* a line end, so that a comment ends there */
		sl_buf_printf(out, "NOT ((%s\n)::BOOLEAN)", check->text);
		break;
	case SL_CHECK_FOREIGN_KEY:
		foreign_key_sql(check, out);
		break;
	default:
		for (size_t i = 0; i < check->columns.count; i++) {
			sl_buf_str(out, i ? " OR (" : "(");
			column_sql(w, c, sl_check_column(w, check->columns.items[i]), out);
			sl_buf_char(out, ')');
		}
	}
}

/* A row with a null counts neither as passing nor as failing. */
static int leave_nulls_out(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	const struct sl_names other = {(const char **)(uintptr_t)&check->other, 1};
	SL_AUTO_BUF struct sl_buf where = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	bool several = check->columns.count > 1 && (check->kind == SL_CHECK_FINITE || check->kind == SL_CHECK_DIFFERENT);

	if (check->kind == SL_CHECK_NOT_NULL || check->kind == SL_CHECK_NULL || !check->columns.count || several)
		return 0;
	sl_buf_printf(&where, "(%s AND ", c->where);
	all_there_sql(&check->columns, &where);
	if ((check->kind == SL_CHECK_COMPARE || check->kind == SL_CHECK_SUMS_TO) && *check->other) {
		sl_buf_str(&where, " AND ");
		all_there_sql(&other, &where);
	}
	sl_buf_char(&where, ')');
	c->counted = sl_check_keep_text(w, &where, err);
	return c->counted ? 0 : SL_E_NO_MEMORY;
}

int sl_check_plan_row(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf fails = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int rc = check_operands(w, c, err);

	if (rc < 0 || c->settled || (rc = leave_nulls_out(w, c, err)) < 0)
		return rc;
	sl_buf_str(&fails, "coalesce(");
	row_sql(w, c, &fails);
	sl_buf_str(&fails, ", false)");
	c->fails = sl_check_keep_text(w, &fails, err);
	return c->fails ? 0 : SL_E_NO_MEMORY;
}

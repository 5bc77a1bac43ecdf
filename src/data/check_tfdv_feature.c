/* One feature of a TFDV schema: type, presence, domain, distinct values, drift. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "data/check_tfdv_internal.h"
#include "port/sql.h"

enum { EXPRESSION_MAX = 64 << 10 };

/* A check of the feature's column. Where no column needs to be, it passes without one: whether one must be is told by column_set. */
static int write_of(struct tfdv *t, const struct tfdv_feature *f, yyjson_mut_val *body, yyjson_mut_val *check)
{
	if (!f->required || !f->everywhere)
		tfdv_put_flag(t, body, "if_present");
	return tfdv_write(t, check);
}

static yyjson_mut_val *of_column(struct tfdv *t, const struct tfdv_feature *f, const char *kind, yyjson_mut_val **ret_check)
{
	yyjson_mut_val *body = tfdv_check(t, kind, ret_check);
	tfdv_put_text(t, body, "column", f->name);
	return body;
}

static int write_columns(struct tfdv *t, const struct tfdv_feature *f, const char *kind, double mostly)
{
	yyjson_mut_val *check, *body = tfdv_check(t, kind, &check), *list = yyjson_mut_obj_add_arr(t->doc, body, "columns");
	t->failed |= !yyjson_mut_arr_add_str(t->doc, list, f->name);
	if (mostly < 1)
		tfdv_put_number(t, body, "mostly", mostly);
	return write_of(t, f, body, check);
}

/* `before` COLUMN `behind` must be true. An expression does not bend to a column that is not there. */
static int write_holds(struct tfdv *t, const struct tfdv_feature *f, const char *before, const char *behind)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(EXPRESSION_MAX);
	yyjson_mut_val *check = yyjson_mut_obj(t->doc);
	if (!f->required || !f->everywhere)
		return tfdv_note(t, f->name, "its domain needs an expression, and its column may be missing: write 'holds' where it is not");
	sl_buf_str(&text, before);
	sl_sql_quote_name(&text, f->name);
	sl_buf_str(&text, behind);
	int rc = sl_buf_check(&text, "an expression", t->err);
	if (!rc)
		tfdv_put_text(t, check, "holds", sl_buf_cstr(&text));
	return rc ? rc : tfdv_write(t, check);
}

/* ---- type, presence, number of values ------------------------------------------------------------------------------- */

static int map_type(struct tfdv *t, const struct tfdv_feature *f)
{
	static const char *const FAMILIES[][2] = {{"INT", "any integer"}, {"FLOAT", "any float"}, {"BYTES", "no number"}};
	const char *family = NULL;
	yyjson_mut_val *check, *body;
	for (size_t i = 0; i < SL_ARRAY_LEN(FAMILIES); i++)
		family = strcmp(FAMILIES[i][0], f->type) == 0 ? FAMILIES[i][1] : family;
	/* Truth values are 0 and 1 to TFDV, and BOOLEAN to a table. */
	if (!family || (sl_prototext_get(f->node, "bool_domain") && strcmp(f->type, "BYTES") != 0))
		return 0;
	body = tfdv_check(t, "columns", &check);
	t->failed |= !yyjson_mut_obj_add(body, yyjson_mut_strcpy(t->doc, f->name), yyjson_mut_str(t->doc, family));
	return write_of(t, f, check, check);
}

/* The least number of values. An empty table has no value that is missing, so that `not_null` alone does not say it. */
static int map_count(struct tfdv *t, const struct tfdv_feature *f, double fraction, int64_t count)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(EXPRESSION_MAX);
	yyjson_mut_val *check, *body;
	if (count <= 0)
		return 0;
	if (fraction >= 1 && f->required && f->everywhere) {
		t->rows = count > t->rows ? count : t->rows;
		return 0;
	}
	if (count == 1) {
		body = of_column(t, f, "distinct", &check);
		tfdv_put_int(t, body, "min", 1);
		return write_of(t, f, body, check);
	}
	if (!f->everywhere)
		return tfdv_note(t, f->name, "presence.min_count of a column that some environment lacks");
	sl_buf_str(&text, "SELECT count(");
	sl_sql_quote_name(&text, f->name);
	sl_buf_str(&text, ") AS present FROM ");
	sl_sql_quote_name(&text, t->dataset);
	sl_buf_printf(&text, " HAVING present < %lld", (long long)count);
	int rc = sl_buf_check(&text, "a query", t->err);
	check = yyjson_mut_obj(t->doc);
	if (!rc)
		tfdv_put_text(t, check, "sql", sl_buf_cstr(&text));
	return rc ? rc : tfdv_write(t, check);
}

static int map_presence(struct tfdv *t, const struct tfdv_feature *f)
{
	const struct sl_prototext *presence = NULL;
	double fraction = 0;
	int64_t count = 0;
	bool has = false;
	int rc = tfdv_one(t, f->node, "presence", &presence);
	rc = rc ? rc : tfdv_number(t, presence, "min_fraction", &has, &fraction);
	rc = rc ? rc : tfdv_int(t, presence, "min_count", &has, &count);
	if (!rc && !(fraction >= 0 && fraction <= 1))
		rc = tfdv_refuse(t, presence, "min_fraction is from 0 to 1");
	bool shaped = sl_prototext_get(f->node, "shape") != NULL; /* of a fixed shape: nothing may be missing */
	if (!rc && (fraction > 0 || shaped))
		rc = write_columns(t, f, "not_null", shaped ? 1 : fraction);
	return rc ? rc : map_count(t, f, fraction, count);
}

static int map_values(struct tfdv *t, const struct tfdv_feature *f)
{
	const struct sl_prototext *values = NULL, *shape = NULL;
	int64_t low = 0, high = 0, size = 1, one;
	bool has_low = false, has_high = false, has = false;
	int rc = tfdv_one(t, f->node, "value_count", &values);
	rc = rc ? rc : tfdv_one(t, f->node, "shape", &shape);
	rc = rc ? rc : tfdv_int(t, values, "min", &has_low, &low);
	rc = rc ? rc : tfdv_int(t, values, "max", &has_high, &high);
	for (const struct sl_prototext *dim = sl_prototext_get(shape, "dim"); dim && !rc; dim = sl_prototext_next(dim)) {
		one = 1;
		rc = tfdv_int(t, dim, "size", &has, &one);
		size = one == 1 ? size : 0;
	}
	if (!rc && values && (low < 0 || high < 0 || (has_high && low > high)))
		rc = tfdv_refuse(t, values, "min and max are below 0 or out of order");
	if (!rc && ((values && (low != 1 || high != 1)) || !size))
		rc = tfdv_note(t, f->name, "how many values a row has: of a column of lists 'length' tells that");
	return rc;
}

/* ---- domains -------------------------------------------------------------------------------------------------------- */

static bool is(const struct tfdv_feature *f, const char *type) { return strcmp(f->type, type) == 0; }

static int map_text_domain(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *domain)
{
	const struct sl_prototext *constraints = NULL;
	double mass = 1;
	bool has = false;
	yyjson_mut_val *check, *body, *list;
	int rc = tfdv_one(t, f->node, "distribution_constraints", &constraints);
	rc = rc ? rc : tfdv_number(t, constraints, "min_domain_mass", &has, &mass);
	if (!rc && !(mass >= 0 && mass <= 1))
		rc = tfdv_refuse(t, constraints, "min_domain_mass is from 0 to 1");
	if (!rc && !is(f, "BYTES") && !is(f, ""))
		rc = tfdv_refuse(t, domain, "texts are the domain of a feature of type BYTES");
	if (rc || !sl_prototext_get(domain, "value"))
		return rc ? rc : write_columns(t, f, "null", mass); /* nothing is in an empty domain */
	body = of_column(t, f, "in_set", &check);
	list = yyjson_mut_obj_add_arr(t->doc, body, "values");
	for (const struct sl_prototext *value = sl_prototext_get(domain, "value"); value; value = sl_prototext_next(value)) {
		if (value->kind != SL_PROTOTEXT_STRING || !sl_utf8_valid(value->text, value->len))
			return tfdv_refuse(t, value, "takes a text in quotes (UTF-8)");
		t->failed |= !yyjson_mut_arr_add_strn(t->doc, list, value->text, value->len);
	}
	if (mass < 1)
		tfdv_put_number(t, body, "mostly", mass);
	return write_of(t, f, body, check);
}

/* Bounds of numbers that are written as texts. */
static int map_written(struct tfdv *t, const struct tfdv_feature *f, const char *format, const char *type, bool has_low, const char *low, bool has_high,
		       const char *high)
{
	SL_AUTO_BUF struct sl_buf behind = SL_BUF_INIT(256);
	yyjson_mut_val *check, *body = of_column(t, f, "format", &check);
	tfdv_put_text(t, body, "is", format);
	int rc = write_of(t, f, body, check);
	if (rc || (!has_low && !has_high))
		return rc;
	sl_buf_printf(&behind, " AS %s)", type);
	if (has_low && has_high)
		sl_buf_printf(&behind, " BETWEEN %s AND %s", low, high);
	else
		sl_buf_printf(&behind, has_low ? " >= %s" : " <= %s", has_low ? low : high);
	return write_holds(t, f, "TRY_CAST(", sl_buf_cstr(&behind));
}

static int map_int_domain(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *domain)
{
	int64_t low = 0, high = 0;
	bool has_low = false, has_high = false;
	yyjson_mut_val *check, *body;
	int rc = tfdv_int(t, domain, "min", &has_low, &low);
	rc = rc ? rc : tfdv_int(t, domain, "max", &has_high, &high);
	if (!rc && is(f, "FLOAT"))
		rc = tfdv_refuse(t, domain, "whole numbers are no domain of a feature of type FLOAT");
	if (!rc && has_low && has_high && low > high)
		rc = tfdv_refuse(t, domain, "min is greater than max");
	if (!rc && is(f, "BYTES")) {
		char texts[2][32];
		snprintf(texts[0], sizeof texts[0], "%lld", (long long)low);
		snprintf(texts[1], sizeof texts[1], "%lld", (long long)high);
		return map_written(t, f, "integer", "BIGINT", has_low, texts[0], has_high, texts[1]);
	}
	if (rc || (!has_low && !has_high))
		return rc;
	body = of_column(t, f, "between", &check);
	if (has_low)
		tfdv_put_int(t, body, "min", low);
	if (has_high)
		tfdv_put_int(t, body, "max", high);
	return write_of(t, f, body, check);
}

/* NaN is within all bounds to TFDV, and in none here. */
static int put_float_bounds(struct tfdv *t, const struct tfdv_feature *f, bool has_low, double low, bool has_high, double high)
{
	SL_AUTO_BUF struct sl_buf where = SL_BUF_INIT(EXPRESSION_MAX);
	yyjson_mut_val *check, *body;
	if (!has_low && !has_high)
		return 0;
	body = of_column(t, f, "between", &check);
	if (has_low)
		tfdv_put_number(t, body, "min", low);
	if (has_high)
		tfdv_put_number(t, body, "max", high);
	sl_buf_str(&where, "NOT isnan(");
	sl_sql_quote_name(&where, f->name);
	sl_buf_str(&where, "::DOUBLE)");
	if (f->required && f->everywhere)
		tfdv_put_text(t, body, "where", sl_buf_cstr(&where));
	return write_of(t, f, body, check);
}

static int map_float_domain(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *domain)
{
	double low = 0, high = 0;
	bool has_low = false, has_high = false, no_nan = false, no_inf = false;
	int rc = tfdv_number(t, domain, "min", &has_low, &low);
	rc = rc ? rc : tfdv_number(t, domain, "max", &has_high, &high);
	rc = rc ? rc : tfdv_flag(t, domain, "disallow_nan", &no_nan);
	rc = rc ? rc : tfdv_flag(t, domain, "disallow_inf", &no_inf);
	if (!rc && is(f, "INT"))
		rc = tfdv_refuse(t, domain, "fractions are no domain of a feature of type INT");
	if (!rc && ((has_low && isnan(low)) || (has_high && isnan(high)) || (has_low && has_high && low > high)))
		rc = tfdv_refuse(t, domain, "its bounds are no numbers, or out of order");
	has_low = has_low && isfinite(low);
	has_high = has_high && isfinite(high);
	if (!rc && is(f, "BYTES")) {
		char texts[2][40];
		snprintf(texts[0], sizeof texts[0], "%.17g", low);
		snprintf(texts[1], sizeof texts[1], "%.17g", high);
		return map_written(t, f, "number", "DOUBLE", has_low, texts[0], has_high, texts[1]);
	}
	rc = rc ? rc : put_float_bounds(t, f, has_low, low, has_high, high);
	if (rc || (!no_nan && !no_inf))
		return rc;
	if (no_nan && no_inf)
		return write_columns(t, f, "finite", 1);
	return write_holds(t, f, no_nan ? "NOT isnan(" : "NOT isinf(", "::DOUBLE)");
}

static int map_bool_domain(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *domain)
{
	const char *texts[2] = {"", ""};
	yyjson_mut_val *check, *body, *list;
	int rc = tfdv_text(t, domain, "true_value", &texts[0]);
	rc = rc ? rc : tfdv_text(t, domain, "false_value", &texts[1]);
	bool given = *texts[0] || *texts[1];
	if (!rc && given == !is(f, "BYTES"))
		rc = tfdv_refuse(t, domain, "true_value and false_value go with type BYTES, and with it alone");
	if (rc)
		return rc;
	if (!given && f->required && f->everywhere)
		return write_holds(t, f, "CAST(", " AS DOUBLE) IN (0, 1)"); /* also of a column of type BOOLEAN */
	body = of_column(t, f, "in_set", &check);
	list = yyjson_mut_obj_add_arr(t->doc, body, "values");
	for (int i = 0; i < 2; i++)
		t->failed |= given ? *texts[i] && !yyjson_mut_arr_add_str(t->doc, list, texts[i]) : !yyjson_mut_arr_add_int(t->doc, list, i);
	return write_of(t, f, body, check);
}

/* A domain that several features share. */
static int map_named_domain(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *field)
{
	static const struct { const char *field; int (*map)(struct tfdv *, const struct tfdv_feature *, const struct sl_prototext *); } KINDS[] = {
		{"string_domain", map_text_domain}, {"int_domain", map_int_domain}, {"float_domain", map_float_domain}};
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		for (const struct sl_prototext *d = sl_prototext_get(t->schema, KINDS[i].field); d; d = sl_prototext_next(d)) {
			const struct sl_prototext *name = sl_prototext_get(d, "name");
			if (name && strcmp(name->text, field->text) == 0)
				return KINDS[i].map(t, f, d);
		}
	return tfdv_refuse(t, field, "the schema has no domain of that name");
}

/* ---- the rest ------------------------------------------------------------------------------------------------------- */

static int map_unique(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *constraints)
{
	int64_t low = 0, high = 0;
	bool has_low = false, has_high = false;
	yyjson_mut_val *check, *body;
	int rc = tfdv_int(t, constraints, "min", &has_low, &low);
	rc = rc ? rc : tfdv_int(t, constraints, "max", &has_high, &high);
	if (!rc && has_low && has_high && low > high)
		rc = tfdv_refuse(t, constraints, "min is greater than max");
	if (rc || (!has_low && !has_high))
		return rc;
	body = of_column(t, f, "distinct", &check);
	if (has_low)
		tfdv_put_int(t, body, "min", low);
	if (has_high)
		tfdv_put_int(t, body, "max", high);
	return write_of(t, f, body, check);
}

static int map_drift(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *comparator)
{
	static const char *const MEASURES[][2] = {
		{"infinity_norm", "l_infinity"}, {"jensen_shannon_divergence", "js"}, {"normalized_abs_difference", "normalized_difference"}};
	int rc = 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(MEASURES) && !rc; i++) {
		const struct sl_prototext *norm = NULL;
		double threshold = 0;
		bool has = false;
		yyjson_mut_val *check, *body;
		rc = tfdv_one(t, comparator, MEASURES[i][0], &norm);
		rc = rc ? rc : tfdv_number(t, norm, "threshold", &has, &threshold);
		if (!rc && norm && has && !(threshold >= 0 && threshold <= 1))
			rc = tfdv_refuse(t, norm, "its threshold is from 0 to 1");
		if (rc || !norm || !has)
			continue;
		body = of_column(t, f, "distribution", &check);
		tfdv_put_text(t, body, "by", MEASURES[i][1]);
		tfdv_put_number(t, body, "max", i == 1 ? sqrt(threshold) : threshold);
		tfdv_put_text(t, body, "against", "previous");
		rc = write_of(t, f, body, check);
	}
	return rc;
}

static int note_skew(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *comparator)
{
	(void)comparator;
	return tfdv_note(t, f->name, "skew_comparator: 'distribution' with 'against' and the name of the serving dataset");
}

/* Fields of a feature. Without `map` and `why` they are looked at elsewhere, or say nothing that data can break. */
static const struct feature_field {
	const char *name;
	int (*map)(struct tfdv *, const struct tfdv_feature *, const struct sl_prototext *);
	const char *why;
} FIELDS[] = {
	{"name", NULL, NULL}, {"type", NULL, NULL}, {"deprecated", NULL, NULL}, {"presence", NULL, NULL}, {"shape", NULL, NULL}, {"value_count", NULL, NULL},
	{"distribution_constraints", NULL, NULL}, {"annotation", NULL, NULL}, {"in_environment", NULL, NULL}, {"not_in_environment", NULL, NULL},
	{"lifecycle_stage", NULL, NULL},
	{"domain", map_named_domain, NULL}, {"string_domain", map_text_domain, NULL}, {"int_domain", map_int_domain, NULL},
	{"float_domain", map_float_domain, NULL}, {"bool_domain", map_bool_domain, NULL}, {"unique_constraints", map_unique, NULL},
	{"drift_comparator", map_drift, NULL}, {"skew_comparator", note_skew, NULL},
	{"value_counts", NULL, "value_counts: how lists in lists are filled; 'sql' may say it"},
	{"group_presence", NULL, "group_presence: presence within a struct; 'holds' may say it"},
	{"natural_language_domain", NULL, "natural_language_domain: nothing here looks at tokens"},
	{"image_domain", NULL, "image_domain: nothing here looks into images"},
	{"url_domain", NULL, "url_domain: TFDV checks nothing of it; 'format' with 'is: url' would"},
	{"time_domain", NULL, "time_domain: TFDV checks nothing of it; 'format' with a strptime pattern would"},
	{"time_of_day_domain", NULL, "time_of_day_domain: TFDV checks nothing of it; 'format' with 'is: time' would"},
	{"mid_domain", NULL, "mid_domain: TFDV checks nothing of it; 'regex' would"},
	{"sequence_metadata", NULL, "sequence_metadata: nothing here looks at sequences"},
	{"validation_derived_source", NULL, "validation_derived_source: make the column in a step and check that"},
};

static int map_field(struct tfdv *t, const struct tfdv_feature *f, const struct sl_prototext *field)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(FIELDS); i++) {
		const struct sl_prototext *only = NULL;
		if (strcmp(FIELDS[i].name, field->name) != 0)
			continue;
		if (FIELDS[i].why)
			return tfdv_note(t, f->name, FIELDS[i].why);
		int rc = FIELDS[i].map ? tfdv_one(t, f->node, field->name, &only) : 0;
		return rc || !FIELDS[i].map ? rc : FIELDS[i].map(t, f, field);
	}
	return tfdv_note(t, f->name, "a field of it is not known here");
}

int tfdv_map_feature(struct tfdv *t, const struct tfdv_feature *f)
{
	int rc = 0;
	if (f->ignored)
		return 0;
	if (is(f, "STRUCT") || sl_prototext_get(f->node, "struct_domain"))
		return tfdv_note(t, f->name, "a struct: check its members as columns of a step that unnests it");
	rc = map_type(t, f);
	rc = rc ? rc : map_presence(t, f);
	rc = rc ? rc : map_values(t, f);
	for (const struct sl_prototext *field = f->node->first; field && !rc; field = field->next)
		rc = map_field(t, f, field);
	return rc;
}

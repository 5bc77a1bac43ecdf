/* Every kind of check: one row per key. The same rows check the file, fill the struct and make the JSON Schema. */
#include "project/check_shapes.h"

#include <stddef.h>
#include <string.h>

#include "base/regex.h"
#include "base/str.h"
#include "project/column_type.h"

#define CHECK(member) offsetof(struct sl_check_read, check.member)
#define VALUE_SCHEMA "{\"type\":[\"number\",\"string\"]}"
#define LIST_SCHEMA "{\"type\":[\"array\",\"string\"]}"
#define MAP_SCHEMA "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"

/* ---- values ----------------------------------------------------------------------------------------------------------- */

static int read_bound(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret, bool *ret_has)
{
	int rc = *ret_has ? sl_load_fail(loader, node->mark, SL_E_INVALID, "this bound is given twice") : sl_load_value(loader, node, ret);
	if (!rc && ret->type != SL_VALUE_INT && ret->type != SL_VALUE_DOUBLE && ret->type != SL_VALUE_TIME)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a bound must be a number or a time");
	*ret_has = true;
	return rc;
}

static int read_min(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	return read_bound(loader, node, &check->min, &check->has_min);
}

static int read_max(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	return read_bound(loader, node, &check->max, &check->has_max);
}

static int read_above(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	((struct sl_check_read *)target)->check.above = true;
	return read_min(loader, node, target);
}

static int read_below(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	((struct sl_check_read *)target)->check.below = true;
	return read_max(loader, node, target);
}

static int read_set_value(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret)
{
	int rc = sl_load_value(loader, node, ret);
	if (!rc && (ret->type == SL_VALUE_JSON || ret->type == SL_VALUE_NULL))
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a value of a set is a text, number, time, true or false");
	return rc;
}

static const char *set_kind(const struct sl_value *value)
{
	switch (value->type) {
	case SL_VALUE_BOOL: return "truth value";
	case SL_VALUE_INT:
	case SL_VALUE_DOUBLE: return "number";
	case SL_VALUE_TIME: return "time";
	default: return "text";
	}
}

static int want_list(struct sl_loader *loader, const struct sl_yaml *node, size_t least)
{
	if (node->kind == SL_YAML_LIST && node->count >= least)
		return 0;
	return sl_load_fail(loader, node->mark, SL_E_INVALID, "'values' wants a list%s", least ? " with at least one value" : "");
}

static int read_values(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	int rc = sl_load_resolve(loader, node, &node);
	rc = rc ? rc : want_list(loader, node, 1);
	if (rc)
		return rc;
	check->values = sl_arena_array(loader->arena, node->count, sizeof *check->values);
	if (!check->values)
		return sl_load_memory(loader);
	check->value_count = node->count;
	for (size_t i = 0; !rc && i < node->count; i++) {
		rc = read_set_value(loader, node->entries[i].value, &check->values[i]);
		if (!rc && set_kind(&check->values[i]) != set_kind(&check->values[0]))
			rc = sl_load_fail(loader, node->entries[i].value->mark, SL_E_INVALID, "the values of a set are of one kind, and the first is a %s",
					  set_kind(&check->values[0]));
	}
	return rc;
}

/* [[1, a], [2, b]]: one behind the other. */
static int read_pairs(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	int rc = want_list(loader, node, 1);
	if (rc)
		return rc;
	check->values = sl_arena_array(loader->arena, 2 * node->count, sizeof *check->values);
	if (!check->values)
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *pair = node->entries[i].value;
		if (pair->kind != SL_YAML_LIST || pair->count != 2)
			return sl_load_fail(loader, pair->mark, SL_E_INVALID, "a pair is a list of two values");
		for (size_t k = 0; !rc && k < 2; k++)
			rc = read_set_value(loader, pair->entries[k].value, &check->values[check->value_count++]);
	}
	return rc;
}

/* "columns: {date: timestamp}": names and types side by side. */
int sl_check_typed_columns(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	struct sl_name_list names = {0}, types = {0};
	int rc = sl_load_want_map(loader, node, "'columns'");
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *type;
		rc = sl_load_text(loader, node->entries[i].value, node->entries[i].key->text, &type);
		if (!rc && !sl_column_family(type))
			rc = sl_load_column_type(loader, node->entries[i].value, node->entries[i].key->text, &type);
		rc = rc ? rc : sl_name_list_add(loader, &names, node->entries[i].key->text);
		rc = rc ? rc : sl_name_list_add(loader, &types, type);
	}
	check->columns = sl_name_list_names(&names);
	check->types = sl_name_list_names(&types);
	return rc;
}

static int read_regex(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	const char **text = &((struct sl_check_read *)target)->check.text, *problem;
	size_t at, character = 1;
	int rc = sl_load_text(loader, node, "pattern", text);
	if (rc || sl_regex_valid(*text, &problem, &at))
		return rc;
	for (size_t i = 0; i < at; i++)
		character += ((unsigned char)(*text)[i] & 0xc0) != 0x80;
	sl_load_fail(loader, node->mark, SL_E_INVALID, "'%.200s' is not a regular expression: %s, at its character %zu", *text, problem, character);
	return sl_error_hint(loader->err, "the syntax is RE2's; a character that means something is escaped with '\\'");
}

/* A number, or the name of the column that holds it. */
static int read_total(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check_read *read = target;
	struct sl_value value;
	int rc = sl_load_value(loader, node, &value);
	if (!rc && value.type == SL_VALUE_TEXT)
		read->check.other = value.text;
	else if (!rc && (value.type == SL_VALUE_INT || value.type == SL_VALUE_DOUBLE))
		read->check.number = value.type == SL_VALUE_INT ? (double)value.i : value.d;
	else if (!rc)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'total' wants a number or a column");
	return rc;
}

static int read_at(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct sl_check_read *)target)->check;
	int rc = sl_load_value(loader, node, &check->at);
	if (!rc && check->at.type != SL_VALUE_TIME)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'at' wants a time as 2001-03-01T06:00");
	return rc;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static const char *const SEVERITIES[] = {"error", "warn", NULL}, *const OTHERWISE[] = {"fail", "quarantine", NULL};
static const char *const OPERATORS[] = {"=", "!=", "<", "<=", ">", ">=", NULL};
static const char *const RULES[] = {"evolve", "freeze", "discard_row", "discard_value", NULL};
static const char *const STATISTICS[] = {"rows", "missing_share", "distinct", "mean", "std", "min", "max", "median", "sum", NULL};
static const char *const MEASURES[] = {"psi", "js", "ks", "chi_square", "l_infinity", "normalized_difference", NULL};

#define SEVERITY {"severity", SL_ROW_CHOICE, offsetof(struct sl_check_read, severity), .choices = SEVERITIES, .about = "warn: reported, but nothing stops"}
#define IF_PRESENT {"if_present", SL_ROW_BOOL, CHECK(if_present), .about = "it passes when the column is not there"}
#define ENVIRONMENTS IF_PRESENT, {"environments", SL_ROW_NAMES, CHECK(environments), .about = "it holds only for datasets of these environments"}
#define WHERE {"where", SL_ROW_SQL, CHECK(where), .about = "SQL expression: only these rows are looked at"}
#define MODIFIERS                                                                                                                                      \
	{"mostly", SL_ROW_NUMBER, CHECK(mostly), .min = 0, .max = 1, .about = "share of rows that must pass; 1 = all"}, WHERE, SEVERITY,                \
	{"else", SL_ROW_CHOICE, offsetof(struct sl_check_read, otherwise), .choices = OTHERWISE,                                                        \
	 .about = "quarantine: failing rows are put aside in NAME.quarantine"}, ENVIRONMENTS
#define COLUMN {"column", SL_ROW_TEXT, offsetof(struct sl_check_read, column), .required = true, .about = "column"}
#define COLUMNS {"columns", SL_ROW_NAMES, CHECK(columns), .required = true, .about = "columns"}
#define BOUNDS                                                                                                                                         \
	{"min", SL_ROW_OTHER, .read = read_min, .schema = VALUE_SCHEMA, .about = "least value, inclusive"},                                             \
	{"max", SL_ROW_OTHER, .read = read_max, .schema = VALUE_SCHEMA, .about = "greatest value, inclusive"},                                          \
	{"above", SL_ROW_OTHER, .read = read_above, .schema = VALUE_SCHEMA, .about = "it must be greater than this"},                                   \
	{"below", SL_ROW_OTHER, .read = read_below, .schema = VALUE_SCHEMA, .about = "it must be less than this"}
#define VALUES {"values", SL_ROW_OTHER, .read = read_values, .required = true, .schema = "{\"type\":\"array\",\"minItems\":1}", .about = "the values"}

static const struct sl_row MODIFIER_ROWS[] = {MODIFIERS};
static const struct sl_row COLUMN_LIST_ROWS[] = {COLUMNS, MODIFIERS};
static const struct sl_row UNIQUE_ROWS[] = {
	COLUMNS, {"every", SL_ROW_BOOL, CHECK(strict), .about = "the first row of a repeated key fails too"}, MODIFIERS};
static const struct sl_row BETWEEN_ROWS[] = {COLUMN, BOUNDS, MODIFIERS};
static const struct sl_row SET_ROWS[] = {COLUMN, VALUES, MODIFIERS};
static const struct sl_row REGEX_ROWS[] = {
	COLUMN, {"pattern", SL_ROW_OTHER, .read = read_regex, .required = true, .schema = "{\"type\":\"string\"}",
		 .about = "regular expression (RE2) that the whole text must match"},
	{"part", SL_ROW_BOOL, CHECK(strict), .about = "a match anywhere in the text is enough"}, MODIFIERS};
static const struct sl_row LIKE_ROWS[] = {COLUMN, {"pattern", SL_ROW_TEXT, CHECK(text), .required = true, .about = "SQL pattern: % any text, _ one character"}, MODIFIERS};
static const struct sl_row FORMAT_ROWS[] = {
	COLUMN, {"is", SL_ROW_TEXT, CHECK(text), .required = true,
	 .about = "email, date, date-time, time, uuid, ip, ipv4, ipv6, json, url, hostname, integer, number, hex, base64, or a strptime pattern"},
	MODIFIERS};
static const struct sl_row COMPARE_ROWS[] = {
	COLUMN, {"is", SL_ROW_CHOICE, CHECK(text), .choices = OPERATORS, .required = true, .about = "operator"},
	{"other", SL_ROW_TEXT, CHECK(other), .required = true, .about = "the column that it is compared with"}, MODIFIERS};
static const struct sl_row PAIR_ROWS[] = {
	COLUMNS, {"values", SL_ROW_OTHER, .read = read_pairs, .required = true, .schema = "{\"type\":\"array\",\"minItems\":1}", .about = "the pairs allowed: [[a, b], ...]"},
	MODIFIERS};
static const struct sl_row SUM_ROWS[] = {
	COLUMNS, {"total", SL_ROW_OTHER, .read = read_total, .required = true, .schema = VALUE_SCHEMA, .about = "a number, or the column that holds it"},
	{"tolerance", SL_ROW_NUMBER, CHECK(tolerance), .min = 0, .max = 1e300, .about = "how far off it may be; 0"}, MODIFIERS};
static const struct sl_row HOLDS_ROWS[] = {{"expression", SL_ROW_SQL, CHECK(text), .required = true, .about = "SQL expression that is true for a good row"}, MODIFIERS};
static const struct sl_row Z_SCORE_ROWS[] = {
	COLUMN, {"max", SL_ROW_NUMBER, CHECK(number), .required = true, .min = 0, .max = 1e300, .about = "standard deviations from the mean"},
	{"above", SL_ROW_BOOL, CHECK(strict), .about = "only values above the mean can fail"}, MODIFIERS};
static const struct sl_row KEY_ROWS[] = {
	COLUMNS, {"of", SL_ROW_REF, CHECK(other), .required = true, .about = "dataset in which the values must be"},
	{"keys", SL_ROW_NAMES, CHECK(keys), .about = "its columns, when their names differ"}, MODIFIERS};
static const struct sl_row ORDER_ROWS[] = {
	COLUMN, {"strict", SL_ROW_BOOL, CHECK(strict), .about = "equal values fail too"},
	{"by", SL_ROW_NAMES, CHECK(keys), .about = "columns: each of their values has an order of its own"}, MODIFIERS};
static const struct sl_row COLUMN_SET_ROWS[] = {
	{"names", SL_ROW_NAMES, CHECK(columns), .required = true, .about = "columns that must be there"},
	{"optional", SL_ROW_NAMES, CHECK(keys), .about = "columns that may be there, when no others may"},
	{"exact", SL_ROW_BOOL, CHECK(strict), .about = "and no others"}, {"ordered", SL_ROW_BOOL, CHECK(ordered), .about = "in this order"}, SEVERITY, ENVIRONMENTS};
static const struct sl_row COUNT_ROWS[] = {BOUNDS, SEVERITY, ENVIRONMENTS};
static const struct sl_row ROWS_ROWS[] = {
	BOUNDS, {"same_as", SL_ROW_REF, CHECK(other), .about = "dataset with as many rows"}, SEVERITY, ENVIRONMENTS};
static const struct sl_row SQL_ROWS[] = {
	{"query", SL_ROW_SQL, CHECK(text), .required = true, .about = "query or .sql file; the rows it returns are the failures"}, SEVERITY, ENVIRONMENTS};
static const struct sl_row SCHEMA_ROWS[] = {
	{"columns", SL_ROW_CHOICE, CHECK(text), .choices = RULES, .about = "what a column that the version before had not means; evolve"},
	{"types", SL_ROW_CHOICE, CHECK(other), .choices = RULES, .about = "what a column of another type means; evolve"}, SEVERITY, ENVIRONMENTS};
static const struct sl_row STATISTIC_ROWS[] = {COLUMN, BOUNDS, WHERE, SEVERITY, ENVIRONMENTS};
static const struct sl_row QUANTILE_ROWS[] = {
	COLUMN, {"at", SL_ROW_NUMBER, CHECK(number), .required = true, .min = 0, .max = 1, .about = "share of the values at or below it: 0.95"}, BOUNDS, WHERE, SEVERITY,
	ENVIRONMENTS};
static const struct sl_row FRESH_ROWS[] = {
	COLUMN, {"within", SL_ROW_DURATION, CHECK(span), .required = true, .about = "how old the newest time may be: 6h, 1d"},
	{"at", SL_ROW_OTHER, .read = read_at, .schema = "{\"type\":\"string\"}", .about = "the time that counts as now; the clock's unless given"}, WHERE, SEVERITY,
	ENVIRONMENTS};
static const struct sl_row VALUE_SET_ROWS[] = {COLUMN, VALUES, WHERE, SEVERITY, ENVIRONMENTS};
#define OF {"of", SL_ROW_CHOICE, CHECK(text), .choices = STATISTICS, .required = true, .about = "statistic"}
#define MAYBE_COLUMN {"column", SL_ROW_TEXT, offsetof(struct sl_check_read, column), .about = "column; none for rows"}
static const struct sl_row CHANGE_ROWS[] = {OF, MAYBE_COLUMN, BOUNDS, SEVERITY, ENVIRONMENTS};
static const struct sl_row ANOMALY_ROWS[] = {
	OF, MAYBE_COLUMN, {"deviations", SL_ROW_NUMBER, CHECK(number), .min = 0, .max = 1e300, .about = "how many robust standard deviations from the median of the history; 4"},
	{"versions", SL_ROW_INT, CHECK(span), .min = 3, .max = SL_CHECK_VERSIONS_MAX, .about = "so many versions back; 30"}, SEVERITY, ENVIRONMENTS};
static const struct sl_row DISTRIBUTION_ROWS[] = {
	COLUMN, {"by", SL_ROW_CHOICE, CHECK(text), .choices = MEASURES, .required = true, .about = "measure"},
	{"against", SL_ROW_REF, CHECK(other), .about = "dataset, or previous (its own version before)"}, BOUNDS, WHERE, SEVERITY, ENVIRONMENTS};

const struct sl_shape sl_check_modifiers = SL_SHAPE("a check", MODIFIER_ROWS);

#define FORM(name_, rows_, ...) {.name = name_, .shape = {"'" name_ "'", rows_, SL_ARRAY_LEN(rows_)}, __VA_ARGS__}
const struct sl_check_form sl_check_forms[SL_CHECK_KINDS] = {
	[SL_CHECK_NOT_NULL] = FORM("not_null", COLUMN_LIST_ROWS, LIST_SCHEMA, .by_row = true),
	[SL_CHECK_NULL] = FORM("null", COLUMN_LIST_ROWS, LIST_SCHEMA, .by_row = true),
	[SL_CHECK_BETWEEN] = FORM("between", BETWEEN_ROWS, .by_row = true, .bounded = true),
	[SL_CHECK_IN_SET] = FORM("in_set", SET_ROWS, .by_row = true),
	[SL_CHECK_NOT_IN_SET] = FORM("not_in_set", SET_ROWS, .by_row = true),
	[SL_CHECK_REGEX] = FORM("regex", REGEX_ROWS, .by_row = true),
	[SL_CHECK_NOT_REGEX] = FORM("not_regex", REGEX_ROWS, .by_row = true),
	[SL_CHECK_LIKE] = FORM("like", LIKE_ROWS, .by_row = true),
	[SL_CHECK_NOT_LIKE] = FORM("not_like", LIKE_ROWS, .by_row = true),
	[SL_CHECK_LENGTH] = FORM("length", BETWEEN_ROWS, .by_row = true, .bounded = true),
	[SL_CHECK_FORMAT] = FORM("format", FORMAT_ROWS, .by_row = true),
	[SL_CHECK_FINITE] = FORM("finite", COLUMN_LIST_ROWS, LIST_SCHEMA, .by_row = true),
	[SL_CHECK_COMPARE] = FORM("compare", COMPARE_ROWS, .by_row = true),
	[SL_CHECK_PAIRS] = FORM("pairs", PAIR_ROWS, .by_row = true),
	[SL_CHECK_SUMS_TO] = FORM("sums_to", SUM_ROWS, .by_row = true),
	[SL_CHECK_DIFFERENT] = FORM("different", COLUMN_LIST_ROWS, LIST_SCHEMA, .by_row = true),
	[SL_CHECK_HOLDS] = FORM("holds", HOLDS_ROWS, "{\"type\":\"string\"}", .by_row = true),
	[SL_CHECK_Z_SCORE] = FORM("z_score", Z_SCORE_ROWS, .by_row = true),
	[SL_CHECK_FOREIGN_KEY] = FORM("foreign_key", KEY_ROWS, .by_row = true),
	[SL_CHECK_UNIQUE] = FORM("unique", UNIQUE_ROWS, LIST_SCHEMA, .by_row = true),
	[SL_CHECK_INCREASING] = FORM("increasing", ORDER_ROWS, "{\"type\":\"string\"}", .by_row = true),
	[SL_CHECK_DECREASING] = FORM("decreasing", ORDER_ROWS, "{\"type\":\"string\"}", .by_row = true),
	[SL_CHECK_COLUMNS] = {.name = "columns", .shape = {.what = "'columns'"}, .schema = MAP_SCHEMA},
	[SL_CHECK_COLUMN_SET] = FORM("column_set", COLUMN_SET_ROWS, LIST_SCHEMA),
	[SL_CHECK_COLUMN_COUNT] = FORM("column_count", COUNT_ROWS, .bounded = true),
	[SL_CHECK_ROWS] = FORM("rows", ROWS_ROWS, .bounded = true),
	[SL_CHECK_SQL] = FORM("sql", SQL_ROWS, "{\"type\":\"string\"}"),
	[SL_CHECK_SCHEMA] = FORM("schema", SCHEMA_ROWS),
	[SL_CHECK_MEAN] = FORM("mean", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_MEDIAN] = FORM("median", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_STDEV] = FORM("stdev", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_SUM] = FORM("sum", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_MINIMUM] = FORM("minimum", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_MAXIMUM] = FORM("maximum", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_QUANTILE] = FORM("quantile", QUANTILE_ROWS, .bounded = true),
	[SL_CHECK_DISTINCT] = FORM("distinct", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_DISTINCT_SHARE] = FORM("distinct_share", STATISTIC_ROWS, .bounded = true),
	[SL_CHECK_FRESH] = FORM("fresh", FRESH_ROWS),
	[SL_CHECK_DISTINCT_IN] = FORM("distinct_in", VALUE_SET_ROWS),
	[SL_CHECK_DISTINCT_CONTAINS] = FORM("distinct_contains", VALUE_SET_ROWS),
	[SL_CHECK_DISTINCT_EQUALS] = FORM("distinct_equals", VALUE_SET_ROWS),
	[SL_CHECK_MOST_COMMON] = FORM("most_common", VALUE_SET_ROWS),
	[SL_CHECK_CHANGE] = FORM("change", CHANGE_ROWS, .bounded = true),
	[SL_CHECK_ANOMALY] = FORM("anomaly", ANOMALY_ROWS),
	[SL_CHECK_DISTRIBUTION] = FORM("distribution", DISTRIBUTION_ROWS, .bounded = true),
};

const char *sl_check_kind_name(enum sl_check_kind kind) { return sl_check_forms[kind].name; }
bool sl_check_by_row(enum sl_check_kind kind) { return sl_check_forms[kind].by_row; }

bool sl_check_reads_dataset(const struct sl_check *check)
{
	bool may = check->kind == SL_CHECK_FOREIGN_KEY || check->kind == SL_CHECK_ROWS || check->kind == SL_CHECK_DISTRIBUTION;
	return may && *check->other && strcmp(check->other, "previous") != 0;
}

/* Sections `sources` and `datasets` (with their checks). */
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "os/file.h"
#include "project/shape.h"

/* ---- sources --------------------------------------------------------------------------------------------------------- */

static int read_columns_json(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_source *source = target;
	int rc = sl_load_want_map(loader, node, "'columns'");
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *type;
		rc = sl_load_text(loader, node->entries[i].value, node->entries[i].key->text, &type);
	}
	return rc ? rc : sl_load_definition(loader, node, &source->columns);
}

static const char *const FORMATS[] = {"parquet", "csv", "json", NULL};
static const struct sl_row SOURCE_ROWS[] = {
	{"path", SL_ROW_TEXT, offsetof(struct sl_source, path), .required = true, .about = "file or glob, relative to the project"},
	{"format", SL_ROW_CHOICE, offsetof(struct sl_source, format), .choices = FORMATS, .about = "when the file's name does not tell"},
	{"columns", SL_ROW_OTHER, .read = read_columns_json, .about = "types of CSV columns by name; without it they are sniffed",
	 .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"},
};
const struct sl_shape sl_shape_source = SL_SHAPE("a source", SOURCE_ROWS);

static int read_source(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_source *source = element;
	*source = (struct sl_source){.name = name, .path = "", .format = "", .columns = "", .mark = node->mark};
	int rc = node->kind == SL_YAML_MAP ? sl_shape_read(loader, &sl_shape_source, node, source)
					   : sl_load_text(loader, node, name, &source->path);
	if (rc)
		return rc;
	if (strstr(source->path, "://")) {
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'%.200s' is an address, and sources are files", source->path);
		sl_error_hint(loader->err, "fetch it with a step that has 'run', or give a file or glob");
		return rc;
	}
	if (!*source->path)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "source '%s' has an empty path", name);
	return sl_load_definition(loader, node, &source->definition);
}

int sl_read_sources(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'sources'", sizeof *p->sources, read_source, &p->sources, &p->source_count);
}

/* ---- checks ---------------------------------------------------------------------------------------------------------- */

/* A check while it is read: `column` and `columns` are two spellings for the same place. */
struct check_read { struct sl_check check; const char *column, *severity, *otherwise; };

static int read_bound(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret, bool *ret_has)
{
	int rc = sl_load_value(loader, node, ret);
	if (!rc && ret->type != SL_VALUE_INT && ret->type != SL_VALUE_DOUBLE && ret->type != SL_VALUE_TIME)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a bound must be a number or a time");
	*ret_has = true;
	return rc;
}

static int read_min(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct check_read *)target)->check;
	return read_bound(loader, node, &check->min, &check->has_min);
}

static int read_max(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct check_read *)target)->check;
	return read_bound(loader, node, &check->max, &check->has_max);
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

static int read_values(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_check *check = &((struct check_read *)target)->check;
	int rc = sl_load_resolve(loader, node, &node);
	if (!rc && (node->kind != SL_YAML_LIST || node->count == 0))
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'values' wants a list with at least one value");
	if (rc)
		return rc;
	check->values = sl_arena_array(loader->arena, node->count, sizeof *check->values);
	if (!check->values)
		return sl_load_memory(loader);
	check->value_count = node->count;
	for (size_t i = 0; !rc && i < node->count; i++) {
		rc = sl_load_value(loader, node->entries[i].value, &check->values[i]);
		if (!rc && (check->values[i].type == SL_VALUE_JSON || check->values[i].type == SL_VALUE_NULL))
			rc = sl_load_fail(loader, node->entries[i].value->mark, SL_E_INVALID, "a value of a set is a text, number, time, true or false");
		if (!rc && set_kind(&check->values[i]) != set_kind(&check->values[0]))
			rc = sl_load_fail(loader, node->entries[i].value->mark, SL_E_INVALID, "the values of a set are of one kind, and the first is a %s",
					  set_kind(&check->values[0]));
	}
	return rc;
}

/* "columns: {date: timestamp}": names and types side by side. */
static int read_typed_columns(struct sl_loader *loader, const struct sl_yaml *node, struct sl_check *check)
{
	struct sl_name_list names = {0}, types = {0};
	int rc = sl_load_want_map(loader, node, "'columns'");
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *type;
		rc = sl_load_text(loader, node->entries[i].value, node->entries[i].key->text, &type);
		rc = rc ? rc : sl_name_list_add(loader, &names, node->entries[i].key->text);
		rc = rc ? rc : sl_name_list_add(loader, &types, type);
	}
	check->columns = sl_name_list_names(&names);
	check->types = sl_name_list_names(&types);
	return rc;
}

#define CHECK(member) offsetof(struct check_read, check.member)
#define VALUE_SCHEMA "{\"type\":[\"number\",\"string\"]}"
static const char *const SEVERITIES[] = {"error", "warn", NULL}, *const OTHERWISE[] = {"fail", "quarantine", NULL};
#define MODIFIERS                                                                                                                                     \
	{"mostly", SL_ROW_NUMBER, CHECK(mostly), .min = 0, .max = 1, .about = "share of rows that must pass; 1 = all"},                                \
	{"where", SL_ROW_SQL, CHECK(where), .about = "SQL expression: only these rows are looked at"},                                                 \
	{"severity", SL_ROW_CHOICE, offsetof(struct check_read, severity), .choices = SEVERITIES, .about = "warn: reported, but nothing stops"},       \
	{"else", SL_ROW_CHOICE, offsetof(struct check_read, otherwise), .choices = OTHERWISE, .about = "quarantine: failing rows are put aside in NAME.quarantine"}
static const struct sl_row MODIFIER_ROWS[] = {MODIFIERS};
static const struct sl_row COLUMN_LIST_ROWS[] = {
	{"columns", SL_ROW_NAMES, CHECK(columns), .required = true, .about = "columns"}, MODIFIERS};
static const struct sl_row BETWEEN_ROWS[] = {
	{"column", SL_ROW_TEXT, offsetof(struct check_read, column), .required = true, .about = "column"},
	{"min", SL_ROW_OTHER, .read = read_min, .schema = VALUE_SCHEMA, .about = "least value, inclusive"},
	{"max", SL_ROW_OTHER, .read = read_max, .schema = VALUE_SCHEMA, .about = "greatest value, inclusive"}, MODIFIERS};
static const struct sl_row SET_ROWS[] = {
	{"column", SL_ROW_TEXT, offsetof(struct check_read, column), .required = true, .about = "column"},
	{"values", SL_ROW_OTHER, .read = read_values, .required = true, .schema = "{\"type\":\"array\",\"minItems\":1}", .about = "the values allowed"},
	MODIFIERS};
static const struct sl_row REGEX_ROWS[] = {
	{"column", SL_ROW_TEXT, offsetof(struct check_read, column), .required = true, .about = "column"},
	{"pattern", SL_ROW_TEXT, CHECK(text), .required = true, .about = "regular expression (RE2) that the whole text must match"}, MODIFIERS};
static const struct sl_row ROWS_ROWS[] = {
	{"min", SL_ROW_OTHER, .read = read_min, .schema = VALUE_SCHEMA, .about = "least number of rows"},
	{"max", SL_ROW_OTHER, .read = read_max, .schema = VALUE_SCHEMA, .about = "greatest number of rows"},
	{"severity", SL_ROW_CHOICE, offsetof(struct check_read, severity), .choices = SEVERITIES, .about = "warn: reported, but nothing stops"}};
static const struct sl_row SQL_ROWS[] = {
	{"query", SL_ROW_SQL, CHECK(text), .required = true, .about = "query or .sql file; the rows it returns are the failures"},
	{"severity", SL_ROW_CHOICE, offsetof(struct check_read, severity), .choices = SEVERITIES, .about = "warn: reported, but nothing stops"}};
static const struct sl_shape MODIFIER_SHAPE = SL_SHAPE("a check", MODIFIER_ROWS);

/* Every kind of check: its long form as a shape, and what its short form may be. */
static const struct check_kind {
	const char *name;
	enum sl_check_kind kind;
	struct sl_shape shape;
	const char *schema; /* of the short form */
} KINDS[] = {
	{"columns", SL_CHECK_COLUMNS, {.what = "'columns'"}, "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"},
	{"not_null", SL_CHECK_NOT_NULL, SL_SHAPE("'not_null'", COLUMN_LIST_ROWS), "{\"type\":[\"array\",\"string\"]}"},
	{"unique", SL_CHECK_UNIQUE, SL_SHAPE("'unique'", COLUMN_LIST_ROWS), "{\"type\":[\"array\",\"string\"]}"},
	{"between", SL_CHECK_BETWEEN, SL_SHAPE("'between'", BETWEEN_ROWS), NULL},
	{"in_set", SL_CHECK_IN_SET, SL_SHAPE("'in_set'", SET_ROWS), NULL},
	{"regex", SL_CHECK_REGEX, SL_SHAPE("'regex'", REGEX_ROWS), NULL},
	{"rows", SL_CHECK_ROWS, SL_SHAPE("'rows'", ROWS_ROWS), NULL},
	{"sql", SL_CHECK_SQL, SL_SHAPE("'sql'", SQL_ROWS), "{\"type\":\"string\"}"},
};

static const struct check_kind *find_kind(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		if (strcmp(KINDS[i].name, name) == 0)
			return &KINDS[i];
	return NULL;
}

static int unknown_check(struct sl_loader *loader, const struct sl_yaml *key)
{
	const char *names[SL_ARRAY_LEN(KINDS) + SL_ARRAY_LEN(MODIFIER_ROWS)];
	size_t count = 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		names[count++] = KINDS[i].name;
	for (size_t i = 0; i < SL_ARRAY_LEN(MODIFIER_ROWS); i++)
		names[count++] = MODIFIER_ROWS[i].name;
	sl_load_fail(loader, key->mark, SL_E_INVALID, "there is no check '%.100s'", key->text);
	return sl_load_suggest(loader, key->text, names, count);
}

/* A column may be called 5, but who writes 5 without quotes more likely mistook the check. */
static int want_column_name(struct sl_loader *loader, const struct sl_yaml *node)
{
	long long integer;
	double number;
	bool truth;
	int rc = sl_load_resolve(loader, node, &node);
	if (rc || node->kind != SL_YAML_SCALAR || !node->plain)
		return rc;
	if (!sl_yaml_int(node, &integer) && !sl_yaml_double(node, &number) && !sl_yaml_bool(node, &truth))
		return 0;
	sl_load_fail(loader, node->mark, SL_E_INVALID, "a column's name is wanted here, not %.100s", node->text);
	return sl_error_hint(loader->err, "if the column is called so, quote it: '%.100s'", node->text);
}

static int want_column_names(struct sl_loader *loader, const struct sl_yaml *node)
{
	const struct sl_yaml *inner = node->kind != SL_YAML_MAP ? NULL : sl_yaml_get(node, "columns") ? sl_yaml_get(node, "columns") : sl_yaml_get(node, "column");
	node = inner ? inner : node;
	int rc = node->kind == SL_YAML_SCALAR ? want_column_name(loader, node) : 0;
	for (size_t i = 0; !rc && node->kind == SL_YAML_LIST && i < node->count; i++)
		rc = want_column_name(loader, node->entries[i].value);
	return rc;
}

static int read_check_body(struct sl_loader *loader, const struct check_kind *kind, const struct sl_yaml *node, struct check_read *read)
{
	long long integer;
	if (kind->kind != SL_CHECK_SQL && kind->kind != SL_CHECK_COLUMNS && want_column_names(loader, node))
		return SL_E_INVALID;
	if (kind->kind == SL_CHECK_SQL && sl_yaml_int(node, &integer))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'sql' wants a query or a .sql file, not %s", node->text);
	if (kind->kind == SL_CHECK_COLUMNS)
		return read_typed_columns(loader, node, &read->check);
	if (node->kind == SL_YAML_MAP)
		return sl_shape_read(loader, &kind->shape, node, read);
	if (kind->schema)
		return sl_row_read(loader, &kind->shape.rows[0], node, read);
	return sl_load_want_map(loader, node, kind->shape.what);
}

/* "not_null(date, origin)", "rows", "sql(…)": what reports call it. */
static int name_check(struct sl_loader *loader, const struct check_kind *kind, const char *given, struct sl_check *check)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(4096);
	sl_buf_str(&out, kind->name);
	const char *opening = "(";
	for (size_t i = 0; i < check->columns.count && kind->kind != SL_CHECK_COLUMNS; i++, opening = ", ")
		sl_buf_printf(&out, "%s%.128s", opening, check->columns.items[i]);
	if (check->columns.count && kind->kind != SL_CHECK_COLUMNS)
		sl_buf_char(&out, ')');
	if (kind->kind == SL_CHECK_SQL)
		sl_buf_printf(&out, "(%.60s)", given);
	if (out.failed == SL_E_TOO_LARGE)
		return sl_load_fail(loader, check->mark, SL_E_TOO_LARGE, "a check looks at too many columns");
	check->name = sl_arena_strdup(loader->arena, sl_buf_cstr(&out));
	return check->name ? 0 : sl_load_memory(loader);
}

/* Bounds of one kind, and in order. */
static int check_bounds(struct sl_loader *loader, const struct check_kind *kind, const struct sl_check *check)
{
	const struct sl_value *min = &check->min, *max = &check->max;
	bool min_time = check->has_min && min->type == SL_VALUE_TIME, max_time = check->has_max && max->type == SL_VALUE_TIME;
	if (kind->kind == SL_CHECK_ROWS) {
		if ((check->has_min && (min->type != SL_VALUE_INT || min->i < 0)) || (check->has_max && (max->type != SL_VALUE_INT || max->i < 0)))
			return sl_load_fail(loader, check->mark, SL_E_INVALID, "'rows' counts: its bounds are whole numbers from 0");
	}
	if (!check->has_min || !check->has_max)
		return 0;
	if (min_time != max_time)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'min' and 'max' must be of one kind: two numbers or two times");
	double low = min->type == SL_VALUE_DOUBLE ? min->d : (double)min->i, high = max->type == SL_VALUE_DOUBLE ? max->d : (double)max->i;
	if (low <= high)
		return 0;
	sl_load_fail(loader, check->mark, SL_E_INVALID, "'min' is greater than 'max': no value can pass");
	return sl_error_hint(loader->err, "exchange them");
}

static int finish_check(struct sl_loader *loader, const struct check_kind *kind, struct check_read *read)
{
	struct sl_check *check = &read->check;
	if (read->column) {
		const char **items = sl_arena_array(loader->arena, 1, sizeof *items);
		if (!items)
			return sl_load_memory(loader);
		items[0] = read->column;
		check->columns = (struct sl_names){items, 1};
	}
	check->warn_only = sl_str_eq(read->severity, "warn");
	check->quarantine = sl_str_eq(read->otherwise, "quarantine");
	bool by_row = kind->kind != SL_CHECK_COLUMNS && kind->kind != SL_CHECK_ROWS && kind->kind != SL_CHECK_SQL;
	if (check->quarantine && !by_row)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' does not judge single rows, so none can be put aside", kind->name);
	const char *given = check->text; /* the query, or the name of its file */
	if (kind->kind == SL_CHECK_SQL && sl_str_ends(check->text, ".sql")) {
		int rc = sl_load_sql_file(loader, check->text, check->mark, &check->text);
		if (rc)
			return rc;
	}
	bool bounded = kind->kind == SL_CHECK_BETWEEN || kind->kind == SL_CHECK_ROWS;
	if (bounded && !check->has_min && !check->has_max)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' needs 'min', 'max' or both", kind->name);
	if (bounded && check_bounds(loader, kind, check))
		return SL_E_INVALID;
	if (by_row && check->columns.count == 0)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' names no column", kind->name);
	return name_check(loader, kind, given, check);
}

/* A check's own key, with its modifiers inside of it or beside it. */
static int read_check(struct sl_loader *loader, const struct sl_yaml *node, struct sl_check *ret)
{
	int rc = sl_load_want_map(loader, node, "a check");
	struct check_read read = {.check = {.mostly = 1, .where = "", .text = "", .mark = node->mark}};
	const struct check_kind *kind = NULL;
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key;
		const struct check_kind *found = find_kind(key->text);
		const struct sl_row *modifier = found ? NULL : sl_shape_row(&MODIFIER_SHAPE, key->text);
		if (found && kind)
			rc = sl_load_fail(loader, key->mark, SL_E_INVALID, "one check for each '-': '%s' begins a second one", key->text);
		else if (found)
			rc = read_check_body(loader, found, node->entries[i].value, &read);
		else
			rc = modifier ? sl_row_read(loader, modifier, node->entries[i].value, &read) : unknown_check(loader, key);
		kind = found ? found : kind;
	}
	if (!rc && !kind)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a check is missing here");
	if (!rc) {
		read.check.kind = kind->kind;
		rc = finish_check(loader, kind, &read);
	}
	if (!rc)
		rc = sl_load_definition(loader, node, &read.check.definition);
	*ret = read.check;
	return rc;
}

static int read_checks(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_dataset *dataset = target;
	if (node->kind != SL_YAML_LIST)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'checks' wants a list");
	dataset->checks = sl_arena_array(loader->arena, node->count + 1, sizeof *dataset->checks);
	if (!dataset->checks)
		return sl_load_memory(loader);
	int rc = 0;
	for (size_t i = 0; !rc && i < node->count; i++)
		rc = read_check(loader, node->entries[i].value, &dataset->checks[dataset->check_count++]);
	return rc;
}

int sl_check_schema(struct sl_buf *out, void (*shape)(struct sl_buf *out, const struct sl_shape *shape))
{
	sl_buf_str(out, "{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":false,\"properties\":{");
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++) {
		sl_buf_printf(out, "%s\"%s\":{\"anyOf\":[", i ? "," : "", KINDS[i].name);
		sl_buf_str(out, KINDS[i].schema ? KINDS[i].schema : "");
		if (KINDS[i].schema && KINDS[i].shape.count)
			sl_buf_char(out, ',');
		if (KINDS[i].shape.count)
			shape(out, &KINDS[i].shape);
		sl_buf_str(out, "]}");
	}
	sl_buf_str(out, ",\"mostly\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"where\":{\"type\":\"string\"},"
			"\"severity\":{\"enum\":[\"error\",\"warn\"]},\"else\":{\"enum\":[\"fail\",\"quarantine\"]}}}");
	return out->failed;
}

/* ---- datasets ---------------------------------------------------------------------------------------------------------- */

static const struct sl_row DATASET_ROWS[] = {
	{"checks", SL_ROW_OTHER, .read = read_checks, .required = true, .about = "what must hold for every version",
	 .schema = "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/check\"}}"},
};
const struct sl_shape sl_shape_dataset = SL_SHAPE("a dataset", DATASET_ROWS);

static int read_dataset(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_dataset *dataset = element;
	*dataset = (struct sl_dataset){.name = name, .mark = node->mark};
	int rc = sl_shape_read(loader, &sl_shape_dataset, node, dataset);
	dataset->params = sl_name_list_names(loader->uses);
	return rc;
}

int sl_read_datasets(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'datasets'", sizeof *p->datasets, read_dataset, &p->datasets, &p->dataset_count);
}

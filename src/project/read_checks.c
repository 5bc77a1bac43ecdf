/* A dataset's checks. */
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "project/check_shapes.h"

static enum sl_check_kind find_kind(const char *name)
{
	size_t kind = 0;
	while (kind < SL_CHECK_KINDS && strcmp(sl_check_forms[kind].name, name) != 0)
		kind++;
	return (enum sl_check_kind)kind;
}

static int unknown_check(struct sl_loader *loader, const struct sl_yaml *key)
{
	const char *names[SL_CHECK_KINDS + 8];
	size_t count = 0;
	for (size_t i = 0; i < SL_CHECK_KINDS; i++)
		names[count++] = sl_check_forms[i].name;
	for (size_t i = 0; i < sl_check_modifiers.count; i++)
		names[count++] = sl_check_modifiers.rows[i].name;
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

static int read_check_body(struct sl_loader *loader, enum sl_check_kind kind, const struct sl_yaml *node, struct sl_check_read *read)
{
	const struct sl_check_form *form = &sl_check_forms[kind];
	bool sql = kind == SL_CHECK_SQL || kind == SL_CHECK_HOLDS;
	long long integer;
	if (!sql && kind != SL_CHECK_COLUMNS && want_column_names(loader, node))
		return SL_E_INVALID;
	if (kind == SL_CHECK_SQL && sl_yaml_int(node, &integer))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'sql' wants a query or a .sql file, not %s", node->text);
	if (kind == SL_CHECK_COLUMNS)
		return sl_check_typed_columns(loader, node, read);
	if (node->kind == SL_YAML_MAP)
		return sl_shape_read(loader, &form->shape, node, read);
	if (form->schema)
		return sl_row_read(loader, &form->shape.rows[0], node, read);
	return sl_load_want_map(loader, node, form->shape.what);
}

/* ---- what a check means as a whole ------------------------------------------------------------------------------------ */

/* What stands behind the columns in the name: "quantile(delay, 0.95)", "change(rows)". */
static void name_detail(const struct sl_check *check, const char *given, struct sl_buf *out)
{
	const char *comma = check->columns.count ? ", " : "";
	switch (check->kind) {
	case SL_CHECK_SQL:
	case SL_CHECK_HOLDS:
		sl_buf_printf(out, "%.60s", given);
		break;
	case SL_CHECK_FORMAT:
	case SL_CHECK_CHANGE:
	case SL_CHECK_ANOMALY:
	case SL_CHECK_DISTRIBUTION:
		sl_buf_printf(out, "%s%.60s", comma, check->text);
		break;
	case SL_CHECK_QUANTILE:
		sl_buf_printf(out, "%s%.15g", comma, check->number);
		break;
	case SL_CHECK_COMPARE:
		sl_buf_printf(out, " %s %.128s", check->text, check->other);
		break;
	default:
		break;
	}
}

/* "not_null(date, origin)", "rows", "sql(…)": what reports call it. */
static int name_check(struct sl_loader *loader, const char *given, struct sl_check *check)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(4096), detail = SL_BUF_INIT(4096);
	bool many = check->kind == SL_CHECK_COLUMNS || check->kind == SL_CHECK_COLUMN_SET;
	for (size_t i = 0; i < check->columns.count && !many; i++)
		sl_buf_printf(&detail, "%s%.128s", i ? ", " : "", check->columns.items[i]);
	name_detail(check, given, &detail);
	sl_buf_str(&out, sl_check_forms[check->kind].name);
	if (detail.len)
		sl_buf_printf(&out, "(%s)", sl_buf_cstr(&detail));
	if (out.failed == SL_E_TOO_LARGE || detail.failed == SL_E_TOO_LARGE)
		return sl_load_fail(loader, check->mark, SL_E_TOO_LARGE, "a check looks at too many columns");
	check->name = sl_arena_strdup(loader->arena, sl_buf_cstr(&out));
	return check->name ? 0 : sl_load_memory(loader);
}

static double number_of(const struct sl_value *value) { return value->type == SL_VALUE_DOUBLE ? value->d : (double)value->i; }

static bool counts(const struct sl_value *value) { return value->type == SL_VALUE_INT && value->i >= 0; }

/* Bounds of one kind, and in order. */
static int check_bounds(struct sl_loader *loader, const struct sl_check *check)
{
	const char *name = sl_check_forms[check->kind].name;
	bool times = check->kind == SL_CHECK_BETWEEN || check->kind == SL_CHECK_MINIMUM || check->kind == SL_CHECK_MAXIMUM;
	bool whole = check->kind == SL_CHECK_ROWS || check->kind == SL_CHECK_COLUMN_COUNT || check->kind == SL_CHECK_LENGTH;
	bool min_time = check->has_min && check->min.type == SL_VALUE_TIME, max_time = check->has_max && check->max.type == SL_VALUE_TIME;
	if (!check->has_min && !check->has_max && !(check->kind == SL_CHECK_ROWS && *check->other))
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' needs 'min', 'max' or both", name);
	if (whole && ((check->has_min && !counts(&check->min)) || (check->has_max && !counts(&check->max))))
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' counts: its bounds are whole numbers from 0", name);
	if ((min_time || max_time) && !times)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' measures a number, so its bounds cannot be times", name);
	if (!check->has_min || !check->has_max)
		return 0;
	if (min_time != max_time)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'min' and 'max' must be of one kind: two numbers or two times");
	double low = number_of(&check->min), high = number_of(&check->max);
	if (low < high || (low == high && !check->above && !check->below))
		return 0;
	sl_load_fail(loader, check->mark, SL_E_INVALID, "'min' is greater than 'max': no value can pass");
	return sl_error_hint(loader->err, "exchange them");
}

static int check_format(struct sl_loader *loader, const struct sl_check *check)
{
	static const char *const NAMES[] = {"email", "date", "date-time", "time", "uuid", "ip", "ipv4", "ipv6", "json", "url", "hostname", "integer",
					    "number", "hex", "base64"};
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++)
		if (strcmp(NAMES[i], check->text) == 0)
			return 0;
	if (strchr(check->text, '%'))
		return 0;
	sl_load_fail(loader, check->mark, SL_E_INVALID, "there is no format '%.60s'", check->text);
	return sl_load_suggest(loader, check->text, NAMES, SL_ARRAY_LEN(NAMES));
}

/* How many columns, and whether a statistic is of one. */
static int check_columns(struct sl_loader *loader, struct sl_check *check)
{
	const char *name = sl_check_forms[check->kind].name;
	if (check->kind == SL_CHECK_CHANGE || check->kind == SL_CHECK_ANOMALY) {
		bool rows = strcmp(check->text, "rows") == 0;
		if (rows == !check->columns.count)
			return 0;
		return sl_load_fail(loader, check->mark, SL_E_INVALID, rows ? "'rows' is not of a column" : "'%s' of '%s' needs a column", name, check->text);
	}
	if (sl_check_forms[check->kind].by_row && check->kind != SL_CHECK_HOLDS && !check->columns.count)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' names no column", name);
	if (check->kind == SL_CHECK_PAIRS && check->columns.count != 2)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'pairs' wants two columns");
	if ((check->kind == SL_CHECK_DIFFERENT || check->kind == SL_CHECK_SUMS_TO) && check->columns.count < 2)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' wants at least two columns", name);
	if (check->kind == SL_CHECK_FOREIGN_KEY && !check->keys.count)
		check->keys = check->columns;
	if (check->kind == SL_CHECK_FOREIGN_KEY && check->keys.count != check->columns.count)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'foreign_key' has %zu columns and %zu keys", check->columns.count, check->keys.count);
	return 0;
}

static void fill_defaults(struct sl_check *check)
{
	if (check->kind == SL_CHECK_ANOMALY) {
		check->number = check->number > 0 ? check->number : 4;
		check->span = check->span ? check->span : 30;
	}
	if (check->kind == SL_CHECK_DISTRIBUTION && !*check->other)
		check->other = "previous";
	if (check->kind == SL_CHECK_SCHEMA) { /* rows that a rule discards go where others go */
		check->text = *check->text ? check->text : "evolve";
		check->other = *check->other ? check->other : "evolve";
		check->quarantine = strcmp(check->text, "discard_row") == 0 || strcmp(check->other, "discard_row") == 0;
	}
}

static int finish_check(struct sl_loader *loader, struct sl_check_read *read)
{
	struct sl_check *check = &read->check;
	const struct sl_check_form *form = &sl_check_forms[check->kind];
	if (read->column) {
		const char **items = sl_arena_array(loader->arena, 1, sizeof *items);
		if (!items)
			return sl_load_memory(loader);
		items[0] = read->column;
		check->columns = (struct sl_names){items, 1};
	}
	check->warn_only = sl_str_eq(read->severity, "warn");
	check->quarantine = sl_str_eq(read->otherwise, "quarantine");
	if (check->quarantine && !form->by_row)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' does not judge single rows, so none can be put aside", form->name);
	if (check->mostly < 1 && !form->by_row)
		return sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' does not judge single rows, so 'mostly' has no meaning", form->name);
	const char *given = check->text; /* the query, or the name of its file */
	int rc = 0;
	if (check->kind == SL_CHECK_SQL && sl_str_ends(check->text, ".sql"))
		rc = sl_load_sql_file(loader, check->text, check->mark, &check->text);
	fill_defaults(check);
	if (!rc && check->kind == SL_CHECK_FORMAT)
		rc = check_format(loader, check);
	rc = rc ? rc : check_columns(loader, check);
	if (!rc && form->bounded)
		rc = check_bounds(loader, check);
	if (!rc && check->kind == SL_CHECK_COLUMN_SET && check->keys.count && !check->strict)
		rc = sl_load_fail(loader, check->mark, SL_E_INVALID, "'optional' has a meaning with 'exact: true' only");
	if (!rc && check->if_present && !check->columns.count)
		rc = sl_load_fail(loader, check->mark, SL_E_INVALID, "'%s' names no column that could be missing", form->name);
	return rc ? rc : name_check(loader, given, check);
}

/* A check's own key, with its modifiers inside of it or beside it. */
static int read_check(struct sl_loader *loader, const struct sl_yaml *node, struct sl_check *ret)
{
	int rc = sl_load_want_map(loader, node, "a check");
	struct sl_check_read read = {.check = {.mostly = 1, .where = "", .text = "", .other = "", .mark = node->mark, .kind = SL_CHECK_KINDS}};
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key;
		enum sl_check_kind found = find_kind(key->text);
		const struct sl_row *modifier = found == SL_CHECK_KINDS ? sl_shape_row(&sl_check_modifiers, key->text) : NULL;
		if (found == SL_CHECK_KINDS) {
			rc = modifier ? sl_row_read(loader, modifier, node->entries[i].value, &read) : unknown_check(loader, key);
			continue;
		}
		if (read.check.kind != SL_CHECK_KINDS)
			return sl_load_fail(loader, key->mark, SL_E_INVALID, "one check for each '-': '%s' begins a second one", key->text);
		read.check.kind = found;
		rc = read_check_body(loader, found, node->entries[i].value, &read);
	}
	if (!rc && read.check.kind == SL_CHECK_KINDS)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a check is missing here");
	rc = rc ? rc : finish_check(loader, &read);
	rc = rc ? rc : sl_load_definition(loader, node, &read.check.definition);
	*ret = read.check;
	return rc;
}

int sl_read_checks(struct sl_loader *loader, const struct sl_yaml *node, void *target)
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
	for (size_t i = 0; i < SL_CHECK_KINDS; i++) {
		const struct sl_check_form *form = &sl_check_forms[i];
		sl_buf_printf(out, "%s\"%s\":{\"anyOf\":[", i ? "," : "", form->name);
		sl_buf_str(out, form->schema ? form->schema : "");
		if (form->schema && form->shape.count)
			sl_buf_char(out, ',');
		if (form->shape.count)
			shape(out, &form->shape);
		sl_buf_str(out, "]}");
	}
	sl_buf_str(out, ",\"mostly\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"where\":{\"type\":\"string\"},"
			"\"severity\":{\"enum\":[\"error\",\"warn\"]},\"else\":{\"enum\":[\"fail\",\"quarantine\"]},"
			"\"if_present\":{\"type\":\"boolean\"},\"environments\":" "{\"type\":[\"array\",\"string\"]}}}");
	return out->failed;
}

/* Checks and reports as JSON, between the command and its worker; a report also is what `--json` and the table check_result
 * hold. */
#include <stdio.h>
#include <string.h>

#include "data/check.h"

static const char *const VALUES[] = {
	[SL_VALUE_NULL] = "null", [SL_VALUE_BOOL] = "bool", [SL_VALUE_INT] = "int",   [SL_VALUE_DOUBLE] = "double",
	[SL_VALUE_TEXT] = "text", [SL_VALUE_TIME] = "time", [SL_VALUE_JSON] = "json",
};
static const char *const STATES[] = {[SL_CHECK_PASSED] = "passed", [SL_CHECK_WARNED] = "warned", [SL_CHECK_FAILED] = "failed"};

static int find_word(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	return -1;
}

/* ---- checks
 * -------------------------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *names_json(yyjson_mut_doc *doc, const struct sl_names *names)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc);

	for (size_t i = 0; i < names->count; i++)
		if (!yyjson_mut_arr_add_strcpy(doc, list, names->items[i]))
			return NULL;
	return list;
}

/* Doubles travel as %a text: JSON has no infinity, and every bit counts. */
static yyjson_mut_val *value_json(yyjson_mut_doc *doc, const struct sl_value *value)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	char digits[64];

	snprintf(digits, sizeof digits, "%a", value->d);
	yyjson_mut_obj_add_str(doc, root, "type", VALUES[value->type]);
	yyjson_mut_obj_add_int(doc, root, "i", value->i);
	yyjson_mut_obj_add_strcpy(doc, root, "d", digits);
	return yyjson_mut_obj_add_strcpy(doc, root, "text", value->text ? value->text : "") ? root : NULL;
}

static bool put_double(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double value)
{
	char digits[64];

	snprintf(digits, sizeof digits, "%a", value);
	return yyjson_mut_obj_add_strcpy(doc, object, name, digits);
}

static void put_rules(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct sl_check *check)
{
	if (check->has_min)
		yyjson_mut_obj_add_val(doc, root, "min", value_json(doc, &check->min));
	if (check->has_max)
		yyjson_mut_obj_add_val(doc, root, "max", value_json(doc, &check->max));
	yyjson_mut_obj_add_bool(doc, root, "above", check->above);
	yyjson_mut_obj_add_bool(doc, root, "below", check->below);
	yyjson_mut_obj_add_strcpy(doc, root, "text", check->text);
	yyjson_mut_obj_add_strcpy(doc, root, "other", check->other);
	put_double(doc, root, "number", check->number);
	put_double(doc, root, "tolerance", check->tolerance);
	yyjson_mut_obj_add_int(doc, root, "span", check->span);
	yyjson_mut_obj_add_val(doc, root, "at", value_json(doc, &check->at));
	yyjson_mut_obj_add_bool(doc, root, "strict", check->strict);
	yyjson_mut_obj_add_bool(doc, root, "ordered", check->ordered);
	put_double(doc, root, "mostly", check->mostly);
	yyjson_mut_obj_add_strcpy(doc, root, "where", check->where);
	yyjson_mut_obj_add_bool(doc, root, "if_present", check->if_present);
	yyjson_mut_obj_add_bool(doc, root, "warn", check->warn_only);
	yyjson_mut_obj_add_bool(doc, root, "quarantine", check->quarantine);
}

static yyjson_mut_val *check_json(yyjson_mut_doc *doc, const struct sl_check *check)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *values = yyjson_mut_arr(doc);

	for (size_t i = 0; i < check->value_count; i++)
		if (!yyjson_mut_arr_add_val(values, value_json(doc, &check->values[i])))
			return NULL;
	yyjson_mut_obj_add_str(doc, root, "kind", sl_check_kind_name(check->kind));
	yyjson_mut_obj_add_strcpy(doc, root, "name", check->name);
	yyjson_mut_obj_add_val(doc, root, "columns", names_json(doc, &check->columns));
	yyjson_mut_obj_add_val(doc, root, "types", names_json(doc, &check->types));
	yyjson_mut_obj_add_val(doc, root, "keys", names_json(doc, &check->keys));
	yyjson_mut_obj_add_val(doc, root, "values", values);
	put_rules(doc, root, check);
	yyjson_mut_obj_add_strcpy(doc, root, "definition", check->definition ? check->definition : "{}");
	yyjson_mut_obj_add_int(doc, root, "line", check->mark.line);
	return yyjson_mut_obj_add_int(doc, root, "column", check->mark.column) ? root : NULL;
}

yyjson_mut_val *sl_checks_json(yyjson_mut_doc *doc, const struct sl_check *checks, size_t count)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc);

	for (size_t i = 0; i < count; i++)
		if (!yyjson_mut_arr_add_val(list, check_json(doc, &checks[i])))
			return NULL;
	return list;
}

static const char *text_of(yyjson_val *object, const char *name, struct sl_arena *arena)
{
	return sl_arena_strdup(arena, sl_json_str(object, name, ""));
}

static int parse_names(yyjson_val *list, struct sl_arena *arena, struct sl_names *ret)
{
	yyjson_val *item;
	size_t i, count;

	ret->count = 0;
	ret->items = sl_arena_array(arena, yyjson_arr_size(list), sizeof *ret->items);
	if (!ret->items)
		return yyjson_arr_size(list) ? -1 : 0;
	yyjson_arr_foreach(list, i, count, item)
		if (!yyjson_is_str(item) || !(ret->items[ret->count++] = sl_arena_strdup(arena, yyjson_get_str(item))))
			return -1;
	return 0;
}

static int parse_value(yyjson_val *object, struct sl_arena *arena, struct sl_value *ret)
{
	int type = find_word(VALUES, SL_ARRAY_LEN(VALUES), sl_json_str(object, "type", ""));

	if (type < 0)
		return -1;
	*ret = (struct sl_value){.type = (enum sl_value_type)type,
				 .i = sl_json_int(object, "i", 0),
				 .text = text_of(object, "text", arena)};
	sscanf(sl_json_str(object, "d", "0"), "%la", &ret->d);
	return ret->text ? 0 : -1;
}

static double double_of(yyjson_val *object, const char *name)
{
	double value = 0;

	sscanf(sl_json_str(object, name, "0"), "%la", &value);
	return value;
}

static int parse_rules(yyjson_val *object, struct sl_arena *arena, struct sl_check *ret)
{
	yyjson_val *min = yyjson_obj_get(object, "min"), *max = yyjson_obj_get(object, "max"), *at = yyjson_obj_get(object, "at");

	ret->has_min = min;
	ret->has_max = max;
	ret->above = sl_json_bool(object, "above", false);
	ret->below = sl_json_bool(object, "below", false);
	ret->text = text_of(object, "text", arena);
	ret->other = text_of(object, "other", arena);
	ret->number = double_of(object, "number");
	ret->tolerance = double_of(object, "tolerance");
	ret->span = sl_json_int(object, "span", 0);
	ret->strict = sl_json_bool(object, "strict", false);
	ret->ordered = sl_json_bool(object, "ordered", false);
	ret->mostly = double_of(object, "mostly");
	ret->where = text_of(object, "where", arena);
	ret->if_present = sl_json_bool(object, "if_present", false);
	ret->warn_only = sl_json_bool(object, "warn", false);
	ret->quarantine = sl_json_bool(object, "quarantine", false);
	if (!ret->text || !ret->other || !ret->where)
		return -1;
	return (min && parse_value(min, arena, &ret->min) < 0) || (max && parse_value(max, arena, &ret->max) < 0)
			|| (at && parse_value(at, arena, &ret->at) < 0) ? -1 : 0;
}

static int find_kind(const char *name)
{
	for (int kind = 0; kind < SL_CHECK_KINDS; kind++)
		if (strcmp(sl_check_kind_name((enum sl_check_kind)kind), name) == 0)
			return kind;
	return -1;
}

static int parse_check(yyjson_val *object, struct sl_arena *arena, struct sl_check *ret)
{
	yyjson_val *values = yyjson_obj_get(object, "values"), *item;
	int kind = find_kind(sl_json_str(object, "kind", ""));
	size_t i, count;

	if (kind < 0)
		return -1;
	*ret = (struct sl_check){
		.kind = (enum sl_check_kind)kind,
		.name = text_of(object, "name", arena),
		.definition = text_of(object, "definition", arena),
		.mark = {.line = (int)sl_json_int(object, "line", 0), .column = (int)sl_json_int(object, "column", 0)},
		.values = sl_arena_array(arena, yyjson_arr_size(values) + 1, sizeof *ret->values),
	};
	if (!ret->name || !ret->definition || !ret->values || parse_rules(object, arena, ret) < 0
	    || parse_names(yyjson_obj_get(object, "columns"), arena, &ret->columns) < 0
	    || parse_names(yyjson_obj_get(object, "types"), arena, &ret->types) < 0
	    || parse_names(yyjson_obj_get(object, "keys"), arena, &ret->keys) < 0)
		return -1;
	yyjson_arr_foreach(values, i, count, item)
		if (parse_value(item, arena, &ret->values[ret->value_count++]) < 0)
			return -1;
	return 0;
}

int sl_checks_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check **ret, size_t *ret_count, struct sl_error *err)
{
	size_t count = yyjson_arr_size(value), i, max;
	struct sl_check *checks = sl_arena_array(arena, count + 1, sizeof *checks);
	yyjson_val *item;

	if (!checks)
		return sl_fail_memory(err);
	if (!yyjson_is_arr(value) || count > SL_CHECKS_MAX)
		return sl_fail(err, SL_E_INVALID, "checks must be a list of at most %d", SL_CHECKS_MAX);
	yyjson_arr_foreach(value, i, max, item)
		if (parse_check(item, arena, &checks[i]) < 0)
			return sl_fail(err, SL_E_INVALID, "check %zu of the job is incomplete", i);
	*ret = checks;
	*ret_count = count;
	return 0;
}

/* ---- reports
 * ------------------------------------------------------------------------------------------------------------------- */

yyjson_mut_val *sl_check_result_json(yyjson_mut_doc *doc, const struct sl_check_result *result)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_doc *rows = yyjson_read(result->rows, strlen(result->rows), 0);
	yyjson_mut_val *shown = rows ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(rows)) : yyjson_mut_arr(doc);

	yyjson_doc_free(rows);
	yyjson_mut_obj_add_strcpy(doc, root, "name", result->name);
	yyjson_mut_obj_add_strcpy(doc, root, "severity", result->severity);
	yyjson_mut_obj_add_str(doc, root, "state", STATES[result->state]);
	yyjson_mut_obj_add_uint(doc, root, "considered", result->considered);
	yyjson_mut_obj_add_uint(doc, root, "failing", result->failing);
	yyjson_mut_obj_add_real(doc, root, "share",
				result->considered ? (double)result->failing / (double)result->considered : 0);
	yyjson_mut_obj_add_uint(doc, root, "quarantined", result->quarantined);
	if (result->has_observed)
		yyjson_mut_obj_add_real(doc, root, "observed", result->observed);
	yyjson_mut_obj_add_strcpy(doc, root, "message", result->message);
	yyjson_mut_obj_add_val(doc, root, "rows", shown);
	yyjson_mut_obj_add_strcpy(doc, root, "sql", result->sql);
	yyjson_mut_obj_add_int(doc, root, "line", result->mark.line);
	return yyjson_mut_obj_add_int(doc, root, "column", result->mark.column) ? root : NULL;
}

yyjson_mut_val *sl_check_report_json(yyjson_mut_doc *doc, const struct sl_check_report *report)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *checks = yyjson_mut_arr(doc);

	for (size_t i = 0; i < report->count; i++)
		if (!yyjson_mut_arr_add_val(checks, sl_check_result_json(doc, &report->results[i])))
			return NULL;
	yyjson_mut_obj_add_strcpy(doc, root, "dataset", report->dataset);
	yyjson_mut_obj_add_uint(doc, root, "rows", report->rows);
	yyjson_mut_obj_add_uint(doc, root, "clean_rows", report->clean_rows);
	yyjson_mut_obj_add_uint(doc, root, "quarantined_rows", report->quarantined_rows);
	yyjson_mut_obj_add_bool(doc, root, "failed", report->failed);
	yyjson_mut_obj_add_val(doc, root, "checks", checks);
	if (*report->profile)
		yyjson_mut_obj_add_strcpy(doc, root, "profile", report->profile);
	if (report->clean.column_count)
		yyjson_mut_obj_add_val(doc, root, "clean", sl_staged_json(doc, &report->clean));
	if (report->quarantine.file_count
	    && !yyjson_mut_obj_add_val(doc, root, "quarantine", sl_staged_json(doc, &report->quarantine)))
		return NULL;
	return root;
}

static int parse_result(yyjson_val *object, struct sl_arena *arena, struct sl_check_result *ret)
{
	SL_AUTO_BUF struct sl_buf rows = SL_BUF_INIT(64 << 20);
	int state = find_word(STATES, SL_ARRAY_LEN(STATES), sl_json_str(object, "state", ""));
	yyjson_val *shown = yyjson_obj_get(object, "rows");

	if (state < 0 || !yyjson_is_arr(shown) || sl_json_canonical(shown, &rows, NULL) < 0)
		return -1;
	*ret = (struct sl_check_result){
		.name = text_of(object, "name", arena),
		.severity = text_of(object, "severity", arena),
		.state = (enum sl_check_state)state,
		.considered = (uint64_t)sl_json_int(object, "considered", 0),
		.failing = (uint64_t)sl_json_int(object, "failing", 0),
		.quarantined = (uint64_t)sl_json_int(object, "quarantined", 0),
		.has_observed = yyjson_obj_get(object, "observed"),
		.observed = sl_json_num(object, "observed", 0),
		.message = text_of(object, "message", arena),
		.rows = sl_arena_strdup(arena, sl_buf_cstr(&rows)),
		.sql = text_of(object, "sql", arena),
		.mark = {.line = (int)sl_json_int(object, "line", 0), .column = (int)sl_json_int(object, "column", 0)},
	};
	return ret->name && ret->severity && ret->message && ret->rows && ret->sql ? 0 : -1;
}

int sl_check_report_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check_report *ret, struct sl_error *err)
{
	yyjson_val *checks = yyjson_obj_get(value, "checks"), *clean = yyjson_obj_get(value, "clean"),
		   *quarantine = yyjson_obj_get(value, "quarantine"), *item;
	size_t count = yyjson_arr_size(checks), i, max;
	int rc = 0;

	*ret = (struct sl_check_report){
		.dataset = text_of(value, "dataset", arena),
		.rows = (uint64_t)sl_json_int(value, "rows", 0),
		.clean_rows = (uint64_t)sl_json_int(value, "clean_rows", 0),
		.quarantined_rows = (uint64_t)sl_json_int(value, "quarantined_rows", 0),
		.failed = sl_json_bool(value, "failed", true),
		.results = sl_arena_array(arena, count + 1, sizeof *ret->results),
		.count = count,
		.profile = text_of(value, "profile", arena),
	};
	if (!ret->dataset || !ret->results || !ret->profile)
		return sl_fail_memory(err);
	yyjson_arr_foreach(checks, i, max, item)
		if (parse_result(item, arena, &ret->results[i]) < 0)
			return sl_fail(err, SL_E_INVALID, "result %zu of the check report is incomplete", i);
	if (clean)
		rc = sl_staged_parse(clean, arena, &ret->clean, err);
	return rc == 0 && quarantine ? sl_staged_parse(quarantine, arena, &ret->quarantine, err) : rc;
}

#include "data/check_gx.h"

#include <string.h>

#include "base/str.h"

/* One expectation on its way: checks are added to `list`, else `why` says why not. */
struct mapping {
	yyjson_mut_doc *doc;
	yyjson_mut_val *list;
	yyjson_val *kwargs;
	const char *check;      /* our kind */
	const char *why;        /* static text; NULL: mapped */
	struct sl_buf where;    /* row_condition as SQL */
};
typedef void mapper(struct mapping *m);

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

static yyjson_val *arg(const struct mapping *m, const char *name)
{
	yyjson_val *value = yyjson_obj_get(m->kwargs, name);

	return yyjson_is_null(value) ? NULL : value;
}

static void put(struct mapping *m, yyjson_mut_val *body, const char *name, yyjson_val *value)
{
	if (value)
		yyjson_mut_obj_add_val(m->doc, body, name, yyjson_val_mut_copy(m->doc, value));
}

static yyjson_mut_val *body_of(struct mapping *m)
{
	yyjson_mut_val *check = yyjson_mut_arr_add_obj(m->doc, m->list);
	yyjson_mut_val *body = yyjson_mut_obj(m->doc);

	yyjson_mut_obj_add_val(m->doc, check, m->check, body);
	return body;
}

static void put_modifiers(struct mapping *m, yyjson_mut_val *body)
{
	yyjson_val *mostly = arg(m, "mostly");

	if (yyjson_is_num(mostly) && yyjson_get_num(mostly) < 1)
		put(m, body, "mostly", mostly);
	if (m->where.len)
		yyjson_mut_obj_add_strcpy(m->doc, body, "where", sl_buf_cstr(&m->where));
}

/* A check of one column; NULL (and `why`) without it. */
static yyjson_mut_val *column_body(struct mapping *m)
{
	if (!yyjson_is_str(arg(m, "column"))) {
		m->why = "it names no column";
		return NULL;
	}
	yyjson_mut_val *body = body_of(m);
	put(m, body, "column", arg(m, "column"));
	return body;
}

/* false when it has neither bound, or one that is no number: GX lets the first pass. */
static bool has_bounds(struct mapping *m)
{
	yyjson_val *min = arg(m, "min_value"), *max = arg(m, "max_value");
	bool sound = (!min || yyjson_is_num(min)) && (!max || yyjson_is_num(max));

	if (!min && !max)
		m->why = "it has no bounds, so it always passes";
	else if (!sound)
		m->why = "a bound is no number (write a time without quotes)";
	else if (min && max && yyjson_get_num(min) > yyjson_get_num(max))
		m->why = "its min_value is greater than its max_value, so nothing passes";
	return !m->why;
}

static void put_bounds(struct mapping *m, yyjson_mut_val *body)
{
	put(m, body, yyjson_get_bool(arg(m, "strict_min")) ? "above" : "min", arg(m, "min_value"));
	put(m, body, yyjson_get_bool(arg(m, "strict_max")) ? "below" : "max", arg(m, "max_value"));
}

/* pandas' `(a == 5) & (b == "x")` as SQL; its query language beyond comparisons is refused. */
static bool read_condition(struct mapping *m)
{
	const char *p = yyjson_get_str(arg(m, "row_condition")), *parser = yyjson_get_str(arg(m, "condition_parser"));

	if (!p)
		return true;
	if (!parser || (strcmp(parser, "pandas") != 0 && strcmp(parser, "spark") != 0)) {
		m->why = "its row_condition has a parser that is not known";
		return false;
	}
	for (; *p; p++) {
		if (*p == '"' || *p == '\'') {
			const char *end = strchr(p + 1, *p);
			if (!end || memchr(p + 1, '\'', (size_t)(end - p - 1)) || memchr(p + 1, '\\', (size_t)(end - p - 1)))
				break;
			sl_buf_char(&m->where, '\'');
			sl_buf_add(&m->where, p + 1, (size_t)(end - p - 1));
			sl_buf_char(&m->where, '\'');
			p = end;
		} else if (p[0] == '=' && p[1] == '=') {
			sl_buf_char(&m->where, '=');
			p++;
		} else if (*p == '&' || *p == '|') {
			sl_buf_str(&m->where, *p == '&' ? " AND " : " OR ");
		} else if (strchr("@`.[]~;", *p)) {
			break;
		} else {
			sl_buf_char(&m->where, *p);
		}
	}
	m->why = *p ? "its row_condition is more than comparisons" : NULL;
	return !*p;
}

/* ---- shapes of expectations ------------------------------------------------------------------------------------------- */

static void map_column_list(struct mapping *m)
{
	yyjson_val *columns = arg(m, "column") ? arg(m, "column") : arg(m, "column_list");
	bool unique = strcmp(m->check, "unique") == 0;

	if (!columns) {
		m->why = "it names no column";
		return;
	}
	yyjson_mut_val *body = body_of(m);
	put(m, body, "columns", columns);
	if (unique)
		yyjson_mut_obj_add_bool(m->doc, body, "every", true); /* GX counts every row of a repeated key */
	put_modifiers(m, body);
}

static void map_range(struct mapping *m)
{
	yyjson_mut_val *body = has_bounds(m) ? column_body(m) : NULL;

	if (!body)
		return;
	put_bounds(m, body);
	put_modifiers(m, body);
}

static void map_length(struct mapping *m)
{
	yyjson_val *value = arg(m, "value");

	if (value && !yyjson_is_int(value)) {
		m->why = "its value is no whole number";
		return;
	}
	yyjson_mut_val *body = value || has_bounds(m) ? column_body(m) : NULL;
	if (!body)
		return;
	put(m, body, "min", value);
	put(m, body, "max", value);
	if (!value)
		put_bounds(m, body);
	put_modifiers(m, body);
}

static void map_set(struct mapping *m)
{
	yyjson_val *set = arg(m, "value_set");

	if (!yyjson_is_arr(set) || !yyjson_arr_size(set)) {
		m->why = "its value_set is empty";
		return;
	}
	yyjson_mut_val *body = column_body(m);
	if (!body)
		return;
	put(m, body, "values", set);
	put_modifiers(m, body);
}

static void add_pattern(struct mapping *m, yyjson_val *pattern)
{
	yyjson_mut_val *body = column_body(m);

	if (!body)
		return;
	put(m, body, "pattern", pattern);
	if (sl_str_ends(m->check, "regex"))
		yyjson_mut_obj_add_bool(m->doc, body, "part", true); /* GX looks anywhere in the text */
	put_modifiers(m, body);
}

static void map_pattern(struct mapping *m)
{
	yyjson_val *pattern = arg(m, "regex") ? arg(m, "regex") : arg(m, "like_pattern"), *list = arg(m, "regex_list"), *item;
	const char *match_on = yyjson_get_str(arg(m, "match_on"));
	size_t i, max;

	if (!yyjson_is_str(pattern) && !yyjson_is_arr(list))
		m->why = "it has no pattern";
	else if (list && strcmp(m->check, "regex") == 0 && (!match_on || strcmp(match_on, "all") != 0))
		m->why = "one of several patterns: join them with | in one regex";
	else if (pattern)
		add_pattern(m, pattern);
	yyjson_arr_foreach(list, i, max, item)
		if (!m->why)
			add_pattern(m, item);
}

static void map_strftime(struct mapping *m)
{
	yyjson_mut_val *body = column_body(m);

	if (!body)
		return;
	put(m, body, "is", arg(m, "strftime_format"));
	put_modifiers(m, body);
}

static void map_json(struct mapping *m)
{
	yyjson_mut_val *body = column_body(m);

	if (!body)
		return;
	yyjson_mut_obj_add_str(m->doc, body, "is", "json");
	put_modifiers(m, body);
}

static void map_order(struct mapping *m)
{
	yyjson_mut_val *body = column_body(m);

	if (!body)
		return;
	put(m, body, "strict", arg(m, "strictly"));
	put_modifiers(m, body);
}

static void map_z_score(struct mapping *m)
{
	yyjson_mut_val *body = column_body(m);

	if (!body)
		return;
	put(m, body, "max", arg(m, "threshold"));
	yyjson_mut_obj_add_bool(m->doc, body, "above", !yyjson_get_bool(arg(m, "double_sided")));
	put_modifiers(m, body);
}

/* One check per quantile. */
static void map_quantiles(struct mapping *m)
{
	yyjson_val *ranges = arg(m, "quantile_ranges"), *at = yyjson_obj_get(ranges, "quantiles"), *values = yyjson_obj_get(ranges, "value_ranges");

	if (!yyjson_arr_size(at) || yyjson_arr_size(at) != yyjson_arr_size(values))
		m->why = "its quantile_ranges are not a list beside a list";
	for (size_t i = 0; !m->why && i < yyjson_arr_size(at); i++) {
		yyjson_val *min = yyjson_arr_get(yyjson_arr_get(values, i), 0), *max = yyjson_arr_get(yyjson_arr_get(values, i), 1);
		if (yyjson_is_num(min) && yyjson_is_num(max) && yyjson_get_num(min) > yyjson_get_num(max)) {
			m->why = "a range has its lower bound above its upper one, so nothing passes";
			return;
		}
		yyjson_mut_val *body = column_body(m);
		put(m, body, "at", yyjson_arr_get(at, i));
		put(m, body, "min", yyjson_is_num(min) ? min : NULL);
		put(m, body, "max", yyjson_is_num(max) ? max : NULL);
	}
}

static void map_compare(struct mapping *m, const char *operator)
{
	if (!yyjson_is_str(arg(m, "column_A")) || !yyjson_is_str(arg(m, "column_B"))) {
		m->why = "it does not name two columns";
		return;
	}
	yyjson_mut_val *body = body_of(m);
	put(m, body, "column", arg(m, "column_A"));
	yyjson_mut_obj_add_strcpy(m->doc, body, "is", operator);
	put(m, body, "other", arg(m, "column_B"));
	put_modifiers(m, body);
}

static void map_greater(struct mapping *m) { map_compare(m, yyjson_get_bool(arg(m, "or_equal")) ? ">=" : ">"); }
static void map_equal(struct mapping *m) { map_compare(m, "="); }

static void map_pairs(struct mapping *m)
{
	yyjson_mut_val *columns = yyjson_mut_arr(m->doc);

	if (!yyjson_arr_size(arg(m, "value_pairs_set"))) {
		m->why = "its value_pairs_set is empty";
		return;
	}
	yyjson_mut_val *body = body_of(m);
	yyjson_mut_arr_append(columns, yyjson_val_mut_copy(m->doc, arg(m, "column_A")));
	yyjson_mut_arr_append(columns, yyjson_val_mut_copy(m->doc, arg(m, "column_B")));
	yyjson_mut_obj_add_val(m->doc, body, "columns", columns);
	put(m, body, "values", arg(m, "value_pairs_set"));
	put_modifiers(m, body);
}

static void map_sum(struct mapping *m)
{
	yyjson_mut_val *body = body_of(m);

	put(m, body, "columns", arg(m, "column_list"));
	put(m, body, "total", arg(m, "sum_total"));
	put_modifiers(m, body);
}

static void map_names(struct mapping *m)
{
	yyjson_val *names = arg(m, "column") ? arg(m, "column") : arg(m, "column_list") ? arg(m, "column_list") : arg(m, "column_set");
	yyjson_val *exact = arg(m, "exact_match");

	if (!names) {
		m->why = "it names no column";
		return;
	}
	yyjson_mut_val *body = body_of(m);
	put(m, body, "names", names);
	yyjson_mut_obj_add_bool(m->doc, body, "exact", !arg(m, "column") && (!exact || yyjson_get_bool(exact)));
	yyjson_mut_obj_add_bool(m->doc, body, "ordered", arg(m, "column_list") != NULL);
}

static void map_count(struct mapping *m)
{
	yyjson_val *value = arg(m, "value");

	if (!value && !has_bounds(m))
		return;
	yyjson_mut_val *body = body_of(m);
	put(m, body, "min", value);
	put(m, body, "max", value);
	if (!value)
		put_bounds(m, body);
}

static void map_same_rows(struct mapping *m) { put(m, body_of(m), "same_as", arg(m, "other_table_name")); }

static void map_query(struct mapping *m) { put(m, body_of(m), "query", arg(m, "unexpected_rows_query")); }

static const struct { const char *type, *check; mapper *map; } EXPECTATIONS[] = {
	{"expect_column_to_exist", "column_set", map_names},
	{"expect_table_columns_to_match_ordered_list", "column_set", map_names},
	{"expect_table_columns_to_match_set", "column_set", map_names},
	{"expect_table_column_count_to_be_between", "column_count", map_count},
	{"expect_table_column_count_to_equal", "column_count", map_count},
	{"expect_table_row_count_to_be_between", "rows", map_count},
	{"expect_table_row_count_to_equal", "rows", map_count},
	{"expect_table_row_count_to_equal_other_table", "rows", map_same_rows},
	{"expect_column_values_to_not_be_null", "not_null", map_column_list},
	{"expect_column_values_to_be_null", "null", map_column_list},
	{"expect_column_values_to_be_unique", "unique", map_column_list},
	{"expect_compound_columns_to_be_unique", "unique", map_column_list},
	{"expect_select_column_values_to_be_unique_within_record", "different", map_column_list},
	{"expect_column_values_to_be_between", "between", map_range},
	{"expect_column_values_to_be_in_set", "in_set", map_set},
	{"expect_column_values_to_not_be_in_set", "not_in_set", map_set},
	{"expect_column_values_to_match_regex", "regex", map_pattern},
	{"expect_column_values_to_not_match_regex", "not_regex", map_pattern},
	{"expect_column_values_to_match_regex_list", "regex", map_pattern},
	{"expect_column_values_to_not_match_regex_list", "not_regex", map_pattern},
	{"expect_column_values_to_match_like_pattern", "like", map_pattern},
	{"expect_column_values_to_not_match_like_pattern", "not_like", map_pattern},
	{"expect_column_values_to_match_strftime_format", "format", map_strftime},
	{"expect_column_values_to_be_json_parseable", "format", map_json},
	{"expect_column_value_lengths_to_be_between", "length", map_length},
	{"expect_column_value_lengths_to_equal", "length", map_length},
	{"expect_column_value_z_scores_to_be_less_than", "z_score", map_z_score},
	{"expect_column_values_to_be_increasing", "increasing", map_order},
	{"expect_column_values_to_be_decreasing", "decreasing", map_order},
	{"expect_column_mean_to_be_between", "mean", map_range},
	{"expect_column_median_to_be_between", "median", map_range},
	{"expect_column_stdev_to_be_between", "stdev", map_range},
	{"expect_column_sum_to_be_between", "sum", map_range},
	{"expect_column_min_to_be_between", "minimum", map_range},
	{"expect_column_max_to_be_between", "maximum", map_range},
	{"expect_column_quantile_values_to_be_between", "quantile", map_quantiles},
	{"expect_column_unique_value_count_to_be_between", "distinct", map_range},
	{"expect_column_proportion_of_unique_values_to_be_between", "distinct_share", map_range},
	{"expect_column_distinct_values_to_be_in_set", "distinct_in", map_set},
	{"expect_column_distinct_values_to_contain_set", "distinct_contains", map_set},
	{"expect_column_distinct_values_to_equal_set", "distinct_equals", map_set},
	{"expect_column_most_common_value_to_be_in_set", "most_common", map_set},
	{"expect_column_pair_values_a_to_be_greater_than_b", "compare", map_greater},
	{"expect_column_pair_values_to_be_equal", "compare", map_equal},
	{"expect_column_pair_values_to_be_in_set", "pairs", map_pairs},
	{"expect_multicolumn_sum_to_equal", "sums_to", map_sum},
	{"unexpected_rows_expectation", "sql", map_query},
};

/* ---- a suite ---------------------------------------------------------------------------------------------------------- */

static void map_one(struct mapping *m, const char *type, yyjson_val *severity)
{
	yyjson_val *mostly = arg(m, "mostly");
	size_t before = yyjson_mut_arr_size(m->list);

	m->why = "it has no counterpart";
	for (size_t i = 0; i < SL_ARRAY_LEN(EXPECTATIONS); i++)
		if (strcmp(EXPECTATIONS[i].type, type) == 0) {
			m->why = NULL;
			m->check = EXPECTATIONS[i].check;
			if (mostly && (!yyjson_is_num(mostly) || yyjson_get_num(mostly) < 0 || yyjson_get_num(mostly) > 1))
				m->why = "mostly must be from 0 to 1";
			else if (read_condition(m))
				EXPECTATIONS[i].map(m);
		}
	while (m->why && yyjson_mut_arr_size(m->list) > before)
		yyjson_mut_arr_remove_last(m->list);
	bool warns = yyjson_is_str(severity) && strcmp(yyjson_get_str(severity), "critical") != 0;
	for (size_t i = before; warns && i < yyjson_mut_arr_size(m->list); i++)
		yyjson_mut_obj_add_str(m->doc, yyjson_mut_arr_get(m->list, i), "severity", "warn");
}

/* JSON is YAML, but for a comment, which must not end early. */
static void write_comment(const char *type, const struct mapping *m, struct sl_buf *out)
{
	sl_buf_str(out, "      # not mapped: ");
	sl_json_string(out, type, strlen(type));
	sl_buf_char(out, ' ');
	sl_json_canonical(m->kwargs, out, NULL);
	sl_buf_printf(out, ": %s\n", m->why);
}

static int import_one(yyjson_val *expectation, struct sl_buf *out, struct sl_gx_count *ret, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct mapping m = {.doc = doc, .list = doc ? yyjson_mut_arr(doc) : NULL, .kwargs = yyjson_obj_get(expectation, "kwargs"), .where = SL_BUF_INIT(1 << 20)};
	const char *type = sl_json_str(expectation, "type", sl_json_str(expectation, "expectation_type", ""));
	int rc = 0;

	if (!m.list)
		return sl_fail_memory(err);
	map_one(&m, type, yyjson_obj_get(expectation, "severity"));
	if (m.why)
		write_comment(type, &m, out);
	ret->unmapped += m.why != NULL;
	ret->mapped += !m.why;
	for (size_t i = 0; i < yyjson_mut_arr_size(m.list) && !rc; i++) {
		sl_buf_str(out, "      - ");
		rc = sl_json_write(yyjson_mut_arr_get(m.list, i), false, out, err);
		sl_buf_char(out, '\n');
	}
	sl_buf_done(&m.where);
	return rc;
}

int sl_gx_import(const char *text, size_t len, const char *where, const char *dataset, struct sl_buf *out, struct sl_gx_count *ret,
		 struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = len <= SL_GX_BYTES_MAX ? sl_json_parse(text, len, where, err) : NULL;
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "expectations"), *item;
	size_t i, max;
	int rc = 0;

	*ret = (struct sl_gx_count){0};
	if (!doc)
		return len <= SL_GX_BYTES_MAX ? SL_E_INVALID : sl_fail_at(err, SL_E_TOO_LARGE, where, "a suite has at most %d bytes", SL_GX_BYTES_MAX);
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > SL_GX_EXPECTATIONS_MAX)
		return sl_fail_at(err, SL_E_INVALID, where, "a suite has a list 'expectations' of at most %d", SL_GX_EXPECTATIONS_MAX);
	sl_buf_printf(out, "datasets:\n  %s:\n    checks:\n", dataset);
	yyjson_arr_foreach(list, i, max, item)
		if (!rc)
			rc = import_one(item, out, ret, err);
	return rc ? rc : sl_buf_check(out, "the checks", err);
}

/* A profile as JSON, and back: docs/formats/profile.md. What has no number (NaN) is left out. */
#include <math.h>
#include <string.h>

#include "base/time.h"
#include "data/profile.h"

static const char FORMAT[] = "sluice.profile/1";
static const char *const KINDS[] = {[SL_PROFILE_NUMBER] = "number", [SL_PROFILE_TIME] = "time", [SL_PROFILE_BOOL] = "bool",
				    [SL_PROFILE_TEXT] = "text", [SL_PROFILE_OTHER] = "other"};

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

/* Whole numbers as such while a double holds them exactly; times as text. NULL for NaN. */
static yyjson_mut_val *number_json(yyjson_mut_doc *doc, const struct sl_profile_column *column, double v)
{
	char text[SL_PROFILE_TIME_TEXT];

	if (!isfinite(v))
		return NULL;
	if (column->kind == SL_PROFILE_TIME)
		return yyjson_mut_strcpy(doc, sl_profile_time(v, text));
	if (column->whole && fabs(v) < 0x1p53)
		return yyjson_mut_sint(doc, (int64_t)v);
	return yyjson_mut_real(doc, v);
}

static void put_number(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const struct sl_profile_column *column,
		       double v)
{
	yyjson_mut_val *value = number_json(doc, column, v);

	if (value)
		yyjson_mut_obj_add_val(doc, object, name, value);
}

static void put_real(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double v)
{
	if (isfinite(v))
		yyjson_mut_obj_add_real(doc, object, name, v);
}

static void put_numbers(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_profile_column *c)
{
	if (c->kind == SL_PROFILE_NUMBER) {
		yyjson_mut_obj_add_uint(doc, object, "zeros", c->zeros);
		yyjson_mut_obj_add_uint(doc, object, "negative", c->negative);
		yyjson_mut_obj_add_uint(doc, object, "nan", c->nan);
	}
	if (c->kind != SL_PROFILE_BOOL)
		yyjson_mut_obj_add_uint(doc, object, "infinite", c->infinite);
	put_number(doc, object, "min", c, c->min);
	put_number(doc, object, "max", c, c->max);
	if (c->kind == SL_PROFILE_TIME) {
		put_number(doc, object, "mean", c, c->mean);
		put_real(doc, object, "std_seconds", c->std / 1e6);
	} else {
		put_real(doc, object, "mean", c->mean);
		put_real(doc, object, "std", c->std);
	}
	if (!c->bin_count || c->kind == SL_PROFILE_BOOL)
		return;
	yyjson_mut_val *quantiles = yyjson_mut_obj_add_arr(doc, object, "quantiles");
	for (size_t i = 0; i < SL_PROFILE_QUANTILES; i++)
		yyjson_mut_arr_append(quantiles, number_json(doc, c, c->quantiles[i]));
	yyjson_mut_obj_add_real(doc, object, "quantile_error", c->quantile_error);
	yyjson_mut_val *bins = yyjson_mut_obj_add_arr(doc, object, "histogram");
	for (size_t i = 0; i < c->bin_count; i++)
		yyjson_mut_arr_add_uint(doc, bins, c->bins[i]);
}

static void put_texts(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_profile_column *c)
{
	if (!c->present)
		return;
	yyjson_mut_obj_add_strcpy(doc, object, "min", c->min_text);
	yyjson_mut_obj_add_strcpy(doc, object, "max", c->max_text);
	yyjson_mut_val *length = yyjson_mut_obj_add_obj(doc, object, "length");
	yyjson_mut_obj_add_uint(doc, length, "min", c->length_min);
	yyjson_mut_obj_add_uint(doc, length, "max", c->length_max);
	put_real(doc, length, "mean", c->length_mean);
}

static void put_top(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_profile_column *c)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, "top");

	for (size_t i = 0; i < c->top_count; i++) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
		yyjson_mut_val *value = c->kind == SL_PROFILE_TEXT ? yyjson_mut_strcpy(doc, c->top[i].text)
			: c->kind == SL_PROFILE_BOOL		   ? yyjson_mut_bool(doc, c->top[i].number != 0)
								   : number_json(doc, c, c->top[i].number);
		yyjson_mut_obj_add_val(doc, item, "value", value);
		yyjson_mut_obj_add_uint(doc, item, "count", c->top[i].count);
	}
	yyjson_mut_obj_add_uint(doc, object, "top_error", c->top_error);
}

static bool column_json(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct sl_profile_column *c)
{
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);

	yyjson_mut_obj_add_strcpy(doc, object, "name", c->name);
	yyjson_mut_obj_add_strcpy(doc, object, "type", c->type);
	yyjson_mut_obj_add_str(doc, object, "kind", KINDS[c->kind]);
	yyjson_mut_obj_add_uint(doc, object, "present", c->present);
	if (c->kind != SL_PROFILE_OTHER) {
		yyjson_mut_obj_add_uint(doc, object, "distinct", c->distinct);
		yyjson_mut_obj_add_real(doc, object, "distinct_error", c->distinct_error);
		if (c->kind == SL_PROFILE_TEXT)
			put_texts(doc, object, c);
		else
			put_numbers(doc, object, c);
		put_top(doc, object, c);
	}
	return yyjson_mut_obj_add_uint(doc, object, "missing", c->missing);
}

int sl_profile_write(const struct sl_profile *profile, struct sl_buf *out, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL, *columns = doc ? yyjson_mut_arr(doc) : NULL,
		       *pairs = doc ? yyjson_mut_arr(doc) : NULL;

	for (size_t i = 0; i < profile->column_count; i++)
		if (!column_json(doc, columns, &profile->columns[i]))
			return sl_fail_memory(err);
	for (size_t i = 0; i < profile->pair_count; i++) {
		if (!isfinite(profile->pairs[i].r))
			continue;
		yyjson_mut_val *pair = yyjson_mut_arr_add_obj(doc, pairs);
		yyjson_mut_obj_add_str(doc, pair, "a", profile->columns[profile->pairs[i].a].name);
		yyjson_mut_obj_add_str(doc, pair, "b", profile->columns[profile->pairs[i].b].name);
		yyjson_mut_obj_add_real(doc, pair, "r", profile->pairs[i].r);
	}
	if (!root || !yyjson_mut_obj_add_str(doc, root, "format", FORMAT) || !yyjson_mut_obj_add_uint(doc, root, "rows", profile->rows)
	    || !yyjson_mut_obj_add_val(doc, root, "columns", columns) || !yyjson_mut_obj_add_val(doc, root, "correlations", pairs))
		return sl_fail_memory(err);
	return sl_json_mut_canonical(root, out, err);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static int bad(struct sl_error *err, const char *what)
{
	return sl_fail(err, SL_E_CORRUPT, "not a profile of %s: %s", FORMAT, what);
}

static uint64_t count_of(yyjson_val *object, const char *name)
{
	return yyjson_get_uint(yyjson_obj_get(object, name)); /* 0 when it is no such number */
}

static double number_of(yyjson_val *value)
{
	int64_t us;

	if (yyjson_is_str(value))
		return sl_time_parse_us(yyjson_get_str(value), &us) ? (double)us : NAN;
	return yyjson_is_num(value) ? yyjson_get_num(value) : yyjson_is_bool(value) ? yyjson_get_bool(value) : NAN;
}

static double member(yyjson_val *object, const char *name) { return number_of(yyjson_obj_get(object, name)); }

static int parse_lists(yyjson_val *object, struct sl_arena *arena, struct sl_profile_column *c, struct sl_error *err)
{
	yyjson_val *quantiles = yyjson_obj_get(object, "quantiles"), *bins = yyjson_obj_get(object, "histogram"),
		   *top = yyjson_obj_get(object, "top"), *item;
	size_t i, max;

	c->bin_count = yyjson_arr_size(bins);
	c->top_count = yyjson_arr_size(top);
	if (c->bin_count > SL_PROFILE_BINS || c->top_count > SL_PROFILE_TOP
	    || (c->bin_count && yyjson_arr_size(quantiles) != SL_PROFILE_QUANTILES))
		return bad(err, "a list of another length");
	for (i = 0; i < SL_PROFILE_QUANTILES && !c->bin_count; i++)
		c->quantiles[i] = NAN;
	yyjson_arr_foreach(quantiles, i, max, item)
		if (i < SL_PROFILE_QUANTILES)
			c->quantiles[i] = number_of(item);
	yyjson_arr_foreach(bins, i, max, item)
		c->bins[i] = yyjson_get_uint(item);
	yyjson_arr_foreach(top, i, max, item) {
		yyjson_val *value = yyjson_obj_get(item, "value");
		const char *text = c->kind == SL_PROFILE_TEXT ? yyjson_get_str(value) : "";
		c->top[i].text = sl_arena_strdup(arena, text ? text : "");
		c->top[i].number = c->kind == SL_PROFILE_TEXT ? NAN : number_of(value);
		c->top[i].count = count_of(item, "count");
		if (!c->top[i].text)
			return sl_fail_memory(err);
	}
	return 0;
}

static int find_kind(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		if (strcmp(KINDS[i], name) == 0)
			return (int)i;
	return -1;
}

static int parse_column(yyjson_val *object, struct sl_arena *arena, struct sl_profile_column *c, struct sl_error *err)
{
	int kind = find_kind(sl_json_str(object, "kind", ""));
	yyjson_val *length = yyjson_obj_get(object, "length");

	if (kind < 0)
		return bad(err, "a column of an unknown kind");
	*c = (struct sl_profile_column){
		.name = sl_arena_strdup(arena, sl_json_str(object, "name", "")),
		.type = sl_arena_strdup(arena, sl_json_str(object, "type", "")),
		.kind = (enum sl_profile_kind)kind,
		.whole = yyjson_is_int(yyjson_obj_get(object, "min")),
		.present = count_of(object, "present"), .missing = count_of(object, "missing"),
		.zeros = count_of(object, "zeros"), .negative = count_of(object, "negative"), .nan = count_of(object, "nan"),
		.infinite = count_of(object, "infinite"),
		.distinct = count_of(object, "distinct"), .distinct_error = sl_json_num(object, "distinct_error", 0),
		.min = NAN, .max = NAN, .mean = member(object, "mean"),
		.std = kind == SL_PROFILE_TIME ? member(object, "std_seconds") * 1e6 : member(object, "std"),
		.quantile_error = sl_json_num(object, "quantile_error", 0), .top_error = count_of(object, "top_error"),
		.length_min = count_of(length, "min"), .length_max = count_of(length, "max"), .length_mean = member(length, "mean"),
		.min_text = "", .max_text = "",
	};
	if (kind == SL_PROFILE_TEXT) {
		c->min_text = sl_arena_strdup(arena, sl_json_str(object, "min", ""));
		c->max_text = sl_arena_strdup(arena, sl_json_str(object, "max", ""));
	} else {
		c->min = member(object, "min");
		c->max = member(object, "max");
	}
	if (!c->name || !c->type || !c->min_text || !c->max_text)
		return sl_fail_memory(err);
	return parse_lists(object, arena, c, err);
}

static bool find_column(const struct sl_profile *profile, const char *name, size_t *ret)
{
	const struct sl_profile_column *column = sl_profile_column(profile, name);

	*ret = column ? (size_t)(column - profile->columns) : 0;
	return column;
}

static int parse_pairs(yyjson_val *list, struct sl_arena *arena, struct sl_profile *profile, struct sl_error *err)
{
	yyjson_val *item;
	size_t i, max;

	profile->pairs = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof *profile->pairs);
	if (!profile->pairs)
		return sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item) {
		struct sl_profile_pair *pair = &profile->pairs[profile->pair_count++];
		pair->r = sl_json_num(item, "r", NAN);
		if (!find_column(profile, sl_json_str(item, "a", ""), &pair->a)
		    || !find_column(profile, sl_json_str(item, "b", ""), &pair->b))
			return bad(err, "a correlation of no column");
	}
	return 0;
}

int sl_profile_parse(const char *text, size_t len, struct sl_arena *arena, struct sl_profile *ret, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(text, len, "profile", err);
	yyjson_val *root = yyjson_doc_get_root(doc), *columns = yyjson_obj_get(root, "columns"), *item;
	size_t i, max;
	int rc;

	*ret = (struct sl_profile){.rows = count_of(root, "rows")};
	if (!doc)
		return SL_E_CORRUPT;
	if (strcmp(sl_json_str(root, "format", ""), FORMAT) != 0 || yyjson_arr_size(columns) > SL_PROFILE_COLUMNS_MAX)
		return bad(err, "the format is another, or it has too many columns");
	ret->columns = sl_arena_array(arena, yyjson_arr_size(columns) + 1, sizeof *ret->columns);
	if (!ret->columns)
		return sl_fail_memory(err);
	yyjson_arr_foreach(columns, i, max, item)
		if ((rc = parse_column(item, arena, &ret->columns[ret->column_count++], err)) < 0)
			return rc;
	return parse_pairs(yyjson_obj_get(root, "correlations"), arena, ret, err);
}

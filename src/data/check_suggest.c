#include "data/check_suggest.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/engine.h"

enum { SET_MAX = 20, SET_ROWS_LEAST = 20 }; /* a set has at most so many values, and each occurs so often on average */

struct suggesting { yyjson_mut_doc *doc; struct sl_buf *out; int rc; };

/* One line: the check as JSON, which is YAML, and why. `check` is used up. */
static void add(struct suggesting *s, const char *kind, yyjson_mut_val *body, const char *why)
{
	yyjson_mut_val *check = yyjson_mut_obj(s->doc);

	if (!body || !yyjson_mut_obj_add_val(s->doc, check, kind, body)) {
		s->rc = SL_E_NO_MEMORY;
		return;
	}
	sl_buf_str(s->out, "      - ");
	if (!s->rc)
		s->rc = sl_json_write(check, false, s->out, NULL);
	sl_buf_printf(s->out, "  # %s\n", why);
}

static yyjson_mut_val *of_column(struct suggesting *s, const struct sl_profile_column *column)
{
	yyjson_mut_val *body = yyjson_mut_obj(s->doc);

	yyjson_mut_obj_add_strcpy(s->doc, body, "column", column->name);
	return body;
}

static void suggest_columns(struct suggesting *s, const struct sl_profile *profile)
{
	yyjson_mut_val *types = yyjson_mut_obj(s->doc), *full = yyjson_mut_arr(s->doc);

	for (size_t i = 0; i < profile->column_count; i++) {
		const struct sl_profile_column *c = &profile->columns[i];
		yyjson_mut_obj_add(types, yyjson_mut_strcpy(s->doc, c->name), yyjson_mut_strcpy(s->doc, c->type));
		if (!c->missing && c->present)
			yyjson_mut_arr_add_strcpy(s->doc, full, c->name);
	}
	add(s, "columns", types, "as they are");
	if (yyjson_mut_arr_size(full))
		add(s, "not_null", full, "no row has a null there");
}

/* Some nulls: as many again may come. */
static void suggest_missing(struct suggesting *s, const struct sl_profile_column *c)
{
	double present = (double)c->present / (double)(c->present + c->missing);
	yyjson_mut_val *body = yyjson_mut_obj(s->doc);

	yyjson_mut_obj_add_strcpy(s->doc, body, "columns", c->name);
	yyjson_mut_obj_add_real(s->doc, body, "mostly", floor(fmax(0, 2 * present - 1) * 1000) / 1000);
	add(s, "not_null", body, "twice as many nulls as now");
}

static void suggest_set(struct suggesting *s, const struct sl_profile_column *c)
{
	yyjson_mut_val *body = of_column(s, c), *values = yyjson_mut_arr(s->doc);

	for (size_t i = 0; i < c->top_count; i++)
		yyjson_mut_arr_add_strcpy(s->doc, values, c->top[i].text);
	yyjson_mut_obj_add_val(s->doc, body, "values", values);
	add(s, "in_set", body, "all values that occur");
}

/* A tenth of the range more on both sides; nothing below 0 where nothing is. */
static void suggest_range(struct suggesting *s, const struct sl_profile_column *c)
{
	double room = (c->max - c->min) / 10, min = c->min - room, max = c->max + room;
	yyjson_mut_val *body = of_column(s, c);

	min = c->min >= 0 ? fmax(0, min) : min;
	if (c->whole && fabs(min) < 0x1p53 && fabs(max) < 0x1p53) {
		yyjson_mut_obj_add_sint(s->doc, body, "min", (int64_t)floor(min));
		yyjson_mut_obj_add_sint(s->doc, body, "max", (int64_t)ceil(max));
	} else {
		yyjson_mut_obj_add_real(s->doc, body, "min", min);
		yyjson_mut_obj_add_real(s->doc, body, "max", max);
	}
	add(s, "between", body, "a tenth of the range more than now");
}

static void suggest_length(struct suggesting *s, const struct sl_profile_column *c)
{
	yyjson_mut_val *body = of_column(s, c);

	yyjson_mut_obj_add_uint(s->doc, body, "min", c->length_min);
	yyjson_mut_obj_add_uint(s->doc, body, "max", c->length_max);
	add(s, "length", body, "all are as long");
}

static void suggest_for(struct suggesting *s, const struct sl_profile_column *c)
{
	bool text = c->kind == SL_PROFILE_TEXT, number = c->kind == SL_PROFILE_NUMBER;
	bool few = text && c->distinct && c->distinct == c->top_count && c->distinct <= SET_MAX && c->distinct_error == 0
		&& c->present / c->distinct >= SET_ROWS_LEAST;

	if (c->missing && c->present)
		suggest_missing(s, c);
	if (few)
		suggest_set(s, c);
	else if (text && c->present && c->length_min == c->length_max)
		suggest_length(s, c);
	if (number && c->bin_count && !c->nan)
		suggest_range(s, c);
	if (c->kind != SL_PROFILE_OTHER && c->present > 1 && c->distinct == c->present && c->distinct_error == 0) {
		yyjson_mut_val *columns = yyjson_mut_arr(s->doc);
		yyjson_mut_arr_add_strcpy(s->doc, columns, c->name);
		add(s, "unique", columns, "no value comes twice");
	}
}

static void suggest_finite(struct suggesting *s, const struct sl_profile *profile)
{
	yyjson_mut_val *columns = yyjson_mut_arr(s->doc);

	for (size_t i = 0; i < profile->column_count; i++) {
		const struct sl_profile_column *c = &profile->columns[i];
		bool floats = strcmp(c->type, "DOUBLE") == 0 || strcmp(c->type, "FLOAT") == 0;
		if (floats && !c->nan && !c->infinite)
			yyjson_mut_arr_add_strcpy(s->doc, columns, c->name);
	}
	if (yyjson_mut_arr_size(columns))
		add(s, "finite", columns, "neither NaN nor infinity");
}

int sl_check_suggest(const struct sl_profile *profile, const char *dataset, struct sl_buf *out, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct suggesting s = {.doc = doc, .out = out};

	if (!doc)
		return sl_fail_memory(err);
	sl_buf_printf(out, "datasets:\n  %s:\n    checks:\n", dataset);
	suggest_columns(&s, profile);
	for (size_t i = 0; i < profile->column_count && !s.rc; i++)
		suggest_for(&s, &profile->columns[i]);
	suggest_finite(&s, profile);
	yyjson_mut_val *rows = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_uint(doc, rows, "min", profile->rows / 2);
	add(&s, "rows", rows, "half of now");
	if (s.rc == SL_E_NO_MEMORY)
		return sl_fail_memory(err);
	return sl_buf_check(out, "the suggestion", err);
}

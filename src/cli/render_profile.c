#include "cli/render_profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/render.h"

enum { TOP_SHOWN = 3, PAIRS_SHOWN = 10 };

static yyjson_mut_val *quantile(yyjson_mut_val *column, size_t percent)
{
	return yyjson_mut_arr_get(yyjson_mut_obj_get(column, "quantiles"), percent);
}

/* A value as it is shown in a table: numbers with at most 6 digits, "" for none. */
static yyjson_mut_val *short_value(yyjson_mut_doc *doc, yyjson_mut_val *value)
{
	char text[32];

	if (!value)
		return yyjson_mut_str(doc, "");
	if (!yyjson_mut_is_real(value))
		return yyjson_mut_val_mut_copy(doc, value);
	snprintf(text, sizeof text, "%.6g", yyjson_mut_get_real(value));
	return yyjson_mut_strcpy(doc, text);
}

/* One character per bin, as high as the bin beside the highest one. */
static yyjson_mut_val *drawing(yyjson_mut_doc *doc, yyjson_mut_val *column)
{
	static const char *const HEIGHTS[] = {" ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1024);
	yyjson_mut_val *bins = yyjson_mut_obj_get(column, "histogram"), *bin;
	size_t i, max;
	uint64_t most = 1;

	yyjson_mut_arr_foreach(bins, i, max, bin)
		most = yyjson_mut_get_uint(bin) > most ? yyjson_mut_get_uint(bin) : most;
	yyjson_mut_arr_foreach(bins, i, max, bin) {
		double height = (double)yyjson_mut_get_uint(bin) / (double)most * (SL_ARRAY_LEN(HEIGHTS) - 1);
		sl_buf_str(&text, HEIGHTS[(size_t)ceil(height)]);
	}
	return yyjson_mut_strcpy(doc, sl_buf_cstr(&text));
}

static yyjson_mut_val *frequent(yyjson_mut_doc *doc, yyjson_mut_val *column)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
	yyjson_mut_val *top = yyjson_mut_obj_get(column, "top"), *item;
	size_t i, max;

	yyjson_mut_arr_foreach(top, i, max, item) {
		char count[32];
		yyjson_mut_val *value = yyjson_mut_obj_get(item, "value");
		if (i == TOP_SHOWN)
			break;
		sl_buf_str(&text, i ? ", " : "");
		if (yyjson_mut_is_str(value))
			sl_buf_str(&text, yyjson_mut_get_str(value));
		else
			sl_json_write(value, false, &text, NULL);
		sl_buf_printf(&text, " (%s)", sl_count_format(yyjson_mut_get_sint(yyjson_mut_obj_get(item, "count")), count));
	}
	return yyjson_mut_strcpy(doc, sl_buf_cstr(&text));
}

static yyjson_mut_val *name_of(yyjson_mut_doc *doc, yyjson_mut_val *column)
{
	return yyjson_mut_val_mut_copy(doc, yyjson_mut_obj_get(column, "name"));
}

/* Adds a line of the columns whose kind is (or is not) among numbers and times. */
static void add_line(yyjson_mut_doc *doc, yyjson_mut_val *lines, yyjson_mut_val *column, bool numbers)
{
	static const struct { const char *title, *member; } NUMBERS[] = {{"type", "type"}, {"missing", "missing"}, {"distinct", "distinct"},
									 {"min", "min"}},
							      TEXTS[] = {{"type", "type"}, {"missing", "missing"}, {"distinct", "distinct"}};
	static const struct { const char *title; size_t percent; } CUTS[] = {{"25 %", 25}, {"50 %", 50}, {"75 %", 75}};
	yyjson_mut_val *line = yyjson_mut_arr_add_obj(doc, lines);

	yyjson_mut_obj_add_val(doc, line, "column", name_of(doc, column));
	for (size_t i = 0; i < (numbers ? SL_ARRAY_LEN(NUMBERS) : SL_ARRAY_LEN(TEXTS)); i++)
		yyjson_mut_obj_add_val(doc, line, (numbers ? NUMBERS : TEXTS)[i].title,
				       short_value(doc, yyjson_mut_obj_get(column, (numbers ? NUMBERS : TEXTS)[i].member)));
	if (!numbers) {
		yyjson_mut_obj_add_val(doc, line, "most frequent", frequent(doc, column));
		return;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(CUTS); i++)
		yyjson_mut_obj_add_val(doc, line, CUTS[i].title, short_value(doc, quantile(column, CUTS[i].percent)));
	yyjson_mut_obj_add_val(doc, line, "max", short_value(doc, yyjson_mut_obj_get(column, "max")));
	yyjson_mut_obj_add_val(doc, line, "mean", short_value(doc, yyjson_mut_obj_get(column, "mean")));
	yyjson_mut_obj_add_val(doc, line, "std", short_value(doc, yyjson_mut_obj_get(column, "std")));
	yyjson_mut_obj_add_val(doc, line, "histogram", drawing(doc, column));
}

static void render_columns(const struct sl_term *term, yyjson_mut_doc *doc, yyjson_mut_val *columns, bool numbers, struct sl_buf *out)
{
	yyjson_mut_val *lines = yyjson_mut_arr(doc), *column;
	size_t i, max;

	yyjson_mut_arr_foreach(columns, i, max, column)
		if ((yyjson_mut_obj_get(column, "quantiles") != NULL) == numbers)
			add_line(doc, lines, column, numbers);
	if (!yyjson_mut_arr_size(lines))
		return;
	sl_buf_char(out, '\n');
	sl_render_table(term, lines, out);
}

/* The strongest correlations first; the list is short enough to look for the next one each time. */
static void render_pairs(const struct sl_term *term, yyjson_mut_doc *doc, yyjson_mut_val *pairs, struct sl_buf *out)
{
	yyjson_mut_val *lines = yyjson_mut_arr(doc), *pair;
	double below = 2;
	size_t i, max;

	while (yyjson_mut_arr_size(lines) < PAIRS_SHOWN) {
		yyjson_mut_val *next = NULL;
		double strongest = -1;
		yyjson_mut_arr_foreach(pairs, i, max, pair) {
			double r = fabs(yyjson_mut_get_num(yyjson_mut_obj_get(pair, "r")));
			if (r < below && r > strongest) {
				strongest = r;
				next = pair;
			}
		}
		if (!next)
			break;
		below = strongest;
		yyjson_mut_val *line = yyjson_mut_arr_add_obj(doc, lines);
		yyjson_mut_obj_add_val(doc, line, "a", yyjson_mut_val_mut_copy(doc, yyjson_mut_obj_get(next, "a")));
		yyjson_mut_obj_add_val(doc, line, "b", yyjson_mut_val_mut_copy(doc, yyjson_mut_obj_get(next, "b")));
		yyjson_mut_obj_add_val(doc, line, "correlation", short_value(doc, yyjson_mut_obj_get(next, "r")));
	}
	if (!yyjson_mut_arr_size(lines))
		return;
	sl_buf_char(out, '\n');
	sl_render_table(term, lines, out);
}

void sl_render_profile(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *columns = yyjson_mut_obj_get(result, "columns");
	char rows[32];

	if (!doc)
		return;
	sl_term_text(term, out, SL_STYLE_BOLD, yyjson_mut_get_str(yyjson_mut_obj_get(result, "name")));
	sl_buf_printf(out, "  %s rows, %zu columns\n", sl_count_format(yyjson_mut_get_sint(yyjson_mut_obj_get(result, "rows")), rows),
		      yyjson_mut_arr_size(columns));
	render_columns(term, doc, columns, true, out);
	render_columns(term, doc, columns, false, out);
	render_pairs(term, doc, yyjson_mut_obj_get(result, "correlations"), out);
}

#include "cli/render_drift.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/render.h"

static const char *text_of(yyjson_mut_val *object, const char *name)
{
	const char *text = yyjson_mut_get_str(yyjson_mut_obj_get(object, name));
	return text ? text : "";
}

static unsigned long long count_of(yyjson_mut_val *object, const char *name)
{
	return (unsigned long long)yyjson_mut_get_uint(yyjson_mut_obj_get(object, name));
}

/* At most 4 digits; "" for none. */
static void put_number(yyjson_mut_doc *doc, yyjson_mut_val *line, const char *title, yyjson_mut_val *value)
{
	char text[32] = "";
	if (value)
		snprintf(text, sizeof text, "%.4g", yyjson_mut_get_num(value));
	yyjson_mut_obj_add_strcpy(doc, line, title, text);
}

static void add_line(yyjson_mut_doc *doc, yyjson_mut_val *lines, yyjson_mut_val *column)
{
	static const struct { const char *title, *member; } SHOWN[] = {
		{"psi", "psi"}, {"js", "js"}, {"ks", "ks"}, {"wasserstein", "wasserstein"}, {"missing", "missing"}, {"out of range", "out_of_range"}, {"unseen", "unseen"}};
	yyjson_mut_val *line = yyjson_mut_arr_add_obj(doc, lines), *statistics = yyjson_mut_obj_get(column, "statistics");
	yyjson_mut_obj_add_strcpy(doc, line, "column", text_of(column, "name"));
	yyjson_mut_obj_add_strcpy(doc, line, "level", yyjson_mut_get_bool(yyjson_mut_obj_get(column, "judged")) ? text_of(column, "level") : "");
	for (size_t i = 0; i < SL_ARRAY_LEN(SHOWN); i++)
		put_number(doc, line, SHOWN[i].title, yyjson_mut_obj_get(statistics, SHOWN[i].member));
	put_number(doc, line, "p", yyjson_mut_obj_get(yyjson_mut_obj_get(column, "p_corrected"), "values"));
	yyjson_mut_obj_add_strcpy(doc, line, "note", text_of(column, "note"));
}

static void render_columns(const struct sl_term *term, yyjson_mut_doc *doc, yyjson_mut_val *columns, bool all, struct sl_buf *out)
{
	yyjson_mut_val *lines = yyjson_mut_arr(doc), *column;
	size_t i, max;
	yyjson_mut_arr_foreach(columns, i, max, column)
		if (all || !sl_str_eq(text_of(column, "level"), "ok"))
			add_line(doc, lines, column);
	if (yyjson_mut_arr_size(lines))
		sl_render_table(term, lines, out);
}

static void render_names(const struct sl_term *term, yyjson_mut_val *result, const char *member, const char *what, struct sl_buf *out)
{
	yyjson_mut_val *names = yyjson_mut_obj_get(result, member), *name;
	size_t i, max;
	if (!yyjson_mut_arr_size(names))
		return;
	sl_term_text(term, out, SL_STYLE_DIM, what);
	yyjson_mut_arr_foreach(names, i, max, name) {
		sl_buf_str(out, i ? ", " : "  ");
		sl_term_text(term, out, SL_STYLE_PLAIN, yyjson_mut_get_str(name));
	}
	sl_buf_char(out, '\n');
}

static void render_rows(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	yyjson_mut_val *classifier = yyjson_mut_obj_get(result, "classifier"), *outliers = yyjson_mut_obj_get(result, "outliers");
	if (classifier) {
		sl_buf_str(out, "rows as a whole  ");
		sl_term_text(term, out, sl_render_state(text_of(classifier, "level")), text_of(classifier, "level"));
		sl_buf_printf(out, ": a classifier tells them apart with AUC %.3f (%.3f to %.3f; 0.5 is chance)\n",
			      yyjson_mut_get_num(yyjson_mut_obj_get(classifier, "auc")), yyjson_mut_get_num(yyjson_mut_obj_get(classifier, "low")),
			      yyjson_mut_get_num(yyjson_mut_obj_get(classifier, "high")));
	}
	if (outliers)
		sl_buf_printf(out, "outliers  %.2f %% of the rows, where the reference has 1 %%\n", yyjson_mut_get_num(yyjson_mut_obj_get(outliers, "share")) * 100);
}

/* Numbers of each side on a line. */
static void render_sides(const char *what, yyjson_mut_val *sides, struct sl_buf *out)
{
	yyjson_mut_val *side, *key, *value, *name;
	size_t i, max, k, count;
	yyjson_mut_obj_foreach(sides, i, max, key, side) {
		sl_buf_printf(out, "%s of the %s ", what, yyjson_mut_get_str(key));
		yyjson_mut_obj_foreach(side, k, count, name, value)
			if (yyjson_mut_is_num(value))
				sl_buf_printf(out, "%s%s %.4g", k ? ", " : " ", yyjson_mut_get_str(name), yyjson_mut_get_num(value));
		sl_buf_char(out, '\n');
	}
}

static void render_segments(const struct sl_term *term, yyjson_mut_doc *doc, yyjson_mut_val *segments, struct sl_buf *out)
{
	yyjson_mut_val *segment;
	size_t i, max;
	yyjson_mut_arr_foreach(segments, i, max, segment) {
		bool others = yyjson_mut_get_bool(yyjson_mut_obj_get(segment, "others")), missing = yyjson_mut_is_null(yyjson_mut_obj_get(segment, "segment"));
		sl_buf_char(out, '\n');
		sl_term_text(term, out, SL_STYLE_BOLD, others ? "all further values" : missing ? "no value" : text_of(segment, "segment"));
		sl_buf_printf(out, "  %llu rows against %llu, %llu of %llu columns drifted\n", count_of(segment, "current_rows"),
			      count_of(segment, "reference_rows"), count_of(segment, "drifted"), count_of(segment, "judged"));
		render_columns(term, doc, yyjson_mut_obj_get(segment, "columns"), false, out);
		render_sides("measured", yyjson_mut_obj_get(segment, "quality"), out);
	}
}

void sl_render_drift(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	char rows[2][32];

	if (!doc)
		return;
	sl_term_text(term, out, SL_STYLE_BOLD, text_of(result, "current"));
	sl_buf_str(out, " against ");
	sl_term_text(term, out, SL_STYLE_BOLD, text_of(result, "reference"));
	sl_buf_printf(out, ": %s rows against %s, ", sl_count_format((int64_t)count_of(result, "current_rows"), rows[0]),
		      sl_count_format((int64_t)count_of(result, "reference_rows"), rows[1]));
	sl_term_text(term, out, sl_render_state(text_of(result, "level")), text_of(result, "level"));
	sl_buf_printf(out, ": %llu of %llu columns drifted%s\n\n", count_of(result, "drifted"), count_of(result, "judged"),
		      yyjson_mut_get_bool(yyjson_mut_obj_get(result, "dataset_drift")) ? ", and so the dataset has" : "");
	render_columns(term, doc, yyjson_mut_obj_get(result, "columns"), true, out);
	render_rows(term, result, out);
	render_sides("measured", yyjson_mut_obj_get(result, "quality"), out);
	render_sides("estimated", yyjson_mut_obj_get(result, "estimated"), out);
	render_names(term, result, "removed", "only in the reference", out);
	render_names(term, result, "added", "only in the current one", out);
	render_segments(term, doc, yyjson_mut_obj_get(result, "segments"), out);
	if (*text_of(result, "file"))
		sl_buf_printf(out, "\n%s\n", text_of(result, "file"));
}

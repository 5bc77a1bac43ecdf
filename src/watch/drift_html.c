/* A comparison as a page: a table of all columns, then each with its picture. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/html.h"
#include "watch/drift_joint.h"
#include "watch/drift_report.h"

enum { WIDTH = 360, HEIGHT = 120, BARS_MAX = 20 };

static const char HEAD[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Drift</title>\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\"><style>"
	":root{color-scheme:light dark;--a:#8a8f98;--b:#2f6fde;--line:#8884}"
	"body{font:15px/1.5 system-ui,sans-serif;max-width:76em;margin:2em auto;padding:0 1em}h1{margin-bottom:0}"
	"h2{margin-top:2em;border-bottom:1px solid var(--line)}table{border-collapse:collapse}"
	"th,td{text-align:left;padding:.15em .8em .15em 0;overflow-wrap:anywhere;vertical-align:top}"
	"tr+tr td{border-top:1px solid var(--line)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
	".ok{color:#2c8a4b}.warn{color:#b57900}.alarm{color:#d0342c;font-weight:600}.dim{opacity:.65}"
	".cols{display:grid;grid-template-columns:repeat(auto-fill,minmax(25em,1fr));gap:1em 2em}"
	"section h3{margin:.5em 0 0;overflow-wrap:anywhere}svg{display:block;max-width:100%}"
	".r{fill:var(--a)}.c{fill:var(--b)}svg text{font:10px system-ui,sans-serif;fill:currentColor}"
	".key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}"
	"</style></head><body>\n";

static void cell(struct sl_buf *out, double v)
{
	if (isnan(v))
		sl_buf_str(out, "<td class=\"n dim\">–</td>");
	else
		sl_buf_printf(out, "<td class=\"n\">%.4g</td>", v);
}

static void level_cell(struct sl_buf *out, const struct sl_drift_column *column)
{
	const char *name = sl_drift_level_name(column->level);
	if (!column->judged)
		sl_buf_str(out, "<td class=\"dim\">not judged</td>");
	else
		sl_buf_printf(out, "<td class=\"%s\">%s</td>", name, name);
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

static void put_row(struct sl_buf *out, const struct sl_drift_column *column, size_t at)
{
	sl_buf_str(out, "<tr><td>");
	if (at != SIZE_MAX)
		sl_buf_printf(out, "<a href=\"#c%zu\">", at);
	sl_html_escape(out, column->name);
	sl_buf_str(out, at != SIZE_MAX ? "</a>" : "");
	if (column->role != SL_DRIFT_INPUT)
		sl_buf_printf(out, " <span class=\"dim\">%s</span>", sl_drift_role_name(column->role));
	sl_buf_str(out, "</td>");
	level_cell(out, column);
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++)
		if (s != SL_DRIFT_CHI_SQUARE)
			cell(out, column->values[s]);
	cell(out, column->q[SL_DRIFT_TEST_VALUES]);
	sl_buf_str(out, "<td class=\"dim\">");
	sl_html_escape(out, column->note ? column->note : "");
	sl_buf_str(out, "</td></tr>\n");
}

static void begin_table(struct sl_buf *out)
{
	sl_buf_str(out, "<table><tr><th>Column</th><th>Level</th>");
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++)
		if (s != SL_DRIFT_CHI_SQUARE)
			sl_buf_printf(out, "<th class=\"n\">%s</th>", sl_drift_statistic_name((enum sl_drift_statistic)s));
	sl_buf_str(out, "<th class=\"n\">p, corrected</th><th></th></tr>\n");
}

static void put_bars(struct sl_buf *out, const struct sl_drift_options *options)
{
	sl_buf_printf(out, "<p class=\"dim\">A level needs a statistic at its bar, and a corrected p below %g. Bars (warn, alarm):", options->alpha);
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++)
		if (isfinite(options->bars[s].warn))
			sl_buf_printf(out, " %s %g, %g;", sl_drift_statistic_name((enum sl_drift_statistic)s), options->bars[s].warn, options->bars[s].alarm);
	sl_buf_str(out, "</p>\n");
}

/* ---- pictures ------------------------------------------------------------------------------------------------------------ */

struct bar { const char *label; double shares[2]; };

static void draw_label(struct sl_buf *out, double x, const char *anchor, const char *text)
{
	sl_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">", x, HEIGHT + 12, anchor);
	sl_html_escape(out, text);
	sl_buf_str(out, "</text>");
}

static void draw_bars(struct sl_buf *out, const struct bar *bars, size_t count)
{
	static const char *const SIDES[] = {"r", "c"};
	double most = 0, step = (double)WIDTH / (double)count, width = step * 0.42;
	for (size_t i = 0; i < count; i++)
		most = fmax(most, fmax(bars[i].shares[0], bars[i].shares[1]));
	sl_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">", WIDTH, HEIGHT + 16, WIDTH);
	for (size_t i = 0; i < count; i++)
		for (size_t s = 0; s < 2; s++) {
			double height = most > 0 ? bars[i].shares[s] / most * (HEIGHT - 4) : 0;
			sl_buf_printf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", SIDES[s],
				      (double)i * step + (double)s * width, HEIGHT - height, width, height);
			if (bars[i].label) {
				sl_html_escape(out, bars[i].label);
				sl_buf_str(out, ": ");
			}
			sl_buf_printf(out, "%.2f %%</title></rect>", bars[i].shares[s] * 100);
		}
}

static void draw_histogram(struct sl_buf *out, const struct sl_drift_column *column)
{
	struct bar bars[SL_DRIFT_HISTOGRAM];
	char from[SL_PROFILE_TIME_TEXT], to[SL_PROFILE_TIME_TEXT];
	for (size_t i = 0; i < SL_DRIFT_HISTOGRAM; i++)
		bars[i] = (struct bar){NULL, {column->histogram[0][i], column->histogram[1][i]}};
	draw_bars(out, bars, SL_DRIFT_HISTOGRAM);
	if (column->kind == SL_DRIFT_TIME) {
		sl_profile_time(column->histogram_from, from);
		sl_profile_time(column->histogram_to, to);
	} else {
		snprintf(from, sizeof from, "%.6g", column->histogram_from);
		snprintf(to, sizeof to, "%.6g", column->histogram_to);
	}
	draw_label(out, 0, "start", from);
	draw_label(out, WIDTH, "end", to);
	sl_buf_str(out, "</svg>\n");
}

/* Bins as bars; of texts the first, the rest as one, and what was never seen. */
static void draw_bins(struct sl_buf *out, const struct sl_drift_column *column)
{
	struct bar bars[BARS_MAX + 2];
	char labels[BARS_MAX][32];
	double totals[2] = {fmax((double)column->reference.present, 1), fmax((double)column->current.present, 1)}, told[2] = {0};
	size_t n = 0;
	for (; n < column->bin_count && n < BARS_MAX; n++) {
		const struct sl_drift_bin *bin = &column->bins[n];
		snprintf(labels[n], sizeof labels[n], isinf(bin->to) ? "more" : "to %.6g", bin->to);
		bars[n] = (struct bar){bin->text ? bin->text : labels[n], {(double)bin->reference / totals[0], (double)bin->current / totals[1]}};
		for (size_t s = 0; s < 2; s++)
			told[s] += bars[n].shares[s];
	}
	double unseen = column->kind == SL_DRIFT_TEXT ? (double)column->unseen / totals[1] : 0;
	if (column->bin_count > BARS_MAX)
		bars[n++] = (struct bar){"all further values", {fmax(1 - told[0], 0), fmax(1 - told[1] - unseen, 0)}};
	if (unseen > 0)
		bars[n++] = (struct bar){"unseen", {0, unseen}};
	if (!n)
		return;
	draw_bars(out, bars, n);
	draw_label(out, 0, "start", bars[0].label);
	if (n > 1)
		draw_label(out, WIDTH, "end", bars[n - 1].label);
	sl_buf_str(out, "</svg>\n");
}

static void put_side(struct sl_buf *out, const char *name, const struct sl_drift_side_numbers *side, bool numbers)
{
	sl_buf_printf(out, "<tr><td>%s</td><td class=\"n\">%llu</td><td class=\"n\">%llu</td>", name, (unsigned long long)side->present,
		      (unsigned long long)side->missing);
	if (numbers) {
		cell(out, side->mean);
		cell(out, side->std);
		cell(out, side->min);
		cell(out, side->max);
	}
	sl_buf_str(out, "</tr>");
}

static void put_section(struct sl_buf *out, const struct sl_drift_column *column, size_t at)
{
	bool numbers = column->kind == SL_DRIFT_NUMBER;
	sl_buf_printf(out, "<section id=\"c%zu\"><h3>", at);
	sl_html_escape(out, column->name);
	sl_buf_str(out, "</h3>\n");
	if (column->histogram_to > column->histogram_from)
		draw_histogram(out, column);
	else
		draw_bins(out, column);
	sl_buf_printf(out, "<table><tr><th></th><th class=\"n\">present</th><th class=\"n\">missing</th>%s</tr>",
		      numbers ? "<th class=\"n\">mean</th><th class=\"n\">std</th><th class=\"n\">min</th><th class=\"n\">max</th>" : "");
	put_side(out, "reference", &column->reference, numbers);
	put_side(out, "current", &column->current, numbers);
	sl_buf_str(out, "</table></section>\n");
}

/* ---- segments ------------------------------------------------------------------------------------------------------------ */

static void put_segment(struct sl_buf *out, const struct sl_drift_segment *segment)
{
	sl_buf_str(out, "<h3>");
	sl_html_escape(out, segment->missing ? "(no value)" : segment->others ? "(all further values)" : segment->value);
	sl_buf_printf(out, "</h3>\n<p>%llu rows against %llu; %zu of %zu columns drifted</p>\n", (unsigned long long)segment->current_rows,
		      (unsigned long long)segment->reference_rows, segment->drifted, segment->judged);
	if (!segment->drifted)
		return;
	begin_table(out);
	for (size_t i = 0; i < segment->column_count; i++)
		if (segment->columns[i].level > SL_DRIFT_OK)
			put_row(out, &segment->columns[i], SIZE_MAX);
	sl_buf_str(out, "</table>\n");
}

static void put_names(struct sl_buf *out, const char *what, const char **names, size_t count)
{
	if (!count)
		return;
	sl_buf_printf(out, "<p>%s: ", what);
	for (size_t i = 0; i < count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_html_escape(out, names[i]);
	}
	sl_buf_str(out, "</p>\n");
}

static void put_top(struct sl_buf *out, const struct sl_drift_report *report, const char *reference, const char *current)
{
	sl_buf_str(out, HEAD);
	sl_buf_str(out, "<h1>Drift of ");
	sl_html_escape(out, current);
	sl_buf_str(out, "</h1>\n<p>against ");
	sl_html_escape(out, reference);
	sl_buf_printf(out, ": %llu rows against %llu. <b class=\"%s\">%zu of %zu columns drifted%s</b></p>\n", (unsigned long long)report->current_rows,
		      (unsigned long long)report->reference_rows, sl_drift_level_name(report->level), report->drifted, report->judged,
		      report->dataset_drift ? ": the dataset has" : "");
	if (report->classifier)
		sl_buf_printf(out, "<p>Rows as a whole: a classifier tells the sides apart with AUC %.3f (%.3f to %.3f; 0.5 is chance): <b class=\"%s\">%s</b></p>\n",
			      report->classifier->auc, report->classifier->low, report->classifier->high, sl_drift_level_name(report->classifier->level),
			      sl_drift_level_name(report->classifier->level));
	if (report->outliers)
		sl_buf_printf(out, "<p>Outliers: %.2f %% of the rows, where the reference has 1 %%</p>\n", report->outliers->share * 100);
	put_names(out, "Only in the reference", report->removed, report->removed_count);
	put_names(out, "Only in the current one", report->added, report->added_count);
}

int sl_drift_html(const struct sl_drift_report *report, const char *reference, const char *current, struct sl_buf *out, struct sl_error *err)
{
	put_top(out, report, reference, current);
	begin_table(out);
	for (size_t i = 0; i < report->column_count; i++)
		put_row(out, &report->columns[i], i);
	sl_buf_str(out, "</table>\n");
	put_bars(out, &report->options);
	sl_buf_str(out, "<p class=\"key\"><i style=\"background:var(--a)\"></i>reference<i style=\"background:var(--b)\"></i>current, "
			"as shares of the rows with a value</p>\n<div class=\"cols\">\n");
	for (size_t i = 0; i < report->column_count; i++)
		put_section(out, &report->columns[i], i);
	sl_buf_str(out, "</div>\n");
	if (report->segment_count)
		sl_buf_str(out, "<h2>Segments</h2>\n");
	for (size_t i = 0; i < report->segment_count; i++)
		put_segment(out, &report->segments[i]);
	sl_buf_str(out, "</body></html>\n");
	return sl_buf_check(out, "the page", err);
}

/* A comparison as JSON. What has no number is left out. */
#include <math.h>

#include "base/time.h"
#include "watch/drift_joint.h"
#include "watch/drift_report.h"

enum { BINS_TOLD = 100 }; /* of texts: further values are told as one */

static const char *const KINDS[] = {[SL_DRIFT_NUMBER] = "number", [SL_DRIFT_TIME] = "time", [SL_DRIFT_TEXT] = "text"};
static const char *const TESTS[] = {[SL_DRIFT_TEST_VALUES] = "values", [SL_DRIFT_TEST_MISSING] = "missing", [SL_DRIFT_TEST_RANGE] = "out_of_range"};
static const char *const CORRECTIONS[] = {[SL_DRIFT_FALSE_DISCOVERY] = "benjamini-hochberg", [SL_DRIFT_BONFERRONI] = "bonferroni",
					  [SL_DRIFT_UNCORRECTED] = "none"};

const char *sl_drift_level_name(enum sl_drift_level level)
{
	static const char *const NAMES[] = {"ok", "warn", "alarm"};
	return NAMES[level];
}

static void put_real(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double v)
{
	if (isfinite(v))
		yyjson_mut_obj_add_real(doc, object, name, v);
}

static void put_time(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double us)
{
	char text[SL_PROFILE_TIME_TEXT];
	if (isfinite(us))
		yyjson_mut_obj_add_strcpy(doc, object, name, sl_profile_time(us, text));
}

static void put_side(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const struct sl_drift_side_numbers *side, bool time)
{
	yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, object, name);
	void (*put)(yyjson_mut_doc *, yyjson_mut_val *, const char *, double) = time ? put_time : put_real;
	yyjson_mut_obj_add_uint(doc, o, "present", side->present);
	yyjson_mut_obj_add_uint(doc, o, "missing", side->missing);
	put(doc, o, "mean", side->mean);
	put(doc, o, "min", side->min);
	put(doc, o, "max", side->max);
	put_real(doc, o, time ? "std_seconds" : "std", time ? side->std / 1e6 : side->std);
}

static void put_numbers(yyjson_mut_doc *doc, yyjson_mut_val *item, const struct sl_drift_column *column)
{
	yyjson_mut_val *values = yyjson_mut_obj_add_obj(doc, item, "statistics"), *p = yyjson_mut_obj_add_obj(doc, item, "p"),
		       *q = yyjson_mut_obj_add_obj(doc, item, "p_corrected");
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++)
		put_real(doc, values, sl_drift_statistic_name((enum sl_drift_statistic)s), column->values[s]);
	for (size_t t = 0; t < SL_DRIFT_TESTS; t++) {
		put_real(doc, p, TESTS[t], column->p[t]);
		put_real(doc, q, TESTS[t], column->q[t]);
	}
}

static void put_bin(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *name, const char *text, uint64_t reference, uint64_t current)
{
	yyjson_mut_val *bin = yyjson_mut_arr_add_obj(doc, list);
	yyjson_mut_obj_add_strcpy(doc, bin, name, text);
	yyjson_mut_obj_add_uint(doc, bin, "reference", reference);
	yyjson_mut_obj_add_uint(doc, bin, "current", current);
}

static void put_text_bins(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct sl_drift_column *column)
{
	uint64_t reference = column->reference.present, further = 0;
	for (size_t i = 0; i < column->bin_count; i++) {
		const struct sl_drift_bin *bin = &column->bins[i];
		if (i >= BINS_TOLD) {
			further += bin->current;
			continue;
		}
		reference -= bin->reference;
		put_bin(doc, list, "value", bin->text, bin->reference, bin->current);
	}
	if (column->bin_count > BINS_TOLD)
		put_bin(doc, list, "others", "further values", reference, further);
	if (column->unseen)
		put_bin(doc, list, "others", "unseen", column->bin_count > BINS_TOLD ? 0 : reference, column->unseen);
}

static void put_bins(yyjson_mut_doc *doc, yyjson_mut_val *item, const struct sl_drift_column *column)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, item, "bins");
	if (column->kind == SL_DRIFT_TEXT) {
		put_text_bins(doc, list, column);
		return;
	}
	for (size_t i = 0; i < column->bin_count; i++) {
		yyjson_mut_val *bin = yyjson_mut_arr_add_obj(doc, list);
		(column->kind == SL_DRIFT_TIME ? put_time : put_real)(doc, bin, "to", column->bins[i].to);
		yyjson_mut_obj_add_uint(doc, bin, "reference", column->bins[i].reference);
		yyjson_mut_obj_add_uint(doc, bin, "current", column->bins[i].current);
	}
}

static void put_histogram(yyjson_mut_doc *doc, yyjson_mut_val *item, const struct sl_drift_column *column)
{
	static const char *const SIDES[] = {"reference", "current"};
	if (!(column->histogram_to > column->histogram_from))
		return;
	yyjson_mut_val *histogram = yyjson_mut_obj_add_obj(doc, item, "histogram");
	(column->kind == SL_DRIFT_TIME ? put_time : put_real)(doc, histogram, "from", column->histogram_from);
	(column->kind == SL_DRIFT_TIME ? put_time : put_real)(doc, histogram, "to", column->histogram_to);
	for (size_t s = 0; s < 2; s++) {
		yyjson_mut_val *shares = yyjson_mut_obj_add_arr(doc, histogram, SIDES[s]);
		for (size_t i = 0; i < SL_DRIFT_HISTOGRAM; i++)
			yyjson_mut_arr_add_real(doc, shares, column->histogram[s][i]);
	}
}

static yyjson_mut_val *put_column(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct sl_drift_column *column)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
	yyjson_mut_obj_add_strcpy(doc, item, "name", column->name);
	yyjson_mut_obj_add_str(doc, item, "kind", KINDS[column->kind]);
	yyjson_mut_obj_add_str(doc, item, "role", sl_drift_role_name(column->role));
	yyjson_mut_obj_add_str(doc, item, "level", sl_drift_level_name(column->level));
	yyjson_mut_obj_add_bool(doc, item, "judged", column->judged);
	if (column->level > SL_DRIFT_OK && !column->note)
		yyjson_mut_obj_add_str(doc, item, "worst", sl_drift_statistic_name(column->worst));
	if (column->note)
		yyjson_mut_obj_add_str(doc, item, "note", column->note);
	put_numbers(doc, item, column);
	return item;
}

/* Of those sides that have predictions beside labels. */
static void put_quality(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_drift_quality *const sides[2])
{
	static const char *const NAMES[] = {"reference", "current"};
	yyjson_mut_val *all = sides[0] || sides[1] ? yyjson_mut_obj_add_obj(doc, object, "quality") : NULL;
	for (size_t s = 0; s < 2; s++) {
		if (!sides[s])
			continue;
		yyjson_mut_val *one = yyjson_mut_obj_add_obj(doc, all, NAMES[s]), *bins;
		yyjson_mut_obj_add_uint(doc, one, "rows", sides[s]->sums.rows);
		for (const char *const *name = sl_drift_quality_names; *name; name++)
			put_real(doc, one, *name, sl_drift_quality_measure(sides[s], *name));
		bins = yyjson_mut_obj_add_arr(doc, one, "calibration");
		for (size_t b = 0; b < SL_RELIABILITY_BINS; b++) {
			const struct sl_reliability_bin *from = &sides[s]->bins[b];
			yyjson_mut_val *bin = from->rows > 0 ? yyjson_mut_arr_add_obj(doc, bins) : NULL;
			put_real(doc, bin, "from", (double)b / SL_RELIABILITY_BINS);
			yyjson_mut_obj_add_uint(doc, bin, "rows", (uint64_t)from->rows);
			put_real(doc, bin, "predicted", from->predicted / from->rows);
			put_real(doc, bin, "observed", from->observed / from->rows);
		}
	}
}

static void put_segments(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_drift_report *report)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, "segments");
	for (size_t s = 0; s < report->segment_count; s++) {
		const struct sl_drift_segment *segment = &report->segments[s];
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
		if (segment->missing)
			yyjson_mut_obj_add_null(doc, item, "segment");
		else
			yyjson_mut_obj_add_strcpy(doc, item, "segment", segment->value);
		yyjson_mut_obj_add_bool(doc, item, "others", segment->others);
		yyjson_mut_obj_add_uint(doc, item, "reference_rows", segment->reference_rows);
		yyjson_mut_obj_add_uint(doc, item, "current_rows", segment->current_rows);
		yyjson_mut_obj_add_uint(doc, item, "drifted", segment->drifted);
		yyjson_mut_obj_add_uint(doc, item, "judged", segment->judged);
		put_quality(doc, item, segment->quality);
		yyjson_mut_val *columns = yyjson_mut_obj_add_arr(doc, item, "columns");
		for (size_t i = 0; i < segment->column_count; i++)
			put_column(doc, columns, &segment->columns[i]);
	}
}

static void put_names(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const char **names, size_t count)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, name);
	for (size_t i = 0; i < count; i++)
		yyjson_mut_arr_add_strcpy(doc, list, names[i]);
}

static void put_options(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_drift_options *options)
{
	yyjson_mut_val *bars = yyjson_mut_obj_add_obj(doc, object, "bars");
	yyjson_mut_obj_add_real(doc, object, "alpha", options->alpha);
	yyjson_mut_obj_add_str(doc, object, "correction", CORRECTIONS[options->correction]);
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++) {
		if (isinf(options->bars[s].warn))
			continue;
		yyjson_mut_val *bar = yyjson_mut_obj_add_obj(doc, bars, sl_drift_statistic_name((enum sl_drift_statistic)s));
		put_real(doc, bar, "warn", options->bars[s].warn);
		put_real(doc, bar, "alarm", options->bars[s].alarm);
	}
}

static void put_joint(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_drift_report *report)
{
	const struct sl_drift_classifier *classifier = report->classifier;
	const struct sl_drift_outliers *outliers = report->outliers;
	if (classifier) {
		yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, object, "classifier"), *columns = yyjson_mut_obj_add_arr(doc, o, "columns");
		yyjson_mut_obj_add_uint(doc, o, "rows", classifier->rows);
		yyjson_mut_obj_add_str(doc, o, "level", sl_drift_level_name(classifier->level));
		put_real(doc, o, "auc", classifier->auc);
		put_real(doc, o, "low", classifier->low);
		put_real(doc, o, "high", classifier->high);
		for (size_t i = 0; i < classifier->column_count; i++) {
			yyjson_mut_val *column = yyjson_mut_arr_add_obj(doc, columns);
			yyjson_mut_obj_add_strcpy(doc, column, "name", classifier->columns[i].name);
			put_real(doc, column, "share", classifier->columns[i].share);
		}
	}
	if (outliers) {
		yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, object, "outliers");
		yyjson_mut_obj_add_uint(doc, o, "rows", outliers->rows);
		yyjson_mut_obj_add_uint(doc, o, "columns", outliers->columns);
		put_real(doc, o, "share", outliers->share);
		put_real(doc, o, "bar", outliers->bar);
	}
}

void sl_drift_json(const struct sl_drift_report *report, yyjson_mut_doc *doc, yyjson_mut_val *object)
{
	yyjson_mut_obj_add_uint(doc, object, "reference_rows", report->reference_rows);
	yyjson_mut_obj_add_uint(doc, object, "current_rows", report->current_rows);
	yyjson_mut_obj_add_str(doc, object, "level", sl_drift_level_name(report->level));
	yyjson_mut_obj_add_bool(doc, object, "dataset_drift", report->dataset_drift);
	yyjson_mut_obj_add_uint(doc, object, "drifted", report->drifted);
	yyjson_mut_obj_add_uint(doc, object, "judged", report->judged);
	put_options(doc, object, &report->options);
	yyjson_mut_val *columns = yyjson_mut_obj_add_arr(doc, object, "columns");
	for (size_t i = 0; i < report->column_count; i++) {
		const struct sl_drift_column *column = &report->columns[i];
		yyjson_mut_val *item = put_column(doc, columns, column);
		put_side(doc, item, "reference", &column->reference, column->kind == SL_DRIFT_TIME);
		put_side(doc, item, "current", &column->current, column->kind == SL_DRIFT_TIME);
		put_bins(doc, item, column);
		put_histogram(doc, item, column);
	}
	put_joint(doc, object, report);
	put_quality(doc, object, report->quality);
	put_names(doc, object, "removed", report->removed, report->removed_count);
	put_names(doc, object, "added", report->added, report->added_count);
	if (report->segment_count)
		put_segments(doc, object, report);
}

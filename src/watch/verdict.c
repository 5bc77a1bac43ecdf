#include "watch/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "data/distance.h"

/* One statistic of one column ("" for the whole window) against its bar. */
struct finding {
	const struct sl_bar *bar;
	const char *column, *segment; /* segment NULL: all rows */
	double value, excess; /* excess: value / its alarm or warn bar, for the order; at least 1 when it breaches */
	enum sl_level level;
	double error;         /* AUC's bound, else NaN */
};

const char *sl_level_name(enum sl_level level)
{
	static const char *const NAMES[] = {"ok", "warn", "alarm"};
	return NAMES[level];
}

static void judge(struct finding *f)
{
	const struct sl_bar *bar = f->bar;
	f->level = SL_LEVEL_OK;
	f->excess = 0;
	if (isnan(f->value))
		return;
	if (bar->has_warn && f->value >= bar->warn)
		f->level = SL_LEVEL_WARN;
	if ((bar->has_alarm && f->value >= bar->alarm) || (bar->has_min && f->value < bar->min))
		f->level = SL_LEVEL_ALARM;
	double limit = bar->has_alarm ? bar->alarm : bar->has_warn ? bar->warn : bar->min;
	f->excess = bar->has_min ? limit / fmax(f->value, 1e-12) : f->value / fmax(limit, 1e-12);
}

/* Worst first: level, then by how much, then the file's order (qsort is not stable: by address). */
static int worst_first(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;
	if (x->level != y->level)
		return (int)y->level - (int)x->level;
	if (x->excess != y->excess)
		return x->excess < y->excess ? 1 : -1;
	return (x->bar > y->bar) - (x->bar < y->bar);
}

static bool watches_column(const struct sl_monitor *monitor, const char *name)
{
	for (size_t i = 0; i < monitor->columns.count; i++)
		if (sl_str_eq(monitor->columns.items[i], name))
			return true;
	return monitor->columns.count == 0;
}

static size_t find_group(const struct sl_verdict_input *in, const struct sl_pane_inputs *inputs, struct finding *findings)
{
	size_t n = 0, features = in->model->package.feature_count;
	for (size_t column = 0; column < in->model->column_count; column++) {
		const char *name = column < features ? sl_watched_column(in->model, column)->name :
				   in->model->package.output_count == 1 ? "prediction" : sl_watched_column(in->model, column)->name;
		for (size_t b = 0; watches_column(in->monitor, name) && b < in->monitor->bar_count; b++) {
			const struct sl_bar *bar = &in->monitor->bars[b];
			findings[n] = (struct finding){.bar = bar, .column = name, .segment = inputs->segment, .error = NAN,
						       .value = sl_pane_input_statistic(inputs, column, bar->statistic)};
			n += !isnan(findings[n].value);
		}
	}
	return n;
}

/* The p-values of one bar are as many chances as there are columns and segments. */
static int correct(const struct sl_bar *bar, struct finding *findings, size_t count)
{
	double *p SL_AUTO_FREE = sl_alloc_array(count + 1, sizeof *p, NULL);
	if (!p)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		p[i] = findings[i].bar == bar ? findings[i].value : NAN;
	if (sl_false_discovery(p, count, p) < 0)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		findings[i].value = findings[i].bar == bar ? p[i] : findings[i].value;
	return 0;
}

/* Segments with too few rows are left out, as a window would be. */
static int find_inputs(const struct sl_verdict_input *in, struct finding *findings, size_t *ret_count)
{
	size_t n = 0;
	for (const struct sl_pane_inputs *inputs = in->window->inputs; inputs; inputs = inputs->next)
		if (inputs->model == in->model && (!inputs->segment || inputs->rows >= SL_MONITOR_ROWS_MIN))
			n += find_group(in, inputs, findings + n);
	for (size_t b = 0; b < in->monitor->bar_count; b++) {
		const struct sl_bar *bar = &in->monitor->bars[b];
		struct finding *f = &findings[n];
		if (sl_str_ends(bar->statistic, "_p") && correct(bar, findings, n) < 0)
			return SL_E_NO_MEMORY;
		*f = (struct finding){.bar = bar, .column = ""};
		f->value = sl_estimate_statistic(&in->window->estimate, bar->statistic, &f->error);
		n += !isnan(f->value);
	}
	for (size_t i = 0; i < n; i++)
		judge(&findings[i]);
	*ret_count = n;
	return 0;
}

static size_t count_groups(const struct sl_pane *window)
{
	size_t n = 0;
	for (const struct sl_pane_inputs *inputs = window->inputs; inputs; inputs = inputs->next)
		n++;
	return n;
}

static size_t find_quality(const struct sl_verdict_input *in, struct finding *findings)
{
	const struct sl_quality *quality = &in->window->quality;
	size_t n = 0;
	for (size_t b = 0; b < in->monitor->bar_count; b++) {
		const struct sl_bar *bar = &in->monitor->bars[b];
		struct finding f = {.bar = bar, .column = "", .error = NAN, .value = sl_quality_statistic(quality, in->model->package.task, bar->statistic)};
		if (sl_str_eq(bar->statistic, "auc"))
			sl_quality_auc(quality, &f.error);
		if (!isnan(f.value)) {
			judge(&f);
			findings[n++] = f;
		}
	}
	return n;
}

static bool add_finding(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct finding *f)
{
	yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
	bool ok = o && yyjson_mut_obj_add_strcpy(doc, o, "name", f->bar->statistic) && yyjson_mut_obj_add_real(doc, o, "value", f->value) &&
		  yyjson_mut_obj_add_str(doc, o, "level", sl_level_name(f->level));
	if (ok && f->column[0])
		ok = yyjson_mut_obj_add_strcpy(doc, o, "column", f->column);
	if (ok && f->segment)
		ok = yyjson_mut_obj_add_strcpy(doc, o, "segment", f->segment);
	if (ok && f->bar->has_warn)
		ok = yyjson_mut_obj_add_real(doc, o, "warn", f->bar->warn);
	if (ok && f->bar->has_alarm)
		ok = yyjson_mut_obj_add_real(doc, o, "alarm", f->bar->alarm);
	if (ok && f->bar->has_min)
		ok = yyjson_mut_obj_add_real(doc, o, "min", f->bar->min);
	if (ok && !isnan(f->error))
		ok = yyjson_mut_obj_add_real(doc, o, "error_bound", f->error);
	return ok;
}

static bool add_versions(const struct sl_pane *window, yyjson_mut_doc *doc, yyjson_mut_val *evidence)
{
	yyjson_mut_val *versions = yyjson_mut_obj_add_obj(doc, evidence, "versions");
	for (size_t i = 0; versions && i < SL_PANE_VERSIONS_MAX && window->versions[i].rows; i++) {
		char name[24];
		snprintf(name, sizeof name, "%lld", (long long)window->versions[i].version);
		yyjson_mut_val *key = yyjson_mut_strcpy(doc, name), *rows = yyjson_mut_uint(doc, window->versions[i].rows);
		if (!key || !rows || !yyjson_mut_obj_add(versions, key, rows))
			return false;
	}
	return versions != NULL;
}

static bool add_facts(const struct sl_verdict_input *in, uint64_t rows, yyjson_mut_doc *doc, yyjson_mut_val *evidence)
{
	char from[SL_TIME_TEXT], to[SL_TIME_TEXT];
	const struct sl_quality *quality = &in->window->quality;
	bool ok = yyjson_mut_obj_add_strcpy(doc, evidence, "from", sl_time_format(in->from_ms, from)) &&
		  yyjson_mut_obj_add_strcpy(doc, evidence, "to", sl_time_format(in->to_ms, to)) && yyjson_mut_obj_add_uint(doc, evidence, "rows", rows) &&
		  yyjson_mut_obj_add_uint(doc, evidence, "late_rows", in->late_rows) && yyjson_mut_obj_add_uint(doc, evidence, "future_rows", in->future_rows);
	if (ok && in->monitor->labels[0]) {
		ok = yyjson_mut_obj_add_uint(doc, evidence, "unlabelled", in->unlabelled) && yyjson_mut_obj_add_uint(doc, evidence, "waiting", in->waiting);
		if (ok && quality->rows && in->model && in->model->package.task != SL_TASK_MULTICLASS)
			ok = yyjson_mut_obj_add_real(doc, evidence, "predicted", quality->sum_predicted / (double)quality->rows) &&
			     yyjson_mut_obj_add_real(doc, evidence, "observed", quality->sum_observed / (double)quality->rows);
	}
	return ok && add_versions(in->window, doc, evidence);
}

int sl_verdict(const struct sl_verdict_input *in, yyjson_mut_doc *doc, yyjson_mut_val **ret, enum sl_level *ret_level, struct sl_error *err)
{
	bool quality = in->monitor->labels[0] != 0;
	uint64_t rows = quality ? in->window->quality.rows : in->window->rows;
	bool enough = in->model && rows >= SL_MONITOR_ROWS_MIN;
	size_t most = in->monitor->bar_count * (quality || !in->model ? 1 : in->model->column_count * count_groups(in->window) + 1) + 1;
	struct finding *findings SL_AUTO_FREE = sl_alloc_array(most, sizeof *findings, err);
	yyjson_mut_val *evidence = yyjson_mut_obj(doc), *list = yyjson_mut_arr(doc);
	if (!findings || !evidence || !list || !add_facts(in, rows, doc, evidence))
		return sl_fail_memory(err);
	size_t count = enough && quality ? find_quality(in, findings) : 0;
	if (enough && !quality && find_inputs(in, findings, &count) < 0)
		return sl_fail_memory(err);
	qsort(findings, count, sizeof *findings, worst_first);
	/* Of segments only what is not ok: 32 of them would make each window's evidence megabytes. */
	for (size_t i = 0; i < count; i++)
		if ((!findings[i].segment || findings[i].level > SL_LEVEL_OK) && !add_finding(doc, list, &findings[i]))
			return sl_fail_memory(err);
	*ret_level = count ? findings[0].level : SL_LEVEL_OK;
	if (!yyjson_mut_obj_add_str(doc, evidence, "level", sl_level_name(*ret_level)) || !yyjson_mut_obj_add_val(doc, evidence, "statistics", list) ||
	    (!enough && !yyjson_mut_obj_add_str(doc, evidence, "note", "too few rows to judge")))
		return sl_fail_memory(err);
	*ret = evidence;
	return 0;
}

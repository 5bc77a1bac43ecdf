/* A comparison: pairs of columns, chance corrected over all of them, levels. */
#include "watch/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "data/distance.h"
#include "watch/drift_column.h"

/* Warn and alarm where the peers' tools set them (docs/drift.md names them); where they have one bar, the alarm is twice that. */
static const struct { const char *name; struct sl_drift_bar bar; } STATISTICS[SL_DRIFT_STATISTICS] = {
	[SL_DRIFT_PSI] = {"psi", {0.1, 0.25}},
	[SL_DRIFT_JS] = {"js", {0.1, 0.2}},
	[SL_DRIFT_KS] = {"ks", {0.1, 0.2}},
	[SL_DRIFT_WASSERSTEIN] = {"wasserstein", {0.1, 0.2}},
	[SL_DRIFT_HELLINGER] = {"hellinger", {0.15, 0.4}},
	[SL_DRIFT_TOTAL_VARIATION] = {"total_variation", {0.1, 0.2}},
	[SL_DRIFT_CHI_SQUARE] = {"chi_square", {INFINITY, INFINITY}}, /* grows with the rows: only its p is judged */
	[SL_DRIFT_MISSING] = {"missing", {0.05, 0.2}},
	[SL_DRIFT_OUT_OF_RANGE] = {"out_of_range", {0.01, 0.05}},
	[SL_DRIFT_UNSEEN] = {"unseen", {0.01, 0.05}},
};

const char *sl_drift_statistic_name(enum sl_drift_statistic statistic) { return STATISTICS[statistic].name; }

void sl_drift_defaults(struct sl_drift_options *ret)
{
	*ret = (struct sl_drift_options){.alpha = 0.05, .share = 0.5};
	for (size_t i = 0; i < SL_DRIFT_STATISTICS; i++)
		ret->bars[i] = STATISTICS[i].bar;
}

static int bad_bar(const char *text, struct sl_error *err)
{
	sl_fail(err, SL_E_INVALID, "'%.200s' is no bar", text);
	return sl_error_hint(err, "NAME=WARN or NAME=WARN:ALARM, as in psi=0.1:0.25");
}

int sl_drift_parse_bar(const char *text, struct sl_drift_options *options, struct sl_error *err)
{
	const char *names[SL_DRIFT_STATISTICS], *equals = strchr(text, '=');
	char name[32], number[64];
	struct sl_drift_bar bar = {0, INFINITY};
	size_t at = 0;

	if (!equals || (size_t)(equals - text) >= sizeof name || strlen(equals + 1) >= sizeof number)
		return bad_bar(text, err);
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = 0;
	strcpy(number, equals + 1);
	for (size_t i = 0; i < SL_DRIFT_STATISTICS; i++)
		names[i] = STATISTICS[i].name;
	while (at < SL_DRIFT_STATISTICS && strcmp(names[at], name) != 0)
		at++;
	if (at == SL_DRIFT_STATISTICS) {
		const char *nearest = sl_str_nearest(name, names, SL_DRIFT_STATISTICS);
		sl_fail(err, SL_E_INVALID, "there is no statistic '%s'", name);
		return sl_error_hint(err, nearest ? "did you mean '%s'?" : "there are psi, js, ks, wasserstein, hellinger, total_variation ...", nearest);
	}
	char *colon = strchr(number, ':');
	if (colon)
		*colon = 0;
	if (!sl_str_double(number, &bar.warn) || (colon && !sl_str_double(colon + 1, &bar.alarm)) || !(bar.warn >= 0) || !(bar.alarm >= bar.warn))
		return bad_bar(text, err);
	options->bars[at] = bar;
	return 0;
}

/* ---- pairs of columns ---------------------------------------------------------------------------------------------------- */

struct comparing {
	const struct sl_drift_reference *reference;
	const struct sl_drift_rows *current;
	const struct sl_drift_options *options;
	struct sl_arena *arena;
	struct sl_drift_report *report;
	struct { int reference, current; } *pairs; /* fields of both sides */
	size_t pair_count;
	struct sl_error *err;
};

static size_t reference_fields(const struct comparing *c)
{
	const struct sl_drift_reference *r = c->reference;
	return r->rows ? r->rows->field_count : r->statistics->feature_count + r->statistics->prediction_count;
}

/* A model's columns: its features, then its answers. */
static const struct sl_reference_column *model_column(const struct sl_drift_reference *r, size_t i)
{
	size_t features = r->statistics->feature_count;
	return i < features ? &r->statistics->features[i] : &r->statistics->predictions[i - features];
}

static const char *reference_name(const struct comparing *c, size_t i, struct sl_error *err)
{
	const struct sl_drift_reference *r = c->reference;
	if (r->rows)
		return r->rows->fields[i].name;
	size_t features = r->statistics->feature_count;
	if (i < features)
		return r->statistics->features[i].name;
	const char *name = r->statistics->prediction_count == 1 ? "prediction"
		: sl_arena_printf(c->arena, "prediction %s", r->statistics->predictions[i - features].name);
	if (!name)
		sl_fail_memory(err);
	return name;
}

static int find_pairs(struct comparing *c)
{
	size_t n = reference_fields(c);
	struct sl_drift_report *report = c->report;
	unsigned char *taken = sl_arena_alloc(c->arena, c->current->field_count + 1);
	c->pairs = sl_arena_array(c->arena, n + 1, sizeof *c->pairs);
	report->removed = sl_arena_array(c->arena, n + 1, sizeof *report->removed);
	report->added = sl_arena_array(c->arena, c->current->field_count + 1, sizeof *report->added);
	if (!taken || !c->pairs || !report->removed || !report->added)
		return sl_fail_memory(c->err);
	for (size_t i = 0; i < n; i++) {
		const char *name = reference_name(c, i, c->err);
		if (!name)
			return SL_E_NO_MEMORY;
		int at = sl_drift_field(c->current, name, strlen(name));
		if (at < 0) {
			report->removed[report->removed_count++] = name;
			continue;
		}
		taken[at] = 1;
		c->pairs[c->pair_count].reference = (int)i;
		c->pairs[c->pair_count++].current = at;
	}
	for (size_t i = 0; i < c->current->field_count; i++)
		if (!taken[i])
			report->added[report->added_count++] = c->current->fields[i].name;
	if (c->pair_count)
		return 0;
	sl_fail(c->err, SL_E_INVALID, "the two have no column in common");
	return sl_error_hint(c->err, "columns are compared by name");
}

static enum sl_drift_kind kind_of_reference(const struct comparing *c, size_t field)
{
	const struct sl_drift_reference *r = c->reference;
	if (r->rows)
		return r->rows->fields[field].kind;
	if (model_column(r, field)->encoding == SL_ENCODE_CATEGORY)
		return SL_DRIFT_TEXT;
	return field < r->package->feature_count && r->package->features[field].kind == SL_SQL_TIME ? SL_DRIFT_TIME : SL_DRIFT_NUMBER;
}

/* A side of which only missing values are known has the other one's kind. */
static bool kinds_differ(const struct comparing *c, size_t reference, const struct sl_drift_field *current, enum sl_drift_kind *ret_kind)
{
	const struct sl_drift_rows *rows = c->reference->rows;
	bool known = !rows || rows->fields[reference].known;
	enum sl_drift_kind kind = kind_of_reference(c, reference);

	*ret_kind = known ? kind : current->kind;
	return known && current->known && current->kind != kind;
}

/* Why the pair is not judged; NULL: it is. */
static const char *obstacle(const struct sl_drift_column *column, uint64_t reference_rows, uint64_t current_rows)
{
	if (column->kind == SL_DRIFT_TIME)
		return "times move on: shown, not judged";
	return reference_rows < SL_DRIFT_ROWS_MIN || current_rows < SL_DRIFT_ROWS_MIN ? "too few rows to judge" : NULL;
}

/* `reference` is NULL when it is a model's statistics. */
static int compare_pair(const struct comparing *c, size_t pair, const struct sl_drift_group *reference, const struct sl_drift_group *current,
			struct sl_drift_column *ret)
{
	const struct sl_drift_reference *r = c->reference;
	size_t a = (size_t)c->pairs[pair].reference, b = (size_t)c->pairs[pair].current;
	const struct sl_drift_field *field = &c->current->fields[b];
	struct sl_drift_pair what = {.current = &current->columns[b], .plain = current != &c->current->groups[0]};

	*ret = (struct sl_drift_column){.name = field->name, .role = field->role};
	sl_drift_blank(ret);
	if (reference && r->rows->fields[a].role != SL_DRIFT_INPUT)
		ret->role = r->rows->fields[a].role;
	if (kinds_differ(c, a, field, &ret->kind)) {
		ret->note = "the kinds of values differ";
		ret->judged = ret->kind != SL_DRIFT_TIME && field->kind != SL_DRIFT_TIME;
		ret->level = ret->judged ? SL_DRIFT_ALARM : SL_DRIFT_OK;
		return 0;
	}
	what.reference = reference ? &reference->columns[a] : NULL;
	what.statistics = reference ? NULL : model_column(r, a);
	what.feature = !reference && a < r->package->feature_count ? &r->package->features[a] : NULL;
	ret->note = obstacle(ret, reference ? reference->rows : r->statistics->rows, current->rows);
	ret->judged = !ret->note;
	return sl_drift_measure(&what, c->arena, ret) < 0 ? sl_fail_memory(c->err) : 0;
}

static int compare_groups(const struct comparing *c, const struct sl_drift_group *reference, const struct sl_drift_group *current,
			  struct sl_drift_column **ret)
{
	int rc = 0;
	*ret = sl_arena_array(c->arena, c->pair_count + 1, sizeof **ret);
	if (!*ret)
		return sl_fail_memory(c->err);
	for (size_t i = 0; i < c->pair_count && !rc; i++)
		rc = compare_pair(c, i, reference, current, &(*ret)[i]);
	return rc;
}

static bool same_segment(const struct sl_drift_group *a, const struct sl_drift_group *b)
{
	return a->missing == b->missing && a->others == b->others && sl_str_eq(a->segment, b->segment);
}

/* Segments that both sides have, in the reference's order; a model's statistics have none. */
static int compare_segments(const struct comparing *c)
{
	const struct sl_drift_rows *rows = c->reference->rows;
	struct sl_drift_report *report = c->report;
	report->segments = sl_arena_array(c->arena, SL_DRIFT_SEGMENTS_MAX + 3, sizeof *report->segments);
	if (!report->segments)
		return sl_fail_memory(c->err);
	for (size_t a = 1; rows && a < rows->group_count; a++)
		for (size_t b = 1; b < c->current->group_count; b++) {
			const struct sl_drift_group *x = &rows->groups[a], *y = &c->current->groups[b];
			if (!same_segment(x, y))
				continue;
			struct sl_drift_segment *segment = &report->segments[report->segment_count++];
			*segment = (struct sl_drift_segment){.value = x->segment, .missing = x->missing, .others = x->others, .reference_rows = x->rows,
							     .current_rows = y->rows, .column_count = c->pair_count, .quality = {x->quality, y->quality}};
			int rc = compare_groups(c, x, y, &segment->columns);
			if (rc)
				return rc;
		}
	return 0;
}

/* ---- chance and levels --------------------------------------------------------------------------------------------------- */

/* All tests of judged columns are one family: those of the whole, or those of all segments. */
static int correct(const struct comparing *c, struct sl_drift_column **groups, size_t group_count)
{
	size_t count = group_count * c->pair_count * SL_DRIFT_TESTS, tests = 0, at = 0;
	double *p = sl_arena_array(c->arena, count + 1, sizeof *p);
	if (!p)
		return sl_fail_memory(c->err);
	for (size_t g = 0; g < group_count; g++)
		for (size_t i = 0; i < c->pair_count; i++)
			for (size_t t = 0; t < SL_DRIFT_TESTS; t++, at++) {
				p[at] = groups[g][i].judged ? groups[g][i].p[t] : NAN;
				tests += !isnan(p[at]);
			}
	if (c->options->correction == SL_DRIFT_FALSE_DISCOVERY && sl_false_discovery(p, count, p) < 0)
		return sl_fail_memory(c->err);
	at = 0;
	for (size_t g = 0; g < group_count; g++)
		for (size_t i = 0; i < c->pair_count; i++)
			for (size_t t = 0; t < SL_DRIFT_TESTS; t++, at++)
				groups[g][i].q[t] = c->options->correction == SL_DRIFT_BONFERRONI ? fmin(p[at] * (double)tests, 1) : p[at];
	return 0;
}

/* Of what a statistic measures: whether a test finds more than chance in it. Bins count missing values too. */
static bool is_significant(const struct sl_drift_column *column, enum sl_drift_statistic statistic, double alpha)
{
	const double *q = column->q;
	switch (statistic) {
	case SL_DRIFT_MISSING: return q[SL_DRIFT_TEST_MISSING] < alpha;
	case SL_DRIFT_OUT_OF_RANGE: return q[SL_DRIFT_TEST_RANGE] < alpha;
	case SL_DRIFT_KS:
	case SL_DRIFT_WASSERSTEIN:
	case SL_DRIFT_UNSEEN: return q[SL_DRIFT_TEST_VALUES] < alpha;
	default: return q[SL_DRIFT_TEST_VALUES] < alpha || q[SL_DRIFT_TEST_MISSING] < alpha;
	}
}

static void judge(const struct sl_drift_options *options, struct sl_drift_column *column)
{
	double nearest = -1;
	for (size_t s = 0; s < SL_DRIFT_STATISTICS; s++) {
		const struct sl_drift_bar *bar = &options->bars[s];
		double value = column->values[s], excess = value / fmax(bar->warn, 1e-12);
		if (isnan(value) || isinf(bar->warn))
			continue;
		bool counts = column->judged && is_significant(column, (enum sl_drift_statistic)s, options->alpha);
		enum sl_drift_level level = !counts || value < bar->warn ? SL_DRIFT_OK : value < bar->alarm ? SL_DRIFT_WARN : SL_DRIFT_ALARM;
		if (level < column->level || (level == column->level && excess <= nearest))
			continue;
		column->level = level;
		column->worst = (enum sl_drift_statistic)s;
		nearest = excess;
	}
}

static void judge_all(const struct sl_drift_options *options, struct sl_drift_column *columns, size_t count, size_t *ret_drifted, size_t *ret_judged)
{
	for (size_t i = 0; i < count; i++) {
		judge(options, &columns[i]);
		*ret_judged += columns[i].judged;
		*ret_drifted += columns[i].level > SL_DRIFT_OK;
	}
}

/* Level, then how far above its bar, then the name. */
static int worst_first(const void *a, const void *b)
{
	const struct sl_drift_column *x = a, *y = b;
	if (x->level != y->level)
		return (int)y->level - (int)x->level;
	if (x->judged != y->judged)
		return x->judged ? -1 : 1;
	double psi_x = isnan(x->values[SL_DRIFT_PSI]) ? -1 : x->values[SL_DRIFT_PSI], psi_y = isnan(y->values[SL_DRIFT_PSI]) ? -1 : y->values[SL_DRIFT_PSI];
	return psi_x != psi_y ? (psi_x < psi_y ? 1 : -1) : strcmp(x->name, y->name);
}

static int judge_report(const struct comparing *c)
{
	struct sl_drift_report *report = c->report;
	struct sl_drift_column *groups[SL_DRIFT_SEGMENTS_MAX + 3];
	for (size_t s = 0; s < report->segment_count; s++)
		groups[s] = report->segments[s].columns;
	int rc = correct(c, &report->columns, 1);
	rc = rc ? rc : correct(c, groups, report->segment_count);
	if (rc)
		return rc;
	judge_all(c->options, report->columns, report->column_count, &report->drifted, &report->judged);
	for (size_t s = 0; s < report->segment_count; s++)
		judge_all(c->options, groups[s], c->pair_count, &report->segments[s].drifted, &report->segments[s].judged);
	qsort(report->columns, report->column_count, sizeof *report->columns, worst_first);
	report->level = report->columns[0].level;
	report->dataset_drift = report->judged && (double)report->drifted >= c->options->share * (double)report->judged && report->drifted;
	return 0;
}

int sl_drift_compare(const struct sl_drift_reference *reference, const struct sl_drift_rows *current, const struct sl_drift_options *options,
		     struct sl_arena *arena, struct sl_drift_report *ret, struct sl_error *err)
{
	struct comparing c = {.reference = reference, .current = current, .options = options, .arena = arena, .report = ret, .err = err};

	*ret = (struct sl_drift_report){.options = *options, .current_rows = current->groups[0].rows,
					.reference_rows = reference->rows ? reference->rows->groups[0].rows : reference->statistics->rows};
	ret->quality[0] = reference->rows ? reference->rows->groups[0].quality : NULL;
	ret->quality[1] = current->groups[0].quality;
	int rc = find_pairs(&c);
	ret->column_count = c.pair_count;
	rc = rc ? rc : compare_groups(&c, reference->rows ? &reference->rows->groups[0] : NULL, &current->groups[0], &ret->columns);
	rc = rc ? rc : compare_segments(&c);
	return rc ? rc : judge_report(&c);
}

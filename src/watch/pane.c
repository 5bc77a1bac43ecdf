#include "watch/pane.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "data/distance.h"

enum { COUNTER_MISSING, COUNTER_UNSEEN, COUNTER_OUT_OF_RANGE, EXTRA_COUNTERS }; /* behind the bins */

const struct sl_reference_column *sl_watched_column(const struct sl_watched_model *model, size_t column)
{
	size_t features = model->reference.feature_count;
	return column < features ? &model->reference.features[column] : &model->reference.predictions[column - features];
}

int sl_watched_model_index(struct sl_watched_model *model, struct sl_error *err)
{
	const struct sl_reference *reference = &model->reference;
	if (reference->feature_count != model->package.feature_count || reference->prediction_count != model->package.output_count)
		return sl_fail(err, SL_E_CORRUPT, "the reference statistics are of another model");
	model->column_count = reference->feature_count + reference->prediction_count;
	model->counter_count = 0;
	model->first = sl_arena_array(model->arena, model->column_count, sizeof *model->first);
	if (!model->first)
		return sl_fail_memory(err);
	for (size_t i = 0; i < model->column_count; i++) {
		model->first[i] = model->counter_count;
		model->counter_count += sl_watched_column(model, i)->bin_count + EXTRA_COUNTERS;
	}
	return 0;
}

int sl_watched_model_load(struct sl_objects *objects, const struct sl_hash *package, int64_t version, struct sl_watched_model **ret, struct sl_error *err)
{
	struct sl_watched_model *model = sl_alloc(sizeof *model, err);
	if (!model)
		return SL_E_NO_MEMORY;
	model->version = version;
	model->arena = sl_arena_new(0, err);
	int rc = model->arena ? sl_package_read(objects, package, model->arena, &model->package, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_package_reference(objects, &model->package, model->arena, &model->reference, err);
	if (!rc)
		rc = sl_watched_model_index(model, err);
	if (rc)
		sl_watched_model_free(model);
	else
		*ret = model;
	return rc;
}

void sl_watched_model_free(struct sl_watched_model *model)
{
	if (!model)
		return;
	sl_arena_free(model->arena);
	sl_free(model);
}

int sl_watched_feature(const struct sl_watched_model *model, const char *name, size_t name_len)
{
	for (size_t i = 0; i < model->package.feature_count; i++) {
		const char *feature = model->package.features[i].name;
		if (strlen(feature) == name_len && memcmp(feature, name, name_len) == 0)
			return (int)i;
	}
	return -1;
}

void sl_pane_done(struct sl_pane *pane)
{
	while (pane->inputs) {
		struct sl_pane_inputs *next = pane->inputs->next;
		sl_free(pane->inputs);
		pane->inputs = next;
	}
	sl_quality_done(&pane->quality);
	sl_estimate_done(&pane->estimate);
}

void sl_pane_count(struct sl_pane *pane, int64_t version, uint64_t rows)
{
	size_t i = 0;
	while (i < SL_PANE_VERSIONS_MAX - 1 && pane->versions[i].rows && pane->versions[i].version != version)
		i++;
	pane->versions[i].version = version;
	pane->versions[i].rows += rows;
	pane->rows += rows;
}

struct sl_pane_inputs *sl_pane_inputs(struct sl_pane *pane, const struct sl_watched_model *model, const char *segment)
{
	for (struct sl_pane_inputs *inputs = pane->inputs; inputs; inputs = inputs->next)
		if (inputs->model == model && inputs->segment == segment)
			return inputs;
	struct sl_pane_inputs *inputs = sl_alloc(sizeof *inputs + model->counter_count * sizeof inputs->counters[0], NULL);
	if (!inputs)
		return NULL;
	inputs->model = model;
	inputs->segment = segment;
	inputs->next = pane->inputs;
	pane->inputs = inputs;
	return inputs;
}

void sl_pane_value(struct sl_pane_inputs *inputs, size_t column, float value, bool unseen)
{
	const struct sl_reference_column *reference = sl_watched_column(inputs->model, column);
	uint64_t *bins = inputs->counters + inputs->model->first[column], *extra = bins + reference->bin_count;
	if (unseen) {
		extra[COUNTER_UNSEEN]++;
	} else if (isnan(value)) {
		extra[COUNTER_MISSING]++;
	} else if (reference->encoding == SL_ENCODE_CATEGORY) {
		bins[(size_t)value]++;
	} else {
		bins[sl_reference_bin(reference, value)]++;
		extra[COUNTER_OUT_OF_RANGE] += value < reference->min || value > reference->max;
	}
}

bool sl_pane_merge(struct sl_pane *into, const struct sl_pane *from)
{
	for (size_t i = 0; i < SL_PANE_VERSIONS_MAX; i++)
		if (from->versions[i].rows)
			sl_pane_count(into, from->versions[i].version, from->versions[i].rows);
	for (const struct sl_pane_inputs *inputs = from->inputs; inputs; inputs = inputs->next) {
		struct sl_pane_inputs *sum = sl_pane_inputs(into, inputs->model, inputs->segment);
		if (!sum)
			return false;
		sum->rows += inputs->rows;
		for (size_t i = 0; i < inputs->model->counter_count; i++)
			sum->counters[i] += inputs->counters[i];
	}
	return sl_quality_merge(&into->quality, &from->quality) && sl_estimate_merge(&into->estimate, &from->estimate);
}

/* Both sides of a column: its bins, one for what the reference knows only the sum of, missing and unseen; the reference never saw
 * an unseen category. */
struct sides { uint64_t *reference, *window; size_t bins, all; };

static void sides_done(struct sides *s) { sl_free(s->reference); }

static bool make_sides(const struct sl_pane_inputs *inputs, size_t column, struct sides *ret)
{
	const struct sl_watched_model *model = inputs->model;
	const struct sl_reference_column *reference = sl_watched_column(model, column);
	const uint64_t *window = inputs->counters + model->first[column];
	size_t bins = reference->bin_count, all = bins + 3;
	bool partly = model->rest && column < model->reference.feature_count && model->rest[column];
	ret->reference = sl_alloc_array(all, 2 * sizeof(uint64_t), NULL);
	if (!ret->reference)
		return false;
	ret->window = ret->reference + all;
	ret->bins = bins;
	ret->all = all;
	for (size_t i = 0; i < bins; i++) {
		size_t to = partly && !reference->counts[i] ? bins : i;
		ret->reference[to] += reference->counts[i];
		ret->window[to] += window[i];
	}
	ret->reference[bins] += partly ? model->rest[column] : 0;
	ret->reference[bins + 1] = reference->missing;
	ret->window[bins + 1] = window[bins + COUNTER_MISSING];
	ret->window[bins + 2] = window[bins + COUNTER_UNSEEN];
	return true;
}

static double chi_square_p(const struct sides *s)
{
	size_t degrees;
	double x = sl_chi_square(s->reference, s->window, s->all, &degrees);
	return sl_chi_square_p(x, (double)degrees);
}

/* Of values: those present. */
static double of_numbers(const struct sides *s, const struct sl_reference_column *reference, const char *name)
{
	double knots[SL_REFERENCE_BINS + 1], n = 0, m = 0;
	for (size_t i = 0; i < s->bins; i++) {
		knots[i + 1] = i + 1 < s->bins ? reference->edges[i] : reference->max;
		n += (double)s->reference[i];
		m += (double)s->window[i];
	}
	knots[0] = reference->min;
	if (n == 0 || m == 0)
		return NAN;
	if (sl_str_eq(name, "wasserstein"))
		return sl_wasserstein_bins(knots, s->reference, s->window, s->bins);
	double d = sl_ks_bins(s->reference, s->window, s->bins);
	return sl_str_eq(name, "ks") ? d : sl_str_eq(name, "ks_p") ? sl_ks_p(d, n, m) : NAN;
}

static double distance(const struct sl_pane_inputs *inputs, size_t column, const char *name)
{
	static const struct { const char *name; double (*of)(const uint64_t *, const uint64_t *, size_t); } DISTANCES[] = {
		{"psi", sl_psi}, {"js", sl_js_distance}, {"hellinger", sl_hellinger}, {"total_variation", sl_total_variation}};
	const struct sl_reference_column *reference = sl_watched_column(inputs->model, column);
	struct sides s SL_CLEANUP(sides_done) = {0};
	if (!make_sides(inputs, column, &s))
		return NAN;
	for (size_t i = 0; i < SL_ARRAY_LEN(DISTANCES); i++)
		if (sl_str_eq(name, DISTANCES[i].name))
			return DISTANCES[i].of(s.reference, s.window, s.all);
	if (sl_str_eq(name, "chi_square_p"))
		return chi_square_p(&s);
	return reference->encoding == SL_ENCODE_NUMBER ? of_numbers(&s, reference, name) : NAN;
}

double sl_pane_input_statistic(const struct sl_pane_inputs *inputs, size_t column, const char *name)
{
	const struct sl_reference_column *reference = sl_watched_column(inputs->model, column);
	const uint64_t *extra = inputs->counters + inputs->model->first[column] + reference->bin_count;
	if (inputs->rows == 0)
		return NAN;
	if (sl_str_eq(name, "missing"))
		return (double)extra[COUNTER_MISSING] / (double)inputs->rows;
	if (sl_str_eq(name, "out_of_range"))
		return reference->encoding == SL_ENCODE_NUMBER ? (double)extra[COUNTER_OUT_OF_RANGE] / (double)inputs->rows : NAN;
	if (sl_str_eq(name, "unseen"))
		return reference->encoding == SL_ENCODE_CATEGORY ? (double)extra[COUNTER_UNSEEN] / (double)inputs->rows : NAN;
	return distance(inputs, column, name);
}

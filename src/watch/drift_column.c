/* One column: bins beside each other, the distances that they give, and the tests of chance. */
#include "watch/drift_column.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/distance.h"

enum { UNSEEN, MISSING, EXTRA }; /* counts behind the bins' */

/* Counts of both sides: the bins', then unseen and missing. */
struct counts { uint64_t *sides[2]; size_t bins; };

static int make_counts(struct sl_arena *arena, size_t bins, struct counts *ret)
{
	*ret = (struct counts){.bins = bins};
	for (size_t s = 0; s < 2; s++)
		if (!(ret->sides[s] = sl_arena_array(arena, bins + EXTRA, sizeof(uint64_t))))
			return SL_E_NO_MEMORY;
	return 0;
}

/* ---- statistics of counts ------------------------------------------------------------------------------------------------ */

static void measure_counts(const struct counts *c, struct sl_drift_column *ret)
{
	const uint64_t *a = c->sides[0], *b = c->sides[1];
	size_t n = c->bins + EXTRA;
	ret->values[SL_DRIFT_PSI] = sl_psi(a, b, n);
	ret->values[SL_DRIFT_JS] = sl_js_distance(a, b, n);
	ret->values[SL_DRIFT_HELLINGER] = sl_hellinger(a, b, n);
	ret->values[SL_DRIFT_TOTAL_VARIATION] = sl_total_variation(a, b, n);
}

static void measure_missing(struct sl_drift_column *ret)
{
	const struct sl_drift_side_numbers *a = &ret->reference, *b = &ret->current;
	uint64_t sides[2][2] = {{a->present, a->missing}, {b->present, b->missing}};
	size_t degrees;
	double rows[2] = {(double)(a->present + a->missing), (double)(b->present + b->missing)};
	ret->values[SL_DRIFT_MISSING] = fabs((double)b->missing / rows[1] - (double)a->missing / rows[0]);
	double x = sl_chi_square(sides[0], sides[1], 2, &degrees);
	ret->p[SL_DRIFT_TEST_MISSING] = sl_chi_square_p(x, (double)degrees);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

struct numbers { struct sl_weighted *items; size_t count; };
struct both { struct numbers sides[2]; }; /* the reference's are empty when only its bins are known */

static void both_done(struct both *b)
{
	sl_free(b->sides[0].items);
	sl_free(b->sides[1].items);
}

/* The reference's deciles, equal ones once, none at its greatest value: an empty bin would lie behind it. */
static size_t make_edges(const struct numbers *reference, double edges[SL_DRIFT_BINS])
{
	double shares[SL_DRIFT_BINS - 1], deciles[SL_DRIFT_BINS - 1];
	size_t n = 0;
	if (!reference->count)
		return 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(shares); i++)
		shares[i] = (double)(i + 1) / SL_DRIFT_BINS;
	sl_weighted_quantiles(reference->items, reference->count, shares, SL_ARRAY_LEN(shares), deciles);
	for (size_t i = 0; i < SL_ARRAY_LEN(deciles); i++)
		if ((!n || deciles[i] > edges[n - 1]) && deciles[i] < reference->items[reference->count - 1].value)
			edges[n++] = deciles[i];
	return n;
}

static void count_between(const struct numbers *side, const double *edges, size_t bins, uint64_t *ret)
{
	double tops[SL_DRIFT_BINS + 1] = {0};
	for (size_t i = 0; i < bins; i++)
		tops[i] = i + 1 < bins ? edges[i] : INFINITY;
	sl_weighted_ranks(side->items, side->count, tops, bins, ret);
	for (size_t i = bins; i-- > 1;)
		ret[i] -= ret[i - 1];
}

static int keep_number_bins(const struct counts *c, const double *edges, struct sl_arena *arena, struct sl_drift_column *ret)
{
	ret->bins = sl_arena_array(arena, c->bins, sizeof *ret->bins);
	ret->bin_count = ret->bins ? c->bins : 0;
	for (size_t i = 0; i < ret->bin_count; i++)
		ret->bins[i] = (struct sl_drift_bin){.to = i + 1 < c->bins ? edges[i] : INFINITY, .reference = c->sides[0][i], .current = c->sides[1][i]};
	return ret->bins ? 0 : SL_E_NO_MEMORY;
}

/* Equal widths over what both sides have between their half and last-but-half percent: outliers would flatten the rest. */
static void draw_histogram(const struct numbers sides[2], struct sl_drift_column *ret)
{
	static const double ENDS[] = {0.005, 0.995};
	double from = INFINITY, to = -INFINITY, edges[SL_DRIFT_HISTOGRAM];
	uint64_t ranks[SL_DRIFT_HISTOGRAM];
	for (size_t s = 0; s < 2; s++) {
		double ends[2];
		if (!sides[s].count)
			return;
		sl_weighted_quantiles(sides[s].items, sides[s].count, ENDS, 2, ends);
		from = fmin(from, ends[0]);
		to = fmax(to, ends[1]);
	}
	if (!(to > from) || !isfinite(to - from))
		return;
	ret->histogram_from = from;
	ret->histogram_to = to;
	for (size_t i = 0; i < SL_DRIFT_HISTOGRAM; i++)
		edges[i] = i + 1 == SL_DRIFT_HISTOGRAM ? INFINITY : from + (to - from) * (double)(i + 1) / SL_DRIFT_HISTOGRAM;
	for (size_t s = 0; s < 2; s++) {
		sl_weighted_ranks(sides[s].items, sides[s].count, edges, SL_DRIFT_HISTOGRAM, ranks);
		for (size_t i = 0; i < SL_DRIFT_HISTOGRAM; i++)
			ret->histogram[s][i] = (double)(ranks[i] - (i ? ranks[i - 1] : 0)) / (double)ranks[SL_DRIFT_HISTOGRAM - 1];
	}
}

static struct sl_drift_side_numbers numbers_of(const struct sl_distribution *d)
{
	double n = d->moments.n;
	return (struct sl_drift_side_numbers){.present = sl_distribution_present(d), .missing = d->missing, .mean = n ? d->moments.mean : NAN,
					      .std = n ? sqrt(d->moments.squares / n) : NAN, .min = n ? d->min : NAN, .max = n ? d->max : NAN};
}

/* What lies beyond the reference's least and greatest value. A sample of the same distribution has 2 / (n + 1) of its rows there
 * on average, and more than a share s with a chance of about (1 + x) exp(-x), x = s (n + 1): the sum of two waiting times. */
static void measure_range(const struct numbers *current, struct sl_drift_column *ret)
{
	uint64_t at_most[2], all = 0;
	double edges[2] = {nextafter(ret->reference.min, -INFINITY), ret->reference.max};
	if (!ret->reference.present || !ret->current.present)
		return;
	for (size_t i = 0; i < current->count; i++)
		all += current->items[i].weight;
	sl_weighted_ranks(current->items, current->count, edges, 2, at_most);
	double share = (double)(at_most[0] + all - at_most[1]) / (double)all, x = share * (double)(ret->reference.present + 1);
	/* The sketch may have lost the extremes themselves. */
	if (share == 0 && (ret->current.min < ret->reference.min || ret->current.max > ret->reference.max))
		share = 1 / (double)ret->current.present;
	ret->values[SL_DRIFT_OUT_OF_RANGE] = share;
	ret->p[SL_DRIFT_TEST_RANGE] = (1 + x) * exp(-x);
}

static void measure_samples(const struct sl_drift_pair *pair, const struct numbers sides[2], struct sl_drift_column *ret)
{
	struct sl_sample_distance d = sl_sample_distances(sides[0].items, sides[0].count, sides[1].items, sides[1].count);
	if (isnan(d.ks))
		return;
	ret->values[SL_DRIFT_KS] = d.ks;
	if (ret->reference.std > 0)
		ret->values[SL_DRIFT_WASSERSTEIN] = d.wasserstein / ret->reference.std;
	/* Of D only what the sketches cannot have made up. */
	double error = sl_distribution_error(pair->reference) + sl_distribution_error(pair->current);
	ret->p[SL_DRIFT_TEST_VALUES] = sl_ks_p(d.ks - error, (double)ret->reference.present, (double)ret->current.present);
}

static void measure_binned(const struct counts *c, struct sl_drift_column *ret)
{
	ret->values[SL_DRIFT_KS] = sl_ks_bins(c->sides[0], c->sides[1], c->bins);
	ret->p[SL_DRIFT_TEST_VALUES] = sl_ks_p(ret->values[SL_DRIFT_KS], (double)ret->reference.present, (double)ret->current.present);
}

static int measure_numbers(const struct sl_drift_pair *pair, struct sl_arena *arena, struct sl_drift_column *ret)
{
	struct both both SL_CLEANUP(both_done) = {0};
	struct numbers *reference = &both.sides[0], *current = &both.sides[1];
	double made[SL_DRIFT_BINS];
	const double *edges = pair->statistics ? pair->statistics->edges : made;
	struct counts c;

	current->items = sl_distribution_items(pair->current, &current->count);
	if (pair->reference)
		reference->items = sl_distribution_items(pair->reference, &reference->count);
	if (!current->items || (pair->reference && !reference->items))
		return SL_E_NO_MEMORY;
	size_t bins = pair->statistics ? pair->statistics->bin_count : make_edges(reference, made) + 1;
	if (make_counts(arena, bins, &c) < 0)
		return SL_E_NO_MEMORY;
	if (pair->statistics)
		memcpy(c.sides[0], pair->statistics->counts, bins * sizeof(uint64_t));
	else
		count_between(reference, edges, bins, c.sides[0]);
	count_between(current, edges, bins, c.sides[1]);
	c.sides[0][bins + MISSING] = ret->reference.missing;
	c.sides[1][bins + MISSING] = ret->current.missing;
	measure_counts(&c, ret);
	measure_range(current, ret);
	if (pair->reference)
		measure_samples(pair, both.sides, ret);
	else if (ret->reference.present && ret->current.present)
		measure_binned(&c, ret);
	if (pair->plain)
		return 0;
	draw_histogram(both.sides, ret);
	return keep_number_bins(&c, edges, arena, ret);
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

struct value { const struct sl_frequent_item *item; const char *text; };

/* Most frequent first, equal ones in the order of their bytes. */
static int most_first(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	uint32_t x_len = x->item->kept, y_len = y->item->kept;
	if (x->item->count != y->item->count)
		return x->item->count < y->item->count ? 1 : -1;
	int order = memcmp(x->text, y->text, x_len < y_len ? x_len : y_len);
	return order ? order : (x->item->len > y->item->len) - (x->item->len < y->item->len);
}

static struct value *list_values(const struct sl_frequent *f, struct sl_arena *arena)
{
	struct value *values = sl_arena_array(arena, f->used + 1, sizeof *values);
	size_t n = 0;
	for (size_t i = 0; values && i < f->slot_count; i++)
		if (f->slots[i].count)
			values[n++] = (struct value){&f->slots[i], f->slots[i].kept ? f->pool + f->slots[i].bits : ""};
	if (values)
		qsort(values, n, sizeof *values, most_first);
	return values;
}

static uint64_t sum_counts(const uint64_t *counts, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += counts[i];
	return sum;
}

/* The reference's values are the bins. What is left of the rows is unseen: of a reference that could not count every value, that
 * is what is rare there. */
static int count_texts(const struct sl_distribution *reference, const struct sl_distribution *current, struct sl_arena *arena, struct counts *c,
		       struct sl_drift_column *ret)
{
	const struct sl_frequent *f = &reference->frequent;
	size_t most = f->error && f->used > SL_DRIFT_CATEGORIES_MAX ? SL_DRIFT_CATEGORIES_MAX : f->used;
	const struct value *values = list_values(f, arena);
	if (!values || make_counts(arena, most, c) < 0)
		return SL_E_NO_MEMORY;
	ret->bins = sl_arena_array(arena, c->bins + 1, sizeof *ret->bins);
	ret->bin_count = ret->bins ? c->bins : 0;
	for (size_t i = 0; i < ret->bin_count; i++) {
		const struct sl_frequent_item *item = values[i].item;
		const struct sl_frequent_item *there = sl_frequent_find_text(&current->frequent, values[i].text, item->len, item->hash);
		const char *text = sl_arena_strndup(arena, values[i].text, item->kept);
		c->sides[0][i] = item->count;
		c->sides[1][i] = there ? there->count : 0;
		ret->bins[i] = (struct sl_drift_bin){.text = text, .reference = c->sides[0][i], .current = c->sides[1][i]};
		if (!text)
			return SL_E_NO_MEMORY;
	}
	return ret->bins ? 0 : SL_E_NO_MEMORY;
}

/* The same against a model's dictionary, whose values are the bins. */
static int count_against_model(const struct sl_drift_pair *pair, struct sl_arena *arena, struct counts *c, struct sl_drift_column *ret)
{
	const struct sl_frequent *f = &pair->current->frequent;
	const struct sl_reference_column *model = pair->statistics;
	if (make_counts(arena, model->bin_count, c) < 0 || !(ret->bins = sl_arena_array(arena, model->bin_count + 1, sizeof *ret->bins)))
		return SL_E_NO_MEMORY;
	memcpy(c->sides[0], model->counts, c->bins * sizeof(uint64_t));
	for (size_t i = 0; i < f->slot_count; i++) {
		const struct sl_frequent_item *item = &f->slots[i];
		int32_t at = item->count && item->kept == item->len ? sl_dictionary_find(pair->feature->dictionary, f->pool + item->bits, item->len) : -1;
		if (at >= 0)
			c->sides[1][at] += item->count;
	}
	ret->bin_count = c->bins;
	for (size_t i = 0; i < c->bins; i++)
		ret->bins[i] = (struct sl_drift_bin){.text = model->values[i].text, .reference = c->sides[0][i], .current = c->sides[1][i]};
	return 0;
}

static int measure_texts(const struct sl_drift_pair *pair, struct sl_arena *arena, struct sl_drift_column *ret)
{
	struct counts c;
	size_t degrees;
	bool exact = !pair->reference || !pair->reference->frequent.error;
	int rc = pair->reference ? count_texts(pair->reference, pair->current, arena, &c, ret) : count_against_model(pair, arena, &c, ret);

	if (rc < 0)
		return rc;
	/* Counts of a table that lost values are too low, so these are what it lost as well. */
	c.sides[0][c.bins + UNSEEN] = ret->reference.present - sum_counts(c.sides[0], c.bins);
	c.sides[1][c.bins + UNSEEN] = ret->unseen = ret->current.present - sum_counts(c.sides[1], c.bins);
	c.sides[0][c.bins + MISSING] = ret->reference.missing;
	c.sides[1][c.bins + MISSING] = ret->current.missing;
	measure_counts(&c, ret);
	ret->values[SL_DRIFT_CHI_SQUARE] = sl_chi_square(c.sides[0], c.sides[1], c.bins + EXTRA, &degrees);
	ret->p[SL_DRIFT_TEST_VALUES] = sl_chi_square_p(ret->values[SL_DRIFT_CHI_SQUARE], (double)degrees);
	if (exact)
		ret->values[SL_DRIFT_UNSEEN] = ret->current.present ? (double)ret->unseen / (double)ret->current.present : 0;
	else
		ret->note = "too many different values to count each: all but the most frequent are one";
	return 0;
}

void sl_drift_blank(struct sl_drift_column *column)
{
	const struct sl_drift_side_numbers none = {.mean = NAN, .std = NAN, .min = NAN, .max = NAN};

	for (size_t i = 0; i < SL_DRIFT_STATISTICS; i++)
		column->values[i] = NAN;
	for (size_t i = 0; i < SL_DRIFT_TESTS; i++)
		column->p[i] = column->q[i] = NAN;
	column->reference = column->current = none;
}

int sl_drift_measure(const struct sl_drift_pair *pair, struct sl_arena *arena, struct sl_drift_column *ret)
{
	const struct sl_reference_column *model = pair->statistics;

	ret->current = numbers_of(pair->current);
	ret->reference = pair->reference ? numbers_of(pair->reference)
					 : (struct sl_drift_side_numbers){model->present, model->missing, model->mean, NAN, model->min, model->max};
	if (!pair->current->rows || !(ret->reference.present + ret->reference.missing))
		return 0;
	measure_missing(ret);
	return ret->kind == SL_DRIFT_TEXT ? measure_texts(pair, arena, ret) : measure_numbers(pair, arena, ret);
}

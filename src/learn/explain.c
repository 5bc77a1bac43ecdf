#include "learn/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	BEAM = 32,	  /* best candidates of a depth that the next one builds on */
	NARROWINGS = 24,  /* halvings of a number's way: below float32's steps within a training bin */
	BATCH_ROWS = 4096,
};

/* ---- grids ---- */

static bool is_whole(const struct sl_feature *feature) { return feature->kind == SL_SQL_INT || feature->kind == SL_SQL_BOOL; }

static size_t add_value(const struct sl_feature *feature, double x, float *grid, size_t count)
{
	float value = (float)(is_whole(feature) ? nearbyint(x) : x);
	if (!isfinite(value) || count == SL_GRID_MAX)
		return count;
	for (size_t i = 0; i < count; i++)
		if (grid[i] == value)
			return count;
	grid[count] = value;
	return count + 1;
}

static size_t number_grid(const struct sl_feature *feature, const struct sl_reference_column *column, float *grid)
{
	size_t count = add_value(feature, column->min, grid, 0);
	for (size_t bin = 0; bin < column->bin_count; bin++) {
		double from = bin ? column->edges[bin - 1] : column->min;
		double to = bin + 1 < column->bin_count ? column->edges[bin] : column->max;
		count = add_value(feature, (from + to) / 2, grid, count);
	}
	return add_value(feature, column->max, grid, count);
}

/* The most frequent ones by SL_GRID_MAX looks for the next greatest: dictionaries may be long, grids are short. */
static size_t category_grid(const struct sl_reference_column *column, float *grid)
{
	size_t count = 0;
	uint64_t last = UINT64_MAX;
	size_t last_at = 0;
	while (count < SL_GRID_MAX) {
		size_t best = SIZE_MAX;
		for (size_t i = 0; i < column->bin_count; i++) {
			uint64_t n = column->counts[i];
			bool later = n < last || (n == last && (count == 0 || i > last_at));
			if (n && later && (best == SIZE_MAX || n > column->counts[best]))
				best = i;
		}
		if (best == SIZE_MAX)
			break;
		grid[count++] = (float)best;
		last = column->counts[best];
		last_at = best;
	}
	return count;
}

size_t sl_explain_grid(const struct sl_feature *feature, const struct sl_reference_column *column, float ret[SL_GRID_MAX])
{
	return feature->encoding == SL_ENCODE_CATEGORY ? category_grid(column, ret) : number_grid(feature, column, ret);
}

/* ---- partial dependence ---- */

int sl_explain_dependence(const struct sl_package *package, const struct sl_infer *infer, const float *rows, size_t count,
			  size_t feature, const float *grid, size_t grid_count, size_t output, double *ret, struct sl_error *err)
{
	size_t features = package->feature_count, outputs = package->output_count;
	SL_AUTO_FREE float *some = sl_alloc_array(BATCH_ROWS, features * sizeof *some, err);
	SL_AUTO_FREE float *answers = sl_alloc_array(BATCH_ROWS, outputs * sizeof *answers, err);
	if (!some || !answers)
		return SL_E_NO_MEMORY;
	int rc = 0;
	for (size_t g = 0; !rc && g < grid_count; g++) {
		double sum = 0;
		for (size_t from = 0; !rc && from < count; from += BATCH_ROWS) {
			size_t n = count - from < BATCH_ROWS ? count - from : BATCH_ROWS;
			memcpy(some, rows + from * features, n * features * sizeof *some);
			for (size_t row = 0; row < n; row++)
				some[row * features + feature] = grid[g];
			rc = sl_infer_predict(infer, some, n, answers, err);
			for (size_t row = 0; !rc && row < n; row++)
				sum += (double)answers[row * outputs + output];
		}
		ret[g] = sum / (double)count;
	}
	return rc;
}

/* ---- counterfactuals ---- */

/* How far beyond the goal; greater is better. */
static double beyond(const struct sl_goal *goal, const float *outputs, size_t output_count)
{
	double best = -INFINITY;
	if (!goal->most)
		return goal->above ? (double)outputs[0] - goal->bar : goal->bar - (double)outputs[0];
	for (size_t i = 0; i < output_count; i++)
		if (i != goal->output && (double)outputs[i] > best)
			best = (double)outputs[i];
	return (double)outputs[goal->output] - best;
}

bool sl_goal_reached(const struct sl_goal *goal, const float *outputs, size_t output_count)
{
	double margin = beyond(goal, outputs, output_count);
	return goal->above && !goal->most ? margin >= 0 : margin > 0;
}

struct candidate {
	struct sl_change changes[SL_CHANGES_MAX];
	size_t change_count;
	double distance, beyond;
};

struct search {
	const struct sl_package *package;
	const struct sl_reference *reference;
	const struct sl_infer *infer;
	const float *row;
	const struct sl_goal *goal;
	const unsigned char *keep;
	float *rows, *answers;	      /* of one batch */
	struct candidate *waiting;    /* BATCH_ROWS that are to be asked */
	size_t waiting_count;
	struct candidate beam[BEAM], next[BEAM];
	size_t beam_count, next_count;
	struct candidate found[SL_COUNTERFACTUALS_MAX];
	size_t found_count;
	int rc;
	struct sl_error *err;
};

/* The share of training rows between two values of a number, linear within a bin. */
static double rank_of(const struct sl_reference_column *column, double x)
{
	double below = 0, all = 0;
	for (size_t bin = 0; bin < column->bin_count; bin++) {
		double from = bin ? column->edges[bin - 1] : column->min;
		double to = bin + 1 < column->bin_count ? column->edges[bin] : column->max;
		double part = x <= from ? 0 : x >= to ? 1 : (x - from) / (to - from);
		below += part * (double)column->counts[bin];
		all += (double)column->counts[bin];
	}
	return all > 0 ? below / all : 0;
}

static double distance_of(const struct search *s, const struct sl_change *change)
{
	const struct sl_reference_column *column = &s->reference->features[change->feature];
	if (s->package->features[change->feature].encoding == SL_ENCODE_CATEGORY || isnan(change->from))
		return 1;
	return fabs(rank_of(column, (double)change->to) - rank_of(column, (double)change->from));
}

static bool same_features(const struct candidate *a, const struct candidate *b)
{
	size_t same = 0;
	for (size_t i = 0; i < a->change_count; i++)
		for (size_t k = 0; k < b->change_count; k++)
			same += a->changes[i].feature == b->changes[k].feature;
	return a->change_count == b->change_count && same == a->change_count;
}

/* Puts `c` among the `max` best of a list; of those with the same features only the best stays. */
static void put_best(struct candidate *list, size_t *count, size_t max, const struct candidate *c,
		     bool (*better)(const struct candidate *, const struct candidate *))
{
	size_t at = *count;
	for (size_t i = 0; i < *count; i++)
		if (same_features(&list[i], c)) {
			if (!better(c, &list[i]))
				return;
			memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof *list);
			at = --*count;
			break;
		}
	while (at && better(c, &list[at - 1]))
		at--;
	if (at == max)
		return;
	if (*count < max)
		++*count;
	memmove(&list[at + 1], &list[at], (*count - at - 1) * sizeof *list);
	list[at] = *c;
}

static bool nearer(const struct candidate *a, const struct candidate *b)
{
	return a->change_count != b->change_count ? a->change_count < b->change_count : a->distance < b->distance;
}

/* Gain per distance would favour tiny steps; the beam wants what gets furthest. */
static bool further(const struct candidate *a, const struct candidate *b)
{
	return a->beyond != b->beyond ? a->beyond > b->beyond : a->distance < b->distance;
}

static void put_changes(const struct search *s, const struct candidate *c, float *row)
{
	memcpy(row, s->row, s->package->feature_count * sizeof *row);
	for (size_t i = 0; i < c->change_count; i++)
		row[c->changes[i].feature] = c->changes[i].to;
}

/* The first failure stays in s->rc, and the search comes to its end with what it has. */
static void ask(struct search *s, size_t count, float *ret)
{
	if (!s->rc)
		s->rc = sl_infer_predict(s->infer, s->rows, count, ret, s->err);
}

static void ask_waiting(struct search *s)
{
	size_t features = s->package->feature_count, outputs = s->package->output_count;
	for (size_t i = 0; i < s->waiting_count; i++)
		put_changes(s, &s->waiting[i], s->rows + i * features);
	ask(s, s->waiting_count, s->answers);
	for (size_t i = 0; !s->rc && i < s->waiting_count; i++) {
		struct candidate *c = &s->waiting[i];
		c->beyond = beyond(s->goal, s->answers + i * outputs, outputs);
		if (sl_goal_reached(s->goal, s->answers + i * outputs, outputs))
			put_best(s->found, &s->found_count, SL_COUNTERFACTUALS_MAX, c, nearer);
		else
			put_best(s->next, &s->next_count, BEAM, c, further);
	}
	s->waiting_count = 0;
}

/* Every candidate of the beam with one change more. */
static void widen(struct search *s, const struct candidate *base)
{
	for (size_t f = 0; f < s->package->feature_count; f++) {
		float grid[SL_GRID_MAX];
		bool taken = s->keep && s->keep[f];
		for (size_t i = 0; i < base->change_count; i++)
			taken = taken || base->changes[i].feature == f;
		size_t count = taken ? 0 : sl_explain_grid(&s->package->features[f], &s->reference->features[f], grid);
		for (size_t g = 0; g < count; g++) {
			if (grid[g] == s->row[f])
				continue;
			struct candidate *c = &s->waiting[s->waiting_count++];
			*c = *base;
			c->changes[c->change_count] = (struct sl_change){f, s->row[f], grid[g]};
			c->distance += distance_of(s, &c->changes[c->change_count++]);
			if (s->waiting_count == BATCH_ROWS)
				ask_waiting(s);
		}
	}
}

/* Depth by depth, until one has counterfactuals. */
static void search(struct search *s)
{
	s->beam_count = 1; /* no change yet */
	for (size_t depth = 0; depth < SL_CHANGES_MAX && s->beam_count && !s->found_count; depth++) {
		s->next_count = 0;
		for (size_t i = 0; i < s->beam_count; i++)
			widen(s, &s->beam[i]);
		ask_waiting(s);
		memcpy(s->beam, s->next, sizeof s->beam);
		s->beam_count = s->next_count;
	}
}

static bool still_reached(struct search *s, const struct candidate *c)
{
	put_changes(s, c, s->rows);
	ask(s, 1, s->answers);
	return !s->rc && sl_goal_reached(s->goal, s->answers, s->package->output_count);
}

/* Halves the way between the first value and the last that reaches, number by number. Between them the answer may go to and fro;
 * what is kept always reaches. */
static void narrow(struct search *s, struct candidate *c)
{
	c->distance = 0;
	for (size_t i = 0; i < c->change_count; i++) {
		struct sl_change *change = &c->changes[i];
		const struct sl_feature *feature = &s->package->features[change->feature];
		float fails = change->from, reaches = change->to;
		bool number = feature->encoding == SL_ENCODE_NUMBER && !isnan(fails);
		for (int n = 0; n < NARROWINGS && number; n++) {
			double middle = ((double)fails + (double)reaches) / 2;
			float value = (float)(is_whole(feature) ? nearbyint(middle) : middle);
			if (value == fails || value == reaches)
				break;
			change->to = value;
			if (still_reached(s, c))
				reaches = value;
			else
				fails = value;
		}
		change->to = reaches;
		c->distance += distance_of(s, change);
	}
}

static int by_nearness(const void *a, const void *b)
{
	return nearer(a, b) ? -1 : nearer(b, a) ? 1 : 0;
}

static void take_found(struct search *s, struct sl_counterfactual *ret)
{
	for (size_t i = 0; i < s->found_count; i++)
		narrow(s, &s->found[i]);
	qsort(s->found, s->found_count, sizeof *s->found, by_nearness);
	for (size_t i = 0; i < s->found_count; i++) {
		const struct candidate *c = &s->found[i];
		ret[i] = (struct sl_counterfactual){.change_count = c->change_count, .distance = c->distance};
		memcpy(ret[i].changes, c->changes, sizeof ret[i].changes);
		put_changes(s, c, s->rows);
		ask(s, 1, ret[i].outputs);
	}
}

int sl_explain_counterfactuals(const struct sl_package *package, const struct sl_reference *reference, const struct sl_infer *infer,
			       const float *row, const struct sl_goal *goal, const unsigned char *keep,
			       struct sl_counterfactual ret[SL_COUNTERFACTUALS_MAX], size_t *ret_count, struct sl_error *err)
{
	SL_AUTO_FREE struct search *s = sl_alloc(sizeof *s, err);
	SL_AUTO_FREE float *rows = sl_alloc_array(BATCH_ROWS, package->feature_count * sizeof *rows, err);
	SL_AUTO_FREE float *answers = sl_alloc_array(BATCH_ROWS, package->output_count * sizeof *answers, err);
	SL_AUTO_FREE struct candidate *waiting = sl_alloc_array(BATCH_ROWS, sizeof *waiting, err);
	if (!s || !rows || !answers || !waiting)
		return SL_E_NO_MEMORY;
	*s = (struct search){.package = package, .reference = reference, .infer = infer, .row = row, .goal = goal, .keep = keep,
			     .rows = rows, .answers = answers, .waiting = waiting, .err = err};
	search(s);
	take_found(s, ret);
	*ret_count = s->found_count;
	return s->rc;
}

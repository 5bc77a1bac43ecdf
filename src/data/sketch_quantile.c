/* Quantiles of a stream. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/sketch.h"

enum { RUN = 16 };

static void sort_run(double *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		double x = v[i];
		size_t at = i;
		for (; at && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

static void merge_runs(const double *a, size_t a_count, const double *b, size_t b_count, double *to)
{
	size_t i = 0, k = 0, at = 0;

	while (i < a_count && k < b_count)
		to[at++] = b[k] < a[i] ? b[k++] : a[i++];
	memcpy(to + at, a + i, (a_count - i) * sizeof *to);
	memcpy(to + at + (a_count - i), b + k, (b_count - k) * sizeof *to);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Runs of 16 by insertion, then merged: no input makes it slow, and 2,048 values fit in 32 KiB with their scratch. */
static void sort_level(double v[SL_QUANTILE_LEVEL], size_t n)
{
	double scratch[SL_QUANTILE_LEVEL], *from = v, *to = scratch;

	for (size_t i = 0; i < n; i += RUN)
		sort_run(v + i, least(RUN, n - i));
	for (size_t width = RUN; width < n; width *= 2) {
		for (size_t i = 0; i < n; i += 2 * width) {
			size_t a = least(width, n - i), b = least(width, n - i - a);
			merge_runs(from + i, a, from + i + a, b, to + i);
		}
		double *swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof *v);
}

void sl_quantiles_done(struct sl_quantiles *q)
{
	for (size_t i = 0; i < q->level_count; i++)
		sl_free(q->levels[i]);
	*q = (struct sl_quantiles){0};
}

/* The least significant bit of an xorshift generator: fair enough to pick halves, and the same every time. */
static unsigned toss(struct sl_quantiles *q)
{
	q->coin = q->coin ? q->coin : UINT64_C(0x9E3779B97F4A7C15);
	q->coin ^= q->coin << 13;
	q->coin ^= q->coin >> 7;
	q->coin ^= q->coin << 17;
	return q->coin >> 32 & 1;
}

static bool has_level(struct sl_quantiles *q, size_t level)
{
	while (q->level_count <= level && q->level_count < SL_QUANTILE_LEVELS_MAX) {
		q->levels[q->level_count] = sl_alloc_array(SL_QUANTILE_LEVEL, sizeof(double), NULL);
		if (!q->levels[q->level_count])
			return false;
		q->level_count++;
	}
	return level < q->level_count;
}

/* Half of a level's values go up; of an odd number of them the greatest stays. */
static void send_up(struct sl_quantiles *q, size_t level)
{
	size_t pairs = q->counts[level] / 2;
	double *values = q->levels[level];
	unsigned odd = toss(q);

	sort_level(values, q->counts[level]);
	for (size_t i = 0; i < pairs; i++)
		q->levels[level + 1][q->counts[level + 1]++] = values[2 * i + odd];
	if (q->counts[level] % 2)
		values[0] = values[2 * pairs];
	q->counts[level] %= 2;
}

/* Makes room in a full level, and before that in those above it. */
static bool halve(struct sl_quantiles *q, size_t level)
{
	size_t top = level + 1;

	while (top < q->level_count && q->counts[top] > SL_QUANTILE_LEVEL / 2)
		top++;
	if (!has_level(q, top))
		return false;
	while (top-- > level)
		send_up(q, top);
	return true;
}

static bool put(struct sl_quantiles *q, size_t level, double value)
{
	/* A level can be full also because others sent their values up. */
	if (!has_level(q, level) || (q->counts[level] == SL_QUANTILE_LEVEL && !halve(q, level)))
		return false;
	q->levels[level][q->counts[level]++] = value;
	return true;
}

bool sl_quantiles_add(struct sl_quantiles *q, double value, uint64_t weight)
{
	q->values += weight;
	for (size_t level = 0; weight; level++, weight >>= 1)
		if ((weight & 1) && !put(q, level, value))
			return false;
	return true;
}

bool sl_quantiles_merge(struct sl_quantiles *into, const struct sl_quantiles *from)
{
	for (size_t h = 0; h < from->level_count; h++)
		for (size_t i = 0; i < from->counts[h]; i++)
			if (!put(into, h, from->levels[h][i]))
				return false;
	into->values += from->values;
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = ((const struct sl_weighted *)a)->value, y = ((const struct sl_weighted *)b)->value;

	return (x > y) - (x < y);
}

void sl_weighted_sort(struct sl_weighted *items, size_t count) { qsort(items, count, sizeof *items, by_value); }

struct sl_weighted *sl_quantiles_items(const struct sl_quantiles *q, size_t *ret_count)
{
	size_t count = 0, at = 0;

	for (size_t h = 0; h < q->level_count; h++)
		count += q->counts[h];
	struct sl_weighted *items = sl_alloc_array(count + 1, sizeof *items, NULL);
	for (size_t h = 0; items && h < q->level_count; h++)
		for (size_t i = 0; i < q->counts[h]; i++)
			items[at++] = (struct sl_weighted){q->levels[h][i], UINT64_C(1) << h};
	if (items)
		sl_weighted_sort(items, count);
	*ret_count = count;
	return items;
}

void sl_weighted_quantiles(const struct sl_weighted *items, size_t item_count, const double *shares, size_t count, double *ret)
{
	uint64_t total = 0, below = 0;
	size_t at = 0;

	for (size_t i = 0; i < item_count; i++)
		total += items[i].weight;
	for (size_t i = 0; i < count; i++) {
		double rank = shares[i] * (double)total;
		while (at + 1 < item_count && (double)(below + items[at].weight) < rank)
			below += items[at++].weight;
		ret[i] = items[at].value;
	}
}

void sl_weighted_ranks(const struct sl_weighted *items, size_t item_count, const double *edges, size_t count, uint64_t *ret)
{
	uint64_t below = 0;
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		while (at < item_count && items[at].value <= edges[i])
			below += items[at++].weight;
		ret[i] = below;
	}
}

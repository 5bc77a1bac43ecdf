/* Quantiles of a stream. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/sketch.h"

/* A number as an integer of the same order, and back: integers are chosen between without a branch that could be guessed wrong. */
static int64_t to_key(double v)
{
	int64_t bits;
	memcpy(&bits, &v, sizeof bits);
	return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

static double from_key(int64_t key)
{
	double v;
	key ^= (int64_t)((uint64_t)(key >> 63) >> 1);
	memcpy(&v, &key, sizeof v);
	return v;
}

/* Four by a network of five exchanges. */
static void sort_four(int64_t *v)
{
	static const unsigned char PAIRS[5][2] = {{0, 1}, {2, 3}, {0, 2}, {1, 3}, {1, 2}};

	for (size_t i = 0; i < SL_ARRAY_LEN(PAIRS); i++) {
		int64_t a = v[PAIRS[i][0]], b = v[PAIRS[i][1]];
		v[PAIRS[i][0]] = a < b ? a : b;
		v[PAIRS[i][1]] = a < b ? b : a;
	}
}

static void sort_few(int64_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		int64_t x = v[i];
		size_t at = i;
		for (; at && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

/* Two runs of equal length, from both ends at once: two chains of dependent steps side by side. `low` and `high` count what the
 * second run gave from its beginning and from its end: a sum that the compiler makes without a branch, unlike two pointers. */
static void merge_equal(const int64_t *a, size_t n, int64_t *to)
{
	const int64_t *b = a + n;
	size_t low = 0, high = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t x = a[i - low], y = b[low], x_end = a[n - 1 - (i - high)], y_end = b[n - 1 - high];
		to[i] = y < x ? y : x;
		low += y < x;
		to[2 * n - 1 - i] = y_end < x_end ? x_end : y_end;
		high += !(y_end < x_end);
	}
}

static void merge_runs(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count, int64_t *to)
{
	size_t i = 0, k = 0, at = 0;

	while (i < a_count && k < b_count)
		to[at++] = b[k] < a[i] ? b[k++] : a[i++];
	memcpy(to + at, a + i, (a_count - i) * sizeof *to);
	memcpy(to + at + (a_count - i), b + k, (b_count - k) * sizeof *to);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Neighbouring runs of `width` become one, from `from` into `to`. */
static void merge_pass(const int64_t *from, size_t n, size_t width, int64_t *to)
{
	for (size_t i = 0; i < n; i += 2 * width) {
		size_t a = least(width, n - i), b = least(width, n - i - a);
		if (b == width)
			merge_equal(from + i, width, to + i);
		else
			merge_runs(from + i, a, from + i + a, b, to + i);
	}
}

/* How many stand in order from the beginning. */
static size_t first_run(const int64_t *v, size_t n)
{
	size_t len = n ? 1 : 0;

	while (len < n && v[len - 1] <= v[len])
		len++;
	return len;
}

/* A merge sort of `v` with the help of `scratch`; returns which of the two has the result. */
static int64_t *sort_keys(int64_t *v, size_t n, int64_t *scratch)
{
	int64_t *from = v, *to = scratch;
	size_t run = first_run(v, n);

	if (run == n)
		return v;
	if (run >= n / 4 && run + first_run(v + run, n - run) == n) { /* as the values of higher levels come: two sorted halves */
		if (2 * run == n)
			merge_equal(v, run, scratch);
		else
			merge_runs(v, run, v + run, n - run, scratch);
		return scratch;
	}
	for (size_t i = 0; i + 4 <= n; i += 4)
		sort_four(v + i);
	sort_few(v + n / 4 * 4, n % 4);
	for (size_t width = 4; width < n; width *= 2) {
		merge_pass(from, n, width, to);
		int64_t *swap = from;
		from = to;
		to = swap;
	}
	return from;
}

/* No input makes it slow, and 2,048 values fit in 48 KiB with their keys: 30 ns a value in all, where a merge with branches took 56. */
static void sort_level(double v[SL_QUANTILE_LEVEL], size_t n)
{
	int64_t keys[SL_QUANTILE_LEVEL], scratch[SL_QUANTILE_LEVEL];

	if (n < 2)
		return;
	for (size_t i = 0; i < n; i++)
		keys[i] = to_key(v[i]);
	const int64_t *sorted = sort_keys(keys, n, scratch);
	for (size_t i = 0; i < n; i++)
		v[i] = from_key(sorted[i]);
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

static size_t size_of_level(const struct sl_quantiles *q) { return q->level_size ? q->level_size : SL_QUANTILE_LEVEL; }

static bool has_level(struct sl_quantiles *q, size_t level)
{
	while (q->level_count <= level && q->level_count < SL_QUANTILE_LEVELS_MAX) {
		q->levels[q->level_count] = sl_alloc_array(size_of_level(q), sizeof(double), NULL);
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

	while (top < q->level_count && q->counts[top] > size_of_level(q) / 2)
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
	if (!has_level(q, level) || (q->counts[level] == size_of_level(q) && !halve(q, level)))
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

bool sl_quantiles_add_all(struct sl_quantiles *q, const double *values, size_t count)
{
	q->values += count;
	while (count) {
		if (!has_level(q, 0) || (q->counts[0] == size_of_level(q) && !halve(q, 0)))
			return false;
		size_t room = least(size_of_level(q) - q->counts[0], count);
		memcpy(q->levels[0] + q->counts[0], values, room * sizeof *values);
		q->counts[0] += (uint32_t)room;
		values += room;
		count -= room;
	}
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

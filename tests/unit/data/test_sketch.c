/* The sketches' promises, measured: against exact answers, for values in several orders, alone and merged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sketch.h"

enum { VALUES = 1000000 };

/* Different values of which `rank` tells how many are smaller: value v stands at rank v. */
static double value_at(size_t order, uint64_t i)
{
	switch (order) {
	case 0: return (double)i;                      /* rising */
	case 1: return (double)(VALUES - 1 - i);       /* falling */
	case 2: return (double)(i * 7919 % VALUES);    /* mixed: 7919 and 1,000,000 have no common divisor */
	default: return (double)(i % 2 ? i / 2 : VALUES - 1 - i / 2); /* from both ends */
	}
}

static void fill(struct sl_quantiles *q, size_t order, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		assert_true(sl_quantiles_add(q, value_at(order, i), 1));
}

/* The greatest distance of an answer's rank from the one asked for, as a share. */
static double worst_rank(const struct sl_quantiles *q)
{
	double shares[1001], got[1001], worst = 0;
	size_t count;
	struct sl_weighted *items = sl_quantiles_items(q, &count);
	uint64_t weight = 0;

	assert_non_null(items);
	for (size_t i = 0; i < count; i++)
		weight += items[i].weight;
	assert_int_equal(weight, VALUES);
	for (size_t i = 0; i < 1001; i++)
		shares[i] = (double)i / 1000;
	sl_weighted_quantiles(items, count, shares, 1001, got);
	for (size_t i = 0; i < 1001; i++)
		worst = fmax(worst, fabs(got[i] / VALUES - shares[i]));
	free(items);
	return worst;
}

static void quantiles_are_within_their_error(void **state)
{
	(void)state;
	for (size_t order = 0; order < 4; order++) {
		struct sl_quantiles q = {0};
		fill(&q, order, 0, VALUES);
		double worst = worst_rank(&q);
		sl_quantiles_done(&q);
		if (worst > SL_QUANTILE_ERROR)
			fail_msg("order %zu: off by %.5f of the values", order, worst);
	}
}

static void quantiles_merge(void **state)
{
	struct sl_quantiles parts[8] = {0}, all = {0};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		fill(&parts[i], 2, i * VALUES / 8, (i + 1) * VALUES / 8);
		assert_true(sl_quantiles_merge(&all, &parts[i]));
		sl_quantiles_done(&parts[i]);
	}
	assert_true(worst_rank(&all) < 2 * SL_QUANTILE_ERROR);
	sl_quantiles_done(&all);
}

static void weights_count(void **state)
{
	struct sl_quantiles q = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(sl_quantiles_add(&q, (double)i, 1000));
	assert_int_equal(q.values, VALUES);
	size_t count;
	struct sl_weighted *items = sl_quantiles_items(&q, &count);
	const double shares[] = {0, 0.1, 0.5, 0.9, 1};
	double got[5];
	sl_weighted_quantiles(items, count, shares, 5, got);
	for (size_t i = 0; i < 5; i++)
		assert_true(fabs(got[i] / 1000 - shares[i]) <= 0.002);
	free(items);
	sl_quantiles_done(&q);
}

static void few_values_are_exact(void **state)
{
	struct sl_quantiles q = {0};
	const double shares[] = {0, 0.25, 0.5, 0.75, 1};
	double got[5];
	uint64_t ranks[2];
	size_t count;

	(void)state;
	for (int i = 1000; i >= 1; i--)
		assert_true(sl_quantiles_add(&q, i, 1));
	struct sl_weighted *items = sl_quantiles_items(&q, &count);
	sl_weighted_quantiles(items, count, shares, 5, got);
	assert_true(got[0] == 1 && got[1] == 250 && got[2] == 500 && got[3] == 750 && got[4] == 1000);
	sl_weighted_ranks(items, count, (const double[]){99.5, 700}, 2, ranks);
	assert_int_equal(ranks[0], 99);
	assert_int_equal(ranks[1], 700);
	free(items);
	sl_quantiles_done(&q);
}

static void distinct_is_within_four_errors(void **state)
{
	static struct sl_distinct d, half;

	(void)state;
	for (uint64_t n = 1, next = 1; n <= 2000000; n++) {
		sl_distinct_add(&d, sl_sketch_hash(n * 31));
		sl_distinct_add(&d, sl_sketch_hash(n / 2 * 31 + 31)); /* again: counts nothing */
		if (n != next)
			continue;
		double off = fabs((double)sl_distinct_count(&d) / (double)n - 1);
		if (off > 4 * SL_DISTINCT_ERROR + 1.5 / (double)n)
			fail_msg("%llu values: off by %.4f", (unsigned long long)n, off);
		next = next * 3 + 1;
	}
	uint64_t all = sl_distinct_count(&d);
	for (uint64_t n = 1; n <= 1000000; n++)
		sl_distinct_add(&half, sl_sketch_hash(n * 31));
	sl_distinct_merge(&half, &d);
	assert_int_equal(sl_distinct_count(&half), all);
}

static int by_bits(const struct sl_frequent *f, const struct sl_frequent_item *a, const struct sl_frequent_item *b)
{
	(void)f;
	return (a->bits > b->bits) - (a->bits < b->bits);
}

static void frequent_values_are_exact_while_few(void **state)
{
	struct sl_frequent f = {0};
	const struct sl_frequent_item *top[3];

	(void)state;
	for (uint64_t i = 0; i < 500000; i++)
		assert_int_equal(sl_frequent_add(&f, i % 5000 < 10 ? 7 : i % 5000, 1), 0);
	assert_int_equal(f.error, 0);
	assert_int_equal(f.used, 5000 - 9);
	assert_int_equal(sl_frequent_top(&f, by_bits, top, 3), 3);
	assert_true(top[0]->bits == 7 && top[0]->count == 1000);
	assert_true(top[1]->bits == 10 && top[1]->count == 100 && top[2]->bits == 11);
	sl_frequent_done(&f);
}

static void frequent_values_are_found_among_many(void **state)
{
	struct sl_frequent f = {0};
	const struct sl_frequent_item *top[4];
	const uint64_t rows = 1000000;

	(void)state;
	/* Three values have 5 %, 2 % and 1 %; the others come once. */
	for (uint64_t i = 0; i < rows; i++) {
		uint64_t value = i % 20 == 0 ? 1 : i % 50 == 1 ? 2 : i % 100 == 3 ? 3 : 1000 + i;
		assert_int_equal(sl_frequent_add(&f, value, 1), 0);
	}
	assert_true(f.error > 0 && f.error <= 2 * rows / SL_FREQUENT_VALUES);
	sl_frequent_top(&f, by_bits, top, 4);
	static const uint64_t COUNTS[] = {50000, 20000, 10000};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(top[i]->bits, i + 1);
		assert_true(top[i]->count <= COUNTS[i] && top[i]->count + f.error >= COUNTS[i]);
	}
	sl_frequent_done(&f);
}

static void add_text(struct sl_frequent *f, const char *text, uint64_t count)
{
	uint32_t len = (uint32_t)strlen(text);

	assert_int_equal(sl_frequent_add_text(f, text, len, sl_sketch_hash_bytes(text, len), count), 0);
}

static void texts_outlive_purges(void **state)
{
	struct sl_frequent f = {0};
	const struct sl_frequent_item *top[2];
	char text[300];

	(void)state;
	memset(text, 'x', sizeof text);
	text[299] = 0;
	for (int i = 0; i < 60000; i++) {
		snprintf(text, 12, "%010d", i);
		text[10] = 'x';
		text[11] = 'x';
		add_text(&f, text, 1);
		add_text(&f, "often", 1);
		add_text(&f, "", 2);
	}
	assert_true(f.error > 0);
	sl_frequent_top(&f, by_bits, top, 2);
	assert_int_equal(top[0]->len, 0);
	assert_int_equal(top[1]->len, 5);
	assert_memory_equal(f.pool + top[1]->bits, "often", 5);
	assert_true(top[1]->count + f.error >= 60000);
	/* The pool holds what is left, not all that came: 60,000 texts of 256 bytes would be 15 MB. */
	assert_true(f.pool_cap < 8u << 20);
	sl_frequent_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles_are_within_their_error), cmocka_unit_test(quantiles_merge), cmocka_unit_test(weights_count),
		cmocka_unit_test(few_values_are_exact), cmocka_unit_test(distinct_is_within_four_errors),
		cmocka_unit_test(frequent_values_are_exact_while_few), cmocka_unit_test(frequent_values_are_found_among_many),
		cmocka_unit_test(texts_outlive_purges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

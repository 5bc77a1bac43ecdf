/* Distances and tests against scipy 1.17 on the same numbers, and distributions that turn from counted to sketched. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "data/distance.h"
#include "data/distribution.h"

/* scipy.spatial.distance.jensenshannon(p, q, base=2), chi2_contingency(correction=False), and the definitions in numpy. */
static void counts_match_scipy(void **state)
{
	const uint64_t p[] = {10, 20, 30, 40}, q[] = {40, 30, 20, 10}, same[] = {1, 2, 3, 4}, left[] = {5, 0}, right[] = {0, 7}, none[] = {0, 0};
	size_t degrees;

	(void)state;
	assert_float_equal(sl_psi(p, q, 4), 0.9128696383, 1e-6);
	assert_float_equal(sl_js_distance(p, q, 4), 0.3918681606, 1e-6);
	assert_float_equal(sl_hellinger(p, q, 4), 0.3318162917, 1e-9);
	assert_float_equal(sl_total_variation(p, q, 4), 0.4, 1e-12);
	assert_float_equal(sl_ks_bins(p, q, 4), 0.4, 1e-12);
	assert_float_equal(sl_chi_square(p, q, 4, &degrees), 40, 1e-9);
	assert_int_equal(degrees, 3);
	assert_float_equal(sl_psi(p, same, 4), 0, 1e-12);
	assert_float_equal(sl_js_distance(p, same, 4), 0, 1e-7);
	assert_float_equal(sl_hellinger(p, same, 4), 0, 1e-8);
	assert_float_equal(sl_js_distance(left, right, 2), 1, 1e-9);
	assert_float_equal(sl_hellinger(left, right, 2), 1, 1e-12);
	assert_true(sl_psi(left, right, 2) > 10 && isfinite(sl_psi(left, right, 2)));
	assert_float_equal(sl_psi(left, none, 2), 0, 0);
	assert_float_equal(sl_chi_square(left, none, 2, &degrees), 0, 0);
	assert_float_equal(sl_chi_square_p(0, (double)degrees), 1, 0);
}

static void samples_match_scipy(void **state)
{
	const struct sl_weighted a[] = {{1, 1}, {2, 2}, {5, 1}, {9, 1}}, b[] = {{2, 1}, {3, 1}, {5, 2}, {8, 1}, {12, 1}};

	(void)state;
	struct sl_sample_distance d = sl_sample_distances(a, 4, b, 5);
	assert_float_equal(d.ks, 0.43333333333, 1e-9);
	assert_float_equal(d.wasserstein, 2.1, 1e-9);
	d = sl_sample_distances(a, 4, a, 4);
	assert_true(d.ks == 0 && d.wasserstein == 0);
	assert_true(isnan(sl_sample_distances(a, 4, b, 0).ks));
}

/* kstwo.sf, chi2.sf, false_discovery_control */
static void tails_match_scipy(void **state)
{
	const double p[] = {0.01, 0.04, NAN, 0.03, 0.005, 0.9}, expected[] = {0.025, 0.05, NAN, 0.05, 0.025, 0.9};
	double q[6];

	(void)state;
	assert_float_equal(sl_ks_p(0.1, 1000, 800) / 0.00025632, 1, 0.05);
	assert_float_equal(sl_ks_p(0.03, 5000, 5000) / 0.02176705, 1, 0.01);
	assert_float_equal(sl_ks_p(0.2, 300, 300) / 9.805366e-06, 1, 0.05);
	assert_true(sl_ks_p(0, 10, 10) == 1 && sl_ks_p(1e-6, 10, 10) == 1 && sl_ks_p(1, 1e6, 1e6) < 1e-300);
	assert_float_equal(sl_chi_square_p(3.2, 2), 0.2018965180, 1e-9);
	assert_float_equal(sl_chi_square_p(40, 10) / 1.694474393e-05, 1, 1e-9);
	assert_float_equal(sl_chi_square_p(0.5, 7), 0.99944648139, 1e-9);
	assert_float_equal(sl_chi_square_p(900, 800) / 0.007774644193, 1, 1e-8);
	assert_int_equal(sl_false_discovery(p, 6, q), 0);
	for (size_t i = 0; i < 6; i++)
		assert_true(isnan(expected[i]) ? isnan(q[i]) : fabs(q[i] - expected[i]) < 1e-12);
}

static double share_below(const struct sl_distribution *d, double edge)
{
	size_t count;
	uint64_t rank, all = 0;
	struct sl_weighted *items = sl_distribution_items(d, &count);
	assert_non_null(items);
	for (size_t i = 0; i < count; i++)
		all += items[i].weight;
	assert_int_equal(all, sl_distribution_present(d));
	sl_weighted_ranks(items, count, &edge, 1, &rank);
	free(items);
	return (double)rank / (double)all;
}

/* Columns in chunks: some values missing, -0 as 0, the infinities as missing; beyond what is counted one by one within the error. */
static void numbers_turn_from_counted_to_sketched(void **state)
{
	static double values[SL_PROFILE_CHUNK];
	static unsigned char valid[SL_PROFILE_CHUNK];
	const uint32_t two[] = {5, 7};
	struct sl_distribution all = {0}, small = {.exact_max = 512, .level_size = 512}, few = {0};
	struct sl_sql_column column = {.kind = SL_SQL_DOUBLE, .doubles = values};

	(void)state;
	for (uint64_t chunk = 0; chunk < 200; chunk++) {
		for (uint64_t i = 0; i < SL_PROFILE_CHUNK; i++) {
			values[i] = (double)((chunk * SL_PROFILE_CHUNK + i) * 7919 % 409600);
			valid[i] = 1;
		}
		assert_int_equal(sl_distribution_add(&all, &column, NULL, SL_PROFILE_CHUNK), 0);
		assert_int_equal(sl_distribution_add(&small, &column, NULL, SL_PROFILE_CHUNK), 0);
	}
	assert_true(all.min == 0 && all.max == 409599 && all.missing == 0 && fabs(all.moments.mean - 204799.5) < 1e-6);
	for (double edge = 0; edge < 409600; edge += 10000) {
		assert_true(fabs(share_below(&all, edge) - (edge + 1) / 409600) <= sl_distribution_error(&all));
		assert_true(fabs(share_below(&small, edge) - (edge + 1) / 409600) <= sl_distribution_error(&small));
	}
	values[0] = -0.0, values[1] = 0, values[2] = INFINITY, values[3] = NAN, valid[4] = 0;
	column.valid = valid;
	assert_int_equal(sl_distribution_add(&few, &column, NULL, 5), 0);
	assert_int_equal(sl_distribution_add(&few, &column, two, 2), 0);
	assert_int_equal(sl_distribution_add_number(&few, -INFINITY), 0);
	assert_true(few.rows == 8 && few.missing == 4 && few.frequent.used == 3 && sl_distribution_error(&few) == 0);
	sl_distribution_done(&all);
	sl_distribution_done(&small);
	sl_distribution_done(&few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_scipy),
		cmocka_unit_test(samples_match_scipy),
		cmocka_unit_test(tails_match_scipy),
		cmocka_unit_test(numbers_turn_from_counted_to_sketched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

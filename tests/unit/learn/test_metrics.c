/* Metrics against values worked out by hand, and against the plain definition where there is one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "learn/metrics.h"
#include "learn/sort.h"

static const double NEAR = 1e-12;

static double auc_of(const float *predicted, const float *labels, const float *weights, size_t count)
{
	struct sl_error err = {0};
	double auc;
	assert_int_equal(sl_auc(predicted, labels, weights, count, &auc, &err), 0);
	return auc;
}

static void test_auc_by_hand(void **state)
{
	const float labels[] = {0, 1, 0, 1}, better[] = {0.1f, 0.9f, 0.2f, 0.8f}, mixed[] = {0.1f, 0.4f, 0.35f, 0.8f};
	const float same[] = {0.5f, 0.5f, 0.5f, 0.5f}, tied[] = {0.3f, 0.3f, 0.1f, 0.8f}, ones[] = {1, 1, 1, 1};

	(void)state;
	assert_float_equal(auc_of(better, labels, NULL, 4), 1, NEAR);
	assert_float_equal(auc_of(mixed, labels, NULL, 4), 1, NEAR);
	assert_float_equal(auc_of(same, labels, NULL, 4), 0.5, NEAR);
	assert_float_equal(auc_of(tied, labels, NULL, 4), 3.5 / 4, NEAR);
	assert_true(isnan(auc_of(mixed, ones, NULL, 4)));
	assert_true(isnan(auc_of(mixed, labels, NULL, 0)));
}

/* P(positive above negative) + P(tie) / 2 over all pairs. */
static double slow_auc(const float *predicted, const float *labels, const float *weights, size_t count)
{
	double won = 0, pairs = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			if (labels[i] > 0 && labels[k] == 0) {
				double w = (double)weights[i] * (double)weights[k];
				won += w * (predicted[i] > predicted[k] ? 1 : predicted[i] == predicted[k] ? 0.5 : 0);
				pairs += w;
			}
	return won / pairs;
}

static void test_auc_is_its_definition(void **state)
{
	enum { COUNT = 400 };
	float predicted[COUNT], labels[COUNT], weights[COUNT];

	(void)state;
	srand(1);
	for (int i = 0; i < COUNT; i++) {
		predicted[i] = (float)(rand() % 60 - 30) / 7; /* ties, negatives, zeros of both signs */
		predicted[i] = predicted[i] == 0 && i % 2 ? -0.0f : predicted[i];
		labels[i] = (float)(rand() % 3 == 0);
		weights[i] = (float)(rand() % 5);
	}
	assert_float_equal(auc_of(predicted, labels, weights, COUNT), slow_auc(predicted, labels, weights, COUNT), NEAR);
}

static void test_sorting(void **state)
{
	const float values[] = {3, -1, INFINITY, 0, -INFINITY, 1e-40f, -1e-40f, -3, 0.5f};
	const float sorted[] = {-INFINITY, -3, -1, -1e-40f, 0, 1e-40f, 0.5f, 3, INFINITY};
	struct sl_sort_item items[9], spare[9];

	(void)state;
	for (uint32_t i = 0; i < 9; i++)
		items[i] = (struct sl_sort_item){sl_sort_key(values[i]), i};
	sl_sort(items, spare, 9);
	for (size_t i = 0; i < 9; i++) {
		assert_true(sl_sort_float(spare[i].key) == sorted[i]);
		assert_true(values[spare[i].value] == sorted[i]);
	}
	assert_int_equal(sl_sort_key(-0.0f), sl_sort_key(0.0f));
}

static void test_binary(void **state)
{
	const float predicted[] = {0.9f, 0.6f, 0.4f, 0.1f}, labels[] = {1, 0, 1, 0};
	struct sl_scores s;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_metrics_binary(predicted, labels, NULL, 4, 0.5, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "auc"), 0.75, NEAR);
	assert_float_equal(sl_scores_get(&s, "log_loss"), -(log(0.9) + log(0.4) + log(0.4) + log(0.9)) / 4, 1e-7);
	assert_float_equal(sl_scores_get(&s, "brier"), (0.01 + 0.36 + 0.36 + 0.01) / 4, 1e-7);
	assert_float_equal(sl_scores_get(&s, "calibration_gap"), 0, 1e-7);
	assert_float_equal(sl_scores_get(&s, "precision"), 0.5, NEAR);
	assert_float_equal(sl_scores_get(&s, "recall"), 0.5, NEAR);
	assert_float_equal(sl_scores_get(&s, "f1"), 0.5, NEAR);
	assert_float_equal(sl_scores_get(&s, "accuracy"), 0.5, NEAR);
	assert_float_equal(sl_scores_get(&s, "ece_10"), (0.1 + 0.6 + 0.6 + 0.1) / 4, 1e-7);
	assert_float_equal(sl_scores_get(&s, "rows"), 4, 0);
	assert_true(isnan(sl_scores_get(&s, "rmse")));
}

static void test_binary_at_the_edges(void **state)
{
	const float predicted[] = {1, 0}, wrong[] = {0, 1}, gap[] = {0.5f, 0.5f}, labels[] = {1, 0}, weights[] = {3, 1};
	struct sl_scores s;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_metrics_binary(predicted, labels, NULL, 2, 0.5, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "log_loss"), 0, NEAR);
	assert_float_equal(sl_scores_get(&s, "ece_15"), 0, NEAR); /* a probability of 1 belongs to the last bin */
	assert_int_equal(sl_metrics_binary(wrong, labels, NULL, 2, 0.5, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "log_loss"), -log(1e-15), 1e-9);
	assert_true(isnan(sl_scores_get(&s, "nothing")));
	assert_int_equal(sl_metrics_binary(gap, labels, weights, 2, 0.5, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "calibration_bias"), -0.25, NEAR);
	assert_float_equal(sl_scores_get(&s, "calibration_gap"), 0.25, NEAR);
	assert_float_equal(sl_scores_get(&s, "tp"), 3, NEAR); /* the threshold itself counts as yes */
}

static void test_multiclass(void **state)
{
	const float predicted[] = {0.7f, 0.2f, 0.1f, 0.1f, 0.2f, 0.7f, 0.5f, 0.4f, 0.1f}, labels[] = {0, 1, 0};
	double confusion[9];
	struct sl_scores s;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_metrics_multiclass(predicted, labels, NULL, 3, 3, confusion, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "accuracy"), 2.0 / 3, NEAR);
	assert_float_equal(sl_scores_get(&s, "log_loss"), -(log(0.7) + log(0.2) + log(0.5)) / 3, 1e-7);
	assert_float_equal(sl_scores_get(&s, "macro_f1"), 1.0 / 3, NEAR); /* classes 0, 1, 2: 1, 0, 0 */
	assert_float_equal(confusion[0], 2, 0);
	assert_float_equal(confusion[1 * 3 + 2], 1, 0);
}

static void test_regression(void **state)
{
	const float predicted[] = {1, 2, 5}, labels[] = {1, 4, 4}, flat[] = {2, 2, 2};
	struct sl_scores s;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_metrics_regression(predicted, labels, NULL, 3, &s, &err), 0);
	assert_float_equal(sl_scores_get(&s, "rmse"), sqrt(5.0 / 3), NEAR);
	assert_float_equal(sl_scores_get(&s, "mae"), 1, NEAR);
	assert_float_equal(sl_scores_get(&s, "r2"), 1 - 5.0 / 6, NEAR);
	assert_int_equal(sl_metrics_regression(predicted, flat, NULL, 3, &s, &err), 0);
	assert_true(isnan(sl_scores_get(&s, "r2")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auc_by_hand),
		cmocka_unit_test(test_auc_is_its_definition),
		cmocka_unit_test(test_sorting),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_binary_at_the_edges),
		cmocka_unit_test(test_multiclass),
		cmocka_unit_test(test_regression),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

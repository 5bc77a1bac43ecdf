#include "watch/statistic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Expected values: sklearn.metrics on the same numbers. */
static void quality_of_a_binary_model(void **state)
{
	(void)state;
	const float scores[] = {0.1f, 0.4f, 0.35f, 0.8f};
	const double labels[] = {0, 0, 1, 1};
	struct sl_quality a = {0}, b = {0};
	for (int i = 0; i < 4; i++)
		assert_true(sl_quality_add(i < 2 ? &a : &b, SL_TASK_BINARY, &scores[i], 1, labels[i]));
	assert_true(sl_quality_merge(&a, &b));
	double error;
	assert_float_equal(sl_quality_auc(&a, &error), 0.75, 1e-9);
	assert_float_equal(error, 0, 1e-9);
	assert_float_equal(sl_quality_statistic(&a, SL_TASK_BINARY, "log_loss"), 0.4722879, 1e-6);
	assert_float_equal(sl_quality_statistic(&a, SL_TASK_BINARY, "brier"), 0.158125, 1e-6);
	assert_float_equal(sl_quality_statistic(&a, SL_TASK_BINARY, "calibration_gap"), 0.0875, 1e-6);
	assert_float_equal(sl_quality_statistic(&a, SL_TASK_BINARY, "error_rate"), 0.25, 1e-9);
	assert_true(isnan(sl_quality_statistic(&a, SL_TASK_BINARY, "rmse")));
	const float bad[] = {1.5f, NAN};
	assert_false(sl_quality_add(&a, SL_TASK_BINARY, &bad[0], 1, 1));
	assert_false(sl_quality_add(&a, SL_TASK_BINARY, &bad[1], 1, 1));
	assert_false(sl_quality_add(&a, SL_TASK_BINARY, scores, 1, 0.5));
	assert_int_equal(a.rows, 4);
	sl_quality_done(&a);
	sl_quality_done(&b);
}

static void ties_count_half_and_bound_the_error(void **state)
{
	(void)state;
	struct sl_quality q = {0};
	const float score = 0.5f;
	double error;
	assert_true(sl_quality_add(&q, SL_TASK_BINARY, &score, 1, 1));
	assert_true(isnan(sl_quality_auc(&q, &error))); /* one class only */
	assert_true(sl_quality_add(&q, SL_TASK_BINARY, &score, 1, 0));
	assert_float_equal(sl_quality_auc(&q, &error), 0.5, 0);
	assert_float_equal(error, 0.5, 0);
	sl_quality_done(&q);
}

static void other_tasks(void **state)
{
	(void)state;
	struct sl_quality r = {0}, m = {0};
	const float values[] = {1, 2}, classes[] = {0.2f, 0.5f, 0.3f};
	sl_quality_add(&r, SL_TASK_REGRESSION, &values[0], 1, 4);
	sl_quality_add(&r, SL_TASK_REGRESSION, &values[1], 1, 2);
	assert_float_equal(sl_quality_statistic(&r, SL_TASK_REGRESSION, "rmse"), 2.1213203, 1e-6);
	assert_float_equal(sl_quality_statistic(&r, SL_TASK_REGRESSION, "mae"), 1.5, 1e-9);
	assert_true(sl_quality_add(&m, SL_TASK_MULTICLASS, classes, 3, 1));
	assert_true(sl_quality_add(&m, SL_TASK_MULTICLASS, classes, 3, 2));
	assert_false(sl_quality_add(&m, SL_TASK_MULTICLASS, classes, 3, 3));
	assert_float_equal(sl_quality_statistic(&m, SL_TASK_MULTICLASS, "error_rate"), 0.5, 1e-9);
	assert_float_equal(sl_quality_statistic(&m, SL_TASK_MULTICLASS, "log_loss"), 0.9485599, 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quality_of_a_binary_model), cmocka_unit_test(ties_count_half_and_bound_the_error),
		cmocka_unit_test(other_tasks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "watch/arm.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sl_error err;

/* splitmix64: the tests' own, so that they are the same on every machine. */
static double uniform(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void reward(struct sl_arm *arm, double rate, uint64_t *state)
{
	float none = 0;
	sl_arm_label(arm, SL_TASK_REGRESSION, &none, 1, uniform(state) < rate ? 1 : 0);
}

static void measures_are_what_their_names_say(void **state)
{
	(void)state;
	struct sl_arm arm = {0};
	assert_true(isnan(sl_arm_measure(&arm, SL_MEASURE_ERRORS)));
	for (uint32_t us = 1; us <= 1000; us++)
		sl_arm_request(&arm, 1, us * 10);
	arm.errors = 250;
	assert_float_equal(sl_arm_measure(&arm, SL_MEASURE_ERRORS), 0.2, 1e-12);
	assert_float_equal(sl_arm_measure(&arm, SL_MEASURE_MEAN_MS), 5.005, 1e-9);
	double p50 = sl_arm_measure(&arm, SL_MEASURE_P50_MS), p99 = sl_arm_measure(&arm, SL_MEASURE_P99_MS);
	assert_true(p50 >= 5.0 && p50 <= 5.0 * 1.125);
	assert_true(p99 >= 9.9 && p99 <= 9.9 * 1.125);
	sl_arm_request(&arm, 1, UINT32_MAX);
	const float p = 0.8f, classes[] = {0.2f, 0.5f, 0.3f}, value = 3;
	struct sl_arm binary = {0}, many = {0}, numbers = {0};
	sl_arm_label(&binary, SL_TASK_BINARY, &p, 1, 1);
	sl_arm_label(&binary, SL_TASK_BINARY, &p, 1, 0);
	assert_float_equal(sl_arm_measure(&binary, SL_MEASURE_LOG_LOSS), (-log(0.8) - log(0.2)) / 2, 1e-6);
	assert_float_equal(sl_arm_measure(&binary, SL_MEASURE_BRIER), (0.04 + 0.64) / 2, 1e-6);
	assert_float_equal(sl_arm_measure(&binary, SL_MEASURE_ERROR_RATE), 0.5, 0);
	sl_arm_label(&many, SL_TASK_MULTICLASS, classes, 3, 2);
	assert_float_equal(sl_arm_measure(&many, SL_MEASURE_LOG_LOSS), -log(0.3), 1e-6);
	assert_float_equal(sl_arm_measure(&many, SL_MEASURE_BRIER), 0.04 + 0.25 + 0.49, 1e-6);
	assert_float_equal(sl_arm_measure(&many, SL_MEASURE_ERROR_RATE), 1, 0);
	sl_arm_label(&numbers, SL_TASK_REGRESSION, &value, 1, 5);
	assert_float_equal(sl_arm_measure(&numbers, SL_MEASURE_SQUARED_ERROR), 4, 0);
	assert_float_equal(sl_arm_measure(&numbers, SL_MEASURE_ABSOLUTE_ERROR), 2, 0);
	assert_float_equal(sl_arm_measure(&numbers, SL_MEASURE_LABEL), 5, 0);
}

/* Beside the formula, worked out by hand: n = m = 100, means 0.6 and 0.4, variances 0.24 * 100 / 99. */
static void the_test_has_the_formula(void **state)
{
	(void)state;
	struct sl_arm a = {.labelled = 100}, b = {.labelled = 100};
	a.sum[SL_MEASURE_LABEL] = a.square[SL_MEASURE_LABEL] = 60;
	b.sum[SL_MEASURE_LABEL] = b.square[SL_MEASURE_LABEL] = 40;
	double v = 2 * 0.24 / 99, tau = 0.01, ratio = sqrt(v / (v + tau)) * exp(tau * 0.04 / (2 * v * (v + tau)));
	assert_float_equal(sl_arm_test(&a, &b, SL_MEASURE_LABEL, 0.1, 1), 1 / ratio, 1e-12);
	assert_float_equal(sl_arm_test(&a, &b, SL_MEASURE_LABEL, 0.1, 1e-6), 1e-6, 0);
}

/* Whether p ever fell to alpha, looking after every pair of rows. */
static bool finds(double rate_a, double rate_b, int rows, uint64_t seed)
{
	struct sl_arm a = {0}, b = {0};
	double p = 1;
	for (int i = 0; i < rows; i++) {
		reward(&a, rate_a, &seed);
		reward(&b, rate_b, &seed);
		if (i >= 100)
			p = sl_arm_test(&a, &b, SL_MEASURE_LABEL, 0.1, p);
		if (p <= 0.05)
			return true;
	}
	return false;
}

/* 1,000 experiments with nothing to find, each looked at 4,900 times: at most 5 % may find something. Of those with something, nearly all do. */
static void the_error_rate_holds_however_often_one_looks(void **state)
{
	(void)state;
	int found = 0;
	for (uint64_t seed = 1; seed <= 1000; seed++)
		found += finds(0.3, 0.3, 5000, seed * 1000003);
	print_message("found in %d of 1000 without a difference\n", found);
	assert_in_range(found, 0, 50);
	found = 0;
	for (uint64_t seed = 1; seed <= 100; seed++)
		found += finds(0.3, 0.4, 5000, seed * 7919);
	assert_in_range(found, 95, 100);
}

static void a_bandit_gives_the_best_arm_the_most(void **state)
{
	(void)state;
	static const double RATES[] = {0.2, 0.25, 0.5};
	struct sl_experiment spec = {.thompson = true, .floor = 0.01, .metric = SL_MEASURE_LABEL, .epsilon = 0.1};
	for (int policy = 0; policy < 2; policy++) {
		struct sl_arm arms[3] = {0};
		double shares[3] = {1.0 / 3, 1.0 / 3, 1.0 / 3}, again[3];
		uint64_t seed = 42;
		spec.thompson = policy == 0;
		for (int round = 0; round < 30; round++) {
			for (int i = 0; i < 100; i++) {
				double at = uniform(&seed);
				size_t arm = at < shares[0] ? 0 : at < shares[0] + shares[1] ? 1 : 2;
				reward(&arms[arm], RATES[arm], &seed);
			}
			sl_arm_shares(arms, 3, &spec, (uint64_t)round, shares);
			sl_arm_shares(arms, 3, &spec, (uint64_t)round, again);
			assert_memory_equal(shares, again, sizeof shares); /* of one seed one answer */
			assert_float_equal(shares[0] + shares[1] + shares[2], 1, 1e-9);
			assert_true(shares[0] >= 0.01 && shares[1] >= 0.01 && shares[2] >= 0.01);
		}
		assert_true(shares[2] > 0.85);
		assert_true(arms[2].labelled > 2000);
	}
}

/* P(Beta(41, 61) > Beta(31, 71)) = 0.9299 by numerical integration. */
static void thompson_is_the_chance_to_be_the_best(void **state)
{
	(void)state;
	struct sl_arm arms[2] = {{.labelled = 100}, {.labelled = 100}};
	struct sl_experiment spec = {.thompson = true, .metric = SL_MEASURE_LABEL};
	double shares[2], sum = 0;
	arms[0].sum[SL_MEASURE_LABEL] = 30;
	arms[1].sum[SL_MEASURE_LABEL] = 40;
	for (uint64_t seed = 0; seed < 20; seed++) {
		sl_arm_shares(arms, 2, &spec, seed * 77777, shares);
		sum += shares[1];
	}
	assert_float_equal(sum / 20, 0.9299, 0.007);
}

static void gates_are_read_and_judged(void **state)
{
	(void)state;
	struct sl_canary_gate gate;
	assert_int_equal(sl_canary_gate_parse("errors <= 0.01", &gate, &err), 0);
	assert_true(sl_canary_gate_holds(&gate, 0.01, 0) && !sl_canary_gate_holds(&gate, 0.011, 0));
	assert_int_equal(sl_canary_gate_parse("p99_ms < base.p50_ms * 2", &gate, &err), 0);
	assert_true(sl_canary_gate_holds(&gate, 3.9, 2) && !sl_canary_gate_holds(&gate, 4, 2));
	assert_int_equal(sl_canary_gate_parse("label >= base.label - 0.5", &gate, &err), 0);
	assert_true(sl_canary_gate_holds(&gate, 1.5, 2) && !sl_canary_gate_holds(&gate, 1.4, 2));
	static const char *const WRONG[] = {"", "errors", "errors <", "errors = 1", "error <= 1", "errors < 1 x", "errors < base.x",
		"errors < base.errors / 2", "errors < base.errors +", "errors < nan", "1 < errors"};
	for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
		if (sl_canary_gate_parse(WRONG[i], &gate, &err) != SL_E_INVALID)
			fail_msg("is taken: %s", WRONG[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(measures_are_what_their_names_say),
		cmocka_unit_test(the_test_has_the_formula),
		cmocka_unit_test(the_error_rate_holds_however_often_one_looks),
		cmocka_unit_test(a_bandit_gives_the_best_arm_the_most),
		cmocka_unit_test(thompson_is_the_chance_to_be_the_best),
		cmocka_unit_test(gates_are_read_and_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "watch/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sl_join_key key_of(int i)
{
	char text[32];
	struct sl_join_key key;
	snprintf(text, sizeof text, "%d", i);
	sl_join_key(false, text, strlen(text), &key);
	return key;
}

static void pairs_meet_in_either_order(void **state)
{
	(void)state;
	struct sl_join *join = sl_join_new(2, NULL);
	struct sl_join_match match;
	enum { COUNT = 5000 };
	for (int i = 0; i < COUNT; i++) {
		struct sl_join_key key = key_of(i);
		float outputs[] = {(float)i, 1};
		if (i % 2)
			assert_int_equal(sl_join_label(join, &key, 1000 + i, i, &match, NULL), 0);
		else
			assert_int_equal(sl_join_prediction(join, &key, 1000 + i, outputs, &match, NULL), 0);
	}
	assert_int_equal(sl_join_waiting(join), COUNT);
	for (int i = COUNT - 1; i >= 0; i--) {
		struct sl_join_key key = key_of(i);
		float outputs[] = {(float)i, 1};
		int rc = i % 2 ? sl_join_prediction(join, &key, 7, outputs, &match, NULL) : sl_join_label(join, &key, 7, i, &match, NULL);
		assert_int_equal(rc, 1);
		assert_int_equal(match.time_ms, i % 2 ? 7 : 1000 + i); /* the prediction's time */
		assert_float_equal(match.outputs[0], i, 0);
		assert_float_equal(match.label, i, 0);
	}
	assert_int_equal(sl_join_waiting(join), 0);
	sl_join_free(join);
}

static void old_ones_go_and_are_counted(void **state)
{
	(void)state;
	struct sl_join *join = sl_join_new(1, NULL);
	struct sl_join_match match;
	for (int i = 0; i < 1000; i++) {
		struct sl_join_key key = key_of(i);
		float output = 0.5f;
		if (i % 10)
			sl_join_prediction(join, &key, i, &output, &match, NULL);
		else
			sl_join_label(join, &key, i, 1, &match, NULL);
	}
	assert_int_equal(sl_join_expire(join, 500), 450);
	assert_int_equal(sl_join_waiting(join), 500);
	for (int i = 0; i < 1000; i++) {
		struct sl_join_key key = key_of(i);
		float output = 0.5f;
		int rc = i % 10 ? sl_join_label(join, &key, i, 1, &match, NULL) : sl_join_prediction(join, &key, i, &output, &match, NULL);
		assert_int_equal(rc, i >= 500);
	}
	sl_join_free(join);
}

static void the_two_name_spaces_are_apart(void **state)
{
	(void)state;
	struct sl_join_key a, b;
	sl_join_key(false, "7", 1, &a);
	sl_join_key(true, "7", 1, &b);
	assert_memory_not_equal(&a, &b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_meet_in_either_order), cmocka_unit_test(old_ones_go_and_are_counted), cmocka_unit_test(the_two_name_spaces_are_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

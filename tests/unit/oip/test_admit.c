#include "oip/admit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MS = 1000000, REQUEST_NS = 100000 /* ten a millisecond */ };

/* A turn that finds `waiting` requests; returns how many are let in. *now goes on by what these cost. */
static int turn(struct oip_admission *admission, uint64_t number, int waiting, int64_t *now)
{
	int taken = 0;
	for (int i = 0; i < waiting; i++)
		if (oip_admit(admission, number, *now, MS)) {
			taken++;
			*now += REQUEST_NS;
		}
	return taken;
}

static void a_burst_is_taken_and_what_is_beyond_it_refused(void **state)
{
	(void)state;
	struct oip_admission admission = {0};
	int64_t now = 1000 * (int64_t)MS;
	assert_int_equal(turn(&admission, 1, 200, &now), 200);
	now += 500 * (int64_t)MS;
	assert_int_equal(turn(&admission, 2, 1, &now), 1);
	assert_int_equal(turn(&admission, 3, 500, &now), 201); /* 20 ms, and the one that begins then */
}

static void under_lasting_load_nothing_waits_longer_than_it_may(void **state)
{
	(void)state;
	struct oip_admission admission = {0};
	int64_t now = 1000 * (int64_t)MS;
	uint64_t number = 0;
	for (int i = 0; i < 10; i++)
		turn(&admission, ++number, 150, &now); /* 15 ms each: after 100 ms that is no burst any more */
	assert_int_equal(turn(&admission, ++number, 150, &now), 11);
	assert_int_equal(turn(&admission, ++number, 12, &now), 11);
	assert_int_equal(turn(&admission, ++number, 5, &now), 5); /* the load is gone */
	assert_int_equal(turn(&admission, ++number, 150, &now), 150);
}

static void without_a_bound_everything_is_taken(void **state)
{
	(void)state;
	struct oip_admission admission = {0};
	for (int64_t now = MS; now < 1000 * (int64_t)MS; now += MS)
		assert_true(oip_admit(&admission, 1, now, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_taken_and_what_is_beyond_it_refused),
		cmocka_unit_test(under_lasting_load_nothing_waits_longer_than_it_may),
		cmocka_unit_test(without_a_bound_everything_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

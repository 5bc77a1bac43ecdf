#include "watch/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DAY = 86400000 };
#define NOW (INT64_C(1000) * DAY)

static struct sl_pane *row(struct sl_windows *w, int64_t time_ms, int64_t offset)
{
	int why;
	struct sl_pane *pane = sl_windows_pane(w, time_ms, NOW, offset, offset * 10, &why);
	if (pane)
		sl_pane_count(pane, 1, 1);
	return pane;
}

static void windows_slide_by_panes(void **state)
{
	(void)state;
	struct sl_windows w;
	sl_windows_init(&w, 3 * DAY, DAY, DAY / 2);
	for (int day = 10; day < 16; day++)
		for (int i = 0; i <= day - 10; i++)
			assert_non_null(row(&w, day * (int64_t)DAY + i, day));
	assert_int_equal(w.next_end_ms, 13 * (int64_t)DAY);
	assert_false(sl_windows_due(&w));
	sl_windows_advance(&w, 13 * (int64_t)DAY + DAY / 2 - 1);
	assert_false(sl_windows_due(&w)); /* lateness */
	sl_windows_advance(&w, 14 * (int64_t)DAY + DAY / 2);
	const uint64_t expected[] = {1 + 2 + 3, 2 + 3 + 4};
	for (int i = 0; i < 2; i++) {
		struct sl_pane sum;
		assert_true(sl_windows_due(&w));
		assert_true(sl_windows_sum(&w, &sum));
		assert_int_equal(sum.rows, expected[i]);
		sl_pane_done(&sum);
		sl_windows_next(&w);
	}
	assert_false(sl_windows_due(&w));
	assert_null(row(&w, 11 * (int64_t)DAY, 99)); /* its last window has closed */
	assert_int_equal(w.late_rows, 1);
	int64_t prediction = 1000, label = 1000;
	sl_windows_resume_at(&w, &prediction, &label);
	assert_int_equal(prediction, 12);
	assert_int_equal(label, 120);
	sl_windows_done(&w);
}

static void silence_costs_nothing_and_order_does_not_matter(void **state)
{
	(void)state;
	struct sl_windows w;
	sl_windows_init(&w, DAY, DAY, 0);
	row(&w, 5 * (int64_t)DAY + 7, 0);
	row(&w, 500 * (int64_t)DAY, 1);
	row(&w, 499 * (int64_t)DAY, 2); /* out of order */
	sl_windows_advance(&w, 500 * (int64_t)DAY + 1);
	int closed = 0;
	int64_t ends[8];
	while (sl_windows_due(&w) && closed < 8) {
		ends[closed++] = w.next_end_ms / DAY;
		sl_windows_next(&w);
	}
	assert_int_equal(closed, 2);
	assert_int_equal(ends[0], 6);
	assert_int_equal(ends[1], 500);
	sl_windows_done(&w);
}

static void a_wrong_clock_closes_nothing(void **state)
{
	(void)state;
	struct sl_windows w;
	sl_windows_init(&w, DAY, DAY, 0);
	row(&w, NOW - DAY, 0);
	assert_null(row(&w, NOW + 2 * (int64_t)DAY, 1));
	assert_int_equal(w.future_rows, 1);
	assert_int_equal(w.count, 1);
	row(&w, -1, 2); /* before 1970: too late here */
	assert_int_equal(w.late_rows, 1);
	sl_windows_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_slide_by_panes), cmocka_unit_test(silence_costs_nothing_and_order_does_not_matter), cmocka_unit_test(a_wrong_clock_closes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/time.h"
#include "watch/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
	int64_t ms;
	assert_true(sl_time_parse(text, &ms));
	return ms;
}

static void next_fires_are_right(void **state)
{
	(void)state;
	static const char *const CASES[][3] = {
		{"0 3 * * *", "2001-02-28T03:00", "2001-03-01T03:00"},
		{"*/15 * * * *", "2001-02-28T03:14:59", "2001-02-28T03:15"},
		{"30 6 29 feb *", "2001-01-01", "2004-02-29T06:30"},
		{"0 0 13 * fri", "2001-04-01", "2001-04-06T00:00"}, /* either day field */
		{"0 0 * * 7", "2001-04-01T00:00", "2001-04-08T00:00"},
		{"5-10/5,50 22-23 31 12 *", "2001-12-31T22:10", "2001-12-31T22:50"},
		{"@monthly", "2001-01-31T12:00", "2001-02-01T00:00"},
		{"0 0 1 1 *", "1969-06-01", "1970-01-01T00:00"},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct sl_cron cron;
		assert_int_equal(sl_cron_parse(CASES[i][0], &cron, NULL), 0);
		char got[SL_TIME_TEXT], want[SL_TIME_TEXT];
		sl_time_format(sl_cron_next(&cron, at(CASES[i][1])), got);
		assert_string_equal(got, sl_time_format(at(CASES[i][2]), want));
	}
}

static void next_equals_a_walk_by_minutes(void **state)
{
	(void)state;
	struct sl_cron cron;
	assert_int_equal(sl_cron_parse("7,*/20 1-23/7 */3 * mon-wed", &cron, NULL), 0);
	int64_t t = at("2001-01-01"), end = at("2001-03-01"), next = sl_cron_next(&cron, t);
	int fires = 0;
	for (t += 60000; t < end; t += 60000) {
		struct sl_civil c;
		sl_civil_from_ms(t, &c);
		bool day = (c.day - 1) % 3 == 0, weekday = c.weekday >= 1 && c.weekday <= 3;
		bool match = (c.minute == 7 || c.minute % 20 == 0) && (c.hour - 1) % 7 == 0 && c.hour >= 1 && (day && weekday);
		assert_int_equal(match, t == next);
		if (match) {
			fires++;
			next = sl_cron_next(&cron, t);
		}
	}
	assert_true(fires > 50);
}

static void what_is_not_understood_is_refused(void **state)
{
	(void)state;
	static const char *const BAD[][2] = {
		{"60 * * * *", "minute"}, {"* 24 * * *", "hour"}, {"* * 0 * *", "day of month"}, {"* * * foo *", "month"}, {"* * * * 8", "day of week"},
		{"5-1 * * * *", "minute"}, {"*/0 * * * *", "minute"}, {"1, * * * *", "minute"}, {"* * * *", "day of week"}, {"* * * * * *", "more than five"},
		{"", "minute"}, {"@never", "minute"},
	};
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		struct sl_cron cron;
		struct sl_error err = {0};
		assert_int_equal(sl_cron_parse(BAD[i][0], &cron, &err), SL_E_INVALID);
		assert_non_null(strstr(err.message, BAD[i][1]));
	}
	struct sl_cron never;
	assert_int_equal(sl_cron_parse("0 0 31 2 *", &never, NULL), 0);
	assert_int_equal(sl_cron_next(&never, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_fires_are_right), cmocka_unit_test(next_equals_a_walk_by_minutes), cmocka_unit_test(what_is_not_understood_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

/* Days from civil and back: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

void sl_civil_from_ms(int64_t time_ms, struct sl_civil *ret)
{
	int64_t days = floor_div(time_ms, DAY_MS), rest = time_ms - days * DAY_MS;
	int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret = (struct sl_civil){
		.year = (int)(yoe + era * 400 + (month <= 2)), .month = month, .day = (int)(doy - (153 * mp + 2) / 5 + 1),
		.hour = (int)(rest / 3600000), .minute = (int)(rest / 60000 % 60), .second = (int)(rest / 1000 % 60),
		.millisecond = (int)(rest % 1000), .weekday = (int)((days % 7 + 11) % 7),
	};
}

int64_t sl_civil_to_ms(const struct sl_civil *c)
{
	int64_t days = days_from_civil(c->year, c->month, c->day);
	return days * DAY_MS + c->hour * INT64_C(3600000) + c->minute * 60000 + c->second * 1000 + c->millisecond;
}

char *sl_time_format(int64_t time_ms, char out[SL_TIME_TEXT])
{
	struct sl_civil c;
	sl_civil_from_ms(time_ms, &c);
	int n = snprintf(out, SL_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
	if (n < 0 || n > SL_TIME_TEXT - 6)
		n = 0;
	if (c.millisecond)
		n += snprintf(out + n, SL_TIME_TEXT - (size_t)n, ".%03d", c.millisecond);
	snprintf(out + n, SL_TIME_TEXT - (size_t)n, "Z");
	return out;
}

/* `count` digits at *p into *ret; moves *p. */
static bool take_digits(const char **p, int count, int *ret)
{
	int v = 0;
	for (int i = 0; i < count; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return false;
		v = v * 10 + ((*p)[i] - '0');
	}
	*p += count;
	*ret = v;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

static bool take_date(const char **p, struct sl_civil *c)
{
	static const int LENGTH[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (!take_digits(p, 4, &c->year) || !take_char(p, '-') || !take_digits(p, 2, &c->month) || !take_char(p, '-') ||
	    !take_digits(p, 2, &c->day) || c->month < 1 || c->month > 12 || c->day < 1)
		return false;
	bool leap = c->year % 4 == 0 && (c->year % 100 || c->year % 400 == 0);
	return c->day <= LENGTH[c->month - 1] + (leap && c->month == 2);
}

static bool take_clock(const char **p, struct sl_civil *c, int *ret_us)
{
	if (!take_digits(p, 2, &c->hour) || !take_char(p, ':') || !take_digits(p, 2, &c->minute) || c->hour > 23 || c->minute > 59)
		return false;
	if (take_char(p, ':') && (!take_digits(p, 2, &c->second) || c->second > 59))
		return false;
	if (take_char(p, '.')) {
		int scale = 100000, us = 0, digits = 0;
		for (; **p >= '0' && **p <= '9'; ++*p, digits++, scale /= 10)
			us += (**p - '0') * scale;
		if (!digits || digits > 9)
			return false;
		*ret_us = us;
	}
	return true;
}

static bool take_zone(const char **p, int64_t *ret_offset_ms)
{
	if (take_char(p, 'Z') || !**p)
		return true;
	int sign = **p == '-' ? -1 : 1, h, m = 0;
	if (!take_char(p, '+') && !take_char(p, '-'))
		return false;
	if (!take_digits(p, 2, &h) || h > 23)
		return false;
	take_char(p, ':');
	if (**p && (!take_digits(p, 2, &m) || m > 59))
		return false;
	*ret_offset_ms = sign * (h * INT64_C(3600000) + m * 60000);
	return true;
}

bool sl_time_parse_us(const char *text, int64_t *ret_us)
{
	struct sl_civil c = {0};
	int us = 0;
	int64_t offset = 0;
	const char *p = text;
	if (!take_date(&p, &c))
		return false;
	if ((take_char(&p, 'T') || take_char(&p, ' ')) && !take_clock(&p, &c, &us))
		return false;
	if (!take_zone(&p, &offset) || *p)
		return false;
	*ret_us = (sl_civil_to_ms(&c) - offset) * 1000 + us;
	return true;
}

bool sl_time_parse(const char *text, int64_t *ret_ms)
{
	int64_t us;
	if (!sl_time_parse_us(text, &us))
		return false;
	*ret_ms = floor_div(us, 1000);
	return true;
}

bool sl_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct { const char *unit; int64_t ms; } UNITS[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}, {"w", 7 * DAY_MS},
	};
	int64_t total = 0;
	const char *p = text;
	if (!*p)
		return false;
	while (*p) {
		int64_t v = 0;
		const char *start = p;
		for (; *p >= '0' && *p <= '9'; p++)
			if ((v = v * 10 + (*p - '0')) > INT64_C(1000000000))
				return false;
		if (p == start)
			return false;
		size_t unit_len = strspn(p, "mshdw"), i = 0;
		while (i < sizeof UNITS / sizeof *UNITS && (strlen(UNITS[i].unit) != unit_len || memcmp(p, UNITS[i].unit, unit_len)))
			i++;
		if (i == sizeof UNITS / sizeof *UNITS)
			return false;
		total += v * UNITS[i].ms;
		p += unit_len;
	}
	*ret_ms = total;
	return true;
}

char *sl_duration_format(int64_t duration_ms, char out[SL_TIME_TEXT])
{
	if (duration_ms < 1000)
		snprintf(out, SL_TIME_TEXT, "%" PRId64 " ms", duration_ms);
	else if (duration_ms < 60000)
		snprintf(out, SL_TIME_TEXT, "%.1f s", (double)duration_ms / 1e3);
	else if (duration_ms < 3600000)
		snprintf(out, SL_TIME_TEXT, "%" PRId64 " min %" PRId64 " s", duration_ms / 60000, duration_ms / 1000 % 60);
	else
		snprintf(out, SL_TIME_TEXT, "%" PRId64 " h %" PRId64 " min", duration_ms / 3600000, duration_ms / 60000 % 60);
	return out;
}

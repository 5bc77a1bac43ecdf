#include "watch/cron.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/time.h"

struct field {
	const char *name;
	int least, most;
	const char *const *words; /* for 1, 2, ... (months) or 0, 1, ... (weekdays); NULL-ended; NULL: numbers only */
};

static const char *const MONTHS[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const WEEKDAYS[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct field FIELDS[] = {
	{"minute", 0, 59, NULL}, {"hour", 0, 23, NULL}, {"day of month", 1, 31, NULL}, {"month", 1, 12, MONTHS}, {"day of week", 0, 7, WEEKDAYS},
};

/* A number or word at *p; moves *p. -1 when there is none or it is out of range. */
static int take_value(const char **p, const struct field *field)
{
	for (int i = 0; field->words && field->words[i]; i++)
		if (strncasecmp(*p, field->words[i], 3) == 0) {
			*p += 3;
			return field->least + i;
		}
	int v = 0, digits = 0;
	for (; **p >= '0' && **p <= '9' && digits < 4; ++*p, digits++)
		v = v * 10 + (**p - '0');
	return digits && v >= field->least && v <= field->most ? v : -1;
}

/* One part of a list: "*", "a", "a-b", each with "/step". Adds its bits. */
static bool take_part(const char **p, const struct field *field, uint64_t *bits)
{
	int from = field->least, to = field->most, step = 1;
	if (**p == '*') {
		++*p;
	} else {
		from = to = take_value(p, field);
		if (from < 0)
			return false;
		if (**p == '-') {
			++*p;
			to = take_value(p, field);
		} else if (**p == '/') {
			to = field->most;
		}
		if (to < from)
			return false;
	}
	if (**p == '/') {
		static const struct field STEP = {"step", 1, 59, NULL};
		++*p;
		step = take_value(p, &STEP);
		if (step < 0)
			return false;
	}
	for (int v = from; v <= to; v += step)
		*bits |= UINT64_C(1) << v;
	return true;
}

static int parse_field(const char **p, const struct field *field, uint64_t *ret_bits, struct sl_error *err)
{
	const char *start = *p;
	uint64_t bits = 0;
	while (take_part(p, field, &bits)) {
		if (**p == ',') {
			++*p;
		} else if (**p && **p != ' ') {
			break;
		} else {
			*p += strspn(*p, " ");
			*ret_bits = bits;
			return 0;
		}
	}
	sl_fail(err, SL_E_INVALID, "'%.*s' is not a cron %s", (int)strcspn(start, " "), start, field->name);
	return sl_error_hint(err, "a %s is %d-%d, *, a range a-b, a list a,b or steps */n", field->name, field->least, field->most);
}

static const char *expand_shorthand(const char *text)
{
	static const char *const SHORT[][2] = {
		{"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
		{"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(SHORT); i++)
		if (strcmp(text, SHORT[i][0]) == 0)
			return SHORT[i][1];
	return text;
}

int sl_cron_parse(const char *text, struct sl_cron *ret, struct sl_error *err)
{
	uint64_t bits[5];
	const char *starts[5];
	const char *p = expand_shorthand(text);
	p += strspn(p, " ");
	for (int i = 0; i < 5; i++) {
		if (!*p) {
			sl_fail(err, SL_E_INVALID, "cron '%s' ends before its %s", text, FIELDS[i].name);
			return sl_error_hint(err, "write five fields: minute hour day-of-month month day-of-week");
		}
		starts[i] = p;
		int rc = parse_field(&p, &FIELDS[i], &bits[i], err);
		if (rc)
			return rc;
	}
	if (*p)
		return sl_fail(err, SL_E_INVALID, "cron '%s' has more than five fields", text);
	bits[4] |= bits[4] >> 7 & 1; /* 7 is Sunday too */
	*ret = (struct sl_cron){
		.minutes = bits[0], .hours = (uint32_t)bits[1], .days = (uint32_t)bits[2], .months = (uint16_t)bits[3],
		.weekdays = (uint8_t)(bits[4] & 0x7f), .any_day = starts[2][0] == '*', .any_weekday = starts[4][0] == '*',
	};
	return 0;
}

static bool day_matches(const struct sl_cron *cron, const struct sl_civil *c)
{
	bool day = cron->days >> c->day & 1, weekday = cron->weekdays >> c->weekday & 1;
	if (cron->any_day || cron->any_weekday)
		return day && weekday;
	return day || weekday;
}

int64_t sl_cron_next(const struct sl_cron *cron, int64_t after_ms)
{
	enum { MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
	int64_t t = after_ms - (after_ms % MINUTE + MINUTE) % MINUTE + MINUTE;
	int64_t end = t + INT64_C(8) * 366 * DAY;
	while (t < end) {
		struct sl_civil c;
		sl_civil_from_ms(t, &c);
		int64_t day_start = t - c.hour * (int64_t)HOUR - c.minute * (int64_t)MINUTE;
		if (!(cron->months >> c.month & 1) || !day_matches(cron, &c))
			t = day_start + DAY;
		else if (!(cron->hours >> c.hour & 1))
			t = day_start + (c.hour + 1) * (int64_t)HOUR;
		else if (!(cron->minutes >> c.minute & 1))
			t += MINUTE;
		else
			return t;
	}
	return -1;
}

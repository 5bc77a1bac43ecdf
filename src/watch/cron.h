/* Cron expressions, in UTC: five fields (minute hour day-of-month month day-of-week) of *, numbers, names (jan, mon), ranges
 * a-b, steps and lists; or @hourly @daily @weekly @monthly @yearly. When both day fields are restricted, either one matches
 * (Vixie's rule). 7 is Sunday too. What is not understood is refused, naming the field. */
#ifndef SL_WATCH_CRON_H
#define SL_WATCH_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sl_cron {
	uint64_t minutes;          /* bit m */
	uint32_t hours, days;      /* bit h; bit d from 1 */
	uint16_t months;           /* bit m from 1 */
	uint8_t weekdays;          /* bit 0 = Sunday */
	bool any_day, any_weekday; /* the field began with "*" */
};

int sl_cron_parse(const char *text, struct sl_cron *ret, struct sl_error *err);
/* The first matching minute strictly after `after_ms`; -1 when none comes within eight years (31 February). */
int64_t sl_cron_next(const struct sl_cron *cron, int64_t after_ms);

#endif

/* Times are int64 milliseconds since 1970-01-01T00:00Z ("_ms"); table data keeps its microseconds ("_us"). UTC, proleptic
 * Gregorian, no leap seconds. */
#ifndef SL_BASE_TIME_H
#define SL_BASE_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SL_TIME_TEXT = 32 };
/* "2001-03-01T00:00:00.000Z"; trailing ".000" is left out. Returns `out`. */
char *sl_time_format(int64_t time_ms, char out[SL_TIME_TEXT]);
/* "2001-03-01", "2001-03-01T10:30", "2001-03-01 10:30:15.250", each with optional Z or +hh:mm; no zone means UTC. */
bool sl_time_parse(const char *text, int64_t *ret_ms);
bool sl_time_parse_us(const char *text, int64_t *ret_us);
/* "250ms", "90s", "15m", "6h", "1d", "2w", and sums "1h30m"; a bare number is refused. */
bool sl_duration_parse(const char *text, int64_t *ret_ms);
/* "1.4 s", "320 ms", "2 min 5 s": for people. Returns `out`. */
char *sl_duration_format(int64_t duration_ms, char out[SL_TIME_TEXT]);

struct sl_civil {
	int year, month, day, hour, minute, second, millisecond, weekday; /* month and day from 1; weekday 0 = Sunday */
};
void sl_civil_from_ms(int64_t time_ms, struct sl_civil *ret);
int64_t sl_civil_to_ms(const struct sl_civil *civil); /* weekday is ignored */

#endif

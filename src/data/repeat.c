#include "data/repeat.h"

#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* One stable pass over the digit at `shift`. */
static void sort_digit(const uint64_t *from, uint64_t *to, size_t count, int shift)
{
	size_t starts[DIGITS] = {0}, at = 0;

	for (size_t i = 0; i < count; i++)
		starts[from[i] >> shift & (DIGITS - 1)]++;
	for (size_t d = 0; d < DIGITS; d++) {
		size_t n = starts[d];
		starts[d] = at;
		at += n;
	}
	for (size_t i = 0; i < count; i++)
		to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
}

size_t sl_repeats(uint64_t *values, uint64_t *scratch, size_t count)
{
	uint64_t *from = values, *to = scratch;
	size_t found = 0;

	for (int shift = 0; shift < 64; shift += DIGIT_BITS) {
		sort_digit(from, to, count, shift);
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	/* Writing at `found` never overtakes reading at i: two were read for each one written. */
	for (size_t i = 1; i < count; i++)
		if (from[i] == from[i - 1] && (i == 1 || from[i] != from[i - 2]))
			values[found++] = from[i];
	return found;
}

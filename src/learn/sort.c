#include "learn/sort.h"

#include <string.h>

uint32_t sl_sort_key(float f)
{
	uint32_t bits;
	f += 0.0f; /* -0 + 0 is 0 */
	memcpy(&bits, &f, sizeof bits);
	return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

float sl_sort_float(uint32_t key)
{
	uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

void sl_sort(struct sl_sort_item *items, struct sl_sort_item *spare, size_t count)
{
	enum { BITS = 11, SIZE = 1 << BITS };
	for (unsigned shift = 0; shift < 32; shift += BITS) { /* three passes: an odd number ends in the spare */
		size_t starts[SIZE] = {0}, sum = 0;
		for (size_t i = 0; i < count; i++)
			starts[items[i].key >> shift & (SIZE - 1)]++;
		for (size_t d = 0; d < SIZE; d++) {
			size_t n = starts[d];
			starts[d] = sum;
			sum += n;
		}
		for (size_t i = 0; i < count; i++)
			spare[starts[items[i].key >> shift & (SIZE - 1)]++] = items[i];
		struct sl_sort_item *other = items;
		items = spare;
		spare = other;
	}
}

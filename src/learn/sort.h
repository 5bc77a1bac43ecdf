/* Sorting float32 by radix: three passes over 8 bytes per item, whatever the values (3 M random items: 46 ms; qsort: 450 ms). */
#ifndef SL_LEARN_SORT_H
#define SL_LEARN_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sl_sort_item {
	uint32_t key;	/* of sl_sort_key */
	uint32_t value; /* the caller's */
};
/* Sorts as the float does, -0 as 0; NaN (positive) behind infinity. */
uint32_t sl_sort_key(float f);
float sl_sort_float(uint32_t key);
/* Stable. The sorted items end in `spare` (of the same size); `items` holds garbage then. */
void sl_sort(struct sl_sort_item *items, struct sl_sort_item *spare, size_t count);

#endif

/* Collects the distinct texts of a column while it streams by: first numbers in order of appearance, at the end the sorted
 * dictionary. */
#ifndef SL_LEARN_CATEGORY_H
#define SL_LEARN_CATEGORY_H

#include "learn/encode.h"

struct sl_category_set;

enum { SL_CATEGORY_BYTES_MAX = 64 << 20 }; /* all texts of one column together */

struct sl_category_set *sl_category_set_new(struct sl_error *err);
void sl_category_set_free(struct sl_category_set *set); /* NULL is fine */
/* The number of `text`, taken in if it is new. `counts`: it belongs into the dictionary (a training row has it). SL_E_TOO_LARGE
 * beyond SL_CATEGORIES_MAX or SL_CATEGORY_BYTES_MAX. */
int sl_category_set_add(struct sl_category_set *set, const char *text, size_t len, bool counts, uint32_t *ret,
			struct sl_error *err);
/* The sorted dictionary of the texts that count, all of it in `arena`. ret_place[number] is each text's index in it, or -1;
 * ret_counts (may be NULL) the number of training rows of each index. Both are the arena's. */
int sl_category_set_sort(const struct sl_category_set *set, struct sl_arena *arena, const struct sl_dictionary **ret,
			 int32_t **ret_place, uint64_t **ret_counts, struct sl_error *err);

#endif

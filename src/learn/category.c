#include "learn/category.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct sl_category text;
	uint64_t rows; /* training rows */
};

struct sl_category_set {
	struct sl_arena *texts;
	struct entry *entries;
	size_t count, cap;
	uint32_t *slots; /* number + 1; 0: empty */
	size_t slot_count;
};

struct sl_category_set *sl_category_set_new(struct sl_error *err)
{
	struct sl_category_set *set = sl_alloc(sizeof *set, err);
	if (!set)
		return NULL;
	set->slot_count = 1024;
	set->cap = set->slot_count / 2;
	set->texts = sl_arena_new((size_t)SL_CATEGORY_BYTES_MAX + (1 << 20), err);
	set->entries = sl_alloc_array(set->cap, sizeof *set->entries, err);
	set->slots = sl_alloc_array(set->slot_count, sizeof *set->slots, err);
	if (set->texts && set->entries && set->slots)
		return set;
	sl_category_set_free(set);
	return NULL;
}

void sl_category_set_free(struct sl_category_set *set)
{
	if (!set)
		return;
	sl_arena_free(set->texts);
	sl_free(set->entries);
	sl_free(set->slots);
	sl_free(set);
}

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

/* The slot of `text`, or the empty one where it belongs. */
static uint32_t *find_slot(const struct sl_category_set *set, const char *text, size_t len)
{
	size_t at = hash_text(text, len) & (set->slot_count - 1);
	for (; set->slots[at]; at = (at + 1) & (set->slot_count - 1)) {
		const struct sl_category *known = &set->entries[set->slots[at] - 1].text;
		if (known->len == len && memcmp(known->text, text, len) == 0)
			break;
	}
	return &set->slots[at];
}

static int grow(struct sl_category_set *set, struct sl_error *err)
{
	size_t slot_count = set->slot_count * 2;
	struct entry *entries = sl_realloc(set->entries, slot_count / 2 * sizeof *entries, err);
	if (!entries)
		return SL_E_NO_MEMORY;
	set->entries = entries;
	set->cap = slot_count / 2;
	uint32_t *slots = sl_alloc_array(slot_count, sizeof *slots, err);
	if (!slots)
		return SL_E_NO_MEMORY;
	sl_free(set->slots);
	set->slots = slots;
	set->slot_count = slot_count;
	for (size_t i = 0; i < set->count; i++)
		*find_slot(set, entries[i].text.text, entries[i].text.len) = (uint32_t)i + 1;
	return 0;
}

int sl_category_set_add(struct sl_category_set *set, const char *text, size_t len, bool counts, uint32_t *ret,
			struct sl_error *err)
{
	uint32_t *slot = find_slot(set, text, len);
	if (!*slot) {
		if (set->count == SL_CATEGORIES_MAX)
			return sl_fail(err, SL_E_TOO_LARGE, "more than %d different texts", SL_CATEGORIES_MAX);
		if (set->count == set->cap) {
			int rc = grow(set, err);
			if (rc)
				return rc;
			slot = find_slot(set, text, len);
		}
		char *copy = sl_arena_strndup(set->texts, text, len);
		if (!copy)
			return sl_fail(err, SL_E_TOO_LARGE, "its different texts take more than %d bytes", SL_CATEGORY_BYTES_MAX);
		set->entries[set->count] = (struct entry){{copy, (uint32_t)len}, 0};
		*slot = (uint32_t)++set->count;
	}
	*ret = *slot - 1;
	set->entries[*ret].rows += counts;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	uint32_t n = (*x)->text.len, m = (*y)->text.len;
	int order = memcmp((*x)->text.text, (*y)->text.text, n < m ? n : m);
	return order ? order : (n > m) - (n < m);
}

int sl_category_set_sort(const struct sl_category_set *set, struct sl_arena *arena, const struct sl_dictionary **ret,
			 int32_t **ret_place, uint64_t **ret_counts, struct sl_error *err)
{
	SL_AUTO_FREE struct entry **order = sl_alloc_array(set->count + 1, sizeof *order, err);
	struct sl_category *values = sl_arena_array(arena, set->count + 1, sizeof *values);
	int32_t *place = sl_arena_array(arena, set->count + 1, sizeof *place);
	uint64_t *counts = sl_arena_array(arena, set->count + 1, sizeof *counts);
	size_t n = 0;
	if (!order || !values || !place || !counts)
		return sl_fail_memory(err);
	for (size_t i = 0; i < set->count; i++) {
		place[i] = -1;
		if (set->entries[i].rows)
			order[n++] = &set->entries[i];
	}
	qsort(order, n, sizeof *order, compare_entries);
	for (size_t i = 0; i < n; i++) {
		char *text = sl_arena_strndup(arena, order[i]->text.text, order[i]->text.len);
		if (!text)
			return sl_fail_memory(err);
		values[i] = (struct sl_category){text, order[i]->text.len};
		place[order[i] - set->entries] = (int32_t)i;
		counts[i] = order[i]->rows;
	}
	*ret_place = place;
	if (ret_counts)
		*ret_counts = counts;
	return sl_dictionary_make(values, n, arena, ret, err);
}

/* The most frequent values of a stream; all of them, exactly, while they are few. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/sketch.h"

enum { SLOTS_FIRST = 64, SLOTS_MAX = 2 * SL_FREQUENT_VALUES };

void sl_frequent_done(struct sl_frequent *f)
{
	sl_free(f->slots);
	sl_free(f->pool);
	*f = (struct sl_frequent){0};
}

bool sl_frequent_full(const struct sl_frequent *f) { return f->used == SL_FREQUENT_VALUES; }

static struct sl_frequent_item *free_slot(const struct sl_frequent *f, uint64_t hash)
{
	size_t at = hash & (f->slot_count - 1);

	while (f->slots[at].count)
		at = (at + 1) & (f->slot_count - 1);
	return &f->slots[at];
}

/* Puts the items that keep something after `off` is taken from each into a new table of `slot_count`. */
static int rebuild(struct sl_frequent *f, size_t slot_count, uint64_t off)
{
	struct sl_frequent_item *old = f->slots;
	size_t old_count = f->slot_count;

	f->slots = sl_alloc_array(slot_count, sizeof *f->slots, NULL);
	if (!f->slots) {
		f->slots = old;
		return SL_E_NO_MEMORY;
	}
	f->slot_count = slot_count;
	f->used = 0;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i].count <= off)
			continue;
		struct sl_frequent_item *slot = free_slot(f, old[i].hash);
		*slot = old[i];
		slot->count -= off;
		f->used++;
	}
	sl_free(old);
	return 0;
}

/* The pool's texts that are still needed, close together. */
static int squeeze_pool(struct sl_frequent *f)
{
	char *pool = sl_alloc(f->pool_cap, NULL);
	size_t len = 0;

	if (!pool)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < f->slot_count; i++) {
		struct sl_frequent_item *item = &f->slots[i];
		if (!item->count || !item->kept)
			continue;
		memcpy(pool + len, f->pool + item->bits, item->kept);
		item->bits = len;
		len += item->kept;
	}
	sl_free(f->pool);
	f->pool = pool;
	f->pool_len = len;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Takes the median count off all: about half of the items go, so that the next ones have room. */
static int purge(struct sl_frequent *f)
{
	SL_AUTO_FREE uint64_t *counts = sl_alloc_array(SL_FREQUENT_VALUES, sizeof *counts, NULL);
	size_t n = 0;

	if (!counts)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < f->slot_count; i++)
		if (f->slots[i].count)
			counts[n++] = f->slots[i].count;
	qsort(counts, n, sizeof *counts, by_number);
	uint64_t off = counts[n / 2];
	f->error += off;
	int rc = rebuild(f, f->slot_count, off);
	return rc == 0 && f->pool ? squeeze_pool(f) : rc;
}

static int make_room(struct sl_frequent *f)
{
	if (!f->slot_count)
		return rebuild(f, SLOTS_FIRST, 0);
	if (sl_frequent_full(f))
		return purge(f);
	return f->used * 2 >= f->slot_count && f->slot_count < SLOTS_MAX ? rebuild(f, f->slot_count * 2, 0) : 0;
}

int sl_frequent_add(struct sl_frequent *f, uint64_t bits, uint64_t count)
{
	uint64_t hash = sl_sketch_hash(bits);

	for (size_t at = hash; f->slot_count; at++) {
		struct sl_frequent_item *slot = &f->slots[at & (f->slot_count - 1)];
		if (!slot->count)
			break;
		if (slot->bits == bits) {
			slot->count += count;
			return 0;
		}
	}
	int rc = make_room(f);
	if (rc < 0)
		return rc;
	*free_slot(f, hash) = (struct sl_frequent_item){.hash = hash, .bits = bits, .count = count};
	f->used++;
	return 0;
}

static int keep_text(struct sl_frequent *f, const char *text, uint32_t kept)
{
	if (!kept)
		return 0;
	if (f->pool_len + kept > f->pool_cap) {
		size_t cap = 2 * f->pool_cap + kept + 1024;
		char *pool = sl_realloc(f->pool, cap, NULL);
		if (!pool)
			return SL_E_NO_MEMORY;
		f->pool = pool;
		f->pool_cap = cap;
	}
	memcpy(f->pool + f->pool_len, text, kept);
	f->pool_len += kept;
	return 0;
}

static uint32_t kept_of(uint32_t len) { return len < SL_FREQUENT_TEXT_MAX ? len : SL_FREQUENT_TEXT_MAX; }

static struct sl_frequent_item *find_text(const struct sl_frequent *f, const char *text, uint32_t len, uint64_t hash)
{
	uint32_t kept = kept_of(len);

	for (size_t at = hash; f->slot_count; at++) {
		struct sl_frequent_item *slot = &f->slots[at & (f->slot_count - 1)];
		if (!slot->count)
			break;
		if (slot->hash == hash && slot->len == len && (!kept || memcmp(f->pool + slot->bits, text, kept) == 0))
			return slot;
	}
	return NULL;
}

const struct sl_frequent_item *sl_frequent_find_text(const struct sl_frequent *f, const char *text, uint32_t len, uint64_t hash)
{
	return find_text(f, text, len, hash);
}

int sl_frequent_add_text(struct sl_frequent *f, const char *text, uint32_t len, uint64_t hash, uint64_t count)
{
	uint32_t kept = kept_of(len);
	struct sl_frequent_item *known = find_text(f, text, len, hash);

	if (known) {
		known->count += count;
		return 0;
	}
	int rc = make_room(f);
	if (rc < 0 || (rc = keep_text(f, text, kept)) < 0)
		return rc;
	*free_slot(f, hash) = (struct sl_frequent_item){
		.hash = hash, .bits = f->pool_len - kept, .count = count, .len = len, .kept = kept};
	f->used++;
	return 0;
}

static bool stands_before(const struct sl_frequent *f, sl_frequent_compare *compare, const struct sl_frequent_item *a,
			  const struct sl_frequent_item *b)
{
	return a->count != b->count ? a->count > b->count : compare(f, a, b) < 0;
}

size_t sl_frequent_top(const struct sl_frequent *f, sl_frequent_compare *compare, const struct sl_frequent_item **ret, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < f->slot_count; i++) {
		const struct sl_frequent_item *item = &f->slots[i];
		if (!item->count || (count == max && !stands_before(f, compare, item, ret[max - 1])))
			continue;
		size_t at = count < max ? count++ : max - 1;
		for (; at && stands_before(f, compare, item, ret[at - 1]); at--)
			ret[at] = ret[at - 1];
		ret[at] = item;
	}
	return count;
}

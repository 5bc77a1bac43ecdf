#include "base/hash_set.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

void sl_hash_set_done(struct sl_hash_set *set)
{
	sl_free(set->hashes);
	sl_free(set->marks);
	*set = (struct sl_hash_set){0};
}

/* Its place, or the free one where it belongs. Hashes are spread evenly by themselves. */
static size_t place_of(const struct sl_hash_set *set, const struct sl_hash *hash)
{
	uint64_t at;
	memcpy(&at, hash->bytes, sizeof at);
	while (set->marks[at &= set->room - 1] && !sl_hash_eq(&set->hashes[at], hash))
		at++;
	return at;
}

unsigned char sl_hash_set_get(const struct sl_hash_set *set, const struct sl_hash *hash)
{
	return set->room ? set->marks[place_of(set, hash)] : 0;
}

static int grow(struct sl_hash_set *set, struct sl_error *err)
{
	struct sl_hash_set bigger = {.room = set->room ? set->room * 2 : 1024, .count = set->count};
	bigger.hashes = sl_alloc_array(bigger.room, sizeof *bigger.hashes, err);
	bigger.marks = bigger.hashes ? sl_alloc(bigger.room, err) : NULL;
	if (!bigger.marks) {
		sl_hash_set_done(&bigger);
		return SL_E_NO_MEMORY;
	}
	for (size_t i = 0; i < set->room; i++) {
		size_t at = set->marks[i] ? place_of(&bigger, &set->hashes[i]) : 0;
		if (set->marks[i]) {
			bigger.hashes[at] = set->hashes[i];
			bigger.marks[at] = set->marks[i];
		}
	}
	sl_hash_set_done(set);
	*set = bigger;
	return 0;
}

int sl_hash_set_put(struct sl_hash_set *set, const struct sl_hash *hash, unsigned char mark, struct sl_error *err)
{
	assert(mark);
	int rc = set->count * 3 >= set->room * 2 ? grow(set, err) : 0;
	if (rc)
		return rc;
	size_t at = place_of(set, hash);
	set->count += !set->marks[at];
	set->hashes[at] = *hash;
	set->marks[at] = mark;
	return 0;
}

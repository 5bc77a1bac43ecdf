#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/*   slots: 0 = free, else index into entries + 1 (linear probing, at most half full)
 *   entries: dense, in order of insertion                                                */
struct entry {
	char *key;
	void *value;
	uint64_t hash;
};

struct sl_map {
	struct entry *entries;
	uint32_t *slots;
	size_t count, capacity; /* of entries; slots are twice capacity */
};

static uint64_t hash_text(const char *text)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a, then a finaliser: names are short and trusted to be few */
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

struct sl_map *sl_map_new(struct sl_error *err) { return sl_alloc(sizeof(struct sl_map), err); }

void sl_map_free(struct sl_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->count; i++)
		sl_free(map->entries[i].key);
	sl_free(map->entries);
	sl_free(map->slots);
	sl_free(map);
}

void sl_map_freep(struct sl_map **map) { sl_map_free(*map); }

/* The slot where `key` stands, or the free one where it would. */
static size_t find_slot(const struct sl_map *map, const char *key, uint64_t hash)
{
	size_t mask = map->capacity * 2 - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		if (!map->slots[i])
			return i;
		const struct entry *e = &map->entries[map->slots[i] - 1];
		if (e->hash == hash && strcmp(e->key, key) == 0)
			return i;
	}
}

static int grow(struct sl_map *map, struct sl_error *err)
{
	size_t capacity = map->capacity ? map->capacity * 2 : 8;
	if (capacity > UINT32_MAX / 2)
		return sl_fail_memory(err);
	uint32_t *slots = sl_alloc_array(capacity * 2, sizeof *slots, err);
	if (!slots)
		return SL_E_NO_MEMORY;
	struct entry *entries = sl_realloc(map->entries, capacity * sizeof *entries, err);
	if (!entries) {
		sl_free(slots);
		return SL_E_NO_MEMORY;
	}
	sl_free(map->slots);
	map->entries = entries;
	map->slots = slots;
	map->capacity = capacity;
	for (size_t i = 0; i < map->count; i++)
		slots[find_slot(map, entries[i].key, entries[i].hash)] = (uint32_t)(i + 1);
	return 0;
}

int sl_map_set(struct sl_map *map, const char *key, void *value, void **ret_old, struct sl_error *err)
{
	if (map->count == map->capacity) {
		int rc = grow(map, err);
		if (rc)
			return rc;
	}
	uint64_t hash = hash_text(key);
	size_t slot = find_slot(map, key, hash);
	void *old = NULL;
	if (map->slots[slot]) {
		struct entry *e = &map->entries[map->slots[slot] - 1];
		old = e->value;
		e->value = value;
	} else {
		char *copy = sl_strdup(key, err);
		if (!copy)
			return SL_E_NO_MEMORY;
		map->entries[map->count++] = (struct entry){copy, value, hash};
		map->slots[slot] = (uint32_t)map->count;
	}
	if (ret_old)
		*ret_old = old;
	return 0;
}

static const struct entry *find(const struct sl_map *map, const char *key)
{
	if (!map->capacity)
		return NULL;
	uint32_t i = map->slots[find_slot(map, key, hash_text(key))];
	return i ? &map->entries[i - 1] : NULL;
}

void *sl_map_get(const struct sl_map *map, const char *key)
{
	const struct entry *e = find(map, key);
	return e ? e->value : NULL;
}

bool sl_map_has(const struct sl_map *map, const char *key) { return find(map, key) != NULL; }
size_t sl_map_count(const struct sl_map *map) { return map->count; }

const char *sl_map_key(const struct sl_map *map, size_t i)
{
	assert(i < map->count);
	return map->entries[i].key;
}

void *sl_map_value(const struct sl_map *map, size_t i)
{
	assert(i < map->count);
	return map->entries[i].value;
}

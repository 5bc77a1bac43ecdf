#include "watch/join.h"

#include <stdbool.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Open addressing, linear probing, at most half full; removal shifts the followers back, so there are no tombstones.
 *   entry i's outputs: values[i * outputs ...]                                                                    */
struct entry {
	struct sl_join_key key;
	int64_t time_ms;
	double label;
	bool used, is_label;
};

struct sl_join {
	struct entry *entries;
	float *values;
	float *matched;              /* outputs of the last match */
	size_t capacity, used, outputs;
};

void sl_join_key(bool by_prediction, const char *key, size_t key_len, struct sl_join_key *ret)
{
	char text[1024];
	size_t len = key_len < sizeof text - 1 ? key_len : sizeof text - 1;
	text[0] = by_prediction ? 'p' : 'k';
	memcpy(text + 1, key, len);
	struct sl_hash hash;
	sl_sha256(text, len + 1, &hash);
	memcpy(ret->bytes, hash.bytes, sizeof ret->bytes);
}

static int resize(struct sl_join *join, size_t capacity, struct sl_error *err);

struct sl_join *sl_join_new(size_t outputs, struct sl_error *err)
{
	struct sl_join *join = sl_alloc(sizeof *join, err);
	if (!join)
		return NULL;
	join->outputs = outputs;
	join->matched = sl_alloc_array(outputs, sizeof(float), err);
	if (!join->matched || resize(join, 1024, err)) {
		sl_join_free(join);
		return NULL;
	}
	return join;
}

void sl_join_free(struct sl_join *join)
{
	if (!join)
		return;
	sl_free(join->entries);
	sl_free(join->values);
	sl_free(join->matched);
	sl_free(join);
}

size_t sl_join_outputs(const struct sl_join *join) { return join->outputs; }
size_t sl_join_waiting(const struct sl_join *join) { return join->used; }

static size_t home_of(const struct sl_join *join, const struct sl_join_key *key)
{
	uint64_t h;
	memcpy(&h, key->bytes, sizeof h);
	return (size_t)h & (join->capacity - 1);
}

static size_t find(const struct sl_join *join, const struct sl_join_key *key)
{
	size_t i = home_of(join, key);
	while (join->entries[i].used && memcmp(&join->entries[i].key, key, sizeof *key))
		i = (i + 1) & (join->capacity - 1);
	return i;
}

static float *values_of(const struct sl_join *join, size_t i) { return join->values + i * join->outputs; }

static void move_entry(struct sl_join *to, size_t at, const struct sl_join *from, size_t i)
{
	to->entries[at] = from->entries[i];
	memmove(values_of(to, at), values_of(from, i), to->outputs * sizeof(float));
}

static int resize(struct sl_join *join, size_t capacity, struct sl_error *err)
{
	struct sl_join bigger = *join;
	bigger.capacity = capacity;
	bigger.entries = sl_alloc_array(capacity, sizeof *bigger.entries, err);
	bigger.values = sl_alloc_array(capacity * join->outputs, sizeof(float), err);
	if (!bigger.entries || !bigger.values) {
		sl_free(bigger.entries);
		sl_free(bigger.values);
		return SL_E_NO_MEMORY;
	}
	for (size_t i = 0; i < join->capacity; i++)
		if (join->entries[i].used)
			move_entry(&bigger, find(&bigger, &join->entries[i].key), join, i);
	sl_free(join->entries);
	sl_free(join->values);
	*join = bigger;
	return 0;
}

static void remove_at(struct sl_join *join, size_t hole)
{
	size_t mask = join->capacity - 1;
	for (size_t i = (hole + 1) & mask; join->entries[i].used; i = (i + 1) & mask) {
		size_t home = home_of(join, &join->entries[i].key);
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			move_entry(join, hole, join, i);
			hole = i;
		}
	}
	join->entries[hole].used = false;
	join->used--;
}

/* Where `key` stands or shall stand; makes room first. */
static int place(struct sl_join *join, const struct sl_join_key *key, size_t *ret, struct sl_error *err)
{
	if (join->used >= join->capacity / 2) {
		if (join->used >= SL_JOIN_ENTRIES_MAX)
			return sl_fail(err, SL_E_TOO_LARGE, "more than %d predictions wait for labels", SL_JOIN_ENTRIES_MAX);
		int rc = resize(join, join->capacity * 2, err);
		if (rc)
			return rc;
	}
	*ret = find(join, key);
	return 0;
}

int sl_join_prediction(struct sl_join *join, const struct sl_join_key *key, int64_t time_ms, const float *outputs, struct sl_join_match *ret, struct sl_error *err)
{
	size_t i;
	int rc = place(join, key, &i, err);
	if (rc)
		return rc;
	struct entry *e = &join->entries[i];
	if (e->used && e->is_label) {
		memcpy(join->matched, outputs, join->outputs * sizeof(float));
		*ret = (struct sl_join_match){time_ms, join->matched, e->label};
		remove_at(join, i);
		return 1;
	}
	join->used += !e->used;
	*e = (struct entry){.key = *key, .time_ms = time_ms, .used = true};
	memcpy(values_of(join, i), outputs, join->outputs * sizeof(float));
	return 0;
}

int sl_join_label(struct sl_join *join, const struct sl_join_key *key, int64_t time_ms, double label, struct sl_join_match *ret, struct sl_error *err)
{
	size_t i;
	int rc = place(join, key, &i, err);
	if (rc)
		return rc;
	struct entry *e = &join->entries[i];
	if (e->used && !e->is_label) {
		memcpy(join->matched, values_of(join, i), join->outputs * sizeof(float));
		*ret = (struct sl_join_match){e->time_ms, join->matched, label};
		remove_at(join, i);
		return 1;
	}
	join->used += !e->used;
	*e = (struct entry){.key = *key, .time_ms = time_ms, .label = label, .used = true, .is_label = true};
	return 0;
}

uint64_t sl_join_expire(struct sl_join *join, int64_t before_ms)
{
	uint64_t lost = 0;
	for (size_t i = 0; i < join->capacity;) {
		struct entry *e = &join->entries[i];
		if (!e->used || e->time_ms >= before_ms) {
			i++;
			continue;
		}
		lost += !e->is_label;
		remove_at(join, i); /* may have moved a follower here: look again */
	}
	return lost;
}

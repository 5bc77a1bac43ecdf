#include "learn/encode.h"

#include <math.h>
#include <string.h>

#include "base/time.h"

/* Open addressing at a load of at most one half; a slot holds the upper half of the hash, so that a text is compared only when it
 * is nearly certain to be the one. */
struct slot {
	uint32_t tag, index1; /* index + 1; 0: empty */
};
struct sl_dictionary {
	const struct sl_category *values;
	size_t count;
	struct slot *slots;
	uint64_t mask;
};

/* Multiply-fold over words of 8 bytes. Categories are the model's own, so nobody can choose colliding ones from outside: a
 * hostile lookup costs the walk to the next empty slot, which the build keeps short. */
static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ len, word;
	for (; len >= 8; text += 8, len -= 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, text, len);
	h = (h ^ word) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}

static int compare_texts(const struct sl_category *a, const struct sl_category *b)
{
	int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
	return order ? order : (a->len > b->len) - (a->len < b->len);
}

int sl_dictionary_make(const struct sl_category *values, size_t count, struct sl_arena *arena, const struct sl_dictionary **ret,
		       struct sl_error *err)
{
	if (count > SL_CATEGORIES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "%zu categories, at most %d are allowed", count, SL_CATEGORIES_MAX);
	for (size_t i = 1; i < count; i++)
		if (compare_texts(&values[i - 1], &values[i]) >= 0)
			return sl_fail(err, SL_E_INVALID, "the categories are not in ascending order at number %zu", i);
	size_t size = 4;
	while (size < count * 2)
		size *= 2;
	struct sl_dictionary *dictionary = sl_arena_alloc(arena, sizeof *dictionary);
	struct slot *slots = sl_arena_array(arena, size, sizeof *slots);
	if (!dictionary || !slots)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		uint64_t h = hash_text(values[i].text, values[i].len), at = h & (size - 1);
		while (slots[at].index1)
			at = (at + 1) & (size - 1);
		slots[at] = (struct slot){(uint32_t)(h >> 32), (uint32_t)i + 1};
	}
	*dictionary = (struct sl_dictionary){values, count, slots, size - 1};
	*ret = dictionary;
	return 0;
}

size_t sl_dictionary_count(const struct sl_dictionary *dictionary) { return dictionary->count; }

const struct sl_category *sl_dictionary_value(const struct sl_dictionary *dictionary, size_t index)
{
	return &dictionary->values[index];
}

int32_t sl_dictionary_find(const struct sl_dictionary *dictionary, const char *text, size_t len)
{
	uint64_t h = hash_text(text, len);
	for (uint64_t at = h & dictionary->mask; dictionary->slots[at].index1; at = (at + 1) & dictionary->mask) {
		const struct slot *slot = &dictionary->slots[at];
		const struct sl_category *value = &dictionary->values[slot->index1 - 1];
		if (slot->tag == (uint32_t)(h >> 32) && value->len == len && memcmp(value->text, text, len) == 0)
			return (int32_t)slot->index1 - 1;
	}
	return -1;
}

const char *sl_encoding_name(enum sl_encoding encoding) { return encoding == SL_ENCODE_CATEGORY ? "category" : "number"; }

/* Whole seconds and the rest apart, so that the one rounding is the last. */
static float seconds_of_us(int64_t us) { return (float)((double)us / 1e6); }

static const char *cell_name(enum sl_cell_kind kind)
{
	static const char *const NAMES[] = {"null", "a truth value", "a whole number", "a number", "text"};
	return NAMES[kind];
}

static int wrong_kind(const struct sl_feature *feature, const struct sl_cell *cell, struct sl_error *err)
{
	const char *wants = feature->encoding == SL_ENCODE_CATEGORY ? "text"
			    : feature->kind == SL_SQL_TIME	    ? "a time"
								    : "a number";
	return sl_fail(err, SL_E_INVALID, "column '%s' wants %s, got %s", feature->name, wants, cell_name(cell->kind));
}

static int encode_time(const struct sl_feature *feature, const struct sl_cell *cell, float *ret, struct sl_error *err)
{
	char text[64];
	int64_t us;
	if (cell->kind == SL_CELL_INT) {
		*ret = seconds_of_us(cell->i);
		return SL_ENCODED;
	}
	if (cell->kind != SL_CELL_TEXT)
		return wrong_kind(feature, cell, err);
	if (cell->len >= sizeof text)
		return sl_fail(err, SL_E_INVALID, "column '%s': the text is not a time", feature->name);
	memcpy(text, cell->text, cell->len);
	text[cell->len] = 0;
	if (!sl_time_parse_us(text, &us))
		return sl_fail(err, SL_E_INVALID, "column '%s': '%s' is not a time", feature->name, text);
	*ret = seconds_of_us(us);
	return SL_ENCODED;
}

int sl_encode(const struct sl_feature *feature, const struct sl_cell *cell, float *ret, struct sl_error *err)
{
	*ret = NAN;
	if (cell->kind == SL_CELL_NULL)
		return SL_ENCODED;
	if (feature->encoding == SL_ENCODE_CATEGORY) {
		if (cell->kind != SL_CELL_TEXT)
			return wrong_kind(feature, cell, err);
		int32_t index = sl_dictionary_find(feature->dictionary, cell->text, cell->len);
		if (index < 0)
			return SL_ENCODED_UNSEEN;
		*ret = (float)index;
		return SL_ENCODED;
	}
	if (feature->kind == SL_SQL_TIME)
		return encode_time(feature, cell, ret, err);
	switch (cell->kind) {
	case SL_CELL_BOOL: *ret = cell->b; return SL_ENCODED;
	case SL_CELL_INT: *ret = (float)cell->i; return SL_ENCODED;
	case SL_CELL_DOUBLE: *ret = (float)cell->d; return SL_ENCODED;
	default: return wrong_kind(feature, cell, err);
	}
}

static bool kinds_fit(const struct sl_feature *feature, enum sl_sql_kind kind)
{
	if (feature->encoding == SL_ENCODE_CATEGORY)
		return kind == SL_SQL_TEXT;
	if (feature->kind == SL_SQL_TIME)
		return kind == SL_SQL_TIME;
	return kind == SL_SQL_BOOL || kind == SL_SQL_INT || kind == SL_SQL_DOUBLE;
}

static uint64_t encode_texts(const struct sl_feature *feature, const struct sl_sql_column *column, size_t row_count, float *ret,
			     size_t stride)
{
	uint64_t unseen = 0;
	for (size_t i = 0; i < row_count; i++) {
		int32_t index = -1;
		if (!column->valid || column->valid[i]) {
			index = sl_dictionary_find(feature->dictionary, column->texts[i].data, column->texts[i].len);
			unseen += index < 0;
		}
		ret[i * stride] = index < 0 ? NAN : (float)index;
	}
	return unseen;
}

int sl_encode_column(const struct sl_feature *feature, const struct sl_sql_column *column, size_t row_count, float *ret,
		     size_t stride, uint64_t *unseen, struct sl_error *err)
{
	if (!kinds_fit(feature, column->kind))
		return sl_fail(err, SL_E_INVALID, "column '%s' was %s in training and is of another type here", feature->name,
			       feature->type);
	switch (column->kind) {
	case SL_SQL_BOOL:
		for (size_t i = 0; i < row_count; i++)
			ret[i * stride] = column->bools[i];
		break;
	case SL_SQL_INT:
		for (size_t i = 0; i < row_count; i++)
			ret[i * stride] = (float)column->ints[i];
		break;
	case SL_SQL_DOUBLE:
		for (size_t i = 0; i < row_count; i++)
			ret[i * stride] = (float)column->doubles[i];
		break;
	case SL_SQL_TIME:
		for (size_t i = 0; i < row_count; i++)
			ret[i * stride] = seconds_of_us(column->ints[i]);
		break;
	case SL_SQL_TEXT: {
		uint64_t n = encode_texts(feature, column, row_count, ret, stride);
		if (unseen)
			*unseen += n;
		return 0;
	}
	}
	for (size_t i = 0; column->valid && i < row_count; i++)
		if (!column->valid[i])
			ret[i * stride] = NAN;
	return 0;
}

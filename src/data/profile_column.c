/* One column: exact sums, and a table of its values that becomes sketches when there are too many. */
#include "data/profile_column.h"

#include <math.h>
#include <string.h>

void sl_moments_add(struct sl_moments *into, const struct sl_moments *from)
{
	double n = into->n + from->n, step = from->mean - into->mean;

	if (!from->n)
		return;
	into->squares += from->squares + step * step * into->n * from->n / n;
	into->mean += step * from->n / n;
	into->n = n;
}

void sl_profile_work_done(struct sl_profile_work *w)
{
	sl_frequent_done(&w->frequent);
	sl_free(w->distinct);
	if (w->quantiles)
		sl_quantiles_done(w->quantiles);
	sl_free(w->quantiles);
	sl_free(w->first);
	sl_free(w->last);
}

/* ---- from exact to sketched ------------------------------------------------------------------------------------------- */

static double number_of(const struct sl_profile_work *w, uint64_t bits)
{
	double d;

	if (w->source != SL_SQL_DOUBLE)
		return (double)(int64_t)bits;
	memcpy(&d, &bits, sizeof d);
	return d;
}

/* The table is about to lose values: the sketches begin with all that it has. */
static int begin_sketches(struct sl_profile_work *w)
{
	bool numbers = w->out->kind != SL_PROFILE_TEXT;

	w->distinct = sl_alloc(sizeof *w->distinct, NULL);
	w->quantiles = numbers ? sl_alloc(sizeof *w->quantiles, NULL) : NULL;
	if (!w->distinct || (numbers && !w->quantiles))
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < w->frequent.slot_count; i++) {
		const struct sl_frequent_item *item = &w->frequent.slots[i];
		if (!item->count)
			continue;
		sl_distinct_add(w->distinct, item->hash);
		if (numbers && !sl_quantiles_add(w->quantiles, number_of(w, item->bits), item->count))
			return SL_E_NO_MEMORY;
	}
	return 0;
}

static int count_number(struct sl_profile_work *w, uint64_t bits, double value)
{
	if (!w->distinct && sl_frequent_full(&w->frequent) && begin_sketches(w) < 0)
		return SL_E_NO_MEMORY;
	if (w->distinct) {
		sl_distinct_add(w->distinct, sl_sketch_hash(bits));
		if (!sl_quantiles_add(w->quantiles, value, 1))
			return SL_E_NO_MEMORY;
	}
	return sl_frequent_add(&w->frequent, bits, 1);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------------- */

/* The chunk's finite values: `bits` for counting, `values` for the rest. */
struct numbers { uint64_t bits[SL_PROFILE_CHUNK]; double values[SL_PROFILE_CHUNK]; size_t count; };

static void take_ints(struct sl_profile_work *w, const struct sl_sql_column *column, size_t rows, struct numbers *out)
{
	bool times = w->out->kind == SL_PROFILE_TIME;

	for (size_t i = 0; i < rows; i++) {
		if (column->valid && !column->valid[i])
			continue;
		int64_t v = column->ints[i];
		/* The engine's -infinity and infinity of times are at the ends of the range. */
		if (times && (v <= -INT64_MAX || v == INT64_MAX)) {
			w->out->infinite++;
			continue;
		}
		out->bits[out->count] = (uint64_t)v;
		out->values[out->count++] = (double)v;
	}
}

static void take_doubles(struct sl_profile_work *w, const struct sl_sql_column *column, size_t rows, struct numbers *out)
{
	for (size_t i = 0; i < rows; i++) {
		if (column->valid && !column->valid[i])
			continue;
		double v = column->doubles[i] + 0.0; /* -0 is 0 */
		if (!isfinite(v)) {
			w->out->nan += isnan(v) != 0;
			w->out->infinite += isinf(v) != 0;
			continue;
		}
		memcpy(&out->bits[out->count], &v, sizeof v);
		out->values[out->count++] = v;
	}
}

static void take_bools(const struct sl_sql_column *column, size_t rows, struct numbers *out)
{
	for (size_t i = 0; i < rows; i++) {
		if (column->valid && !column->valid[i])
			continue;
		out->bits[out->count] = column->bools[i];
		out->values[out->count++] = column->bools[i];
	}
}

/* Two passes over a chunk that is in the first-level cache: mean, then distances from it. */
static void sum_up(struct sl_profile_work *w, const struct numbers *numbers)
{
	struct sl_profile_column *out = w->out;
	struct sl_moments chunk = {.n = (double)numbers->count};
	double sum = 0;

	for (size_t i = 0; i < numbers->count; i++) {
		double v = numbers->values[i];
		sum += v;
		out->min = v < out->min ? v : out->min;
		out->max = v > out->max ? v : out->max;
		out->zeros += v == 0;
		out->negative += v < 0;
	}
	chunk.mean = numbers->count ? sum / chunk.n : 0;
	for (size_t i = 0; i < numbers->count; i++)
		chunk.squares += (numbers->values[i] - chunk.mean) * (numbers->values[i] - chunk.mean);
	sl_moments_add(&w->moments, &chunk);
}

static int add_numbers(struct sl_profile_work *w, const struct sl_sql_column *column, size_t rows)
{
	struct numbers numbers;
	int rc = 0;

	numbers.count = 0;
	if (w->source == SL_SQL_DOUBLE)
		take_doubles(w, column, rows, &numbers);
	else if (w->source == SL_SQL_BOOL)
		take_bools(column, rows, &numbers);
	else
		take_ints(w, column, rows, &numbers);
	sum_up(w, &numbers);
	for (size_t i = 0; i < numbers.count && rc == 0; i++)
		rc = count_number(w, numbers.bits[i], numbers.values[i]);
	return rc;
}

/* ---- texts ------------------------------------------------------------------------------------------------------------ */

/* Every byte but those that go on in a character. */
static uint64_t characters(const char *text, uint32_t len)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xC0) != 0x80;
	return count;
}

static int compare_bytes(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int replace(char **text, uint32_t *len, const struct sl_sql_text *with)
{
	char *copy = sl_alloc((size_t)with->len + 1, NULL);

	if (!copy)
		return SL_E_NO_MEMORY;
	memcpy(copy, with->data, with->len);
	sl_free(*text);
	*text = copy;
	*len = with->len;
	return 0;
}

static int stretch(struct sl_profile_work *w, const struct sl_sql_text *text)
{
	int rc = 0;

	if (!w->first || compare_bytes(text->data, text->len, w->first, w->first_len) < 0)
		rc = replace(&w->first, &w->first_len, text);
	if (rc == 0 && (!w->last || compare_bytes(text->data, text->len, w->last, w->last_len) > 0))
		rc = replace(&w->last, &w->last_len, text);
	return rc;
}

static int add_text(struct sl_profile_work *w, const struct sl_sql_text *text)
{
	uint64_t hash = sl_sketch_hash_bytes(text->data, text->len), length = characters(text->data, text->len);
	size_t known = w->frequent.used;

	w->sum_length += (double)length;
	w->out->length_min = length < w->out->length_min ? length : w->out->length_min;
	w->out->length_max = length > w->out->length_max ? length : w->out->length_max;
	if (!w->distinct && sl_frequent_full(&w->frequent) && begin_sketches(w) < 0)
		return SL_E_NO_MEMORY;
	if (w->distinct)
		sl_distinct_add(w->distinct, hash);
	int rc = sl_frequent_add_text(&w->frequent, text->data, text->len, hash, 1);
	/* While nothing is forgotten, only a text that is new to the table can be the first or the last. */
	return rc == 0 && (w->distinct || w->frequent.used != known) ? stretch(w, text) : rc;
}

int sl_profile_work_add(struct sl_profile_work *w, const struct sl_sql_column *column, size_t rows)
{
	uint64_t present = rows;
	int rc = 0;

	for (size_t i = 0; column->valid && i < rows; i++)
		present -= !column->valid[i];
	w->out->present += present;
	w->out->missing += rows - present;
	if (w->out->kind == SL_PROFILE_OTHER || !present)
		return 0;
	if (w->out->kind != SL_PROFILE_TEXT)
		return add_numbers(w, column, rows);
	for (size_t i = 0; i < rows && rc == 0; i++)
		if (!column->valid || column->valid[i])
			rc = add_text(w, &column->texts[i]);
	return rc;
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

/* All values with their counts, or what the sketch kept of them. */
static struct sl_weighted *weighted_values(const struct sl_profile_work *w, size_t *ret_count)
{
	if (w->frequent.error)
		return sl_quantiles_items(w->quantiles, ret_count);
	struct sl_weighted *items = sl_alloc_array(w->frequent.used + 1, sizeof *items, NULL);
	*ret_count = 0;
	for (size_t i = 0; items && i < w->frequent.slot_count; i++)
		if (w->frequent.slots[i].count)
			items[(*ret_count)++] =
				(struct sl_weighted){number_of(w, w->frequent.slots[i].bits), w->frequent.slots[i].count};
	if (items)
		sl_weighted_sort(items, *ret_count);
	return items;
}

static int end_numbers(struct sl_profile_work *w, struct sl_error *err)
{
	struct sl_profile_column *out = w->out;
	size_t count;
	SL_AUTO_FREE struct sl_weighted *items = weighted_values(w, &count);
	double shares[SL_PROFILE_QUANTILES], edges[SL_PROFILE_BINS];
	uint64_t ranks[SL_PROFILE_BINS];

	if (!items)
		return sl_fail_memory(err);
	out->mean = w->moments.n ? w->moments.mean : NAN;
	out->std = w->moments.n > 1 ? sqrt(w->moments.squares / (w->moments.n - 1)) : NAN;
	if (!count)
		return 0;
	for (size_t i = 0; i < SL_PROFILE_QUANTILES; i++)
		shares[i] = (double)i / (SL_PROFILE_QUANTILES - 1);
	sl_weighted_quantiles(items, count, shares, SL_PROFILE_QUANTILES, out->quantiles);
	out->quantiles[0] = out->min;
	out->quantiles[SL_PROFILE_QUANTILES - 1] = out->max;
	out->quantile_error = w->frequent.error ? SL_QUANTILE_ERROR : 0;
	out->bin_count = out->max > out->min ? SL_PROFILE_BINS : 1;
	for (size_t i = 0; i < out->bin_count; i++)
		edges[i] = i + 1 == out->bin_count ? out->max
						   : out->min + (out->max - out->min) * (double)(i + 1) / (double)out->bin_count;
	sl_weighted_ranks(items, count, edges, out->bin_count, ranks);
	for (size_t i = 0; i < out->bin_count; i++)
		out->bins[i] = ranks[i] - (i ? ranks[i - 1] : 0);
	return 0;
}

static int compare_doubles(const struct sl_frequent *f, const struct sl_frequent_item *a, const struct sl_frequent_item *b)
{
	double x, y;

	(void)f;
	memcpy(&x, &a->bits, sizeof x);
	memcpy(&y, &b->bits, sizeof y);
	return (x > y) - (x < y);
}

static int compare_ints(const struct sl_frequent *f, const struct sl_frequent_item *a, const struct sl_frequent_item *b)
{
	int64_t x = (int64_t)a->bits, y = (int64_t)b->bits;

	(void)f;
	return (x > y) - (x < y);
}

static int compare_texts(const struct sl_frequent *f, const struct sl_frequent_item *a, const struct sl_frequent_item *b)
{
	return compare_bytes(f->pool + a->bits, a->kept, f->pool + b->bits, b->kept);
}

static int end_top(struct sl_profile_work *w, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_profile_column *out = w->out;
	const struct sl_frequent_item *items[SL_PROFILE_TOP];
	bool texts = out->kind == SL_PROFILE_TEXT;
	sl_frequent_compare *compare = texts ? compare_texts : w->source == SL_SQL_DOUBLE ? compare_doubles : compare_ints;

	out->top_error = w->frequent.error;
	out->top_count = sl_frequent_top(&w->frequent, compare, items, SL_PROFILE_TOP);
	for (size_t i = 0; i < out->top_count; i++) {
		struct sl_profile_top *top = &out->top[i];
		top->count = items[i]->count;
		top->text = texts && items[i]->kept ? sl_arena_strndup(arena, w->frequent.pool + items[i]->bits, items[i]->kept) : "";
		top->number = texts ? NAN : number_of(w, items[i]->bits);
		if (!top->text)
			return sl_fail_memory(err);
	}
	return 0;
}

int sl_profile_work_end(struct sl_profile_work *w, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_profile_column *out = w->out;

	out->min_text = w->first ? sl_arena_strndup(arena, w->first, w->first_len) : "";
	out->max_text = w->last ? sl_arena_strndup(arena, w->last, w->last_len) : "";
	if (!out->min_text || !out->max_text)
		return sl_fail_memory(err);
	if (out->kind == SL_PROFILE_OTHER)
		return 0;
	out->distinct = w->frequent.error ? sl_distinct_count(w->distinct) : w->frequent.used;
	out->distinct_error = w->frequent.error ? SL_DISTINCT_ERROR : 0;
	if (out->kind == SL_PROFILE_TEXT) {
		out->length_mean = out->present ? w->sum_length / (double)out->present : NAN;
		out->length_min = out->present ? out->length_min : 0;
	}
	int rc = end_top(w, arena, err);
	return rc == 0 && out->kind != SL_PROFILE_TEXT ? end_numbers(w, err) : rc;
}

#include "data/distribution.h"

#include <math.h>
#include <string.h>

void sl_distribution_done(struct sl_distribution *d)
{
	sl_frequent_done(&d->frequent);
	if (d->quantiles)
		sl_quantiles_done(d->quantiles);
	sl_free(d->quantiles);
	d->quantiles = NULL;
}

static double number_of(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

/* The table has all that it may: the sketch begins with that, and the table goes. */
static int begin_sketch(struct sl_distribution *d)
{
	d->quantiles = sl_alloc(sizeof *d->quantiles, NULL);
	if (!d->quantiles)
		return SL_E_NO_MEMORY;
	d->quantiles->level_size = d->level_size;
	for (size_t i = 0; i < d->frequent.slot_count; i++) {
		const struct sl_frequent_item *item = &d->frequent.slots[i];
		if (item->count && !sl_quantiles_add(d->quantiles, number_of(item->bits), item->count))
			return SL_E_NO_MEMORY;
	}
	sl_frequent_done(&d->frequent);
	return 0;
}

static void sum_up(struct sl_distribution *d, const double *values, size_t count)
{
	struct sl_moments chunk = {.n = (double)count};
	double sum = 0, min = values[0], max = values[0];

	for (size_t i = 0; i < count; i++) {
		sum += values[i];
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
	}
	chunk.mean = sum / chunk.n;
	for (size_t i = 0; i < count; i++)
		chunk.squares += (values[i] - chunk.mean) * (values[i] - chunk.mean);
	d->min = d->moments.n && d->min < min ? d->min : min;
	d->max = d->moments.n && d->max > max ? d->max : max;
	sl_moments_add(&d->moments, &chunk);
}

/* Finite values. */
static int count_numbers(struct sl_distribution *d, const double *values, size_t count)
{
	size_t most = d->exact_max ? d->exact_max : SL_FREQUENT_VALUES, i = 0;
	uint64_t bits;

	if (!count)
		return 0;
	sum_up(d, values, count);
	for (; i < count && !d->quantiles; i++) {
		if (d->frequent.used >= most && begin_sketch(d) < 0)
			return SL_E_NO_MEMORY;
		if (d->quantiles)
			break;
		memcpy(&bits, &values[i], sizeof bits);
		if (sl_frequent_add(&d->frequent, bits, 1) < 0)
			return SL_E_NO_MEMORY;
	}
	return i == count || sl_quantiles_add_all(d->quantiles, values + i, count - i) ? 0 : SL_E_NO_MEMORY;
}

static double value_at(const struct sl_sql_column *column, size_t row)
{
	switch (column->kind) {
	case SL_SQL_BOOL: return column->bools[row];
	case SL_SQL_DOUBLE: return column->doubles[row] + 0.0; /* -0 is 0 */
	case SL_SQL_TIME: /* the engine's -infinity and infinity of times are at the ends of the range */
		return column->ints[row] <= -INT64_MAX || column->ints[row] == INT64_MAX ? NAN : (double)column->ints[row];
	default: return (double)column->ints[row];
	}
}

/* The finite values of the rows, close together; returns how many. */
static size_t take_numbers(const struct sl_sql_column *column, const uint32_t *rows, size_t count, double *out)
{
	size_t n = 0;

	if (column->kind == SL_SQL_DOUBLE && !column->valid && !rows) { /* the common case, in a loop of its own */
		for (size_t i = 0; i < count; i++) {
			out[n] = column->doubles[i] + 0.0;
			n += isfinite(out[n]) != 0;
		}
		return n;
	}
	for (size_t i = 0; i < count; i++) {
		size_t row = rows ? rows[i] : i;
		if (column->valid && !column->valid[row])
			continue;
		out[n] = value_at(column, row);
		n += isfinite(out[n]) != 0;
	}
	return n;
}

int sl_distribution_add_text(struct sl_distribution *d, const char *text, size_t len)
{
	d->rows++;
	return sl_frequent_add_text(&d->frequent, text, (uint32_t)len, sl_sketch_hash_bytes(text, len), 1);
}

void sl_distribution_add_missing(struct sl_distribution *d)
{
	d->rows++;
	d->missing++;
}

static int add_texts(struct sl_distribution *d, const struct sl_sql_column *column, const uint32_t *rows, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		size_t row = rows ? rows[i] : i;
		if (column->valid && !column->valid[row])
			sl_distribution_add_missing(d);
		else
			rc = sl_distribution_add_text(d, column->texts[row].data, column->texts[row].len);
	}
	return rc;
}

int sl_distribution_add(struct sl_distribution *d, const struct sl_sql_column *column, const uint32_t *rows, size_t count)
{
	double values[SL_PROFILE_CHUNK + 1]; /* a value that does not count is written behind the last one */

	if (d->texts)
		return add_texts(d, column, rows, count);
	size_t n = take_numbers(column, rows, count, values);
	d->rows += count;
	d->missing += count - n;
	return count_numbers(d, values, n);
}

int sl_distribution_add_number(struct sl_distribution *d, double value)
{
	value += 0.0;
	d->rows++;
	d->missing += !isfinite(value);
	return isfinite(value) ? count_numbers(d, &value, 1) : 0;
}

uint64_t sl_distribution_present(const struct sl_distribution *d) { return d->rows - d->missing; }

double sl_distribution_error(const struct sl_distribution *d)
{
	double size = d->level_size ? d->level_size : SL_QUANTILE_LEVEL;
	return d->quantiles ? SL_QUANTILE_ERROR * SL_QUANTILE_LEVEL / size : 0;
}

struct sl_weighted *sl_distribution_items(const struct sl_distribution *d, size_t *ret_count)
{
	if (d->quantiles)
		return sl_quantiles_items(d->quantiles, ret_count);
	struct sl_weighted *items = sl_alloc_array(d->frequent.used + 1, sizeof *items, NULL);
	*ret_count = 0;
	for (size_t i = 0; items && i < d->frequent.slot_count; i++)
		if (d->frequent.slots[i].count)
			items[(*ret_count)++] = (struct sl_weighted){number_of(d->frequent.slots[i].bits), d->frequent.slots[i].count};
	if (items)
		sl_weighted_sort(items, *ret_count);
	return items;
}

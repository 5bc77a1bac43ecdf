/* Correlations of number columns. A chunk's columns are centred at their own means, so that the products neither overflow nor
 * cancel; chunks add up as moments do. */
#include <math.h>
#include <string.h>

#include "data/profile_column.h"

void sl_profile_pairs_done(struct sl_profile_pairs *p)
{
	sl_free(p->values);
	sl_free(p->valid);
}

static double value_at(const struct sl_sql_column *column, size_t row)
{
	return column->kind == SL_SQL_DOUBLE ? column->doubles[row] : (double)column->ints[row];
}

static void centre(struct sl_profile_pairs *p, size_t at, const struct sl_sql_column *column, size_t rows)
{
	double *values = p->values[at], sum = 0;
	unsigned char *valid = p->valid[at];
	size_t present = 0;

	for (size_t i = 0; i < rows; i++) {
		bool here = !column->valid || column->valid[i];
		double v = here ? value_at(column, i) : 0;
		valid[i] = here && isfinite(v);
		values[i] = valid[i] ? v : 0;
		sum += values[i];
		present += valid[i];
	}
	p->present[at] = present;
	p->means[at] = present ? sum / (double)present : 0;
	for (size_t i = 0; i < rows; i++)
		values[i] = valid[i] ? values[i] - p->means[at] : 0;
}

/* Four sums side by side: one after the other would wait for each addition. */
static double dot(const double *a, const double *b, size_t n)
{
	double s[4] = {0};
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (size_t k = 0; k < 4; k++)
			s[k] += a[i + k] * b[i + k];
	for (; i < n; i++)
		s[0] += a[i] * b[i];
	return s[0] + s[1] + s[2] + s[3];
}

/* Rows in which both have a value, as sums around the columns' means, then around their own. */
static struct sl_pair_sums sum_common(const struct sl_profile_pairs *p, size_t a, size_t b, size_t rows)
{
	const double *x = p->values[a], *y = p->values[b];
	double n = 0, sx = 0, sy = 0;
	struct sl_pair_sums out = {0};

	for (size_t i = 0; i < rows; i++) {
		double both = p->valid[a][i] & p->valid[b][i];
		n += both;
		sx += both * x[i];
		sy += both * y[i];
		out.ab += both * x[i] * y[i];
		out.aa += both * x[i] * x[i];
		out.bb += both * y[i] * y[i];
	}
	if (!n)
		return (struct sl_pair_sums){0};
	out.n = n;
	out.ab -= sx * sy / n;
	out.aa -= sx * sx / n;
	out.bb -= sy * sy / n;
	out.mean_a = p->means[a] + sx / n;
	out.mean_b = p->means[b] + sy / n;
	return out;
}

static void add_sums(struct sl_pair_sums *into, const struct sl_pair_sums *from)
{
	double n = into->n + from->n, da = from->mean_a - into->mean_a, db = from->mean_b - into->mean_b;

	if (!from->n)
		return;
	double share = into->n * from->n / n;
	into->ab += from->ab + da * db * share;
	into->aa += from->aa + da * da * share;
	into->bb += from->bb + db * db * share;
	into->mean_a += da * from->n / n;
	into->mean_b += db * from->n / n;
	into->n = n;
}

int sl_profile_pairs_add(struct sl_profile_pairs *p, const struct sl_sql_column *columns, size_t rows)
{
	double own[SL_PROFILE_PAIRED_MAX];
	size_t at = 0;

	if (p->count < 2)
		return 0;
	if (!p->values) {
		p->values = sl_alloc_array(p->count, sizeof *p->values, NULL);
		p->valid = sl_alloc_array(p->count, sizeof *p->valid, NULL);
		if (!p->values || !p->valid)
			return SL_E_NO_MEMORY;
	}
	for (size_t i = 0; i < p->count; i++) {
		centre(p, i, &columns[p->columns[i]], rows);
		own[i] = dot(p->values[i], p->values[i], rows);
	}
	for (size_t a = 0; a < p->count; a++)
		for (size_t b = a + 1; b < p->count; b++) {
			struct sl_pair_sums chunk = {.n = (double)rows, .mean_a = p->means[a], .mean_b = p->means[b], .aa = own[a], .bb = own[b]};
			if (p->present[a] == rows && p->present[b] == rows)
				chunk.ab = dot(p->values[a], p->values[b], rows);
			else
				chunk = sum_common(p, a, b, rows);
			add_sums(&p->sums[at++], &chunk);
		}
	return 0;
}

double sl_profile_pairs_get(const struct sl_profile_pairs *p, size_t pair)
{
	const struct sl_pair_sums *s = &p->sums[pair];
	double scale = sqrt(s->aa) * sqrt(s->bb);

	return scale > 0 ? fmax(-1, fmin(1, s->ab / scale)) : NAN;
}

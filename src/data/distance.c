#include "data/distance.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static double total_of(const uint64_t *counts, size_t bins)
{
	double total = 0;
	for (size_t i = 0; i < bins; i++)
		total += (double)counts[i];
	return total;
}

static double floored_sum(const uint64_t *counts, size_t bins, double total)
{
	double sum = 0;
	for (size_t i = 0; i < bins; i++)
		sum += fmax((double)counts[i] / total, SL_SHARE_FLOOR);
	return sum;
}

double sl_psi(const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins);
	if (n == 0 || m == 0)
		return 0;
	double n_sum = floored_sum(reference, bins, n), m_sum = floored_sum(current, bins, m), psi = 0;
	for (size_t i = 0; i < bins; i++) {
		double p = fmax((double)reference[i] / n, SL_SHARE_FLOOR) / n_sum;
		double q = fmax((double)current[i] / m, SL_SHARE_FLOOR) / m_sum;
		psi += (q - p) * log(q / p);
	}
	return psi;
}

double sl_js_distance(const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins), divergence = 0;
	if (n == 0 || m == 0)
		return 0;
	for (size_t i = 0; i < bins; i++) {
		double p = (double)reference[i] / n, q = (double)current[i] / m, middle = (p + q) / 2;
		if (p > 0)
			divergence += p / 2 * log2(p / middle);
		if (q > 0)
			divergence += q / 2 * log2(q / middle);
	}
	return sqrt(fmax(divergence, 0));
}

double sl_hellinger(const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins), sum = 0;
	if (n == 0 || m == 0)
		return 0;
	/* Half the sum of squared differences is the same number, and does not lose small distances in 1 - 1. */
	for (size_t i = 0; i < bins; i++) {
		double step = sqrt((double)reference[i] / n) - sqrt((double)current[i] / m);
		sum += step * step;
	}
	return sqrt(fmin(sum / 2, 1));
}

double sl_total_variation(const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins), sum = 0;
	if (n == 0 || m == 0)
		return 0;
	for (size_t i = 0; i < bins; i++)
		sum += fabs((double)reference[i] / n - (double)current[i] / m);
	return fmin(sum / 2, 1);
}

double sl_ks_bins(const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins), p = 0, q = 0, most = 0;
	if (n == 0 || m == 0)
		return 0;
	for (size_t i = 0; i < bins; i++) {
		p += (double)reference[i] / n;
		q += (double)current[i] / m;
		most = fmax(most, fabs(p - q));
	}
	return most;
}

/* Of |f| over a piece of `width` on which f goes straight from d0 to d1. */
static double area_between(double d0, double d1, double width)
{
	double a = fabs(d0), b = fabs(d1);
	if ((d0 < 0) == (d1 < 0) || a + b == 0)
		return (a + b) / 2 * width;
	return (a * a + b * b) / (2 * (a + b)) * width;
}

static double spread_of(const double *knots, const uint64_t *counts, size_t bins, double n)
{
	double mean = 0, square = 0;
	for (size_t i = 0; i < bins; i++) {
		double share = (double)counts[i] / n, middle = (knots[i] + knots[i + 1]) / 2, width = knots[i + 1] - knots[i];
		mean += share * middle;
		square += share * (middle * middle + width * width / 12);
	}
	return sqrt(fmax(square - mean * mean, 0));
}

double sl_wasserstein_bins(const double *knots, const uint64_t *reference, const uint64_t *current, size_t bins)
{
	double n = total_of(reference, bins), m = total_of(current, bins), before = 0, area = 0;
	double spread = n > 0 ? spread_of(knots, reference, bins, n) : 0;
	if (n == 0 || m == 0 || !(spread > 0))
		return NAN;
	for (size_t i = 0; i < bins; i++) {
		double after = before + (double)reference[i] / n - (double)current[i] / m;
		area += area_between(before, after, knots[i + 1] - knots[i]);
		before = after;
	}
	return area / spread;
}

double sl_chi_square(const uint64_t *reference, const uint64_t *current, size_t bins, size_t *ret_degrees)
{
	double n = total_of(reference, bins), m = total_of(current, bins), sum = 0;
	size_t used = 0;
	*ret_degrees = 0;
	if (n == 0 || m == 0)
		return 0;
	for (size_t i = 0; i < bins; i++) {
		double both = (double)reference[i] + (double)current[i], expected = both * n / (n + m);
		if (both == 0)
			continue;
		double off = (double)reference[i] - expected; /* the current side is off by as much */
		sum += off * off / expected + off * off / (both - expected);
		used++;
	}
	*ret_degrees = used ? used - 1 : 0;
	return sum;
}

/* The regularised incomplete gamma function Q(k/2, x/2), by its series below k/2 + 1 and by its continued fraction above (Press
 * et al., Numerical Recipes, 6.2; modified Lentz). */
double sl_chi_square_p(double x, double degrees)
{
	const double a = degrees / 2, h = x / 2, tiny = 1e-300;

	if (degrees <= 0 || x <= 0)
		return 1;
	double scale = exp(-h + a * log(h) - lgamma(a));
	if (h < a + 1) {
		double term = 1 / a, sum = term;
		for (int n = 1; n < 10000 && term > sum * 1e-16; n++)
			sum += term *= h / (a + n);
		return fmax(1 - sum * scale, 0);
	}
	double b = h + 1 - a, c = 1 / tiny, d = 1 / b, f = d;
	for (int n = 1; n < 10000; n++) {
		double an = -n * (n - a);
		b += 2;
		d = an * d + b;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = b + an / c;
		c = fabs(c) < tiny ? tiny : c;
		f *= d * c;
		if (fabs(d * c - 1) < 1e-15)
			break;
	}
	return scale * f;
}

static double weight_of(const struct sl_weighted *items, size_t count)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (double)items[i].weight;
	return sum;
}

/* Both distribution functions are steps: between two neighbouring values of either sample their difference is constant. */
struct sl_sample_distance sl_sample_distances(const struct sl_weighted *reference, size_t reference_count,
					      const struct sl_weighted *current, size_t current_count)
{
	double n = weight_of(reference, reference_count), m = weight_of(current, current_count), p = 0, q = 0, before = 0;
	struct sl_sample_distance out = {0};
	size_t i = 0, k = 0;

	if (n == 0 || m == 0)
		return (struct sl_sample_distance){NAN, NAN};
	while (i < reference_count || k < current_count) {
		bool from_reference = k == current_count || (i < reference_count && reference[i].value <= current[k].value);
		double value = from_reference ? reference[i].value : current[k].value, apart = fabs(p / n - q / m);
		if (p + q > 0)
			out.wasserstein += apart * (value - before);
		for (; i < reference_count && reference[i].value <= value; i++)
			p += (double)reference[i].weight;
		for (; k < current_count && current[k].value <= value; k++)
			q += (double)current[k].weight;
		out.ks = fmax(out.ks, fabs(p / n - q / m));
		before = value;
	}
	return out;
}

double sl_ks_p(double d, double n, double m)
{
	double root = sqrt(n * m / (n + m)), x = (root + 0.12 + 0.11 / root) * d, sum = 0;

	if (!(d > 0))
		return 1;
	if (x < 0.2)
		return 1; /* the series alternates too slowly here, and p is above 1 - 1e-11 */
	for (int k = 1; k <= 100; k++) {
		double term = exp(-2.0 * k * k * x * x);
		sum += k % 2 ? term : -term;
		if (term < 1e-17 * sum)
			break;
	}
	return fmin(2 * sum, 1);
}

struct ranked { double p; size_t at; };

static int least_first(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->p != y->p)
		return x->p < y->p ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

int sl_false_discovery(const double *p, size_t count, double *ret)
{
	SL_AUTO_FREE struct ranked *order = sl_alloc_array(count + 1, sizeof *order, NULL);
	size_t n = 0;

	if (!order)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		if (!isnan(p[i]))
			order[n++] = (struct ranked){p[i], i};
	for (size_t i = 0; i < count; i++)
		ret[i] = p[i];
	qsort(order, n, sizeof *order, least_first);
	double least = 1;
	for (size_t rank = n; rank-- > 0;) {
		least = fmin(least, order[rank].p * (double)n / (double)(rank + 1));
		ret[order[rank].at] = least;
	}
	return 0;
}

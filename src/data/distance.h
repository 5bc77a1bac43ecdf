/* How far two distributions are apart, and whether chance explains it: from counts beside each other, or from values with their
 * weights. Pure functions; docs/drift.md has the definitions in words.
 *
 * Shares: p_i = count_i / total of the reference, q_i of what is compared with it. Functions of counts return 0 when either side
 * is empty.
 */
#ifndef SL_DATA_DISTANCE_H
#define SL_DATA_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

#include "data/sketch.h"

#define SL_SHARE_FLOOR 1e-4 /* of PSI: shares are at least this, then divided by their sum, so that empty bins stay finite */

/* Population stability index: sum (q_i - p_i) ln(q_i / p_i). */
double sl_psi(const uint64_t *reference, const uint64_t *current, size_t bins);
/* Jensen-Shannon distance, base 2: square root of the divergence; 0 (equal) .. 1 (disjoint). */
double sl_js_distance(const uint64_t *reference, const uint64_t *current, size_t bins);
/* Hellinger distance: sqrt(1 - sum sqrt(p_i q_i)); 0 .. 1. */
double sl_hellinger(const uint64_t *reference, const uint64_t *current, size_t bins);
/* Total variation: half the sum of |p_i - q_i|; 0 .. 1. */
double sl_total_variation(const uint64_t *reference, const uint64_t *current, size_t bins);
/* The greatest difference of the two running sums: Kolmogorov-Smirnov's statistic seen at the bins' edges only. */
double sl_ks_bins(const uint64_t *reference, const uint64_t *current, size_t bins);

/* First Wasserstein distance divided by the reference's standard deviation, when only counts are known: `knots` are the bins + 1 ends
 * of the bins, rising, and both sides are taken as evenly spread within each. NaN when a side is empty or the reference has no spread. */
double sl_wasserstein_bins(const double *knots, const uint64_t *reference, const uint64_t *current, size_t bins);

/* Pearson's chi-square of the 2 x bins table, without continuity correction; bins that are empty on both sides do not count.
 * *ret_degrees: those that do, less one. */
double sl_chi_square(const uint64_t *reference, const uint64_t *current, size_t bins, size_t *ret_degrees);
/* Upper tail of the chi-square distribution; 1 for no degree of freedom. */
double sl_chi_square_p(double x, double degrees);

/* Kolmogorov-Smirnov's D and the first Wasserstein distance (in the values' unit) of two samples; each rising in value, and not
 * empty (NaN otherwise). */
struct sl_sample_distance { double ks, wasserstein; };
struct sl_sample_distance sl_sample_distances(const struct sl_weighted *reference, size_t reference_count,
					      const struct sl_weighted *current, size_t current_count);
/* Two-sided p of D for samples of n and m values: Kolmogorov's limit at Stephens' (1970) corrected argument. 1 for d <= 0. */
double sl_ks_p(double d, double n, double m);

/* Benjamini and Hochberg (1995): p-values to the least false discovery rate at which each would be a discovery. NaN stays out of
 * the count. `ret` may be `p`. 0 or SL_E_NO_MEMORY. */
int sl_false_discovery(const double *p, size_t count, double *ret);

#endif

#include "watch/estimate.h"

#include <math.h>

#include "base/mem.h"
#include "base/str.h"

void sl_estimate_done(struct sl_estimate *estimate)
{
	sl_free(estimate->positives);
	*estimate = (struct sl_estimate){0};
}

static bool has_bins(struct sl_estimate *estimate)
{
	if (!estimate->positives)
		estimate->positives = sl_alloc_array(SL_ESTIMATE_BINS, 2 * sizeof(double), NULL);
	estimate->negatives = estimate->positives ? estimate->positives + SL_ESTIMATE_BINS : NULL;
	return estimate->positives;
}

static double entropy_part(double p) { return p > 0 ? -p * log(p) : 0; }

bool sl_estimate_add(struct sl_estimate *estimate, double p, double weight)
{
	if (!(p >= 0 && p <= 1))
		return true;
	if (!has_bins(estimate))
		return false;
	size_t bin = p < 1 ? (size_t)(p * SL_ESTIMATE_BINS) : SL_ESTIMATE_BINS - 1;
	estimate->rows += weight;
	estimate->sum_error += weight * (p >= 0.5 ? 1 - p : p);
	estimate->sum_variance += weight * p * (1 - p);
	estimate->sum_log_loss += weight * (entropy_part(p) + entropy_part(1 - p));
	estimate->sum_brier += weight * p * (1 - p);
	estimate->positives[bin] += weight * p;
	estimate->negatives[bin] += weight * (1 - p);
	return true;
}

bool sl_estimate_merge(struct sl_estimate *into, const struct sl_estimate *from)
{
	if (!from->positives)
		return true;
	if (!has_bins(into))
		return false;
	into->rows += from->rows;
	into->sum_error += from->sum_error;
	into->sum_variance += from->sum_variance;
	into->sum_log_loss += from->sum_log_loss;
	into->sum_brier += from->sum_brier;
	for (size_t i = 0; i < SL_ESTIMATE_BINS; i++) {
		into->positives[i] += from->positives[i];
		into->negatives[i] += from->negatives[i];
	}
	return true;
}

static double auc(const struct sl_estimate *estimate, double *ret_error)
{
	double pairs = 0, ties = 0, below = 0, positives = 0;
	for (size_t i = 0; i < SL_ESTIMATE_BINS; i++) {
		pairs += estimate->positives[i] * below;
		ties += estimate->positives[i] * estimate->negatives[i];
		below += estimate->negatives[i];
		positives += estimate->positives[i];
	}
	if (positives == 0 || below == 0)
		return NAN;
	*ret_error = ties / 2 / (positives * below);
	return (pairs + ties / 2) / (positives * below);
}

double sl_estimate_statistic(const struct sl_estimate *estimate, const char *name, double *ret_error)
{
	*ret_error = NAN;
	if (estimate->rows == 0)
		return NAN;
	if (sl_str_eq(name, "estimated_auc"))
		return auc(estimate, ret_error);
	if (sl_str_eq(name, "estimated_error_rate")) {
		*ret_error = sqrt(estimate->sum_variance) / estimate->rows;
		return estimate->sum_error / estimate->rows;
	}
	if (sl_str_eq(name, "estimated_log_loss"))
		return estimate->sum_log_loss / estimate->rows;
	return sl_str_eq(name, "estimated_brier") ? estimate->sum_brier / estimate->rows : NAN;
}

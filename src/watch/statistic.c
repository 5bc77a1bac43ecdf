#include "watch/statistic.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define PROBABILITY_EPSILON 2.220446049250313e-16 /* of float64, as scikit-learn clips */

void sl_quality_done(struct sl_quality *quality)
{
	sl_free(quality->positives);
	sl_free(quality->negatives);
	*quality = (struct sl_quality){0};
}

static bool make_histograms(struct sl_quality *quality)
{
	if (quality->positives)
		return true;
	uint32_t *positives = sl_alloc_array(SL_SCORE_BINS, sizeof *positives, NULL);
	uint32_t *negatives = sl_alloc_array(SL_SCORE_BINS, sizeof *negatives, NULL);
	if (!positives || !negatives) {
		sl_free(positives);
		sl_free(negatives);
		return false;
	}
	quality->positives = positives;
	quality->negatives = negatives;
	return true;
}

static bool add_binary(struct sl_quality *quality, double score, double label)
{
	if (!(score >= 0 && score <= 1) || (label != 0 && label != 1) || !make_histograms(quality))
		return false;
	size_t bin = (size_t)(score * SL_SCORE_BINS);
	if (bin == SL_SCORE_BINS)
		bin--;
	(label == 1 ? quality->positives : quality->negatives)[bin]++;
	double clipped = fmin(fmax(score, PROBABILITY_EPSILON), 1 - PROBABILITY_EPSILON);
	quality->sum_log_loss -= label == 1 ? log(clipped) : log1p(-clipped);
	quality->errors += (score >= 0.5) != (label == 1);
	quality->sum_predicted += score;
	quality->sum_observed += label;
	quality->sum_square += (score - label) * (score - label);
	quality->sum_absolute += fabs(score - label);
	return true;
}

static bool add_multiclass(struct sl_quality *quality, const float *outputs, size_t count, double label)
{
	if (!(label >= 0 && label < (double)count) || label != floor(label))
		return false;
	size_t truth = (size_t)label, best = 0;
	for (size_t i = 1; i < count; i++)
		if (outputs[i] > outputs[best])
			best = i;
	double p = outputs[truth];
	if (!(p >= 0 && p <= 1))
		return false;
	quality->sum_log_loss -= log(fmax(p, PROBABILITY_EPSILON));
	quality->errors += best != truth;
	return true;
}

static bool add_regression(struct sl_quality *quality, double value, double label)
{
	if (!isfinite(value))
		return false;
	quality->sum_predicted += value;
	quality->sum_observed += label;
	quality->sum_square += (value - label) * (value - label);
	quality->sum_absolute += fabs(value - label);
	return true;
}

bool sl_quality_add(struct sl_quality *quality, enum sl_task task, const float *outputs, size_t output_count, double label)
{
	if (output_count == 0 || !isfinite(label))
		return false;
	bool added = false;
	switch (task) {
	case SL_TASK_BINARY: added = add_binary(quality, outputs[0], label); break;
	case SL_TASK_MULTICLASS: added = add_multiclass(quality, outputs, output_count, label); break;
	case SL_TASK_REGRESSION: added = add_regression(quality, outputs[0], label); break;
	}
	quality->rows += added;
	return added;
}

bool sl_quality_merge(struct sl_quality *into, const struct sl_quality *from)
{
	if (from->positives && !make_histograms(into))
		return false;
	for (size_t i = 0; from->positives && i < SL_SCORE_BINS; i++) {
		into->positives[i] += from->positives[i];
		into->negatives[i] += from->negatives[i];
	}
	into->rows += from->rows;
	into->sum_predicted += from->sum_predicted;
	into->sum_observed += from->sum_observed;
	into->sum_log_loss += from->sum_log_loss;
	into->sum_square += from->sum_square;
	into->sum_absolute += from->sum_absolute;
	into->errors += from->errors;
	return true;
}

double sl_quality_auc(const struct sl_quality *quality, double *ret_error)
{
	*ret_error = NAN;
	if (!quality->positives)
		return NAN;
	/* Pairs (positive above negative) bin by bin from below; ties count one half. */
	double pairs = 0, ties = 0, below = 0, positives = 0;
	for (size_t i = 0; i < SL_SCORE_BINS; i++) {
		double p = quality->positives[i], n = quality->negatives[i];
		pairs += p * below;
		ties += p * n;
		below += n;
		positives += p;
	}
	double all = positives * below;
	if (all == 0)
		return NAN;
	*ret_error = ties / 2 / all;
	return (pairs + ties / 2) / all;
}

double sl_quality_statistic(const struct sl_quality *quality, enum sl_task task, const char *name)
{
	double n = (double)quality->rows, error;
	if (n == 0)
		return NAN;
	if (sl_str_eq(name, "auc"))
		return sl_quality_auc(quality, &error);
	if (sl_str_eq(name, "calibration_gap") && task != SL_TASK_MULTICLASS)
		return fabs(quality->sum_predicted - quality->sum_observed) / n;
	if (sl_str_eq(name, "log_loss") && task != SL_TASK_REGRESSION)
		return quality->sum_log_loss / n;
	if (sl_str_eq(name, "error_rate") && task != SL_TASK_REGRESSION)
		return (double)quality->errors / n;
	if (sl_str_eq(name, "brier") && task == SL_TASK_BINARY)
		return quality->sum_square / n;
	if (sl_str_eq(name, "rmse") && task == SL_TASK_REGRESSION)
		return sqrt(quality->sum_square / n);
	if (sl_str_eq(name, "mae") && task == SL_TASK_REGRESSION)
		return quality->sum_absolute / n;
	return NAN;
}

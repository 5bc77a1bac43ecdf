#include "watch/drift_quality.h"

#include <math.h>

#include "base/mem.h"
#include "base/str.h"

const char *const sl_drift_quality_names[] = {"predicted", "observed", "calibration_gap", "ece_10", "error_rate", "auc", "log_loss", "brier", NULL};

void sl_drift_quality_free(struct sl_drift_quality *quality)
{
	if (!quality)
		return;
	sl_quality_done(&quality->sums);
	sl_free(quality);
}

bool sl_drift_quality_add(struct sl_drift_quality *quality, double p, double y)
{
	float output = (float)p;
	if (!(p >= 0 && p <= 1) || (y != 0 && y != 1))
		return true;
	if (!sl_quality_add(&quality->sums, SL_TASK_BINARY, &output, 1, y))
		return false;
	struct sl_reliability_bin *bin = &quality->bins[p < 1 ? (size_t)(p * SL_RELIABILITY_BINS) : SL_RELIABILITY_BINS - 1];
	bin->rows++;
	bin->predicted += p;
	bin->observed += y;
	return true;
}

double sl_drift_quality_measure(const struct sl_drift_quality *quality, const char *name)
{
	double rows = (double)quality->sums.rows, distance = 0;
	if (rows == 0)
		return NAN;
	if (sl_str_eq(name, "predicted"))
		return quality->sums.sum_predicted / rows;
	if (sl_str_eq(name, "observed"))
		return quality->sums.sum_observed / rows;
	if (!sl_str_eq(name, "ece_10"))
		return sl_quality_statistic(&quality->sums, SL_TASK_BINARY, name);
	for (size_t i = 0; i < SL_RELIABILITY_BINS; i++)
		distance += fabs(quality->bins[i].predicted - quality->bins[i].observed);
	return distance / rows;
}

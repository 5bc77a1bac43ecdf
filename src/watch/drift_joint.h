/* Drift that no column shows alone, from a sample of each side's rows (struct sl_drift_sample). */
#ifndef SL_WATCH_DRIFT_JOINT_H
#define SL_WATCH_DRIFT_JOINT_H

#include "watch/drift.h"

enum { SL_FOREST_TREES = 100, SL_FOREST_ROWS = 256, SL_JOINT_COLUMNS_TOLD = 10 };

/* A classifier of trees learns to tell one side from the other on half of the samples; its AUC on the other half is 0.5 when there is
 * nothing to tell. low, high: 95 % by Hanley and McNeil (1982). warn: low is above 0.5 and AUC at least 0.55; alarm: AUC at least
 * 0.65 (NannyML's bar). */
struct sl_drift_classifier {
	uint64_t rows;                  /* of both sides, told apart */
	double auc, low, high;
	enum sl_drift_level level;
	struct { const char *name; double share; } columns[SL_JOINT_COLUMNS_TOLD]; /* of the gain, greatest first */
	size_t column_count;
};
/* Inputs that both sides have and that are no times. SL_E_INVALID: there are none, or fewer than SL_DRIFT_ROWS_MIN rows. */
int sl_drift_classify(const struct sl_drift_rows *reference, const struct sl_drift_rows *current, struct sl_arena *arena,
		      struct sl_drift_classifier *ret, struct sl_error *err);

/* An isolation forest (Liu, Ting, Zhou: "Isolation Forest", 2008) of the reference's number columns, missing values at their means:
 * an outlier is a row whose score is above that of 99 % of the reference's. */
struct sl_drift_outliers { double bar, share; uint64_t rows; size_t columns; };
/* SL_E_INVALID as above. */
int sl_drift_find_outliers(const struct sl_drift_rows *reference, const struct sl_drift_rows *current, struct sl_arena *arena,
			   struct sl_drift_outliers *ret, struct sl_error *err);

#endif

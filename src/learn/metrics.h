/* Quality of predictions: exact definitions with their sources are in docs/training.md. Pure arithmetic in double, no I/O.
 *
 * Labels and predictions are parallel arrays; `weights` may be NULL (all 1). Rows with a NaN label must be left out by the
 * caller.
 */
#ifndef SL_LEARN_METRICS_H
#define SL_LEARN_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { SL_SCORES_MAX = 24 };
struct sl_score {
	const char *name;
	double value;
}; /* NaN: not defined here (AUC of a single class, R2 of a constant) */
struct sl_scores {
	struct sl_score items[SL_SCORES_MAX];
	size_t count;
};
/* NaN when absent. */
double sl_scores_get(const struct sl_scores *scores, const char *name);
void sl_scores_add(struct sl_scores *scores, const char *name, double value);

/* The metrics' names, most used first, NULL at the end: "auc", "log_loss", "brier", "calibration_gap", "calibration_bias",
 * "ece_10", "ece_15", "accuracy", "precision", "recall", "f1", "macro_f1", "rmse", "mae", "r2", "observed", "predicted", "rows",
 * "tp", "fp", "tn", "fn". */
extern const char *const sl_metric_names[];

/* Area under the ROC curve = P(positive scored above negative) + P(tie)/2, weighted; NaN when one class is missing. By
 * learn/sort.h: 3 M rows in 0.14 s. */
int sl_auc(const float *predicted, const float *labels, const float *weights, size_t count, double *ret, struct sl_error *err);
/* Expected calibration error over `bins` bins of equal width. */
double sl_ece(const float *predicted, const float *labels, const float *weights, size_t count, int bins);

/* Probability of class 1 against labels 0 and 1. */
int sl_metrics_binary(const float *predicted, const float *labels, const float *weights, size_t count, double threshold,
		      struct sl_scores *ret, struct sl_error *err);
/* `predicted`: count x classes probabilities; labels are class numbers. `confusion` (may be NULL): classes x classes weights,
 * [label][predicted]. */
int sl_metrics_multiclass(const float *predicted, const float *labels, const float *weights, size_t count, size_t classes,
			  double *confusion, struct sl_scores *ret, struct sl_error *err);
int sl_metrics_regression(const float *predicted, const float *labels, const float *weights, size_t count, struct sl_scores *ret,
			  struct sl_error *err);

#endif

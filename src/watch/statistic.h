/* Quality of answers, from counts alone, so that they merge. Exact definitions: docs/monitors.md; those of inputs are in
 * data/distance.h. */
#ifndef SL_WATCH_STATISTIC_H
#define SL_WATCH_STATISTIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "learn/package.h"

/* Quality of predictions against labels, one accumulator per pane; all of it adds up, so panes merge into windows.
 *
 * AUC comes from a histogram of the score (SL_SCORE_BINS equal bins over [0,1]); pairs in one bin count as ties, so the true
 * value lies within the error bound = half the share of pairs that fall into one bin. */
enum { SL_SCORE_BINS = 16384 };

struct sl_quality {
	uint64_t rows;
	double sum_predicted, sum_observed;     /* BINARY: probability, 0/1; REGRESSION: values */
	double sum_log_loss, sum_square, sum_absolute;
	uint64_t errors;                        /* wrong class: BINARY at 0.5, MULTICLASS by the greatest output */
	uint32_t *positives, *negatives;        /* SL_SCORE_BINS each, made at the first binary row; NULL before */
};
void sl_quality_done(struct sl_quality *quality);
/* One labelled row. `outputs`: 1 value, or one per class; `label`: 0/1, the class's index, or the value. false when memory is
 * out or a value is not finite or no class (the row is not counted then). */
bool sl_quality_add(struct sl_quality *quality, enum sl_task task, const float *outputs, size_t output_count, double label);
/* into += from; false when memory is out (into unchanged). */
bool sl_quality_merge(struct sl_quality *into, const struct sl_quality *from);

/* Each is NaN when it has no meaning for these rows (AUC of one class only). */
double sl_quality_auc(const struct sl_quality *quality, double *ret_error);
double sl_quality_statistic(const struct sl_quality *quality, enum sl_task task, const char *name);

#endif

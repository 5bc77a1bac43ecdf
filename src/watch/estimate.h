/* How good a binary model's answers are, estimated before labels come: if the probabilities are calibrated, a row with p is of class 1
 * with probability p, and the expectation of every metric follows (confidence-based performance estimation; NannyML calls it CBPE).
 * It sees what a change of the inputs does to the answers' quality, and cannot see that the world answers differently to equal
 * inputs: only labels show that. All of it adds up, so panes merge.
 */
#ifndef SL_WATCH_ESTIMATE_H
#define SL_WATCH_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

enum { SL_ESTIMATE_BINS = 2048 }; /* of the probability, for AUC */

struct sl_estimate {
	double rows, sum_error, sum_variance, sum_log_loss, sum_brier;
	double *positives, *negatives; /* SL_ESTIMATE_BINS each: expected rows of either class; made at the first row */
};
void sl_estimate_done(struct sl_estimate *estimate);
/* `weight` rows that were answered with p; others than 0 to 1 do not count. From 0.5 on it is class 1, as for error_rate. false: no memory. */
bool sl_estimate_add(struct sl_estimate *estimate, double p, double weight);
bool sl_estimate_merge(struct sl_estimate *into, const struct sl_estimate *from);
/* "estimated_error_rate", "estimated_auc", "estimated_log_loss", "estimated_brier"; NaN when it has no meaning, or another name.
 * *ret_error: one standard deviation of the true error rate around it; of AUC half the share of pairs in one bin; else NaN. */
double sl_estimate_statistic(const struct sl_estimate *estimate, const char *name, double *ret_error);

#endif

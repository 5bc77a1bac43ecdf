/* What is known of the arms of an experiment: counts that are added to row by row, and what follows from them. No I/O.
 *
 * The sequential test of two arms is the mixture sequential probability ratio test for the difference of two means, with a normal mixing
 * distribution of variance mixing^2 (Johari, Koomen, Pekelis, Walsh, "Always Valid Inference: Continuous Monitoring of A/B Tests",
 * Operations Research 70(3), 2022; the formula as in their "Peeking at A/B Tests", KDD 2017, section 4). With means x, y of n, m rows, sample
 * variances s, t, and V = s/n + t/m:
 *
 *   L = sqrt(V / (V + mixing^2)) * exp(mixing^2 * (x - y)^2 / (2 * V * (V + mixing^2))),   p = min(p before, 1 / L)
 *
 * p may be looked at after every row: the chance that it ever falls to alpha or below, when the means are equal, is at most alpha
 * (approximately, as the variances are estimated; so it is not looked at before each arm has `minimum` rows).
 */
#ifndef SL_WATCH_ARM_H
#define SL_WATCH_ARM_H

#include <stddef.h>

#include "learn/package.h"
#include "project/experiment.h"

enum { SL_ARM_BUCKETS = 32 * 8 };

struct sl_arm {
	int64_t requests, rows, errors; /* requests: answered by it; errors: those that another had to answer */
	int64_t latency[SL_ARM_BUCKETS]; /* logarithmic: 8 buckets for each power of two of microseconds */
	int64_t latency_sum_us;
	int64_t labelled;
	double sum[SL_MEASURES], square[SL_MEASURES]; /* of labelled rows; by measure */
};

void sl_arm_request(struct sl_arm *arm, size_t rows, uint32_t latency_us);
/* `outputs` of a row and its label (of classes, its number). Of no effect for a label that the task does not have. */
void sl_arm_label(struct sl_arm *arm, enum sl_task task, const float *outputs, size_t output_count, double label);
/* NAN while there is nothing to tell it by. Quantiles are the upper end of their bucket, so at most an eighth too high. */
double sl_arm_measure(const struct sl_arm *arm, enum sl_measure measure);

/* The p-value after the newest row, never above `before` (1 at first). */
double sl_arm_test(const struct sl_arm *a, const struct sl_arm *b, enum sl_measure metric, double mixing, double before);

/* The share of each of `count` arms, which add up to 1; none is below `floor`.
 * Thompson: the chance that the arm is the best, by draws (2,000, from `seed`) of each one's posterior Beta(1 + sum of rewards,
 * 1 + sum of 1 - rewards) (Thompson 1933; for rewards within [0, 1], Agrawal and Goyal, COLT 2012, in expectation). Epsilon-greedy: epsilon
 * is shared by all, the rest is for the best mean. The reward is the label, limited to [0, 1], or 1 - error_rate. */
void sl_arm_shares(const struct sl_arm *arms, size_t count, const struct sl_experiment *spec, uint64_t seed, double *ret_shares);

#endif

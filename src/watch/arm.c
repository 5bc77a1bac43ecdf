#include "watch/arm.h"

#include <math.h>

enum { DRAWS = 2000 };

/* ---- latency ---- */

static size_t bucket_of(uint32_t us)
{
	if (us < 8)
		return us;
	unsigned power = 31 - (unsigned)__builtin_clz(us);
	return (power - 2) * 8 + ((us >> (power - 3)) & 7);
}

static double bucket_end_us(size_t bucket)
{
	if (bucket < 8)
		return (double)bucket;
	return ldexp((double)(8 + bucket % 8 + 1), (int)(bucket / 8) - 1);
}

static double quantile_ms(const struct sl_arm *arm, double q)
{
	int64_t want = (int64_t)ceil(q * (double)arm->requests), have = 0;
	for (size_t i = 0; i < SL_ARM_BUCKETS; i++)
		if ((have += arm->latency[i]) >= want && have)
			return bucket_end_us(i) / 1000;
	return NAN;
}

void sl_arm_request(struct sl_arm *arm, size_t rows, uint32_t latency_us)
{
	arm->requests++;
	arm->rows += (int64_t)rows;
	arm->latency[bucket_of(latency_us)]++;
	arm->latency_sum_us += latency_us;
}

/* ---- labels ---- */

static void add(struct sl_arm *arm, enum sl_measure measure, double value)
{
	arm->sum[measure] += value;
	arm->square[measure] += value * value;
}

static void add_class(struct sl_arm *arm, const float *outputs, size_t count, double label)
{
	const double least = 1e-15;
	size_t best = 0;
	double brier = 0, of_label;
	if (count == 1) {
		double p = (double)outputs[0];
		best = p >= 0.5;
		of_label = label > 0 ? p : 1 - p;
		brier = (p - label) * (p - label);
	} else {
		for (size_t i = 0; i < count; i++) {
			double off = (double)outputs[i] - (i == (size_t)label);
			brier += off * off;
			best = outputs[i] > outputs[best] ? i : best;
		}
		of_label = (double)outputs[(size_t)label];
	}
	add(arm, SL_MEASURE_LOG_LOSS, -log(of_label > least ? of_label : least));
	add(arm, SL_MEASURE_BRIER, brier);
	add(arm, SL_MEASURE_ERROR_RATE, best == (size_t)label ? 0 : 1);
}

void sl_arm_label(struct sl_arm *arm, enum sl_task task, const float *outputs, size_t output_count, double label)
{
	double most = output_count == 1 ? 1 : (double)output_count - 1;
	bool is_class = label >= 0 && label <= most && label == floor(label);
	if (!isfinite(label))
		return;
	arm->labelled++;
	add(arm, SL_MEASURE_LABEL, label);
	if (task != SL_TASK_REGRESSION && is_class) {
		add_class(arm, outputs, output_count, label);
	} else if (task == SL_TASK_REGRESSION) {
		double off = (double)outputs[0] - label;
		add(arm, SL_MEASURE_SQUARED_ERROR, off * off);
		add(arm, SL_MEASURE_ABSOLUTE_ERROR, fabs(off));
	}
}

double sl_arm_measure(const struct sl_arm *arm, enum sl_measure measure)
{
	int64_t asked = arm->requests + arm->errors;
	switch (measure) {
	case SL_MEASURE_ERRORS: return asked ? (double)arm->errors / (double)asked : NAN;
	case SL_MEASURE_MEAN_MS: return arm->requests ? (double)arm->latency_sum_us / (double)arm->requests / 1000 : NAN;
	case SL_MEASURE_P50_MS: return quantile_ms(arm, 0.5);
	case SL_MEASURE_P99_MS: return quantile_ms(arm, 0.99);
	default: return arm->labelled ? arm->sum[measure] / (double)arm->labelled : NAN;
	}
}

/* ---- the sequential test ---- */

/* Of the mean: the sample variance over n. */
static double variance_of_mean(const struct sl_arm *arm, enum sl_measure metric)
{
	double n = (double)arm->labelled, mean = arm->sum[metric] / n;
	double variance = (arm->square[metric] - n * mean * mean) / (n - 1);
	return (variance > 0 ? variance : 0) / n;
}

double sl_arm_test(const struct sl_arm *a, const struct sl_arm *b, enum sl_measure metric, double mixing, double before)
{
	if (a->labelled < 2 || b->labelled < 2)
		return before;
	double v = variance_of_mean(a, metric) + variance_of_mean(b, metric), tau = mixing * mixing;
	double off = sl_arm_measure(a, metric) - sl_arm_measure(b, metric);
	if (v <= 0)
		return before; /* nothing varies yet: there is no scale to tell a difference by */
	double log_ratio = 0.5 * log(v / (v + tau)) + tau * off * off / (2 * v * (v + tau));
	double p = exp(-log_ratio);
	return p < before ? p : before;
}

/* ---- bandits ---- */

static uint64_t next_bits(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static double uniform(uint64_t *state) { return ((double)(next_bits(state) >> 11) + 0.5) * 0x1p-53; }

static double normal(uint64_t *state) /* Box and Muller */
{
	double r = sqrt(-2 * log(uniform(state)));
	return r * cos(6.283185307179586 * uniform(state));
}

/* Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", 2000; shape at least 1. */
static double gamma_draw(double shape, uint64_t *state)
{
	double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
	for (;;) {
		double x = normal(state), v = 1 + c * x;
		if (v <= 0)
			continue;
		v = v * v * v;
		if (log(uniform(state)) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v;
	}
}

/* Sum of rewards, each within [0, 1]; *ret_n of how many. */
static double rewards(const struct sl_arm *arm, enum sl_measure metric, double *ret_n)
{
	double n = (double)arm->labelled, sum = metric == SL_MEASURE_LABEL ? arm->sum[metric] : n - arm->sum[metric];
	*ret_n = n;
	return sum < 0 ? 0 : sum > n ? n : sum;
}

static void by_thompson(const struct sl_arm *arms, size_t count, enum sl_measure metric, uint64_t seed, double *shares)
{
	uint64_t state = seed;
	for (int draw = 0; draw < DRAWS; draw++) {
		size_t best = 0;
		double most = -1, n;
		for (size_t i = 0; i < count; i++) {
			double sum = rewards(&arms[i], metric, &n);
			double x = gamma_draw(1 + sum, &state), y = gamma_draw(1 + n - sum, &state);
			if (x / (x + y) > most) {
				most = x / (x + y);
				best = i;
			}
		}
		shares[best] += 1.0 / DRAWS;
	}
}

static void by_epsilon(const struct sl_arm *arms, size_t count, enum sl_measure metric, double epsilon, double *shares)
{
	size_t best = 0;
	double most = -1, n;
	for (size_t i = 0; i < count; i++) {
		double sum = rewards(&arms[i], metric, &n), mean = n > 0 ? sum / n : 0;
		shares[i] = epsilon / (double)count;
		if (mean > most) {
			most = mean;
			best = i;
		}
	}
	shares[best] += 1 - epsilon;
}

void sl_arm_shares(const struct sl_arm *arms, size_t count, const struct sl_experiment *spec, uint64_t seed, double *ret_shares)
{
	for (size_t i = 0; i < count; i++)
		ret_shares[i] = 0;
	if (spec->thompson)
		by_thompson(arms, count, spec->metric, seed, ret_shares);
	else
		by_epsilon(arms, count, spec->metric, spec->epsilon, ret_shares);
	for (size_t i = 0; i < count; i++)
		ret_shares[i] = spec->floor + ret_shares[i] * (1 - spec->floor * (double)count);
}

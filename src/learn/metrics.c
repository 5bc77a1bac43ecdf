#include "learn/metrics.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "learn/sort.h"

const char *const sl_metric_names[] = {
	"auc",
	"log_loss",
	"brier",
	"calibration_gap",
	"calibration_bias",
	"ece_10",
	"ece_15",
	"accuracy",
	"precision",
	"recall",
	"f1",
	"macro_f1",
	"rmse",
	"mae",
	"r2",
	"observed",
	"predicted",
	"rows",
	"tp",
	"fp",
	"tn",
	"fn",
	NULL,
};

double sl_scores_get(const struct sl_scores *scores, const char *name)
{
	for (size_t i = 0; i < scores->count; i++)
		if (sl_str_eq(scores->items[i].name, name))
			return scores->items[i].value;
	return NAN;
}

void sl_scores_add(struct sl_scores *scores, const char *name, double value)
{
	if (scores->count < SL_SCORES_MAX)
		scores->items[scores->count++] = (struct sl_score){name, value};
}

static double weight_at(const float *weights, size_t i) { return weights ? (double)weights[i] : 1; }

/* ---- AUC ---- */

/* Walks groups of equal predictions upwards; within a group a pair counts one half. */
static double auc_of_sorted(const struct sl_sort_item *items, const float *labels, const float *weights, size_t count)
{
	double below = 0, positives = 0, area = 0;
	for (size_t i = 0; i < count;) {
		double up = 0, down = 0;
		uint32_t key = items[i].key;
		for (; i < count && items[i].key == key; i++) {
			double w = weight_at(weights, items[i].value);
			if (labels[items[i].value] > 0)
				up += w;
			else
				down += w;
		}
		area += up * (below + down / 2);
		below += down;
		positives += up;
	}
	return positives > 0 && below > 0 ? area / (positives * below) : NAN;
}

int sl_auc(const float *predicted, const float *labels, const float *weights, size_t count, double *ret, struct sl_error *err)
{
	*ret = NAN;
	if (count > UINT32_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "AUC of more than %u rows", UINT32_MAX);
	SL_AUTO_FREE struct sl_sort_item *items = sl_alloc_array(count * 2 + 1, sizeof *items, err);
	if (!items)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		items[i] = (struct sl_sort_item){sl_sort_key(predicted[i]), (uint32_t)i};
	sl_sort(items, items + count, count);
	*ret = auc_of_sorted(items + count, labels, weights, count);
	return 0;
}

/* ---- binary ---- */

double sl_ece(const float *predicted, const float *labels, const float *weights, size_t count, int bins)
{
	enum { MAX = 100 };
	double sum_p[MAX] = {0}, sum_y[MAX] = {0}, all = 0, ece = 0;
	if (bins < 1 || bins > MAX)
		return NAN;
	for (size_t i = 0; i < count; i++) {
		double w = weight_at(weights, i), p = (double)predicted[i];
		int bin = p > 0 ? (int)(p * bins) : 0;
		bin = bin < bins ? bin : bins - 1;
		sum_p[bin] += w * p;
		sum_y[bin] += w * (double)labels[i];
		all += w;
	}
	for (int b = 0; b < bins; b++)
		ece += fabs(sum_p[b] - sum_y[b]);
	return all > 0 ? ece / all : NAN;
}

/* Probabilities of exactly 0 and 1 would cost infinity; float32 cannot come nearer to 1 than 6e-8. */
static double log_of(double p)
{
	const double least = 1e-15;
	return log(p < least ? least : p);
}

struct binary_sums {
	double all, predicted, observed, log_loss, brier, tp, fp, tn, fn;
};

static struct binary_sums sum_binary(const float *predicted, const float *labels, const float *weights, size_t count,
				     double threshold)
{
	struct binary_sums s = {0};
	for (size_t i = 0; i < count; i++) {
		double w = weight_at(weights, i), p = (double)predicted[i], y = (double)labels[i];
		bool yes = y > 0, said = p >= threshold;
		s.all += w;
		s.predicted += w * p;
		s.observed += w * y;
		s.log_loss -= w * log_of(yes ? p : 1 - p);
		s.brier += w * (p - y) * (p - y);
		*(yes ? said ? &s.tp : &s.fn : said ? &s.fp : &s.tn) += w;
	}
	return s;
}

static double ratio(double part, double whole) { return whole > 0 ? part / whole : NAN; }

int sl_metrics_binary(const float *predicted, const float *labels, const float *weights, size_t count, double threshold,
		      struct sl_scores *ret, struct sl_error *err)
{
	double auc;
	int rc = sl_auc(predicted, labels, weights, count, &auc, err);
	if (rc)
		return rc;
	struct binary_sums s = sum_binary(predicted, labels, weights, count, threshold);
	double bias = ratio(s.predicted, s.all) - ratio(s.observed, s.all);
	ret->count = 0;
	sl_scores_add(ret, "auc", auc);
	sl_scores_add(ret, "log_loss", ratio(s.log_loss, s.all));
	sl_scores_add(ret, "brier", ratio(s.brier, s.all));
	sl_scores_add(ret, "calibration_gap", fabs(bias));
	sl_scores_add(ret, "calibration_bias", bias);
	sl_scores_add(ret, "ece_10", sl_ece(predicted, labels, weights, count, 10));
	sl_scores_add(ret, "ece_15", sl_ece(predicted, labels, weights, count, 15));
	sl_scores_add(ret, "accuracy", ratio(s.tp + s.tn, s.all));
	sl_scores_add(ret, "precision", ratio(s.tp, s.tp + s.fp));
	sl_scores_add(ret, "recall", ratio(s.tp, s.tp + s.fn));
	sl_scores_add(ret, "f1", ratio(2 * s.tp, 2 * s.tp + s.fp + s.fn));
	sl_scores_add(ret, "observed", ratio(s.observed, s.all));
	sl_scores_add(ret, "predicted", ratio(s.predicted, s.all));
	sl_scores_add(ret, "tp", s.tp);
	sl_scores_add(ret, "fp", s.fp);
	sl_scores_add(ret, "tn", s.tn);
	sl_scores_add(ret, "fn", s.fn);
	sl_scores_add(ret, "rows", (double)count);
	return 0;
}

/* ---- multiclass ---- */

static size_t greatest(const float *values, size_t count)
{
	size_t best = 0;
	for (size_t i = 1; i < count; i++)
		if (values[i] > values[best])
			best = i;
	return best;
}

/* Mean F1 over the classes that occur, as label or as prediction. */
static double macro_f1(const double *confusion, size_t classes)
{
	double sum = 0;
	size_t present = 0;
	for (size_t k = 0; k < classes; k++) {
		double labelled = 0, said = 0;
		for (size_t j = 0; j < classes; j++) {
			labelled += confusion[k * classes + j];
			said += confusion[j * classes + k];
		}
		if (labelled + said > 0) {
			sum += 2 * confusion[k * classes + k] / (labelled + said);
			present++;
		}
	}
	return present ? sum / (double)present : NAN;
}

int sl_metrics_multiclass(const float *predicted, const float *labels, const float *weights, size_t count, size_t classes,
			  double *confusion, struct sl_scores *ret, struct sl_error *err)
{
	SL_AUTO_FREE double *own = confusion ? NULL : sl_alloc_array(classes * classes, sizeof *own, err);
	double *table = confusion ? confusion : own, all = 0, right = 0, log_loss = 0;
	if (!table)
		return SL_E_NO_MEMORY;
	memset(table, 0, classes * classes * sizeof *table);
	for (size_t i = 0; i < count; i++) {
		size_t label = (size_t)labels[i], said = greatest(predicted + i * classes, classes);
		double w = weight_at(weights, i);
		if (label >= classes)
			return sl_fail(err, SL_E_INVALID, "label %zu is beyond the %zu classes", label, classes);
		all += w;
		right += label == said ? w : 0;
		log_loss -= w * log_of((double)predicted[i * classes + label]);
		table[label * classes + said] += w;
	}
	ret->count = 0;
	sl_scores_add(ret, "log_loss", ratio(log_loss, all));
	sl_scores_add(ret, "accuracy", ratio(right, all));
	sl_scores_add(ret, "macro_f1", macro_f1(table, classes));
	sl_scores_add(ret, "rows", (double)count);
	return 0;
}

/* ---- regression ---- */

int sl_metrics_regression(const float *predicted, const float *labels, const float *weights, size_t count, struct sl_scores *ret,
			  struct sl_error *err)
{
	double all = 0, sum_y = 0, sum_p = 0, squares = 0, absolutes = 0, spread = 0;
	(void)err;
	for (size_t i = 0; i < count; i++) {
		double w = weight_at(weights, i), e = (double)predicted[i] - (double)labels[i];
		all += w;
		sum_y += w * (double)labels[i];
		sum_p += w * (double)predicted[i];
		squares += w * e * e;
		absolutes += w * fabs(e);
	}
	/* A second pass: the spread around the mean must not be the difference of two large sums. */
	for (size_t i = 0; i < count; i++) {
		double d = (double)labels[i] - sum_y / all;
		spread += weight_at(weights, i) * d * d;
	}
	double bias = ratio(sum_p, all) - ratio(sum_y, all);
	ret->count = 0;
	sl_scores_add(ret, "rmse", sqrt(ratio(squares, all)));
	sl_scores_add(ret, "mae", ratio(absolutes, all));
	sl_scores_add(ret, "r2", spread > 0 ? 1 - squares / spread : NAN);
	sl_scores_add(ret, "calibration_gap", fabs(bias));
	sl_scores_add(ret, "calibration_bias", bias);
	sl_scores_add(ret, "observed", ratio(sum_y, all));
	sl_scores_add(ret, "predicted", ratio(sum_p, all));
	sl_scores_add(ret, "rows", (double)count);
	return 0;
}

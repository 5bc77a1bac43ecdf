/* How good a binary model's probabilities turned out to be, where a side has them beside labels: what watch/statistic.h measures, and their
 * calibration bin by bin. */
#ifndef SL_WATCH_DRIFT_QUALITY_H
#define SL_WATCH_DRIFT_QUALITY_H

#include "watch/statistic.h"

enum { SL_RELIABILITY_BINS = 10 }; /* of the probability, equally wide; the last with 1 */

struct sl_reliability_bin { double rows, predicted, observed; }; /* the last two are sums */
struct sl_drift_quality {
	struct sl_quality sums;
	struct sl_reliability_bin bins[SL_RELIABILITY_BINS];
};
void sl_drift_quality_free(struct sl_drift_quality *quality); /* NULL is fine */
/* `y` is 0 or 1, `p` from 0 to 1; other rows (NaN among them) do not count. False: no memory. */
bool sl_drift_quality_add(struct sl_drift_quality *quality, double p, double y);
/* Names of what is told, NULL behind the last: "predicted", "observed", "ece_10" (docs/training.md), and those of sl_quality_statistic. */
extern const char *const sl_drift_quality_names[];
/* NaN where it has no meaning: no row, or one class. */
double sl_drift_quality_measure(const struct sl_drift_quality *quality, const char *name);

#endif

/* Inside watch/: one column of a comparison. */
#ifndef SL_WATCH_DRIFT_COLUMN_H
#define SL_WATCH_DRIFT_COLUMN_H

#include "watch/drift.h"

/* The reference is a distribution, or (distribution NULL) a model's statistics of the column with its feature; the feature is NULL
 * for an answer. */
struct sl_drift_pair {
	const struct sl_distribution *reference, *current;
	const struct sl_reference_column *statistics;
	const struct sl_feature *feature;
	bool plain; /* statistics alone: bins and histogram are not wanted (segments) */
};
/* No value and no p. */
void sl_drift_blank(struct sl_drift_column *column);
/* Fills sides, values, p and bins; name, kind and role are set already, the rest is blank. 0 or SL_E_NO_MEMORY. */
int sl_drift_measure(const struct sl_drift_pair *pair, struct sl_arena *arena, struct sl_drift_column *ret);

#endif

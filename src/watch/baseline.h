/* Another reference than training's: the profile of a dataset version takes the place of a model's statistics, feature by feature. */
#ifndef SL_WATCH_BASELINE_H
#define SL_WATCH_BASELINE_H

#include "track/store.h"
#include "watch/pane.h"

/* `dataset`: NAME or NAME@VERSION, looked up now. Features that the dataset has as columns of a fitting kind are compared with its
 * rows from then on: numbers in bins cut at its deciles, texts by its 20 most frequent values and the rest as one. Others, and the
 * answers, keep training's. SL_E_NOT_FOUND: no such version, or no profile is kept with it. */
int sl_baseline_take(struct sl_store *store, const char *dataset, struct sl_watched_model *model, struct sl_error *err);

#endif

/* The part of /metrics that the role infer counts (serve/stats.h). */
#ifndef SL_API_METRICS_SERVING_H
#define SL_API_METRICS_SERVING_H

#include "base/buf.h"
#include "serve/stats.h"
#include "track/store.h"

void sl_metrics_serving(const struct sl_stats_file *file, struct sl_buf *out);
/* How far each prediction log reaches, and how far each monitor has read: their difference is the lag. */
int sl_metrics_logs(struct sl_store *store, const struct sl_stats_file *file, struct sl_buf *out, struct sl_error *err);

#endif

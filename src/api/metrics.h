/* /metrics: Prometheus text format 0.0.4. */
#ifndef SL_API_METRICS_H
#define SL_API_METRICS_H

#include "base/buf.h"
#include "net/http_server.h"
#include "track/store.h"

#define SL_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Names, labels and values of what is known; cost grows with models and monitors, not with history. */
int sl_metrics_write(struct sl_store *store, const struct sl_http_stats *stats, struct sl_buf *out, struct sl_error *err);

#endif

/* /metrics: Prometheus text format 0.0.4. */
#ifndef SL_API_METRICS_H
#define SL_API_METRICS_H

#include "base/buf.h"
#include "net/http_server.h"
#include "track/store.h"

#define SL_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Every role's figures in one scrape: this role's, and the role infer's out of serve/stats.h.
 * Names, labels and values of what is known; cost grows with models and monitors, not with history. */
int sl_metrics_write(struct sl_store *store, const struct sl_http_stats *stats, struct sl_buf *out, struct sl_error *err);

/* The two lines before the values of a name. */
void sl_metrics_head(struct sl_buf *out, const char *name, const char *type, const char *help);
/* name="value", escaped. */
void sl_metrics_label(struct sl_buf *out, const char *name, const char *value);

#endif

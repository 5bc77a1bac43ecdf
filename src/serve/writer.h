/* Writing an endpoint's prediction log: hash and drop rules, splitting, the stream. */
#ifndef SL_SERVE_WRITER_H
#define SL_SERVE_WRITER_H

#include "serve/log.h"
#include "serve/predict.h"

struct sl_predlog;

/* SL_E_BUSY when another process writes it. */
int sl_predlog_open(struct sl_store *store, const struct sl_endpoint *endpoint, struct sl_predlog **ret, struct sl_error *err);
void sl_predlog_close(struct sl_predlog *log);
/* Logs an answered request: it survives SIGKILL when this returns 0, and power loss after the next sl_predlog_maintain. */
int sl_predlog_append(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_id *id, const int64_t *times_ms,
		      uint32_t latency_us,
		      struct sl_error *err);
/* The same of a copy that a shadow has seen: `of` is the prediction that was answered. */
int sl_predlog_append_shadow(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_id *id, const int64_t *times_ms,
			     uint32_t latency_us, const struct sl_id *of, struct sl_error *err);

/* What waits for the disk: sync, sealing (a ledger entry "stream.seal" each), retention; for the log of every endpoint. Called
 * every second or so by one role that may wait, which is not the one that answers. */
int sl_predlog_maintain(struct sl_store *store, const struct sl_project *project, struct sl_error *err);

#endif

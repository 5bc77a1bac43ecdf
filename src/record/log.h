/* What is logged into a run: metrics, parameters, tags. */
#ifndef SL_RECORD_LOG_H
#define SL_RECORD_LOG_H

#include "record/run.h"

struct sl_rec_metric {
	const char *name;
	double value;          /* NaN is kept; infinities become the greatest finite numbers */
	int64_t time_ms, step;
	const char *model;     /* "" or the logged model that it belongs to, with the dataset that it was measured on */
	const char *dataset_name, *dataset_digest;
};

struct sl_rec_batch {
	const struct sl_rec_metric *metrics;
	const struct sl_pair *params, *tags;
	size_t metric_count, param_count, tag_count;
	bool single; /* one value by itself: errors name "name" and "key" instead of "metrics[0].name" */
};

/* All of it or an error. Limits: SL_REC_BATCH_*. A metric's point that is there already is no error and changes nothing; the
 * latest point is the greatest by (step, time, value). A parameter may be set once; the same value again is no error. The
 * arena is for what is in hand. `change` NULL: no entry of the ledger, for a caller whose own entry covers many batches. */
int sl_rec_log(struct sl_record *record, struct sl_rec_run *run, const struct sl_rec_batch *batch, const struct sl_change *change,
	struct sl_arena *arena, struct sl_error *err);
int sl_rec_delete_tag(struct sl_record *record, const struct sl_rec_run *run, const char *name, const struct sl_change *change,
	struct sl_error *err);
/* Only the row; for a writer of this room that has checked it. */
int sl_rec_put_tag(struct sl_record *record, int64_t run, const char *name, const char *value, struct sl_error *err);

#endif

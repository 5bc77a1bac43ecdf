/* Evaluation: a packaged model against labelled rows, as a whole and by slice. Needs no database. */
#ifndef SL_LEARN_EVALUATE_H
#define SL_LEARN_EVALUATE_H

#include "base/buf.h"
#include "base/error.h"
#include "learn/metrics.h"
#include "learn/package.h"
#include "port/sql.h"
#include "project/project.h"

enum { SL_SLICES_MAX = 1000 }; /* values per slice column; the rest are counted together as "(other)" */

struct sl_evaluate_request {
	const struct sl_package *package;
	const struct sl_infer *infer;	   /* its model, loaded */
	const struct sl_evaluate *spec;	   /* target "" = the package's; model is not looked at */
	const struct sl_sql_table *table;  /* the data; named spec->data */
	const struct sl_sql_param *params; /* for `where`; ones it does not use are fine */
	size_t param_count;
	int threads;
	uint64_t memory_bytes;
	const volatile int *cancel;					    /* may be NULL */
	void (*progress)(void *context, double fraction, const char *what); /* may be NULL */
	void *context;
};

/* *ret gets the scores over all rows. `json` (may be NULL) gets one object (docs/training.md):
 * {"rows","metrics":{},"confusion":[[]],"calibration":[
 * {"from","to","rows","predicted","observed"}],"slices":[{"column","value","rows","metrics":{}}]}. Rows without a label are left
 * out and counted
 * ("unlabelled"). SL_E_FAILED when no labelled row is left. */
int sl_learn_evaluate(const struct sl_evaluate_request *request, struct sl_scores *ret, struct sl_buf *json,
		      struct sl_error *err);

#endif

/* From a window's counts to its verdict: statistics against bars, and the evidence as JSON. No I/O. */
#ifndef SL_WATCH_VERDICT_H
#define SL_WATCH_VERDICT_H

#include "base/json.h"
#include "project/project.h"
#include "watch/monitor.h"
#include "watch/pane.h"

struct sl_verdict_input {
	const struct sl_monitor *monitor;
	const struct sl_pane *window;
	const struct sl_watched_model *model; /* the newest that answered in the window; NULL when nothing did */
	int64_t from_ms, to_ms;
	uint64_t late_rows, future_rows, unlabelled, waiting;
};
/* *ret_level and *ret:
 * {"from","to","rows","level","versions":{},"statistics":[{"name","column","value","level","warn","alarm","min"}],"note"};
 * values live in `doc`. The statistics that breach stand first, the worst first. */
int sl_verdict(const struct sl_verdict_input *input, yyjson_mut_doc *doc, yyjson_mut_val **ret, enum sl_level *ret_level,
		struct sl_error *err);

#endif

/* Panes: what happened in one slide of event time, as counts that add up. A window is the sum of its panes.
 *
 *   pane 1d | pane 1d | pane 1d | ...        window 7d, every 1d: the last seven panes
 *
 * Input counts are kept per watched model, since each model brings its own bins (its reference statistics). Memory of a pane
 * is bounded by the models' bins, whatever the number of rows.
 */
#ifndef SL_WATCH_PANE_H
#define SL_WATCH_PANE_H

#include "learn/package.h"
#include "learn/reference.h"
#include "watch/estimate.h"
#include "watch/statistic.h"

enum { SL_PANE_VERSIONS_MAX = 16 };

/* A model as monitors see it: its package, its reference, and where each column's counts lie in a pane.
 * Columns 0 .. feature_count-1 are features, then one per output. A column of b bins has b + 3 counters: bins, missing,
 * unseen, out of range. */
struct sl_watched_model {
	struct sl_arena *arena;
	struct sl_package package;
	struct sl_reference reference;
	int64_t version;
	size_t column_count, counter_count;
	size_t *first;               /* column -> its first counter */
	uint64_t *rest;              /* per feature: reference rows whose value is none that its counts know (watch/baseline.h); NULL: none */
};
int sl_watched_model_load(struct sl_objects *objects, const struct sl_hash *package, int64_t version,
		struct sl_watched_model **ret, struct sl_error *err);
/* Lays the counters out anew, after the reference was exchanged and before anything is counted. */
int sl_watched_model_index(struct sl_watched_model *model, struct sl_error *err);
void sl_watched_model_free(struct sl_watched_model *model);
const struct sl_reference_column *sl_watched_column(const struct sl_watched_model *model, size_t column);
/* The features' index by name, or -1. */
int sl_watched_feature(const struct sl_watched_model *model, const char *name, size_t name_len);

struct sl_pane_inputs {
	struct sl_pane_inputs *next;
	const struct sl_watched_model *model; /* outlives the pane */
	const char *segment;                  /* NULL: all rows; else the watch's own text, which outlives the pane */
	uint64_t rows;
	uint64_t counters[];
};
struct sl_pane {
	int64_t start_ms;
	uint64_t rows;
	struct { int64_t version; uint64_t rows; } versions[SL_PANE_VERSIONS_MAX]; /* later versions are counted in the last one */
	struct sl_pane_inputs *inputs;
	struct sl_quality quality;
	struct sl_estimate estimate;
};
void sl_pane_done(struct sl_pane *pane);
/* Counts `rows` rows answered by `version`. */
void sl_pane_count(struct sl_pane *pane, int64_t version, uint64_t rows);
/* The pane's counters of `model` and a segment (compared by address), made when missing; NULL when memory is out. */
struct sl_pane_inputs *sl_pane_inputs(struct sl_pane *pane, const struct sl_watched_model *model, const char *segment);
/* One value of one column as the model's encoding made it; NaN = missing, or a category that training did not have when
 * `unseen`. */
void sl_pane_value(struct sl_pane_inputs *inputs, size_t column, float value, bool unseen);
/* into += from; false when memory is out (into may then hold a part). */
bool sl_pane_merge(struct sl_pane *into, const struct sl_pane *from);

/* A statistic of docs/monitors.md of one column against the model's reference; NaN when there are no rows or it has no meaning. */
double sl_pane_input_statistic(const struct sl_pane_inputs *inputs, size_t column, const char *name);

#endif

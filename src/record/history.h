/* Reading what was logged: a run's latest values, and the history of a metric. */
#ifndef SL_RECORD_HISTORY_H
#define SL_RECORD_HISTORY_H

#include "record/run.h"

/* Names and values, in order of the name; texts live during the call. A negative answer of `each` ends it and is returned. */
typedef int sl_rec_pair_fn(void *context, const char *name, const char *value);
int sl_rec_params(struct sl_record *record, int64_t run, sl_rec_pair_fn *each, void *context, struct sl_error *err);
int sl_rec_tags(struct sl_record *record, int64_t run, sl_rec_pair_fn *each, void *context, struct sl_error *err);

struct sl_rec_point { const char *name; int64_t time_ms, step; double value; }; /* value may be NaN */
typedef int sl_rec_point_fn(void *context, const struct sl_rec_point *point);
/* The latest point of each metric of a run. */
int sl_rec_latest(struct sl_record *record, int64_t run, sl_rec_point_fn *each, void *context, struct sl_error *err);

/* A place in a history: behind this point. All zero with `set` false: the beginning. */
struct sl_rec_cursor { bool set; int64_t time_ms, step; double value; };
/* The series of a run's metric; *ret 0: there is none. */
int sl_rec_series(struct sl_record *record, int64_t run, const char *name, int64_t *ret, struct sl_error *err);
/* At most `max` points behind the cursor, in the order time, step, value; the cursor moves along. Returns how many, or negative.
 * Costs as many rows as it gives, wherever it begins. */
int64_t sl_rec_history(struct sl_record *record, int64_t series, const char *name, struct sl_rec_cursor *cursor, int64_t max,
	sl_rec_point_fn *each, void *context, struct sl_error *err);

/* An evenly spaced sample of at most `max` points, in the order step, time, value: as MLflow takes it, the first of each of `max`
 * buckets, and the last point of all in any case. Reads the series once (twice when steps and times run apart). */
struct sl_rec_range { bool set; int64_t first, last; }; /* of steps */
int sl_rec_sample(struct sl_record *record, int64_t series, const char *name, const struct sl_rec_range *range, int64_t max,
	struct sl_arena *arena, sl_rec_point_fn *each, void *context, struct sl_error *err);

#endif

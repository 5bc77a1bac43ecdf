/* The windows of one monitor: panes in order of event time, which of them the next window sums, and when it closes. No I/O. */
#ifndef SL_WATCH_WINDOW_H
#define SL_WATCH_WINDOW_H

#include "watch/pane.h"

/* A row from further ahead than a day has a wrong clock: it must not close everybody's windows. */
#define SL_FUTURE_MS INT64_C(86400000)

struct sl_windows {
	int64_t window_ms, every_ms, lateness_ms;
	int64_t next_end_ms;        /* end of the next window to close; INT64_MIN before the first row */
	int64_t watermark_ms;       /* INT64_MIN before the first */
	struct sl_pane *panes;      /* sorted by start */
	int64_t *prediction_offsets, *label_offsets; /* beside panes: where to read again to rebuild this pane */
	size_t count, capacity;
	uint64_t late_rows, future_rows;
};

void sl_windows_init(struct sl_windows *windows, int64_t window_ms, int64_t every_ms, int64_t lateness_ms);
void sl_windows_done(struct sl_windows *windows);
/* The pane of `time_ms`, made when missing with the two offsets; NULL with *ret_why 0 = too late (counted), 1 = too far in the
 * future (counted), negative = memory or too many panes. */
struct sl_pane *sl_windows_pane(struct sl_windows *windows, int64_t time_ms, int64_t now_ms, int64_t prediction_offset,
		int64_t label_offset, int *ret_why);
/* The pane that holds `time_ms` if it is still open, else NULL. */
struct sl_pane *sl_windows_find(struct sl_windows *windows, int64_t time_ms);
void sl_windows_advance(struct sl_windows *windows, int64_t time_ms);
/* Whether the next window is due; empty stretches are skipped, so that a long silence costs nothing. */
bool sl_windows_due(struct sl_windows *windows);
/* Sums the due window into *ret (sl_pane_done it). false when memory is out. */
bool sl_windows_sum(const struct sl_windows *windows, struct sl_pane *ret);
/* After the window was committed: on to the next; panes that no window needs any more go. */
void sl_windows_next(struct sl_windows *windows);
/* Where reading must start again to rebuild the open panes; the fallbacks when there is none. */
void sl_windows_resume_at(const struct sl_windows *windows, int64_t *prediction_offset, int64_t *label_offset);

#endif

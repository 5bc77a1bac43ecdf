/* One monitor at work: it follows its endpoint's prediction log (and label set), fills panes, closes windows in event time,
 * decides levels, and commits each window with its evidence, event and ledger entry in one transaction. docs/monitors.md has
 * the definitions.
 *
 * Restart: the committed state says from where to read again, so that no window is lost or closed twice. */
#ifndef SL_WATCH_MONITOR_H
#define SL_WATCH_MONITOR_H

#include "project/project.h"
#include "serve/log.h"
#include "track/store.h"
#include "watch/join.h"

enum sl_level { SL_LEVEL_OK, SL_LEVEL_WARN, SL_LEVEL_ALARM };
const char *sl_level_name(enum sl_level level); /* "ok", "warn", "alarm" */

enum { SL_MONITOR_ROWS_MIN = 200, SL_PANES_MAX = 4096, SL_MONITOR_SEGMENTS_MAX = 32 };

/* What a label of this row would come by: the value of the endpoint's key column, else "<prediction id>#<row>". */
void sl_monitor_key(const struct sl_prediction *p, size_t row, struct sl_join_key *ret);

struct sl_monitor_watch;
/* `project` must outlive it. SL_E_INVALID when window is no multiple of every, or needs more than SL_PANES_MAX panes. */
int sl_monitor_open(struct sl_store *store, const struct sl_project *project, const struct sl_monitor *monitor,
		struct sl_monitor_watch **ret, struct sl_error *err);
void sl_monitor_close(struct sl_monitor_watch *watch);

/* Reads what is new, at most about `max_bytes`. 1: there may be more, 0: all caught up, negative: an error, after which
 * what the watch counted may be ahead of what is saved: close it, and open it again to go on from there. */
int sl_monitor_tick(struct sl_monitor_watch *watch, size_t max_bytes, struct sl_error *err);

#endif

/* Events: what triggers listen to. Kinds and subjects:
 *   monitor.ok, monitor.warn, monitor.alarm   the monitor      (its level changed)
 *   data                                      the dataset      (written by sl_dataset_commit)
 *   cron                                      the trigger      (its time came)
 *   call                                      the trigger      (somebody asked)
 */
#ifndef SL_WATCH_EVENT_H
#define SL_WATCH_EVENT_H

#include "track/run.h"

struct sl_event {
	int64_t seq;
	const char *kind, *subject;
	int64_t from_ms, to_ms;   /* the window it speaks of; 0, 0: none */
	const char *detail;       /* JSON object */
};
/* The event and its ledger entry, inside the caller's transaction, which also holds what the event tells of. `event->seq` is set
 * by the call (ret_seq may be NULL). */
int sl_event_add(struct sl_track *track, const struct sl_event *event, int64_t *ret_seq, struct sl_error *err);

#endif

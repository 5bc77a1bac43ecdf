/* All monitors and triggers of a project, as the worker role runs them. */
#ifndef SL_WATCH_WATCH_H
#define SL_WATCH_WATCH_H

#include "project/project.h"
#include "track/store.h"

struct sl_watch;
/* A monitor that cannot be opened is an error; all others keep working when one fails later. `project` must outlive it. */
int sl_watch_open(struct sl_store *store, const struct sl_project *project, struct sl_watch **ret, struct sl_error *err);
void sl_watch_close(struct sl_watch *watch);
/* One round over all monitors. 1: there is more to read at once, 0: all caught up. A failing monitor is logged once per message and tried again at the
 * next round. */
int sl_watch_tick(struct sl_watch *watch);

#endif

/* All monitors and triggers of a project, as the worker role runs them. */
#ifndef SL_WATCH_WATCHER_H
#define SL_WATCH_WATCHER_H

#include "project/project.h"
#include "track/store.h"

struct sl_watcher;
/* A monitor that cannot be opened is an error; all others keep working when one fails later. `project` must outlive it. */
int sl_watcher_open(struct sl_store *store, const struct sl_project *project, struct sl_watcher **ret, struct sl_error *err);
void sl_watcher_close(struct sl_watcher *watch);
/* One round over all monitors. 1: there is more to read at once, 0: all caught up. A failing monitor is logged once per
 * message and opened again after 0.5 s, then ever later (30 s at most). */
int sl_watcher_tick(struct sl_watcher *watch);

#endif

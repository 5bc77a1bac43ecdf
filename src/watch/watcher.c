#include "watch/watcher.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "watch/monitor.h"

enum { TICK_BYTES = 8 << 20 };

struct watched {
	struct sl_monitor_watch *monitor;
	char last_error[256];
};

struct sl_watcher {
	const struct sl_project *project;
	struct watched *items;
	size_t count;
};

int sl_watcher_open(struct sl_store *store, const struct sl_project *project, struct sl_watcher **ret, struct sl_error *err)
{
	struct sl_watcher *watch = sl_alloc(sizeof *watch, err);
	if (!watch)
		return SL_E_NO_MEMORY;
	watch->project = project;
	watch->items = sl_alloc_array(project->monitor_count + 1, sizeof *watch->items, err);
	int rc = watch->items ? 0 : SL_E_NO_MEMORY;
	for (size_t i = 0; !rc && i < project->monitor_count; i++) {
		rc = sl_monitor_open(store, project, &project->monitors[i], &watch->items[i].monitor, err);
		watch->count += !rc;
	}
	if (rc)
		sl_watcher_close(watch);
	else
		*ret = watch;
	return rc;
}

void sl_watcher_close(struct sl_watcher *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->count; i++)
		sl_monitor_close(watch->items[i].monitor);
	sl_free(watch->items);
	sl_free(watch);
}

static int tick_one(struct watched *item, const char *name)
{
	struct sl_error err = {0};
	int rc = sl_monitor_tick(item->monitor, TICK_BYTES, &err);
	if (rc >= 0) {
		item->last_error[0] = 0;
		return rc;
	}
	if (strncmp(item->last_error, err.message, 200)) {
		sl_log(SL_LOG_ERROR, "monitor %s: %s%s%s", name, err.where, err.where[0] ? ": " : "", err.message);
		snprintf(item->last_error, sizeof item->last_error, "%.200s", err.message);
	}
	return 0;
}

int sl_watcher_tick(struct sl_watcher *watch)
{
	int more = 0;
	for (size_t i = 0; i < watch->count; i++)
		more |= tick_one(&watch->items[i], watch->project->monitors[i].name);
	return more;
}

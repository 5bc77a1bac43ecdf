#include "watch/watcher.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "watch/monitor.h"

enum { TICK_BYTES = 8 << 20, RETRY_MIN_MS = 500, RETRY_MAX_MS = 30000 };

struct watched {
	struct sl_monitor_watch *monitor; /* NULL: failed; it is opened again at retry_ns */
	int64_t retry_ns, wait_ms;
	char last_error[256];
};

struct sl_watcher {
	struct sl_store *store;
	const struct sl_project *project;
	struct watched *items;
	size_t count;
};

int sl_watcher_open(struct sl_store *store, const struct sl_project *project, struct sl_watcher **ret, struct sl_error *err)
{
	struct sl_watcher *watch = sl_alloc(sizeof *watch, err);
	if (!watch)
		return SL_E_NO_MEMORY;
	watch->store = store;
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

/* What the monitor has in memory may be ahead of what is durable (a window that could not be committed), so it is dropped: like
 * after a restart, the streams are read again from the saved offsets. Ever later, for what fails may fail for long. */
static void give_up(struct watched *item, const char *name, const struct sl_error *err)
{
	sl_monitor_close(item->monitor);
	item->monitor = NULL;
	item->wait_ms = item->wait_ms ? item->wait_ms * 2 : RETRY_MIN_MS;
	if (item->wait_ms > RETRY_MAX_MS)
		item->wait_ms = RETRY_MAX_MS;
	item->retry_ns = sl_monotonic_ns() + item->wait_ms * 1000000;
	if (strncmp(item->last_error, err->message, 200)) {
		sl_log(SL_LOG_ERROR, "monitor %s: %s%s%s", name, err->where, err->where[0] ? ": " : "", err->message);
		snprintf(item->last_error, sizeof item->last_error, "%.200s", err->message);
	}
}

static int tick_one(struct sl_watcher *watch, size_t i)
{
	struct watched *item = &watch->items[i];
	const struct sl_monitor *spec = &watch->project->monitors[i];
	struct sl_error err = {0};
	if (!item->monitor && sl_monotonic_ns() < item->retry_ns)
		return 0;
	int rc = item->monitor ? 0 : sl_monitor_open(watch->store, watch->project, spec, &item->monitor, &err);
	if (!rc)
		rc = sl_monitor_tick(item->monitor, TICK_BYTES, &err);
	if (rc < 0) {
		give_up(item, spec->name, &err);
		return 0;
	}
	item->wait_ms = 0;
	item->last_error[0] = 0;
	return rc;
}

int sl_watcher_tick(struct sl_watcher *watch)
{
	int more = 0;
	for (size_t i = 0; i < watch->count; i++)
		more |= tick_one(watch, i);
	return more;
}

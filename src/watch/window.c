#include "watch/window.h"

#include <string.h>

#include "base/mem.h"
#include "watch/monitor.h"

void sl_windows_init(struct sl_windows *windows, int64_t window_ms, int64_t every_ms, int64_t lateness_ms)
{
	*windows = (struct sl_windows){
		.window_ms = window_ms, .every_ms = every_ms, .lateness_ms = lateness_ms, .next_end_ms = INT64_MIN, .watermark_ms = INT64_MIN,
	};
}

void sl_windows_done(struct sl_windows *windows)
{
	for (size_t i = 0; i < windows->count; i++)
		sl_pane_done(&windows->panes[i]);
	sl_free(windows->panes);
	sl_free(windows->prediction_offsets);
	sl_free(windows->label_offsets);
	windows->panes = NULL;
	windows->count = windows->capacity = 0;
}

static int64_t pane_start(const struct sl_windows *windows, int64_t time_ms)
{
	int64_t rest = time_ms % windows->every_ms;
	return time_ms - rest - (rest < 0 ? windows->every_ms : 0);
}

/* Index of the first pane whose start is >= `start`. Traffic is near the end: search from there. */
static size_t find_place(const struct sl_windows *windows, int64_t start)
{
	size_t i = windows->count;
	while (i > 0 && windows->panes[i - 1].start_ms >= start)
		i--;
	return i;
}

struct sl_pane *sl_windows_find(struct sl_windows *windows, int64_t time_ms)
{
	int64_t start = pane_start(windows, time_ms);
	size_t i = find_place(windows, start);
	return i < windows->count && windows->panes[i].start_ms == start ? &windows->panes[i] : NULL;
}

static bool grow(struct sl_windows *windows)
{
	size_t capacity = windows->capacity ? windows->capacity * 2 : 16;
	struct sl_pane *panes = sl_realloc(windows->panes, capacity * sizeof *panes, NULL);
	if (panes)
		windows->panes = panes;
	int64_t *predictions = sl_realloc(windows->prediction_offsets, capacity * sizeof *predictions, NULL);
	if (predictions)
		windows->prediction_offsets = predictions;
	int64_t *labels = sl_realloc(windows->label_offsets, capacity * sizeof *labels, NULL);
	if (labels)
		windows->label_offsets = labels;
	if (!panes || !predictions || !labels)
		return false;
	windows->capacity = capacity;
	return true;
}

struct sl_pane *sl_windows_pane(struct sl_windows *windows, int64_t time_ms, int64_t now_ms, int64_t prediction_offset, int64_t label_offset, int *ret_why)
{
	int64_t start = pane_start(windows, time_ms);
	*ret_why = 0;
	if (time_ms > now_ms + SL_FUTURE_MS) {
		windows->future_rows++;
		*ret_why = 1;
		return NULL;
	}
	if (windows->next_end_ms == INT64_MIN)
		windows->next_end_ms = start + windows->window_ms;
	if (start < windows->next_end_ms - windows->window_ms) {
		windows->late_rows++;
		return NULL;
	}
	size_t i = find_place(windows, start);
	if (i < windows->count && windows->panes[i].start_ms == start)
		return &windows->panes[i];
	if (windows->count == SL_PANES_MAX || (windows->count == windows->capacity && !grow(windows))) {
		*ret_why = windows->count == SL_PANES_MAX ? SL_E_TOO_LARGE : SL_E_NO_MEMORY;
		return NULL;
	}
	size_t behind = windows->count - i;
	memmove(&windows->panes[i + 1], &windows->panes[i], behind * sizeof *windows->panes);
	memmove(&windows->prediction_offsets[i + 1], &windows->prediction_offsets[i], behind * sizeof(int64_t));
	memmove(&windows->label_offsets[i + 1], &windows->label_offsets[i], behind * sizeof(int64_t));
	windows->panes[i] = (struct sl_pane){.start_ms = start};
	windows->prediction_offsets[i] = prediction_offset;
	windows->label_offsets[i] = label_offset;
	windows->count++;
	return &windows->panes[i];
}

void sl_windows_advance(struct sl_windows *windows, int64_t time_ms)
{
	if (time_ms > windows->watermark_ms)
		windows->watermark_ms = time_ms;
}

bool sl_windows_due(struct sl_windows *windows)
{
	if (windows->next_end_ms == INT64_MIN || windows->watermark_ms == INT64_MIN)
		return false;
	/* Skip windows that hold no pane at all: go to the first that reaches the oldest pane. */
	if (windows->count && windows->panes[0].start_ms >= windows->next_end_ms)
		windows->next_end_ms = windows->panes[0].start_ms + windows->every_ms;
	return windows->count && windows->watermark_ms >= windows->next_end_ms + windows->lateness_ms;
}

bool sl_windows_sum(const struct sl_windows *windows, struct sl_pane *ret)
{
	int64_t from = windows->next_end_ms - windows->window_ms;
	*ret = (struct sl_pane){.start_ms = from};
	for (size_t i = 0; i < windows->count; i++) {
		const struct sl_pane *pane = &windows->panes[i];
		if (pane->start_ms >= from && pane->start_ms < windows->next_end_ms && !sl_pane_merge(ret, pane)) {
			sl_pane_done(ret);
			return false;
		}
	}
	return true;
}

void sl_windows_next(struct sl_windows *windows)
{
	windows->next_end_ms += windows->every_ms;
	int64_t oldest = windows->next_end_ms - windows->window_ms;
	size_t gone = 0;
	while (gone < windows->count && windows->panes[gone].start_ms < oldest)
		sl_pane_done(&windows->panes[gone++]);
	windows->count -= gone;
	if (!gone)
		return;
	memmove(windows->panes, windows->panes + gone, windows->count * sizeof *windows->panes);
	memmove(windows->prediction_offsets, windows->prediction_offsets + gone, windows->count * sizeof(int64_t));
	memmove(windows->label_offsets, windows->label_offsets + gone, windows->count * sizeof(int64_t));
}

void sl_windows_resume_at(const struct sl_windows *windows, int64_t *prediction_offset, int64_t *label_offset)
{
	for (size_t i = 0; i < windows->count; i++) {
		if (windows->prediction_offsets[i] < *prediction_offset)
			*prediction_offset = windows->prediction_offsets[i];
		if (windows->label_offsets[i] < *label_offset)
			*label_offset = windows->label_offsets[i];
	}
}

/* Triggers: from an event to a run. Each event is decided exactly once per trigger (table trigger_firing): fired, or skipped
 * with the reason (cool-down, one runs already). A firing runs `sluice run NAMES param=value ... --pin` as a child; what the
 * role was in the middle of when it died is started again, which repeats nothing, because a run does only what is missing.
 */
#ifndef SL_WATCH_TRIGGER_H
#define SL_WATCH_TRIGGER_H

#include "project/project.h"
#include "track/store.h"
#include "watch/event.h"

/* "name=value" for every `set` of the trigger: $event.from, $event.to (ISO times), $event.level, other text as it is. In
 * `arena`. SL_E_INVALID for an unknown $event member. */
int sl_trigger_overrides(const struct sl_trigger *trigger, const struct sl_event *event, struct sl_arena *arena,
		const char ***ret, size_t *ret_count, struct sl_error *err);

struct sl_firing {
	int64_t seq;
	const struct sl_trigger *trigger;
	const char **overrides;
	size_t override_count;
};
/* Decides about new events and due cron times; *ret gets at most `max` firings to start, in `arena`, already recorded as
 * "running". `active(context, name)` tells whether that trigger's child still runs. */
int sl_trigger_decide(struct sl_store *store, const struct sl_project *project, int64_t now_ms, bool (*active)(void *context,
		const char *name), void *context, struct sl_arena *arena, struct sl_firing *ret, size_t max, size_t *ret_count,
		struct sl_error *err);
/* Firings that were running when their process ended, to be started again. */
int sl_trigger_resume(struct sl_store *store, const struct sl_project *project, struct sl_arena *arena,
		struct sl_firing *ret, size_t max, size_t *ret_count, struct sl_error *err);
/* status: "done" or "failed", with the reason in words. */
int sl_trigger_end(struct sl_store *store, int64_t firing, const char *status, const char *reason, struct sl_error *err);
/* Somebody asks: an event for the trigger. SL_E_NOT_FOUND when the project has none of that name. */
int sl_trigger_call(struct sl_store *store, const struct sl_project *project, const char *name, int64_t *ret_event,
		struct sl_error *err);

#endif

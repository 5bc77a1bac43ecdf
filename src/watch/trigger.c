#include "watch/trigger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "ledger/rows.h"
#include "os/clock.h"
#include "watch/cron.h"

/* $event.x of a `set` as text, or NULL when there is no such member. */
static const char *event_member(const char *member, const struct sl_event *event, struct sl_arena *arena)
{
	char *text = sl_arena_alloc(arena, SL_TIME_TEXT);
	if (!text)
		return NULL;
	if (sl_str_eq(member, "from"))
		return sl_time_format(event->from_ms, text);
	if (sl_str_eq(member, "to"))
		return sl_time_format(event->to_ms, text);
	if (sl_str_eq(member, "subject"))
		return event->subject;
	if (sl_str_eq(member, "level")) {
		const char *dot = strchr(event->kind, '.');
		return dot ? dot + 1 : event->kind;
	}
	return NULL;
}

int sl_trigger_overrides(const struct sl_trigger *trigger, const struct sl_event *event, struct sl_arena *arena, const char ***ret, size_t *ret_count,
			 struct sl_error *err)
{
	const char **list = sl_arena_array(arena, trigger->set_count + 1, sizeof *list);
	if (!list)
		return sl_fail_memory(err);
	for (size_t i = 0; i < trigger->set_count; i++) {
		const char *value = trigger->sets[i].value;
		if (sl_str_starts(value, "$event.")) {
			value = event_member(value + 7, event, arena);
			if (!value) {
				sl_fail(err, SL_E_INVALID, "trigger '%s' sets '%s' from unknown '%s'", trigger->name, trigger->sets[i].param, trigger->sets[i].value);
				return sl_error_hint(err, "an event has from, to, subject and level");
			}
		}
		/* Times hold ':', which the override grammar takes only in quotes. */
		list[i] = sl_arena_printf(arena, strchr(value, ':') ? "%s='%s'" : "%s=%s", trigger->sets[i].param, value);
		if (!list[i])
			return sl_fail_memory(err);
	}
	*ret = list;
	*ret_count = trigger->set_count;
	return 0;
}

static bool listens(const struct sl_trigger *trigger, const char *kind, const char *subject)
{
	switch (trigger->kind) {
	case SL_TRIGGER_ALARM: {
		char wanted[32];
		snprintf(wanted, sizeof wanted, "monitor.%s", trigger->level);
		return sl_str_eq(kind, wanted) && sl_str_eq(subject, trigger->subject);
	}
	case SL_TRIGGER_DATA: return sl_str_eq(kind, "data") && sl_str_eq(subject, trigger->subject);
	case SL_TRIGGER_CRON: return (sl_str_eq(kind, "cron") || sl_str_eq(kind, "call")) && sl_str_eq(subject, trigger->name);
	case SL_TRIGGER_CALL: break;
	}
	return sl_str_eq(kind, "call") && sl_str_eq(subject, trigger->name);
}

/* The newest event that the trigger has looked at; kept apart from the firings, since most events concern nobody. */
static int read_position(struct sl_store *store, const char *trigger, int64_t *ret, struct sl_error *err)
{
	char name[SL_NAME_MAX + 32];
	snprintf(name, sizeof name, "trigger.%s.seen", trigger);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT value FROM setting WHERE name = ?1", "s", name);
	if (rc)
		return rc;
	rc = sl_stmt_step(stmt, err);
	*ret = 0;
	if (rc == 1)
		sl_str_int(sl_stmt_text(stmt, 0), ret);
	return rc < 0 ? rc : 0;
}

static int write_position(struct sl_store *store, const char *trigger, int64_t seen, struct sl_error *err)
{
	char name[SL_NAME_MAX + 32], value[24];
	snprintf(name, sizeof name, "trigger.%s.seen", trigger);
	snprintf(value, sizeof value, "%" PRId64, seen);
	int64_t n = sl_meta_exec(store->meta, err, "INSERT INTO setting(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
				 "ss", name, value);
	return n < 0 ? (int)n : 0;
}

static int last_fired(struct sl_store *store, const char *trigger, int64_t *ret_ms, struct sl_error *err)
{
	return sl_meta_int(store->meta, INT64_MIN, ret_ms, err,
			   "SELECT MAX(fired_ms) FROM trigger_firing WHERE trigger_name = ?1 AND status <> 'skipped' HAVING MAX(fired_ms) IS NOT NULL", "s", trigger);
}

/* Records the decision and its ledger entry in the open transaction. */
static int record(struct sl_store *store, const struct sl_trigger *trigger, const struct sl_event *event, const char *skipped, int64_t now_ms, int64_t *ret_seq,
		  struct sl_error *err)
{
	int rc = sl_meta_int(store->meta, 1, ret_seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM trigger_firing", "");
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(store->meta, err,
		"INSERT INTO trigger_firing(seq, trigger_name, event, status, reason, fired_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", "isissi",
		*ret_seq, trigger->name, event->seq, skipped ? "skipped" : "running", skipped ? skipped : "", now_ms);
	if (n < 0)
		return (int)n;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_int(doc, detail, "event", event->seq) || !yyjson_mut_obj_add_str(doc, detail, "kind", event->kind) ||
	    !yyjson_mut_obj_add_str(doc, detail, "subject", event->subject) || (skipped && !yyjson_mut_obj_add_str(doc, detail, "reason", skipped)))
		return sl_fail_memory(err);
	char subject[SL_NAME_MAX + 16];
	snprintf(subject, sizeof subject, "trigger:%s", trigger->name);
	rc = sl_ledger_cover(store->ledger, doc, detail, "trigger_firing", err, "i", *ret_seq);
	return rc ? rc : sl_ledger_append(store->ledger, skipped ? "trigger.skip" : "trigger.fire", subject, detail, NULL, err);
}

struct decision {
	struct sl_store *store;
	int64_t now_ms;
	bool (*active)(void *context, const char *name);
	void *context;
	struct sl_arena *arena;
	struct sl_firing *firings;
	size_t max, count;
};

static const char *reason_to_skip(struct decision *d, const struct sl_trigger *trigger, int *rc, struct sl_error *err)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->firings[i].trigger == trigger)
			return "one runs already";
	if (d->active(d->context, trigger->name))
		return "one runs already";
	int64_t last;
	*rc = trigger->cooldown_ms ? last_fired(d->store, trigger->name, &last, err) : 0;
	if (!*rc && trigger->cooldown_ms && last != INT64_MIN && d->now_ms - last < trigger->cooldown_ms)
		return "cool-down";
	return NULL;
}

static int decide_event(struct decision *d, const struct sl_trigger *trigger, const struct sl_event *event, struct sl_error *err)
{
	if (!listens(trigger, event->kind, event->subject))
		return 0;
	int rc = 0;
	const char *skipped = reason_to_skip(d, trigger, &rc, err);
	struct sl_firing firing = {.trigger = trigger};
	if (!rc && !skipped)
		rc = sl_trigger_overrides(trigger, event, d->arena, &firing.overrides, &firing.override_count, err);
	if (!rc)
		rc = record(d->store, trigger, event, skipped, d->now_ms, &firing.seq, err);
	if (!rc && !skipped)
		d->firings[d->count++] = firing;
	return rc;
}

static int copy_event(struct sl_stmt *stmt, struct sl_arena *arena, struct sl_event *ret, struct sl_error *err)
{
	*ret = (struct sl_event){
		.seq = sl_stmt_int(stmt, 0), .kind = sl_arena_strdup(arena, sl_stmt_text(stmt, 1)), .subject = sl_arena_strdup(arena, sl_stmt_text(stmt, 2)),
		.from_ms = sl_stmt_int(stmt, 3), .to_ms = sl_stmt_int(stmt, 4), .detail = sl_arena_strdup(arena, sl_stmt_text(stmt, 5)),
	};
	return ret->kind && ret->subject && ret->detail ? 0 : sl_fail_memory(err);
}

/* One event behind `seen`; 1 with it, 0 when there is none. */
static int next_event(struct decision *d, int64_t seen, struct sl_event *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(d->store->meta, &stmt, err,
		"SELECT seq, kind, subject, COALESCE(from_ms, 0), COALESCE(to_ms, 0), detail FROM event WHERE seq > ?1 ORDER BY seq LIMIT 1", "i", seen);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	rc = copy_event(stmt, d->arena, ret, err);
	return rc ? rc : 1;
}

static int decide_trigger(struct decision *d, const struct sl_trigger *trigger, struct sl_error *err)
{
	int64_t seen, start;
	int rc = read_position(d->store, trigger->name, &seen, err);
	start = seen;
	struct sl_event event;
	while (!rc && d->count < d->max && (rc = next_event(d, seen, &event, err)) == 1) {
		rc = decide_event(d, trigger, &event, err);
		seen = event.seq;
	}
	return rc < 0 || seen == start ? rc : write_position(d->store, trigger->name, seen, err);
}

/* Makes the event of a cron trigger whose time has come. Times missed while no server ran count as one. */
static int tick_cron(struct decision *d, const struct sl_trigger *trigger, struct sl_error *err)
{
	char name[SL_NAME_MAX + 32], value[24];
	snprintf(name, sizeof name, "trigger.%s.next", trigger->name);
	struct sl_cron cron;
	int rc = sl_cron_parse(trigger->subject, &cron, err);
	if (rc)
		return rc;
	int64_t due;
	rc = sl_meta_int(d->store->meta, 0, &due, err, "SELECT CAST(value AS BIGINT) FROM setting WHERE name = ?1", "s", name);
	if (rc || (due && d->now_ms < due))
		return rc;
	if (due) {
		struct sl_event event = {.kind = "cron", .subject = trigger->name, .from_ms = due, .to_ms = d->now_ms, .detail = "{}"};
		rc = sl_event_add(&d->store->track, &event, NULL, err);
	}
	snprintf(value, sizeof value, "%" PRId64, sl_cron_next(&cron, d->now_ms));
	if (!rc && sl_meta_exec(d->store->meta, err, "INSERT INTO setting(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
				"ss", name, value) < 0)
		rc = SL_E_IO;
	return rc;
}

/* Whether anything is to be decided: keeps an idle server from taking the write lock. */
static int pending(struct sl_store *store, const struct sl_project *project, int64_t now_ms, bool *ret, struct sl_error *err)
{
	int64_t newest;
	int rc = sl_meta_int(store->meta, 0, &newest, err, "SELECT COALESCE(MAX(seq), 0) FROM event", "");
	*ret = false;
	for (size_t i = 0; !rc && i < project->trigger_count; i++) {
		const struct sl_trigger *trigger = &project->triggers[i];
		int64_t seen, due = INT64_MAX;
		rc = read_position(store, trigger->name, &seen, err);
		if (!rc && trigger->kind == SL_TRIGGER_CRON) {
			char name[SL_NAME_MAX + 32];
			snprintf(name, sizeof name, "trigger.%s.next", trigger->name);
			rc = sl_meta_int(store->meta, 0, &due, err, "SELECT CAST(value AS BIGINT) FROM setting WHERE name = ?1", "s", name);
		}
		*ret = *ret || seen < newest || due <= now_ms;
	}
	return rc;
}

int sl_trigger_decide(struct sl_store *store, const struct sl_project *project, int64_t now_ms, bool (*active)(void *context, const char *name), void *context,
		      struct sl_arena *arena, struct sl_firing *ret, size_t max, size_t *ret_count, struct sl_error *err)
{
	struct decision d = {store, now_ms, active, context, arena, ret, max, 0};
	bool something;
	*ret_count = 0;
	int rc = pending(store, project, now_ms, &something, err);
	if (rc || !something)
		return rc;
	rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < project->trigger_count; i++) {
		if (project->triggers[i].kind == SL_TRIGGER_CRON)
			rc = tick_cron(&d, &project->triggers[i], err);
		if (!rc)
			rc = decide_trigger(&d, &project->triggers[i], err);
	}
	rc = sl_meta_end(store->meta, rc, err);
	if (!rc)
		*ret_count = d.count;
	return rc;
}

static const struct sl_trigger *find_trigger(const struct sl_project *project, const char *name)
{
	for (size_t i = 0; i < project->trigger_count; i++)
		if (sl_str_eq(project->triggers[i].name, name))
			return &project->triggers[i];
	return NULL;
}

int sl_trigger_resume(struct sl_store *store, const struct sl_project *project, struct sl_arena *arena, struct sl_firing *ret, size_t max, size_t *ret_count,
		      struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err,
		"SELECT e.seq, e.kind, e.subject, COALESCE(e.from_ms, 0), COALESCE(e.to_ms, 0), e.detail, f.seq, f.trigger_name "
		"FROM trigger_firing f JOIN event e ON e.seq = f.event WHERE f.status = 'running' ORDER BY f.seq", "");
	*ret_count = 0;
	while (!rc && *ret_count < max && (rc = sl_stmt_step(stmt, err)) == 1) {
		const struct sl_trigger *trigger = find_trigger(project, sl_stmt_text(stmt, 7));
		struct sl_event event;
		rc = copy_event(stmt, arena, &event, err);
		if (rc || !trigger) /* a trigger that the project no longer has stays as it is in the history */
			continue;
		struct sl_firing *firing = &ret[*ret_count];
		*firing = (struct sl_firing){.seq = sl_stmt_int(stmt, 6), .trigger = trigger};
		rc = sl_trigger_overrides(trigger, &event, arena, &firing->overrides, &firing->override_count, err);
		*ret_count += !rc;
	}
	return rc < 0 ? rc : 0;
}

int sl_trigger_end(struct sl_store *store, int64_t firing, const char *status, const char *reason, struct sl_error *err)
{
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(store->meta, err, "UPDATE trigger_firing SET status = ?2, reason = ?3, ended_ms = ?4 WHERE seq = ?1", "issi",
				 firing, status, reason, sl_now_ms());
	char subject[64];
	snprintf(subject, sizeof subject, "firing:%" PRId64, firing);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (n < 0)
		rc = (int)n;
	else if (!detail || !yyjson_mut_obj_add_str(doc, detail, "status", status) || !yyjson_mut_obj_add_str(doc, detail, "reason", reason))
		rc = sl_fail_memory(err);
	else
		rc = sl_ledger_cover(store->ledger, doc, detail, "trigger_firing", err, "i", firing);
	if (!rc)
		rc = sl_ledger_append(store->ledger, "trigger.end", subject, detail, NULL, err);
	return sl_meta_end(store->meta, rc, err);
}

int sl_trigger_call(struct sl_store *store, const struct sl_project *project, const char *name, int64_t *ret_event, struct sl_error *err)
{
	const struct sl_trigger *trigger = find_trigger(project, name);
	if (!trigger)
		return sl_fail(err, SL_E_NOT_FOUND, "the project has no trigger '%.64s'", name);
	if (trigger->kind != SL_TRIGGER_CALL && trigger->kind != SL_TRIGGER_CRON)
		return sl_fail(err, SL_E_CONFLICT, "trigger '%s' listens to '%s', not to calls", name, trigger->subject);
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	int64_t now = sl_now_ms();
	struct sl_event event = {.kind = "call", .subject = name, .from_ms = now, .to_ms = now, .detail = "{}"};
	rc = sl_event_add(&store->track, &event, ret_event, err);
	return sl_meta_end(store->meta, rc, err);
}

/* openlineage: tells of runs what waits to be told.
 *
 *   sluice run ──first step──> sluice openlineage --follow ──ledger entries──> events ──POST or append──> receiver
 *        └────── a pipe as its standard input: its end is the end of the run ──────┘
 */
#include "op/openlineage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "op/handlers.h"
#include "op/openlineage_sender.h"
#include "op/pins.h"
#include "openlineage/event.h"
#include "openlineage/state.h"
#include "os/clock.h"
#include "os/process.h"

enum { BATCH = 100, LOOK_EVERY_MS = 100, REST_MS = 200, REST_MAX_MS = 10000 };

struct delivery {
	struct sl_call *call;
	struct sl_store *store;
	struct sl_project *project;
	struct sl_openlineage_target target;
	struct sl_ol_sender *sender;
	struct sl_openlineage_state state;
	bool follow;
};

/* ---- one round ------------------------------------------------------------------------------------------------------ */

static int deliver(void *context, const char *event, size_t len, struct sl_error *err)
{
	struct delivery *d = context;
	struct sl_error why = {0};
	int rc = sl_ol_send(d->sender, event, len, &why);
	if (rc == 1)
		snprintf(d->state.message, sizeof d->state.message, "%.100s: %.400s", why.where, why.message);
	d->state.delivered += rc == 0;
	d->state.refused += rc == 1;
	if (rc < 0 && err)
		*err = why;
	return rc < 0 ? rc : 0;
}

/* What lies too far behind is given up: a receiver that is gone for good must not cost more with every run. */
static int drop_oldest(struct delivery *d, struct sl_error *err)
{
	int64_t end;
	int rc = sl_meta_int(d->store->meta, 0, &end, err, "SELECT max(seq) + 1 FROM ledger_entry", "");
	if (rc || end - d->state.next <= SL_OPENLINEAGE_WAITING_MAX)
		return rc;
	d->state.given_up += end - SL_OPENLINEAGE_WAITING_MAX - d->state.next;
	d->state.next = end - SL_OPENLINEAGE_WAITING_MAX;
	return 0;
}

static int deliver_batch(struct delivery *d, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_openlineage_entry entries[BATCH];
	size_t count = 0;
	int64_t end = d->state.next;
	int rc = sl_openlineage_entries(d->store, d->state.next, BATCH, arena, entries, &count, &end, err);
	for (size_t i = 0; !rc && i < count && !sl_call_cancelled(d->call); i++) {
		rc = sl_openlineage_compose(d->store, d->project, &d->target, entries[i].bytes, entries[i].len, deliver, d, err);
		if (rc == SL_E_CORRUPT || rc == SL_E_TOO_LARGE) {
			d->state.given_up++;
			rc = 0;
		}
		if (!rc)
			d->state.next = entries[i].seq + 1;
	}
	if (!rc && !sl_call_cancelled(d->call))
		d->state.next = end;
	return rc;
}

/* Everything that waits. *ret_any: something did. */
static int deliver_all(struct delivery *d, bool *ret_any, struct sl_error *err)
{
	const struct sl_openlineage_state before = d->state;
	int rc = drop_oldest(d, err);
	for (int64_t last = -1; !rc && d->state.next != last && !sl_call_cancelled(d->call);) {
		struct sl_arena *arena = sl_arena_new(0, err);
		last = d->state.next;
		rc = arena ? deliver_batch(d, arena, err) : sl_fail_memory(err);
		sl_arena_free(arena);
	}
	*ret_any = d->state.delivered + d->state.refused > before.delivered + before.refused;
	return rc;
}

/* ---- round after round ---------------------------------------------------------------------------------------------- */

static void note_end(struct delivery *d, int rc, const struct sl_error *why)
{
	if (!rc) {
		d->state.failing_since_ms = 0;
		return;
	}
	if (!d->state.failing_since_ms)
		d->state.failing_since_ms = sl_now_ms();
	snprintf(d->state.message, sizeof d->state.message, "%.100s%s%.350s", why->where, *why->where ? ": " : "", why->message);
}

/* Waits; whether the run that started this one has ended. */
static bool run_is_over(bool over, int64_t wait_ms)
{
	struct pollfd end = {.fd = 0, .events = POLLIN};
	if (over)
		sl_pause(wait_ms);
	return over || poll(&end, 1, (int)wait_ms) > 0;
}

/* All that waits, and how it went: kept by whoever holds the lock, which is nobody between two rounds. SL_E_BUSY: another one delivers. */
static int deliver_round(struct delivery *d, bool *ret_any, struct sl_error *why, struct sl_error *err)
{
	SL_AUTO_CLOSE int lock = -1;
	*ret_any = false;
	int rc = sl_openlineage_lock(d->store, &lock, why);
	if (rc)
		return rc;
	rc = sl_openlineage_begin(d->store, err);
	rc = rc ? rc : sl_openlineage_read(d->store, &d->state, err);
	if (rc != 1)
		return rc;
	bool failed_before = d->state.failing_since_ms != 0;
	rc = deliver_all(d, ret_any, why);
	note_end(d, rc, why);
	int written = *ret_any || rc || failed_before ? sl_openlineage_write(d->store, &d->state, err) : 0;
	return written ? written : rc;
}

static int deliver_until(struct delivery *d, int64_t patience_ms, struct sl_error *err)
{
	int64_t rest_ms = REST_MS, give_up_ns = sl_monotonic_ns() + patience_ms * 1000000;
	bool over = !d->follow, again;
	do {
		struct sl_error why = {0}, broken = {0};
		bool any, was_over = over;
		int rc = deliver_round(d, &any, &why, &broken);
		if (broken.code) { /* not the receiver: the store itself */
			if (err)
				*err = broken;
			return broken.code;
		}
		if (any || !rc)
			give_up_ns = sl_monotonic_ns() + patience_ms * 1000000;
		rest_ms = !rc ? LOOK_EVERY_MS : any || rest_ms < REST_MS ? REST_MS : rest_ms * 2 > REST_MAX_MS ? REST_MAX_MS : rest_ms * 2;
		again = rc ? sl_monotonic_ns() < give_up_ns : !was_over;
		if (again)
			over = run_is_over(over, rc == SL_E_BUSY ? LOOK_EVERY_MS : rest_ms);
	} while (again && !sl_call_cancelled(d->call));
	return 0;
}

/* ---- the operation -------------------------------------------------------------------------------------------------- */

int sl_openlineage_put(struct sl_call *call, struct sl_store *store, yyjson_mut_val *into, struct sl_error *err)
{
	struct sl_openlineage_state state;
	int64_t waiting;
	int rc = sl_openlineage_read(store, &state, err);
	rc = rc == 1 ? sl_openlineage_waiting(store, state.next, &waiting, err) : rc ? rc : 1;
	if (rc)
		return rc < 0 ? rc : 0;
	sl_put_int(call, into, "delivered", state.delivered);
	sl_put_int(call, into, "waiting", waiting);
	sl_put_int(call, into, "refused", state.refused);
	sl_put_int(call, into, "given_up", state.given_up);
	if (state.failing_since_ms)
		sl_put_time(call, into, "failing_since", state.failing_since_ms);
	if (*state.message && (state.failing_since_ms || state.refused))
		sl_put_text(call, into, "message", state.message);
	return 0;
}

static int deliver_to_target(struct delivery *d, int64_t patience_ms, struct sl_error *err)
{
	SL_CLEANUP(sl_ol_sender_freep) struct sl_ol_sender *sender = NULL;
	int rc = sl_ol_sender_new(&d->target, &sender, err);
	d->sender = sender;
	return rc ? rc : deliver_until(d, patience_ms, err);
}

int sl_op_openlineage(struct sl_call *call, struct sl_error *err)
{
	struct delivery d = {.call = call, .follow = sl_call_flag(call, "follow")};
	int rc = sl_call_store(call, &d.store, err);
	rc = rc ? rc : sl_pins_project(call, d.store, NULL, 0, false, &d.project, err);
	rc = rc ? rc : sl_openlineage_target(d.project, call->arena, &d.target, err);
	if (rc == 0) {
		sl_fail(err, SL_E_NOT_FOUND, "nobody is told of runs");
		return sl_error_hint(err, "name a receiver: openlineage: {url: http://HOST:PORT} in sluice.yaml, or OPENLINEAGE_URL");
	}
	rc = rc == 1 ? deliver_to_target(&d, sl_call_int(call, "patience"), err) : rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "receiver", *d.target.url ? d.target.url : d.target.file);
	rc = rc ? rc : sl_openlineage_put(call, d.store, result, err);
	call->failed = yyjson_mut_get_sint(yyjson_mut_obj_get(result, "waiting")) > 0;
	return rc;
}

/* ---- beside a run --------------------------------------------------------------------------------------------------- */

void sl_openlineage_prepare(struct sl_call *call, struct sl_store *store, const struct sl_project *project, struct sl_openlineage_beside *ret)
{
	struct sl_openlineage_target target;
	struct sl_error why = {0};
	*ret = (struct sl_openlineage_beside)SL_OPENLINEAGE_NOBODY;
	int rc = sl_openlineage_target(project, call->arena, &target, &why);
	ret->wanted = rc == 1;
	rc = rc == 1 ? sl_openlineage_begin(store, &why) : rc ? rc : sl_openlineage_end(store, &why);
	if (rc)
		sl_call_line(call, "OpenLineage: no events: %s%s%s", why.where, *why.where ? ": " : "", why.message);
}

static int start_beside(struct sl_call *call, int *ret_fd, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	int fds[2], pid;
	int rc = sl_call_project_dir(call, dir, err);
	if (rc)
		return rc;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return sl_fail_errno(err, errno, "a pipe", "cannot make");
	const char *const argv[] = {"/proc/self/exe", "-C", dir, "openlineage", "--follow", "--patience", "2m", NULL};
	rc = sl_process_detach(argv, fds[0], &pid, err);
	close(fds[0]);
	*ret_fd = fds[1];
	if (rc)
		sl_file_close(ret_fd);
	return rc;
}

void sl_openlineage_accompany(struct sl_call *call, struct sl_openlineage_beside *beside)
{
	struct sl_error why = {0};
	if (!beside->wanted || beside->run_fd >= 0)
		return;
	if (start_beside(call, &beside->run_fd, &why)) {
		beside->wanted = false;
		sl_call_line(call, "OpenLineage: events wait for 'sluice openlineage': %s", why.message);
	}
}

void sl_openlineage_done(struct sl_call *call, struct sl_store *store, struct sl_openlineage_beside *beside)
{
	struct sl_openlineage_state state;
	char since[SL_TIME_TEXT];
	sl_file_close(&beside->run_fd);
	if (beside->wanted && sl_openlineage_read(store, &state, NULL) == 1 && state.failing_since_ms)
		sl_call_line(call, "OpenLineage: events wait since %s: %s", sl_time_format(state.failing_since_ms, since), state.message);
}

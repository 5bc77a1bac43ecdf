#include "flow/execute.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "flow/execution.h"
#include "flow/task.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/process.h"

enum { TICK_MS = 200, METRICS_EVERY_MS = 1000 };
/* ---- what has ended --------------------------------------------------------------------------------------------------------------- */

static void settle(struct execution *x, size_t i, enum sl_flow_state state);

static void release_followers(struct execution *x, size_t i)
{
	struct flow_node *node = &x->graph->nodes[i];
	enum sl_flow_state state = shown(x, i)->state;
	bool good = state == SL_FLOW_OK || state == SL_FLOW_FRESH || state == SL_FLOW_REUSED || state == SL_FLOW_WAITING;
	for (size_t k = 0; k < node->follower_count; k++) {
		size_t f = node->followers[k];
		if (!good && !x->settled[f]) {
			shown(x, f)->reason = flow_words(x->graph, "%s did not end well", node->name);
			settle(x, f, state == SL_FLOW_CANCELLED ? SL_FLOW_CANCELLED : SL_FLOW_SKIPPED);
		} else if (good && --x->waits[f] == 0) {
			x->ready[x->ready_tail++] = f;
		}
	}
}

/* A node's last state: counted, told, and what waits for it looked at. */
static void settle(struct execution *x, size_t i, enum sl_flow_state state)
{
	struct sl_flow_report *report = x->plan->report;
	struct sl_flow_node *node = shown(x, i);
	if (x->settled[i])
		return;
	x->settled[i] = true;
	node->state = state;
	size_t *const COUNTS[] = {[SL_FLOW_FRESH] = &report->fresh, [SL_FLOW_REUSED] = &report->reused, [SL_FLOW_OK] = &report->ran, [SL_FLOW_FAILED] = &report->failed,
				  [SL_FLOW_SKIPPED] = &report->skipped, [SL_FLOW_CANCELLED] = &report->skipped, [SL_FLOW_WAITING] = &report->waiting};
	++*COUNTS[state];
	x->untold[x->untold_count++] = i;
	release_followers(x, i);
}

static void tell_settled(struct execution *x)
{
	for (size_t i = 0; i < x->untold_count && x->options->events.ended; i++)
		x->options->events.ended(x->options->events.context, shown(x, x->untold[i]));
	x->untold_count = 0;
}

static void unlink_running(struct execution *x, struct running *r)
{
	for (struct running **at = &x->running; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	x->running_count--;
	flow_queue_give_back(x->queue, r->task.node);
	flow_running_done(r);
}

/* ---- transactions ------------------------------------------------------------------------------------------------------------------------- */

int flow_open_transaction(struct execution *x)
{
	int rc = x->open ? 0 : sl_meta_begin(meta_of(x), x->err);
	x->open |= !rc;
	return rc;
}

static int close_transaction(struct execution *x, int rc)
{
	if (x->open && !rc)
		rc = sl_meta_commit(meta_of(x), x->err);
	if (x->open && rc)
		sl_meta_rollback(meta_of(x));
	x->open = false;
	if (!rc)
		tell_settled(x);
	return rc;
}

static void note_failure(struct execution *x, size_t i, const struct sl_error *error)
{
	struct sl_flow_node *node = shown(x, i);
	node->cause = flow_words(x->graph, "%.150s%s%.350s", error->where, *error->where ? ": " : "", error->message);
	if (!x->first.code) {
		x->first = *error;
		sl_error_context(&x->first, "%s", node->name);
		sl_disk_hint(&x->first, *x->first.where == '/' ? x->first.where : x->graph->store->dir, 0);
	}
	if (!x->options->keep_going)
		x->halted = true;
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------------ */

static int decide(struct execution *x, size_t i)
{
	enum sl_flow_state state = shown(x, i)->state;
	return state == SL_FLOW_MAYBE || state == SL_FLOW_LAST ? flow_plan_node(x->plan, i, x->options, x->err) : 0;
}

/* Brings nodes[i], which waits for nothing any more, to its next state; one that has to run waits for its turn. */
static int look_at(struct execution *x, size_t i)
{
	int rc = decide(x, i);
	enum sl_flow_state state = shown(x, i)->state;
	if (rc || x->settled[i])
		return rc;
	if (state == SL_FLOW_FRESH || state == SL_FLOW_WAITING || state == SL_FLOW_SKIPPED) {
		settle(x, i, state);
		return 0;
	}
	rc = x->left && state == SL_FLOW_STALE ? flow_take_over(x, i) : 0;
	if (rc)
		return rc < 0 ? rc : 0;
	if (state == SL_FLOW_REUSED) {
		rc = flow_open_transaction(x);
		rc = rc ? rc : flow_restore(x->graph, i, x->plan->decisions[i], sl_now_ms(), x->err);
		if (!rc)
			settle(x, i, state);
		return rc;
	}
	flow_queue_add(x->queue, i, sl_now_ms());
	return 0;
}

static int begin(struct execution *x, size_t i)
{
	int rc = flow_open_transaction(x);
	struct running *r = rc ? NULL : flow_new_running(x, i);
	return rc ? rc : r ? flow_begin_node(x, r) : SL_E_NO_MEMORY;
}

/* Is nothing new started? */
static bool stands(const struct execution *x) { return x->halted && !x->at_end; }

/* ---- further attempts --------------------------------------------------------------------------------------------------------------------- */

/* Lets a node whose attempt failed rest before the next one; false when there is none. */
static bool rests(struct execution *x, struct running *r)
{
	size_t i = r->task.node;
	const struct sl_step *step = x->graph->nodes[i].step;
	const struct flow_failure failure = {&r->end, r->not_started, r->kept.text, r->error.message};
	int64_t wait_ms;
	if (!step || !r->failed || stands(x) || (r->end.ok && !r->not_started) || !flow_retry(&step->retry, &failure, &x->attempts[i], &wait_ms))
		return false;
	struct resting *rest = sl_arena_alloc(x->graph->arena, sizeof *rest), **at = &x->resting;
	if (!rest)
		return false;
	*rest = (struct resting){.node = i, .until_ns = sl_monotonic_ns() + wait_ms * 1000000};
	while (*at && (*at)->until_ns <= rest->until_ns)
		at = &(*at)->next;
	rest->next = *at;
	*at = rest;
	struct sl_flow_node *node = shown(x, i);
	node->cause = flow_words(x->graph, "%s", r->error.message);
	node->reason = flow_words(x->graph, "attempt %lld: %s", (long long)(x->attempts[i].own + x->attempts[i].machine + 1), node->cause);
	snprintf(x->plan->decisions[i]->reason, sizeof x->plan->decisions[i]->reason, "%s", node->reason);
	if (x->options->events.again)
		x->options->events.again(x->options->events.context, node, wait_ms);
	return true;
}

static void wake_rested(struct execution *x)
{
	for (struct resting *rest; (rest = x->resting) && rest->until_ns <= sl_monotonic_ns();) {
		x->resting = rest->next;
		shown(x, rest->node)->cause = "";
		flow_queue_add(x->queue, rest->node, sl_now_ms());
	}
}

/* How long nothing has to be done, when no child ends. */
static int free_ms(const struct execution *x)
{
	int64_t left = x->resting ? (x->resting->until_ns - sl_monotonic_ns()) / 1000000 + 1 : TICK_MS;
	return left > TICK_MS ? TICK_MS : left < 0 ? 0 : (int)left;
}


static int take_up_ready(struct execution *x)
{
	int rc = 0;
	wake_rested(x);
	while (!rc && x->ready_head < x->ready_tail && !stands(x))
		rc = look_at(x, x->ready[x->ready_head++]);
	for (size_t i; !rc && !stands(x) && flow_queue_take(x->queue, &i);)
		rc = begin(x, i);
	return rc;
}

/* ---- end --------------------------------------------------------------------------------------------------------------------------------- */

/* "reading DIR/lib/x.txt" without the project's folder. */
static void note_refused(struct running *r)
{
	const char *dir = r->task.graph->project->dir, *text = r->end.refused, *at = strstr(text, dir);
	size_t len = strlen(dir);
	bool ours = at && at[len] == '/';
	if (*text)
		r->task.refused = sl_arena_printf(r->task.arena, "%.*s%s", (int)(ours ? at - text : 0), text, ours ? at + len + 1 : text);
}

/* A command that failed in its sandbox: what it was refused is most often why. */
static int blame_sandbox(struct running *r, int rc)
{
	char cause[SL_PROCESS_CAUSE_MAX];
	if (!r->task.refused || r->end.timed_out || r->end.stopped || r->end.out_of_memory)
		return rc;
	snprintf(cause, sizeof cause, "%.200s", r->error.message);
	sl_fail(&r->error, rc, "%s; its sandbox refused %s", cause, r->task.refused);
	if (strstr(r->task.refused, "the network") || sl_str_starts(r->task.refused, "connecting"))
		return sl_error_hint(&r->error, "allow it: sandbox: {network: true}");
	return sl_error_hint(&r->error, "declare it under inputs or code, or allow it: sandbox: {read: [path], write: [path]}; sandbox: off allows everything");
}

/* What the child left: a second child, outputs kept, or a failure. */
static void take_end(struct execution *x, struct running *r)
{
	r->ended = false;
	r->keeper = NULL;
	note_refused(r);
	if (!r->end.ok) {
		blame(r, blame_sandbox(r, flow_task_blame(&r->task, &r->end, &r->error)));
		return;
	}
	int rc = flow_task_next(&r->task, flow_program(x), &r->error);
	if (rc == 1)
		rc = flow_launch(x, r, &r->error);
	if (blame(r, rc) || r->keeper)
		return;
	/* From here on its outputs move into the store: a run that comes after a kill finds some of them gone, and starts the step anew. */
	flow_kept_end_forget(r->dir, r->id);
	if (blame(r, flow_task_keep(&r->task, &r->error)))
		return;
	rc = flow_repeat(x, r);
	if (rc == 1 || blame(r, rc))
		return;
	/* Before the commit: a crash between leaves a new file whose step runs again, never an old file that counts as new. */
	blame(r, flow_task_place(&r->task, &r->error));
}

static int commit_one(struct execution *x, struct running *r, int64_t now_ms)
{
	int64_t n = sl_meta_exec(meta_of(x), x->err, "DELETE FROM attempt WHERE run = ?1", "s", r->task.run.text);
	if (n < 0)
		return (int)n;
	if (!r->failed)
		return flow_task_commit(&r->task, now_ms, x->err);
	char cause[SL_FLOW_CAUSE_MAX];
	snprintf(cause, sizeof cause, "%.150s%s%.350s", r->error.where, *r->error.where ? ": " : "", r->error.message);
	bool cancelled = r->error.code == SL_E_CANCELLED;
	return flow_task_commit_failure(&r->task, cancelled ? "cancelled" : "failed", cause, x->err);
}

static void show_end(struct execution *x, struct running *r)
{
	struct sl_flow_node *node = shown(x, r->task.node);
	node->ended_ms = sl_now_ms();
	node->changed = r->task.changed;
	node->note = flow_words(x->graph, "%s%s", r->task.note, r->first ? ", twice the same" : "");
	enum sl_flow_state state = r->task.outcome;
	if (r->failed) {
		state = r->error.code == SL_E_CANCELLED ? SL_FLOW_CANCELLED : SL_FLOW_FAILED;
	} else if (state == SL_FLOW_FAILED) {
		sl_fail(&r->error, SL_E_FAILED, "%s", r->task.cause);
	}
	if (state == SL_FLOW_FAILED)
		note_failure(x, r->task.node, &r->error);
	else if (state == SL_FLOW_CANCELLED)
		node->cause = "cancelled";
	settle(x, r->task.node, state);
}

static bool is_through(const struct running *r) { return r->failed || (!r->keeper && !r->ended && r->end.ok); }

/* All that ended by now. */
static int commit_ended(struct execution *x)
{
	int64_t now = sl_now_ms();
	int rc = 0;
	for (struct running *r = x->running, *next; !rc && r; r = next) {
		next = r->next;
		if (!is_through(r))
			continue;
		rc = flow_open_transaction(x);
		rc = rc ? rc : commit_one(x, r, now);
		if (rc)
			return rc;
		if (!rests(x, r))
			show_end(x, r);
		unlink_running(x, r);
	}
	return rc;
}

static void cancel_all(struct execution *x)
{
	x->cancelled = x->halted = true;
	for (struct running *r = x->running; r; r = r->next)
		if (r->keeper)
			flow_keeper_stop(r->keeper, r->id, false);
	flow_stop_left(x);
}

/* With the place up to which they were told, so that a run that takes over neither misses one nor has one twice. */
static int record_told(struct execution *x, struct running *r)
{
	int rc = flow_task_record_metrics(&r->task, x->err);
	if (rc || r->told == r->told_written)
		return rc;
	int64_t n = sl_meta_exec(meta_of(x), x->err, "UPDATE attempt SET told = ?2 WHERE run = ?1", "si", r->task.run.text, (int64_t)r->told);
	r->told_written = r->told;
	return n < 0 ? (int)n : 0;
}

/* Metrics become visible while a step runs. */
static int flush_metrics(struct execution *x)
{
	int64_t now = sl_now_ms();
	bool any = false;
	for (struct running *r = x->running; r; r = r->next)
		any |= r->task.metric_count > r->task.metrics_written;
	if (!any || now - x->metrics_ms < METRICS_EVERY_MS)
		return 0;
	x->metrics_ms = now;
	int rc = flow_open_transaction(x);
	for (struct running *r = x->running; !rc && r; r = r->next)
		rc = record_told(x, r);
	return rc;
}

/* What kept these processes was killed, and they with it. */
static void lose_keeper(struct execution *x, const struct flow_keeper *keeper)
{
	const char *dir = flow_keeper_dir(keeper);
	char prefix[SL_ID_LEN + 2];
	snprintf(prefix, sizeof prefix, "%.26s.", strrchr(dir, '/') + 1);
	sl_process_kill_tagged(prefix);
	for (struct running *r = x->running; r; r = r->next) {
		if (r->keeper != keeper || r->ended)
			continue;
		flow_hear(r);
		r->ended = flow_kept_end_read(dir, r->id, &r->kept, NULL) == 1;
		r->end = r->kept.end;
		if (r->ended)
			continue;
		r->keeper = NULL;
		r->not_started = true; /* not its own fault */
		blame(r, sl_fail(&r->error, SL_E_FAILED, "what kept its process was killed, and it too"));
	}
	if (x->keeper != keeper)
		return;
	x->keeper = NULL;
	sl_dir_remove(dir, NULL);
}

static void take_news(struct execution *x, const struct flow_kept_news *news)
{
	struct running *r = x->running;
	if (news->kind == FLOW_KEEPER_LOST) {
		lose_keeper(x, news->keeper);
		return;
	}
	while (r && (r->keeper != news->keeper || strcmp(r->id, news->id) != 0))
		r = r->next;
	if (!r)
		return;
	flow_hear(r);
	if (news->kind == FLOW_KEPT_ENDED) {
		r->kept = news->end;
		r->end = r->kept.end;
		r->ended = true;
	} else if (news->kind == FLOW_KEPT_NOT_STARTED) {
		r->keeper = NULL;
		r->error = news->error;
		r->not_started = r->error.code != SL_E_FAILED;
		r->failed = true;
	}
}

static bool take_ends(struct execution *x)
{
	bool any = false;
	for (struct running *r = x->running; r; r = r->next) {
		if (r->ended)
			take_end(x, r);
		else if (r->hearing.fd >= 0)
			flow_hear(r);
		any |= is_through(r);
	}
	return any;
}

static int wait_for_ends(struct execution *x)
{
	struct flow_kept_news news;
	bool any = take_ends(x);
	while (x->running && flow_keepers_wait(&x->keepers, any ? 0 : free_ms(x), &news)) {
		take_news(x, &news);
		any |= take_ends(x);
	}
	if (!x->running && !x->cancelled)
		sl_pause(free_ms(x));
	return any || take_ends(x) ? commit_ended(x) : flush_metrics(x);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------------------------- */

/* What was never reached. Nodes found fresh while planning, behind which nothing ran, are told of here too. */
static void settle_rest(struct execution *x)
{
	for (size_t i = 0; i < x->graph->count; i++) {
		enum sl_flow_state state = shown(x, i)->state;
		if (x->graph->nodes[i].finally && !x->ended_over_all)
			continue;
		if (state == SL_FLOW_FRESH || state == SL_FLOW_WAITING)
			settle(x, i, state);
		else if (x->attempts[i].own + x->attempts[i].machine)
			settle(x, i, x->cancelled ? SL_FLOW_CANCELLED : SL_FLOW_FAILED); /* its next attempt is not made */
		else
			settle(x, i, x->cancelled ? SL_FLOW_CANCELLED : SL_FLOW_SKIPPED);
	}
}

/* Everything has ended but the steps for the end, which run whatever became of the others. True when there are any. */
static bool begin_end(struct execution *x)
{
	bool any = false;
	if (x->at_end || !*x->run.text)
		return false;
	settle_rest(x);
	x->at_end = true;
	x->resting = NULL;
	for (size_t i = 0; i < x->graph->count; i++)
		if (x->graph->nodes[i].finally && !x->settled[i]) {
			x->ready[x->ready_tail++] = i;
			any = true;
		}
	return any;
}

static int end_over_all(struct execution *x)
{
	x->ended_over_all = true;
	settle_rest(x);
	if (!*x->run.text)
		return 0;
	const struct sl_flow_report *report = x->plan->report;
	const char *status = x->cancelled ? "cancelled" : report->failed ? "failed" : "ok";
	int rc = flow_open_transaction(x);
	rc = rc ? rc : sl_run_end(track_of(x), &x->run, status, x->first.code ? x->first.message : "", x->err);
	int64_t n = rc ? 0 : sl_meta_exec(meta_of(x), x->err, "DELETE FROM setting WHERE name = ?1", "s", FLOW_ACTIVE);
	return rc ? rc : n < 0 ? (int)n : 0;
}

/* One turn: what ended, what that lets begin, and (when it was the last) the end of all are one commit; then the new children start. */
static int turn(struct execution *x)
{
	int rc = x->running || x->resting ? wait_for_ends(x) : 0;
	if (x->options->cancel && *x->options->cancel && !x->cancelled)
		cancel_all(x);
	struct running *before = x->running;
	rc = rc ? rc : flow_record_environment(x);
	rc = rc ? rc : take_up_ready(x);
	bool more = x->ready_head < x->ready_tail || !flow_queue_empty(x->queue) || x->resting;
	if (!rc && !x->running && (!more || stands(x)))
		rc = begin_end(x) ? take_up_ready(x) : end_over_all(x);
	rc = close_transaction(x, rc);
	for (struct running *r = x->running; !rc && r != before; r = r->next)
		flow_start_child(x, r);
	return rc ? rc : flow_take_environment(x);
}

/* Is there anything to do but what is for the end? */
static bool has_work(const struct execution *x)
{
	for (size_t i = 0; i < x->graph->count; i++) {
		enum sl_flow_state state = x->plan->report->nodes[i].state;
		if (state == SL_FLOW_STALE || state == SL_FLOW_MAYBE || state == SL_FLOW_REUSED)
			return true;
	}
	return false;
}

/* Steps for the end at which a run was killed that had nothing else left to do are finished first; where there is more to do they come anew when that is done. */
static void take_up_left_ends(struct execution *x)
{
	for (size_t i = 0; i < x->graph->count && x->left && !has_work(x); i++)
		if (flow_end_is_left(x, i))
			x->ready[x->ready_tail++] = i;
}

static int run_all(struct execution *x)
{
	int rc = flow_find_left(x);
	if (!rc)
		take_up_left_ends(x);
	for (size_t i = 0; i < x->graph->count; i++) {
		x->waits[i] = x->graph->nodes[i].waits_for;
		if (!x->waits[i] && !x->graph->nodes[i].finally)
			x->ready[x->ready_tail++] = i;
	}
	while (!rc && !x->ended_over_all)
		rc = turn(x);
	if (rc)
		return rc; /* the machine refused: children die with the set; the next run finds and reaps them */
	if (x->cancelled)
		return sl_fail(x->err, SL_E_CANCELLED, "cancelled");
	if (x->first.code)
		*x->err = x->first;
	/* What the machine refused to a node was refused to the run; everything else is the node's own matter. */
	return !x->first.code ? 0 : sl_code_exit_status(x->first.code) >= 3 ? x->first.code : SL_E_FAILED;
}

int flow_execute(struct flow_plan *plan, const struct sl_flow_options *options, struct sl_error *err)
{
	struct execution x = {.plan = plan, .graph = &plan->graph, .options = options, .err = err};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t jobs = options->jobs > 0 ? (size_t)options->jobs : processors > 0 ? (size_t)processors : 1;
	x.waits = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.waits);
	x.ready = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.ready);
	x.settled = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.settled);
	x.untold = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.untold);
	x.attempts = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.attempts);
	if (!x.waits || !x.ready || !x.settled || !x.untold || !x.attempts)
		return sl_fail_memory(err);
	int rc = flow_queue_new(x.graph, jobs, &x.queue, err);
	rc = rc ? rc : run_all(&x);
	flow_keepers_done(&x.keepers); /* kills what still runs */
	while (x.running) {
		struct running *r = x.running;
		x.running = r->next;
		flow_running_done(r);
	}
	if (x.found_left)
		flow_clean_left(&x);
	sl_sandbox_base_free(x.graph->system);
	x.graph->system = NULL;
	return rc;
}

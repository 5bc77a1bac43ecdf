#include "flow/execute.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "flow/task.h"
#include "os/clock.h"
#include "os/process.h"

enum { TICK_MS = 200, METRICS_EVERY_MS = 1000, LINES_PER_SECOND = 1000 };
/* Name of the setting that holds the run which is under way; what is there when a run begins was left by one that was killed. */
#define ACTIVE "flow.active"

struct execution;
struct running {
	struct running *next;
	struct execution *execution;
	struct flow_task task;
	struct sl_process *process;      /* NULL: between two children, or not started */
	struct sl_process_end end;
	bool failed;                     /* for `error` */
	struct sl_error error;
	int64_t second_ms;               /* for the limit on lines */
	int lines;
};

struct execution {
	struct flow_plan *plan;
	struct flow_graph *graph;
	const struct sl_flow_options *options;
	struct sl_processes *processes;
	size_t *waits;                   /* per node: what it still waits for */
	bool *settled;                   /* per node */
	size_t *untold, untold_count;    /* settled nodes that are told of once they are durable */
	bool open;                       /* a transaction: ends and the begins that they allow are one commit */
	bool ended_over_all;
	size_t *ready, ready_head, ready_tail;
	struct running *running;
	size_t running_count, jobs;
	struct sl_id run;                /* over all; text "" before the first node runs */
	bool halted;                     /* nothing new is started */
	bool cancelled, environment_taken;
	const char *environment;         /* JSON, taken and not yet written; NULL */
	struct sl_hash diff;             /* of the working folder, when diff_bytes is not 0 */
	uint64_t diff_bytes;
	int64_t metrics_ms;
	struct sl_error first;           /* the first node's failure */
	struct sl_error *err;
};

static struct sl_flow_node *shown(struct execution *x, size_t i) { return &x->plan->report->nodes[i]; }
static struct sl_track *track_of(struct execution *x) { return &x->graph->store->track; }
static struct sl_meta *meta_of(struct execution *x) { return x->graph->store->meta; }

/* Notes a failure (`rc`) whose words are in r->error; true when it is one. */
static bool blame(struct running *r, int rc)
{
	r->failed |= rc != 0;
	return rc != 0;
}

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
	if (r->process)
		sl_process_free(r->process);
	flow_task_done(&r->task);
	sl_free(r);
}

/* ---- what a child says ---------------------------------------------------------------------------------------------------------------- */

static void on_event(void *context, const char *line, size_t len)
{
	struct running *r = context;
	const struct sl_flow_events *events = &r->execution->options->events;
	struct sl_flow_node *node = shown(r->execution, r->task.node);
	struct sl_metric metric;
	const char *what;
	double fraction = -1;
	flow_task_event(&r->task, line, len, &fraction, &what, &metric);
	if (what && events->progress)
		events->progress(events->context, node, fraction, what);
	if (metric.name && events->metric)
		events->metric(events->context, node, metric.name, metric.step, metric.value);
}

static void on_line(void *context, char stream, const char *line, size_t len)
{
	struct running *r = context;
	const struct sl_flow_events *events = &r->execution->options->events;
	int64_t second = sl_monotonic_ns() / 1000000000;
	(void)stream;
	if (second != r->second_ms) {
		r->second_ms = second;
		r->lines = 0;
	}
	if (++r->lines <= LINES_PER_SECOND)
		events->line(events->context, shown(r->execution, r->task.node), line, len);
}

static int launch(struct execution *x, struct running *r, struct sl_error *err)
{
	char tag[100];
	snprintf(tag, sizeof tag, "%s.%zu", x->run.text, r->task.node);
	const struct sl_process_options options = {
		.argv = r->task.argv, .env = r->task.env, .dir = r->task.work_dir, .tag = tag, .log_path = r->task.log_path, .timeout_ms = r->task.timeout_ms,
		.on_line = x->options->events.line ? on_line : NULL, .on_event = on_event, .context = r,
	};
	return sl_process_start(x->processes, &options, &r->process, err);
}

static const char *program_of(const struct execution *x) { return x->options->program ? x->options->program : "/proc/self/exe"; }

/* A worker starts nothing, and dies with us; a command may start anything. */
static int guard_command(struct execution *x, const struct running *r, struct sl_error *err)
{
	char job[sizeof FLOW_GUARD + sizeof x->run.text + 1];
	const char *const argv[] = {program_of(x), "worker", job, NULL};
	snprintf(job, sizeof job, "%s%s.", FLOW_GUARD, x->run.text);
	return x->graph->nodes[r->task.node].action == FLOW_RUN ? sl_processes_guard(x->processes, argv, err) : 0;
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------------ */

static struct running *new_running(struct execution *x, size_t i)
{
	struct running *r = sl_alloc(sizeof *r, x->err);
	if (!r)
		return NULL;
	r->execution = x;
	r->task = (struct flow_task){.graph = x->graph, .node = i, .decision = *x->plan->decisions[i], .arena = sl_arena_new(0, x->err)};
	if (!r->task.arena) {
		sl_free(r);
		return NULL;
	}
	r->next = x->running;
	x->running = r;
	x->running_count++;
	return r;
}

/* What a killed run left behind is ended first. */
static int clear_active(struct execution *x)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(meta_of(x), &stmt, x->err, "SELECT value FROM setting WHERE name = ?1", "s", ACTIVE);
	rc = rc ? rc : sl_stmt_step(stmt, x->err);
	if (rc != 1)
		return rc;
	char prefix[SL_ID_LEN + 2];
	snprintf(prefix, sizeof prefix, "%.26s.", sl_stmt_text(stmt, 0));
	sl_stmt_done(SL_TAKE(stmt));
	sl_process_kill_tagged(prefix);
	return sl_store_tidy(x->graph->store, x->err);
}

static int begin_over_all(struct execution *x)
{
	const struct sl_run_start start = {.kind = "run", .name = x->options->command ? x->options->command : "sluice run", .reason = "", .environment = "{}"};
	int rc = sl_run_begin(track_of(x), &start, &x->run, x->err);
	if (rc)
		return rc;
	x->plan->report->run = x->run;
	int64_t n = sl_meta_exec(meta_of(x), x->err, "INSERT INTO setting(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2", "ss", ACTIVE, x->run.text);
	return n < 0 ? (int)n : 0;
}

static int begin_node(struct execution *x, struct running *r)
{
	static const char *const KINDS[] = {[FLOW_INGEST] = "ingest", [FLOW_SQL] = "step", [FLOW_RUN] = "step", [FLOW_TRAIN] = "train",
					    [FLOW_EVALUATE] = "evaluate", [FLOW_GATE] = "evaluate"};
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	int rc = *x->run.text ? 0 : begin_over_all(x);
	const struct sl_run_start start = {.kind = KINDS[node->action], .name = node->name, .reason = r->task.decision.reason, .parent = x->run.text,
					   .fingerprint = r->task.decision.fingerprint, .environment = "{}"};
	rc = rc ? rc : sl_run_begin(track_of(x), &start, &r->task.run, x->err);
	return rc ? rc : flow_task_record_start(&r->task, x->err);
}

static int open_transaction(struct execution *x)
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
	}
	if (!x->options->keep_going)
		x->halted = true;
}

/* Takes the children's folder and descriptors in hand after their runs are on record. */
static void start_child(struct execution *x, struct running *r)
{
	struct sl_flow_node *node = shown(x, r->task.node);
	node->run = r->task.run;
	node->started_ms = sl_now_ms();
	node->state = SL_FLOW_RUNNING;
	if (x->options->events.started)
		x->options->events.started(x->options->events.context, node);
	int rc = flow_task_begin(&r->task, program_of(x), &r->error);
	rc = rc ? rc : guard_command(x, r, &r->error);
	blame(r, rc ? rc : launch(x, r, &r->error));
}

/* The environment costs 10 ms (git), so it is taken while the first children already work, and written with the next turn's commit. */
static int take_environment(struct execution *x)
{
	if (x->environment_taken || !x->running)
		return 0;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 20), diff = SL_BUF_INIT(SL_DIFF_MAX_BYTES);
	x->environment_taken = true;
	int rc = sl_environment_json(x->graph->project->dir, &out, &diff, x->err);
	if (!rc && diff.len)
		rc = sl_objects_put(x->graph->store->objects, diff.data, diff.len, &x->diff, x->err);
	x->diff_bytes = diff.len;
	x->environment = rc ? NULL : sl_arena_strdup(x->graph->arena, sl_buf_cstr(&out));
	return rc ? rc : x->environment ? 0 : sl_fail_memory(x->err);
}

static int record_environment(struct execution *x)
{
	const char *environment = SL_TAKE(x->environment);
	if (!environment)
		return 0;
	int rc = open_transaction(x);
	if (!rc && x->diff_bytes)
		rc = sl_run_artifact(track_of(x), &x->run, "environment/git.diff", &x->diff, x->diff_bytes, x->err);
	int64_t n = rc ? rc : sl_meta_exec(meta_of(x), x->err, "UPDATE run SET environment = ?2 WHERE id = ?1", "ss", x->run.text, environment);
	return n < 0 ? (int)n : 0;
}

static int decide(struct execution *x, size_t i)
{
	return shown(x, i)->state == SL_FLOW_MAYBE ? flow_plan_node(x->plan, i, x->options, x->err) : 0;
}

/* Brings nodes[i], which waits for nothing any more, to its next state; one that has to run is begun. */
static int take_up(struct execution *x, size_t i)
{
	int rc = decide(x, i);
	enum sl_flow_state state = shown(x, i)->state;
	if (rc || x->settled[i])
		return rc;
	if (state == SL_FLOW_FRESH || state == SL_FLOW_WAITING) {
		settle(x, i, state);
		return 0;
	}
	rc = open_transaction(x);
	if (!rc && state == SL_FLOW_REUSED) {
		rc = flow_restore(x->graph, i, x->plan->decisions[i], sl_now_ms(), x->err);
		if (!rc)
			settle(x, i, state);
		return rc;
	}
	struct running *r = rc ? NULL : new_running(x, i);
	return rc ? rc : r ? begin_node(x, r) : SL_E_NO_MEMORY;
}

static int take_up_ready(struct execution *x)
{
	int rc = 0;
	while (!rc && x->ready_head < x->ready_tail && !x->halted && x->running_count < x->jobs)
		rc = take_up(x, x->ready[x->ready_head++]);
	return rc;
}

/* ---- end --------------------------------------------------------------------------------------------------------------------------------- */

/* What the child left: a second child, outputs kept, or a failure. True when the node is through. */
static bool take_end(struct execution *x, struct running *r)
{
	if (r->process) {
		sl_process_free(SL_TAKE(r->process));
		if (!r->end.ok)
			return blame(r, flow_task_blame(&r->task, &r->end, &r->error));
		int rc = flow_task_next(&r->task, program_of(x), &r->error);
		if (rc == 1)
			return blame(r, launch(x, r, &r->error));
		if (blame(r, rc))
			return true;
	}
	if (!r->failed)
		blame(r, flow_task_keep(&r->task, &r->error));
	/* Before the commit: a crash between leaves a new file whose step runs again, never an old file that counts as new. */
	if (!r->failed)
		blame(r, flow_task_place(&r->task, &r->error));
	return true;
}

static int commit_one(struct execution *x, struct running *r, int64_t now_ms)
{
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
	node->note = flow_words(x->graph, "%s", r->task.note);
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

static bool is_through(const struct running *r) { return r->failed || (!r->process && r->end.ok); }

/* All that ended by now. */
static int commit_ended(struct execution *x)
{
	int64_t now = sl_now_ms();
	int rc = 0;
	for (struct running *r = x->running, *next; !rc && r; r = next) {
		next = r->next;
		if (!is_through(r))
			continue;
		rc = open_transaction(x);
		rc = rc ? rc : commit_one(x, r, now);
		if (rc)
			return rc;
		show_end(x, r);
		unlink_running(x, r);
	}
	return rc;
}

static struct running *find_running(struct execution *x, const struct sl_process *process)
{
	struct running *r = x->running;
	while (r && r->process != process)
		r = r->next;
	return r;
}

static void cancel_all(struct execution *x)
{
	x->cancelled = x->halted = true;
	for (struct running *r = x->running; r; r = r->next)
		if (r->process)
			sl_process_stop(r->process);
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
	int rc = open_transaction(x);
	for (struct running *r = x->running; !rc && r; r = r->next)
		rc = flow_task_record_metrics(&r->task, x->err);
	return rc;
}

static int wait_for_ends(struct execution *x)
{
	struct sl_process *process;
	struct sl_process_end end;
	bool any = false;
	for (struct running *r = x->running; r; r = r->next)
		any |= is_through(r); /* could not be started */
	while (sl_processes_running(x->processes) && sl_processes_wait(x->processes, any ? 0 : TICK_MS, &process, &end) == 1) {
		struct running *r = find_running(x, process);
		r->end = end;
		any |= take_end(x, r);
	}
	return any ? commit_ended(x) : flush_metrics(x);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------------------------- */

/* What was never reached. Nodes found fresh while planning, behind which nothing ran, are told of here too. */
static void settle_rest(struct execution *x)
{
	for (size_t i = 0; i < x->graph->count; i++) {
		enum sl_flow_state state = shown(x, i)->state;
		if (state == SL_FLOW_FRESH || state == SL_FLOW_WAITING)
			settle(x, i, state);
		else
			settle(x, i, x->cancelled ? SL_FLOW_CANCELLED : SL_FLOW_SKIPPED);
	}
}

static int end_over_all(struct execution *x)
{
	x->ended_over_all = true;
	settle_rest(x);
	if (!*x->run.text)
		return 0;
	const struct sl_flow_report *report = x->plan->report;
	const char *status = x->cancelled ? "cancelled" : report->failed ? "failed" : "ok";
	int rc = open_transaction(x);
	rc = rc ? rc : sl_run_end(track_of(x), &x->run, status, x->first.code ? x->first.message : "", x->err);
	int64_t n = rc ? 0 : sl_meta_exec(meta_of(x), x->err, "DELETE FROM setting WHERE name = ?1", "s", ACTIVE);
	return rc ? rc : n < 0 ? (int)n : 0;
}

/* One turn: what ended, what that lets begin, and (when it was the last) the end of all are one commit; then the new children start. */
static int turn(struct execution *x)
{
	int rc = x->running ? wait_for_ends(x) : 0;
	if (x->options->cancel && *x->options->cancel && !x->cancelled)
		cancel_all(x);
	struct running *before = x->running;
	rc = rc ? rc : record_environment(x);
	rc = rc ? rc : take_up_ready(x);
	if (!rc && !x->running && (x->ready_head == x->ready_tail || x->halted))
		rc = end_over_all(x);
	rc = close_transaction(x, rc);
	for (struct running *r = x->running; !rc && r != before; r = r->next)
		start_child(x, r);
	return rc ? rc : take_environment(x);
}

static int run_all(struct execution *x)
{
	int rc = clear_active(x);
	for (size_t i = 0; i < x->graph->count; i++) {
		x->waits[i] = x->graph->nodes[i].waits_for;
		if (!x->waits[i])
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
	x.jobs = options->jobs > 0 ? (size_t)options->jobs : processors > 0 ? (size_t)processors : 1;
	x.waits = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.waits);
	x.ready = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.ready);
	x.settled = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.settled);
	x.untold = sl_arena_array(plan->graph.arena, plan->graph.count + 1, sizeof *x.untold);
	if (!x.waits || !x.ready || !x.settled || !x.untold)
		return sl_fail_memory(err);
	int rc = sl_processes_new(&x.processes, err);
	rc = rc ? rc : run_all(&x);
	sl_processes_free(x.processes); /* kills what still runs */
	while (x.running) {
		struct running *r = x.running;
		x.running = r->next;
		flow_task_done(&r->task);
		sl_free(r);
	}
	return rc;
}

/* Beginnings: a node's run on record, its child, what the child says, the environment of the whole. */
#include "flow/execution.h"

#include <stdio.h>
#include <string.h>

#include "os/clock.h"

enum { LINES_PER_SECOND = 1000 };
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
	const struct sl_step *step = r->task.graph->nodes[r->task.node].step;
	(void)stream;
	if (step && !r->text)
		r->text = flow_retry_text(&step->retry, line, len);
	if (step && step->sandbox && !*r->denied && (memmem(line, len, "ermission denied", 16) || memmem(line, len, "PermissionError", 15)))
		snprintf(r->denied, sizeof r->denied, "%.*s", (int)len, line);
	if (!events->line)
		return;
	if (second != r->second_ms) {
		r->second_ms = second;
		r->lines = 0;
	}
	if (++r->lines <= LINES_PER_SECOND)
		events->line(events->context, shown(r->execution, r->task.node), line, len);
}

int flow_launch(struct execution *x, struct running *r, struct sl_error *err)
{
	char tag[100];
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	const struct sl_step *step = node->step;
	snprintf(tag, sizeof tag, "%s.%zu", x->run.text, r->task.node);
	const struct sl_process_options options = {
		.argv = r->task.argv, .env = r->task.env, .dir = r->task.work_dir, .tag = tag, .log_path = r->task.log_path, .timeout_ms = r->task.timeout_ms,
		.on_line = x->options->events.line || (step && (step->retry.texts.count || step->sandbox)) ? on_line : NULL, .on_event = on_event, .context = r,
		.sandbox = r->task.sandboxed && !r->task.inspecting ? &r->task.sandbox : NULL,
		.memory_bytes = node->action == FLOW_RUN && !r->task.inspecting ? step->memory_bytes : 0,
	};
	return sl_process_start(x->processes, &options, &r->process, err);
}

const char *flow_program(const struct execution *x) { return x->options->program ? x->options->program : "/proc/self/exe"; }

/* A worker starts nothing, and dies with us; a command may start anything. */
static int guard_command(struct execution *x, const struct running *r, struct sl_error *err)
{
	char job[sizeof FLOW_GUARD + sizeof x->run.text + 1];
	const char *const argv[] = {flow_program(x), "worker", job, NULL};
	snprintf(job, sizeof job, "%s%s.", FLOW_GUARD, x->run.text);
	return x->graph->nodes[r->task.node].action == FLOW_RUN ? sl_processes_guard(x->processes, argv, err) : 0;
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------------ */

struct running *flow_new_running(struct execution *x, size_t i)
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
int flow_clear_active(struct execution *x)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(meta_of(x), &stmt, x->err, "SELECT value FROM setting WHERE name = ?1", "s", FLOW_ACTIVE);
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
	int64_t n = sl_meta_exec(meta_of(x), x->err, "INSERT INTO setting(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2", "ss", FLOW_ACTIVE, x->run.text);
	return n < 0 ? (int)n : 0;
}

int flow_begin_node(struct execution *x, struct running *r)
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

/* Takes the children's folder and descriptors in hand after their runs are on record. */
/* How the run stands, for a step at its end. */
static void show_run(struct execution *x, struct flow_task *task)
{
	char names[SL_FLOW_CAUSE_MAX] = "";
	size_t n = 0;
	for (size_t i = 0; i < x->graph->count; i++) {
		const char *name = x->graph->nodes[i].name;
		if (shown(x, i)->state == SL_FLOW_FAILED && n + strlen(name) + 2 < sizeof names)
			n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? " " : "", name);
	}
	task->status = x->cancelled ? "cancelled" : x->plan->report->failed ? "failed" : "ok";
	task->failed = flow_words(x->graph, "%s", names);
}

void flow_start_child(struct execution *x, struct running *r)
{
	struct sl_flow_node *node = shown(x, r->task.node);
	node->run = r->task.run;
	node->started_ms = sl_now_ms();
	node->state = SL_FLOW_RUNNING;
	if (x->options->events.started)
		x->options->events.started(x->options->events.context, node);
	if (x->graph->nodes[r->task.node].finally)
		show_run(x, &r->task);
	r->task.gpus = flow_queue_gpus(x->queue, r->task.node);
	int rc = flow_task_begin(&r->task, flow_program(x), &r->error);
	if (!rc && !r->task.argv) { /* no child: what it makes was made while it was planned */
		r->end.ok = true;
		rc = flow_task_keep(&r->task, &r->error);
		blame(r, rc);
		return;
	}
	rc = rc ? rc : guard_command(x, r, &r->error);
	rc = rc ? rc : flow_launch(x, r, &r->error);
	r->not_started = rc && rc != SL_E_FAILED && rc != SL_E_INVALID && rc != SL_E_NOT_FOUND;
	blame(r, rc);
}

/* The environment costs 10 ms (git), so it is taken while the first children already work, and written with the next turn's commit. */
int flow_take_environment(struct execution *x)
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

int flow_record_environment(struct execution *x)
{
	const char *environment = SL_TAKE(x->environment);
	if (!environment)
		return 0;
	int rc = flow_open_transaction(x);
	if (!rc && x->diff_bytes)
		rc = sl_run_artifact(track_of(x), &x->run, "environment/git.diff", &x->diff, x->diff_bytes, x->err);
	int64_t n = rc ? rc : sl_meta_exec(meta_of(x), x->err, "UPDATE run SET environment = ?2 WHERE id = ?1", "ss", x->run.text, environment);
	return n < 0 ? (int)n : 0;
}


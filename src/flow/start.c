/* Beginnings: a node's run on record, its child, what the child says, the environment of the whole. */
#include "flow/execution.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/sys.h"

/* ---- what a child says ---------------------------------------------------------------------------------------------------------------- */

/* "MILLISECONDS JSON" */
static void on_event(struct running *r, const char *line, size_t len)
{
	const struct sl_flow_events *events = &r->execution->options->events;
	struct sl_flow_node *node = shown(r->execution, r->task.node);
	struct sl_metric metric;
	const char *what, *json = memchr(line, ' ', len);
	double fraction = -1;
	if (!json)
		return;
	size_t metrics = r->task.metric_count;
	flow_task_event(&r->task, json + 1, len - (size_t)(json + 1 - line), strtoll(line, NULL, 10), &fraction, &what, &metric);
	if (r->first) { /* the record has what the first time told */
		r->task.metric_count = metrics;
		return;
	}
	if (metric.name)
		r->told = r->hearing.read;
	if (what && events->progress)
		events->progress(events->context, node, fraction, what);
	if (metric.name && events->metric)
		events->metric(events->context, node, metric.name, metric.step, metric.value);
}

static void split_events(struct running *r, const char *data, size_t len)
{
	struct hearing *h = &r->hearing;
	for (const char *end; (end = memchr(data, '\n', len));) {
		size_t n = (size_t)(end - data);
		h->read += n + 1;
		sl_buf_add(&h->line, data, n);
		if (!h->line.failed)
			on_event(r, sl_buf_cstr(&h->line), h->line.len);
		sl_buf_clear(&h->line);
		data = end + 1;
		len -= n + 1;
	}
	sl_buf_add(&h->line, data, len);
	h->read += len;
}

void flow_hear(struct running *r)
{
	char path[SL_PATH_MAX], name[FLOW_KEPT_ID + 8], piece[16 << 10];
	struct hearing *h = &r->hearing;
	ssize_t n;
	snprintf(name, sizeof name, "%s.events", r->id);
	if (h->fd < 0 && (!r->dir || sl_path_join(path, r->dir, name, NULL) || sl_file_open(path, O_RDONLY | O_CLOEXEC, 0, &h->fd, NULL)))
		return;
	while ((n = sl_sys->pread(h->fd, piece, sizeof piece, (off_t)h->read)) > 0)
		split_events(r, piece, (size_t)n);
}

/* Another child of it: what it tells stands in another file. */
static void hear_anew(struct running *r)
{
	sl_file_close(&r->hearing.fd);
	sl_buf_clear(&r->hearing.line);
	r->hearing.read = r->told = r->told_written = 0;
}

/* ---- a child -------------------------------------------------------------------------------------------------------------------------- */

/* Ours; it starts while the beginning of the first step goes to the disk. */
static int have_keeper(struct execution *x, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	int rc = x->keeper ? 0 : sl_path_join(dir, x->graph->store->tmp_dir, x->run.text, err);
	if (x->keeper || rc)
		return rc;
	rc = flow_keeper_new(&x->keepers, flow_program(x), dir, &x->keeper, err);
	return rc || !x->options->face ? rc : flow_keeper_hold(x->keeper, x->options->face->listen_fd, err);
}

/* The row tells where its process is to be found. */
static int move_attempt(struct execution *x, const struct running *r, struct sl_error *err)
{
	int rc = r->left ? flow_open_transaction(x) : 0;
	int64_t n = !r->left || rc ? rc : sl_meta_exec(meta_of(x), err, "UPDATE attempt SET keeper = ?2 WHERE run = ?1", "ss", r->task.run.text, x->run.text);
	return n < 0 ? (int)n : 0;
}

int flow_launch(struct execution *x, struct running *r, struct sl_error *err)
{
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	const struct sl_step *step = node->step;
	bool command = node->action == FLOW_RUN && !r->task.inspecting;
	int rc = have_keeper(x, err);
	rc = rc ? rc : flow_keeper_ready(x->keeper, err);
	rc = rc ? rc : move_attempt(x, r, err);
	if (rc)
		return rc;
	snprintf(r->id, sizeof r->id, "%s.%d", r->task.run.text, r->task.inspecting + (r->first ? FLOW_REPEATED : 0));
	hear_anew(r);
	struct flow_kept_start start = {
		.id = r->id, .texts = step ? &step->retry.texts : NULL,
		.process = {.argv = r->task.argv, .env = r->task.env, .dir = r->task.work_dir, .log_path = r->task.log_path, .timeout_ms = r->task.timeout_ms,
			    .sandbox = r->task.sandboxed && command ? &r->task.sandbox : NULL, .memory_bytes = command ? step->memory_bytes : 0},
	};
	if (command)
		start.process.limits = (struct sl_limits){step->limit_cpu_ms, step->limit_file_bytes, (uint64_t)step->limit_open_files};
	rc = flow_keeper_start(x->keeper, &start, err);
	r->keeper = rc ? NULL : x->keeper;
	r->dir = flow_keeper_dir(x->keeper);
	return rc;
}

const char *flow_program(const struct execution *x) { return x->options->program ? x->options->program : "/proc/self/exe"; }

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
	r->hearing.fd = -1;
	sl_buf_init(&r->hearing.line, SL_PROCESS_EVENT_MAX + 64);
	r->next = x->running;
	x->running = r;
	x->running_count++;
	return r;
}

void flow_running_done(struct running *r)
{
	sl_file_close(&r->hearing.fd);
	sl_buf_done(&r->hearing.line);
	flow_task_done(&r->task);
	sl_free(r);
}

int flow_begin_over_all(struct execution *x)
{
	if (*x->run.text)
		return 0;
	const char *words = x->options->words ? x->options->words : "";
	const char *active;
	const struct sl_run_start start = {.kind = "run", .name = x->options->command ? x->options->command : "sluice run", .reason = "", .environment = "{}"};
	int rc = sl_run_begin(track_of(x), &start, &x->run, x->err);
	if (rc)
		return rc;
	x->plan->report->run = x->run;
	active = sl_arena_printf(x->graph->arena, "%s %s", x->run.text, words);
	if (!active)
		return sl_fail_memory(x->err);
	int64_t n = sl_meta_exec(meta_of(x), x->err, "INSERT INTO setting(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2", "ss", FLOW_ACTIVE, active);
	return n < 0 ? (int)n : 0;
}

int flow_begin_node(struct execution *x, struct running *r)
{
	static const char *const KINDS[] = {[FLOW_INGEST] = "ingest", [FLOW_SQL] = "step", [FLOW_RUN] = "step", [FLOW_TRAIN] = "train",
					    [FLOW_EVALUATE] = "evaluate", [FLOW_GATE] = "evaluate"};
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	int rc = flow_begin_over_all(x);
	const struct sl_run_start start = {.kind = KINDS[node->action], .name = node->name, .reason = r->task.decision.reason, .parent = x->run.text,
					   .fingerprint = r->task.decision.fingerprint, .environment = "{}"};
	rc = rc ? rc : sl_run_begin(track_of(x), &start, &r->task.run, x->err);
	rc = rc ? rc : flow_task_record_start(&r->task, x->err);
	if (rc)
		return rc;
	if (!flow_takes_tree(node))
		have_keeper(x, NULL); /* what fails here fails again, as the node's, when it is asked for */
	int64_t n = sl_meta_exec(meta_of(x), x->err, "INSERT INTO attempt(run, keeper, gpus, told) VALUES(?1, ?2, ?3, 0)", "ssi", r->task.run.text, x->run.text,
				 (int64_t)flow_queue_gpus(x->queue, r->task.node));
	return n < 0 ? (int)n : 0;
}

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
	if (r->left) {
		flow_go_on(x, r);
		return;
	}
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


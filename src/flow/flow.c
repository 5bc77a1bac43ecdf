#include "flow/flow.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/execute.h"
#include "os/clock.h"

const char *sl_flow_kind_name(enum sl_flow_kind kind)
{
	static const char *const NAMES[] = {[SL_FLOW_SOURCE] = "source", [SL_FLOW_STEP] = "step", [SL_FLOW_MODEL] = "model"};
	return NAMES[kind];
}

const char *sl_flow_state_name(enum sl_flow_state state)
{
	static const char *const NAMES[] = {
		[SL_FLOW_FRESH] = "fresh", [SL_FLOW_REUSED] = "reused", [SL_FLOW_STALE] = "stale", [SL_FLOW_MAYBE] = "maybe", [SL_FLOW_RUNNING] = "running",
		[SL_FLOW_LAST] = "last", [SL_FLOW_OK] = "ok", [SL_FLOW_FAILED] = "failed", [SL_FLOW_SKIPPED] = "skipped", [SL_FLOW_CANCELLED] = "cancelled", [SL_FLOW_WAITING] = "waiting",
	};
	return NAMES[state];
}

/* ---- plan ---------------------------------------------------------------------------------------------------------------------------- */

static bool inputs_known(const struct flow_graph *g, const struct flow_node *node, const struct sl_flow_node *shown, size_t *ret_first)
{
	for (size_t i = 0; i < node->input_count; i++) {
		enum sl_flow_state state = shown[node->inputs[i].node].state;
		*ret_first = node->inputs[i].node;
		if (state != SL_FLOW_FRESH && state != SL_FLOW_REUSED && state != SL_FLOW_WAITING)
			return false;
		const struct flow_output *from = flow_input_from(g, &node->inputs[i]);
		if (from && !from->known)
			return false;
	}
	return true;
}

static void show_node(const struct flow_node *node, struct sl_flow_node *ret)
{
	static const char *const ACTIONS[] = {[FLOW_INGEST] = "ingest", [FLOW_SQL] = "sql", [FLOW_RUN] = "run", [FLOW_TRAIN] = "train",
					      [FLOW_EVALUATE] = "evaluate", [FLOW_GATE] = "gate"};
	ret->name = node->name;
	ret->kind = node->kind;
	ret->action = ACTIONS[node->action];
	ret->reason = ret->cause = ret->note = "";
}

int flow_plan_node(struct flow_plan *plan, size_t i, const struct sl_flow_options *options, struct sl_error *err)
{
	struct flow_graph *graph = &plan->graph;
	struct sl_flow_node *shown = &plan->report->nodes[i];
	struct flow_decision d;
	int rc = flow_decide(graph, i, graph->nodes[i].finally || ((options->force || options->repeat) && graph->nodes[i].asked), !options->preview, &d, err);
	if (rc)
		return rc;
	shown->state = d.state;
	shown->note = *d.note ? flow_words(graph, "%s", d.note) : "";
	shown->reason = d.state == SL_FLOW_FRESH ? "nothing changed" : flow_words(graph, "%s", d.reason);
	if (!d.document)
		return 0;
	plan->decisions[i] = sl_arena_alloc(graph->arena, sizeof d);
	if (!plan->decisions[i])
		return sl_fail_memory(err);
	*plan->decisions[i] = d;
	return 0;
}

static int plan_node(struct flow_plan *plan, size_t i, const struct sl_flow_options *options, struct sl_error *err)
{
	struct flow_node *node = &plan->graph.nodes[i];
	struct sl_flow_node *shown = &plan->report->nodes[i];
	size_t first;
	show_node(node, shown);
	if (node->left_out || node->finally) {
		shown->state = node->left_out ? SL_FLOW_SKIPPED : SL_FLOW_LAST;
		shown->reason = node->left_out ? node->left_out : "when everything has ended";
		return 0;
	}
	if (inputs_known(&plan->graph, node, plan->report->nodes, &first))
		return flow_plan_node(plan, i, options, err);
	shown->state = SL_FLOW_MAYBE;
	shown->reason = flow_words(&plan->graph, "%s runs first", plan->graph.nodes[first].name);
	return 0;
}

static int make_plan(struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options, struct flow_plan *ret,
		     struct sl_flow_report *report, struct sl_error *err)
{
	*ret = (struct flow_plan){.report = report};
	if (flow_graph_build(store, project, options->names, options->name_count, !options->preview, report->arena, &ret->graph, err))
		return err->code;
	ret->decisions = sl_arena_array(report->arena, ret->graph.count + 1, sizeof *ret->decisions);
	report->nodes = sl_arena_array(report->arena, ret->graph.count + 1, sizeof *report->nodes);
	report->count = ret->graph.count;
	if (!ret->decisions || !report->nodes)
		return sl_fail_memory(err);
	/* One look at the database for all: a lock for each node's questions would cost more than their answers. */
	int rc = sl_meta_begin_read(store->meta, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < report->count; i++)
		rc = plan_node(ret, i, options, err);
	sl_meta_end_read(store->meta);
	return rc;
}

/* Is a step for the end on record as begun and not as ended? 1 or 0. */
static int has_left_end(struct sl_store *store, const struct flow_graph *graph, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < graph->count; i++) {
		int64_t count = 0;
		if (graph->nodes[i].finally)
			rc = sl_meta_int(store->meta, 0, &count, err, "SELECT count(*) FROM attempt a JOIN run r ON r.id = a.run WHERE r.name = ?1", "s", graph->nodes[i].name);
		rc = rc ? rc : count != 0;
	}
	return rc;
}

/* Nothing to run and nothing to put in place; counts what there is. */
static bool nothing_to_do(struct sl_flow_report *report, bool preview, bool left)
{
	for (size_t i = 0; i < report->count; i++) {
		enum sl_flow_state state = report->nodes[i].state;
		report->fresh += state == SL_FLOW_FRESH;
		report->waiting += state == SL_FLOW_WAITING;
		report->reused += state == SL_FLOW_REUSED;
		report->ran += state == SL_FLOW_STALE || state == SL_FLOW_MAYBE;
		report->skipped += state == SL_FLOW_SKIPPED;
	}
	bool nothing = report->reused == 0 && report->ran == 0 && !left;
	if (!nothing && !preview)
		report->fresh = report->waiting = report->reused = report->ran = report->skipped = 0; /* counted anew as they settle */
	return nothing;
}

/* ---- one at a time -------------------------------------------------------------------------------------------------------------------- */

static int newest_run(struct sl_store *store, char out[SL_ID_LEN + 1], struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	out[0] = 0;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT id FROM run ORDER BY id DESC LIMIT 1", "");
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc == 1)
		snprintf(out, SL_ID_LEN + 1, "%s", sl_stmt_text(stmt, 0));
	return rc < 0 ? rc : 0;
}

/* A child of a run that was killed this moment holds its lock until the child's exec is through (vfork lets the parent go on before the kernel closes
 * descriptors): then waiting takes no time. */
static bool holder_is_gone(const struct sl_error *why)
{
	const char *pid = strstr(why->message, "process ");
	return pid && kill((pid_t)atol(pid + strlen("process ")), 0) < 0 && errno == ESRCH;
}

static int lock(struct sl_store *store, const struct sl_flow_options *options, int *ret_fd, struct sl_error *err)
{
	char path[SL_PATH_MAX], holder[256];
	int rc = sl_path_join(path, store->dir, "run.lock", err);
	if (rc)
		return rc;
	snprintf(holder, sizeof holder, "%.180s, process %ld", options->command ? options->command : "sluice run", (long)getpid());
	rc = sl_file_lock(path, holder, options->wait, ret_fd, err);
	if (rc == SL_E_BUSY && holder_is_gone(err))
		rc = sl_file_lock(path, holder, true, ret_fd, err);
	return rc == SL_E_BUSY ? sl_error_hint(err, "wait for it with --wait, or end it; what it does is then not done again") : rc;
}

static void tell_fresh(const struct sl_flow_report *report, const struct sl_flow_options *options)
{
	for (size_t i = 0; options->events.ended && i < report->count; i++)
		options->events.ended(options->events.context, &report->nodes[i]);
}

static int plan_and_execute(struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options, struct sl_flow_report *report,
			    struct sl_error *err)
{
	struct flow_plan plan;
	char before[SL_ID_LEN + 1], after[SL_ID_LEN + 1];
	SL_AUTO_CLOSE int fd = -1;
	int rc = newest_run(store, before, err);
	rc = rc ? rc : make_plan(store, project, options, &plan, report, err);
	if (rc)
		return rc;
	int left = options->preview ? 0 : has_left_end(store, &plan.graph, err);
	if (left < 0)
		return left;
	bool nothing = nothing_to_do(report, options->preview, left);
	if (!nothing && !options->preview) {
		rc = lock(store, options, &fd, err);
		rc = rc ? rc : newest_run(store, after, err);
		if (!rc && strcmp(before, after) != 0) { /* somebody ran meanwhile: what was to be done may be done */
			rc = make_plan(store, project, options, &plan, report, err);
			left = rc ? rc : has_left_end(store, &plan.graph, err);
			rc = left < 0 ? left : 0;
			nothing = !rc && nothing_to_do(report, false, left);
		}
	}
	if (rc)
		return rc;
	if (options->events.planned)
		options->events.planned(options->events.context, report->nodes, report->count);
	if (options->preview)
		return 0;
	if (nothing) {
		tell_fresh(report, options);
		return 0;
	}
	return flow_execute(&plan, options, err);
}

int sl_flow_run(struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options, struct sl_flow_report *ret, struct sl_error *err)
{
	int64_t started = sl_monotonic_ns();
	struct sl_error dropped;
	err = err ? err : &dropped;
	*ret = (struct sl_flow_report){.arena = sl_arena_new(0, err)};
	if (!ret->arena)
		return SL_E_NO_MEMORY;
	int rc = plan_and_execute(store, project, options, ret, err);
	ret->elapsed_ms = (sl_monotonic_ns() - started) / 1000000;
	return rc;
}

void sl_flow_report_done(struct sl_flow_report *report)
{
	sl_arena_free(report->arena);
	*report = (struct sl_flow_report){0};
}

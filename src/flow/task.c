#include "flow/task.h"
#include "flow/show.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "flow/tree.h"
#include "learn/package.h"
#include "os/clock.h"
#include "os/disk.h"

extern char **environ;

static struct flow_node *node_of(const struct flow_task *task) { return &task->graph->nodes[task->node]; }

/* ---- begin -------------------------------------------------------------------------------------------------------------------------- */

static int use_worker(struct flow_task *task, const char *program, struct sl_error *err)
{
	const char *job = sl_arena_printf(task->arena, "%s/job.json", task->dir);
	task->argv = sl_arena_array(task->arena, 4, sizeof *task->argv);
	if (!job || !task->argv)
		return sl_fail_memory(err);
	task->argv[0] = program;
	task->argv[1] = "worker";
	task->argv[2] = job;
	task->env = (const char **)(uintptr_t)environ;
	task->work_dir = task->graph->project->dir;
	task->timeout_ms = node_of(task)->step ? node_of(task)->step->timeout_ms : 0;
	return 0;
}

bool flow_takes_tree(const struct flow_node *node) { return node->source && node->outputs[0].kind == FLOW_TREE; }

/* Its folder and log. */
static int name_places(struct flow_task *task, struct sl_error *err)
{
	const struct sl_store *store = task->graph->store;
	char logs[SL_PATH_MAX];
	task->outcome = SL_FLOW_OK;
	task->tables = sl_arena_array(task->arena, node_of(task)->output_count + 1, sizeof *task->tables);
	int rc = task->tables ? 0 : sl_fail_memory(err);
	rc = rc ? rc : sl_path_join(task->dir, store->tmp_dir, task->run.text, err);
	rc = rc ? rc : sl_path_join(logs, store->runs_dir, task->run.text, err);
	return rc ? rc : sl_path_join(task->log_path, logs, "log", err);
}

/* A command that neither reads nor makes anything needs no folder; an input may only order. */
static bool needs_folder(const struct flow_task *task)
{
	const struct flow_node *node = node_of(task);
	bool needs = node->action != FLOW_RUN || node->output_count || node->params.count || node->step->sandbox;
	for (size_t i = 0; i < node->input_count; i++)
		needs |= flow_input_from(task->graph, &node->inputs[i]) != NULL;
	return needs;
}

int flow_task_begin(struct flow_task *task, const char *program, struct sl_error *err)
{
	const struct flow_node *node = node_of(task);
	int rc = name_places(task, err);
	if (rc)
		return rc;
	task->has_dir = needs_folder(task);
	rc = task->has_dir ? sl_dir_make(task->dir, err) : 0;
	if (rc || node->action == FLOW_RUN)
		return rc ? rc : flow_command_prepare(task, err);
	if (flow_takes_tree(node))
		return 0;
	rc = flow_job_write(task, err);
	return rc ? rc : use_worker(task, program, err);
}

int flow_task_again(struct flow_task *task, const char *program, struct sl_error *err)
{
	if (task->sandboxed)
		sl_sandbox_done(&task->sandbox);
	task->sandboxed = task->inspecting = false;
	int rc = task->has_dir ? sl_dir_remove(task->dir, err) : 0;
	return rc ? rc : flow_task_begin(task, program, err);
}

int flow_task_resume(struct flow_task *task, const char *program, int stage, struct sl_error *err)
{
	const struct flow_node *node = node_of(task);
	int rc = name_places(task, err);
	task->has_dir = needs_folder(task);
	task->inspecting = stage == 1;
	if (!rc && node->action == FLOW_GATE)
		rc = flow_gate_find_champion(task, err);
	if (!rc && node->action == FLOW_RUN && node->step->sandbox) /* for the record: the child has its own */
		rc = flow_sandbox_prepare(task, err);
	return rc ? rc : use_worker(task, program, err);
}

int flow_task_next(struct flow_task *task, const char *program, struct sl_error *err)
{
	if (node_of(task)->action != FLOW_RUN || task->inspecting)
		return 0;
	int rc = flow_command_check_outputs(task, err);
	bool tables = false;
	for (size_t i = 0; i < node_of(task)->output_count; i++)
		tables |= node_of(task)->outputs[i].kind == FLOW_DATASET;
	if (rc || !tables)
		return rc;
	task->inspecting = true;
	rc = flow_job_write_inspection(task, err);
	rc = rc ? rc : use_worker(task, program, err);
	return rc ? rc : 1;
}

/* ---- result -------------------------------------------------------------------------------------------------------------------------- */

static int read_result(struct flow_task *task, yyjson_doc **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(256 << 20);
	int rc = sl_path_join(path, task->dir, "result.json", err);
	rc = rc ? rc : sl_file_read(path, &text, err);
	if (rc)
		return rc;
	*ret = sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	return *ret ? 0 : SL_E_FAILED;
}

int flow_task_blame(struct flow_task *task, const struct sl_process_end *end, struct sl_error *err)
{
	const char *outputs = task->has_dir ? task->dir : task->work_dir, *full = "";
	if (end->exit_status >= 0 && !end->stopped && task->told.code) {
		if (err)
			*err = task->told;
		return task->told.code;
	}
	int code = end->stopped ? SL_E_CANCELLED : end->timed_out ? SL_E_TIMEOUT : SL_E_FAILED;
	if (code == SL_E_FAILED && sl_disk_full(outputs))
		full = outputs;
	else if (code == SL_E_FAILED && sl_disk_full(task->work_dir))
		full = task->work_dir;
	if (!*full)
		return sl_fail(err, code, "%s", end->cause);
	sl_fail(err, SL_E_NO_SPACE, "%s, and its disk is full", end->cause);
	return sl_disk_hint(err, full, 0);
}

static int keep_table(struct flow_task *task, size_t output, yyjson_val *report, struct sl_error *err)
{
	struct flow_table *table = &task->tables[output];
	int rc = sl_check_report_parse(report, task->arena, &table->report, err);
	rc = rc ? rc : sl_check_report_error(&table->report, err);
	rc = rc ? rc : sl_checked_keep(task->graph->store->objects, &table->report, task->arena, &table->checked, err);
	if (rc)
		return rc;
	struct flow_node *node = node_of(task);
	node->outputs[output].hash = table->checked.hash;
	node->outputs[output].known = true;
	if (output + 1 < node->output_count && !*node->outputs[output + 1].path && table->checked.has_quarantine) {
		node->outputs[output + 1].hash = table->checked.quarantine_hash;
		node->outputs[output + 1].known = true;
	}
	return 0;
}

static int keep_scores(yyjson_val *from, struct sl_scores *ret, bool *ret_has)
{
	yyjson_val *key, *value;
	size_t i, max;
	*ret_has = yyjson_is_obj(from);
	yyjson_obj_foreach(from, i, max, key, value)
		for (size_t k = 0; sl_metric_names[k]; k++) /* the scores keep the names of the table */
			if (strcmp(sl_metric_names[k], yyjson_get_str(key)) == 0)
				sl_scores_add(ret, sl_metric_names[k], yyjson_is_num(value) ? yyjson_get_num(value) : __builtin_nan(""));
	return 0;
}

static int keep_file(struct flow_task *task, struct flow_output *output, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = *output->path ? flow_output_path(task, output, path, err) : sl_path_join(path, task->dir, "staging/report.json", err);
	rc = rc ? rc : flow_tree_keep(task->graph->store, path, &output->hash, err);
	output->known = !rc;
	return rc;
}

static int keep_tree(struct flow_task *task, struct flow_output *output, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_tree_taken taken = node_of(task)->tree;
	int rc = flow_takes_tree(node_of(task)) ? 0 : flow_output_path(task, output, path, err);
	if (!rc && !flow_takes_tree(node_of(task)))
		rc = flow_tree_take(task->graph->store, path, &taken, err);
	output->hash = taken.hash;
	output->known = !rc;
	return rc;
}

static int keep_model(struct flow_task *task, struct flow_output *output, struct sl_error *err)
{
	char staging[SL_PATH_MAX];
	int rc = sl_path_join(staging, task->dir, "staging", err);
	rc = rc ? rc : sl_package_keep(task->graph->store->objects, staging, &output->hash, err);
	output->known = !rc;
	return rc;
}

static int keep_outputs(struct flow_task *task, yyjson_val *result, struct sl_error *err)
{
	struct flow_node *node = node_of(task);
	yyjson_val *reports = yyjson_obj_get(result, "reports");
	int rc = 0;
	for (size_t i = 0, table = 0; !rc && i < node->output_count; i++) {
		struct flow_output *o = &node->outputs[i];
		if (o->kind == FLOW_FILE)
			rc = keep_file(task, o, err);
		else if (o->kind == FLOW_TREE)
			rc = keep_tree(task, o, err);
		else if (o->kind == FLOW_MODEL)
			rc = keep_model(task, o, err);
		else if (!o->known) /* a quarantine was filled with its table */
			rc = keep_table(task, i, yyjson_arr_get(reports, table++), err);
	}
	return rc;
}

int flow_task_keep(struct flow_task *task, struct sl_error *err)
{
	struct flow_node *node = node_of(task);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	task->scores.count = task->champion.count = 0;
	for (size_t i = 0; i < node->output_count; i++)
		node->outputs[i].known = false;
	int rc = !task->argv || (node->action == FLOW_RUN && !task->inspecting) ? 0 : read_result(task, &doc, err);
	yyjson_val *result = yyjson_doc_get_root(doc), *scores = yyjson_obj_get(result, "scores");
	if (rc)
		return rc;
	keep_scores(yyjson_arr_get(scores, 0), &task->scores, &task->has_scores);
	if (node->action == FLOW_GATE)
		keep_scores(yyjson_arr_get(scores, 1), &task->champion, &task->has_champion);
	const char *libraries = sl_json_str(result, "libraries", NULL);
	task->libraries = libraries ? sl_arena_strdup(task->arena, libraries) : NULL;
	return keep_outputs(task, result, err);
}

/* ---- commit ----------------------------------------------------------------------------------------------------------------------------- */

int flow_task_record_start(struct flow_task *task, struct sl_error *err)
{
	const struct flow_node *node = node_of(task);
	struct sl_track *track = &task->graph->store->track;
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	int rc = doc ? 0 : sl_fail_memory(err);
	for (size_t i = 0; !rc && i < node->params.count; i++) {
		SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_YAML_BYTES_MAX * 2);
		const struct sl_param *param = sl_step_param(task->graph->project, node->step, node->params.items[i]);
		yyjson_mut_val *value = flow_param_json(doc, &param->value);
		rc = value ? sl_json_mut_canonical(value, &text, err) : sl_fail_memory(err);
		rc = rc ? rc : sl_run_param(track, &task->run, param->name, sl_buf_cstr(&text), err);
	}
	for (size_t i = 0; !rc && i < node->input_count; i++) {
		const struct flow_output *from = flow_input_from(task->graph, &node->inputs[i]);
		if (from)
			rc = sl_run_input(track, &task->run, from->kind == FLOW_FILE ? "file" : flow_output_kind_name(from->kind), node->inputs[i].name, &from->hash, err);
	}
	if (!rc && flow_takes_tree(node))
		rc = sl_run_input(track, &task->run, "file", node->source->path, &node->tree.hash, err);
	else if (!rc && node->ingest_ready)
		rc = sl_ingest_record(track, &node->ingest, &task->run, err);
	/* Code files stand in the document with their hashes. */
	SL_AUTO_JSON yyjson_doc *document = yyjson_read(task->decision.document, strlen(task->decision.document), 0);
	yyjson_val *key, *value;
	size_t i, max;
	yyjson_obj_foreach(yyjson_obj_get(yyjson_doc_get_root(document), "code"), i, max, key, value) {
		struct sl_hash hash;
		if (!rc && sl_hash_parse(yyjson_get_str(value), &hash))
			rc = sl_run_input(track, &task->run, "code", yyjson_get_str(key), &hash, err);
	}
	return rc;
}

int flow_task_record_metrics(struct flow_task *task, struct sl_error *err)
{
	size_t count = task->metric_count - task->metrics_written;
	int rc = count ? sl_run_metrics(&task->graph->store->track, &task->run, task->metrics + task->metrics_written, count, err) : 0;
	task->metrics_written = task->metric_count;
	return rc;
}

static int commit_scores(struct flow_task *task, int64_t now_ms, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < task->scores.count; i++) {
		const struct sl_metric metric = {.name = task->scores.items[i].name, .time_ms = now_ms, .value = task->scores.items[i].value};
		rc = sl_run_metrics(&task->graph->store->track, &task->run, &metric, 1, err);
	}
	return rc;
}

static int commit_table(struct flow_task *task, size_t i, struct sl_error *err)
{
	struct flow_table *t = &task->tables[i];
	char rows[32], put_aside[64] = "";
	bool changed = false;
	int rc = sl_checked_commit(&task->graph->store->track, node_of(task)->outputs[i].name, &t->checked, &t->report, &task->run, &changed, err);
	task->changed |= changed;
	snprintf(rows, sizeof rows, "%llu", (unsigned long long)t->report.clean_rows);
	if (t->report.quarantined_rows)
		snprintf(put_aside, sizeof put_aside, ", %llu put aside", (unsigned long long)t->report.quarantined_rows);
	char hex[SL_HASH_HEX + 1];
	if (i == 0)
		snprintf(task->note, sizeof task->note, "%s rows%s, %.6s", rows, put_aside, sl_hash_hex(&t->checked.hash, hex));
	return rc;
}

static int commit_tree(struct flow_task *task, size_t i, struct sl_error *err)
{
	const struct flow_output *o = &node_of(task)->outputs[i];
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_run_output(&task->graph->store->track, &task->run, flow_output_kind_name(o->kind), o->name, &o->hash, err);
	rc = rc ? rc : sl_tree_commit(task->graph->store, o->name, &o->hash, &task->run, err);
	task->changed |= rc == 0;
	rc = rc < 0 ? rc : sl_tree_reader_new(task->graph->store->objects, &o->hash, &reader, err);
	if (!rc && i == 0)
		snprintf(task->note, sizeof task->note, "%llu files, %.6s", (unsigned long long)sl_tree_reader_sum(reader)->files,
			 sl_hash_hex(&o->hash, hex));
	return rc;
}

static int commit_outputs(struct flow_task *task, struct sl_error *err)
{
	struct flow_node *node = node_of(task);
	char hex[SL_HASH_HEX + 1];
	int rc = 0;
	for (size_t i = 0; !rc && i < node->output_count; i++) {
		const struct flow_output *o = &node->outputs[i];
		if (o->kind == FLOW_DATASET) {
			rc = task->tables[i].report.dataset ? commit_table(task, i, err) : 0;
			continue;
		}
		if (o->kind == FLOW_TREE) {
			rc = commit_tree(task, i, err);
			continue;
		}
		rc = sl_run_output(&task->graph->store->track, &task->run, flow_output_kind_name(o->kind), o->name, &o->hash, err);
		rc = rc ? rc : flow_show_output(task->graph, &task->run, o, err);
		task->changed = true;
		if (i == 0)
			snprintf(task->note, sizeof task->note, "%.6s", sl_hash_hex(&o->hash, hex));
	}
	return rc;
}

/* How the command was held, for `show`. */
static int record_sandbox(struct flow_task *task, struct sl_error *err)
{
	struct sl_track *track = &task->graph->store->track;
	int rc = task->sandboxed ? sl_run_tag(track, &task->run, "sandbox", task->sandbox.words, err) : 0;
	return rc || !task->refused ? rc : sl_run_tag(track, &task->run, "sandbox_refused", task->refused, err);
}

int flow_task_commit(struct flow_task *task, int64_t now_ms, struct sl_error *err)
{
	struct sl_track *track = &task->graph->store->track;
	bool gate = node_of(task)->action == FLOW_GATE;
	int rc = flow_task_record_metrics(task, err);
	rc = rc ? rc : commit_scores(task, now_ms, err);
	rc = rc ? rc : gate ? flow_gate_commit(task, err) : commit_outputs(task, err);
	rc = rc ? rc : record_sandbox(task, err);
	if (!rc && task->libraries)
		rc = sl_run_tag(track, &task->run, "libraries", task->libraries, err);
	bool failed = task->outcome == SL_FLOW_FAILED;
	rc = rc ? rc : sl_run_end(track, &task->run, failed ? "failed" : "ok", task->cause, err);
	/* A refusal is not remembered: the champion may be another one next time. */
	if (!rc && !failed)
		rc = flow_remember(task->graph, task->node, &task->decision, &task->run, now_ms, err);
	return rc;
}

int flow_task_commit_failure(struct flow_task *task, const char *status, const char *cause, struct sl_error *err)
{
	struct flow_node *node = node_of(task);
	struct sl_track *track = &task->graph->store->track;
	int rc = flow_task_record_metrics(task, err);
	for (size_t i = 0; !rc && task->tables && i < node->output_count; i++)
		if (task->tables[i].report.failed)
			rc = sl_check_record(track, &task->tables[i].report, &(struct sl_hash){0}, &task->run, err);
	rc = rc ? rc : record_sandbox(task, err);
	return rc ? rc : sl_run_end(track, &task->run, status, cause, err);
}

int flow_task_place(struct flow_task *task, struct sl_error *err)
{
	struct flow_node *node = node_of(task);
	int rc = 0;
	for (size_t i = 0; !rc && i < node->output_count; i++)
		if (*node->outputs[i].path && node->outputs[i].kind == FLOW_FILE)
			rc = flow_file_place(task->graph, &node->outputs[i], err);
	return rc;
}

void flow_task_done(struct flow_task *task)
{
	if (task->sandboxed)
		sl_sandbox_done(&task->sandbox);
	if (task->has_dir)
		sl_dir_remove(task->dir, NULL);
	sl_free(task->metrics);
	sl_arena_free(task->arena);
}

/* ---- events --------------------------------------------------------------------------------------------------------------------------------- */

static void add_metric(struct flow_task *task, const struct sl_metric *metric)
{
	if (task->metric_count == FLOW_METRICS_MAX) {
		task->metrics_dropped++;
		return;
	}
	if (task->metric_count == task->metric_room) {
		size_t room = task->metric_room ? task->metric_room * 2 : 64;
		struct sl_metric *metrics = sl_realloc(task->metrics, room * sizeof *metrics, NULL);
		if (!metrics) {
			task->metrics_dropped++;
			return;
		}
		task->metrics = metrics;
		task->metric_room = room;
	}
	task->metrics[task->metric_count++] = *metric;
}

/* Only a worker's: a command speaks by its exit and its output. */
static void take_error(struct flow_task *task, yyjson_val *error)
{
	int code = (int)sl_json_int(error, "code", SL_E_FAILED);
	if (node_of(task)->action == FLOW_RUN && !task->inspecting)
		return;
	sl_fail_at(&task->told, code < 0 ? code : SL_E_FAILED, sl_json_str(error, "where", ""), "%s", sl_json_str(error, "message", "failed"));
	sl_error_hint(&task->told, "%s", sl_json_str(error, "hint", ""));
	if (node_of(task)->step)
		flow_place_error(task->graph->project, node_of(task)->step, &task->told);
}

/* {"metric":NAME,"step":N,"value":X}, {"progress":F,"what":TEXT} or {"error":{...}}; anything else is somebody's own and is let pass. */
void flow_task_event(struct flow_task *task, const char *line, size_t len, int64_t time_ms, double *ret_progress, const char **ret_what, struct sl_metric *ret_metric)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(line, len, "event", NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *name = sl_json_str(root, "metric", NULL);
	*ret_what = NULL;
	*ret_metric = (struct sl_metric){0};
	if (name && strlen(name) <= SL_NAME_MAX && yyjson_is_num(yyjson_obj_get(root, "value"))) {
		*ret_metric = (struct sl_metric){.name = sl_arena_strdup(task->arena, name), .step = sl_json_int(root, "step", 0), .time_ms = time_ms,
						 .value = sl_json_num(root, "value", 0)};
		if (ret_metric->name)
			add_metric(task, ret_metric);
	} else if (yyjson_is_num(yyjson_obj_get(root, "progress"))) {
		*ret_progress = sl_json_num(root, "progress", -1);
		*ret_what = sl_arena_strdup(task->arena, sl_json_str(root, "what", ""));
	} else if (yyjson_is_obj(yyjson_obj_get(root, "error"))) {
		take_error(task, yyjson_obj_get(root, "error"));
	}
}

/* The gate of a model: candidate and champion scored on the same rows, verdict, promotion. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "flow/task.h"
#include "learn/gate.h"

void flow_gate_rows(const struct flow_graph *graph, const struct flow_node *node, struct sl_arena *arena, struct sl_evaluate *ret)
{
	const struct sl_model *model = node->model;
	const struct sl_train *train = &sl_project_step(graph->project, model->from)->train;
	*ret = model->evaluate;
	if (*ret->data)
		return;
	/* The rows that training left out, else those that it saw. */
	ret->data = train->data;
	ret->weight = train->weight;
	ret->where = *train->validation ? train->validation : train->where;
	if (*train->validation && *train->where) {
		const char *both = sl_arena_printf(arena, "(%s) AND (%s)", train->where, train->validation);
		ret->where = both ? both : train->validation;
	}
}

/* Neither `evaluate` nor `validation`: the gate judges by rows that the model has seen. */
static bool in_sample(const struct flow_task *task)
{
	const struct sl_model *model = task->graph->nodes[task->node].model;
	return !*model->evaluate.data && !*sl_project_step(task->graph->project, model->from)->train.validation;
}

int flow_gate_find_champion(struct flow_task *task, struct sl_error *err)
{
	const struct flow_node *node = &task->graph->nodes[task->node];
	struct sl_model_version champion;
	if (!sl_gate_wants_champion(node->model->gate.items, node->model->gate.count))
		return 0;
	int rc = flow_find_version(task->graph, node->name, "champion", &champion, err);
	if (rc <= 0)
		return rc;
	task->has_champion = true;
	task->champion_version = champion.version;
	task->champion_hash = champion.hash;
	return 0;
}

bool flow_gate_job_holds(const struct flow_graph *graph, size_t node, const char *dir)
{
	struct flow_task now = {.graph = (struct flow_graph *)(uintptr_t)graph, .node = node};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(16 << 20);
	char path[SL_PATH_MAX], hex[SL_HASH_HEX + 1] = "";
	if (sl_path_join(path, dir, "job.json", NULL) || sl_file_read(path, &text, NULL) || flow_gate_find_champion(&now, NULL))
		return false;
	SL_AUTO_JSON yyjson_doc *job = sl_json_parse(sl_buf_cstr(&text), text.len, path, NULL);
	yyjson_val *packages = yyjson_obj_get(yyjson_doc_get_root(job), "packages");
	if (now.has_champion)
		sl_hash_hex(&now.champion_hash, hex);
	return packages && yyjson_arr_size(packages) == (now.has_champion ? 2 : 1) && (!now.has_champion || sl_str_eq(yyjson_get_str(yyjson_arr_get(packages, 1)), hex));
}

static int metrics_json(const struct sl_scores *scores, struct sl_buf *out, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *all = doc ? yyjson_mut_obj(doc) : NULL;
	bool ok = all != NULL;
	for (size_t i = 0; ok && i < scores->count; i++)
		if (scores->items[i].value - scores->items[i].value == 0) /* neither NaN nor infinite */
			ok = yyjson_mut_obj_add_real(doc, all, scores->items[i].name, scores->items[i].value);
	return ok ? sl_json_mut_canonical(all, out, err) : sl_fail_memory(err);
}

/* The first rule that failed, in words. */
static void name_failed_rule(struct flow_task *task, const char *verdict)
{
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(verdict, strlen(verdict), 0);
	yyjson_val *rule;
	size_t i, max;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, rule) {
		if (sl_json_bool(rule, "passed", true))
			continue;
		snprintf(task->cause, sizeof task->cause, "the gate refused it: %.200s (it has %.6g%s, the bar is %.6g)", sl_json_str(rule, "rule", ""),
			 sl_json_num(rule, "value", 0), in_sample(task) ? " in-sample" : "", sl_json_num(rule, "bar", 0));
		return;
	}
}

/* The package may have been a version before: then that one is judged anew. */
static int make_version(struct flow_task *task, const struct sl_hash *package, const char *metrics, int64_t *ret, struct sl_error *err)
{
	const char *name = task->graph->nodes[task->node].name;
	struct sl_track *track = &task->graph->store->track;
	struct sl_model_version known;
	char hex[SL_HASH_HEX + 1];
	int rc = flow_find_version(task->graph, name, sl_hash_hex(package, hex), &known, err);
	if (rc == 0)
		return sl_model_create(track, name, package, &task->run, metrics, ret, err);
	*ret = known.version;
	return rc < 0 ? rc : 0;
}

static int apply_verdict(struct flow_task *task, int64_t version, bool passed, const char *verdict, const char *metrics, struct sl_error *err)
{
	const struct flow_node *node = &task->graph->nodes[task->node];
	struct sl_track *track = &task->graph->store->track;
	bool promote = passed && node->model->promote_auto;
	int rc = sl_model_gate(track, node->name, version, !passed ? "refused" : promote ? "ready" : "waiting", verdict, metrics, err);
	if (!rc && promote)
		rc = sl_model_alias(track, node->name, "champion", version, "passed the gate", false, err);
	else if (!rc && passed)
		rc = sl_model_alias(track, node->name, "challenger", version, "passed the gate", true, err);
	return rc;
}

int flow_gate_commit(struct flow_task *task, struct sl_error *err)
{
	const struct flow_node *node = &task->graph->nodes[task->node];
	const struct flow_input *from = &node->inputs[0];
	const struct sl_hash *package = &flow_input_from(task->graph, from)->hash;
	SL_AUTO_BUF struct sl_buf verdict = SL_BUF_INIT(1 << 20), metrics = SL_BUF_INIT(1 << 20);
	bool passed = false;
	int64_t version = 0;
	int rc = sl_gate_check(node->model->gate.items, node->model->gate.count, &task->scores, task->has_champion ? &task->champion : NULL, &passed, &verdict, err);
	rc = rc ? rc : metrics_json(&task->scores, &metrics, err);
	rc = rc ? rc : make_version(task, package, sl_buf_cstr(&metrics), &version, err);
	rc = rc ? rc : apply_verdict(task, version, passed, sl_buf_cstr(&verdict), sl_buf_cstr(&metrics), err);
	rc = rc ? rc : sl_run_output(&task->graph->store->track, &task->run, "model", node->name, package, err);
	if (!rc && in_sample(task))
		rc = sl_run_tag(&task->graph->store->track, &task->run, "scored_on", "in-sample: the rows that it was trained on", err);
	if (rc)
		return rc;
	double auc = sl_scores_get(&task->scores, "auc"), rmse = sl_scores_get(&task->scores, "rmse");
	char score[48] = "";
	if (auc == auc)
		snprintf(score, sizeof score, ", auc %.4f", auc);
	else if (rmse == rmse)
		snprintf(score, sizeof score, ", rmse %.4g", rmse);
	task->outcome = !passed ? SL_FLOW_FAILED : node->model->promote_auto ? SL_FLOW_OK : SL_FLOW_WAITING;
	snprintf(task->note, sizeof task->note, "%s@%lld%s%s, %s", node->name, (long long)version, score, in_sample(task) ? " (in-sample)" : "",
		 task->outcome == SL_FLOW_FAILED ? "refused" : task->outcome == SL_FLOW_OK ? "promoted" : "waits for approval");
	if (!passed)
		name_failed_rule(task, sl_buf_cstr(&verdict));
	task->changed = true;
	return 0;
}

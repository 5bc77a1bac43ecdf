/* The job file of a worker: everything it may see, by path. Its shape is private to this program and version (worker.c reads it). */
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "data/check_past.h"
#include "flow/lookups.h"
#include "flow/task.h"
#include "learn/package.h"

struct writer { struct flow_task *task; struct flow_node *node; yyjson_mut_doc *doc; yyjson_mut_val *root; struct sl_error *err; };

static int memory_unless(struct writer *w, bool ok) { return ok ? 0 : sl_fail_memory(w->err); }

static bool put(struct writer *w, yyjson_mut_val *object, const char *name, const char *text)
{
	return yyjson_mut_obj_add_strcpy(w->doc, object, name, text);
}

static bool put_names(struct writer *w, yyjson_mut_val *object, const char *name, const struct sl_names *names)
{
	yyjson_mut_val *list = yyjson_mut_arr_with_strcpy(w->doc, names->items, names->count);
	return list && yyjson_mut_obj_add_val(w->doc, object, name, list);
}

/* ---- parts ---------------------------------------------------------------------------------------------------------------------- */

static int put_params(struct writer *w)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(w->doc, w->root, "params");
	bool ok = list != NULL;
	for (size_t i = 0; ok && i < w->node->params.count; i++) {
		const struct sl_param *param = sl_step_param(w->task->graph->project, w->node->step, w->node->params.items[i]);
		static const char *const TYPES[] = {[SL_VALUE_NULL] = "n", [SL_VALUE_BOOL] = "b", [SL_VALUE_INT] = "i", [SL_VALUE_DOUBLE] = "d",
						    [SL_VALUE_TEXT] = "s", [SL_VALUE_TIME] = "t", [SL_VALUE_JSON] = "s"};
		yyjson_mut_val *one = yyjson_mut_arr_add_obj(w->doc, list);
		ok = one && put(w, one, "name", param->name) && put(w, one, "type", TYPES[param->value.type]) &&
		     put(w, one, "text", param->value.text ? param->value.text : "") && yyjson_mut_obj_add_sint(w->doc, one, "i", param->value.i) &&
		     yyjson_mut_obj_add_real(w->doc, one, "d", param->value.d);
	}
	return memory_unless(w, ok);
}

/* One more of those that are read together: its files stand behind the others'. */
static int add_to_table(struct writer *w, yyjson_mut_val *table, const struct flow_input *in, const struct sl_names *paths, const char *columns)
{
	const char *first = yyjson_mut_get_str(yyjson_mut_obj_get(table, "columns"));
	if (!first || strcmp(first, columns) != 0) {
		sl_fail(w->err, SL_E_FAILED, "'%s' has other columns than the first of '%s', with which it is read together", in->name, in->of);
		return sl_error_hint(w->err, "let each item of the step make the same columns, by casts where types are found");
	}
	bool ok = true;
	for (size_t i = 0; ok && i < paths->count; i++)
		ok = yyjson_mut_arr_add_strcpy(w->doc, yyjson_mut_obj_get(table, "paths"), paths->items[i]);
	return memory_unless(w, ok);
}

/* The dataset inputs with the paths of their objects. */
static int put_tables(struct writer *w)
{
	struct flow_graph *g = w->task->graph;
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(w->doc, w->root, "tables");
	if (!list)
		return sl_fail_memory(w->err);
	for (size_t i = 0; i < w->node->input_count; i++) {
		const struct flow_input *in = &w->node->inputs[i];
		const struct flow_output *from = flow_input_from(g, in);
		struct sl_sql_table table;
		if (!from || in->for_checks || from->kind != FLOW_DATASET)
			continue;
		int rc = sl_dataset_table(g->store->objects, in->name, &from->hash, w->task->arena, &table, w->err);
		if (rc)
			return rc;
		const struct sl_names paths = {(const char **)(uintptr_t)table.paths, table.path_count};
		if (in->of && i && in[-1].of == in->of) {
			rc = add_to_table(w, yyjson_mut_arr_get_last(list), in, &paths, table.columns ? table.columns : "");
			if (rc)
				return rc;
			continue;
		}
		yyjson_mut_val *one = yyjson_mut_arr_add_obj(w->doc, list);
		if (!one || !put(w, one, "name", in->of ? in->of : in->name) || !put_names(w, one, "paths", &paths) || !put(w, one, "columns", table.columns ? table.columns : ""))
			return sl_fail_memory(w->err);
	}
	return 0;
}

/* The checks of an output, and what they compare with as the store has it now. */
static int put_checks(struct writer *w, yyjson_mut_val *object, const struct flow_output *output)
{
	struct sl_store *store = w->task->graph->store;
	struct sl_check_job job = {.dataset = output->name, .checks = output->checks ? output->checks->checks : NULL,
				   .count = output->checks ? output->checks->check_count : 0};
	int rc = sl_check_past_find(&store->track, store->objects, INT64_MAX, w->task->arena, &job, w->err);
	if (rc)
		return rc;
	yyjson_mut_val *checks = sl_checks_json(w->doc, job.checks, job.count), *past = sl_check_past_json(w->doc, &job);
	return memory_unless(w, checks && past && yyjson_mut_obj_add_val(w->doc, object, "checks", checks) &&
				   yyjson_mut_obj_add_val(w->doc, object, "past", past));
}

static int put_sql(struct writer *w)
{
	const struct sl_step *step = w->node->step;
	bool ok = put(w, w->root, "text", step->sql_text) && put(w, w->root, "where", *step->sql_path ? step->sql_path : step->name) &&
		  put(w, w->root, "dataset", step->name);
	return ok ? put_checks(w, w->root, &w->node->outputs[0]) : sl_fail_memory(w->err);
}

static int put_ingest(struct writer *w)
{
	struct flow_node *node = w->node;
	int rc = sl_ingest_keep(w->task->graph->store->objects, &node->ingest, w->task->graph->arena, w->err);
	if (rc)
		return rc;
	yyjson_mut_val *ingest = sl_ingest_job_json(w->doc, &node->ingest);
	if (!ingest || !yyjson_mut_obj_add_val(w->doc, w->root, "ingest", ingest) || !put(w, w->root, "dataset", node->name))
		return sl_fail_memory(w->err);
	return put_checks(w, w->root, &node->outputs[0]);
}

static int put_train(struct writer *w)
{
	const struct sl_train *t = &w->node->step->train;
	yyjson_mut_val *train = yyjson_mut_obj_add_obj(w->doc, w->root, "train");
	bool ok = train && put(w, train, "algorithm", t->algorithm) && put(w, train, "data", t->data) && put(w, train, "where", t->where) &&
		  put(w, train, "validation", t->validation) && put(w, train, "target", t->target) && put(w, train, "weight", t->weight) &&
		  put(w, train, "task", t->task) && put_names(w, train, "features", &t->features) && put(w, train, "options", t->options) &&
		  yyjson_mut_obj_add_sint(w->doc, train, "rounds", t->rounds) && yyjson_mut_obj_add_sint(w->doc, train, "early_stopping", t->early_stopping) &&
		  yyjson_mut_obj_add_sint(w->doc, train, "seed", t->seed);
	yyjson_mut_val *lookups = NULL;
	int rc = ok ? flow_lookups_json(w->task->graph, w->task->node, w->doc, &lookups, w->err) : sl_fail_memory(w->err);
	return rc ? rc : memory_unless(w, !lookups || yyjson_mut_obj_add_val(w->doc, train, "lookups", lookups));
}

static bool put_evaluation(struct writer *w, const struct sl_evaluate *e)
{
	yyjson_mut_val *evaluate = yyjson_mut_obj_add_obj(w->doc, w->root, "evaluate");
	return evaluate && put(w, evaluate, "data", e->data) && put(w, evaluate, "where", e->where) && put(w, evaluate, "target", e->target) &&
	       put(w, evaluate, "weight", e->weight) && put_names(w, evaluate, "slices", &e->slices);
}

static bool put_package(struct writer *w, yyjson_mut_val *list, const struct sl_hash *hash)
{
	char hex[SL_HASH_HEX + 1];
	return yyjson_mut_arr_add_strcpy(w->doc, list, sl_hash_hex(hash, hex));
}

static bool put_store(struct writer *w)
{
	char objects[SL_PATH_MAX];
	const struct sl_store *store = w->task->graph->store;
	return sl_path_join(objects, store->dir, "objects", NULL) == 0 && put(w, w->root, "objects", objects) && put(w, w->root, "tmp", store->tmp_dir);
}

/* The package that an evaluate step scores: a train step's, or the one a reference means (found when the document was made). */
static int evaluated_package(struct writer *w, struct sl_hash *ret)
{
	const char *model = w->node->step->evaluate.model;
	for (size_t i = 0; i < w->node->input_count; i++) {
		const struct flow_input *in = &w->node->inputs[i];
		if (strcmp(in->name, model) == 0) {
			*ret = flow_input_from(w->task->graph, in)->hash;
			return 0;
		}
	}
	const char *document = w->task->decision.document;
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(document, strlen(document), 0);
	yyjson_val *inputs = yyjson_obj_get(yyjson_doc_get_root(doc), "inputs");
	return sl_hash_parse(sl_json_str(inputs, model, ""), ret) ? 0 : sl_fail(w->err, SL_E_BUG, "'%s' has no package", model);
}

static int put_evaluate(struct writer *w)
{
	struct sl_hash hash;
	yyjson_mut_val *packages = yyjson_mut_obj_add_arr(w->doc, w->root, "packages");
	int rc = evaluated_package(w, &hash);
	return rc ? rc : memory_unless(w, packages && put_store(w) && put_package(w, packages, &hash) && put_evaluation(w, &w->node->step->evaluate));
}

static int put_gate(struct writer *w)
{
	struct flow_task *task = w->task;
	const struct flow_input *from = &w->node->inputs[0];
	yyjson_mut_val *packages = yyjson_mut_obj_add_arr(w->doc, w->root, "packages");
	struct sl_evaluate rows;
	int rc = flow_gate_find_champion(task, w->err);
	if (rc)
		return rc;
	flow_gate_rows(task->graph, w->node, task->arena, &rows);
	bool ok = packages && put_store(w) && put_package(w, packages, &flow_input_from(task->graph, from)->hash) &&
		  (!task->has_champion || put_package(w, packages, &task->champion_hash)) && put_evaluation(w, &rows);
	return memory_unless(w, ok);
}

/* ---- whole job -------------------------------------------------------------------------------------------------------------------- */

static int finish(struct writer *w)
{
	char path[SL_PATH_MAX], staging[SL_PATH_MAX], result[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(256 << 20);
	int rc = sl_path_join(staging, w->task->dir, "staging", w->err);
	rc = rc ? rc : sl_path_join(result, w->task->dir, "result.json", w->err);
	rc = rc ? rc : sl_path_join(path, w->task->dir, "job.json", w->err);
	rc = rc ? rc : sl_dir_make(staging, w->err);
	if (rc)
		return rc;
	uint64_t memory = w->node->step ? w->node->step->memory_bytes : 0;
	if (!put(w, w->root, "staging", staging) || !put(w, w->root, "result", result) || !yyjson_mut_obj_add_uint(w->doc, w->root, "memory", memory))
		return sl_fail_memory(w->err);
	rc = sl_json_write(w->root, false, &out, w->err);
	if (rc)
		return rc;
	/* Read by our own child at once: it needs no fsync. */
	SL_AUTO_CLOSE int fd = -1;
	rc = sl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, w->err);
	return rc ? rc : sl_file_write_all(fd, out.data, out.len, path, w->err);
}

int flow_job_write(struct flow_task *task, struct sl_error *err)
{
	static const struct { const char *name; int (*put)(struct writer *w); } KINDS[] = {
		[FLOW_INGEST] = {"ingest", put_ingest}, [FLOW_SQL] = {"sql", put_sql}, [FLOW_TRAIN] = {"train", put_train},
		[FLOW_EVALUATE] = {"evaluate", put_evaluate}, [FLOW_GATE] = {"evaluate", put_gate},
	};
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct writer w = {.task = task, .node = &task->graph->nodes[task->node], .doc = doc, .root = doc ? yyjson_mut_obj(doc) : NULL, .err = err};
	if (!w.root || !put(&w, w.root, "action", KINDS[w.node->action].name))
		return sl_fail_memory(err);
	int rc = put_params(&w);
	rc = rc ? rc : put_tables(&w);
	rc = rc ? rc : KINDS[w.node->action].put(&w);
	return rc ? rc : finish(&w);
}

int flow_job_write_inspection(struct flow_task *task, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct writer w = {.task = task, .node = &task->graph->nodes[task->node], .doc = doc, .root = doc ? yyjson_mut_obj(doc) : NULL, .err = err};
	yyjson_mut_val *outputs = w.root && put(&w, w.root, "action", "inspect") ? yyjson_mut_obj_add_arr(doc, w.root, "outputs") : NULL;
	if (!outputs)
		return sl_fail_memory(err);
	int made = put_params(&w);
	if (made)
		return made;
	for (size_t i = 0; i < w.node->output_count; i++) {
		const struct flow_output *o = &w.node->outputs[i];
		char path[SL_PATH_MAX];
		if (o->kind != FLOW_DATASET || !*o->path)
			continue;
		int rc = flow_output_path(task, o, path, err);
		yyjson_mut_val *one = rc ? NULL : yyjson_mut_arr_add_obj(doc, outputs);
		if (rc || !one || !put(&w, one, "dataset", o->name) || !put(&w, one, "path", path))
			return rc ? rc : sl_fail_memory(err);
		rc = put_checks(&w, one, o);
		if (rc)
			return rc;
	}
	return finish(&w);
}

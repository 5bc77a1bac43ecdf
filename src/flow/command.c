/* Steps in any language. What a command is given:
 *
 *   SLUICE_INPUT_<name>   path of the input: a .parquet file (a folder of them when the table has several), or the file or folder that was made
 *   SLUICE_OUTPUT_<name>  where to write the output, in a staging folder; its file name is the declared one
 *   SLUICE_PARAM_<name>   each parameter of the step; SLUICE_PARAMS: path of params.json with all of them, typed
 *   SLUICE_RUN, SLUICE_PROJECT, descriptor 3 (SLUICE_EVENTS_FD) for JSON lines
 *
 * It runs in the project's folder. Inputs are links to read-only files of the object store, where a sandbox lets nobody change them, root neither; without
 * one root, whom no mode stops, gets copies. Folders are copies in a sandbox: its own folder, where they stand, may be changed.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "flow/queue.h"
#include "flow/task.h"
#include "flow/tree.h"

extern char **environ;

struct variables { struct flow_task *task; const char **items; size_t count, room; struct sl_error *err; };

static int add(struct variables *v, const char *text)
{
	if (!text)
		return sl_fail_memory(v->err);
	if (v->count + 1 >= v->room) {
		size_t room = v->room ? v->room * 2 : 64;
		const char **items = sl_arena_array(v->task->arena, room, sizeof *items);
		if (!items)
			return sl_fail_memory(v->err);
		if (v->count)
			memcpy(items, v->items, v->count * sizeof *items);
		v->items = items;
		v->room = room;
	}
	v->items[v->count++] = text;
	v->items[v->count] = NULL;
	return 0;
}

/* NAME=value with what a variable's name cannot hold turned into '_'. */
static int add_named(struct variables *v, const char *prefix, const char *name, const char *value)
{
	char *text = sl_arena_printf(v->task->arena, "%s%s=%s", prefix, name, value);
	for (char *p = text; p && *p != '='; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	return add(v, text);
}

/* ---- inputs ---------------------------------------------------------------------------------------------------------------------- */

static bool in_sandbox(const struct variables *v) { return v->task->graph->nodes[v->task->node].step->sandbox; }
static bool wants_copies(const struct variables *v) { return geteuid() == 0 && !(in_sandbox(v) && sl_sandbox_holds_writes()); }

/* What a link leads to, its sandbox has to allow. */
static int make_readable(struct variables *v, const char *object)
{
	struct flow_task *task = v->task;
	if (task->readable_count + 1 >= task->readable_room) {
		size_t room = task->readable_room ? task->readable_room * 2 : 16;
		const char **items = sl_arena_array(task->arena, room, sizeof *items);
		if (!items)
			return sl_fail_memory(v->err);
		if (task->readable_count)
			memcpy(items, task->readable, task->readable_count * sizeof *items);
		task->readable = items;
		task->readable_room = room;
	}
	task->readable[task->readable_count] = sl_arena_strdup(task->arena, object);
	return task->readable[task->readable_count++] ? 0 : sl_fail_memory(v->err);
}

static int link_object(struct variables *v, const char *object, const char *to)
{
	if (wants_copies(v))
		return sl_file_copy(object, to, 0444, v->err);
	return symlink(object, to) == 0 ? make_readable(v, object) : sl_fail_errno(v->err, errno, to, "cannot link");
}

static int place_table(struct variables *v, const char *name, const struct sl_hash *hash, const char *dir, const char **ret)
{
	struct sl_sql_table table;
	int rc = sl_dataset_table(v->task->graph->store->objects, name, hash, v->task->arena, &table, v->err);
	if (rc)
		return rc;
	bool several = table.path_count != 1;
	*ret = sl_arena_printf(v->task->arena, "%s/%s%s", dir, name, several ? "" : ".parquet");
	rc = !*ret ? sl_fail_memory(v->err) : several ? sl_dir_make(*ret, v->err) : 0;
	for (size_t i = 0; !rc && i < table.path_count; i++) {
		const char *to = several ? sl_arena_printf(v->task->arena, "%s/%06zu.parquet", *ret, i) : *ret;
		rc = to ? link_object(v, table.paths[i], to) : sl_fail_memory(v->err);
	}
	return rc;
}

static int place_output(struct variables *v, const struct flow_output *from, const char *name, const char *dir, const char **ret)
{
	struct sl_store *store = v->task->graph->store;
	if (from->kind == FLOW_DATASET)
		return place_table(v, name, &from->hash, dir, ret);
	const char *dot = from->kind == FLOW_TREE ? NULL : strrchr(from->path, '.'), *slash = strrchr(from->path, '/');
	*ret = sl_arena_printf(v->task->arena, "%s/%s%s", dir, name, dot && (!slash || dot > slash) ? dot : "");
	if (!*ret)
		return sl_fail_memory(v->err);
	bool tree;
	int rc = sl_tree_is(store->objects, &from->hash, &tree, v->err);
	if (rc || tree)
		return rc ? rc : flow_tree_copy(store, &from->hash, *ret, !wants_copies(v) && !in_sandbox(v), v->err);
	char object[SL_PATH_MAX];
	rc = sl_objects_path(store->objects, &from->hash, object, v->err);
	return rc ? rc : link_object(v, object, *ret);
}

/* One of several that are read together: they stand in a folder of their common name, each as its item's. */
static int place_together(struct variables *v, const struct flow_input *in, const struct flow_output *from, const char *dir, bool first)
{
	const char *path, *folder = sl_arena_printf(v->task->arena, "%s/%s", dir, in->of);
	int rc = !folder ? sl_fail_memory(v->err) : first ? sl_dir_make(folder, v->err) : 0;
	rc = rc || !first ? rc : add_named(v, "SLUICE_INPUT_", in->of, folder);
	return rc ? rc : place_output(v, from, in->name + strlen(in->of) + 1, folder, &path);
}

static int place_inputs(struct variables *v, const struct flow_node *node)
{
	char dir[SL_PATH_MAX];
	int rc = sl_path_join(dir, v->task->dir, "inputs", v->err);
	bool made = false;
	for (size_t i = 0; !rc && i < node->input_count; i++) {
		const struct flow_input *in = &node->inputs[i];
		const struct flow_output *from = flow_input_from(v->task->graph, in);
		const char *path = NULL;
		if (!from || in->for_checks)
			continue;
		rc = made ? 0 : sl_dir_make(dir, v->err);
		made = true;
		if (!rc && in->of) {
			rc = place_together(v, in, from, dir, i == 0 || in[-1].of != in->of);
			continue;
		}
		rc = rc ? rc : place_output(v, from, in->name, dir, &path);
		rc = rc ? rc : add_named(v, "SLUICE_INPUT_", in->name, path);
	}
	return rc;
}

/* ---- outputs --------------------------------------------------------------------------------------------------------------------- */

int flow_output_path(const struct flow_task *task, const struct flow_output *output, char out[SL_PATH_MAX], struct sl_error *err)
{
	char staging[SL_PATH_MAX];
	int rc = sl_path_join(staging, task->dir, "outputs", err);
	rc = rc ? rc : sl_path_join(out, staging, output->path, err);
	if (rc)
		return rc;
	char *slash = strrchr(out, '/');
	*slash = 0;
	rc = sl_dir_make(out, err);
	*slash = '/';
	return rc;
}

/* As the project file has it: an instance's own name is told by its item. */
static const char *declared_name(const struct flow_output *output) { return output->of ? output->of : output->name; }

static int offer_outputs(struct variables *v, const struct flow_node *node)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < node->output_count; i++) {
		char path[SL_PATH_MAX];
		if (!*node->outputs[i].path)
			continue;
		rc = flow_output_path(v->task, &node->outputs[i], path, v->err);
		rc = rc ? rc : add_named(v, "SLUICE_OUTPUT_", declared_name(&node->outputs[i]), path);
	}
	return rc;
}

int flow_command_check_outputs(struct flow_task *task, struct sl_error *err)
{
	const struct flow_node *node = &task->graph->nodes[task->node];
	for (size_t i = 0; i < node->output_count; i++) {
		char path[SL_PATH_MAX];
		struct sl_file_info info;
		const struct flow_output *o = &node->outputs[i];
		int rc = *o->path ? flow_output_path(task, o, path, err) : 0;
		if (rc)
			return rc;
		if (*o->path && sl_file_info(path, &info, NULL)) {
			sl_fail(err, SL_E_FAILED, "output '%s' was not made", o->name);
			return sl_error_hint(err, "the command must write it to the path in the variable SLUICE_OUTPUT_%s", declared_name(o));
		}
	}
	return 0;
}

/* ---- parameters and secrets ------------------------------------------------------------------------------------------------------- */

static const char *value_text(struct variables *v, const struct sl_value *value)
{
	switch (value->type) {
	case SL_VALUE_NULL: return "";
	case SL_VALUE_BOOL: return value->i ? "true" : "false";
	case SL_VALUE_INT: return sl_arena_printf(v->task->arena, "%lld", (long long)value->i);
	case SL_VALUE_DOUBLE: return sl_arena_printf(v->task->arena, "%.17g", value->d);
	default: return value->text;
	}
}

static int offer_params(struct variables *v, const struct flow_node *node)
{
	if (!node->params.count)
		return 0;
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(SL_YAML_BYTES_MAX * 2);
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *all = doc ? yyjson_mut_obj(doc) : NULL;
	int rc = all ? 0 : sl_fail_memory(v->err);
	for (size_t i = 0; !rc && i < node->params.count; i++) {
		const struct sl_param *param = sl_step_param(v->task->graph->project, node->step, node->params.items[i]);
		const char *text = value_text(v, &param->value);
		rc = text ? add_named(v, "SLUICE_PARAM_", param->name, text) : sl_fail_memory(v->err);
		if (!rc && !yyjson_mut_obj_add_val(doc, all, param->name, flow_param_json(doc, &param->value)))
			rc = sl_fail_memory(v->err);
	}
	rc = rc ? rc : sl_json_write(all, true, &out, v->err);
	rc = rc ? rc : sl_path_join(path, v->task->dir, "params.json", v->err);
	SL_AUTO_CLOSE int fd = -1;
	rc = rc ? rc : sl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, v->err);
	rc = rc ? rc : sl_file_write_all(fd, out.data, out.len, path, v->err);
	return rc ? rc : add_named(v, "SLUICE_PARAMS", "", path);
}

/* A secret: the variable SLUICE_SECRET_<name> of the one who starts the run, else the file .sluice/secrets/<name>. */
static int put_secret(struct variables *v, const char *name, struct sl_buf *out)
{
	char variable[160], path[SL_PATH_MAX], file[160];
	snprintf(variable, sizeof variable, "SLUICE_SECRET_%s", name);
	const char *value = getenv(variable);
	if (value) {
		sl_buf_str(out, value);
		return 0;
	}
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(64 << 10);
	snprintf(file, sizeof file, "secrets/%.128s", name);
	int rc = sl_name_valid(name) ? sl_path_join(path, v->task->graph->store->dir, file, v->err) : sl_fail(v->err, SL_E_INVALID, "'%.100s' is not a name", name);
	rc = rc ? rc : sl_file_read(path, &text, v->err);
	if (rc) {
		sl_fail(v->err, SL_E_INVALID, "the secret '%.100s' is not known", name);
		return sl_error_hint(v->err, "put it into .sluice/secrets/%.100s or the variable %s", name, variable);
	}
	while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	sl_buf_add(out, sl_buf_cstr(&text), text.len);
	return 0;
}

static int add_own_variable(struct variables *v, const char *pair)
{
	static const char SECRET[] = "${secret:";
	if (!strstr(pair, SECRET))
		return add(v, pair);
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 20);
	for (const char *at; (at = strstr(pair, SECRET)); pair = strchr(at, '}') + 1) {
		const char *name = at + sizeof SECRET - 1;
		const char *copy = sl_arena_strndup(v->task->arena, name, strcspn(name, "}"));
		sl_buf_add(&out, pair, (size_t)(at - pair));
		int rc = copy ? put_secret(v, copy, &out) : sl_fail_memory(v->err);
		if (rc)
			return rc;
	}
	sl_buf_str(&out, pair);
	return add(v, sl_arena_strdup(v->task->arena, sl_buf_cstr(&out)));
}

/* Numbers of the GPUs that it may use, in the way that their libraries read. */
static int offer_gpus(struct variables *v)
{
	char text[32 + FLOW_GPUS_MAX * 3] = "CUDA_VISIBLE_DEVICES=";
	size_t n = strlen(text);
	for (int i = 0; i < FLOW_GPUS_MAX; i++)
		if (v->task->gpus >> i & 1)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", text[n - 1] == '=' ? "" : ",", i);
	return v->task->gpus ? add(v, sl_arena_strdup(v->task->arena, text)) : 0;
}

/* Where MLflow's clients in the step log, and the run that they log into: the step's own. */
static int offer_tracking(struct variables *v)
{
	char hex[SL_ID_HEX + 1];
	const char *uri = getenv(SL_RUN_TRACKING_URI);
	if (!uri)
		return 0;
	sl_id_hex(&v->task->run, hex);
	int rc = add_named(v, "MLFLOW_TRACKING_URI", "", uri);
	return rc ? rc : add_named(v, "MLFLOW_RUN_ID", "", hex);
}

/* Ours first, then the caller's without what is set anew: the first of a name wins. */
int flow_command_prepare(struct flow_task *task, struct sl_error *err)
{
	const struct flow_node *node = &task->graph->nodes[task->node];
	struct variables v = {.task = task, .err = err};
	int rc = 0;
	for (size_t i = 0; !rc && i < node->step->environment.count; i++)
		rc = add_own_variable(&v, node->step->environment.items[i]);
	rc = rc ? rc : place_inputs(&v, node);
	rc = rc ? rc : offer_outputs(&v, node);
	rc = rc ? rc : offer_params(&v, node);
	rc = rc ? rc : add_named(&v, "SLUICE_RUN", "", task->run.text);
	rc = rc ? rc : add_named(&v, "SLUICE_PROJECT", "", task->graph->project->dir);
	rc = rc ? rc : add(&v, "SLUICE_EVENTS_FD=3");
	rc = rc ? rc : offer_tracking(&v);
	rc = rc ? rc : offer_gpus(&v);
	if (!rc && node->step->sandbox) /* the only place for temporary files that it may write */
		rc = add(&v, sl_arena_printf(task->arena, "TMPDIR=%s", task->dir));
	rc = rc || !task->status ? rc : add_named(&v, "SLUICE_STATUS", "", task->status);
	rc = rc || !task->failed ? rc : add_named(&v, "SLUICE_FAILED", "", task->failed);
	size_t own = v.count;
	for (char **e = environ; !rc && *e; e++) {
		bool replaced = strncmp(*e, "SLUICE_", 7) == 0; /* also keeps secrets of other steps out */
		for (size_t i = 0; i < own && !replaced; i++)
			replaced = strncmp(*e, v.items[i], strcspn(v.items[i], "=") + 1) == 0;
		rc = replaced ? 0 : add(&v, *e);
	}
	if (rc)
		return rc;
	task->argv = sl_arena_array(task->arena, node->step->argv.count + 1, sizeof *task->argv);
	if (!task->argv)
		return sl_fail_memory(err);
	memcpy(task->argv, node->step->argv.items, node->step->argv.count * sizeof *task->argv);
	task->env = v.items;
	task->work_dir = task->graph->project->dir;
	task->timeout_ms = node->step->timeout_ms;
	return node->step->sandbox ? flow_sandbox_prepare(task, err) : 0;
}

#include "flow/document.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "flow/lookups.h"
#include "flow/plan.h"
#include "track/model.h"

enum { FILES_LISTED = 64 }; /* sources with more files stand in the document as one hash */

struct maker { struct flow_graph *g; struct flow_node *node; yyjson_mut_doc *doc; yyjson_mut_val *root; bool write; struct sl_error *err; };

static bool put_text(struct maker *m, yyjson_mut_val *object, const char *name, const char *value)
{
	return yyjson_mut_obj_add(object, yyjson_mut_strcpy(m->doc, name), yyjson_mut_strcpy(m->doc, value));
}

static bool put_hash(struct maker *m, yyjson_mut_val *object, const char *name, const struct sl_hash *hash)
{
	char hex[SL_HASH_HEX + 1];
	return put_text(m, object, name, sl_hash_hex(hash, hex));
}

/* Canonical JSON of our own, as it is: reading it and writing it again took a sixth of a plan's time. */
static bool put_canonical(struct maker *m, yyjson_mut_val *object, const char *name, const char *text)
{
	return yyjson_mut_obj_add(object, yyjson_mut_strcpy(m->doc, name), yyjson_mut_raw(m->doc, text));
}

yyjson_mut_val *flow_param_json(yyjson_mut_doc *doc, const struct sl_value *value)
{
	switch (value->type) {
	case SL_VALUE_NULL: return yyjson_mut_null(doc);
	case SL_VALUE_BOOL: return yyjson_mut_bool(doc, value->i != 0);
	case SL_VALUE_INT: return yyjson_mut_sint(doc, value->i);
	case SL_VALUE_DOUBLE: return yyjson_mut_real(doc, value->d);
	case SL_VALUE_JSON: {
		yyjson_doc *text = yyjson_read(value->text, strlen(value->text), 0);
		yyjson_mut_val *copy = text ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(text)) : NULL;
		yyjson_doc_free(text);
		return copy;
	}
	default: return yyjson_mut_strcpy(doc, value->text);
	}
}

static int add_params(struct maker *m)
{
	yyjson_mut_val *params = yyjson_mut_obj_add_obj(m->doc, m->root, "params");
	bool ok = params != NULL;
	for (size_t i = 0; ok && i < m->node->params.count; i++) {
		const struct sl_param *param = sl_step_param(m->g->project, m->node->step, m->node->params.items[i]);
		ok = yyjson_mut_obj_add(params, yyjson_mut_str(m->doc, param->name), flow_param_json(m->doc, &param->value));
	}
	return ok ? 0 : sl_fail_memory(m->err);
}

static int add_checks(struct maker *m)
{
	yyjson_mut_val *all = NULL;
	for (size_t i = 0; i < m->node->output_count; i++) {
		const struct sl_dataset *d = m->node->outputs[i].checks;
		if (d && !all && !(all = yyjson_mut_obj_add_obj(m->doc, m->root, "checks")))
			return sl_fail_memory(m->err);
		yyjson_mut_val *list = d ? yyjson_mut_obj_add_arr(m->doc, all, d->name) : NULL;
		for (size_t k = 0; d && k < d->check_count; k++)
			/* An SQL check's text may stand in a file: the text counts, not the name. */
			if (!list || !yyjson_mut_arr_add_str(m->doc, list, d->checks[k].definition) ||
			    (d->checks[k].kind == SL_CHECK_SQL && !yyjson_mut_arr_add_str(m->doc, list, d->checks[k].text)))
				return sl_fail_memory(m->err);
	}
	return 0;
}

/* ---- inputs -------------------------------------------------------------------------------------------------------------------- */

static int add_source_tree(struct maker *m, yyjson_mut_val *inputs)
{
	struct flow_node *node = m->node;
	int rc = node->ingest_ready ? 0 : sl_ingest_tree(m->g->store, m->g->project, node->source, m->write, &node->tree, m->err);
	if (rc)
		return rc;
	node->ingest_ready = true;
	return put_hash(m, inputs, node->source->path, &node->tree.hash) ? 0 : sl_fail_memory(m->err);
}

static int add_source_files(struct maker *m, yyjson_mut_val *inputs)
{
	struct flow_node *node = m->node;
	if (node->outputs[0].kind == FLOW_TREE)
		return add_source_tree(m, inputs);
	int rc = node->ingest_ready ? 0 : sl_ingest_prepare(m->g->store, m->g->project, node->source, node->outputs[0].checks, m->g->arena, &node->ingest, m->err);
	if (rc)
		return rc;
	node->ingest_ready = true;
	if (node->ingest.file_count <= FILES_LISTED) {
		for (size_t i = 0; i < node->ingest.file_count; i++)
			if (!put_hash(m, inputs, node->ingest.files[i].name, &node->ingest.files[i].hash))
				return sl_fail_memory(m->err);
		return 0;
	}
	SL_CLEANUP(sl_sha256_freep) struct sl_sha256 *state = sl_sha256_new(m->err);
	if (!state)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < node->ingest.file_count; i++) {
		sl_sha256_add(state, node->ingest.files[i].name, strlen(node->ingest.files[i].name) + 1);
		sl_sha256_add(state, node->ingest.files[i].hash.bytes, SL_HASH_BYTES);
	}
	struct sl_hash all;
	sl_sha256_end(state, &all);
	return put_hash(m, inputs, node->source->path, &all) ? 0 : sl_fail_memory(m->err);
}

/* "model:delay@champion" of an evaluate step: the package that it means now. */
static int add_model_reference(struct maker *m, yyjson_mut_val *inputs)
{
	const char *text = m->node->step->evaluate.model;
	const char *name = sl_str_starts(text, "model:") ? text + 6 : text, *at = strchr(name, '@');
	char model[SL_NAME_MAX + 1], version[128];
	struct sl_model_version found;
	snprintf(model, sizeof model, "%.*s", (int)(at ? (size_t)(at - name) : strlen(name)), name);
	snprintf(version, sizeof version, "%s", at ? at + 1 : "");
	int rc = sl_model_find(&m->g->store->track, model, version, &found, m->err);
	if (rc)
		return sl_error_where(m->err, "sluice.yaml:%d:%d", m->node->mark.line, m->node->mark.column);
	return put_hash(m, inputs, text, &found.hash) ? 0 : sl_fail_memory(m->err);
}

static int add_inputs(struct maker *m)
{
	yyjson_mut_val *inputs = yyjson_mut_obj_add_obj(m->doc, m->root, "inputs");
	if (!inputs)
		return sl_fail_memory(m->err);
	int rc = m->node->kind == SL_FLOW_SOURCE ? add_source_files(m, inputs) : 0;
	bool reference = m->node->action == FLOW_EVALUATE && strpbrk(m->node->step->evaluate.model, ":@");
	rc = !rc && reference ? add_model_reference(m, inputs) : rc;
	for (size_t i = 0; !rc && i < m->node->input_count; i++) {
		const struct flow_output *from = flow_input_from(m->g, &m->node->inputs[i]);
		if (from)
			rc = put_hash(m, inputs, m->node->inputs[i].name, &from->hash) ? 0 : sl_fail_memory(m->err);
	}
	return rc;
}

/* ---- code ---------------------------------------------------------------------------------------------------------------------- */

/* A file among the arguments is code when it is a program by its name or its mode; data that a command names so must not make it stale. */
static bool is_program(const char *name, const struct sl_file_info *info)
{
	static const char *const SUFFIXES[] = {".py", ".sh", ".R", ".r", ".jl", ".js", ".ts", ".pl", ".rb", ".lua", ".sql", ".awk", ".ipynb", ".m", ".scala", ".java"};
	for (size_t i = 0; i < SL_ARRAY_LEN(SUFFIXES); i++)
		if (sl_str_ends(name, SUFFIXES[i]))
			return true;
	return (info->mode & 0111) != 0;
}

static int add_code_file(struct maker *m, yyjson_mut_val *code, const char *name, bool must)
{
	char path[SL_PATH_MAX];
	struct sl_hash hash;
	struct sl_file_info info;
	uint64_t size;
	if (!sl_relative_path_valid(name) || yyjson_mut_obj_get(code, name))
		return 0;
	int rc = sl_path_join(path, m->g->project->dir, name, m->err);
	if (!rc && (sl_file_info(path, &info, NULL) || !info.is_regular)) {
		if (!must)
			return 0;
		sl_fail(m->err, SL_E_INVALID, "the file '%.200s' does not exist", name);
		return sl_error_where(m->err, "sluice.yaml:%d:%d", m->node->mark.line, m->node->mark.column);
	}
	if (!rc && !must && !is_program(name, &info))
		return 0;
	rc = rc ? rc : sl_file_hash(m->g->store->meta, path, &hash, &size, m->err);
	return rc ? rc : put_hash(m, code, name, &hash) ? 0 : sl_fail_memory(m->err);
}

/* Words of a shell's text that name files count as code too. */
static int add_words(struct maker *m, yyjson_mut_val *code, const char *text)
{
	int rc = 0;
	while (!rc && *(text += strspn(text, " \t\n;|&<>()'\""))) {
		size_t len = strcspn(text, " \t\n;|&<>()'\"");
		const char *word = sl_arena_strndup(m->g->arena, text, len);
		rc = word ? add_code_file(m, code, word, false) : sl_fail_memory(m->err);
		text += len;
	}
	return rc;
}

static int add_code(struct maker *m)
{
	const struct sl_step *step = m->node->step;
	yyjson_mut_val *code = step ? yyjson_mut_obj_add_obj(m->doc, m->root, "code") : NULL;
	if (!step)
		return 0;
	if (!code)
		return sl_fail_memory(m->err);
	if (step->kind == SL_STEP_SQL && *step->sql_path) {
		struct sl_hash hash;
		sl_sha256(step->sql_text, strlen(step->sql_text), &hash);
		return put_hash(m, code, step->sql_path, &hash) ? 0 : sl_fail_memory(m->err);
	}
	int rc = 0;
	for (size_t i = 0; !rc && i < step->code.count; i++)
		rc = add_code_file(m, code, step->code.items[i], true);
	for (size_t i = 0; !rc && i < step->argv.count; i++)
		rc = i == 2 && strcmp(step->argv.items[0], "/bin/sh") == 0 ? add_words(m, code, step->argv.items[i])
									   : add_code_file(m, code, step->argv.items[i], false);
	return rc;
}

/* A model carries the lookups of its data, so it is another one when they are. */
static int add_lookups(struct maker *m)
{
	yyjson_mut_val *lookups;
	if (m->node->action != FLOW_TRAIN)
		return 0;
	int rc = flow_lookups_json(m->g, (size_t)(m->node - m->g->nodes), m->doc, &lookups, m->err);
	if (rc)
		return sl_error_where(m->err, "sluice.yaml:%d:%d", m->node->mark.line, m->node->mark.column);
	return !lookups || yyjson_mut_obj_add_val(m->doc, m->root, "lookups", lookups) ? 0 : sl_fail_memory(m->err);
}

static int add_engine(struct maker *m)
{
	static const char *const ENGINES[] = {[FLOW_INGEST] = "sql", [FLOW_SQL] = "sql", [FLOW_RUN] = NULL, [FLOW_TRAIN] = "train", [FLOW_EVALUATE] = NULL,
					      [FLOW_GATE] = NULL};
	const char *engine = ENGINES[m->node->action], *version;
	if (!engine)
		return 0;
	int rc = flow_engine_version(m->g, engine, m->write, &version, m->err);
	return rc ? rc : put_text(m, m->root, "engine", version) ? 0 : sl_fail_memory(m->err);
}

static const char *kind_name(enum flow_action action)
{
	static const char *const NAMES[] = {[FLOW_INGEST] = "ingest", [FLOW_SQL] = "sql", [FLOW_RUN] = "run", [FLOW_TRAIN] = "train",
					    [FLOW_EVALUATE] = "evaluate", [FLOW_GATE] = "gate"};
	return NAMES[action];
}

int flow_document_make(struct flow_graph *graph, size_t i, bool write, struct sl_buf *out, struct sl_error *err)
{
	struct flow_node *node = &graph->nodes[i];
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct maker m = {.g = graph, .node = node, .doc = doc, .root = doc ? yyjson_mut_obj(doc) : NULL, .write = write, .err = err};
	const char *definition = node->source ? node->source->definition : node->step ? node->step->definition : node->model->definition;
	if (!m.root || !put_text(&m, m.root, "format", "sluice.step/1") || !put_text(&m, m.root, "kind", kind_name(node->action)) ||
	    !put_text(&m, m.root, "name", node->name) || !put_canonical(&m, m.root, "definition", definition))
		return sl_fail_memory(err);
	static int (*const PARTS[])(struct maker *m) = {add_params, add_checks, add_inputs, add_code, add_lookups, add_engine};
	int rc = 0;
	for (size_t k = 0; !rc && k < SL_ARRAY_LEN(PARTS); k++)
		rc = PARTS[k](&m);
	return rc ? rc : sl_json_mut_canonical(m.root, out, err);
}

/* ---- differences ----------------------------------------------------------------------------------------------------------------- */

struct difference { char *out; size_t count; };

static void note(struct difference *d, const char *text)
{
	if (d->count++ == 0)
		snprintf(d->out, SL_FLOW_REASON_MAX, "%s", text);
}

/* A value for people: texts without quotes, hashes shortened. */
static void show(yyjson_val *value, char out[48])
{
	struct sl_hash hash;
	const char *text = yyjson_get_str(value);
	char *json = text ? NULL : yyjson_val_write(value, 0, NULL);
	if (text && sl_hash_parse(text, &hash))
		snprintf(out, 48, "%.6s", text);
	else
		snprintf(out, 48, "%.40s", text ? text : json ? json : "?");
	sl_free(json);
}

/* Members of `part` that differ, each with `what` before its name. */
static void compare_members(struct difference *d, yyjson_val *old, yyjson_val *now, const char *part, const char *what, bool with_values)
{
	yyjson_val *a = yyjson_obj_get(old, part), *b = yyjson_obj_get(now, part), *key, *value;
	char text[SL_FLOW_REASON_MAX], before[48], after[48];
	size_t i, max;
	yyjson_obj_foreach(b, i, max, key, value) {
		yyjson_val *was = yyjson_obj_get(a, yyjson_get_str(key));
		if (was && yyjson_equals(was, value))
			continue;
		if (was) {
			show(was, before);
			show(value, after);
		}
		if (!was)
			snprintf(text, sizeof text, "%s %.120s is new", what, yyjson_get_str(key));
		else if (with_values)
			snprintf(text, sizeof text, "%s %.100s changed %s → %s", what, yyjson_get_str(key), before, after);
		else
			snprintf(text, sizeof text, "%s %.120s changed", what, yyjson_get_str(key));
		note(d, text);
	}
	yyjson_obj_foreach(a, i, max, key, value) {
		if (yyjson_obj_get(b, yyjson_get_str(key)))
			continue;
		snprintf(text, sizeof text, "%s %.120s is gone", what, yyjson_get_str(key));
		note(d, text);
	}
}

void flow_document_difference(const char *old_text, const char *new_text, char out[SL_FLOW_REASON_MAX])
{
	SL_AUTO_JSON yyjson_doc *old_doc = yyjson_read(old_text, strlen(old_text), 0), *new_doc = yyjson_read(new_text, strlen(new_text), 0);
	yyjson_val *old = yyjson_doc_get_root(old_doc), *now = yyjson_doc_get_root(new_doc);
	struct difference d = {.out = out};
	bool source = strcmp(sl_json_str(now, "kind", ""), "ingest") == 0;
	char text[SL_FLOW_REASON_MAX];
	compare_members(&d, old, now, "params", "parameter", true);
	compare_members(&d, old, now, "code", "code", false);
	compare_members(&d, old, now, "inputs", source ? "file" : "input", true);
	compare_members(&d, old, now, "checks", "checks of", false);
	/* A changed parameter changes the definition that it stands in: only without one is the definition itself the news. */
	if (!d.count && !yyjson_equals(yyjson_obj_get(old, "definition"), yyjson_obj_get(now, "definition")))
		note(&d, "its definition changed");
	if (strcmp(sl_json_str(old, "engine", ""), sl_json_str(now, "engine", "")) != 0) {
		snprintf(text, sizeof text, "engine changed %.60s → %.60s", sl_json_str(old, "engine", "none"), sl_json_str(now, "engine", "none"));
		note(&d, text);
	}
	if (!d.count)
		note(&d, "its definition changed");
	if (d.count > 1) {
		size_t len = strlen(out);
		snprintf(out + len, SL_FLOW_REASON_MAX - len, ", and %zu more", d.count - 1);
	}
}

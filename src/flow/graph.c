#include "flow/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/str.h"
#include "flow/graph_order.h"
#include "learn/gate.h"
#include "learn/train.h"
#include "port/sql.h"

const char *flow_output_kind_name(enum flow_output_kind kind)
{
	static const char *const NAMES[] = {[FLOW_DATASET] = "dataset", [FLOW_MODEL] = "model", [FLOW_FILE] = "output", [FLOW_TREE] = "dataset"};
	return NAMES[kind];
}

const struct flow_output *flow_input_from(const struct flow_graph *graph, const struct flow_input *input)
{
	return input->output == FLOW_NO_OUTPUT ? NULL : &graph->nodes[input->node].outputs[input->output];
}

const char *flow_words(struct flow_graph *graph, const char *format, ...)
{
	char text[SL_FLOW_CAUSE_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	const char *copy = sl_arena_strdup(graph->arena, text);
	return copy ? copy : "";
}

struct builder {
	struct flow_graph *g;
	struct sl_map *places;     /* readable name -> struct flow_place */
	struct sl_map *firsts, *lasts; /* what instances are read as -> first, last struct flow_place of them */
	struct sl_map *declared;   /* name -> struct sl_dataset * of section `datasets` */
	bool write;
	struct sl_error *err;
};

static int fail_at(struct builder *b, struct sl_mark mark, int code, const char *message)
{
	char where[64];
	snprintf(where, sizeof where, "sluice.yaml:%d:%d", mark.line, mark.column);
	return sl_fail_at(b->err, code, where, "%s", message);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

static int add_params(struct builder *b, struct sl_names *to, const struct sl_names *more)
{
	const char **items = sl_arena_array(b->g->arena, to->count + more->count + 1, sizeof *items);
	if (!items)
		return sl_fail_memory(b->err);
	size_t count = to->count;
	if (count)
		memcpy(items, to->items, count * sizeof *items);
	for (size_t i = 0; i < more->count; i++) {
		bool known = false;
		for (size_t k = 0; k < count && !known; k++)
			known = strcmp(items[k], more->items[i]) == 0;
		if (!known)
			items[count++] = more->items[i];
	}
	*to = (struct sl_names){items, count};
	return 0;
}

static int register_name(struct builder *b, const char *name, size_t node, size_t output)
{
	struct flow_place *place = sl_arena_alloc(b->g->arena, sizeof *place);
	if (!place)
		return sl_fail_memory(b->err);
	*place = (struct flow_place){.node = node, .output = output};
	return sl_map_set(b->places, name, place, NULL, b->err);
}

/* One more of those that are read together as `name`. */
static int register_together(struct builder *b, const char *name, size_t node, size_t output)
{
	struct flow_place *place = sl_arena_alloc(b->g->arena, sizeof *place), *last = sl_map_get(b->lasts, name);
	if (!place)
		return sl_fail_memory(b->err);
	*place = (struct flow_place){.node = node, .output = output};
	if (last)
		last->next = place;
	int rc = last ? 0 : sl_map_set(b->firsts, name, place, NULL, b->err);
	return rc ? rc : sl_map_set(b->lasts, name, place, NULL, b->err);
}

/* An output, and NAME.quarantine behind it when one of its checks puts rows aside. */
static int add_output(struct builder *b, size_t at, struct sl_output of, enum flow_output_kind kind)
{
	struct flow_node *node = &b->g->nodes[at];
	const char *name = of.name;
	const struct sl_dataset *checks = kind == FLOW_DATASET ? sl_map_get(b->declared, of.of ? of.of : name) : NULL;
	node->outputs[node->output_count++] = (struct flow_output){.name = name, .of = of.of, .kind = kind, .path = of.path, .checks = checks};
	int rc = register_name(b, name, at, node->output_count - 1);
	rc = rc || !of.of ? rc : register_together(b, of.of, at, node->output_count - 1);
	if (!rc && checks)
		rc = add_params(b, &node->params, &checks->params);
	bool aside = false;
	for (size_t i = 0; checks && i < checks->check_count; i++)
		aside |= checks->checks[i].quarantine;
	if (rc || !aside)
		return rc;
	const char *quarantine = sl_arena_printf(b->g->arena, "%s.quarantine", name);
	if (!quarantine)
		return sl_fail_memory(b->err);
	node->outputs[node->output_count++] = (struct flow_output){.name = quarantine, .kind = FLOW_DATASET, .path = ""};
	return register_name(b, quarantine, at, node->output_count - 1);
}

static bool has_checks(const struct builder *b, const char *name)
{
	const struct sl_dataset *dataset = sl_map_get(b->declared, name);
	return dataset && dataset->check_count;
}

static int add_step_outputs(struct builder *b, size_t at, const struct sl_step *step)
{
	static const enum flow_output_kind MAKES[] = {[SL_STEP_SQL] = FLOW_DATASET, [SL_STEP_TRAIN] = FLOW_MODEL, [SL_STEP_EVALUATE] = FLOW_FILE};
	if (step->kind != SL_STEP_RUN)
		return add_output(b, at, step->outputs[0], MAKES[step->kind]);
	int rc = step->output_count ? 0 : register_name(b, step->name, at, FLOW_NO_OUTPUT);
	rc = rc || step->output_count || !*step->of ? rc : register_together(b, step->of, at, FLOW_NO_OUTPUT);
	for (size_t i = 0; !rc && i < step->output_count; i++) {
		bool table = !step->outputs[i].folder && sl_str_ends(step->outputs[i].path, ".parquet");
		enum flow_output_kind kind = step->outputs[i].folder ? FLOW_TREE : table ? FLOW_DATASET : FLOW_FILE;
		rc = add_output(b, at, step->outputs[i], kind);
		if (!rc && !table && has_checks(b, step->outputs[i].name))
			rc = fail_at(b, step->mark, SL_E_INVALID, "checks look at tables, and this output is no .parquet file");
	}
	return rc;
}

static int add_node(struct builder *b, struct flow_node node, size_t outputs)
{
	node.outputs = sl_arena_array(b->g->arena, outputs * 2 + 1, sizeof *node.outputs);
	if (!node.outputs)
		return sl_fail_memory(b->err);
	b->g->nodes[b->g->count++] = node;
	return 0;
}

static int add_nodes(struct builder *b)
{
	static const enum flow_action ACTIONS[] = {[SL_STEP_SQL] = FLOW_SQL, [SL_STEP_RUN] = FLOW_RUN, [SL_STEP_TRAIN] = FLOW_TRAIN,
						   [SL_STEP_EVALUATE] = FLOW_EVALUATE};
	const struct sl_project *p = b->g->project;
	int rc = 0;
	b->g->nodes = sl_arena_array(b->g->arena, p->source_count + p->step_count + p->model_count + 1, sizeof *b->g->nodes);
	if (!b->g->nodes)
		return sl_fail_memory(b->err);
	for (size_t i = 0; !rc && i < p->source_count; i++) {
		const struct sl_source *s = &p->sources[i];
		rc = add_node(b, (struct flow_node){.name = s->name, .kind = SL_FLOW_SOURCE, .action = FLOW_INGEST, .source = s, .mark = s->mark}, 1);
		bool files = strcmp(s->as, "files") == 0;
		rc = rc ? rc : add_output(b, b->g->count - 1, (struct sl_output){.name = s->name, .path = ""}, files ? FLOW_TREE : FLOW_DATASET);
		if (!rc && files && has_checks(b, s->name))
			rc = fail_at(b, s->mark, SL_E_INVALID, "checks look at tables, and this source is a tree of files");
	}
	for (size_t i = 0; !rc && i < p->step_count; i++) {
		const struct sl_step *s = &p->steps[i];
		rc = add_node(b, (struct flow_node){.name = s->name, .kind = SL_FLOW_STEP, .action = ACTIONS[s->kind], .step = s, .mark = s->mark, .params = s->params, .finally = s->finally},
			      s->output_count);
		rc = rc ? rc : add_step_outputs(b, b->g->count - 1, s);
	}
	for (size_t i = 0; !rc && i < p->model_count; i++) {
		const struct sl_model *m = &p->models[i];
		if (!*m->from) /* clients register its versions (serve/adopt.h) */
			continue;
		rc = add_node(b, (struct flow_node){.name = m->name, .kind = SL_FLOW_MODEL, .action = FLOW_GATE, .model = m, .mark = m->mark, .params = m->params}, 0);
	}
	return rc;
}

/* ---- inputs -------------------------------------------------------------------------------------------------------------------- */

static int unknown_table(struct builder *b, const struct flow_node *node, const char *name)
{
	const char **names = sl_arena_array(b->g->arena, sl_map_count(b->places) + 1, sizeof *names);
	if (!names)
		return sl_fail_memory(b->err);
	for (size_t i = 0; i < sl_map_count(b->places); i++)
		names[i] = sl_map_key(b->places, i);
	char message[512];
	snprintf(message, sizeof message, "step '%s' reads '%.128s', which no source and no step makes", node->name, name);
	fail_at(b, node->step && node->step->sql_mark.line ? node->step->sql_mark : node->mark, SL_E_INVALID, message);
	const char *nearest = sl_str_nearest(name, names, sl_map_count(b->places));
	return nearest ? sl_error_hint(b->err, "did you mean '%s'?", nearest) : SL_E_INVALID;
}

static const char *what_it_is(const struct flow_output *output)
{
	static const char *const WORDS[] = {[FLOW_DATASET] = "a table", [FLOW_MODEL] = "a model, not a table", [FLOW_TREE] = "a folder of files, not a table",
					    [FLOW_FILE] = "a file, not a table (write .parquet for that)"};
	return output ? WORDS[output->kind] : "a step that makes nothing";
}

static int add_place(struct builder *b, struct flow_node *node, const char *name, const struct flow_place *place, const char *of, enum flow_output_kind wants)
{
	const struct flow_input input = {.name = name, .node = place->node, .output = place->output, .of = of};
	const struct flow_output *output = flow_input_from(b->g, &input);
	bool fits = output ? output->kind == wants || (node->action == FLOW_RUN && output->kind != FLOW_MODEL) : node->action == FLOW_RUN;
	if (!fits) {
		char message[512];
		snprintf(message, sizeof message, "'%s' reads '%s', which is %s", node->name, name, what_it_is(output));
		return fail_at(b, node->mark, SL_E_INVALID, message);
	}
	for (size_t i = 0; i < node->input_count; i++)
		if (strcmp(node->inputs[i].name, name) == 0)
			return 0;
	node->inputs[node->input_count++] = input;
	return 0;
}

/* Those of all instances, one behind the other; `rest`: how many names of the same list follow, for which there must be room. */
static int add_together(struct builder *b, struct flow_node *node, const char *name, const struct flow_place *first, enum flow_output_kind wants, size_t rest)
{
	size_t count = node->input_count + rest + 1;
	for (const struct flow_place *p = first; p; p = p->next)
		count++;
	struct flow_input *inputs = sl_arena_array(b->g->arena, count, sizeof *inputs);
	if (!inputs)
		return sl_fail_memory(b->err);
	if (node->input_count)
		memcpy(inputs, node->inputs, node->input_count * sizeof *inputs);
	node->inputs = inputs;
	int rc = 0;
	for (const struct flow_place *p = first; !rc && p; p = p->next) {
		const struct flow_node *from = &b->g->nodes[p->node];
		rc = add_place(b, node, p->output == FLOW_NO_OUTPUT ? from->name : from->outputs[p->output].name, p, name, wants);
	}
	return rc;
}

static int add_input(struct builder *b, struct flow_node *node, const char *name, enum flow_output_kind wants, size_t rest)
{
	const struct flow_place *place = sl_map_get(b->places, name), *first = sl_map_get(b->firsts, name);
	if (first)
		return add_together(b, node, name, first, wants, rest);
	return place ? add_place(b, node, name, place, NULL, wants) : unknown_table(b, node, name);
}

static int analyze(struct builder *b, const struct sl_step *step, const char *key, yyjson_doc **ret)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
	yyjson_mut_val *tables, *params;
	if (!doc)
		return sl_fail_memory(b->err);
	int rc = sl_sql_analyze(step->sql_text, *step->sql_path ? step->sql_path : step->name, doc, &tables, &params, b->err);
	if (rc)
		flow_place_error(b->g->project, step, b->err);
	rc = rc ? rc : sl_json_mut_canonical(tables, &text, b->err);
	if (rc)
		return rc;
	if (b->write) {
		int64_t n = sl_meta_exec(b->g->store->meta, b->err, "INSERT INTO sql_tables(key, tables) VALUES(?1, ?2) ON CONFLICT(key) DO NOTHING", "ss", key,
					 sl_buf_cstr(&text));
		if (n < 0)
			return (int)n;
	}
	*ret = sl_json_parse(sl_buf_cstr(&text), text.len, "sql_tables", b->err);
	return *ret ? 0 : SL_E_NO_MEMORY;
}

/* The tables that the text reads, remembered by engine and text. */
static int sql_tables(struct builder *b, const struct sl_step *step, yyjson_doc **ret)
{
	struct sl_hash hash;
	char key[SL_HASH_HEX + 1];
	const char *engine;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(64 << 20);
	int rc = flow_engine_version(b->g, "sql", b->write, &engine, b->err);
	if (rc)
		return rc;
	sl_buf_printf(&text, "%s\n%s", engine, step->sql_text);
	rc = sl_buf_check(&text, step->name, b->err);
	if (rc)
		return rc;
	sl_sha256(text.data, text.len, &hash);
	sl_hash_hex(&hash, key);
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	rc = sl_meta_query(b->g->store->meta, &stmt, b->err, "SELECT tables FROM sql_tables WHERE key = ?1", "s", key);
	rc = rc ? rc : sl_stmt_step(stmt, b->err);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		const char *tables = sl_stmt_text(stmt, 0);
		*ret = sl_json_parse(tables, strlen(tables), "sql_tables", b->err);
		if (*ret)
			return 0;
	}
	sl_stmt_done(SL_TAKE(stmt));
	return analyze(b, step, key, ret);
}

static int add_sql_inputs(struct builder *b, struct flow_node *node)
{
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	int rc = sql_tables(b, node->step, &doc);
	if (rc)
		return rc;
	yyjson_val *tables = yyjson_doc_get_root(doc), *table;
	size_t i, max;
	node->inputs = sl_arena_array(b->g->arena, yyjson_arr_size(tables) + 1, sizeof *node->inputs);
	if (!node->inputs)
		return sl_fail_memory(b->err);
	yyjson_arr_foreach(tables, i, max, table) {
		const char *name = sl_arena_strdup(b->g->arena, yyjson_get_str(table));
		rc = name ? add_input(b, node, name, FLOW_DATASET, max - i) : sl_fail_memory(b->err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Where the gate's rows come from: the model's own `evaluate`, else the training step's data. */
static const char *gate_data(const struct sl_project *project, const struct sl_model *model)
{
	return *model->evaluate.data ? model->evaluate.data : sl_project_step(project, model->from)->train.data;
}

static int check_model(struct builder *b, const struct flow_node *node)
{
	for (size_t i = 0; i < node->model->gate.count; i++) {
		struct sl_gate_rule rule;
		int rc = sl_gate_parse(node->model->gate.items[i], &rule, b->err);
		if (rc) {
			sl_error_context(b->err, "model '%s'", node->name);
			b->err->where[0] = 0;
			return sl_error_where(b->err, "sluice.yaml:%d:%d", node->mark.line, node->mark.column);
		}
	}
	return 0;
}

static int add_step_inputs(struct builder *b, struct flow_node *node)
{
	const struct sl_step *step = node->step;
	node->inputs = sl_arena_array(b->g->arena, step->inputs.count + 1, sizeof *node->inputs);
	if (!node->inputs)
		return sl_fail_memory(b->err);
	int rc = 0;
	for (size_t i = 0; !rc && i < step->inputs.count; i++) {
		bool model = node->action == FLOW_EVALUATE && strcmp(step->inputs.items[i], step->evaluate.model) == 0;
		rc = add_input(b, node, step->inputs.items[i], model ? FLOW_MODEL : FLOW_DATASET, step->inputs.count - i);
	}
	if (!rc && node->action == FLOW_TRAIN) {
		rc = sl_learn_check(&step->train, b->err);
		if (rc)
			return sl_error_where(b->err, "sluice.yaml:%d:%d", node->mark.line, node->mark.column);
	}
	return rc;
}

/* Datasets that the checks of the node's outputs compare with: the node comes behind what makes them. */
static int add_check_inputs(struct builder *b, struct flow_node *node)
{
	for (size_t o = 0; o < node->output_count; o++) {
		const struct sl_dataset *d = node->outputs[o].checks;
		struct flow_input *inputs = d ? sl_arena_array(b->g->arena, node->input_count + d->check_count + 1, sizeof *inputs) : NULL;
		if (!d)
			continue;
		if (!inputs)
			return sl_fail_memory(b->err);
		if (node->input_count)
			memcpy(inputs, node->inputs, node->input_count * sizeof *inputs);
		node->inputs = inputs;
		for (size_t i = 0; i < d->check_count; i++) {
			size_t before = node->input_count;
			int rc = sl_check_reads_dataset(&d->checks[i]) ? add_input(b, node, d->checks[i].other, FLOW_DATASET, d->check_count - i) : 0;
			if (rc)
				return rc;
			for (; before < node->input_count; before++)
				node->inputs[before].for_checks = true;
		}
	}
	return 0;
}

static int add_inputs(struct builder *b)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < b->g->count; i++) {
		struct flow_node *node = &b->g->nodes[i];
		if (node->action == FLOW_SQL) {
			rc = add_sql_inputs(b, node);
		} else if (node->kind == SL_FLOW_STEP) {
			rc = add_step_inputs(b, node);
		} else if (node->kind == SL_FLOW_MODEL) {
			node->inputs = sl_arena_array(b->g->arena, 2, sizeof *node->inputs);
			rc = node->inputs ? check_model(b, node) : sl_fail_memory(b->err);
			rc = rc ? rc : add_input(b, node, node->model->from, FLOW_MODEL, 1);
			rc = rc ? rc : add_input(b, node, gate_data(b->g->project, node->model), FLOW_DATASET, 0);
		}
		rc = rc ? rc : add_check_inputs(b, node);
	}
	return rc;
}

int flow_graph_build(struct sl_store *store, const struct sl_project *project, const char *const *names, size_t name_count, bool write,
		     struct sl_arena *arena, struct flow_graph *ret, struct sl_error *err)
{
	*ret = (struct flow_graph){.project = project, .store = store, .arena = arena};
	SL_CLEANUP(sl_map_freep) struct sl_map *places = sl_map_new(err);
	SL_CLEANUP(sl_map_freep) struct sl_map *declared = sl_map_new(err);
	SL_CLEANUP(sl_map_freep) struct sl_map *firsts = sl_map_new(err), *lasts = sl_map_new(err);
	if (!places || !declared || !firsts || !lasts)
		return SL_E_NO_MEMORY;
	struct builder b = {.g = ret, .places = places, .declared = declared, .firsts = firsts, .lasts = lasts, .write = write, .err = err};
	int rc = 0;
	for (size_t i = 0; !rc && i < project->dataset_count; i++)
		rc = sl_map_set(declared, project->datasets[i].name, &project->datasets[i], NULL, err);
	rc = rc ? rc : add_nodes(&b);
	rc = rc ? rc : add_inputs(&b);
	return rc ? rc : flow_graph_order(ret, places, names, name_count, err);
}

/* Section `steps`. */
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "project/shape.h"

enum { STEP_TIMEOUT_MS = 24 * 3600 * 1000 };

/* ---- train ------------------------------------------------------------------------------------------------------------- */

/* The options of the engine are checked into `number` or `text` and kept as JSON. */
struct train_read { struct sl_train train; struct sl_name_list features; int64_t whole; double number; const char *text; struct sl_names names; };

/* A feature, or {when: $flag, use: [features]}: in when the flag is true. */
struct feature_group { bool when; struct sl_names use; };
static const struct sl_row GROUP_ROWS[] = {
	{"when", SL_ROW_BOOL, offsetof(struct feature_group, when), .required = true, .about = "true, false or a parameter"},
	{"use", SL_ROW_NAMES, offsetof(struct feature_group, use), .required = true, .about = "columns"},
};
static const struct sl_shape GROUP_SHAPE = SL_SHAPE("a group of features", GROUP_ROWS);

static int add_features(struct sl_loader *loader, const struct sl_yaml *node, struct sl_name_list *list)
{
	int rc = sl_load_resolve(loader, node, &node);
	struct feature_group group = {.when = true};
	const char *one;
	if (!rc && node->kind == SL_YAML_MAP) {
		rc = sl_shape_read(loader, &GROUP_SHAPE, node, &group);
	} else if (!rc && node->kind == SL_YAML_SCALAR) {
		rc = sl_load_text(loader, node, "features", &one);
		group.use = (struct sl_names){&one, 1};
	} else if (!rc) {
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a feature is a column, or {when: $flag, use: [columns]}");
	}
	for (size_t i = 0; !rc && group.when && i < group.use.count; i++) {
		size_t before = list->count;
		rc = sl_name_list_add_new(loader, list, group.use.items[i]);
		if (!rc && list->count == before)
			rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "feature '%.128s' is listed twice", group.use.items[i]);
	}
	return rc;
}

static int read_features(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct train_read *read = target;
	int rc = sl_load_resolve(loader, node, &node);
	if (!rc && node->kind != SL_YAML_LIST)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'features' wants a list of columns");
	for (size_t i = 0; !rc && i < node->count; i++)
		rc = add_features(loader, node->entries[i].value, &read->features);
	if (!rc && read->features.count == 0)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "no feature is left to train on");
	return rc;
}

#define TRAIN(member) offsetof(struct train_read, train.member)
#define OPTION(name_, min_, max_, about_) {name_, SL_ROW_NUMBER, offsetof(struct train_read, number), .min = min_, .max = max_, .about = about_}
#define OPTION_WHOLE(name_, min_, max_, about_) {name_, SL_ROW_INT, offsetof(struct train_read, whole), .min = min_, .max = max_, .about = about_}
static const char *const ALGORITHMS[] = {"xgboost", NULL}, *const TASKS[] = {"binary", "multiclass", "regression", NULL};
static const char *const GROW_POLICIES[] = {"depthwise", "lossguide", NULL};
static const struct sl_row TRAIN_ROWS[] = {
	{"algorithm", SL_ROW_CHOICE, TRAIN(algorithm), .required = true, .choices = ALGORITHMS, .about = "xgboost"},
	{"data", SL_ROW_REF, TRAIN(data), .required = true, .about = "dataset to learn from"},
	{"where", SL_ROW_SQL, TRAIN(where), .about = "SQL expression: only these rows"},
	{"validation", SL_ROW_SQL, TRAIN(validation), .about = "SQL expression: rows kept out of training, for metrics and early stopping"},
	{"target", SL_ROW_TEXT, TRAIN(target), .required = true, .about = "column to predict"},
	{"weight", SL_ROW_TEXT, TRAIN(weight), .about = "column of row weights"},
	{"task", SL_ROW_CHOICE, TRAIN(task), .choices = TASKS, .about = "by the target when not given"},
	{"features", SL_ROW_OTHER, .read = read_features, .required = true, .about = "columns to learn from; {when: $flag, use: [columns]} adds some",
	 .schema = "{\"type\":\"array\",\"minItems\":1,\"items\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"when\",\"use\"],"
		   "\"additionalProperties\":false,\"properties\":{\"when\":{\"type\":[\"boolean\",\"string\"]},\"use\":{\"type\":[\"array\",\"string\"]}}}]}}"},
	{"rounds", SL_ROW_INT, TRAIN(rounds), .min = 1, .max = 100000, .about = "trees (per class)"},
	{"early_stopping", SL_ROW_INT, TRAIN(early_stopping), .min = 0, .max = 100000, .about = "stop after so many rounds without gain on the validation rows"},
	{"seed", SL_ROW_INT, TRAIN(seed), .min = 0, .max = 2147483647, .about = "the parameter 'seed' when not given, else 0"},
	/* Options of the engine from here on (see first_option). */
	OPTION_WHOLE("max_depth", 0, 64, "depth of a tree"),
	OPTION("learning_rate", 0, 1, "step size"),
	OPTION("subsample", 0, 1, "share of rows per round"),
	OPTION("colsample_bytree", 0, 1, "share of columns per tree"),
	OPTION("colsample_bylevel", 0, 1, "share of columns per level"),
	OPTION("colsample_bynode", 0, 1, "share of columns per split"),
	OPTION("min_child_weight", 0, 1e9, "least sum of weights in a leaf"),
	OPTION("gamma", 0, 1e9, "least gain of a split"),
	OPTION("reg_lambda", 0, 1e9, "L2 penalty"),
	OPTION("reg_alpha", 0, 1e9, "L1 penalty"),
	OPTION("scale_pos_weight", 0, 1e9, "weight of the positive class"),
	OPTION("max_delta_step", 0, 1e9, "limit of a leaf's step"),
	OPTION_WHOLE("max_bin", 2, 65536, "bins per column"),
	OPTION_WHOLE("max_leaves", 0, 1000000, "leaves of a tree; 0: no limit"),
	OPTION_WHOLE("num_parallel_tree", 1, 1000, "trees per round"),
	OPTION("eta", 0, 1, "the same as learning_rate"),
	OPTION("min_split_loss", 0, 1e9, "the same as gamma"),
	OPTION("lambda", 0, 1e9, "the same as reg_lambda"),
	OPTION("alpha", 0, 1e9, "the same as reg_alpha"),
	OPTION("base_score", -1e30, 1e30, "what every prediction starts from; by the data when not given"),
	OPTION("tweedie_variance_power", 1, 2, "of reg:tweedie"),
	{"grow_policy", SL_ROW_CHOICE, offsetof(struct train_read, text), .choices = GROW_POLICIES, .about = "which leaf is split next"},
	{"objective", SL_ROW_TEXT, offsetof(struct train_read, text), .about = "by the task when not given (docs/training.md)"},
	{"eval_metric", SL_ROW_NAMES, offsetof(struct train_read, names), .about = "metrics per round; the first one decides about early stopping"},
};
static const struct sl_shape TRAIN_SHAPE = SL_SHAPE("'train'", TRAIN_ROWS);

static size_t first_option(void)
{
	size_t i = 0;
	while (strcmp(TRAIN_ROWS[i].name, "max_depth") != 0)
		i++;
	return i;
}

static int read_options(struct sl_loader *loader, const struct sl_yaml *node, const char **ret)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *options = doc ? yyjson_mut_obj(doc) : NULL, *value;
	if (!options)
		return sl_load_memory(loader);
	for (size_t i = 0; i < node->count; i++) {
		const char *name = node->entries[i].key->text;
		if (sl_shape_row(&TRAIN_SHAPE, name) < &TRAIN_ROWS[first_option()])
			continue;
		int rc = sl_load_json(loader, node->entries[i].value, doc, &value);
		if (rc)
			return rc;
		if (!yyjson_mut_obj_add_val(doc, options, name, value))
			return sl_load_memory(loader);
	}
	return sl_load_canonical(loader, options, ret);
}

static int default_seed(struct sl_loader *loader, const struct sl_yaml *node, struct train_read *read)
{
	if (sl_yaml_get(node, "seed") || !sl_project_param(loader->project, "seed"))
		return 0;
	const struct sl_yaml reference = {.kind = SL_YAML_SCALAR, .mark = node->mark, .text = "$seed", .plain = true};
	return sl_row_read(loader, sl_shape_row(&TRAIN_SHAPE, "seed"), &reference, read);
}

static int read_train(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	struct train_read read = {.train = {.algorithm = "", .data = "", .where = "", .validation = "", .target = "", .weight = "", .task = "", .rounds = 100}};
	int rc = sl_shape_read(loader, &TRAIN_SHAPE, node, &read);
	rc = rc ? rc : default_seed(loader, node, &read);
	rc = rc ? rc : read_options(loader, node, &read.train.options);
	read.train.features = sl_name_list_names(&read.features);
	if (!rc && read.train.early_stopping && !*read.train.validation)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'early_stopping' needs 'validation'");
	step->kind = SL_STEP_TRAIN;
	step->train = read.train;
	return rc;
}

/* ---- evaluate --------------------------------------------------------------------------------------------------------- */

static const struct sl_row EVALUATE_ROWS[] = {
	{"model", SL_ROW_TEXT, offsetof(struct sl_evaluate, model), .required = true, .about = "a train step, or model:NAME@VERSION"},
	{"data", SL_ROW_REF, offsetof(struct sl_evaluate, data), .required = true, .about = "dataset to evaluate on"},
	{"where", SL_ROW_SQL, offsetof(struct sl_evaluate, where), .about = "SQL expression: only these rows"},
	{"target", SL_ROW_TEXT, offsetof(struct sl_evaluate, target), .about = "the model's own when not given"},
	{"weight", SL_ROW_TEXT, offsetof(struct sl_evaluate, weight), .about = "column of row weights"},
	{"slices", SL_ROW_NAMES, offsetof(struct sl_evaluate, slices), .about = "columns; metrics are also given for each of their values"},
};
static const struct sl_shape EVALUATE_SHAPE = SL_SHAPE("'evaluate'", EVALUATE_ROWS);
/* A model's own: without the first row. */
const struct sl_shape sl_shape_model_evaluate = {.what = "'evaluate'", .rows = EVALUATE_ROWS + 1, .count = SL_ARRAY_LEN(EVALUATE_ROWS) - 1};

int sl_read_evaluate(struct sl_loader *loader, const struct sl_yaml *node, struct sl_evaluate *ret, bool of_model)
{
	*ret = (struct sl_evaluate){.model = "", .data = "", .where = "", .target = "", .weight = ""};
	return sl_shape_read(loader, of_model ? &sl_shape_model_evaluate : &EVALUATE_SHAPE, node, ret);
}

static int read_evaluate(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	step->kind = SL_STEP_EVALUATE;
	return sl_read_evaluate(loader, node, &step->evaluate, false);
}

/* ---- sql and run ------------------------------------------------------------------------------------------------------- */

static int read_sql(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	step->kind = SL_STEP_SQL;
	step->sql_mark = node->mark;
	if (node->kind != SL_YAML_SCALAR || sl_yaml_is_null(node))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'sql' wants a .sql file or the query itself");
	if (!sl_str_ends(node->text, ".sql")) {
		step->sql_text = node->text;
		return sl_load_sql_params(loader, node->text, NULL, node->mark);
	}
	step->sql_path = node->text;
	return sl_load_sql_file(loader, node->text, node->mark, &step->sql_text);
}

static int read_run(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	step->kind = SL_STEP_RUN;
	struct sl_name_list argv = {0};
	const char *text;
	int rc = 0;
	if (node->kind == SL_YAML_SCALAR) {
		/* A shell's text: `$name` in it is the shell's. */
		static const char *const SHELL[] = {"/bin/sh", "-c"};
		for (size_t i = 0; !rc && i < SL_ARRAY_LEN(SHELL); i++)
			rc = sl_name_list_add(loader, &argv, SHELL[i]);
		rc = rc ? rc : sl_name_list_add(loader, &argv, node->text);
	}
	for (size_t i = 0; !rc && i < node->count && node->kind == SL_YAML_LIST; i++) {
		rc = sl_load_text(loader, node->entries[i].value, "run", &text);
		rc = rc ? rc : sl_name_list_add(loader, &argv, text);
	}
	step->argv = sl_name_list_names(&argv);
	if (!rc && (argv.count == 0 || !*argv.items[0] || (node->kind == SL_YAML_SCALAR && !*node->text)))
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'run' wants a program with its arguments, or a text for the shell");
	return rc;
}

/* "out/images/": the mark goes into a flag. */
static int read_folder_mark(struct sl_loader *loader, struct sl_output *output)
{
	size_t len = strlen(output->path);
	output->folder = len > 1 && output->path[len - 1] == '/';
	if (!output->folder)
		return 0;
	output->path = sl_arena_strndup(loader->arena, output->path, len - 1);
	return output->path ? 0 : sl_load_memory(loader);
}

static int read_outputs(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	int rc = sl_load_want_map(loader, node, "'outputs'");
	if (rc)
		return rc;
	step->outputs = sl_arena_array(loader->arena, node->count + 1, sizeof *step->outputs);
	if (!step->outputs)
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key, *value = node->entries[i].value;
		struct sl_output *output = &step->outputs[step->output_count++];
		output->name = key->text;
		rc = sl_load_text(loader, value, key->text, &output->path);
		if (!rc && !sl_name_valid(key->text))
			rc = sl_load_fail(loader, key->mark, SL_E_INVALID, "'%.100s' is not a name", key->text);
		rc = rc ? rc : read_folder_mark(loader, output);
		if (!rc && !sl_relative_path_valid(output->path))
			rc = sl_load_fail(loader, value->mark, SL_E_INVALID, "'%.200s' is not a path inside the project", output->path);
	}
	return rc;
}

static int read_environment(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	struct sl_name_list list = {0};
	int rc = sl_load_want_map(loader, node, "'env'");
	loader->secrets_allowed = true;
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *name = node->entries[i].key->text, *text;
		rc = sl_load_text(loader, node->entries[i].value, name, &text);
		if (!rc && (!*name || strchr(name, '=') || strncmp(name, "SLUICE_", 7) == 0))
			rc = sl_load_fail(loader, node->entries[i].key->mark, SL_E_INVALID, "'%.100s' cannot be set", name);
		const char *pair = rc ? NULL : sl_arena_printf(loader->arena, "%s=%s", name, text);
		if (!rc)
			rc = pair ? sl_name_list_add(loader, &list, pair) : sl_load_memory(loader);
	}
	loader->secrets_allowed = false;
	step->environment = sl_name_list_names(&list);
	return rc;
}

static int read_params(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	(void)target;
	if (node->kind != SL_YAML_LIST)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'params' wants a list of names");
	for (size_t i = 0; i < node->count; i++) {
		const struct sl_yaml *item = node->entries[i].value, *value;
		const char *reference = sl_arena_printf(loader->arena, "$%s", item->text);
		if (!reference)
			return sl_load_memory(loader);
		const struct sl_yaml named = {.kind = SL_YAML_SCALAR, .mark = item->mark, .text = reference, .plain = true};
		int rc = sl_load_resolve(loader, &named, &value);
		if (!rc && value == &named)
			rc = sl_load_fail(loader, item->mark, SL_E_INVALID, "'%.100s' is not a parameter", item->text);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- a step ------------------------------------------------------------------------------------------------------------- */

static int each_is_read(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	(void)loader, (void)node, (void)target;
	return 0; /* before the instances (read_instances) */
}

#define STEP(member) offsetof(struct sl_step, member)
static const struct sl_row STEP_ROWS[] = {
	{"sql", SL_ROW_OTHER, .read = read_sql, .schema = "{\"type\":\"string\"}", .about = "a .sql file or a query; its result is the dataset"},
	{"lookup", SL_ROW_OTHER, .read = sl_read_lookup, .shape = &sl_shape_lookup, .about = "joins columns of a keyed dataset to rows, as of their time"},
	{"run", SL_ROW_OTHER, .read = read_run, .schema = "{\"type\":[\"array\",\"string\"]}", .about = "a program with its arguments, or a text for /bin/sh"},
	{"train", SL_ROW_OTHER, .read = read_train, .shape = &TRAIN_SHAPE, .about = "trains a model"},
	{"evaluate", SL_ROW_OTHER, .read = read_evaluate, .shape = &EVALUATE_SHAPE, .about = "scores a model on a dataset"},
	{"inputs", SL_ROW_NAMES, STEP(inputs), .about = "run: what it reads"},
	{"outputs", SL_ROW_OTHER, .read = read_outputs, .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}",
	 .about = "run: what it makes, name: path"},
	{"code", SL_ROW_NAMES, STEP(code), .about = "run: files that count as its code, besides those among its arguments"},
	{"params", SL_ROW_OTHER, .read = read_params, .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
	 .about = "run: parameters it reads from its environment or params.json"},
	{"env", SL_ROW_OTHER, .read = read_environment, .schema = "{\"type\":\"object\"}", .about = "run: environment variables"},
	{"sandbox", SL_ROW_OTHER, .read = sl_read_sandbox, .shape = &sl_shape_sandbox, .schema = SL_SWITCH_SCHEMA,
	 .about = "run: it may read only what it declares, and has no network: on, off, or what else it may"},
	{"limits", SL_ROW_OTHER, .read = sl_read_limits, .shape = &sl_shape_limits, .about = "run: of each of its processes"},
	{"timeout", SL_ROW_DURATION, STEP(timeout_ms), .about = "24h when not given"},
	{"memory", SL_ROW_BYTES, STEP(memory_bytes), .about = "limit: of the engine; of a command with all that it starts"},
	{"cpu", SL_ROW_NUMBER, STEP(cpu), .min = 0, .max = 4096, .about = "processors that it keeps busy; 1 when not given"},
	{"needs", SL_ROW_OTHER, .read = sl_read_needs, .schema = SL_AMOUNTS_SCHEMA, .about = "of the project's resources, name: number"},
	{"priority", SL_ROW_INT, STEP(priority), .min = -1000, .max = 1000, .about = "of steps that are ready, the one with the higher priority starts first; 0"},
	{"each", SL_ROW_OTHER, .read = each_is_read, .schema = "{\"type\":\"object\",\"maxProperties\":1,\"additionalProperties\":{\"type\":[\"array\",\"string\",\"object\"]}}",
	 .about = "one instance per item: name: list, or name: glob of files; $name is the item"},
	{"when", SL_ROW_OTHER, .read = sl_read_when, .schema = "{\"type\":[\"boolean\",\"string\"]}",
	 .about = "a condition on parameters; when it is false the step is left out"},
	{"finally", SL_ROW_OTHER, .read = sl_read_finally, .schema = "{\"type\":[\"boolean\",\"array\",\"string\"]}",
	 .about = "run: when everything has ended, however it ended: true, or the steps that it is for"},
	{"group", SL_ROW_REF, STEP(group), .about = "a name for several steps: sluice run GROUP"},
	{"retry", SL_ROW_OTHER, .read = sl_read_retry, .shape = &sl_shape_retry, .schema = "{\"type\":[\"integer\",\"string\"]}",
	 .about = "attempts after a failure: a number, or when and how"},
};
const struct sl_shape sl_shape_step = SL_SHAPE("a step", STEP_ROWS);
enum { STEP_KINDS = 5, STEP_RUN_FIRST = 5, STEP_RUN_LAST = 11 }; /* rows: what it is, and what only `run` may have */

static int check_step_keys(struct sl_loader *loader, const char *name, const struct sl_yaml *node)
{
	int kinds = 0;
	for (size_t i = 0; i < STEP_KINDS; i++)
		kinds += sl_yaml_get(node, STEP_ROWS[i].name) != NULL;
	if (kinds != 1)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "step '%s' needs exactly one of sql, lookup, run, train, evaluate", name);
	for (size_t i = 0; i < node->count && !sl_yaml_get(node, "run"); i++)
		for (size_t row = STEP_RUN_FIRST; row <= STEP_RUN_LAST; row++)
			if (strcmp(node->entries[i].key->text, STEP_ROWS[row].name) == 0)
				return sl_load_fail(loader, node->entries[i].key->mark, SL_E_INVALID, "'%s' belongs to steps with 'run'",
						    STEP_ROWS[row].name);
	return 0;
}

/* The definition of a train step holds the features as resolved, so that a group that is switched off does not count. */
static int define_step(struct sl_loader *loader, const struct sl_yaml *node, struct sl_step *step)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value = NULL;
	if (!doc)
		return sl_load_memory(loader);
	loader->secrets_allowed = true; /* places were checked, and parameters noted, when the values were read */
	struct sl_name_list *uses = SL_TAKE(loader->uses);
	int rc = sl_load_json(loader, node, doc, &value);
	loader->uses = uses;
	loader->secrets_allowed = false;
	if (rc)
		return rc;
	static const char *const HOW[] = {"timeout", "memory", "cpu", "needs", "priority", "retry", "when", "finally", "group", "each", "sandbox", "limits"}; /* not what */
	for (size_t i = 0; i < SL_ARRAY_LEN(HOW); i++)
		yyjson_mut_obj_remove_key(value, HOW[i]);
	yyjson_mut_val *train = yyjson_mut_obj_get(value, "train");
	if (step->kind == SL_STEP_TRAIN && train) {
		yyjson_mut_val *features = yyjson_mut_arr_with_strcpy(doc, step->train.features.items, step->train.features.count);
		if (!features || !yyjson_mut_obj_replace(train, yyjson_mut_str(doc, "features"), features) ||
		    !yyjson_mut_obj_put(train, yyjson_mut_str(doc, "seed"), yyjson_mut_sint(doc, step->train.seed)))
			return sl_load_memory(loader);
	}
	return sl_load_canonical(loader, value, &step->definition);
}

static int add_inputs(struct sl_loader *loader, struct sl_step *step)
{
	const char *own[2];
	size_t count = 0;
	if (step->kind == SL_STEP_TRAIN) {
		own[count++] = step->train.data;
	} else if (step->kind == SL_STEP_EVALUATE) {
		own[count++] = step->evaluate.data;
		if (!strchr(step->evaluate.model, ':') && !strchr(step->evaluate.model, '@'))
			own[count++] = step->evaluate.model;
	}
	struct sl_name_list list = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++)
		rc = sl_name_list_add_new(loader, &list, own[i]);
	if (count)
		step->inputs = sl_name_list_names(&list);
	return rc;
}

static int read_step(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_step *step = element;
	*step = (struct sl_step){.name = name, .sql_path = "", .sql_text = "", .timeout_ms = STEP_TIMEOUT_MS, .cpu = 1, .of = "", .when = "", .group = "", .mark = node->mark,
				 .train = {.algorithm = "", .data = "", .where = "", .validation = "", .target = "", .weight = "", .task = "", .options = "{}"},
				 .evaluate = {.model = "", .data = "", .where = "", .target = "", .weight = ""}};
	int rc = sl_shape_read(loader, &sl_shape_step, node, step);
	rc = rc ? rc : check_step_keys(loader, name, node);
	rc = rc ? rc : add_inputs(loader, step);
	rc = rc ? rc : define_step(loader, node, step);
	if (!rc && step->output_count == 0) {
		/* One output of the step's own name. A command without outputs is run for its effect. */
		step->outputs = sl_arena_alloc(loader->arena, sizeof *step->outputs);
		if (!step->outputs)
			return sl_load_memory(loader);
		if (step->kind != SL_STEP_RUN)
			step->outputs[step->output_count++] = (struct sl_output){.name = name, .path = ""};
	}
	step->params = sl_name_list_names(loader->uses);
	return rc;
}

/* ---- instances --------------------------------------------------------------------------------------------------------- */

/* "out/a.csv" of item x is "out/a.x.csv". */
static const char *path_of_item(struct sl_loader *loader, const char *path, const char *label)
{
	const char *slash = strrchr(path, '/'), *dot = strchr(slash ? slash + 1 : path, '.');
	int len = (int)(dot ? (size_t)(dot - path) : strlen(path));
	return sl_arena_printf(loader->arena, "%.*s.%s%s", len, path, label, dot ? dot : "");
}

static int name_outputs(struct sl_loader *loader, const char *name, struct sl_step *step, const char *label)
{
	for (size_t i = 0; i < step->output_count && step->kind == SL_STEP_RUN; i++) {
		struct sl_output *o = &step->outputs[i];
		o->of = o->name;
		o->name = sl_arena_printf(loader->arena, "%s.%s", o->name, label);
		o->path = path_of_item(loader, o->path, label);
		if (!o->name || !o->path)
			return sl_load_memory(loader);
	}
	if (step->kind != SL_STEP_RUN)
		step->outputs[0].of = name;
	return 0;
}

/* Files of a glob count with their content, as code does. */
static int add_file(struct sl_loader *loader, struct sl_step *step, const char *file)
{
	struct sl_name_list code = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < step->code.count; i++)
		rc = sl_name_list_add(loader, &code, step->code.items[i]);
	rc = rc ? rc : sl_name_list_add_new(loader, &code, file);
	step->code = sl_name_list_names(&code);
	return rc;
}

static int read_instance(struct sl_loader *loader, const char *name, const struct sl_yaml *node, const struct sl_each *each, size_t i, struct sl_step *step)
{
	const struct sl_each_item *item = &each->items[i];
	struct sl_param *own = sl_arena_alloc(loader->arena, sizeof *own);
	const char *full = sl_arena_printf(loader->arena, "%s.%s", name, item->label);
	if (!own || !full)
		return sl_load_memory(loader);
	if (!sl_name_valid(full))
		return sl_load_fail(loader, item->value->mark, SL_E_INVALID, "'%.200s' is too long for a name", full);
	*own = (struct sl_param){.name = each->name, .mark = item->value->mark};
	struct sl_name_list uses = {0};
	loader->each_name = each->name;
	loader->each_value = item->value;
	loader->uses = &uses;
	int rc = sl_load_value(loader, item->value, &own->value);
	rc = rc ? rc : sl_name_list_add(loader, &uses, each->name); /* also when only its variable is read */
	rc = rc ? rc : read_step(loader, full, node, step);
	rc = rc ? rc : name_outputs(loader, name, step, item->label);
	rc = rc || !*item->file ? rc : add_file(loader, step, item->file);
	loader->uses = NULL;
	loader->each_name = NULL;
	step->of = name;
	step->each = own;
	step->unasked = each->unasked;
	step->left_out |= each->unasked;
	return rc;
}

/* Steps as the file has them, those with `each` once per item. */
static int read_instances(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_each *eaches, struct sl_project *p)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *name = node->entries[i].key->text;
		const struct sl_yaml *definition = node->entries[i].value;
		for (size_t k = 0; !rc && eaches[i].name && k < eaches[i].count; k++)
			rc = read_instance(loader, name, definition, &eaches[i], k, &p->steps[p->step_count++]);
		if (rc || eaches[i].name)
			continue;
		struct sl_name_list uses = {0};
		loader->uses = &uses;
		rc = read_step(loader, name, definition, &p->steps[p->step_count++]);
		loader->uses = NULL;
	}
	return rc;
}

int sl_read_steps(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	if (node->kind == SL_YAML_SCALAR && sl_yaml_is_null(node))
		return 0;
	int rc = sl_load_want_map(loader, node, "'steps'");
	struct sl_each *eaches = rc ? NULL : sl_arena_array(loader->arena, node->count + 1, sizeof *eaches);
	size_t count = 0;
	p->each_queries = rc ? NULL : sl_arena_array(loader->arena, node->count + 1, sizeof *p->each_queries);
	if (!rc && (!eaches || !p->each_queries))
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *each = sl_yaml_get(node->entries[i].value, "each");
		rc = sl_section_name(loader, node->entries[i].key);
		rc = rc || !each ? rc : sl_read_each(loader, each, &eaches[i]);
		if (!rc && eaches[i].query)
			p->each_queries[p->each_query_count++] = (struct sl_each_query){node->entries[i].key->text, eaches[i].query, each->mark};
		count += each ? eaches[i].count : 1;
	}
	p->steps = rc ? NULL : sl_arena_array(loader->arena, count + 1, sizeof *p->steps);
	if (!rc && !p->steps)
		return sl_load_memory(loader);
	return rc ? rc : read_instances(loader, node, eaches, p);
}

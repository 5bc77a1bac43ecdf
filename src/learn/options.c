#include "learn/options.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

enum option_kind { INTEGER, REAL, ABOVE, WORD, WORDS }; /* ABOVE: a real number above min, not equal to it */

/* Names as XGBoost knows them; short ones are its own aliases. */
static const struct option {
	const char *name;
	enum option_kind kind;
	double min, max;
	const char *words; /* " a b ": what a WORD may be */
} OPTIONS[] = {
	{"max_depth", INTEGER, 0, 30, NULL},
	{"max_leaves", INTEGER, 0, 1 << 20, NULL},
	{"max_bin", INTEGER, 2, 65535, NULL},
	{"grow_policy", WORD, 0, 0, " depthwise lossguide "},
	{"learning_rate", ABOVE, 0, 1, NULL},
	{"eta", ABOVE, 0, 1, NULL},
	{"min_child_weight", REAL, 0, INFINITY, NULL},
	{"max_delta_step", REAL, 0, INFINITY, NULL},
	{"gamma", REAL, 0, INFINITY, NULL},
	{"min_split_loss", REAL, 0, INFINITY, NULL},
	{"lambda", REAL, 0, INFINITY, NULL},
	{"reg_lambda", REAL, 0, INFINITY, NULL},
	{"alpha", REAL, 0, INFINITY, NULL},
	{"reg_alpha", REAL, 0, INFINITY, NULL},
	{"subsample", ABOVE, 0, 1, NULL},
	{"colsample_bytree", ABOVE, 0, 1, NULL},
	{"colsample_bylevel", ABOVE, 0, 1, NULL},
	{"colsample_bynode", ABOVE, 0, 1, NULL},
	{"num_parallel_tree", INTEGER, 1, 1000, NULL},
	{"scale_pos_weight", ABOVE, 0, INFINITY, NULL},
	{"base_score", REAL, -INFINITY, INFINITY, NULL},
	{"tweedie_variance_power", ABOVE, 1, 2, NULL},
	{"objective", WORD, 0, 0, NULL},
	{"eval_metric", WORDS, 0, 0, NULL},
};

/* Per task: what may stand as objective (the first is the default) and as eval_metric. */
static const struct {
	const char *name, *objectives, *metrics;
} TASKS[] = {
	[SL_TASK_BINARY] = {"binary", " binary:logistic ", " logloss auc aucpr error "},
	[SL_TASK_MULTICLASS] = {"multiclass", " multi:softprob ", " mlogloss merror auc "},
	[SL_TASK_REGRESSION] = {"regression",
				" reg:squarederror reg:absoluteerror reg:pseudohubererror reg:squaredlogerror count:poisson "
				"reg:gamma reg:tweedie ",
				" rmse mae rmsle mape mphe poisson-nloglik gamma-nloglik gamma-deviance "},
};

static bool is_one_of(const char *word, const char *words)
{
	size_t len = strlen(word);
	const char *at = len && !strchr(word, ' ') ? words : NULL;
	while (at && (at = strstr(at, word))) {
		if (at[-1] == ' ' && at[len] == ' ')
			return true;
		at += len;
	}
	return false;
}

bool sl_options_task(const char *text, enum sl_task *ret)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(TASKS); i++)
		if (sl_str_eq(text, TASKS[i].name)) {
			*ret = (enum sl_task)i;
			return true;
		}
	return false;
}

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(OPTIONS); i++)
		if (sl_str_eq(OPTIONS[i].name, name))
			return &OPTIONS[i];
	return NULL;
}

static int fail_unknown(const char *name, struct sl_error *err)
{
	const char *names[SL_ARRAY_LEN(OPTIONS)];
	for (size_t i = 0; i < SL_ARRAY_LEN(OPTIONS); i++)
		names[i] = OPTIONS[i].name;
	sl_fail(err, SL_E_INVALID, "'%s' is no training option", name);
	const char *nearest = sl_str_nearest(name, names, SL_ARRAY_LEN(names));
	return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_INVALID;
}

static int check_number(const struct option *option, yyjson_val *value, struct sl_error *err)
{
	double d = yyjson_get_num(value);
	if (!yyjson_is_num(value) || (option->kind == INTEGER && d != floor(d)))
		return sl_fail(err, SL_E_INVALID, "option '%s' wants a%s number", option->name,
			       option->kind == INTEGER ? " whole" : "");
	if (d < option->min || d > option->max || (option->kind == ABOVE && d == option->min))
		return sl_fail(err, SL_E_INVALID, "option '%s' is %g, outside %s %g to %g", option->name, d,
			       option->kind == ABOVE ? "above" : "from", option->min, option->max);
	return 0;
}

/* `words` NULL: any of the tasks' (the task may be known only from the data). */
static int check_word(const struct option *option, yyjson_val *value, const char *words, struct sl_error *err)
{
	const char *word = yyjson_get_str(value);
	bool metric = option->kind == WORDS;
	if (!word)
		return sl_fail(err, SL_E_INVALID, "option '%s' wants text", option->name);
	if (words && is_one_of(word, words))
		return 0;
	for (size_t i = 0; !words && i < SL_ARRAY_LEN(TASKS); i++)
		if (is_one_of(word, metric ? TASKS[i].metrics : TASKS[i].objectives))
			return 0;
	sl_fail(err, SL_E_INVALID, "option '%s' cannot be '%s' here", option->name, word);
	return words ? sl_error_hint(err, "one of%s", words) : SL_E_INVALID;
}

static int check_value(const struct option *option, yyjson_val *value, const enum sl_task *task, struct sl_error *err)
{
	const char *metrics = task ? TASKS[*task].metrics : NULL, *objectives = task ? TASKS[*task].objectives : NULL;
	if (option->kind == WORD)
		return check_word(option, value, option->words ? option->words : objectives, err);
	if (option->kind != WORDS)
		return check_number(option, value, err);
	if (!yyjson_is_arr(value))
		return check_word(option, value, metrics, err);
	if (yyjson_arr_size(value) > SL_TRAIN_METRICS_MAX)
		return sl_fail(err, SL_E_INVALID, "option '%s' has more than %d items", option->name, SL_TRAIN_METRICS_MAX);
	yyjson_arr_iter it = yyjson_arr_iter_with(value);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
		int rc = check_word(option, item, metrics, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_value(const struct option *option, yyjson_val *value, struct sl_arena *arena, struct sl_train_options *ret,
		     struct sl_error *err)
{
	char *text;
	if (yyjson_is_int(value))
		text = sl_arena_printf(arena, "%lld", (long long)yyjson_get_sint(value));
	else if (yyjson_is_num(value))
		text = sl_arena_printf(arena, "%.17g", yyjson_get_num(value));
	else
		text = sl_arena_strdup(arena, yyjson_get_str(value));
	if (!text)
		return sl_fail_memory(err);
	if (ret->count == SL_TRAIN_OPTIONS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d options", SL_TRAIN_OPTIONS_MAX);
	ret->items[ret->count++] = (struct sl_train_option){option->name, text};
	return 0;
}

/* Checks every option; adds them to `ret` unless it is NULL. */
static int each_option(const char *json, const enum sl_task *task, struct sl_arena *arena, struct sl_train_options *ret,
		       struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(*json ? json : "{}", *json ? strlen(json) : 2, "options", err);
	if (!doc)
		return SL_E_INVALID;
	yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_doc_get_root(doc));
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		yyjson_val *value = yyjson_obj_iter_get_val(key), *item;
		const struct option *option = find_option(yyjson_get_str(key));
		int rc = option ? check_value(option, value, task, err) : fail_unknown(yyjson_get_str(key), err);
		yyjson_arr_iter items = yyjson_arr_iter_with(value);
		if (ret && !rc && !yyjson_is_arr(value))
			rc = add_value(option, value, arena, ret, err);
		while (ret && !rc && (item = yyjson_arr_iter_next(&items)))
			rc = add_value(option, item, arena, ret, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_columns(const struct sl_train *spec, struct sl_error *err)
{
	const struct sl_names *features = &spec->features;
	if (features->count == 0 || features->count > SL_FEATURES_MAX)
		return sl_fail(err, SL_E_INVALID, "%zu features, from 1 to %d are allowed", features->count, SL_FEATURES_MAX);
	if (!*spec->target)
		return sl_fail(err, SL_E_INVALID, "there is no target");
	for (size_t i = 0; i < features->count; i++) {
		if (sl_str_eq(features->items[i], spec->target))
			return sl_fail(err, SL_E_INVALID, "target '%s' is among the features", spec->target);
		for (size_t k = 0; k < i; k++)
			if (sl_str_eq(features->items[i], features->items[k]))
				return sl_fail(err, SL_E_INVALID, "feature '%s' stands twice", features->items[i]);
	}
	return 0;
}

int sl_options_check(const struct sl_train *spec, struct sl_error *err)
{
	enum sl_task task;
	bool known = sl_options_task(spec->task, &task);
	if (!sl_str_eq(spec->algorithm, "xgboost")) {
		sl_fail(err, SL_E_INVALID, "algorithm '%s' is not known", spec->algorithm);
		return sl_error_hint(err, "one of xgboost");
	}
	if (*spec->task && !known) {
		sl_fail(err, SL_E_INVALID, "task '%s' is not known", spec->task);
		return sl_error_hint(err, "one of binary multiclass regression");
	}
	if (spec->rounds < 1 || spec->rounds > SL_TRAIN_ROUNDS_MAX)
		return sl_fail(err, SL_E_INVALID, "rounds is %lld, outside 1 to %d", (long long)spec->rounds,
			       SL_TRAIN_ROUNDS_MAX);
	if (spec->early_stopping < 0)
		return sl_fail(err, SL_E_INVALID, "early_stopping is negative");
	if (spec->early_stopping && !*spec->validation) {
		sl_fail(err, SL_E_INVALID, "early_stopping needs rows to validate with");
		return sl_error_hint(err, "add validation: \"an SQL expression that picks them\"");
	}
	int rc = check_columns(spec, err);
	return rc ? rc : each_option(spec->options, known ? &task : NULL, NULL, NULL, err);
}

static int add_fixed(struct sl_train_options *ret, const char *name, const char *value, struct sl_error *err)
{
	for (size_t i = 0; i < ret->count; i++)
		if (sl_str_eq(ret->items[i].name, name))
			return 0;
	if (!value)
		return sl_fail_memory(err);
	if (ret->count == SL_TRAIN_OPTIONS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d options", SL_TRAIN_OPTIONS_MAX);
	ret->items[ret->count++] = (struct sl_train_option){name, value};
	return 0;
}

int sl_options_make(const struct sl_train *spec, enum sl_task task, size_t classes, int threads, struct sl_arena *arena,
		    struct sl_train_options *ret, struct sl_error *err)
{
	const char *objectives = TASKS[task].objectives + 1;
	size_t len = strcspn(objectives, " ");
	ret->count = 0;
	int rc = each_option(spec->options, &task, arena, ret, err);
	if (rc || (rc = add_fixed(ret, "objective", sl_arena_strndup(arena, objectives, len), err)) ||
	    (rc = add_fixed(ret, "tree_method", "hist", err)) || (rc = add_fixed(ret, "verbosity", "1", err)) ||
	    (rc = add_fixed(ret, "seed", sl_arena_printf(arena, "%lld", (long long)spec->seed), err)) ||
	    (rc = add_fixed(ret, "nthread", sl_arena_printf(arena, "%d", threads), err)))
		return rc;
	return task == SL_TASK_MULTICLASS ? add_fixed(ret, "num_class", sl_arena_printf(arena, "%zu", classes), err) : 0;
}

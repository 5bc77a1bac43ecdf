/* explain: what an answer came from, and what would have changed it.
 *
 *   prediction:ID#ROW --log--> inputs --encode--> one float row -+-> SHAP values, counterfactuals
 *   MODEL --data--> a sample of float rows ----------------------+-> importance, partial dependence
 *   --against --> a sample of float rows, the background
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "learn/explain.h"
#include "op/handlers.h"
#include "op/prediction.h"
#include "op/resolve.h"
#include "op/sample.h"
#include "track/model.h"

enum { BACKGROUND_ROWS = 100 };

struct explaining {
	struct sl_call *call;
	struct sl_store *store;
	struct sl_ref ref;
	const char *model;
	struct sl_package package;
	struct sl_reference reference;
	struct sl_infer *infer;
	struct sl_infer_info info;
	struct sl_sample background;
	size_t margin; /* which of the model's is explained */
	float *values; /* of the explained rows: rows x margins x (features + 1) */
};

/* ---- the model ---- */

static int load_package(struct explaining *e, const struct sl_hash *package, struct sl_error *err)
{
	int rc = sl_package_read(e->store->objects, package, e->call->arena, &e->package, err);
	if (!rc)
		rc = sl_package_reference(e->store->objects, &e->package, e->call->arena, &e->reference, err);
	if (!rc)
		rc = sl_package_load(e->store->objects, NULL, &e->package, &e->infer, err);
	if (!rc)
		sl_infer_info(e->infer, &e->info);
	return rc;
}

static int load_background(struct explaining *e, struct sl_error *err)
{
	const char *against = sl_call_text(e->call, "against");
	if (!against)
		return 0;
	return sl_sample_dataset(e->call, e->store, &e->package, against, BACKGROUND_ROWS, &e->background, err);
}

static void put_model(struct explaining *e, const char *kind, int64_t version)
{
	yyjson_mut_val *result = sl_call_object(e->call);
	sl_put_text(e->call, result, "kind", kind);
	sl_put_text(e->call, result, "model", e->model);
	sl_put_int(e->call, result, "version", version);
	sl_put_text(e->call, result, "method", e->background.count ? "interventional" : "path-dependent");
	if (e->background.count)
		sl_put_int(e->call, result, "background_rows", (int64_t)e->background.count);
}

static int choose_class(struct explaining *e, size_t otherwise, struct sl_error *err)
{
	const char *name = sl_call_text(e->call, "class");
	e->margin = e->info.margins > 1 ? otherwise : 0;
	if (!name || e->info.margins == 1)
		return name ? sl_fail(err, SL_E_INVALID, "'%s' has one answer: there is no class to choose", e->model) : 0;
	for (e->margin = 0; e->margin < e->package.class_count; e->margin++)
		if (sl_str_eq(e->package.classes[e->margin], name))
			return 0;
	const char *nearest = sl_str_nearest(name, e->package.classes, e->package.class_count);
	sl_fail(err, SL_E_NOT_FOUND, "'%s' has no class '%.200s'", e->model, name);
	return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_NOT_FOUND;
}

static void put_class(struct explaining *e)
{
	if (e->info.margins > 1 && e->margin < e->package.class_count)
		sl_put_text(e->call, sl_call_object(e->call), "class", e->package.classes[e->margin]);
}

static int find_feature(const struct explaining *e, const char *name, size_t *ret, struct sl_error *err)
{
	const char **names = sl_arena_array(e->call->arena, e->package.feature_count, sizeof *names);
	if (!names)
		return sl_fail_memory(err);
	for (*ret = 0; *ret < e->package.feature_count; ++*ret) {
		names[*ret] = e->package.features[*ret].name;
		if (sl_str_eq(names[*ret], name))
			return 0;
	}
	const char *nearest = sl_str_nearest(name, names, e->package.feature_count);
	sl_fail(err, SL_E_NOT_FOUND, "'%s' has no input '%.200s'", e->model, name);
	return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_NOT_FOUND;
}

static int explain_rows(struct explaining *e, const float *rows, size_t count, struct sl_error *err)
{
	size_t width = e->info.margins * (e->info.features + 1);
	e->values = sl_alloc_array(count, width * sizeof *e->values, err);
	if (!e->values)
		return SL_E_NO_MEMORY;
	return sl_infer_explain(e->infer, rows, count, e->background.rows, e->background.count, e->values, err);
}

/* SHAP values of the chosen margin; the last one is what is expected without any input. */
static const float *values_of(const struct explaining *e, size_t row)
{
	return e->values + (row * e->info.margins + e->margin) * (e->info.features + 1);
}

/* A feature's value as its column has it. */
static yyjson_mut_val *value_json(const struct explaining *e, size_t feature, float x)
{
	const struct sl_feature *f = &e->package.features[feature];
	if (isnan(x))
		return yyjson_mut_null(e->call->doc);
	if (f->encoding == SL_ENCODE_CATEGORY) {
		const struct sl_category *value = sl_dictionary_value(f->dictionary, (size_t)x);
		return sl_call_json_text(e->call, sl_arena_strndup(e->call->arena, value->text, value->len));
	}
	if (f->kind == SL_SQL_BOOL)
		return yyjson_mut_bool(e->call->doc, x != 0);
	if (f->kind == SL_SQL_INT && fabsf(x) < 1e15f)
		return yyjson_mut_sint(e->call->doc, (int64_t)x);
	return yyjson_mut_real(e->call->doc, (double)x);
}

struct ranked { size_t feature; double key, value; };
static int greatest_first(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	return x->key != y->key ? (x->key < y->key ? 1 : -1) : x->feature < y->feature ? -1 : 1;
}

/* ---- a prediction ---- */

static int encode_row(const struct explaining *e, const struct sl_prediction *p, size_t row, float *ret, struct sl_error *err)
{
	for (size_t f = 0; f < e->package.feature_count; f++) {
		const struct sl_feature *feature = &e->package.features[f];
		const struct sl_logged_column *column = NULL;
		for (size_t c = 0; c < p->column_count && !column; c++)
			if (p->columns[c].name_len == strlen(feature->name) &&
				memcmp(p->columns[c].name, feature->name, p->columns[c].name_len) == 0)
				column = &p->columns[c];
		if (!column || column->hashed) {
			sl_fail(err, SL_E_INVALID, "input '%s' was %s: the answer cannot be explained", feature->name,
				column ? "logged as a hash" : "not logged");
			return sl_error_hint(err, "log_hash and log_drop of the endpoint in sluice.yaml say what is hashed and left out");
		}
		int rc = sl_encode(feature, &column->cells[row], &ret[f], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int put_contributions(struct explaining *e, const float *row, struct sl_error *err)
{
	const float *values = values_of(e, 0);
	double margin = (double)values[e->info.features];
	struct ranked *order = sl_arena_array(e->call->arena, e->info.features, sizeof *order);
	if (!order)
		return sl_fail_memory(err);
	for (size_t f = 0; f < e->info.features; f++) {
		order[f] = (struct ranked){f, fabs((double)values[f]), (double)values[f]};
		margin += (double)values[f];
	}
	qsort(order, e->info.features, sizeof *order, greatest_first);
	sl_put_double(e->call, e->call->result, "expected", (double)values[e->info.features]);
	sl_put_double(e->call, e->call->result, "margin", margin);
	yyjson_mut_val *list = sl_put_array(e->call, e->call->result, "contributions");
	for (size_t i = 0; i < e->info.features; i++) {
		yyjson_mut_val *item = sl_add_object(e->call, list);
		sl_put_text(e->call, item, "feature", e->package.features[order[i].feature].name);
		yyjson_mut_obj_add_val(e->call->doc, item, "value", value_json(e, order[i].feature, row[order[i].feature]));
		sl_put_double(e->call, item, "contribution", order[i].value);
	}
	return 0;
}

/* "<0.2", ">=30": a bar for a number. */
static bool parse_bar(const char *want, struct sl_goal *goal)
{
	char *end;
	goal->above = want[0] == '>';
	if (want[0] != '<' && want[0] != '>')
		return false;
	want += want[1] == '=' ? 2 : 1;
	goal->bar = strtod(want, &end);
	return end != want && !*end && isfinite(goal->bar);
}

static int choose_goal(const struct explaining *e, const float *outputs, struct sl_goal *ret, struct sl_error *err)
{
	const struct sl_package *package = &e->package;
	const char *want = sl_call_text(e->call, "want");
	*ret = (struct sl_goal){0};
	if (want && package->task != SL_TASK_MULTICLASS && parse_bar(want, ret))
		return 0;
	if (package->task == SL_TASK_REGRESSION || (package->task == SL_TASK_MULTICLASS && !want)) {
		sl_fail(err, SL_E_INVALID, "'%s' has no other decision: say which answer is wanted", e->model);
		return sl_error_hint(err, package->class_count ? "--want CLASS" : "--want '<N' or --want '>N'");
	}
	size_t class = (double)outputs[0] >= package->threshold ? 0 : 1;
	for (size_t i = 0; want && (class = i) < package->class_count && !sl_str_eq(package->classes[i], want); i++)
		;
	if (class == package->class_count)
		return sl_fail(err, SL_E_NOT_FOUND, "'%s' has no class '%.200s'", e->model, want);
	*ret = package->task == SL_TASK_MULTICLASS ? (struct sl_goal){.output = class, .most = true}
						   : (struct sl_goal){.above = class == 1, .bar = package->threshold};
	return 0;
}

static void put_counterfactual(struct explaining *e, const struct sl_counterfactual *found, yyjson_mut_val *list)
{
	yyjson_mut_val *item = sl_add_object(e->call, list), *changes = sl_put_array(e->call, item, "changes");
	for (size_t i = 0; i < found->change_count; i++) {
		const struct sl_change *change = &found->changes[i];
		yyjson_mut_val *entry = sl_add_object(e->call, changes);
		sl_put_text(e->call, entry, "feature", e->package.features[change->feature].name);
		yyjson_mut_obj_add_val(e->call->doc, entry, "from", value_json(e, change->feature, change->from));
		yyjson_mut_obj_add_val(e->call->doc, entry, "to", value_json(e, change->feature, change->to));
	}
	yyjson_mut_val *outputs = sl_put_array(e->call, item, "outputs");
	for (size_t o = 0; o < e->package.output_count; o++)
		yyjson_mut_arr_add_real(e->call->doc, outputs, (double)found->outputs[o]);
	sl_put_double(e->call, item, "distance", found->distance);
}

static int put_counterfactuals(struct explaining *e, const float *row, const float *outputs, struct sl_error *err)
{
	struct sl_goal goal;
	size_t keep_count, feature, count;
	const char *const *keep = sl_call_list(e->call, "keep", &keep_count);
	unsigned char *held = sl_arena_alloc(e->call->arena, e->package.feature_count);
	struct sl_counterfactual *found = sl_arena_array(e->call->arena, SL_COUNTERFACTUALS_MAX, sizeof *found);
	if (!held || !found)
		return sl_fail_memory(err);
	int rc = choose_goal(e, outputs, &goal, err);
	for (size_t i = 0; i < keep_count && !rc; i++)
		if (!(rc = find_feature(e, keep[i], &feature, err)))
			held[feature] = 1;
	if (!rc && sl_goal_reached(&goal, outputs, e->package.output_count))
		rc = sl_fail(err, SL_E_INVALID, "the answer is already as wanted");
	if (!rc)
		rc = sl_explain_counterfactuals(&e->package, &e->reference, e->infer, row, &goal, held, found, &count, err);
	if (rc)
		return rc;
	yyjson_mut_val *list = sl_put_array(e->call, e->call->result, "counterfactuals");
	for (size_t i = 0; i < count; i++)
		put_counterfactual(e, &found[i], list);
	return 0;
}

static size_t most_probable(const float *outputs, size_t count)
{
	size_t best = 0;
	for (size_t i = 1; i < count; i++)
		if (outputs[i] > outputs[best])
			best = i;
	return best;
}

/* The model asked again must say what it said: else log, model or engine is not what it was. */
static int ask_again(const struct explaining *e, const float *row, const float *logged, float *outputs, struct sl_error *err)
{
	int rc = sl_infer_predict(e->infer, row, 1, outputs, err);
	if (rc)
		return rc;
	if (memcmp(outputs, logged, e->package.output_count * sizeof *outputs) == 0)
		return 0;
	sl_fail(err, SL_E_CORRUPT, "the model now answers %.9g where %.9g is logged", (double)outputs[0], (double)logged[0]);
	return sl_error_hint(err, "sluice verify");
}

static int explain_row(struct explaining *e, const struct sl_prediction *p, size_t at, struct sl_error *err)
{
	float *row = sl_arena_array(e->call->arena, e->package.feature_count, sizeof *row);
	float *outputs = sl_arena_array(e->call->arena, e->package.output_count, sizeof *outputs);
	if (!row || !outputs)
		return sl_fail_memory(err);
	int rc = encode_row(e, p, at, row, err);
	if (!rc)
		rc = ask_again(e, row, p->outputs + at * p->output_count, outputs, err);
	if (!rc)
		rc = choose_class(e, most_probable(outputs, e->package.output_count), err);
	if (!rc)
		rc = explain_rows(e, row, 1, err);
	if (rc)
		return rc;
	put_class(e);
	sl_put_double(e->call, e->call->result, "prediction", (double)outputs[e->package.output_count > 1 ? e->margin : 0]);
	rc = put_contributions(e, row, err);
	return rc || !sl_call_flag(e->call, "counterfactual") ? rc : put_counterfactuals(e, row, outputs, err);
}

static int find_model_name(struct explaining *e, const struct sl_prediction *p, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_meta_query(e->store->meta, &stmt, err, "SELECT model FROM model_version WHERE hash = ?1 AND version = ?2", "si",
		sl_hash_hex(&p->package, hex), p->version);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	e->model = rc == 1 ? sl_arena_strdup(e->call->arena, sl_stmt_text(stmt, 0)) : "";
	return rc < 0 ? rc : e->model ? 0 : sl_fail_memory(err);
}

static int explain_prediction(struct explaining *e, struct sl_error *err)
{
	struct sl_prediction p;
	char endpoint[160];
	int rc = sl_prediction_find(e->call, e->store, &e->ref, &p, endpoint, err);
	if (!rc && e->ref.row < 0 && p.row_count > 1) {
		sl_fail(err, SL_E_INVALID, "the request had %zu rows or more", p.row_count);
		return sl_error_hint(err, "say which: prediction:%s#0", p.id.text);
	}
	if (!rc)
		rc = find_model_name(e, &p, err);
	if (!rc)
		rc = load_package(e, &p.package, err);
	if (!rc)
		rc = load_background(e, err);
	if (rc)
		return rc;
	size_t at = e->ref.row < 0 ? 0 : (size_t)e->ref.row - p.first_row;
	put_model(e, "prediction", p.version);
	sl_put_text(e->call, e->call->result, "id", p.id.text);
	sl_put_int(e->call, e->call->result, "row", (int64_t)(p.first_row + at));
	sl_put_text(e->call, e->call->result, "endpoint", endpoint);
	return explain_row(e, &p, at, err);
}

/* ---- a model ---- */

static int put_importance(struct explaining *e, size_t rows, struct sl_error *err)
{
	double all = 0;
	struct ranked *order = sl_arena_array(e->call->arena, e->info.features, sizeof *order);
	if (!order)
		return sl_fail_memory(err);
	for (size_t f = 0; f < e->info.features; f++) {
		order[f].feature = f;
		for (size_t row = 0; row < rows; row++) {
			order[f].key += fabs((double)values_of(e, row)[f]) / (double)rows;
			order[f].value += (double)values_of(e, row)[f] / (double)rows;
		}
		all += order[f].key;
	}
	qsort(order, e->info.features, sizeof *order, greatest_first);
	sl_put_double(e->call, e->call->result, "expected", (double)values_of(e, 0)[e->info.features]);
	yyjson_mut_val *list = sl_put_array(e->call, e->call->result, "importance");
	for (size_t i = 0; i < e->info.features; i++) {
		yyjson_mut_val *item = sl_add_object(e->call, list);
		sl_put_text(e->call, item, "feature", e->package.features[order[i].feature].name);
		sl_put_double(e->call, item, "mean_abs", order[i].key);
		sl_put_double(e->call, item, "mean", order[i].value);
		sl_put_double(e->call, item, "share", all > 0 ? order[i].key / all : 0);
	}
	return 0;
}

static int put_dependence(struct explaining *e, const struct sl_sample *sample, const char *name, struct sl_error *err)
{
	size_t feature, output = e->package.output_count > 1 ? e->margin : 0;
	float grid[SL_GRID_MAX];
	double means[SL_GRID_MAX];
	int rc = find_feature(e, name, &feature, err);
	if (rc)
		return rc;
	size_t count = sl_explain_grid(&e->package.features[feature], &e->reference.features[feature], grid);
	rc = sl_explain_dependence(&e->package, e->infer, sample->rows, sample->count, feature, grid, count, output, means, err);
	if (rc)
		return rc;
	yyjson_mut_val *dependence = sl_put_object(e->call, e->call->result, "dependence");
	sl_put_text(e->call, dependence, "feature", name);
	yyjson_mut_val *points = sl_put_array(e->call, dependence, "points");
	for (size_t g = 0; g < count; g++) {
		yyjson_mut_val *point = sl_add_object(e->call, points);
		yyjson_mut_obj_add_val(e->call->doc, point, "value", value_json(e, feature, grid[g]));
		sl_put_double(e->call, point, "prediction", means[g]);
	}
	return 0;
}

/* What was given, else what the training step of the project file reads. */
static int choose_data(struct explaining *e, const char **ret, struct sl_error *err)
{
	struct sl_project *project;
	*ret = sl_call_text(e->call, "data");
	if (*ret)
		return 0;
	const struct sl_model *model = sl_call_project(e->call, &project, NULL) == 0 ? sl_project_model(project, e->model) : NULL;
	const struct sl_step *step = model ? sl_project_step(project, model->from) : NULL;
	if (step && step->kind == SL_STEP_TRAIN) {
		*ret = step->train.data;
		return 0;
	}
	sl_fail(err, SL_E_INVALID, "sluice.yaml does not say what '%s' was trained on", e->model);
	return sl_error_hint(err, "--data DATASET");
}

static int explain_sample(struct explaining *e, const struct sl_sample *sample, struct sl_error *err)
{
	const char *feature = sl_call_text(e->call, "feature");
	int rc = choose_class(e, 0, err);
	if (!rc)
		rc = explain_rows(e, sample->rows, sample->count, err);
	if (rc)
		return rc;
	put_class(e);
	rc = put_importance(e, sample->count, err);
	return rc || !feature ? rc : put_dependence(e, sample, feature, err);
}

static int explain_model(struct explaining *e, struct sl_error *err)
{
	struct sl_model_version version;
	struct sl_sample sample SL_CLEANUP(sl_sample_done) = {0};
	const char *data;
	e->model = e->ref.name;
	int rc = sl_model_find(&e->store->track, e->ref.name, e->ref.version, &version, err);
	if (!rc)
		rc = choose_data(e, &data, err);
	if (!rc)
		rc = load_package(e, &version.hash, err);
	if (!rc)
		rc = load_background(e, err);
	if (!rc)
		rc = sl_sample_dataset(e->call, e->store, &e->package, data, (size_t)sl_call_int(e->call, "rows"), &sample, err);
	if (rc)
		return rc;
	put_model(e, "model", version.version);
	sl_put_text(e->call, e->call->result, "data", data);
	sl_put_int(e->call, e->call->result, "rows", (int64_t)sample.count);
	sl_put_int(e->call, e->call->result, "of", (int64_t)sample.of);
	return explain_sample(e, &sample, err);
}

static int explain(struct explaining *e, struct sl_error *err)
{
	const char *text = sl_call_text(e->call, "ref");
	int rc = sl_resolve(e->call, e->store, text, &e->ref, err);
	if (rc)
		return rc;
	if (e->ref.kind == SL_REF_PREDICTION)
		return explain_prediction(e, err);
	if (e->ref.kind == SL_REF_MODEL)
		return explain_model(e, err);
	sl_fail(err, SL_E_INVALID, "'%.200s' is neither a prediction nor a model", text);
	return sl_error_hint(err, "sluice ls predictions, sluice ls models");
}

int sl_op_explain(struct sl_call *call, struct sl_error *err)
{
	struct explaining *e = sl_arena_alloc(call->arena, sizeof *e);
	if (!e)
		return sl_fail_memory(err);
	e->call = call;
	int rc = sl_call_store(call, &e->store, err);
	if (!rc)
		rc = explain(e, err);
	sl_infer_free(e->infer);
	sl_sample_done(&e->background);
	sl_free(e->values);
	return rc;
}

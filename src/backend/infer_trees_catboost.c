/* CatBoost's JSON models (its "json" export: catboost/libs/model/model_export/json_model_helpers.cpp). Numbers only: what a category becomes depends on
 * tables of hashes and counts ("ctr_data"), and such a model is refused.
 *
 *   {"features_info":{"float_features":[{"feature_id","feature_index","flat_feature_index","nan_value_treatment"}...]},
 *    "model_info":{"params":{"loss_function":{"type":"Logloss"}}}, "scale_and_bias":[1,[0]],
 *    "oblivious_trees":[{"splits":[{"float_feature_index","border"}...],"leaf_values":[...],"leaf_weights":[...]}...]      one split per level
 *    or "trees":[{"split":{...},"left":{...},"right":{...}} or {"value":..., "weight":...}]}                              other ways to grow
 *
 * A row goes to the right when x > border, in float32: as `x < the float32 above it` that is exact. Of an oblivious tree bit i of a leaf's number is
 * split i. CatBoost adds in double; here leaves and sums are float32 (the difference: docs/serving.md).
 */
#include <string.h>

#include "backend/infer_trees_build.h"
#include "backend/infer_trees_file.h"
#include "backend/infer_trees_readers.h"
#include "base/mem.h"
#include "base/str.h"

enum { DEPTH_MAX = 16 };

struct reading {
	struct sl_forest_builder builder;
	int64_t *columns;       /* per float feature: its column */
	bool *missing_right;
	size_t float_features;
	double scale;
};

static const struct {
	const char *name;
	enum sl_forest_link link;
} LOSSES[] = {
	{"Logloss", SL_LINK_SIGMOID}, {"CrossEntropy", SL_LINK_SIGMOID}, {"MultiClass", SL_LINK_SOFTMAX}, {"MultiClassOneVsAll", SL_LINK_SIGMOID},
	{"RMSE", SL_LINK_IDENTITY}, {"MultiRMSE", SL_LINK_IDENTITY}, {"MAE", SL_LINK_IDENTITY}, {"Quantile", SL_LINK_IDENTITY},
	{"MultiQuantile", SL_LINK_IDENTITY}, {"LogLinQuantile", SL_LINK_EXP}, {"MAPE", SL_LINK_IDENTITY}, {"Huber", SL_LINK_IDENTITY},
	{"Expectile", SL_LINK_IDENTITY}, {"Lq", SL_LINK_IDENTITY}, {"LogCosh", SL_LINK_IDENTITY}, {"Poisson", SL_LINK_EXP},
	{"Tweedie", SL_LINK_EXP}, {"PairLogit", SL_LINK_IDENTITY}, {"YetiRank", SL_LINK_IDENTITY}, {"QueryRMSE", SL_LINK_IDENTITY},
	{"QuerySoftMax", SL_LINK_IDENTITY},
};

static int read_loss(const struct sl_file_value *root, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *params = sl_file_get(sl_file_get(root, "model_info"), "params");
	const struct sl_file_value *type = sl_file_get(sl_file_get(params, "loss_function"), "type");
	for (size_t i = 0; i < SL_ARRAY_LEN(LOSSES); i++)
		if (sl_file_is_text(type, LOSSES[i].name)) {
			memcpy(forest->objective, type->text, type->len);
			forest->link = LOSSES[i].link;
			return 0;
		}
	if (!type || type->kind != SL_FILE_TEXT)
		return sl_fail(err, SL_E_INVALID, "'model_info' names no loss function");
	return sl_fail(err, SL_E_INVALID, "loss function '%.*s' is not supported", (int)(type->len < 40 ? type->len : 40), type->text);
}

static bool has_items(const struct sl_file_value *value) { return value && value->len; }

/* Columns stand in the order of "flat_feature_index", which are all of them: other kinds are refused. */
static int read_features(const struct sl_file_value *root, struct reading *r, const struct sl_file_value **ret, struct sl_error *err)
{
	const struct sl_file_value *info = sl_file_get(root, "features_info"), *list = sl_file_get(info, "float_features");
	if (has_items(sl_file_get(info, "categorical_features")) || has_items(sl_file_get(info, "text_features")) ||
	    has_items(sl_file_get(info, "embedding_features"))) {
		sl_fail(err, SL_E_INVALID, "the model reads categories, texts or embeddings, which are not supported");
		return sl_error_hint(err, "encode them as numbers before training, or export the model as ONNX");
	}
	if (!list || list->kind != SL_FILE_ARRAY || list->packed || !list->len || list->len > SL_FOREST_FEATURES_MAX)
		return sl_fail(err, SL_E_INVALID, "'features_info' has no features");
	r->float_features = r->builder.forest->features = list->len;
	r->columns = sl_alloc_array(list->len, sizeof *r->columns, err);
	r->missing_right = sl_alloc_array(list->len, sizeof *r->missing_right, err);
	if (!r->columns || !r->missing_right)
		return SL_E_NO_MEMORY;
	memset(r->columns, 0xff, list->len * sizeof *r->columns); /* -1: not seen yet */
	for (size_t i = 0; i < list->len; i++) {
		const struct sl_file_value *index = sl_file_get(&list->items[i], "feature_index"), *flat = sl_file_get(&list->items[i], "flat_feature_index");
		if (!index || index->kind != SL_FILE_INT || index->i < 0 || (uint64_t)index->i >= list->len || r->columns[index->i] >= 0 || !flat ||
		    flat->kind != SL_FILE_INT || flat->i != (int64_t)i)
			return sl_fail(err, SL_E_INVALID, "feature %zu: its indexes are not those of the list", i);
		r->columns[index->i] = (int64_t)i;
		r->missing_right[index->i] = sl_file_is_text(sl_file_get(&list->items[i], "nan_value_treatment"), "AsTrue");
	}
	*ret = list;
	return 0;
}

/* Names, when every feature has one. */
static int read_names(const struct sl_file_value *list, struct sl_forest *forest, struct sl_error *err)
{
	SL_AUTO_FREE struct sl_file_value *names = sl_alloc_array(list->len, sizeof *names, err);
	if (!names)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < list->len; i++) {
		const struct sl_file_value *name = sl_file_get(&list->items[i], "feature_id");
		if (!name || name->kind != SL_FILE_TEXT || !name->len)
			return 0;
		names[i] = *name;
	}
	const struct sl_file_value all = {.kind = SL_FILE_ARRAY, .len = list->len, .items = names};
	return sl_forest_read_names(&all, forest, err);
}

static int read_scale(const struct sl_file_value *root, struct reading *r, struct sl_error *err)
{
	const struct sl_file_value *pair = sl_file_get(root, "scale_and_bias"), *bias = NULL;
	struct sl_forest *forest = r->builder.forest;
	if (pair && pair->kind == SL_FILE_ARRAY && !pair->packed && pair->len == 2)
		bias = &pair->items[1];
	if (!bias || !sl_file_is_numbers(bias) || !bias->len || bias->len > SL_FOREST_OUTPUTS_MAX)
		return sl_fail(err, SL_E_INVALID, "'scale_and_bias' does not hold a number and a list of numbers");
	r->scale = pair->items[0].kind == SL_FILE_INT ? (double)pair->items[0].i : pair->items[0].kind == SL_FILE_REAL ? pair->items[0].d : NAN;
	forest->margins = bias->len;
	forest->base = sl_alloc_array(forest->margins, sizeof *forest->base, err);
	if (!forest->base)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < forest->margins; i++)
		forest->base[i] = sl_file_float(bias, i);
	for (size_t i = 0; i < forest->margins; i++)
		if (!isfinite(forest->base[i]) || !isfinite(r->scale))
			return sl_fail(err, SL_E_INVALID, "'scale_and_bias' has a value that is not finite");
	return 0;
}

/* ---- splits ---- */

static int read_split(const struct reading *r, const struct sl_file_value *split, struct sl_part_node *ret, struct sl_error *err)
{
	const struct sl_file_value *feature = sl_file_get(split, "float_feature_index"), *border = sl_file_get(split, "border");
	size_t tree = r->builder.forest->tree_count;
	if (!feature || feature->kind != SL_FILE_INT || feature->i < 0 || (uint64_t)feature->i >= r->float_features)
		return sl_fail(err, SL_E_INVALID, "tree %zu: a split is not by a number of the model's", tree);
	if (!border || (border->kind != SL_FILE_REAL && border->kind != SL_FILE_INT))
		return sl_fail(err, SL_E_INVALID, "tree %zu: a split has no border", tree);
	float value = border->kind == SL_FILE_INT ? (float)border->i : (float)border->d;
	*ret = (struct sl_part_node){.feature = r->columns[feature->i], .value = nextafterf(value, INFINITY), .missing_left = !r->missing_right[feature->i]};
	return 0;
}

/* ---- oblivious trees: all nodes of a level ask the same ---- */

static uint32_t reversed(uint32_t bits, size_t count)
{
	uint32_t ret = 0;
	for (size_t i = 0; i < count; i++)
		ret |= (bits >> i & 1) << (count - 1 - i);
	return ret;
}

/* Node 2 i + 1 and 2 i + 2 are the children of i; the first level asks split 0, so a leaf's place is its number's bits the other way round. */
static void fill_oblivious(const struct sl_part_node *splits, size_t depth, const struct sl_file_value *weights, struct sl_part_node *nodes)
{
	size_t inner = ((size_t)1 << depth) - 1;
	for (size_t i = 0, level = 0; i < inner; i++) {
		level += i == ((size_t)2 << level) - 1;
		nodes[i] = splits[level];
		nodes[i].left = (int64_t)(2 * i + 1);
		nodes[i].right = (int64_t)(2 * i + 2);
	}
	for (uint32_t k = 0; k <= inner; k++)
		nodes[inner + k] = (struct sl_part_node){.left = -1, .cover = weights ? sl_file_float(weights, reversed(k, depth)) : 0};
	for (size_t i = inner; i-- > 0;)
		nodes[i].cover = nodes[2 * i + 1].cover + nodes[2 * i + 2].cover;
}

static int add_for_each_output(struct reading *r, const struct sl_part_node *nodes, size_t count, const float *leaves, struct sl_error *err)
{
	int rc = 0;
	size_t margins = r->builder.forest->margins;
	for (size_t o = 0; !rc && o < margins; o++)
		rc = sl_builder_add(&r->builder, nodes, count, leaves + o, margins, (uint32_t)o, err);
	return rc;
}

static int read_oblivious(struct reading *r, const struct sl_file_value *tree, struct sl_error *err)
{
	const struct sl_file_value *splits = sl_file_get(tree, "splits"), *values = sl_file_get(tree, "leaf_values"), *weights = sl_file_get(tree, "leaf_weights");
	size_t depth = splits && splits->kind == SL_FILE_ARRAY ? splits->len : DEPTH_MAX + 1, margins = r->builder.forest->margins;
	if (depth > DEPTH_MAX)
		return sl_fail(err, SL_E_INVALID, "tree %zu has no list of at most %d splits", r->builder.forest->tree_count, DEPTH_MAX);
	size_t leaves = (size_t)1 << depth;
	if (!values || !sl_file_is_numbers(values) || values->len != leaves * margins || (weights && (!sl_file_is_numbers(weights) || weights->len != leaves)))
		return sl_fail(err, SL_E_INVALID, "tree %zu: its leaves are not %zu of %zu values", r->builder.forest->tree_count, leaves, margins);
	struct sl_part_node levels[DEPTH_MAX];
	for (size_t i = 0; i < depth; i++) {
		int rc = splits->packed ? sl_fail(err, SL_E_INVALID, "tree %zu: a split is no object", r->builder.forest->tree_count)
					: read_split(r, &splits->items[i], &levels[i], err);
		if (rc)
			return rc;
	}
	SL_AUTO_FREE struct sl_part_node *nodes = sl_alloc_array(leaves * 2, sizeof *nodes, err);
	SL_AUTO_FREE float *sums = sl_alloc_array(leaves * 2, margins * sizeof *sums, err);
	if (!nodes || !sums)
		return SL_E_NO_MEMORY;
	fill_oblivious(levels, depth, weights, nodes);
	for (uint32_t k = 0; k < leaves; k++)
		for (size_t o = 0; o < margins; o++)
			sums[(leaves - 1 + k) * margins + o] = (float)((double)sl_file_float(values, reversed(k, depth) * margins + o) * r->scale);
	r->builder.has_cover &= weights != NULL;
	return add_for_each_output(r, nodes, leaves * 2 - 1, sums, err);
}

/* ---- other trees: nodes in nodes, of which the file's nesting bounds the depth ---- */

struct nested {
	struct sl_part_node *nodes;
	float *leaves;
	size_t count;
};

static size_t count_nodes(const struct sl_file_value *node)
{
	const struct sl_file_value *left = sl_file_get(node, "left"), *right = sl_file_get(node, "right");
	return 1 + (left ? count_nodes(left) : 0) + (right ? count_nodes(right) : 0);
}

static int read_leaf(struct reading *r, const struct sl_file_value *node, struct nested *ret, size_t at, struct sl_error *err)
{
	const struct sl_file_value *value = sl_file_get(node, "value"), *weight = sl_file_get(node, "weight");
	size_t margins = r->builder.forest->margins;
	bool number = value && (value->kind == SL_FILE_REAL || value->kind == SL_FILE_INT);
	if (!value || (number ? margins != 1 : !sl_file_is_numbers(value) || value->len != margins))
		return sl_fail(err, SL_E_INVALID, "tree %zu: a leaf does not have %zu values", r->builder.forest->tree_count, margins);
	for (size_t o = 0; o < margins; o++) {
		double x = !number ? (double)sl_file_float(value, o) : value->kind == SL_FILE_INT ? (double)value->i : value->d;
		ret->leaves[at * margins + o] = (float)(x * r->scale);
	}
	ret->nodes[at] = (struct sl_part_node){.left = -1};
	if (weight && (weight->kind == SL_FILE_REAL || weight->kind == SL_FILE_INT))
		ret->nodes[at].cover = weight->kind == SL_FILE_INT ? (float)weight->i : (float)weight->d;
	else
		r->builder.has_cover = false;
	return 0;
}

static int read_node(struct reading *r, const struct sl_file_value *node, struct nested *ret, size_t *ret_at, struct sl_error *err)
{
	const struct sl_file_value *left = sl_file_get(node, "left"), *right = sl_file_get(node, "right");
	size_t at = ret->count++, below[2];
	*ret_at = at;
	if (!left && !right)
		return read_leaf(r, node, ret, at, err);
	if (!left || !right)
		return sl_fail(err, SL_E_INVALID, "tree %zu: a node has one child", r->builder.forest->tree_count);
	int rc = read_split(r, sl_file_get(node, "split"), &ret->nodes[at], err);
	rc = rc ? rc : read_node(r, left, ret, &below[0], err);
	rc = rc ? rc : read_node(r, right, ret, &below[1], err);
	if (rc)
		return rc;
	ret->nodes[at].left = (int64_t)below[0];
	ret->nodes[at].right = (int64_t)below[1];
	ret->nodes[at].cover = ret->nodes[below[0]].cover + ret->nodes[below[1]].cover;
	return 0;
}

static int read_nested(struct reading *r, const struct sl_file_value *tree, struct sl_error *err)
{
	size_t count = count_nodes(tree), root;
	SL_AUTO_FREE struct sl_part_node *nodes = sl_alloc_array(count, sizeof *nodes, err);
	SL_AUTO_FREE float *leaves = sl_alloc_array(count, r->builder.forest->margins * sizeof *leaves, err);
	if (!nodes || !leaves)
		return SL_E_NO_MEMORY;
	struct nested nested = {.nodes = nodes, .leaves = leaves};
	int rc = read_node(r, tree, &nested, &root, err);
	return rc ? rc : add_for_each_output(r, nodes, count, leaves, err);
}

/* ---- the file ---- */

static int read_trees(struct reading *r, const struct sl_file_value *root, struct sl_error *err)
{
	const struct sl_file_value *oblivious = sl_file_get(root, "oblivious_trees"), *trees = oblivious ? oblivious : sl_file_get(root, "trees");
	if (!trees || trees->kind != SL_FILE_ARRAY || trees->packed || !trees->len)
		return sl_fail(err, SL_E_INVALID, "the model has no tree");
	int rc = 0;
	for (size_t i = 0; !rc && i < trees->len; i++)
		rc = oblivious ? read_oblivious(r, &trees->items[i], err) : read_nested(r, &trees->items[i], err);
	return rc;
}

static void reading_done(struct reading *r)
{
	sl_builder_done(&r->builder);
	sl_free(r->columns);
	sl_free(r->missing_right);
}

int sl_forest_read_catboost(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = NULL;
	SL_CLEANUP(reading_done) struct reading r = {.builder = {.forest = ret, .has_cover = true}};
	struct sl_file_value root;
	const struct sl_file_value *features = NULL;
	int rc = sl_file_read_json(data, len, &arena, &root, err);
	rc = rc ? rc : read_loss(&root, ret, err);
	rc = rc ? rc : read_features(&root, &r, &features, err);
	rc = rc ? rc : read_names(features, ret, err);
	rc = rc ? rc : read_scale(&root, &r, err);
	rc = rc ? rc : read_trees(&r, &root, err);
	if (!rc)
		sl_builder_end(&r.builder);
	return rc;
}

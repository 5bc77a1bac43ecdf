/* The tree engine behind port/infer.h, beside which graphs are asked (infer_graph.h). */
#include "backend/infer_trees.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/infer_graph.h"
#include "backend/infer_trees_block.h"
#include "backend/infer_trees_model.h"
#include "backend/infer_trees_shap.h"
#include "base/mem.h"

struct sl_infer {
	struct sl_forest forest;
	struct sl_blocks *blocks; /* NULL: walk */
	struct sl_infer_graph *graph; /* instead of trees; NULL: none */
};

int sl_infer_load(const char *format, const void *data, size_t len, struct sl_infer **ret, struct sl_error *err)
{
	struct sl_infer *infer = sl_alloc(sizeof *infer, err);
	if (!infer)
		return SL_E_NO_MEMORY;
	bool graph = strcmp(format, "onnx") == 0;
	int rc = graph ? sl_infer_graph_load(data, len, &infer->graph, err) : sl_forest_read(format, data, len, &infer->forest, err);
	if (!rc && !graph)
		rc = sl_blocks_make(&infer->forest, &infer->blocks, err);
	if (rc)
		sl_infer_free(infer);
	else
		*ret = infer;
	return rc;
}

void sl_infer_free(struct sl_infer *infer)
{
	if (!infer)
		return;
	sl_infer_graph_free(infer->graph);
	sl_blocks_free(infer->blocks);
	sl_forest_done(&infer->forest);
	sl_free(infer);
}

void sl_infer_info(const struct sl_infer *infer, struct sl_infer_info *ret)
{
	const struct sl_forest *forest = &infer->forest;
	if (infer->graph) {
		sl_infer_graph_info(infer->graph, ret);
		return;
	}
	*ret = (struct sl_infer_info){
		.features = forest->features,
		.outputs = forest->link == SL_LINK_ARGMAX ? 1 : forest->margins,
		.margins = forest->margins,
		.trees = forest->tree_count,
		.nodes = forest->node_count,
		.memory_bytes = sizeof *infer + forest->node_count * sizeof *forest->nodes +
				forest->tree_count * sizeof *forest->trees + sl_blocks_bytes(infer->blocks),
	};
	snprintf(ret->objective, sizeof ret->objective, "%s", forest->objective);
}

const char *sl_infer_feature_name(const struct sl_infer *infer, size_t i)
{
	if (infer->graph)
		return sl_infer_graph_feature_name(infer->graph, i);
	return infer->forest.names ? infer->forest.names[i] : NULL;
}

/* Trees outside, a few rows inside: the tree stays in the cache. Every sum still takes the trees in their order. */
static void walk_rows(const struct sl_forest *forest, const float *rows, size_t row_count, float *sums)
{
	enum { AT_ONCE = 64 };
	for (size_t from = 0; from < row_count; from += AT_ONCE) {
		size_t to = row_count - from < AT_ONCE ? row_count : from + AT_ONCE;
		for (size_t t = 0; t < forest->tree_count; t++)
			for (size_t row = from; row < to; row++)
				sums[row * forest->margins + forest->trees[t].output] += sl_forest_walk(
					&forest->trees[t], 0, rows + row * forest->features);
	}
}

static void margins(const struct sl_infer *infer, bool by_blocks, const float *rows, size_t row_count, float *ret)
{
	const struct sl_forest *forest = &infer->forest;
	if (forest->margins == 1)
		for (size_t row = 0; row < row_count; row++)
			ret[row] = forest->base[0];
	else
		for (size_t row = 0; row < row_count; row++)
			memcpy(ret + row * forest->margins, forest->base, forest->margins * sizeof *ret);
	if (by_blocks)
		sl_blocks_add(infer->blocks, rows, row_count, ret);
	else
		walk_rows(forest, rows, row_count, ret);
}

void sl_infer_margin(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret)
{
	margins(infer, infer->blocks != NULL, rows, row_count, ret);
}

void sl_infer_margin_by_walking(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret)
{
	margins(infer, false, rows, row_count, ret);
}

/* common/math.h of XGBoost 3.2, term by term: expf of the clamped negative, then 1 and 1e-16 added in float32. */
static float sigmoid(float x)
{
	const float eps = 1e-16f;
	x = 88.7f < -x ? 88.7f : -x;
	float below = expf(x) + 1.0f + eps;
	return 1.0f / below;
}

/* The sum is in double and divides as float32. */
static void softmax(float *values, size_t count)
{
	float most = values[0];
	double sum = 0;
	for (size_t i = 1; i < count; i++)
		most = fmaxf(values[i], most);
	for (size_t i = 0; i < count; i++) {
		values[i] = expf(values[i] - most);
		sum += (double)values[i];
	}
	for (size_t i = 0; i < count; i++)
		values[i] /= (float)sum;
}

static float first_greatest(const float *values, size_t count)
{
	size_t best = 0;
	for (size_t i = 1; i < count; i++)
		if (values[i] > values[best])
			best = i;
	return (float)best;
}

static void transform(enum sl_forest_link link, float *values, size_t row_count, size_t outputs)
{
	size_t count = row_count * outputs;
	switch (link) {
	case SL_LINK_SIGMOID:
		for (size_t i = 0; i < count; i++)
			values[i] = sigmoid(values[i]);
		break;
	case SL_LINK_EXP:
		for (size_t i = 0; i < count; i++)
			values[i] = expf(values[i]);
		break;
	case SL_LINK_HINGE:
		for (size_t i = 0; i < count; i++)
			values[i] = values[i] > 0 ? 1.0f : 0.0f;
		break;
	case SL_LINK_SOFTMAX:
		for (size_t row = 0; row < row_count; row++)
			softmax(values + row * outputs, outputs);
		break;
	case SL_LINK_IDENTITY:
	case SL_LINK_ARGMAX: break;
	}
}

/* Fewer values come out than margins go in, so the margins of a few rows need a place of their own. */
static void predict_class(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret)
{
	float all[SL_FOREST_OUTPUTS_MAX];
	size_t outputs = infer->forest.margins;
	for (size_t row = 0; row < row_count; row++) {
		sl_infer_margin(infer, rows + row * infer->forest.features, 1, all);
		ret[row] = first_greatest(all, outputs);
	}
}

int sl_infer_predict(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret, struct sl_error *err)
{
	if (infer->graph)
		return sl_infer_graph_predict(infer->graph, rows, row_count, ret, err);
	if (infer->forest.link == SL_LINK_ARGMAX) {
		predict_class(infer, rows, row_count, ret);
		return 0;
	}
	sl_infer_margin(infer, rows, row_count, ret);
	transform(infer->forest.link, ret, row_count, infer->forest.margins);
	return 0;
}

int sl_infer_explain(const struct sl_infer *infer, const float *rows, size_t row_count, const float *background,
		     size_t background_count, float *ret, struct sl_error *err)
{
	if (infer->graph)
		return sl_fail(err, SL_E_INVALID, "SHAP values are of models of trees, this is an ONNX graph");
	return sl_forest_explain(&infer->forest, rows, row_count, background, background_count, ret, err);
}

#include "backend/infer_graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "port/graph.h"

enum { ROWS_AT_ONCE = 4096, MEMORY_MAX = 256 << 20 };

struct sl_infer_graph {
	struct sl_graph *graph;
	const struct sl_graph_info *info;
	unsigned char *wanted; /* the one output */
	size_t output;
	size_t features;
	size_t width;   /* values of a row that the output has */
	bool labels;    /* it says classes, too */
};

static bool is_real(enum sl_element element) { return element == SL_ELEMENT_FP32 || element == SL_ELEMENT_FP64; }

static int refuse(struct sl_error *err, const char *what)
{
	sl_fail(err, SL_E_INVALID, "the ONNX graph cannot answer for rows of a table: %s", what);
	return sl_error_hint(err, "'sluice serve' answers with any graph");
}

static int check_inputs(struct sl_infer_graph *model, struct sl_error *err)
{
	const struct sl_graph_port *first = model->info->inputs;
	bool matrix = model->info->input_count == 1 && first->dims == 2 && first->sizes[1] > 0;
	if (!model->info->by_rows)
		return refuse(err, "it is not proven that its rows have nothing to do with each other");
	model->features = matrix ? (size_t)first->sizes[1] : model->info->input_count;
	for (size_t i = 0; i < model->info->input_count; i++) {
		const struct sl_graph_port *port = &model->info->inputs[i];
		if (!is_real(port->element))
			return refuse(err, "an input is not of real numbers");
		if (!matrix && (port->dims > 2 || (port->dims == 2 && port->sizes[1] != 1)))
			return refuse(err, "an input is no column");
	}
	return 0;
}

static int find_output(struct sl_infer_graph *model, struct sl_error *err)
{
	model->output = SIZE_MAX;
	for (size_t i = 0; i < model->info->output_count; i++) {
		const struct sl_graph_port *port = &model->info->outputs[i];
		if (is_real(port->element))
			model->output = i;
		else
			model->labels |= port->dims <= 1;
	}
	if (model->output == SIZE_MAX)
		return refuse(err, "it gives no real numbers");
	model->wanted = sl_alloc(model->info->output_count, err);
	if (!model->wanted)
		return SL_E_NO_MEMORY;
	model->wanted[model->output] = 1;
	return 0;
}

static void set(struct sl_graph_value *value, size_t at, float x)
{
	if (value->element == SL_ELEMENT_FP32)
		((float *)value->data)[at] = x;
	else
		((double *)value->data)[at] = (double)x;
}

/* Column `from` and those that follow of the rows, as the graph takes them. */
static bool fill(const struct sl_graph_port *port, const float *rows, size_t count, size_t features, size_t from, struct sl_arena *arena,
		 struct sl_graph_value *ret)
{
	size_t width = port->dims == 2 && port->sizes[1] > 0 ? (size_t)port->sizes[1] : 1;
	*ret = (struct sl_graph_value){.element = port->element, .dims = port->dims, .count = count * width, .sizes = {(int64_t)count, (int64_t)width}};
	ret->data = sl_arena_array(arena, ret->count, sl_element_bytes(port->element));
	for (size_t row = 0; ret->data && row < count; row++)
		for (size_t i = 0; i < width; i++)
			set(ret, row * width + i, rows[row * features + from + i]);
	return ret->data != NULL;
}

static int run(const struct sl_infer_graph *model, const float *rows, size_t count, struct sl_arena *arena, struct sl_graph_value *ret,
	       struct sl_error *err)
{
	struct sl_graph_value *inputs = sl_arena_array(arena, model->info->input_count, sizeof *inputs);
	struct sl_graph_value *outputs = sl_arena_array(arena, model->info->output_count, sizeof *outputs);
	if (!inputs || !outputs)
		return sl_fail_memory(err);
	for (size_t i = 0; i < model->info->input_count; i++)
		if (!fill(&model->info->inputs[i], rows, count, model->features, i, arena, &inputs[i]))
			return sl_fail_memory(err);
	int rc = sl_graph_run(model->graph, inputs, model->wanted, arena, outputs, NULL, err);
	*ret = outputs[model->output];
	if (!rc && (!ret->dims || ret->sizes[0] != (int64_t)count))
		rc = refuse(err, "it does not give an answer for each row");
	return rc;
}

static int try_it(struct sl_infer_graph *model, struct sl_error *err)
{
	enum { ROWS = 3 };
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(MEMORY_MAX, err);
	float *rows = arena ? sl_arena_array(arena, ROWS * model->features, sizeof *rows) : NULL;
	struct sl_graph_value value;
	int rc = rows ? run(model, rows, ROWS, arena, &value, err) : sl_fail_memory(err);
	if (rc)
		return rc;
	model->width = value.count / ROWS;
	if (model->width > 1 && !model->labels)
		return refuse(err, "it gives several numbers for a row, and no labels that would say that they are probabilities of classes");
	return model->width ? 0 : refuse(err, "it gives nothing for a row");
}

int sl_infer_graph_load(const void *data, size_t len, struct sl_infer_graph **ret, struct sl_error *err)
{
	struct sl_infer_graph *model = sl_alloc(sizeof *model, err);
	int rc = model ? sl_graph_load(data, len, &model->graph, err) : SL_E_NO_MEMORY;
	if (!rc) {
		model->info = sl_graph_info(model->graph);
		rc = check_inputs(model, err);
	}
	rc = rc ? rc : find_output(model, err);
	rc = rc ? rc : try_it(model, err);
	if (rc)
		sl_infer_graph_free(model);
	else
		*ret = model;
	return rc;
}

void sl_infer_graph_free(struct sl_infer_graph *model)
{
	if (!model)
		return;
	sl_graph_free(model->graph);
	sl_free(model->wanted);
	sl_free(model);
}

void sl_infer_graph_info(const struct sl_infer_graph *model, struct sl_infer_info *ret)
{
	size_t outputs = model->width == 2 ? 1 : model->width;
	*ret = (struct sl_infer_info){.features = model->features, .outputs = outputs, .margins = outputs, .memory_bytes = model->info->memory_bytes};
	snprintf(ret->objective, sizeof ret->objective, "%s", model->width == 2 ? "binary" : model->width > 2 ? "multiclass" : "regression");
}

const char *sl_infer_graph_feature_name(const struct sl_infer_graph *model, size_t i)
{
	return model->info->input_count == model->features ? model->info->inputs[i].name : NULL;
}

static float value_at(const struct sl_graph_value *value, size_t at)
{
	return value->element == SL_ELEMENT_FP32 ? ((const float *)value->data)[at] : (float)((const double *)value->data)[at];
}

static int predict_some(const struct sl_infer_graph *model, const float *rows, size_t count, float *ret, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(MEMORY_MAX, err);
	size_t outputs = model->width == 2 ? 1 : model->width;
	struct sl_graph_value value;
	int rc = arena ? run(model, rows, count, arena, &value, err) : SL_E_NO_MEMORY;
	if (!rc && value.count != count * model->width)
		rc = sl_fail(err, SL_E_FAILED, "the ONNX graph answers %zu rows with %zu values, not %zu", count, value.count, count * model->width);
	for (size_t i = 0; !rc && i < count * outputs; i++)
		ret[i] = value_at(&value, model->width == 2 ? 2 * i + 1 : i);
	return rc;
}

int sl_infer_graph_predict(const struct sl_infer_graph *model, const float *rows, size_t row_count, float *ret, struct sl_error *err)
{
	size_t outputs = model->width == 2 ? 1 : model->width;
	int rc = 0;
	for (size_t from = 0; !rc && from < row_count; from += ROWS_AT_ONCE) {
		size_t count = row_count - from < ROWS_AT_ONCE ? row_count - from : ROWS_AT_ONCE;
		rc = predict_some(model, rows + from * model->features, count, ret + from * outputs, err);
	}
	return rc;
}

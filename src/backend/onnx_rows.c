#include "backend/onnx_rows.h"

#include <stdint.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/proto.h"
#include "base/str.h"

/* Field numbers of onnx.proto. */
enum { MODEL_GRAPH = 7 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 7 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_TENSOR = 5, ATTRIBUTE_INTS = 8 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_INT64S = 7, TENSOR_NAME, TENSOR_RAW };
enum { TYPE_INT64 = 7 };
enum { VALUE_NAME = 1, VALUE_TYPE, TYPE_TENSOR = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1 };

enum { NODES_MAX = 10000, PORTS_MAX = 64, AXES_MAX = 8, RANK_UNKNOWN = 99 };

/* A tensor of the graph. */
struct value {
	bool rows;           /* its first size counts rows; else it is a constant */
	bool single;         /* rows: [rows, 1] */
	bool across;         /* rows, but laid along the second size: [1, rows] */
	int rank;
	int64_t first;       /* of a constant: its first size */
	int64_t axes[AXES_MAX]; /* of a constant: its elements, when it is INT64 and has so few */
	size_t axis_count;
	bool has_axes;
};

enum rule {
	SAME,        /* element by element, or within a row; further inputs are constants or follow the same shape */
	WITHIN,      /* SAME, of at least two sizes */
	MATRIX,      /* a table in, tables out */
	LABELS,      /* a table in, labels [rows] and a table out */
	MATMUL, GEMM, FLATTEN, RESHAPE, TRANSPOSE, CONCAT, GATHER, SQUEEZE, UNSQUEEZE, REDUCE, SLICE,
	AXIS,        /* along an axis, the last one when it is not said */
	PICK,        /* along an axis that must be said, which goes or becomes 1 */
	EXTRACT,     /* columns of rows; or of a list, a place for each row: scikit-learn's labels */
	FILTER,      /* images: further inputs are constants */
	CONSTANT,
};

static const struct { const char *name; enum rule rule; } OPERATORS[] = {
	{"Identity", SAME}, {"Cast", SAME}, {"Abs", SAME}, {"Neg", SAME}, {"Exp", SAME}, {"Log", SAME}, {"Sqrt", SAME}, {"Relu", SAME},
	{"LeakyRelu", SAME}, {"Elu", SAME}, {"Selu", SAME}, {"Celu", SAME}, {"PRelu", SAME}, {"Sigmoid", SAME}, {"HardSigmoid", SAME},
	{"HardSwish", SAME}, {"Tanh", SAME}, {"Softplus", SAME}, {"Softsign", SAME}, {"Gelu", SAME}, {"Mish", SAME}, {"Clip", SAME}, {"Erf", SAME},
	{"Floor", SAME}, {"Ceil", SAME}, {"Round", SAME}, {"Sign", SAME}, {"Reciprocal", SAME}, {"Not", SAME}, {"IsNaN", SAME}, {"IsInf", SAME},
	{"Sin", SAME}, {"Cos", SAME}, {"Dropout", SAME}, {"Add", SAME}, {"Sub", SAME}, {"Mul", SAME}, {"Div", SAME}, {"Pow", SAME}, {"Mod", SAME},
	{"Min", SAME}, {"Max", SAME}, {"Sum", SAME}, {"Where", SAME}, {"And", SAME}, {"Or", SAME}, {"Xor", SAME}, {"Equal", SAME}, {"Less", SAME},
	{"Greater", SAME}, {"LessOrEqual", SAME}, {"GreaterOrEqual", SAME}, {"LabelEncoder", SAME}, {"CategoryMapper", SAME},
	{"Scaler", WITHIN}, {"Normalizer", WITHIN}, {"Imputer", WITHIN}, {"Binarizer", WITHIN}, {"ArrayFeatureExtractor", EXTRACT},
	{"TreeEnsembleRegressor", MATRIX}, {"TreeEnsemble", MATRIX}, {"LinearRegressor", MATRIX}, {"SVMRegressor", MATRIX}, {"ZipMap", MATRIX},
	{"FeatureVectorizer", MATRIX}, {"TreeEnsembleClassifier", LABELS}, {"LinearClassifier", LABELS}, {"SVMClassifier", LABELS},
	{"MatMul", MATMUL}, {"Gemm", GEMM}, {"Flatten", FLATTEN}, {"Reshape", RESHAPE}, {"Transpose", TRANSPOSE}, {"Concat", CONCAT}, {"Gather", GATHER},
	{"Squeeze", SQUEEZE}, {"Unsqueeze", UNSQUEEZE}, {"ReduceSum", REDUCE}, {"ReduceMean", REDUCE}, {"ReduceMax", REDUCE}, {"ReduceMin", REDUCE},
	{"ReduceL1", REDUCE}, {"ReduceL2", REDUCE}, {"ReduceSumSquare", REDUCE}, {"ReduceLogSumExp", REDUCE}, {"Slice", SLICE}, {"Softmax", AXIS},
	{"LogSoftmax", AXIS}, {"LayerNormalization", AXIS}, {"ArgMax", PICK}, {"ArgMin", PICK}, {"Conv", FILTER}, {"MaxPool", FILTER},
	{"AveragePool", FILTER}, {"GlobalAveragePool", FILTER}, {"GlobalMaxPool", FILTER}, {"BatchNormalization", FILTER},
	{"InstanceNormalization", FILTER}, {"LRN", FILTER}, {"Constant", CONSTANT},
};

struct proof {
	struct sl_map *values; /* by name: struct value */
	struct sl_arena *arena;
};

struct node {
	enum rule rule;
	const struct value *inputs[PORTS_MAX];
	const char *outputs[PORTS_MAX];
	size_t input_count, output_count;
	bool has_axis, has_keep, has_perm, trans_a, forbidden;
	int64_t axis, keep, perm_first;
	struct value said;     /* the attribute "axes", or the tensor of a Constant */
	bool has_said;
};

static struct sl_proto inside(const struct sl_proto_field *field) { return sl_proto_of(field->data, field->len); }

static const char *name_of(const struct proof *proof, const struct sl_proto_field *field)
{
	return sl_arena_strndup(proof->arena, (const char *)field->data, field->len);
}

static bool is_called(const struct sl_proto_field *field, const char *name)
{
	return field->wire == SL_PROTO_BYTES && field->len == strlen(name) && memcmp(field->data, name, field->len) == 0;
}

static bool put(const struct proof *proof, const char *name, const struct value *value)
{
	struct value *kept = sl_arena_alloc(proof->arena, sizeof *kept);
	if (!kept || !name)
		return false;
	*kept = *value;
	return sl_map_set(proof->values, name, kept, NULL, NULL) == 0;
}

/* ---- constants ---- */

static void add_int(struct value *value, int64_t element)
{
	if (value->axis_count < AXES_MAX)
		value->axes[value->axis_count] = element;
	value->axis_count++;
}

static void add_ints(const struct sl_proto_field *field, struct value *value)
{
	struct sl_proto in = inside(field);
	if (field->wire == SL_PROTO_VARINT)
		add_int(value, (int64_t)field->value);
	while (field->wire == SL_PROTO_BYTES && in.p < in.end && !in.bad)
		add_int(value, (int64_t)sl_proto_varint(&in));
}

static void add_raw(const struct sl_proto_field *field, struct value *value)
{
	for (size_t at = 0; at + sizeof(int64_t) <= field->len; at += sizeof(int64_t)) {
		int64_t element;
		memcpy(&element, field->data + at, sizeof element);
		add_int(value, element);
	}
}

static struct value tensor_of(const struct sl_proto_field *from)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct value value = {0}, dims = {0};
	uint64_t type = 0;
	while (sl_proto_next(&in, &field)) {
		if (field.number == TENSOR_DIMS)
			add_ints(&field, &dims);
		else if (field.number == TENSOR_TYPE)
			type = field.value;
	}
	for (in = inside(from); type == TYPE_INT64 && sl_proto_next(&in, &field);) {
		if (field.number == TENSOR_INT64S)
			add_ints(&field, &value);
		else if (field.number == TENSOR_RAW)
			add_raw(&field, &value);
	}
	value.rank = (int)dims.axis_count;
	value.first = dims.axis_count ? dims.axes[0] : 1;
	value.has_axes = type == TYPE_INT64 && value.axis_count <= AXES_MAX;
	return value;
}

static bool put_initializer(const struct proof *proof, const struct sl_proto_field *from)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct value value = tensor_of(from);
	const char *name = NULL;
	while (sl_proto_next(&in, &field))
		if (field.number == TENSOR_NAME && field.wire == SL_PROTO_BYTES)
			name = name_of(proof, &field);
	return put(proof, name, &value);
}

/* ---- inputs and outputs ---- */

/* Steps into the last field of that number. */
static bool step(struct sl_proto *in, uint32_t number)
{
	struct sl_proto_field field, found = {0};
	bool has = false;
	while (sl_proto_next(in, &field))
		if (field.number == number && field.wire == SL_PROTO_BYTES) {
			found = field;
			has = true;
		}
	if (has)
		*in = inside(&found);
	return has;
}

/* The rank that a graph's port says, when its first size is open; else -1. Maps and sequences have none. */
static int open_rank(const struct sl_proto_field *port)
{
	struct sl_proto in = inside(port), dim;
	struct sl_proto_field field, part;
	int rank = 0;
	if (!step(&in, VALUE_TYPE) || !step(&in, TYPE_TENSOR) || !step(&in, TENSOR_SHAPE))
		return -1;
	while (sl_proto_next(&in, &field)) {
		if (field.number != SHAPE_DIM || rank++)
			continue;
		for (dim = inside(&field); sl_proto_next(&dim, &part);)
			if (part.number == DIM_VALUE)
				return -1;
	}
	return rank ? rank : -1;
}

static const char *port_name(const struct proof *proof, const struct sl_proto_field *port)
{
	struct sl_proto in = inside(port);
	struct sl_proto_field field;
	while (sl_proto_next(&in, &field))
		if (field.number == VALUE_NAME && field.wire == SL_PROTO_BYTES)
			return name_of(proof, &field);
	return NULL;
}

static bool put_input(const struct proof *proof, const struct sl_proto_field *port)
{
	const char *name = port_name(proof, port);
	struct value value = {.rows = true, .rank = open_rank(port)};
	if (name && sl_map_get(proof->values, name)) /* the default of an input that nobody gives */
		return true;
	return value.rank > 0 && put(proof, name, &value);
}

static bool is_rows(const struct proof *proof, const struct sl_proto_field *port)
{
	const char *name = port_name(proof, port);
	const struct value *value = name ? sl_map_get(proof->values, name) : NULL;
	return value && value->rows && !value->across;
}

/* ---- nodes ---- */

static void read_attribute(const struct sl_proto_field *from, struct node *node)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field, name = {0};
	struct value list = {.has_axes = true};
	int64_t number = 0;
	while (sl_proto_next(&in, &field)) {
		if (field.number == ATTRIBUTE_NAME)
			name = field;
		else if (field.number == ATTRIBUTE_INT && field.wire == SL_PROTO_VARINT)
			number = (int64_t)field.value;
		else if (field.number == ATTRIBUTE_INTS)
			add_ints(&field, &list);
		else if (field.number == ATTRIBUTE_TENSOR)
			node->said = tensor_of(&field);
	}
	if (is_called(&name, "axis")) {
		node->has_axis = true;
		node->axis = number;
	} else if (is_called(&name, "keepdims")) {
		node->has_keep = true;
		node->keep = number;
	} else if (is_called(&name, "perm")) {
		node->has_perm = list.axis_count > 0;
		node->perm_first = list.axes[0];
	} else if (is_called(&name, "axes")) {
		node->said = list;
		node->has_said = true;
	} else if (is_called(&name, "transA") || is_called(&name, "allowzero") || is_called(&name, "training_mode")) {
		node->forbidden |= number != 0;
	} else if (is_called(&name, "value")) {
		node->has_said = true;
	}
}

static bool read_rule(const struct sl_proto_field *type, struct node *node)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(OPERATORS); i++)
		if (is_called(type, OPERATORS[i].name)) {
			node->rule = OPERATORS[i].rule;
			return true;
		}
	return false;
}

static bool read_node(const struct proof *proof, const struct sl_proto_field *from, struct node *node)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	bool known = false;
	*node = (struct node){0};
	while (sl_proto_next(&in, &field)) {
		if (field.number == NODE_TYPE) {
			known = read_rule(&field, node);
		} else if (field.number == NODE_DOMAIN) {
			node->forbidden |= field.len && !is_called(&field, "ai.onnx") && !is_called(&field, "ai.onnx.ml");
		} else if (field.number == NODE_ATTRIBUTE) {
			read_attribute(&field, node);
		} else if (field.number == NODE_INPUT || field.number == NODE_OUTPUT) {
			const char *name = name_of(proof, &field);
			bool full = node->input_count == PORTS_MAX || node->output_count == PORTS_MAX;
			if (!name || full)
				return false;
			if (field.number == NODE_OUTPUT)
				node->outputs[node->output_count++] = name;
			else if (*name && !(node->inputs[node->input_count++] = sl_map_get(proof->values, name)))
				return false;
			else if (!*name)
				node->input_count++; /* left out */
		}
	}
	return known && !node->forbidden && node->output_count;
}

/* ---- rules: the rank of the first output; -1: not proven ---- */

/* Whether an axis is another than the first. */
static bool is_inner(int64_t axis, int rank) { return axis > 0 ? axis < rank : axis < 0 && axis > -rank; }

/* Constants that are spread over the rows, not laid along them. */
static bool is_spread(const struct value *constant, int rank)
{
	return constant->rank < rank || (constant->rank == rank && constant->first == 1);
}

static int same(const struct node *node)
{
	int rank = -1;
	for (size_t i = 0; i < node->input_count; i++)
		if (node->inputs[i] && node->inputs[i]->rows) {
			if (rank >= 0 && node->inputs[i]->rank != rank)
				return -1;
			rank = node->inputs[i]->rank;
		}
	for (size_t i = 0; i < node->input_count; i++)
		if (node->inputs[i] && !node->inputs[i]->rows && !is_spread(node->inputs[i], rank))
			return -1;
	return rank;
}

static const struct value *input(const struct node *node, size_t i) { return i < node->input_count ? node->inputs[i] : NULL; }
static bool constant(const struct node *node, size_t i) { return !input(node, i) || !input(node, i)->rows; }

/* Rows in the first input, constants in all others. */
static int first_rank(const struct node *node)
{
	for (size_t i = 1; i < node->input_count; i++)
		if (!constant(node, i))
			return -1;
	return input(node, 0) && node->inputs[0]->rows ? node->inputs[0]->rank : -1;
}

static int matmul(const struct node *node)
{
	const struct value *a = input(node, 0), *b = input(node, 1);
	if (!a || !b || !a->rows)
		return -1;
	if (!b->rows)
		return a->rank >= 2 && b->rank == 2 ? a->rank : -1;
	return a->rank >= 3 && a->rank == b->rank ? a->rank : -1;
}

static int gemm(const struct node *node)
{
	return first_rank(node) == 2 && (!input(node, 2) || is_spread(node->inputs[2], 2)) ? 2 : -1;
}

static int reshape(const struct node *node)
{
	const struct value *shape = input(node, 1);
	int rank = first_rank(node);
	if (rank < 0 || !shape || !shape->has_axes || !shape->axis_count)
		return -1;
	bool keeps = shape->axes[0] == 0;
	if (node->inputs[0]->across) /* to [rows] */
		return shape->axis_count == 1 && shape->axes[0] == -1 ? 1 : -1;
	if (rank == 1 && (shape->axes[0] == -1 || keeps)) { /* [rows] to [rows, 1] */
		keeps = true;
		for (size_t i = 1; i < shape->axis_count; i++)
			keeps &= shape->axes[i] == 1;
	}
	return keeps ? (int)shape->axis_count : -1;
}

static int gather(const struct node *node)
{
	const struct value *data = input(node, 0), *at = input(node, 1);
	if (!data || !at)
		return -1;
	if (data->rows)
		return !at->rows && node->has_axis && is_inner(node->axis, data->rank) ? data->rank - 1 + at->rank : -1;
	return at->rows && !(node->has_axis && node->axis) ? at->rank + data->rank - 1 : -1; /* a table of embeddings */
}

static int concat(const struct node *node)
{
	int rank = same(node);
	for (size_t i = 0; i < node->input_count; i++)
		if (!node->inputs[i] || !node->inputs[i]->rows)
			return -1;
	return node->has_axis && is_inner(node->axis, rank) ? rank : -1;
}

/* The attribute, or the constant input `at`, when all of it is inner axes. */
static const struct value *inner_axes(const struct node *node, size_t at, int rank)
{
	const struct value *axes = node->has_said ? &node->said : input(node, at);
	if (!axes || axes->rows || !axes->has_axes || !axes->axis_count || axes->axis_count > AXES_MAX)
		return NULL;
	for (size_t i = 0; i < axes->axis_count; i++)
		if (!is_inner(axes->axes[i], rank))
			return NULL;
	return axes;
}

static int reduce(const struct node *node)
{
	int rank = first_rank(node);
	const struct value *axes = inner_axes(node, 1, rank);
	if (rank < 0 || !axes)
		return -1;
	return node->has_keep && !node->keep ? rank - (int)axes->axis_count : rank;
}

static int squeeze(const struct node *node, int sign)
{
	int rank = first_rank(node);
	const struct value *axes = rank < 0 ? NULL : inner_axes(node, 1, sign > 0 ? rank + AXES_MAX : rank);
	if (!axes)
		return -1;
	for (size_t i = 0; i < axes->axis_count; i++) /* of what becomes longer, from behind only the last place is known */
		if (sign > 0 && axes->axes[i] < -1)
			return -1;
	return rank + sign * (int)axes->axis_count;
}

static int pick(const struct node *node)
{
	int rank = first_rank(node);
	if (rank < 0 || !node->has_axis || !is_inner(node->axis, rank))
		return -1;
	return node->has_keep && !node->keep ? rank - 1 : rank;
}

static int extract(const struct node *node)
{
	const struct value *data = input(node, 0), *at = input(node, 1);
	if (!data || !at)
		return -1;
	if (!data->rows)
		return data->rank <= 1 && (at->rank == 1 || at->single) ? 2 : -1;
	return data->rank >= 2 && !at->rows ? data->rank : -1;
}

static int table(const struct node *node)
{
	for (size_t i = 0; i < node->input_count; i++)
		if (!node->inputs[i] || !node->inputs[i]->rows || node->inputs[i]->rank != 2)
			return -1;
	return 2;
}

static int rank_of(const struct node *node)
{
	int rank = first_rank(node);
	switch (node->rule) {
	case SAME: return same(node);
	case WITHIN: return rank >= 2 ? rank : -1;
	case MATRIX: return table(node);
	case LABELS: return table(node) == 2 ? 1 : -1;
	case MATMUL: return matmul(node);
	case GEMM: return gemm(node);
	case FLATTEN: return rank > 0 && (!node->has_axis || node->axis == 1) ? 2 : -1;
	case RESHAPE: return reshape(node);
	case TRANSPOSE: return node->has_perm && node->perm_first == 0 ? rank : -1;
	case CONCAT: return concat(node);
	case GATHER: return gather(node);
	case SQUEEZE: return squeeze(node, -1);
	case UNSQUEEZE: return squeeze(node, 1);
	case REDUCE: return reduce(node);
	case SLICE: return rank > 0 && inner_axes(node, 3, rank) ? rank : -1;
	case AXIS: return rank >= 2 && is_inner(node->has_axis ? node->axis : -1, rank) ? rank : -1;
	case PICK: return pick(node);
	case EXTRACT: return extract(node);
	case FILTER: return rank >= 2 && node->output_count == 1 ? rank : -1; /* MaxPool's second one counts over all rows */
	default: return -1;
	}
}

static bool follow_node(const struct proof *proof, const struct sl_proto_field *from)
{
	struct node node;
	bool rows = false, fine = read_node(proof, from, &node);
	struct value value = {.rows = true};
	for (size_t i = 0; i < node.input_count; i++) {
		rows |= node.inputs[i] && node.inputs[i]->rows;
		value.across |= node.inputs[i] && node.inputs[i]->across;
	}
	bool passes = node.rule == RESHAPE || (node.rule == SAME && node.input_count == 1);
	if (!fine || (value.across && !passes))
		return false;
	if (node.rule == CONSTANT || !rows) {
		value = (struct value){.rank = RANK_UNKNOWN};
		if (node.rule == CONSTANT && node.has_said)
			value = node.said;
		else if (node.rule == CONSTANT) /* of another kind than a tensor: a number, or a list */
			value.has_axes = false;
	} else if ((value.rank = rank_of(&node)) < 1) {
		return false;
	}
	if (node.rule == RESHAPE)
		value.across = false;
	else if (node.rule == EXTRACT)
		value.across = rows && !node.inputs[0]->rows;
	value.single = rows && node.rule == PICK && value.rank == 2;
	for (size_t i = 0; fine && i < node.output_count; i++) {
		if (i && node.rule == LABELS)
			value.rank = 2;
		fine = put(proof, node.outputs[i], &value);
	}
	return fine;
}

/* ---- the file ---- */

static bool each(const struct proof *proof, struct sl_proto in, uint32_t number,
		 bool (*fn)(const struct proof *proof, const struct sl_proto_field *field))
{
	struct sl_proto_field field;
	size_t count = 0;
	while (sl_proto_next(&in, &field))
		if (field.number == number && (count++ == NODES_MAX || !fn(proof, &field)))
			return false;
	return true;
}

bool sl_onnx_by_rows(const void *data, size_t len)
{
	struct proof proof = {.values = sl_map_new(NULL), .arena = sl_arena_new(0, NULL)};
	struct sl_proto graph = sl_proto_of(data, len);
	bool proven = proof.values && proof.arena && step(&graph, MODEL_GRAPH) && each(&proof, graph, GRAPH_INITIALIZER, put_initializer) &&
		      each(&proof, graph, GRAPH_INPUT, put_input) && each(&proof, graph, GRAPH_NODE, follow_node) &&
		      each(&proof, graph, GRAPH_OUTPUT, is_rows);
	sl_map_free(proof.values);
	sl_arena_free(proof.arena);
	return proven;
}

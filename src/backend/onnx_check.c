#include "backend/onnx_check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/proto.h"
#include "base/str.h"

/* Field numbers of onnx.proto. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER, MODEL_GRAPH = 7, MODEL_OPSETS = 8, MODEL_TRAINING = 20, MODEL_FUNCTIONS = 25 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_VALUE = 13, GRAPH_SPARSE = 15 };
enum { NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { ATTRIBUTE_TENSOR = 5, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS = 10, ATTRIBUTE_GRAPHS, ATTRIBUTE_TYPE = 14, ATTRIBUTE_TYPES };
enum { ATTRIBUTE_SPARSE = 22, ATTRIBUTE_SPARSES };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_SEGMENT, TENSOR_FLOATS, TENSOR_INT32S, TENSOR_STRINGS, TENSOR_INT64S, TENSOR_NAME, TENSOR_RAW };
enum { TENSOR_DOUBLES = TENSOR_RAW + 1, TENSOR_UINT64S, TENSOR_EXTERNAL = 13, TENSOR_LOCATION };
enum { SPARSE_VALUES = 1, SPARSE_INDICES, SPARSE_DIMS };
enum { FUNCTION_NAME = 1, FUNCTION_NODE = 7, FUNCTION_DOMAIN = 10, FUNCTION_ATTRIBUTE = 11, FUNCTION_VALUE = 12 };
enum { VALUE_TYPE = 2 };
enum { TYPE_TENSOR = 1, TYPE_SEQUENCE = 4, TYPE_MAP = 5, TYPE_SPARSE = 8, TYPE_OPTIONAL = 9 };

struct text {
	const char *at;
	size_t len;
};

enum state { NOT_SEEN, OPEN, DONE };
struct function {
	struct text domain, name;
	struct sl_proto_field body;
	enum state state;
	uint64_t nodes;   /* written out, calls included; of one that is DONE */
	unsigned deepest; /* calls within calls */
};

struct check {
	struct function *functions;
	size_t count;
	struct sl_error *err;
};

static bool is(const struct text *text, const char *word)
{
	return text->len == strlen(word) && memcmp(text->at, word, text->len) == 0;
}

static struct sl_proto inside(const struct sl_proto_field *field) { return sl_proto_of(field->data, field->len); }

static struct text text_of(const struct sl_proto_field *field) { return (struct text){(const char *)field->data, field->len}; }

static int shown(const struct text *text) { return text->len < 100 ? (int)text->len : 100; }

static int no_message(struct check *c, const char *what)
{
	return sl_fail(c->err, SL_E_INVALID, "%s is no such protocol buffer", what);
}

static int too_deep(struct check *c, const char *what)
{
	return sl_fail(c->err, SL_E_TOO_LARGE, "%s are nested deeper than %d", what, SL_ONNX_DEPTH_MAX);
}

/* ---- tensors ---- */

/* Bits of an element in `raw_data`; 0: text; -1: not known. */
static int element_bits(uint64_t type)
{
	static const signed char bits[] = {-1, 32, 8,  8,  16, 16, 32, 64, 0, 8, 16, 64, 32, 64,
					   64, 128, 16, 8, 8,  8,  8,  4,  4, 4, 8,  2,  2};
	return type < SL_ARRAY_LEN(bits) ? bits[type] : -1;
}

/* The field with the values of a type where there is no raw_data, and how many values stand for an element: complex ones are pairs. */
static uint32_t element_field(uint64_t type, uint64_t *ret_each)
{
	enum { FLOAT = 1, INT64 = 7, TEXT = 8, DOUBLE = 11, UINT32, UINT64, COMPLEX64, COMPLEX128 };
	*ret_each = type == COMPLEX64 || type == COMPLEX128 ? 2 : 1;
	switch (type) {
	case FLOAT:
	case COMPLEX64: return TENSOR_FLOATS;
	case INT64: return TENSOR_INT64S;
	case TEXT: return TENSOR_STRINGS;
	case DOUBLE:
	case COMPLEX128: return TENSOR_DOUBLES;
	case UINT32:
	case UINT64: return TENSOR_UINT64S;
	default: return TENSOR_INT32S;
	}
}

enum { OF_SEVERAL = UINT16_MAX };
struct tensor {
	struct text name;
	uint64_t type, elements, rank;
	uint64_t raw_bytes, values; /* values: of the field `of` */
	uint32_t of; /* 0: none yet */
	bool has_raw, external, overflow;
};

static void add_size(struct tensor *tensor, uint64_t size)
{
	tensor->rank++;
	if (size > INT64_MAX || __builtin_mul_overflow(tensor->elements, size, &tensor->elements))
		tensor->overflow = true;
}

/* Repeated numbers come one by one or packed; *count grows by them. `fixed`: bytes of each, 0: varints. False: they are neither. */
static bool count_values(const struct sl_proto_field *field, unsigned fixed, uint64_t *count)
{
	struct sl_proto in = inside(field);
	enum sl_proto_wire alone = fixed == 4 ? SL_PROTO_32 : fixed == 8 ? SL_PROTO_64 : SL_PROTO_VARINT;
	if (field->wire == alone)
		++*count;
	if (field->wire != SL_PROTO_BYTES)
		return field->wire == alone;
	if (fixed) {
		*count += field->len / fixed;
		return field->len % fixed == 0;
	}
	for (; in.p < in.end && !in.bad; ++*count)
		sl_proto_varint(&in);
	return !in.bad;
}

static bool read_dims(const struct sl_proto_field *field, struct tensor *tensor)
{
	struct sl_proto in = inside(field);
	if (field->wire == SL_PROTO_VARINT)
		add_size(tensor, field->value);
	if (field->wire != SL_PROTO_BYTES)
		return field->wire == SL_PROTO_VARINT;
	while (in.p < in.end && !in.bad)
		add_size(tensor, sl_proto_varint(&in));
	return !in.bad;
}

static bool read_values(const struct sl_proto_field *field, struct tensor *tensor)
{
	tensor->of = tensor->of && tensor->of != field->number ? OF_SEVERAL : field->number;
	if (field->number == TENSOR_STRINGS) {
		tensor->values++;
		return field->wire == SL_PROTO_BYTES;
	}
	return count_values(field, field->number == TENSOR_FLOATS ? 4 : field->number == TENSOR_DOUBLES ? 8 : 0, &tensor->values);
}

static bool read_tensor_field(const struct sl_proto_field *field, struct tensor *tensor)
{
	switch (field->number) {
	case TENSOR_DIMS:
		return read_dims(field, tensor);
	case TENSOR_TYPE:
		tensor->type = field->value;
		return field->wire == SL_PROTO_VARINT;
	case TENSOR_FLOATS:
	case TENSOR_INT32S:
	case TENSOR_STRINGS:
	case TENSOR_INT64S:
	case TENSOR_DOUBLES:
	case TENSOR_UINT64S:
		return read_values(field, tensor);
	case TENSOR_NAME:
		tensor->name = text_of(field);
		return field->wire == SL_PROTO_BYTES;
	case TENSOR_RAW:
		tensor->has_raw = true;
		tensor->raw_bytes = field->len;
		return field->wire == SL_PROTO_BYTES;
	case TENSOR_LOCATION:
		tensor->external |= field->value != 0;
		return field->wire == SL_PROTO_VARINT;
	case TENSOR_EXTERNAL:
		tensor->external = true;
		return true;
	default:
		return field->number != TENSOR_SEGMENT;
	}
}

/* Whether the data is of the shape. */
static bool is_filled(const struct tensor *tensor, int bits)
{
	uint64_t each, field = element_field(tensor->type, &each);
	if (tensor->has_raw)
		return bits && !tensor->of && tensor->elements <= UINT64_MAX / 128 - 8 &&
		       (tensor->elements * (uint64_t)bits + 7) / 8 == tensor->raw_bytes;
	if (bits && bits < 8) /* several in a byte, each byte a value */
		return tensor->elements <= UINT64_MAX / 8 && tensor->values == (tensor->elements * (uint64_t)bits + 7) / 8 &&
		       (tensor->of == field || !tensor->of);
	return tensor->elements <= UINT64_MAX / 2 && tensor->values == tensor->elements * each && (tensor->of == field || !tensor->of);
}

static int read_tensor(struct check *c, const struct sl_proto_field *from, struct tensor *ret)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	*ret = (struct tensor){.elements = 1};
	if (from->wire != SL_PROTO_BYTES)
		return no_message(c, "a tensor");
	while (sl_proto_next(&in, &field))
		if (!read_tensor_field(&field, ret))
			return no_message(c, "a tensor");
	return in.bad ? no_message(c, "a tensor") : 0;
}

static int check_tensor(struct check *c, const struct sl_proto_field *from)
{
	struct tensor tensor;
	int rc = read_tensor(c, from, &tensor), bits = element_bits(tensor.type);
	if (rc)
		return rc;
	if (tensor.external) {
		sl_fail(c->err, SL_E_DENIED, "tensor '%.*s' has its data in another file, which is never read", shown(&tensor.name), tensor.name.at);
		return sl_error_hint(c->err, "save the model with its data inside: onnx.save_model(model, path, save_as_external_data=False)");
	}
	if (bits < 0)
		return sl_fail(c->err, SL_E_INVALID, "tensor '%.*s' has the type %llu, which is not known", shown(&tensor.name), tensor.name.at,
			       (unsigned long long)tensor.type);
	if (tensor.overflow || tensor.rank > SL_ONNX_RANK_MAX)
		return sl_fail(c->err, SL_E_INVALID, "tensor '%.*s' has an impossible shape", shown(&tensor.name), tensor.name.at);
	if (!is_filled(&tensor, bits))
		return sl_fail(c->err, SL_E_INVALID, "tensor '%.*s': its data is not what its shape and type say", shown(&tensor.name),
			       tensor.name.at);
	return 0;
}

static int check_sparse(struct check *c, const struct sl_proto_field *from)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct tensor dense = {.elements = 1};
	while (sl_proto_next(&in, &field)) {
		int rc = field.number == SPARSE_VALUES || field.number == SPARSE_INDICES ? check_tensor(c, &field) : 0;
		if (rc)
			return rc;
		if (field.number == SPARSE_DIMS && !read_dims(&field, &dense))
			return no_message(c, "a sparse tensor");
	}
	if (in.bad || from->wire != SL_PROTO_BYTES)
		return no_message(c, "a sparse tensor");
	if (dense.overflow || dense.elements > SL_ONNX_SPARSE_BYTES_MAX / 16)
		return sl_fail(c->err, SL_E_TOO_LARGE, "a sparse tensor is larger than %d MiB when it is written out",
			       SL_ONNX_SPARSE_BYTES_MAX >> 20);
	return 0;
}

/* ---- types: they may hold each other ---- */

static int check_type(struct check *c, const struct sl_proto_field *from, unsigned depth)
{
	struct sl_proto in = inside(from), below;
	struct sl_proto_field field, part;
	if (depth > SL_ONNX_DEPTH_MAX)
		return too_deep(c, "types");
	while (sl_proto_next(&in, &field)) {
		bool nests = field.number == TYPE_SEQUENCE || field.number == TYPE_MAP || field.number == TYPE_OPTIONAL;
		if (!nests)
			continue;
		below = inside(&field);
		while (sl_proto_next(&below, &part)) {
			int rc = part.wire == SL_PROTO_BYTES ? check_type(c, &part, depth + 1) : 0;
			if (rc)
				return rc;
		}
		if (below.bad || field.wire != SL_PROTO_BYTES)
			return no_message(c, "a type");
	}
	return in.bad || from->wire != SL_PROTO_BYTES ? no_message(c, "a type") : 0;
}

static int check_value(struct check *c, const struct sl_proto_field *from)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	while (sl_proto_next(&in, &field)) {
		int rc = field.number == VALUE_TYPE ? check_type(c, &field, 1) : 0;
		if (rc)
			return rc;
	}
	return in.bad || from->wire != SL_PROTO_BYTES ? no_message(c, "an input or output") : 0;
}

/* ---- graphs ---- */

/* Where a graph stands, and what the whole graph or function around it comes to: its nodes, written out, and calls within calls. */
struct place {
	unsigned depth, calls;
	uint64_t *nodes;
	unsigned *deepest;
};

static int check_graph(struct check *c, const struct sl_proto_field *from, const struct place *place);
static int check_function(struct check *c, struct function *function, unsigned calls);

static int check_attribute(struct check *c, const struct sl_proto_field *from, const struct place *place)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct place below = {place->depth + 1, place->calls, place->nodes, place->deepest};
	int rc = 0;
	while (!rc && sl_proto_next(&in, &field)) {
		switch (field.number) {
		case ATTRIBUTE_TENSOR:
		case ATTRIBUTE_TENSORS:
			rc = check_tensor(c, &field);
			break;
		case ATTRIBUTE_SPARSE:
		case ATTRIBUTE_SPARSES:
			rc = check_sparse(c, &field);
			break;
		case ATTRIBUTE_GRAPH:
		case ATTRIBUTE_GRAPHS:
			rc = check_graph(c, &field, &below);
			break;
		case ATTRIBUTE_TYPE:
		case ATTRIBUTE_TYPES:
			rc = check_type(c, &field, 1);
			break;
		default: break;
		}
	}
	if (!rc && (in.bad || from->wire != SL_PROTO_BYTES))
		rc = no_message(c, "an attribute");
	return rc;
}

static bool is_own_domain(const struct text *domain)
{
	return !domain->len || is(domain, "ai.onnx") || is(domain, "ai.onnx.ml") || is(domain, "com.microsoft");
}

static struct function *find_function(struct check *c, const struct text *domain, const struct text *name)
{
	for (size_t i = 0; i < c->count; i++) {
		struct function *f = &c->functions[i];
		if (f->name.len == name->len && f->domain.len == domain->len && memcmp(f->name.at, name->at, name->len) == 0 &&
		    memcmp(f->domain.at, domain->at, domain->len) == 0)
			return f;
	}
	return NULL;
}

static int count_nodes(struct check *c, uint64_t *nodes, uint64_t more)
{
	*nodes += more; /* both are bounded, so this is exact */
	return *nodes <= SL_ONNX_NODES_MAX
		       ? 0
		       : sl_fail(c->err, SL_E_TOO_LARGE, "the graph has more than %d nodes, its functions written out", SL_ONNX_NODES_MAX);
}

static int check_operator(struct check *c, const struct text *domain, const struct text *type, const struct place *place)
{
	struct function *function = is_own_domain(domain) ? NULL : find_function(c, domain, type);
	if (function) {
		int rc = check_function(c, function, place->calls + 1);
		if (*place->deepest <= function->deepest)
			*place->deepest = function->deepest + 1;
		return rc ? rc : count_nodes(c, place->nodes, function->nodes);
	}
	if (is_own_domain(domain) && !is(type, "EPContext"))
		return count_nodes(c, place->nodes, 1);
	sl_fail(c->err, SL_E_DENIED, "operator '%.*s' of domain '%.*s' is not served: it would need code from elsewhere", shown(type), type->at,
		shown(domain), domain->at);
	return sl_error_hint(c->err, "operators of ai.onnx, ai.onnx.ml and com.microsoft are, and functions that the file defines");
}

static int check_node(struct check *c, const struct sl_proto_field *from, const struct place *place)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct text name = {"", 0}, type = {"", 0}, domain = {"", 0};
	while (sl_proto_next(&in, &field)) {
		struct text *text = field.number == NODE_NAME ? &name : field.number == NODE_TYPE ? &type : field.number == NODE_DOMAIN ? &domain : NULL;
		if (text && field.wire != SL_PROTO_BYTES)
			return no_message(c, "a node");
		if (text)
			*text = text_of(&field);
	}
	if (in.bad || from->wire != SL_PROTO_BYTES)
		return no_message(c, "a node");
	if (!sl_utf8_valid(name.at, name.len) || !sl_utf8_valid(type.at, type.len) || !sl_utf8_valid(domain.at, domain.len))
		return sl_fail(c->err, SL_E_INVALID, "a node's name is not UTF-8");
	int rc = check_operator(c, &domain, &type, place);
	for (in = inside(from); !rc && sl_proto_next(&in, &field);)
		if (field.number == NODE_ATTRIBUTE)
			rc = check_attribute(c, &field, place);
	return rc ? sl_error_context(c->err, "node '%.*s'", shown(&name), name.at) : 0;
}

static int check_graph_field(struct check *c, const struct sl_proto_field *field, const struct place *place)
{
	switch (field->number) {
	case GRAPH_NODE:
		return check_node(c, field, place);
	case GRAPH_INITIALIZER:
		return check_tensor(c, field);
	case GRAPH_SPARSE:
		return check_sparse(c, field);
	case GRAPH_INPUT:
	case GRAPH_OUTPUT:
	case GRAPH_VALUE:
		return check_value(c, field);
	default:
		return 0;
	}
}

static int check_graph(struct check *c, const struct sl_proto_field *from, const struct place *place)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	if (place->depth > SL_ONNX_DEPTH_MAX)
		return too_deep(c, "graphs");
	while (sl_proto_next(&in, &field)) {
		int rc = check_graph_field(c, &field, place);
		if (rc)
			return rc;
	}
	return in.bad || from->wire != SL_PROTO_BYTES ? no_message(c, "a graph") : 0;
}

/* Its body, once. Who calls it while it is OPEN is called by it. */
static int check_function(struct check *c, struct function *function, unsigned calls)
{
	struct sl_proto in = inside(&function->body);
	struct sl_proto_field field;
	struct place place = {1, calls, &function->nodes, &function->deepest};
	if (function->state == DONE)
		return 0;
	if (function->state == OPEN)
		return sl_fail(c->err, SL_E_INVALID, "function '%.*s' calls itself", shown(&function->name), function->name.at);
	if (calls > SL_ONNX_DEPTH_MAX)
		return too_deep(c, "calls of functions");
	function->state = OPEN;
	int rc = 0;
	while (!rc && sl_proto_next(&in, &field)) {
		if (field.number == FUNCTION_NODE)
			rc = check_node(c, &field, &place);
		else if (field.number == FUNCTION_ATTRIBUTE)
			rc = check_attribute(c, &field, &place);
		else if (field.number == FUNCTION_VALUE)
			rc = check_value(c, &field);
	}
	function->state = DONE;
	return rc || function->deepest < SL_ONNX_DEPTH_MAX ? rc : too_deep(c, "calls of functions");
}

/* ---- the file ---- */

static int read_function(struct check *c, const struct sl_proto_field *from)
{
	struct sl_proto in = inside(from);
	struct sl_proto_field field;
	struct function *f = &c->functions[c->count];
	*f = (struct function){.domain = {"", 0}, .name = {"", 0}, .body = *from};
	while (sl_proto_next(&in, &field)) {
		if (field.number != FUNCTION_NAME && field.number != FUNCTION_DOMAIN)
			continue;
		if (field.wire != SL_PROTO_BYTES || !sl_utf8_valid((const char *)field.data, field.len))
			return no_message(c, "a function");
		*(field.number == FUNCTION_NAME ? &f->name : &f->domain) = text_of(&field);
	}
	if (in.bad || from->wire != SL_PROTO_BYTES)
		return no_message(c, "a function");
	if (is_own_domain(&f->domain))
		return sl_fail(c->err, SL_E_DENIED, "function '%.*s' would take the place of an operator of ONNX", shown(&f->name), f->name.at);
	if (find_function(c, &f->domain, &f->name))
		return sl_fail(c->err, SL_E_INVALID, "function '%.*s' is there twice", shown(&f->name), f->name.at);
	c->count++;
	return 0;
}

/* First the functions, since nodes before them may call them. */
static int read_functions(struct check *c, const void *data, size_t len)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	size_t count = 0;
	while (sl_proto_next(&in, &field))
		count += field.number == MODEL_FUNCTIONS;
	if (in.bad)
		return no_message(c, "the file");
	if (count > SL_ONNX_FUNCTIONS_MAX)
		return sl_fail(c->err, SL_E_TOO_LARGE, "the file has more than %d functions", SL_ONNX_FUNCTIONS_MAX);
	c->functions = sl_alloc_array(count + 1, sizeof *c->functions, c->err);
	int rc = c->functions ? 0 : SL_E_NO_MEMORY;
	for (in = sl_proto_of(data, len); !rc && sl_proto_next(&in, &field);)
		if (field.number == MODEL_FUNCTIONS)
			rc = read_function(c, &field);
	return rc;
}

static int check_model(struct check *c, const void *data, size_t len)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	uint64_t nodes = 0;
	unsigned deepest = 0;
	struct place place = {1, 0, &nodes, &deepest};
	size_t graphs = 0;
	int rc = read_functions(c, data, len);
	while (!rc && sl_proto_next(&in, &field)) {
		if (field.number == MODEL_TRAINING) {
			rc = sl_fail(c->err, SL_E_DENIED, "the file has training information, which is not served");
		} else if (field.number == MODEL_GRAPH) {
			graphs++;
			rc = check_graph(c, &field, &place);
		}
	}
	for (size_t i = 0; !rc && i < c->count; i++) /* those that nobody calls too: the library reads them */
		rc = check_function(c, &c->functions[i], 1);
	if (!rc && graphs != 1)
		rc = sl_fail(c->err, SL_E_INVALID, "the file has %zu graphs, a model has one", graphs);
	return rc;
}

int sl_onnx_check(const void *data, size_t len, struct sl_error *err)
{
	struct check c = {.err = err};
	if (len > SL_ONNX_BYTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the file is larger than %d MiB", SL_ONNX_BYTES_MAX >> 20);
	int rc = check_model(&c, data, len);
	sl_free(c.functions);
	return rc;
}

/* The version comes first, then the producer, the opsets or the graph; writers differ. */
bool sl_onnx_is(const void *data, size_t len)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field first, second;
	if (len < 8 || !sl_proto_next(&in, &first) || !sl_proto_next(&in, &second))
		return false;
	bool version = first.number == MODEL_IR_VERSION && first.wire == SL_PROTO_VARINT && first.value >= 1 && first.value < 100;
	return version && second.wire <= SL_PROTO_BYTES && second.number >= MODEL_PRODUCER && second.number <= MODEL_FUNCTIONS;
}

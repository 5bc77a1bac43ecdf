/* OTLP as protobuf. The numbers are those of trace.proto and common.proto. */
#include <string.h>

#include "base/proto.h"
#include "base/str.h"
#include "mlflow/otlp.h"

/* A text; NULL with `err` filled when it is not UTF-8, or memory is out. */
static yyjson_mut_val *text_of(yyjson_mut_doc *doc, const struct sl_proto_field *field, struct sl_error *err)
{
	yyjson_mut_val *text = NULL;
	if (field->wire != SL_PROTO_BYTES || !sl_utf8_valid((const char *)field->data, field->len))
		sl_otlp_fail("a text is not UTF-8", err);
	else if (!(text = yyjson_mut_strncpy(doc, field->len ? (const char *)field->data : "", field->len)))
		sl_fail_memory(err);
	return text;
}

static int list_of(yyjson_mut_doc *doc, yyjson_mut_val **list, struct sl_error *err)
{
	if (!*list)
		*list = yyjson_mut_arr(doc);
	if (!*list)
		return sl_fail_memory(err);
	if (yyjson_mut_arr_size(*list) >= SL_OTLP_ATTRIBUTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d attributes, events or links", SL_OTLP_ATTRIBUTES_MAX);
	return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

static int read_pair(yyjson_mut_doc *doc, const struct sl_proto_field *field, int depth, yyjson_mut_val **list, struct sl_error *err);
static int read_value(yyjson_mut_doc *doc, const struct sl_proto_field *field, int depth, yyjson_mut_val *object, struct sl_error *err);

/* ArrayValue and KeyValueList: their members are the field 1. */
static int read_members(yyjson_mut_doc *doc, const struct sl_proto_field *field, int depth, bool pairs, yyjson_mut_val *holder,
	struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	yyjson_mut_val *list = NULL;
	int rc = list_of(doc, &list, err);
	while (!rc && sl_proto_next(&in, &f)) {
		if (f.number != 1 || f.wire != SL_PROTO_BYTES)
			continue;
		rc = pairs ? read_pair(doc, &f, depth, &list, err) : list_of(doc, &list, err);
		if (rc || pairs)
			continue;
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
		rc = item ? read_value(doc, &f, depth, item, err) : sl_fail_memory(err);
	}
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("a list is not protobuf", err);
	return yyjson_mut_obj_add_val(doc, holder, "values", list) ? 0 : sl_fail_memory(err);
}

static double double_of(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

enum { STRING = 1, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES };
static const char *const KINDS[] = {
	NULL, "string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value", "bytes_value"};

static int read_one(yyjson_mut_doc *doc, const struct sl_proto_field *f, int depth, yyjson_mut_val *object, struct sl_error *err)
{
	static const enum sl_proto_wire WIRES[] = {0, SL_PROTO_BYTES, SL_PROTO_VARINT, SL_PROTO_VARINT, SL_PROTO_64, SL_PROTO_BYTES,
		SL_PROTO_BYTES, SL_PROTO_BYTES};
	yyjson_mut_val *value = NULL;
	if (f->wire != WIRES[f->number])
		return sl_otlp_fail("a value has another type than its field", err);
	switch (f->number) {
	case STRING: value = text_of(doc, f, err); break;
	case BOOL: value = yyjson_mut_bool(doc, f->value != 0); break;
	case INT: value = yyjson_mut_sint(doc, (int64_t)f->value); break;
	case DOUBLE: value = sl_otlp_double(doc, double_of(f->value)); break;
	case BYTES: value = sl_otlp_bytes(doc, f->data, f->len); break;
	default: value = yyjson_mut_obj(doc);
	}
	if (!value)
		return err->code ? err->code : sl_fail_memory(err);
	yyjson_mut_obj_clear(object); /* of several the last counts */
	if (!yyjson_mut_obj_add_val(doc, object, KINDS[f->number], value))
		return sl_fail_memory(err);
	return f->number == ARRAY || f->number == KVLIST ? read_members(doc, f, depth + 1, f->number == KVLIST, value, err) : 0;
}

/* AnyValue into the object, which stays empty when there is none. */
static int read_value(yyjson_mut_doc *doc, const struct sl_proto_field *field, int depth, yyjson_mut_val *object, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	int rc = 0;
	if (depth > SL_OTLP_DEPTH_MAX)
		return sl_otlp_fail("values nest too deep", err);
	while (!rc && sl_proto_next(&in, &f))
		if (f.number >= STRING && f.number <= BYTES)
			rc = read_one(doc, &f, depth, object, err);
	return rc || !in.bad ? rc : sl_otlp_fail("a value is not protobuf", err);
}

/* KeyValue, as {"key","value"} behind the list. */
static int read_pair(yyjson_mut_doc *doc, const struct sl_proto_field *field, int depth, yyjson_mut_val **list, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	yyjson_mut_val *key = yyjson_mut_str(doc, ""), *value = yyjson_mut_obj(doc), *object;
	int rc = field->wire == SL_PROTO_BYTES ? list_of(doc, list, err) : sl_otlp_fail("an attribute is not a message", err);
	while (!rc && sl_proto_next(&in, &f)) {
		if (f.number == 1)
			rc = (key = text_of(doc, &f, err)) ? 0 : err->code;
		else if (f.number == 2 && f.wire == SL_PROTO_BYTES)
			rc = read_value(doc, &f, depth, value, err);
	}
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("an attribute is not protobuf", err);
	object = yyjson_mut_arr_add_obj(doc, *list);
	if (!object || !yyjson_mut_obj_add_val(doc, object, "key", key) || !yyjson_mut_obj_add_val(doc, object, "value", value))
		return sl_fail_memory(err);
	return 0;
}

/* ---- spans ---------------------------------------------------------------------------------------------------------- */

static int add_attributes(yyjson_mut_doc *doc, yyjson_mut_val *object, yyjson_mut_val *attributes, struct sl_error *err)
{
	return !attributes || yyjson_mut_obj_add_val(doc, object, "attributes", attributes) ? 0 : sl_fail_memory(err);
}

static int read_event(yyjson_mut_doc *doc, const struct sl_proto_field *field, yyjson_mut_val **list, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	yyjson_mut_val *name = yyjson_mut_str(doc, ""), *attributes = NULL, *object;
	uint64_t time_ns = 0;
	int rc = list_of(doc, list, err);
	while (!rc && sl_proto_next(&in, &f)) {
		if (f.number == 1 && f.wire == SL_PROTO_64)
			time_ns = f.value;
		else if (f.number == 2)
			rc = (name = text_of(doc, &f, err)) ? 0 : err->code;
		else if (f.number == 3)
			rc = read_pair(doc, &f, 0, &attributes, err);
	}
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("an event is not protobuf", err);
	object = yyjson_mut_arr_add_obj(doc, *list);
	if (!object || !yyjson_mut_obj_add_val(doc, object, "name", name) || !yyjson_mut_obj_add_uint(doc, object, "time_unix_nano", time_ns))
		return sl_fail_memory(err);
	return add_attributes(doc, object, attributes, err);
}

static int read_link(yyjson_mut_doc *doc, const struct sl_proto_field *field, yyjson_mut_val **list, struct sl_error *err)
{
	static const char *const NAMES[] = {NULL, "trace_id", "span_id"};
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	yyjson_mut_val *object = yyjson_mut_obj(doc), *attributes = NULL;
	int rc = object ? list_of(doc, list, err) : sl_fail_memory(err);
	while (!rc && sl_proto_next(&in, &f)) {
		if ((f.number == 1 || f.number == 2) && f.wire == SL_PROTO_BYTES)
			rc = f.len <= SL_OTLP_TRACE_BYTES && yyjson_mut_obj_put(object, yyjson_mut_str(doc, NAMES[f.number]),
				sl_otlp_bytes(doc, f.data, f.len)) ? 0 : sl_otlp_fail("a link has no ids", err);
		else if (f.number == 4)
			rc = read_pair(doc, &f, 0, &attributes, err);
	}
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("a link is not protobuf", err);
	rc = add_attributes(doc, object, attributes, err);
	return rc || yyjson_mut_arr_append(*list, object) ? rc : sl_fail_memory(err);
}

static int read_status(struct sl_otlp_span *span, const struct sl_proto_field *field, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	int rc = 0;
	while (!rc && sl_proto_next(&in, &f)) {
		if (f.number == 2 && f.len)
			rc = (span->message = text_of(span->doc, &f, err)) ? 0 : err->code;
		else if (f.number == 3 && f.wire == SL_PROTO_VARINT)
			span->status = f.value <= 2 ? (int64_t)f.value : 0;
	}
	return rc || !in.bad ? rc : sl_otlp_fail("a status is not protobuf", err);
}

/* True when the field is an id of that length. */
static bool take_id(const struct sl_proto_field *f, unsigned char *ret, size_t len)
{
	if (f->wire == SL_PROTO_BYTES && f->len == len)
		memcpy(ret, f->data, len);
	return f->wire == SL_PROTO_BYTES && f->len == len;
}

static int read_field(struct sl_otlp_span *span, const struct sl_proto_field *f, struct sl_error *err)
{
	yyjson_mut_val *name;
	switch (f->number) {
	case 1: span->has_trace = take_id(f, span->trace, sizeof span->trace); return 0;
	case 2: span->has_id = take_id(f, span->id, sizeof span->id); return 0;
	case 4:
		span->has_parent = take_id(f, span->parent, sizeof span->parent);
		return span->has_parent || !f->len ? 0 : sl_otlp_fail("a parent's id has not 8 bytes", err);
	case 5:
		name = text_of(span->doc, f, err);
		span->name = name ? yyjson_mut_get_str(name) : NULL;
		return name ? 0 : err->code;
	case 7: span->started_ns = f->wire == SL_PROTO_64 ? f->value : 0; return 0;
	case 8: span->ended_ns = f->wire == SL_PROTO_64 ? f->value : 0; return 0;
	case 9: return read_pair(span->doc, f, 0, &span->attributes, err);
	case 11: return read_event(span->doc, f, &span->events, err);
	case 13: return read_link(span->doc, f, &span->links, err);
	case 15: return read_status(span, f, err);
	default: return 0;
	}
}

static int read_span(struct sl_otlp_spans *spans, const struct sl_proto_field *field, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	struct sl_otlp_span span = {.doc = doc};
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	int rc = doc ? 0 : sl_fail_memory(err);
	while (!rc && sl_proto_next(&in, &f))
		rc = read_field(&span, &f, err);
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("a span is not protobuf", err);
	return sl_otlp_add(spans, &span, err);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static int read_scope(struct sl_otlp_spans *spans, const struct sl_proto_field *field, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	int rc = 0;
	while (!rc && sl_proto_next(&in, &f))
		if (f.number == 2 && f.wire == SL_PROTO_BYTES)
			rc = read_span(spans, &f, err);
	return rc || !in.bad ? rc : sl_otlp_fail("a scope is not protobuf", err);
}

static int read_resource(struct sl_otlp_spans *spans, const struct sl_proto_field *field, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	struct sl_proto in = sl_proto_of(field->data, field->len);
	struct sl_proto_field f;
	yyjson_mut_val *attributes = NULL;
	int rc = doc ? 0 : sl_fail_memory(err);
	while (!rc && sl_proto_next(&in, &f))
		if (f.number == 1)
			rc = read_pair(doc, &f, 0, &attributes, err);
	if (rc || in.bad)
		return rc ? rc : sl_otlp_fail("a resource is not protobuf", err);
	return sl_otlp_set_resource(spans, doc, attributes, err);
}

/* ResourceSpans: the resource may stand behind its spans. */
static int read_resource_spans(struct sl_otlp_spans *spans, const struct sl_proto_field *field, struct sl_error *err)
{
	struct sl_proto_field f;
	int rc = 0;
	spans->tag_count = 0;
	for (uint32_t wanted = 1; !rc && wanted <= 2; wanted++) {
		struct sl_proto in = sl_proto_of(field->data, field->len);
		while (!rc && sl_proto_next(&in, &f))
			if (f.number == wanted && f.wire == SL_PROTO_BYTES)
				rc = wanted == 1 ? read_resource(spans, &f, err) : read_scope(spans, &f, err);
		if (!rc && in.bad)
			rc = sl_otlp_fail("spans of a resource are not protobuf", err);
	}
	return rc;
}

int sl_otlp_read_proto(const void *data, size_t len, struct sl_arena *arena, struct sl_trace_span **ret, size_t *ret_count,
	struct sl_error *err)
{
	struct sl_error own = {0};
	struct sl_otlp_spans spans = {.arena = arena};
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field f;
	int rc = 0, resources = 0;
	while (!rc && sl_proto_next(&in, &f))
		if (f.number == 1 && f.wire == SL_PROTO_BYTES && ++resources)
			rc = read_resource_spans(&spans, &f, &own);
	if (!rc && (in.bad || !resources))
		rc = sl_otlp_fail(in.bad ? "it is not protobuf" : "no spans found", &own);
	if (rc && err)
		*err = own;
	*ret = spans.spans;
	*ret_count = rc ? 0 : spans.count;
	return rc;
}

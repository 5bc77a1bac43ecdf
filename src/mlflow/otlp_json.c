/* OTLP as JSON: protobuf's mapping, with either spelling of names, but for ids, which are hex
 * (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Unknown members are ignored. */
#include <string.h>

#include "base/base64.h"
#include "base/str.h"
#include "mlflow/otlp.h"

static yyjson_val *member(yyjson_val *object, const char *camel, const char *snake)
{
	yyjson_val *value = yyjson_obj_get(object, camel);
	value = value ? value : yyjson_obj_get(object, snake);
	return yyjson_is_null(value) ? NULL : value;
}

static yyjson_mut_val *copy_text(yyjson_mut_doc *doc, yyjson_val *text)
{
	return yyjson_mut_strncpy(doc, yyjson_is_str(text) ? yyjson_get_str(text) : "", yyjson_get_len(text));
}

/* Numbers of 64 bits may be written as texts. */
static bool integer_of(yyjson_val *value, int64_t *ret)
{
	if (yyjson_is_str(value))
		return sl_str_int(yyjson_get_str(value), ret);
	if (!yyjson_is_int(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) > INT64_MAX))
		return false;
	*ret = yyjson_get_sint(value);
	return true;
}

static int time_of(yyjson_val *value, uint64_t *ret, struct sl_error *err)
{
	int64_t ns = 0;
	if (value && (!integer_of(value, &ns) || ns < 0))
		return sl_otlp_fail("a time is not a number of nanoseconds", err);
	*ret = (uint64_t)ns;
	return 0;
}

/* Exactly `len` bytes in hex. */
static bool id_of(yyjson_val *value, unsigned char *ret, size_t len)
{
	const char *text = yyjson_get_str(value), *digit;
	static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
	if (!text || yyjson_get_len(value) != 2 * len)
		return false;
	memset(ret, 0, len);
	for (size_t i = 0; i < 2 * len; i++) {
		if (!text[i] || !(digit = strchr(DIGITS, text[i])))
			return false;
		ret[i / 2] = (unsigned char)(ret[i / 2] << 4 | ((digit - DIGITS) & 15));
	}
	return true;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

static int read_pairs(yyjson_mut_doc *doc, yyjson_val *list, int depth, yyjson_mut_val **ret, struct sl_error *err);
static int read_value(yyjson_mut_doc *doc, yyjson_val *value, int depth, yyjson_mut_val **ret, struct sl_error *err);

static int read_items(yyjson_mut_doc *doc, yyjson_val *list, int depth, yyjson_mut_val **ret, struct sl_error *err)
{
	yyjson_val *item;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	int rc = (*ret = yyjson_mut_arr(doc)) ? 0 : sl_fail_memory(err);
	while (!rc && (item = yyjson_arr_iter_next(&it))) {
		yyjson_mut_val *value;
		rc = read_value(doc, item, depth, &value, err);
		rc = rc ? rc : yyjson_mut_arr_append(*ret, value) ? 0 : sl_fail_memory(err);
	}
	return rc;
}

static int read_nested(yyjson_mut_doc *doc, yyjson_val *value, int depth, bool pairs, yyjson_mut_val **ret, struct sl_error *err)
{
	yyjson_mut_val *list, *holder = yyjson_mut_obj(doc);
	yyjson_val *values = yyjson_obj_get(value, "values");
	int rc = pairs ? read_pairs(doc, values, depth + 1, &list, err) : read_items(doc, values, depth + 1, &list, err);
	*ret = holder;
	return rc || (holder && yyjson_mut_obj_add_val(doc, holder, "values", list)) ? rc : sl_fail_memory(err);
}

static yyjson_mut_val *double_of(yyjson_mut_doc *doc, yyjson_val *value)
{
	double number;
	if (yyjson_is_num(value))
		return sl_otlp_double(doc, yyjson_get_num(value));
	return yyjson_is_str(value) && sl_str_double(yyjson_get_str(value), &number) ? sl_otlp_double(doc, number) : NULL;
}

static yyjson_mut_val *bytes_of(yyjson_mut_doc *doc, yyjson_val *value, struct sl_error *err)
{
	size_t len = yyjson_get_len(value);
	char *room = yyjson_is_str(value) ? sl_alloc(len + 1, err) : NULL;
	long n = room ? sl_base64_decode(yyjson_get_str(value), len, room, len) : -1;
	sl_free(room);
	return n < 0 ? NULL : yyjson_mut_strncpy(doc, yyjson_get_str(value), len);
}

enum { STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES, KIND_COUNT };
static const struct { const char *camel, *snake; } KINDS[KIND_COUNT] = {
	{"stringValue", "string_value"}, {"boolValue", "bool_value"}, {"intValue", "int_value"}, {"doubleValue", "double_value"},
	{"arrayValue", "array_value"}, {"kvlistValue", "kvlist_value"}, {"bytesValue", "bytes_value"}};

static int read_kind(yyjson_mut_doc *doc, int kind, yyjson_val *value, int depth, yyjson_mut_val **ret, struct sl_error *err)
{
	int64_t number;
	*ret = NULL;
	if (kind == ARRAY || kind == KVLIST)
		return read_nested(doc, value, depth, kind == KVLIST, ret, err);
	if (kind == STRING && yyjson_is_str(value))
		*ret = copy_text(doc, value);
	else if (kind == BOOL && yyjson_is_bool(value))
		*ret = yyjson_mut_bool(doc, yyjson_get_bool(value));
	else if (kind == INT && integer_of(value, &number))
		*ret = yyjson_mut_sint(doc, number);
	else if (kind == DOUBLE)
		*ret = double_of(doc, value);
	else if (kind == BYTES)
		*ret = bytes_of(doc, value, err);
	return *ret ? 0 : sl_otlp_fail("a value has another type than its name says", err);
}

static int read_value(yyjson_mut_doc *doc, yyjson_val *value, int depth, yyjson_mut_val **ret, struct sl_error *err)
{
	int rc = (*ret = yyjson_mut_obj(doc)) ? 0 : sl_fail_memory(err);
	if (depth > SL_OTLP_DEPTH_MAX)
		return sl_otlp_fail("values nest too deep", err);
	for (int kind = 0; !rc && kind < KIND_COUNT; kind++) {
		yyjson_val *one = member(value, KINDS[kind].camel, KINDS[kind].snake);
		yyjson_mut_val *copy;
		if (!one)
			continue;
		rc = read_kind(doc, kind, one, depth, &copy, err);
		if (!rc && !yyjson_mut_obj_add_val(doc, *ret, KINDS[kind].snake, copy))
			rc = sl_fail_memory(err);
		break;
	}
	return rc;
}

static int read_pairs(yyjson_mut_doc *doc, yyjson_val *list, int depth, yyjson_mut_val **ret, struct sl_error *err)
{
	yyjson_val *item;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	int rc = (*ret = yyjson_mut_arr(doc)) ? 0 : sl_fail_memory(err);
	if (yyjson_arr_size(list) > SL_OTLP_ATTRIBUTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d attributes", SL_OTLP_ATTRIBUTES_MAX);
	while (!rc && (item = yyjson_arr_iter_next(&it))) {
		yyjson_mut_val *value, *object = yyjson_mut_arr_add_obj(doc, *ret);
		rc = read_value(doc, yyjson_obj_get(item, "value"), depth, &value, err);
		if (!rc && (!object || !yyjson_mut_obj_add_val(doc, object, "key", copy_text(doc, yyjson_obj_get(item, "key"))) ||
				   !yyjson_mut_obj_add_val(doc, object, "value", value)))
			rc = sl_fail_memory(err);
	}
	return rc;
}

/* ---- spans ---------------------------------------------------------------------------------------------------------- */

static int add_attributes(yyjson_mut_doc *doc, yyjson_val *from, yyjson_mut_val *object, struct sl_error *err)
{
	yyjson_mut_val *attributes;
	int rc = read_pairs(doc, yyjson_obj_get(from, "attributes"), 0, &attributes, err);
	if (rc || !yyjson_mut_arr_size(attributes))
		return rc;
	return yyjson_mut_obj_add_val(doc, object, "attributes", attributes) ? 0 : sl_fail_memory(err);
}

static int read_event(yyjson_mut_doc *doc, yyjson_val *event, yyjson_mut_val *object, struct sl_error *err)
{
	uint64_t time_ns;
	int rc = time_of(member(event, "timeUnixNano", "time_unix_nano"), &time_ns, err);
	if (!rc && (!yyjson_mut_obj_add_val(doc, object, "name", copy_text(doc, yyjson_obj_get(event, "name"))) ||
			   !yyjson_mut_obj_add_uint(doc, object, "time_unix_nano", time_ns)))
		rc = sl_fail_memory(err);
	return rc ? rc : add_attributes(doc, event, object, err);
}

static int read_link(yyjson_mut_doc *doc, yyjson_val *link, yyjson_mut_val *object, struct sl_error *err)
{
	unsigned char trace[SL_OTLP_TRACE_BYTES], span[SL_OTLP_SPAN_BYTES];
	if (!id_of(member(link, "traceId", "trace_id"), trace, sizeof trace) || !id_of(member(link, "spanId", "span_id"), span, sizeof span))
		return sl_otlp_fail("a link has no ids", err);
	if (!yyjson_mut_obj_add_val(doc, object, "trace_id", sl_otlp_bytes(doc, trace, sizeof trace)) ||
		!yyjson_mut_obj_add_val(doc, object, "span_id", sl_otlp_bytes(doc, span, sizeof span)))
		return sl_fail_memory(err);
	return add_attributes(doc, link, object, err);
}

static int read_list(yyjson_mut_doc *doc, yyjson_val *list, yyjson_mut_val **ret,
	int (*one)(yyjson_mut_doc *, yyjson_val *, yyjson_mut_val *, struct sl_error *), struct sl_error *err)
{
	yyjson_val *item;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	int rc = (*ret = yyjson_mut_arr(doc)) ? 0 : sl_fail_memory(err);
	if (yyjson_arr_size(list) > SL_OTLP_ATTRIBUTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d events or links", SL_OTLP_ATTRIBUTES_MAX);
	while (!rc && (item = yyjson_arr_iter_next(&it))) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, *ret);
		rc = object ? one(doc, item, object, err) : sl_fail_memory(err);
	}
	return rc;
}

static int read_status(struct sl_otlp_span *span, yyjson_val *status, struct sl_error *err)
{
	yyjson_val *code = yyjson_obj_get(status, "code"), *message = yyjson_obj_get(status, "message");
	if (yyjson_equals_str(code, "STATUS_CODE_OK"))
		span->status = 1;
	else if (yyjson_equals_str(code, "STATUS_CODE_ERROR"))
		span->status = 2;
	else if (yyjson_is_uint(code) && yyjson_get_uint(code) <= 2)
		span->status = (int64_t)yyjson_get_uint(code);
	if (yyjson_get_len(message) && !(span->message = copy_text(span->doc, message)))
		return sl_fail_memory(err);
	return 0;
}

static int read_ids(struct sl_otlp_span *span, yyjson_val *said, struct sl_error *err)
{
	yyjson_val *parent = member(said, "parentSpanId", "parent_span_id");
	span->has_trace = id_of(member(said, "traceId", "trace_id"), span->trace, sizeof span->trace);
	span->has_id = id_of(member(said, "spanId", "span_id"), span->id, sizeof span->id);
	span->has_parent = id_of(parent, span->parent, sizeof span->parent);
	return span->has_parent || !yyjson_get_len(parent) ? 0 : sl_otlp_fail("a parent's id has not 8 bytes", err);
}

static int read_span(struct sl_otlp_spans *spans, yyjson_val *said, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	struct sl_otlp_span span = {.doc = doc, .name = sl_json_str(said, "name", NULL)};
	int rc = doc ? read_ids(&span, said, err) : sl_fail_memory(err);
	rc = rc ? rc : time_of(member(said, "startTimeUnixNano", "start_time_unix_nano"), &span.started_ns, err);
	rc = rc ? rc : time_of(member(said, "endTimeUnixNano", "end_time_unix_nano"), &span.ended_ns, err);
	rc = rc ? rc : read_pairs(doc, yyjson_obj_get(said, "attributes"), 0, &span.attributes, err);
	rc = rc ? rc : read_list(doc, yyjson_obj_get(said, "events"), &span.events, read_event, err);
	rc = rc ? rc : read_list(doc, yyjson_obj_get(said, "links"), &span.links, read_link, err);
	rc = rc ? rc : read_status(&span, yyjson_obj_get(said, "status"), err);
	return rc ? rc : sl_otlp_add(spans, &span, err);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static int read_resource(struct sl_otlp_spans *spans, yyjson_val *resource, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *attributes;
	int rc = doc ? read_pairs(doc, yyjson_obj_get(resource, "attributes"), 0, &attributes, err) : sl_fail_memory(err);
	return rc ? rc : sl_otlp_set_resource(spans, doc, attributes, err);
}

static int read_resource_spans(struct sl_otlp_spans *spans, yyjson_val *of, struct sl_error *err)
{
	yyjson_val *scope, *span;
	yyjson_arr_iter scopes = yyjson_arr_iter_with(member(of, "scopeSpans", "scope_spans"));
	int rc = read_resource(spans, yyjson_obj_get(of, "resource"), err);
	while (!rc && (scope = yyjson_arr_iter_next(&scopes))) {
		yyjson_arr_iter all = yyjson_arr_iter_with(yyjson_obj_get(scope, "spans"));
		while (!rc && (span = yyjson_arr_iter_next(&all)))
			rc = read_span(spans, span, err);
	}
	return rc;
}

int sl_otlp_read_json(const char *text, size_t len, struct sl_arena *arena, struct sl_trace_span **ret, size_t *ret_count,
	struct sl_error *err)
{
	struct sl_otlp_spans spans = {.arena = arena};
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, len, "request body", err);
	yyjson_val *list = doc ? member(yyjson_doc_get_root(doc), "resourceSpans", "resource_spans") : NULL, *item;
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	int rc = !doc ? SL_E_INVALID : yyjson_arr_size(list) ? 0 : sl_otlp_fail("no spans found", err);
	while (!rc && (item = yyjson_arr_iter_next(&it)))
		rc = read_resource_spans(&spans, item, err);
	*ret = spans.spans;
	*ret_count = rc ? 0 : spans.count;
	return rc;
}

/* A span as it is kept, from what either reader found. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "mlflow/otlp.h"

enum { ROOM_AT_FIRST = 16, CONTENT_BYTES_MAX = SL_OTLP_BYTES_MAX };
#define REQUEST_ID "mlflow.traceRequestId"
static const char TRACE_TAG[] = "mlflow.traceTag.";

int sl_otlp_fail(const char *what, struct sl_error *err) { return sl_fail(err, SL_E_INVALID, "Invalid OpenTelemetry format: %s", what); }

yyjson_mut_val *sl_otlp_bytes(yyjson_mut_doc *doc, const void *data, size_t len)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_OTLP_BYTES_MAX * 2);
	sl_base64_add(&text, data, len);
	return text.failed ? NULL : yyjson_mut_strncpy(doc, sl_buf_cstr(&text), text.len);
}

yyjson_mut_val *sl_otlp_double(yyjson_mut_doc *doc, double value)
{
	if (isfinite(value))
		return yyjson_mut_real(doc, value);
	return yyjson_mut_str(doc, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
}

/* ---- values as plain JSON -------------------------------------------------------------------------------------------- */

static yyjson_mut_val *plain(yyjson_mut_doc *doc, yyjson_mut_val *value);

static yyjson_mut_val *plain_list(yyjson_mut_doc *doc, yyjson_mut_val *values)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc), *item;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(values);
	while (list && (item = yyjson_mut_arr_iter_next(&it)))
		if (!yyjson_mut_arr_append(list, plain(doc, item)))
			return NULL;
	return list;
}

static yyjson_mut_val *plain_map(yyjson_mut_doc *doc, yyjson_mut_val *values)
{
	yyjson_mut_val *map = yyjson_mut_obj(doc), *item;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(values);
	while (map && (item = yyjson_mut_arr_iter_next(&it))) {
		yyjson_mut_val *key = yyjson_mut_obj_get(item, "key");
		yyjson_mut_val *name = yyjson_mut_strn(doc, yyjson_mut_get_str(key), yyjson_mut_get_len(key));
		if (!yyjson_mut_obj_put(map, name, plain(doc, yyjson_mut_obj_get(item, "value"))))
			return NULL;
	}
	return map;
}

/* {"string_value": "x"} as "x", and so on; without a value null. NULL: no memory. Nests as deep as the readers let it. */
static yyjson_mut_val *plain(yyjson_mut_doc *doc, yyjson_mut_val *value)
{
	yyjson_mut_val *inner;
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(value);
	yyjson_mut_val *key = yyjson_mut_obj_iter_next(&it);
	if (!key)
		return yyjson_mut_null(doc);
	inner = yyjson_mut_obj_iter_get_val(key);
	if (yyjson_mut_equals_str(key, "array_value"))
		return plain_list(doc, yyjson_mut_obj_get(inner, "values"));
	if (yyjson_mut_equals_str(key, "kvlist_value"))
		return plain_map(doc, yyjson_mut_obj_get(inner, "values"));
	return yyjson_mut_val_mut_copy(doc, inner);
}

/* In the arena; NULL: no memory. */
static const char *json_of(yyjson_mut_doc *doc, yyjson_mut_val *value, struct sl_arena *arena)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(CONTENT_BYTES_MAX);
	yyjson_mut_val *simple = plain(doc, value);
	if (!simple || sl_json_write(simple, false, &text, NULL))
		return NULL;
	return sl_arena_strdup(arena, sl_buf_cstr(&text));
}

/* A text as it is, anything else as JSON. */
static const char *text_of(yyjson_mut_doc *doc, yyjson_mut_val *value, struct sl_arena *arena)
{
	yyjson_mut_val *text = yyjson_mut_obj_get(value, "string_value");
	return text ? sl_arena_strdup(arena, yyjson_mut_get_str(text)) : json_of(doc, value, arena);
}

/* ---- what a trace learns -------------------------------------------------------------------------------------------- */

static int add_tag(struct sl_pair *tags, size_t *count, const char *name, yyjson_mut_doc *doc, yyjson_mut_val *value, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_pair *tag = &tags[*count];
	tag->name = sl_arena_strdup(arena, name);
	tag->value = text_of(doc, value, arena);
	++*count;
	return tag->name && tag->value ? 0 : sl_fail_memory(err);
}

int sl_otlp_set_resource(struct sl_otlp_spans *spans, yyjson_mut_doc *doc, yyjson_mut_val *attributes, struct sl_error *err)
{
	yyjson_mut_val *item;
	struct sl_pair *tags = sl_arena_array(spans->arena, yyjson_mut_arr_size(attributes) + 1, sizeof *tags);
	int rc = tags ? 0 : sl_fail_memory(err);
	spans->tags = tags;
	spans->tag_count = 0;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(attributes);
	while (!rc && (item = yyjson_mut_arr_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(item, "key"));
		if (strncmp(name, "telemetry.sdk.", 14) != 0 && strncmp(name, "mlflow.", 7) != 0)
			rc = add_tag(tags, &spans->tag_count, name, doc, yyjson_mut_obj_get(item, "value"), spans->arena, err);
	}
	return rc;
}

/* Those of the resource, then those that a root span carries. */
static int take_tags(const struct sl_otlp_spans *spans, const struct sl_otlp_span *span, struct sl_trace_span *ret, struct sl_error *err)
{
	yyjson_mut_val *item;
	ret->tags = spans->tags;
	ret->tag_count = spans->tag_count;
	if (span->has_parent)
		return 0;
	struct sl_pair *tags = sl_arena_array(spans->arena, spans->tag_count + yyjson_mut_arr_size(span->attributes) + 1, sizeof *tags);
	if (!tags)
		return sl_fail_memory(err);
	for (size_t i = 0; i < spans->tag_count; i++)
		tags[i] = spans->tags[i];
	ret->tags = tags;
	int rc = 0;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(span->attributes);
	while (!rc && (item = yyjson_mut_arr_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(item, "key"));
		if (strncmp(name, TRACE_TAG, sizeof TRACE_TAG - 1) == 0)
			rc = add_tag(tags, &ret->tag_count, name + sizeof TRACE_TAG - 1, span->doc, yyjson_mut_obj_get(item, "value"), spans->arena, err);
	}
	return rc;
}

/* One attribute; false: no memory. */
static bool take_attribute(const struct sl_otlp_span *span, const char *name, yyjson_mut_val *value, struct sl_arena *arena,
	struct sl_trace_span *ret)
{
	if (strcmp(name, "mlflow.spanType") == 0)
		return (ret->type = text_of(span->doc, value, arena));
	if (strcmp(name, "mlflow.spanInputs") == 0)
		return (ret->inputs = json_of(span->doc, value, arena));
	if (strcmp(name, "mlflow.spanOutputs") == 0)
		return (ret->outputs = json_of(span->doc, value, arena));
	if (strcmp(name, "session.id") == 0 || (!ret->session && strcmp(name, "gen_ai.conversation.id") == 0))
		return (ret->session = text_of(span->doc, value, arena));
	if (strcmp(name, "user.id") == 0)
		return (ret->user = text_of(span->doc, value, arena));
	return true;
}

static int take_attributes(const struct sl_otlp_span *span, struct sl_arena *arena, struct sl_trace_span *ret, struct sl_error *err)
{
	yyjson_mut_val *item;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(span->attributes);
	ret->type = "";
	while ((item = yyjson_mut_arr_iter_next(&it)))
		if (!take_attribute(span, yyjson_mut_get_str(yyjson_mut_obj_get(item, "key")), yyjson_mut_obj_get(item, "value"), arena, ret))
			return sl_fail_memory(err);
	return 0;
}

/* ---- the span itself ------------------------------------------------------------------------------------------------ */

static const char *hex_of(const unsigned char *bytes, size_t len, const char *before, struct sl_arena *arena)
{
	char text[2 * SL_OTLP_TRACE_BYTES + 1];
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return sl_arena_printf(arena, "%s%s", before, text);
}

/* Its attribute says what its trace id says. */
static bool set_request_id(struct sl_otlp_span *span, const char *trace)
{
	yyjson_mut_doc *doc = span->doc;
	yyjson_mut_val *item, *value = yyjson_mut_obj(doc);
	if (!span->attributes)
		span->attributes = yyjson_mut_arr(doc);
	if (!span->attributes || !value || !yyjson_mut_obj_add_str(doc, value, "string_value", trace))
		return false;
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(span->attributes);
	while ((item = yyjson_mut_arr_iter_next(&it)))
		if (yyjson_mut_equals_str(yyjson_mut_obj_get(item, "key"), REQUEST_ID))
			return yyjson_mut_obj_put(item, yyjson_mut_str(doc, "value"), value);
	item = yyjson_mut_arr_add_obj(doc, span->attributes);
	return item && yyjson_mut_obj_add_str(doc, item, "key", REQUEST_ID) && yyjson_mut_obj_add_val(doc, item, "value", value);
}

static bool add_status(const struct sl_otlp_span *span, yyjson_mut_val *object)
{
	yyjson_mut_doc *doc = span->doc;
	yyjson_mut_val *status = yyjson_mut_obj(doc);
	bool good = status && yyjson_mut_obj_add_val(doc, object, "status", status);
	if (good && span->status)
		good = yyjson_mut_obj_add_str(doc, status, "code", span->status == 1 ? "STATUS_CODE_OK" : "STATUS_CODE_ERROR");
	return good && (!span->message || yyjson_mut_obj_add_val(doc, status, "message", span->message));
}

static bool add_list(const struct sl_otlp_span *span, yyjson_mut_val *object, const char *name, yyjson_mut_val *list)
{
	return !list || !yyjson_mut_arr_size(list) || yyjson_mut_obj_add_val(span->doc, object, name, list);
}

static bool build(const struct sl_otlp_span *span, yyjson_mut_val *object)
{
	yyjson_mut_doc *doc = span->doc;
	return yyjson_mut_obj_add_val(doc, object, "trace_id", sl_otlp_bytes(doc, span->trace, sizeof span->trace)) &&
		yyjson_mut_obj_add_val(doc, object, "span_id", sl_otlp_bytes(doc, span->id, sizeof span->id)) &&
		(!span->has_parent || yyjson_mut_obj_add_val(doc, object, "parent_span_id",
			sl_otlp_bytes(doc, span->parent, sizeof span->parent))) &&
		yyjson_mut_obj_add_str(doc, object, "name", span->name ? span->name : "") &&
		yyjson_mut_obj_add_uint(doc, object, "start_time_unix_nano", span->started_ns) &&
		(!span->ended_ns || yyjson_mut_obj_add_uint(doc, object, "end_time_unix_nano", span->ended_ns)) &&
		add_list(span, object, "attributes", span->attributes) && add_list(span, object, "events", span->events) &&
		add_list(span, object, "links", span->links) && add_status(span, object);
}

static int write_content(struct sl_otlp_span *span, struct sl_arena *arena, struct sl_trace_span *ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(CONTENT_BYTES_MAX);
	yyjson_mut_val *object = yyjson_mut_obj(span->doc);
	if (!object || !set_request_id(span, ret->trace) || !build(span, object))
		return sl_fail_memory(err);
	int rc = sl_json_write(object, false, &text, err);
	rc = rc ? rc : sl_buf_check(&text, "a span", err);
	if (rc)
		return rc;
	ret->content = sl_arena_strdup(arena, sl_buf_cstr(&text));
	return ret->content ? 0 : sl_fail(err, SL_E_TOO_LARGE, "the spans of one request are more than fits in memory at once");
}

static int next_place(struct sl_otlp_spans *spans, struct sl_trace_span **ret, struct sl_error *err)
{
	if (spans->count == SL_OTLP_SPANS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d spans in one request", SL_OTLP_SPANS_MAX);
	if (spans->count == spans->room) {
		size_t room = spans->room ? spans->room * 2 : ROOM_AT_FIRST;
		struct sl_trace_span *more = sl_arena_array(spans->arena, room, sizeof *more);
		if (!more)
			return sl_fail_memory(err);
		if (spans->count)
			memcpy(more, spans->spans, spans->count * sizeof *more);
		spans->spans = more;
		spans->room = room;
	}
	*ret = &spans->spans[spans->count++];
	return 0;
}

int sl_otlp_add(struct sl_otlp_spans *spans, struct sl_otlp_span *span, struct sl_error *err)
{
	static const char *const STATUSES[] = {"UNSET", "OK", "ERROR"};
	struct sl_trace_span *ret = NULL;
	struct sl_arena *arena = spans->arena;
	if (!span->has_trace || !span->has_id)
		return sl_otlp_fail("a span has no ids of 16 and 8 bytes", err);
	if (span->started_ns > INT64_MAX || span->ended_ns > INT64_MAX)
		return sl_otlp_fail("a span's time is beyond the year 2262", err);
	int rc = next_place(spans, &ret, err);
	if (rc)
		return rc;
	*ret = (struct sl_trace_span){.trace = hex_of(span->trace, sizeof span->trace, "tr-", arena),
		.id = hex_of(span->id, sizeof span->id, "", arena), .name = sl_arena_strdup(arena, span->name ? span->name : ""),
		.parent = span->has_parent ? hex_of(span->parent, sizeof span->parent, "", arena) : "",
		.status = STATUSES[span->status >= 0 && span->status <= 2 ? span->status : 0],
		.started_ns = (int64_t)span->started_ns, .ended_ns = (int64_t)span->ended_ns};
	if (!ret->trace || !ret->id || !ret->name || !ret->parent)
		return sl_fail_memory(err);
	rc = take_attributes(span, arena, ret, err);
	rc = rc ? rc : take_tags(spans, span, ret, err);
	return rc ? rc : write_content(span, arena, ret, err);
}

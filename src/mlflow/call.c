#include "mlflow/call.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static const char SEE[] = " See the API docs for more information about request parameters.";

/* ---- reading the request -------------------------------------------------------------------------------------------- */

static int check_content_type(struct sl_ml_call *call, struct sl_error *err)
{
	static const char JSON[] = "application/json";
	const char *type = sl_http_request_header(call->request, "content-type");
	size_t len = type ? strcspn(type, "; ") : 0;
	if (type && len == sizeof JSON - 1 && strncasecmp(type, JSON, len) == 0)
		return 0;
	call->error_code = "BAD_REQUEST";
	return sl_fail(err, SL_E_INVALID, type ? "Bad Request. Content-Type must be one of ['application/json']."
					       : "Bad Request. Content-Type header is missing.");
}

/* Old clients send their JSON as a JSON string. */
static int unwrap(struct sl_ml_call *call, struct sl_error *err)
{
	yyjson_val *root = yyjson_doc_get_root(call->doc);
	if (yyjson_is_str(root)) {
		char *inner = sl_arena_strndup(call->arena, yyjson_get_str(root), yyjson_get_len(root));
		if (!inner)
			return sl_fail_memory(err);
		yyjson_doc_free(call->doc);
		call->doc = sl_json_parse(inner, strlen(inner), "request body", err);
		root = call->doc ? yyjson_doc_get_root(call->doc) : NULL;
		if (!root)
			return err ? err->code : SL_E_INVALID;
	}
	if (!yyjson_is_obj(root) && !yyjson_is_null(root))
		return sl_fail(err, SL_E_INVALID, "the request's body is not a JSON object");
	call->body = yyjson_is_obj(root) ? root : NULL;
	return 0;
}

int sl_ml_call_read(struct sl_ml_call *call, struct sl_error *err)
{
	const struct sl_http_request *request = call->request;
	if (request->method == SL_HTTP_GET || request->method == SL_HTTP_HEAD)
		return sl_http_params(request->query, call->arena, &call->params, &call->param_count, err);
	if (request->body_len == 0)
		return 0;
	int rc = check_content_type(call, err);
	if (rc)
		return rc;
	call->doc = sl_json_parse(request->body, request->body_len, "request body", err);
	return call->doc ? unwrap(call, err) : err ? err->code : SL_E_INVALID;
}

void sl_ml_call_done(struct sl_ml_call *call)
{
	yyjson_doc_free(call->doc);
	sl_buf_done(&call->out);
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

static const char *param(const struct sl_ml_call *call, const char *name)
{
	for (size_t i = 0; i < call->param_count; i++)
		if (strcmp(call->params[i].name, name) == 0)
			return call->params[i].value;
	return NULL;
}

static yyjson_val *member(const struct sl_ml_call *call, const char *name)
{
	yyjson_val *value = call->body ? yyjson_obj_get(call->body, name) : NULL;
	return yyjson_is_null(value) ? NULL : value;
}

bool sl_ml_has(const struct sl_ml_call *call, const char *name) { return param(call, name) || member(call, name); }

static const char *type_name(yyjson_val *value)
{
	switch (yyjson_get_type(value)) {
	case YYJSON_TYPE_STR: return "str";
	case YYJSON_TYPE_NUM: return yyjson_is_real(value) ? "float" : "int";
	case YYJSON_TYPE_BOOL: return "bool";
	case YYJSON_TYPE_ARR: return "list";
	case YYJSON_TYPE_OBJ: return "dict";
	default: return "NoneType";
	}
}

static int fail_type(const char *name, yyjson_val *value, struct sl_error *err)
{
	char *text = yyjson_val_write(value, 0, NULL);
	int rc = sl_fail(err, SL_E_INVALID, "Invalid value %.300s for parameter '%s' supplied:  Hint: Value was of type '%s'.%s",
		text ? text : "", name, type_name(value), SEE);
	free(text);
	return rc;
}

int sl_ml_missing(const char *name, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "Missing value for required parameter '%s'.%s", name, SEE);
}

int sl_ml_text(struct sl_ml_call *call, const char *name, const char **ret, struct sl_error *err)
{
	yyjson_val *value = member(call, name);
	const char *text = param(call, name);
	if (value && !yyjson_is_str(value))
		return fail_type(name, value, err);
	if (value && strlen(yyjson_get_str(value)) != yyjson_get_len(value))
		return sl_fail(err, SL_E_INVALID, "parameter '%s' has a NUL in it", name);
	text = value ? yyjson_get_str(value) : text;
	*ret = text && *text ? text : NULL;
	return 0;
}

int sl_ml_need(struct sl_ml_call *call, const char *name, const char **ret, struct sl_error *err)
{
	int rc = sl_ml_text(call, name, ret, err);
	return rc || *ret ? rc : sl_ml_missing(name, err);
}

int sl_ml_need_run(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	int rc = sl_ml_text(call, "run_id", ret, err);
	if (!rc && !*ret)
		rc = sl_ml_text(call, "run_uuid", ret, err);
	return rc || *ret ? rc : sl_ml_missing("run_id", err);
}

/* "12", "12.0": what protobuf takes for an integer. */
static bool text_to_int(const char *text, int64_t *ret)
{
	double number;
	if (sl_str_int(text, ret))
		return true;
	if (!sl_str_double(text, &number) || number != floor(number) || fabs(number) > 9e18)
		return false;
	*ret = (int64_t)number;
	return true;
}

static bool to_int(yyjson_val *value, int64_t *ret)
{
	if (yyjson_is_str(value))
		return text_to_int(yyjson_get_str(value), ret);
	if (yyjson_is_int(value)) {
		if (yyjson_is_uint(value) && yyjson_get_uint(value) > INT64_MAX)
			return false;
		*ret = yyjson_get_sint(value);
		return true;
	}
	if (!yyjson_is_real(value) || yyjson_get_real(value) != floor(yyjson_get_real(value)) || fabs(yyjson_get_real(value)) > 9e18)
		return false;
	*ret = (int64_t)yyjson_get_real(value);
	return true;
}

int sl_ml_int(struct sl_ml_call *call, const char *name, int64_t fallback, int64_t *ret, struct sl_error *err)
{
	yyjson_val *value = member(call, name);
	const char *text = param(call, name);
	*ret = fallback;
	if (!value && !text)
		return 0;
	if (value ? to_int(value, ret) : text_to_int(text, ret))
		return 1;
	if (value)
		return fail_type(name, value, err);
	return sl_fail(err, SL_E_INVALID, "Invalid value \"%.100s\" for parameter '%s' supplied:  Hint: Value was of type 'str'.%s", text,
		name, SEE);
}

int sl_ml_bool(struct sl_ml_call *call, const char *name, bool fallback, bool *ret, struct sl_error *err)
{
	yyjson_val *value = member(call, name);
	const char *text = yyjson_is_str(value) ? yyjson_get_str(value) : param(call, name);
	*ret = fallback;
	if (yyjson_is_bool(value))
		*ret = yyjson_get_bool(value);
	else if (text && (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
		*ret = strcasecmp(text, "true") == 0;
	else if (text)
		return sl_fail(err, SL_E_INVALID, "Invalid boolean value: %.100s, must be 'true' or 'false'.", text);
	else if (value)
		return fail_type(name, value, err);
	return 0;
}

static int texts_of_params(struct sl_ml_call *call, const char *name, const char **texts, size_t *count)
{
	for (size_t i = 0; i < call->param_count; i++)
		if (strcmp(call->params[i].name, name) == 0)
			texts[(*count)++] = call->params[i].value;
	return 0;
}

int sl_ml_texts(struct sl_ml_call *call, const char *name, const char ***ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list = member(call, name), *item;
	if (list && !yyjson_is_arr(list))
		return fail_type(name, list, err);
	const char **texts = sl_arena_array(call->arena, yyjson_arr_size(list) + call->param_count + 1, sizeof *texts);
	if (!texts)
		return sl_fail_memory(err);
	*ret = texts;
	*ret_count = 0;
	if (!list)
		return texts_of_params(call, name, texts, ret_count);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it))) {
		if (!yyjson_is_str(item))
			return fail_type(name, list, err);
		texts[(*ret_count)++] = yyjson_get_str(item);
	}
	return 0;
}

int sl_ml_list(struct sl_ml_call *call, const char *name, yyjson_val **ret, struct sl_error *err)
{
	yyjson_val *list = member(call, name), *item;
	*ret = list;
	if (!list)
		return 0;
	if (!yyjson_is_arr(list))
		return fail_type(name, list, err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it)))
		if (!yyjson_is_obj(item))
			return fail_type(name, list, err);
	return 0;
}

int sl_ml_pairs(struct sl_ml_call *call, const char *name, struct sl_pair **ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list, *item;
	*ret = NULL;
	*ret_count = 0;
	int rc = sl_ml_list(call, name, &list, err);
	if (rc || !list)
		return rc;
	struct sl_pair *pairs = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *pairs);
	if (!pairs)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it))) {
		char path[64];
		struct sl_pair *pair = &pairs[*ret_count];
		pair->name = sl_ml_member_text(item, "key", call->arena);
		pair->value = sl_ml_member_text(item, "value", call->arena);
		snprintf(path, sizeof path, "%.40s[%zu].key", name, *ret_count);
		if (!pair->name || !*pair->name)
			return sl_ml_missing(path, err);
		if (!pair->value)
			pair->value = "";
		++*ret_count;
	}
	*ret = pairs;
	return 0;
}

/* ---- members of objects in lists ------------------------------------------------------------------------------------ */

static int fail_member(const char *path, const char *name, yyjson_val *value, struct sl_error *err)
{
	char full[80];
	snprintf(full, sizeof full, "%s.%s", path, name);
	return fail_type(full, value, err);
}

int sl_ml_member_int(yyjson_val *object, const char *path, const char *name, int64_t fallback, int64_t *ret, struct sl_error *err)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	*ret = fallback;
	if (!value || yyjson_is_null(value))
		return 0;
	return to_int(value, ret) ? 1 : fail_member(path, name, value, err);
}

int sl_ml_member_double(yyjson_val *object, const char *path, const char *name, double *ret, struct sl_error *err)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	if (!value || yyjson_is_null(value))
		return 0;
	if (yyjson_is_num(value)) {
		*ret = yyjson_get_num(value);
		return 1;
	}
	const char *text = yyjson_get_str(value);
	if (!text)
		return fail_member(path, name, value, err);
	if (strcasecmp(text, "infinity") == 0 || strcasecmp(text, "inf") == 0)
		*ret = (double)INFINITY;
	else if (strcasecmp(text, "-infinity") == 0 || strcasecmp(text, "-inf") == 0)
		*ret = (double)-INFINITY;
	else if (strcasecmp(text, "nan") == 0)
		*ret = (double)NAN;
	else if (!sl_str_double(text, ret))
		return fail_member(path, name, value, err);
	return 1;
}

const char *sl_ml_member_text(yyjson_val *object, const char *name, struct sl_arena *arena)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	if (yyjson_is_str(value))
		return yyjson_get_str(value);
	if (!yyjson_is_num(value) && !yyjson_is_bool(value))
		return NULL;
	char *text = yyjson_val_write(value, 0, NULL), *copy = text ? sl_arena_strdup(arena, text) : NULL;
	free(text);
	return copy;
}

struct sl_change sl_ml_change(const struct sl_ml_call *call, const char *action)
{
	return (struct sl_change){action, call->request->body, call->request->body_len};
}

/* ---- answers -------------------------------------------------------------------------------------------------------- */

void sl_ml_comma(struct sl_buf *out)
{
	char last = out->len ? out->data[out->len - 1] : '{';
	if (last != '{' && last != '[')
		sl_buf_char(out, ',');
}

static void put_name(struct sl_buf *out, const char *name)
{
	sl_ml_comma(out);
	sl_buf_char(out, '"');
	sl_buf_str(out, name);
	sl_buf_add(out, "\":", 2);
}

void sl_ml_put_text(struct sl_buf *out, const char *name, const char *value)
{
	put_name(out, name);
	sl_json_string(out, value, strlen(value));
}

/* Five times as fast as printf, which was a quarter of a history. */
void sl_ml_add_int(struct sl_buf *out, int64_t value)
{
	char text[24], *at = text + sizeof text;
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		*--at = '-';
	sl_buf_add(out, at, (size_t)(text + sizeof text - at));
}

void sl_ml_put_int(struct sl_buf *out, const char *name, int64_t value)
{
	put_name(out, name);
	sl_ml_add_int(out, value);
}

void sl_ml_put_double(struct sl_buf *out, const char *name, double value)
{
	put_name(out, name);
	sl_json_double(out, value);
}

void sl_ml_put_bool(struct sl_buf *out, const char *name, bool value)
{
	put_name(out, name);
	sl_buf_str(out, value ? "true" : "false");
}

void sl_ml_open(struct sl_buf *out, const char *name, char bracket)
{
	put_name(out, name);
	sl_buf_char(out, bracket);
}

/* ---- errors --------------------------------------------------------------------------------------------------------- */

/* mlflow/protos/databricks.proto has the codes, mlflow/error_classification.py the other two members. */
static const struct kind {
	int code, status;
	const char *error_code, *state, *class;
} KINDS[] = {
	{SL_E_INVALID, 400, "INVALID_PARAMETER_VALUE", "KAM00", "INVALID_PARAMETER_VALUE"},
	{SL_E_NOT_FOUND, 404, "RESOURCE_DOES_NOT_EXIST", "KAM00", "RESOURCE_NOT_FOUND"},
	{SL_E_CONFLICT, 400, "RESOURCE_ALREADY_EXISTS", "KAM00", "RESOURCE_ALREADY_EXISTS"},
	{SL_E_DENIED, 403, "PERMISSION_DENIED", "KAM00", "PERMISSION_DENIED"},
	{SL_E_FAILED, 400, "INVALID_PARAMETER_VALUE", "KAM00", "INVALID_PARAMETER_VALUE"},
	{SL_E_TOO_LARGE, 413, "INVALID_PARAMETER_VALUE", "KAM00", "INVALID_PARAMETER_VALUE"},
	{SL_E_BUSY, 503, "TEMPORARILY_UNAVAILABLE", "XXM00", "CLIENT_INTERNAL_ERROR"},
	{SL_E_NO_MEMORY, 503, "TEMPORARILY_UNAVAILABLE", "XXM00", "CLIENT_INTERNAL_ERROR"},
	{SL_E_TIMEOUT, 504, "DEADLINE_EXCEEDED", NULL, NULL},
	{SL_E_NO_SPACE, 507, "RESOURCE_EXHAUSTED", NULL, NULL},
	{SL_E_NO_LIBRARY, 501, "NOT_IMPLEMENTED", NULL, NULL},
	{0, 500, "INTERNAL_ERROR", "XXM00", "CLIENT_INTERNAL_ERROR"},
};

int sl_ml_error_body(const struct sl_error *error, const char *code, struct sl_buf *out)
{
	const struct kind *kind = KINDS;
	while (kind->code && kind->code != error->code)
		kind++;
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "error_code", code ? code : kind->error_code);
	sl_ml_put_text(out, "message", error->message);
	if (kind->state) {
		sl_ml_put_text(out, "sqlstate", kind->state);
		sl_ml_put_text(out, "error_class", kind->class);
	}
	sl_buf_char(out, '}');
	return kind->status;
}

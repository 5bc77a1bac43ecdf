#include "api/dispatch.h"

#include <string.h>

#include "base/str.h"

/* A reference may hold slashes (a file's path): at the end of a route it takes the rest of the path. */
static size_t capture_length(const struct sl_op *op, const char *name, const char *rest, const char *path)
{
	const struct sl_op_arg *arg = name ? sl_op_arg_find(op, name) : NULL;
	return !*rest && arg && arg->type == SL_ARG_REF ? strlen(path) : strcspn(path, "/");
}

/* Matches one route; false leaves garbage in captures. */
static bool match_path(const struct sl_op *op, const char *path, struct sl_arena *arena, struct sl_api_match *match)
{
	const char *route = op->path;
	match->capture_count = 0;
	while (*route && *path) {
		if (*route != '{') {
			if (*route++ != *path++)
				return false;
			continue;
		}
		size_t name_len = strcspn(route + 1, "}");
		const char *rest = route + 1 + name_len + 1, *name = sl_arena_strndup(arena, route + 1, name_len);
		size_t len = capture_length(op, name, rest, path);
		if (!len || match->capture_count == SL_API_CAPTURES_MAX)
			return false;
		match->captures[match->capture_count].name = name;
		match->captures[match->capture_count].value = sl_arena_strndup(arena, path, len);
		match->capture_count++;
		route = rest;
		path += len;
	}
	return !*route && !*path;
}

int sl_api_route(
	enum sl_http_method method, const char *path, struct sl_arena *arena, struct sl_api_match *ret, struct sl_error *err)
{
	const char *name = sl_http_method_name(method == SL_HTTP_HEAD ? SL_HTTP_GET : method), *other = NULL;
	for (size_t i = 0; i < sl_op_count; i++) {
		if (!*sl_ops[i].path || !match_path(&sl_ops[i], path, arena, ret))
			continue;
		ret->op = &sl_ops[i];
		if (sl_str_eq(sl_ops[i].method, name))
			return 0;
		other = sl_ops[i].method;
	}
	if (other)
		return sl_fail(err, SL_E_INVALID, "%s takes %s, not %s", path, other, name);
	sl_fail(err, SL_E_NOT_FOUND, "there is nothing at %.200s", path);
	return sl_error_hint(err, "GET /api/v1/openapi.json lists every route");
}

static int set_named(struct sl_call *call, const char *name, const char *value, struct sl_error *err)
{
	const struct sl_op_arg *arg = sl_op_arg_find(call->op, name);
	if (!arg)
		return sl_fail(err, SL_E_INVALID, "%s has no argument '%.80s'", call->op->name, name);
	return sl_call_set(call, arg, value, err);
}

static int set_query(struct sl_call *call, const char *query, struct sl_error *err)
{
	struct sl_http_param *params;
	size_t count;
	int rc = sl_http_params(query, call->arena, &params, &count, err);
	for (size_t i = 0; i < count && !rc; i++)
		rc = set_named(call, params[i].name, params[i].value, err);
	return rc;
}

static int set_body(struct sl_call *call, const char *body, size_t body_len, struct sl_error *err)
{
	if (!body_len)
		return 0;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(body, body_len, "request body", err);
	return doc ? sl_call_set_json(call, yyjson_doc_get_root(doc), err) : err->code;
}

int sl_api_arguments(struct sl_call *call, const struct sl_api_match *match, const char *query, const char *body, size_t body_len,
	struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < match->capture_count && !rc; i++)
		rc = set_named(call, match->captures[i].name, match->captures[i].value, err);
	if (!rc && sl_str_eq(call->op->method, "GET"))
		rc = set_query(call, query, err);
	else if (!rc && *query)
		rc = sl_fail(err, SL_E_INVALID, "arguments of a POST stand in its body");
	else if (!rc)
		rc = set_body(call, body, body_len, err);
	return rc ? rc : sl_call_check(call, err);
}

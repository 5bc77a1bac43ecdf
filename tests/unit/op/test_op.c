/* The operation table: every spec has a handler (the link proves it) and every handler a spec; routes are sound; arguments are
 * typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "op/op.h"

static int look_for_handlers(const char *path, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	int rc = sl_file_read(path, &text, err);
	for (const char *at = sl_buf_cstr(&text); !rc && (at = strstr(at, "\nint sl_op_"));) {
		char name[64];
		at += strlen("\nint sl_op_");
		size_t len = strcspn(at, "(");
		snprintf(name, sizeof name, "%.*s", (int)len, at);
		if (len < sizeof name && strstr(at, "(struct sl_call *call, struct sl_error *err)") == at + len &&
			!sl_op_find(name))
			return sl_fail(err, SL_E_FAILED, "%s: sl_op_%s has no spec/op/%s.json", path, name, name);
	}
	return rc;
}

static int visit(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
	return info->is_regular && sl_str_ends(name, ".c") ? look_for_handlers(path, err) : 0;
}

static void test_every_handler_has_a_spec(void **state)
{
	static const char *const dirs[] = {SLUICE_SOURCE_DIR "/src/op", SLUICE_SOURCE_DIR "/src/app"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(dirs); i++) {
		struct sl_error err = {0};
		char *dir = sl_strdup(dirs[i], NULL);
		if (sl_dir_each(dir, visit, dir, &err))
			fail_msg("%s", err.message);
		sl_free(dir);
	}
}

static void test_every_spec_is_in_the_table(void **state)
{
	(void)state;
	assert_true(sl_op_count > 0);
	for (size_t i = 0; i < sl_op_count; i++) {
		char path[SL_PATH_MAX];
		snprintf(path, sizeof path, "%s/spec/op/%s.json", SLUICE_SOURCE_DIR, sl_ops[i].name);
		assert_true(sl_file_exists(path));
		assert_non_null(sl_ops[i].handler);
		assert_true(sl_ops[i].arg_count <= SL_ARGS_MAX);
	}
}

/* Deny is the default: what has a route has a permission, and only reading goes by GET. */
static void test_routes_and_permissions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sl_op_count; i++) {
		const struct sl_op *op = &sl_ops[i];
		assert_int_equal(*op->path != 0, op->permission != SL_PERMIT_NONE);
		if (*op->path)
			assert_int_equal(strcmp(op->method, "GET") == 0, op->permission == SL_PERMIT_VIEW);
		for (size_t k = 0; k < i; k++)
			assert_false(*op->path && sl_str_eq(op->path, sl_ops[k].path) && sl_str_eq(op->method, sl_ops[k].method));
	}
}

static void test_letters_are_not_taken_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < sl_op_count; i++)
		for (size_t a = 0; a < sl_ops[i].arg_count; a++)
			for (size_t b = 0; b < a; b++) {
				const struct sl_op_arg *x = &sl_ops[i].args[a], *y = &sl_ops[i].args[b];
				assert_false(x->letter && x->letter == y->letter);
				assert_string_not_equal(x->name, y->name);
				assert_true(x->letter != 'h' && x->letter != 'C');
			}
}

static int echo(struct sl_call *call, struct sl_error *err)
{
	(void)err;
	call->result = yyjson_mut_obj(call->doc);
	return 0;
}

static const char *const COLOURS[] = {"red", "green", NULL};
static const struct sl_op_arg ARGS[] = {
	{.name = "colour",
		.type = SL_ARG_CHOICE,
		.position = 1,
		.required = true,
		.choices = COLOURS,
		.metavar = "COLOUR",
		.doc = "x"},
	{.name = "limit",
		.type = SL_ARG_INT,
		.fallback = "20",
		.has_min = true,
		.min = 1,
		.has_max = true,
		.max = 100,
		.metavar = "N",
		.doc = "x"},
	{.name = "names", .type = SL_ARG_NAME, .rest = true, .metavar = "NAME", .doc = "x"},
	{.name = "since", .type = SL_ARG_TIME, .metavar = "T", .doc = "x"},
	{.name = "deep", .type = SL_ARG_FLAG, .metavar = "X", .doc = "x"},
};
static const struct sl_op OP = {.name = "paint", .noun = "x", .args = ARGS, .arg_count = SL_ARRAY_LEN(ARGS), .handler = echo};

static int from_json(struct sl_call *call, const char *text, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "test", err);
	assert_non_null(doc);
	assert_int_equal(0, sl_call_begin(call, &OP, "/", err));
	int rc = sl_call_set_json(call, yyjson_doc_get_root(doc), err);
	return rc ? rc : sl_call_check(call, err);
}

static void test_arguments_are_typed(void **state)
{
	struct sl_call call;
	struct sl_error err = {0};
	size_t count;
	(void)state;
	assert_int_equal(
		0, from_json(&call, "{\"colour\":\"red\",\"names\":[\"a\",\"b\"],\"since\":\"2001-03-01\",\"deep\":true}", &err));
	assert_string_equal("red", sl_call_text(&call, "colour"));
	assert_int_equal(20, sl_call_int(&call, "limit"));
	assert_false(sl_call_given(&call, "limit"));
	assert_string_equal("b", sl_call_list(&call, "names", &count)[1]);
	assert_int_equal(2, count);
	assert_int_equal(983404800000, sl_call_int(&call, "since"));
	assert_true(sl_call_flag(&call, "deep"));
	assert_int_equal(0, sl_call_run(&call, &err));
	sl_call_done(&call);
}

static void test_wrong_arguments_are_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"{}", "paint needs COLOUR"},
		{"{\"colour\":\"gren\"}", "'gren' is not a choice for 'colour'"},
		{"{\"colour\":\"red\",\"limit\":0}", "'limit' must be at least 1"},
		{"{\"colour\":\"red\",\"limit\":101}", "'limit' must be at most 100"},
		{"{\"colour\":\"red\",\"limit\":1.5}", "'1.5' is not a whole number for 'limit'"},
		{"{\"colour\":\"red\",\"limt\":1}", "paint has no argument 'limt'"},
		{"{\"colour\":[\"red\"]}", "'colour' takes a plain value"},
		{"{\"colour\":\"red\",\"names\":[[]]}", "'names' takes a list of plain values"},
		{"{\"colour\":\"red\",\"names\":[\"../x\"]}", "'../x' is not a name for 'names'"},
		{"{\"colour\":\"red\",\"deep\":\"maybe\"}", "'maybe' is not 'true' or 'false' for 'deep'"},
		{"[]", "the request body must be a JSON object"},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		struct sl_call call;
		struct sl_error err = {0};
		assert_int_equal(SL_E_INVALID, from_json(&call, wrong[i][0], &err));
		assert_string_equal(wrong[i][1], err.message);
		sl_call_done(&call);
	}
}

static void test_openapi_names_every_route(void **state)
{
	struct sl_error err = {0};
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_op_openapi, strlen(sl_op_openapi), "openapi", &err);
	(void)state;
	assert_non_null(doc);
	yyjson_val *paths = yyjson_obj_get(yyjson_doc_get_root(doc), "paths");
	for (size_t i = 0; i < sl_op_count; i++) {
		if (!*sl_ops[i].path)
			continue;
		yyjson_val *operation =
			yyjson_obj_get(yyjson_obj_get(paths, sl_ops[i].path), strcmp(sl_ops[i].method, "GET") ? "post" : "get");
		assert_string_equal(sl_ops[i].name, sl_json_str(operation, "operationId", ""));
		assert_string_equal(sl_permission_name(sl_ops[i].permission), sl_json_str(operation, "x-permission", ""));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_handler_has_a_spec),
		cmocka_unit_test(test_every_spec_is_in_the_table),
		cmocka_unit_test(test_routes_and_permissions),
		cmocka_unit_test(test_letters_are_not_taken_twice),
		cmocka_unit_test(test_arguments_are_typed),
		cmocka_unit_test(test_wrong_arguments_are_refused),
		cmocka_unit_test(test_openapi_names_every_route),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

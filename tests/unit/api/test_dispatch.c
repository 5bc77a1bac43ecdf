/* Routes and arguments; who may ask is op/access, tested beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/dispatch.h"
#include "base/str.h"

static void test_routes_match(void **state)
{
	struct sl_arena *arena = sl_arena_new(1 << 20, NULL);
	struct sl_api_match match;
	struct sl_error err = {0};
	(void)state;
	assert_int_equal(0, sl_api_route(SL_HTTP_GET, "/api/v1/ls/runs", arena, &match, &err));
	assert_string_equal("ls", match.op->name);
	assert_int_equal(1, match.capture_count);
	assert_string_equal("kind", match.captures[0].name);
	assert_string_equal("runs", match.captures[0].value);
	assert_int_equal(0, sl_api_route(SL_HTTP_HEAD, "/api/v1/version", arena, &match, &err));
	assert_int_equal(SL_E_INVALID, sl_api_route(SL_HTTP_POST, "/api/v1/version", arena, &match, &err));
	assert_int_equal(SL_E_INVALID, sl_api_route(SL_HTTP_DELETE, "/api/v1/ls/runs", arena, &match, &err));
	assert_int_equal(SL_E_NOT_FOUND, sl_api_route(SL_HTTP_GET, "/api/v1/ls/", arena, &match, &err));
	assert_int_equal(SL_E_NOT_FOUND, sl_api_route(SL_HTTP_GET, "/api/v1/version/", arena, &match, &err));
	assert_int_equal(SL_E_NOT_FOUND, sl_api_route(SL_HTTP_GET, "/api/v1", arena, &match, &err));
	assert_int_equal(SL_E_NOT_FOUND, sl_api_route(SL_HTTP_GET, "/api/v1/role/api", arena, &match, &err));
	sl_arena_free(arena);
}

static int arguments(const char *query, struct sl_call *call, struct sl_error *err)
{
	struct sl_api_match match;
	assert_int_equal(0, sl_call_begin(call, sl_op_find("ls"), "/", err));
	assert_int_equal(0, sl_api_route(SL_HTTP_GET, "/api/v1/ls/runs", call->arena, &match, err));
	return sl_api_arguments(call, &match, query, "", 0, err);
}

static void test_query_becomes_arguments(void **state)
{
	static const char *const wrong[] = {
		"limit=0", "limit=x", "limt=3", "limit=3&limit=4", "kind=models", "name=%00", "name=%zz"};
	struct sl_call call;
	struct sl_error err = {0};
	(void)state;
	assert_int_equal(0, arguments("limit=7&name=a%20b", &call, &err));
	assert_int_equal(7, sl_call_int(&call, "limit"));
	assert_string_equal("a b", sl_call_text(&call, "name"));
	sl_call_done(&call);
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		if (arguments(wrong[i], &call, &err) != SL_E_INVALID)
			fail_msg("%s was taken", wrong[i]);
		sl_call_done(&call);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_match),
		cmocka_unit_test(test_query_becomes_arguments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http.h"

static void escapes_are_undone_once(void **state)
{
	(void)state;
	struct sl_error err;
	char out[64];
	size_t len;
	assert_int_equal(sl_http_decode("a%20b+c%2B%25", 13, false, out, &len, &err), 0);
	assert_string_equal(out, "a b+c+%");
	assert_int_equal(sl_http_decode("a+b%2B", 6, true, out, &len, &err), 0);
	assert_string_equal(out, "a b+");
	assert_int_equal(len, 4);
	static const char *const broken[] = {"%", "%4", "%4g", "%g4", "%%41", "%00", "a%", "%-1"};
	for (size_t i = 0; i < SL_ARRAY_LEN(broken); i++)
		assert_int_equal(sl_http_decode(broken[i], strlen(broken[i]), false, out, &len, &err), SL_E_INVALID);
	char same[] = "%41%42";
	assert_int_equal(sl_http_decode(same, 6, false, same, &len, &err), 0); /* in place */
	assert_string_equal(same, "AB");
}

static void params_keep_their_order(void **state)
{
	(void)state;
	struct sl_error err;
	struct sl_arena *arena = sl_arena_new(0, &err);
	struct sl_http_param *params;
	size_t count;
	assert_int_equal(sl_http_params("a=1&b=x%26y+z&&a=2&flag&=v&c=", arena, &params, &count, &err), 0);
	static const char *const expected[][2] = {{"a", "1"}, {"b", "x&y z"}, {"a", "2"}, {"flag", ""}, {"", "v"}, {"c", ""}};
	assert_int_equal(count, SL_ARRAY_LEN(expected));
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(params[i].name, expected[i][0]);
		assert_string_equal(params[i].value, expected[i][1]);
	}
	assert_int_equal(sl_http_params("", arena, &params, &count, &err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(sl_http_params("a=%zz", arena, &params, &count, &err), SL_E_INVALID);
	char *many = calloc(1, 2 * SL_HTTP_PARAMS_MAX + 1);
	for (int i = 0; i < SL_HTTP_PARAMS_MAX; i++)
		memcpy(many + (size_t)2 * i, "x&", 2);
	many[2 * SL_HTTP_PARAMS_MAX - 1] = 0;
	assert_int_equal(sl_http_params(many, arena, &params, &count, &err), 0);
	assert_int_equal(count, SL_HTTP_PARAMS_MAX);
	many[2 * SL_HTTP_PARAMS_MAX - 1] = '&';
	assert_int_equal(sl_http_params(many, arena, &params, &count, &err), SL_E_INVALID);
	free(many);
	sl_arena_free(arena);
}

static void headers_are_checked(void **state)
{
	(void)state;
	assert_true(sl_http_header_name_valid("X-Name_1"));
	assert_false(sl_http_header_name_valid(""));
	assert_false(sl_http_header_name_valid("a b"));
	assert_false(sl_http_header_name_valid("a:"));
	assert_false(sl_http_header_name_valid("a\r\n"));
	assert_true(sl_http_header_value_valid("a\tb \xc3\xa4"));
	assert_false(sl_http_header_value_valid("a\r\nSet-Cookie: x"));
	assert_false(sl_http_header_value_valid("a\nb"));
	assert_false(sl_http_header_value_valid("\x7f"));
	const struct sl_http_header headers[] = {{"x-a", "1"}, {"X-A", "2"}};
	assert_string_equal(sl_http_find_header(headers, 2, "X-a"), "1");
	assert_null(sl_http_find_header(headers, 2, "x-b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_are_undone_once),
		cmocka_unit_test(params_keep_their_order), cmocka_unit_test(headers_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Libraries loaded on first use: found beside the program, all symbols or none, and a plain error otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "os/library.h"

static uint32_t (*version)(void);
static void (*nothing)(void);

static void test_finds_a_function(void **state)
{
	(void)state;
	const struct sl_library_symbol symbols[] = { { "yyjson_version", &version } };
	struct sl_error err;

	assert_int_equal(0, sl_library_load("libyyjson.so.0", symbols, 1, &err));
	assert_int_equal(0, version() >> 16); /* yyjson 0.x: major in the third byte */
}

static void test_missing_library(void **state)
{
	(void)state;
	struct sl_error err;

	assert_int_equal(SL_E_NO_LIBRARY, sl_library_load("libsuchathing.so", NULL, 0, &err));
	assert_string_equal("libsuchathing.so", err.where);
	assert_non_null(strstr(err.hint, "make install"));
}

static void test_missing_function_leaves_slots(void **state)
{
	(void)state;
	const struct sl_library_symbol symbols[] = { { "yyjson_version", &version }, { "yyjson_nothing", &nothing } };
	struct sl_error err;

	version = NULL;
	assert_int_equal(SL_E_NO_LIBRARY, sl_library_load("libyyjson.so.0", symbols, 2, &err));
	assert_non_null(strstr(err.message, "yyjson_nothing"));
	assert_null(version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_a_function),
		cmocka_unit_test(test_missing_library),
		cmocka_unit_test(test_missing_function_leaves_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

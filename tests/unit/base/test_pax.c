/* Heads of archives that are written as they go: long names and large sizes stand in an extended header, whose records count themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/pax.h"

static void test_a_plain_name_is_one_block(void **state)
{
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	(void)state;
	sl_pax_head(&out, "a/b.txt", 8);
	assert_int_equal(SL_PAX_BLOCK, out.len);
	assert_string_equal("a/b.txt", out.data);
	assert_string_equal("00000000010", out.data + 124);
	assert_int_equal('0', out.data[156]);
	sl_pax_pad(&out, 8);
	assert_int_equal(SL_PAX_BLOCK + 504, out.len);
	sl_pax_pad(&out, 1024);
	assert_int_equal(SL_PAX_BLOCK + 504, out.len);
}

static void test_a_long_name_and_a_large_size_have_records(void **state)
{
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	char name[205];
	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	sl_pax_head(&out, name, UINT64_C(9) << 30);
	assert_int_equal(3 * SL_PAX_BLOCK, out.len);
	assert_int_equal('x', out.data[156]);
	assert_memory_equal("214 path=nnn", out.data + SL_PAX_BLOCK, 12); /* 3 digits, a space, "path=", 204 bytes, a newline */
	assert_memory_equal("\n19 size=9663676416\n", out.data + SL_PAX_BLOCK + 213, 20);
	assert_memory_equal("nnn", out.data + 2 * SL_PAX_BLOCK, 3);
	assert_int_equal('0', out.data[2 * SL_PAX_BLOCK + 156]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_name_is_one_block),
		cmocka_unit_test(test_a_long_name_and_a_large_size_have_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

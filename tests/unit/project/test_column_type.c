/* Every answer here is DuckDB 1.5.6's to CAST(NULL AS type). */
#include "project/column_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_types(void **state)
{
	static const char *const GOOD[] = {
		"bigint", "BigInt", " text ", "double precision", "timestamp with time zone", "character varying(3)", "decimal(10)", "decimal( 38 , 38 )", "numeric(5,0)", "varchar(10)",
		"timestamp(9)", "float(53)", "bit(3)", "int[]", "int[3][]", "date[100000]", "struct(a int, b text)", "struct(\"a b\" int)", "row(a decimal(3,1)[])", "map(text, map(text,int))",
		"union(n int, t text)", "enum('a', 'it''s')", "struct(a struct(b enum('x')))",
	};
	static const char *const BAD[] = {
		"", "txt", "int(4)", "decimal(39)", "decimal(2,10)", "decimal(0)", "decimal(a)", "timestamp(10)", "float(54)", "double(3)", "date(3)", "int[0]", "int[", "int]", "date[100001]",
		"struct()", "struct(a)", "struct(1a int)", "map(text)", "map(a,b,c)", "enum()", "enum(a)", "enum('a)", "int int", "integer unsigned", "struct", "int; drop", "text'", "null",
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(GOOD); i++)
		if (!sl_column_type_valid(GOOD[i]))
			fail_msg("'%s' is refused", GOOD[i]);
	for (size_t i = 0; i < SL_ARRAY_LEN(BAD); i++)
		if (sl_column_type_valid(BAD[i]))
			fail_msg("'%s' is taken", BAD[i]);
}

static void test_depth(void **state)
{
	char text[32 * SL_COLUMN_TYPE_DEPTH_MAX] = "";
	(void)state;
	for (int i = 0; i <= SL_COLUMN_TYPE_DEPTH_MAX; i++)
		strcat(text, "map(int, ");
	strcat(text, "int");
	for (int i = 0; i <= SL_COLUMN_TYPE_DEPTH_MAX; i++)
		strcat(text, ")");
	assert_false(sl_column_type_valid(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_depth)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

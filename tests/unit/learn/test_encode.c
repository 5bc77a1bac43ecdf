/* From typed values to float rows: dictionaries, missing values, kinds that do not fit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "learn/category.h"
#include "learn/encode.h"

static struct sl_arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = sl_arena_new(0, NULL);
	return arena ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sl_arena_free(arena);
	return 0;
}

static struct sl_category text(const char *s) { return (struct sl_category){s, (uint32_t)strlen(s)}; }

static const struct sl_dictionary *airports(void)
{
	static struct sl_category values[4];
	const struct sl_dictionary *dictionary = NULL;
	struct sl_error err = {0};

	values[0] = text("");
	values[1] = text("ATL");
	values[2] = text("JFK");
	values[3] = text("a name of more than eight bytes");
	assert_int_equal(sl_dictionary_make(values, 4, arena, &dictionary, &err), 0);
	return dictionary;
}

static void test_dictionary_finds_exactly_its_values(void **state)
{
	const struct sl_dictionary *dictionary = airports();

	(void)state;
	assert_int_equal(sl_dictionary_find(dictionary, "", 0), 0);
	assert_int_equal(sl_dictionary_find(dictionary, "ATL", 3), 1);
	assert_int_equal(sl_dictionary_find(dictionary, "JFK", 3), 2);
	assert_int_equal(sl_dictionary_find(dictionary, "a name of more than eight bytes", 31), 3);
	assert_int_equal(sl_dictionary_find(dictionary, "JF", 2), -1);
	assert_int_equal(sl_dictionary_find(dictionary, "JFK\0", 4), -1);
	assert_int_equal(sl_dictionary_find(dictionary, "jfk", 3), -1);
}

static void test_dictionary_refuses_disorder(void **state)
{
	struct sl_category values[2] = {text("b"), text("a")};
	const struct sl_dictionary *dictionary;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_dictionary_make(values, 2, arena, &dictionary, &err), SL_E_INVALID);
	values[1] = values[0];
	assert_int_equal(sl_dictionary_make(values, 2, arena, &dictionary, &err), SL_E_INVALID);
}

static void test_large_dictionary(void **state)
{
	enum { COUNT = 20000 };
	struct sl_category *values = sl_arena_array(arena, COUNT, sizeof *values);
	const struct sl_dictionary *dictionary;
	struct sl_error err = {0};

	(void)state;
	for (int i = 0; i < COUNT; i++)
		values[i] = text(sl_arena_printf(arena, "%06d", i * 3));
	assert_int_equal(sl_dictionary_make(values, COUNT, arena, &dictionary, &err), 0);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(sl_dictionary_find(dictionary, values[i].text, 6), i);
		const char *absent = sl_arena_printf(arena, "%06d", i * 3 + 1);
		assert_int_equal(sl_dictionary_find(dictionary, absent, 6), -1);
	}
}

static const struct sl_feature number = {.name = "distance", .type = "BIGINT", .encoding = SL_ENCODE_NUMBER, .kind = SL_SQL_INT};
static const struct sl_feature when = {.name = "date", .type = "TIMESTAMP", .encoding = SL_ENCODE_NUMBER, .kind = SL_SQL_TIME};

static float encoded(const struct sl_feature *feature, struct sl_cell cell, int want)
{
	struct sl_error err = {0};
	float x = 5;

	assert_int_equal(sl_encode(feature, &cell, &x, &err), want);
	return x;
}

static void test_numbers(void **state)
{
	(void)state;
	assert_true(isnan(encoded(&number, (struct sl_cell){.kind = SL_CELL_NULL}, 0)));
	assert_true(encoded(&number, (struct sl_cell){.kind = SL_CELL_BOOL, .b = true}, 0) == 1);
	/* One rounding, not two through double: 2^24 + 1 lies half way and goes to the even neighbour. */
	assert_true(encoded(&number, (struct sl_cell){.kind = SL_CELL_INT, .i = 16777217}, 0) == 16777216);
	assert_true(encoded(&number, (struct sl_cell){.kind = SL_CELL_INT, .i = INT64_MIN}, 0) == -9223372036854775808.0f);
	assert_true(encoded(&number, (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = 0.1}, 0) == 0.1f);
	assert_true(isinf(encoded(&number, (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = 1e300}, 0)));
	assert_true(isnan(encoded(&number, (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = NAN}, 0)));
}

static void test_times(void **state)
{
	(void)state;
	assert_true(encoded(&when, (struct sl_cell){.kind = SL_CELL_INT, .i = 1500000}, 0) == 1.5f);
	assert_true(encoded(&when, (struct sl_cell){.kind = SL_CELL_TEXT, .text = "1970-01-02X", .len = 10}, 0) == 86400);
	assert_true(isnan(encoded(&when, (struct sl_cell){.kind = SL_CELL_TEXT, .text = "soon", .len = 4}, SL_E_INVALID)));
	assert_true(isnan(encoded(&when, (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = 1}, SL_E_INVALID)));
}

static void test_categories(void **state)
{
	const struct sl_feature origin = {.name = "origin",
					  .type = "VARCHAR",
					  .encoding = SL_ENCODE_CATEGORY,
					  .kind = SL_SQL_TEXT,
					  .dictionary = airports()};
	struct sl_cell wrong = {.kind = SL_CELL_INT, .i = 1};
	struct sl_error err = {0};
	float x;

	(void)state;
	assert_true(encoded(&origin, (struct sl_cell){.kind = SL_CELL_TEXT, .text = "JFK", .len = 3}, 0) == 2);
	assert_true(isnan(encoded(&origin, (struct sl_cell){.kind = SL_CELL_TEXT, .text = "ZZZ", .len = 3}, SL_ENCODED_UNSEEN)));
	assert_true(isnan(encoded(&origin, (struct sl_cell){.kind = SL_CELL_NULL}, 0)));
	assert_int_equal(sl_encode(&origin, &wrong, &x, &err), SL_E_INVALID);
	assert_string_equal(err.message, "column 'origin' wants text, got a whole number");
}

static void test_columns_encode_as_cells_do(void **state)
{
	const struct sl_sql_text texts[] = {{"JFK", 3}, {"ZZZ", 3}, {NULL, 0}, {"ATL", 3}};
	const unsigned char valid[] = {1, 1, 0, 1};
	const struct sl_sql_column column = {.kind = SL_SQL_TEXT, .valid = valid, .texts = texts};
	const struct sl_feature origin = {.name = "origin",
					  .type = "VARCHAR",
					  .encoding = SL_ENCODE_CATEGORY,
					  .kind = SL_SQL_TEXT,
					  .dictionary = airports()};
	const int64_t ints[] = {7, 16777217, 0, -1};
	const struct sl_sql_column whole = {.kind = SL_SQL_INT, .valid = valid, .ints = ints};
	struct sl_error err = {0};
	uint64_t unseen = 0;
	float rows[8];

	(void)state;
	assert_int_equal(sl_encode_column(&origin, &column, 4, rows, 2, &unseen, &err), 0);
	assert_int_equal(sl_encode_column(&number, &whole, 4, rows + 1, 2, &unseen, &err), 0);
	assert_int_equal(unseen, 1);
	assert_true(rows[0] == 2 && isnan(rows[2]) && isnan(rows[4]) && rows[6] == 1);
	assert_true(rows[1] == 7 && rows[3] == 16777216 && isnan(rows[5]) && rows[7] == -1);
	assert_int_equal(sl_encode_column(&origin, &whole, 4, rows, 2, &unseen, &err), SL_E_INVALID);
	assert_string_equal(err.message, "column 'origin' was VARCHAR in training and is of another type here");
}

static void test_category_set_sorts_what_training_saw(void **state)
{
	struct sl_error err = {0};
	struct sl_category_set *set = sl_category_set_new(&err);
	const struct sl_dictionary *dictionary;
	uint64_t *counts;
	int32_t *place;
	uint32_t n;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 3000; i++) {
			const char *name = sl_arena_printf(arena, "%04d", (i * 7919) % 3000);
			assert_int_equal(sl_category_set_add(set, name, 4, i % 3000 != 5, &n, &err), 0);
			assert_int_equal(n, i);
		}
	assert_int_equal(sl_category_set_sort(set, arena, &dictionary, &place, &counts, &err), 0);
	assert_int_equal(sl_dictionary_count(dictionary), 2999); /* number 5 was never seen in training */
	assert_int_equal(place[5], -1);
	for (size_t i = 0; i + 1 < 2999; i++)
		assert_true(strcmp(sl_dictionary_value(dictionary, i)->text, sl_dictionary_value(dictionary, i + 1)->text) < 0);
	assert_int_equal(place[0], 0);
	assert_int_equal(counts[0], 2);
	sl_category_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dictionary_finds_exactly_its_values),
		cmocka_unit_test(test_dictionary_refuses_disorder),
		cmocka_unit_test(test_large_dictionary),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_categories),
		cmocka_unit_test(test_columns_encode_as_cells_do),
		cmocka_unit_test(test_category_set_sorts_what_training_saw),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* Elements of tensors: binary16 and bfloat16 by every value of theirs, whole numbers at the ends of their ranges, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "serve/feed.h"

static void test_every_half_reads_back(void **state)
{
	(void)state;
	for (uint32_t i = 0; i <= UINT16_MAX; i++) {
		uint16_t bits = (uint16_t)i, set;
		struct sl_graph_value value = {.element = SL_ELEMENT_FP16, .count = 1, .data = &bits};
		double real = sl_feed_real(&value, 0);
		if (isnan(real)) {
			assert_true((bits & 0x7c00) == 0x7c00 && bits & 1023);
			continue;
		}
		assert_int_equal(sl_half_of(real), bits);
		struct sl_graph_value again = {.element = SL_ELEMENT_BF16, .count = 1, .data = &set};
		value.element = SL_ELEMENT_BF16;
		real = sl_feed_real(&value, 0);
		assert_int_equal(sl_feed_set(&again, 0, &(struct sl_cell){.kind = SL_CELL_DOUBLE, .d = real}, NULL), 0);
		if (!isnan(real))
			assert_int_equal(set, bits);
	}
}

static void test_halves_are_rounded_to_even(void **state)
{
	static const struct {
		double real;
		uint16_t half;
	} cases[] = {
		{1 + 0x1p-11, 0x3c00}, {1 + 3 * 0x1p-11, 0x3c02}, {1 + 0x1p-11 + 0x1p-30, 0x3c01}, {65519.99, 0x7bff}, {65520, 0x7c00}, {-1e300, 0xfc00},
		{0x1p-25, 0}, {0x1.0001p-25, 1}, {0x1.ffcp-15, 0x0400}, {-0.0, 0x8000}, {2047.5, 0x6800}, {INFINITY, 0x7c00},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
		assert_int_equal(sl_half_of(cases[i].real), cases[i].half);
	assert_int_equal(sl_half_of(NAN), 0x7e00);
}

static void test_whole_numbers(void **state)
{
	static const struct {
		enum sl_element element;
		int64_t least, most;
	} cases[] = {
		{SL_ELEMENT_INT8, INT8_MIN, INT8_MAX}, {SL_ELEMENT_INT16, INT16_MIN, INT16_MAX}, {SL_ELEMENT_INT32, INT32_MIN, INT32_MAX},
		{SL_ELEMENT_UINT8, 0, UINT8_MAX}, {SL_ELEMENT_UINT16, 0, UINT16_MAX}, {SL_ELEMENT_UINT32, 0, UINT32_MAX},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		uint64_t room = 0, expected = 0;
		struct sl_graph_value value = {.element = cases[i].element, .count = 1, .data = &room};
		for (int64_t v = cases[i].least; v <= cases[i].most; v += cases[i].most - cases[i].least) {
			assert_int_equal(sl_feed_set(&value, 0, &(struct sl_cell){.kind = SL_CELL_INT, .i = v}, NULL), 0);
			memcpy(&expected, &v, sl_element_bytes(value.element));
			assert_memory_equal(&room, &expected, sl_element_bytes(value.element));
		}
		assert_int_equal(sl_feed_set(&value, 0, &(struct sl_cell){.kind = SL_CELL_INT, .i = cases[i].most + 1}, NULL), SL_E_INVALID);
		assert_int_equal(sl_feed_set(&value, 0, &(struct sl_cell){.kind = SL_CELL_INT, .i = cases[i].least - 1}, NULL), SL_E_INVALID);
	}
}

static void test_what_no_element_takes(void **state)
{
	uint64_t room;
	struct sl_error err;
	static const struct {
		enum sl_element element;
		struct sl_cell cell;
		const char *says;
	} cases[] = {
		{SL_ELEMENT_INT64, {.kind = SL_CELL_DOUBLE, .d = 1.5}, "it is a number, its datatype is INT64"},
		{SL_ELEMENT_INT64, {.kind = SL_CELL_NULL}, "it is null, its datatype is INT64"},
		{SL_ELEMENT_FP32, {.kind = SL_CELL_BOOL, .b = true}, "it is true or false, its datatype is FP32"},
		{SL_ELEMENT_BOOL, {.kind = SL_CELL_INT, .i = 2}, "it is an integer, its datatype is BOOL"},
		{SL_ELEMENT_TEXT, {.kind = SL_CELL_INT, .i = 2}, "it is an integer, its datatype is BYTES"},
		{SL_ELEMENT_UINT64, {.kind = SL_CELL_DOUBLE, .d = 0x1p64}, "it is a number, its datatype is UINT64"},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_graph_value value = {.element = cases[i].element, .count = 1, .data = &room};
		assert_int_equal(sl_feed_set(&value, 0, &cases[i].cell, &err), SL_E_INVALID);
		assert_string_equal(err.message, cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_half_reads_back), cmocka_unit_test(test_halves_are_rounded_to_even), cmocka_unit_test(test_whole_numbers),
		cmocka_unit_test(test_what_no_element_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

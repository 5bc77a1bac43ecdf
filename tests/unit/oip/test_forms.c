#include "forms.h"
#include "oip/answer.h"
#include "oip/invocations.h"
#include "oip/v2.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sl_endpoint spec = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
static struct sl_served *served;
static struct sl_body_parser parser;
static struct sl_inputs rows;
static struct sl_v2_request v2;
static yyjson_doc *doc;
static struct sl_arena *arena;
static struct sl_error err;

static void end_request(void)
{
	sl_v2_end(&v2);
	sl_body_end(&doc);
	sl_inputs_end(&rows);
	sl_arena_reset(arena);
	err = (struct sl_error){0};
}

static int begin(void **state)
{
	spec.ignore_extra = false;
	served = forms_served(&spec, *state != NULL);
	arena = sl_arena_new(0, NULL);
	return sl_body_parser_init(&parser, NULL);
}

static int end(void **state)
{
	(void)state;
	end_request();
	sl_inputs_done(&rows);
	sl_served_unref(served);
	sl_arena_free(arena);
	sl_body_parser_done(&parser);
	return 0;
}

static int read_v2(const char *body)
{
	end_request();
	return sl_v2_read(&parser, served, body, strlen(body), strlen(body), arena, &rows, &v2, &err);
}

static int read_json(const char *body)
{
	end_request();
	int rc = sl_body_parse(&parser, body, strlen(body), &doc, &err);
	return rc ? rc : sl_invocations_json(yyjson_doc_get_root(doc), served, arena, &rows, &err);
}

static int read_csv(const char *body)
{
	end_request();
	return sl_invocations_csv(body, strlen(body), served, arena, &rows, &err);
}

static const struct sl_cell *cell(size_t slot, size_t row)
{
	assert_true(row < rows.count && slot < served->slot_count);
	return &rows.cells[slot * rows.count + row];
}

#define ASSERT_INT(slot, row, v) \
	do { assert_int_equal(cell(slot, row)->kind, SL_CELL_INT); assert_int_equal(cell(slot, row)->i, v); } while (0)
#define ASSERT_DOUBLE(slot, row, v) \
	do { assert_int_equal(cell(slot, row)->kind, SL_CELL_DOUBLE); assert_true(cell(slot, row)->d == (v)); } while (0)
#define ASSERT_BOOL(slot, row, v) \
	do { assert_int_equal(cell(slot, row)->kind, SL_CELL_BOOL); assert_true(cell(slot, row)->b == (v)); } while (0)
#define ASSERT_NULL(slot, row) assert_int_equal(cell(slot, row)->kind, SL_CELL_NULL)
#define ASSERT_TEXT(slot, row, v) \
	do { \
		assert_int_equal(cell(slot, row)->kind, SL_CELL_TEXT); \
		assert_int_equal(cell(slot, row)->len, strlen(v)); \
		assert_memory_equal(cell(slot, row)->text, v, strlen(v)); \
	} while (0)
#define ASSERT_REFUSED(call, code, text) \
	do { \
		assert_int_equal(call, code); \
		if (!strstr(err.message, text) && !strstr(err.hint, text)) \
			fail_msg("'%s' does not say '%s'", err.message, text); \
	} while (0)

/* Two rows, which every form below spells: 733 | 1.5 | true | JFK | k1 | 2001-03-01 and -5 | null | false | "a,b" | k2 | null. */
static void assert_two_rows(void)
{
	assert_int_equal(rows.count, 2);
	ASSERT_INT(DISTANCE, 0, 733);
	ASSERT_INT(DISTANCE, 1, -5);
	ASSERT_DOUBLE(SPEED, 0, 1.5);
	ASSERT_NULL(SPEED, 1);
	ASSERT_BOOL(CARGO, 0, true);
	ASSERT_BOOL(CARGO, 1, false);
	ASSERT_TEXT(ORIGIN, 0, "JFK");
	ASSERT_TEXT(ORIGIN, 1, "a,\"b");
	ASSERT_TEXT(FLIGHT, 0, "k1");
	ASSERT_TEXT(FLIGHT, 1, "k2");
	ASSERT_TEXT(DATE, 0, "2001-03-01");
	ASSERT_NULL(DATE, 1);
	for (size_t i = 0; i < served->slot_count; i++)
		assert_true(rows.given[i]);
}

static void every_form_says_the_same(void **state)
{
	(void)state;
	assert_int_equal(read_json("{\"dataframe_split\":{\"index\":[0,1],\"columns\":[\"date\",\"origin\",\"distance\",\"speed\",\"cargo\","
				   "\"flight\"],\"data\":[[\"2001-03-01\",\"JFK\",733,1.5,true,\"k1\"],[null,\"a,\\\"b\",-5,null,false,"
				   "\"k2\"]]}}"), 0);
	assert_two_rows();
	assert_int_equal(read_json("{\"params\":{},\"dataframe_records\":[{\"distance\":733,\"speed\":1.5,\"cargo\":true,\"origin\":\"JFK\","
				   "\"flight\":\"k1\",\"date\":\"2001-03-01\"},{\"flight\":\"k2\",\"origin\":\"a,\\\"b\",\"cargo\":false,"
				   "\"speed\":null,\"distance\":-5,\"date\":null}]}"), 0);
	assert_two_rows();
	assert_int_equal(read_json("{\"inputs\":{\"distance\":[733,-5],\"speed\":[1.5,null],\"cargo\":[true,false],"
				   "\"origin\":[\"JFK\",\"a,\\\"b\"],\"flight\":[\"k1\",\"k2\"],\"date\":[\"2001-03-01\",null]}}"), 0);
	assert_two_rows();
	assert_int_equal(read_csv("distance,speed,cargo,origin,flight,date\r\n733,1.5,True,JFK,k1,2001-03-01\r\n"
				  "-5,,false,\"a,\"\"b\",k2,\r\n"), 0);
	assert_two_rows();
	assert_int_equal(read_csv("\xef\xbb\xbf\"distance\",\"speed\",cargo,origin,flight,date\n733,1.5,true,\"JFK\",k1,2001-03-01\n"
				  "-5,,False,\"a,\"\"b\",k2,"), 0);
	assert_two_rows();
	assert_int_equal(read_v2("{\"id\":\"x\",\"inputs\":["
				 "{\"name\":\"distance\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[733,-5]},"
				 "{\"name\":\"speed\",\"shape\":[2,1],\"datatype\":\"FP32\",\"data\":[[1.5],[null]]},"
				 "{\"name\":\"cargo\",\"shape\":[2,1],\"datatype\":\"BOOL\",\"data\":[true,false]},"
				 "{\"name\":\"origin\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"JFK\",\"a,\\\"b\"]},"
				 "{\"name\":\"flight\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"k1\",\"k2\"]},"
				 "{\"name\":\"date\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"2001-03-01\",null]}],"
				 "\"outputs\":[{\"name\":\"probability\"}],\"parameters\":{\"a\":1}}"), 0);
	assert_two_rows();
	assert_int_equal(v2.id_len, 1);
}

static void instances_come_by_position_or_name(void **state)
{
	(void)state;
	assert_int_equal(read_json("{\"instances\":[[1,2,true,\"A\"],[3,4.5,false,null]]}"), 0);
	ASSERT_INT(DISTANCE, 1, 3);
	ASSERT_DOUBLE(SPEED, 1, 4.5);
	ASSERT_TEXT(ORIGIN, 0, "A");
	assert_false(rows.given[FLIGHT]);
	assert_int_equal(read_json("{\"instances\":[{\"distance\":1,\"speed\":2,\"cargo\":true,\"origin\":\"A\"}]}"), 0);
	ASSERT_INT(SPEED, 0, 2);
}

static void a_matrix_of_numbers(void **state)
{
	(void)state;
	assert_int_equal(read_v2("{\"inputs\":[{\"name\":\"x\",\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[1,2,3,4.5]}]}"), 0);
	ASSERT_DOUBLE(DISTANCE, 1, 3);
	ASSERT_DOUBLE(SPEED, 1, 4.5);
	assert_int_equal(read_v2("{\"inputs\":[{\"name\":\"x\",\"shape\":[2,2],\"datatype\":\"FP64\",\"data\":[[1,2],[3,4.5]]},"
				 "{\"name\":\"flight\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[8,9]}]}"), 0);
	ASSERT_DOUBLE(SPEED, 0, 2);
	ASSERT_INT(2, 1, 9);
	ASSERT_REFUSED(read_v2("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}"), SL_E_INVALID,
		       "has 3 columns, the model has 2");
	ASSERT_REFUSED(read_v2("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]},"
			       "{\"name\":\"speed\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}"), SL_E_INVALID, "given twice");
}

#define TENSOR(name, shape, type, data) \
	"{\"inputs\":[{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}]}"

static void wrong_tensors_are_named(void **state)
{
	(void)state;
	ASSERT_REFUSED(read_v2("[]"), SL_E_INVALID, "no JSON object");
	ASSERT_REFUSED(read_v2("{\"inputs\":[NaN]}"), SL_E_INVALID, "column");
	ASSERT_REFUSED(read_v2("{}"), SL_E_INVALID, "'inputs'");
	ASSERT_REFUSED(read_v2("{\"inputs\":[],\"inputs\":[]}"), SL_E_INVALID, "stands twice");
	ASSERT_REFUSED(read_v2("{\"inputs\":[3]}"), SL_E_INVALID, "an integer, expected objects");
	ASSERT_REFUSED(read_v2(TENSOR("distanc", "[1]", "INT64", "[1]")), SL_E_INVALID, "did you mean 'distance'?");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "INT65", "[1]")), SL_E_INVALID, "'distance': its datatype");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[-1]", "INT64", "[1]")), SL_E_INVALID, "'distance': its shape holds");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1,1,1]", "INT64", "[1]")), SL_E_INVALID, "'distance': its shape must");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[0]", "INT64", "[]")), SL_E_INVALID, "impossible");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[100001]", "INT64", "[]")), SL_E_TOO_LARGE, "100001 rows");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[18446744073709551615]", "INT64", "[]")), SL_E_TOO_LARGE, "rows");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1,18446744073709551615]", "INT64", "[]")), SL_E_INVALID, "impossible");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[2]", "INT64", "[1]")), SL_E_INVALID, "its data has 1 elements, its shape says 2");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[2,1]", "INT64", "[[1],[1,2]]")), SL_E_INVALID, "row 1 of its data");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "INT64", "[1.5]")), SL_E_INVALID, "element 0 is a number, its datatype is INT64");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "INT64", "[[[1]]]")), SL_E_INVALID, "element 0 is an array");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "INT8", "[128]")), SL_E_INVALID, "out of range");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "UINT8", "[-1]")), SL_E_INVALID, "out of range");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "UINT8", "[18446744073709551615]")), SL_E_INVALID, "out of range");
	ASSERT_REFUSED(read_v2(TENSOR("distance", "[1]", "INT64", "[9223372036854775808]")), SL_E_INVALID, "out of range");
	assert_int_equal(read_v2(TENSOR("distance", "[1]", "UINT64", "[18446744073709551615]")), 0);
	assert_int_equal(read_v2(TENSOR("distance", "[1]", "INT8", "[-128]")), 0);
	ASSERT_REFUSED(read_v2(TENSOR("origin", "[1]", "BYTES", "[7]")), SL_E_INVALID, "'origin': element 0 is an integer");
	ASSERT_REFUSED(read_v2(TENSOR("cargo", "[1]", "BOOL", "[1]")), SL_E_INVALID, "its datatype is BOOL");
	ASSERT_REFUSED(read_v2(TENSOR("speed", "[1]", "FP64", "[\"x\"]")), SL_E_INVALID, "element 0 is text");
	ASSERT_REFUSED(read_v2("{\"inputs\":[{\"name\":\"distance\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1]}],"
			       "\"outputs\":[{\"name\":\"x\"}]}"), SL_E_INVALID, "no output 'x'");
	ASSERT_REFUSED(read_v2("{\"inputs\":[{\"name\":\"distance\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1]},"
			       "{\"name\":\"speed\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2]}]}"), SL_E_INVALID,
		       "'speed' has 2 rows, 'distance' has 1");
}

static void deep_nesting_is_refused(void **state)
{
	(void)state;
	char body[4000] = "{\"x\":";
	memset(body + 5, '[', 2000);
	memset(body + 2005, ']', 1000);
	ASSERT_REFUSED(read_v2(body), SL_E_TOO_LARGE, "nested deeper than 100");
	ASSERT_REFUSED(read_json(body), SL_E_TOO_LARGE, "nested deeper than 100");
}

static void wrong_frames_are_named(void **state)
{
	(void)state;
	ASSERT_REFUSED(read_json("{}"), SL_E_INVALID, "expected one of");
	ASSERT_REFUSED(read_json("{\"instances\":[],\"inputs\":{}}"), SL_E_INVALID, "came together");
	ASSERT_REFUSED(read_json("{\"instances\":[]}"), SL_E_INVALID, "no row");
	ASSERT_REFUSED(read_json("{\"rows\":[]}"), SL_E_INVALID, "'rows' is none of");
	ASSERT_REFUSED(read_json("{\"dataframe_split\":{\"columns\":[\"distance\",\"distance\"],\"data\":[[1,2]]}}"), SL_E_INVALID,
		       "'distance' is given twice");
	ASSERT_REFUSED(read_json("{\"dataframe_split\":{\"columns\":[\"distance\"],\"data\":[[1],[1,2]]}}"), SL_E_INVALID, "row 1 is no array");
	ASSERT_REFUSED(read_json("{\"dataframe_split\":{\"columns\":[\"distance\"],\"data\":[[[1]]]}}"), SL_E_INVALID,
		       "row 0: column 'distance' is an array");
	ASSERT_REFUSED(read_json("{\"dataframe_split\":{\"columns\":[\"orgin\"],\"data\":[[1]]}}"), SL_E_INVALID, "did you mean 'origin'?");
	ASSERT_REFUSED(read_json("{\"dataframe_records\":[{\"distance\":1,\"speed\":2,\"cargo\":true,\"origin\":\"A\"},{\"distance\":1}]}"),
		       SL_E_INVALID, "row 1: column 'speed' is missing");
	ASSERT_REFUSED(read_json("{\"dataframe_records\":[{\"distance\":1,\"distance\":2}]}"), SL_E_INVALID, "given twice");
	ASSERT_REFUSED(read_json("{\"inputs\":{\"distance\":[1,2],\"speed\":[1]}}"), SL_E_INVALID, "column 'speed' is no array of 2");
	spec.ignore_extra = true;
	assert_int_equal(read_json("{\"dataframe_records\":[{\"x\":[1],\"distance\":1,\"speed\":2,\"cargo\":true,\"origin\":\"A\"}]}"),
			 SL_E_INVALID);
	assert_int_equal(read_json("{\"dataframe_records\":[{\"x\":1,\"distance\":1,\"speed\":2,\"cargo\":true,\"origin\":\"A\"}]}"), 0);
	ASSERT_INT(DISTANCE, 0, 1);
}

static void wrong_csv_is_named(void **state)
{
	(void)state;
	ASSERT_REFUSED(read_csv("distance,speed\n1,x\n"), SL_E_INVALID, "line 2: column 'speed': 'x' is no number");
	ASSERT_REFUSED(read_csv("distance,speed\n1\n"), SL_E_INVALID, "line 2 has fewer fields");
	ASSERT_REFUSED(read_csv("distance,speed\n1,2\n1,2,3\n"), SL_E_INVALID, "line 3 has more fields");
	ASSERT_REFUSED(read_csv("distance,origin\n1,\"x\n"), SL_E_INVALID, "does not end");
	ASSERT_REFUSED(read_csv("distance,origin\n1,\"x\"y\n"), SL_E_INVALID, "goes on behind its quote");
	ASSERT_REFUSED(read_csv("cargo\nmaybe\n"), SL_E_INVALID, "'maybe' is no truth value");
	ASSERT_REFUSED(read_csv("distance\n"), SL_E_INVALID, "no row");
	ASSERT_REFUSED(read_csv(""), SL_E_INVALID, "no column ''");
	ASSERT_REFUSED(read_csv("distance\n\xff\n"), SL_E_INVALID, "not UTF-8");
	ASSERT_REFUSED(read_csv("distance,distance\n1,2\n"), SL_E_INVALID, "given twice");
}

static void raw_tensors(void **state)
{
	(void)state;
	char body[400];
	int json = snprintf(body, sizeof body,
			    "{\"inputs\":[{\"name\":\"distance\",\"shape\":[2],\"datatype\":\"INT32\",\"parameters\":{\"binary_data_size\":8}},"
			    "{\"name\":\"origin\",\"shape\":[2],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":11}}]}");
	static const char raw[] = "\1\0\0\0\xfe\xff\xff\xff" "\3\0\0\0JFK\0\0\0\0";
	memcpy(body + json, raw, 19);
	size_t len = (size_t)json + 19;
	assert_int_equal(sl_v2_read(&parser, served, body, len, (size_t)json, arena, &rows, &v2, &err), 0);
	ASSERT_INT(DISTANCE, 0, 1);
	ASSERT_INT(DISTANCE, 1, -2);
	ASSERT_TEXT(ORIGIN, 0, "JFK");
	ASSERT_TEXT(ORIGIN, 1, "");
	for (size_t shorter = 1; shorter <= 19; shorter++) {
		end_request();
		assert_int_equal(sl_v2_read(&parser, served, body, len - shorter, (size_t)json, arena, &rows, &v2, &err), SL_E_INVALID);
	}
	end_request();
	ASSERT_REFUSED(sl_v2_read(&parser, served, body, len + 3, (size_t)json, arena, &rows, &v2, &err), SL_E_INVALID, "no tensor");
	end_request();
	body[json + 8] = 9; /* a text that is longer than what came */
	ASSERT_REFUSED(sl_v2_read(&parser, served, body, len, (size_t)json, arena, &rows, &v2, &err), SL_E_INVALID, "beyond");
	end_request();
	ASSERT_REFUSED(sl_v2_read(&parser, served, body, len, len + 1, arena, &rows, &v2, &err), SL_E_INVALID, "more than the body");
}

static void answers_carry_id_and_version(void **state)
{
	(void)state;
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	struct sl_id id = {"01HF7YATK6AAAAAAAAAAAAAAAA"};
	size_t json_len;
	assert_int_equal(read_v2("{\"id\":\"a\\\"b\",\"inputs\":[{\"name\":\"distance\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[1,2]}]}"), 0);
	rows.outputs[0] = 0.25f;
	rows.outputs[1] = NAN;
	sl_v2_write(&v2, &rows, &id, &out, &json_len);
	assert_string_equal(sl_buf_cstr(&out),
			    "{\"model_name\":\"delay\",\"model_version\":\"7\",\"id\":\"a\\\"b\",\"parameters\":{\"prediction_id\":"
			    "\"01HF7YATK6AAAAAAAAAAAAAAAA\",\"model_version\":\"7\"},\"outputs\":[{\"name\":\"probability\",\"datatype\":\"FP32\","
			    "\"shape\":[2],\"data\":[0.25,null]}]}");
	sl_buf_clear(&out);
	v2.binary_output = true;
	sl_v2_write(&v2, &rows, &id, &out, &json_len);
	assert_int_equal(out.len, json_len + 8);
	assert_memory_equal(out.data + json_len, "\0\0\x80\x3e", 4);
	sl_buf_clear(&out);
	sl_invocations_write(&rows, &out);
	assert_string_equal(sl_buf_cstr(&out), "{\"predictions\":[0.25,null]}");
}

/* Over the whole range of exponents: the text reads back as the same bits, also by way of a double as most clients do it. */
static void floats_read_back_as_themselves(void **state)
{
	(void)state;
	char text[SL_FLOAT_TEXT + 1];
	uint32_t bits = 1;
	for (int i = 0; i < 300000; i++) {
		float value, back;
		bits = bits * 1664525u + 1013904223u;
		uint32_t b = i % 2 ? bits : (bits & 0x03ffffff) | 0x3c000000; /* every other one between 2^-7 and 2 */
		memcpy(&value, &b, sizeof value);
		size_t len = sl_float_text(value, text);
		assert_true(len <= SL_FLOAT_TEXT);
		text[len] = 0;
		if (!isfinite(value)) {
			assert_string_equal(text, "null");
			continue;
		}
		back = (float)strtod(text, NULL);
		assert_memory_equal(&back, &value, sizeof back);
		back = strtof(text, NULL);
		assert_memory_equal(&back, &value, sizeof back);
	}
	static const struct { float value; const char *text; } exact[] = {
		{0.1f, "0.1"}, {0, "0"}, {-0.0f, "-0"}, {1, "1"}, {0.26381212f, "0.26381212"}, {123456, "123456"}, {-2.5f, "-2.5"}, {0.00002f, "0.00002"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(exact); i++) {
		text[sl_float_text(exact[i].value, text)] = 0;
		assert_string_equal(text, exact[i].text);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
static int numbers_only;

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_form_says_the_same), TEST(instances_come_by_position_or_name), TEST(wrong_tensors_are_named),
		{"a_matrix_of_numbers", a_matrix_of_numbers, begin, end, &numbers_only},
		TEST(deep_nesting_is_refused), TEST(wrong_frames_are_named), TEST(wrong_csv_is_named), TEST(raw_tensors),
		TEST(answers_carry_id_and_version), TEST(floats_read_back_as_themselves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

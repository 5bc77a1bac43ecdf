#include "base/prototext.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sl_arena *arena;
static struct sl_error err;

static int begin(void **state)
{
	(void)state;
	arena = sl_arena_new(0, NULL);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	sl_arena_free(arena);
	return 0;
}

static const struct sl_prototext *parse(const char *text)
{
	const struct sl_prototext *root = NULL;
	memset(&err, 0, sizeof err);
	return sl_prototext_parse(text, strlen(text), "s.pbtxt", arena, &root, &err) ? NULL : root;
}

static void fields_messages_and_lists(void **state)
{
	(void)state;
	const struct sl_prototext *root = parse("# head\nname: \"a\" 'b' # behind\nin { x: 1, y: <z: TRUE>; }\nn: [1, -2,3]\nn: 4 [some.ext/t-1] {} empty: []");
	assert_non_null(root);
	assert_string_equal(sl_prototext_get(root, "name")->text, "ab");
	assert_int_equal(sl_prototext_get(root, "name")->mark.line, 2);
	assert_int_equal(sl_prototext_get(root, "name")->mark.column, 7);
	const struct sl_prototext *in = sl_prototext_get(root, "in"), *z = sl_prototext_get(sl_prototext_get(in, "y"), "z");
	assert_int_equal(z->kind, SL_PROTOTEXT_WORD);
	int64_t sum = 0, one;
	for (const struct sl_prototext *n = sl_prototext_get(root, "n"); n; n = sl_prototext_next(n)) {
		assert_true(sl_prototext_int(n, &one));
		sum += one;
	}
	assert_int_equal(sum, 6);
	assert_non_null(sl_prototext_get(root, "[some.ext/t-1]"));
	assert_null(sl_prototext_get(root, "empty"));
	assert_null(sl_prototext_get(NULL, "x"));
}

static void texts_are_unescaped(void **state)
{
	(void)state;
	const struct sl_prototext *root = parse("a: '\\x41\\101\\u00e9\\U0001F600\\n\\\"\\'\\?\\\\'");
	assert_non_null(root);
	assert_string_equal(root->first->text, "AA\xc3\xa9\xf0\x9f\x98\x80\n\"'?\\");
}

static void numbers_are_those_of_the_format(void **state)
{
	static const struct { const char *text; double value; } GOOD[] = {
		{"1", 1}, {"-1.5e3", -1500}, {"1e+2", 100}, {".5", 0.5}, {"2.", 2}, {"2f", 2}, {"2.5F", 2.5}, {"0x1f", 31}, {"017", 15}, {"- 3", -3}, {"-inf", -INFINITY},
		{"Infinity", INFINITY}};
	static const char *const NONE[] = {"true", "\"1\"", "1x", "0x1p3", "abc", "{}"};
	(void)state;
	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		char text[64];
		double value = 0;
		snprintf(text, sizeof text, "a: %s", GOOD[i].text);
		assert_non_null(parse(text));
		assert_true(sl_prototext_double(parse(text)->first, &value));
		assert_true(value == GOOD[i].value);
	}
	for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++) {
		char text[64];
		double value;
		int64_t whole;
		snprintf(text, sizeof text, "a: %s", NONE[i]);
		assert_non_null(parse(text));
		assert_false(sl_prototext_double(parse(text)->first, &value));
		assert_false(sl_prototext_int(parse(text)->first, &whole));
	}
	int64_t whole;
	assert_false(sl_prototext_int(parse("a: 9223372036854775808")->first, &whole));
	assert_true(sl_prototext_int(parse("a: -9223372036854775808")->first, &whole));
	assert_false(sl_prototext_int(parse("a: 1.0")->first, &whole));
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	static const struct { const char *text, *where; } BAD[] = {
		{"a", "s.pbtxt:1:2"}, {"a 1", "s.pbtxt:1:3"}, {"a: 1\nb: {", "s.pbtxt:2:5"}, {"a: 1 }", "s.pbtxt:1:6"}, {"a: \"x", "s.pbtxt:1:6"}, {"a: \"x\ny\"", "s.pbtxt:1:6"},
		{"a: '\\q'", "s.pbtxt:1:7"}, {"a: '\\ud800'", "s.pbtxt:1:11"}, {"a: '\\0'", "s.pbtxt:1:7"}, {"a: [1 2]", "s.pbtxt:1:7"}, {"a: <x: 1}", "s.pbtxt:1:9"}, {"1: 2", "s.pbtxt:1:2"},
		{"a:", "s.pbtxt:1:3"}, {"[a: 1", "s.pbtxt:1:3"}, {"é: 1", "s.pbtxt:1:1"}};
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		assert_null(parse(BAD[i].text));
		assert_int_equal(err.code, SL_E_INVALID);
		assert_string_equal(err.where, BAD[i].where);
	}
	assert_null(parse("a: \"\xff\""));
}

static void depth_is_bounded(void **state)
{
	char text[4 * SL_PROTOTEXT_DEPTH_MAX + 8] = "";
	(void)state;
	for (int i = 0; i < SL_PROTOTEXT_DEPTH_MAX; i++)
		strcat(text, "a{");
	size_t len = strlen(text);
	for (int i = 0; i < SL_PROTOTEXT_DEPTH_MAX; i++)
		strcat(text, "}");
	assert_non_null(parse(text));
	memmove(text + 2, text, strlen(text) + 1);
	memcpy(text, "a{", 2);
	strcat(text, "}");
	assert_int_equal(len, 2 * SL_PROTOTEXT_DEPTH_MAX);
	assert_null(parse(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fields_messages_and_lists, begin, end),
		cmocka_unit_test_setup_teardown(texts_are_unescaped, begin, end),
		cmocka_unit_test_setup_teardown(numbers_are_those_of_the_format, begin, end),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_told_with_its_place, begin, end),
		cmocka_unit_test_setup_teardown(depth_is_bounded, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

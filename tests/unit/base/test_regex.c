/* Every answer here is RE2's own (DuckDB 1.5.6); tests/blackbox/test_checks.py compares random expressions with it. */
#include "base/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_good(void **state)
{
	static const char *const GOOD[] = {
		"", "a", "a|b|", "(|a)*", "()*", "^*", "$+", "a{2}", "a{2,}?", "a{0,1000}", "a{,5}", "x{", "{", "a{01}", "a(?i)*", "x*(?i)*", "(?)", "(?i)a", "(?is-mU:a)",
		"(?P<n>a)(?P<n>b)", "(?P<1a>x)", "(?P<\u00e9>x)", "\\_", "\\-", "\\ ", "\\pL", "\\pLu", "\\p{Greek}", "\\P{^Lu}", "[\\pL-z]", "\\Q(", "\\Q(\\E*", "\\Qab\\E{2}",
		"\\01", "\\77", "\\0", "\\x41", "\\x{10FFFF}", "\\b*", "\\A\\z\\C", "[]a]", "[^]a]", "[a-]", "[-a]", "[--a]", "[\\d-z]", "[[]", "[[:^alpha:][:word:]]", "[[:x]", "[[.a.]]",
		"(a{31}){32}", "(((a{10}){10}){10})", "(a*){1000}", "]", "}", "\u00e9{3}",
	};
	const char *problem;
	size_t at;
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(GOOD); i++)
		if (!sl_regex_valid(GOOD[i], &problem, &at))
			fail_msg("'%s': %s at %zu", GOOD[i], problem, at);
}

static void test_bad(void **state)
{
	static const struct { const char *pattern, *problem; size_t at; } BAD[] = {
		{"*", "nothing", 0}, {"|*", "nothing", 1}, {"(*)", "nothing", 1}, {"(?i)*", "nothing", 4}, {"a|{2}", "nothing", 2}, {"a**", "cannot be repeated", 2},
		{"a{2}{3}", "cannot be repeated", 4}, {"a*?*", "cannot be repeated", 3}, {"a{1001}", "at most 1000", 1}, {"a{2,1}", "lower bound", 1},
		{"(a{100}){100}", "in each other", 8}, {"((a{1000})?){2}", "in each other", 12}, {"(a{1000}|b){2}", "in each other", 11},
		{"(", "not closed", 0}, {"a(b(c)", "not closed", 1}, {")", "without its", 0}, {"[a", "not closed", 0}, {"[]", "not closed", 0}, {"[^]", "not closed", 0},
		{"[z-a]", "before it begins", 1}, {"[a--]", "before it begins", 1}, {"[a-\\d]", "no such escape", 3}, {"[\\b]", "no such escape", 1}, {"[[:foo:]]", "class", 1},
		{"\\p{Foo}", "class", 0}, {"\\p", "class", 0}, {"\\p{}", "class", 0}, {"\\", "escapes nothing", 0}, {"\\1", "back references", 0}, {"\\8", "back references", 0},
		{"\\e", "no such escape", 0}, {"\\Z", "no such escape", 0}, {"\\\u00e9", "no such escape", 0}, {"\\x4", "hexadecimal", 0}, {"\\x{110000}", "hexadecimal", 0},
		{"\\x{}", "hexadecimal", 0}, {"a(?=b)", "ahead", 1}, {"(?<=b)", "ahead", 0}, {"(?<n>a)", "ahead", 0}, {"(?x)", "(?", 0}, {"(?-)", "(?", 0}, {"(?P<>a)", "name", 0},
		{"(?P=n)", "(?", 0}, {"(?i", "(?", 0},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(BAD); i++) {
		const char *problem = "";
		size_t at = 99;
		assert_false(sl_regex_valid(BAD[i].pattern, &problem, &at));
		if (!strstr(problem, BAD[i].problem) || at != BAD[i].at)
			fail_msg("'%s': %s at %zu", BAD[i].pattern, problem, at);
	}
}

static void test_deep(void **state)
{
	char text[3 * SL_REGEX_DEPTH_MAX];
	const char *problem;
	size_t at;
	(void)state;
	memset(text, '(', sizeof text);
	text[sizeof text - 1] = 0;
	assert_false(sl_regex_valid(text, &problem, &at));
	assert_non_null(strstr(problem, "too deeply"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_deep)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

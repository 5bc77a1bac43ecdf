/* YAML as a tree: marks, scalars, and everything that is refused, with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/yaml.h"

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

static const struct sl_yaml *parse(const char *text)
{
	const struct sl_yaml *root = NULL;
	struct sl_error err;
	int rc = sl_yaml_parse(text, strlen(text), "f", arena, &root, &err);
	if (rc)
		fail_msg("%s: %s", err.where, err.message);
	return root;
}

static void test_tree_and_marks(void **state)
{
	(void)state;
	const struct sl_yaml *root = parse("a: 1\nb:\n  - x\n  - {c: 'two words'}\n");
	assert_int_equal(SL_YAML_MAP, root->kind);
	const struct sl_yaml *list = sl_yaml_get(root, "b");
	assert_true(list->kind == SL_YAML_LIST && list->count == 2 && list->entries[0].key == NULL);
	const struct sl_yaml *c = sl_yaml_get(list->entries[1].value, "c");
	assert_string_equal("two words", c->text);
	assert_true(!c->plain && c->mark.line == 4 && c->mark.column == 9);
	assert_null(sl_yaml_get(root, "c"));
	assert_int_equal(0, parse("")->count);
	assert_int_equal(0, parse("# nothing\n---\n...\n")->count);
}

static const struct sl_yaml *scalar(const char *text)
{
	char document[128];
	snprintf(document, sizeof document, "v: %s\n", text);
	return sl_yaml_get(parse(document), "v");
}

static void test_scalars(void **state)
{
	(void)state;
	long long i = 0;
	double d = 0;
	bool b = false;
	assert_true(sl_yaml_int(scalar("2_900_000"), &i) && i == 2900000);
	assert_true(sl_yaml_int(scalar("-7"), &i) && i == -7);
	assert_false(sl_yaml_int(scalar("1__0"), &i) || sl_yaml_int(scalar("_1"), &i) || sl_yaml_int(scalar("1_"), &i) || sl_yaml_int(scalar("'1'"), &i));
	assert_false(sl_yaml_int(scalar("0x10"), &i) || sl_yaml_int(scalar("9223372036854775808"), &i));
	assert_true(sl_yaml_double(scalar("1e-3"), &d) && d == 0.001);
	assert_true(sl_yaml_double(scalar("3"), &d) && d == 3);
	assert_false(sl_yaml_double(scalar(".inf"), &d) || sl_yaml_double(scalar("nan"), &d) || sl_yaml_double(scalar("1.2.3"), &d));
	assert_true(sl_yaml_bool(scalar("True"), &b) && b);
	assert_false(sl_yaml_bool(scalar("yes"), &b) || sl_yaml_bool(scalar("'true'"), &b));
	assert_true(sl_yaml_is_null(scalar("~")) && sl_yaml_is_null(scalar("")) && !sl_yaml_is_null(scalar("''")));
}

static void test_aliases_share(void **state)
{
	(void)state;
	const struct sl_yaml *root = parse("a: &x [1, 2]\nb: *x\n");
	assert_ptr_equal(sl_yaml_get(root, "a"), sl_yaml_get(root, "b"));
}

static void test_refused(void **state)
{
	(void)state;
	static const struct { const char *text, *where; int code; } CASES[] = {
		{"a: 1\na: 2\n", "f:2:1", SL_E_INVALID}, {"a: !!int 1\n", "f:1:4", SL_E_INVALID}, {"a: !x {b: 1}\n", "f:1:4", SL_E_INVALID},
		{"? [a, b]\n: 1\n", "f:1:3", SL_E_INVALID}, {"a: *b\n", "f:1:4", SL_E_INVALID}, {"a: &b [*b]\n", "f:1:8", SL_E_INVALID},
		{"a: [1, 2\n", "f:2:1", SL_E_INVALID}, {"a: 1\n---\nb: 2\n", "f:2:1", SL_E_INVALID}, {"a: \"\\0\"\n", "f:1:4", SL_E_INVALID},
		{"a: \xff\n", "f:1:", SL_E_INVALID}, {"\ta: 1\n", "f:1:", SL_E_INVALID},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(CASES); i++) {
		const struct sl_yaml *root = NULL;
		struct sl_error err;
		assert_int_equal(CASES[i].code, sl_yaml_parse(CASES[i].text, strlen(CASES[i].text), "f", arena, &root, &err));
		if (strncmp(CASES[i].where, err.where, strlen(CASES[i].where)) != 0)
			fail_msg("case %zu: %s, not %s (%s)", i, err.where, CASES[i].where, err.message);
		assert_null(root);
	}
}

static void test_limits(void **state)
{
	(void)state;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(8 << 20);
	const struct sl_yaml *root;
	struct sl_error err;
	for (int i = 0; i <= SL_YAML_ANCHORS_MAX; i++)
		sl_buf_printf(&text, "k%d: &a%d x\n", i, i);
	assert_int_equal(SL_E_TOO_LARGE, sl_yaml_parse(text.data, text.len, "f", arena, &root, &err));
	sl_buf_clear(&text);
	for (int i = 0; i < SL_YAML_DEPTH_MAX; i++)
		sl_buf_str(&text, "[");
	for (int i = 0; i < SL_YAML_DEPTH_MAX; i++)
		sl_buf_str(&text, "]");
	assert_int_equal(0, sl_yaml_parse(text.data, text.len, "f", arena, &root, &err));
	sl_buf_clear(&text);
	sl_buf_str(&text, "[");
	for (int i = 0; i < SL_YAML_NODES_MAX; i++)
		sl_buf_str(&text, "1,");
	sl_buf_str(&text, "]");
	assert_int_equal(SL_E_TOO_LARGE, sl_yaml_parse(text.data, text.len, "f", arena, &root, &err));
	assert_int_equal(SL_E_TOO_LARGE, sl_yaml_parse("", SL_YAML_BYTES_MAX + 1, "f", arena, &root, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_and_marks), cmocka_unit_test(test_scalars), cmocka_unit_test(test_aliases_share), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* The override grammar against Hydra's own answers (tests/data/hydra_overrides.json says where they come from). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "os/file.h"
#include "project/override.h"

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

static bool same(const struct sl_override_value *v, yyjson_val *want);

static bool same_items(const struct sl_override_value *v, yyjson_val *want)
{
	bool ok = yyjson_is_arr(want) && yyjson_arr_size(want) == v->count;
	for (size_t i = 0; ok && i < v->count; i++)
		ok = same(&v->items[i], yyjson_arr_get(want, i));
	return ok;
}

static bool same_dict(const struct sl_override_value *v, yyjson_val *want)
{
	bool ok = yyjson_is_obj(want) && yyjson_obj_size(want) == v->count;
	for (size_t i = 0; ok && i < v->count; i++)
		ok = v->keys[i].type == SL_OVERRIDE_TEXT && same(&v->items[i], yyjson_obj_get(want, v->keys[i].text));
	return ok;
}

static bool same(const struct sl_override_value *v, yyjson_val *want)
{
	switch (v->type) {
	case SL_OVERRIDE_NULL: return yyjson_is_null(want);
	case SL_OVERRIDE_BOOL: return yyjson_is_bool(want) && yyjson_get_bool(want) == (v->i != 0);
	case SL_OVERRIDE_INT: return yyjson_is_int(want) && yyjson_get_sint(want) == v->i;
	case SL_OVERRIDE_DOUBLE: return yyjson_is_real(want) && fabs(yyjson_get_real(want) - v->d) <= 1e-9 * fabs(v->d);
	case SL_OVERRIDE_TEXT: return yyjson_is_str(want) && strcmp(yyjson_get_str(want), v->text) == 0;
	case SL_OVERRIDE_LIST: return same_items(v, want);
	case SL_OVERRIDE_DICT: return same_dict(v, want);
	default: return false;
	}
}

static bool same_range(const struct sl_override_value *v, yyjson_val *want)
{
	double at[3];
	for (int i = 0; i < 3; i++)
		at[i] = v->items[i].type == SL_OVERRIDE_DOUBLE ? v->items[i].d : (double)v->items[i].i;
	size_t count = 0;
	for (double x = at[0]; at[2] > 0 ? x < at[1] - 1e-9 : x > at[1] + 1e-9; x = at[0] + (double)count * at[2]) {
		yyjson_val *w = yyjson_arr_get(want, count++);
		if (!w || fabs(yyjson_get_num(w) - x) > 1e-9)
			return false;
	}
	return count == yyjson_arr_size(want);
}

static bool case_holds(yyjson_val *c)
{
	struct sl_override o;
	struct sl_error err;
	const char *kind = sl_json_str(c, "kind", "");
	int rc = sl_override_parse(sl_json_str(c, "text", ""), arena, &o, &err);
	if (strcmp(kind, "error") == 0)
		return rc == SL_E_INVALID && err.where[0];
	if (rc || sl_override_is_sweep(&o.value) != (strcmp(kind, "sweep") == 0))
		return false;
	yyjson_val *value = yyjson_obj_get(c, "value"), *values = yyjson_obj_get(c, "values");
	if (value)
		return same(&o.value, value);
	if (values && o.value.type == SL_OVERRIDE_RANGE && !o.value.shuffled)
		return same_range(&o.value, values);
	if (values && !o.value.shuffled)
		return same_items(&o.value, values);
	return !values || o.value.type == SL_OVERRIDE_RANGE || o.value.count == yyjson_arr_size(values);
}

static void test_hydra_cases(void **state)
{
	(void)state;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(4 << 20);
	struct sl_error err;
	assert_int_equal(0, sl_file_read(SLUICE_SOURCE_DIR "/tests/data/hydra_overrides.json", &text, &err));
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(sl_buf_cstr(&text), text.len, "cases", &err);
	assert_non_null(doc);
	yyjson_val *cases = yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), *c;
	size_t i, max, wrong = 0;
	assert_true(yyjson_arr_size(cases) > 400);
	yyjson_arr_foreach(cases, i, max, c) {
		if (case_holds(c))
			continue;
		wrong++;
		print_error("differs from Hydra (%s): %s\n", sl_json_str(c, "kind", ""), sl_json_str(c, "text", ""));
	}
	assert_int_equal(0, wrong);
}

static void test_what_run_refuses(void **state)
{
	(void)state;
	static const char *const REFUSED[] = {"+a=1", "++a=1", "~a", "db/x=1", "a@b=1", "a=1,2", "a=[choice(1,2)]", "a=extend_list(1)", "a=shuffle([1,2])"};
	struct sl_override o;
	struct sl_error err;
	for (size_t i = 0; i < SL_ARRAY_LEN(REFUSED); i++) {
		assert_int_equal(0, sl_override_parse(REFUSED[i], arena, &o, &err));
		assert_int_equal(SL_E_INVALID, sl_override_plain(&o, &err));
		assert_true(err.message[0] && err.hint[0]);
	}
	assert_int_equal(0, sl_override_parse("a=[1,{b: c}]", arena, &o, &err));
	assert_int_equal(0, sl_override_plain(&o, &err));
}

static void test_depth_is_bounded(void **state)
{
	(void)state;
	char deep[2 + 100 + 1] = "a=";
	memset(deep + 2, '[', 100);
	struct sl_override o;
	struct sl_error err;
	assert_int_equal(SL_E_INVALID, sl_override_parse(deep, arena, &o, &err));
	assert_non_null(strstr(err.message, "32"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hydra_cases),
		cmocka_unit_test(test_what_run_refuses),
		cmocka_unit_test(test_depth_is_bounded),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

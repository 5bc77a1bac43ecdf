/* Gate rules: what is read, what passes, what each error says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "learn/gate.h"

static const struct sl_scores good = {{{"auc", 0.66}, {"log_loss", 0.36}, {"brier", NAN}}, 3};
static const struct sl_scores champion = {{{"auc", 0.65}, {"log_loss", 0.36}}, 2};

static bool passes(const char *rule, const struct sl_scores *against, char note[160])
{
	struct sl_buf verdict SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 16);
	struct sl_error err = {0};
	bool passed = false;

	if (sl_gate_check(&rule, 1, &good, against, &passed, &verdict, &err))
		fail_msg("%s", err.message);
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(sl_buf_cstr(&verdict), verdict.len, "verdict", &err);
	yyjson_val *item = yyjson_arr_get_first(yyjson_doc_get_root(doc));
	assert_string_equal(sl_json_str(item, "rule", ""), rule);
	assert_int_equal(sl_json_bool(item, "passed", !passed), passed);
	if (note)
		strcpy(note, sl_json_str(item, "note", ""));
	return passed;
}

static void test_fixed_bars(void **state)
{
	(void)state;
	assert_true(passes("auc >= 0.62", NULL, NULL));
	assert_true(passes("auc>=0.66", NULL, NULL));
	assert_false(passes("auc > 0.66", NULL, NULL));
	assert_true(passes("  log_loss <= 3.6e-1  ", NULL, NULL));
	assert_false(passes("log_loss < 0.36", NULL, NULL));
}

static void test_champion(void **state)
{
	char note[160];

	(void)state;
	assert_true(passes("auc >= champion.auc - 0.002", &champion, note));
	assert_string_equal(note, "");
	assert_true(passes("auc >= champion.auc + 0.01", &champion, NULL));
	assert_false(passes("auc >= champion.auc + 0.02", &champion, NULL));
	assert_true(passes("log_loss <= champion.log_loss * 1.01", &champion, NULL));
	assert_true(passes("log_loss <= champion.log_loss", &champion, NULL));
	assert_true(passes("auc >= champion.auc - -0.005", &champion, NULL));
	assert_true(passes("auc >= champion.auc + 9", NULL, note));
	assert_string_equal(note, "there is no champion to compare with");
}

static void test_a_missing_metric_never_passes(void **state)
{
	char note[160];

	(void)state;
	assert_false(passes("r2 >= -100", NULL, note));
	assert_string_equal(note, "the candidate has no 'r2'");
	assert_false(passes("brier <= 100", NULL, NULL));
	assert_false(passes("auc >= champion.r2", &champion, note));
	assert_string_equal(note, "the champion has no 'r2'");
}

static void test_errors_name_the_column(void **state)
{
	static const struct {
		const char *rule, *message, *hint;
	} wrong[] = {
		{"acu >= 0.6", "column 1: there is no metric 'acu'", "did you mean 'auc'?"},
		{"auc = 0.6", "column 5: one of < <= > >= is wanted, not '= 0.6'", ""},
		{"auc >=", "column 7: a number is wanted", ""},
		{"auc >= high", "column 8: a number is wanted, not 'high'", ""},
		{"auc >= 0.6 or r2 > 1", "column 12: the end is wanted, not 'or r2 > 1'", ""},
		{"auc >= champion.acu", "column 17: there is no metric 'acu'", "did you mean 'auc'?"},
		{"auc >= champion.auc / 2", "column 21: one of + - * is wanted", ""},
		{"", "column 1: a metric's name is wanted", ""},
		{"auc >= 1e999", "column 8: a number is wanted", ""},
		{"auc >= nan", "column 8: a number is wanted", ""},
	};

	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		struct sl_gate_rule rule;
		struct sl_error err = {0};
		assert_int_equal(sl_gate_parse(wrong[i].rule, &rule, &err), SL_E_INVALID);
		if (!strstr(err.message, wrong[i].message) || strcmp(err.hint, wrong[i].hint) != 0)
			fail_msg("'%s': %s (%s)", wrong[i].rule, err.message, err.hint);
	}
}

static void test_wanting_the_champion(void **state)
{
	static const char *const with[] = {"auc >= 0.6", "auc >= champion.auc"}, *const without[] = {"auc >= 0.6", "nonsense"};

	(void)state;
	assert_true(sl_gate_wants_champion(with, 2));
	assert_false(sl_gate_wants_champion(without, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_bars),
		cmocka_unit_test(test_champion),
		cmocka_unit_test(test_a_missing_metric_never_passes),
		cmocka_unit_test(test_errors_name_the_column),
		cmocka_unit_test(test_wanting_the_champion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The language of searches, against hand-made results and MLflow's texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "record/filter_sql.h"

static const struct sl_filter_attribute ATTRIBUTES[] = {{"run_name", 0, false}, {"start_time", 1, true}, {"Run name", 0, false}, {0}};
static const struct sl_filter_grammar GRAMMAR = {.attributes = ATTRIBUTES,
	.entities = 1u << SL_ENTITY_METRIC | 1u << SL_ENTITY_PARAM | 1u << SL_ENTITY_TAG | 1u << SL_ENTITY_DATASET};
static const char *const COLUMNS[] = {"r.name", "r.start"}, *const DATASETS[] = {"d.name", "d.digest", "i.context"};
static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS, .metric = "M ", .param = "P ", .tag = "T ", .dataset = "D", .datasets = DATASETS};

static struct sl_arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = sl_arena_new(0, NULL);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	sl_arena_free(arena);
	return 0;
}

static void check_sql(const char *text, const char *expected, size_t values)
{
	struct sl_error err = {0};
	struct sl_filter *filter;
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	assert_int_equal(sl_select_init(&sql, arena, &err), 0);
	if (sl_filter_parse(text, &GRAMMAR, arena, &filter, &err))
		fail_msg("%s: %s", text, err.message);
	assert_non_null(filter);
	sl_filter_sql(filter, &TABLES, &sql);
	assert_string_equal(sl_buf_cstr(&sql.text), expected);
	assert_int_equal(sql.count, values);
}

static void check_error(const char *text, const char *expected)
{
	struct sl_error err = {0};
	struct sl_filter *filter;
	assert_int_equal(sl_filter_parse(text, &GRAMMAR, arena, &filter, &err), SL_E_INVALID);
	if (strcmp(err.message, expected) != 0)
		fail_msg("%s: '%s' instead of '%s'", text, err.message, expected);
}

static void test_every_kind_becomes_sql(void **state)
{
	(void)state;
	check_sql("metrics.acc > 0.5 and params.`a b` = '1'", "(EXISTS (M ?1 AND (value > ?2)) AND EXISTS (P ?3 AND (value = ?4)))", 4);
	check_sql("metric.\"a.b\" != 1e3", "EXISTS (M ?1 AND (value <> ?2 OR value IS NULL))", 2);
	check_sql("tags.a.b like 'x%'", "EXISTS (T ?1 AND (value GLOB ?2))", 2);
	check_sql("tags.`x` ILIKE \"x%\"", "EXISTS (T ?1 AND (value LIKE ?2))", 2);
	check_sql("params.x IS NULL", "NOT EXISTS (P ?1)", 1);
	check_sql("params.x is not null", "EXISTS (P ?1)", 1);
	check_sql("run_name NOT IN ('a', 'b',)", "r.name NOT IN (?1, ?2)", 2);
	check_sql("attributes.`Run name` = 'it''s'", "r.name = ?1", 1);
	check_sql("start_time>=5", "r.start >= ?1", 1);
	check_sql("dataset.digest = 'x'", "EXISTS (D AND d.digest = ?1)", 1);
}

static void test_or_and_parentheses_bind_as_in_sql(void **state)
{
	(void)state;
	check_sql("start_time = 1 OR start_time = 2 AND start_time = 3", "(r.start = ?1 OR (r.start = ?2 AND r.start = ?3))", 3);
	check_sql("(start_time = 1 OR start_time = 2) AND start_time = 3", "((r.start = ?1 OR r.start = ?2) AND r.start = ?3)", 3);
	check_sql("((start_time = 1))", "r.start = ?1", 1);
}

static void test_errors_are_mlflows(void **state)
{
	(void)state;
	check_error("metrics.x ~ 3", "Invalid comparator '~' not one of '{'<', '!=', '>', '=', '>=', '<='}");
	check_error("metrics.x = 'a'", "Expected numeric value type for metric. Found 'a'");
	check_error("params.x = 3", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 3");
	check_error("nosuch.x = 3", "Invalid entity type 'nosuch'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']");
	check_error("start_time = 'x'", "Expected numeric value type for numeric attribute: start_time. Found 'x'");
	check_error("run_name = x", "Expected a quoted string value for attributes. Got value x");
	check_error("nosuch = 'x'", "Invalid attribute key 'nosuch' specified. Valid keys are '{'run_name', 'start_time', 'Run name'}'");
	check_error("start_time = 1 start_time = 2", "Invalid clause(s) in filter string: 'start_time = 2'");
	check_error("(start_time = 1", "Invalid clause(s) in filter string: ''");
	check_error("run_name IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' 'run_name'");
}

static void test_limits_hold(void **state)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	struct sl_filter *filter;
	struct sl_error err;
	(void)state;
	for (int i = 0; i < SL_FILTER_CLAUSES_MAX; i++)
		sl_buf_str(&text, i ? " AND start_time = 1" : "start_time = 1");
	assert_int_equal(sl_filter_parse(sl_buf_cstr(&text), &GRAMMAR, arena, &filter, &err), 0);
	sl_buf_str(&text, " AND start_time = 1");
	check_error(sl_buf_cstr(&text), "A filter may have at most 200 clauses");
	sl_buf_clear(&text);
	for (int i = 0; i <= SL_FILTER_DEPTH_MAX; i++)
		sl_buf_char(&text, '(');
	check_error(sl_buf_cstr(&text), "A filter may nest parentheses at most 20 deep");
	check_error("run_name LIKE '%%%%%%%%%%%%%%%%%'", "A pattern may have at most 16 '%'");
}

static void test_orders(void **state)
{
	struct sl_order order[SL_ORDER_KEYS_MAX];
	struct sl_error err;
	const char *good[] = {"metrics.acc DESC", "`Run name`", "start_time asc"}, *twice[] = {"run_name", "`Run name` DESC"},
		   *bad[] = {"start_time sideways"};
	(void)state;
	assert_int_equal(sl_order_parse(good, 3, &GRAMMAR, arena, order, &err), 0);
	assert_true(order[0].descending && order[0].entity == SL_ENTITY_METRIC && strcmp(order[0].key, "acc") == 0);
	assert_true(!order[1].descending && order[1].entity == SL_ENTITY_ATTRIBUTE && order[1].attribute == 0);
	assert_true(!order[2].descending && order[2].numeric);
	assert_int_equal(sl_order_parse(twice, 2, &GRAMMAR, arena, order, &err), SL_E_INVALID);
	assert_int_equal(sl_order_parse(bad, 1, &GRAMMAR, arena, order, &err), SL_E_INVALID);
	assert_string_equal(err.message, "Invalid ordering key in order_by clause 'start_time sideways'.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_kind_becomes_sql, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_or_and_parentheses_bind_as_in_sql, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors_are_mlflows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits_hold, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_orders, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "project/traffic.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

/* ---- conditions ---- */

/* origin = 'JFK', distance = 700, cargo = true, carrier = null */
static void flight(void *context, size_t i, struct sl_operand *ret)
{
	const char *name = sl_predicate_column(context, i);
	*ret = (struct sl_operand){.kind = SL_OPERAND_NULL};
	if (sl_str_eq(name, "origin"))
		*ret = (struct sl_operand){.kind = SL_OPERAND_TEXT, .text = "JFK", .len = 3};
	else if (sl_str_eq(name, "distance"))
		*ret = (struct sl_operand){.kind = SL_OPERAND_NUMBER, .number = 700};
	else if (sl_str_eq(name, "cargo"))
		*ret = (struct sl_operand){.kind = SL_OPERAND_BOOL, .truth = true};
}

static bool holds(const char *text)
{
	const struct sl_predicate *predicate;
	int rc = sl_predicate_parse(text, arena, &predicate, &err);
	if (rc)
		print_error("%s\n", err.message);
	assert_int_equal(rc, 0);
	return sl_predicate_holds(predicate, flight, (void *)(uintptr_t)predicate);
}

static void conditions_hold_for_a_row_or_do_not(void **state)
{
	(void)state;
	static const char *const TRUE_ONES[] = {
		"origin = 'JFK'", "origin == 'JFK' and distance > 699", "distance >= 700 and distance <= 700", "cargo", "not not cargo",
		"carrier = null", "carrier != 'AA'", "not (carrier < 'AA') and not (carrier > 'AA')", "origin in ('LGA', 'JFK')",
		"origin not in ('LGA', 'EWR')", "distance in (1, 700.0)", "false or true", "origin < 'JFKX'", "\"origin\" = 'JFK'",
		"distance != '700'", "not (distance = '700')", "true and (false or not false)", "origin='JFK'and cargo", "-1 < distance"};
	static const char *const FALSE_ONES[] = {
		"origin = 'LGA'", "distance < 700", "carrier", "origin", "distance", "carrier < 1", "carrier >= 0", "not cargo",
		"origin in ('LGA')", "origin = null", "distance > '1'", "distance < '9'", "cargo = 1", "nothing = 'x'"};
	for (size_t i = 0; i < SL_ARRAY_LEN(TRUE_ONES); i++)
		if (!holds(TRUE_ONES[i]))
			fail_msg("is not true: %s", TRUE_ONES[i]);
	for (size_t i = 0; i < SL_ARRAY_LEN(FALSE_ONES); i++)
		if (holds(FALSE_ONES[i]))
			fail_msg("is true: %s", FALSE_ONES[i]);
}

static void what_is_no_condition_is_refused(void **state)
{
	(void)state;
	static const char *const WRONG[] = {
		"", "origin =", "= 1", "origin 'JFK'", "(origin = 'JFK'", "origin = 'JFK", "and", "origin in 'JFK'", "origin in ()",
		"origin in ('a'", "1 in (1)", "origin in (distance)", "a = 1 b", "a and", "not", "a = 1 = 1", "12ab = 1", "a ; b", "a in (b = 1)"};
	const struct sl_predicate *predicate;
	for (size_t i = 0; i < SL_ARRAY_LEN(WRONG); i++)
		if (sl_predicate_parse(WRONG[i], arena, &predicate, &err) != SL_E_INVALID)
			fail_msg("is taken: %s", WRONG[i]);
}

static void conditions_have_a_size(void **state)
{
	(void)state;
	const struct sl_predicate *predicate;
	char deep[200] = "", wide[6000] = "a = 0";
	for (int i = 0; i < 33; i++)
		strcat(deep, "(");
	assert_int_equal(sl_predicate_parse(deep, arena, &predicate, &err), SL_E_INVALID);
	assert_non_null(strstr(err.message, "too many parentheses"));
	for (int i = 1; i < 80; i++)
		snprintf(wide + strlen(wide), sizeof wide - strlen(wide), " or a = %d", i);
	assert_int_equal(sl_predicate_parse(wide, arena, &predicate, &err), SL_E_INVALID);
	assert_non_null(strstr(err.message, "too many parts"));
	memset(wide, 'a', sizeof wide - 1);
	assert_int_equal(sl_predicate_parse(wide, arena, &predicate, &err), SL_E_TOO_LARGE);
}

/* ---- rules ---- */

static int parse(const char *text, const struct sl_traffic **ret)
{
	return sl_traffic_parse(text, "rules", "delay", "champion", arena, ret, &err);
}

static void rules_are_read(void **state)
{
	(void)state;
	const struct sl_traffic *t;
	assert_int_equal(parse("{\"weights\":{\"champion\":80,\"challenger\":15,\"other@3\":5},\"sticky\":\"flight\","
			       "\"segments\":[{\"when\":\"origin = 'JFK'\",\"to\":\"challenger\"}],"
			       "\"shadow\":{\"candidate\":25},\"fallback\":\"simple@champion\"}",
			       &t), 0);
	assert_int_equal(t->variant_count, 5);
	static const char *const NAMES[] = {"delay@champion", "delay@challenger", "other@3", "delay@candidate", "simple@champion"};
	static const double WEIGHTS[] = {0.8, 0.15, 0.05, 0, 0};
	for (size_t i = 0; i < t->variant_count; i++) {
		size_t at = 0;
		while (!sl_str_eq(t->variants[i].name, NAMES[at]))
			at++;
		assert_true(t->variants[i].weight == WEIGHTS[at]);
		assert_true(t->variants[i].shadow == (sl_str_eq(t->variants[i].name, "delay@candidate") ? 0.25 : 0));
	}
	assert_string_equal(t->sticky, "flight");
	assert_int_equal(t->segment_count, 1);
	assert_string_equal(t->variants[t->segments[0].to].name, "delay@challenger");
	assert_string_equal(t->variants[t->fallback].name, "simple@champion");
	assert_int_equal(parse("", &t), 0);
	assert_int_equal(t->variant_count, 1);
	assert_true(t->variants[0].weight == 1 && t->fallback == SIZE_MAX && !*t->sticky);
}

static void wrong_rules_say_what_is_wrong(void **state)
{
	(void)state;
	static const char *const WRONG[][2] = {
		{"[]", "is a list, not a map"}, {"{\"weight\":{}}", "has no 'weight'"}, {"{\"weights\":{}}", "add up to nothing"},
		{"{\"weights\":{\"champion\":-1}}", "must be a number"}, {"{\"weights\":{\"champion\":\"1\"}}", "must be a number"},
		{"{\"weights\":{\"a b\":1}}", "names no variant"}, {"{\"weights\":[1]}", "'weights' of 'traffic' is"},
		{"{\"segments\":[{\"when\":\"a = 1\"}]}", "a segment is"}, {"{\"segments\":[{\"when\":\"a =\",\"to\":\"b\"}]}", "cannot be read"},
		{"{\"segments\":[{\"when\":\"a\",\"to\":\"b\",\"x\":1}]}", "has no 'x'"}, {"{\"shadow\":{\"a\":101}}", "from 0 to 100"},
		{"{\"shadow\":1}", "'shadow' of 'traffic' is"}, {"{\"fallback\":\"a@b@c\"}", "names no variant"}, {"{\"sticky\":1}", "'sticky' of"}};
	const struct sl_traffic *t;
	for (size_t i = 0; i < SL_ARRAY_LEN(WRONG); i++) {
		assert_int_equal(parse(WRONG[i][0], &t), SL_E_INVALID);
		if (!strstr(err.message, WRONG[i][1]))
			fail_msg("%s: %s", WRONG[i][0], err.message);
	}
	parse("{\"weight\":{}}", &t);
	assert_string_equal(err.hint, "did you mean 'weights'?");
}

static void more_variants_than_there_is_room_for_are_refused(void **state)
{
	(void)state;
	const struct sl_traffic *t;
	char text[1000] = "{\"shadow\":[\"v0\"";
	for (int i = 1; i < SL_VARIANTS_MAX; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), ",\"v%d\"", i);
	strcat(text, "]}");
	assert_int_equal(parse(text, &t), SL_E_TOO_LARGE); /* the champion is one, too */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_hold_for_a_row_or_do_not),
		cmocka_unit_test(what_is_no_condition_is_refused),
		cmocka_unit_test(conditions_have_a_size),
		cmocka_unit_test(rules_are_read),
		cmocka_unit_test(wrong_rules_say_what_is_wrong),
		cmocka_unit_test(more_variants_than_there_is_room_for_are_refused),
	};
	return cmocka_run_group_tests(tests, begin, end);
}

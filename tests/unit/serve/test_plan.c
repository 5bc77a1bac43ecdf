#include "../oip/forms.h"
#include "serve/plan.h"
#include "serve/predict.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct sl_endpoint SPEC = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
static struct sl_served *full, *small; /* of four columns, and of the first two of them */
static struct sl_inputs rows;
static struct sl_error err;

static int begin(void **state)
{
	(void)state;
	full = forms_served(&SPEC, false);
	small = forms_served(&SPEC, true);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sl_inputs_done(&rows);
	sl_served_unref(full);
	sl_served_unref(small);
	return 0;
}

/* Loaded: those that are not NULL, in the order of the variants. */
static struct sl_served *front(const char *rules, struct sl_served *first, struct sl_served *second, struct sl_served *third)
{
	struct sl_served *served[SL_VARIANTS_MAX] = {first, second, third}, *ret;
	assert_int_equal(sl_plan_make(NULL, &SPEC, rules, served, NULL, &ret, &err), 0);
	return ret;
}

static void begin_rows(struct sl_served *of, size_t count)
{
	assert_int_equal(sl_inputs_begin(&rows, of, count, &err), 0);
	memset(rows.given, 1, of->slot_count);
}

static struct sl_cell *cell(const char *column, size_t row)
{
	ptrdiff_t slot = sl_served_slot(rows.served, column, strlen(column), 0);
	assert_true(slot >= 0);
	return &rows.cells[(size_t)slot * rows.count + row];
}

#define TEXT(text_) ((struct sl_cell){.kind = SL_CELL_TEXT, .text = text_, .len = sizeof text_ - 1})

static void a_front_has_every_column_that_rules_and_variants_need(void **state)
{
	(void)state;
	struct sl_served *of = front("{\"weights\":{\"champion\":1,\"challenger\":1},\"sticky\":\"user\","
				     "\"segments\":[{\"when\":\"region = 'eu'\",\"to\":\"challenger\"}]}",
				     small, full, NULL);
	static const char *const COLUMNS[] = {"distance", "speed", "flight", "date", "user", "region", "cargo", "origin"};
	assert_int_equal(of->slot_count, SL_ARRAY_LEN(COLUMNS));
	for (size_t i = 0; i < SL_ARRAY_LEN(COLUMNS); i++)
		assert_string_equal(of->slots[i], COLUMNS[i]);
	const struct sl_plan_variant *challenger = &of->plan->variants[1];
	static const size_t SLOTS[] = {0, 1, 6, 7};
	for (size_t f = 0; f < 4; f++)
		assert_int_equal(challenger->slots[f], SLOTS[f]);
	assert_int_equal(of->plan->features, 4);
	sl_served_unref(of);
}

static void segments_are_tried_in_their_order(void **state)
{
	(void)state;
	struct sl_served *of = front("{\"segments\":[{\"when\":\"distance < 100\",\"to\":\"near\"},{\"when\":\"origin = 'JFK'\",\"to\":\"jfk\"}]}",
				     full, full, full);
	begin_rows(of, 3);
	*cell("distance", 0) = (struct sl_cell){.kind = SL_CELL_INT, .i = 50};
	*cell("origin", 0) = TEXT("JFK");
	*cell("distance", 1) = (struct sl_cell){.kind = SL_CELL_INT, .i = 500};
	*cell("origin", 1) = TEXT("JFK");
	*cell("distance", 2) = (struct sl_cell){.kind = SL_CELL_INT, .i = 500};
	sl_plan_choose(of->plan, &rows);
	static const unsigned char VARIANTS[] = {1, 2, 0}, REASONS[] = {SL_ROUTE_SEGMENT, SL_ROUTE_SEGMENT, SL_ROUTE_WEIGHT};
	assert_memory_equal(rows.variants, VARIANTS, 3);
	assert_memory_equal(rows.reasons, REASONS, 3);
	assert_true(rows.mixed);
	assert_string_equal(sl_inputs_variant(&rows), "delay@champion,delay@near,delay@jfk");
	assert_string_equal(sl_inputs_row_variants(&rows), "1,2,0");
	sl_inputs_end(&rows);
	sl_served_unref(of);
}

/* Of 20,000 users, how many have each variant; `before` (may be NULL) is what each had, and gets what each has. */
static void count_users(const char *rules, unsigned char *before, size_t counts[3], size_t moved[3])
{
	enum { USERS = 20000 };
	struct sl_served *of = front(rules, full, full, full);
	begin_rows(of, USERS);
	for (size_t user = 0; user < USERS; user++)
		*cell("user", user) = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)user};
	sl_plan_choose(of->plan, &rows);
	memset(counts, 0, 3 * sizeof *counts);
	memset(moved, 0, 3 * sizeof *moved);
	for (size_t user = 0; user < USERS; user++) {
		assert_int_equal(rows.reasons[user], SL_ROUTE_STICKY);
		counts[rows.variants[user]]++;
		moved[rows.variants[user]] += before[user] != rows.variants[user];
		before[user] = rows.variants[user];
	}
	sl_inputs_end(&rows);
	sl_served_unref(of);
}

static void sticky_users_stay_and_a_growing_share_only_takes(void **state)
{
	(void)state;
	static unsigned char before[20000];
	size_t counts[3], moved[3];
	count_users("{\"weights\":{\"champion\":90,\"a\":5,\"b\":5},\"sticky\":\"user\"}", before, counts, moved);
	assert_in_range(counts[0], 17800, 18200);
	assert_in_range(counts[1], 900, 1100);
	count_users("{\"weights\":{\"champion\":90,\"a\":5,\"b\":5},\"sticky\":\"user\"}", before, counts, moved);
	assert_int_equal(moved[0] + moved[1] + moved[2], 0);
	count_users("{\"weights\":{\"champion\":90,\"a\":30,\"b\":5},\"sticky\":\"user\"}", before, counts, moved);
	assert_int_equal(moved[0], 0);
	assert_int_equal(moved[2], 0);
	assert_in_range(counts[1], 4600, 5000); /* 30 of 125 */
}

/* The hash is a promise: these are its values for good. 5 and "5" are one key. */
static void a_key_has_its_place_for_good(void **state)
{
	(void)state;
	assert_float_equal(sl_plan_place("delay@champion", "5", 1), 0.055526425855582706, 1e-12);
	assert_float_equal(sl_plan_place("delay@challenger", "5", 1), 0.39844554933688264, 1e-12);
	struct sl_served *of = front("{\"weights\":{\"champion\":1,\"a\":1},\"sticky\":\"user\"}", full, full, NULL);
	begin_rows(of, 200);
	for (size_t i = 0; i < 100; i++) {
		char *text = sl_arena_printf(rows.arena, "%zu", i);
		*cell("user", 2 * i) = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)i};
		*cell("user", 2 * i + 1) = (struct sl_cell){.kind = SL_CELL_TEXT, .text = text, .len = (uint32_t)strlen(text)};
	}
	sl_plan_choose(of->plan, &rows);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(rows.variants[2 * i], rows.variants[2 * i + 1]);
	sl_inputs_end(&rows);
	sl_served_unref(of);
}

static void draws_follow_the_weights(void **state)
{
	(void)state;
	struct sl_served *of = front("{\"weights\":{\"champion\":70,\"a\":30}}", full, full, NULL);
	begin_rows(of, 1);
	size_t to_a = 0;
	for (int i = 0; i < 20000; i++) {
		sl_plan_choose(of->plan, &rows);
		to_a += rows.variants[0];
	}
	assert_in_range(to_a, 5600, 6400); /* six standard deviations either way */
	sl_inputs_end(&rows);
	sl_served_unref(of);
}

static void who_is_not_there_is_stood_in_for(void **state)
{
	(void)state;
	struct sl_served *of = front("{\"weights\":{\"champion\":0,\"a\":1},\"fallback\":\"b\"}", NULL, NULL, full);
	begin_rows(of, 1);
	sl_plan_choose(of->plan, &rows);
	assert_int_equal(rows.variants[0], 2);
	assert_int_equal(rows.reasons[0], SL_ROUTE_FALLBACK);
	sl_inputs_end(&rows);
	sl_served_unref(of);
	of = front("{\"weights\":{\"champion\":1,\"a\":99}}", full, NULL, NULL);
	begin_rows(of, 1);
	sl_plan_choose(of->plan, &rows);
	assert_int_equal(rows.variants[0], 0);
	assert_int_equal(rows.reasons[0], SL_ROUTE_WEIGHT);
	sl_inputs_end(&rows);
	sl_served_unref(of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_front_has_every_column_that_rules_and_variants_need),
		cmocka_unit_test(segments_are_tried_in_their_order),
		cmocka_unit_test(sticky_users_stay_and_a_growing_share_only_takes),
		cmocka_unit_test(a_key_has_its_place_for_good),
		cmocka_unit_test(draws_follow_the_weights),
		cmocka_unit_test(who_is_not_there_is_stood_in_for),
	};
	return cmocka_run_group_tests(tests, begin, end);
}

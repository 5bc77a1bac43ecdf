/* Profiles against the engine's own aggregates, which are another computation of the same numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/engine.h"
#include "data/profile.h"
#include "os/file.h"

struct fixture {
	char dir[SL_PATH_MAX], path[SL_PATH_MAX + 16];
	struct sl_arena *arena;
	struct sl_sql *sql;
	struct sl_profile profile;
	struct sl_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	assert_int_equal(sl_dir_make_temporary("/tmp", "sl-profile-", f->dir, NULL), 0);
	snprintf(f->path, sizeof f->path, "%s/t.parquet", f->dir);
	f->arena = sl_arena_new(0, NULL);
	const struct sl_sql_options options = {.write_dir = f->dir};
	assert_int_equal(sl_sql_open(&options, &f->sql, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sl_sql_close(f->sql);
	sl_dir_remove(f->dir, NULL);
	sl_arena_free(f->arena);
	free(f);
	return 0;
}

static void must(struct fixture *f, int rc)
{
	if (rc < 0)
		fail_msg("%s: %s", f->err.where, f->err.message);
}

/* Also through its JSON and back: what is compared below has come both ways. */
static void make(struct fixture *f, const char *select)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20), again = SL_BUF_INIT(1 << 20);
	const char *paths[] = {f->path};
	struct sl_staged staged;

	must(f, sl_sql_write(f->sql, select, NULL, 0, "", f->path, NULL, &f->err));
	must(f, sl_staged_inspect_in(f->sql, paths, NULL, 1, f->arena, &staged, &f->err));
	must(f, sl_profile_execute(f->sql, &staged, f->arena, &f->profile, &f->err));
	must(f, sl_profile_write(&f->profile, &text, &f->err));
	must(f, sl_profile_parse(sl_buf_cstr(&text), text.len, f->arena, &f->profile, &f->err));
	must(f, sl_profile_write(&f->profile, &again, &f->err));
	assert_string_equal(sl_buf_cstr(&text), sl_buf_cstr(&again));
}

static double ask(struct fixture *f, const char *expression)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	char text[SL_PATH_MAX + 1024];
	size_t rows;

	snprintf(text, sizeof text, "SELECT (%s)::DOUBLE FROM read_parquet('%s')", expression, f->path);
	must(f, sl_sql_query(f->sql, text, NULL, 0, "", &result, &f->err));
	assert_int_equal(sl_sql_next(result, &columns, &rows, &f->err), 1);
	return columns[0].valid && !columns[0].valid[0] ? NAN : columns[0].doubles[0];
}

static void near(struct fixture *f, const char *expression, double got, double tolerance)
{
	double expected = ask(f, expression);

	if (!(fabs(got - expected) <= tolerance * fmax(1, fabs(expected))) && !(isnan(got) && isnan(expected)))
		fail_msg("%s is %.17g, the profile says %.17g", expression, expected, got);
}

static const struct sl_profile_column *column(struct fixture *f, const char *name)
{
	const struct sl_profile_column *c = sl_profile_column(&f->profile, name);

	assert_non_null(c);
	return c;
}

static const char *fill_in(const char *expression, const char *name, char out[512])
{
	size_t len = 0;

	for (; *expression; expression++)
		len += (size_t)snprintf(out + len, 512 - len, "%.*s", *expression == '@' ? 64 : 1, *expression == '@' ? name : expression);
	return out;
}

static void compare_numbers(struct fixture *f, const char *name, double share)
{
	const struct sl_profile_column *c = column(f, name);
	char text[512];
	uint64_t sum = 0;

	const struct { const char *expression; double got, tolerance; } FACTS[] = { /* @ is the column */
		{"count(*) FILTER (@ IS NOT NULL)", (double)c->present, 0},
		{"count(*) FILTER (@ IS NULL)", (double)c->missing, 0},
		{"count(*) FILTER (@ = 0)", (double)c->zeros, 0},
		{"count(*) FILTER (@ < 0 AND isfinite(@::DOUBLE))", (double)c->negative, 0},
		{"count(*) FILTER (isnan(@::DOUBLE))", (double)c->nan, 0},
		{"count(*) FILTER (isinf(@::DOUBLE))", (double)c->infinite, 0},
		{"min(@) FILTER (isfinite(@::DOUBLE))", c->min, 0},
		{"max(@) FILTER (isfinite(@::DOUBLE))", c->max, 0},
		{"avg(@) FILTER (isfinite(@::DOUBLE))", c->mean, 1e-12},
		{"stddev_samp(@) FILTER (isfinite(@::DOUBLE))", c->std, 1e-9},
		{"count(DISTINCT @) FILTER (isfinite(@::DOUBLE))", (double)c->distinct, 4 * c->distinct_error},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(FACTS); i++)
		near(f, fill_in(FACTS[i].expression, name, text), FACTS[i].got, FACTS[i].tolerance);
	for (size_t i = 0; i < SL_PROFILE_QUANTILES; i += 25) {
		/* The answer's rank, since equal ranks can have different values. */
		snprintf(text, sizeof text, "count(*) FILTER (%s <= %.17g) / count(*) FILTER (isfinite(%s::DOUBLE))", name, c->quantiles[i], name);
		double rank = ask(f, text);
		assert_true(rank >= (double)i / 100 - share - 1e-9);
	}
	for (size_t i = 0; i < c->bin_count; i++)
		sum += c->bins[i];
	assert_int_equal(sum, c->present - c->nan - c->infinite);
	snprintf(text, sizeof text, "count(*) FILTER (%s <= %.17g)", name, c->min + (c->max - c->min) / 20);
	near(f, text, (double)c->bins[0], share * (double)c->present);
}

static void numbers_of_every_type(void **state)
{
	struct fixture *f = *state;

	make(f, "SELECT (i * 37 % 1000 - 300)::BIGINT AS a, (CASE WHEN i % 7 = 0 THEN NULL ELSE i % 90 END)::TINYINT AS b, "
		"CASE WHEN i % 11 = 0 THEN 'NaN'::DOUBLE WHEN i % 13 = 0 THEN '-inf'::DOUBLE ELSE sin(i) * 1e6 + 1e9 END AS c, "
		"(i / 8.0)::DECIMAL(18,3) AS d, (i % 3)::FLOAT AS e, (i * 1000003)::HUGEINT AS g FROM range(50000) AS t(i)");
	compare_numbers(f, "a", 0);
	compare_numbers(f, "b", 0);
	compare_numbers(f, "c", 0.002);
	compare_numbers(f, "d", 0.002);
	compare_numbers(f, "e", 0);
	compare_numbers(f, "g", 0.002);
	assert_true(column(f, "a")->whole && column(f, "a")->distinct_error == 0);
	assert_true(!column(f, "c")->whole && column(f, "c")->distinct_error > 0);
}

static void correlations(void **state)
{
	struct fixture *f = *state;

	make(f, "SELECT i::BIGINT AS a, (i * 3 + hash(i)::DOUBLE % 1000) AS b, CASE WHEN i % 5 = 0 THEN NULL ELSE -i + cos(i) * 900 END AS c, "
		"7 AS d FROM range(30000) AS t(i)");
	assert_int_equal(f->profile.pair_count, 3); /* the constant has none */
	for (size_t i = 0; i < f->profile.pair_count; i++) {
		const struct sl_profile_pair *pair = &f->profile.pairs[i];
		char text[256];
		snprintf(text, sizeof text, "corr(%s, %s)", f->profile.columns[pair->a].name, f->profile.columns[pair->b].name);
		near(f, text, pair->r, 1e-12);
	}
}

static void texts_times_and_others(void **state)
{
	struct fixture *f = *state;

	make(f, "SELECT CASE WHEN i % 4 = 0 THEN NULL WHEN i % 4 = 1 THEN 'äöü' ELSE 'k' || (i % 50) END AS t, "
		"TIMESTAMP '2001-01-01 00:00:00.000250' + to_days((i % 400)::INTEGER) AS w, DATE '1960-01-01' + (i % 5)::INTEGER AS d, "
		"i % 3 = 0 AS b, [i] AS l, {'x': i} AS s, 'infinity'::TIMESTAMP AS n, CASE WHEN i % 2 = 0 THEN NULL ELSE 'x'::BLOB END AS z "
		"FROM range(4000) AS t(i)");
	const struct sl_profile_column *t = column(f, "t"), *w = column(f, "w"), *b = column(f, "b");
	assert_int_equal(t->missing, 1000);
	assert_int_equal(t->distinct, ask(f, "count(DISTINCT t)"));
	assert_string_equal(t->min_text, "k0");
	assert_string_equal(t->max_text, "äöü");
	assert_int_equal(t->length_min, 2);
	assert_int_equal(t->length_max, 3);
	near(f, "avg(length(t))", t->length_mean, 1e-12);
	assert_string_equal(t->top[0].text, "äöü");
	assert_int_equal(t->top[0].count, 1000);
	near(f, "epoch_us(min(w))", w->min, 0);
	near(f, "epoch_us(max(w))", w->max, 0);
	near(f, "avg(epoch_us(w))", w->mean, 1e-9);
	near(f, "stddev_samp(epoch_us(w))", w->std, 1e-9);
	near(f, "epoch_us(min(d))", column(f, "d")->min, 0);
	near(f, "avg(b::INTEGER)", b->mean, 1e-12);
	assert_int_equal(b->distinct, 2);
	assert_int_equal(column(f, "l")->present, 4000);
	assert_int_equal(column(f, "s")->kind, SL_PROFILE_OTHER);
	assert_int_equal(column(f, "z")->missing, 2000);
	assert_int_equal(column(f, "n")->infinite, 4000);
	assert_int_equal(column(f, "n")->bin_count, 0);
}

static void no_rows_and_one_value(void **state)
{
	struct fixture *f = *state;

	make(f, "SELECT 1 AS a, 'x' AS t, NULL::DOUBLE AS c WHERE false");
	assert_int_equal(f->profile.rows, 0);
	assert_int_equal(column(f, "a")->bin_count, 0);
	assert_true(isnan(column(f, "a")->mean) && isnan(column(f, "a")->min));
	make(f, "SELECT 5 AS a, 'x' AS t, NULL::DOUBLE AS c FROM range(10)");
	assert_int_equal(column(f, "a")->bin_count, 1);
	assert_int_equal(column(f, "a")->bins[0], 10);
	assert_int_equal(column(f, "c")->missing, 10);
	assert_int_equal(column(f, "c")->distinct, 0);
	assert_true(column(f, "a")->std == 0);
}

static void damaged_profiles_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const BAD[] = {
		"", "[]", "{\"format\":\"sluice.profile/2\"}", "{\"format\":\"sluice.profile/1\",\"columns\":[{\"kind\":\"x\"}]}",
		"{\"format\":\"sluice.profile/1\",\"columns\":[{\"kind\":\"number\",\"histogram\":[1]}]}",
		"{\"format\":\"sluice.profile/1\",\"columns\":[],\"correlations\":[{\"a\":\"x\",\"b\":\"y\"}]}",
	};

	for (size_t i = 0; i < SL_ARRAY_LEN(BAD); i++)
		assert_int_not_equal(sl_profile_parse(BAD[i], strlen(BAD[i]), f->arena, &f->profile, &f->err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_of_every_type, setup, teardown),
		cmocka_unit_test_setup_teardown(correlations, setup, teardown),
		cmocka_unit_test_setup_teardown(texts_times_and_others, setup, teardown),
		cmocka_unit_test_setup_teardown(no_rows_and_one_value, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_profiles_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

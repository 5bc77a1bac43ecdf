#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/check.h"
#include "data/engine.h"
#include "data/repeat.h"

struct fixture {
	char dir[SL_PATH_MAX], staging[SL_PATH_MAX];
	struct sl_arena *arena;
	struct sl_check checks[16];
	struct sl_check_job job;
	struct sl_check_report report;
	struct sl_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	assert_int_equal(sl_dir_make_temporary("/tmp", "sl-check-", f->dir, NULL), 0);
	snprintf(f->staging, sizeof f->staging, "%.4000s/staging", f->dir);
	f->arena = sl_arena_new(0, NULL);
	f->job = (struct sl_check_job){.dataset = "trips", .checks = f->checks};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sl_dir_remove(f->dir, NULL);
	sl_arena_free(f->arena);
	free(f);
	return 0;
}

static void inspect(struct fixture *f, const char *const *paths, size_t count)
{
	if (sl_staged_inspect(paths, NULL, count, f->arena, &f->job.table, &f->err) < 0)
		fail_msg("%s: %s", f->err.where, f->err.message);
}

/* The table under test, made by a statement; several statements make several files. */
static void make_table(struct fixture *f, const char *const *selects, size_t count)
{
	struct sl_sql_options options = {.write_dir = f->dir};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	const char *paths[4];

	assert_int_equal(sl_sql_open(&options, &sql, NULL), 0);
	for (size_t i = 0; i < count; i++) {
		paths[i] = sl_arena_printf(f->arena, "%s/input%zu", f->dir, i);
		if (sl_sql_write(sql, selects[i], NULL, 0, "", paths[i], NULL, &f->err) < 0)
			fail_msg("%s", f->err.message);
	}
	inspect(f, paths, count);
}

static void make_one(struct fixture *f, const char *select) { make_table(f, &select, 1); }

static struct sl_names names(struct fixture *f, const char *list)
{
	struct sl_names out = {.items = sl_arena_array(f->arena, 16, sizeof *out.items)};
	char *copy = sl_arena_strdup(f->arena, list), *rest = NULL;

	for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		out.items[out.count++] = name;
	return out;
}

static struct sl_check *add(struct fixture *f, enum sl_check_kind kind, const char *name, const char *columns)
{
	struct sl_check *check = &f->checks[f->job.count++];

	*check = (struct sl_check){.kind = kind,
				   .name = name,
				   .columns = names(f, columns),
				   .types = {.items = NULL},
				   .text = "",
				   .other = "",
				   .where = "",
				   .mostly = 1,
				   .definition = "{}",
				   .mark = {.line = 10 + (int)f->job.count, .column = 9}};
	return check;
}

static struct sl_value integer(int64_t i) { return (struct sl_value){.type = SL_VALUE_INT, .i = i}; }

static struct sl_check *add_between(struct fixture *f, const char *name, const char *column, int64_t min, int64_t max)
{
	struct sl_check *check = add(f, SL_CHECK_BETWEEN, name, column);

	check->has_min = check->has_max = true;
	check->min = integer(min);
	check->max = integer(max);
	return check;
}

static int execute(struct fixture *f)
{
	const struct sl_work work = {.threads = 2};

	memset(&f->err, 0, sizeof f->err);
	return sl_check_execute(&f->job, f->staging, &work, f->arena, &f->report, &f->err);
}

static const struct sl_check_result *run(struct fixture *f)
{
	if (execute(f) < 0)
		fail_msg("%s: %s (%s)", f->err.where, f->err.message, f->err.hint);
	return f->report.results;
}

static void expect(const struct sl_check_result *result, enum sl_check_state state, uint64_t considered, uint64_t failing,
		   const char *message)
{
	if (result->state != state || result->considered != considered || result->failing != failing
	    || strcmp(result->message, message) != 0)
		fail_msg("%s: state %d, %llu considered, %llu failing, '%s'", result->name, (int)result->state,
			 (unsigned long long)result->considered, (unsigned long long)result->failing, result->message);
}

static int append_row(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	(void)err;
	sl_buf_printf(context, "%.*s\n", (int)columns[0].texts[row].len, columns[0].texts[row].data);
	return 0;
}

static void expect_rows(const struct sl_staged *table, const char *expression, const char *wanted)
{
	const char *paths[] = {table->files[0].path};
	struct sl_sql_options options = {.raw_paths = paths, .raw_path_count = 1};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 20), text = SL_BUF_INIT(1 << 20);
	struct sl_error err = {0};

	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	sl_buf_printf(&text, "SELECT (%s)::VARCHAR FROM read_parquet('%s')", expression, paths[0]);
	if (sl_engine_each(&(struct sl_engine){.sql = sql}, sl_buf_cstr(&text), append_row, &out, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(sl_buf_cstr(&out), wanted);
}

static const char TRIPS[] =
	"SELECT range::BIGINT AS id, CASE WHEN range % 10 = 3 THEN NULL ELSE range % 10 END AS delay, range % 4 AS k, "
	"CASE WHEN range = 7 THEN 'x-7' ELSE 'NY' || range END AS code FROM range(100)";

static void test_row_checks(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add(f, SL_CHECK_NOT_NULL, "not_null(id)", "id,code");
	add(f, SL_CHECK_NOT_NULL, "not_null(delay)", "delay");
	add_between(f, "between(delay)", "delay", 1, 8);
	struct sl_check *set = add(f, SL_CHECK_IN_SET, "in_set(k)", "k");
	set->values = (struct sl_value[]){integer(0), integer(1), integer(2)};
	set->value_count = 3;
	add(f, SL_CHECK_REGEX, "regex(code)", "code")->text = "[A-Z]{2}[0-9]+";
	add_between(f, "between(delay) where", "delay", 1, 8)->where = "k = 0 -- only these";
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 100, 0, "");
	expect(&results[1], SL_CHECK_FAILED, 100, 10, "10 of 100 rows");
	/* Nulls are none of between's business. */
	expect(&results[2], SL_CHECK_FAILED, 90, 20, "20 of 90 rows");
	expect(&results[3], SL_CHECK_FAILED, 100, 25, "25 of 100 rows");
	expect(&results[4], SL_CHECK_FAILED, 100, 1, "1 of 100 rows");
	expect(&results[5], SL_CHECK_FAILED, 25, 5, "5 of 25 rows");
	assert_true(f->report.failed);
	assert_string_equal(results[4].rows, "[{\"row\":8,\"values\":{\"id\":7,\"delay\":7,\"k\":3,\"code\":\"x-7\"}}]");
	assert_int_equal(f->report.quarantine.file_count, 0);
	assert_string_equal(f->report.clean.files[0].path, f->job.table.files[0].path);
}

/* What `sql` of a result finds is what failed. */
static void test_sql_finds_rows(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 1, 8)->where = "k = 0";
	const struct sl_check_result *results = run(f);
	const char *paths[] = {f->job.table.files[0].path};
	const struct sl_sql_table table = {.name = "trips", .paths = paths, .path_count = 1};
	struct sl_sql_options options = {.tables = &table, .table_count = 1};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	char text[4096];
	int64_t count;
	assert_int_equal(sl_sql_open(&options, &sql, NULL), 0);
	snprintf(text, sizeof text, "SELECT count(*) FROM (%s)", results[0].sql);
	assert_int_equal(sl_engine_ints(&(struct sl_engine){.sql = sql}, text, &count, 1, NULL), 0);
	assert_int_equal(count, 5);
}

static void test_mostly_and_severity(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add_between(f, "a", "delay", 1, 8)->mostly = 0.77;
	add_between(f, "b", "delay", 1, 8)->mostly = 0.78;
	struct sl_check *warn = add_between(f, "c", "delay", 1, 8);
	warn->warn_only = true;
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 90, 20, "20 of 90 rows");
	expect(&results[1], SL_CHECK_FAILED, 90, 20, "20 of 90 rows");
	expect(&results[2], SL_CHECK_WARNED, 90, 20, "20 of 90 rows");
	assert_string_equal(results[2].severity, "warn");
}

static void test_columns(void **state)
{
	struct fixture *f = *state;

	make_one(f, "SELECT 1::BIGINT AS id, 'x' AS name, TIMESTAMP '2001-01-01' AS t");
	add(f, SL_CHECK_COLUMNS, "columns", "id,name,t")->types = names(f, "bigint,text,timestamp");
	add(f, SL_CHECK_COLUMNS, "columns", "id")->types = names(f, "double");
	add(f, SL_CHECK_COLUMNS, "columns", "id,nam")->types = names(f, "bigint,text");
	add(f, SL_CHECK_NOT_NULL, "not_null(other)", "other");
	add_between(f, "between(name)", "name", 1, 2);
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 0, 0, "");
	expect(&results[1], SL_CHECK_FAILED, 0, 0, "column 'id' is BIGINT, not DOUBLE");
	expect(&results[2], SL_CHECK_FAILED, 0, 0, "there is no column 'nam'; the nearest is 'name'");
	expect(&results[3], SL_CHECK_FAILED, 0, 0, "there is no column 'other'");
	expect(&results[4], SL_CHECK_FAILED, 0, 0, "column 'name' is VARCHAR, which cannot be compared with a number");
}

static void test_between_kinds(void **state)
{
	struct fixture *f = *state;

	make_one(
		f,
		"SELECT unnest([0.5, 'nan'::DOUBLE, NULL, 2, 'inf'::DOUBLE]) AS x, unnest([TIMESTAMP '2001-01-01', "
		"'2001-01-02', NULL, '2001-01-03', '2001-01-04']) AS t");
	struct sl_check *only_min = add(f, SL_CHECK_BETWEEN, "min", "x");
	only_min->has_min = true;
	only_min->min = (struct sl_value){.type = SL_VALUE_DOUBLE, .d = 0.5};
	struct sl_check *times = add(f, SL_CHECK_BETWEEN, "times", "t");
	times->has_min = times->has_max = true;
	times->min = (struct sl_value){.type = SL_VALUE_TIME, .i = INT64_C(978393600000000)}; /* 2001-01-02 */
	times->max = (struct sl_value){.type = SL_VALUE_TIME, .i = INT64_C(978480000000000)};
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 4, 1, "1 of 4 rows"); /* NaN */
	expect(&results[1], SL_CHECK_FAILED, 4, 2, "2 of 4 rows");
}

static void test_rows(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	struct sl_check *min = add(f, SL_CHECK_ROWS, "rows", "");
	min->has_min = true;
	min->min = integer(101);
	struct sl_check *max = add(f, SL_CHECK_ROWS, "rows", "");
	max->has_max = true;
	max->max = integer(100);
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 100, 0, "100 rows, at least 101 are asked for");
	expect(&results[1], SL_CHECK_PASSED, 100, 0, "");
}

static void test_custom_sql(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT k, count(*) AS n FROM trips GROUP BY k HAVING count(*) <> 25 -- even";
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT id FROM trips WHERE id >= 98 ORDER BY id";
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 100, 0, "");
	expect(&results[1], SL_CHECK_FAILED, 100, 2, "2 of 100 rows");
	assert_string_equal(results[1].rows, "[{\"values\":{\"id\":98}},{\"values\":{\"id\":99}}]");
}

/* A query that fails because the table is not what another check asks for is no second riddle. */
static void test_query_over_wrong_table(void **state)
{
	struct fixture *f = *state;

	make_one(f, "SELECT 'x' AS delay");
	add(f, SL_CHECK_COLUMNS, "columns", "delay")->types = names(f, "bigint");
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT * FROM trips WHERE delay > 500";
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 0, 0, "column 'delay' is VARCHAR, not BIGINT");
	assert_int_equal(results[1].state, SL_CHECK_FAILED);
	assert_non_null(strstr(results[1].message, "cannot compare") ? results[1].message
								     : strstr(results[1].message, "could not convert"));
	f->checks[0].types = names(f, "text");
	assert_int_not_equal(execute(f), 0);
}

/* Parameters of the project are bound, never pasted, wherever a check has SQL of the user's. */
static void test_params(void **state)
{
	static const struct sl_sql_param params[] = {{.name = "least", .type = 'i', .i = 98},
						     {.name = "unused", .type = 's', .text = "'"}};
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 1, 8)->where = "id >= $least";
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT id FROM trips WHERE id >= $least";
	struct sl_check *aside = add_between(f, "between(k)", "k", 0, 2);
	aside->where = "id = $least + 1";
	aside->quarantine = true;
	f->job.params = params;
	f->job.param_count = 2;
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 1, 0, "");
	expect(&results[1], SL_CHECK_FAILED, 100, 1, "1 of 100 rows");
	assert_int_equal(f->report.clean_rows, 99);
	expect_rows(&f->report.quarantine, "id", "99\n");
}

/* A check that cannot be run at all is an error at its place, not a failed check. */
static void test_wrong_expressions(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 1, 8)->where = "nonsense > 1";
	assert_int_equal(execute(f), SL_E_INVALID);
	assert_string_equal(f->err.where, "sluice.yaml:11:9");
	assert_non_null(strstr(f->err.message, "check between(delay): "));
	assert_non_null(strstr(f->err.message, "nonsense"));
	f->job.count = 0;
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT * FROM other";
	assert_int_equal(execute(f), SL_E_INVALID);
	assert_string_equal(f->err.where, "sluice.yaml:11:9");
	f->job.count = 0;
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT * FROM read_text('/etc/hostname')";
	assert_int_equal(execute(f), SL_E_DENIED);
	f->job.count = 0;
	add(f, SL_CHECK_REGEX, "regex(code)", "code")->text = "(";
	assert_int_not_equal(execute(f), 0);
	f->job.count = 0;
	add(f, SL_CHECK_COLUMNS, "columns", "id")->types = names(f, "bigint; DROP TABLE x");
	assert_int_equal(execute(f), SL_E_INVALID);
	assert_non_null(strstr(f->err.message, "is not a type"));
}

/* ---- unique
 * --------------------------------------------------------------------------------------------------------------------- */

static void test_unique(void **state)
{
	struct fixture *f = *state;

	make_one(f, "SELECT unnest([1, 2, 2, NULL, NULL, 3, 2]) AS a, unnest(['x', 'y', 'y', NULL, NULL, NULL, 'z']) AS b");
	add(f, SL_CHECK_UNIQUE, "unique(a)", "a");
	add(f, SL_CHECK_UNIQUE, "unique(a, b)", "a,b");
	add(f, SL_CHECK_UNIQUE, "unique(b)", "b")->where = "a > 1";
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 5, 2, "2 of 5 rows");
	expect(&results[1], SL_CHECK_FAILED, 5, 1, "1 of 5 rows");
	expect(&results[2], SL_CHECK_FAILED, 3, 1, "1 of 3 rows");
	assert_string_equal(results[1].rows, "[{\"row\":3,\"values\":{\"a\":2,\"b\":\"y\"}}]");
	assert_non_null(strstr(results[0].sql, "HAVING count(*) > 1"));
}

/* Far more repeats than are picked by hash; and values that are never alone. */
static void test_unique_many(void **state)
{
	struct fixture *f = *state;

	make_one(f, "SELECT range // 2 AS a, range % 3 AS b FROM range(2400000)");
	add(f, SL_CHECK_UNIQUE, "unique(a)", "a");
	add(f, SL_CHECK_UNIQUE, "unique(b)", "b");
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 2400000, 1200000, "1,200,000 of 2,400,000 rows");
	expect(&results[1], SL_CHECK_FAILED, 2400000, 2399997, "2,399,997 of 2,400,000 rows");
}

static void test_repeats(void **state)
{
	(void)state;
	enum { COUNT = 100000 };
	uint64_t *values = malloc(COUNT * sizeof *values), *scratch = malloc(COUNT * sizeof *scratch);

	/* Known: multiples of an odd number are distinct modulo 2^64; every 1000th is repeated once, every 5000th twice. */
	size_t n = 0;
	for (uint64_t i = 1; n + 3 <= COUNT; i++) {
		uint64_t v = i * UINT64_C(0x9E3779B97F4A7C15);
		values[n++] = v;
		if (i % 1000 == 0)
			values[n++] = v;
		if (i % 5000 == 0)
			values[n++] = v;
	}
	uint64_t last = n;
	size_t found = sl_repeats(values, scratch, n);
	assert_int_equal(found, 99);
	for (size_t i = 1; i < found; i++)
		assert_true(values[i] > values[i - 1]);
	for (size_t i = 0; i < found; i++) {
		/* 0xF1DE83E19937733D is the inverse of the odd number. */
		uint64_t index = values[i] * UINT64_C(0xF1DE83E19937733D);
		assert_true(index % 1000 == 0 && index <= last);
	}
	assert_int_equal(sl_repeats(values, scratch, 0), 0);
	assert_int_equal(sl_repeats(values, scratch, 1), 0);
	values[0] = values[1] = values[2] = 7;
	assert_int_equal(sl_repeats(values, scratch, 3), 1);
	assert_int_equal(values[0], 7);
	free(values);
	free(scratch);
}

/* ---- quarantine
 * ------------------------------------------------------------------------------------------------------------------ */

static void test_quarantine(void **state)
{
	static const char *const parts[] = {
		"SELECT unnest([10, 20, 9999, 20, -5]) AS delay, unnest(['a', 'b', 'c', 'b', NULL]) AS code, 1 AS reason",
		"SELECT unnest([20, 30, 10]) AS delay, unnest(['b', 'd', 'a']) AS code, 1 AS reason",
	};
	struct fixture *f = *state;

	make_table(f, parts, 2);
	add_between(f, "between(delay)", "delay", 0, 1440)->quarantine = true;
	add(f, SL_CHECK_NOT_NULL, "not_null(code)", "code")->quarantine = true;
	add(f, SL_CHECK_UNIQUE, "unique(delay, code)", "delay,code")->quarantine = true;
	/* These look at what stays. */
	add(f, SL_CHECK_NOT_NULL, "not_null(code) again", "code");
	add(f, SL_CHECK_SQL, "sql", "")->text = "SELECT * FROM trips WHERE delay > 1000";
	struct sl_check *rows = add(f, SL_CHECK_ROWS, "rows", "");
	rows->has_max = true;
	rows->max = integer(3);
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_PASSED, 8, 2, "2 of 8 rows");
	expect(&results[1], SL_CHECK_PASSED, 8, 1, "1 of 8 rows");
	expect(&results[2], SL_CHECK_PASSED, 6, 3, "3 of 6 rows");
	expect(&results[3], SL_CHECK_PASSED, 6, 0, "");
	expect(&results[4], SL_CHECK_PASSED, 8, 0, "");
	expect(&results[5], SL_CHECK_PASSED, 3, 0, "");
	assert_false(f->report.failed);
	assert_int_equal(f->report.rows, 8);
	assert_int_equal(f->report.clean_rows, 3);
	assert_int_equal(f->report.quarantined_rows, 5);
	/* All but the first of the repeated, over both files, in row order. The table has a "reason" of its own. */
	expect_rows(&f->report.clean, "delay || code", "10a\n20b\n30d\n");
	expect_rows(
		&f->report.quarantine, "delay || coalesce(code, '-') || ' ' || _reason",
		"9999c between(delay)\n20b unique(delay, code)\n-5- between(delay); not_null(code)\n20b unique(delay, "
		"code)\n10a unique(delay, code)\n");
	assert_int_equal(f->report.quarantine.column_count, 5);
	assert_string_equal(f->report.quarantine.columns[3].name, "_reason");
}

/* With the check but without such rows the table stays as it is, and the quarantine is an empty table. */
static void test_quarantine_of_nothing(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 0, 1440)->quarantine = true;
	run(f);
	assert_string_equal(f->report.clean.files[0].path, f->job.table.files[0].path);
	assert_int_equal(f->report.quarantined_rows, 0);
	assert_int_equal(f->report.quarantine.files[0].rows, 0);
	expect_rows(&f->report.quarantine, "reason || raw", "");
}

/* `mostly` is the fuse: too many bad rows are a failure, not a quarantine. */
static void test_quarantine_fuse(void **state)
{
	struct fixture *f = *state;

	make_one(f, TRIPS);
	struct sl_check *check = add_between(f, "between(delay)", "delay", 1, 8);
	check->quarantine = true;
	check->mostly = 0.9;
	const struct sl_check_result *results = run(f);
	expect(&results[0], SL_CHECK_FAILED, 90, 20, "20 of 90 rows");
	assert_true(f->report.failed);
}

static void test_quarantine_broken_lines(void **state)
{
	struct fixture *f = *state;

	make_one(f, "SELECT 'data/a.csv' AS file, 7::BIGINT AS line, 'bad number' AS reason, '7,abc' AS raw");
	f->job.broken = f->job.table;
	static const char *const select = "SELECT unnest([1, 5000]) AS delay";
	char *path = sl_arena_printf(f->arena, "%s/table", f->dir);
	struct sl_sql_options options = {.write_dir = f->dir};
	struct sl_sql *sql;
	assert_int_equal(sl_sql_open(&options, &sql, NULL), 0);
	assert_int_equal(sl_sql_write(sql, select, NULL, 0, "", path, NULL, NULL), 0);
	sl_sql_close(sql);
	inspect(f, (const char *[]){path}, 1);
	add_between(f, "between(delay)", "delay", 0, 1440)->quarantine = true;
	run(f);
	assert_int_equal(f->report.quarantined_rows, 2);
	expect_rows(&f->report.quarantine, "coalesce(delay::VARCHAR, '-') || ' ' || reason || ' ' || coalesce(raw, '-')",
		    "- data/a.csv:7: bad number 7,abc\n5000 between(delay) -\n");
	expect_rows(&f->report.clean, "delay", "1\n");
}

/* Nothing is written by a mere look. */
static void test_without_staging(void **state)
{
	struct fixture *f = *state;
	const struct sl_work work = {.threads = 1};

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 1, 8)->quarantine = true;
	assert_int_equal(sl_check_execute(&f->job, NULL, &work, f->arena, &f->report, &f->err), 0);
	assert_int_equal(f->report.results[0].failing, 20);
	assert_int_equal(f->report.quarantine.file_count, 0);
	assert_false(sl_dir_exists(f->staging));
}

/* The same rows put aside make the same bytes. */
static void test_quarantine_repeats(void **state)
{
	struct fixture *f = *state;
	struct sl_hash first[2], again[2];

	make_one(f, "SELECT range % 299999 AS a, range AS b FROM range(300000)");
	add(f, SL_CHECK_UNIQUE, "unique(a)", "a")->quarantine = true;
	add_between(f, "between(b)", "b", 10, 1000000)->quarantine = true;
	for (int round = 0; round < 3; round++) {
		SL_AUTO_BUF struct sl_buf clean = SL_BUF_INIT(1 << 28), aside = SL_BUF_INIT(1 << 28);
		run(f);
		assert_int_equal(sl_file_read(f->report.clean.files[0].path, &clean, NULL), 0);
		assert_int_equal(sl_file_read(f->report.quarantine.files[0].path, &aside, NULL), 0);
		sl_sha256(clean.data, clean.len, round ? &again[0] : &first[0]);
		sl_sha256(aside.data, aside.len, round ? &again[1] : &first[1]);
		if (round)
			assert_memory_equal(first, again, sizeof first);
	}
}

/* ---- reports
 * --------------------------------------------------------------------------------------------------------------------- */

static void test_texts(void **state)
{
	struct fixture *f = *state;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);

	make_one(f, TRIPS);
	add(f, SL_CHECK_REGEX, "regex(code)", "code")->text = "NY.*";
	add_between(f, "between(id)", "id", 0, 98)->quarantine = true;
	run(f);
	sl_check_report_text(&f->report, &text);
	assert_string_equal(
		sl_buf_cstr(&text),
		"error: dataset 'trips': check regex(code) failed: 1 of 99 rows\n"
		"    row 8: id=7, delay=7, k=3, code=x-7\n"
		"  hint: all of them: SELECT * FROM \"trips\" WHERE true AND coalesce((NOT "
		"regexp_full_match(\"code\"::VARCHAR, 'NY.*')), false)\n"
		"note: dataset 'trips': check between(id) put 1 row aside in trips.quarantine\n"
		"trips: 2 checks, 1 failed, 0 warned; 100 rows, 99 stay, 1 put aside\n");
	assert_int_equal(sl_check_report_error(&f->report, &f->err), SL_E_FAILED);
	assert_string_equal(f->err.message, "dataset 'trips': check regex(code) failed: 1 of 99 rows");
}

static void test_json_round_trip(void **state)
{
	struct fixture *f = *state;
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20), again = SL_BUF_INIT(1 << 20);
	struct sl_check_report report;
	struct sl_check *checks;
	size_t count;

	make_one(f, TRIPS);
	add_between(f, "between(delay)", "delay", 1, 8)->quarantine = true;
	add(f, SL_CHECK_REGEX, "regex(code)", "code")->text = "NY.*";
	add(f, SL_CHECK_COLUMNS, "columns", "id,k")->types = names(f, "bigint,bigint");
	f->checks[0].mostly = 0.7;
	f->checks[1].min = (struct sl_value){.type = SL_VALUE_DOUBLE, .d = 0.1, .text = ""};
	f->checks[1].has_min = true;
	run(f);
	assert_int_equal(sl_json_mut_canonical(sl_checks_json(doc, f->checks, 3), &text, NULL), 0);
	SL_AUTO_JSON yyjson_doc *read = sl_json_parse(text.data, text.len, "checks", NULL);
	assert_int_equal(sl_checks_parse(yyjson_doc_get_root(read), f->arena, &checks, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_true(checks[0].mostly == 0.7 && checks[1].min.d == 0.1);
	assert_int_equal(sl_json_mut_canonical(sl_checks_json(doc, checks, count), &again, NULL), 0);
	assert_string_equal(sl_buf_cstr(&text), sl_buf_cstr(&again));
	sl_buf_clear(&text);
	sl_buf_clear(&again);
	assert_int_equal(sl_json_mut_canonical(sl_check_report_json(doc, &f->report), &text, NULL), 0);
	SL_AUTO_JSON yyjson_doc *read_report = sl_json_parse(text.data, text.len, "report", NULL);
	assert_int_equal(sl_check_report_parse(yyjson_doc_get_root(read_report), f->arena, &report, NULL), 0);
	assert_int_equal(sl_json_mut_canonical(sl_check_report_json(doc, &report), &again, NULL), 0);
	assert_string_equal(sl_buf_cstr(&text), sl_buf_cstr(&again));
}

/* ---- the demo's data
 * -------------------------------------------------------------------------------------------------------------- */

static void test_flights(void **state)
{
	static const char path[] = SLUICE_SOURCE_DIR "/third_party/prefix/data/flights-3m.parquet";
	struct fixture *f = *state;
	struct timespec from, to;

	if (!sl_file_exists(path))
		skip();
	inspect(f, (const char *[]){path}, 1);
	add(f, SL_CHECK_COLUMNS, "columns", "date,delay,distance,origin,destination")->types =
		names(f, "timestamp,bigint,bigint,text,text");
	add(f, SL_CHECK_NOT_NULL, "not_null", "date,origin,destination");
	add_between(f, "between(distance)", "distance", 1, 6000);
	add_between(f, "between(delay)", "delay", -120, 1440)->quarantine = true;
	add(f, SL_CHECK_UNIQUE, "unique", "date,delay,distance,origin,destination")->quarantine = true;
	struct sl_check *rows = add(f, SL_CHECK_ROWS, "rows", "");
	rows->has_min = true;
	rows->min = integer(2900000);
	clock_gettime(CLOCK_MONOTONIC, &from);
	const struct sl_check_result *results = run(f);
	clock_gettime(CLOCK_MONOTONIC, &to);
	print_message("3,000,000 rows: %.3f s\n", (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	assert_false(f->report.failed);
	expect(&results[3], SL_CHECK_PASSED, 3000000, 11, "11 of 3,000,000 rows");
	expect(&results[4], SL_CHECK_PASSED, 2999989, 191, "191 of 2,999,989 rows");
	assert_int_equal(f->report.clean_rows, 2999798);
	assert_int_equal(f->report.quarantine.files[0].rows, 202);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_row_checks),
		TEST(test_sql_finds_rows),
		TEST(test_mostly_and_severity),
		TEST(test_columns),
		TEST(test_between_kinds),
		TEST(test_rows),
		TEST(test_custom_sql),
		TEST(test_params),
		TEST(test_query_over_wrong_table),
		TEST(test_wrong_expressions),
		TEST(test_unique),
		TEST(test_unique_many),
		TEST(test_repeats),
		TEST(test_quarantine),
		TEST(test_quarantine_of_nothing),
		TEST(test_quarantine_fuse),
		TEST(test_quarantine_broken_lines),
		TEST(test_without_staging),
		TEST(test_quarantine_repeats),
		TEST(test_texts),
		TEST(test_json_round_trip),
		TEST(test_flights),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

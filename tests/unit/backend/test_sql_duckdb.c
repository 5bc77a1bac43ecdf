#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "os/file.h"
#include "port/sql.h"

/* A folder per test program, and in it a table that most tests read. */
static char dir[SL_PATH_MAX], out_dir[SL_PATH_MAX], numbers[SL_PATH_MAX];

static int setup(void **state)
{
	(void)state;
	assert_int_equal(sl_dir_make_temporary("/tmp", "sl-sql-", dir, NULL), 0);
	snprintf(out_dir, sizeof out_dir, "%.4000s/out", dir);
	assert_int_equal(sl_dir_make(out_dir, NULL), 0);
	snprintf(numbers, sizeof numbers, "%.4000s/numbers.parquet", out_dir);
	struct sl_sql *sql;
	struct sl_error err;
	struct sl_sql_options options = {.write_dir = out_dir};
	int64_t rows;
	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_equal(sl_sql_write(sql,
				      "SELECT range::BIGINT AS n, 'row ' || range AS name, range % 7 AS k FROM range(500000)",
				      NULL, 0, "", numbers, &rows, &err),
			 0);
	assert_int_equal(rows, 500000);
	sl_sql_close(sql);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(dir, NULL);
}

static struct sl_sql *open_numbers(const char *write_dir, int threads)
{
	const char *paths[] = {numbers};
	struct sl_sql_table table = {.name = "numbers", .paths = paths, .path_count = 1};
	struct sl_sql_options options = {.tables = &table, .table_count = 1, .write_dir = write_dir, .threads = threads};
	struct sl_error err = {0};
	struct sl_sql *sql = NULL;

	if (sl_sql_open(&options, &sql, &err) < 0)
		fail_msg("%s: %s", err.where, err.message);
	return sql;
}

/* The whole result as "a|b\n" lines: what tests compare. */
static void result_text(struct sl_sql_result *result, struct sl_buf *out)
{
	const struct sl_sql_column *columns;
	struct sl_error err;
	size_t rows;
	int rc;

	while ((rc = sl_sql_next(result, &columns, &rows, &err)) == 1)
		for (size_t r = 0; r < rows; r++)
			for (size_t c = 0; c < sl_sql_columns(result); c++) {
				const struct sl_sql_column *column = &columns[c];
				if (column->valid && !column->valid[r])
					sl_buf_str(out, "null");
				else if (column->kind == SL_SQL_BOOL)
					sl_buf_str(out, column->bools[r] ? "true" : "false");
				else if (column->kind == SL_SQL_DOUBLE)
					sl_buf_printf(out, "%.17g", column->doubles[r]);
				else if (column->kind == SL_SQL_TEXT)
					sl_buf_add(out, column->texts[r].data, column->texts[r].len);
				else
					sl_buf_printf(out, "%lld", (long long)column->ints[r]);
				sl_buf_char(out, c + 1 < sl_sql_columns(result) ? '|' : '\n');
			}
	if (rc < 0)
		fail_msg("%s", err.message);
}

static void expect(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t count, const char *wanted)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 20);
	struct sl_sql_result *result;
	struct sl_error err = {0};

	if (sl_sql_query(sql, text, params, count, "q.sql", &result, &err) < 0)
		fail_msg("%s: %s: %s", text, err.where, err.message);
	result_text(result, &out);
	assert_string_equal(sl_buf_cstr(&out), wanted);
	sl_sql_result_close(result);
}

static void expect_error(struct sl_sql *sql, const char *text, int code, const char *where, const char *message)
{
	struct sl_error err = {0};

	assert_int_equal(sl_sql_run(sql, text, NULL, 0, "q.sql", NULL, &err), code);
	assert_string_equal(err.where, where);
	if (!strstr(err.message, message))
		fail_msg("'%s' is not in '%s'", message, err.message);
	assert_null(strstr(err.message, dir));
	assert_null(strstr(err.hint, dir));
}

static void test_types(void **state)
{
	(void)state;
	struct sl_sql *sql = open_numbers(NULL, 1);
	expect(sql, "SELECT true, 1::TINYINT, -2::SMALLINT, 3::INT, 4::BIGINT, 200::UTINYINT, 5::USMALLINT, 6::UINTEGER", NULL, 0,
	       "true|1|-2|3|4|200|5|6\n");
	expect(sql,
	       "SELECT 18446744073709551615::UBIGINT, -1::HUGEINT, 0.5::FLOAT, 0.1::DOUBLE, 12.34::DECIMAL(4,2), "
	       "-0.001::DECIMAL(18,3),"
	       "1e20::DECIMAL(38,1)",
	       NULL, 0, "1.8446744073709552e+19|-1|0.5|0.10000000000000001|12.34|-0.001|1e+20\n");
	expect(sql,
	       "SELECT DATE '2001-03-01', TIMESTAMP '2001-03-01 00:00:00.000001', TIMESTAMP_S '1969-12-31 23:59:59',"
	       "TIMESTAMP_MS '2001-03-01 00:00:00.001', TIMESTAMP_NS '1969-12-31 23:59:59.999999999', TIMESTAMPTZ "
	       "'2001-03-01 01:00:00+01'",
	       NULL, 0, "983404800000000|983404800000001|-1000000|983404800001000|-1|983404800000000\n");
	expect(sql, "SELECT '', 'twelve bytes', 'thirteen byte', NULL::VARCHAR, NULL::BIGINT, NULL::FLOAT", NULL, 0,
	       "|twelve bytes|thirteen byte|null|null|null\n");
	expect(sql, "SELECT [1,2], {'a': 1, 'b': 'x'}, MAP {'k': 1}, TIME '10:00:01', INTERVAL 2 DAY, 'b'::ENUM('a','b'), 7 AS n",
	       NULL, 0, "[1, 2]|{'a': 1, 'b': x}|{k=1}|10:00:01|2 days|b|7\n");
	sl_sql_close(sql);
}

static void test_type_names(void **state)
{
	(void)state;
	static const char *const names[] = {"DECIMAL(18,3)",
					    "BIGINT",
					    "VARCHAR",
					    "TIMESTAMP WITH TIME ZONE",
					    "STRUCT(a INTEGER, \"B c\" VARCHAR[])",
					    "MAP(VARCHAR, DOUBLE)",
					    "ENUM('a', 'it''s')",
					    "INTEGER[3]"};
	struct sl_sql *sql = open_numbers(NULL, 1);
	struct sl_sql_result *result;
	struct sl_error err;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char text[256];
		snprintf(text, sizeof text, "SELECT NULL::%s AS \"a b\"", names[i]);
		assert_int_equal(sl_sql_query(sql, text, NULL, 0, "", &result, &err), 0);
		assert_int_equal(sl_sql_columns(result), 1);
		assert_string_equal(sl_sql_column_name(result, 0), "a b");
		assert_string_equal(sl_sql_column_type(result, 0), names[i]);
		sl_sql_result_close(result);
	}
	sl_sql_close(sql);
}

static void test_many_chunks(void **state)
{
	(void)state;
	struct sl_sql *sql = open_numbers(NULL, 2);
	struct sl_sql_result *result;
	const struct sl_sql_column *columns;
	struct sl_error err;
	size_t rows, total = 0;
	int rc;

	/* Rows come in the file's order, with text of every length intact. */
	assert_int_equal(sl_sql_query(sql, "SELECT n, name, CASE WHEN n % 3 = 0 THEN NULL ELSE n END FROM numbers", NULL, 0, "",
				      &result, &err),
			 0);
	while ((rc = sl_sql_next(result, &columns, &rows, &err)) == 1)
		for (size_t r = 0; r < rows; r++, total++) {
			char name[32];
			int len = snprintf(name, sizeof name, "row %zu", total);
			assert_int_equal(columns[0].ints[r], total);
			assert_int_equal(columns[1].texts[r].len, len);
			assert_memory_equal(columns[1].texts[r].data, name, len);
			assert_int_equal(!columns[2].valid || columns[2].valid[r], total % 3 != 0);
		}
	assert_int_equal(rc, 0);
	assert_int_equal(total, 500000);
	sl_sql_result_close(result);
	sl_sql_close(sql);
}

static void test_params(void **state)
{
	(void)state;
	const struct sl_sql_param params[] = {{.name = "text", .type = 's', .text = "it's; DROP"},
					      {.name = "i", .type = 'i', .i = -3},
					      {.name = "d", .type = 'd', .d = 0.25},
					      {.name = "b", .type = 'b', .i = 1},
					      {.name = "t", .type = 't', .i = 983404800000000},
					      {.name = "none", .type = 'n'},
					      {.name = "unused", .type = 'i', .i = 1}};
	struct sl_sql *sql = open_numbers(NULL, 1);

	expect(sql, "SELECT $text, $i, $d, $b, $t, $none IS NULL, TIMESTAMP '2001-03-01' = $t", params, 7,
	       "it's; DROP|-3|0.25|true|983404800000000|true|true\n");
	expect(sql, "SELECT count(*) FROM numbers WHERE n < $i + 10 AND name <> $text", params, 7, "7\n");
	expect_error(sql, "SELECT $missing", SL_E_INVALID, "q.sql", "parameter '$missing' has no value");
	sl_sql_close(sql);
}

static void test_errors(void **state)
{
	(void)state;
	struct sl_sql *sql = open_numbers(out_dir, 1);

	expect_error(sql, "SELECT n\nFROM numbers WHERE nonsense > 1", SL_E_INVALID, "q.sql:2:20", "\"nonsense\" not found");
	expect_error(sql, "SELECT\n  'é', 1 +", SL_E_INVALID, "q.sql:2:11", "syntax error at end of input");
	expect_error(sql, "SELECT 'é', wrong", SL_E_INVALID, "q.sql:1:13", "wrong");
	expect_error(sql, "FROM numberz", SL_E_INVALID, "q.sql:1:6", "table with name numberz does not exist");
	expect_error(sql, "SELECT n FROM numbers\nWHERE n > 'abc'", SL_E_FAILED, "q.sql:2:11",
		     "could not convert string 'abc' to INT64");
	expect_error(sql, "", SL_E_INVALID, "q.sql", "there is no statement");
	expect_error(sql, "SELECT 1; SELECT 2", SL_E_INVALID, "q.sql", "2 statements where one belongs");
	struct sl_error err = {0};
	assert_int_equal(sl_sql_run(sql, "FROM numberz", NULL, 0, "q.sql", NULL, &err), SL_E_INVALID);
	assert_string_equal(err.hint, "did you mean \"numbers\"?");
	/* Inside statements of ours, places still count from the user's text. */
	char path[SL_PATH_MAX];
	snprintf(path, sizeof path, "%.4000s/x.parquet", out_dir);
	assert_int_equal(sl_sql_write(sql, "SELECT n\nFROM nowhere", NULL, 0, "q.sql", path, NULL, &err), SL_E_INVALID);
	assert_string_equal(err.where, "q.sql:2:6");
	assert_int_equal(sl_sql_write(sql, "SELECT DISTINCT\n name::INT FROM numbers", NULL, 0, "q.sql", path, NULL, &err),
			 SL_E_FAILED);
	assert_string_equal(err.where, "q.sql:2:6");
	struct sl_sql_result *result;
	assert_int_equal(sl_sql_query(sql, "SELECT [1],\n x", NULL, 0, "q.sql", &result, &err), SL_E_INVALID);
	assert_string_equal(err.where, "q.sql:2:2");
	assert_int_equal(sl_sql_write(sql, "SELECT 1 a, 2 A", NULL, 0, "q.sql", path, NULL, &err), SL_E_INVALID);
	assert_string_equal(err.message, "two columns have the name 'A'");
	sl_sql_close(sql);
}

static void test_shut(void **state)
{
	(void)state;
	struct sl_sql *sql = open_numbers(out_dir, 1);
	char text[SL_PATH_MAX + 64];

	expect_error(sql, "FROM read_csv('/etc/passwd')", SL_E_DENIED, "q.sql:1:6", "disabled");
	expect_error(sql, "FROM read_text('/etc/hostname')", SL_E_DENIED, "q.sql:1:6", "disabled");
	expect_error(sql, "FROM glob('/etc/*')", SL_E_DENIED, "q.sql:1:6", "disabled");
	expect_error(sql, "COPY (SELECT 1) TO '/tmp/sl-sql-never.csv'", SL_E_DENIED, "q.sql", "disabled");
	snprintf(text, sizeof text, "COPY (SELECT 1) TO '%.4000s/../never.csv'", out_dir);
	assert_int_not_equal(sl_sql_run(sql, text, NULL, 0, "", NULL, NULL), 0);
	snprintf(text, sizeof text, "%.4000s/never.csv", dir);
	assert_false(sl_file_exists(text));
	static const char *const refused[] = {"SET threads = 1",
					      "SET allowed_directories = ['/']",
					      "RESET lock_configuration",
					      "INSTALL httpfs",
					      "LOAD httpfs",
					      "ATTACH '/tmp/sl-sql-never.db'",
					      "SET enable_external_access = true",
					      "EXPORT DATABASE '/tmp/sl-sql-never'"};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (sl_sql_run(sql, refused[i], NULL, 0, "", NULL, NULL) == 0)
			fail_msg("'%s' was let through", refused[i]);
	sl_sql_close(sql);
}

/* Object paths are nobody's business; the dataset's name is. */
static void test_no_paths_in_errors(void **state)
{
	(void)state;
	char bad[SL_PATH_MAX];
	snprintf(bad, sizeof bad, "%.4000s/bad.parquet", dir);
	assert_int_equal(sl_file_replace(bad, "PAR1 nothing PAR1", 17, 0644, NULL), 0);
	const char *paths[] = {bad};
	struct sl_sql_table table = {.name = "broken", .paths = paths, .path_count = 1};
	struct sl_sql_options options = {.tables = &table, .table_count = 1};
	struct sl_error err = {0};
	struct sl_sql *sql;

	assert_int_not_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_null(strstr(err.message, dir));
	assert_non_null(strstr(err.message, "broken"));
	assert_string_equal(err.where, "dataset 'broken'");
}

static void test_names(void **state)
{
	(void)state;
	const char *paths[] = {numbers};
	struct sl_sql_table tables[] = {{.name = "n.quarantine", .paths = paths, .path_count = 1},
		{.name = "it's \"odd\"\n", .paths = paths, .path_count = 1}, {.name = "n", .columns = "a BIGINT, b VARCHAR"}};
	struct sl_sql_options options = {.tables = tables, .table_count = 3};
	struct sl_sql *sql;
	struct sl_error err = {0};

	if (sl_sql_open(&options, &sql, &err) < 0)
		fail_msg("%s", err.message);
	expect(sql, "SELECT count(*) FROM n.quarantine", NULL, 0, "500000\n");
	expect(sql, "SELECT count(*) FROM \"n.quarantine\"", NULL, 0, "500000\n");
	expect(sql, "SELECT count(*) FROM \"it's \"\"odd\"\"\n\"", NULL, 0, "500000\n");
	expect(sql, "SELECT count(a), count(b) FROM n", NULL, 0, "0|0\n");
	sl_sql_close(sql);
}

static void file_hash(const char *path, struct sl_hash *ret)
{
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(1 << 28);
	assert_int_equal(sl_file_read(path, &bytes, NULL), 0);
	sl_sha256(bytes.data, bytes.len, ret);
}

/* Equal input and statement, equal bytes: what early cut-off lives on. */
static void test_write_repeats(void **state)
{
	(void)state;
	static const char *const statements[] = {
		"SELECT n * 2 AS d, name FROM numbers WHERE k <> 3; -- and ; a comment",
		"SELECT DISTINCT k, n % 1000 AS m FROM numbers",
		"SELECT k, count(*) AS rows, sum(n) AS total FROM numbers GROUP BY k",
		"SELECT a.n, b.name FROM numbers a JOIN numbers b ON a.n = b.n % 1000",
		"SELECT name, n FROM numbers ORDER BY name DESC;",
		"SELECT n FROM numbers UNION ALL SELECT k FROM numbers",
		"SELECT unnest([n, k]) AS u FROM numbers WHERE n < 300000",
	};
	char path[SL_PATH_MAX];

	snprintf(path, sizeof path, "%.4000s/again.parquet", out_dir);
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
		struct sl_hash first, again;
		for (int round = 0; round < 4; round++) {
			struct sl_sql *sql = open_numbers(out_dir, 1 + round % 3);
			struct sl_error err = {0};
			if (sl_sql_write(sql, statements[i], NULL, 0, "q.sql", path, NULL, &err) < 0)
				fail_msg("%s: %s", statements[i], err.message);
			sl_sql_close(sql);
			file_hash(path, round ? &again : &first);
			if (round && !sl_hash_eq(&first, &again))
				fail_msg("other bytes in round %d: %s", round, statements[i]);
		}
	}
}

static void test_cancel(void **state)
{
	(void)state;
	const char *paths[] = {numbers};
	struct sl_sql_table table = {.name = "numbers", .paths = paths, .path_count = 1};
	volatile int cancel = 1;
	struct sl_sql_options options = {.tables = &table, .table_count = 1, .cancel = &cancel, .threads = 2};
	struct sl_error err = {0};
	struct sl_sql *sql;

	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_equal(sl_sql_run(sql, "SELECT count(*) FROM numbers a, numbers b WHERE a.n * b.n % 11 = 3", NULL, 0, "q.sql",
				    NULL, &err),
			 SL_E_CANCELLED);
	/* The session is usable afterwards. */
	cancel = 0;
	expect(sql, "SELECT count(*) FROM numbers", NULL, 0, "500000\n");
	sl_sql_close(sql);
}

struct progress { double last; int calls; volatile int cancel; };
static void on_progress(void *context, double fraction)
{
	struct progress *p = context;

	assert_true(fraction == -1 || (fraction >= 0 && fraction <= 1));
	p->last = fraction;
	p->cancel = ++p->calls >= 3;
}

/* A statement of many minutes tells its progress, and stops when asked. */
static void test_progress(void **state)
{
	(void)state;
	const char *paths[] = {numbers};
	struct sl_sql_table table = {.name = "numbers", .paths = paths, .path_count = 1};
	struct progress p = {.last = -2};
	struct sl_sql_options options = {.tables = &table,
					 .table_count = 1,
					 .cancel = &p.cancel,
					 .threads = 2,
					 .progress = on_progress,
					 .progress_context = &p};
	struct sl_error err = {0};
	struct sl_sql *sql;

	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_equal(sl_sql_run(sql, "SELECT count(*) FROM numbers a, numbers b WHERE a.n * b.n % 11 = 3", NULL, 0, "q.sql",
				    NULL, &err),
			 SL_E_CANCELLED);
	assert_int_equal(p.calls, 3);
	sl_sql_close(sql);
}

static void test_limits(void **state)
{
	(void)state;
	const char *paths[] = {numbers};
	struct sl_sql_table table = {.name = "numbers", .paths = paths, .path_count = 1};
	struct sl_sql_options options = {.tables = &table, .table_count = 1, .memory_bytes = 24 << 20, .threads = 2};
	struct sl_error err = {0};
	struct sl_sql *sql;

	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_equal(sl_sql_run(sql, "SELECT list(name || repeat('x', 200)) FROM numbers", NULL, 0, "q.sql", NULL, &err),
			 SL_E_NO_MEMORY);
	assert_true(err.hint[0]);
	sl_sql_close(sql);
	/* With a folder to spill to, a sort beyond the limit goes through and leaves nothing behind. */
	char spill[SL_PATH_MAX];
	snprintf(spill, sizeof spill, "%.4000s/spill", out_dir);
	options.write_dir = out_dir;
	options.memory_bytes = 40 << 20;
	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	if (sl_sql_run(sql, "CREATE TABLE sorted AS SELECT md5(name) AS m, name, repeat(name, 5) AS r FROM numbers ORDER BY m",
		       NULL, 0, "q.sql", NULL, &err)
	    < 0)
		fail_msg("%s", err.message);
	sl_sql_close(sql);
	options.temp_bytes = 1 << 20;
	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_not_equal(
		sl_sql_run(sql,
			   "CREATE TABLE sorted AS SELECT md5(name) AS m, name, repeat(name, 5) AS r FROM numbers ORDER BY m",
			   NULL, 0, "q.sql", NULL, &err),
		0);
	sl_sql_close(sql);
}

static void expect_analysis(const char *text, const char *wanted)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 16);
	yyjson_mut_val *tables, *params;
	struct sl_error err = {0};

	if (sl_sql_analyze(text, "q.sql", doc, &tables, &params, &err) < 0) {
		sl_buf_printf(&out, "%s: %s", err.where, err.message);
	} else {
		sl_json_write(tables, false, &out, NULL);
		sl_buf_char(&out, ' ');
		sl_json_write(params, false, &out, NULL);
	}
	assert_string_equal(sl_buf_cstr(&out), wanted);
}

static void test_analyze(void **state)
{
	(void)state;
	expect_analysis("SELECT 1", "[] []");
	expect_analysis("SELECT * FROM a JOIN b USING (x) WHERE y IN (SELECT z FROM c WHERE q = $late) OR y = $late",
			"[\"a\",\"b\",\"c\"] [\"late\"]");
	expect_analysis("WITH a AS (SELECT $p AS x FROM t) SELECT * FROM a, (SELECT max(x) FROM u) WHERE EXISTS (FROM A)",
			"[\"t\",\"u\"] [\"p\"]");
	/* A WITH name is no table where it is seen, and is one where it is not: before it, and in its own body. */
	expect_analysis("WITH a AS (FROM a) FROM a", "[\"a\"] []");
	expect_analysis("WITH a AS (FROM b), b AS (FROM c) FROM a, b", "[\"b\",\"c\"] []");
	expect_analysis("SELECT * FROM (WITH a AS (SELECT 1) FROM a), a", "[\"a\"] []");
	expect_analysis("WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r, base WHERE a < 3) FROM r",
			"[\"base\"] []");
	expect_analysis("SELECT * FROM flights.quarantine, \"odd na.me\", x.y.z",
			"[\"flights.quarantine\",\"odd na.me\",\"x.y.z\"] []");
	expect_analysis("(FROM t1) UNION ALL (FROM t2) ORDER BY 1 LIMIT $n;  -- the end", "[\"t1\",\"t2\"] [\"n\"]");
	expect_analysis("FROM 'file.parquet'", "[\"file.parquet\"] []");
	expect_analysis("SELECT '$no', $$ $no $$, \"$no\" FROM t -- $no", "[\"t\"] []");
	expect_analysis("DESCRIBE t", "[\"t\"] []");
	expect_analysis("SELECT ?", "q.sql: a parameter without a name");
	expect_analysis("SELECT 1; SELECT 2", "q.sql: there are 2 statements where one SELECT belongs");
	expect_analysis(" -- nothing", "q.sql: there is no statement in it");
	expect_analysis("SELECT 'é'\nFROM", "q.sql:2:5: syntax error at end of input");
	expect_analysis("selec 1", "q.sql:1:1: syntax error at or near \"selec\"");
	static const char *const others[] = {"CREATE TABLE x AS FROM t",
					     "INSERT INTO t VALUES (1)",
					     "COPY t TO 'x'",
					     "SET threads = 1",
					     "DROP TABLE t",
					     "ATTACH 'x'",
					     "DELETE FROM t",
					     "PIVOT t ON x USING sum(y)"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		expect_analysis(others[i], "q.sql: only a SELECT may stand here");
	expect_analysis("SELECT '\xff'", "q.sql: the statement is not UTF-8");
}

static void test_analyze_depth(void **state)
{
	(void)state;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(4 << 20);
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *tables, *params;
	struct sl_error err = {0};

	sl_buf_str(&text, "SELECT 0");
	for (int i = 0; i < 900; i++)
		sl_buf_str(&text, "+x");
	sl_buf_str(&text, " FROM deep");
	assert_int_equal(sl_sql_analyze(sl_buf_cstr(&text), "q.sql", doc, &tables, &params, &err), 0);
	assert_int_equal(yyjson_mut_arr_size(tables), 1);
	/* Far beyond the engine's limit: refused, not a crash. */
	sl_buf_clear(&text);
	sl_buf_str(&text, "SELECT ");
	for (int i = 0; i < 100000; i++)
		sl_buf_char(&text, '(');
	assert_int_not_equal(sl_sql_analyze(sl_buf_cstr(&text), "q.sql", doc, &tables, &params, &err), 0);
	sl_buf_clear(&text);
	sl_buf_str(&text, "SELECT 1 --");
	for (int i = 0; i < 1 << 20; i++)
		sl_buf_char(&text, 'x');
	assert_int_equal(sl_sql_analyze(sl_buf_cstr(&text), "q.sql", doc, &tables, &params, &err), SL_E_TOO_LARGE);
}

static void test_version(void **state)
{
	(void)state;
	const char *version = sl_sql_version(NULL);
	assert_non_null(version);
	assert_memory_equal(version, "duckdb ", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_many_chunks),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_shut),
		cmocka_unit_test(test_no_paths_in_errors),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_write_repeats),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_analyze),
		cmocka_unit_test(test_analyze_depth),
		cmocka_unit_test(test_version),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

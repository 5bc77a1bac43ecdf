#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/engine.h"
#include "data/ingest.h"

/* What a worker does with files that are kept already: no store and no database in these tests. */
struct fixture {
	char dir[SL_PATH_MAX], staging[SL_PATH_MAX];
	struct sl_arena *arena;
	struct sl_ingest_file files[8];
	struct sl_ingest_job job;
	struct sl_ingest_result result;
	struct sl_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	assert_int_equal(sl_dir_make_temporary("/tmp", "sl-ingest-", f->dir, NULL), 0);
	snprintf(f->staging, sizeof f->staging, "%.4000s/staging", f->dir);
	f->arena = sl_arena_new(0, NULL);
	f->job = (struct sl_ingest_job){.dataset = "source", .columns = "", .files = f->files};
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

/* Adds a file with these bytes; its object has no telling name, as in the store. */
static void add_bytes(struct fixture *f, const char *name, const void *data, size_t len)
{
	struct sl_ingest_file *file = &f->files[f->job.file_count];
	char *path = sl_arena_printf(f->arena, "%s/object%zu", f->dir, f->job.file_count);

	assert_int_equal(sl_file_replace(path, data, len, 0644, NULL), 0);
	*file = (struct sl_ingest_file){.path = path, .object = path, .name = name, .size_bytes = len};
	sl_sha256(data, len, &file->hash);
	f->job.file_count++;
}

/* Without the fsync of sl_file_replace: one test writes hundreds. */
static void write_bytes(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void add_text(struct fixture *f, const char *name, const char *text) { add_bytes(f, name, text, strlen(text)); }

/* Packs what add_text just wrote with a program of the system. */
static void pack(struct fixture *f, const char *program)
{
	char command[3 * SL_PATH_MAX];
	const char *path = f->files[f->job.file_count - 1].object;

	snprintf(command, sizeof command, "%s < '%s' > '%s.packed' && mv '%s.packed' '%s'", program, path, path, path, path);
	assert_int_equal(system(command), 0);
}

static int execute(struct fixture *f, const char *format)
{
	const struct sl_work work = {.threads = 2};

	f->job.format = format;
	memset(&f->err, 0, sizeof f->err);
	return sl_ingest_execute(&f->job, f->staging, &work, f->arena, &f->result, &f->err);
}

static void expect_ok(struct fixture *f, const char *format)
{
	if (execute(f, format) < 0)
		fail_msg("%s: %s (%s)", f->err.where, f->err.message, f->err.hint);
}

static void expect_failure(struct fixture *f, const char *format, const char *where, const char *message)
{
	assert_int_equal(execute(f, format), SL_E_FAILED);
	if (strcmp(f->err.where, where) != 0 || !strstr(f->err.message, message))
		fail_msg("got '%s: %s', wanted '%s: ...%s...'", f->err.where, f->err.message, where, message);
	assert_null(strstr(f->err.message, f->dir));
}

static void expect_columns(const struct sl_staged *table, const char *wanted)
{
	char text[1024] = "";

	for (size_t i = 0; i < table->column_count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s", i ? ", " : "", table->columns[i].name,
			 table->columns[i].type);
	assert_string_equal(text, wanted);
}

static int append_row(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	(void)err;
	if (columns[0].valid && !columns[0].valid[row])
		sl_buf_str(context, "null\n");
	else
		sl_buf_printf(context, "%.*s\n", (int)columns[0].texts[row].len, columns[0].texts[row].data);
	return 0;
}

/* The rows of a staged table as text, column by column. */
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

/* ---- CSV ----------------------------------------------------------------------------------------------------------------- */

static void test_csv(void **state)
{
	struct fixture *f = *state;

	add_text(
		f, "data/a.csv",
		"\xef\xbb\xbf"
		"id,name,x,t,\"odd, \"\"name\"\"\"\r\n1,\"a \"\"b\"\"\",0.5,2001-03-01 10:00:00,1\r\n2,,,2001-03-02 "
		"00:00:00,\r\n");
	expect_ok(f, "csv");
	expect_columns(&f->result.table, "id BIGINT, name VARCHAR, x DOUBLE, t TIMESTAMP, odd, \"name\" BIGINT");
	assert_int_equal(f->result.table.files[0].rows, 2);
	assert_int_equal(f->result.broken.file_count, 0);
	expect_rows(&f->result.table, "[id::VARCHAR, name, x::VARCHAR, t::VARCHAR]",
		    "[1, 'a \"b\"', 0.5, '2001-03-01 10:00:00']\n[2, NULL, NULL, '2001-03-02 00:00:00']\n");
}

static void test_csv_packed(void **state)
{
	static const char *const programs[] = {"cat", "gzip -c", "zstd -qc", "gzip -c"};
	struct fixture *f = *state;

	/* Files that are packed differently, and files that widen each other's types. */
	for (int i = 0; i < 4; i++) {
		char *text = sl_arena_printf(f->arena, "id;x\n%d;%s\n", i, i == 2 ? "2.5" : "7");
		add_text(f, sl_arena_printf(f->arena, "data/%d.csv", i), text);
		pack(f, programs[i]);
	}
	add_text(f, "data/only-header.csv", "id;x\n");
	expect_ok(f, "csv");
	expect_columns(&f->result.table, "id BIGINT, x DOUBLE");
	expect_rows(&f->result.table, "id || ' ' || x", "0 7.0\n1 7.0\n2 2.5\n3 7.0\n");
}

static void test_csv_declared(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.csv", "id,code\n1,007\n2,008\n");
	f->job.columns = "{\"code\":\"text\",\"id\":\"integer\"}";
	expect_ok(f, "csv");
	expect_columns(&f->result.table, "id INTEGER, code VARCHAR");
	expect_rows(&f->result.table, "code", "007\n008\n");
	f->job.columns = "{\"cod\":\"text\"}";
	expect_failure(f, "csv", "a.csv", "no column 'cod', which is declared");
	assert_string_equal(f->err.hint, "did you mean 'code'?");
}

static void many_lines(struct fixture *f, const char *name, int lines, int broken_line, const char *broken)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 26);

	sl_buf_str(&text, "id,delay,name\n");
	for (int i = 2; i <= lines; i++) {
		if (i == broken_line)
			sl_buf_str(&text, broken);
		else
			sl_buf_printf(&text, "%d,%d,flight %d\n", i, i % 50, i);
	}
	add_bytes(f, name, text.data, text.len);
}

/* Far behind what the engine samples for types. */
static void test_csv_broken_line(void **state)
{
	struct fixture *f = *state;

	many_lines(f, "data/flights.csv", 100001, 88213, "7,abc,x\n");
	expect_failure(f, "csv", "data/flights.csv:88213:3", "'abc' is not a bigint in column 'delay' (1 of 100,000 rows)");
	assert_non_null(strstr(f->err.hint, "else: quarantine"));
	/* Nothing of it is left to be taken for a table. */
	assert_int_equal(f->result.broken.file_count, 0);
	f->job.quarantine = true;
	expect_ok(f, "csv");
	assert_int_equal(f->result.table.files[0].rows, 99999);
	assert_int_equal(f->result.broken_rows, 1);
	expect_rows(&f->result.broken, "file || ':' || line || ' ' || reason || ' [' || raw || ']'",
		    "data/flights.csv:88213 'abc' is not a bigint in column 'delay' [7,abc,x]\n");
}

static void test_csv_kinds_of_broken(void **state)
{
	static const struct { const char *line, *at, *reason; } cases[] = {
		{"7,1\n", "a.csv:50:", "2 columns where 3 belong (1 of 99 rows)"},
		{"7,1,x,y\n", "a.csv:50:", "more columns than the 3 of the first line"},
		{"7,1,\xff\xfe\n", "a.csv:50:5", "not UTF-8"},
		{"7,1,\"open\n", "a.csv:50:5", "a quote is opened here and never closed"},
		{"7,1,\"a\"b\n", "a.csv:50:", "a quote inside the value is not doubled"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		f->job.file_count = 0;
		many_lines(f, "a.csv", 100, 50, cases[i].line);
		assert_int_equal(execute(f, "csv"), SL_E_FAILED);
		if (strncmp(f->err.where, cases[i].at, strlen(cases[i].at)) != 0 || !strstr(f->err.message, cases[i].reason))
			fail_msg("%s gave '%s: %s'", cases[i].line, f->err.where, f->err.message);
	}
}

/* A quote that is never closed swallows good lines: that is never put aside quietly. */
static void test_csv_open_quote(void **state)
{
	struct fixture *f = *state;

	many_lines(f, "a.csv", 100, 50, "7,1,\"open\n");
	f->job.quarantine = true;
	expect_failure(f, "csv", "a.csv:50:5", "never closed");
}

static void test_csv_huge_line(void **state)
{
	struct fixture *f = *state;
	SL_AUTO_BUF struct sl_buf line = SL_BUF_INIT(8 << 20);

	sl_buf_str(&line, "7,1,");
	for (int i = 0; i < 3000000; i++)
		sl_buf_char(&line, 'x');
	sl_buf_char(&line, '\n');
	many_lines(f, "a.csv", 100, 50, sl_buf_cstr(&line));
	expect_failure(f, "csv", "a.csv:50:1", "longer than 2,000,000 bytes");
}

static void test_csv_nul(void **state)
{
	static const char text[] = "id,name\n1,a\0b\n2,c\n";
	struct fixture *f = *state;

	/* A NUL is a character like another: kept, not the end of a text. */
	add_bytes(f, "a.csv", text, sizeof text - 1);
	expect_ok(f, "csv");
	expect_rows(&f->result.table, "id || ' ' || length(name)", "1 3\n2 1\n");
}

static void test_csv_empty(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.csv", "");
	expect_failure(f, "csv", "a.csv", "no line with the columns' names");
	f->job.file_count = 0;
	add_text(f, "a.csv", "id,name\n");
	expect_ok(f, "csv");
	expect_columns(&f->result.table, "id VARCHAR, name VARCHAR");
	assert_int_equal(f->result.table.files[0].rows, 0);
}

static void test_csv_headers(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.csv", "1,2,3\n4,5,6\n");
	expect_failure(f, "csv", "a.csv:1:1", "'1' stands where a column's name belongs");
	f->job.file_count = 0;
	add_text(f, "a.csv", "id,ID\n4,5\n");
	expect_failure(f, "csv", "a.csv:1:1", "two columns have the name 'ID'");
	f->job.file_count = 0;
	add_text(f, "a.csv", "id,,x\n4,5,6\n");
	expect_failure(f, "csv", "a.csv:1:1", "column 2 has no name");
	f->job.file_count = 0;
	add_text(f, "a.csv", "id,x\n4,5\n");
	add_text(f, "b.csv", "id,y\n4,5\n");
	expect_failure(f, "csv", "b.csv", "column 2 is 'y', and 'x' in a.csv");
	f->job.file_count = 1;
	add_text(f, "b.csv", "id,x,z\n4,5,6\n");
	expect_failure(f, "csv", "b.csv", "column 'z' is not in a.csv");
	f->job.file_count = 1;
	add_text(f, "b.csv", "id\n4\n");
	expect_failure(f, "csv", "b.csv", "there is no column 'x', as there is in a.csv");
}

/* The same bytes make the same table, whatever the threads do. */
static void test_csv_repeats(void **state)
{
	struct fixture *f = *state;
	struct sl_hash first, again;

	many_lines(f, "a.csv", 300000, 0, "");
	for (int round = 0; round < 3; round++) {
		SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(1 << 28);
		expect_ok(f, "csv");
		assert_int_equal(sl_file_read(f->result.table.files[0].path, &bytes, NULL), 0);
		sl_sha256(bytes.data, bytes.len, round ? &again : &first);
		if (round)
			assert_true(sl_hash_eq(&first, &again));
	}
}

/* ---- JSON lines ------------------------------------------------------------------------------------------------------------ */

static void test_json(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.jsonl", "{\"id\":1,\"name\":\"x\",\"list\":[1,2]}\n\n{\"id\":2,\"name\":null,\"list\":[]}\n");
	add_text(f, "b.jsonl", "{\"name\":\"z\",\"id\":3}\n");
	pack(f, "gzip -c");
	f->job.columns = "{\"id\":\"bigint\",\"name\":\"varchar\",\"list\":\"bigint[]\"}";
	/* One source may hold files that are packed differently. */
	f->job.file_count = 1;
	expect_ok(f, "json");
	expect_columns(&f->result.table, "id BIGINT, name VARCHAR, list BIGINT[]");
	expect_rows(&f->result.table, "id || ' ' || coalesce(name, '-') || ' ' || list::VARCHAR", "1 x [1, 2]\n2 - []\n");
	f->job.columns = "";
	expect_ok(f, "json");
	expect_columns(&f->result.table, "id BIGINT, name VARCHAR, list BIGINT[]");
}

static void test_json_broken(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.jsonl",
		 "{\"id\":1,\"name\":\"x\"}\n\n{\"id\":2,\"name\":\"y\"\n{\"id\":\"abc\",\"name\":\"z\"}\n[1]\n{\"id\":5}\n");
	f->job.columns = "{\"id\":\"bigint\",\"name\":\"varchar\"}";
	expect_failure(f, "json", "a.jsonl:3:1", "not JSON (3 of 5 rows)");
	f->job.quarantine = true;
	expect_ok(f, "json");
	expect_rows(&f->result.table, "id || ' ' || coalesce(name, '-')", "1 x\n5 -\n");
	expect_rows(&f->result.broken, "line || ' ' || reason",
		    "3 not JSON\n4 'abc' is not a bigint in column 'id'\n5 not a JSON object\n");
	assert_int_equal(f->result.broken_rows, 3);
}

static void test_json_empty(void **state)
{
	struct fixture *f = *state;

	add_text(f, "a.jsonl", "");
	expect_failure(f, "json", "a.jsonl", "no JSON object");
}

/* ---- Parquet --------------------------------------------------------------------------------------------------------------- */

static void make_parquet(struct fixture *f, const char *name, const char *select)
{
	struct sl_sql_options options = {.write_dir = f->dir};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(1 << 28);
	char path[SL_PATH_MAX];

	snprintf(path, sizeof path, "%.4000s/made", f->dir);
	assert_int_equal(sl_sql_open(&options, &sql, NULL), 0);
	assert_int_equal(sl_sql_write(sql, select, NULL, 0, "", path, NULL, NULL), 0);
	assert_int_equal(sl_file_read(path, &bytes, NULL), 0);
	add_bytes(f, name, bytes.data, bytes.len);
}

static void test_parquet(void **state)
{
	struct fixture *f = *state;

	make_parquet(f, "a.parquet", "SELECT range::BIGINT AS id, 'x' AS name FROM range(1000)");
	make_parquet(f, "b.parquet", "SELECT range::BIGINT AS id, 'x' AS name FROM range(0)");
	expect_ok(f, "parquet");
	expect_columns(&f->result.table, "id BIGINT, name VARCHAR");
	assert_int_equal(f->result.table.file_count, 2);
	assert_int_equal(f->result.table.files[0].rows, 1000);
	/* They are the table as they are. */
	assert_string_equal(f->result.table.files[0].path, f->files[0].object);
	assert_true(f->result.table.files[0].kept);
	assert_true(sl_hash_eq(&f->result.table.files[0].object, &f->files[0].hash));
}

static void test_parquet_differing(void **state)
{
	struct fixture *f = *state;

	make_parquet(f, "a.parquet", "SELECT 1::BIGINT AS id, 'x' AS name");
	make_parquet(f, "b.parquet", "SELECT 1::BIGINT AS id, 0.5::DOUBLE AS name");
	expect_failure(f, "parquet", "b.parquet", "column 'name' is DOUBLE, and VARCHAR in a.parquet");
	f->job.file_count = 1;
	make_parquet(f, "b.parquet", "SELECT 1::BIGINT AS id");
	expect_failure(f, "parquet", "b.parquet", "no column 'name'");
	f->job.file_count = 1;
	make_parquet(f, "b.parquet", "SELECT 1::BIGINT AS id, 'x' AS name, 2 AS more");
	expect_failure(f, "parquet", "b.parquet", "column 'more' is not in a.parquet");
	f->job.file_count = 1;
	make_parquet(f, "b.parquet", "SELECT 'x' AS name, 1::BIGINT AS id");
	expect_failure(f, "parquet", "b.parquet", "column 1 is 'name', and 'id' in a.parquet");
}

/* Cut at every piece, and with every byte of the footer turned over: refused or the same rows, never a crash or a half. */
static void test_parquet_hostile(void **state)
{
	struct fixture *f = *state;
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(1 << 20);
	const char *path;

	make_parquet(f, "a.parquet", "SELECT range::BIGINT AS id, 'name ' || range AS name, range / 3 AS x FROM range(3000)");
	path = f->files[0].object;
	assert_int_equal(sl_file_read(path, &bytes, NULL), 0);
	for (size_t cut = 0; cut < bytes.len; cut += bytes.len / 16 + 1) {
		write_bytes(path, bytes.data, cut);
		assert_int_equal(execute(f, "parquet"), SL_E_FAILED);
		assert_string_equal(f->err.where, "a.parquet");
		assert_null(strstr(f->err.message, f->dir));
	}
	uint32_t footer;
	memcpy(&footer, bytes.data + bytes.len - 8, 4);
	assert_true(footer < bytes.len);
	size_t refused = 0;
	for (size_t at = bytes.len - 8 - footer; at < bytes.len; at += 3) {
		bytes.data[at] ^= 0x15;
		write_bytes(path, bytes.data, bytes.len);
		int rc = execute(f, "parquet");
		if (rc == 0)
			assert_int_equal(f->result.table.files[0].rows, 3000);
		else
			assert_null(strstr(f->err.message, f->dir));
		refused += rc != 0;
		bytes.data[at] ^= 0x15;
	}
	assert_true(refused > 20);
}

/* ---- jobs
 * -------------------------------------------------------------------------------------------------------------------- */

static void test_json_round_trip(void **state)
{
	struct fixture *f = *state;
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20), again = SL_BUF_INIT(1 << 20);
	struct sl_ingest_job job;

	make_parquet(f, "a.parquet", "SELECT 1::BIGINT AS id");
	f->job.quarantine = true;
	expect_ok(f, "parquet");
	assert_int_equal(sl_json_mut_canonical(sl_ingest_job_json(doc, &f->job), &text, NULL), 0);
	SL_AUTO_JSON yyjson_doc *read = sl_json_parse(text.data, text.len, "job", NULL);
	assert_int_equal(sl_ingest_job_parse(yyjson_doc_get_root(read), f->arena, &job, NULL), 0);
	assert_int_equal(sl_json_mut_canonical(sl_ingest_job_json(doc, &job), &again, NULL), 0);
	assert_string_equal(sl_buf_cstr(&text), sl_buf_cstr(&again));
	assert_true(f->result.table.files[0].kept);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_csv),
		TEST(test_csv_packed),
		TEST(test_csv_declared),
		TEST(test_csv_broken_line),
		TEST(test_csv_kinds_of_broken),
		TEST(test_csv_open_quote),
		TEST(test_csv_huge_line),
		TEST(test_csv_nul),
		TEST(test_csv_empty),
		TEST(test_csv_headers),
		TEST(test_csv_repeats),
		TEST(test_json),
		TEST(test_json_broken),
		TEST(test_json_empty),
		TEST(test_parquet),
		TEST(test_parquet_differing),
		TEST(test_parquet_hostile),
		TEST(test_json_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

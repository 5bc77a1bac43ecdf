#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/check.h"
#include "data/dataset.h"
#include "data/engine.h"
#include "data/file_hash.h"
#include "data/ingest.h"
#include "os/clock.h"
#include "os/sys.h"
#include "track/store.h"

static char folder[SL_PATH_MAX];
static struct sl_store *store;
static struct sl_arena *arena;
static struct sl_error err;

static int set_up(void **state)
{
	(void)state;
	arena = sl_arena_new(0, NULL);
	memset(&err, 0, sizeof err);
	if (sl_dir_make_temporary("/tmp", "sluice-data-", folder, &err) || sl_store_create(folder, &err)
	    || sl_store_open(folder, &store, &err)) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sl_store_close(store);
	store = NULL;
	sl_arena_free(arena);
	return sl_dir_remove(folder, NULL);
}

static struct sl_id begin(void)
{
	struct sl_id id;
	const struct sl_run_start start = {.kind = "step", .name = "test", .reason = "test"};

	assert_int_equal(sl_run_begin(&store->track, &start, &id, &err), 0);
	return id;
}

static const char *in_folder(const char *name) { return sl_arena_printf(arena, "%s/%s", folder, name); }

static void write_text(const char *name, const char *text)
{
	assert_int_equal(sl_file_replace(in_folder(name), text, strlen(text), 0644, &err), 0);
}

static const char *write_parquet(const char *name, const char *select)
{
	struct sl_sql_options options = {.write_dir = folder};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	const char *path = in_folder(name);

	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	if (sl_sql_write(sql, select, NULL, 0, "", path, NULL, &err) < 0)
		fail_msg("%s", err.message);
	return path;
}

static struct sl_hash make(const char *const *paths, size_t count, struct sl_manifest *manifest)
{
	struct sl_hash hash;

	if (sl_manifest_make(store->objects, paths, count, SL_PUT_COPY, &hash, manifest, arena, &err) < 0)
		fail_msg("%s: %s", err.where, err.message);
	return hash;
}

static int commit(const char *dataset, const struct sl_hash *hash, const struct sl_manifest *manifest)
{
	struct sl_id run = begin();

	assert_int_equal(sl_meta_begin(store->meta, &err), 0);
	int rc = sl_dataset_commit(&store->track, dataset, hash, manifest, &run, &err);
	assert_int_equal(sl_meta_commit(store->meta, &err), 0);
	return rc;
}

/* ---- manifests
 * -------------------------------------------------------------------------------------------------------------- */

static void a_manifest_is_canonical_and_reads_back(void **state)
{
	(void)state;
	const char *paths[] = {write_parquet("a", "SELECT range::BIGINT AS id, 'x' AS \"na me\" FROM range(10)"),
			       write_parquet("empty", "SELECT range::BIGINT AS id, 'x' AS \"na me\" FROM range(0)"),
			       write_parquet("b", "SELECT range::BIGINT AS id, 'y' AS \"na me\" FROM range(5)")};
	struct sl_manifest made, read;
	struct sl_hash hash = make(paths, 3, &made);
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(1 << 20);
	struct sl_sql_table table;

	/* Files without rows say nothing. */
	assert_int_equal(made.file_count, 2);
	assert_int_equal(made.rows, 15);
	assert_int_equal(sl_objects_get(store->objects, &hash, &bytes, &err), 0);
	assert_memory_equal(
		bytes.data,
		"{\"columns\":[{\"name\":\"id\",\"type\":\"BIGINT\"},{\"name\":\"na "
		"me\",\"type\":\"VARCHAR\"}],\"files\":[{\"object\":\"",
		95);
	assert_string_equal(bytes.data + bytes.len - 37, ",\"format\":\"sluice.table/1\",\"rows\":15}");
	assert_int_equal(sl_manifest_read(store->objects, &hash, arena, &read, &err), 0);
	assert_int_equal(read.rows, 15);
	assert_int_equal(read.size_bytes, made.size_bytes);
	assert_string_equal(read.columns[1].name, "na me");
	assert_true(sl_hash_eq(&read.files[1].object, &made.files[1].object));
	/* Equal content in equal order is the same version; another order is another. */
	struct sl_hash again = make(paths, 3, NULL), other = make((const char *[]){paths[2], paths[0]}, 2, NULL);
	assert_true(sl_hash_eq(&hash, &again));
	assert_false(sl_hash_eq(&hash, &other));
	assert_int_equal(sl_dataset_table(store->objects, "t", &hash, arena, &table, &err), 0);
	struct sl_sql_options options = {.tables = &table, .table_count = 1};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	int64_t count;
	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
	assert_int_equal(sl_engine_ints(&(struct sl_engine){.sql = sql}, "SELECT count(*) FROM t", &count, 1, &err), 0);
	assert_int_equal(count, 15);
}

static void a_table_without_rows_keeps_its_columns(void **state)
{
	(void)state;
	const char *paths[] = {write_parquet("a", "SELECT 1::BIGINT AS id WHERE false"),
			       write_parquet("b", "SELECT 1::BIGINT AS id WHERE false")};
	struct sl_manifest manifest;
	struct sl_hash hash = make(paths, 2, &manifest);
	struct sl_sql_table table;

	assert_int_equal(manifest.file_count, 1);
	assert_int_equal(sl_dataset_table(store->objects, "t", &hash, arena, &table, &err), 0);
	/* And one without any file, as a program of ours never writes but a manifest may have it. */
	manifest.file_count = 0;
	assert_int_equal(sl_manifest_put(store->objects, &manifest, &hash, &err), 0);
	assert_int_equal(sl_dataset_table(store->objects, "t", &hash, arena, &table, &err), 0);
	assert_string_equal(table.columns, "\"id\" BIGINT");
	struct sl_sql_options options = {.tables = &table, .table_count = 1};
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	assert_int_equal(sl_sql_open(&options, &sql, &err), 0);
}

static void a_hostile_manifest_is_refused(void **state)
{
	(void)state;
#define OBJECT "\"object\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define COLUMNS "\"columns\":[{\"name\":\"a\",\"type\":\"BIGINT\"}]"
	static const char *const texts[] = {
		"",
		"[]",
		"{}",
		"{\"format\":\"sluice.table/1\"}",
		"{" COLUMNS ",\"files\":[],\"format\":\"sluice.table/2\",\"rows\":0}",
		"{" COLUMNS ",\"files\":[],\"format\":\"sluice.table/1\",\"rows\":1}",
		"{" COLUMNS ",\"files\":{},\"format\":\"sluice.table/1\",\"rows\":0}",
		"{\"columns\":[],\"files\":[],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{\"columns\":[{\"name\":\"\",\"type\":\"BIGINT\"}],\"files\":[],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{\"columns\":[{\"name\":\"a\\u0000b\",\"type\":\"BIGINT\"}],"
		"\"files\":[],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{\"columns\":[{\"name\":\"a\",\"type\":7}],\"files\":[],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{\"columns\":[{\"name\":\"a\",\"type\":\"X\"},{\"name\":\"a\",\"type\":\"X\"}],"
		"\"files\":[],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{" COLUMNS
		",\"files\":[{\"object\":\"../../etc/passwd\",\"rows\":0,\"size\":0}],\"format\":\"sluice.table/1\",\"rows\":0}",
		"{" COLUMNS ",\"files\":[{" OBJECT ",\"rows\":-1,\"size\":0}],\"format\":\"sluice.table/1\",\"rows\":-1}",
		"{" COLUMNS ",\"files\":[{" OBJECT ",\"rows\":1.5,\"size\":0}],\"format\":\"sluice.table/1\",\"rows\":1.5}",
		"{" COLUMNS ",\"files\":[{" OBJECT ",\"rows\":18446744073709551615,\"size\":0},{" OBJECT
		",\"rows\":2,\"size\":0}],\"format\":\"sluice.table/1\",\"rows\":1}",
		"{" COLUMNS ",\"files\":[{" OBJECT ",\"rows\":0}],\"format\":\"sluice.table/1\",\"rows\":0}",
	};
	struct sl_manifest manifest;

	for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++)
		if (sl_manifest_parse(texts[i], strlen(texts[i]), arena, &manifest, &err) != SL_E_CORRUPT)
			fail_msg("taken: %s", texts[i]);
	/* A manifest that is no manifest but an object all the same. */
	struct sl_hash hash;
	assert_int_equal(sl_objects_put(store->objects, "PAR1", 4, &hash, &err), 0);
	assert_int_equal(sl_manifest_read(store->objects, &hash, arena, &manifest, &err), SL_E_CORRUPT);
}

/* ---- versions
 * ------------------------------------------------------------------------------------------------------------------ */

static int64_t fixed_ns;
static int64_t fixed_time(void) { return fixed_ns; }

static void versions_are_found_by_every_name(void **state)
{
	(void)state;
	struct sl_sys sys = *sl_sys;
	const struct sl_sys *real = sl_sys;
	struct sl_hash hashes[3];
	struct sl_manifest manifest;
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];

	assert_int_equal(sl_dataset_head(&store->track, "t", &head, &err), SL_E_NOT_FOUND);
	sys.realtime_ns = fixed_time;
	for (int i = 0; i < 3; i++) {
		const char *path = write_parquet("v", sl_arena_printf(arena, "SELECT %d::BIGINT AS id", i));
		hashes[i] = make(&path, 1, &manifest);
		fixed_ns = (INT64_C(983404800) + i * 3600) * 1000000000; /* 2001-03-01, hourly */
		sl_sys = &sys;
		assert_int_equal(commit("t", &hashes[i], &manifest), 0);
		sl_sys = real;
	}
	assert_int_equal(sl_dataset_head(&store->track, "t", &head, &err), 0);
	assert_true(sl_hash_eq(&head.hash, &hashes[2]));
	assert_int_equal(head.rows, 1);
	const struct { const char *version; int wanted;
	} cases[] = {
		{"", 2},
		{"~0", 2},
		{"^", 1},
		{"~1", 1},
		{"^^", 0},
		{"~2", 0},
		{"2001-03-01T00:00", 0},
		{"2001-03-01T00:59:59", 0},
		{"2001-03-01T01:00", 1},
		{"2030-01-01", 2},
		{"~3", -1},
		{"2001-02-28", -1},
		{"0123456789abcdef", -1},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		int rc = sl_dataset_find(&store->track, "t", cases[i].version, &head, &err);
		if (cases[i].wanted < 0)
			assert_int_equal(rc, SL_E_NOT_FOUND);
		else if (rc < 0 || !sl_hash_eq(&head.hash, &hashes[cases[i].wanted]))
			fail_msg("version '%s': %d", cases[i].version, rc);
	}
	sl_hash_hex(&hashes[1], hex);
	assert_int_equal(sl_dataset_find(&store->track, "t", hex, &head, &err), 0);
	assert_true(sl_hash_eq(&head.hash, &hashes[1]));
	hex[8] = '\0';
	assert_int_equal(sl_dataset_find(&store->track, "t", hex, &head, &err), 0);
	assert_true(sl_hash_eq(&head.hash, &hashes[1]));
	assert_int_equal(sl_dataset_find(&store->track, "t", "abc", &head, &err), SL_E_INVALID);
	assert_int_equal(sl_dataset_find(&store->track, "t", "~x", &head, &err), SL_E_INVALID);
	assert_int_equal(sl_dataset_find(&store->track, "t", "' OR 1", &head, &err), SL_E_INVALID);
	/* An old version is as near as the newest. */
	assert_int_equal(sl_manifest_read(store->objects, &hashes[0], arena, &manifest, &err), 0);
}

static int64_t count_of(const char *sql)
{
	int64_t count = -1;

	assert_int_equal(sl_meta_int(store->meta, -1, &count, &err, sql, ""), 0);
	return count;
}

static void a_commit_of_the_head_changes_nothing(void **state)
{
	(void)state;
	const char *a = write_parquet("a", "SELECT 1 AS id"), *b = write_parquet("b", "SELECT 2 AS id");
	struct sl_manifest first, second;
	struct sl_hash one = make(&a, 1, &first), two = make(&b, 1, &second);

	assert_int_equal(commit("t", &one, &first), 0);
	int64_t entries = count_of("SELECT COUNT(*) FROM ledger_entry WHERE CAST(entry AS TEXT) LIKE '%dataset.commit%'");
	assert_int_equal(entries, 1);
	assert_int_equal(commit("t", &one, &first), 1);
	assert_int_equal(count_of("SELECT COUNT(*) FROM dataset_version"), 1);
	assert_int_equal(count_of("SELECT COUNT(*) FROM event WHERE kind = 'data' AND subject = 't' AND from_ms IS NULL AND to_ms IS NULL"), 1);
	assert_int_equal(count_of("SELECT COUNT(*) FROM ledger_entry WHERE CAST(entry AS TEXT) LIKE '%dataset.commit%'"),
			 entries);
	/* A revert is a commit like another. */
	assert_int_equal(commit("t", &two, &second), 0);
	assert_int_equal(commit("t", &one, &first), 0);
	assert_int_equal(count_of("SELECT COUNT(*) FROM dataset_version"), 3);
	/* Another dataset may have the same version. */
	assert_int_equal(commit("u", &one, &first), 0);
}

/* ---- ingest in the parent
 * --------------------------------------------------------------------------------------------------------- */

static struct sl_project project;
static struct sl_source source;

static int prepare(const char *path, struct sl_ingest_job *job)
{
	project = (struct sl_project){.dir = folder, .file = in_folder("sluice.yaml")};
	source = (struct sl_source){.name = "raw",
				    .path = path,
				    .format = "",
				    .columns = "",
				    .definition = "{}",
				    .mark = {.line = 4, .column = 3}};
	return sl_ingest_prepare(store, &project, &source, NULL, arena, job, &err);
}

static void sources_are_files_globs_and_folders(void **state)
{
	(void)state;
	struct sl_ingest_job job;

	assert_int_equal(sl_dir_make(in_folder("data/2001/jan"), &err), 0);
	write_text("data/a.csv", "id\n1\n");
	write_text("data/b.csv.gz", "x");
	write_text("data/2001/c.csv", "id\n2\n");
	write_text("data/2001/jan/d.csv", "id\n3\n");
	write_text("data/2001/.hidden.csv", "id\n4\n");
	write_text("data/2001/note", "{\"a\":1}\n");
	assert_int_equal(symlink("..", in_folder("data/2001/loop")), 0);
	const struct { const char *path, *names;
	} cases[] = {
		{"data/a.csv", "data/a.csv"},
		{"./data//a.csv", "data/a.csv"},
		{"data/*.csv*", "data/a.csv data/b.csv.gz"},
		{"data/*/*.csv", "data/2001/c.csv"},
		{"data/**/*.csv", "data/2001/c.csv data/2001/jan/d.csv data/a.csv"},
		{"data/2001/jan", "data/2001/jan/d.csv"},
		{"data/[a-b].csv", "data/a.csv"},
		{"data/2001/.*.csv", "data/2001/.hidden.csv"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		char found[1024] = "";
		if (prepare(cases[i].path, &job) < 0)
			fail_msg("%s: %s", cases[i].path, err.message);
		for (size_t k = 0; k < job.file_count; k++)
			snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", k ? " " : "", job.files[k].name);
		assert_string_equal(found, cases[i].names);
		assert_string_equal(job.format, "csv");
	}
	assert_int_equal(prepare(in_folder("data/a.csv"), &job), 0);
	assert_string_equal(job.files[0].name, in_folder("data/a.csv"));
	assert_int_equal(prepare("data/2001/note", &job), 0);
	assert_string_equal(job.format, "json");
	assert_int_equal(prepare("data/2001", &job), SL_E_INVALID);
	assert_string_equal(err.message, "the file is json, and data/2001/c.csv is csv");
	assert_int_equal(prepare("data/none-*.csv", &job), SL_E_NOT_FOUND);
	assert_string_equal(err.where, "sluice.yaml:4:3");
	assert_string_equal(err.message, "source 'raw': there is no file 'data/none-*.csv'");
	assert_int_equal(prepare("http://127.0.0.1:1/a.csv", &job), SL_E_DENIED);
}

/* Names with quotes and line ends come through every statement. */
static void odd_names_are_names(void **state)
{
	(void)state;
	struct sl_ingest_job job;
	struct sl_ingest_result result;
	const struct sl_work work = {.threads = 1};

	assert_int_equal(sl_dir_make(in_folder("it's \"odd\"\n;--"), &err), 0);
	write_text("it's \"odd\"\n;--/a.csv", "id,\"it's \"\"x\"\"\"\n1,abc\n");
	assert_int_equal(prepare("it's \"odd\"\n;--/a.csv", &job), 0);
	assert_int_equal(sl_ingest_keep(store->objects, &job, arena, &err), 0);
	if (sl_ingest_execute(&job, in_folder(".sluice/tmp/it's \"odd\""), &work, arena, &result, &err) < 0)
		fail_msg("%s: %s", err.where, err.message);
	assert_string_equal(result.table.columns[1].name, "it's \"x\"");
}

static void a_remembered_hash_is_trusted_only_when_it_can_be(void **state)
{
	(void)state;
	struct sl_sys sys = *sl_sys;
	const struct sl_sys *real = sl_sys;
	const char *path = in_folder("a.bin");
	struct sl_hash first, again, wanted;
	struct sl_file_seen seen;

	/* Hashed in the tick in which it was written: looked at again, for a change now may leave the times as they are. */
	write_text("a.bin", "one");
	assert_int_equal(sl_file_hash(store->meta, path, &first, NULL, &err), 0);
	assert_int_equal(sl_file_look(store->meta, path, &again, &seen, &err), 0);
	assert_true(seen.is_new);
	/* Hashed an hour later: remembered. */
	sys.realtime_ns = fixed_time;
	fixed_ns = sl_sys->realtime_ns() + INT64_C(3600) * 1000000000;
	sl_sys = &sys;
	assert_int_equal(sl_file_hash(store->meta, path, &first, NULL, &err), 0);
	assert_int_equal(sl_file_look(store->meta, path, &again, &seen, &err), 0);
	assert_false(seen.is_new);
	assert_true(sl_hash_eq(&first, &again));
	sl_sys = real;
	/* Same size, same name, other bytes. */
	write_text("a.bin", "two");
	sl_sha256("two", 3, &wanted);
	assert_int_equal(sl_file_hash(store->meta, path, &again, NULL, &err), 0);
	assert_true(sl_hash_eq(&again, &wanted));
	assert_int_equal(sl_file_hash(store->meta, in_folder("none"), &again, NULL, &err), SL_E_NOT_FOUND);
	assert_int_equal(sl_file_hash(store->meta, folder, &again, NULL, &err), SL_E_INVALID);
}

static void a_file_that_changes_meanwhile_is_refused(void **state)
{
	(void)state;
	struct sl_ingest_job job;

	write_text("a.csv", "id\n1\n");
	assert_int_equal(prepare("a.csv", &job), 0);
	write_text("a.csv", "id\n2\n");
	assert_int_equal(sl_ingest_keep(store->objects, &job, arena, &err), SL_E_FAILED);
	assert_true(err.retriable);
	assert_string_equal(err.where, "a.csv");
}

/* From raw file to committed versions, as flow does it. */
static void a_source_becomes_versions(void **state)
{
	(void)state;
	const struct sl_work work = {.threads = 1};
	struct sl_check check = {.kind = SL_CHECK_BETWEEN,
				 .name = "between(delay)",
				 .columns = {.items = (const char *[]){"delay"}, .count = 1},
				 .has_max = true,
				 .max = {.type = SL_VALUE_INT, .i = 100},
				 .text = "",
				 .where = "",
				 .mostly = 1,
				 .quarantine = true,
				 .definition = "{}"};
	const struct sl_dataset checks = {.name = "raw", .checks = &check, .check_count = 1};
	struct sl_ingest_job job;
	struct sl_ingest_result result;
	struct sl_check_report report;
	struct sl_checked checked;
	struct sl_dataset_head head;
	struct sl_id run = begin();
	const char *staging = in_folder(".sluice/tmp/staging");
	bool changed;

	write_text("a.csv", "id,delay\n1,5\n2,500\n3,abc\n");
	assert_int_equal(prepare("a.csv", &job), 0);
	assert_false(job.quarantine);
	assert_int_equal(sl_ingest_prepare(store, &project, &source, &checks, arena, &job, &err), 0);
	assert_true(job.quarantine);
	assert_int_equal(sl_ingest_keep(store->objects, &job, arena, &err), 0);
	job.columns = "{\"delay\":\"bigint\"}";
	if (sl_ingest_execute(&job, staging, &work, arena, &result, &err) < 0)
		fail_msg("%s: %s", err.where, err.message);
	const struct sl_check_job check_job = {.dataset = "raw",
					       .checks = &check,
					       .count = 1,
					       .table = result.table,
					       .broken = result.broken};
	if (sl_check_execute(&check_job, staging, &work, arena, &report, &err) < 0)
		fail_msg("%s: %s", err.where, err.message);
	assert_int_equal(sl_checked_keep(store->objects, &report, arena, &checked, &err), 0);
	assert_int_equal(sl_meta_begin(store->meta, &err), 0);
	assert_int_equal(sl_ingest_record(&store->track, &job, &run, &err), 0);
	if (sl_checked_commit(&store->track, "raw", &checked, &report, &run, &changed, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(sl_meta_commit(store->meta, &err), 0);
	assert_true(changed);
	assert_int_equal(sl_dataset_head(&store->track, "raw", &head, &err), 0);
	assert_int_equal(head.rows, 1);
	assert_int_equal(sl_dataset_head(&store->track, "raw.quarantine", &head, &err), 0);
	assert_int_equal(head.rows, 2);
	assert_int_equal(count_of("SELECT COUNT(*) FROM run_input WHERE kind = 'file' AND name = 'a.csv'"), 1);
	assert_int_equal(count_of("SELECT COUNT(*) FROM run_output WHERE kind = 'dataset'"), 2);
	assert_int_equal(count_of("SELECT COUNT(*) FROM check_result WHERE dataset = 'raw' AND passed = 1 AND failing_rows = 1"),
			 1);
	assert_int_equal(count_of("SELECT COUNT(*) FROM ledger_entry WHERE CAST(entry AS TEXT) LIKE '%\"action\":\"check\"%'"),
			 1);
	/* The raw bytes are provable. */
	assert_int_equal(sl_objects_check(store->objects, &job.files[0].hash, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_manifest_is_canonical_and_reads_back),
		TEST(a_table_without_rows_keeps_its_columns),
		TEST(a_hostile_manifest_is_refused),
		TEST(versions_are_found_by_every_name),
		TEST(a_commit_of_the_head_changes_nothing),
		TEST(sources_are_files_globs_and_folders),
		TEST(odd_names_are_names),
		TEST(a_remembered_hash_is_trusted_only_when_it_can_be),
		TEST(a_file_that_changes_meanwhile_is_refused),
		TEST(a_source_becomes_versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

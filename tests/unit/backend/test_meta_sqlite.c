/* Meta on SQLite: statements, transactions that nest, many processes, and pages that are proved at every read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "port/meta.h"
#include "support/fault.h"

struct fixture {
	char dir[SL_PATH_MAX], path[SL_PATH_MAX], wal[SL_PATH_MAX];
	struct sl_meta *meta;
	struct sl_error err;
};

static void open_meta(struct fixture *f)
{
	int rc = sl_meta_open(f->path, true, &f->meta, &f->err);
	if (rc)
		fail_msg("%s: %s", f->err.where, f->err.message);
}

static int setup(void **state)
{
	struct fixture *f = sl_alloc(sizeof *f, NULL);
	if (!f || sl_dir_make_temporary("/tmp", "sl-meta-", f->dir, &f->err))
		return -1;
	snprintf(f->path, sizeof f->path, "%.4000s/sluice.db", f->dir);
	snprintf(f->wal, sizeof f->wal, "%.4000s/sluice.db-wal", f->dir);
	open_meta(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	sl_meta_close(f->meta);
	sl_dir_remove(f->dir, NULL);
	sl_free(f);
	return 0;
}

static void set(struct fixture *f, const char *name, const char *value)
{
	int64_t n = sl_meta_exec(
		f->meta, &f->err,
		"INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", "ss",
		name, value);
	if (n != 1)
		fail_msg("%d rows: %s", (int)n, f->err.message);
}

static int64_t count(struct fixture *f)
{
	int64_t n = -1;
	int rc = sl_meta_int(f->meta, -1, &n, &f->err, "SELECT count(*) FROM setting", NULL);
	return rc ? rc : n;
}

static void test_values_come_back(void **state)
{
	struct fixture *f = *state;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	size_t len;

	assert_int_equal(0, sl_meta_query(f->meta, &stmt, &f->err, "SELECT ?1 AS a, ?2, ?3, ?4, ?5, ?6", "sidbsn", "text",
					  INT64_MIN, 0.1, "a\0b", (size_t)3, NULL));
	assert_int_equal(1, sl_stmt_step(stmt, &f->err));
	assert_int_equal(6, sl_stmt_columns(stmt));
	assert_string_equal("a", sl_stmt_column_name(stmt, 0));
	assert_string_equal("text", sl_stmt_text(stmt, 0));
	assert_true(sl_stmt_int(stmt, 1) == INT64_MIN);
	assert_true(sl_stmt_double(stmt, 2) == 0.1);
	assert_memory_equal("a\0b", sl_stmt_blob(stmt, 3, &len), 3);
	assert_int_equal(3, len);
	assert_true(sl_stmt_null(stmt, 4) && sl_stmt_null(stmt, 5));
	assert_string_equal("", sl_stmt_text(stmt, 4));
	static const char types[] = "sidbnn";
	for (int i = 0; i < 6; i++)
		assert_int_equal(types[i], sl_stmt_type(stmt, i));
	assert_int_equal(0, sl_stmt_step(stmt, &f->err));
}

static void test_one_text_can_be_used_twice_at_once(void **state)
{
	struct fixture *f = *state;
	struct sl_stmt *a SL_AUTO_STMT = NULL, *b SL_AUTO_STMT = NULL;
	const char *sql = "SELECT value FROM setting WHERE name >= ?1 ORDER BY name";

	set(f, "a", "1");
	set(f, "b", "2");
	assert_int_equal(0, sl_meta_query(f->meta, &a, &f->err, sql, "s", "a"));
	assert_int_equal(1, sl_stmt_step(a, &f->err));
	assert_int_equal(0, sl_meta_query(f->meta, &b, &f->err, sql, "s", "b"));
	assert_int_equal(1, sl_stmt_step(b, &f->err));
	assert_string_equal("1", sl_stmt_text(a, 0));
	assert_string_equal("2", sl_stmt_text(b, 0));
	assert_int_equal(1, sl_stmt_step(a, &f->err));
	assert_int_equal(0, sl_stmt_step(b, &f->err));
}

static void test_exec_counts_and_conflicts(void **state)
{
	struct fixture *f = *state;

	set(f, "a", "1");
	set(f, "b", "2");
	assert_int_equal(2, sl_meta_exec(f->meta, &f->err, "UPDATE setting SET value = '3'", NULL));
	assert_int_equal(0, sl_meta_exec(f->meta, &f->err, "SELECT * FROM setting", NULL));
	assert_int_equal(SL_E_CONFLICT, sl_meta_exec(f->meta, &f->err, "INSERT INTO setting VALUES ('a', '')", NULL));
	assert_int_equal(SL_E_BUG, sl_meta_exec(f->meta, &f->err, "SELEC", NULL));
	assert_int_equal(2, count(f));
	int64_t n;
	assert_int_equal(0, sl_meta_int(f->meta, 7, &n, &f->err, "SELECT 1 FROM setting WHERE name = 'z'", NULL));
	assert_int_equal(7, n);
}

static void test_many_built_texts(void **state)
{
	struct fixture *f = *state;
	char sql[64];
	int64_t n;
	for (int i = 0; i < 2000; i++) {
		snprintf(sql, sizeof sql, "SELECT %d", i);
		assert_int_equal(0, sl_meta_int(f->meta, -1, &n, &f->err, sql, NULL));
		assert_int_equal(i, n);
	}
}

static void test_transactions_nest(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	set(f, "a", "1");
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	set(f, "b", "1");
	assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
	assert_true(sl_meta_in_transaction(f->meta));
	assert_int_equal(0, sl_meta_end(f->meta, 0, &f->err));
	assert_false(sl_meta_in_transaction(f->meta));
	assert_int_equal(2, count(f));

	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	set(f, "c", "1");
	assert_int_equal(SL_E_FAILED, sl_meta_end(f->meta, SL_E_FAILED, &f->err));
	assert_int_equal(2, count(f));
	sl_meta_rollback(f->meta); /* outside: nothing */
}

static void test_inner_rollback_dooms_the_whole(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	set(f, "a", "1");
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	set(f, "b", "1");
	sl_meta_rollback(f->meta);
	assert_int_equal(SL_E_CONFLICT, sl_meta_exec(f->meta, &f->err, "INSERT INTO setting VALUES ('c', '')", NULL));
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	assert_int_equal(SL_E_CONFLICT, sl_meta_commit(f->meta, &f->err));
	assert_int_equal(SL_E_CONFLICT, sl_meta_commit(f->meta, &f->err));
	assert_false(sl_meta_in_transaction(f->meta));
	assert_int_equal(0, count(f));
	set(f, "d", "1");
	assert_int_equal(1, count(f));
}

static void test_a_reader_sees_one_state(void **state)
{
	struct fixture *f = *state;
	struct sl_meta *other;

	assert_int_equal(0, sl_meta_open(f->path, false, &other, &f->err));
	assert_int_equal(0, sl_meta_begin_read(f->meta, &f->err));
	assert_int_equal(0, count(f));
	assert_int_equal(1, sl_meta_exec(other, &f->err, "INSERT INTO setting VALUES ('a', '')", NULL));
	assert_int_equal(0, count(f));
	sl_meta_end_read(f->meta);
	assert_int_equal(1, count(f));
	sl_meta_close(other);
}

static void test_a_write_inside_reads_is_its_own(void **state)
{
	struct fixture *f = *state;
	struct sl_meta *other;
	assert_int_equal(0, sl_meta_begin_read(f->meta, &f->err));
	assert_int_equal(0, count(f));
	assert_int_equal(0, sl_meta_open(f->path, false, &other, &f->err));
	assert_int_equal(1, sl_meta_exec(other, &f->err, "INSERT INTO setting VALUES ('other', '')", ""));
	assert_int_equal(0, count(f));
	set(f, "ours", ""); /* on top of what the reader had not seen */
	assert_int_equal(2, count(f));
	assert_int_equal(1, sl_meta_exec(other, &f->err, "INSERT INTO setting VALUES ('third', '')", "")); /* nothing is held */
	assert_int_equal(2, count(f)); /* and the reads are at one state again */
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	assert_int_equal(3, count(f));
	assert_int_equal(0, sl_meta_begin_read(f->meta, &f->err));
	sl_meta_end_read(f->meta);
	set(f, "fourth", "");
	assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
	sl_meta_end_read(f->meta);
	assert_int_equal(4, count(f));
	sl_meta_close(other);
}

static void child_adds(const char *path, int child, int rows)
{
	struct sl_meta *meta;
	struct sl_error err;
	char name[32];
	if (sl_meta_open(path, false, &meta, &err))
		_exit(1);
	for (int i = 0; i < rows; i++) {
		int64_t seq;
		int rc = sl_meta_begin(meta, &err);
		if (!rc)
			rc = sl_meta_int(meta, 0, &seq, &err, "SELECT count(*) FROM setting", NULL);
		snprintf(name, sizeof name, "%lld", (long long)(rc ? -1 : seq));
		if (!rc && sl_meta_exec(meta, &err, "INSERT INTO setting VALUES (?1, ?2)", "si", name, (int64_t)child) != 1)
			rc = err.code;
		if (sl_meta_end(meta, rc, &err))
			_exit(2);
	}
	sl_meta_close(meta);
	_exit(0);
}

/* Each adds the row that the count names: a lost or torn transaction would break the numbering. */
static void test_many_processes_write(void **state)
{
	struct fixture *f = *state;
	enum { CHILDREN = 6, ROWS = 40 };
	int64_t top;
	for (int i = 0; i < CHILDREN; i++)
		if (fork() == 0)
			child_adds(f->path, i, ROWS);
	for (int i = 0; i < CHILDREN; i++) {
		int status;
		wait(&status);
		assert_int_equal(0, status);
	}
	assert_int_equal(CHILDREN * ROWS, count(f));
	assert_int_equal(0, sl_meta_int(f->meta, 0, &top, &f->err, "SELECT max(CAST(name AS BIGINT)) FROM setting", NULL));
	assert_int_equal(CHILDREN * ROWS - 1, top);
	assert_int_equal(0, sl_meta_check(f->meta, &f->err));
}

static void test_what_a_killed_process_committed_stays(void **state)
{
	struct fixture *f = *state;
	pid_t child = fork();
	int status;
	if (child == 0) {
		struct fixture g = *f;
		open_meta(&g);
		for (int i = 0; i < 300; i++) {
			char name[16];
			snprintf(name, sizeof name, "%d", i);
			set(&g, name, "");
		}
		sl_meta_begin(g.meta, NULL);
		set(&g, "half", "");
		_exit(0);
	}
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_int_equal(0, status);
	sl_meta_close(f->meta);
	open_meta(f);
	assert_int_equal(300, count(f));
}

static void test_refuses_other_files_and_schemes(void **state)
{
	struct fixture *f = *state;
	struct sl_meta *other;
	char path[SL_PATH_MAX];

	assert_int_equal(SL_E_NO_LIBRARY, sl_meta_open("postgres://localhost/x", true, &other, &f->err));
	assert_int_equal(SL_E_INVALID, sl_meta_open("sqlite:", true, &other, &f->err));
	assert_int_equal(SL_E_NOT_FOUND, sl_meta_open("/tmp/no/such.db", false, &other, &f->err));
	snprintf(path, sizeof path, "%.4000s/text", f->dir);
	assert_int_equal(0, sl_file_replace(path, "not a database", 14, 0644, &f->err));
	assert_int_equal(SL_E_CORRUPT, sl_meta_open(path, false, &other, &f->err));
	sl_meta_exec(f->meta, &f->err, "PRAGMA user_version=1000", NULL);
	assert_int_equal(SL_E_CONFLICT, sl_meta_open(f->path, false, &other, &f->err));
	assert_non_null(strstr(f->err.message, "newer"));
}

/* ---- damage --------------------------------------------------------------------------------------------------------- */

static void flip_bit(const char *path, off_t at, int bit)
{
	unsigned char c;
	int fd = open(path, O_RDWR);
	assert_int_equal(1, pread(fd, &c, 1, at));
	c ^= (unsigned char)(1 << bit);
	assert_int_equal(1, pwrite(fd, &c, 1, at));
	close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) ? 0 : st.st_size;
}

static void fill(struct fixture *f, int rows)
{
	char name[32], value[600];
	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = 0;
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	for (int i = 0; i < rows; i++) {
		snprintf(name, sizeof name, "name %d", i);
		set(f, name, value);
	}
	assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
}

/* Opens, reads everything, closes: 0 or the error. */
static int read_all(struct fixture *f)
{
	struct sl_meta *meta;
	int rc = sl_meta_open(f->path, false, &meta, &f->err);
	if (rc)
		return rc;
	int64_t sum;
	rc = sl_meta_int(meta, 0, &sum, &f->err, "SELECT sum(length(value)) FROM setting", NULL);
	if (!rc)
		rc = sl_meta_check(meta, &f->err);
	sl_meta_close(meta);
	return rc;
}

/* No header, so no frame is valid. */
static bool log_is_empty(struct fixture *f)
{
	static const char NOTHING[32];
	char head[32] = "";
	int fd = open(f->wal, O_RDONLY);
	ssize_t n = pread(fd, head, sizeof head, 0);
	close(fd);
	return n <= 0 || memcmp(head, NOTHING, sizeof head) == 0;
}

static void test_an_emptied_log_keeps_its_room(void **state)
{
	struct fixture *f = *state;
	fill(f, 2000);
	off_t size = size_of(f->wal);
	sl_meta_close(f->meta);
	assert_true(log_is_empty(f) && size_of(f->wal) == size);
	for (int64_t i = 0; i < 3; i++) { /* what comes next is written over the old frames, none of which comes back */
		open_meta(f);
		assert_int_equal(2000 + i, count(f));
		set(f, i == 0 ? "a" : i == 1 ? "b" : "c", "");
		assert_int_equal(size, size_of(f->wal));
		sl_meta_close(f->meta);
	}
	open_meta(f);
	assert_int_equal(2003, count(f));
	assert_int_equal(0, sl_meta_check(f->meta, &f->err));
}

static void test_a_flipped_bit_in_the_database_is_named(void **state)
{
	struct fixture *f = *state;
	char page[32];

	fill(f, 2000); /* more than the log keeps: closing copies all of it into the file */
	sl_meta_close(f->meta);
	f->meta = NULL;
	assert_true(log_is_empty(f));
	assert_int_equal(0, read_all(f));
	off_t size = size_of(f->path);
	assert_true(size > 1000 * 1000);
	for (off_t at = 0; at < size; at += at < 200 ? 1 : 4099) {
		flip_bit(f->path, at, (int)(at % 8));
		if (read_all(f) != SL_E_CORRUPT)
			fail_msg("byte %lld: %d %s", (long long)at, f->err.code, f->err.message);
		snprintf(page, sizeof page, "page %lld", (long long)at / 4096 + 1);
		if (at >= 100 && !strstr(f->err.message, page))
			fail_msg("byte %lld: %s", (long long)at, f->err.message);
		flip_bit(f->path, at, (int)(at % 8));
	}
	assert_int_equal(0, read_all(f));
	assert_int_equal(0, truncate(f->path, size - 5));
	assert_int_equal(SL_E_CORRUPT, read_all(f));
}

/* Reads while the first handle keeps the log's index alive, so that SQLite itself does not compare the log again. */
static void test_a_flipped_bit_in_the_log_is_never_an_answer(void **state)
{
	struct fixture *f = *state;
	int found = 0, frames = 0;

	fill(f, 100);
	off_t size = size_of(f->wal);
	for (off_t frame = 32; frame + 24 + 4096 <= size; frame += 24 + 4096) {
		off_t at = frame + 24 + frames * 37 % 4096;
		flip_bit(f->wal, at, frames % 8);
		int rc = read_all(f);
		assert_true(rc == 0 || rc == SL_E_CORRUPT); /* 0: a later frame has that page anew, nobody reads this one */
		assert_true(rc == 0 || strstr(f->err.message, "write-ahead log frame"));
		found += rc != 0;
		frames++;
		flip_bit(f->wal, at, (frames - 1) % 8);
	}
	assert_true(frames > 20 && found > frames / 2);
	assert_int_equal(0, read_all(f));
}

/* SQLite reads the pages of a long value past its cache, and only as far as it must. */
static void test_a_long_value_comes_back_from_the_database_file(void **state)
{
	struct fixture *f = *state;
	static char value[50001];
	for (size_t len = 4000; len < sizeof value; len += 4001) {
		memset(value, 'a' + (int)(len % 26), len);
		value[len] = 0;
		set(f, "long", value);
		sl_meta_exec(f->meta, &f->err, "PRAGMA wal_checkpoint(TRUNCATE)", ""); /* what is in the log is read from there */
		struct sl_stmt *stmt SL_AUTO_STMT = NULL;
		assert_int_equal(0, sl_meta_query(f->meta, &stmt, &f->err, "SELECT value FROM setting WHERE name = 'long'", ""));
		if (sl_stmt_step(stmt, &f->err) != 1)
			fail_msg("%zu bytes: %s: %s", len, f->err.where, f->err.message);
		assert_string_equal(value, sl_stmt_text(stmt, 0));
	}
}

static void test_freed_pages_are_no_damage(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 3; round++) {
		fill(f, 1000);
		sl_meta_exec(f->meta, &f->err, "DELETE FROM setting WHERE rowid % 3 <> 0", NULL);
		assert_int_equal(0, sl_meta_check(f->meta, &f->err));
		assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
		fill(f, 3000);
		sl_meta_exec(f->meta, &f->err, "DELETE FROM setting", NULL);
		assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
		if (sl_meta_check(f->meta, &f->err))
			fail_msg("%s", f->err.message);
	}
	sl_meta_close(f->meta);
	open_meta(f);
	assert_int_equal(0, sl_meta_check(f->meta, &f->err));
}

/* SQLite would open for reading only what cannot be opened for writing: whoever opens then must hear of it, or be able to write. */
static void test_a_failed_open_leaves_no_handle_that_cannot_write(void **state)
{
	struct fixture *f = *state;
	set(f, "a", "1");
	long calls = 1;
	for (long n = 0; n <= calls; n++) { /* 0: none fails, they are counted */
		struct sl_meta *other = NULL;
		int64_t changed = -1;
		fault_install(&(struct fault_plan){.action = n ? FAULT_FAIL : FAULT_NONE, .kinds = FAULT_OPEN, .at = n, .error = EIO});
		int rc = sl_meta_open(f->path, false, &other, NULL);
		if (!rc)
			changed = sl_meta_exec(other, NULL, "UPDATE setting SET value = '2' WHERE name = 'a'", "");
		long made = fault_remove();
		calls = n ? calls : made;
		if (!rc && changed < 0) /* the fault met the write itself, and is over */
			changed = sl_meta_exec(other, &f->err, "UPDATE setting SET value = '2' WHERE name = 'a'", "");
		if (!rc && changed != 1)
			fail_msg("open %ld of %ld failed: %s", n, calls, f->err.message);
		sl_meta_close(other);
	}
	assert_true(calls >= 2); /* the database and its log */
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_values_come_back),
		T(test_one_text_can_be_used_twice_at_once),
		T(test_exec_counts_and_conflicts),
		T(test_many_built_texts),
		T(test_transactions_nest),
		T(test_inner_rollback_dooms_the_whole),
		T(test_a_reader_sees_one_state), T(test_a_write_inside_reads_is_its_own),
		T(test_many_processes_write),
		T(test_what_a_killed_process_committed_stays),
		T(test_a_failed_open_leaves_no_handle_that_cannot_write),
		T(test_refuses_other_files_and_schemes),
		T(test_an_emptied_log_keeps_its_room),
		T(test_a_flipped_bit_in_the_database_is_named),
		T(test_a_flipped_bit_in_the_log_is_never_an_answer),
		T(test_a_long_value_comes_back_from_the_database_file),
		T(test_freed_pages_are_no_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

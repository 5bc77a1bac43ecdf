/* The ledger: entries, tiles and checkpoints, and that every changed byte of them is named. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ledger/ledger.h"
#include "ledger/tile.h"
#include "os/clock.h"
#include "os/file.h"

struct fixture {
	char dir[SL_PATH_MAX], path[SL_PATH_MAX], ledger_dir[SL_PATH_MAX], key_dir[SL_PATH_MAX];
	struct sl_meta *meta;
	struct sl_ledger *ledger;
	struct sl_error err;
};

static void open_ledger(struct fixture *f)
{
	assert_int_equal(0, sl_meta_open(f->path, true, &f->meta, &f->err));
	assert_int_equal(0, sl_ledger_open(f->ledger_dir, f->key_dir, f->meta, &f->ledger, &f->err));
	sl_ledger_set_actor(f->ledger, "user:test");
}

static void close_ledger(struct fixture *f)
{
	sl_ledger_close(f->ledger);
	sl_meta_close(f->meta);
	f->ledger = NULL;
	f->meta = NULL;
}

static int setup(void **state)
{
	struct fixture *f = sl_alloc(sizeof *f, NULL);
	if (!f || sl_dir_make_temporary("/tmp", "sl-ledger-", f->dir, &f->err))
		return -1;
	snprintf(f->path, sizeof f->path, "%.4000s/sluice.db", f->dir);
	snprintf(f->ledger_dir, sizeof f->ledger_dir, "%.4000s/ledger", f->dir);
	snprintf(f->key_dir, sizeof f->key_dir, "%.4000s/key", f->dir);
	if (sl_ledger_create(f->ledger_dir, f->key_dir, "sluice.test/1", &f->err))
		return -1;
	open_ledger(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close_ledger(f);
	sl_dir_remove(f->dir, NULL);
	sl_free(f);
	return 0;
}

static void append(struct fixture *f, int count)
{
	char subject[32];
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	for (int i = 0; i < count; i++) {
		snprintf(subject, sizeof subject, "dataset:d%d", i);
		assert_int_equal(0, sl_ledger_append(f->ledger, "dataset.commit", subject, NULL, NULL, &f->err));
	}
	assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
}

static void publish(struct fixture *f)
{
	int rc = sl_ledger_publish(f->ledger, &f->err);
	if (rc)
		fail_msg("%s: %s", f->err.where, f->err.message);
}

static struct sl_ledger_report verify_well(struct fixture *f)
{
	struct sl_ledger_report report;
	int rc = sl_ledger_verify(f->ledger, &report, &f->err);
	if (rc)
		fail_msg("%s", f->err.message);
	assert_string_equal("", report.bad);
	return report;
}

static void expect_bad(struct fixture *f, const char *bad)
{
	struct sl_ledger_report report;
	int rc = sl_ledger_verify(f->ledger, &report, &f->err);
	if (rc != SL_E_CORRUPT || strncmp(report.bad, bad, strlen(bad)))
		fail_msg("expected '%s', got %d '%s'", bad, rc, report.bad);
}

static void test_entry_is_canonical_and_numbered(void **state)
{
	struct fixture *f = *state;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = yyjson_mut_obj(doc);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_buf again SL_AUTO_BUF = SL_BUF_INIT(65536);
	int64_t seq;
	size_t len;

	yyjson_mut_obj_add_str(doc, detail, "z", "1\n");
	yyjson_mut_obj_add_int(doc, detail, "a", 2);
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	assert_int_equal(0, sl_ledger_append(f->ledger, "model.promote", "model:\"m\"@1", detail, &seq, &f->err));
	assert_int_equal(0, seq);
	assert_int_equal(0, sl_ledger_append(f->ledger, "model.promote", "model:m@2", NULL, &seq, &f->err));
	assert_int_equal(1, seq);
	assert_int_equal(0, sl_meta_commit(f->meta, &f->err));
	yyjson_mut_doc_free(doc);

	assert_int_equal(0, sl_meta_query(f->meta, &stmt, &f->err, "SELECT entry FROM ledger_entry WHERE seq = 0", NULL));
	assert_int_equal(1, sl_stmt_step(stmt, &f->err));
	const char *entry = sl_stmt_blob(stmt, 0, &len);
	yyjson_doc *read SL_AUTO_JSON = sl_json_parse(entry, len, "entry", &f->err);
	assert_non_null(read);
	assert_int_equal(0, sl_json_canonical(yyjson_doc_get_root(read), &again, &f->err));
	assert_int_equal(len, again.len);
	assert_memory_equal(entry, again.data, len);
	assert_string_equal("user:test", sl_json_str(yyjson_doc_get_root(read), "actor", ""));
	assert_string_equal("model:\"m\"@1", sl_json_str(yyjson_doc_get_root(read), "subject", ""));
}

static void test_a_rolled_back_entry_leaves_no_gap(void **state)
{
	struct fixture *f = *state;
	int64_t seq;

	append(f, 3);
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	assert_int_equal(0, sl_ledger_append(f->ledger, "x", "y", NULL, &seq, &f->err));
	assert_int_equal(3, seq);
	sl_meta_rollback(f->meta);
	append(f, 1);
	publish(f);
	assert_int_equal(4, verify_well(f).entries);
}

static void test_too_large_a_detail(void **state)
{
	struct fixture *f = *state;
	char text[40000];
	memset(text, 'x', sizeof text);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_strn(doc, detail, "text", text, sizeof text);
	assert_int_equal(0, sl_meta_begin(f->meta, &f->err));
	assert_int_equal(SL_E_TOO_LARGE, sl_ledger_append(f->ledger, "x", "y", detail, NULL, &f->err));
	sl_meta_rollback(f->meta);
	yyjson_mut_doc_free(doc);
}

/* Publishing in steps of any size gives the tree that publishing at once gives. */
static void test_publish_in_steps(void **state)
{
	struct fixture *f = *state;
	static const int steps[] = {1, 1, 3, 250, 1, 1, 255, 256, 257, 2, 700};
	int64_t total = 0;

	publish(f); /* nothing yet: no checkpoint */
	for (size_t i = 0; i < SL_ARRAY_LEN(steps); i++) {
		append(f, steps[i]);
		total += steps[i];
		publish(f);
		publish(f);
		if (i % 3 == 0) { /* a new process knows nothing of the edge */
			close_ledger(f);
			open_ledger(f);
		}
		struct sl_ledger_report report = verify_well(f);
		assert_int_equal(total, report.entries);
	}
}

static void test_past_the_second_level(void **state)
{
	struct fixture *f = *state;
	append(f, 65536 - 10);
	publish(f);
	append(f, 30);
	publish(f);
	int64_t before = sl_monotonic_ns();
	struct sl_ledger_report report = verify_well(f);
	print_message("verified %.0f entries a second, rows included\n",
		      (double)report.entries / (double)(sl_monotonic_ns() - before) * 1e9);
	assert_int_equal(65536 + 20, report.entries);
	assert_int_equal(2 * 257 + 1 + 1, report.tiles); /* bundles and level 0, level 1 (full), level 2 (one hash) */
}

static void file_of(struct fixture *f, const char *name, char out[SL_PATH_MAX])
{
	assert_int_equal(0, sl_path_join(out, f->ledger_dir, name, &f->err));
}

static void flip(const char *path, off_t at)
{
	unsigned char c;
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(1, pread(fd, &c, 1, at));
	c ^= 4;
	assert_int_equal(1, pwrite(fd, &c, 1, at));
	close(fd);
}

static void test_every_flipped_byte_of_a_file_is_named(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000",
					    "tile/entries/001.p/44"};
	char path[SL_PATH_MAX], expected[128];
	struct stat st;

	append(f, 300);
	publish(f);
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		file_of(f, names[i], path);
		assert_int_equal(0, stat(path, &st));
		for (off_t at = 0; at < st.st_size; at += i == 3 ? 131 : 13) {
			flip(path, at);
			snprintf(expected, sizeof expected, "ledger/%s byte ", names[i]);
			expect_bad(f, expected);
			/* A length of a bundle's entry shows as its place, not always to the byte. */
			if (i < 3) {
				snprintf(expected, sizeof expected, "ledger/%s byte %lld:", names[i], (long long)at);
				expect_bad(f, expected);
			}
			flip(path, at);
		}
	}
	file_of(f, "checkpoint", path);
	assert_int_equal(0, stat(path, &st));
	for (off_t at = 0; at < st.st_size; at++) {
		flip(path, at);
		expect_bad(f, "ledger/checkpoint: ");
		flip(path, at);
	}
	verify_well(f);
}

static void test_a_changed_row_is_named(void **state)
{
	struct fixture *f = *state;
	append(f, 300);
	publish(f);
	assert_int_equal(
		1,
		sl_meta_exec(
			f->meta, &f->err,
			"UPDATE ledger_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'd17', 'd71') AS BLOB) WHERE seq = 17",
			NULL));
	expect_bad(f, "ledger_entry row 17: byte ");
	/* A publisher that does not know the edge still, as the change is not in it. */
	append(f, 1);
	publish(f);
	expect_bad(f, "ledger_entry row 17: byte ");
	assert_int_equal(1, sl_meta_exec(f->meta, &f->err, "DELETE FROM ledger_entry WHERE seq = 200", NULL));
	assert_int_equal(
		1,
		sl_meta_exec(
			f->meta, &f->err,
			"UPDATE ledger_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'd71', 'd17') AS BLOB) WHERE seq = 17",
			NULL));
	expect_bad(f, "ledger_entry row 200: is missing");
}

static void test_a_row_changed_at_the_edge_is_not_signed(void **state)
{
	struct fixture *f = *state;
	append(f, 300);
	publish(f);
	close_ledger(f);
	open_ledger(f);
	assert_int_equal(
		1, sl_meta_exec(f->meta, &f->err, "UPDATE ledger_entry SET entry = CAST('{}' AS BLOB) WHERE seq = 299", NULL));
	append(f, 1);
	assert_int_equal(SL_E_CORRUPT, sl_ledger_publish(f->ledger, &f->err));
	expect_bad(f, "ledger_entry row 299: byte 1 ");
}

static void test_lost_partial_tiles_are_made_again(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"tile/0/001.p/44", "tile/1/000.p/1"};
	char path[SL_PATH_MAX];

	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		append(f, i ? 256 - 1 : 300);
		publish(f);
		close_ledger(f);
		open_ledger(f);
		file_of(f, i ? "tile/1/000.p/2" : names[i], path);
		assert_int_equal(0, i ? unlink(path) : truncate(path, 0));
		append(f, 1);
		publish(f);
		verify_well(f);
	}
	file_of(f, "checkpoint", path);
	assert_int_equal(0, unlink(path));
	append(f, 1);
	publish(f);
	assert_int_equal(558, verify_well(f).entries);
}

static void test_every_entry_can_be_proved(void **state)
{
	struct fixture *f = *state;
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(100000);
	static const int sizes[] = {1, 1, 1, 2, 250, 2, 265, 70000};
	int64_t total = 0;

	for (size_t i = 0; i < SL_ARRAY_LEN(sizes); i++) {
		append(f, sizes[i]);
		publish(f);
		total += sizes[i];
		for (int64_t seq = 0; seq < total; seq += total > 1000 ? 7919 : total > 20 ? 19 : 1) {
			sl_buf_clear(&out);
			int rc = sl_ledger_prove(f->ledger, seq, NULL, &out, &f->err); /* which proves its own proof */
			if (rc)
				fail_msg("%lld of %lld: %s", (long long)seq, (long long)total, f->err.message);
		}
	}
	assert_int_equal(SL_E_NOT_FOUND, sl_ledger_prove(f->ledger, total, NULL, &out, &f->err));
	assert_int_equal(SL_E_NOT_FOUND, sl_ledger_prove(f->ledger, -1, NULL, &out, &f->err));
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(out.data, out.len, "proof", &f->err);
	assert_non_null(doc);
	assert_int_equal(total, sl_json_int(yyjson_doc_get_root(doc), "size", 0));
}

static void test_without_the_private_key(void **state)
{
	struct fixture *f = *state;
	char path[SL_PATH_MAX];
	append(f, 3);
	publish(f);
	close_ledger(f);
	snprintf(path, sizeof path, "%.4000s/ledger.key", f->key_dir);
	struct stat st;
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(0600, st.st_mode & 0777);
	assert_int_equal(0, unlink(path));
	open_ledger(f);
	append(f, 1);
	publish(f);
	assert_int_equal(3, verify_well(f).entries);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_entry_is_canonical_and_numbered),
		T(test_a_rolled_back_entry_leaves_no_gap),
		T(test_too_large_a_detail),
		T(test_publish_in_steps),
		T(test_past_the_second_level),
		T(test_every_flipped_byte_of_a_file_is_named),
		T(test_a_changed_row_is_named),
		T(test_a_row_changed_at_the_edge_is_not_signed),
		T(test_lost_partial_tiles_are_made_again),
		T(test_every_entry_can_be_proved),
		T(test_without_the_private_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

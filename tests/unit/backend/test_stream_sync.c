/* A disk that fails to take records once, and tells of it once: what a stream counts as synced must be on it all the same. */
#include "backend/stream_files.h"
#include "os/sys.h"
#include "port/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SL_PATH_MAX];
static struct sl_error err;

/* ---- the disk: like Linux, it holds a page for clean once a sync of it has failed ------------------------------------- */

enum { FILES = 4, FILE_BYTES = 32 * 1024 };
static struct disk_file {
	ino_t inode;
	unsigned char disk[FILE_BYTES], clean[FILE_BYTES]; /* what power loss leaves; what the kernel holds for written */
	bool written[FILE_BYTES];                          /* by pwrite since then, though nothing changed */
} files[FILES];
static struct sl_sys table;
static int syncs_to_fail;

static struct disk_file *file_of(ino_t inode)
{
	for (int i = 0; i < FILES; i++)
		if (!files[i].inode || files[i].inode == inode) {
			files[i].inode = inode;
			return &files[i];
		}
	abort();
}

static int disk_fdatasync(int fd)
{
	static unsigned char now[FILE_BYTES];
	struct stat st;
	assert_int_equal(0, fstat(fd, &st));
	struct disk_file *file = file_of(st.st_ino);
	bool fails = syncs_to_fail > 0 && syncs_to_fail--;
	memset(now, 0, sizeof now);
	assert_true(pread(fd, now, sizeof now, 0) >= 0);
	for (size_t i = 0; i < FILE_BYTES && !fails; i++)
		if (now[i] != file->clean[i] || file->written[i])
			file->disk[i] = now[i];
	memcpy(file->clean, now, sizeof now);
	memset(file->written, 0, sizeof file->written);
	errno = EIO;
	return fails ? -1 : 0;
}

static ssize_t disk_pwrite(int fd, const void *data, size_t len, off_t offset)
{
	struct stat st;
	assert_int_equal(0, fstat(fd, &st));
	memset(file_of(st.st_ino)->written + offset, 1, len);
	return pwrite(fd, data, len, offset);
}

/* Segment `base` becomes what the disk has of it, and the machine is another. */
static void lose_power(int64_t base)
{
	char path[SL_PATH_MAX], folder[SL_PATH_MAX];
	struct sl_head *head;
	struct stat st;
	snprintf(folder, sizeof folder, "%.1000s/s", dir);
	assert_int_equal(0, sl_segment_path(path, folder, base, "log", &err));
	assert_int_equal(0, stat(path, &st));
	int fd = open(path, O_WRONLY);
	size_t size = st.st_size < FILE_BYTES ? (size_t)st.st_size : FILE_BYTES;
	assert_int_equal(size, pwrite(fd, file_of(st.st_ino)->disk, size, 0));
	close(fd);
	assert_int_equal(0, sl_head_map(folder, true, &head, &err));
	sl_head_set(head, SL_HEAD_BOOT, 1);
	sl_head_unmap(&head);
}

/* ---- a stream on it --------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/sluice-sync-XXXXXX");
	memset(files, 0, sizeof files);
	table = sl_sys_real;
	table.fdatasync = disk_fdatasync;
	table.pwrite = disk_pwrite;
	sl_sys = &table;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sl_sys = &sl_sys_real;
	return sl_dir_remove(dir, NULL);
}

static struct sl_stream *writer(void)
{
	struct sl_stream_options options = {.segment_bytes = 4096};
	struct sl_stream *stream;
	assert_int_equal(0, sl_stream_open_writer(dir, "s", &options, &stream, &err));
	return stream;
}

static void append(struct sl_stream *stream, int from, int to)
{
	for (int i = from; i < to; i++) {
		char value[100];
		int64_t offset;
		snprintf(value, sizeof value, "record %d", i);
		struct sl_record record = {.time_ms = i, .value = value, .value_len = sizeof value};
		memset(value + 50, i, 50);
		assert_int_equal(0, sl_stream_append(stream, &record, 1, &offset, &err));
		assert_int_equal(i, offset);
	}
}

static int64_t word(enum sl_head_slot slot)
{
	char folder[SL_PATH_MAX];
	struct sl_head *head;
	snprintf(folder, sizeof folder, "%.1000s/s", dir);
	assert_int_equal(0, sl_head_map(folder, false, &head, &err));
	int64_t value = sl_head_get(head, slot);
	sl_head_unmap(&head);
	return value;
}

/* Everything that counts as synced is there after power loss. `stream` is left as a killed process leaves it, but for its lock. */
static void check_power_loss(struct sl_stream *stream, const int64_t *bases, size_t count, int64_t expected)
{
	sl_sys = &sl_sys_real;
	sl_stream_close(stream);
	for (size_t i = 0; i < count; i++)
		lose_power(bases[i]);
	assert_int_equal(0, sl_stream_open_writer(dir, "s", NULL, &stream, &err));
	assert_true(sl_stream_end_offset(stream) >= expected);
	assert_int_equal(0, word(SL_HEAD_FAILED));
	sl_stream_close(stream);
	assert_int_equal(0, sl_stream_check(dir, "s", &err));
}

static void test_maintain_writes_again_what_the_disk_did_not_take(void **state)
{
	(void)state;
	struct sl_stream *w = writer();
	append(w, 0, 5);
	assert_int_equal(0, sl_stream_maintain(dir, "s", NULL, &err));
	append(w, 5, 10);
	syncs_to_fail = 1;
	assert_int_equal(SL_E_IO, sl_stream_maintain(dir, "s", NULL, &err));
	assert_int_equal(5, word(SL_HEAD_SYNCED));
	append(w, 10, 12); /* it goes on */
	assert_int_equal(0, sl_stream_maintain(dir, "s", NULL, &err));
	assert_int_equal(12, word(SL_HEAD_SYNCED));
	assert_int_equal(word(SL_HEAD_FAILED), word(SL_HEAD_REPAIRED));
	check_power_loss(w, (const int64_t[]){0}, 1, 12);
}

static void test_writing_again_may_fail_too(void **state)
{
	(void)state;
	struct sl_stream *w = writer();
	append(w, 0, 5);
	syncs_to_fail = 3;
	for (int i = 0; i < 3; i++)
		assert_int_equal(SL_E_IO, sl_stream_maintain(dir, "s", NULL, &err));
	assert_int_equal(0, word(SL_HEAD_SYNCED));
	assert_int_equal(0, sl_stream_maintain(dir, "s", NULL, &err));
	assert_int_equal(5, word(SL_HEAD_SYNCED));
	check_power_loss(w, (const int64_t[]){0}, 1, 5);
}

static void test_the_writers_own_sync_and_a_new_process_know_of_it(void **state)
{
	(void)state;
	struct sl_stream *w = writer();
	append(w, 0, 5);
	syncs_to_fail = 2; /* of the sync, and of the one at close */
	assert_int_equal(SL_E_IO, sl_stream_sync(w, &err));
	sl_stream_close(w);
	w = writer();
	append(w, 5, 6);
	assert_int_equal(0, sl_stream_sync(w, &err));
	assert_int_equal(6, word(SL_HEAD_SYNCED));
	check_power_loss(w, (const int64_t[]){0}, 1, 6);
}

static void test_over_two_segments(void **state)
{
	(void)state;
	struct sl_stream *w = writer();
	append(w, 0, 20);
	syncs_to_fail = 1;
	assert_int_equal(SL_E_IO, sl_stream_sync(w, &err));
	append(w, 20, 40); /* into the second segment: a batch has 61 + 107 bytes */
	assert_int_equal(0, sl_stream_maintain(dir, "s", NULL, &err));
	assert_int_equal(40, word(SL_HEAD_SYNCED));
	check_power_loss(w, (const int64_t[]){0, 24}, 2, 40);
}

static void test_what_memory_lost_is_named(void **state)
{
	(void)state;
	struct sl_stream *w = writer();
	append(w, 0, 5);
	assert_int_equal(0, sl_stream_maintain(dir, "s", NULL, &err));
	append(w, 5, 10);
	syncs_to_fail = 1;
	assert_int_equal(SL_E_IO, sl_stream_maintain(dir, "s", NULL, &err));
	sl_sys = &sl_sys_real;
	lose_power(0); /* the page went, and came back from the disk */
	sl_sys = &table;
	assert_int_equal(SL_E_CORRUPT, sl_stream_sync(w, &err));
	assert_non_null(strstr(err.message, "offset 5"));
	assert_int_equal(5, word(SL_HEAD_SYNCED));
	sl_sys = &sl_sys_real;
	sl_stream_close(w);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_maintain_writes_again_what_the_disk_did_not_take), T(test_writing_again_may_fail_too),
		T(test_the_writers_own_sync_and_a_new_process_know_of_it), T(test_over_two_segments), T(test_what_memory_lost_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "backend/stream_batch.h"
#include "backend/stream_files.h"
#include "os/clock.h"
#include "os/sys.h"
#include "port/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SL_PATH_MAX];
static struct sl_error err;

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/sluice-stream-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	(void)state;
	sl_sys = &sl_sys_real;
	return sl_dir_remove(dir, NULL);
}

static struct sl_stream *writer(uint64_t segment_bytes)
{
	struct sl_stream_options options = {.segment_bytes = segment_bytes};
	struct sl_stream *stream;
	assert_int_equal(sl_stream_open_writer(dir, "s", &options, &stream, &err), 0);
	return stream;
}

static struct sl_stream *reader(void)
{
	struct sl_stream *stream;
	assert_int_equal(sl_stream_open_reader(dir, "s", &stream, &err), 0);
	return stream;
}

/* Record i: time 1000 + i, key "k<i>", value of 100 + i % 50 bytes. */
static int64_t append(struct sl_stream *stream, int64_t i)
{
	char key[32];
	unsigned char value[150];
	int key_len = snprintf(key, sizeof key, "k%lld", (long long)i);
	memset(value, (int)(i & 255), sizeof value);
	struct sl_record record = {.time_ms = 1000 + i, .key = key, .key_len = (size_t)key_len, .value = value,
		.value_len = 100 + (size_t)(i % 50)};
	int64_t first = -1;
	int rc = sl_stream_append(stream, &record, 1, &first, &err);
	return rc ? rc : first;
}

static int check_record(void *context, const struct sl_record *record, struct sl_error *error)
{
	(void)error;
	int64_t *expected = context;
	char key[32];
	int key_len = snprintf(key, sizeof key, "k%lld", (long long)*expected);
	assert_int_equal(record->offset, *expected);
	assert_int_equal(record->time_ms, 1000 + *expected);
	assert_int_equal(record->key_len, key_len);
	assert_memory_equal(record->key, key, record->key_len);
	assert_int_equal(record->value_len, 100 + *expected % 50);
	assert_int_equal(((const unsigned char *)record->value)[record->value_len - 1], *expected & 255);
	(*expected)++;
	return 0;
}

/* Reads [from, to) and checks every record. */
static void read_all(struct sl_stream *stream, int64_t from, int64_t to)
{
	int64_t expected = from, next = from;
	while (next < to) {
		int64_t before = next;
		assert_int_equal(sl_stream_read(stream, next, 10000, check_record, &expected, &next, &err), 0);
		assert_true(next > before);
		assert_int_equal(next, expected);
	}
	assert_int_equal(next, to);
}

static void batch_is_kafkas_byte_for_byte(void **state)
{
	(void)state;
	/* What aiokafka 0.14 builds for these two records, but for partitionLeaderEpoch: 0 here, -1 there. */
	static const unsigned char expected[] =
		"\0\0\0\0\0\0\0\0" "\0\0\0\x43" "\0\0\0\0" "\2" "\xcd\xf3\x15\xa2" "\0\0" "\0\0\0\1"
		"\0\0\0\0\0\0\3\xe8" "\0\0\0\0\0\0\3\xeb"
		"\xff\xff\xff\xff\xff\xff\xff\xff" "\xff\xff" "\xff\xff\xff\xff" "\0\0\0\2"
		"\x10\0\0\0\2k\2v\0" "\x10\0\6\2\1\4ab\0";
	struct sl_record records[] = {{.time_ms = 1000, .key = "k", .key_len = 1, .value = "v", .value_len = 1},
				      {.time_ms = 1003, .value = "ab", .value_len = 2}};
	unsigned char bytes[200];
	size_t size = sl_batch_size(records, 2);
	assert_int_equal(size, sizeof expected - 1);
	sl_batch_write(bytes, size, 0, records, 2);
	assert_memory_equal(bytes, expected, size);
}

static void appends_come_back_over_segments(void **state)
{
	(void)state;
	struct sl_stream *w = writer(64 * 1024);
	struct sl_stream *r = reader();
	for (int64_t i = 0; i < 5000; i++) {
		assert_int_equal(append(w, i), i);
		if (i % 700 == 0)
			read_all(r, i - i / 2, i + 1);
	}
	assert_int_equal(sl_stream_begin_offset(r), 0);
	assert_int_equal(sl_stream_end_offset(r), 5000);
	read_all(r, 0, 5000);
	read_all(w, 4321, 5000);
	for (int64_t from = 0; from < 5000; from += 311)
		read_all(r, from, 5000);
	int64_t next;
	assert_int_equal(sl_stream_read(r, 5000, 1 << 20, check_record, NULL, &next, &err), 0);
	assert_int_equal(next, 5000);
	sl_stream_close(r);
	sl_stream_close(w);
	w = writer(64 * 1024);
	assert_int_equal(append(w, 5000), 5000);
	read_all(w, 0, 5001);
	sl_stream_close(w);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
}

static void many_records_in_one_batch(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0);
	struct sl_record *records = calloc(20000, sizeof *records);
	static char value[300];
	for (size_t i = 0; i < 20000; i++)
		records[i] = (struct sl_record){.time_ms = 5, .value = value, .value_len = sizeof value};
	int64_t first;
	assert_int_equal(sl_stream_append(w, records, 20000, &first, &err), 0);
	assert_int_equal(sl_stream_append(w, records, 20000, &first, &err), 0);
	assert_int_equal(first, 20000);
	records[7].value_len = SL_BATCH_MAX;
	assert_int_equal(sl_stream_append(w, records, 20000, &first, &err), SL_E_TOO_LARGE);
	assert_int_equal(sl_stream_end_offset(w), 40000);
	free(records);
	sl_stream_close(w);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
}

static void finds_times(void **state)
{
	(void)state;
	struct sl_stream *w = writer(100 * 1024);
	for (int64_t i = 0; i < 4000; i++)
		append(w, i);
	assert_int_equal(sl_stream_maintain(dir, "s", NULL, &err), 0);
	for (int64_t i = 0; i < 4000; i += 97) {
		int64_t found;
		assert_int_equal(sl_stream_find_time(w, 1000 + i, &found, &err), 0);
		assert_int_equal(found, i);
	}
	int64_t found;
	assert_int_equal(sl_stream_find_time(w, 0, &found, &err), 0);
	assert_int_equal(found, 0);
	assert_int_equal(sl_stream_find_time(w, 99999, &found, &err), 0);
	assert_int_equal(found, 4000);
	sl_stream_close(w);
}

static void one_writer_at_a_time(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0), *second;
	assert_int_equal(sl_stream_open_writer(dir, "s", NULL, &second, &err), SL_E_BUSY);
	sl_stream_close(w);
	sl_stream_close(writer(0));
	assert_int_equal(sl_stream_open_reader(dir, "none", &second, &err), SL_E_NOT_FOUND);
	assert_int_equal(sl_stream_open_writer(dir, "../x", NULL, &second, &err), SL_E_INVALID);
}

/* Appends until it is killed; what was acknowledged stands in shared memory. */
static void append_until_killed(volatile int64_t *acknowledged)
{
	struct sl_stream *w = writer(256 * 1024);
	for (int64_t i = sl_stream_end_offset(w);; i++) {
		if (append(w, i) != i)
			_exit(1);
		*acknowledged = i + 1;
	}
}

static void acknowledged_survives_sigkill(void **state)
{
	(void)state;
	volatile int64_t *acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(acknowledged, MAP_FAILED);
	int64_t before = 0;
	for (int round = 0; round < 10; round++) {
		pid_t child = fork();
		if (child == 0)
			append_until_killed(acknowledged);
		while (*acknowledged < before + 2000 + round * 777)
			assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		struct sl_stream *w = writer(256 * 1024);
		before = sl_stream_end_offset(w);
		assert_true(before >= *acknowledged && before <= *acknowledged + 1);
		read_all(w, 0, before);
		sl_stream_close(w);
		assert_int_equal(sl_stream_check(dir, "s", &err), 0);
	}
	munmap((void *)(uintptr_t)acknowledged, 4096);
}

static void path_of(char out[SL_PATH_MAX], int64_t base, const char *suffix)
{
	char folder[SL_PATH_MAX];
	assert_int_equal(sl_path_join(folder, dir, "s", NULL), 0);
	assert_int_equal(sl_segment_path(out, folder, base, suffix, NULL), 0);
}

static void flip(int64_t base, const char *suffix, off_t at)
{
	char path[SL_PATH_MAX];
	unsigned char byte;
	path_of(path, base, suffix);
	chmod(path, 0644);
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static int count_record(void *context, const struct sl_record *record, struct sl_error *error)
{
	(void)record;
	(void)error;
	++*(int64_t *)context;
	return 0;
}

static void flipped_bit_in_the_middle_is_an_error(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0);
	for (int64_t i = 0; i < 100; i++)
		append(w, i);
	sl_stream_close(w);
	flip(0, "log", 3000);
	assert_int_equal(sl_stream_check(dir, "s", &err), SL_E_CORRUPT);
	assert_non_null(strstr(err.where, ".log"));
	struct sl_stream *r = reader();
	int64_t count = 0, next;
	assert_int_equal(sl_stream_read(r, 0, 1 << 20, count_record, &count, &next, &err), SL_E_CORRUPT);
	assert_true(count > 5 && count < 50 && next == count);
	sl_stream_close(r);
	assert_int_equal(sl_stream_open_writer(dir, "s", NULL, &w, &err), SL_E_CORRUPT);
}

static void flipped_bit_in_the_last_batch_is_not_a_torn_tail(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0);
	for (int64_t i = 0; i < 10; i++)
		append(w, i);
	sl_stream_close(w);
	char path[SL_PATH_MAX];
	struct sl_file_info info;
	path_of(path, 0, "log");
	assert_int_equal(sl_file_info(path, &info, NULL), 0);
	flip(0, "log", (off_t)info.size_bytes - 5);
	assert_int_equal(sl_stream_open_writer(dir, "s", NULL, &w, &err), SL_E_CORRUPT);
}

/* The folder as a machine leaves it that lost power: another boot, and less on the disk than was acknowledged. */
static void lose_power(int64_t synced, int64_t base, off_t cut_at)
{
	char path[SL_PATH_MAX];
	struct sl_head *head;
	assert_int_equal(sl_path_join(path, dir, "s", NULL), 0);
	assert_int_equal(sl_head_map(path, true, &head, &err), 0);
	sl_head_set(head, SL_HEAD_BOOT, 4711);
	sl_head_set(head, SL_HEAD_SYNCED, synced);
	sl_head_unmap(&head);
	path_of(path, base, "log");
	assert_int_equal(truncate(path, cut_at), 0);
	assert_int_equal(truncate(path, cut_at + 5000), 0); /* allocated ahead, never written */
}

static void power_loss_cuts_only_what_was_not_synced(void **state)
{
	(void)state;
	struct sl_stream *w = writer(16 * 1024);
	for (int64_t i = 0; i < 300; i++)
		append(w, i);
	sl_stream_close(w);
	lose_power(20, 0, 10000); /* the first of three segments is torn behind offset 20 */
	struct sl_stream *r = reader();
	assert_int_equal(sl_stream_end_offset(r), 20);
	read_all(r, 0, 20);
	sl_stream_close(r);
	w = writer(16 * 1024);
	int64_t end = sl_stream_end_offset(w);
	assert_true(end > 20 && end < 70);
	read_all(w, 0, end);
	assert_int_equal(append(w, end), end);
	read_all(w, 0, end + 1);
	sl_stream_close(w);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
	lose_power(30, 0, 2000); /* less than what was synced */
	assert_int_equal(sl_stream_open_writer(dir, "s", NULL, &w, &err), SL_E_CORRUPT);
}

static void damaged_index_only_costs_time(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0);
	for (int64_t i = 0; i < 3000; i++)
		append(w, i);
	sl_stream_close(w);
	flip(0, "index", 25);
	struct sl_stream *r = reader();
	int64_t found;
	assert_int_equal(sl_stream_find_time(r, 1000 + 2500, &found, &err), 0);
	assert_int_equal(found, 2500);
	read_all(r, 2900, 3000);
	sl_stream_close(r);
	w = writer(0);
	assert_int_equal(append(w, 3000), 3000);
	sl_stream_close(w);
}

struct seals {
	int64_t count, end;
	struct sl_hash last;
};

static int on_seal(void *context, const char *stream, int64_t base, int64_t end, const struct sl_hash *digest,
		   struct sl_error *error)
{
	(void)error;
	struct seals *seals = context;
	assert_string_equal(stream, "s");
	assert_int_equal(base, seals->end);
	seals->end = end;
	seals->last = *digest;
	seals->count++;
	return 0;
}

static void sealed_segments_are_proved_and_retired(void **state)
{
	(void)state;
	char path[SL_PATH_MAX];
	struct seals seals = {0};
	struct sl_stream_options options = {.segment_bytes = 32 * 1024, .on_seal = on_seal, .context = &seals};
	struct sl_stream *w = writer(32 * 1024);
	for (int64_t i = 0; i < 2000; i++)
		append(w, i);
	assert_int_equal(sl_stream_maintain(dir, "s", &options, &err), 0);
	int64_t sealed = seals.count;
	assert_true(sealed > 5 && seals.end < 2000);
	assert_int_equal(sl_stream_maintain(dir, "s", &options, &err), 0);
	assert_int_equal(seals.count, sealed); /* each once */
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);

	options.retain_bytes = (1024 + 100) * 1024; /* the segment that is written has its next MiB already */
	assert_int_equal(sl_stream_maintain(dir, "s", &options, &err), 0);
	int64_t begin = sl_stream_begin_offset(w), next;
	assert_true(begin > 0 && begin < 2000);
	assert_int_equal(sl_stream_read(w, 0, 1000, check_record, NULL, &next, &err), SL_E_NOT_FOUND);
	read_all(w, begin, 2000);
	options.retain_ms = 3600 * 1000; /* the records are of 1970, but were written just now */
	assert_int_equal(sl_stream_maintain(dir, "s", &options, &err), 0);
	assert_int_equal(sl_stream_begin_offset(w), begin);
	path_of(path, begin, "log");
	struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	assert_int_equal(sl_stream_maintain(dir, "s", &options, &err), 0);
	assert_true(sl_stream_begin_offset(w) > begin && sl_stream_begin_offset(w) < 2000);
	sl_stream_close(w);
}

static void flipped_bit_in_a_sealed_segment_is_found(void **state)
{
	(void)state;
	struct sl_stream *w = writer(32 * 1024);
	for (int64_t i = 0; i < 500; i++)
		append(w, i);
	sl_stream_close(w);
	assert_int_equal(sl_stream_maintain(dir, "s", NULL, &err), 0);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
	flip(0, "log", 13); /* the leader epoch: no CRC covers it, the seal does */
	assert_int_equal(sl_stream_check(dir, "s", &err), SL_E_CORRUPT);
}

static int no_room(int fd, int mode, off_t offset, off_t len)
{
	(void)fd; (void)mode; (void)offset; (void)len;
	errno = ENOSPC;
	return -1;
}

static void full_disk_is_an_error_and_passes(void **state)
{
	(void)state;
	struct sl_stream *w = writer(0);
	int64_t i = 0;
	struct sl_sys full = sl_sys_real;
	full.fallocate = no_room;
	while (i < 100)
		append(w, i++);
	sl_sys = &full;
	int64_t rc = 0;
	while (rc >= 0 && i < 20000)
		if ((rc = append(w, i)) >= 0)
			i++;
	assert_int_equal(rc, SL_E_NO_SPACE);
	assert_int_equal(append(w, i), SL_E_NO_SPACE);
	sl_sys = &sl_sys_real;
	assert_int_equal(append(w, i), i);
	read_all(w, 0, i + 1);
	sl_stream_close(w);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
}

static int cannot_allocate(int fd, int mode, off_t offset, off_t len)
{
	(void)fd; (void)mode; (void)offset; (void)len;
	errno = EOPNOTSUPP;
	return -1;
}

static void works_where_files_cannot_be_allocated_ahead(void **state)
{
	(void)state;
	struct sl_sys sys = sl_sys_real;
	sys.fallocate = cannot_allocate;
	sl_sys = &sys;
	struct sl_stream *w = writer(0);
	for (int64_t i = 0; i < 10000; i++)
		assert_int_equal(append(w, i), i);
	read_all(w, 0, 10000);
	sl_stream_close(w);
}

/* What a reader gets: all records as they were written, or an error; never other records, and never fewer. */
static int compare_record(void *context, const struct sl_record *record, struct sl_error *error)
{
	(void)error;
	int64_t *expected = context;
	assert_int_equal(record->offset, *expected);
	assert_int_equal(record->time_ms, 1000 + *expected);
	assert_int_equal(record->value_len, 100 + *expected % 50);
	(*expected)++;
	return 0;
}

static void expect_error_or_truth(int64_t count)
{
	struct sl_stream *r;
	int64_t expected = 0, next = 0, found, rc = sl_stream_open_reader(dir, "s", &r, &err);
	if (rc) {
		assert_int_equal(rc, SL_E_CORRUPT);
		return;
	}
	while (!rc && next < count)
		rc = sl_stream_read(r, next, 1 << 20, compare_record, &expected, &next, &err);
	assert_true(rc == SL_E_CORRUPT || expected == count);
	rc = sl_stream_find_time(r, 1000 + count / 2, &found, &err);
	assert_true(rc == SL_E_CORRUPT || found == count / 2);
	sl_stream_close(r);
}

static void flip_bit(const char *name, off_t at, int bit)
{
	char path[SL_PATH_MAX];
	unsigned char c;
	snprintf(path, sizeof path, "%.1000s/s/%s", dir, name);
	assert_int_equal(chmod(path, 0644), 0);
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= (unsigned char)(1 << bit);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static int flip_all(void *context, const char *name, const struct sl_file_info *info, struct sl_error *error)
{
	(void)error;
	bool is_log = strstr(name, ".log") != NULL;
	if (strstr(name, "lock"))
		return 0;
	/* Every bit of what is small; of segments every 97th byte, another bit each time. */
	for (off_t at = 0; at < (off_t)info->size_bytes; at += is_log ? 97 : 1)
		for (int bit = is_log ? (int)at % 8 : 0; bit < 8; bit += is_log ? 8 : 1) {
			flip_bit(name, at, bit);
			int rc = sl_stream_check(dir, "s", &err);
			if (rc != SL_E_CORRUPT || !strstr(err.where, name))
				fail_msg("%s byte %lld bit %d: %d %s %s", name, (long long)at, bit, rc, err.where, err.message);
			expect_error_or_truth(*(int64_t *)context);
			flip_bit(name, at, bit);
		}
	return 0;
}

static void every_flipped_bit_is_named_and_no_reader_is_lied_to(void **state)
{
	(void)state;
	char path[SL_PATH_MAX];
	int64_t count = 700;
	struct sl_stream *w = writer(40 * 1024);
	for (int64_t i = 0; i < count; i++)
		append(w, i);
	sl_stream_close(w);
	assert_int_equal(sl_stream_maintain(dir, "s", NULL, &err), 0);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
	snprintf(path, sizeof path, "%.1000s/s", dir);
	assert_int_equal(sl_dir_each(path, flip_all, &count, &err), 0);
	assert_int_equal(sl_stream_check(dir, "s", &err), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(batch_is_kafkas_byte_for_byte), TEST(appends_come_back_over_segments), TEST(many_records_in_one_batch),
			TEST(finds_times),
		TEST(one_writer_at_a_time), TEST(acknowledged_survives_sigkill), TEST(flipped_bit_in_the_middle_is_an_error),
		TEST(flipped_bit_in_the_last_batch_is_not_a_torn_tail), TEST(power_loss_cuts_only_what_was_not_synced),
			TEST(damaged_index_only_costs_time),
		TEST(sealed_segments_are_proved_and_retired), TEST(flipped_bit_in_a_sealed_segment_is_found),
			TEST(full_disk_is_an_error_and_passes),
		TEST(works_where_files_cannot_be_allocated_ahead), TEST(every_flipped_bit_is_named_and_no_reader_is_lied_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

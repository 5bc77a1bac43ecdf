/* The local object store: whole or absent, named by content, verified on reading. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/sys.h"
#include "port/object.h"

struct fixture {
	char dir[SL_PATH_MAX], objects_dir[SL_PATH_MAX], tmp[SL_PATH_MAX], user[SL_PATH_MAX];
	struct sl_objects *objects;
	struct sl_error err;
};

static int setup(void **state)
{
	struct fixture *f = sl_alloc(sizeof *f, NULL);
	if (!f || sl_dir_make_temporary("/tmp", "sl-object-", f->dir, &f->err))
		return -1;
	snprintf(f->objects_dir, sizeof f->objects_dir, "%.4000s/objects", f->dir);
	snprintf(f->tmp, sizeof f->tmp, "%.4000s/tmp", f->dir);
	snprintf(f->user, sizeof f->user, "%.4000s/user.csv", f->dir);
	*state = f;
	return sl_objects_open(f->objects_dir, f->tmp, &f->objects, &f->err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	sl_sys = &sl_sys_real;
	sl_objects_close(f->objects);
	sl_dir_remove(f->dir, NULL);
	sl_free(f);
	return 0;
}

static int count_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)name, (void)info, (void)err;
	++*(int *)context;
	return 0;
}

static int entries_in(const char *dir)
{
	int n = 0;
	assert_int_equal(0, sl_dir_each(dir, count_entry, &n, NULL));
	return n;
}

static void write_user_file(struct fixture *f, const char *text)
{
	assert_int_equal(0, sl_file_replace(f->user, text, strlen(text), 0644, &f->err));
}

static void test_put_and_get(void **state)
{
	struct fixture *f = *state;
	struct sl_hash a, b;
	struct sl_buf got SL_AUTO_BUF = SL_BUF_INIT(100);
	char hex[SL_HASH_HEX + 1], path[SL_PATH_MAX];
	struct stat st;

	assert_int_equal(0, sl_objects_put(f->objects, "abc", 3, &a, &f->err));
	assert_string_equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", sl_hash_hex(&a, hex));
	assert_int_equal(0, sl_objects_put(f->objects, "abc", 3, &b, &f->err));
	assert_true(sl_hash_eq(&a, &b) && sl_objects_has(f->objects, &a));
	assert_int_equal(0, sl_objects_get(f->objects, &a, &got, &f->err));
	assert_string_equal("abc", got.data);
	assert_int_equal(0, sl_objects_path(f->objects, &a, path, &f->err));
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(0444, st.st_mode & 07777);
	assert_int_equal(0, entries_in(f->tmp));

	assert_int_equal(0, sl_objects_put(f->objects, "", 0, &a, &f->err));
	sl_buf_clear(&got);
	assert_int_equal(0, sl_objects_get(f->objects, &a, &got, &f->err));
	assert_int_equal(0, got.len);
}

static void test_absent_and_too_large(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash;
	char path[SL_PATH_MAX];
	struct sl_buf small SL_AUTO_BUF = SL_BUF_INIT(2);

	sl_sha256("nothing", 7, &hash);
	assert_false(sl_objects_has(f->objects, &hash));
	assert_int_equal(SL_E_NOT_FOUND, sl_objects_get(f->objects, &hash, &small, &f->err));
	assert_int_equal(SL_E_NOT_FOUND, sl_objects_path(f->objects, &hash, path, &f->err));
	assert_int_equal(SL_E_NOT_FOUND, sl_objects_check(f->objects, &hash, &f->err));
	assert_int_equal(0, sl_objects_put(f->objects, "abc", 3, &hash, &f->err));
	assert_int_equal(SL_E_TOO_LARGE, sl_objects_get(f->objects, &hash, &small, &f->err));
}

static void test_put_file_copies_or_moves(void **state)
{
	struct fixture *f = *state;
	struct sl_hash copied, moved, direct;
	uint64_t size_bytes;

	write_user_file(f, "a,b\n1,2\n");
	sl_sha256("a,b\n1,2\n", 8, &direct);
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &copied, &size_bytes, &f->err));
	assert_true(sl_hash_eq(&copied, &direct) && size_bytes == 8 && sl_file_exists(f->user));
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &copied, &size_bytes, &f->err));
	assert_int_equal(0, entries_in(f->tmp));
	/* The bytes are there already: the source goes all the same. */
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_MOVE, &moved, NULL, &f->err));
	assert_true(sl_hash_eq(&moved, &direct) && !sl_file_exists(f->user));
	write_user_file(f, "new");
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_MOVE, &moved, NULL, &f->err));
	assert_true(sl_objects_has(f->objects, &moved) && !sl_file_exists(f->user));
	assert_int_equal(0, sl_objects_check(f->objects, &moved, &f->err));
}

static void test_put_file_refuses_what_is_no_file(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash;

	assert_int_equal(SL_E_NOT_FOUND, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &hash, NULL, &f->err));
	assert_int_equal(SL_E_INVALID, sl_objects_put_file(f->objects, f->dir, SL_PUT_COPY, &hash, NULL, &f->err));
	assert_int_equal(0, mkfifo(f->user, 0600));
	assert_int_equal(SL_E_INVALID, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &hash, NULL, &f->err));
	assert_int_equal(0, unlink(f->user));
	assert_int_equal(0, symlink("/etc/hostname", f->user));
	assert_true(sl_objects_put_file(f->objects, f->user, SL_PUT_MOVE, &hash, NULL, &f->err) < 0);
}

static char growing_path[SL_PATH_MAX];
static ssize_t pread_and_grow(int fd, void *data, size_t len, off_t offset)
{
	ssize_t n = pread(fd, data, len, offset);
	int other = open(growing_path, O_WRONLY | O_APPEND);
	if (n > 0 && other >= 0)
		(void)!write(other, "more", 4);
	close(other);
	return offset > 100 ? 0 : n;
}

static void test_refuses_a_file_that_changes_while_read(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash;
	struct sl_sys sys = sl_sys_real;

	write_user_file(f, "a,b\n");
	snprintf(growing_path, sizeof growing_path, "%s", f->user);
	sys.pread = pread_and_grow;
	sl_sys = &sys;
	assert_int_equal(SL_E_FAILED, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &hash, NULL, &f->err));
	sl_sys = &sl_sys_real;
	assert_true(f->err.retriable);
	assert_string_equal(f->user, f->err.where);
	assert_int_equal(0, entries_in(f->tmp));
	assert_int_equal(0, entries_in(f->objects_dir));
}

static void flip_bit(const char *path, off_t at)
{
	char c;
	assert_int_equal(0, chmod(path, 0644));
	int fd = open(path, O_RDWR);
	assert_int_equal(1, pread(fd, &c, 1, at));
	c ^= 16;
	assert_int_equal(1, pwrite(fd, &c, 1, at));
	close(fd);
}

static void test_a_flipped_bit_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash;
	char path[SL_PATH_MAX];
	struct sl_buf got SL_AUTO_BUF = SL_BUF_INIT(1000);

	assert_int_equal(0, sl_objects_put(f->objects, "0123456789", 10, &hash, &f->err));
	assert_int_equal(0, sl_objects_path(f->objects, &hash, path, &f->err));
	for (off_t at = 0; at < 10; at++) {
		flip_bit(path, at);
		sl_buf_str(&got, "kept");
		assert_int_equal(SL_E_CORRUPT, sl_objects_get(f->objects, &hash, &got, &f->err));
		assert_int_equal(4, got.len);
		assert_int_equal(SL_E_CORRUPT, sl_objects_check(f->objects, &hash, &f->err));
		assert_int_equal(SL_E_CORRUPT, sl_objects_path(f->objects, &hash, path, &f->err));
		assert_string_equal(path, f->err.where);
		sl_buf_clear(&got);
		flip_bit(path, at);
	}
	assert_int_equal(0, sl_objects_path(f->objects, &hash, path, &f->err));
}

static void test_putting_again_heals_a_cut_object(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash;
	char path[SL_PATH_MAX];

	assert_int_equal(0, sl_objects_put(f->objects, "0123456789", 10, &hash, &f->err));
	assert_int_equal(0, sl_objects_path(f->objects, &hash, path, &f->err));
	assert_int_equal(0, chmod(path, 0644));
	assert_int_equal(0, truncate(path, 4));
	assert_int_equal(SL_E_CORRUPT, sl_objects_check(f->objects, &hash, &f->err));
	assert_int_equal(0, sl_objects_put(f->objects, "0123456789", 10, &hash, &f->err));
	assert_int_equal(0, sl_objects_check(f->objects, &hash, &f->err));
}

static int in_order(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	(void)err;
	struct sl_hash *last = context;
	assert_true(memcmp(last, hash, sizeof *hash) < 0);
	assert_true(size_bytes < 3);
	*last = *hash;
	last->bytes[31]++;
	return 0;
}

static int stop_at_once(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	(void)hash, (void)size_bytes;
	++*(int *)context;
	return sl_fail(err, SL_E_CANCELLED, "enough");
}

static void test_each_and_remove(void **state)
{
	struct fixture *f = *state;
	struct sl_hash hash, last = {{0}};
	char text[16];
	int visited = 0;

	for (int i = 0; i < 64; i++) {
		snprintf(text, sizeof text, "%d", i);
		assert_int_equal(0, sl_objects_put(f->objects, text, strlen(text), &hash, &f->err));
	}
	assert_int_equal(0, sl_objects_each(f->objects, in_order, &last, &f->err));
	assert_int_equal(SL_E_CANCELLED, sl_objects_each(f->objects, stop_at_once, &visited, &f->err));
	assert_int_equal(1, visited);
	assert_int_equal(0, sl_objects_remove(f->objects, &hash, &f->err));
	assert_false(sl_objects_has(f->objects, &hash));
	assert_int_equal(0, sl_objects_remove(f->objects, &hash, &f->err));
}

static void test_tidy_removes_only_what_the_dead_left(void **state)
{
	struct fixture *f = *state;
	char dead[SL_PATH_MAX], mine[SL_PATH_MAX], other[SL_PATH_MAX];
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	snprintf(dead, sizeof dead, "%.4000s/put-%ld-0x1-0", f->tmp, (long)child);
	snprintf(mine, sizeof mine, "%.4000s/put-%ld-0x1-0", f->tmp, (long)getpid());
	snprintf(other, sizeof other, "%.4000s/else", f->tmp);
	assert_int_equal(0, sl_file_replace(dead, "x", 1, 0444, &f->err));
	assert_int_equal(0, sl_file_replace(mine, "x", 1, 0444, &f->err));
	assert_int_equal(0, sl_file_replace(other, "x", 1, 0444, &f->err));
	assert_int_equal(0, sl_objects_tidy(f->objects, &f->err));
	assert_false(sl_file_exists(dead));
	assert_true(sl_file_exists(mine) && sl_file_exists(other));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_put_and_get),
		T(test_absent_and_too_large),
		T(test_put_file_copies_or_moves),
		T(test_put_file_refuses_what_is_no_file),
		T(test_refuses_a_file_that_changes_while_read),
		T(test_a_flipped_bit_is_an_error),
		T(test_putting_again_heals_a_cut_object),
		T(test_each_and_remove),
		T(test_tidy_removes_only_what_the_dead_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

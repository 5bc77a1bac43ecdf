/* Many objects at once: packs, chunks, durability of the whole, and what gc does to them. */
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

#include "backend/object_chunk.h"
#include "base/mem.h"
#include "os/crew.h"
#include "os/sys.h"
#include "port/object.h"
#include "support/fault.h"

struct fixture {
	char dir[SL_PATH_MAX], store[SL_PATH_MAX], objects_dir[SL_PATH_MAX], tmp[SL_PATH_MAX], user[SL_PATH_MAX];
	struct sl_objects *objects;
	struct sl_error err;
};

static int setup(void **state)
{
	struct fixture *f = sl_alloc(sizeof *f, NULL);
	if (!f || sl_dir_make_temporary("/tmp", "sl-batch-", f->dir, &f->err))
		return -1;
	snprintf(f->store, sizeof f->store, "%.3900s/store", f->dir);
	snprintf(f->objects_dir, sizeof f->objects_dir, "%.4000s/objects", f->store);
	snprintf(f->tmp, sizeof f->tmp, "%.4000s/tmp", f->store);
	snprintf(f->user, sizeof f->user, "%.4000s/user", f->dir);
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

static void reopen(struct fixture *f)
{
	sl_objects_close(f->objects);
	assert_int_equal(0, sl_objects_open(f->objects_dir, f->tmp, &f->objects, &f->err));
}

static int count_object(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	(void)hash, (void)size_bytes, (void)err;
	++*(int *)context;
	return 0;
}

static int objects_in(struct fixture *f)
{
	int n = 0;
	assert_int_equal(0, sl_objects_each(f->objects, count_object, &n, &f->err));
	return n;
}

static int add_size(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err);
struct sum { const char *dir; uint64_t bytes, files; };

static void measure(const char *dir, struct sum *sum)
{
	struct sum inner = {dir, 0, 0};
	assert_int_equal(0, sl_dir_each(dir, add_size, &inner, NULL));
	sum->bytes += inner.bytes;
	sum->files += inner.files;
}

static int add_size(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct sum *sum = context;
	char path[SL_PATH_MAX];
	(void)err;
	snprintf(path, sizeof path, "%s/%s", sum->dir, name);
	if (info->is_dir)
		measure(path, sum);
	else
		sum->bytes += info->size_bytes, sum->files++;
	return 0;
}

static void put_numbers(struct fixture *f, int from, int to)
{
	struct sl_batch *batch = NULL;
	struct sl_hash hash;
	char text[32];
	assert_int_equal(0, sl_batch_begin(f->objects, &batch, &f->err));
	for (int i = from; i < to; i++) {
		snprintf(text, sizeof text, "object %d", i);
		assert_int_equal(0, sl_batch_put(batch, text, strlen(text), &hash, &f->err));
		assert_int_equal(0, sl_batch_put(batch, text, strlen(text), &hash, &f->err));
	}
	assert_int_equal(0, sl_batch_commit(batch, &f->err));
	sl_batch_free(batch);
}

static struct sl_hash number_hash(int i)
{
	char text[32];
	struct sl_hash hash;
	snprintf(text, sizeof text, "object %d", i);
	sl_sha256(text, strlen(text), &hash);
	return hash;
}

static void test_small_objects_share_a_pack(void **state)
{
	struct fixture *f = *state;
	struct sum sum = {0};
	put_numbers(f, 0, 1000);
	for (int opened = 0; opened < 2; opened++, reopen(f))
		for (int i = 0; i < 1000; i++) {
			struct sl_buf got SL_AUTO_BUF = SL_BUF_INIT(100);
			struct sl_hash hash = number_hash(i);
			char expected[32];
			uint64_t size;
			snprintf(expected, sizeof expected, "object %d", i);
			assert_true(sl_objects_has(f->objects, &hash));
			assert_int_equal(0, sl_objects_get(f->objects, &hash, &got, &f->err));
			assert_string_equal(expected, got.data);
			assert_int_equal(0, sl_objects_size(f->objects, &hash, &size, &f->err));
			assert_int_equal(strlen(expected), size);
			assert_int_equal(0, sl_objects_check(f->objects, &hash, &f->err));
		}
	assert_int_equal(1000, objects_in(f));
	measure(f->store, &sum);
	assert_int_equal(1, sum.files);
	put_numbers(f, 500, 1500); /* what is there is not written again */
	assert_int_equal(1500, objects_in(f));
}

static void test_few_objects_are_files_of_their_own(void **state)
{
	struct fixture *f = *state;
	struct sum sum = {0};
	put_numbers(f, 0, 3);
	measure(f->store, &sum);
	assert_int_equal(3, sum.files);
	assert_int_equal(3, objects_in(f));
}

static void test_uncommitted_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct sl_batch *batch = NULL;
	struct sl_hash hash;
	struct sum sum = {0};
	char *big = sl_alloc(3 << 20, NULL);
	assert_int_equal(0, sl_batch_begin(f->objects, &batch, &f->err));
	assert_int_equal(0, sl_batch_put(batch, big, 3 << 20, &hash, &f->err));
	for (int i = 0; i < 100; i++) {
		big[0] = (char)i;
		assert_int_equal(0, sl_batch_put(batch, big, SL_PACK_FILE_MAX, &hash, &f->err));
	}
	assert_false(sl_objects_has(f->objects, &hash));
	sl_batch_free(batch);
	sl_free(big);
	measure(f->store, &sum);
	assert_int_equal(0, sum.files);
}

struct threads { struct sl_batch *batch; struct sl_hash *hashes; };

static int put_one(void *context, size_t i, int worker, struct sl_error *err)
{
	struct threads *t = context;
	char data[70000];
	(void)worker;
	memset(data, (int)(i % 251), sizeof data);
	memcpy(data, &(size_t){i / 2}, sizeof i); /* every object twice */
	return sl_batch_put(t->batch, data, i / 2 % 10 ? 100 : sizeof data, &t->hashes[i], err);
}

static void test_threads_may_put_together(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 4000 };
	struct threads t = {.hashes = sl_alloc_array(COUNT, sizeof(struct sl_hash), NULL)};
	struct sl_crew *crew = NULL;
	assert_int_equal(0, sl_crew_new(4, &crew, &f->err));
	assert_int_equal(0, sl_batch_begin(f->objects, &t.batch, &f->err));
	assert_int_equal(0, sl_crew_run(crew, COUNT, put_one, &t, &f->err));
	assert_int_equal(0, sl_batch_commit(t.batch, &f->err));
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(0, sl_objects_check(f->objects, &t.hashes[i], &f->err));
	sl_batch_free(t.batch);
	sl_crew_free(crew);
	sl_free(t.hashes);
}

static void test_placing_gives_the_user_files_of_his_own(void **state)
{
	struct fixture *f = *state;
	struct sl_hash packed = number_hash(7), loose;
	struct sl_buf got SL_AUTO_BUF = SL_BUF_INIT(1000);
	struct stat st;
	put_numbers(f, 0, 100);
	assert_int_equal(0, sl_objects_put(f->objects, "loose", 5, &loose, &f->err));
	for (int how = SL_PLACE_COPY; how <= SL_PLACE_LINK; how++)
		for (int k = 0; k < 2; k++) {
			const struct sl_hash *hash = k ? &loose : &packed;
			assert_int_equal(0, sl_objects_place(f->objects, hash, f->user, 0644, (enum sl_place_how)how, &f->err));
			sl_buf_clear(&got);
			assert_int_equal(0, sl_file_read(f->user, &got, &f->err));
			assert_string_equal(k ? "loose" : "object 7", got.data);
			assert_int_equal(0, stat(f->user, &st));
			assert_int_equal(how == SL_PLACE_LINK ? 0444 : 0644, st.st_mode & 0777);
			assert_int_equal(how == SL_PLACE_LINK && k ? 2 : 1, st.st_nlink);
			assert_true(sl_objects_place(f->objects, hash, f->user, 0644, SL_PLACE_COPY, &f->err) < 0);
			assert_int_equal(0, unlink(f->user));
		}
}

static void test_removed_objects_leave_the_packs(void **state)
{
	struct fixture *f = *state;
	struct sum before = {0}, after = {0};
	put_numbers(f, 0, 1000);
	put_numbers(f, 1000, 2000);
	measure(f->store, &before);
	for (int i = 0; i < 2000; i++)
		if (i % 4) {
			struct sl_hash hash = number_hash(i);
			assert_int_equal(0, sl_objects_remove(f->objects, &hash, &f->err));
		}
	assert_int_equal(500, objects_in(f));
	assert_int_equal(0, sl_objects_compact(f->objects, &f->err));
	reopen(f);
	measure(f->store, &after);
	assert_int_equal(1, after.files);
	assert_true(after.bytes < before.bytes / 2);
	for (int i = 0; i < 2000; i++) {
		struct sl_hash hash = number_hash(i);
		assert_int_equal(i % 4 == 0, sl_objects_has(f->objects, &hash));
		assert_int_equal(i % 4 ? SL_E_NOT_FOUND : 0, sl_objects_check(f->objects, &hash, &f->err));
	}
	assert_int_equal(0, sl_objects_compact(f->objects, &f->err)); /* nothing to do: nothing is lost */
	assert_int_equal(500, objects_in(f));
	for (int i = 0; i < 2000; i += 4) {
		struct sl_hash hash = number_hash(i);
		assert_int_equal(0, sl_objects_remove(f->objects, &hash, &f->err));
	}
	assert_int_equal(0, sl_objects_compact(f->objects, &f->err));
	reopen(f);
	assert_int_equal(0, objects_in(f));
}

static int find_pack(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)info, (void)err;
	snprintf(context, 256, "%s", name);
	return 0;
}

static void test_a_damaged_pack_is_told(void **state)
{
	struct fixture *f = *state;
	char name[256], dir[SL_PATH_MAX], path[SL_PATH_MAX], byte;
	struct stat st;
	int n = 0, found = 0;
	put_numbers(f, 0, 50);
	snprintf(dir, sizeof dir, "%.4000s/pack", f->objects_dir);
	assert_int_equal(0, sl_dir_each(dir, find_pack, name, &f->err));
	snprintf(path, sizeof path, "%.3800s/%.200s", dir, name);
	assert_int_equal(0, chmod(path, 0644));
	assert_int_equal(0, stat(path, &st));
	for (off_t at = 0; at < st.st_size; at++) {
		int fd = open(path, O_RDWR), rc = 0;
		assert_int_equal(1, pread(fd, &byte, 1, at));
		byte ^= 1;
		assert_int_equal(1, pwrite(fd, &byte, 1, at));
		reopen(f);
		rc = sl_objects_each(f->objects, count_object, &n, &f->err);
		for (int i = 0; rc == 0 && i < 50; i++) {
			struct sl_hash hash = number_hash(i);
			rc = sl_objects_check(f->objects, &hash, &f->err);
		}
		found += rc == SL_E_CORRUPT;
		byte ^= 1;
		assert_int_equal(1, pwrite(fd, &byte, 1, at));
		close(fd);
	}
	assert_int_equal(st.st_size - OBJECT_PACK_HEADER, found); /* the magic at the beginning is for people */
}

/* ---- chunks --------------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void write_random(const char *path, size_t size_bytes, size_t insert_at, const char *inserted)
{
	uint64_t state = 88172645463325252u;
	FILE *out = fopen(path, "wb");
	assert_non_null(out);
	for (size_t at = 0; at < size_bytes; at += 8) {
		uint64_t v = next_random(&state);
		if (at == insert_at)
			fputs(inserted, out);
		fwrite(&v, 8, 1, out);
	}
	assert_int_equal(0, fclose(out));
}

static void test_versions_of_a_big_file_share_chunks(void **state)
{
	struct fixture *f = *state;
	enum { BYTES = 96 << 20 };
	struct sl_hash first, second, direct;
	struct sum one = {0}, two = {0};
	uint64_t size;
	char path[SL_PATH_MAX];
	int fd;
	write_random(f->user, BYTES, 0, "");
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &first, &size, &f->err));
	assert_int_equal(BYTES, size);
	measure(f->store, &one);
	assert_true(one.bytes < BYTES + (1 << 20) && one.files > 50);
	write_random(f->user, BYTES, 1 << 20, "one row more\n");
	assert_int_equal(0, sl_objects_put_file(f->objects, f->user, SL_PUT_COPY, &second, &size, &f->err));
	measure(f->store, &two);
	assert_true(two.bytes - one.bytes < 15 << 20);
	reopen(f);
	assert_int_equal(0, sl_objects_check(f->objects, &first, &f->err));
	assert_int_equal(0, sl_objects_check(f->objects, &second, &f->err));
	/* As a file it is what it was. */
	assert_int_equal(0, sl_objects_path(f->objects, &second, path, &f->err));
	fd = open(path, O_RDONLY);
	assert_int_equal(0, object_hash_file(fd, path, -1, NULL, &direct, &size, &f->err));
	close(fd);
	assert_true(sl_hash_eq(&second, &direct) && size == BYTES + 13);
	assert_int_equal(0, sl_objects_cache_size(f->objects, &size, &f->err));
	assert_int_equal(BYTES + 13, size);
	assert_int_equal(0, sl_objects_cache_clear(f->objects, &f->err));
	assert_int_equal(0, unlink(f->user));
	assert_int_equal(0, sl_objects_place(f->objects, &first, f->user, 0600, SL_PLACE_COPY, &f->err));
}

/* Where the chunks of `data` end, each as its distance from the end of the data. */
static size_t cut_all(const unsigned char *data, size_t len, size_t *ends)
{
	size_t count = 0;
	for (size_t at = 0; at < len; count++) {
		size_t n = object_cut(data + at, len - at);
		at += n;
		assert_true(n <= CHUNK_MAX && (n > CHUNK_MIN || at == len));
		ends[count] = len - at;
	}
	return count;
}

static void test_cuts_follow_content(void **state)
{
	(void)state;
	enum { BYTES = 24 << 20 };
	unsigned char *data = sl_alloc(BYTES + 1, NULL);
	size_t a[64], b[64], shared = 0;
	uint64_t random = 1;
	for (size_t i = 0; i <= BYTES; i++)
		data[i] = (unsigned char)next_random(&random);
	/* The same bytes, with one byte before them. */
	size_t a_count = cut_all(data + 1, BYTES, a), b_count = cut_all(data, BYTES + 1, b);
	for (size_t i = 0; i < a_count; i++)
		for (size_t k = 0; k < b_count; k++)
			shared += a[i] == b[k];
	assert_true(a_count >= 10 && shared >= a_count - 2);
	memset(data, 0, BYTES);
	assert_int_equal(CHUNK_MAX, object_cut(data, BYTES));
	assert_int_equal(0, object_cut(data, 0));
	sl_free(data);
}

/* ---- power loss ----------------------------------------------------------------------------------------------------- */

enum { POWER_SMALL = 40, POWER_LARGE = 12 };

static void fill_power(char *data, int i)
{
	memset(data, i, 70000);
	memcpy(data, "large", 5);
}

static int commit_for_power(struct fixture *f)
{
	struct sl_batch *batch = NULL;
	struct sl_hash hash;
	char data[70000], text[32];
	int rc = sl_batch_begin(f->objects, &batch, &f->err);
	for (int i = 0; !rc && i < POWER_SMALL; i++) {
		snprintf(text, sizeof text, "object %d", i);
		rc = sl_batch_put(batch, text, strlen(text), &hash, &f->err);
	}
	for (int i = 0; !rc && i < POWER_LARGE; i++) {
		fill_power(data, i);
		rc = sl_batch_put(batch, data, sizeof data, &hash, &f->err);
	}
	rc = rc ? rc : sl_batch_commit(batch, &f->err);
	sl_batch_free(batch);
	return rc;
}

/* Every object that has its name has its bytes; `all`: and every one is there. */
static void check_after_power(struct fixture *f, const char *image, bool all)
{
	char objects_dir[SL_PATH_MAX], tmp[SL_PATH_MAX], data[70000];
	struct sl_objects *objects = NULL;
	snprintf(objects_dir, sizeof objects_dir, "%.4000s/objects", image);
	snprintf(tmp, sizeof tmp, "%.4000s/tmp", image);
	assert_int_equal(0, sl_objects_open(objects_dir, tmp, &objects, &f->err));
	for (int i = 0; i < POWER_SMALL + POWER_LARGE; i++) {
		struct sl_hash hash = number_hash(i);
		if (i >= POWER_SMALL) {
			fill_power(data, i - POWER_SMALL);
			sl_sha256(data, sizeof data, &hash);
		}
		int rc = sl_objects_check(objects, &hash, &f->err);
		assert_true(rc == 0 || (rc == SL_E_NOT_FOUND && !all));
	}
	sl_objects_close(objects);
}

static void test_power_may_go_at_any_call(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	for (long at = 1;; at++) {
		char image[SL_PATH_MAX], shadow[SL_PATH_MAX];
		snprintf(image, sizeof image, "%.4000s/image", f->dir);
		snprintf(shadow, sizeof shadow, "%.4000s/image.shadow", f->dir);
		sl_objects_close(f->objects);
		assert_int_equal(0, sl_dir_remove(f->store, &f->err));
		assert_int_equal(0, sl_dir_remove(image, &f->err));
		assert_int_equal(0, sl_dir_remove(shadow, &f->err));
		assert_int_equal(0, sl_dir_make(f->store, &f->err));
		assert_int_equal(0, sl_objects_open(f->objects_dir, f->tmp, &f->objects, &f->err));
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			const struct fault_plan plan = {.action = FAULT_DIE, .kinds = FAULT_CHANGES, .at = at, .power_dir = f->store,
							.image_dir = image};
			fault_install(&plan);
			int rc = commit_for_power(f);
			if (!rc && open(f->user, O_CREAT | O_WRONLY, 0600) >= 0) /* acknowledged: one more call, and the power goes */
				sl_sys->mkdir(f->user, 0700);
			_exit(rc ? 1 : 0);
		}
		assert_int_equal(child, waitpid(child, &status, 0));
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 0) {
			assert_true(at > 40 && sl_file_exists(f->user));
			return;
		}
		assert_int_equal(FAULT_EXIT, WEXITSTATUS(status));
		check_after_power(f, image, sl_file_exists(f->user));
		unlink(f->user);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_small_objects_share_a_pack),
		T(test_few_objects_are_files_of_their_own),
		T(test_uncommitted_leaves_nothing),
		T(test_threads_may_put_together),
		T(test_placing_gives_the_user_files_of_his_own),
		T(test_removed_objects_leave_the_packs),
		T(test_a_damaged_pack_is_told),
		T(test_versions_of_a_big_file_share_chunks),
		cmocka_unit_test(test_cuts_follow_content),
		T(test_power_may_go_at_any_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

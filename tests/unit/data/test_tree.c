/* Trees of files: any order of edits gives the same version for the same content; names are bytes; what changes under the hand is refused;
 * hostile trees are not believed. */
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
#include "data/files.h"
#include "data/tree_place.h"
#include "data/tree_take.h"
#include "os/sys.h"
#include "support/fault.h"

struct fixture {
	char dir[SL_PATH_MAX], store[SL_PATH_MAX], user[SL_PATH_MAX], seen[SL_PATH_MAX];
	struct sl_objects *objects;
	struct sl_error err;
};

static void below(const char *dir, const char *name, char out[SL_PATH_MAX]) { snprintf(out, SL_PATH_MAX, "%.2000s/%.2000s", dir, name); }

static int open_store(struct fixture *f)
{
	char objects_dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	below(f->store, "objects", objects_dir);
	below(f->store, "tmp", tmp);
	return sl_objects_open(objects_dir, tmp, &f->objects, &f->err);
}

static int setup(void **state)
{
	struct fixture *f = sl_alloc(sizeof *f, NULL);
	if (!f || sl_dir_make_temporary("/tmp", "sl-tree-", f->dir, &f->err))
		return -1;
	below(f->dir, "store", f->store);
	below(f->dir, "user", f->user);
	below(f->dir, "seen", f->seen);
	*state = f;
	return mkdir(f->user, 0755) || mkdir(f->store, 0755) ? -1 : open_store(f);
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

/* Long ago, so that what is remembered of it is trusted at once; each write a moment later than the last. */
static void put(struct fixture *f, const char *path, const char *text)
{
	static long moment = 1000;
	char full[SL_PATH_MAX], dir[SL_PATH_MAX];
	below(f->user, path, full);
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(full, '/') - full), full);
	assert_int_equal(0, sl_dir_make(dir, &f->err));
	FILE *out = fopen(full, "wb");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	moment++;
	const struct timespec times[2] = {{.tv_sec = moment}, {.tv_sec = moment}};
	assert_int_equal(0, utimensat(AT_FDCWD, full, times, 0));
}

static void drop(struct fixture *f, const char *path)
{
	char full[SL_PATH_MAX];
	below(f->user, path, full);
	assert_int_equal(0, unlink(full));
}

static int try_take(struct fixture *f, bool write, struct sl_tree_taken *ret)
{
	const struct sl_tree_take take = {.dir = f->user, .hidden = true, .links = SL_LINKS_FOLLOW, .how = SL_PUT_COPY, .write = write,
					  .seen_dir = f->seen};
	return sl_tree_take(f->objects, &take, ret, &f->err);
}

static struct sl_tree_taken take(struct fixture *f)
{
	struct sl_tree_taken taken;
	assert_int_equal(0, try_take(f, true, &taken));
	return taken;
}

static bool same(const struct sl_hash *a, const struct sl_hash *b) { return sl_hash_eq(a, b); }

/* ---- properties ----------------------------------------------------------------------------------------------------- */

enum { NAMES = 60, ROUNDS = 120 };

static void name_of(int i, char out[64])
{
	static const char *const BEFORE[] = {"f", "d/f", "d-/f", "d/e/", "z/x", "d/\n", "\xff"};
	snprintf(out, 64, "%s%d", BEFORE[i % 7], i);
}

/* The tree of the contents alone, made in one go and without memory. */
static struct sl_hash fresh_version(struct fixture *f)
{
	struct sl_tree_taken taken;
	const struct sl_tree_take all = {.dir = f->user, .hidden = true, .how = SL_PUT_COPY};
	assert_int_equal(0, sl_tree_take(f->objects, &all, &taken, &f->err));
	return taken.hash;
}

static void test_any_order_of_edits_gives_the_same_version(void **state)
{
	struct fixture *f = *state;
	int contents[NAMES] = {0};
	unsigned random = 12345;
	for (int round = 0; round < ROUNDS; round++) {
		for (int k = 0; k < 5; k++) {
			char name[64], text[32];
			int i = (int)((random = random * 1103515245 + 12345) >> 16) % NAMES, value = (int)(random >> 8) % 4;
			name_of(i, name);
			snprintf(text, sizeof text, "%*d", value + 1, value);
			if (value)
				put(f, name, text);
			else if (contents[i])
				drop(f, name);
			contents[i] = value;
		}
		struct sl_tree_taken taken = take(f), again = take(f);
		struct sl_hash fresh = fresh_version(f);
		assert_true(same(&taken.hash, &fresh) && same(&again.hash, &fresh));
		struct sl_tree_reader *reader = NULL;
		struct sl_tree_file file;
		uint64_t files = 0;
		assert_int_equal(0, sl_tree_reader_new(f->objects, &taken.hash, &reader, &f->err));
		while (sl_tree_reader_next(reader, &file, &f->err) == 1)
			files++;
		assert_int_equal(taken.sum.files, files);
		sl_tree_reader_free(reader);
	}
}

static void make_numbers(struct sl_tree_writer *writer, int count, int changed, int left_out)
{
	char path[64];
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "d%03d/f%06d", i / 1000, i);
		struct sl_tree_file file = {.path = path, .len = strlen(path), .size_bytes = (uint64_t)i};
		sl_sha256(path, i == changed ? 1 : strlen(path), &file.hash);
		if (i != left_out)
			assert_int_equal(0, sl_tree_writer_add(writer, &file, NULL));
	}
}

static struct sl_hash numbers(struct fixture *f, int count, int changed, int left_out)
{
	struct sl_tree_writer *writer = NULL;
	struct sl_batch *batch = NULL;
	struct sl_hash hash;
	assert_int_equal(0, sl_batch_begin(f->objects, &batch, &f->err));
	assert_int_equal(0, sl_tree_writer_new(batch, &writer, &f->err));
	make_numbers(writer, count, changed, left_out);
	assert_int_equal(0, sl_tree_writer_end(writer, &hash, NULL, &f->err));
	assert_int_equal(0, sl_batch_commit(batch, &f->err));
	sl_tree_writer_free(writer);
	sl_batch_free(batch);
	return hash;
}

static int count_one(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	(void)hash, (void)size_bytes, (void)err;
	++*(int *)context;
	return 0;
}

struct changes { int added, changed, removed; };
static int note_change(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err)
{
	struct changes *c = context;
	(void)err;
	c->added += !a;
	c->removed += !b;
	c->changed += a && b;
	return 0;
}

static void test_one_change_costs_one_leaf(void **state)
{
	struct fixture *f = *state;
	int before = 0, after = 0;
	struct changes c = {0};
	struct sl_hash a = numbers(f, 50000, -1, -1);
	assert_int_equal(0, sl_objects_each(f->objects, count_one, &before, &f->err));
	assert_true(before > 20);
	struct sl_hash b = numbers(f, 50000, 31234, -1), gone = numbers(f, 50000, -1, 777);
	assert_int_equal(0, sl_objects_each(f->objects, count_one, &after, &f->err));
	assert_true(after - before <= 5); /* two roots, two leaves, and a leaf more where the one that is gone ended one */
	assert_int_equal(0, sl_tree_compare(f->objects, &a, &b, note_change, &c, &f->err));
	assert_true(c.changed == 1 && !c.added && !c.removed);
	assert_int_equal(0, sl_tree_compare(f->objects, &gone, &b, note_change, &c, &f->err));
	assert_true(c.changed == 2 && c.added == 1 && !c.removed);
}

/* ---- names, links, changes under the hand ---------------------------------------------------------------------------- */

static void test_names_are_bytes(void **state)
{
	struct fixture *f = *state;
	char deep[SL_PATH_MAX] = "", out[SL_PATH_MAX];
	const char *const odd[] = {"a\nb", "\xff\xfe", "back\\slash\\n", " ", "a-b", "a/b", "a.b", "-", "\x01"};
	for (size_t i = 0; i < SL_ARRAY_LEN(odd); i++)
		put(f, odd[i], odd[i]);
	while (strlen(deep) + strlen(f->dir) < 3700)
		snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "%0200d/", 0);
	strcat(deep, "end");
	put(f, deep, "deep");
	struct sl_tree_taken taken = take(f);
	assert_int_equal(SL_ARRAY_LEN(odd) + 1, taken.sum.files);
	below(f->dir, "out", out);
	assert_int_equal(0, sl_tree_place(f->objects, &taken.hash, out, SL_PLACE_COPY, &f->err));
	struct sl_tree_taken back;
	const struct sl_tree_take all = {.dir = out, .hidden = true, .how = SL_PUT_COPY};
	assert_int_equal(0, sl_tree_take(f->objects, &all, &back, &f->err));
	assert_true(same(&taken.hash, &back.hash));
}

static void test_links(void **state)
{
	struct fixture *f = *state;
	struct sl_tree_taken taken;
	char link[SL_PATH_MAX];
	put(f, "real", "bytes");
	below(f->user, "link", link);
	assert_int_equal(0, symlink("real", link));
	taken = take(f);
	assert_int_equal(2, taken.sum.files);
	const struct sl_tree_take refuse = {.dir = f->user, .links = SL_LINKS_REFUSE, .how = SL_PUT_COPY};
	assert_int_equal(SL_E_INVALID, sl_tree_take(f->objects, &refuse, &taken, &f->err));
	assert_non_null(strstr(f->err.message, "'link' is a link"));
	const char *const bad[] = {"nowhere", ".", "/dev"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		assert_int_equal(0, unlink(link));
		assert_int_equal(0, symlink(bad[i], link));
		assert_int_equal(SL_E_INVALID, try_take(f, true, &taken));
	}
	assert_int_equal(0, unlink(link));
	assert_int_equal(0, mkfifo(link, 0600));
	assert_int_equal(SL_E_INVALID, try_take(f, true, &taken));
}

static char swap_from[SL_PATH_MAX], swap_to[SL_PATH_MAX];
static int open_and_swap(int dir_fd, const char *path, int flags, mode_t mode)
{
	/* A folder of the tree becomes a link to foreign files between listing and opening. */
	if (strcmp(path, "d/secret") == 0 && *swap_from) {
		char aside[SL_PATH_MAX];
		snprintf(aside, sizeof aside, "%.4000s.aside", swap_from);
		rename(swap_from, aside);
		(void)!symlink(swap_to, swap_from);
		*swap_from = 0;
	}
	return sl_sys_real.open_beneath(dir_fd, path, flags, mode);
}

static void test_a_folder_that_becomes_a_link_is_not_followed(void **state)
{
	struct fixture *f = *state;
	struct sl_tree_taken taken;
	struct sl_sys sys = sl_sys_real;
	put(f, "d/secret", "mine");
	put(f, "../foreign/secret", "theirs");
	below(f->user, "d", swap_from);
	below(f->dir, "foreign", swap_to);
	sys.open_beneath = open_and_swap;
	sl_sys = &sys;
	int rc = try_take(f, true, &taken);
	sl_sys = &sl_sys_real;
	assert_true(rc < 0);
	assert_int_equal(0, *swap_from);
}

static char edited[SL_PATH_MAX];
static ssize_t read_and_edit(int fd, void *data, size_t len)
{
	ssize_t n = read(fd, data, len);
	int other = *edited ? open(edited, O_WRONLY | O_APPEND) : -1;
	if (other >= 0) {
		(void)!write(other, "!", 1);
		close(other);
	}
	return n;
}

static void test_an_edit_while_hashing_is_refused(void **state)
{
	struct fixture *f = *state;
	struct sl_tree_taken taken;
	struct sl_sys sys = sl_sys_real;
	put(f, "a", "one");
	below(f->user, "a", edited);
	sys.read = read_and_edit;
	sl_sys = &sys;
	assert_int_equal(SL_E_FAILED, try_take(f, true, &taken));
	assert_true(f->err.retriable);
	assert_int_equal(SL_E_FAILED, try_take(f, false, &taken));
	sl_sys = &sl_sys_real;
	edited[0] = 0;
	assert_int_equal(0, try_take(f, true, &taken));
}

static int opens;
static int count_opens(int dir_fd, const char *path, int flags, mode_t mode)
{
	opens += !(flags & O_DIRECTORY);
	return sl_sys_real.open_beneath(dir_fd, path, flags, mode);
}

static int64_t later(void) { return sl_sys_real.realtime_ns() + INT64_C(10000000000); }

static void test_nothing_changed_opens_nothing(void **state)
{
	struct fixture *f = *state;
	struct sl_sys sys = sl_sys_real;
	char name[32];
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "d%d/%d", i % 7, i);
		put(f, name, name);
	}
	sys.open_beneath = count_opens;
	sys.realtime_ns = later; /* the files have been still for long */
	sl_sys = &sys;
	struct sl_tree_taken first = take(f);
	assert_int_equal(500, opens);
	struct sl_tree_taken second = take(f);
	assert_int_equal(500, opens);
	assert_true(second.read_files == 0 && same(&first.hash, &second.hash) && second.sum.size_bytes == first.sum.size_bytes);
	put(f, "d3/new", "new");
	assert_int_equal(1, take(f).read_files);
	assert_int_equal(501, opens);
	drop(f, "d3/new");
	assert_true(same(&first.hash, &(struct sl_tree_taken[]){take(f)}[0].hash));
	sl_sys = &sl_sys_real;
}

/* ---- checkout -------------------------------------------------------------------------------------------------------- */

static int checkout(struct fixture *f, const struct sl_hash *root, bool force, struct sl_tree_checked_out *done)
{
	char out[SL_PATH_MAX];
	below(f->dir, "out", out);
	const struct sl_tree_checkout c = {.dir = out, .how = SL_PLACE_COPY, .force = force, .seen_dir = f->seen};
	return sl_tree_checkout(f->objects, root, &c, done, &f->err);
}

static void test_checkout_goes_from_version_to_version(void **state)
{
	struct fixture *f = *state;
	struct sl_tree_checked_out done;
	char path[SL_PATH_MAX];
	put(f, "a", "1");
	put(f, "b/c", "2");
	put(f, "same", "3");
	struct sl_tree_taken one = take(f);
	drop(f, "b/c");
	below(f->user, "b", path);
	assert_int_equal(0, rmdir(path));
	put(f, "b", "a file now");
	put(f, "a", "changed");
	struct sl_tree_taken two = take(f);
	assert_int_equal(0, checkout(f, &one.hash, false, &done));
	assert_int_equal(3, done.added);
	assert_int_equal(0, checkout(f, &two.hash, false, &done));
	assert_true(done.added == 1 && done.changed == 1 && done.removed == 1 && done.kept == 1);
	assert_int_equal(0, checkout(f, &one.hash, false, &done));
	below(f->dir, "out/a", path);
	FILE *edit = fopen(path, "a");
	fputs("mine", edit);
	fclose(edit);
	assert_int_equal(SL_E_CONFLICT, checkout(f, &two.hash, false, &done));
	assert_non_null(strstr(f->err.message, "'a'"));
	assert_int_equal(0, checkout(f, &two.hash, true, &done));
	below(f->dir, "out", path);
	struct sl_tree_taken back;
	const struct sl_tree_take all = {.dir = path, .hidden = true, .how = SL_PUT_COPY};
	assert_int_equal(0, sl_tree_take(f->objects, &all, &back, &f->err));
	assert_true(same(&two.hash, &back.hash));
}

/* ---- hostile trees --------------------------------------------------------------------------------------------------- */

static int read_whole(struct fixture *f, const char *root_format, const char *leaf)
{
	struct sl_hash hash, root;
	struct sl_tree_reader *reader = NULL;
	struct sl_tree_file file;
	char hex[SL_HASH_HEX + 1], text[1024];
	assert_int_equal(0, sl_objects_put(f->objects, leaf, strlen(leaf), &hash, &f->err));
	snprintf(text, sizeof text, "sluice.tree/2 root %s\n%s %s\n", root_format, sl_hash_hex(&hash, hex), root_format);
	assert_int_equal(0, sl_objects_put(f->objects, text, strlen(text), &root, &f->err));
	int rc = sl_tree_reader_new(f->objects, &root, &reader, &f->err);
	while (!rc && (rc = sl_tree_reader_next(reader, &file, &f->err)) == 1)
		rc = 0;
	sl_tree_reader_free(reader);
	return rc;
}

static void test_hostile_trees_are_refused(void **state)
{
	struct fixture *f = *state;
#define H "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define LEAF "sluice.tree/2 leaf\n"
	static const char *const bad[] = {
		LEAF H " 1 - ../up\n", LEAF H " 1 - /abs\n", LEAF H " 1 - a//b\n", LEAF H " 1 - a/./b\n", LEAF H " 1 - a/..\n", LEAF H " 1 - \n",
		LEAF H " 1 - a\\x\n", LEAF H " 1 - a\\", LEAF H " 1 q a\n", LEAF H " -1 - a\n", LEAF H " 2 - a\n", LEAF "xy 1 - a\n", LEAF H " 1 - a",
		LEAF, "sluice.tree/2 lief\n" H " 1 - a\n", LEAF H " 1 - b\n" H " 1 - a\n", LEAF H " 99999999999999999999 - a\n",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
		assert_int_equal(SL_E_CORRUPT, read_whole(f, "1 1", bad[i]));
	assert_int_equal(SL_E_CORRUPT, read_whole(f, "2 2", LEAF H " 1 - a\n" H " 1 - a\n"));
	assert_int_equal(SL_E_CORRUPT, read_whole(f, "2 2", LEAF H " 1 - a\n" H " 1 - a/b\n"));
	assert_int_equal(0, read_whole(f, "2 2", LEAF H " 1 - a\n" H " 1 x b\n"));
	assert_int_equal(SL_E_CORRUPT, read_whole(f, "0 0", LEAF));
	assert_int_equal(SL_E_CORRUPT, read_whole(f, "99999999999 1", LEAF));
}

static void test_patterns(void **state)
{
	(void)state;
	static const struct { const char *pattern, *path; bool fits; } CASES[] = {
		{"*.jpg", "a.jpg", true}, {"*.jpg", "d/a.jpg", false}, {"**/*.jpg", "a.jpg", true}, {"**/*.jpg", "d/e/a.jpg", true},
		{"**/*.jpg", ".d/a.jpg", false}, {"*/a", "d/a", true}, {"*/a", "a", false}, {"**", "d/e/f", true}, {"a/**/b", "a/b", true},
		{"a/**/b", "a/x/y/b", true}, {"a/**/b", "x/a/b", false}, {"[ab]?", "b1", true}, {"*", ".hidden", false},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(CASES); i++)
		assert_int_equal(CASES[i].fits, sl_files_match(CASES[i].pattern, CASES[i].path));
}

/* ---- the process dies ------------------------------------------------------------------------------------------------ */

static void test_dying_at_any_call_leaves_the_old_or_the_new(void **state)
{
	struct fixture *f = *state;
	char name[32];
	int status;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "d%d/%d", i % 3, i);
		put(f, name, name);
	}
	struct sl_hash expected = fresh_version(f);
	for (long at = 1;; at++) {
		sl_objects_close(f->objects);
		assert_int_equal(0, sl_dir_remove(f->store, &f->err));
		assert_int_equal(0, mkdir(f->store, 0755));
		assert_int_equal(0, sl_dir_remove(f->seen, &f->err));
		assert_int_equal(0, open_store(f));
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			const struct fault_plan plan = {.action = at % 2 ? FAULT_DIE : FAULT_TEAR, .kinds = FAULT_CHANGES, .at = at};
			struct sl_tree_taken taken;
			fault_install(&plan);
			_exit(try_take(f, true, &taken) ? 1 : 0);
		}
		assert_int_equal(child, waitpid(child, &status, 0));
		/* Whatever it left, the next one makes the version, and all of it is there. */
		struct sl_tree_taken taken = take(f);
		struct sl_tree_reader *reader = NULL;
		struct sl_tree_file file;
		assert_true(same(&expected, &taken.hash));
		assert_int_equal(0, sl_tree_reader_new(f->objects, &taken.hash, &reader, &f->err));
		while (sl_tree_reader_next(reader, &file, &f->err) == 1)
			assert_int_equal(0, sl_objects_check(f->objects, &file.hash, &f->err));
		sl_tree_reader_free(reader);
		if (WEXITSTATUS(status) == 0) {
			assert_true(at > 8);
			return;
		}
		assert_int_equal(FAULT_EXIT, WEXITSTATUS(status));
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_any_order_of_edits_gives_the_same_version),
		T(test_one_change_costs_one_leaf),
		T(test_names_are_bytes),
		T(test_links),
		T(test_a_folder_that_becomes_a_link_is_not_followed),
		T(test_an_edit_while_hashing_is_refused),
		T(test_nothing_changed_opens_nothing),
		T(test_checkout_goes_from_version_to_version),
		T(test_hostile_trees_are_refused),
		cmocka_unit_test(test_patterns),
		T(test_dying_at_any_call_leaves_the_old_or_the_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

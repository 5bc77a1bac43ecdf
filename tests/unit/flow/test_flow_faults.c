/* A small pipeline whose parent dies, or whose disk fails, at every single change that it makes: the next run does what is missing, and no more than once is counted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "support/fault.h"

static char base[SL_PATH_MAX], dir[SL_PATH_MAX], fresh[SL_PATH_MAX];

static void put(const char *folder, const char *name, const char *text)
{
	char path[SL_PATH_MAX];
	assert_int_equal(0, sl_path_join(path, folder, name, NULL));
	assert_int_equal(0, sl_file_replace(path, text, strlen(text), 0644, NULL));
}

static bool holds(const char *name, const char *text)
{
	SL_AUTO_BUF struct sl_buf found = SL_BUF_INIT(1 << 16);
	char path[SL_PATH_MAX];
	return sl_path_join(path, dir, name, NULL) == 0 && sl_file_read(path, &found, NULL) == 0 && strcmp(sl_buf_cstr(&found), text) == 0;
}

static const char PROJECT[] = "project: x\nparams: {word: deep}\nsteps:\n"
			      "  a: {run: 'echo \"$SLUICE_PARAM_word\" > \"$SLUICE_OUTPUT_x\"; echo said', params: [word], outputs: {x: x.txt}}\n"
			      "  b: {run: 'mkdir \"$SLUICE_OUTPUT_y\"; cat \"$SLUICE_INPUT_x\" \"$SLUICE_INPUT_x\" > \"$SLUICE_OUTPUT_y/f\"', inputs: [x], outputs: {y: y}}\n";

static int setup(void **state)
{
	(void)state;
	if (sl_dir_make_temporary("/tmp", "sluice-faults-", base, NULL) || sl_path_join(fresh, base, "fresh", NULL) || sl_path_join(dir, base, "dir", NULL) ||
	    sl_dir_make(fresh, NULL))
		return -1;
	put(fresh, "sluice.yaml", PROJECT);
	return sl_store_create(fresh, NULL);
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(base, NULL);
}

static int run_once(struct sl_error *err)
{
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	SL_CLEANUP(sl_store_closep) struct sl_store *store = NULL;
	struct sl_flow_report report = {0};
	const struct sl_flow_options o = {.jobs = 1};
	int rc = sl_project_load(dir, NULL, 0, &p, err);
	rc = rc ? rc : sl_store_open(dir, &store, err);
	if (rc)
		return rc;
	rc = sl_flow_run(store, p, &o, &report, err);
	sl_flow_report_done(&report);
	return rc;
}

static void start_fresh(void)
{
	assert_int_equal(0, sl_dir_remove(dir, NULL));
	copy_tree(fresh, dir);
}

/* Runs under the plan in a child; its exit status: FAULT_EXIT when it died of the plan, else 0 or the code's number. */
static int run_under(const struct fault_plan *plan)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct sl_error err = {0};
		fault_install(plan);
		int rc = run_once(&err);
		_exit(rc ? -rc : 0);
	}
	int status = 0;
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void recover(long n, const char *what)
{
	struct sl_error err = {0};
	int rc = run_once(&err);
	if (rc)
		fail_msg("%s at %ld: the next run gives %s: %s", what, n, err.where, err.message);
	if (!holds("x.txt", "deep\n") || !holds("y/f", "deep\ndeep\n"))
		fail_msg("%s at %ld: an output is not what it should be", what, n);
}

static void each(enum fault_action action, int error, bool stays, const char *what)
{
	for (long n = 1;; n++) {
		const struct fault_plan plan = {.action = action, .kinds = FAULT_CHANGES, .at = n, .error = error, .stays = stays};
		start_fresh();
		int status = run_under(&plan);
		recover(n, what);
		if (status == 0) {
			assert_true(n > 20);
			return;
		}
		if (action == FAULT_DIE)
			assert_int_equal(FAULT_EXIT, status);
	}
}

static void test_dies_at_every_change(void **state)
{
	(void)state;
	each(FAULT_DIE, 0, false, "death");
}

static void test_full_disk_at_every_change(void **state)
{
	(void)state;
	each(FAULT_FAIL, ENOSPC, true, "full disk");
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------- */

struct shortage { long at, count; bool stays; };

static void *short_realloc(void *context, void *old, size_t size)
{
	struct shortage *s = context;
	long n = __atomic_add_fetch(&s->count, 1, __ATOMIC_RELAXED);
	return n == s->at || (s->stays && n > s->at && s->at) ? NULL : realloc(old, size);
}

/* A run in a child whose at-th allocation fails (0: none), and with `stays` all behind it. The number of its allocations; it must end by itself, with an error
 * of its own when memory was short at a place that matters. */
static long run_short(long at, bool stays)
{
	struct shortage *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(s != MAP_FAILED);
	*s = (struct shortage){.at = at, .stays = stays};
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct sl_error err = {0};
		sl_allocator_set((struct sl_allocator){.realloc = short_realloc, .context = s});
		int rc = run_once(&err);
		sl_allocator_set((struct sl_allocator){0});
		_exit(!rc ? 0 : *err.message ? 1 : 2);
	}
	int status = 0;
	assert_int_equal(child, waitpid(child, &status, 0));
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 2)
		fail_msg("allocation %ld fails%s: %s", at, stays ? " and all behind it" : "", WIFEXITED(status) ? "no word of it" : strsignal(WTERMSIG(status)));
	long count = s->count;
	munmap(s, sizeof *s);
	return count;
}

static void test_memory_is_short_at_many_places(void **state)
{
	(void)state;
	start_fresh();
	long all = run_short(0, false), step = getenv("SLUICE_EVERY_FAULT") ? 1 : all / 6;
	assert_true(all > 100);
	for (long n = 1; n <= all; n += step)
		for (int stays = 0; stays < 2; stays++) {
			start_fresh();
			run_short(n, stays);
			recover(n, "short memory");
		}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return sl_flow_worker(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dies_at_every_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_at_every_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_short_at_many_places, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The store under faults: every system call of a small life of a store fails, or the process dies at it, or the power does.
 * Afterwards the store must open, verify must find nothing, and what was acknowledged must be there. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/sys.h"
#include "support/fault.h"
#include "track/model.h"
#include "track/store.h"
#include "track/verify.h"

static char folder[SL_PATH_MAX / 8];
static struct sl_error err;

/* ---- a small life ------------------------------------------------------------------------------------------------- */

/* What the child tells its parent as soon as a call has succeeded. */
struct acknowledged {
	char what; /* o object, b run begun, e run ended, m model version made, p published */
	struct sl_id run;
	struct sl_hash hash;
};

static int tell_fd;
static void tell(char what, const struct sl_id *run, const struct sl_hash *hash)
{
	struct acknowledged a = {.what = what};
	if (run)
		a.run = *run;
	if (hash)
		a.hash = *hash;
	if (write(tell_fd, &a, sizeof a) != (ssize_t)sizeof a)
		_exit(3);
}

static void put(struct sl_store *store, const char *text, struct sl_hash *hash)
{
	if (sl_objects_put(store->objects, text, strlen(text), hash, &err) == 0)
		tell('o', NULL, hash);
}

static void put_file(struct sl_store *store, enum sl_put_how how)
{
	char path[SL_PATH_MAX];
	struct sl_hash hash;
	snprintf(path, sizeof path, "%.2000s/staged-%d", store->tmp_dir, how);
	if (sl_file_replace(path, "staged output\n", 14 - (how == SL_PUT_MOVE), 0644, &err) == 0 &&
	    sl_objects_put_file(store->objects, path, how, &hash, NULL, &err) == 0)
		tell('o', NULL, &hash);
}

/* Everything is tried whatever failed before: a fault must not turn a later call wrong. */
static void live(struct sl_store *store, int rounds)
{
	struct sl_hash hash, package = {{0}};
	struct sl_id run;
	char text[128];
	int64_t version;
	for (int i = 0; i < rounds; i++) {
		struct sl_run_start start = {.kind = "step", .name = "s", .reason = "test"};
		struct sl_metric metric = {"auc", i, 1, 0.5};
		snprintf(text, sizeof text, "{\"columns\":[],\"files\":[],\"format\":\"sluice.table/1\",\"rows\":%d}", i);
		put(store, text, &hash);
		put(store, "{\"format\":\"sluice.table/1\"}", &package);
		if (i == 0) {
			put_file(store, SL_PUT_COPY);
			put_file(store, SL_PUT_MOVE);
		}
		if (sl_run_begin(&store->track, &start, &run, &err) == 0) {
			tell('b', &run, NULL);
			if (sl_run_metrics(&store->track, &run, &metric, 1, &err) == 0 &&
			    sl_run_end(&store->track, &run, "ok", "", &err) == 0)
				tell('e', &run, NULL);
			if (sl_objects_has(store->objects, &package) &&
			    sl_model_create(&store->track, "m", &package, &run, "{}", &version, &err) == 0)
				tell('m', &run, &package);
		}
		if (sl_ledger_publish(store->ledger, &err) == 0)
			tell('p', NULL, NULL);
	}
}

static int child_life(const char *dir, int rounds)
{
	struct sl_store *store = NULL;
	if (sl_store_open(dir, &store, &err) == 0)
		live(store, rounds);
	sl_store_close(store);
	return 0;
}

/* ---- looking afterwards --------------------------------------------------------------------------------------------- */

static char what_failed[256];

static void hear(void *context, const char *what)
{
	(void)context;
	print_error("%s: %s\n", what_failed, what);
}

static void check_acknowledged(struct sl_store *store, const struct acknowledged *a)
{
	struct sl_id found;
	int64_t n = 1;
	int rc = 0;
	if (a->what == 'o')
		rc = sl_objects_check(store->objects, &a->hash, &err);
	else if (a->what == 'b')
		rc = sl_run_find(&store->track, a->run.text, &found, &err);
	else if (a->what == 'e')
		rc = sl_meta_int(store->meta, 0, &n, &err,
				 "SELECT 1 FROM run WHERE id = ?1 AND status = 'ok' AND record IS NOT NULL", "s", a->run.text);
	else if (a->what == 'm')
		rc = sl_meta_int(store->meta, 0, &n, &err, "SELECT 1 FROM model_version WHERE run = ?1", "s", a->run.text);
	if (rc || n != 1)
		fail_msg("%s: acknowledged '%c' is lost: %s", what_failed, a->what, rc ? err.message : "no row");
}

static void check_store(const char *dir, const struct acknowledged *told, size_t count)
{
	struct fault_plan calm = {0}; /* only to keep the disk out of it */
	struct sl_verify_listener listener = {.problem = hear};
	struct sl_verify_report report;
	struct sl_store *store = NULL;
	fault_install(&calm);
	if (sl_store_open(dir, &store, &err) || sl_store_tidy(store, &err))
		fail_msg("%s: cannot open: %s: %s", what_failed, err.where, err.message);
	if (sl_store_verify(store, &listener, &report, &err))
		fail_msg("%s: verify: %s", what_failed, err.message);
	for (size_t i = 0; i < count; i++)
		check_acknowledged(store, &told[i]);
	/* Life goes on. */
	struct sl_hash hash;
	struct sl_id run;
	struct sl_run_start start = {.kind = "step", .name = "after", .reason = "test"};
	if (sl_objects_put(store->objects, "after", 5, &hash, &err) || sl_run_begin(&store->track, &start, &run, &err) ||
	    sl_run_end(&store->track, &run, "ok", "", &err) || sl_ledger_publish(store->ledger, &err))
		fail_msg("%s: does not go on: %s: %s", what_failed, err.where, err.message);
	sl_store_close(store);
	fault_remove();
}

/* ---- one fault ------------------------------------------------------------------------------------------------------ */

/* Runs the life in a child under `plan`; false when the plan's call never came. */
static bool run_child(const char *dir, const struct fault_plan *plan, int rounds, struct acknowledged *told, size_t *count)
{
	int ends[2], status;
	assert_int_equal(0, pipe(ends));
	pid_t child = fork();
	if (child == 0) {
		tell_fd = ends[1];
		close(ends[0]);
		fault_install(plan);
		child_life(dir, rounds);
		_exit(fault_remove() >= plan->at ? 0 : 1);
	}
	close(ends[1]);
	*count = 0;
	while (read(ends[0], &told[*count], sizeof *told) == (ssize_t)sizeof *told)
		++*count;
	close(ends[0]);
	assert_int_equal(child, waitpid(child, &status, 0));
	if (!WIFEXITED(status) || (WEXITSTATUS(status) > 1 && WEXITSTATUS(status) != FAULT_EXIT))
		fail_msg("%s: the process ended with status %x", what_failed, status);
	return WEXITSTATUS(status) != 1;
}

static off_t database_size(const char *dir)
{
	char path[SL_PATH_MAX];
	struct sl_file_info info;
	snprintf(path, sizeof path, "%.3000s/.sluice/sluice.db", dir);
	assert_int_equal(0, sl_file_info(path, &info, &err));
	return (off_t)info.size_bytes;
}

/* The life that met no fault did all that it set out to do; a long one has copied its log into the database. */
static void check_undisturbed(const char *dir, const char *template, int rounds, size_t count)
{
	assert_int_equal(6 * rounds + 2, count);
	assert_true(rounds < 20 || database_size(dir) > database_size(template));
}

/* Fails call 1, 2, 3 ... until there is no such call. */
static void try_every_call(const char *name, struct fault_plan plan, bool power, int rounds, int step)
{
	static struct acknowledged told[512];
	char dir[SL_PATH_MAX], image[SL_PATH_MAX], shadow[SL_PATH_MAX], template[SL_PATH_MAX];
	size_t count;
	snprintf(template, sizeof template, "%s/template", folder);
	snprintf(dir, sizeof dir, "%s/now", folder);
	snprintf(image, sizeof image, "%s/image", folder);
	snprintf(shadow, sizeof shadow, "%s/image.shadow", folder);
	plan.power_dir = power ? dir : NULL;
	plan.image_dir = power ? image : NULL;
	bool came = true;
	for (plan.at = 1; came; plan.at += step) {
		snprintf(what_failed, sizeof what_failed, "%s, call %ld", name, plan.at);
		copy_tree(template, dir);
		came = run_child(dir, &plan, rounds, told, &count);
		if (!came)
			check_undisturbed(dir, template, rounds, count);
		check_store(power && came ? image : dir, told, count);
		assert_int_equal(0, sl_dir_remove(dir, NULL));
		assert_int_equal(0, sl_dir_remove(image, NULL));
		assert_int_equal(0, sl_dir_remove(shadow, NULL));
	}
	print_message("%s: %ld calls\n", name, plan.at - step - 1);
	assert_true(plan.at > 10 * step); /* else the plan saw nothing */
}

static int setup(void **state)
{
	(void)state;
	char template[SL_PATH_MAX], made[SL_PATH_MAX];
	/* In memory where there is such a folder: a thousand stores are made and removed. */
	if (sl_dir_make_temporary(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", "sl-fault-", made, &err))
		return -1;
	snprintf(folder, sizeof folder, "%.500s", made);
	snprintf(template, sizeof template, "%s/template", folder);
	return sl_dir_make(template, &err) || sl_store_create(template, &err) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sl_sys = &sl_sys_real;
	return sl_dir_remove(folder, NULL);
}

static void test_dies_at_every_change(void **state)
{
	(void)state;
	try_every_call("dies", (struct fault_plan){.action = FAULT_DIE, .kinds = FAULT_CHANGES}, false, 2, 1);
}

static void test_dies_in_every_write(void **state)
{
	(void)state;
	try_every_call("torn write", (struct fault_plan){.action = FAULT_TEAR, .kinds = FAULT_WRITE}, false, 2, 1);
}

static void test_power_fails_at_every_change(void **state)
{
	(void)state;
	try_every_call("power", (struct fault_plan){.action = FAULT_DIE, .kinds = FAULT_CHANGES}, true, 2, 1);
}

static void test_every_change_fails(void **state)
{
	(void)state;
	try_every_call("EIO", (struct fault_plan){.action = FAULT_FAIL, .kinds = FAULT_CHANGES, .error = EIO}, false, 2, 1);
}

static void test_every_read_fails(void **state)
{
	(void)state;
	try_every_call("EIO of reads", (struct fault_plan){.action = FAULT_FAIL, .kinds = FAULT_READ, .error = EIO}, false, 2, 5);
}

static void test_the_disk_fills_at_every_write(void **state)
{
	(void)state;
	try_every_call("full disk",
		       (struct fault_plan){.action = FAULT_SHORT, .kinds = FAULT_WRITE, .error = ENOSPC, .stays = true}, false, 2,
		       1);
}

/* Enough commits that the log is copied into the database in between. */
static void test_power_fails_around_a_checkpoint(void **state)
{
	(void)state;
	try_every_call("power, long life", (struct fault_plan){.action = FAULT_DIE, .kinds = FAULT_SYNC}, true, 24, 11);
}

static void test_full_disk_is_named(void **state)
{
	(void)state;
	char dir[SL_PATH_MAX];
	struct sl_store *store;
	struct sl_hash hash;
	struct sl_id run;
	struct sl_run_start start = {.kind = "step", .name = "s", .reason = "test"};
	struct fault_plan full = {.action = FAULT_FAIL, .kinds = FAULT_WRITE, .at = 1, .error = ENOSPC, .stays = true};
	struct fault_plan read_only = {
		.action = FAULT_FAIL, .kinds = FAULT_OPEN | FAULT_WRITE | FAULT_CHANGE, .at = 1, .error = EROFS, .stays = true};
	snprintf(dir, sizeof dir, "%s/template", folder);
	assert_int_equal(0, sl_store_open(dir, &store, &err));
	fault_install(&full);
	assert_int_equal(SL_E_NO_SPACE, sl_objects_put(store->objects, "x", 1, &hash, &err));
	assert_int_equal(SL_E_NO_SPACE, sl_run_begin(&store->track, &start, &run, &err));
	assert_true(strlen(err.hint) > 0);
	fault_install(&read_only);
	assert_int_equal(SL_E_IO, sl_objects_put(store->objects, "x", 1, &hash, &err));
	assert_int_equal(SL_E_IO, sl_run_begin(&store->track, &start, &run, &err));
	fault_remove();
	assert_int_equal(0, sl_objects_put(store->objects, "x", 1, &hash, &err));
	assert_int_equal(0, sl_run_begin(&store->track, &start, &run, &err));
	assert_int_equal(0, sl_run_end(&store->track, &run, "ok", "", &err));
	sl_store_close(store);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_dies_at_every_change),
		T(test_dies_in_every_write),
		T(test_power_fails_at_every_change),
		T(test_every_change_fails),
		T(test_every_read_fails),
		T(test_the_disk_fills_at_every_write),
		T(test_power_fails_around_a_checkpoint),
		T(test_full_disk_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An fsync that fails is never trusted again: nothing is acknowledged, nothing is left that a later put would take for durable, and the retry writes the bytes anew. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "os/file.h"
#include "port/object.h"
#include "support/fault.h"

static char base[SL_PATH_MAX], user[SL_PATH_MAX];
static const char BYTES[] = "what must not be lost";

static int put_bytes(struct sl_objects *objects, struct sl_hash *ret, struct sl_error *err) { return sl_objects_put(objects, BYTES, sizeof BYTES, ret, err); }

static int put_copy(struct sl_objects *objects, struct sl_hash *ret, struct sl_error *err)
{
	return sl_objects_put_file(objects, user, SL_PUT_COPY, ret, NULL, err);
}

static struct sl_objects *open_store(void)
{
	char dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	struct sl_objects *objects;
	assert_int_equal(0, sl_path_join(dir, base, "objects", NULL));
	assert_int_equal(0, sl_path_join(tmp, base, "tmp", NULL));
	assert_int_equal(0, sl_objects_open(dir, tmp, &objects, NULL));
	return objects;
}

/* Calls of these kinds that a put makes without a fault. */
static long count_calls(int (*put)(struct sl_objects *, struct sl_hash *, struct sl_error *), unsigned kinds)
{
	const struct fault_plan plan = {.action = FAULT_NONE, .kinds = kinds};
	struct sl_objects *objects = open_store();
	struct sl_hash hash;
	fault_install(&plan);
	int rc = put(objects, &hash, NULL);
	long count = fault_remove();
	assert_int_equal(0, rc);
	assert_int_equal(0, sl_objects_check(objects, &hash, NULL));
	sl_objects_close(objects);
	return count;
}

static void start_fresh(void)
{
	assert_int_equal(0, sl_dir_remove(base, NULL));
	assert_int_equal(0, sl_dir_make(base, NULL));
	assert_int_equal(0, sl_file_replace(user, BYTES, sizeof BYTES, 0644, NULL));
}

static void fail_each_sync(int (*put)(struct sl_objects *, struct sl_hash *, struct sl_error *))
{
	start_fresh();
	long syncs = count_calls(put, FAULT_SYNC);
	start_fresh();
	long renames = count_calls(put, FAULT_RENAME);
	assert_true(syncs >= 2 && renames == 1);
	for (long n = 1; n <= syncs; n++) {
		const struct fault_plan plan = {.action = FAULT_FAIL, .kinds = FAULT_SYNC, .at = n, .error = EIO};
		struct sl_error err = {0};
		struct sl_hash hash;
		start_fresh();
		struct sl_objects *objects = open_store();
		fault_install(&plan);
		int rc = put(objects, &hash, &err);
		fault_remove();
		assert_int_equal(SL_E_IO, rc);
		assert_non_null(strstr(err.message, "cannot make durable"));
		sl_objects_close(objects);
		assert_int_equal(renames, count_calls(put, FAULT_RENAME)); /* written and named again, as if for the first time */
	}
}

static void test_of_bytes(void **state)
{
	(void)state;
	fail_each_sync(put_bytes);
}

static void test_of_a_file(void **state)
{
	(void)state;
	fail_each_sync(put_copy);
}

static int setup(void **state)
{
	(void)state;
	return sl_dir_make_temporary("/tmp", "sluice-sync-", base, NULL) || sl_path_join(user, base, "user", NULL) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_of_bytes), cmocka_unit_test(test_of_a_file)};
	return cmocka_run_group_tests(tests, setup, teardown);
}

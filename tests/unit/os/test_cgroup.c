/* Groups of the kernel's, over folders that look like its own: which one is taken, what is written where, and what is read. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/cgroup.h"
#include "os/sys.h"

static char base[SL_PATH_MAX];
static const char *const FILES[] = {"cgroup.procs", "cgroup.kill", "memory.max", "memory.swap.max", "memory.oom.group", "memory.events", "memory.peak"};

static const char *in(const char *name)
{
	static char paths[4][SL_PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];
	assert_int_equal(0, sl_path_join(path, base, name, NULL));
	return path;
}

static void put(const char *name, const char *text) { assert_int_equal(0, sl_file_replace(in(name), text, strlen(text), 0644, NULL)); }

static void assert_file(const char *dir, const char *name, const char *text)
{
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf found = SL_BUF_INIT(4096);
	assert_int_equal(0, sl_path_join(path, dir, name, NULL));
	assert_int_equal(0, sl_file_read(path, &found, NULL));
	assert_string_equal(text, sl_buf_cstr(&found));
}

/* A folder of the kernel's has its files from the beginning, and goes with them. */
static int make_with_files(const char *path, mode_t mode)
{
	char file[SL_PATH_MAX];
	int rc = mkdir(path, mode);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(FILES); i++) {
		assert_int_equal(0, sl_path_join(file, path, FILES[i], NULL));
		int fd = open(file, O_WRONLY | O_CREAT, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	return rc;
}

static int remove_with_files(const char *path)
{
	char file[SL_PATH_MAX];
	for (size_t i = 0; i < SL_ARRAY_LEN(FILES); i++)
		if (sl_path_join(file, path, FILES[i], NULL) == 0)
			unlink(file);
	return rmdir(path);
}

static struct sl_sys kernel;

static int setup(void **state)
{
	(void)state;
	kernel = sl_sys_real;
	kernel.mkdir = make_with_files;
	kernel.rmdir = remove_with_files;
	if (sl_dir_make_temporary("/tmp", "sluice-cgroup-", base, NULL) || sl_dir_make(in("proc"), NULL) || sl_dir_make(in("mnt/user/app/run.scope"), NULL))
		return -1;
	char mounts[3 * SL_PATH_MAX];
	snprintf(mounts, sizeof mounts, "30 23 0:27 / /sys rw shared:2 - sysfs sysfs rw\n41 31 0:38 /all %s/mnt rw,relatime shared:9 - cgroup2 cgroup2 rw\n", base);
	put("proc/mountinfo", mounts);
	put("proc/cgroup", "4:memory:/elsewhere\n0::/all/user/app/run.scope\n");
	for (const char *const *dir = (const char *const[]){"mnt", "mnt/user", "mnt/user/app", "mnt/user/app/run.scope", NULL}; *dir; dir++) {
		char name[128];
		snprintf(name, sizeof name, "%s/cgroup.procs", *dir);
		put(name, "");
		snprintf(name, sizeof name, "%s/cgroup.subtree_control", *dir);
		put(name, strcmp(*dir, "mnt/user/app") == 0 ? "cpu memory pids\n" : "memory_of_another pids\n");
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sl_sys = &sl_sys_real;
	return sl_dir_remove(base, NULL);
}

static void test_where(void **state)
{
	char found[SL_PATH_MAX], dead[SL_PATH_MAX];
	(void)state;
	snprintf(dead, sizeof dead, "%s", in("mnt/user/app/sluice-2147483647-x")); /* no process has this number */
	assert_int_equal(0, mkdir(dead, 0755));
	assert_true(sl_cgroup_find(in("proc"), found));
	assert_string_equal(in("mnt/user/app"), found);
	assert_false(sl_dir_exists(dead));
	put("mnt/user/app/cgroup.subtree_control", "pids\n");
	assert_false(sl_cgroup_find(in("proc"), found));
	put("proc/cgroup", "4:memory:/elsewhere\n");
	assert_false(sl_cgroup_find(in("proc"), found));
}

static void test_a_group(void **state)
{
	struct sl_cgroup group;
	(void)state;
	sl_sys = &kernel;
	assert_true(sl_cgroup_make(in("mnt/user/app"), "step.0", 4000000000, &group));
	assert_file(group.dir, "memory.max", "4000000000");
	assert_file(group.dir, "memory.swap.max", "0");
	assert_file(group.dir, "memory.oom.group", "1");
	assert_true(sl_cgroup_enter(&group));
	assert_file(group.dir, "cgroup.procs", "0");
	assert_int_equal(0, sl_cgroup_oom_kills(&group));
	char dir[SL_PATH_MAX], path[SL_PATH_MAX];
	memcpy(dir, group.dir, sizeof dir);
	assert_int_equal(0, sl_path_join(path, dir, "memory.events", NULL));
	assert_int_equal(0, sl_file_replace(path, "low 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", 47, 0644, NULL));
	assert_int_equal(0, sl_path_join(path, dir, "memory.peak", NULL));
	assert_int_equal(0, sl_file_replace(path, "3999997952\n", 11, 0644, NULL));
	assert_int_equal(2, sl_cgroup_oom_kills(&group));
	assert_int_equal(3999997952, sl_cgroup_peak(&group));
	sl_cgroup_remove(&group);
	assert_false(sl_dir_exists(dir));
	sl_cgroup_remove(&group); /* none any more */
}

/* A hierarchy without the controller makes folders without its files. */
static void test_no_memory_there(void **state)
{
	struct sl_cgroup group;
	(void)state;
	assert_false(sl_cgroup_make(in("mnt/user"), "step.0", 1, &group));
	assert_int_equal(-1, group.procs_fd);
	char name[64];
	snprintf(name, sizeof name, "mnt/user/sluice-%ld-step.0", (long)getpid());
	assert_false(sl_dir_exists(in(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_where, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory_there, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

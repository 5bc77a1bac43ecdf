/* Child processes: exits in words, output with times and a cap, JSON lines, time-outs, and no survivor whatever a child does. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"

extern char **environ;
static char dir[SL_PATH_MAX], log_path[SL_PATH_MAX];
static struct sl_processes *set;

static int setup(void **state)
{
	(void)state;
	if (sl_dir_make_temporary("/tmp", "sluice-process-", dir, NULL) || sl_path_join(log_path, dir, "log", NULL))
		return -1;
	return sl_processes_new(&set, NULL);
}

static int teardown(void **state)
{
	(void)state;
	sl_processes_free(set);
	return sl_dir_remove(dir, NULL);
}

struct heard { char text[4096]; size_t len, events; };

static void on_event(void *context, const char *line, size_t len)
{
	struct heard *h = context;
	h->events++;
	h->len += (size_t)snprintf(h->text + h->len, sizeof h->text - h->len, "%.*s;", (int)len, line);
}

static struct sl_process *start(const char *script, struct sl_process_options o, struct sl_error *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct sl_process *p = NULL;
	o.argv = argv;
	o.env = (const char *const *)environ;
	o.dir = dir;
	o.tag = o.tag ? o.tag : "test";
	int rc = sl_process_start(set, &o, &p, err);
	return rc ? NULL : p;
}

static struct sl_process_end run(const char *script, struct sl_process_options o)
{
	struct sl_error err;
	struct sl_process *p = start(script, o, &err), *ended = NULL;
	struct sl_process_end end = {0};
	if (!p)
		fail_msg("%s", err.message);
	while (sl_processes_wait(set, 30000, &ended, &end) == 0)
		assert_true(sl_processes_running(set) > 0);
	assert_ptr_equal(p, ended);
	sl_process_free(p);
	return end;
}

static void test_exits_in_words(void **state)
{
	(void)state;
	struct sl_process_end end = run("exit 0", (struct sl_process_options){0});
	assert_true(end.ok && !end.cause[0]);
	end = run("exit 3", (struct sl_process_options){0});
	assert_true(!end.ok && end.exit_status == 3);
	assert_string_equal("exit status 3", end.cause);
	end = run("kill -SEGV $$", (struct sl_process_options){0});
	assert_int_equal(SIGSEGV, end.signal);
	assert_string_equal("killed by SIGSEGV", end.cause);
}

static void test_what_cannot_start(void **state)
{
	(void)state;
	const char *const argv[] = {"no-such-program-here", NULL};
	struct sl_process_options o = {.argv = argv, .env = (const char *const *)environ, .dir = dir, .tag = "test"};
	struct sl_process *p = NULL;
	struct sl_error err;
	assert_int_equal(SL_E_FAILED, sl_process_start(set, &o, &p, &err));
	assert_non_null(strstr(err.message, "no-such-program-here"));
	const char *const folder[] = {"/tmp", NULL};
	o.argv = folder;
	assert_int_equal(SL_E_FAILED, sl_process_start(set, &o, &p, &err));
	assert_non_null(strstr(err.message, strerror(EACCES)));
	const char *const fine[] = {"true", NULL};
	o.argv = fine;
	o.dir = "/no/such/folder";
	assert_int_equal(SL_E_FAILED, sl_process_start(set, &o, &p, &err));
	assert_int_equal(0, sl_processes_running(set));
}

static void test_output_and_events(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct sl_process_end end = run("echo one; echo two >&2; printf tail; echo '{\"a\":1}' >&3; printf '{\"b\":2}' >&3; read x || echo no input",
					(struct sl_process_options){.log_path = log_path, .on_event = on_event, .context = &heard});
	assert_true(end.ok);
	assert_string_equal("{\"a\":1};{\"b\":2};", heard.text);
	SL_AUTO_BUF struct sl_buf log = SL_BUF_INIT(1 << 20);
	assert_int_equal(0, sl_file_read(log_path, &log, NULL));
	assert_non_null(strstr(log.data, "Z o one\n"));
	assert_non_null(strstr(log.data, "Z e two\n"));
	assert_non_null(strstr(log.data, "Z o tailno input\n"));
}

static void test_long_lines(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct sl_process_end end = run("head -c 20000 /dev/zero | tr '\\0' x; echo; head -c 2000000 /dev/zero | tr '\\0' y >&3; echo >&3; echo '{}' >&3",
					(struct sl_process_options){.log_path = log_path, .on_event = on_event, .context = &heard});
	assert_true(end.ok);
	assert_int_equal(1, end.dropped_events);
	assert_string_equal("{};", heard.text);
	SL_AUTO_BUF struct sl_buf log = SL_BUF_INIT(1 << 20);
	assert_int_equal(0, sl_file_read(log_path, &log, NULL));
	size_t lines = 0, x = 0;
	for (const char *p = log.data; *p; p++) {
		lines += *p == '\n';
		x += *p == 'x';
	}
	assert_int_equal(3, lines);
	assert_int_equal(20000, x);
}

static void test_log_is_capped(void **state)
{
	(void)state;
	struct sl_process_end end = run("head -c 20000000 /dev/zero | tr '\\0' '\\n'", (struct sl_process_options){.log_path = log_path, .log_max_bytes = 100000});
	struct sl_file_info info;
	assert_true(end.ok);
	assert_int_equal(20000000, end.output_bytes);
	assert_int_equal(0, sl_file_info(log_path, &info, NULL));
	assert_int_equal(100000, info.size_bytes);
	assert_true(end.dropped_bytes > 19000000 && end.dropped_bytes < 21000000);
}

static bool gone(const char *pid_file)
{
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(100);
	assert_int_equal(0, sl_path_join(path, dir, pid_file, NULL));
	assert_int_equal(0, sl_file_read(path, &text, NULL));
	return kill((pid_t)atoi(sl_buf_cstr(&text)), 0) < 0 && errno == ESRCH;
}

static void test_no_survivors(void **state)
{
	(void)state;
	/* In the background, in a session of its own, and without the environment. */
	struct sl_process_end end = run("sleep 1000 & echo $! > a; setsid sh -c 'echo $$ > b; exec sleep 1000' & "
					"env -i setsid sh -c 'echo $$ > c; exec /bin/sleep 1000' & "
					"until test -s a && test -s b && test -s c; do :; done", (struct sl_process_options){0});
	assert_true(end.ok);
	assert_int_equal(3, end.survivors);
	assert_true(gone("a") && gone("b") && gone("c"));
}

static void test_orphans_of_another_live(void **state)
{
	(void)state;
	struct sl_error err;
	struct sl_process_end end;
	struct sl_process *ended = NULL;
	/* `first` leaves a helper in the background that it still needs while `second` ends. */
	struct sl_process *first = start("(sleep 1000 & echo $! > helper); touch ready; until test -e go; do sleep 0.01; done; kill -0 $(cat helper)",
					 (struct sl_process_options){.tag = "first"}, &err);
	struct sl_process *second = start("until test -e ready; do sleep 0.01; done", (struct sl_process_options){.tag = "second"}, &err);
	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal(1, sl_processes_wait(set, 30000, &ended, &end));
	assert_ptr_equal(second, ended);
	assert_int_equal(0, end.survivors);
	char path[SL_PATH_MAX];
	assert_int_equal(0, sl_path_join(path, dir, "go", NULL));
	assert_int_equal(0, sl_file_replace(path, "", 0, 0644, NULL));
	assert_int_equal(1, sl_processes_wait(set, 30000, &ended, &end));
	assert_true(ended == first && end.ok && end.survivors == 1);
	sl_process_free(first);
	sl_process_free(second);
	assert_true(gone("helper"));
}

static void test_sets_know_each_other(void **state)
{
	(void)state;
	struct sl_error err;
	struct sl_process_end end;
	struct sl_process *ended = NULL;
	struct sl_process *first = start("until test -e go2; do sleep 0.01; done", (struct sl_process_options){.tag = "first"}, &err);
	struct sl_processes *outer = set;
	assert_int_equal(0, sl_processes_new(&set, NULL));
	struct sl_process_end other = run("true", (struct sl_process_options){.tag = "other"});
	sl_processes_free(set);
	set = outer;
	assert_true(other.ok && other.survivors == 0);
	char path[SL_PATH_MAX];
	assert_int_equal(0, sl_path_join(path, dir, "go2", NULL));
	assert_int_equal(0, sl_file_replace(path, "", 0, 0644, NULL));
	assert_int_equal(1, sl_processes_wait(set, 30000, &ended, &end));
	assert_true(ended == first && end.ok);
	sl_process_free(first);
}

static void test_timeout_over_ignored_term(void **state)
{
	(void)state;
	struct sl_process_end end = run("trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & while :; do sleep 1; done",
					(struct sl_process_options){.timeout_ms = 50, .grace_ms = 50});
	assert_true(end.timed_out && !end.ok);
	assert_int_equal(SIGKILL, end.signal);
	assert_string_equal("timed out after 50 ms", end.cause);
	assert_int_equal(0, sl_processes_running(set));
}

static void test_stop_lets_it_clean_up(void **state)
{
	(void)state;
	struct sl_error err;
	struct sl_process_end end;
	struct sl_process *ended = NULL;
	struct sl_process *p = start("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done", (struct sl_process_options){.log_path = log_path}, &err);
	struct sl_file_info info = {0};
	while (info.size_bytes == 0) {
		assert_int_equal(0, sl_processes_wait(set, 5, &ended, &end));
		assert_int_equal(0, sl_file_info(log_path, &info, NULL));
	}
	sl_process_stop(p);
	assert_int_equal(1, sl_processes_wait(set, 30000, &ended, &end));
	sl_process_free(p);
	assert_true(end.stopped && !end.ok);
	assert_string_equal("cancelled", end.cause);
	SL_AUTO_BUF struct sl_buf log = SL_BUF_INIT(1 << 16);
	assert_int_equal(0, sl_file_read(log_path, &log, NULL));
	assert_non_null(strstr(log.data, "o bye\n"));
}

static void test_found_by_tag(void **state)
{
	(void)state;
	struct sl_error err;
	struct sl_process_end end;
	struct sl_process *ended = NULL, *p = start("touch up; sleep 1000", (struct sl_process_options){.tag = "01TAG.x"}, &err);
	char path[SL_PATH_MAX];
	assert_int_equal(0, sl_path_join(path, dir, "up", NULL));
	while (!sl_file_exists(path))
		assert_int_equal(0, sl_processes_wait(set, 5, &ended, &end));
	assert_int_equal(0, sl_process_kill_tagged("01TAH."));
	assert_true(sl_process_kill_tagged("01TAG.") >= 1);
	assert_int_equal(1, sl_processes_wait(set, 30000, &ended, &end));
	assert_int_equal(SIGKILL, end.signal);
	sl_process_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exits_in_words), cmocka_unit_test(test_what_cannot_start), cmocka_unit_test(test_output_and_events),
		cmocka_unit_test(test_long_lines), cmocka_unit_test(test_log_is_capped), cmocka_unit_test(test_no_survivors),
		cmocka_unit_test(test_orphans_of_another_live), cmocka_unit_test(test_sets_know_each_other), cmocka_unit_test(test_timeout_over_ignored_term),
		cmocka_unit_test(test_stop_lets_it_clean_up), cmocka_unit_test(test_found_by_tag),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* Flow over commands: what reruns, why, and what happens when steps fail, fork, are cancelled or killed. This program is also its own worker. */
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

#include "flow/flow.h"
#include "os/process.h"

static char dir[SL_PATH_MAX];
static struct sl_store *store;

static void put(const char *name, const char *text)
{
	char path[SL_PATH_MAX], *slash;
	assert_int_equal(0, sl_path_join(path, dir, name, NULL));
	slash = strrchr(path, '/');
	*slash = 0;
	assert_int_equal(0, sl_dir_make(path, NULL));
	*slash = '/';
	assert_int_equal(0, sl_file_replace(path, text, strlen(text), 0644, NULL));
}

static const char *get(const char *name)
{
	static struct sl_buf text = SL_BUF_INIT(1 << 20);
	char path[SL_PATH_MAX];
	sl_buf_clear(&text);
	assert_int_equal(0, sl_path_join(path, dir, name, NULL));
	return sl_file_read(path, &text, NULL) ? NULL : sl_buf_cstr(&text);
}

static int setup(void **state)
{
	(void)state;
	struct sl_error err;
	if (sl_dir_make_temporary("/tmp", "sluice-flow-", dir, NULL))
		return -1;
	put("sluice.yaml", "project: x\n");
	if (sl_store_create(dir, &err) || sl_store_open(dir, &store, &err)) {
		print_error("%s: %s\n", err.where, err.message);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sl_store_close(store);
	return sl_dir_remove(dir, NULL);
}

/* What the last run did: "a:ok b:fresh ...". */
static char story[8192];
static struct sl_error problem;

static void tell_story(const struct sl_flow_report *report)
{
	size_t n = 0;
	story[0] = 0;
	for (size_t i = 0; i < report->count && n < sizeof story; i++)
		n += (size_t)snprintf(story + n, sizeof story - n, "%s%s:%s", n ? " " : "", report->nodes[i].name, sl_flow_state_name(report->nodes[i].state));
}

static int run_with(struct sl_flow_options o, const char *const *overrides, size_t count)
{
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	struct sl_flow_report report;
	story[0] = 0;
	problem = (struct sl_error){0};
	int rc = sl_project_load(dir, overrides, count, &p, &problem);
	if (rc)
		return rc;
	rc = sl_flow_run(store, p, &o, &report, &problem);
	tell_story(&report);
	sl_flow_report_done(&report);
	if (rc)
		print_message("%d %s: %s\n", rc, problem.where, problem.message);
	return rc;
}

static int run(void) { return run_with((struct sl_flow_options){.jobs = 2}, NULL, 0); }

/* The reason that the next run would give for `name`. */
static const char *why(const char *name, const char *const *overrides, size_t count)
{
	static char reason[SL_FLOW_REASON_MAX + 32];
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	struct sl_flow_report report;
	assert_int_equal(0, sl_project_load(dir, overrides, count, &p, &problem));
	const struct sl_flow_options o = {.preview = true};
	assert_int_equal(0, sl_flow_run(store, p, &o, &report, &problem));
	reason[0] = 0;
	for (size_t i = 0; i < report.count; i++)
		if (strcmp(report.nodes[i].name, name) == 0)
			snprintf(reason, sizeof reason, "%s: %s", sl_flow_state_name(report.nodes[i].state), report.nodes[i].reason);
	sl_flow_report_done(&report);
	return reason;
}

#define ASSERT_RUN(expected)                                                              \
	do {                                                                              \
		int rc_ = run();                                                          \
		if (rc_)                                                                  \
			fail_msg("%d %s: %s", rc_, problem.where, problem.message);       \
		assert_string_equal(expected, story);                                     \
	} while (0)

/* a -> b -> c; d beside them. Each copies its input and adds a line; b cuts the line off again when told to. */
static const char CHAIN[] =
	"project: x\n"
	"params: {word: one, unrelated: 1}\n"
	"steps:\n"
	"  a: {run: [sh, a.sh], params: [word], outputs: {a_out: out/a.txt}}\n"
	"  b: {run: 'head -c 1 \"$SLUICE_INPUT_a_out\" > \"$SLUICE_OUTPUT_b_out\"', inputs: [a_out], outputs: {b_out: out/b.txt}}\n"
	"  c: {run: 'cat \"$SLUICE_INPUT_b_out\" > \"$SLUICE_OUTPUT_c_out\"', inputs: [b_out], outputs: {c_out: out/c.txt}}\n"
	"  d: {run: 'echo \"$SLUICE_PARAM_unrelated\" > \"$SLUICE_OUTPUT_d_out\"', params: [unrelated], outputs: {d_out: out/d.txt}}\n";

static void chain(void)
{
	put("sluice.yaml", CHAIN);
	put("a.sh", "echo \"$SLUICE_PARAM_word\" > \"$SLUICE_OUTPUT_a_out\"\n");
}

static void test_no_op_and_results(void **state)
{
	(void)state;
	chain();
	assert_int_equal(0, run());
	assert_string_equal("one\n", get("out/a.txt"));
	assert_string_equal("o", get("out/c.txt"));
	ASSERT_RUN("a:fresh b:fresh c:fresh d:fresh");
	assert_string_equal("fresh: nothing changed", why("a", NULL, 0));
}

static void test_staleness(void **state)
{
	(void)state;
	chain();
	assert_int_equal(0, run());
	/* A parameter: only the step that uses it; what follows sees equal output and stays. */
	const char *const other[] = {"word=over"};
	assert_string_equal("stale: parameter word changed one → over", why("a", other, 1));
	assert_string_equal("maybe: a runs first", why("b", other, 1));
	assert_int_equal(0, run_with((struct sl_flow_options){.jobs = 1}, other, 1));
	assert_string_equal("a:ok b:ok c:fresh d:fresh", story);
	/* Back again: the old result is put in place, nothing runs. */
	ASSERT_RUN("a:reused b:fresh c:fresh d:fresh");
	assert_string_equal("one\n", get("out/a.txt"));
	/* Code. */
	put("a.sh", "echo changed > \"$SLUICE_OUTPUT_a_out\"\n");
	assert_string_equal("stale: code a.sh changed", why("a", NULL, 0));
	assert_int_equal(0, run());
	assert_string_equal("c", get("out/c.txt"));
}

static void test_definition_and_output(void **state)
{
	(void)state;
	chain();
	assert_int_equal(0, run());
	char path[SL_PATH_MAX];
	assert_int_equal(0, sl_path_join(path, dir, "out/c.txt", NULL));
	assert_int_equal(0, unlink(path));
	ASSERT_RUN("a:fresh b:fresh c:reused d:fresh");
	assert_string_equal("o", get("out/c.txt"));
	put("sluice.yaml", "project: x\nsteps:\n  a: {run: 'echo 1 > \"$SLUICE_OUTPUT_a_out\"', outputs: {a_out: out/a.txt}}\n");
	assert_string_equal("stale: parameter word is gone, and 1 more", why("a", NULL, 0));
	ASSERT_RUN("a:ok");
	put("sluice.yaml", "project: x\nsteps:\n  a: {run: 'echo 2 > \"$SLUICE_OUTPUT_a_out\"', outputs: {a_out: out/a.txt}}\n");
	assert_string_equal("stale: its definition changed", why("a", NULL, 0));
	ASSERT_RUN("a:ok");
	put("sluice.yaml", "project: x\nsteps:\n  a: {outputs: {a_out: out/a.txt},   run: 'echo 2 > \"$SLUICE_OUTPUT_a_out\"'} # moved about\n");
	ASSERT_RUN("a:fresh");
}

static void test_force_and_names(void **state)
{
	(void)state;
	chain();
	assert_int_equal(0, run());
	const char *const names[] = {"b_out"};
	assert_int_equal(0, run_with((struct sl_flow_options){.names = names, .name_count = 1, .force = true, .jobs = 1}, NULL, 0));
	assert_string_equal("a:fresh b:ok", story);
	const char *const wrong[] = {"b_uot"};
	assert_int_equal(SL_E_NOT_FOUND, run_with((struct sl_flow_options){.names = wrong, .name_count = 1}, NULL, 0));
	assert_true(strstr(problem.message, "b_uot") && problem.hint[0]);
}

static void test_failures(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps:\n"
			   "  bad: {run: 'test -e repaired || exit 7; echo ok > \"$SLUICE_OUTPUT_o\"', outputs: {o: out/o}}\n"
			   "  after: {run: 'cat \"$SLUICE_INPUT_o\" > \"$SLUICE_OUTPUT_p\"', inputs: [o], outputs: {p: out/p}}\n"
			   "  beside: {run: 'echo 1 > \"$SLUICE_OUTPUT_q\"', outputs: {q: out/q}}\n");
	assert_int_equal(SL_E_FAILED, run_with((struct sl_flow_options){.jobs = 1}, NULL, 0));
	assert_string_equal("bad:failed after:skipped beside:skipped", story);
	assert_non_null(strstr(problem.message, "exit status 7"));
	assert_int_equal(SL_E_FAILED, run_with((struct sl_flow_options){.jobs = 1, .keep_going = true}, NULL, 0));
	assert_string_equal("bad:failed after:skipped beside:ok", story);
	assert_string_equal("stale: last run failed: exit status 7", why("bad", NULL, 0));
	put("repaired", "");
	ASSERT_RUN("bad:ok after:ok beside:fresh");
}

static void test_output_must_be_made(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps: {s: {run: ['true'], outputs: {o: out/o}}}\n");
	assert_int_equal(SL_E_FAILED, run());
	assert_non_null(strstr(problem.message, "output 'o' was not made"));
	assert_null(get("out/o"));
}

static void test_folders(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps:\n"
			   "  make: {run: 'mkdir -p \"$SLUICE_OUTPUT_tree/b\"; echo 1 > \"$SLUICE_OUTPUT_tree/a\"; echo 2 > \"$SLUICE_OUTPUT_tree/b/c\"', outputs: {tree: out/tree}}\n"
			   "  use: {run: 'cat \"$SLUICE_INPUT_tree/a\" \"$SLUICE_INPUT_tree/b/c\" > \"$SLUICE_OUTPUT_both\"', inputs: [tree], outputs: {both: both.txt}}\n");
	assert_int_equal(0, run());
	assert_string_equal("1\n2\n", get("both.txt"));
	ASSERT_RUN("make:fresh use:fresh");
	put("out/tree/b/c", "changed by hand");
	ASSERT_RUN("make:reused use:fresh");
	assert_string_equal("2\n", get("out/tree/b/c"));
}

static void test_cycle(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps:\n"
			   "  a: {run: ['true'], inputs: [z], outputs: {x: x}}\n  b: {run: ['true'], inputs: [x], outputs: {y: y}}\n  c: {run: ['true'], inputs: [y], outputs: {z: z}}\n");
	assert_int_equal(SL_E_INVALID, run());
	assert_string_equal("sluice.yaml:3:6", problem.where);
	assert_non_null(strstr(problem.message, "a → c → b → a"));
}

static void test_order_only(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsandbox: off\nsteps:\n  b: {run: 'test -e made', inputs: [a]}\n  a: {run: 'touch made'}\n");
	ASSERT_RUN("a:ok b:ok");
	put("sluice.yaml", "project: x\nsandbox: off\nsteps:\n  b: {run: 'test -e made', inputs: [a]}\n  a: {run: 'touch  made'}\n");
	ASSERT_RUN("a:ok b:fresh");
}

static void test_parallel(void **state)
{
	(void)state;
	/* Each waits for the other's sign: they end only if both run at once. */
	put("sluice.yaml", "project: x\nsandbox: off\nsteps:\n"
			   "  left: {run: 'touch l; until test -e r; do sleep 0.01; done', timeout: 20s}\n"
			   "  right: {run: 'touch r; until test -e l; do sleep 0.01; done', timeout: 20s}\n");
	assert_int_equal(0, run());
	assert_non_null(strstr(story, "left:ok"));
	assert_non_null(strstr(story, "right:ok"));
}

static volatile int cancel;
static void on_progress(void *context, const struct sl_flow_node *node, double fraction, const char *what)
{
	(void)context, (void)node, (void)fraction, (void)what;
	cancel = 1;
}

static void test_cancel(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps:\n  s: {run: 'echo \"{\\\"progress\\\":0.5}\" >&3; sleep 1000', outputs: {o: o}}\n  t: {run: ['true'], inputs: [o]}\n");
	cancel = 0;
	assert_int_equal(SL_E_CANCELLED, run_with((struct sl_flow_options){.cancel = &cancel, .events.progress = on_progress}, NULL, 0));
	assert_string_equal("s:cancelled t:cancelled", story);
	assert_string_equal("stale: last run was cancelled: cancelled", why("s", NULL, 0));
}

static void test_two_at_once(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsandbox: off\nsteps: {s: {run: 'touch held; until test -e go; do sleep 0.01; done', timeout: 20s}}\n");
	pid_t other = fork();
	if (other == 0) {
		struct sl_store *own = NULL;
		if (sl_store_open(dir, &own, NULL))
			_exit(9);
		store = own;
		_exit(run() ? 1 : 0);
	}
	while (!get("held"))
		usleep(1000);
	assert_int_equal(SL_E_BUSY, run());
	assert_true(strstr(problem.message, "sluice run, process") || strstr(problem.hint, "sluice run, process"));
	put("go", "");
	int status = -1;
	assert_int_equal(other, waitpid(other, &status, 0));
	assert_int_equal(0, status);
	ASSERT_RUN("s:fresh");
}

/* A run in a process of its own, killed when the file `held` is there. */
static void run_and_kill(void)
{
	pid_t other = fork();
	if (other == 0) {
		struct sl_store *own = NULL;
		if (sl_store_open(dir, &own, NULL))
			_exit(9);
		store = own;
		_exit(run() ? 1 : 0);
	}
	while (!get("held")) {
		assert_int_equal(0, waitpid(other, NULL, WNOHANG));
		usleep(1000);
	}
	assert_int_equal(0, kill(other, SIGKILL));
	assert_int_equal(other, waitpid(other, NULL, 0));
}

static int64_t count_rows(const char *sql)
{
	int64_t count = -1;
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, sql, ""));
	return count;
}

static const char OF_A_KILLED_RUN[] =
	"project: x\nsandbox: off\nsteps:\n  first: {run: 'echo 1 >> count; echo 1 > \"$SLUICE_OUTPUT_o\"', outputs: {o: o}}\n"
	"  second: {run: 'echo 2 >> count; setsid sleep 1000 & echo $! > left.pid; echo \"{\\\"metric\\\":\\\"a\\\",\\\"value\\\":1}\" >&3; touch held; "
	"until test -e go; do sleep 0.01; done; echo \"{\\\"metric\\\":\\\"b\\\",\\\"value\\\":2}\" >&3; echo 2 > \"$SLUICE_OUTPUT_p\"', inputs: [o], outputs: {p: p}}\n";

/* Whether the step ends before the next run begins, or while it waits for it: it ran once, and is on record once. */
static void test_killed_run(void **state)
{
	(void)state;
	put("sluice.yaml", OF_A_KILLED_RUN);
	run_and_kill();
	pid_t left = atoi(get("left.pid"));
	assert_int_equal(0, kill(left, 0));
	pid_t later = fork();
	if (later == 0) {
		struct sl_store *own = NULL;
		if (sl_store_open(dir, &own, NULL))
			_exit(9);
		store = own;
		while (count_rows("SELECT count(*) FROM run_tag WHERE name = 'taken_over_by'") == 0)
			usleep(1000);
		put("go", "");
		_exit(0);
	}
	ASSERT_RUN("first:fresh second:ok");
	int status = -1;
	assert_int_equal(later, waitpid(later, &status, 0));
	assert_int_equal(0, status);
	assert_string_equal("1\n2\n", get("count"));
	assert_string_equal("2\n", get("p"));
	assert_int_equal(-1, kill(left, 0));
	assert_int_equal(1, count_rows("SELECT count(*) FROM run WHERE name = 'second'"));
	assert_int_equal(2, count_rows("SELECT count(*) FROM run_metric WHERE name IN ('a', 'b')"));
	assert_int_equal(0, count_rows("SELECT count(*) FROM attempt"));
	assert_int_equal(1, count_rows("SELECT count(*) FROM run WHERE kind = 'run' AND status = 'killed'"));
	ASSERT_RUN("first:fresh second:fresh");
}

static bool shell(const char *script)
{
	char command[SL_PATH_MAX + 256];
	snprintf(command, sizeof command, "cd %s && %s", dir, script);
	return system(command) == 0;
}

static void test_ended_unseen(void **state)
{
	(void)state;
	put("sluice.yaml", OF_A_KILLED_RUN);
	run_and_kill();
	put("go", "");
	while (!shell("ls .sluice/tmp/*/*.exit >/dev/null 2>&1"))
		usleep(1000);
	ASSERT_RUN("first:fresh second:ok");
	assert_string_equal("1\n2\n", get("count"));
	assert_int_equal(2, count_rows("SELECT count(*) FROM run_metric WHERE name IN ('a', 'b')"));
	assert_true(shell("test -z \"$(ls -A .sluice/tmp)\""));
}

/* Another step by now: the old one is ended. A step of no interest to this run stays. */
static void test_changed_since(void **state)
{
	(void)state;
	put("sluice.yaml", OF_A_KILLED_RUN);
	run_and_kill();
	pid_t left = atoi(get("left.pid"));
	assert_int_equal(0, run_with((struct sl_flow_options){.names = (const char *const[]){"first"}, .name_count = 1, .force = true}, NULL, 0));
	assert_int_equal(0, kill(left, 0));
	put("sluice.yaml", "project: x\nsandbox: off\nsteps:\n  first: {run: 'echo 1 >> count; echo 1 > \"$SLUICE_OUTPUT_o\"', outputs: {o: o}}\n"
			   "  second: {run: 'echo 3 > \"$SLUICE_OUTPUT_p\"', inputs: [o], outputs: {p: p}}\n");
	ASSERT_RUN("first:fresh second:ok");
	assert_string_equal("3\n", get("p"));
	while (kill(left, 0) == 0)
		usleep(1000);
	assert_int_equal(1, count_rows("SELECT count(*) FROM run WHERE name = 'second' AND status = 'killed'"));
	assert_int_equal(0, count_rows("SELECT count(*) FROM attempt"));
}

/* The environment is taken by another child (git) while the first steps run: neither harms the other. */
static void test_inside_a_git_folder(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsandbox: off\nsteps:\n  s: {run: 'git init -q . && git -c user.name=n -c user.email=e commit -q --allow-empty -m m', outputs: {}}\n");
	assert_int_equal(0, run());
	put("sluice.yaml", "project: x\nsteps:\n  a: {run: 'i=0; while test $i -lt 300; do sh -c :; i=$((i+1)); done'}\n  b: {run: 'i=0; while test $i -lt 300; do sh -c :; i=$((i+1)); done'}\n");
	ASSERT_RUN("a:ok b:ok");
	int64_t count = 0;
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, "SELECT COUNT(*) FROM run WHERE kind = 'run' AND environment LIKE '%commit%'", ""));
	assert_int_equal(1, count);
}

static void test_metrics_and_params(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nparams: {depth: 6, list: [1, 2]}\nsteps:\n"
			   "  s: {run: 'echo \"{\\\"metric\\\":\\\"loss\\\",\\\"step\\\":1,\\\"value\\\":0.5}\" >&3; cat \"$SLUICE_PARAMS\" > \"$SLUICE_OUTPUT_o\"',"
			   " params: [depth, list], outputs: {o: o}}\n");
	assert_int_equal(0, run());
	assert_string_equal("{\n  \"depth\": 6,\n  \"list\": [\n    1,\n    2\n  ]\n}", get("o"));
	int64_t count = 0;
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, "SELECT COUNT(*) FROM run_metric WHERE name = ?1 AND value = ?2", "sd", "loss", 0.5));
	assert_int_equal(1, count);
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, "SELECT COUNT(*) FROM run_param WHERE name = 'depth' AND value = '6'", ""));
	assert_int_equal(1, count);
}

static void test_secret(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nsteps:\n  s: {run: 'echo \"$TOKEN\" > \"$SLUICE_OUTPUT_o\"', env: {TOKEN: 'a${secret:key}b'}, outputs: {o: o}}\n");
	assert_int_equal(SL_E_FAILED, run());
	assert_non_null(strstr(problem.message, "secret 'key' is not known"));
	put(".sluice/secrets/key", "hush\n");
	assert_int_equal(0, run());
	assert_string_equal("ahushb\n", get("o"));
	int64_t count = 1;
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, "SELECT COUNT(*) FROM step_result WHERE document LIKE '%hush%'", ""));
	assert_int_equal(0, count);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return sl_flow_worker(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_no_op_and_results), TEST(test_staleness), TEST(test_definition_and_output), TEST(test_force_and_names), TEST(test_failures),
		TEST(test_output_must_be_made), TEST(test_folders), TEST(test_cycle), TEST(test_order_only), TEST(test_parallel), TEST(test_cancel), TEST(test_two_at_once),
		TEST(test_killed_run), TEST(test_ended_unseen), TEST(test_changed_since), TEST(test_inside_a_git_folder), TEST(test_metrics_and_params), TEST(test_secret),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

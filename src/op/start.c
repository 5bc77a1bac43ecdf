/* start, started, cancel: a `sluice run` in a session of its own, which nobody waits for.
 *
 *   .sluice/started/ID/   request.json  what was asked for, by whom, and the process
 *                         result.json   what `sluice run --json` printed
 *                         log           what it said
 *
 * The process belongs to nobody here: it outlives the command or role that started it. Whether it still runs is asked of the
 * system, by process id and start time. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "flow/flow.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/pins.h"
#include "op/up_state.h"
#include "op/words.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/sys.h"

enum { STARTED_KEPT = 100, ARGV_MAX = 256, LOG_TAIL_BYTES = 4000 };

static int started_dir(struct sl_call *call, const char *id, char out[SL_PATH_MAX], struct sl_error *err)
{
	char project[SL_PATH_MAX], dir[SL_PATH_MAX];
	int rc = sl_call_project_dir(call, project, err);
	if (!rc)
		rc = sl_path_join(dir, project, ".sluice/started", err);
	if (!rc)
		rc = sl_path_join(out, dir, id, err);
	return rc;
}

/* ---- may it start? ---- */

/* Everything that the command line would refuse, and no more: plans and writes nothing. */
static int try_plan(struct sl_call *call, struct sl_store *store, struct sl_error *err)
{
	struct sl_run_words words;
	struct sl_project *project;
	struct sl_flow_report report = {0};
	int rc = sl_run_words(call, &words, err);
	if (!rc)
		rc = sl_pins_project(call, store, words.overrides, words.override_count, false, &project, err);
	if (rc)
		return rc;
	struct sl_flow_options options = {.names = words.names, .name_count = words.name_count,
		.force = sl_call_flag(call, "force"), .preview = true};
	rc = sl_flow_run(store, project, &options, &report, err);
	sl_flow_report_done(&report);
	return rc;
}

/* SL_E_CONFLICT with the holder's name while another run goes on. */
static int try_lock(struct sl_store *store, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_path_join(path, store->dir, "run.lock", err);
	if (!rc)
		rc = sl_file_lock(path, "sluice start", false, &fd, err);
	if (rc != SL_E_BUSY)
		return rc;
	sl_fail(err, SL_E_CONFLICT, "another run goes on: %s", err->message);
	return sl_error_hint(err, "\"wait\": true waits for it");
}

/* ---- starting ---- */

static size_t make_argv(struct sl_call *call, const char *project_dir, const char *argv[ARGV_MAX], struct sl_error *err)
{
	static const char *const flags[] = {"force", "keep-going", "pin", "unpin", "wait"};
	static const char *const options[] = {"--force", "--keep-going", "--pin", "--unpin", "--wait"};
	size_t n = 0, count;
	const char *const *words = sl_call_list(call, "what", &count);
	const char *const head[] = {"sluice", "run", "--json", "-C", project_dir};
	for (size_t i = 0; i < SL_ARRAY_LEN(head); i++)
		argv[n++] = head[i];
	for (size_t i = 0; i < SL_ARRAY_LEN(flags); i++)
		if (sl_call_flag(call, flags[i]))
			argv[n++] = options[i];
	argv[n++] = "--";
	if (count >= ARGV_MAX - n) {
		sl_fail(err, SL_E_TOO_LARGE, "at most %zu names and parameters", ARGV_MAX - n - 1);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	return n;
}

/* What the new process is to have open and to be; made before the fork, since between fork and exec nothing may be allocated. */
struct child {
	const char *const *argv;
	const char **environment;
	int null, out, log;
};

/* Ours, with the ledger's actor. */
static int make_environment(struct sl_call *call, const char *actor, const char ***ret, struct sl_error *err)
{
	size_t count = 0, n = 0;
	while (environ[count])
		count++;
	const char **environment = sl_arena_array(call->arena, count + 2, sizeof *environment);
	const char *entry = sl_arena_printf(call->arena, "SLUICE_ACTOR=%s", actor);
	if (!environment || !entry)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		if (!sl_str_starts(environ[i], "SLUICE_ACTOR="))
			environment[n++] = environ[i];
	environment[n++] = entry;
	environment[n] = NULL;
	*ret = environment;
	return 0;
}

static _Noreturn void become_run(const struct child *c)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(c->null, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->log, 2) < 0)
		_exit(3);
	close_range(3, ~0U, 0);
	execve("/proc/self/exe", (char *const *)(uintptr_t)c->argv, (char *const *)(uintptr_t)c->environment);
	_exit(3);
}

/* Twice, so that the run is nobody's child and leaves nothing to reap; its process id comes through a pipe. */
static int spawn(const struct child *c, pid_t *ret, struct sl_error *err)
{
	int fds[2], status;
	if (pipe2(fds, O_CLOEXEC))
		return sl_fail_errno(err, errno, "pipe", "cannot make");
	pid_t between = fork();
	if (between == 0) {
		setsid();
		pid_t pid = fork();
		if (pid == 0)
			become_run(c);
		_exit(pid < 0 || write(fds[1], &pid, sizeof pid) != sizeof pid);
	}
	close(fds[1]);
	ssize_t n = between < 0 ? -1 : read(fds[0], ret, sizeof *ret);
	close(fds[0]);
	while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof *ret ? 0 : sl_fail(err, SL_E_IO, "cannot start the run");
}

static int write_request(struct sl_call *call, const char *dir, pid_t pid, const char *actor, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	size_t count;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(16 << 20);
	const char *const *words = sl_call_list(call, "what", &count);
	yyjson_mut_val *request = yyjson_mut_obj(call->doc);
	sl_put_int(call, request, "pid", pid);
	sl_put_int(call, request, "start_ticks", sl_process_start_ticks(pid));
	sl_put_text(call, request, "actor", actor);
	sl_put_time(call, request, "started", sl_now_ms());
	yyjson_mut_val *what = sl_put_array(call, request, "what");
	for (size_t i = 0; i < count; i++)
		yyjson_mut_arr_append(what, sl_call_json_text(call, words[i]));
	int rc = sl_json_write(request, false, &text, err);
	if (!rc)
		rc = sl_path_join(path, dir, "request.json", err);
	return rc ? rc : sl_file_replace(path, text.data, text.len, 0600, err);
}

static int open_outputs(const char *dir, struct child *c, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
	int rc = sl_path_join(path, dir, "result.json", err);
	if (!rc)
		rc = sl_file_open(path, flags, 0600, &c->out, err);
	if (!rc)
		rc = sl_path_join(path, dir, "log", err);
	if (!rc)
		rc = sl_file_open(path, flags, 0600, &c->log, err);
	return rc ? rc : sl_file_open("/dev/null", O_RDONLY | O_CLOEXEC, 0, &c->null, err);
}

/* The oldest one's name; ids sort by time. */
struct oldest {
	char name[64];
	size_t count;
};

static int visit_started(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct oldest *oldest = context;
	(void)err;
	if (!info->is_dir || strlen(name) >= sizeof oldest->name)
		return 0;
	if (!oldest->count++ || strcmp(name, oldest->name) < 0)
		snprintf(oldest->name, sizeof oldest->name, "%s", name);
	return 0;
}

/* Keeps the folder finite: with each new one the oldest goes. */
static void forget_oldest(struct sl_call *call)
{
	char dir[SL_PATH_MAX], path[SL_PATH_MAX];
	struct oldest oldest = {0};
	if (started_dir(call, "", dir, NULL) || sl_dir_each(dir, visit_started, &oldest, NULL) || oldest.count <= STARTED_KEPT)
		return;
	if (!sl_path_join(path, dir, oldest.name, NULL))
		sl_dir_remove(path, NULL);
}

static int start(struct sl_call *call, struct sl_store *store, const char *id, struct sl_error *err)
{
	const char *argv[ARGV_MAX], *actor = sl_ledger_actor(store->ledger);
	char dir[SL_PATH_MAX], project[SL_PATH_MAX];
	struct child child = {.argv = argv, .null = -1, .out = -1, .log = -1};
	pid_t pid = 0;
	int rc = sl_call_project_dir(call, project, err);
	if (!rc && !make_argv(call, project, argv, err))
		rc = err->code;
	if (!rc)
		rc = started_dir(call, id, dir, err);
	if (!rc)
		rc = sl_dir_make(dir, err);
	if (!rc)
		rc = make_environment(call, actor, &child.environment, err);
	if (!rc)
		rc = open_outputs(dir, &child, err);
	if (!rc)
		rc = spawn(&child, &pid, err);
	sl_file_close(&child.null);
	sl_file_close(&child.out);
	sl_file_close(&child.log);
	return rc ? rc : write_request(call, dir, pid, actor, err);
}

int sl_op_start(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_id id;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = try_plan(call, store, err);
	if (!rc && !sl_call_flag(call, "wait"))
		rc = try_lock(store, err);
	if (!rc)
		rc = sl_id_new(&id, err);
	if (!rc)
		rc = start(call, store, id.text, err);
	if (rc)
		return rc;
	forget_oldest(call);
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "id", id.text);
	sl_put_text(call, result, "state", "running");
	call->location = sl_arena_printf(call->arena, "/api/v1/runs/%s", id.text);
	return call->location ? 0 : sl_fail_memory(err);
}

/* ---- looking and cancelling ---- */

/* Its folder and request. */
static int find_started(struct sl_call *call, char dir[SL_PATH_MAX], yyjson_doc **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_id id;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(16 << 20);
	const char *given = sl_call_text(call, "id");
	if (!sl_id_parse(given, &id))
		return sl_fail(err, SL_E_INVALID, "'%.60s' is no id that `start` gave", given);
	int rc = started_dir(call, id.text, dir, err);
	if (!rc)
		rc = sl_path_join(path, dir, "request.json", err);
	if (!rc && !sl_file_exists(path))
		return sl_fail(err, SL_E_NOT_FOUND, "nothing was started as %s, or it is long ago", id.text);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	*ret = sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	return *ret ? 0 : err->code;
}

static bool still_runs(yyjson_val *request)
{
	int64_t ticks = sl_json_int(request, "start_ticks", 0);
	return ticks && sl_process_start_ticks((int)sl_json_int(request, "pid", 0)) == ticks;
}

static void put_result(struct sl_call *call, const char *dir, yyjson_mut_val *result)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	yyjson_doc *doc SL_AUTO_JSON = NULL;
	if (!sl_path_join(path, dir, "result.json", NULL) && !sl_file_read(path, &text, NULL))
		doc = sl_json_parse(sl_buf_cstr(&text), text.len, path, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	sl_put_text(call, result, "state", !root ? "killed" : yyjson_obj_get(root, "error") ? "failed" : "done");
	if (root)
		yyjson_mut_obj_add_val(call->doc, result, "result", yyjson_val_mut_copy(call->doc, root));
}

int sl_op_started(struct sl_call *call, struct sl_error *err)
{
	char dir[SL_PATH_MAX], path[SL_PATH_MAX];
	yyjson_doc *doc SL_AUTO_JSON = NULL;
	struct sl_buf log SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	int rc = find_started(call, dir, &doc, err);
	if (rc)
		return rc;
	yyjson_val *request = yyjson_doc_get_root(doc);
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "id", sl_call_text(call, "id"));
	sl_put_text(call, result, "actor", sl_json_str(request, "actor", ""));
	sl_put_text(call, result, "started", sl_json_str(request, "started", ""));
	if (still_runs(request))
		sl_put_text(call, result, "state", "running");
	else
		put_result(call, dir, result);
	if (!sl_path_join(path, dir, "log", NULL) && !sl_file_read(path, &log, NULL))
		sl_put_text(call, result, "log", sl_buf_cstr(&log) + (log.len > LOG_TAIL_BYTES ? log.len - LOG_TAIL_BYTES : 0));
	return 0;
}

int sl_op_cancel(struct sl_call *call, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	yyjson_doc *doc SL_AUTO_JSON = NULL;
	int rc = find_started(call, dir, &doc, err);
	if (rc)
		return rc;
	yyjson_val *request = yyjson_doc_get_root(doc);
	bool running = still_runs(request);
	if (running && kill((pid_t)sl_json_int(request, "pid", 0), SIGTERM) && errno != ESRCH)
		return sl_fail_errno(err, errno, sl_call_text(call, "id"), "cannot cancel");
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "id", sl_call_text(call, "id"));
	sl_put_text(call, result, "state", running ? "cancelling" : "had ended");
	return 0;
}

/* The worker: closes monitor windows, fires triggers, starts `sluice run` for them. A plain poll loop: nothing here serves
 * requests, and it sleeps most of its life.
 *
 *   streams --sl_watcher_tick--> events --sl_trigger_decide--> firings --fork, exec--> sluice run NAMES param=value --pin
 *
 * A run has a session of its own, so that it outlives this process; when this process was killed meanwhile, the firing is started
 * again, which repeats nothing, because a run does only what is missing and waits for the one before it.
 */
#include "app/role.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/signals.h"
#include "base/log.h"
#include "base/str.h"
#include "os/clock.h"
#include "flow/flow.h"
#include "serve/writer.h"
#include "track/store.h"
#include "watch/experiment.h"
#include "watch/trigger.h"
#include "watch/watcher.h"

enum { CARE_EVERY_MS = 1000 }; /* for prediction logs: what power loss may take is at most about this much */
enum { RESUMED = -1 }; /* in the place of a firing: a run that was killed goes on */
enum { TICK_MS = 500, FIRINGS_MAX = 16, RUN_ARGS_MAX = 256, TAIL_BYTES = 600, ARENA_BYTES = 16 << 20 };

struct child {
	pid_t pid;           /* 0: free */
	int64_t firing;
	char trigger[SL_NAME_MAX + 1];
	char log[SL_PATH_MAX];
};

struct worker {
	struct sl_role *role;
	struct sl_store *store;
	struct sl_watcher *watch;
	struct sl_experiments *experiments;
	struct sl_arena *arena; /* of one round */
	struct child children[FIRINGS_MAX];
	int signal_fd;
	bool stopping;
	int64_t cared_ns; /* when the prediction logs were last looked after */
	char last_error[256];
};

/* The same trouble twice in a row is said once. */
static void complain(struct worker *w, const char *what, const struct sl_error *err)
{
	char text[sizeof w->last_error];
	snprintf(text, sizeof text, "%s: %.200s", what, err->message);
	if (sl_str_eq(text, w->last_error))
		return;
	snprintf(w->last_error, sizeof w->last_error, "%s", text);
	sl_log(SL_LOG_ERROR, "%s", text);
}

static bool is_active(void *context, const char *name)
{
	struct worker *w = context;
	for (size_t i = 0; i < FIRINGS_MAX; i++)
		if (w->children[i].pid && sl_str_eq(w->children[i].trigger, name))
			return true;
	return false;
}

static size_t free_children(const struct worker *w)
{
	size_t count = 0;
	for (size_t i = 0; i < FIRINGS_MAX; i++)
		count += !w->children[i].pid;
	return count;
}

/* In the child. Everything is made before, because nothing may be allocated between fork and exec. */
static _Noreturn void become_run(const char *const *argv, int log_fd, const char *actor)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(3);
	close_range(3, ~0U, 0);
	setenv("SLUICE_ACTOR", actor, 1);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(3);
}

static size_t run_arguments(const struct worker *w, const struct sl_firing *firing, const char **argv)
{
	size_t n = 0;
	const char *const head[] = {"sluice", "run", "-C", w->role->project->dir, "--pin", "--wait"};
	for (size_t i = 0; i < SL_ARRAY_LEN(head); i++)
		argv[n++] = head[i];
	for (size_t i = 0; i < firing->trigger->run.count && n < RUN_ARGS_MAX - 1; i++)
		argv[n++] = firing->trigger->run.items[i];
	for (size_t i = 0; i < firing->override_count && n < RUN_ARGS_MAX - 1; i++)
		argv[n++] = firing->overrides[i];
	argv[n] = NULL;
	return n;
}

/* child->log is filled. */
static int spawn(struct child *child, const char *const *argv, const char *actor, struct sl_error *err)
{
	int log_fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(child->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &log_fd, err);
	if (rc)
		return rc;
	pid_t pid = fork();
	if (pid == 0)
		become_run(argv, log_fd, actor);
	if (pid < 0)
		return sl_fail_errno(err, errno, "sluice run", "cannot start");
	child->pid = pid;
	return 0;
}

static int start_run(struct worker *w, struct child *child, const struct sl_firing *firing, struct sl_error *err)
{
	const char *argv[RUN_ARGS_MAX];
	char actor[SL_NAME_MAX + 16];
	snprintf(child->log, sizeof child->log, "%.3900s/log/firing-%lld.log", w->role->store_dir, (long long)firing->seq);
	snprintf(child->trigger, sizeof child->trigger, "%s", firing->trigger->name);
	snprintf(actor, sizeof actor, "trigger:%s", firing->trigger->name);
	child->firing = firing->seq;
	run_arguments(w, firing, argv);
	int rc = spawn(child, argv, actor, err);
	if (rc)
		return rc;
	sl_log(SL_LOG_INFO, "trigger %s fired: run %s (pid %d)", firing->trigger->name, argv[6] ? argv[6] : "", (int)child->pid);
	return 0;
}

static void start_firings(struct worker *w, const struct sl_firing *firings, size_t count)
{
	for (size_t i = 0, slot = 0; i < count; i++) {
		struct sl_error err = {0};
		while (slot < FIRINGS_MAX && w->children[slot].pid)
			slot++;
		if (slot == FIRINGS_MAX)
			return;
		if (start_run(w, &w->children[slot], &firings[i], &err)) {
			complain(w, "cannot start a run", &err);
			sl_trigger_end(w->store, firings[i].seq, "failed", err.message, &err);
		}
	}
}

/* The last line of the run's output, which says how it went. */
static void last_line(const char *path, char out[TAIL_BYTES])
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	out[0] = 0;
	if (sl_file_read(path, &text, NULL) || !text.len)
		return;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = 0;
	const char *line = strrchr(sl_buf_cstr(&text), '\n');
	snprintf(out, TAIL_BYTES, "%.500s", line ? line + 1 : sl_buf_cstr(&text));
}

static void run_ended(struct worker *w, struct child *child, int status)
{
	char reason[TAIL_BYTES];
	struct sl_error err = {0};
	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	last_line(child->log, reason);
	if (WIFSIGNALED(status))
		snprintf(reason, sizeof reason, "killed by signal %d", WTERMSIG(status));
	if (child->firing != RESUMED && sl_trigger_end(w->store, child->firing, ok ? "done" : "failed", reason, &err))
		complain(w, "cannot record the end of a run", &err);
	sl_log(SL_LOG_INFO, "%s%s: %s: %s", child->firing == RESUMED ? "" : "trigger ", child->trigger, ok ? "done" : "failed", reason);
	child->pid = 0;
}

static void reap(struct worker *w)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < FIRINGS_MAX; i++)
			if (w->children[i].pid == pid)
				run_ended(w, &w->children[i], status);
}

/* Syncs, seals and retires what the infer role has written, so that it never waits for the disk itself. */
static void care_for_logs(struct worker *w)
{
	struct sl_error err = {0};
	int64_t now_ns = sl_monotonic_ns();
	if (now_ns - w->cared_ns < (int64_t)CARE_EVERY_MS * 1000000)
		return;
	w->cared_ns = now_ns;
	int rc = sl_predlog_maintain(w->store, w->role->project, &err);
	if (rc && rc != SL_E_BUSY)
		complain(w, "cannot look after the prediction logs", &err);
}

/* One round. true: there is more to read at once. */
static bool round_once(struct worker *w)
{
	struct sl_firing firings[FIRINGS_MAX];
	struct sl_error err = {0};
	size_t count = 0;
	bool more = sl_watcher_tick(w->watch) == 1;
	sl_experiments_tick(w->experiments, sl_now_ms());
	sl_arena_reset(w->arena);
	if (sl_trigger_decide(
		    w->store, w->role->project, sl_now_ms(), is_active, w, w->arena, firings, free_children(w), &count, &err))
		complain(w, "cannot decide about triggers", &err);
	start_firings(w, firings, count);
	care_for_logs(w);
	if (sl_ledger_publish(w->store->ledger, &err))
		complain(w, "cannot publish the ledger", &err);
	return more;
}

static void wait_for_news(struct worker *w, bool at_once)
{
	struct pollfd fd = {.fd = w->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;
	if (poll(&fd, 1, at_once ? 0 : TICK_MS) < 1)
		return;
	while (read(w->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		w->stopping |= info.ssi_signo != SIGCHLD;
	reap(w);
}

static int resume(struct worker *w, struct sl_error *err)
{
	struct sl_firing firings[FIRINGS_MAX];
	size_t count = 0;
	int rc = sl_trigger_resume(w->store, w->role->project, w->arena, firings, FIRINGS_MAX, &count, err);
	if (!rc)
		start_firings(w, firings, count);
	return rc;
}

/* Steps of a run that was killed, with nobody who waits for them: a run takes them over and goes on with what was to be done. A run that lives holds the lock. */
static int resume_run(struct worker *w, struct sl_error *err)
{
	const char *const argv[] = {"sluice", "run", "-C", w->role->project->dir, "--resume", "--wait", NULL};
	struct child *child = w->children;
	const char *words;
	char path[SL_PATH_MAX];
	int64_t steps = 0;
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_flow_interrupted(w->store, w->arena, &words, &steps, err);
	if (rc != 1 || !steps)
		return rc < 0 ? rc : 0;
	rc = sl_path_join(path, w->store->dir, "run.lock", err);
	rc = rc ? rc : sl_file_lock(path, "worker", false, &fd, err);
	if (rc)
		return rc == SL_E_BUSY ? 0 : rc;
	sl_file_close(&fd);
	while (child->pid)
		child++;
	child->firing = RESUMED;
	snprintf(child->trigger, sizeof child->trigger, "the run that was killed");
	snprintf(child->log, sizeof child->log, "%.3900s/log/resumed.log", w->role->store_dir);
	rc = spawn(child, argv, "worker", err);
	if (!rc)
		sl_log(SL_LOG_INFO, "a run was killed and left %lld steps: goes on (pid %d)", (long long)steps, (int)child->pid);
	return rc;
}

int sl_role_worker(struct sl_role *role, struct sl_error *err)
{
	struct worker w = {.role = role, .signal_fd = -1};
	int rc = sl_signals_open(&w.signal_fd, err);
	w.arena = rc ? NULL : sl_arena_new(ARENA_BYTES, err);
	if (!rc && !w.arena)
		rc = SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_store_open(role->project->dir, &w.store, err);
	if (!rc)
		sl_ledger_set_actor(w.store->ledger, "worker");
	if (!rc)
		rc = sl_watcher_open(w.store, role->project, &w.watch, err);
	if (!rc)
		rc = sl_experiments_open(w.store, role->project, &w.experiments, err);
	if (!rc)
		rc = resume(&w, err);
	if (!rc && free_children(&w))
		rc = resume_run(&w, err);
	if (!rc)
		sl_role_ready();
	for (bool more = false; !rc && !w.stopping;) {
		wait_for_news(&w, more);
		more = !w.stopping && round_once(&w);
	}
	if (w.watch)
		sl_watcher_close(w.watch);
	sl_experiments_close(w.experiments);
	sl_store_close(w.store);
	sl_arena_free(w.arena);
	sl_file_close(&w.signal_fd);
	return rc;
}

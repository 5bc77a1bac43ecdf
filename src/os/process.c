#include "os/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/detach.h"
#include "os/file.h"
#include "os/limits.h"
#include "os/process_internal.h"
#include "os/process_tree.h"
#include "os/sys.h"

/* Every set of this process: a child of one must not count as a left-over of another's. The lock also guards `first`, `exited` and `pid` of each, and the
 * children of no set. */
static struct sl_processes *all_sets;
static pid_t detached[SL_DETACHED_MAX]; /* 0: free */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

static void join_sets(struct sl_processes *set)
{
	pthread_mutex_lock(&all_lock);
	set->next = all_sets;
	all_sets = set;
	pthread_mutex_unlock(&all_lock);
}

static void leave_sets(struct sl_processes *set)
{
	pthread_mutex_lock(&all_lock);
	for (struct sl_processes **at = &all_sets; *at; at = &(*at)->next)
		if (*at == set) {
			*at = set->next;
			break;
		}
	pthread_mutex_unlock(&all_lock);
}

static void mark_exited(struct sl_process *p)
{
	pthread_mutex_lock(&all_lock);
	p->exited = true;
	pthread_mutex_unlock(&all_lock);
	p->set->running--;
}

/* Ends what belongs to no running child of any set. Nobody starts a child meanwhile, so none is taken for a left-over. */
static unsigned kill_orphans(void)
{
	struct sl_tree_child running[1024];
	size_t count = 0;
	pthread_mutex_lock(&all_lock);
	for (size_t i = 0; i < SL_DETACHED_MAX; i++)
		if (detached[i])
			running[count++] = (struct sl_tree_child){detached[i], ""};
	for (const struct sl_processes *set = all_sets; set; set = set->next)
		for (const struct sl_process *p = set->first; p && count < SL_ARRAY_LEN(running); p = p->next)
			if (!p->exited && p->pid)
				running[count++] = (struct sl_tree_child){p->pid, p->tag};
	unsigned killed = sl_tree_kill_orphans(running, count);
	pthread_mutex_unlock(&all_lock);
	return killed;
}

int sl_processes_new(struct sl_processes **ret, struct sl_error *err)
{
	struct sl_processes *set = sl_alloc(sizeof *set, err);
	if (!set)
		return SL_E_NO_MEMORY;
	set->null_fd = set->watch_fd = -1;
	join_sets(set);
	set->piece = sl_alloc(READ_BYTES, err);
	int rc = set->piece ? sl_file_open("/dev/null", O_RDONLY, 0, &set->null_fd, err) : SL_E_NO_MEMORY;
	if (rc) {
		sl_processes_free(set);
		return rc;
	}
	sl_tree_adopt();
	*ret = set;
	return 0;
}

void sl_processes_free(struct sl_processes *set)
{
	if (!set)
		return;
	while (set->first) {
		struct sl_process *p = set->first;
		if (!p->exited) {
			sl_tree_kill(p->pid);
			waitid(P_PID, (id_t)p->pid, &(siginfo_t){0}, WEXITED);
			mark_exited(p);
		}
		sl_process_free(p);
	}
	leave_sets(set);
	kill_orphans();
	sl_file_close(&set->null_fd);
	sl_free(set->piece);
	sl_free(set->groups);
	sl_free(set);
}

int sl_process_detach(const char *const *argv, int in, int *ret_pid, struct sl_error *err)
{
	int rc = SL_E_TOO_LARGE;
	pthread_mutex_lock(&all_lock);
	for (size_t i = 0; i < SL_DETACHED_MAX && rc == SL_E_TOO_LARGE; i++)
		if (!detached[i]) {
			rc = sl_detach(argv, in, &detached[i], err);
			*ret_pid = detached[i] = rc ? 0 : detached[i];
		}
	pthread_mutex_unlock(&all_lock);
	return rc == SL_E_TOO_LARGE ? sl_fail(err, rc, "more than %d detached processes", SL_DETACHED_MAX) : rc;
}

void sl_process_detached_join(int pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&all_lock);
	for (size_t i = 0; i < SL_DETACHED_MAX; i++)
		if (detached[i] == pid)
			detached[i] = 0;
	pthread_mutex_unlock(&all_lock);
}

void sl_processes_freep(struct sl_processes **set) { sl_processes_free(*set); }
size_t sl_processes_running(const struct sl_processes *set) { return set->running; }
void sl_processes_watch(struct sl_processes *set, int fd) { set->watch_fd = fd; }

void sl_process_free(struct sl_process *process)
{
	if (!process)
		return;
	assert(process->exited);
	pthread_mutex_lock(&all_lock);
	for (struct sl_process **at = &process->set->first; *at; at = &(*at)->next)
		if (*at == process) {
			*at = process->next;
			break;
		}
	pthread_mutex_unlock(&all_lock);
	for (int i = 0; i < PIPE_COUNT; i++) {
		sl_file_close(&process->inputs[i].fd);
		sl_buf_done(&process->inputs[i].line);
	}
	sl_sandbox_watch_free(process->watch, process->end.refused); /* of one that did not start */
	sl_cgroup_remove(&process->group);
	sl_file_close(&process->log_fd);
	sl_free(process->log_path);
	sl_file_close(&process->pidfd);
	sl_buf_done(&process->log);
	sl_free(process);
}

/* ---- start ----------------------------------------------------------------------------------------------------------------- */

struct launch {
	const struct sl_process_options *options;
	char **env;
	char program[SL_PATH_MAX];
	int in, out[PIPE_COUNT]; /* the child's ends */
	const struct sl_cgroup *group; /* NULL: none */
	int tell_fd;             /* of its sandbox's watch; -1 */
	pid_t parent;
	int error;               /* errno of the child's failure, written by it: the memory is shared until exec */
	const char *failed;      /* what failed */
};

/* Runs in the child on the parent's memory (vfork): system calls only, nothing may allocate or return. */
static void child(struct launch *l)
{
	sigset_t none;
	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l->failed = "the working folder";
	bool ok = getppid() == l->parent && chdir(l->options->dir) == 0;
	if (ok) {
		l->failed = "its pipes";
		/* Each is above 3 (see high_pipe), so no dup2 overwrites one that is still needed. */
		ok = dup2(l->in, 0) >= 0 && dup2(l->out[PIPE_OUT], 1) >= 0 && dup2(l->out[PIPE_ERR], 2) >= 0 && dup2(l->out[PIPE_EVENTS], EVENTS_FD) >= 0;
	}
	if (ok) {
		l->failed = "its limits";
		ok = (!l->group || sl_cgroup_enter(l->group)) && sl_limits_enter(&l->options->limits);
	}
	if (ok && l->options->sandbox) {
		l->failed = "its sandbox";
		ok = sl_sandbox_enter(l->options->sandbox, l->tell_fd);
	}
	if (ok) {
		l->failed = l->options->argv[0];
		syscall(SYS_close_range, EVENTS_FD + 1, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
		sigprocmask(SIG_SETMASK, &none, NULL);
		union { const char *const *in; char *const *out; } argv = {.in = l->options->argv}; /* execve's prototype lacks a const */
		execve(l->program, argv.out, l->env);
	}
	l->error = errno ? errno : ECHILD;
	_exit(127);
}

static int spawn(struct launch *l, pid_t *ret, struct sl_error *err)
{
	sigset_t all, old;
	sigfillset(&all);
	l->parent = getpid();
	/* No handler of ours may run in the child while it borrows our memory. */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pthread_mutex_lock(&all_lock);
	pid_t pid = vfork();
	if (pid == 0)
		child(l);
	int error = errno;
	if (pid > 0 && l->error)
		waitpid(pid, NULL, 0);
	else if (pid > 0)
		*ret = pid;
	pthread_mutex_unlock(&all_lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return sl_fail_errno(err, error, l->options->argv[0], "cannot start a process");
	if (l->error)
		return sl_fail(err, SL_E_FAILED, "cannot start '%s': %s: %s", l->options->argv[0], l->failed, strerror(l->error));
	return 0;
}

static const char *environment_value(const char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

static int find_program(struct launch *l, struct sl_error *err)
{
	const char *name = l->options->argv[0], *path = environment_value(l->options->env, "PATH");
	if (strchr(name, '/')) {
		snprintf(l->program, sizeof l->program, "%s", name);
		return strlen(name) < sizeof l->program ? 0 : sl_fail(err, SL_E_TOO_LARGE, "the path of the program is too long");
	}
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");
		int n = snprintf(l->program, sizeof l->program, "%.*s/%s", (int)len, path, name);
		if (len && n > 0 && n < (int)sizeof l->program && access(l->program, X_OK) == 0)
			return 0;
		path += len + (path[len] == ':');
	}
	sl_fail(err, SL_E_FAILED, "there is no program '%s'", name);
	return sl_error_hint(err, "install it, or give its path; searched in PATH");
}

static int make_environment(struct launch *l, struct sl_error *err)
{
	size_t n = 0;
	while (l->options->env[n])
		n++;
	l->env = sl_alloc_array(n + 2, sizeof *l->env, err);
	char *tag = sl_alloc(sizeof SL_PROCESS_TAG + 1 + strlen(l->options->tag) + 1, err);
	if (!l->env || !tag) {
		sl_free(tag);
		return SL_E_NO_MEMORY;
	}
	memcpy(l->env + 1, l->options->env, n * sizeof *l->env);
	sprintf(tag, "%s=%s", SL_PROCESS_TAG, l->options->tag);
	l->env[0] = tag; /* first, so that it wins over one that was inherited */
	return 0;
}

/* Both ends above descriptor 3, closed on exec; ours does not block. */
static int high_pipe(int *ret_ours, int *ret_childs, struct sl_error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return sl_fail_errno(err, errno, "pipe", "cannot make a pipe");
	for (int i = 0; i < 2; i++) {
		int high = fds[i] > EVENTS_FD ? fds[i] : fcntl(fds[i], F_DUPFD_CLOEXEC, EVENTS_FD + 1);
		if (high != fds[i])
			close(fds[i]);
		fds[i] = high;
	}
	*ret_ours = fds[0];
	*ret_childs = fds[1];
	if (fds[0] < 0 || fds[1] < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return sl_fail_errno(err, errno, "pipe", "cannot make a pipe");
	return 0;
}

/* A group for what may not take more memory than it was given; without one that is looked at. */
static void make_group(struct sl_processes *set, struct sl_process *p, struct launch *l)
{
	char where[SL_PATH_MAX] = "";
	if (!p->memory_bytes)
		return;
	if (!set->groups)
		set->groups = sl_strdup(sl_cgroup_find("/proc/self", where) ? where : "", NULL);
	if (set->groups && *set->groups && sl_cgroup_make(set->groups, p->tag, p->memory_bytes, &p->group))
		l->group = &p->group;
}

static int prepare(struct sl_processes *set, struct sl_process *p, struct launch *l, struct sl_error *err)
{
	l->in = set->null_fd > EVENTS_FD ? set->null_fd : fcntl(set->null_fd, F_DUPFD_CLOEXEC, EVENTS_FD + 1);
	if (l->in != set->null_fd) {
		sl_file_close(&set->null_fd);
		set->null_fd = l->in;
	}
	int rc = find_program(l, err);
	rc = rc ? rc : make_environment(l, err);
	if (!rc)
		make_group(set, p, l);
	for (int i = 0; !rc && i < PIPE_COUNT; i++)
		rc = high_pipe(&p->inputs[i].fd, &l->out[i], err);
	if (!rc && l->options->log_path) {
		p->has_log = true;
		p->log_path = sl_strdup(l->options->log_path, err);
		rc = p->log_path ? 0 : SL_E_NO_MEMORY;
	}
	if (!rc && l->options->sandbox && l->options->sandbox->watch) {
		rc = sl_sandbox_watch_new(l->options->sandbox, &p->watch, err);
		l->tell_fd = rc ? -1 : sl_sandbox_watch_tell_fd(p->watch);
	}
	return rc;
}

static struct sl_process *new_process(struct sl_processes *set, const struct sl_process_options *o, struct sl_error *err)
{
	struct sl_process *p = sl_alloc(sizeof *p, err);
	if (!p)
		return NULL;
	*p = (struct sl_process){.set = set, .pidfd = -1, .log_fd = -1, .log_left = o->log_max_bytes ? o->log_max_bytes : SL_PROCESS_LOG_MAX,
				 .timeout_ms = o->timeout_ms, .memory_bytes = o->memory_bytes, .group = {.procs_fd = -1},
				 .grace_ms = o->grace_ms ? o->grace_ms : SL_PROCESS_GRACE_MS, .on_line = o->on_line,
				 .on_event = o->on_event, .limits = o->limits, .context = o->context};
	snprintf(p->tag, sizeof p->tag, "%s", o->tag);
	sl_buf_init(&p->log, READ_BYTES * 4);
	for (int i = 0; i < PIPE_COUNT; i++) {
		p->inputs[i].fd = -1;
		sl_buf_init(&p->inputs[i].line, i == PIPE_EVENTS ? SL_PROCESS_EVENT_MAX : SL_PROCESS_LINE_MAX);
	}
	pthread_mutex_lock(&all_lock);
	p->next = set->first;
	set->first = p;
	pthread_mutex_unlock(&all_lock);
	return p;
}

int sl_process_start(struct sl_processes *set, const struct sl_process_options *options, struct sl_process **ret, struct sl_error *err)
{
	assert(options->argv[0] && options->tag[0] && strlen(options->tag) <= 100);
	struct launch l = {.options = options, .out = {-1, -1, -1}, .tell_fd = -1};
	struct sl_process *p = new_process(set, options, err);
	if (!p)
		return SL_E_NO_MEMORY;
	int rc = prepare(set, p, &l, err);
	rc = rc ? rc : spawn(&l, &p->pid, err);
	if (p->watch)
		sl_sandbox_watch_started(p->watch);
	for (int i = 0; i < PIPE_COUNT; i++)
		sl_file_close(&l.out[i]);
	if (l.env)
		sl_free(l.env[0]);
	sl_free(l.env);
	if (rc) {
		p->exited = true;
		sl_process_free(p);
		return rc;
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	p->started_ns = sl_monotonic_ns();
	p->deadline_ns = p->timeout_ms ? p->started_ns + p->timeout_ms * 1000000 : 0;
	set->running++;
	if (!set->oom_known) /* 0.1 ms, while the first child works */
		set->oom_kills = sl_process_oom_kills();
	set->oom_known = true;
	*ret = p;
	return 0;
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------- */

static void describe_memory(struct sl_process *p)
{
	struct sl_process_end *e = &p->end;
	bool of_child = e->out_of_memory == SL_MEMORY_OF_CHILD, by_kernel = !of_child || *p->group.dir;
	double limit = of_child ? (double)p->memory_bytes : (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
	snprintf(e->cause, sizeof e->cause, "%sout of memory at %.3g of %.3g GB%s", by_kernel ? "killed by the kernel: " : "", (double)e->peak_bytes / 1e9,
		 limit / 1e9, of_child ? ", its limit" : "");
}

static void describe(struct sl_process *p)
{
	struct sl_process_end *e = &p->end;
	char time[SL_TIME_TEXT];
	int64_t used = e->user_ms + e->system_ms;
	/* A shell tells of a killed child by its status. */
	bool killed = e->signal == SIGKILL || e->exit_status == 128 + SIGKILL;
	if (killed && *p->group.dir && sl_cgroup_oom_kills(&p->group))
		e->out_of_memory = SL_MEMORY_OF_CHILD;
	int64_t kills = killed && !e->timed_out && !e->stopped && !e->out_of_memory ? sl_process_oom_kills() : -1;
	if (kills > p->set->oom_kills) {
		e->out_of_memory = SL_MEMORY_OF_MACHINE;
		p->set->oom_kills = kills;
	}
	e->ok = e->exit_status == 0 && !e->timed_out && !e->stopped && !e->out_of_memory;
	if (e->out_of_memory)
		describe_memory(p);
	else if (e->timed_out)
		snprintf(e->cause, sizeof e->cause, "timed out after %s", sl_duration_format(p->timeout_ms, time));
	else if (e->stopped)
		snprintf(e->cause, sizeof e->cause, "cancelled");
	else if (e->signal == SIGXCPU || (e->signal == SIGKILL && p->limits.cpu_ms && used >= p->limits.cpu_ms))
		snprintf(e->cause, sizeof e->cause, "%s of processor time used, its limit", sl_duration_format(p->limits.cpu_ms ? p->limits.cpu_ms : used, time));
	else if (e->signal == SIGXFSZ)
		snprintf(e->cause, sizeof e->cause, "a file grew beyond %.3g GB, its limit", (double)p->limits.file_bytes / 1e9);
	else if (e->signal == SIGKILL)
		snprintf(e->cause, sizeof e->cause, "killed by SIGKILL%s", kills >= 0 ? " (somebody's: the kernel had memory)" :
			 " (somebody's, or the kernel's when memory ran out)");
	else if (e->signal)
		snprintf(e->cause, sizeof e->cause, "killed by SIG%s", sigabbrev_np(e->signal) ? sigabbrev_np(e->signal) : "NAL");
	else if (e->exit_status)
		snprintf(e->cause, sizeof e->cause, "exit status %d", e->exit_status);
}

/* Takes the exit, ends what was left behind, reads the rest of the output. */
static void finish(struct sl_process *p)
{
	struct rusage used = {0};
	int status = 0;
	if (wait4(p->pid, &status, 0, &used) == p->pid) {
		p->end.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		p->end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	}
	mark_exited(p);
	p->end.survivors = kill_orphans();
	sl_sandbox_watch_free(SL_TAKE(p->watch), p->end.refused);
	for (int i = 0; i < PIPE_COUNT; i++)
		while (sl_process_read(p, i))
			;
	p->end.user_ms = used.ru_utime.tv_sec * 1000 + used.ru_utime.tv_usec / 1000;
	p->end.system_ms = used.ru_stime.tv_sec * 1000 + used.ru_stime.tv_usec / 1000;
	if (p->end.peak_bytes < (uint64_t)used.ru_maxrss << 10)
		p->end.peak_bytes = (uint64_t)used.ru_maxrss << 10;
	uint64_t held = *p->group.dir ? sl_cgroup_peak(&p->group) : 0;
	p->end.peak_bytes = held > p->end.peak_bytes ? held : p->end.peak_bytes;
	describe(p);
	sl_cgroup_remove(&p->group);
}

void sl_process_stop(struct sl_process *process)
{
	if (process->exited || process->kill_ns)
		return;
	process->end.stopped = true;
	process->kill_ns = sl_monotonic_ns() + process->grace_ms * 1000000;
	kill(-process->pid, SIGTERM);
}

void sl_process_kill(struct sl_process *process)
{
	if (process->exited)
		return;
	process->end.stopped = true;
	process->kill_ns = sl_monotonic_ns();
	sl_tree_kill(process->pid);
}

/* The time of the next look. */
static int64_t look_at_memory(struct sl_process *p, int64_t now)
{
	if (now < p->memory_ns || p->end.out_of_memory)
		return p->memory_ns;
	uint64_t used = sl_tree_memory(p->pid, p->memory_bytes);
	p->end.peak_bytes = used > p->end.peak_bytes ? used : p->end.peak_bytes;
	p->memory_ns = now + SL_PROCESS_MEMORY_MS * INT64_C(1000000);
	if (used > p->memory_bytes) {
		p->end.out_of_memory = SL_MEMORY_OF_CHILD;
		p->kill_ns = now; /* without grace: it would go on growing */
	}
	return p->memory_ns;
}

/* Sends what is due by now; the time until the next thing is due, -1 when nothing is. */
static int act_on_time(struct sl_processes *set, int timeout_ms)
{
	int64_t now = sl_monotonic_ns(), next = timeout_ms < 0 ? INT64_MAX : now + timeout_ms * INT64_C(1000000);
	for (struct sl_process *p = set->first; p; p = p->next) {
		if (p->exited)
			continue;
		if (p->memory_bytes && !*p->group.dir) {
			int64_t look = look_at_memory(p, now);
			next = look < next ? look : next;
		}
		if (p->deadline_ns && now >= p->deadline_ns && !p->kill_ns) {
			p->end.timed_out = true;
			p->kill_ns = now + p->grace_ms * 1000000;
			kill(-p->pid, SIGTERM);
		}
		if (p->kill_ns && now >= p->kill_ns) {
			sl_tree_kill(p->pid);
			p->kill_ns = now + SL_PROCESS_GRACE_MS * INT64_C(1000000);
		}
		int64_t due = p->kill_ns ? p->kill_ns : p->deadline_ns;
		next = due && due < next ? due : next;
		if (p->pidfd < 0 && now + WITHOUT_PIDFD_MS * 1000000 < next)
			next = now + WITHOUT_PIDFD_MS * 1000000;
	}
	if (next == INT64_MAX)
		return -1;
	int64_t ms = (next - now + 999999) / 1000000;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static bool has_ended(const struct sl_process *p)
{
	siginfo_t info = {0};
	return !p->exited && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == p->pid;
}

/* One entry per open pipe and pidfd; `ret_who` beside it, kind PIPE_COUNT for a pidfd. */
struct watch { struct sl_process *process; int kind; };
static size_t fill_poll(struct sl_processes *set, struct pollfd *fds, struct watch *who)
{
	size_t n = 0;
	for (struct sl_process *p = set->first; p; p = p->next) {
		if (p->exited)
			continue;
		for (int i = 0; i <= PIPE_COUNT; i++) {
			int fd = i < PIPE_COUNT ? p->inputs[i].fd : p->pidfd;
			if (fd < 0)
				continue;
			fds[n] = (struct pollfd){.fd = fd, .events = POLLIN};
			who[n++] = (struct watch){p, i};
		}
	}
	if (set->watch_fd >= 0) {
		fds[n] = (struct pollfd){.fd = set->watch_fd, .events = POLLIN};
		who[n++] = (struct watch){NULL, PIPE_COUNT};
	}
	return n;
}

int sl_processes_wait(struct sl_processes *set, int timeout_ms, struct sl_process **ret, struct sl_process_end *end)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : sl_monotonic_ns() + timeout_ms * INT64_C(1000000);
	while (set->running) {
		size_t max = set->running * (PIPE_COUNT + 1) + 1;
		struct pollfd *fds = sl_alloc_array(max, sizeof *fds, NULL);
		struct watch *who = sl_alloc_array(max, sizeof *who, NULL);
		int64_t now = sl_monotonic_ns();
		int left = until == INT64_MAX ? -1 : until > now ? (int)((until - now + 999999) / 1000000) : 0;
		int ready = -1, error = EAGAIN;
		struct sl_process *ended = NULL;
		bool watched = false;
		if (fds && who) {
			size_t n = fill_poll(set, fds, who);
			ready = poll(fds, n, act_on_time(set, left));
			error = errno;
			for (size_t i = 0; ready > 0 && i < n; i++) {
				if (fds[i].revents && who[i].kind < PIPE_COUNT)
					sl_process_read(who[i].process, who[i].kind);
				watched |= fds[i].revents && !who[i].process;
			}
		}
		sl_free(fds);
		sl_free(who);
		for (struct sl_process *p = set->first; p && !ended; p = p->next)
			ended = has_ended(p) ? p : NULL;
		if (ended) {
			finish(ended);
			*ret = ended;
			*end = ended->end;
			return 1;
		}
		if (watched || (ready < 0 && error == EINTR))
			return 0;
		if (sl_monotonic_ns() >= until)
			return 0;
	}
	return 0;
}

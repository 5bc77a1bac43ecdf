#include "app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/role_log.h"
#include "app/signals.h"
#include "base/str.h"
#include "base/time.h"
#include "net/http_server.h"
#include "os/clock.h"

struct role {
	struct sl_up_role *state;      /* in supervisor.up */
	struct sl_role_log log;
	int ready_fd, log_fd;          /* our ends; -1 */
	int64_t started_ms, delay_ms;
	int64_t start_at_ms;           /* monotonic: when it may start again; 0: not waiting */
	bool was_ready;
};

struct supervisor {
	const struct sl_supervisor_options *options;
	struct sl_up_state up;
	struct role roles[SL_UP_ROLES_MAX];
	int lock_fd, listen_fd, tls_fd, signal_fd;
	bool all_ready, stopping, state_changed;
	int64_t stop_by_ms;
	struct sl_error fault;         /* why the first start failed */
};

static int64_t monotonic_ms(void) { return sl_monotonic_ns() / 1000000; }

static void set_state(struct supervisor *s, struct role *role, const char *state)
{
	snprintf(role->state->state, sizeof role->state->state, "%s", state);
	role->state->since_ms = sl_now_ms();
	s->state_changed = true;
}

static void exec_role(const struct supervisor *s, const struct role *role)
{
	const char *argv[5 + SL_UP_ROLE_ARGS_MAX + 1] = {"sluice", "role", role->state->name, "-C", s->options->project_dir};
	for (size_t i = 0; i < s->options->role_arg_count; i++)
		argv[5 + i] = s->options->role_args[i];
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
}

/* In the child. Keeps 0-2, the ready pipe and the socket; nothing else of ours is inherited. */
static _Noreturn void become_role(const struct supervisor *s, const struct role *role, int ready, int log, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way of 3 and 4 first. */
	ready = fcntl(ready, F_DUPFD, 10);
	log = fcntl(log, F_DUPFD, 10);
	int listening = fcntl(sl_str_eq(role->state->name, "tls") ? s->tls_fd : s->listen_fd, F_DUPFD, 10);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(ready, SL_ROLE_READY_FD) < 0 ||
	    dup2(listening, SL_ROLE_LISTEN_FD) < 0)
		_exit(3);
	close_range(SL_ROLE_LISTEN_FD + 1, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	exec_role(s, role);
	fprintf(stderr, "cannot start the program again: %s\n", strerror(errno));
	_exit(3);
}

static int start_role(struct supervisor *s, struct role *role, struct sl_error *err)
{
	int ready[2] = {-1, -1}, log[2] = {-1, -1};
	pid_t parent = getpid();
	if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) || pipe2(log, O_CLOEXEC)) {
		int rc = sl_fail_errno(err, errno, role->state->name, "cannot make a pipe for");
		sl_file_close(&ready[0]);
		sl_file_close(&ready[1]);
		return rc;
	}
	pid_t pid = fork();
	if (pid == 0)
		become_role(s, role, ready[1], log[1], parent);
	int error_number = errno;
	sl_file_close(&ready[1]);
	sl_file_close(&log[1]);
	if (pid < 0) {
		sl_file_close(&ready[0]);
		sl_file_close(&log[0]);
		return sl_fail_errno(err, error_number, role->state->name, "cannot start");
	}
	fcntl(log[0], F_SETFL, O_NONBLOCK);
	role->ready_fd = ready[0];
	role->log_fd = log[0];
	role->state->pid = pid;
	role->started_ms = monotonic_ms();
	role->start_at_ms = 0;
	set_state(s, role, "starting");
	return 0;
}

static void read_log(const struct supervisor *s, struct role *role)
{
	char data[8192];
	ssize_t n;
	while (role->log_fd >= 0 && (n = read(role->log_fd, data, sizeof data)) != 0) {
		if (n < 0)
			return;
		sl_role_log_write(&role->log, data, (size_t)n);
		if (s->options->echo)
			sl_file_write_all(2, data, (size_t)n, "standard error", NULL);
	}
	sl_file_close(&role->log_fd);
	role->log_fd = -1;
}

static void announce_when_ready(struct supervisor *s)
{
	for (size_t i = 0; i < s->up.role_count; i++)
		if (!s->roles[i].was_ready)
			return;
	s->all_ready = true;
	/* The file stands before anybody is told, so that a command started next finds the server. */
	sl_up_state_write(s->options->store_dir, &s->up, NULL);
	s->state_changed = false;
	if (s->options->ready)
		s->options->ready(s->options->context, &s->up);
}

static void read_ready(struct supervisor *s, struct role *role)
{
	char byte;
	ssize_t n = read(role->ready_fd, &byte, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	sl_file_close(&role->ready_fd);
	role->ready_fd = -1;
	if (n != 1)
		return;
	role->was_ready = true;
	set_state(s, role, "ready");
	if (!s->all_ready)
		announce_when_ready(s);
}

/* "killed by SIGSEGV: last words" */
static void describe_end(struct role *role, int status)
{
	char tail[SL_ROLE_LOG_TAIL + 1], how[64];
	if (WIFSIGNALED(status))
		snprintf(how, sizeof how, "killed by SIG%s",
			sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
	else
		snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
	sl_role_log_take_tail(&role->log, tail, sizeof tail);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		tail[0] = 0;
	snprintf(role->state->reason, sizeof role->state->reason, "%s%s%s", how, tail[0] ? ": " : "", tail);
}

static void plan_restart(struct supervisor *s, struct role *role)
{
	int64_t now = monotonic_ms();
	if (now - role->started_ms >= SL_UP_HEALTHY_MS || !role->delay_ms)
		role->delay_ms = SL_UP_DELAY_MIN_MS;
	else
		role->delay_ms = role->delay_ms * 2 > SL_UP_DELAY_MAX_MS ? SL_UP_DELAY_MAX_MS : role->delay_ms * 2;
	role->start_at_ms = now + role->delay_ms;
	role->state->restarts++;
	set_state(s, role, "restarting");
}

static void log_line(struct role *role, const char *text)
{
	char line[SL_UP_REASON_MAX + 100], time[SL_TIME_TEXT];
	int len =
		snprintf(line, sizeof line, "%s supervisor: %s %s\n", sl_time_format(sl_now_ms(), time), role->state->name, text);
	sl_role_log_write(&role->log, line, (size_t)len);
	role->log.tail_len = 0; /* not the role's own words */
}

static void role_ended(struct supervisor *s, struct role *role, int status)
{
	read_log(s, role);
	sl_file_close(&role->log_fd);
	sl_file_close(&role->ready_fd);
	role->log_fd = role->ready_fd = -1;
	role->state->pid = 0;
	describe_end(role, status);
	log_line(role, role->state->reason);
	if (s->stopping) {
		set_state(s, role, "stopped");
	} else if (!s->all_ready) {
		sl_fail_at(&s->fault, SL_E_IO, role->state->name, "%s", role->state->reason);
		sl_error_hint(&s->fault, "the whole log: %s", role->log.path);
	} else {
		plan_restart(s, role);
	}
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->up.role_count; i++)
			if (s->up.roles[i].pid == pid)
				role_ended(s, &s->roles[i], status);
}

static void signal_roles(const struct supervisor *s, int signal_number)
{
	for (size_t i = 0; i < s->up.role_count; i++)
		if (s->up.roles[i].pid)
			kill(s->up.roles[i].pid, signal_number);
}

static void stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stop_by_ms = monotonic_ms() + SL_UP_DRAIN_MS;
	signal_roles(s, SIGTERM);
}

static void read_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop(s);
	reap(s);
}

static size_t roles_alive(const struct supervisor *s)
{
	size_t alive = 0;
	for (size_t i = 0; i < s->up.role_count; i++)
		alive += s->up.roles[i].pid != 0;
	return alive;
}

/* How long nothing can be due; -1: until something happens. */
static int next_timeout(const struct supervisor *s, int64_t ready_by_ms)
{
	int64_t now = monotonic_ms(), due = s->stopping ? s->stop_by_ms : s->all_ready ? INT64_MAX : ready_by_ms;
	for (size_t i = 0; i < s->up.role_count && !s->stopping; i++)
		if (s->roles[i].start_at_ms && s->roles[i].start_at_ms < due)
			due = s->roles[i].start_at_ms;
	return due == INT64_MAX ? -1 : due <= now ? 0 : (int)(due - now);
}

static void start_due(struct supervisor *s)
{
	struct sl_error err = {0};
	int64_t now = monotonic_ms();
	for (size_t i = 0; i < s->up.role_count; i++) {
		struct role *role = &s->roles[i];
		if (!role->start_at_ms || role->start_at_ms > now || s->stopping)
			continue;
		if (start_role(s, role, &err)) {
			snprintf(role->state->reason, sizeof role->state->reason, "%.*s", SL_UP_REASON_MAX - 1, err.message);
			role->started_ms = now;
			plan_restart(s, role);
		}
	}
}

static void wait_once(struct supervisor *s, int64_t ready_by_ms)
{
	struct pollfd fds[1 + 2 * SL_UP_ROLES_MAX];
	nfds_t count = 0;
	fds[count++] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	for (size_t i = 0; i < s->up.role_count; i++) {
		fds[count++] = (struct pollfd){.fd = s->roles[i].ready_fd, .events = POLLIN};
		fds[count++] = (struct pollfd){.fd = s->roles[i].log_fd, .events = POLLIN};
	}
	if (poll(fds, count, next_timeout(s, ready_by_ms)) < 0)
		return;
	for (size_t i = 0; i < s->up.role_count; i++) {
		if (fds[2 + 2 * i].revents)
			read_log(s, &s->roles[i]);
		if (fds[1 + 2 * i].revents)
			read_ready(s, &s->roles[i]);
	}
	if (fds[0].revents)
		read_signals(s);
}

static int run_roles(struct supervisor *s, struct sl_error *err)
{
	int64_t ready_by_ms = monotonic_ms() + SL_UP_READY_TIMEOUT_MS;
	for (size_t i = 0; i < s->up.role_count; i++) {
		int rc = start_role(s, &s->roles[i], err);
		if (rc) {
			stop(s);
			s->fault = *err;
			break;
		}
	}
	for (;;) {
		start_due(s);
		if (s->stopping && !roles_alive(s))
			break;
		wait_once(s, ready_by_ms);
		if (s->stopping && monotonic_ms() >= s->stop_by_ms)
			signal_roles(s, SIGKILL);
		if (!s->all_ready && !s->stopping && !s->fault.code && monotonic_ms() >= ready_by_ms)
			sl_fail(&s->fault, SL_E_TIMEOUT, "the roles were not ready within %d s", SL_UP_READY_TIMEOUT_MS / 1000);
		if (s->fault.code)
			stop(s);
		if (s->state_changed && s->all_ready && !s->stopping) {
			s->state_changed = false;
			sl_up_state_write(s->options->store_dir, &s->up, NULL);
		}
	}
	if (s->fault.code)
		*err = s->fault;
	return s->fault.code;
}

static int open_logs(struct supervisor *s, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	int rc = sl_path_join(dir, s->options->store_dir, "log", err);
	if (!rc)
		rc = sl_dir_make(dir, err);
	for (size_t i = 0; i < s->up.role_count && !rc; i++)
		rc = sl_role_log_open(&s->roles[i].log, dir, s->up.roles[i].name, err);
	return rc;
}

static int take_lock(struct supervisor *s, struct sl_error *err)
{
	char path[SL_PATH_MAX], holder[64];
	int rc = sl_path_join(path, s->options->store_dir, "up.lock", err);
	snprintf(holder, sizeof holder, "sluice up, pid %d", (int)getpid());
	if (!rc)
		rc = sl_file_lock(path, holder, false, &s->lock_fd, err);
	if (rc != SL_E_BUSY)
		return rc;
	sl_error_context(err, "the server of this project runs already");
	return sl_error_hint(err, "sluice down stops it, sluice status shows it");
}

static void put_url(char *out, size_t size, const char *scheme, const char *host, uint16_t port)
{
	snprintf(out, size, strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, host, port);
}

/* "Any address" is no address to connect to. */
static const char *reachable(const char *host)
{
	return sl_str_eq(host, "0.0.0.0") ? "127.0.0.1" : sl_str_eq(host, "::") ? "::1" : host;
}

static int open_sockets(struct supervisor *s, struct sl_error *err)
{
	const struct sl_supervisor_options *o = s->options;
	uint16_t port = (uint16_t)o->port, local_port = 0;
	int rc = sl_net_listen(o->host, port, o->tls ? &s->tls_fd : &s->listen_fd, &port, err);
	if (rc)
		return sl_error_hint(err, "sluice up --port 0 takes any free one");
	if (o->tls)
		rc = sl_net_listen("127.0.0.1", 0, &s->listen_fd, &local_port, err);
	s->up.port = port;
	put_url(s->up.url, sizeof s->up.url, o->tls ? "https" : "http", o->host, port);
	if (o->tls)
		put_url(s->up.local_url, sizeof s->up.local_url, "http", "127.0.0.1", local_port);
	else
		put_url(s->up.local_url, sizeof s->up.local_url, "http", reachable(o->host), port);
	return rc;
}

static int open_all(struct supervisor *s, struct sl_error *err)
{
	int rc = take_lock(s, err);
	if (!rc)
		rc = open_sockets(s, err);
	if (!rc)
		rc = sl_signals_open(&s->signal_fd, err);
	if (!rc)
		rc = open_logs(s, err);
	return rc;
}

static void prepare(struct supervisor *s, const struct sl_supervisor_options *options)
{
	*s = (struct supervisor){.options = options, .lock_fd = -1, .listen_fd = -1, .tls_fd = -1, .signal_fd = -1};
	s->up.pid = getpid();
	s->up.start_ticks = sl_process_start_ticks(getpid());
	s->up.started_ms = sl_now_ms();
	s->up.role_count = options->role_count;
	for (size_t i = 0; i < options->role_count; i++) {
		s->roles[i] = (struct role){.state = &s->up.roles[i], .ready_fd = -1, .log_fd = -1, .log.fd = -1};
		snprintf(s->up.roles[i].name, sizeof s->up.roles[i].name, "%s", options->roles[i]);
	}
}

int sl_supervise(const struct sl_supervisor_options *options, struct sl_error *err)
{
	static struct supervisor s; /* one per process; with its logs too large for a stack frame */
	prepare(&s, options);
	int rc = open_all(&s, err);
	if (!rc)
		rc = run_roles(&s, err);
	for (size_t i = 0; i < s.up.role_count; i++)
		sl_role_log_close(&s.roles[i].log);
	if (s.lock_fd >= 0)
		sl_up_state_remove(options->store_dir);
	sl_file_close(&s.signal_fd);
	sl_file_close(&s.listen_fd);
	sl_file_close(&s.tls_fd);
	sl_file_close(&s.lock_fd);
	return rc;
}

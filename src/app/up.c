/* up, down: the server of a project, in the background or here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "app/supervisor.h"
#include "app/up_access.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/token.h"
#include "os/clock.h"

/* What the supervisor tells the command that started it, once: same program on both ends of the pipe, so the struct itself
 * travels. */
struct report {
	struct sl_error error; /* code 0: ready */
	struct sl_up_state state;
};

static void write_report(int fd, const struct report *report)
{
	sl_file_write_all(fd, report, sizeof *report, "the starting command", NULL);
}

static void tell_ready(void *context, const struct sl_up_state *state)
{
	int *fd = context;
	static struct report report;
	report = (struct report){.state = *state};
	write_report(*fd, &report);
	sl_file_close(fd);
	*fd = -1;
}

static void print_ready(void *context, const struct sl_up_state *state)
{
	(void)context;
	fprintf(stderr, "%s ready\n", state->url);
}

/* In the background: a session of its own, nothing of the terminal's. Never returns. */
static _Noreturn void become_supervisor(struct sl_supervisor_options *options, int report_fd)
{
	static struct report report;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (chdir("/") != 0)
		_exit(3);
	options->ready = tell_ready;
	options->context = &report_fd;
	int rc = sl_supervise(options, &report.error);
	if (rc && report_fd >= 0) {
		write_report(report_fd, &report);
	}
	_exit(rc ? sl_code_exit_status(rc) : 0);
}

static int read_report(int fd, struct report *report, struct sl_error *err)
{
	size_t have = 0;
	ssize_t n;
	while (have < sizeof *report &&
		((n = read(fd, (char *)report + have, sizeof *report - have)) > 0 || (n < 0 && errno == EINTR)))
		have += n > 0 ? (size_t)n : 0;
	if (have < sizeof *report)
		return sl_fail(err, SL_E_IO, "the supervisor ended without a word");
	if (report->error.code)
		*err = report->error;
	return report->error.code;
}

static int start_detached(struct sl_supervisor_options *options, struct report *report, struct sl_error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC))
		return sl_fail_errno(err, errno, "pipe", "cannot make");
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		become_supervisor(options, fds[1]);
	}
	close(fds[1]);
	int rc = pid < 0 ? sl_fail_errno(err, errno, "the supervisor", "cannot start") : read_report(fds[0], report, err);
	close(fds[0]);
	return rc;
}

static void put_result(struct sl_call *call, const struct sl_up_state *up, int64_t took_ms)
{
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "url", up->url);
	sl_put_int(call, result, "port", up->port);
	sl_put_int(call, result, "pid", up->pid);
	sl_put_int(call, result, "took_ms", took_ms);
	yyjson_mut_val *roles = sl_put_array(call, result, "roles");
	for (size_t i = 0; i < up->role_count; i++) {
		yyjson_mut_val *role = sl_add_object(call, roles);
		sl_put_text(call, role, "name", up->roles[i].name);
		sl_put_text(call, role, "state", up->roles[i].state);
		sl_put_int(call, role, "pid", up->roles[i].pid);
	}
}

/* The project's store with a token, made when there is none. */
static int prepare_store(const struct sl_project *project, char store_dir[SL_PATH_MAX], struct sl_error *err)
{
	int rc = sl_path_join(store_dir, project->dir, ".sluice", err);
	if (!rc && !sl_dir_exists(store_dir))
		rc = sl_store_create(project->dir, err);
	return rc ? rc : sl_token_create(store_dir, err);
}

static size_t choose_roles(const struct sl_project *project, bool tls, const char *roles[5])
{
	size_t count = 0;
	roles[count++] = "api";
	roles[count++] = "worker";
	roles[count++] = "mlflow";
	if (project->endpoint_count)
		roles[count++] = "infer";
	if (tls)
		roles[count++] = "tls";
	return count;
}

int sl_op_up(struct sl_call *call, struct sl_error *err)
{
	static struct report report;
	const char *roles[5];
	struct sl_up_access access;
	struct sl_project *project;
	char store_dir[SL_PATH_MAX];
	int64_t begun_ns = sl_monotonic_ns();

	int rc = sl_call_project(call, &project, err);
	if (!rc)
		rc = sl_up_access_read(call, &project->server, &access, err);
	if (!rc)
		rc = prepare_store(project, store_dir, err);
	if (rc)
		return rc;
	struct sl_supervisor_options options = {
		.project_dir = project->dir, .store_dir = store_dir, .host = access.host, .port = access.port,
		.roles = roles, .role_count = choose_roles(project, access.tls, roles), .tls = access.tls,
		.role_args = access.args, .role_arg_count = access.arg_count,
	};
	if (sl_call_flag(call, "foreground")) {
		options.echo = true;
		options.ready = print_ready;
		sl_call_object(call);
		return sl_supervise(&options, err);
	}
	rc = start_detached(&options, &report, err);
	if (!rc)
		put_result(call, &report.state, (sl_monotonic_ns() - begun_ns) / 1000000);
	return rc;
}

/* The process is held by its pidfd, so that the signal cannot hit another one that got its number. */
static int stop_supervisor(const struct sl_up_state *up, struct sl_error *err)
{
	int fd = pidfd_open(up->pid, 0);
	if (fd < 0)
		return errno == ESRCH ? 0 : sl_fail_errno(err, errno, "the supervisor", "cannot reach");
	int rc = 0;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	if (sl_process_start_ticks(up->pid) != up->start_ticks || pidfd_send_signal(fd, SIGTERM, NULL, 0) != 0)
		rc = errno == ESRCH ? 0 : sl_fail_errno(err, errno, "the supervisor", "cannot signal");
	else if (poll(&wait, 1, SL_UP_DRAIN_MS + 5000) != 1)
		rc = sl_fail(
			err, SL_E_TIMEOUT, "the supervisor (pid %d) did not end within %d s", up->pid, SL_UP_DRAIN_MS / 1000 + 5);
	close(fd);
	return rc;
}

int sl_op_down(struct sl_call *call, struct sl_error *err)
{
	char dir[SL_PATH_MAX], store_dir[SL_PATH_MAX];
	struct sl_up_state up = {0};
	int64_t begun_ns = sl_monotonic_ns();
	int rc = sl_call_project_dir(call, dir, err);
	if (!rc)
		rc = sl_path_join(store_dir, dir, ".sluice", err);
	int running = rc ? rc : sl_up_state_read(store_dir, &up, err);
	if (running > 0)
		rc = stop_supervisor(&up, err);
	if (rc || running < 0)
		return rc ? rc : running;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "state", running ? "stopped" : "was not running");
	if (running)
		sl_put_int(call, result, "took_ms", (sl_monotonic_ns() - begun_ns) / 1000000);
	return 0;
}

#include "app/role.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/supervisor.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "op/context.h"
#include "op/handlers.h"
#include "os/clock.h"
#include "os/sys.h"

enum { FILES_MAX = 65536, BLOCK_BYTES = 256 << 10 };

/* The supervisor keeps our standard error as the role's log. */
static void write_log(void *context, enum sl_log_level level, const char *line)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char time[SL_TIME_TEXT];
	(void)context;
	fprintf(stderr, "%s %s: %s\n", sl_time_format(sl_now_ms(), time), names[level], line);
}

void sl_role_ready(void)
{
	sl_file_write_all(SL_ROLE_READY_FD, "1", 1, "the supervisor", NULL);
	close(SL_ROLE_READY_FD);
}

void sl_role_serve(struct sl_role *role, void (*stop)(void *context), void *context)
{
	role->stop = stop;
	role->context = context;
	sl_role_ready();
	sl_loop_run(role->loop);
}

void sl_role_drop_socket(const char *name) { sl_sys->unlink(name); }

void sl_role_stopped(void *context)
{
	struct sl_role *role = context;
	sl_loop_stop(role->loop);
}

static void on_terminate(void *context, int signal_number)
{
	struct sl_role *role = context;
	(void)signal_number;
	/* Whatever hangs, the process does not outlive its supervisor's patience. */
	alarm(SL_UP_DRAIN_MS / 1000);
	role->stop(role->context);
}

static const struct role {
	const char *name;
	int (*run)(struct sl_role *role, struct sl_error *err);
	bool serves; /* with a loop */
} ROLES[] = {
	{"api", sl_role_api, true},
	{"infer", sl_role_infer, true},
	{"mlflow", sl_role_mlflow, true},
	{"tls", sl_role_tls, true},
	{"worker", sl_role_worker, false},
};

/* A connection is a descriptor, with TLS two; the usual limit of 1,024 would be the first to be met. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A block that a fat request needs is mapped for itself and given back when it is freed. By itself the C library would raise this
 * bound with the first such block, and then keep 23 MB for every thread that once answered 100,000 rows. */
static void give_memory_back(void) { mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES); }

/* SIGTERM before `stop` is set waits in the loop until it runs. */
static int run_with_loop(struct sl_role *role, const struct role *kind, struct sl_error *err)
{
	struct sl_signal *terminate = NULL, *interrupt = NULL;
	raise_file_limit();
	give_memory_back();
	int rc = sl_loop_new(&role->loop, err);
	if (!rc)
		rc = sl_signal_new(role->loop, SIGTERM, on_terminate, role, &terminate, err);
	if (!rc)
		rc = sl_signal_new(role->loop, SIGINT, on_terminate, role, &interrupt, err);
	if (!rc)
		rc = kind->run(role, err);
	sl_signal_free(terminate);
	sl_signal_free(interrupt);
	sl_loop_free(role->loop);
	return rc;
}

/* An option that was not given is no path: the supervisor passes absolute ones. */
static const char *path_or_null(const struct sl_call *call, const char *name)
{
	return sl_call_given(call, name) ? sl_call_text(call, name) : NULL;
}

static struct sl_role_access access_of(const struct sl_call *call)
{
	struct sl_role_access access = {.require_token = sl_call_flag(call, "require-token"),
		.certificate_path = path_or_null(call, "tls-cert"), .key_path = path_or_null(call, "tls-key")};
	access.hosts = sl_call_list(call, "allow-host", &access.host_count);
	return access;
}

int sl_op_role(struct sl_call *call, struct sl_error *err)
{
	struct sl_role role = {0};
	struct sl_project *project;
	const char *name = sl_call_text(call, "name");
	int rc = sl_call_project(call, &project, err);
	sl_log_set(SL_LOG_INFO, write_log, NULL);
	if (!rc)
		rc = sl_path_join(role.store_dir, project->dir, ".sluice", err);
	if (!rc && chdir(role.store_dir) != 0)
		rc = sl_fail_errno(err, errno, role.store_dir, "cannot enter");
	if (rc)
		return rc;
	char title[16];
	snprintf(title, sizeof title, "sluice-%s", name);
	prctl(PR_SET_NAME, title); /* in ps and top; else it would be "exe" */
	sl_call_object(call);
	role.project = project;
	role.access = access_of(call);
	for (size_t i = 0; i < SL_ARRAY_LEN(ROLES); i++)
		if (sl_str_eq(ROLES[i].name, name))
			return ROLES[i].serves ? run_with_loop(&role, &ROLES[i], err) : ROLES[i].run(&role, err);
	return sl_fail(err, SL_E_BUG, "no role '%s'", name);
}

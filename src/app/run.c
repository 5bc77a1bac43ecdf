/* run: the operation, with MLflow's face beside it for the scripts of its steps.
 *
 *   steps' scripts ──MLFLOW_TRACKING_URI──> a loopback port of this process ──> thread: sl_mlflow over the run's own store
 *
 * The port listens from the beginning, which costs 0.1 ms; the face is made when the first script connects. It ends with the run. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "flow/flow.h"
#include "mlflow/server.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/run.h"

enum { FACE_DRAIN_MS = 2000 };

struct face {
	char dir[SL_PATH_MAX];
	int listen_fd, stop_fd;
	pthread_t thread;
	struct sl_loop *loop;
	struct sl_mlflow *mlflow;
};

/* ---- the thread ----------------------------------------------------------------------------------------------------- */

static void on_drained(void *context)
{
	struct face *face = context;
	sl_loop_stop(face->loop);
}

static void on_stop(void *context, int events)
{
	struct face *face = context;
	eventfd_t value;
	(void)events;
	if (eventfd_read(face->stop_fd, &value) == 0)
		sl_mlflow_drain(face->mlflow, FACE_DRAIN_MS, on_drained, face);
}

static int serve(struct face *face, struct sl_error *err)
{
	struct sl_watch *watch = NULL;
	struct sl_mlflow_options options = {.project_dir = face->dir, .listen_fd = face->listen_fd};
	int rc = sl_loop_new(&face->loop, err);
	if (!rc)
		rc = sl_mlflow_new(face->loop, &options, &face->mlflow, err);
	if (rc)
		return rc;
	face->listen_fd = -1; /* the server's now */
	rc = sl_watch_new(face->loop, face->stop_fd, on_stop, face, &watch, err);
	if (!rc)
		rc = sl_watch_set(watch, SL_FD_READ, err);
	if (!rc)
		sl_loop_run(face->loop);
	sl_watch_free(watch);
	return rc;
}

static void *run_face(void *context)
{
	struct face *face = context;
	struct sl_error err = {0};
	struct pollfd fds[] = {{.fd = face->listen_fd, .events = POLLIN}, {.fd = face->stop_fd, .events = POLLIN}};
	while (poll(fds, SL_ARRAY_LEN(fds), -1) < 0)
		;
	if (!fds[1].revents && serve(face, &err))
		sl_log(SL_LOG_WARNING, "scripts cannot log into this run: %s: %s", err.where, err.message);
	sl_mlflow_free(face->mlflow);
	sl_loop_free(face->loop);
	return NULL;
}

/* ---- around the run ------------------------------------------------------------------------------------------------- */

/* Signals are the run's: the thread takes none. */
static int start_thread(struct face *face, struct sl_error *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int rc = pthread_create(&face->thread, NULL, run_face, face);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? sl_fail_errno(err, rc, "a thread", "cannot start") : 0;
}

static void close_fds(struct face *face)
{
	sl_file_close(&face->listen_fd);
	sl_file_close(&face->stop_fd);
}

static int open_face(struct face *face, struct sl_error *err)
{
	char url[64];
	uint16_t port;
	int rc = sl_net_listen("127.0.0.1", 0, &face->listen_fd, &port, err);
	if (rc)
		return rc;
	face->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (face->stop_fd < 0)
		rc = sl_fail_errno(err, errno, "an event", "cannot make");
	snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
	if (!rc)
		rc = setenv(SL_RUN_TRACKING_URI, url, 1) ? sl_fail_memory(err) : start_thread(face, err);
	if (rc)
		close_fds(face);
	return rc;
}

static void close_face(struct face *face)
{
	eventfd_write(face->stop_fd, 1);
	pthread_join(face->thread, NULL);
	unsetenv(SL_RUN_TRACKING_URI);
	close_fds(face);
}

/* A script that is told of another server by its user goes on logging there. */
int sl_op_run(struct sl_call *call, struct sl_error *err)
{
	struct face face = {.listen_fd = -1, .stop_fd = -1};
	struct sl_error why = {0};
	bool wanted = !sl_call_flag(call, "dry-run") && !getenv("MLFLOW_TRACKING_URI");
	bool open = wanted && sl_call_project_dir(call, face.dir, &why) == 0 && open_face(&face, &why) == 0;
	if (wanted && !open && why.code)
		sl_debug("no tracking face: %s: %s", why.where, why.message);
	int rc = sl_run_project(call, err);
	if (open)
		close_face(&face);
	return rc;
}

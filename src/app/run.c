/* run: the operation, with MLflow's face beside it for the scripts of its steps.
 *
 *   steps' scripts ──MLFLOW_TRACKING_URI──> a loopback port of this process ──> thread: sl_mlflow over the run's own store
 *
 * The port listens from the beginning, which costs 0.1 ms; the face is made when the first script connects. It ends with the run. When the run is killed its
 * keeper holds the socket (flow/keeper.h): the next run takes it over with the steps, and what they send meanwhile waits. */
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

enum { FACE_DRAIN_MS = 2000, SOCKETS_MAX = 32 };

struct face {
	char dir[SL_PATH_MAX];
	int stop_fd, more_fd;       /* events */
	pthread_mutex_t lock;       /* over `sockets` and `count` until the thread has taken them */
	int sockets[SOCKETS_MAX];   /* listening: our own, and those of killed runs whose steps go on */
	size_t count, taken;        /* of them, the server's by now */
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

/* Gives the server the sockets that it has not yet. */
static int take_sockets(struct face *face, struct sl_error *err)
{
	int rc = 0;
	pthread_mutex_lock(&face->lock);
	while (!rc && face->taken < face->count)
		rc = sl_http_server_listen_fd(sl_mlflow_http(face->mlflow), face->sockets[face->taken++], err);
	pthread_mutex_unlock(&face->lock);
	return rc;
}

static void on_more(void *context, int events)
{
	struct face *face = context;
	struct sl_error err = {0};
	eventfd_t value;
	(void)events;
	if (eventfd_read(face->more_fd, &value) == 0 && take_sockets(face, &err))
		sl_log(SL_LOG_WARNING, "scripts of a run that was killed cannot log: %s: %s", err.where, err.message);
}

static int watch(struct face *face, int fd, void (*on)(void *context, int events), struct sl_watch **ret, struct sl_error *err)
{
	int rc = sl_watch_new(face->loop, fd, on, face, ret, err);
	return rc ? rc : sl_watch_set(*ret, SL_FD_READ, err);
}

static int serve(struct face *face, struct sl_error *err)
{
	struct sl_watch *stop = NULL, *more = NULL;
	struct sl_mlflow_options options = {.project_dir = face->dir, .listen_fd = -1};
	int rc = sl_loop_new(&face->loop, err);
	rc = rc ? rc : sl_mlflow_new(face->loop, &options, &face->mlflow, err);
	rc = rc ? rc : take_sockets(face, err);
	rc = rc ? rc : watch(face, face->stop_fd, on_stop, &stop, err);
	rc = rc ? rc : watch(face, face->more_fd, on_more, &more, err);
	if (!rc)
		sl_loop_run(face->loop);
	sl_watch_free(stop);
	sl_watch_free(more);
	return rc;
}

/* Until a script connects: true; or the run is over. */
static bool wait_for_script(struct face *face)
{
	struct pollfd fds[SOCKETS_MAX + 2] = {{.fd = face->stop_fd, .events = POLLIN}, {.fd = face->more_fd, .events = POLLIN}};
	for (;;) {
		eventfd_t value;
		nfds_t count = 2;
		pthread_mutex_lock(&face->lock);
		for (size_t i = 0; i < face->count; i++)
			fds[count++] = (struct pollfd){.fd = face->sockets[i], .events = POLLIN};
		pthread_mutex_unlock(&face->lock);
		int ready = poll(fds, count, -1);
		if (ready > 0 && fds[0].revents)
			return false;
		if (ready > (fds[1].revents != 0))
			return true;
		if (ready > 0)
			eventfd_read(face->more_fd, &value);
	}
}

static void *run_face(void *context)
{
	struct face *face = context;
	struct sl_error err = {0};
	if (wait_for_script(face) && serve(face, &err))
		sl_log(SL_LOG_WARNING, "scripts cannot log into this run: %s: %s", err.where, err.message);
	sl_mlflow_free(face->mlflow);
	sl_loop_free(face->loop);
	return NULL;
}

/* ---- around the run ------------------------------------------------------------------------------------------------- */

/* The socket of a killed run, whose scripts were told of its port. */
static void adopt(void *context, int listen_fd)
{
	struct face *face = context;
	pthread_mutex_lock(&face->lock);
	bool room = face->count < SOCKETS_MAX;
	if (room)
		face->sockets[face->count++] = listen_fd;
	pthread_mutex_unlock(&face->lock);
	if (room)
		eventfd_write(face->more_fd, 1);
	else
		close(listen_fd);
}

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

/* What the server took is its own. */
static void close_fds(struct face *face)
{
	for (; face->taken < face->count; face->taken++)
		close(face->sockets[face->taken]);
	sl_file_close(&face->stop_fd);
	sl_file_close(&face->more_fd);
}

static int open_face(struct face *face, struct sl_error *err)
{
	char url[64];
	uint16_t port;
	int rc = sl_net_listen("127.0.0.1", 0, &face->sockets[0], &port, err);
	if (rc)
		return rc;
	face->count = 1;
	face->stop_fd = eventfd(0, EFD_CLOEXEC);
	face->more_fd = eventfd(0, EFD_CLOEXEC);
	if (face->stop_fd < 0 || face->more_fd < 0)
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
	struct face face = {.stop_fd = -1, .more_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct sl_error why = {0};
	bool wanted = !sl_call_flag(call, "dry-run") && !getenv("MLFLOW_TRACKING_URI");
	bool open = wanted && sl_call_project_dir(call, face.dir, &why) == 0 && open_face(&face, &why) == 0;
	if (wanted && !open && why.code)
		sl_debug("no tracking face: %s: %s", why.where, why.message);
	const struct sl_flow_face told = {.listen_fd = face.sockets[0], .adopt = adopt, .context = &face};
	int rc = sl_run_project(call, open ? &told : NULL, err);
	if (open)
		close_face(&face);
	return rc;
}

/* A folder of artifacts as one tar archive, made while it is sent: a piece at a time on a pool thread, as fast as the client takes it, in constant
 * memory whatever the folder holds. No client of MLflow's asks for this; the address is ours (docs/mlflow.md). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/pax.h"
#include "mlflow/artifact.h"
#include "mlflow/route.h"
#include "mlflow/server.h"
#include "os/sys.h"

enum { PIECE = 128 << 10 };

/* A folder on the way down, and its member that was sent last. */
struct level { char path[SL_ARTIFACT_PATH_MAX], after[SL_ARTIFACT_PATH_MAX]; };

struct archive {
	struct level levels[SL_ARTIFACT_DEPTH_MAX + 1];
	int depth, fd;
	size_t skip;            /* of a path, what the archive leaves out */
	uint64_t size, at;      /* of the file under way */
	bool started, done, found;
	struct sl_artifact next;
};

/* ---- on a pool thread ----------------------------------------------------------------------------------------------- */

static int take_one(void *context, const struct sl_artifact *artifact)
{
	struct archive *a = context;
	struct level *level = &a->levels[a->depth - 1];
	a->next = *artifact;
	a->found = true;
	snprintf(level->after, sizeof level->after, "%s", artifact->name);
	return 0;
}

static int open_file(struct sl_ml_call *call, struct archive *a, const char *path, struct sl_error *err)
{
	char file[SL_PATH_MAX];
	int rc = sl_objects_path(call->store->objects, &a->next.hash, file, err);
	rc = rc ? rc : sl_file_open(file, O_RDONLY | O_CLOEXEC, 0, &a->fd, err);
	a->size = a->next.size_bytes;
	a->at = 0;
	if (!rc)
		sl_pax_head(&call->out, path + a->skip, a->size);
	return rc;
}

/* The next member: a file is opened, a folder gone into, the end of one left. */
static int next_member(struct sl_ml_call *call, struct archive *a, struct sl_error *err)
{
	struct level *level = &a->levels[a->depth - 1];
	char path[2 * SL_ARTIFACT_PATH_MAX];
	a->found = false;
	int rc = sl_artifact_each(&call->record, level->path, level->after, 1, take_one, a, err);
	if (rc)
		return rc;
	if (!a->found) {
		a->depth--;
		return 0;
	}
	snprintf(path, sizeof path, "%s%s%s", level->path, *level->path ? "/" : "", level->after);
	if (!a->next.is_folder)
		return open_file(call, a, path, err);
	if (a->depth > SL_ARTIFACT_DEPTH_MAX || strlen(path) >= SL_ARTIFACT_PATH_MAX)
		return sl_fail(err, SL_E_CORRUPT, "'%.900s' is too deep", path);
	level = &a->levels[a->depth++];
	snprintf(level->path, sizeof level->path, "%.1023s", path);
	level->after[0] = 0;
	return 0;
}

static int read_some(struct sl_ml_call *call, struct archive *a, struct sl_error *err)
{
	char data[16 << 10];
	size_t want = a->size - a->at < sizeof data ? (size_t)(a->size - a->at) : sizeof data;
	ssize_t n = want ? sl_sys->pread(a->fd, data, want, (off_t)a->at) : 0;
	if (n < 0)
		return errno == EINTR ? 0 : sl_fail_errno(err, errno, "", "cannot read an artifact");
	if (want && n == 0)
		return sl_fail(err, SL_E_CORRUPT, "an artifact is shorter than it was");
	sl_buf_add(&call->out, data, (size_t)n);
	a->at += (uint64_t)n;
	if (a->at < a->size)
		return 0;
	sl_pax_pad(&call->out, a->size);
	sl_file_close(&a->fd);
	return 0;
}

static void fill(struct sl_ml_call *call)
{
	struct archive *a = call->own;
	int rc = 0;
	while (!rc && call->out.len < PIECE && !a->done) {
		if (a->fd >= 0) {
			rc = read_some(call, a, &call->error);
		} else if (a->depth) {
			rc = next_member(call, a, &call->error);
		} else {
			sl_pax_end(&call->out);
			a->done = true;
		}
	}
}

static void find(struct sl_ml_call *call)
{
	struct archive *a = call->own;
	struct sl_artifact folder;
	const char *path, *slash;
	int rc = sl_ml_artifact_of_run(call, &path, &call->error);
	rc = rc ? rc : sl_artifact_find(&call->record, path, &folder, &call->error);
	if (!rc && !folder.is_folder)
		rc = sl_fail(&call->error, SL_E_INVALID, "'%.900s' is no folder", path);
	if (rc)
		return;
	snprintf(a->levels[0].path, sizeof a->levels[0].path, "%s", path);
	slash = strrchr(path, '/');
	a->skip = slash ? (size_t)(slash + 1 - path) : 0;
	a->depth = 1;
	fill(call);
}

/* ---- on the loop ---------------------------------------------------------------------------------------------------- */

static void finish(struct sl_ml_call *call, bool whole)
{
	struct archive *a = call->own;
	struct sl_http_request *request = call->request;
	sl_file_close(&a->fd);
	sl_mlflow_call_free(call);
	if (whole)
		sl_http_stream_end(request);
	else
		sl_http_stream_abort(request);
}

static void send(struct sl_ml_call *call);

static void go_on(struct sl_ml_call *call)
{
	sl_buf_clear(&call->out);
	if (sl_mlflow_work(call, fill, send, &call->error))
		finish(call, false);
}

static void on_writable(void *context, struct sl_http_request *request)
{
	(void)request;
	go_on(context);
}

static void start(struct sl_ml_call *call)
{
	const struct sl_http_header headers[] = {{"Content-Disposition", "attachment; filename=\"artifacts.tar\""}};
	const struct sl_http_response head = {.status = 200, .content_type = "application/x-tar", .headers = headers, .header_count = 1};
	sl_http_stream_start(call->request, &head, -1);
	sl_http_stream_on_writable(call->request, on_writable, call);
}

static void send(struct sl_ml_call *call)
{
	struct archive *a = call->own;
	if (call->error.code && !a->started) {
		sl_file_close(&a->fd);
		sl_mlflow_refuse(call, &call->error);
		return;
	}
	if (!a->started)
		start(call);
	a->started = true;
	int rc = call->error.code ? call->error.code : sl_http_stream_write(call->request, call->out.data, call->out.len);
	if (rc < 0 || a->done)
		finish(call, rc >= 0);
	else if (rc != SL_HTTP_WAIT)
		go_on(call);
}

static void get_archive(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	struct archive *a = sl_arena_alloc(call->arena, sizeof *a);
	int rc = a ? sl_ml_call_read(call, &err) : sl_fail_memory(&err);
	if (!rc) {
		a->fd = -1;
		call->own = a;
		rc = sl_mlflow_work(call, find, send, &err);
	}
	if (rc)
		sl_mlflow_refuse(call, &err);
}

const struct sl_ml_route sl_ml_routes_archive[] = {
	{0, SL_HTTP_GET, "/get-artifact-archive", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_archive, NULL},
	{0},
};

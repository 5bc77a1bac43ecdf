/* Uploads: a body of any size in one piece of memory.
 *
 *      pieces from the socket --> buffer --(full: pause)--> pool: staging file --> ... --> pool: object --> commit: its name
 *
 * The disk is only touched on pool threads, so that a big upload holds up nobody's log-metric. A small file never sees the staging
 * file: it goes from the buffer into the store.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "mlflow/artifact.h"
#include "mlflow/route.h"
#include "mlflow/server.h"
#include "os/sys.h"

enum { PIECE_BYTES = 1 << 20 };
#define UPLOAD_BYTES_MAX (UINT64_C(1) << 40)

struct upload {
	struct sl_ml_call *call;
	const char *path;        /* NULL until it is known: the run's place has to be looked up */
	struct sl_buf piece;     /* what was not written yet */
	int fd;                  /* of the staging file; -1: none so far */
	char staged[SL_PATH_MAX];
	uint64_t size_bytes;
	struct sl_hash hash;
	bool working;            /* a pool thread has it */
	bool ended, gone;        /* the body is whole; the client left before */
};

static struct upload *upload_of(struct sl_ml_call *call) { return call->own; }

static void end_upload(struct upload *upload)
{
	sl_buf_done(&upload->piece);
	if (upload->fd < 0)
		return;
	sl_file_close(&upload->fd);
	upload->fd = -1;
	sl_sys->unlink(upload->staged); /* already gone when it became an object */
}

static void refuse(struct upload *upload, const struct sl_error *why)
{
	struct sl_ml_call *call = upload->call;
	const struct sl_error error = *why;
	end_upload(upload);
	sl_mlflow_refuse(call, &error);
}

/* ---- on pool threads ------------------------------------------------------------------------------------------------ */

/* Named as the store's own staging files, and locked like them, so that its cleaning knows what is alive. */
static int stage(struct upload *upload, const struct sl_store *store, struct sl_error *err)
{
	static _Atomic unsigned count;
	snprintf(upload->staged, sizeof upload->staged, "%.4000s/put-%ld-upload-%u", store->tmp_dir, (long)getpid(), count++);
	int rc = sl_file_open(upload->staged, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &upload->fd, err);
	if (!rc && flock(upload->fd, LOCK_EX | LOCK_NB))
		rc = sl_fail_at(err, SL_E_FAILED, upload->staged, "cannot lock the new file");
	return rc;
}

static int write_piece(struct upload *upload, const struct sl_store *store, struct sl_error *err)
{
	int rc = sl_buf_check(&upload->piece, "a piece of an artifact", err);
	if (!rc && upload->fd < 0)
		rc = stage(upload, store, err);
	return rc ? rc : sl_file_write_all(upload->fd, upload->piece.data, upload->piece.len, upload->staged, err);
}

static void spill(struct sl_ml_call *call)
{
	write_piece(upload_of(call), call->store, &call->error);
}

static int keep(struct upload *upload, struct sl_store *store, struct sl_error *err)
{
	if (upload->fd < 0)
		return sl_objects_put(store->objects, sl_buf_cstr(&upload->piece), upload->piece.len, &upload->hash, err);
	int rc = upload->piece.len ? write_piece(upload, store, err) : 0;
	return rc ? rc : sl_objects_put_file(store->objects, upload->staged, SL_PUT_MOVE, &upload->hash, NULL, err);
}

static void finish_body(struct sl_ml_call *call)
{
	struct upload *upload = upload_of(call);
	int rc = sl_buf_check(&upload->piece, "an artifact", &call->error);
	if (!rc && !upload->path)
		rc = sl_ml_artifact_of_run(call, &upload->path, &call->error);
	if (!rc)
		keep(upload, call->store, &call->error);
}

/* ---- on the loop ---------------------------------------------------------------------------------------------------- */

static void spilled(struct sl_ml_call *call)
{
	struct upload *upload = upload_of(call);
	upload->working = false;
	if (call->error.code || upload->gone) {
		refuse(upload, &call->error);
		return;
	}
	sl_buf_clear(&upload->piece);
	sl_http_request_resume(call->request);
}

static void kept(struct sl_ml_call *call)
{
	struct upload *upload = upload_of(call);
	if (call->error.code) {
		refuse(upload, &call->error);
		return;
	}
	end_upload(upload);
	sl_mlflow_write(call);
}

/* `sluice gc` removes inside a transaction what nothing names; this one comes before it, or sees that the object has gone. */
static int name_it(struct sl_ml_call *call, struct sl_error *err)
{
	const struct upload *upload = upload_of(call);
	if (!sl_objects_has(call->store->objects, &upload->hash))
		return sl_fail(err, SL_E_BUSY, "The artifact was cleaned away while it came; send it again");
	return sl_artifact_put(&call->record, upload->path, &upload->hash, upload->size_bytes, err);
}

static void work(struct upload *upload, sl_ml_step *step, sl_ml_step *done)
{
	struct sl_error err = {0};
	upload->working = true;
	if (sl_mlflow_work(upload->call, step, done, &err))
		refuse(upload, &err);
}

static void on_piece(void *context, struct sl_http_request *request, const char *data, size_t len)
{
	struct upload *upload = context;
	if (len == 0) {
		upload->ended = true;
		work(upload, finish_body, kept);
		return;
	}
	upload->size_bytes += len;
	sl_buf_add(&upload->piece, data, len);
	if (upload->piece.failed || upload->piece.len >= PIECE_BYTES) {
		sl_http_request_pause(request);
		work(upload, spill, spilled);
	}
}

static void on_gone(void *context, struct sl_http_request *request)
{
	struct upload *upload = context;
	const struct sl_error err = {.code = SL_E_CANCELLED};
	(void)request;
	upload->gone = !upload->ended;
	if (upload->gone && !upload->working)
		refuse(upload, &err);
}

static void begin(struct sl_ml_call *call, const char *path)
{
	struct sl_error err = {0};
	struct upload *upload = sl_arena_alloc(call->arena, sizeof *upload);
	if (!upload) {
		sl_fail_memory(&err);
		sl_mlflow_refuse(call, &err);
		return;
	}
	*upload = (struct upload){.call = call, .path = path, .fd = -1, .piece = SL_BUF_INIT(4 * PIECE_BYTES)};
	call->own = upload;
	sl_http_request_body_limit(call->request, UPLOAD_BYTES_MAX);
	sl_http_request_on_gone(call->request, on_gone, upload);
	sl_http_request_body_stream(call->request, on_piece, upload);
}

static void put(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	if (sl_artifact_check_path(call->parts[0], &err))
		sl_mlflow_refuse(call, &err);
	else
		begin(call, call->parts[0]);
}

/* From MLflow's web page: the place comes as query parameters. */
static void post(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	const char *path;
	int rc = sl_http_params(call->request->query, call->arena, &call->params, &call->param_count, &err);
	if (!rc)
		rc = sl_ml_need(call, "path", &path, &err);
	if (!rc)
		rc = sl_artifact_check_path(path, &err);
	if (rc)
		sl_mlflow_refuse(call, &err);
	else
		begin(call, NULL);
}

const struct sl_ml_route sl_ml_routes_upload[] = {
	{SL_ML_V2, SL_HTTP_PUT, "/mlflow-artifacts/artifacts/{*}", SL_PERMIT_RUN, SL_ML_OWN, name_it, put, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/upload-artifact", SL_PERMIT_RUN, SL_ML_OWN, name_it, post, NULL},
	{0},
};

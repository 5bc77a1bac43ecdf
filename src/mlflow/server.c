#include "mlflow/server.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "mlflow/adopt.h"
#include "mlflow/route.h"
#include "op/access.h"
#include "op/refusal.h"
#include "record/experiment.h"
#include "track/pool.h"

enum {
	BODY_BYTES_MAX = 32 << 20,   /* JSON: a batch of 100 parameters and 100 tags at their limits in UTF-8 is 6 MB */
	GROUP_MAX = 512,             /* writes in one commit */
	WRITER_CACHE_KIB = 16 << 10,
	READER_CACHE_KIB = 8 << 10,
	SEARCH_CACHE_KIB = 12 << 10, /* half of a search's time was reading pages again: 11.5 ms of CPU with 2 MiB, 5.0 with 12 */
	LOG_FRAMES = 4096,           /* 16 MiB of log between checkpoints: they are two flushes each */
	PUBLISH_EVERY_MS = 1000,
};
static const char JSON[] = "application/json", DEFAULT_ROOT[] = "mlflow-artifacts:/";

struct sl_mlflow {
	struct sl_loop *loop;
	struct sl_http_server *http;
	struct sl_mlflow_options options;
	char project_dir[SL_PATH_MAX], artifact_root[SL_PATH_MAX], artifacts_destination[SL_PATH_MAX];
	struct sl_store *writer, *reader;
	struct sl_store_pool pool;
	struct sl_access *access;
	struct sl_refusals *refusals;
	struct sl_ml_adopter *adopter;
	struct sl_ml_sender *sender;
	struct sl_timer *timer;
	/* The writes of this turn, in order; their transaction is open while there is one. */
	struct sl_ml_call *first, **last;
	size_t group;
	unsigned working;           /* on pool threads */
	bool open, unpublished, publishing;
};

const struct sl_mlflow_options *sl_mlflow_options(const struct sl_mlflow *mlflow) { return &mlflow->options; }
struct sl_ml_sender *sl_mlflow_sender(const struct sl_mlflow *mlflow) { return mlflow->sender; }
struct sl_loop *sl_mlflow_loop(const struct sl_mlflow *mlflow) { return mlflow->loop; }
struct sl_http_server *sl_mlflow_http(struct sl_mlflow *mlflow) { return mlflow->http; }
struct sl_ml_adopter *sl_mlflow_adopter(struct sl_mlflow *mlflow) { return mlflow->adopter; }
bool sl_mlflow_is_path(const char *path) { return sl_ml_is_path(path); }

/* ---- answering ------------------------------------------------------------------------------------------------------ */

void sl_mlflow_call_free(struct sl_ml_call *call) { sl_ml_call_done(call); } /* its memory is the request's arena */

void sl_mlflow_refuse(struct sl_ml_call *call, const struct sl_error *error)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	struct sl_http_request *request = call->request;
	int status = sl_ml_error_body(error, call->error_code, &body);
	struct sl_http_header wait = {"Retry-After", "1"};
	if (call->status)
		status = call->status;
	sl_mlflow_call_free(call);
	sl_http_respond(request, &(struct sl_http_response){.status = status, .content_type = JSON, .headers = &wait,
		.header_count = status == 503, .body = sl_buf_cstr(&body), .body_len = body.len});
}

void sl_mlflow_answer(struct sl_ml_call *call)
{
	struct sl_http_request *request = call->request;
	struct sl_error err = {0};
	const char *type = call->answer_type ? call->answer_type : call->route->content_type ? call->route->content_type : JSON;
	if (sl_buf_check(&call->out, "the answer", &err)) {
		sl_mlflow_refuse(call, &err);
		return;
	}
	bool empty = call->out.len == 0 && !call->answer_type;
	sl_http_respond(request, &(struct sl_http_response){.status = 200, .content_type = type,
		.body = empty ? "{}" : sl_buf_cstr(&call->out), .body_len = empty ? 2 : call->out.len});
	sl_mlflow_call_free(call);
}

static void finish(struct sl_ml_call *call, int rc)
{
	if (rc)
		sl_mlflow_refuse(call, &call->error);
	else
		sl_mlflow_answer(call);
}

static struct sl_record record_over(const struct sl_mlflow *mlflow, struct sl_store *store)
{
	return (struct sl_record){.meta = store->meta, .ledger = store->ledger, .artifact_root = mlflow->artifact_root};
}

/* ---- writing: one commit for all of a turn ---------------------------------------------------------------------------- */

static void close_group(struct sl_mlflow *mlflow)
{
	struct sl_ml_call *call = mlflow->first, *next;
	struct sl_error err = {0};
	int rc = 0;
	if (!mlflow->open)
		return;
	if (call)
		rc = sl_meta_commit(mlflow->writer->meta, &err);
	else
		sl_meta_rollback(mlflow->writer->meta);
	mlflow->first = NULL;
	mlflow->last = &mlflow->first;
	mlflow->group = 0;
	mlflow->open = false;
	mlflow->unpublished |= call && !rc;
	for (; call; call = next) {
		next = call->next;
		call->error = err;
		finish(call, rc);
	}
}

/* The first of a group needs no mark: what fails takes only itself along. */
static int run_first_write(struct sl_ml_call *call, struct sl_error *err)
{
	int rc = call->route->handler(call, err);
	if (rc) {
		sl_meta_rollback(call->store->meta);
		call->server->open = false;
	}
	return rc;
}

static int run_write(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_meta *meta = call->store->meta;
	if (call->server->group == 0)
		return run_first_write(call, err);
	int rc = sl_meta_save(meta, err);
	if (rc)
		return rc;
	rc = call->route->handler(call, err);
	if (!rc)
		return sl_meta_keep(meta, err);
	struct sl_error lost;
	sl_meta_undo(meta, &lost); /* when it fails, so does the commit of all */
	return rc;
}

static void write_call(struct sl_ml_call *call)
{
	struct sl_mlflow *mlflow = call->server;
	int rc = 0;
	call->store = mlflow->writer;
	call->record = record_over(mlflow, call->store);
	if (!mlflow->open) {
		rc = sl_meta_begin(call->store->meta, &call->error);
		mlflow->open = !rc;
	}
	if (!rc) {
		sl_ledger_set_actor(call->store->ledger, call->caller.actor);
		rc = run_write(call, &call->error);
	}
	if (rc) {
		finish(call, rc);
		return;
	}
	*mlflow->last = call;
	mlflow->last = &call->next;
	if (++mlflow->group >= GROUP_MAX)
		close_group(mlflow);
}

/* Outside of a request's own turn nothing else would end the group. */
void sl_mlflow_write(struct sl_ml_call *call)
{
	struct sl_mlflow *mlflow = call->server;
	write_call(call);
	close_group(mlflow);
}

static void on_before_flush(void *context) { close_group(context); }

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static void read_call(struct sl_ml_call *call)
{
	call->store = call->server->reader;
	call->record = record_over(call->server, call->store);
	int rc = sl_meta_begin_read(call->store->meta, &call->error);
	if (!rc) {
		rc = call->route->handler(call, &call->error);
		sl_meta_end_read(call->store->meta);
	}
	finish(call, rc);
}

/* ---- on pool threads ------------------------------------------------------------------------------------------------ */

struct job {
	struct sl_ml_call *call;
	sl_ml_step *work, *done;
	int rc;
};

static void job_work(void *context)
{
	struct job *job = context;
	struct sl_ml_call *call = job->call;
	job->rc = sl_store_pool_take(&call->server->pool, &call->store, &call->error);
	if (job->rc)
		return;
	call->record = record_over(call->server, call->store);
	job->work(call);
	sl_store_pool_give(&call->server->pool, call->store);
	call->store = NULL;
}

static void job_done(void *context)
{
	struct job *job = context;
	job->call->server->working--;
	job->done(job->call);
}

int sl_mlflow_work(struct sl_ml_call *call, sl_ml_step *work, sl_ml_step *done, struct sl_error *err)
{
	struct job *job = sl_arena_alloc(call->arena, sizeof *job);
	if (!job)
		return sl_fail_memory(err);
	*job = (struct job){.call = call, .work = work, .done = done};
	int rc = sl_loop_work(call->server->loop, job_work, job_done, job, err);
	call->server->working += !rc;
	return rc;
}

static void slow_work(struct sl_ml_call *call)
{
	if (sl_meta_begin_read(call->store->meta, &call->error))
		return;
	call->route->handler(call, &call->error);
	sl_meta_end_read(call->store->meta);
}

static void slow_done(struct sl_ml_call *call) { finish(call, call->error.code); }

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static bool is_served_otherwise(const struct sl_http_request *request)
{
	const char *parts[SL_ML_PARTS_MAX];
	for (int method = 0; method < SL_HTTP_METHOD_COUNT; method++)
		if (sl_ml_route_find((enum sl_http_method)method, request->path, request->arena, parts))
			return true;
	return false;
}

static void refuse_unknown(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	call->error_code = "ENDPOINT_NOT_FOUND";
	if (is_served_otherwise(call->request)) {
		call->status = 405;
		sl_fail(&err, SL_E_INVALID, "The method is not allowed for the requested URL.");
	} else {
		sl_fail(&err, SL_E_NOT_FOUND, "Not Found: %.300s", call->request->path);
	}
	sl_mlflow_refuse(call, &err);
}

/* The one place that says who may do what; without a permission in the table nobody may. 0 or the HTTP status of the refusal. */
static int permit(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_mlflow *mlflow = call->server;
	const char *authorization = sl_http_request_header(call->request, "authorization");
	if (call->route->permit == SL_ML_OPEN)
		return 0;
	if (call->route->permit == SL_PERMIT_NONE) {
		sl_refusals_note(mlflow->refusals, SL_ACTOR_ANYBODY, sl_http_method_name(call->request->method), call->request->path);
		sl_fail(err, SL_E_DENIED, "Permission denied");
		return 403;
	}
	snprintf(call->caller.actor, sizeof call->caller.actor, "%s", SL_ACTOR_ANYBODY);
	if (!mlflow->options.require_token && !authorization)
		return 0;
	if (sl_access_is_named(mlflow->access, authorization) && sl_access_refresh(mlflow->access, err))
		return 503;
	int status = sl_access_check(mlflow->access, call->route->permit, authorization, &call->caller, err);
	if (status == 401 && !mlflow->options.require_token) /* credentials of another server that were left in the environment */
		return 0;
	if (status)
		sl_refusals_note(mlflow->refusals, call->caller.actor, sl_http_method_name(call->request->method), call->request->path);
	call->error_code = status == 401 ? "UNAUTHENTICATED" : "PERMISSION_DENIED";
	return status;
}

static struct sl_ml_call *new_call(struct sl_mlflow *mlflow, struct sl_http_request *request)
{
	struct sl_ml_call *call = sl_arena_alloc(request->arena, sizeof *call);
	struct sl_error err = {0};
	if (!call) {
		sl_fail_memory(&err);
		sl_http_respond_error(request, 0, &err);
		return NULL;
	}
	call->server = mlflow;
	call->request = request;
	call->arena = request->arena;
	sl_buf_init(&call->out, SL_ML_ANSWER_MAX);
	call->route = sl_ml_route_find(request->method, request->path, request->arena, call->parts);
	return call;
}

static void on_handover_failed(void *context, struct sl_http_request *request, const struct sl_error *err)
{
	(void)context;
	sl_http_respond_error(request, 503, err);
}

/* Until it begins work of its own, such a call sees what is committed. */
static void start_own(struct sl_ml_call *call)
{
	call->store = call->server->reader;
	call->record = record_over(call->server, call->store);
	call->route->start(call);
}

static void on_head(void *context, struct sl_http_request *request)
{
	struct sl_mlflow *mlflow = context;
	struct sl_error err = {0};
	if (mlflow->options.api_socket && !sl_ml_is_path(request->path) && strcmp(request->path, "/version") != 0) {
		if (sl_http_request_hand_over(request, mlflow->options.api_socket, on_handover_failed, mlflow, &err))
			sl_http_respond_error(request, 0, &err);
		return;
	}
	struct sl_ml_call *call = new_call(mlflow, request);
	if (!call)
		return;
	request->user = call;
	if (!call->route)
		refuse_unknown(call);
	else if ((call->status = permit(call, &err)))
		sl_mlflow_refuse(call, &err);
	else if (call->route->kind == SL_ML_OWN)
		start_own(call);
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct sl_ml_call *call = request->user;
	(void)context;
	if (call->route->kind == SL_ML_OWN) /* it has the request already, and wants no body */
		return;
	if (call->route->kind == SL_ML_LATER) {
		start_own(call);
		return;
	}
	int rc = call->route->kind == SL_ML_RAW ? 0 : sl_ml_call_read(call, &call->error);
	if (!rc && call->route->kind == SL_ML_SLOW)
		rc = sl_mlflow_work(call, slow_work, slow_done, &call->error);
	if (rc)
		sl_mlflow_refuse(call, &call->error);
	else if (call->route->kind == SL_ML_WRITE || call->route->kind == SL_ML_RAW)
		write_call(call);
	else if (call->route->kind == SL_ML_READ)
		read_call(call);
}

/* Refusals of the HTTP server itself. */
static void error_body(void *context, const char *path, int status, const struct sl_error *error, struct sl_buf *body,
	const char **content_type)
{
	(void)context, (void)path, (void)status;
	*content_type = JSON;
	sl_ml_error_body(error, NULL, body);
}

/* ---- the ledger's tiles --------------------------------------------------------------------------------------------- */

static void publish_work(void *context)
{
	struct sl_mlflow *mlflow = context;
	struct sl_store *store;
	struct sl_error err = {0};
	int rc = sl_store_pool_take(&mlflow->pool, &store, &err);
	if (!rc) {
		rc = sl_ledger_publish(store->ledger, &err);
		sl_store_pool_give(&mlflow->pool, store);
	}
	if (rc) /* the rows are there: the next one publishes them */
		sl_log(SL_LOG_WARNING, "ledger not published: %s: %s", err.where, err.message);
}

static void publish_done(void *context)
{
	struct sl_mlflow *mlflow = context;
	mlflow->publishing = false;
	mlflow->working--;
}

static void on_timer(void *context)
{
	struct sl_mlflow *mlflow = context;
	if (!mlflow->unpublished || mlflow->publishing)
		return;
	mlflow->unpublished = false;
	mlflow->publishing = sl_loop_work(mlflow->loop, publish_work, publish_done, mlflow, NULL) == 0;
	mlflow->working += mlflow->publishing;
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static int open_stores(struct sl_mlflow *mlflow, struct sl_error *err)
{
	int rc = sl_store_open(mlflow->project_dir, &mlflow->writer, err);
	if (!rc)
		rc = sl_store_open(mlflow->project_dir, &mlflow->reader, err);
	if (!rc)
		rc = sl_meta_tune(mlflow->writer->meta, WRITER_CACHE_KIB, LOG_FRAMES, err);
	if (!rc)
		rc = sl_meta_tune(mlflow->reader->meta, READER_CACHE_KIB, LOG_FRAMES, err);
	if (rc)
		return rc;
	rc = sl_access_open(mlflow->reader->meta, mlflow->writer->dir, mlflow->options.require_token, &mlflow->access, err);
	if (rc)
		return rc;
	struct sl_record record = record_over(mlflow, mlflow->writer);
	return sl_experiments_prepare(&record, err);
}

static int open_http(struct sl_mlflow *mlflow, struct sl_error *err)
{
	static const struct sl_http_header headers[] = {
		{"Server", "sluice/" SLUICE_VERSION}, {"X-Content-Type-Options", "nosniff"}, {"X-Frame-Options", "SAMEORIGIN"},
		{"Cache-Control", "no-store"}};
	struct sl_http_config config = {
		.handler = {.context = mlflow, .head = on_head, .request = on_request, .before_flush = on_before_flush,
			.error_body = error_body},
		.limits = {.body_bytes = BODY_BYTES_MAX},
		.headers = headers, .header_count = SL_ARRAY_LEN(headers),
		.hosts = mlflow->options.hosts, .host_count = mlflow->options.host_count,
	};
	int rc = sl_http_server_new(mlflow->loop, &config, &mlflow->http, err);
	if (!rc && mlflow->options.adopt_socket)
		rc = sl_http_server_adopt_listen(mlflow->http, mlflow->options.adopt_socket, err);
	if (!rc && mlflow->options.listen_fd >= 0)
		rc = sl_http_server_listen_fd(mlflow->http, mlflow->options.listen_fd, err);
	return rc;
}

static int copy_options(struct sl_mlflow *mlflow, const struct sl_mlflow_options *options, struct sl_error *err)
{
	const char *root = options->artifact_root ? options->artifact_root : DEFAULT_ROOT;
	const char *destination = options->artifacts_destination ? options->artifacts_destination : "";
	if (strlen(options->project_dir) >= SL_PATH_MAX || strlen(root) >= SL_PATH_MAX || strlen(destination) >= SL_PATH_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "a path is longer than %d bytes", SL_PATH_MAX - 1);
	if (*destination) {
		sl_fail(err, SL_E_INVALID, "artifacts that come through this server lie in its store; '%.300s' cannot take them", destination);
		return sl_error_hint(err, "leave --artifacts-destination out, or let clients go to another place by --default-artifact-root");
	}
	mlflow->options = *options;
	mlflow->options.project_dir = strcpy(mlflow->project_dir, options->project_dir);
	mlflow->options.artifact_root = strcpy(mlflow->artifact_root, root);
	strcpy(mlflow->artifacts_destination, destination);
	mlflow->options.artifacts_destination = *destination ? mlflow->artifacts_destination : NULL;
	return 0;
}

int sl_mlflow_new(struct sl_loop *loop, const struct sl_mlflow_options *options, struct sl_mlflow **ret, struct sl_error *err)
{
	struct sl_mlflow *mlflow = sl_alloc(sizeof *mlflow, err);
	if (!mlflow)
		return SL_E_NO_MEMORY;
	mlflow->loop = loop;
	mlflow->last = &mlflow->first;
	sl_store_pool_init(&mlflow->pool, mlflow->project_dir);
	mlflow->pool.cache_kib = SEARCH_CACHE_KIB;
	mlflow->pool.log_frames = LOG_FRAMES;
	int rc = copy_options(mlflow, options, err);
	if (!rc)
		rc = open_stores(mlflow, err);
	if (!rc)
		rc = sl_refusals_open(loop, mlflow->project_dir, &mlflow->refusals, err);
	if (!rc)
		rc = sl_ml_adopter_new(loop, &mlflow->pool, mlflow->project_dir, &mlflow->adopter, err);
	if (!rc && options->send_webhooks)
		rc = sl_ml_sender_new(loop, &mlflow->pool, &options->webhooks, &mlflow->sender, err);
	if (!rc)
		rc = sl_timer_new(loop, on_timer, mlflow, &mlflow->timer, err);
	if (!rc)
		rc = open_http(mlflow, err);
	if (rc) {
		sl_mlflow_free(mlflow);
		return rc;
	}
	sl_timer_start(mlflow->timer, PUBLISH_EVERY_MS, PUBLISH_EVERY_MS);
	*ret = mlflow;
	return 0;
}

void sl_mlflow_drain(struct sl_mlflow *mlflow, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	sl_http_server_drain(mlflow->http, deadline_ms, done, context);
}

void sl_mlflow_free(struct sl_mlflow *mlflow)
{
	if (!mlflow)
		return;
	close_group(mlflow);
	while (mlflow->working) /* it holds our stores */
		sl_loop_run_once(mlflow->loop, true);
	sl_ml_adopter_free(mlflow->adopter);
	sl_ml_sender_free(mlflow->sender);
	sl_http_server_free(mlflow->http);
	sl_timer_free(mlflow->timer);
	sl_refusals_close(mlflow->refusals);
	sl_store_pool_done(&mlflow->pool);
	sl_access_close(mlflow->access);
	sl_store_close(mlflow->reader);
	sl_store_close(mlflow->writer);
	sl_free(mlflow);
}

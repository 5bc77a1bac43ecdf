#include "api/server.h"

#include <string.h>

#include "api/dispatch.h"
#include "api/html.h"
#include "api/metrics.h"
#include "api/page.h"
#include "track/pool.h"
#include "base/str.h"
#include "op/access.h"
#include "op/context.h"
#include "op/refusal.h"

enum { ANSWER_BYTES_MAX = 256 << 20 };

struct sl_api {
	struct sl_api_options options;
	struct sl_loop *loop;
	struct sl_http_server *server;
	struct sl_store_pool pool;
	struct sl_store *store; /* the loop's own, for tokens */
	struct sl_access *access;
	size_t jobs;
	struct sl_refusals *refusals;
};

/* One request on its way through the pool. */
struct job {
	struct sl_api *api;
	struct sl_http_request *request;
	void (*work)(struct job *job);   /* on a pool thread */
	struct sl_api_match match;
	struct sl_caller caller;
	struct sl_page page;
	struct sl_http_stats stats;
	struct sl_error error;
	int status;
	const char *content_type;
	struct sl_buf body;
	char location[100];              /* of a call that goes on; "": done */
	volatile int cancelled;
};

static const struct sl_http_header FIXED_HEADERS[] = {
	{"Server", "sluice/" SLUICE_VERSION},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-store"},
	{"Content-Security-Policy",
	 "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
};

/* ---- on a pool thread ---- */

/* Runs a call with a store of the pool; a change is published in the ledger before it is answered. */
static int run_call(void *context, struct sl_call *call, struct sl_error *err)
{
	struct job *job = context;
	struct sl_store *store;
	int rc = sl_store_pool_take(&job->api->pool, &store, err);
	if (rc)
		return rc;
	bool changes = call->op->permission != SL_PERMIT_VIEW;
	sl_ledger_set_actor(store->ledger, job->caller.actor);
	call->store = store;
	call->store_borrowed = true;
	call->cancel = &job->cancelled;
	call->remote = true;
	rc = sl_call_run(call, err);
	if (changes && !rc)
		rc = sl_ledger_publish(store->ledger, err);
	sl_store_pool_give(&job->api->pool, store);
	return rc;
}

static int answer_call(struct job *job, struct sl_call *call)
{
	struct sl_http_request *request = job->request;
	int rc = sl_api_arguments(call, &job->match, request->query, request->body, request->body_len, &job->error);
	if (!rc)
		rc = run_call(job, call, &job->error);
	if (rc)
		return rc;
	job->content_type = "application/json";
	snprintf(job->location, sizeof job->location, "%s", call->location ? call->location : "");
	if (call->raw)
		sl_buf_str(&job->body, call->raw);
	else
		rc = sl_json_write(call->result, false, &job->body, &job->error);
	return rc ? rc : sl_buf_check(&job->body, "the answer", &job->error);
}

static void work_op(struct job *job)
{
	struct sl_call call;
	if (sl_call_begin(&call, job->match.op, job->api->options.project_dir, &job->error))
		return;
	answer_call(job, &call);
	sl_call_done(&call);
}

static void work_page(struct job *job)
{
	job->content_type = "text/html; charset=utf-8";
	sl_page_render(&job->page, job->api->options.project_name, job->api->options.project_dir, run_call, job, &job->body,
		&job->error);
}

static void work_metrics(struct job *job)
{
	struct sl_store *store;
	job->content_type = SL_METRICS_TYPE;
	if (sl_store_pool_take(&job->api->pool, &store, &job->error))
		return;
	sl_metrics_write(store, &job->stats, &job->body, &job->error);
	sl_store_pool_give(&job->api->pool, store);
}

static void on_work(void *context)
{
	struct job *job = context;
	if (!job->cancelled)
		job->work(job);
}

/* ---- on the loop ---- */

static void free_job(struct job *job)
{
	job->api->jobs--;
	sl_buf_done(&job->body);
	sl_free(job);
}

static void error_page(struct sl_buf *out, const char *project, const struct sl_error *error)
{
	sl_html_begin(out, project, "Not here");
	sl_buf_str(out, "<p>");
	sl_html_escape(out, error->message);
	sl_buf_str(out, "</p><p class=\"note\">");
	sl_html_escape(out, error->hint);
	sl_buf_str(out, "</p>");
	sl_html_end(out);
}

static void respond_failed_page(struct job *job)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	error_page(&text, job->api->options.project_name, &job->error);
	sl_http_respond(job->request, &(struct sl_http_response){.status = sl_code_http_status(job->error.code),
		.content_type = "text/html; charset=utf-8", .body = text.data, .body_len = text.len});
}

static void respond_done(struct job *job)
{
	const struct sl_http_header location = {"Location", job->location};
	bool goes_on = job->location[0];
	sl_http_respond(job->request, &(struct sl_http_response){.status = goes_on ? 202 : 200, .content_type = job->content_type,
		.headers = &location, .header_count = goes_on, .body = sl_buf_cstr(&job->body), .body_len = job->body.len});
}

static void on_done(void *context)
{
	struct job *job = context;
	if (job->cancelled)
		sl_fail(&job->error, SL_E_CANCELLED, "the client went away");
	if (job->error.code && job->page.count)
		respond_failed_page(job);
	else if (job->error.code)
		sl_http_respond_error(job->request, 0, &job->error);
	else
		respond_done(job);
	free_job(job);
}

static void on_gone(void *context, struct sl_http_request *request)
{
	(void)request;
	((struct job *)context)->cancelled = 1;
}

static struct job *new_job(struct sl_api *api, void (*work)(struct job *), struct sl_error *err)
{
	if (api->jobs >= SL_API_JOBS_MAX) {
		sl_fail(err, SL_E_BUSY, "%d requests are under way", SL_API_JOBS_MAX);
		return NULL;
	}
	struct job *job = sl_alloc(sizeof *job, err);
	if (!job)
		return NULL;
	job->api = api;
	job->work = work;
	snprintf(job->caller.actor, sizeof job->caller.actor, "%s", SL_ACTOR_ANYBODY);
	sl_buf_init(&job->body, ANSWER_BYTES_MAX);
	api->jobs++;
	return job;
}

/* Takes over the job. */
static void start(struct job *job, struct sl_http_request *request)
{
	struct sl_error err = {0};
	job->request = request;
	sl_http_request_on_gone(request, on_gone, job);
	if (sl_loop_work(job->api->loop, on_work, on_done, job, &err) == 0)
		return;
	sl_http_respond_error(request, 0, &err);
	free_job(job);
}

/* ---- refusals into the ledger ---- */

/* A foreign Host or Origin; that a request was malformed is nothing to keep. */
static void on_refused(void *context, int status, const struct sl_error *error)
{
	struct sl_api *api = context;
	if (status == 403)
		sl_refusals_note(api->refusals, SL_ACTOR_ANYBODY, "HTTP", error->message);
}

/* ---- routing ---- */

static void respond_text(struct sl_http_request *request, const char *type, const char *text)
{
	sl_http_respond(request, &(struct sl_http_response){.status = 200,
					 .content_type = type,
					 .body = text,
					 .body_len = strlen(text),
					 .release = sl_http_borrow_arena});
}

/* Answers and keeps a record when the caller may not. A token is looked up in the table as it is now: one that was revoked is
 * refused from that moment on. */
static bool permit(struct sl_api *api, struct sl_http_request *request, enum sl_permission permission, struct sl_caller *ret)
{
	struct sl_error err = {0};
	const char *authorization = sl_http_request_header(request, "authorization");
	if (sl_access_is_named(api->access, authorization) && sl_access_refresh(api->access, &err)) {
		sl_http_respond_error(request, 503, &err);
		return false;
	}
	int status = sl_access_check(api->access, permission, authorization, ret, &err);
	if (!status)
		return true;
	sl_refusals_note(api->refusals, ret->actor, sl_http_method_name(request->method), request->path);
	sl_http_respond_error(request, status, &err);
	return false;
}

static void serve_op(struct sl_api *api, struct sl_http_request *request)
{
	struct sl_error err = {0};
	struct sl_api_match match;
	int rc = sl_api_route(request->method, request->path, request->arena, &match, &err);
	if (rc) {
		sl_http_respond_error(request, rc == SL_E_INVALID ? 405 : 0, &err);
		return;
	}
	struct sl_caller caller;
	if (!permit(api, request, match.op->permission, &caller))
		return;
	struct job *job = new_job(api, work_op, &err);
	if (!job) {
		sl_http_respond_error(request, 0, &err);
		return;
	}
	job->match = match;
	job->caller = caller;
	start(job, request);
}

static void serve_page(struct sl_api *api, struct sl_http_request *request)
{
	struct sl_error err = {0};
	struct job *job = new_job(api, work_page, &err);
	if (!job) {
		sl_http_respond_error(request, 0, &err);
		return;
	}
	if (sl_page_find(request->path, request->arena, &job->page, &job->error)) {
		job->request = request;
		respond_failed_page(job);
		free_job(job);
		return;
	}
	start(job, request);
}

static void serve_metrics(struct sl_api *api, struct sl_http_request *request)
{
	struct sl_error err = {0};
	struct job *job = new_job(api, work_metrics, &err);
	if (!job) {
		sl_http_respond_error(request, 0, &err);
		return;
	}
	sl_http_server_stats(api->server, &job->stats);
	start(job, request);
}

/* What is no operation. */
static void serve_fixed(struct sl_api *api, struct sl_http_request *request, bool reading)
{
	struct sl_error err = {0};
	if (!reading) {
		sl_fail(&err, SL_E_INVALID, "%s takes GET", request->path);
		sl_http_respond_error(request, 405, &err);
	} else if (sl_str_eq(request->path, "/api/v1/openapi.json")) {
		respond_text(request, "application/json", sl_op_openapi);
	} else if (sl_str_eq(request->path, "/metrics")) {
		serve_metrics(api, request);
	} else if (sl_str_eq(request->path, "/style.css")) {
		respond_text(request, "text/css; charset=utf-8", sl_html_style);
	} else {
		serve_page(api, request);
	}
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct sl_api *api = context;
	struct sl_caller caller;
	bool reading = request->method == SL_HTTP_GET || request->method == SL_HTTP_HEAD;
	if (sl_str_eq(request->path, "/health") && reading) /* for balancers, which have no token */
		respond_text(request, "application/json", "{\"status\":\"ok\"}");
	else if (sl_str_starts(request->path, "/api/") && !sl_str_eq(request->path, "/api/v1/openapi.json"))
		serve_op(api, request);
	else if (permit(api, request, SL_PERMIT_VIEW, &caller))
		serve_fixed(api, request, reading);
}

static void on_handover_failed(void *context, struct sl_http_request *request, const struct sl_error *err)
{
	(void)context;
	sl_http_respond_error(request, 503, err);
}
static void on_head(void *context, struct sl_http_request *request)
{
	struct sl_api *api = context;
	struct sl_error err = {0};
	sl_http_request_body_limit(request, SL_API_BODY_BYTES);
	/* The address that both protocols have is MLflow's where nothing is served, and for its clients, which say that they are. */
	bool version = sl_str_eq(request->path, "/version") &&
		(!api->options.infer_socket || sl_http_request_header(request, "x-mlflow-client-version"));
	if (api->options.mlflow_socket && (version || api->options.is_mlflow_path(request->path))) {
		if (sl_http_request_hand_over(request, api->options.mlflow_socket, on_handover_failed, api, &err))
			sl_http_respond_error(request, 0, &err);
		return;
	}
	if (!api->options.is_infer_path(request->path))
		return;
	if (!api->options.infer_socket) {
		sl_fail(&err, SL_E_NOT_FOUND, "this project has no endpoint");
		sl_error_hint(&err, "add one under 'endpoints:' in sluice.yaml, then sluice down && sluice up");
		sl_http_respond_error(request, 0, &err);
	} else if (sl_http_request_hand_over(request, api->options.infer_socket, on_handover_failed, api, &err)) {
		sl_http_respond_error(request, 0, &err);
	}
}

int sl_api_new(struct sl_loop *loop, const struct sl_api_options *options, struct sl_api **ret, struct sl_error *err)
{
	struct sl_api *api = sl_alloc(sizeof *api, err);
	if (!api)
		return SL_E_NO_MEMORY;
	api->options = *options;
	api->loop = loop;
	sl_store_pool_init(&api->pool, options->project_dir);
	struct sl_http_config config = {
		.handler = {.context = api, .head = on_head, .request = on_request, .refused = on_refused},
		.hosts = options->hosts, .host_count = options->host_count,
		.headers = FIXED_HEADERS, .header_count = SL_ARRAY_LEN(FIXED_HEADERS), .http2_socket = options->infer_socket,
	};
	int rc = sl_store_open(options->project_dir, &api->store, err);
	if (!rc)
		rc = sl_access_open(api->store->meta, options->store_dir, options->require_token, &api->access, err);
	if (!rc)
		rc = sl_refusals_open(loop, options->project_dir, &api->refusals, err);
	if (!rc)
		rc = sl_http_server_new(loop, &config, &api->server, err);
	if (!rc)
		rc = sl_http_server_adopt_listen(api->server, options->adopt_socket, err);
	if (!rc)
		rc = sl_http_server_listen_fd(api->server, options->listen_fd, err);
	if (rc) {
		sl_api_free(api);
		return rc;
	}
	*ret = api;
	return 0;
}

void sl_api_drain(struct sl_api *api, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	sl_http_server_drain(api->server, deadline_ms, done, context);
}

void sl_api_free(struct sl_api *api)
{
	sl_http_server_free(api->server);
	sl_refusals_close(api->refusals);
	sl_store_pool_done(&api->pool);
	sl_access_close(api->access);
	sl_store_close(api->store);
	sl_free(api);
}

#include "oip/server.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "oip/grpc.h"
#include "oip/grpc_health.h"
#include "oip/grpc_reflect.h"
#include "oip/work.h"
#include "op/access.h"
#include "op/refusal.h"
#include "serve/endpoint.h"
#include "track/notify.h"

enum { LOOK_EVERY_MS = 1000 };

/* Error bodies of every path here, refusals of the HTTP server included: {"error": "what: where (what to do)"}; /invocations
 * adds MLflow's members. */
static void error_body(void *context, const char *path, int status, const struct sl_error *err, struct sl_buf *body,
		       const char **content_type)
{
	(void)context;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_buf_str(&text, err->where);
	sl_buf_str(&text, err->where[0] ? ": " : "");
	sl_buf_str(&text, err->message);
	if (err->hint[0])
		sl_buf_printf(&text, " (%s)", err->hint);
	*content_type = OIP_JSON;
	sl_buf_str(body, "{\"error\":");
	sl_json_string(body, sl_buf_cstr(&text), text.len);
	if (path && !sl_str_starts(path, "/v2") && !sl_str_starts(path, "/v1")) {
		sl_buf_printf(body, ",\"error_code\":\"%s\",\"message\":", status < 500 ? "BAD_REQUEST" : "INTERNAL_ERROR");
		sl_json_string(body, sl_buf_cstr(&text), text.len);
	}
	sl_buf_char(body, '}');
}

/* ---- routing ---- */

static bool under(const char *path, const char *root)
{
	size_t len = strlen(root);
	return strncmp(path, root, len) == 0 && (!path[len] || path[len] == '/');
}

static bool is_endpoint_path(const char *path) { return sl_str_starts(path, "/endpoints/") && sl_str_ends(path, "/invocations"); }

bool sl_oip_is_path(const char *path)
{
	if (strcmp(path, "/v1/traces") == 0) /* OpenTelemetry's, which the tracking role takes */
		return false;
	return under(path, "/v2") || under(path, "/v1") || strcmp(path, "/invocations") == 0 || strcmp(path, "/ping") == 0 ||
	       strcmp(path, "/version") == 0 || is_endpoint_path(path);
}

static bool permit(struct sl_oip *oip, struct sl_http_request *request)
{
	struct sl_error err = {0};
	struct sl_caller caller;
	int status = sl_access_check(oip->access, SL_PERMIT_PREDICT, sl_http_request_header(request, "authorization"), &caller, &err);
	if (!status)
		return true;
	sl_refusals_note(oip->refusals, caller.actor, sl_http_method_name(request->method), request->path);
	sl_http_respond_error(request, status, &err);
	return false;
}

/* A foreign Host or Origin. */
static void on_refused(void *context, int status, const struct sl_error *error)
{
	struct sl_oip *oip = context;
	if (status == 403 && oip->refusals)
		sl_refusals_note(oip->refusals, SL_ACTOR_ANYBODY, "HTTP", error->message);
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct sl_oip *oip = context;
	const char *path = request->path;
	if (oip->options.require_token && !permit(oip, request))
		return;
	sl_buf_clear(&oip->desk.out);
	if (under(path, "/v2")) {
		oip_v2(oip, request, path + strlen("/v2"));
	} else if (under(path, "/v1")) {
		oip_v1(oip, request, path + strlen("/v1"));
	} else if (strcmp(path, "/invocations") == 0) {
		oip_invocations(oip, request);
	} else if (is_endpoint_path(path)) {
		oip_endpoint_invocations(oip, request);
	} else if (strcmp(path, "/ping") == 0 || strcmp(path, "/health") == 0) {
		if (oip_is_get(request))
			oip_answer(request, oip_all_ready(oip) ? 200 : 404, OIP_JSON, "\n", 1);
	} else if (strcmp(path, "/version") == 0) {
		if (oip_is_get(request))
			oip_answer(request, 200, "text/plain", SLUICE_VERSION, strlen(SLUICE_VERSION));
	} else {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "nothing is here");
	}
}

static void on_handover_failed(void *context, struct sl_http_request *request, const struct sl_error *err)
{
	(void)context;
	sl_http_respond_error(request, 503, err);
}

static void on_head(void *context, struct sl_http_request *request)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
	bool tracking = strcmp(request->path, "/version") == 0 && sl_http_request_header(request, "x-mlflow-client-version");
	if ((sl_oip_is_path(request->path) && !tracking) || !oip->options.api_socket)
		return;
	if (sl_http_request_hand_over(request, oip->options.api_socket, on_handover_failed, oip, &err))
		sl_http_respond_error(request, 0, &err);
}

/* ---- following the registry ---- */

/* In the order in which api/metrics.c gives them names. */
static void publish_server(struct sl_oip *oip)
{
	struct sl_http_stats s;
	struct sl_stats *stats = sl_serving_stats(oip->serving);
	sl_http_server_stats(oip->server, &s);
	const uint64_t values[] = {s.connections_accepted, s.requests, s.refusals, s.bytes_in, s.bytes_out, s.handed_over, s.adopted};
	if (stats)
		sl_stats_server(stats, values, SL_ARRAY_LEN(values));
}

static void look(void *context)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
	publish_server(oip);
	sl_serving_refresh(oip->serving);
	if (oip->options.require_token && sl_access_refresh(oip->access, &err))
		sl_log(SL_LOG_WARNING, "cannot look at the tokens: %s", err.message);
}

static void on_bell(void *context, int events)
{
	struct sl_oip *oip = context;
	(void)events;
	sl_notify_clear(oip->bell_fd);
	look(oip);
}

static int follow_registry(struct sl_oip *oip, struct sl_error *err)
{
	const struct sl_serving_files *files = oip->options.files;
	int rc = files ? 0 : sl_notify_listen(oip->options.store->dir, &oip->bell_fd, err);
	if (!rc && !files)
		rc = sl_watch_new(oip->loop, oip->bell_fd, on_bell, oip, &oip->bell, err);
	if (!rc && !files)
		rc = sl_watch_set(oip->bell, SL_FD_READ, err);
	if (!rc)
		rc = sl_timer_new(oip->loop, look, oip, &oip->timer, err);
	if (!rc && (!files || files->follow))
		sl_timer_start(oip->timer, LOOK_EVERY_MS, LOOK_EVERY_MS);
	return rc;
}

static void on_http2(void *context, int fd, const char *data, size_t len)
{
	struct sl_oip *oip = context;
	sl_h2_server_adopt(sl_grpc_h2(oip->grpc), fd, data, len);
}

static int open_grpc(struct sl_oip *oip, struct sl_error *err)
{
	int rc = oip->options.grpc ? oip_grpc_open(oip, &oip->grpc, err) : 0;
	if (!rc && oip->grpc && oip->options.grpc_fd >= 0)
		rc = sl_h2_server_listen_fd(sl_grpc_h2(oip->grpc), oip->options.grpc_fd, err);
	return rc;
}

static int open_http(struct sl_oip *oip, struct sl_error *err)
{
	static const struct sl_http_header headers[] = {
		{"Server", "sluice/" SLUICE_VERSION}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}};
	struct sl_http_config config = {
		.handler = {.context = oip, .head = on_head, .request = on_request, .refused = on_refused, .error_body = error_body,
			    .http2 = oip->grpc ? on_http2 : NULL},
		.limits = {.body_bytes = SL_BODY_BYTES_MAX},
		.hosts = oip->options.hosts, .host_count = oip->options.host_count,
		.headers = headers, .header_count = SL_ARRAY_LEN(headers),
	};
	int rc = sl_http_server_new(oip->loop, &config, &oip->server, err);
	if (!rc && oip->options.adopt_socket)
		rc = sl_http_server_adopt_listen(oip->server, oip->options.adopt_socket, err);
	if (!rc && oip->options.listen_fd >= 0)
		rc = sl_http_server_listen_fd(oip->server, oip->options.listen_fd, err);
	return rc;
}

int sl_oip_new(struct sl_loop *loop, const struct sl_oip_options *options, struct sl_oip **ret, struct sl_error *err)
{
	struct sl_oip *oip = sl_alloc(sizeof *oip, err);
	if (!oip)
		return SL_E_NO_MEMORY;
	oip->loop = loop;
	oip->options = *options;
	oip->bell_fd = -1;
	int rc = oip_desk_init(&oip->desk, err);
	if (!rc && !options->files)
		rc = sl_access_open(options->store->meta, options->store->dir, options->require_token, &oip->access, err);
	if (!rc && !options->files)
		rc = sl_refusals_open(loop, options->store->project_dir, &oip->refusals, err);
	if (!rc) /* before looking at the aliases: what is rung from now on is heard */
		rc = follow_registry(oip, err);
	if (!rc)
		rc = options->files ? sl_serving_open_files(options->files, &oip->serving, err)
				    : sl_serving_open(options->store, options->project, &oip->serving, err);
	if (!rc)
		rc = oip_pool_open(oip, err);
	if (!rc && options->traces && *options->traces)
		rc = oip_tracer_new(loop, options->traces, options->traces_ratio, &oip->tracer, err);
	if (!rc)
		rc = open_grpc(oip, err);
	if (!rc)
		rc = open_http(oip, err);
	if (rc) {
		sl_oip_free(oip);
		return rc;
	}
	*ret = oip;
	return 0;
}

static void on_drained(void *context)
{
	struct sl_oip *oip = context;
	if (--oip->draining == 0)
		oip->drained(oip->drained_context);
}

void sl_oip_drain(struct sl_oip *oip, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	oip->drained = done;
	oip->drained_context = context;
	oip->draining = oip->grpc ? 2 : 1;
	if (oip->grpc)
		oip_health_stop(oip->health);
	if (oip->grpc)
		sl_h2_server_drain(sl_grpc_h2(oip->grpc), deadline_ms, on_drained, oip);
	sl_http_server_drain(oip->server, deadline_ms, on_drained, oip);
}

void sl_oip_free(struct sl_oip *oip)
{
	if (!oip)
		return;
	oip_pool_stop(oip);
	sl_http_server_free(oip->server);
	sl_grpc_server_free(oip->grpc);
	oip_tracer_free(oip->tracer);
	oip_health_free(oip->health);
	oip_reflection_free(oip->reflection);
	sl_arena_free(oip->arena);
	sl_watch_free(oip->bell);
	sl_timer_free(oip->timer);
	sl_file_close(&oip->bell_fd);
	oip_pool_free(oip);
	oip_desk_done(&oip->desk);
	sl_serving_close(oip->serving);
	sl_refusals_close(oip->refusals);
	sl_access_close(oip->access);
	sl_free(oip);
}


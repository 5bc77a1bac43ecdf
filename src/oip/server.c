#include "oip/server.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/str.h"
#include "oip/answer.h"
#include "oip/body.h"
#include "oip/invocations.h"
#include "oip/v2.h"
#include "op/access.h"
#include "os/clock.h"
#include "serve/endpoint.h"
#include "serve/predict.h"
#include "track/notify.h"

enum { ANSWER_BYTES_MAX = 64 << 20, ANSWER_KEEP_BYTES = 256 * 1024, LOOK_EVERY_MS = 1000 };
static const char JSON[] = "application/json";

struct sl_oip {
	struct sl_loop *loop;
	struct sl_http_server *server;
	struct sl_serving *serving;
	struct sl_access *access; /* as the table was when somebody rang, at most LOOK_EVERY_MS ago */
	struct sl_oip_options options;
	struct sl_timer *timer;        /* in case the bell could not be rung */
	struct sl_watch *bell;
	int bell_fd;
	/* Kept from request to request. */
	struct sl_inputs rows;
	struct sl_body_parser parser;
	struct sl_buf out;
};

/* ---- small answers ---- */

static void answer(struct sl_http_request *request, int status, const char *type, const char *body, size_t len)
{
	sl_http_respond(request, &(struct sl_http_response){.status = status, .content_type = type, .body = body,
							      .body_len = len});
}

static void answer_out(struct sl_oip *oip, struct sl_http_request *request, int status)
{
	struct sl_error err = {0};
	if (sl_buf_check(&oip->out, "the answer", &err))
		sl_http_respond_error(request, 0, &err);
	else
		answer(request, status, JSON, oip->out.data, oip->out.len);
}

static void answer_error(struct sl_http_request *request, int status, int code, const char *message)
{
	struct sl_error err = {0};
	sl_fail(&err, code, "%s", message);
	sl_http_respond_error(request, status, &err);
}

static void answer_method(struct sl_http_request *request, const char *allowed)
{
	char body[100];
	int len = snprintf(body, sizeof body, "{\"error\":\"this address takes %s only\"}", allowed);
	struct sl_http_header allow = {"Allow", allowed};
	sl_http_respond(request, &(struct sl_http_response){
		.status = 405, .content_type = JSON, .headers = &allow, .header_count = 1, .body = body,
		.body_len = (size_t)len});
}

static bool is_get(struct sl_http_request *request)
{
	if (request->method == SL_HTTP_GET || request->method == SL_HTTP_HEAD)
		return true;
	answer_method(request, "GET");
	return false;
}

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
	*content_type = JSON;
	sl_buf_str(body, "{\"error\":");
	sl_json_string(body, sl_buf_cstr(&text), text.len);
	if (path && !sl_str_starts(path, "/v2")) {
		sl_buf_printf(body, ",\"error_code\":\"%s\",\"message\":", status < 500 ? "BAD_REQUEST" : "INTERNAL_ERROR");
		sl_json_string(body, sl_buf_cstr(&text), text.len);
	}
	sl_buf_char(body, '}');
}

/* ---- finding the endpoint ---- */

static void refuse(struct sl_endpoint_state *endpoint, struct sl_http_request *request, const struct sl_error *err)
{
	struct sl_endpoint_stats *stats = sl_endpoint_stats(endpoint);
	if (sl_code_http_status(err->code) < 500)
		stats->refused++;
	else
		stats->failed++;
	sl_http_respond_error(request, 0, err);
}

static void answer_no_endpoint(struct sl_oip *oip, struct sl_http_request *request, const char *name, size_t len)
{
	struct sl_error err = {0};
	sl_fail(&err, SL_E_NOT_FOUND, "no endpoint is called '%.*s'", (int)(len < SL_NAME_MAX ? len : SL_NAME_MAX), name);
	if (sl_serving_count(oip->serving))
		sl_error_hint(&err, "there is '%s'", sl_endpoint_spec(sl_serving_at(oip->serving, 0))->name);
	sl_http_respond_error(request, 0, &err);
}

/* What answers for the endpoint; NULL after saying why nothing does. */
static struct sl_served *ready(struct sl_endpoint_state *endpoint, struct sl_http_request *request)
{
	struct sl_served *served = sl_endpoint_now(endpoint);
	struct sl_error err = {0};
	if (served)
		return served;
	sl_fail(&err, SL_E_BUSY, "endpoint '%s' has no model yet: %s", sl_endpoint_spec(endpoint)->name,
		sl_endpoint_problem(endpoint)->message);
	sl_error_hint(&err, "run the project, then promote a version to '%s'", sl_endpoint_spec(endpoint)->alias);
	refuse(endpoint, request, &err);
	return NULL;
}

/* ---- predictions ---- */

static void trim(struct sl_oip *oip)
{
	if (oip->out.cap > ANSWER_KEEP_BYTES)
		sl_buf_done(&oip->out);
}

/* The length of the JSON part, when raw tensors follow it. */
static int json_length(const struct sl_http_request *request, size_t *ret, struct sl_error *err)
{
	const char *text = sl_http_request_header(request, "inference-header-content-length");
	int64_t len;
	*ret = request->body_len;
	if (!text)
		return 0;
	if (!sl_str_int(text, &len) || len < 0)
		return sl_fail(err, SL_E_INVALID, "Inference-Header-Content-Length is no length");
	*ret = (size_t)len;
	return 0;
}

static void answer_infer(struct sl_oip *oip, struct sl_http_request *request, const struct sl_v2_request *v2,
			 const struct sl_id *id)
{
	char length[24];
	size_t json_len;
	sl_v2_write(v2, &oip->rows, id, &oip->out, &json_len);
	if (oip->out.failed) {
		answer_out(oip, request, 200);
		return;
	}
	struct sl_http_header binary = {"Inference-Header-Content-Length", length};
	snprintf(length, sizeof length, "%zu", json_len);
	bool raw = json_len < oip->out.len;
	sl_answer_prediction(request, &oip->out, raw ? "application/octet-stream" : JSON, &oip->rows, id, raw ? &binary : NULL);
}

static void infer(struct sl_oip *oip, struct sl_http_request *request, struct sl_served *served)
{
	int64_t started_ns = sl_monotonic_ns();
	struct sl_error err = {0};
	struct sl_v2_request v2 = {0};
	struct sl_id id;
	size_t json_len;
	if (request->method != SL_HTTP_POST) {
		answer_method(request, "POST");
		return;
	}
	int rc = json_length(request, &json_len, &err);
	if (!rc)
		rc = sl_v2_read(&oip->parser, served, request->body, request->body_len, json_len, request->arena, &oip->rows, &v2,
				&err);
	if (!rc)
		rc = sl_predict(&oip->rows, started_ns, &id, &err);
	if (rc)
		refuse(served->endpoint, request, &err);
	else
		answer_infer(oip, request, &v2, &id);
	sl_v2_end(&v2);
	sl_inputs_end(&oip->rows);
	trim(oip);
}

enum media { MEDIA_JSON, MEDIA_CSV };

/* As MLflow: text/csv or application/json, with no parameter but charset=utf-8. */
static int media_of(const struct sl_http_request *request, enum media *ret, struct sl_error *err)
{
	const char *type = sl_http_request_header(request, "content-type"), *behind;
	size_t len = type ? strcspn(type, "; ") : 0;
	bool csv = type && len == strlen("text/csv") && strncasecmp(type, "text/csv", len) == 0;
	bool json = type && len == strlen(JSON) && strncasecmp(type, JSON, len) == 0;
	if (!csv && !json)
		return sl_fail(err, SL_E_INVALID, "the Content-Type must be application/json or text/csv");
	behind = type + len + strspn(type + len, "; ");
	if (*behind && strcasecmp(behind, "charset=utf-8") != 0)
		return sl_fail(err, SL_E_INVALID, "the Content-Type takes no parameter but charset=utf-8");
	*ret = csv ? MEDIA_CSV : MEDIA_JSON;
	return 0;
}

static int read_invocation(struct sl_oip *oip, struct sl_http_request *request, enum media media, struct sl_served *served,
			   yyjson_doc **doc,
			   struct sl_error *err)
{
	if (media == MEDIA_CSV)
		return sl_invocations_csv(request->body, request->body_len, served, request->arena, &oip->rows, err);
	int rc = sl_body_parse(&oip->parser, request->body, request->body_len, doc, err);
	return rc ? rc : sl_invocations_json(yyjson_doc_get_root(*doc), served, request->arena, &oip->rows, err);
}

static void invoke(struct sl_oip *oip, struct sl_http_request *request, struct sl_served *served)
{
	int64_t started_ns = sl_monotonic_ns();
	struct sl_error err = {0};
	enum media media = MEDIA_JSON;
	yyjson_doc *doc = NULL;
	struct sl_id id;
	if (request->method != SL_HTTP_POST) {
		answer_method(request, "POST");
		return;
	}
	if (media_of(request, &media, &err)) {
		sl_endpoint_stats(served->endpoint)->refused++;
		sl_http_respond_error(request, 415, &err);
		return;
	}
	int rc = read_invocation(oip, request, media, served, &doc, &err);
	if (!rc)
		rc = sl_predict(&oip->rows, started_ns, &id, &err);
	if (rc) {
		refuse(served->endpoint, request, &err);
	} else {
		sl_invocations_write(&oip->rows, &oip->out);
		if (oip->out.failed)
			answer_out(oip, request, 200);
		else
			sl_answer_prediction(request, &oip->out, JSON, &oip->rows, &id, NULL);
	}
	sl_body_end(&doc);
	sl_inputs_end(&oip->rows);
	trim(oip);
}

/* The endpoint that /invocations means: ?endpoint=NAME, else the only one. */
static void invocations(struct sl_oip *oip, struct sl_http_request *request)
{
	struct sl_http_param *params;
	size_t count;
	struct sl_error err = {0};
	const char *name = NULL;
	if (sl_http_params(request->query, request->arena, &params, &count, &err)) {
		sl_http_respond_error(request, 0, &err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (strcmp(params[i].name, "endpoint") == 0)
			name = params[i].value;
	if (!name && sl_serving_count(oip->serving) != 1) {
		answer_error(request, 400, SL_E_INVALID, "this project has several endpoints: say which with ?endpoint=NAME");
		return;
	}
	struct sl_endpoint_state *endpoint = sl_serving_at(oip->serving, 0);
	if (name)
		endpoint = sl_serving_find(oip->serving, name, strlen(name));
	struct sl_served *served = endpoint ? ready(endpoint, request) : NULL;
	if (served)
		invoke(oip, request, served);
	else if (!endpoint)
		answer_no_endpoint(oip, request, name, strlen(name));
}

/* /endpoints/NAME/invocations */
static void endpoint_invocations(struct sl_oip *oip, struct sl_http_request *request)
{
	const char *name = request->path + strlen("/endpoints/");
	size_t len = strcspn(name, "/");
	struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, len);
	struct sl_served *served = endpoint ? ready(endpoint, request) : NULL;
	if (served)
		invoke(oip, request, served);
	else if (!endpoint)
		answer_no_endpoint(oip, request, name, len);
}

/* ---- /v2: health and metadata ---- */

static bool all_ready(const struct sl_oip *oip)
{
	for (size_t i = 0; i < sl_serving_count(oip->serving); i++)
		if (!sl_endpoint_now(sl_serving_at(oip->serving, i)))
			return false;
	return true;
}

static void health(struct sl_oip *oip, struct sl_http_request *request, const char *what)
{
	if (!is_get(request))
		return;
	bool live = strcmp(what, "live") == 0, good = live || all_ready(oip);
	if (!live && strcmp(what, "ready") != 0) {
		answer_error(request, 0, SL_E_NOT_FOUND, "/v2/health has 'live' and 'ready'");
		return;
	}
	sl_buf_printf(&oip->out, "{\"%s\":%s}", what, good ? "true" : "false");
	answer_out(oip, request, good ? 200 : 503);
}

static void list_models(struct sl_oip *oip, struct sl_http_request *request)
{
	if (!is_get(request))
		return;
	sl_buf_str(&oip->out, "{\"models\":[");
	for (size_t i = 0; i < sl_serving_count(oip->serving); i++)
		sl_buf_printf(&oip->out, "%s\"%s\"", i ? "," : "", sl_endpoint_spec(sl_serving_at(oip->serving, i))->name);
	sl_buf_str(&oip->out, "]}");
	answer_out(oip, request, 200);
}

static void model_ready(struct sl_oip *oip, struct sl_http_request *request, const struct sl_endpoint_state *endpoint)
{
	if (!is_get(request))
		return;
	bool good = sl_endpoint_now(endpoint);
	sl_buf_printf(&oip->out, "{\"name\":\"%s\",\"ready\":%s}", sl_endpoint_spec(endpoint)->name, good ? "true" : "false");
	answer_out(oip, request, good ? 200 : 503);
}

/* Behind the model's name: "", "/ready", "/infer", each also behind "/versions/V". */
static void model(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *rest)
{
	static const char versions[] = "/versions/";
	struct sl_served *served = sl_endpoint_now(endpoint);
	if (sl_str_starts(rest, versions)) {
		const char *version = rest + strlen(versions);
		size_t len = strcspn(version, "/");
		if (served && (strlen(served->version_text) != len || memcmp(served->version_text, version, len) != 0)) {
			struct sl_error err = {0};
			sl_fail(&err, SL_E_NOT_FOUND, "version '%.*s' of '%s' is not served", (int)(len < 40 ? len : 40), version,
				sl_endpoint_spec(endpoint)->name);
			sl_error_hint(&err, "version %s is", served->version_text);
			sl_http_respond_error(request, 0, &err);
			return;
		}
		rest = version + len;
	}
	if (strcmp(rest, "/ready") == 0) {
		model_ready(oip, request, endpoint);
	} else if (strcmp(rest, "/infer") == 0) {
		if ((served = ready(endpoint, request)))
			infer(oip, request, served);
	} else if (*rest) {
		answer_error(request, 0, SL_E_NOT_FOUND, "a model has '/ready' and '/infer'");
	} else if (is_get(request) && (served = ready(endpoint, request))) {
		sl_v2_metadata(served, &oip->out);
		answer_out(oip, request, 200);
	}
}

static void v2(struct sl_oip *oip, struct sl_http_request *request, const char *rest)
{
	static const char models[] = "/models/", health_path[] = "/health/";
	if (sl_str_starts(rest, models)) {
		const char *name = rest + strlen(models);
		size_t len = strcspn(name, "/");
		struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, len);
		if (endpoint)
			model(oip, request, endpoint, name + len);
		else
			answer_no_endpoint(oip, request, name, len);
	} else if (sl_str_starts(rest, health_path)) {
		health(oip, request, rest + strlen(health_path));
	} else if (strcmp(rest, "/models") == 0) {
		list_models(oip, request);
	} else if (!*rest) {
		static const char about[] =
			"{\"name\":\"sluice\",\"version\":\"" SLUICE_VERSION "\",\"extensions\":[\"binary_tensor_data\"]}";
		if (is_get(request))
			answer(request, 200, JSON, about, sizeof about - 1);
	} else {
		answer_error(request, 0, SL_E_NOT_FOUND, "/v2 has 'health/live', 'health/ready' and 'models'");
	}
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
	return under(path, "/v2") || strcmp(path, "/invocations") == 0 || strcmp(path, "/ping") == 0 ||
	       strcmp(path, "/version") == 0 || is_endpoint_path(path);
}

static bool permit(struct sl_oip *oip, struct sl_http_request *request)
{
	struct sl_error err = {0};
	struct sl_caller caller;
	int status = sl_access_check(oip->access, SL_PERMIT_PREDICT, sl_http_request_header(request, "authorization"), &caller, &err);
	if (status)
		sl_http_respond_error(request, status, &err);
	return !status;
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct sl_oip *oip = context;
	const char *path = request->path;
	if (oip->options.require_token && !permit(oip, request))
		return;
	sl_buf_clear(&oip->out);
	if (under(path, "/v2")) {
		v2(oip, request, path + strlen("/v2"));
	} else if (strcmp(path, "/invocations") == 0) {
		invocations(oip, request);
	} else if (is_endpoint_path(path)) {
		endpoint_invocations(oip, request);
	} else if (strcmp(path, "/ping") == 0) {
		if (is_get(request))
			answer(request, all_ready(oip) ? 200 : 404, JSON, "\n", 1);
	} else if (strcmp(path, "/version") == 0) {
		if (is_get(request))
			answer(request, 200, "text/plain", SLUICE_VERSION, strlen(SLUICE_VERSION));
	} else {
		answer_error(request, 0, SL_E_NOT_FOUND, "nothing is here");
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
	if (sl_oip_is_path(request->path) || !oip->options.api_socket)
		return;
	if (sl_http_request_hand_over(request, oip->options.api_socket, on_handover_failed, oip, &err))
		sl_http_respond_error(request, 0, &err);
}

/* ---- following the registry ---- */

static void look(void *context)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
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
	int rc = sl_notify_listen(oip->options.store->dir, &oip->bell_fd, err);
	if (!rc)
		rc = sl_watch_new(oip->loop, oip->bell_fd, on_bell, oip, &oip->bell, err);
	if (!rc)
		rc = sl_watch_set(oip->bell, SL_FD_READ, err);
	if (!rc)
		rc = sl_timer_new(oip->loop, look, oip, &oip->timer, err);
	if (!rc)
		sl_timer_start(oip->timer, LOOK_EVERY_MS, LOOK_EVERY_MS);
	return rc;
}

static int open_http(struct sl_oip *oip, struct sl_error *err)
{
	static const struct sl_http_header headers[] = {
		{"Server", "sluice/" SLUICE_VERSION}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}};
	struct sl_http_config config = {
		.handler = {.context = oip, .head = on_head, .request = on_request, .error_body = error_body},
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
	sl_buf_init(&oip->out, ANSWER_BYTES_MAX);
	int rc = sl_body_parser_init(&oip->parser, err);
	if (!rc)
		rc = sl_access_open(options->store->meta, options->store->dir, options->require_token, &oip->access, err);
	if (!rc) /* before looking at the aliases: what is rung from now on is heard */
		rc = follow_registry(oip, err);
	if (!rc)
		rc = sl_serving_open(options->store, options->project, &oip->serving, err);
	if (!rc)
		rc = open_http(oip, err);
	if (rc) {
		sl_oip_free(oip);
		return rc;
	}
	*ret = oip;
	return 0;
}

void sl_oip_drain(struct sl_oip *oip, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	sl_http_server_drain(oip->server, deadline_ms, done, context);
}

void sl_oip_free(struct sl_oip *oip)
{
	if (!oip)
		return;
	sl_http_server_free(oip->server);
	sl_watch_free(oip->bell);
	sl_timer_free(oip->timer);
	sl_file_close(&oip->bell_fd);
	sl_inputs_done(&oip->rows);
	sl_serving_close(oip->serving);
	sl_access_close(oip->access);
	sl_body_parser_done(&oip->parser);
	sl_buf_done(&oip->out);
	sl_free(oip);
}

struct sl_http_server *sl_oip_http(struct sl_oip *oip) { return oip->server; }

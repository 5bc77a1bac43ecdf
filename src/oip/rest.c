/* /v2 over HTTP: routes, versions, health, metadata, inference, repository, statistics. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "oip/answer.h"
#include "oip/explain.h"
#include "oip/internal.h"
#include "oip/v2.h"

/* ---- inference ---- */

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

int oip_read_infer(struct oip_prediction *p, struct sl_error *err)
{
	size_t json_len;
	int rc = json_length(p->request, &json_len, err);
	return rc ? rc : sl_v2_read(&p->desk->parser, p->served, p->request->body, p->request->body_len, json_len, p->request->arena,
		&p->desk->rows, &p->v2, err);
}

void oip_answer_tensors(struct oip_prediction *p, const struct sl_id *id, size_t json_len)
{
	char length[24], trace[OIP_TRACEPARENT];
	struct sl_error err = {0};
	const struct sl_buf *out = &p->desk->out;
	if (sl_buf_check(out, "the answer", &err)) {
		sl_http_respond_error(p->request, 0, &err);
		return;
	}
	struct sl_http_header more[2];
	size_t count = oip_trace_header(p, more, trace);
	bool raw = json_len < out->len;
	if (raw) {
		snprintf(length, sizeof length, "%zu", json_len);
		more[count++] = (struct sl_http_header){"Inference-Header-Content-Length", length};
	}
	sl_answer_prediction(p->request, out, raw ? "application/octet-stream" : OIP_JSON, &p->desk->rows, id, more, count);
}

static void answer_infer(struct oip_prediction *p, const struct sl_id *id)
{
	size_t json_len;
	sl_v2_write(&p->v2, &p->desk->rows, id, &p->desk->out, &json_len);
	oip_answer_tensors(p, id, json_len);
}

static void infer(struct sl_oip *oip, struct sl_http_request *request, struct sl_served *served)
{
	struct oip_prediction p = {.oip = oip, .request = request, .served = served, .read = oip_read_infer, .answer = answer_infer,
				   .refuse = oip_refuse_http};
	if (oip_is_method(request, SL_HTTP_POST))
		oip_predict(&p);
}

/* ---- health and metadata ---- */

static void health(struct sl_oip *oip, struct sl_http_request *request, const char *what)
{
	if (!oip_is_get(request))
		return;
	bool live = strcmp(what, "live") == 0, good = live || oip_all_ready(oip);
	if (!live && strcmp(what, "ready") != 0) {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "/v2/health has 'live' and 'ready'");
		return;
	}
	sl_buf_printf(&oip->desk.out, "{\"%s\":%s}", what, good ? "true" : "false");
	oip_answer_out(oip, request, good ? 200 : 503);
}

void oip_list_models(struct sl_oip *oip, struct sl_http_request *request)
{
	if (!oip_is_get(request))
		return;
	sl_buf_str(&oip->desk.out, "{\"models\":[");
	for (size_t i = 0; i < sl_serving_count(oip->serving); i++)
		sl_buf_printf(&oip->desk.out, "%s\"%s\"", i ? "," : "", sl_endpoint_spec(sl_serving_at(oip->serving, i))->name);
	sl_buf_str(&oip->desk.out, "]}");
	oip_answer_out(oip, request, 200);
}

/* A version that is named is loaded by asking whether it is ready. */
void oip_model_ready(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *version,
		     size_t len)
{
	struct sl_served *served;
	struct sl_error err = {0};
	if (!oip_is_get(request))
		return;
	bool good = sl_endpoint_ready(endpoint);
	if (good && version) {
		int rc = sl_endpoint_take(endpoint, version, len, &served, &err);
		if (rc == SL_E_NOT_FOUND) {
			oip_refuse(endpoint, request, &err);
			return;
		}
		good = rc == 0;
	}
	sl_buf_printf(&oip->desk.out, "{\"name\":\"%s\",\"ready\":%s}", sl_endpoint_spec(endpoint)->name, good ? "true" : "false");
	oip_answer_out(oip, request, good ? 200 : 503);
}

static void model_metadata(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint,
			   const char *version, size_t len)
{
	struct sl_served *served = oip_is_get(request) ? oip_take(endpoint, version, len, request) : NULL;
	if (!served)
		return;
	sl_v2_metadata(served, &oip->desk.out);
	oip_answer_out(oip, request, 200);
}

static void model_stats(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *version,
			size_t len)
{
	struct sl_served *served = oip_is_get(request) ? oip_take(endpoint, version, len, request) : NULL;
	if (!served)
		return;
	sl_buf_str(&oip->desk.out, "{\"model_stats\":[");
	sl_v2_statistics(endpoint, served->version_text, &oip->desk.out);
	sl_buf_str(&oip->desk.out, "]}");
	oip_answer_out(oip, request, 200);
}

static void all_stats(struct sl_oip *oip, struct sl_http_request *request)
{
	if (!oip_is_get(request))
		return;
	sl_buf_str(&oip->desk.out, "{\"model_stats\":[");
	for (size_t i = 0, n = 0; i < sl_serving_count(oip->serving); i++) {
		struct sl_endpoint_state *endpoint = sl_serving_at(oip->serving, i);
		size_t versions = sl_endpoint_version_count(endpoint);
		if (!versions || !sl_endpoint_ready(endpoint))
			continue;
		sl_buf_str(&oip->desk.out, n++ ? "," : "");
		sl_v2_statistics(endpoint, sl_endpoint_version(endpoint, versions - 1), &oip->desk.out);
	}
	sl_buf_str(&oip->desk.out, "]}");
	oip_answer_out(oip, request, 200);
}

/* Behind the model's name: "", "/ready", "/infer", "/explain", "/stats", each also behind "/versions/V". */
static void model(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *rest)
{
	static const char versions[] = "/versions/";
	const char *version = NULL;
	size_t len = 0;
	if (sl_str_starts(rest, versions)) {
		version = rest + strlen(versions);
		len = strcspn(version, "/");
		rest = version + len;
	}
	if (strcmp(rest, "/infer") == 0) {
		struct sl_served *served = oip_take(endpoint, version, len, request);
		if (served)
			infer(oip, request, served);
	} else if (strcmp(rest, "/explain") == 0) {
		oip_explain_v2(oip, request, endpoint, version, len);
	} else if (strcmp(rest, "/ready") == 0) {
		oip_model_ready(oip, request, endpoint, version, len);
	} else if (strcmp(rest, "/stats") == 0) {
		model_stats(oip, request, endpoint, version, len);
	} else if (*rest) {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "a model has '/ready', '/infer', '/explain' and '/stats'");
	} else {
		model_metadata(oip, request, endpoint, version, len);
	}
}

/* ---- the repository ---- */

static void add_index(struct sl_oip *oip, const struct sl_endpoint_state *endpoint, bool only_ready, size_t *count)
{
	const struct sl_error *problem = sl_endpoint_problem(endpoint);
	bool ready = sl_endpoint_ready(endpoint);
	size_t versions = sl_endpoint_version_count(endpoint);
	if (only_ready && !ready)
		return;
	sl_buf_printf(&oip->desk.out, "%s{\"name\":\"%s\",", (*count)++ ? "," : "", sl_endpoint_spec(endpoint)->name);
	if (versions)
		sl_buf_printf(&oip->desk.out, "\"version\":\"%s\",", sl_endpoint_version(endpoint, versions - 1));
	sl_buf_printf(&oip->desk.out, "\"state\":\"%s\",\"reason\":", ready ? "READY" : "UNAVAILABLE");
	const char *reason = problem->code ? problem->message : ready ? "" : "unloaded";
	sl_json_string(&oip->desk.out, reason, strlen(reason));
	sl_buf_char(&oip->desk.out, '}');
}

/* {"ready": true} lists what is ready only. */
static void repository_index(struct sl_oip *oip, struct sl_http_request *request)
{
	yyjson_doc *doc SL_AUTO_BODY = NULL;
	struct sl_error err = {0};
	size_t count = 0;
	if (!oip_is_method(request, SL_HTTP_POST))
		return;
	if (request->body_len && sl_body_parse(&oip->desk.parser, request->body, request->body_len, &doc, &err)) {
		sl_http_respond_error(request, 0, &err);
		return;
	}
	bool only_ready = doc && yyjson_get_bool(yyjson_obj_get(yyjson_doc_get_root(doc), "ready"));
	sl_buf_char(&oip->desk.out, '[');
	for (size_t i = 0; i < sl_serving_count(oip->serving); i++)
		add_index(oip, sl_serving_at(oip->serving, i), only_ready, &count);
	sl_buf_char(&oip->desk.out, ']');
	oip_answer_out(oip, request, 200);
}

/* Triton's load takes a configuration and files along: what is served here is what is on the disk. */
static int check_load(struct sl_oip *oip, const struct sl_http_request *request, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_BODY = NULL;
	int rc = request->body_len ? sl_body_parse(&oip->desk.parser, request->body, request->body_len, &doc, err) : 0;
	if (rc || !doc)
		return rc;
	yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "parameters"));
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		const char *name = yyjson_get_str(key);
		if (strcmp(name, "config") == 0 || sl_str_starts(name, "file:"))
			return sl_fail(err, SL_E_INVALID, "'%s' is not taken: models are loaded from the disk", name);
	}
	return 0;
}

static void repository_model(struct sl_oip *oip, struct sl_http_request *request, const char *name)
{
	size_t len = strcspn(name, "/");
	struct sl_error err = {0};
	bool load = strcmp(name + len, "/load") == 0;
	if (!load && strcmp(name + len, "/unload") != 0) {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "a model of the repository has '/load' and '/unload'");
		return;
	}
	if (!oip_is_method(request, SL_HTTP_POST))
		return;
	int rc = check_load(oip, request, &err);
	if (!rc)
		rc = oip_control(oip, load, name, len, &err);
	if (rc)
		sl_http_respond_error(request, 0, &err);
	else
		oip_answer(request, 200, NULL, "", 0);
}

static void repository(struct sl_oip *oip, struct sl_http_request *request, const char *rest)
{
	static const char models[] = "/models/";
	if (strcmp(rest, "/index") == 0)
		repository_index(oip, request);
	else if (sl_str_starts(rest, models))
		repository_model(oip, request, rest + strlen(models));
	else
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "/v2/repository has 'index' and 'models/NAME/load'");
}

/* ---- routes ---- */

static void about(struct sl_http_request *request)
{
	static const char text[] = "{\"name\":\"sluice\",\"version\":\"" SLUICE_VERSION "\",\"extensions\":"
				   "[\"binary_tensor_data\",\"model_repository\",\"statistics\"]}";
	if (oip_is_get(request))
		oip_answer(request, 200, OIP_JSON, text, sizeof text - 1);
}

void oip_v2(struct sl_oip *oip, struct sl_http_request *request, const char *rest)
{
	static const char models[] = "/models/", health_path[] = "/health/", repository_path[] = "/repository";
	if (sl_str_starts(rest, models)) {
		const char *name = rest + strlen(models);
		size_t len = strcspn(name, "/");
		struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, len);
		if (endpoint)
			model(oip, request, endpoint, name + len);
		else if (strcmp(name, "stats") == 0)
			all_stats(oip, request);
		else
			oip_answer_no_endpoint(oip, request, name, len);
	} else if (sl_str_starts(rest, health_path)) {
		health(oip, request, rest + strlen(health_path));
	} else if (sl_str_starts(rest, repository_path)) {
		repository(oip, request, rest + strlen(repository_path));
	} else if (strcmp(rest, "/models") == 0) {
		oip_list_models(oip, request);
	} else if (!*rest || strcmp(rest, "/") == 0) {
		about(request);
	} else {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "/v2 has 'health/live', 'health/ready', 'models' and 'repository'");
	}
}

/* MLflow's scoring protocol and KServe's V1 over HTTP: the same forms of rows. */
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "oip/answer.h"
#include "oip/explain.h"
#include "oip/internal.h"
#include "oip/invocations.h"

enum media { MEDIA_JSON, MEDIA_CSV };

/* As MLflow: text/csv or application/json, with no parameter but charset=utf-8. */
static int media_of(const struct sl_http_request *request, enum media *ret, struct sl_error *err)
{
	const char *type = sl_http_request_header(request, "content-type"), *behind;
	size_t len = type ? strcspn(type, "; ") : 0;
	bool csv = type && len == strlen("text/csv") && strncasecmp(type, "text/csv", len) == 0;
	bool json = type && len == strlen(OIP_JSON) && strncasecmp(type, OIP_JSON, len) == 0;
	if (!csv && !json)
		return sl_fail(err, SL_E_INVALID, "the Content-Type must be application/json or text/csv");
	behind = type + len + strspn(type + len, "; ");
	if (*behind && strcasecmp(behind, "charset=utf-8") != 0)
		return sl_fail(err, SL_E_INVALID, "the Content-Type takes no parameter but charset=utf-8");
	*ret = csv ? MEDIA_CSV : MEDIA_JSON;
	return 0;
}

static int read_invocation(struct oip_prediction *p, struct sl_error *err)
{
	const struct sl_http_request *request = p->request;
	if (p->is_csv)
		return sl_invocations_csv(request->body, request->body_len, p->served, request->arena, &p->desk->rows, err);
	int rc = sl_body_parse(&p->desk->parser, request->body, request->body_len, &p->doc, err);
	return rc ? rc : sl_invocations_json(yyjson_doc_get_root(p->doc), p->served, request->arena, &p->desk->rows, err);
}

static void answer_invocation(struct oip_prediction *p, const struct sl_id *id)
{
	struct sl_error err = {0};
	struct sl_http_header trace;
	char text[OIP_TRACEPARENT];
	sl_invocations_write(&p->desk->rows, &p->desk->out);
	if (sl_buf_check(&p->desk->out, "the answer", &err))
		sl_http_respond_error(p->request, 0, &err);
	else
		sl_answer_prediction(p->request, &p->desk->out, OIP_JSON, &p->desk->rows, id, &trace, oip_trace_header(p, &trace, text));
}

static void invoke(struct sl_oip *oip, struct sl_http_request *request, struct sl_served *served)
{
	struct sl_error err = {0};
	enum media media = MEDIA_JSON;
	struct oip_prediction p = {.oip = oip, .request = request, .served = served, .read = read_invocation, .answer = answer_invocation,
				   .refuse = oip_refuse_http};
	if (!oip_is_method(request, SL_HTTP_POST))
		return;
	if (media_of(request, &media, &err)) {
		sl_endpoint_refused(served->endpoint, 415);
		sl_http_respond_error(request, 415, &err);
		return;
	}
	p.is_csv = media == MEDIA_CSV;
	oip_predict(&p);
}

static void invoke_endpoint(struct sl_oip *oip, struct sl_http_request *request, const char *name, size_t len)
{
	struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, len);
	struct sl_served *served = endpoint ? oip_take(endpoint, NULL, 0, request) : NULL;
	if (served)
		invoke(oip, request, served);
	else if (!endpoint)
		oip_answer_no_endpoint(oip, request, name, len);
}

/* The endpoint that /invocations means: ?endpoint=NAME, else the only one. */
void oip_invocations(struct sl_oip *oip, struct sl_http_request *request)
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
		oip_answer_error(request, 400, SL_E_INVALID, "there is not exactly one endpoint: say which with ?endpoint=NAME");
		return;
	}
	if (!name)
		name = sl_endpoint_spec(sl_serving_at(oip->serving, 0))->name;
	invoke_endpoint(oip, request, name, strlen(name));
}

/* /endpoints/NAME/invocations */
void oip_endpoint_invocations(struct sl_oip *oip, struct sl_http_request *request)
{
	const char *name = request->path + strlen("/endpoints/");
	invoke_endpoint(oip, request, name, strcspn(name, "/"));
}

/* ---- KServe V1: GET /v1/models, /v1/models/NAME, POST /v1/models/NAME:predict, :explain ---- */

int oip_read_v1(struct oip_prediction *p, struct sl_error *err)
{
	const struct sl_http_request *request = p->request;
	int rc = sl_body_parse(&p->desk->parser, request->body, request->body_len, &p->doc, err);
	if (rc)
		return rc;
	yyjson_val *root = yyjson_doc_get_root(p->doc);
	if (!yyjson_obj_get(root, "instances"))
		return sl_fail(err, SL_E_INVALID, "the body has no 'instances'");
	return sl_invocations_json(root, p->served, request->arena, &p->desk->rows, err);
}

static void v1_predict(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint)
{
	struct oip_prediction p = {.oip = oip, .request = request, .read = oip_read_v1, .answer = answer_invocation,
				   .refuse = oip_refuse_http};
	if (!oip_is_method(request, SL_HTTP_POST) || !(p.served = oip_take(endpoint, NULL, 0, request)))
		return;
	oip_predict(&p);
}

void oip_v1(struct sl_oip *oip, struct sl_http_request *request, const char *rest)
{
	static const char models[] = "/models/";
	const char *name = rest + strlen(models);
	if (strcmp(rest, "/models") == 0) {
		oip_list_models(oip, request);
		return;
	}
	if (!sl_str_starts(rest, models)) {
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "/v1 has 'models', 'models/NAME', 'models/NAME:predict' and 'models/NAME:explain'");
		return;
	}
	size_t len = strcspn(name, ":/");
	struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, len);
	if (!endpoint)
		oip_answer_no_endpoint(oip, request, name, len);
	else if (strcmp(name + len, ":predict") == 0)
		v1_predict(oip, request, endpoint);
	else if (strcmp(name + len, ":explain") == 0)
		oip_explain_v1(oip, request, endpoint);
	else if (name[len])
		oip_answer_error(request, 0, SL_E_NOT_FOUND, "a model has ':predict' and ':explain'");
	else
		oip_model_ready(oip, request, endpoint, NULL, 0);
}

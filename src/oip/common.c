#include "oip/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { ANSWER_KEEP_BYTES = 256 * 1024 };

void oip_answer(struct sl_http_request *request, int status, const char *type, const char *body, size_t len)
{
	sl_http_respond(request, &(struct sl_http_response){.status = status, .content_type = type, .body = body,
							      .body_len = len});
}

void oip_answer_out(struct sl_oip *oip, struct sl_http_request *request, int status)
{
	struct sl_error err = {0};
	if (sl_buf_check(&oip->desk.out, "the answer", &err))
		sl_http_respond_error(request, 0, &err);
	else
		oip_answer(request, status, OIP_JSON, oip->desk.out.data, oip->desk.out.len);
}

void oip_answer_error(struct sl_http_request *request, int status, int code, const char *message)
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
		.status = 405, .content_type = OIP_JSON, .headers = &allow, .header_count = 1, .body = body,
		.body_len = (size_t)len});
}

bool oip_is_method(struct sl_http_request *request, enum sl_http_method method)
{
	if (request->method == method)
		return true;
	answer_method(request, method == SL_HTTP_POST ? "POST" : "GET");
	return false;
}

bool oip_is_get(struct sl_http_request *request)
{
	if (request->method == SL_HTTP_GET || request->method == SL_HTTP_HEAD)
		return true;
	answer_method(request, "GET");
	return false;
}

void oip_refuse(struct sl_endpoint_state *endpoint, struct sl_http_request *request, const struct sl_error *err)
{
	sl_endpoint_refused(endpoint, sl_code_http_status(err->code));
	sl_http_respond_error(request, 0, err);
}

void oip_answer_no_endpoint(struct sl_oip *oip, struct sl_http_request *request, const char *name, size_t len)
{
	struct sl_error err = {0};
	sl_fail(&err, SL_E_NOT_FOUND, "no endpoint is called '%.*s'", (int)(len < SL_NAME_MAX ? len : SL_NAME_MAX), name);
	if (sl_serving_count(oip->serving))
		sl_error_hint(&err, "there is '%s'", sl_endpoint_spec(sl_serving_at(oip->serving, 0))->name);
	sl_http_respond_error(request, 0, &err);
}

struct sl_served *oip_take(struct sl_endpoint_state *endpoint, const char *version, size_t len, struct sl_http_request *request)
{
	struct sl_served *served;
	struct sl_error err = {0};
	if (sl_endpoint_take(endpoint, version, len, &served, &err) == 0)
		return served;
	oip_refuse(endpoint, request, &err);
	return NULL;
}

bool oip_all_ready(const struct sl_oip *oip)
{
	for (size_t i = 0; !oip->options.files && i < sl_serving_count(oip->serving); i++)
		if (!sl_endpoint_ready(sl_serving_at(oip->serving, i)))
			return false;
	return true;
}

int oip_control(struct sl_oip *oip, bool load, const char *name, size_t len, struct sl_error *err)
{
	if (!oip->options.control) {
		sl_fail(err, SL_E_DENIED, "this server does not let its clients load and unload models");
		return sl_error_hint(err, "start it with 'sluice serve --control'");
	}
	return load ? sl_serving_load(oip->serving, name, len, err) : sl_serving_unload(oip->serving, name, len, err);
}

void oip_trim(struct sl_oip *oip)
{
	if (oip->desk.out.cap > ANSWER_KEEP_BYTES)
		sl_buf_done(&oip->desk.out);
}

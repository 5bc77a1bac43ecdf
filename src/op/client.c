#include "op/client.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "net/http_client.h"

int sl_server_find(const char *store_dir, struct sl_server *ret, struct sl_error *err)
{
	struct sl_up_state up;
	char token[SL_TOKEN_TEXT];
	int rc = sl_up_state_read(store_dir, &up, err);
	if (rc != 1)
		return rc;
	rc = sl_token_read(store_dir, token, err);
	if (rc)
		return rc;
	snprintf(ret->url, sizeof ret->url, "%s", up.local_url);
	snprintf(ret->authorization, sizeof ret->authorization, "Bearer %s", token);
	return 1;
}

static int code_of(int status)
{
	static const int CODES[] = {
		SL_E_INVALID, SL_E_NOT_FOUND, SL_E_CONFLICT, SL_E_DENIED, SL_E_TOO_LARGE, SL_E_BUSY, SL_E_NO_SPACE, SL_E_TIMEOUT,
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(CODES); i++)
		if (sl_code_http_status(CODES[i]) == status)
			return CODES[i];
	return status >= 500 ? SL_E_IO : SL_E_INVALID;
}

int sl_server_error(int status, const char *body, size_t body_len, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(body, body_len, "answer", NULL);
	yyjson_val *error = doc ? yyjson_obj_get(yyjson_doc_get_root(doc), "error") : NULL;
	const char *message = yyjson_is_str(error) ? yyjson_get_str(error) : sl_json_str(error, "message", NULL);
	char text[64];
	snprintf(text, sizeof text, "the server answered with status %d", status);
	sl_fail_at(err, code_of(status), sl_json_str(error, "where", ""), "%s", message ? message : text);
	const char *hint = sl_json_str(error, "hint", NULL);
	return hint ? sl_error_hint(err, "%s", hint) : code_of(status);
}

int sl_server_post(const struct sl_server *server, const char *path, const char *body, size_t body_len, struct sl_buf *ret_body,
	struct sl_error *err)
{
	char url[512];
	if (snprintf(url, sizeof url, "%s%s", server->url, path) >= (int)sizeof url)
		return sl_fail(err, SL_E_TOO_LARGE, "the path '%.64s...' is too long", path);
	const struct sl_http_header headers[] = {{"Content-Type", "application/json"}, {"Authorization", server->authorization}};
	struct sl_http_call call = {
		.method = SL_HTTP_POST,
		.url = url,
		.headers = headers,
		.header_count = SL_ARRAY_LEN(headers),
		.body = body,
		.body_len = body_len,
	};
	struct sl_http_client_config config = {0};
	int status = 0, rc = sl_http_fetch(&config, &call, &status, NULL, ret_body, err);
	if (rc)
		return rc;
	return status / 100 == 2 ? 0 : sl_server_error(status, sl_buf_cstr(ret_body), ret_body->len, err);
}

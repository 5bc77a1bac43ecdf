#include "op/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "os/sys.h"

enum { BASE_MAX = 2048, FIRST_PAUSE_MS = 100, TIMEOUT_MS = 120 * 1000, CREDENTIAL_MAX = 4096 };

struct sl_remote {
	char base[BASE_MAX];                    /* without a "/" at its end */
	char authorization[CREDENTIAL_MAX * 2]; /* "" none */
	struct sl_tls *tls;
	struct sl_loop *loop;
	struct sl_http_client *client;
	/* Of the call under way. */
	struct sl_buf body;
	struct sl_error error;
	int status, fd;
	uint64_t offset;
	bool ended;
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static int set_credentials(struct sl_remote *remote, struct sl_error *err)
{
	const char *token = getenv("MLFLOW_TRACKING_TOKEN"), *user = getenv("MLFLOW_TRACKING_USERNAME"), *password = getenv("MLFLOW_TRACKING_PASSWORD");
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(CREDENTIAL_MAX);
	if (token && *token && strlen(token) < CREDENTIAL_MAX) {
		snprintf(remote->authorization, sizeof remote->authorization, "Bearer %s", token);
	} else if (user && *user && password) {
		struct sl_buf encoded SL_AUTO_BUF = SL_BUF_INIT(sizeof remote->authorization - 8);
		sl_buf_printf(&text, "%s:%s", user, password);
		sl_base64_add(&encoded, sl_buf_cstr(&text), text.len);
		int rc = sl_buf_check(&text, "MLFLOW_TRACKING_USERNAME and _PASSWORD", err);
		if (rc)
			return rc;
		snprintf(remote->authorization, sizeof remote->authorization, "Basic %s", sl_buf_cstr(&encoded));
	}
	return 0;
}

int sl_remote_open(const char *url, struct sl_remote **ret, struct sl_error *err)
{
	struct sl_remote *remote SL_CLEANUP(sl_remote_closep) = sl_alloc(sizeof *remote, err);
	size_t len = strlen(url);
	if (!remote)
		return SL_E_NO_MEMORY;
	remote->fd = -1;
	sl_buf_init(&remote->body, SL_REMOTE_ANSWER_MAX);
	const char *host = sl_str_starts(url, "http://") ? url + 7 : sl_str_starts(url, "https://") ? url + 8 : "";
	while (len && url[len - 1] == '/')
		len--;
	if (!*host || *host == '/' || len >= sizeof remote->base || strpbrk(url, "?#@"))
		return sl_fail(err, SL_E_INVALID, "'%.200s' is no address of a server: http://HOST:PORT", url);
	memcpy(remote->base, url, len);
	int rc = set_credentials(remote, err);
	if (!rc && sl_str_starts(url, "https:"))
		rc = sl_tls_client_new(NULL, &remote->tls, err);
	if (!rc)
		rc = sl_loop_new(&remote->loop, err);
	const struct sl_http_client_config config = {.tls = remote->tls, .timeout_ms = TIMEOUT_MS, .body_bytes = SL_REMOTE_ANSWER_MAX};
	if (!rc)
		rc = sl_http_client_new(remote->loop, &config, &remote->client, err);
	if (!rc)
		*ret = SL_TAKE(remote);
	return rc;
}

void sl_remote_close(struct sl_remote *remote)
{
	if (!remote)
		return;
	sl_http_client_free(remote->client);
	sl_loop_free(remote->loop);
	sl_tls_free(remote->tls);
	sl_buf_done(&remote->body);
	sl_free(remote);
}

void sl_remote_closep(struct sl_remote **remote) { sl_remote_close(*remote); }

/* ---- one call ------------------------------------------------------------------------------------------------------- */

static int take_piece(void *context, const char *data, size_t len, struct sl_error *err)
{
	struct sl_remote *remote = context;
	for (size_t done = 0; done < len;) {
		ssize_t n = sl_sys->pwrite(remote->fd, data + done, len - done, (off_t)(remote->offset + done));
		if (n < 0 && errno != EINTR)
			return sl_fail_errno(err, errno, "", "cannot write what was fetched");
		done += n > 0 ? (size_t)n : 0;
	}
	remote->offset += len;
	return 0;
}

static int give_piece(void *context, char *out, size_t room, size_t *ret_len, struct sl_error *err)
{
	struct sl_remote *remote = context;
	ssize_t n = sl_sys->pread(remote->fd, out, room, (off_t)remote->offset);
	if (n < 0 && errno != EINTR)
		return sl_fail_errno(err, errno, "", "cannot read what is sent");
	*ret_len = n > 0 ? (size_t)n : 0;
	remote->offset += *ret_len;
	return 0;
}

static void on_done(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct sl_remote *remote = context;
	remote->ended = true;
	if (!answer) {
		remote->error = *err;
		return;
	}
	remote->status = answer->status;
	sl_buf_add(&remote->body, answer->body, answer->body_len);
}

static int call_once(struct sl_remote *remote, struct sl_http_call *call, struct sl_error *err)
{
	sl_buf_clear(&remote->body);
	remote->ended = false;
	remote->offset = 0;
	remote->status = 0;
	remote->error = (struct sl_error){0};
	call->done = on_done;
	call->context = remote;
	int rc = sl_http_client_start(remote->client, call, NULL, err);
	while (!rc && !remote->ended)
		sl_loop_run_once(remote->loop, true);
	if (!rc && remote->error.code) {
		*err = remote->error;
		rc = err->code;
	}
	return rc;
}

static bool is_passing(int rc, int status)
{
	return rc == SL_E_IO || rc == SL_E_TIMEOUT || status == 429 || status == 502 || status == 503 || status == 504;
}

static int code_of(int status, const char *code)
{
	if (strcmp(code, "RESOURCE_ALREADY_EXISTS") == 0 || status == 409)
		return SL_E_CONFLICT;
	return status == 404 ? SL_E_NOT_FOUND : status == 401 || status == 403 ? SL_E_DENIED : status >= 500 ? SL_E_IO : SL_E_INVALID;
}

static int fail_status(struct sl_remote *remote, const char *url, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&remote->body), remote->body.len, "answer", NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	char where[300];
	snprintf(where, sizeof where, "%.*s", (int)strcspn(url, "?"), url);
	return sl_fail_at(err, code_of(remote->status, sl_json_str(root, "error_code", "")), where, "the server answered %d: %.600s",
		remote->status, sl_json_str(root, "message", "without a reason"));
}

static int run(struct sl_remote *remote, const char *method, const char *path, struct sl_http_call *call, struct sl_error *err)
{
	static const struct { const char *name; enum sl_http_method method; } METHODS[] = {{"GET", SL_HTTP_GET}, {"POST", SL_HTTP_POST},
		{"PUT", SL_HTTP_PUT}, {"PATCH", SL_HTTP_PATCH}, {"DELETE", SL_HTTP_DELETE}};
	char url[SL_REMOTE_URL_MAX];
	struct sl_error why = {0};
	struct sl_http_header headers[2] = {{"Content-Type", call->source ? "application/octet-stream" : "application/json"},
		{"Authorization", remote->authorization}};
	if (snprintf(url, sizeof url, "%s%s", remote->base, path) >= (int)sizeof url)
		return sl_fail(err, SL_E_TOO_LARGE, "an address on the server is longer than %d bytes", SL_REMOTE_URL_MAX);
	for (size_t i = 0; i < SL_ARRAY_LEN(METHODS); i++)
		if (strcmp(method, METHODS[i].name) == 0)
			call->method = METHODS[i].method;
	call->url = url;
	call->headers = headers;
	call->header_count = *remote->authorization ? 2 : 1;
	int rc = 0;
	for (int try = 0; try < SL_REMOTE_TRIES; try++) {
		const struct timespec pause = {0, (long)(FIRST_PAUSE_MS << (try ? try - 1 : 0)) % 1000 * 1000000};
		if (try)
			nanosleep(&pause, NULL);
		rc = call_once(remote, call, &why);
		if (!is_passing(rc, remote->status))
			break;
	}
	if (rc) {
		*err = why;
		return sl_error_context(err, "%.300s", remote->base);
	}
	return remote->status / 100 == 2 ? 0 : fail_status(remote, url, err);
}

static int parse_answer(struct sl_remote *remote, yyjson_doc **ret, struct sl_error *err)
{
	int rc = sl_buf_check(&remote->body, "the server's answer", err);
	if (rc || !ret)
		return rc;
	*ret = NULL;
	if (!remote->body.len)
		return 0;
	*ret = sl_json_parse(sl_buf_cstr(&remote->body), remote->body.len, "the server's answer", err);
	return *ret ? 0 : err->code;
}

int sl_remote_get(struct sl_remote *remote, const char *path, yyjson_doc **ret, struct sl_error *err)
{
	struct sl_http_call call = {0};
	*ret = NULL;
	int rc = run(remote, "GET", path, &call, err);
	return rc ? rc : parse_answer(remote, ret, err);
}

int sl_remote_send(struct sl_remote *remote, const char *method, const char *path, const char *json, size_t len, yyjson_doc **ret,
	struct sl_error *err)
{
	struct sl_http_call call = {.body = json, .body_len = len};
	if (ret)
		*ret = NULL;
	int rc = run(remote, method, path, &call, err);
	return rc ? rc : parse_answer(remote, ret, err);
}

int sl_remote_download(struct sl_remote *remote, const char *path, int fd, struct sl_error *err)
{
	struct sl_http_call call = {.sink = take_piece};
	remote->fd = fd;
	return run(remote, "GET", path, &call, err);
}

int sl_remote_upload(struct sl_remote *remote, const char *path, int fd, uint64_t size_bytes, struct sl_error *err)
{
	struct sl_http_call call = {.source = give_piece, .source_length = (int64_t)size_bytes};
	remote->fd = fd;
	return run(remote, "PUT", path, &call, err);
}

void sl_remote_encode(struct sl_buf *out, const char *text, bool slashes)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; *text; text++) {
		if (strchr(plain, *text) || (slashes && *text == '/'))
			sl_buf_char(out, *text);
		else
			sl_buf_printf(out, "%%%02X", (unsigned char)*text);
	}
}

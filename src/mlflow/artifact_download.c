/* Downloads: found and proved on a pool thread, then sent from the object's file in constant memory.
 *
 * Whatever a client once stored is only ever handed out as a file to be saved: never as a page of this origin. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "mlflow/artifact.h"
#include "mlflow/registry.h"
#include "mlflow/route.h"
#include "mlflow/server.h"

/* Where a client's words lead: a path below the proxy. */
typedef int locate_fn(struct sl_ml_call *call, const char **ret, struct sl_error *err);

struct download {
	locate_fn *locate;
	const char *path;
	struct sl_artifact artifact;
	int fd;
};

/* By the extension of the name, never from the request. Nothing that a browser would run: pages and scripts are plain text. */
static const char *type_of(const char *name)
{
	static const struct { const char *extension, *type; } TYPES[] = {
		{".png", "image/png"}, {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"}, {".gif", "image/gif"}, {".webp", "image/webp"},
		{".json", "application/json"}, {".csv", "text/csv"}, {".pdf", "application/pdf"},
		{".txt", "text/plain"}, {".log", "text/plain"}, {".md", "text/plain"}, {".yaml", "text/plain"}, {".yml", "text/plain"},
		{".py", "text/plain"}, {".html", "text/plain"}, {".htm", "text/plain"}, {".svg", "text/plain"}, {".xml", "text/plain"},
		{".js", "text/plain"}, {".css", "text/plain"}};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < SL_ARRAY_LEN(TYPES); i++)
		if (strcasecmp(dot, TYPES[i].extension) == 0)
			return TYPES[i].type;
	return strcmp(name, "MLmodel") == 0 ? "text/plain" : "application/octet-stream";
}

/* RFC 6266 and 8187: a name of any letters. */
static const char *disposition(struct sl_arena *arena, const char *name)
{
	static const char digits[] = "0123456789ABCDEF";
	static const char PREFIX[] = "attachment; filename*=UTF-8''";
	char *text = sl_arena_alloc(arena, sizeof PREFIX + 3 * strlen(name)), *to = text;
	if (!text)
		return "attachment";
	to += sizeof PREFIX - 1;
	memcpy(text, PREFIX, sizeof PREFIX - 1);
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;
		if (strchr("-._~", c) || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')) {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
	*to = 0;
	return text;
}

static int open_object(struct sl_ml_call *call, struct download *download, struct sl_error *err)
{
	char file[SL_PATH_MAX];
	int rc = sl_artifact_find(&call->record, download->path, &download->artifact, err);
	if (!rc && download->artifact.is_folder)
		rc = sl_fail(err, SL_E_NOT_FOUND, "No such artifact: '%.900s'", download->path);
	if (!rc)
		rc = sl_objects_path(call->store->objects, &download->artifact.hash, file, err);
	return rc ? rc : sl_file_open(file, O_RDONLY | O_CLOEXEC, 0, &download->fd, err);
}

static void find(struct sl_ml_call *call)
{
	struct download *download = call->own;
	if (!download->locate(call, &download->path, &call->error))
		open_object(call, download, &call->error);
}

static void send(struct sl_ml_call *call)
{
	struct download *download = call->own;
	struct sl_http_request *request = call->request;
	if (call->error.code) {
		sl_mlflow_refuse(call, &call->error);
		return;
	}
	const struct sl_http_header headers[] = {
		{"Content-Disposition", disposition(call->arena, download->artifact.name)},
		{"Content-Security-Policy", "sandbox; default-src 'none'"}};
	const struct sl_http_response head = {.status = 200, .content_type = type_of(download->artifact.name),
		.headers = headers, .header_count = SL_ARRAY_LEN(headers)};
	sl_mlflow_call_free(call);
	sl_http_respond_file(request, &head, download->fd, 0, download->artifact.size_bytes);
}

static void begin(struct sl_ml_call *call, locate_fn *locate)
{
	struct sl_error err = {0};
	struct download *download = sl_arena_alloc(call->arena, sizeof *download);
	int rc = download ? sl_ml_call_read(call, &err) : sl_fail_memory(&err);
	if (!rc) {
		*download = (struct download){.locate = locate, .fd = -1};
		call->own = download;
		rc = sl_mlflow_work(call, find, send, &err);
	}
	if (rc)
		sl_mlflow_refuse(call, &err);
}

static int locate_proxy(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	*ret = call->parts[0];
	return sl_artifact_check_path(*ret, err);
}

static int locate_of_version(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	struct sl_reg_version version;
	const char *path;
	int rc = sl_ml_named_version(call, &version, err);
	rc = rc ? rc : sl_ml_need(call, "path", &path, err);
	return rc ? rc : sl_ml_artifact_below(call, version.storage, path, ret, err);
}

static int locate_of_logged(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	struct sl_logged_model model;
	const char *path;
	int rc = sl_logged_model_get(&call->record, call->parts[0], call->arena, &model, err);
	rc = rc ? rc : sl_ml_need(call, "artifact_file_path", &path, err);
	return rc ? rc : sl_ml_artifact_below(call, model.artifact_uri, path, ret, err);
}

static void get_proxy(struct sl_ml_call *call) { begin(call, locate_proxy); }
static void get_of_run(struct sl_ml_call *call) { begin(call, sl_ml_artifact_of_run); }
static void get_of_version(struct sl_ml_call *call) { begin(call, locate_of_version); }
static void get_of_logged(struct sl_ml_call *call) { begin(call, locate_of_logged); }

const struct sl_ml_route sl_ml_routes_download[] = {
	{SL_ML_V2, SL_HTTP_GET, "/mlflow-artifacts/artifacts/{*}", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_proxy, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/logged-models/{}/artifacts/files", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_of_logged, NULL},
	{0, SL_HTTP_GET, "/model-versions/get-artifact", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_of_version, NULL},
	{0, SL_HTTP_GET, "/get-artifact", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get_of_run, NULL},
	{0},
};

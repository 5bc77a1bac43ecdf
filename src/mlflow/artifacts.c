/* Lists and removes artifacts, and says what this server does not do: parts of uploads and signed addresses, behind which clients
 * fall back to plain PUT and GET. */
#include "mlflow/artifact.h"

#include <stdio.h>

#include "mlflow/route.h"
#include "record/run.h"

/* ---- shared --------------------------------------------------------------------------------------------------------- */

int sl_ml_artifact_below(struct sl_ml_call *call, const char *uri, const char *path, const char **ret, struct sl_error *err)
{
	const char *base = sl_artifact_path_of(uri);
	if (!base)
		return sl_fail(err, SL_E_INVALID, "The artifacts are at '%.600s', which is not behind this server", uri);
	int rc = sl_artifact_check_path(path, err);
	if (rc)
		return rc;
	*ret = sl_arena_printf(call->arena, *path && *base ? "%s/%s" : "%s%s", base, path);
	return *ret ? sl_artifact_check_path(*ret, err) : sl_fail_memory(err);
}

int sl_ml_artifact_of_run(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	const char *id, *path;
	struct sl_rec_run run;
	int rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = sl_ml_text(call, "path", &path, err);
	if (!rc)
		rc = sl_rec_run_get(&call->record, id, call->arena, &run, err);
	return rc ? rc : sl_ml_artifact_below(call, run.artifact_uri, path ? path : "", ret, err);
}

struct listing {
	struct sl_buf *out;
	const char *prefix;
};

static int put_one(void *context, const struct sl_artifact *artifact)
{
	const struct listing *listing = context;
	struct sl_buf *out = listing->out;
	char path[2 * SL_ARTIFACT_PATH_MAX];
	snprintf(path, sizeof path, "%.1023s%.1023s", listing->prefix, artifact->name);
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "path", path);
	sl_ml_put_bool(out, "is_dir", artifact->is_folder);
	if (!artifact->is_folder)
		sl_ml_put_int(out, "file_size", (int64_t)artifact->size_bytes);
	sl_buf_char(out, '}');
	return out->failed;
}

int sl_ml_put_artifacts(struct sl_ml_call *call, const char *folder, const char *prefix, struct sl_error *err)
{
	struct listing listing = {&call->out, prefix};
	sl_ml_open(&call->out, "files", '[');
	int rc = sl_artifact_each(&call->record, folder, "", INT64_MAX, put_one, &listing, err);
	sl_buf_char(&call->out, ']');
	return call->out.failed ? sl_buf_check(&call->out, "the list of artifacts", err) : rc;
}

/* ---- routes --------------------------------------------------------------------------------------------------------- */

static int list_proxy(struct sl_ml_call *call, struct sl_error *err)
{
	const char *path;
	int rc = sl_ml_text(call, "path", &path, err);
	if (!rc)
		rc = sl_artifact_check_path(path ? path : "", err);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	rc = sl_ml_put_artifacts(call, path ? path : "", "", err);
	sl_buf_char(&call->out, '}');
	return rc;
}

static int list_run(struct sl_ml_call *call, struct sl_error *err)
{
	const char *id, *path, *folder, *prefix = "";
	struct sl_rec_run run;
	int rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = sl_ml_text(call, "path", &path, err);
	if (!rc)
		rc = sl_rec_run_get(&call->record, id, call->arena, &run, err);
	if (!rc)
		rc = sl_ml_artifact_below(call, run.artifact_uri, path ? path : "", &folder, err);
	if (!rc && path && !(prefix = sl_arena_printf(call->arena, "%s/", path)))
		rc = sl_fail_memory(err);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	sl_ml_put_text(&call->out, "root_uri", run.artifact_uri);
	rc = sl_ml_put_artifacts(call, folder, prefix, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

static int delete_proxy(struct sl_ml_call *call, struct sl_error *err)
{
	int rc = sl_artifact_check_path(call->parts[0], err);
	return rc ? rc : sl_artifact_delete(&call->record, call->parts[0], err);
}

/* An honest no: the client then sends the file whole, which here costs no memory either. */
static int no_parts(struct sl_ml_call *call, struct sl_error *err)
{
	call->error_code = "NOT_IMPLEMENTED";
	return sl_fail(err, SL_E_NO_LIBRARY, "Multipart upload is not supported for the current artifact repository");
}

static int no_signed(struct sl_ml_call *call, struct sl_error *err)
{
	call->error_code = "NOT_IMPLEMENTED";
	return sl_fail(err, SL_E_NO_LIBRARY, "Presigned URLs are not supported for the current artifact repository");
}

#define PROXY "/mlflow-artifacts"
const struct sl_ml_route sl_ml_routes_artifacts[] = {
	{SL_ML_V2, SL_HTTP_GET, PROXY "/artifacts", SL_PERMIT_VIEW, SL_ML_SLOW, list_proxy, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/artifacts/list", SL_PERMIT_VIEW, SL_ML_SLOW, list_run, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, PROXY "/artifacts/{*}", SL_PERMIT_EDIT, SL_ML_WRITE, delete_proxy, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, PROXY "/mpu/create/{*}", SL_PERMIT_RUN, SL_ML_READ, no_parts, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, PROXY "/mpu/complete/{*}", SL_PERMIT_RUN, SL_ML_READ, no_parts, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, PROXY "/mpu/abort/{*}", SL_PERMIT_RUN, SL_ML_READ, no_parts, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, PROXY "/presigned/{*}", SL_PERMIT_VIEW, SL_ML_READ, no_signed, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/artifacts/presigned-upload-url", SL_PERMIT_RUN, SL_ML_READ, no_signed, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/artifacts/presigned-download-url", SL_PERMIT_VIEW, SL_ML_READ, no_signed, NULL, NULL},
	{0},
};

/* What a client asks about the server. */
#include "mlflow/route.h"
#include "mlflow/server.h"

static int health(struct sl_ml_call *call, struct sl_error *err)
{
	(void)err;
	sl_buf_str(&call->out, "OK");
	return 0;
}

static int version(struct sl_ml_call *call, struct sl_error *err)
{
	(void)err;
	sl_buf_str(&call->out, SL_MLFLOW_VERSION);
	return 0;
}

/* What is claimed here is what clients then use. */
static int server_info(struct sl_ml_call *call, struct sl_error *err)
{
	(void)err;
	sl_buf_str(&call->out, "{\"store_type\":\"SqlStore\",\"workspaces_enabled\":false,\"trace_archival_enabled\":false,"
		"\"multipart_uploads_enabled\":false,\"multipart_downloads_enabled\":false,"
		"\"presigned_upload_run_id_supported\":false,\"presigned_upload_model_id_supported\":false,"
		"\"features_enabled\":{\"gateway\":false}}");
	return 0;
}

const struct sl_ml_route sl_ml_routes_about[] = {
	{0, SL_HTTP_GET, "/health", SL_ML_OPEN, SL_ML_READ, health, NULL, "text/html; charset=utf-8"},
	{0, SL_HTTP_GET, "/version", SL_ML_OPEN, SL_ML_READ, version, NULL, "text/html; charset=utf-8"},
	{SL_ML_V3, SL_HTTP_GET, "/mlflow/server-info", SL_ML_OPEN, SL_ML_READ, server_info, NULL, NULL},
	{0},
};

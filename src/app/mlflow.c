/* mlflow: MLflow's protocol alone, over a store folder, in the foreground. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "mlflow/server.h"
#include "net/tls.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/token.h"

enum { DRAIN_MS = 5000 };

struct serving {
	struct sl_loop *loop;
	struct sl_mlflow *mlflow;
	bool stopping;
};

static void on_drained(void *context)
{
	struct serving *serving = context;
	sl_loop_stop(serving->loop);
}

static void on_signal(void *context, int signal_number)
{
	struct serving *serving = context;
	(void)signal_number;
	if (serving->stopping)
		return;
	serving->stopping = true;
	sl_mlflow_drain(serving->mlflow, DRAIN_MS, on_drained, serving);
}

static int listen_and_run(struct sl_call *call, struct serving *serving, struct sl_error *err)
{
	const char *host = sl_call_text(call, "host");
	uint16_t port = (uint16_t)sl_call_int(call, "port");
	struct sl_signal *terminate = NULL, *interrupt = NULL;
	int rc = sl_http_server_listen(sl_mlflow_http(serving->mlflow), host, port, &port, err);
	if (!rc)
		rc = sl_signal_new(serving->loop, SIGTERM, on_signal, serving, &terminate, err);
	if (!rc)
		rc = sl_signal_new(serving->loop, SIGINT, on_signal, serving, &interrupt, err);
	if (!rc) {
		char url[128];
		snprintf(url, sizeof url, strchr(host, ':') ? "http://[%.100s]:%u" : "http://%.100s:%u", host, port);
		fprintf(stderr, "%s ready\n", url);
		sl_loop_run(serving->loop);
		sl_put_text(call, sl_call_object(call), "url", url);
	}
	sl_signal_free(terminate);
	sl_signal_free(interrupt);
	return rc;
}

int sl_op_mlflow(struct sl_call *call, struct sl_error *err)
{
	char dir[SL_PATH_MAX], store_dir[SL_PATH_MAX];
	struct serving serving = {0};
	int rc = sl_net_bind_check(sl_call_text(call, "host"), false, false, err);
	if (!rc)
		rc = sl_call_path(call, sl_call_text(call, "store"), dir, err);
	if (!rc)
		rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_store_create(dir, err);
	if (!rc)
		rc = sl_path_join(store_dir, dir, ".sluice", err);
	if (!rc)
		rc = sl_token_create(store_dir, err);
	if (!rc)
		rc = sl_loop_new(&serving.loop, err);
	struct sl_mlflow_options options = {
		.project_dir = dir, .listen_fd = -1,
		.artifact_root = sl_call_text(call, "default-artifact-root"),
		.artifacts_destination = sl_call_text(call, "artifacts-destination"),
		.send_webhooks = true, .webhooks = sl_ml_webhook_policy_of_environment(),
	};
	if (!rc)
		rc = sl_mlflow_new(serving.loop, &options, &serving.mlflow, err);
	if (!rc)
		rc = listen_and_run(call, &serving, err);
	sl_mlflow_free(serving.mlflow);
	sl_loop_free(serving.loop);
	return rc;
}

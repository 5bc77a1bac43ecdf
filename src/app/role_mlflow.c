#include "app/role.h"
#include "app/supervisor.h"
#include "mlflow/server.h"

struct mlflow_role {
	struct sl_role *role;
	struct sl_mlflow *mlflow;
};

static void stop(void *context)
{
	struct mlflow_role *self = context;
	sl_mlflow_drain(self->mlflow, SL_ROLE_DRAIN_MS, sl_role_stopped, self->role);
}

int sl_role_mlflow(struct sl_role *role, struct sl_error *err)
{
	struct mlflow_role self = {.role = role};
	struct sl_mlflow_options options = {
		.require_token = role->access.require_token,
		.hosts = role->access.hosts, .host_count = role->access.host_count,
		.project_dir = role->project->dir, .listen_fd = -1, .adopt_socket = SL_ROLE_MLFLOW_SOCKET,
		.api_socket = SL_ROLE_API_SOCKET,
		.send_webhooks = true, .webhooks = sl_ml_webhook_policy_of_environment(),
	};
	sl_role_drop_socket(SL_ROLE_MLFLOW_SOCKET);
	int rc = sl_mlflow_new(role->loop, &options, &self.mlflow, err);
	if (rc)
		return rc;
	sl_role_serve(role, stop, &self);
	sl_mlflow_free(self.mlflow);
	return 0;
}

#include "app/role.h"

#include "api/server.h"
#include "app/supervisor.h"
#include "mlflow/server.h"
#include "oip/server.h"

struct api_role {
	struct sl_role *role;
	struct sl_api *api;
};

static void stop(void *context)
{
	struct api_role *self = context;
	sl_api_drain(self->api, SL_ROLE_DRAIN_MS, sl_role_stopped, self->role);
}

int sl_role_api(struct sl_role *role, struct sl_error *err)
{
	struct api_role self = {.role = role};
	struct sl_api_options options = {
		.project_dir = role->project->dir,
		.store_dir = role->store_dir,
		.project_name = role->project->name,
		.require_token = role->access.require_token,
		.hosts = role->access.hosts, .host_count = role->access.host_count,
		.listen_fd = SL_ROLE_LISTEN_FD,
		.adopt_socket = SL_ROLE_API_SOCKET,
		.infer_socket = role->project->endpoint_count ? SL_ROLE_INFER_SOCKET : NULL,
		.is_infer_path = sl_oip_is_path,
		.mlflow_socket = SL_ROLE_MLFLOW_SOCKET,
		.is_mlflow_path = sl_mlflow_is_path,
	};
	sl_role_drop_socket(SL_ROLE_API_SOCKET);
	int rc = sl_api_new(role->loop, &options, &self.api, err);
	if (rc)
		return rc;
	sl_role_serve(role, stop, &self);
	sl_api_free(self.api);
	return 0;
}

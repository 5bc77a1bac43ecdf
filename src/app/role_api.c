#include "app/role.h"

#include "api/server.h"
#include "app/supervisor.h"
#include "mlflow/server.h"
#include "oip/server.h"
#include "os/sys.h"

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
	/* A socket left over by a role that was killed; the supervisor's lock says that no other role is alive. */
	sl_sys->unlink(SL_ROLE_API_SOCKET);
	int rc = sl_api_new(role->loop, &options, &self.api, err);
	if (rc)
		return rc;
	role->stop = stop;
	role->context = &self;
	sl_role_ready();
	sl_loop_run(role->loop);
	sl_api_free(self.api);
	return 0;
}

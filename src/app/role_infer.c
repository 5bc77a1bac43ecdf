#include "app/role.h"
#include "app/supervisor.h"
#include "oip/server.h"

struct infer_role {
	struct sl_role *role;
	struct sl_oip *oip;
};

static void stop(void *context)
{
	struct infer_role *self = context;
	sl_oip_drain(self->oip, SL_ROLE_DRAIN_MS, sl_role_stopped, self->role);
}

int sl_role_infer(struct sl_role *role, struct sl_error *err)
{
	struct infer_role self = {.role = role};
	struct sl_store *store SL_CLEANUP(sl_store_closep) = NULL;
	int rc = sl_store_open(role->project->dir, &store, err);
	if (rc)
		return rc;
	sl_ledger_set_actor(store->ledger, "infer");
	struct sl_oip_options options = {
		.require_token = role->access.require_token,
		.hosts = role->access.hosts, .host_count = role->access.host_count,
		.store = store, .project = role->project, .traces = role->project->server.traces, .traces_ratio = role->project->server.traces_ratio,
		.listen_fd = SL_ROLE_LISTEN_FD, .grpc = true, .grpc_fd = -1,
		.adopt_socket = SL_ROLE_INFER_SOCKET, .api_socket = SL_ROLE_API_SOCKET,
	};
	sl_role_drop_socket(SL_ROLE_INFER_SOCKET);
	rc = sl_oip_new(role->loop, &options, &self.oip, err);
	if (rc)
		return rc;
	sl_role_serve(role, stop, &self);
	sl_oip_free(self.oip);
	return 0;
}

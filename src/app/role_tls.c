#include "app/role.h"
#include "app/supervisor.h"
#include "base/log.h"
#include "net/tls_front.h"

struct tls_role {
	struct sl_role *role;
	struct sl_tls_front *front;
};

static void stop(void *context)
{
	struct tls_role *self = context;
	sl_tls_front_drain(self->front, SL_ROLE_DRAIN_MS, sl_role_stopped, self->role);
}

static void on_reloaded(void *context, const struct sl_error *err)
{
	(void)context;
	if (err)
		sl_log(SL_LOG_WARNING, "the changed certificate is not used: %s: %s", err->where, err->message);
	else
		sl_log(SL_LOG_INFO, "the changed certificate is in use");
}

int sl_role_tls(struct sl_role *role, struct sl_error *err)
{
	struct tls_role self = {.role = role};
	struct sl_tls_front_config config = {
		.certificate_path = role->access.certificate_path, .key_path = role->access.key_path,
		.socket_path = SL_ROLE_API_SOCKET, .reloaded = on_reloaded,
	};
	if (!config.certificate_path || !config.key_path)
		return sl_fail(err, SL_E_INVALID, "the role tls needs --tls-cert and --tls-key");
	int rc = sl_tls_front_new(role->loop, &config, SL_ROLE_LISTEN_FD, &self.front, err);
	if (rc)
		return rc;
	sl_role_serve(role, stop, &self);
	sl_tls_front_free(self.front);
	return 0;
}

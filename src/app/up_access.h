/* Who may reach the server and how: the command line of `up`, and where that is silent the project file's `server`. */
#ifndef SL_APP_UP_ACCESS_H
#define SL_APP_UP_ACCESS_H

#include "app/supervisor.h"
#include "op/context.h"

struct sl_up_access {
	const char *host;
	int port;
	bool tls;
	const char *args[SL_UP_ROLE_ARGS_MAX]; /* what every role is told of it; texts live in the call's arena */
	size_t arg_count;
};
/* Each key by itself: what the command line gives wins. Refuses what could not be served safely or at all (no TLS beyond this
 * machine, a certificate that does not load), with the place in the project file when it says so there. */
int sl_up_access_read(struct sl_call *call, const struct sl_server_spec *server, struct sl_up_access *ret, struct sl_error *err);

#endif

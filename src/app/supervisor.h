/* The supervisor: starts the roles of a project as children of the same program, restarts the one that dies, and says why it
 * died.
 *
 *   supervisor --listening socket (fd 4)--> api, infer        standard error of each --> .sluice/log/ROLE.log
 *              <--one byte on fd 3 when ready--
 *
 * With TLS the public socket is the role tls's alone; api and infer listen on a loopback port, for commands on this machine.
 *
 * A role that ends is started again after 0.1 s, doubling to 30 s, back to 0.1 s once it was well for 60 s; the socket stays open
 * meanwhile, so clients wait instead of being refused. A role dies with its supervisor (PDEATHSIG); runs that the worker started
 * do not: they have their own session.
 */
#ifndef SL_APP_SUPERVISOR_H
#define SL_APP_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "op/up_state.h"

enum {
	SL_ROLE_READY_FD = 3, SL_ROLE_LISTEN_FD = 4, /* what a role finds open */
	SL_UP_READY_TIMEOUT_MS = 15000, SL_UP_DRAIN_MS = 10000,
	SL_UP_ROLE_ARGS_MAX = 256,
	SL_UP_DELAY_MIN_MS = 100, SL_UP_DELAY_MAX_MS = 30000, SL_UP_HEALTHY_MS = 60000,
};

struct sl_supervisor_options {
	const char *project_dir, *store_dir;
	const char *host;
	int port;                    /* 0: one of the system's choosing */
	const char *const *roles;    /* in the order of starting */
	size_t role_count;
	bool tls;                    /* `host` and `port` are the role tls's */
	const char *const *role_args;/* further arguments of every role */
	size_t role_arg_count;
	/* Called once, when every role is ready. */
	void (*ready)(void *context, const struct sl_up_state *state);
	void *context;
	bool echo;                   /* roles' log lines to our own standard error too */
};

/* Holds the project's lock, listens, runs the roles until SIGTERM or SIGINT, drains them, returns 0. SL_E_BUSY: `up` runs
 * already, and who; an error also when a role does not become ready at the first start (with its last words). */
int sl_supervise(const struct sl_supervisor_options *options, struct sl_error *err);

#endif

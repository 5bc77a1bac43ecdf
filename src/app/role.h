/* The roles: processes that the supervisor starts as `sluice role NAME`. Each runs until SIGTERM, drains, and returns. */
#ifndef SL_APP_ROLE_H
#define SL_APP_ROLE_H

#include "base/error.h"
#include "net/loop.h"
#include "os/file.h"
#include "project/project.h"

enum { SL_ROLE_DRAIN_MS = 8000 };

/* Unix sockets on which roles hand connections to each other. Relative: a role's working folder is .sluice, and such a path may
 * have 107 bytes only. */
#define SL_ROLE_API_SOCKET "api.sock"
#define SL_ROLE_INFER_SOCKET "infer.sock"
#define SL_ROLE_MLFLOW_SOCKET "mlflow.sock"

/* How the server is reached, the same for every role. */
struct sl_role_access {
	bool require_token;             /* also for looking and for predictions */
	const char *const *hosts;       /* names that are ours besides addresses and localhost */
	size_t host_count;
	const char *certificate_path, *key_path; /* NULL: no TLS */
};

struct sl_role {
	const struct sl_project *project;
	char store_dir[SL_PATH_MAX];
	struct sl_role_access access;
	/* Of roles that serve requests; NULL in others. */
	struct sl_loop *loop;
	void (*stop)(void *context); /* called on SIGTERM; ends with sl_role_stopped */
	void *context;
};

/* Tells the supervisor that the role does its work from now on. */
void sl_role_ready(void);
/* That, and the loop's turns until SIGTERM called `stop` with `context` and that called sl_role_stopped. */
void sl_role_serve(struct sl_role *role, void (*stop)(void *context), void *context);
/* What a role that was killed left over; the supervisor's lock says that no other role of this name is alive. */
void sl_role_drop_socket(const char *name);
/* `role` as a struct sl_role: its loop ends. */
void sl_role_stopped(void *role);

int sl_role_api(struct sl_role *role, struct sl_error *err);
int sl_role_infer(struct sl_role *role, struct sl_error *err);
int sl_role_mlflow(struct sl_role *role, struct sl_error *err);
int sl_role_tls(struct sl_role *role, struct sl_error *err);
int sl_role_worker(struct sl_role *role, struct sl_error *err);

#endif

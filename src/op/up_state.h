/* What a running server says about itself in .sluice/up.json, and whether it still runs. Written by the supervisor at every
 * change. */
#ifndef SL_OP_UP_STATE_H
#define SL_OP_UP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "os/file.h"

enum { SL_UP_ROLES_MAX = 8, SL_UP_REASON_MAX = 512 };

struct sl_up_role {
	char name[16], state[16];     /* starting, ready, restarting, stopped */
	char reason[SL_UP_REASON_MAX]; /* how it ended the last time; "" */
	int pid;
	int64_t since_ms, restarts;
};

struct sl_up_state {
	int pid;
	int64_t start_ticks; /* of the process, from /proc: a reused pid has another */
	int64_t started_ms;
	int port;
	char url[128];       /* where clients reach it: "https://0.0.0.0:4600" */
	char local_url[128]; /* where commands on this machine do: plain, on loopback */
	struct sl_up_role roles[SL_UP_ROLES_MAX];
	size_t role_count;
};

int sl_up_state_write(const char *store_dir, const struct sl_up_state *state, struct sl_error *err);
void sl_up_state_remove(const char *store_dir);
/* 1 and filled when a server runs; 0 when none does (a file left over by a dead one included). */
int sl_up_state_read(const char *store_dir, struct sl_up_state *ret, struct sl_error *err);
/* Start time of a process in clock ticks since boot; 0 when there is none. */
int64_t sl_process_start_ticks(int pid);

#endif

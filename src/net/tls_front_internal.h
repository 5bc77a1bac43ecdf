/* Inside the TLS front only: tls_front.c accepts and keeps time, tls_relay.c moves the bytes of one connection. */
#ifndef SL_NET_TLS_FRONT_INTERNAL_H
#define SL_NET_TLS_FRONT_INTERNAL_H

#include <stdbool.h>

#include "net/handover.h"
#include "net/tls.h"
#include "net/tls_front.h"
#include "net/wire.h"

enum { RELAY_READ_BYTES = 16 * 1024 }; /* one TLS record; also the most that waits in each direction */

enum relay_stage {
	RELAY_HANDSHAKE, /* nothing came from inside TLS yet */
	RELAY_WAITING,   /* for the role: its first bytes are in `up` */
	RELAY_OPEN,
	RELAY_LINGERING, /* all is said; the client may still be sending */
};

/* What the other side could not take yet. */
struct pending {
	char *data;
	size_t len, done;
};

struct relay {
	struct sl_tls_front *front;
	struct relay *prev, *next;
	enum relay_stage stage;
	struct sl_wire wire;      /* the client */
	int role_fd;              /* our end of the pair; -1 */
	struct sl_watch *client_watch, *role_watch;
	int client_events, role_events;
	struct pending up, down;  /* to the role; to the client */
	bool client_ended, role_told; /* the client sends no more; the role knows */
	bool role_ended;
	bool more;                /* stopped with bytes left inside TLS, which no poll would tell */
	size_t lingered;
	int64_t deadline_ms;      /* 0: none */
	int64_t moved_ms;         /* when bytes came or went last */
};

struct tls_stamp {
	uint64_t inode;
	int64_t size, mtime_s, mtime_ns;
};

struct sl_tls_front {
	struct sl_loop *loop;
	struct sl_tls_front_config config;
	struct sl_tls *tls;
	struct tls_stamp certificate, key;
	int64_t looked_ms;
	int listen_fd;
	struct sl_watch *acceptor;
	bool accept_waits;
	struct sl_timer *ticker;
	bool ticking;
	struct sl_handover role;
	char *scratch; /* RELAY_READ_BYTES */
	struct relay *relays;
	uint32_t relay_count;
	bool draining;
	int64_t drain_deadline_ms;
	sl_loop_fn *drained;
	void *drained_context;
};

void front_start_ticking(struct sl_tls_front *front);

/* Takes over fd. */
void relay_open(struct sl_tls_front *front, int fd);
void relay_close(struct relay *r);
/* Time-outs, and another try for a role that was not there. */
void relay_tick(struct relay *r, int64_t now_ms);

#endif

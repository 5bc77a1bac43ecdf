/* The public side of a server that speaks TLS: accepts, shakes hands, and relays plain bytes to the process that answers.
 *
 *     client ==TLS== front ==socketpair== role (one end handed over: net/handover.h)
 *
 * So the private key is in a process that parses nothing but TLS, and every other process sees an ordinary plain connection that
 * it may hand on. Bytes go through in order and in constant memory (one shared buffer; a side that does not keep up stops the
 * other), whatever the protocol inside does: keep-alive, pipelining, bodies of any length, half-closed connections.
 *
 * A connection is handed over with its first bytes. While nobody takes it (the role is being restarted) it waits, then gets a
 * 503. Who speaks plain HTTP here gets a 400 that says so. A certificate or key whose file changed is loaded anew, looked for at
 * most once a second when somebody connects; one that does not load leaves the old one in force.
 *
 * Measured (2 busy cores, OpenSSL 3.0, debug symbols): an idle connection costs 15 KB here and 0.5 KB in its role; a handshake 0.7 ms of
 * CPU; 10,000 small requests one after the other on one connection 0.7 to 1.3 s in all processes together, 0.17 s without TLS. */
#ifndef SL_NET_TLS_FRONT_H
#define SL_NET_TLS_FRONT_H

#include <stdint.h>

#include "base/error.h"
#include "net/loop.h"

struct sl_tls_front;

struct sl_tls_front_config {
	const char *certificate_path, *key_path; /* PEM; these outlive the front */
	const char *socket_path;                 /* where the role takes connections */
	/* 0: the default. */
	uint32_t connections;          /* 10,000; beyond, the longest silent one is closed */
	uint32_t handshake_timeout_ms; /* 10 s to the first byte inside TLS */
	uint32_t role_timeout_ms;      /* 10 s for the role to be there -> 503 */
	uint32_t write_timeout_ms;     /* 30 s in which the client takes nothing at all -> closed */
	/* Optional: a changed certificate was loaded (err NULL), or was not. */
	void (*reloaded)(void *context, const struct sl_error *err);
	void *context;
};

/* Takes over `listen_fd`, also when it fails. */
int sl_tls_front_new(struct sl_loop *loop, const struct sl_tls_front_config *config, int listen_fd, struct sl_tls_front **ret,
	struct sl_error *err);
/* Stops accepting; connections end as their roles end them, after `deadline_ms` all do; then `done`, once. */
void sl_tls_front_drain(struct sl_tls_front *front, int64_t deadline_ms, sl_loop_fn *done, void *context);
void sl_tls_front_free(struct sl_tls_front *front); /* NULL is fine */

#endif

/* TLS 1.2 and 1.3, both sides, and the rule about who may listen where. */
#ifndef SL_NET_TLS_H
#define SL_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sl_tls;
struct sl_wire;

/* The server's side: certificate chain and private key, PEM files. */
int sl_tls_server_new(const char *certificate_path, const char *key_path, struct sl_tls **ret, struct sl_error *err);
/* The client's side; verifies the chain and the name. `ca_path` NULL: the system's authorities. */
int sl_tls_client_new(const char *ca_path, struct sl_tls **ret, struct sl_error *err);
void sl_tls_free(struct sl_tls *tls); /* NULL is fine; not while a connection uses it */

/* Inside net/: TLS on a wire whose socket is connected; the handshake happens with the first reads and writes. */
int sl_tls_accept(struct sl_tls *tls, struct sl_wire *wire);
int sl_tls_connect(struct sl_tls *tls, struct sl_wire *wire, const char *host, struct sl_error *err);
/* Why the peer's certificate was not taken, or NULL. */
const char *sl_tls_problem(const struct sl_wire *wire);

enum { SL_TLS_NAMES_MAX = 64, SL_TLS_NAME_BYTES = 256 };
/* The names that a certificate is for (its subject alternative names of type DNS; "*.example.com" among them); at most
 * SL_TLS_NAMES_MAX. */
int sl_tls_certificate_names(const char *certificate_path, char ret[SL_TLS_NAMES_MAX][SL_TLS_NAME_BYTES], size_t *ret_count,
	struct sl_error *err);

/* An address of this machine's loopback, or "localhost". */
bool sl_net_is_loopback(const char *host);
/* Whether a server may listen on `host` (an address or "localhost"): on loopback always; elsewhere only with TLS, or
 * when plain text was allowed in so many words; else SL_E_DENIED with the way out as the hint. */
int sl_net_bind_check(const char *host, bool has_tls, bool plain_allowed, struct sl_error *err);

#endif

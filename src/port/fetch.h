/* One GET or HEAD of an http(s) address as a source of data: redirects are followed within bounds, and every address that a name means is
 * checked before it is connected to. */
#ifndef SL_PORT_FETCH_H
#define SL_PORT_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_FETCH_URL_MAX = 8192, SL_FETCH_REDIRECTS_MAX = 5, SL_FETCH_TEXT_MAX = 256 };

struct sl_fetch {
	const char *url;
	bool head;            /* nothing but the headers */
	uint64_t from;        /* > 0: only the bytes from there on (Range); the answer's status is 206 if the server does that */
	const char *if_match; /* with `from`: the entity tag that the bytes before have; a server that has another answers 412 or 200 */
	bool allow_private;   /* else only public addresses: no loopback, private, link-local or multicast ones */
	int fd;               /* where the body goes, from its present length on; -1 with `head` */
	uint64_t bytes_max;   /* of the body; SL_E_TOO_LARGE beyond */
	int64_t timeout_ms;   /* for all of it; 0: 1 h. Half a minute in which nothing comes ends it too. SL_E_TIMEOUT */
};
struct sl_fetched {
	int status;                             /* of the last answer: 2xx, or 304, 404 ...: no error here */
	char etag[SL_FETCH_TEXT_MAX], last_modified[SL_FETCH_TEXT_MAX]; /* "" when not given, or longer */
	int64_t length;                         /* Content-Length; -1: not given */
	bool ranges;                            /* Accept-Ranges: bytes */
	uint64_t body_bytes;                    /* of the last answer, written to fd */
};
/* TLS is verified (authorities of the system, or those of SSL_CERT_FILE). A redirect from https to http is refused, so are more than
 * SL_FETCH_REDIRECTS_MAX. SL_E_DENIED: a private address. SL_E_IO, SL_E_TIMEOUT: retriable; what came is in `fd`. */
int sl_fetch(const struct sl_fetch *fetch, struct sl_fetched *ret, struct sl_error *err);

/* Is this numeric address one of the public internet? */
bool sl_address_public(const char *address);

#endif

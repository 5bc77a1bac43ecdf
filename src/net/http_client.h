/* HTTP/1.1 client: keep-alive connections per host, time-outs, limits; asynchronous on a loop, or one blocking call.
 *
 * For the command line, replay, webhooks. Redirects are reported, not followed: where a secret or a policy goes along, the
 * caller must decide. Names are looked up on another thread; an address that `allow_address` refuses is not connected to. */
#ifndef SL_NET_HTTP_CLIENT_H
#define SL_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/http.h"
#include "net/loop.h"

struct sl_tls;
struct sl_http_client;

/* 0 in any number means its default. */
struct sl_http_client_config {
	struct sl_tls *tls;            /* for https; NULL: https is refused. Not owned */
	uint32_t connect_timeout_ms;   /* 10 s, name look-up and TLS included */
	uint32_t timeout_ms;           /* 30 s in which nothing at all moves */
	uint32_t idle_timeout_ms;      /* 60 s that an unused connection is kept */
	uint32_t connections_per_host; /* 16; further calls wait */
	uint32_t header_bytes;         /* 64 KiB of one answer */
	uint64_t body_bytes;           /* 64 MiB of one answer that is gathered; streamed ones have no limit */
	/* Optional: whether to connect to this numeric address ("127.0.0.1"), chosen after the look-up, so that a name
	 * cannot change its meaning between check and use. */
	bool (*allow_address)(void *context, const char *address, uint16_t port);
	void *context;
};
int sl_http_client_new(struct sl_loop *loop, const struct sl_http_client_config *config, struct sl_http_client **ret,
	struct sl_error *err);
/* Calls under way end with SL_E_CANCELLED first. */
void sl_http_client_free(struct sl_http_client *client); /* NULL is fine */

struct sl_http_answer {
	int status;
	const struct sl_http_header *headers; /* names in lower case */
	size_t header_count;
	const char *body; /* NUL-terminated; "" when it was streamed */
	size_t body_len;
};

/* Fills `out` with at most `room` bytes of the request's body; *ret_len 0: the end. Nonzero ends the call with that error. */
typedef int sl_http_source_fn(void *context, char *out, size_t room, size_t *ret_len, struct sl_error *err);
/* Takes a piece of the answer's body. Nonzero ends the call with that error. */
typedef int sl_http_sink_fn(void *context, const char *data, size_t len, struct sl_error *err);
/* `err` is NULL, or why there is no answer. The answer is valid during the call only. */
typedef void sl_http_done_fn(void *context, const struct sl_http_answer *answer, const struct sl_error *err);

struct sl_http_call {
	enum sl_http_method method;
	const char *url; /* http://host[:port]/path?query, https://..., or unix:/socket/path:/path?query */
	const struct sl_http_header *headers; /* not Host, Content-Length, Transfer-Encoding, Connection */
	size_t header_count;
	const void *body; /* copied */
	size_t body_len;
	sl_http_source_fn *source; /* instead of body */
	int64_t source_length;     /* -1: not known, goes in chunks */
	sl_http_sink_fn *sink;     /* NULL: the answer's body is gathered */
	sl_http_done_fn *done;     /* called exactly once, never before sl_http_client_start returned */
	void *context;             /* of source, sink and done */
};
/* Everything in `call` is copied. *ret (may be NULL) may be cancelled until `done` is called. A call on a kept connection
 * that the server closed before a byte of the answer is tried once more on a new one, unless its body has a source. */
struct sl_http_exchange;
int sl_http_client_start(struct sl_http_client *client, const struct sl_http_call *call, struct sl_http_exchange **ret,
	struct sl_error *err);
/* `done` is called with SL_E_CANCELLED, before this returns. */
void sl_http_exchange_cancel(struct sl_http_exchange *exchange);

/* One call on a loop of its own; `call->done` and context of it are not used. The answer's body goes to `ret_body` unless
 * there is a sink, a header of the answer is found in ret_headers ("name: value\r\n" each; may be NULL). */
int sl_http_fetch(const struct sl_http_client_config *config, const struct sl_http_call *call, int *ret_status,
	struct sl_buf *ret_headers, struct sl_buf *ret_body, struct sl_error *err);

#endif

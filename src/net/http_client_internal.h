/* Inside the HTTP client only.
 *
 *   http_client.c       calls: what is asked of whom, waiting for a connection, ending, retries, time-outs; the blocking call
 *   http_client_conn.c  one connection: look-up, connecting, writing, parsing the answer
 *
 *   starting --begin--> on a connection --> ended (done called, freed)
 *       \--> waiting (as many connections to the host as allowed) --/
 */
#ifndef SL_NET_HTTP_CLIENT_INTERNAL_H
#define SL_NET_HTTP_CLIENT_INTERNAL_H

#include <llhttp.h>

#include "net/http_client.h"
#include "net/http_url.h"
#include "net/loop_uv.h"
#include "net/wire.h"

enum { CLIENT_READ_BYTES = 64 * 1024, SOURCE_PIECE_BYTES = 16 * 1024, ADDRESSES_MAX = 16 };

struct client_conn;

struct sl_http_exchange {
	struct sl_http_client *client;
	struct sl_http_exchange *next; /* in one of the client's lists, or the host's waiting ones */
	struct host *host;
	struct client_conn *conn; /* NULL while starting or waiting */
	struct sl_url url;
	enum sl_http_method method;
	struct sl_buf request; /* the head, and the body when it has no source */
	sl_http_source_fn *source;
	int64_t source_left; /* -1: in chunks */
	bool source_done;
	sl_http_sink_fn *sink;
	sl_http_done_fn *done;
	void *context;
	bool only_fresh; /* a kept connection failed it already */
	int64_t deadline_ms;

	/* the answer */
	struct sl_arena *arena;
	struct sl_buf head; /* names and values, each NUL-terminated */
	size_t head_parts;  /* in it */
	struct sl_http_answer answer;
	struct sl_buf body;
};

/* Where connections go: one per scheme, name and port. */
struct host {
	struct host *next;
	struct sl_http_exchange *waiting, *waiting_last;
	struct client_conn *conns;
	uint32_t conn_count;
	bool tls, local;
	uint16_t port;
	char name[SL_URL_HOST_MAX + 1];
};

struct client_conn {
	uv_poll_t poll;
	uv_getaddrinfo_t lookup;
	struct sl_wire wire;
	struct sl_http_client *client;
	struct host *host;
	struct client_conn *next; /* of the host */
	struct sl_http_exchange *exchange; /* NULL: idle */
	llhttp_t parser;
	union address {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} addresses[ADDRESSES_MAX];
	int address_count, address_next;
	bool looking_up, has_poll, connected, used, closing;
	bool answer_begun, answer_complete;
	size_t written; /* of exchange->request */
	int polled;
	int64_t idle_until_ms;
	struct sl_error error; /* what a callback of the parser found wrong */
};

struct sl_http_client {
	struct sl_loop *loop;
	struct sl_http_client_config config;
	struct sl_turn turn;
	uv_timer_t ticker;
	bool ticking, freed;
	uint32_t tick_ms;
	struct host *hosts;
	struct sl_http_exchange *starting, *starting_last;
	char *scratch; /* CLIENT_READ_BYTES */
	uint32_t refs; /* the owner's, the ticker's, connections */
};

void client_unref(struct sl_http_client *client);
/* Ends the call: `err` NULL means with its answer. Frees the exchange; its connection must have let go of it. */
void exchange_end(struct sl_http_exchange *x, const struct sl_error *err);
/* Begins anew, on another connection. */
void exchange_retry(struct sl_http_exchange *x);
void exchange_progress(struct sl_http_exchange *x);
/* A connection is idle or gone: whoever waits may have it. */
void host_serve(struct host *host);

/* A new connection for `x`. SL_E_NO_MEMORY. */
int client_conn_open(struct host *host, struct sl_http_exchange *x, struct sl_error *err);
/* An idle one. */
void client_conn_use(struct client_conn *c, struct sl_http_exchange *x);
/* Lets go of its exchange, if any, without ending it. */
void client_conn_close(struct client_conn *c);

#endif

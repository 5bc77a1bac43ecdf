/* HTTP/1.1 server.
 *
 *      connection --bytes--> strict parser --> head() --body--> request() --> sl_http_respond() --> end of the turn --> socket
 *
 * A request is given to the room above in two calls. head() has method, path and headers and says how the body shall come;
 * without it the body is gathered whole. request() has the body. Either may answer, at once or later. Answers of one
 * connection leave in the order of their requests, those of one loop turn in one write.
 *
 * The contract of a request: whoever got it finishes it exactly once, with sl_http_respond, sl_http_respond_error,
 * sl_http_respond_file, sl_http_stream_end or a hand-over, also after the client has gone (then the answer is dropped).
 * Until then the request, its arena and its body stay valid; after that none of them may be touched. Everything happens on
 * the loop's thread.
 *
 * Measured (2 noisy cores, wrk with 64 connections, an answer of 200 bytes, one thread): 0.077 to 0.088 CPU seconds per
 * 10,000 requests, 87 % of it in the kernel, where a bare C server takes 0.064 to 0.087. An idle connection costs 560 bytes. A
 * body of 1 GiB up takes 0.24 CPU seconds, a file of 1 GiB down 0.05, both in 4 MB of memory.
 *
 * What is refused here, before any room sees it: framing that two parsers could read in two ways (two lengths, length and
 * chunks, folded headers, bare line ends, blanks before a colon, signs and prefixes in numbers, NUL), a Host that is not
 * ours, a write from another origin, whatever is beyond the limits, a path that leaves its folder. Where the framing is in
 * doubt the connection is closed. */
#ifndef SL_NET_HTTP_SERVER_H
#define SL_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/loop.h"

struct sl_tls;
struct sl_http_server;

/* 0 in any member means its default. */
struct sl_http_limits {
	uint32_t header_bytes;      /* 32 KiB; names, values and separators of one request -> 431 */
	uint32_t header_count;      /* 100 -> 431 */
	uint32_t url_bytes;         /* 8 KiB -> 414 */
	uint64_t body_bytes;        /* 64 MiB; a route may choose less or more -> 413 */
	uint32_t chunk_count;       /* 65,536 chunks of one body -> 413 */
	uint32_t connections;       /* 10,000; beyond, the longest idle one is closed, else the one that owes its head longest (1 s or more), else accepting waits */
	uint32_t pipelined;         /* 64 requests of one connection under way; beyond, reading waits */
	uint32_t stream_bytes;      /* 256 KiB of an answer waiting for a slow client before writers are told to wait */
	uint32_t header_timeout_ms; /* 10 s from the first byte (or the connection) to the end of the head -> 408 */
	uint32_t body_timeout_ms;   /* 30 s for each further KiB of a body, or its end -> 408 */
	uint32_t idle_timeout_ms;   /* 75 s between requests */
	uint32_t write_timeout_ms;  /* 30 s in which the client takes nothing at all -> closed */
};

struct sl_http_request {
	enum sl_http_method method;
	const char *path;   /* decoded once; begins with '/'; no NUL or control byte, valid UTF-8, no "." or ".." segment */
	const char *query;  /* behind the '?', not decoded (sl_http_params does it); "" when there is none */
	const char *target; /* path and query as they were sent */
	const char *host;   /* the Host header; "" in an HTTP/1.0 request without one */
	const struct sl_http_header *headers; /* names in lower case */
	size_t header_count;
	const char *body;   /* with request(): the whole body, NUL-terminated; "" when there is none */
	size_t body_len;
	int64_t content_length; /* what the client announced: 0 without a body, -1 when it comes in chunks */
	struct sl_arena *arena; /* lives as long as the request; at most 64 MiB */
	void *user;             /* for the room above; NULL at first */
};

/* The first header of that name, or NULL. */
const char *sl_http_request_header(const struct sl_http_request *request, const char *name);

struct sl_http_handler {
	void *context;
	/* Optional. Before any of the body; may call sl_http_request_body_limit, _body_stream, _hand_over, or answer. */
	void (*head)(void *context, struct sl_http_request *request);
	/* The body is in `request`. Not called when head() answered, handed over, or chose to stream. */
	void (*request)(void *context, struct sl_http_request *request);
	/* Optional. Once per loop turn in which requests came or answers were made, before any answer is written: the place
	 * to make a log durable for all of them at once. May itself answer requests; those leave in the same turn. */
	void (*before_flush)(void *context);
	/* Optional. A connection in clear text that begins as HTTP/2 does: the descriptor and what was read of it are the room's. Without
	 * it such a connection gets 505. */
	void (*http2)(void *context, int fd, const char *data, size_t len);
	/* Optional. The server itself refused something with this status: so that a record can be kept of it. */
	void (*refused)(void *context, int status, const struct sl_error *error);
	/* Optional. The body of every error answer, refusals of the server included. `path` is NULL when none was understood.
	 * Appends to `body` and may set *content_type. Without it: {"error":{"code","message","hint"}}. */
	void (*error_body)(void *context, const char *path, int status, const struct sl_error *error, struct sl_buf *body,
		const char **content_type);
};

/* ---- the server ---- */

struct sl_http_config {
	struct sl_http_handler handler; /* request() is needed */
	struct sl_http_limits limits;
	/* Which Host headers are ours. "name" takes any port, "name:port" only that; upper and lower case are one. Always
	 * ours, when the connection came over loopback: 127.0.0.1, [::1] and localhost, each with exactly the connection's
	 * port (a bare one means port 80); over a unix socket: localhost; otherwise, and behind net/tls_front.h: any address in
	 * digits, which no foreign name can be made to mean. "*.example.com" takes one label. The array is copied. */
	const char *const *hosts;
	size_t host_count;
	/* Put into every answer (Server, X-Content-Type-Options, ...); copied. */
	const struct sl_http_header *headers;
	size_t header_count;
	struct sl_tls *tls; /* NULL: plain. Not owned; outlives the server */
	const char *http2_socket; /* of the process that takes connections of HTTP/2 (see "hand-over"); NULL: none. Outlives the server */
};
/* SL_E_INVALID for a header that may not be sent. */
int sl_http_server_new(struct sl_loop *loop, const struct sl_http_config *config, struct sl_http_server **ret,
	struct sl_error *err);
/* Closes everything at once; not inside a call of the handler. Requests still with the room above stay valid until it finishes
 * them, their answers are dropped. */
void sl_http_server_free(struct sl_http_server *server); /* NULL is fine */

/* A numeric address ("127.0.0.1", "::1"); port 0: one of the system's choosing. *ret_port may be NULL. */
int sl_http_server_listen(struct sl_http_server *server, const char *address, uint16_t port, uint16_t *ret_port,
	struct sl_error *err);
/* A unix socket; a file left over by a dead server is replaced, a living one is SL_E_BUSY. Mode 0600. Removed when closed. */
int sl_http_server_listen_unix(struct sl_http_server *server, const char *path, struct sl_error *err);
/* A socket that listens already, as a supervisor passes it; ours from now on. */
int sl_http_server_listen_fd(struct sl_http_server *server, int fd, struct sl_error *err);
/* Only makes the listening socket, for a supervisor that passes it on. */
int sl_net_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct sl_error *err);

/* Stops accepting, closes idle connections, lets requests under way finish (answers say Connection: close), after
 * `deadline_ms` closes the rest; then `done`, once. */
void sl_http_server_drain(struct sl_http_server *server, int64_t deadline_ms, sl_loop_fn *done, void *context);

struct sl_http_stats {
	uint64_t connections_accepted, requests, refusals, bytes_in, bytes_out, handed_over, adopted;
	uint32_t connections_open;
};
void sl_http_server_stats(const struct sl_http_server *server, struct sl_http_stats *ret);

/* ---- the body of a request; only inside head() ---- */

/* Another limit than the server's for this route. */
void sl_http_request_body_limit(struct sl_http_request *request, uint64_t body_bytes);

/* The body comes in pieces as they arrive, in constant memory; request() is not called. `len` 0 is the end of the body,
 * after which `piece` is not called again; nor after the client has gone. */
typedef void sl_http_piece_fn(void *context, struct sl_http_request *request, const char *data, size_t len);
void sl_http_request_body_stream(struct sl_http_request *request, sl_http_piece_fn *piece, void *context);
/* Between pause and resume no piece comes and the client is made to wait. At any time while the body is coming. */
void sl_http_request_pause(struct sl_http_request *request);
void sl_http_request_resume(struct sl_http_request *request);

/* `fn` is called at most once: the client closed, timed out or broke the rules before the answer was written. The request
 * is still to be finished; work for it can be cancelled. A client that only shut down its sending side still gets the
 * answer. */
typedef void sl_http_request_fn(void *context, struct sl_http_request *request);
void sl_http_request_on_gone(struct sl_http_request *request, sl_http_request_fn *fn, void *context);
bool sl_http_request_gone(const struct sl_http_request *request);

/* ---- answers ---- */

struct sl_http_response {
	int status;
	const char *content_type; /* NULL: none */
	const struct sl_http_header *headers; /* further ones; not Content-Length, Transfer-Encoding, Connection, Date */
	size_t header_count;
	const void *body;
	size_t body_len;
	/* NULL: the body is copied. Else it is borrowed until release(release_context), called exactly once, also when the
	 * client has gone. sl_http_borrow_arena: lives in the request's arena (or for ever), nothing to release. */
	sl_loop_fn *release;
	void *release_context;
	bool close; /* close the connection behind this answer */
};
void sl_http_borrow_arena(void *context);

/* Answers. A header that may not be sent makes it a 500. */
void sl_http_respond(struct sl_http_request *request, const struct sl_http_response *response);
/* Answers with an error; status 0 means that of the error's code. 503 gets Retry-After: 1; 401 gets
 * WWW-Authenticate. */
void sl_http_respond_error(struct sl_http_request *request, int status, const struct sl_error *error);
/* Answers with `len` bytes of a file from `offset` on, in constant memory. Takes over `fd`. A file that turns out shorter
 * cuts the connection, so that the client sees a broken answer and not a wrong one. */
void sl_http_respond_file(struct sl_http_request *request, const struct sl_http_response *head, int fd, uint64_t offset,
	uint64_t len);

/* An answer in pieces: start, any number of writes, end. `length`: the exact size, or -1 for chunks (to an HTTP/1.0 client: until
 * the connection closes). head->body is not used. */
void sl_http_stream_start(struct sl_http_request *request, const struct sl_http_response *head, int64_t length);
/* Copies the piece. 0; SL_HTTP_WAIT (taken too, but write no more until on_writable); SL_E_CANCELLED: the client has gone;
 * SL_E_TOO_LARGE, with nothing taken: more than `length`, or more than four times limits.stream_bytes would be waiting (a piece
 * of three times that always fits when the last answer was 0). */
enum { SL_HTTP_WAIT = 1 };
int sl_http_stream_write(struct sl_http_request *request, const void *data, size_t len);
/* Called each time the client has taken enough after SL_HTTP_WAIT. */
void sl_http_stream_on_writable(struct sl_http_request *request, sl_http_request_fn *fn, void *context);
/* Ending short of `length` cuts the connection. */
void sl_http_stream_end(struct sl_http_request *request);
/* Ends by cutting the connection: what was promised cannot be kept. */
void sl_http_stream_abort(struct sl_http_request *request);

/* ---- hand-over: several roles behind one port ----
 *
 * Whoever accepted a connection may pass it on, at the beginning of a request, to the role whose request it is: descriptor
 * and the bytes read so far go over a unix socket (SOCK_SEQPACKET, one message per connection), and the other server goes
 * on as if it had accepted it (45 us of CPU in both together). Later requests come to that server first, which may pass the
 * connection on in its turn. */

/* Only inside head(). Waits until earlier answers are written. On success the request is finished, and also when the client
 * goes meanwhile; on_gone is not called. If the other role is not there or full, `failed` is called (SL_E_BUSY) and the
 * request goes on here: it may do what head() may, and should answer with sl_http_respond_error, which says 503 and
 * Retry-After; else request() comes with the body. SL_E_CONFLICT at once, with nothing changed: a TLS connection cannot be
 * handed over. */
typedef void sl_http_handover_fn(void *context, struct sl_http_request *request, const struct sl_error *err);
int sl_http_request_hand_over(struct sl_http_request *request, const char *unix_socket_path, sl_http_handover_fn *failed,
	void *context, struct sl_error *err);
/* Takes connections that other processes of the same user hand over. */
int sl_http_server_adopt_listen(struct sl_http_server *server, const char *unix_socket_path, struct sl_error *err);

#endif

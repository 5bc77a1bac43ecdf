/* Inside the HTTP server only: its objects and who may do what to them.
 *
 *   http_server.c  configuration, listening, accepting, time-outs, draining
 *   http_conn.c    a connection's life: reading, what to wait for, closing
 *   http_read.c    bytes to requests: the parser's callbacks, limits, refusals
 *   http_guard.c   what a well-formed request must satisfy besides: target, Host, Origin
 *   http_reply.c   answers into a request's output
 *   http_write.c   outputs to the socket, at the end of a turn
 *   http_handover.c  connections from and to other processes
 *
 * Nothing in a callback of the parser or of a room writes to a socket or frees a connection: that happens at the end of the
 * turn (for a "dirty" connection) or directly in a poll callback. So a room may do anything with its request inside any
 * callback. */
#ifndef SL_NET_HTTP_SERVER_INTERNAL_H
#define SL_NET_HTTP_SERVER_INTERNAL_H

#include <llhttp.h>

#include "net/http_server.h"
#include "net/loop_uv.h"
#include "net/wire.h"

enum {
	READ_BYTES = 64 * 1024,            /* one read; also what a connection may hold unparsed beyond its head */
	REQUEST_ARENA_BYTES = 64 << 20,
	ANSWER_COPY_MAX = 1 << 30,
	KEPT_BYTES = 64 * 1024,            /* a request whose buffers grew beyond is freed, not kept for reuse */
	KEPT_REQUESTS = 64,
	DISCARD_BYTES_MAX = 256 * 1024,    /* the rest of a body that nobody wants: read and dropped up to this, else closed */
	HELD_BYTES_MAX = 1 << 20,          /* of bodies and answers in one connection, before further requests are read */
	EXTRA_BYTES_MAX = 8192,            /* chunk extensions and trailers of one body */
	PROGRESS_BYTES = 1024,             /* fewer in a time-out is no progress */
	LINGER_MS = 2000,                  /* after a refusal: time for the client to read it before the reset */
	LINGER_BYTES_MAX = 1 << 20,
	ADOPT_CHANNELS_MAX = 64,
};

struct conn;

/* Where the parts of a head are, relative to its first byte. */
struct span {
	uint32_t at, len;
};
enum span_kind { SPAN_NONE, SPAN_URL, SPAN_NAME, SPAN_NAME_DONE, SPAN_VALUE };
struct head {
	struct span url;
	uint32_t count, bytes;
	enum span_kind last;
	struct { struct span name, value; } fields[];
};

enum body_mode { BODY_WHOLE, BODY_STREAM };

struct request {
	struct sl_http_request pub; /* first: the room's pointer is ours */
	struct sl_http_server *server;
	struct conn *conn;    /* NULL once the client is gone */
	struct request *next; /* in the connection's queue, or the server's store of spare ones */

	enum body_mode mode;
	bool with_room;   /* the room has it, not finished */
	bool body_done, paused, expects_continue;
	uint64_t body_limit, body_seen;
	uint32_t chunks, extra_bytes;
	struct sl_buf body;
	size_t held; /* its part of the connection's */
	sl_http_piece_fn *piece;
	void *piece_context;

	bool http_1_0, keep_alive;
	bool no_body;     /* the answer has none: to HEAD, or of a status without */
	bool started;     /* the answer's head is in `out` */
	bool answered;    /* the answer is complete in here */
	bool chunked, cut;/* cut: close without what is missing */
	bool told_wait;
	int64_t stream_left; /* of an announced length; -1: not announced */
	struct sl_buf out;   /* head and copied bytes */
	size_t out_done;
	const char *borrowed;
	size_t borrowed_left;
	sl_loop_fn *release;
	void *release_context;
	int file_fd;
	uint64_t file_offset, file_left;

	bool gone;
	sl_http_request_fn *on_gone, *on_writable;
	void *on_gone_context, *on_writable_context;
	const char *handover_path; /* in the arena */
	sl_http_handover_fn *handover_failed;
	void *handover_context;
};

/* What a connection waits for; each has one time-out for all, so the longest waiting is always first in its list. */
enum wait_kind { WAIT_HEAD, WAIT_BODY, WAIT_IDLE, WAIT_WRITE, WAIT_LINGER, WAIT_KINDS, WAIT_NOTHING = WAIT_KINDS };
struct wait_list {
	struct conn *first, *last;
};

struct conn {
	uv_poll_t poll;
	struct sl_wire wire;
	struct sl_http_server *server;
	llhttp_t parser;
	struct conn *prev, *next;           /* all of the server's */
	struct conn *wait_prev, *wait_next; /* those that wait for the same */
	int64_t deadline_ms;
	enum wait_kind waiting;
	struct conn *dirty_next;
	uint16_t local_port; /* 0: a unix socket */
	bool loopback;
	bool secure; /* over TLS, ended here or in front of us */

	/* Input: bytes that the parser has not finished with. While a head is incomplete it starts at in[0]. */
	char *in;
	size_t in_len;
	size_t parsed;     /* of the region at hand: given to the parser */
	size_t head_start; /* of the region at hand */
	const char *base;  /* the region, while the parser runs */
	struct head *saved_head;
	bool in_head, message_ended;
	bool stopped; /* the parser, by a room */
	uint64_t progress_bytes; /* of the body, since the deadline was set */

	struct request *first, *last; /* in order of arrival */
	uint32_t depth;
	size_t held; /* bytes of whole bodies and of answers in memory */
	struct request *reading; /* the one whose body is coming; NULL between, and while a body is dropped */

	int polled;      /* the uv mask in force */
	bool had_request;
	bool hung_up;    /* told by the loop while not reading */
	bool dirty, blocked; /* blocked: the socket takes no more now */
	bool no_more;    /* no further request will be read from here */
	bool eof;        /* the client sends no more */
	bool linger;     /* close politely: the client may still be sending */
	bool ended;      /* the last answer was written */
	bool lingering, closing;
	uint64_t lingered;
};

struct listener;
struct adopt_channel;

struct sl_http_server {
	struct sl_loop *loop;
	struct sl_http_handler handler;
	struct sl_http_limits limits;
	struct sl_tls *tls;
	const char *http2_socket;
	char **hosts;
	size_t host_count;
	struct sl_buf fixed_headers; /* "Server: x\r\n..." */
	struct sl_turn turn;
	uv_timer_t ticker;
	bool ticking;
	uint32_t tick_ms;

	struct listener *listeners;
	bool accept_waits;
	struct adopt_channel *channels;
	uint32_t channel_count;
	struct peer_channel *peers; /* to other servers, by path */

	struct conn *conns;
	struct wait_list waits[WAIT_KINDS];
	struct conn *dirty, *flushing; /* to be flushed at the end of the turn; in this round of it */
	bool turn_active;
	struct request *spare;
	uint32_t spare_count;
	struct head *head;       /* of the head being parsed */
	char *scratch;           /* READ_BYTES */
	char *adopted;           /* one message of another server; NULL unless connections are adopted */
	struct sl_error refusal; /* what a parser callback found wrong */
	int refusal_status;
	char date[40];           /* "Date: ...\r\n" */
	size_t date_len;
	int64_t date_until_ms;
	struct sl_http_stats stats;

	bool draining, freed;
	int64_t drain_deadline_ms;
	sl_loop_fn *drained;
	void *drained_context;
	uint32_t refs; /* requests, connections, handles in use; the struct goes with the last, once freed */
};

void server_unref(struct sl_http_server *server);
/* A connection was closed: accepting may go on. */
void server_has_room(struct sl_http_server *server);
void server_start_ticking(struct sl_http_server *server);
/* False: as many connections as allowed, and none is idle. */
bool server_make_room(struct sl_http_server *server);

/* ---- http_conn.c ---- */
enum conn_origin { CONN_ACCEPTED, CONN_ADOPTED };
/* Takes over fd and gives it to the loop; `in` are bytes read already by somebody else. */
void conn_open(struct sl_http_server *server, int fd, enum conn_origin origin, const char *in, size_t in_len);
/* One without a socket: what would be written goes to `capture`. */
struct conn *conn_open_captured(struct sl_http_server *server, struct sl_buf *capture);
/* As if `data` had been read. */
void conn_feed(struct conn *c, const char *data, size_t len);
void conn_mark_dirty(struct conn *c);
/* Sets what the loop shall watch, from the flags. */
void conn_update(struct conn *c);
/* Closes now; requests with the room become gone. Not within a callback of parser or room. */
void conn_close(struct conn *c);
/* The client sends no more. */
void conn_eof(struct conn *c);
bool conn_may_parse(const struct conn *c);
/* Goes on with what was read before and could not be parsed then. */
void conn_resume(struct conn *c);
/* Counts the current wait from now on. */
void conn_progress(struct conn *c);
void conn_timed_out(struct conn *c);
/* Hands the descriptor out and forgets the connection. */
int conn_release_fd(struct conn *c);

/* ---- http_read.c ---- */
extern const llhttp_settings_t sl_http_request_settings;
/* Parses what may be parsed of base[0..len), whose first c->parsed bytes the parser has seen; keeps the rest in c->in. */
void conn_parse(struct conn *c, const char *base, size_t len);
/* An error answer behind those under way, then the end of the connection. */
void conn_refuse(struct conn *c, int status, const struct sl_error *error);

/* ---- http_guard.c ---- */
/* Fills path, query, target, host. 0, or the status of a refusal with server->refusal filled. */
int guard_request(struct conn *c, struct request *r);

/* ---- requests: http_reply.c ---- */
struct request *request_take(struct sl_http_server *server);
/* Gives up everything it holds. */
void request_drop(struct request *r);
/* The client has gone: tells the room, and from now on answers are dropped. Out of the queue. */
void request_detach(struct request *r);
void request_push(struct conn *c, struct request *r);
void request_hold(struct request *r, size_t bytes);
void request_error_answer(struct request *r, int status, const struct sl_error *error, bool close);

/* ---- http_write.c ---- */
void conn_flush(struct conn *c);
void server_end_turn(void *server);
/* 0, or the status with server->refusal filled: for callbacks that find something wrong. */
int refuse(struct sl_http_server *server, int status, int code, const char *hint, const char *format, ...) SL_PRINTF(5, 6);

/* ---- http_handover.c ---- */
void handover_try(struct conn *c);
/* Gives the connection, of which `data` was read, to whoever listens at `path`, and forgets it. False: nobody takes it. */
bool handover_give(struct conn *c, const char *path, const char *data, size_t len);
void handover_close_all(struct sl_http_server *server);

#endif

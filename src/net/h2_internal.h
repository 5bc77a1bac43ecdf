/* Inside the HTTP/2 server only: its objects.
 *
 *   h2_server.c  listening, time-outs, draining
 *   h2_conn.c    a connection: reading, nghttp2's callbacks, writing at the end of a turn
 *   h2_stream.c  a stream: its head, what the room answers
 */
#ifndef SL_NET_H2_INTERNAL_H
#define SL_NET_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "net/h2_server.h"
#include "net/loop_uv.h"

enum { H2_READ_BYTES = 64 * 1024, H2_ANSWER_BYTES_MAX = 256 << 20, H2_TRAILERS_MAX = 16, H2_SPARE_MAX = 256 };

struct h2_conn;

struct h2_field {
	uint32_t name, value; /* offsets in `head`, both NUL-terminated */
};

struct sl_h2_stream {
	struct h2_conn *conn;
	struct sl_h2_stream *prev, *next; /* of the connection; `next` also of the spare ones */
	int32_t id;
	void *user;
	bool with_room, client_ended, responded, ended, deferred, has_trailers, answered;
	struct sl_buf head;
	struct h2_field fields[SL_H2_HEAD_FIELDS_MAX];
	size_t field_count;
	struct sl_buf out;
	size_t out_done;
	ptrdiff_t held;
	int64_t data_ms;                  /* when something came last */
	struct sl_buf trailers;           /* name NUL value NUL ... */
	size_t trailer_count;
};

struct h2_conn {
	struct sl_h2_server *server;
	struct h2_conn *prev, *next, *dirty_next;
	struct sl_watch *watch;
	int fd;
	nghttp2_session *session;
	struct sl_buf out;                /* frames that the socket did not take yet */
	size_t out_done;
	struct sl_h2_stream *streams;
	size_t stream_count;
	size_t unsent_bytes;              /* of answers, not framed yet */
	int64_t opened_ms, active_ms, progress_ms, credit_ms;
	int credit;
	int polled;                       /* what the loop watches: asking it anew costs two system calls */
	bool begun, dirty, blocked, doomed; /* doomed: closed once what is queued was written */
};

struct sl_h2_server {
	struct sl_loop *loop;
	struct sl_h2_handler handler;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *options;
	struct sl_turn turn;
	struct sl_timer *ticker;
	bool ticking, draining;
	struct sl_watch *listener;
	int listen_fd;
	struct h2_conn *conns, *dirty;
	size_t conn_count;
	struct sl_h2_stream *spare;
	size_t spare_count;
	ptrdiff_t held_bytes;
	char *scratch;
	int64_t drain_until_ms;
	sl_loop_fn *drained;
	void *drained_context;
};

/* h2_conn.c */
int h2_callbacks_make(struct sl_h2_server *server, struct sl_error *err);
void h2_conn_open(struct sl_h2_server *server, int fd, const char *data, size_t len);
/* Not within one of nghttp2's callbacks. */
void h2_conn_close(struct h2_conn *c);
void h2_conn_mark(struct h2_conn *c); /* is written at the end of the turn */
void h2_conn_flush(struct h2_conn *c);

/* h2_stream.c */
struct sl_h2_stream *h2_stream_new(struct h2_conn *c, int32_t id);
/* Tells the room, and forgets it. */
void h2_stream_gone(struct sl_h2_stream *s);
/* False: the head is larger than it may be. */
bool h2_stream_add_field(struct sl_h2_stream *s, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len);
void h2_stream_free(struct sl_h2_stream *s);

#endif

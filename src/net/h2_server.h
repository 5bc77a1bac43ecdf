/* HTTP/2 server over nghttp2, in clear text with prior knowledge: what gRPC needs of it.
 *
 *      connection --frames--> nghttp2 --begin, data, end--> room --sl_h2_respond, _write, _end--> end of the turn --> socket
 *
 * Everything happens on the loop's thread. A stream is the room's from begin() until closed(), which comes exactly once, whoever
 * ended it; in between the room may answer at any time, in its callbacks or later.
 *
 * Bounds, all finite: a head 16 KiB and 64 fields; 128 streams of a connection at once; 256 MiB held for all clients together (bodies
 * that the room says it holds, answers that are not taken) -> the stream is refused; frames that ask for work without bringing any
 * (resets, pings, settings, priorities, empty data) cost credit, which answered requests and time give back, else GOAWAY with
 * ENHANCE_YOUR_CALM; continuations and queued acknowledgements are bounded by nghttp2. A connection that does not begin within 10 s,
 * takes nothing of an answer for 30 s, or brings nothing of a request for 60 s, is closed; an idle one may stay for ever, until
 * there are 10,000: then the longest idle is closed for the next one. */
#ifndef SL_NET_H2_SERVER_H
#define SL_NET_H2_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/http.h"
#include "net/loop.h"

enum {
	SL_H2_HEAD_BYTES_MAX = 16 * 1024,
	SL_H2_HEAD_FIELDS_MAX = 64,
	SL_H2_STREAMS_MAX = 128,
	SL_H2_CONNECTIONS_MAX = 10000,
	SL_H2_HELD_BYTES_MAX = 256 << 20,
	SL_H2_CREDIT = 1000,          /* frames without work at once; 100 a second come back, and one per answered request */
	SL_H2_BEGIN_MS = 10000, SL_H2_WRITE_MS = 30000, SL_H2_READ_MS = 60000,
};

struct sl_h2_server;
struct sl_h2_stream;

struct sl_h2_handler {
	void *context;
	/* The head is there. Fields are read with sl_h2_header. */
	void (*begin)(void *context, struct sl_h2_stream *stream);
	void (*data)(void *context, struct sl_h2_stream *stream, const void *data, size_t len);
	void (*end)(void *context, struct sl_h2_stream *stream); /* the client sends no more */
	void (*closed)(void *context, struct sl_h2_stream *stream);
};

int sl_h2_server_new(struct sl_loop *loop, const struct sl_h2_handler *handler, struct sl_h2_server **ret, struct sl_error *err);
/* A socket that listens already; ours from now on. */
int sl_h2_server_listen_fd(struct sl_h2_server *server, int fd, struct sl_error *err);
/* A connection that somebody else accepted and read the first bytes of; ours from now on. */
void sl_h2_server_adopt(struct sl_h2_server *server, int fd, const char *data, size_t len);
/* Stops accepting, says GOAWAY; calls `done` when the streams under way have ended, or after `deadline_ms`. */
void sl_h2_server_drain(struct sl_h2_server *server, int64_t deadline_ms, sl_loop_fn *done, void *context);
void sl_h2_server_free(struct sl_h2_server *server); /* NULL is fine; closes everything */

/* ":path", "content-type" ...; NULL when absent. Until closed(). */
const char *sl_h2_header(const struct sl_h2_stream *stream, const char *name);
void sl_h2_set_user(struct sl_h2_stream *stream, void *user);
void *sl_h2_user(const struct sl_h2_stream *stream);
/* Changes what the room holds for this stream, in bytes. False: too much in all; the stream was reset. */
bool sl_h2_hold(struct sl_h2_stream *stream, ptrdiff_t change_bytes);

/* The head of the answer. Names in lower case; at most 16. `end`: there is nothing else. */
void sl_h2_respond(struct sl_h2_stream *stream, int status, const struct sl_http_header *headers, size_t count, bool end);
/* Appends to the body; copied. False: too much is held, the stream was reset. */
bool sl_h2_write(struct sl_h2_stream *stream, const void *data, size_t len);
/* After the body: trailers (at most 16), and the end of the stream. What the client still sends is dropped. */
void sl_h2_end(struct sl_h2_stream *stream, const struct sl_http_header *trailers, size_t count);

#endif

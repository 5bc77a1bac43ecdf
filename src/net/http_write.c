/* Outputs to the socket. At the end of a loop turn every connection that has something is written once: what one turn
 * answered on it leaves in one call. */
#include <assert.h>

#include "net/http_server_internal.h"

enum {
	PIECES_MAX = 64,                /* of one write */
	FILE_BYTES_PER_TURN = 4 << 20,  /* of one connection, before the others have their turn */
};

static bool has_bytes(const struct request *r) { return r->out.len > r->out_done || r->borrowed_left; }

/* What may be written now, in order: up to the first request that is not answered, or ends otherwise than in memory. */
static int gather(const struct conn *c, struct iovec iov[PIECES_MAX])
{
	int n = 0;
	for (const struct request *r = c->first; r && n + 2 <= PIECES_MAX; r = r->next) {
		if (r->out.len > r->out_done)
			iov[n++] = (struct iovec){r->out.data + r->out_done, r->out.len - r->out_done};
		if (r->borrowed_left)
			iov[n++] = (struct iovec){(void *)(uintptr_t)r->borrowed, r->borrowed_left};
		if (!r->answered || r->file_left || r->cut || !r->keep_alive)
			break;
	}
	return n;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void consume(struct conn *c, size_t len)
{
	c->server->stats.bytes_out += len;
	for (struct request *r = c->first; r && len; r = r->next) {
		size_t n = least(len, r->out.len - r->out_done);
		r->out_done += n;
		len -= n;
		n = least(len, r->borrowed_left);
		if (n > 0)
			r->borrowed += n;
		r->borrowed_left -= n;
		len -= n;
	}
	assert(len == 0);
}

/* False: the connection must end without what is missing. */
static bool pop_written(struct conn *c)
{
	struct request *r;
	while (!c->ended && (r = c->first) && r->answered && !has_bytes(r) && !r->file_left) {
		if (r->cut)
			return false;
		c->ended = !r->keep_alive;
		request_detach(r);
		conn_progress(c);
	}
	return true;
}

/* A stream's writer may go on once half of what made it wait is gone. */
static void tell_writable(struct request *r)
{
	if (r->out_done == r->out.len) {
		sl_buf_clear(&r->out);
		r->out_done = 0;
	}
	if (!r->told_wait || r->out.len - r->out_done > r->server->limits.stream_bytes / 2)
		return;
	r->told_wait = false;
	if (r->on_writable)
		r->on_writable(r->on_writable_context, &r->pub);
}

/* The file of the first request. 0, or a negative SL_WIRE_*. */
static ssize_t write_file(struct conn *c)
{
	struct request *r = c->first;
	for (size_t sent = 0; r->file_left;) {
		ssize_t n = sent < FILE_BYTES_PER_TURN
				    ? sl_wire_sendfile(&c->wire, r->file_fd, (off_t)r->file_offset, least(r->file_left, 1 << 20))
				    : SL_WIRE_AGAIN;
		if (n < 0)
			return n;
		if (n == 0)
			return SL_WIRE_BROKEN; /* the file is shorter than what was promised */
		r->file_offset += (uint64_t)n;
		r->file_left -= (uint64_t)n;
		sent += (size_t)n;
		c->server->stats.bytes_out += (uint64_t)n;
		conn_progress(c);
	}
	return 0;
}

/* What is in memory. 0, or a negative SL_WIRE_*; *ret_some: there was something. */
static ssize_t write_memory(struct conn *c, bool *ret_some)
{
	struct iovec iov[PIECES_MAX];
	int count = gather(c, iov);
	*ret_some = count > 0;
	if (!count)
		return 0;
	size_t total = 0;
	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	ssize_t n = sl_wire_writev(&c->wire, iov, count);
	if (n < 0)
		return n;
	consume(c, (size_t)n);
	if ((size_t)n == total)
		return 0;
	conn_progress(c);
	return SL_WIRE_AGAIN;
}

/* 0: all that there is was written; or a negative SL_WIRE_*. */
static ssize_t write_all(struct conn *c)
{
	for (;;) {
		if (!pop_written(c))
			return SL_WIRE_BROKEN;
		if (c->ended || !c->first)
			return 0;
		bool some;
		ssize_t rc = write_memory(c, &some);
		if (!rc && c->first->answered && c->first->file_left && !has_bytes(c->first)) {
			rc = write_file(c);
			some = true;
		}
		if (rc || !some)
			return rc;
	}
}

/* Nothing more will be written. A client that may still be sending is given time to read the answer: closing at once would reset
 * the connection and could take the answer with it. */
static void end_connection(struct conn *c)
{
	if (!c->linger || c->eof || c->wire.fd < 0) {
		conn_close(c);
		return;
	}
	while (c->first) /* behind the answer that closes; never to be answered */
		request_detach(c->first);
	sl_wire_shutdown(&c->wire);
	c->lingering = true;
	sl_free(c->in);
	c->in = NULL;
	c->in_len = c->parsed = 0;
	conn_update(c);
}

void conn_flush(struct conn *c)
{
	if (c->closing || c->lingering)
		return;
	if (!c->blocked) {
		ssize_t rc = write_all(c);
		if (rc == SL_WIRE_BROKEN) {
			conn_close(c);
			return;
		}
		c->blocked = rc == SL_WIRE_AGAIN;
	}
	struct request *r = c->first;
	if (r && !r->answered)
		tell_writable(r);
	if (r && r->handover_path && !c->blocked) {
		handover_try(c);
		return;
	}
	if (c->ended || (!r && c->no_more && !c->blocked)) {
		end_connection(c);
		return;
	}
	conn_resume(c);
	conn_update(c);
}

void server_end_turn(void *context)
{
	struct sl_http_server *server = context;
	server->refs++;
	while (server->turn_active || server->dirty) {
		server->turn_active = false;
		if (server->handler.before_flush)
			server->handler.before_flush(server->handler.context);
		server->flushing = server->dirty;
		server->dirty = NULL;
		while (server->flushing) {
			struct conn *c = server->flushing;
			server->flushing = c->dirty_next;
			c->dirty = false;
			conn_flush(c);
		}
	}
	server_unref(server);
}

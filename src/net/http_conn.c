/* A connection's life: opened, read, watched for what it waits for, closed. */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/http_server_internal.h"
#include "net/tls.h"

enum { READS_PER_TURN = 16 }; /* of one connection, before the others have their turn */

/* ---- waiting ---- */

static uint32_t wait_ms(const struct sl_http_server *server, enum wait_kind kind)
{
	switch (kind) {
	case WAIT_HEAD: return server->limits.header_timeout_ms;
	case WAIT_BODY: return server->limits.body_timeout_ms;
	case WAIT_IDLE: return server->limits.idle_timeout_ms;
	case WAIT_WRITE: return server->limits.write_timeout_ms;
	case WAIT_LINGER: return LINGER_MS;
	default: return 0;
	}
}

static void leave_wait(struct conn *c)
{
	if (c->waiting == WAIT_NOTHING)
		return;
	struct wait_list *list = &c->server->waits[c->waiting];
	*(c->wait_prev ? &c->wait_prev->wait_next : &list->first) = c->wait_next;
	*(c->wait_next ? &c->wait_next->wait_prev : &list->last) = c->wait_prev;
	c->wait_prev = c->wait_next = NULL;
	c->waiting = WAIT_NOTHING;
}

static void enter_wait(struct conn *c, enum wait_kind kind)
{
	leave_wait(c);
	if (kind == WAIT_NOTHING)
		return;
	struct wait_list *list = &c->server->waits[kind];
	c->deadline_ms = sl_loop_now_ms(c->server->loop) + wait_ms(c->server, kind);
	c->wait_prev = list->last;
	*(list->last ? &list->last->wait_next : &list->first) = c;
	list->last = c;
	c->waiting = kind;
	c->progress_bytes = 0;
}

void conn_progress(struct conn *c) { enter_wait(c, c->waiting); }

static bool is_paused(const struct conn *c) { return c->reading && (c->reading->paused || c->reading->handover_path); }

static enum wait_kind what_it_waits_for(const struct conn *c)
{
	if (c->lingering)
		return WAIT_LINGER;
	if (c->blocked)
		return WAIT_WRITE;
	if (c->no_more || c->eof || is_paused(c))
		return WAIT_NOTHING;
	if (!c->in_head)
		return WAIT_BODY;
	if (c->in_len && conn_may_parse(c))
		return WAIT_HEAD;
	if (c->first)
		return WAIT_NOTHING;
	return c->had_request ? WAIT_IDLE : WAIT_HEAD;
}

bool conn_may_parse(const struct conn *c)
{
	if (c->no_more || c->closing || is_paused(c))
		return false;
	return !c->in_head || (c->depth < c->server->limits.pipelined && c->held < HELD_BYTES_MAX);
}

static bool wants_read(const struct conn *c)
{
	if (c->eof || c->closing)
		return false;
	return c->lingering || conn_may_parse(c);
}

static void on_poll(uv_poll_t *handle, int status, int events);

void conn_update(struct conn *c)
{
	if (c->closing)
		return;
	enum wait_kind kind = what_it_waits_for(c);
	if (kind != c->waiting)
		enter_wait(c, kind);
	if (c->wire.fd < 0)
		return;
	int mask = 0;
	if (wants_read(c) || c->wire.write_wants_read)
		mask |= UV_READABLE;
	else if (!c->eof && !c->hung_up)
		mask |= UV_DISCONNECT;
	if (c->blocked || c->wire.read_wants_write)
		mask |= UV_WRITABLE;
	if (mask == c->polled)
		return;
	c->polled = mask;
	int rc = mask ? uv_poll_start(&c->poll, mask, on_poll) : uv_poll_stop(&c->poll);
	if (rc)
		conn_close(c);
}

void conn_mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->server->dirty;
	c->server->dirty = c;
}

/* ---- opening ---- */

static struct conn *conn_new(struct sl_http_server *server)
{
	struct conn *c = sl_alloc(sizeof *c, NULL);
	if (!c)
		return NULL;
	c->server = server;
	c->wire.fd = -1;
	c->waiting = WAIT_NOTHING;
	c->in_head = true;
	llhttp_init(&c->parser, HTTP_REQUEST, &sl_http_request_settings);
	c->parser.data = c;
	c->next = server->conns;
	if (c->next)
		c->next->prev = c;
	server->conns = c;
	server->refs++;
	server->stats.connections_open++;
	server_start_ticking(server);
	return c;
}

struct conn *conn_open_captured(struct sl_http_server *server, struct sl_buf *capture)
{
	struct conn *c = conn_new(server);
	if (!c)
		return NULL;
	c->wire.capture = capture;
	c->loopback = true;
	c->local_port = 80;
	conn_update(c);
	return c;
}

/* Where it came in decides which Host headers are ours. */
static void learn_address(struct conn *c)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	} a = {0};
	socklen_t len = sizeof a;
	if (getsockname(c->wire.fd, &a.any, &len))
		return;
	if (a.any.sa_family == AF_INET) {
		c->local_port = ntohs(a.v4.sin_port);
		c->loopback = ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
	} else if (a.any.sa_family == AF_INET6) {
		c->local_port = ntohs(a.v6.sin6_port);
		c->loopback = IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
	} else {
		c->loopback = a.any.sa_family == AF_UNIX;
	}
	int one = 1; /* answers are written whole; waiting for more only delays them */
	if (a.any.sa_family != AF_UNIX)
		setsockopt(c->wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void conn_open(struct sl_http_server *server, int fd, enum conn_origin origin, const char *in, size_t in_len)
{
	struct conn *c = conn_new(server);
	if (!c) {
		struct sl_wire wire = {.fd = fd};
		sl_wire_close(&wire);
		return;
	}
	c->wire.fd = fd;
	if (uv_poll_init(&server->loop->uv, &c->poll, fd) != 0) {
		sl_wire_close(&c->wire); /* no handle was made, so it is closed like one without a socket */
		conn_close(c);
		return;
	}
	c->poll.data = c;
	learn_address(c);
	c->secure = server->tls || (origin == CONN_ADOPTED && c->local_port == 0); /* net/handover.h */
	if (server->tls && sl_tls_accept(server->tls, &c->wire)) {
		conn_close(c);
		return;
	}
	if (in_len)
		conn_feed(c, in, in_len);
	conn_update(c);
}

/* ---- reading ---- */

/* True: it is HTTP/2, by its first bytes, and somebody else's from now on. */
static bool give_away_http2(struct conn *c, const char *data, size_t len)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\n";
	const struct sl_http_handler *handler = &c->server->handler;
	const char *elsewhere = c->server->http2_socket;
	if ((!handler->http2 && !elsewhere) || c->had_request || c->in_len || c->wire.ssl || c->wire.fd < 0 || len < sizeof preface - 1 ||
	    memcmp(data, preface, sizeof preface - 1) != 0)
		return false;
	if (!handler->http2)
		return handover_give(c, elsewhere, data, len);
	handler->http2(handler->context, conn_release_fd(c), data, len);
	return true;
}

void conn_feed(struct conn *c, const char *data, size_t len)
{
	struct sl_http_server *server = c->server;
	if (give_away_http2(c, data, len))
		return;
	server->turn_active = true;
	server->stats.bytes_in += len;
	if (c->in_len) {
		char *in = sl_realloc(c->in, c->in_len + len, NULL);
		if (!in) {
			c->no_more = true;
			conn_mark_dirty(c);
			return;
		}
		memcpy(in + c->in_len, data, len);
		c->in = in;
		c->in_len += len;
		conn_parse(c, c->in, c->in_len);
	} else {
		conn_parse(c, data, len);
	}
	if (c->waiting == WAIT_BODY && c->progress_bytes >= PROGRESS_BYTES)
		conn_progress(c);
}

void conn_resume(struct conn *c)
{
	if (!conn_may_parse(c) || (c->in_len == c->parsed && !c->stopped))
		return;
	c->server->turn_active = true;
	conn_parse(c, c->in ? c->in : "", c->in_len);
}

/* Requests that were read are still answered, in case the client shut down only its sending side. */
static void tell_gone(struct conn *c)
{
	for (struct request *r = c->first; r; r = r->next) {
		if (r->gone || r->answered)
			continue;
		r->gone = true;
		if (r->on_gone && r->with_room)
			r->on_gone(r->on_gone_context, &r->pub);
	}
}

void conn_eof(struct conn *c)
{
	c->eof = c->no_more = true;
	if (c->reading)
		request_detach(c->reading); /* can never be complete */
	tell_gone(c);
	conn_mark_dirty(c);
}

static void drop_lingering(struct conn *c, size_t len)
{
	c->lingered += len;
	if (c->lingered > LINGER_BYTES_MAX)
		conn_close(c);
}

static void conn_read(struct conn *c)
{
	for (int i = 0; i < READS_PER_TURN && wants_read(c); i++) {
		ssize_t n = sl_wire_read(&c->wire, c->server->scratch, READ_BYTES);
		if (n == SL_WIRE_AGAIN)
			break;
		if (n == SL_WIRE_BROKEN || (n == 0 && c->lingering)) {
			conn_close(c);
			return;
		}
		if (n == 0) {
			conn_eof(c);
			break;
		}
		if (c->lingering)
			drop_lingering(c, (size_t)n);
		else
			conn_feed(c, c->server->scratch, (size_t)n);
		if (n < READ_BYTES && !c->wire.ssl)
			break;
	}
	conn_update(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct conn *c = handle->data;
	if (c->closing)
		return;
	if (status) {
		conn_close(c);
		return;
	}
	if ((events & UV_WRITABLE) || c->wire.write_wants_read) {
		c->blocked = false;
		conn_mark_dirty(c); /* written at the end of the turn */
	}
	if ((events & UV_READABLE) || c->wire.read_wants_write)
		conn_read(c);
	else if (events & UV_DISCONNECT) {
		c->hung_up = true;
		tell_gone(c);
		conn_update(c);
	}
}

/* ---- closing ---- */

static void conn_free(struct conn *c)
{
	struct sl_http_server *server = c->server;
	sl_free(c->in);
	sl_free(c->saved_head);
	sl_free(c);
	server_unref(server);
}

static void on_closed(uv_handle_t *handle) { conn_free(handle->data); }

/* It is in one of two lists: to be flushed in this round, or in the next. */
static void leave_dirty(struct conn *c)
{
	struct conn **at = &c->server->dirty;
	while (*at && *at != c)
		at = &(*at)->dirty_next;
	if (!*at)
		for (at = &c->server->flushing; *at != c;)
			at = &(*at)->dirty_next;
	*at = c->dirty_next;
	c->dirty = false;
}

/* Leaves the lists; its descriptor is the caller's. */
static void conn_forget(struct conn *c)
{
	struct sl_http_server *server = c->server;
	assert(!c->base && !c->closing);
	c->closing = true;
	leave_wait(c);
	*(c->prev ? &c->prev->next : &server->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	server->stats.connections_open--;
	while (c->first)
		request_detach(c->first);
	if (c->dirty) /* also when a room touched it just now, in on_gone */
		leave_dirty(c);
	if (c->poll.data)
		uv_close((uv_handle_t *)&c->poll, on_closed);
	else
		conn_free(c);
	server_has_room(server);
}

void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	if (c->poll.data)
		uv_poll_stop(&c->poll);
	struct sl_wire wire = c->wire;
	c->wire = (struct sl_wire){.fd = -1};
	conn_forget(c);
	sl_wire_close(&wire);
}

int conn_release_fd(struct conn *c)
{
	int fd = c->wire.fd;
	uv_poll_stop(&c->poll);
	c->wire.fd = -1;
	conn_forget(c);
	return fd;
}

void conn_timed_out(struct conn *c)
{
	enum wait_kind kind = c->waiting;
	bool begun = kind == WAIT_BODY ? c->reading != NULL : kind == WAIT_HEAD && c->in_len;
	if (!begun) {
		conn_close(c);
		return;
	}
	struct sl_error err;
	sl_fail(&err, SL_E_TIMEOUT, "the request's %s did not come within %u ms", kind == WAIT_BODY ? "body" : "head",
		wait_ms(c->server, kind));
	conn_refuse(c, 408, &err);
	conn_update(c);
}


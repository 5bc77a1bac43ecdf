/* A connection: what nghttp2 tells of it, and its bytes. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "net/h2_internal.h"
#include "os/sys.h"

enum { READS_PER_TURN = 8, WRITE_BYTES = 64 * 1024, FRAMES_PER_CREDIT_MS = 10, CREDIT_PER_ANSWER = 2, HEAD_FAULT_CREDIT = 10 };

void h2_conn_mark(struct h2_conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->server->dirty;
	c->server->dirty = c;
}

/* ---- frames that ask for work and bring none ---- */

static void spend(struct h2_conn *c, int credit)
{
	int64_t now = sl_loop_now_ms(c->server->loop), back = (now - c->credit_ms) / FRAMES_PER_CREDIT_MS;
	if (back > 0) {
		c->credit = back > SL_H2_CREDIT - c->credit ? SL_H2_CREDIT : c->credit + (int)back;
		c->credit_ms = now;
	}
	c->credit -= credit;
	if (c->credit >= 0)
		return;
	nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
	c->doomed = true;
}

static bool is_idle_work(const nghttp2_frame *frame)
{
	switch (frame->hd.type) {
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_PRIORITY: return true;
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS: return !(frame->hd.flags & NGHTTP2_FLAG_ACK);
	case NGHTTP2_DATA: return frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
	default: return false;
	}
}

/* ---- nghttp2's callbacks ---- */

static struct sl_h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_conn *c = user;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct sl_h2_stream *s = c->doomed || c->server->draining ? NULL : h2_stream_new(c, frame->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct sl_h2_stream *s = stream_of(session, frame->hd.stream_id);
	(void)flags;
	if (!s || s->with_room) /* trailers: nobody reads them */
		return 0;
	if (h2_stream_add_field(s, name, name_len, value, value_len))
		return 0;
	spend(user, HEAD_FAULT_CREDIT);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_conn *c = user;
	const struct sl_h2_handler *handler = &c->server->handler;
	struct sl_h2_stream *s = stream_of(session, frame->hd.stream_id);
	c->begun = true;
	if (is_idle_work(frame))
		spend(c, 1);
	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s->with_room = true;
		handler->begin(handler->context, s);
	}
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		s->client_ended = true;
		handler->end(handler->context, s);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
	struct h2_conn *c = user;
	struct sl_h2_stream *s = stream_of(session, id);
	(void)flags;
	if (!s || !s->with_room || s->ended)
		return 0;
	s->data_ms = sl_loop_now_ms(c->server->loop);
	c->server->handler.data(c->server->handler.context, s, data, len);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct h2_conn *c = user;
	struct sl_h2_stream *s = stream_of(session, id);
	(void)code;
	if (!s)
		return 0;
	if (s->answered)
		c->credit = c->credit > SL_H2_CREDIT - CREDIT_PER_ANSWER ? SL_H2_CREDIT : c->credit + CREDIT_PER_ANSWER;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	h2_stream_gone(s);
	return 0;
}

/* The answer is complete: what the client still sends of its request is not wanted. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct sl_h2_stream *s = stream_of(session, frame->hd.stream_id);
	(void)user;
	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s->answered = true;
	if (!s->client_ended)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

int h2_callbacks_make(struct sl_h2_server *server, struct sl_error *err)
{
	nghttp2_session_callbacks *cb;
	if (nghttp2_session_callbacks_new(&server->callbacks) || nghttp2_option_new(&server->options))
		return sl_fail_memory(err);
	cb = server->callbacks;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_option_set_peer_max_concurrent_streams(server->options, SL_H2_STREAMS_MAX);
	nghttp2_option_set_max_send_header_block_length(server->options, SL_H2_HEAD_BYTES_MAX * 2);
	nghttp2_option_set_no_closed_streams(server->options, 1);
	return 0;
}

/* ---- writing ---- */

/* Frames of nghttp2 into c->out, up to about WRITE_BYTES. False: out of memory. */
static bool fill(struct h2_conn *c)
{
	while (c->out.len < WRITE_BYTES) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(c->session, &data);
		if (n < 0)
			return false;
		if (n == 0)
			break;
		sl_buf_add(&c->out, data, (size_t)n);
	}
	return !c->out.failed;
}

static bool write_out(struct h2_conn *c)
{
	while (!c->blocked) {
		if (c->out_done == c->out.len) {
			sl_buf_clear(&c->out);
			c->out_done = 0;
			if (!fill(c))
				return false;
			if (!c->out.len)
				return true;
		}
		ssize_t n = send(c->fd, c->out.data + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		c->blocked = n < 0 && errno == EAGAIN;
		if (n > 0) {
			c->out_done += (size_t)n;
			c->progress_ms = sl_loop_now_ms(c->server->loop);
		}
	}
	return true;
}

void h2_conn_flush(struct h2_conn *c)
{
	bool fine = write_out(c);
	bool over = !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
	if (!fine || ((over || c->doomed) && !c->blocked)) {
		h2_conn_close(c);
		return;
	}
	int events = SL_FD_READ | (c->blocked ? SL_FD_WRITE : 0);
	if (events != c->polled)
		sl_watch_set(c->watch, events, NULL);
	c->polled = events;
}

/* ---- reading ---- */

static void feed(struct h2_conn *c, const char *data, size_t len)
{
	c->active_ms = sl_loop_now_ms(c->server->loop);
	ssize_t n = nghttp2_session_mem_recv(c->session, (const uint8_t *)data, len);
	/* No preface, a broken frame, a flood: nghttp2 has queued a GOAWAY where one makes sense. */
	if (n < 0) {
		if (c->begun)
			nghttp2_session_terminate_session(c->session, NGHTTP2_PROTOCOL_ERROR);
		c->doomed = true;
	}
	h2_conn_mark(c);
}

static void on_ready(void *context, int events)
{
	struct h2_conn *c = context;
	if (events & SL_FD_WRITE) {
		c->blocked = false;
		h2_conn_mark(c);
	}
	for (int i = 0; i < READS_PER_TURN && (events & SL_FD_READ) && !c->doomed; i++) {
		ssize_t n = recv(c->fd, c->server->scratch, H2_READ_BYTES, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			c->doomed = true;
			c->blocked = false;
			h2_conn_mark(c);
			return;
		}
		feed(c, c->server->scratch, (size_t)n);
		if (n < H2_READ_BYTES)
			return;
	}
}

/* ---- opening and closing ---- */

static bool begin_session(struct h2_conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, SL_H2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, SL_H2_HEAD_BYTES_MAX},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
	};
	return nghttp2_session_server_new2(&c->session, c->server->callbacks, c, c->server->options) == 0 &&
	       nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 3) == 0 &&
	       nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 4 << 20) == 0;
}

void h2_conn_open(struct sl_h2_server *server, int fd, const char *data, size_t len)
{
	struct h2_conn *c = sl_alloc(sizeof *c, NULL);
	int one = 1;
	if (!c) {
		sl_sys->close(fd);
		return;
	}
	*c = (struct h2_conn){.server = server, .fd = fd, .credit = SL_H2_CREDIT, .polled = SL_FD_READ, .next = server->conns};
	c->opened_ms = c->active_ms = c->progress_ms = c->credit_ms = sl_loop_now_ms(server->loop);
	sl_buf_init(&c->out, 4 << 20);
	if (c->next)
		c->next->prev = c;
	server->conns = c;
	server->conn_count++;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!begin_session(c) || sl_watch_new(server->loop, fd, on_ready, c, &c->watch, NULL) ||
	    sl_watch_set(c->watch, SL_FD_READ, NULL)) {
		h2_conn_close(c);
		return;
	}
	if (len)
		feed(c, data, len);
	h2_conn_mark(c);
}

void h2_conn_close(struct h2_conn *c)
{
	struct sl_h2_server *server = c->server;
	while (c->streams)
		h2_stream_gone(c->streams);
	nghttp2_session_del(c->session);
	sl_watch_free(c->watch);
	sl_sys->close(c->fd);
	sl_buf_done(&c->out);
	*(c->prev ? &c->prev->next : &server->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	for (struct h2_conn **at = &server->dirty; c->dirty && *at; at = &(*at)->dirty_next)
		if (*at == c) {
			*at = c->dirty_next;
			break;
		}
	server->conn_count--;
	sl_free(c);
}

/* The server as a whole: listening, time-outs, draining. */
#include "net/h2_server.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/h2_internal.h"
#include "os/sys.h"

enum { ACCEPTS_PER_TURN = 64, TICK_MS = 1000, DRAIN_TICK_MS = 10 };

/* ---- the end of a turn ---- */

static void end_turn(void *context)
{
	struct sl_h2_server *server = context;
	while (server->dirty) {
		struct h2_conn *c = server->dirty;
		server->dirty = c->dirty_next;
		c->dirty = false;
		h2_conn_flush(c);
	}
}

/* ---- time-outs ---- */

static void check_streams(struct h2_conn *c, int64_t now)
{
	for (struct sl_h2_stream *s = c->streams; s; s = s->next) {
		if (s->client_ended || !s->held || now - s->data_ms < SL_H2_READ_MS)
			continue;
		nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		h2_conn_mark(c);
	}
}

static bool is_stuck(const struct h2_conn *c, int64_t now)
{
	if (!c->begun && now - c->opened_ms >= SL_H2_BEGIN_MS)
		return true;
	return (c->blocked || c->unsent_bytes) && now - c->progress_ms >= SL_H2_WRITE_MS;
}

static void finish_drain(struct sl_h2_server *server)
{
	sl_loop_fn *done = server->drained;
	while (server->conns)
		h2_conn_close(server->conns);
	server->drained = NULL;
	sl_timer_stop(server->ticker);
	done(server->drained_context);
}

static void on_tick(void *context)
{
	struct sl_h2_server *server = context;
	int64_t now = sl_loop_now_ms(server->loop);
	size_t streams = 0;
	for (struct h2_conn *c = server->conns, *next; c; c = next) {
		next = c->next;
		streams += c->stream_count;
		if (is_stuck(c, now))
			h2_conn_close(c);
		else
			check_streams(c, now);
	}
	if (server->drained && (!streams || now >= server->drain_until_ms)) {
		finish_drain(server); /* the server may be gone */
		return;
	}
	if (!server->conns && !server->drained) {
		sl_timer_stop(server->ticker);
		server->ticking = false;
	}
}

static void start_ticking(struct sl_h2_server *server)
{
	if (server->ticking)
		return;
	server->ticking = true;
	sl_timer_start(server->ticker, TICK_MS, TICK_MS);
}

/* ---- accepting ---- */

/* Beyond the limit the longest idle connection makes room. False: none is idle. */
static bool make_room(struct sl_h2_server *server)
{
	struct h2_conn *idle = NULL;
	if (server->conn_count < SL_H2_CONNECTIONS_MAX)
		return true;
	for (struct h2_conn *c = server->conns; c; c = c->next)
		if (!c->stream_count && (!idle || c->active_ms < idle->active_ms))
			idle = c;
	if (idle)
		h2_conn_close(idle);
	return idle;
}

void sl_h2_server_adopt(struct sl_h2_server *server, int fd, const char *data, size_t len)
{
	if (server->draining || !make_room(server)) {
		sl_sys->close(fd);
		return;
	}
	start_ticking(server);
	h2_conn_open(server, fd, data, len);
}

static void on_acceptable(void *context, int events)
{
	struct sl_h2_server *server = context;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		sl_h2_server_adopt(server, fd, NULL, 0);
	}
}

static void close_listener(struct sl_h2_server *server)
{
	sl_watch_free(server->listener);
	server->listener = NULL;
	if (server->listen_fd >= 0)
		sl_sys->close(server->listen_fd);
	server->listen_fd = -1;
}

/* ---- opening and closing ---- */

int sl_h2_server_new(struct sl_loop *loop, const struct sl_h2_handler *handler, struct sl_h2_server **ret, struct sl_error *err)
{
	struct sl_h2_server *server = sl_alloc(sizeof *server, err);
	if (!server)
		return SL_E_NO_MEMORY;
	server->loop = loop;
	server->handler = *handler;
	server->listen_fd = -1;
	server->turn = (struct sl_turn){.end = end_turn, .context = server};
	sl_turn_add(loop, &server->turn);
	server->scratch = sl_alloc(H2_READ_BYTES, err);
	int rc = server->scratch ? h2_callbacks_make(server, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_timer_new(loop, on_tick, server, &server->ticker, err);
	if (rc) {
		sl_h2_server_free(server);
		return rc;
	}
	*ret = server;
	return 0;
}

int sl_h2_server_listen_fd(struct sl_h2_server *server, int fd, struct sl_error *err)
{
	server->listen_fd = fd;
	int rc = sl_watch_new(server->loop, fd, on_acceptable, server, &server->listener, err);
	return rc ? rc : sl_watch_set(server->listener, SL_FD_READ, err);
}

void sl_h2_server_drain(struct sl_h2_server *server, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	server->draining = true;
	server->drained = done;
	server->drained_context = context;
	server->drain_until_ms = sl_loop_now_ms(server->loop) + deadline_ms;
	close_listener(server);
	for (struct h2_conn *c = server->conns; c; c = c->next) {
		nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session),
				      NGHTTP2_NO_ERROR, NULL, 0);
		h2_conn_mark(c);
	}
	server->ticking = true;
	sl_timer_start(server->ticker, 0, DRAIN_TICK_MS);
}

void sl_h2_server_free(struct sl_h2_server *server)
{
	if (!server)
		return;
	close_listener(server);
	while (server->conns)
		h2_conn_close(server->conns);
	while (server->spare) {
		struct sl_h2_stream *s = server->spare;
		server->spare = s->next;
		h2_stream_free(s);
	}
	nghttp2_session_callbacks_del(server->callbacks);
	nghttp2_option_del(server->options);
	sl_timer_free(server->ticker);
	sl_turn_remove(server->loop, &server->turn);
	sl_free(server->scratch);
	sl_free(server);
}

/* The server as a whole: configuration, accepting, time-outs, draining. */
#include "net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server_internal.h"
#include "net/listen.h"
#include "os/sys.h"

/* SILENT_MS: without a whole head, long enough to be closed for want of room. */
enum { SILENT_MS = 1000, ACCEPTS_PER_TURN = 64, TICK_MS_MIN = 10, TICK_MS_MAX = 1000 };

struct listener {
	uv_poll_t poll;
	struct sl_http_server *server;
	struct listener *next;
	int fd;
	char *path; /* of a unix socket that is ours to remove */
};

/* ---- configuration ---- */

static void default_u32(uint32_t *value, uint32_t standard)
{
	if (!*value)
		*value = standard;
}

static void set_limits(struct sl_http_limits *l)
{
	default_u32(&l->header_bytes, 32 * 1024);
	default_u32(&l->header_count, 100);
	default_u32(&l->url_bytes, 8 * 1024);
	default_u32(&l->chunk_count, 65536);
	default_u32(&l->connections, 10000);
	default_u32(&l->pipelined, 64);
	default_u32(&l->stream_bytes, 256 * 1024);
	default_u32(&l->header_timeout_ms, 10000);
	default_u32(&l->body_timeout_ms, 30000);
	default_u32(&l->idle_timeout_ms, 75000);
	default_u32(&l->write_timeout_ms, 30000);
	if (!l->body_bytes)
		l->body_bytes = 64 << 20;
}

/* A quarter of the shortest time-out: precise enough, and one timer for all connections. */
static uint32_t tick_ms(const struct sl_http_limits *l)
{
	uint32_t least = l->header_timeout_ms;
	least = l->body_timeout_ms < least ? l->body_timeout_ms : least;
	least = l->idle_timeout_ms < least ? l->idle_timeout_ms : least;
	least = (l->write_timeout_ms < least ? l->write_timeout_ms : least) / 4;
	return least < TICK_MS_MIN ? TICK_MS_MIN : least > TICK_MS_MAX ? TICK_MS_MAX : least;
}

static int set_fixed_headers(struct sl_http_server *server, const struct sl_http_config *config, struct sl_error *err)
{
	sl_buf_init(&server->fixed_headers, 16 * 1024);
	for (size_t i = 0; i < config->header_count; i++) {
		const struct sl_http_header *h = &config->headers[i];
		if (!sl_http_header_name_valid(h->name) || !sl_http_header_value_valid(h->value))
			return sl_fail_at(err, SL_E_INVALID, h->name, "not a header that may be sent");
		sl_buf_printf(&server->fixed_headers, "%s: %s\r\n", h->name, h->value);
	}
	return sl_buf_check(&server->fixed_headers, "the fixed headers", err);
}

static int set_hosts(struct sl_http_server *server, const struct sl_http_config *config, struct sl_error *err)
{
	server->hosts = sl_alloc_array(config->host_count, sizeof *server->hosts, err);
	if (!server->hosts)
		return SL_E_NO_MEMORY;
	for (; server->host_count < config->host_count; server->host_count++) {
		char *host = sl_strdup(config->hosts[server->host_count], err);
		if (!host)
			return SL_E_NO_MEMORY;
		server->hosts[server->host_count] = host;
	}
	return 0;
}

static void server_destroy(struct sl_http_server *server)
{
	for (size_t i = 0; i < server->host_count; i++)
		sl_free(server->hosts[i]);
	sl_free(server->hosts);
	sl_buf_done(&server->fixed_headers);
	sl_free(server->head);
	sl_free(server->scratch);
	sl_free(server->adopted);
	sl_free(server);
}

void server_unref(struct sl_http_server *server)
{
	assert(server->refs > 0);
	if (--server->refs == 0)
		server_destroy(server);
}

static int fill_server(struct sl_http_server *server, const struct sl_http_config *config, struct sl_error *err)
{
	server->handler = config->handler;
	server->limits = config->limits;
	server->tls = config->tls;
	server->http2_socket = config->http2_socket;
	set_limits(&server->limits);
	server->tick_ms = tick_ms(&server->limits);
	int rc = set_fixed_headers(server, config, err);
	if (!rc)
		rc = set_hosts(server, config, err);
	if (rc)
		return rc;
	server->head = sl_alloc(sizeof *server->head + server->limits.header_count * sizeof server->head->fields[0], err);
	server->scratch = sl_alloc(READ_BYTES, err);
	return server->head && server->scratch ? 0 : SL_E_NO_MEMORY;
}

int sl_http_server_new(struct sl_loop *loop, const struct sl_http_config *config, struct sl_http_server **ret,
	struct sl_error *err)
{
	assert(config->handler.request);
	struct sl_http_server *server = sl_alloc(sizeof *server, err);
	if (!server)
		return SL_E_NO_MEMORY;
	int rc = fill_server(server, config, err);
	if (rc) {
		server_destroy(server);
		return rc;
	}
	server->loop = loop;
	server->refs = 2; /* the owner's and the ticker's */
	server->turn = (struct sl_turn){.end = server_end_turn, .context = server};
	sl_turn_add(loop, &server->turn);
	uv_timer_init(&loop->uv, &server->ticker);
	server->ticker.data = server;
	*ret = server;
	return 0;
}

/* ---- accepting ---- */

static void on_acceptable(uv_poll_t *handle, int status, int events);

static void watch_listeners(struct sl_http_server *server, bool on)
{
	for (struct listener *l = server->listeners; l; l = l->next)
		if (on)
			uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
		else
			uv_poll_stop(&l->poll);
}

/* Until a connection closes, or the next tick. */
static void stop_accepting_for_now(struct sl_http_server *server)
{
	server->accept_waits = true;
	watch_listeners(server, false);
	server_start_ticking(server);
}

void server_has_room(struct sl_http_server *server)
{
	if (!server->accept_waits || server->draining || server->freed)
		return;
	server->accept_waits = false;
	watch_listeners(server, true);
}

bool server_make_room(struct sl_http_server *server)
{
	if (server->stats.connections_open < server->limits.connections)
		return true;
	struct conn *idle = server->waits[WAIT_IDLE].first, *silent = server->waits[WAIT_HEAD].first;
	if (!idle && silent && silent->deadline_ms - server->limits.header_timeout_ms + SILENT_MS <= sl_loop_now_ms(server->loop))
		idle = silent;
	if (!idle)
		return false;
	conn_close(idle);
	return true;
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
	struct listener *l = handle->data;
	struct sl_http_server *server = l->server;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN && !status; i++) {
		if (!server_make_room(server)) {
			stop_accepting_for_now(server);
			return;
		}
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK) /* no descriptors left: the client waits in the backlog */
				stop_accepting_for_now(server);
			return;
		}
		server->stats.connections_accepted++;
		conn_open(server, fd, CONN_ACCEPTED, NULL, 0);
	}
}

/* Takes over fd. */
static int add_listener(struct sl_http_server *server, int fd, const char *path, struct sl_error *err)
{
	struct listener *l = sl_alloc(sizeof *l, err);
	char *own_path = path ? sl_strdup(path, err) : NULL;
	int rc = l && (own_path || !path) ? 0 : SL_E_NO_MEMORY;
	if (!rc) {
		int uv = uv_poll_init(&server->loop->uv, &l->poll, fd);
		rc = uv ? sl_fail_uv(err, uv, "cannot watch the listening socket") : 0;
	}
	if (rc) {
		sl_free(l);
		sl_free(own_path);
		sl_sys->close(fd);
		return rc;
	}
	l->poll.data = l;
	l->server = server;
	l->fd = fd;
	l->path = own_path;
	l->next = server->listeners;
	server->listeners = l;
	server->refs++;
	uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
	return 0;
}

int sl_http_server_listen(struct sl_http_server *server, const char *address, uint16_t port, uint16_t *ret_port,
	struct sl_error *err)
{
	int fd;
	int rc = sl_net_listen(address, port, &fd, ret_port, err);
	return rc ? rc : add_listener(server, fd, NULL, err);
}

int sl_http_server_listen_unix(struct sl_http_server *server, const char *path, struct sl_error *err)
{
	int fd;
	int rc = sl_net_listen_unix(path, SOCK_STREAM, &fd, err);
	return rc ? rc : add_listener(server, fd, path, err);
}

int sl_http_server_listen_fd(struct sl_http_server *server, int fd, struct sl_error *err)
{
	return add_listener(server, fd, NULL, err);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct sl_http_server *server = l->server;
	sl_free(l->path);
	sl_free(l);
	server_unref(server);
}

static void close_listeners(struct sl_http_server *server)
{
	for (struct listener *l = server->listeners, *next; l; l = next) {
		next = l->next;
		uv_poll_stop(&l->poll);
		sl_sys->close(l->fd);
		if (l->path)
			sl_sys->unlink(l->path);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	}
	server->listeners = NULL;
}

/* ---- time-outs and draining ---- */

static void finish_drain(struct sl_http_server *server)
{
	while (server->conns)
		conn_close(server->conns);
	sl_loop_fn *done = server->drained;
	server->drained = NULL;
	if (done)
		done(server->drained_context);
}

/* Connections that have got their answers and only wait for the client to notice do not hold up the end. */
static bool is_drained(const struct sl_http_server *server)
{
	const struct conn *c = server->conns;
	while (c && c->lingering)
		c = c->next;
	return !c;
}

static void on_tick(uv_timer_t *timer)
{
	struct sl_http_server *server = timer->data;
	int64_t now = sl_loop_now_ms(server->loop);
	for (int kind = 0; kind < WAIT_KINDS; kind++) {
		struct conn *c;
		while ((c = server->waits[kind].first) && c->deadline_ms <= now)
			conn_timed_out(c);
	}
	server_has_room(server);
	if (server->drained && (is_drained(server) || now >= server->drain_deadline_ms)) {
		finish_drain(server);
		return; /* the server may be gone */
	}
	if (!server->conns && !server->accept_waits && !server->drained) {
		uv_timer_stop(timer);
		server->ticking = false;
	}
}

void server_start_ticking(struct sl_http_server *server)
{
	if (server->ticking || server->freed)
		return;
	server->ticking = true;
	uv_timer_start(&server->ticker, on_tick, server->tick_ms, server->tick_ms);
}

void sl_http_server_drain(struct sl_http_server *server, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	assert(!server->draining);
	server->draining = true;
	server->drained = done;
	server->drained_context = context;
	server->drain_deadline_ms = sl_loop_now_ms(server->loop) + deadline_ms;
	close_listeners(server);
	handover_close_all(server);
	for (struct conn *c = server->conns, *next; c; c = next) {
		next = c->next;
		if (!c->first && !c->in_len && !c->lingering && c->in_head)
			conn_close(c);
	}
	server->tick_ms = TICK_MS_MIN; /* draining is short, and somebody waits for it */
	uv_timer_start(&server->ticker, on_tick, 0, server->tick_ms);
	server->ticking = true;
}

static void on_ticker_closed(uv_handle_t *handle) { server_unref(handle->data); }

void sl_http_server_free(struct sl_http_server *server)
{
	if (!server)
		return;
	server->freed = true;
	close_listeners(server);
	handover_close_all(server);
	while (server->conns)
		conn_close(server->conns);
	while (server->spare) {
		struct request *r = server->spare;
		server->spare = r->next;
		server->refs++;
		request_drop(r);
	}
	sl_turn_remove(server->loop, &server->turn);
	uv_close((uv_handle_t *)&server->ticker, on_ticker_closed);
	server_unref(server);
}

void sl_http_server_stats(const struct sl_http_server *server, struct sl_http_stats *ret) { *ret = server->stats; }

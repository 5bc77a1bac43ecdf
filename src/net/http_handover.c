/* Connections from and to other processes; net/handover.h has the message. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/handover.h"
#include "net/http_server_internal.h"
#include "net/listen.h"
#include "os/sys.h"

enum { MESSAGES_PER_TURN = 64 };

/* ---- out ---- */

struct peer_channel {
	struct peer_channel *next;
	struct sl_handover channel;
	char path[];
};

static struct peer_channel *peer_at(struct sl_http_server *server, const char *path)
{
	for (struct peer_channel *p = server->peers; p; p = p->next)
		if (strcmp(p->path, path) == 0)
			return p;
	struct peer_channel *p = sl_alloc(sizeof *p + strlen(path) + 1, NULL);
	if (!p)
		return NULL;
	memcpy(p->path, path, strlen(path) + 1);
	p->channel = (struct sl_handover){.fd = -1, .path = p->path};
	p->next = server->peers;
	server->peers = p;
	return p;
}

static int hand_over(struct conn *c, const char *path, struct sl_error *err)
{
	struct peer_channel *p = peer_at(c->server, path);
	return p ? sl_handover_send(&p->channel, c->wire.fd, c->in, c->in_len, err) : sl_fail_memory(err);
}

bool handover_give(struct conn *c, const char *path, const char *data, size_t len)
{
	struct peer_channel *p = peer_at(c->server, path);
	struct sl_error err;
	if (!p || sl_handover_send(&p->channel, c->wire.fd, data, len, &err))
		return false;
	c->server->stats.handed_over++;
	struct sl_wire wire = {.fd = conn_release_fd(c)};
	sl_wire_close(&wire);
	return true;
}

void handover_try(struct conn *c)
{
	struct request *r = c->first;
	struct sl_error err;
	if (c->eof || !hand_over(c, r->handover_path, &err)) {
		if (c->eof) {
			conn_close(c);
			return;
		}
		c->server->stats.handed_over++;
		struct sl_wire wire = {.fd = conn_release_fd(c)};
		sl_wire_close(&wire);
		return;
	}
	err.code = SL_E_BUSY;
	sl_http_handover_fn *failed = r->handover_failed;
	r->handover_path = NULL;
	r->handover_failed = NULL;
	r->with_room = true;
	failed(r->handover_context, &r->pub, &err);
	r->with_room = !r->answered && r->mode == BODY_STREAM;
	conn_mark_dirty(c); /* goes on here, with the rest of what was read */
	conn_update(c);
}

int sl_http_request_hand_over(struct sl_http_request *request, const char *unix_socket_path, sl_http_handover_fn *failed,
	void *context, struct sl_error *err)
{
	struct request *r = (struct request *)(void *)request;
	assert(r->conn && r->conn->reading == r && r->body_seen == 0 && !r->started);
	if (r->conn->wire.ssl || r->conn->wire.fd < 0)
		return sl_fail(err, SL_E_CONFLICT, "a TLS connection cannot be handed over");
	char *path = sl_arena_strdup(r->pub.arena, unix_socket_path);
	if (!path)
		return sl_fail_memory(err);
	r->on_gone = NULL; /* the room has done with it, unless this fails */
	r->handover_path = path;
	r->handover_failed = failed;
	r->handover_context = context;
	conn_mark_dirty(r->conn);
	return 0;
}

/* ---- in ---- */

/* The listening socket, or one process that hands over. */
struct adopt_channel {
	uv_poll_t poll;
	struct sl_http_server *server;
	struct adopt_channel *next;
	int fd;
	bool listens;
	char *path; /* of the listening one */
};

static void on_channel_closed(uv_handle_t *handle)
{
	struct adopt_channel *a = handle->data;
	struct sl_http_server *server = a->server;
	sl_free(a->path);
	sl_free(a);
	server_unref(server);
}

static void close_channel(struct adopt_channel *a)
{
	struct adopt_channel **at = &a->server->channels;
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	a->server->channel_count--;
	uv_poll_stop(&a->poll);
	sl_sys->close(a->fd);
	if (a->path)
		sl_sys->unlink(a->path);
	uv_close((uv_handle_t *)&a->poll, on_channel_closed);
}

static void on_channel(uv_poll_t *handle, int status, int events);

/* Takes over fd, also when it fails. */
static int add_channel(struct sl_http_server *server, int fd, const char *path, struct sl_error *err)
{
	struct adopt_channel *a = sl_alloc(sizeof *a, err);
	char *own_path = path ? sl_strdup(path, err) : NULL;
	int rc = a && (own_path || !path) ? 0 : SL_E_NO_MEMORY;
	if (!rc) {
		int uv = uv_poll_init(&server->loop->uv, &a->poll, fd);
		rc = uv ? sl_fail_uv(err, uv, "cannot watch the socket") : 0;
	}
	if (rc) {
		sl_free(a);
		sl_free(own_path);
		sl_sys->close(fd);
		return rc;
	}
	a->poll.data = a;
	a->server = server;
	a->fd = fd;
	a->listens = path != NULL;
	a->path = own_path;
	a->next = server->channels;
	server->channels = a;
	server->channel_count++;
	server->refs++;
	uv_poll_start(&a->poll, UV_READABLE, on_channel);
	return 0;
}

/* Only processes of our own user may hand us connections. */
static bool is_same_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void accept_channels(struct adopt_channel *a)
{
	int fd;
	while ((fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (!is_same_user(fd) || a->server->channel_count >= ADOPT_CHANNELS_MAX)
			sl_sys->close(fd);
		else
			add_channel(a->server, fd, NULL, NULL);
	}
}

/* One connection. False: no more now, or the channel is closed. */
static bool adopt_one(struct adopt_channel *a, char *data)
{
	struct sl_http_server *server = a->server;
	int fd;
	ssize_t n = sl_handover_receive(a->fd, data, &fd);
	if (n == SL_HANDOVER_NONE)
		return false;
	if (n == SL_HANDOVER_BROKEN) {
		close_channel(a);
		return false;
	}
	if (!server_make_room(server)) {
		sl_sys->close(fd);
		return true;
	}
	server->stats.adopted++;
	conn_open(server, fd, CONN_ADOPTED, data + SL_HANDOVER_HEAD_BYTES, (size_t)n);
	return true;
}

static void on_channel(uv_poll_t *handle, int status, int events)
{
	struct adopt_channel *a = handle->data;
	(void)events;
	if (a->listens) {
		accept_channels(a);
		return;
	}
	if (status) {
		close_channel(a);
		return;
	}
	for (int i = 0; i < MESSAGES_PER_TURN && adopt_one(a, a->server->adopted); i++)
		;
}

int sl_http_server_adopt_listen(struct sl_http_server *server, const char *unix_socket_path, struct sl_error *err)
{
	int fd;
	if (!server->adopted)
		server->adopted = sl_alloc(SL_HANDOVER_HEAD_BYTES + SL_HANDOVER_BYTES_MAX, err);
	if (!server->adopted)
		return SL_E_NO_MEMORY;
	int rc = sl_net_listen_unix(unix_socket_path, SOCK_SEQPACKET, &fd, err);
	return rc ? rc : add_channel(server, fd, unix_socket_path, err);
}

void handover_close_all(struct sl_http_server *server)
{
	while (server->channels)
		close_channel(server->channels);
	while (server->peers) {
		struct peer_channel *p = server->peers;
		server->peers = p->next;
		sl_handover_close(&p->channel);
		sl_free(p);
	}
}

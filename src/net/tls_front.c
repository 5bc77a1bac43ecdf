/* Accepting, certificates and time-outs of the front; one connection's bytes are in net/tls_relay.c. */
#include "net/tls_front.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/tls_front_internal.h"
#include "os/file.h"
#include "os/sys.h"

enum { ACCEPTS_PER_TURN = 64, TICK_MS = 250, CERTIFICATE_LOOK_MS = 1000, SILENT_MS = 1000 };

/* ---- certificates ---- */

/* What tells a replaced file from the old one. */
static struct tls_stamp stamp_of(const char *path)
{
	struct stat st;
	if (sl_sys->stat(path, &st))
		return (struct tls_stamp){0};
	return (struct tls_stamp){st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

static bool stamp_changed(const struct tls_stamp *a, const struct tls_stamp *b) { return memcmp(a, b, sizeof *a) != 0; }

/* Connections that are open keep what they began with: OpenSSL counts its users. */
static void look_at_certificate(struct sl_tls_front *front)
{
	int64_t now = sl_loop_now_ms(front->loop);
	if (now - front->looked_ms < CERTIFICATE_LOOK_MS)
		return;
	front->looked_ms = now;
	struct tls_stamp certificate = stamp_of(front->config.certificate_path), key = stamp_of(front->config.key_path);
	if (!stamp_changed(&certificate, &front->certificate) && !stamp_changed(&key, &front->key))
		return;
	front->certificate = certificate;
	front->key = key;
	struct sl_error err = {0};
	struct sl_tls *tls;
	int rc = sl_tls_server_new(front->config.certificate_path, front->config.key_path, &tls, &err);
	if (!rc) {
		sl_tls_free(front->tls);
		front->tls = tls;
	}
	if (front->config.reloaded)
		front->config.reloaded(front->config.context, rc ? &err : NULL);
}

/* ---- accepting ---- */

/* The longest silent connection makes room; one that moved bytes within a second is not silent. */
static bool make_room(struct sl_tls_front *front)
{
	if (front->relay_count < front->config.connections)
		return true;
	struct relay *silent = NULL;
	int64_t before = sl_loop_now_ms(front->loop) - SILENT_MS;
	for (struct relay *r = front->relays; r; r = r->next)
		if (r->moved_ms <= before && !r->down.len && (!silent || r->moved_ms < silent->moved_ms))
			silent = r;
	if (silent)
		relay_close(silent);
	return silent != NULL;
}

static void pause_accepting(struct sl_tls_front *front)
{
	front->accept_waits = true;
	sl_watch_set(front->acceptor, 0, NULL);
	front_start_ticking(front);
}

static void on_acceptable(void *context, int events)
{
	struct sl_tls_front *front = context;
	(void)events;
	look_at_certificate(front);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		if (!make_room(front)) {
			pause_accepting(front);
			return;
		}
		int fd = accept4(front->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK) /* no descriptors left: the client waits in the backlog */
				pause_accepting(front);
			return;
		}
		relay_open(front, fd);
	}
}

/* ---- time ---- */

/* Connections that have got their answers and only wait for the client to notice do not hold up the end. */
static bool is_drained(const struct sl_tls_front *front)
{
	const struct relay *r = front->relays;
	while (r && r->stage == RELAY_LINGERING)
		r = r->next;
	return !r;
}

static bool finish_drain(struct sl_tls_front *front)
{
	if (!front->drained || (!is_drained(front) && sl_loop_now_ms(front->loop) < front->drain_deadline_ms))
		return false;
	while (front->relays)
		relay_close(front->relays);
	sl_loop_fn *done = front->drained;
	front->drained = NULL;
	sl_timer_stop(front->ticker);
	done(front->drained_context);
	return true;
}

static void on_tick(void *context)
{
	struct sl_tls_front *front = context;
	int64_t now = sl_loop_now_ms(front->loop);
	for (struct relay *r = front->relays, *next; r; r = next) {
		next = r->next;
		relay_tick(r, now);
	}
	if (finish_drain(front))
		return; /* the front may be gone */
	if (front->accept_waits && !front->draining) {
		front->accept_waits = false;
		sl_watch_set(front->acceptor, SL_FD_READ, NULL);
	}
	if (!front->relays && !front->draining) {
		sl_timer_stop(front->ticker);
		front->ticking = false;
	}
}

void front_start_ticking(struct sl_tls_front *front)
{
	if (front->ticking)
		return;
	front->ticking = true;
	sl_timer_start(front->ticker, TICK_MS, TICK_MS);
}

/* ---- the whole ---- */

static void set_defaults(struct sl_tls_front_config *c)
{
	c->connections = c->connections ? c->connections : 10000;
	c->handshake_timeout_ms = c->handshake_timeout_ms ? c->handshake_timeout_ms : 10000;
	c->role_timeout_ms = c->role_timeout_ms ? c->role_timeout_ms : 10000;
	c->write_timeout_ms = c->write_timeout_ms ? c->write_timeout_ms : 30000;
}

int sl_tls_front_new(struct sl_loop *loop, const struct sl_tls_front_config *config, int listen_fd, struct sl_tls_front **ret,
	struct sl_error *err)
{
	struct sl_tls_front *front = sl_alloc(sizeof *front, err);
	if (!front) {
		sl_sys->close(listen_fd);
		return SL_E_NO_MEMORY;
	}
	front->loop = loop;
	front->config = *config;
	front->listen_fd = listen_fd;
	front->role = (struct sl_handover){.fd = -1, .path = config->socket_path};
	front->looked_ms = sl_loop_now_ms(loop);
	set_defaults(&front->config);
	front->certificate = stamp_of(config->certificate_path);
	front->key = stamp_of(config->key_path);
	front->scratch = sl_alloc(RELAY_READ_BYTES, err);
	int rc = front->scratch ? 0 : SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_tls_server_new(config->certificate_path, config->key_path, &front->tls, err);
	if (!rc)
		rc = sl_timer_new(loop, on_tick, front, &front->ticker, err);
	if (!rc)
		rc = sl_watch_new(loop, listen_fd, on_acceptable, front, &front->acceptor, err);
	if (!rc)
		rc = sl_watch_set(front->acceptor, SL_FD_READ, err);
	if (rc) {
		sl_tls_front_free(front);
		return rc;
	}
	*ret = front;
	return 0;
}

static void stop_listening(struct sl_tls_front *front)
{
	sl_watch_free(front->acceptor);
	front->acceptor = NULL;
	sl_file_close(&front->listen_fd);
	front->listen_fd = -1;
}

void sl_tls_front_drain(struct sl_tls_front *front, int64_t deadline_ms, sl_loop_fn *done, void *context)
{
	front->draining = true;
	front->drained = done;
	front->drained_context = context;
	front->drain_deadline_ms = sl_loop_now_ms(front->loop) + deadline_ms;
	stop_listening(front);
	for (struct relay *r = front->relays, *next; r; r = next) {
		next = r->next;
		if (r->stage == RELAY_HANDSHAKE || r->stage == RELAY_WAITING)
			relay_close(r);
	}
	front->ticking = true;
	sl_timer_start(front->ticker, 0, 10); /* draining is short, and somebody waits for it */
}

void sl_tls_front_free(struct sl_tls_front *front)
{
	if (!front)
		return;
	while (front->relays)
		relay_close(front->relays);
	if (front->acceptor)
		stop_listening(front);
	sl_file_close(&front->listen_fd);
	sl_timer_free(front->ticker);
	sl_handover_close(&front->role);
	sl_tls_free(front->tls);
	sl_free(front->scratch);
	sl_free(front);
}

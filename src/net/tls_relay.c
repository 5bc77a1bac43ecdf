#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/tls_front_internal.h"
#include "os/sys.h"

enum {
	READS_PER_TURN = 32,
	LINGER_MS = 2000,
	LINGER_BYTES_MAX = 1 << 20,
	TLS_RECORD_HANDSHAKE = 0x16, /* the first byte of every TLS connection */
};

#define JSON_ANSWER(status, body_len, body) \
	"HTTP/1.1 " status "\r\nContent-Type: application/json\r\nContent-Length: " body_len "\r\nConnection: close\r\n\r\n" body
static const char PLAIN_ANSWER[] = JSON_ANSWER("400 Bad Request", "110",
	"{\"error\":{\"code\":\"invalid\",\"message\":\"this port speaks TLS only\",\"hint\":\"write https:// instead of http://\"}}\n");
static const char NO_ROLE_ANSWER[] = JSON_ANSWER("503 Service Unavailable\r\nRetry-After: 1", "87",
	"{\"error\":{\"code\":\"busy\",\"message\":\"the server is being restarted\",\"hint\":\"try again\"}}\n");
#undef JSON_ANSWER

static void update(struct relay *r);
static void on_client(void *context, int events);
static void on_role(void *context, int events);

static int64_t now_ms(const struct relay *r) { return sl_loop_now_ms(r->front->loop); }

/* ---- bytes that wait ---- */

static void pending_drop(struct pending *p)
{
	sl_free(p->data);
	*p = (struct pending){0};
}

static bool pending_set(struct pending *p, const char *data, size_t len)
{
	p->data = sl_alloc(len, NULL);
	if (!p->data)
		return false;
	memcpy(p->data, data, len);
	p->len = len;
	p->done = 0;
	return true;
}

/* ---- opening and closing ---- */

void relay_open(struct sl_tls_front *front, int fd)
{
	struct relay *r = sl_alloc(sizeof *r, NULL);
	int one = 1;
	if (!r) {
		sl_sys->close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	r->front = front;
	r->wire.fd = fd;
	r->role_fd = -1;
	r->moved_ms = now_ms(r);
	r->deadline_ms = r->moved_ms + front->config.handshake_timeout_ms;
	r->next = front->relays;
	if (r->next)
		r->next->prev = r;
	front->relays = r;
	front->relay_count++;
	front_start_ticking(front);
	if (sl_tls_accept(front->tls, &r->wire) || sl_watch_new(front->loop, fd, on_client, r, &r->client_watch, NULL)) {
		relay_close(r);
		return;
	}
	update(r);
}

static void close_role(struct relay *r)
{
	sl_watch_free(r->role_watch);
	r->role_watch = NULL;
	if (r->role_fd >= 0)
		sl_sys->close(r->role_fd);
	r->role_fd = -1;
	r->role_events = 0;
}

void relay_close(struct relay *r)
{
	struct sl_tls_front *front = r->front;
	close_role(r);
	sl_watch_free(r->client_watch);
	sl_wire_close(&r->wire);
	pending_drop(&r->up);
	pending_drop(&r->down);
	*(r->prev ? &r->prev->next : &front->relays) = r->next;
	if (r->next)
		r->next->prev = r->prev;
	front->relay_count--;
	sl_free(r);
}

/* The client is told that no more comes; what it still sends is read and dropped, so that no reset overtakes the answer. */
static void start_lingering(struct relay *r)
{
	close_role(r);
	pending_drop(&r->up);
	sl_wire_shutdown(&r->wire);
	r->stage = RELAY_LINGERING;
	r->deadline_ms = now_ms(r) + LINGER_MS;
}

/* A last word of our own. */
static void answer(struct relay *r, const char *text, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)text, len};
	sl_wire_writev(&r->wire, &iov, 1); /* the socket's buffer is empty: it fits */
	start_lingering(r);
}

/* Gives one end of a pair to the role. */
static void open_role(struct relay *r)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
		r->stage = RELAY_WAITING; /* no descriptors left now */
		return;
	}
	int rc = sl_handover_send(&r->front->role, pair[1], NULL, 0, NULL);
	sl_sys->close(pair[1]);
	r->role_fd = pair[0];
	if (!rc)
		rc = sl_watch_new(r->front->loop, pair[0], on_role, r, &r->role_watch, NULL);
	if (rc)
		close_role(r);
	r->stage = rc ? RELAY_WAITING : RELAY_OPEN;
	r->deadline_ms = rc ? r->deadline_ms : 0;
}

/* ---- client to role ---- */

/* How many bytes the role took. One that closed takes all: what it wrote before is still to be read. */
static size_t send_to_role(struct relay *r, const char *data, size_t len)
{
	ssize_t n;
	if (r->stage != RELAY_OPEN)
		return 0;
	do
		n = send(r->role_fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	r->client_ended = r->role_told = true;
	return len;
}

/* True when nothing waits any more. */
static bool send_up(struct relay *r)
{
	struct pending *p = &r->up;
	p->done += send_to_role(r, p->data + p->done, p->len - p->done);
	if (p->done < p->len)
		return false;
	pending_drop(p);
	return true;
}

/* Straight from the shared buffer; only what the role does not take is kept. */
static bool pass_up(struct relay *r, size_t len)
{
	size_t taken = send_to_role(r, r->front->scratch, len);
	return taken == len || pending_set(&r->up, r->front->scratch + taken, len - taken);
}

static void begin(struct relay *r)
{
	r->deadline_ms = now_ms(r) + r->front->config.role_timeout_ms;
	open_role(r);
}

/* False: the connection is broken. */
static bool move_up(struct relay *r)
{
	r->more = false;
	for (int i = 0; i < READS_PER_TURN; i++) {
		if (r->up.len && !send_up(r))
			return true;
		if (r->client_ended)
			break;
		ssize_t n = sl_wire_read(&r->wire, r->front->scratch, RELAY_READ_BYTES);
		if (n == SL_WIRE_AGAIN)
			return true;
		if (n == SL_WIRE_BROKEN || (n == 0 && r->stage == RELAY_HANDSHAKE))
			return false;
		r->client_ended = n == 0;
		r->moved_ms = now_ms(r);
		if (r->stage == RELAY_HANDSHAKE)
			begin(r);
		if (n > 0 && !pass_up(r, (size_t)n))
			return false;
	}
	if (r->client_ended && !r->role_told && r->stage == RELAY_OPEN) {
		shutdown(r->role_fd, SHUT_WR);
		r->role_told = true;
	}
	r->more = !r->client_ended;
	return true;
}

/* ---- role to client ---- */

static bool send_down(struct relay *r)
{
	struct pending *p = &r->down;
	while (p->done < p->len) {
		struct iovec iov = {p->data + p->done, p->len - p->done};
		ssize_t n = sl_wire_writev(&r->wire, &iov, 1);
		if (n < 0)
			return n == SL_WIRE_AGAIN;
		p->done += (size_t)n;
		r->moved_ms = now_ms(r);
		r->deadline_ms = r->moved_ms + r->front->config.write_timeout_ms;
	}
	pending_drop(p);
	r->deadline_ms = 0;
	return true;
}

/* Straight from the shared buffer; only what the client does not take is kept. */
static bool pass_down(struct relay *r, size_t len)
{
	struct iovec iov = {r->front->scratch, len};
	ssize_t n = sl_wire_writev(&r->wire, &iov, 1);
	if (n == SL_WIRE_BROKEN)
		return false;
	size_t taken = n > 0 ? (size_t)n : 0;
	r->moved_ms = now_ms(r);
	if (taken == len)
		return true;
	r->deadline_ms = r->moved_ms + r->front->config.write_timeout_ms;
	return pending_set(&r->down, r->front->scratch + taken, len - taken);
}

static bool move_down(struct relay *r)
{
	for (int i = 0; i < READS_PER_TURN && r->stage == RELAY_OPEN; i++) {
		if (r->down.len && (!send_down(r) || r->down.len))
			return r->down.len > 0;
		ssize_t n = r->role_ended ? 0 : recv(r->role_fd, r->front->scratch, RELAY_READ_BYTES, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n > 0 && !pass_down(r, (size_t)n))
			return false;
		if (n <= 0) { /* also reset: it died with bytes unread */
			r->role_ended = true;
			start_lingering(r);
		}
	}
	return true;
}

/* ---- events ---- */

static void set_watch(struct sl_watch *watch, int *now, int wanted)
{
	if (watch && *now != wanted && sl_watch_set(watch, wanted, NULL) == 0)
		*now = wanted;
}

static void update(struct relay *r)
{
	bool reads = r->stage == RELAY_LINGERING || (!r->up.len && !r->client_ended);
	int client = (reads || r->wire.write_wants_read ? SL_FD_READ : 0) |
		     (r->down.len || r->wire.read_wants_write ? SL_FD_WRITE : 0);
	int role = (r->down.len ? 0 : SL_FD_READ) | (r->up.len || r->more ? SL_FD_WRITE : 0);
	set_watch(r->client_watch, &r->client_events, client);
	set_watch(r->role_watch, &r->role_events, role);
}

static void linger(struct relay *r)
{
	ssize_t n;
	while ((n = sl_wire_read(&r->wire, r->front->scratch, RELAY_READ_BYTES)) > 0 && r->lingered <= LINGER_BYTES_MAX)
		r->lingered += (size_t)n;
	if (n != SL_WIRE_AGAIN)
		relay_close(r);
	else
		update(r);
}

/* Each direction only when something may have changed for it: a look in vain is a system call or two. */
static void move(struct relay *r, bool up, bool down)
{
	if (r->stage == RELAY_LINGERING) {
		linger(r);
		return;
	}
	up = up || r->up.len || r->more;
	down = down || r->down.len || r->wire.write_wants_read;
	if ((up && !move_up(r)) || (down && r->stage == RELAY_OPEN && !move_down(r)))
		relay_close(r);
	else
		update(r);
}

/* Before anything was said: is it TLS at all? */
static bool speaks_plainly(struct relay *r)
{
	unsigned char first;
	if (r->stage != RELAY_HANDSHAKE || SSL_get_state(r->wire.ssl) != TLS_ST_BEFORE)
		return false;
	return recv(r->wire.fd, &first, 1, MSG_PEEK) == 1 && first != TLS_RECORD_HANDSHAKE;
}

static void on_client(void *context, int events)
{
	struct relay *r = context;
	(void)events;
	if (speaks_plainly(r)) {
		SSL_free(r->wire.ssl);
		r->wire.ssl = NULL;
		answer(r, PLAIN_ANSWER, sizeof PLAIN_ANSWER - 1);
	}
	move(r, true, false);
}

static void on_role(void *context, int events)
{
	(void)events;
	move(context, false, true);
}

void relay_tick(struct relay *r, int64_t now)
{
	bool late = r->deadline_ms && now >= r->deadline_ms;
	if (r->stage == RELAY_WAITING && !late) {
		open_role(r);
		if (r->stage == RELAY_OPEN)
			move(r, true, true);
		return;
	}
	if (r->stage == RELAY_WAITING) {
		answer(r, NO_ROLE_ANSWER, sizeof NO_ROLE_ANSWER - 1);
		update(r);
	} else if (late) {
		relay_close(r);
	}
}

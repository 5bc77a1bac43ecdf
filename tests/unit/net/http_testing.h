/* A server and raw sockets in one thread: the test sends bytes, then turns the loop until what it waits for is there. */
#ifndef SL_TESTS_HTTP_TESTING_H
#define SL_TESTS_HTTP_TESTING_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/http_server.h"
#include "os/clock.h"

enum { TEST_DEADLINE_MS = 20000 };

static inline int connect_to(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Turns the loop until `done` says so; fails the test after the deadline. */
static inline void turn_until(struct sl_loop *loop, bool (*done)(void *context), void *context)
{
	int64_t deadline = sl_monotonic_ns() / 1000000 + TEST_DEADLINE_MS;
	while (!done(context)) {
		assert_true(sl_monotonic_ns() / 1000000 < deadline);
		if (!sl_loop_run_once(loop, false))
			usleep(100);
	}
}

struct peer {
	struct sl_loop *loop;
	int fd;
	bool closed; /* the server closed, or reset */
	struct sl_buf in;
	const char *wanted;
	size_t wanted_count;
};

static inline void peer_open(struct peer *p, struct sl_loop *loop, uint16_t port)
{
	*p = (struct peer){.loop = loop, .fd = connect_to(port)};
	sl_buf_init(&p->in, 1 << 30);
}

static inline void peer_close(struct peer *p)
{
	close(p->fd);
	sl_buf_done(&p->in);
}

static inline void peer_receive(struct peer *p)
{
	for (;;) {
		char *room = sl_buf_reserve(&p->in, 65536);
		ssize_t n = recv(p->fd, room, 65536, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			p->closed = true;
		if (n <= 0)
			return;
		p->in.len += (size_t)n;
		p->in.data[p->in.len] = 0;
	}
}

/* Sends all, turning the loop while the socket is full; stops early when the server closed. */
static inline void peer_send(struct peer *p, const void *data, size_t len)
{
	int64_t deadline = sl_monotonic_ns() / 1000000 + TEST_DEADLINE_MS;
	for (size_t done = 0; done < len && !p->closed;) {
		assert_true(sl_monotonic_ns() / 1000000 < deadline);
		ssize_t n = send(p->fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN)
			p->closed = true;
		sl_loop_run_once(p->loop, false);
		peer_receive(p);
	}
}

static inline void peer_say(struct peer *p, const char *text) { peer_send(p, text, strlen(text)); }

static inline size_t count_of(const struct sl_buf *in, const char *text)
{
	size_t n = 0;
	const char *at = in->len ? in->data : NULL;
	while (at && (at = memmem(at, in->len - (size_t)(at - in->data), text, strlen(text)))) {
		n++;
		at++;
	}
	return n;
}

static inline bool peer_has_closed(void *context)
{
	struct peer *p = context;
	peer_receive(p);
	return p->closed;
}

static inline bool peer_has_wanted(void *context)
{
	struct peer *p = context;
	peer_receive(p);
	return count_of(&p->in, p->wanted) >= p->wanted_count;
}

static inline void peer_await_close(struct peer *p) { turn_until(p->loop, peer_has_closed, p); }

/* `count` times `text` came. */
static inline void peer_await(struct peer *p, const char *text, size_t count)
{
	p->wanted = text;
	p->wanted_count = count;
	turn_until(p->loop, peer_has_wanted, p);
}

/* The status of the first answer, 0 without one. */
static inline int first_status(const struct sl_buf *in)
{
	return in->len > 12 && memcmp(in->data, "HTTP/1.1 ", 9) == 0 ? atoi(in->data + 9) : 0;
}

struct fixture {
	struct sl_loop *loop;
	struct sl_http_server *server;
	uint16_t port;
};

static inline void start(struct fixture *f, const struct sl_http_config *config)
{
	struct sl_error err = {0};
	assert_int_equal(sl_loop_new(&f->loop, &err), 0);
	assert_int_equal(sl_http_server_new(f->loop, config, &f->server, &err), 0);
	assert_int_equal(sl_http_server_listen(f->server, "127.0.0.1", 0, &f->port, &err), 0);
}

static inline void stop(struct fixture *f)
{
	sl_http_server_free(f->server);
	sl_loop_free(f->loop);
}

#endif

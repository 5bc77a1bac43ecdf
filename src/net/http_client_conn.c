/* One connection of the client: look-up, connecting, writing the request, parsing the answer. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/http_client_internal.h"
#include "net/listen.h"
#include "net/tls.h"
#include "os/sys.h"

enum { CHUNK_FRAME_BYTES = 16 };

static void on_poll(uv_poll_t *handle, int status, int events);
static void connect_next(struct client_conn *c, const struct sl_error *last);

/* ---- the end of a connection ---- */

static void conn_unref(struct client_conn *c)
{
	if (!c->closing || c->looking_up || c->has_poll)
		return;
	struct sl_http_client *client = c->client;
	sl_free(c);
	client_unref(client);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct client_conn *c = handle->data;
	c->has_poll = false;
	if (c->closing)
		conn_unref(c);
	else
		connect_next(c, NULL); /* the next address */
}

static void close_socket(struct client_conn *c)
{
	struct sl_wire wire = c->wire;
	c->wire = (struct sl_wire){.fd = -1};
	c->polled = 0;
	if (c->has_poll && !uv_is_closing((uv_handle_t *)&c->poll))
		uv_close((uv_handle_t *)&c->poll, on_poll_closed);
	sl_wire_close(&wire);
}

void client_conn_close(struct client_conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	struct client_conn **at = &c->host->conns;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->host->conn_count--;
	if (c->exchange)
		c->exchange->conn = NULL;
	c->exchange = NULL;
	if (c->looking_up)
		uv_cancel((uv_req_t *)&c->lookup);
	struct host *host = c->host;
	struct sl_http_client *client = c->client;
	client->refs++; /* the host is the client's */
	close_socket(c);
	conn_unref(c);
	if (!client->freed)
		host_serve(host);
	client_unref(client);
}

static void fail(struct client_conn *c, const struct sl_error *err)
{
	struct sl_http_exchange *x = c->exchange;
	client_conn_close(c);
	if (x)
		exchange_end(x, err);
}

/* The server closed or broke the connection. A kept one may have been closed before it saw the request. */
static void fail_broken(struct client_conn *c)
{
	struct sl_http_exchange *x = c->exchange;
	struct sl_error err;
	const char *problem = c->wire.ssl ? sl_tls_problem(&c->wire) : NULL;
	bool again = x && c->used && !c->answer_begun && !x->source;
	if (problem)
		sl_fail_at(&err, SL_E_DENIED, c->host->name, "TLS: %s", problem);
	else
		sl_fail_at(&err, SL_E_IO, c->host->name, "the connection ended before the answer was complete");
	if (!again) {
		fail(c, &err);
		return;
	}
	client_conn_close(c);
	x->only_fresh = true;
	exchange_retry(x);
}

/* ---- the answer ---- */

static int stop_parser(int rc) { return rc ? HPE_USER : 0; }

static int add_part(struct client_conn *c, const char *at, size_t len)
{
	struct sl_http_exchange *x = c->exchange;
	if (x->answer.headers) /* trailers */
		return 0;
	sl_buf_add(&x->head, at, len);
	return stop_parser(sl_buf_check(&x->head, "the answer's head", &c->error));
}

static int on_part(llhttp_t *parser, const char *at, size_t len) { return add_part(parser->data, at, len); }

static int on_part_complete(llhttp_t *parser)
{
	struct client_conn *c = parser->data;
	c->exchange->head_parts += !c->exchange->answer.headers;
	return add_part(c, "", 1);
}

static int build_headers(struct client_conn *c)
{
	struct sl_http_exchange *x = c->exchange;
	size_t count = x->head_parts / 2;
	struct sl_http_header *headers = sl_arena_array(x->arena, count + 1, sizeof *headers);
	if (!headers)
		return stop_parser(sl_fail_memory(&c->error));
	char *at = x->head.data;
	for (size_t i = 0; i < count; i++) {
		headers[i].name = at;
		for (; *at; at++)
			if (*at >= 'A' && *at <= 'Z')
				*at += 'a' - 'A';
		headers[i].value = ++at;
		at += strlen(at);
		for (char *end = at; end > headers[i].value && (end[-1] == ' ' || end[-1] == '\t');)
			*--end = 0;
		at++;
	}
	x->answer.headers = headers;
	x->answer.header_count = count;
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct client_conn *c = parser->data;
	struct sl_http_exchange *x = c->exchange;
	x->answer.status = parser->status_code;
	parser->upgrade = 0;
	if (parser->status_code == 101)
		return stop_parser(sl_fail_at(&c->error, SL_E_INVALID, x->url.authority,
			"the server changed the protocol unasked"));
	if (build_headers(c))
		return HPE_USER;
	return x->method == SL_HTTP_HEAD;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct client_conn *c = parser->data;
	struct sl_http_exchange *x = c->exchange;
	if (x->sink)
		return stop_parser(x->sink(x->context, at, len, &c->error));
	sl_buf_add(&x->body, at, len);
	return stop_parser(sl_buf_check(&x->body, "the answer", &c->error));
}

static int on_message_complete(llhttp_t *parser)
{
	struct client_conn *c = parser->data;
	struct sl_http_exchange *x = c->exchange;
	if (parser->status_code >= 200) {
		c->answer_complete = true;
		return HPE_PAUSED;
	}
	/* 100 Continue and its like: the answer is still to come. */
	sl_buf_clear(&x->head);
	x->head_parts = 0;
	x->answer = (struct sl_http_answer){0};
	return 0;
}

static const llhttp_settings_t answer_settings = {
	.on_header_field = on_part, .on_header_field_complete = on_part_complete, .on_header_value = on_part,
	.on_header_value_complete = on_part_complete, .on_headers_complete = on_headers_complete, .on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* `clean`: nothing came behind the answer. */
static void answer_complete(struct client_conn *c, bool clean)
{
	struct sl_http_exchange *x = c->exchange;
	bool stays = clean && x->source_done && c->written == x->request.len && llhttp_should_keep_alive(&c->parser);
	if (!stays) {
		client_conn_close(c);
		exchange_end(x, NULL);
		return;
	}
	c->exchange = NULL;
	x->conn = NULL;
	c->used = true;
	c->idle_until_ms = sl_loop_now_ms(c->client->loop) + c->client->config.idle_timeout_ms;
	host_serve(c->host);
	exchange_end(x, NULL);
}

static void fail_parse(struct client_conn *c, enum llhttp_errno error)
{
	if (c->error.code) {
		struct sl_error err = c->error;
		fail(c, &err);
		return;
	}
	struct sl_error err;
	const char *reason = llhttp_get_error_reason(&c->parser);
	sl_fail_at(&err, SL_E_INVALID, c->host->name, "malformed answer: %s",
		reason && *reason ? reason : llhttp_errno_name(error));
	fail(c, &err);
}

/* False: the connection is closed, or has nothing more to do with its call. */
static bool parse(struct client_conn *c, const char *data, size_t len)
{
	c->answer_begun = true;
	exchange_progress(c->exchange);
	enum llhttp_errno error = llhttp_execute(&c->parser, data, len);
	if (c->answer_complete) {
		const char *end = llhttp_get_error_pos(&c->parser);
		answer_complete(c, error == HPE_PAUSED && end == data + len);
		return false;
	}
	if (error == HPE_OK)
		return true;
	fail_parse(c, error);
	return false;
}

static void server_closed(struct client_conn *c)
{
	/* An answer without a length ends here. */
	if (c->exchange && c->answer_begun && llhttp_finish(&c->parser) != HPE_OK && !c->answer_complete) {
		fail_broken(c);
		return;
	}
	if (c->exchange && c->answer_complete) {
		answer_complete(c, false);
		return;
	}
	fail_broken(c);
}

/* ---- writing ---- */

/* The next piece of a body that has a source, framed, into the request's buffer. */
static int fill_from_source(struct sl_http_exchange *x, struct sl_error *err)
{
	struct sl_buf *out = &x->request;
	char piece[SOURCE_PIECE_BYTES];
	size_t len = 0;
	bool chunked = x->source_left < 0;
	int rc = x->source(x->context, piece, sizeof piece, &len, err);
	if (rc)
		return rc;
	assert(len <= sizeof piece);
	if (!chunked && (len > (uint64_t)x->source_left || (!len && x->source_left)))
		return sl_fail(err, SL_E_BUG, "the request's body is not as long as announced");
	sl_buf_clear(out);
	if (chunked)
		sl_buf_printf(out, "%zx\r\n", len);
	sl_buf_add(out, piece, len);
	if (chunked)
		sl_buf_str(out, "\r\n");
	if (!chunked)
		x->source_left -= (int64_t)len;
	x->source_done = chunked ? !len : !x->source_left;
	return sl_buf_check(out, "the request", err);
}

/* False: the call has ended. */
static bool write_request(struct client_conn *c)
{
	struct sl_http_exchange *x = c->exchange;
	while (c->written < x->request.len || !x->source_done) {
		if (c->written == x->request.len) {
			struct sl_error err;
			c->written = 0;
			if (fill_from_source(x, &err)) {
				fail(c, &err);
				return false;
			}
		}
		struct iovec iov = {x->request.data + c->written, x->request.len - c->written};
		if (!iov.iov_len)
			continue;
		ssize_t n = sl_wire_writev(&c->wire, &iov, 1);
		if (n == SL_WIRE_AGAIN)
			return true;
		if (n == SL_WIRE_BROKEN) {
			/* The server may have answered before it stopped reading: let the read decide. */
			x->source_done = true;
			c->written = x->request.len;
			return true;
		}
		c->written += (size_t)n;
		exchange_progress(x);
	}
	return true;
}

/* ---- events ---- */

static void update(struct client_conn *c)
{
	struct sl_http_exchange *x = c->exchange;
	bool writing = !c->connected || (x && (c->written < x->request.len || !x->source_done) && !c->wire.write_wants_read);
	int mask = (c->connected ? UV_READABLE : 0) | (writing || c->wire.read_wants_write ? UV_WRITABLE : 0);
	if (mask != c->polled && uv_poll_start(&c->poll, mask, on_poll) == 0)
		c->polled = mask;
}

static void read_answer(struct client_conn *c)
{
	for (int i = 0; i < 16; i++) {
		ssize_t n = sl_wire_read(&c->wire, c->client->scratch, CLIENT_READ_BYTES);
		if (n == SL_WIRE_AGAIN)
			break;
		if (n == SL_WIRE_BROKEN || n == 0) {
			if (n == 0)
				server_closed(c);
			else
				fail_broken(c);
			return;
		}
		if (!c->exchange) { /* nothing was asked */
			client_conn_close(c);
			return;
		}
		if (!parse(c, c->client->scratch, (size_t)n)) {
			if (!c->closing)
				update(c);
			return;
		}
		if (n < CLIENT_READ_BYTES && !c->wire.ssl)
			break;
	}
	update(c);
}

static bool socket_has_failed(struct client_conn *c, struct sl_error *err)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(c->wire.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error)
		return false;
	sl_fail_errno(err, error, c->host->name, "cannot connect");
	return true;
}

static void on_connected(struct client_conn *c)
{
	struct sl_error err;
	if (socket_has_failed(c, &err)) {
		connect_next(c, &err);
		return;
	}
	c->connected = true;
	if (c->host->tls && sl_tls_connect(c->client->config.tls, &c->wire, c->host->name, &err)) {
		fail(c, &err);
		return;
	}
	exchange_progress(c->exchange);
	if (write_request(c))
		update(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct client_conn *c = handle->data;
	if (c->closing)
		return;
	if (!c->connected) {
		on_connected(c);
		return;
	}
	if (status)
		events |= UV_READABLE; /* the read finds the error */
	if (c->exchange && ((events & UV_WRITABLE) || c->wire.write_wants_read) && !write_request(c))
		return;
	if ((events & UV_READABLE) || c->wire.read_wants_write)
		read_answer(c);
	else
		update(c);
}

/* ---- opening ---- */

static bool may_connect(struct client_conn *c, const union address *a, struct sl_error *err)
{
	const struct sl_http_client_config *config = &c->client->config;
	char text[INET6_ADDRSTRLEN] = "";
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof text);
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof text);
	if (!config->allow_address || config->allow_address(config->context, text, c->host->port))
		return true;
	sl_fail_at(err, SL_E_DENIED, c->host->name, "connecting to %s is not allowed", text);
	return false;
}

static int watch(struct client_conn *c, struct sl_error *err)
{
	int rc = uv_poll_init(&c->client->loop->uv, &c->poll, c->wire.fd);
	if (rc)
		return sl_fail_uv(err, rc, "cannot watch the socket");
	c->poll.data = c;
	c->has_poll = true;
	update(c);
	return 0;
}

/* 0: under way. */
static int try_address(struct client_conn *c, const union address *a, struct sl_error *err)
{
	if (!may_connect(c, a, err))
		return SL_E_DENIED;
	c->wire.fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->wire.fd < 0)
		return sl_fail_errno(err, errno, c->host->name, "cannot make a socket");
	int one = 1;
	setsockopt(c->wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	socklen_t len = a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
	if (connect(c->wire.fd, &a->any, len) && errno != EINPROGRESS)
		return sl_fail_errno(err, errno, c->host->name, "cannot connect");
	return watch(c, err);
}

/* Tries the addresses in turn; fails with the last one's error. */
static void connect_next(struct client_conn *c, const struct sl_error *last)
{
	if (last)
		c->error = *last;
	while (!c->has_poll) {
		if (c->wire.fd >= 0)
			close_socket(c);
		if (c->address_next == c->address_count) {
			struct sl_error err = c->error;
			fail(c, &err);
			return;
		}
		if (try_address(c, &c->addresses[c->address_next++], &c->error) == 0) {
			c->error = (struct sl_error){0};
			return;
		}
	}
	close_socket(c); /* goes on when the handle is closed */
}

static void set_port(union address *a, uint16_t port)
{
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else
		a->v6.sin6_port = htons(port);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct client_conn *c = request->data;
	c->looking_up = false;
	for (struct addrinfo *a = found; a && c->address_count < ADDRESSES_MAX; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		union address *to = &c->addresses[c->address_count++];
		memcpy(to, a->ai_addr, a->ai_addrlen);
		set_port(to, c->host->port);
	}
	uv_freeaddrinfo(found);
	if (c->closing) {
		conn_unref(c);
		return;
	}
	struct sl_error err;
	sl_fail_at(&err, SL_E_NOT_FOUND, c->host->name, "no such host: %s", status ? uv_strerror(status) : "it has no address");
	connect_next(c, &err);
}

static int look_up(struct client_conn *c, struct sl_error *err)
{
	union address *a = &c->addresses[0];
	bool v4 = inet_pton(AF_INET, c->host->name, &a->v4.sin_addr) == 1;
	if (v4 || inet_pton(AF_INET6, c->host->name, &a->v6.sin6_addr) == 1) {
		a->any.sa_family = v4 ? AF_INET : AF_INET6;
		set_port(a, c->host->port);
		c->address_count = 1;
		connect_next(c, NULL);
		return 0;
	}
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	c->lookup.data = c;
	int rc = uv_getaddrinfo(&c->client->loop->uv, &c->lookup, on_looked_up, c->host->name, NULL, &hints);
	if (rc)
		return sl_fail_uv(err, rc, "cannot look up the host");
	c->looking_up = true;
	return 0;
}

static int connect_local(struct client_conn *c, struct sl_error *err)
{
	int rc = sl_net_connect_unix(c->host->name, SOCK_STREAM, &c->wire.fd, err);
	return rc ? rc : watch(c, err);
}

static void attach(struct client_conn *c, struct sl_http_exchange *x)
{
	c->exchange = x;
	x->conn = c;
	c->written = 0;
	c->answer_begun = c->answer_complete = false;
	c->error = (struct sl_error){0};
	llhttp_init(&c->parser, HTTP_RESPONSE, &answer_settings);
	c->parser.data = c;
}

int client_conn_open(struct host *host, struct sl_http_exchange *x, struct sl_error *err)
{
	struct client_conn *c = sl_alloc(sizeof *c, err);
	if (!c)
		return SL_E_NO_MEMORY;
	c->client = x->client;
	c->client->refs++;
	c->host = host;
	c->wire.fd = -1;
	c->next = host->conns;
	host->conns = c;
	host->conn_count++;
	attach(c, x);
	struct sl_error reason;
	if (host->local ? connect_local(c, &reason) : look_up(c, &reason))
		fail(c, &reason);
	return 0;
}

void client_conn_use(struct client_conn *c, struct sl_http_exchange *x)
{
	attach(c, x);
	exchange_progress(x);
	if (write_request(c))
		update(c);
}

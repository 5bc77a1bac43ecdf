/* The client against our own server, and against raw servers that misbehave. */
#include "http_testing.h"

#include <netinet/tcp.h>
#include <pthread.h>

#include "net/http_client.h"
#include "net/http_url.h"
#include "os/file.h"

struct result {
	int calls, status, code;
	char body[4096], header[128], message[1024];
	size_t body_len;
};

static void on_done(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct result *r = context;
	r->calls++;
	if (err) {
		r->code = err->code;
		snprintf(r->message, sizeof r->message, "%s", err->message);
		return;
	}
	const char *header = sl_http_find_header(answer->headers, answer->header_count, "x-echo");
	r->status = answer->status;
	r->body_len = answer->body_len;
	snprintf(r->body, sizeof r->body, "%s", answer->body);
	snprintf(r->header, sizeof r->header, "%s", header ? header : "");
}

static bool is_done(void *context) { return ((struct result *)context)->calls > 0; }

static struct sl_http_request *held;

static void serve(void *context, struct sl_http_request *request)
{
	(void)context;
	if (strcmp(request->path, "/hold") == 0) {
		held = request;
		return;
	}
	const char *echo = sl_http_request_header(request, "x-echo");
	struct sl_http_header header = {"X-Echo", echo ? echo : "none"};
	char *text = sl_arena_printf(request->arena, "%s %s ?%s #%zu %.20s", sl_http_method_name(request->method), request->path,
		request->query, request->body_len, request->body);
	struct sl_http_response response = {
		.status = strcmp(request->path, "/missing") == 0 ? 404 : 200, .headers = &header, .header_count = 1, .body = text,
		.body_len = strlen(text), .close = strcmp(request->path, "/close") == 0,
	};
	sl_http_respond(request, &response);
}

struct both {
	struct fixture f;
	struct sl_http_client *client;
	char url[256];
};

static int setup(void **state)
{
	struct both *b = calloc(1, sizeof *b);
	struct sl_http_config server = {.handler = {.request = serve}};
	struct sl_http_client_config client = {.timeout_ms = 200, .connections_per_host = 2};
	struct sl_error err;
	start(&b->f, &server);
	assert_int_equal(sl_http_client_new(b->f.loop, &client, &b->client, &err), 0);
	held = NULL;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;
	sl_http_client_free(b->client);
	stop(&b->f);
	free(b);
	return 0;
}

static void call(struct both *b, enum sl_http_method method, const char *target, const char *body, struct result *r)
{
	struct sl_http_header header = {"X-Echo", "hello"};
	struct sl_error err;
	snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u%s", b->f.port, target);
	*r = (struct result){0};
	struct sl_http_call c = {.method = method, .url = b->url, .headers = &header, .header_count = 1, .body = body,
		.body_len = body ? strlen(body) : 0, .done = on_done, .context = r};
	assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), 0);
	assert_int_equal(r->calls, 0);
}

static void calls_share_a_connection(void **state)
{
	struct both *b = *state;
	struct result r;
	call(b, SL_HTTP_GET, "/a?b=c#d", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "GET /a ?b=c #0 ");
	assert_string_equal(r.header, "hello");
	call(b, SL_HTTP_POST, "/b", "body", &r);
	turn_until(b->f.loop, is_done, &r);
	assert_string_equal(r.body, "POST /b ? #4 body");
	call(b, SL_HTTP_HEAD, "/c", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_len, 0);
	call(b, SL_HTTP_DELETE, "/missing", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.status, 404);
	struct sl_http_stats stats;
	sl_http_server_stats(b->f.server, &stats);
	assert_int_equal(stats.connections_accepted, 1);
	call(b, SL_HTTP_GET, "/close", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	call(b, SL_HTTP_GET, "/d", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.status, 200);
	sl_http_server_stats(b->f.server, &stats);
	assert_int_equal(stats.connections_accepted, 2);
}

static void many_calls_wait_their_turn(void **state)
{
	struct both *b = *state;
	struct result r[50];
	for (int i = 0; i < 50; i++)
		call(b, SL_HTTP_GET, "/x", NULL, &r[i]);
	for (int i = 0; i < 50; i++) {
		turn_until(b->f.loop, is_done, &r[i]);
		assert_int_equal(r[i].status, 200);
		assert_int_equal(r[i].calls, 1);
	}
	struct sl_http_stats stats;
	sl_http_server_stats(b->f.server, &stats);
	assert_int_equal(stats.connections_accepted, 2);
}

static void a_silent_server_is_given_up(void **state)
{
	struct both *b = *state;
	struct result r;
	call(b, SL_HTTP_GET, "/hold", NULL, &r);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.code, SL_E_TIMEOUT);
	struct sl_error err;
	sl_fail(&err, SL_E_CANCELLED, "nobody waits");
	sl_http_respond_error(held, 0, &err);
}

static void a_call_can_be_cancelled_anywhere(void **state)
{
	struct both *b = *state;
	struct result r;
	struct sl_error err;
	for (int turns = 0; turns < 6; turns++) {
		struct sl_http_exchange *x;
		snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u/hold", b->f.port);
		r = (struct result){0};
		held = NULL;
		struct sl_http_call c = {.url = b->url, .done = on_done, .context = &r};
		assert_int_equal(sl_http_client_start(b->client, &c, &x, &err), 0);
		for (int i = 0; i < turns; i++)
			sl_loop_run_once(b->f.loop, false);
		sl_http_exchange_cancel(x);
		assert_int_equal(r.calls, 1);
		assert_int_equal(r.code, SL_E_CANCELLED);
		for (int i = 0; i < 20; i++)
			sl_loop_run_once(b->f.loop, false);
		if (held)
			sl_http_respond_error(held, 500, &err);
	}
	call(b, SL_HTTP_GET, "/hold", NULL, &r);
	sl_http_client_free(b->client);
	b->client = NULL;
	assert_int_equal(r.code, SL_E_CANCELLED);
}

static void nobody_there(void **state)
{
	struct both *b = *state;
	struct result r;
	struct sl_error err;
	uint16_t port;
	int fd;
	assert_int_equal(sl_net_listen("127.0.0.1", 0, &fd, &port, &err), 0);
	close(fd);
	snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u/", port);
	r = (struct result){0};
	struct sl_http_call c = {.url = b->url, .done = on_done, .context = &r};
	assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), 0);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.code, SL_E_IO);
	assert_non_null(strstr(r.message, "cannot connect"));
	c.url = "https://127.0.0.1/";
	assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), SL_E_INVALID);
}

static bool refuse_all(void *context, const char *address, uint16_t port)
{
	(void)port;
	snprintf(context, 64, "%s", address);
	return false;
}

static void addresses_can_be_forbidden(void **state)
{
	struct both *b = *state;
	char seen[64] = "";
	struct sl_http_client_config config = {.allow_address = refuse_all, .context = seen};
	struct sl_http_client *client;
	struct sl_error err;
	assert_int_equal(sl_http_client_new(b->f.loop, &config, &client, &err), 0);
	struct result r = {0};
	snprintf(b->url, sizeof b->url, "http://localhost:%u/", b->f.port);
	struct sl_http_call c = {.url = b->url, .done = on_done, .context = &r};
	assert_int_equal(sl_http_client_start(client, &c, NULL, &err), 0);
	turn_until(b->f.loop, is_done, &r);
	assert_int_equal(r.code, SL_E_DENIED);
	assert_true(strcmp(seen, "127.0.0.1") == 0 || strcmp(seen, "::1") == 0);
	sl_http_client_free(client);
}

struct stream {
	struct result result;
	uint64_t left, got;
};

static int source(void *context, char *out, size_t room, size_t *ret_len, struct sl_error *err)
{
	struct stream *s = context;
	(void)err;
	*ret_len = s->left < room ? (size_t)s->left : room;
	memset(out, 's', *ret_len);
	s->left -= *ret_len;
	return 0;
}

static void stream_done(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	on_done(&((struct stream *)context)->result, answer, err);
}

static bool stream_is_done(void *context) { return ((struct stream *)context)->result.calls > 0; }

static void bodies_stream_up(void **state)
{
	struct both *b = *state;
	struct sl_error err;
	for (int announced = 0; announced < 2; announced++) {
		struct stream s = {.left = 5000000};
		snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u/up", b->f.port);
		struct sl_http_call c = {.method = SL_HTTP_PUT, .url = b->url, .source = source,
			.source_length = announced ? 5000000 : -1,
			.done = stream_done, .context = &s};
		assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), 0);
		turn_until(b->f.loop, stream_is_done, &s);
		assert_string_equal(s.result.body, "PUT /up ? #5000000 ssssssssssssssssssss");
	}
}

/* ---- servers that misbehave: one thread, a script of what to answer ---- */

struct script {
	int fd, connections;
	bool bytewise; /* one send per byte */
	const char *const *answers; /* one per connection; NULL ends it */
	uint16_t port;
	pthread_t thread;
};

static void *run_script(void *context)
{
	struct script *s = context;
	for (; s->answers[s->connections]; s->connections++) {
		int fd = accept(s->fd, NULL, NULL);
		char request[4096];
		ssize_t n = recv(fd, request, sizeof request, 0);
		(void)n;
		const char *answer = s->answers[s->connections];
		size_t piece = s->bytewise ? 1 : strlen(answer), len = strlen(answer);
		for (size_t at = 0; at < len; at += piece)
			send(fd, answer + at, piece, MSG_NOSIGNAL);
		if (strstr(answer, "keep")) /* waits for a second request, then hangs up on it */
			n = recv(fd, request, sizeof request, 0);
		close(fd);
	}
	return NULL;
}

static void start_script(struct script *s, const char *const *answers, bool bytewise)
{
	struct sl_error err;
	int one = 1;
	*s = (struct script){.answers = answers, .bytewise = bytewise};
	assert_int_equal(sl_net_listen("127.0.0.1", 0, &s->fd, &s->port, &err), 0);
	fcntl(s->fd, F_SETFL, 0);
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted connections inherit it */
	pthread_create(&s->thread, NULL, run_script, s);
}

static void end_script(struct script *s)
{
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static int fetch(uint16_t port, const struct sl_http_client_config *config, struct sl_buf *headers, struct sl_buf *body,
	int *ret_status, struct sl_error *err)
{
	char url[64];
	snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
	struct sl_http_call c = {.url = url};
	return sl_http_fetch(config, &c, ret_status, headers, body, err);
}

static void broken_answers_are_errors(void **state)
{
	(void)state;
	static const struct { const char *answer; int code; const char *body; } rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0, "hello"},
		{"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello", 0, "hello"},
		{"HTTP/1.1 200 OK\r\n\r\nuntil the end", 0, "until the end"},
		{"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, "ok"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n", 0, "abc"},
		{"HTTP/1.1 204 No Content\r\n\r\n", 0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", SL_E_IO, ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", SL_E_IO, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", SL_E_INVALID, ""},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", SL_E_INVALID, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n0123456789", SL_E_IO, ""},
		{"", SL_E_IO, ""},
		{"garbage", SL_E_INVALID, ""},
		{"SSH-2.0-OpenSSH\r\n", SL_E_INVALID, ""},
	};
	const char *answers[SL_ARRAY_LEN(rows) + 1] = {0};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
		answers[i] = rows[i].answer;
	struct script s;
	struct sl_http_client_config config = {.body_bytes = 1000};
	for (size_t k = 0; k < 2 * SL_ARRAY_LEN(rows); k++) {
		size_t i = k % SL_ARRAY_LEN(rows);
		if (i == 0)
			start_script(&s, answers, k > 0);
		struct sl_buf body = SL_BUF_INIT(10000), headers = SL_BUF_INIT(10000);
		struct sl_error err = {0};
		int status = 0, rc = fetch(s.port, &config, &headers, &body, &status, &err);
		if (rc != rows[i].code || strcmp(sl_buf_cstr(&body), rows[i].body) != 0)
			fail_msg("row %zu: got %d (%s), '%s'", i, rc, err.message, sl_buf_cstr(&body));
		sl_buf_done(&body);
		sl_buf_done(&headers);
		if (i == SL_ARRAY_LEN(rows) - 1)
			end_script(&s);
	}
}

static void answers_are_limited(void **state)
{
	(void)state;
	char large[3000], head[4000], many[4000];
	memset(large, 'b', sizeof large - 1);
	large[sizeof large - 1] = 0;
	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", large);
	snprintf(many, sizeof many, "HTTP/1.1 200 OK\r\n\r\n%s", large);
	const char *const answers[] = {head, many, NULL};
	struct script s;
	struct sl_http_client_config config = {.body_bytes = 1000, .header_bytes = 1000};
	start_script(&s, answers, false);
	for (int i = 0; i < 2; i++) {
		struct sl_error err = {0};
		int status;
		assert_int_equal(fetch(s.port, &config, NULL, NULL, &status, &err), SL_E_TOO_LARGE);
	}
	end_script(&s);
}

static void *failing_realloc(void *context, void *old, size_t size_bytes)
{
	int *left = context;
	return (*left)-- == 0 ? NULL : realloc(old, size_bytes);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	enum { CONNECTIONS = 100 };
	const char *answers[CONNECTIONS + 1] = {0};
	for (int i = 0; i < CONNECTIONS; i++)
		answers[i] = "HTTP/1.1 200 OK\r\nX-Echo: y\r\nContent-Length: 5\r\n\r\nhello";
	struct script s;
	struct sl_http_client_config config = {0};
	start_script(&s, answers, false);
	int left = -1;
	for (int nth = 0; left < 0; nth++) {
		struct sl_buf body = SL_BUF_INIT(1000), headers = SL_BUF_INIT(1000);
		struct sl_error err = {0};
		int status = 0;
		left = nth;
		sl_allocator_set((struct sl_allocator){.realloc = failing_realloc, .context = &left});
		int rc = fetch(s.port, &config, &headers, &body, &status, &err);
		sl_allocator_set((struct sl_allocator){0});
		assert_int_equal(rc, left < 0 ? SL_E_NO_MEMORY : 0);
		assert_true(rc || (status == 200 && body.len == 5));
		assert_true(nth < CONNECTIONS);
		sl_buf_done(&body);
		sl_buf_done(&headers);
	}
	for (int i = 0; i < CONNECTIONS; i++) /* for those that failed before they connected */
		close(connect_to(s.port));
	end_script(&s);
}

/* A kept connection that the server closes on the next request: tried once more, on a new one. */
static void a_stale_connection_is_tried_anew(void **state)
{
	struct both *b = *state;
	static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeep",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew",
		NULL};
	struct script s;
	struct sl_error err;
	start_script(&s, answers, false);
	for (int i = 0; i < 2; i++) {
		struct result r = {0};
		snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u/", s.port);
		struct sl_http_call c = {.url = b->url, .done = on_done, .context = &r};
		assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), 0);
		turn_until(b->f.loop, is_done, &r);
		assert_int_equal(r.code, 0);
		assert_string_equal(r.body, i ? "new" : "keep");
	}
	end_script(&s);
}

static void urls(void **state)
{
	(void)state;
	struct sl_url u;
	struct sl_error err;
	static const struct { const char *text, *host; unsigned port; const char *target; } good[] = {
		{"http://h", "h", 80, "/"}, {"https://h/", "h", 443, "/"}, {"HTTP://h:8080?q", "h", 8080, "/?q"},
		{"http://[::1]:9/x", "::1", 9, "/x"},
		{"http://h/a?b#c", "h", 80, "/a?b"}, {"unix:/run/x.sock:/a", "/run/x.sock", 0, "/a"},
		{"unix:/run/x.sock", "/run/x.sock", 0, "/"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(good); i++) {
		assert_int_equal(sl_url_parse(good[i].text, &u, &err), 0);
		assert_string_equal(u.host, good[i].host);
		assert_string_equal(u.target, good[i].target);
		assert_int_equal(u.port, good[i].port);
	}
	static const char *const bad[] = {"", "h", "ftp://h", "http://", "http:///x", "http://h:0", "http://h:65536",
		"http://h:x", "http://h:", "http://a@h/",
		"http://[::1", "http://[::1]x", "http://h/a b", "http://h/\r\nX: y", "http://h\n", "http://\xc3\xa4/",
		"unix:rel:/x"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
		if (sl_url_parse(bad[i], &u, &err) != SL_E_INVALID)
			fail_msg("'%s' was taken", bad[i]);
}

static void unix_sockets_work_too(void **state)
{
	struct both *b = *state;
	struct sl_error err;
	char dir[] = "/tmp/sl-client-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	assert_int_equal(sl_http_server_listen_unix(b->f.server, path, &err), 0);
	struct result r = {0};
	snprintf(b->url, sizeof b->url, "unix:%s:/over/unix", path);
	struct sl_http_call c = {.url = b->url, .done = on_done, .context = &r};
	assert_int_equal(sl_http_client_start(b->client, &c, NULL, &err), 0);
	turn_until(b->f.loop, is_done, &r);
	assert_string_equal(r.body, "GET /over/unix ? #0 ");
	/* A second server may not take the place of a living one; of a dead one it may. */
	assert_int_equal(sl_http_server_listen_unix(b->f.server, path, &err), SL_E_BUSY);
	sl_http_server_free(b->f.server);
	struct sl_file_info info;
	assert_int_equal(sl_file_info(path, &info, &err), SL_E_NOT_FOUND);
	struct sl_http_config config = {.handler = {.request = serve}};
	assert_int_equal(sl_http_server_new(b->f.loop, &config, &b->f.server, &err), 0);
	assert_int_equal(sl_http_server_listen_unix(b->f.server, path, &err), 0);
	sl_http_server_free(b->f.server);
	b->f.server = NULL;
	assert_int_equal(sl_dir_remove(dir, &err), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_share_a_connection), TEST(many_calls_wait_their_turn), TEST(a_silent_server_is_given_up),
		TEST(a_call_can_be_cancelled_anywhere), TEST(nobody_there), TEST(addresses_can_be_forbidden),
		TEST(bodies_stream_up),
		cmocka_unit_test(broken_answers_are_errors), cmocka_unit_test(answers_are_limited),
		TEST(a_stale_connection_is_tried_anew), cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(urls), TEST(unix_sockets_work_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the server does for clients that behave: keep-alive, pipelining, bodies and answers in every shape, waiting, leaving. */
#include "http_testing.h"

#include <sys/stat.h>

#include "base/hash.h"
#include "os/file.h"

enum { PIECE = 10000 };

struct room {
	struct sl_http_request *held[8]; /* requests to be answered later, in the order of their paths /hold0 ... */
	int held_count, gone, flushes, requests, ended;
	uint64_t streamed;
	struct sl_sha256 *sha;
	struct sl_http_request *paused, *streaming;
	int released;
	uint64_t to_write; /* of a generated answer */
	char pattern[PIECE];
	char path[64]; /* of a temporary file */
};

static void respond_text(struct sl_http_request *request, const char *text)
{
	struct sl_http_response response = {.status = 200, .content_type = "text/plain", .body = text, .body_len = strlen(text)};
	sl_http_respond(request, &response);
}

static void count_gone(void *context, struct sl_http_request *request)
{
	(void)request;
	((struct room *)context)->gone++;
}

static void count_release(void *context) { ((struct room *)context)->released++; }

/* Writes until told to wait, or all of it. */
static void generate(void *context, struct sl_http_request *request)
{
	struct room *room = context;
	while (room->to_write) {
		size_t n = room->to_write < PIECE ? (size_t)room->to_write : PIECE;
		int rc = sl_http_stream_write(request, room->pattern, n);
		assert_true(rc >= 0);
		room->to_write -= n;
		if (rc == SL_HTTP_WAIT)
			return;
	}
	sl_http_stream_end(request);
}

static void start_generating(struct room *room, struct sl_http_request *request, uint64_t size, bool announced)
{
	struct sl_http_response head = {.status = 200};
	room->to_write = size;
	sl_http_stream_start(request, &head, announced ? (int64_t)size : -1);
	sl_http_stream_on_writable(request, generate, room);
	generate(room, request);
}

static void describe(struct sl_http_request *request)
{
	char *text = sl_arena_printf(request->arena, "%s %s ?%s #%zu %.*s", sl_http_method_name(request->method), request->path,
		request->query, request->body_len, request->body_len < 100 ? (int)request->body_len : 0, request->body);
	struct sl_http_response response = {.status = 200, .body = text, .body_len = strlen(text),
		.release = sl_http_borrow_arena};
	sl_http_respond(request, &response);
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct room *room = context;
	room->requests++;
	if (strncmp(request->path, "/hold", 5) == 0) {
		room->held[room->held_count++] = request;
		sl_http_request_on_gone(request, count_gone, room);
	} else if (strcmp(request->path, "/chunks") == 0) {
		start_generating(room, request, 3 << 20, false);
	} else if (strcmp(request->path, "/length") == 0) {
		start_generating(room, request, 3 << 20, true);
	} else if (strcmp(request->path, "/short") == 0) {
		struct sl_http_response head = {.status = 200};
		sl_http_stream_start(request, &head, 100);
		assert_int_equal(sl_http_stream_write(request, "only this", 9), 0);
		assert_int_equal(sl_http_stream_write(request, room->pattern, 200), SL_E_TOO_LARGE);
		sl_http_stream_end(request);
	} else if (strcmp(request->path, "/file") == 0) {
		struct sl_http_response head = {.status = 200};
		int fd = open(room->path, O_RDONLY | O_CLOEXEC);
		sl_http_respond_file(request, &head, fd, 10, strcmp(request->query, "long") == 0 ? 1 << 24 : (4 << 20) - 10);
	} else if (strcmp(request->path, "/borrowed") == 0) {
		struct sl_http_response response = {.status = 200, .body = room->pattern, .body_len = PIECE,
			.release = count_release,
			.release_context = room};
		sl_http_respond(request, &response);
	} else if (strcmp(request->path, "/empty") == 0) {
		struct sl_http_response response = {.status = 204};
		sl_http_respond(request, &response);
	} else if (strcmp(request->path, "/split") == 0) {
		struct sl_http_header header = {"X-Name", "a\r\nSet-Cookie: evil=1"};
		struct sl_http_response response = {.status = 200, .headers = &header, .header_count = 1};
		sl_http_respond(request, &response);
	} else if (strcmp(request->path, "/busy") == 0) {
		struct sl_error err;
		sl_fail(&err, SL_E_BUSY, "the \"queue\" is full");
		sl_error_hint(&err, "try later");
		sl_http_respond_error(request, 0, &err);
	} else {
		describe(request);
	}
}

static void on_piece(void *context, struct sl_http_request *request, const char *data, size_t len)
{
	struct room *room = context;
	if (!len) {
		room->ended++;
		respond_text(request, "streamed");
		return;
	}
	room->streamed += len;
	if (room->sha)
		sl_sha256_add(room->sha, data, len);
	if (strcmp(request->query, "pause") == 0 && !room->paused) {
		room->paused = request;
		sl_http_request_pause(request);
	}
}

static void on_head(void *context, struct sl_http_request *request)
{
	struct room *room = context;
	if (strcmp(request->path, "/stream") == 0) {
		room->streaming = request;
		sl_http_request_body_limit(request, 1 << 30);
		sl_http_request_body_stream(request, on_piece, room);
		sl_http_request_on_gone(request, count_gone, room);
	} else if (strcmp(request->path, "/small") == 0) {
		sl_http_request_body_limit(request, 10);
	} else if (strcmp(request->path, "/early") == 0) {
		respond_text(request, "no need of a body");
	}
}

static void on_flush(void *context) { ((struct room *)context)->flushes++; }

struct both {
	struct fixture f;
	struct room room;
};

static struct sl_http_config config_of(struct room *room)
{
	return (struct sl_http_config){.handler = {.context = room, .head = on_head, .request = on_request,
		.before_flush = on_flush}};
}

static int setup(void **state)
{
	struct both *b = calloc(1, sizeof *b);
	for (int i = 0; i < PIECE; i++)
		b->room.pattern[i] = (char)('a' + i % 23);
	struct sl_http_config config = config_of(&b->room);
	start(&b->f, &config);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;
	stop(&b->f);
	if (b->room.path[0])
		unlink(b->room.path);
	free(b);
	return 0;
}

static char *host_line(struct both *b)
{
	static char line[64];
	snprintf(line, sizeof line, "Host: 127.0.0.1:%u\r\n", b->f.port);
	return line;
}

static void say(struct peer *p, struct both *b, const char *request_line, const char *headers, const char *body)
{
	char text[4096];
	snprintf(text, sizeof text, "%s HTTP/1.1\r\n%s%s\r\n%s", request_line, host_line(b), headers, body);
	peer_say(p, text);
}

static void answers_and_keeps_the_connection(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /a%20b/c%2Fd?x=%41", "", "");
	peer_await(&p, "GET /a b/c/d ?x=%41 #0 ", 1);
	say(&p, b, "POST /two", "Content-Length: 5\r\n", "hello");
	peer_await(&p, "POST /two ? #5 hello", 1);
	say(&p, b, "PUT /three", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n");
	peer_await(&p, "PUT /three ? #7 abcdefg", 1);
	say(&p, b, "HEAD /four", "", "");
	peer_await(&p, "HTTP/1.1 200 OK", 4);
	say(&p, b, "GET /empty", "", "");
	peer_await(&p, "HTTP/1.1 204 No Content", 1);
	assert_int_equal(count_of(&p.in, "HEAD /four"), 0);
	assert_int_equal(count_of(&p.in, "Content-Length: 16\r\n"), 1); /* of the answer to HEAD */
	assert_false(p.closed);
	say(&p, b, "GET /last", "Connection: close\r\n", "");
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "Connection: close"), 1);
	peer_close(&p);
	struct sl_http_stats stats;
	sl_http_server_stats(b->f.server, &stats);
	assert_int_equal(stats.connections_accepted, 1);
	assert_int_equal(stats.requests, 6);
	assert_int_equal(stats.refusals, 0);
}

static void answers_the_old_protocol(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	peer_say(&p, "GET /old HTTP/1.0\r\n\r\n");
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "GET /old ? #0"), 1);
	peer_close(&p);
	peer_open(&p, b->f.loop, b->f.port);
	peer_say(&p, "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_await(&p, "Connection: keep-alive", 1);
	peer_say(&p, "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_await_close(&p); /* the length is not known: the end is the end of the connection */
	assert_int_equal(count_of(&p.in, "chunked"), 0);
	assert_true(p.in.len > 3 << 20);
	peer_close(&p);
}

static void pipelined_answers_come_in_order_and_at_once(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	struct sl_buf all = SL_BUF_INIT(1 << 20);
	for (int i = 0; i < 3; i++)
		sl_buf_printf(&all, "GET /hold%d HTTP/1.1\r\n%s\r\n", i, host_line(b));
	for (int i = 0; i < 200; i++)
		sl_buf_printf(&all, "GET /n%d HTTP/1.1\r\n%s\r\n", i, host_line(b));
	peer_send(&p, all.data, all.len);
	for (int i = 0; i < 50; i++)
		sl_loop_run_once(b->f.loop, false);
	assert_int_equal(b->room.held_count, 3);
	assert_int_equal(b->room.requests, 64); /* the rest waits */
	peer_receive(&p);
	assert_int_equal(p.in.len, 0);
	respond_text(b->room.held[2], "third");
	respond_text(b->room.held[0], "first");
	peer_await(&p, "first", 1);
	assert_int_equal(count_of(&p.in, "third"), 0);
	respond_text(b->room.held[1], "second");
	peer_await(&p, "GET /n199 ", 1);
	char *last = p.in.data;
	const char *const order[] = {"first", "second", "third", "GET /n0 ", "GET /n1 ", "GET /n100 ", "GET /n199 "};
	for (size_t i = 0; i < SL_ARRAY_LEN(order); i++) {
		char *at = strstr(p.in.data, order[i]);
		assert_non_null(at);
		assert_true(at >= last);
		last = at;
	}
	assert_true(b->room.flushes < 60); /* not one write per answer */
	sl_buf_done(&all);
	peer_close(&p);
}

static void a_streamed_body_is_never_held(void **state)
{
	struct both *b = *state;
	struct peer p;
	struct sl_error err;
	enum { TIMES = 2000 };
	b->room.sha = sl_sha256_new(&err);
	struct sl_sha256 *expected = sl_sha256_new(&err);
	struct sl_hash got, want;
	peer_open(&p, b->f.loop, b->f.port);
	char length[64];
	snprintf(length, sizeof length, "Content-Length: %d\r\n", TIMES * PIECE);
	say(&p, b, "POST /stream", length, "");
	for (int i = 0; i < TIMES; i++) {
		peer_send(&p, b->room.pattern, PIECE);
		sl_sha256_add(expected, b->room.pattern, PIECE);
	}
	peer_await(&p, "streamed", 1);
	assert_int_equal(b->room.streamed, TIMES * PIECE);
	sl_sha256_end(b->room.sha, &got);
	sl_sha256_end(expected, &want);
	assert_true(sl_hash_eq(&got, &want));
	say(&p, b, "GET /after", "", "");
	peer_await(&p, "GET /after ", 1);
	sl_sha256_free(b->room.sha);
	sl_sha256_free(expected);
	peer_close(&p);
}

static bool has_paused(void *context) { return ((struct room *)context)->paused != NULL; }

static void a_paused_body_makes_the_client_wait(void **state)
{
	struct both *b = *state;
	struct peer p;
	enum { TIMES = 2000 };
	peer_open(&p, b->f.loop, b->f.port);
	char length[64];
	snprintf(length, sizeof length, "Content-Length: %d\r\n", TIMES * PIECE);
	say(&p, b, "POST /stream?pause", length, "");
	peer_send(&p, b->room.pattern, PIECE);
	turn_until(b->f.loop, has_paused, &b->room);
	size_t sent = PIECE;
	ssize_t n;
	while ((n = send(p.fd, b->room.pattern, PIECE, MSG_NOSIGNAL)) > 0) { /* until the kernel's buffers are full */
		sent += (size_t)n;
		sl_loop_run_once(b->f.loop, false);
		assert_true(sent < (size_t)TIMES * PIECE);
	}
	assert_true(b->room.streamed <= PIECE);
	sl_http_request_resume(b->room.paused);
	for (size_t left = (size_t)TIMES * PIECE - sent; left;) {
		size_t piece = left < PIECE ? left : PIECE;
		peer_send(&p, b->room.pattern, piece);
		left -= piece;
	}
	peer_await(&p, "streamed", 1);
	assert_int_equal(b->room.streamed, TIMES * PIECE);
	peer_close(&p);
}

/* The whole body came in one read with the head: resuming has to deliver its end without another byte. */
static void a_paused_body_ends_without_further_bytes(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "POST /stream?pause", "Content-Length: 4\r\n", "body");
	turn_until(b->f.loop, has_paused, &b->room);
	assert_int_equal(b->room.ended, 0);
	sl_http_request_resume(b->room.paused);
	peer_await(&p, "streamed", 1);
	assert_int_equal(b->room.ended, 1);
	peer_close(&p);
}

static void answers_stream_with_back_pressure(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /length", "", "");
	peer_await(&p, "Content-Length: 3145728", 1);
	size_t head = (size_t)(strstr(p.in.data, "\r\n\r\n") + 4 - p.in.data);
	while (p.in.len < head + (3 << 20)) {
		sl_loop_run_once(b->f.loop, false);
		peer_receive(&p);
	}
	for (size_t i = 0; i < 3 << 20; i++)
		assert_int_equal(p.in.data[head + i], b->room.pattern[i % PIECE]);
	assert_int_equal(b->room.to_write, 0);
	sl_buf_clear(&p.in);
	say(&p, b, "GET /chunks", "", "");
	peer_await(&p, "\r\n0\r\n\r\n", 1);
	assert_int_equal(count_of(&p.in, "\r\n2710\r\n"), (3 << 20) / PIECE);
	peer_close(&p);
}

static void a_slow_reader_makes_the_writer_wait(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	int small = 4096;
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	b->room.to_write = 0;
	char text[256];
	int n = snprintf(text, sizeof text, "GET /hold HTTP/1.1\r\n%s\r\n", host_line(b));
	assert_int_equal(send(p.fd, text, (size_t)n, 0), n);
	while (!b->room.held_count)
		sl_loop_run_once(b->f.loop, false);
	start_generating(&b->room, b->room.held[0], 100 << 20, true);
	for (int i = 0; i < 1000; i++)
		sl_loop_run_once(b->f.loop, false);
	assert_true(b->room.to_write > 80 << 20); /* the kernel's buffers and ours are full, no more */
	peer_close(&p);
	while (!b->room.gone)
		sl_loop_run_once(b->f.loop, false);
	assert_int_equal(sl_http_stream_write(b->room.held[0], "x", 1), SL_E_CANCELLED);
	sl_http_stream_end(b->room.held[0]);
}

static void a_broken_promise_cuts_the_connection(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /short", "", "");
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "Content-Length: 100\r\n"), 1);
	assert_int_equal(count_of(&p.in, "only this"), 1);
	peer_close(&p);
}

static void make_file(struct room *room)
{
	snprintf(room->path, sizeof room->path, "/tmp/sl-net-XXXXXX");
	int fd = mkstemp(room->path);
	for (int left = 4 << 20; left > 0; left -= PIECE)
		assert_true(write(fd, room->pattern, left < PIECE ? (size_t)left : PIECE) > 0);
	close(fd);
}

static void files_are_sent_from_the_disk(void **state)
{
	struct both *b = *state;
	make_file(&b->room);
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /file", "", "");
	say(&p, b, "HEAD /file", "", "");
	say(&p, b, "GET /next", "", "");
	peer_await(&p, "GET /next ", 1);
	char *body = strstr(p.in.data, "\r\n\r\n") + 4;
	for (size_t i = 0; i < (4 << 20) - 10; i++)
		assert_int_equal(body[i], b->room.pattern[(i + 10) % PIECE]);
	assert_int_equal(memcmp(body + (4 << 20) - 10, "HTTP/1.1 200", 12), 0);
	sl_buf_clear(&p.in);
	say(&p, b, "GET /file?long", "", ""); /* shorter than promised */
	peer_await_close(&p);
	peer_close(&p);
}

static void borrowed_bodies_are_released_once(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /borrowed", "", "");
	peer_await(&p, "Content-Length: 10000", 1);
	say(&p, b, "GET /next", "", "");
	peer_await(&p, "GET /next", 1);
	assert_int_equal(b->room.released, 1);
	say(&p, b, "HEAD /borrowed", "", "");
	peer_await(&p, "Content-Length: 10000", 2);
	assert_int_equal(b->room.released, 2);
	peer_close(&p);
}

static void headers_cannot_split_an_answer(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /split", "", "");
	peer_await(&p, "HTTP/1.1 500 ", 1);
	assert_int_equal(count_of(&p.in, "evil"), 0);
	peer_close(&p);
}

static void errors_have_one_shape(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /busy", "", "");
	peer_await(&p, "{\"error\":{\"code\":\"busy\",\"message\":\"the \\\"queue\\\" is full\",\"hint\":\"try later\"}}", 1);
	assert_int_equal(first_status(&p.in), 503);
	assert_int_equal(count_of(&p.in, "Retry-After: 1\r\n"), 1);
	peer_close(&p);
}

static void a_client_that_waits_is_told_to_go_on(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "POST /x", "Expect: 100-continue\r\nContent-Length: 3\r\n", "");
	peer_await(&p, "HTTP/1.1 100 Continue\r\n\r\n", 1);
	peer_say(&p, "abc");
	peer_await(&p, "POST /x ? #3 abc", 1);
	sl_buf_clear(&p.in);
	say(&p, b, "POST /small", "Expect: 100-continue\r\nContent-Length: 11\r\n", "");
	peer_await(&p, "HTTP/1.1 413 ", 1);
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "100 Continue"), 0);
	peer_close(&p);
}

static void an_early_answer_drops_a_short_rest(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "POST /early", "Content-Length: 10\r\n", "");
	peer_await(&p, "no need of a body", 1);
	peer_say(&p, "0123456789");
	say(&p, b, "GET /next", "", "");
	peer_await(&p, "GET /next ", 1);
	assert_false(p.closed);
	say(&p, b, "POST /early", "Content-Length: 10000000\r\n", "begin");
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "no need of a body"), 2);
	peer_close(&p);
}

static void a_room_learns_that_the_client_has_gone(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /hold0", "", "");
	while (!b->room.held_count)
		sl_loop_run_once(b->f.loop, false);
	assert_false(sl_http_request_gone(b->room.held[0]));
	peer_close(&p);
	while (!b->room.gone)
		sl_loop_run_once(b->f.loop, false);
	assert_true(sl_http_request_gone(b->room.held[0]));
	respond_text(b->room.held[0], "dropped");
	/* In the middle of a streamed body. */
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "POST /stream", "Content-Length: 100\r\n", "begin");
	while (!b->room.streamed)
		sl_loop_run_once(b->f.loop, false);
	peer_close(&p);
	b->room.gone = 0;
	while (!b->room.gone)
		sl_loop_run_once(b->f.loop, false);
	assert_int_equal(b->room.ended, 0);
	respond_text(b->room.streaming, "dropped");
}

static void half_closed_clients_still_get_their_answer(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /hold0", "", "");
	shutdown(p.fd, SHUT_WR);
	while (!b->room.gone)
		sl_loop_run_once(b->f.loop, false);
	respond_text(b->room.held[0], "late");
	peer_await_close(&p);
	assert_int_equal(count_of(&p.in, "late"), 1);
	peer_close(&p);
}

/* Requests for large answers, one behind the other, by a client that reads none of them: only a few are answered. */
static void unread_answers_hold_back_further_requests(void **state)
{
	struct both *b = *state;
	struct peer p;
	enum { REQUESTS = 5000 };
	peer_open(&p, b->f.loop, b->f.port);
	struct sl_buf all = SL_BUF_INIT(1 << 20);
	for (int i = 0; i < REQUESTS; i++)
		sl_buf_printf(&all, "GET /borrowed HTTP/1.1\r\n%s\r\n", host_line(b));
	size_t sent = 0;
	for (int idle = 0; idle < 100; idle++) {
		ssize_t n = send(p.fd, all.data + sent, all.len - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		sl_loop_run_once(b->f.loop, false);
	}
	assert_true(b->room.requests < REQUESTS / 2); /* what the kernel's buffers and 1 MiB of ours take */
	assert_true(b->room.requests > 10);
	while (b->room.requests < REQUESTS) { /* and once it reads, all are */
		ssize_t n = send(p.fd, all.data + sent, all.len - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		sl_loop_run_once(b->f.loop, false);
		peer_receive(&p);
	}
	peer_await(&p, "Content-Length: 10000\r\n", REQUESTS);
	sl_buf_done(&all);
	peer_close(&p);
}

/* The client takes nothing at all: the connection is not held for ever. */
static void a_client_that_stops_reading_is_let_go(void **state)
{
	struct both *b = *state;
	struct fixture f;
	struct peer p;
	struct sl_http_config config = config_of(&b->room);
	config.limits.write_timeout_ms = 60;
	start(&f, &config);
	peer_open(&p, f.loop, f.port);
	int small = 4096;
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	char text[128];
	int n = snprintf(text, sizeof text, "GET /hold HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", f.port);
	assert_int_equal(send(p.fd, text, (size_t)n, 0), n);
	while (!b->room.held_count)
		sl_loop_run_once(f.loop, false);
	start_generating(&b->room, b->room.held[0], 100 << 20, true);
	while (!b->room.gone)
		sl_loop_run_once(f.loop, true);
	sl_http_stream_abort(b->room.held[0]);
	peer_close(&p);
	stop(&f);
}

static int allocations;

static void *counting_realloc(void *context, void *old, size_t size_bytes)
{
	(void)context;
	allocations++;
	return realloc(old, size_bytes);
}

/* Requests with a query, headers, a body and an answer from the arena: once the buffers are there, nothing is allocated. */
static void a_warm_server_allocates_nothing(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	for (size_t i = 1; i <= 40; i++) {
		if (i == 20)
			sl_allocator_set((struct sl_allocator){.realloc = counting_realloc});
		char text[256];
		int n = snprintf(text, sizeof text, "POST /x?y=%%20 HTTP/1.1\r\n%sA: b\r\nContent-Length: 4\r\n\r\nbody",
			host_line(b));
		assert_int_equal(send(p.fd, text, (size_t)n, 0), n);
		while (b->room.requests < (int)i)
			sl_loop_run_once(b->f.loop, false);
	}
	sl_allocator_set((struct sl_allocator){0});
	assert_int_equal(allocations, 0);
	peer_await(&p, "POST /x ?y=%20 #4 body", 40);
	peer_close(&p);
}

static void *failing_realloc(void *context, void *old, size_t size_bytes)
{
	int *left = context;
	return (*left)-- == 0 ? NULL : realloc(old, size_bytes);
}

/* One request cut in two, one with a long body, one streamed, a file, an error: until answered or cut off. True: there are
 * not so many allocations. */
static bool serve_with_one_failure(struct both *b, int nth)
{
	struct fixture f = {0};
	struct peer p;
	struct sl_error err;
	struct sl_http_config config = config_of(&b->room);
	assert_int_equal(sl_loop_new(&f.loop, &err), 0);
	int left = nth;
	sl_allocator_set((struct sl_allocator){.realloc = failing_realloc, .context = &left});
	int rc = sl_http_server_new(f.loop, &config, &f.server, &err);
	if (!rc)
		rc = sl_http_server_listen(f.server, "127.0.0.1", 0, &f.port, &err);
	for (int round = 0; !rc && round < 2; round++) {
		char text[8192];
		p = (struct peer){.loop = f.loop, .fd = connect_to(f.port)};
		int n = snprintf(text, sizeof text,
			"POST /x?%04000d HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 4\r\n\r\nbody"
			"POST /stream HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 4\r\n\r\nbody"
			"GET /borrowed HTTP/1.1\r\nHost: localhost:%u\r\n\r\nGET /busy HTTP/1.1\r\nHost: localhost:%u\r\n"
			"Connection: close\r\n\r\n", 0, f.port, f.port, f.port, f.port);
		for (int at = 0; at < n; at += 700) {
			send(p.fd, text + at, (size_t)(n - at < 700 ? n - at : 700), MSG_NOSIGNAL);
			sl_loop_run_once(f.loop, false);
		}
		char drop[4096];
		ssize_t got;
		int64_t deadline = sl_monotonic_ns() / 1000000 + TEST_DEADLINE_MS;
		while ((got = recv(p.fd, drop, sizeof drop, 0)) != 0 && (got > 0 || errno == EAGAIN)) {
			sl_loop_run_once(f.loop, false);
			assert_true(sl_monotonic_ns() / 1000000 < deadline);
		}
		close(p.fd);
	}
	sl_allocator_set((struct sl_allocator){0});
	if (rc)
		assert_int_equal(rc, SL_E_NO_MEMORY);
	if (f.server)
		sl_http_server_free(f.server);
	sl_loop_free(f.loop);
	return left >= 0;
}

static void every_allocation_may_fail(void **state)
{
	struct both *b = *state;
	int nth = 0;
	while (!serve_with_one_failure(b, nth))
		nth++;
	assert_true(nth > 20);
}

static void set_flag(void *context) { *(bool *)context = true; }

static void draining_finishes_what_runs(void **state)
{
	struct both *b = *state;
	struct peer busy, idle, late;
	peer_open(&busy, b->f.loop, b->f.port);
	peer_open(&idle, b->f.loop, b->f.port);
	say(&idle, b, "GET /x", "", "");
	peer_await(&idle, "GET /x", 1);
	say(&busy, b, "GET /hold0", "", "");
	while (!b->room.held_count)
		sl_loop_run_once(b->f.loop, false);
	bool drained = false;
	sl_http_server_drain(b->f.server, TEST_DEADLINE_MS, set_flag, &drained);
	peer_await_close(&idle);
	late.fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(b->f.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(late.fd, (struct sockaddr *)&a, sizeof a), -1);
	close(late.fd);
	assert_false(drained);
	respond_text(b->room.held[0], "finished");
	peer_await_close(&busy);
	assert_int_equal(count_of(&busy.in, "finished"), 1);
	assert_int_equal(count_of(&busy.in, "Connection: close"), 1);
	while (!drained)
		sl_loop_run_once(b->f.loop, true);
	peer_close(&busy);
	peer_close(&idle);
}

static void draining_ends_at_its_deadline(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /hold0", "", "");
	while (!b->room.held_count)
		sl_loop_run_once(b->f.loop, false);
	bool drained = false;
	sl_http_server_drain(b->f.server, 20, set_flag, &drained);
	while (!drained)
		sl_loop_run_once(b->f.loop, true);
	peer_await_close(&p);
	assert_int_equal(b->room.gone, 1);
	respond_text(b->room.held[0], "too late");
	peer_close(&p);
}

static void requests_outlive_their_server(void **state)
{
	struct both *b = *state;
	struct peer p;
	peer_open(&p, b->f.loop, b->f.port);
	say(&p, b, "GET /hold0", "", "");
	while (!b->room.held_count)
		sl_loop_run_once(b->f.loop, false);
	sl_http_server_free(b->f.server);
	b->f.server = NULL;
	assert_int_equal(b->room.gone, 1);
	assert_string_equal(b->room.held[0]->path, "/hold0");
	respond_text(b->room.held[0], "nobody reads this");
	peer_close(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_and_keeps_the_connection), TEST(answers_the_old_protocol),
		TEST(pipelined_answers_come_in_order_and_at_once),
		TEST(a_streamed_body_is_never_held), TEST(a_paused_body_makes_the_client_wait),
		TEST(a_paused_body_ends_without_further_bytes), TEST(answers_stream_with_back_pressure),
		TEST(a_slow_reader_makes_the_writer_wait), TEST(a_broken_promise_cuts_the_connection),
		TEST(files_are_sent_from_the_disk),
		TEST(borrowed_bodies_are_released_once), TEST(headers_cannot_split_an_answer), TEST(errors_have_one_shape),
		TEST(a_client_that_waits_is_told_to_go_on), TEST(an_early_answer_drops_a_short_rest),
		TEST(a_room_learns_that_the_client_has_gone), TEST(half_closed_clients_still_get_their_answer),
		TEST(unread_answers_hold_back_further_requests),
		TEST(a_client_that_stops_reading_is_let_go), TEST(a_warm_server_allocates_nothing),
		TEST(every_allocation_may_fail),
		TEST(draining_finishes_what_runs), TEST(draining_ends_at_its_deadline), TEST(requests_outlive_their_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

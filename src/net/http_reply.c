/* Requests and their answers. An answer is written into the request's own output: head and copied bytes in `out`, then
 * borrowed bytes or a stretch of a file. http_write.c takes the outputs of a connection in order. Requests and their
 * buffers are reused: a warm server answers without allocating. */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/time.h"
#include "net/http_server_internal.h"
#include "os/clock.h"
#include "os/file.h"

enum {
	COPY_BYTES_MAX = 4096, /* a borrowed body up to this is copied: cheaper than one more piece to write */
};

static struct request *private_of(const struct sl_http_request *request) { return (struct request *)(uintptr_t)request; }

/* ---- requests ---- */

static struct request *request_new(struct sl_http_server *server)
{
	struct request *r = sl_alloc(sizeof *r, NULL);
	if (!r)
		return NULL;
	r->pub.arena = sl_arena_new(REQUEST_ARENA_BYTES, NULL);
	if (!r->pub.arena) {
		sl_free(r);
		return NULL;
	}
	sl_buf_init(&r->out, ANSWER_COPY_MAX);
	sl_buf_init(&r->body, SIZE_MAX / 2); /* bounded by body_limit, piece by piece */
	r->server = server;
	r->file_fd = -1;
	return r;
}

struct request *request_take(struct sl_http_server *server)
{
	struct request *r = server->spare;
	if (r) {
		server->spare = r->next;
		server->spare_count--;
	} else {
		r = request_new(server);
	}
	if (!r)
		return NULL;
	server->refs++;
	r->next = NULL;
	r->pub.path = r->pub.query = r->pub.target = r->pub.host = r->pub.body = "";
	r->stream_left = -1;
	r->keep_alive = true;
	return r;
}

static void request_free(struct request *r)
{
	sl_buf_done(&r->out);
	sl_buf_done(&r->body);
	sl_arena_free(r->pub.arena);
	sl_free(r);
}

static void release_borrowed(struct request *r)
{
	sl_loop_fn *release = r->release;
	r->release = NULL;
	r->borrowed = NULL;
	r->borrowed_left = 0;
	if (release)
		release(r->release_context);
}

/* Ready for the next request, buffers kept. */
static void request_clean(struct request *r)
{
	struct request kept = {.pub.arena = r->pub.arena, .server = r->server, .out = r->out, .body = r->body, .file_fd = -1};
	sl_buf_clear(&kept.out);
	sl_buf_clear(&kept.body);
	*r = kept;
	sl_arena_reset(r->pub.arena);
}

void request_drop(struct request *r)
{
	struct sl_http_server *server = r->server;
	release_borrowed(r);
	sl_file_close(&r->file_fd);
	bool small = sl_arena_used(r->pub.arena) + r->out.cap + r->body.cap <= KEPT_BYTES;
	if (server->freed || !small || server->spare_count >= KEPT_REQUESTS) {
		request_free(r);
	} else {
		request_clean(r);
		r->next = server->spare;
		server->spare = r;
		server->spare_count++;
	}
	server_unref(server);
}

void request_push(struct conn *c, struct request *r)
{
	r->conn = c;
	if (c->last)
		c->last->next = r;
	else
		c->first = r;
	c->last = r;
	c->depth++;
}

void request_hold(struct request *r, size_t bytes)
{
	r->held += bytes;
	r->conn->held += bytes;
}

static void unlink_request(struct conn *c, struct request *r)
{
	struct request **at = &c->first, *before = NULL;
	while (*at != r) {
		before = *at;
		at = &before->next;
	}
	*at = r->next;
	if (c->last == r)
		c->last = before;
	c->depth--;
	c->held -= r->held;
	r->next = NULL;
}

void request_detach(struct request *r)
{
	struct conn *c = r->conn;
	unlink_request(c, r);
	if (c->reading == r)
		c->reading = NULL;
	r->conn = NULL;
	bool ours = !r->with_room;
	if (!r->gone && !r->answered) {
		r->gone = true;
		if (r->on_gone)
			r->on_gone(r->on_gone_context, &r->pub);
	}
	/* A room that still has it may have finished it just now, in on_gone: then it is dropped already. */
	if (ours)
		request_drop(r);
}

/* ---- heads ---- */

static void add_number(struct sl_buf *out, uint64_t v)
{
	char digits[20];
	size_t n = sizeof digits;
	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	sl_buf_add(out, digits + n, sizeof digits - n);
}

#define add_literal(out, text) sl_buf_add((out), (text), sizeof(text) - 1)

static void add_header(struct sl_buf *out, const char *name, const char *value)
{
	sl_buf_str(out, name);
	add_literal(out, ": ");
	sl_buf_str(out, value);
	add_literal(out, "\r\n");
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT", made once a second. */
static void add_date(struct sl_http_server *server, struct sl_buf *out)
{
	static const char DAYS[] = "SunMonTueWedThuFriSat", MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t now = sl_loop_now_ms(server->loop);
	if (now >= server->date_until_ms) {
		int64_t wall = sl_now_ms();
		struct sl_civil t;
		sl_civil_from_ms(wall, &t);
		server->date_len = (size_t)snprintf(server->date, sizeof server->date,
			"Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
			DAYS + 3 * t.weekday, t.day % 100, MONTHS + 3 * (t.month - 1), t.year % 10000, t.hour % 100,
			t.minute % 100, t.second % 100);
		server->date_until_ms = now + 1000 - wall % 1000;
	}
	sl_buf_add(out, server->date, server->date_len);
}

static void add_status_line(struct sl_buf *out, int status)
{
	if (status == 200) {
		add_literal(out, "HTTP/1.1 200 OK\r\n");
		return;
	}
	add_literal(out, "HTTP/1.1 ");
	add_number(out, (uint64_t)status);
	sl_buf_char(out, ' ');
	sl_buf_str(out, sl_http_reason(status));
	add_literal(out, "\r\n");
}

static bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

/* `length` -1: not known. */
static void add_framing(struct request *r, int status, int64_t length)
{
	if (!status_has_body(status)) {
		r->no_body = true;
		return;
	}
	if (length >= 0) {
		add_literal(&r->out, "Content-Length: ");
		add_number(&r->out, (uint64_t)length);
		add_literal(&r->out, "\r\n");
	} else if (!r->http_1_0) {
		add_literal(&r->out, "Transfer-Encoding: chunked\r\n");
		r->chunked = true;
	} else {
		r->keep_alive = false; /* the end of the connection is the end of the answer */
	}
}

/* An answer before the end of the request's body: a short rest is read and dropped, else the connection ends behind the
 * answer. */
static void stop_reading_body(struct request *r)
{
	struct conn *c = r->conn;
	if (!c || c->reading != r)
		return;
	uint64_t left = r->pub.content_length < 0 ? UINT64_MAX : (uint64_t)r->pub.content_length - r->body_seen;
	c->reading = NULL;
	bool may_never_come = r->expects_continue && r->body_seen == 0;
	if (left == 0 || (left <= DISCARD_BYTES_MAX && !may_never_come))
		return;
	r->keep_alive = false;
	c->no_more = c->linger = true;
}

static void begin_answer(struct request *r, const struct sl_http_response *head, int64_t length)
{
	struct sl_buf *out = &r->out;
	r->started = true;
	if (r->keep_alive && (head->close || r->server->draining)) {
		r->keep_alive = false;
		if (r->conn)
			r->conn->linger = true; /* the client does not expect it, and may be sending its next request */
	}
	add_status_line(out, head->status);
	add_date(r->server, out);
	if (r->server->fixed_headers.len)
		sl_buf_add(out, r->server->fixed_headers.data, r->server->fixed_headers.len);
	add_framing(r, head->status, length);
	if (head->content_type)
		add_header(out, "Content-Type", head->content_type);
	for (size_t i = 0; i < head->header_count; i++)
		add_header(out, head->headers[i].name, head->headers[i].value);
	if (!r->keep_alive)
		add_literal(out, "Connection: close\r\n");
	else if (r->http_1_0)
		add_literal(out, "Connection: keep-alive\r\n");
	add_literal(out, "\r\n");
}

static bool may_be_sent(const struct sl_http_response *response)
{
	if (response->content_type && !sl_http_header_value_valid(response->content_type))
		return false;
	for (size_t i = 0; i < response->header_count; i++)
		if (!sl_http_header_name_valid(response->headers[i].name) ||
			!sl_http_header_value_valid(response->headers[i].value))
			return false;
	return true;
}

/* The room is done with it. */
static void finish(struct request *r)
{
	assert(!r->answered);
	r->with_room = false;
	r->answered = true;
	if (!r->conn) {
		request_drop(r);
		return;
	}
	stop_reading_body(r);
	request_hold(r, r->out.len + r->borrowed_left);
	if (!r->keep_alive)
		r->conn->no_more = true;
	if (r->out.failed)
		r->cut = true;
	conn_mark_dirty(r->conn);
}

/* ---- whole answers ---- */

void sl_http_borrow_arena(void *context) { (void)context; }

static void take_body(struct request *r, const struct sl_http_response *response)
{
	bool wanted = response->body_len && !r->no_body;
	r->release = response->release;
	r->release_context = response->release_context;
	if (wanted && response->release && response->body_len > COPY_BYTES_MAX) {
		r->borrowed = response->body;
		r->borrowed_left = response->body_len;
		return;
	}
	if (wanted)
		sl_buf_add(&r->out, response->body, response->body_len);
	release_borrowed(r);
}

static void answer_bad_header(struct request *r)
{
	struct sl_error err;
	sl_fail(&err, SL_E_BUG, "the answer had a header that may not be sent");
	request_error_answer(r, 500, &err, false);
}

void sl_http_respond(struct sl_http_request *request, const struct sl_http_response *response)
{
	struct request *r = private_of(request);
	assert(!r->started && response->status >= 200 && response->status <= 599);
	if (!may_be_sent(response)) {
		if (response->release)
			response->release(response->release_context);
		answer_bad_header(r);
		return;
	}
	if (!r->conn) {
		if (response->release)
			response->release(response->release_context);
		finish(r);
		return;
	}
	/* Before the head, which says whether the connection stays. */
	stop_reading_body(r);
	begin_answer(r, response, (int64_t)response->body_len);
	take_body(r, response);
	finish(r);
}

static void write_error_json(const struct sl_error *error, struct sl_buf *body)
{
	add_literal(body, "{\"error\":{\"code\":\"");
	sl_buf_str(body, sl_code_name(error->code));
	add_literal(body, "\",\"message\":");
	sl_json_string(body, error->message, strlen(error->message));
	if (error->where[0]) {
		add_literal(body, ",\"where\":");
		sl_json_string(body, error->where, strlen(error->where));
	}
	if (error->hint[0]) {
		add_literal(body, ",\"hint\":");
		sl_json_string(body, error->hint, strlen(error->hint));
	}
	add_literal(body, "}}\n");
}

void request_error_answer(struct request *r, int status, const struct sl_error *error, bool close)
{
	static const struct sl_http_header RETRY[] = {{"Retry-After", "1"}};
	/* RFC 9110 section 15.5.2: a 401 says how to ask. A browser asks its user only for Basic. */
	static const struct sl_http_header ASK[] = {{"WWW-Authenticate", "Basic realm=\"sluice\", charset=\"UTF-8\", Bearer"}};
	const struct sl_http_handler *handler = &r->server->handler;
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	const char *content_type = "application/json";
	if (handler->error_body)
		handler->error_body(handler->context, *r->pub.path ? r->pub.path : NULL, status, error, &body, &content_type);
	else
		write_error_json(error, &body);
	struct sl_http_response response = {
		.status = status, .content_type = content_type, .body = body.data, .body_len = body.len,
		.headers = status == 401 ? ASK : RETRY, .header_count = status == 401 || status == 503, .close = close,
	};
	sl_http_respond(&r->pub, &response);
}

void sl_http_respond_error(struct sl_http_request *request, int status, const struct sl_error *error)
{
	request_error_answer(private_of(request), status ? status : sl_code_http_status(error->code), error, false);
}

void sl_http_respond_file(struct sl_http_request *request, const struct sl_http_response *head, int fd, uint64_t offset,
	uint64_t len)
{
	struct request *r = private_of(request);
	assert(!r->started && len <= INT64_MAX && fd >= 0);
	r->file_fd = fd;
	if (!may_be_sent(head)) {
		answer_bad_header(r);
		return;
	}
	if (r->conn) {
		stop_reading_body(r);
		begin_answer(r, head, (int64_t)len);
		r->file_offset = offset;
		r->file_left = r->no_body ? 0 : len;
	}
	finish(r);
}

/* ---- answers in pieces ---- */

void sl_http_stream_start(struct sl_http_request *request, const struct sl_http_response *head, int64_t length)
{
	struct request *r = private_of(request);
	assert(!r->started && length >= -1);
	static const struct sl_http_response BROKEN = {.status = 500, .close = true};
	if (!may_be_sent(head)) {
		head = &BROKEN;
		r->cut = true;
	}
	r->stream_left = length;
	begin_answer(r, head, length);
	if (r->conn)
		conn_mark_dirty(r->conn);
}

static void add_chunk_size(struct sl_buf *out, size_t len)
{
	char digits[16];
	size_t n = sizeof digits;
	do
		digits[--n] = "0123456789abcdef"[len & 15];
	while (len >>= 4);
	sl_buf_add(out, digits + n, sizeof digits - n);
	add_literal(out, "\r\n");
}

int sl_http_stream_write(struct sl_http_request *request, const void *data, size_t len)
{
	struct request *r = private_of(request);
	assert(r->started && !r->answered);
	if (!r->conn || r->cut)
		return SL_E_CANCELLED;
	size_t waiting = r->out.len - r->out_done, most = r->server->limits.stream_bytes;
	if (r->stream_left >= 0 && len > (uint64_t)r->stream_left)
		return SL_E_TOO_LARGE;
	if (len > 4 * most || waiting > 4 * most - len)
		return SL_E_TOO_LARGE;
	if (r->stream_left >= 0)
		r->stream_left -= (int64_t)len;
	if (!len || r->no_body)
		return 0;
	if (r->chunked)
		add_chunk_size(&r->out, len);
	sl_buf_add(&r->out, data, len);
	if (r->chunked)
		add_literal(&r->out, "\r\n");
	conn_mark_dirty(r->conn);
	r->told_wait = waiting + len > most;
	return r->told_wait ? SL_HTTP_WAIT : 0;
}

void sl_http_stream_on_writable(struct sl_http_request *request, sl_http_request_fn *fn, void *context)
{
	struct request *r = private_of(request);
	r->on_writable = fn;
	r->on_writable_context = context;
}

void sl_http_stream_end(struct sl_http_request *request)
{
	struct request *r = private_of(request);
	assert(r->started && !r->answered);
	if (r->stream_left > 0)
		r->cut = true;
	if (r->chunked && !r->no_body)
		add_literal(&r->out, "0\r\n\r\n");
	finish(r);
}

void sl_http_stream_abort(struct sl_http_request *request)
{
	struct request *r = private_of(request);
	assert(r->started && !r->answered);
	r->cut = true;
	finish(r);
}

/* ---- what a room asks of its request ---- */

const char *sl_http_request_header(const struct sl_http_request *request, const char *name)
{
	return sl_http_find_header(request->headers, request->header_count, name);
}

void sl_http_request_body_limit(struct sl_http_request *request, uint64_t body_bytes)
{
	private_of(request)->body_limit = body_bytes;
}

void sl_http_request_body_stream(struct sl_http_request *request, sl_http_piece_fn *piece, void *context)
{
	struct request *r = private_of(request);
	assert(r->conn && r->conn->reading == r && r->body_seen == 0);
	r->mode = BODY_STREAM;
	r->piece = piece;
	r->piece_context = context;
}

void sl_http_request_pause(struct sl_http_request *request) { private_of(request)->paused = true; }

void sl_http_request_resume(struct sl_http_request *request)
{
	struct request *r = private_of(request);
	r->paused = false;
	if (r->conn)
		conn_mark_dirty(r->conn);
}

void sl_http_request_on_gone(struct sl_http_request *request, sl_http_request_fn *fn, void *context)
{
	struct request *r = private_of(request);
	r->on_gone = fn;
	r->on_gone_context = context;
}

bool sl_http_request_gone(const struct sl_http_request *request) { return private_of(request)->gone; }

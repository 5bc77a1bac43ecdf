/* A stream: its head as fields, and the answer as nghttp2 takes it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "net/h2_internal.h"

enum { KEEP_BYTES = 16 * 1024 };

struct sl_h2_stream *h2_stream_new(struct h2_conn *c, int32_t id)
{
	struct sl_h2_server *server = c->server;
	struct sl_h2_stream *s = server->spare;
	if (s) {
		server->spare = s->next;
		server->spare_count--;
	} else {
		s = sl_alloc(sizeof *s, NULL);
		if (!s)
			return NULL;
		sl_buf_init(&s->head, SL_H2_HEAD_BYTES_MAX + 2 * SL_H2_HEAD_FIELDS_MAX);
		sl_buf_init(&s->out, H2_ANSWER_BYTES_MAX);
		sl_buf_init(&s->trailers, SL_H2_HEAD_BYTES_MAX);
	}
	struct sl_buf head = s->head, out = s->out, trailers = s->trailers;
	memset(s, 0, sizeof *s);
	s->head = head;
	s->out = out;
	s->trailers = trailers;
	sl_buf_clear(&s->head);
	sl_buf_clear(&s->out);
	sl_buf_clear(&s->trailers);
	s->conn = c;
	s->id = id;
	s->data_ms = sl_loop_now_ms(server->loop);
	s->next = c->streams;
	if (s->next)
		s->next->prev = s;
	c->streams = s;
	c->stream_count++;
	return s;
}

void h2_stream_free(struct sl_h2_stream *s)
{
	sl_buf_done(&s->head);
	sl_buf_done(&s->out);
	sl_buf_done(&s->trailers);
	sl_free(s);
}

void h2_stream_gone(struct sl_h2_stream *s)
{
	struct h2_conn *c = s->conn;
	struct sl_h2_server *server = c->server;
	if (s->with_room)
		server->handler.closed(server->handler.context, s);
	*(s->prev ? &s->prev->next : &c->streams) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	c->stream_count--;
	size_t left = s->out.len - s->out_done;
	c->unsent_bytes -= left;
	server->held_bytes -= s->held + (ptrdiff_t)left;
	if (server->spare_count == H2_SPARE_MAX || s->out.cap > KEEP_BYTES) {
		h2_stream_free(s);
		return;
	}
	s->next = server->spare;
	server->spare = s;
	server->spare_count++;
}

bool h2_stream_add_field(struct sl_h2_stream *s, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
	if (s->field_count == SL_H2_HEAD_FIELDS_MAX || memchr(value, 0, value_len) || memchr(name, 0, name_len))
		return false;
	struct h2_field *field = &s->fields[s->field_count];
	field->name = (uint32_t)s->head.len;
	sl_buf_add(&s->head, name, name_len);
	sl_buf_char(&s->head, 0);
	field->value = (uint32_t)s->head.len;
	sl_buf_add(&s->head, value, value_len);
	sl_buf_char(&s->head, 0);
	s->field_count++;
	return !s->head.failed;
}

const char *sl_h2_header(const struct sl_h2_stream *s, const char *name)
{
	for (size_t i = 0; i < s->field_count; i++)
		if (strcmp(s->head.data + s->fields[i].name, name) == 0)
			return s->head.data + s->fields[i].value;
	return NULL;
}

void sl_h2_set_user(struct sl_h2_stream *s, void *user) { s->user = user; }
void *sl_h2_user(const struct sl_h2_stream *s) { return s->user; }

static void reset(struct sl_h2_stream *s, uint32_t code)
{
	nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, code);
	h2_conn_mark(s->conn);
}

bool sl_h2_hold(struct sl_h2_stream *s, ptrdiff_t change_bytes)
{
	s->held += change_bytes;
	s->conn->server->held_bytes += change_bytes;
	assert(s->held >= 0);
	if (change_bytes <= 0 || s->conn->server->held_bytes <= SL_H2_HELD_BYTES_MAX)
		return true;
	reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
	return false;
}

/* ---- answers ---- */

static nghttp2_nv field_of(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name, .value = (uint8_t *)(uintptr_t)value, .namelen = strlen(name),
			    .valuelen = strlen(value), .flags = NGHTTP2_NV_FLAG_NONE};
}

static void submit_trailers(nghttp2_session *session, struct sl_h2_stream *s)
{
	nghttp2_nv fields[H2_TRAILERS_MAX];
	const char *p = s->trailers.data;
	for (size_t i = 0; i < s->trailer_count; i++) {
		const char *value = p + strlen(p) + 1;
		fields[i] = field_of(p, value);
		p = value + strlen(value) + 1;
	}
	nghttp2_submit_trailer(session, s->id, fields, s->trailer_count);
}

/* nghttp2 asks for the next piece of the body. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t length, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct sl_h2_stream *s = source->ptr;
	struct h2_conn *c = user;
	size_t left = s->out.len - s->out_done, n = left < length ? left : length;
	(void)id;
	if (n)
		memcpy(to, s->out.data + s->out_done, n);
	s->out_done += n;
	c->unsent_bytes -= n;
	c->server->held_bytes -= (ptrdiff_t)n;
	if (s->out_done == s->out.len) {
		sl_buf_clear(&s->out);
		s->out_done = 0;
		if (s->ended) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			if (s->has_trailers) {
				*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
				submit_trailers(session, s);
			}
		} else if (!n) {
			s->deferred = true;
			return NGHTTP2_ERR_DEFERRED;
		}
	}
	return (ssize_t)n;
}

void sl_h2_respond(struct sl_h2_stream *s, int status, const struct sl_http_header *headers, size_t count, bool end)
{
	nghttp2_nv fields[H2_TRAILERS_MAX + 1];
	char digits[8];
	assert(!s->responded && count <= H2_TRAILERS_MAX);
	snprintf(digits, sizeof digits, "%d", status % 1000);
	fields[0] = field_of(":status", digits);
	for (size_t i = 0; i < count; i++)
		fields[i + 1] = field_of(headers[i].name, headers[i].value);
	nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_body};
	s->responded = true;
	s->ended = end;
	nghttp2_submit_response(s->conn->session, s->id, fields, count + 1, end ? NULL : &body);
	h2_conn_mark(s->conn);
}

static void resume(struct sl_h2_stream *s)
{
	if (s->deferred)
		nghttp2_session_resume_data(s->conn->session, s->id);
	s->deferred = false;
	h2_conn_mark(s->conn);
}

bool sl_h2_write(struct sl_h2_stream *s, const void *data, size_t len)
{
	struct sl_h2_server *server = s->conn->server;
	assert(s->responded && !s->ended);
	if (len > (size_t)(SL_H2_HELD_BYTES_MAX - server->held_bytes)) {
		reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
		return false;
	}
	sl_buf_add(&s->out, data, len);
	if (s->out.failed) {
		reset(s, NGHTTP2_INTERNAL_ERROR);
		return false;
	}
	s->conn->unsent_bytes += len;
	server->held_bytes += (ptrdiff_t)len;
	resume(s);
	return true;
}

void sl_h2_end(struct sl_h2_stream *s, const struct sl_http_header *trailers, size_t count)
{
	assert(s->responded && !s->ended && count <= H2_TRAILERS_MAX);
	for (size_t i = 0; i < count; i++) {
		sl_buf_add(&s->trailers, trailers[i].name, strlen(trailers[i].name) + 1);
		sl_buf_add(&s->trailers, trailers[i].value, strlen(trailers[i].value) + 1);
	}
	if (s->trailers.failed) {
		reset(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	s->has_trailers = count > 0;
	s->trailer_count = count;
	s->ended = true;
	resume(s);
}

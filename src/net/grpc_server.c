#include "net/grpc_server.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/inflate.h"

enum { PREFIX_BYTES = 5, STATUS_TEXT_MAX = 2048, EXPIRE_EVERY_MS = 100, KEEP_BYTES = 256 * 1024, HELD_OPEN = 1 };

struct sl_grpc_server {
	struct sl_grpc_config config;
	struct sl_loop *loop;
	struct sl_h2_server *h2;
	struct sl_timer *timer;         /* runs while some call has a deadline */
	struct sl_grpc_call *deadlines; /* calls with one */
	struct sl_grpc_call *spare;
	struct sl_buf plain;            /* a decompressed message */
};

struct sl_grpc_call {
	struct sl_grpc_server *server;
	struct sl_h2_stream *stream;    /* NULL: the client is gone */
	const struct sl_grpc_method *method;
	struct sl_buf in;               /* a message that has not ended yet, with its prefix */
	size_t need;                    /* its whole length; 0: not known yet */
	size_t messages;
	bool gzip, responded, in_message, ended;
	int64_t deadline_ms;            /* 0: none */
	void *kept;                     /* the method's; NULL: nothing */
	struct sl_grpc_call *prev, *next;
};

/* ---- status ---- */

enum sl_grpc_status sl_grpc_status_of(int code)
{
	switch (code) {
	case SL_E_INVALID: return SL_GRPC_INVALID_ARGUMENT;
	case SL_E_NOT_FOUND: return SL_GRPC_NOT_FOUND;
	case SL_E_CONFLICT: return SL_GRPC_FAILED_PRECONDITION;
	case SL_E_DENIED: return SL_GRPC_PERMISSION_DENIED;
	case SL_E_TOO_LARGE:
	case SL_E_NO_SPACE:
	case SL_E_NO_MEMORY: return SL_GRPC_RESOURCE_EXHAUSTED;
	case SL_E_BUSY: return SL_GRPC_UNAVAILABLE;
	case SL_E_TIMEOUT: return SL_GRPC_DEADLINE_EXCEEDED;
	case SL_E_CANCELLED: return SL_GRPC_CANCELLED;
	case SL_E_NO_LIBRARY: return SL_GRPC_UNIMPLEMENTED;
	default: return SL_GRPC_INTERNAL;
	}
}

/* grpc-message: percent-encoded where it is not printable ASCII. */
static void encode_message(const char *message, char out[STATUS_TEXT_MAX])
{
	static const char HEX[] = "0123456789ABCDEF";
	size_t n = 0;
	for (const unsigned char *p = (const unsigned char *)message; *p && n + 4 < STATUS_TEXT_MAX; p++) {
		if (*p >= 0x20 && *p < 0x7f && *p != '%') {
			out[n++] = (char)*p;
			continue;
		}
		out[n++] = '%';
		out[n++] = HEX[*p >> 4];
		out[n++] = HEX[*p & 15];
	}
	out[n] = 0;
}

/* ---- calls ---- */

static void leave_deadlines(struct sl_grpc_call *call)
{
	if (!call->deadline_ms)
		return;
	*(call->prev ? &call->prev->next : &call->server->deadlines) = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call->prev = call->next = NULL;
	call->deadline_ms = 0;
	if (!call->server->deadlines)
		sl_timer_stop(call->server->timer);
}

void sl_grpc_keep(struct sl_grpc_call *call, void *kept) { call->kept = kept; }
void *sl_grpc_kept(const struct sl_grpc_call *call) { return call->kept; }
bool sl_grpc_ended(const struct sl_grpc_call *call) { return call->ended; }

const char *sl_grpc_header(const struct sl_grpc_call *call, const char *name) { return call->stream ? sl_h2_header(call->stream, name) : NULL; }

int64_t sl_grpc_left_ms(const struct sl_grpc_call *call)
{
	int64_t left_ms = call->deadline_ms - sl_loop_now_ms(call->server->loop);
	return !call->deadline_ms ? -1 : left_ms < 0 ? 0 : left_ms;
}

static void release_kept(struct sl_grpc_call *call)
{
	void *kept = call->kept;
	call->kept = NULL;
	if (kept)
		call->server->config.gone(call->server->config.context, kept);
}

/* Calls and their buffers are used again. */
static void drop(struct sl_grpc_call *call)
{
	struct sl_grpc_server *server = call->server;
	leave_deadlines(call);
	release_kept(call);
	if (call->in.cap > KEEP_BYTES)
		sl_buf_done(&call->in);
	sl_buf_clear(&call->in);
	struct sl_buf in = call->in;
	*call = (struct sl_grpc_call){.server = server, .in = in, .next = server->spare};
	server->spare = call;
}

static struct sl_grpc_call *take(struct sl_grpc_server *server)
{
	struct sl_grpc_call *call = server->spare;
	if (call) {
		server->spare = call->next;
		call->next = NULL;
		return call;
	}
	call = sl_alloc(sizeof *call, NULL);
	if (!call)
		return NULL;
	call->server = server;
	sl_buf_init(&call->in, SL_GRPC_MESSAGE_MAX + PREFIX_BYTES);
	return call;
}

static const struct sl_http_header HEAD[] = {{"content-type", "application/grpc"}, {"grpc-accept-encoding", "identity,gzip"}};

static void end_stream(struct sl_h2_stream *stream, bool responded, enum sl_grpc_status status, const char *message)
{
	char code[8], text[STATUS_TEXT_MAX];
	struct sl_http_header fields[4] = {HEAD[0], HEAD[1], {"grpc-status", code}, {"grpc-message", text}};
	snprintf(code, sizeof code, "%d", (int)status);
	encode_message(message ? message : "", text);
	size_t count = text[0] ? 2 : 1;
	if (responded)
		sl_h2_end(stream, fields + 2, count);
	else
		sl_h2_respond(stream, 200, fields, 2 + count, true);
}

void sl_grpc_finish(struct sl_grpc_call *call, enum sl_grpc_status status, const char *message)
{
	struct sl_h2_stream *stream = call->stream;
	if (stream) {
		sl_h2_set_user(stream, NULL);
		sl_h2_hold(stream, -(ptrdiff_t)call->in.len - HELD_OPEN * !call->messages);
		end_stream(stream, call->responded, status, message);
	}
	call->stream = NULL;
	release_kept(call);
	if (call->in_message)
		call->method = NULL; /* whoever is reading its messages drops it */
	else
		drop(call);
}

void sl_grpc_fail(struct sl_grpc_call *call, const struct sl_error *err)
{
	char text[1600];
	snprintf(text, sizeof text, err->hint[0] ? "%s%s%s (%s)" : "%s%s%s", err->where, err->where[0] ? ": " : "", err->message, err->hint);
	sl_grpc_finish(call, sl_grpc_status_of(err->code), text);
}

bool sl_grpc_send(struct sl_grpc_call *call, const void *data, size_t len)
{
	unsigned char prefix[PREFIX_BYTES] = {0, (unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8),
					      (unsigned char)len};
	if (!call->stream)
		return false;
	if (!call->responded)
		sl_h2_respond(call->stream, 200, HEAD, SL_ARRAY_LEN(HEAD), false);
	call->responded = true;
	return sl_h2_write(call->stream, prefix, sizeof prefix) && sl_h2_write(call->stream, data, len);
}

/* ---- the head ---- */

static const struct sl_grpc_method *find_method(const struct sl_grpc_server *server, const char *path)
{
	for (size_t i = 0; path && i < server->config.method_count; i++)
		if (strcmp(server->config.methods[i].path, path) == 0)
			return &server->config.methods[i];
	return NULL;
}

/* "100m": milliseconds; at most 8 digits and a unit. 0: none, or not one. */
static int64_t timeout_ms(const char *text)
{
	int64_t value = 0;
	size_t digits = text ? strspn(text, "0123456789") : 0;
	if (!digits || digits > 8 || strlen(text) != digits + 1)
		return 0;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (text[i] - '0');
	switch (text[digits]) {
	case 'H': return value * 3600000;
	case 'M': return value * 60000;
	case 'S': return value * 1000;
	case 'm': return value ? value : 1;
	case 'u': return value / 1000 + 1;
	case 'n': return value / 1000000 + 1;
	default: return 0;
	}
}

static void on_expiry(void *context)
{
	struct sl_grpc_server *server = context;
	int64_t now = sl_loop_now_ms(server->loop);
	for (struct sl_grpc_call *call = server->deadlines, *next; call; call = next) {
		next = call->next;
		if (call->deadline_ms <= now)
			sl_grpc_finish(call, SL_GRPC_DEADLINE_EXCEEDED, "the deadline passed");
	}
}

static void set_deadline(struct sl_grpc_call *call, const char *text)
{
	struct sl_grpc_server *server = call->server;
	int64_t ms = timeout_ms(text);
	if (!ms)
		return;
	call->deadline_ms = sl_loop_now_ms(server->loop) + ms;
	if (!server->deadlines)
		sl_timer_start(server->timer, EXPIRE_EVERY_MS, EXPIRE_EVERY_MS);
	call->next = server->deadlines;
	if (call->next)
		call->next->prev = call;
	server->deadlines = call;
}

/* What is no gRPC is answered as HTTP; what is no method of ours with a status. False: answered. */
static bool check_head(struct sl_grpc_server *server, struct sl_h2_stream *stream, const struct sl_grpc_method *method)
{
	static const struct sl_http_header text = {"content-type", "text/plain"};
	const char *type = sl_h2_header(stream, "content-type"), *encoding = sl_h2_header(stream, "grpc-encoding");
	const char *http_method = sl_h2_header(stream, ":method");
	struct sl_error err = {0};
	if (!http_method || strcmp(http_method, "POST") != 0 || !type || !sl_str_starts(type, "application/grpc")) {
		sl_h2_respond(stream, type ? 415 : 400, &text, 1, true);
		return false;
	}
	if (!method) {
		end_stream(stream, false, SL_GRPC_UNIMPLEMENTED, "no such method is served here");
		return false;
	}
	if (encoding && strcmp(encoding, "identity") != 0 && strcmp(encoding, "gzip") != 0) {
		end_stream(stream, false, SL_GRPC_UNIMPLEMENTED, "compression other than gzip is not understood");
		return false;
	}
	if (server->config.permit && server->config.permit(server->config.context, method->path, sl_h2_header(stream, "authorization"), &err)) {
		end_stream(stream, false, SL_GRPC_UNAUTHENTICATED, err.message);
		return false;
	}
	return true;
}

static void on_begin(void *context, struct sl_h2_stream *stream)
{
	struct sl_grpc_server *server = context;
	const struct sl_grpc_method *method = find_method(server, sl_h2_header(stream, ":path"));
	const char *encoding = sl_h2_header(stream, "grpc-encoding");
	if (!check_head(server, stream, method))
		return;
	struct sl_grpc_call *call = take(server);
	if (!call) {
		end_stream(stream, false, SL_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	call->stream = stream;
	call->method = method;
	call->gzip = encoding && strcmp(encoding, "gzip") == 0;
	set_deadline(call, sl_h2_header(stream, "grpc-timeout"));
	sl_h2_set_user(stream, call);
	sl_h2_hold(stream, HELD_OPEN); /* until its first message it is one that is still coming */
}

/* ---- messages ---- */

static int inflate_message(struct sl_grpc_server *server, const void *data, size_t len, struct sl_error *err)
{
	sl_buf_clear(&server->plain);
	return sl_net_inflate(SL_INFLATE_GZIP, data, len, &server->plain, err);
}

/* A complete message. False: the call is over. */
static bool deliver(struct sl_grpc_call *call, const unsigned char *message, size_t len)
{
	struct sl_grpc_server *server = call->server;
	struct sl_error err = {0};
	bool compressed = message[0] & 1;
	const void *data = message + PREFIX_BYTES;
	len -= PREFIX_BYTES;
	if (!call->messages++)
		sl_h2_hold(call->stream, -HELD_OPEN);
	int rc = 0;
	if (compressed && !call->gzip)
		rc = sl_fail(&err, SL_E_INVALID, "a message is compressed, and no grpc-encoding says how");
	else if (call->messages > 1 && !call->method->streams)
		rc = sl_fail(&err, SL_E_INVALID, "this method takes one message");
	else if (compressed)
		rc = inflate_message(server, data, len, &err);
	if (rc) {
		sl_grpc_fail(call, &err);
		return false;
	}
	if (compressed)
		call->method->message(server->config.context, call, sl_buf_cstr(&server->plain), server->plain.len);
	else
		call->method->message(server->config.context, call, data, len);
	if (server->plain.cap > KEEP_BYTES)
		sl_buf_done(&server->plain);
	return call->method != NULL;
}

static size_t message_length(const unsigned char *p)
{
	return PREFIX_BYTES + ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]);
}

/* Messages that are whole in `data` are read where they stand. Returns how much was used, or SIZE_MAX: the call is over. */
static size_t deliver_whole(struct sl_grpc_call *call, const unsigned char *data, size_t len)
{
	size_t at = 0;
	while (len - at >= PREFIX_BYTES) {
		size_t need = message_length(data + at);
		if (need - PREFIX_BYTES > SL_GRPC_MESSAGE_MAX) {
			struct sl_error err = {0};
			sl_fail(&err, SL_E_TOO_LARGE, "a message is larger than %d MiB", SL_GRPC_MESSAGE_MAX >> 20);
			sl_grpc_fail(call, &err);
			return SIZE_MAX;
		}
		if (need > len - at)
			break;
		if (!deliver(call, data + at, need))
			return SIZE_MAX;
		at += need;
	}
	return at;
}

static bool keep(struct sl_grpc_call *call, const unsigned char *data, size_t len)
{
	sl_buf_add(&call->in, data, len);
	return !call->in.failed && sl_h2_hold(call->stream, (ptrdiff_t)len);
}

static void read_messages(struct sl_grpc_call *call, const unsigned char *data, size_t len)
{
	/* First what a message begun before is missing: up to its prefix, then up to its end. */
	while (call->in.len && len) {
		size_t have = call->in.len;
		size_t need = have < PREFIX_BYTES ? PREFIX_BYTES : message_length((unsigned char *)call->in.data);
		if (need - PREFIX_BYTES <= SL_GRPC_MESSAGE_MAX) {
			size_t n = need - have < len ? need - have : len;
			if (!keep(call, data, n))
				return;
			data += n;
			len -= n;
		}
		size_t used = deliver_whole(call, (unsigned char *)call->in.data, call->in.len);
		if (used == SIZE_MAX)
			return;
		if (used) {
			sl_h2_hold(call->stream, -(ptrdiff_t)call->in.len);
			sl_buf_clear(&call->in);
		}
	}
	size_t used = len ? deliver_whole(call, data, len) : 0;
	if (used != SIZE_MAX && used < len)
		keep(call, data + used, len - used);
}

static void on_data(void *context, struct sl_h2_stream *stream, const void *data, size_t len)
{
	struct sl_grpc_call *call = sl_h2_user(stream);
	(void)context;
	if (!call)
		return;
	call->in_message = true;
	read_messages(call, data, len);
	call->in_message = false;
	if (!call->method)
		drop(call);
}

static void end_messages(struct sl_grpc_call *call)
{
	call->ended = true;
	call->method->ended(call->server->config.context, call);
}

static void on_end(void *context, struct sl_h2_stream *stream)
{
	struct sl_grpc_call *call = sl_h2_user(stream);
	(void)context;
	if (!call)
		return;
	if (call->in.len)
		sl_grpc_finish(call, SL_GRPC_INVALID_ARGUMENT, "the last message is not complete");
	else if (call->method->ended)
		end_messages(call);
	else if (call->method->streams)
		sl_grpc_finish(call, SL_GRPC_OK, NULL);
	else if (!call->messages)
		sl_grpc_finish(call, SL_GRPC_INVALID_ARGUMENT, "no message came");
}

static void on_closed(void *context, struct sl_h2_stream *stream)
{
	struct sl_grpc_call *call = sl_h2_user(stream);
	(void)context;
	if (!call)
		return;
	sl_h2_set_user(stream, NULL);
	call->stream = NULL;
	drop(call);
}

/* ---- the server ---- */

int sl_grpc_server_new(struct sl_loop *loop, const struct sl_grpc_config *config, struct sl_grpc_server **ret, struct sl_error *err)
{
	struct sl_grpc_server *server = sl_alloc(sizeof *server, err);
	if (!server)
		return SL_E_NO_MEMORY;
	server->config = *config;
	server->loop = loop;
	sl_buf_init(&server->plain, SL_GRPC_MESSAGE_MAX);
	struct sl_h2_handler handler = {.context = server, .begin = on_begin, .data = on_data, .end = on_end, .closed = on_closed};
	int rc = sl_h2_server_new(loop, &handler, &server->h2, err);
	if (!rc)
		rc = sl_timer_new(loop, on_expiry, server, &server->timer, err);
	if (rc) {
		sl_grpc_server_free(server);
		return rc;
	}
	*ret = server;
	return 0;
}

struct sl_h2_server *sl_grpc_h2(struct sl_grpc_server *server) { return server->h2; }

void sl_grpc_server_free(struct sl_grpc_server *server)
{
	if (!server)
		return;
	sl_h2_server_free(server->h2);
	while (server->spare) {
		struct sl_grpc_call *call = server->spare;
		server->spare = call->next;
		sl_buf_done(&call->in);
		sl_free(call);
	}
	sl_timer_free(server->timer);
	sl_buf_done(&server->plain);
	sl_free(server);
}

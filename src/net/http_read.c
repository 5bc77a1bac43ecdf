/* Bytes to requests. The head of a request stays in one contiguous region until it is complete (in the shared read buffer
 * when it came in one piece, else in c->in), so the parser's callbacks only note where its parts are, and one copy into the
 * request's arena ends it. Bodies are never held here. */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "net/http_server_internal.h"

int refuse(struct sl_http_server *server, int status, int code, const char *hint, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	server->refusal = (struct sl_error){.code = code};
	vsnprintf(server->refusal.message, sizeof server->refusal.message, format, args);
	va_end(args);
	if (hint)
		sl_error_hint(&server->refusal, "%s", hint);
	server->refusal_status = status;
	return status;
}

/* For a parser callback: the refusal is noted, the parser stops. */
static int stop_parser(int status) { return status ? HPE_USER : 0; }

static int too_large(struct conn *c, int status, const char *what, uint64_t limit)
{
	return stop_parser(refuse(c->server, status, SL_E_TOO_LARGE, NULL, "%s larger than the limit of %llu", what,
		(unsigned long long)limit));
}

/* ---- the head ---- */

static struct conn *conn_of(llhttp_t *parser) { return parser->data; }

/* A part of the head; it may come in several calls, contiguous in the region. */
static void extend(const struct conn *c, struct span *span, bool fresh, const char *at, size_t len)
{
	if (fresh)
		*span = (struct span){.at = (uint32_t)(at - (c->base + c->head_start))};
	span->len += (uint32_t)len;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);
	struct head *head = c->server->head;
	extend(c, &head->url, head->last != SPAN_URL, at, len);
	head->last = SPAN_URL;
	if (head->url.len > c->server->limits.url_bytes)
		return too_large(c, 414, "the URL is", c->server->limits.url_bytes);
	return 0;
}

/* Chunk extensions and trailers carry nothing for anybody here; they are read, counted and dropped. */
static int count_extra_bytes(struct conn *c, size_t len)
{
	struct request *r = c->reading;
	if (r && (r->extra_bytes += (uint32_t)len) > EXTRA_BYTES_MAX)
		return too_large(c, 431, "chunk extensions and trailers are", EXTRA_BYTES_MAX);
	return 0;
}

static int count_head_bytes(struct conn *c, size_t len)
{
	struct head *head = c->server->head;
	head->bytes += (uint32_t)len;
	if (head->bytes > c->server->limits.header_bytes)
		return too_large(c, 431, "the request's headers are", c->server->limits.header_bytes);
	return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);
	struct head *head = c->server->head;
	if (!c->in_head)
		return count_extra_bytes(c, len + 4);
	bool fresh = head->last != SPAN_NAME;
	if (fresh && head->count == c->server->limits.header_count)
		return too_large(c, 431, "the number of headers is", c->server->limits.header_count);
	if (fresh)
		head->fields[head->count++].value = (struct span){0};
	extend(c, &head->fields[head->count - 1].name, fresh, at, len);
	head->last = SPAN_NAME;
	return count_head_bytes(c, len + (fresh ? 4 : 0)); /* ": " and the line's end */
}

static int on_name_complete(llhttp_t *parser)
{
	conn_of(parser)->server->head->last = SPAN_NAME_DONE;
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);
	struct head *head = c->server->head;
	if (!c->in_head)
		return count_extra_bytes(c, len);
	extend(c, &head->fields[head->count - 1].value, head->last != SPAN_VALUE, at, len);
	head->last = SPAN_VALUE;
	return count_head_bytes(c, len);
}

static bool our_method(unsigned llhttp_method, enum sl_http_method *ret)
{
	switch (llhttp_method) {
	case HTTP_GET: *ret = SL_HTTP_GET; return true;
	case HTTP_HEAD: *ret = SL_HTTP_HEAD; return true;
	case HTTP_POST: *ret = SL_HTTP_POST; return true;
	case HTTP_PUT: *ret = SL_HTTP_PUT; return true;
	case HTTP_PATCH: *ret = SL_HTTP_PATCH; return true;
	case HTTP_DELETE: *ret = SL_HTTP_DELETE; return true;
	case HTTP_OPTIONS: *ret = SL_HTTP_OPTIONS; return true;
	default: return false;
	}
}

/* NUL-terminates the span in place; blanks around it do not belong to it. */
static char *text_of(char *copy, struct span span)
{
	char *text = copy + span.at;
	while (span.len && (text[span.len - 1] == ' ' || text[span.len - 1] == '\t'))
		span.len--;
	text[span.len] = 0;
	return text;
}

static void lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
}

/* Moves the head into the request's arena. */
static int copy_head(const struct conn *c, struct request *r)
{
	const struct head *head = c->server->head;
	struct span last = head->count ? head->fields[head->count - 1].value : head->url;
	if (head->count && !last.len && !last.at) /* an empty value is not reported */
		last = head->fields[head->count - 1].name;
	size_t len = (size_t)last.at + last.len;
	char *copy = sl_arena_strndup(r->pub.arena, c->base + c->head_start, len + 1);
	struct sl_http_header *headers = sl_arena_array(r->pub.arena, head->count, sizeof *headers);
	if (!copy || !headers)
		return refuse(c->server, 503, SL_E_NO_MEMORY, NULL, "out of memory");
	for (uint32_t i = 0; i < head->count; i++) {
		char *name = text_of(copy, head->fields[i].name);
		lower(name);
		headers[i].name = name;
		headers[i].value = head->fields[i].value.len ? text_of(copy, head->fields[i].value) : "";
	}
	r->pub.target = text_of(copy, head->url);
	r->pub.headers = headers;
	r->pub.header_count = head->count;
	return 0;
}

static int check_version_and_method(const struct conn *c, struct request *r)
{
	const llhttp_t *p = &c->parser;
	if (p->http_major != 1 || p->http_minor > 1)
		return refuse(c->server, 505, SL_E_INVALID, "use HTTP/1.1", "HTTP version %u.%u is not served here",
			p->http_major, p->http_minor);
	if (!our_method(p->method, &r->pub.method))
		return refuse(c->server, 501, SL_E_INVALID, NULL, "the method %s is not served here",
			llhttp_method_name((llhttp_method_t)p->method));
	r->http_1_0 = p->http_minor == 0;
	r->no_body = r->pub.method == SL_HTTP_HEAD;
	return 0;
}

/* Only "chunked", once, in HTTP/1.1: everything else is read differently by different programs. */
static int check_framing(const struct conn *c, struct request *r)
{
	const llhttp_t *p = &c->parser;
	bool chunked = false;
	for (size_t i = 0; i < r->pub.header_count; i++) {
		const struct sl_http_header *h = &r->pub.headers[i];
		if (strcmp(h->name, "transfer-encoding") == 0) {
			if (chunked || r->http_1_0)
				return refuse(c->server, 400, SL_E_INVALID, NULL,
					"Transfer-Encoding may stand once, in HTTP/1.1");
			if (strcasecmp(h->value, "chunked") != 0)
				return refuse(c->server, 501, SL_E_INVALID, "send the body as it is, or chunked",
					"Transfer-Encoding other than 'chunked' is not understood");
			chunked = true;
		} else if (strcmp(h->name, "expect") == 0) {
			if (strcasecmp(h->value, "100-continue") != 0)
				return refuse(c->server, 417, SL_E_INVALID, NULL, "only 'Expect: 100-continue' can be met");
			r->expects_continue = !r->http_1_0;
		}
	}
	bool length = p->flags & F_CONTENT_LENGTH;
	if (chunked && length)
		return refuse(c->server, 400, SL_E_INVALID, NULL, "Content-Length and Transfer-Encoding exclude each other");
	if (length && p->content_length > INT64_MAX)
		return refuse(c->server, 413, SL_E_TOO_LARGE, NULL, "Content-Length is beyond every limit");
	r->pub.content_length = chunked ? -1 : length ? (int64_t)p->content_length : 0;
	return 0;
}

static int check_body_limit(struct conn *c, const struct request *r)
{
	if (r->pub.content_length > 0 && (uint64_t)r->pub.content_length > r->body_limit)
		return too_large(c, 413, "the request's body is", r->body_limit);
	return 0;
}

/* The room learns of the request; it may answer already. */
static int announce(struct conn *c, struct request *r)
{
	const struct sl_http_handler *handler = &c->server->handler;
	c->reading = r;
	c->had_request = true;
	request_push(c, r);
	c->server->stats.requests++;
	if (handler->head) {
		r->with_room = true;
		handler->head(handler->context, &r->pub);
		/* Waiting for the whole body, it is ours again. */
		r->with_room = !r->answered && r->mode == BODY_STREAM && !r->handover_path;
	}
	if (r->handover_path)
		return HPE_PAUSED;
	return r->answered ? 0 : check_body_limit(c, r);
}

static int on_headers_complete(llhttp_t *parser)
{
	struct conn *c = conn_of(parser);
	struct sl_http_server *server = c->server;
	parser->upgrade = 0; /* nothing here upgrades; the request is served as it stands */
	struct request *r = request_take(server);
	if (!r)
		return stop_parser(refuse(server, 503, SL_E_NO_MEMORY, NULL, "out of memory"));
	int status = check_version_and_method(c, r);
	if (!status)
		status = copy_head(c, r);
	if (!status)
		status = check_framing(c, r);
	if (!status)
		status = guard_request(c, r);
	if (status) {
		request_drop(r);
		return stop_parser(status);
	}
	r->keep_alive = llhttp_should_keep_alive(parser) && !server->draining;
	r->body_limit = server->limits.body_bytes;
	c->in_head = false;
	int rc = announce(c, r);
	/* Once the answer is there, nobody waits for a go-ahead. */
	if (!rc && r->expects_continue && !r->answered && r->pub.content_length != 0) {
		sl_buf_str(&r->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_mark_dirty(c);
	}
	return rc;
}

/* ---- the body ---- */

static int on_chunk_header(llhttp_t *parser)
{
	struct conn *c = conn_of(parser);
	struct request *r = c->reading;
	if (r && ++r->chunks > c->server->limits.chunk_count)
		return too_large(c, 413, "the number of chunks is", c->server->limits.chunk_count);
	return 0;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
	(void)at;
	return count_extra_bytes(conn_of(parser), len);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);
	struct request *r = c->reading;
	c->progress_bytes += len;
	if (!r || !len) /* nobody wants it any more; nothing new after a pause */
		return 0;
	r->body_seen += len;
	if (r->body_seen > r->body_limit)
		return too_large(c, 413, "the request's body is", r->body_limit);
	if (r->mode == BODY_STREAM) {
		r->piece(r->piece_context, &r->pub, at, len);
		return c->reading == r && r->paused ? HPE_PAUSED : 0;
	}
	sl_buf_add(&r->body, at, len);
	if (r->body.failed)
		return stop_parser(refuse(c->server, 503, SL_E_NO_MEMORY, NULL, "out of memory"));
	request_hold(r, len);
	return 0;
}

static void body_complete(struct conn *c, struct request *r)
{
	const struct sl_http_handler *handler = &c->server->handler;
	c->reading = NULL;
	r->body_done = true;
	if (r->mode == BODY_STREAM) {
		r->piece(r->piece_context, &r->pub, "", 0);
		return;
	}
	r->pub.body = sl_buf_cstr(&r->body);
	r->pub.body_len = r->body.len;
	r->with_room = true;
	handler->request(handler->context, &r->pub);
}

static int on_message_complete(llhttp_t *parser)
{
	struct conn *c = conn_of(parser);
	struct request *r = c->reading;
	c->message_ended = true;
	if (!llhttp_should_keep_alive(parser))
		c->no_more = true;
	if (r)
		body_complete(c, r);
	return HPE_PAUSED; /* so that the place where the next head starts is known */
}

const llhttp_settings_t sl_http_request_settings = {
	.on_url = on_url, .on_header_field = on_name, .on_header_field_complete = on_name_complete, .on_header_value = on_value,
	.on_headers_complete = on_headers_complete, .on_chunk_header = on_chunk_header,
	.on_chunk_extension_name = on_chunk_extension, .on_chunk_extension_value = on_chunk_extension,
	.on_body = on_body, .on_message_complete = on_message_complete,
};

/* ---- a region of bytes ---- */

/* What the parser refused by itself. */
static int refuse_malformed(struct conn *c, enum llhttp_errno error)
{
	const char *reason = llhttp_get_error_reason(&c->parser);
	/* A wrong line end behind a right version is the same code of the parser's. */
	bool known = c->parser.http_major == 1 && c->parser.http_minor <= 1;
	bool version = (error == HPE_INVALID_VERSION && !known) || error == HPE_PAUSED_H2_UPGRADE;
	return refuse(c->server, version ? 505 : 400, SL_E_INVALID, version ? "use HTTP/1.1" : NULL, "malformed request: %s",
		reason && *reason ? reason : llhttp_errno_name(error));
}

/* A head that has not ended yet must still be able to. */
static int check_unfinished_head(struct conn *c)
{
	const struct sl_http_limits *limits = &c->server->limits;
	size_t most = (size_t)limits->header_bytes + limits->url_bytes + 1024;
	return c->in_head && c->parsed - c->head_start > most ? too_large(c, 431, "the request's head is", most) : 0;
}

static void begin_head(struct conn *c)
{
	c->in_head = true;
	c->head_start = c->parsed;
	c->server->head->url = (struct span){0};
	c->server->head->count = c->server->head->bytes = 0;
	c->server->head->last = SPAN_NONE;
}

/* False: refused. */
static bool run_parser(struct conn *c, size_t len)
{
	while ((c->parsed < len || c->stopped) && conn_may_parse(c)) {
		c->stopped = c->message_ended = false;
		c->server->refusal_status = 0;
		enum llhttp_errno error = llhttp_execute(&c->parser, c->base + c->parsed, len - c->parsed);
		if (error == HPE_OK) {
			c->parsed = len;
			break;
		}
		if (error != HPE_PAUSED) {
			if (c->no_more) /* answered already; nobody cares what the rest looks like */
				return true;
			if (!c->server->refusal_status) /* none of our callbacks stopped it */
				refuse_malformed(c, error);
			return false;
		}
		c->parsed = (size_t)(llhttp_get_error_pos(&c->parser) - c->base);
		llhttp_resume(&c->parser);
		/* Stopped by a room, the parser may have something to say before it needs another byte. */
		c->stopped = !c->message_ended;
		if (c->message_ended)
			begin_head(c);
	}
	return check_unfinished_head(c) == 0;
}

/* The head's parts noted so far wait with the connection; the table itself is shared. */
static bool save_head(struct conn *c)
{
	const struct head *head = c->server->head;
	size_t size = sizeof *head + head->count * sizeof head->fields[0];
	struct head *saved = sl_realloc(c->saved_head, size, NULL);
	if (!saved)
		return false;
	memcpy(saved, head, size);
	c->saved_head = saved;
	return true;
}

static void load_head(struct conn *c)
{
	if (c->saved_head)
		memcpy(c->server->head, c->saved_head,
			sizeof *c->saved_head + c->saved_head->count * sizeof c->saved_head->fields[0]);
	else
		memset(c->server->head, 0, sizeof *c->server->head);
}

/* Keeps base[from..len) in c->in. */
static bool keep_rest(struct conn *c, const char *base, size_t from, size_t len)
{
	size_t rest = len - from;
	if (base == c->in) {
		memmove(c->in, c->in + from, rest);
	} else if (rest) {
		char *in = sl_realloc(c->in, rest, NULL);
		if (!in)
			return false;
		c->in = memcpy(in, base + from, rest);
	}
	if (!rest) {
		sl_free(c->in);
		c->in = NULL;
	}
	c->in_len = rest;
	c->parsed -= from;
	c->head_start = 0;
	return true;
}

void conn_parse(struct conn *c, const char *base, size_t len)
{
	assert(!c->base); /* never within a callback of the parser */
	c->base = base;
	load_head(c);
	bool fine = run_parser(c, len);
	c->base = NULL;
	size_t from = c->in_head || (c->reading && c->reading->handover_path) ? c->head_start : c->parsed;
	bool unfinished = fine && c->in_head && c->parsed > from;
	if (!fine || c->no_more || !keep_rest(c, base, from, len) || (unfinished && !save_head(c))) {
		sl_free(c->in);
		c->in = NULL;
		c->in_len = c->parsed = c->head_start = 0;
		if (fine && !c->no_more)
			refuse(c->server, 503, SL_E_NO_MEMORY, NULL, "out of memory");
		fine = fine && c->no_more;
	}
	if (!unfinished) {
		sl_free(c->saved_head);
		c->saved_head = NULL;
	}
	if (!fine)
		conn_refuse(c, c->server->refusal_status, &c->server->refusal);
}

/* The request whose body was coming cannot be completed: its slot goes to the refusal, unless its answer has begun. */
static bool give_up_reading(struct conn *c)
{
	struct request *r = c->reading;
	c->reading = NULL;
	if (!r || r->answered)
		return true;
	bool started = r->started;
	request_detach(r);
	return !started;
}

void conn_refuse(struct conn *c, int status, const struct sl_error *error)
{
	struct sl_http_server *server = c->server;
	server->stats.refusals++;
	if (server->handler.refused)
		server->handler.refused(server->handler.context, status, error);
	c->no_more = c->linger = true;
	bool answerable = give_up_reading(c);
	struct request *r = answerable ? request_take(server) : NULL;
	if (r) {
		r->body_done = true;
		request_push(c, r);
		request_error_answer(r, status, error, true);
	}
	conn_mark_dirty(c);
}

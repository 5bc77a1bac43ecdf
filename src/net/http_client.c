/* Calls: what is asked of whom, waiting for a connection, ending, time-outs. */
#include "net/http_client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/http_client_internal.h"

enum { ARENA_BYTES = 1 << 20, REQUEST_BYTES_MAX = 1 << 30 };

static void default_u32(uint32_t *value, uint32_t standard)
{
	if (!*value)
		*value = standard;
}

static void set_defaults(struct sl_http_client *client)
{
	struct sl_http_client_config *c = &client->config;
	default_u32(&c->connect_timeout_ms, 10000);
	default_u32(&c->timeout_ms, 30000);
	default_u32(&c->idle_timeout_ms, 60000);
	default_u32(&c->connections_per_host, 16);
	default_u32(&c->header_bytes, 64 * 1024);
	if (!c->body_bytes)
		c->body_bytes = 64 << 20;
	uint32_t least = c->connect_timeout_ms < c->timeout_ms ? c->connect_timeout_ms : c->timeout_ms;
	least = (c->idle_timeout_ms < least ? c->idle_timeout_ms : least) / 4;
	client->tick_ms = least < 10 ? 10 : least > 1000 ? 1000 : least;
}

/* ---- hosts ---- */

static struct host *host_for(struct sl_http_client *client, const struct sl_url *url)
{
	for (struct host *h = client->hosts; h; h = h->next)
		if (h->tls == url->tls && h->local == url->local && h->port == url->port && strcasecmp(h->name, url->host) == 0)
			return h;
	struct host *h = sl_alloc(sizeof *h, NULL);
	if (!h)
		return NULL;
	h->tls = url->tls;
	h->local = url->local;
	h->port = url->port;
	memcpy(h->name, url->host, sizeof h->name);
	h->next = client->hosts;
	client->hosts = h;
	return h;
}

static struct client_conn *idle_conn(struct host *host)
{
	struct client_conn *c = host->conns;
	while (c && (c->exchange || c->looking_up || !c->connected))
		c = c->next;
	return c;
}

static void append(struct sl_http_exchange **first, struct sl_http_exchange **last, struct sl_http_exchange *x)
{
	x->next = NULL;
	*(*first ? &(*last)->next : first) = x;
	*last = x;
}

/* False: not in that list. */
static bool take_out(struct sl_http_exchange **first, struct sl_http_exchange **last, struct sl_http_exchange *x)
{
	struct sl_http_exchange **at = first, *before = NULL;
	while (*at && *at != x) {
		before = *at;
		at = &before->next;
	}
	if (!*at)
		return false;
	*at = x->next;
	if (*last == x)
		*last = before;
	return true;
}

/* Gives it a connection, or lets it wait for one. */
static void begin(struct sl_http_exchange *x)
{
	struct host *host = x->host;
	struct client_conn *c = x->only_fresh ? NULL : idle_conn(host);
	struct sl_error err;
	if (c) {
		client_conn_use(c, x);
		return;
	}
	c = idle_conn(host); /* not fit for this one, but it takes the place of a fresh one */
	if (c && host->conn_count >= x->client->config.connections_per_host)
		client_conn_close(c);
	if (host->conn_count >= x->client->config.connections_per_host)
		append(&host->waiting, &host->waiting_last, x);
	else if (client_conn_open(host, x, &err))
		exchange_end(x, &err);
}

void host_serve(struct host *host)
{
	struct sl_http_exchange *x = host->waiting;
	if (!x)
		return;
	take_out(&host->waiting, &host->waiting_last, x);
	exchange_retry(x);
}

/* ---- the clock ---- */

/* Each ends at most one call, since ending one may change everything; true: look again. */
static bool time_out_waiting(struct host *host, int64_t now)
{
	for (struct sl_http_exchange *x = host->waiting; x; x = x->next) {
		struct sl_error err;
		if (x->deadline_ms > now)
			continue;
		sl_fail_at(&err, SL_E_TIMEOUT, x->url.authority, "no connection was free in time");
		take_out(&host->waiting, &host->waiting_last, x);
		exchange_end(x, &err);
		return true;
	}
	return false;
}

static bool time_out_conn(struct host *host, int64_t now)
{
	for (struct client_conn *c = host->conns; c; c = c->next) {
		struct sl_http_exchange *x = c->exchange;
		if (x ? x->deadline_ms > now : c->idle_until_ms > now)
			continue;
		const struct sl_http_client_config *config = &c->client->config;
		bool connected = c->connected;
		client_conn_close(c);
		if (x) {
			struct sl_error err;
			sl_fail_at(&err, SL_E_TIMEOUT, x->url.authority, "%s within %u ms",
				connected ? "the server did not go on" : "could not connect",
				connected ? config->timeout_ms : config->connect_timeout_ms);
			exchange_end(x, &err);
		}
		return true;
	}
	return false;
}

static void on_tick(uv_timer_t *timer)
{
	struct sl_http_client *client = timer->data;
	int64_t now = sl_loop_now_ms(client->loop);
	bool anything = client->starting != NULL;
	client->refs++;
	for (struct host *h = client->hosts; h && !client->freed; h = h->next) {
		while (!client->freed && (time_out_conn(h, now) || time_out_waiting(h, now)))
			;
		anything = anything || h->conns || h->waiting;
	}
	if (!anything && !client->freed) {
		uv_timer_stop(timer);
		client->ticking = false;
	}
	client_unref(client);
}

static void start_ticking(struct sl_http_client *client)
{
	if (client->ticking)
		return;
	client->ticking = true;
	uv_timer_start(&client->ticker, on_tick, client->tick_ms, client->tick_ms);
}

/* Calls that were started begin at the end of the turn: so nothing ends before its start has returned. */
static void on_turn_end(void *context)
{
	struct sl_http_client *client = context;
	client->refs++;
	while (client->starting && !client->freed) {
		struct sl_http_exchange *x = client->starting;
		take_out(&client->starting, &client->starting_last, x);
		begin(x);
	}
	client_unref(client);
}

/* ---- client ---- */

int sl_http_client_new(struct sl_loop *loop, const struct sl_http_client_config *config, struct sl_http_client **ret,
	struct sl_error *err)
{
	struct sl_http_client *client = sl_alloc(sizeof *client, err);
	if (!client)
		return SL_E_NO_MEMORY;
	client->scratch = sl_alloc(CLIENT_READ_BYTES, err);
	if (!client->scratch) {
		sl_free(client);
		return SL_E_NO_MEMORY;
	}
	client->loop = loop;
	client->config = *config;
	set_defaults(client);
	client->refs = 2;
	client->turn = (struct sl_turn){.end = on_turn_end, .context = client};
	sl_turn_add(loop, &client->turn);
	uv_timer_init(&loop->uv, &client->ticker);
	client->ticker.data = client;
	*ret = client;
	return 0;
}

void client_unref(struct sl_http_client *client)
{
	assert(client->refs > 0);
	if (--client->refs)
		return;
	while (client->hosts) {
		struct host *h = client->hosts;
		client->hosts = h->next;
		sl_free(h);
	}
	sl_free(client->scratch);
	sl_free(client);
}

static void on_ticker_closed(uv_handle_t *handle) { client_unref(handle->data); }

void sl_http_client_free(struct sl_http_client *client)
{
	if (!client)
		return;
	client->freed = true; /* nothing begins any more */
	while (client->starting)
		sl_http_exchange_cancel(client->starting);
	for (struct host *h = client->hosts; h; h = h->next) {
		while (h->waiting)
			sl_http_exchange_cancel(h->waiting);
		while (h->conns) {
			if (h->conns->exchange)
				sl_http_exchange_cancel(h->conns->exchange);
			else
				client_conn_close(h->conns);
		}
	}
	sl_turn_remove(client->loop, &client->turn);
	uv_close((uv_handle_t *)&client->ticker, on_ticker_closed);
	client_unref(client);
}

/* ---- one call ---- */

static void exchange_free(struct sl_http_exchange *x)
{
	sl_buf_done(&x->request);
	sl_buf_done(&x->head);
	sl_buf_done(&x->body);
	sl_arena_free(x->arena);
	sl_free(x);
}

void exchange_end(struct sl_http_exchange *x, const struct sl_error *err)
{
	assert(!x->conn);
	x->answer.body = sl_buf_cstr(&x->body);
	x->answer.body_len = x->body.len;
	x->done(x->context, err ? NULL : &x->answer, err);
	exchange_free(x);
}

void exchange_retry(struct sl_http_exchange *x)
{
	assert(!x->conn);
	x->deadline_ms = sl_loop_now_ms(x->client->loop) + x->client->config.connect_timeout_ms;
	append(&x->client->starting, &x->client->starting_last, x);
	start_ticking(x->client);
}

void exchange_progress(struct sl_http_exchange *x)
{
	x->deadline_ms = sl_loop_now_ms(x->client->loop) + x->client->config.timeout_ms;
}

void sl_http_exchange_cancel(struct sl_http_exchange *x)
{
	struct sl_error err;
	if (x->conn)
		client_conn_close(x->conn);
	else if (!take_out(&x->client->starting, &x->client->starting_last, x))
		take_out(&x->host->waiting, &x->host->waiting_last, x);
	sl_fail_at(&err, SL_E_CANCELLED, x->url.authority, "the call was cancelled");
	exchange_end(x, &err);
}

static bool is_our_header(const char *name)
{
	static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection"};
	for (size_t i = 0; i < SL_ARRAY_LEN(ours); i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

static int write_request(struct sl_http_exchange *x, const struct sl_http_call *call, struct sl_error *err)
{
	struct sl_buf *out = &x->request;
	sl_buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", sl_http_method_name(call->method), x->url.target, x->url.authority);
	for (size_t i = 0; i < call->header_count; i++) {
		const struct sl_http_header *h = &call->headers[i];
		if (!sl_http_header_name_valid(h->name) || !sl_http_header_value_valid(h->value) || is_our_header(h->name))
			return sl_fail_at(err, SL_E_INVALID, h->name, "not a header that may be sent");
		sl_buf_printf(out, "%s: %s\r\n", h->name, h->value);
	}
	bool has_body = call->body_len || call->method == SL_HTTP_POST || call->method == SL_HTTP_PUT ||
		call->method == SL_HTTP_PATCH;
	if (call->source && call->source_length < 0)
		sl_buf_str(out, "Transfer-Encoding: chunked\r\n");
	else if (call->source)
		sl_buf_printf(out, "Content-Length: %lld\r\n", (long long)call->source_length);
	else if (has_body)
		sl_buf_printf(out, "Content-Length: %zu\r\n", call->body_len);
	sl_buf_str(out, "\r\n");
	if (!call->source)
		sl_buf_add(out, call->body, call->body_len);
	return sl_buf_check(out, "the request", err);
}

static int fill_exchange(struct sl_http_exchange *x, const struct sl_http_call *call, struct sl_error *err)
{
	x->method = call->method;
	x->source = call->source;
	x->source_left = call->source ? call->source_length : 0;
	x->source_done = !call->source;
	x->sink = call->sink;
	x->done = call->done;
	x->context = call->context;
	sl_buf_init(&x->request, REQUEST_BYTES_MAX);
	sl_buf_init(&x->head, x->client->config.header_bytes);
	sl_buf_init(&x->body, x->client->config.body_bytes);
	int rc = sl_url_parse(call->url, &x->url, err);
	if (!rc && x->url.tls && !x->client->config.tls)
		rc = sl_fail_at(err, SL_E_INVALID, call->url, "https is not configured here");
	if (!rc)
		rc = write_request(x, call, err);
	if (rc)
		return rc;
	x->arena = sl_arena_new(ARENA_BYTES, err);
	x->host = host_for(x->client, &x->url);
	return x->arena && x->host ? 0 : sl_fail_memory(err);
}

int sl_http_client_start(struct sl_http_client *client, const struct sl_http_call *call, struct sl_http_exchange **ret,
	struct sl_error *err)
{
	assert(call->done && !(call->source && call->body_len));
	struct sl_http_exchange *x = sl_alloc(sizeof *x, err);
	if (!x)
		return SL_E_NO_MEMORY;
	x->client = client;
	int rc = fill_exchange(x, call, err);
	if (rc) {
		exchange_free(x);
		return rc;
	}
	exchange_retry(x);
	if (ret)
		*ret = x;
	return 0;
}

/* ---- the blocking call ---- */

struct fetch {
	int rc, status;
	struct sl_buf *headers, *body;
	struct sl_error *err;
	const struct sl_http_call *call;
};

static int fetch_source(void *context, char *out, size_t room, size_t *ret_len, struct sl_error *err)
{
	struct fetch *f = context;
	return f->call->source(f->call->context, out, room, ret_len, err);
}

static int fetch_sink(void *context, const char *data, size_t len, struct sl_error *err)
{
	struct fetch *f = context;
	return f->call->sink(f->call->context, data, len, err);
}

static void fetch_done(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct fetch *f = context;
	if (err) {
		f->rc = err->code;
		if (f->err)
			*f->err = *err;
		return;
	}
	f->status = answer->status;
	for (size_t i = 0; f->headers && i < answer->header_count; i++)
		sl_buf_printf(f->headers, "%s: %s\r\n", answer->headers[i].name, answer->headers[i].value);
	if (f->body)
		sl_buf_add(f->body, answer->body, answer->body_len);
	if (f->headers)
		f->rc = sl_buf_check(f->headers, "the answer's head", f->err);
	if (f->body && !f->rc)
		f->rc = sl_buf_check(f->body, "the answer", f->err);
}

static int fetch_on(struct sl_loop *loop, const struct sl_http_client_config *config, struct fetch *f, struct sl_error *err)
{
	struct sl_http_client *client;
	int rc = sl_http_client_new(loop, config, &client, err);
	if (rc)
		return rc;
	struct sl_http_call call = *f->call;
	call.done = fetch_done;
	call.context = f;
	if (call.source)
		call.source = fetch_source;
	if (call.sink)
		call.sink = fetch_sink;
	f->rc = SL_OK;
	rc = sl_http_client_start(client, &call, NULL, err);
	/* -1 as long as the call is under way: a status is never negative. */
	for (f->status = -1; !rc && !f->rc && f->status < 0;)
		sl_loop_run_once(loop, true);
	sl_http_client_free(client);
	return rc ? rc : f->rc;
}

int sl_http_fetch(const struct sl_http_client_config *config, const struct sl_http_call *call, int *ret_status,
	struct sl_buf *ret_headers, struct sl_buf *ret_body, struct sl_error *err)
{
	struct sl_loop *loop SL_CLEANUP(sl_loop_freep) = NULL;
	struct fetch f = {.headers = ret_headers, .body = ret_body, .err = err, .call = call};
	int rc = sl_loop_new(&loop, err);
	if (!rc)
		rc = fetch_on(loop, config, &f, err);
	if (!rc)
		*ret_status = f.status;
	return rc;
}

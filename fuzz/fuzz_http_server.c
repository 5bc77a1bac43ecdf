/* The server's whole path from bytes to answers, without sockets. Any bytes are answered or refused, and where the reads end
 * makes no difference: from the same bytes in pieces a room sees the same requests as from one read, and as many answers are
 * made. (Which of two reasons for a refusal is found first may differ.) The first byte of the input is the size of the pieces. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_server_internal.h"

enum { OUTPUT_MAX = 64 << 20 };

struct outcome {
	struct sl_buf output, requests; /* what was written; all that a room could see */
	uint64_t answers, refusals;
};

static void answer(void *context, struct sl_http_request *request, size_t body_len)
{
	struct outcome *outcome = context;
	size_t headers = 0;
	for (size_t i = 0; i < request->header_count; i++)
		headers += strlen(request->headers[i].name) * 3 + strlen(request->headers[i].value);
	assert(request->path[0] == '/' || strcmp(request->path, "*") == 0);
	assert(!strstr(request->path, "/../"));
	char *text = sl_arena_printf(request->arena, "%d %s %s %s %zu %zu\n", (int)request->method, request->path, request->query,
		request->host, headers, body_len);
	sl_buf_str(&outcome->requests, text);
	outcome->answers++;
	struct sl_http_response response = {
		.status = 200, .body = text, .body_len = strlen(text), .release = sl_http_borrow_arena,
	};
	sl_http_respond(request, &response);
}

static void on_request(void *context, struct sl_http_request *request)
{
	assert(request->body[request->body_len] == 0);
	answer(context, request, request->body_len);
}

static void on_piece(void *context, struct sl_http_request *request, const char *data, size_t len)
{
	(void)data;
	size_t *seen = request->user;
	*seen += len;
	if (!len)
		answer(context, request, *seen);
}

static void on_gone(void *context, struct sl_http_request *request)
{
	(void)context;
	struct sl_http_response response = {.status = 500};
	sl_http_respond(request, &response); /* finished, and dropped */
}

static void on_head(void *context, struct sl_http_request *request)
{
	if (strncmp(request->path, "/stream", 7) == 0) {
		request->user = sl_arena_alloc(request->arena, sizeof(size_t));
		sl_http_request_body_stream(request, on_piece, context);
		sl_http_request_on_gone(request, on_gone, context);
	} else if (strncmp(request->path, "/early", 6) == 0) {
		answer(context, request, 0);
	}
}

static void feed(struct sl_loop *loop, const char *data, size_t len, size_t piece, struct outcome *outcome)
{
	struct sl_http_config config = {
		.handler = {.context = outcome, .head = on_head, .request = on_request},
		.limits = {.header_bytes = 2000, .header_count = 10, .url_bytes = 500, .body_bytes = 5000, .chunk_count = 20,
			.pipelined = 4},
	};
	struct sl_http_stats stats;
	struct sl_http_server *server;
	if (sl_http_server_new(loop, &config, &server, NULL))
		abort();
	struct conn *c = conn_open_captured(server, &outcome->output);
	if (!c)
		abort();
	for (size_t at = 0; at < len && server->conns; at += piece) {
		conn_feed(c, data + at, len - at < piece ? len - at : piece);
		server_end_turn(server);
	}
	if (server->conns) {
		conn_eof(c);
		server_end_turn(server);
	}
	sl_http_server_stats(server, &stats);
	outcome->refusals = stats.refusals;
	sl_http_server_free(server);
	sl_loop_run_once(loop, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct outcome whole = {.output = SL_BUF_INIT(OUTPUT_MAX), .requests = SL_BUF_INIT(OUTPUT_MAX)};
	struct outcome pieces = {.output = SL_BUF_INIT(OUTPUT_MAX), .requests = SL_BUF_INIT(OUTPUT_MAX)};
	struct sl_loop *loop;

	/* One read takes READ_BYTES; more at once cannot happen. */
	if (len < 2 || len > READ_BYTES || sl_loop_new(&loop, NULL))
		return 0;
	feed(loop, (const char *)data + 1, len - 1, len, &whole);
	feed(loop, (const char *)data + 1, len - 1, data[0] % 64 + 1u, &pieces);
	sl_loop_free(loop);
	assert(whole.answers == pieces.answers && whole.refusals == pieces.refusals && whole.refusals <= 1);
	assert(strcmp(sl_buf_cstr(&whole.requests), sl_buf_cstr(&pieces.requests)) == 0);
	sl_buf_done(&whole.output);
	sl_buf_done(&whole.requests);
	sl_buf_done(&pieces.output);
	sl_buf_done(&pieces.requests);
	return 0;
}

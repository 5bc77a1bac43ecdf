/* fixed ANSWER_FILE: the least that a server of this kind can cost: libuv and llhttp, one thread, every request gets the same JSON.
 * Prints its port. What a prediction costs is compared with this. */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct conn {
	uv_tcp_t tcp;
	llhttp_t parser;
	char in[65536];
	uv_write_t write;
};

static char answer[1 << 16];
static size_t answer_len;
static llhttp_settings_t settings;

static int on_complete(llhttp_t *parser)
{
	struct conn *c = parser->data;
	uv_buf_t buf = uv_buf_init(answer, (unsigned)answer_len);
	return uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) == (int)answer_len ? 0 : -1;
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct conn *c = handle->data;
	(void)size;
	*buf = uv_buf_init(c->in, sizeof(c->in));
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = stream->data;
	if (n < 0 || llhttp_execute(&c->parser, buf->base, (size_t)n) != HPE_OK)
		uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (status < 0 || !c)
		abort();
	uv_tcp_init(listener->loop, &c->tcp);
	c->tcp.data = c;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0)
		abort();
	uv_tcp_nodelay(&c->tcp, 1);
	llhttp_init(&c->parser, HTTP_REQUEST, &settings);
	c->parser.data = c;
	uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

int main(int argc, char **argv)
{
	static char body[1 << 15];
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	size_t len = f ? fread(body, 1, sizeof(body), f) : 0;
	struct sockaddr_in address, bound;
	int bound_len = sizeof(bound);
	uv_tcp_t listener;

	if (!len)
		return 2;
	answer_len = (size_t)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
		len, (int)len, body);
	llhttp_settings_init(&settings);
	settings.on_message_complete = on_complete;
	uv_tcp_init(uv_default_loop(), &listener);
	uv_ip4_addr("127.0.0.1", 0, &address);
	if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) != 0 || uv_listen((uv_stream_t *)&listener, 128, on_connection) != 0)
		return 1;
	uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &bound_len);
	printf("%d\n", (bound.sin_port & 255) << 8 | bound.sin_port >> 8);
	fflush(stdout);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

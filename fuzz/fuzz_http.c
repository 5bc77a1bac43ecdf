/* HTTP requests: bytes of a client, in up to three pieces, to a server on a unix socket. It answers, refuses or closes, and every request that
 * it gives to the room above satisfies what http_server.h promises of it. */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

enum { TURNS_MAX = 2000 };

static struct sl_loop *loop;
static struct sl_http_server *server;
static char socket_path[64];

static void answer(void *context, struct sl_http_request *request)
{
	struct sl_http_param *params;
	size_t count;
	struct sl_error err;

	(void)context;
	assert(request->path[0] == '/' && !strstr(request->path, "/../") && strlen(request->body) <= request->body_len);
	sl_http_params(request->query, request->arena, &params, &count, &err);
	struct sl_http_response response = {.status = 200, .body = request->body, .body_len = request->body_len};
	sl_http_respond(request, &response);
}

static void end(void)
{
	sl_http_server_free(server);
	sl_loop_free(loop);
	unlink(socket_path);
}

static void start(void)
{
	struct sl_error err;
	struct sl_http_config config = {.handler = {.request = answer}, .limits = {.body_bytes = 4096}};

	if (server)
		return;
	snprintf(socket_path, sizeof(socket_path), "/tmp/fuzz-http-%ld", (long)getpid());
	if (sl_loop_new(&loop, &err) < 0 || sl_http_server_new(loop, &config, &server, &err) < 0
	    || sl_http_server_listen_unix(server, socket_path, &err) < 0)
		abort();
	atexit(end);
}

/* Turns the loop until the server has nothing more to say: it closed, or it waits for more. */
static void turn(int fd)
{
	char sink[4096];

	for (int i = 0; i < TURNS_MAX; i++) {
		sl_loop_run_once(loop, false);
		ssize_t n = read(fd, sink, sizeof(sink));
		if (n == 0)
			return;
		if (n < 0 && i > 8)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	start();
	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		abort();
	size_t first = len > 2 ? (data[0] % len) : len, sent = 0;
	const size_t ends[] = { first, first + (len - first) / 2, len };
	for (size_t i = 0; i < 3; i++) {
		ssize_t n = send(fd, data + sent, ends[i] - sent, MSG_NOSIGNAL);
		if (n < 0)
			break;
		sent += (size_t)n;
		turn(fd);
	}
	shutdown(fd, SHUT_WR);
	turn(fd);
	close(fd);
	for (int i = 0; i < 4; i++)
		sl_loop_run_once(loop, false);
	return 0;
}

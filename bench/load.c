/* load PORT CONNECTIONS REQUESTS PATH BODY_FILE: POSTs the same body over kept connections, one request under way on each, and
 * prints one JSON line: {"seconds":..,"failed":..,"p50_us":..,"p99_us":..}. A request fails when its answer is not a 200. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, ANSWER_MAX = 1 << 16 };

struct client {
	int64_t sent_ns;
	size_t have;
	char answer[ANSWER_MAX];
};

static struct client clients[CONNECTIONS_MAX];
static struct pollfd fds[CONNECTIONS_MAX];
static char request[1 << 20];
static size_t request_len;

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void make_request(int port, const char *path, const char *file)
{
	FILE *f = fopen(file, "rb");
	static char body[1 << 19];
	size_t len = f ? fread(body, 1, sizeof(body), f) : 0;

	if (!f || !len)
		die(file);
	fclose(f);
	request_len = (size_t)snprintf(request, sizeof(request),
		"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", path, port, len);
	memcpy(request + request_len, body, len);
	request_len += len;
}

static void post(int i)
{
	clients[i].have = 0;
	clients[i].sent_ns = now_ns();
	for (size_t done = 0; done < request_len;) {
		ssize_t n = write(fds[i].fd, request + done, request_len - done);
		if (n <= 0)
			die("write");
		done += (size_t)n;
	}
}

static void open_connection(int i, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	fds[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
	if (fds[i].fd < 0 || connect(fds[i].fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("connect");
	setsockopt(fds[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* 0: more is to come; 1: a whole answer that is a 200; -1: a whole answer that is not. */
static int receive(int i)
{
	struct client *c = &clients[i];
	ssize_t n = read(fds[i].fd, c->answer + c->have, sizeof(c->answer) - 1 - c->have);

	if (n <= 0)
		die("read");
	c->have += (size_t)n;
	c->answer[c->have] = '\0';
	char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "content-length:");
	if (!end || !length || (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10) > c->have)
		return 0;
	return strncmp(c->answer, "HTTP/1.1 200", 12) == 0 ? 1 : -1;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int port = atoi(argv[1]), connections = atoi(argv[2]), requests = atoi(argv[3]), sent = 0, done = 0, failed = 0;
	int64_t *taken = calloc((size_t)requests, sizeof(*taken)), start = now_ns();

	if (!taken || connections < 1 || connections > CONNECTIONS_MAX)
		return 2;
	make_request(port, argv[4], argv[5]);
	for (int i = 0; i < connections; i++)
		open_connection(i, port);
	for (; sent < connections && sent < requests; sent++)
		post(sent);
	while (done < requests) {
		if (poll(fds, (nfds_t)connections, 10000) <= 0)
			die("poll");
		for (int i = 0; i < connections; i++) {
			int good = fds[i].revents ? receive(i) : 0;
			if (!good)
				continue;
			taken[done++] = now_ns() - clients[i].sent_ns;
			failed += good < 0;
			if (sent < requests && ++sent)
				post(i);
		}
	}
	double seconds = (double)(now_ns() - start) / 1e9;
	qsort(taken, (size_t)requests, sizeof(*taken), by_size);
	printf("{\"seconds\":%.6f,\"failed\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seconds, failed, (double)taken[requests / 2] / 1e3,
		(double)taken[requests * 99LL / 100] / 1e3);
	free(taken);
	return 0;
}

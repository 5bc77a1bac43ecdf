/* open PORT CONNECTIONS RATE SECONDS PATH BODY_FILE: POSTs a body over kept connections at a rate that does not depend on the answers (open
 * loop); RATE 0: each connection asks again when it is answered (closed loop). A request's time begins when it was due, so that waiting for
 * a free connection counts. One JSON line: {"sent":..,"answered":..,"refused":..,"failed":..,"missed":..,"answered_us":[p50,p99,p99.9],
 * "refused_us":[...]}. Refused is a 503; missed is what was due when the time was over and every connection busy. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 8192, ANSWER_MAX = 2048, SAMPLES_MAX = 8 << 20, EVENTS_MAX = 256 };

struct connection { int fd; int64_t due_ns; size_t have; char answer[ANSWER_MAX]; };
struct samples { uint32_t *us; size_t count; };

static struct connection *connections;
static int *spare, spare_count, poll_fd;
static char request[1 << 16];
static size_t request_len, sent, failed;
static struct samples answered, refused;

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
	char body[1 << 15];
	FILE *f = fopen(file, "rb");
	size_t len = f ? fread(body, 1, sizeof body, f) : 0;
	if (!len)
		die(file);
	fclose(f);
	request_len = (size_t)snprintf(request, sizeof request,
		"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", path, port, len);
	memcpy(request + request_len, body, len);
	request_len += len;
}

static void open_connection(int i, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	connections[i].fd = fd;
	spare[spare_count++] = i;
}

static void post(int64_t due_ns)
{
	struct connection *c = &connections[spare[--spare_count]];
	c->due_ns = due_ns;
	c->have = 0;
	sent++;
	if (write(c->fd, request, request_len) != (ssize_t)request_len)
		die("write");
}

static void add(struct samples *samples, int64_t ns)
{
	if (samples->count < SAMPLES_MAX)
		samples->us[samples->count++] = (uint32_t)(ns / 1000);
}

/* Takes what came; a whole answer frees the connection. */
static void receive(int i)
{
	struct connection *c = &connections[i];
	ssize_t n = read(c->fd, c->answer + c->have, ANSWER_MAX - 1 - c->have);
	if (n <= 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		die("read");
	}
	c->have += (size_t)n;
	c->answer[c->have] = 0;
	char *end = strstr(c->answer, "\r\n\r\n"), *length = end ? strcasestr(c->answer, "content-length:") : NULL;
	if (!length || (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10) > c->have)
		return;
	int status = atoi(c->answer + 9);
	if (status == 200 || status == 503)
		add(status == 200 ? &answered : &refused, now_ns() - c->due_ns);
	else
		failed++;
	spare[spare_count++] = i;
}

/* How many were due and found no connection. */
static size_t drive(double rate, double seconds)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9), now;
	size_t due = 0;
	while ((now = now_ns()) < end) {
		due = rate > 0 ? (size_t)((double)(now - begin) * 1e-9 * rate) : SIZE_MAX;
		while (spare_count && sent < due)
			post(rate > 0 ? begin + (int64_t)((double)sent / rate * 1e9) : now_ns());
		int n = epoll_wait(poll_fd, events, EVENTS_MAX, rate > 0 ? 0 : 10);
		for (int i = 0; i < n; i++)
			receive((int)events[i].data.u32);
	}
	return rate > 0 ? due - sent : 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void print_samples(const char *name, struct samples *s)
{
	static const double QUANTILES[] = {0.5, 0.99, 0.999};
	qsort(s->us, s->count, sizeof *s->us, compare);
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < 3; i++)
		printf("%s%u", i ? "," : "", s->count ? s->us[(size_t)(QUANTILES[i] * (double)(s->count - 1))] : 0);
	printf("]");
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: open PORT CONNECTIONS RATE SECONDS PATH BODY_FILE\n");
		return 2;
	}
	int count = atoi(argv[2]);
	if (count < 1 || count > CONNECTIONS_MAX)
		return 2;
	connections = calloc((size_t)count, sizeof *connections);
	spare = calloc((size_t)count, sizeof *spare);
	answered.us = malloc(SAMPLES_MAX * sizeof *answered.us);
	refused.us = malloc(SAMPLES_MAX * sizeof *refused.us);
	poll_fd = epoll_create1(0);
	if (!connections || !spare || !answered.us || !refused.us || poll_fd < 0)
		die("start");
	make_request(atoi(argv[1]), argv[5], argv[6]);
	for (int i = 0; i < count; i++)
		open_connection(i, atoi(argv[1]));
	size_t missed = drive(atof(argv[3]), atof(argv[4]));
	printf("{\"sent\":%zu,\"answered\":%zu,\"refused\":%zu,\"failed\":%zu,\"missed\":%zu", sent, answered.count, refused.count, failed, missed);
	print_samples("answered_us", &answered);
	print_samples("refused_us", &refused);
	printf("}\n");
	return 0;
}

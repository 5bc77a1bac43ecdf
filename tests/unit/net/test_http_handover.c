/* Two servers behind one port: connections go back and forth between them, whatever the client was doing. */
#include "http_testing.h"

#include "net/tls.h"
#include "os/file.h"

/* Each server answers its own prefix and hands over what is the other's. */
struct role {
	char name;
	struct sl_http_server *server;
	const char *mine; /* "/a" */
	char other_socket[128];
	struct sl_http_request *held;
	int failures, answered;
};

struct pair {
	struct sl_loop *loop;
	struct role a, b;
	char dir[64];
	uint16_t port;
};

static void respond(struct role *role, struct sl_http_request *request)
{
	role->answered++;
	char *text = sl_arena_printf(request->arena, "%c:%s %s #%zu.", role->name, sl_http_method_name(request->method),
		request->path,
		request->body_len);
	struct sl_http_response response = {.status = 200, .body = text, .body_len = strlen(text)};
	sl_http_respond(request, &response);
}

static void on_request(void *context, struct sl_http_request *request)
{
	struct role *role = context;
	if (strstr(request->path, "hold"))
		role->held = request;
	else
		respond(role, request);
}

static void on_failed(void *context, struct sl_http_request *request, const struct sl_error *err)
{
	struct role *role = context;
	role->failures++;
	assert_int_equal(err->code, SL_E_BUSY);
	sl_http_respond_error(request, 0, err);
}

static void on_head(void *context, struct sl_http_request *request)
{
	struct role *role = context;
	struct sl_error err;
	if (strncmp(request->path, role->mine, 2) != 0)
		assert_int_equal(sl_http_request_hand_over(request, role->other_socket, on_failed, role, &err), 0);
}

static void make_role(struct pair *p, struct role *role, char name, const char *mine)
{
	struct sl_error err;
	struct sl_http_config config = {.handler = {.context = role, .head = on_head, .request = on_request}};
	role->name = name;
	role->mine = mine;
	assert_int_equal(sl_http_server_new(p->loop, &config, &role->server, &err), 0);
	snprintf(role->other_socket, sizeof role->other_socket, "%s/%c", p->dir, name == 'a' ? 'b' : 'a');
}

static void adopt(struct pair *p, struct role *role)
{
	char path[128];
	struct sl_error err;
	snprintf(path, sizeof path, "%s/%c", p->dir, role->name);
	assert_int_equal(sl_http_server_adopt_listen(role->server, path, &err), 0);
}

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof *p);
	struct sl_error err;
	snprintf(p->dir, sizeof p->dir, "/tmp/sl-handover-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(sl_loop_new(&p->loop, &err), 0);
	make_role(p, &p->a, 'a', "/a");
	make_role(p, &p->b, 'b', "/b");
	assert_int_equal(sl_http_server_listen(p->a.server, "127.0.0.1", 0, &p->port, &err), 0);
	adopt(p, &p->a);
	adopt(p, &p->b);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;
	struct sl_error err;
	sl_http_server_free(p->a.server);
	sl_http_server_free(p->b.server);
	sl_loop_free(p->loop);
	assert_int_equal(sl_dir_remove(p->dir, &err), 0);
	free(p);
	return 0;
}

static void ask(struct peer *peer, struct pair *p, const char *line, const char *rest)
{
	char text[512];
	snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: localhost:%u\r\n%s", line, p->port, rest);
	peer_say(peer, text);
}

static void a_connection_goes_back_and_forth(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	peer_open(&peer, p->loop, p->port);
	for (int i = 1; i <= 50; i++) {
		ask(&peer, p, "GET /a/x", "\r\n");
		peer_await(&peer, "a:GET /a/x #0.", (size_t)i);
		ask(&peer, p, "POST /b/y", "Content-Length: 4\r\n\r\nbody");
		peer_await(&peer, "b:POST /b/y #4.", (size_t)i);
	}
	struct sl_http_stats stats;
	sl_http_server_stats(p->a.server, &stats);
	assert_int_equal(stats.handed_over, 50);
	assert_int_equal(stats.adopted, 49);
	assert_int_equal(stats.connections_accepted, 1);
	assert_false(peer.closed);
	peer_close(&peer);
}

static void a_pipelined_mix_is_answered_in_order(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	struct sl_buf all = SL_BUF_INIT(1 << 20);
	peer_open(&peer, p->loop, p->port);
	char expected[100][32];
	for (int i = 0; i < 100; i++) {
		char role = i % 7 < 3 ? 'a' : 'b';
		sl_buf_printf(&all, "POST /%c/%d HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 3\r\n\r\nxyz", role, i,
			p->port);
		snprintf(expected[i], sizeof expected[i], "%c:POST /%c/%d #3.", role, role, i);
	}
	/* In odd pieces, so that a hand-over finds heads and bodies cut anywhere. */
	for (size_t at = 0; at < all.len; at += 77)
		peer_send(&peer, all.data + at, all.len - at < 77 ? all.len - at : 77);
	peer_await(&peer, expected[99], 1);
	char *last = peer.in.data;
	for (int i = 0; i < 100; i++) {
		char *at = strstr(peer.in.data, expected[i]);
		assert_non_null(at);
		assert_true(at >= last);
		last = at;
	}
	sl_buf_clear(&peer.in);
	peer_send(&peer, all.data, all.len); /* and all at once */
	peer_await(&peer, expected[99], 1);
	assert_int_equal(p->a.answered + p->b.answered, 200);
	sl_buf_done(&all);
	peer_close(&peer);
}

static void earlier_answers_go_first(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	peer_open(&peer, p->loop, p->port);
	ask(&peer, p, "GET /a/hold", "\r\n");
	ask(&peer, p, "GET /b/1", "\r\n");
	ask(&peer, p, "GET /a/2", "\r\n");
	for (int i = 0; i < 50; i++)
		sl_loop_run_once(p->loop, false);
	assert_non_null(p->a.held);
	assert_int_equal(p->b.answered, 0);
	respond(&p->a, p->a.held);
	peer_await(&peer, "a:GET /a/2 #0.", 1);
	assert_true(strstr(peer.in.data, "a:GET /a/hold") < strstr(peer.in.data, "b:GET /b/1"));
	peer_close(&peer);
}

static void a_large_body_is_read_by_the_new_owner(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	enum { SIZE = 20 << 20 };
	char *body = calloc(1, SIZE + 200);
	peer_open(&peer, p->loop, p->port);
	/* In one piece, so that the first read has the head and as much of the body as a read can take. */
	int head = snprintf(body, 200, "POST /b/big HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: %d\r\n\r\n", p->port, SIZE);
	peer_send(&peer, body, (size_t)head + SIZE);
	peer_await(&peer, "b:POST /b/big #20971520.", 1);
	ask(&peer, p, "POST /a/big", "Transfer-Encoding: chunked\r\n\r\n1400000\r\n");
	peer_send(&peer, body, SIZE);
	peer_say(&peer, "\r\n0\r\n\r\n");
	peer_await(&peer, "a:POST /a/big #20971520.", 1);
	free(body);
	peer_close(&peer);
}

static void an_absent_role_is_a_503_and_the_connection_stays(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	sl_http_server_free(p->b.server);
	p->b.server = NULL;
	peer_open(&peer, p->loop, p->port);
	ask(&peer, p, "POST /b/x", "Content-Length: 4\r\n\r\nbody");
	peer_await(&peer, "HTTP/1.1 503 ", 1);
	peer_await(&peer, "Retry-After: 1\r\n", 1);
	assert_int_equal(p->a.failures, 1);
	ask(&peer, p, "GET /a/x", "\r\n");
	peer_await(&peer, "a:GET /a/x", 1);
	/* The other role comes back: the same connection reaches it. */
	make_role(p, &p->b, 'b', "/b");
	adopt(p, &p->b);
	ask(&peer, p, "GET /b/y", "\r\n");
	peer_await(&peer, "b:GET /b/y", 1);
	assert_int_equal(p->a.failures, 1);
	peer_close(&peer);
}

/* It waits behind an earlier answer, and its client goes: whoever has it then lets go of it. */
static void a_waiting_hand_over_ends_with_its_client(void **state)
{
	struct pair *p = *state;
	struct peer peer;
	struct sl_http_stats stats;
	peer_open(&peer, p->loop, p->port);
	ask(&peer, p, "GET /a/hold", "\r\n");
	ask(&peer, p, "POST /b/1", "Content-Length: 10\r\n\r\nabc");
	while (!p->a.held)
		sl_loop_run_once(p->loop, false);
	peer_close(&peer);
	while (!sl_http_request_gone(p->a.held))
		sl_loop_run_once(p->loop, false);
	respond(&p->a, p->a.held);
	uint32_t open;
	do {
		sl_loop_run_once(p->loop, false);
		sl_http_server_stats(p->a.server, &stats);
		open = stats.connections_open;
		sl_http_server_stats(p->b.server, &stats);
	} while (open || stats.connections_open || !stats.adopted);
	assert_int_equal(p->b.answered, 0); /* its body never came */
	assert_int_equal(p->a.failures, 0);
}

static void a_restarted_role_is_found_again(void **state)
{
	struct pair *p = *state;
	for (int i = 0; i < 3; i++) {
		struct peer peer;
		peer_open(&peer, p->loop, p->port);
		ask(&peer, p, "GET /b/y", "\r\n");
		peer_await(&peer, "b:GET /b/y", 1);
		peer_close(&peer);
		sl_http_server_free(p->b.server);
		make_role(p, &p->b, 'b', "/b");
		adopt(p, &p->b);
	}
	assert_int_equal(p->a.failures, 0);
}

static void strangers_and_garbage_adopt_nothing(void **state)
{
	struct pair *p = *state;
	struct sl_http_stats stats;
	char path[128];
	struct sockaddr_storage room;
	struct { sa_family_t family; char path[108]; } *a = (void *)&room;
	memset(&room, 0, sizeof room);
	a->family = AF_UNIX;
	snprintf(path, sizeof path, "%s/b", p->dir);
	memcpy(a->path, path, strlen(path));
	static const char *const garbage[] = {"x", "SLH1\x01", "SLH1\xff\xff\xff\xff" "abc", "SLH1\x03" "\0\0\0" "abc"};
	for (size_t i = 0; i < SL_ARRAY_LEN(garbage); i++) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&room, 110), 0);
		size_t len = i == 3 ? 11 : strlen(garbage[i]);
		assert_int_equal(send(fd, garbage[i], len, 0), len);
		for (int turn = 0; turn < 10; turn++)
			sl_loop_run_once(p->loop, false);
		char c;
		/* closed: no descriptor came with it, or it is no message of ours */
		assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
		close(fd);
	}
	sl_http_server_stats(p->b.server, &stats);
	assert_int_equal(stats.adopted, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_goes_back_and_forth), TEST(a_pipelined_mix_is_answered_in_order),
		TEST(earlier_answers_go_first),
		TEST(a_large_body_is_read_by_the_new_owner), TEST(an_absent_role_is_a_503_and_the_connection_stays),
		TEST(a_waiting_hand_over_ends_with_its_client), TEST(a_restarted_role_is_found_again),
		TEST(strangers_and_garbage_adopt_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the server must refuse, and how: request smuggling, hostile targets, hosts and origins, everything beyond a limit. */
#include "http_testing.h"

static int handled;

static void answer(void *context, struct sl_http_request *request)
{
	(void)context;
	handled++;
	struct sl_http_response response = {.status = 200, .body = request->path, .body_len = strlen(request->path)};
	sl_http_respond(request, &response);
}

/* Sends one message and waits for the end of the connection. Returns the first status. */
static int refused_with(struct fixture *f, const char *bytes, size_t len)
{
	struct peer p;
	peer_open(&p, f->loop, f->port);
	peer_send(&p, bytes, len);
	shutdown(p.fd, SHUT_WR);
	peer_await_close(&p);
	int status = first_status(&p.in);
	if (count_of(&p.in, "\r\nDate: ") != 1)
		status = -(int)count_of(&p.in, "\r\nDate: ");
	peer_close(&p);
	return status;
}

struct row {
	const char *name, *bytes;
	size_t len; /* 0: strlen */
	int status;
};

/* In every row `HOST` stands for a Host header that is ours. A second request is smuggled behind where the framing is in doubt: it must
 * never be seen. */
#define HOST "Host: localhost\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"
static const struct row ROWS[] = {
	{"two different lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" NEXT, 0, 400},
	{"two equal lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" NEXT, 0, 400},
	{"a list of lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" NEXT, 0, 400},
	{"length and chunks", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunks and length", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"length with a sign", "POST / HTTP/1.1\r\n" HOST "Content-Length: +7\r\n\r\n1234567" NEXT, 0, 400},
	{"negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" NEXT, 0, 400},
	{"length with a tail", "POST / HTTP/1.1\r\n" HOST "Content-Length: 7x\r\n\r\n1234567" NEXT, 0, 400},
	{"length in hex", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x7\r\n\r\n1234567" NEXT, 0, 400},
	{"empty length", "POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n" NEXT, 0, 400},
	{"length of 2^64+7", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551623\r\n\r\n1234567" NEXT, 0, 400},
	{"length of 2^63", "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n1234567" NEXT, 0, 413},
	{"blank before the colon", "POST / HTTP/1.1\r\n" HOST "Content-Length : 7\r\n\r\n1234567" NEXT, 0, 400},
	{"unknown coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 0, 501},
	{"coding list", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 501},
	{"chunked twice", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunked, identity", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size 0x7", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x7\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size with a sign", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n+7\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size beyond 64 bits", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10000000000000007\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size and blank", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n7 \r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk longer than said", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk with bare line ends", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n" NEXT, 0, 400},
	{"folded header", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" NEXT, 0, 400},
	{"blank before the first header", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n" NEXT, 0, 400},
	{"bare line ends", "GET / HTTP/1.1\nHost: localhost\n\n" NEXT, 0, 400},
	{"a bare line end in the headers", "GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n" NEXT, 0, 400},
	{"a bare carriage return in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n" NEXT, 0, 400},
	{"NUL in a value", "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n", sizeof "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n" - 1, 400},
	{"NUL in a name", "GET / HTTP/1.1\r\n" HOST "X\0Y: b\r\n\r\n", sizeof "GET / HTTP/1.1\r\n" HOST "X\0Y: b\r\n\r\n" - 1, 400},
	{"NUL in the target", "GET /a\0b HTTP/1.1\r\n" HOST "\r\n", sizeof "GET /a\0b HTTP/1.1\r\n" HOST "\r\n" - 1, 400},
	{"a header without a colon", "GET / HTTP/1.1\r\n" HOST "garbage\r\n\r\n" NEXT, 0, 400},
	{"an empty header name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n" NEXT, 0, 400},
	{"no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n" NEXT, 0, 400},
	{"two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n" NEXT, 0, 400},
	{"another Host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" NEXT, 0, 403},
	{"our Host on another port", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n" NEXT, 0, 403},
	{"a Host that begins like ours", "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n" NEXT, 0, 403},
	{"a Host with a user", "GET / HTTP/1.1\r\nHost: evil@localhost\r\n\r\n" NEXT, 0, 403},
	{"a Host and a bad port", "GET / HTTP/1.1\r\nHost: localhost:80x\r\n\r\n" NEXT, 0, 403},
	{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" NEXT, 0, 403},
	{"a write from another origin", "POST / HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 0, 403},
	{"a DELETE from another origin", "DELETE / HTTP/1.1\r\n" HOST "Origin: http://localhost:1\r\n\r\n", 0, 403},
	{"a write from a file", "PUT / HTTP/1.1\r\n" HOST "Origin: null\r\nContent-Length: 0\r\n\r\n", 0, 403},
	{"a write from https", "PATCH / HTTP/1.1\r\n" HOST "Origin: https://localhost\r\nContent-Length: 0\r\n\r\n", 0, 403},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", 0, 505},
	{"HTTP/0.9 with a version", "GET / HTTP/0.9\r\n" HOST "\r\n", 0, 505},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", 0, 505},
	{"no version", "GET /\r\n\r\n", 0, 505},
	{"TRACE", "TRACE / HTTP/1.1\r\n" HOST "\r\n", 0, 501},
	{"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n" HOST "\r\n", 0, 501},
	{"no method at all", "FROB / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"an expectation that nobody knows", "POST / HTTP/1.1\r\n" HOST "Expect: miracles\r\nContent-Length: 1\r\n\r\nx", 0, 417},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, 400},
};

static void hostile_framing_is_refused(void **state)
{
	(void)state;
	static const char *const hosts[] = {"localhost"};
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}, .hosts = hosts, .host_count = 1};
	handled = 0;
	start(&f, &config);
	for (size_t i = 0; i < SL_ARRAY_LEN(ROWS); i++) {
		const struct row *row = &ROWS[i];
		int status = refused_with(&f, row->bytes, row->len ? row->len : strlen(row->bytes));
		if (status != row->status)
			fail_msg("%s: expected %d, got %d", row->name, row->status, status);
		assert_int_equal(handled, 0);
	}
	/* Every one again, byte by byte: where the reads end must make no difference. */
	for (size_t i = 0; i < SL_ARRAY_LEN(ROWS); i++) {
		const struct row *row = &ROWS[i];
		struct peer p;
		peer_open(&p, f.loop, f.port);
		size_t len = row->len ? row->len : strlen(row->bytes);
		for (size_t at = 0; at < len && !p.closed; at++) {
			peer_send(&p, row->bytes + at, 1);
			peer_receive(&p);
		}
		shutdown(p.fd, SHUT_WR);
		peer_await_close(&p);
		if (first_status(&p.in) != row->status)
			fail_msg("%s, byte by byte: expected %d, got %d", row->name, row->status, first_status(&p.in));
		assert_int_equal(handled, 0);
		peer_close(&p);
	}
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_framing_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

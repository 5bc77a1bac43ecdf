/* What the server must refuse, and how: request smuggling, hostile targets, hosts and origins, everything beyond a limit. */
#include "http_testing.h"

static int handled, refused;

static void count_refusal(void *context, int status, const struct sl_error *error)
{
	(void)context;
	assert_true(status >= 400 && error->message[0]);
	refused++;
}

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

/* In every row `HOST` stands for a Host header that is ours. A second request is smuggled behind where the framing is in
 * doubt: it must never be seen. */
#define HOST "Host: localhost\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKS POST "Transfer-Encoding: chunked\r\n\r\n"
#define NUL_BYTES(text) text, sizeof(text) - 1
static const struct row ROWS[] = {
	{"two different lengths", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" NEXT, 0, 400},
	{"two equal lengths", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" NEXT, 0, 400},
	{"a list of lengths", POST "Content-Length: 3, 3\r\n\r\nabc" NEXT, 0, 400},
	{"length and chunks", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunks and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"length with a sign", POST "Content-Length: +7\r\n\r\n1234567" NEXT, 0, 400},
	{"negative length", POST "Content-Length: -1\r\n\r\n" NEXT, 0, 400},
	{"length with a tail", POST "Content-Length: 7x\r\n\r\n1234567" NEXT, 0, 400},
	{"length in hex", POST "Content-Length: 0x7\r\n\r\n1234567" NEXT, 0, 400},
	{"empty length", POST "Content-Length: \r\n\r\n" NEXT, 0, 400},
	{"length of 2^64+7", POST "Content-Length: 18446744073709551623\r\n\r\n1234567" NEXT, 0, 400},
	{"length of 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n1234567" NEXT, 0, 413},
	{"blank before the colon", POST "Content-Length : 7\r\n\r\n1234567" NEXT, 0, 400},
	{"unknown coding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 0, 501},
	{"coding list", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 501},
	{"chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size 0x7", CHUNKS "0x7\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size with a sign", CHUNKS "+7\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size beyond 64 bits", CHUNKS "10000000000000007\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk size and blank", CHUNKS "7 \r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk longer than said", CHUNKS "3\r\n1234567\r\n0\r\n\r\n" NEXT, 0, 400},
	{"chunk with bare line ends", CHUNKS "3\nabc\n0\n\n" NEXT, 0, 400},
	{"folded header", GET "X: a\r\n b\r\n\r\n" NEXT, 0, 400},
	{"blank before the first header", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n" NEXT, 0, 400},
	{"bare line ends", "GET / HTTP/1.1\nHost: localhost\n\n" NEXT, 0, 400},
	{"a bare line end in the headers", GET "X: a\nY: b\r\n\r\n" NEXT, 0, 400},
	{"a bare carriage return in a value", GET "X: a\rb\r\n\r\n" NEXT, 0, 400},
	{"NUL in a value", NUL_BYTES(GET "X: a\0b\r\n\r\n"), 400},
	{"NUL in a name", NUL_BYTES(GET "X\0Y: b\r\n\r\n"), 400},
	{"NUL in the target", NUL_BYTES("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), 400},
	{"a header without a colon", GET "garbage\r\n\r\n" NEXT, 0, 400},
	{"an empty header name", GET ": x\r\n\r\n" NEXT, 0, 400},
	{"no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n" NEXT, 0, 400},
	{"two Hosts", GET HOST "\r\n" NEXT, 0, 400},
	{"another Host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" NEXT, 0, 403},
	{"our Host on another port", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n" NEXT, 0, 403},
	{"a Host that begins like ours", "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n" NEXT, 0, 403},
	{"a Host with a user", "GET / HTTP/1.1\r\nHost: evil@localhost\r\n\r\n" NEXT, 0, 403},
	{"a Host and a bad port", "GET / HTTP/1.1\r\nHost: localhost:80x\r\n\r\n" NEXT, 0, 403},
	{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" NEXT, 0, 403},
	{"a write from another origin", POST "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 0, 403},
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
	{"an expectation that nobody knows", POST "Expect: miracles\r\nContent-Length: 1\r\n\r\nx", 0, 417},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, 400},
};

static void hostile_framing_is_refused(void **state)
{
	(void)state;
	static const char *const hosts[] = {"localhost"};
	struct fixture f;
	struct sl_http_config config = {
		.handler = {.request = answer, .refused = count_refusal}, .hosts = hosts, .host_count = 1,
	};
	handled = 0;
	start(&f, &config);
	for (size_t i = 0; i < SL_ARRAY_LEN(ROWS); i++) {
		const struct row *row = &ROWS[i];
		int status = refused_with(&f, row->bytes, row->len ? row->len : strlen(row->bytes));
		if (status != row->status)
			fail_msg("%s: expected %d, got %d", row->name, row->status, status);
		assert_int_equal(handled, 0);
	}
	assert_int_equal(refused, SL_ARRAY_LEN(ROWS));
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

/* ---- targets ---- */

static int get(struct fixture *f, const char *target, struct sl_buf *ret_in)
{
	struct peer p;
	char text[40000];
	peer_open(&p, f->loop, f->port);
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n", target,
		f->port);
	peer_send(&p, text, (size_t)n);
	peer_await_close(&p);
	int status = first_status(&p.in);
	if (ret_in) {
		sl_buf_clear(ret_in);
		sl_buf_add(ret_in, p.in.data, p.in.len);
	}
	peer_close(&p);
	return status;
}

/* Spells `c` in one of the ways that some decoder somewhere understands. */
static const char *spell(char c, int way, char out[16])
{
	switch (way) {
	case 0: snprintf(out, 16, "%c", c); break;
	case 1: snprintf(out, 16, "%%%02x", c); break;
	case 2: snprintf(out, 16, "%%%02X", c); break;
	default: snprintf(out, 16, "%%%02x", c); break;
	}
	return out;
}

/* ".." with each dot spelt in each way, between every pair of separators: none may be served. */
static void no_spelling_leaves_its_folder(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}};
	handled = 0;
	start(&f, &config);
	static const char *const separators[] = {"/", "%2f", "%2F", "\\", "%5c", "%5C"};
	static const char *const prefixes[] = {"", "/a", "/a/b%20c"};
	static const char *const suffixes[] = {"", "/", "/etc/passwd", "%2fetc", "?x", "\\x"};
	int tried = 0;
	for (size_t p = 0; p < SL_ARRAY_LEN(prefixes); p++)
		for (size_t b = 0; b < SL_ARRAY_LEN(separators); b++)
			for (size_t a = 0; a < SL_ARRAY_LEN(suffixes); a++)
				for (int dots = 0; dots < 12; dots++) {
					char one[16], two[16], target[256];
					spell('.', dots % 3, one);
					spell('.', dots / 3 % 3, two);
					if (dots >= 9) /* a single one */
						two[0] = 0;
					snprintf(target, sizeof target, "%s%s%s%s%s", *prefixes[p] ? prefixes[p] : b ? "/" : "",
						separators[b], one, two,
						suffixes[a]);
					int status = get(&f, target, NULL);
					if (status != 400)
						fail_msg("%s: expected 400, got %d", target, status);
					tried++;
				}
	assert_true(tried >= 500);
	assert_int_equal(handled, 0);
	stop(&f);
}

static void odd_targets(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}};
	struct sl_buf in = SL_BUF_INIT(1 << 20);
	start(&f, &config);
	static const struct { const char *target; int status; const char *path; } rows[] = {
		{"/", 200, "\r\n\r\n/"}, {"/...", 200, "\r\n\r\n/..."}, {"/a..b/.c", 200, "\r\n\r\n/a..b/.c"},
		{"/a//b", 200, "\r\n\r\n/a//b"},
		{"/%252e%252e/x", 200, "\r\n\r\n/%2e%2e/x"}, {"/%C3%A4", 200, "\r\n\r\n/\xc3\xa4"}, {"/a+b", 200, "\r\n\r\n/a+b"},
		{"/x?../..", 200, "\r\n\r\n/x"}, {"/%", 400, ""}, {"/%4", 400, ""}, {"/%zz", 400, ""}, {"/%u002e", 400, ""},
		{"/%00", 400, ""},
		{"/a%0d%0ab", 400, ""}, {"/%7f", 400, ""}, {"/%ff", 400, ""}, {"/%c0%ae%c0%ae/", 400, ""},
		{"/%e0%80%ae", 400, ""},
		{"/%ed%a0%80", 400, ""}, {"x", 400, ""}, {"*", 400, ""}, {"/a#b", 400, ""}, {"ftp://localhost/", 400, ""},
		{"http://evil.example/", 400, ""},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		int status = get(&f, rows[i].target, &in);
		if (status != rows[i].status || !strstr(in.data, rows[i].path))
			fail_msg("%s: expected %d%s, got %s", rows[i].target, rows[i].status, rows[i].path, in.data);
	}
	char own[64];
	snprintf(own, sizeof own, "http://localhost:%u/x?y", f.port);
	assert_int_equal(get(&f, own, &in), 200);
	assert_non_null(strstr(in.data, "\r\n\r\n/x"));
	sl_buf_done(&in);
	stop(&f);
}

/* ---- hosts and origins ---- */

static int ask(struct fixture *f, const char *method, const char *host, const char *origin)
{
	struct peer p;
	char text[512];
	peer_open(&p, f->loop, f->port);
	snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: %s\r\n%s%s%sConnection: close\r\nContent-Length: 0\r\n\r\n", method,
		host,
		origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
	peer_say(&p, text);
	peer_await_close(&p);
	int status = first_status(&p.in);
	peer_close(&p);
	return status;
}

static void only_our_hosts_and_origins(void **state)
{
	(void)state;
	static const char *const hosts[] = {"sluice.example", "other.example:81"};
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}, .hosts = hosts, .host_count = 2};
	start(&f, &config);
	char local[64], origin[64];
	snprintf(local, sizeof local, "LocalHost:%u", f.port);
	assert_int_equal(ask(&f, "GET", local, NULL), 200);
	snprintf(local, sizeof local, "[::1]:%u", f.port);
	assert_int_equal(ask(&f, "GET", local, NULL), 200);
	snprintf(local, sizeof local, "127.0.0.1:%u", f.port);
	assert_int_equal(ask(&f, "GET", local, NULL), 200);
	assert_int_equal(ask(&f, "GET", "127.0.0.1", NULL), 403);
	assert_int_equal(ask(&f, "GET", "sluice.example", NULL), 200);
	assert_int_equal(ask(&f, "GET", "Sluice.Example:99", NULL), 200);
	assert_int_equal(ask(&f, "GET", "other.example:81", NULL), 200);
	assert_int_equal(ask(&f, "GET", "other.example:82", NULL), 403);
	assert_int_equal(ask(&f, "GET", "other.example", NULL), 403);
	snprintf(origin, sizeof origin, "http://127.0.0.1:%u", f.port);
	assert_int_equal(ask(&f, "POST", local, origin), 200);
	assert_int_equal(ask(&f, "POST", local, NULL), 200);
	snprintf(origin, sizeof origin, "http://localhost:%u", f.port);
	assert_int_equal(ask(&f, "POST", local, origin), 403);
	assert_int_equal(ask(&f, "GET", local, origin), 200);
	assert_int_equal(ask(&f, "DELETE", local, "http://sluice.example"), 403);
	stop(&f);
}

/* ---- limits ---- */

static struct sl_http_config limited(void)
{
	return (struct sl_http_config){
		.handler = {.request = answer},
		.limits = {.header_bytes = 1000, .header_count = 10, .url_bytes = 100, .body_bytes = 1000, .chunk_count = 5,
			.header_timeout_ms = 60, .body_timeout_ms = 60, .idle_timeout_ms = 60, .write_timeout_ms = 60},
	};
}

/* Sends `head`, a Host header, `filler` as often as said, `tail`. */
static int status_of(struct fixture *f, const char *head, const char *filler, int times, const char *tail)
{
	struct sl_buf all = SL_BUF_INIT(64 << 20);
	sl_buf_str(&all, head);
	sl_buf_printf(&all, "Host: localhost:%u\r\nConnection: close\r\n", f->port);
	for (int i = 0; i < times; i++)
		sl_buf_str(&all, filler);
	sl_buf_str(&all, tail);
	struct peer p;
	peer_open(&p, f->loop, f->port);
	peer_send(&p, all.data, all.len);
	peer_await_close(&p);
	int status = first_status(&p.in);
	peer_close(&p);
	sl_buf_done(&all);
	return status;
}

static int status_of_endless(struct fixture *f, const char *head, const char *filler)
{
	struct peer p;
	peer_open(&p, f->loop, f->port);
	peer_say(&p, head);
	for (int i = 0; i < 200000 && !p.closed; i++) {
		peer_say(&p, filler);
		peer_receive(&p);
	}
	assert_true(p.closed);
	int status = first_status(&p.in);
	peer_close(&p);
	return status;
}

static void every_limit_holds(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = limited();
	config.limits.header_timeout_ms = config.limits.body_timeout_ms = 60000; /* on a busy machine a limit may be slow to come */
	start(&f, &config);
	assert_int_equal(status_of(&f, "GET / HTTP/1.1\r\n", "X: y\r\n", 8, "\r\n"), 200);
	assert_int_equal(status_of(&f, "GET / HTTP/1.1\r\n", "X: y\r\n", 9, "\r\n"), 431);
	char value[3000], line[3100];
	memset(value, 'v', sizeof value);
	snprintf(line, sizeof line, "X: %.900s\r\n", value);
	assert_int_equal(status_of(&f, "GET / HTTP/1.1\r\n", line, 1, "\r\n"), 200);
	snprintf(line, sizeof line, "X: %.1000s\r\n", value);
	assert_int_equal(status_of(&f, "GET / HTTP/1.1\r\n", line, 1, "\r\n"), 431);
	snprintf(line, sizeof line, "GET /%.99s HTTP/1.1\r\n", value);
	assert_int_equal(status_of(&f, line, "", 0, "\r\n"), 200);
	snprintf(line, sizeof line, "GET /%.100s HTTP/1.1\r\n", value);
	assert_int_equal(status_of(&f, line, "", 0, "\r\n"), 414);
	/* Endless in every place where a parser waits for an end. */
	snprintf(line, sizeof line, "%.1000s", value);
	assert_int_equal(status_of_endless(&f, "GET /", line), 414);
	assert_int_equal(status_of_endless(&f, "GET / HTTP/1.1\r\nX", line), 431);
	assert_int_equal(status_of_endless(&f, "GET / HTTP/1.1\r\nX: ", line), 431);
	assert_int_equal(status_of_endless(&f, "GET / HTTP/1.1\r\nX:", " \t        "), 431);
	assert_int_equal(status_of_endless(&f, "", "\r\n\r\n\r\n\r\n"), 431);
	/* Bodies. */
	assert_int_equal(status_of(&f, "POST / HTTP/1.1\r\nContent-Length: 1001\r\n", "", 0, "\r\n"), 413);
	assert_int_equal(status_of(&f, "POST / HTTP/1.1\r\nContent-Length: 1000000000000\r\n", "", 0, "\r\n"), 413);
	snprintf(line, sizeof line, "\r\n3e9\r\n%.1001s\r\n0\r\n\r\n", value);
	assert_int_equal(status_of(&f, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "", 0, line), 413);
	assert_int_equal(status_of(&f, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "", 0,
				 "\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n0\r\n\r\n"), 200);
	assert_int_equal(status_of(&f, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "", 0,
				 "\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n0\r\n\r\n"), 413);
	stop(&f);
}

/* Bytes that carry nothing: chunk extensions and trailers are dropped, but not for ever. */
static void extensions_and_trailers_are_bounded(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}};
	handled = 0;
	start(&f, &config);
	static const char *const heads[] = {"1;", "1;a=\"", "1\r\na\r\n0\r\nX: ", "1\r\na\r\n0\r\nX"};
	for (size_t i = 0; i < SL_ARRAY_LEN(heads); i++) {
		struct sl_buf all = SL_BUF_INIT(1 << 20);
		sl_buf_printf(&all, "POST / HTTP/1.1\r\nHost: localhost:%u\r\nTransfer-Encoding: chunked\r\n\r\n%s", f.port,
			heads[i]);
		for (int k = 0; k < 9000; k++)
			sl_buf_char(&all, 'e');
		struct peer p;
		peer_open(&p, f.loop, f.port);
		peer_send(&p, all.data, all.len);
		peer_await_close(&p);
		assert_int_equal(first_status(&p.in), 431);
		peer_close(&p);
		sl_buf_done(&all);
	}
	assert_int_equal(handled, 0);
	stop(&f);
}

static void a_chunk_flood_is_refused(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}};
	start(&f, &config);
	struct sl_buf all = SL_BUF_INIT(1 << 20);
	for (int chunks = 65535; chunks <= 65536; chunks++) { /* the last, empty one counts */
		sl_buf_clear(&all);
		sl_buf_printf(&all,
			"POST / HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
			f.port);
		for (int i = 0; i < chunks; i++)
			sl_buf_str(&all, "1\r\na\r\n");
		sl_buf_str(&all, "0\r\n\r\n");
		struct peer p;
		peer_open(&p, f.loop, f.port);
		peer_send(&p, all.data, all.len);
		peer_await_close(&p);
		assert_int_equal(first_status(&p.in), chunks == 65535 ? 200 : 413);
		peer_close(&p);
	}
	sl_buf_done(&all);
	stop(&f);
}

/* ---- time ---- */

static void slow_clients_are_let_go(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = limited();
	start(&f, &config);
	char host[64];
	snprintf(host, sizeof host, "Host: localhost:%u\r\n", f.port);
	const struct { const char *line, *rest; int status; } rows[] = {
		{"", "", 0},                                                         /* never says a word */
		{"G", "", 408}, {"GET / HTTP/1.1\r\n", "X: y", 408},                 /* never ends its head */
		{"POST / HTTP/1.1\r\n", "Content-Length: 10\r\n\r\nabc", 408},       /* nor its body */
		{"POST / HTTP/1.1\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", 408},
		{"GET / HTTP/1.1\r\n", "\r\n", 200},                                 /* goes to sleep after its answer */
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		struct peer p;
		peer_open(&p, f.loop, f.port);
		peer_say(&p, rows[i].line);
		if (*rows[i].rest) {
			peer_say(&p, host);
			peer_say(&p, rows[i].rest);
		}
		peer_await_close(&p);
		assert_int_equal(first_status(&p.in), rows[i].status);
		peer_close(&p);
	}
	stop(&f);
}

/* A byte now and then is not progress: the time for a head is for all of it, a body has to bring a KiB each time. */
static void dripping_does_not_help(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = limited();
	start(&f, &config);
	struct peer p;
	peer_open(&p, f.loop, f.port);
	peer_say(&p, "GET / HTTP/1.1\r\nX: ");
	while (!p.closed) {
		peer_say(&p, "x");
		usleep(1000);
	}
	assert_int_equal(first_status(&p.in), 408);
	assert_true(count_of(&p.in, "head did not come") == 1);
	peer_close(&p);
	peer_open(&p, f.loop, f.port);
	char head[128];
	snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 999\r\n\r\n", f.port);
	peer_say(&p, head);
	while (!p.closed) {
		peer_say(&p, "x");
		usleep(1000);
	}
	assert_int_equal(first_status(&p.in), 408);
	peer_close(&p);
	stop(&f);
}

static void connections_are_limited(void **state)
{
	(void)state;
	struct fixture f;
	struct sl_http_config config = {.handler = {.request = answer}, .limits = {.connections = 2}};
	start(&f, &config);
	struct peer p[4];
	char text[64];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", f.port);
	for (int i = 0; i < 2; i++)
		peer_open(&p[i], f.loop, f.port);
	peer_say(&p[0], text);
	peer_await(&p[0], "200 OK", 1);
	/* One idle: it makes room for the newcomer. */
	peer_open(&p[2], f.loop, f.port);
	peer_say(&p[2], text);
	peer_await(&p[2], "200 OK", 1);
	peer_await_close(&p[0]);
	assert_false(p[1].closed);
	/* None idle: the one that has owed its head longest makes room, once that is a second; until then the newcomer waits. */
	peer_say(&p[2], "GET /half");
	peer_open(&p[3], f.loop, f.port);
	peer_say(&p[3], text);
	peer_await(&p[3], "200 OK", 1);
	peer_await_close(&p[1]);
	struct sl_http_stats stats;
	sl_http_server_stats(f.server, &stats);
	assert_int_equal(stats.connections_open, 2);
	assert_false(p[2].closed);
	peer_close(&p[2]);
	peer_close(&p[0]);
	peer_close(&p[1]);
	peer_close(&p[3]);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_framing_is_refused), cmocka_unit_test(no_spelling_leaves_its_folder),
		cmocka_unit_test(odd_targets),
		cmocka_unit_test(only_our_hosts_and_origins), cmocka_unit_test(every_limit_holds),
		cmocka_unit_test(extensions_and_trailers_are_bounded), cmocka_unit_test(a_chunk_flood_is_refused),
		cmocka_unit_test(slow_clients_are_let_go), cmocka_unit_test(dripping_does_not_help),
		cmocka_unit_test(connections_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

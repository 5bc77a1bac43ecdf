#include "port/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"
#include "net/http_url.h"
#include "net/tls.h"
#include "os/file.h"
#include "os/sys.h"

enum { HEADERS_MAX = 8, TIMEOUT_MS = 3600 * 1000, HEADER_BYTES_MAX = 1 << 20 };

/* ---- addresses ------------------------------------------------------------------------------------------------------ */

struct block { uint32_t address, mask; };
#define BLOCK(a, b, c, d, bits) {(uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d), ~UINT32_C(0) << (32 - (bits))}

/* IANA's registry of special-purpose IPv4 addresses (RFC 6890 and its successors), and multicast. */
static const struct block SPECIAL[] = {
	BLOCK(0, 0, 0, 0, 8), BLOCK(10, 0, 0, 0, 8), BLOCK(100, 64, 0, 0, 10), BLOCK(127, 0, 0, 0, 8), BLOCK(169, 254, 0, 0, 16),
	BLOCK(172, 16, 0, 0, 12), BLOCK(192, 0, 0, 0, 24), BLOCK(192, 0, 2, 0, 24), BLOCK(192, 88, 99, 0, 24), BLOCK(192, 168, 0, 0, 16),
	BLOCK(198, 18, 0, 0, 15), BLOCK(198, 51, 100, 0, 24), BLOCK(203, 0, 113, 0, 24), BLOCK(224, 0, 0, 0, 3),
};

static bool public_v4(const unsigned char *bytes)
{
	uint32_t address = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
	for (size_t i = 0; i < SL_ARRAY_LEN(SPECIAL); i++)
		if ((address & SPECIAL[i].mask) == SPECIAL[i].address)
			return false;
	return true;
}

/* 2000::/3 is what is given out; within it 2001:db8::/32 is for examples, 2001::/23 for protocols; 2002::/16 and 64:ff9b::/96 wrap an
 * IPv4 address, which could be a private one. */
static bool public_v6(const unsigned char *b)
{
	bool example = b[0] == 0x20 && b[1] == 0x01 && ((b[2] == 0x0d && b[3] == 0xb8) || b[2] < 2);
	bool wraps = b[0] == 0x20 && b[1] == 0x02;
	return (b[0] & 0xe0) == 0x20 && !example && !wraps;
}

bool sl_address_public(const char *address)
{
	unsigned char bytes[16];
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (inet_pton(AF_INET, address, bytes) == 1)
		return public_v4(bytes);
	if (strchr(address, '%') || inet_pton(AF_INET6, address, bytes) != 1)
		return false;
	return memcmp(bytes, mapped, sizeof mapped) == 0 ? public_v4(bytes + 12) : public_v6(bytes);
}

/* ---- one request ---------------------------------------------------------------------------------------------------- */

struct fetching {
	const struct sl_fetch *fetch;
	struct sl_fetched *ret;
	struct sl_tls *tls;
	struct sl_url url;
	char text[SL_FETCH_URL_MAX];
	off_t start;         /* of the body in the file */
	int64_t deadline_ns;
	bool refused;
	char address[64];    /* the refused one */
};

static bool allow(void *context, const char *address, uint16_t port)
{
	struct fetching *f = context;
	(void)port;
	if (f->fetch->allow_private || sl_address_public(address))
		return true;
	f->refused = true;
	snprintf(f->address, sizeof f->address, "%s", address);
	return false;
}

static int take_piece(void *context, const char *data, size_t len, struct sl_error *err)
{
	struct fetching *f = context;
	if (sl_sys->monotonic_ns() > f->deadline_ns)
		return sl_fail_at(err, SL_E_TIMEOUT, f->text, "the transfer takes too long");
	f->ret->body_bytes += len;
	if (f->ret->body_bytes > f->fetch->bytes_max)
		return sl_fail_at(err, SL_E_TOO_LARGE, f->text, "has more than %llu bytes", (unsigned long long)f->fetch->bytes_max);
	return f->fetch->fd < 0 ? 0 : sl_file_write_at(f->fetch->fd, data, len, (uint64_t)f->start + f->ret->body_bytes - len, f->text, err);
}

/* The value of a header in "name: value\r\n..." with names in lower case; "" when absent or too long. */
static void find_header(const char *headers, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);
	out[0] = 0;
	for (const char *line = headers; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		const char *value = line + len + 1 + strspn(line + len + 1, " ");
		size_t n = strcspn(value, "\r\n");
		if (n < size)
			snprintf(out, size, "%.*s", (int)n, value);
		return;
	}
}

static int request(struct fetching *f, struct sl_buf *headers, struct sl_error *err)
{
	struct sl_http_header given[HEADERS_MAX] = {{"accept-encoding", "identity"}, {"user-agent", "sluice/" SLUICE_VERSION}};
	size_t count = 2;
	char range[64];
	struct sl_buf none SL_AUTO_BUF = SL_BUF_INIT(1);
	snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)f->fetch->from);
	if (f->fetch->from)
		given[count++] = (struct sl_http_header){"range", range};
	if (f->fetch->from && f->fetch->if_match && *f->fetch->if_match)
		given[count++] = (struct sl_http_header){"if-range", f->fetch->if_match};
	const struct sl_http_client_config config = {.tls = f->tls, .allow_address = allow, .context = f};
	const struct sl_http_call call = {.method = f->fetch->head ? SL_HTTP_HEAD : SL_HTTP_GET, .url = f->text, .headers = given,
					  .header_count = count, .sink = take_piece, .context = f, .source_length = 0};
	f->ret->body_bytes = 0;
	int rc = sl_http_fetch(&config, &call, &f->ret->status, headers, &none, err);
	if (rc && f->refused) {
		sl_fail_at(err, SL_E_DENIED, f->text, "leads to %s, which is no public address", f->address);
		return sl_error_hint(err, "`allow_private: true` of the source permits it");
	}
	return rc ? sl_error_where(err, "%s", f->text) : 0;
}

static bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

/* An absolute address, or a path of the same server. */
static int follow(struct fetching *f, const char *location, struct sl_error *err)
{
	char next[SL_FETCH_URL_MAX];
	bool was_tls = f->url.tls;
	int n = location[0] == '/' && location[1] != '/'
		? snprintf(next, sizeof next, "%s://%s%s", was_tls ? "https" : "http", f->url.authority, location)
		: snprintf(next, sizeof next, "%s%s", location[0] == '/' ? was_tls ? "https:" : "http:" : "", location);
	if (!*location || n >= (int)sizeof next)
		return sl_fail_at(err, SL_E_FAILED, f->text, "redirects to nowhere");
	memcpy(f->text, next, (size_t)n + 1);
	int rc = sl_url_parse(f->text, &f->url, err);
	if (!rc && (f->url.local || (was_tls && !f->url.tls)))
		rc = sl_fail_at(err, SL_E_DENIED, f->text, "a redirect away from https is not followed");
	return rc;
}

static int run(struct fetching *f, struct sl_error *err)
{
	for (int hop = 0; hop <= SL_FETCH_REDIRECTS_MAX; hop++) {
		struct sl_buf headers SL_AUTO_BUF = SL_BUF_INIT(HEADER_BYTES_MAX);
		char location[SL_FETCH_URL_MAX], text[SL_FETCH_TEXT_MAX];
		int rc = request(f, &headers, err);
		if (rc)
			return rc;
		const char *all = sl_buf_cstr(&headers);
		if (!is_redirect(f->ret->status)) {
			find_header(all, "etag", f->ret->etag, sizeof f->ret->etag);
			find_header(all, "last-modified", f->ret->last_modified, sizeof f->ret->last_modified);
			find_header(all, "content-length", text, sizeof text);
			f->ret->length = -1;
			(void)sl_str_int(text, &f->ret->length);
			find_header(all, "accept-ranges", text, sizeof text);
			f->ret->ranges = strcasecmp(text, "bytes") == 0;
			return 0;
		}
		/* The redirect's own text is no data. */
		if (f->fetch->fd >= 0 && sl_sys->ftruncate(f->fetch->fd, f->start))
			return sl_fail_errno(err, errno, f->text, "cannot cut the file");
		find_header(all, "location", location, sizeof location);
		rc = follow(f, location, err);
		if (rc)
			return rc;
	}
	return sl_fail_at(err, SL_E_FAILED, f->fetch->url, "redirects more than %d times", SL_FETCH_REDIRECTS_MAX);
}

int sl_fetch(const struct sl_fetch *fetch, struct sl_fetched *ret, struct sl_error *err)
{
	struct fetching f = {.fetch = fetch, .ret = ret};
	struct stat st = {0};
	*ret = (struct sl_fetched){.length = -1};
	f.deadline_ns = sl_sys->monotonic_ns() + (fetch->timeout_ms ? fetch->timeout_ms : TIMEOUT_MS) * INT64_C(1000000);
	if (fetch->fd >= 0 && sl_sys->fstat(fetch->fd, &st))
		return sl_fail_errno(err, errno, fetch->url, "cannot look at the file");
	f.start = st.st_size;
	if (snprintf(f.text, sizeof f.text, "%s", fetch->url) >= (int)sizeof f.text)
		return sl_fail(err, SL_E_TOO_LARGE, "the address is too long");
	int rc = sl_url_parse(f.text, &f.url, err);
	if (!rc && f.url.local)
		rc = sl_fail_at(err, SL_E_INVALID, fetch->url, "is no http or https address");
	rc = rc ? rc : sl_tls_client_new(NULL, &f.tls, err);
	rc = rc ? rc : run(&f, err);
	sl_tls_free(f.tls);
	return rc;
}

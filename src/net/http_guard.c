/* What a well-formed request must satisfy before a room sees it: a target that stays in its folder, a Host that is ours, an
 * Origin that is this Host. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "net/http_server_internal.h"

/* ---- Host and Origin ---- */

/* "name:port" and "name" for port 80; `name` as it stands in a Host header. */
static bool is_local_name(const char *host, const char *name, uint16_t port)
{
	size_t len = strlen(name);
	if (strncasecmp(host, name, len) != 0)
		return false;
	const char *p = host + len;
	uint32_t number = 0;
	if (!*p)
		return port == 80;
	if (*p++ != ':' || *p == '0')
		return false;
	for (; *p >= '0' && *p <= '9' && number <= UINT16_MAX; p++)
		number = number * 10 + (uint32_t)(*p - '0');
	return !*p && number == port;
}

/* Nothing, or a port. */
static bool is_port(const char *rest)
{
	return *rest == 0 || (*rest == ':' && rest[1] && rest[1 + strspn(rest + 1, "0123456789")] == 0);
}

/* `entry` without a port takes any; "*.example.com" takes one label for the star, as in a certificate. */
static bool is_listed(const char *host, const char *entry)
{
	if (entry[0] == '*' && entry[1] == '.') {
		host += strcspn(host, ".");
		entry++;
	}
	size_t len = strlen(entry);
	return strncasecmp(host, entry, len) == 0 && is_port(host + len);
}

/* An address in digits is no name, so nobody can make it point elsewhere. */
static bool is_address(const char *host)
{
	char text[64];
	struct in_addr v4;
	struct in6_addr v6;
	bool bracketed = host[0] == '[';
	size_t len = strcspn(host + bracketed, bracketed ? "]" : ":");
	const char *rest = host + bracketed + len;
	if (len >= sizeof text || (bracketed && *rest++ != ']') || !is_port(rest))
		return false;
	memcpy(text, host + bracketed, len);
	text[len] = 0;
	return bracketed ? inet_pton(AF_INET6, text, &v6) == 1 : inet_pton(AF_INET, text, &v4) == 1;
}

static bool host_is_ours(const struct conn *c, const char *host)
{
	for (size_t i = 0; i < c->server->host_count; i++)
		if (is_listed(host, c->server->hosts[i]))
			return true;
	if (c->local_port == 0 && c->secure) /* the front role knows the port, we do not */
		return is_address(host) || is_listed(host, "localhost");
	if (c->local_port == 0)
		return c->loopback && strcasecmp(host, "localhost") == 0;
	if (!c->loopback && is_address(host))
		return true;
	static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		if (c->loopback && is_local_name(host, names[i], c->local_port))
			return true;
	return false;
}

static int check_host(const struct conn *c, struct request *r)
{
	const char *host = NULL;
	for (size_t i = 0; i < r->pub.header_count; i++) {
		if (strcmp(r->pub.headers[i].name, "host") != 0)
			continue;
		if (host)
			return refuse(c->server, 400, SL_E_INVALID, NULL, "more than one Host header");
		host = r->pub.headers[i].value;
	}
	if (!host && r->http_1_0) { /* a browser, whom this check is for, always sends one */
		r->pub.host = "";
		return 0;
	}
	if (!host)
		return refuse(c->server, 400, SL_E_INVALID, "HTTP/1.1 demands one", "the Host header is missing");
	if (!host_is_ours(c, host))
		return refuse(c->server, 403, SL_E_DENIED,
			"use the address that the server printed, or add the name to its hosts",
			"Invalid Host header - possible DNS rebinding attack detected");
	r->pub.host = host;
	return 0;
}

/* A browser names the page that makes it write; anything but our own pages is refused. */
static int check_origin(const struct conn *c, const struct request *r)
{
	enum sl_http_method method = r->pub.method;
	const char *origin = sl_http_request_header(&r->pub, "origin");
	if (!origin || method == SL_HTTP_GET || method == SL_HTTP_HEAD || method == SL_HTTP_OPTIONS)
		return 0;
	const char *scheme = c->secure ? "https://" : "http://";
	size_t len = strlen(scheme);
	if (strncmp(origin, scheme, len) == 0 && *r->pub.host && strcasecmp(origin + len, r->pub.host) == 0)
		return 0;
	return refuse(c->server, 403, SL_E_DENIED, "only pages of this server may change something from a browser",
		"Cross-origin request blocked");
}

/* ---- the target ---- */

/* "http://host/path" is allowed where the host is the Host header's; leaves the path. */
static int strip_authority(const struct conn *c, struct request *r, const char **target)
{
	const char *scheme = c->secure ? "https://" : "http://";
	if (strncasecmp(*target, scheme, strlen(scheme)) != 0)
		return 0;
	const char *authority = *target + strlen(scheme);
	size_t len = strcspn(authority, "/?#");
	if (strlen(r->pub.host) != len || strncasecmp(authority, r->pub.host, len) != 0)
		return refuse(c->server, 400, SL_E_INVALID, NULL, "the target's host is not the Host header's");
	*target = authority[len] == '/' ? authority + len : "/";
	if (authority[len] == '?')
		return refuse(c->server, 400, SL_E_INVALID, NULL, "the target has no path");
	return 0;
}

/* Blanks, both slashes and dots are what programs disagree about; "..." is a name like any other. */
static bool path_is_safe(const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return false;
	for (const char *part = path; *part;) {
		size_t len = strcspn(part, "/\\");
		if (len && len <= 2 && strspn(part, ".") >= len)
			return false;
		part += len + (part[len] != 0);
	}
	return true;
}

static int split_target(const struct conn *c, struct request *r, const char *target)
{
	if (strcmp(target, "*") == 0 && r->pub.method == SL_HTTP_OPTIONS) {
		r->pub.path = "*";
		r->pub.query = "";
		return 0;
	}
	if (target[0] != '/' || strchr(target, '#'))
		return refuse(c->server, 400, SL_E_INVALID, "a target begins with '/'", "the request's target is not a path");
	size_t path_len = strcspn(target, "?");
	r->pub.query = target + path_len + (target[path_len] == '?');
	char *path = sl_arena_alloc(r->pub.arena, path_len + 1);
	if (!path)
		return refuse(c->server, 503, SL_E_NO_MEMORY, NULL, "out of memory");
	struct sl_error err;
	size_t len;
	if (sl_http_decode(target, path_len, false, path, &len, &err))
		return refuse(c->server, 400, SL_E_INVALID, NULL, "%s", err.message);
	if (!sl_utf8_valid(path, len))
		return refuse(c->server, 400, SL_E_INVALID, NULL, "the path is not UTF-8");
	if (!path_is_safe(path))
		return refuse(c->server, 400, SL_E_INVALID, NULL, "the path has a '.' or '..' segment or a control character");
	r->pub.path = path;
	return 0;
}

int guard_request(struct conn *c, struct request *r)
{
	int status = check_host(c, r);
	if (!status)
		status = check_origin(c, r);
	const char *target = r->pub.target;
	if (!status)
		status = strip_authority(c, r, &target);
	if (!status)
		status = split_target(c, r, target);
	return status;
}

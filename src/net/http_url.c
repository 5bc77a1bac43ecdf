#include "net/http_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int bad_url(const char *text, const char *why, struct sl_error *err)
{
	return sl_fail_at(err, SL_E_INVALID, text, "%s", why);
}

static int set_target(const char *text, const char *from, struct sl_url *ret, struct sl_error *err)
{
	size_t len = strcspn(from, "#");
	const char *slash = *from == '/' ? "" : "/";
	if (len + 1 > SL_URL_TARGET_MAX)
		return bad_url(text, "the URL is too long", err);
	snprintf(ret->target, sizeof ret->target, "%s%.*s", slash, (int)len, from);
	return 0;
}

static bool parse_port(const char *text, size_t len, uint16_t *ret)
{
	unsigned port = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || i > 4)
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint16_t)port;
	return len > 0 && port > 0 && port <= 65535;
}

static int parse_authority(const char *text, const char *at, size_t len, struct sl_url *ret, struct sl_error *err)
{
	bool bracketed = *at == '[';
	const char *end = at + len;
	const char *host_end = bracketed ? memchr(at, ']', len) : memchr(at, ':', len);
	if (!host_end)
		host_end = end;
	if (memchr(at, '@', len))
		return bad_url(text, "a URL with a user name is refused", err);
	const char *host = at + bracketed;
	size_t host_len = (size_t)(host_end - host);
	const char *port = host_end + (bracketed && host_end < end);
	if (host_len == 0 || host_len > SL_URL_HOST_MAX || (bracketed && host_end == end) || (port < end && *port != ':'))
		return bad_url(text, "the URL's host is not understood", err);
	if (port < end && !parse_port(port + 1, (size_t)(end - port - 1), &ret->port))
		return bad_url(text, "the URL's port is not a number from 1 to 65535", err);
	memcpy(ret->host, host, host_len);
	snprintf(ret->authority, sizeof ret->authority, "%.*s", (int)len, at);
	return 0;
}

static int parse_local(const char *text, struct sl_url *ret, struct sl_error *err)
{
	const char *path = text + strlen("unix:"), *colon = strchr(path, ':');
	size_t len = colon ? (size_t)(colon - path) : strlen(path);
	if (*path != '/' || len > SL_URL_HOST_MAX)
		return bad_url(text, "a unix URL is unix:/absolute/socket:/path", err);
	ret->local = true;
	memcpy(ret->host, path, len);
	snprintf(ret->authority, sizeof ret->authority, "localhost");
	return set_target(text, colon ? colon + 1 : "/", ret, err);
}

int sl_url_parse(const char *text, struct sl_url *ret, struct sl_error *err)
{
	memset(ret, 0, sizeof *ret);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return bad_url(text, "a URL has no blanks, control characters or bytes above 127; escape them", err);
	if (strncasecmp(text, "unix:", 5) == 0)
		return parse_local(text, ret, err);
	ret->tls = strncasecmp(text, "https://", 8) == 0;
	if (!ret->tls && strncasecmp(text, "http://", 7) != 0) {
		bad_url(text, "the URL's scheme is not understood", err);
		return sl_error_hint(err, "write http://, https:// or unix:/");
	}
	ret->port = ret->tls ? 443 : 80;
	const char *authority = text + (ret->tls ? 8 : 7);
	size_t len = strcspn(authority, "/?#");
	int rc = parse_authority(text, authority, len, ret, err);
	return rc ? rc : set_target(text, authority + len, ret, err);
}

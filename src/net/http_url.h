/* Absolute URLs as the client takes them. */
#ifndef SL_NET_HTTP_URL_H
#define SL_NET_HTTP_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_URL_HOST_MAX = 255, SL_URL_TARGET_MAX = 8192 };

struct sl_url {
	bool tls;
	bool local;                     /* a unix socket; `host` is its path */
	char host[SL_URL_HOST_MAX + 1]; /* without brackets */
	uint16_t port;
	char authority[SL_URL_HOST_MAX + 16]; /* as the Host header wants it */
	char target[SL_URL_TARGET_MAX + 1];   /* "/path?query"; the fragment is left out */
};
/* "http://host[:port][/path][?query]", "https://...", "unix:/socket:/path". SL_E_INVALID for everything else: user names,
 * blanks, control characters and bytes above 127 included. */
int sl_url_parse(const char *text, struct sl_url *ret, struct sl_error *err);

#endif

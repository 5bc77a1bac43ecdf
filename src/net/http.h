/* What the HTTP server and client share: methods, status texts, headers, and the text forms of URLs. */
#ifndef SL_NET_HTTP_H
#define SL_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

enum sl_http_method {
	SL_HTTP_GET, SL_HTTP_HEAD, SL_HTTP_POST, SL_HTTP_PUT, SL_HTTP_PATCH, SL_HTTP_DELETE, SL_HTTP_OPTIONS,
	SL_HTTP_METHOD_COUNT
};
const char *sl_http_method_name(enum sl_http_method method);
/* "Not Found"; "Unknown" for a status that is not in the table. */
const char *sl_http_reason(int status);

struct sl_http_header {
	const char *name, *value;
};
/* The first header of that name, whatever its case, or NULL. */
const char *sl_http_find_header(const struct sl_http_header *headers, size_t count, const char *name);
/* May stand in a header: no control characters (CR, LF and NUL split messages); a name is a token. */
bool sl_http_header_name_valid(const char *name);
bool sl_http_header_value_valid(const char *value);

/* Undoes percent encoding once, into `out` (at least len + 1 bytes, NUL-terminated; may be `text` itself). `plus_is_space` as in
 * queries and forms. SL_E_INVALID: a broken escape, or a NUL. */
int sl_http_decode(const char *text, size_t len, bool plus_is_space, char *out, size_t *ret_len, struct sl_error *err);

enum { SL_HTTP_PARAMS_MAX = 1000 };
struct sl_http_param {
	const char *name, *value; /* decoded; value "" where none was given */
};
/* Splits and decodes "a=1&b=2" (a query, or a form's body) in order; names may repeat. Everything lives in the arena.
 * SL_E_INVALID: a broken escape, more than SL_HTTP_PARAMS_MAX. */
int sl_http_params(const char *query, struct sl_arena *arena, struct sl_http_param **ret, size_t *ret_count,
	struct sl_error *err);

#endif

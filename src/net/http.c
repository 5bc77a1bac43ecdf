#include "net/http.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const char *const METHODS[SL_HTTP_METHOD_COUNT] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

const char *sl_http_method_name(enum sl_http_method method)
{
	assert(method < SL_HTTP_METHOD_COUNT);
	return METHODS[method];
}

const char *sl_http_reason(int status)
{
	static const struct { int status; const char *reason; } REASONS[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"},
		{301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
		{307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"},
		{403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"},
		{408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
		{412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
		{415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{422, "Unprocessable Content"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{499, "Client Closed Request"}, {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(REASONS); i++)
		if (REASONS[i].status == status)
			return REASONS[i].reason;
	return "Unknown";
}

const char *sl_http_find_header(const struct sl_http_header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

bool sl_http_header_name_valid(const char *name)
{
	static const char MARKS[] = "!#$%&'*+-.^_`|~";
	const unsigned char *p = (const unsigned char *)name;
	while (((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || (*p && strchr(MARKS, *p)))
		p++;
	return *name && !*p;
}

bool sl_http_header_value_valid(const char *value)
{
	for (const unsigned char *p = (const unsigned char *)value; *p; p++)
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int sl_http_decode(const char *text, size_t len, bool plus_is_space, char *out, size_t *ret_len, struct sl_error *err)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return sl_fail(err, SL_E_INVALID, "broken percent escape in the URL");
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == 0)
			return sl_fail(err, SL_E_INVALID, "NUL byte in the URL");
		out[n++] = c;
	}
	out[n] = 0;
	*ret_len = n;
	return 0;
}

/* Decodes one piece of a query into the arena. */
static int decode_part(const char *text, size_t len, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	char *out = sl_arena_alloc(arena, len + 1);
	if (!out)
		return sl_fail_memory(err);
	*ret = out;
	return sl_http_decode(text, len, true, out, &len, err);
}

int sl_http_params(const char *query, struct sl_arena *arena, struct sl_http_param **ret, size_t *ret_count, struct sl_error *err)
{
	size_t most = *query ? 1 : 0;
	for (const char *p = query; *p; p++)
		most += *p == '&';
	if (most > SL_HTTP_PARAMS_MAX)
		return sl_fail(err, SL_E_INVALID, "more than %d query parameters", SL_HTTP_PARAMS_MAX);
	struct sl_http_param *params = sl_arena_array(arena, most, sizeof *params);
	if (!params)
		return sl_fail_memory(err);
	size_t count = 0;
	for (const char *part = query; *part;) {
		size_t len = strcspn(part, "&");
		const char *equals = memchr(part, '=', len);
		size_t name_len = equals ? (size_t)(equals - part) : len;
		if (len) {
			struct sl_http_param *p = &params[count];
			int rc = decode_part(part, name_len, arena, &p->name, err);
			if (!rc && equals)
				rc = decode_part(equals + 1, len - name_len - 1, arena, &p->value, err);
			if (rc)
				return rc;
			if (!equals)
				p->value = "";
			count++;
		}
		part += len + (part[len] == '&');
	}
	*ret = params;
	*ret_count = count;
	return 0;
}

#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void sl_base64_add(struct sl_buf *out, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		sl_buf_char(out, DIGITS[v >> 18]);
		sl_buf_char(out, DIGITS[v >> 12 & 63]);
		sl_buf_char(out, n > 1 ? DIGITS[v >> 6 & 63] : '=');
		sl_buf_char(out, n > 2 ? DIGITS[v & 63] : '=');
	}
}

static int digit(char c)
{
	const char *at = c ? strchr(DIGITS, c) : NULL;
	return at ? (int)(at - DIGITS) : -1;
}

long sl_base64_decode(const char *text, size_t text_len, void *out, size_t max)
{
	unsigned char *to = out;
	size_t done = 0;
	if (text_len % 4)
		return -1;
	for (size_t i = 0; i < text_len; i += 4) {
		size_t pad = i + 4 < text_len ? 0 : text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : digit(text[i + k]);
			if (d < 0)
				return -1;
			v = v << 6 | (uint32_t)d;
		}
		if ((pad == 1 && v & 0xff) || (pad == 2 && v & 0xffff) || done + 3 - pad > max)
			return -1;
		for (size_t k = 0; k < 3 - pad; k++)
			to[done++] = (unsigned char)(v >> (16 - 8 * k));
	}
	return (long)done;
}

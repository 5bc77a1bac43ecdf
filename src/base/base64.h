/* Base 64 of RFC 4648 section 4, with padding. */
#ifndef SL_BASE_BASE64_H
#define SL_BASE_BASE64_H

#include <stddef.h>

#include "base/buf.h"

void sl_base64_add(struct sl_buf *out, const void *data, size_t len);
/* Decodes exactly `text_len` characters into `out`. Returns the bytes written, or -1: not base 64, unused bits that are not zero
 * (so that a value has one spelling only), or more than `max`. */
long sl_base64_decode(const char *text, size_t text_len, void *out, size_t max);

#endif

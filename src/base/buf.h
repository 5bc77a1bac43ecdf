/* A growing byte buffer with a stated maximum and a sticky failure: append freely, check once at the end. */
#ifndef SL_BASE_BUF_H
#define SL_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

struct sl_buf {
	char *data;      /* always NUL-terminated behind len once anything was appended; NULL before */
	size_t len, cap;
	size_t max;      /* of len; never 0 after init */
	int failed;      /* 0, SL_E_NO_MEMORY or SL_E_TOO_LARGE; appends after a failure do nothing */
};

#define SL_BUF_INIT(max_bytes) {.max = (max_bytes)}
#define SL_AUTO_BUF SL_CLEANUP(sl_buf_done)

void sl_buf_init(struct sl_buf *buf, size_t max_bytes);
void sl_buf_done(struct sl_buf *buf); /* frees; the buffer may be used again */
void sl_buf_clear(struct sl_buf *buf); /* len = 0 and failure forgotten; keeps the memory */
/* Room for `more` bytes behind len (the caller writes there, then adds to len); NULL on failure. */
char *sl_buf_reserve(struct sl_buf *buf, size_t more);
void sl_buf_grow_add(struct sl_buf *buf, const void *data, size_t len);
/* Inline where there is room: an answer is made of fifty small pieces. */
static inline void sl_buf_add(struct sl_buf *buf, const void *data, size_t len)
{
	if (buf->failed || !len || len >= buf->cap - buf->len) {
		sl_buf_grow_add(buf, data, len);
		return;
	}
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = 0;
}
static inline void sl_buf_str(struct sl_buf *buf, const char *text) { sl_buf_add(buf, text, strlen(text)); }
static inline void sl_buf_char(struct sl_buf *buf, char c) { sl_buf_add(buf, &c, 1); }
void sl_buf_printf(struct sl_buf *buf, const char *format, ...) SL_PRINTF(2, 3);
void sl_buf_u32le(struct sl_buf *buf, uint32_t v);
void sl_buf_u64le(struct sl_buf *buf, uint64_t v);
void sl_buf_u16be(struct sl_buf *buf, uint16_t v);
void sl_buf_u64be(struct sl_buf *buf, uint64_t v);
/* 0, or the sticky failure with `err` filled; `what` names the thing that was too large. */
int sl_buf_check(const struct sl_buf *buf, const char *what, struct sl_error *err);
/* The text, "" when empty. */
const char *sl_buf_cstr(const struct sl_buf *buf);

#endif

#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void sl_buf_init(struct sl_buf *buf, size_t max_bytes)
{
	assert(max_bytes > 0);
	*buf = (struct sl_buf){.max = max_bytes};
}

void sl_buf_done(struct sl_buf *buf)
{
	sl_free(buf->data);
	*buf = (struct sl_buf){.max = buf->max};
}

void sl_buf_clear(struct sl_buf *buf)
{
	buf->len = 0;
	buf->failed = 0;
	if (buf->data)
		buf->data[0] = 0;
}

char *sl_buf_reserve(struct sl_buf *buf, size_t more)
{
	assert(buf->max > 0 && buf->len <= buf->max);
	if (buf->failed)
		return NULL;
	if (more > buf->max - buf->len) {
		buf->failed = SL_E_TOO_LARGE;
		return NULL;
	}
	size_t need = buf->len + more + 1;
	if (need > buf->cap) {
		size_t cap = buf->cap < 64 ? 64 : buf->cap * 2;
		if (cap < need)
			cap = need;
		if (cap - 1 > buf->max) /* sl_buf_add looks at the room alone: it may not be more than the maximum */
			cap = buf->max + 1;
		char *data = sl_realloc(buf->data, cap, NULL);
		if (!data) {
			buf->failed = SL_E_NO_MEMORY;
			return NULL;
		}
		buf->data = data;
		buf->cap = cap;
	}
	return buf->data + buf->len;
}

void sl_buf_grow_add(struct sl_buf *buf, const void *data, size_t len)
{
	char *room = sl_buf_reserve(buf, len);
	if (!room)
		return;
	if (len)
		memcpy(room, data, len);
	buf->len += len;
	buf->data[buf->len] = 0;
}

void sl_buf_printf(struct sl_buf *buf, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *room = len < 0 ? NULL : sl_buf_reserve(buf, (size_t)len);
	if (room) {
		vsnprintf(room, (size_t)len + 1, format, again);
		buf->len += (size_t)len;
	}
	va_end(again);
}

static void add_number(struct sl_buf *buf, uint64_t v, unsigned bytes, bool big_endian)
{
	unsigned char out[8];
	for (unsigned i = 0; i < bytes; i++)
		out[big_endian ? bytes - 1 - i : i] = (unsigned char)(v >> (8 * i));
	sl_buf_add(buf, out, bytes);
}

void sl_buf_u32le(struct sl_buf *buf, uint32_t v) { add_number(buf, v, 4, false); }
void sl_buf_u64le(struct sl_buf *buf, uint64_t v) { add_number(buf, v, 8, false); }
void sl_buf_u16be(struct sl_buf *buf, uint16_t v) { add_number(buf, v, 2, true); }
void sl_buf_u64be(struct sl_buf *buf, uint64_t v) { add_number(buf, v, 8, true); }

int sl_buf_check(const struct sl_buf *buf, const char *what, struct sl_error *err)
{
	if (!buf->failed)
		return 0;
	if (buf->failed == SL_E_NO_MEMORY)
		return sl_fail_memory(err);
	return sl_fail(err, SL_E_TOO_LARGE, "%s is larger than %zu bytes", what, buf->max);
}

const char *sl_buf_cstr(const struct sl_buf *buf) { return buf->data ? buf->data : ""; }

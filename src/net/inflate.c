#include "net/inflate.h"

#include <stdint.h>
#include <zlib.h>

int sl_net_inflate(enum sl_inflate format, const void *data, size_t len, struct sl_buf *out, struct sl_error *err)
{
	enum { PIECE = 64 * 1024 };
	static const int WINDOWS[] = {[SL_INFLATE_GZIP] = MAX_WBITS + 16, [SL_INFLATE_ZLIB] = MAX_WBITS, [SL_INFLATE_RAW] = -MAX_WBITS};
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
	if (len > UINT32_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than 4 GiB of compressed bytes");
	if (inflateInit2(&z, WINDOWS[format]) != Z_OK)
		return sl_fail_memory(err);
	int z_rc = Z_OK;
	while (z_rc == Z_OK) {
		char *room = sl_buf_reserve(out, PIECE);
		if (!room)
			break;
		z.next_out = (Bytef *)room;
		z.avail_out = PIECE;
		z_rc = inflate(&z, Z_NO_FLUSH);
		out->len += PIECE - z.avail_out;
	}
	inflateEnd(&z);
	if (out->failed)
		return sl_buf_check(out, "the decompressed body", err);
	return z_rc == Z_STREAM_END && !z.avail_in ? 0 : sl_fail(err, SL_E_INVALID, "the body is not compressed as it says");
}

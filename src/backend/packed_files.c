#include "port/packed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "os/file.h"

enum { INPUT_BYTES = 128 << 10, OUTPUT_BYTES = 128 << 10, GZIP_WINDOW_BITS = 15 + 16 };

/* One run over a file's bytes. `feed` takes all of `size` bytes; `whole` is whether a member or frame has just ended. */
struct unpack {
	z_stream gzip;
	ZSTD_DStream *zstd;
	const char *name;
	bool whole;
	unsigned char in[INPUT_BYTES], out[OUTPUT_BYTES];
};

static int feed_gzip(struct unpack *u, size_t size, struct sl_error *err)
{
	u->gzip.next_in = u->in;
	u->gzip.avail_in = (uInt)size;
	do {
		if (u->whole)
			inflateReset(&u->gzip);
		u->gzip.next_out = u->out;
		u->gzip.avail_out = OUTPUT_BYTES;
		int told = inflate(&u->gzip, Z_NO_FLUSH);
		u->whole = told == Z_STREAM_END;
		if (told == Z_MEM_ERROR)
			return sl_fail_memory(err);
		if (told != Z_OK && told != Z_STREAM_END && told != Z_BUF_ERROR)
			return sl_fail_at(err, SL_E_FAILED, u->name, "not what gzip packed: %s",
				u->gzip.msg ? u->gzip.msg : "a dictionary is wanted");
	} while (u->gzip.avail_in || (!u->whole && !u->gzip.avail_out));
	return 0;
}

static int feed_zstd(struct unpack *u, size_t size, struct sl_error *err)
{
	ZSTD_inBuffer in = {.src = u->in, .size = size};
	ZSTD_outBuffer out;
	do {
		out = (ZSTD_outBuffer){.dst = u->out, .size = OUTPUT_BYTES};
		size_t wanted = ZSTD_decompressStream(u->zstd, &out, &in);
		if (ZSTD_isError(wanted))
			return sl_fail_at(err, SL_E_FAILED, u->name, "not what zstd packed: %s", ZSTD_getErrorName(wanted));
		u->whole = wanted == 0;
	} while (in.pos < in.size || (!u->whole && out.pos == out.size));
	return 0;
}

static int feed_all(struct unpack *u, const char *path, enum sl_packing kind, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	struct sl_file_info info;
	int rc = sl_file_info(path, &info, err);

	if (rc < 0 || (rc = sl_file_open(path, O_RDONLY, 0, &fd, err)) < 0)
		return rc;
	for (uint64_t at = 0; at < info.size_bytes && rc == 0;) {
		size_t size = info.size_bytes - at < INPUT_BYTES ? (size_t)(info.size_bytes - at) : INPUT_BYTES;
		rc = sl_file_read_at(fd, u->in, size, at, path, err);
		if (rc == 0)
			rc = kind == SL_PACKING_GZIP ? feed_gzip(u, size, err) : feed_zstd(u, size, err);
		at += size;
	}
	if (rc < 0 || u->whole)
		return rc;
	return sl_error_hint((sl_fail_at(err, SL_E_FAILED, u->name, "cut off: the packed data ends before its end"), err),
		"bring the whole file");
}

int sl_packed_prove(const char *path, enum sl_packing kind, const char *name, struct sl_error *err)
{
	if (kind == SL_PACKING_NONE)
		return 0;
	struct unpack *u = calloc(1, sizeof *u);
	if (!u)
		return sl_fail_memory(err);
	u->name = name;
	bool ready = kind == SL_PACKING_GZIP ? inflateInit2(&u->gzip, GZIP_WINDOW_BITS) == Z_OK
					     : (u->zstd = ZSTD_createDStream()) != NULL;
	int rc = ready ? feed_all(u, path, kind, err) : sl_fail_memory(err);
	if (ready && kind == SL_PACKING_GZIP)
		inflateEnd(&u->gzip);
	ZSTD_freeDStream(u->zstd);
	free(u);
	return rc;
}

int sl_packed_kind(const char *path, enum sl_packing *ret, struct sl_error *err)
{
	static const unsigned char GZIP[] = {0x1f, 0x8b}, ZSTD[] = {0x28, 0xb5, 0x2f, 0xfd};
	unsigned char head[4] = {0};
	int fd SL_AUTO_CLOSE = -1;
	struct sl_file_info info;
	int rc = sl_file_info(path, &info, err);

	if (rc < 0 || (rc = sl_file_open(path, O_RDONLY, 0, &fd, err)) < 0)
		return rc;
	if (info.size_bytes >= sizeof head && (rc = sl_file_read_at(fd, head, sizeof head, 0, path, err)) < 0)
		return rc;
	*ret = memcmp(head, GZIP, sizeof GZIP) == 0   ? SL_PACKING_GZIP
	       : memcmp(head, ZSTD, sizeof ZSTD) == 0 ? SL_PACKING_ZSTD
						      : SL_PACKING_NONE;
	return 0;
}

#include "base/pax.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 100, SIZE_AT = 124, CHECKSUM_AT = 148, TYPE_AT = 156 };
static const uint64_t SIZE_MAX_BYTES = (UINT64_C(1) << 33) - 1; /* eleven octal digits */

static const char ZEROS[SL_PAX_BLOCK];

static void add_block(struct sl_buf *out, const char *name, uint64_t size, char type)
{
	char block[SL_PAX_BLOCK] = {0};
	unsigned sum = 0;
	memcpy(block, name, strnlen(name, NAME_MAX_BYTES));
	memcpy(block + 100, "0000644\0000000000\0000000000", 24);
	snprintf(block + SIZE_AT, 12, "%011" PRIo64, size <= SIZE_MAX_BYTES ? size : 0);
	memcpy(block + 136, "00000000000", 12);
	memset(block + CHECKSUM_AT, ' ', 8);
	block[TYPE_AT] = type;
	memcpy(block + 257, "ustar\00000", 8);
	for (int i = 0; i < SL_PAX_BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + CHECKSUM_AT, 7, "%06o", sum & 0777777);
	sl_buf_add(out, block, sizeof block);
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static void add_record(struct sl_buf *out, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;
	for (;;) {
		char digits[24];
		size_t all = rest + (size_t)snprintf(digits, sizeof digits, "%zu", len);
		if (all == len)
			break;
		len = all;
	}
	sl_buf_printf(out, "%zu %s=%s\n", len, key, value);
}

void sl_pax_head(struct sl_buf *out, const char *name, uint64_t size_bytes)
{
	struct sl_buf records SL_AUTO_BUF = SL_BUF_INIT(3 * SL_PAX_NAME_MAX);
	char size[24];
	assert(strlen(name) <= SL_PAX_NAME_MAX);
	if (strlen(name) > NAME_MAX_BYTES)
		add_record(&records, "path", name);
	snprintf(size, sizeof size, "%" PRIu64, size_bytes);
	if (size_bytes > SIZE_MAX_BYTES)
		add_record(&records, "size", size);
	if (records.len) {
		add_block(out, "pax-header", records.len, 'x');
		sl_buf_add(out, records.data, records.len);
		sl_pax_pad(out, records.len);
	}
	add_block(out, name, size_bytes, '0');
}

void sl_pax_pad(struct sl_buf *out, uint64_t size_bytes)
{
	sl_buf_add(out, ZEROS, (size_t)((SL_PAX_BLOCK - size_bytes % SL_PAX_BLOCK) % SL_PAX_BLOCK));
}

void sl_pax_end(struct sl_buf *out)
{
	sl_buf_add(out, ZEROS, sizeof ZEROS);
	sl_buf_add(out, ZEROS, sizeof ZEROS);
}

/* The bytes of a segment, batch after batch, and the predictions in them. The checksum is set right first, so that what is behind it is reached. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/stream_batch.h"
#include "serve/log.h"

static int take_record(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct sl_prediction prediction;
	struct sl_arena *arena = context;
	sl_arena_reset(arena);
	if (sl_predlog_decode(record, arena, &prediction, err))
		return 0;
	struct sl_buf again SL_AUTO_BUF = SL_BUF_INIT(SL_PREDLOG_VALUE_MAX);
	if (sl_predlog_encode(&prediction, &again, err) == 0 && again.len > record->value_len)
		abort(); /* ours is the shortest form there is */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	unsigned char *bytes = malloc(size ? size : 1);
	size_t at = 0;
	if (!arena || !bytes)
		abort();
	memcpy(bytes, data, size);
	for (;;) {
		struct sl_batch batch;
		struct sl_error err;
		const char *why;
		int64_t next;
		size_t have = size - at;
		if (have >= SL_BATCH_HEAD) {
			size_t length = (size_t)sl_read_be32(bytes + at + 8) + 12;
			if (length <= have && length >= SL_BATCH_HEAD)
				sl_write_be32(bytes + at + 17, sl_crc32c(0, bytes + at + 21, length - 21));
		}
		if (sl_batch_look(bytes + at, have, &batch, &why) != SL_BATCH_GOOD)
			break;
		if (sl_batch_each(bytes + at, &batch, 0, take_record, arena, &next, &err))
			break;
		at += batch.size;
	}
	free(bytes);
	return 0;
}

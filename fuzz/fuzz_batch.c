/* Kafka record batches in segment files. The checksum is put right first: else the fuzzer would not come past it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "backend/stream_batch.h"

enum { AT_CRC = 17, AT_ATTRIBUTES = 21 };

static int visit(void *context, const struct sl_record *record, struct sl_error *err)
{
	uint64_t *sum = context;
	const unsigned char *key = record->key, *value = record->value;

	(void)err;
	for (size_t i = 0; key && i < record->key_len; i++)
		*sum += key[i];
	for (size_t i = 0; value && i < record->value_len; i++)
		*sum += value[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_batch batch;
	const char *why = NULL;
	uint64_t sum = 0;
	int64_t next = 0;

	if (len < SL_BATCH_HEAD)
		return sl_batch_look(data, len, &batch, &why) == SL_BATCH_GOOD ? -1 : 0;
	unsigned char *copy = malloc(len);
	assert(copy);
	memcpy(copy, data, len);
	sl_write_be32(copy + AT_CRC, sl_crc32c(0, copy + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
	if (sl_batch_look(copy, len, &batch, &why) == SL_BATCH_GOOD) {
		assert(batch.size <= len);
		if (sl_batch_each(copy, &batch, batch.base_offset, visit, &sum, &next, &err) == 0)
			assert(next >= batch.base_offset);
	} else {
		assert(why || batch.size > len);
	}
	free(copy);
	return 0;
}

/* Kafka record batches, magic 2, uncompressed: encoding and checked decoding in memory (docs/formats/stream.md).
 * Every byte that is decoded is hostile until its CRC-32C and all its lengths hold.
 */
#ifndef SL_BACKEND_STREAM_BATCH_H
#define SL_BACKEND_STREAM_BATCH_H

#include "port/stream.h"

enum {
	SL_BATCH_HEAD = 61,             /* bytes before the first record */
	SL_BATCH_MAX = 16 * 1024 * 1024, /* whole batch, head included */
};

/* Exact size of the batch that holds these records; 0 when it would be larger than SL_BATCH_MAX. */
size_t sl_batch_size(const struct sl_record *records, size_t count);
/* Writes it to `out`, which has `size` = sl_batch_size() bytes. count >= 1. */
void sl_batch_write(unsigned char *out, size_t size, int64_t base_offset, const struct sl_record *records, size_t count);

struct sl_batch {
	int64_t base_offset, max_time_ms;
	uint32_t count;
	size_t size; /* whole, head included */
};

enum sl_batch_state {
	SL_BATCH_GOOD,
	SL_BATCH_SHORT, /* `have` ends inside it: *ret_size bytes are needed */
	SL_BATCH_BAD,   /* not a batch, or its checksum is wrong */
};
/* Looks at the batch that starts at `data`: its head, and once all of it is there its checksum. *ret_why says what is bad. */
enum sl_batch_state sl_batch_look(const unsigned char *data, size_t have, struct sl_batch *ret, const char **ret_why);

/* Calls `each` for every record with offset >= `from`, in order, of a batch that sl_batch_look called good. 0, 1 when `each`
 * stopped it (*ret_next is then behind that record, else behind the batch), SL_E_CORRUPT, or what `each` returned. */
int sl_batch_each(const unsigned char *data, const struct sl_batch *batch, int64_t from, sl_stream_visit *each, void *context,
		  int64_t *ret_next,
		  struct sl_error *err);

/* Big-endian numbers, shared with the other files of this backend. */
uint32_t sl_read_be32(const unsigned char *p);
uint64_t sl_read_be64(const unsigned char *p);
void sl_write_be32(unsigned char *p, uint32_t v);
void sl_write_be64(unsigned char *p, uint64_t v);

#endif

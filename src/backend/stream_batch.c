#include "backend/stream_batch.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* Where the fields of the head stand. */
enum {
	AT_BASE_OFFSET = 0, AT_LENGTH = 8, AT_LEADER_EPOCH = 12, AT_MAGIC = 16, AT_CRC = 17, AT_ATTRIBUTES = 21,
	AT_LAST_DELTA = 23,
	AT_BASE_TIME = 27, AT_MAX_TIME = 35, AT_PRODUCER_ID = 43, AT_PRODUCER_EPOCH = 51, AT_BASE_SEQUENCE = 53, AT_COUNT = 57,
};
enum {
	BEFORE_LENGTH_ENDS = 12, MAGIC = 2, COMPRESSION_MASK = 7,
	RECORD_LEAST = 7, /* length, attributes, two deltas, key, value, headers */
};

uint32_t sl_read_be32(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap32(v);
}

uint64_t sl_read_be64(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

void sl_write_be32(unsigned char *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof v);
}

void sl_write_be64(unsigned char *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof v);
}

static uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }
static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static size_t varint_size(int64_t v)
{
	size_t n = 1;
	for (uint64_t u = zigzag(v); u >= 128; u >>= 7)
		n++;
	return n;
}

static unsigned char *put_varint(unsigned char *p, int64_t v)
{
	uint64_t u = zigzag(v);
	for (; u >= 128; u >>= 7)
		*p++ = (unsigned char)(u | 128);
	*p++ = (unsigned char)u;
	return p;
}

/* false when it does not end before `end` or is longer than 64 bits. */
static bool get_varint(const unsigned char **p, const unsigned char *end, int64_t *ret)
{
	uint64_t u = 0;
	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		unsigned char c = *(*p)++;
		u |= (uint64_t)(c & 127) << shift;
		if (c < 128) {
			*ret = unzigzag(u);
			return true;
		}
	}
	return false;
}

/* Wraps instead of overflowing; the decoder adds it back the same way. */
static int64_t time_delta(const struct sl_record *record, int64_t base_time_ms)
{
	return (int64_t)((uint64_t)record->time_ms - (uint64_t)base_time_ms);
}

static int64_t key_length(const struct sl_record *record) { return record->key ? (int64_t)record->key_len : -1; }

/* Bytes of a record behind its length field. */
static size_t body_size(const struct sl_record *record, int64_t base_time_ms, size_t index)
{
	return 1 + varint_size(time_delta(record, base_time_ms)) + varint_size((int64_t)index) + varint_size(key_length(record)) +
	       (record->key ? record->key_len : 0) + varint_size((int64_t)record->value_len) + record->value_len + 1;
}

size_t sl_batch_size(const struct sl_record *records, size_t count)
{
	size_t size = SL_BATCH_HEAD;
	for (size_t i = 0; i < count; i++) {
		if (records[i].key_len > SL_BATCH_MAX || records[i].value_len > SL_BATCH_MAX)
			return 0;
		size_t body = body_size(&records[i], records[0].time_ms, i);
		size += varint_size((int64_t)body) + body;
		if (size > SL_BATCH_MAX)
			return 0;
	}
	return size;
}

static unsigned char *put_record(unsigned char *p, const struct sl_record *record, int64_t base_time_ms, size_t index)
{
	p = put_varint(p, (int64_t)body_size(record, base_time_ms, index));
	*p++ = 0; /* attributes: none are defined */
	p = put_varint(p, time_delta(record, base_time_ms));
	p = put_varint(p, (int64_t)index);
	p = put_varint(p, key_length(record));
	if (record->key && record->key_len) {
		memcpy(p, record->key, record->key_len);
		p += record->key_len;
	}
	p = put_varint(p, (int64_t)record->value_len);
	if (record->value_len) {
		memcpy(p, record->value, record->value_len);
		p += record->value_len;
	}
	*p++ = 0; /* headers: none */
	return p;
}

void sl_batch_write(unsigned char *out, size_t size, int64_t base_offset, const struct sl_record *records, size_t count)
{
	assert(count >= 1 && size >= SL_BATCH_HEAD && size <= SL_BATCH_MAX);
	int64_t max_time_ms = records[0].time_ms;
	unsigned char *p = out + SL_BATCH_HEAD;
	for (size_t i = 0; i < count; i++) {
		if (records[i].time_ms > max_time_ms)
			max_time_ms = records[i].time_ms;
		p = put_record(p, &records[i], records[0].time_ms, i);
	}
	assert(p == out + size);
	sl_write_be64(out + AT_BASE_OFFSET, (uint64_t)base_offset);
	sl_write_be32(out + AT_LENGTH, (uint32_t)(size - BEFORE_LENGTH_ENDS));
	sl_write_be32(out + AT_LEADER_EPOCH, 0);
	out[AT_MAGIC] = MAGIC;
	memset(out + AT_ATTRIBUTES, 0, 2); /* not compressed, times of creation, no transaction */
	sl_write_be32(out + AT_LAST_DELTA, (uint32_t)(count - 1));
	sl_write_be64(out + AT_BASE_TIME, (uint64_t)records[0].time_ms);
	sl_write_be64(out + AT_MAX_TIME, (uint64_t)max_time_ms);
	memset(out + AT_PRODUCER_ID, 0xff, 8 + 2 + 4); /* producer id, its epoch, base sequence: -1, no idempotent producer */
	sl_write_be32(out + AT_COUNT, (uint32_t)count);
	sl_write_be32(out + AT_CRC, sl_crc32c(0, out + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
}

static enum sl_batch_state bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return SL_BATCH_BAD;
}

enum sl_batch_state sl_batch_look(const unsigned char *data, size_t have, struct sl_batch *ret, const char **ret_why)
{
	ret->size = SL_BATCH_HEAD;
	if (have < SL_BATCH_HEAD)
		return SL_BATCH_SHORT;
	uint32_t length = sl_read_be32(data + AT_LENGTH);
	if (length < SL_BATCH_HEAD - BEFORE_LENGTH_ENDS || length > SL_BATCH_MAX - BEFORE_LENGTH_ENDS)
		return bad(ret_why, "its length is impossible");
	if (data[AT_MAGIC] != MAGIC)
		return bad(ret_why, "its magic byte is not 2");
	if (sl_read_be32(data + AT_LEADER_EPOCH)) /* the one field that no checksum covers */
		return bad(ret_why, "its leader epoch is not 0");
	*ret = (struct sl_batch){
		.base_offset = (int64_t)sl_read_be64(data + AT_BASE_OFFSET),
		.max_time_ms = (int64_t)sl_read_be64(data + AT_MAX_TIME),
		.count = sl_read_be32(data + AT_COUNT), .size = (size_t)length + BEFORE_LENGTH_ENDS,
	};
	if (have < ret->size)
		return SL_BATCH_SHORT;
	if (sl_read_be32(data + AT_CRC) != sl_crc32c(0, data + AT_ATTRIBUTES, ret->size - AT_ATTRIBUTES))
		return bad(ret_why, "its CRC-32C is wrong");
	if (data[AT_ATTRIBUTES + 1] & COMPRESSION_MASK)
		return bad(ret_why, "it is compressed, which this program never writes");
	if (ret->base_offset < 0 || !ret->count || ret->count > ret->size / RECORD_LEAST ||
	    sl_read_be32(data + AT_LAST_DELTA) != ret->count - 1)
		return bad(ret_why, "its record count is impossible");
	return SL_BATCH_GOOD;
}

/* A length-prefixed piece; -1 means NULL. */
static bool get_piece(const unsigned char **p, const unsigned char *end, const void **ret, size_t *ret_len)
{
	int64_t len;
	if (!get_varint(p, end, &len) || len < -1 || len > end - *p)
		return false;
	*ret = len < 0 ? NULL : *p;
	*ret_len = len < 0 ? 0 : (size_t)len;
	*p += *ret_len;
	return true;
}

/* The record at *p; moves *p behind it. */
static bool get_record(const unsigned char **p, const unsigned char *end, int64_t base_time_ms, uint32_t index,
		       struct sl_record *ret)
{
	int64_t len, delta_ms, offset_delta, headers;
	if (!get_varint(p, end, &len) || len < RECORD_LEAST - 1 || len > end - *p)
		return false;
	const unsigned char *record_end = *p + len;
	(*p)++; /* attributes */
	if (!get_varint(p, record_end, &delta_ms) || !get_varint(p, record_end, &offset_delta) || offset_delta != index)
		return false;
	if (!get_piece(p, record_end, &ret->key, &ret->key_len) || !get_piece(p, record_end, &ret->value, &ret->value_len))
		return false;
	if (!get_varint(p, record_end, &headers) || headers < 0)
		return false;
	ret->time_ms = (int64_t)((uint64_t)base_time_ms + (uint64_t)delta_ms);
	*p = record_end; /* headers, which a foreign writer may have put there, are passed over */
	return true;
}

int sl_batch_each(const unsigned char *data, const struct sl_batch *batch, int64_t from, sl_stream_visit *each, void *context,
		  int64_t *ret_next,
		  struct sl_error *err)
{
	const unsigned char *p = data + SL_BATCH_HEAD, *end = data + batch->size;
	int64_t base_time_ms = (int64_t)sl_read_be64(data + AT_BASE_TIME);
	for (uint32_t i = 0; i < batch->count; i++) {
		struct sl_record record = {.offset = batch->base_offset + i};
		if (!get_record(&p, end, base_time_ms, i, &record))
			return sl_fail(err, SL_E_CORRUPT, "record %lld is malformed", (long long)record.offset);
		*ret_next = record.offset + 1;
		if (record.offset < from)
			continue;
		int rc = each(context, &record, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Protocol buffers, the wire format: fields read one after the other, and written. No schema: who reads knows the numbers.
 * https://protobuf.dev/programming-guides/encoding */
#ifndef SL_BASE_PROTO_H
#define SL_BASE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* ---- reading: every length is checked; groups, which nobody uses any more, are refused ---- */

enum sl_proto_wire { SL_PROTO_VARINT = 0, SL_PROTO_64 = 1, SL_PROTO_BYTES = 2, SL_PROTO_32 = 5 };

struct sl_proto {
	const unsigned char *p, *end;
	bool bad; /* not the wire format; nothing more is read */
};
struct sl_proto_field {
	uint32_t number;
	enum sl_proto_wire wire;
	uint64_t value;            /* VARINT, 64, 32 */
	const unsigned char *data; /* BYTES */
	size_t len;
};
static inline struct sl_proto sl_proto_of(const void *data, size_t len)
{
	return (struct sl_proto){.p = data, .end = len ? (const unsigned char *)data + len : data}; /* a field without bytes has no address */
}
/* False at the end, and when `bad`. */
bool sl_proto_next(struct sl_proto *in, struct sl_proto_field *ret);
/* A bare varint, as packed fields have them. 0 with in->bad set when there is none. */
uint64_t sl_proto_varint(struct sl_proto *in);

/* ---- writing ---- */

void sl_proto_put_varint(struct sl_buf *out, uint64_t value);
void sl_proto_put_int(struct sl_buf *out, uint32_t number, uint64_t value); /* int64, uint64, bool, enum */
void sl_proto_put_bytes(struct sl_buf *out, uint32_t number, const void *data, size_t len);
void sl_proto_put_text(struct sl_buf *out, uint32_t number, const char *text);
void sl_proto_put_fixed64(struct sl_buf *out, uint32_t number, uint64_t value);
/* A message within: everything written between open and close, which gets what open returned. */
size_t sl_proto_open(struct sl_buf *out, uint32_t number);
void sl_proto_close(struct sl_buf *out, size_t opened);

#endif

#include "base/proto.h"

enum { VARINT_MOST = 10 };

uint64_t sl_proto_varint(struct sl_proto *in)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70 && in->p < in->end; shift += 7) {
		unsigned char c = *in->p++;
		if (shift == 63 && c > 1)
			break;
		value |= (uint64_t)(c & 127) << shift;
		if (c < 128)
			return value;
	}
	in->bad = true;
	return 0;
}

static uint64_t fixed(struct sl_proto *in, unsigned bytes)
{
	uint64_t value = 0;
	if ((size_t)(in->end - in->p) < bytes) {
		in->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)*in->p++ << (8 * i);
	return value;
}

bool sl_proto_next(struct sl_proto *in, struct sl_proto_field *ret)
{
	if (in->bad || in->p == in->end)
		return false;
	uint64_t tag = sl_proto_varint(in), len;
	*ret = (struct sl_proto_field){.number = (uint32_t)(tag >> 3), .wire = (enum sl_proto_wire)(tag & 7)};
	if (tag >> 32 || !ret->number)
		in->bad = true;
	switch (ret->wire) {
	case SL_PROTO_VARINT:
		ret->value = sl_proto_varint(in);
		break;
	case SL_PROTO_64:
		ret->value = fixed(in, 8);
		break;
	case SL_PROTO_32:
		ret->value = fixed(in, 4);
		break;
	case SL_PROTO_BYTES:
		len = sl_proto_varint(in);
		if (in->bad || len > (size_t)(in->end - in->p)) {
			in->bad = true;
			break;
		}
		ret->data = in->p;
		ret->len = (size_t)len;
		in->p += len;
		break;
	default:
		in->bad = true;
	}
	return !in->bad;
}

static size_t varint_bytes(unsigned char out[VARINT_MOST], uint64_t value)
{
	size_t n = 0;
	for (; value >= 128; value >>= 7)
		out[n++] = (unsigned char)(value | 128);
	out[n++] = (unsigned char)value;
	return n;
}

void sl_proto_put_varint(struct sl_buf *out, uint64_t value)
{
	unsigned char bytes[VARINT_MOST];
	sl_buf_add(out, bytes, varint_bytes(bytes, value));
}

static void put_tag(struct sl_buf *out, uint32_t number, enum sl_proto_wire wire)
{
	sl_proto_put_varint(out, (uint64_t)number << 3 | wire);
}

void sl_proto_put_int(struct sl_buf *out, uint32_t number, uint64_t value)
{
	put_tag(out, number, SL_PROTO_VARINT);
	sl_proto_put_varint(out, value);
}

void sl_proto_put_bytes(struct sl_buf *out, uint32_t number, const void *data, size_t len)
{
	put_tag(out, number, SL_PROTO_BYTES);
	sl_proto_put_varint(out, len);
	sl_buf_add(out, data, len);
}

void sl_proto_put_text(struct sl_buf *out, uint32_t number, const char *text)
{
	sl_proto_put_bytes(out, number, text, strlen(text));
}

void sl_proto_put_fixed64(struct sl_buf *out, uint32_t number, uint64_t value)
{
	put_tag(out, number, SL_PROTO_64);
	sl_buf_u64le(out, value);
}

size_t sl_proto_open(struct sl_buf *out, uint32_t number)
{
	put_tag(out, number, SL_PROTO_BYTES);
	sl_buf_char(out, 0); /* the length, while it is less than 128 */
	return out->len;
}

void sl_proto_close(struct sl_buf *out, size_t opened)
{
	unsigned char bytes[VARINT_MOST];
	if (out->failed)
		return;
	size_t len = out->len - opened, n = varint_bytes(bytes, len);
	if (n > 1 && !sl_buf_reserve(out, n - 1))
		return;
	memmove(out->data + opened + n - 1, out->data + opened, len);
	memcpy(out->data + opened - 1, bytes, n);
	out->len += n - 1;
	out->data[out->len] = 0;
}

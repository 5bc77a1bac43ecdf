/* How many different values a stream has, and the hash that its sketches share. */
#include <math.h>
#include <string.h>

#include "data/sketch.h"

/* The finalizer of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
uint64_t sl_sketch_hash(uint64_t x)
{
	x += UINT64_C(0x9E3779B97F4A7C15);
	x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
	return x ^ x >> 31;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 uint128;
	uint128 product = (uint128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Fewer than 8 bytes as a little-endian number, without a loop or a call: pieces overlap where the length is no power of two. */
static uint64_t load_short(const unsigned char *p, size_t len)
{
	if (len >= 4) {
		uint32_t first, last;
		memcpy(&first, p, 4);
		memcpy(&last, p + len - 4, 4);
		return first | (uint64_t)last << (len - 4) * 8;
	}
	return len ? p[0] | (uint64_t)p[len / 2] << len / 2 * 8 | (uint64_t)p[len - 1] << (len - 1) * 8 : 0;
}

/* Eight bytes at a time, each multiplied to 128 bits and folded (the step of wyhash). */
uint64_t sl_sketch_hash_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xA0761D6478BD642F) ^ len, word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		h = fold(h ^ word, UINT64_C(0xE7037ED1A0B428DB));
	}
	word = load_short(p, len);
	return sl_sketch_hash(fold(h ^ word, UINT64_C(0x8EBC6AF09C88C6E3)) ^ word);
}

void sl_distinct_add(struct sl_distinct *d, uint64_t hash)
{
	size_t i = hash >> (64 - SL_DISTINCT_BITS);
	/* The bit set behind the rest ends the count of its leading zeros. */
	uint8_t rank = (uint8_t)(__builtin_clzll(hash << SL_DISTINCT_BITS | UINT64_C(1) << (SL_DISTINCT_BITS - 1)) + 1);

	if (rank > d->registers[i])
		d->registers[i] = rank;
}

void sl_distinct_merge(struct sl_distinct *into, const struct sl_distinct *from)
{
	for (size_t i = 0; i < SL_DISTINCT_REGISTERS; i++)
		if (from->registers[i] > into->registers[i])
			into->registers[i] = from->registers[i];
}

static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x == 1)
		return INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x == 0 || x == 1)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}

uint64_t sl_distinct_count(const struct sl_distinct *d)
{
	enum { Q = 64 - SL_DISTINCT_BITS };
	const double m = SL_DISTINCT_REGISTERS;
	size_t histogram[Q + 2] = {0};

	for (size_t i = 0; i < SL_DISTINCT_REGISTERS; i++)
		histogram[d->registers[i]]++;
	double z = m * tau(1 - (double)histogram[Q + 1] / m);
	for (int k = Q; k >= 1; k--)
		z = 0.5 * (z + (double)histogram[k]);
	z += m * sigma((double)histogram[0] / m);
	double estimate = m * m / (2 * log(2) * z);
	return (uint64_t)llround(estimate);
}

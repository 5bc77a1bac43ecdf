#include "base/id.h"

#include <string.h>

static const char ALPHABET[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void sl_id_make(int64_t time_ms, const unsigned char random[10], struct sl_id *ret)
{
	uint64_t t = (uint64_t)time_ms;
	for (int i = 9; i >= 0; i--, t >>= 5)
		ret->text[i] = ALPHABET[t & 31];
	unsigned bits = 0, have = 0, at = 10;
	for (int i = 0; i < 10; i++) {
		bits = bits << 8 | random[i];
		for (have += 8; have >= 5; have -= 5)
			ret->text[at++] = ALPHABET[bits >> (have - 5) & 31];
	}
	ret->text[SL_ID_LEN] = 0;
}

/* A digit's value plus one, either case; 0: none. */
static const unsigned char DIGITS[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['A'] = 11, ['a'] = 11, ['B'] = 12, ['b'] = 12, ['C'] = 13, ['c'] = 13, ['D'] = 14, ['d'] = 14, ['E'] = 15,
	['e'] = 15, ['F'] = 16, ['f'] = 16, ['G'] = 17, ['g'] = 17, ['H'] = 18, ['h'] = 18, ['J'] = 19, ['j'] = 19,
	['K'] = 20, ['k'] = 20, ['M'] = 21, ['m'] = 21, ['N'] = 22, ['n'] = 22, ['P'] = 23, ['p'] = 23, ['Q'] = 24,
	['q'] = 24, ['R'] = 25, ['r'] = 25, ['S'] = 26, ['s'] = 26, ['T'] = 27, ['t'] = 27, ['V'] = 28, ['v'] = 28,
	['W'] = 29, ['w'] = 29, ['X'] = 30, ['x'] = 30, ['Y'] = 31, ['y'] = 31, ['Z'] = 32, ['z'] = 32,
};

static int digit(char c) { return DIGITS[(unsigned char)c] - 1; }

bool sl_id_parse(const char *text, struct sl_id *ret)
{
	struct sl_id id = {0};
	for (int i = 0; i < SL_ID_LEN; i++) {
		int d = digit(text[i]);
		if (d < 0 || (i == 0 && d > 7))
			return false;
		id.text[i] = ALPHABET[d];
	}
	if (text[SL_ID_LEN])
		return false;
	*ret = id;
	return true;
}

void sl_id_hex(const struct sl_id *id, char out[SL_ID_HEX + 1])
{
	static const char HEX[] = "0123456789abcdef";
	/* 26 digits of 5 bits are 130: the first two bits are 0. */
	unsigned bits = 0, have = 0, at = 0;
	for (int i = 0; i < SL_ID_LEN; i++) {
		bits = bits << 5 | (unsigned)digit(id->text[i]);
		for (have += i ? 5 : 3; have >= 4; have -= 4)
			out[at++] = HEX[bits >> (have - 4) & 15];
	}
	out[SL_ID_HEX] = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sl_id_parse_hex(const char *hex, struct sl_id *ret)
{
	struct sl_id id = {0};
	unsigned bits = 0, have = 2, at = 0;
	for (int i = 0; i < SL_ID_HEX; i++) {
		int d = hex_digit(hex[i]);
		if (d < 0)
			return false;
		bits = bits << 4 | (unsigned)d;
		for (have += 4; have >= 5; have -= 5)
			id.text[at++] = ALPHABET[bits >> (have - 5) & 31];
	}
	if (hex[SL_ID_HEX])
		return false;
	*ret = id;
	return true;
}

int64_t sl_id_time_ms(const struct sl_id *id)
{
	uint64_t t = 0;
	for (int i = 0; i < 10; i++)
		t = t << 5 | (unsigned)digit(id->text[i]);
	return (int64_t)t;
}

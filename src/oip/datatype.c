#include "oip/datatype.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const struct sl_datatype DATATYPES[] = {
	{"FP32", SL_FAMILY_FLOAT, 4, false}, {"INT64", SL_FAMILY_INT, 8, false},  {"BYTES", SL_FAMILY_BYTES, 0, false},
	{"FP64", SL_FAMILY_FLOAT, 8, false}, {"BOOL", SL_FAMILY_BOOL, 1, false},  {"INT32", SL_FAMILY_INT, 4, false},
	{"INT16", SL_FAMILY_INT, 2, false},  {"INT8", SL_FAMILY_INT, 1, false},	  {"UINT8", SL_FAMILY_UINT, 1, false},
	{"UINT16", SL_FAMILY_UINT, 2, false}, {"UINT32", SL_FAMILY_UINT, 4, false}, {"UINT64", SL_FAMILY_UINT, 8, false},
	{"FP16", SL_FAMILY_FLOAT, 2, false}, {"BF16", SL_FAMILY_FLOAT, 2, true},
};

const struct sl_datatype *sl_datatype_find(const char *name, size_t len)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(DATATYPES); i++)
		if (strncmp(DATATYPES[i].name, name, len) == 0 && !DATATYPES[i].name[len])
			return &DATATYPES[i];
	return NULL;
}

bool sl_datatype_fits(const struct sl_datatype *type, int64_t v)
{
	if (type->family == SL_FAMILY_UINT)
		return v >= 0 && (type->bytes >= 8 || v < (int64_t)1 << (8 * type->bytes));
	return type->bytes >= 8 || (v >= -((int64_t)1 << (8 * type->bytes - 1)) && v < (int64_t)1 << (8 * type->bytes - 1));
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static double half(uint32_t bits)
{
	uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
	double value = exponent == 31 ? (fraction ? NAN : INFINITY)
		       : exponent     ? ldexp(1024 + fraction, (int)exponent - 25)
				      : ldexp(fraction, -24);
	return bits >> 15 ? -value : value;
}

double sl_datatype_real(const struct sl_datatype *type, uint64_t bits)
{
	uint32_t low = type->brain ? (uint32_t)bits << 16 : (uint32_t)bits;
	float f;
	double d;
	if (type->bytes == 2 && !type->brain)
		return half(low);
	memcpy(&f, &low, sizeof f);
	memcpy(&d, &bits, sizeof d);
	return type->bytes == 8 ? d : (double)f;
}

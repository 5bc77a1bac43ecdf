/* The datatypes of the Open Inference Protocol. */
#ifndef SL_OIP_DATATYPE_H
#define SL_OIP_DATATYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sl_family { SL_FAMILY_BOOL, SL_FAMILY_INT, SL_FAMILY_UINT, SL_FAMILY_FLOAT, SL_FAMILY_BYTES };

struct sl_datatype {
	const char *name;
	enum sl_family family;
	unsigned bytes;  /* of a raw element; BYTES: 0, each has its own length */
	bool brain;      /* BF16: the upper half of a float32 */
};
/* NULL: none of that name. */
const struct sl_datatype *sl_datatype_find(const char *name, size_t len);
/* Whether an INT or UINT type of that size holds the value. */
bool sl_datatype_fits(const struct sl_datatype *type, int64_t v);
/* FP16, BF16, FP32 or FP64 from its bits; exact. */
double sl_datatype_real(const struct sl_datatype *type, uint64_t bits);

#endif

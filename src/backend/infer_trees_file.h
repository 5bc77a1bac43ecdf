/* A model file's values, out of JSON or UBJSON alike: what is read of XGBoost's files, and nothing of their meaning.
 *
 * Bytes are hostile: every length is checked against what is left of the file, nesting is at most SL_VALUE_DEPTH_MAX, memory at
 * most 64 MiB plus eight times the file. Arrays of numbers stay packed; UBJSON is read in place, so `data` must outlive the
 * values.
 */
#ifndef SL_BACKEND_INFER_TREES_FILE_H
#define SL_BACKEND_INFER_TREES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum { SL_VALUE_DEPTH_MAX = 32 };

enum sl_file_kind { SL_FILE_NULL, SL_FILE_BOOL, SL_FILE_INT, SL_FILE_REAL, SL_FILE_TEXT, SL_FILE_ARRAY, SL_FILE_OBJECT };

struct sl_file_member;
struct sl_file_value {
	enum sl_file_kind kind;
	char packed; /* ARRAY: UBJSON's mark of each item ('d' float32, 'l' int32 ...), 'q' int64 or 'f' float32 as in memory; 0:
			`items` */
	size_t len;  /* TEXT: bytes; ARRAY: items; OBJECT: members */
	union {
		int64_t i; /* INT, BOOL */
		double d;
		const char *text; /* not NUL-terminated */
		const unsigned char *bytes;
		const struct sl_file_value *items;
		const struct sl_file_member *members;
	};
};
struct sl_file_member {
	const char *name;
	size_t name_len;
	struct sl_file_value value;
};

/* SL_E_INVALID names the byte (UBJSON) or line (JSON). Values live in `*ret_arena`, which the caller frees. */
int sl_file_read_json(const void *data, size_t len, struct sl_arena **ret_arena, struct sl_file_value *ret, struct sl_error *err);
int sl_file_read_ubj(const void *data, size_t len, struct sl_arena **ret_arena, struct sl_file_value *ret, struct sl_error *err);

/* Member of an object; NULL when absent or `object` is NULL or none. */
const struct sl_file_value *sl_file_get(const struct sl_file_value *object, const char *name);
bool sl_file_is_text(const struct sl_file_value *value, const char *text); /* NULL: false */
/* Does the array hold numbers or truth values only? */
bool sl_file_is_numbers(const struct sl_file_value *array);
/* Item `i` < len of such an array. A real number that an int64 cannot hold becomes INT64_MIN. */
int64_t sl_file_int(const struct sl_file_value *array, size_t i);
/* The item as XGBoost keeps it: text to the nearest float32 in one rounding. */
float sl_file_float(const struct sl_file_value *array, size_t i);

#endif

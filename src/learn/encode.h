/* From typed values to the float row that a model reads: one place for training, evaluation and serving, so that they cannot
 * differ.
 *
 *   number    integer: nearest float32; double: nearest float32; bool: 0 or 1; time: seconds since 1970-01-01T00:00Z (float32
 * resolves 64 s in 2001, so make hour or weekday columns in SQL); null and NaN: missing category  text: its index in the sorted
 * list of values seen in training; unseen value or null: missing
 *
 * Missing is NaN in the row. Pieces live in the arena that the caller gave.
 */
#ifndef SL_LEARN_ENCODE_H
#define SL_LEARN_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "port/sql.h"

enum { SL_CATEGORIES_MAX = 1000000 }; /* of one column; well below 2^24, so each index is exact in a float32 */

struct sl_category {
	const char *text;
	uint32_t len;
};
/* Sorted categories with a hash over them; immutable, any thread. */
struct sl_dictionary;
/* `values` in strictly ascending byte order (SL_E_INVALID otherwise); the texts are borrowed, the index is the arena's. */
int sl_dictionary_make(const struct sl_category *values, size_t count, struct sl_arena *arena, const struct sl_dictionary **ret,
		       struct sl_error *err);
size_t sl_dictionary_count(const struct sl_dictionary *dictionary);
const struct sl_category *sl_dictionary_value(const struct sl_dictionary *dictionary, size_t index);
/* Its index, or -1. About 10 ns. */
int32_t sl_dictionary_find(const struct sl_dictionary *dictionary, const char *text, size_t len);

enum sl_encoding { SL_ENCODE_NUMBER, SL_ENCODE_CATEGORY };
const char *sl_encoding_name(enum sl_encoding encoding); /* "number", "category" */

/* One input column of a model. */
struct sl_feature {
	const char *name;
	const char *type; /* as the training table had it: "BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "TIMESTAMP" ... */
	enum sl_encoding encoding;
	enum sl_sql_kind kind;			/* of the training column */
	const struct sl_dictionary *dictionary; /* CATEGORY only, else NULL */
};

/* A value of a request. TIME takes INT as microseconds, or TEXT as sl_time_parse_us reads it. */
enum sl_cell_kind { SL_CELL_NULL, SL_CELL_BOOL, SL_CELL_INT, SL_CELL_DOUBLE, SL_CELL_TEXT };
struct sl_cell {
	enum sl_cell_kind kind;
	uint32_t len; /* of text */
	union {
		bool b;
		int64_t i;
		double d;
		const char *text;
	};
};
enum sl_encoded { SL_ENCODED = 0, SL_ENCODED_UNSEEN = 1 /* a category that training did not have: NaN */ };
/* SL_ENCODED, SL_ENCODED_UNSEEN, or SL_E_INVALID with `err` ("column 'origin' wants text, got a number"); *ret is NaN then. */
int sl_encode(const struct sl_feature *feature, const struct sl_cell *cell, float *ret, struct sl_error *err);

/* A column of a table into ret[0], ret[stride], ...; *unseen (may be NULL) grows by the unseen categories. The column's kind must
 * fit the feature (SL_E_INVALID otherwise). */
int sl_encode_column(const struct sl_feature *feature, const struct sl_sql_column *column, size_t row_count, float *ret,
		     size_t stride, uint64_t *unseen, struct sl_error *err);

#endif

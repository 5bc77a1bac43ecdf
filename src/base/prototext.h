/* Protocol Buffers' text format (protobuf.dev/reference/protobuf/textformat-spec) as a small tree with marks.
 *
 * The reader knows no schema: it tells what was written, and its user what that may be. What can be used against us is bounded: depth and number of
 * fields; a text's escapes are undone, and no NUL stays in it. Extensions and Any ("[google.type.Color] {...}") are fields with that name.
 */
#ifndef SL_BASE_PROTOTEXT_H
#define SL_BASE_PROTOTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/yaml.h" /* struct sl_mark */

enum { SL_PROTOTEXT_BYTES_MAX = 64 << 20, SL_PROTOTEXT_DEPTH_MAX = 64, SL_PROTOTEXT_FIELDS_MAX = 2000000, SL_PROTOTEXT_NAME_MAX = 256 };

enum sl_prototext_kind {
	SL_PROTOTEXT_MESSAGE,
	SL_PROTOTEXT_STRING, /* in quotes; neighbours are one */
	SL_PROTOTEXT_NUMBER, /* as written: "-1.5e3", "0x1f", "2f"; a '-' before a word belongs to it: "-inf" */
	SL_PROTOTEXT_WORD,   /* true, inf, the name of an enum's value */
};

/* A field: of a list one for each of its values, as if it had been written so often. */
struct sl_prototext {
	const char *name;  /* "" for the whole */
	enum sl_prototext_kind kind;
	const char *text;  /* STRING, NUMBER, WORD; else "" */
	size_t len;        /* of `text` */
	struct sl_mark mark;
	const struct sl_prototext *first, *next; /* MESSAGE: its fields in the order of the text; the field behind this one */
};

/* Everything lives in `arena`; `where` (a file's name) starts the place in errors. SL_E_INVALID with line and column; SL_E_TOO_LARGE. */
int sl_prototext_parse(const char *text, size_t len, const char *where, struct sl_arena *arena, const struct sl_prototext **ret, struct sl_error *err);

/* The first field of that name, of all and behind `field`; NULL. */
const struct sl_prototext *sl_prototext_get(const struct sl_prototext *message, const char *name);
const struct sl_prototext *sl_prototext_next(const struct sl_prototext *field);

/* Scalars as the text format takes them; false for anything else, numbers out of range included. */
bool sl_prototext_int(const struct sl_prototext *field, int64_t *ret);   /* decimal, octal (017) or hexadecimal */
bool sl_prototext_double(const struct sl_prototext *field, double *ret); /* also inf, infinity and nan in any case, and a number's f */
bool sl_prototext_bool(const struct sl_prototext *field, bool *ret);     /* true, True, t, 1; false, False, f, 0 */

#endif

/* JSON: yyjson (21-28 x jansson), behind our limits. This header is the one place that names it; use yyjson_* freely.
 *
 * Canonical form ("sluice canonical JSON", used wherever JSON is hashed or signed; docs/formats/canonical-json.md):
 * UTF-8, no white space, object members sorted by the bytes of their names, no duplicates, integers as decimal digits, other
 * numbers in yyjson's shortest round-trip form, strings with only the escapes that JSON demands. NaN and infinity are refused.
 */
#ifndef SL_BASE_JSON_H
#define SL_BASE_JSON_H

#include <yyjson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/hash.h"

enum { SL_JSON_DEPTH_MAX = 100 };

/* Parses whole `text`. Refuses what is deeper than SL_JSON_DEPTH_MAX, and duplicate members. `where` (a file name, "request
 * body") starts the error's place: where:line:column. Free with yyjson_doc_free. NULL on failure. */
yyjson_doc *sl_json_parse(const char *text, size_t len, const char *where, struct sl_error *err);
/* Whether brackets nest at most SL_JSON_DEPTH_MAX deep; for parsers of their own (about 0.5 ns a byte). */
bool sl_json_depth_ok(const char *text, size_t len);
void sl_json_freep(yyjson_doc **doc);
void sl_json_mut_freep(yyjson_mut_doc **doc);
#define SL_AUTO_JSON SL_CLEANUP(sl_json_freep)
#define SL_AUTO_JSON_MUT SL_CLEANUP(sl_json_mut_freep)

/* Appends the canonical form; a raw value (yyjson_mut_raw) is in it already. 0, SL_E_INVALID (NaN, infinity, duplicate member), or the buffer's failure. */
int sl_json_canonical(yyjson_val *value, struct sl_buf *out, struct sl_error *err);
int sl_json_mut_canonical(yyjson_mut_val *value, struct sl_buf *out, struct sl_error *err);

/* Appends as people read it: pretty with two blanks, or one line. */
int sl_json_write(yyjson_mut_val *value, bool pretty, struct sl_buf *out, struct sl_error *err);

/* Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void sl_json_string(struct sl_buf *out, const char *text, size_t len);

/* Appends a number in its shortest round-trip form; NaN and infinities, which JSON lacks, as "NaN", "Infinity", "-Infinity". */
void sl_json_double(struct sl_buf *out, double value);

/* Member `name` as text or number, or the fallback when it is absent or of another type. */
const char *sl_json_str(yyjson_val *object, const char *name, const char *fallback);
int64_t sl_json_int(yyjson_val *object, const char *name, int64_t fallback);
double sl_json_num(yyjson_val *object, const char *name, double fallback);
bool sl_json_bool(yyjson_val *object, const char *name, bool fallback);

#endif

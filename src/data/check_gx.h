/* Great Expectations' suites as checks of ours (docs/checks.md has the table). */
#ifndef SL_DATA_CHECK_GX_H
#define SL_DATA_CHECK_GX_H

#include "base/buf.h"
#include "base/json.h"

enum { SL_GX_BYTES_MAX = 16 << 20, SL_GX_EXPECTATIONS_MAX = 10000 };

struct sl_gx_count { size_t mapped, unmapped; };
/* Reads a suite (JSON as GX 0.15 to 1.x write it: `expectations` with `type` or `expectation_type` and `kwargs`) and appends the
 * `datasets` section with its checks, one a line; what has no counterpart stands there as a comment with the reason. Hostile
 * until checked. SL_E_INVALID with line and column when it is no suite. */
int sl_gx_import(const char *text, size_t len, const char *where, const char *dataset, struct sl_buf *out, struct sl_gx_count *ret,
		 struct sl_error *err);

#endif

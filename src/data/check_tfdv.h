/* Schemas of TensorFlow Data Validation (tensorflow_metadata.v0.Schema as text) as checks of ours; docs/checks.md has the table. */
#ifndef SL_DATA_CHECK_TFDV_H
#define SL_DATA_CHECK_TFDV_H

#include "base/buf.h"
#include "base/error.h"

enum { SL_TFDV_BYTES_MAX = 16 << 20, SL_TFDV_FEATURES_MAX = 100000, SL_TFDV_ENVIRONMENTS_MAX = 64 };

struct sl_tfdv_count { size_t mapped, unmapped; };
/* Appends the `datasets` section with the checks, one a line; what has no counterpart, or is not known, stands there as a comment with the reason.
 * Hostile until checked. SL_E_INVALID with line and column when it is no schema, or says of a feature what cannot be. */
int sl_tfdv_import(const char *text, size_t len, const char *where, const char *dataset, struct sl_buf *out, struct sl_tfdv_count *ret, struct sl_error *err);

#endif

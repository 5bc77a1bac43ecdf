/* A first set of checks for a dataset, inferred from its profile. */
#ifndef SL_DATA_CHECK_SUGGEST_H
#define SL_DATA_CHECK_SUGGEST_H

#include "data/profile.h"

/* Appends the section `datasets` with checks that hold for the profiled rows, one a line: columns and types, columns without
 * nulls, sets of few texts, ranges with room for a tenth more, lengths, finite numbers, the number of rows. Each says what it was
 * inferred from. */
int sl_check_suggest(const struct sl_profile *profile, const char *dataset, struct sl_buf *out, struct sl_error *err);

#endif

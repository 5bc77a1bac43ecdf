/* What differs between two versions of data: paths of trees, rows of tables. */
#ifndef SL_OP_DIFF_DATA_H
#define SL_OP_DIFF_DATA_H

#include "op/context.h"
#include "project/ref.h"

/* Adds "files" ({added, removed, changed, items}) or "rows" ({added, removed, changed, samples}) to `out`. `ref`: two datasets.
 * `keys`: columns that name a row; without them rows are compared whole, and none counts as changed. */
int sl_diff_data(struct sl_call *call, struct sl_store *store, const struct sl_ref ref[2], const char *const *keys, size_t key_count,
		 yyjson_mut_val *out, struct sl_error *err);

/* The same of two contents in the store, by hash. Of files, "bytes": {"at", "line"} of the first one that differs, with the rest of both lines. */
int sl_diff_contents(struct sl_call *call, struct sl_store *store, const struct sl_hash hash[2], yyjson_mut_val *out, struct sl_error *err);

#endif

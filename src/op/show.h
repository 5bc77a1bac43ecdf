/* Everything known about one thing, as JSON: for show and diff. */
#ifndef SL_OP_SHOW_H
#define SL_OP_SHOW_H

#include "op/context.h"
#include "project/ref.h"

/* Fills `out`; `ref` has its kind (op/resolve.h). At most `limit` of its runs, windows or firings. */
int sl_show(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, int64_t limit, yyjson_mut_val *out,
	struct sl_error *err);

#endif

/* What a reference without a kind means. */
#ifndef SL_OP_RESOLVE_H
#define SL_OP_RESOLVE_H

#include "op/context.h"
#include "project/ref.h"

/* Parses `text`; when it names no kind, looks in this order: dataset, model (both as stored), run id or prefix, then what the
 * project file defines. SL_E_NOT_FOUND with the kinds that were tried. */
int sl_resolve(struct sl_call *call, struct sl_store *store, const char *text, struct sl_ref *ret, struct sl_error *err);

/* When `err` is SL_E_NOT_FOUND without a suggestion: adds the nearest name that the project or the store knows to each
 * reference of the call that names nothing. Returns err->code. */
int sl_resolve_suggest(struct sl_call *call, struct sl_error *err);

#endif

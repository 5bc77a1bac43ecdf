/* MLflow's answers in pieces. */
#ifndef SL_OP_REMOTE_JSON_H
#define SL_OP_REMOTE_JSON_H

#include "op/remote.h"
#include "record/record.h"

enum { SL_REMOTE_TOKEN_MAX = 8192 };

/* An integer, also one that is written as text. */
int64_t sl_remote_int(yyjson_val *object, const char *name, int64_t fallback);
/* A number, also "NaN", "Infinity" and the like; NaN for everything else. */
double sl_remote_double(yyjson_val *value);
/* [{"key","value"}...] in the arena; the texts are the document's. SL_E_NO_MEMORY. */
int sl_remote_pairs(yyjson_val *list, struct sl_arena *arena, struct sl_pair **ret, size_t *ret_count);
/* The answer's next_page_token, or "". */
void sl_remote_token(yyjson_doc *doc, char out[SL_REMOTE_TOKEN_MAX]);

/* Calls `each` for every member of the list `list` of every page. POST with `body` (an object that is not closed) where there is one, else GET:
 * then `path` has a query already. */
typedef int sl_remote_each_fn(void *context, yyjson_val *item, struct sl_error *err);
int sl_remote_each(struct sl_remote *remote, const char *path, const char *body, int page, const char *list, sl_remote_each_fn *each,
	void *context, struct sl_error *err);

#endif

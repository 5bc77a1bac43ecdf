/* The lookups that endpoints answer with: each is read when the first model asks for it, and again when its dataset has a newer version, beside
 * the requests; then one pointer is swapped. What cannot be read never takes the place of what can.
 */
#ifndef SL_SERVE_LOOKUP_H
#define SL_SERVE_LOOKUP_H

#include "serve/lookup_table.h"
#include "track/store.h"

struct sl_lookups;

int sl_lookups_new(struct sl_store *store, struct sl_lookups **ret, struct sl_error *err);
void sl_lookups_free(struct sl_lookups *lookups); /* NULL is fine; waits for what is being read */
/* The place of this definition, fewer than SL_LOOKUPS_MAX, until it is given back. Models with equal definitions share one. SL_E_BUSY while it is being read for the first
 * time: ask again at the next look; with `wait` that is now. SL_E_NOT_FOUND: its dataset has no version; SL_E_TOO_LARGE: there are too many. */
int sl_lookups_want(struct sl_lookups *lookups, const struct sl_lookup *lookup, bool wait, size_t *ret, struct sl_error *err);
void sl_lookups_give(struct sl_lookups *lookups, size_t place); /* any thread */
/* Lets go of what nobody has, and looks at the datasets' heads; never fails, and never waits. */
void sl_lookups_refresh(struct sl_lookups *lookups);
/* Why a newer version is not in use; code 0 when all is well. */
const struct sl_error *sl_lookups_problem(const struct sl_lookups *lookups, size_t place);
/* A reference to the newest table. Any thread. */
struct sl_lookup_table *sl_lookups_take(struct sl_lookups *lookups, size_t place);

#endif

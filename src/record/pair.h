/* Tags and parameters of registered models, versions and logged models: names with values, by owner. */
#ifndef SL_RECORD_PAIR_H
#define SL_RECORD_PAIR_H

#include "record/record.h"

/* The numbers are those of the database. */
enum sl_pair_kind { SL_PAIR_MODEL_TAG = 1, SL_PAIR_VERSION_TAG = 2, SL_PAIR_LOGGED_TAG = 3, SL_PAIR_LOGGED_PARAM = 4 };

/* In order of names, in the arena. */
int sl_pairs_read(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, struct sl_arena *arena, struct sl_pair **ret,
	size_t *ret_count, struct sl_error *err);
/* The value in the arena, or NULL. */
int sl_pair_get(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const char *name, struct sl_arena *arena,
	const char **ret, struct sl_error *err);
/* Checks the name as MLflow does, and sets it, in place of an older value. `path` names it in errors ("key", "tags[3].key"). */
int sl_pair_put(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const struct sl_pair *pair, const char *path,
	struct sl_error *err);
/* Sets all; errors call them "<list>[i].key". */
int sl_pairs_put(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const struct sl_pair *pairs, size_t count,
	const char *list, struct sl_error *err);
/* The number of rows (0: there was none), or an error. */
int64_t sl_pair_delete(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const char *name, struct sl_error *err);
int sl_pairs_delete(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, struct sl_error *err);

#endif

/* Names for dataset versions, and which versions are kept: tags, branches, clones, dropping and taking back, retention. Every change is
 * inside the caller's transaction and has its ledger entry ("dataset.ref", "dataset.drop", "dataset.undrop", "dataset.expire"). */
#ifndef SL_DATA_REFS_H
#define SL_DATA_REFS_H

#include "base/str.h"
#include "data/dataset.h"

/* May a tag or branch have this name? Not what could be meant otherwise: a hash's beginning, a time, "^", "~2". */
bool sl_dataset_ref_name_valid(const char *name);
/* Sets NAME of the dataset to the version. A branch moves; a tag that stands elsewhere is SL_E_CONFLICT without `force`, and so is a
 * name that is of the other kind. */
int sl_dataset_ref_set(struct sl_track *track, const char *dataset, const char *name, bool branch, const struct sl_hash *hash,
		       bool force, struct sl_error *err);
int sl_dataset_ref_remove(struct sl_track *track, const char *dataset, const char *name, struct sl_error *err); /* SL_E_NOT_FOUND */
/* 1: found, 0: there is none. */
int sl_dataset_ref_find(struct sl_track *track, const char *dataset, const char *name, struct sl_hash *ret, struct sl_error *err);

/* `to` gets the version as its newest: one row, nothing is copied. Returns 1 when it has it already. */
int sl_dataset_clone(struct sl_track *track, const struct sl_dataset_head *from, const char *to, struct sl_error *err);

/* Out of sight; SL_E_NOT_FOUND when there is no such dataset, or it is dropped (undrop: is not dropped, or its bytes are gone). A new
 * version takes a drop back too. */
int sl_dataset_drop(struct sl_track *track, const char *dataset, struct sl_error *err);
int sl_dataset_undrop(struct sl_track *track, const char *dataset, struct sl_error *err);

/* Which versions of a dataset stay: the newest, the `last` newest, those younger than `for_ms`, and what a tag or branch stands on; 0, 0: all. */
struct sl_retention { const char *dataset; int64_t last, for_ms; };
struct sl_expiring { int64_t seq; char dataset[SL_NAME_MAX + 16]; struct sl_hash hash; };
typedef int sl_expiring_visit(void *context, const struct sl_expiring *version, struct sl_error *err);
/* Versions that a rule lets go, and those of datasets that were dropped at least `dropped_ms` ago. */
int sl_retention_each(struct sl_track *track, const struct sl_retention *rules, size_t count, int64_t now_ms, int64_t dropped_ms,
		      sl_expiring_visit *each, void *context, struct sl_error *err);
int sl_dataset_expire(struct sl_track *track, const struct sl_expiring *version, int64_t now_ms, struct sl_error *err);

#endif

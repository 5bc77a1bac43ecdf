/* Experiments: named groups of runs, with a place for artifacts. Id 0 is "Default", which every store has. Names are unique, also
 * among those in the bin. */
#ifndef SL_RECORD_EXPERIMENT_H
#define SL_RECORD_EXPERIMENT_H

#include "record/record.h"

struct sl_experiment {
	int64_t id, created_ms, updated_ms;
	bool deleted;
	const char *name, *artifact_location; /* in the arena that was given */
};

/* Makes "Default" when it is missing, and shows runs of before (record/own.h). Once per opening, outside of any transaction. It belongs to the store as its tables do, so that the first
 * server to start is no entry in the ledger. */
int sl_experiments_prepare(struct sl_record *record, struct sl_error *err);
/* `artifact_location` NULL or "": below the record's root. `location_id` is the id in it. */
int sl_experiment_create(struct sl_record *record, const char *name, const char *artifact_location, const struct sl_pair *tags,
	size_t tag_count, const struct sl_change *change, int64_t *ret_id, struct sl_error *err);
enum sl_rec_view { SL_REC_ACTIVE, SL_REC_DELETED, SL_REC_ALL };
/* By id as clients write it ("" means 0). SL_E_NOT_FOUND: "No Experiment with id=... exists". */
int sl_experiment_get(struct sl_record *record, const char *id, enum sl_rec_view view, struct sl_arena *arena,
	struct sl_experiment *ret, struct sl_error *err);
int sl_experiment_by_name(struct sl_record *record, const char *name, struct sl_arena *arena, struct sl_experiment *ret,
	struct sl_error *err);
/* The tags, ordered by name, in the arena. */
int sl_experiment_tags(struct sl_record *record, int64_t id, struct sl_arena *arena, struct sl_pair **ret, size_t *ret_count,
	struct sl_error *err);
int sl_experiment_rename(struct sl_record *record, const struct sl_experiment *experiment, const char *name,
	const struct sl_change *change, struct sl_error *err);
/* Into the bin, or back, with all its runs. */
int sl_experiment_set_deleted(struct sl_record *record, const struct sl_experiment *experiment, bool deleted,
	const struct sl_change *change, struct sl_error *err);
int sl_experiment_set_tag(struct sl_record *record, const struct sl_experiment *experiment, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err);
int sl_experiment_delete_tag(struct sl_record *record, const struct sl_experiment *experiment, const char *name,
	const struct sl_change *change, struct sl_error *err);

#endif

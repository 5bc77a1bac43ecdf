/* What a dataset's checks compare with: other datasets, the version before, the profiles of earlier ones. */
#ifndef SL_DATA_CHECK_PAST_H
#define SL_DATA_CHECK_PAST_H

#include "data/check.h"

/* Fills job's tables, previous and profiles as far as its checks need them. `before`: only versions committed before this
 * sequence number count (INT64_MAX: all). A dataset without a version is left out: the check that names it says so. */
int sl_check_past_find(struct sl_track *track, struct sl_objects *objects, int64_t before, struct sl_arena *arena,
		       struct sl_check_job *job, struct sl_error *err);

/* For a worker's job file, and back. NULL: no memory. */
yyjson_mut_val *sl_check_past_json(yyjson_mut_doc *doc, const struct sl_check_job *job);
int sl_check_past_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err);

#endif

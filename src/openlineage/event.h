/* OpenLineage 2-0-2 events of runs, made of what the store has on record (docs/lineage.md has the table of facets).
 *
 *   ledger entry run.begin -> START                   of the whole run (job PROJECT) or of one node (job PROJECT.NODE, parent: the whole run)
 *   ledger entry run.end   -> COMPLETE, FAIL, ABORT   and for each dataset that was checked a run of its own (job PROJECT.DATASET.checks)
 *
 * So an event is there exactly when its change is, whoever made it and whatever became of its process; nothing about events is written while a run works.
 */
#ifndef SL_OPENLINEAGE_EVENT_H
#define SL_OPENLINEAGE_EVENT_H

#include "openlineage/target.h"
#include "track/store.h"

#define SL_OPENLINEAGE_SPEC "https://openlineage.io/spec/"
enum { SL_OPENLINEAGE_EVENT_MAX = 16 << 20, SL_OPENLINEAGE_COLUMNS_MAX = 2000 /* tables with more say neither schema nor metrics */ };

/* Takes one event: JSON on one line, without the line's end. Nonzero ends the composing with that code. */
typedef int sl_openlineage_sink(void *context, const char *event, size_t len, struct sl_error *err);

/* What becomes of one ledger entry: nothing for most of them. `project` gives the text of steps. */
int sl_openlineage_compose(struct sl_store *store, const struct sl_project *project, const struct sl_openlineage_target *target, const char *entry,
			   size_t len, sl_openlineage_sink *sink, void *context, struct sl_error *err);

#endif

/* References: `kind:name@version` (docs/commands.md). The kind may be left out where the name tells; the same text works in
 * commands, URLs, API and SQL. */
#ifndef SL_PROJECT_REF_H
#define SL_PROJECT_REF_H

#include "base/error.h"

enum sl_ref_kind {
	SL_REF_ANY, SL_REF_DATASET, SL_REF_MODEL, SL_REF_RUN, SL_REF_PREDICTION, SL_REF_STEP, SL_REF_ENDPOINT, SL_REF_SOURCE, SL_REF_MONITOR, SL_REF_TRIGGER,
	SL_REF_FILE,
};
struct sl_ref {
	enum sl_ref_kind kind;
	char name[256];     /* dataset, model ... name; run or prediction id (or prefix); file path */
	char version[128];  /* behind '@': hash prefix, time, number, alias; "" = newest */
	int row;            /* prediction:ID#row; -1 when not given */
};
/* Pure text: nothing is looked up. Refuses what is longer, has control characters, or an unknown kind (with the nearest). */
int sl_ref_parse(const char *text, struct sl_ref *ret, struct sl_error *err);
const char *sl_ref_kind_name(enum sl_ref_kind kind);
const char *sl_ref_kind_phrase(enum sl_ref_kind kind); /* "a model", "an endpoint" */

#endif

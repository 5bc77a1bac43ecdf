/* MLflow's scoring protocol: the forms of a body of /invocations.
 *
 *   {"dataframe_split": {"columns": [...], "data": [[...], ...]}}     "index" is passed over
 *   {"dataframe_records": [{...}, ...]}
 *   {"instances": [[...], ...]} or [{...}, ...]                       rows: by position, or records
 *   {"inputs": {"column": [...], ...}}
 *   text/csv with a header line                                       empty fields are missing values
 *
 * Exactly one of them; "params", an object, may stand beside it: no model that is served has any, so they change
 * nothing, as MLflow has it for models without.
 */
#ifndef SL_OIP_INVOCATIONS_H
#define SL_OIP_INVOCATIONS_H

#include "oip/body.h"
#include "serve/predict.h"

/* Each fills `rows` (begun here, for `served`); SL_E_INVALID and SL_E_TOO_LARGE name row and column. `rows` must be ended in
 * every case. */
int sl_invocations_json(yyjson_val *body, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
			struct sl_error *err);
/* Fields are borrowed from `text`, or in `arena` where quotes had to be undone. */
int sl_invocations_csv(const char *text, size_t len, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
		       struct sl_error *err);

/* Appends {"predictions": [...]}. */
void sl_invocations_write(const struct sl_inputs *rows, struct sl_buf *out);

#endif

/* Columns of a request by their names, for every form that names them. */
#ifndef SL_OIP_COLUMN_H
#define SL_OIP_COLUMN_H

#include "serve/predict.h"

/* SL_E_INVALID with the nearest known name. */
int sl_unknown_column(const struct sl_served *served, const char *name, struct sl_error *err);
/* The slot of column `name`, or SL_SLOT_NONE when the endpoint ignores what it does not know, else SL_E_INVALID in *ret_rc.
 * `guess` as in sl_served_slot. */
ptrdiff_t sl_column_slot(const struct sl_served *served, const char *name, size_t len, size_t guess, int *ret_rc,
			 struct sl_error *err);

#endif

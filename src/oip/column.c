#include "oip/column.h"

int sl_unknown_column(const struct sl_served *served, const char *name, struct sl_error *err)
{
	const char *near = sl_served_nearest(served, name);
	sl_fail(err, SL_E_INVALID, "the model has no column '%s'", name);
	return near ? sl_error_hint(err, "did you mean '%s'?", near) : SL_E_INVALID;
}

ptrdiff_t sl_column_slot(const struct sl_served *served, const char *name, size_t len, size_t guess, int *ret_rc,
			 struct sl_error *err)
{
	ptrdiff_t slot = sl_served_slot(served, name, len, guess);
	*ret_rc = 0;
	if (slot == SL_SLOT_NONE && !served->spec->ignore_extra)
		*ret_rc = sl_unknown_column(served, name, err);
	return slot;
}

/* Inside project/: the kinds of checks as tables. */
#ifndef SL_PROJECT_CHECK_SHAPES_H
#define SL_PROJECT_CHECK_SHAPES_H

#include "project/shape.h"

/* A check while it is read: `column` and `columns` are two spellings for one place, and so are `min` and `above`. */
struct sl_check_read { struct sl_check check; const char *column, *severity, *otherwise; };

struct sl_check_form {
	const char *name;
	struct sl_shape shape;  /* the long form */
	const char *schema;     /* of the short form, the first row's value alone; NULL: there is none */
	bool by_row, bounded;   /* judges single rows; needs a bound */
};
extern const struct sl_check_form sl_check_forms[SL_CHECK_KINDS];
/* mostly, where, severity, else, environments: inside of a check or beside it. */
extern const struct sl_shape sl_check_modifiers;

/* The form of `columns`, which is a map of the user's own names: {date: timestamp}. `target` is a struct sl_check_read. */
int sl_check_typed_columns(struct sl_loader *loader, const struct sl_yaml *node, void *target);

#endif

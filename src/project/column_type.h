/* Types of columns as the project file spells them: SQL's names in any case, with what stands in brackets. */
#ifndef SL_PROJECT_COLUMN_TYPE_H
#define SL_PROJECT_COLUMN_TYPE_H

#include "project/load.h"

enum { SL_COLUMN_TYPE_DEPTH_MAX = 32 };

/* "bigint", "decimal(18,3)", "text[]", "struct(a int, b map(text, double))", "enum('a', 'b')": what the SQL engine takes in a cast
 * of its built-in types. */
bool sl_column_type_valid(const char *text);
/* What a check takes in the place of a type: "any integer", "any float", "any number", "no number". */
bool sl_column_family(const char *text);
/* The text of a type at `node`, checked; SL_E_INVALID with the nearest name. `column` is named in the error. */
int sl_load_column_type(struct sl_loader *loader, const struct sl_yaml *node, const char *column, const char **ret);

#endif

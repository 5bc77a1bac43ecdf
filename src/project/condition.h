/* Inside project/: `when:` of a step, decided while the file is read.
 *
 *   condition  = and { "or" and }        and = not { "and" not }        not = [ "not" ] compare
 *   compare    = value [ ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") value ]
 *   value      = "$name" | number | 'text' | "true" | "false" | "null" | "(" condition ")"
 *
 * Numbers compare as numbers, texts and times as text; `=` and `!=` also between types (then unequal). A single value must be true or
 * false. At most 32 parentheses deep.
 */
#ifndef SL_PROJECT_CONDITION_H
#define SL_PROJECT_CONDITION_H

#include "project/load.h"

/* SL_E_INVALID at `mark` for what is no condition, an unknown parameter, or a comparison of unlike things by size. */
int sl_condition_eval(struct sl_loader *loader, const char *text, struct sl_mark mark, bool *ret);

#endif

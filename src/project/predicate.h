/* A condition on one row: which rows a rule is for. The grammar of a step's `when`, with columns where that has parameters:
 *
 *   condition  = and { "or" and }        and = not { "and" not }        not = [ "not" ] compare
 *   compare    = value [ ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") value ]
 *              | column ["not"] "in" "(" constant { "," constant } ")"
 *   value      = column | "a column" | number | 'text' | "true" | "false" | "null" | "(" condition ")"
 *
 * Every condition has a value for every row, and that is true or false: numbers compare as numbers, texts by their bytes, times as the
 * text that came; things of different types, and null beside anything but null, are unequal, and neither is less. A column alone is true
 * when it is the truth value true. At most SL_PREDICATE_NODES_MAX parts and 32 parentheses deep; evaluating allocates nothing.
 */
#ifndef SL_PROJECT_PREDICATE_H
#define SL_PROJECT_PREDICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum { SL_PREDICATE_NODES_MAX = 256, SL_PREDICATE_COLUMNS_MAX = 32 };

enum sl_operand_kind { SL_OPERAND_NULL, SL_OPERAND_BOOL, SL_OPERAND_NUMBER, SL_OPERAND_TEXT };
struct sl_operand {
	enum sl_operand_kind kind;
	bool truth;
	double number;
	const char *text;
	size_t len;
};

struct sl_predicate;
/* SL_E_INVALID with the place in the text. Everything lives in `arena`. */
int sl_predicate_parse(const char *text, struct sl_arena *arena, const struct sl_predicate **ret, struct sl_error *err);
/* The columns that it reads, each once. */
size_t sl_predicate_column_count(const struct sl_predicate *predicate);
const char *sl_predicate_column(const struct sl_predicate *predicate, size_t i);
/* `column` gives the row's value of the predicate's column `i`. */
typedef void sl_predicate_get(void *context, size_t i, struct sl_operand *ret);
bool sl_predicate_holds(const struct sl_predicate *predicate, sl_predicate_get *column, void *context);

#endif

/* Which columns of its inputs each column of an SQL statement's result is made of, by the engine's own syntax tree.
 *
 * Nothing is guessed: a statement with something that is not followed here (table functions, PIVOT, recursion, COLUMNS(), lambdas), or a name that is not
 * found, has no lineage of columns.
 */
#ifndef SL_OPENLINEAGE_COLUMNS_H
#define SL_OPENLINEAGE_COLUMNS_H

#include "base/json.h"
#include "base/mem.h"

enum { OL_COLUMNS_MAX = 2000, OL_SOURCES_MAX = 256, OL_DEPTH_MAX = 200 };

/* A table that the statement reads. */
struct ol_input { const char *name; const char *const *columns; size_t count; };
/* An input's column, and what becomes of it: IDENTITY, TRANSFORMATION, AGGREGATION; of the whole result FILTER, JOIN, GROUP_BY, SORT, WINDOW. */
struct ol_source { const char *table, *column, *how; };
struct ol_sources { struct ol_source *items; size_t count; };

struct ol_lineage {
	struct ol_sources *columns; size_t count; /* of the result, in its order */
	struct ol_sources whole;                  /* what decides on all rows */
};

/* `tree` is of sl_sql_tree; all lives in `arena` and `tree`. 1; 0: it cannot be told; SL_E_NO_MEMORY. */
int ol_columns(yyjson_val *tree, const struct ol_input *inputs, size_t input_count, struct sl_arena *arena, struct ol_lineage *ret);

#endif

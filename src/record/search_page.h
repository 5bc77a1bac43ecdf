/* Inside the searches: the order of a result, and the place in it where a page begins.
 *
 * A result is ordered by up to SL_ORDER_KEYS_MAX keys, each a class (0: has a value; 1: NaN; 2: has none) and a value, then by
 * a last column and an id. A token is base 64 of the JSON array [last, id, class, value, class, value ...]. */
#ifndef SL_RECORD_SEARCH_PAGE_H
#define SL_RECORD_SEARCH_PAGE_H

#include "record/filter_sql.h"
#include "record/search.h"

/* class_sql NULL: every row has a value. */
struct sl_sort_key { const char *class_sql, *value_sql; bool descending; };
struct sl_sort {
	struct sl_sort_key keys[SL_ORDER_KEYS_MAX];
	size_t count;
	const char *last_sql, *id_sql; /* of the tail */
	bool last_descending;          /* the id runs the other way, as the index of the default order does */
};

struct sl_sort_value { int64_t class; char type; double d; int64_t i; const char *s; };
struct sl_place { bool set; int64_t last, id; struct sl_sort_value values[SL_ORDER_KEYS_MAX]; };

/* SL_E_INVALID when the token is not one of this order. */
int sl_place_read(const char *token, const struct sl_sort *sort, struct sl_arena *arena, struct sl_place *ret, struct sl_error *err);
int sl_place_write(const struct sl_place *place, const struct sl_sort *sort, struct sl_arena *arena, const char **ret,
	struct sl_error *err);
/* " AND <behind the place>"; nothing when it is not set. */
void sl_place_sql(const struct sl_place *place, const struct sl_sort *sort, struct sl_select *sql);
/* " ORDER BY ..." */
void sl_sort_sql(const struct sl_sort *sort, struct sl_select *sql);
/* From a row whose columns are id, last, then class and value of each key. */
void sl_place_fill(struct sl_stmt *row, const struct sl_sort *sort, struct sl_arena *arena, struct sl_place *ret);

#endif

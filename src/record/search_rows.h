/* Inside the searches: one over tables of thousands of rows, all of which are looked at: registered models, versions, logged models. */
#ifndef SL_RECORD_SEARCH_ROWS_H
#define SL_RECORD_SEARCH_ROWS_H

#include "record/search_page.h"

/* Where the values of a named thing lie, to order by: "<select>?<group>" gives columns owner, value; owner is `link`. */
struct sl_row_values { const char *select, *group, *link; };

struct sl_row_search {
	const struct sl_filter_grammar *grammar;
	const struct sl_filter_tables *tables;
	const char *const *sort_columns;          /* by an attribute's number; NULL in it: nothing to order by */
	const char *const *sort_classes;          /* likewise, for columns that may be null: 0 has a value, 2 has none; NULL: none may */
	struct sl_row_values metric, param, tag;  /* select NULL: no order by such a thing */
	const struct sl_row_values *metrics;      /* instead of `metric`, one for each key of the order; NULL: `metric` for all */
	const char *from;                         /* "reg_model m" */
	const char *last_sql, *id_sql;            /* the tail of every order */
	bool last_descending;
	struct sl_order default_order[2];
	size_t default_count;
};

/* `where` is SQL of the caller's own making. `filter` was parsed by the same grammar (NULL: none), so that the caller could change it. */
int sl_search_rows(struct sl_record *record, const struct sl_row_search *rows, const struct sl_search *search, const char *where,
	const struct sl_filter *filter, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err);

#endif

/* A parsed filter as SQL with bound values. */
#ifndef SL_RECORD_FILTER_SQL_H
#define SL_RECORD_FILTER_SQL_H

#include "base/buf.h"
#include "port/meta.h"
#include "record/filter.h"

enum { SL_SELECT_VALUES_MAX = 8192, SL_SELECT_BYTES_MAX = 1 << 20 };

/* SQL under construction. Failures are sticky and found by sl_select_query. */
struct sl_select {
	struct sl_buf text;
	struct sl_meta_value *values;
	size_t count;
	struct sl_arena *arena;
};
int sl_select_init(struct sl_select *sql, struct sl_arena *arena, struct sl_error *err);
void sl_select_done(struct sl_select *sql);
void sl_select_add(struct sl_select *sql, const char *text);
/* Appends "?N" and binds. */
void sl_select_text(struct sl_select *sql, const char *value);
void sl_select_int(struct sl_select *sql, int64_t value);
void sl_select_double(struct sl_select *sql, double value);
int sl_select_query(struct sl_select *sql, struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err);

/* How a search's entities are stored. Each subquery text is completed by the bound key: "SELECT 1 FROM rec_tag WHERE run = r.num AND
 * name = "; its value is the column "value". */
struct sl_filter_tables {
	const char *const *attributes; /* by number: an expression */
	const char *metric, *param, *tag;
	const char *dataset;           /* without a key: "SELECT 1 FROM ... WHERE i.run = r.num" */
	const char *const *datasets;   /* name, digest, context: expressions inside that */
	/* Optional: the stored form of a text that an attribute is compared with. */
	const char *(*stored)(struct sl_arena *arena, int attribute, const char *text);
	/* Optional: writes a comparison in its own way; false: it is one like others. Needed for the entities of traces. */
	bool (*own)(const struct sl_filter *filter, const struct sl_filter_tables *tables, struct sl_select *sql);
};
void sl_filter_sql(const struct sl_filter *filter, const struct sl_filter_tables *tables, struct sl_select *sql);
/* "<column> <op> <value>" of a comparison that is not IS [NOT] NULL. */
void sl_filter_condition_sql(const struct sl_filter *filter, const struct sl_filter_tables *tables, struct sl_select *sql,
	const char *column);

#endif

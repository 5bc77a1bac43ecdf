/* The store's records as tables for `sluice sql`: what each is called, its columns, and how its rows are written as JSON lines. A new
 * table is one more row of the list in records.c. docs/sql.md is their reference. */
#ifndef SL_OP_RECORDS_H
#define SL_OP_RECORDS_H

#include "base/buf.h"
#include "track/store.h"

enum { SL_RECORD_ROWS_MAX = 1000000 /* newest rows of a table; of a stream, newest records */ };

/* JSON lines on their way into a file: fill `text`, and call sl_lines_end after each line. */
struct sl_lines {
	int fd;
	const char *path;
	struct sl_buf text;
};
int sl_lines_end(struct sl_lines *lines, struct sl_error *err);

struct sl_record_table {
	const char *name;
	const char *columns; /* as DuckDB's read_json takes them: {a:'VARCHAR',b:'BIGINT'} */
	const char *sql;     /* ?1: the most rows; NULL: `write` gives the rows */
	int (*write)(struct sl_store *store, struct sl_lines *lines, struct sl_error *err);
};
extern const struct sl_record_table sl_record_tables[];
extern const size_t sl_record_table_count;

const struct sl_record_table *sl_record_table_find(const char *name); /* NULL when there is none */
/* All rows into the new file `path`. Memory is bounded whatever their number. */
int sl_record_table_write(const struct sl_record_table *table, struct sl_store *store, const char *path, struct sl_error *err);

/* From the streams (record_streams.c). */
int sl_record_predictions(struct sl_store *store, struct sl_lines *lines, struct sl_error *err);
int sl_record_labels(struct sl_store *store, struct sl_lines *lines, struct sl_error *err);

#endif

/* Tables for an SQL session: datasets at any version ("flights", "flights@3f9c1a"), and the project's records (runs, metrics,
 * models ..., op/records.h) written out as Parquet in a temporary folder. */
#ifndef SL_OP_TABLES_H
#define SL_OP_TABLES_H

#include "op/context.h"
#include "port/sql.h"

enum { SL_TABLES_MAX = 256 };

struct sl_tables {
	struct sl_sql_table items[SL_TABLES_MAX];
	size_t count;
	char folder[SL_PATH_MAX]; /* temporary, made on first need; "" */
};
/* Finds every table that `text` reads. SL_E_NOT_FOUND with the nearest name. Paths live in call->arena. */
int sl_tables_find(struct sl_call *call, struct sl_store *store, const char *text, const char *where, struct sl_tables *ret,
	struct sl_error *err);
/* The temporary folder, made when it is not there. */
int sl_tables_folder(struct sl_tables *tables, struct sl_store *store, struct sl_error *err);
void sl_tables_done(struct sl_tables *tables);

/* Writes the rows of `select` (run in `sql`, whose write_dir is the tables' folder) to `path`: Parquet, CSV or JSON lines by its
 * ending. The file appears whole or not at all. */
int sl_tables_export(struct sl_sql *sql, struct sl_tables *tables, const char *select, const char *path, int64_t *ret_rows,
	struct sl_error *err);

#endif

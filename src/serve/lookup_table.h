/* A keyed dataset's newest values, in memory: what requests get in columns that the server looks up (project/lookup.h).
 *
 *   a dataset version --the lookup's own join, by the SQL engine, once--> key -> row of cells, and one row for keys that are not there
 *
 * Immutable and counted; any thread. So that nothing can be computed otherwise than in training, the values are those that training's join gives.
 */
#ifndef SL_SERVE_LOOKUP_TABLE_H
#define SL_SERVE_LOOKUP_TABLE_H

#include "learn/encode.h"
#include "project/lookup.h"

enum {
	SL_LOOKUP_BYTES_MAX = 256 << 20,        /* of one table: keys and values; a larger one is refused */
	SL_LOOKUP_SQL_BYTES = 512 << 20,        /* of the engine while it is read */
	SL_LOOKUP_KEY_BYTES_MAX = 4096,         /* of one key's texts */
};

struct sl_lookup_table;

/* Reads `table` (named lookup->from) of this version, for a reference of the caller's. Takes a few milliseconds and 1 us per key. SL_E_INVALID: the
 * dataset lacks a column, a key is no whole number, text, truth value or time, or two rows have one key and time; SL_E_TOO_LARGE. */
int sl_lookup_table_read(const struct sl_lookup *lookup, const struct sl_sql_table *table, const struct sl_hash *version, const volatile int *cancel,
			 struct sl_lookup_table **ret, struct sl_error *err);
void sl_lookup_table_ref(struct sl_lookup_table *table);
void sl_lookup_table_unref(struct sl_lookup_table *table); /* NULL is fine */

const struct sl_hash *sl_lookup_table_version(const struct sl_lookup_table *table);
size_t sl_lookup_table_keys(const struct sl_lookup_table *table);
/* How the columns were read: those of the key, then those of the values. */
enum sl_sql_kind sl_lookup_table_kind(const struct sl_lookup_table *table, size_t column);
/* The values of a key, one per column of the lookup; of none that is there, or of one with a null, the defaults. A whole number may come as text, a
 * time as text or whole microseconds. SL_E_INVALID, naming the column, for a value that is no such key. */
int sl_lookup_table_find(const struct sl_lookup_table *table, const struct sl_cell *const *key, const struct sl_cell **ret, struct sl_error *err);

#endif

/* Rows that ledger entries answer for. An entry's detail may have a member "covers": {"<table>:<key>": "<SHA-256>" or null}: what
 * the row was when the entry was written, in the same transaction (null: it was removed). The newest entry that names a row is
 * the one that counts. So every column of these tables is proved, not only what an entry tells in words.
 *
 * The digest is over the row's columns as a JSON array without blanks, in the order of the table below (docs/formats/ledger.md).
 * Runs are not among them: an entry `run.end` has the digest of the whole record (docs/formats/run.md).
 */
#ifndef SL_LEDGER_ROWS_H
#define SL_LEDGER_ROWS_H

#include "ledger/ledger.h"

struct sl_ledger_table {
	const char *name;
	int keys;            /* the first so many columns name the row */
	const char *columns; /* as SELECT takes them */
	const char *where;   /* which rows are covered; NULL: all */
};
extern const struct sl_ledger_table sl_ledger_tables[];
extern const size_t sl_ledger_table_count;

enum { SL_ROW_KEY_MAX = 600, SL_ROWS_PER_ENTRY = 200 /* keeps a detail of them below its 32 KiB */ };

/* Puts the present row of `table` (asserted to be one of them) into detail.covers. `types` and what follows are the key's columns,
 * as sl_meta_query takes parameters. Inside the transaction that wrote the row. */
int sl_ledger_cover(struct sl_ledger *ledger, yyjson_mut_doc *doc, yyjson_mut_val *detail, const char *table, struct sl_error *err,
		    const char *types, ...);

/* All covered rows of a table, in the order of their keys; columns as the table lists them. */
int sl_ledger_rows(struct sl_meta *meta, const struct sl_ledger_table *table, struct sl_stmt **ret, struct sl_error *err);
/* Name ("event:12") and digest of the row that `stmt` stands at. SL_E_TOO_LARGE for a name beyond SL_ROW_KEY_MAX. */
int sl_ledger_row(const struct sl_ledger_table *table, struct sl_stmt *stmt, char name[SL_ROW_KEY_MAX], struct sl_hash *ret,
		  struct sl_error *err);

#endif

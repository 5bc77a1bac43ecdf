/* Port "meta": names, runs, versions, schedules, in SQL that SQLite and PostgreSQL share. Default backend: SQLite, WAL, one
 * file, opened by many processes; pages carry checksums, so a flipped bit is an error and not an answer.
 *
 * SQL rules: parameters are ?1 ?2 ...; INSERT ... ON CONFLICT and RETURNING are allowed; types are TEXT, BIGINT, DOUBLE
 * PRECISION, BLOB; no dialect functions. Migrations are the numbered files of backend/migrations. A transaction's changes stay in
 * memory until it commits. A text or blob is at most 64 MiB. A handle belongs to one thread. A statement is borrowed: prepared
 * once, cached in the handle, given back by sl_stmt_done.
 */
#ifndef SL_PORT_META_H
#define SL_PORT_META_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

struct sl_meta;
struct sl_stmt;

/* `url`: "sqlite:/path/sluice.db" (a bare path means that). Makes and migrates it when `create`. A database of a newer program
 * is refused (SL_E_CONFLICT). Known schemes that are not built say so (SL_E_NO_LIBRARY). */
int sl_meta_open(const char *url, bool create, struct sl_meta **ret, struct sl_error *err);
/* A SQLite database of another program, only to be read: no migrations, no checksums. SL_E_NOT_FOUND; SL_E_CORRUPT when it is no database. What
 * it says is hostile until checked. */
int sl_meta_open_foreign(const char *path, struct sl_meta **ret, struct sl_error *err);
void sl_meta_close(struct sl_meta *meta);

/* A write transaction (taken at once, so it never fails with "busy" half-way; waits at most 30 s, then SL_E_BUSY). Durable when
 * commit returns 0: one flush of the device (0.13-0.4 ms idle). begin inside begin nests: only the outermost commits, and a
 * rollback anywhere rolls back the whole; then every call but rollback and commit fails with SL_E_CONFLICT until the outermost
 * ends. commit ends its level also when it fails (all is rolled back then); rollback outside of any transaction does nothing. */
int sl_meta_begin(struct sl_meta *meta, struct sl_error *err);
int sl_meta_commit(struct sl_meta *meta, struct sl_error *err);
void sl_meta_rollback(struct sl_meta *meta);
/* commit when `rc` is 0, else rollback; returns `rc`, or what commit says: the usual last line of a function that began. */
int sl_meta_end(struct sl_meta *meta, int rc, struct sl_error *err);
bool sl_meta_in_transaction(const struct sl_meta *meta);
/* Inside a write transaction: a mark to which a failed part of it can be taken back while the rest goes on, for a writer that
 * commits what many asked for at once. save sets it; keep or undo ends it, once each. Marks do not nest, and between them
 * nothing begins. undo fails when the whole transaction is lost (disk full), which its commit then says too. */
int sl_meta_save(struct sl_meta *meta, struct sl_error *err);
int sl_meta_keep(struct sl_meta *meta, struct sl_error *err);
int sl_meta_undo(struct sl_meta *meta, struct sl_error *err);
/* How much this handle may use for pages (2 MiB at first), and after how many 4 KiB frames of the log its commits copy them into
 * the database (256 at first): for a process that writes all the time. */
int sl_meta_tune(struct sl_meta *meta, int cache_kib, int log_frames, struct sl_error *err);
/* A read transaction: all reads see one state until the end, or until something is written inside it: that is a transaction of its
 * own, and what is read behind it may be newer. No statement may stand open then. Nests; inside a write transaction it does
 * nothing. */
int sl_meta_begin_read(struct sl_meta *meta, struct sl_error *err);
void sl_meta_end_read(struct sl_meta *meta);

/* Prepares (or finds) `sql` and binds the parameters that `types` lists, in order:
 *   s const char * (NULL = null)   i int64_t   d double   b const void *, size_t   n (null, no argument)
 * int arguments must be cast to int64_t. The texts must live until sl_stmt_done. */
int sl_meta_query(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql, const char *types, ...);
int sl_meta_query_list(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql, const char *types,
		       va_list *args);
/* The same for SQL that is put together at run time: it is not kept. `values` must live until sl_stmt_done. */
struct sl_meta_value {
	char type; /* s i d n, as above */
	union { const char *s; int64_t i; double d; };
};
int sl_meta_query_values(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql,
	const struct sl_meta_value *values, size_t count);
/* 1 a row stands ready, 0 the end, negative an error. */
int sl_stmt_step(struct sl_stmt *stmt, struct sl_error *err);
void sl_stmt_done(struct sl_stmt *stmt); /* NULL is fine; gives the statement back */
void sl_stmt_donep(struct sl_stmt **stmt);
#define SL_AUTO_STMT SL_CLEANUP(sl_stmt_donep)

int sl_stmt_columns(const struct sl_stmt *stmt);
const char *sl_stmt_column_name(const struct sl_stmt *stmt, int column); /* from 0, as below */
bool sl_stmt_null(const struct sl_stmt *stmt, int column);
char sl_stmt_type(const struct sl_stmt *stmt, int column);               /* s i d b n */
int64_t sl_stmt_int(const struct sl_stmt *stmt, int column);
double sl_stmt_double(const struct sl_stmt *stmt, int column);
const char *sl_stmt_text(const struct sl_stmt *stmt, int column);       /* "" for null; valid until the next step */
const void *sl_stmt_blob(const struct sl_stmt *stmt, int column, size_t *ret_len);

/* Query, step to the end, done. Returns the number of rows changed, or negative. A broken UNIQUE or PRIMARY
 * KEY is SL_E_CONFLICT. */
int64_t sl_meta_exec(struct sl_meta *meta, struct sl_error *err, const char *sql, const char *types, ...);
/* First column of the first row as integer into *ret, or `fallback` when there is no row or a null. Returns 0 or negative. */
int sl_meta_int(struct sl_meta *meta, int64_t fallback, int64_t *ret, struct sl_error *err, const char *sql, const char *types,
		...);

/* Structure and every page's checksum; SL_E_CORRUPT names the page and what is wrong. */
int sl_meta_check(struct sl_meta *meta, struct sl_error *err);

/* "sqlite 3.54.0" */
const char *sl_meta_version(void);

#endif

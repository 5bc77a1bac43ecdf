/* Port "sql": tables. Default backend: DuckDB, loaded on first use, one database in memory per session, over exactly the files
 * that were declared; no other file, no network, no extension; settings locked before any of the user's SQL runs.
 */
#ifndef SL_PORT_SQL_H
#define SL_PORT_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

struct sl_sql;

/* One declared input: a name and the Parquet files behind it. */
struct sl_sql_table {
	const char *name;    /* "a.b" can be written as a.b or as "a.b" */
	const char *const *paths;
	size_t path_count; /* 0: an empty table, then columns must be given */
	const char *columns; /* "a BIGINT, b VARCHAR", only for path_count 0 */
};

struct sl_sql_options {
	const struct sl_sql_table *tables;
	size_t table_count;
	const char *const *raw_paths; /* other files that may be read (CSV, JSON: ingest) */
	size_t raw_path_count;
	const char *write_dir;        /* folder that may be written (sl_sql_write, COPY ... TO); NULL: nothing may */
	uint64_t memory_bytes;        /* 0: 60 % of the machine's, at most 8 GiB */
	uint64_t temp_bytes;          /* spill limit; 0: 20 GiB; the folder is write_dir/spill or none */
	int threads;                  /* 0: the machine's processors; at least 2 when something may be written */
	const volatile int *cancel;   /* non-zero: stop with SL_E_CANCELLED; may be NULL */
	/* Called about every 100 ms with 0..1 (or -1 unknown); may be NULL. */
	void (*progress)(void *context, double fraction);
	void *progress_context;
};

int sl_sql_open(const struct sl_sql_options *options, struct sl_sql **ret, struct sl_error *err);
void sl_sql_close(struct sl_sql *sql);
void sl_sql_closep(struct sl_sql **sql);

/* A parameter `$name` of the statement. type: s text, i int, d double, b bool (i), t timestamp (i = microseconds), n null. */
struct sl_sql_param {
	const char *name;
	char type;
	const char *text;
	int64_t i;
	double d;
};

/* Names of the tables and parameters that `text` (exactly one SELECT, at most 1 MiB) uses, by DuckDB's own parser, each once
 * in the order of the text; a qualified table is "schema.table". JSON arrays of text in `doc`. What is only named inside the
 * statement (WITH) is no table. */
int sl_sql_analyze(const char *text, const char *where, yyjson_mut_doc *doc, yyjson_mut_val **ret_tables,
		yyjson_mut_val **ret_params, struct sl_error *err);
/* The statement's syntax tree as the engine tells it (DuckDB's json_serialize_sql): {"statements":[{"node":...}]}. */
int sl_sql_tree(const char *text, const char *where, yyjson_doc **ret, struct sl_error *err);
const char *sl_sql_version(struct sl_error *err); /* "duckdb 1.5.6"; NULL when the library is missing */

/* Runs one statement for its effect; *ret_changed (may be NULL) gets the row count that it reports. `where` names the SQL file
 * for errors, which carry line and column of the statement. */
int sl_sql_run(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t param_count, const char *where,
	       int64_t *ret_changed, struct sl_error *err);

/* Runs one SELECT and writes its rows as one Parquet file (zstd) at `path`, inside write_dir. Equal input and statement give
 * equal bytes, whatever the threads: rows come in the statement's own ORDER BY, else in the input's order where the plan keeps
 * it, else sorted by all columns. Two columns of one name are refused. */
int sl_sql_write(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t param_count, const char *where,
		 const char *path, int64_t *ret_rows, struct sl_error *err);

/* Streams a result. Chunks are columnar; memory stays bounded whatever the size of the result. */
struct sl_sql_result;
int sl_sql_query(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t param_count, const char *where,
		 struct sl_sql_result **ret, struct sl_error *err);
size_t sl_sql_columns(const struct sl_sql_result *result);
const char *sl_sql_column_name(const struct sl_sql_result *result, size_t column);
const char *sl_sql_column_type(const struct sl_sql_result *result, size_t column); /* "BIGINT", "VARCHAR", "TIMESTAMP", "DECIMAL(18,3)" ... */

/* A chunk's column, in the few shapes that the domain reads; wider types are cast (HUGEINT, DECIMAL -> double; others ->
 * text). */
enum sl_sql_kind { SL_SQL_BOOL, SL_SQL_INT, SL_SQL_DOUBLE, SL_SQL_TEXT, SL_SQL_TIME /* microseconds */ };
struct sl_sql_text { const char *data; uint32_t len; };
struct sl_sql_column {
	enum sl_sql_kind kind;
	const unsigned char *valid;  /* one byte per row, NULL: all valid */
	union {
		const bool *bools;
		const int64_t *ints;     /* INT and TIME */
		const double *doubles;
		const struct sl_sql_text *texts;
	};
};
enum sl_sql_kind sl_sql_column_kind(const struct sl_sql_result *result, size_t column);
/* 1 with *ret_rows rows in columns[0..n), valid until the next call; 0 the end; negative an error. */
int sl_sql_next(struct sl_sql_result *result, const struct sl_sql_column **ret_columns, size_t *ret_rows, struct sl_error *err);
void sl_sql_result_close(struct sl_sql_result *result);
void sl_sql_result_closep(struct sl_sql_result **result);

/* Identifier with double quotes, text literal with single quotes, both escaped: for SQL that we build ourselves. */
void sl_sql_quote_name(struct sl_buf *out, const char *name);
void sl_sql_quote_text(struct sl_buf *out, const char *text);

#endif

/* What the files of the DuckDB backend share: the library's functions, the session, and how its errors become ours.
 *
 * The header is that of 1.4.4 and the library 1.5.6: it exports every function of the older header.
 */
#ifndef SL_BACKEND_SQL_DUCKDB_H
#define SL_BACKEND_SQL_DUCKDB_H

#include <duckdb.h>

#include "base/mem.h"
#include "port/sql.h"

/* Every function of the library that we call; the table of pointers is made from this list, with the header's types. */
#define SL_DUCKDB_FUNCTIONS(X) \
	X(array_type_array_size) X(array_type_child_type) X(bind_boolean) X(bind_double) X(bind_int64) X(bind_null) \
	X(bind_parameter_index) X(bind_timestamp) X(bind_varchar) X(close) X(column_count) X(column_logical_type) \
	X(column_name) X(connect) X(create_config) X(data_chunk_get_size) X(data_chunk_get_vector) \
	X(decimal_internal_type) X(decimal_scale) X(decimal_width) X(destroy_config) X(destroy_data_chunk) \
	X(destroy_extracted) X(destroy_logical_type) X(destroy_pending) X(destroy_prepare) X(destroy_result) \
	X(disconnect) X(enum_dictionary_size) X(enum_dictionary_value) X(execute_pending) X(extract_statements) \
	X(extract_statements_error) X(fetch_chunk) X(free) X(get_type_id) X(interrupt) X(library_version) \
	X(list_type_child_type) X(map_type_key_type) X(map_type_value_type) X(nparams) X(open_ext) X(parameter_name) \
	X(pending_error) X(pending_execute_task) X(pending_prepared) X(pending_prepared_streaming) X(prepare_error) \
	X(prepare_extracted_statement) X(prepared_statement_column_count) X(prepared_statement_column_logical_type) \
	X(prepared_statement_column_name) X(prepared_statement_type) X(query) X(query_progress) X(result_error) \
	X(rows_changed) X(set_config) X(struct_type_child_count) X(struct_type_child_name) X(struct_type_child_type) \
	X(union_type_member_count) X(union_type_member_name) X(union_type_member_type) X(vector_get_data) \
	X(vector_get_validity) X(vector_size)

struct sl_duckdb {
#define SL_DUCKDB_MEMBER(name) __typeof__(&duckdb_##name) name;
	SL_DUCKDB_FUNCTIONS(SL_DUCKDB_MEMBER)
#undef SL_DUCKDB_MEMBER
};

/* The library, loaded on first use (10 ms, 13 MB); NULL with `err` filled when it is missing. May be called from any thread. */
const struct sl_duckdb *sl_duckdb(struct sl_error *err);

struct sl_sql {
	const struct sl_duckdb *lib;
	duckdb_database db;
	duckdb_connection connection;
	struct sl_arena *arena;            /* copies of the tables below */
	struct sl_sql_table *tables;       /* to say "dataset x" where the engine names a path */
	size_t table_count;
	const char *write_dir;             /* NULL: none */
	const volatile int *cancel;
	void (*progress)(void *context, double fraction);
	void *progress_context;
};

/* A statement on its way: `text` is what the engine gets, made of `shift` bytes of ours, then the user's text, then more of
 * ours. */
struct sl_duckdb_statement {
	const char *text;
	const char *user_text;
	size_t shift;
	const char *where; /* file of the user's text, for errors */
};

/* Turns a message of the engine into `err`: file:line:column of the user's text, the message without paths of ours, what DuckDB
 * suggests as the hint. Returns the code. */
int sl_duckdb_fail(const struct sl_sql *sql, const char *message, const struct sl_duckdb_statement *statement,
		   struct sl_error *err);
/* "where:line:column" of byte `offset` of `text` into err->where. */
void sl_duckdb_place(struct sl_error *err, const char *where, const char *text, size_t offset);

/* Prepares the one statement in statement->text; several or none are refused. Destroy with lib->destroy_prepare. */
int sl_duckdb_prepare(struct sl_sql *sql, const struct sl_duckdb_statement *statement, duckdb_prepared_statement *ret,
		      struct sl_error *err);
/* Binds the parameters that the statement knows; one without a value is refused by name. */
int sl_duckdb_bind(struct sl_sql *sql, duckdb_prepared_statement prepared, const struct sl_sql_param *params, size_t count,
		   const struct sl_duckdb_statement *statement, struct sl_error *err);
/* Runs to the first rows (streaming) or the end, looking at `cancel` and telling progress between tasks. */
int sl_duckdb_execute(struct sl_sql *sql, duckdb_prepared_statement prepared, bool streaming,
		      const struct sl_duckdb_statement *statement, duckdb_result *ret, struct sl_error *err);
/* Prepares, binds, runs to the end. */
int sl_duckdb_run(struct sl_sql *sql, const struct sl_duckdb_statement *statement, const struct sl_sql_param *params,
		  size_t count, int64_t *ret_changed, struct sl_error *err);
/* One statement of our own without parameters. */
int sl_duckdb_do(struct sl_sql *sql, const char *text, struct sl_error *err);

/* Appends the type as DuckDB spells it: "BIGINT", "DECIMAL(18,3)", "STRUCT(a INTEGER, b VARCHAR[])". */
void sl_duckdb_type_text(const struct sl_duckdb *lib, duckdb_logical_type type, struct sl_buf *out);

/* Length of the user's statement without the ';', blanks and comments behind it, so that it can be put inside another
 * statement. */
size_t sl_duckdb_statement_len(const char *text);

/* The statement's syntax tree (DuckDB's json_serialize_sql) when it is exactly one SELECT. Free with yyjson_doc_free. */
int sl_duckdb_tree(const char *text, const char *where, yyjson_doc **ret, struct sl_error *err);

#endif

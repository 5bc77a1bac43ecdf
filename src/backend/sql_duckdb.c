/* A session: one database in memory, views over exactly the declared files, everything else shut before the user's SQL runs. */
#include "backend/sql_duckdb.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"

enum { SETTINGS_MAX = 64 << 20 }; /* of one statement of ours; paths of a million files fit */

static const uint64_t MEMORY_MAX = 8ull << 30, TEMP_DEFAULT = 20ull << 30;

/* 60 % of the machine's memory, at most 8 GiB: DuckDB itself goes 1.3 to 1.9 times over its limit when it spills. */
static uint64_t default_memory(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 10 * 6;

	return bytes < MEMORY_MAX ? bytes : MEMORY_MAX;
}

int sl_duckdb_do(struct sl_sql *sql, const char *text, struct sl_error *err)
{
	duckdb_result result;
	int rc = 0;

	if (sql->lib->query(sql->connection, text, &result) != DuckDBSuccess)
		rc = sl_duckdb_fail(sql, sql->lib->result_error(&result), NULL, err);
	sql->lib->destroy_result(&result);
	return rc;
}

static int do_buf(struct sl_sql *sql, const struct sl_buf *text, struct sl_error *err)
{
	int rc = sl_buf_check(text, "the list of input files", err);

	return rc < 0 ? rc : sl_duckdb_do(sql, sl_buf_cstr(text), err);
}

/* With one thread DuckDB cuts row groups at 124,927 rows instead of 122,880; with two or more always there. So whoever writes has
 * two, and a file's bytes do not tell how many processors its maker had. */
static long thread_count(const struct sl_sql_options *options)
{
	long threads = options->threads > 0 ? options->threads : sysconf(_SC_NPROCESSORS_ONLN),
	     least = options->write_dir ? 2 : 1;

	return threads > least ? threads : least;
}

/* What can only be set while opening; the rest follows by SET, which reports better. */
static int open_database(struct sl_sql *sql, const struct sl_sql_options *options, struct sl_error *err)
{
	static const char *const FIXED[][2] = {
		{"autoinstall_known_extensions", "false"}, {"autoload_known_extensions", "false"},
		{"allow_community_extensions", "false"},   {"allow_persistent_secrets", "false"},
		{"preserve_insertion_order", "true"},	   {"temp_directory", ""},
	};
	uint64_t memory = options->memory_bytes ? options->memory_bytes : default_memory();
	char memory_text[32], threads_text[32];
	duckdb_config config;
	char *message = NULL;
	bool ok;

	snprintf(memory_text, sizeof memory_text, "%lluKiB", (unsigned long long)(memory + 1023) / 1024);
	snprintf(threads_text, sizeof threads_text, "%ld", thread_count(options));
	if (sql->lib->create_config(&config) != DuckDBSuccess)
		return sl_fail_memory(err);
	ok = sql->lib->set_config(config, "memory_limit", memory_text) == DuckDBSuccess
		&& sql->lib->set_config(config, "threads", threads_text) == DuckDBSuccess;
	for (size_t i = 0; ok && i < SL_ARRAY_LEN(FIXED); i++)
		ok = sql->lib->set_config(config, FIXED[i][0], FIXED[i][1]) == DuckDBSuccess;
	if (!ok)
		sl_fail(err, SL_E_BUG, "the SQL engine refused a setting");
	if (ok && sql->lib->open_ext(NULL, &sql->db, config, &message) != DuckDBSuccess) {
		ok = false;
		sl_duckdb_fail(sql, message, NULL, err);
		sql->db = NULL;
	}
	sql->lib->free(message);
	sql->lib->destroy_config(&config);
	if (!ok)
		return err ? err->code : SL_E_FAILED;
	return sql->lib->connect(sql->db, &sql->connection) == DuckDBSuccess ? 0 : sl_fail_memory(err);
}

/* The engine's strings and clocks do not depend on the machine's zone; errors come as JSON with their place. */
static int set_behaviour(struct sl_sql *sql, struct sl_error *err)
{
	return sl_duckdb_do(sql, "SET errors_as_json = true; SET TimeZone = 'UTC'; SET enable_progress_bar = true;"
		"SET enable_progress_bar_print = false; SET parquet_metadata_cache = true", err);
}

static void list_path(struct sl_buf *out, size_t *count, const char *path)
{
	sl_buf_str(out, (*count)++ ? "," : "");
	sl_sql_quote_text(out, path);
}

static int set_access(struct sl_sql *sql, const struct sl_sql_options *options, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SETTINGS_MAX);
	size_t count = 0;

	sl_buf_str(&text, "SET allowed_paths = [");
	for (size_t t = 0; t < options->table_count; t++)
		for (size_t p = 0; p < options->tables[t].path_count; p++)
			list_path(&text, &count, options->tables[t].paths[p]);
	for (size_t p = 0; p < options->raw_path_count; p++)
		list_path(&text, &count, options->raw_paths[p]);
	sl_buf_str(&text, "]");
	if (options->write_dir) {
		uint64_t temp = options->temp_bytes ? options->temp_bytes : TEMP_DEFAULT;
		count = 0;
		sl_buf_str(&text, "; SET allowed_directories = [");
		list_path(&text, &count, options->write_dir);
		sl_buf_str(&text, "]; SET temp_directory = ");
		SL_AUTO_BUF struct sl_buf spill = SL_BUF_INIT(SL_PATH_MAX);
		sl_buf_printf(&spill, "%s/spill", options->write_dir);
		sl_sql_quote_text(&text, sl_buf_cstr(&spill));
		sl_buf_printf(&text, "; SET max_temp_directory_size = '%lluKiB'", (unsigned long long)(temp + 1023) / 1024);
	}
	return do_buf(sql, &text, err);
}

/* "a.b" gets the schema a as well, so that both "a.b" and a.b name it. */
static void view_head(struct sl_buf *text, const char *name, const char *dot)
{
	if (dot) {
		SL_AUTO_BUF struct sl_buf schema = SL_BUF_INIT(SL_PATH_MAX);
		sl_buf_add(&schema, name, (size_t)(dot - name));
		sl_buf_str(text, "CREATE SCHEMA IF NOT EXISTS ");
		sl_sql_quote_name(text, sl_buf_cstr(&schema));
		sl_buf_str(text, "; CREATE VIEW ");
		sl_sql_quote_name(text, sl_buf_cstr(&schema));
		sl_buf_char(text, '.');
		sl_sql_quote_name(text, dot + 1);
	} else {
		sl_buf_str(text, "CREATE VIEW ");
		sl_sql_quote_name(text, name);
	}
}

static int add_table(struct sl_sql *sql, const struct sl_sql_table *table, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SETTINGS_MAX);
	size_t count = 0;

	if (!table->path_count) {
		sl_buf_str(&text, "CREATE TABLE ");
		sl_sql_quote_name(&text, table->name);
		sl_buf_printf(&text, " (%s)", table->columns);
	} else {
		view_head(&text, table->name, NULL);
		/* No guessing from folder names: the manifest's columns are the table's columns. */
		sl_buf_str(&text, " AS FROM read_parquet([");
		for (size_t p = 0; p < table->path_count; p++)
			list_path(&text, &count, table->paths[p]);
		sl_buf_str(&text, "], hive_partitioning = false, union_by_name = false)");
	}
	const char *dot = strchr(table->name, '.');
	if (dot && !strchr(dot + 1, '.')) {
		sl_buf_str(&text, "; ");
		view_head(&text, table->name, dot);
		sl_buf_str(&text, " AS FROM ");
		sl_sql_quote_name(&text, table->name);
	}
	int rc = do_buf(sql, &text, err);
	return rc < 0 ? sl_error_where(err, "dataset '%s'", table->name), rc : 0;
}

/* Own copies: errors name tables long after the caller's options are gone. */
static int keep_tables(struct sl_sql *sql, const struct sl_sql_options *options, struct sl_error *err)
{
	sql->arena = sl_arena_new(0, err);
	if (!sql->arena)
		return SL_E_NO_MEMORY;
	sql->write_dir = options->write_dir ? sl_arena_strdup(sql->arena, options->write_dir) : NULL;
	sql->tables = sl_arena_array(sql->arena, options->table_count, sizeof *sql->tables);
	if ((options->table_count && !sql->tables) || (options->write_dir && !sql->write_dir))
		return sl_fail_memory(err);
	for (size_t t = 0; t < options->table_count; t++) {
		const struct sl_sql_table *from = &options->tables[t];
		const char **paths = sl_arena_array(sql->arena, from->path_count, sizeof *paths);
		bool ok = paths || !from->path_count;
		for (size_t p = 0; ok && p < from->path_count; p++)
			ok = (paths[p] = sl_arena_strdup(sql->arena, from->paths[p]));
		sql->tables[t] = (struct sl_sql_table){.name = sl_arena_strdup(sql->arena, from->name), .paths = paths,
						       .path_count = from->path_count};
		if (!ok || !sql->tables[t].name)
			return sl_fail_memory(err);
		sql->table_count++;
	}
	return 0;
}

int sl_sql_open(const struct sl_sql_options *options, struct sl_sql **ret, struct sl_error *err)
{
	const struct sl_duckdb *lib = sl_duckdb(err);
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	int rc;

	if (!lib)
		return SL_E_NO_LIBRARY;
	sql = sl_alloc(sizeof *sql, err);
	if (!sql)
		return SL_E_NO_MEMORY;
	sql->lib = lib;
	sql->cancel = options->cancel;
	sql->progress = options->progress;
	sql->progress_context = options->progress_context;
	if ((rc = keep_tables(sql, options, err)) < 0 || (rc = open_database(sql, options, err)) < 0
	    || (rc = set_behaviour(sql, err)) < 0 || (rc = set_access(sql, options, err)) < 0
	    || (rc = sl_duckdb_do(sql, "SET enable_external_access = false", err)) < 0)
		return rc;
	for (size_t t = 0; t < options->table_count; t++)
		if ((rc = add_table(sql, &options->tables[t], err)) < 0)
			return rc;
	if ((rc = sl_duckdb_do(sql, "SET lock_configuration = true", err)) < 0)
		return rc;
	*ret = SL_TAKE(sql);
	return 0;
}

void sl_sql_close(struct sl_sql *sql)
{
	if (!sql)
		return;
	if (sql->connection)
		sql->lib->disconnect(&sql->connection);
	if (sql->db)
		sql->lib->close(&sql->db);
	sl_arena_free(sql->arena);
	sl_free(sql);
}

void sl_sql_closep(struct sl_sql **sql)
{
	sl_sql_close(*sql);
	*sql = NULL;
}

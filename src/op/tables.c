#include "op/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "op/records.h"
#include "op/resolve.h"
#include "os/sys.h"

int sl_tables_folder(struct sl_tables *tables, struct sl_store *store, struct sl_error *err)
{
	const char *other = getenv("TMPDIR");
	if (tables->folder[0])
		return 0;
	int rc = sl_dir_make_temporary(store->tmp_dir, "sql-", tables->folder, err);
	if (rc == SL_E_IO) /* a store that can only be read is looked at with tables elsewhere */
		rc = sl_dir_make_temporary(other && *other ? other : "/tmp", "sluice-sql-", tables->folder, err);
	if (rc)
		tables->folder[0] = 0;
	return rc;
}

void sl_tables_done(struct sl_tables *tables)
{
	if (tables->folder[0])
		sl_dir_remove(tables->folder, NULL);
	tables->folder[0] = 0;
}

/* JSON lines to Parquet, in a session that sees nothing else. */
static int to_parquet(const char *lines, const char *folder, const char *columns, const char *parquet, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_buf select SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	struct sl_sql_options options = {.raw_paths = &lines, .raw_path_count = 1, .write_dir = folder, .threads = 1};
	sl_buf_str(&select, "SELECT * FROM read_json(");
	sl_sql_quote_text(&select, lines);
	sl_buf_printf(&select, ", format = 'newline_delimited', columns = %s)", columns);
	int rc = sl_sql_open(&options, &sql, err);
	return rc ? rc : sl_sql_write(sql, sl_buf_cstr(&select), NULL, 0, "records", parquet, NULL, err);
}

static int add_records(struct sl_call *call, struct sl_store *store, const struct sl_record_table *table, struct sl_tables *ret,
	struct sl_error *err)
{
	int rc = sl_tables_folder(ret, store, err);
	char *lines = sl_arena_printf(call->arena, "%s/%s.jsonl", ret->folder, table->name);
	const char **path = sl_arena_array(call->arena, 1, sizeof *path);
	if (!lines || !path || !(*path = sl_arena_printf(call->arena, "%s/%s.parquet", ret->folder, table->name)))
		return sl_fail_memory(err);
	if (!rc)
		rc = sl_record_table_write(table, store, lines, err);
	if (!rc)
		rc = to_parquet(lines, ret->folder, table->columns, *path, err);
	if (!rc)
		ret->items[ret->count++] = (struct sl_sql_table){.name = table->name, .paths = path, .path_count = 1};
	return rc;
}

static int refuse_unknown(struct sl_store *store, struct sl_call *call, const char *name, struct sl_error *err)
{
	const char *names[512];
	size_t count = 0;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	for (; count < sl_record_table_count; count++)
		names[count] = sl_record_tables[count].name;
	if (sl_meta_query(store->meta, &stmt, NULL, "SELECT DISTINCT dataset FROM dataset_version LIMIT 500", "") == 0)
		while (count < SL_ARRAY_LEN(names) && sl_stmt_step(stmt, NULL) == 1)
			if ((names[count] = sl_arena_strdup(call->arena, sl_stmt_text(stmt, 0))))
				count++;
	const char *nearest = sl_str_nearest(name, names, count);
	sl_fail(err, SL_E_NOT_FOUND, "there is no table '%.200s'", name);
	if (nearest)
		return sl_error_hint(err, "did you mean '%s'?", nearest);
	char list[400] = "";
	for (size_t i = 0, at = 0; i < sl_record_table_count && at < sizeof list - 40; i++)
		at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", sl_record_tables[i].name);
	return sl_error_hint(err, "tables are the datasets (sluice ls datasets) and %s", list);
}

static int add_table(struct sl_call *call, struct sl_store *store, const char *name, struct sl_tables *ret, struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_dataset_head head;
	struct sl_error why = {0};
	if (ret->count == SL_TABLES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d tables in one statement", SL_TABLES_MAX);
	int rc = sl_ref_parse(name, &ref, &why);
	if (!rc)
		rc = sl_dataset_find(&store->track, ref.name, ref.version, &head, &why);
	if (!rc)
		rc = sl_dataset_table(store->objects, sl_arena_strdup(call->arena, name), &head.hash, call->arena,
			&ret->items[ret->count], &why);
	if (!rc) {
		ret->count++;
		return 0;
	}
	const struct sl_record_table *records = rc == SL_E_NOT_FOUND ? sl_record_table_find(name) : NULL;
	if (records)
		return add_records(call, store, records, ret, err);
	if (rc == SL_E_NOT_FOUND && !ref.version[0])
		return refuse_unknown(store, call, name, err);
	*err = why;
	return rc;
}

int sl_tables_find(struct sl_call *call, struct sl_store *store, const char *text, const char *where, struct sl_tables *ret,
	struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *names, *params, *name;
	size_t i, max;
	*ret = (struct sl_tables){0};
	int rc = doc ? sl_sql_analyze(text, where, doc, &names, &params, err) : sl_fail_memory(err);
	if (rc)
		return rc;
	if (yyjson_mut_arr_size(params))
		return sl_fail_at(err, SL_E_INVALID, where, "the statement has a parameter '$%s', and nothing to bind to it",
			yyjson_mut_get_str(yyjson_mut_arr_get_first(params)));
	yyjson_mut_arr_foreach(names, i, max, name)
		if ((rc = add_table(call, store, yyjson_mut_get_str(name), ret, err)))
			return rc;
	return 0;
}

/* Across file systems a rename cannot be; then the bytes are copied beside the target first, so that it still appears whole. */
static int move_file(const char *from, const char *to, struct sl_error *err)
{
	char beside[SL_PATH_MAX];
	if (sl_file_rename(from, to, NULL) == 0)
		return 0;
	if (snprintf(beside, sizeof beside, "%s.part", to) >= (int)sizeof beside)
		return sl_fail(err, SL_E_TOO_LARGE, "the path is too long");
	sl_sys->unlink(beside);
	int rc = sl_file_copy(from, beside, 0644, err);
	return rc ? rc : sl_file_rename(beside, to, err);
}

static int copy_out(
	struct sl_sql *sql, const char *select, const char *path, const char *options, int64_t *ret_rows, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	/* A line end before the bracket, because the statement may end in a comment. */
	sl_buf_printf(&text, "COPY (%s\n) TO ", select);
	sl_sql_quote_text(&text, path);
	sl_buf_printf(&text, " (%s)", options);
	int rc = sl_buf_check(&text, "the statement", err);
	return rc ? rc : sl_sql_run(sql, sl_buf_cstr(&text), NULL, 0, "sql", ret_rows, err);
}

int sl_tables_export(struct sl_sql *sql, struct sl_tables *tables, const char *select, const char *path, int64_t *ret_rows,
	struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	int rc = sl_path_join(staged, tables->folder, "result", err);
	if (rc)
		return rc;
	if (sl_str_ends(path, ".parquet"))
		rc = sl_sql_write(sql, select, NULL, 0, "sql", staged, ret_rows, err);
	else if (sl_str_ends(path, ".csv"))
		rc = copy_out(sql, select, staged, "FORMAT csv, HEADER", ret_rows, err);
	else if (sl_str_ends(path, ".jsonl") || sl_str_ends(path, ".ndjson"))
		rc = copy_out(sql, select, staged, "FORMAT json", ret_rows, err);
	else
		return sl_error_hint((sl_fail_at(err, SL_E_INVALID, path, "what kind of file this is to be cannot be told"), err),
			"end it in .parquet, .csv or .jsonl");
	return rc ? rc : move_file(staged, path, err);
}

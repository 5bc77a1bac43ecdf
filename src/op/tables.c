#include "op/tables.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "op/resolve.h"
#include "os/sys.h"

/* What the store knows, as tables. Times are milliseconds since 1970, JSON stays text. ?1 is the most rows. */
static const struct record_table {
	const char *name, *columns, *sql;
} RECORDS[] = {
	{"runs",
		"{id:'VARCHAR',parent:'VARCHAR',kind:'VARCHAR',name:'VARCHAR',status:'VARCHAR',reason:'VARCHAR',"
			"cause:'VARCHAR',started_ms:'BIGINT',ended_ms:'BIGINT',record:'VARCHAR'}",
		"SELECT id, parent, kind, name, status, reason, cause, started_ms, ended_ms, record FROM run ORDER BY id DESC "
			"LIMIT ?1"},
	{"params", "{run:'VARCHAR',name:'VARCHAR',value:'VARCHAR'}",
		"SELECT run, name, value FROM run_param ORDER BY run DESC, name LIMIT ?1"},
	{"metrics", "{run:'VARCHAR',name:'VARCHAR',step:'BIGINT',time_ms:'BIGINT',value:'DOUBLE'}",
		"SELECT run, name, step, time_ms, value FROM run_metric ORDER BY run DESC, name, step LIMIT ?1"},
	{"versions", "{dataset:'VARCHAR',hash:'VARCHAR',rows:'BIGINT',size_bytes:'BIGINT',run:'VARCHAR',created_ms:'BIGINT'}",
		"SELECT dataset, hash, rows, size_bytes, run, created_ms FROM dataset_version ORDER BY seq DESC LIMIT ?1"},
	{"checks",
		"{dataset:'VARCHAR',hash:'VARCHAR',name:'VARCHAR',severity:'VARCHAR',passed:'BIGINT',failing_rows:'BIGINT',"
			"run:'VARCHAR'}",
		"SELECT dataset, hash, check_name AS name, severity, passed, failing_rows, run FROM check_result ORDER BY seq "
			"DESC LIMIT ?1"},
	{"models",
		"{model:'VARCHAR',version:'BIGINT',status:'VARCHAR',hash:'VARCHAR',run:'VARCHAR',metrics:'VARCHAR',"
			"created_ms:'BIGINT'}",
		"SELECT model, version, status, hash, run, metrics, created_ms FROM model_version ORDER BY model, version "
			"LIMIT ?1"},
	{"aliases", "{model:'VARCHAR',alias:'VARCHAR',version:'BIGINT',changed_ms:'BIGINT'}",
		"SELECT model, alias, version, changed_ms FROM model_alias ORDER BY model, alias LIMIT ?1"},
	{"windows", "{monitor:'VARCHAR',from_ms:'BIGINT',to_ms:'BIGINT',level:'VARCHAR',rows:'BIGINT',evidence:'VARCHAR'}",
		"SELECT monitor, from_ms, to_ms, level, rows, evidence FROM monitor_window ORDER BY to_ms DESC, monitor LIMIT "
			"?1"},
	{"firings", "{trigger:'VARCHAR',status:'VARCHAR',reason:'VARCHAR',fired_ms:'BIGINT',ended_ms:'BIGINT'}",
		"SELECT trigger_name AS trigger, status, reason, fired_ms, ended_ms FROM trigger_firing ORDER BY seq DESC "
			"LIMIT ?1"},
	{"ledger", "{seq:'BIGINT',entry:'VARCHAR'}",
		"SELECT seq, CAST(entry AS TEXT) AS entry FROM ledger_entry ORDER BY seq DESC LIMIT ?1"},
};

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

static void add_value(struct sl_buf *out, struct sl_stmt *stmt, int column)
{
	switch (sl_stmt_type(stmt, column)) {
	case 'n': sl_buf_str(out, "null"); break;
	case 'i': sl_buf_printf(out, "%lld", (long long)sl_stmt_int(stmt, column)); break;
	case 'd': sl_buf_printf(out, "%.17g", sl_stmt_double(stmt, column)); break;
	default: sl_json_string(out, sl_stmt_text(stmt, column), strlen(sl_stmt_text(stmt, column)));
	}
}

static int write_lines(struct sl_stmt *stmt, const char *path, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1, row;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	int rc = sl_file_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &fd, err);
	if (rc)
		return rc;
	while ((row = sl_stmt_step(stmt, err)) == 1) {
		for (int i = 0; i < sl_stmt_columns(stmt); i++) {
			sl_buf_str(&text, i ? ",\"" : "{\"");
			sl_buf_printf(&text, "%s\":", sl_stmt_column_name(stmt, i));
			add_value(&text, stmt, i);
		}
		sl_buf_str(&text, "}\n");
		if (text.len < 1 << 20)
			continue;
		if ((rc = sl_buf_check(&text, "a record", err)) || (rc = sl_file_write_all(fd, text.data, text.len, path, err)))
			return rc;
		sl_buf_clear(&text);
	}
	if (row < 0)
		return row;
	rc = sl_buf_check(&text, "a record", err);
	return rc || !text.len ? rc : sl_file_write_all(fd, text.data, text.len, path, err);
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

static int add_records(struct sl_call *call, struct sl_store *store, const struct record_table *table, struct sl_tables *ret,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_tables_folder(ret, store, err);
	char *lines = sl_arena_printf(call->arena, "%s/%s.jsonl", ret->folder, table->name);
	const char **path = sl_arena_array(call->arena, 1, sizeof *path);
	if (!lines || !path || !(*path = sl_arena_printf(call->arena, "%s/%s.parquet", ret->folder, table->name)))
		return sl_fail_memory(err);
	if (!rc)
		rc = sl_meta_query(store->meta, &stmt, err, table->sql, "i", (int64_t)SL_RECORD_ROWS_MAX);
	if (!rc)
		rc = write_lines(stmt, lines, err);
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
	for (; count < SL_ARRAY_LEN(RECORDS); count++)
		names[count] = RECORDS[count].name;
	if (sl_meta_query(store->meta, &stmt, NULL, "SELECT DISTINCT dataset FROM dataset_version LIMIT 500", "") == 0)
		while (count < SL_ARRAY_LEN(names) && sl_stmt_step(stmt, NULL) == 1)
			if ((names[count] = sl_arena_strdup(call->arena, sl_stmt_text(stmt, 0))))
				count++;
	const char *nearest = sl_str_nearest(name, names, count);
	sl_fail(err, SL_E_NOT_FOUND, "there is no table '%.200s'", name);
	if (nearest)
		return sl_error_hint(err, "did you mean '%s'?", nearest);
	return sl_error_hint(err,
		"tables are the datasets (sluice ls datasets) and runs, params, metrics, versions, checks, models, aliases, "
			"windows, firings, ledger");
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
	for (size_t i = 0; rc == SL_E_NOT_FOUND && i < SL_ARRAY_LEN(RECORDS); i++)
		if (sl_str_eq(RECORDS[i].name, name))
			return add_records(call, store, &RECORDS[i], ret, err);
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

#include "op/records.h"

#include <fcntl.h>
#include <string.h>

#include "base/str.h"

enum { LINES_MAX = 256 << 20, LINES_FLUSH = 1 << 20 };

static int write_ledger(struct sl_store *store, struct sl_lines *lines, struct sl_error *err);

/* Times are milliseconds since 1970, JSON stays text. */
const struct sl_record_table sl_record_tables[] = {
	{"aliases", "{model:'VARCHAR',alias:'VARCHAR',version:'BIGINT',changed_ms:'BIGINT'}",
	 "SELECT model, alias, version, changed_ms FROM model_alias ORDER BY model, alias LIMIT ?1", NULL},
	{"artifacts", "{run:'VARCHAR',path:'VARCHAR',hash:'VARCHAR',size_bytes:'BIGINT'}",
	 "SELECT run, path, hash, size_bytes FROM run_artifact ORDER BY run DESC, path LIMIT ?1", NULL},
	{"checks",
	 "{dataset:'VARCHAR',hash:'VARCHAR',name:'VARCHAR',severity:'VARCHAR',passed:'BIGINT',failing_rows:'BIGINT',run:'VARCHAR',"
	 "result:'VARCHAR'}",
	 "SELECT dataset, hash, check_name AS name, severity, passed, failing_rows, run, result FROM check_result ORDER BY seq DESC "
	 "LIMIT ?1",
	 NULL},
	{"events",
	 "{seq:'BIGINT',kind:'VARCHAR',subject:'VARCHAR',from_ms:'BIGINT',to_ms:'BIGINT',detail:'VARCHAR',made_ms:'BIGINT'}",
	 /* Stores of earlier versions have 0 for no window. */
	 "SELECT seq, kind, subject, nullif(from_ms, 0) AS from_ms, nullif(to_ms, 0) AS to_ms, detail, made_ms FROM event ORDER BY seq DESC LIMIT ?1", NULL},
	{"firings",
	 "{seq:'BIGINT',trigger:'VARCHAR',event:'BIGINT',status:'VARCHAR',reason:'VARCHAR',fired_ms:'BIGINT',ended_ms:'BIGINT'}",
	 "SELECT seq, trigger_name AS \"trigger\", event, status, reason, fired_ms, ended_ms FROM trigger_firing ORDER BY seq DESC "
	 "LIMIT ?1",
	 NULL},
	{"inputs", "{run:'VARCHAR',kind:'VARCHAR',name:'VARCHAR',hash:'VARCHAR'}",
	 "SELECT run, kind, name, hash FROM run_input ORDER BY run DESC, kind, name LIMIT ?1", NULL},
	{"labels",
	 "{label_set:'VARCHAR',matched_by:'VARCHAR',key:'VARCHAR',number:'DOUBLE',text:'VARCHAR',time_ms:'BIGINT'}", NULL, sl_record_labels},
	{"ledger", "{seq:'BIGINT',time:'VARCHAR',actor:'VARCHAR',action:'VARCHAR',subject:'VARCHAR',detail:'VARCHAR',entry:'VARCHAR'}",
	 NULL, write_ledger},
	{"metrics", "{run:'VARCHAR',name:'VARCHAR',step:'BIGINT',time_ms:'BIGINT',value:'DOUBLE'}",
	 "SELECT run, name, step, time_ms, value FROM run_metric ORDER BY run DESC, name, step LIMIT ?1", NULL},
	{"models",
	 "{model:'VARCHAR',version:'BIGINT',status:'VARCHAR',hash:'VARCHAR',run:'VARCHAR',gate:'VARCHAR',metrics:'VARCHAR',"
	 "created_ms:'BIGINT'}",
	 "SELECT model, version, status, hash, run, gate, metrics, created_ms FROM model_version ORDER BY model, version LIMIT ?1", NULL},
	{"moves",
	 "{seq:'BIGINT',model:'VARCHAR',alias:'VARCHAR',version:'BIGINT',previous:'BIGINT',reason:'VARCHAR',actor:'VARCHAR',"
	 "moved_ms:'BIGINT'}",
	 "SELECT seq, model, alias, version, previous, reason, actor, moved_ms FROM alias_move ORDER BY seq DESC LIMIT ?1", NULL},
	{"outputs", "{run:'VARCHAR',kind:'VARCHAR',name:'VARCHAR',hash:'VARCHAR'}",
	 "SELECT run, kind, name, hash FROM run_output ORDER BY run DESC, kind, name LIMIT ?1", NULL},
	{"params", "{run:'VARCHAR',name:'VARCHAR',value:'VARCHAR'}",
	 "SELECT run, name, value FROM run_param ORDER BY run DESC, name LIMIT ?1", NULL},
	{"predictions",
	 "{endpoint:'VARCHAR',id:'VARCHAR','row':'BIGINT',key:'VARCHAR',variant:'VARCHAR',route:'VARCHAR',shadow_of:'VARCHAR',version:'BIGINT',package:'VARCHAR',received_ms:'BIGINT',"
	 "time_ms:'BIGINT',latency_us:'BIGINT',prediction:'DOUBLE',outputs:'VARCHAR',inputs:'VARCHAR'}",
	 NULL, sl_record_predictions},
	{"runs",
	 "{id:'VARCHAR',parent:'VARCHAR',kind:'VARCHAR',name:'VARCHAR',status:'VARCHAR',reason:'VARCHAR',cause:'VARCHAR',"
	 "started_ms:'BIGINT',ended_ms:'BIGINT',record:'VARCHAR'}",
	 "SELECT id, parent, kind, name, status, reason, cause, started_ms, ended_ms, record FROM run ORDER BY id DESC LIMIT ?1", NULL},
	{"steps",
	 "{id:'VARCHAR',run:'VARCHAR',kind:'VARCHAR',name:'VARCHAR',status:'VARCHAR',reason:'VARCHAR',cause:'VARCHAR',"
	 "started_ms:'BIGINT',ended_ms:'BIGINT'}",
	 "SELECT id, parent AS run, kind, name, status, reason, cause, started_ms, ended_ms FROM run WHERE parent IS NOT NULL ORDER BY "
	 "id DESC LIMIT ?1",
	 NULL},
	{"tags", "{run:'VARCHAR',name:'VARCHAR',value:'VARCHAR'}",
	 "SELECT run, name, value FROM run_tag ORDER BY run DESC, name LIMIT ?1", NULL},
	{"versions",
	 "{dataset:'VARCHAR',hash:'VARCHAR','rows':'BIGINT',size_bytes:'BIGINT',files:'BIGINT',run:'VARCHAR',created_ms:'BIGINT'}",
	 "SELECT dataset, hash, rows, size_bytes, files, run, created_ms FROM dataset_version ORDER BY seq DESC LIMIT ?1", NULL},
	{"windows",
	 "{monitor:'VARCHAR',from_ms:'BIGINT',to_ms:'BIGINT',level:'VARCHAR','rows':'BIGINT',evidence:'VARCHAR',made_ms:'BIGINT'}",
	 "SELECT monitor, from_ms, to_ms, level, rows, evidence, made_ms FROM monitor_window ORDER BY to_ms DESC, monitor LIMIT ?1", NULL},
};
const size_t sl_record_table_count = SL_ARRAY_LEN(sl_record_tables);

const struct sl_record_table *sl_record_table_find(const char *name)
{
	for (size_t i = 0; i < sl_record_table_count; i++)
		if (sl_str_eq(sl_record_tables[i].name, name))
			return &sl_record_tables[i];
	return NULL;
}

static int flush(struct sl_lines *lines, struct sl_error *err)
{
	int rc = sl_buf_check(&lines->text, "a record", err);
	if (!rc && lines->text.len)
		rc = sl_file_write_all(lines->fd, lines->text.data, lines->text.len, lines->path, err);
	sl_buf_clear(&lines->text);
	return rc;
}

int sl_lines_end(struct sl_lines *lines, struct sl_error *err)
{
	sl_buf_char(&lines->text, '\n');
	return lines->text.len < LINES_FLUSH && !lines->text.failed ? 0 : flush(lines, err);
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

static int write_rows(const char *sql, struct sl_store *store, struct sl_lines *lines, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, sql, "i", (int64_t)SL_RECORD_ROWS_MAX);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		for (int i = 0; i < sl_stmt_columns(stmt); i++) {
			sl_buf_printf(&lines->text, "%s\"%s\":", i ? "," : "{", sl_stmt_column_name(stmt, i));
			add_value(&lines->text, stmt, i);
		}
		sl_buf_char(&lines->text, '}');
		rc = sl_lines_end(lines, err);
	}
	return rc;
}

/* An entry is an object already: number and whole text go before its members. */
static int write_ledger(struct sl_store *store, struct sl_lines *lines, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT entry FROM ledger_entry ORDER BY seq DESC LIMIT ?1", "i",
			       (int64_t)SL_RECORD_ROWS_MAX);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *entry = sl_stmt_blob(stmt, 0, &len);
		sl_buf_str(&lines->text, "{\"entry\":");
		sl_json_string(&lines->text, entry, len);
		sl_buf_char(&lines->text, ',');
		sl_buf_add(&lines->text, entry + 1, len ? len - 1 : 0);
		rc = sl_lines_end(lines, err);
	}
	return rc;
}

int sl_record_table_write(const struct sl_record_table *table, struct sl_store *store, const char *path, struct sl_error *err)
{
	struct sl_lines lines = {.fd = -1, .path = path, .text = SL_BUF_INIT(LINES_MAX)};
	int rc = sl_file_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &lines.fd, err);
	if (!rc)
		rc = table->sql ? write_rows(table->sql, store, &lines, err) : table->write(store, &lines, err);
	if (!rc)
		rc = flush(&lines, err);
	sl_buf_done(&lines.text);
	sl_file_close(&lines.fd);
	return rc;
}

#include "ledger/rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ledger/internal.h"

enum { ROW_MAX = 128 << 20, SQL_MAX = 1024 };

const struct sl_ledger_table sl_ledger_tables[] = {
	{"alias_move", 1, "seq, model, alias, version, previous, reason, actor, moved_ms", NULL},
	{"check_result", 1, "seq, run, dataset, hash, check_name, severity, passed, failing_rows, result", NULL},
	{"dataset_version", 1, "seq, dataset, hash, rows, size_bytes, files, run, created_ms", NULL},
	{"event", 1, "seq, kind, subject, from_ms, to_ms, detail, made_ms", NULL},
	{"model_alias", 2, "model, alias, version, changed_ms", NULL},
	{"model_version", 2, "model, version, hash, run, status, gate, metrics, created_ms", NULL},
	{"monitor_window", 3, "monitor, from_ms, to_ms, level, rows, evidence, made_ms", NULL},
	{"route", 1, "endpoint, rules, reason, changed_ms", NULL},
	{"setting", 1, "name, value", "name >= 'pin.' AND name < 'pin/'"},
	{"trigger_firing", 1, "seq, trigger_name, event, status, reason, run, fired_ms, ended_ms", NULL},
};
const size_t sl_ledger_table_count = SL_ARRAY_LEN(sl_ledger_tables);

static const struct sl_ledger_table *find_table(const char *name)
{
	for (size_t i = 0; i < sl_ledger_table_count; i++)
		if (sl_str_eq(sl_ledger_tables[i].name, name))
			return &sl_ledger_tables[i];
	return NULL;
}

/* ---- name and digest ------------------------------------------------------------------------------------------------ */

static void add_value(struct sl_buf *out, struct sl_stmt *stmt, int column)
{
	size_t len;
	switch (sl_stmt_type(stmt, column)) {
	case 'n': sl_buf_str(out, "null"); break;
	case 'i': sl_buf_printf(out, "%lld", (long long)sl_stmt_int(stmt, column)); break;
	default: {
		const char *text = sl_stmt_blob(stmt, column, &len);
		sl_json_string(out, text, len);
	}
	}
}

int sl_ledger_row(const struct sl_ledger_table *table, struct sl_stmt *stmt, char name[SL_ROW_KEY_MAX], struct sl_hash *ret,
		  struct sl_error *err)
{
	struct sl_buf row SL_AUTO_BUF = SL_BUF_INIT(ROW_MAX);
	int at = snprintf(name, SL_ROW_KEY_MAX, "%s", table->name);
	for (int i = 0; i < table->keys && at < SL_ROW_KEY_MAX; i++)
		at += snprintf(name + at, SL_ROW_KEY_MAX - (size_t)at, ":%s", sl_stmt_text(stmt, i));
	if (at >= SL_ROW_KEY_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "a row of %s has a key of more than %d bytes", table->name, SL_ROW_KEY_MAX);
	for (int i = 0; i < sl_stmt_columns(stmt); i++) {
		sl_buf_char(&row, i ? ',' : '[');
		add_value(&row, stmt, i);
	}
	sl_buf_char(&row, ']');
	int rc = sl_buf_check(&row, "a row", err);
	if (!rc)
		sl_sha256(row.data, row.len, ret);
	return rc;
}

/* ---- covering ------------------------------------------------------------------------------------------------------- */

/* "SELECT ... WHERE key1 = ?1 AND key2 = ?2"; the key's names are the first of the columns. */
static void select_one(const struct sl_ledger_table *table, char out[SQL_MAX])
{
	int n = snprintf(out, SQL_MAX, "SELECT %s FROM %s WHERE ", table->columns, table->name);
	const char *at = table->columns;
	for (int i = 0; i < table->keys; i++) {
		int len = (int)strcspn(at, ",");
		n += snprintf(out + n, (size_t)(SQL_MAX - n), "%s%.*s = ?%d", i ? " AND " : "", len, at, i + 1);
		assert(n < SQL_MAX);
		at += len + 2;
	}
}

/* The name of a row that is not there any more. */
static void name_key(const char *table, const char *types, va_list *args, char name[SL_ROW_KEY_MAX])
{
	int at = snprintf(name, SL_ROW_KEY_MAX, "%s", table);
	for (; *types && at < SL_ROW_KEY_MAX; types++)
		at += *types == 's' ? snprintf(name + at, SL_ROW_KEY_MAX - (size_t)at, ":%s", va_arg(*args, const char *))
				    : snprintf(name + at, SL_ROW_KEY_MAX - (size_t)at, ":%lld", (long long)va_arg(*args, int64_t));
}

static int put_row(yyjson_mut_doc *doc, yyjson_mut_val *detail, const char *name, const struct sl_hash *hash, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	yyjson_mut_val *rows = yyjson_mut_obj_get(detail, "covers");
	if (!rows)
		rows = yyjson_mut_obj_add_obj(doc, detail, "covers");
	yyjson_mut_val *key = yyjson_mut_strcpy(doc, name);
	yyjson_mut_val *value = hash ? yyjson_mut_strcpy(doc, sl_hash_hex(hash, hex)) : yyjson_mut_null(doc);
	return rows && key && value && yyjson_mut_obj_put(rows, key, value) ? 0 : sl_fail_memory(err);
}

int sl_ledger_cover(struct sl_ledger *ledger, yyjson_mut_doc *doc, yyjson_mut_val *detail, const char *table_name,
		    struct sl_error *err, const char *types, ...)
{
	const struct sl_ledger_table *table = find_table(table_name);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char sql[SQL_MAX], name[SL_ROW_KEY_MAX];
	struct sl_hash hash;
	va_list args, again;
	assert(table && (int)strlen(types) == table->keys);
	select_one(table, sql);
	va_start(args, types);
	va_copy(again, args);
	int rc = sl_meta_query_list(ledger->meta, &stmt, err, sql, types, &args);
	int there = rc ? rc : sl_stmt_step(stmt, err);
	if (there == 1)
		rc = sl_ledger_row(table, stmt, name, &hash, err);
	else
		name_key(table_name, types, &again, name);
	va_end(again);
	va_end(args);
	if (rc || there < 0)
		return rc ? rc : there;
	return put_row(doc, detail, name, there ? &hash : NULL, err);
}

int sl_ledger_rows(struct sl_meta *meta, const struct sl_ledger_table *table, struct sl_stmt **ret, struct sl_error *err)
{
	char sql[SQL_MAX];
	int n = snprintf(sql, sizeof sql, "SELECT %s FROM %s%s%s ORDER BY 1", table->columns, table->name, table->where ? " WHERE " : "",
			 table->where ? table->where : "");
	for (int i = 1; i < table->keys; i++)
		n += snprintf(sql + n, sizeof sql - (size_t)n, ", %d", i + 1);
	return sl_meta_query(meta, ret, err, sql, NULL);
}

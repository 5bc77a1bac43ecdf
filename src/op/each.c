#include "op/each.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "port/sql.h"

enum { ANSWER_BYTES_MAX = 16 << 20, TABLES_MAX = 64 };

/* A query on its way to its answer. */
struct asking {
	struct sl_call *call;
	struct sl_store *store;
	const struct sl_each_query *query;
	const char *tables[TABLES_MAX];
	struct sl_hash versions[TABLES_MAX];
	size_t count;
	char path[SL_PATH_MAX];
	yyjson_doc *before; /* the answer that was kept; NULL */
};

static const char *place(struct asking *a)
{
	const char *text = sl_arena_printf(a->call->arena, "sluice.yaml:%d:%d", a->query->mark.line, a->query->mark.column);
	return text ? text : "";
}

static int add_table(struct asking *a, const char *name, struct sl_error *err)
{
	if (a->count == TABLES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, place(a), "a query of 'each' reads at most %d datasets", TABLES_MAX);
	a->tables[a->count] = sl_arena_strdup(a->call->arena, name);
	return a->tables[a->count++] ? 0 : sl_fail_memory(err);
}

/* By the engine's parser, once for each text: later the answer tells. */
static int analyze(struct asking *a, struct sl_error *err)
{
	yyjson_mut_val *tables, *params, *table;
	size_t i, max;
	int rc = sl_sql_analyze(a->query->sql, place(a), a->call->doc, &tables, &params, err);
	if (rc)
		return rc;
	if (yyjson_mut_arr_size(params))
		return sl_fail_at(err, SL_E_INVALID, place(a), "a query of 'each' takes no parameters");
	yyjson_mut_arr_foreach(tables, i, max, table)
		rc = rc ? rc : add_table(a, yyjson_mut_get_str(table), err);
	return rc;
}

static int begin(struct asking *a, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(ANSWER_BYTES_MAX);
	int rc = sl_each_answer_path(a->store->project_dir, a->query->sql, a->path, err);
	if (rc || !sl_file_exists(a->path))
		return rc ? rc : analyze(a, err);
	yyjson_val *table;
	size_t i, max;
	rc = sl_file_read(a->path, &text, err);
	a->before = rc ? NULL : sl_json_parse(sl_buf_cstr(&text), text.len, a->path, err);
	if (!a->before)
		return rc ? rc : SL_E_CORRUPT;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(a->before), "tables"), i, max, table)
		rc = rc ? rc : add_table(a, yyjson_is_str(table) ? yyjson_get_str(table) : "", err);
	return rc;
}

/* The datasets' newest versions; 1: those of the answer that stands. */
static int find_versions(struct asking *a, struct sl_error *err)
{
	yyjson_val *kept = a->before ? yyjson_obj_get(yyjson_doc_get_root(a->before), "versions") : NULL;
	bool same = kept && yyjson_arr_size(kept) == a->count;
	for (size_t i = 0; i < a->count; i++) {
		struct sl_dataset_head head;
		char hex[SL_HASH_HEX + 1];
		int rc = sl_dataset_head(&a->store->track, a->tables[i], &head, err);
		if (rc) {
			sl_error_where(err, "%s", place(a));
			return rc;
		}
		a->versions[i] = head.hash;
		same = same && sl_str_eq(yyjson_get_str(yyjson_arr_get(kept, i)), sl_hash_hex(&head.hash, hex));
	}
	return same;
}

/* ---- the answer ----------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *item_of(yyjson_mut_doc *doc, const struct sl_sql_column *column, size_t row)
{
	switch (column->kind) {
	case SL_SQL_BOOL: return yyjson_mut_bool(doc, column->bools[row]);
	case SL_SQL_INT: return yyjson_mut_sint(doc, column->ints[row]);
	case SL_SQL_DOUBLE: return yyjson_mut_real(doc, column->doubles[row]);
	case SL_SQL_TEXT: return yyjson_mut_strncpy(doc, column->texts[row].data, column->texts[row].len);
	case SL_SQL_TIME: break;
	}
	return NULL;
}

static int collect(struct asking *a, struct sl_sql_result *rows, yyjson_mut_doc *doc, yyjson_mut_val *items, struct sl_error *err)
{
	const struct sl_sql_column *columns;
	size_t in_chunk;
	int rc;
	if (sl_sql_columns(rows) != 1)
		return sl_fail_at(err, SL_E_INVALID, place(a), "a query of 'each' gives one column, and this one gives %zu", sl_sql_columns(rows));
	if (sl_sql_column_kind(rows, 0) == SL_SQL_TIME) {
		sl_fail_at(err, SL_E_INVALID, place(a), "a time is no item of 'each'");
		return sl_error_hint(err, "make it a text: strftime(%s, '%%Y-%%m-%%d')", sl_sql_column_name(rows, 0));
	}
	while ((rc = sl_sql_next(rows, &columns, &in_chunk, err)) == 1)
		for (size_t row = 0; row < in_chunk; row++) {
			if (columns[0].valid && !columns[0].valid[row])
				return sl_fail_at(err, SL_E_INVALID, place(a), "the query of 'each' gives a null");
			if (yyjson_mut_arr_size(items) == SL_EACH_MAX)
				return sl_fail_at(err, SL_E_TOO_LARGE, place(a), "the query of 'each' gives more than %d rows", SL_EACH_MAX);
			if (!yyjson_mut_arr_append(items, item_of(doc, &columns[0], row)))
				return sl_fail_memory(err);
		}
	return rc;
}

static int query(struct asking *a, yyjson_mut_doc *doc, yyjson_mut_val *items, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *rows = NULL;
	struct sl_sql_table *tables = sl_arena_array(a->call->arena, a->count + 1, sizeof *tables);
	int rc = tables ? 0 : sl_fail_memory(err);
	for (size_t i = 0; !rc && i < a->count; i++)
		rc = sl_dataset_table(a->store->objects, a->tables[i], &a->versions[i], a->call->arena, &tables[i], err);
	const struct sl_sql_options options = {.tables = tables, .table_count = a->count, .cancel = a->call->cancel};
	rc = rc ? rc : sl_sql_open(&options, &sql, err);
	rc = rc ? rc : sl_sql_query(sql, a->query->sql, NULL, 0, place(a), &rows, err);
	return rc ? rc : collect(a, rows, doc, items, err);
}

static int keep_answer(struct asking *a, yyjson_mut_doc *doc, yyjson_mut_val *items, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(ANSWER_BYTES_MAX);
	char dir[SL_PATH_MAX];
	yyjson_mut_val *root = yyjson_mut_obj(doc), *tables, *versions;
	bool ok = root && yyjson_mut_obj_add_val(doc, root, "items", items) && (tables = yyjson_mut_obj_add_arr(doc, root, "tables")) &&
		  (versions = yyjson_mut_obj_add_arr(doc, root, "versions"));
	for (size_t i = 0; ok && i < a->count; i++) {
		char hex[SL_HASH_HEX + 1];
		ok = yyjson_mut_arr_add_str(doc, tables, a->tables[i]) && yyjson_mut_arr_add_strcpy(doc, versions, sl_hash_hex(&a->versions[i], hex));
	}
	int rc = ok ? sl_json_mut_canonical(root, &text, err) : sl_fail_memory(err);
	rc = rc ? rc : sl_path_join(dir, a->store->dir, "each", err);
	rc = rc ? rc : sl_dir_make(dir, err);
	return rc ? rc : sl_file_replace(a->path, sl_buf_cstr(&text), text.len, 0644, err);
}

static int ask(struct asking *a, bool *ret_changed, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf before = SL_BUF_INIT(ANSWER_BYTES_MAX), now = SL_BUF_INIT(ANSWER_BYTES_MAX);
	yyjson_mut_val *items = doc ? yyjson_mut_arr(doc) : NULL;
	int rc = find_versions(a, err);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = items ? query(a, doc, items, err) : sl_fail_memory(err);
	rc = rc ? rc : sl_json_mut_canonical(items, &now, err);
	if (!rc && a->before)
		rc = sl_json_canonical(yyjson_obj_get(yyjson_doc_get_root(a->before), "items"), &before, err);
	*ret_changed |= !rc && (!a->before || before.len != now.len || memcmp(before.data, now.data, now.len) != 0);
	return rc ? rc : keep_answer(a, doc, items, err);
}

/* ---- around the queries --------------------------------------------------------------------------------------------- */

/* Whether the run would look at the step at all. */
static int is_needed(struct asking *a, struct sl_project *project, const struct sl_flow_options *options, bool *ret, struct sl_error *err)
{
	struct sl_flow_options preview = {.names = options->names, .name_count = options->name_count, .preview = true};
	struct sl_flow_report report = {0};
	*ret = !options->name_count;
	int rc = *ret ? 0 : sl_flow_run(a->store, project, &preview, &report, err);
	for (size_t i = 0; i < report.count; i++) {
		const struct sl_step *step = sl_project_step(project, report.nodes[i].name);
		*ret |= step && sl_str_eq(step->of, a->query->step);
	}
	sl_flow_report_done(&report);
	return rc;
}

static int settle_one(struct asking *a, struct sl_project *project, const struct sl_flow_options *options, bool *ret_changed, struct sl_error *err)
{
	struct sl_flow_options first = *options;
	struct sl_flow_report report = {0};
	bool needed;
	int rc = is_needed(a, project, options, &needed, err);
	if (rc || !needed)
		return rc;
	rc = begin(a, err);
	first.names = a->tables;
	first.name_count = a->count;
	first.force = first.repeat = false;
	rc = rc || !a->count ? rc : sl_flow_run(a->store, project, &first, &report, err);
	sl_flow_report_done(&report);
	if (rc == SL_E_NOT_FOUND || rc == SL_E_INVALID)
		sl_error_where(err, "%s", place(a));
	return rc ? rc : ask(a, ret_changed, err);
}

int sl_each_settle(struct sl_call *call, struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options, bool *ret_changed,
	struct sl_error *err)
{
	int rc = 0;
	*ret_changed = false;
	for (size_t i = 0; !rc && !*ret_changed && i < project->each_query_count; i++) {
		struct asking a = {.call = call, .store = store, .query = &project->each_queries[i]};
		rc = settle_one(&a, project, options, ret_changed, err);
		yyjson_doc_free(a.before);
	}
	return rc;
}

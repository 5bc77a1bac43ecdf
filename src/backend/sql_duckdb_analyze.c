/* What a statement reads, from DuckDB's own syntax tree (json_serialize_sql): no parser of ours, and no guess by words.
 * duckdb_get_table_names was tried first: it gives nothing for a statement with parameters.
 */
#include "backend/sql_duckdb.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { TEXT_MAX = 1 << 20, NAME_LEN_MAX = 1024 };

/* One small database without any data parses for the whole process: opening another for each statement would cost 10 ms. */
static int parser(const struct sl_duckdb *lib, duckdb_connection *ret, struct sl_error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static duckdb_database db;
	duckdb_config config = NULL;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!db && (lib->create_config(&config) != DuckDBSuccess || lib->set_config(config, "threads", "1") != DuckDBSuccess
		    || lib->set_config(config, "enable_external_access", "false") != DuckDBSuccess
		    || lib->open_ext(NULL, &db, config, NULL) != DuckDBSuccess)) {
		db = NULL;
		rc = sl_fail(err, SL_E_NO_MEMORY, "the SQL engine does not start");
	}
	if (config)
		lib->destroy_config(&config);
	if (rc == 0 && lib->connect(db, ret) != DuckDBSuccess)
		rc = sl_fail_memory(err);
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Copies the one text value of the result's first row. */
static void first_text(const struct sl_duckdb *lib, duckdb_result result, struct sl_buf *out)
{
	duckdb_data_chunk chunk = lib->fetch_chunk(result);

	if (chunk && lib->data_chunk_get_size(chunk)) {
		const duckdb_string_t *text = lib->vector_get_data(lib->data_chunk_get_vector(chunk, 0));
		uint32_t len = text->value.inlined.length;
		sl_buf_add(out, len <= sizeof text->value.inlined.inlined ? text->value.inlined.inlined : text->value.pointer.ptr,
			   len);
	}
	if (chunk)
		lib->destroy_data_chunk(&chunk);
}

static int serialize(const char *text, struct sl_buf *out, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf query = SL_BUF_INIT(2 * TEXT_MAX + 64);
	const struct sl_duckdb *lib = sl_duckdb(err);
	duckdb_connection connection;
	duckdb_result result;

	if (!lib)
		return SL_E_NO_LIBRARY;
	sl_buf_str(&query, "SELECT json_serialize_sql(");
	sl_sql_quote_text(&query, text);
	sl_buf_char(&query, ')');
	int rc = sl_buf_check(&query, "the statement", err);
	if (rc < 0 || (rc = parser(lib, &connection, err)) < 0)
		return rc;
	if (lib->query(connection, sl_buf_cstr(&query), &result) != DuckDBSuccess)
		rc = sl_fail(err, SL_E_INVALID, "%s", lib->result_error(&result));
	else
		first_text(lib, result, out);
	lib->destroy_result(&result);
	lib->disconnect(&connection);
	return rc < 0 ? rc : sl_buf_check(out, "the statement's syntax tree", err);
}

static int refuse(yyjson_val *root, const char *text, const char *where, struct sl_error *err)
{
	const char *position = sl_json_str(root, "position", NULL);

	if (strcmp(sl_json_str(root, "error_type", ""), "not implemented") == 0) {
		sl_fail_at(err, SL_E_INVALID, where, "only a SELECT may stand here");
		return sl_error_hint(err,
			"the step's name is the table that it makes: write the SELECT alone, without CREATE, INSERT, COPY "
			"or SET; PIVOT needs its values listed: ON column IN (...)");
	}
	sl_fail(err, SL_E_INVALID, "%s", sl_json_str(root, "error_message", "the statement cannot be parsed"));
	if (!position)
		return sl_error_where(err, "%s", where);
	/* The parser counts characters, not bytes. */
	size_t characters = strtoull(position, NULL, 10), byte = 0;
	while (text[byte] && (((unsigned char)text[byte] & 0xC0) == 0x80 || characters-- > 0))
		byte++;
	sl_duckdb_place(err, where, text, byte);
	return SL_E_INVALID;
}

int sl_duckdb_tree(const char *text, const char *where, yyjson_doc **ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf json = SL_BUF_INIT((size_t)256 * TEXT_MAX);
	size_t len = strlen(text);
	int rc;

	if (len > TEXT_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, where, "the statement has more than 1 MiB");
	if (!sl_utf8_valid(text, len))
		return sl_fail_at(err, SL_E_INVALID, where, "the statement is not UTF-8");
	if ((rc = serialize(text, &json, err)) < 0)
		return rc;
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(sl_buf_cstr(&json), json.len, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!doc)
		return sl_fail_at(err, SL_E_BUG, where, "the SQL engine's syntax tree cannot be read");
	if (sl_json_bool(root, "error", false))
		return refuse(root, text, where, err);
	size_t count = yyjson_arr_size(yyjson_obj_get(root, "statements"));
	if (count == 0)
		return sl_fail_at(err, SL_E_INVALID, where, "there is no statement in it");
	if (count > 1)
		return sl_fail_at(err, SL_E_INVALID, where, "there are %zu statements where one SELECT belongs", count);
	*ret = SL_TAKE(doc);
	return 0;
}

int sl_sql_tree(const char *text, const char *where, yyjson_doc **ret, struct sl_error *err) { return sl_duckdb_tree(text, where, ret, err); }

/* ---- walking the tree --------------------------------------------------------------------------------------------------- */

/* Names that WITH gives, innermost first; they live on the walk's own stack. */
struct scope {
	const struct scope *outer;
	const char *name;
};

struct walk {
	yyjson_mut_doc *doc;
	yyjson_mut_val *tables, *params;
	const char *text, *where;
	struct sl_error *err;
};

static int walk(struct walk *w, yyjson_val *value, const struct scope *scope);

static bool in_scope(const struct scope *scope, const char *name)
{
	for (; scope; scope = scope->outer)
		if (strcasecmp(scope->name, name) == 0)
			return true;
	return false;
}

static int add_once(struct walk *w, yyjson_mut_val *list, const char *name)
{
	yyjson_mut_val *item;
	size_t i, count;

	yyjson_mut_arr_foreach(list, i, count, item)
		if (strcmp(yyjson_mut_get_str(item), name) == 0)
			return 0;
	return yyjson_mut_arr_add_strcpy(w->doc, list, name) ? 0 : sl_fail_memory(w->err);
}

static int found_table(struct walk *w, yyjson_val *node, const struct scope *scope)
{
	const char *catalog = sl_json_str(node, "catalog_name", ""), *schema = sl_json_str(node, "schema_name", "");
	const char *table = sl_json_str(node, "table_name", "");
	char name[NAME_LEN_MAX];

	if (!*catalog && !*schema && in_scope(scope, table))
		return 0;
	int len = snprintf(name, sizeof name, "%s%s%s%s%s", catalog, *catalog ? "." : "", schema, *schema ? "." : "", table);
	if (len >= (int)sizeof name)
		return sl_fail_at(w->err, SL_E_TOO_LARGE, w->where, "a table's name is longer than %d bytes", NAME_LEN_MAX);
	return add_once(w, w->tables, name);
}

static int found_param(struct walk *w, const char *name)
{
	if (isdigit((unsigned char)*name)) {
		sl_fail_at(w->err, SL_E_INVALID, w->where, "a parameter without a name");
		return sl_error_hint(w->err, "write $name instead of ? or $1");
	}
	return add_once(w, w->params, name);
}

/* A query node: its WITH names come one after the other, each seeing those before it (and itself when recursive), and the rest
 * sees all of them. Recursion stands in for a list of scopes, so that each lives exactly as long as it is seen. */
static int walk_node(struct walk *w, yyjson_val *node, yyjson_arr_iter *ctes, const struct scope *scope)
{
	yyjson_val *cte = ctes ? yyjson_arr_iter_next(ctes) : NULL;
	yyjson_obj_iter iter;
	yyjson_val *key;
	int rc;

	if (cte) {
		const struct scope inner = {.outer = scope, .name = sl_json_str(cte, "key", "")};
		if ((rc = walk(w, yyjson_obj_get(cte, "value"), scope)) < 0)
			return rc;
		return walk_node(w, node, ctes, &inner);
	}
	yyjson_obj_iter_init(node, &iter);
	while ((key = yyjson_obj_iter_next(&iter)))
		if (strcmp(yyjson_get_str(key), "cte_map") != 0 && (rc = walk(w, yyjson_obj_iter_get_val(key), scope)) < 0)
			return rc;
	return 0;
}

static int walk_object(struct walk *w, yyjson_val *object, const struct scope *scope)
{
	const char *type = sl_json_str(object, "type", "");
	yyjson_val *ctes = yyjson_obj_get(yyjson_obj_get(object, "cte_map"), "map");
	struct scope self = {.outer = scope};
	yyjson_arr_iter iter;
	int rc = 0;

	if (strcmp(type, "BASE_TABLE") == 0)
		rc = found_table(w, object, scope);
	else if (strcmp(type, "VALUE_PARAMETER") == 0)
		rc = found_param(w, sl_json_str(object, "identifier", ""));
	if (rc < 0)
		return rc;
	if (strcmp(type, "RECURSIVE_CTE_NODE") == 0) {
		self.name = sl_json_str(object, "cte_name", "");
		scope = &self;
	}
	bool has = ctes && yyjson_arr_iter_init(ctes, &iter);
	return walk_node(w, object, has ? &iter : NULL, scope);
}

/* As deep as the tree: DuckDB refuses expressions deeper than 1,000. */
static int walk(struct walk *w, yyjson_val *value, const struct scope *scope)
{
	yyjson_val *item;
	size_t i, count;
	int rc;

	if (yyjson_is_obj(value))
		return walk_object(w, value, scope);
	yyjson_arr_foreach(value, i, count, item)
		if ((rc = walk(w, item, scope)) < 0)
			return rc;
	return 0;
}

int sl_sql_analyze(const char *text, const char *where, yyjson_mut_doc *doc, yyjson_mut_val **ret_tables,
		   yyjson_mut_val **ret_params, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *tree = NULL;
	int rc = sl_duckdb_tree(text, where, &tree, err);

	if (rc < 0)
		return rc;
	struct walk w = {.doc = doc,
			 .tables = yyjson_mut_arr(doc),
			 .params = yyjson_mut_arr(doc),
			 .text = text,
			 .where = where,
			 .err = err};
	if (!w.tables || !w.params)
		return sl_fail_memory(err);
	if ((rc = walk(&w, yyjson_obj_get(yyjson_doc_get_root(tree), "statements"), NULL)) < 0)
		return rc;
	*ret_tables = w.tables;
	*ret_params = w.params;
	return 0;
}

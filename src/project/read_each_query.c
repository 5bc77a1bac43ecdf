/* `each: {name: {query: SQL}}`: the answer that was kept. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "os/file.h"
#include "project/shape.h"

enum { ANSWER_BYTES_MAX = 16 << 20 };

static const struct sl_row QUERY_ROWS[] = {
	{"query", SL_ROW_TEXT, offsetof(struct sl_each, query), .required = true, .about = "SELECT of one column over datasets, or a .sql file: one instance per row"}};
static const struct sl_shape QUERY_SHAPE = SL_SHAPE("the query of 'each'", QUERY_ROWS);

int sl_each_answer_path(const char *project_dir, const char *sql, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1], name[SL_HASH_HEX + 32];
	sl_sha256(sql, strlen(sql), &hash);
	snprintf(name, sizeof name, ".sluice/each/%s.json", sl_hash_hex(&hash, hex));
	return sl_path_join(out, project_dir, name, err);
}

/* A value as the project file would have it. */
static int item_node(struct sl_loader *loader, yyjson_val *item, struct sl_mark mark, const struct sl_yaml **ret)
{
	struct sl_yaml *node = sl_arena_alloc(loader->arena, sizeof *node);
	char number[40];
	if (yyjson_is_bool(item))
		snprintf(number, sizeof number, "%s", yyjson_get_bool(item) ? "true" : "false");
	else if (yyjson_is_int(item))
		snprintf(number, sizeof number, "%lld", (long long)yyjson_get_sint(item));
	else
		snprintf(number, sizeof number, "%.17g", yyjson_get_num(item));
	const char *text = node ? sl_arena_strdup(loader->arena, yyjson_is_str(item) ? yyjson_get_str(item) : number) : NULL;
	if (!text)
		return sl_load_memory(loader);
	*node = (struct sl_yaml){.kind = SL_YAML_SCALAR, .mark = mark, .plain = !yyjson_is_str(item), .text = text};
	*ret = node;
	return 0;
}

/* What a query is called while nobody has asked it. */
static int stand_in(struct sl_loader *loader, struct sl_mark mark, const struct sl_yaml **ret)
{
	struct sl_yaml *node = sl_arena_alloc(loader->arena, sizeof *node);
	if (!node)
		return sl_load_memory(loader);
	*node = (struct sl_yaml){.kind = SL_YAML_SCALAR, .mark = mark, .text = "unknown"};
	*ret = node;
	return 0;
}

static int read_answer(struct sl_loader *loader, const struct sl_yaml *node, const char *path, const struct sl_yaml ***ret, size_t *ret_count, struct sl_each *each)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(ANSWER_BYTES_MAX);
	int rc = sl_file_exists(path) ? sl_file_read(path, &text, loader->err) : 0;
	SL_AUTO_JSON yyjson_doc *doc = rc || !text.len ? NULL : sl_json_parse(sl_buf_cstr(&text), text.len, path, loader->err);
	yyjson_val *items = yyjson_obj_get(yyjson_doc_get_root(doc), "items"), *item;
	size_t i, max;
	if (rc || (text.len && !doc))
		return rc ? rc : SL_E_CORRUPT;
	each->unasked = !doc;
	if (yyjson_arr_size(items) > SL_EACH_MAX)
		return sl_load_fail(loader, node->mark, SL_E_TOO_LARGE, "the query of 'each' gives more than %d rows", SL_EACH_MAX);
	*ret = sl_arena_array(loader->arena, yyjson_arr_size(items) + 1, sizeof **ret);
	if (!*ret)
		return sl_load_memory(loader);
	if (!doc)
		return stand_in(loader, node->mark, &(*ret)[(*ret_count)++]);
	yyjson_arr_foreach(items, i, max, item)
		rc = rc ? rc : item_node(loader, item, node->mark, &(*ret)[(*ret_count)++]);
	return rc;
}

int sl_read_each_query(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_yaml ***ret, size_t *ret_count, struct sl_each *each)
{
	char path[SL_PATH_MAX];
	*ret_count = 0;
	int rc = sl_shape_read(loader, &QUERY_SHAPE, node, each);
	if (!rc && sl_str_ends(each->query, ".sql"))
		rc = sl_load_sql_file(loader, each->query, node->mark, &each->query);
	rc = rc ? rc : sl_each_answer_path(loader->project->dir, each->query, path, loader->err);
	return rc ? rc : read_answer(loader, node, path, ret, ret_count, each);
}

/* Manifests: one table's columns and files as canonical JSON, named by its hash. */
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "data/tree.h"
#include "data/dataset.h"

static const char FORMAT[] = "sluice.table/1";

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *columns_json(yyjson_mut_doc *doc, const struct sl_data_column *columns, size_t count)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc);

	for (size_t i = 0; i < count; i++) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
		yyjson_mut_obj_add_str(doc, item, "name", columns[i].name);
		if (!yyjson_mut_obj_add_str(doc, item, "type", columns[i].type))
			return NULL;
	}
	return list;
}

static yyjson_mut_val *manifest_json(yyjson_mut_doc *doc, const struct sl_manifest *manifest)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *files = yyjson_mut_arr(doc);
	yyjson_mut_val *columns = columns_json(doc, manifest->columns, manifest->column_count);
	char hex[SL_HASH_HEX + 1];

	for (size_t i = 0; i < manifest->file_count; i++) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, files);
		yyjson_mut_obj_add_strcpy(doc, item, "object", sl_hash_hex(&manifest->files[i].object, hex));
		yyjson_mut_obj_add_uint(doc, item, "rows", manifest->files[i].rows);
		if (!yyjson_mut_obj_add_uint(doc, item, "size", manifest->files[i].size_bytes))
			return NULL;
	}
	if (!columns || !yyjson_mut_obj_add_val(doc, root, "columns", columns)
	    || !yyjson_mut_obj_add_val(doc, root, "files", files) || !yyjson_mut_obj_add_str(doc, root, "format", FORMAT)
	    || !yyjson_mut_obj_add_uint(doc, root, "rows", manifest->rows))
		return NULL;
	return root;
}

int sl_manifest_put(struct sl_objects *objects, const struct sl_manifest *manifest, struct sl_hash *ret, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
	yyjson_mut_val *root = doc ? manifest_json(doc, manifest) : NULL;

	if (!root)
		return sl_fail_memory(err);
	int rc = sl_json_mut_canonical(root, &bytes, err);
	return rc < 0 ? rc : sl_objects_put(objects, bytes.data, bytes.len, ret, err);
}

/* Copies the columns into the arena, so that a manifest outlives what it was made from. */
static struct sl_data_column *copy_columns(struct sl_arena *arena, const struct sl_data_column *columns, size_t count)
{
	struct sl_data_column *out = sl_arena_array(arena, count, sizeof *out);

	for (size_t i = 0; out && i < count; i++) {
		out[i].name = sl_arena_strdup(arena, columns[i].name);
		out[i].type = sl_arena_strdup(arena, columns[i].type);
		if (!out[i].name || !out[i].type)
			return NULL;
	}
	return out;
}

static int keep_file(struct sl_objects *objects, const struct sl_staged_file *staged, enum sl_put_how how,
		     struct sl_data_file *ret, struct sl_error *err)
{
	*ret = (struct sl_data_file){.rows = staged->rows, .object = staged->object, .size_bytes = staged->size_bytes};
	if (staged->kept && sl_objects_has(objects, &staged->object))
		return 0;
	return sl_objects_put_file(objects, staged->path, staged->kept ? SL_PUT_COPY : how, &ret->object, &ret->size_bytes, err);
}

int sl_manifest_keep(struct sl_objects *objects, const struct sl_staged *staged, enum sl_put_how how, struct sl_arena *arena,
		     struct sl_hash *ret, struct sl_manifest *ret_manifest, struct sl_error *err)
{
	struct sl_manifest manifest = {.column_count = staged->column_count};

	manifest.columns = copy_columns(arena, staged->columns, staged->column_count);
	manifest.files = sl_arena_array(arena, staged->file_count, sizeof *manifest.files);
	if (!manifest.columns || (staged->file_count && !manifest.files))
		return sl_fail_memory(err);
	for (size_t i = 0; i < staged->file_count; i++)
		manifest.rows += staged->files[i].rows;
	for (size_t i = 0; i < staged->file_count; i++) {
		struct sl_data_file *file = &manifest.files[manifest.file_count];
		if (!staged->files[i].rows && !(i == 0 && manifest.rows == 0))
			continue;
		int rc = keep_file(objects, &staged->files[i], how, file, err);
		if (rc < 0)
			return rc;
		manifest.size_bytes += file->size_bytes;
		manifest.file_count++;
	}
	if (ret_manifest)
		*ret_manifest = manifest;
	return sl_manifest_put(objects, &manifest, ret, err);
}

int sl_manifest_make(struct sl_objects *objects, const char *const *parquet_paths, size_t count, enum sl_put_how how,
		     struct sl_hash *ret, struct sl_manifest *ret_manifest, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_staged staged;
	int rc = sl_staged_inspect(parquet_paths, NULL, count, arena, &staged, err);

	return rc < 0 ? rc : sl_manifest_keep(objects, &staged, how, arena, ret, ret_manifest, err);
}

yyjson_mut_val *sl_staged_json(yyjson_mut_doc *doc, const struct sl_staged *staged)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *files = yyjson_mut_arr(doc);
	yyjson_mut_val *columns = columns_json(doc, staged->columns, staged->column_count);

	for (size_t i = 0; i < staged->file_count; i++) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, files);
		yyjson_mut_obj_add_strcpy(doc, item, "path", staged->files[i].path);
		if (staged->files[i].kept) {
			char hex[SL_HASH_HEX + 1];
			yyjson_mut_obj_add_strcpy(doc, item, "object", sl_hash_hex(&staged->files[i].object, hex));
			yyjson_mut_obj_add_uint(doc, item, "size", staged->files[i].size_bytes);
		}
		if (!yyjson_mut_obj_add_uint(doc, item, "rows", staged->files[i].rows))
			return NULL;
	}
	if (!columns || !yyjson_mut_obj_add_val(doc, root, "columns", columns)
	    || !yyjson_mut_obj_add_val(doc, root, "files", files))
		return NULL;
	return root;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static int bad(struct sl_error *err, const char *what)
{
	return sl_fail(err, SL_E_CORRUPT, "not a manifest of %s: %s", FORMAT, what);
}

static bool text_ok(yyjson_val *value)
{
	return yyjson_is_str(value) && yyjson_get_len(value) > 0 && strlen(yyjson_get_str(value)) == yyjson_get_len(value);
}

/* A column's name occurs once. */
static int check_twins(const struct sl_data_column *columns, size_t count, struct sl_error *err)
{
	SL_CLEANUP(sl_map_freep) struct sl_map *seen = sl_map_new(err);
	static char mark;

	if (!seen)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		void *old = NULL;
		if (sl_map_set(seen, columns[i].name, &mark, &old, err) < 0)
			return SL_E_NO_MEMORY;
		if (old)
			return bad(err, "a column's name comes twice");
	}
	return 0;
}

static int parse_columns(yyjson_val *list, struct sl_arena *arena, struct sl_data_column **ret, size_t *ret_count,
			 struct sl_error *err)
{
	size_t count = yyjson_arr_size(list), i, max;
	yyjson_val *item;

	if (!count || count > SL_DATA_COLUMNS_MAX)
		return bad(err, "columns must be a list of 1 to 100,000");
	struct sl_data_column *columns = sl_arena_array(arena, count, sizeof *columns);
	if (!columns)
		return sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item) {
		yyjson_val *name = yyjson_obj_get(item, "name"), *type = yyjson_obj_get(item, "type");
		if (!text_ok(name) || !text_ok(type))
			return bad(err, "a column needs a name and a type");
		columns[i].name = sl_arena_strdup(arena, yyjson_get_str(name));
		columns[i].type = sl_arena_strdup(arena, yyjson_get_str(type));
		if (!columns[i].name || !columns[i].type)
			return sl_fail_memory(err);
	}
	*ret = columns;
	*ret_count = count;
	return check_twins(columns, count, err);
}

static int parse_files(yyjson_val *list, struct sl_arena *arena, struct sl_manifest *ret, struct sl_error *err)
{
	size_t count = yyjson_arr_size(list), i, max;
	yyjson_val *item;

	if (!yyjson_is_arr(list) || count > SL_DATA_FILES_MAX)
		return bad(err, "files must be a list of at most 4,000,000");
	ret->files = sl_arena_array(arena, count, sizeof *ret->files);
	if (count && !ret->files)
		return sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item) {
		struct sl_data_file *file = &ret->files[i];
		yyjson_val *rows = yyjson_obj_get(item, "rows"), *size = yyjson_obj_get(item, "size");
		if (!sl_hash_parse(sl_json_str(item, "object", ""), &file->object) || !yyjson_is_uint(rows)
		    || !yyjson_is_uint(size))
			return bad(err, "a file needs object, rows and size");
		file->rows = yyjson_get_uint(rows);
		file->size_bytes = yyjson_get_uint(size);
		if (__builtin_add_overflow(ret->rows, file->rows, &ret->rows) || ret->rows > INT64_MAX
		    || __builtin_add_overflow(ret->size_bytes, file->size_bytes, &ret->size_bytes) || ret->size_bytes > INT64_MAX)
			return bad(err, "rows or sizes too large to be true");
	}
	ret->file_count = count;
	return 0;
}

int sl_manifest_parse(const char *json, size_t len, struct sl_arena *arena, struct sl_manifest *ret, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(json, len, "manifest", err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	int rc;

	*ret = (struct sl_manifest){0};
	if (!doc) {
		if (err && err->code == SL_E_INVALID)
			err->code = SL_E_CORRUPT;
		return err ? err->code : SL_E_CORRUPT;
	}
	if (!sl_str_eq(sl_json_str(root, "format", NULL), FORMAT))
		return bad(err, "the format is another");
	if ((rc = parse_columns(yyjson_obj_get(root, "columns"), arena, &ret->columns, &ret->column_count, err)) < 0
	    || (rc = parse_files(yyjson_obj_get(root, "files"), arena, ret, err)) < 0)
		return rc;
	if (!yyjson_is_uint(yyjson_obj_get(root, "rows")) || yyjson_get_uint(yyjson_obj_get(root, "rows")) != ret->rows)
		return bad(err, "rows is not the sum of its files' rows");
	return 0;
}

int sl_manifest_read(struct sl_objects *objects, const struct sl_hash *hash, struct sl_arena *arena, struct sl_manifest *ret,
		     struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf bytes = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
	char hex[SL_HASH_HEX + 1];
	int rc = sl_objects_get(objects, hash, &bytes, err);

	if (rc < 0)
		return rc;
	if (sl_str_starts(sl_buf_cstr(&bytes), SL_TREE_MAGIC)) {
		sl_fail(err, SL_E_INVALID, "it is a dataset of plain files, not a table");
		return sl_error_hint(err, "`sluice get` puts its files into a folder; a step with `run:` reads them");
	}
	rc = sl_manifest_parse(sl_buf_cstr(&bytes), bytes.len, arena, ret, err);
	return rc < 0 ? sl_error_context(err, "object %.12s", sl_hash_hex(hash, hex)) : 0;
}

int sl_staged_parse(yyjson_val *value, struct sl_arena *arena, struct sl_staged *ret, struct sl_error *err)
{
	yyjson_val *list = yyjson_obj_get(value, "files"), *item;
	size_t count = yyjson_arr_size(list), i, max;

	*ret = (struct sl_staged){0};
	int rc = parse_columns(yyjson_obj_get(value, "columns"), arena, &ret->columns, &ret->column_count, err);
	if (rc < 0)
		return rc;
	ret->files = sl_arena_array(arena, count, sizeof *ret->files);
	if (count && !ret->files)
		return sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item) {
		int64_t rows = sl_json_int(item, "rows", -1);
		const char *path = sl_json_str(item, "path", "");
		if (rows < 0 || !*path)
			return bad(err, "a staged file needs path and rows");
		ret->files[i] = (struct sl_staged_file){.path = sl_arena_strdup(arena, path), .rows = (uint64_t)rows};
		ret->files[i].kept = sl_hash_parse(sl_json_str(item, "object", ""), &ret->files[i].object);
		ret->files[i].size_bytes = (uint64_t)sl_json_int(item, "size", 0);
		if (!ret->files[i].path)
			return sl_fail_memory(err);
	}
	ret->file_count = count;
	return 0;
}

int sl_dataset_table(struct sl_objects *objects, const char *name, const struct sl_hash *hash, struct sl_arena *arena,
		     struct sl_sql_table *ret, struct sl_error *err)
{
	struct sl_manifest manifest;
	char path[SL_PATH_MAX];
	int rc = sl_manifest_read(objects, hash, arena, &manifest, err);

	if (rc < 0)
		return rc;
	const char **paths = sl_arena_array(arena, manifest.file_count, sizeof *paths);
	*ret = (struct sl_sql_table){.name = sl_arena_strdup(arena, name), .paths = paths, .path_count = manifest.file_count};
	if ((manifest.file_count && !paths) || !ret->name)
		return sl_fail_memory(err);
	for (size_t i = 0; i < manifest.file_count; i++) {
		if ((rc = sl_objects_path(objects, &manifest.files[i].object, path, err)) < 0)
			return sl_error_context(err, "dataset '%s'", name);
		if (!(paths[i] = sl_arena_strdup(arena, path)))
			return sl_fail_memory(err);
	}
	if (manifest.file_count)
		return 0;
	SL_AUTO_BUF struct sl_buf columns = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
	for (size_t i = 0; i < manifest.column_count; i++) {
		sl_buf_str(&columns, i ? ", " : "");
		sl_sql_quote_name(&columns, manifest.columns[i].name);
		sl_buf_printf(&columns, " %s", manifest.columns[i].type);
	}
	ret->columns = sl_arena_strdup(arena, sl_buf_cstr(&columns));
	return ret->columns ? 0 : sl_fail_memory(err);
}

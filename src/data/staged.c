/* Looking into Parquet files that became ours, or want to: columns and rows, before anything is kept. */
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"

enum { TEXT_MAX = 1 << 20 };

static int read_columns(struct sl_sql *sql, const char *path, struct sl_arena *arena, struct sl_data_column **ret,
			size_t *ret_count, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(TEXT_MAX);

	sl_buf_str(&text, "FROM read_parquet(");
	sl_sql_quote_text(&text, path);
	sl_buf_str(&text, ", hive_partitioning = false) LIMIT 0");
	int rc = sl_buf_check(&text, "a path", err);
	if (rc < 0 || (rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, "", &result, err)) < 0)
		return rc;
	size_t count = sl_sql_columns(result);
	struct sl_data_column *columns = sl_arena_array(arena, count, sizeof *columns);
	if (!columns)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		columns[i].name = sl_arena_strdup(arena, sl_sql_column_name(result, i));
		columns[i].type = sl_arena_strdup(arena, sl_sql_column_type(result, i));
		if (!columns[i].name || !columns[i].type)
			return sl_fail_memory(err);
	}
	*ret = columns;
	*ret_count = count;
	return 0;
}

static int read_rows(struct sl_sql *sql, const char *path, uint64_t *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(TEXT_MAX);
	const struct sl_sql_column *columns;
	size_t rows;

	sl_buf_str(&text, "SELECT num_rows FROM parquet_file_metadata(");
	sl_sql_quote_text(&text, path);
	sl_buf_char(&text, ')');
	int rc = sl_buf_check(&text, "a path", err);
	if (rc < 0 || (rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, "", &result, err)) < 0
	    || (rc = sl_sql_next(result, &columns, &rows, err)) < 0)
		return rc;
	if (rc == 0 || columns[0].ints[0] < 0)
		return sl_fail(err, SL_E_FAILED, "the footer gives no number of rows");
	*ret = (uint64_t)columns[0].ints[0];
	return 0;
}

static const struct sl_data_column *find_column(const struct sl_data_column *columns, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(columns[i].name, name) == 0)
			return &columns[i];
	return NULL;
}

/* All files of a table have the same columns in the same order; says the first difference. */
static int compare_columns(const struct sl_staged *first, const struct sl_data_column *columns, size_t count,
			   const char *first_name, const char *name, struct sl_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct sl_data_column *other = find_column(first->columns, first->column_count, columns[i].name);
		if (!other)
			return sl_fail_at(err, SL_E_FAILED, name, "column '%s' is not in %s", columns[i].name, first_name);
		if (strcmp(other->type, columns[i].type) != 0)
			return sl_fail_at(err, SL_E_FAILED, name, "column '%s' is %s, and %s in %s", columns[i].name,
					  columns[i].type, other->type, first_name);
	}
	for (size_t i = 0; i < first->column_count; i++) {
		if (!find_column(columns, count, first->columns[i].name))
			return sl_fail_at(err, SL_E_FAILED, name, "there is no column '%s', as there is in %s",
					  first->columns[i].name, first_name);
		if (strcmp(columns[i].name, first->columns[i].name) != 0)
			return sl_fail_at(err, SL_E_FAILED, name, "column %zu is '%s', and '%s' in %s", i + 1, columns[i].name,
				first->columns[i].name, first_name);
	}
	return 0;
}

/* What the engine says of a file that is no sound Parquet is a fault of the file: not of the machine, nor of a statement. */
static int blame_file(const char *name, int rc, struct sl_error *err)
{
	if (err && (rc == SL_E_INVALID || rc == SL_E_IO || rc == SL_E_CORRUPT || rc == SL_E_BUG))
		err->code = rc = SL_E_FAILED;
	if (err) {
		err->where[0] = '\0';
		sl_error_where(err, "%s", name);
	}
	return rc;
}

static int inspect_one(struct sl_sql *sql, const char *path, const char *name, const char *first_name, struct sl_arena *arena,
		       struct sl_staged *ret, struct sl_error *err)
{
	struct sl_data_column *columns = NULL;
	uint64_t rows = 0;
	size_t count = 0;
	int rc = read_columns(sql, path, arena, &columns, &count, err);

	if (rc < 0 || (rc = read_rows(sql, path, &rows, err)) < 0)
		return blame_file(name, rc, err);
	if (!ret->columns) {
		ret->columns = columns;
		ret->column_count = count;
	} else if ((rc = compare_columns(ret, columns, count, first_name, name, err)) < 0) {
		return rc;
	}
	ret->files[ret->file_count].path = sl_arena_strdup(arena, path);
	ret->files[ret->file_count].rows = rows;
	return ret->files[ret->file_count++].path ? 0 : sl_fail_memory(err);
}

int sl_staged_inspect_in(struct sl_sql *sql, const char *const *paths, const char *const *names, size_t count,
			 struct sl_arena *arena, struct sl_staged *ret, struct sl_error *err)
{
	int rc = 0;

	*ret = (struct sl_staged){.files = sl_arena_array(arena, count, sizeof *ret->files)};
	if (!count)
		return sl_fail(err, SL_E_BUG, "a table of no files has no columns");
	if (!ret->files)
		return sl_fail_memory(err);
	if (!names)
		names = paths;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = inspect_one(sql, paths[i], names[i], names[0], arena, ret, err);
	return rc;
}

int sl_staged_inspect(const char *const *paths, const char *const *names, size_t count, struct sl_arena *arena,
		      struct sl_staged *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	const struct sl_sql_options options = {.raw_paths = paths, .raw_path_count = count, .threads = 1};
	int rc = sl_sql_open(&options, &sql, err);

	return rc < 0 ? rc : sl_staged_inspect_in(sql, paths, names, count, arena, ret, err);
}

int sl_staged_version(struct sl_objects *objects, const struct sl_hash *version, struct sl_arena *arena, struct sl_staged *ret,
		      struct sl_error *err)
{
	struct sl_manifest manifest;
	int rc = sl_manifest_read(objects, version, arena, &manifest, err);

	if (rc < 0)
		return rc;
	*ret = (struct sl_staged){.columns = manifest.columns,
				  .column_count = manifest.column_count,
				  .files = sl_arena_array(arena, manifest.file_count + 1, sizeof *ret->files)};
	for (size_t i = 0; ret->files && i < manifest.file_count; i++) {
		char path[SL_PATH_MAX];
		const struct sl_data_file *file = &manifest.files[i];
		if ((rc = sl_objects_path(objects, &file->object, path, err)) < 0)
			return rc;
		ret->files[ret->file_count++] = (struct sl_staged_file){.path = sl_arena_strdup(arena, path),
									.rows = file->rows,
									.kept = true,
									.object = file->object,
									.size_bytes = file->size_bytes};
		if (!ret->files[i].path)
			return sl_fail_memory(err);
	}
	return ret->files ? 0 : sl_fail_memory(err);
}

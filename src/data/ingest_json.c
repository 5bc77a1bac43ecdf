/* Jobs and results of ingest as JSON, between the command and its worker. */
#include <string.h>

#include "data/ingest.h"

yyjson_mut_val *sl_ingest_job_json(yyjson_mut_doc *doc, const struct sl_ingest_job *job)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *files = yyjson_mut_arr(doc);
	char hex[SL_HASH_HEX + 1];

	for (size_t i = 0; i < job->file_count; i++) {
		const struct sl_ingest_file *file = &job->files[i];
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, files);
		yyjson_mut_obj_add_strcpy(doc, item, "path", file->path);
		yyjson_mut_obj_add_strcpy(doc, item, "name", file->name);
		yyjson_mut_obj_add_strcpy(doc, item, "hash", sl_hash_hex(&file->hash, hex));
		yyjson_mut_obj_add_strcpy(doc, item, "object", file->object);
		if (!yyjson_mut_obj_add_uint(doc, item, "size", file->size_bytes))
			return NULL;
	}
	yyjson_mut_obj_add_strcpy(doc, root, "dataset", job->dataset);
	yyjson_mut_obj_add_strcpy(doc, root, "format", job->format);
	yyjson_mut_obj_add_strcpy(doc, root, "columns", job->columns);
	yyjson_mut_obj_add_bool(doc, root, "quarantine", job->quarantine);
	return yyjson_mut_obj_add_val(doc, root, "files", files) ? root : NULL;
}

/* Text members are copied; a job file is ours, but whoever can write there may have. */
static bool copy_text(yyjson_val *object, const char *name, struct sl_arena *arena, const char **ret)
{
	const char *text = sl_json_str(object, name, NULL);

	*ret = text ? sl_arena_strdup(arena, text) : NULL;
	return *ret != NULL;
}

int sl_ingest_job_parse(yyjson_val *value, struct sl_arena *arena, struct sl_ingest_job *ret, struct sl_error *err)
{
	yyjson_val *files = yyjson_obj_get(value, "files"), *item;
	size_t count = yyjson_arr_size(files), i, max;

	*ret = (struct sl_ingest_job){.quarantine = sl_json_bool(value, "quarantine", false)};
	ret->files = sl_arena_array(arena, count, sizeof *ret->files);
	if (!count || !ret->files || !copy_text(value, "dataset", arena, &ret->dataset)
	    || !copy_text(value, "format", arena, &ret->format) || !copy_text(value, "columns", arena, &ret->columns))
		return sl_fail(err, SL_E_INVALID, "the ingest job is incomplete");
	yyjson_arr_foreach(files, i, max, item) {
		struct sl_ingest_file *file = &ret->files[ret->file_count++];
		if (!copy_text(item, "path", arena, &file->path) || !copy_text(item, "name", arena, &file->name)
		    || !copy_text(item, "object", arena, &file->object) || !*file->object
		    || !sl_hash_parse(sl_json_str(item, "hash", ""), &file->hash))
			return sl_fail(err, SL_E_INVALID, "the ingest job's file %zu is incomplete", i);
		file->size_bytes = (uint64_t)sl_json_int(item, "size", 0);
	}
	return 0;
}


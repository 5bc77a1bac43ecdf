/* The parent's side of ingest: which files, what they hash to, their bytes as objects. */
#include "data/ingest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/fetch.h"
#include "data/file_hash.h"
#include "data/files.h"

/* Names end in these, perhaps behind .gz or .zst. */
static const struct { const char *ending, *format;
} ENDINGS[] = {
	{".parquet", "parquet"}, {".pq", "parquet"}, {".csv", "csv"},	  {".tsv", "csv"},
	{".json", "json"},	 {".jsonl", "json"}, {".ndjson", "json"},
};

static const char *format_by_name(const char *name)
{
	size_t len = strlen(name);

	if (sl_str_ends(name, ".gz"))
		len -= 3;
	else if (sl_str_ends(name, ".zst"))
		len -= 4;
	for (size_t i = 0; i < SL_ARRAY_LEN(ENDINGS); i++) {
		size_t n = strlen(ENDINGS[i].ending);
		if (len > n && strncasecmp(name + len - n, ENDINGS[i].ending, n) == 0)
			return ENDINGS[i].format;
	}
	return NULL;
}

static int format_by_content(const char *path, const char **ret, struct sl_error *err)
{
	unsigned char head[64];
	int fd SL_AUTO_CLOSE = -1;
	struct sl_file_info info;
	int rc = sl_file_info(path, &info, err);
	size_t len, i = 0;

	if (rc < 0)
		return rc;
	len = info.size_bytes < sizeof head ? (size_t)info.size_bytes : sizeof head;
	if ((rc = sl_file_open(path, O_RDONLY, 0, &fd, err)) < 0 || (rc = sl_file_read_at(fd, head, len, 0, path, err)) < 0)
		return rc;
	while (i < len && strchr(" \t\r\n", head[i]) && head[i])
		i++;
	if (len >= 4 && memcmp(head, "PAR1", 4) == 0)
		*ret = "parquet";
	else
		*ret = i < len && (head[i] == '{' || head[i] == '[') ? "json" : "csv";
	return 0;
}

static const char *source_place(const struct sl_project *project, const struct sl_source *source, char out[SL_PATH_MAX])
{
	const char *file = strrchr(project->file, '/');

	snprintf(out, SL_PATH_MAX, "%s:%d:%d", file ? file + 1 : project->file, source->mark.line, source->mark.column);
	return out;
}

static int find(const struct sl_project *project, const struct sl_source *source, struct sl_arena *arena, struct sl_found *ret,
		struct sl_error *err)
{
	char place[SL_PATH_MAX];

	source_place(project, source, place);
	int rc = sl_files_find(project->dir, source->path, SL_INGEST_FILES_MAX, arena, ret, err);
	if (rc < 0)
		return sl_error_where(err, "%s", place), rc;
	if (!ret->count) {
		sl_fail_at(err, SL_E_NOT_FOUND, place, "source '%s': there is no file '%s'", source->name, source->path);
		const char *nearest = sl_files_nearest(project->dir, source->path, arena);
		return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest)
			       : sl_error_hint(err, "the path starts from the folder of sluice.yaml: %s", project->dir);
	}
	return 0;
}

/* The file behind an address stands for it under the address's own name. */
static int find_remote(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, struct sl_arena *arena,
		       struct sl_found *ret, struct sl_error *err)
{
	char local[SL_PATH_MAX], place[SL_PATH_MAX];
	int rc = sl_source_fetch(store, source, local, err);
	if (rc < 0)
		return sl_error_context(err, "%s: source '%s'", source_place(project, source, place), source->name);
	*ret = (struct sl_found){.files = sl_arena_array(arena, 1, sizeof *ret->files), .count = 1};
	if (!ret->files || !(ret->files[0].name = sl_arena_strdup(arena, local)))
		return sl_fail_memory(err);
	return 0;
}

static int choose_format(const struct sl_source *source, const struct sl_ingest_file *file, const char **ret,
			 struct sl_error *err)
{
	const char *format = *source->format ? source->format : format_by_name(file->name);

	*ret = format;
	return format ? 0 : format_by_content(file->path, ret, err);
}

static int add_file(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, const char *name,
		    struct sl_arena *arena, struct sl_ingest_job *job, struct sl_file_seen *seen, struct sl_error *err)
{
	struct sl_ingest_file *file = &job->files[job->file_count];
	const char *format;

	file->name = name;
	file->path = name[0] == '/' ? name : sl_arena_printf(arena, "%s/%s", project->dir, name);
	file->object = "";
	if (!file->path)
		return sl_fail_memory(err);
	int rc = sl_file_look(store->meta, file->path, &file->hash, seen, err);
	if (rc < 0 || (rc = choose_format(source, file, &format, err)) < 0)
		return rc;
	file->size_bytes = seen->info.size_bytes;
	if (job->file_count && strcmp(format, job->format) != 0) {
		sl_fail_at(err, SL_E_INVALID, name, "the file is %s, and %s is %s", format, job->files[0].name, job->format);
		return sl_error_hint(err, "a source has files of one kind: narrow its path, or give its format");
	}
	job->format = format;
	job->file_count++;
	return 0;
}

static int remember_all(struct sl_meta *meta, const struct sl_ingest_job *job, const struct sl_file_seen *seen,
			struct sl_error *err)
{
	int rc = sl_meta_begin(meta, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < job->file_count && rc == 0; i++)
		rc = sl_file_remember(meta, job->files[i].path, &job->files[i].hash, &seen[i], err);
	if (rc == 0)
		return sl_meta_commit(meta, err);
	sl_meta_rollback(meta);
	return rc;
}

/* What is remembered only spares reading the file again: on a read-only or full disk it is not, and who only looks (`status`,
 * `run -n`) still gets an answer. */
static int remember_new(struct sl_meta *meta, const struct sl_ingest_job *job, const struct sl_file_seen *seen,
			struct sl_error *err)
{
	struct sl_error why = {0};
	bool some = false;

	for (size_t i = 0; i < job->file_count; i++)
		some |= seen[i].is_new;
	int rc = some ? remember_all(meta, job, seen, &why) : 0;
	if (rc == 0 || rc == SL_E_IO || rc == SL_E_NO_SPACE)
		return 0;
	if (err)
		*err = why;
	return rc;
}

static bool wants_quarantine(const struct sl_dataset *dataset)
{
	for (size_t i = 0; dataset && i < dataset->check_count; i++)
		if (dataset->checks[i].quarantine)
			return true;
	return false;
}

int sl_ingest_prepare(struct sl_store *store, const struct sl_project *project, const struct sl_source *source,
		      const struct sl_dataset *dataset, struct sl_arena *arena, struct sl_ingest_job *ret, struct sl_error *err)
{
	struct sl_found found;
	char place[SL_PATH_MAX];
	int rc = sl_source_remote(source) ? find_remote(store, project, source, arena, &found, err) : find(project, source, arena, &found, err);

	if (rc < 0)
		return rc;
	*ret = (struct sl_ingest_job){.dataset = source->name,
				      .columns = source->columns,
				      .quarantine = wants_quarantine(dataset)};
	ret->files = sl_arena_array(arena, found.count, sizeof *ret->files);
	struct sl_file_seen *seen = sl_arena_array(arena, found.count, sizeof *seen);
	if (!ret->files || !seen)
		return sl_fail_memory(err);
	for (size_t i = 0; i < found.count && rc == 0; i++)
		rc = add_file(store, project, source, found.files[i].name, arena, ret, &seen[i], err);
	if (rc == 0 && sl_source_remote(source))
		ret->files[0].name = source->path;
	if (rc < 0 || (rc = remember_new(store->meta, ret, seen, err)) < 0)
		return rc;
	if (strcmp(ret->format, "parquet") == 0 && *ret->columns) {
		sl_fail_at(err, SL_E_INVALID, source_place(project, source, place),
			   "source '%s': Parquet files bring their own types", source->name);
		return sl_error_hint(err, "declare them under datasets: %s: checks: - columns: {...}", source->name);
	}
	return 0;
}

int sl_ingest_keep(struct sl_objects *objects, struct sl_ingest_job *job, struct sl_arena *arena, struct sl_error *err)
{
	char path[SL_PATH_MAX];

	for (size_t i = 0; i < job->file_count; i++) {
		struct sl_ingest_file *file = &job->files[i];
		struct sl_hash hash = file->hash;
		int rc = sl_objects_has(objects, &hash) ? 0
							: sl_objects_put_file(objects, file->path, SL_PUT_COPY, &hash, NULL, err);
		if (rc < 0)
			return rc;
		if (!sl_hash_eq(&hash, &file->hash)) {
			sl_fail_at(err, SL_E_FAILED, file->name, "the file changed while it was ingested");
			if (err)
				err->retriable = true;
			return sl_error_hint(err,
					     "let its writer finish, best by writing beside it and renaming, then run again");
		}
		if ((rc = sl_objects_path(objects, &hash, path, err)) < 0)
			return rc;
		if (!(file->object = sl_arena_strdup(arena, path)))
			return sl_fail_memory(err);
	}
	return 0;
}

int sl_ingest_record(struct sl_track *track, const struct sl_ingest_job *job, const struct sl_id *run, struct sl_error *err)
{
	for (size_t i = 0; i < job->file_count; i++) {
		int rc = sl_run_input(track, run, "file", job->files[i].name, &job->files[i].hash, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

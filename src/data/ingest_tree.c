/* Sources that are trees of plain files. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/files.h"
#include "data/ingest.h"

/* Where the source stands in sluice.yaml. */
static int blame(const struct sl_project *project, const struct sl_source *source, struct sl_error *err)
{
	const char *file = strrchr(project->file, '/');
	return sl_error_context(err, "%s:%d:%d: source '%s'", file ? file + 1 : project->file, source->mark.line, source->mark.column,
				source->name);
}

/* The folder, absolute, and the pattern below it, NULL for all. A single file is a pattern without marks. */
static int split(const struct sl_project *project, const struct sl_source *source, char dir[SL_PATH_MAX], const char **ret_pattern,
		 struct sl_error *err)
{
	char fixed[SL_PATH_MAX];
	sl_files_split(source->path, fixed, ret_pattern);
	int rc = fixed[0] == '/' ? 0 : sl_path_join(dir, project->dir, fixed, err);
	if (fixed[0] == '/')
		memcpy(dir, fixed, strlen(fixed) + 1);
	size_t n = rc ? 0 : strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = 0;
	if (!rc && !**ret_pattern && sl_file_exists(dir)) {
		char *slash = strrchr(dir, '/');
		*ret_pattern = strrchr(source->path, '/') ? strrchr(source->path, '/') + 1 : source->path;
		*slash = 0;
	}
	if (!**ret_pattern)
		*ret_pattern = NULL;
	return rc;
}

int sl_ingest_tree(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, bool write,
		   struct sl_tree_taken *ret, struct sl_error *err)
{
	char dir[SL_PATH_MAX], seen[SL_PATH_MAX];
	struct sl_tree_take take = {.dir = dir, .hidden = source->hidden, .links = SL_LINKS_FOLLOW, .how = SL_PUT_COPY, .write = write,
				    .seen_dir = seen};
	int rc = split(project, source, dir, &take.pattern, err);
	rc = rc ? rc : sl_path_join(seen, store->dir, "seen", err);
	rc = rc ? rc : sl_tree_take(store->objects, &take, ret, err);
	if (rc == SL_E_NOT_FOUND && !sl_dir_exists(dir)) {
		sl_fail_at(err, rc, dir, "there is no such folder");
		sl_error_hint(err, "the path starts from the folder of sluice.yaml: %s", project->dir);
	}
	return rc ? blame(project, source, err) : 0;
}

int sl_tree_commit(struct sl_store *store, const char *dataset, const struct sl_hash *root, const struct sl_id *run,
		   struct sl_error *err)
{
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	int rc = sl_tree_reader_new(store->objects, root, &reader, err);
	if (rc)
		return rc;
	const struct sl_tree_sum *sum = sl_tree_reader_sum(reader);
	const struct sl_manifest manifest = {.file_count = sum->files, .size_bytes = sum->size_bytes};
	return sl_dataset_commit(&store->track, dataset, root, &manifest, run, err);
}

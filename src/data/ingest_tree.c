/* Sources that are trees of plain files. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/fetch.h"
#include "data/file_hash.h"
#include "data/files.h"
#include "data/ingest.h"
#include "data/tree_unpack.h"
#include "port/archive.h"

/* Where the source stands in sluice.yaml. */
static int blame(const struct sl_project *project, const struct sl_source *source, struct sl_error *err)
{
	const char *file = strrchr(project->file, '/');
	return sl_error_context(err, "%s:%d:%d: source '%s'", file ? file + 1 : project->file, source->mark.line, source->mark.column,
				source->name);
}

/* The folder, absolute, and the pattern below it, NULL for all. A single file is a pattern without marks. */
static int split(const struct sl_project *project, const char *path, char dir[SL_PATH_MAX], const char **ret_pattern,
		 struct sl_error *err)
{
	char fixed[SL_PATH_MAX];
	sl_files_split(path, fixed, ret_pattern);
	int rc = fixed[0] == '/' ? 0 : sl_path_join(dir, project->dir, fixed, err);
	if (fixed[0] == '/')
		memcpy(dir, fixed, strlen(fixed) + 1);
	size_t n = rc ? 0 : strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = 0;
	if (!rc && !**ret_pattern && sl_file_exists(dir)) {
		char *slash = strrchr(dir, '/');
		*ret_pattern = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
		*slash = 0;
	}
	if (!**ret_pattern)
		*ret_pattern = NULL;
	return rc;
}

/* ---- archives ------------------------------------------------------------------------------------------------------- */

/* Which tree an archive's bytes are is remembered by their hash: it is unpacked once. */
static int archive_tree(struct sl_store *store, const char *path, const char *name, bool write, struct sl_tree_taken *ret,
			struct sl_error *err)
{
	struct sl_buf known SL_AUTO_BUF = SL_BUF_INIT(SL_HASH_HEX + 1);
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	const struct sl_tree_unpack unpack = {.path = path, .name = name, .write = write, .tmp = store->tmp_dir};
	char hex[SL_HASH_HEX + 1], file[SL_HASH_HEX + 32], memory[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct sl_hash hash;
	int rc = sl_file_hash(store->meta, path, &hash, NULL, err);
	snprintf(file, sizeof file, "seen/%s.archive", sl_hash_hex(&hash, hex));
	rc = rc ? rc : sl_path_join(memory, store->dir, file, err);
	if (rc)
		return rc;
	*ret = (struct sl_tree_taken){0};
	if (sl_file_read(memory, &known, NULL) == 0 && sl_hash_parse(sl_buf_cstr(&known), &ret->hash) &&
	    sl_tree_reader_new(store->objects, &ret->hash, &reader, NULL) == 0) {
		ret->sum = *sl_tree_reader_sum(reader);
		return 0;
	}
	rc = sl_tree_unpack(store->objects, &unpack, ret, err);
	rc = rc ? rc : sl_path_join(dir, store->dir, "seen", err);
	rc = rc || !write ? rc : sl_dir_make(dir, err);
	return rc || !write ? rc : sl_file_replace(memory, sl_hash_hex(&ret->hash, hex), SL_HASH_HEX, 0600, err);
}

/* 1: it is one, and *ret is filled; 0: it is not. */
static int try_archive(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, const char *local,
		       bool write, struct sl_tree_taken *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	const char *name = local ? local : source->path;
	int rc = name[0] == '/' ? 0 : sl_path_join(path, project->dir, name, err);
	if (name[0] == '/')
		snprintf(path, sizeof path, "%s", name);
	if (rc || !sl_archive_named(path) || !sl_file_exists(path))
		return rc;
	rc = archive_tree(store, path, source->path, write, ret, err);
	return rc ? rc : 1;
}

/* ---- the source ------------------------------------------------------------------------------------------------------ */

int sl_ingest_tree(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, bool write,
		   struct sl_tree_taken *ret, struct sl_error *err)
{
	char dir[SL_PATH_MAX], seen[SL_PATH_MAX], local[SL_PATH_MAX] = "";
	bool remote = sl_source_remote(source);
	struct sl_tree_take take = {.dir = dir, .hidden = source->hidden, .links = SL_LINKS_FOLLOW, .how = SL_PUT_COPY, .write = write,
				    .seen_dir = seen};
	int rc = remote ? sl_source_fetch(store, source, local, err) : 0;
	rc = rc ? rc : try_archive(store, project, source, remote ? local : NULL, write, ret, err);
	if (rc)
		return rc == 1 ? 0 : blame(project, source, err);
	rc = split(project, remote ? local : source->path, dir, &take.pattern, err);
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

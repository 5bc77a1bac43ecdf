/* Ingest: a source's files become a version of the dataset that has the source's name. In four steps, so that the engine works in
 * a worker process that opens no database:
 *
 *   prepare (parent)   which files, and their hashes: what the source's fingerprint is made of. Cheap when nothing changed
 *   keep    (parent)   the raw bytes become objects; a file that changed since prepare is refused
 *   execute (worker)   reads the kept bytes, never the user's path: leaves Parquet in the staging folder, and a result
 *   commit  (parent)   inside the run's transaction, once the checks (check.h) are through
 *
 * Parquet files are taken as they are, after all their values were read once. CSV and JSON lines (.gz, .zst too) are converted.
 * Broken lines fail the source with file, line and column, or are put aside when a check of it says `else: quarantine`.
 */
#ifndef SL_DATA_INGEST_H
#define SL_DATA_INGEST_H

#include "data/dataset.h"
#include "data/tree_take.h"
#include "project/project.h"
#include "track/store.h"

enum { SL_INGEST_FILES_MAX = 4000000 };

struct sl_ingest_file {
	const char *path;      /* absolute */
	const char *name;      /* as the project calls it, for errors and lineage */
	struct sl_hash hash;
	uint64_t size_bytes;
	const char *object;    /* path of the kept bytes; "" before sl_ingest_keep */
};

struct sl_ingest_job {
	const char *dataset;
	const char *format;      /* "parquet", "csv" or "json" */
	const char *columns;     /* declared types as JSON {"a":"bigint"}, or "" */
	bool quarantine;         /* broken lines are put aside */
	struct sl_ingest_file *files; /* sorted by name */
	size_t file_count;
};

/* The files that `source` means, hashed; known files (same size, times and inode, and not changed in the tick in which they were
 * hashed) are not read again. `dataset` (its declared checks) may be NULL. SL_E_NOT_FOUND when there is no such file, at the
 * source's place in sluice.yaml. Everything lives in `arena`. Writes nothing but the table file_hash (data/file_hash.h). */
int sl_ingest_prepare(struct sl_store *store, const struct sl_project *project, const struct sl_source *source,
		      const struct sl_dataset *dataset, struct sl_arena *arena, struct sl_ingest_job *ret, struct sl_error *err);
/* Keeps the raw bytes and fills `object`. SL_E_FAILED (retriable) when a file is not what prepare saw. */
int sl_ingest_keep(struct sl_objects *objects, struct sl_ingest_job *job, struct sl_arena *arena, struct sl_error *err);

yyjson_mut_val *sl_ingest_job_json(yyjson_mut_doc *doc,
				   const struct sl_ingest_job *job); /* for the worker's job file; NULL: no memory */
int sl_ingest_job_parse(yyjson_val *value, struct sl_arena *arena, struct sl_ingest_job *ret, struct sl_error *err);

struct sl_ingest_result {
	struct sl_staged table;
	struct sl_staged broken;   /* lines put aside: file, line, reason, raw; file_count 0 when none */
	uint64_t broken_rows;
};
/* Files go to `staging`, made when missing. Errors name the user's files. */
int sl_ingest_execute(const struct sl_ingest_job *job, const char *staging, const struct sl_work *work, struct sl_arena *arena,
		      struct sl_ingest_result *ret, struct sl_error *err);

/* The raw files as inputs of the run (kind "file"), inside the caller's transaction. The versions themselves: sl_checked_commit
 * (check.h). */
int sl_ingest_record(struct sl_track *track, const struct sl_ingest_job *job, const struct sl_id *run, struct sl_error *err);

/* ---- trees of files (`as: files`) ------------------------------------------------------------------------------------ */

/* The folder or glob of `source` as a tree (data/tree_take.h): with `write` it is in the store when this returns, else only its hash is
 * told. There is nothing for a worker to do then. Errors as those of sl_ingest_prepare. */
int sl_ingest_tree(struct sl_store *store, const struct sl_project *project, const struct sl_source *source, bool write,
		   struct sl_tree_taken *ret, struct sl_error *err);
/* Makes the tree the newest version of `dataset`, as sl_dataset_commit. */
int sl_tree_commit(struct sl_store *store, const char *dataset, const struct sl_hash *root, const struct sl_id *run,
		   struct sl_error *err);

#endif

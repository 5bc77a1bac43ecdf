/* Dataset versions. A version is the SHA-256 of a canonical manifest (docs/formats/manifest.md), itself an object:
 *
 *   {"columns":[{"name","type"}...],"files":[{"object","rows","size"}...],"format":"sluice.table/1","rows":N}
 *
 * Equal content in equal order gives an equal version. Reading an old version is reading an old manifest.
 */
#ifndef SL_DATA_DATASET_H
#define SL_DATA_DATASET_H

#include <stdbool.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "port/object.h"
#include "port/sql.h"
#include "track/run.h"

enum { SL_DATA_COLUMNS_MAX = 100000, SL_DATA_FILES_MAX = 4000000, SL_MANIFEST_BYTES_MAX = 1 << 30 };

struct sl_data_column { const char *name, *type; };
struct sl_data_file { struct sl_hash object; uint64_t rows, size_bytes; };
struct sl_manifest {
	struct sl_data_column *columns; size_t column_count; /* types as DuckDB spells them */
	struct sl_data_file *files; size_t file_count;       /* in the order of their rows */
	uint64_t rows, size_bytes; /* sums */
};

/* A table as a worker leaves it: files that are not objects yet. Plain data, so that the parent needs no engine to keep it. */
struct sl_staged_file {
	const char *path;
	uint64_t rows;
	bool kept;              /* it is an object already (a source's own Parquet file): nothing is copied */
	struct sl_hash object;  /* when kept, with its size */
	uint64_t size_bytes;
};
struct sl_staged {
	struct sl_data_column *columns; size_t column_count;
	struct sl_staged_file *files; size_t file_count;
};
/* Opens the Parquet files and tells columns and rows. Files whose columns differ are refused, naming file and column; a truncated
 * or lying footer is refused (SL_E_FAILED). `names` (may be NULL) are what errors call the files. */
int sl_staged_inspect(const char *const *paths, const char *const *names, size_t count, struct sl_arena *arena,
		      struct sl_staged *ret, struct sl_error *err);
/* The same in a session that may read the paths (or write the folder that they are in): saves opening one, 15 ms. */
int sl_staged_inspect_in(struct sl_sql *sql, const char *const *paths, const char *const *names, size_t count,
			 struct sl_arena *arena, struct sl_staged *ret, struct sl_error *err);
/* A kept version's files, in the manifest's order. */
int sl_staged_version(struct sl_objects *objects, const struct sl_hash *version, struct sl_arena *arena, struct sl_staged *ret,
		      struct sl_error *err);
/* As JSON in a worker's result file, and back: {"columns":[{"name","type"}],"files":[{"path","rows"}]}, and for kept files
 * "object" and "size". */
yyjson_mut_val *sl_staged_json(yyjson_mut_doc *doc, const struct sl_staged *staged);
int sl_staged_parse(yyjson_val *value, struct sl_arena *arena, struct sl_staged *ret, struct sl_error *err);

/* Keeps the files, in their order, and the manifest as objects: no name points to it yet. Files without rows are left out, but
 * for the first when all are. The manifest's strings live in `arena`. ret_manifest may be NULL. */
int sl_manifest_keep(struct sl_objects *objects, const struct sl_staged *staged, enum sl_put_how how, struct sl_arena *arena,
		     struct sl_hash *ret, struct sl_manifest *ret_manifest, struct sl_error *err);
/* sl_staged_inspect and sl_manifest_keep in one, for Parquet files written by us. Loads the engine: a worker's result saves
 * that. */
int sl_manifest_make(struct sl_objects *objects, const char *const *parquet_paths, size_t count, enum sl_put_how how,
		     struct sl_hash *ret, struct sl_manifest *ret_manifest, struct sl_arena *arena, struct sl_error *err);
/* Stores a manifest over files that are objects already. */
int sl_manifest_put(struct sl_objects *objects, const struct sl_manifest *manifest, struct sl_hash *ret, struct sl_error *err);
/* Reads and checks one (hostile until checked); strings live in `arena`. */
int sl_manifest_read(struct sl_objects *objects, const struct sl_hash *hash, struct sl_arena *arena, struct sl_manifest *ret,
		     struct sl_error *err);
/* The same from bytes, for fuzzing and for manifests that come from elsewhere. SL_E_CORRUPT says what is wrong. */
int sl_manifest_parse(const char *json, size_t len, struct sl_arena *arena, struct sl_manifest *ret, struct sl_error *err);

/* How heavy work in a worker is bounded and told of. Zeroes mean the engine's defaults (port/sql.h). */
struct sl_work {
	int threads;
	uint64_t memory_bytes, temp_bytes;
	const volatile int *cancel;
	/* fraction 0..1 of `what` ("reading", "checking"), -1 unknown */
	void (*progress)(void *context, double fraction, const char *what);
	void *context;
};

struct sl_dataset_head { struct sl_hash hash; struct sl_id run; int64_t seq, created_ms; uint64_t rows, size_bytes; };
/* Makes `hash` the newest version of `dataset`, inside the caller's transaction; ledger "dataset.commit"; an event for triggers.
 * Nothing happens (returns 1) when it is the head already. */
int sl_dataset_commit(struct sl_track *track, const char *dataset, const struct sl_hash *hash, const struct sl_manifest *manifest,
		      const struct sl_id *run, struct sl_error *err);
/* SL_E_NOT_FOUND when the dataset has no version. */
int sl_dataset_head(struct sl_track *track, const char *dataset, struct sl_dataset_head *ret, struct sl_error *err);
/* `version`: "" = head, a tag or branch, hash prefix (at least 4 digits), time (the newest commit not after it), "^" or "~N" = N commits back.
 * SL_E_NOT_FOUND; SL_E_INVALID when it is none of these, or a prefix of several versions. */
int sl_dataset_find(struct sl_track *track, const char *dataset, const char *version, struct sl_dataset_head *ret,
		    struct sl_error *err);
/* Fills a table for port/sql.h under `name`: paths of the version's objects, in `arena`. */
int sl_dataset_table(struct sl_objects *objects, const char *name, const struct sl_hash *hash, struct sl_arena *arena,
		     struct sl_sql_table *ret, struct sl_error *err);

#endif

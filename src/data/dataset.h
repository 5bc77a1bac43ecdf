/* Dataset versions. A version is the SHA-256 of a canonical manifest (docs/formats/manifest.md), itself an object:
 *
 *   {"columns":[{"name","type"}...],"files":[{"object","rows","size"}...],"format":"sluice.table/1","rows":N}
 *
 * Equal content in equal order gives an equal version. Reading an old version is reading an old manifest.
 */
#ifndef SL_DATA_DATASET_H
#define SL_DATA_DATASET_H

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "port/object.h"
#include "port/sql.h"
#include "track/run.h"

struct sl_data_column { const char *name, *type; };
struct sl_data_file { struct sl_hash object; uint64_t rows, size_bytes; };
struct sl_manifest {
	struct sl_data_column *columns; size_t column_count;
	struct sl_data_file *files; size_t file_count;
	uint64_t rows, size_bytes; /* sums */
};

/* Keeps the files (all written by us, in `dir`, sorted by name) and the manifest as objects: no name points to it yet. Empty files (0 rows) are left out unless all are. */
int sl_manifest_make(struct sl_objects *objects, const char *const *parquet_paths, size_t count, enum sl_put_how how, struct sl_hash *ret, struct sl_manifest *ret_manifest,
		     struct sl_arena *arena, struct sl_error *err);
/* Reads and checks one (hostile until checked); strings live in `arena`. */
int sl_manifest_read(struct sl_objects *objects, const struct sl_hash *hash, struct sl_arena *arena, struct sl_manifest *ret, struct sl_error *err);

struct sl_dataset_head { struct sl_hash hash; struct sl_id run; int64_t seq, created_ms; uint64_t rows, size_bytes; };
/* Makes `hash` the newest version of `dataset`, inside the caller's transaction; ledger "dataset.commit"; an event for triggers. Nothing happens (returns 1) when it is the head already. */
int sl_dataset_commit(struct sl_track *track, const char *dataset, const struct sl_hash *hash, const struct sl_manifest *manifest, const struct sl_id *run, struct sl_error *err);
int sl_dataset_head(struct sl_track *track, const char *dataset, struct sl_dataset_head *ret, struct sl_error *err);
/* `version`: "" = head, hash prefix, time (the newest commit not after it), "^" or "~N" = N commits back. */
int sl_dataset_find(struct sl_track *track, const char *dataset, const char *version, struct sl_dataset_head *ret, struct sl_error *err);
/* Fills a table for port/sql.h under `name`: paths of the version's objects, in `arena`. */
int sl_dataset_table(struct sl_objects *objects, const char *name, const struct sl_hash *hash, struct sl_arena *arena, struct sl_sql_table *ret, struct sl_error *err);

#endif

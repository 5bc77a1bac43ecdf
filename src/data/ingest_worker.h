/* The worker's side of ingest, one function per format. */
#ifndef SL_DATA_INGEST_WORKER_H
#define SL_DATA_INGEST_WORKER_H

#include "data/engine.h"
#include "data/ingest.h"

struct sl_ingest_worker {
	const struct sl_ingest_job *job;
	const char *staging;
	const struct sl_work *work;
	struct sl_arena *arena;
	struct sl_engine engine;     /* may read the job's objects and write `staging` */
	const char **objects;        /* paths of the job's files */
	const char **names;
	const char **compressions;   /* "uncompressed", "gzip" or "zstd", by the files' first bytes */
	const char *table_path;      /* where the Parquet file goes */
	const char *broken_path;     /* and that of broken lines */
};

int sl_ingest_csv(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err);
int sl_ingest_lines(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err);

/* Replaces objects' paths in a message of the engine by the names that users know; returns rc. */
int sl_ingest_name_paths(const struct sl_ingest_worker *w, int rc, struct sl_error *err);
/* The same, and SL_E_FAILED for what the engine blames on a file's content. Returns the code. */
int sl_ingest_blame(const struct sl_ingest_worker *w, int rc, struct sl_error *err);
/* Writes `select` as a Parquet file, and tells its columns and rows. */
int sl_ingest_write(struct sl_ingest_worker *w, const char *select, const char *path, struct sl_staged *ret,
		    struct sl_error *err);
/* The declared types {"a":"bigint"}; *ret is NULL when none are declared. */
int sl_ingest_declared(const struct sl_ingest_worker *w, yyjson_doc **ret, struct sl_error *err);

/* "1 of 3,000,000 rows" */
char *sl_ingest_share(uint64_t broken, uint64_t rows, char out[96]);
/* Fails with the first broken line: "name:line:column: reason (1 of 3,000,000 rows)". */
int sl_ingest_fail_line(const char *name, int64_t line, int64_t column, const char *reason, uint64_t broken, uint64_t rows,
			struct sl_error *err);

#endif

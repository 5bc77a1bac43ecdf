/* Runs that another tracking server has kept, copied into this store with their ids, times, histories and artifacts.
 *
 *     reader (a folder mlruns, a database) ── begin ── metrics ... ── artifact ... ── end ──> rows and objects
 *
 * A run gets the status that it has over there with its last commit, and RUNNING until then: what was cut short is taken up again by the next
 * import, and what is complete is passed over, so an import can be repeated at any time and doubles nothing. Experiments are found by their
 * names, runs by their ids, registered models by name and version. What somebody has put into the bin here stays as it is.
 */
#ifndef SL_RECORD_IMPORT_H
#define SL_RECORD_IMPORT_H

#include "port/object.h"
#include "record/log.h"
#include "record/registry.h"

enum { SL_IMPORT_POINTS_MAX = 200000 }; /* in one commit */

/* How much of each there is: what was read, and what of it is in this store now. Points that the source has twice are there once. */
struct sl_import_count { int64_t experiments, runs, points, params, tags, artifacts, logged_models, models, versions; };

struct sl_import {
	struct sl_record *record;
	struct sl_objects *objects;
	const char *source;                       /* for the ledger: the path that was named */
	struct sl_import_count read, there;
	int64_t runs_new, runs_passed, refused;   /* refused: versions whose source is not here */
	int64_t runs_total;                       /* 0: not known yet */
	/* After each run, and for what cannot be taken; both may be NULL. An answer other than 0 ends it (SL_E_CANCELLED). */
	int (*progress)(void *context, const struct sl_import *import);
	void (*news)(void *context, const char *text);
	void *context;
	/* The run under way. */
	struct sl_rec_run run;
	int64_t pending, points;                  /* points since the last commit, and of the run */
	bool open;
};

/* The experiment of this name; made when there is none. `id` "0" is Default, whatever its name. */
int sl_import_experiment(struct sl_import *import, const char *id, const char *name, const struct sl_pair *tags, size_t tag_count, bool deleted,
	struct sl_arena *arena, struct sl_experiment *ret, struct sl_error *err);

struct sl_import_run {
	const char *id;     /* as it is there; one that is not 32 hex digits becomes the first 128 bits of its SHA-256 */
	const char *name, *user, *status;
	int64_t started_ms, ended_ms;
	bool ended, deleted;
	const struct sl_pair *tags, *params;
	size_t tag_count, param_count;
};
/* 1: metrics and artifacts may follow, then end. 0: it is complete here already. */
int sl_import_run_begin(struct sl_import *import, const struct sl_experiment *experiment, const struct sl_import_run *run,
	struct sl_arena *arena, struct sl_error *err);
/* At most SL_REC_BATCH_METRICS. */
int sl_import_metrics(struct sl_import *import, const struct sl_rec_metric *metrics, size_t count, struct sl_arena *arena,
	struct sl_error *err);
/* All regular files below the folder `dir`, to the path `below` ("": the top) among the run's; symbolic links are not followed. No such folder:
 * nothing. */
int sl_import_artifacts(struct sl_import *import, const char *dir, const char *below, struct sl_error *err);
/* One file, which is moved away or stays, at `path` below the artifact location `uri` of this store; nothing when that is kept elsewhere. */
int sl_import_artifact(struct sl_import *import, const char *file, const char *uri, const char *path, bool move, struct sl_error *err);
/* Commits what came so far, for a reader that waits for something: nobody else's writing is held up meanwhile. */
int sl_import_pause(struct sl_import *import, struct sl_error *err);
int sl_import_run_end(struct sl_import *import, const struct sl_import_run *run, struct sl_error *err);
/* Takes back what is under way; for a reader that fails between begin and end. */
void sl_import_drop(struct sl_import *import);

struct sl_import_version {
	const char *model, *description, *source, *run, *stage;
	const char *run_artifacts;  /* where the artifacts of its run lie over there, or "": a source below moves along */
	int64_t version;
	const struct sl_pair *tags;
	size_t tag_count;
};
int sl_import_model(struct sl_import *import, const char *name, const char *description, const struct sl_pair *tags, size_t tag_count,
	struct sl_arena *arena, struct sl_error *err);
/* In rising order of a model's versions. One whose source this store would not take is told by `news`. */
int sl_import_version(struct sl_import *import, const struct sl_import_version *version, struct sl_arena *arena, struct sl_error *err);
int sl_import_alias(struct sl_import *import, const char *model, const char *alias, int64_t version, struct sl_arena *arena,
	struct sl_error *err);

/* A run's id here for its id over there. */
void sl_import_id(const char *text, char out[SL_ID_HEX + 1]);

/* ---- readers ---- */

/* A zip that ClearML kept of an off-line session, or all of a folder. `tmp_dir` takes one unpacked. */
int sl_import_clearml(struct sl_import *import, const char *path, const char *tmp_dir, struct sl_error *err);
/* What neptune-exporter wrote: `dir`/data and, unless `files_dir` names it, `dir`/files. `tmp_dir` takes a series at a time. */
int sl_import_neptune(struct sl_import *import, const char *dir, const char *files_dir, const char *tmp_dir, struct sl_error *err);

/* A folder "mlruns" of MLflow's file store: experiments, runs (also in .trash), artifacts below the runs' own folders, registered models. */
int sl_import_mlflow_files(struct sl_import *import, const char *dir, struct sl_error *err);
/* The SQLite database of a tracking server, only read. `artifacts_dir` is the folder behind "mlflow-artifacts:/" (mlartifacts), or NULL:
 * then only artifacts at local paths come along. */
int sl_import_mlflow_database(struct sl_import *import, const char *path, const char *artifacts_dir, struct sl_error *err);

#endif

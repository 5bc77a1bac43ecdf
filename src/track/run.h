/* Runs: one execution and all that it used and made, by content. Every writer is one transaction and refuses a run that has ended
 * (SL_E_CONFLICT); `end` writes the canonical record's hash into the run and the ledger, so that nothing of a finished run can
 * change unseen (docs/formats/run.md). */
#ifndef SL_TRACK_RUN_H
#define SL_TRACK_RUN_H

#include "base/error.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "ledger/ledger.h"
#include "port/meta.h"

/* What every call here needs; borrowed. */
struct sl_track {
	struct sl_meta *meta;
	struct sl_ledger *ledger;
	const char *dir; /* .sluice, to tell running roles of a change (track/notify.h); NULL: nobody is told */
};

struct sl_run_start {
	const char *kind, *name, *reason;
	const char *parent;       /* run id or NULL; a run with a parent ends with the parent's process */
	const char *fingerprint;  /* or NULL */
	const char *environment;  /* JSON text; see sl_environment_json; "{}" */
};
int sl_run_begin(struct sl_track *track, const struct sl_run_start *start, struct sl_id *ret, struct sl_error *err);
int sl_run_param(struct sl_track *track, const struct sl_id *run, const char *name, const char *json_value, struct sl_error *err);
int sl_run_tag(struct sl_track *track, const struct sl_id *run, const char *name, const char *value, struct sl_error *err);
struct sl_metric { const char *name; int64_t step; int64_t time_ms; double value; };
int sl_run_metrics(struct sl_track *track, const struct sl_id *run, const struct sl_metric *metrics, size_t count,
		   struct sl_error *err);
int sl_run_input(struct sl_track *track, const struct sl_id *run, const char *kind, const char *name, const struct sl_hash *hash,
		 struct sl_error *err);
int sl_run_output(struct sl_track *track, const struct sl_id *run, const char *kind, const char *name, const struct sl_hash *hash,
		  struct sl_error *err);
int sl_run_artifact(struct sl_track *track, const struct sl_id *run, const char *path, const struct sl_hash *hash,
		    uint64_t size_bytes, struct sl_error *err);
/* status: ok, failed, cancelled, killed. `cause` in words. Appends ledger entry "run.end" with the record's hash. May be called
 * inside an open transaction, so that outputs and end are one commit. */
int sl_run_end(struct sl_track *track, const struct sl_id *run, const char *status, const char *cause, struct sl_error *err);
/* The canonical record as JSON bytes; its SHA-256 is what `end` stored. */
int sl_run_record(struct sl_track *track, const struct sl_id *run, struct sl_buf *out, struct sl_error *err);
/* Marks runs "killed" whose process is gone (tag "process" of it or its parent, os/alive.h, which begin writes), but for those of `attempt`,
 * whose own processes outlive it (flow/keeper.h). Part of sl_store_tidy. */
int sl_run_reap(struct sl_track *track, struct sl_error *err);
/* Finds one run by id or unique prefix. SL_E_NOT_FOUND, or SL_E_INVALID when ambiguous. */
int sl_run_find(struct sl_track *track, const char *id_or_prefix, struct sl_id *ret, struct sl_error *err);

enum { SL_DIFF_MAX_BYTES = 16 << 20 };
/* {"program","version","host","os","machine","cpus","cpu","git":{"commit","dirty","diff"}} of this process and folder, as
 * canonical JSON; libraries are added by the worker that loads them. `ret_diff` (may be NULL; max SL_DIFF_MAX_BYTES) gets what
 * `git diff HEAD` says of the folder, whose SHA-256 is "diff". Starts git twice (about 10 ms): call it once per command and only
 * when something runs. */
int sl_environment_json(const char *project_dir, struct sl_buf *out, struct sl_buf *ret_diff, struct sl_error *err);

#endif

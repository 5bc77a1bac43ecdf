/* Runs as clients see them. The times are the clients' own clocks. */
#ifndef SL_RECORD_RUN_H
#define SL_RECORD_RUN_H

#include "record/experiment.h"

struct sl_rec_run {
	int64_t num;                 /* the key of its rows here */
	char id[SL_ID_HEX + 1];      /* 32 hex digits */
	int64_t experiment, started_ms, ended_ms;
	bool ended, deleted;
	/* In the arena that was given. status: RUNNING, SCHEDULED, FINISHED, FAILED, KILLED */
	const char *status, *name, *user, *artifact_uri;
};

struct sl_rec_run_start {
	const char *id;          /* 32 hex digits, which nothing here has yet; NULL: a new one */
	const char *name, *user; /* "" or NULL name: from the tag mlflow.runName, else a made-up one */
	int64_t started_ms;
	const struct sl_pair *tags;
	size_t tag_count;
};
int sl_rec_run_create(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_rec_run_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err);
/* `id`: 32 hex digits, or the ULID. SL_E_NOT_FOUND "Run with id=... not found". */
int sl_rec_run_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err);
/* The same by number; 1 and filled, 0: no such run. */
int sl_rec_run_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err);
/* SL_E_INVALID when it is in the bin: nothing may be logged into it. */
int sl_rec_run_check_active(const struct sl_rec_run *run, struct sl_error *err);
bool sl_rec_status_valid(const char *status);

/* Each member NULL: as it was. `run` shows the new state afterwards. */
struct sl_rec_run_update { const char *status, *name; const int64_t *ended_ms; };
int sl_rec_run_update(struct sl_record *record, struct sl_rec_run *run, const struct sl_rec_run_update *update,
	const struct sl_change *change, struct sl_error *err);
/* Into the bin or back; nothing happens when it is there already. */
int sl_rec_run_set_deleted(struct sl_record *record, const struct sl_rec_run *run, bool deleted, const struct sl_change *change,
	struct sl_error *err);

#endif

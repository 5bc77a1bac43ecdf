/* Threads for what the loop of the role cannot wait for, and the queues before them: one lane per model, so that no model waits behind another.
 *
 *   loop: sl_pool_add --> lane: bounded, by priority, then by arrival --> a thread: config.run --> config.ended --> loop: sl_pool_take
 *
 * - Two kinds of threads, one of each per processor: quick ones for lanes whose runs take up to SL_POOL_SLOW_MS and for the first run of each, slow
 *   ones, which yield the processor to everybody else (SL_POOL_NICE), for the others. A quick thread whose run turns out to be slow has another stand
 *   in for it meanwhile. Lanes of a kind take turns.
 * - A lane refuses at once (SL_E_BUSY) what would wait too long: beyond `queue_max`; beyond the job's deadline; and by the rule of oip/admit.h, with
 *   the wait that is expected from the mean of its runs: a burst may wait SL_POOL_BURSTS times `max_wait_ns`, but once nothing has waited less than
 *   `max_wait_ns` for SL_POOL_OVERLOADED_MS, that is all (or two runs, whichever is more).
 * - A job whose deadline comes, or that is cancelled, is ended at once when it waits. When it runs, its run is stopped as soon as nobody wants
 *   any of it; what a late run found is dropped.
 * - A lane with `batch_rows` gives a thread several of its waiting jobs at once, when config.fits says that they may be one. It never waits for
 *   more of them, unless `delay_ns` says so; and it takes no further one that would make an earlier deadline of the batch be missed.
 *
 * Everything but config.run is on one thread, the loop's; config.fits, .stop and .ended are called with a lock held and must be short.
 */
#ifndef SL_SERVE_POOL_H
#define SL_SERVE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
	SL_POOL_THREADS_MAX = 16,    /* of a kind */
	SL_POOL_SLOW_MS = 5,
	SL_POOL_NICE = 10,
	SL_POOL_PRIORITIES = 8,      /* 1 goes first */
	SL_POOL_PRIORITY = 4,        /* of who does not say */
	SL_POOL_QUEUE_MAX = 128,     /* of a lane that does not say */
	SL_POOL_BATCH_MAX = 128,     /* jobs in a run */
	SL_POOL_BYTES_MAX = 512 << 20, /* of all jobs together */
	SL_POOL_BURSTS = 20, SL_POOL_OVERLOADED_MS = 100,
};

struct sl_lane;
struct sl_pool_run;

/* Lives in the caller's own struct, zeroed before it is added; the caller's again when sl_pool_take gives it back. */
struct sl_job {
	unsigned priority;    /* 1 to SL_POOL_PRIORITIES */
	int64_t deadline_ns;  /* 0: none */
	size_t rows;          /* for a batch; 0: it goes alone */
	size_t bytes;         /* that it holds, about */
	/* set by config.run, or by the pool for who did not come to it or came too late */
	int rc;
	struct sl_error err;
	int64_t waited_ns;
	bool joined;          /* it went along with another one in front */
	/* the pool's */
	struct sl_lane *lane;
	struct sl_job *next, *prev;
	struct sl_pool_run *run;
	int64_t added_ns;
	bool waiting, gone;
};

struct sl_job_list { struct sl_job *first, *last; };

/* Zeroed, but for the settings, by who owns it; has no memory of its own. May go when no job of it is in the pool. */
struct sl_lane {
	size_t queue_max;     /* 0: SL_POOL_QUEUE_MAX */
	size_t batch_rows;    /* 0: no batches */
	size_t fill_rows;     /* so many need not wait for more; 0: batch_rows */
	int64_t delay_ns;     /* how long its oldest job may wait for others to fill a batch */
	int64_t max_wait_ns;  /* 0: jobs wait however long */
	int64_t timeout_ns;   /* for the caller: of a job that does not say; 0: none */
	unsigned priority;    /* for the caller: of a job that does not say; 0: SL_POOL_PRIORITY */
	bool slow;            /* known to be */
	/* the pool's */
	struct sl_job_list waiting[SL_POOL_PRIORITIES];
	size_t count, rows, running;
	uint64_t runs, jobs;  /* ended */
	uint64_t waited_ns;   /* sum over the jobs */
	int64_t run_ns, job_ns; /* means, of late; of the job: its part of the run */
	int64_t row_ns;
	int64_t began_ns, calm_ns;
	struct sl_lane *next, *prev;
	bool listed;
};

/* What a thread has in hand. */
struct sl_pool_run {
	struct sl_job *jobs[SL_POOL_BATCH_MAX];
	size_t count;
	/* the pool's */
	struct sl_pool_run *next, *prev;
	int64_t began_ns;
	bool stopped, quick;
};

struct sl_pool_config {
	void *context;
	/* Does the jobs, which are of one lane: each gets its rc and err. */
	void (*run)(void *context, struct sl_pool_run *run);
	/* Whether both may be in one batch. NULL: there are no batches. */
	bool (*fits)(void *context, const struct sl_job *first, const struct sl_job *other);
	/* Nobody wants this run, which may not have ended: it should. */
	void (*stop)(void *context, struct sl_pool_run *run);
	/* Jobs have ended since the last sl_pool_take that gave NULL. Called by any thread. */
	void (*ended)(void *context);
	unsigned threads; /* of each kind; 0: one per processor */
};

struct sl_pool;
int sl_pool_new(const struct sl_pool_config *config, struct sl_pool **ret, struct sl_error *err); /* threads are started when they are needed */
/* Cancels everything and waits for what runs; sl_pool_take still gives the jobs. */
void sl_pool_stop(struct sl_pool *pool);
void sl_pool_free(struct sl_pool *pool); /* after sl_pool_stop and the last job; NULL is fine */

/* SL_E_BUSY: it would wait too long, or there are too many; it is the caller's as before. */
int sl_pool_add(struct sl_pool *pool, struct sl_lane *lane, struct sl_job *job, struct sl_error *err);
/* Nobody waits for it any more: it ends with SL_E_CANCELLED, soon. */
void sl_pool_cancel(struct sl_pool *pool, struct sl_job *job);
/* Ends what waited beyond its deadline, and stops what runs beyond it. To be called every SL_POOL_TICK_MS or so while there are jobs. */
enum { SL_POOL_TICK_MS = 10 };
void sl_pool_expire(struct sl_pool *pool);
/* A run of the lane that was made elsewhere, and what one of so many rows would take. */
void sl_pool_note(struct sl_pool *pool, struct sl_lane *lane, size_t rows, int64_t took_ns);
int64_t sl_pool_expects(struct sl_pool *pool, const struct sl_lane *lane, size_t rows);
/* Whether a job that runs is still wanted. Any thread. */
bool sl_job_wanted(const struct sl_job *job);
/* The next job that has ended; NULL: none. */
struct sl_job *sl_pool_take(struct sl_pool *pool);
/* Jobs that are in the pool, those that sl_pool_take would give included. */
size_t sl_pool_count(const struct sl_pool *pool);

#endif

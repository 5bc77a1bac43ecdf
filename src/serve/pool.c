#include "serve/pool.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "serve/lane.h"

enum kind { QUICK, SLOW, KINDS };

static const int64_t MS = 1000000;
static const char GONE[] = "the client has gone", LATE[] = "the request's time is over";

struct threads {
	pthread_cond_t wanted;
	unsigned count, idle;
};

struct sl_pool {
	struct sl_pool_config config;
	pthread_mutex_t lock;
	pthread_cond_t left;           /* a thread has ended */
	struct threads kinds[KINDS];
	struct sl_lane *first, *last;  /* with waiting jobs, in the order of their turns */
	struct sl_pool_run *runs;
	struct sl_job_list ended;
	size_t jobs, bytes;
	bool stopping;
};

struct worker { struct sl_pool *pool; enum kind kind; };

/* ---- lanes that wait ---- */

static void leave(struct sl_pool *pool, struct sl_lane *lane)
{
	*(lane->prev ? &lane->prev->next : &pool->first) = lane->next;
	*(lane->next ? &lane->next->prev : &pool->last) = lane->prev;
	lane->next = lane->prev = NULL;
	lane->listed = false;
}

static void enter(struct sl_pool *pool, struct sl_lane *lane)
{
	lane->prev = pool->last;
	lane->next = NULL;
	*(pool->last ? &pool->last->next : &pool->first) = lane;
	pool->last = lane;
	lane->listed = true;
}

static enum kind kind_of(const struct sl_lane *lane, int64_t now_ns)
{
	int64_t slow_ns = SL_POOL_SLOW_MS * MS;
	bool held = lane->running && now_ns - lane->began_ns > slow_ns, unknown = !lane->runs && lane->running;
	return lane->slow || unknown || held || lane->run_ns > slow_ns ? SLOW : QUICK;
}

/* Quick threads whose runs turned out not to be. */
static unsigned stuck(const struct sl_pool *pool, int64_t now_ns)
{
	unsigned count = 0;
	for (const struct sl_pool_run *run = pool->runs; run; run = run->next)
		count += run->quick && now_ns - run->began_ns > SL_POOL_SLOW_MS * MS;
	return count;
}

static void end_job(struct sl_pool *pool, struct sl_job *job)
{
	job->prev = NULL;
	lane_push(&pool->ended, job);
}

/* Out of its lane, without having run. */
static void drop(struct sl_pool *pool, struct sl_job *job, int code, const char *why)
{
	struct sl_lane *lane = job->lane;
	lane_remove(lane, job);
	if (!lane->count)
		leave(pool, lane);
	job->rc = sl_fail(&job->err, code, "%s", why);
	job->waited_ns = sl_monotonic_ns() - job->added_ns;
	end_job(pool, job);
}

/* ---- threads ---- */

static bool call_thread(struct sl_pool *pool, enum kind kind);

static bool is_gone(const struct sl_job *job) { return __atomic_load_n(&job->gone, __ATOMIC_RELAXED); }
static bool is_late(const struct sl_job *job, int64_t now_ns) { return job->deadline_ns && now_ns > job->deadline_ns; }
static void set_gone(struct sl_job *job) { __atomic_store_n(&job->gone, true, __ATOMIC_RELAXED); }

bool sl_job_wanted(const struct sl_job *job) { return !is_gone(job) && !is_late(job, sl_monotonic_ns()); }

static void settle(const struct sl_job *job, int64_t now_ns, int *rc, struct sl_error *err)
{
	if (is_gone(job))
		*rc = sl_fail(err, SL_E_CANCELLED, "%s", GONE);
	else if (is_late(job, now_ns))
		*rc = sl_fail(err, SL_E_TIMEOUT, "%s", LATE);
}

static void begin_run(struct sl_pool *pool, enum kind kind, struct sl_pool_run *run)
{
	struct sl_lane *lane = run->jobs[0]->lane;
	run->quick = kind == QUICK;
	if (!lane->running++)
		lane->began_ns = run->began_ns;
	for (size_t i = 0; i < run->count; i++) {
		run->jobs[i]->run = run;
		run->jobs[i]->joined = i > 0;
	}
	run->prev = NULL;
	run->next = pool->runs;
	if (run->next)
		run->next->prev = run;
	pool->runs = run;
}

/* `took_ns`: of the processor's time, for a run that was preempted on a busy machine is not a slow one. */
static void end_run(struct sl_pool *pool, struct sl_pool_run *run, int64_t took_ns)
{
	struct sl_lane *lane = run->jobs[0]->lane;
	int64_t now_ns = sl_monotonic_ns();
	*(run->prev ? &run->prev->next : &pool->runs) = run->next;
	if (run->next)
		run->next->prev = run->prev;
	lane->began_ns = now_ns; /* of another that still runs: since then at least */
	lane->running--;
	lane_measure(lane, run, took_ns);
	for (size_t i = 0; i < run->count; i++) {
		struct sl_job *job = run->jobs[i];
		job->run = NULL;
		settle(job, now_ns, &job->rc, &job->err);
		end_job(pool, job);
	}
	if (lane->count)
		call_thread(pool, kind_of(lane, now_ns)); /* which may be another kind by now */
}

/* False: nothing is left of the lane. */
static bool drop_late(struct sl_pool *pool, struct sl_lane *lane, int64_t now_ns)
{
	bool dropped = false;
	for (struct sl_job *job; lane->count && (job = lane_expired(lane, now_ns)); dropped = true)
		drop(pool, job, SL_E_TIMEOUT, LATE);
	if (dropped)
		pool->config.ended(pool->config.context);
	return lane->count > 0;
}

/* The next run of this kind; false with when to look again (0: when somebody says so). */
static bool pick(struct sl_pool *pool, enum kind kind, struct sl_pool_run *run, int64_t *ret_look_ns)
{
	int64_t now_ns = sl_monotonic_ns();
	*ret_look_ns = 0;
	for (struct sl_lane *lane = pool->first, *next; lane; lane = next) {
		next = lane->next;
		if (kind_of(lane, now_ns) != kind || !drop_late(pool, lane, now_ns))
			continue;
		int64_t ripe_ns = lane_ripe_at(lane, now_ns);
		if (ripe_ns > now_ns) {
			if (!*ret_look_ns || ripe_ns < *ret_look_ns)
				*ret_look_ns = ripe_ns;
			continue;
		}
		run->stopped = false;
		run->began_ns = now_ns;
		lane_gather(lane, &pool->config, now_ns, run);
		leave(pool, lane);
		if (lane->count)
			enter(pool, lane);
		return true;
	}
	return false;
}

static void wait_for_work(struct sl_pool *pool, struct threads *threads, int64_t look_ns)
{
	struct timespec until = {.tv_sec = look_ns / 1000000000, .tv_nsec = look_ns % 1000000000};
	threads->idle++;
	if (look_ns)
		pthread_cond_timedwait(&threads->wanted, &pool->lock, &until);
	else
		pthread_cond_wait(&threads->wanted, &pool->lock);
	threads->idle--;
}

/* Those that stood in for threads which were held up go again. */
static bool is_needed(const struct sl_pool *pool, const struct threads *threads)
{
	return !pool->stopping && threads->count <= pool->config.threads + stuck(pool, sl_monotonic_ns());
}

static void *thread_main(void *context)
{
	struct worker worker = *(struct worker *)context;
	struct sl_pool *pool = worker.pool;
	struct threads *threads = &pool->kinds[worker.kind];
	struct sl_pool_run run = {0};
	int64_t look_ns;
	sl_free(context);
	if (worker.kind == SLOW && nice(SL_POOL_NICE) == -1) /* on Linux it is this thread's alone, and lowering is never refused */
		sl_debug("a slow thread keeps the priority of the others");
	pthread_mutex_lock(&pool->lock);
	while (is_needed(pool, threads)) {
		if (!pick(pool, worker.kind, &run, &look_ns)) {
			wait_for_work(pool, threads, look_ns);
			continue;
		}
		begin_run(pool, worker.kind, &run);
		pthread_mutex_unlock(&pool->lock);
		int64_t began_ns = sl_processor_ns();
		pool->config.run(pool->config.context, &run);
		int64_t took_ns = sl_processor_ns() - began_ns;
		pthread_mutex_lock(&pool->lock);
		end_run(pool, &run, took_ns);
		pool->config.ended(pool->config.context);
	}
	threads->count--;
	pthread_cond_signal(&pool->left);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static bool start_thread(struct sl_pool *pool, enum kind kind)
{
	struct worker *worker = sl_alloc(sizeof *worker, NULL);
	pthread_t thread;
	if (worker)
		*worker = (struct worker){pool, kind};
	if (!worker || pthread_create(&thread, NULL, thread_main, worker)) {
		sl_free(worker);
		return false;
	}
	pthread_detach(thread);
	pool->kinds[kind].count++;
	return true;
}

/* True when some thread of the kind will look. */
static bool call_thread(struct sl_pool *pool, enum kind kind)
{
	struct threads *threads = &pool->kinds[kind];
	unsigned most = pool->config.threads + (kind == QUICK ? stuck(pool, sl_monotonic_ns()) : 0);
	pthread_cond_signal(&threads->wanted);
	if (!threads->idle && threads->count < most && threads->count < SL_POOL_THREADS_MAX)
		start_thread(pool, kind);
	return threads->count > 0;
}

/* ---- the pool ---- */

int sl_pool_new(const struct sl_pool_config *config, struct sl_pool **ret, struct sl_error *err)
{
	struct sl_pool *pool = sl_alloc(sizeof *pool, err);
	pthread_condattr_t attributes;
	if (!pool)
		return SL_E_NO_MEMORY;
	pool->config = *config;
	if (!pool->config.threads) {
		long processors = sysconf(_SC_NPROCESSORS_ONLN);
		pool->config.threads = processors < 1 ? 1 : processors > SL_POOL_THREADS_MAX ? SL_POOL_THREADS_MAX : (unsigned)processors;
	}
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->left, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	for (size_t i = 0; i < KINDS; i++)
		pthread_cond_init(&pool->kinds[i].wanted, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret = pool;
	return 0;
}

static void stop_run(struct sl_pool *pool, struct sl_pool_run *run)
{
	if (!run->stopped)
		pool->config.stop(pool->config.context, run);
	run->stopped = true;
}

void sl_pool_stop(struct sl_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	while (pool->first)
		drop(pool, lane_first(pool->first), SL_E_CANCELLED, "the server stops");
	for (struct sl_pool_run *run = pool->runs; run; run = run->next) {
		for (size_t i = 0; i < run->count; i++)
			set_gone(run->jobs[i]);
		stop_run(pool, run);
	}
	for (size_t i = 0; i < KINDS; i++)
		pthread_cond_broadcast(&pool->kinds[i].wanted);
	while (pool->kinds[QUICK].count || pool->kinds[SLOW].count)
		pthread_cond_wait(&pool->left, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

void sl_pool_free(struct sl_pool *pool)
{
	if (!pool)
		return;
	assert(!pool->jobs && !pool->kinds[QUICK].count && !pool->kinds[SLOW].count);
	for (size_t i = 0; i < KINDS; i++)
		pthread_cond_destroy(&pool->kinds[i].wanted);
	pthread_cond_destroy(&pool->left);
	pthread_mutex_destroy(&pool->lock);
	sl_free(pool);
}

static int check_room(const struct sl_pool *pool, const struct sl_lane *lane, const struct sl_job *job, int64_t now_ns, struct sl_error *err)
{
	if (pool->stopping)
		return sl_fail(err, SL_E_BUSY, "the server stops");
	if (job->bytes > SL_POOL_BYTES_MAX - pool->bytes)
		return sl_fail(err, SL_E_BUSY, "the requests that wait fill %d MiB", SL_POOL_BYTES_MAX >> 20);
	return lane_admit(lane, job, pool->config.threads, now_ns, err);
}

int sl_pool_add(struct sl_pool *pool, struct sl_lane *lane, struct sl_job *job, struct sl_error *err)
{
	int64_t now_ns = sl_monotonic_ns();
	assert(job->priority >= 1 && job->priority <= SL_POOL_PRIORITIES && !job->lane);
	pthread_mutex_lock(&pool->lock);
	if (!lane->count)
		lane->calm_ns = now_ns;
	int rc = check_room(pool, lane, job, now_ns, err);
	if (!rc && !call_thread(pool, kind_of(lane, now_ns)))
		rc = sl_fail(err, SL_E_BUSY, "no thread can be started");
	if (!rc) {
		job->lane = lane;
		job->added_ns = now_ns;
		lane_add(lane, job);
		if (!lane->listed)
			enter(pool, lane);
		pool->jobs++;
		pool->bytes += job->bytes;
	} else {
		sl_error_hint(err, "ask again later");
	}
	pthread_mutex_unlock(&pool->lock);
	return rc;
}

static bool is_wanted(const struct sl_pool_run *run, int64_t now_ns)
{
	for (size_t i = 0; i < run->count; i++)
		if (!is_gone(run->jobs[i]) && !is_late(run->jobs[i], now_ns))
			return true;
	return false;
}

void sl_pool_cancel(struct sl_pool *pool, struct sl_job *job)
{
	pthread_mutex_lock(&pool->lock);
	set_gone(job);
	if (job->run && !is_wanted(job->run, sl_monotonic_ns())) {
		stop_run(pool, job->run);
	} else if (job->waiting) {
		drop(pool, job, SL_E_CANCELLED, GONE);
		pool->config.ended(pool->config.context);
	}
	pthread_mutex_unlock(&pool->lock);
}

void sl_pool_expire(struct sl_pool *pool)
{
	int64_t now_ns = sl_monotonic_ns();
	pthread_mutex_lock(&pool->lock);
	for (struct sl_lane *lane = pool->first, *next; lane; lane = next) {
		next = lane->next;
		if (drop_late(pool, lane, now_ns)) /* a run may have turned out to be a slow one */
			call_thread(pool, kind_of(lane, now_ns));
	}
	for (struct sl_pool_run *run = pool->runs; run; run = run->next)
		if (!is_wanted(run, now_ns))
			stop_run(pool, run);
	pthread_mutex_unlock(&pool->lock);
}

void sl_pool_note(struct sl_pool *pool, struct sl_lane *lane, size_t rows, int64_t took_ns)
{
	struct sl_job job = {.rows = rows};
	struct sl_pool_run run = {.jobs = {&job}, .count = 1};
	pthread_mutex_lock(&pool->lock);
	lane_measure(lane, &run, took_ns);
	pthread_mutex_unlock(&pool->lock);
}

int64_t sl_pool_expects(struct sl_pool *pool, const struct sl_lane *lane, size_t rows)
{
	pthread_mutex_lock(&pool->lock);
	int64_t run_ns = lane->run_ns, rows_ns = lane->row_ns * (int64_t)rows;
	pthread_mutex_unlock(&pool->lock);
	return run_ns > rows_ns ? run_ns : rows_ns;
}

struct sl_job *sl_pool_take(struct sl_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	struct sl_job *job = pool->ended.first;
	if (job) {
		pool->ended.first = job->next;
		if (!job->next)
			pool->ended.last = NULL;
		pool->jobs--;
		pool->bytes -= job->bytes;
	}
	pthread_mutex_unlock(&pool->lock);
	if (job) {
		job->next = NULL;
		job->lane = NULL;
	}
	return job;
}

size_t sl_pool_count(const struct sl_pool *pool) { return pool->jobs; } /* changed by the loop's thread alone */

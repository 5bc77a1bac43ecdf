#include "serve/lane.h"

#include <assert.h>

static const int64_t MS = 1000000;

/* ---- order ---- */

void lane_push(struct sl_job_list *list, struct sl_job *job)
{
	job->next = NULL;
	job->prev = list->last;
	*(list->last ? &list->last->next : &list->first) = job;
	list->last = job;
}

void lane_add(struct sl_lane *lane, struct sl_job *job)
{
	lane_push(&lane->waiting[job->priority - 1], job);
	job->waiting = true;
	lane->count++;
	lane->rows += job->rows;
}

void lane_remove(struct sl_lane *lane, struct sl_job *job)
{
	struct sl_job_list *list = &lane->waiting[job->priority - 1];
	assert(job->waiting);
	*(job->prev ? &job->prev->next : &list->first) = job->next;
	*(job->next ? &job->next->prev : &list->last) = job->prev;
	job->next = job->prev = NULL;
	job->waiting = false;
	lane->count--;
	lane->rows -= job->rows;
}

struct sl_job *lane_first(const struct sl_lane *lane)
{
	for (size_t p = 0; p < SL_POOL_PRIORITIES; p++)
		if (lane->waiting[p].first)
			return lane->waiting[p].first;
	assert(!"a lane without a job");
	return NULL;
}

static bool is_late(const struct sl_job *job, int64_t now_ns) { return job->deadline_ns && now_ns > job->deadline_ns; }

struct sl_job *lane_expired(const struct sl_lane *lane, int64_t now_ns)
{
	for (size_t p = 0; p < SL_POOL_PRIORITIES; p++)
		for (struct sl_job *job = lane->waiting[p].first; job; job = job->next)
			if (is_late(job, now_ns))
				return job;
	return NULL;
}

/* ---- who may come in ---- */

static int64_t expected_wait(const struct sl_lane *lane, unsigned priority, unsigned threads)
{
	size_t ahead = lane->running;
	for (size_t p = 0; p < priority; p++)
		for (const struct sl_job *job = lane->waiting[p].first; job; job = job->next)
			ahead++;
	return ahead < threads ? 0 : (int64_t)(ahead - threads + 1) * lane->job_ns / threads;
}

int lane_admit(const struct sl_lane *lane, const struct sl_job *job, unsigned threads, int64_t now_ns, struct sl_error *err)
{
	size_t most = lane->queue_max ? lane->queue_max : SL_POOL_QUEUE_MAX;
	if (lane->count >= most)
		return sl_fail(err, SL_E_BUSY, "%zu requests of this model wait already", lane->count);
	int64_t wait_ns = expected_wait(lane, job->priority, threads), two_ns = 2 * lane->run_ns;
	if (job->deadline_ns && wait_ns && now_ns + wait_ns + lane->run_ns > job->deadline_ns)
		return sl_fail(err, SL_E_BUSY, "the request would not be answered in its time: others wait");
	bool overloaded = lane->count && now_ns - lane->calm_ns > SL_POOL_OVERLOADED_MS * MS;
	int64_t limit_ns = overloaded ? lane->max_wait_ns : SL_POOL_BURSTS * lane->max_wait_ns;
	if (!lane->max_wait_ns || wait_ns <= (limit_ns > two_ns ? limit_ns : two_ns))
		return 0;
	return sl_fail(err, SL_E_BUSY, "there are more requests than this model can answer");
}

/* ---- batches ---- */

/* In time for all rows that wait, with a quarter of its time to spare. */
static int64_t begin_by(const struct sl_lane *lane, const struct sl_job *job)
{
	int64_t spare_ns = (job->deadline_ns - job->added_ns) / 4;
	return job->deadline_ns ? job->deadline_ns - spare_ns - lane->row_ns * (int64_t)lane->rows : INT64_MAX;
}

int64_t lane_ripe_at(const struct sl_lane *lane, int64_t now_ns)
{
	int64_t ripe_ns = INT64_MAX;
	if (!lane->delay_ns || !lane->batch_rows || lane->rows >= (lane->fill_rows ? lane->fill_rows : lane->batch_rows))
		return now_ns;
	for (size_t p = 0; p < SL_POOL_PRIORITIES; p++)
		for (const struct sl_job *job = lane->waiting[p].first; job; job = job->next) {
			int64_t at_ns = job->rows ? job->added_ns + lane->delay_ns : now_ns, by_ns = begin_by(lane, job);
			at_ns = at_ns < by_ns ? at_ns : by_ns;
			ripe_ns = at_ns < ripe_ns ? at_ns : ripe_ns;
		}
	return ripe_ns;
}

struct filling {
	struct sl_pool_run *run;
	size_t rows;
	int64_t deadline_ns; /* the earliest; INT64_MAX: none */
};

static void take(struct sl_lane *lane, struct sl_job *job, int64_t now_ns, struct filling *filling)
{
	lane_remove(lane, job);
	job->waited_ns = now_ns - job->added_ns;
	filling->run->jobs[filling->run->count++] = job;
	filling->rows += job->rows;
	if (job->deadline_ns && job->deadline_ns < filling->deadline_ns)
		filling->deadline_ns = job->deadline_ns;
}

/* Whether the batch may grow by it: within the rows, and so that nobody of it comes too late by what is known of a row's time. */
static bool has_place(const struct sl_lane *lane, const struct filling *filling, const struct sl_job *job, int64_t now_ns)
{
	size_t rows = filling->rows + job->rows;
	int64_t deadline_ns = job->deadline_ns && job->deadline_ns < filling->deadline_ns ? job->deadline_ns : filling->deadline_ns;
	return job->rows && rows <= lane->batch_rows &&
	       (deadline_ns == INT64_MAX || now_ns + lane->row_ns * (int64_t)rows <= deadline_ns);
}

void lane_gather(struct sl_lane *lane, const struct sl_pool_config *config, int64_t now_ns, struct sl_pool_run *run)
{
	struct filling filling = {.run = run, .deadline_ns = INT64_MAX};
	struct sl_job *first = lane_first(lane);
	run->count = 0;
	take(lane, first, now_ns, &filling);
	if (!config->fits || !lane->batch_rows || !first->rows)
		return;
	for (size_t p = 0; p < SL_POOL_PRIORITIES; p++)
		for (struct sl_job *job = lane->waiting[p].first, *next; job && run->count < SL_POOL_BATCH_MAX; job = next) {
			next = job->next;
			if (!is_late(job, now_ns) && has_place(lane, &filling, job, now_ns) && config->fits(config->context, first, job))
				take(lane, job, now_ns, &filling);
		}
}

/* ---- measuring ---- */

static int64_t mean(int64_t old, int64_t fresh, bool first) { return first ? fresh : old + (fresh - old) / 8; }

void lane_measure(struct sl_lane *lane, const struct sl_pool_run *run, int64_t took_ns)
{
	bool first = !lane->runs++;
	size_t rows = 0;
	for (size_t i = 0; i < run->count; i++) {
		rows += run->jobs[i]->rows;
		lane->waited_ns += (uint64_t)run->jobs[i]->waited_ns;
		if (run->jobs[i]->waited_ns <= lane->max_wait_ns || run->jobs[i]->waited_ns <= 2 * lane->run_ns)
			lane->calm_ns = run->began_ns;
	}
	lane->jobs += run->count;
	lane->run_ns = mean(lane->run_ns, took_ns, first);
	lane->job_ns = mean(lane->job_ns, took_ns / (int64_t)run->count, first);
	lane->row_ns = mean(lane->row_ns, took_ns / (int64_t)(rows ? rows : 1), first);
}

/* The pool with jobs that wait for each other and a clock that tests move, so that nothing here depends on how fast the machine is. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "os/sys.h"
#include "serve/lane.h"
#include "serve/pool.h"

/* The time of all pools here: it goes on when a test says so, so no run is slow because the machine is. */
static int64_t now_ns = 1;
static struct sl_sys table;

static int64_t told_ns(void) { return __atomic_load_n(&now_ns, __ATOMIC_SEQ_CST); }
static void let_pass(int64_t ns) { __atomic_add_fetch(&now_ns, ns, __ATOMIC_SEQ_CST); }

static int use_told_time(void **state)
{
	(void)state;
	table = sl_sys_real;
	table.monotonic_ns = told_ns;
	sl_sys = &table;
	return 0;
}

/* Runs of a job that is held end when the test says so, or when they are stopped. */
struct stage {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sl_pool *pool;
	unsigned begun, ended_calls, runs;
	size_t largest;
	bool released, stopped;
};

struct job {
	struct sl_job job;
	struct stage *stage;
	bool held;
	unsigned order; /* when it ran, from 1 */
};

static struct job *job_of(struct sl_job *job) { return (struct job *)(void *)job; }

static void on_run(void *context, struct sl_pool_run *run)
{
	struct stage *s = context;
	pthread_mutex_lock(&s->lock);
	s->runs++;
	s->largest = run->count > s->largest ? run->count : s->largest;
	for (size_t i = 0; i < run->count; i++)
		job_of(run->jobs[i])->order = ++s->begun;
	pthread_cond_broadcast(&s->changed);
	while (job_of(run->jobs[0])->held && !s->released && !s->stopped)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static bool on_fits(void *context, const struct sl_job *first, const struct sl_job *other)
{
	(void)context;
	return !job_of((struct sl_job *)(uintptr_t)first)->held && other->rows;
}

static void on_stop(void *context, struct sl_pool_run *run)
{
	struct stage *s = context;
	(void)run;
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void on_ended(void *context)
{
	struct stage *s = context;
	pthread_mutex_lock(&s->lock);
	s->ended_calls++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void open_stage(struct stage *s, unsigned threads)
{
	struct sl_pool_config config = {.context = s, .run = on_run, .fits = on_fits, .stop = on_stop, .ended = on_ended, .threads = threads};
	*s = (struct stage){.pool = NULL};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	assert_int_equal(sl_pool_new(&config, &s->pool, NULL), 0);
}

static void close_stage(struct stage *s)
{
	sl_pool_stop(s->pool);
	while (sl_pool_take(s->pool))
		;
	sl_pool_free(s->pool);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

static int add(struct stage *s, struct sl_lane *lane, struct job *job, struct sl_error *err)
{
	job->stage = s;
	if (!job->job.priority)
		job->job.priority = SL_POOL_PRIORITY;
	return sl_pool_add(s->pool, lane, &job->job, err);
}

static void wait_begun(struct stage *s, unsigned count)
{
	pthread_mutex_lock(&s->lock);
	while (s->begun < count)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void release(struct stage *s)
{
	pthread_mutex_lock(&s->lock);
	s->released = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static struct job *take(struct stage *s)
{
	struct sl_job *job;
	while (!(job = sl_pool_take(s->pool))) {
		pthread_mutex_lock(&s->lock);
		while (!s->ended_calls)
			pthread_cond_wait(&s->changed, &s->lock);
		s->ended_calls = 0;
		pthread_mutex_unlock(&s->lock);
	}
	return job_of(job);
}

/* One model that does not come back holds as many threads as it may; another model's jobs are done meanwhile. */
static void test_a_slow_lane_does_not_hold_another(void **state)
{
	struct stage s;
	struct sl_lane slow = {0}, quick = {0};
	struct job held[6] = {0}, jobs[3] = {0};
	(void)state;
	open_stage(&s, 1);
	for (size_t i = 0; i < 6; i++) {
		held[i].held = true;
		assert_int_equal(add(&s, &slow, &held[i], NULL), 0);
	}
	wait_begun(&s, 1); /* the first one, on the quick thread */
	assert_int_equal(add(&s, &quick, &jobs[0], NULL), 0);
	let_pass((SL_POOL_SLOW_MS + 1) * INT64_C(1000000)); /* it is clear by now that the quick thread is held up: another one stands in */
	sl_pool_expire(s.pool);
	assert_ptr_equal(take(&s), &jobs[0]);
	for (size_t i = 1; i < 3; i++) {
		assert_int_equal(add(&s, &quick, &jobs[i], NULL), 0);
		assert_ptr_equal(take(&s), &jobs[i]);
		assert_int_equal(jobs[i].job.rc, 0);
	}
	release(&s);
	for (size_t i = 0; i < 6; i++)
		assert_true(take(&s)->held);
	assert_int_equal(sl_pool_count(s.pool), 0);
	close_stage(&s);
}

static void hold(struct stage *s, struct sl_lane *lane, struct job *job)
{
	job->held = true;
	unsigned before = s->begun;
	assert_int_equal(add(s, lane, job, NULL), 0);
	wait_begun(s, before + 1);
}

static void test_priorities_then_arrival(void **state)
{
	struct stage s;
	struct sl_lane lane = {.slow = true};
	struct job first = {0}, jobs[4] = {0};
	const unsigned priorities[] = {4, 8, 1, 4}, orders[] = {3, 5, 2, 4};
	(void)state;
	open_stage(&s, 1);
	hold(&s, &lane, &first);
	for (size_t i = 0; i < 4; i++) {
		jobs[i].job.priority = priorities[i];
		assert_int_equal(add(&s, &lane, &jobs[i], NULL), 0);
	}
	release(&s);
	for (size_t i = 0; i < 5; i++)
		take(&s);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(jobs[i].order, orders[i]);
	close_stage(&s);
}

static void test_a_lane_is_bounded(void **state)
{
	struct stage s;
	struct sl_lane lane = {.slow = true, .queue_max = 2}, other = {.slow = true};
	struct job first = {0}, jobs[3] = {0}, elsewhere = {0};
	struct sl_error err = {0};
	(void)state;
	open_stage(&s, 1);
	hold(&s, &lane, &first);
	assert_int_equal(add(&s, &lane, &jobs[0], &err), 0);
	assert_int_equal(add(&s, &lane, &jobs[1], &err), 0);
	assert_int_equal(add(&s, &lane, &jobs[2], &err), SL_E_BUSY);
	assert_int_equal(add(&s, &other, &elsewhere, &err), 0);
	release(&s);
	close_stage(&s);
}

static void test_who_goes_is_ended(void **state)
{
	struct stage s;
	struct sl_lane lane = {.slow = true};
	struct job first = {0}, waiting = {0};
	(void)state;
	open_stage(&s, 1);
	hold(&s, &lane, &first);
	assert_int_equal(add(&s, &lane, &waiting, NULL), 0);
	sl_pool_cancel(s.pool, &waiting.job);
	assert_ptr_equal(take(&s), &waiting);
	assert_int_equal(waiting.job.rc, SL_E_CANCELLED);
	assert_int_equal(waiting.order, 0);
	assert_false(s.stopped);
	sl_pool_cancel(s.pool, &first.job); /* which is running: stopped */
	assert_ptr_equal(take(&s), &first);
	assert_int_equal(first.job.rc, SL_E_CANCELLED);
	assert_true(s.stopped);
	close_stage(&s);
}

static void test_deadlines(void **state)
{
	struct stage s;
	struct sl_lane lane = {.slow = true};
	struct job first = {.job.deadline_ns = 0}, late = {.job.deadline_ns = 1}, fine = {.job.deadline_ns = INT64_MAX};
	(void)state;
	open_stage(&s, 1);
	hold(&s, &lane, &first);
	assert_int_equal(add(&s, &lane, &late, NULL), 0);
	assert_int_equal(add(&s, &lane, &fine, NULL), 0);
	sl_pool_expire(s.pool);
	assert_ptr_equal(take(&s), &late);
	assert_int_equal(late.job.rc, SL_E_TIMEOUT);
	first.job.deadline_ns = 1; /* its time comes while it runs */
	sl_pool_expire(s.pool);
	assert_ptr_equal(take(&s), &first);
	assert_int_equal(first.job.rc, SL_E_TIMEOUT);
	assert_ptr_equal(take(&s), &fine);
	assert_int_equal(fine.job.rc, 0);
	close_stage(&s);
}

/* What waits together runs together, within the rows; what is alone goes at once. */
static void test_batches(void **state)
{
	struct stage s;
	struct sl_lane lane = {.slow = true, .batch_rows = 8};
	struct job first = {.job.rows = 1}, jobs[6] = {0};
	const size_t rows[] = {3, 3, 0, 3, 2, 1};
	(void)state;
	open_stage(&s, 1);
	hold(&s, &lane, &first);
	assert_int_equal(s.runs, 1);
	for (size_t i = 0; i < 6; i++) {
		jobs[i].job.rows = rows[i];
		assert_int_equal(add(&s, &lane, &jobs[i], NULL), 0);
	}
	release(&s);
	for (size_t i = 0; i < 7; i++)
		take(&s);
	assert_int_equal(s.largest, 3); /* 3 + 3 + 2; then the one without rows; then 3 + 1 */
	assert_int_equal(s.runs, 4);
	assert_int_equal(lane.jobs, 7);
	close_stage(&s);
}

/* ---- the rules of one lane, without threads ---- */

static void test_expected_waits(void **state)
{
	const int64_t ms = 1000000;
	struct sl_lane lane = {.max_wait_ns = 50 * ms, .run_ns = 100 * ms, .job_ns = 100 * ms, .runs = 1, .running = 2, .calm_ns = 1};
	struct sl_job waiting[12] = {0}, job = {.priority = 4}, urgent = {.priority = 1}, hasty = {.priority = 4, .deadline_ns = 400 * ms};
	(void)state;
	for (size_t i = 0; i < 12; i++) {
		waiting[i].priority = 4;
		lane_add(&lane, &waiting[i]);
	}
	assert_int_equal(lane_admit(&lane, &job, 2, 1, NULL), 0);                       /* 650 ms, a burst may wait 1 s */
	assert_int_equal(lane_admit(&lane, &hasty, 2, 1, NULL), SL_E_BUSY);             /* it would be late */
	assert_int_equal(lane_admit(&lane, &job, 2, 200 * ms, NULL), SL_E_BUSY);        /* lasting load: 200 ms, two runs */
	assert_int_equal(lane_admit(&lane, &urgent, 2, 200 * ms, NULL), 0);             /* nobody is before it */
	lane.max_wait_ns = 0;
	assert_int_equal(lane_admit(&lane, &job, 2, 200 * ms, NULL), 0);
}

static bool all_fit(void *context, const struct sl_job *first, const struct sl_job *other)
{
	(void)context;
	(void)first;
	(void)other;
	return true;
}

static void test_a_batch_keeps_deadlines(void **state)
{
	struct sl_lane lane = {.batch_rows = 100, .row_ns = 10, .delay_ns = 1000};
	struct sl_job hasty = {.priority = 4, .rows = 5, .deadline_ns = 1100}, jobs[3] = {0};
	struct sl_pool_config config = {.fits = all_fit};
	struct sl_pool_run run;
	(void)state;
	lane_add(&lane, &hasty);
	for (size_t i = 0; i < 3; i++) {
		jobs[i].priority = 4;
		jobs[i].rows = 3;
		lane_add(&lane, &jobs[i]);
	}
	hasty.added_ns = jobs[0].added_ns = jobs[1].added_ns = jobs[2].added_ns = 1000;
	assert_int_equal(lane_ripe_at(&lane, 900), 935); /* 14 rows and 25 before 1100, and not after 2000 */
	lane_gather(&lane, &config, 1000, &run);
	assert_int_equal(run.count, 2); /* 8 rows are done by 1080; 11 would be late */
	assert_int_equal(lane.count, 2);
	lane_gather(&lane, &config, 1000, &run);
	assert_int_equal(run.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_slow_lane_does_not_hold_another), cmocka_unit_test(test_priorities_then_arrival),
		cmocka_unit_test(test_a_lane_is_bounded), cmocka_unit_test(test_who_goes_is_ended), cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_batches), cmocka_unit_test(test_expected_waits), cmocka_unit_test(test_a_batch_keeps_deadlines),
	};
	return cmocka_run_group_tests(tests, use_told_time, NULL);
}

#include "oip/work.h"

#include <string.h>

#include "net/loop.h"
#include "os/clock.h"
#include "serve/batch.h"

enum { SPARE_MAX = 64, ROOM_BYTES = 256 * 1024 };

static struct oip_work *work_of(struct sl_job *job) { return (struct oip_work *)(void *)((char *)job - offsetof(struct oip_work, job)); }

/* ---- works and their memory ---- */

static void work_free(struct oip_work *work)
{
	oip_desk_done(&work->desk);
	sl_buf_done(&work->message);
	sl_buf_done(&work->answer);
	sl_arena_free(work->arena);
	sl_graph_brake_free(work->brake);
	sl_free(work);
}

static struct oip_work *work_new(struct sl_error *err)
{
	struct oip_work *work = sl_alloc(sizeof *work, err);
	if (!work)
		return NULL;
	sl_buf_init(&work->message, SL_GRPC_MESSAGE_MAX);
	sl_buf_init(&work->answer, SL_GRPC_MESSAGE_MAX);
	work->arena = sl_arena_new(0, err);
	if (oip_desk_init(&work->desk, err) == 0 && work->arena)
		return work;
	work_free(work);
	return NULL;
}

static struct oip_work *take_work(struct sl_oip *oip, struct sl_error *err)
{
	struct oip_work *work = oip->spare;
	if (!work)
		return work_new(err);
	oip->spare = work->next;
	oip->spare_count--;
	work->next = NULL;
	return work;
}

static void trim(struct sl_buf *buf)
{
	if (buf->cap > ROOM_BYTES)
		sl_buf_done(buf);
	sl_buf_clear(buf);
}

void oip_work_end(struct oip_work *work)
{
	struct sl_oip *oip = work->prediction.oip;
	trim(&work->message);
	trim(&work->answer);
	trim(&work->desk.out);
	sl_arena_reset(work->arena);
	if (work->brake)
		sl_graph_brake_release(work->brake);
	work->job = (struct sl_job){0};
	work->parsed = work->fat = work->answered = false;
	if (oip->spare_count == SPARE_MAX) {
		work_free(work);
		return;
	}
	work->next = oip->spare;
	oip->spare = work;
	oip->spare_count++;
}

/* ---- on a thread ---- */

static int read_and_compute(struct oip_work *work, struct sl_error *err)
{
	struct oip_prediction *p = &work->prediction;
	int rc = work->parsed ? 0 : p->read(p, err);
	if (!rc && !sl_job_wanted(&work->job))
		return sl_fail(err, SL_E_CANCELLED, "nobody waits for it");
	if (p->served->graph)
		work->desk.rows.feed.brake = work->brake;
	if (!rc)
		rc = sl_predict_compute(&work->desk.rows, err);
	return rc || !p->more ? rc : p->more(p, err);
}

static void on_run(void *context, struct sl_pool_run *run)
{
	struct sl_inputs *batch[SL_POOL_BATCH_MAX];
	(void)context;
	for (size_t i = 0; i < run->count; i++)
		batch[i] = &work_of(run->jobs[i])->desk.rows;
	if (run->count > 1 && sl_batch_compute(batch, run->count, work_of(run->jobs[0])->brake) == 0)
		return;
	for (size_t i = 0; i < run->count; i++) /* one by one, as what is wrong with one is not the others' trouble */
		run->jobs[i]->rc = read_and_compute(work_of(run->jobs[i]), &run->jobs[i]->err);
}

static bool on_fits(void *context, const struct sl_job *first, const struct sl_job *other)
{
	(void)context;
	return sl_batch_fits(&work_of((struct sl_job *)(uintptr_t)first)->desk.rows, &work_of((struct sl_job *)(uintptr_t)other)->desk.rows);
}

static void on_stop(void *context, struct sl_pool_run *run)
{
	(void)context;
	for (size_t i = 0; i < run->count; i++)
		if (work_of(run->jobs[i])->brake)
			sl_graph_brake_pull(work_of(run->jobs[i])->brake);
}

static void on_ended(void *context)
{
	struct sl_oip *oip = context;
	sl_wakeup_fire(oip->ended);
}

/* ---- on the loop ---- */

static void finish_work(struct oip_work *work, int rc, struct sl_error *err)
{
	struct oip_prediction *p = &work->prediction;
	struct sl_served *served = p->served;
	oip_finish(p, rc, err);
	if (p->stream)
		oip_stream_answered(p->stream);
	else
		oip_work_end(work);
	sl_served_unref(served);
}

static void count(const struct oip_work *work)
{
	struct sl_endpoint_stats *stats = sl_endpoint_stats(work->prediction.served->endpoint);
	stats->pending--;
	stats->queue_us += (uint64_t)work->job.waited_ns / 1000;
	stats->joined += work->job.joined;
}

static void take_ended(void *context)
{
	struct sl_oip *oip = context;
	for (struct sl_job *job; (job = sl_pool_take(oip->pool)); ) {
		count(work_of(job));
		work_of(job)->prediction.waited_ns = job->waited_ns;
		finish_work(work_of(job), job->rc, &job->err);
	}
}

static void on_tick(void *context)
{
	struct sl_oip *oip = context;
	sl_pool_expire(oip->pool);
	take_ended(oip);
	if (!sl_pool_count(oip->pool))
		sl_timer_stop(oip->tick);
}

static void on_request_gone(void *context, struct sl_http_request *request)
{
	(void)request;
	oip_work_cancel(context);
}

static void on_call_gone(struct oip_kept *kept)
{
	struct oip_work *work = (struct oip_work *)(void *)((char *)kept - offsetof(struct oip_work, kept));
	work->prediction.call = NULL;
	oip_work_cancel(work);
}

void oip_work_cancel(struct oip_work *work)
{
	if (work->job.lane)
		sl_pool_cancel(work->prediction.oip->pool, &work->job);
}

static int add(struct oip_work *work, struct sl_error *err)
{
	struct oip_prediction *p = &work->prediction;
	struct sl_oip *oip = p->oip;
	struct sl_job *job = &work->job;
	if (p->served->graph && !work->brake && sl_graph_brake_new(&work->brake, err))
		return SL_E_NO_MEMORY;
	job->priority = p->v2.priority ? p->v2.priority : p->served->lane.priority ? p->served->lane.priority : SL_POOL_PRIORITY;
	job->deadline_ns = p->deadline_ns;
	job->rows = work->parsed && !p->more && sl_batch_may(&work->desk.rows) ? work->desk.rows.count : 0;
	job->bytes = sizeof *work + ROOM_BYTES + p->len;
	int rc = sl_pool_add(oip->pool, work->fat ? &p->served->fat_lane : &p->served->lane, job, err);
	if (rc)
		return rc;
	sl_endpoint_stats(p->served->endpoint)->pending++;
	if (p->request)
		sl_http_request_on_gone(p->request, on_request_gone, work);
	else if (!p->stream)
		sl_grpc_keep(p->call, &work->kept);
	if (sl_pool_count(oip->pool) == 1)
		sl_timer_start(oip->tick, SL_POOL_TICK_MS, SL_POOL_TICK_MS);
	return 0;
}

/* What gRPC sent is not there any more when the call returns. */
static int keep_message(struct oip_work *work, struct sl_error *err)
{
	struct oip_prediction *p = &work->prediction;
	if (!p->call)
		return 0;
	sl_buf_add(&work->message, p->message, p->len);
	int rc = sl_buf_check(&work->message, "the message", err);
	p->message = sl_buf_cstr(&work->message);
	return rc ? rc : sl_infer_message_head(p->message, p->len, &p->head, err); /* into the copy */
}

static bool is_short(struct oip_work *work)
{
	struct sl_served *served = work->prediction.served;
	return (!served->graph || sl_graph_info(served->graph)->by_rows) && !served->lane.delay_ns && served->lane.runs >= OIP_INLINE_RUNS &&
	       sl_pool_expects(work->prediction.oip->pool, &served->lane, work->desk.rows.count) <= OIP_INLINE_US * 1000;
}

static void limit_time(struct oip_prediction *p, int64_t timeout_ns)
{
	if (timeout_ns && (!p->deadline_ns || p->started_ns + timeout_ns < p->deadline_ns))
		p->deadline_ns = p->started_ns + timeout_ns;
}

/* Reads a small one, and computes it here when that is short. True: done with, as `rc` says. */
static bool begin_small(struct oip_work *work, int *rc, struct sl_error *err)
{
	struct oip_prediction *p = &work->prediction;
	*rc = p->read(p, err);
	if (!*rc && p->served->graph)
		*rc = sl_predict_prepare(&work->desk.rows, err);
	work->parsed = true;
	limit_time(p, p->v2.timeout_ns);
	if (*rc)
		return true;
	if (p->served->heavy && !is_short(work))
		return false;
	int64_t began_ns = sl_monotonic_ns();
	*rc = sl_predict_compute(&work->desk.rows, err);
	if (p->served->heavy)
		sl_pool_note(p->oip->pool, &p->served->lane, work->desk.rows.count, sl_monotonic_ns() - began_ns);
	return true;
}

/* Holds the version until it is finished; NULL after refusing. */
static struct oip_work *begin(const struct oip_prediction *prediction)
{
	struct sl_error err = {0};
	struct oip_work *work = take_work(prediction->oip, &err);
	if (!work) {
		struct oip_prediction lost = *prediction;
		lost.refuse(&lost, &err);
		return NULL;
	}
	work->prediction = *prediction;
	work->prediction.work = work;
	work->prediction.desk = &work->desk;
	work->kept.gone = on_call_gone;
	if (prediction->served)
		sl_served_ref(prediction->served);
	if (prediction->stream)
		oip_stream_join(prediction->stream, work);
	return work;
}

void oip_work_refuse(const struct oip_prediction *prediction, struct sl_error *err)
{
	struct oip_work *work = begin(prediction);
	if (work)
		finish_work(work, err->code, err);
}

void oip_work_begin(const struct oip_prediction *prediction)
{
	struct sl_error err = {0};
	struct oip_work *work = begin(prediction);
	if (!work)
		return;
	bool done = false;
	work->fat = prediction->len >= OIP_FAT_BYTES;
	limit_time(&work->prediction, prediction->served->lane.timeout_ns);
	int rc = keep_message(work, &err);
	if (!rc && !work->fat && !prediction->more)
		done = begin_small(work, &rc, &err);
	if (!rc && !done)
		rc = add(work, &err);
	if (rc || done)
		finish_work(work, rc, &err);
}

/* ---- opening and closing ---- */

int oip_pool_open(struct sl_oip *oip, struct sl_error *err)
{
	struct sl_pool_config config = {.context = oip, .run = on_run, .fits = on_fits, .stop = on_stop, .ended = on_ended};
	int rc = sl_wakeup_new(oip->loop, take_ended, oip, &oip->ended, err);
	if (!rc)
		rc = sl_timer_new(oip->loop, on_tick, oip, &oip->tick, err);
	return rc ? rc : sl_pool_new(&config, &oip->pool, err);
}

void oip_pool_stop(struct sl_oip *oip)
{
	if (!oip->pool)
		return;
	sl_pool_stop(oip->pool);
	take_ended(oip);
}

void oip_pool_free(struct sl_oip *oip)
{
	sl_pool_free(oip->pool);
	sl_wakeup_free(oip->ended);
	sl_timer_free(oip->tick);
	for (struct oip_work *work; (work = oip->spare);) {
		oip->spare = work->next;
		work_free(work);
	}
}

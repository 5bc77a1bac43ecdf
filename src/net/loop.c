#include "net/loop.h"

#include <assert.h>
#include <signal.h>

#include "base/mem.h"
#include "net/loop_uv.h"

int sl_fail_uv(struct sl_error *err, int uv_code, const char *doing) { return sl_fail_errno(err, -uv_code, NULL, doing); }

static void end_turn(struct sl_loop *loop)
{
	for (struct sl_turn *t = loop->turns, *next; t; t = next) {
		next = t->next; /* the end of a turn may remove itself */
		t->end(t->context);
	}
}

static void on_prepare(uv_prepare_t *handle) { end_turn(handle->data); }
static void on_check(uv_check_t *handle)
{
	struct sl_loop *loop = handle->data;
	loop->turn_count++;
	end_turn(loop);
}

void sl_turn_add(struct sl_loop *loop, struct sl_turn *turn)
{
	turn->next = loop->turns;
	loop->turns = turn;
}

void sl_turn_remove(struct sl_loop *loop, struct sl_turn *turn)
{
	struct sl_turn **at = &loop->turns;
	while (*at && *at != turn)
		at = &(*at)->next;
	assert(*at);
	*at = turn->next;
}

int sl_loop_new(struct sl_loop **ret, struct sl_error *err)
{
	struct sl_loop *loop SL_AUTO_FREE = sl_alloc(sizeof *loop, err);
	if (!loop)
		return SL_E_NO_MEMORY;
	signal(SIGPIPE, SIG_IGN);
	int rc = uv_loop_init(&loop->uv);
	if (rc)
		return sl_fail_uv(err, rc, "cannot make the event loop");
	uv_prepare_init(&loop->uv, &loop->before_sleep);
	uv_check_init(&loop->uv, &loop->after_callbacks);
	loop->before_sleep.data = loop->after_callbacks.data = loop;
	uv_prepare_start(&loop->before_sleep, on_prepare);
	uv_check_start(&loop->after_callbacks, on_check);
	/* Neither keeps the loop alive. */
	uv_unref((uv_handle_t *)&loop->before_sleep);
	uv_unref((uv_handle_t *)&loop->after_callbacks);
	*ret = SL_TAKE(loop);
	return 0;
}

void sl_loop_free(struct sl_loop *loop)
{
	if (!loop)
		return;
	uv_close((uv_handle_t *)&loop->before_sleep, NULL);
	uv_close((uv_handle_t *)&loop->after_callbacks, NULL);
	/* Closing callbacks run within one turn; those of a server free further handles, hence a few more. Work on other
	 * threads (a name look-up that nobody waits for any more) is waited for. */
	int rc = UV_EBUSY;
	for (int turns = 0; turns < 8 && rc == UV_EBUSY;) {
		bool working = loop->uv.active_reqs.count > 0;
		uv_run(&loop->uv, working ? UV_RUN_ONCE : UV_RUN_NOWAIT);
		turns += !working;
		rc = uv_loop_close(&loop->uv);
	}
	assert(rc == 0 || !"something of this loop was not freed before it");
	sl_free(loop);
}

void sl_loop_freep(struct sl_loop **loop) { sl_loop_free(*loop); }
void sl_loop_run(struct sl_loop *loop) { uv_run(&loop->uv, UV_RUN_DEFAULT); }
bool sl_loop_run_once(struct sl_loop *loop, bool wait) { return uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0; }
void sl_loop_stop(struct sl_loop *loop) { uv_stop(&loop->uv); }
int64_t sl_loop_now_ms(const struct sl_loop *loop) { return (int64_t)uv_now(&loop->uv); }

/* ---- timers ---- */

struct sl_timer {
	uv_timer_t uv;
	sl_loop_fn *fn;
	void *context;
};

static void free_data(uv_handle_t *handle) { sl_free(handle->data); }

static void on_timer(uv_timer_t *uv)
{
	struct sl_timer *timer = uv->data;
	timer->fn(timer->context);
}

int sl_timer_new(struct sl_loop *loop, sl_loop_fn *fn, void *context, struct sl_timer **ret, struct sl_error *err)
{
	struct sl_timer *timer = sl_alloc(sizeof *timer, err);
	if (!timer)
		return SL_E_NO_MEMORY;
	uv_timer_init(&loop->uv, &timer->uv);
	timer->uv.data = timer;
	timer->fn = fn;
	timer->context = context;
	*ret = timer;
	return 0;
}

void sl_timer_free(struct sl_timer *timer)
{
	if (timer)
		uv_close((uv_handle_t *)&timer->uv, free_data);
}

void sl_timer_start(struct sl_timer *timer, int64_t delay_ms, int64_t repeat_ms)
{
	assert(delay_ms >= 0 && repeat_ms >= 0);
	/* The loop's clock stands still within a turn; a delay counts from now, not from the turn's beginning. */
	uv_update_time(timer->uv.loop);
	uv_timer_start(&timer->uv, on_timer, (uint64_t)delay_ms, (uint64_t)repeat_ms);
}

void sl_timer_stop(struct sl_timer *timer) { uv_timer_stop(&timer->uv); }

/* ---- wake-ups ---- */

struct sl_wakeup {
	uv_async_t uv;
	sl_loop_fn *fn;
	void *context;
};

static void on_wakeup(uv_async_t *uv)
{
	struct sl_wakeup *wakeup = uv->data;
	wakeup->fn(wakeup->context);
}

int sl_wakeup_new(struct sl_loop *loop, sl_loop_fn *fn, void *context, struct sl_wakeup **ret, struct sl_error *err)
{
	struct sl_wakeup *wakeup SL_AUTO_FREE = sl_alloc(sizeof *wakeup, err);
	if (!wakeup)
		return SL_E_NO_MEMORY;
	int rc = uv_async_init(&loop->uv, &wakeup->uv, on_wakeup);
	if (rc)
		return sl_fail_uv(err, rc, "cannot make a wake-up");
	wakeup->uv.data = wakeup;
	wakeup->fn = fn;
	wakeup->context = context;
	*ret = SL_TAKE(wakeup);
	return 0;
}

void sl_wakeup_free(struct sl_wakeup *wakeup)
{
	if (wakeup)
		uv_close((uv_handle_t *)&wakeup->uv, free_data);
}

void sl_wakeup_fire(struct sl_wakeup *wakeup) { uv_async_send(&wakeup->uv); }

/* ---- signals ---- */

struct sl_signal {
	uv_signal_t uv;
	sl_signal_fn *fn;
	void *context;
};

static void on_signal(uv_signal_t *uv, int signal_number)
{
	struct sl_signal *handler = uv->data;
	handler->fn(handler->context, signal_number);
}

int sl_signal_new(struct sl_loop *loop, int signal_number, sl_signal_fn *fn, void *context, struct sl_signal **ret,
	struct sl_error *err)
{
	struct sl_signal *handler SL_AUTO_FREE = sl_alloc(sizeof *handler, err);
	if (!handler)
		return SL_E_NO_MEMORY;
	int rc = uv_signal_init(&loop->uv, &handler->uv);
	if (rc)
		return sl_fail_uv(err, rc, "cannot make a signal handler");
	handler->uv.data = handler;
	handler->fn = fn;
	handler->context = context;
	rc = uv_signal_start(&handler->uv, on_signal, signal_number);
	if (rc) {
		uv_close((uv_handle_t *)&handler->uv, free_data);
		handler = NULL; /* freed when the handle is closed */
		return sl_fail_uv(err, rc, "cannot handle the signal");
	}
	*ret = SL_TAKE(handler);
	return 0;
}

void sl_signal_free(struct sl_signal *handler)
{
	if (handler)
		uv_close((uv_handle_t *)&handler->uv, free_data);
}

/* ---- descriptors ---- */

struct sl_watch {
	uv_poll_t uv;
	sl_watch_fn *fn;
	void *context;
};

static void on_poll(uv_poll_t *uv, int status, int events)
{
	struct sl_watch *watch = uv->data;
	int told = (events & UV_READABLE ? SL_FD_READ : 0) | (events & UV_WRITABLE ? SL_FD_WRITE : 0) |
		   (events & UV_DISCONNECT ? SL_FD_GONE : 0);
	watch->fn(watch->context, status ? told | SL_FD_READ : told);
}

int sl_watch_new(struct sl_loop *loop, int fd, sl_watch_fn *fn, void *context, struct sl_watch **ret, struct sl_error *err)
{
	struct sl_watch *watch SL_AUTO_FREE = sl_alloc(sizeof *watch, err);
	if (!watch)
		return SL_E_NO_MEMORY;
	int rc = uv_poll_init(&loop->uv, &watch->uv, fd);
	if (rc)
		return sl_fail_uv(err, rc, "cannot watch the descriptor");
	watch->uv.data = watch;
	watch->fn = fn;
	watch->context = context;
	*ret = SL_TAKE(watch);
	return 0;
}

void sl_watch_free(struct sl_watch *watch)
{
	if (watch)
		uv_close((uv_handle_t *)&watch->uv, free_data);
}

int sl_watch_set(struct sl_watch *watch, int events, struct sl_error *err)
{
	int mask = (events & SL_FD_READ ? UV_READABLE : 0) | (events & SL_FD_WRITE ? UV_WRITABLE : 0) |
		   (events & SL_FD_GONE ? UV_DISCONNECT : 0);
	int rc = mask ? uv_poll_start(&watch->uv, mask, on_poll) : uv_poll_stop(&watch->uv);
	return rc ? sl_fail_uv(err, rc, "cannot watch the descriptor") : 0;
}

/* ---- work on other threads ---- */

struct work {
	uv_work_t uv;
	sl_loop_fn *work, *done;
	void *context;
};

static void on_work(uv_work_t *uv)
{
	struct work *w = uv->data;
	w->work(w->context);
}

static void on_work_done(uv_work_t *uv, int status)
{
	struct work *w = uv->data;
	(void)status; /* never cancelled */
	w->done(w->context);
	sl_free(w);
}

int sl_loop_work(struct sl_loop *loop, sl_loop_fn *work, sl_loop_fn *done, void *context, struct sl_error *err)
{
	struct work *w = sl_alloc(sizeof *w, err);
	if (!w)
		return SL_E_NO_MEMORY;
	*w = (struct work){.work = work, .done = done, .context = context};
	w->uv.data = w;
	int rc = uv_queue_work(&loop->uv, &w->uv, on_work, on_work_done);
	if (rc) {
		sl_free(w);
		return sl_fail_uv(err, rc, "cannot queue work");
	}
	return 0;
}

uint64_t sl_loop_turn(const struct sl_loop *loop) { return loop->turn_count; }

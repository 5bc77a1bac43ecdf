/* The event loop: timers, descriptors, signals, wake-ups from other threads, work on other threads. One loop per process and
 * role; everything in net/ runs on it and is called on its thread only, sl_wakeup_fire excepted.
 *
 * One turn of the loop: timers that are due; waiting; the callbacks of every descriptor that is ready; then the end of the
 * turn, where servers write the answers that the turn made. So what many connections asked in one turn is answered together.
 *
 * Every object is freed by its own function, before sl_loop_free; each may free itself inside its own callback. */
#ifndef SL_NET_LOOP_H
#define SL_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sl_loop;

/* Also sets SIGPIPE to be ignored, for the whole process: a peer that went away is an error code here, not a death. */
int sl_loop_new(struct sl_loop **ret, struct sl_error *err);
void sl_loop_free(struct sl_loop *loop); /* NULL is fine */
void sl_loop_freep(struct sl_loop **loop);
/* Until sl_loop_stop, or until nothing is left that could call back. */
void sl_loop_run(struct sl_loop *loop);
/* One turn. `wait`: sleeps until something happens. True while something is left that could call back. */
bool sl_loop_run_once(struct sl_loop *loop, bool wait);
/* sl_loop_run returns at the end of this turn. */
void sl_loop_stop(struct sl_loop *loop);
/* Milliseconds of a monotonic clock, read once per turn. */
int64_t sl_loop_now_ms(const struct sl_loop *loop);
/* The number of the turn, rising. */
uint64_t sl_loop_turn(const struct sl_loop *loop);

typedef void sl_loop_fn(void *context);

struct sl_timer;
int sl_timer_new(struct sl_loop *loop, sl_loop_fn *fn, void *context, struct sl_timer **ret, struct sl_error *err);
void sl_timer_free(struct sl_timer *timer); /* NULL is fine */
/* After `delay_ms`, then every `repeat_ms` unless that is 0. Starting a running timer sets it anew. */
void sl_timer_start(struct sl_timer *timer, int64_t delay_ms, int64_t repeat_ms);
void sl_timer_stop(struct sl_timer *timer);

/* A wake-up may be fired from any thread and from a signal handler; several fires may become one call. */
struct sl_wakeup;
int sl_wakeup_new(struct sl_loop *loop, sl_loop_fn *fn, void *context, struct sl_wakeup **ret, struct sl_error *err);
void sl_wakeup_free(struct sl_wakeup *wakeup);
void sl_wakeup_fire(struct sl_wakeup *wakeup);

typedef void sl_signal_fn(void *context, int signal_number);
struct sl_signal;
int sl_signal_new(struct sl_loop *loop, int signal_number, sl_signal_fn *fn, void *context, struct sl_signal **ret,
	struct sl_error *err);
void sl_signal_free(struct sl_signal *handler);

/* Watches a descriptor that the caller owns; it is made non-blocking. Free the watch before closing the descriptor.
 * SL_FD_GONE alone tells that the peer closed, without reading what it sent before; SL_FD_READ is set on errors too, so that a
 * read finds them. */
enum { SL_FD_READ = 1, SL_FD_WRITE = 2, SL_FD_GONE = 4 };
typedef void sl_watch_fn(void *context, int events);
struct sl_watch;
int sl_watch_new(struct sl_loop *loop, int fd, sl_watch_fn *fn, void *context, struct sl_watch **ret, struct sl_error *err);
void sl_watch_free(struct sl_watch *watch);
int sl_watch_set(struct sl_watch *watch, int events, struct sl_error *err); /* 0 stops watching */

/* Runs `work` on a thread of a small pool (4), then `done` on the loop. For calls that block: queries, name look-ups. Cannot be
 * cancelled; sl_loop_run goes on until `done` was called. */
int sl_loop_work(struct sl_loop *loop, sl_loop_fn *work, sl_loop_fn *done, void *context, struct sl_error *err);

#endif

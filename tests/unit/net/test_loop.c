#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/loop.h"
#include "net/tls.h"

struct seen {
	struct sl_loop *loop;
	int calls, signal_number, events;
	struct sl_timer *timer;
	struct sl_wakeup *wakeup;
	bool worked_elsewhere;
	pthread_t main_thread;
};

static void count_and_stop(void *context)
{
	struct seen *s = context;
	if (++s->calls == 3)
		sl_loop_stop(s->loop);
}

static void timers_repeat_until_stopped(void **state)
{
	(void)state;
	struct seen s = {0};
	struct sl_error err;
	assert_int_equal(sl_loop_new(&s.loop, &err), 0);
	assert_int_equal(sl_timer_new(s.loop, count_and_stop, &s, &s.timer, &err), 0);
	int64_t before = sl_loop_now_ms(s.loop);
	sl_timer_start(s.timer, 1, 2);
	sl_loop_run(s.loop);
	assert_int_equal(s.calls, 3);
	assert_true(sl_loop_now_ms(s.loop) >= before + 5);
	sl_timer_stop(s.timer);
	assert_false(sl_loop_run_once(s.loop, false)); /* nothing is left that could call back */
	sl_timer_free(s.timer);
	sl_loop_free(s.loop);
}

static void on_wakeup(void *context)
{
	struct seen *s = context;
	s->calls++;
	sl_wakeup_free(s->wakeup); /* inside its own callback */
}

static void *fire(void *context)
{
	sl_wakeup_fire(context);
	return NULL;
}

static void other_threads_wake_the_loop(void **state)
{
	(void)state;
	struct seen s = {0};
	struct sl_error err;
	pthread_t thread;
	assert_int_equal(sl_loop_new(&s.loop, &err), 0);
	assert_int_equal(sl_wakeup_new(s.loop, on_wakeup, &s, &s.wakeup, &err), 0);
	pthread_create(&thread, NULL, fire, s.wakeup);
	sl_loop_run(s.loop);
	pthread_join(thread, NULL);
	assert_int_equal(s.calls, 1);
	sl_loop_free(s.loop);
}

static void on_signal(void *context, int signal_number)
{
	struct seen *s = context;
	s->signal_number = signal_number;
	sl_loop_stop(s->loop);
}

static void signals_arrive(void **state)
{
	(void)state;
	struct seen s = {0};
	struct sl_error err;
	struct sl_signal *handler;
	assert_int_equal(sl_loop_new(&s.loop, &err), 0);
	assert_int_equal(sl_signal_new(s.loop, SIGUSR1, on_signal, &s, &handler, &err), 0);
	assert_int_equal(sl_signal_new(s.loop, SIGKILL, on_signal, &s, &handler, &err), SL_E_IO);
	kill(getpid(), SIGUSR1);
	sl_loop_run(s.loop);
	assert_int_equal(s.signal_number, SIGUSR1);
	sl_signal_free(handler);
	sl_loop_free(s.loop);
}

static void on_events(void *context, int events)
{
	struct seen *s = context;
	s->events |= events;
	sl_loop_stop(s->loop);
}

static void descriptors_are_watched(void **state)
{
	(void)state;
	struct seen s = {0};
	struct sl_error err;
	struct sl_watch *watch;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(sl_loop_new(&s.loop, &err), 0);
	assert_int_equal(sl_watch_new(s.loop, fds[0], on_events, &s, &watch, &err), 0);
	assert_int_equal(sl_watch_set(watch, SL_FD_READ, &err), 0);
	sl_loop_run_once(s.loop, false);
	assert_int_equal(s.events, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	sl_loop_run(s.loop);
	assert_int_equal(s.events, SL_FD_READ);
	assert_int_equal(sl_watch_set(watch, 0, &err), 0);
	s.events = 0;
	sl_loop_run_once(s.loop, false);
	assert_int_equal(s.events, 0);
	sl_watch_free(watch);
	sl_loop_free(s.loop);
	close(fds[0]);
	close(fds[1]);
}

static void work(void *context)
{
	struct seen *s = context;
	s->worked_elsewhere = !pthread_equal(pthread_self(), s->main_thread);
}

static void work_done(void *context)
{
	struct seen *s = context;
	assert_true(pthread_equal(pthread_self(), s->main_thread));
	s->calls++;
}

static void work_runs_on_another_thread(void **state)
{
	(void)state;
	struct seen s = {.main_thread = pthread_self()};
	struct sl_error err;
	assert_int_equal(sl_loop_new(&s.loop, &err), 0);
	assert_int_equal(sl_loop_work(s.loop, work, work_done, &s, &err), 0);
	sl_loop_run(s.loop);
	assert_int_equal(s.calls, 1);
	assert_true(s.worked_elsewhere);
	sl_loop_free(s.loop);
}

static void only_loopback_without_tls_and_token(void **state)
{
	(void)state;
	struct sl_error err;
	static const char *const loopback[] = {"127.0.0.1", "127.1.2.3", "::1", "localhost"};
	for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
		assert_int_equal(sl_net_bind_check(loopback[i], false, false, &err), 0);
	static const char *const beyond[] = {"0.0.0.0", "::", "192.168.1.1", "example.com", "::ffff:127.0.0.1", "",
		"127.0.0.1.example.com"};
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
		assert_int_equal(sl_net_bind_check(beyond[i], false, false, &err), SL_E_DENIED);
		assert_int_equal(sl_net_bind_check(beyond[i], true, false, &err), 0);
		assert_int_equal(sl_net_bind_check(beyond[i], false, true, &err), 0);
		assert_true(err.hint[0]);
		assert_int_equal(sl_net_bind_check(beyond[i], true, true, &err), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_repeat_until_stopped), cmocka_unit_test(other_threads_wake_the_loop),
		cmocka_unit_test(signals_arrive),
		cmocka_unit_test(descriptors_are_watched), cmocka_unit_test(work_runs_on_another_thread),
		cmocka_unit_test(only_loopback_without_tls_and_token),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

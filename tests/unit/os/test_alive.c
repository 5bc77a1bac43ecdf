/* A mark of a process is of that process only, also when another one has its number by now. */
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/alive.h"

enum { CASES = 20 };

/* A child that waits to be killed; its number is `pid` unless that is 0. -1 when the system refuses (that takes a right of root's). */
static pid_t start(pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = pid ? (uintptr_t)&pid : 0, .set_tid_size = pid != 0};
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (child == 0)
		for (;;)
			pause();
	return child;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_number_used_again(void **state)
{
	char mark[SL_PROCESS_MARK], other[SL_PROCESS_MARK];
	(void)state;
	for (int i = 0; i < CASES; i++) {
		pid_t first = start(0);
		assert_true(first > 0);
		sl_process_mark(first, mark);
		assert_true(sl_process_mark_alive(mark));
		end(first);
		assert_false(sl_process_mark_alive(mark));
		pid_t second;
		do { /* a start within the same tick of the clock (10 ms) cannot be told apart, and takes a wrap of all numbers within it */
			second = start(first);
			if (second < 0)
				skip();
			sl_process_mark(second, other);
			if (strcmp(mark, other) == 0)
				end(second);
		} while (strcmp(mark, other) == 0);
		assert_int_equal(second, first);
		assert_false(sl_process_mark_alive(mark));
		assert_true(sl_process_mark_alive(other));
		end(second);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_number_used_again)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

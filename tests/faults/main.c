/* The program as it is, but for one fault that its environment asks for: tests/blackbox/test_faults.py. Never installed.
 *
 *   SLUICE_FAULT=ACTION:KINDS:N:FILE    the N-th call of the kinds (enum fault_action, enum fault_kind as numbers)
 *   SLUICE_CLOCK=SECONDS:N              from its N-th look at the time of day on, each process finds the clock off by so much
 *
 * Every process of the program that inherits it counts in the same FILE, 8 bytes that begin as zeros: one fault for all of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "os/sys.h"
#include "support/fault.h"

static void refuse(const char *why)
{
	fprintf(stderr, "SLUICE_FAULT: %s: %s\n", why, strerror(errno));
	exit(70);
}

static void install(const char *text)
{
	struct fault_plan plan = {.by_signal = true, .error = EIO};
	int action, path_at = 0;
	if (sscanf(text, "%d:%u:%ld:%n", &action, &plan.kinds, &plan.at, &path_at) != 3 || !path_at)
		refuse(text);
	plan.action = (enum fault_action)action;
	int fd = open(text + path_at, O_RDWR | O_CLOEXEC);
	_Atomic long *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		refuse(text + path_at);
	close(fd);
	fault_install(&plan);
	fault_count_in(shared);
}

static struct { struct sl_sys sys; int64_t (*before)(void); int64_t off_ns; _Atomic long left; } clock_fault;

static int64_t jumping_clock(void) { return clock_fault.before() + (--clock_fault.left < 0 ? clock_fault.off_ns : 0); }

static void set_clock(const char *text)
{
	long long seconds;
	long looks;
	if (sscanf(text, "%lld:%ld", &seconds, &looks) != 2)
		refuse(text);
	clock_fault.sys = *sl_sys;
	clock_fault.before = sl_sys->realtime_ns;
	clock_fault.off_ns = seconds * INT64_C(1000000000);
	clock_fault.left = looks;
	clock_fault.sys.realtime_ns = jumping_clock;
	sl_sys = &clock_fault.sys;
}

int main(int argc, char **argv)
{
	const char *plan = getenv("SLUICE_FAULT"), *jump = getenv("SLUICE_CLOCK");
	if (plan)
		install(plan);
	if (jump)
		set_clock(jump);
	return sl_cli_main(argc, argv);
}

#include "app/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

int sl_signals_open(int *ret_fd, struct sl_error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? sl_fail_errno(err, errno, "signals", "cannot watch") : 0;
}

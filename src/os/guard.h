/* A second process that outlives this one, to end what it started.
 *
 * The kernel kills a killed process's children (PR_SET_PDEATHSIG), but not theirs. The guard reads a pipe whose other end only its
 * maker has: when that ends, the maker is gone, and everything whose environment carries the tag is killed
 * (sl_process_kill_tagged). It is our program in a session of its own, so that neither Ctrl-C nor a signal to the group reaches
 * it. When it is killed as well, the next run does its work.
 */
#ifndef SL_OS_GUARD_H
#define SL_OS_GUARD_H

#include <sys/types.h>

#include "base/error.h"

struct sl_guard {
	pid_t pid; /* 0: there is none */
	int fd;    /* our end of the pipe */
};

/* Starts argv[0] (a path), which must call sl_guard_stand. */
int sl_guard_start(const char *const *argv, struct sl_guard *ret, struct sl_error *err);
/* Ends it, when nothing is left to guard; nothing when there is none. */
void sl_guard_end(struct sl_guard *guard);
/* In the guard: returns when all is done. `prefix`: of the tags. */
void sl_guard_stand(const char *prefix);

#endif

/* A process that outlives this one: a program of ours that goes on when we are killed. */
#ifndef SL_OS_DETACH_H
#define SL_OS_DETACH_H

#include <sys/types.h>

#include "base/error.h"

/* Starts argv[0] (a path) in a session of its own, so that neither Ctrl-C nor a signal to our group reaches it: standard input is `in`, output goes to
 * /dev/null, nothing else is open, the working folder is "/". It is our child; see sl_process_detach for one beside sets of processes. */
int sl_detach(const char *const *argv, int in, pid_t *ret, struct sl_error *err);

#endif

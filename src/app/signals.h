/* The signals that end a supervising process or tell of its children, as a descriptor to poll. */
#ifndef SL_APP_SIGNALS_H
#define SL_APP_SIGNALS_H

#include "base/error.h"

/* Blocks SIGCHLD, SIGTERM and SIGINT in the calling thread and gives a non-blocking signalfd of them; the caller closes it. */
int sl_signals_open(int *ret_fd, struct sl_error *err);

#endif

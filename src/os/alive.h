/* Which process wrote something, told so that another can see later whether that process still lives: "<pid>:<start time>:<pid
 * namespace>:<boot>". A pid that was given to another process since, another boot, or another container are told apart. */
#ifndef SL_OS_ALIVE_H
#define SL_OS_ALIVE_H

#include <stdbool.h>

enum { SL_PROCESS_MARK = 128 };

/* The mark of process `pid` (0: this one); "" when there is no such process. Returns `out`. About 30 us. */
char *sl_process_mark(int pid, char out[SL_PROCESS_MARK]);
/* false only when it is sure that the process is gone: of another boot, or of our pid namespace and not there. */
bool sl_process_mark_alive(const char *mark);

/* Was it written since this machine started? */
bool sl_process_mark_this_boot(const char *mark);

#endif

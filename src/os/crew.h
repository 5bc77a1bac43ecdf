/* A crew: threads that run one function over the numbers 0..count-1. Started once, used for many rounds: a round costs two wake-ups
 * per thread (about 10 us), so it pays from some dozens of system calls on. */
#ifndef SL_OS_CREW_H
#define SL_OS_CREW_H

#include <stddef.h>

#include "base/error.h"

enum { SL_CREW_MAX = 16 };

struct sl_crew;
/* `threads` with the caller's own; 0: one per processor, at most SL_CREW_MAX. When no thread can be started the caller works alone. */
int sl_crew_new(int threads, struct sl_crew **ret, struct sl_error *err);
void sl_crew_free(struct sl_crew *crew); /* NULL is fine */
void sl_crew_freep(struct sl_crew **crew);
int sl_crew_size(const struct sl_crew *crew);

/* `work` is called once for every number, in no order and on several threads; `worker` is the thread's own number, below the
 * crew's size. It fills `err` on failure. Returns when all is done: 0, or the failure of the lowest number that failed; after a
 * failure higher numbers may be left out. */
typedef int sl_crew_work(void *context, size_t i, int worker, struct sl_error *err);
int sl_crew_run(struct sl_crew *crew, size_t count, sl_crew_work *work, void *context, struct sl_error *err);

#endif

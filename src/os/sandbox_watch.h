/* The watch over one sandboxed child and all that it starts: a thread that answers the kernel's questions about its calls (seccomp's user notification).
 *
 *   child ──openat "lib/x.txt"──> kernel ──> watch: will Landlock refuse it? noted; goes on
 *   child ──connect──────────────> kernel ──> watch: to the one allowed address: made here, on the child's socket; else refused and noted
 *
 * It decides nothing about files (Landlock does, by itself): a note that is wrong or missing is no hole. Of connections it uses its own copy of the address,
 * so no thread of the child can change it between the look and the call. A call costs two switches of threads more than without: 55 us on a busy machine (2 cores, load of 11).
 */
#ifndef SL_OS_SANDBOX_WATCH_H
#define SL_OS_SANDBOX_WATCH_H

#include "os/sandbox.h"

enum { SL_REFUSED_MAX = 400 };

struct sl_sandbox_watch;

/* Does this kernel ask? */
bool sl_sandbox_watch_known(void);
/* `sandbox` outlives it. The thread waits for a listener to come. */
int sl_sandbox_watch_new(const struct sl_sandbox *sandbox, struct sl_sandbox_watch **ret, struct sl_error *err);
/* The child's end for sl_sandbox_enter, above descriptor 3; closed here by sl_sandbox_watch_started, which the parent calls after exec. */
int sl_sandbox_watch_tell_fd(const struct sl_sandbox_watch *watch);
void sl_sandbox_watch_started(struct sl_sandbox_watch *watch);
/* Ends it, when all processes of the sandbox have ended; NULL is fine. `refused`: "reading /data/x.csv", "connecting to 10.0.0.7:443 and 2 more"; what came
 * last, which is what most programs end for; "" when nothing was. */
void sl_sandbox_watch_free(struct sl_sandbox_watch *watch, char refused[SL_REFUSED_MAX]);

#endif

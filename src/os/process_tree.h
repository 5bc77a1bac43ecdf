/* Inside os/: what a child left behind. */
#ifndef SL_OS_PROCESS_TREE_H
#define SL_OS_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A child that still runs. */
struct sl_tree_child { pid_t pid; const char *tag; };

/* Makes this process the reaper of its orphans; once is enough. */
void sl_tree_adopt(void);
/* Kills and reaps every child of this process that is none of `running` and belongs to none of them, and all below them.
 * Returns how many. Gives up after five seconds of processes that appear as fast as they are killed. */
unsigned sl_tree_kill_orphans(const struct sl_tree_child *running, size_t count);
/* Kills `root` and all below it, without reaping `root`. */
void sl_tree_kill(pid_t root);
/* Value of SL_PROCESS_TAG in the environment of `pid`; false when there is none or it may not be read. */
bool sl_tree_tag(pid_t pid, char *out, size_t size);

/* Memory of `root` and all below it: what is theirs alone, and the share of what they share. 0 when it is gone. Costs 10 us a process;
 * when the sum of what each has resident is above `limit_bytes`, 1 ms a GB. */
uint64_t sl_tree_memory(pid_t root, uint64_t limit_bytes);

#endif

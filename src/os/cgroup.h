/* A group of the kernel's (cgroup v2) for one child and all below it, with a limit of memory that the kernel itself holds. To be had where a group above ours
 * was given to us with its memory controller: for users below systemd's user@UID.service, for root nearly everywhere. */
#ifndef SL_OS_CGROUP_H
#define SL_OS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "os/file.h"

struct sl_cgroup {
	char dir[SL_PATH_MAX]; /* "" none */
	int procs_fd;          /* -1: none; above 7 */
};

/* The folder in which groups can be made; false when there is none. `proc` is "/proc/self". Removes what killed processes of ours left there. */
bool sl_cgroup_find(const char *proc, char out[SL_PATH_MAX]);
/* In `parent`, named for this process and `name`. False, and nothing is left behind, when it cannot be. */
bool sl_cgroup_make(const char *parent, const char *name, uint64_t memory_bytes, struct sl_cgroup *ret);
/* The calling process goes into it; a system call only, also for a child that runs on its parent's memory (vfork). False with errno. */
bool sl_cgroup_enter(const struct sl_cgroup *group);
/* How often the kernel has killed in it for memory, and the most memory that it held (0: the kernel does not tell, before 5.19). */
int64_t sl_cgroup_oom_kills(const struct sl_cgroup *group);
uint64_t sl_cgroup_peak(const struct sl_cgroup *group);
/* Kills what is still in it. One that is none is fine. */
void sl_cgroup_remove(struct sl_cgroup *group);

#endif

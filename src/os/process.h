/* Child processes: several at once from one thread, their output kept with times, and their whole tree ended for sure.
 *
 *   set ── start ──> child: own session, /dev/null as input, two pipes for output, one (descriptor 3) for JSON lines
 *    └──── wait ───> the next one that has ended: exit taken, everything it left behind killed, all output read
 *
 * How the tree ends. This process becomes the reaper of orphans (PR_SET_CHILD_SUBREAPER), so what a child leaves behind
 * becomes a child of ours, whatever it did to its session: when a child has ended, every child of ours that nobody started
 * here is its left-over and is killed with all below it, unless its environment or session says that it belongs to another one
 * that still runs. When nothing was left behind this costs one system call. When this process itself is killed, the kernel
 * kills the children (PR_SET_PDEATHSIG); what they had started is found by its environment (sl_process_kill_tagged).
 *
 * One set belongs to one thread; several sets know of each other's children. No other code of the process may start or wait
 * for children while a set has running ones.
 */
#ifndef SL_OS_PROCESS_H
#define SL_OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "os/limits.h"
#include "os/sandbox_watch.h"

enum {
	SL_PROCESS_LINE_MAX = 8 << 10,        /* longer lines of output are cut into several */
	SL_PROCESS_EVENT_MAX = 1 << 20,       /* a longer JSON line is dropped whole */
	SL_PROCESS_GRACE_MS = 5000,           /* from SIGTERM to SIGKILL */
	SL_PROCESS_MEMORY_MS = 100,
	SL_PROCESS_CAUSE_MAX = 256,
	SL_DETACHED_MAX = 16,
};

/* Whether memory ran out: the limit of `memory_bytes` was passed, or the kernel killed it because the machine (or our container) had no
 * more, which its counter of such kills proves. */
enum sl_memory { SL_MEMORY_ENOUGH, SL_MEMORY_OF_CHILD, SL_MEMORY_OF_MACHINE };
#define SL_PROCESS_LOG_MAX ((uint64_t)64 << 20)
/* Name of the environment variable that marks a child and all below it. */
#define SL_PROCESS_TAG "SLUICE_PROCESS"

struct sl_processes; /* a set */
struct sl_process;   /* a child in it */

struct sl_process_options {
	const char *const *argv;        /* NULL-terminated; argv[0] with a '/' is a path, else it is searched in PATH of `env` */
	const char *const *env;         /* NULL-terminated, complete; SL_PROCESS_TAG is added */
	const char *dir;                /* working folder */
	const char *tag;                /* unique among children, at most 100 characters without blanks */
	const char *log_path;           /* made with its folder at the first line; NULL: output is only counted and passed to on_line */
	uint64_t log_max_bytes;         /* 0: SL_PROCESS_LOG_MAX; what comes behind is counted and dropped */
	int64_t timeout_ms;             /* 0: none */
	uint64_t memory_bytes;          /* of the child and all below it: held by the kernel where a group can be had (os/cgroup.h), else looked at every
					   SL_PROCESS_MEMORY_MS; beyond, they are killed. 0: none */
	int64_t grace_ms;               /* 0: SL_PROCESS_GRACE_MS */
	struct sl_limits limits;
	const struct sl_sandbox *sandbox; /* entered before the program starts; NULL: none. Outlives the process */
	/* Called inside wait. `stream` is 'o' or 'e'; without the line end. All may be NULL. */
	void (*on_line)(void *context, char stream, const char *line, size_t len);
	void (*on_event)(void *context, const char *line, size_t len);
	void *context;
};

struct sl_process_end {
	bool ok;                        /* exit status 0, and nobody stopped it */
	int exit_status;                /* -1 when a signal ended it */
	int signal;                     /* 0 when it exited */
	bool timed_out, stopped;
	unsigned survivors;             /* processes it left behind, which were killed */
	uint64_t output_bytes, dropped_bytes, dropped_events;
	int64_t user_ms, system_ms;
	uint64_t peak_bytes;            /* the most that one process of it had resident, or that all had when looked at */
	enum sl_memory out_of_memory;
	char refused[SL_REFUSED_MAX];   /* what its sandbox refused it: "reading /data/x.csv and 2 more"; "" nothing */
	/* In words: "exit status 3", "killed by SIGSEGV", "timed out after 5 s", "killed by the kernel: out of memory at 3.9 of 4.0 GB";
	 * "" when ok. */
	char cause[SL_PROCESS_CAUSE_MAX];
};

int sl_processes_new(struct sl_processes **ret, struct sl_error *err);
/* Kills what still runs, without grace. */
void sl_processes_free(struct sl_processes *set);
void sl_processes_freep(struct sl_processes **set);
size_t sl_processes_running(const struct sl_processes *set);
/* Lets wait return (0) also when `fd` can be read; -1: none. */
void sl_processes_watch(struct sl_processes *set, int fd);

/* A program that cannot be started is SL_E_FAILED with the reason; everything else is the machine's. The process lives until
 * it is given back by sl_process_free, after wait told of its end. The log begins with nothing and has lines "TIME o|e TEXT". */
int sl_process_start(struct sl_processes *set, const struct sl_process_options *options, struct sl_process **ret,
		struct sl_error *err);
/* Waits for output and ends. 1: *ret has ended and `end` is filled; 0: the time is over (-1: none), a signal arrived, what is watched can
 * be read, or nothing runs. */
int sl_processes_wait(struct sl_processes *set, int timeout_ms, struct sl_process **ret, struct sl_process_end *end);
/* Asks it to end (SIGTERM to its session's group), and kills it after the grace. The end comes through wait. */
void sl_process_stop(struct sl_process *process);
/* Kills it and all below it at once; the end comes through wait, as of one that was stopped. */
void sl_process_kill(struct sl_process *process);
void sl_process_free(struct sl_process *process);

/* Starts a process that is of no set, is never taken for a left-over, and outlives this one (os/detach.h). At most SL_DETACHED_MAX at once. */
int sl_process_detach(const char *const *argv, int in, int *ret_pid, struct sl_error *err);
/* Waits for its end. */
void sl_process_detached_join(int pid);

/* Kills every process whose environment has SL_PROCESS_TAG with a value that starts with `prefix` (not this process). Returns
 * how many. For what a killed parent left behind. Reads /proc of this user's processes. */
unsigned sl_process_kill_tagged(const char *prefix);

#endif

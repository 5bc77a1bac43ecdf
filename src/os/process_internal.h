/* Inside os/: a set of child processes and what is known of each. process.c starts and ends them, process_output.c reads them. */
#ifndef SL_OS_PROCESS_INTERNAL_H
#define SL_OS_PROCESS_INTERNAL_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/time.h"
#include "os/cgroup.h"
#include "os/process.h"

enum { EVENTS_FD = 3, READ_BYTES = 64 << 10, WITHOUT_PIDFD_MS = 20 };
enum pipe_kind { PIPE_OUT, PIPE_ERR, PIPE_EVENTS, PIPE_COUNT };

struct input { int fd; struct sl_buf line; bool skipping; /* the rest of a JSON line that was too long */ };

struct sl_process {
	struct sl_processes *set;
	struct sl_process *next;
	pid_t pid;
	int pidfd;                    /* -1: the kernel has none */
	char tag[128];
	struct input inputs[PIPE_COUNT];
	char *log_path;               /* NULL: none, or it was opened */
	bool has_log;
	int log_fd;                   /* -1: none, not yet open, or its end was reached */
	uint64_t log_left;
	char now[SL_TIME_TEXT];       /* of the piece that was read last */
	struct sl_buf log;            /* lines of one reading, written at once */
	int64_t started_ns, deadline_ns, kill_ns; /* monotonic; 0: none */
	int64_t timeout_ms, grace_ms;
	uint64_t memory_bytes;
	struct sl_cgroup group;       /* that holds its memory; none: it is looked at */
	int64_t memory_ns; /* when to look next */
	void (*on_line)(void *context, char stream, const char *line, size_t len);
	void (*on_event)(void *context, const char *line, size_t len);
	void *context;
	struct sl_limits limits;
	struct sl_sandbox_watch *watch; /* NULL: none */
	struct sl_process_end end;
	bool exited;
};

struct sl_processes {
	struct sl_processes *next;    /* of all_sets */
	struct sl_process *first;
	size_t running;
	int watch_fd; /* -1: none */
	bool oom_known;
	int64_t oom_kills; /* how often the kernel had killed for memory when that was last looked at; -1: it does not tell */
	int null_fd;
	char *piece; /* READ_BYTES */
	char *groups; /* where groups can be made; "" nowhere, NULL: nobody looked yet */
};

/* Reads one piece of a pipe (enum pipe_kind) and passes it on; false at its end or when nothing is there. */
bool sl_process_read(struct sl_process *process, int kind);
/* How often the kernel has killed for memory since it started, in containers too; -1 when it does not tell. 0.1 ms. */
int64_t sl_process_oom_kills(void);

#endif

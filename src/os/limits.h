/* Limits that the kernel holds for each process of a child (setrlimit). */
#ifndef SL_OS_LIMITS_H
#define SL_OS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* 0: none of ours. */
struct sl_limits {
	int64_t cpu_ms;                 /* processor time, rounded up to seconds: beyond, SIGXCPU, and SIGKILL a second later */
	uint64_t file_bytes;            /* size of a file that it writes: beyond, SIGXFSZ, or EFBIG for who ignores that */
	uint64_t open_files;            /* descriptors */
};

/* In the child, also one that runs on its parent's memory (vfork): system calls only. False with errno. A limit above our own becomes ours. */
bool sl_limits_enter(const struct sl_limits *limits);

#endif

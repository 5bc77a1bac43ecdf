/* Faults at the machine's edge, for tests: the n-th system call fails, or the process dies at it, or the power does.
 *
 * Install a plan (in a child process when it dies), run what is to be tested, look at what is left. fsync and fdatasync do not
 * reach the disk while a plan is installed: what counts is what the plan says of them.
 *
 * Power loss: what a plan with `power_dir` leaves in `image_dir` when it dies is the worst that POSIX allows: of each file the
 * bytes at its last fsync (none: an empty file), of each folder the names at its last fsync.
 */
#ifndef SL_TEST_FAULT_H
#define SL_TEST_FAULT_H

#include <stdbool.h>

enum {
	FAULT_WRITE = 1,  /* write, pwrite, fallocate */
	FAULT_SYNC = 2,   /* fsync, fdatasync, syncfs */
	FAULT_RENAME = 4,
	FAULT_OPEN = 8,   /* for writing */
	FAULT_CHANGE = 16, /* mkdir, rmdir, unlink, ftruncate, link, chmod */
	FAULT_READ = 32,  /* read, pread, open for reading, stat */
	FAULT_CHANGES = FAULT_WRITE | FAULT_SYNC | FAULT_RENAME | FAULT_OPEN | FAULT_CHANGE,
};

enum fault_action {
	FAULT_NONE,  /* counts only */
	FAULT_FAIL,  /* -1 and errno */
	FAULT_SHORT, /* a write does half, the rest fails; other calls fail */
	FAULT_DIE,   /* the process ends before the call */
	FAULT_TEAR,  /* the process ends after half of the write */
};

struct fault_plan {
	enum fault_action action;
	unsigned kinds;
	long at;            /* the n-th call of these kinds, from 1 */
	int error;          /* errno for FAIL and SHORT */
	bool stays;         /* every later call of these kinds fails too: the disk stays full */
	bool by_signal;     /* the process dies of SIGKILL, as users see it; else with FAULT_EXIT */
	const char *power_dir, *image_dir; /* see above; NULL: none */
};

void fault_install(const struct fault_plan *plan);
/* Takes it out and returns how many calls of its kinds there were. */
long fault_remove(void);
/* From now on calls are counted in `shared`, which lies in memory that several processes have mapped: one plan for all of them. */
void fault_count_in(_Atomic long *shared);
enum { FAULT_EXIT = 77 }; /* exit status of a process that died of its plan */

/* A copy of a folder of files and folders. Aborts when it cannot. */
void copy_tree(const char *from, const char *to);

#endif

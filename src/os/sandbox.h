/* What a child may touch, by the kernel: files by Landlock, the network and calls that reach around it by seccomp.
 *
 *   prepare (parent: opens every path) ──> enter (child, before exec: system calls only) ──> exec
 *
 * All of it holds for everything that the child starts, root too, and cannot be taken off. Whatever is not listed can still be seen by
 * name and size (stat), and never be read. Where the kernel lacks a part the rest holds, and `words` say so.
 */
#ifndef SL_OS_SANDBOX_H
#define SL_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sl_sandbox_options {
	const char *const *read;  /* files and folders with all below, to be read and executed; NULL-terminated. Missing ones are passed over */
	const char *const *write; /* the same, to be read and changed */
	bool network;             /* may open sockets of IPv4, IPv6 and the like; local ones it may always */
};

struct sl_sandbox {
	int ruleset_fd;           /* -1: the kernel has no Landlock */
	bool filter;              /* seccomp is there */
	bool network;
	char words[160];          /* "files by Landlock 7, no network by seccomp"; "the kernel has no Landlock: every file can be read; ..." */
};

/* A path that cannot be opened for another reason than that it is missing is an error. */
int sl_sandbox_prepare(const struct sl_sandbox_options *options, struct sl_sandbox *ret, struct sl_error *err);
/* In the child, also one that runs on its parent's memory (vfork). False, with errno, when the kernel refuses. */
bool sl_sandbox_enter(const struct sl_sandbox *sandbox);
void sl_sandbox_done(struct sl_sandbox *sandbox);

#endif

/* What a child may touch, by the kernel: files by Landlock, the network and calls that reach around it by seccomp. What it was refused is told by name.
 *
 *   prepare (parent: opens every path) ──> enter (child, before exec: system calls only) ──> exec
 *                                            │ a listener for the calls that name files or leave the machine
 *                                            └──> watch (os/sandbox_watch.h, a thread of the parent): notes what Landlock will refuse; connects for the child
 *
 * All of it holds for everything that the child starts, root too, and cannot be taken off. Root keeps its rights over files and loses all others
 * (capabilities). Whatever is not listed can still be seen by name and size (stat), and never be read. Where the kernel lacks a part the rest holds, and
 * `words` say so.
 */
#ifndef SL_OS_SANDBOX_H
#define SL_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

/* Paths that all sandboxes of a process share, opened once: opening and naming the system's thirty folders took three fifths of a prepare. */
struct sl_sandbox_base;

struct sl_sandbox_options {
	const struct sl_sandbox_base *base; /* allowed before all else; NULL */
	const char *const *read;  /* files and folders with all below, to be read and executed; NULL-terminated. Missing ones are passed over */
	const char *const *write; /* the same, to be read and changed */
	const char *const *list;  /* folders, to be listed with all below */
	const char *const *files; /* files to be read; `store` is told to the watch in place of each */
	const char *store;        /* "" when there are no files */
	bool network;             /* may open sockets of IPv4, IPv6 and the like; local ones it may always */
	uint16_t port;            /* of 127.0.0.1: it may connect there also without `network`, when the kernel can hold it to that (`watch`). 0: none */
};

struct sl_sandbox {
	int ruleset_fd;           /* -1: the kernel has no Landlock */
	bool filter;              /* seccomp is there */
	bool watch;               /* and can ask us about calls */
	bool network;
	bool truncates;           /* Landlock does not know truncation (before Linux 6.2): seccomp refuses truncate(2) */
	uint16_t port;
	/* What is allowed, for the watch: 'r', 'w' or 'l' before an absolute path; as given and without links. In the arena of prepare. NULL-terminated. */
	const char *const *known;
	char words[160];          /* "files by Landlock 7, no network by seccomp"; "the kernel has no Landlock: every file can be read; ..." */
};

/* Does this kernel's Landlock hold writes and truncation, so that even root changes nothing but what it may? */
bool sl_sandbox_holds_writes(void);
/* `read` and `write` as in the options. What is missing now stays closed to all sandboxes over it. */
int sl_sandbox_base_new(const char *const *read, const char *const *write, struct sl_sandbox_base **ret, struct sl_error *err);
void sl_sandbox_base_free(struct sl_sandbox_base *base); /* NULL is fine */
/* A path that cannot be opened for another reason than that it is missing is an error. `base` and `arena` outlive `ret`. */
int sl_sandbox_prepare(const struct sl_sandbox_options *options, struct sl_arena *arena, struct sl_sandbox *ret, struct sl_error *err);
/* In the child, also one that runs on its parent's memory (vfork). The listener is sent through `tell_fd` when sandbox->watch; without an answer there
 * (another sandbox around this one listens already) it goes on without a watch. False, with errno, when the kernel refuses. */
bool sl_sandbox_enter(const struct sl_sandbox *sandbox, int tell_fd);
void sl_sandbox_done(struct sl_sandbox *sandbox);

#endif

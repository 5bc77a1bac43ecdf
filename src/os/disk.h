/* What the file system under a path has left: for errors that must say which one is full, and of how much. */
#ifndef SL_OS_DISK_H
#define SL_OS_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "os/file.h"

struct sl_disk {
	char mount[SL_PATH_MAX];           /* the folder where the file system begins: "/", "/data" */
	uint64_t size_bytes, free_bytes;   /* free for this user, under a quota of the file system's */
	bool no_files;                     /* it has room for bytes, but no more files can be made */
};

/* Looks at the nearest folder above `path` (itself included) that exists. */
int sl_disk_look(const char *path, struct sl_disk *ret, struct sl_error *err);
/* Whether it has less than 64 KiB left, or no more files; false when that cannot be seen. */
bool sl_disk_full(const char *path);
/* Adds to an SL_E_NO_SPACE which file system is full, what is left and what to do; `needed_bytes` 0: unknown. Another error, and
 * one that has a hint already, stays as it is. Returns err->code (err may be NULL: SL_E_NO_SPACE). */
int sl_disk_hint(struct sl_error *err, const char *path, uint64_t needed_bytes);

#endif

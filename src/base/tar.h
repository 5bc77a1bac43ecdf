/* Tar archives of a few regular files that are equal whenever their contents are: the ustar format of POSIX (IEEE 1003.1, pax,
 * "ustar Interchange Format"), mode 0644, owner 0, time 0, names in strictly ascending order of their bytes. Every tar reads them.
 *
 * The reader takes such archives only: each header must be, byte for byte, the one that the writer makes of its name and size. So
 * links, devices, folders, owners, prefixes, extensions, repeated or unordered names, bytes hidden in padding or behind the end are
 * all refused, and nothing in an archive can be changed that a reader would not look at.
 */
#ifndef SL_BASE_TAR_H
#define SL_BASE_TAR_H

#include <stddef.h>

#include "base/buf.h"

enum { SL_TAR_BLOCK = 512, SL_TAR_NAME_MAX = 99 /* bytes: letters, digits, '.', '_', '-', '/', relative and without ".." */ };

/* Appends a member; names must come in ascending order and be valid (asserted). At most 8 GiB - 1. */
void sl_tar_add(struct sl_buf *out, const char *name, const void *data, size_t len);
void sl_tar_end(struct sl_buf *out);

/* Reading: set data and len, the rest zero. `name` and `content` are the present member's; content points into data. */
struct sl_tar {
	const char *data;
	size_t len, at;
	char name[SL_TAR_NAME_MAX + 1];
	const char *content;
	size_t content_len;
};
/* 1: a member stands ready. 0: the end, and all was as above. SL_E_CORRUPT names the member. */
int sl_tar_next(struct sl_tar *tar, struct sl_error *err);

#endif

/* Heads of members of a tar archive with any names and sizes, for archives that are written as they go: the ustar format of POSIX, behind an extended
 * header of pax (IEEE 1003.1, "pax Extended Header") where a name is longer than 100 bytes or a size than 8 GiB. Every tar since 2001 reads them.
 * (base/tar.h writes the strict kind that can be compared byte for byte.) */
#ifndef SL_BASE_PAX_H
#define SL_BASE_PAX_H

#include <stdint.h>

#include "base/buf.h"

enum { SL_PAX_BLOCK = 512, SL_PAX_NAME_MAX = 4096 };

/* The head of a regular file (mode 0644, owner 0, time 0); its bytes follow, then sl_pax_pad. `name` is relative, at most SL_PAX_NAME_MAX bytes. */
void sl_pax_head(struct sl_buf *out, const char *name, uint64_t size_bytes);
/* Zeros up to the next block behind content of this size. */
void sl_pax_pad(struct sl_buf *out, uint64_t size_bytes);
/* The end of the archive. */
void sl_pax_end(struct sl_buf *out);

#endif

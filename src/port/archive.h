/* Archives (.tar, .tar.gz, .tar.zst, .zip) as users bring them. Hostile until checked: a member that is no plain file or folder, whose
 * name leaves the archive, or whose size is not what it says, is refused by name. */
#ifndef SL_PORT_ARCHIVE_H
#define SL_PORT_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_ARCHIVE_FILES_MAX = 4000000 };
/* An archive may unpack to this much and RATIO times its own size; more is a bomb (SL_E_TOO_LARGE). */
#define SL_ARCHIVE_BYTES_FREE (UINT64_C(1) << 30)
enum { SL_ARCHIVE_RATIO = 200 };

struct sl_archive_member {
	const char *path; /* bytes; relative, without "." and ".." parts, NUL-terminated */
	size_t len;
	bool executable;
};
struct sl_archive_taker {
	int (*begin)(void *context, const struct sl_archive_member *member, struct sl_error *err);
	int (*piece)(void *context, const void *data, size_t len, struct sl_error *err); /* not longer than some MiB */
	int (*end)(void *context, struct sl_error *err);
	void *context;
};
/* By the name's ending: is it an archive? */
bool sl_archive_named(const char *name);
/* Every plain file, in the archive's order; folders are let pass. `name` stands in errors. The library is loaded on first use
 * (SL_E_NO_LIBRARY). Names that come twice are the taker's to see. */
int sl_archive_unpack(const char *path, const char *name, const struct sl_archive_taker *taker, struct sl_error *err);

#endif

/* The hash of a file of the user's, remembered in table file_hash: a no-op run looks at each file, and reads none. */
#ifndef SL_DATA_FILE_HASH_H
#define SL_DATA_FILE_HASH_H

#include "base/error.h"
#include "base/hash.h"
#include "os/file.h"
#include "port/meta.h"

/* Remembers at once: for single files. */
int sl_file_hash(struct sl_meta *meta, const char *path, struct sl_hash *ret, uint64_t *ret_size, struct sl_error *err);

/* The same in two steps, so that many new files are hashed without holding the database, and then written in one transaction. */
struct sl_file_seen { struct sl_file_info info; int64_t started_ms; bool is_new; };
int sl_file_look(struct sl_meta *meta, const char *path, struct sl_hash *ret, struct sl_file_seen *seen, struct sl_error *err);
int sl_file_remember(struct sl_meta *meta, const char *path, const struct sl_hash *hash, const struct sl_file_seen *seen,
		     struct sl_error *err);

#endif

/* Port "object": write-once bytes named by their SHA-256. Default backend: a folder `objects/ab/cdef...` of read-only files.
 *
 * What holds: an object is whole or absent (temporary file, fsync, rename); its name is the SHA-256 of its bytes; nothing
 * ever writes to it again. The store is safe for many processes at once. Whole-object reads verify the hash and fail with
 * SL_E_CORRUPT rather than lie; files opened by path are verified by `verify` and by sl_objects_check.
 *
 * A put is durable when it returns: the bytes before the name, the name before the return. That is one flush of the device for
 * the file and one for its folder (each 0.13-0.4 ms on the idle machine, 2-4 ms on a busy one; a third when a folder is new); a
 * put of bytes that are there already costs a hash and a stat. A handle belongs to one thread.
 */
#ifndef SL_PORT_OBJECT_H
#define SL_PORT_OBJECT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "os/file.h"

struct sl_objects;

/* Opens (makes when missing) the store at folder `dir`; `tmp` is a folder of the same file system for staging. */
int sl_objects_open(const char *dir, const char *tmp, struct sl_objects **ret, struct sl_error *err);
void sl_objects_close(struct sl_objects *objects);

int sl_objects_put(struct sl_objects *objects, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err);

enum sl_put_how {
	SL_PUT_COPY, /* reflink when the file system can, else copy; the source stays the user's */
	SL_PUT_MOVE, /* the file was made for us (a staged output) and is on the same file system: rename */
};
/* Hashes and keeps the regular file at `path`; after MOVE it is gone from there. A source that changes while it is read is
 * refused (SL_E_FAILED, retriable). */
int sl_objects_put_file(struct sl_objects *objects, const char *path, enum sl_put_how how, struct sl_hash *ret,
			uint64_t *ret_size, struct sl_error *err);

bool sl_objects_has(struct sl_objects *objects, const struct sl_hash *hash);
/* Appends the bytes; SL_E_NOT_FOUND, SL_E_CORRUPT, or SL_E_TOO_LARGE beyond out->max. */
int sl_objects_get(struct sl_objects *objects, const struct sl_hash *hash, struct sl_buf *out, struct sl_error *err);
/* Path of the read-only file, for engines that open files themselves (DuckDB, mmap). SL_E_NOT_FOUND when absent. Its bytes are
 * proved once per change of the file (size, mtime, inode remembered in memory), not at each call. */
int sl_objects_path(struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX], struct sl_error *err);
/* Reads all bytes and compares; SL_E_CORRUPT names the path and the first difference that can be told (hash, size). */
int sl_objects_check(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err);
/* Every object, in order of its hash. */
typedef int sl_objects_visit(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err);
int sl_objects_each(struct sl_objects *objects, sl_objects_visit *each, void *context, struct sl_error *err);
int sl_objects_remove(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err);
/* Removes staging files whose makers are dead. */
int sl_objects_tidy(struct sl_objects *objects, struct sl_error *err);

#endif

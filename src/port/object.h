/* Port "object": write-once bytes named by their SHA-256. Default backend: a folder (docs/formats/object.md): a read-only file per
 * object, small ones of a batch together in packs, big files of the user's as lists of chunks that their versions share.
 *
 * What holds: an object is whole or absent (temporary file, fsync, rename); its name is the SHA-256 of its bytes; nothing
 * ever writes to it again. The store is safe for many processes at once. Whole-object reads verify the hash and fail with
 * SL_E_CORRUPT rather than lie; files opened by path are verified by `verify` and by sl_objects_check.
 *
 * A put is durable when it returns: the bytes before the name, the name before the return. That is one flush of the device for
 * the file and one for its folder (each 0.13-0.4 ms on the idle machine, 2-4 ms on a busy one; a third when a folder is new); a
 * put of bytes that are there already costs a hash and a stat. Many objects go through a batch, which flushes a few times in all.
 * A handle may be used by several threads.
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
/* Calls `piece` with the bytes from begin to end, in constant memory. Their hash is compared behind the last piece: only with 0
 * may they be believed. SL_E_NOT_FOUND, SL_E_CORRUPT, or what `piece` returned. */
int sl_objects_read(struct sl_objects *objects, const struct sl_hash *hash, sl_file_piece *piece, void *context,
		    struct sl_error *err);
int sl_objects_size(struct sl_objects *objects, const struct sl_hash *hash, uint64_t *ret, struct sl_error *err);
/* Appends the bytes; SL_E_NOT_FOUND, SL_E_CORRUPT, or SL_E_TOO_LARGE beyond out->max. */
int sl_objects_get(struct sl_objects *objects, const struct sl_hash *hash, struct sl_buf *out, struct sl_error *err);
/* Path of a read-only file with the bytes, for engines that open files themselves (DuckDB, mmap). SL_E_NOT_FOUND when absent. Its
 * bytes are proved once per change of the file (size, mtime, inode remembered in memory), not at each call. An object that is no
 * file of its own is put together in objects/cache, where it stays until it or the object is removed. */
int sl_objects_path(struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX], struct sl_error *err);
/* Reads all bytes and compares; SL_E_CORRUPT names the path and the first difference that can be told (hash, size). */
int sl_objects_check(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err);
enum sl_place_how {
	SL_PLACE_COPY, /* shares blocks (reflink) where the file system can, else copies: the file is the user's to change */
	SL_PLACE_LINK, /* a hard link to the read-only object where that can be, else a read-only copy */
};
/* Makes the file `to`, which must not exist, with the object's bytes, proved. `mode` of a copy; of a link only whether it is read-only
 * counts, and it always is. Not synced. */
int sl_objects_place(struct sl_objects *objects, const struct sl_hash *hash, const char *to, unsigned mode, enum sl_place_how how,
		     struct sl_error *err);
/* Every object once, in no order; one that two processes put at the same time may come twice. SL_E_CORRUPT names a pack whose index
 * is damaged. */
typedef int sl_objects_visit(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err);
int sl_objects_each(struct sl_objects *objects, sl_objects_visit *each, void *context, struct sl_error *err);
/* What an object is made of: the chunks of a chunked one; nothing for others. A store without them cannot read it. */
int sl_objects_parts(struct sl_objects *objects, const struct sl_hash *hash, sl_objects_visit *each, void *context,
		     struct sl_error *err);
/* The place that a packed object takes is given back by sl_objects_compact of the same handle, and it stays readable until then. */
int sl_objects_remove(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err);
/* Writes packs anew without what was removed, and small packs together. */
int sl_objects_compact(struct sl_objects *objects, struct sl_error *err);
/* Files that were put together for engines (objects/cache): how many bytes, and away with them. */
int sl_objects_cache_size(struct sl_objects *objects, uint64_t *ret_bytes, struct sl_error *err);
int sl_objects_cache_clear(struct sl_objects *objects, struct sl_error *err);
/* Removes staging files whose makers are dead. */
int sl_objects_tidy(struct sl_objects *objects, struct sl_error *err);

/* ---- many at once --------------------------------------------------------------------------------------------------- */

enum {
	SL_PACK_FILE_MAX = 64 << 10,  /* up to this size an object of a batch goes into a pack: one more file costs more than that */
	SL_CHUNK_FILE_MIN = 64 << 20, /* from this size a file of the user's is kept as chunks: 1 MiB on average, cut by content */
};

/* Puts that become durable together. Nothing of it is in the store before commit, and after it all is: the bytes are written, flushed
 * once (syncfs), named, and each folder is flushed once. A crash before leaves staging files, during it whole objects. The puts may
 * come from several threads; commit and free from one. */
struct sl_batch;
int sl_batch_begin(struct sl_objects *objects, struct sl_batch **ret, struct sl_error *err);
void sl_batch_free(struct sl_batch *batch); /* what was not committed is gone; NULL is fine */
void sl_batch_freep(struct sl_batch **batch);

int sl_batch_put(struct sl_batch *batch, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err);
struct sl_put_source {
	int fd;           /* open for reading, at its beginning */
	const char *name; /* for errors; with SL_PUT_MOVE the file's path */
	const struct sl_file_info *seen; /* what the caller saw: size, times, inode */
	enum sl_put_how how;
};
/* SL_E_FAILED (retriable) when the file is not, before or after reading, what the caller saw. */
int sl_batch_put_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err);
int sl_batch_commit(struct sl_batch *batch, struct sl_error *err);

#endif

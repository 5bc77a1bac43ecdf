/* Files: whole reads with a bound, atomic writes, copies that share blocks where the file system can. Every failure carries
 * the path. Paths are at most SL_PATH_MAX bytes with their NUL. */
#ifndef SL_OS_FILE_H
#define SL_OS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum { SL_PATH_MAX = 4096 };

/* "a/b" into out; SL_E_TOO_LARGE when it does not fit. An absolute `b` is refused (SL_E_INVALID). */
int sl_path_join(char out[SL_PATH_MAX], const char *a, const char *b, struct sl_error *err);

int sl_file_open(const char *path, int flags, unsigned mode, int *ret_fd, struct sl_error *err);
void sl_file_close(int *fd); /* for SL_CLEANUP: closes *fd unless it is -1 */
#define SL_AUTO_CLOSE SL_CLEANUP(sl_file_close)

/* Reads to the end, or fails with SL_E_TOO_LARGE beyond out->max. */
int sl_file_read(const char *path, struct sl_buf *out, struct sl_error *err);
/* Reads exactly `len` bytes at `offset`; SL_E_CORRUPT when the file is shorter. */
int sl_file_read_at(int fd, void *data, size_t len, uint64_t offset, const char *path, struct sl_error *err);
/* Writes all, over short writes and EINTR. */
int sl_file_write_all(int fd, const void *data, size_t len, const char *path, struct sl_error *err);
int sl_file_write_at(int fd, const void *data, size_t len, uint64_t offset, const char *path, struct sl_error *err);
/* fdatasync. A failure is final: the bytes may be lost although a later sync succeeds, so the caller must not retry. */
int sl_file_sync(int fd, const char *path, struct sl_error *err);
/* Old content or new, never a mix, durable on return: temporary file beside it, fsync, rename, fsync of the folder. */
int sl_file_replace(const char *path, const void *data, size_t len, unsigned mode, struct sl_error *err);
int sl_file_rename(const char *from, const char *to, struct sl_error *err);
/* fsync of the folder, so that renames in it are durable. */
int sl_dir_sync(const char *dir, struct sl_error *err);
/* Makes `dir` and its parents (0777 less umask); existing ones are fine. */
int sl_dir_make(const char *dir, struct sl_error *err);
/* Removes a tree. Symbolic links are removed, never followed. A missing tree is fine. */
int sl_dir_remove(const char *dir, struct sl_error *err);
/* A fresh folder "<dir>/<prefix>XXXXXXXX", mode 0700, into out. */
int sl_dir_make_temporary(const char *dir, const char *prefix, char out[SL_PATH_MAX], struct sl_error *err);

bool sl_file_exists(const char *path);
bool sl_dir_exists(const char *path);
/* Size and modification time; SL_E_NOT_FOUND when missing. */
struct sl_file_info {
	uint64_t size_bytes, inode, device;
	int64_t mtime_ns, ctime_ns;
	unsigned mode;
	bool is_dir, is_regular, is_link;
};
int sl_file_info(const char *path, struct sl_file_info *ret, struct sl_error *err);

/* Every entry but "." and "..", sorted by bytes of the name; `each` returns 0 to go on, anything else to stop with it. */
typedef int sl_dir_visit(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err);
int sl_dir_each(const char *dir, sl_dir_visit *each, void *context, struct sl_error *err);

/* Reads `from` once from begin to end in pieces; the way to hash a file without holding it. */
typedef int sl_file_piece(void *context, const void *data, size_t len, struct sl_error *err);
int sl_file_stream(const char *path, sl_file_piece *piece, void *context, struct sl_error *err);

/* `to` must not exist. Shares blocks (reflink) where the file system can, else copies bytes. Not synced. */
int sl_file_copy(const char *from, const char *to, unsigned mode, struct sl_error *err);

/* An advisory lock (flock) on `path`, made when missing. SL_E_BUSY with the holder's text when another process has it and
 * `wait` is false; `holder` (what we are: "sluice run, pid 71") is written into the file. Held until close. */
int sl_file_lock(const char *path, const char *holder, bool wait, int *ret_fd, struct sl_error *err);

/* The same lock held together with other readers, on a file that cannot be written: 0, or 1 when there is no such file and so
 * nobody who locks. Waits. */
int sl_file_lock_shared(const char *path, int *ret_fd, struct sl_error *err);

#endif

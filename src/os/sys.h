/* The seam to the machine: every system call that can fail goes through this table, so that tests can fail the n-th call,
 * fill the disk, or stop the process at the n-th write. One table per process, set before the first thread starts.
 *
 * Members behave as the C library's functions of the same name: -1 and errno on failure. They may be interrupted (EINTR)
 * and may be short: use os/file.h, which handles both, unless you need the bare call.
 */
#ifndef SL_OS_SYS_H
#define SL_OS_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct sl_sys {
	int (*open)(const char *path, int flags, mode_t mode);
	int (*openat)(int dir_fd, const char *path, int flags, mode_t mode);
	/* openat2: the path must stay below the folder `dir_fd`, and no part of it may be a link. ELOOP, EXDEV when it does not. */
	int (*open_beneath)(int dir_fd, const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*read)(int fd, void *data, size_t len);
	ssize_t (*write)(int fd, const void *data, size_t len);
	ssize_t (*pread)(int fd, void *data, size_t len, off_t offset);
	ssize_t (*pwrite)(int fd, const void *data, size_t len, off_t offset);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*syncfs)(int fd);
	int (*ftruncate)(int fd, off_t len);
	int (*fallocate)(int fd, int mode, off_t offset, off_t len);
	int (*rename)(const char *from, const char *to);
	int (*link)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*mkdir)(const char *path, mode_t mode);
	int (*rmdir)(const char *path);
	int (*stat)(const char *path, struct stat *ret);
	int (*lstat)(const char *path, struct stat *ret);
	int (*fstat)(int fd, struct stat *ret);
	int (*fstatat)(int dir_fd, const char *path, struct stat *ret, int flags);
	int (*chmod)(const char *path, mode_t mode);
	int (*ioctl_clone)(int to_fd, int from_fd); /* FICLONE */
	void *(*mmap)(void *hint, size_t len, int protection, int flags, int fd, off_t offset);
	int (*munmap)(void *start, size_t len);
	int (*msync)(void *start, size_t len, int flags);
	int64_t (*realtime_ns)(void);
	int64_t (*monotonic_ns)(void);
	int (*random)(void *data, size_t len); /* 0 or -1 */
};

extern const struct sl_sys sl_sys_real;
/* The table in use; never NULL. */
extern const struct sl_sys *sl_sys;

#endif

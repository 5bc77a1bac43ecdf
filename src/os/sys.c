#include "os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int real_open(const char *path, int flags, mode_t mode) { return open(path, flags | O_CLOEXEC, mode); }

static int real_open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	const struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .mode = mode,
				     .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
	/* Old containers forbid the call or do not know it: then only the last part is kept from being a link. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd;
}

static int real_openat(int dir_fd, const char *path, int flags, mode_t mode) { return openat(dir_fd, path, flags | O_CLOEXEC, mode); }


static int real_clone(int to_fd, int from_fd) { return ioctl(to_fd, FICLONE, from_fd); }

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t real_realtime_ns(void) { return clock_ns(CLOCK_REALTIME); }
static int64_t real_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static int real_random(void *data, size_t len) { return getrandom(data, len, 0) == (ssize_t)len ? 0 : -1; }

const struct sl_sys sl_sys_real = {
	.open = real_open, .openat = real_openat, .open_beneath = real_open_beneath, .close = close, .read = read, .write = write, .pread = pread, .pwrite = pwrite,
	.fsync = fsync, .fdatasync = fdatasync, .syncfs = syncfs, .ftruncate = ftruncate, .fallocate = fallocate,
	.rename = rename, .link = link, .unlink = unlink, .mkdir = mkdir, .rmdir = rmdir,
	.stat = stat, .lstat = lstat, .fstat = fstat, .fstatat = fstatat, .chmod = chmod, .ioctl_clone = real_clone,
	.mmap = mmap, .munmap = munmap, .msync = msync,
	.realtime_ns = real_realtime_ns, .monotonic_ns = real_monotonic_ns, .random = real_random,
};

const struct sl_sys *sl_sys = &sl_sys_real;

#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/sys.h"

enum { PIECE_BYTES = 256 * 1024 };

int sl_path_join(char out[SL_PATH_MAX], const char *a, const char *b, struct sl_error *err)
{
	if (b[0] == '/')
		return sl_fail_at(err, SL_E_INVALID, b, "expected a relative path");
	size_t n = strlen(a);
	const char *slash = n && a[n - 1] == '/' ? "" : "/";
	if (snprintf(out, SL_PATH_MAX, "%s%s%s", a, slash, b) >= SL_PATH_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, b, "path is longer than %d bytes", SL_PATH_MAX - 1);
	return 0;
}

int sl_file_open(const char *path, int flags, unsigned mode, int *ret_fd, struct sl_error *err)
{
	int fd;
	do
		fd = sl_sys->open(path, flags, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return sl_fail_errno(err, errno, path, flags & (O_WRONLY | O_RDWR) ? "cannot write" : "cannot read");
	*ret_fd = fd;
	return 0;
}

void sl_file_close(int *fd)
{
	if (*fd >= 0)
		sl_sys->close(*fd);
	*fd = -1;
}

static ssize_t read_some(int fd, void *data, size_t len)
{
	ssize_t n;
	do
		n = sl_sys->read(fd, data, len);
	while (n < 0 && errno == EINTR);
	return n;
}

int sl_file_read(const char *path, struct sl_buf *out, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(path, O_RDONLY, 0, &fd, err);
	if (rc)
		return rc;
	struct stat st;
	size_t step = PIECE_BYTES;
	if (sl_sys->fstat(fd, &st) == 0 && st.st_size >= 0 && (size_t)st.st_size < step)
		step = (size_t)st.st_size + 1;
	for (;;) {
		size_t room = out->max - out->len < step ? out->max - out->len : step;
		char *to = sl_buf_reserve(out, room);
		if (!to)
			return sl_buf_check(out, path, err);
		char extra;
		ssize_t n = room ? read_some(fd, to, room) : read_some(fd, &extra, 1);
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot read");
		if (n > 0 && !room)
			return sl_fail_at(err, SL_E_TOO_LARGE, path, "is larger than %zu bytes", out->max);
		if (n == 0)
			break;
		out->len += (size_t)n;
	}
	if (out->data)
		out->data[out->len] = 0;
	return 0;
}

int sl_file_read_at(int fd, void *data, size_t len, uint64_t offset, const char *path, struct sl_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = sl_sys->pread(fd, (char *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot read");
		if (n == 0)
			return sl_fail_at(err, SL_E_CORRUPT, path, "ends at byte %llu, expected %zu more", (unsigned long long)(offset + done), len - done);
		done += (size_t)n;
	}
	return 0;
}

int sl_file_write_all(int fd, const void *data, size_t len, const char *path, struct sl_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = sl_sys->write(fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot write");
		done += (size_t)n;
	}
	return 0;
}

int sl_file_write_at(int fd, const void *data, size_t len, uint64_t offset, const char *path, struct sl_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = sl_sys->pwrite(fd, (const char *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot write");
		done += (size_t)n;
	}
	return 0;
}

int sl_file_sync(int fd, const char *path, struct sl_error *err)
{
	return sl_sys->fdatasync(fd) ? sl_fail_errno(err, errno, path, "cannot make durable") : 0;
}

int sl_file_rename(const char *from, const char *to, struct sl_error *err)
{
	return sl_sys->rename(from, to) ? sl_fail_errno(err, errno, to, "cannot rename into place") : 0;
}

/* The folder that holds `path`. */
static void parent_of(const char *path, char out[SL_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		snprintf(out, SL_PATH_MAX, ".");
	else
		snprintf(out, SL_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int sl_dir_sync(const char *dir, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (!rc && sl_sys->fsync(fd))
		rc = sl_fail_errno(err, errno, dir, "cannot make durable");
	return rc;
}

static int write_synced(const char *path, const void *data, size_t len, unsigned mode, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(path, O_WRONLY | O_CREAT | O_EXCL, mode, &fd, err);
	if (!rc)
		rc = sl_file_write_all(fd, data, len, path, err);
	if (!rc && sl_sys->fsync(fd))
		rc = sl_fail_errno(err, errno, path, "cannot make durable");
	return rc;
}

int sl_file_replace(const char *path, const void *data, size_t len, unsigned mode, struct sl_error *err)
{
	unsigned char random[6];
	int rc = sl_random(random, sizeof random, err);
	if (rc)
		return rc;
	char temporary[SL_PATH_MAX], dir[SL_PATH_MAX];
	int n = snprintf(temporary, sizeof temporary, "%s.%02x%02x%02x%02x%02x%02x.tmp", path, random[0], random[1], random[2], random[3], random[4], random[5]);
	if (n >= SL_PATH_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	rc = write_synced(temporary, data, len, mode, err);
	if (!rc)
		rc = sl_file_rename(temporary, path, err);
	if (rc) {
		sl_sys->unlink(temporary);
		return rc;
	}
	parent_of(path, dir);
	return sl_dir_sync(dir, err);
}

int sl_dir_make(const char *dir, struct sl_error *err)
{
	if (sl_sys->mkdir(dir, 0777) == 0 || (errno == EEXIST && sl_dir_exists(dir)))
		return 0;
	if (errno != ENOENT)
		return sl_fail_errno(err, errno, dir, "cannot make the folder");
	char parent[SL_PATH_MAX];
	parent_of(dir, parent);
	int rc = sl_dir_make(parent, err);
	if (rc)
		return rc;
	if (sl_sys->mkdir(dir, 0777) == 0 || errno == EEXIST)
		return 0;
	return sl_fail_errno(err, errno, dir, "cannot make the folder");
}

static int remove_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, context, name, err);
	if (rc)
		return rc;
	if (info->is_dir)
		return sl_dir_remove(path, err);
	return sl_sys->unlink(path) && errno != ENOENT ? sl_fail_errno(err, errno, path, "cannot remove") : 0;
}

int sl_dir_remove(const char *dir, struct sl_error *err)
{
	struct sl_file_info info;
	if (sl_file_info(dir, &info, NULL) == SL_E_NOT_FOUND)
		return 0;
	if (!info.is_dir)
		return sl_sys->unlink(dir) && errno != ENOENT ? sl_fail_errno(err, errno, dir, "cannot remove") : 0;
	int rc = sl_dir_each(dir, remove_entry, (void *)(uintptr_t)dir, err);
	if (!rc && sl_sys->rmdir(dir) && errno != ENOENT)
		rc = sl_fail_errno(err, errno, dir, "cannot remove the folder");
	return rc;
}

int sl_dir_make_temporary(const char *dir, const char *prefix, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_id id;
	int rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	if (snprintf(out, SL_PATH_MAX, "%s/%s%s", dir, prefix, id.text) >= SL_PATH_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, dir, "path is too long");
	return sl_sys->mkdir(out, 0700) ? sl_fail_errno(err, errno, out, "cannot make the folder") : 0;
}

static void info_from_stat(const struct stat *st, struct sl_file_info *ret)
{
	*ret = (struct sl_file_info){
		.size_bytes = (uint64_t)st->st_size, .inode = st->st_ino, .device = st->st_dev, .mode = st->st_mode & 07777,
		.mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec,
		.is_dir = S_ISDIR(st->st_mode), .is_regular = S_ISREG(st->st_mode), .is_link = S_ISLNK(st->st_mode),
	};
}

int sl_file_info(const char *path, struct sl_file_info *ret, struct sl_error *err)
{
	struct stat st;
	if (sl_sys->stat(path, &st) && (errno != ENOENT || sl_sys->lstat(path, &st)))
		return sl_fail_errno(err, errno, path, "cannot look at it");
	info_from_stat(&st, ret);
	return 0;
}

bool sl_file_exists(const char *path)
{
	struct stat st;
	return sl_sys->stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool sl_dir_exists(const char *path)
{
	struct stat st;
	return sl_sys->stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int skip_dots(const struct dirent *entry) { return strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."); }
static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int visit_entry(const char *dir, const char *name, sl_dir_visit *each, void *context, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, dir, name, err);
	if (rc)
		return rc;
	struct stat st;
	if (sl_sys->lstat(path, &st))
		return errno == ENOENT ? 0 : sl_fail_errno(err, errno, path, "cannot look at it");
	struct sl_file_info info;
	info_from_stat(&st, &info);
	return each(context, name, &info, err);
}

int sl_dir_each(const char *dir, sl_dir_visit *each, void *context, struct sl_error *err)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, skip_dots, by_bytes);
	if (count < 0)
		return sl_fail_errno(err, errno, dir, "cannot list the folder");
	int rc = 0;
	for (int i = 0; i < count; i++) {
		if (!rc)
			rc = visit_entry(dir, entries[i]->d_name, each, context, err);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int sl_file_stream(const char *path, sl_file_piece *piece, void *context, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(path, O_RDONLY, 0, &fd, err);
	if (rc)
		return rc;
	char *data SL_AUTO_FREE = sl_alloc(PIECE_BYTES, err);
	if (!data)
		return SL_E_NO_MEMORY;
	for (;;) {
		ssize_t n = read_some(fd, data, PIECE_BYTES);
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot read");
		if (n == 0)
			return 0;
		rc = piece(context, data, (size_t)n, err);
		if (rc)
			return rc;
	}
}

struct copy_target {
	int fd;
	const char *path;
};

static int copy_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct copy_target *to = context;
	return sl_file_write_all(to->fd, data, len, to->path, err);
}

int sl_file_copy(const char *from, const char *to, unsigned mode, struct sl_error *err)
{
	int source SL_AUTO_CLOSE = -1, target SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(from, O_RDONLY, 0, &source, err);
	if (!rc)
		rc = sl_file_open(to, O_WRONLY | O_CREAT | O_EXCL, mode, &target, err);
	if (rc)
		return rc;
	if (sl_sys->ioctl_clone(target, source) == 0)
		return 0;
	struct copy_target context = {target, to};
	rc = sl_file_stream(from, copy_piece, &context, err);
	if (rc)
		sl_sys->unlink(to);
	return rc;
}

int sl_file_lock(const char *path, const char *holder, bool wait, int *ret_fd, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(path, O_RDWR | O_CREAT, 0666, &fd, err);
	if (rc)
		return rc;
	int locked;
	do
		locked = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
	while (locked && errno == EINTR);
	if (locked && errno == EWOULDBLOCK) {
		char who[160] = "";
		ssize_t n = sl_sys->pread(fd, who, sizeof who - 1, 0);
		who[n > 0 ? n : 0] = 0;
		who[strcspn(who, "\n")] = 0;
		return sl_fail_at(err, SL_E_BUSY, path, "held by %s", who[0] ? who : "another process");
	}
	if (locked)
		return sl_fail_errno(err, errno, path, "cannot lock");
	/* Best effort: the lock holds whether or not its holder's name could be written. */
	if (sl_sys->ftruncate(fd, 0) == 0)
		(void)!sl_sys->pwrite(fd, holder, strlen(holder), 0);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int sl_file_lock_shared(const char *path, int *ret_fd, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1, locked;
	int rc = sl_file_open(path, O_RDONLY | O_CLOEXEC, 0, &fd, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 1 : rc;
	do
		locked = flock(fd, LOCK_SH);
	while (locked && errno == EINTR);
	if (locked)
		return sl_fail_errno(err, errno, path, "cannot lock");
	*ret_fd = fd;
	fd = -1;
	return 0;
}

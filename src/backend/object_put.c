/* One object at a time: staged, flushed, named. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "backend/object_internal.h"
#include "base/mem.h"
#include "os/disk.h"
#include "os/sys.h"

/* A name that is younger than this may still be on its way to the disk, in the hands of the process that made it: kernels write
 * a directory entry back within 5 s (ext4) or 30 s (XFS, btrfs). */
#define NAME_SETTLED_NS (INT64_C(60) * 1000000000)

static void dir_of(const char *path, char out[SL_PATH_MAX])
{
	snprintf(out, SL_PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
}

/* 1: the object is there already, and durable; 0: it is not; negative: an error. A file of another length was damaged: it counts as
 * missing, so that putting the bytes again heals it. */
static int find_existing(struct sl_objects *objects, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct object_place place;
	int rc = object_find(objects, hash, false, &place, err);
	if (rc || place.form == OBJECT_ABSENT || (place.form == OBJECT_LOOSE && place.size_bytes != size_bytes))
		return rc;
	if (place.form == OBJECT_LOOSE && object_proof_holds(objects, hash, &place.info))
		return 1;
	if (place.form != OBJECT_PACKED && sl_sys->realtime_ns() - place.info.ctime_ns >= NAME_SETTLED_NS)
		return 1;
	if (place.form == OBJECT_PACKED)
		snprintf(path, sizeof path, "%.4000s/pack/-", objects->dir);
	else
		object_loose_path(objects, hash, path);
	dir_of(path, dir);
	rc = sl_dir_sync(dir, err);
	return rc ? rc : 1;
}

static int sync_name(struct sl_objects *objects, const char *path, bool made, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	dir_of(path, dir);
	int rc = sl_dir_sync(dir, err);
	if (!rc && made)
		rc = sl_dir_sync(objects->dir, err);
	/* A failed fsync may have dropped the name, and a second one would not say so: the name goes, so that the next put writes anew. */
	if (rc)
		sl_sys->unlink(path);
	return rc;
}

/* Gives a staged, synced file its name and makes the name durable. */
static int name_object(struct sl_objects *objects, const char *staged, const struct sl_hash *hash, struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct sl_file_info info;
	object_loose_path(objects, hash, path);
	dir_of(path, dir);
	int made = sl_sys->mkdir(dir, 0777) == 0;
	if (!made && errno != EEXIST)
		return sl_fail_errno(err, errno, dir, "cannot make the folder");
	int rc = sl_file_rename(staged, path, err);
	if (!rc)
		rc = sync_name(objects, path, made, err);
	if (!rc)
		rc = sl_file_info(path, &info, err);
	if (!rc)
		object_remember_proof(objects, hash, &info);
	return rc;
}

int sl_objects_put(struct sl_objects *objects, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_hash hash;
	sl_sha256(data, len, &hash);
	int rc = find_existing(objects, &hash, len, err);
	if (rc) {
		*ret = rc > 0 ? hash : *ret;
		return rc < 0 ? rc : 0;
	}
	char staged[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	rc = object_stage(objects, staged, &fd, err);
	if (rc)
		return rc;
	rc = sl_file_write_all(fd, data, len, staged, err);
	if (!rc)
		rc = sl_file_sync(fd, staged, err);
	if (!rc)
		rc = name_object(objects, staged, &hash, err);
	if (rc)
		sl_sys->unlink(staged);
	else
		*ret = hash;
	return rc;
}

int object_hash_file(int fd, const char *path, int copy_fd, const char *copy_path, struct sl_hash *ret, uint64_t *ret_size,
		     struct sl_error *err)
{
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = sl_sha256_new(err);
	char *piece SL_AUTO_FREE = sha ? sl_alloc(OBJECT_PIECE_BYTES, err) : NULL;
	if (!piece)
		return SL_E_NO_MEMORY;
	uint64_t at = 0;
	for (;;) {
		ssize_t n = sl_sys->pread(fd, piece, OBJECT_PIECE_BYTES, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot read");
		if (n == 0)
			break;
		sl_sha256_add(sha, piece, (size_t)n);
		int rc = copy_fd >= 0 ? sl_file_write_all(copy_fd, piece, (size_t)n, copy_path, err) : 0;
		if (rc)
			return rc;
		at += (uint64_t)n;
	}
	sl_sha256_end(sha, ret);
	*ret_size = at;
	return 0;
}

int object_watch(int fd, const char *path, struct sl_file_info *ret, struct sl_error *err)
{
	struct stat st;
	if (sl_sys->fstat(fd, &st))
		return sl_fail_errno(err, errno, path, "cannot look at it");
	if (!S_ISREG(st.st_mode))
		return sl_fail_at(err, SL_E_INVALID, path, "is not a regular file");
	*ret = (struct sl_file_info){
		.size_bytes = (uint64_t)st.st_size, .inode = st.st_ino, .device = st.st_dev, .mode = st.st_mode & 07777, .is_regular = true,
		.mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
		.ctime_ns = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec};
	return 0;
}

int object_check_unchanged(int fd, const char *path, const struct sl_file_info *before, uint64_t size_read, struct sl_error *err)
{
	struct sl_file_info now;
	int rc = object_watch(fd, path, &now, err);
	if (rc)
		return rc;
	if (now.size_bytes == before->size_bytes && now.size_bytes == size_read && now.mtime_ns == before->mtime_ns &&
	    now.ctime_ns == before->ctime_ns && now.inode == before->inode)
		return 0;
	sl_fail_at(err, SL_E_FAILED, path, "changed while it was read");
	if (err)
		err->retriable = true;
	return sl_error_hint(err, "run again once nothing writes to the file");
}

/* Names the staged file unless the store has its bytes already; either way `staged` is gone afterwards on success. */
static int keep_staged(struct sl_objects *objects, int fd, const char *staged, const struct sl_hash *hash, uint64_t size_bytes,
		       struct sl_error *err)
{
	int rc = find_existing(objects, hash, size_bytes, err);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return sl_sys->unlink(staged) && errno != ENOENT ? sl_fail_errno(err, errno, staged, "cannot remove") : 0;
	/* fsync, not fdatasync: the mode counts. */
	if (sl_sys->fsync(fd))
		return sl_fail_errno(err, errno, staged, "cannot make durable");
	return name_object(objects, staged, hash, err);
}

static int put_big(struct sl_objects *objects, int source, const char *path, const struct sl_file_info *seen, struct sl_hash *ret,
		   struct sl_error *err)
{
	struct sl_batch *batch SL_CLEANUP(sl_batch_freep) = NULL;
	const struct sl_put_source from = {.fd = source, .name = path, .seen = seen, .how = SL_PUT_COPY};
	int rc = sl_batch_begin(objects, &batch, err);
	rc = rc ? rc : sl_batch_put_file(batch, &from, ret, err);
	return rc ? rc : sl_batch_commit(batch, err);
}

static int put_copy(struct sl_objects *objects, int source, const char *path, struct sl_hash *ret, uint64_t *ret_size,
		    struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct sl_file_info before;
	int rc = object_watch(source, path, &before, err);
	*ret_size = before.size_bytes;
	if (rc || before.size_bytes >= SL_CHUNK_FILE_MIN)
		return rc ? rc : put_big(objects, source, path, &before, ret, err);
	rc = object_stage(objects, staged, &fd, err);
	if (rc)
		return rc;
	/* A clone is a snapshot: hash that, not the source. */
	if (sl_sys->ioctl_clone(fd, source) == 0)
		rc = object_hash_file(fd, staged, -1, NULL, ret, ret_size, err);
	else
		rc = object_hash_file(source, path, fd, staged, ret, ret_size, err);
	if (!rc)
		rc = object_check_unchanged(source, path, &before, *ret_size, err);
	if (!rc)
		rc = keep_staged(objects, fd, staged, ret, *ret_size, err);
	if (rc) {
		sl_sys->unlink(staged);
		sl_file_close(&fd); /* only now is its room free again */
	}
	if (rc == SL_E_NO_SPACE) {
		sl_fail_at(err, rc, path, "no room for a copy of it in the store: %s", strerror(ENOSPC));
		sl_disk_hint(err, objects->dir, before.size_bytes);
	}
	return rc;
}

static int put_move(struct sl_objects *objects, int source, const char *path, struct sl_hash *ret, uint64_t *ret_size,
		    struct sl_error *err)
{
	struct sl_file_info before;
	/* Read-only first, so that nobody opens it for writing after it was hashed. */
	int rc = sl_sys->chmod(path, 0444) ? sl_fail_errno(err, errno, path, "cannot make read-only") : 0;
	if (!rc)
		rc = object_watch(source, path, &before, err);
	if (!rc)
		rc = object_hash_file(source, path, -1, NULL, ret, ret_size, err);
	if (!rc)
		rc = object_check_unchanged(source, path, &before, *ret_size, err);
	if (!rc)
		rc = keep_staged(objects, source, path, ret, *ret_size, err);
	return rc;
}

int sl_objects_put_file(struct sl_objects *objects, const char *path, enum sl_put_how how, struct sl_hash *ret,
			uint64_t *ret_size, struct sl_error *err)
{
	struct sl_hash hash;
	uint64_t size_bytes;
	int fd SL_AUTO_CLOSE = -1;
	/* A link that was put in place of a staged output must not pull in a foreign file. */
	int rc = sl_file_open(path, O_RDONLY | O_NONBLOCK | (how == SL_PUT_MOVE ? O_NOFOLLOW : 0), 0, &fd, err);
	if (!rc)
		rc = (how == SL_PUT_MOVE ? put_move : put_copy)(objects, fd, path, &hash, &size_bytes, err);
	if (rc)
		return rc;
	*ret = hash;
	if (ret_size)
		*ret_size = size_bytes;
	return 0;
}

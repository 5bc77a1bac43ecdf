/* Objects in a local folder: objects/ab/cdef... (docs/formats/object.md). */
#include "port/object.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "os/disk.h"
#include "os/sys.h"

enum { PIECE_BYTES = 1 << 20 };

/* A name that is younger than this may still be on its way to the disk, in the hands of the process that made it: kernels write
 * a directory entry back within 5 s (ext4) or 30 s (XFS, btrfs). */
#define NAME_SETTLED_NS (INT64_C(60) * 1000000000)

/* What a file looked like when its bytes were last proved. */
struct proof {
	uint64_t size_bytes, inode;
	int64_t mtime_ns, ctime_ns;
};

struct sl_objects {
	char dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	struct sl_map *proofs; /* hash in hex -> struct proof */
	unsigned staged;       /* counts staging files of this handle */
};

int sl_objects_open(const char *dir, const char *tmp, struct sl_objects **ret, struct sl_error *err)
{
	struct sl_objects *objects = sl_alloc(sizeof *objects, err);
	if (!objects)
		return SL_E_NO_MEMORY;
	int rc = 0;
	/* The room behind is for "/ab/" and 62 digits, and for the longest staging name. */
	if (snprintf(objects->dir, sizeof objects->dir - 80, "%s", dir) >= (int)sizeof objects->dir - 80 ||
	    snprintf(objects->tmp, sizeof objects->tmp - 80, "%s", tmp) >= (int)sizeof objects->tmp - 80)
		rc = sl_fail_at(err, SL_E_TOO_LARGE, dir, "path is too long");
	if (!rc)
		rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_dir_make(tmp, err);
	if (!rc && !(objects->proofs = sl_map_new(err)))
		rc = SL_E_NO_MEMORY;
	if (rc) {
		sl_objects_close(objects);
		return rc;
	}
	*ret = objects;
	return 0;
}

void sl_objects_close(struct sl_objects *objects)
{
	if (!objects)
		return;
	for (size_t i = 0; objects->proofs && i < sl_map_count(objects->proofs); i++)
		sl_free(sl_map_value(objects->proofs, i));
	sl_map_free(objects->proofs);
	sl_free(objects);
}

/* The open call made sure that both fit. */
static void object_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX])
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	snprintf(out, SL_PATH_MAX, "%.4000s/%.2s/%s", objects->dir, hex, hex + 2);
}

static void staging_path(struct sl_objects *objects, char out[SL_PATH_MAX])
{
	snprintf(out, SL_PATH_MAX, "%.4000s/put-%ld-%p-%u", objects->tmp, (long)getpid(), (void *)objects, objects->staged++);
}

/* ---- proofs --------------------------------------------------------------------------------------------------------- */

static struct proof proof_of(const struct sl_file_info *info)
{
	return (struct proof){info->size_bytes, info->inode, info->mtime_ns, info->ctime_ns};
}

static bool proof_holds(const struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info)
{
	char hex[SL_HASH_HEX + 1];
	const struct proof *proof = sl_map_get(objects->proofs, sl_hash_hex(hash, hex)), now = proof_of(info);
	return proof && memcmp(proof, &now, sizeof now) == 0;
}

/* Best effort: without memory the file is only read once more later. */
static void remember_proof(struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info)
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	struct proof *proof = sl_map_get(objects->proofs, hex);
	if (!proof) {
		proof = sl_alloc(sizeof *proof, NULL);
		if (!proof || sl_map_set(objects->proofs, hex, proof, NULL, NULL)) {
			sl_free(proof);
			return;
		}
	}
	*proof = proof_of(info);
}

/* ---- putting -------------------------------------------------------------------------------------------------------- */

static void dir_of(const char *path, char out[SL_PATH_MAX])
{
	snprintf(out, SL_PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
}

/* 1: the object is there already, and durable; 0: it is not; negative: an error. One of another length was damaged: it counts as
 * missing, so that putting the bytes again heals it. */
static int find_existing(struct sl_objects *objects, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct sl_file_info info;
	object_path(objects, hash, path);
	int rc = sl_file_info(path, &info, NULL);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : sl_file_info(path, &info, err); /* absent is no error: `err` stays untouched */
	if (info.size_bytes != size_bytes)
		return 0;
	if (!proof_holds(objects, hash, &info) && sl_sys->realtime_ns() - info.ctime_ns < NAME_SETTLED_NS) {
		dir_of(path, dir);
		rc = sl_dir_sync(dir, err);
	}
	return rc ? rc : 1;
}

/* Gives a staged, synced file its name and makes the name durable. */
static int name_object(struct sl_objects *objects, const char *staged, const struct sl_hash *hash, struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct sl_file_info info;
	object_path(objects, hash, path);
	dir_of(path, dir);
	int made = sl_sys->mkdir(dir, 0777) == 0;
	if (!made && errno != EEXIST)
		return sl_fail_errno(err, errno, dir, "cannot make the folder");
	int rc = sl_file_rename(staged, path, err);
	if (!rc)
		rc = sl_dir_sync(dir, err);
	if (!rc && made)
		rc = sl_dir_sync(objects->dir, err);
	if (!rc)
		rc = sl_file_info(path, &info, err);
	if (!rc)
		remember_proof(objects, hash, &info);
	return rc;
}

/* Opens a staging file for writing, locked so that sl_objects_tidy of a process that cannot see our pid leaves it alone. */
static int open_staging(const char *path, int *ret_fd, struct sl_error *err)
{
	int rc = sl_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0444, ret_fd, err);
	if (!rc)
		flock(*ret_fd, LOCK_SH | LOCK_NB);
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
	staging_path(objects, staged);
	rc = open_staging(staged, &fd, err);
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

/* Hashes from the descriptor's beginning to its end; also writes to `copy_fd` unless that is -1. */
static int hash_file(int fd, const char *path, int copy_fd, const char *copy_path, struct sl_hash *ret, uint64_t *ret_size,
		     struct sl_error *err)
{
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = sl_sha256_new(err);
	char *piece SL_AUTO_FREE = sha ? sl_alloc(PIECE_BYTES, err) : NULL;
	if (!piece)
		return SL_E_NO_MEMORY;
	uint64_t at = 0;
	for (;;) {
		ssize_t n = sl_sys->pread(fd, piece, PIECE_BYTES, (off_t)at);
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

/* Identity of an open file, to see whether somebody wrote to it meanwhile. */
static int watch_file(int fd, const char *path, struct stat *ret, struct sl_error *err)
{
	if (sl_sys->fstat(fd, ret))
		return sl_fail_errno(err, errno, path, "cannot look at it");
	if (!S_ISREG(ret->st_mode))
		return sl_fail_at(err, SL_E_INVALID, path, "is not a regular file");
	return 0;
}

static int check_unchanged(int fd, const char *path, const struct stat *before, uint64_t size_read, struct sl_error *err)
{
	struct stat now;
	int rc = watch_file(fd, path, &now, err);
	if (rc)
		return rc;
	if (now.st_size == before->st_size && (uint64_t)now.st_size == size_read &&
	    now.st_mtim.tv_sec == before->st_mtim.tv_sec && now.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
	    now.st_ctim.tv_sec == before->st_ctim.tv_sec && now.st_ctim.tv_nsec == before->st_ctim.tv_nsec)
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

static int put_copy(struct sl_objects *objects, int source, const char *path, struct sl_hash *ret, uint64_t *ret_size,
		    struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct stat before;
	int rc = watch_file(source, path, &before, err);
	if (rc)
		return rc;
	staging_path(objects, staged);
	rc = open_staging(staged, &fd, err);
	if (rc)
		return rc;
	/* A clone is a snapshot: hash that, not the source. */
	if (sl_sys->ioctl_clone(fd, source) == 0)
		rc = hash_file(fd, staged, -1, NULL, ret, ret_size, err);
	else
		rc = hash_file(source, path, fd, staged, ret, ret_size, err);
	if (!rc)
		rc = check_unchanged(source, path, &before, *ret_size, err);
	if (!rc)
		rc = keep_staged(objects, fd, staged, ret, *ret_size, err);
	if (rc) {
		sl_sys->unlink(staged);
		sl_file_close(&fd); /* only now is its room free again */
	}
	if (rc == SL_E_NO_SPACE) {
		sl_fail_at(err, rc, path, "no room for a copy of it in the store: %s", strerror(ENOSPC));
		sl_disk_hint(err, objects->dir, (uint64_t)before.st_size);
	}
	return rc;
}

static int put_move(struct sl_objects *objects, int source, const char *path, struct sl_hash *ret, uint64_t *ret_size,
		    struct sl_error *err)
{
	struct stat before;
	/* Read-only first, so that nobody opens it for writing after it was hashed. */
	int rc = sl_sys->chmod(path, 0444) ? sl_fail_errno(err, errno, path, "cannot make read-only") : 0;
	if (!rc)
		rc = watch_file(source, path, &before, err);
	if (!rc)
		rc = hash_file(source, path, -1, NULL, ret, ret_size, err);
	if (!rc)
		rc = check_unchanged(source, path, &before, *ret_size, err);
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

/* ---- reading -------------------------------------------------------------------------------------------------------- */

bool sl_objects_has(struct sl_objects *objects, const struct sl_hash *hash)
{
	char path[SL_PATH_MAX];
	object_path(objects, hash, path);
	return sl_file_exists(path);
}

static int fail_absent(const char *path, struct sl_error *err)
{
	sl_fail_at(err, SL_E_NOT_FOUND, path, "the object is not in the store");
	return sl_error_hint(err, "'sluice verify' lists everything that is missing or changed");
}

static int fail_corrupt(const char *path, uint64_t size_bytes, const struct sl_hash *found, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	sl_fail_at(err, SL_E_CORRUPT, path, "stored bytes were changed: its %llu bytes hash to %s",
		   (unsigned long long)size_bytes, sl_hash_hex(found, hex));
	return sl_error_hint(err, "put back the file from a backup; 'sluice verify' lists everything that is missing or changed");
}

int sl_objects_get(struct sl_objects *objects, const struct sl_hash *hash, struct sl_buf *out, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_hash found;
	size_t before = out->len;
	object_path(objects, hash, path);
	int rc = sl_file_read(path, out, err);
	if (rc == SL_E_NOT_FOUND)
		rc = fail_absent(path, err);
	if (!rc) {
		sl_sha256(sl_buf_cstr(out) + before, out->len - before, &found);
		if (!sl_hash_eq(&found, hash))
			rc = fail_corrupt(path, out->len - before, &found, err);
	}
	if (rc)
		out->len = before;
	return rc;
}

int sl_objects_check(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct sl_hash found;
	struct sl_file_info info;
	uint64_t size_bytes;
	object_path(objects, hash, path);
	int rc = sl_file_info(path, &info, err);
	if (!rc)
		rc = sl_file_open(path, O_RDONLY, 0, &fd, err);
	if (rc == SL_E_NOT_FOUND)
		return fail_absent(path, err);
	if (!rc)
		rc = hash_file(fd, path, -1, NULL, &found, &size_bytes, err);
	if (!rc && !sl_hash_eq(&found, hash))
		rc = fail_corrupt(path, size_bytes, &found, err);
	if (!rc)
		remember_proof(objects, hash, &info);
	return rc;
}

int sl_objects_path(struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_file_info info;
	object_path(objects, hash, out);
	int rc = sl_file_info(out, &info, err);
	if (rc == SL_E_NOT_FOUND)
		return fail_absent(out, err);
	if (rc || proof_holds(objects, hash, &info))
		return rc;
	return sl_objects_check(objects, hash, err);
}

/* ---- the whole store ------------------------------------------------------------------------------------------------ */

struct walk {
	const struct sl_objects *objects;
	char prefix[3];
	sl_objects_visit *each;
	void *context;
};

static int visit_object(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct walk *walk = context;
	char hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	if (!info->is_regular || strlen(name) != SL_HASH_HEX - 2)
		return 0;
	snprintf(hex, sizeof hex, "%s%.62s", walk->prefix, name);
	return sl_hash_parse(hex, &hash) ? walk->each(walk->context, &hash, info->size_bytes, err) : 0;
}

static int visit_folder(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct walk *walk = context;
	char path[SL_PATH_MAX];
	if (!info->is_dir || strlen(name) != 2)
		return 0;
	memcpy(walk->prefix, name, sizeof walk->prefix);
	int rc = sl_path_join(path, walk->objects->dir, name, err);
	return rc ? rc : sl_dir_each(path, visit_object, walk, err);
}

int sl_objects_each(struct sl_objects *objects, sl_objects_visit *each, void *context, struct sl_error *err)
{
	struct walk walk = {.objects = objects, .each = each, .context = context};
	return sl_dir_each(objects->dir, visit_folder, &walk, err);
}

int sl_objects_remove(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	object_path(objects, hash, path);
	return sl_sys->unlink(path) && errno != ENOENT ? sl_fail_errno(err, errno, path, "cannot remove") : 0;
}

static int tidy_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	long pid;
	if (!info->is_regular || sscanf(name, "put-%ld-", &pid) != 1 || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return 0;
	int rc = sl_path_join(path, context, name, err);
	if (rc)
		return rc;
	/* Dead in our pid namespace; the lock tells whether it lives in another. */
	if (sl_file_open(path, O_RDONLY, 0, &fd, NULL) || flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	return sl_sys->unlink(path) && errno != ENOENT ? sl_fail_errno(err, errno, path, "cannot remove") : 0;
}

int sl_objects_tidy(struct sl_objects *objects, struct sl_error *err)
{
	return sl_dir_each(objects->tmp, tidy_entry, objects->tmp, err);
}

/* Objects in a local folder (docs/formats/object.md): where they are, which are proved, the whole store. */
#include "backend/object_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

/* What a file looked like when its bytes were last proved. */
struct proof {
	uint64_t size_bytes, inode;
	int64_t mtime_ns, ctime_ns;
};

int sl_objects_open(const char *dir, const char *tmp, struct sl_objects **ret, struct sl_error *err)
{
	struct sl_objects *objects = sl_alloc(sizeof *objects, err);
	if (!objects)
		return SL_E_NO_MEMORY;
	pthread_mutex_init(&objects->lock, NULL);
	int rc = 0;
	/* The room behind is for "/cache/ab/", 62 digits and ".chunks", and for the longest staging name. */
	if (snprintf(objects->dir, sizeof objects->dir - 90, "%s", dir) >= (int)sizeof objects->dir - 90 ||
	    snprintf(objects->tmp, sizeof objects->tmp - 90, "%s", tmp) >= (int)sizeof objects->tmp - 90)
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
	object_packs_close(objects);
	pthread_mutex_destroy(&objects->lock);
	sl_free(objects);
}

void object_loose_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX])
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	snprintf(out, SL_PATH_MAX, "%.4000s/%.2s/%s", objects->dir, hex, hex + 2);
}

void object_chunks_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX])
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	snprintf(out, SL_PATH_MAX, "%.4000s/%.2s/%s.chunks", objects->dir, hex, hex + 2);
}

int object_stage(struct sl_objects *objects, char path[SL_PATH_MAX], int *ret_fd, struct sl_error *err)
{
	unsigned number = __atomic_fetch_add(&objects->staged, 1, __ATOMIC_RELAXED);
	snprintf(path, SL_PATH_MAX, "%.4000s/put-%ld-%p-%u", objects->tmp, (long)getpid(), (void *)objects, number);
	int rc = sl_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0444, ret_fd, err);
	if (!rc)
		flock(*ret_fd, LOCK_SH | LOCK_NB);
	return rc;
}

/* ---- proofs --------------------------------------------------------------------------------------------------------- */

static struct proof proof_of(const struct sl_file_info *info)
{
	return (struct proof){info->size_bytes, info->inode, info->mtime_ns, info->ctime_ns};
}

bool object_proof_holds(struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info)
{
	char hex[SL_HASH_HEX + 1];
	pthread_mutex_lock(&objects->lock);
	const struct proof *proof = sl_map_get(objects->proofs, sl_hash_hex(hash, hex)), now = proof_of(info);
	bool holds = proof && memcmp(proof, &now, sizeof now) == 0;
	pthread_mutex_unlock(&objects->lock);
	return holds;
}

/* Best effort: without memory the file is only read once more later. */
static void set_proof(struct sl_map *proofs, const struct sl_hash *hash, const struct sl_file_info *info)
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	struct proof *proof = sl_map_get(proofs, hex);
	if (!proof) {
		proof = sl_alloc(sizeof *proof, NULL);
		if (!proof || sl_map_set(proofs, hex, proof, NULL, NULL)) {
			sl_free(proof);
			return;
		}
	}
	*proof = proof_of(info);
}

void object_remember_proof(struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info)
{
	pthread_mutex_lock(&objects->lock);
	set_proof(objects->proofs, hash, info);
	pthread_mutex_unlock(&objects->lock);
}

/* ---- finding -------------------------------------------------------------------------------------------------------- */

int object_fail_absent(const char *path, struct sl_error *err)
{
	sl_fail_at(err, SL_E_NOT_FOUND, path, "the object is not in the store");
	return sl_error_hint(err, "'sluice verify' lists everything that is missing or changed");
}

int object_fail_corrupt(const char *path, uint64_t size_bytes, const struct sl_hash *found, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	sl_fail_at(err, SL_E_CORRUPT, path, "stored bytes were changed: its %llu bytes hash to %s",
		   (unsigned long long)size_bytes, sl_hash_hex(found, hex));
	return sl_error_hint(err, "put back the file from a backup; 'sluice verify' lists everything that is missing or changed");
}

/* 1 it is there, 0 not, negative an error. */
static int look_at(const char *path, struct sl_file_info *ret, struct sl_error *err)
{
	int rc = sl_file_info(path, ret, NULL);
	if (!rc)
		return 1;
	return rc == SL_E_NOT_FOUND ? 0 : sl_file_info(path, ret, err); /* absent is no error: `err` stays untouched */
}

static int find_in_packs(struct sl_objects *objects, const struct sl_hash *hash, bool refresh, struct object_place *ret,
			 struct sl_error *err)
{
	pthread_mutex_lock(&objects->lock);
	int rc = refresh ? object_packs_refresh(objects, err) : 0;
	if (!rc && object_packs_find(objects, hash, ret))
		rc = 1;
	pthread_mutex_unlock(&objects->lock);
	return rc;
}

int object_find(struct sl_objects *objects, const struct sl_hash *hash, bool known_packs, struct object_place *ret,
		struct sl_error *err)
{
	char path[SL_PATH_MAX];
	*ret = (struct object_place){0};
	int rc = find_in_packs(objects, hash, false, ret, err);
	if (rc)
		return rc < 0 ? rc : 0;
	object_loose_path(objects, hash, path);
	rc = look_at(path, &ret->info, err);
	if (rc > 0) {
		ret->form = OBJECT_LOOSE;
		ret->size_bytes = ret->info.size_bytes;
		return 0;
	}
	object_chunks_path(objects, hash, path);
	rc = rc ? rc : look_at(path, &ret->info, err);
	if (rc > 0) {
		ret->form = OBJECT_CHUNKED;
		return 0;
	}
	rc = rc || known_packs ? rc : find_in_packs(objects, hash, true, ret, err);
	return rc < 0 ? rc : 0;
}

bool sl_objects_has(struct sl_objects *objects, const struct sl_hash *hash)
{
	struct object_place place;
	return object_find(objects, hash, false, &place, NULL) == 0 && place.form != OBJECT_ABSENT;
}

/* ---- the whole store ------------------------------------------------------------------------------------------------ */

struct walk {
	struct sl_objects *objects;
	char prefix[3];
	sl_objects_visit *each;
	void *context;
};

static int visit_object(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct walk *walk = context;
	char hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	uint64_t size = info->size_bytes;
	bool chunked = strlen(name) > SL_HASH_HEX - 2;
	if (!info->is_regular || strlen(name) < SL_HASH_HEX - 2 || (chunked && strcmp(name + SL_HASH_HEX - 2, ".chunks") != 0))
		return 0;
	snprintf(hex, sizeof hex, "%s%.62s", walk->prefix, name);
	if (!sl_hash_parse(hex, &hash))
		return 0;
	int rc = chunked ? object_chunks_read(walk->objects, &hash, NULL, NULL, &size, err) : 0;
	return rc ? rc : walk->each(walk->context, &hash, size, err);
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
	int rc = sl_dir_each(objects->dir, visit_folder, &walk, err);
	return rc ? rc : object_packs_each(objects, each, context, err);
}

int sl_objects_parts(struct sl_objects *objects, const struct sl_hash *hash, sl_objects_visit *each, void *context,
		     struct sl_error *err)
{
	struct object_place place;
	struct object_chunk *chunks SL_AUTO_FREE = NULL;
	size_t count = 0;
	uint64_t size;
	int rc = object_find(objects, hash, false, &place, err);
	if (!rc && place.form == OBJECT_CHUNKED)
		rc = object_chunks_read(objects, hash, &chunks, &count, &size, err);
	for (size_t i = 0; !rc && i < count; i++)
		rc = each(context, &chunks[i].hash, chunks[i].size_bytes, err);
	return rc;
}

static int unlink_fine(const char *path, struct sl_error *err)
{
	return sl_sys->unlink(path) && errno != ENOENT ? sl_fail_errno(err, errno, path, "cannot remove") : 0;
}

int sl_objects_remove(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	object_cache_path(objects, hash, path);
	int rc = unlink_fine(path, err);
	object_loose_path(objects, hash, path);
	rc = rc ? rc : unlink_fine(path, err);
	object_chunks_path(objects, hash, path);
	rc = rc ? rc : unlink_fine(path, err);
	if (!rc)
		object_pack_drop(objects, hash);
	return rc;
}

int sl_objects_compact(struct sl_objects *objects, struct sl_error *err)
{
	pthread_mutex_lock(&objects->lock);
	int rc = object_packs_compact(objects, err);
	pthread_mutex_unlock(&objects->lock);
	return rc;
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

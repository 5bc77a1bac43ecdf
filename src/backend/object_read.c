/* Objects' bytes, whatever their form: streamed, whole, as a file for engines, as a file of the user's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/object_internal.h"
#include "base/mem.h"
#include "os/sys.h"

/* ---- streaming ------------------------------------------------------------------------------------------------------ */

static const char *place_path(struct sl_objects *objects, const struct sl_hash *hash, const struct object_place *place,
			      char out[SL_PATH_MAX])
{
	if (place->form == OBJECT_PACKED)
		return object_pack_path(place->pack);
	if (place->form == OBJECT_CHUNKED)
		object_chunks_path(objects, hash, out);
	else
		object_loose_path(objects, hash, out);
	return out;
}

struct proving {
	struct sl_sha256 *sha;
	sl_file_piece *piece; /* NULL: only hashed */
	void *context;
	uint64_t size_bytes;
};

static int prove_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct proving *p = context;
	sl_sha256_add(p->sha, data, len);
	p->size_bytes += len;
	return p->piece ? p->piece(p->context, data, len, err) : 0;
}

static int stream_packed(const struct object_place *place, struct proving *p, struct sl_error *err)
{
	size_t step = place->size_bytes < OBJECT_PIECE_BYTES ? (size_t)place->size_bytes : OBJECT_PIECE_BYTES;
	char *data SL_AUTO_FREE = sl_alloc(step + 1, err);
	int rc = data ? 0 : SL_E_NO_MEMORY;
	for (uint64_t done = 0; !rc && done < place->size_bytes;) {
		uint64_t left = place->size_bytes - done;
		size_t n = left < step ? (size_t)left : step;
		rc = object_pack_read(place->pack, data, place->offset + done, n, err);
		rc = rc ? rc : prove_piece(p, data, n, err);
		done += n;
	}
	return rc;
}

static int stream_chunked(struct sl_objects *objects, const struct sl_hash *hash, struct proving *p, struct sl_error *err)
{
	struct object_chunk *chunks SL_AUTO_FREE = NULL;
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(SL_CHUNK_FILE_MIN);
	size_t count;
	uint64_t size;
	int rc = object_chunks_read(objects, hash, &chunks, &count, &size, err);
	for (size_t i = 0; !rc && i < count; i++) {
		sl_buf_clear(&data);
		rc = sl_objects_get(objects, &chunks[i].hash, &data, err);
		rc = rc ? rc : prove_piece(p, data.data, data.len, err);
	}
	return rc;
}

int object_stream(struct sl_objects *objects, const struct sl_hash *hash, const struct object_place *place, sl_file_piece *piece,
		  void *context, struct sl_error *err)
{
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = sl_sha256_new(err);
	struct proving p = {.sha = sha, .piece = piece, .context = context};
	char path[SL_PATH_MAX];
	const char *where = place_path(objects, hash, place, path);
	struct sl_hash found;
	int rc = sha ? 0 : SL_E_NO_MEMORY;
	if (!rc && place->form == OBJECT_LOOSE)
		rc = sl_file_stream(where, prove_piece, &p, err);
	else if (!rc)
		rc = place->form == OBJECT_PACKED ? stream_packed(place, &p, err) : stream_chunked(objects, hash, &p, err);
	if (rc)
		return rc;
	sl_sha256_end(sha, &found);
	return sl_hash_eq(&found, hash) ? 0 : object_fail_corrupt(where, p.size_bytes, &found, err);
}

/* Finds it or fails. */
static int find(struct sl_objects *objects, const struct sl_hash *hash, struct object_place *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = object_find(objects, hash, false, ret, err);
	if (rc || ret->form != OBJECT_ABSENT)
		return rc;
	object_loose_path(objects, hash, path);
	return object_fail_absent(path, err);
}

int sl_objects_read(struct sl_objects *objects, const struct sl_hash *hash, sl_file_piece *piece, void *context,
		    struct sl_error *err)
{
	struct object_place place;
	int rc = find(objects, hash, &place, err);
	return rc ? rc : object_stream(objects, hash, &place, piece, context, err);
}

int sl_objects_size(struct sl_objects *objects, const struct sl_hash *hash, uint64_t *ret, struct sl_error *err)
{
	struct object_place place;
	int rc = find(objects, hash, &place, err);
	if (!rc && place.form == OBJECT_CHUNKED)
		return object_chunks_read(objects, hash, NULL, NULL, ret, err);
	*ret = rc ? 0 : place.size_bytes;
	return rc;
}

static int append_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	sl_buf_add(context, data, len);
	return sl_buf_check(context, "an object", err);
}

int sl_objects_get(struct sl_objects *objects, const struct sl_hash *hash, struct sl_buf *out, struct sl_error *err)
{
	size_t before = out->len;
	char path[SL_PATH_MAX];
	struct object_place place;
	int rc = find(objects, hash, &place, err);
	if (!rc && place.form != OBJECT_CHUNKED && place.size_bytes > out->max - out->len)
		return sl_fail_at(err, SL_E_TOO_LARGE, place_path(objects, hash, &place, path), "is larger than %zu bytes", out->max);
	if (!rc && !sl_buf_reserve(out, place.form == OBJECT_CHUNKED ? 1 : (size_t)place.size_bytes))
		return sl_buf_check(out, "an object", err);
	rc = rc ? rc : object_stream(objects, hash, &place, append_piece, out, err);
	if (rc)
		out->len = before;
	return rc;
}

int sl_objects_check(struct sl_objects *objects, const struct sl_hash *hash, struct sl_error *err)
{
	struct object_place place;
	int rc = find(objects, hash, &place, err);
	rc = rc ? rc : object_stream(objects, hash, &place, NULL, NULL, err);
	if (!rc && place.form == OBJECT_LOOSE)
		object_remember_proof(objects, hash, &place.info);
	return rc;
}

/* ---- a file for engines --------------------------------------------------------------------------------------------- */

void object_cache_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX])
{
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(hash, hex);
	snprintf(out, SL_PATH_MAX, "%.4000s/cache/%.2s/%s", objects->dir, hex, hex + 2);
}

struct target { int fd; const char *path; };

static int write_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	const struct target *to = context;
	return sl_file_write_all(to->fd, data, len, to->path, err);
}

/* Not flushed: what a crash tears is found by its hash and put together again. */
static int put_together(struct sl_objects *objects, const struct sl_hash *hash, const struct object_place *place, const char *path,
			struct sl_error *err)
{
	char staged[SL_PATH_MAX], dir[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct sl_file_info info;
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	int rc = sl_dir_make(dir, err);
	rc = rc ? rc : object_stage(objects, staged, &fd, err);
	if (rc)
		return rc;
	struct target to = {fd, staged};
	rc = object_stream(objects, hash, place, write_piece, &to, err);
	rc = rc ? rc : sl_file_rename(staged, path, err);
	if (rc)
		sl_sys->unlink(staged);
	else if (sl_file_info(path, &info, NULL) == 0)
		object_remember_proof(objects, hash, &info);
	return rc;
}

static int prove_cached(struct sl_objects *objects, const struct sl_hash *hash, const char *path)
{
	struct sl_file_info info;
	struct sl_hash found;
	uint64_t size;
	int fd SL_AUTO_CLOSE = -1;
	if (sl_file_info(path, &info, NULL))
		return SL_E_NOT_FOUND;
	if (object_proof_holds(objects, hash, &info))
		return 0;
	if (sl_file_open(path, O_RDONLY, 0, &fd, NULL) || object_hash_file(fd, path, -1, NULL, &found, &size, NULL) ||
	    !sl_hash_eq(&found, hash))
		return SL_E_CORRUPT;
	object_remember_proof(objects, hash, &info);
	return 0;
}

int sl_objects_path(struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct object_place place;
	object_loose_path(objects, hash, out);
	int rc = find(objects, hash, &place, err);
	if (rc)
		return rc;
	if (place.form == OBJECT_LOOSE)
		return object_proof_holds(objects, hash, &place.info) ? 0 : sl_objects_check(objects, hash, err);
	object_cache_path(objects, hash, out);
	return prove_cached(objects, hash, out) ? put_together(objects, hash, &place, out, err) : 0;
}

static int add_size(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)name, (void)err;
	*(uint64_t *)context += info->size_bytes;
	return 0;
}

struct cache_sum { const char *dir; uint64_t bytes; };

static int add_folder(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct cache_sum *sum = context;
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, sum->dir, name, err);
	return rc || !info->is_dir ? rc : sl_dir_each(path, add_size, &sum->bytes, err);
}

int sl_objects_cache_size(struct sl_objects *objects, uint64_t *ret_bytes, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	snprintf(dir, sizeof dir, "%.4000s/cache", objects->dir);
	struct cache_sum sum = {.dir = dir};
	int rc = sl_dir_exists(dir) ? sl_dir_each(dir, add_folder, &sum, err) : 0;
	*ret_bytes = sum.bytes;
	return rc;
}

int sl_objects_cache_clear(struct sl_objects *objects, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	snprintf(dir, sizeof dir, "%.4000s/cache", objects->dir);
	return sl_dir_remove(dir, err);
}

/* ---- a file of the user's ------------------------------------------------------------------------------------------- */

/* 1: linked or cloned; 0: it must be copied. */
static int share(struct sl_objects *objects, const struct sl_hash *hash, const struct object_place *place, const char *to,
		 unsigned mode, enum sl_place_how how, struct sl_error *err)
{
	char from[SL_PATH_MAX];
	int source SL_AUTO_CLOSE = -1, target SL_AUTO_CLOSE = -1;
	if (place->form != OBJECT_LOOSE)
		return 0;
	object_loose_path(objects, hash, from);
	if (how == SL_PLACE_LINK) {
		int rc = object_proof_holds(objects, hash, &place->info) ? 0 : sl_objects_check(objects, hash, err);
		if (rc)
			return rc;
		/* Another file system, or too many links to the file: then a copy. */
		return sl_sys->link(from, to) == 0 ? 1 : errno == EXDEV || errno == EMLINK || errno == EPERM ? 0
			: sl_fail_errno(err, errno, to, "cannot link");
	}
	if (__atomic_load_n(&objects->no_clone, __ATOMIC_RELAXED))
		return 0;
	int rc = sl_file_open(from, O_RDONLY, 0, &source, err);
	rc = rc ? rc : sl_file_open(to, O_WRONLY | O_CREAT | O_EXCL, mode, &target, err);
	if (rc)
		return rc;
	if (sl_sys->ioctl_clone(target, source)) {
		__atomic_store_n(&objects->no_clone, true, __ATOMIC_RELAXED); /* the next ones need not be tried */
		return sl_sys->unlink(to) ? sl_fail_errno(err, errno, to, "cannot remove") : 0;
	}
	rc = object_proof_holds(objects, hash, &place->info) ? 0 : sl_objects_check(objects, hash, err);
	return rc ? rc : 1;
}

int sl_objects_place(struct sl_objects *objects, const struct sl_hash *hash, const char *to, unsigned mode, enum sl_place_how how,
		     struct sl_error *err)
{
	struct object_place place;
	int fd SL_AUTO_CLOSE = -1;
	int rc = find(objects, hash, &place, err);
	rc = rc ? rc : share(objects, hash, &place, to, mode, how, err);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = sl_file_open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, how == SL_PLACE_LINK ? mode & 0555 : mode, &fd, err);
	if (rc)
		return rc;
	struct target target = {fd, to};
	rc = object_stream(objects, hash, &place, write_piece, &target, err);
	if (rc)
		sl_sys->unlink(to);
	return rc;
}

/* Many objects with few flushes: bytes first, one flush of the file system, then names, one flush per folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/object_chunk.h"
#include "base/mem.h"
#include "os/sys.h"

enum {
	BUFFER_BYTES = 1 << 20,
	FEW_OBJECTS = 16, /* so many small ones, and no more, become files of their own: a pack is for many */
	FEW_FILES = 8,    /* so many files are flushed one by one: a flush of the whole file system takes other people's bytes too */
};

/* A file that waits for its name. */
struct pending { struct sl_hash hash; char *staged; bool list; };

struct sl_batch {
	struct sl_objects *objects;
	pthread_mutex_t lock;
	/* The pack: `buffer` stands at `flushed` in it. */
	struct sl_buf buffer;
	int pack_fd;
	char pack_path[SL_PATH_MAX];
	uint64_t flushed;
	struct object_entry *entries;
	size_t entry_count, entry_room;
	struct pending *pending;
	size_t pending_count, pending_room;
	/* What is in the batch, by hash: 2 x index + 1 of an entry, 2 x index + 2 of a pending file; 0 is free. */
	uint32_t *table;
	size_t table_room, table_used;
	bool touched[256]; /* folders with names that another process gave just now */
	bool packs_touched;
};

struct sl_objects *object_batch_objects(struct sl_batch *batch) { return batch->objects; }

int sl_batch_begin(struct sl_objects *objects, struct sl_batch **ret, struct sl_error *err)
{
	struct sl_batch *batch = sl_alloc(sizeof *batch, err);
	if (!batch)
		return SL_E_NO_MEMORY;
	batch->objects = objects;
	pthread_mutex_init(&batch->lock, NULL);
	sl_buf_init(&batch->buffer, BUFFER_BYTES + SL_PACK_FILE_MAX + 1);
	batch->pack_fd = -1;
	batch->flushed = OBJECT_PACK_HEADER;
	pthread_mutex_lock(&objects->lock);
	int rc = object_packs_refresh(objects, err);
	pthread_mutex_unlock(&objects->lock);
	if (rc)
		sl_batch_free(batch);
	else
		*ret = batch;
	return rc;
}

void sl_batch_free(struct sl_batch *batch)
{
	if (!batch)
		return;
	if (batch->pack_fd >= 0)
		sl_sys->unlink(batch->pack_path);
	sl_file_close(&batch->pack_fd);
	for (size_t i = 0; i < batch->pending_count; i++) {
		if (batch->pending[i].staged)
			sl_sys->unlink(batch->pending[i].staged);
		sl_free(batch->pending[i].staged);
	}
	sl_buf_done(&batch->buffer);
	sl_free(batch->entries);
	sl_free(batch->pending);
	sl_free(batch->table);
	pthread_mutex_destroy(&batch->lock);
	sl_free(batch);
}

void sl_batch_freep(struct sl_batch **batch)
{
	sl_batch_free(*batch);
	*batch = NULL;
}

/* ---- what is in it; under the lock ---------------------------------------------------------------------------------- */

static const struct sl_hash *hash_of(const struct sl_batch *batch, uint32_t mark)
{
	return mark & 1 ? &batch->entries[mark / 2].hash : &batch->pending[mark / 2 - 1].hash;
}

/* The place of the hash, or the free one where it belongs. */
static uint32_t *slot_of(const struct sl_batch *batch, const struct sl_hash *hash)
{
	uint64_t at;
	memcpy(&at, hash->bytes + 8, sizeof at);
	for (;; at++) {
		uint32_t *slot = &batch->table[at & (batch->table_room - 1)];
		if (!*slot || sl_hash_eq(hash_of(batch, *slot), hash))
			return slot;
	}
}

static bool in_batch(const struct sl_batch *batch, const struct sl_hash *hash)
{
	return batch->table_room && *slot_of(batch, hash);
}

static int grow_table(struct sl_batch *batch, struct sl_error *err)
{
	if (batch->table_used * 2 < batch->table_room)
		return 0;
	uint32_t *old = batch->table;
	size_t old_room = batch->table_room, room = old_room ? old_room * 2 : 64;
	uint32_t *table = sl_alloc_array(room, sizeof *table, err);
	if (!table)
		return SL_E_NO_MEMORY;
	batch->table = table;
	batch->table_room = room;
	for (size_t i = 0; i < old_room; i++)
		if (old[i])
			*slot_of(batch, hash_of(batch, old[i])) = old[i];
	sl_free(old);
	return 0;
}

static int add_to_table(struct sl_batch *batch, const struct sl_hash *hash, uint32_t mark, struct sl_error *err)
{
	int rc = grow_table(batch, err);
	if (rc)
		return rc;
	*slot_of(batch, hash) = mark;
	batch->table_used++;
	return 0;
}

static int room_for(void **items, size_t *room, size_t count, size_t size, struct sl_error *err)
{
	if (count < *room)
		return 0;
	size_t wanted = *room ? *room + *room / 2 : 64;
	void *grown = sl_realloc(*items, wanted * size, err);
	if (!grown)
		return SL_E_NO_MEMORY;
	*items = grown;
	*room = wanted;
	return 0;
}

/* 1: in the store or in the batch; 0: not. A loose file of another length was damaged and is put again. */
static int known(struct sl_batch *batch, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	struct object_place place;
	if (in_batch(batch, hash))
		return 1;
	int rc = object_find(batch->objects, hash, true, &place, err);
	if (rc || place.form == OBJECT_ABSENT || (place.form == OBJECT_LOOSE && place.size_bytes != size_bytes))
		return rc;
	/* Its maker may not have come to flushing the folder. */
	if (place.form == OBJECT_PACKED)
		batch->packs_touched = true;
	else
		batch->touched[hash->bytes[0]] = true;
	return 1;
}

/* ---- small objects: the pack ---------------------------------------------------------------------------------------- */

static int flush_buffer(struct sl_batch *batch, struct sl_error *err)
{
	int rc = batch->pack_fd >= 0 ? 0 : object_pack_begin(batch->objects, batch->pack_path, &batch->pack_fd, err);
	rc = rc ? rc : sl_file_write_at(batch->pack_fd, batch->buffer.data, batch->buffer.len, batch->flushed, batch->pack_path, err);
	if (rc)
		return rc;
	batch->flushed += batch->buffer.len;
	sl_buf_clear(&batch->buffer);
	return 0;
}

/* After it the entries are in the store, and the table starts anew with the pending files. */
static int seal(struct sl_batch *batch, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = batch->buffer.len || batch->pack_fd < 0 ? flush_buffer(batch, err) : 0;
	rc = rc ? rc : object_pack_seal(batch->objects, batch->pack_fd, batch->pack_path, batch->entries, batch->entry_count,
					batch->flushed, path, err);
	if (rc)
		return rc;
	sl_file_close(&batch->pack_fd);
	batch->flushed = OBJECT_PACK_HEADER;
	batch->entry_count = batch->table_used = 0;
	if (batch->table)
		memset(batch->table, 0, batch->table_room * sizeof *batch->table);
	for (size_t i = 0; !rc && i < batch->pending_count; i++)
		if (!batch->pending[i].list)
			rc = add_to_table(batch, &batch->pending[i].hash, (uint32_t)(2 * i + 2), err);
	pthread_mutex_lock(&batch->objects->lock);
	rc = rc ? rc : object_packs_refresh(batch->objects, err);
	pthread_mutex_unlock(&batch->objects->lock);
	return rc;
}

static int append(struct sl_batch *batch, const struct sl_hash *hash, const void *data, size_t len, struct sl_error *err)
{
	int rc = room_for((void **)&batch->entries, &batch->entry_room, batch->entry_count, sizeof *batch->entries, err);
	if (rc)
		return rc;
	batch->entries[batch->entry_count] = (struct object_entry){*hash, batch->flushed + batch->buffer.len, len};
	rc = add_to_table(batch, hash, (uint32_t)(2 * batch->entry_count + 1), err);
	if (rc)
		return rc;
	batch->entry_count++;
	sl_buf_add(&batch->buffer, data, len);
	rc = sl_buf_check(&batch->buffer, "a pack's buffer", err);
	if (!rc && batch->buffer.len >= BUFFER_BYTES)
		rc = flush_buffer(batch, err);
	if (!rc && (batch->flushed >= OBJECT_PACK_BYTES_MAX || batch->entry_count == OBJECT_PACK_ENTRIES_MAX / 2))
		rc = seal(batch, err);
	return rc;
}

static int put_small(struct sl_batch *batch, const struct sl_hash *hash, const void *data, size_t len, struct sl_error *err)
{
	pthread_mutex_lock(&batch->lock);
	int rc = known(batch, hash, len, err);
	if (!rc)
		rc = append(batch, hash, data, len, err);
	pthread_mutex_unlock(&batch->lock);
	return rc < 0 ? rc : 0;
}

/* ---- files of their own --------------------------------------------------------------------------------------------- */

/* Takes the staged file, or removes it when its bytes are known. */
static int add_pending(struct sl_batch *batch, const struct sl_hash *hash, const char *staged, uint64_t size_bytes, bool list,
		       struct sl_error *err)
{
	pthread_mutex_lock(&batch->lock);
	int rc = known(batch, hash, size_bytes, err);
	if (rc == 0) {
		rc = room_for((void **)&batch->pending, &batch->pending_room, batch->pending_count, sizeof *batch->pending, err);
		char *name = rc ? NULL : sl_strdup(staged, err);
		rc = rc ? rc : name ? 0 : SL_E_NO_MEMORY;
		if (!rc) {
			batch->pending[batch->pending_count] = (struct pending){*hash, name, list};
			rc = add_to_table(batch, hash, (uint32_t)(2 * batch->pending_count + 2), err);
			batch->pending_count++;
		}
	} else if (rc > 0) {
		rc = sl_sys->unlink(staged) && errno != ENOENT ? sl_fail_errno(err, errno, staged, "cannot remove") : 0;
	}
	pthread_mutex_unlock(&batch->lock);
	return rc;
}

static int stage_bytes(struct sl_batch *batch, const struct sl_hash *hash, const void *data, size_t len, bool list,
		       struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	int rc = object_stage(batch->objects, staged, &fd, err);
	if (rc)
		return rc;
	rc = sl_file_write_all(fd, data, len, staged, err);
	rc = rc ? rc : add_pending(batch, hash, staged, len, list, err);
	if (rc)
		sl_sys->unlink(staged);
	return rc;
}

static int put_bytes(struct sl_batch *batch, const struct sl_hash *hash, const void *data, size_t len, struct sl_error *err)
{
	pthread_mutex_lock(&batch->lock);
	int rc = known(batch, hash, len, err);
	pthread_mutex_unlock(&batch->lock);
	return rc ? (rc < 0 ? rc : 0) : stage_bytes(batch, hash, data, len, false, err);
}

int object_batch_loose(struct sl_batch *batch, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err)
{
	sl_sha256(data, len, ret);
	return put_bytes(batch, ret, data, len, err);
}

int object_batch_list(struct sl_batch *batch, const struct sl_hash *hash, const void *text, size_t len, struct sl_error *err)
{
	return stage_bytes(batch, hash, text, len, true, err);
}

int sl_batch_put(struct sl_batch *batch, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err)
{
	sl_sha256(data, len, ret);
	return len <= SL_PACK_FILE_MAX ? put_small(batch, ret, data, len, err) : put_bytes(batch, ret, data, len, err);
}

static int put_small_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err)
{
	char data[SL_PACK_FILE_MAX + 1];
	size_t len = 0;
	ssize_t n = 1;
	while (n && len < sizeof data) {
		n = sl_sys->read(source->fd, data + len, sizeof data - len);
		if (n < 0 && errno != EINTR)
			return sl_fail_errno(err, errno, source->name, "cannot read");
		len += n > 0 ? (size_t)n : 0;
		if (len == source->seen->size_bytes) /* the identity below would tell if there were more */
			break;
	}
	int rc = object_check_unchanged(source->fd, source->name, source->seen, len, err);
	if (rc)
		return rc;
	sl_sha256(data, len, ret);
	return put_small(batch, ret, data, len, err);
}

static int copy_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	uint64_t size = 0;
	int rc = object_stage(batch->objects, staged, &fd, err);
	if (rc)
		return rc;
	/* A clone is a snapshot: hash that, not the source. */
	if (sl_sys->ioctl_clone(fd, source->fd) == 0)
		rc = object_hash_file(fd, staged, -1, NULL, ret, &size, err);
	else
		rc = object_hash_file(source->fd, source->name, fd, staged, ret, &size, err);
	rc = rc ? rc : object_check_unchanged(source->fd, source->name, source->seen, size, err);
	rc = rc ? rc : add_pending(batch, ret, staged, size, false, err);
	if (rc)
		sl_sys->unlink(staged);
	return rc;
}

/* The file itself becomes the staged one. */
static int move_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err)
{
	char staged[SL_PATH_MAX];
	struct sl_file_info before;
	uint64_t size;
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_sys->chmod(source->name, 0444) ? sl_fail_errno(err, errno, source->name, "cannot make read-only") : 0;
	rc = rc ? rc : object_watch(source->fd, source->name, &before, err);
	rc = rc ? rc : object_hash_file(source->fd, source->name, -1, NULL, ret, &size, err);
	rc = rc ? rc : object_check_unchanged(source->fd, source->name, &before, size, err);
	rc = rc ? rc : object_stage(batch->objects, staged, &fd, err);
	if (rc)
		return rc;
	rc = sl_file_rename(source->name, staged, err);
	rc = rc ? rc : add_pending(batch, ret, staged, size, false, err);
	if (rc)
		sl_sys->unlink(staged);
	return rc;
}

int sl_batch_put_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err)
{
	/* Compared with what was seen once it is read: a change before that shows too. */
	if (source->seen->size_bytes <= SL_PACK_FILE_MAX)
		return put_small_file(batch, source, ret, err);
	if (source->how == SL_PUT_MOVE)
		return move_file(batch, source, ret, err);
	return source->seen->size_bytes >= SL_CHUNK_FILE_MIN ? object_chunk_file(batch, source, ret, err)
							     : copy_file(batch, source, ret, err);
}

/* ---- commit --------------------------------------------------------------------------------------------------------- */

/* A few small objects become files of their own. */
static int unpack_few(struct sl_batch *batch, struct sl_error *err)
{
	size_t count = batch->entry_count;
	int rc = 0;
	batch->entry_count = batch->table_used = 0;
	if (batch->table)
		memset(batch->table, 0, batch->table_room * sizeof *batch->table);
	for (size_t i = 0; !rc && i < count; i++) {
		const struct object_entry *entry = &batch->entries[i];
		const char *data = sl_buf_cstr(&batch->buffer) + (entry->offset - OBJECT_PACK_HEADER);
		rc = stage_bytes(batch, &entry->hash, data, entry->size_bytes, false, err);
	}
	sl_buf_clear(&batch->buffer);
	return rc;
}

static int flush_file(const char *path, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(path, O_RDONLY, 0, &fd, err);
	return rc ? rc : sl_sys->fsync(fd) ? sl_fail_errno(err, errno, path, "cannot make durable") : 0;
}

static int flush_files(struct sl_batch *batch, struct sl_error *err)
{
	int rc = 0;
	if (batch->pending_count > FEW_FILES) {
		int fd SL_AUTO_CLOSE = -1;
		rc = sl_file_open(batch->objects->tmp, O_RDONLY | O_DIRECTORY, 0, &fd, err);
		return rc ? rc : sl_sys->syncfs(fd) ? sl_fail_errno(err, errno, batch->objects->tmp, "cannot make durable") : 0;
	}
	for (size_t i = 0; !rc && i < batch->pending_count; i++)
		rc = flush_file(batch->pending[i].staged, err);
	return rc;
}

static int make_folder(const struct sl_batch *batch, unsigned first, char out[SL_PATH_MAX], bool *made, struct sl_error *err)
{
	snprintf(out, SL_PATH_MAX, "%.4000s/%02x", batch->objects->dir, first);
	if (sl_sys->mkdir(out, 0777) == 0)
		*made = true;
	else if (errno != EEXIST)
		return sl_fail_errno(err, errno, out, "cannot make the folder");
	return 0;
}

/* Names objects, or lists; then flushes the folders. */
static int name_all(struct sl_batch *batch, bool lists, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	bool made = false;
	int rc = 0;
	for (size_t i = 0; !rc && i < batch->pending_count; i++) {
		struct pending *p = &batch->pending[i];
		unsigned first = p->hash.bytes[0];
		if (p->list != lists)
			continue;
		rc = batch->touched[first] ? 0 : make_folder(batch, first, path, &made, err);
		batch->touched[first] = true;
		(lists ? object_chunks_path : object_loose_path)(batch->objects, &p->hash, path);
		rc = rc ? rc : sl_file_rename(p->staged, path, err);
		if (!rc) {
			sl_free(p->staged);
			p->staged = NULL;
		}
	}
	for (unsigned first = 0; !rc && first < 256; first++) {
		if (!batch->touched[first])
			continue;
		snprintf(path, sizeof path, "%.4000s/%02x", batch->objects->dir, first);
		rc = sl_dir_sync(path, err);
		batch->touched[first] = false;
	}
	return rc || !made ? rc : sl_dir_sync(batch->objects->dir, err);
}

int sl_batch_commit(struct sl_batch *batch, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = 0;
	if (batch->pack_fd < 0 && batch->entry_count <= FEW_OBJECTS)
		rc = unpack_few(batch, err);
	else if (batch->entry_count)
		rc = seal(batch, err);
	snprintf(path, sizeof path, "%.4000s/pack", batch->objects->dir);
	if (!rc && batch->packs_touched)
		rc = sl_dir_sync(path, err);
	rc = rc ? rc : flush_files(batch, err);
	/* A list comes after what it lists. */
	rc = rc ? rc : name_all(batch, false, err);
	rc = rc ? rc : name_all(batch, true, err);
	if (rc)
		return rc;
	batch->pending_count = batch->table_used = 0;
	if (batch->table)
		memset(batch->table, 0, batch->table_room * sizeof *batch->table);
	return 0;
}

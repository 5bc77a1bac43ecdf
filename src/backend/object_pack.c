/* Packs: many small objects in one file (docs/formats/object.md).
 *
 *   "SLPACK1\n"   objects' bytes, back to back   index: entries sorted by hash   fanout   footer
 *
 * The index is mapped, the bytes are read. What a pack says is believed as far as it is bounded: an object's hash proves the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/object_internal.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

enum { ENTRY_BYTES = SL_HASH_BYTES + 16, FANOUT_BYTES = 256 * 4, FOOTER_BYTES = 56 };
static const char MAGIC[OBJECT_PACK_HEADER + 1] = "SLPACK1\n", END_MAGIC[9] = "SLPACKE\n";
/* Packs smaller than this are written together when packs are compacted. */
#define SMALL_BYTES (UINT64_C(16) << 20)

struct object_pack {
	char path[SL_PATH_MAX];
	int fd;
	const unsigned char *map; /* from `map_offset` to the end */
	size_t map_len;
	const unsigned char *index, *fanout, *footer;
	uint64_t index_offset, count;
	unsigned char *dropped; /* a bit per entry; NULL: none */
	uint64_t drop_count;
};

static uint64_t read_le(const unsigned char *p, int bytes)
{
	uint64_t v = 0;
	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static void entry_at(const struct object_pack *pack, uint64_t i, struct object_entry *ret)
{
	const unsigned char *p = pack->index + i * ENTRY_BYTES;
	memcpy(ret->hash.bytes, p, SL_HASH_BYTES);
	ret->offset = read_le(p + SL_HASH_BYTES, 8);
	ret->size_bytes = read_le(p + SL_HASH_BYTES + 8, 8);
}

const char *object_pack_path(const struct object_pack *pack) { return pack->path; }

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static void pack_free(struct object_pack *pack)
{
	if (!pack)
		return;
	if (pack->map)
		sl_sys->munmap((void *)(uintptr_t)pack->map, pack->map_len);
	sl_file_close(&pack->fd);
	sl_free(pack->dropped);
	sl_free(pack);
}

static int fail_pack(const struct object_pack *pack, const char *what, struct sl_error *err)
{
	sl_fail_at(err, SL_E_CORRUPT, pack->path, "a pack of objects is damaged: %s", what);
	return sl_error_hint(err, "put back the file from a backup");
}

static int map_index(struct object_pack *pack, struct sl_error *err)
{
	unsigned char footer[FOOTER_BYTES];
	struct stat st;
	if (sl_sys->fstat(pack->fd, &st))
		return sl_fail_errno(err, errno, pack->path, "cannot look at it");
	uint64_t size = (uint64_t)st.st_size;
	if (size < OBJECT_PACK_HEADER + FANOUT_BYTES + FOOTER_BYTES)
		return fail_pack(pack, "it is too short", err);
	int rc = sl_file_read_at(pack->fd, footer, sizeof footer, size - sizeof footer, pack->path, err);
	if (rc)
		return rc;
	pack->index_offset = read_le(footer, 8);
	pack->count = read_le(footer + 8, 8);
	if (memcmp(footer + 48, END_MAGIC, 8) != 0 || pack->count > OBJECT_PACK_ENTRIES_MAX ||
	    pack->index_offset < OBJECT_PACK_HEADER || pack->index_offset > size ||
	    size - pack->index_offset != pack->count * ENTRY_BYTES + FANOUT_BYTES + FOOTER_BYTES)
		return fail_pack(pack, "its end is not one", err);
	uint64_t from = pack->index_offset & ~UINT64_C(4095);
	pack->map_len = (size_t)(size - from);
	void *map = sl_sys->mmap(NULL, pack->map_len, PROT_READ, MAP_SHARED, pack->fd, (off_t)from);
	if (map == MAP_FAILED)
		return sl_fail_errno(err, errno, pack->path, "cannot map");
	pack->map = map;
	pack->index = pack->map + (pack->index_offset - from);
	pack->fanout = pack->index + pack->count * ENTRY_BYTES;
	pack->footer = pack->fanout + FANOUT_BYTES;
	return 0;
}

static int pack_open(const char *path, struct object_pack **ret, struct sl_error *err)
{
	struct object_pack *pack = sl_alloc(sizeof *pack, err);
	if (!pack)
		return SL_E_NO_MEMORY;
	pack->fd = -1;
	snprintf(pack->path, sizeof pack->path, "%s", path);
	int rc = sl_file_open(path, O_RDONLY, 0, &pack->fd, err);
	rc = rc ? rc : map_index(pack, err);
	if (rc)
		pack_free(pack);
	else
		*ret = pack;
	return rc;
}

static void pack_dir(const struct sl_objects *objects, char out[SL_PATH_MAX])
{
	snprintf(out, SL_PATH_MAX, "%.4000s/pack", objects->dir);
}

static int add_pack(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct sl_objects *objects = context;
	char path[SL_PATH_MAX];
	if (!info->is_regular || !sl_str_ends(name, ".pack"))
		return 0;
	snprintf(path, sizeof path, "%.4000s/pack/%.80s", objects->dir, name);
	for (size_t i = 0; i < objects->pack_count; i++)
		if (strcmp(objects->packs[i]->path, path) == 0)
			return 0;
	if (objects->pack_count == OBJECT_PACKS_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, objects->dir, "more than %d packs: 'sluice gc' puts them together",
				  OBJECT_PACKS_MAX);
	struct object_pack **packs = sl_realloc(objects->packs, (objects->pack_count + 1) * sizeof(struct object_pack *), err);
	if (!packs)
		return SL_E_NO_MEMORY;
	objects->packs = packs;
	int rc = pack_open(path, &packs[objects->pack_count], err);
	if (rc == SL_E_NOT_FOUND) /* written together with others since it was listed */
		return 0;
	objects->pack_count += rc == 0;
	return rc;
}

int object_packs_refresh(struct sl_objects *objects, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	struct sl_file_info info;
	pack_dir(objects, dir);
	int rc = sl_file_info(dir, &info, NULL);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : sl_file_info(dir, &info, err);
	/* Within a clock tick two changes look like one: only a time that has passed is trusted. */
	bool settled = sl_sys->realtime_ns() - info.mtime_ns > INT64_C(20000000);
	if (info.mtime_ns == objects->packs_mtime_ns)
		return 0;
	rc = sl_dir_each(dir, add_pack, objects, err);
	objects->packs_mtime_ns = settled && !rc ? info.mtime_ns : 0;
	return rc;
}

void object_packs_close(struct sl_objects *objects)
{
	for (size_t i = 0; i < objects->pack_count; i++)
		pack_free(objects->packs[i]);
	sl_free(objects->packs);
	objects->packs = NULL;
	objects->pack_count = 0;
}

/* ---- finding and reading -------------------------------------------------------------------------------------------- */

static bool pack_find(const struct object_pack *pack, const struct sl_hash *hash, uint64_t *ret)
{
	unsigned first = hash->bytes[0];
	uint64_t low = first ? read_le(pack->fanout + 4 * (first - 1), 4) : 0, high = read_le(pack->fanout + 4 * first, 4);
	if (low > high || high > pack->count)
		return false;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int order = memcmp(hash->bytes, pack->index + middle * ENTRY_BYTES, SL_HASH_BYTES);
		if (order == 0) {
			*ret = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool entry_fits(const struct object_pack *pack, const struct object_entry *entry)
{
	return entry->offset >= OBJECT_PACK_HEADER && entry->offset <= pack->index_offset &&
	       entry->size_bytes <= pack->index_offset - entry->offset;
}

bool object_packs_find(const struct sl_objects *objects, const struct sl_hash *hash, struct object_place *ret)
{
	for (size_t i = objects->pack_count; i-- > 0;) {
		struct object_entry entry;
		uint64_t at;
		if (!pack_find(objects->packs[i], hash, &at))
			continue;
		entry_at(objects->packs[i], at, &entry);
		if (!entry_fits(objects->packs[i], &entry))
			continue;
		*ret = (struct object_place){.form = OBJECT_PACKED, .pack = objects->packs[i], .offset = entry.offset,
					     .size_bytes = entry.size_bytes};
		return true;
	}
	return false;
}

int object_pack_read(const struct object_pack *pack, void *data, uint64_t offset, size_t len, struct sl_error *err)
{
	return sl_file_read_at(pack->fd, data, len, offset, pack->path, err);
}

static int check_index(const struct object_pack *pack, struct sl_error *err)
{
	struct sl_hash found;
	sl_sha256(pack->index, pack->count * ENTRY_BYTES + FANOUT_BYTES + 16, &found);
	return memcmp(found.bytes, pack->footer + 16, SL_HASH_BYTES) == 0 ? 0 : fail_pack(pack, "its index was changed", err);
}

static bool is_dropped(const struct object_pack *pack, uint64_t i)
{
	return pack->dropped && (pack->dropped[i / 8] >> (i % 8) & 1);
}

int object_packs_each(struct sl_objects *objects, sl_objects_visit *each, void *context, struct sl_error *err)
{
	pthread_mutex_lock(&objects->lock);
	int rc = object_packs_refresh(objects, err);
	size_t count = objects->pack_count;
	pthread_mutex_unlock(&objects->lock);
	for (size_t i = 0; !rc && i < count; i++) {
		const struct object_pack *pack = objects->packs[i];
		struct object_entry entry;
		rc = check_index(pack, err);
		for (uint64_t k = 0; !rc && k < pack->count; k++) {
			entry_at(pack, k, &entry);
			rc = is_dropped(pack, k) ? 0 : each(context, &entry.hash, entry.size_bytes, err);
		}
	}
	return rc;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

int object_pack_begin(struct sl_objects *objects, char path[SL_PATH_MAX], int *ret_fd, struct sl_error *err)
{
	int rc = object_stage(objects, path, ret_fd, err);
	return rc ? rc : sl_file_write_all(*ret_fd, MAGIC, OBJECT_PACK_HEADER, path, err);
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct object_entry *)a)->hash.bytes, ((const struct object_entry *)b)->hash.bytes, SL_HASH_BYTES);
}

/* Packs that are written together may hold the same object. */
static size_t drop_twins(struct object_entry *entries, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (!kept || by_hash(&entries[i], &entries[kept - 1]) != 0)
			entries[kept++] = entries[i];
	return kept;
}

static void add_index(struct sl_buf *out, const struct object_entry *entries, size_t count, uint64_t index_offset)
{
	size_t k = 0;
	for (size_t i = 0; i < count; i++) {
		sl_buf_add(out, entries[i].hash.bytes, SL_HASH_BYTES);
		sl_buf_u64le(out, entries[i].offset);
		sl_buf_u64le(out, entries[i].size_bytes);
	}
	for (unsigned byte = 0; byte < 256; byte++) {
		while (k < count && entries[k].hash.bytes[0] <= byte)
			k++;
		sl_buf_u32le(out, (uint32_t)k);
	}
	sl_buf_u64le(out, index_offset);
	sl_buf_u64le(out, count);
}

int object_pack_seal(struct sl_objects *objects, int fd, const char *staged, struct object_entry *entries, size_t count,
		     uint64_t end, char ret_path[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_buf tail SL_AUTO_BUF = SL_BUF_INIT((size_t)OBJECT_PACK_ENTRIES_MAX * ENTRY_BYTES + 4096);
	struct sl_hash sum;
	char dir[SL_PATH_MAX], hex[SL_HASH_HEX + 1];
	qsort(entries, count, sizeof *entries, by_hash);
	count = drop_twins(entries, count);
	add_index(&tail, entries, count, end);
	int rc = sl_buf_check(&tail, "a pack's index", err);
	if (rc)
		return rc;
	sl_sha256(tail.data, tail.len, &sum);
	sl_buf_add(&tail, sum.bytes, SL_HASH_BYTES);
	sl_buf_add(&tail, END_MAGIC, 8);
	rc = sl_buf_check(&tail, "a pack's index", err);
	rc = rc ? rc : sl_file_write_at(fd, tail.data, tail.len, end, staged, err);
	if (!rc && sl_sys->fsync(fd))
		rc = sl_fail_errno(err, errno, staged, "cannot make durable");
	pack_dir(objects, dir);
	bool made = !rc && sl_sys->mkdir(dir, 0777) == 0;
	if (!rc && !made && errno != EEXIST)
		rc = sl_fail_errno(err, errno, dir, "cannot make the folder");
	snprintf(ret_path, SL_PATH_MAX, "%.4000s/%s.pack", dir, sl_hash_hex(&sum, hex));
	rc = rc ? rc : sl_file_rename(staged, ret_path, err);
	rc = rc ? rc : sl_dir_sync(dir, err);
	return rc || !made ? rc : sl_dir_sync(objects->dir, err);
}

/* ---- compacting ----------------------------------------------------------------------------------------------------- */

void object_pack_drop(struct sl_objects *objects, const struct sl_hash *hash)
{
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->pack_count; i++) {
		struct object_pack *pack = objects->packs[i];
		uint64_t at;
		if (!pack_find(pack, hash, &at))
			continue;
		if (!pack->dropped)
			pack->dropped = sl_alloc(pack->count / 8 + 1, NULL); /* without memory it stays, which is safe */
		if (pack->dropped && !is_dropped(pack, at)) {
			pack->dropped[at / 8] |= (unsigned char)(1 << at % 8);
			pack->drop_count++;
		}
	}
	pthread_mutex_unlock(&objects->lock);
}

struct compaction {
	struct sl_objects *objects;
	int fd;
	char staged[SL_PATH_MAX], sealed[SL_PATH_MAX];
	struct object_entry *entries;
	size_t count;
	uint64_t at;
	char *piece;
};

static int copy_live(struct compaction *c, const struct object_pack *pack, struct sl_error *err)
{
	int rc = 0;
	for (uint64_t i = 0; !rc && i < pack->count; i++) {
		struct object_entry entry;
		entry_at(pack, i, &entry);
		if (is_dropped(pack, i) || !entry_fits(pack, &entry))
			continue;
		struct object_entry *to = &c->entries[c->count++];
		*to = (struct object_entry){entry.hash, c->at, entry.size_bytes};
		for (uint64_t done = 0; !rc && done < entry.size_bytes;) {
			uint64_t left = entry.size_bytes - done;
			size_t n = left < OBJECT_PIECE_BYTES ? (size_t)left : OBJECT_PIECE_BYTES;
			rc = object_pack_read(pack, c->piece, entry.offset + done, n, err);
			rc = rc ? rc : sl_file_write_at(c->fd, c->piece, n, c->at, c->staged, err);
			c->at += n;
			done += n;
		}
	}
	return rc;
}

static bool wants_writing(const struct object_pack *pack, size_t small_count)
{
	return pack->drop_count || (small_count > 1 && pack->index_offset < SMALL_BYTES);
}

/* Fewer than 2^31 bytes are live in what is written together, so that it is one pack. */
static int write_live(struct compaction *c, const bool *chosen, struct sl_error *err)
{
	uint64_t entries = 1;
	for (size_t i = 0; i < c->objects->pack_count; i++)
		entries += chosen[i] ? c->objects->packs[i]->count : 0;
	c->piece = sl_alloc(OBJECT_PIECE_BYTES, err);
	c->entries = c->piece ? sl_alloc_array(entries, sizeof *c->entries, err) : NULL;
	if (!c->entries)
		return SL_E_NO_MEMORY;
	int rc = object_pack_begin(c->objects, c->staged, &c->fd, err);
	for (size_t i = 0; !rc && i < c->objects->pack_count; i++)
		rc = chosen[i] ? copy_live(c, c->objects->packs[i], err) : 0;
	if (!rc && c->count)
		rc = object_pack_seal(c->objects, c->fd, c->staged, c->entries, c->count, c->at, c->sealed, err);
	if (*c->staged && (rc || !c->count))
		sl_sys->unlink(c->staged);
	return rc;
}

/* Which packs are written together now: those that have dropped entries and the small ones, as far as one pack takes them. */
static size_t choose(const struct sl_objects *objects, bool *chosen)
{
	size_t small = 0, count = 0;
	uint64_t bytes = 0, entries = 0, drops = 0;
	for (size_t i = 0; i < objects->pack_count; i++)
		small += objects->packs[i]->index_offset < SMALL_BYTES;
	for (size_t i = 0; i < objects->pack_count; i++) {
		const struct object_pack *pack = objects->packs[i];
		bool fits = !count || (bytes + pack->index_offset <= OBJECT_PACK_BYTES_MAX &&
				       entries + pack->count <= OBJECT_PACK_ENTRIES_MAX);
		chosen[i] = fits && wants_writing(pack, small);
		bytes += chosen[i] ? pack->index_offset : 0;
		entries += chosen[i] ? pack->count : 0;
		drops += chosen[i] ? pack->drop_count : 0;
		count += chosen[i];
	}
	return drops || count > 1 ? count : 0;
}

static int compact_some(struct sl_objects *objects, bool *ret_done, struct sl_error *err)
{
	bool *chosen SL_AUTO_FREE = sl_alloc_array(objects->pack_count + 1, sizeof *chosen, err);
	struct compaction c = {.objects = objects, .fd = -1, .at = OBJECT_PACK_HEADER};
	if (!chosen)
		return SL_E_NO_MEMORY;
	*ret_done = choose(objects, chosen) == 0;
	int rc = *ret_done ? 0 : write_live(&c, chosen, err);
	sl_file_close(&c.fd);
	sl_free(c.piece);
	sl_free(c.entries);
	size_t kept = 0;
	for (size_t i = 0; !rc && i < objects->pack_count; i++) {
		if (chosen[i]) {
			/* A pack without drops beside one that is all dropped is written as it was. */
			if (strcmp(objects->packs[i]->path, c.sealed) != 0)
				sl_sys->unlink(objects->packs[i]->path);
			pack_free(objects->packs[i]);
		} else {
			objects->packs[kept++] = objects->packs[i];
		}
	}
	if (!rc)
		objects->pack_count = kept;
	objects->packs_mtime_ns = 0;
	return rc;
}

int object_packs_compact(struct sl_objects *objects, struct sl_error *err)
{
	bool done = false;
	int rc = object_packs_refresh(objects, err);
	/* What was written together is not looked at again: it is listed only at the end. */
	while (!rc && !done)
		rc = compact_some(objects, &done, err);
	return rc ? rc : object_packs_refresh(objects, err);
}

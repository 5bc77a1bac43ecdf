/* The file: a header (magic, root, files, bytes), the entries, SHA-256 of all before. Numbers as this machine has them. */
#include "data/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

enum { HEADER_BYTES = 8 + SL_HASH_BYTES + 16, BUFFER_BYTES = 1 << 20, FLAG_EXECUTABLE = 1, FLAG_SETTLED = 2 };
static const char MAGIC[9] = "SLSEEN1\n";

/* Before the path's bytes. */
struct fixed {
	uint64_t size_bytes, inode;
	int64_t mtime_ns, ctime_ns;
	unsigned char hash[SL_HASH_BYTES];
	uint16_t len;
	uint16_t flags;
	uint32_t zero; /* behind the path stands a NUL, so that it is a text in the map */
};
_Static_assert(sizeof(struct fixed) == 72, "no holes: the bytes are written as they are");

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static void load_next(struct sl_seen_reader *r)
{
	struct fixed fixed;
	r->has_next = false;
	r->next_at = r->at;
	if (r->end - r->at < sizeof fixed)
		return;
	memcpy(&fixed, r->map + r->at, sizeof fixed);
	if (r->end - r->at - sizeof fixed < (size_t)fixed.len + 1)
		return;
	r->next = (struct sl_seen_entry){.mtime_ns = fixed.mtime_ns, .ctime_ns = fixed.ctime_ns, .inode = fixed.inode,
					 .settled = fixed.flags & FLAG_SETTLED};
	r->next.file = (struct sl_tree_file){.path = (const char *)r->map + r->at + sizeof fixed, .len = fixed.len,
					     .size_bytes = fixed.size_bytes, .executable = fixed.flags & FLAG_EXECUTABLE};
	memcpy(r->next.file.hash.bytes, fixed.hash, SL_HASH_BYTES);
	r->at += sizeof fixed + fixed.len + 1;
	r->has_next = true;
}

static bool is_whole(const struct sl_seen_reader *r)
{
	struct sl_hash found;
	if (r->map_len < HEADER_BYTES + SL_HASH_BYTES || memcmp(r->map, MAGIC, 8) != 0)
		return false;
	sl_sha256(r->map, r->map_len - SL_HASH_BYTES, &found);
	return memcmp(found.bytes, r->map + r->map_len - SL_HASH_BYTES, SL_HASH_BYTES) == 0;
}

void sl_seen_open(const char *path, struct sl_seen_reader *ret)
{
	int fd SL_AUTO_CLOSE = -1;
	struct stat st;
	*ret = (struct sl_seen_reader){0};
	if (sl_file_open(path, O_RDONLY, 0, &fd, NULL) || sl_sys->fstat(fd, &st) || st.st_size <= 0)
		return;
	void *map = sl_sys->mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return;
	ret->map = map;
	ret->map_len = (size_t)st.st_size;
	if (!is_whole(ret)) {
		sl_seen_done(ret);
		return;
	}
	memcpy(ret->root.bytes, ret->map + 8, SL_HASH_BYTES);
	memcpy(&ret->sum.files, ret->map + 8 + SL_HASH_BYTES, 8);
	memcpy(&ret->sum.size_bytes, ret->map + 16 + SL_HASH_BYTES, 8);
	ret->end = ret->map_len - SL_HASH_BYTES;
	sl_seen_rewind(ret);
}

void sl_seen_done(struct sl_seen_reader *reader)
{
	if (reader->map)
		sl_sys->munmap((void *)(uintptr_t)reader->map, reader->map_len);
	*reader = (struct sl_seen_reader){0};
}

void sl_seen_advance(struct sl_seen_reader *reader) { load_next(reader); }

void sl_seen_rewind(struct sl_seen_reader *reader)
{
	reader->at = HEADER_BYTES;
	if (reader->map)
		load_next(reader);
}

bool sl_seen_holds(const struct sl_seen_entry *entry, const struct sl_file_info *info)
{
	return entry->settled && entry->file.size_bytes == info->size_bytes && entry->mtime_ns == info->mtime_ns &&
	       entry->ctime_ns == info->ctime_ns && entry->inode == info->inode;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct sl_seen_writer {
	char path[SL_PATH_MAX], temporary[SL_PATH_MAX];
	int fd;
	struct sl_buf buffer;
};

int sl_seen_writer_new(const char *path, struct sl_seen_writer **ret, struct sl_error *err)
{
	struct sl_seen_writer *w SL_CLEANUP(sl_seen_writer_freep) = sl_alloc(sizeof *w, err);
	char dir[SL_PATH_MAX];
	if (!w)
		return SL_E_NO_MEMORY;
	w->fd = -1;
	sl_buf_init(&w->buffer, BUFFER_BYTES + 2 * SL_PATH_MAX);
	snprintf(w->path, sizeof w->path, "%s", path);
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	int rc = sl_dir_make(dir, err);
	if (!rc && snprintf(w->temporary, sizeof w->temporary, "%s.%ld.tmp", path, (long)getpid()) >= SL_PATH_MAX)
		rc = sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	sl_sys->unlink(w->temporary);
	rc = rc ? rc : sl_file_open(w->temporary, O_RDWR | O_CREAT | O_EXCL, 0600, &w->fd, err);
	const char header[HEADER_BYTES] = {0};
	rc = rc ? rc : sl_file_write_all(w->fd, header, sizeof header, w->temporary, err);
	if (!rc)
		*ret = SL_TAKE(w);
	return rc;
}

void sl_seen_writer_free(struct sl_seen_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		sl_sys->unlink(w->temporary);
	sl_file_close(&w->fd);
	sl_buf_done(&w->buffer);
	sl_free(w);
}

void sl_seen_writer_freep(struct sl_seen_writer **writer)
{
	sl_seen_writer_free(*writer);
	*writer = NULL;
}

static int flush(struct sl_seen_writer *w, struct sl_error *err)
{
	int rc = sl_buf_check(&w->buffer, "what was seen of files", err);
	rc = rc ? rc : sl_file_write_all(w->fd, sl_buf_cstr(&w->buffer), w->buffer.len, w->temporary, err);
	sl_buf_clear(&w->buffer);
	return rc;
}

int sl_seen_writer_add(struct sl_seen_writer *w, const struct sl_seen_entry *entry, struct sl_error *err)
{
	struct fixed fixed = {.size_bytes = entry->file.size_bytes, .inode = entry->inode, .mtime_ns = entry->mtime_ns,
			      .ctime_ns = entry->ctime_ns, .len = (uint16_t)entry->file.len,
			      .flags = (uint16_t)((entry->file.executable ? FLAG_EXECUTABLE : 0) | (entry->settled ? FLAG_SETTLED : 0))};
	memcpy(fixed.hash, entry->file.hash.bytes, SL_HASH_BYTES);
	sl_buf_add(&w->buffer, &fixed, sizeof fixed);
	sl_buf_add(&w->buffer, entry->file.path, entry->file.len);
	sl_buf_char(&w->buffer, 0);
	return w->buffer.len >= BUFFER_BYTES ? flush(w, err) : 0;
}

int sl_seen_writer_copy(struct sl_seen_writer *w, const struct sl_seen_reader *reader, size_t end, struct sl_error *err)
{
	int rc = flush(w, err);
	return rc ? rc : sl_file_write_all(w->fd, reader->map + HEADER_BYTES, end - HEADER_BYTES, w->temporary, err);
}

/* Over the whole file as it was written: its own bytes, not what we think they are. */
static int sum_file(struct sl_seen_writer *w, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = sl_sha256_new(err);
	char *piece SL_AUTO_FREE = sha ? sl_alloc(BUFFER_BYTES, err) : NULL;
	struct stat st;
	if (!piece)
		return SL_E_NO_MEMORY;
	if (sl_sys->fstat(w->fd, &st))
		return sl_fail_errno(err, errno, w->temporary, "cannot look at it");
	for (off_t at = 0; at < st.st_size;) {
		size_t n = st.st_size - at < BUFFER_BYTES ? (size_t)(st.st_size - at) : BUFFER_BYTES;
		int rc = sl_file_read_at(w->fd, piece, n, (uint64_t)at, w->temporary, err);
		if (rc)
			return rc;
		sl_sha256_add(sha, piece, n);
		at += (off_t)n;
	}
	sl_sha256_end(sha, ret);
	return 0;
}

int sl_seen_writer_end(struct sl_seen_writer *w, const struct sl_hash *root, const struct sl_tree_sum *sum, struct sl_error *err)
{
	unsigned char header[HEADER_BYTES];
	struct sl_hash all;
	memcpy(header, MAGIC, 8);
	memcpy(header + 8, root->bytes, SL_HASH_BYTES);
	memcpy(header + 8 + SL_HASH_BYTES, &sum->files, 8);
	memcpy(header + 16 + SL_HASH_BYTES, &sum->size_bytes, 8);
	int rc = flush(w, err);
	rc = rc ? rc : sl_file_write_at(w->fd, header, sizeof header, 0, w->temporary, err);
	rc = rc ? rc : sum_file(w, &all, err);
	rc = rc ? rc : sl_file_write_all(w->fd, all.bytes, SL_HASH_BYTES, w->temporary, err);
	/* Not flushed: what a crash tears is seen by its sum, and the files are hashed once more. */
	rc = rc ? rc : sl_file_rename(w->temporary, w->path, err);
	if (!rc)
		sl_file_close(&w->fd);
	return rc;
}

/* ---- forgetting ----------------------------------------------------------------------------------------------------- */

struct forgetting { const char *dir; bool (*kept)(void *context, const struct sl_hash *root); void *context; };

/* The tree that a file of the folder is about; false: about none, or unreadable. */
static bool remembered_root(const char *path, const char *name, struct sl_hash *ret)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_HASH_HEX + 1);
	struct sl_seen_reader reader;
	if (sl_str_ends(name, ".placed"))
		return false;
	if (sl_str_ends(name, ".archive"))
		return sl_file_read(path, &text, NULL) == 0 && sl_hash_parse(sl_buf_cstr(&text), ret);
	sl_seen_open(path, &reader);
	*ret = reader.root;
	bool whole = reader.map != NULL;
	sl_seen_done(&reader);
	return whole;
}

static int forget_one(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	const struct forgetting *f = context;
	char path[SL_PATH_MAX];
	struct sl_hash root;
	int rc = sl_path_join(path, f->dir, name, err);
	if (rc || !info->is_regular || !remembered_root(path, name, &root) || f->kept(f->context, &root))
		return rc;
	return sl_sys->unlink(path) && errno != ENOENT ? sl_fail_errno(err, errno, path, "cannot remove") : 0;
}

int sl_seen_forget(const char *dir, bool (*kept)(void *context, const struct sl_hash *root), void *context, struct sl_error *err)
{
	struct forgetting f = {dir, kept, context};
	return sl_dir_exists(dir) ? sl_dir_each(dir, forget_one, &f, err) : 0;
}

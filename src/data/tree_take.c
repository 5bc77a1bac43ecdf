#include "data/tree_take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/files.h"
#include "data/seen.h"
#include "os/sys.h"

static const int64_t TICK_NS = INT64_C(2000000000); /* as in data/file_hash.c */

struct taking {
	const struct sl_tree_take *take;
	struct sl_objects *objects;
	int fd;
	struct sl_crew *crew;
	struct sl_batch *batch;          /* NULL: nothing is kept */
	struct sl_seen_reader seen;
	char seen_path[SL_PATH_MAX];
	struct sl_seen_writer *remember; /* from the first difference on */
	struct sl_tree_writer *tree;     /* likewise */
	bool differs;
	struct sl_tree_taken *taken;
	/* of the block */
	const struct sl_walk_entry *entries;
	struct sl_seen_entry *found;     /* as many; those with `open` are to be read */
	uint32_t *open;
	size_t open_count;
	size_t fresh_from;               /* what stands before is written already, out of what is remembered */
};

static void put_progress(const struct taking *t)
{
	if (t->take->progress)
		t->take->progress(t->take->context, t->taken->sum.files, t->taken->sum.size_bytes);
}

/* ---- one file ------------------------------------------------------------------------------------------------------- */

/* Read and compared, without keeping it. */
static int hash_file(int fd, const char *name, const struct sl_file_info *seen, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = sl_sha256_new(err);
	char piece[SL_PACK_FILE_MAX];
	struct stat now;
	if (!sha)
		return SL_E_NO_MEMORY;
	ssize_t n;
	uint64_t total = 0;
	/* A file that grows faster than it is read would never end. */
	while (total <= seen->size_bytes && (n = sl_sys->read(fd, piece, sizeof piece)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, name, "cannot read");
		sl_sha256_add(sha, piece, (size_t)n);
		total += (uint64_t)n;
	}
	if (sl_sys->fstat(fd, &now))
		return sl_fail_errno(err, errno, name, "cannot look at it");
	sl_sha256_end(sha, ret);
	if ((uint64_t)now.st_size == seen->size_bytes && now.st_ino == seen->inode &&
	    now.st_mtim.tv_sec * INT64_C(1000000000) + now.st_mtim.tv_nsec == seen->mtime_ns)
		return 0;
	sl_fail_at(err, SL_E_FAILED, name, "changed while it was read");
	if (err)
		err->retriable = true;
	return sl_error_hint(err, "run again once nothing writes to the file");
}

static int read_file(void *context, size_t i, int worker, struct sl_error *err)
{
	struct taking *t = context;
	const struct sl_walk_entry *entry = &t->entries[t->open[i]];
	struct sl_hash *hash = &t->found[t->open[i]].file.hash;
	char name[2 * SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	(void)worker;
	snprintf(name, sizeof name, "%s/%s", t->take->dir, entry->path);
	int rc = sl_walk_open(t->fd, t->take->dir, entry->path, entry->info.is_link, &fd, err);
	if (rc)
		return rc;
	const struct sl_put_source source = {.fd = fd, .name = name, .seen = &entry->info, .how = t->take->how};
	return t->batch ? sl_batch_put_file(t->batch, &source, hash, err) : hash_file(fd, name, &entry->info, hash, err);
}

/* ---- a block -------------------------------------------------------------------------------------------------------- */

/* The first difference: all before the place of reading is as it was, and is written again. `i` of the block is where it is. */
static int begin_differing(struct taking *t, size_t i, struct sl_error *err)
{
	size_t end = t->seen.next_at;
	t->differs = true;
	t->fresh_from = i;
	int rc = sl_tree_writer_new(t->batch, &t->tree, err);
	if (!rc && *t->seen_path && t->take->write)
		rc = sl_seen_writer_new(t->seen_path, &t->remember, err);
	if (rc || !t->seen.map)
		return rc;
	if (t->remember)
		rc = sl_seen_writer_copy(t->remember, &t->seen, end, err);
	sl_seen_rewind(&t->seen);
	while (!rc && t->seen.has_next && t->seen.next_at < end) {
		rc = sl_tree_writer_add(t->tree, &t->seen.next.file, err);
		sl_seen_advance(&t->seen);
	}
	return rc;
}

/* Fills t->found: what is remembered, and what is still open. */
static int look_up(struct taking *t, size_t count, struct sl_error *err)
{
	int64_t now = sl_sys->realtime_ns();
	int rc = 0;
	t->open_count = 0;
	t->fresh_from = t->differs ? 0 : count;
	for (size_t i = 0; !rc && i < count; i++) {
		const struct sl_walk_entry *e = &t->entries[i];
		int order = 1;
		while (t->seen.has_next && (order = strcmp(t->seen.next.file.path, e->path)) < 0) {
			rc = rc || t->differs ? rc : begin_differing(t, i, err); /* it is gone */
			sl_seen_advance(&t->seen);
		}
		if (t->seen.has_next && order == 0 && sl_seen_holds(&t->seen.next, &e->info)) {
			t->found[i] = t->seen.next;
			sl_seen_advance(&t->seen);
			continue;
		}
		rc = rc || t->differs ? rc : begin_differing(t, i, err);
		if (t->seen.has_next && order == 0)
			sl_seen_advance(&t->seen);
		int64_t newest = e->info.mtime_ns > e->info.ctime_ns ? e->info.mtime_ns : e->info.ctime_ns;
		t->found[i] = (struct sl_seen_entry){.mtime_ns = e->info.mtime_ns, .ctime_ns = e->info.ctime_ns, .inode = e->info.inode,
						     .settled = now - newest > TICK_NS};
		t->found[i].file = (struct sl_tree_file){.path = e->path, .len = e->len, .size_bytes = e->info.size_bytes,
							 .executable = e->info.mode & 0100};
		t->open[t->open_count++] = (uint32_t)i;
	}
	return rc;
}

static int take_block(void *context, const struct sl_walk_entry *entries, size_t count, struct sl_error *err)
{
	struct taking *t = context;
	if (t->take->cancel && *t->take->cancel)
		return sl_fail(err, SL_E_CANCELLED, "cancelled");
	t->entries = entries;
	int rc = look_up(t, count, err);
	rc = rc ? rc : sl_crew_run(t->crew, t->open_count, read_file, t, err);
	for (size_t i = t->fresh_from; !rc && i < count; i++) {
		rc = sl_tree_writer_add(t->tree, &t->found[i].file, err);
		if (!rc && t->remember)
			rc = sl_seen_writer_add(t->remember, &t->found[i], err);
	}
	for (size_t i = 0; i < count; i++)
		t->taken->sum.size_bytes += entries[i].info.size_bytes;
	t->taken->sum.files += count;
	t->taken->read_files += t->open_count;
	put_progress(t);
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static bool wanted(void *context, const char *path) { return sl_files_match(context, path); }

static void name_seen(struct taking *t)
{
	const struct sl_tree_take *take = t->take;
	char text[3 * SL_PATH_MAX], hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	int n = snprintf(text, sizeof text, "%s\n%s\n%d %d", take->dir, take->pattern ? take->pattern : "", take->hidden, (int)take->links);
	sl_sha256(text, (size_t)n, &hash);
	if (snprintf(t->seen_path, sizeof t->seen_path, "%s/%s", take->seen_dir, sl_hash_hex(&hash, hex)) >= SL_PATH_MAX - 32)
		t->seen_path[0] = 0; /* too long: then it is not remembered */
}

static int finish(struct taking *t, struct sl_error *err)
{
	int rc = !t->differs && t->seen.has_next ? begin_differing(t, 0, err) : 0; /* the last ones are gone */
	if (rc)
		return rc;
	if (!t->differs && t->seen.map) {
		t->taken->hash = t->seen.root;
		return 0;
	}
	rc = t->differs ? 0 : begin_differing(t, 0, err); /* an empty folder */
	rc = rc ? rc : sl_tree_writer_end(t->tree, &t->taken->hash, &t->taken->sum, err);
	rc = rc || !t->batch ? rc : sl_batch_commit(t->batch, err);
	return rc || !t->remember ? rc : sl_seen_writer_end(t->remember, &t->taken->hash, &t->taken->sum, err);
}

static int run(struct taking *t, struct sl_error *err)
{
	const struct sl_tree_take *take = t->take;
	const struct sl_walk_options options = {.hidden = take->hidden, .links = take->links, .files_max = SL_TREE_FILES_MAX,
						.wanted = take->pattern ? wanted : NULL, .context = (void *)(uintptr_t)take->pattern};
	int rc = sl_file_open(take->dir, O_RDONLY | O_DIRECTORY, 0, &t->fd, err);
	rc = rc ? rc : sl_crew_new(0, &t->crew, err);
	rc = rc || !take->write ? rc : sl_batch_begin(t->objects, &t->batch, err);
	if (rc)
		return rc;
	t->found = sl_alloc_array(SL_WALK_BLOCK, sizeof *t->found, err);
	t->open = t->found ? sl_alloc_array(SL_WALK_BLOCK, sizeof *t->open, err) : NULL;
	if (!t->open)
		return SL_E_NO_MEMORY;
	if (take->seen_dir)
		name_seen(t);
	if (*t->seen_path)
		sl_seen_open(t->seen_path, &t->seen);
	/* What is remembered is of use only while the store has the tree: with its root it has all of it. */
	if (t->seen.map && take->write && !sl_objects_has(t->objects, &t->seen.root))
		sl_seen_done(&t->seen);
	rc = sl_walk(t->fd, take->dir, &options, t->crew, take_block, t, err);
	return rc ? rc : finish(t, err);
}

int sl_tree_take(struct sl_objects *objects, const struct sl_tree_take *take, struct sl_tree_taken *ret, struct sl_error *err)
{
	struct taking t = {.take = take, .objects = objects, .fd = -1, .taken = ret};
	*ret = (struct sl_tree_taken){0};
	int rc = run(&t, err);
	sl_tree_writer_free(t.tree);
	sl_seen_writer_free(t.remember);
	sl_seen_done(&t.seen);
	sl_batch_free(t.batch);
	sl_crew_free(t.crew);
	sl_file_close(&t.fd);
	sl_free(t.found);
	sl_free(t.open);
	return rc;
}

/* From rows to tiles and a signed checkpoint.
 *
 *   lock; read checkpoint; load the right edge it stands for; add the rows behind it;
 *   write tiles that became full (flushed), then partial ones (not flushed), then the checkpoint (flushed, renamed); remove the
 * old partial ones
 *
 * The rows are the truth and are durable before anything is published. A crash leaves the old checkpoint with its tiles, or the
 * new one with its. Partial tiles are not flushed: after a power loss one may be gone; then the right edge does not give the
 * checkpoint's root, and it is built again from the rows - which must give that root, else the rows were changed and nothing is
 * signed. One entry: three small files and a flush; 0.15 ms beside the flush.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ledger/internal.h"
#include "os/sys.h"

int sl_ledger_lock(struct sl_ledger *ledger, int *ret_fd, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, ledger->dir, "lock", err);
	return rc ? rc : sl_file_lock(path, "a publisher", true, ret_fd, err);
}

static bool is_known(const struct sl_ledger *ledger, const struct sl_buf *text)
{
	return text->len > 0 && text->len == ledger->published.len && memcmp(text->data, ledger->published.data, text->len) == 0;
}

int sl_ledger_read_checkpoint(struct sl_ledger *ledger, struct sl_buf *text, struct sl_checkpoint *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	sl_buf_clear(text);
	int rc = sl_path_join(path, ledger->dir, "checkpoint", err);
	if (!rc)
		rc = sl_file_read(path, text, err);
	if (rc == SL_E_NOT_FOUND) {
		*ret = (struct sl_checkpoint){0};
		sl_sha256("", 0, &ret->root);
		return 0;
	}
	/* Proving a signature takes 0.15 ms: once per checkpoint. */
	if (!rc && is_known(ledger, text)) {
		*ret = ledger->at;
		return 0;
	}
	if (!rc)
		rc = sl_checkpoint_read(sl_buf_cstr(text), text->len, &ledger->key, path, ret, err);
	if (rc == SL_E_CORRUPT)
		sl_error_hint(err, "put back the file from a backup; 'sluice verify' tells what else differs");
	return rc;
}

int sl_ledger_read_tile(struct sl_ledger *ledger, int level, uint64_t index, unsigned width, struct sl_buf *out,
			struct sl_error *err)
{
	char name[SL_TILE_PATH], path[SL_PATH_MAX];
	sl_buf_clear(out);
	int rc = sl_path_join(path, ledger->dir, sl_tile_path(name, level, index, width), err);
	if (!rc)
		rc = sl_file_read(path, out, err);
	if (rc == SL_E_NOT_FOUND)
		return sl_fail_at(err, SL_E_CORRUPT, path, "the tile is missing");
	return rc == SL_E_TOO_LARGE ? sl_fail_at(err, SL_E_CORRUPT, path, "the tile is too large") : rc;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static int make_parent(const char *path, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	return sl_dir_exists(dir) ? 0 : sl_dir_make(dir, err);
}

/* A whole file or none while the machine runs; not flushed. */
static int write_unsynced(const char *path, const void *data, size_t len, struct sl_error *err)
{
	char temporary[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	int rc = sl_file_open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err); /* only the holder of the lock is here */
	if (!rc)
		rc = sl_file_write_all(fd, data, len, temporary, err);
	if (!rc)
		rc = sl_file_rename(temporary, path, err);
	if (rc)
		sl_sys->unlink(temporary);
	return rc;
}

static int write_tile(struct sl_ledger *ledger, int level, uint64_t index, unsigned width, const void *data, size_t len,
		      struct sl_error *err)
{
	char name[SL_TILE_PATH], path[SL_PATH_MAX];
	int rc = sl_path_join(path, ledger->dir, sl_tile_path(name, level, index, width), err);
	if (!rc)
		rc = make_parent(path, err);
	if (rc)
		return rc;
	return width == SL_TILE_WIDTH ? sl_file_replace(path, data, len, 0644, err) : write_unsynced(path, data, len, err);
}

static int write_full(void *context, unsigned level, uint64_t index, const struct sl_hash hashes[SL_TILE_WIDTH],
		      struct sl_error *err)
{
	struct sl_ledger *ledger = context;
	int rc = 0;
	if (level == 0) {
		rc = write_tile(ledger, SL_TILE_ENTRIES, index, SL_TILE_WIDTH, ledger->bundle.data, ledger->bundle.len, err);
		sl_buf_clear(&ledger->bundle);
	}
	return rc ? rc : write_tile(ledger, (int)level, index, SL_TILE_WIDTH, hashes, SL_LEDGER_TILE_BYTES, err);
}

/* Partial tiles of levels that changed since `before`; `all` writes them whether or not they did. */
static int write_partial(struct sl_ledger *ledger, uint64_t before, bool all, struct sl_error *err)
{
	const struct sl_tree *tree = &ledger->tree;
	int rc = 0;
	for (int level = SL_TILE_ENTRIES; level < SL_TILE_LEVELS && !rc; level++) {
		unsigned width = sl_tile_partial_width(tree->size, level);
		uint64_t index = sl_tile_full_count(tree->size, level), shift = 8 * (level < 0 ? 0 : (unsigned)level);
		if (width == 0 || (!all && before >> shift == tree->size >> shift))
			continue;
		if (level < 0)
			rc = write_tile(ledger, level, index, width, ledger->bundle.data, ledger->bundle.len, err);
		else
			rc = write_tile(ledger, level, index, width, tree->hash[level], width * sizeof **tree->hash, err);
	}
	return rc;
}

/* Best effort: what stays is never read again. */
static void remove_old_partial(struct sl_ledger *ledger, uint64_t before)
{
	char name[SL_TILE_PATH], path[SL_PATH_MAX];
	for (int level = SL_TILE_ENTRIES; level < SL_TILE_LEVELS; level++) {
		unsigned width = sl_tile_partial_width(before, level), shift = 8 * (level < 0 ? 0 : (unsigned)level);
		uint64_t index = sl_tile_full_count(before, level);
		if (width == 0 || before >> shift == ledger->tree.size >> shift ||
		    sl_path_join(path, ledger->dir, sl_tile_path(name, level, index, width), NULL))
			continue;
		sl_sys->unlink(path);
		if (sl_tile_full_count(ledger->tree.size, level) > index) {
			*strrchr(path, '/') = 0;
			sl_sys->rmdir(path);
		}
	}
}

static int write_checkpoint(struct sl_ledger *ledger, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_checkpoint checkpoint = {.size = ledger->tree.size};
	sl_tree_root(&ledger->tree, &checkpoint.root);
	sl_buf_clear(&ledger->published);
	int rc = sl_checkpoint_write(&checkpoint, &ledger->key, &ledger->published, err);
	if (!rc)
		rc = sl_path_join(path, ledger->dir, "checkpoint", err);
	if (!rc)
		rc = sl_file_replace(path, ledger->published.data, ledger->published.len, 0644, err);
	if (rc)
		sl_buf_clear(&ledger->published);
	ledger->at = checkpoint;
	return rc;
}

/* ---- the right edge ------------------------------------------------------------------------------------------------- */

static void reset_edge(struct sl_ledger *ledger)
{
	sl_buf_clear(&ledger->published);
	sl_buf_clear(&ledger->bundle);
	ledger->tree.size = 0;
	memset(ledger->tree.width, 0, sizeof ledger->tree.width);
}

static int add_entry(struct sl_ledger *ledger, const void *entry, size_t len, sl_tree_full *full, struct sl_error *err)
{
	struct sl_hash leaf;
	sl_buf_u16be(&ledger->bundle, (uint16_t)len);
	sl_buf_add(&ledger->bundle, entry, len);
	int rc = sl_buf_check(&ledger->bundle, "entry bundle", err);
	sl_tree_leaf(entry, len, &leaf);
	return rc ? rc : sl_tree_add(&ledger->tree, &leaf, full, ledger, err);
}

/* Adds the rows [tree.size, end). */
static int add_rows(struct sl_ledger *ledger, uint64_t end, sl_tree_full *full, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(ledger->meta, &stmt, err,
			       "SELECT seq, entry FROM ledger_entry WHERE seq >= ?1 AND seq < ?2 ORDER BY seq", "ii",
			       (int64_t)ledger->tree.size, (int64_t)end);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const void *entry = sl_stmt_blob(stmt, 1, &len);
		if (sl_stmt_int(stmt, 0) != (int64_t)ledger->tree.size || len > SL_LEDGER_ENTRY_MAX)
			break;
		rc = add_entry(ledger, entry, len, full, err);
	}
	if (rc < 0)
		return rc;
	if (ledger->tree.size != end)
		return sl_fail_at(err, SL_E_CORRUPT, "ledger", "row %llu of ledger_entry is missing or too long",
				  (unsigned long long)ledger->tree.size);
	return 0;
}

/* From the partial tiles; 1 when they give the checkpoint's root. */
static int load_tiles(struct sl_ledger *ledger, const struct sl_checkpoint *checkpoint)
{
	struct sl_buf tile SL_AUTO_BUF = SL_BUF_INIT(SL_LEDGER_TILE_BYTES);
	struct sl_tree *tree = &ledger->tree;
	struct sl_hash root;
	uint64_t size = checkpoint->size;
	for (int level = 0; level < SL_TILE_LEVELS; level++) {
		unsigned width = sl_tile_partial_width(size, level);
		if (width > 0 && (sl_ledger_read_tile(ledger, level, sl_tile_full_count(size, level), width, &tile, NULL) ||
				  tile.len != width * SL_HASH_BYTES))
			return 0;
		memcpy(tree->hash[level], sl_buf_cstr(&tile), width * SL_HASH_BYTES);
		tree->width[level] = width;
	}
	tree->size = size;
	sl_tree_root(tree, &root);
	return sl_hash_eq(&root, &checkpoint->root);
}

/* Entries of the partial bundle, from the rows; 1 when each has the hash that the tile says. */
static int load_bundle(struct sl_ledger *ledger)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	uint64_t from = ledger->tree.size - ledger->tree.width[0];
	struct sl_hash leaf;
	unsigned n = 0;
	if (ledger->tree.width[0] == 0)
		return 1;
	if (sl_meta_query(ledger->meta, &stmt, NULL, "SELECT entry FROM ledger_entry WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
			  "ii", (int64_t)from, (int64_t)ledger->tree.size))
		return 0;
	while (sl_stmt_step(stmt, NULL) == 1 && n < ledger->tree.width[0]) {
		size_t len;
		const void *entry = sl_stmt_blob(stmt, 0, &len);
		sl_tree_leaf(entry, len, &leaf);
		if (len > SL_LEDGER_ENTRY_MAX || !sl_hash_eq(&leaf, &ledger->tree.hash[0][n++]))
			return 0;
		sl_buf_u16be(&ledger->bundle, (uint16_t)len);
		sl_buf_add(&ledger->bundle, entry, len);
	}
	return n == ledger->tree.width[0] && !ledger->bundle.failed;
}

static int forget_full(void *context, unsigned level, uint64_t index, const struct sl_hash hashes[SL_TILE_WIDTH],
		       struct sl_error *err)
{
	(void)index, (void)hashes, (void)err;
	if (level == 0)
		sl_buf_clear(&((struct sl_ledger *)context)->bundle);
	return 0;
}

/* Every tile again, from the rows. What the checkpoint promised must come out, else a row was changed since: seen first, so
 * that the tiles, which then are the evidence, stay as they are. */
static int rebuild(struct sl_ledger *ledger, const struct sl_checkpoint *checkpoint, struct sl_error *err)
{
	struct sl_hash root;
	reset_edge(ledger);
	int rc = add_rows(ledger, checkpoint->size, forget_full, err);
	if (rc)
		return rc;
	sl_tree_root(&ledger->tree, &root);
	if (!sl_hash_eq(&root, &checkpoint->root)) {
		sl_fail_at(err, SL_E_CORRUPT, "ledger",
			   "the rows of ledger_entry are not those that the checkpoint of %llu entries was signed for",
			   (unsigned long long)checkpoint->size);
		return sl_error_hint(err, "'sluice verify' names the first entry that was changed");
	}
	reset_edge(ledger);
	rc = add_rows(ledger, checkpoint->size, write_full, err);
	return rc ? rc : write_partial(ledger, 0, true, err);
}

/* Whether a power loss took a partial tile: it is gone, empty, or zeros. One with other bytes was changed, which is for verify to
 * name. */
static bool is_lost(struct sl_ledger *ledger, int level, uint64_t size)
{
	struct sl_buf tile SL_AUTO_BUF = SL_BUF_INIT(level < 0 ? SL_LEDGER_BUNDLE_MAX : SL_LEDGER_TILE_BYTES);
	unsigned width = sl_tile_partial_width(size, level);
	if (width == 0)
		return false;
	if (sl_ledger_read_tile(ledger, level, sl_tile_full_count(size, level), width, &tile, NULL) || tile.len == 0)
		return true;
	return tile.data[0] == 0 && memcmp(tile.data, tile.data + 1, tile.len - 1) == 0;
}

int sl_ledger_mend(struct sl_ledger *ledger, const struct sl_checkpoint *checkpoint, struct sl_error *err)
{
	bool lost = false;
	for (int level = SL_TILE_ENTRIES; level < SL_TILE_LEVELS && !lost; level++)
		lost = is_lost(ledger, level, checkpoint->size);
	if (!lost)
		return 0;
	int rc = rebuild(ledger, checkpoint, err);
	return rc == SL_E_CORRUPT ? 0 : rc;
}

int sl_ledger_lock_to_prove(struct sl_ledger *ledger, int *ret_fd, struct sl_buf *text, struct sl_checkpoint *ret,
			    struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_ledger_lock(ledger, ret_fd, err);
	bool can_write = rc == 0;
	if (rc == SL_E_IO && (rc = sl_path_join(path, ledger->dir, "lock", err)) == 0)
		rc = sl_file_lock_shared(path, ret_fd, err);
	if (rc >= 0)
		rc = sl_ledger_read_checkpoint(ledger, text, ret, err);
	return rc || !can_write ? rc : sl_ledger_mend(ledger, ret, err);
}

/* Makes ledger->tree and ledger->bundle what `text`, the checkpoint file, stands for. */
static int load_edge(struct sl_ledger *ledger, const struct sl_buf *text, const struct sl_checkpoint *checkpoint,
		     struct sl_error *err)
{
	if (is_known(ledger, text))
		return 0;
	reset_edge(ledger);
	int rc = load_tiles(ledger, checkpoint) && load_bundle(ledger) ? 0 : rebuild(ledger, checkpoint, err);
	if (!rc) {
		sl_buf_add(&ledger->published, sl_buf_cstr(text), text->len);
		rc = sl_buf_check(&ledger->published, "checkpoint", err);
		ledger->at = *checkpoint;
	}
	return rc;
}

/* ---- publishing ----------------------------------------------------------------------------------------------------- */

static int count_rows(struct sl_ledger *ledger, uint64_t *ret, struct sl_error *err)
{
	int64_t last;
	int rc = sl_meta_int(ledger->meta, -1, &last, err, "SELECT max(seq) FROM ledger_entry", NULL);
	*ret = (uint64_t)(last + 1);
	return rc;
}

static int publish_locked(struct sl_ledger *ledger, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_LEDGER_CHECKPOINT_MAX);
	struct sl_checkpoint checkpoint;
	uint64_t rows;
	int rc = sl_ledger_read_checkpoint(ledger, &text, &checkpoint, err);
	if (!rc)
		rc = count_rows(ledger, &rows, err);
	if (rc || rows <= checkpoint.size) /* fewer rows than published: for verify to name */
		return rc;
	rc = load_edge(ledger, &text, &checkpoint, err);
	if (!rc)
		rc = add_rows(ledger, rows, write_full, err);
	if (!rc)
		rc = write_partial(ledger, checkpoint.size, false, err);
	if (!rc)
		rc = write_checkpoint(ledger, err);
	if (rc)
		reset_edge(ledger);
	else
		remove_old_partial(ledger, checkpoint.size);
	return rc;
}

/* The size that the checkpoint file claims, unproved: enough to see that there is nothing to do. 0 when there is no such file. */
static int claimed_size(struct sl_ledger *ledger, uint64_t *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_LEDGER_CHECKPOINT_MAX);
	unsigned long long size = 0;
	int rc = sl_path_join(path, ledger->dir, "checkpoint", err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (!rc)
		sscanf(sl_buf_cstr(&text), "%*[^\n]\n%llu", &size);
	*ret = size;
	return rc == SL_E_NOT_FOUND ? 0 : rc;
}

int sl_ledger_check_behind(struct sl_ledger *ledger, struct sl_error *err)
{
	uint64_t rows, claimed;
	int rc = claimed_size(ledger, &claimed, err); /* first: rows only grow */
	if (!rc)
		rc = count_rows(ledger, &rows, err);
	if (rc || rows >= claimed)
		return rc;
	sl_fail_at(err, SL_E_CORRUPT, ledger->dir,
		   "the database has %llu ledger entries, but %llu were published: it is an older copy, or its log was damaged",
		   (unsigned long long)rows, (unsigned long long)claimed);
	return sl_error_hint(err, "put back the database that belongs to this ledger, or both from one backup");
}

int sl_ledger_publish(struct sl_ledger *ledger, struct sl_error *err)
{
	assert(!sl_meta_in_transaction(ledger->meta)); /* it would publish rows that may never come to be */
	uint64_t rows, claimed;
	int fd SL_AUTO_CLOSE = -1;
	int rc = claimed_size(ledger, &claimed, err);
	if (!rc)
		rc = count_rows(ledger, &rows, err);
	if (rc || rows == claimed)
		return rc;
	rc = sl_ledger_check_key(ledger, err);
	if (rc)
		return rc > 0 ? 0 : rc;
	rc = sl_ledger_lock(ledger, &fd, err);
	return rc ? rc : publish_locked(ledger, err);
}

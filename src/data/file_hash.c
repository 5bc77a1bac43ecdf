/* Hashes of the user's files, remembered. A remembered hash is trusted while size, times and inode are what they were, and only
 * if the file had been still for longer than a tick of any file system's clock (2 s on FAT) when it was hashed: a change within
 * that tick may have left the times as they are (git calls such an entry racy). */
#include "data/file_hash.h"

#include "base/mem.h"
#include "os/clock.h"

static const int64_t TICK_NS = INT64_C(2000000000);

static bool same_file(const struct sl_file_info *a, const struct sl_file_info *b)
{
	return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->inode == b->inode;
}

static int add_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	(void)err;
	sl_sha256_add(context, data, len);
	return 0;
}

/* Reads the file; refuses one that changes meanwhile. */
static int hash_now(const char *path, const struct sl_file_info *before, struct sl_hash *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_sha256_freep) struct sl_sha256 *state = sl_sha256_new(err);
	struct sl_file_info after;

	if (!state)
		return SL_E_NO_MEMORY;
	int rc = sl_file_stream(path, add_piece, state, err);
	if (rc < 0 || (rc = sl_file_info(path, &after, err)) < 0)
		return rc;
	if (!same_file(before, &after)) {
		sl_fail_at(err, SL_E_FAILED, path, "the file changed while it was read");
		if (err)
			err->retriable = true;
		return sl_error_hint(err, "let its writer finish, best by writing beside it and renaming, then run again");
	}
	sl_sha256_end(state, ret);
	return 0;
}

/* 0 with the hash, 1 when nothing trustworthy is remembered. */
static int recall(struct sl_meta *meta, const char *path, const struct sl_file_info *info, struct sl_hash *ret,
		  struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(meta, &stmt, err,
		"SELECT size_bytes, mtime_ns, ctime_ns, inode, hashed_ms, hash FROM file_hash WHERE path = ?1", "s", path);

	if (rc < 0 || (rc = sl_stmt_step(stmt, err)) < 0)
		return rc;
	if (rc == 0)
		return 1;
	int64_t newest_ns = info->mtime_ns > info->ctime_ns ? info->mtime_ns : info->ctime_ns;
	bool same = (uint64_t)sl_stmt_int(stmt, 0) == info->size_bytes && sl_stmt_int(stmt, 1) == info->mtime_ns
		&& sl_stmt_int(stmt, 2) == info->ctime_ns && sl_stmt_int(stmt, 3) == (int64_t)info->inode;
	bool still = newest_ns + TICK_NS < sl_stmt_int(stmt, 4) * 1000000;
	return same && still && sl_hash_parse(sl_stmt_text(stmt, 5), ret) ? 0 : 1;
}

int sl_file_look(struct sl_meta *meta, const char *path, struct sl_hash *ret, struct sl_file_seen *seen, struct sl_error *err)
{
	int rc = sl_file_info(path, &seen->info, err);

	seen->is_new = false;
	if (rc < 0)
		return rc;
	if (!seen->info.is_regular)
		return sl_fail_at(err, SL_E_INVALID, path, "not a file");
	if ((rc = recall(meta, path, &seen->info, ret, err)) != 1)
		return rc;
	seen->started_ms = sl_now_ms();
	seen->is_new = true;
	return hash_now(path, &seen->info, ret, err);
}

int sl_file_remember(struct sl_meta *meta, const char *path, const struct sl_hash *hash, const struct sl_file_seen *seen,
		     struct sl_error *err)
{
	const struct sl_file_info *info = &seen->info;
	char hex[SL_HASH_HEX + 1];

	if (!seen->is_new)
		return 0;
	int64_t changed = sl_meta_exec(
		meta, err,
		"INSERT INTO file_hash(path, size_bytes, mtime_ns, ctime_ns, inode, hash, hashed_ms) VALUES (?1, ?2, ?3, "
		"?4, ?5, ?6, ?7) "
		"ON CONFLICT (path) DO UPDATE SET size_bytes = ?2, mtime_ns = ?3, ctime_ns = ?4, inode = ?5, hash = ?6, "
		"hashed_ms = ?7",
		"siiiisi", path, (int64_t)info->size_bytes, info->mtime_ns, info->ctime_ns, (int64_t)info->inode,
		sl_hash_hex(hash, hex), seen->started_ms);
	return changed < 0 ? (int)changed : 0;
}

int sl_file_hash(struct sl_meta *meta, const char *path, struct sl_hash *ret, uint64_t *ret_size, struct sl_error *err)
{
	struct sl_file_seen seen;
	int rc = sl_file_look(meta, path, ret, &seen, err);

	if (rc < 0)
		return rc;
	if (ret_size)
		*ret_size = seen.info.size_bytes;
	return sl_file_remember(meta, path, ret, &seen, err);
}

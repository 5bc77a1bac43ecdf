/* Inclusion proofs: that an entry is in the tree of a checkpoint, from O(log n) hashes out of static files. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ledger/internal.h"

enum { PATH_MAX_HASHES = 64 };

struct prover {
	struct sl_ledger *ledger;
	uint64_t size;
	struct sl_buf tile;
	struct sl_hash path[PATH_MAX_HASHES];
	unsigned path_count;
	struct sl_hash old[PATH_MAX_HASHES]; /* consistency with an older checkpoint */
	unsigned old_count;
};

/* Root of the perfect subtree over the entries [lo, lo + 2^height): up to 128 neighbours of one tile, folded. */
static int perfect_root(struct prover *p, uint64_t lo, unsigned height, struct sl_hash *ret, struct sl_error *err)
{
	int level = (int)height / 8;
	uint64_t first = lo >> 8 * level, index = first / SL_TILE_WIDTH;
	unsigned count = 1u << height % 8, at = (unsigned)(first % SL_TILE_WIDTH);
	unsigned width = index < sl_tile_full_count(p->size, level) ? SL_TILE_WIDTH : sl_tile_partial_width(p->size, level);
	struct sl_hash hashes[SL_TILE_WIDTH];
	int rc = sl_ledger_read_tile(p->ledger, level, index, width, &p->tile, err);
	if (rc)
		return rc;
	if (p->tile.len < (at + count) * sizeof *hashes)
		return sl_fail_at(err, SL_E_CORRUPT, p->ledger->dir, "a tile of level %d is too short", level);
	memcpy(hashes, p->tile.data + at * sizeof *hashes, count * sizeof *hashes);
	sl_tree_fold(hashes, count, ret);
	return 0;
}

/* The largest power of two below n (n > 1). */
static unsigned split_height(uint64_t n) { return 63 - (unsigned)__builtin_clzll(n - 1); }

/* Root over [lo, hi): perfect subtrees from the left, joined from the right. */
static int range_root(struct prover *p, uint64_t lo, uint64_t hi, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_hash parts[PATH_MAX_HASHES];
	unsigned n = 0;
	while (lo < hi) {
		unsigned height = 63 - (unsigned)__builtin_clzll(hi - lo);
		int rc = perfect_root(p, lo, height, &parts[n++], err);
		if (rc)
			return rc;
		lo += UINT64_C(1) << height;
	}
	*ret = parts[--n];
	while (n > 0)
		sl_tree_node(&parts[--n], ret, ret);
	return 0;
}

/* PATH(seq, D[size]) of RFC 6962 section 2.1.1, walked from the root down and turned round at the end. */
static int make_path(struct prover *p, uint64_t seq, struct sl_error *err)
{
	uint64_t lo = 0, hi = p->size;
	while (hi - lo > 1) {
		uint64_t middle = lo + (UINT64_C(1) << split_height(hi - lo));
		bool left = seq < middle;
		int rc = range_root(p, left ? middle : lo, left ? hi : middle, &p->path[p->path_count++], err);
		if (rc)
			return rc;
		lo = left ? lo : middle;
		hi = left ? middle : hi;
	}
	for (unsigned i = 0; i < p->path_count / 2; i++) {
		struct sl_hash swap = p->path[i];
		p->path[i] = p->path[p->path_count - 1 - i];
		p->path[p->path_count - 1 - i] = swap;
	}
	return 0;
}

/* SUBPROOF(m, D[lo:hi], whole) of RFC 6962 section 2.1.2. As deep as the tree. */
static int make_consistency(struct prover *p, uint64_t m, uint64_t lo, uint64_t hi, bool whole, struct sl_error *err)
{
	if (m == hi - lo)
		return whole ? 0 : range_root(p, lo, hi, &p->old[p->old_count++], err);
	uint64_t middle = lo + (UINT64_C(1) << split_height(hi - lo));
	bool left = m <= middle - lo;
	int rc = left ? make_consistency(p, m, lo, middle, whole, err) : make_consistency(p, m - (middle - lo), middle, hi, false, err);
	return rc ? rc : range_root(p, left ? middle : lo, left ? hi : middle, &p->old[p->old_count++], err);
}

static int prove_since(struct prover *p, const struct sl_buf *since, struct sl_error *err)
{
	struct sl_checkpoint old;
	struct sl_hash root;
	int rc = sl_checkpoint_read(sl_buf_cstr(since), since->len, &p->ledger->key, "the older checkpoint", &old, err);
	if (rc)
		return rc;
	if (old.size > p->size || old.size == 0)
		return sl_fail(err, SL_E_INVALID, "the older checkpoint is of %llu entries, the ledger's of %llu",
			       (unsigned long long)old.size, (unsigned long long)p->size);
	rc = range_root(p, 0, old.size, &root, err);
	if (!rc && !sl_hash_eq(&root, &old.root)) {
		sl_fail(err, SL_E_CORRUPT, "the ledger is not a continuation of the older checkpoint of %llu entries",
			(unsigned long long)old.size);
		return sl_error_hint(err, "its history was rewritten by somebody with its key");
	}
	return rc ? rc : make_consistency(p, old.size, 0, p->size, true, err);
}

/* ---- the proof's text ----------------------------------------------------------------------------------------------- */

static void add_hashes(struct sl_buf *out, const struct sl_hash *hashes, unsigned count)
{
	char hex[SL_HASH_HEX + 1];
	sl_buf_char(out, '[');
	for (unsigned i = 0; i < count; i++)
		sl_buf_printf(out, "%s\"%s\"", i ? "," : "", sl_hash_hex(&hashes[i], hex));
	sl_buf_char(out, ']');
}

static void add_text(struct sl_buf *out, const char *name, const char *text, size_t len)
{
	sl_buf_printf(out, "\"%s\":", name);
	sl_json_string(out, text, len);
	sl_buf_char(out, ',');
}

static int write_proof(struct prover *p, int64_t seq, const struct sl_hash *leaf, const char *entry, size_t len,
		       const struct sl_buf *checkpoint, const struct sl_buf *since, struct sl_buf *out, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	struct sl_buf key SL_AUTO_BUF = SL_BUF_INIT(512);
	sl_ledger_public_key(p->ledger, &key);
	sl_buf_char(out, '{');
	add_text(out, "checkpoint", checkpoint->data, checkpoint->len);
	if (since) {
		sl_buf_str(out, "\"consistency\":{");
		add_text(out, "checkpoint", since->data, since->len);
		sl_buf_str(out, "\"path\":");
		add_hashes(out, p->old, p->old_count);
		sl_buf_str(out, "},");
	}
	add_text(out, "entry", entry, len);
	sl_buf_str(out, "\"format\":\"sluice.proof/1\",");
	add_text(out, "key", key.data, key.len);
	sl_buf_printf(out, "\"leaf\":\"%s\",\"path\":", sl_hash_hex(leaf, hex));
	add_hashes(out, p->path, p->path_count);
	sl_buf_printf(out, ",\"seq\":%lld,\"size\":%llu}\n", (long long)seq, (unsigned long long)p->size);
	return sl_buf_check(out, "proof", err);
}

static int prove(struct prover *p, int *fd, int64_t seq, const struct sl_buf *since, struct sl_buf *out, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_LEDGER_CHECKPOINT_MAX);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_checkpoint checkpoint;
	struct sl_hash leaf, root;
	size_t len;
	int rc = sl_ledger_lock_to_prove(p->ledger, fd, &text, &checkpoint, err);
	if (rc)
		return rc;
	if (seq < 0 || (uint64_t)seq >= checkpoint.size)
		return sl_fail(err, SL_E_NOT_FOUND, "the ledger has %llu published entries, none is number %lld",
			       (unsigned long long)checkpoint.size, (long long)seq);
	p->size = checkpoint.size;
	rc = sl_meta_query(p->ledger->meta, &stmt, err, "SELECT entry FROM ledger_entry WHERE seq = ?1", "i", seq);
	if (!rc && (rc = sl_stmt_step(stmt, err)) == 0)
		return sl_fail(err, SL_E_CORRUPT, "ledger_entry row %lld is missing", (long long)seq);
	if (rc > 0)
		rc = make_path(p, (uint64_t)seq, err);
	if (!rc && since)
		rc = prove_since(p, since, err);
	if (rc)
		return rc;
	const void *entry = sl_stmt_blob(stmt, 0, &len);
	sl_tree_leaf(entry, len, &leaf);
	if (!sl_tree_included(&leaf, (uint64_t)seq, p->size, p->path, p->path_count, &root) || !sl_hash_eq(&root, &checkpoint.root)) {
		sl_fail(err, SL_E_CORRUPT, "entry %lld does not give the signed root", (long long)seq);
		return sl_error_hint(err, "'sluice verify' names the first bad byte");
	}
	return write_proof(p, seq, &leaf, entry, len, &text, since, out, err);
}

int sl_ledger_prove(struct sl_ledger *ledger, int64_t seq, const struct sl_buf *since, struct sl_buf *out, struct sl_error *err)
{
	int fd SL_AUTO_CLOSE = -1;
	struct prover *p SL_AUTO_FREE = sl_alloc(sizeof *p, err);
	if (!p)
		return SL_E_NO_MEMORY;
	p->ledger = ledger;
	sl_buf_init(&p->tile, SL_LEDGER_TILE_BYTES);
	int rc = prove(p, &fd, seq, since, out, err);
	sl_buf_done(&p->tile);
	return rc;
}

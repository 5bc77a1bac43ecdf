#include "ledger/tile.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void sl_tree_leaf(const void *entry, size_t len, struct sl_hash *ret) { sl_sha256_tagged(0, entry, len, ret); }

void sl_tree_node(const struct sl_hash *left, const struct sl_hash *right, struct sl_hash *ret)
{
	struct sl_hash pair[2] = {*left, *right};
	sl_sha256_tagged(1, pair, sizeof pair, ret);
}

/* Neighbours are paired level by level; an odd one at the end waits, as it is, for a left brother. */
void sl_tree_fold(struct sl_hash *hashes, unsigned count, struct sl_hash *ret)
{
	assert(count >= 1 && count <= SL_TILE_WIDTH);
	for (; count > 1; count = (count + 1) / 2) {
		for (unsigned i = 0; i + 1 < count; i += 2)
			sl_sha256_tagged(1, &hashes[i], 2 * sizeof *hashes, &hashes[i / 2]);
		if (count % 2)
			hashes[count / 2] = hashes[count - 1];
	}
	*ret = hashes[0];
}

bool sl_tree_included(const struct sl_hash *leaf, uint64_t seq, uint64_t size, const struct sl_hash *path, size_t count,
		      struct sl_hash *ret_root)
{
	uint64_t at = seq, last = size - 1;
	if (seq >= size)
		return false;
	*ret_root = *leaf;
	for (size_t i = 0; i < count; i++) {
		if (last == 0)
			return false;
		if (at % 2 || at == last) {
			sl_tree_node(&path[i], ret_root, ret_root);
			while (at % 2 == 0 && at) {
				at /= 2;
				last /= 2;
			}
		} else {
			sl_tree_node(ret_root, &path[i], ret_root);
		}
		at /= 2;
		last /= 2;
	}
	return last == 0;
}

int sl_tree_add(struct sl_tree *tree, const struct sl_hash *leaf, sl_tree_full *full, void *context, struct sl_error *err)
{
	struct sl_hash hash = *leaf;
	tree->size++;
	for (unsigned level = 0; level < SL_TILE_LEVELS; level++) {
		assert(tree->width[level] < SL_TILE_WIDTH);
		tree->hash[level][tree->width[level]++] = hash;
		if (tree->width[level] < SL_TILE_WIDTH)
			return 0;
		uint64_t index = (tree->size >> 8 * (level + 1)) - 1;
		int rc = full ? full(context, level, index, tree->hash[level], err) : 0;
		if (rc)
			return rc;
		sl_tree_fold(tree->hash[level], SL_TILE_WIDTH, &hash);
		tree->width[level] = 0;
	}
	return sl_fail(err, SL_E_TOO_LARGE, "the ledger is full");
}

/* RFC 6962 splits at the largest power of two below the size, so the tree is its perfect subtrees, largest first, joined from the
 * right: those within one tile are folded, then hung to the right of what the higher levels hold. */
void sl_tree_root(const struct sl_tree *tree, struct sl_hash *ret)
{
	struct sl_hash right;
	bool have = false;
	for (unsigned level = 0; level < SL_TILE_LEVELS; level++) {
		const struct sl_hash *hashes = tree->hash[level];
		for (unsigned left = tree->width[level], bit = 1; left; bit *= 2) {
			if (!(left & bit))
				continue;
			left -= bit;
			struct sl_hash part[SL_TILE_WIDTH], root;
			memcpy(part, hashes + left, bit * sizeof *part);
			sl_tree_fold(part, bit, &root);
			if (have)
				sl_tree_node(&root, &right, &right);
			else
				right = root;
			have = true;
		}
	}
	if (!have)
		sl_sha256("", 0, &right);
	*ret = right;
}

uint64_t sl_tile_full_count(uint64_t size, int level)
{
	unsigned shift = 8 * ((level < 0 ? 0 : (unsigned)level) + 1);
	return shift < 64 ? size >> shift : 0;
}

unsigned sl_tile_partial_width(uint64_t size, int level)
{
	return (unsigned)(size >> 8 * (level < 0 ? 0 : (unsigned)level)) % SL_TILE_WIDTH;
}

char *sl_tile_path(char out[SL_TILE_PATH], int level, uint64_t index, unsigned width)
{
	char number[40], name[8];
	uint64_t power = 1;
	int n = 0;
	snprintf(name, sizeof name, "%u", (unsigned)level & 7);
	while (index / power >= 1000)
		power *= 1000;
	for (; power > 1; power /= 1000)
		n += snprintf(number + n, sizeof number - (size_t)n, "x%03u/", (unsigned)(index / power % 1000));
	snprintf(number + n, sizeof number - (size_t)n, "%03u", (unsigned)(index % 1000));
	n = snprintf(out, SL_TILE_PATH, "tile/%s/%s", level < 0 ? "entries" : name, number);
	if (width < SL_TILE_WIDTH)
		snprintf(out + n, SL_TILE_PATH - (size_t)n, ".p/%u", width);
	return out;
}

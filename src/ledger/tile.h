/* The Merkle tree of RFC 6962 section 2.1 over SHA-256, growing at its right edge, in the tiles of C2SP tlog-tiles.
 *
 *   level 1      [ h0 ........................ ]            hash i of level L+1 = root of tile i of level L
 *                   |            \
 *   level 0      [ 256 leaf hashes ] [ 256 ] [ 17 ]         tile/0/000  tile/0/001  tile/0/002.p/17
 *   entries      [ 256 entries     ] [ 256 ] [ 17 ]         tile/entries/000 ...
 */
#ifndef SL_LEDGER_TILE_H
#define SL_LEDGER_TILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

enum { SL_TILE_WIDTH = 256, SL_TILE_LEVELS = 8, SL_TILE_ENTRIES = -1, SL_TILE_PATH = 96 };

void sl_tree_leaf(const void *entry, size_t len, struct sl_hash *ret);
void sl_tree_node(const struct sl_hash *left, const struct sl_hash *right, struct sl_hash *ret);
/* Root of `count` hashes (1 to 256) of neighbouring subtrees of equal size; `hashes` is used up. */
void sl_tree_fold(struct sl_hash *hashes, unsigned count, struct sl_hash *ret);

/* The verifier's side of an audit path (RFC 9162 section 2.1.3.2): the root that leaf number `seq` of `size` and the path, from the
 * leaf up, give. false when the path is too long or too short, or seq is not below size. */
bool sl_tree_included(const struct sl_hash *leaf, uint64_t seq, uint64_t size, const struct sl_hash *path, size_t count,
		      struct sl_hash *ret_root);

/* The right edge: per level the hashes of the tile that is not full yet. About 64 KiB. */
struct sl_tree {
	uint64_t size;
	unsigned width[SL_TILE_LEVELS];
	struct sl_hash hash[SL_TILE_LEVELS][SL_TILE_WIDTH];
};

/* Gets each tile that became full, lowest level first. Returning non-zero makes add fail with it. */
typedef int sl_tree_full(void *context, unsigned level, uint64_t index, const struct sl_hash hashes[SL_TILE_WIDTH],
			 struct sl_error *err);
int sl_tree_add(struct sl_tree *tree, const struct sl_hash *leaf, sl_tree_full *full, void *context, struct sl_error *err);
/* Root of the whole; of an empty tree SHA-256 of nothing. */
void sl_tree_root(const struct sl_tree *tree, struct sl_hash *ret);

/* Full tiles that a tree of `size` has at `level`, and how wide its last, partial one is (0: there is none). */
uint64_t sl_tile_full_count(uint64_t size, int level);
unsigned sl_tile_partial_width(uint64_t size, int level);
/* "tile/0/x001/x234/067", "tile/entries/000.p/17". Level SL_TILE_ENTRIES: entry bundles. width 256: a full
 * tile. Returns `out`. */
char *sl_tile_path(char out[SL_TILE_PATH], int level, uint64_t index, unsigned width);

#endif

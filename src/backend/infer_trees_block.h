/* Trees whose first 63 nodes decide all at once (AVX2).
 *
 * Before any tree is looked at, each feature's value is replaced by its rank: how many of the model's split conditions on that
 * feature are <= it. A node then asks `rank > j`, one comparison of bytes, and answers exactly as the float comparison would. A
 * row's ranks are "lanes", 16 to a register, so that one shuffle hands 32 nodes the lane that each of them asks for:
 *
 *      row:    ranks  [ r0 r1 r2 ... r15 ]
 *      tree:   lane   [ -  2  0  5  1 ... ]   64 bytes; node 1 is the root, node i has the children 2i and 2i + 1
 *              bar    [ -  9 17  3 80 ... ]   64 bytes
 *      shuffle(ranks, lane) > bar   ->   64 bits, bit i: node i sends the row right
 *      six times  i = 2i + bit i    ->   i - 64: the way out, a leaf's value, or the node where a deeper tree is walked on
 *
 * A feature with more than 255 conditions takes several lanes, each for 255 of them, clamped. A missing value is rank 255 where
 * nodes send it right and 0 where they send it left: rows with missing values are decided twice, and `left` picks from the two
 * answers.
 *
 * Measured (AMD EPYC Zen 4, one core of a busy machine; ns per row, one row / 1000 at a time; 100 trees of depth 6 but the last):
 *
 *                             blocks           node by node       XGBoost 3.2, in place
 *       6 features              307 /   254     2,320 /  1,670     34,000 /   800
 *      20 features              413 /   363     2,240 /  1,640
 *      50 features              650 /   560     2,790 /  1,800
 *       6, a tenth missing      363 /   325     2,690 /  2,370
 *       6, 500 trees, depth 8 7,900 / 5,600    25,400 / 13,400    407,000 / 7,840
 */
#ifndef SL_BACKEND_INFER_TREES_BLOCK_H
#define SL_BACKEND_INFER_TREES_BLOCK_H

#include <stdbool.h>

#include "backend/infer_trees_model.h"

struct sl_blocks;

/* 0 with *ret NULL when this way does not fit: no AVX2, splits by sets of categories, more than 128 lanes, or sparse deep trees
 * that would take more than 4 GiB. */
int sl_blocks_make(const struct sl_forest *forest, struct sl_blocks **ret, struct sl_error *err);
void sl_blocks_free(struct sl_blocks *blocks);
size_t sl_blocks_bytes(const struct sl_blocks *blocks); /* of memory, about; NULL: 0 */
/* Adds every tree's leaf, in the order of the trees, to sums[row * margins + tree's output]. */
void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums);

#endif

/* Trees as blocks of 63 nodes whose decisions are all taken at once (AVX2).
 *
 * Before any tree is looked at, each feature's value is replaced by its rank: how many of the model's split conditions on that
 * feature are
 * <= it. A node then asks `rank > j`, one comparison of bytes, and answers exactly as the float comparison would. A row's ranks
 * are "lanes", 16 to a register, so that one shuffle hands 32 nodes the lane that each of them asks for:
 *
 *      row:    ranks  [ r0 r1 r2 ... r15 ]
 *      block:  lane   [ -  2  0  5  1 ... ]   64 bytes, node 1 is the root, node i has the children 2i and 2i + 1
 *              bar    [ -  9 17  3 80 ... ]   64 bytes
 *      shuffle(ranks, lane) > bar   ->   64 bits, bit i: node i sends the row right
 *      six times  i = 2i + bit i    ->   i - 64: the way out, a leaf value or the next block (trees deeper than 6)
 *
 * A feature with more than 255 conditions takes several lanes, each for 255 of them, clamped. A missing value is rank 255 where
 * nodes send it right and 0 where they send it left: rows with missing values are decided twice and the two answers merged by the
 * block's `left` bits.
 *
 * Measured (AMD EPYC Zen 4, one core, 100 trees of depth 6): see infer_trees.c.
 */
#ifndef SL_BACKEND_INFER_TREES_BLOCK_H
#define SL_BACKEND_INFER_TREES_BLOCK_H

#include <stdbool.h>

#include "backend/infer_trees_model.h"

struct sl_blocks;

/* 0 with *ret NULL when this way does not fit: no AVX2, more than 128 lanes, or sparse deep trees that would take more than 4
 * GiB. */
int sl_blocks_make(const struct sl_forest *forest, struct sl_blocks **ret, struct sl_error *err);
void sl_blocks_free(struct sl_blocks *blocks);
/* Adds every tree's leaf, in the order of the trees, to sums[row * margins + tree's output]. */
void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums);

#endif

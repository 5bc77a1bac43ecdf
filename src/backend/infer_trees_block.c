#include "backend/infer_trees_block.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum {
	NODES = 64,
	LEVELS = 6,
	LANES_MAX = 128,
	TABLES_MAX = LANES_MAX / 16,
	BARS_PER_LANE = 255,
	ROWS_AT_ONCE = 32,  /* their lanes and the block's trees stay in the first-level cache */
	TREES_AT_ONCE = 32, /* 32 x 384 bytes */
};

/* A feature that the model asks for: its conditions in ascending order, padded with NaN to a power of two less one. */
struct rank_table {
	uint32_t feature, lane, lanes;
	uint32_t count, half; /* conditions; first step of the search: half the padded size */
	const float *bars;
};

struct sl_blocks {
	size_t features, margins, tree_count, block_count, tables;
	bool chained; /* some way out is another block */
	struct rank_table *ranks;
	size_t rank_count;
	float *bars;	   /* of all rank tables */
	uint32_t *outputs; /* per tree */
	/* Per block; the first `tree_count` blocks are the trees' tops. */
	uint8_t *lane;	 /* NODES each: register number x 16 + byte */
	int8_t *bar;	 /* NODES each: j - 128 */
	uint64_t *left;	 /* bit i: node i sends a missing value left */
	uint64_t *chain; /* bit i: way out i is a block */
	union way_out {
		float leaf;
		uint32_t block;
	} * out; /* NODES each */
};

void sl_blocks_free(struct sl_blocks *blocks)
{
	if (!blocks)
		return;
	void *parts[] = {blocks->ranks, blocks->bars,  blocks->outputs, blocks->lane, blocks->bar,
			 blocks->left,	blocks->chain, blocks->out,	blocks};
	for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++)
		sl_free(parts[i]);
}

/* ---- building ---- */

struct condition {
	uint32_t feature;
	float bar;
};

static int compare_conditions(const void *a, const void *b)
{
	const struct condition *x = a, *y = b;
	if (x->feature != y->feature)
		return x->feature < y->feature ? -1 : 1;
	return (x->bar > y->bar) - (x->bar < y->bar);
}

/* Every (feature, condition) of the forest once, sorted. -0 and 0 are the same condition. */
static size_t collect_conditions(const struct sl_forest *forest, struct condition *ret)
{
	size_t n = 0, unique = 0;
	for (size_t i = 0; i < forest->node_count; i++)
		if (forest->nodes[i].left)
			ret[n++] = (struct condition){forest->nodes[i].feature & ~SL_FOREST_MISSING_LEFT, forest->nodes[i].value};
	qsort(ret, n, sizeof *ret, compare_conditions);
	for (size_t i = 0; i < n; i++)
		if (!unique || compare_conditions(&ret[unique - 1], &ret[i]) != 0)
			ret[unique++] = ret[i];
	return unique;
}

/* False when the lanes do not suffice. Fills ranks and bars, both of which have room for every condition (padding: twice that).
 */
static bool make_ranks(struct sl_blocks *blocks, const struct condition *conditions, size_t count)
{
	size_t lane = 0, used = 0;
	for (size_t i = 0, end; i < count; i = end) {
		struct rank_table *table = &blocks->ranks[blocks->rank_count];
		for (end = i; end < count && conditions[end].feature == conditions[i].feature;)
			end++;
		size_t n = end - i, padded = 1, lanes = (n + BARS_PER_LANE - 1) / BARS_PER_LANE;
		while (padded <= n)
			padded *= 2;
		if (lane + lanes > LANES_MAX)
			return false;
		*table = (struct rank_table){conditions[i].feature, (uint32_t)lane,	    (uint32_t)lanes,
					     (uint32_t)n,	    (uint32_t)(padded / 2), blocks->bars + used};
		for (size_t k = 0; k < padded; k++)
			blocks->bars[used + k] = k < n ? conditions[i + k].bar : NAN;
		lane += lanes;
		used += padded;
		blocks->rank_count++;
	}
	blocks->tables = lane <= 16 ? 1 : lane <= 32 ? 2 : lane <= 64 ? 4 : 8;
	return true;
}

static inline uint32_t rank_of(const struct rank_table *table, float x)
{
	const float *base = table->bars;
	for (uint32_t step = table->half; step; step /= 2)
		base += base[step - 1] <= x ? step : 0;
	return (uint32_t)(base - table->bars);
}

static const struct rank_table *find_ranks(const struct sl_blocks *blocks, uint32_t feature)
{
	size_t low = 0, high = blocks->rank_count;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (blocks->ranks[middle].feature <= feature)
			low = middle;
		else
			high = middle;
	}
	return &blocks->ranks[low];
}

/* How many blocks a subtree takes: itself, and one for each split that stands LEVELS below its top. */
struct pending {
	uint32_t tree, node;
};
struct queue {
	struct pending *items;
	size_t count, cap;
};

static int enqueue(struct queue *queue, uint32_t tree, uint32_t node, struct sl_error *err)
{
	if (queue->count == queue->cap) {
		size_t cap = queue->cap * 2;
		struct pending *items = sl_realloc(queue->items, cap * sizeof *items, err);
		if (!items)
			return SL_E_NO_MEMORY;
		queue->items = items;
		queue->cap = cap;
	}
	queue->items[queue->count++] = (struct pending){tree, node};
	return 0;
}

/* The LEVELS below `top` of one tree: the node at each way out. A leaf higher up stands at all ways out below it. */
static void ways_out(const struct sl_forest_tree *tree, uint32_t top, uint32_t ret_at[2 * NODES])
{
	ret_at[1] = top;
	for (uint32_t i = 1; i < NODES; i++) {
		const struct sl_forest_node *node = &tree->nodes[ret_at[i]];
		ret_at[2 * i] = node->left ? node->left : ret_at[i];
		ret_at[2 * i + 1] = node->left ? node->left + 1 : ret_at[i];
	}
}

/* Lists the blocks in the order of their numbers: the trees' tops, then breadth first. */
static int list_blocks(const struct sl_forest *forest, struct queue *queue, struct sl_error *err)
{
	int rc = 0;
	for (uint32_t t = 0; t < forest->tree_count && !rc; t++)
		rc = enqueue(queue, t, 0, err);
	for (size_t b = 0; b < queue->count && !rc; b++) {
		const struct sl_forest_tree *tree = &forest->trees[queue->items[b].tree];
		uint32_t at[2 * NODES];
		if (tree->depth <= LEVELS)
			continue;
		ways_out(tree, queue->items[b].node, at);
		for (uint32_t i = NODES; i < 2 * NODES && !rc; i++)
			if (tree->nodes[at[i]].left)
				rc = enqueue(queue, queue->items[b].tree, at[i], err);
	}
	return rc;
}

static void fill_node(struct sl_blocks *blocks, size_t block, uint32_t i, const struct sl_forest_node *node)
{
	size_t at = block * NODES + i;
	if (!node->left) { /* both ways lead to the same leaf */
		blocks->lane[at] = 0;
		blocks->bar[at] = 127;
		return;
	}
	const struct rank_table *table = find_ranks(blocks, node->feature & ~SL_FOREST_MISSING_LEFT);
	uint32_t j = rank_of(table, node->value) - 1; /* its own condition is the last that is <= it */
	blocks->lane[at] = (uint8_t)(table->lane + j / BARS_PER_LANE);
	blocks->bar[at] = (int8_t)((int)(j % BARS_PER_LANE) - 128);
	if (node->feature & SL_FOREST_MISSING_LEFT)
		blocks->left[block] |= 1ull << i;
}

static void fill_block(struct sl_blocks *blocks, size_t block, const struct sl_forest_tree *tree, uint32_t top,
		       uint32_t *next_block)
{
	uint32_t at[2 * NODES];
	ways_out(tree, top, at);
	for (uint32_t i = 1; i < NODES; i++)
		fill_node(blocks, block, i, &tree->nodes[at[i]]);
	for (uint32_t i = 0; i < NODES; i++) {
		const struct sl_forest_node *node = &tree->nodes[at[NODES + i]];
		union way_out *out = &blocks->out[block * NODES + i];
		if (node->left) {
			out->block = (*next_block)++;
			blocks->chain[block] |= 1ull << i;
			blocks->chained = true;
		} else {
			out->leaf = node->value;
		}
	}
}

static int fill_blocks(struct sl_blocks *blocks, const struct sl_forest *forest, const struct queue *queue, struct sl_error *err)
{
	size_t n = blocks->block_count = queue->count;
	uint32_t next = (uint32_t)forest->tree_count;
	/* One block more than there is: a group of four trees at the end reads past the last one. */
	blocks->lane = sl_alloc_array(n + 4, NODES, err);
	blocks->bar = sl_alloc_array(n + 4, NODES, err);
	blocks->left = sl_alloc_array(n + 4, sizeof *blocks->left, err);
	blocks->chain = sl_alloc_array(n + 4, sizeof *blocks->chain, err);
	blocks->out = sl_alloc_array((n + 4) * NODES, sizeof *blocks->out, err);
	blocks->outputs = sl_alloc_array(forest->tree_count + 4, sizeof *blocks->outputs, err);
	if (!blocks->lane || !blocks->bar || !blocks->left || !blocks->chain || !blocks->out || !blocks->outputs)
		return SL_E_NO_MEMORY;
	for (size_t t = 0; t < forest->tree_count; t++)
		blocks->outputs[t] = forest->trees[t].output;
	for (size_t b = 0; b < n; b++)
		fill_block(blocks, b, &forest->trees[queue->items[b].tree], queue->items[b].node, &next);
	assert(next == n);
	return 0;
}

enum { BLOCKS_MAX = 10000000 }; /* 4 GiB */

int sl_blocks_make(const struct sl_forest *forest, struct sl_blocks **ret, struct sl_error *err)
{
	*ret = NULL;
	if (!__builtin_cpu_supports("avx2"))
		return 0;
	struct sl_blocks *blocks = sl_alloc(sizeof *blocks, err);
	SL_AUTO_FREE struct condition *conditions = sl_alloc_array(forest->node_count + 1, sizeof *conditions, err);
	struct queue queue = {sl_alloc_array(forest->tree_count + 1, sizeof *queue.items, err), 0, forest->tree_count + 1};
	int rc = SL_E_NO_MEMORY;
	if (blocks && conditions && queue.items) {
		size_t count = collect_conditions(forest, conditions);
		blocks->features = forest->features;
		blocks->margins = forest->margins;
		blocks->tree_count = forest->tree_count;
		blocks->ranks = sl_alloc_array(count < LANES_MAX ? count + 1 : LANES_MAX + 1, sizeof *blocks->ranks, err);
		blocks->bars = sl_alloc_array(count * 2 + 1, sizeof *blocks->bars, err);
		bool fits = blocks->ranks && blocks->bars && make_ranks(blocks, conditions, count);
		if (blocks->ranks && blocks->bars)
			rc = fits ? list_blocks(forest, &queue, err) : 0;
		fits = fits && queue.count <= BLOCKS_MAX;
		if (!rc && fits && !(rc = fill_blocks(blocks, forest, &queue, err)))
			*ret = SL_TAKE(blocks);
	}
	sl_free(queue.items);
	sl_blocks_free(blocks);
	return rc;
}

/* ---- predicting ---- */

/* One row's ranks, less 128 because AVX2 compares signed bytes; `low` has 0 where `high` has 255 for a missing value. */
struct lanes {
	int8_t high[LANES_MAX], low[LANES_MAX];
	bool missing;
};

static void rank_row(const struct sl_blocks *blocks, const float *row, struct lanes *ret)
{
	ret->missing = false;
	for (size_t i = 0; i < blocks->rank_count; i++) {
		const struct rank_table *table = &blocks->ranks[i];
		float x = row[table->feature];
		bool missing = isnan(x);
		uint32_t rank = rank_of(table, x);
		ret->missing |= missing;
		for (uint32_t k = 0; k < table->lanes; k++) {
			uint32_t above = rank > k * BARS_PER_LANE ? rank - k * BARS_PER_LANE : 0;
			uint32_t lane = above < BARS_PER_LANE ? above : BARS_PER_LANE;
			ret->high[table->lane + k] = (int8_t)((missing ? 255 : (int)lane) - 128);
			ret->low[table->lane + k] = (int8_t)((missing ? 0 : (int)lane) - 128);
		}
	}
}

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((target("avx2"), always_inline))

/* The lane that each of 32 nodes asks for. Bits 0-3 of `lane` pick the byte (all that a shuffle looks at), bits 4-6 the register;
 * a byte's bit 7 steers blendv, so shifting left by 3 makes bit 4 decide. */
AVX2_INLINE __m256i pick(const __m256i *table, size_t tables, __m256i lane)
{
	__m256i v[TABLES_MAX];
	for (size_t i = 0; i < tables; i++)
		v[i] = _mm256_shuffle_epi8(table[i], lane);
	for (size_t n = tables, bit = 4; n > 1; n /= 2, bit++)
		for (size_t i = 0; i < n / 2; i++)
			v[i] = _mm256_blendv_epi8(v[2 * i], v[2 * i + 1], _mm256_slli_epi16(lane, (int)(7 - bit)));
	return v[0];
}

AVX2_INLINE uint64_t decide(const struct sl_blocks *blocks, size_t block, const __m256i *table, size_t tables)
{
	const __m256i *lane = (const __m256i *)(const void *)(blocks->lane + block * NODES);
	const __m256i *bar = (const __m256i *)(const void *)(blocks->bar + block * NODES);
	__m256i low = pick(table, tables, _mm256_loadu_si256(lane)), high = pick(table, tables, _mm256_loadu_si256(lane + 1));
	uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(low, _mm256_loadu_si256(bar)));
	uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(high, _mm256_loadu_si256(bar + 1)));
	return first | (uint64_t)second << 32;
}

AVX2_INLINE void load_tables(const int8_t *lanes, size_t tables, __m256i *ret)
{
	for (size_t i = 0; i < tables; i++)
		ret[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(lanes + 16 * i)));
}

/* Six steps down for four blocks at once: their decisions to their ways out + NODES. */
AVX2_INLINE __m256i descend(__m256i decisions)
{
	const __m256i one = _mm256_set1_epi64x(1);
	__m256i at = one;
	for (int level = 0; level < LEVELS; level++) {
		__m256i right = _mm256_and_si256(_mm256_srlv_epi64(decisions, at), one);
		at = _mm256_add_epi64(_mm256_add_epi64(at, at), right);
	}
	return at;
}

/* Follows blocks from way out `i` of `block` to the leaf. */
AVX2_INLINE float follow(const struct sl_blocks *blocks, size_t block, size_t i, const __m256i *high, const __m256i *low,
			 bool missing, size_t tables)
{
	while (blocks->chain[block] >> i & 1) {
		block = blocks->out[block * NODES + i].block;
		uint64_t decisions = decide(blocks, block, high, tables);
		if (missing)
			decisions = (decisions & ~blocks->left[block]) |
				    (decide(blocks, block, low, tables) & blocks->left[block]);
		size_t at = 1;
		for (int level = 0; level < LEVELS; level++)
			at = 2 * at + (decisions >> at & 1);
		i = at - NODES;
	}
	return blocks->out[block * NODES + i].leaf;
}

/* Trees [from, to) of one row. All decisions first, then all descents: the decisions are stored as they come and loaded four at a
 * time, which would stall if the stores were not long done. */
AVX2_INLINE void add_trees(const struct sl_blocks *blocks, size_t from, size_t to, const struct lanes *lanes, float *sums,
			   size_t tables, bool chained)
{
	__m256i high[TABLES_MAX], low[TABLES_MAX];
	uint64_t decisions[TREES_AT_ONCE + 4], at[4];
	load_tables(lanes->high, tables, high);
	for (size_t t = from; t < to; t++)
		decisions[t - from] = decide(blocks, t, high, tables);
	if (lanes->missing) {
		load_tables(lanes->low, tables, low);
		for (size_t t = from; t < to; t++)
			decisions[t - from] = (decisions[t - from] & ~blocks->left[t]) |
					      (decide(blocks, t, low, tables) & blocks->left[t]);
	}
	for (size_t t = from; t < to; t += 4) {
		size_t count = to - t < 4 ? to - t : 4;
		for (size_t k = count; k < 4; k++)
			decisions[t - from + k] = 0;
		_mm256_storeu_si256((__m256i *)(void *)at,
				    descend(_mm256_loadu_si256((const __m256i *)(const void *)(decisions + (t - from)))));
		for (size_t k = 0; k < count; k++) {
			size_t i = at[k] - NODES;
			float leaf = chained ? follow(blocks, t + k, i, high, low, lanes->missing, tables)
					     : blocks->out[(t + k) * NODES + i].leaf;
			sums[blocks->outputs[t + k]] += leaf;
		}
	}
}

AVX2_INLINE void add_rows(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums, size_t tables,
			  bool chained)
{
	struct lanes lanes[ROWS_AT_ONCE];
	for (size_t row = 0; row < row_count; row += ROWS_AT_ONCE) {
		size_t count = row_count - row < ROWS_AT_ONCE ? row_count - row : ROWS_AT_ONCE;
		for (size_t i = 0; i < count; i++)
			rank_row(blocks, rows + (row + i) * blocks->features, &lanes[i]);
		for (size_t t = 0; t < blocks->tree_count; t += TREES_AT_ONCE) {
			size_t to = blocks->tree_count - t < TREES_AT_ONCE ? blocks->tree_count : t + TREES_AT_ONCE;
			for (size_t i = 0; i < count; i++)
				add_trees(blocks, t, to, &lanes[i], sums + (row + i) * blocks->margins, tables, chained);
		}
	}
}

/* One body per register count and kind, so that the loops over tables unroll and the chain test is not there when no tree needs
 * it. */
#define VARIANT(tables, chained)                                                                                                 \
	AVX2 static void add_##tables##_##chained(const struct sl_blocks *blocks, const float *rows, size_t row_count,           \
						  float *sums)                                                                   \
	{                                                                                                                        \
		add_rows(blocks, rows, row_count, sums, tables, chained);                                                        \
	}
VARIANT(1, 0)
VARIANT(2, 0) VARIANT(4, 0) VARIANT(8, 0) VARIANT(1, 1) VARIANT(2, 1) VARIANT(4, 1) VARIANT(8, 1)

	void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums)
{
	switch (blocks->tables * 2 + blocks->chained) {
	case 2: add_1_0(blocks, rows, row_count, sums); break;
	case 3: add_1_1(blocks, rows, row_count, sums); break;
	case 4: add_2_0(blocks, rows, row_count, sums); break;
	case 5: add_2_1(blocks, rows, row_count, sums); break;
	case 8: add_4_0(blocks, rows, row_count, sums); break;
	case 9: add_4_1(blocks, rows, row_count, sums); break;
	case 16: add_8_0(blocks, rows, row_count, sums); break;
	default: add_8_1(blocks, rows, row_count, sums); break;
	}
}

#else /* other machines walk */

int sl_blocks_make(const struct sl_forest *forest, struct sl_blocks **ret, struct sl_error *err)
{
	(void)forest;
	(void)err;
	*ret = NULL;
	return 0;
}
void sl_blocks_free(struct sl_blocks *blocks) { assert(!blocks); }
void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums)
{
	(void)blocks;
	(void)rows;
	(void)row_count;
	(void)sums;
}

#endif

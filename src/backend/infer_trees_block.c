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
	BUCKET = 16,
	TABLES_MAX = LANES_MAX / 16,
	BARS_PER_LANE = 255,
	ROWS_AT_ONCE = 32,  /* their lanes and the block's trees stay in the first-level cache */
	TREES_AT_ONCE = 32, /* 32 x 384 bytes */
};

/* A feature that the model asks for: its conditions in ascending order, in buckets of 16, and every bucket's first but the first
 * one's. Both are padded with NaN, which is never <= a value. Two comparisons of 8 find the bucket among 256 conditions and two
 * more the place in it, without a branch that a row could mispredict. */
struct rank_table {
	uint32_t feature, lane, lanes;
	uint32_t count, pivot_count; /* pivots: a multiple of 8 */
	const float *bars, *pivots;
};

struct sl_blocks {
	const struct sl_forest_tree *trees; /* the forest's */
	size_t features, margins, tree_count, tables;
	bool deep; /* some tree goes on below its block */
	struct rank_table *ranks;
	size_t rank_count;
	float *bars; /* of all rank tables */
	/* Per tree: */
	uint8_t *lane;	  /* NODES each: register number x 16 + byte */
	int8_t *bar;	  /* NODES each: j - 128 */
	uint64_t *left;	  /* bit i: node i sends a missing value left */
	uint64_t *deeper; /* bit i: way out i is a node of the tree, where the walk goes on */
	union way_out {
		float leaf;
		uint32_t node;
	} * out; /* NODES each */
};

void sl_blocks_free(struct sl_blocks *blocks)
{
	if (!blocks)
		return;
	void *parts[] = {blocks->ranks, blocks->bars,	blocks->lane, blocks->bar,
			 blocks->left,	blocks->deeper, blocks->out,  blocks};
	for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++)
		sl_free(parts[i]);
}

static void blocks_freep(struct sl_blocks **blocks) { sl_blocks_free(*blocks); }

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
			ret[n++] = (struct condition){SL_FOREST_FEATURE(&forest->nodes[i]), forest->nodes[i].value};
	qsort(ret, n, sizeof *ret, compare_conditions);
	for (size_t i = 0; i < n; i++)
		if (!unique || compare_conditions(&ret[unique - 1], &ret[i]) != 0)
			ret[unique++] = ret[i];
	return unique;
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Floats for one feature's bars and pivots. */
static size_t rank_floats(size_t count) { return round_up(count, BUCKET) + round_up((count - 1) / BUCKET, 8); }

static void fill_ranks(struct rank_table *table, const struct condition *conditions, float *bars)
{
	size_t count = table->count, padded = round_up(count, BUCKET);
	float *pivots = bars + padded;
	for (size_t k = 0; k < padded; k++)
		bars[k] = k < count ? conditions[k].bar : NAN;
	for (size_t k = 0; k < table->pivot_count; k++)
		pivots[k] = (k + 1) * BUCKET < count ? bars[(k + 1) * BUCKET] : NAN;
	table->bars = bars;
	table->pivots = pivots;
}

/* False when the lanes do not suffice. `blocks->bars` has room. */
static bool make_ranks(struct sl_blocks *blocks, const struct condition *conditions, size_t count)
{
	size_t lane = 0;
	float *bars = blocks->bars;
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i; end < count && conditions[end].feature == conditions[i].feature;)
			end++;
		size_t n = end - i, lanes = (n + BARS_PER_LANE - 1) / BARS_PER_LANE;
		if (lane + lanes > LANES_MAX)
			return false;
		struct rank_table *table = &blocks->ranks[blocks->rank_count++];
		*table = (struct rank_table){.feature = conditions[i].feature,
					     .lane = (uint32_t)lane,
					     .lanes = (uint32_t)lanes,
					     .count = (uint32_t)n,
					     .pivot_count = (uint32_t)round_up((n - 1) / BUCKET, 8)};
		fill_ranks(table, conditions + i, bars);
		bars += rank_floats(n);
		lane += lanes;
	}
	blocks->tables = lane <= 16 ? 1 : lane <= 32 ? 2 : lane <= 64 ? 4 : 8;
	return true;
}

/* The place of a condition that the table has. */
static uint32_t place_of(const struct rank_table *table, float bar)
{
	uint32_t low = 0, high = table->count;
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;
		if (table->bars[middle] <= bar)
			low = middle;
		else
			high = middle;
	}
	return low;
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

/* The node at each place of the tree's first LEVELS levels and at each way out. A leaf higher up stands at all places below it.
 */
static void place_nodes(const struct sl_forest_tree *tree, uint32_t ret_at[2 * NODES])
{
	ret_at[1] = 0;
	for (uint32_t i = 1; i < NODES; i++) {
		const struct sl_forest_node *node = &tree->nodes[ret_at[i]];
		ret_at[2 * i] = node->left ? node->left : ret_at[i];
		ret_at[2 * i + 1] = node->left ? node->left + 1 : ret_at[i];
	}
}

static void fill_node(struct sl_blocks *blocks, size_t block, uint32_t i, const struct sl_forest_node *node)
{
	size_t at = block * NODES + i;
	if (!node->left) { /* both ways lead to the same leaf */
		blocks->lane[at] = 0;
		blocks->bar[at] = 127;
		return;
	}
	const struct rank_table *table = find_ranks(blocks, SL_FOREST_FEATURE(node));
	uint32_t j = place_of(table, node->value);
	blocks->lane[at] = (uint8_t)(table->lane + j / BARS_PER_LANE);
	blocks->bar[at] = (int8_t)((int)(j % BARS_PER_LANE) - 128);
	if (node->feature & SL_FOREST_MISSING_LEFT)
		blocks->left[block] |= 1ull << i;
}

static void fill_block(struct sl_blocks *blocks, size_t block, const struct sl_forest_tree *tree)
{
	uint32_t at[2 * NODES];
	place_nodes(tree, at);
	for (uint32_t i = 1; i < NODES; i++)
		fill_node(blocks, block, i, &tree->nodes[at[i]]);
	for (uint32_t i = 0; i < NODES; i++) {
		const struct sl_forest_node *node = &tree->nodes[at[NODES + i]];
		union way_out *out = &blocks->out[block * NODES + i];
		if (node->left) {
			out->node = at[NODES + i];
			blocks->deeper[block] |= 1ull << i;
			blocks->deep = true;
		} else {
			out->leaf = node->value;
		}
	}
}

static int fill_blocks(struct sl_blocks *blocks, struct sl_error *err)
{
	/* A group of four trees at the end may read past the last one. */
	size_t count = blocks->tree_count, room = count + 4;
	blocks->lane = sl_alloc_array(room, NODES, err);
	blocks->bar = sl_alloc_array(room, NODES, err);
	blocks->left = sl_alloc_array(room, sizeof *blocks->left, err);
	blocks->deeper = sl_alloc_array(room, sizeof *blocks->deeper, err);
	blocks->out = sl_alloc_array(room * NODES, sizeof *blocks->out, err);
	if (!blocks->lane || !blocks->bar || !blocks->left || !blocks->deeper || !blocks->out)
		return SL_E_NO_MEMORY;
	for (size_t t = 0; t < count; t++)
		fill_block(blocks, t, &blocks->trees[t]);
	return 0;
}

int sl_blocks_make(const struct sl_forest *forest, struct sl_blocks **ret, struct sl_error *err)
{
	*ret = NULL;
	if (!__builtin_cpu_supports("avx2") || forest->sets)
		return 0;
	SL_CLEANUP(blocks_freep) struct sl_blocks *blocks = sl_alloc(sizeof *blocks, err);
	SL_AUTO_FREE struct condition *conditions = sl_alloc_array(forest->node_count + 1, sizeof *conditions, err);
	if (!blocks || !conditions)
		return SL_E_NO_MEMORY;
	size_t count = collect_conditions(forest, conditions);
	blocks->features = forest->features;
	blocks->margins = forest->margins;
	blocks->trees = forest->trees;
	blocks->tree_count = forest->tree_count;
	blocks->ranks = sl_alloc_array(LANES_MAX + 1, sizeof *blocks->ranks, err);
	blocks->bars = sl_alloc_array(count + count / BUCKET + (LANES_MAX + 1) * 2 * BUCKET, sizeof *blocks->bars, err);
	if (!blocks->ranks || !blocks->bars)
		return SL_E_NO_MEMORY;
	if (!make_ranks(blocks, conditions, count))
		return 0;
	int rc = fill_blocks(blocks, err);
	if (!rc)
		*ret = SL_TAKE(blocks);
	return rc;
}

size_t sl_blocks_bytes(const struct sl_blocks *blocks)
{
	if (!blocks)
		return 0;
	size_t per_table = NODES * (sizeof *blocks->lane + sizeof *blocks->bar + sizeof *blocks->out) + sizeof *blocks->left +
			   sizeof *blocks->deeper;
	size_t bars = 0;
	for (size_t i = 0; i < blocks->rank_count; i++)
		bars += blocks->ranks[i].count + blocks->ranks[i].pivot_count;
	return blocks->tables * per_table + bars * sizeof *blocks->bars + (LANES_MAX + 1) * sizeof *blocks->ranks;
}

/* ---- predicting ---- */

/* One row's ranks, less 128 because AVX2 compares signed bytes; `low` has 0 where `high` has 255 for a missing value. */
struct lanes {
	int8_t high[LANES_MAX], low[LANES_MAX];
	bool missing;
};

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((target("avx2"), always_inline))

/* How many of 16 ascending numbers are <= x. */
AVX2_INLINE uint32_t count_16(const float *numbers, __m256 x)
{
	__m256 low = _mm256_cmp_ps(_mm256_loadu_ps(numbers), x, _CMP_LE_OQ);
	__m256 high = _mm256_cmp_ps(_mm256_loadu_ps(numbers + 8), x, _CMP_LE_OQ);
	uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi32(_mm256_castps_si256(low), _mm256_castps_si256(high)));
	return (uint32_t)__builtin_popcount(bits) / 2; /* two bits each */
}

/* How many of the table's conditions are <= x. */
AVX2_INLINE uint32_t rank_of(const struct rank_table *table, float x)
{
	__m256 all = _mm256_set1_ps(x);
	uint32_t bucket = 0;
	for (uint32_t k = 0; k < table->pivot_count; k += 8) {
		__m256 below = _mm256_cmp_ps(_mm256_loadu_ps(table->pivots + k), all, _CMP_LE_OQ);
		bucket += (uint32_t)__builtin_popcount((uint32_t)_mm256_movemask_ps(below));
	}
	return bucket * BUCKET + count_16(table->bars + (size_t)bucket * BUCKET, all);
}

static void rank_lanes(const struct rank_table *table, uint32_t rank, bool missing, struct lanes *ret)
{
	for (uint32_t k = 0; k < table->lanes; k++) {
		uint32_t above = rank > k * BARS_PER_LANE ? rank - k * BARS_PER_LANE : 0;
		uint32_t lane = above < BARS_PER_LANE ? above : BARS_PER_LANE;
		ret->high[table->lane + k] = (int8_t)((missing ? 255 : (int)lane) - 128);
		ret->low[table->lane + k] = (int8_t)((missing ? 0 : (int)lane) - 128);
	}
}

AVX2 static void rank_row(const struct sl_blocks *blocks, const float *row, struct lanes *ret)
{
	ret->missing = false;
	for (size_t i = 0; i < blocks->rank_count; i++) {
		const struct rank_table *table = &blocks->ranks[i];
		float x = row[table->feature];
		bool missing = isnan(x);
		uint32_t rank = rank_of(table, x);
		ret->missing |= missing;
		if (table->lanes > 1) {
			rank_lanes(table, rank, missing, ret);
			continue;
		}
		ret->high[table->lane] = (int8_t)((missing ? 255 : (int)rank) - 128);
		ret->low[table->lane] = (int8_t)((missing ? 0 : (int)rank) - 128);
	}
}

/* The lane that each of 32 nodes asks for. Bits 0-3 of `lane` pick the byte (all that a shuffle looks at), bits 4-6 the register;
 * a byte's bit 7 steers blendv, so shifting left by 3 makes bit 4 decide. */
AVX2_INLINE __m256i pick(const __m256i *table, size_t tables, __m256i lane)
{
	__m256i v[TABLES_MAX];
#pragma GCC unroll 8
	for (size_t i = 0; i < tables; i++)
		v[i] = _mm256_shuffle_epi8(table[i], lane);
#pragma GCC unroll 3
	for (size_t n = tables, bit = 4; n > 1; n /= 2, bit++)
#pragma GCC unroll 4
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
#pragma GCC unroll 8
	for (size_t i = 0; i < tables; i++)
		ret[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(lanes + 16 * i)));
}

/* Six steps down for four blocks at once: their decisions to their ways out + NODES. */
AVX2_INLINE __m256i descend(__m256i decisions)
{
	const __m256i one = _mm256_set1_epi64x(1);
	__m256i at = one;
#pragma GCC unroll 6
	for (int level = 0; level < LEVELS; level++) {
		__m256i right = _mm256_and_si256(_mm256_srlv_epi64(decisions, at), one);
		at = _mm256_add_epi64(_mm256_add_epi64(at, at), right);
	}
	return at;
}

/* The decisions of trees [from, to) about one row. */
AVX2_INLINE void decide_trees(const struct sl_blocks *blocks, size_t from, size_t to, const struct lanes *lanes,
			      const __m256i *high, const __m256i *low, size_t tables, uint64_t *ret)
{
	for (size_t t = from; t < to; t++)
		ret[t - from] = decide(blocks, t, high, tables);
	if (!lanes->missing)
		return;
	for (size_t t = from; t < to; t++)
		ret[t - from] = (ret[t - from] & ~blocks->left[t]) | (decide(blocks, t, low, tables) & blocks->left[t]);
}

/* What an instance of the loops below is made for; constants, so that tests of it vanish. */
struct shape {
	size_t tables;
	bool deep, single; /* single: one output, so that its sum stays in a register: through memory each addition waits for
				 the last */
};

/* All decisions first, then all descents: decisions are stored one by one and loaded four at a time, which would stall if the
 * stores were not long done. */
AVX2_INLINE void add_trees(const struct sl_blocks *blocks, size_t from, size_t to, const struct lanes *lanes, const float *row,
			   float *sums, struct shape shape)
{
	__m256i high[TABLES_MAX], low[TABLES_MAX];
	uint64_t decisions[TREES_AT_ONCE + 4], at[TREES_AT_ONCE + 4];
	float sum = sums[0];
	load_tables(lanes->high, shape.tables, high);
	load_tables(lanes->low, shape.tables, low);
	decide_trees(blocks, from, to, lanes, high, low, shape.tables, decisions);
	for (size_t t = to; t % 4; t++)
		decisions[t - from] = 0;
	for (size_t i = 0; i < to - from; i += 4) {
		__m256i four = _mm256_loadu_si256((const __m256i *)(const void *)(decisions + i));
		_mm256_storeu_si256((__m256i *)(void *)(at + i), descend(four));
	}
	for (size_t t = from; t < to; t++) {
		size_t i = at[t - from] - NODES;
		const union way_out *out = &blocks->out[t * NODES + i];
		float leaf = out->leaf;
		if (shape.deep && blocks->deeper[t] >> i & 1)
			leaf = sl_forest_walk(&blocks->trees[t], out->node, row);
		if (shape.single)
			sum += leaf;
		else
			sums[blocks->trees[t].output] += leaf;
	}
	if (shape.single)
		sums[0] = sum;
}

AVX2_INLINE void add_rows(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums, struct shape shape)
{
	struct lanes lanes[ROWS_AT_ONCE];
	for (size_t row = 0; row < row_count; row += ROWS_AT_ONCE) {
		size_t count = row_count - row < ROWS_AT_ONCE ? row_count - row : ROWS_AT_ONCE;
		for (size_t i = 0; i < count; i++)
			rank_row(blocks, rows + (row + i) * blocks->features, &lanes[i]);
		for (size_t t = 0; t < blocks->tree_count; t += TREES_AT_ONCE) {
			size_t to = blocks->tree_count - t < TREES_AT_ONCE ? blocks->tree_count : t + TREES_AT_ONCE;
			for (size_t i = 0; i < count; i++)
				add_trees(blocks, t, to, &lanes[i], rows + (row + i) * blocks->features,
					  sums + (row + i) * blocks->margins, shape);
		}
	}
}

#define INSTANCE(tables, deep, single)                                                                                           \
	AVX2 static void add_##tables##_##deep##_##single(const struct sl_blocks *blocks, const float *rows, size_t row_count,   \
							  float *sums)                                                           \
	{                                                                                                                        \
		add_rows(blocks, rows, row_count, sums, (struct shape){tables, deep, single});                                   \
	}
#define INSTANCES(tables) INSTANCE(tables, 0, 0) INSTANCE(tables, 0, 1) INSTANCE(tables, 1, 0) INSTANCE(tables, 1, 1)
INSTANCES(1)
INSTANCES(2)
INSTANCES(4)
INSTANCES(8)

void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums)
{
	typedef void add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums);
#define ROW(tables)                                                                                                              \
	{                                                                                                                        \
		{add_##tables##_0_0, add_##tables##_0_1}, { add_##tables##_1_0, add_##tables##_1_1 }                             \
	}
	static add *const by_shape[4][2][2] = {ROW(1), ROW(2), ROW(4), ROW(8)};
	by_shape[__builtin_ctzl(blocks->tables)][blocks->deep][blocks->margins == 1](blocks, rows, row_count, sums);
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
size_t sl_blocks_bytes(const struct sl_blocks *blocks)
{
	(void)blocks;
	return 0;
}
void sl_blocks_add(const struct sl_blocks *blocks, const float *rows, size_t row_count, float *sums)
{
	(void)blocks;
	(void)rows;
	(void)row_count;
	(void)sums;
}

#endif

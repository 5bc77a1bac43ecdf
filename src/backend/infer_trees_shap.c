#include "backend/infer_trees_shap.h"

#include <string.h>

#include "base/mem.h"
#include "port/infer.h"

enum {
	BLOCK = 256,		      /* rows whose decisions are kept at once */
	GROUP = 32,		      /* rows of one step of the loops that compilers turn into vector code */
	CONDITIONS_MAX = 1 << 24,     /* of a tree: lengths of all ways to its leaves */
	TABLE_PLAYERS_MAX = 12,	      /* more: 4096 sets and up, each computed when it is needed */
	TABLE_BYTES_MAX = 32 << 20,   /* of a tree's tables; leaves that come later go without */
	TABLE_ROWS_MIN = 16,	      /* fewer rows meet few sets twice */
	SUMS_BYTES_MAX = 64 << 20,    /* of a chunk of rows; at least one block */
};

/* A feature on the way to a leaf. Conditions: node << 1 | the way goes right. */
struct player {
	uint32_t feature;
	uint32_t first_condition, condition_count;
	double share; /* of the rows at its nodes that went this way: the product over them */
};

struct leaf {
	double value;
	uint32_t first_player, player_count;
	uint32_t first_seen, seen_count; /* of `game.seen` */
	float *table;			 /* player x set; NULL: none */
	unsigned char *filled;		 /* by set */
};

/* A set that background rows have at a leaf, and the share of the rows that have it. */
struct seen {
	uint64_t set;
	double share;
};

/* One tree, laid out. */
struct game {
	const struct sl_forest_tree *tree;
	struct leaf *leaves;
	struct player *players;
	uint32_t *conditions;
	struct seen *seen;
	unsigned char *tables;
	size_t leaf_count, player_count, condition_count, seen_count, seen_room;
};

struct work {
	const struct sl_forest *forest;
	const float *background;
	size_t background_count;
	double weight[SL_SHAP_PLAYERS_MAX + 1][SL_SHAP_PLAYERS_MAX]; /* [n][k] = k! (n - 1 - k)! / n! */
	unsigned char *right; /* node x BLOCK: all ones where the row goes right */
	double *sums;	      /* block x margin x feature x BLOCK */
	double *expected;     /* by margin */
	size_t block_values;  /* margins x features x BLOCK */
};

/* ---- a tree's leaves, players and conditions ---- */

static void done_game(struct game *game)
{
	sl_free(game->leaves);
	sl_free(game->players);
	sl_free(game->conditions);
	sl_free(game->seen);
	sl_free(game->tables);
	*game = (struct game){0};
}

/* `parent` and `depth` by node; the number of leaves and the lengths of all ways to them. */
static void measure(const struct sl_forest_tree *tree, uint32_t *parent, uint32_t *depth, size_t *ret_leaves, size_t *ret_lengths)
{
	*ret_leaves = *ret_lengths = 0;
	for (uint32_t k = 0; k < tree->node_count; k++) {
		uint32_t left = tree->nodes[k].left;
		if (left) {
			parent[left] = parent[left + 1] = k;
			depth[left] = depth[left + 1] = depth[k] + 1;
		} else {
			*ret_leaves += 1;
			*ret_lengths += depth[k];
		}
	}
}

/* The share of the rows at `parent` that went to `node`. A split that no row came by sends halves. */
static int share_of(const struct sl_forest *forest, const struct sl_forest_tree *tree, uint32_t parent, uint32_t node, double *ret,
		    struct sl_error *err)
{
	const float *cover = forest->cover + (tree->nodes - forest->nodes);
	double all = (double)cover[parent], part = (double)cover[node];
	const double rounding = 1 + 1e-3; /* covers are sums in float32 */
	if (!(all >= 0 && part >= 0 && part <= all * rounding))
		return sl_fail(err, SL_E_INVALID, "tree %zu, node %u: its cover %g is no share of its parent's %g",
			       (size_t)(tree - forest->trees), node, part, all);
	*ret = all > 0 ? part / all : 0.5;
	return 0;
}

static int find_player(struct game *game, const struct leaf *leaf, size_t tree, uint32_t feature, struct player **ret, struct sl_error *err)
{
	struct player *players = game->players + leaf->first_player;
	for (uint32_t i = 0; i < leaf->player_count; i++)
		if (players[i].feature == feature) {
			*ret = &players[i];
			return 0;
		}
	if (leaf->player_count == SL_SHAP_PLAYERS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "tree %zu: more than %d features on the way to one leaf", tree, SL_SHAP_PLAYERS_MAX);
	*ret = &players[leaf->player_count];
	**ret = (struct player){.feature = feature, .share = 1};
	return 0;
}

/* Two climbs from the leaf to the root: the first finds players and counts conditions, the second puts conditions in place. */
static int lay_leaf(const struct work *work, struct game *game, const uint32_t *parent, uint32_t node, struct sl_error *err)
{
	const struct sl_forest_tree *tree = game->tree;
	struct leaf *leaf = &game->leaves[game->leaf_count++];
	struct player *player;
	*leaf = (struct leaf){.value = (double)tree->nodes[node].value, .first_player = (uint32_t)game->player_count};
	for (uint32_t at = node; at; at = parent[at]) {
		uint32_t feature = SL_FOREST_FEATURE(&tree->nodes[parent[at]]);
		double share = 1;
		int rc = find_player(game, leaf, (size_t)(tree - work->forest->trees), feature, &player, err);
		if (!rc && !work->background_count)
			rc = share_of(work->forest, tree, parent[at], at, &share, err);
		if (rc)
			return rc;
		leaf->player_count += player == game->players + game->player_count + leaf->player_count;
		player->condition_count++;
		player->share *= share;
	}
	for (uint32_t i = 0; i < leaf->player_count; i++) {
		player = &game->players[game->player_count + i];
		player->first_condition = (uint32_t)game->condition_count;
		game->condition_count += player->condition_count;
		player->condition_count = 0;
	}
	for (uint32_t at = node; at; at = parent[at]) {
		uint32_t up = parent[at], feature = SL_FOREST_FEATURE(&tree->nodes[up]);
		if (find_player(game, leaf, 0, feature, &player, NULL) == 0)
			game->conditions[player->first_condition + player->condition_count++] = up << 1 | (at != tree->nodes[up].left);
	}
	game->player_count += leaf->player_count;
	return 0;
}

static int lay_game(const struct work *work, size_t tree_index, struct game *game, struct sl_error *err)
{
	const struct sl_forest_tree *tree = &work->forest->trees[tree_index];
	size_t leaves, lengths;
	SL_AUTO_FREE uint32_t *parent = sl_alloc_array(tree->node_count, sizeof *parent, err);
	SL_AUTO_FREE uint32_t *depth = sl_alloc_array(tree->node_count, sizeof *depth, err);
	if (!parent || !depth)
		return SL_E_NO_MEMORY;
	measure(tree, parent, depth, &leaves, &lengths);
	if (lengths > CONDITIONS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "tree %zu: the ways to its leaves have %zu conditions, more than %d", tree_index,
			       lengths, CONDITIONS_MAX);
	game->tree = tree;
	game->leaves = sl_alloc_array(leaves, sizeof *game->leaves, err);
	game->players = sl_alloc_array(lengths + 1, sizeof *game->players, err);
	game->conditions = sl_alloc_array(lengths + 1, sizeof *game->conditions, err);
	int rc = game->leaves && game->players && game->conditions ? 0 : SL_E_NO_MEMORY;
	for (uint32_t k = 0; !rc && k < tree->node_count; k++)
		if (!tree->nodes[k].left)
			rc = lay_leaf(work, game, parent, k, err);
	return rc;
}

/* Tables for the leaves that may have one, in the order of the leaves, within TABLE_BYTES_MAX. */
static int lay_tables(struct game *game, struct sl_error *err)
{
	for (int placing = 0; placing < 2; placing++) {
		size_t bytes = 0;
		for (size_t l = 0; l < game->leaf_count; l++) {
			struct leaf *at = &game->leaves[l];
			size_t sets = (size_t)1 << at->player_count;
			if (at->player_count > TABLE_PLAYERS_MAX)
				continue;
			size_t floats = sets * at->player_count * sizeof *at->table, all = (floats + sets + 63) & ~(size_t)63;
			if (bytes + all > TABLE_BYTES_MAX)
				break;
			if (placing) {
				at->table = (float *)(void *)(game->tables + bytes);
				at->filled = game->tables + bytes + floats;
			}
			bytes += all;
		}
		if (!placing && !(game->tables = sl_alloc(bytes + 1, err)))
			return SL_E_NO_MEMORY;
	}
	return 0;
}

/* ---- decisions and sets ---- */

static void decide_in_sets(const struct sl_forest *forest, const struct sl_forest_tree *tree, const struct sl_forest_node *node,
			   const float *column, size_t row_count, unsigned char *ret)
{
	for (size_t row = 0; row < row_count; row++)
		ret[row] = sl_forest_right(tree, node, column[row * forest->features]) ? 0xff : 0;
}

/* A missing value compares false, which is the left side of >= and the right side of !(<). */
static void decide(const struct sl_forest *forest, const struct sl_forest_tree *tree, const float *rows, size_t row_count,
		   unsigned char *right)
{
	for (uint32_t k = 0; k < tree->node_count; k++) {
		const struct sl_forest_node *node = &tree->nodes[k];
		const float *column = rows + SL_FOREST_FEATURE(node);
		if (!node->left)
			continue;
		if (node->feature & SL_FOREST_CATEGORIES) {
			decide_in_sets(forest, tree, node, column, row_count, right + (size_t)k * BLOCK);
			continue;
		}
		for (size_t row = 0; row < row_count; row++) {
			float x = column[row * forest->features];
			bool goes = node->feature & SL_FOREST_MISSING_LEFT ? x >= node->value : !(x < node->value);
			right[(size_t)k * BLOCK + row] = goes ? 0xff : 0;
		}
	}
}

/* Which rows of the group satisfy all the player's conditions: all ones or zero. */
static inline void satisfied(const struct game *game, const struct player *player, const unsigned char *right, unsigned char *ret)
{
	memset(ret, 0xff, GROUP);
	for (uint32_t c = 0; c < player->condition_count; c++) {
		uint32_t condition = game->conditions[player->first_condition + c];
		const unsigned char *at = right + (size_t)(condition >> 1) * BLOCK;
		unsigned char flip = condition & 1 ? 0 : 0xff;
		for (size_t i = 0; i < GROUP; i++)
			ret[i] &= at[i] ^ flip;
	}
}

/* The set of every row of the block at the leaf, in whole groups: bit i for its i-th player. */
#define FIND_SETS(name, type)                                                                                                    \
	static void name(const struct game *game, const struct leaf *leaf, const unsigned char *right, size_t row_count, type *ret) \
	{                                                                                                                        \
		for (size_t from = 0; from < row_count; from += GROUP) {                                                         \
			type *sets = ret + from;                                                                                 \
			memset(sets, 0, GROUP * sizeof *sets);                                                                   \
			for (uint32_t p = 0; p < leaf->player_count; p++) {                                                      \
				unsigned char all[GROUP];                                                                        \
				satisfied(game, &game->players[leaf->first_player + p], right + from, all);                      \
				for (size_t i = 0; i < GROUP; i++)                                                               \
					sets[i] |= (type)((type)(all[i] & 1) << p);                                              \
			}                                                                                                        \
		}                                                                                                                \
	}
FIND_SETS(find_sets_16, uint16_t)
FIND_SETS(find_sets_64, uint64_t)

/* ---- what the players of a leaf get ---- */

/* prod (share_j + y) over the players in `set` as coefficients by power of y; *ret_out: the product of the others' shares. */
static uint32_t expand(const struct player *players, uint32_t count, uint64_t set, double *coefficients, double *ret_out)
{
	uint32_t in = 0;
	coefficients[0] = *ret_out = 1;
	for (uint32_t p = 0; p < count; p++) {
		double share = players[p].share;
		if (!(set >> p & 1)) {
			*ret_out *= share;
			continue;
		}
		coefficients[++in] = 0;
		for (uint32_t k = in; k; k--)
			coefficients[k] = coefficients[k - 1] + share * coefficients[k];
		coefficients[0] *= share;
	}
	return in;
}

/* Path-dependent. Players out of the set all get the same: their share meets the others' in one product. For one in the set its
 * factor is divided out again, from the highest power down, where errors shrink because shares are at most 1. */
static void fill_by_cover(const struct work *work, const struct game *game, const struct leaf *leaf, uint64_t set, double *ret)
{
	const struct player *players = game->players + leaf->first_player;
	const double *weight = work->weight[leaf->player_count];
	double coefficients[SL_SHAP_PLAYERS_MAX + 1], out, sum = 0;
	uint32_t in = expand(players, leaf->player_count, set, coefficients, &out);
	for (uint32_t k = 0; k <= in && k < leaf->player_count; k++)
		sum += coefficients[k] * weight[k];
	for (uint32_t p = 0; p < leaf->player_count; p++) {
		double share = players[p].share, rest = 0, quotient = 0;
		if (!(set >> p & 1)) {
			ret[p] = -leaf->value * out * sum;
			continue;
		}
		for (uint32_t k = in; k; k--) {
			quotient = coefficients[k] - share * quotient;
			rest += quotient * weight[k - 1];
		}
		ret[p] = leaf->value * (1 - share) * out * rest;
	}
}

/* Interventional: `in` has the row's own players, `out` the background row's. */
static void fill_by_background(const struct work *work, const struct game *game, const struct leaf *leaf, uint64_t set, double *ret)
{
	uint64_t all = leaf->player_count == 64 ? UINT64_MAX : ((uint64_t)1 << leaf->player_count) - 1;
	memset(ret, 0, leaf->player_count * sizeof *ret);
	for (uint32_t s = 0; s < leaf->seen_count; s++) {
		const struct seen *seen = &game->seen[leaf->first_seen + s];
		uint64_t in = set & ~seen->set, out = seen->set & ~set;
		if ((set | seen->set) != all)
			continue;
		int ins = __builtin_popcountll(in), outs = __builtin_popcountll(out);
		double part = leaf->value * seen->share;
		double each_in = ins ? part * work->weight[ins + outs][ins - 1] : 0;
		double each_out = outs ? part * work->weight[ins + outs][ins] : 0;
		for (uint64_t bits = in; bits; bits &= bits - 1)
			ret[__builtin_ctzll(bits)] += each_in;
		for (uint64_t bits = out; bits; bits &= bits - 1)
			ret[__builtin_ctzll(bits)] -= each_out;
	}
}

static void fill(const struct work *work, const struct game *game, const struct leaf *leaf, uint64_t set, double *ret)
{
	if (work->background_count)
		fill_by_background(work, game, leaf, set, ret);
	else
		fill_by_cover(work, game, leaf, set, ret);
}

/* ---- the background's sets ---- */

static int add_seen(struct game *game, struct leaf *leaf, uint64_t set, double share, struct sl_error *err)
{
	for (uint32_t s = 0; s < leaf->seen_count; s++)
		if (game->seen[leaf->first_seen + s].set == set) {
			game->seen[leaf->first_seen + s].share += share;
			return 0;
		}
	if (game->seen_count == game->seen_room) {
		size_t room = game->seen_room * 2 + 1024;
		struct seen *grown = sl_realloc(game->seen, room * sizeof *grown, err);
		if (!grown)
			return SL_E_NO_MEMORY;
		game->seen = grown;
		game->seen_room = room;
	}
	game->seen[game->seen_count++] = (struct seen){set, share};
	leaf->seen_count++;
	return 0;
}

/* Leaf by leaf, so that a leaf's sets stand together. Also adds to the expected margin. */
static int see_background(const struct work *work, struct game *game, double *expected, struct sl_error *err)
{
	size_t features = work->forest->features;
	double share = 1 / (double)work->background_count;
	uint64_t sets[BLOCK];
	int rc = 0;
	for (size_t l = 0; l < game->leaf_count; l++)
		game->leaves[l].first_seen = UINT32_MAX;
	SL_AUTO_FREE unsigned char *right = sl_alloc_array(game->tree->node_count,
							   (work->background_count + BLOCK - 1) / BLOCK * BLOCK, err);
	if (!right)
		return SL_E_NO_MEMORY;
	for (size_t from = 0, block = 0; from < work->background_count; from += BLOCK, block++) {
		size_t count = work->background_count - from < BLOCK ? work->background_count - from : BLOCK;
		decide(work->forest, game->tree, work->background + from * features, count,
		       right + block * game->tree->node_count * BLOCK);
	}
	for (size_t l = 0; l < game->leaf_count && !rc; l++) {
		struct leaf *leaf = &game->leaves[l];
		uint64_t all = leaf->player_count == 64 ? UINT64_MAX : ((uint64_t)1 << leaf->player_count) - 1;
		leaf->first_seen = (uint32_t)game->seen_count;
		for (size_t from = 0, block = 0; from < work->background_count; from += BLOCK, block++) {
			size_t count = work->background_count - from < BLOCK ? work->background_count - from : BLOCK;
			find_sets_64(game, leaf, right + block * game->tree->node_count * BLOCK, count, sets);
			for (size_t row = 0; row < count && !rc; row++) {
				*expected += sets[row] == all ? leaf->value * share : 0;
				rc = add_seen(game, leaf, sets[row], share, err);
			}
		}
	}
	return rc;
}

/* ---- rows ---- */

static void play_table(const struct work *work, const struct game *game, const struct leaf *leaf, size_t row_count, double *sums)
{
	uint16_t sets[BLOCK];
	size_t set_count = (size_t)1 << leaf->player_count;
	find_sets_16(game, leaf, work->right, row_count, sets);
	for (size_t row = 0; row < row_count; row++) {
		double values[TABLE_PLAYERS_MAX];
		if (leaf->filled[sets[row]])
			continue;
		fill(work, game, leaf, sets[row], values);
		leaf->filled[sets[row]] = 1;
		for (uint32_t p = 0; p < leaf->player_count; p++)
			leaf->table[p * set_count + sets[row]] = (float)values[p];
	}
	for (uint32_t p = 0; p < leaf->player_count; p++) {
		double *column = sums + (size_t)game->players[leaf->first_player + p].feature * BLOCK;
		const float *table = leaf->table + p * set_count;
		for (size_t row = 0; row < row_count; row++)
			column[row] += (double)table[sets[row]];
	}
}

static void play_each(const struct work *work, const struct game *game, const struct leaf *leaf, size_t row_count, double *sums)
{
	uint64_t sets[BLOCK];
	double values[SL_SHAP_PLAYERS_MAX];
	find_sets_64(game, leaf, work->right, row_count, sets);
	for (size_t row = 0; row < row_count; row++) {
		if (row == 0 || sets[row] != sets[row - 1])
			fill(work, game, leaf, sets[row], values);
		for (uint32_t p = 0; p < leaf->player_count; p++)
			sums[(size_t)game->players[leaf->first_player + p].feature * BLOCK + row] += values[p];
	}
}

/* One tree's part of the sums of all rows of the chunk. */
static void play(const struct work *work, const struct game *game, const float *rows, size_t row_count)
{
	size_t features = work->forest->features;
	double *sums = work->sums + (size_t)game->tree->output * features * BLOCK;
	for (size_t from = 0; from < row_count; from += BLOCK, sums += work->block_values) {
		size_t count = row_count - from < BLOCK ? row_count - from : BLOCK;
		decide(work->forest, game->tree, rows + from * features, count, work->right);
		for (size_t l = 0; l < game->leaf_count; l++)
			if (game->leaves[l].table)
				play_table(work, game, &game->leaves[l], count, sums);
			else
				play_each(work, game, &game->leaves[l], count, sums);
	}
}

static int play_tree(struct work *work, size_t tree, const float *rows, size_t row_count, struct sl_error *err)
{
	SL_CLEANUP(done_game) struct game game = {0};
	double expected = 0;
	int rc = lay_game(work, tree, &game, err);
	if (!rc && work->background_count)
		rc = see_background(work, &game, &expected, err);
	if (!rc && row_count >= TABLE_ROWS_MIN)
		rc = lay_tables(&game, err);
	if (rc)
		return rc;
	for (size_t l = 0; !work->background_count && l < game.leaf_count; l++) {
		double way = game.leaves[l].value;
		for (uint32_t p = 0; p < game.leaves[l].player_count; p++)
			way *= game.players[game.leaves[l].first_player + p].share;
		expected += way;
	}
	work->expected[game.tree->output] += expected;
	play(work, &game, rows, row_count);
	return 0;
}

static void write_rows(const struct work *work, size_t row_count, float *ret)
{
	size_t features = work->forest->features, margins = work->forest->margins;
	for (size_t row = 0; row < row_count; row++)
		for (size_t m = 0; m < margins; m++) {
			const double *sums = work->sums + row / BLOCK * work->block_values + m * features * BLOCK + row % BLOCK;
			for (size_t f = 0; f < features; f++)
				*ret++ = (float)sums[f * BLOCK];
			*ret++ = (float)work->expected[m];
		}
}

static int play_chunk(struct work *work, const float *rows, size_t row_count, float *ret, struct sl_error *err)
{
	const struct sl_forest *forest = work->forest;
	int rc = 0;
	memset(work->sums, 0, (row_count + BLOCK - 1) / BLOCK * work->block_values * sizeof *work->sums);
	for (size_t m = 0; m < forest->margins; m++)
		work->expected[m] = (double)forest->base[m];
	for (size_t t = 0; t < forest->tree_count && !rc; t++)
		rc = play_tree(work, t, rows, row_count, err);
	if (!rc)
		write_rows(work, row_count, ret);
	return rc;
}

/* k! (n - 1 - k)! / n! = 1 / (n (n - 1 over k)). */
static void make_weights(struct work *work)
{
	for (int n = 1; n <= SL_SHAP_PLAYERS_MAX; n++) {
		double over = 1;
		for (int k = 0; k < n; k++) {
			work->weight[n][k] = 1 / (n * over);
			over = over * (n - 1 - k) / (k + 1);
		}
	}
}

static int check_sizes(const struct sl_forest *forest, size_t background_count, size_t *ret_largest, struct sl_error *err)
{
	*ret_largest = 1;
	if (!background_count && !forest->cover) {
		sl_fail(err, SL_E_INVALID, "the model file keeps no cover of its nodes");
		return sl_error_hint(err, "name background rows to explain against");
	}
	if (background_count > SL_INFER_BACKGROUND_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "%zu background rows are more than %d", background_count, SL_INFER_BACKGROUND_MAX);
	if (forest->margins * (forest->features + 1) > SL_SHAP_ROW_VALUES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "%zu margins of %zu features are more than %d values per row", forest->margins,
			       forest->features, SL_SHAP_ROW_VALUES_MAX);
	for (size_t t = 0; t < forest->tree_count; t++) {
		if (forest->trees[t].node_count > SL_SHAP_TREE_NODES_MAX)
			return sl_fail(err, SL_E_TOO_LARGE, "tree %zu: its %u nodes are more than %d", t, forest->trees[t].node_count,
				       SL_SHAP_TREE_NODES_MAX);
		if (*ret_largest < forest->trees[t].node_count)
			*ret_largest = forest->trees[t].node_count;
	}
	return 0;
}

int sl_forest_explain(const struct sl_forest *forest, const float *rows, size_t row_count, const float *background,
		      size_t background_count, float *ret, struct sl_error *err)
{
	size_t largest, width = forest->margins * (forest->features + 1);
	int rc = check_sizes(forest, background_count, &largest, err);
	if (rc || row_count == 0)
		return rc;
	SL_AUTO_FREE struct work *work = sl_alloc(sizeof *work, err);
	if (!work)
		return SL_E_NO_MEMORY;
	*work = (struct work){.forest = forest, .background = background, .background_count = background_count,
			      .block_values = forest->margins * forest->features * BLOCK};
	make_weights(work);
	size_t blocks = SUMS_BYTES_MAX / (work->block_values * sizeof *work->sums), needed = (row_count + BLOCK - 1) / BLOCK;
	blocks = blocks == 0 ? 1 : blocks < needed ? blocks : needed;
	work->right = sl_alloc_array(largest, BLOCK, err);
	work->sums = sl_alloc_array(blocks * work->block_values, sizeof *work->sums, err);
	work->expected = sl_alloc_array(forest->margins, sizeof *work->expected, err);
	rc = work->right && work->sums && work->expected ? 0 : SL_E_NO_MEMORY;
	for (size_t from = 0; from < row_count && !rc; from += blocks * BLOCK) {
		size_t count = row_count - from < blocks * BLOCK ? row_count - from : blocks * BLOCK;
		rc = play_chunk(work, rows + from * forest->features, count, ret + from * width, err);
	}
	sl_free(work->right);
	sl_free(work->sums);
	sl_free(work->expected);
	return rc;
}

#include "watch/drift_joint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/sketch.h"
#include "port/train.h"

enum { ROUNDS = 30 };

/* Both samples' common columns, row-major: the reference's rows, then the current ones. */
struct joint {
	const char **names;
	size_t *places[2];      /* of a column in either sample */
	size_t columns, rows[2];
	float *values;
};

static int too_little(struct sl_error *err, const char *what)
{
	sl_fail(err, SL_E_INVALID, "there is too little to compare rows as a whole: %s", what);
	return sl_error_hint(err, "it takes %d rows of either side and an input that both have", SL_DRIFT_ROWS_MIN);
}

/* Inputs that both samples have: fields beyond a sample's features came after it began. */
static int find_columns(const struct sl_drift_rows *sides[2], bool numbers_only, struct sl_arena *arena, struct joint *ret, struct sl_error *err)
{
	size_t most = sides[0]->field_count;
	ret->names = sl_arena_array(arena, most + 1, sizeof *ret->names);
	for (size_t s = 0; s < 2; s++)
		ret->places[s] = sl_arena_array(arena, most + 1, sizeof(size_t));
	if (!ret->names || !ret->places[0] || !ret->places[1])
		return sl_fail_memory(err);
	for (size_t i = 0; i < most && i < sides[0]->sample.features; i++) {
		const struct sl_drift_field *a = &sides[0]->fields[i];
		int at = sl_drift_field(sides[1], a->name, strlen(a->name));
		if (at < 0 || (size_t)at >= sides[1]->sample.features)
			continue;
		const struct sl_drift_field *b = &sides[1]->fields[at];
		if (a->kind != b->kind || a->kind == SL_DRIFT_TIME || (numbers_only && a->kind != SL_DRIFT_NUMBER) || a->role != SL_DRIFT_INPUT ||
			b->role != SL_DRIFT_INPUT)
			continue;
		ret->names[ret->columns] = a->name;
		ret->places[0][ret->columns] = i;
		ret->places[1][ret->columns++] = (size_t)at;
	}
	return ret->columns ? 0 : too_little(err, "no column is common");
}

static int gather(const struct sl_drift_rows *reference, const struct sl_drift_rows *current, bool numbers_only, struct sl_arena *arena,
		  struct joint *ret, struct sl_error *err)
{
	const struct sl_drift_rows *sides[2] = {reference, current};
	float *to;
	*ret = (struct joint){0};
	int rc = find_columns(sides, numbers_only, arena, ret, err);
	if (rc)
		return rc;
	for (size_t s = 0; s < 2; s++)
		if ((ret->rows[s] = sides[s]->sample.count) < SL_DRIFT_ROWS_MIN)
			return too_little(err, "a side has too few rows");
	to = ret->values = sl_alloc_array(ret->rows[0] + ret->rows[1], ret->columns * sizeof *to, err);
	if (!to)
		return SL_E_NO_MEMORY;
	for (size_t s = 0; s < 2; s++)
		for (size_t row = 0; row < ret->rows[s]; row++)
			for (size_t c = 0; c < ret->columns; c++) {
				float v = sides[s]->sample.rows[row * sides[s]->sample.features + ret->places[s][c]];
				*to++ = isfinite(v) ? v : NAN;
			}
	return 0;
}

/* ---- the classifier ------------------------------------------------------------------------------------------------------ */

/* Every second row learns, the others are kept to measure: a sample has no order. */
static int make_half(const struct joint *j, size_t half, struct sl_train_piece *piece, struct sl_train_data *ret, struct sl_error *err)
{
	size_t all = j->rows[0] + j->rows[1], n = 0;
	float *rows = sl_alloc_array(all / 2 + 1, (j->columns + 1) * sizeof *rows, err);
	if (!rows)
		return SL_E_NO_MEMORY;
	float *labels = rows + (all / 2 + 1) * j->columns;
	for (size_t row = half; row < all; row += 2) {
		memcpy(rows + n * j->columns, j->values + row * j->columns, j->columns * sizeof *rows);
		labels[n++] = row >= j->rows[0];
	}
	*piece = (struct sl_train_piece){.rows = rows, .row_count = n};
	*ret = (struct sl_train_data){.pieces = piece, .piece_count = 1, .features = j->columns, .labels = labels};
	return 0;
}

static int start(const struct joint *j, struct sl_trainer **ret, struct sl_error *err)
{
	static const struct sl_train_option OPTIONS[] = {{"objective", "binary:logistic"}, {"eval_metric", "auc"}, {"max_depth", "4"}, {"eta", "0.2"},
							 {"subsample", "0.8"}, {"tree_method", "hist"}, {"verbosity", "0"}, {"seed", "7"}, {"nthread", "2"}};
	struct sl_train_piece pieces[2] = {{0}};
	struct sl_train_data halves[2];
	int rc = make_half(j, 0, &pieces[0], &halves[0], err);
	rc = rc ? rc : make_half(j, 1, &pieces[1], &halves[1], err);
	rc = rc ? rc : sl_trainer_new(&halves[0], &halves[1], OPTIONS, SL_ARRAY_LEN(OPTIONS), ret, err);
	sl_free((void *)(uintptr_t)pieces[0].rows);
	sl_free((void *)(uintptr_t)pieces[1].rows);
	return rc;
}

/* Hanley and McNeil: the standard error of an AUC over n and m rows. */
static double error_of_auc(double auc, double n, double m)
{
	double q1 = auc / (2 - auc), q2 = 2 * auc * auc / (1 + auc);
	return sqrt(fmax(auc * (1 - auc) + (n - 1) * (q1 - auc * auc) + (m - 1) * (q2 - auc * auc), 0) / (n * m));
}

struct gained { size_t column; double gain; };

static int greatest_first(const void *a, const void *b)
{
	const struct gained *x = a, *y = b;
	return x->gain != y->gain ? (x->gain < y->gain ? 1 : -1) : (x->column > y->column) - (x->column < y->column);
}

static int name_columns(struct sl_trainer *trainer, const struct joint *j, struct sl_arena *arena, struct sl_drift_classifier *ret, struct sl_error *err)
{
	double *gains = sl_arena_array(arena, j->columns, sizeof *gains), all = 0;
	struct gained *order = sl_arena_array(arena, j->columns, sizeof *order);
	if (!gains || !order)
		return sl_fail_memory(err);
	int rc = sl_trainer_importance(trainer, j->columns, gains, err);
	if (rc)
		return rc;
	for (size_t c = 0; c < j->columns; c++) {
		order[c] = (struct gained){c, gains[c]};
		all += gains[c];
	}
	qsort(order, j->columns, sizeof *order, greatest_first);
	for (size_t i = 0; i < j->columns && i < SL_JOINT_COLUMNS_TOLD && order[i].gain > 0; i++) {
		ret->columns[i].name = j->names[order[i].column];
		ret->columns[ret->column_count++].share = order[i].gain / all;
	}
	return 0;
}

static int classify(const struct joint *j, struct sl_arena *arena, struct sl_drift_classifier *ret, struct sl_error *err)
{
	struct sl_trainer *trainer SL_CLEANUP(sl_trainer_freep) = NULL;
	struct sl_train_score score = {.value = NAN};
	size_t count;
	int rc = start(j, &trainer, err);
	for (int round = 0; round < ROUNDS && !rc; round++)
		rc = sl_trainer_round(trainer, round, err);
	rc = rc ? rc : sl_trainer_scores(trainer, SL_VALIDATION_SET, ROUNDS - 1, &score, 1, &count, err);
	if (rc)
		return rc;
	double error = 1.96 * error_of_auc(score.value, (double)j->rows[0] / 2, (double)j->rows[1] / 2);
	*ret = (struct sl_drift_classifier){.rows = j->rows[0] + j->rows[1], .auc = score.value, .low = fmax(score.value - error, 0),
					    .high = fmin(score.value + error, 1)};
	ret->level = ret->low <= 0.5 || ret->auc < 0.55 ? SL_DRIFT_OK : ret->auc < 0.65 ? SL_DRIFT_WARN : SL_DRIFT_ALARM;
	return name_columns(trainer, j, arena, ret, err);
}

int sl_drift_classify(const struct sl_drift_rows *reference, const struct sl_drift_rows *current, struct sl_arena *arena,
		      struct sl_drift_classifier *ret, struct sl_error *err)
{
	struct joint j;
	int rc = gather(reference, current, false, arena, &j, err);
	rc = rc ? rc : classify(&j, arena, ret, err);
	sl_free(j.values);
	return rc;
}

/* ---- the forest ---------------------------------------------------------------------------------------------------------- */

/* A node: a split (column, at), its children behind each other at `first`; or a leaf (first 0) that adds `depth`. */
struct node { uint32_t column, first; float at, depth; };
struct forest {
	const struct joint *j;
	struct node *nodes;     /* SL_FOREST_TREES trees of NODES_MAX */
	uint32_t used;
	uint64_t random;
};
enum { NODES_MAX = 2 * SL_FOREST_ROWS, DEPTH_MAX = 8 /* log2 of SL_FOREST_ROWS: what is deeper is no outlier */ };

static uint64_t draw(struct forest *f, uint64_t below) { return sl_sketch_hash(f->random++) % below; }

/* The mean depth of an unsuccessful search in a binary tree of n values: what a leaf of n rows would still add. */
static double mean_depth(double n) { return n > 2 ? 2 * (log(n - 1) + 0.5772156649015329) - 2 * (n - 1) / n : n > 1 ? 1 : 0; }

static float value_of(const struct forest *f, uint32_t row, size_t column) { return f->j->values[row * f->j->columns + column]; }

/* A column in which the rows differ, from a random one on; false: there is none. */
static bool choose_split(struct forest *f, const uint32_t *rows, size_t n, struct node *ret)
{
	size_t columns = f->j->columns, from = (size_t)draw(f, columns);
	for (size_t i = 0; i < columns; i++) {
		size_t c = (from + i) % columns;
		float least = value_of(f, rows[0], c), most = least;
		for (size_t k = 1; k < n; k++) {
			least = fminf(least, value_of(f, rows[k], c));
			most = fmaxf(most, value_of(f, rows[k], c));
		}
		if (!(most > least))
			continue;
		double at = (double)least + ((double)most - (double)least) * ((double)draw(f, 1 << 24) + 0.5) / (1 << 24);
		ret->column = (uint32_t)c;
		ret->at = fminf((float)at, nextafterf(most, least));
		return true;
	}
	return false;
}

static void grow(struct forest *f, struct node *tree, uint32_t at, uint32_t *rows, size_t n, size_t depth)
{
	struct node *node = &tree[at];
	if (n < 2 || depth == DEPTH_MAX || !choose_split(f, rows, n, node)) {
		*node = (struct node){.depth = (float)((double)depth + mean_depth((double)n))};
		return;
	}
	size_t left = 0;
	for (size_t i = 0; i < n; i++)
		if (value_of(f, rows[i], node->column) <= node->at) {
			uint32_t swap = rows[left];
			rows[left++] = rows[i];
			rows[i] = swap;
		}
	node->first = f->used;
	f->used += 2;
	grow(f, tree, node->first, rows, left, depth + 1);
	grow(f, tree, node->first + 1, rows + left, n - left, depth + 1);
}

static void grow_tree(struct forest *f, struct node *tree)
{
	uint32_t rows[SL_FOREST_ROWS];
	size_t n = f->j->rows[0] < SL_FOREST_ROWS ? f->j->rows[0] : SL_FOREST_ROWS;
	for (size_t i = 0; i < n; i++)
		rows[i] = (uint32_t)draw(f, f->j->rows[0]);
	f->used = 1;
	grow(f, tree, 0, rows, n, 0);
}

/* 2 to the power of -(mean depth / depth to expect): near 1 an outlier, below 0.5 none. */
static double score_row(const struct forest *f, size_t row)
{
	const float *values = f->j->values + row * f->j->columns;
	double depth = 0, expected = mean_depth(f->j->rows[0] < SL_FOREST_ROWS ? (double)f->j->rows[0] : SL_FOREST_ROWS);
	for (size_t t = 0; t < SL_FOREST_TREES; t++) {
		const struct node *tree = f->nodes + t * NODES_MAX, *node = tree;
		while (node->first)
			node = &tree[node->first + (values[node->column] > node->at)];
		depth += (double)node->depth;
	}
	return exp2(-depth / SL_FOREST_TREES / expected);
}

/* Missing values take the reference's mean: they are counted elsewhere. */
static void fill_missing(struct joint *j)
{
	size_t all = j->rows[0] + j->rows[1];
	for (size_t c = 0; c < j->columns; c++) {
		double sum = 0, n = 0;
		for (size_t row = 0; row < j->rows[0]; row++) {
			float v = j->values[row * j->columns + c];
			sum += isnan(v) ? 0 : (double)v;
			n += !isnan(v);
		}
		for (size_t row = 0; row < all; row++)
			if (isnan(j->values[row * j->columns + c]))
				j->values[row * j->columns + c] = n ? (float)(sum / n) : 0;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int find_outliers(struct joint *j, struct sl_drift_outliers *ret, struct sl_error *err)
{
	size_t outliers = 0;
	struct forest f = {.j = j};
	SL_AUTO_FREE double *scores = sl_alloc_array(j->rows[0], sizeof *scores, err);
	SL_AUTO_FREE struct node *nodes = scores ? sl_alloc_array(SL_FOREST_TREES * NODES_MAX, sizeof *nodes, err) : NULL;
	if (!nodes)
		return SL_E_NO_MEMORY;
	f.nodes = nodes;
	fill_missing(j);
	for (size_t t = 0; t < SL_FOREST_TREES; t++)
		grow_tree(&f, nodes + t * NODES_MAX);
	for (size_t row = 0; row < j->rows[0]; row++)
		scores[row] = score_row(&f, row);
	qsort(scores, j->rows[0], sizeof *scores, by_value);
	double bar = scores[(size_t)ceil((double)j->rows[0] * 0.99) - 1];
	for (size_t row = 0; row < j->rows[1]; row++)
		outliers += score_row(&f, j->rows[0] + row) > bar;
	*ret = (struct sl_drift_outliers){.bar = bar, .share = (double)outliers / (double)j->rows[1], .rows = j->rows[1], .columns = j->columns};
	return 0;
}

int sl_drift_find_outliers(const struct sl_drift_rows *reference, const struct sl_drift_rows *current, struct sl_arena *arena,
			   struct sl_drift_outliers *ret, struct sl_error *err)
{
	struct joint j;
	int rc = gather(reference, current, true, arena, &j, err);
	rc = rc ? rc : find_outliers(&j, ret, err);
	sl_free(j.values);
	return rc;
}

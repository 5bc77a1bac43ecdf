/* LightGBM's text models (its GBDT::SaveModelToString and Tree::ToString): "key=value" lines, a head, then one part per tree.
 *
 *   tree                    Tree=0                          end of trees
 *   version=v4              num_leaves=31
 *   num_class=1             split_feature=0 2 1 ...         inner nodes, 0 the root
 *   objective=binary ...    threshold=0.5 1e-35 ...         a child below 0 is the leaf ~child
 *   ...                     left_child=1 -1 ...
 *
 * LightGBM compares and adds in double; here rows are float32, so `x <= threshold` is exact as `x < the float32 above it`, and leaves
 * and sums are float32: a margin differs from the library's by at most 2^-23 x (trees + 1) x the sum of its absolute leaves.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/infer_trees_readers.h"
#include "base/mem.h"
#include "base/str.h"
#include "port/infer.h"

enum { LEAVES_MAX = 1 << 24, KEY_MAX = 64 };

/* A line's value: not NUL-terminated, without the end of the line. */
struct span {
	const char *at, *end;
};

struct reading {
	struct span rest;
	size_t line;
	size_t tree; /* SIZE_MAX: the head */
};

struct lists {
	struct span feature, threshold, decision, left, right, leaf, leaf_count, node_count, category_begin, category_words;
};

static int fail_line(const struct reading *r, struct sl_error *err, const char *what)
{
	return sl_fail(err, SL_E_INVALID, "line %zu: %s", r->line, what);
}

static bool next_line(struct reading *r, struct span *ret)
{
	if (r->rest.at == r->rest.end)
		return false;
	const char *end = memchr(r->rest.at, '\n', (size_t)(r->rest.end - r->rest.at));
	ret->at = r->rest.at;
	ret->end = end ? end : r->rest.end;
	r->rest.at = end ? end + 1 : r->rest.end;
	if (ret->end > ret->at && ret->end[-1] == '\r')
		ret->end--;
	r->line++;
	return true;
}

static bool span_is(struct span span, const char *text)
{
	size_t len = strlen(text);
	return (size_t)(span.end - span.at) == len && memcmp(span.at, text, len) == 0;
}

static bool span_begins(struct span span, const char *text)
{
	size_t len = strlen(text);
	return (size_t)(span.end - span.at) >= len && memcmp(span.at, text, len) == 0;
}

/* "key=value": the value; false when the line is of another key. */
static bool value_of(struct span line, const char *key, struct span *ret)
{
	size_t len = strlen(key);
	if ((size_t)(line.end - line.at) <= len || line.at[len] != '=' || memcmp(line.at, key, len) != 0)
		return false;
	*ret = (struct span){line.at + len + 1, line.end};
	return true;
}

/* The next word between blanks; false at the end. */
static bool next_word(struct span *list, struct span *ret)
{
	while (list->at < list->end && *list->at == ' ')
		list->at++;
	ret->at = list->at;
	while (list->at < list->end && *list->at != ' ')
		list->at++;
	ret->end = list->at;
	return ret->at < ret->end;
}

static bool next_number(struct span *list, double *ret)
{
	struct span word;
	char text[KEY_MAX], *end;
	if (!next_word(list, &word) || word.end - word.at >= (ptrdiff_t)sizeof text)
		return false;
	memcpy(text, word.at, (size_t)(word.end - word.at));
	text[word.end - word.at] = 0;
	*ret = strtod(text, &end);
	return !*end;
}

static bool next_int(struct span *list, int64_t min, int64_t max, int64_t *ret)
{
	double x;
	if (!next_number(list, &x) || !(x >= (double)min && x <= (double)max) || x != trunc(x))
		return false;
	*ret = (int64_t)x;
	return true;
}

static bool is_over(struct span list)
{
	struct span word;
	return !next_word(&list, &word);
}

/* ---- the head ---- */

struct head {
	struct span objective, names;
	int64_t classes, per_round, features;
	bool average;
};

static const struct {
	const char *name;
	enum sl_forest_link link;
} OBJECTIVES[] = {
	{"binary", SL_LINK_SIGMOID}, {"cross_entropy", SL_LINK_SIGMOID}, {"multiclass", SL_LINK_SOFTMAX}, {"multiclassova", SL_LINK_SIGMOID},
	{"regression", SL_LINK_IDENTITY}, {"regression_l1", SL_LINK_IDENTITY}, {"huber", SL_LINK_IDENTITY}, {"fair", SL_LINK_IDENTITY},
	{"quantile", SL_LINK_IDENTITY}, {"mape", SL_LINK_IDENTITY}, {"poisson", SL_LINK_EXP}, {"gamma", SL_LINK_EXP}, {"tweedie", SL_LINK_EXP},
	{"lambdarank", SL_LINK_IDENTITY}, {"rank_xendcg", SL_LINK_IDENTITY}, {"custom", SL_LINK_IDENTITY},
};

/* "binary sigmoid:1": the name, and only options that change nothing. */
static int read_objective(const struct reading *r, struct span text, struct sl_forest *forest, struct sl_error *err)
{
	static const char CUSTOM[] = "custom";
	struct span word;
	if (!next_word(&text, &word))
		word = (struct span){CUSTOM, CUSTOM + sizeof CUSTOM - 1};
	size_t len = (size_t)(word.end - word.at);
	if (len >= sizeof forest->objective)
		return fail_line(r, err, "the objective's name is too long");
	memcpy(forest->objective, word.at, len);
	while (next_word(&text, &word))
		if (span_is(word, "sqrt") || (span_begins(word, "sigmoid:") && !span_is(word, "sigmoid:1"))) {
			sl_fail(err, SL_E_INVALID, "objective '%s' with '%.*s' is not supported", forest->objective,
				(int)(word.end - word.at), word.at);
			return sl_error_hint(err, "train with sigmoid 1 and without reg_sqrt");
		}
	for (size_t i = 0; i < SL_ARRAY_LEN(OBJECTIVES); i++)
		if (sl_str_eq(OBJECTIVES[i].name, forest->objective)) {
			forest->link = OBJECTIVES[i].link;
			return 0;
		}
	return sl_fail(err, SL_E_INVALID, "objective '%s' is not supported", forest->objective);
}

static int read_names(struct span list, struct sl_forest *forest, struct sl_error *err)
{
	struct span word, all = list;
	size_t total = (size_t)(list.end - list.at) + 1, count = 0;
	if (!list.at)
		return 0;
	forest->names = sl_alloc_array(forest->features, sizeof *forest->names, err);
	forest->name_text = sl_alloc(total + 1, err);
	if (!forest->names || !forest->name_text)
		return SL_E_NO_MEMORY;
	char *p = forest->name_text;
	while (next_word(&all, &word)) {
		size_t len = (size_t)(word.end - word.at);
		if (count == forest->features || len > SL_INFER_NAME_MAX || !sl_utf8_valid(word.at, len) || memchr(word.at, 0, len))
			return sl_fail(err, SL_E_INVALID, "'feature_names' does not hold %zu names", forest->features);
		forest->names[count++] = memcpy(p, word.at, len);
		p[len] = 0;
		p += len + 1;
	}
	if (count != forest->features)
		return sl_fail(err, SL_E_INVALID, "'feature_names' does not hold %zu names", forest->features);
	return 0;
}

static int read_head_line(const struct reading *r, struct span line, struct head *head, struct sl_error *err)
{
	struct span value;
	if (value_of(line, "num_class", &value) && !next_int(&value, 1, SL_FOREST_OUTPUTS_MAX, &head->classes))
		return fail_line(r, err, "'num_class' is no number of classes");
	if (value_of(line, "num_tree_per_iteration", &value) && !next_int(&value, 1, SL_FOREST_OUTPUTS_MAX, &head->per_round))
		return fail_line(r, err, "'num_tree_per_iteration' is no number of trees");
	if (value_of(line, "max_feature_idx", &value) && !next_int(&value, 0, SL_FOREST_FEATURES_MAX - 1, &head->features))
		return fail_line(r, err, "'max_feature_idx' is no number of a feature");
	if (value_of(line, "objective", &value))
		head->objective = value;
	if (value_of(line, "feature_names", &value))
		head->names = value;
	head->average = head->average || span_is(line, "average_output");
	return 0;
}

/* Up to the first "Tree=0", whose line is taken. */
static int read_head(struct reading *r, struct head *head, struct sl_forest *forest, struct sl_error *err)
{
	struct span line, value;
	*head = (struct head){.classes = 1, .per_round = 1, .features = -1};
	if (!next_line(r, &line) || !span_is(line, "tree"))
		return fail_line(r, err, "this is no LightGBM model: it does not begin with 'tree'");
	bool found = false, over = false;
	while (!found && !over && next_line(r, &line)) {
		found = value_of(line, "Tree", &value);
		over = span_is(line, "end of trees");
		int rc = read_head_line(r, line, head, err);
		if (rc)
			return rc;
	}
	if (!found)
		return fail_line(r, err, "the model has no tree");
	if (head->features < 0)
		return fail_line(r, err, "the head has no 'max_feature_idx'");
	forest->features = (size_t)head->features + 1;
	forest->margins = (size_t)head->per_round;
	forest->base = sl_alloc_array(forest->margins, sizeof *forest->base, err);
	if (!forest->base)
		return SL_E_NO_MEMORY;
	int rc = read_objective(r, head->objective, forest, err);
	return rc ? rc : read_names(head->names, forest, err);
}

/* ---- a tree ---- */

/* A split as the file has it, all of its numbers checked. */
struct split {
	double threshold;
	int64_t feature, decision, left, right, count;
};

struct part {
	struct split *splits;
	double *leaves;
	int64_t *leaf_counts;
	int64_t *category_begins; /* category_count + 1 */
	uint32_t *category_words;
	size_t leaf_count, category_count;
	bool has_counts;
	unsigned char *seen; /* by split, then by leaf */
	int64_t *from;	     /* our node's child number in the file: a split, or ~leaf */
};

static void done_part(struct part *part)
{
	sl_free(part->splits);
	sl_free(part->leaves);
	sl_free(part->leaf_counts);
	sl_free(part->category_begins);
	sl_free(part->category_words);
	sl_free(part->seen);
	sl_free(part->from);
	*part = (struct part){0};
}

static int fail_tree(const struct reading *r, struct sl_error *err, const char *what)
{
	return sl_fail(err, SL_E_INVALID, "tree %zu: %s", r->tree, what);
}

static int read_leaves(const struct reading *r, struct lists *lists, struct part *part, struct sl_error *err)
{
	part->has_counts = lists->leaf_count.at != NULL;
	for (size_t i = 0; i < part->leaf_count; i++) {
		if (!next_number(&lists->leaf, &part->leaves[i]) || !isfinite((float)part->leaves[i]))
			return fail_tree(r, err, "'leaf_value' does not hold a number for each leaf");
		if (part->has_counts && !next_int(&lists->leaf_count, 0, INT32_MAX, &part->leaf_counts[i]))
			return fail_tree(r, err, "'leaf_count' does not hold a count for each leaf");
	}
	return is_over(lists->leaf) ? 0 : fail_tree(r, err, "'leaf_value' holds more numbers than there are leaves");
}

static int read_splits(const struct reading *r, struct lists *lists, size_t features, struct part *part, struct sl_error *err)
{
	int64_t leaves = (int64_t)part->leaf_count;
	part->has_counts = part->has_counts && lists->node_count.at;
	for (size_t i = 0; i + 1 < part->leaf_count; i++) {
		struct split *split = &part->splits[i];
		if (!next_int(&lists->feature, 0, (int64_t)features - 1, &split->feature))
			return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: its feature is none of the model's %zu", r->tree, i, features);
		if (!next_number(&lists->threshold, &split->threshold) || isnan(split->threshold) ||
		    !next_int(&lists->decision, 0, 15, &split->decision) || split->decision >> 2 == 3)
			return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: its threshold or decision is none", r->tree, i);
		if (!next_int(&lists->left, -leaves, leaves - 2, &split->left) || !next_int(&lists->right, -leaves, leaves - 2, &split->right))
			return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: a child is beyond the tree's %zu leaves", r->tree, i,
				       part->leaf_count);
		if (part->has_counts && !next_int(&lists->node_count, 0, INT32_MAX, &split->count))
			return fail_tree(r, err, "'internal_count' does not hold a count for each node");
	}
	return 0;
}

/* Set i is the words from category_begins[i] to category_begins[i + 1]. */
static int read_categories(const struct reading *r, struct lists *lists, struct part *part, struct sl_error *err)
{
	int64_t before = 0;
	for (size_t i = 0; i <= part->category_count; i++) {
		if (!next_int(&lists->category_begin, before, SL_FOREST_CATEGORIES_MAX / 32, &part->category_begins[i]) || (!i && part->category_begins[0]))
			return fail_tree(r, err, "'cat_boundaries' does not rise from 0");
		before = part->category_begins[i];
	}
	part->category_words = sl_alloc_array((size_t)before + 1, sizeof *part->category_words, err);
	if (!part->category_words)
		return SL_E_NO_MEMORY;
	for (int64_t i = 0; i < before; i++) {
		int64_t word;
		if (!next_int(&lists->category_words, 0, UINT32_MAX, &word))
			return fail_tree(r, err, "'cat_threshold' is shorter than 'cat_boundaries' says");
		part->category_words[i] = (uint32_t)word;
	}
	return 0;
}

/* The lines up to the next tree, whose "Tree=" line is taken, or to "end of trees": then *ret_last. */
static int read_lines(struct reading *r, struct lists *lists, int64_t *ret_leaves, int64_t *ret_categories, bool *ret_last, struct sl_error *err)
{
	const struct {
		const char *key;
		struct span *place;
	} keys[] = {{"split_feature", &lists->feature}, {"threshold", &lists->threshold}, {"decision_type", &lists->decision},
		    {"left_child", &lists->left}, {"right_child", &lists->right}, {"leaf_value", &lists->leaf}, {"leaf_count", &lists->leaf_count},
		    {"internal_count", &lists->node_count}, {"cat_boundaries", &lists->category_begin}, {"cat_threshold", &lists->category_words}};
	struct span line, value;
	*ret_leaves = *ret_categories = 0;
	while (next_line(r, &line)) {
		*ret_last = span_is(line, "end of trees");
		if (*ret_last || value_of(line, "Tree", &value))
			return 0;
		if (value_of(line, "num_leaves", &value) && !next_int(&value, 1, LEAVES_MAX, ret_leaves))
			return fail_line(r, err, "'num_leaves' is no number of leaves");
		if (value_of(line, "num_cat", &value) && !next_int(&value, 0, LEAVES_MAX, ret_categories))
			return fail_line(r, err, "'num_cat' is no number of sets");
		if (value_of(line, "is_linear", &value) && !span_is(value, "0"))
			return fail_tree(r, err, "leaves with linear models are not supported");
		for (size_t i = 0; i < SL_ARRAY_LEN(keys); i++)
			if (value_of(line, keys[i].key, &value))
				*keys[i].place = value;
	}
	return fail_line(r, err, "the file ends before 'end of trees'");
}

static int read_part(struct reading *r, size_t features, struct part *part, bool *ret_last, struct sl_error *err)
{
	struct lists lists = {0};
	int64_t leaves, categories;
	size_t left = (size_t)(r->rest.end - r->rest.at);
	int rc = read_lines(r, &lists, &leaves, &categories, ret_last, err);
	if (rc)
		return rc;
	if (!leaves || (size_t)leaves > left || (size_t)categories > left)
		return fail_tree(r, err, "'num_leaves' is missing or larger than the file");
	part->leaf_count = (size_t)leaves;
	part->category_count = (size_t)categories;
	part->splits = sl_alloc_array(part->leaf_count, sizeof *part->splits, err);
	part->leaves = sl_alloc_array(part->leaf_count, sizeof *part->leaves, err);
	part->leaf_counts = sl_alloc_array(part->leaf_count, sizeof *part->leaf_counts, err);
	part->category_begins = sl_alloc_array(part->category_count + 1, sizeof *part->category_begins, err);
	part->seen = sl_alloc_array(part->leaf_count, 2, err);
	part->from = sl_alloc_array(part->leaf_count * 2, sizeof *part->from, err);
	if (!part->splits || !part->leaves || !part->leaf_counts || !part->category_begins || !part->seen || !part->from)
		return SL_E_NO_MEMORY;
	if ((rc = read_leaves(r, &lists, part, err)) || (rc = read_splits(r, &lists, features, part, err)))
		return rc;
	return part->category_count ? read_categories(r, &lists, part, err) : 0;
}

/* ---- into the forest ---- */

enum { IS_CATEGORY = 1, DEFAULT_LEFT = 2, MISSING_ZERO = 1, MISSING_NAN = 2 /* of decision >> 2 */ };

/* The least float32 above all that are <= threshold: `x <= threshold` is `x < that` for every float32 x. */
static float above(double threshold)
{
	float nearest = (float)threshold;
	if (isinf(nearest) && threshold < (double)INFINITY && nearest > 0)
		return nearest;
	if ((double)nearest > threshold)
		return nearest;
	return nextafterf(nearest, INFINITY);
}

/* LightGBM's NumericalDecision: NaN is 0 unless the split was made with missing values; with MISSING_ZERO, what is within 1e-35 of 0
 * goes the default way too. */
static int take_number(const struct reading *r, size_t i, const struct split *split, struct sl_forest_node *node, struct sl_error *err)
{
	const double zero = (double)1e-35f;
	bool left = split->decision & DEFAULT_LEFT;
	double threshold = split->threshold;
	int missing = (int)(split->decision >> 2);
	if (missing == MISSING_ZERO) {
		if (left != (0 <= threshold)) {
			sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: zeros that go another way than their neighbours are not supported", r->tree, i);
			return sl_error_hint(err, "train without zero_as_missing");
		}
		if (left && threshold < zero)
			threshold = zero;
		if (!left && threshold >= -zero)
			threshold = nextafter(-zero, -INFINITY);
	} else if (missing != MISSING_NAN) {
		left = 0 <= threshold;
	}
	node->value = above(threshold);
	node->feature = (uint32_t)split->feature | (left ? SL_FOREST_MISSING_LEFT : 0);
	return 0;
}

/* CategoricalDecision: what is in the set goes left, all else right. Ours go right, so the children change places. */
static int take_set(const struct reading *r, size_t i, const struct part *part, struct split *split, struct sl_forest *forest,
		    struct sl_forest_node *node, struct sl_error *err)
{
	double set = split->threshold;
	if (!(set >= 0 && set < (double)part->category_count) || set != trunc(set))
		return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: its set of categories is none of the tree's %zu", r->tree, i,
			       part->category_count);
	int64_t begin = part->category_begins[(size_t)set], end = part->category_begins[(size_t)set + 1], left = split->left;
	int rc = sl_forest_add_set(forest, (size_t)(end - begin), &node->set, err);
	if (rc)
		return rc;
	memcpy(forest->sets + node->set + 1, part->category_words + begin, (size_t)(end - begin) * sizeof *forest->sets);
	node->feature = (uint32_t)split->feature | SL_FOREST_CATEGORIES | SL_FOREST_MISSING_LEFT;
	split->left = split->right;
	split->right = left;
	return 0;
}

static int take_child(const struct reading *r, struct part *part, size_t i, int64_t child, uint32_t *count, struct sl_error *err)
{
	size_t mark = child < 0 ? part->leaf_count + (size_t)~child : (size_t)child;
	if (part->seen[mark])
		return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: a child is reached a second time (a cycle or a shared node)", r->tree, i);
	part->seen[mark] = 1;
	part->from[(*count)++] = child;
	return 0;
}

static int take_node(const struct reading *r, struct part *part, struct sl_forest *forest, uint32_t k, uint32_t *count, struct sl_error *err)
{
	struct sl_forest_node *node = &forest->nodes[forest->node_count + k];
	int64_t from = part->from[k];
	*node = (struct sl_forest_node){0};
	if (from < 0) {
		node->value = (float)part->leaves[~from];
		if (forest->cover)
			forest->cover[forest->node_count + k] = (float)part->leaf_counts[~from];
		return 0;
	}
	struct split *split = &part->splits[from];
	node->left = *count;
	if (forest->cover)
		forest->cover[forest->node_count + k] = (float)split->count;
	int rc = split->decision & IS_CATEGORY ? take_set(r, (size_t)from, part, split, forest, node, err)
					       : take_number(r, (size_t)from, split, node, err);
	if (!rc)
		rc = take_child(r, part, (size_t)from, split->left, count, err);
	return rc ? rc : take_child(r, part, (size_t)from, split->right, count, err);
}

/* Breadth first, as struct sl_forest_node wants it. */
static int take_tree(const struct reading *r, struct part *part, struct sl_forest *forest, struct sl_error *err)
{
	struct sl_forest_tree *tree = &forest->trees[forest->tree_count];
	uint32_t count = 1, level_end = 1;
	part->from[0] = part->leaf_count == 1 ? -1 : 0;
	part->seen[part->leaf_count == 1 ? 1 : 0] = 1;
	for (uint32_t k = 0; k < count; k++) {
		if (k == level_end) {
			tree->depth++;
			level_end = count;
		}
		int rc = take_node(r, part, forest, k, &count, err);
		if (rc)
			return rc;
	}
	tree->nodes = forest->nodes + forest->node_count;
	tree->node_count = count;
	tree->output = (uint32_t)(forest->tree_count % forest->margins);
	forest->node_count += count;
	forest->tree_count++;
	return 0;
}

/* Room for all: a tree has a line "Tree=", a leaf at least two bytes of "leaf_value". */
static int make_room(const char *data, size_t len, struct sl_forest *forest, struct sl_error *err)
{
	struct reading r = {.rest = {data, data + len}};
	struct span line, value;
	size_t trees = 0, leaves = 0;
	int64_t count;
	while (next_line(&r, &line)) {
		trees += value_of(line, "Tree", &value);
		if (value_of(line, "num_leaves", &value) && next_int(&value, 1, LEAVES_MAX, &count))
			leaves += (size_t)count;
	}
	if (trees > SL_FOREST_TREES_MAX || leaves * 2 > SL_FOREST_NODES_MAX || leaves > len)
		return sl_fail(err, SL_E_TOO_LARGE, "the model has %zu trees and %zu leaves, more than it can have", trees, leaves);
	forest->trees = sl_alloc_array(trees + 1, sizeof *forest->trees, err);
	forest->nodes = sl_alloc_array(leaves * 2 + 1, sizeof *forest->nodes, err);
	forest->cover = sl_alloc_array(leaves * 2 + 1, sizeof *forest->cover, err);
	return forest->trees && forest->nodes && forest->cover ? 0 : SL_E_NO_MEMORY;
}

/* "average_output" (random forests): the mean over the rounds. */
static void scale_leaves(struct sl_forest *forest, size_t rounds)
{
	for (size_t i = 0; i < forest->node_count; i++)
		if (!forest->nodes[i].left)
			forest->nodes[i].value = (float)((double)forest->nodes[i].value / (double)rounds);
}

int sl_forest_read_lightgbm(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err)
{
	struct reading r = {.rest = {data, (const char *)data + len}};
	struct head head;
	bool last = false;
	int rc = read_head(&r, &head, ret, err);
	if (!rc)
		rc = make_room(data, len, ret, err);
	while (!rc && !last) {
		SL_CLEANUP(done_part) struct part part = {0};
		r.tree = ret->tree_count;
		rc = read_part(&r, ret->features, &part, &last, err);
		if (!rc && !part.has_counts) {
			sl_free(ret->cover);
			ret->cover = NULL;
		}
		if (!rc)
			rc = take_tree(&r, &part, ret, err);
	}
	if (!rc && ret->tree_count % ret->margins)
		rc = sl_fail(err, SL_E_INVALID, "the model's %zu trees are not a multiple of its %zu outputs", ret->tree_count, ret->margins);
	if (!rc && head.average)
		scale_leaves(ret, ret->tree_count / ret->margins);
	return rc;
}

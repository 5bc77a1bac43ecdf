/* A forest out of a model file, checked: what the engines of infer_trees.c walk. */
#ifndef SL_BACKEND_INFER_TREES_MODEL_H
#define SL_BACKEND_INFER_TREES_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
	SL_FOREST_TREES_MAX = 100000,
	SL_FOREST_NODES_MAX = 50000000,
	SL_FOREST_FEATURES_MAX = 1000000,
	SL_FOREST_OUTPUTS_MAX = 10000,
	SL_FOREST_BYTES_MAX = 1 << 30,
	SL_FOREST_CATEGORIES_MAX = 1 << 24, /* a category is below this */
	SL_FOREST_SET_WORDS_MAX = 1 << 24,  /* of all sets */
};

/* Nodes of one tree stand in breadth-first order, children side by side: the right one is left + 1. Node 0 is the root.
 * A value goes left when it is < `value` in float32; with CATEGORIES when its whole part is not in the set, or it is negative or 2^24
 * and more. A missing one (NaN) goes by MISSING_LEFT. */
struct sl_forest_node {
	union {
		float value;  /* split condition, never NaN; of a leaf: what it adds, finite */
		uint32_t set; /* CATEGORIES: where in the forest's `sets` */
	};
	uint32_t feature; /* below the forest's `features`; the highest bits are marks */
	uint32_t left;	  /* 0: a leaf */
};
#define SL_FOREST_MISSING_LEFT 0x80000000u
#define SL_FOREST_CATEGORIES 0x40000000u
#define SL_FOREST_FEATURE(node) ((node)->feature & 0x3fffffffu)

struct sl_forest_tree {
	const struct sl_forest_node *nodes;
	const uint32_t *sets; /* the forest's */
	uint32_t node_count;
	uint32_t output; /* which margin it adds to */
	uint32_t depth;	 /* splits on the longest way */
};

/* How margins become predictions. */
enum sl_forest_link { SL_LINK_IDENTITY, SL_LINK_SIGMOID, SL_LINK_EXP, SL_LINK_HINGE, SL_LINK_SOFTMAX, SL_LINK_ARGMAX };

struct sl_forest {
	struct sl_forest_node *nodes; /* of all trees */
	float *cover;		      /* parallel to `nodes`: training rows that came by, weighted (XGBoost's sum_hessian), as
					 the file says it: unchecked. NULL: a tree has none */
	size_t node_count;
	uint32_t *sets; /* of categories, each as the number of its words and then these: category c is bit c % 32 of word c / 32; NULL
			   when no node has CATEGORIES */
	size_t set_words; /* in all */
	struct sl_forest_tree *trees;
	size_t tree_count;
	size_t features;
	size_t margins; /* values per row before the link: 1, the classes or the targets */
	float *base;	/* `margins` values that sums start from */
	enum sl_forest_link link;
	char objective[64];
	const char **names; /* of the features; NULL: the file has none */
	char *name_text;    /* which they point into */
};

/* `format` as port/infer.h. SL_E_INVALID names the tree and the node ("tree 3, node 17: its left child 90 is beyond the tree's 63
 * nodes"). */
int sl_forest_read(const char *format, const void *data, size_t len, struct sl_forest *ret, struct sl_error *err);
void sl_forest_done(struct sl_forest *forest);
/* For readers: room for a set of `words` words at the end of `sets`, all bits 0. *ret is where it begins (its number of words stands
 * there). */
int sl_forest_add_set(struct sl_forest *forest, size_t words, uint32_t *ret, struct sl_error *err);

static inline bool sl_forest_in_set(const uint32_t *set, float x)
{
	if (!(x >= 0 && x < 16777216.0f))
		return false;
	uint32_t category = (uint32_t)x;
	return category / 32 < set[0] && set[1 + category / 32] >> category % 32 & 1;
}

/* Does `x` go right at a split? */
static inline bool sl_forest_right(const struct sl_forest_tree *tree, const struct sl_forest_node *node, float x)
{
	if (isnan(x))
		return !(node->feature & SL_FOREST_MISSING_LEFT);
	return node->feature & SL_FOREST_CATEGORIES ? sl_forest_in_set(tree->sets + node->set, x) : !(x < node->value);
}

/* The leaf's value, from node `at` on. */
static inline float sl_forest_walk(const struct sl_forest_tree *tree, uint32_t at, const float *row)
{
	const struct sl_forest_node *node = tree->nodes + at;
	while (node->left)
		node = tree->nodes + node->left + sl_forest_right(tree, node, row[SL_FOREST_FEATURE(node)]);
	return node->value;
}

#endif

/* A forest tree by tree, out of nodes in any order: for readers whose files number nodes as they like. */
#ifndef SL_BACKEND_INFER_TREES_BUILD_H
#define SL_BACKEND_INFER_TREES_BUILD_H

#include "backend/infer_trees_model.h"

/* As the file has it; nothing is checked yet. */
struct sl_part_node {
	int64_t left, right; /* other nodes of the part; left < 0: a leaf */
	int64_t feature;
	float value;         /* goes left when less; of a leaf nothing */
	bool missing_left;
	float cover;
};

struct sl_forest_builder {
	struct sl_forest *forest;
	size_t node_cap, tree_cap, queue_cap;
	uint32_t *queue;     /* part's node of each of ours, breadth first */
	unsigned char *seen;
	bool has_cover;
};

void sl_builder_done(struct sl_forest_builder *builder);
/* Appends a tree that adds leaves[node * stride] to `output`. SL_E_INVALID names the tree and the node: a child or feature that is none, a node
 * reached twice (a cycle), a condition that is NaN, a leaf that is not finite. SL_E_TOO_LARGE beyond a forest's limits. */
int sl_builder_add(struct sl_forest_builder *builder, const struct sl_part_node *nodes, size_t count, const float *leaves, size_t stride,
		   uint32_t output, struct sl_error *err);
/* When all trees are there. */
void sl_builder_end(struct sl_forest_builder *builder);

#endif

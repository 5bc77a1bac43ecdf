#include "backend/infer_trees_build.h"

#include <string.h>

#include "base/mem.h"

void sl_builder_done(struct sl_forest_builder *builder)
{
	sl_free(builder->queue);
	sl_free(builder->seen);
}

static int grow(void **array, size_t *cap, size_t need, size_t size_bytes, struct sl_error *err)
{
	if (need <= *cap)
		return 0;
	size_t grown = *cap * 2 > need ? *cap * 2 : need;
	void *fresh = sl_realloc(*array, grown * size_bytes, err);
	if (!fresh)
		return SL_E_NO_MEMORY;
	*array = fresh;
	*cap = grown;
	return 0;
}

static int make_room(struct sl_forest_builder *b, size_t count, struct sl_error *err)
{
	struct sl_forest *forest = b->forest;
	if (forest->tree_count == SL_FOREST_TREES_MAX || count > SL_FOREST_NODES_MAX - forest->node_count)
		return sl_fail(err, SL_E_TOO_LARGE, "the model has more than %d trees or %d nodes", SL_FOREST_TREES_MAX, SL_FOREST_NODES_MAX);
	size_t nodes_cap = b->node_cap, cover_cap = b->node_cap, queue_cap = b->queue_cap;
	int rc = grow((void **)&forest->nodes, &nodes_cap, forest->node_count + count, sizeof *forest->nodes, err);
	if (!rc)
		rc = grow((void **)&forest->cover, &cover_cap, forest->node_count + count, sizeof *forest->cover, err);
	b->node_cap = rc ? b->node_cap : nodes_cap;
	if (!rc)
		rc = grow((void **)&forest->trees, &b->tree_cap, forest->tree_count + 1, sizeof *forest->trees, err);
	if (!rc)
		rc = grow((void **)&b->queue, &queue_cap, count, sizeof *b->queue, err);
	if (!rc)
		rc = grow((void **)&b->seen, &b->queue_cap, count, 1, err);
	return rc;
}

static int fail_node(const struct sl_forest_builder *b, size_t node, const char *what, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "tree %zu, node %zu: %s", b->forest->tree_count, node, what);
}

static int take_child(struct sl_forest_builder *b, size_t node, int64_t child, size_t count, uint32_t *queued, struct sl_error *err)
{
	if (child < 0 || (uint64_t)child >= count)
		return fail_node(b, node, "a child is none of the tree's nodes", err);
	if (b->seen[child])
		return fail_node(b, node, "a child is reached a second time (a cycle or a shared node)", err);
	b->seen[child] = 1;
	b->queue[(*queued)++] = (uint32_t)child;
	return 0;
}

static int take_split(struct sl_forest_builder *b, const struct sl_part_node *from, size_t at, struct sl_forest_node *to, struct sl_error *err)
{
	if (from->feature < 0 || (uint64_t)from->feature >= b->forest->features)
		return fail_node(b, at, "its feature is none of the model's", err);
	if (isnan(from->value))
		return fail_node(b, at, "its condition is no number", err);
	to->value = from->value;
	to->feature = (uint32_t)from->feature | (from->missing_left ? SL_FOREST_MISSING_LEFT : 0);
	return 0;
}

int sl_builder_add(struct sl_forest_builder *b, const struct sl_part_node *nodes, size_t count, const float *leaves, size_t stride,
		   uint32_t output, struct sl_error *err)
{
	uint32_t queued = 1, level_end = 1, depth = 0;
	int rc = count ? make_room(b, count, err) : sl_fail(err, SL_E_INVALID, "tree %zu has no node", b->forest->tree_count);
	if (rc)
		return rc;
	struct sl_forest *forest = b->forest;
	memset(b->seen, 0, count);
	b->seen[0] = 1;
	b->queue[0] = 0;
	for (uint32_t k = 0; !rc && k < queued; k++) {
		const struct sl_part_node *from = &nodes[b->queue[k]];
		struct sl_forest_node *to = &forest->nodes[forest->node_count + k];
		*to = (struct sl_forest_node){0};
		forest->cover[forest->node_count + k] = from->cover;
		if (k == level_end) {
			depth++;
			level_end = queued;
		}
		if (from->left < 0) {
			to->value = leaves[b->queue[k] * stride];
			rc = isfinite(to->value) ? 0 : fail_node(b, b->queue[k], "its value is not finite", err);
			continue;
		}
		to->left = queued;
		rc = take_split(b, from, b->queue[k], to, err);
		rc = rc ? rc : take_child(b, b->queue[k], from->left, count, &queued, err);
		rc = rc ? rc : take_child(b, b->queue[k], from->right, count, &queued, err);
	}
	if (rc)
		return rc;
	forest->trees[forest->tree_count++] = (struct sl_forest_tree){.node_count = queued, .output = output, .depth = depth};
	forest->node_count += queued;
	return 0;
}

void sl_builder_end(struct sl_forest_builder *b)
{
	size_t at = 0;
	for (size_t t = 0; t < b->forest->tree_count; t++) {
		b->forest->trees[t].nodes = b->forest->nodes + at;
		at += b->forest->trees[t].node_count;
	}
	if (b->has_cover)
		return;
	sl_free(b->forest->cover);
	b->forest->cover = NULL;
}

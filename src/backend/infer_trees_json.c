/* "sluice.forest/1" (docs/formats/forest.md): a forest as JSON, for trees of libraries that have no format of their own without code. */
#include <string.h>

#include "backend/infer_trees_build.h"
#include "backend/infer_trees_file.h"
#include "backend/infer_trees_readers.h"
#include "base/mem.h"
#include "base/str.h"
#include "port/infer.h"

static const struct {
	const char *name;
	enum sl_forest_link link;
} LINKS[] = {{"identity", SL_LINK_IDENTITY}, {"sigmoid", SL_LINK_SIGMOID}, {"exp", SL_LINK_EXP}, {"softmax", SL_LINK_SOFTMAX}};

int sl_forest_read_names(const struct sl_file_value *names, struct sl_forest *forest, struct sl_error *err)
{
	size_t bytes = 0;
	for (size_t i = 0; i < forest->features; i++) {
		const struct sl_file_value *name = &names->items[i];
		if (name->kind != SL_FILE_TEXT || !name->len || name->len > SL_INFER_NAME_MAX || memchr(name->text, 0, name->len))
			return sl_fail(err, SL_E_INVALID, "the name of feature %zu is none, or longer than %d bytes", i, SL_INFER_NAME_MAX);
		bytes += name->len + 1;
	}
	forest->names = sl_alloc_array(forest->features, sizeof *forest->names, err);
	forest->name_text = sl_alloc(bytes + 1, err);
	if (!forest->names || !forest->name_text)
		return SL_E_NO_MEMORY;
	char *p = forest->name_text;
	for (size_t i = 0; i < forest->features; i++) {
		forest->names[i] = memcpy(p, names->items[i].text, names->items[i].len);
		p += names->items[i].len + 1; /* the zero is there: the memory was zeroed */
	}
	return 0;
}

static int read_head(const struct sl_file_value *root, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *features = sl_file_get(root, "features"), *base = sl_file_get(root, "base");
	const struct sl_file_value *objective = sl_file_get(root, "objective"), *link = sl_file_get(root, "link");
	if (!features || features->kind != SL_FILE_ARRAY || features->packed || !features->len || features->len > SL_FOREST_FEATURES_MAX)
		return sl_fail(err, SL_E_INVALID, "'features' is no list of names");
	if (!base || !sl_file_is_numbers(base) || !base->len || base->len > SL_FOREST_OUTPUTS_MAX)
		return sl_fail(err, SL_E_INVALID, "'base' does not hold a number for each output");
	if (!objective || objective->kind != SL_FILE_TEXT || !objective->len || objective->len >= sizeof forest->objective)
		return sl_fail(err, SL_E_INVALID, "'objective' is no short text");
	memcpy(forest->objective, objective->text, objective->len);
	size_t known = 0;
	while (known < SL_ARRAY_LEN(LINKS) && !sl_file_is_text(link, LINKS[known].name))
		known++;
	if (known == SL_ARRAY_LEN(LINKS))
		return sl_fail(err, SL_E_INVALID, "'link' is none of identity, sigmoid, exp, softmax");
	forest->link = LINKS[known].link;
	forest->features = features->len;
	forest->margins = base->len;
	forest->base = sl_alloc_array(forest->margins, sizeof *forest->base, err);
	if (!forest->base)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < forest->margins; i++) {
		forest->base[i] = sl_file_float(base, i);
		if (!isfinite(forest->base[i]))
			return sl_fail(err, SL_E_INVALID, "'base' has a value that is not finite");
	}
	return sl_forest_read_names(features, forest, err);
}

/* ---- a tree ---- */

struct lists {
	const struct sl_file_value *feature, *threshold, *left, *right, *missing_left, *value, *cover;
};

/* One number per node. */
static bool fits(const struct sl_file_value *list, size_t count) { return list && sl_file_is_numbers(list) && list->len == count; }

static int find_lists(const struct sl_file_value *tree, size_t t, size_t outputs, struct lists *ret, size_t *ret_count, struct sl_error *err)
{
	*ret = (struct lists){.feature = sl_file_get(tree, "feature"), .threshold = sl_file_get(tree, "threshold"), .left = sl_file_get(tree, "left"),
			      .right = sl_file_get(tree, "right"), .missing_left = sl_file_get(tree, "missing_left"),
			      .value = sl_file_get(tree, "value"), .cover = sl_file_get(tree, "cover")};
	size_t count = ret->feature ? ret->feature->len : 0;
	*ret_count = count;
	if (!count || count > SL_FOREST_NODES_MAX || !fits(ret->feature, count) || !fits(ret->threshold, count) || !fits(ret->left, count) ||
	    !fits(ret->right, count) || !fits(ret->value, count * outputs) || (ret->missing_left && !fits(ret->missing_left, count)) ||
	    (ret->cover && !fits(ret->cover, count)))
		return sl_fail(err, SL_E_INVALID, "tree %zu: its lists do not have one number for each node (of 'value': for each node and output)", t);
	return 0;
}

static void read_nodes(const struct lists *lists, size_t count, struct sl_part_node *nodes)
{
	for (size_t i = 0; i < count; i++)
		nodes[i] = (struct sl_part_node){
			.left = sl_file_int(lists->left, i),
			.right = sl_file_int(lists->right, i),
			.feature = sl_file_int(lists->feature, i),
			.value = sl_file_float(lists->threshold, i),
			.missing_left = lists->missing_left && sl_file_int(lists->missing_left, i),
			.cover = lists->cover ? sl_file_float(lists->cover, i) : 0,
		};
}

/* "output": its leaves are of this one alone; without, every node has a value for each output, and it becomes a tree for each. */
static int read_tree(const struct sl_file_value *tree, size_t t, struct sl_forest_builder *builder, struct sl_error *err)
{
	const struct sl_file_value *one = sl_file_get(tree, "output");
	size_t margins = builder->forest->margins, outputs = one ? 1 : margins, count;
	struct lists lists;
	if (one && (one->kind != SL_FILE_INT || one->i < 0 || (uint64_t)one->i >= margins))
		return sl_fail(err, SL_E_INVALID, "tree %zu: its output is none of the model's %zu", t, margins);
	int rc = find_lists(tree, t, outputs, &lists, &count, err);
	if (rc)
		return rc;
	SL_AUTO_FREE struct sl_part_node *nodes = sl_alloc_array(count, sizeof *nodes, err);
	SL_AUTO_FREE float *leaves = sl_alloc_array(count, outputs * sizeof *leaves, err);
	if (!nodes || !leaves)
		return SL_E_NO_MEMORY;
	read_nodes(&lists, count, nodes);
	for (size_t i = 0; i < count * outputs; i++)
		leaves[i] = sl_file_float(lists.value, i);
	builder->has_cover &= lists.cover != NULL;
	for (size_t o = 0; !rc && o < outputs; o++)
		rc = sl_builder_add(builder, nodes, count, leaves + o, outputs, (uint32_t)(one ? (size_t)one->i : o), err);
	return rc;
}

static int read_root(const struct sl_file_value *root, struct sl_forest_builder *builder, struct sl_error *err)
{
	const struct sl_file_value *trees = sl_file_get(root, "trees");
	if (!sl_file_is_text(sl_file_get(root, "format"), "sluice.forest/1"))
		return sl_fail(err, SL_E_INVALID, "the format is not sluice.forest/1");
	int rc = read_head(root, builder->forest, err);
	if (!rc && (!trees || trees->kind != SL_FILE_ARRAY || trees->packed || !trees->len))
		rc = sl_fail(err, SL_E_INVALID, "the model has no tree");
	for (size_t t = 0; !rc && t < trees->len; t++)
		rc = read_tree(&trees->items[t], t, builder, err);
	return rc;
}

int sl_forest_read_json(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = NULL;
	SL_CLEANUP(sl_builder_done) struct sl_forest_builder builder = {.forest = ret, .has_cover = true};
	struct sl_file_value root;
	int rc = sl_file_read_json(data, len, &arena, &root, err);
	rc = rc ? rc : read_root(&root, &builder, err);
	if (!rc)
		sl_builder_end(&builder);
	return rc;
}

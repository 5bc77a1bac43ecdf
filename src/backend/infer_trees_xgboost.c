#include "backend/infer_trees_readers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/infer_trees_file.h"
#include "base/str.h"
#include "port/infer.h"

enum { TEXT_MAX = 64 };

/* XGBoost keeps its parameters as text: {"num_feature": "6"}. A missing one is `fallback`. */
static int text_int(const struct sl_file_value *object, const char *name, int64_t fallback, int64_t max, int64_t *ret,
		    struct sl_error *err)
{
	const struct sl_file_value *value = sl_file_get(object, name);
	char text[TEXT_MAX] = "";
	*ret = fallback;
	if (!value)
		return 0;
	if (value->kind == SL_FILE_INT)
		*ret = value->i;
	else if (value->kind != SL_FILE_TEXT || value->len >= sizeof text)
		return sl_fail(err, SL_E_INVALID, "'%s' is not a number", name);
	else if (!sl_str_int(memcpy(text, value->text, value->len), ret))
		return sl_fail(err, SL_E_INVALID, "'%s' is not a number", name);
	if (*ret < 0 || *ret > max)
		return sl_fail(err, SL_E_INVALID, "'%s' is %lld, outside 0 to %lld", name, (long long)*ret, (long long)max);
	return 0;
}

/* ---- objectives: what XGBoost 3.2 does to base_score at load (its ProbToMargin) and to margins (PredTransform) ---- */

enum base_link { BASE_AS_IS, BASE_LOGIT, BASE_LOG };
static const struct {
	const char *name;
	enum base_link base;
	enum sl_forest_link link;
} OBJECTIVES[] = {
	{"binary:logistic", BASE_LOGIT, SL_LINK_SIGMOID},
	{"reg:logistic", BASE_LOGIT, SL_LINK_SIGMOID},
	{"binary:logitraw", BASE_AS_IS, SL_LINK_IDENTITY},
	{"binary:hinge", BASE_AS_IS, SL_LINK_HINGE},
	{"reg:squarederror", BASE_AS_IS, SL_LINK_IDENTITY},
	{"reg:squaredlogerror", BASE_AS_IS, SL_LINK_IDENTITY},
	{"reg:pseudohubererror", BASE_AS_IS, SL_LINK_IDENTITY},
	{"reg:absoluteerror", BASE_AS_IS, SL_LINK_IDENTITY},
	{"reg:quantileerror", BASE_AS_IS, SL_LINK_IDENTITY},
	{"count:poisson", BASE_LOG, SL_LINK_EXP},
	{"reg:gamma", BASE_LOG, SL_LINK_EXP},
	{"reg:tweedie", BASE_LOG, SL_LINK_EXP},
	{"multi:softprob", BASE_AS_IS, SL_LINK_SOFTMAX},
	{"multi:softmax", BASE_AS_IS, SL_LINK_ARGMAX},
	{"rank:ndcg", BASE_AS_IS, SL_LINK_IDENTITY},
	{"rank:pairwise", BASE_AS_IS, SL_LINK_IDENTITY},
	{"rank:map", BASE_AS_IS, SL_LINK_IDENTITY},
};

static float margin_of_base(enum base_link link, float base)
{
	/* xgboost/base.h kRtEps and regression_loss.h: the probability is kept off 0 and 1 before its logit is taken. */
	const float eps = 1e-6f;
	if (link == BASE_LOG)
		return logf(base);
	if (link == BASE_AS_IS)
		return base;
	float above = base < eps ? eps : base, p = above < 1.0f - eps ? above : 1.0f - eps;
	return -logf(1.0f / p - 1.0f);
}

static int read_objective(const struct sl_file_value *learner, struct sl_forest *forest, enum base_link *ret_base,
			  struct sl_error *err)
{
	const struct sl_file_value *name = sl_file_get(sl_file_get(learner, "objective"), "name");
	if (!name || name->kind != SL_FILE_TEXT || name->len >= sizeof forest->objective)
		return sl_fail(err, SL_E_INVALID, "the model names no objective");
	memcpy(forest->objective, name->text, name->len);
	for (size_t i = 0; i < SL_ARRAY_LEN(OBJECTIVES); i++)
		if (sl_str_eq(OBJECTIVES[i].name, forest->objective)) {
			forest->link = OBJECTIVES[i].link;
			*ret_base = OBJECTIVES[i].base;
			return 0;
		}
	return sl_fail(err, SL_E_INVALID, "objective '%s' is not supported", forest->objective);
}

/* base_score is "5E-1" up to XGBoost 3.0 and "[5E-1]", one per output, from 3.1 on. */
static int read_base(const struct sl_file_value *param, enum base_link link, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *text = sl_file_get(param, "base_score"), *list;
	struct sl_file_value value;
	if (!text || text->kind != SL_FILE_TEXT || text->len == 0)
		return sl_fail(err, SL_E_INVALID, "the model has no base_score");
	char *json = sl_alloc(text->len + 3, err);
	if (!json)
		return SL_E_NO_MEMORY;
	bool bare = text->text[0] != '[';
	json[0] = '[';
	memcpy(json + bare, text->text, text->len);
	if (bare)
		json[text->len + 1] = ']';
	struct sl_arena *arena = NULL;
	int rc = sl_file_read_json(json, strlen(json), &arena, &value, err);
	list = &value;
	if (rc)
		sl_error_context(err, "base_score");
	else if (!sl_file_is_numbers(list) || (list->len != 1 && list->len != forest->margins))
		rc = sl_fail(err, SL_E_INVALID, "base_score does not hold 1 or %zu numbers", forest->margins);
	for (size_t i = 0; !rc && i < forest->margins; i++) {
		forest->base[i] = margin_of_base(link, sl_file_float(list, list->len == 1 ? 0 : i));
		if (!isfinite(forest->base[i]))
			rc = sl_fail(err, SL_E_INVALID, "base_score gives no finite margin for '%s'", forest->objective);
	}
	sl_arena_free(arena);
	sl_free(json);
	return rc;
}

static int read_learner(const struct sl_file_value *learner, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *param = sl_file_get(learner, "learner_model_param");
	enum base_link base = BASE_AS_IS;
	int64_t features, classes, targets;
	int rc = read_objective(learner, forest, &base, err);
	if (rc || (rc = text_int(param, "num_feature", 0, SL_FOREST_FEATURES_MAX, &features, err)) ||
	    (rc = text_int(param, "num_class", 0, SL_FOREST_OUTPUTS_MAX, &classes, err)) ||
	    (rc = text_int(param, "num_target", 1, SL_FOREST_OUTPUTS_MAX, &targets, err)))
		return rc;
	if (features == 0)
		return sl_fail(err, SL_E_INVALID, "the model has no features");
	if (classes > 1 && targets > 1)
		return sl_fail(err, SL_E_INVALID, "the model has both classes and several targets");
	forest->features = (size_t)features;
	forest->margins = classes > 1 ? (size_t)classes : targets > 1 ? (size_t)targets : 1;
	forest->base = sl_alloc_array(forest->margins, sizeof *forest->base, err);
	return forest->base ? read_base(param, base, forest, err) : SL_E_NO_MEMORY;
}

/* ---- trees ---- */

/* One tree's arrays in the file, all of `count` items. */
struct tree_arrays {
	size_t tree; /* its number, for messages */
	const struct sl_file_value *left, *right, *feature, *condition, *missing_left, *split_type /* NULL: all numeric */;
	const struct sl_file_value *cover; /* NULL: none */
	/* Sets of categories: nodes that have one, and where each begins and how many it has in `categories`. NULL: none. */
	const struct sl_file_value *set_nodes, *set_begins, *set_sizes, *categories;
	size_t count;
};

static int fail_tree(struct sl_error *err, size_t tree, const char *what, const char *name)
{
	return sl_fail(err, SL_E_INVALID, "tree %zu: %s '%s'", tree, what, name);
}

static int find_array(const struct sl_file_value *tree, const char *name, struct tree_arrays *arrays,
		      const struct sl_file_value **ret, struct sl_error *err)
{
	*ret = sl_file_get(tree, name);
	if (!sl_file_is_numbers(*ret))
		return fail_tree(err, arrays->tree, "has no list of numbers", name);
	if ((*ret)->len != arrays->count)
		return sl_fail(err, SL_E_INVALID, "tree %zu: '%s' has %zu items for %zu nodes", arrays->tree, name, (*ret)->len,
			       arrays->count);
	return 0;
}

/* The sets of categories, when a split has one. */
static int find_sets(const struct sl_file_value *tree, struct tree_arrays *arrays, struct sl_error *err)
{
	const struct {
		const char *name;
		const struct sl_file_value **place;
	} lists[] = {{"categories_nodes", &arrays->set_nodes},
		     {"categories_segments", &arrays->set_begins},
		     {"categories_sizes", &arrays->set_sizes},
		     {"categories", &arrays->categories}};
	for (size_t i = 0; i < SL_ARRAY_LEN(lists); i++) {
		*lists[i].place = sl_file_get(tree, lists[i].name);
		if (!sl_file_is_numbers(*lists[i].place))
			return fail_tree(err, arrays->tree, "has no list of numbers", lists[i].name);
	}
	if (arrays->set_begins->len != arrays->set_nodes->len || arrays->set_sizes->len != arrays->set_nodes->len)
		return fail_tree(err, arrays->tree, "has another number of sets in", "categories_sizes");
	return 0;
}

static int find_arrays(const struct sl_file_value *tree, size_t number, struct tree_arrays *ret, struct sl_error *err)
{
	const struct sl_file_value *param = sl_file_get(tree, "tree_param"), *id = sl_file_get(tree, "id");
	int64_t nodes, leaf_values;
	int rc = text_int(param, "num_nodes", 0, SL_FOREST_NODES_MAX, &nodes, err);
	if (rc || (rc = text_int(param, "size_leaf_vector", 1, INT32_MAX, &leaf_values, err)))
		return sl_error_context(err, "tree %zu", number);
	if (nodes == 0)
		return sl_fail(err, SL_E_INVALID, "tree %zu: has no nodes", number);
	if (leaf_values > 1)
		return sl_fail(err, SL_E_INVALID, "tree %zu: leaves with %lld values are not supported", number,
			       (long long)leaf_values);
	if (id && (id->kind != SL_FILE_INT || id->i != (int64_t)number))
		return sl_fail(err, SL_E_INVALID, "tree %zu: its id is another", number);
	*ret = (struct tree_arrays){.tree = number, .count = (size_t)nodes};
	if ((rc = find_array(tree, "left_children", ret, &ret->left, err)) ||
	    (rc = find_array(tree, "right_children", ret, &ret->right, err)) ||
	    (rc = find_array(tree, "split_indices", ret, &ret->feature, err)) ||
	    (rc = find_array(tree, "split_conditions", ret, &ret->condition, err)) ||
	    (rc = find_array(tree, "default_left", ret, &ret->missing_left, err)))
		return rc;
	const struct sl_file_value *type = sl_file_get(tree, "split_type"), *cover = sl_file_get(tree, "sum_hessian");
	if (cover && sl_file_is_numbers(cover) && cover->len == ret->count)
		ret->cover = cover;
	if (!type || !type->len)
		return 0;
	if ((rc = find_array(tree, "split_type", ret, &ret->split_type, err)))
		return rc;
	for (size_t i = 0; i < ret->count; i++)
		if (sl_file_int(ret->split_type, i) != 0)
			return find_sets(tree, ret, err);
	return 0;
}

static int fail_node(struct sl_error *err, size_t tree, uint32_t node, const char *what)
{
	return sl_fail(err, SL_E_INVALID, "tree %zu, node %u: %s", tree, node, what);
}

/* Work of one tree's renumbering. `from[k]` is the file's number of our node k; `seen` has a mark per node of the file. */
struct renumber {
	uint32_t *from;
	unsigned char *seen;
	uint32_t *set_of; /* by the file's number: which set of categories, from 1; 0: none */
	uint32_t count;	  /* nodes found so far */
};

static int take_child(const struct tree_arrays *in, struct renumber *work, uint32_t node, const char *side, int64_t child,
		      struct sl_error *err)
{
	if (child < 0 || (uint64_t)child >= in->count)
		return sl_fail(err, SL_E_INVALID, "tree %zu, node %u: its %s child %lld is beyond the tree's %zu nodes", in->tree,
			       node, side, (long long)child, in->count);
	if (work->seen[child])
		return sl_fail(err, SL_E_INVALID,
			       "tree %zu, node %u: its %s child %lld is reached a second time (a cycle or a shared node)",
			       in->tree, node, side, (long long)child);
	work->seen[child] = 1;
	work->from[work->count++] = (uint32_t)child;
	return 0;
}

/* Which node has which set. */
static int take_sets(const struct tree_arrays *in, struct renumber *work, struct sl_error *err)
{
	memset(work->set_of, 0, in->count * sizeof *work->set_of);
	for (size_t i = 0; in->set_nodes && i < in->set_nodes->len; i++) {
		int64_t node = sl_file_int(in->set_nodes, i);
		if (node < 0 || (uint64_t)node >= in->count)
			return sl_fail(err, SL_E_INVALID, "tree %zu: a set of categories is of node %lld, beyond the tree's %zu nodes",
				       in->tree, (long long)node, in->count);
		work->set_of[node] = (uint32_t)i + 1;
	}
	return 0;
}

static int take_categories(const struct tree_arrays *in, uint32_t node, uint32_t set, struct sl_forest *forest,
			   struct sl_forest_node *ret, struct sl_error *err)
{
	int64_t begin = sl_file_int(in->set_begins, set), size = sl_file_int(in->set_sizes, set), most = 0;
	if (begin < 0 || size < 0 || (uint64_t)begin > in->categories->len || (uint64_t)size > in->categories->len - (uint64_t)begin)
		return fail_node(err, in->tree, node, "its set of categories is beyond 'categories'");
	for (int64_t i = begin; i < begin + size; i++) {
		int64_t category = sl_file_int(in->categories, (size_t)i);
		if (category < 0 || category >= SL_FOREST_CATEGORIES_MAX)
			return fail_node(err, in->tree, node, "a category of its set is negative or too large");
		most = category > most ? category : most;
	}
	int rc = sl_forest_add_set(forest, (size_t)most / 32 + 1, &ret->set, err);
	for (int64_t i = begin; !rc && i < begin + size; i++) {
		uint32_t category = (uint32_t)sl_file_int(in->categories, (size_t)i);
		forest->sets[ret->set + 1 + category / 32] |= 1u << category % 32;
	}
	ret->feature |= SL_FOREST_CATEGORIES;
	return rc;
}

static int take_split(const struct tree_arrays *in, const struct renumber *work, uint32_t node, struct sl_forest *forest,
		      struct sl_forest_node *ret, struct sl_error *err)
{
	int64_t feature = sl_file_int(in->feature, node);
	if (feature < 0 || (uint64_t)feature >= forest->features)
		return sl_fail(err, SL_E_INVALID, "tree %zu, node %u: feature %lld is beyond the model's %zu features", in->tree,
			       node, (long long)feature, forest->features);
	ret->feature = (uint32_t)feature | (sl_file_int(in->missing_left, node) ? SL_FOREST_MISSING_LEFT : 0);
	if (in->split_type && sl_file_int(in->split_type, node) != 0) {
		if (!work->set_of[node])
			return fail_node(err, in->tree, node, "it splits by a set of categories and has none");
		return take_categories(in, node, work->set_of[node] - 1, forest, ret, err);
	}
	return isnan(ret->value) ? fail_node(err, in->tree, node, "its split condition is not a number") : 0;
}

/* Copies what the root reaches, breadth first; what it does not reach are nodes that pruning left behind. */
static int take_tree(const struct tree_arrays *in, struct sl_forest *forest, struct renumber *work, struct sl_forest_tree *ret,
		     struct sl_error *err)
{
	struct sl_forest_node *nodes = forest->nodes + forest->node_count;
	float *cover = forest->cover ? forest->cover + forest->node_count : NULL;
	memset(work->seen, 0, in->count);
	work->seen[0] = 1;
	work->from[0] = 0;
	work->count = 1;
	uint32_t level_end = 1; /* the first node of the next level */
	for (uint32_t k = 0; k < work->count; k++) {
		uint32_t node = work->from[k];
		int64_t left = sl_file_int(in->left, node);
		int rc;
		if (k == level_end) {
			ret->depth++;
			level_end = work->count;
		}
		nodes[k] = (struct sl_forest_node){.value = sl_file_float(in->condition, node)};
		if (cover)
			cover[k] = sl_file_float(in->cover, node);
		if (left == -1) {
			if (!isfinite(nodes[k].value))
				return fail_node(err, in->tree, node, "its leaf value is not finite");
			continue;
		}
		nodes[k].left = work->count;
		if ((rc = take_split(in, work, node, forest, &nodes[k], err)) ||
		    (rc = take_child(in, work, node, "left", left, err)) ||
		    (rc = take_child(in, work, node, "right", sl_file_int(in->right, node), err)))
			return rc;
	}
	ret->nodes = nodes;
	ret->node_count = work->count;
	return 0;
}

static int take_trees(const struct sl_file_value *trees, const struct sl_file_value *groups, struct sl_forest *forest,
		      struct renumber *work, struct sl_error *err)
{
	for (size_t t = 0; t < forest->tree_count; t++) {
		struct tree_arrays arrays;
		struct sl_forest_tree *tree = &forest->trees[t];
		int64_t output = sl_file_int(groups, t);
		int rc = find_arrays(&trees->items[t], t, &arrays, err);
		if (rc)
			return rc;
		if (output < 0 || (uint64_t)output >= forest->margins)
			return sl_fail(err, SL_E_INVALID, "tree %zu: output %lld is beyond the model's %zu", t, (long long)output,
				       forest->margins);
		if (!arrays.cover) {
			sl_free(forest->cover);
			forest->cover = NULL;
		}
		if ((rc = take_sets(&arrays, work, err)) || (rc = take_tree(&arrays, forest, work, tree, err)))
			return rc;
		tree->output = (uint32_t)output;
		forest->node_count += tree->node_count;
	}
	return 0;
}

/* Room for all nodes: no tree takes more of them than its left_children has items. */
static int count_nodes(const struct sl_file_value *trees, size_t *ret_all, size_t *ret_largest, struct sl_error *err)
{
	*ret_all = *ret_largest = 0;
	for (size_t t = 0; t < trees->len; t++) {
		const struct sl_file_value *left = sl_file_get(&trees->items[t], "left_children");
		if (!sl_file_is_numbers(left))
			return fail_tree(err, t, "has no list of numbers", "left_children");
		*ret_all += left->len;
		if (*ret_all > SL_FOREST_NODES_MAX)
			return sl_fail(err, SL_E_TOO_LARGE, "tree %zu: the model has more than %d nodes", t, SL_FOREST_NODES_MAX);
		if (*ret_largest < left->len)
			*ret_largest = left->len;
	}
	return 0;
}

static int read_trees(const struct sl_file_value *model, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *trees = sl_file_get(model, "trees"), *groups = sl_file_get(model, "tree_info");
	size_t all, largest;
	/* A list without items is read as an empty list of numbers. */
	if (!trees || trees->kind != SL_FILE_ARRAY || (trees->packed && trees->len))
		return sl_fail(err, SL_E_INVALID, "the model has no list of trees");
	if (trees->len > SL_FOREST_TREES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the model has %zu trees, more than %d", trees->len, SL_FOREST_TREES_MAX);
	if (!sl_file_is_numbers(groups) || groups->len != trees->len)
		return sl_fail(err, SL_E_INVALID, "'tree_info' does not hold one number per tree");
	int rc = count_nodes(trees, &all, &largest, err);
	if (rc)
		return rc;
	struct renumber work = {.from = sl_alloc_array(largest + 1, sizeof *work.from, err), .seen = sl_alloc(largest + 1, err),
				.set_of = sl_alloc_array(largest + 1, sizeof *work.set_of, err)};
	forest->tree_count = trees->len;
	forest->trees = sl_alloc_array(trees->len + 1, sizeof *forest->trees, err);
	forest->nodes = sl_alloc_array(all + 1, sizeof *forest->nodes, err);
	forest->cover = sl_alloc_array(all + 1, sizeof *forest->cover, err);
	if (!work.from || !work.seen || !work.set_of || !forest->trees || !forest->nodes || !forest->cover)
		rc = SL_E_NO_MEMORY;
	else
		rc = take_trees(trees, groups, forest, &work, err);
	sl_free(work.from);
	sl_free(work.seen);
	sl_free(work.set_of);
	return rc;
}

/* Column names, when the booster was trained with some. */
static int read_names(const struct sl_file_value *learner, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *names = sl_file_get(learner, "feature_names");
	size_t total = 0;
	if (!names || names->kind != SL_FILE_ARRAY || names->len == 0)
		return 0;
	if (names->packed || names->len != forest->features)
		return sl_fail(err, SL_E_INVALID, "'feature_names' does not hold %zu names", forest->features);
	for (size_t i = 0; i < names->len; i++) {
		const struct sl_file_value *name = &names->items[i];
		if (name->kind != SL_FILE_TEXT || !name->len || name->len > SL_INFER_NAME_MAX || memchr(name->text, 0, name->len) ||
		    !sl_utf8_valid(name->text, name->len))
			return sl_fail(err, SL_E_INVALID, "'feature_names': item %zu is no name", i);
		total += name->len + 1;
	}
	forest->names = sl_alloc_array(names->len, sizeof *forest->names, err);
	forest->name_text = sl_alloc(total, err);
	if (!forest->names || !forest->name_text)
		return SL_E_NO_MEMORY;
	char *p = forest->name_text;
	for (size_t i = 0; i < names->len; i++) {
		forest->names[i] = memcpy(p, names->items[i].text, names->items[i].len);
		p += names->items[i].len + 1;
	}
	return 0;
}

static int read_booster(const struct sl_file_value *learner, struct sl_forest *forest, struct sl_error *err)
{
	const struct sl_file_value *booster = sl_file_get(learner, "gradient_booster"), *name = sl_file_get(booster, "name");
	if (sl_file_is_text(name, "gbtree"))
		return read_trees(sl_file_get(booster, "model"), forest, err);
	if (sl_file_is_text(name, "dart"))
		return sl_fail(err, SL_E_INVALID,
			       "booster 'dart' is not supported: its trees are weighted, and the weights depend on the call");
	if (sl_file_is_text(name, "gblinear"))
		return sl_fail(err, SL_E_INVALID, "booster 'gblinear' is not supported: it has no trees");
	return sl_fail(err, SL_E_INVALID, "the model names no booster that is known");
}

int sl_forest_read_xgboost(bool ubj, const void *data, size_t len, struct sl_forest *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = NULL;
	struct sl_file_value root;
	int rc = ubj ? sl_file_read_ubj(data, len, &arena, &root, err) : sl_file_read_json(data, len, &arena, &root, err);
	if (rc)
		return rc;
	const struct sl_file_value *learner = sl_file_get(&root, "learner");
	if (!learner || learner->kind != SL_FILE_OBJECT)
		return sl_fail(err, SL_E_INVALID, "the file is not an XGBoost model: it has no 'learner'");
	if ((rc = read_learner(learner, ret, err)) || (rc = read_names(learner, ret, err)))
		return rc;
	return read_booster(learner, ret, err);
}

/* What a model would have answered, had its inputs been others: partial dependence and counterfactuals. (What it did answer is
 * split among the inputs by sl_infer_explain.) Everything here asks the model itself, so that no answer is estimated.
 */
#ifndef SL_LEARN_EXPLAIN_H
#define SL_LEARN_EXPLAIN_H

#include "learn/package.h"

enum {
	SL_GRID_MAX = 64,		/* values of one feature that are tried */
	SL_COUNTERFACTUALS_MAX = 5,
	SL_CHANGES_MAX = 4,		/* of one counterfactual */
};

/* Values of a feature that cover what training saw: a number's bins (their middles and the outer edges, rounded where the column
 * holds whole numbers), a category's most frequent values. Ascending for numbers. Returns how many, at most SL_GRID_MAX. */
size_t sl_explain_grid(const struct sl_feature *feature, const struct sl_reference_column *column, float ret[SL_GRID_MAX]);

/* Friedman's partial dependence: ret[g] is the mean of output `output` over `count` rows (row-major) with the feature put to
 * grid[g]. */
int sl_explain_dependence(const struct sl_package *package, const struct sl_infer *infer, const float *rows, size_t count,
			  size_t feature, const float *grid, size_t grid_count, size_t output, double *ret, struct sl_error *err);

/* What a counterfactual has to reach. */
struct sl_goal {
	size_t output;	 /* binary: 0; multiclass: the class that must be the most probable */
	bool most;	 /* multiclass */
	bool above;	 /* else: output >= bar when above, < bar when not */
	double bar;
};
bool sl_goal_reached(const struct sl_goal *goal, const float *outputs, size_t output_count);

struct sl_change {
	size_t feature;
	float from, to;
};
struct sl_counterfactual {
	struct sl_change changes[SL_CHANGES_MAX];
	size_t change_count;
	double distance; /* sum over the changes: share of training rows between from and to; a category or a missing value counts 1 */
	float outputs[SL_CLASSES_MAX];
};

/* The nearest inputs that reach the goal: fewest changes first, then the smallest distance, each with another set of features. A
 * beam search over the grids of all features that `keep` (one byte per feature, NULL: none) does not hold fast, then each number
 * is moved back towards what it was while the goal holds. Exact in what it reports, not in being the nearest of all. *ret_count 0:
 * none with at most SL_CHANGES_MAX changes was found. */
int sl_explain_counterfactuals(const struct sl_package *package, const struct sl_reference *reference, const struct sl_infer *infer,
			       const float *row, const struct sl_goal *goal, const unsigned char *keep,
			       struct sl_counterfactual ret[SL_COUNTERFACTUALS_MAX], size_t *ret_count, struct sl_error *err);

#endif

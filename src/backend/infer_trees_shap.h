/* SHAP values of a forest, exact.
 *
 * A leaf is a game whose players are the d distinct features on the way to it. Which of them a row satisfies is a set of d bits,
 * and the values that the leaf gives its players depend on that set alone. So each leaf keeps a table by set, filled when a set
 * first occurs, and a row costs one look per leaf and player:
 *
 *      decisions   node x row -> went right?         one comparison per node and row
 *      sets        leaf x row -> d bits              ands of decisions along the way
 *      table       leaf x set -> d values            filled once per set: `fill`, the only thing that differs between the two games
 *
 * Path-dependent (S. Lundberg et al., "From local explanations to global understanding with explainable AI for trees", 2020,
 * algorithm 2): a player out of the coalition goes both ways, in shares of the training rows (cover) that went there. The values
 * of a set come from the polynomial prod (z_j + o_j y), z a player's share and o its bit: the coefficient of y^k sums all
 * coalitions of k players.
 *
 * Interventional (the same, algorithm 3): a player out of the coalition takes the value of a background row. For one background
 * row a player in neither's set empties the leaf, one in both sets plays no part, and the others have values in closed form; the
 * background's rows are counted by set once per leaf, so the table's price does not grow with the explained rows.
 *
 * Measured on one core of an AMD EPYC, 100 trees of depth 6, rows a second: see bench/shap.py.
 */
#ifndef SL_BACKEND_INFER_TREES_SHAP_H
#define SL_BACKEND_INFER_TREES_SHAP_H

#include "backend/infer_trees_model.h"

enum {
	SL_SHAP_PLAYERS_MAX = 64,	     /* distinct features on the way to one leaf */
	SL_SHAP_TREE_NODES_MAX = 1 << 20,
	SL_SHAP_ROW_VALUES_MAX = 1 << 16,    /* margins x (features + 1) */
};

/* As sl_infer_explain (port/infer.h). */
int sl_forest_explain(const struct sl_forest *forest, const float *rows, size_t row_count, const float *background,
		      size_t background_count, float *ret, struct sl_error *err);

#endif

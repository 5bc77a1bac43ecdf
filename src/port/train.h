/* Port "train": gradient-boosted trees, grown round by round. Backend: XGBoost's C API (backend/xgboost.c), loaded on first use.
 *
 * A trainer belongs to one thread at a time. The same rows in the same order, options, seed and thread count give the same bytes
 * of model.
 */
#ifndef SL_PORT_TRAIN_H
#define SL_PORT_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Rows in pieces, so that a table of unknown length is collected without copying it when it grows. */
struct sl_train_piece {
	const float *rows; /* row_count x features, row-major; NaN = missing; infinity is refused by the library */
	size_t row_count;
};
struct sl_train_data {
	const struct sl_train_piece *pieces;
	size_t piece_count;
	size_t features;
	const float *labels;  /* one per row, over all pieces; classes are 0, 1, 2 ... */
	const float *weights; /* one per row, >= 0; NULL: all 1 */
};
struct sl_train_option {
	const char *name, *value;
}; /* in the library's own words: {"max_depth", "6"} */

struct sl_trainer;

/* Takes in the rows (binned to max_bin values, 1 or 2 bytes each); `train` and `validation` (may be NULL) may be freed on return.
 * SL_E_NO_LIBRARY, SL_E_INVALID with the library's own words when it refuses a value. */
int sl_trainer_new(const struct sl_train_data *train, const struct sl_train_data *validation,
		   const struct sl_train_option *options, size_t option_count, struct sl_trainer **ret, struct sl_error *err);
void sl_trainer_free(struct sl_trainer *trainer); /* NULL is fine */
void sl_trainer_freep(struct sl_trainer **trainer);

/* Grows the trees of round `round` (from 0). */
int sl_trainer_round(struct sl_trainer *trainer, int round, struct sl_error *err);

enum sl_train_set { SL_TRAIN_SET, SL_VALIDATION_SET };
struct sl_train_score {
	char name[32];
	double value;
}; /* "logloss", "auc", ...: the library's eval_metric */
/* The eval metrics of the model so far on one of its sets; at most `max` into `ret`. */
int sl_trainer_scores(struct sl_trainer *trainer, enum sl_train_set set, int round, struct sl_train_score *ret, size_t max,
		      size_t *ret_count, struct sl_error *err);

/* The first `rounds` rounds (0: all) as "ubj" or "json" appended to `out`. */
int sl_trainer_save(struct sl_trainer *trainer, int rounds, const char *format, struct sl_buf *out, struct sl_error *err);

/* Total gain of each feature's splits (0 where it is never used) into ret[features]. */
int sl_trainer_importance(struct sl_trainer *trainer, size_t features, double *ret, struct sl_error *err);

/* "xgboost 3.2.0"; NULL when the library is missing. */
const char *sl_trainer_version(struct sl_error *err);

#endif

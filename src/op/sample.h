/* Rows of a dataset as a model reads them. */
#ifndef SL_OP_SAMPLE_H
#define SL_OP_SAMPLE_H

#include "learn/package.h"
#include "op/context.h"

struct sl_sample {
	float *rows; /* count x features, row-major */
	size_t count;
	uint64_t of; /* rows of the dataset */
};
void sl_sample_done(struct sl_sample *sample);

/* At most `most` rows of `dataset` ("flights", "flights@3f9c1a"), evenly taken in the dataset's order, so that the same version
 * gives the same rows. SL_E_INVALID names a column that the model reads and the dataset lacks. */
int sl_sample_dataset(struct sl_call *call, struct sl_store *store, const struct sl_package *package, const char *dataset, size_t most,
	struct sl_sample *ret, struct sl_error *err);

#endif

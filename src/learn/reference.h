/* Reference statistics: what the training rows and the model's answers on them looked like, kept with the model for monitoring
 * (docs/formats/model.md, "sluice.reference/1"). */
#ifndef SL_LEARN_REFERENCE_H
#define SL_LEARN_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "learn/encode.h"

enum { SL_REFERENCE_BINS = 10 };

/* One column. Numbers: `bin_count` bins, bin i holds edges[i-1] < x <= edges[i], the last one x > edges[bin_count-2]; edges are
 * deciles of the training rows, equal ones merged. Categories: counts beside the feature's dictionary. */
struct sl_reference_column {
	const char *name;
	enum sl_encoding encoding;
	uint64_t present, missing;	  /* rows with and without a value */
	double min, max, mean;		  /* numbers; NaN when no row has a value */
	size_t bin_count;		  /* numbers: 1..SL_REFERENCE_BINS; categories: the dictionary's count */
	const double *edges;		  /* numbers: bin_count - 1 */
	const uint64_t *counts;		  /* bin_count */
	const struct sl_category *values; /* categories: bin_count, sorted; else NULL */
};
struct sl_reference {
	uint64_t rows;
	struct sl_reference_column *features;
	size_t feature_count;
	struct sl_reference_column *predictions; /* one per output: "probability", a class, or "prediction" */
	size_t prediction_count;
	double target_mean;	    /* binary: share of class 1; regression: mean; multiclass: NaN */
	const double *class_shares; /* multiclass: one per prediction; else NULL */
};

/* The statistics of `count` values; every `stride`-th float. Numbers only. */
int sl_reference_number(const char *name, const float *values, size_t count, size_t stride, struct sl_arena *arena,
			struct sl_reference_column *ret, struct sl_error *err);
/* The bin of a value, 0 .. bin_count-1; `x` must not be NaN. Numbers only. */
size_t sl_reference_bin(const struct sl_reference_column *column, double x);

int sl_reference_write(const struct sl_reference *reference, struct sl_buf *out, struct sl_error *err); /* canonical JSON */
/* Hostile until checked: counts, order of edges, sums. */
int sl_reference_parse(const char *text, size_t len, struct sl_arena *arena, struct sl_reference *ret, struct sl_error *err);

#endif

/* The distribution of one column, from one pass over its values in bounded memory: exact while it has few different values,
 * sketched from then on (data/sketch.h). Numbers, times (microseconds) and truth values (0 and 1) are numbers; all else is text.
 * NaN, the infinities and null are missing.
 */
#ifndef SL_DATA_DISTRIBUTION_H
#define SL_DATA_DISTRIBUTION_H

#include "data/profile_column.h"

struct sl_distribution {
	bool texts;                     /* which of the two; set before the first value */
	uint32_t exact_max;             /* numbers: different values that are counted one by one; 0: SL_FREQUENT_VALUES */
	uint32_t level_size;            /* of the sketch (struct sl_quantiles); 0: the most exact */
	uint64_t rows, missing;
	struct sl_moments moments;      /* numbers */
	double min, max;                /* numbers; unless there is one, both 0 */
	struct sl_frequent frequent;    /* every value; of numbers only until there are exact_max */
	struct sl_quantiles *quantiles; /* numbers, from then on */
};
void sl_distribution_done(struct sl_distribution *d);

/* At most SL_PROFILE_CHUNK rows of a chunk: those in `rows` (indices), or the first `count` when NULL. The column is of the kind
 * that d->texts says. 0 or SL_E_NO_MEMORY. */
int sl_distribution_add(struct sl_distribution *d, const struct sl_sql_column *column, const uint32_t *rows, size_t count);
int sl_distribution_add_number(struct sl_distribution *d, double value);
int sl_distribution_add_text(struct sl_distribution *d, const char *text, size_t len);
void sl_distribution_add_missing(struct sl_distribution *d);

uint64_t sl_distribution_present(const struct sl_distribution *d);
/* How far off the share of the values at or below any number may be (99 %); 0: exact. Numbers only. */
double sl_distribution_error(const struct sl_distribution *d);
/* Numbers: what is known of the values, rising; free with sl_free. NULL: no memory. */
struct sl_weighted *sl_distribution_items(const struct sl_distribution *d, size_t *ret_count);

#endif

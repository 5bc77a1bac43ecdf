/* Inside data/: one column of a profile while its values come, and pairs of columns. */
#ifndef SL_DATA_PROFILE_COLUMN_H
#define SL_DATA_PROFILE_COLUMN_H

#include "data/profile.h"
#include "data/sketch.h"

enum { SL_PROFILE_CHUNK = 2048 };

/* Count, mean and sum of squared distances from it; two of them add up (Chan, Golub, LeVeque 1979). */
struct sl_moments { double n, mean, squares; };
void sl_moments_add(struct sl_moments *into, const struct sl_moments *from);

struct sl_profile_work {
	struct sl_profile_column *out;
	enum sl_sql_kind source;       /* what the engine hands over */
	struct sl_moments moments;
	double sum_length;
	struct sl_frequent frequent;
	struct sl_distinct *distinct;  /* these two from the moment when `frequent` is full */
	struct sl_quantiles *quantiles;
	char *first, *last;            /* TEXT: least and greatest value */
	uint32_t first_len, last_len;
};
void sl_profile_work_done(struct sl_profile_work *w);
/* One chunk: at most SL_PROFILE_CHUNK rows. 0 or SL_E_NO_MEMORY. */
int sl_profile_work_add(struct sl_profile_work *w, const struct sl_sql_column *column, size_t rows);
/* Fills the rest of *w->out. */
int sl_profile_work_end(struct sl_profile_work *w, struct sl_arena *arena, struct sl_error *err);

/* Correlations of up to SL_PROFILE_PAIRED_MAX columns. */
struct sl_pair_sums { double n, mean_a, mean_b, ab, aa, bb; };
struct sl_profile_pairs {
	size_t columns[SL_PROFILE_PAIRED_MAX], count;
	struct sl_pair_sums sums[SL_PROFILE_PAIRED_MAX * (SL_PROFILE_PAIRED_MAX - 1) / 2];
	double (*values)[SL_PROFILE_CHUNK]; /* one per column: the chunk, centred; 0 where there is no value */
	unsigned char (*valid)[SL_PROFILE_CHUNK];
	double means[SL_PROFILE_PAIRED_MAX];
	size_t present[SL_PROFILE_PAIRED_MAX];
};
void sl_profile_pairs_done(struct sl_profile_pairs *p);
int sl_profile_pairs_add(struct sl_profile_pairs *p, const struct sl_sql_column *columns, size_t rows);
double sl_profile_pairs_get(const struct sl_profile_pairs *p, size_t pair);

#endif

/* An even sample of a side's rows, as floats, taken while they are read: those whose number hashes lowest. Equal rows in
 * equal order give equal samples. Numbers and times as they are, texts as 24 bits of their hash, missing as NaN. */
#ifndef SL_WATCH_DRIFT_SAMPLE_H
#define SL_WATCH_DRIFT_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SL_DRIFT_SAMPLE_ROWS = 10000, SL_DRIFT_SAMPLE_VALUES_MAX = 4 << 20 };

struct sl_drift_sample {
	size_t features, most, count;
	float *rows;                    /* count x features, in no order */
	uint64_t *keys;                 /* a heap: the highest first; beside the rows */
	uint64_t seen;
};
void sl_drift_sample_done(struct sl_drift_sample *sample);
/* false: no memory. */
bool sl_drift_sample_begin(struct sl_drift_sample *sample, size_t features);
/* Whether the next row belongs to the sample so far. */
bool sl_drift_sample_wants(struct sl_drift_sample *sample);
/* Keeps the row that was just wanted; `row` has the features. */
void sl_drift_sample_keep(struct sl_drift_sample *sample, const float *row);
float sl_drift_sample_text(const char *text, size_t len);

#endif

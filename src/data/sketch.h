/* Sketches: small summaries of any number of values, filled in one pass, that merge. What each promises is measured by
 * tests/unit/data/test_sketch.c. All are deterministic: equal values in equal order give equal sketches.
 */
#ifndef SL_DATA_SKETCH_H
#define SL_DATA_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A 64-bit hash of a number's bits, or of bytes: every bit of the input moves about half of the output's. */
uint64_t sl_sketch_hash(uint64_t bits);
uint64_t sl_sketch_hash_bytes(const void *data, size_t len);

/* ---- quantiles ----
 * KLL with levels of equal size (Karnin, Lang, Liberty: "Optimal Quantile Approximation in Streams", 2016; the variant with one
 * buffer size per level is Agarwal et al., "Mergeable Summaries", 2012, section 4): level h holds values that stand for 2^h
 * each; a full level is sorted, and every second value of it goes up. Below 2,048 values it is exact. Above, the rank of an
 * answer differs from the one asked for by less than SL_QUANTILE_ERROR of the values with 99 % probability. */
enum { SL_QUANTILE_LEVEL = 2048, SL_QUANTILE_LEVELS_MAX = 40 };
#define SL_QUANTILE_ERROR 0.001

struct sl_quantiles {
	uint32_t level_size;                    /* values of a level, even; 0: SL_QUANTILE_LEVEL, the most. The error rises as it falls */
	double *levels[SL_QUANTILE_LEVELS_MAX]; /* made when first needed */
	uint32_t counts[SL_QUANTILE_LEVELS_MAX];
	size_t level_count;
	uint64_t values;
	uint64_t coin;                          /* state of the generator that picks odd or even */
};
void sl_quantiles_done(struct sl_quantiles *q);
/* `weight` times the value, which must not be NaN. false: no memory. */
bool sl_quantiles_add(struct sl_quantiles *q, double value, uint64_t weight);
/* Each value once; about 30 ns a value. */
bool sl_quantiles_add_all(struct sl_quantiles *q, const double *values, size_t count);
bool sl_quantiles_merge(struct sl_quantiles *into, const struct sl_quantiles *from);
/* Values with how many of them each stands for, rising: what is left of a stream, or all of it. */
struct sl_weighted { double value; uint64_t weight; };
void sl_weighted_sort(struct sl_weighted *items, size_t count);
/* All that is kept, sorted; NULL: no memory. Free with sl_free. */
struct sl_weighted *sl_quantiles_items(const struct sl_quantiles *q, size_t *ret_count);
/* The least value v with at least shares[i] (0..1, rising) of the weight at or below it. There is at least one item. */
void sl_weighted_quantiles(const struct sl_weighted *items, size_t item_count, const double *shares, size_t count, double *ret);
/* The weight of the values <= edges[i] (rising). */
void sl_weighted_ranks(const struct sl_weighted *items, size_t item_count, const double *edges, size_t count, uint64_t *ret);

/* ---- number of different values ----
 * HyperLogLog with 2^14 registers (Flajolet et al., 2007) and Ertl's estimator ("New cardinality estimation algorithms for
 * HyperLogLog sketches", 2017, algorithm 6): standard error 0.8 %. */
enum { SL_DISTINCT_BITS = 14, SL_DISTINCT_REGISTERS = 1 << SL_DISTINCT_BITS };
#define SL_DISTINCT_ERROR 0.0081

struct sl_distinct { uint8_t registers[SL_DISTINCT_REGISTERS]; };
void sl_distinct_add(struct sl_distinct *d, uint64_t hash);
void sl_distinct_merge(struct sl_distinct *into, const struct sl_distinct *from);
uint64_t sl_distinct_count(const struct sl_distinct *d);

/* ---- frequent values ----
 * Every value with its count while there are at most SL_FREQUENT_VALUES different ones. Then the sketch of Anderson et al. ("A
 * High-Performance Algorithm for Identifying Frequent Items in Data Streams", 2017): when the table is full, the median of its
 * counts is taken off every count, and who has nothing left goes. A count is then too low by at most `error`, which is at most
 * 2 / SL_FREQUENT_VALUES of all values. Texts of more than 256 bytes are kept by their first 256 bytes, length and hash. */
enum { SL_FREQUENT_VALUES = 8192, SL_FREQUENT_TEXT_MAX = 256 };

struct sl_frequent_item {
	uint64_t hash, bits; /* bits: of a number; of a text its place in the pool */
	uint64_t count;      /* 0: an empty slot */
	uint32_t len, kept;  /* bytes of a text, and of them those in the pool */
};
struct sl_frequent {
	struct sl_frequent_item *slots;
	size_t slot_count, used;
	char *pool;
	size_t pool_len, pool_cap;
	uint64_t error;      /* 0: exact */
};
void sl_frequent_done(struct sl_frequent *f);
/* `full` tells whether the next new value will cost exactness: the moment to start other sketches from what is here. */
bool sl_frequent_full(const struct sl_frequent *f);
/* 0 or SL_E_NO_MEMORY. */
int sl_frequent_add(struct sl_frequent *f, uint64_t bits, uint64_t count);
int sl_frequent_add_text(struct sl_frequent *f, const char *text, uint32_t len, uint64_t hash, uint64_t count);
/* NULL: it is not there. */
const struct sl_frequent_item *sl_frequent_find_text(const struct sl_frequent *f, const char *text, uint32_t len, uint64_t hash);
/* The items by falling count, equal ones by value (`compare` of two items, like qsort's): at most `max`. Returns how many. */
typedef int sl_frequent_compare(const struct sl_frequent *f, const struct sl_frequent_item *a, const struct sl_frequent_item *b);
size_t sl_frequent_top(const struct sl_frequent *f, sl_frequent_compare *compare, const struct sl_frequent_item **ret, size_t max);

#endif

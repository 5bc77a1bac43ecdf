/* Profiles: what the rows of a dataset version look like, column by column, from one pass over them. Stored with the version
 * (docs/formats/profile.md has the shape and every definition).
 *
 * Counts, minimum, maximum, mean and deviation are exact. So is the rest of a column with at most SL_FREQUENT_VALUES different
 * values; of others, number of different values, quantiles, histogram and counts of frequent values come from sketches, and
 * say how far off they can be (data/sketch.h). Equal rows in equal order give equal profiles.
 */
#ifndef SL_DATA_PROFILE_H
#define SL_DATA_PROFILE_H

#include "data/dataset.h"

enum sl_profile_kind { SL_PROFILE_NUMBER, SL_PROFILE_TIME, SL_PROFILE_BOOL, SL_PROFILE_TEXT, SL_PROFILE_OTHER };

enum {
	SL_PROFILE_QUANTILES = 101,    /* 0 %, 1 % ... 100 % */
	SL_PROFILE_BINS = 20,          /* of the histogram, of equal width from min to max */
	SL_PROFILE_TOP = 20,
	SL_PROFILE_COLUMNS_MAX = 2000, /* further columns are left out: 2000 take at most 1.3 GiB, tables of few values 10 MiB */
	SL_PROFILE_PAIRED_MAX = 32,    /* the first number columns, whose correlations are told */
	SL_PROFILE_BYTES_MAX = 64 << 20,
};

struct sl_profile_top { const char *text; double number; uint64_t count; }; /* text of TEXT; else number (BOOL 0/1, TIME us) */

struct sl_profile_column {
	const char *name, *type;
	enum sl_profile_kind kind;
	bool whole;                    /* NUMBER: of an integer type */
	uint64_t present, missing;     /* rows with and without a value */
	uint64_t zeros, negative;      /* NUMBER */
	uint64_t nan, infinite;        /* NUMBER, TIME: counted as present, and left out of all that follows */
	uint64_t distinct;
	double distinct_error;         /* standard error as a share; 0: exact */
	double min, max, mean, std;    /* NUMBER, TIME (microseconds since 1970), BOOL; std is the sample's, NaN below 2 rows */
	const char *min_text, *max_text; /* TEXT: first and last in the order of bytes; "" when there is none */
	double quantiles[SL_PROFILE_QUANTILES], quantile_error; /* NUMBER, TIME; error as a share of the rows */
	size_t bin_count;              /* 0: no value, 1: all equal */
	uint64_t bins[SL_PROFILE_BINS]; /* bin i: over its lower edge up to its upper one; the first one holds min as well */
	struct sl_profile_top top[SL_PROFILE_TOP];
	size_t top_count;
	uint64_t top_error;            /* a count may be too low by this */
	uint64_t length_min, length_max; /* TEXT: characters */
	double length_mean;
};
struct sl_profile_pair { size_t a, b; double r; }; /* Pearson's, over rows where both have a value; NaN when one is constant */
struct sl_profile {
	uint64_t rows;
	struct sl_profile_column *columns;
	size_t column_count;
	struct sl_profile_pair *pairs;
	size_t pair_count;
};

/* Reads the table's files once in a session that may read them. Strings live in `arena`. SL_E_CANCELLED. */
int sl_profile_execute(struct sl_sql *sql, const struct sl_staged *table, struct sl_arena *arena, struct sl_profile *ret,
		       struct sl_error *err);
/* Lists, structs, maps, bytes ...: types of which only the missing are counted (SL_PROFILE_OTHER). */
bool sl_profile_counted_only(const char *type);
const struct sl_profile_column *sl_profile_column(const struct sl_profile *profile, const char *name); /* NULL: not there */

/* Canonical JSON, and back. */
int sl_profile_write(const struct sl_profile *profile, struct sl_buf *out, struct sl_error *err);
/* SL_E_CORRUPT says what is wrong. */
int sl_profile_parse(const char *text, size_t len, struct sl_arena *arena, struct sl_profile *ret, struct sl_error *err);

/* Inside the caller's transaction; a profile that is there stays. */
int sl_profile_keep(struct sl_meta *meta, const struct sl_hash *version, const char *text, struct sl_error *err);
/* 1 and the JSON text in `arena`; 0: none is kept. */
int sl_profile_find(struct sl_meta *meta, const struct sl_hash *version, struct sl_arena *arena, const char **ret,
		    struct sl_error *err);

/* "2001-03-01T10:30:15.000250Z"; trailing zeros are left out in threes. Returns `out`. */
enum { SL_PROFILE_TIME_TEXT = 40 };
char *sl_profile_time(double us, char out[SL_PROFILE_TIME_TEXT]);

#endif

/* Drift: how the rows of one side (the current one) differ from those of another (the reference), column by column and segment by
 * segment, with thresholds and with chance taken into account. docs/drift.md has the definitions.
 *
 *   dataset files --DuckDB--+                          +--> struct sl_drift_report --> JSON, HTML
 *   prediction log ---------+--> struct sl_drift_rows --> sl_drift_compare
 *   model's reference statistics (bins only) -----------^
 *
 * Each side is read once. Memory is bounded by columns and segments, not by rows: at most 800 KiB for a column of numbers, 300 KiB
 * for each of its segments, and for texts the size of 8,192 of them.
 */
#ifndef SL_WATCH_DRIFT_H
#define SL_WATCH_DRIFT_H

#include "data/distribution.h"
#include "learn/package.h"
#include "learn/reference.h"
#include "track/store.h"
#include "watch/drift_quality.h"
#include "watch/drift_sample.h"

enum {
	SL_DRIFT_COLUMNS_MAX = 2000,
	SL_DRIFT_SEGMENTS_MAX = 32,   /* the first to appear in the reference; all further values are one more */
	SL_DRIFT_BINS = 10,           /* of numbers: cut at the reference's deciles */
	SL_DRIFT_CATEGORIES_MAX = 256, /* of texts, when the reference has more than can be counted one by one */
	SL_DRIFT_HISTOGRAM = 30,
	SL_DRIFT_ROWS_MIN = 200,      /* a side with fewer is not judged */
};

enum sl_drift_kind { SL_DRIFT_NUMBER, SL_DRIFT_TIME, SL_DRIFT_TEXT };
enum sl_drift_role { SL_DRIFT_INPUT, SL_DRIFT_PREDICTION, SL_DRIFT_LABEL };
const char *sl_drift_role_name(enum sl_drift_role role);

/* ---- one side ---- */

struct sl_drift_field { const char *name; enum sl_drift_kind kind; enum sl_drift_role role; bool known; /* its kind: some value came */ };
struct sl_drift_group {
	const char *segment;             /* "" of the first group, which has all rows */
	bool missing, others;            /* the segment column's null; values beyond SL_DRIFT_SEGMENTS_MAX */
	uint64_t rows;
	struct sl_distribution *columns; /* beside the fields */
	struct sl_drift_quality *quality;      /* of the rows' predictions beside their labels; NULL: a side has no such columns */
};
struct sl_drift_rows {
	struct sl_arena *arena;
	struct sl_drift_field *fields;
	size_t field_count, field_room;
	struct sl_drift_group groups[SL_DRIFT_SEGMENTS_MAX + 3];
	size_t group_count;
	int prediction, label;           /* fields that are compared row by row; -1: there are not both */
	bool sampled;                    /* set before reading: keep whole rows as well */
	struct sl_drift_sample sample;
};
/* `arena` keeps names; the rest is freed by done. */
void sl_drift_rows_init(struct sl_drift_rows *rows, struct sl_arena *arena);
void sl_drift_rows_done(struct sl_drift_rows *rows);
/* Before `to` is filled: its segments are those of `from`, further values are one. */
int sl_drift_share_segments(const struct sl_drift_rows *from, struct sl_drift_rows *to, struct sl_error *err);
/* The field's index, or -1. */
int sl_drift_field(const struct sl_drift_rows *rows, const char *name, size_t name_len);

/* What is read of a side. The members are borrowed. */
struct sl_drift_columns {
	const char *const *only; size_t only_count; /* these columns; 0: all */
	const char *segment, *prediction, *label;   /* columns' names; NULL: none */
};
/* Reads the table's files once, in a session that may read them. Columns of lists, structs, maps and bytes are left out.
 * SL_E_NOT_FOUND names a column that is asked for and not there, SL_E_CANCELLED. */
int sl_drift_read_table(struct sl_sql *sql, const struct sl_staged *table, const struct sl_drift_columns *columns,
			struct sl_drift_rows *ret, struct sl_error *err);
/* Reads an endpoint's log once, rows of [from_ms, to_ms) in event time; the answers are columns "prediction", or one per class
 * ("prediction CLASS"), the inputs have the names of the request; hashed ones are left out. *ret_model: the package that answered
 * last (a zero hash when nothing did). SL_E_NOT_FOUND: there is no log. */
int sl_drift_read_log(struct sl_store *store, const char *endpoint, int64_t from_ms, int64_t to_ms,
		      const struct sl_drift_columns *columns, struct sl_drift_rows *ret, struct sl_hash *ret_model, struct sl_error *err);

/* ---- the comparison ---- */

enum sl_drift_statistic {
	SL_DRIFT_PSI, SL_DRIFT_JS, SL_DRIFT_KS, SL_DRIFT_WASSERSTEIN, SL_DRIFT_HELLINGER, SL_DRIFT_TOTAL_VARIATION, SL_DRIFT_CHI_SQUARE,
	SL_DRIFT_MISSING, SL_DRIFT_OUT_OF_RANGE, SL_DRIFT_UNSEEN, SL_DRIFT_STATISTICS,
};
const char *sl_drift_statistic_name(enum sl_drift_statistic statistic); /* "psi", "out_of_range" ... */
/* A test says whether chance explains a difference; statistics that chance explains raise no level. */
enum sl_drift_test { SL_DRIFT_TEST_VALUES /* KS of numbers, chi-square of texts */, SL_DRIFT_TEST_MISSING, SL_DRIFT_TEST_RANGE, SL_DRIFT_TESTS };

struct sl_drift_bar { double warn, alarm; }; /* INFINITY: never */
enum sl_drift_level { SL_DRIFT_OK, SL_DRIFT_WARN, SL_DRIFT_ALARM };
enum sl_drift_correction { SL_DRIFT_FALSE_DISCOVERY, SL_DRIFT_BONFERRONI, SL_DRIFT_UNCORRECTED };

struct sl_drift_options {
	struct sl_drift_bar bars[SL_DRIFT_STATISTICS];
	double alpha;                          /* of the tests, corrected */
	enum sl_drift_correction correction;
	double share;                          /* of judged columns that must drift for the dataset to have */
};
void sl_drift_defaults(struct sl_drift_options *ret);
/* "psi=0.1", "psi=0.1:0.25" (warn, alarm). SL_E_INVALID with the nearest name. */
int sl_drift_parse_bar(const char *text, struct sl_drift_options *options, struct sl_error *err);

struct sl_drift_bin {
	const char *text;              /* texts: the value; NULL: unseen, or missing */
	double to;                     /* numbers: the greatest value; INFINITY: of the last one */
	uint64_t reference, current;
};
struct sl_drift_side_numbers { uint64_t present, missing; double mean, std, min, max; }; /* NaN where unknown; texts have counts only */
struct sl_drift_column {
	const char *name;
	enum sl_drift_kind kind;
	enum sl_drift_role role;
	const char *note;              /* why something is not judged, or is approximate; NULL */
	bool judged;
	struct sl_drift_side_numbers reference, current;
	double values[SL_DRIFT_STATISTICS]; /* NaN: has no meaning here */
	double p[SL_DRIFT_TESTS], q[SL_DRIFT_TESTS]; /* q: corrected; NaN: no test */
	enum sl_drift_level level;
	enum sl_drift_statistic worst; /* the one that gave the level, or is nearest to its bar */
	struct sl_drift_bin *bins;     /* of numbers in order; of texts the reference's values, most frequent first */
	size_t bin_count;
	uint64_t unseen;               /* texts: current rows with a value that the reference lacks, or of its rare ones */
	double histogram_from, histogram_to; /* numbers, when both sides' rows are known; equal otherwise */
	double histogram[2][SL_DRIFT_HISTOGRAM]; /* shares of what is present; the ends hold what lies outside */
};
struct sl_drift_segment {
	const char *value;             /* as in struct sl_drift_group */
	bool missing, others;
	uint64_t reference_rows, current_rows;
	struct sl_drift_column *columns;
	size_t column_count, drifted, judged;
	const struct sl_drift_quality *quality[2]; /* of the reference, of the current rows; NULL: not known */
};
struct sl_drift_classifier;
struct sl_drift_outliers;
struct sl_drift_report {
	uint64_t reference_rows, current_rows;
	struct sl_drift_column *columns; /* worst first */
	size_t column_count, drifted, judged;
	const char **removed, **added;   /* columns of only the reference, of only the current side */
	size_t removed_count, added_count;
	struct sl_drift_segment *segments;
	size_t segment_count;
	enum sl_drift_level level;       /* the worst of all columns */
	bool dataset_drift;              /* drifted / judged >= share */
	struct sl_drift_options options;
	const struct sl_drift_classifier *classifier; /* set by the caller when asked for (watch/drift_joint.h); NULL */
	const struct sl_drift_outliers *outliers;
	const struct sl_drift_quality *quality[2]; /* borrowed from both sides */
};

/* The reference is `rows`, or a model's statistics (rows NULL): then KS is seen at the bins' edges, and there is no Wasserstein
 * distance. Strings are borrowed from both sides, the rest is in `arena`. SL_E_INVALID: no column is common to both. */
struct sl_drift_reference { const struct sl_drift_rows *rows; const struct sl_package *package; const struct sl_reference *statistics; };
int sl_drift_compare(const struct sl_drift_reference *reference, const struct sl_drift_rows *current, const struct sl_drift_options *options,
		     struct sl_arena *arena, struct sl_drift_report *ret, struct sl_error *err);

#endif

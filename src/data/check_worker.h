/* What the files of the check worker share. */
#ifndef SL_DATA_CHECK_WORKER_H
#define SL_DATA_CHECK_WORKER_H

#include "data/check.h"
#include "data/engine.h"

/* One check on its way to a result. */
struct sl_checking {
	const struct sl_check *check;
	struct sl_check_result *result;
	const char *where;      /* SQL: the rows that it looks at; "true" when all */
	const char *counted;    /* SQL: of these, the rows that `mostly` is a share of: those without nulls; NULL: `where` */
	const char *fails;      /* SQL: true for a failing row; NULL when it is not a row's own matter */
	const char *numbers[2]; /* SQL: aggregates over the rows that stay, as DOUBLE; NULL: none */
	double got[2];          /* what they gave; NaN for null */
	const char *positions;  /* the session's table of positions (sl_i, sl_r) of its failing rows, "" until made */
	const char *key;        /* UNIQUE: its columns, quoted, with commas; else NULL */
	bool settled;           /* the result stands: nothing more to do */
};

/* A column of the version to be, when a schema rule makes it another than the file's. */
struct sl_check_column { const char *sql, *type; bool dropped; };

struct sl_check_worker {
	const struct sl_check_job *job;
	const char *staging;         /* NULL: nothing is written */
	const struct sl_work *work;
	struct sl_arena *arena;
	struct sl_engine engine;
	struct sl_checking *checks;  /* job->count */
	const char *source;	     /* SQL: read_parquet([...]) over the table's files, with the virtual columns file_index and
					file_row_number */
	const char *columns;         /* the table's columns, quoted, with commas */
	struct sl_check_column *changed; /* beside the table's columns; sql NULL: as it is */
	bool reshaped;               /* a schema rule changed a column */
	const char *
		put_aside; /* SQL: true for a row that a row-level check with quarantine puts aside; "false" when there is none */
	const char *reason_name, *raw_name; /* columns of the quarantine beside the table's own */
	const char *stays_name;      /* a column of the counting statement: whether the row stays */
	uint64_t rows;
};

/* Fills where, fails, numbers and key of every check, and settles those that need no row (columns; a column that is not there).
 * A wrong expression is an error at the check's place. */
int sl_check_plan(struct sl_check_worker *w, struct sl_error *err);
/* Its parts: what fails in a row (check_rows.c); numbers of a column (check_numbers.c); columns and types (check_table.c). */
int sl_check_plan_row(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
int sl_check_plan_number(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
int sl_check_plan_table(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
/* Tables of positions of failing rows: repeated keys (check_unique.c), rows out of order (check_order.c). Fill result's failing. */
int sl_check_unique(struct sl_check_worker *w, size_t index, struct sl_error *err);
int sl_check_order(struct sl_check_worker *w, size_t index, struct sl_error *err);
/* Judges by numbers that the counting statement gave. */
int sl_check_judge_number(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
/* Statements of their own over the rows that stay: the most common value; distances of distributions (check_distance.c). */
int sl_check_most_common(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
int sl_check_distance(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);
/* Writes the rows that stay and those that do not, when a row must be put aside; fills the report's clean, quarantine and
 * counts. */
int sl_check_separate(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err);
/* FROM clause without the word: the source and what keeps rows out whose positions a check with quarantine found. */
void sl_check_rows_kept(const struct sl_check_worker *w, struct sl_buf *out);

/* The check as a whole fails, with a message. */
int sl_check_settle(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err, const char *format, ...) SL_PRINTF(4, 5);
int sl_check_settle_absent(struct sl_check_worker *w, struct sl_checking *c, const char *name, struct sl_error *err);
/* Settles the check when one of its columns is not there. */
int sl_check_need_columns(struct sl_check_worker *w, struct sl_checking *c, const struct sl_names *names, struct sl_error *err);
const struct sl_data_column *sl_check_column(const struct sl_check_worker *w, const char *name);
/* "sluice.yaml:17:9" */
char *sl_check_place(const struct sl_check *check, char out[64]);
char *sl_check_keep_text(struct sl_check_worker *w, const struct sl_buf *text, struct sl_error *err);
/* The dataset that the check names; settles it and returns NULL when there is none yet. */
const struct sl_sql_table *sl_check_other(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err);

/* What a type is to a check. */
enum sl_check_class { SL_CLASS_NUMBER, SL_CLASS_TIME, SL_CLASS_BOOL, SL_CLASS_TEXT, SL_CLASS_OTHER };
enum sl_check_class sl_check_class(const char *type);
bool sl_check_is_float(const char *type);
void sl_check_value_sql(const struct sl_value *value, struct sl_buf *out);
/* COLUMN [NOT] IN (values), so that a value of another kind than the column simply is not equal. */
void sl_check_set_sql(const struct sl_check *check, const struct sl_data_column *column, bool not, struct sl_buf *out);
/* A bound as a number: times in microseconds. */
double sl_check_bound(const struct sl_value *value);
/* Whether `value` lies within min/above and max/below; NaN never does. */
bool sl_check_within(const struct sl_check *check, double value);

#endif

/* What the files of the check worker share. */
#ifndef SL_DATA_CHECK_WORKER_H
#define SL_DATA_CHECK_WORKER_H

#include "data/check.h"
#include "data/engine.h"

/* One check on its way to a result. */
struct sl_checking {
	const struct sl_check *check;
	struct sl_check_result *result;
	const char *where;    /* SQL: the rows that it looks at; "true" when all */
	const char *fails; /* SQL: true for a failing row; NULL when it is not a row's own matter (columns, rows, unique, sql) */
	const char *key;      /* unique: its columns, quoted, with commas; NULL otherwise */
	const char *repeats;  /* unique: the session's table of positions (sl_i, sl_r) of its failing rows, "" until made */
	bool settled;         /* the result stands: nothing more to do */
};

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
	const char *
		put_aside; /* SQL: true for a row that a row-level check with quarantine puts aside; "false" when there is none */
	const char *reason_name, *raw_name; /* columns of the quarantine beside the table's own */
	uint64_t rows;
};

/* Fills where, fails and key of every check, and settles those that need no row (columns; a column that is not there). A wrong
 * expression is an error at the check's place. */
int sl_check_plan(struct sl_check_worker *w, struct sl_error *err);
/* Finds the repeated rows of a unique check: result's failing, and the table of their positions. */
int sl_check_unique(struct sl_check_worker *w, size_t index, struct sl_error *err);
/* Writes the rows that stay and those that do not, when a row must be put aside; fills the report's clean, quarantine and
 * counts. */
int sl_check_separate(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err);
/* FROM clause without the word: the source and what keeps rows out that are repeats under a check with quarantine. */
void sl_check_rows_kept(const struct sl_check_worker *w, struct sl_buf *out);

const struct sl_data_column *sl_check_column(const struct sl_check_worker *w, const char *name);
/* "sluice.yaml:17:9" */
char *sl_check_place(const struct sl_check *check, char out[64]);
char *sl_check_keep_text(struct sl_check_worker *w, const struct sl_buf *text, struct sl_error *err);

#endif

/* Checks: what must hold of a table. Every row-level check is an aggregate of one statement, so all of them together read the
 * table once; `unique` groups 64-bit hashes of its columns and compares values only where hashes meet. A second statement runs
 * only when rows must be put aside: it writes the rows that stay, and the others with a `reason`. Exact meaning of every check:
 * docs/checks.md.
 *
 * Checks with `else: quarantine` look first; the others, and `unique`, look at the rows that stay.
 */
#ifndef SL_DATA_CHECK_H
#define SL_DATA_CHECK_H

#include "data/dataset.h"
#include "project/project.h"

enum { SL_CHECK_ROWS_SHOWN = 20, SL_CHECKS_MAX = 10000 };

struct sl_check_job {
	const char *dataset;
	const struct sl_check *checks;
	size_t count;
	struct sl_staged table;
	const struct sl_sql_param *params; /* bound in `where` and queries; those that none uses are fine */
	size_t param_count;
	struct sl_staged broken;  /* lines that ingest put aside (file, line, reason, raw); file_count 0: none */
	/* What checks compare with. */
	const struct sl_sql_table *tables;   /* other datasets that they name, under their names */
	size_t table_count;
	const struct sl_sql_table *previous; /* the version before; NULL: none */
	const struct sl_data_column *previous_columns;
	size_t previous_column_count;
	const char *const *profiles;         /* of earlier versions as JSON, the newest first */
	size_t profile_count;
	int64_t now_ms;                      /* the time that `fresh` measures from; 0: the clock's */
};

enum sl_check_state { SL_CHECK_PASSED, SL_CHECK_WARNED, SL_CHECK_FAILED };

struct sl_check_result {
	const char *name;         /* "between(distance)" */
	const char *severity;     /* "error" or "warn" */
	enum sl_check_state state;
	uint64_t considered;      /* rows that it looked at (`where`) */
	uint64_t failing;         /* of them */
	uint64_t quarantined;     /* put aside by this check */
	bool has_observed;        /* a finite number was measured: */
	double observed;          /* the mean, the distance of distributions, an age in seconds ... (docs/checks.md) */
	const char *message;      /* "17 of 3,000,000 rows", "column 'delay' is DOUBLE, not BIGINT"; "" when nothing fails */
	const char *rows;         /* JSON array of at most SL_CHECK_ROWS_SHOWN failing rows: {"row":N,"values":{...}} */
	const char *sql;          /* a SELECT that finds the failing rows; "" when there is none */
	struct sl_mark mark;      /* in sluice.yaml */
};

struct sl_check_report {
	const char *dataset;
	uint64_t rows, clean_rows, quarantined_rows; /* before; staying; put aside, broken lines included */
	struct sl_check_result *results;
	size_t count;
	bool failed;              /* a check of severity error failed */
	struct sl_staged clean;   /* the table to commit: the job's own files when no row was put aside */
	struct sl_staged quarantine; /* NAME.quarantine: columns, `reason`, `raw`; file_count 0 when no check says quarantine */
	const char *profile;      /* of `clean`, as JSON (data/profile.h); "" when none was made: no checks, they failed, or no `staging` */
};

/* Runs the checks over the table's files, and profiles what stays when none failed: what the next version's checks compare with.
 * Without checks nothing is read, and the profile is made when somebody asks (op/profile.h). Returns 0 also when checks fail: the
 * report says so. With `staging` NULL nothing is written and nothing profiled (`sluice check`). Errors: SL_E_INVALID for a check that
 * cannot be run (a wrong expression), at its place in sluice.yaml; those of port/sql.h. */
int sl_check_execute(const struct sl_check_job *job, const char *staging, const struct sl_work *work, struct sl_arena *arena,
		     struct sl_check_report *ret, struct sl_error *err);

/* The project's parameters as the engine binds them; lists and maps as their JSON text. */
int sl_check_params(const struct sl_project *project, struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err);

/* Checks as JSON in a worker's job file, and back; the report likewise (docs/checks.md has its shape). NULL: no memory. */
yyjson_mut_val *sl_checks_json(yyjson_mut_doc *doc, const struct sl_check *checks, size_t count);
int sl_checks_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check **ret, size_t *ret_count, struct sl_error *err);
yyjson_mut_val *sl_check_result_json(yyjson_mut_doc *doc, const struct sl_check_result *result);
yyjson_mut_val *sl_check_report_json(yyjson_mut_doc *doc, const struct sl_check_report *report);
int sl_check_report_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check_report *ret, struct sl_error *err);

/* For people: one line per check that did not simply pass, with sample rows, then a sum. */
void sl_check_report_text(const struct sl_check_report *report, struct sl_buf *out);
/* The first failed check as an error (SL_E_FAILED): "dataset 'flights_raw': check between(distance) failed: 17 of 3,000,000
 * rows"; 0 when none failed. */
int sl_check_report_error(const struct sl_check_report *report, struct sl_error *err);

/* What a checked table becomes. */
struct sl_checked {
	struct sl_hash hash;
	struct sl_manifest manifest;
	bool has_quarantine;
	struct sl_hash quarantine_hash;
	struct sl_manifest quarantine;
};
/* Keeps the clean table and the quarantine as objects (staged files are moved), before the transaction. */
int sl_checked_keep(struct sl_objects *objects, const struct sl_check_report *report, struct sl_arena *arena,
		    struct sl_checked *ret, struct sl_error *err);
/* Inside the caller's transaction: versions of NAME and NAME.quarantine, outputs of the run, one row of check_result per check,
 * ledger entry "check". *ret_changed tells whether NAME has a new version. */
int sl_checked_commit(struct sl_track *track, const char *dataset, const struct sl_checked *checked,
		      const struct sl_check_report *report, const struct sl_id *run, bool *ret_changed, struct sl_error *err);
/* The results of a check run that failed, so that `show` can tell them: rows of check_result and the ledger entry, no version. */
int sl_check_record(struct sl_track *track, const struct sl_check_report *report, const struct sl_hash *hash,
		    const struct sl_id *run, struct sl_error *err);

#endif

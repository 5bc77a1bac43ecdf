/* The project: one `sluice.yaml`, read, checked and resolved. Everything in it lives in the project's arena until
 * sl_project_free; all pointers below are never NULL unless said, all arrays carry their counts. Order is the file's.
 *
 * Resolution: parameters (after `key=value` overrides) are put in wherever a value is `$name` (whole value; its type is kept)
 * or `${env:NAME}`; SQL texts and expressions keep their `$name` and get it bound when they run. Each definition lists the
 * parameters it used, so that a step's fingerprint changes only with those. In a trigger's `set`, `$event.x` stays as it is.
 * `${secret:NAME}` may stand only in a step's `env` and stays as it is until the step starts. A `train` without `seed` takes
 * the parameter `seed` when there is one.
 */
#ifndef SL_PROJECT_PROJECT_H
#define SL_PROJECT_PROJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/yaml.h" /* struct sl_mark */

struct sl_names { const char **items; size_t count; };

/* A typed value: of a parameter, of an override. */
enum sl_value_type { SL_VALUE_NULL, SL_VALUE_BOOL, SL_VALUE_INT, SL_VALUE_DOUBLE, SL_VALUE_TEXT, SL_VALUE_TIME, SL_VALUE_JSON };
struct sl_value {
	enum sl_value_type type;
	int64_t i;        /* BOOL 0/1, INT, TIME in microseconds */
	double d;
	const char *text; /* TEXT; TIME as written; JSON: canonical text of a list or map */
};

struct sl_param { const char *name; struct sl_value value; struct sl_mark mark; bool overridden; };

/* A source: where data comes from. `path` is relative to the project's folder or absolute; may be a glob. */
struct sl_source {
	const char *name, *path;
	const char *format;      /* "parquet", "csv", "json"; "" = by the file's name and content */
	const char *as;          /* "table"; "files": a tree of plain files */
	bool hidden;             /* files: also names that begin with a dot */
	bool allow_private;      /* an address: it may lead to addresses that are not public */
	uint64_t max_bytes;      /* an address: of its file; 0: 100 GiB */
	int64_t timeout_ms;      /* an address: of one transfer; 0: 1 h */
	const char *columns;     /* declared CSV types as JSON {"a":"bigint"}; "" = sniffed */
	const char *definition;  /* canonical JSON, for the fingerprint */
	struct sl_mark mark;
};

/* Kinds of checks, as the file spells them (sl_check_kind_name). docs/checks.md tells what each one means. */
enum sl_check_kind {
	/* about single rows */
	SL_CHECK_NOT_NULL, SL_CHECK_NULL, SL_CHECK_BETWEEN, SL_CHECK_IN_SET, SL_CHECK_NOT_IN_SET, SL_CHECK_REGEX, SL_CHECK_NOT_REGEX,
	SL_CHECK_LIKE, SL_CHECK_NOT_LIKE, SL_CHECK_LENGTH, SL_CHECK_FORMAT, SL_CHECK_FINITE, SL_CHECK_COMPARE, SL_CHECK_PAIRS,
	SL_CHECK_SUMS_TO, SL_CHECK_DIFFERENT, SL_CHECK_HOLDS, SL_CHECK_Z_SCORE, SL_CHECK_FOREIGN_KEY,
	/* about rows beside other rows: their positions are found by a statement of their own */
	SL_CHECK_UNIQUE, SL_CHECK_INCREASING, SL_CHECK_DECREASING,
	/* about the table */
	SL_CHECK_COLUMNS, SL_CHECK_COLUMN_SET, SL_CHECK_COLUMN_COUNT, SL_CHECK_ROWS, SL_CHECK_SQL, SL_CHECK_SCHEMA,
	/* about one number of a column */
	SL_CHECK_MEAN, SL_CHECK_MEDIAN, SL_CHECK_STDEV, SL_CHECK_SUM, SL_CHECK_MINIMUM, SL_CHECK_MAXIMUM, SL_CHECK_QUANTILE,
	SL_CHECK_DISTINCT, SL_CHECK_DISTINCT_SHARE, SL_CHECK_FRESH,
	/* about the set of a column's values */
	SL_CHECK_DISTINCT_IN, SL_CHECK_DISTINCT_CONTAINS, SL_CHECK_DISTINCT_EQUALS, SL_CHECK_MOST_COMMON,
	/* beside other versions and datasets */
	SL_CHECK_CHANGE, SL_CHECK_ANOMALY, SL_CHECK_DISTRIBUTION,
	SL_CHECK_KINDS
};
enum { SL_CHECK_VERSIONS_MAX = 1000 }; /* that an `anomaly` may look back */

struct sl_check {
	enum sl_check_kind kind;
	const char *name;              /* as reports show it: "between(distance)" */
	struct sl_names columns;       /* the columns it looks at; COLUMNS, COLUMN_SET: all names */
	struct sl_names types;         /* COLUMNS: beside `columns` */
	struct sl_names keys;          /* FOREIGN_KEY: columns of the other dataset; INCREASING, DECREASING: `by`; COLUMN_SET: further ones that may be there */
	bool has_min, has_max;
	bool above, below;             /* min, max themselves fail */
	struct sl_value min, max;      /* a number; BETWEEN, MINIMUM, MAXIMUM also a time */
	struct sl_value *values;       /* of a set; PAIRS: one behind the other */
	size_t value_count;
	const char *text;              /* REGEX, LIKE: the pattern; FORMAT: what; SQL: the query whose rows are the failures; HOLDS: the
	                                * expression; COMPARE: the operator; CHANGE, ANOMALY: the statistic; DISTRIBUTION: the
	                                * measure; SCHEMA: the rule for columns; else "" */
	const char *other;             /* COMPARE, SUMS_TO: a column; FOREIGN_KEY, ROWS, DISTRIBUTION: a dataset; SCHEMA: the rule for types; "" none */
	double number;                 /* QUANTILE: the share; SUMS_TO: the total; Z_SCORE: the bound; ANOMALY: how many deviations */
	double tolerance;              /* SUMS_TO */
	int64_t span;                  /* FRESH: milliseconds; ANOMALY: versions */
	struct sl_value at;            /* FRESH: the time that counts as now; type NULL: the clock's */
	bool strict;                   /* INCREASING, DECREASING: equal values fail; REGEX: `part`; UNIQUE: `every`; COLUMN_SET: `exact`; Z_SCORE: only above */
	bool ordered;                  /* COLUMN_SET */
	double mostly;                 /* share of rows that must pass, 1 = all */
	const char *where;             /* SQL expression that limits the rows; "" = all */
	bool if_present;               /* passes when a column that it looks at is not there */
	bool warn_only;                /* severity: warn */
	bool quarantine;               /* else: quarantine */
	struct sl_names environments;  /* in which it holds; none: in all */
	const char *definition;        /* canonical JSON */
	struct sl_mark mark;
};
const char *sl_check_kind_name(enum sl_check_kind kind);
/* Whether it judges single rows, so that `mostly`, `where` and `else: quarantine` have a meaning. */
bool sl_check_by_row(enum sl_check_kind kind);
/* Whether it holds for a dataset of that environment ("": of none, in which every check holds). */
bool sl_check_holds_in(const struct sl_check *check, const char *environment);
/* Whether it reads `other` as a dataset. "previous" is the dataset's own version before. */
bool sl_check_reads_dataset(const struct sl_check *check);

struct sl_dataset {
	const char *name;
	struct sl_check *checks;
	size_t check_count;
	const char *checks_of;           /* the dataset whose checks are taken over (they are among `checks`); "" none */
	const char *environment;         /* "training", "serving" ...; "" none: every check holds */
	int64_t keep_last, keep_for_ms;  /* retention: how many versions, and how young; 0, 0: all */
	struct sl_names params;          /* parameters that the checks use */
	struct sl_mark mark;
};

/* `each: {name: {query: ...}}`: the items are the answer that stands in .sluice/each, in a file called by the query's hash (sl_each_answer_path). Who
 * brings the project up to date asks, when what the query reads is up to date, and loads the project anew (op/each.h). */
struct sl_each_query { const char *step, *sql; struct sl_mark mark; };

enum sl_step_kind { SL_STEP_SQL, SL_STEP_RUN, SL_STEP_TRAIN, SL_STEP_EVALUATE };

struct sl_train {
	const char *algorithm;         /* "xgboost" */
	const char *data, *where;      /* dataset; SQL expression, "" = all rows */
	const char *validation;        /* SQL expression that picks the validation rows (left out of training); "" = none */
	const char *target, *weight;   /* columns; weight "" = none */
	const char *task;              /* "binary", "multiclass", "regression", "" = by the target */
	struct sl_names features;      /* never empty; with every `{when: $flag, use: [...]}` resolved */
	int64_t rounds, early_stopping, seed;
	const char *options;           /* canonical JSON of engine parameters: max_depth, learning_rate, subsample ... (allow-listed) */
};

struct sl_evaluate {
	const char *model;             /* a train step or model reference */
	const char *data, *where, *target, *weight;
	struct sl_names slices;        /* columns to slice by */
};

/* of: what its instances are read as together; NULL: none. folder: written with a '/' at its end: a dataset of files. */
struct sl_output { const char *name, *path, *of; bool folder; };

/* When a step that failed is tried again (docs/steps.md). Without exits, signals and texts every failure of its process counts. */
struct sl_retry {
	int64_t times, machine;          /* attempts after the first: for the step's own failures, and for those of the machine */
	int64_t wait_ms, longest_wait_ms;
	double factor;
	int *exits, *signals;
	size_t exit_count, signal_count;
	struct sl_names texts;
	bool on_timeout;
};
/* So many of a resource: what a step needs, what the project has. */
struct sl_amount { const char *name; int64_t amount; };

struct sl_lookup;
struct sl_step {
	const char *name;              /* an instance of a step with `each`: STEP.ITEM */
	const char *of;                /* the step that it is an instance of; "" = none */
	const struct sl_param *each;   /* the instance's own parameter; NULL */
	enum sl_step_kind kind;
	struct sl_names inputs;        /* datasets and steps it reads by declaration (RUN, TRAIN, EVALUATE); SQL: filled by flow from the parser */
	struct sl_output *outputs;     /* RUN: name -> relative path; others: the step's own name */
	size_t output_count;
	const char *sql_path;          /* SQL: file relative to the project; "" when the text is given in place */
	const char *sql_text;          /* SQL: the text itself, also when it came from the file */
	const struct sl_lookup *lookup; /* SQL: what the text was made of (project/lookup.h); NULL: somebody wrote it */
	struct sl_mark sql_mark;       /* SQL: where the text, or its file's name, stands */
	struct sl_names argv;          /* RUN: program and arguments; a single text becomes {"/bin/sh","-c",text} */
	struct sl_names code;          /* RUN: files that count as its code; relative arguments that name files are added by themselves */
	struct sl_train train;
	struct sl_evaluate evaluate;
	int64_t timeout_ms;            /* 0: 24 h */
	uint64_t memory_bytes;         /* 0: the engine's default */
	double cpu;                    /* processors that it keeps busy */
	int64_t priority;              /* higher ones start first */
	struct sl_amount *needs;       /* of the project's resources */
	size_t need_count;
	struct sl_retry retry;
	bool sandbox;                  /* RUN: it reads what it declares and these, writes its outputs and those, and has no network unless asked. True unless
					  it, or the project for all, says off */
	bool sandbox_said;             /* the step says it itself */
	struct sl_names sandbox_read, sandbox_write; /* further paths: absolute, or relative to the project */
	bool sandbox_network;
	int64_t limit_cpu_ms, limit_open_files; /* RUN: of each of its processes; 0: none of ours */
	uint64_t limit_file_bytes;     /* the size of a file that it writes */
	bool unasked;                  /* stands for instances that are not known yet: the query of its `each` was never answered; left out */
	const char *when;              /* condition as written; "" = none */
	bool left_out;                 /* the condition is false */
	bool finally;                  /* runs when all else has ended ... */
	struct sl_names finally_of;    /* ... or these; empty: all */
	const char *group;             /* "" = none */
	struct sl_names params;        /* parameters that the definition, its expressions and its SQL text use; RUN: and those under `params` */
	struct sl_names environment;   /* RUN: "NAME=value" */
	const char *definition;        /* canonical JSON, resolved; secrets by name; without what only says how it is run */
	struct sl_mark mark;
};

struct sl_model {
	const char *name, *from;       /* a train step; "": MLflow's clients register its versions */
	struct sl_names gate;          /* rules as written, checked by learn/gate.h */
	bool promote_auto;             /* else: approve */
	struct sl_evaluate evaluate;   /* data "" = none: the training step's validation metrics are used */
	struct sl_names params;
	const char *definition;
	struct sl_mark mark;
};

struct sl_traffic;
enum { SL_MAX_WAIT_MS = 50, SL_TIMEOUT_MS = 60000 };
/* Which of the lookups that a model was trained with its requests get. */
struct sl_endpoint_features { const char *from; struct sl_names key; };
struct sl_endpoint {
	const char *name;
	const char *model, *alias;     /* "delay@champion" -> model "delay", alias "champion"; a number is a version */
	bool log_all;                  /* log: all | none */
	const char *key, *time;        /* extra request columns that are logged as the prediction's key and event time; "" = none */
	struct sl_names log_hash, log_drop; /* columns logged as a hash, or left out */
	bool ignore_extra;             /* extra: ignore | refuse */
	int64_t max_wait_ms;           /* under lasting load a request waits at most so long for its turn, else it is refused; 0: for ever */
	int64_t timeout_ms;            /* a request that is not answered at once is given up after that, unless it says otherwise itself; 0: never */
	const char *traffic;           /* rules as canonical JSON; "" = all to `model` */
	const struct sl_traffic *rules; /* the same, read (project/traffic.h) */
	bool explain;                  /* gives explanations to who asks */
	bool log_explanations;         /* and logs them with the predictions */
	struct sl_endpoint_features *features; /* columns that the server looks up */
	size_t feature_count;
	uint64_t retain_bytes;
	int64_t retain_ms;
	struct sl_mark mark;
};

/* A bar of a monitor's statistic. */
struct sl_bar { const char *statistic; bool has_warn, has_alarm, has_min; double warn, alarm, min; };

struct sl_monitor {
	const char *name, *endpoint;
	const char *labels;            /* label set; "" = an input monitor */
	int64_t window_ms, every_ms;   /* every: slide, default = window */
	int64_t for_ms;                /* how long a level must hold before it is raised; 0: at once */
	int64_t lateness_ms;           /* how long after a window's end it waits for late records */
	struct sl_bar *bars;
	size_t bar_count;
	struct sl_names columns;       /* input monitor: which; empty = every feature and the prediction */
	const char *reference;         /* input monitor: dataset, whose profile takes the place of training's statistics; "" = none */
	const char *segment;           /* input monitor: also within each value of this input; "" = none */
	struct sl_mark mark;
};

enum sl_trigger_kind { SL_TRIGGER_ALARM, SL_TRIGGER_DATA, SL_TRIGGER_CRON, SL_TRIGGER_CALL };
struct sl_trigger_set { const char *param, *value; };
struct sl_trigger {
	const char *name;
	enum sl_trigger_kind kind;
	const char *subject;           /* monitor, dataset, cron text; "" for CALL */
	const char *level;             /* ALARM: "alarm" or "warn" */
	struct sl_names run;           /* what to bring up to date */
	struct sl_trigger_set *sets;
	size_t set_count;
	int64_t cooldown_ms;
	struct sl_mark mark;
};

/* What `sluice up` takes that its command line does not say. Paths as written: relative to the project's folder, or absolute. */
struct sl_server_spec {
	const char *host;              /* "127.0.0.1" */
	int64_t port;                  /* 4600; 0: any free one */
	const char *tls_cert, *tls_key; /* both, or "" and "" */
	struct sl_names allow_host;
	bool require_token, plain_text;
	const char *traces;            /* URL of an OpenTelemetry collector; "": none */
	double traces_ratio;           /* of the requests that bring no traceparent */
	struct sl_mark host_mark, tls_mark, names_mark; /* where these stand; line 0: nowhere */
};

/* Where OpenLineage events of runs go (docs/lineage.md); all "" when the section is not there. What the environment says wins (openlineage/target.h). */
struct sl_openlineage_spec {
	const char *url, *endpoint;    /* http(s)://host[:port]; the path below it, "api/v1/lineage" */
	const char *api_key;           /* sent as a bearer token */
	const char *file;              /* JSON lines are appended to it; relative to the project's folder, or absolute */
	const char *namespace;         /* of jobs and datasets */
	int64_t timeout_ms;            /* of one event */
	bool allow_private;            /* `url` may lead to an address that is not public */
};
#define SL_OPENLINEAGE_NONE \
	((struct sl_openlineage_spec){.url = "", .endpoint = "api/v1/lineage", .api_key = "", .file = "", .namespace = "", .timeout_ms = 5000})

struct sl_project {
	struct sl_arena *arena;
	const char *dir, *file;        /* absolute folder; absolute path of sluice.yaml */
	const char *name;
	struct sl_param *params; size_t param_count;
	struct sl_amount *resources; size_t resource_count;
	bool sandbox;                  /* of commands that do not say it themselves */
	struct sl_server_spec server;
	struct sl_openlineage_spec openlineage;
	struct sl_source *sources; size_t source_count;
	struct sl_dataset *datasets; size_t dataset_count;
	struct sl_step *steps; size_t step_count; /* instances stand beside each other */
	struct sl_each_query *each_queries; size_t each_query_count;
	struct sl_model *models; size_t model_count;
	struct sl_endpoint *endpoints; size_t endpoint_count;
	struct sl_monitor *monitors; size_t monitor_count;
	struct sl_trigger *triggers; size_t trigger_count;
};

enum { SL_EACH_MAX = 10000 };
/* Where the answer of a query of `each` stands: {"items":[...],"tables":[...],"versions":[...]}. */
int sl_each_answer_path(const char *project_dir, const char *sql, char out[4096], struct sl_error *err);

/* Finds sluice.yaml in `dir` or its parents. SL_E_NOT_FOUND with a hint at `sluice init`. */
int sl_project_find(const char *dir, char out_dir[4096], struct sl_error *err);
/* Reads, overrides (Hydra's grammar: project/override.h), checks. Errors carry file:line:column and the nearest known name. */
int sl_project_load(const char *dir, const char *const *overrides, size_t override_count, struct sl_project **ret,
		struct sl_error *err);
void sl_project_free(struct sl_project *project);
void sl_project_freep(struct sl_project **project);

const struct sl_step *sl_project_step(const struct sl_project *project, const char *name);
const struct sl_source *sl_project_source(const struct sl_project *project, const char *name);
const struct sl_dataset *sl_project_dataset(const struct sl_project *project, const char *name); /* declared checks; NULL when none */
const struct sl_model *sl_project_model(const struct sl_project *project, const char *name);
const struct sl_endpoint *sl_project_endpoint(const struct sl_project *project, const char *name);
const struct sl_monitor *sl_project_monitor(const struct sl_project *project, const char *name);
const struct sl_amount *sl_project_resource(const struct sl_project *project, const char *name);
/* A parameter as the step sees it: its own of `each`, else the project's. `step` may be NULL. */
const struct sl_param *sl_step_param(const struct sl_project *project, const struct sl_step *step, const char *name);
const struct sl_param *sl_project_param(const struct sl_project *project, const char *name);

/* The JSON Schema of the file, for editors (`sluice schema`). */
int sl_project_schema(struct sl_buf *out, struct sl_error *err);

#endif

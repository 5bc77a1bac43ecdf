/* Flow: brings names up to date. The graph is what the project's names imply; a node runs only when its definition, the
 * parameters it uses, its code or the content of its inputs changed; equal output stops the wave. Every decision comes with
 * its reason in words.
 *
 *   project --graph--> nodes --plan--> fingerprint documents, decisions --execute--> worker processes --> one transaction per finished node
 *
 * Nodes: a source (ingest and its checks), a step, the checks of a step's output, a model (new version, gate, promotion). They
 * have the names of the project file; the checks of a step belong to the step's node.
 */
#ifndef SL_FLOW_FLOW_H
#define SL_FLOW_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/id.h"
#include "project/project.h"
#include "track/store.h"

/* An environment variable of the running process: the address where MLflow's clients in its steps log. Each step gets it as
 * MLFLOW_TRACKING_URI, with its own run as MLFLOW_RUN_ID. */
#define SL_RUN_TRACKING_URI "SLUICE_TRACKING_URI"

enum sl_flow_kind { SL_FLOW_SOURCE, SL_FLOW_STEP, SL_FLOW_MODEL };
const char *sl_flow_kind_name(enum sl_flow_kind kind); /* "source", "step", "model" */

/* How a node stands. Until everything before it is known, a node can be MAYBE: it runs only if an input turns out different. */
enum sl_flow_state {
	SL_FLOW_FRESH,     /* nothing changed: its last result holds */
	SL_FLOW_REUSED,    /* an older result with the same fingerprint is put in place; nothing runs */
	SL_FLOW_STALE,     /* will run, for `reason` */
	SL_FLOW_MAYBE,     /* waits for what is before it: "features is to be run first" */
	SL_FLOW_RUNNING,
	SL_FLOW_OK,
	SL_FLOW_FAILED,
	SL_FLOW_LAST,      /* will run when everything has ended, if anything ran */
	SL_FLOW_SKIPPED,   /* something before it failed, or it is left out */
	SL_FLOW_CANCELLED,
	SL_FLOW_WAITING,   /* a model that passed its gate and awaits approval */
};
const char *sl_flow_state_name(enum sl_flow_state state); /* "fresh", "reused", ... */

enum { SL_FLOW_REASON_MAX = 256, SL_FLOW_CAUSE_MAX = 512 };

/* What callbacks and reports show of a node. Texts live as long as the report, and are "" when there is nothing to say. */
struct sl_flow_node {
	const char *name;
	enum sl_flow_kind kind;
	const char *action;                /* "ingest", "sql", "run", "train", "evaluate", "gate" */
	enum sl_flow_state state;
	const char *reason;                /* why it runs, or why not: "parameter max_depth changed 6 → 8", "nothing changed" */
	const char *cause;                 /* how it ended when not well: "exit status 3", "check not_null(date) failed: 12 rows" */
	const char *note;                  /* what it made: "2,999,798 rows, 3f9c1a", "delay@2, auc 0.659, promoted" */
	struct sl_id run;                  /* text "" when it did not run */
	int64_t started_ms, ended_ms;
	bool changed;                      /* its output differs from the one before */
};

/* Callbacks come on the calling thread, in order. All may be NULL. */
struct sl_flow_events {
	void (*planned)(void *context, const struct sl_flow_node *nodes, size_t count);
	void (*started)(void *context, const struct sl_flow_node *node);
	/* fraction 0..1, or -1 when unknown; `what` is "reading", "training", ... */
	void (*progress)(void *context, const struct sl_flow_node *node, double fraction, const char *what);
	void (*metric)(void *context, const struct sl_flow_node *node, const char *name, int64_t step, double value);
	/* An attempt failed (node->cause), and another one follows after `wait_ms`. */
	void (*again)(void *context, const struct sl_flow_node *node, int64_t wait_ms);
	void (*ended)(void *context, const struct sl_flow_node *node); /* also for nodes that did not run */
	void *context;
};

/* The socket at which the run's tracking face listens. Its keeper holds it as well: when the run is killed, what its steps send waits there for the next run,
 * which takes the socket over. */
struct sl_flow_face {
	int listen_fd;
	void (*adopt)(void *context, int listen_fd); /* that of a killed run, whose steps go on; the callee's from now on */
	void *context;
};

struct sl_flow_options {
	const char *const *names;  /* sources, steps, outputs or models to bring up to date; none: everything */
	size_t name_count;
	int jobs;                  /* at once; 0: the machine's processors */
	bool force;                /* run what was asked for even if nothing changed */
	bool keep_going;           /* go on with what does not depend on a failure */
	bool preview;              /* -n: plan only; writes nothing */
	bool repeat;               /* --check-repeatable: each step of `names` runs twice; outputs that differ fail it (report->differences) */
	bool wait;                 /* wait for another `sluice run` of this project; else SL_E_BUSY says who holds it */
	const char *command;       /* as the user typed it, for the run's record; NULL: "sluice run" */
	const char *words;         /* JSON of the caller's, which sl_flow_interrupted gives back when this run is killed; NULL: "" */
	const volatile int *cancel; /* non-zero: stop the workers and end with SL_E_CANCELLED; may be NULL. Set it from a signal handler installed without
				       SA_RESTART, so that the wait ends at once. */
	const char *program;       /* path of this program, started again as `PROGRAM worker JOB`; NULL: /proc/self/exe */
	const struct sl_flow_face *face; /* NULL: none */
	struct sl_flow_events events;
};

/* An output that was another one the second time. Both contents are in the store, and nothing refers to them. */
struct sl_flow_difference { const char *node, *output; struct sl_hash first, second; };
struct sl_flow_report {
	struct sl_arena *arena;
	struct sl_id run;          /* the run over all; text "" when nothing had to run */
	struct sl_flow_node *nodes; /* in an order in which each stands behind what it needs */
	size_t count;
	struct sl_flow_difference *differences; /* repeat: of the nodes that failed for it */
	size_t difference_count;
	size_t fresh, reused, ran, failed, skipped, waiting; /* preview: `ran` counts STALE and MAYBE */
	int64_t elapsed_ms;
};

/* 0; SL_E_FAILED when a node failed (the report says which; err tells the first), or the code of what the machine refused to
 * it: SL_E_NO_SPACE, SL_E_IO, SL_E_NO_MEMORY ...; SL_E_CANCELLED; SL_E_INVALID or
 * SL_E_NOT_FOUND for a wrong name, a cycle, a missing file (nothing was started); SL_E_BUSY. The report is filled as far as it
 * came, and is the caller's: sl_flow_report_done. */
int sl_flow_run(struct sl_store *store, struct sl_project *project, const struct sl_flow_options *options,
		struct sl_flow_report *ret, struct sl_error *err);
void sl_flow_report_done(struct sl_flow_report *report);

/* The words of the run that is under way or was killed (in `arena`), and how many of its steps a next run takes over: 1; 0 when there is none. */
int sl_flow_interrupted(struct sl_store *store, struct sl_arena *arena, const char **ret_words, int64_t *ret_steps, struct sl_error *err);

/* What `sluice worker JOB` does: runs one job of kind ingest, sql, inspect, train or evaluate in this process, or keeps a run's processes
 * (flow/keeper.h). Exit status of the process. */
int sl_flow_worker(const char *job_path);

#endif

/* Inside flow/: one execution of one node, from its job to its commit.
 *
 *   begin   folder .sluice/tmp/<run>/, job.json or a command's environment and inputs
 *   (child) `sluice worker job.json`, or the user's command
 *   keep    what it staged becomes objects: nothing refers to them yet
 *   commit  inside a transaction: outputs, versions, verdicts, the run's end, the remembered result
 *
 * A command that makes tables is followed by a second child, a worker that looks into the tables and runs their checks.
 */
#ifndef SL_FLOW_TASK_H
#define SL_FLOW_TASK_H

#include "data/check.h"
#include "flow/plan.h"
#include "learn/metrics.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "track/model.h"

enum { FLOW_METRICS_MAX = 1000000 }; /* points of one node; more are dropped and counted */

/* A checked table that waits for its commit. */
struct flow_table { struct sl_check_report report; struct sl_checked checked; };

struct flow_task {
	struct flow_graph *graph;
	size_t node;
	struct flow_decision decision;
	struct sl_id run;
	char dir[SL_PATH_MAX];       /* .sluice/tmp/<run> */
	bool has_dir;
	char log_path[SL_PATH_MAX];  /* .sluice/runs/<run>/log; there only when the child said something */
	struct sl_arena *arena;      /* lives as long as the task */
	bool inspecting;             /* RUN: the second child */
	const char **argv, **env;    /* of the child */
	const char *work_dir;
	int64_t timeout_ms;
	struct sl_sandbox sandbox;   /* of a command that has one; ruleset_fd -1 */
	bool sandboxed;
	const char *refused;         /* what its sandbox refused it, for the record; NULL */
	const char **readable;       /* objects that its inputs are links to; `readable_count` */
	size_t readable_count, readable_room;
	const char *status, *failed; /* FINALLY: how the run stands, and the names of what failed; else NULL */
	uint64_t gpus;               /* bit n: GPU n is the command's */
	/* Collected from the child's JSON lines. */
	struct sl_metric *metrics;
	size_t metric_count, metric_room, metrics_written, metrics_dropped;
	struct sl_error told;        /* a worker's own words for its failure; code 0: none */
	/* From its result, by keep. */
	struct flow_table *tables;   /* beside the node's outputs; only datasets are filled */
	struct sl_scores scores, champion;
	bool has_scores, has_champion;
	int64_t champion_version;
	struct sl_hash champion_hash;
	const char *libraries;       /* JSON of the result, or NULL */
	char note[SL_FLOW_REASON_MAX];
	bool changed;                /* an output differs from the one before */
	enum sl_flow_state outcome;  /* OK, WAITING, or FAILED (a gate) */
	char cause[SL_FLOW_CAUSE_MAX];
};

/* After the run was begun: makes the folder and everything the child needs. `program`: ours. */
int flow_task_begin(struct flow_task *task, const char *program, struct sl_error *err);
/* Instead of begin: everything but the child, which another run has started; it is the first of the task, or the second one (`stage`). */
int flow_task_resume(struct flow_task *task, const char *program, int stage, struct sl_error *err);
/* A source as files: it was taken while it was planned, and no child is needed. */
bool flow_takes_tree(const struct flow_node *node);
/* After keep: all of it once more, from nothing. */
int flow_task_again(struct flow_task *task, const char *program, struct sl_error *err);
/* After the child ended well. 1: another child is to be started (argv and env are set anew); 0: go on to keep. */
int flow_task_next(struct flow_task *task, const char *program, struct sl_error *err);
/* A worker's own words for its failure, else the exit's, with a full disk as the reason of a command that met one. Fills
 * `err`; returns its code. */
int flow_task_blame(struct flow_task *task, const struct sl_process_end *end, struct sl_error *err);
/* SL_E_FAILED also when a check failed: the report is in `tables` then. */
int flow_task_keep(struct flow_task *task, struct sl_error *err);
int flow_task_commit(struct flow_task *task, int64_t now_ms, struct sl_error *err);
/* Inside a transaction: the end of a task that failed; also the results of failed checks. */
int flow_task_commit_failure(struct flow_task *task, const char *status, const char *cause, struct sl_error *err);
/* Inside a transaction: inputs and parameters, as soon as the run begins; metrics that have come since the last call. */
int flow_task_record_start(struct flow_task *task, struct sl_error *err);
int flow_task_record_metrics(struct flow_task *task, struct sl_error *err);
/* Files of the project that the outputs are copied to; after the commit. */
int flow_task_place(struct flow_task *task, struct sl_error *err);
/* One JSON line of the child, told at `time_ms`. `progress`: fraction and words, when the line has them. */
void flow_task_event(struct flow_task *task, const char *line, size_t len, int64_t time_ms, double *ret_progress, const char **ret_what,
		struct sl_metric *ret_metric);
void flow_task_done(struct flow_task *task); /* removes the folder */

/* Pieces (job.c, command.c, gate.c). */
int flow_job_write(struct flow_task *task, struct sl_error *err);
int flow_job_write_inspection(struct flow_task *task, struct sl_error *err);
int flow_command_prepare(struct flow_task *task, struct sl_error *err);
/* What the prepared command may touch (sandbox.c). */
int flow_sandbox_prepare(struct flow_task *task, struct sl_error *err);
int flow_command_check_outputs(struct flow_task *task, struct sl_error *err);
int flow_gate_find_champion(struct flow_task *task, struct sl_error *err);
/* Does the job in the folder `dir`, which a killed run began, compare with the champion of now? */
bool flow_gate_job_holds(const struct flow_graph *graph, size_t node, const char *dir);
int flow_gate_commit(struct flow_task *task, struct sl_error *err);
/* Path of an output in the staging folder; its parents exist. */
int flow_output_path(const struct flow_task *task, const struct flow_output *output, char out[SL_PATH_MAX], struct sl_error *err);
/* The rows that the gate scores. */
void flow_gate_rows(const struct flow_graph *graph, const struct flow_node *node, struct sl_arena *arena,
		struct sl_evaluate *ret);

#endif

/* Inside flow/: what execute.c (turns, ends) and start.c (beginnings) share. */
#ifndef SL_FLOW_EXECUTION_H
#define SL_FLOW_EXECUTION_H

#include "flow/execute.h"
#include "flow/queue.h"
#include "flow/retry.h"
#include "flow/task.h"
#include "os/process.h"

struct execution;
struct resting { struct resting *next; size_t node; int64_t until_ns; /* monotonic */ };
struct running {
	struct running *next;
	struct execution *execution;
	struct flow_task task;
	struct sl_process *process;      /* NULL: between two children, or not started */
	struct sl_process_end end;
	bool failed;                     /* for `error` */
	char denied[200];                /* the first line that tells of a refused file, when it runs in a sandbox; "" */
	bool not_started, text;          /* no process was to be had; a line had a text that asks for another attempt */
	struct sl_error error;
	int64_t second_ms;               /* for the limit on lines */
	int lines;
};

struct execution {
	struct flow_plan *plan;
	struct flow_graph *graph;
	const struct sl_flow_options *options;
	struct sl_processes *processes;
	size_t *waits;                   /* per node: what it still waits for */
	bool *settled;                   /* per node */
	size_t *untold, untold_count;    /* settled nodes that are told of once they are durable */
	bool open;                       /* a transaction: ends and the begins that they allow are one commit */
	bool ended_over_all;
	size_t *ready, ready_head, ready_tail; /* nodes that wait for nothing: to be decided on */
	struct flow_queue *queue;        /* of those, what has to run */
	struct flow_attempts *attempts;  /* per node */
	struct resting *resting;         /* between two attempts, the next one first */
	struct running *running;
	size_t running_count;
	struct sl_id run;                /* over all; text "" before the first node runs */
	bool halted;                     /* nothing new is started ... */
	bool at_end;                     /* ... but what runs at the end of all, since all else is settled */
	bool cancelled, environment_taken;
	const char *environment;         /* JSON, taken and not yet written; NULL */
	struct sl_hash diff;             /* of the working folder, when diff_bytes is not 0 */
	uint64_t diff_bytes;
	int64_t metrics_ms;
	struct sl_error first;           /* the first node's failure */
	struct sl_error *err;
};

static inline struct sl_flow_node *shown(struct execution *x, size_t i) { return &x->plan->report->nodes[i]; }
static inline struct sl_track *track_of(struct execution *x) { return &x->graph->store->track; }
static inline struct sl_meta *meta_of(struct execution *x) { return x->graph->store->meta; }

/* Notes a failure (`rc`) whose words are in r->error; true when it is one. */
static inline bool blame(struct running *r, int rc)
{
	r->failed |= rc != 0;
	return rc != 0;
}

/* Name of the setting that holds the run which is under way; what is there when a run begins was left by one that was killed. */
#define FLOW_ACTIVE "flow.active"

/* The path of this program. */
const char *flow_program(const struct execution *x);
/* What a killed run left behind is ended. */
int flow_clear_active(struct execution *x);
struct running *flow_new_running(struct execution *x, size_t i);
/* The node's run (and the one over all before the first) on record; inside a transaction. */
int flow_begin_node(struct execution *x, struct running *r);
/* After that is durable: folder, inputs, child. A failure is the node's. */
void flow_start_child(struct execution *x, struct running *r);
/* One child of the task, as the task says. */
int flow_launch(struct execution *x, struct running *r, struct sl_error *err);
/* The environment costs 10 ms (git), so it is taken while the first children already work, and written with the next turn's commit. */
int flow_take_environment(struct execution *x);
int flow_record_environment(struct execution *x);
/* Ends and the begins that they allow are one commit: execute.c closes it. */
int flow_open_transaction(struct execution *x);

#endif

/* Inside flow/: what execute.c (turns, ends) and start.c (beginnings) share. */
#ifndef SL_FLOW_EXECUTION_H
#define SL_FLOW_EXECUTION_H

#include "flow/execute.h"
#include "flow/keeper.h"
#include "flow/queue.h"
#include "flow/retry.h"
#include "flow/task.h"
#include "os/process.h"

struct execution;
enum { FLOW_REPEATED = 2 };
struct resting { struct resting *next; size_t node; int64_t until_ns; /* monotonic */ };
/* What a process tells by its descriptor 3, in the file of its keeper. */
struct hearing { int fd; /* -1: nothing yet */ uint64_t read; struct sl_buf line; };
struct running {
	struct running *next;
	struct execution *execution;
	struct flow_task task;
	struct flow_keeper *keeper;      /* of its present process; NULL: between two, or not started */
	const char *dir;                 /* where that one tells */
	char id[FLOW_KEPT_ID];           /* of it there */
	const struct flow_left *left;    /* it was started by a run that was killed; NULL */
	bool ended;                      /* `end` and `kept` tell how, and nobody looked at it yet */
	struct sl_process_end end;
	struct flow_kept_end kept;
	struct hearing hearing;
	uint64_t told, told_written;     /* bytes of it up to the last metric; of these, on record */
	struct sl_hash *first;           /* repeat: of its outputs, the first time; NULL: this is the first time, or the only one */
	bool failed;                     /* for `error` */
	bool not_started;                /* no process was to be had, or what kept it was killed */
	struct sl_error error;
};

/* What a killed run left behind of a node: its process works, or has ended and waits to be recorded. */
struct flow_left {
	struct flow_left *next;
	struct sl_id run;
	const char *name, *fingerprint;
	char dir[SL_PATH_MAX];           /* of its keeper */
	struct flow_keeper *keeper;      /* NULL: it has ended, and `end` tells how */
	struct flow_kept_end end;
	int stage;                       /* 0: the first process of the node, 1: the one behind it; from FLOW_REPEATED on: those of its second time */
	uint64_t gpus, told;
	int64_t started_ms;
};

struct execution {
	struct flow_plan *plan;
	struct flow_graph *graph;
	const struct sl_flow_options *options;
	struct flow_keepers keepers;
	struct flow_keeper *keeper;      /* ours; NULL: not started */
	struct flow_left *left;          /* and not taken over yet */
	bool found_left;
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

/* Name of the setting that holds the run which is under way, and its words behind a blank; what is there when a run begins was left by one that was killed. */
#define FLOW_ACTIVE "flow.active"

/* The path of this program. */
const char *flow_program(const struct execution *x);
struct running *flow_new_running(struct execution *x, size_t i);
/* The node's run (and the one over all before the first) on record; inside a transaction. */
int flow_begin_node(struct execution *x, struct running *r);
/* After that is durable: folder, inputs, child. A failure is the node's. */
void flow_start_child(struct execution *x, struct running *r);
/* One child of the task, as the task says. */
int flow_launch(struct execution *x, struct running *r, struct sl_error *err);
/* Options' repeat: 1: a second time was begun; 0: there is none, or it made the same; else it did not. */
int flow_repeat(struct execution *x, struct running *r);
/* Reads what it told since the last time. */
void flow_hear(struct running *r);
void flow_running_done(struct running *r);
/* The run over all, if there is none yet; inside a transaction. */
int flow_begin_over_all(struct execution *x);

/* What a killed run left behind: what neither works nor has ended is recorded as killed, and what is no longer in the project is ended; fills x->left. */
int flow_find_left(struct execution *x);
/* Takes nodes[i], which has to run, over from a killed run: 1; 0 when it is not there, or is another one by now and was ended. Inside a transaction. */
int flow_take_over(struct execution *x, size_t i);
/* Is nodes[i] a step for the end that a killed run left at work? */
bool flow_end_is_left(const struct execution *x, size_t i);
/* Asks all that was not taken over to end; the next run records it. */
void flow_stop_left(struct execution *x);
/* Its first turn here. */
void flow_go_on(struct execution *x, struct running *r);
/* Removes the folders that nobody's steps are in any more. */
void flow_clean_left(struct execution *x);
/* The environment costs 10 ms (git), so it is taken while the first children already work, and written with the next turn's commit. */
int flow_take_environment(struct execution *x);
int flow_record_environment(struct execution *x);
/* Ends and the begins that they allow are one commit: execute.c closes it. */
int flow_open_transaction(struct execution *x);

#endif

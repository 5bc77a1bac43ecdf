/* Inside flow/: the graph that the project's names imply.
 *
 *   source ──dataset──> sql step ──dataset──> train step ──model package──> model
 *                          └──dataset──> command ──dataset or file──> ...
 *
 * Only nodes that were asked for, and what they need, are in it; they stand in an order in which each comes behind what it needs.
 */
#ifndef SL_FLOW_GRAPH_H
#define SL_FLOW_GRAPH_H

#include "data/file_hash.h"
#include "data/ingest.h"
#include "flow/flow.h"

enum flow_action { FLOW_INGEST, FLOW_SQL, FLOW_RUN, FLOW_TRAIN, FLOW_EVALUATE, FLOW_GATE };

enum flow_output_kind { FLOW_DATASET, FLOW_MODEL, FLOW_FILE, FLOW_TREE /* a dataset of plain files */ };
const char *flow_output_kind_name(enum flow_output_kind kind); /* as in run_output: "dataset", "model", "output" */

struct flow_output {
	const char *name;
	enum flow_output_kind kind;
	const char *path;               /* RUN: relative to the project; else "" */
	const char *of;                 /* what it is read as with those of the other instances; NULL */
	const struct sl_dataset *checks; /* declared ones, or NULL */
	bool known;                     /* `hash` is what the node makes now */
	struct sl_hash hash;
};

/* `output` FLOW_NO_OUTPUT: a command that makes nothing, named only so that this node runs behind it. */
#define FLOW_NO_OUTPUT SIZE_MAX
struct flow_input {
	const char *name;
	size_t node, output;
	const char *of;                 /* one of several that are read together under this name, beside each other; NULL */
	bool for_checks;                /* only the checks of an output read it */
};

struct flow_node {
	const char *name;
	enum sl_flow_kind kind;
	enum flow_action action;
	const struct sl_source *source; /* exactly one of these three */
	const struct sl_step *step;
	const struct sl_model *model;
	struct sl_mark mark;
	struct flow_input *inputs;
	size_t input_count;
	struct flow_output *outputs;    /* first the node's main one; NAME.quarantine behind its dataset */
	size_t output_count;
	size_t *followers;              /* nodes that read from it, each once */
	size_t follower_count;
	size_t waits_for;               /* different nodes it reads from */
	bool asked;                     /* by the caller, not only needed */
	bool finally;                   /* runs when all else has ended; has neither inputs nor followers */
	const char *left_out;           /* in words; NULL: it is there. Has neither inputs nor followers */
	struct sl_names params;         /* that its definition, SQL and checks use */
	bool ingest_ready;              /* SOURCE: `ingest` is filled */
	struct sl_ingest_job ingest;
	struct sl_tree_taken tree;      /* SOURCE as files: instead of `ingest` */
};

struct flow_graph {
	const struct sl_project *project;
	struct sl_store *store;
	struct sl_arena *arena;
	struct flow_node *nodes;
	size_t count;
	const char *sql_engine, *train_engine; /* versions, asked for on first need; NULL */
	struct sl_sandbox_base *system;        /* what every command may touch, opened for the first of them (sandbox.c); NULL */
};

/* `write`: may remember what the SQL parser found (else nothing is written). SL_E_INVALID for unknown names, tables that
 * nobody makes and cycles, each with its place in sluice.yaml. */
int flow_graph_build(struct sl_store *store, const struct sl_project *project, const char *const *names, size_t name_count,
		bool write, struct sl_arena *arena, struct flow_graph *ret, struct sl_error *err);

/* Words in the graph's arena; "" when memory is out: they only explain. */
const char *flow_words(struct flow_graph *graph, const char *format, ...) SL_PRINTF(2, 3);

/* What the input reads; NULL when it only orders. */
const struct flow_output *flow_input_from(const struct flow_graph *graph, const struct flow_input *input);

/* The version of the SQL engine ("sql") or of the training library ("train"), remembered so that a run with nothing to do
 * loads neither. */
int flow_engine_version(struct flow_graph *graph, const char *engine, bool write, const char **ret, struct sl_error *err);

/* Turns a place inside a step's SQL or row expression ("features:1:8") into one of the project file. */
void flow_place_error(const struct sl_project *project, const struct sl_step *step, struct sl_error *err);

#endif

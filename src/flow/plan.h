/* Inside flow/: may a node stay as it is? Answered by its document: canonical JSON of everything that its result depends on,
 * by content.
 *
 *   {"checks":[...],"code":{path:hash},"definition":{...},"engine":"duckdb 1.5.6","format":"sluice.step/1","inputs":{name:hash},"kind":"sql",
 *    "name":"features","params":{name:value}}
 *
 * Its SHA-256 is the node's fingerprint. A result with the same fingerprint is used again, however old; without one, the
 * difference to the newest document of the same step is the reason to run (docs/steps.md).
 */
#ifndef SL_FLOW_PLAN_H
#define SL_FLOW_PLAN_H

#include "flow/graph.h"
#include "track/model.h"

struct flow_decision {
	enum sl_flow_state state;        /* FRESH, WAITING (a model), REUSED, STALE */
	char reason[SL_FLOW_REASON_MAX];
	const char *document;            /* canonical JSON, in the graph's arena; NULL: FRESH or WAITING */
	char fingerprint[SL_HASH_HEX + 1];
	char run[SL_ID_LEN + 1];         /* FRESH, REUSED: the run that made the result */
	char note[SL_FLOW_REASON_MAX];   /* FRESH models: "delay@2 is the champion" */
};

/* Decides for nodes[i], whose inputs are all known; fills `outputs` of the node when the state is FRESH, WAITING or REUSED.
 * `force`: STALE in any case. */
int flow_decide(struct flow_graph *graph, size_t i, bool force, bool write, struct flow_decision *ret, struct sl_error *err);

/* Remembers a finished node: its outputs (all known) under its fingerprint; inside the caller's transaction. */
int flow_remember(struct flow_graph *graph, size_t i, const struct flow_decision *decision, const struct sl_id *run,
		int64_t now_ms, struct sl_error *err);
/* Puts a reused result in place: heads of datasets (inside the caller's transaction), files in the project. */
int flow_restore(struct flow_graph *graph, size_t i, const struct flow_decision *decision, int64_t now_ms, struct sl_error *err);

/* Is the project's copy of a file output what `hash` says? */
bool flow_file_in_place(struct flow_graph *graph, const struct flow_output *output);
/* Writes the project's copy, old or new, never half. */
int flow_file_place(struct flow_graph *graph, const struct flow_output *output, struct sl_error *err);
/* A model's version (as sl_model_find): 1 found, 0 there is none, negative an error. */
int flow_find_version(struct flow_graph *graph, const char *model, const char *version, struct sl_model_version *ret,
		struct sl_error *err);
/* The parameter's value as JSON. */
yyjson_mut_val *flow_param_json(yyjson_mut_doc *doc, const struct sl_value *value);

#endif

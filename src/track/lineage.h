/* Lineage: where a thing came from, down to the hashes of raw files, and what was made from it. A graph as JSON:
 *
 *   {"direction":"back"|"down", "root":ID, "truncated":false,
 *    "nodes":[{"id":ID,"kind":...}...],            every node once, in the order in which they were reached (breadth first)
 *    "edges":[{"from":ID,"to":ID,"as":WORD}...]}   back: `from` needed `to`; down: `to` was made from `from`
 *
 * A node's id is a full reference. Nodes by kind:
 *   prediction  id, model (package hash)
 *   model       name, version, hash, status, created, aliases
 *   run         run_kind, name, status, reason, cause, started, ended, record, parent, params {}, environment {}
 *   dataset     name, hash, rows, size_bytes, created
 *   file, code, output, package     name, hash
 * Edges: "made_by" (thing to run), "input" (run to thing); down: "read_by", "output"; "step" (a whole run to its steps);
 * "version" (package to model version), "package" (back), "model" (prediction), "looked_up" (prediction to dataset).
 *
 * Cost follows the part of the graph that is shown, not the history: every step is an index look-up.
 */
#ifndef SL_TRACK_LINEAGE_H
#define SL_TRACK_LINEAGE_H

#include "project/ref.h"
#include "track/store.h"

enum { SL_LINEAGE_NODES_MAX = 10000 }; /* beyond, "truncated" is true */

/* `ref`: dataset (version "" or a hash prefix: other spellings are resolved by the data room first), model, run, step, source,
 * file (a path or hash). Others are SL_E_INVALID, and what does not exist SL_E_NOT_FOUND. The values live in `doc`. */
int sl_lineage_why(struct sl_store *store, const struct sl_ref *ref, bool down, yyjson_mut_doc *doc, yyjson_mut_val **ret,
		   struct sl_error *err);
/* A prediction as its log record tells of it: the model package that made it, and the dataset versions that it looked values up in. */
struct sl_lineage_lookup { const char *dataset; struct sl_hash version; };
struct sl_lineage_prediction {
	const char *id;
	struct sl_hash package;
	const struct sl_lineage_lookup *lookups;
	size_t lookup_count;
};
/* Backwards from it. */
int sl_lineage_why_prediction(struct sl_store *store, const struct sl_lineage_prediction *prediction, yyjson_mut_doc *doc,
			      yyjson_mut_val **ret, struct sl_error *err);

#endif

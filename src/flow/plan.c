#include "flow/plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "flow/document.h"
#include "flow/tree.h"
#include "os/clock.h"

/* ---- what was there before ------------------------------------------------------------------------------------------------------- */

/* Fills the node's outputs from the stored JSON; false when they do not fit its present shape or an object is gone. */
static bool take_outputs(struct flow_graph *g, struct flow_node *node, const char *text)
{
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
	yyjson_val *root = yyjson_doc_get_root(doc);
	bool ok = yyjson_is_obj(root);
	for (size_t i = 0; ok && i < node->output_count; i++) {
		struct flow_output *o = &node->outputs[i];
		ok = sl_hash_parse(sl_json_str(root, o->name, ""), &o->hash) && sl_objects_has(g->store->objects, &o->hash);
		o->known = ok;
	}
	return ok;
}

static int find_result(struct flow_graph *g, struct flow_node *node, struct flow_decision *d, bool *ret_found, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(g->store->meta, &stmt, err, "SELECT outputs, run FROM step_result WHERE fingerprint = ?1", "s", d->fingerprint);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	*ret_found = rc == 1 && take_outputs(g, node, sl_stmt_text(stmt, 0));
	if (rc == 1)
		snprintf(d->run, sizeof d->run, "%s", sl_stmt_text(stmt, 1));
	return rc < 0 ? rc : 0;
}

static const char *run_kind(const struct flow_node *node)
{
	switch (node->action) {
	case FLOW_INGEST: return "ingest";
	case FLOW_TRAIN: return "train";
	case FLOW_EVALUATE:
	case FLOW_GATE: return "evaluate";
	default: return "step";
	}
}

/* "last run failed: ..." when the newest run of the node did not end well. */
static int last_failure(struct flow_graph *g, const struct flow_node *node, char out[SL_FLOW_REASON_MAX], struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	out[0] = 0;
	int rc = sl_meta_query(g->store->meta, &stmt, err, "SELECT status, cause FROM run WHERE name = ?1 AND kind = ?2 ORDER BY id DESC LIMIT 1", "ss", node->name,
			       run_kind(node));
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc != 1 || strcmp(sl_stmt_text(stmt, 0), "ok") == 0)
		return rc < 0 ? rc : 0;
	const char *status = sl_stmt_text(stmt, 0), *cause = sl_stmt_text(stmt, 1);
	snprintf(out, SL_FLOW_REASON_MAX, "last run %s%s%.200s", strcmp(status, "failed") == 0 ? "failed" : strcmp(status, "cancelled") == 0 ? "was cancelled" : "was killed",
		 *cause ? ": " : "", cause);
	return 0;
}

/* Why it has to run: what differs from the newest result of this step, else that there is none. */
static int find_reason(struct flow_graph *g, const struct flow_node *node, struct flow_decision *d, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	char failure[SL_FLOW_REASON_MAX];
	int rc = last_failure(g, node, failure, err);
	rc = rc ? rc : sl_meta_query(g->store->meta, &stmt, err, "SELECT document, fingerprint FROM step_result WHERE step = ?1 ORDER BY ended_ms DESC LIMIT 1", "s", node->name);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		snprintf(d->reason, sizeof d->reason, "%s", *failure ? failure : "never ran");
	else if (strcmp(sl_stmt_text(stmt, 1), d->fingerprint) == 0)
		snprintf(d->reason, sizeof d->reason, "what it made is gone");
	else if (*failure)
		snprintf(d->reason, sizeof d->reason, "%s", failure);
	else
		flow_document_difference(sl_stmt_text(stmt, 0), d->document, d->reason);
	return 0;
}

/* ---- is the result in place? ------------------------------------------------------------------------------------------------------- */

bool flow_file_in_place(struct flow_graph *graph, const struct flow_output *output)
{
	if (!*output->path || output->kind == FLOW_DATASET || output->kind == FLOW_TREE)
		return true;
	return flow_tree_in_place(graph->store, graph->project->dir, output->path, &output->hash);
}

int flow_file_place(struct flow_graph *graph, const struct flow_output *output, struct sl_error *err)
{
	return flow_tree_place(graph->store, graph->project->dir, output->path, &output->hash, err);
}

static int in_place(struct flow_graph *g, const struct flow_node *node, bool *ret, struct sl_error *err)
{
	*ret = true;
	for (size_t i = 0; *ret && i < node->output_count; i++) {
		const struct flow_output *o = &node->outputs[i];
		struct sl_dataset_head head;
		struct sl_error why;
		bool versioned = o->kind == FLOW_DATASET || o->kind == FLOW_TREE;
		int rc = versioned ? sl_dataset_head(&g->store->track, o->name, &head, &why) : 0;
		if (rc && rc != SL_E_NOT_FOUND) {
			*err = why;
			return rc;
		}
		if (versioned)
			*ret = rc == 0 && sl_hash_eq(&head.hash, &o->hash);
		else
			*ret = flow_file_in_place(g, o);
	}
	return 0;
}

int flow_find_version(struct flow_graph *graph, const char *model, const char *version, struct sl_model_version *ret, struct sl_error *err)
{
	struct sl_error why;
	int rc = sl_model_find(&graph->store->track, model, version, ret, &why);
	if (rc == SL_E_NOT_FOUND)
		return 0;
	if (rc)
		*err = why;
	return rc ? rc : 1;
}

/* A model that passed its gate and awaits approval says so each time. */
static int look_at_model(struct flow_graph *g, const struct flow_node *node, struct flow_decision *d, struct sl_error *err)
{
	const struct flow_input *from = &node->inputs[0];
	char hex[SL_HASH_HEX + 1];
	struct sl_model_version version;
	sl_hash_hex(&flow_input_from(g, from)->hash, hex);
	int rc = flow_find_version(g, node->name, hex, &version, err);
	if (rc <= 0)
		return rc;
	bool waiting = strcmp(version.status, "waiting") == 0;
	if (waiting)
		d->state = SL_FLOW_WAITING;
	snprintf(d->note, sizeof d->note, "%s@%lld%s", node->name, (long long)version.version, waiting ? " waits for approval" : "");
	return 0;
}

int flow_decide(struct flow_graph *graph, size_t i, bool force, bool write, struct flow_decision *ret, struct sl_error *err)
{
	struct flow_node *node = &graph->nodes[i];
	struct sl_hash hash;
	bool found = false, placed = false;
	SL_AUTO_BUF struct sl_buf document = SL_BUF_INIT(64 << 20);
	*ret = (struct flow_decision){.state = SL_FLOW_STALE};
	int rc = flow_document_make(graph, i, write, &document, err);
	if (rc)
		return rc;
	sl_sha256(document.data, document.len, &hash);
	sl_hash_hex(&hash, ret->fingerprint);
	rc = force ? 0 : find_result(graph, node, ret, &found, err);
	if (!rc && found)
		rc = in_place(graph, node, &placed, err);
	/* Of a large graph with little to do, most documents are only needed for their hash. */
	if (!rc && !placed && !(ret->document = sl_arena_strdup(graph->arena, sl_buf_cstr(&document))))
		rc = sl_fail_memory(err);
	if (rc)
		return rc;
	if (force) {
		snprintf(ret->reason, sizeof ret->reason, node->finally ? "everything has ended" : "asked to run whatever changed");
		return 0;
	}
	if (!found)
		return find_reason(graph, node, ret, err);
	ret->state = placed ? SL_FLOW_FRESH : SL_FLOW_REUSED;
	snprintf(ret->reason, sizeof ret->reason, placed ? "nothing changed" : "made before by run %.10s", ret->run);
	return node->kind == SL_FLOW_MODEL ? look_at_model(graph, node, ret, err) : 0;
}

/* ---- remember and restore --------------------------------------------------------------------------------------------------------------- */

int flow_remember(struct flow_graph *graph, size_t i, const struct flow_decision *decision, const struct sl_id *run, int64_t now_ms, struct sl_error *err)
{
	const struct flow_node *node = &graph->nodes[i];
	SL_AUTO_BUF struct sl_buf outputs = SL_BUF_INIT(1 << 20);
	char hex[SL_HASH_HEX + 1];
	sl_buf_char(&outputs, '{');
	for (size_t k = 0; k < node->output_count; k++) /* names are plain: nothing to escape */
		sl_buf_printf(&outputs, "%s\"%s\":\"%s\"", k ? "," : "", node->outputs[k].name, sl_hash_hex(&node->outputs[k].hash, hex));
	sl_buf_char(&outputs, '}');
	int rc = sl_buf_check(&outputs, "the list of outputs", err);
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(graph->store->meta, err,
				 "INSERT INTO step_result(fingerprint, step, run, document, outputs, ended_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "
				 "ON CONFLICT(fingerprint) DO UPDATE SET run = ?3, outputs = ?5, ended_ms = ?6",
				 "sssssi", decision->fingerprint, node->name, run->text, decision->document, sl_buf_cstr(&outputs), now_ms);
	return n < 0 ? (int)n : 0;
}

int flow_restore(struct flow_graph *graph, size_t i, const struct flow_decision *decision, int64_t now_ms, struct sl_error *err)
{
	const struct flow_node *node = &graph->nodes[i];
	struct sl_id run;
	if (!sl_id_parse(decision->run, &run))
		return sl_fail(err, SL_E_CORRUPT, "the remembered result of '%s' has no run", node->name);
	int rc = 0;
	for (size_t k = 0; rc >= 0 && k < node->output_count; k++) {
		const struct flow_output *o = &node->outputs[k];
		struct sl_manifest manifest;
		if (o->kind == FLOW_DATASET) {
			rc = sl_manifest_read(graph->store->objects, &o->hash, graph->arena, &manifest, err);
			rc = rc < 0 ? rc : sl_dataset_commit(&graph->store->track, o->name, &o->hash, &manifest, &run, err);
		} else if (o->kind == FLOW_TREE) {
			rc = sl_tree_commit(graph->store, o->name, &o->hash, &run, err);
		} else if (!flow_file_in_place(graph, o)) {
			rc = flow_file_place(graph, o, err);
		}
	}
	if (rc < 0)
		return rc;
	int64_t n = sl_meta_exec(graph->store->meta, err, "UPDATE step_result SET ended_ms = ?2 WHERE fingerprint = ?1", "si", decision->fingerprint, now_ms);
	return n < 0 ? (int)n : 0;
}

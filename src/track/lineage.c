#include "track/lineage.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "track/model.h"

/* A node that was reached. Things other than runs are (kind, name, hash); a run is kind "run" and its id as name. */
struct node {
	const char *id, *kind, *name, *hash;
	int64_t version;  /* of a model */
	const char *user; /* back: the run that first needed it, "" when none: its maker is the newest run before that one */
};

struct walk {
	struct sl_meta *meta;
	struct sl_arena *arena;
	struct sl_map *seen; /* id -> struct node */
	yyjson_mut_doc *doc;
	yyjson_mut_val *nodes, *edges;
	bool down, truncated;
};

/* ---- nodes and edges ------------------------------------------------------------------------------------------------ */

static bool add_text(struct walk *walk, yyjson_mut_val *object, const char *name, const char *text)
{
	return yyjson_mut_obj_add_val(walk->doc, object, name, yyjson_mut_strcpy(walk->doc, text));
}

static bool add_time(struct walk *walk, yyjson_mut_val *object, const char *name, int64_t time_ms)
{
	char text[SL_TIME_TEXT];
	return add_text(walk, object, name, sl_time_format(time_ms, text));
}

static char *make_id(struct walk *walk, const struct node *node)
{
	if (sl_str_eq(node->kind, "run") || sl_str_eq(node->kind, "prediction"))
		return sl_arena_printf(walk->arena, "%s:%s", node->kind, node->name);
	if (sl_str_eq(node->kind, "model"))
		return sl_arena_printf(walk->arena, "model:%s@%lld", node->name, (long long)node->version);
	return sl_arena_printf(walk->arena, "%s:%s@%s", node->kind, node->name, node->hash);
}

/* Reaches a node; new ones are queued (the map keeps their order). *ret_id is NULL when the graph is full. */
static int reach(struct walk *walk, struct node node, const char **ret_id, struct sl_error *err)
{
	*ret_id = NULL;
	char *id = make_id(walk, &node);
	const struct node *seen = id ? sl_map_get(walk->seen, id) : NULL;
	if (seen) {
		*ret_id = seen->id;
		return 0;
	}
	if (sl_map_count(walk->seen) >= SL_LINEAGE_NODES_MAX) {
		walk->truncated = true;
		return 0;
	}
	struct node *kept = sl_arena_alloc(walk->arena, sizeof *kept);
	if (!id || !kept)
		return sl_fail_memory(err);
	*kept = (struct node){
		.id = id,
		.version = node.version,
		.kind = node.kind,
		.name = sl_arena_strdup(walk->arena, node.name),
		.hash = sl_arena_strdup(walk->arena, node.hash ? node.hash : ""),
		.user = sl_arena_strdup(walk->arena, node.user ? node.user : ""),
	};
	if (!kept->name || !kept->hash || !kept->user)
		return sl_fail_memory(err);
	*ret_id = id;
	return sl_map_set(walk->seen, id, kept, NULL, err);
}

/* Reaches `to` and draws the edge from `from`. */
static int link_to(struct walk *walk, const struct node *from, struct node to, const char *as, struct sl_error *err)
{
	const char *id;
	int rc = reach(walk, to, &id, err);
	if (rc || !id)
		return rc;
	yyjson_mut_val *edge = yyjson_mut_arr_add_obj(walk->doc, walk->edges);
	bool ok = edge && add_text(walk, edge, "from", from->id) && add_text(walk, edge, "to", id) &&
		  add_text(walk, edge, "as", as);
	return ok ? 0 : sl_fail_memory(err);
}

/* The kinds that rows use, as texts that outlive the row. */
static const char *kind_of(const char *text)
{
	static const char *const KINDS[] = {"dataset", "file", "code", "output"};
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		if (sl_str_eq(text, KINDS[i]))
			return KINDS[i];
	return sl_str_eq(text, "model") ? "package" : "output";
}

/* Links every row of a statement whose columns are kind, name, hash. */
static int link_things(struct walk *walk, const struct node *run, struct sl_stmt *stmt, const char *as, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		struct node thing = {.kind = kind_of(sl_stmt_text(stmt, 0)),
				     .name = sl_stmt_text(stmt, 1),
				     .hash = sl_stmt_text(stmt, 2),
				     .user = run->name};
		rc = link_to(walk, run, thing, as, err);
		if (rc || walk->truncated)
			return rc;
	}
	return rc;
}

/* Links every run that a statement's first column names. */
static int link_runs(struct walk *walk, const struct node *from, struct sl_stmt *stmt, const char *as, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		rc = link_to(walk, from, (struct node){.kind = "run", .name = sl_stmt_text(stmt, 0)}, as, err);
		if (rc || walk->truncated)
			return rc;
	}
	return rc;
}

/* Links every model version that a statement's columns model, version, hash name. */
static int link_versions(struct walk *walk, const struct node *from, struct sl_stmt *stmt, const char *as, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		struct node model = {.kind = "model",
				     .name = sl_stmt_text(stmt, 0),
				     .version = sl_stmt_int(stmt, 1),
				     .hash = sl_stmt_text(stmt, 2)};
		rc = link_to(walk, from, model, as, err);
		if (rc || walk->truncated)
			return rc;
	}
	return rc;
}

/* ---- describing a node ---------------------------------------------------------------------------------------------- */

/* JSON of a run of our own; a client's are texts. */
static int describe_params(struct walk *walk, const struct node *node, bool logged, yyjson_mut_val *object, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *params = yyjson_mut_obj(walk->doc);
	if (!yyjson_mut_obj_add_val(walk->doc, object, "params", params))
		return sl_fail_memory(err);
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       logged ? "SELECT p.name, p.value FROM rec_param p JOIN rec_run r ON r.num = p.run WHERE r.id = ?1 ORDER BY p.name"
				      : "SELECT name, value FROM run_param WHERE run = ?1 ORDER BY name",
			       "s", node->name);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		const char *json = sl_stmt_text(stmt, 1);
		yyjson_doc *value SL_AUTO_JSON = sl_json_parse(json, strlen(json), "parameter", NULL);
		yyjson_mut_val *key = yyjson_mut_strcpy(walk->doc, sl_stmt_text(stmt, 0));
		yyjson_mut_val *copy =
			value ? yyjson_val_mut_copy(walk->doc, yyjson_doc_get_root(value)) : yyjson_mut_strcpy(walk->doc, json);
		rc = key && copy && yyjson_mut_obj_add(params, key, copy) ? 0 : sl_fail_memory(err);
	}
	return rc;
}

static int describe_run(struct walk *walk, const struct node *node, yyjson_mut_val *object, struct sl_error *err)
{
	static const char *const NAMES[] = {"run_kind", "name", "status", "reason", "cause", "record", "parent"};
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       "SELECT kind, name, status, reason, cause, record, parent, started_ms, ended_ms, environment FROM "
			       "run WHERE id = ?1",
			       "s", node->name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	bool ok = true;
	for (int i = 0; i < (int)SL_ARRAY_LEN(NAMES) && ok; i++)
		ok = sl_stmt_null(stmt, i) || add_text(walk, object, NAMES[i], sl_stmt_text(stmt, i));
	ok = ok && add_time(walk, object, "started", sl_stmt_int(stmt, 7)) &&
	     (sl_stmt_null(stmt, 8) || add_time(walk, object, "ended", sl_stmt_int(stmt, 8)));
	const char *json = sl_stmt_text(stmt, 9);
	yyjson_doc *environment SL_AUTO_JSON = sl_json_parse(json, strlen(json), "environment", NULL);
	if (ok && environment)
		ok = yyjson_mut_obj_add_val(walk->doc, object, "environment",
					    yyjson_val_mut_copy(walk->doc, yyjson_doc_get_root(environment)));
	return ok ? describe_params(walk, node, sl_str_eq(sl_stmt_text(stmt, 0), "logged"), object, err) : sl_fail_memory(err);
}

static int describe_dataset(struct walk *walk, const struct node *node, yyjson_mut_val *object, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(
		walk->meta, &stmt, err,
		"SELECT rows, size_bytes, created_ms FROM dataset_version WHERE hash = ?1 AND dataset = ?2 ORDER BY seq LIMIT 1",
		"ss", node->hash, node->name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	bool ok = (sl_stmt_null(stmt, 0) || yyjson_mut_obj_add_int(walk->doc, object, "rows", sl_stmt_int(stmt, 0))) &&
		  yyjson_mut_obj_add_int(walk->doc, object, "size_bytes", sl_stmt_int(stmt, 1)) &&
		  add_time(walk, object, "created", sl_stmt_int(stmt, 2));
	return ok ? 0 : sl_fail_memory(err);
}

static int describe_model(struct walk *walk, const struct node *node, yyjson_mut_val *object, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL, *aliases SL_AUTO_STMT = NULL;
	yyjson_mut_val *list = yyjson_mut_arr(walk->doc);
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       "SELECT status, created_ms FROM model_version WHERE model = ?1 AND version = ?2", "si", node->name,
			       node->version);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	bool ok = yyjson_mut_obj_add_int(walk->doc, object, "version", node->version) &&
		  add_text(walk, object, "status", sl_stmt_text(stmt, 0)) &&
		  add_time(walk, object, "created", sl_stmt_int(stmt, 1)) &&
		  yyjson_mut_obj_add_val(walk->doc, object, "aliases", list);
	rc = ok ? sl_meta_query(walk->meta, &aliases, err,
				"SELECT alias FROM model_alias WHERE model = ?1 AND version = ?2 ORDER BY alias", "si",
				node->name, node->version)
		: sl_fail_memory(err);
	while (!rc && (rc = sl_stmt_step(aliases, err)) == 1)
		rc = yyjson_mut_arr_add_strcpy(walk->doc, list, sl_stmt_text(aliases, 0)) ? 0 : sl_fail_memory(err);
	return rc;
}

static int describe(struct walk *walk, const struct node *node, struct sl_error *err)
{
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(walk->doc, walk->nodes);
	if (!object || !add_text(walk, object, "id", node->id) || !add_text(walk, object, "kind", node->kind))
		return sl_fail_memory(err);
	if (sl_str_eq(node->kind, "run"))
		return describe_run(walk, node, object, err);
	if (sl_str_eq(node->kind, "prediction"))
		return add_text(walk, object, "package", node->hash) ? 0 : sl_fail_memory(err);
	if (!add_text(walk, object, "name", node->name) || !add_text(walk, object, "hash", node->hash))
		return sl_fail_memory(err);
	if (sl_str_eq(node->kind, "dataset"))
		return describe_dataset(walk, node, object, err);
	return sl_str_eq(node->kind, "model") ? describe_model(walk, node, object, err) : 0;
}

/* ---- backwards ------------------------------------------------------------------------------------------------------ */

/* The dataset that a client's "source" names by a reference of ours, {"uri":"dataset:NAME@HASH"}: name and hash into `arena`. */
static bool own_dataset(struct walk *walk, const char *source, struct node *ret)
{
	static const char SCHEME[] = "dataset:";
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(source, strlen(source), "source", NULL);
	const char *uri = doc ? sl_json_str(yyjson_doc_get_root(doc), "uri", "") : "", *at = strrchr(uri, '@');
	struct sl_hash hash;
	if (!sl_str_starts(uri, SCHEME) || !at || !sl_hash_parse(at + 1, &hash))
		return false;
	const char *name = uri + sizeof SCHEME - 1;
	ret->name = sl_arena_strndup(walk->arena, name, (size_t)(at - name));
	ret->hash = sl_arena_strdup(walk->arena, at + 1);
	return ret->name && ret->hash;
}

/* What a client said that its run read (record/input.h): a dataset of ours where its source says so, else one that only it knows. */
static int link_logged(struct walk *walk, const struct node *run, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       "SELECT d.name, d.digest, d.source FROM rec_run r JOIN run o ON o.id = r.id AND o.kind = 'logged' JOIN rec_input i ON "
			       "i.run = r.num JOIN rec_dataset d ON d.id = i.dataset WHERE r.id = ?1 ORDER BY d.name, d.digest",
			       "s", run->name);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct node thing = {.kind = "dataset", .name = sl_stmt_text(stmt, 0), .hash = sl_stmt_text(stmt, 1), .user = run->name};
		own_dataset(walk, sl_stmt_text(stmt, 2), &thing);
		rc = link_to(walk, run, thing, "input", err);
		if (rc || walk->truncated)
			return rc;
	}
	return rc;
}

static int back_from_run(struct walk *walk, const struct node *run, struct sl_error *err)
{
	struct sl_stmt *inputs SL_AUTO_STMT = NULL, *steps SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &inputs, err,
			       "SELECT kind, name, hash FROM run_input WHERE run = ?1 ORDER BY kind, name", "s", run->name);
	if (!rc)
		rc = link_things(walk, run, inputs, "input", err);
	if (!rc)
		rc = link_logged(walk, run, err);
	if (!rc)
		rc = sl_meta_query(walk->meta, &steps, err, "SELECT id FROM run WHERE parent = ?1 ORDER BY id", "s", run->name);
	return rc ? rc : link_runs(walk, run, steps, "step", err);
}

/* The run that made a thing: among those that made these bytes under this name the newest before the run that used them (ids
 * sort by time), else the first. Equal content made twice has two makers; this is the one whose result was there. */
static int back_from_thing(struct walk *walk, const struct node *thing, struct sl_error *err)
{
	struct sl_stmt *before SL_AUTO_STMT = NULL, *any SL_AUTO_STMT = NULL;
	const char *user = thing->user[0] ? thing->user : "~";
	int rc = sl_meta_query(walk->meta, &before, err,
			       "SELECT run FROM run_output WHERE hash = ?1 AND name = ?2 AND run < ?3 ORDER BY run DESC LIMIT 1",
			       "sss", thing->hash, thing->name, user);
	size_t had = yyjson_mut_arr_size(walk->edges);
	if (!rc)
		rc = link_runs(walk, thing, before, "made_by", err);
	if (rc || yyjson_mut_arr_size(walk->edges) > had)
		return rc;
	rc = sl_meta_query(walk->meta, &any, err,
			   "SELECT run FROM dataset_version WHERE hash = ?1 AND dataset = ?2 ORDER BY seq LIMIT 1", "ss",
			   thing->hash, thing->name);
	return rc ? rc : link_runs(walk, thing, any, "made_by", err);
}

/* A package's name in rows is the step's; whoever wrote these bytes first is its maker. */
static int back_from_package(struct walk *walk, const struct node *package, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &stmt, err, "SELECT run FROM run_output WHERE hash = ?1 ORDER BY run LIMIT 1", "s",
			       package->hash);
	return rc ? rc : link_runs(walk, package, stmt, "made_by", err);
}

static int back_from_model(struct walk *walk, const struct node *model, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = link_to(walk, model, (struct node){.kind = "package", .name = model->name, .hash = model->hash}, "package", err);
	if (!rc)
		rc = sl_meta_query(walk->meta, &stmt, err, "SELECT run FROM model_version WHERE model = ?1 AND version = ?2",
				   "si", model->name, model->version);
	return rc ? rc : link_runs(walk, model, stmt, "made_by", err);
}

static int back_from_prediction(struct walk *walk, const struct node *prediction, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       "SELECT model, version, hash FROM model_version WHERE hash = ?1 ORDER BY model, version", "s",
			       prediction->hash);
	return rc ? rc : link_versions(walk, prediction, stmt, "model", err);
}

static int go_back(struct walk *walk, const struct node *node, struct sl_error *err)
{
	if (sl_str_eq(node->kind, "run"))
		return back_from_run(walk, node, err);
	if (sl_str_eq(node->kind, "model"))
		return back_from_model(walk, node, err);
	if (sl_str_eq(node->kind, "package"))
		return back_from_package(walk, node, err);
	if (sl_str_eq(node->kind, "prediction"))
		return back_from_prediction(walk, node, err);
	return sl_str_eq(node->kind, "code") ? 0 : back_from_thing(walk, node, err);
}

/* ---- forwards ------------------------------------------------------------------------------------------------------- */

static int down_from_run(struct walk *walk, const struct node *run, struct sl_error *err)
{
	struct sl_stmt *outputs SL_AUTO_STMT = NULL, *steps SL_AUTO_STMT = NULL, *versions SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(walk->meta, &outputs, err,
			       "SELECT kind, name, hash FROM run_output WHERE run = ?1 ORDER BY kind, name", "s", run->name);
	if (!rc)
		rc = link_things(walk, run, outputs, "output", err);
	if (!rc)
		rc = sl_meta_query(walk->meta, &versions, err,
				   "SELECT model, version, hash FROM model_version WHERE run = ?1 ORDER BY model, version", "s",
				   run->name);
	if (!rc)
		rc = link_versions(walk, run, versions, "version", err);
	if (!rc)
		rc = sl_meta_query(walk->meta, &steps, err, "SELECT id FROM run WHERE parent = ?1 ORDER BY id", "s", run->name);
	return rc ? rc : link_runs(walk, run, steps, "step", err);
}

/* Runs that read the thing, under its own name: the same bytes under another name are another thing. */
static int down_from_thing(struct walk *walk, const struct node *thing, struct sl_error *err)
{
	struct sl_stmt *readers SL_AUTO_STMT = NULL, *versions SL_AUTO_STMT = NULL;
	bool package = sl_str_eq(thing->kind, "package");
	int rc = package ? sl_meta_query(walk->meta, &readers, err, "SELECT run FROM run_input WHERE hash = ?1 ORDER BY run", "s",
					 thing->hash)
			 : sl_meta_query(walk->meta, &readers, err,
					 "SELECT run FROM run_input WHERE hash = ?1 AND name = ?2 ORDER BY run", "ss",
					 thing->hash, thing->name);
	if (!rc)
		rc = link_runs(walk, thing, readers, "read_by", err);
	if (rc || !package)
		return rc;
	rc = sl_meta_query(walk->meta, &versions, err,
			   "SELECT model, version, hash FROM model_version WHERE hash = ?1 ORDER BY model, version", "s",
			   thing->hash);
	return rc ? rc : link_versions(walk, thing, versions, "version", err);
}

/* Runs that used the version through its package: evaluation, gates. */
static int down_from_model(struct walk *walk, const struct node *model, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc =
		sl_meta_query(walk->meta, &stmt, err, "SELECT run FROM run_input WHERE hash = ?1 ORDER BY run", "s", model->hash);
	return rc ? rc : link_runs(walk, model, stmt, "read_by", err);
}

static int go_down(struct walk *walk, const struct node *node, struct sl_error *err)
{
	if (sl_str_eq(node->kind, "run"))
		return down_from_run(walk, node, err);
	return sl_str_eq(node->kind, "model") ? down_from_model(walk, node, err) : down_from_thing(walk, node, err);
}

/* ---- the root ------------------------------------------------------------------------------------------------------- */

/* The first row (kind, name, hash) of a query as the root; SL_E_NOT_FOUND when there is none. */
static int root_thing(struct walk *walk, struct sl_stmt *stmt, const char *what, const char *name, struct sl_error *err)
{
	const char *id;
	int rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "there is no %s '%.200s'", what, name);
	if (rc < 0)
		return rc;
	struct node node = {.kind = kind_of(sl_stmt_text(stmt, 0)), .name = sl_stmt_text(stmt, 1), .hash = sl_stmt_text(stmt, 2)};
	if (sl_str_eq(sl_stmt_text(stmt, 0), "run"))
		node = (struct node){.kind = "run", .name = sl_stmt_text(stmt, 1)};
	return reach(walk, node, &id, err);
}

static int root_dataset(struct walk *walk, const struct sl_ref *ref, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char end[sizeof ref->version + 2];
	if (strspn(ref->version, "0123456789abcdef") != strlen(ref->version))
		return sl_fail(err, SL_E_INVALID, "'%s' is not a hash of a version of dataset '%s'", ref->version, ref->name);
	snprintf(end, sizeof end, "%sg", ref->version);
	int rc = sl_meta_query(walk->meta, &stmt, err,
			       "SELECT 'dataset', dataset, hash FROM dataset_version WHERE dataset = ?1 AND hash >= ?2 AND hash "
			       "< ?3 ORDER BY seq DESC LIMIT 1",
			       "sss", ref->name, ref->version, end);
	return rc ? rc : root_thing(walk, stmt, "dataset", ref->name, err);
}

static int root_model(struct walk *walk, struct sl_store *store, const struct sl_ref *ref, struct sl_error *err)
{
	struct sl_model_version found;
	char hex[SL_HASH_HEX + 1];
	const char *id;
	int rc = sl_model_find(&store->track, ref->name, ref->version, &found, err);
	if (rc)
		return rc;
	return reach(walk,
		     (struct node){
			     .kind = "model", .name = ref->name, .version = found.version, .hash = sl_hash_hex(&found.hash, hex)},
		     &id, err);
}

static int root_run(struct walk *walk, struct sl_store *store, const struct sl_ref *ref, struct sl_error *err)
{
	struct sl_id run;
	const char *id;
	int rc = sl_run_find(&store->track, ref->name, &run, err);
	return rc ? rc : reach(walk, (struct node){.kind = "run", .name = run.text}, &id, err);
}

/* A step or source: its newest run that succeeded. */
static int root_named_run(struct walk *walk, const struct sl_ref *ref, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(
		walk->meta, &stmt, err,
		"SELECT 'run', id, '' FROM run WHERE name = ?1 AND status = 'ok' AND kind <> 'run' ORDER BY id DESC LIMIT 1", "s",
		ref->name);
	return rc ? rc : root_thing(walk, stmt, "finished run of", ref->name, err);
}

/* A file by its path or hash: as an input, an output or an artifact, the newest. */
static int root_file(struct walk *walk, const struct sl_ref *ref, struct sl_error *err)
{
	static const char *const BY_PATH[] = {
		"SELECT kind, name, hash FROM run_input WHERE name = ?1 AND kind = 'file' ORDER BY run DESC LIMIT 1",
		"SELECT kind, name, hash FROM run_output WHERE name = ?1 ORDER BY run DESC LIMIT 1",
	};
	static const char *const BY_HASH[] = {
		"SELECT kind, name, hash FROM run_input WHERE hash = ?1 ORDER BY run DESC LIMIT 1",
		"SELECT kind, name, hash FROM run_output WHERE hash = ?1 ORDER BY run DESC LIMIT 1",
		"SELECT 'run', run, '' FROM run_artifact WHERE hash = ?1 ORDER BY run DESC LIMIT 1",
	};
	struct sl_hash hash;
	bool is_hash = sl_hash_parse(ref->name, &hash);
	size_t count = is_hash ? SL_ARRAY_LEN(BY_HASH) : SL_ARRAY_LEN(BY_PATH);
	for (size_t i = 0; i < count; i++) {
		struct sl_stmt *stmt SL_AUTO_STMT = NULL;
		int rc = sl_meta_query(walk->meta, &stmt, err, is_hash ? BY_HASH[i] : BY_PATH[i], "s", ref->name);
		if (!rc)
			rc = root_thing(walk, stmt, "file known as", ref->name, err);
		if (rc != SL_E_NOT_FOUND)
			return rc;
	}
	return SL_E_NOT_FOUND;
}

static int find_root(struct walk *walk, struct sl_store *store, const struct sl_ref *ref, struct sl_error *err)
{
	switch (ref->kind) {
	case SL_REF_DATASET: return root_dataset(walk, ref, err);
	case SL_REF_MODEL: return root_model(walk, store, ref, err);
	case SL_REF_RUN: return root_run(walk, store, ref, err);
	case SL_REF_STEP:
	case SL_REF_SOURCE: return root_named_run(walk, ref, err);
	case SL_REF_FILE: return root_file(walk, ref, err);
	default: break;
	}
	sl_fail(err, SL_E_INVALID, "%s has no lineage of its own", sl_ref_kind_phrase(ref->kind));
	return sl_error_hint(err, "ask for a prediction, model, dataset, run, step, source or file");
}

/* ---- walking -------------------------------------------------------------------------------------------------------- */

static int walk_all(struct walk *walk, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < sl_map_count(walk->seen) && !rc; i++) {
		const struct node *node = sl_map_value(walk->seen, i);
		rc = describe(walk, node, err);
		if (!rc)
			rc = walk->down ? go_down(walk, node, err) : go_back(walk, node, err);
	}
	return rc;
}

static int finish(struct walk *walk, yyjson_mut_val **ret, struct sl_error *err)
{
	yyjson_mut_val *graph = yyjson_mut_obj(walk->doc);
	bool ok = graph && add_text(walk, graph, "direction", walk->down ? "down" : "back") &&
		  add_text(walk, graph, "root", sl_map_key(walk->seen, 0)) &&
		  yyjson_mut_obj_add_bool(walk->doc, graph, "truncated", walk->truncated) &&
		  yyjson_mut_obj_add_val(walk->doc, graph, "nodes", walk->nodes) &&
		  yyjson_mut_obj_add_val(walk->doc, graph, "edges", walk->edges);
	if (!ok)
		return sl_fail_memory(err);
	*ret = graph;
	return 0;
}

static int root_prediction(struct walk *walk, const struct sl_lineage_prediction *prediction, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	const char *id;
	struct node node = {.kind = "prediction", .name = prediction->id, .hash = sl_hash_hex(&prediction->package, hex)};
	int rc = reach(walk, node, &id, err);
	for (size_t i = 0; !rc && i < prediction->lookup_count; i++) {
		const struct sl_lineage_lookup *lookup = &prediction->lookups[i];
		struct node dataset = {.kind = "dataset", .name = lookup->dataset, .hash = sl_hash_hex(&lookup->version, hex)};
		rc = link_to(walk, sl_map_value(walk->seen, 0), dataset, "looked_up", err);
	}
	return rc;
}

/* `ref` NULL: from the prediction. All reads see one state. */
static int run_walk(struct sl_store *store, const struct sl_ref *ref, const struct sl_lineage_prediction *prediction, bool down,
		    yyjson_mut_doc *doc, yyjson_mut_val **ret, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(256 << 20, err);
	struct sl_map *seen SL_CLEANUP(sl_map_freep) = arena ? sl_map_new(err) : NULL;
	struct walk walk = {.meta = store->meta,
			    .arena = arena,
			    .seen = seen,
			    .doc = doc,
			    .down = down,
			    .nodes = yyjson_mut_arr(doc),
			    .edges = yyjson_mut_arr(doc)};
	if (!seen || !walk.nodes || !walk.edges)
		return sl_fail_memory(err);
	int rc = sl_meta_begin_read(store->meta, err);
	if (rc)
		return rc;
	rc = ref ? find_root(&walk, store, ref, err) : root_prediction(&walk, prediction, err);
	if (!rc)
		rc = walk_all(&walk, err);
	sl_meta_end_read(store->meta);
	return rc ? rc : finish(&walk, ret, err);
}

int sl_lineage_why(struct sl_store *store, const struct sl_ref *ref, bool down, yyjson_mut_doc *doc, yyjson_mut_val **ret,
		   struct sl_error *err)
{
	return run_walk(store, ref, NULL, down, doc, ret, err);
}

int sl_lineage_why_prediction(struct sl_store *store, const struct sl_lineage_prediction *prediction, yyjson_mut_doc *doc,
			      yyjson_mut_val **ret, struct sl_error *err)
{
	return run_walk(store, NULL, prediction, false, doc, ret, err);
}

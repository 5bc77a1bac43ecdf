/* show REF: one thing with everything known about it. */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "data/dataset.h"
#include "data/profile.h"
#include "data/tree.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/prediction.h"
#include "op/resolve.h"
#include "op/route.h"
#include "op/show.h"
#include "os/walk.h"
#include "track/model.h"

/* A list under `name`, left out when empty. */
static int put_rows(struct sl_call *call, yyjson_mut_val *object, const char *name, struct sl_stmt *stmt, struct sl_error *err)
{
	yyjson_mut_val *rows = yyjson_mut_arr(call->doc);
	int rc = sl_call_rows(call, rows, stmt, err);
	if (!rc && yyjson_mut_arr_size(rows))
		yyjson_mut_obj_add_val(call->doc, object, name, rows);
	return rc;
}

/* Rows (name, value) as members of an object. */
static int put_members(struct sl_call *call, yyjson_mut_val *object, const char *name, struct sl_stmt *stmt, struct sl_error *err)
{
	yyjson_mut_val *members = yyjson_mut_obj(call->doc);
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		const char *text = sl_stmt_text(stmt, 1);
		yyjson_doc *doc SL_AUTO_JSON = yyjson_read(text, strlen(text), 0);
		yyjson_mut_val *value =
			doc ? yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)) : sl_call_json_text(call, text);
		yyjson_mut_obj_add(members, sl_call_json_text(call, sl_stmt_text(stmt, 0)), value);
	}
	if (!rc && yyjson_mut_obj_size(members))
		yyjson_mut_obj_add_val(call->doc, object, name, members);
	return rc;
}

/* What is to be shown, and where to. */
enum { TREE_FILES_SHOWN = 20 };

struct subject {
	struct sl_call *call;
	struct sl_store *store;
	const struct sl_ref *ref;
	int64_t limit;
	yyjson_mut_val *out;
};
typedef int shower(const struct subject *s, struct sl_error *err);

/* ---- run ---- */

static int show_run_lists(struct sl_call *call, struct sl_meta *meta, const char *id, yyjson_mut_val *out, struct sl_error *err)
{
	static const struct { const char *name, *sql; bool members;
	} LISTS[] = {
		{"params", "SELECT name, value FROM run_param WHERE run = ?1 ORDER BY name", true},
		{"metrics",
			"SELECT m.name, m.value FROM run_metric m JOIN (SELECT name, max(seq) AS seq FROM run_metric WHERE run "
				"= ?1 GROUP BY name) l"
			" ON l.name = m.name AND l.seq = m.seq WHERE m.run = ?1 ORDER BY m.name",
			true},
		{"tags", "SELECT name, value FROM run_tag WHERE run = ?1 ORDER BY name", true},
		{"inputs", "SELECT kind AS kind, name AS name, hash AS hash FROM run_input WHERE run = ?1 ORDER BY kind, name",
			false},
		{"outputs", "SELECT kind AS kind, name AS name, hash AS hash FROM run_output WHERE run = ?1 ORDER BY kind, name",
			false},
		{"artifacts",
			"SELECT path AS path, size_bytes AS size_bytes, hash AS hash FROM run_artifact WHERE run = ?1 ORDER BY "
				"path",
			false},
		{"steps",
			"SELECT id AS id, kind AS kind, name AS name, status AS status, ended_ms - started_ms AS took_ms,"
			" CASE WHEN cause = '' THEN reason ELSE cause END AS why FROM run WHERE parent = ?1 ORDER BY id",
			false},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(LISTS); i++) {
		struct sl_stmt *stmt SL_AUTO_STMT = NULL;
		int rc = sl_meta_query(meta, &stmt, err, LISTS[i].sql, "s", id);
		if (!rc)
			rc = LISTS[i].members ? put_members(call, out, LISTS[i].name, stmt, err)
					      : put_rows(call, out, LISTS[i].name, stmt, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int show_run(const struct subject *s, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_id id;
	int rc = sl_run_find(&s->store->track, s->ref->name, &id, err);
	if (!rc)
		rc = sl_meta_query(s->store->meta, &stmt, err,
			"SELECT id AS id, kind AS run_kind, name AS name, status AS status, reason AS reason, cause AS cause, "
				"started_ms AS \"started:time\","
			" ended_ms AS \"ended:time\", ended_ms - started_ms AS took_ms, parent AS parent, fingerprint AS "
				"fingerprint, record AS record,"
			" environment AS \"environment:json\" FROM run WHERE id = ?1",
			"s", id.text);
	if (rc)
		return rc;
	rc = sl_call_row(s->call, s->out, stmt, err);
	return rc < 0 ? rc : show_run_lists(s->call, s->store->meta, id.text, s->out, err);
}

/* ---- dataset ---- */

/* What the version's profile says of a column, shortly: `sluice profile` has the rest. */
static void put_profile(struct sl_call *call, yyjson_mut_val *column, yyjson_val *profile)
{
	static const char *const SHOWN[] = {"missing", "distinct", "min", "max", "mean", "std"};
	yyjson_val *list = yyjson_obj_get(profile, "columns"), *item;
	const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(column, "name"));
	size_t i, max;
	yyjson_arr_foreach(list, i, max, item) {
		if (!sl_str_eq(sl_json_str(item, "name", NULL), name))
			continue;
		for (size_t k = 0; k < SL_ARRAY_LEN(SHOWN); k++) {
			yyjson_val *value = yyjson_obj_get(item, SHOWN[k]);
			if (value)
				yyjson_mut_obj_add_val(call->doc, column, SHOWN[k], yyjson_val_mut_copy(call->doc, value));
		}
	}
}

/* How many files, and the first of them. */
static int show_tree(
	struct sl_call *call, struct sl_store *store, const struct sl_hash *hash, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	struct sl_tree_file file;
	char shown[SL_PATH_MAX];
	int rc = sl_tree_reader_new(store->objects, hash, &reader, err);
	if (rc)
		return rc;
	sl_put_int(call, out, "files", (int64_t)sl_tree_reader_sum(reader)->files);
	yyjson_mut_val *first = sl_put_array(call, out, "first_files");
	for (int i = 0; i < TREE_FILES_SHOWN && (rc = sl_tree_reader_next(reader, &file, err)) == 1; i++) {
		yyjson_mut_val *item = sl_add_object(call, first);
		sl_put_text(call, item, "path", sl_path_show(file.path, shown, sizeof shown));
		sl_put_int(call, item, "size_bytes", (int64_t)file.size_bytes);
	}
	return rc < 0 ? rc : 0;
}

static int show_columns(
	struct sl_call *call, struct sl_store *store, const struct sl_hash *hash, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_manifest manifest;
	const char *text = "{}";
	bool tree;
	int rc = sl_tree_is(store->objects, hash, &tree, err);
	if (rc || tree)
		return rc ? rc : show_tree(call, store, hash, out, err);
	rc = sl_manifest_read(store->objects, hash, call->arena, &manifest, err);
	rc = rc ? rc : sl_profile_find(store->meta, hash, call->arena, &text, err);
	if (rc < 0)
		return rc;
	yyjson_doc *profile SL_AUTO_JSON = yyjson_read(text, strlen(text), 0);
	sl_put_int(call, out, "files", (int64_t)manifest.file_count);
	yyjson_mut_val *columns = sl_put_array(call, out, "columns");
	for (size_t i = 0; i < manifest.column_count; i++) {
		yyjson_mut_val *column = sl_add_object(call, columns);
		sl_put_text(call, column, "name", manifest.columns[i].name);
		sl_put_text(call, column, "type", manifest.columns[i].type);
		put_profile(call, column, yyjson_doc_get_root(profile));
	}
	return 0;
}

static int show_names(const struct subject *s, const char *hex, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(s->store->meta, &stmt, err,
		"SELECT name AS name, kind AS name_of FROM dataset_ref WHERE dataset = ?1 AND hash = ?2 ORDER BY name", "ss", s->ref->name, hex);
	return rc ? rc : put_rows(s->call, s->out, "names", stmt, err);
}

static int show_dataset(const struct subject *s, struct sl_error *err)
{
	struct sl_dataset_head head;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char hex[SL_HASH_HEX + 1];
	bool tree;
	int rc = sl_dataset_find(&s->store->track, s->ref->name, s->ref->version, &head, err);
	rc = rc ? rc : sl_tree_is(s->store->objects, &head.hash, &tree, err);
	if (rc)
		return rc;
	sl_put_text(s->call, s->out, "name", s->ref->name);
	sl_put_text(s->call, s->out, "version", sl_hash_hex(&head.hash, hex));
	if (!tree)
		sl_put_int(s->call, s->out, "rows", (int64_t)head.rows);
	sl_put_int(s->call, s->out, "size_bytes", (int64_t)head.size_bytes);
	sl_put_time(s->call, s->out, "created", head.created_ms);
	sl_put_text(s->call, s->out, "run", head.run.text);
	rc = show_names(s, hex, err);
	rc = rc ? rc : show_columns(s->call, s->store, &head.hash, s->out, err);
	if (!rc)
		rc = sl_meta_query(s->store->meta, &stmt, err,
			"SELECT check_name AS name, severity AS severity, passed AS \"passed:bool\", failing_rows AS "
				"failing_rows FROM check_result"
			" WHERE dataset = ?1 AND hash = ?2 ORDER BY seq",
			"ss", s->ref->name, hex);
	return rc ? rc : put_rows(s->call, s->out, "checks", stmt, err);
}

/* ---- model ---- */

static int show_aliases(struct sl_call *call, struct sl_store *store, const char *model, int64_t version, yyjson_mut_val *out,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *aliases = sl_put_array(call, out, "aliases");
	int rc = sl_meta_query(store->meta, &stmt, err,
		"SELECT alias FROM model_alias WHERE model = ?1 AND version = ?2 ORDER BY alias", "si", model, version);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		yyjson_mut_arr_append(aliases, sl_call_json_text(call, sl_stmt_text(stmt, 0)));
		rc = 0;
	}
	return rc;
}

static int show_moves(struct sl_call *call, struct sl_store *store, const char *model, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err,
		"SELECT alias AS alias, previous AS \"from\", version AS \"to\", moved_ms AS \"moved:time\", actor AS actor, "
			"reason AS reason FROM alias_move"
		" WHERE model = ?1 ORDER BY seq DESC LIMIT 20",
		"s", model);
	return rc ? rc : put_rows(call, out, "moves", stmt, err);
}

static int show_model(const struct subject *s, struct sl_error *err)
{
	struct sl_model_version version;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_model_find(&s->store->track, s->ref->name, s->ref->version, &version, err);
	if (!rc)
		rc = sl_meta_query(s->store->meta, &stmt, err,
			"SELECT model AS name, version AS version, status AS status, created_ms AS \"created:time\", run AS "
				"run, hash AS hash,"
			" metrics AS \"metrics:json\", gate AS \"gate:json\" FROM model_version WHERE model = ?1 AND version = "
				"?2",
			"si", s->ref->name, version.version);
	if (rc)
		return rc;
	rc = sl_call_row(s->call, s->out, stmt, err);
	if (rc >= 0)
		rc = show_aliases(s->call, s->store, s->ref->name, version.version, s->out, err);
	return rc ? rc : show_moves(s->call, s->store, s->ref->name, s->out, err);
}

/* ---- what the project file defines ---- */

/* One window: what it says of itself, and its worst statistic; the newest one whole. */
static int put_window(
	struct sl_call *call, yyjson_mut_val *out, yyjson_mut_val *windows, struct sl_stmt *stmt, struct sl_error *err)
{
	const char *text = sl_stmt_text(stmt, 4);
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "evidence", err);
	if (!doc)
		return SL_E_CORRUPT;
	yyjson_val *evidence = yyjson_doc_get_root(doc), *worst = yyjson_arr_get_first(yyjson_obj_get(evidence, "statistics"));
	if (yyjson_mut_arr_size(windows) == 0)
		sl_put_json(call, out, "latest", text);
	yyjson_mut_val *window = sl_add_object(call, windows);
	sl_put_time(call, window, "from", sl_stmt_int(stmt, 0));
	sl_put_time(call, window, "to", sl_stmt_int(stmt, 1));
	sl_put_text(call, window, "level", sl_stmt_text(stmt, 2));
	sl_put_int(call, window, "rows", sl_stmt_int(stmt, 3));
	if (yyjson_obj_get(evidence, "predicted")) {
		sl_put_double(call, window, "predicted", sl_json_num(evidence, "predicted", 0));
		sl_put_double(call, window, "observed", sl_json_num(evidence, "observed", 0));
	}
	if (worst) {
		char name[SL_NAME_MAX + 32];
		const char *column = sl_json_str(worst, "column", "");
		snprintf(name, sizeof name, "%.30s%s%.100s", sl_json_str(worst, "name", ""), column[0] ? " of " : "", column);
		sl_put_text(call, window, "worst", name);
		sl_put_double(call, window, "value", sl_json_num(worst, "value", 0));
	}
	return 0;
}

static int show_monitor(const struct subject *s, struct sl_error *err)
{
	struct sl_stmt *state SL_AUTO_STMT = NULL, *stmt SL_AUTO_STMT = NULL;
	sl_put_text(s->call, s->out, "name", s->ref->name);
	int rc = sl_meta_query(s->store->meta, &state, err,
		"SELECT level AS level, nullif(since_ms, 0) AS \"since:time\" FROM monitor_state WHERE monitor = ?1", "s", s->ref->name);
	if (!rc)
		rc = sl_call_row(s->call, s->out, state, err);
	if (rc == 0)
		sl_put_text(s->call, s->out, "level", "ok");
	if (rc >= 0)
		rc = sl_meta_query(s->store->meta, &stmt, err,
			"SELECT from_ms, to_ms, level, rows, evidence FROM monitor_window WHERE monitor = ?1 ORDER BY to_ms "
				"DESC LIMIT ?2",
			"si", s->ref->name, s->limit);
	yyjson_mut_val *windows = yyjson_mut_arr(s->call->doc);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = put_window(s->call, s->out, windows, stmt, err);
	if (!rc && !yyjson_mut_obj_add_val(s->call->doc, s->out, "windows", windows))
		rc = sl_fail_memory(err);
	return rc;
}

static int show_trigger(const struct subject *s, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	sl_put_text(s->call, s->out, "name", s->ref->name);
	int rc = sl_meta_query(s->store->meta, &stmt, err,
		"SELECT status AS status, fired_ms AS \"fired:time\", ended_ms - fired_ms AS took_ms, reason AS reason FROM "
			"trigger_firing"
		" WHERE trigger_name = ?1 ORDER BY seq DESC LIMIT ?2",
		"si", s->ref->name, s->limit);
	return rc ? rc : put_rows(s->call, s->out, "firings", stmt, err);
}

static int show_step(const struct subject *s, struct sl_error *err)
{
	struct sl_project *project;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_call_project(s->call, &project, err);
	const struct sl_step *step = rc ? NULL : sl_project_step(project, s->ref->name);
	if (!rc && !step)
		rc = sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no step '%s'", s->ref->name);
	if (rc)
		return rc;
	sl_put_text(s->call, s->out, "name", step->name);
	sl_put_json(s->call, s->out, "definition", step->definition);
	rc = sl_meta_query(s->store->meta, &stmt, err,
		"SELECT id AS id, status AS status, started_ms AS \"started:time\", ended_ms - started_ms AS took_ms,"
		" CASE WHEN cause = '' THEN reason ELSE cause END AS why FROM run WHERE name = ?1 ORDER BY id DESC LIMIT ?2",
		"si", s->ref->name, s->limit);
	return rc ? rc : put_rows(s->call, s->out, "runs", stmt, err);
}

static int show_source(const struct subject *s, struct sl_error *err)
{
	struct sl_project *project;
	int rc = sl_call_project(s->call, &project, err);
	const struct sl_source *source = rc ? NULL : sl_project_source(project, s->ref->name);
	if (!rc && !source)
		rc = sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no source '%s'", s->ref->name);
	if (rc)
		return rc;
	sl_put_text(s->call, s->out, "name", source->name);
	sl_put_text(s->call, s->out, "path", source->path);
	sl_put_json(s->call, s->out, "definition", source->definition);
	return 0;
}

static int show_endpoint(const struct subject *s, struct sl_error *err)
{
	struct sl_project *project;
	struct sl_model_version version;
	int rc = sl_call_project(s->call, &project, err);
	const struct sl_endpoint *endpoint = rc ? NULL : sl_project_endpoint(project, s->ref->name);
	if (!rc && !endpoint)
		rc = sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no endpoint '%s'", s->ref->name);
	if (rc)
		return rc;
	sl_put_text(s->call, s->out, "name", endpoint->name);
	sl_put_text(s->call, s->out, "model", endpoint->model);
	sl_put_text(s->call, s->out, "alias", endpoint->alias);
	sl_put_text(s->call, s->out, "log", endpoint->log_all ? "all" : "none");
	sl_put_text(s->call, s->out, "key", *endpoint->key ? endpoint->key : NULL);
	sl_put_text(s->call, s->out, "time", *endpoint->time ? endpoint->time : NULL);
	if (sl_model_find(&s->store->track, endpoint->model, endpoint->alias, &version, NULL) == 0)
		sl_put_int(s->call, s->out, "version", version.version);
	return sl_route_put(s->call, s->store, endpoint, s->out, err);
}

static int show_file(const struct subject *s, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	sl_put_text(s->call, s->out, "name", s->ref->name);
	int rc = sl_meta_query(s->store->meta, &stmt, err,
		"SELECT hash AS hash, run AS run FROM run_input WHERE kind = 'file' AND name = ?1 ORDER BY run DESC LIMIT ?2",
		"si", s->ref->name, s->limit);
	return rc ? rc : put_rows(s->call, s->out, "read_by", stmt, err);
}

static int show_prediction(const struct subject *s, struct sl_error *err)
{
	return sl_prediction_show(s->call, s->store, s->ref, s->out, err);
}

int sl_show(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, int64_t limit, yyjson_mut_val *out,
	struct sl_error *err)
{
	static shower *const SHOW[] = {
		[SL_REF_DATASET] = show_dataset,
		[SL_REF_MODEL] = show_model,
		[SL_REF_RUN] = show_run,
		[SL_REF_STEP] = show_step,
		[SL_REF_ENDPOINT] = show_endpoint,
		[SL_REF_SOURCE] = show_source,
		[SL_REF_MONITOR] = show_monitor,
		[SL_REF_TRIGGER] = show_trigger,
		[SL_REF_FILE] = show_file,
		[SL_REF_PREDICTION] = show_prediction,
	};
	if (ref->kind >= (int)SL_ARRAY_LEN(SHOW) || !SHOW[ref->kind])
		return sl_fail(err, SL_E_INVALID, "show does not know %s", sl_ref_kind_name(ref->kind));
	sl_put_text(call, out, "kind", sl_ref_kind_name(ref->kind));
	struct subject subject = {.call = call, .store = store, .ref = ref, .limit = limit, .out = out};
	return SHOW[ref->kind](&subject, err);
}

int sl_op_show(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_resolve(call, store, sl_call_text(call, "ref"), &ref, err);
	return rc ? rc : sl_show(call, store, &ref, sl_call_int(call, "limit"), sl_call_object(call), err);
}

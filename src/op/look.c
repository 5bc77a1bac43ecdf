/* ls: what a project holds, one query per kind. */
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/prediction.h"

struct listing {
	const char *kind;
	const char *sql;       /* ?1 limit */
	const char *named_sql; /* ?1 name, ?2 limit; NULL: the kind takes no name */
	const char *empty;     /* what to say, and do, when there is nothing */
};

static const struct listing STORED[] = {
	{"datasets",
		"SELECT v.dataset AS name, v.hash AS version, v.rows AS rows, v.size_bytes AS size_bytes, v.created_ms AS "
			"\"created:time\", v.run AS run"
		" FROM dataset_version v JOIN (SELECT dataset, max(seq) AS seq FROM dataset_version GROUP BY dataset) h ON "
			"h.seq = v.seq"
		" WHERE v.dataset NOT IN (SELECT dataset FROM dataset_dropped) ORDER BY v.dataset LIMIT ?1",
		"SELECT hash AS version, rows AS rows, files AS files, size_bytes AS size_bytes, created_ms AS \"created:time\", run AS run, "
			"(SELECT group_concat(r.name, ' ') FROM dataset_ref r WHERE r.dataset = v.dataset AND r.hash = v.hash) AS names "
			"FROM dataset_version v"
		" WHERE dataset = ?1 AND seq NOT IN (SELECT seq FROM dataset_expired) ORDER BY seq DESC LIMIT ?2",
		"no datasets yet: sluice run makes them"},
	{"models",
		"SELECT m.model AS name, m.version AS version, m.status AS status,"
		" (SELECT a.version FROM model_alias a WHERE a.model = m.model AND a.alias = 'champion') AS champion,"
		" m.created_ms AS \"created:time\", m.hash AS hash FROM model_version m"
		" JOIN (SELECT model, max(version) AS version FROM model_version GROUP BY model) h ON h.model = m.model AND "
			"h.version = m.version"
		" ORDER BY m.model LIMIT ?1",
		"SELECT version AS version, status AS status, (SELECT min(a.alias) FROM model_alias a WHERE a.model = "
			"model_version.model AND"
		" a.version = model_version.version) AS alias, created_ms AS \"created:time\", run AS run, hash AS hash"
		" FROM model_version WHERE model = ?1 ORDER BY version DESC LIMIT ?2",
		"no models yet"},
	{"runs",
		"SELECT id AS id, kind AS kind, name AS name, status AS status, started_ms AS \"started:time\", ended_ms - "
			"started_ms AS took_ms,"
		" CASE WHEN cause = '' THEN reason ELSE cause END AS why FROM run ORDER BY id DESC LIMIT ?1",
		"SELECT id AS id, kind AS kind, status AS status, started_ms AS \"started:time\", ended_ms - started_ms AS "
			"took_ms,"
		" CASE WHEN cause = '' THEN reason ELSE cause END AS why FROM run WHERE name = ?1 ORDER BY id DESC LIMIT ?2",
		"no runs yet: sluice run"},
	{"checks",
		"SELECT dataset AS dataset, check_name AS name, severity AS severity, passed AS \"passed:bool\", failing_rows "
			"AS failing_rows, hash AS version"
		" FROM check_result ORDER BY seq DESC LIMIT ?1",
		"SELECT check_name AS name, severity AS severity, passed AS \"passed:bool\", failing_rows AS failing_rows, "
			"hash AS version"
		" FROM check_result WHERE dataset = ?1 ORDER BY seq DESC LIMIT ?2",
		"no check has run yet"},
	{"windows",
		"SELECT monitor AS monitor, from_ms AS \"from:time\", to_ms AS \"to:time\", level AS level, rows AS rows FROM "
			"monitor_window"
		" ORDER BY to_ms DESC, monitor LIMIT ?1",
		"SELECT from_ms AS \"from:time\", to_ms AS \"to:time\", level AS level, rows AS rows FROM monitor_window WHERE "
			"monitor = ?1"
		" ORDER BY to_ms DESC LIMIT ?2",
		"no monitor window has closed yet"},
	{"events",
		"SELECT seq AS seq, kind AS kind, subject AS subject, nullif(from_ms, 0) AS \"from:time\", nullif(to_ms, 0) AS \"to:time\", made_ms "
			"AS \"made:time\" FROM event"
		" ORDER BY seq DESC LIMIT ?1",
		NULL, "no events yet"},
	{"firings",
		"SELECT trigger_name AS trigger, status AS status, fired_ms AS \"fired:time\", ended_ms - fired_ms AS took_ms, "
			"run AS run, reason AS reason"
		" FROM trigger_firing ORDER BY seq DESC LIMIT ?1",
		"SELECT status AS status, fired_ms AS \"fired:time\", ended_ms - fired_ms AS took_ms, run AS run, reason AS "
			"reason FROM trigger_firing"
		" WHERE trigger_name = ?1 ORDER BY seq DESC LIMIT ?2",
		"no trigger has fired yet"},
	{"ledger", "SELECT entry AS \"entry:json\" FROM ledger_entry ORDER BY seq DESC LIMIT ?1", NULL, "the ledger is empty"},
};

/* A ledger row is {"entry": {...}}: the entry itself is what is wanted. */
static int add_entries(struct sl_call *call, yyjson_mut_val *items, struct sl_stmt *stmt, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *bytes = sl_stmt_blob(stmt, 0, &len);
		yyjson_doc *doc SL_AUTO_JSON = yyjson_read(bytes, len, 0);
		if (doc)
			yyjson_mut_arr_append(items, yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)));
	}
	return rc;
}

static int list_stored(struct sl_call *call, const struct listing *listing, yyjson_mut_val *items, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	const char *name = sl_call_text(call, "name");
	int64_t limit = sl_call_int(call, "limit");
	int rc = sl_call_store(call, &store, err);
	if (!rc && name && !listing->named_sql)
		return sl_fail(err, SL_E_INVALID, "ls %s takes no name", listing->kind);
	if (!rc)
		rc = name ? sl_meta_query(store->meta, &stmt, err, listing->named_sql, "si", name, limit)
			  : sl_meta_query(store->meta, &stmt, err, listing->sql, "i", limit);
	if (!rc)
		rc = sl_str_eq(listing->kind, "ledger") ? add_entries(call, items, stmt, err)
							: sl_call_rows(call, items, stmt, err);
	if (!rc && !yyjson_mut_arr_size(items))
		sl_put_text(call, sl_call_object(call), "note", listing->empty);
	return rc;
}

static void add_source(struct sl_call *call, yyjson_mut_val *items, const struct sl_source *source)
{
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "name", source->name);
	sl_put_text(call, item, "path", source->path);
	sl_put_text(call, item, "format", *source->format ? source->format : "by content");
}

static const char *step_kind(enum sl_step_kind kind)
{
	static const char *const NAMES[] = {"sql", "run", "train", "evaluate"};
	return NAMES[kind];
}

static void add_step(struct sl_call *call, yyjson_mut_val *items, const struct sl_step *step)
{
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "name", step->name);
	sl_put_text(call, item, "kind", step_kind(step->kind));
	if (step->kind == SL_STEP_SQL)
		sl_put_text(call, item, "code", step->lookup ? "lookup" : *step->sql_path ? step->sql_path : "in place");
	else if (step->kind == SL_STEP_TRAIN)
		sl_put_text(call, item, "code", step->train.algorithm);
	else if (step->kind == SL_STEP_RUN && step->argv.count)
		sl_put_text(call, item, "code", step->argv.items[0]);
}

static void add_endpoint(struct sl_call *call, yyjson_mut_val *items, const struct sl_endpoint *endpoint)
{
	char model[300];
	yyjson_mut_val *item = sl_add_object(call, items);
	snprintf(model, sizeof model, "%.140s@%.140s", endpoint->model, endpoint->alias);
	sl_put_text(call, item, "name", endpoint->name);
	sl_put_text(call, item, "model", model);
	sl_put_text(call, item, "log", endpoint->log_all ? "all" : "none");
}

static void add_monitor(struct sl_call *call, yyjson_mut_val *items, const struct sl_monitor *monitor)
{
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "name", monitor->name);
	sl_put_text(call, item, "endpoint", monitor->endpoint);
	sl_put_text(call, item, "labels", *monitor->labels ? monitor->labels : NULL);
	sl_put_int(call, item, "window_ms", monitor->window_ms);
}

static void add_trigger(struct sl_call *call, yyjson_mut_val *items, const struct sl_trigger *trigger)
{
	static const char *const KINDS[] = {"alarm", "data", "cron", "call"};
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "name", trigger->name);
	sl_put_text(call, item, "kind", KINDS[trigger->kind]);
	sl_put_text(call, item, "on", trigger->subject);
	yyjson_mut_val *run = sl_put_array(call, item, "run");
	for (size_t i = 0; i < trigger->run.count; i++)
		yyjson_mut_arr_append(run, sl_call_json_text(call, trigger->run.items[i]));
}

/* What stands in the project file. */
static int list_defined(struct sl_call *call, const char *kind, yyjson_mut_val *items, struct sl_error *err)
{
	struct sl_project *project;
	int rc = sl_call_project(call, &project, err);
	if (rc)
		return rc;
	for (size_t i = 0; sl_str_eq(kind, "sources") && i < project->source_count; i++)
		add_source(call, items, &project->sources[i]);
	for (size_t i = 0; sl_str_eq(kind, "steps") && i < project->step_count; i++)
		add_step(call, items, &project->steps[i]);
	for (size_t i = 0; sl_str_eq(kind, "endpoints") && i < project->endpoint_count; i++)
		add_endpoint(call, items, &project->endpoints[i]);
	for (size_t i = 0; sl_str_eq(kind, "monitors") && i < project->monitor_count; i++)
		add_monitor(call, items, &project->monitors[i]);
	for (size_t i = 0; sl_str_eq(kind, "triggers") && i < project->trigger_count; i++)
		add_trigger(call, items, &project->triggers[i]);
	if (!yyjson_mut_arr_size(items))
		sl_put_text(call, sl_call_object(call), "note", "sluice.yaml defines none");
	return 0;
}

static int list_predictions(struct sl_call *call, yyjson_mut_val *items, struct sl_error *err)
{
	struct sl_store *store;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_predictions_list(call, store, sl_call_text(call, "name"), sl_call_int(call, "limit"), items, err);
	if (!rc && !yyjson_mut_arr_size(items))
		sl_put_text(call, sl_call_object(call), "note", "nothing has been predicted yet");
	return rc;
}

int sl_op_ls(struct sl_call *call, struct sl_error *err)
{
	const char *kind = sl_call_text(call, "kind");
	yyjson_mut_val *items = sl_put_array(call, sl_call_object(call), "items");
	for (size_t i = 0; i < SL_ARRAY_LEN(STORED); i++)
		if (sl_str_eq(STORED[i].kind, kind))
			return list_stored(call, &STORED[i], items, err);
	return sl_str_eq(kind, "predictions") ? list_predictions(call, items, err) : list_defined(call, kind, items, err);
}

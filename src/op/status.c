/* status: what is stale and why, what failed, what is served, what is watched. */
#include <string.h>

#include "base/str.h"
#include "flow/flow.h"
#include "op/flow_json.h"
#include "op/handlers.h"
#include "op/openlineage.h"
#include "op/pins.h"
#include "op/up_state.h"
#include "track/pin.h"

static int put_server(struct sl_call *call, struct sl_store *store, yyjson_mut_val *result, struct sl_error *err)
{
	struct sl_up_state up = {0};
	int running = sl_up_state_read(store->dir, &up, err);
	if (running <= 0) {
		sl_put_text(call, result, "server", running ? NULL : "not running (sluice up)");
		return running;
	}
	sl_put_text(call, result, "server", up.url);
	yyjson_mut_val *roles = sl_put_array(call, result, "roles");
	for (size_t i = 0; i < up.role_count; i++) {
		yyjson_mut_val *role = sl_add_object(call, roles);
		sl_put_text(call, role, "name", up.roles[i].name);
		sl_put_text(call, role, "state", up.roles[i].state);
		sl_put_int(call, role, "pid", up.roles[i].pid);
		sl_put_time(call, role, "since", up.roles[i].since_ms);
		sl_put_int(call, role, "restarts", up.roles[i].restarts);
		if (up.roles[i].reason[0])
			sl_put_text(call, role, "last_end", up.roles[i].reason);
	}
	return 0;
}

static int put_query(struct sl_call *call, struct sl_store *store, yyjson_mut_val *result, const char *name, const char *sql,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *rows = sl_put_array(call, result, name);
	int rc = sl_meta_query(store->meta, &stmt, err, sql, "");
	return rc ? rc : sl_call_rows(call, rows, stmt, err);
}

static int put_pins(struct sl_call *call, struct sl_store *store, yyjson_mut_val *result, struct sl_error *err)
{
	struct sl_pin *pins;
	size_t count = 0;
	int rc = sl_pins_read(&store->track, call->arena, &pins, &count, err);
	yyjson_mut_val *list = count && !rc ? sl_put_array(call, result, "pinned") : NULL;
	for (size_t i = 0; i < count && !rc; i++)
		yyjson_mut_arr_append(list, sl_call_json_text(call, pins[i].override));
	return rc;
}

static int put_plan(struct sl_call *call, struct sl_store *store, yyjson_mut_val *result, struct sl_error *err)
{
	struct sl_project *project;
	struct sl_flow_options options = {.preview = true};
	struct sl_flow_report report = {0};
	int rc = sl_pins_project(call, store, NULL, 0, false, &project, err);
	if (!rc)
		rc = sl_flow_run(store, project, &options, &report, err);
	if (!rc) {
		sl_put_text(call, result, "project", project->name);
		sl_flow_put_report(call, sl_put_object(call, result, "plan"), &report);
	}
	sl_flow_report_done(&report);
	return rc;
}

/* Events that wait are no failure of what is asked here. */
static int put_openlineage(struct sl_call *call, struct sl_store *store, yyjson_mut_val *result, struct sl_error *err)
{
	yyjson_mut_val *told = yyjson_mut_obj(call->doc);
	int rc = sl_openlineage_put(call, store, told, err);
	if (!rc && yyjson_mut_obj_size(told))
		yyjson_mut_obj_add_val(call->doc, result, "openlineage", told);
	return rc;
}

int sl_op_status(struct sl_call *call, struct sl_error *err)
{
	static const struct { const char *name, *sql; } QUERIES[] = {
		{"models",
			"SELECT m.model AS name, max(m.version) AS newest, (SELECT a.version FROM model_alias a WHERE a.model "
				"= m.model AND a.alias = 'champion') AS champion,"
			" (SELECT count(*) FROM model_version w WHERE w.model = m.model AND w.status = 'waiting') AS waiting "
				"FROM model_version m GROUP BY m.model"
			" ORDER BY m.model LIMIT 100"},
		{"monitors",
			"SELECT monitor AS name, level AS level, since_ms AS \"since:time\" FROM monitor_state ORDER BY "
				"monitor LIMIT 100"},
		{"working",
			"SELECT r.name AS name, r.id AS run, r.started_ms AS \"started:time\" FROM attempt a JOIN run r ON r.id = a.run ORDER BY r.id LIMIT 100"},
		{"experiments",
			"SELECT endpoint AS endpoint, phase AS phase, state->>'kind' AS kind, state->>'reason' AS reason, "
				"state->>'share' AS share, changed_ms AS \"changed:time\" FROM route_state ORDER BY endpoint LIMIT 100"},
		{"failed",
			"SELECT id AS id, name AS name, status AS status, started_ms AS \"started:time\", cause AS cause FROM"
			" (SELECT * FROM run ORDER BY id DESC LIMIT 100) r WHERE status IN ('failed', 'killed') ORDER BY id "
				"DESC LIMIT 5"},
	};
	struct sl_store *store;
	int rc = sl_call_store(call, &store, err);
	yyjson_mut_val *result = sl_call_object(call);
	if (!rc)
		rc = put_plan(call, store, result, err);
	if (!rc)
		rc = put_pins(call, store, result, err);
	if (!rc)
		rc = put_server(call, store, result, err);
	if (!rc)
		rc = put_openlineage(call, store, result, err);
	for (size_t i = 0; i < SL_ARRAY_LEN(QUERIES) && !rc; i++)
		rc = put_query(call, store, result, QUERIES[i].name, QUERIES[i].sql, err);
	return rc;
}

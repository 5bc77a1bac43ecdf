#include "op/resolve.h"

#include <string.h>

#include "base/str.h"

enum { RUN_PREFIX_MIN = 4 };

static bool stored(struct sl_store *store, const char *sql, const char *name)
{
	int64_t found = 0;
	return sl_meta_int(store->meta, 0, &found, NULL, sql, "s", name) == 0 && found;
}

static enum sl_ref_kind defined_kind(const struct sl_project *project, const char *name)
{
	if (sl_project_model(project, name))
		return SL_REF_MODEL;
	if (sl_project_step(project, name))
		return SL_REF_STEP;
	if (sl_project_source(project, name))
		return SL_REF_SOURCE;
	if (sl_project_endpoint(project, name))
		return SL_REF_ENDPOINT;
	if (sl_project_monitor(project, name))
		return SL_REF_MONITOR;
	for (size_t i = 0; i < project->trigger_count; i++)
		if (sl_str_eq(project->triggers[i].name, name))
			return SL_REF_TRIGGER;
	return SL_REF_ANY;
}

static enum sl_ref_kind find_kind(struct sl_call *call, struct sl_store *store, const char *name)
{
	struct sl_id run;
	struct sl_project *project;
	if (stored(store, "SELECT 1 FROM dataset_version WHERE dataset = ?1 LIMIT 1", name))
		return SL_REF_DATASET;
	if (stored(store, "SELECT 1 FROM model_version WHERE model = ?1 LIMIT 1", name))
		return SL_REF_MODEL;
	if (strlen(name) >= RUN_PREFIX_MIN && sl_run_find(&store->track, name, &run, NULL) == 0)
		return SL_REF_RUN;
	return sl_call_project(call, &project, NULL) == 0 ? defined_kind(project, name) : SL_REF_ANY;
}

int sl_resolve(struct sl_call *call, struct sl_store *store, const char *text, struct sl_ref *ret, struct sl_error *err)
{
	int rc = sl_ref_parse(text, ret, err);
	if (rc || ret->kind != SL_REF_ANY)
		return rc;
	ret->kind = find_kind(call, store, ret->name);
	if (ret->kind != SL_REF_ANY)
		return 0;
	sl_fail(err, SL_E_NOT_FOUND, "nothing here is called '%.200s'", ret->name);
	return sl_error_hint(err,
		"say what it is: dataset:NAME, model:NAME, run:ID, prediction:ID, file:PATH; sluice ls datasets lists names");
}

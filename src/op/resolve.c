#include "op/resolve.h"

#include <string.h>

#include "base/str.h"

enum { RUN_PREFIX_MIN = 4, KNOWN_MAX = 10000 };

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

/* ---- nearest names ----------------------------------------------------------------------------------------------------- */

struct known { struct sl_call *call; const char *items[KNOWN_MAX]; size_t count; };

static void add_known(struct known *known, const char *name)
{
	const char *copy = known->count < KNOWN_MAX ? sl_arena_strdup(known->call->arena, name) : NULL;
	if (copy)
		known->items[known->count++] = copy;
}

static void add_stored(struct known *known, const char *sql)
{
	struct sl_store *store;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	if (sl_call_store(known->call, &store, NULL) || sl_meta_query(store->meta, &stmt, NULL, sql, "i", (int64_t)KNOWN_MAX))
		return;
	while (sl_stmt_step(stmt, NULL) == 1)
		add_known(known, sl_stmt_text(stmt, 0));
}

static void add_defined(struct known *known)
{
	struct sl_project *p;
	if (sl_call_project(known->call, &p, NULL))
		return;
	for (size_t i = 0; i < p->source_count; i++)
		add_known(known, p->sources[i].name);
	for (size_t i = 0; i < p->step_count; i++) {
		add_known(known, p->steps[i].name);
		for (size_t k = 0; k < p->steps[i].output_count; k++)
			add_known(known, p->steps[i].outputs[k].name);
	}
	for (size_t i = 0; i < p->model_count; i++)
		add_known(known, p->models[i].name);
	for (size_t i = 0; i < p->endpoint_count; i++)
		add_known(known, p->endpoints[i].name);
	for (size_t i = 0; i < p->monitor_count; i++)
		add_known(known, p->monitors[i].name);
	for (size_t i = 0; i < p->trigger_count; i++)
		add_known(known, p->triggers[i].name);
}

static bool is_known(const struct known *known, const char *name)
{
	for (size_t i = 0; i < known->count; i++)
		if (sl_str_eq(known->items[i], name))
			return true;
	return false;
}

int sl_resolve_suggest(struct sl_call *call, struct sl_error *err)
{
	struct sl_error first = *err;
	struct known *known = sl_arena_alloc(call->arena, sizeof *known);
	if (!known || err->code != SL_E_NOT_FOUND || strstr(err->hint, "did you mean"))
		return err->code;
	*known = (struct known){.call = call};
	add_defined(known);
	add_stored(known, "SELECT DISTINCT dataset FROM dataset_version LIMIT ?1");
	add_stored(known, "SELECT DISTINCT model FROM model_version LIMIT ?1");
	for (size_t i = 0; i < call->op->arg_count; i++) {
		struct sl_ref ref;
		if (call->op->args[i].type != SL_ARG_REF || !call->args[i].count || sl_ref_parse(call->args[i].texts[0], &ref, NULL) ||
			is_known(known, ref.name))
			continue;
		const char *nearest = sl_str_nearest(ref.name, known->items, known->count);
		if (nearest)
			return sl_error_hint(err, "did you mean '%s'?%s%.300s", nearest, *first.hint ? " " : "", first.hint);
	}
	return err->code;
}

#include "watch/experiment.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "track/model.h"
#include "watch/experiment_internal.h"

struct sl_experiments {
	struct running *items;
	size_t count;
};

int sl_experiments_open(struct sl_store *store, const struct sl_project *project, struct sl_experiments **ret, struct sl_error *err)
{
	struct sl_experiments *experiments = sl_alloc(sizeof *experiments, err);
	if (!experiments)
		return SL_E_NO_MEMORY;
	experiments->items = sl_alloc_array(project->endpoint_count + 1, sizeof *experiments->items, err);
	if (!experiments->items) {
		sl_free(experiments);
		return SL_E_NO_MEMORY;
	}
	for (size_t i = 0; i < project->endpoint_count; i++) {
		struct running *run = &experiments->items[experiments->count++];
		run->store = store;
		run->endpoint = &project->endpoints[i];
	}
	*ret = experiments;
	return 0;
}

static void drop(struct running *run)
{
	const struct running empty = {.store = run->store, .endpoint = run->endpoint};
	experiment_forget(run);
	sl_stream_close(run->predictions);
	sl_stream_close(run->labels);
	sl_arena_free(run->package_arena);
	sl_arena_free(run->arena);
	char last_error[sizeof run->last_error];
	memcpy(last_error, run->last_error, sizeof last_error);
	*run = empty;
	memcpy(run->last_error, last_error, sizeof last_error);
}

void sl_experiments_close(struct sl_experiments *experiments)
{
	if (!experiments)
		return;
	for (size_t i = 0; i < experiments->count; i++)
		drop(&experiments->items[i]);
	sl_free(experiments->items);
	sl_free(experiments);
}

/* Other rules are another experiment. */
static int take_rules(struct running *run, const char *text, struct sl_error *err)
{
	if (run->arena && strcmp(run->text, text) == 0)
		return 0;
	drop(run);
	run->arena = sl_arena_new(0, err);
	run->text = run->arena ? sl_arena_strdup(run->arena, text) : NULL;
	int rc = run->text ? sl_traffic_parse(text, "traffic", run->endpoint->model, run->endpoint->alias, run->arena, &run->traffic, err)
			   : sl_fail_memory(err);
	if (rc)
		drop(run);
	return rc;
}

static int take_package(struct running *run, const struct sl_hash *hash, struct sl_error *err)
{
	sl_arena_free(run->package_arena);
	run->package_arena = sl_arena_new(0, err);
	return run->package_arena ? sl_package_read(run->store->objects, hash, run->package_arena, &run->package, err) : SL_E_NO_MEMORY;
}

/* With other versions behind the arms than at the last look, the experiment has not begun. SL_E_NOT_FOUND: an arm has none yet. */
static int look_at_versions(struct running *run, struct sl_error *err)
{
	for (size_t i = 0; i < EXPERIMENT(run)->arm_count; i++) {
		const struct sl_variant *variant = &run->traffic->variants[EXPERIMENT(run)->arms[i]];
		struct sl_model_version version;
		int rc = sl_model_find(&run->store->track, variant->model, variant->alias, &version, err);
		if (!rc && i == 0 && version.version != run->versions[0])
			rc = take_package(run, &version.hash, err);
		if (rc)
			return rc;
		if (version.version != run->versions[i])
			run->phase = PHASE_NONE;
		run->versions[i] = version.version;
	}
	return 0;
}

/* A canary that is what the endpoint's alias means already has nowhere to go. */
static bool is_idle(const struct running *run)
{
	const struct sl_variant *base = &run->traffic->variants[0], *to = &run->traffic->variants[EXPERIMENT(run)->arms[1]];
	return EXPERIMENT(run)->kind == SL_EXPERIMENT_CANARY && strcmp(base->model, to->model) == 0 && run->versions[0] == run->versions[1];
}

static int tick(struct running *run, int64_t now_ms, struct sl_error *err)
{
	struct sl_rules rules;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	int rc = arena ? sl_rules_read(run->store, run->endpoint, arena, &rules, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = take_rules(run, rules.text, err);
	if (rc || EXPERIMENT(run)->kind == SL_EXPERIMENT_NONE)
		return rc;
	rc = look_at_versions(run, err);
	if (rc == SL_E_NOT_FOUND || (!rc && is_idle(run))) /* an alias without a version: there is nothing to try yet */
		return 0;
	if (!rc && run->phase == PHASE_NONE && !experiment_resume(run, rules.phase, rules.state))
		rc = experiment_begin(run, now_ms, err);
	if (rc || run->phase != PHASE_RUNNING)
		return rc;
	while ((rc = experiment_read(run, err)) > 0)
		;
	return rc ? rc : experiment_decide(run, now_ms, err);
}

void sl_experiments_tick(struct sl_experiments *experiments, int64_t now_ms)
{
	for (size_t i = 0; i < experiments->count; i++) {
		struct running *run = &experiments->items[i];
		struct sl_error err = {0};
		int rc = tick(run, now_ms, &err);
		if (rc && strncmp(run->last_error, err.message, 200))
			sl_log(SL_LOG_ERROR, "endpoint '%s', its experiment: %s%s%s", run->endpoint->name, err.where, err.where[0] ? ": " : "",
			       err.message);
		snprintf(run->last_error, sizeof run->last_error, "%.200s", rc ? err.message : "");
	}
}

/* Names: every mention must exist, every declaration must be of use. Tables that SQL reads are found by the engine's parser, later: flow/graph. */
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "project/lookup.h"
#include "project/shape.h"
#include "project/traffic.h"

/* Everything that can be read or brought up to date; the value says what it is. */
struct names { struct sl_loader *loader; struct sl_map *made, *reads; struct sl_name_list readable; /* what `reads` has, in order */ };

static int add_readable(struct names *n, const char *name)
{
	int rc = sl_map_set(n->reads, name, n->loader, NULL, n->loader->err);
	return rc ? rc : sl_name_list_add(n->loader, &n->readable, name);
}

static int claim(struct names *n, const char *name, struct sl_mark mark, const char *what, bool readable)
{
	const char *other = sl_map_get(n->made, name);
	if (other)
		return sl_load_fail(n->loader, mark, SL_E_INVALID, "%s cannot be called '%s', for %s is called that", what, name, other);
	union { const char *in; void *out; } word = {.in = what}; /* the map holds plain pointers */
	int rc = sl_map_set(n->made, name, word.out, NULL, n->loader->err);
	return rc || !readable ? rc : add_readable(n, name);
}

/* What all instances of a step are read as: claimed with the first of them. */
static int claim_together(struct names *n, const struct sl_step *step, bool first)
{
	int rc = first ? claim(n, step->of, step->mark, "a step", step->kind != SL_STEP_RUN || step->output_count == 0) : 0;
	for (size_t i = 0; !rc && first && step->kind == SL_STEP_RUN && i < step->output_count; i++)
		rc = strcmp(step->outputs[i].of, step->of) == 0 ? add_readable(n, step->of) : claim(n, step->outputs[i].of, step->mark, "an output", true);
	return rc;
}

static int claim_all(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	int rc = 0;
	for (size_t i = 0; !rc && i < p->source_count; i++)
		rc = claim(n, p->sources[i].name, p->sources[i].mark, "a source", true);
	for (size_t i = 0; !rc && i < p->step_count; i++) {
		const struct sl_step *step = &p->steps[i];
		rc = claim(n, step->name, step->mark, "a step", step->kind != SL_STEP_RUN || step->output_count == 0);
		rc = rc || !*step->of ? rc : claim_together(n, step, i == 0 || strcmp(p->steps[i - 1].of, step->of) != 0);
		for (size_t k = 0; !rc && step->kind == SL_STEP_RUN && k < step->output_count; k++)
			if (strcmp(step->outputs[k].name, step->name) != 0)
				rc = claim(n, step->outputs[k].name, step->mark, "an output", true);
			else
				rc = add_readable(n, step->name);
	}
	for (size_t i = 0; !rc && i < p->model_count; i++)
		rc = claim(n, p->models[i].name, p->models[i].mark, "a model", false);
	return rc;
}

static int want(struct names *n, bool found, struct sl_mark mark, const char *who_kind, const char *who, const char *does, const char *what,
		const char *reason, const char *const *candidates, size_t count)
{
	if (found)
		return 0;
	sl_load_fail(n->loader, mark, SL_E_INVALID, "%s '%s' %s '%.128s', %s", who_kind, who, does, what, reason);
	return sl_load_suggest(n->loader, what, candidates, count);
}

/* "NAME", or "NAME.quarantine" of a dataset with a check that puts rows aside. */
static bool is_readable(const struct names *n, const char *name)
{
	if (sl_map_has(n->reads, name))
		return true;
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && strcmp(dot, ".quarantine") == 0 && i < n->loader->project->dataset_count; i++) {
		const struct sl_dataset *d = &n->loader->project->datasets[i];
		for (size_t k = 0; strlen(d->name) == (size_t)(dot - name) && strncmp(d->name, name, strlen(d->name)) == 0 && k < d->check_count; k++)
			if (d->checks[k].quarantine)
				return true;
	}
	return false;
}

static int want_readable(struct names *n, struct sl_mark mark, const char *who_kind, const char *who, const char *name)
{
	return want(n, is_readable(n, name), mark, who_kind, who, "reads", name, "which no source and no step makes", n->readable.items, n->readable.count);
}

static int check_steps(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	for (size_t i = 0; i < p->step_count; i++)
		for (size_t k = 0; k < p->steps[i].inputs.count; k++) {
			int rc = want_readable(n, p->steps[i].mark, "step", p->steps[i].name, p->steps[i].inputs.items[k]);
			if (rc)
				return rc;
		}
	for (size_t i = 0; i < p->step_count; i++) {
		const struct sl_step *step = &p->steps[i], *from = NULL;
		if (step->kind != SL_STEP_EVALUATE || strpbrk(step->evaluate.model, ":@"))
			continue;
		from = sl_project_step(p, step->evaluate.model);
		if (!from || from->kind != SL_STEP_TRAIN)
			return sl_load_fail(n->loader, step->mark, SL_E_INVALID, "step '%s' evaluates '%.128s', which is no train step", step->name, step->evaluate.model);
	}
	return 0;
}

/* A dataset that a check compares with. Its own name would be itself. */
static int check_references(struct names *n, const struct sl_dataset *d)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < d->check_count; i++) {
		const struct sl_check *check = &d->checks[i];
		if (!sl_check_reads_dataset(check))
			continue;
		if (strcmp(check->other, d->name) == 0)
			return sl_load_fail(n->loader, check->mark, SL_E_INVALID, "'%.128s' is the dataset itself; 'previous' is its version before", check->other);
		rc = want_readable(n, check->mark, "check", check->name, check->other);
	}
	return rc;
}

static int check_datasets(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	int rc = 0;
	for (size_t i = 0; !rc && i < p->dataset_count; i++)
		rc = want(n, is_readable(n, p->datasets[i].name), p->datasets[i].mark, "entry", p->datasets[i].name, "checks", p->datasets[i].name,
			  "which no source and no step makes", n->readable.items, n->readable.count);
	for (size_t i = 0; !rc && i < p->dataset_count; i++)
		rc = check_references(n, &p->datasets[i]);
	return rc;
}

static int refuse_evaluate(struct names *n, const struct sl_model *model)
{
	sl_load_fail(n->loader, model->mark, SL_E_INVALID, "model '%s' has 'evaluate' and no 'from'", model->name);
	return sl_error_hint(n->loader->err, "versions that MLflow's clients register are judged by the metrics of their runs");
}

static int check_models(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	struct sl_name_list trains = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < p->step_count; i++)
		if (p->steps[i].kind == SL_STEP_TRAIN)
			rc = sl_name_list_add(n->loader, &trains, p->steps[i].name);
	for (size_t i = 0; !rc && i < p->model_count; i++) {
		struct sl_model *m = &p->models[i];
		const struct sl_step *from = sl_project_step(p, m->from);
		if (!*m->from) {
			rc = *m->evaluate.data ? refuse_evaluate(n, m) : 0;
			continue;
		}
		rc = want(n, from && from->kind == SL_STEP_TRAIN, m->mark, "model", m->name, "is made from", m->from, "which is no train step", trains.items, trains.count);
		if (!rc && *m->evaluate.data)
			rc = want_readable(n, m->mark, "model", m->name, m->evaluate.data);
	}
	return rc;
}

/* Some step joins it, so that a model can have learnt from it. */
static int check_features(struct names *n, const struct sl_endpoint *e)
{
	const struct sl_project *p = n->loader->project;
	struct sl_name_list joined = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < p->step_count; i++)
		if (p->steps[i].lookup)
			rc = sl_name_list_add_new(n->loader, &joined, p->steps[i].lookup->from);
	for (size_t f = 0; !rc && f < e->feature_count; f++) {
		bool found = false;
		for (size_t i = 0; i < p->step_count; i++)
			found |= p->steps[i].lookup && sl_lookup_is(p->steps[i].lookup, e->features[f].from, &e->features[f].key);
		rc = want(n, found, e->mark, "endpoint", e->name, "looks up", e->features[f].from, "which no step joins by that key", joined.items, joined.count);
	}
	return rc;
}

static int check_endpoints(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	struct sl_name_list models = {0}, endpoints = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < p->model_count; i++)
		rc = sl_name_list_add(n->loader, &models, p->models[i].name);
	for (size_t i = 0; !rc && i < p->endpoint_count; i++) {
		const struct sl_endpoint *e = &p->endpoints[i];
		rc = sl_name_list_add(n->loader, &endpoints, e->name);
		rc = rc ? rc : want(n, sl_project_model(p, e->model) != NULL, e->mark, "endpoint", e->name, "serves", e->model, "which is no model", models.items, models.count);
		for (size_t v = 1; !rc && v < e->rules->variant_count; v++)
			rc = want(n, sl_project_model(p, e->rules->variants[v].model) != NULL, e->mark, "endpoint", e->name, "sends traffic to",
				  e->rules->variants[v].model, "which is no model", models.items, models.count);
		rc = rc ? rc : check_features(n, e);
	}
	for (size_t i = 0; !rc && i < p->monitor_count; i++)
		rc = want(n, sl_project_endpoint(p, p->monitors[i].endpoint) != NULL, p->monitors[i].mark, "monitor", p->monitors[i].name, "watches",
			  p->monitors[i].endpoint, "which is no endpoint", endpoints.items, endpoints.count);
	return rc;
}

static int check_triggers(struct names *n)
{
	const struct sl_project *p = n->loader->project;
	struct sl_name_list monitors = {0}, targets = {0};
	int rc = 0;
	for (size_t i = 0; !rc && i < p->monitor_count; i++)
		rc = sl_name_list_add(n->loader, &monitors, p->monitors[i].name);
	for (size_t i = 0; !rc && i < sl_map_count(n->made); i++)
		rc = sl_name_list_add(n->loader, &targets, sl_map_key(n->made, i));
	for (size_t i = 0; !rc && i < p->trigger_count; i++) {
		const struct sl_trigger *t = &p->triggers[i];
		if (t->kind == SL_TRIGGER_ALARM)
			rc = want(n, sl_project_monitor(p, t->subject) != NULL, t->mark, "trigger", t->name, "waits for", t->subject, "which is no monitor",
				  monitors.items, monitors.count);
		else if (t->kind == SL_TRIGGER_DATA)
			rc = want_readable(n, t->mark, "trigger", t->name, t->subject);
		for (size_t k = 0; !rc && k < t->run.count; k++)
			rc = want(n, sl_map_has(n->made, t->run.items[k]), t->mark, "trigger", t->name, "runs", t->run.items[k],
				  "which is no source, step, output or model", targets.items, targets.count);
	}
	return rc;
}

int sl_project_check_names(struct sl_loader *loader)
{
	SL_CLEANUP(sl_map_freep) struct sl_map *made = sl_map_new(loader->err);
	SL_CLEANUP(sl_map_freep) struct sl_map *reads = sl_map_new(loader->err);
	if (!made || !reads)
		return SL_E_NO_MEMORY;
	struct names n = {.loader = loader, .made = made, .reads = reads};
	static int (*const CHECKS[])(struct names *n) = {claim_all, check_steps, check_datasets, check_models, check_endpoints, check_triggers};
	int rc = 0;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(CHECKS); i++)
		rc = CHECKS[i](&n);
	return rc;
}

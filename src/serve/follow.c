/* An endpoint of the registry: what its rules are, and which versions the aliases in them mean, looked at again and again. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "serve/endpoint_internal.h"
#include "serve/plan.h"
#include "serve/rules.h"
#include "track/model.h"

static void tell(const struct sl_endpoint_state *endpoint, const struct sl_error *problem)
{
	sl_log(SL_LOG_WARNING, "endpoint '%s': %s%s%s", endpoint->spec->name, problem->where, problem->where[0] ? ": " : "",
	       problem->message);
}

/* The same trouble is told once. */
static void set_problem(const struct sl_endpoint_state *endpoint, struct sl_error *kept, const struct sl_error *problem)
{
	bool news = problem->code != kept->code || strcmp(problem->message, kept->message) != 0;
	*kept = *problem;
	if (news && problem->code)
		tell(endpoint, problem);
}

/* ---- lookups ---- */

/* Of the version's package, the one that the endpoint names. */
static const struct sl_lookup *find_lookup(const struct sl_package *package, const struct sl_endpoint_features *features)
{
	for (size_t i = 0; i < package->lookup_count; i++)
		if (sl_lookup_is(&package->lookups[i], features->from, &features->key))
			return &package->lookups[i];
	return NULL;
}

/* SIZE_MAX: the model does not read it. */
static size_t feature_of(const struct sl_package *package, const char *column)
{
	for (size_t f = 0; f < package->feature_count; f++)
		if (sl_str_eq(package->features[f].name, column))
			return f;
	return SIZE_MAX;
}

/* The features that it brings, which must be as training had them. */
static int match(const struct sl_served *served, struct sl_served_lookup *lookup, struct sl_error *err)
{
	const struct sl_lookup *spec = lookup->spec;
	struct sl_lookup_table *table = sl_lookups_take(served->lookups, lookup->place);
	size_t brought = 0;
	int rc = 0;
	for (size_t c = 0; !rc && c < spec->columns.count; c++) {
		enum sl_sql_kind kind = sl_lookup_table_kind(table, spec->key.count + c);
		lookup->features[c] = feature_of(&served->package, spec->columns.items[c]);
		if (lookup->features[c] == SIZE_MAX)
			continue;
		brought++;
		if (served->package.features[lookup->features[c]].kind != kind)
			rc = sl_fail(err, SL_E_INVALID, "column '%s' of '%s' has another type than in training", spec->columns.items[c], spec->from);
	}
	sl_lookup_table_unref(table);
	return rc || brought ? rc : sl_fail(err, SL_E_INVALID, "it reads no column of '%s', which the endpoint looks up", spec->from);
}

/* What fails here is tried again at every look: the dataset may come. */
static int add_lookups(struct sl_serving *serving, struct sl_served *served, struct sl_error *err)
{
	const struct sl_endpoint *spec = served->spec;
	served->lookups = spec->feature_count ? serving->lookups : NULL;
	served->looked_up = sl_arena_array(served->arena, spec->feature_count + 1, sizeof *served->looked_up);
	if (!served->looked_up)
		return sl_fail_memory(err);
	for (size_t i = 0; i < spec->feature_count; i++) {
		struct sl_served_lookup *lookup = &served->looked_up[i];
		lookup->spec = find_lookup(&served->package, &spec->features[i]);
		if (!lookup->spec) {
			sl_fail(err, SL_E_INVALID, "it was not trained with a lookup of '%s' by this key", spec->features[i].from);
			return sl_error_hint(err, "train it again on data that a 'lookup' step has joined");
		}
		lookup->features = sl_arena_array(served->arena, lookup->spec->columns.count, sizeof *lookup->features);
		if (!lookup->features)
			return sl_fail_memory(err);
		int rc = sl_lookups_want(served->lookups, lookup->spec, serving->opening, &lookup->place, err);
		if (rc)
			return rc;
		served->lookup_count++;
		rc = match(served, lookup, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- one variant ---- */

static int load(struct sl_serving *serving, struct sl_endpoint_state *endpoint, const struct sl_model_version *version,
		struct sl_served **ret, struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	struct sl_served *served = arena ? sl_arena_alloc(arena, sizeof *served) : NULL;
	if (!served) {
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	served->arena = arena;
	served->endpoint = endpoint;
	served->spec = endpoint->spec;
	served->version = version->version;
	served->references = 1;
	snprintf(served->version_text, sizeof served->version_text, "%lld", (long long)version->version);
	served->series = sl_stats_series(serving->stats, endpoint->spec->name, served->version_text);
	int rc = sl_package_read(serving->store->objects, &version->hash, arena, &served->package, err);
	if (!rc)
		rc = add_lookups(serving, served, err);
	if (!rc)
		rc = sl_package_load(serving->store->objects, NULL, &served->package, &served->infer, err);
	if (!rc)
		rc = sl_served_make_slots(served, NULL, 0, err);
	if (rc) {
		sl_served_unref(served);
		return rc;
	}
	*ret = served;
	return 0;
}

static bool is_version(const struct sl_served *served, const struct sl_model_version *version)
{
	return served && served->version == version->version && sl_hash_eq(&served->package.hash, &version->hash);
}

/* Two aliases of one version share what is loaded. */
static struct sl_served *shared(const struct rules_state *rules, const struct sl_model_version *version)
{
	for (size_t i = 0; i < rules->traffic->variant_count; i++)
		if (is_version(rules->variants[i].now, version)) {
			sl_served_ref(rules->variants[i].now);
			return rules->variants[i].now;
		}
	return NULL;
}

/* True when another version stands behind the alias now. */
static bool follow_variant(struct sl_serving *serving, struct sl_endpoint_state *endpoint, size_t i)
{
	struct sl_error err = {0};
	struct sl_model_version version;
	const struct sl_variant *spec = &endpoint->rules->traffic->variants[i];
	struct variant_state *state = &endpoint->rules->variants[i];
	if (sl_model_find(&serving->store->track, spec->model, spec->alias, &version, &err)) {
		/* What answers goes on answering: a registry that cannot be read is no reason to stop. */
		set_problem(endpoint, &state->problem, &err);
		return false;
	}
	if (is_version(state->now, &version)) {
		set_problem(endpoint, &state->problem, &err);
		return false;
	}
	if (state->problem.code && sl_hash_eq(&state->refused, &version.hash))
		return false;
	struct sl_served *fresh = shared(endpoint->rules, &version);
	if (!fresh && load(serving, endpoint, &version, &fresh, &err)) {
		/* What a lookup waits for may come: such a version is tried again. */
		state->refused = endpoint->spec->feature_count ? (struct sl_hash){0} : version.hash;
		sl_error_context(&err, "model '%s' version %lld cannot be served", spec->model, (long long)version.version);
		set_problem(endpoint, &state->problem, &err);
		return false;
	}
	state->refused = (struct sl_hash){0};
	sl_served_unref(state->now);
	state->now = fresh;
	set_problem(endpoint, &state->problem, &err);
	sl_log(SL_LOG_INFO, "endpoint '%s': '%s' is version %s", endpoint->spec->name, spec->name, fresh->version_text);
	return true;
}

/* ---- the rules ---- */

static void rules_free(struct rules_state *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; rules->traffic && i < rules->traffic->variant_count; i++)
		sl_served_unref(rules->variants[i].now);
	sl_arena_free(rules->arena);
	sl_free(rules);
}

/* What was loaded for the same alias stays loaded. */
static void carry_over(struct rules_state *fresh, const struct rules_state *old)
{
	for (size_t i = 0; i < fresh->traffic->variant_count; i++)
		for (size_t j = 0; j < old->traffic->variant_count; j++)
			if (strcmp(fresh->traffic->variants[i].name, old->traffic->variants[j].name) == 0) {
				fresh->variants[i] = old->variants[j];
				if (fresh->variants[i].now)
					sl_served_ref(fresh->variants[i].now);
			}
}

static int make_rules(const struct sl_endpoint_state *endpoint, const struct sl_rules *from, struct rules_state **ret,
		      struct sl_error *err)
{
	const struct sl_endpoint *spec = endpoint->spec;
	struct rules_state *rules = sl_alloc(sizeof *rules, err);
	if (!rules)
		return SL_E_NO_MEMORY;
	rules->arena = sl_arena_new(0, err);
	rules->text = rules->arena ? sl_arena_strdup(rules->arena, from->text) : NULL;
	rules->weights = rules->text ? sl_arena_strdup(rules->arena, from->weights) : NULL;
	int rc = rules->weights ? sl_traffic_parse(rules->text, "traffic", spec->model, spec->alias, rules->arena, &rules->traffic, err)
				: sl_fail_memory(err);
	if (rc) {
		rules_free(rules);
		return rc;
	}
	if (endpoint->rules)
		carry_over(rules, endpoint->rules);
	*ret = rules;
	return 0;
}

/* 1 when there are others now. On failure the old ones hold. */
static int follow_rules(struct sl_serving *serving, struct sl_endpoint_state *endpoint, struct sl_error *err)
{
	struct sl_rules from;
	struct rules_state *fresh, *old = endpoint->rules;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	int rc = sl_rules_read(serving->store, endpoint->spec, arena, &from, err);
	if (rc || (old && sl_str_eq(old->text, from.text) && sl_str_eq(old->weights, from.weights)))
		return rc;
	rc = make_rules(endpoint, &from, &fresh, err);
	if (rc)
		return rc;
	if (old && !sl_str_eq(old->text, from.text))
		sl_log(SL_LOG_INFO, "endpoint '%s' has other rules: %s", endpoint->spec->name, *from.text ? from.text : "none");
	endpoint->rules = fresh;
	rules_free(old);
	return 1;
}

/* ---- what answers ---- */

static bool is_plain(const struct sl_traffic *traffic)
{
	return traffic->variant_count == 1 && !traffic->segment_count && !traffic->variants[0].shadow;
}

/* Of an experiment; false: there are none, or they are for other versions than those that are loaded, so that a version which nobody has
 * tried yet gets nothing. */
static bool read_weights(const struct rules_state *rules, double weights[SL_VARIANTS_MAX])
{
	yyjson_doc *doc SL_AUTO_JSON = *rules->weights ? sl_json_parse(rules->weights, strlen(rules->weights), "weights", NULL) : NULL;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *versions = yyjson_obj_get(root, "versions");
	double sum = 0;
	for (size_t i = 0; i < rules->traffic->variant_count; i++) {
		const struct sl_served *now = rules->variants[i].now;
		const char *name = rules->traffic->variants[i].name;
		int64_t version = sl_json_int(versions, name, 0);
		if (version && now && now->version != version)
			return false;
		weights[i] = sl_json_num(root, name, 0);
		sum += weights[i];
	}
	return sum > 0;
}

/* Variants give the same number of values, else an answer's shape would depend on chance: one that differs from the first is left out. */
static bool fits(const struct sl_served *served, const struct sl_served *base, struct sl_error *err)
{
	size_t have = served->package.output_count, want = base->package.output_count;
	if (have != want)
		sl_fail(err, SL_E_INVALID, "version %s gives %zu values where the first variant gives %zu: it takes no part",
			served->version_text, have, want);
	return have == want;
}

static int make_front(struct sl_endpoint_state *endpoint, struct sl_served **ret, struct sl_error *err)
{
	struct rules_state *rules = endpoint->rules;
	struct sl_served *served[SL_VARIANTS_MAX] = {NULL}, *base = NULL;
	double weights[SL_VARIANTS_MAX];
	for (size_t i = 0; i < rules->traffic->variant_count; i++) {
		struct sl_error misfit = {0};
		struct sl_served *now = rules->variants[i].now;
		base = base ? base : now;
		if (now && fits(now, base, &misfit))
			served[i] = now;
		else if (now)
			set_problem(endpoint, &rules->variants[i].problem, &misfit);
	}
	bool moved = read_weights(rules, weights);
	return sl_plan_make(endpoint, endpoint->spec, rules->text, served, moved ? weights : NULL, ret, err);
}

static bool any_loaded(const struct rules_state *rules)
{
	for (size_t i = 0; i < rules->traffic->variant_count; i++)
		if (rules->variants[i].now)
			return true;
	return false;
}

/* One pointer. */
static int swap(struct sl_endpoint_state *endpoint, struct sl_error *err)
{
	struct sl_served *before = endpoint->now, *after = NULL;
	struct rules_state *rules = endpoint->rules;
	if (!any_loaded(rules))
		return 0;
	if (is_plain(rules->traffic)) {
		after = rules->variants[0].now;
		sl_served_ref(after);
	} else {
		int rc = make_front(endpoint, &after, err);
		if (rc)
			return rc;
	}
	endpoint->now = after;
	sl_served_unref(before);
	return 1;
}

/* Why an older version of a lookup's dataset is in use. */
static struct sl_error lookup_problem(const struct sl_served *now)
{
	struct sl_error problem = {0};
	for (size_t i = 0; now && !problem.code && i < now->lookup_count; i++)
		problem = *sl_lookups_problem(now->lookups, now->looked_up[i].place);
	return problem;
}

int follow_endpoint(struct sl_serving *serving, struct sl_endpoint_state *endpoint)
{
	struct sl_error err = {0};
	int rc = follow_rules(serving, endpoint, &err);
	bool changed = rc == 1 || !endpoint->now;
	if (!endpoint->rules) {
		set_problem(endpoint, &endpoint->problem, &err);
		return 0;
	}
	for (size_t i = 0; i < endpoint->rules->traffic->variant_count; i++)
		changed |= follow_variant(serving, endpoint, i);
	int swapped = changed ? swap(endpoint, &err) : 0;
	if (!err.code)
		err = endpoint->rules->variants[0].problem;
	if (!err.code)
		err = lookup_problem(endpoint->now);
	else if (endpoint->problem.code != err.code || strcmp(endpoint->problem.message, err.message) != 0)
		tell(endpoint, &err);
	endpoint->problem = err;
	return swapped > 0;
}

void follow_done(struct sl_endpoint_state *endpoint)
{
	sl_served_unref(endpoint->now);
	rules_free(endpoint->rules);
}

#include "serve/plan.h"

#include <assert.h>
#include <string.h>

#include "base/map.h"
#include "os/clock.h"

const char *sl_route_reason_name(enum sl_route_reason reason)
{
	static const char *const NAMES[SL_ROUTE_REASONS] = {"weight", "sticky", "segment", "fallback", "shadow"};
	return NAMES[reason];
}

/* Texts of the columns that the front has beside its model's features. */
struct extras {
	const char **names;
	size_t count;
};

static size_t most_extras(const struct sl_plan *plan)
{
	size_t most = 1; /* sticky */
	for (size_t i = 0; i < plan->rules->segment_count; i++)
		most += sl_predicate_column_count(plan->rules->segments[i].when);
	for (size_t i = 0; i < plan->count; i++)
		if (plan->variants[i].served)
			most += plan->variants[i].served->package.feature_count + plan->variants[i].served->column_count;
	return most;
}

static void collect_extras(const struct sl_plan *plan, struct extras *out)
{
	const struct sl_traffic *rules = plan->rules;
	if (*rules->sticky)
		out->names[out->count++] = rules->sticky;
	for (size_t i = 0; i < rules->segment_count; i++)
		for (size_t c = 0; c < sl_predicate_column_count(rules->segments[i].when); c++)
			out->names[out->count++] = sl_predicate_column(rules->segments[i].when, c);
	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_served *served = plan->variants[i].served;
		for (size_t f = 0; served && f < served->package.feature_count; f++)
			out->names[out->count++] = served->package.features[f].name;
		for (size_t s = 0; served && served->slot_features && s < served->column_count; s++)
			out->names[out->count++] = served->slots[s];
	}
}

/* Which is there: every name was made a slot. */
static size_t slot_of(const struct sl_served *front, const char *name, size_t guess)
{
	ptrdiff_t slot = sl_served_slot(front, name, strlen(name), guess);
	assert(slot >= 0);
	return (size_t)slot;
}

/* A key that is no feature has a type, too. */
static void note_key(struct sl_plan *plan, const struct sl_served *front, const struct sl_served *served, size_t slot)
{
	size_t at = slot_of(front, served->slots[slot], slot);
	if (!plan->slot_features[at])
		plan->slot_features[at] = served->slot_features[slot];
}

static int find_slots(struct sl_plan *plan, const struct sl_served *front, struct sl_error *err)
{
	const struct sl_traffic *rules = plan->rules;
	plan->slot_features = sl_arena_array(front->arena, front->slot_count, sizeof *plan->slot_features);
	if (!plan->slot_features)
		return sl_fail_memory(err);
	plan->sticky_slot = *rules->sticky ? slot_of(front, rules->sticky, SIZE_MAX) : SIZE_MAX;
	for (size_t i = 0; i < rules->segment_count; i++) {
		size_t count = sl_predicate_column_count(rules->segments[i].when);
		size_t *slots = sl_arena_array(front->arena, count + 1, sizeof *slots);
		if (!slots)
			return sl_fail_memory(err);
		for (size_t c = 0; c < count; c++)
			slots[c] = slot_of(front, sl_predicate_column(rules->segments[i].when, c), SIZE_MAX);
		plan->segment_slots[i] = slots;
	}
	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_served *served = plan->variants[i].served;
		size_t count = served ? served->package.feature_count : 0;
		size_t *slots = sl_arena_array(front->arena, count + 1, sizeof *slots);
		if (!slots)
			return sl_fail_memory(err);
		for (size_t f = 0; f < count; f++) {
			slots[f] = slot_of(front, served->package.features[f].name, f);
			if (!plan->slot_features[slots[f]] && !(served->feature_slots && served->feature_slots[f] >= served->column_count))
				plan->slot_features[slots[f]] = &served->package.features[f];
		}
		for (size_t s = 0; served && served->slot_features && s < served->column_count; s++)
			note_key(plan, front, served, s);
		plan->variants[i].slots = slots;
		plan->features = count > plan->features ? count : plan->features;
	}
	return 0;
}

/* What nobody can answer now goes to the others, by their weights; with a fallback to that (sl_plan_choose), as it is known for whom it
 * stands in. Nobody left: the first. */
static void set_weights(struct sl_plan *plan, const double *weights, size_t base)
{
	bool keep = plan->rules->fallback != SIZE_MAX && plan->variants[plan->rules->fallback].served;
	double sum = 0;
	for (size_t i = 0; i < plan->count; i++) {
		struct sl_plan_variant *variant = &plan->variants[i];
		variant->weight = variant->served || keep ? (weights ? weights[i] : variant->spec->weight) : 0;
		sum += variant->weight;
	}
	if (sum <= 0)
		plan->variants[base].weight = 1;
}

/* Takes the references, and what a front shares with the variant that it is made after. */
static void fill_front(struct sl_served *front, struct sl_plan *plan, struct sl_served *const *served, size_t *ret_base)
{
	struct sl_arena *arena = front->arena;
	size_t base = 0;
	while (base < plan->rules->variant_count && !served[base])
		base++;
	assert(base < plan->rules->variant_count);
	*front = *served[base]; /* package, infer, version, series: those of the base, which is held as one of the variants */
	front->arena = arena;
	front->plan = plan;
	front->references = 1;
	front->by_name = NULL;
	for (plan->count = 0; plan->count < plan->rules->variant_count; plan->count++) {
		struct sl_plan_variant *variant = &plan->variants[plan->count];
		variant->spec = &plan->rules->variants[plan->count];
		variant->served = served[plan->count];
		if (variant->served)
			sl_served_ref(variant->served);
		front->heavy |= variant->served && variant->served->heavy;
		plan->shadows |= variant->served && variant->spec->shadow > 0;
	}
	*ret_base = base;
}

static int new_front(const struct sl_endpoint *spec, const char *rules, struct sl_served **ret, struct sl_plan **ret_plan,
		     struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	*ret = arena ? sl_arena_alloc(arena, sizeof **ret) : NULL;
	*ret_plan = *ret ? sl_arena_alloc(arena, sizeof **ret_plan) : NULL;
	int rc = *ret_plan ? sl_traffic_parse(rules, spec->name, spec->model, spec->alias, arena, &(*ret_plan)->rules, err)
			   : sl_fail_memory(err);
	if (rc)
		sl_arena_free(arena);
	else
		(*ret)->arena = arena;
	return rc;
}

int sl_plan_make(struct sl_endpoint_state *endpoint, const struct sl_endpoint *spec, const char *rules, struct sl_served *const *served,
		 const double *weights, struct sl_served **ret_front, struct sl_error *err)
{
	struct sl_served *front;
	struct sl_plan *plan;
	size_t base;
	int rc = new_front(spec, rules, &front, &plan, err);
	if (rc)
		return rc;
	fill_front(front, plan, served, &base);
	front->endpoint = endpoint;
	front->spec = spec;
	struct extras extras = {.names = sl_arena_array(front->arena, most_extras(plan), sizeof *extras.names)};
	rc = extras.names ? sl_random(&plan->seed, sizeof plan->seed, err) : sl_fail_memory(err);
	if (!rc) {
		collect_extras(plan, &extras);
		rc = sl_served_make_slots(front, extras.names, extras.count, err);
	}
	if (!rc)
		rc = find_slots(plan, front, err);
	if (rc) {
		sl_served_unref(front);
		return rc;
	}
	set_weights(plan, weights, base);
	*ret_front = front;
	return 0;
}

const struct sl_feature *sl_served_feature(const struct sl_served *served, size_t slot)
{
	if (served->plan)
		return served->plan->slot_features[slot];
	if (served->slot_features)
		return slot < served->column_count ? served->slot_features[slot] : NULL;
	return slot < served->package.feature_count ? &served->package.features[slot] : NULL;
}

void sl_plan_release(const struct sl_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		sl_served_unref(plan->variants[i].served);
}

#include "serve/endpoint.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "serve/endpoint_internal.h"
#include "serve/plan.h"
#include "serve/shadow.h"
#include "serve/writer.h"

/* ---- one loaded version ---- */

void sl_served_ref(struct sl_served *served)
{
	unsigned before = __atomic_fetch_add(&served->references, 1, __ATOMIC_RELAXED); /* a thread that computes takes one, too */
	assert(before > 0);
}

void sl_served_unref(struct sl_served *served)
{
	if (!served)
		return;
	unsigned before = __atomic_fetch_sub(&served->references, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before > 1)
		return;
	struct sl_endpoint_state *endpoint = served->endpoint;
	if (served->plan)
		sl_plan_release(served->plan); /* the engine and the lookups are those of one of its versions */
	else
		sl_infer_free(served->infer);
	for (size_t i = 0; !served->plan && i < served->lookup_count; i++)
		sl_lookups_give(served->lookups, served->looked_up[i].place);
	sl_graph_free(served->graph);
	sl_map_free(served->by_name);
	sl_arena_free(served->arena); /* `served` itself lives in it */
	if (endpoint && endpoint->files)
		shelf_endpoint_unref(endpoint);
}

static size_t add_slot(struct sl_served *served, const char *name)
{
	served->slots[served->slot_count] = name;
	served->slot_lens[served->slot_count] = strlen(name);
	return served->slot_count++;
}

/* The slot of an extra column: a feature's, when it is one. */
static size_t extra_slot(struct sl_served *served, const char *name)
{
	for (size_t i = 0; i < served->slot_count; i++)
		if (strcmp(served->slots[i], name) == 0)
			return i;
	return add_slot(served, name);
}

bool sl_served_looks_up(const struct sl_served *served, size_t feature)
{
	for (size_t i = 0; i < served->lookup_count; i++)
		for (size_t c = 0; c < served->looked_up[i].spec->columns.count; c++)
			if (served->looked_up[i].features[c] == feature)
				return true;
	return false;
}

/* A key's column where it is no feature: known by how the lookup's table has it. */
static int add_key(struct sl_served *served, const struct sl_served_lookup *lookup, size_t key, struct sl_error *err)
{
	size_t slot = extra_slot(served, lookup->spec->key.items[key]);
	if (served->slot_features[slot])
		return 0;
	struct sl_feature *feature = sl_arena_alloc(served->arena, sizeof *feature);
	struct sl_lookup_table *table = sl_lookups_take(served->lookups, lookup->place);
	enum sl_sql_kind kind = sl_lookup_table_kind(table, key);
	sl_lookup_table_unref(table);
	if (!feature)
		return sl_fail_memory(err);
	*feature = (struct sl_feature){.name = served->slots[slot], .type = "", .kind = kind,
				       .encoding = kind == SL_SQL_TEXT ? SL_ENCODE_CATEGORY : SL_ENCODE_NUMBER};
	served->slot_features[slot] = feature;
	return 0;
}

/* What a request gives stands first. */
static int add_columns(struct sl_served *served, struct sl_error *err)
{
	size_t features = served->package.feature_count, keys = served->lookup_count * SL_LOOKUP_KEYS_MAX;
	int rc = 0;
	served->feature_slots = sl_arena_array(served->arena, features + 1, sizeof *served->feature_slots);
	served->slot_features = sl_arena_array(served->arena, features + keys + 1, sizeof *served->slot_features);
	if (!served->feature_slots || !served->slot_features)
		return sl_fail_memory(err);
	for (size_t f = 0; f < features; f++) {
		if (sl_served_looks_up(served, f))
			continue;
		served->feature_slots[f] = add_slot(served, served->package.features[f].name);
		served->slot_features[served->feature_slots[f]] = &served->package.features[f];
	}
	for (size_t i = 0; i < served->lookup_count; i++)
		for (size_t k = 0; !rc && k < served->looked_up[i].spec->key.count; k++)
			rc = add_key(served, &served->looked_up[i], k, err);
	served->column_count = served->slot_count;
	for (size_t f = 0; f < features; f++)
		if (sl_served_looks_up(served, f))
			served->feature_slots[f] = add_slot(served, served->package.features[f].name);
	return rc;
}

static bool is_graph(const struct sl_infer *infer)
{
	struct sl_infer_info info;
	sl_infer_info(infer, &info);
	return !info.trees;
}

/* What a model's configuration says about its lane stays. */
static void make_lanes(struct sl_served *served)
{
	int64_t max_wait_ns = served->spec->max_wait_ms * 1000000;
	const struct sl_lane set = served->lane;
	served->fat_lane = (struct sl_lane){.max_wait_ns = max_wait_ns, .queue_max = SL_FAT_QUEUE_MAX, .timeout_ns = set.timeout_ns, .slow = true};
	served->lane = (struct sl_lane){.max_wait_ns = max_wait_ns, .queue_max = set.queue_max, .batch_rows = set.batch_rows, .fill_rows = set.fill_rows,
					.delay_ns = set.delay_ns, .timeout_ns = set.timeout_ns, .priority = set.priority};
}

int sl_served_make_slots(struct sl_served *served, const char *const *more, size_t more_count, struct sl_error *err)
{
	const struct sl_endpoint *spec = served->spec;
	size_t features = served->package.feature_count, most = features + 2 + more_count + served->lookup_count * SL_LOOKUP_KEYS_MAX;
	make_lanes(served);
	served->heavy |= served->graph || (served->infer && is_graph(served->infer));
	served->slot_count = 0;
	served->slots = sl_arena_array(served->arena, most, sizeof *served->slots);
	served->slot_lens = sl_arena_array(served->arena, most, sizeof *served->slot_lens);
	served->by_name = sl_map_new(err);
	if (!served->slots || !served->slot_lens || !served->by_name)
		return sl_fail_memory(err);
	if (served->lookup_count) {
		int rc = add_columns(served, err);
		if (rc)
			return rc;
	}
	for (size_t i = 0; !served->lookup_count && i < features; i++)
		served->column_count = add_slot(served, served->package.features[i].name) + 1;
	served->key_slot = spec->key[0] ? extra_slot(served, spec->key) : SIZE_MAX;
	served->time_slot = spec->time[0] ? extra_slot(served, spec->time) : SIZE_MAX;
	for (size_t i = 0; i < more_count; i++)
		extra_slot(served, more[i]);
	for (size_t i = 0; i < served->slot_count; i++) {
		int rc = sl_map_set(served->by_name, served->slots[i], &served->slots[i], NULL, err);
		if (rc)
			return rc;
	}
	return 0;
}

ptrdiff_t sl_served_slot(const struct sl_served *served, const char *name, size_t len, size_t guess)
{
	if (guess < served->slot_count && served->slot_lens[guess] == len && memcmp(served->slots[guess], name, len) == 0)
		return (ptrdiff_t)guess;
	char text[SL_NAME_MAX + 1];
	if (len > SL_NAME_MAX) { /* columns of a table may have longer names than things of ours */
		for (size_t i = 0; i < served->slot_count; i++)
			if (served->slot_lens[i] == len && memcmp(served->slots[i], name, len) == 0)
				return (ptrdiff_t)i;
		return SL_SLOT_NONE;
	}
	memcpy(text, name, len);
	text[len] = 0;
	const char **slot = strlen(text) == len ? sl_map_get(served->by_name, text) : NULL;
	return slot ? slot - served->slots : SL_SLOT_NONE;
}

const char *sl_served_nearest(const struct sl_served *served, const char *name)
{
	return sl_str_nearest(name, served->slots, served->slot_count);
}

/* ---- opening and looking ---- */

int sl_serving_refresh(struct sl_serving *serving)
{
	int swapped = 0;
	if (serving->shelf)
		return shelf_refresh(serving);
	sl_lookups_refresh(serving->lookups);
	for (size_t i = 0; i < serving->count; i++)
		swapped += follow_endpoint(serving, serving->endpoints[i]);
	return swapped;
}

int sl_serving_open(struct sl_store *store, const struct sl_project *project, struct sl_serving **ret, struct sl_error *err)
{
	struct sl_serving *serving = sl_alloc(sizeof *serving, err);
	if (!serving)
		return SL_E_NO_MEMORY;
	serving->store = store;
	serving->endpoints = sl_alloc_array(project->endpoint_count + 1, sizeof *serving->endpoints, err);
	int rc = serving->endpoints ? sl_stats_open(store->dir, &serving->stats, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_shadow_new(&serving->shadow, err);
	if (!rc)
		rc = sl_lookups_new(store, &serving->lookups, err);
	for (size_t i = 0; !rc && i < project->endpoint_count; i++) {
		struct sl_endpoint_state *endpoint = sl_alloc(sizeof *endpoint, err);
		if (!endpoint) {
			rc = SL_E_NO_MEMORY;
			break;
		}
		serving->endpoints[serving->count++] = endpoint;
		endpoint->spec = &project->endpoints[i];
		endpoint->unanswered = sl_stats_series(serving->stats, endpoint->spec->name, "");
		if (endpoint->spec->log_all)
			rc = sl_predlog_open(store, endpoint->spec, &endpoint->log, err);
	}
	if (rc) {
		sl_serving_close(serving);
		return rc;
	}
	serving->opening = true;
	sl_serving_refresh(serving);
	serving->opening = false;
	*ret = serving;
	return 0;
}

int sl_serving_open_files(const struct sl_serving_files *files, struct sl_serving **ret, struct sl_error *err)
{
	struct sl_serving *serving = sl_alloc(sizeof *serving, err);
	if (!serving)
		return SL_E_NO_MEMORY;
	int rc = shelf_open(serving, files, err);
	if (rc) {
		sl_serving_close(serving);
		return rc;
	}
	*ret = serving;
	return 0;
}

void sl_serving_close(struct sl_serving *serving)
{
	if (!serving)
		return;
	if (serving->shelf)
		shelf_close(serving);
	sl_shadow_free(serving->shadow);
	for (size_t i = 0; !serving->shelf && i < serving->count; i++) {
		follow_done(serving->endpoints[i]);
		sl_predlog_close(serving->endpoints[i]->log);
		sl_free(serving->endpoints[i]);
	}
	sl_lookups_free(serving->lookups);
	sl_stats_close(serving->stats);
	sl_free(serving->endpoints);
	sl_free(serving);
}

/* ---- looking ---- */

size_t sl_serving_count(const struct sl_serving *serving) { return serving->count; }
struct sl_endpoint_state *sl_serving_at(const struct sl_serving *serving, size_t i) { return serving->endpoints[i]; }

static int compare_name(const char *have, const char *name, size_t len)
{
	int order = strncmp(have, name, len);
	return order ? order : have[len] != 0;
}

/* Endpoints of files may be thousands, and are sorted. */
struct sl_endpoint_state *sl_serving_find(const struct sl_serving *serving, const char *name, size_t len)
{
	size_t from = 0, to = serving->count;
	while (serving->shelf && from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare_name(serving->endpoints[middle]->spec->name, name, len);
		if (!order)
			return serving->endpoints[middle];
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (size_t i = 0; !serving->shelf && i < serving->count; i++)
		if (compare_name(serving->endpoints[i]->spec->name, name, len) == 0)
			return serving->endpoints[i];
	return NULL;
}

/* The versions of the endpoint's own model that are loaded, each once: of `i` the i-th; NULL behind the last. */
static struct sl_served *version_at(const struct sl_endpoint_state *endpoint, size_t i)
{
	const struct sl_plan *plan = endpoint->now ? endpoint->now->plan : NULL;
	if (!plan)
		return i ? NULL : endpoint->now;
	for (size_t v = 0; v < plan->count; v++) {
		struct sl_served *served = plan->variants[v].served;
		bool known = !served || strcmp(plan->variants[v].spec->model, endpoint->spec->model) != 0;
		for (size_t before = 0; !known && before < v; before++)
			known = plan->variants[before].served == served;
		if (!known && i-- == 0)
			return served;
	}
	return NULL;
}

int sl_endpoint_take(struct sl_endpoint_state *endpoint, const char *version, size_t len, struct sl_served **ret,
		     struct sl_error *err)
{
	struct sl_served *now = endpoint->now;
	if (endpoint->files)
		return shelf_take(endpoint, version, len, ret, err);
	if (!now) {
		sl_fail(err, SL_E_BUSY, "endpoint '%s' has no model yet: %s", endpoint->spec->name, endpoint->problem.message);
		return sl_error_hint(err, "run the project, then promote a version to '%s'", endpoint->spec->alias);
	}
	if (!version) {
		*ret = now;
		return 0;
	}
	for (size_t i = 0; i < sl_endpoint_version_count(endpoint); i++)
		if (compare_name(version_at(endpoint, i)->version_text, version, len) == 0) {
			*ret = version_at(endpoint, i);
			return 0;
		}
	sl_fail(err, SL_E_NOT_FOUND, "version '%.*s' of '%s' is not served", (int)(len < 40 ? len : 40), version, endpoint->spec->name);
	return sl_error_hint(err, "version %s is", now->version_text);
}

bool sl_endpoint_ready(const struct sl_endpoint_state *endpoint)
{
	return endpoint->files ? shelf_ready(endpoint) : endpoint->now != NULL;
}

size_t sl_endpoint_version_count(const struct sl_endpoint_state *endpoint)
{
	size_t count = 0;
	if (endpoint->files)
		return endpoint->files->version_count;
	while (version_at(endpoint, count))
		count++;
	return count;
}

const char *sl_endpoint_version(const struct sl_endpoint_state *endpoint, size_t i)
{
	return endpoint->files ? endpoint->files->versions[i].file.version : version_at(endpoint, i)->version_text;
}

static int refuse_registry(struct sl_error *err)
{
	sl_fail(err, SL_E_DENIED, "the registry decides which models are loaded");
	return sl_error_hint(err, "promote a version, or roll back");
}

int sl_serving_load(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err)
{
	return serving->shelf ? shelf_load(serving, name, len, err) : refuse_registry(err);
}

int sl_serving_unload(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err)
{
	struct sl_endpoint_state *endpoint = sl_serving_find(serving, name, len);
	if (!serving->shelf)
		return refuse_registry(err);
	if (!endpoint)
		return sl_fail(err, SL_E_NOT_FOUND, "there is no model '%.*s'", (int)(len < 128 ? len : 128), name);
	shelf_unload(endpoint);
	return 0;
}

const struct sl_endpoint *sl_endpoint_spec(const struct sl_endpoint_state *endpoint) { return endpoint->spec; }
const struct sl_error *sl_endpoint_problem(const struct sl_endpoint_state *endpoint) { return &endpoint->problem; }
struct sl_endpoint_stats *sl_endpoint_stats(struct sl_endpoint_state *endpoint) { return &endpoint->stats; }
struct sl_shadow *sl_serving_shadow(const struct sl_serving *serving) { return serving->shadow; }
struct sl_stats *sl_serving_stats(const struct sl_serving *serving) { return serving->stats; }

void sl_endpoint_refused(struct sl_endpoint_state *endpoint, int status)
{
	if (status < 500)
		endpoint->stats.refused++;
	else
		endpoint->stats.failed++;
	sl_stats_status(endpoint->now ? endpoint->now->series : endpoint->unanswered, status);
}

struct sl_predlog *sl_endpoint_log(const struct sl_endpoint_state *endpoint) { return endpoint->log; }

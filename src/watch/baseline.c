#include "watch/baseline.h"

#include <math.h>
#include <string.h>

#include "data/profile.h"
#include "project/ref.h"

static double unit_of(const struct sl_profile_column *from) { return from->kind == SL_PROFILE_TIME ? 1e-6 : 1; } /* models count seconds */

/* What the profile says of the values at or below its p-th percentile: at least p %, and more when it is a value that repeats. */
static uint64_t rank_of(const struct sl_profile_column *from, size_t p)
{
	size_t top = p;
	while (top + 1 < SL_PROFILE_QUANTILES && from->quantiles[top + 1] <= from->quantiles[p])
		top++;
	return (uint64_t)llround((double)from->present * (double)top / (SL_PROFILE_QUANTILES - 1));
}

static int take_numbers(const struct sl_profile_column *from, struct sl_arena *arena, struct sl_reference_column *ret)
{
	double *edges = sl_arena_array(arena, SL_REFERENCE_BINS, sizeof *edges);
	uint64_t *counts = sl_arena_array(arena, SL_REFERENCE_BINS, sizeof *counts), below = 0;
	size_t n = 0;
	if (!edges || !counts)
		return SL_E_NO_MEMORY;
	for (size_t d = 1; d < SL_REFERENCE_BINS && from->bin_count; d++) {
		size_t p = d * (SL_PROFILE_QUANTILES - 1) / SL_REFERENCE_BINS;
		double edge = from->quantiles[p] * unit_of(from);
		if ((n && edge <= edges[n - 1]) || from->quantiles[p] >= from->max)
			continue;
		counts[n] = rank_of(from, p) - below;
		below += counts[n];
		edges[n++] = edge;
	}
	counts[n] = from->present - below;
	ret->edges = edges;
	ret->counts = counts;
	ret->bin_count = n + 1;
	return 0;
}

/* Truth values: a bin for false and one for true. */
static int take_bools(const struct sl_profile_column *from, struct sl_arena *arena, struct sl_reference_column *ret)
{
	double *edges = sl_arena_array(arena, 1, sizeof *edges);
	uint64_t *counts = sl_arena_array(arena, 2, sizeof *counts);
	if (!edges || !counts)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < from->top_count; i++)
		counts[from->top[i].number != 0] += from->top[i].count;
	ret->edges = edges;
	ret->counts = counts;
	ret->bin_count = 2;
	return 0;
}

static int take_texts(const struct sl_profile_column *from, const struct sl_dictionary *dictionary, struct sl_arena *arena,
		      struct sl_reference_column *ret, uint64_t *ret_rest)
{
	uint64_t *counts = sl_arena_array(arena, ret->bin_count + 1, sizeof *counts), known = 0;
	if (!counts)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < from->top_count; i++) {
		int32_t at = sl_dictionary_find(dictionary, from->top[i].text, strlen(from->top[i].text));
		if (at >= 0)
			known += counts[at] = from->top[i].count;
	}
	ret->counts = counts;
	*ret_rest = from->present - known;
	return 0;
}

static int take_column(const struct sl_profile_column *from, struct sl_watched_model *model, size_t feature)
{
	struct sl_reference_column next = model->reference.features[feature];
	const struct sl_feature *of = &model->package.features[feature];
	bool texts = of->encoding == SL_ENCODE_CATEGORY;
	int rc;
	if (texts != (from->kind == SL_PROFILE_TEXT) || from->kind == SL_PROFILE_OTHER)
		return 0;
	next.present = from->present;
	next.missing = from->missing;
	if (texts) {
		rc = take_texts(from, of->dictionary, model->arena, &next, &model->rest[feature]);
	} else {
		next.min = from->min * unit_of(from);
		next.max = from->max * unit_of(from);
		next.mean = from->mean * unit_of(from);
		rc = from->kind == SL_PROFILE_BOOL ? take_bools(from, model->arena, &next) : take_numbers(from, model->arena, &next);
	}
	if (rc == 0)
		model->reference.features[feature] = next;
	return rc;
}

static int find_profile(struct sl_store *store, const char *dataset, struct sl_arena *arena, struct sl_profile *ret, struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_dataset_head head;
	const char *text;
	int rc = sl_ref_parse(dataset, &ref, err);
	rc = rc ? rc : sl_dataset_find(&store->track, ref.name, ref.version, &head, err);
	rc = rc ? rc : sl_profile_find(store->meta, &head.hash, arena, &text, err);
	if (rc == 1)
		return sl_profile_parse(text, strlen(text), arena, ret, err);
	if (rc < 0)
		return rc;
	sl_fail(err, SL_E_NOT_FOUND, "no profile is kept of '%s'", dataset);
	return sl_error_hint(err, "sluice profile %s", dataset);
}

int sl_baseline_take(struct sl_store *store, const char *dataset, struct sl_watched_model *model, struct sl_error *err)
{
	struct sl_profile profile;
	int rc = find_profile(store, dataset, model->arena, &profile, err);
	model->rest = rc ? NULL : sl_arena_array(model->arena, model->package.feature_count + 1, sizeof *model->rest);
	if (!model->rest)
		return rc ? rc : sl_fail_memory(err);
	for (size_t f = 0; f < model->package.feature_count; f++) {
		const struct sl_profile_column *from = sl_profile_column(&profile, model->package.features[f].name);
		if (from && take_column(from, model, f) < 0)
			return sl_fail_memory(err);
	}
	return sl_watched_model_index(model, err);
}

#include "serve/predict.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/disk.h"
#include "serve/feed.h"
#include "serve/writer.h"


/* At least `count` elements of `size_bytes` at *array; old content is lost. */
static int room(void **array, size_t *cap, size_t count, size_t size_bytes, struct sl_error *err)
{
	if (count <= *cap)
		return 0;
	sl_free(*array);
	*cap = 0;
	*array = sl_alloc_array(count, size_bytes, err);
	if (!*array)
		return SL_E_NO_MEMORY;
	*cap = count;
	return 0;
}

/* The newest tables of all versions that may answer: the request keeps them, whatever is committed meanwhile. */
static void take_tables(struct sl_inputs *rows, const struct sl_served *served)
{
	for (size_t i = 0; i < served->lookup_count; i++) {
		size_t place = served->looked_up[i].place;
		if (!rows->tables[place])
			rows->tables[place] = sl_lookups_take(served->lookups, place);
	}
	for (size_t i = 0; served->lookups && served->plan && i < served->plan->count; i++)
		if (served->plan->variants[i].served)
			take_tables(rows, served->plan->variants[i].served);
}

static void give_tables(struct sl_inputs *rows)
{
	if (!rows->served || !rows->served->lookups)
		return;
	for (size_t i = 0; i < SL_LOOKUPS_MAX; i++) {
		sl_lookup_table_unref(rows->tables[i]);
		rows->tables[i] = NULL;
	}
}

#define ROOM(array, cap, count) room((void **)&(array), &(cap), (count), sizeof *(array), err)

/* Variants, reasons and who was meant in one piece. */
static int make_choices(struct sl_inputs *rows, size_t count, struct sl_error *err)
{
	int rc = ROOM(rows->variants, rows->choices_cap, 3 * count);
	rows->reasons = rows->variants + count;
	rows->meant = rows->reasons + count;
	return rc;
}

int sl_inputs_begin(struct sl_inputs *rows, struct sl_served *served, size_t count, struct sl_error *err)
{
	assert(!rows->served);
	if (!count)
		return sl_fail(err, SL_E_INVALID, "the request has no row");
	size_t most = served->max_rows && served->max_rows < SL_INPUTS_MAX ? served->max_rows : SL_INPUTS_MAX;
	if (count > most)
		return sl_fail(err, SL_E_TOO_LARGE, "the request has %zu rows, at most %zu are taken", count, most);
	size_t cells = count * served->slot_count;
	if (cells > SL_INPUTS_CELLS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the request has %zu values, at most %d are taken", cells,
			       SL_INPUTS_CELLS_MAX);
	int rc = ROOM(rows->cells, rows->cells_cap, cells);
	if (!rc)
		rc = ROOM(rows->given, rows->slots_cap, served->slot_count);
	if (!rc)
		rc = ROOM(rows->features, rows->features_cap, count * (served->plan ? served->plan->features : served->package.feature_count));
	if (!rc)
		rc = ROOM(rows->outputs, rows->outputs_cap, count * served->package.output_count);
	if (!rc)
		rc = ROOM(rows->times_ms, rows->times_cap, count);
	if (!rc && served->plan)
		rc = make_choices(rows, count, err);
	if (!rc && !rows->arena && !(rows->arena = sl_arena_new(SL_INPUTS_MEMORY_MAX, err)))
		rc = SL_E_NO_MEMORY;
	if (rc)
		return rc;
	memset(rows->cells, 0, cells * sizeof *rows->cells);
	memset(rows->given, 0, served->slot_count);
	rows->feed = (struct sl_feed){0};
	rows->explained = NULL;
	rows->count = count;
	rows->served = served;
	sl_served_ref(served);
	take_tables(rows, served);
	return 0;
}

void sl_inputs_done(struct sl_inputs *rows)
{
	give_tables(rows);
	sl_served_unref(rows->served);
	sl_free(rows->cells);
	sl_free(rows->given);
	sl_free(rows->features);
	sl_free(rows->outputs);
	sl_free(rows->times_ms);
	sl_free(rows->variants);
	sl_arena_free(rows->arena);
	*rows = (struct sl_inputs){0};
}

void sl_inputs_end(struct sl_inputs *rows)
{
	if (rows->cells_cap > SL_INPUTS_KEEP_CELLS || (rows->feed.inputs && sl_arena_used(rows->arena) > SL_INPUTS_KEEP_CELLS * sizeof *rows->cells)) {
		sl_inputs_done(rows);
		return;
	}
	give_tables(rows);
	sl_served_unref(rows->served);
	rows->served = NULL;
	rows->feed = (struct sl_feed){0};
	if (rows->arena)
		sl_arena_reset(rows->arena);
}

/* Rows that one version answers. */
struct group {
	struct sl_inputs *rows;
	const struct sl_served *served;
	const size_t *slots;   /* of feature f; NULL: f itself */
	const size_t *indexes; /* of the rows; NULL: all */
	size_t count;
};

static size_t slot_of(const struct group *group, size_t f) { return group->slots ? group->slots[f] : f; }

static int check_given(const struct group *group, struct sl_error *err)
{
	const struct sl_package *package = &group->served->package;
	for (size_t f = 0; f < package->feature_count; f++)
		if (!(group->rows->given[slot_of(group, f)] & SL_GIVEN) && !sl_served_looks_up(group->served, f))
			return sl_fail(err, SL_E_INVALID, "column '%s' is missing", package->features[f].name);
	return 0;
}

/* ---- columns that the server looks up ---- */

/* Each column of the key, in the rows. */
static int find_key(const struct sl_inputs *rows, const struct sl_lookup *lookup, size_t slots[SL_LOOKUP_KEYS_MAX], struct sl_error *err)
{
	for (size_t k = 0; k < lookup->key.count; k++) {
		const char *name = lookup->key.items[k];
		ptrdiff_t slot = sl_served_slot(rows->served, name, strlen(name), SIZE_MAX);
		if (slot < 0 || !(rows->given[slot] & SL_GIVEN))
			return sl_fail(err, SL_E_INVALID, "column '%s' is missing: '%s' is looked up by it", name, lookup->from);
		slots[k] = (size_t)slot;
	}
	return 0;
}

/* Where other versions need the column from the request it may be there; this one does not look at it. */
static int check_not_given(const struct group *group, const struct sl_served_lookup *lookup, struct sl_error *err)
{
	const struct sl_inputs *rows = group->rows;
	for (size_t c = 0; !rows->served->plan && !rows->served->spec->ignore_extra && c < lookup->spec->columns.count; c++) {
		if (lookup->features[c] == SIZE_MAX || !(rows->given[slot_of(group, lookup->features[c])] & SL_GIVEN))
			continue;
		sl_fail(err, SL_E_INVALID, "column '%s' is looked up in '%s' by the server", lookup->spec->columns.items[c], lookup->spec->from);
		return sl_error_hint(err, "leave it out: give '%s'", lookup->spec->key.items[0]);
	}
	return 0;
}

static int look_up_row(const struct group *group, const struct sl_served_lookup *lookup, const size_t *key_slots, size_t row, struct sl_error *err)
{
	struct sl_inputs *rows = group->rows;
	const struct sl_cell *key[SL_LOOKUP_KEYS_MAX], *found;
	for (size_t k = 0; k < lookup->spec->key.count; k++)
		key[k] = &rows->cells[key_slots[k] * rows->count + row];
	int rc = sl_lookup_table_find(rows->tables[lookup->place], key, &found, err);
	if (rc)
		return rows->count > 1 ? sl_error_context(err, "row %zu", row) : rc;
	for (size_t c = 0; c < lookup->spec->columns.count; c++)
		if (lookup->features[c] != SIZE_MAX)
			rows->cells[slot_of(group, lookup->features[c]) * rows->count + row] = found[c];
	return 0;
}

static int look_up(const struct group *group, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < group->served->lookup_count; i++) {
		const struct sl_served_lookup *lookup = &group->served->looked_up[i];
		size_t key_slots[SL_LOOKUP_KEYS_MAX];
		rc = check_not_given(group, lookup, err);
		rc = rc ? rc : find_key(group->rows, lookup->spec, key_slots, err);
		for (size_t r = 0; !rc && r < group->count; r++)
			rc = look_up_row(group, lookup, key_slots, group->indexes ? group->indexes[r] : r, err);
		for (size_t c = 0; !rc && c < lookup->spec->columns.count; c++)
			if (lookup->features[c] != SIZE_MAX)
				group->rows->given[slot_of(group, lookup->features[c])] |= SL_LOOKED_UP;
	}
	return rc;
}

static int encode(const struct group *group, struct sl_error *err)
{
	struct sl_inputs *rows = group->rows;
	const struct sl_package *package = &group->served->package;
	size_t width = package->feature_count;
	uint64_t unseen = 0;
	for (size_t f = 0; f < width; f++) {
		const struct sl_cell *cells = rows->cells + slot_of(group, f) * rows->count;
		for (size_t i = 0; i < group->count; i++) {
			size_t row = group->indexes ? group->indexes[i] : i;
			int rc = sl_encode(&package->features[f], &cells[row], &rows->features[i * width + f], err);
			if (rc < 0)
				return rows->count > 1 ? sl_error_context(err, "row %zu", row) : rc;
			unseen += rc == SL_ENCODED_UNSEEN;
		}
	}
	rows->unseen += unseen;
	return 0;
}

static int compute(const struct group *group, struct sl_error *err)
{
	struct sl_inputs *rows = group->rows;
	size_t width = group->served->package.output_count;
	int rc = check_given(group, err);
	if (!rc)
		rc = look_up(group, err);
	if (!rc)
		rc = encode(group, err);
	if (rc)
		return rc;
	float *outputs = group->indexes ? sl_arena_array(rows->arena, group->count * width, sizeof *outputs) : rows->outputs;
	if (!outputs)
		return sl_fail_memory(err);
	rc = sl_infer_predict(group->served->infer, rows->features, group->count, outputs, err);
	for (size_t i = 0; !rc && group->indexes && i < group->count; i++)
		memcpy(rows->outputs + group->indexes[i] * width, outputs + i * width, width * sizeof *outputs);
	return rc;
}

static struct group group_of(struct sl_inputs *rows, size_t variant)
{
	const struct sl_plan_variant *of = &rows->served->plan->variants[variant];
	return (struct group){.rows = rows, .served = of->served, .slots = of->slots, .count = rows->count};
}

/* Who was meant stays. */
static void mark(const struct group *group, size_t variant, enum sl_route_reason reason)
{
	for (size_t i = 0; i < group->count; i++) {
		size_t row = group->indexes ? group->indexes[i] : i;
		group->rows->variants[row] = (unsigned char)variant;
		group->rows->reasons[row] = (unsigned char)reason;
	}
}

/* By the variant, or by the fallback when that one cannot: its error is then the one that is told. */
static int compute_or_fall_back(struct group *group, size_t variant, struct sl_error *err)
{
	const struct sl_plan *plan = group->rows->served->plan;
	size_t fallback = plan->rules->fallback;
	int rc = compute(group, err);
	if (!rc || fallback == SIZE_MAX || fallback == variant || !plan->variants[fallback].served)
		return rc;
	group->served = plan->variants[fallback].served;
	group->slots = plan->variants[fallback].slots;
	if (compute(group, NULL))
		return rc;
	mark(group, fallback, SL_ROUTE_FALLBACK);
	return 0;
}

/* Each variant answers its rows, wherever in the request they stand. */
static int compute_mixed(struct sl_inputs *rows, struct sl_error *err)
{
	const struct sl_plan *plan = rows->served->plan;
	size_t *indexes = sl_arena_array(rows->arena, rows->count, sizeof *indexes);
	unsigned char *chosen = sl_arena_array(rows->arena, rows->count, 1);
	int rc = indexes && chosen ? 0 : sl_fail_memory(err);
	if (!rc)
		memcpy(chosen, rows->variants, rows->count); /* a fallback changes rows->variants */
	for (size_t variant = 0; !rc && variant < plan->count; variant++) {
		struct group group = group_of(rows, variant);
		group.indexes = indexes;
		group.count = 0;
		for (size_t row = 0; row < rows->count; row++)
			if (chosen[row] == variant)
				indexes[group.count++] = row;
		if (group.count)
			rc = compute_or_fall_back(&group, variant, err);
	}
	rows->mixed = false;
	for (size_t row = 1; row < rows->count; row++)
		rows->mixed |= rows->variants[row] != rows->variants[0];
	return rc;
}

static int event_time(const struct sl_cell *cell, int64_t received_ms, int64_t *ret, struct sl_error *err)
{
	char text[SL_TIME_TEXT * 2];
	switch (cell->kind) {
	case SL_CELL_NULL:
		*ret = received_ms;
		return 0;
	case SL_CELL_INT:
		*ret = cell->i / 1000; /* microseconds, as in tables */
		return 0;
	case SL_CELL_TEXT:
		snprintf(text, sizeof text, "%.*s", (int)(cell->len < sizeof text ? cell->len : sizeof text - 1), cell->text);
		if (sl_time_parse(text, ret))
			return 0;
		return sl_fail(err, SL_E_INVALID, "'%s' is not a time", text);
	default:
		return sl_fail(err, SL_E_INVALID, "a time is text like \"2001-03-01T10:30\" or whole microseconds since 1970");
	}
}

/* *ret stays NULL when every row's time is that of the request. */
static int event_times(struct sl_inputs *rows, int64_t received_ms, const int64_t **ret, struct sl_error *err)
{
	const struct sl_served *served = rows->served;
	*ret = NULL;
	if (served->time_slot == SIZE_MAX || !rows->given[served->time_slot])
		return 0;
	const struct sl_cell *cells = rows->cells + served->time_slot * rows->count;
	for (size_t row = 0; row < rows->count; row++) {
		int rc = event_time(&cells[row], received_ms, &rows->times_ms[row], err);
		if (rc)
			return sl_error_context(err, "row %zu: column '%s'", row, served->slots[served->time_slot]);
	}
	*ret = rows->times_ms;
	return 0;
}

/* Rows that a fallback answered. */
static uint64_t count_fallbacks(const struct sl_inputs *rows)
{
	uint64_t count = 0;
	for (size_t row = 0; rows->served->plan && row < rows->count; row++)
		count += rows->reasons[row] == SL_ROUTE_FALLBACK;
	return count;
}

static void count_answered(const struct sl_inputs *rows, int64_t started_ns)
{
	struct sl_stats_series *series = sl_inputs_answered(rows)->series;
	int64_t logged_ns = sl_monotonic_ns();
	sl_stats_status(series, 200);
	sl_stats_add(&series->rows, rows->count);
	sl_stats_add(&series->unseen, rows->unseen);
	sl_stats_add(&series->fallbacks, count_fallbacks(rows));
	sl_stats_time(series, SL_STATS_PARSE, rows->parsed_ns - started_ns - rows->waited_ns);
	sl_stats_time(series, SL_STATS_QUEUE, rows->waited_ns);
	sl_stats_time(series, SL_STATS_COMPUTE, rows->computed_ns - rows->parsed_ns);
	sl_stats_time(series, SL_STATS_LOG, logged_ns - rows->computed_ns);
	sl_stats_time(series, SL_STATS_REQUEST, logged_ns - started_ns);
}

int sl_predict_prepare(struct sl_inputs *rows, struct sl_error *err)
{
	struct group all = {.rows = rows, .served = rows->served, .count = rows->count};
	int rc = rows->feed.inputs ? 0 : check_given(&all, err);
	return rc ? rc : sl_feed_prepare(rows, err);
}

static int compute_all(struct sl_inputs *rows, struct sl_error *err)
{
	struct group all = {.rows = rows, .served = rows->served, .slots = rows->served->feature_slots, .count = rows->count};
	if (rows->served->graph) {
		int rc = sl_predict_prepare(rows, err);
		return rc ? rc : sl_feed_compute(rows, err);
	}
	if (!rows->served->plan)
		return compute(&all, err);
	sl_plan_choose(rows->served->plan, rows);
	if (rows->mixed)
		return compute_mixed(rows, err);
	all = group_of(rows, rows->variants[0]);
	return compute_or_fall_back(&all, rows->variants[0], err);
}

int sl_predict_compute(struct sl_inputs *rows, struct sl_error *err)
{
	rows->parsed_ns = sl_monotonic_ns();
	rows->unseen = 0;
	int rc = compute_all(rows, err);
	rows->computed_ns = sl_monotonic_ns();
	return rc;
}

int sl_predict_by(struct sl_inputs *rows, size_t variant, enum sl_route_reason reason, struct sl_error *err)
{
	struct group group = group_of(rows, variant);
	rows->parsed_ns = sl_monotonic_ns();
	rows->unseen = 0;
	rows->mixed = false;
	mark(&group, variant, reason);
	int rc = compute(&group, err);
	rows->computed_ns = sl_monotonic_ns();
	return rc;
}

int sl_predict_commit(struct sl_inputs *rows, int64_t started_ns, struct sl_id *ret_id, struct sl_error *err)
{
	struct sl_endpoint_state *endpoint = rows->served->endpoint;
	struct sl_predlog *log = sl_endpoint_log(endpoint);
	int64_t latency_us = (rows->computed_ns - started_ns) / 1000;
	const int64_t *times_ms;
	struct sl_id id;
	int rc = sl_id_new(&id, err);
	if (!rc)
		rc = event_times(rows, sl_id_time_ms(&id), &times_ms, err);
	if (rc)
		return rc;
	if (log)
		rc = sl_predlog_append(log, rows, &id, times_ms, latency_us > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_us,
				       err);
	if (rc) {
		if (rows->served->series)
			sl_stats_add(&sl_inputs_answered(rows)->series->log_failures, 1);
		sl_disk_hint(err, err ? err->where : "", 0);
		return sl_error_context(err, "the prediction could not be logged");
	}
	struct sl_endpoint_stats *stats = sl_endpoint_stats(endpoint);
	stats->requests++;
	stats->rows += rows->count;
	stats->unseen += rows->unseen;
	stats->latency_us += (uint64_t)latency_us;
	stats->last_ms = sl_id_time_ms(&id);
	if (rows->served->series)
		count_answered(rows, started_ns);
	*ret_id = id;
	return 0;
}

int sl_predict_log_shadow(struct sl_inputs *rows, const struct sl_id *of, struct sl_error *err)
{
	const int64_t *times_ms;
	struct sl_id id;
	int rc = sl_id_new(&id, err);
	if (!rc)
		rc = event_times(rows, sl_id_time_ms(of), &times_ms, err);
	return rc ? rc
		  : sl_predlog_append_shadow(sl_endpoint_log(rows->served->endpoint), rows, &id, times_ms,
					     (uint32_t)((rows->computed_ns - rows->parsed_ns) / 1000), of, err);
}

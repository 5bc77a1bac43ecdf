#include "op/prediction.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_SHOWN = 20, READ_BYTES = 64 << 20 };

struct listing {
	struct sl_call *call;
	struct sl_arena *arena; /* of one record */
	const char *endpoint;
	struct entry { struct sl_id id; const char *endpoint; int64_t received_ms, version, rows, latency_us; } *entries;
	size_t count, room;
};

static int add_record(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct listing *list = context;
	struct sl_prediction prediction;
	if (list->count == list->room)
		return 1;
	sl_arena_reset(list->arena);
	int rc = sl_predlog_decode(record, list->arena, &prediction, err);
	if (rc)
		return rc;
	list->entries[list->count++] = (struct entry){prediction.id, list->endpoint, prediction.received_ms, prediction.version,
		(int64_t)prediction.row_count, prediction.latency_us};
	return 0;
}

/* The last records of one log; a log that is not there yet has none. */
static int read_tail(struct listing *list, struct sl_store *store, const char *endpoint, int64_t limit, struct sl_error *err)
{
	char name[160], path[SL_PATH_MAX];
	struct sl_stream *stream;
	sl_predlog_name(endpoint, name);
	int rc = sl_path_join(path, store->streams_dir, name, err);
	if (rc || !sl_dir_exists(path))
		return rc;
	rc = sl_stream_open_reader(store->streams_dir, name, &stream, err);
	if (rc)
		return rc;
	int64_t end = sl_stream_end_offset(stream), begin = sl_stream_begin_offset(stream),
		at = end - limit > begin ? end - limit : begin;
	list->endpoint = endpoint;
	while (!rc && at < end) {
		int64_t next = at;
		rc = sl_stream_read(stream, at, READ_BYTES, add_record, list, &next, err);
		if (next == at)
			break;
		at = next;
	}
	sl_stream_close(stream);
	return rc < 0 ? rc : 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return strcmp(y->id.text, x->id.text);
}

static void put_entries(struct sl_call *call, const struct listing *list, int64_t limit, yyjson_mut_val *items)
{
	qsort(list->entries, list->count, sizeof *list->entries, newest_first);
	for (size_t i = 0; i < list->count && (int64_t)i < limit; i++) {
		const struct entry *entry = &list->entries[i];
		yyjson_mut_val *item = sl_add_object(call, items);
		sl_put_text(call, item, "id", entry->id.text);
		sl_put_text(call, item, "endpoint", entry->endpoint);
		sl_put_int(call, item, "model_version", entry->version);
		sl_put_int(call, item, "rows", entry->rows);
		sl_put_time(call, item, "received", entry->received_ms);
		sl_put_int(call, item, "latency_us", entry->latency_us);
	}
}

int sl_predictions_list(struct sl_call *call, struct sl_store *store, const char *endpoint, int64_t limit, yyjson_mut_val *items,
	struct sl_error *err)
{
	struct sl_project *project;
	int rc = sl_call_project(call, &project, err);
	if (rc)
		return rc;
	if (endpoint && !sl_project_endpoint(project, endpoint))
		return sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no endpoint '%s'", endpoint);
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct listing list = {.call = call, .arena = arena};
	list.room = (size_t)limit * (endpoint ? 1 : project->endpoint_count);
	list.entries = sl_arena_array(call->arena, list.room + 1, sizeof *list.entries);
	if (!arena || !list.entries)
		return sl_fail_memory(err);
	for (size_t i = 0; i < project->endpoint_count && !rc; i++)
		if (!endpoint || strcmp(endpoint, project->endpoints[i].name) == 0)
			rc = read_tail(&list, store, project->endpoints[i].name, limit, err);
	put_entries(call, &list, limit, items);
	return rc;
}

static yyjson_mut_val *cell_json(struct sl_call *call, const struct sl_cell *cell)
{
	switch (cell->kind) {
	case SL_CELL_BOOL: return yyjson_mut_bool(call->doc, cell->b);
	case SL_CELL_INT: return yyjson_mut_sint(call->doc, cell->i);
	case SL_CELL_DOUBLE: return yyjson_mut_real(call->doc, cell->d);
	case SL_CELL_TEXT: return sl_call_json_text(call, sl_arena_strndup(call->arena, cell->text, cell->len));
	case SL_CELL_NULL: break;
	}
	return yyjson_mut_null(call->doc);
}

static yyjson_mut_val *margins_json(struct sl_call *call, const float *values, size_t margins, size_t step)
{
	if (margins == 1)
		return yyjson_mut_real(call->doc, (double)*values);
	yyjson_mut_val *list = yyjson_mut_arr(call->doc);
	for (size_t m = 0; m < margins; m++)
		yyjson_mut_arr_add_real(call->doc, list, (double)values[m * step]);
	return list;
}

/* As the caller got it; of several margins (classes) a list each. */
static void put_explained(struct sl_call *call, yyjson_mut_val *item, const struct sl_prediction *p, size_t row)
{
	size_t width = p->column_count + 1;
	const float *values = p->explained + row * p->margins * width;
	yyjson_mut_val *explained = sl_put_object(call, item, "explanation");
	yyjson_mut_obj_add_val(call->doc, explained, "base_value", margins_json(call, values + p->column_count, p->margins, width));
	yyjson_mut_val *shap = sl_put_object(call, explained, "shap_values");
	for (size_t c = 0; c < p->column_count; c++)
		yyjson_mut_obj_add(shap, sl_call_json_text(call, sl_arena_strndup(call->arena, p->columns[c].name, p->columns[c].name_len)),
			margins_json(call, values + c, p->margins, width));
}

static void put_row(struct sl_call *call, yyjson_mut_val *rows, const struct sl_prediction *p, size_t row)
{
	yyjson_mut_val *item = sl_add_object(call, rows);
	sl_put_int(call, item, "row", (int64_t)(p->first_row + row));
	if (p->times_ms)
		sl_put_time(call, item, "time", p->times_ms[row]);
	if (p->keys)
		yyjson_mut_obj_add_val(call->doc, item, "key", cell_json(call, &p->keys[row]));
	yyjson_mut_val *inputs = sl_put_object(call, item, "inputs");
	for (size_t c = 0; c < p->column_count; c++)
		yyjson_mut_obj_add(inputs,
			sl_call_json_text(call, sl_arena_strndup(call->arena, p->columns[c].name, p->columns[c].name_len)),
			cell_json(call, &p->columns[c].cells[row]));
	yyjson_mut_val *outputs = sl_put_array(call, item, "outputs");
	for (size_t o = 0; o < p->output_count; o++)
		yyjson_mut_arr_add_real(call->doc, outputs, (double)p->outputs[row * p->output_count + o]);
	if (p->explained)
		put_explained(call, item, p, row);
}

int sl_prediction_find(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_prediction *ret,
	char endpoint[160], struct sl_error *err)
{
	char id[300];
	int64_t offset;
	snprintf(id, sizeof id, ref->row >= 0 ? "%.250s#%d" : "%.250s", ref->name, ref->row);
	return sl_predlog_find(store, id, call->arena, ret, endpoint, &offset, err);
}

static void put_lookups(struct sl_call *call, yyjson_mut_val *out, const struct sl_prediction *p)
{
	char hex[SL_HASH_HEX + 1];
	yyjson_mut_val *lookups = p->lookup_count ? sl_put_object(call, out, "looked_up") : NULL;
	for (size_t i = 0; i < p->lookup_count; i++)
		sl_put_text(call, lookups, sl_arena_strndup(call->arena, p->lookups[i].dataset, p->lookups[i].dataset_len),
			sl_hash_hex(&p->lookups[i].version, hex));
}

int sl_prediction_show(
	struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_prediction prediction;
	char endpoint[160], hex[SL_HASH_HEX + 1];
	int rc = sl_prediction_find(call, store, ref, &prediction, endpoint, err);
	if (rc)
		return rc;
	sl_put_text(call, out, "id", prediction.id.text);
	sl_put_text(call, out, "endpoint", endpoint);
	sl_put_int(call, out, "model_version", prediction.version);
	sl_put_text(call, out, "package", sl_hash_hex(&prediction.package, hex));
	if (prediction.variant) {
		sl_put_text(call, out, "variant", sl_arena_strndup(call->arena, prediction.variant, prediction.variant_len));
		sl_put_text(call, out, "route", sl_route_reason_name(prediction.reason));
		if (prediction.reason == SL_ROUTE_FALLBACK)
			sl_put_text(call, out, "instead_of", sl_arena_strndup(call->arena, prediction.meant, prediction.meant_len));
		if (prediction.reason == SL_ROUTE_SHADOW)
			sl_put_text(call, out, "shadow_of", prediction.shadow_of.text);
	}
	put_lookups(call, out, &prediction);
	sl_put_time(call, out, "received", prediction.received_ms);
	sl_put_int(call, out, "latency_us", prediction.latency_us);
	yyjson_mut_val *rows = sl_put_array(call, out, "rows");
	size_t first = ref->row >= 0 ? (size_t)ref->row - prediction.first_row : 0;
	for (size_t i = first; i < prediction.row_count && i - first < (ref->row >= 0 ? 1 : ROWS_SHOWN); i++)
		put_row(call, rows, &prediction, i);
	return 0;
}

int sl_prediction_origin(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_lineage_prediction *ret,
	struct sl_error *err)
{
	struct sl_prediction p;
	char endpoint[160];
	int rc = sl_prediction_find(call, store, ref, &p, endpoint, err);
	if (rc)
		return rc;
	struct sl_lineage_lookup *lookups = sl_arena_array(call->arena, p.lookup_count + 1, sizeof *lookups);
	*ret = (struct sl_lineage_prediction){.id = sl_arena_strdup(call->arena, p.id.text), .package = p.package, .lookups = lookups,
		.lookup_count = p.lookup_count};
	for (size_t i = 0; lookups && i < p.lookup_count; i++) {
		lookups[i].version = p.lookups[i].version;
		lookups[i].dataset = sl_arena_strndup(call->arena, p.lookups[i].dataset, p.lookups[i].dataset_len);
		if (!lookups[i].dataset)
			return sl_fail_memory(err);
	}
	return lookups && ret->id ? 0 : sl_fail_memory(err);
}

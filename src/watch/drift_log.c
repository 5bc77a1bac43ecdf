/* One side of a comparison, out of an endpoint's prediction log. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/log.h"
#include "watch/drift_rows.h"

enum { READ_BYTES = 16 << 20, ARENA_BYTES = 256 << 20 };

struct reading {
	struct sl_drift_rows *rows;
	const struct sl_drift_columns *columns;
	struct sl_store *store;
	struct sl_arena *arena;  /* of one record */
	struct sl_arena *package_arena;
	struct sl_package package; /* of the last record: names of classes */
	int64_t from_ms, to_ms;
	struct sl_hash *model;
};

/* Where the record's columns and outputs go: indices of fields, -1 for nowhere. */
struct places { int *columns, *outputs; int segment; };

static int place(struct reading *r, const char *name, size_t len, enum sl_drift_role role, int *ret, struct sl_error *err)
{
	*ret = -1;
	if (role == SL_DRIFT_INPUT && !sl_drift_wanted(r->columns, name, len))
		return 0;
	*ret = sl_drift_field(r->rows, name, len);
	if (*ret < 0 && (*ret = sl_drift_add_field(r->rows, name, len, role, err)) < 0)
		return SL_E_TOO_LARGE;
	return 0;
}

static int know_package(struct reading *r, const struct sl_hash *hash, struct sl_error *err)
{
	if (sl_hash_eq(hash, &r->package.hash))
		return 0;
	sl_arena_reset(r->package_arena);
	*r->model = *hash;
	return sl_package_read(r->store->objects, hash, r->package_arena, &r->package, err);
}

static int find_places(struct reading *r, const struct sl_prediction *p, struct places *ret, struct sl_error *err)
{
	int rc = know_package(r, &p->package, err);
	ret->columns = rc ? NULL : sl_arena_array(r->arena, p->column_count + 1, sizeof(int));
	ret->outputs = rc ? NULL : sl_arena_array(r->arena, p->output_count + 1, sizeof(int));
	ret->segment = -1;
	if (!ret->columns || !ret->outputs)
		return rc ? rc : sl_fail_memory(err);
	for (size_t c = 0; c < p->column_count && !rc; c++) {
		const struct sl_logged_column *column = &p->columns[c];
		ret->columns[c] = -1;
		if (r->columns->segment && strlen(r->columns->segment) == column->name_len &&
			memcmp(r->columns->segment, column->name, column->name_len) == 0)
			ret->segment = (int)c;
		if (!column->hashed)
			rc = place(r, column->name, column->name_len, sl_drift_role_of(r->columns, column->name, column->name_len), &ret->columns[c], err);
	}
	for (size_t o = 0; o < p->output_count && !rc; o++) {
		const char *name = p->output_count > 1 && o < r->package.class_count ? sl_arena_printf(r->arena, "prediction %s", r->package.classes[o])
										  : "prediction";
		if (!name)
			return sl_fail_memory(err);
		rc = place(r, name, strlen(name), SL_DRIFT_PREDICTION, &ret->outputs[o], err);
	}
	return rc;
}

/* A value of another kind than the column's first one counts as missing. */
static int add_cell(struct sl_drift_rows *rows, struct sl_drift_group *group, int field, const struct sl_cell *cell)
{
	bool text = cell->kind == SL_CELL_TEXT;
	if (cell->kind != SL_CELL_NULL && !rows->fields[field].known)
		sl_drift_know(rows, (size_t)field, text ? SL_DRIFT_TEXT : SL_DRIFT_NUMBER);
	struct sl_distribution *d = &group->columns[field];
	if (cell->kind == SL_CELL_NULL || d->texts != text) {
		sl_distribution_add_missing(d);
		return 0;
	}
	switch (cell->kind) {
	case SL_CELL_TEXT: return sl_distribution_add_text(d, cell->text, cell->len);
	case SL_CELL_BOOL: return sl_distribution_add_number(d, cell->b);
	case SL_CELL_INT: return sl_distribution_add_number(d, (double)cell->i);
	default: return sl_distribution_add_number(d, cell->d);
	}
}

static int add_row(struct sl_drift_rows *rows, struct sl_drift_group *group, const struct sl_prediction *p, size_t row, const struct places *places)
{
	int rc = 0;
	group->rows++;
	for (size_t c = 0; c < p->column_count && !rc; c++)
		if (places->columns[c] >= 0)
			rc = add_cell(rows, group, places->columns[c], &p->columns[c].cells[row]);
	for (size_t o = 0; o < p->output_count && !rc; o++) {
		struct sl_cell answer = {.kind = SL_CELL_DOUBLE, .d = (double)p->outputs[row * p->output_count + o]};
		rc = add_cell(rows, group, places->outputs[o], &answer);
	}
	return rc;
}

static float float_of(const struct sl_cell *cell)
{
	switch (cell->kind) {
	case SL_CELL_TEXT: return sl_drift_sample_text(cell->text, cell->len);
	case SL_CELL_BOOL: return cell->b;
	case SL_CELL_INT: return (float)cell->i;
	case SL_CELL_DOUBLE: return (float)cell->d;
	default: return NAN;
	}
}

/* A column that comes after the first row is not sampled. */
static int sample_row(struct sl_drift_rows *rows, const struct sl_prediction *p, size_t row, const struct places *places)
{
	float values[SL_DRIFT_COLUMNS_MAX];
	if (!rows->sample.rows && !sl_drift_sample_begin(&rows->sample, rows->field_count))
		return SL_E_NO_MEMORY;
	if (!sl_drift_sample_wants(&rows->sample))
		return 0;
	for (size_t i = 0; i < rows->sample.features; i++)
		values[i] = NAN;
	for (size_t c = 0; c < p->column_count; c++)
		if (places->columns[c] >= 0 && (size_t)places->columns[c] < rows->sample.features)
			values[places->columns[c]] = float_of(&p->columns[c].cells[row]);
	sl_drift_sample_keep(&rows->sample, values);
	return 0;
}

static struct sl_drift_group *segment_of(struct sl_drift_rows *rows, const struct sl_cell *cell)
{
	char text[32];
	switch (cell->kind) {
	case SL_CELL_TEXT: return sl_drift_group(rows, cell->text, cell->len);
	case SL_CELL_BOOL: return sl_drift_group(rows, cell->b ? "true" : "false", cell->b ? 4 : 5);
	case SL_CELL_INT: return sl_drift_group(rows, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)cell->i));
	case SL_CELL_DOUBLE: return sl_drift_group(rows, text, (size_t)snprintf(text, sizeof text, "%.15g", cell->d));
	default: return sl_drift_group(rows, NULL, 0);
	}
}

static int visit(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct reading *r = context;
	struct sl_prediction p;
	struct places places;
	sl_arena_reset(r->arena);
	int rc = sl_predlog_decode(record, r->arena, &p, err);
	if (!rc)
		rc = find_places(r, &p, &places, err);
	for (size_t row = 0; row < p.row_count && !rc; row++) {
		int64_t time_ms = p.times_ms ? p.times_ms[row] : p.received_ms;
		if (time_ms < r->from_ms || time_ms >= r->to_ms)
			continue;
		rc = add_row(r->rows, &r->rows->groups[0], &p, row, &places);
		if (!rc && r->rows->sampled)
			rc = sample_row(r->rows, &p, row, &places);
		struct sl_drift_group *segment = places.segment >= 0 && !rc ? segment_of(r->rows, &p.columns[places.segment].cells[row]) : NULL;
		if (rc || (places.segment >= 0 && !segment) || (segment && add_row(r->rows, segment, &p, row, &places)))
			return sl_fail_memory(err);
	}
	return rc;
}

/* A record's time is the greatest of its rows': none of the window's lies before the first record that reaches it. */
static int read_stream(struct reading *r, struct sl_stream *stream, struct sl_error *err)
{
	int64_t offset = sl_stream_begin_offset(stream), next = offset;
	int rc = r->from_ms == INT64_MIN ? 0 : sl_stream_find_time(stream, r->from_ms, &next, err);
	while (!rc && next < sl_stream_end_offset(stream)) {
		offset = next;
		rc = sl_stream_read(stream, offset, READ_BYTES, visit, r, &next, err);
		if (next == offset)
			break;
	}
	return rc;
}

int sl_drift_read_log(struct sl_store *store, const char *endpoint, int64_t from_ms, int64_t to_ms, const struct sl_drift_columns *columns,
		      struct sl_drift_rows *ret, struct sl_hash *ret_model, struct sl_error *err)
{
	char name[160];
	struct sl_stream *stream;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(ARENA_BYTES, err);
	struct sl_arena *package_arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct reading r = {.rows = ret, .columns = columns, .store = store, .arena = arena, .package_arena = package_arena, .from_ms = from_ms,
			    .to_ms = to_ms, .model = ret_model};
	*ret_model = (struct sl_hash){0};
	if (!arena || !package_arena)
		return SL_E_NO_MEMORY;
	sl_predlog_name(endpoint, name);
	int rc = sl_stream_open_reader(store->streams_dir, name, &stream, err);
	if (rc)
		return rc;
	rc = read_stream(&r, stream, err);
	sl_stream_close(stream);
	return rc;
}

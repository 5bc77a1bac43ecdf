/* One side of a comparison: fields, groups, and the rows of a table. */
#include "watch/drift_rows.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "data/engine.h"

const char *sl_drift_role_name(enum sl_drift_role role)
{
	static const char *const NAMES[] = {"input", "prediction", "label"};
	return NAMES[role];
}

void sl_drift_rows_init(struct sl_drift_rows *rows, struct sl_arena *arena)
{
	*rows = (struct sl_drift_rows){.arena = arena, .group_count = 1, .prediction = -1, .label = -1};
	rows->groups[0].segment = "";
}

void sl_drift_rows_done(struct sl_drift_rows *rows)
{
	for (size_t g = 0; g < rows->group_count; g++) {
		for (size_t i = 0; rows->groups[g].columns && i < rows->field_count; i++)
			sl_distribution_done(&rows->groups[g].columns[i]);
		sl_free(rows->groups[g].columns);
		sl_drift_quality_free(rows->groups[g].quality);
	}
	rows->group_count = 0;
	sl_drift_sample_done(&rows->sample);
}

static bool same(const char *name, const char *text, size_t len) { return strlen(name) == len && memcmp(name, text, len) == 0; }

int sl_drift_field(const struct sl_drift_rows *rows, const char *name, size_t name_len)
{
	for (size_t i = 0; i < rows->field_count; i++)
		if (same(rows->fields[i].name, name, name_len))
			return (int)i;
	return -1;
}

/* Segments keep fewer values one by one and coarser sketches: there may be 34 for each column. */
static void begin_distribution(const struct sl_drift_rows *rows, size_t group, size_t field)
{
	struct sl_distribution *d = &rows->groups[group].columns[field];
	d->texts = rows->fields[field].kind == SL_DRIFT_TEXT;
	d->exact_max = group ? 512 : 0;
	d->level_size = group ? 512 : 0;
}

void sl_drift_know(struct sl_drift_rows *rows, size_t field, enum sl_drift_kind kind)
{
	rows->fields[field].kind = kind;
	rows->fields[field].known = true;
	for (size_t g = 0; g < rows->group_count; g++)
		begin_distribution(rows, g, field);
}

static bool grow(struct sl_drift_rows *rows)
{
	size_t room = rows->field_room ? rows->field_room * 2 : 64;
	struct sl_drift_field *fields = sl_arena_array(rows->arena, room, sizeof *fields);
	if (!fields)
		return false;
	if (rows->field_count)
		memcpy(fields, rows->fields, rows->field_count * sizeof *fields);
	rows->fields = fields;
	for (size_t g = 0; g < rows->group_count; g++) {
		struct sl_distribution *columns = sl_realloc(rows->groups[g].columns, room * sizeof *columns, NULL);
		if (!columns)
			return false;
		memset(columns + rows->field_count, 0, (room - rows->field_count) * sizeof *columns);
		rows->groups[g].columns = columns;
	}
	rows->field_room = room;
	return true;
}

int sl_drift_add_field(struct sl_drift_rows *rows, const char *name, size_t name_len, enum sl_drift_role role, struct sl_error *err)
{
	if (rows->field_count == SL_DRIFT_COLUMNS_MAX) {
		sl_fail(err, SL_E_TOO_LARGE, "there are more than %d columns", SL_DRIFT_COLUMNS_MAX);
		sl_error_hint(err, "say which: --column NAME");
		return -1;
	}
	char *copy = sl_arena_strndup(rows->arena, name, name_len);
	if (!copy || (rows->field_count == rows->field_room && !grow(rows))) {
		sl_fail_memory(err);
		return -1;
	}
	rows->fields[rows->field_count] = (struct sl_drift_field){.name = copy, .role = role};
	for (size_t g = 0; g < rows->group_count; g++)
		begin_distribution(rows, g, rows->field_count);
	return (int)rows->field_count++;
}

enum sl_drift_role sl_drift_role_of(const struct sl_drift_columns *columns, const char *name, size_t name_len)
{
	if (columns->prediction && same(columns->prediction, name, name_len))
		return SL_DRIFT_PREDICTION;
	return columns->label && same(columns->label, name, name_len) ? SL_DRIFT_LABEL : SL_DRIFT_INPUT;
}

bool sl_drift_wanted(const struct sl_drift_columns *columns, const char *name, size_t name_len)
{
	for (size_t i = 0; i < columns->only_count; i++)
		if (same(columns->only[i], name, name_len))
			return true;
	return !columns->only_count || sl_drift_role_of(columns, name, name_len) != SL_DRIFT_INPUT;
}

/* ---- segments ---------------------------------------------------------------------------------------------------------- */

static struct sl_drift_group *add_group(struct sl_drift_rows *rows, struct sl_drift_group group)
{
	group.columns = sl_alloc_array(rows->field_room + 1, sizeof *group.columns, NULL);
	if (!group.columns || !group.segment) {
		sl_free(group.columns);
		return NULL;
	}
	rows->groups[rows->group_count++] = group;
	for (size_t i = 0; i < rows->field_count; i++)
		begin_distribution(rows, rows->group_count - 1, i);
	return &rows->groups[rows->group_count - 1];
}

struct sl_drift_group *sl_drift_group(struct sl_drift_rows *rows, const char *value, size_t len)
{
	size_t values = 0;
	struct sl_drift_group *others = NULL;

	for (size_t g = 1; g < rows->group_count; g++) {
		struct sl_drift_group *group = &rows->groups[g];
		if (value ? !group->missing && !group->others && same(group->segment, value, len) : group->missing)
			return group;
		values += !group->missing && !group->others;
		others = group->others ? group : others;
	}
	if (!value)
		return add_group(rows, (struct sl_drift_group){.segment = "", .missing = true});
	if (values < SL_DRIFT_SEGMENTS_MAX)
		return add_group(rows, (struct sl_drift_group){.segment = sl_arena_strndup(rows->arena, value, len)});
	return others ? others : add_group(rows, (struct sl_drift_group){.segment = "", .others = true});
}

int sl_drift_share_segments(const struct sl_drift_rows *from, struct sl_drift_rows *to, struct sl_error *err)
{
	for (size_t g = 1; g < from->group_count; g++) {
		const struct sl_drift_group *group = &from->groups[g];
		if (!add_group(to, (struct sl_drift_group){.segment = sl_arena_strdup(to->arena, group->segment), .missing = group->missing, .others = group->others}))
			return sl_fail_memory(err);
	}
	return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------------ */

static int find_columns(const struct sl_staged *table, const struct sl_drift_columns *columns, struct sl_drift_rows *rows, struct sl_error *err)
{
	for (size_t i = 0; i < table->column_count; i++) {
		const char *name = table->columns[i].name;
		if (!sl_profile_counted_only(table->columns[i].type) && sl_drift_wanted(columns, name, strlen(name)) &&
			sl_drift_add_field(rows, name, strlen(name), sl_drift_role_of(columns, name, strlen(name)), err) < 0)
			return SL_E_TOO_LARGE;
	}
	return 0;
}

/* Asked for by name, so it must be there. */
static int check_named(const struct sl_staged *table, const struct sl_drift_columns *columns, struct sl_error *err)
{
	const char *names[SL_DRIFT_COLUMNS_MAX + 1];
	size_t known = 0;

	for (; known < table->column_count && known < SL_ARRAY_LEN(names); known++)
		names[known] = table->columns[known].name;
	for (size_t i = 0; i <= columns->only_count; i++) {
		const char *name = i < columns->only_count ? columns->only[i] : columns->segment;
		size_t at = 0;
		while (name && at < table->column_count && !sl_str_eq(table->columns[at].name, name))
			at++;
		if (!name || at < table->column_count)
			continue;
		const char *nearest = sl_str_nearest(name, names, known);
		sl_fail(err, SL_E_NOT_FOUND, "there is no column '%.200s'", name);
		return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_NOT_FOUND;
	}
	return 0;
}

static int write_query(const struct sl_staged *table, const struct sl_drift_columns *columns, const struct sl_drift_rows *rows, struct sl_buf *out,
		       struct sl_error *err)
{
	sl_buf_str(out, "SELECT ");
	for (size_t i = 0; i < rows->field_count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_name(out, rows->fields[i].name);
	}
	if (columns->segment) {
		sl_buf_str(out, ", CAST(");
		sl_sql_quote_name(out, columns->segment);
		sl_buf_str(out, " AS VARCHAR)");
	}
	sl_buf_str(out, " FROM read_parquet([");
	for (size_t i = 0; i < table->file_count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, table->files[i].path);
	}
	sl_buf_str(out, "], hive_partitioning = false)");
	return sl_buf_check(out, "the columns to compare", err);
}

/* The chunk's rows of each segment together: `order` are their indices, group by group, `ends` where each group's end. */
struct split { uint32_t order[SL_PROFILE_CHUNK], ends[SL_DRIFT_SEGMENTS_MAX + 4]; };

static int split_rows(struct sl_drift_rows *rows, const struct sl_sql_column *segment, size_t count, struct split *ret)
{
	unsigned char group_of[SL_PROFILE_CHUNK];
	uint32_t next[SL_DRIFT_SEGMENTS_MAX + 4] = {0};

	memset(ret->ends, 0, sizeof ret->ends);
	for (size_t i = 0; i < count; i++) {
		bool here = !segment->valid || segment->valid[i];
		const struct sl_drift_group *group = sl_drift_group(rows, here ? segment->texts[i].data : NULL, here ? segment->texts[i].len : 0);
		if (!group)
			return SL_E_NO_MEMORY;
		group_of[i] = (unsigned char)(group - rows->groups);
		ret->ends[group_of[i]]++;
	}
	for (size_t g = 1; g < rows->group_count; g++) {
		next[g] = ret->ends[g - 1];
		ret->ends[g] += ret->ends[g - 1];
	}
	for (size_t i = 0; i < count; i++)
		ret->order[next[group_of[i]]++] = (uint32_t)i;
	return 0;
}

static double number_at(const struct sl_sql_column *column, size_t row)
{
	if (column->valid && !column->valid[row])
		return NAN;
	switch (column->kind) {
	case SL_SQL_BOOL: return column->bools[row];
	case SL_SQL_INT: return (double)column->ints[row];
	case SL_SQL_DOUBLE: return column->doubles[row];
	default: return NAN;
	}
}

/* Answers beside what turned out; `order` NULL: the chunk's rows as they stand. */
static int add_quality(const struct sl_drift_rows *rows, struct sl_drift_group *group, const struct sl_sql_column *columns, const uint32_t *order,
		       size_t count)
{
	if (rows->prediction < 0)
		return 0;
	if (!group->quality && !(group->quality = sl_alloc(sizeof *group->quality, NULL)))
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		size_t row = order ? order[i] : i;
		if (!sl_drift_quality_add(group->quality, number_at(&columns[rows->prediction], row), number_at(&columns[rows->label], row)))
			return SL_E_NO_MEMORY;
	}
	return 0;
}

/* The one answer and the one label that are numbers. */
static void find_pair(struct sl_drift_rows *rows)
{
	int found[2] = {-1, -1};
	for (size_t i = 0; i < rows->field_count; i++)
		if (rows->fields[i].kind == SL_DRIFT_NUMBER && rows->fields[i].role != SL_DRIFT_INPUT)
			found[rows->fields[i].role == SL_DRIFT_LABEL] = (int)i;
	bool both = found[0] >= 0 && found[1] >= 0;
	rows->prediction = both ? found[0] : -1;
	rows->label = both ? found[1] : -1;
}

static int add_segments(struct sl_drift_rows *rows, const struct sl_sql_column *columns, size_t count)
{
	struct split split;
	int rc = split_rows(rows, &columns[rows->field_count], count, &split);

	for (size_t g = 1; g < rows->group_count && rc == 0; g++) {
		uint32_t from = split.ends[g - 1], n = split.ends[g] - from;
		rows->groups[g].rows += n;
		for (size_t i = 0; i < rows->field_count && n && rc == 0; i++)
			rc = sl_distribution_add(&rows->groups[g].columns[i], &columns[i], split.order + from, n);
		rc = rc ? rc : add_quality(rows, &rows->groups[g], columns, split.order + from, n);
	}
	return rc;
}

static float float_at(const struct sl_sql_column *column, size_t row)
{
	if (column->valid && !column->valid[row])
		return NAN;
	switch (column->kind) {
	case SL_SQL_TEXT: return sl_drift_sample_text(column->texts[row].data, column->texts[row].len);
	case SL_SQL_DOUBLE: return (float)column->doubles[row];
	case SL_SQL_BOOL: return column->bools[row];
	default: return (float)column->ints[row];
	}
}

static int sample_chunk(struct sl_drift_rows *rows, const struct sl_sql_column *columns, size_t count)
{
	float values[SL_DRIFT_COLUMNS_MAX];
	if (!rows->sample.rows && !sl_drift_sample_begin(&rows->sample, rows->field_count))
		return SL_E_NO_MEMORY;
	for (size_t row = 0; row < count; row++) {
		if (!sl_drift_sample_wants(&rows->sample))
			continue;
		for (size_t i = 0; i < rows->field_count; i++)
			values[i] = float_at(&columns[i], row);
		sl_drift_sample_keep(&rows->sample, values);
	}
	return 0;
}

static int add_chunk(struct sl_drift_rows *rows, const struct sl_sql_column *columns, size_t count, bool segments)
{
	int rc = 0;

	rows->groups[0].rows += count;
	for (size_t i = 0; i < rows->field_count && rc == 0; i++)
		rc = sl_distribution_add(&rows->groups[0].columns[i], &columns[i], NULL, count);
	rc = rc ? rc : add_quality(rows, &rows->groups[0], columns, NULL, count);
	if (rc == 0 && rows->sampled)
		rc = sample_chunk(rows, columns, count);
	return rc == 0 && segments ? add_segments(rows, columns, count) : rc;
}

int sl_drift_read_table(struct sl_sql *sql, const struct sl_staged *table, const struct sl_drift_columns *columns, struct sl_drift_rows *ret,
			struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	const struct sl_sql_column *chunk;
	size_t count;
	int rc = check_named(table, columns, err);

	if (rc < 0 || (rc = find_columns(table, columns, ret, err)) < 0)
		return rc;
	if (!ret->field_count)
		return sl_fail(err, SL_E_INVALID, "there is no column that could be compared");
	if ((rc = write_query(table, columns, ret, &text, err)) < 0 || (rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, "", &result, err)) < 0)
		return rc;
	for (size_t i = 0; i < ret->field_count; i++) {
		enum sl_sql_kind kind = sl_sql_column_kind(result, i);
		sl_drift_know(ret, i, kind == SL_SQL_TEXT ? SL_DRIFT_TEXT : kind == SL_SQL_TIME ? SL_DRIFT_TIME : SL_DRIFT_NUMBER);
	}
	find_pair(ret);
	while ((rc = sl_sql_next(result, &chunk, &count, err)) == 1)
		if (add_chunk(ret, chunk, count, columns->segment != NULL) < 0)
			return sl_fail_memory(err);
	return rc;
}

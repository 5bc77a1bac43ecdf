#include "learn/rows.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "learn/category.h"

void sl_rows_done(struct sl_rows *rows)
{
	for (size_t i = 0; i < rows->piece_count; i++) {
		void *memory = (void *)(uintptr_t)rows->pieces[i].rows; /* const for the trainer, ours here */
		sl_free(memory);
	}
	sl_free(rows->pieces);
	sl_free(rows->labels);
	sl_free(rows->weights);
	*rows = (struct sl_rows){0};
}

static float *piece_memory(const struct sl_train_piece *piece) { return (float *)(uintptr_t)piece->rows; }

static int add_piece(struct sl_rows *rows, size_t least, struct sl_error *err)
{
	if (rows->piece_count == rows->piece_cap) {
		size_t cap = rows->piece_cap ? rows->piece_cap * 2 : 16;
		struct sl_train_piece *pieces = sl_realloc(rows->pieces, cap * sizeof *pieces, err);
		if (!pieces)
			return SL_E_NO_MEMORY;
		rows->pieces = pieces;
		rows->piece_cap = cap;
	}
	size_t room = SL_ROWS_PIECE_BYTES / sizeof(float) / rows->features;
	rows->piece_rows = room < least ? least : room;
	float *memory = sl_alloc_array(rows->piece_rows, rows->features * sizeof(float), err);
	if (!memory)
		return SL_E_NO_MEMORY;
	rows->pieces[rows->piece_count++] = (struct sl_train_piece){memory, 0};
	return 0;
}

/* Room for `more` rows side by side: *ret_rows and the labels and weights from `count` on. */
static int reserve(struct sl_rows *rows, size_t more, bool weighted, float **ret_rows, struct sl_error *err)
{
	struct sl_train_piece *last = rows->piece_count ? &rows->pieces[rows->piece_count - 1] : NULL;
	if (!last || rows->piece_rows - last->row_count < more) {
		int rc = add_piece(rows, more, err);
		if (rc)
			return rc;
		last = &rows->pieces[rows->piece_count - 1];
	}
	*ret_rows = piece_memory(last) + last->row_count * rows->features;
	if (rows->count + more <= rows->cap)
		return 0;
	size_t cap = rows->cap * 2 > rows->count + more ? rows->cap * 2 : rows->count + more + 65536;
	float *labels = sl_realloc(rows->labels, cap * sizeof *labels, err);
	if (!labels)
		return SL_E_NO_MEMORY;
	rows->labels = labels;
	float *weights = weighted ? sl_realloc(rows->weights, cap * sizeof *weights, err) : NULL;
	if (weighted && !weights)
		return SL_E_NO_MEMORY;
	rows->weights = weights;
	rows->cap = cap;
	return 0;
}

static void commit(struct sl_rows *rows, size_t more)
{
	rows->pieces[rows->piece_count - 1].row_count += more;
	rows->count += more;
}

/* ---- one pass over the table ---- */

/* Columns of the query: the features in order, then target, weight if any, validation if any. */
struct reader {
	const struct sl_rows_request *request;
	struct sl_sql_result *result;
	size_t features;
	bool weighted, split;
	struct sl_category_set **sets; /* per feature, and one more for the target; NULL where it is no text */
	struct sl_rows_result *ret;
	struct sl_error *err;
};

static void add_expression(struct sl_buf *sql, const char *before, const char *expression, const char *after)
{
	/* On lines of its own, so that a comment at its end cannot swallow what follows. */
	sl_buf_str(sql, before);
	sl_buf_str(sql, expression);
	sl_buf_str(sql, after);
}

static int write_query(const struct sl_rows_request *request, struct sl_buf *sql, struct sl_error *err)
{
	sl_buf_str(sql, "SELECT ");
	for (size_t i = 0; i < request->features->count; i++) {
		sl_sql_quote_name(sql, request->features->items[i]);
		sl_buf_str(sql, ", ");
	}
	sl_sql_quote_name(sql, request->target);
	if (*request->weight) {
		sl_buf_str(sql, ", ");
		sl_sql_quote_name(sql, request->weight);
	}
	if (*request->validation)
		add_expression(sql, ", (\n", request->validation, "\n) IS TRUE");
	sl_buf_str(sql, " FROM ");
	sl_sql_quote_name(sql, request->table->name);
	if (*request->where)
		add_expression(sql, " WHERE (\n", request->where, "\n)");
	return sl_buf_check(sql, "the query", err);
}

static const char *column_name(const struct reader *reader, size_t column)
{
	const struct sl_rows_request *request = reader->request;
	if (column < reader->features)
		return request->features->items[column];
	return column == reader->features ? request->target : request->weight;
}

static int add_texts(struct reader *reader, size_t column, const struct sl_sql_column *from, size_t rows,
		     const unsigned char *held_out, float *to, size_t stride)
{
	for (size_t i = 0; i < rows; i++) {
		uint32_t number = 0;
		to[i * stride] = NAN;
		if (from->valid && !from->valid[i])
			continue;
		int rc = sl_category_set_add(reader->sets[column], from->texts[i].data, from->texts[i].len, !held_out[i], &number,
					     reader->err);
		if (rc) {
			sl_error_context(reader->err, "column '%s'", column_name(reader, column));
			return rc;
		}
		to[i * stride] = (float)number;
	}
	return 0;
}

/* Any column into floats: text as provisional numbers. */
static int add_column(struct reader *reader, size_t column, const struct sl_sql_column *from, size_t rows,
		      const unsigned char *held_out, float *to, size_t stride)
{
	if (reader->sets[column])
		return add_texts(reader, column, from, rows, held_out, to, stride);
	struct sl_feature plain = {.name = column_name(reader, column), .type = "", .kind = from->kind};
	return sl_encode_column(&plain, from, rows, to, stride, NULL, reader->err);
}

static int check_labels(struct reader *reader, const float *labels, const float *weights, size_t rows)
{
	for (size_t i = 0; i < rows; i++)
		if (isnan(labels[i])) {
			sl_fail(reader->err, SL_E_INVALID, "target '%s' is null or not a number in a training row",
				reader->request->target);
			return sl_error_hint(reader->err, "leave such rows out: where: \"%s is not null\"",
					     reader->request->target);
		}
	for (size_t i = 0; weights && i < rows; i++)
		if (!(weights[i] >= 0 && isfinite(weights[i])))
			return sl_fail(reader->err, SL_E_INVALID, "weight '%s' is null, negative or not finite in a training row",
				       reader->request->weight);
	return 0;
}

/* A chunk whose rows are all of one set, straight into it. */
static int add_to(struct reader *reader, struct sl_rows *rows, const struct sl_sql_column *columns, size_t count,
		  const unsigned char *held_out)
{
	float *to;
	size_t features = reader->features;
	int rc = reserve(rows, count, reader->weighted, &to, reader->err);
	for (size_t f = 0; f < features && !rc; f++)
		rc = add_column(reader, f, &columns[f], count, held_out, to + f, features);
	if (!rc)
		rc = add_column(reader, features, &columns[features], count, held_out, rows->labels + rows->count, 1);
	if (!rc && reader->weighted) {
		struct sl_feature plain = {.name = reader->request->weight, .type = "", .kind = columns[features + 1].kind};
		rc = sl_encode_column(&plain, &columns[features + 1], count, rows->weights + rows->count, 1, NULL, reader->err);
	}
	if (!rc)
		rc = check_labels(reader, rows->labels + rows->count, reader->weighted ? rows->weights + rows->count : NULL,
				  count);
	if (!rc)
		commit(rows, count);
	return rc;
}

/* The rows of one set, moved out of the mixed ones at the end of `from`. */
static int take_part(const struct sl_rows *from, size_t count, const unsigned char *held_out, unsigned char wanted,
		     struct sl_rows *to, struct sl_error *err)
{
	float *rows;
	size_t n = 0, base = from->count - count, features = from->features;
	const float *mixed = from->pieces[from->piece_count - 1].rows +
			     (from->pieces[from->piece_count - 1].row_count - count) * features;
	int rc = reserve(to, count, from->weights != NULL, &rows, err);
	for (size_t i = 0; i < count && !rc; i++) {
		if (held_out[i] != wanted)
			continue;
		memcpy(rows + n * features, mixed + i * features, features * sizeof *rows);
		to->labels[to->count + n] = from->labels[base + i];
		if (from->weights)
			to->weights[to->count + n] = from->weights[base + i];
		n++;
	}
	if (!rc)
		commit(to, n);
	return rc;
}

static int add_chunk(struct reader *reader, struct sl_rows *mixed, const struct sl_sql_column *columns, size_t count)
{
	enum { CHUNK_MAX = 65536 };
	static const unsigned char none[CHUNK_MAX];
	size_t flag = reader->features + 1 + reader->weighted, out = 0;
	if (count > CHUNK_MAX)
		return sl_fail(reader->err, SL_E_BUG, "a chunk of %zu rows", count);
	const unsigned char *held_out = reader->split ? (const unsigned char *)columns[flag].bools : none;
	for (size_t i = 0; i < count; i++)
		out += held_out[i];
	if (out == 0 || out == count)
		return add_to(reader, out ? &reader->ret->validation : &reader->ret->train, columns, count, held_out);
	/* Both kinds in one chunk: through `mixed`, which is emptied again. */
	mixed->count = 0;
	if (mixed->piece_count)
		mixed->pieces[mixed->piece_count - 1].row_count = 0;
	int rc = add_to(reader, mixed, columns, count, held_out);
	if (!rc)
		rc = take_part(mixed, count, held_out, 0, &reader->ret->train, reader->err);
	return rc ? rc : take_part(mixed, count, held_out, 1, &reader->ret->validation, reader->err);
}

static int prepare_column(struct reader *reader, size_t column, struct sl_arena *arena)
{
	enum sl_sql_kind kind = sl_sql_column_kind(reader->result, column);
	if (kind == SL_SQL_TEXT && !(reader->sets[column] = sl_category_set_new(reader->err)))
		return SL_E_NO_MEMORY;
	if (column == reader->features) {
		reader->ret->target_kind = kind;
		if (kind == SL_SQL_TIME)
			return sl_fail(reader->err, SL_E_INVALID, "target '%s' is a time, which cannot be learnt",
				       reader->request->target);
		return 0;
	}
	struct sl_feature *feature = &reader->ret->features[column];
	*feature = (struct sl_feature){
		.name = sl_arena_strdup(arena, reader->request->features->items[column]),
		.type = sl_arena_strdup(arena, sl_sql_column_type(reader->result, column)),
		.encoding = kind == SL_SQL_TEXT ? SL_ENCODE_CATEGORY : SL_ENCODE_NUMBER,
		.kind = kind,
	};
	return feature->name && feature->type ? 0 : sl_fail_memory(reader->err);
}

static int read_all(struct reader *reader, struct sl_arena *arena)
{
	struct sl_rows mixed SL_CLEANUP(sl_rows_done) = {.features = reader->features};
	const struct sl_sql_column *columns;
	size_t count;
	int rc = 0;
	for (size_t c = 0; c <= reader->features && !rc; c++)
		rc = prepare_column(reader, c, arena);
	size_t weight = reader->features + 1;
	if (!rc && reader->weighted && sl_sql_column_kind(reader->result, weight) > SL_SQL_DOUBLE)
		rc = sl_fail(reader->err, SL_E_INVALID, "weight '%s' is not a number", reader->request->weight);
	while (!rc && (rc = sl_sql_next(reader->result, &columns, &count, reader->err)) == 1)
		rc = add_chunk(reader, &mixed, columns, count);
	return rc;
}

/* ---- the end: provisional numbers to dictionary indexes ---- */

static void renumber(struct sl_rows *rows, size_t feature, const int32_t *place)
{
	for (size_t p = 0; p < rows->piece_count; p++) {
		float *x = piece_memory(&rows->pieces[p]) + feature;
		for (size_t i = 0; i < rows->pieces[p].row_count; i++, x += rows->features)
			if (!isnan(*x))
				*x = place[(size_t)*x] < 0 ? NAN : (float)place[(size_t)*x];
	}
}

static int renumber_labels(struct sl_rows *rows, const int32_t *place, const char *target, struct sl_error *err)
{
	for (size_t i = 0; i < rows->count; i++) {
		int32_t index = place[(size_t)rows->labels[i]];
		if (index < 0)
			return sl_fail(err, SL_E_INVALID,
				       "target '%s' has a value in the validation rows that no training row has", target);
		rows->labels[i] = (float)index;
	}
	return 0;
}

static int finish(struct reader *reader, struct sl_arena *arena)
{
	struct sl_rows_result *ret = reader->ret;
	for (size_t f = 0; f <= reader->features; f++) {
		const struct sl_dictionary *dictionary;
		int32_t *place;
		uint64_t *counts;
		if (!reader->sets[f])
			continue;
		int rc = sl_category_set_sort(reader->sets[f], arena, &dictionary, &place, &counts, reader->err);
		if (rc)
			return rc;
		if (f == reader->features) {
			ret->target_values = dictionary;
			rc = renumber_labels(&ret->train, place, reader->request->target, reader->err);
			return rc ? rc : renumber_labels(&ret->validation, place, reader->request->target, reader->err);
		}
		ret->features[f].dictionary = dictionary;
		ret->category_counts[f] = counts;
		renumber(&ret->train, f, place);
		renumber(&ret->validation, f, place);
	}
	return 0;
}

static int read_rows(const struct sl_rows_request *request, struct reader *reader, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_sql_options options = {
		.tables = request->table,
		.table_count = 1,
		.memory_bytes = request->memory_bytes,
		.threads = request->threads,
		.cancel = request->cancel,
		.progress = request->progress,
		.progress_context = request->progress_context,
	};
	struct sl_buf query SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(4 << 20);
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	int rc = write_query(request, &query, err);
	if (rc || (rc = sl_sql_open(&options, &sql, err)) ||
	    (rc = sl_sql_query(sql, sl_buf_cstr(&query), request->params, request->param_count, request->table->name, &result,
			       err)))
		return rc;
	reader->result = result;
	rc = read_all(reader, arena);
	return rc ? rc : finish(reader, arena);
}

int sl_rows_read(const struct sl_rows_request *request, struct sl_arena *arena, struct sl_rows_result *ret, struct sl_error *err)
{
	size_t features = request->features->count;
	struct reader reader = {.request = request,
				.features = features,
				.weighted = *request->weight,
				.split = *request->validation,
				.ret = ret,
				.err = err};
	*ret = (struct sl_rows_result){.train = {.features = features}, .validation = {.features = features}};
	ret->features = sl_arena_array(arena, features + 1, sizeof *ret->features);
	ret->category_counts = sl_arena_array(arena, features + 1, sizeof *ret->category_counts);
	reader.sets = sl_arena_array(arena, features + 1, sizeof *reader.sets);
	if (!ret->features || !ret->category_counts || !reader.sets)
		return sl_fail_memory(err);
	int rc = read_rows(request, &reader, arena, err);
	for (size_t i = 0; i <= features; i++)
		sl_category_set_free(reader.sets[i]);
	if (!rc && !ret->train.count)
		rc = sl_fail(err, SL_E_FAILED, "no row of '%s' is left to train on", request->table->name);
	if (!rc && reader.split && !ret->validation.count)
		rc = sl_fail(err, SL_E_FAILED, "no row of '%s' is left to validate with", request->table->name);
	if (rc) {
		sl_rows_done(&ret->train);
		sl_rows_done(&ret->validation);
	}
	return rc;
}

#include "learn/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "learn/category.h"
#include "learn/target.h"

/* One slice column: each row's value as a number of `values`. */
struct slice {
	const char *name;
	struct sl_category_set *values;
	uint32_t *rows; /* per kept row: value number; NONE: null */
};
static const uint32_t NONE = UINT32_MAX;

struct evaluation {
	const struct sl_evaluate_request *request;
	const struct sl_package *package;
	const struct sl_class_index *classes;
	const char *target;
	size_t features, outputs;
	bool weighted;
	struct sl_sql_result *result;
	/* All labelled rows, in order. */
	float *predicted, *labels, *weights;
	size_t count, cap;
	uint64_t unlabelled, unseen;
	struct slice *slices;
	size_t slice_count;
	float *chunk; /* encoded rows of one chunk, then its labels and weights */
	size_t chunk_cap;
	struct sl_error *err;
};

static void evaluation_done(struct evaluation *job)
{
	void *parts[] = {job->predicted, job->labels, job->weights, job->chunk};
	for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++)
		sl_free(parts[i]);
	for (size_t i = 0; i < job->slice_count; i++) {
		sl_category_set_free(job->slices[i].values);
		sl_free(job->slices[i].rows);
	}
}

/* ---- reading and predicting ---- */

/* Columns: features, target, weight if any, slices as text. */
static int write_query(const struct evaluation *job, struct sl_buf *sql)
{
	const struct sl_evaluate *spec = job->request->spec;
	sl_buf_str(sql, "SELECT ");
	for (size_t i = 0; i < job->features; i++) {
		sl_sql_quote_name(sql, job->package->features[i].name);
		sl_buf_str(sql, ", ");
	}
	sl_sql_quote_name(sql, job->target);
	if (job->weighted) {
		sl_buf_str(sql, ", ");
		sl_sql_quote_name(sql, spec->weight);
	}
	for (size_t i = 0; i < spec->slices.count; i++) {
		sl_buf_str(sql, ", CAST(");
		sl_sql_quote_name(sql, spec->slices.items[i]);
		sl_buf_str(sql, " AS VARCHAR)");
	}
	sl_buf_str(sql, " FROM ");
	sl_sql_quote_name(sql, job->request->table->name);
	if (*spec->where) {
		sl_buf_str(sql, " WHERE (\n");
		sl_buf_str(sql, spec->where);
		sl_buf_str(sql, "\n)");
	}
	return sl_buf_check(sql, "the query", job->err);
}

static int reserve(struct evaluation *job, size_t more)
{
	if (job->count + more > job->cap) {
		size_t cap = job->cap * 2 > job->count + more ? job->cap * 2 : job->count + more + 65536;
		float **parts[] = {&job->predicted, &job->labels, &job->weights};
		size_t sizes[] = {job->outputs * sizeof(float), sizeof(float), job->weighted ? sizeof(float) : 0};
		for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++) {
			float *grown = sizes[i] ? sl_realloc(*parts[i], cap * sizes[i], job->err) : NULL;
			if (sizes[i] && !grown)
				return SL_E_NO_MEMORY;
			*parts[i] = grown;
		}
		for (size_t i = 0; i < job->slice_count; i++) {
			uint32_t *rows = sl_realloc(job->slices[i].rows, cap * sizeof *rows, job->err);
			if (!rows)
				return SL_E_NO_MEMORY;
			job->slices[i].rows = rows;
		}
		job->cap = cap;
	}
	size_t need = more * (job->features + 2);
	if (need <= job->chunk_cap)
		return 0;
	sl_free(job->chunk);
	job->chunk_cap = 0;
	job->chunk = sl_alloc_array(need, sizeof *job->chunk, job->err);
	job->chunk_cap = job->chunk ? need : 0;
	return job->chunk ? 0 : SL_E_NO_MEMORY;
}

static double number_at(const struct sl_sql_column *column, size_t row)
{
	switch (column->kind) {
	case SL_SQL_BOOL: return column->bools[row];
	case SL_SQL_INT: return (double)column->ints[row];
	case SL_SQL_DOUBLE: return column->doubles[row];
	case SL_SQL_TEXT:
	case SL_SQL_TIME: break;
	}
	return NAN;
}

static int fail_class(const struct evaluation *job, const struct sl_sql_text *text, double number)
{
	char shown[64];
	if (text)
		snprintf(shown, sizeof shown, "'%.*s'", (int)(text->len < 40 ? text->len : 40), text->data);
	else
		snprintf(shown, sizeof shown, "%g", number);
	return sl_fail(job->err, SL_E_INVALID, "target '%s' is %s in a row, which is none of the model's classes", job->target,
		       shown);
}

/* A label as the model's training had it: class number or value. NaN: null. */
static int label_of(const struct evaluation *job, const struct sl_sql_column *column, size_t row, float *ret)
{
	const struct sl_package *package = job->package;
	const struct sl_sql_text *text = column->kind == SL_SQL_TEXT ? &column->texts[row] : NULL;
	*ret = NAN;
	if (column->valid && !column->valid[row])
		return 0;
	if (!!text != package->classes_are_text)
		return sl_fail(job->err, SL_E_INVALID, "target '%s' is %s here and was %s in training", job->target,
			       text ? "text" : "a number", package->classes_are_text ? "text" : "a number");
	double number = text ? 0 : number_at(column, row);
	if (isnan(number))
		return 0;
	if (package->task == SL_TASK_REGRESSION) {
		*ret = (float)number;
		return 0;
	}
	int32_t class = text ? sl_class_of_text(job->classes, text->data, text->len) : sl_class_of_number(job->classes, number);
	if (class < 0)
		return fail_class(job, text, number);
	*ret = (float)class;
	return 0;
}

static int take_slices(struct evaluation *job, const struct sl_sql_column *columns, size_t row)
{
	size_t first = job->features + 1 + job->weighted;
	for (size_t s = 0; s < job->slice_count; s++) {
		const struct sl_sql_column *column = &columns[first + s];
		struct slice *slice = &job->slices[s];
		uint32_t number = NONE;
		if (!column->valid || column->valid[row]) {
			int rc = sl_category_set_add(slice->values, column->texts[row].data, column->texts[row].len, true,
						     &number, job->err);
			if (rc)
				return rc;
		}
		slice->rows[job->count] = number;
	}
	return 0;
}

/* Encodes a chunk, keeps its labelled rows, predicts them. */
static int take_chunk(struct evaluation *job, const struct sl_sql_column *columns, size_t rows)
{
	size_t features = job->features, kept = 0, first = job->count;
	int rc = reserve(job, rows);
	float *weights = job->chunk + rows * features;
	for (size_t f = 0; f < features && !rc; f++)
		rc = sl_encode_column(&job->package->features[f], &columns[f], rows, job->chunk + f, features, &job->unseen,
				      job->err);
	if (!rc && job->weighted) {
		struct sl_feature plain = {
			.name = job->request->spec->weight, .type = "a number", .kind = columns[features + 1].kind};
		rc = sl_encode_column(&plain, &columns[features + 1], rows, weights, 1, NULL, job->err);
	}
	for (size_t i = 0; i < rows && !rc; i++) {
		float label;
		if ((rc = label_of(job, &columns[features], i, &label)))
			break;
		if (isnan(label) || (job->weighted && !(weights[i] >= 0))) {
			job->unlabelled++;
			continue;
		}
		memmove(job->chunk + kept++ * features, job->chunk + i * features, features * sizeof *job->chunk);
		job->labels[job->count] = label;
		if (job->weighted)
			job->weights[job->count] = weights[i];
		rc = take_slices(job, columns, i);
		job->count++;
	}
	return rc ? rc : sl_infer_predict(job->request->infer, job->chunk, kept, job->predicted + first * job->outputs, job->err);
}

static void report(void *context, double fraction)
{
	const struct sl_evaluate_request *request = context;
	if (request->progress)
		request->progress(request->context, fraction < 0 ? 0 : fraction, "scoring");
}

static int read_all(struct evaluation *job)
{
	const struct sl_evaluate_request *request = job->request;
	struct sl_evaluate_request reported = *request;
	struct sl_sql_options options = {
		.tables = request->table,
		.table_count = 1,
		.memory_bytes = request->memory_bytes,
		.threads = request->threads,
		.cancel = request->cancel,
		.progress = report,
		.progress_context = &reported,
	};
	struct sl_buf query SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(4 << 20);
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = write_query(job, &query);
	if (rc || (rc = sl_sql_open(&options, &sql, job->err)) ||
	    (rc = sl_sql_query(sql, sl_buf_cstr(&query), request->params, request->param_count, request->table->name, &result,
			       job->err)))
		return rc;
	while ((rc = sl_sql_next(result, &columns, &rows, job->err)) == 1)
		if ((rc = take_chunk(job, columns, rows)))
			return rc;
	return rc;
}

/* ---- scoring ---- */

static int score(const struct evaluation *job, const float *predicted, const float *labels, const float *weights, size_t count,
		 double *confusion, struct sl_scores *ret)
{
	switch (job->package->task) {
	case SL_TASK_BINARY: return sl_metrics_binary(predicted, labels, weights, count, job->package->threshold, ret, job->err);
	case SL_TASK_MULTICLASS:
		return sl_metrics_multiclass(predicted, labels, weights, count, job->outputs, confusion, ret, job->err);
	case SL_TASK_REGRESSION: break;
	}
	return sl_metrics_regression(predicted, labels, weights, count, ret, job->err);
}

static bool add_scores(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct sl_scores *scores)
{
	yyjson_mut_val *metrics = yyjson_mut_obj_add_obj(doc, object, "metrics");
	bool ok = metrics;
	for (size_t i = 0; ok && i < scores->count; i++) {
		double value = scores->items[i].value;
		ok = yyjson_mut_obj_add(metrics, yyjson_mut_str(doc, scores->items[i].name),
					isfinite(value) ? yyjson_mut_real(doc, value) : yyjson_mut_null(doc));
	}
	return ok;
}

/* Rows [from, from + n) of `order` side by side in `part`, then scored. */
static int score_part(const struct evaluation *job, const uint32_t *order, size_t n, float *part, struct sl_scores *ret)
{
	float *labels = part + n * job->outputs, *weights = job->weighted ? labels + n : NULL;
	for (size_t i = 0; i < n; i++) {
		memcpy(part + i * job->outputs, job->predicted + order[i] * job->outputs, job->outputs * sizeof *part);
		labels[i] = job->labels[order[i]];
		if (weights)
			weights[i] = job->weights[order[i]];
	}
	return score(job, part, labels, weights, n, NULL, ret);
}

static int add_slice(const struct evaluation *job, const char *column, const char *value, const uint32_t *order, size_t n,
		     float *part, yyjson_mut_doc *doc, yyjson_mut_val *list)
{
	struct sl_scores scores;
	int rc = score_part(job, order, n, part, &scores);
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
	if (rc)
		return rc;
	bool ok = yyjson_mut_obj_add_strcpy(doc, item, "column", column) &&
		  (value ? yyjson_mut_obj_add_strcpy(doc, item, "value", value) : yyjson_mut_obj_add_null(doc, item, "value")) &&
		  yyjson_mut_obj_add_uint(doc, item, "rows", n) && add_scores(doc, item, &scores);
	return ok ? 0 : sl_fail_memory(job->err);
}

/* Group numbers of a slice: the sorted values, then null, then (other). A value beyond SL_SLICES_MAX goes to (other). */
static int group_rows(const struct slice *slice, size_t count, struct sl_arena *arena, const struct sl_dictionary **ret_values,
		      size_t *ret_groups, uint32_t *ret_group, struct sl_error *err)
{
	int32_t *place;
	int rc = sl_category_set_sort(slice->values, arena, ret_values, &place, NULL, err);
	if (rc)
		return rc;
	size_t shown = sl_dictionary_count(*ret_values);
	shown = shown < SL_SLICES_MAX ? shown : SL_SLICES_MAX;
	for (size_t i = 0; i < count; i++) {
		uint32_t number = slice->rows[i];
		ret_group[i] = (uint32_t)(number == NONE		  ? shown
					  : (size_t)place[number] < shown ? (size_t)place[number]
									  : shown + 1);
	}
	*ret_groups = shown + 2;
	return 0;
}

/* Rows ordered by group: starts[g] .. starts[g + 1]. */
static void order_by_group(const uint32_t *group, size_t count, size_t groups, size_t *starts, uint32_t *order)
{
	for (size_t i = 0; i < count; i++)
		starts[group[i] + 1]++;
	for (size_t g = 0; g < groups; g++)
		starts[g + 1] += starts[g];
	for (size_t i = count; i-- > 0;)
		order[--starts[group[i] + 1]] = (uint32_t)i;
	/* Each start has moved down to its own group's beginning, one place too high. */
	memmove(starts, starts + 1, groups * sizeof *starts);
	starts[groups] = count;
}

static int add_slice_column(const struct evaluation *job, const struct slice *slice, yyjson_mut_doc *doc, yyjson_mut_val *list)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, job->err);
	SL_AUTO_FREE uint32_t *group = sl_alloc_array(job->count, sizeof *group, job->err);
	SL_AUTO_FREE uint32_t *order = sl_alloc_array(job->count, sizeof *order, job->err);
	SL_AUTO_FREE float *part = sl_alloc_array(job->count, (job->outputs + 2) * sizeof *part, job->err);
	SL_AUTO_FREE size_t *starts = sl_alloc_array(SL_SLICES_MAX + 4, sizeof *starts, job->err);
	const struct sl_dictionary *values;
	size_t groups;
	if (!arena || !group || !order || !part || !starts)
		return SL_E_NO_MEMORY;
	int rc = group_rows(slice, job->count, arena, &values, &groups, group, job->err);
	if (rc)
		return rc;
	order_by_group(group, job->count, groups, starts, order);
	for (size_t g = 0; g < groups && !rc; g++) {
		size_t n = starts[g + 1] - starts[g];
		const char *value = g + 2 < groups ? sl_dictionary_value(values, g)->text : g + 1 < groups ? NULL : "(other)";
		if (n)
			rc = add_slice(job, slice->name, value, order + starts[g], n, part, doc, list);
	}
	return rc;
}

/* Ten bins of equal width: what a calibration plot shows. */
static bool add_calibration(const struct evaluation *job, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	enum { BINS = 10 };
	double predicted[BINS] = {0}, observed[BINS] = {0}, weight[BINS] = {0};
	uint64_t rows[BINS] = {0};
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "calibration");
	bool ok = list;
	for (size_t i = 0; i < job->count; i++) {
		double p = (double)job->predicted[i], w = job->weighted ? (double)job->weights[i] : 1;
		int bin = p < 1 ? (int)(p * BINS) : BINS - 1;
		predicted[bin] += w * p;
		observed[bin] += w * (double)job->labels[i];
		weight[bin] += w;
		rows[bin]++;
	}
	for (int b = 0; b < BINS && ok; b++) {
		if (!(weight[b] > 0))
			continue;
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
		ok = yyjson_mut_obj_add_real(doc, item, "from", (double)b / BINS) &&
		     yyjson_mut_obj_add_real(doc, item, "to", (b + 1.0) / BINS) &&
		     yyjson_mut_obj_add_uint(doc, item, "rows", rows[b]) &&
		     yyjson_mut_obj_add_real(doc, item, "predicted", predicted[b] / weight[b]) &&
		     yyjson_mut_obj_add_real(doc, item, "observed", observed[b] / weight[b]);
	}
	return ok;
}

static bool add_confusion(const struct evaluation *job, const double *table, const struct sl_scores *scores, yyjson_mut_doc *doc,
			  yyjson_mut_val *root)
{
	double binary[4] = {sl_scores_get(scores, "tn"), sl_scores_get(scores, "fp"), sl_scores_get(scores, "fn"),
			    sl_scores_get(scores, "tp")};
	yyjson_mut_val *rows = yyjson_mut_obj_add_arr(doc, root, "confusion"),
		       *classes = yyjson_mut_obj_add_arr(doc, root, "classes");
	size_t count = job->package->class_count;
	bool ok = rows && classes;
	if (!table)
		table = binary;
	for (size_t i = 0; i < count && ok; i++) {
		yyjson_mut_val *row = yyjson_mut_arr_add_arr(doc, rows);
		ok = yyjson_mut_arr_add_strcpy(doc, classes, job->package->classes[i]);
		for (size_t k = 0; k < count && ok; k++)
			ok = yyjson_mut_arr_add_real(doc, row, table[i * count + k]);
	}
	return ok;
}

static int write_json(const struct evaluation *job, const struct sl_scores *scores, const double *confusion, struct sl_buf *out)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *slices;
	bool ok = root && yyjson_mut_obj_add_uint(doc, root, "rows", job->count) &&
		  yyjson_mut_obj_add_uint(doc, root, "unlabelled", job->unlabelled) &&
		  yyjson_mut_obj_add_uint(doc, root, "unseen_categories", job->unseen) && add_scores(doc, root, scores);
	if (ok && job->package->task != SL_TASK_REGRESSION)
		ok = add_confusion(job, confusion, scores, doc, root);
	if (ok && job->package->task == SL_TASK_BINARY)
		ok = add_calibration(job, doc, root);
	ok = ok && (slices = yyjson_mut_obj_add_arr(doc, root, "slices"));
	for (size_t i = 0; ok && i < job->slice_count; i++) {
		int rc = add_slice_column(job, &job->slices[i], doc, slices);
		if (rc)
			return rc;
	}
	return ok ? sl_json_write(root, false, out, job->err) : sl_fail_memory(job->err);
}

static int prepare_slices(struct evaluation *job, struct sl_arena *arena)
{
	const struct sl_names *names = &job->request->spec->slices;
	job->slices = sl_arena_array(arena, names->count + 1, sizeof *job->slices);
	if (!job->slices)
		return sl_fail_memory(job->err);
	for (size_t i = 0; i < names->count; i++) {
		job->slices[i] = (struct slice){.name = names->items[i], .values = sl_category_set_new(job->err)};
		job->slice_count++;
		if (!job->slices[i].values)
			return SL_E_NO_MEMORY;
	}
	return 0;
}

static int run(struct evaluation *job, struct sl_arena *arena, struct sl_scores *ret, struct sl_buf *json)
{
	size_t classes = job->package->task == SL_TASK_MULTICLASS ? job->package->class_count : 0;
	SL_AUTO_FREE double *confusion = classes ? sl_alloc_array(classes * classes, sizeof *confusion, job->err) : NULL;
	if (classes && !confusion)
		return SL_E_NO_MEMORY;
	const struct sl_package *package = job->package;
	int rc = sl_class_index_make(package->classes, package->class_count, package->classes_are_text, arena, &job->classes,
				     job->err);
	if (rc || (rc = prepare_slices(job, arena)) || (rc = read_all(job)))
		return rc;
	if (!job->count)
		return sl_fail(job->err, SL_E_FAILED, "no row of '%s' with a label is left to evaluate on",
			       job->request->table->name);
	rc = score(job, job->predicted, job->labels, job->weights, job->count, confusion, ret);
	return rc || !json ? rc : write_json(job, ret, confusion, json);
}

int sl_learn_evaluate(const struct sl_evaluate_request *request, struct sl_scores *ret, struct sl_buf *json, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, err);
	struct evaluation job SL_CLEANUP(evaluation_done) = {
		.request = request,
		.package = request->package,
		.features = request->package->feature_count,
		.outputs = request->package->output_count,
		.weighted = *request->spec->weight,
		.err = err,
		.target = *request->spec->target ? request->spec->target : request->package->target,
	};
	return arena ? run(&job, arena, ret, json) : SL_E_NO_MEMORY;
}

#include "learn/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "learn/options.h"
#include "learn/package.h"
#include "learn/rows.h"
#include "learn/target.h"
#include "port/infer.h"
#include "port/train.h"

/* What the finished model is scored on when there are no validation rows, and what its predictions' distribution is taken from:
 * this many training rows, evenly spread. All 950,000 rows of the flights would cost a tenth of the training. */
enum { SAMPLE_ROWS = 65536 };
/* Without validation rows, the training set is scored this often: each time costs about as much as a hundredth of the rounds. */
enum { TRAIN_SCORES = 10 };
/* Share of the progress bar up to the end of reading, and of training. */
static const double READ_PART = 0.2, TRAINED_PART = 0.95;

struct series {
	char name[48];
	int64_t round;
	double value;
};

struct training {
	const struct sl_train_request *request;
	const struct sl_train *spec;
	struct sl_arena *arena;
	struct sl_rows_result rows;
	struct sl_target target;
	struct sl_train_options options;
	struct sl_trainer *trainer;
	int threads;
	int64_t rounds, best_round; /* rounds grown; rounds kept */
	struct series *series;
	size_t series_count, series_cap;
	double *importance;
	struct sl_buf model;
	struct sl_infer *infer;
	struct sl_train_result *ret;
	struct sl_error *err;
};

static void report(const struct training *job, double fraction, const char *what)
{
	if (job->request->progress)
		job->request->progress(job->request->context, fraction, what);
}

static bool cancelled(const struct training *job) { return job->request->cancel && *job->request->cancel; }

/* ---- reading ---- */

static void report_reading(void *context, double fraction)
{
	const struct training *job = context;
	report(job, fraction < 0 ? 0 : fraction * READ_PART, "reading");
}

static int read_rows(struct training *job)
{
	const struct sl_train_request *request = job->request;
	struct sl_rows_request rows = {
		.table = request->table,
		.params = request->params,
		.param_count = request->param_count,
		.features = &job->spec->features,
		.target = job->spec->target,
		.weight = job->spec->weight,
		.where = job->spec->where,
		.validation = job->spec->validation,
		.threads = request->threads,
		.memory_bytes = request->memory_bytes,
		.cancel = request->cancel,
		.progress = report_reading,
		.progress_context = job,
	};
	int rc = sl_rows_read(&rows, job->arena, &job->rows, job->err);
	if (rc)
		return rc;
	job->ret->rows = job->rows.train.count;
	job->ret->validation_rows = job->rows.validation.count;
	return sl_target_resolve(job->spec->task, job->spec->target, &job->rows, job->arena, &job->target, job->err);
}

static struct sl_train_data data_of(const struct sl_rows *rows)
{
	return (struct sl_train_data){rows->pieces, rows->piece_count, rows->features, rows->labels, rows->weights};
}

/* ---- rounds ---- */

static int keep_score(struct training *job, const char *set, const struct sl_train_score *score, int64_t round)
{
	if (job->series_count == job->series_cap) {
		size_t cap = job->series_cap ? job->series_cap * 2 : 256;
		struct series *series = sl_realloc(job->series, cap * sizeof *series, job->err);
		if (!series)
			return SL_E_NO_MEMORY;
		job->series = series;
		job->series_cap = cap;
	}
	struct series *point = &job->series[job->series_count++];
	snprintf(point->name, sizeof point->name, "%.12s_%.31s", set, score->name);
	point->round = round;
	point->value = score->value;
	if (job->request->metric)
		job->request->metric(job->request->context, point->name, round, score->value);
	return 0;
}

/* The scores of one round; *ret_first gets the first one, which decides about stopping. */
static int score_round(struct training *job, int64_t round, struct sl_train_score *ret_first)
{
	bool validated = job->rows.validation.count > 0;
	struct sl_train_score scores[SL_TRAIN_METRICS_MAX];
	size_t count;
	int64_t every = (job->spec->rounds + TRAIN_SCORES - 1) / TRAIN_SCORES;
	if (!validated && (round + 1) % every != 0 && round + 1 != job->spec->rounds)
		return 0;
	int rc = sl_trainer_scores(job->trainer, validated ? SL_VALIDATION_SET : SL_TRAIN_SET, (int)round, scores,
				   SL_ARRAY_LEN(scores), &count, job->err);
	for (size_t i = 0; i < count && !rc; i++)
		rc = keep_score(job, validated ? "validation" : "train", &scores[i], round);
	if (!rc && count)
		*ret_first = scores[0];
	return rc;
}

static bool is_better(const char *metric, double value, double than)
{
	static const char *const up[] = {"auc", "aucpr"};
	for (size_t i = 0; i < SL_ARRAY_LEN(up); i++)
		if (sl_str_eq(metric, up[i]))
			return value > than;
	return value < than;
}

static int grow(struct training *job)
{
	struct sl_train_score best = {0}, now = {0};
	int rc = 0;
	job->best_round = job->spec->rounds;
	for (int64_t round = 0; round < job->spec->rounds && !rc; round++) {
		if (cancelled(job))
			return sl_fail(job->err, SL_E_CANCELLED, "the training was cancelled in round %lld", (long long)round);
		if ((rc = sl_trainer_round(job->trainer, (int)round, job->err)) || (rc = score_round(job, round, &now)))
			return rc;
		job->rounds = round + 1;
		double done = (double)(round + 1) / (double)job->spec->rounds;
		report(job, READ_PART + (TRAINED_PART - READ_PART) * done, "training");
		if (!job->spec->early_stopping)
			continue;
		if (round == 0 || is_better(now.name, now.value, best.value)) {
			best = now;
			job->best_round = round + 1;
		} else if (round + 1 - job->best_round >= job->spec->early_stopping) {
			break;
		}
	}
	return rc;
}

static int train(struct training *job)
{
	struct sl_train_data train = data_of(&job->rows.train), validation = data_of(&job->rows.validation);
	job->threads = job->request->threads > 0 ? job->request->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
	job->importance = sl_arena_array(job->arena, train.features, sizeof *job->importance);
	if (!job->importance)
		return sl_fail_memory(job->err);
	int rc = sl_options_make(job->spec, job->target.task, job->target.class_count, job->threads, job->arena, &job->options,
				 job->err);
	if (!rc)
		rc = sl_trainer_new(&train, job->rows.validation.count ? &validation : NULL, job->options.items,
				    job->options.count, &job->trainer, job->err);
	if (rc || (rc = grow(job)))
		return rc;
	int64_t keep = job->best_round < job->rounds ? job->best_round : 0;
	job->ret->rounds = keep ? keep : job->rounds;
	if ((rc = sl_trainer_save(job->trainer, (int)keep, "ubj", &job->model, job->err)) ||
	    (rc = sl_trainer_importance(job->trainer, train.features, job->importance, job->err)))
		return rc;
	sl_trainer_free(SL_TAKE(job->trainer));
	return sl_infer_load("xgboost-ubj", job->model.data, job->model.len, &job->infer, job->err);
}

/* ---- scores and reference statistics ---- */

/* Predictions for `count` rows, every `step`-th, with their labels and weights. */
struct scored {
	float *predicted, *labels, *weights;
	size_t count, outputs;
};

static void scored_done(struct scored *scored)
{
	sl_free(scored->predicted);
	sl_free(scored->labels);
	sl_free(scored->weights);
}

static int predict_rows(const struct training *job, const struct sl_rows *rows, size_t most, struct scored *ret)
{
	struct sl_infer_info info;
	size_t step = (rows->count + most - 1) / most, n = 0, row = 0;
	sl_infer_info(job->infer, &info);
	*ret = (struct scored){.outputs = info.outputs};
	ret->predicted = sl_alloc_array(rows->count / step + 1, info.outputs * sizeof(float), job->err);
	ret->labels = sl_alloc_array(rows->count / step + 1, sizeof(float), job->err);
	ret->weights = rows->weights ? sl_alloc_array(rows->count / step + 1, sizeof(float), job->err) : NULL;
	if (!ret->predicted || !ret->labels || (rows->weights && !ret->weights))
		return SL_E_NO_MEMORY;
	for (size_t p = 0; p < rows->piece_count; p++)
		for (size_t i = 0; i < rows->pieces[p].row_count; i++, row++) {
			if (row % step)
				continue;
			const float *values = rows->pieces[p].rows + i * rows->features;
			/* One row after another is what the engine is good at; batches gain where rows stand side by side. */
			size_t batch = step == 1 ? rows->pieces[p].row_count : 1;
			int rc = sl_infer_predict(job->infer, values, batch, ret->predicted + n * info.outputs, job->err);
			if (rc)
				return rc;
			memcpy(ret->labels + n, rows->labels + row, batch * sizeof(float));
			if (ret->weights)
				memcpy(ret->weights + n, rows->weights + row, batch * sizeof(float));
			n += batch;
			i += batch - 1;
			row += batch - 1;
		}
	ret->count = n;
	return 0;
}

static int score(const struct training *job, const struct scored *scored, struct sl_scores *ret)
{
	switch (job->target.task) {
	case SL_TASK_BINARY:
		return sl_metrics_binary(scored->predicted, scored->labels, scored->weights, scored->count, 0.5, ret, job->err);
	case SL_TASK_MULTICLASS:
		return sl_metrics_multiclass(scored->predicted, scored->labels, scored->weights, scored->count, scored->outputs,
					     NULL, ret, job->err);
	case SL_TASK_REGRESSION: break;
	}
	return sl_metrics_regression(scored->predicted, scored->labels, scored->weights, scored->count, ret, job->err);
}

static int number_column(struct training *job, size_t feature, float *values, struct sl_reference_column *ret)
{
	const struct sl_rows *rows = &job->rows.train;
	size_t n = 0;
	for (size_t p = 0; p < rows->piece_count; p++)
		for (size_t i = 0; i < rows->pieces[p].row_count; i++)
			values[n++] = rows->pieces[p].rows[i * rows->features + feature];
	int rc = sl_reference_number(job->rows.features[feature].name, values, n, 1, job->arena, ret, job->err);
	if (!rc && (isinf(ret->min) || isinf(ret->max)))
		rc = sl_fail(job->err, SL_E_INVALID, "column '%s' has a value that is infinite or too large for float32",
			     ret->name);
	return rc;
}

static int category_column(struct training *job, size_t feature, struct sl_reference_column *ret)
{
	const struct sl_feature *from = &job->rows.features[feature];
	size_t count = sl_dictionary_count(from->dictionary);
	*ret = (struct sl_reference_column){.name = from->name,
					    .encoding = SL_ENCODE_CATEGORY,
					    .min = NAN,
					    .max = NAN,
					    .mean = NAN,
					    .bin_count = count,
					    .counts = job->rows.category_counts[feature]};
	ret->values = count ? sl_dictionary_value(from->dictionary, 0) : NULL;
	for (size_t i = 0; i < count; i++)
		ret->present += ret->counts[i];
	ret->missing = job->rows.train.count - ret->present;
	return 0;
}

/* The features' part, before the rows go to the trainer, which would refuse infinity without saying where. */
static int describe_features(struct training *job, struct sl_reference *ret)
{
	size_t count = job->rows.train.features;
	SL_AUTO_FREE float *values = sl_alloc_array(job->rows.train.count, sizeof *values, job->err);
	int rc = 0;
	if (!values)
		return SL_E_NO_MEMORY;
	ret->rows = job->rows.train.count;
	ret->feature_count = count;
	ret->features = sl_arena_array(job->arena, count, sizeof *ret->features);
	if (!ret->features)
		return sl_fail_memory(job->err);
	for (size_t f = 0; f < count && !rc; f++)
		rc = job->rows.features[f].dictionary ? category_column(job, f, &ret->features[f])
						      : number_column(job, f, values, &ret->features[f]);
	return rc;
}

static int describe_target(struct training *job, struct sl_reference *ret)
{
	const struct sl_rows *rows = &job->rows.train;
	size_t classes = job->target.task == SL_TASK_MULTICLASS ? job->target.class_count : 0;
	double *shares = sl_arena_array(job->arena, classes + 1, sizeof *shares), sum = 0;
	if (!shares)
		return sl_fail_memory(job->err);
	for (size_t i = 0; i < rows->count; i++) {
		sum += (double)rows->labels[i];
		if (classes)
			shares[(size_t)rows->labels[i]] += 1 / (double)rows->count;
	}
	ret->target_mean = classes ? NAN : sum / (double)rows->count;
	ret->class_shares = classes ? shares : NULL;
	return 0;
}

static const char *output_name(const struct training *job)
{
	static const char *const NAMES[] = {"probability", "probabilities", "prediction"};
	return NAMES[job->target.task];
}

static int describe_predictions(struct training *job, const struct scored *sample, struct sl_reference *ret)
{
	int rc = 0;
	ret->prediction_count = sample->outputs;
	ret->predictions = sl_arena_array(job->arena, sample->outputs, sizeof *ret->predictions);
	if (!ret->predictions)
		return sl_fail_memory(job->err);
	for (size_t k = 0; k < sample->outputs && !rc; k++) {
		const char *name = job->target.task == SL_TASK_MULTICLASS ? job->target.classes[k] : output_name(job);
		rc = sl_reference_number(name, sample->predicted + k, sample->count, sample->outputs, job->arena,
					 &ret->predictions[k], job->err);
	}
	return rc;
}

/* Scores of the finished model: on all validation rows, or else on the sample of training rows. */
static int score_model(struct training *job, const struct scored *sample)
{
	struct scored validation SL_CLEANUP(scored_done) = {0};
	job->ret->validated = job->rows.validation.count > 0;
	if (!job->ret->validated)
		return score(job, sample, &job->ret->scores);
	int rc = predict_rows(job, &job->rows.validation, job->rows.validation.count, &validation);
	return rc ? rc : score(job, &validation, &job->ret->scores);
}

/* ---- writing ---- */

static bool add_number(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double value)
{
	yyjson_mut_val *key = yyjson_mut_strcpy(doc, name);
	return yyjson_mut_obj_add(object, key, isfinite(value) ? yyjson_mut_real(doc, value) : yyjson_mut_null(doc));
}

/* Scores, and each feature's share of the gain of all splits. */
static bool add_results(const struct training *job, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_val *scores = yyjson_mut_obj_add_obj(doc, root, job->ret->validated ? "metrics" : "train_metrics");
	yyjson_mut_val *gain = yyjson_mut_obj_add_obj(doc, root, "importance");
	double all = 0;
	bool ok = scores && gain;
	for (size_t i = 0; ok && i < job->ret->scores.count; i++)
		ok = add_number(doc, scores, job->ret->scores.items[i].name, job->ret->scores.items[i].value);
	for (size_t i = 0; i < job->rows.train.features; i++)
		all += job->importance[i];
	for (size_t i = 0; ok && i < job->rows.train.features; i++)
		ok = add_number(doc, gain, job->rows.features[i].name, all > 0 ? job->importance[i] / all : 0);
	return ok;
}

static yyjson_mut_val *facts(const struct training *job, yyjson_mut_doc *doc)
{
	const struct sl_train *spec = job->spec;
	const char *text = *spec->options ? spec->options : "{}";
	SL_AUTO_JSON yyjson_doc *asked = sl_json_parse(text, strlen(text), "options", NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc),
		       *options = asked ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(asked)) : NULL;
	bool ok = options && yyjson_mut_obj_add_val(doc, root, "options", options) &&
		  yyjson_mut_obj_add_strcpy(doc, root, "library", sl_trainer_version(NULL)) &&
		  yyjson_mut_obj_add_int(doc, root, "threads", job->threads) &&
		  yyjson_mut_obj_add_int(doc, root, "seed", spec->seed) &&
		  yyjson_mut_obj_add_uint(doc, root, "rows", job->ret->rows) &&
		  yyjson_mut_obj_add_uint(doc, root, "validation_rows", job->ret->validation_rows) &&
		  yyjson_mut_obj_add_int(doc, root, "rounds", job->ret->rounds) &&
		  yyjson_mut_obj_add_strcpy(doc, root, "data", spec->data) &&
		  yyjson_mut_obj_add_strcpy(doc, root, "where", spec->where) &&
		  yyjson_mut_obj_add_strcpy(doc, root, "validation", spec->validation);
	return ok && add_results(job, doc, root) ? root : NULL;
}

static int write_file(const struct training *job, const char *name, const struct sl_buf *content)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, job->request->out_dir, name, job->err);
	return rc ? rc : sl_file_replace(path, content->data, content->len, 0644, job->err);
}

/* Everything that is known of the training, with each round's metrics; the package has the same but the series. */
static int write_training(const struct training *job, char **ret_facts)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	yyjson_mut_val *root = doc ? facts(job, doc) : NULL, *series = NULL;
	if (!root)
		return sl_fail_memory(job->err);
	int rc = sl_json_mut_canonical(root, &text, job->err);
	if (!rc && !(*ret_facts = sl_arena_strdup(job->arena, sl_buf_cstr(&text))))
		rc = sl_fail_memory(job->err);
	series = yyjson_mut_obj_add_arr(doc, root, "series");
	for (size_t i = 0; i < job->series_count && !rc; i++) {
		yyjson_mut_val *point = yyjson_mut_arr_add_obj(doc, series);
		if (!yyjson_mut_obj_add_strcpy(doc, point, "name", job->series[i].name) ||
		    !yyjson_mut_obj_add_int(doc, point, "round", job->series[i].round) ||
		    !add_number(doc, point, "value", job->series[i].value))
			rc = sl_fail_memory(job->err);
	}
	sl_buf_clear(&text);
	if (!rc)
		rc = sl_json_mut_canonical(root, &text, job->err);
	return rc ? rc : write_file(job, "training.json", &text);
}

static int write_package(const struct training *job, const struct sl_reference *reference)
{
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	struct sl_infer_info info;
	char *training = NULL;
	sl_infer_info(job->infer, &info);
	struct sl_package package = {
		.algorithm = job->spec->algorithm,
		.format = "xgboost-ubj",
		.model_bytes = job->model.len,
		.task = job->target.task,
		.target = job->spec->target,
		.features = job->rows.features,
		.feature_count = job->rows.train.features,
		.output = output_name(job),
		.output_count = info.outputs,
		.classes = job->target.classes,
		.class_count = job->target.class_count,
		.classes_are_text = job->target.text,
		.threshold = 0.5,
		.lookups = (struct sl_lookup *)(uintptr_t)job->request->lookups, /* only written out */
		.lookup_count = job->request->lookup_count,
	};
	int rc = write_training(job, &training);
	if (rc || (rc = sl_reference_write(reference, &text, job->err)) || (rc = write_file(job, "reference.json", &text)) ||
	    (rc = write_file(job, "model.ubj", &job->model)))
		return rc;
	sl_sha256(text.data, text.len, &package.reference);
	sl_sha256(job->model.data, job->model.len, &package.model);
	package.training = training;
	sl_buf_clear(&text);
	rc = sl_package_write(&package, &text, job->err);
	return rc ? rc : write_file(job, "package.json", &text);
}

static int run(struct training *job)
{
	struct sl_reference reference = {0};
	struct scored sample SL_CLEANUP(scored_done) = {0};
	int rc;
	if ((rc = read_rows(job)) || (rc = describe_features(job, &reference)) || (rc = describe_target(job, &reference)) ||
	    (rc = train(job)))
		return rc;
	report(job, TRAINED_PART, "scoring");
	if ((rc = predict_rows(job, &job->rows.train, SAMPLE_ROWS, &sample)) ||
	    (rc = describe_predictions(job, &sample, &reference)) || (rc = score_model(job, &sample)) ||
	    (rc = write_package(job, &reference)))
		return rc;
	report(job, 1, "scoring");
	return 0;
}

int sl_learn_check(const struct sl_train *spec, struct sl_error *err) { return sl_options_check(spec, err); }

int sl_learn_train(const struct sl_train_request *request, struct sl_train_result *ret, struct sl_error *err)
{
	int rc = sl_options_check(request->spec, err);
	/* Loaded before DuckDB starts its threads: loading sets an environment variable. */
	if (rc || !sl_trainer_version(err))
		return rc ? rc : SL_E_NO_LIBRARY;
	struct training job = {
		.request = request, .spec = request->spec, .ret = ret, .err = err, .model = SL_BUF_INIT((size_t)1 << 30)};
	*ret = (struct sl_train_result){0};
	job.arena = sl_arena_new(0, err);
	rc = job.arena ? run(&job) : SL_E_NO_MEMORY;
	sl_infer_free(job.infer);
	sl_trainer_free(job.trainer);
	sl_buf_done(&job.model);
	sl_rows_done(&job.rows.train);
	sl_rows_done(&job.rows.validation);
	sl_free(job.series);
	sl_arena_free(job.arena);
	return rc;
}

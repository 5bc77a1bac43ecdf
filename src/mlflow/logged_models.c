/* /mlflow/logged-models: models of MLflow 3, which stand beside the runs that made them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "mlflow/artifact.h"
#include "mlflow/pairs.h"
#include "mlflow/route.h"
#include "record/logged_model.h"

enum { PAGE = 100, PAGE_MAX = 1000, EXPERIMENTS_MAX = 10000 };

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

int sl_ml_put_pairs(struct sl_ml_call *call, const char *list, enum sl_pair_kind kind, int64_t owner, struct sl_error *err)
{
	struct sl_pair *pairs;
	size_t count;
	struct sl_buf *out = &call->out;
	int rc = sl_pairs_read(&call->record, kind, owner, call->arena, &pairs, &count, err);
	if (rc || !count)
		return rc;
	sl_ml_open(out, list, '[');
	for (size_t i = 0; i < count; i++) {
		sl_ml_comma(out);
		sl_buf_char(out, '{');
		sl_ml_put_text(out, "key", pairs[i].name);
		sl_ml_put_text(out, "value", pairs[i].value);
		sl_buf_char(out, '}');
	}
	sl_buf_char(out, ']');
	return 0;
}

struct metrics { struct sl_ml_call *call; const char *model; };

static int put_metric(void *context, const struct sl_logged_metric *metric, struct sl_error *err)
{
	const struct metrics *metrics = context;
	struct sl_buf *out = &metrics->call->out;
	(void)err;
	if (out->data[out->len - 1] == '{' || out->data[out->len - 1] == ']')
		sl_ml_open(out, "metrics", '[');
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "key", metric->name);
	sl_ml_put_double(out, "value", metric->value);
	sl_ml_put_int(out, "timestamp", metric->time_ms);
	sl_ml_put_int(out, "step", metric->step);
	if (*metric->dataset_name)
		sl_ml_put_text(out, "dataset_name", metric->dataset_name);
	if (*metric->dataset_digest)
		sl_ml_put_text(out, "dataset_digest", metric->dataset_digest);
	sl_ml_put_text(out, "model_id", metrics->model);
	sl_ml_put_text(out, "run_id", metric->run);
	sl_buf_char(out, '}');
	return 0;
}

static int put_data(struct sl_ml_call *call, const struct sl_logged_model *model, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	struct metrics metrics = {call, model->id};
	sl_ml_open(out, "data", '{');
	int rc = sl_ml_put_pairs(call, "params", SL_PAIR_LOGGED_PARAM, model->num, err);
	rc = rc ? rc : sl_logged_model_metrics(&call->record, model, put_metric, &metrics, err);
	if (!rc && out->len && out->data[out->len - 1] == '}')
		sl_buf_char(out, ']');
	sl_buf_char(out, '}');
	return rc;
}

static int put_model(struct sl_ml_call *call, const struct sl_logged_model *model, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	char experiment[24];
	snprintf(experiment, sizeof experiment, "%lld", (long long)model->experiment);
	sl_buf_str(out, "{\"info\":{");
	sl_ml_put_text(out, "model_id", model->id);
	sl_ml_put_text(out, "experiment_id", experiment);
	sl_ml_put_text(out, "name", model->name);
	sl_ml_put_int(out, "creation_timestamp_ms", model->created_ms);
	sl_ml_put_int(out, "last_updated_timestamp_ms", model->updated_ms);
	sl_ml_put_text(out, "artifact_uri", model->artifact_uri);
	sl_ml_put_text(out, "status", model->status);
	sl_ml_put_text(out, "model_type", model->model_type);
	sl_ml_put_text(out, "source_run_id", model->run);
	int rc = sl_ml_put_pairs(call, "tags", SL_PAIR_LOGGED_TAG, model->num, err);
	sl_buf_char(out, '}');
	rc = rc ? rc : put_data(call, model, err);
	sl_buf_char(out, '}');
	return rc;
}

static int answer_model(struct sl_ml_call *call, const struct sl_logged_model *model, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"model\":");
	int rc = put_model(call, model, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- one model ------------------------------------------------------------------------------------------------------ */

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model_start start = {0};
	struct sl_experiment experiment;
	struct sl_logged_model model;
	struct sl_pair *tags, *params;
	const char *id;
	const struct sl_change change = sl_ml_change(call, "logged-model.create");
	int rc = sl_ml_need(call, "experiment_id", &id, err);
	rc = rc ? rc : sl_ml_text(call, "name", &start.name, err);
	rc = rc ? rc : sl_ml_text(call, "model_type", &start.model_type, err);
	rc = rc ? rc : sl_ml_text(call, "source_run_id", &start.run, err);
	rc = rc ? rc : sl_ml_pairs(call, "tags", &tags, &start.tag_count, err);
	rc = rc ? rc : sl_ml_pairs(call, "params", &params, &start.param_count, err);
	rc = rc ? rc : sl_experiment_get(&call->record, id, SL_REC_ALL, call->arena, &experiment, err);
	if (rc)
		return rc;
	start.tags = tags;
	start.params = params;
	rc = sl_logged_model_create(&call->record, &experiment, &start, &change, call->arena, &model, err);
	return rc ? rc : answer_model(call, &model, err);
}

/* The model in the address. */
static int named(struct sl_ml_call *call, struct sl_logged_model *ret, struct sl_error *err)
{
	return sl_logged_model_get(&call->record, call->parts[0], call->arena, ret, err);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	int rc = named(call, &model, err);
	return rc ? rc : answer_model(call, &model, err);
}

/* By name, or by the number that protobuf has for it. */
static int status_of(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	static const char *const NAMES[] = {NULL, "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"};
	int64_t number;
	if (sl_ml_int(call, "status", 0, &number, NULL) == 1 && number > 0 && number < (int64_t)SL_ARRAY_LEN(NAMES)) {
		*ret = NAMES[number];
		return 0;
	}
	return sl_ml_need(call, "status", ret, err);
}

static int finalize(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	const char *status;
	const struct sl_change change = sl_ml_change(call, "logged-model.finalize");
	int rc = named(call, &model, err);
	rc = rc ? rc : status_of(call, &status, err);
	rc = rc ? rc : sl_logged_model_finalize(&call->record, &model, status, &change, err);
	return rc ? rc : answer_model(call, &model, err);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	const struct sl_change change = sl_ml_change(call, "logged-model.delete");
	int rc = named(call, &model, err);
	return rc ? rc : sl_logged_model_delete(&call->record, &model, &change, err);
}

static int tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	struct sl_pair *tags;
	size_t count;
	const struct sl_change change = sl_ml_change(call, "logged-model.tag");
	int rc = named(call, &model, err);
	rc = rc ? rc : sl_ml_pairs(call, "tags", &tags, &count, err);
	return rc ? rc : sl_logged_model_tag(&call->record, &model, tags, count, &change, err);
}

static int untag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	const struct sl_change change = sl_ml_change(call, "logged-model.untag");
	int rc = named(call, &model, err);
	return rc ? rc : sl_logged_model_untag(&call->record, &model, call->parts[1], &change, err);
}

static int log_params(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	struct sl_pair *params;
	size_t count;
	const struct sl_change change = sl_ml_change(call, "logged-model.params");
	int rc = named(call, &model, err);
	rc = rc ? rc : sl_ml_pairs(call, "params", &params, &count, err);
	return rc ? rc : sl_logged_model_params(&call->record, &model, params, count, &change, err);
}

static int list_artifacts(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_model model;
	const char *path, *folder, *prefix = "";
	int rc = named(call, &model, err);
	rc = rc ? rc : sl_ml_text(call, "artifact_directory_path", &path, err);
	rc = rc ? rc : sl_ml_artifact_below(call, model.artifact_uri, path ? path : "", &folder, err);
	if (!rc && path && !(prefix = sl_arena_printf(call->arena, "%s/", path)))
		rc = sl_fail_memory(err);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	sl_ml_put_text(&call->out, "root_uri", model.artifact_uri);
	rc = sl_ml_put_artifacts(call, folder, prefix, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- search --------------------------------------------------------------------------------------------------------- */

static int read_experiments(struct sl_ml_call *call, int64_t **ret, size_t *ret_count, struct sl_error *err)
{
	const char **texts;
	int rc = sl_ml_texts(call, "experiment_ids", &texts, ret_count, err);
	if (!rc && *ret_count > EXPERIMENTS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "more than %d experiments in one search", EXPERIMENTS_MAX);
	*ret = rc ? NULL : sl_arena_array(call->arena, *ret_count + 1, sizeof **ret);
	if (!*ret)
		return rc ? rc : sl_fail_memory(err);
	for (size_t i = 0; i < *ret_count; i++)
		if (!sl_str_int(texts[i], &(*ret)[i]))
			return sl_fail(err, SL_E_INVALID, "Invalid experiment ID: '%.64s'", texts[i]);
	return 0;
}

/* [{"field_name","ascending","dataset_name","dataset_digest"}] as the texts that other searches have. */
static int read_order(struct sl_ml_call *call, struct sl_logged_search *search, struct sl_error *err)
{
	yyjson_val *list, *item;
	int rc = sl_ml_list(call, "order_by", &list, err);
	if (rc || !list)
		return rc;
	const char **texts = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *texts);
	struct sl_logged_dataset *of = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *of);
	if (!texts || !of)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it))) {
		const char *field = sl_ml_member_text(item, "field_name", call->arena);
		yyjson_val *ascending = yyjson_obj_get(item, "ascending");
		if (!field)
			return sl_ml_missing("order_by.field_name", err);
		const char *text = sl_arena_printf(call->arena, "%s %s", field, yyjson_is_false(ascending) ? "DESC" : "ASC");
		if (!text)
			return sl_fail_memory(err);
		of[search->common.order_count] = (struct sl_logged_dataset){sl_json_str(item, "dataset_name", NULL),
			sl_json_str(item, "dataset_digest", NULL)};
		texts[search->common.order_count++] = text;
	}
	search->common.order = texts;
	search->order = of;
	return 0;
}

/* [{"dataset_name","dataset_digest"}] */
static int read_datasets(struct sl_ml_call *call, struct sl_logged_search *search, struct sl_error *err)
{
	yyjson_val *list, *item;
	int rc = sl_ml_list(call, "datasets", &list, err);
	if (rc || !list)
		return rc;
	if (yyjson_arr_size(list) > SL_LOGGED_DATASETS_MAX)
		return sl_fail(err, SL_E_INVALID, "datasets: more than %d", SL_LOGGED_DATASETS_MAX);
	struct sl_logged_dataset *datasets = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *datasets);
	if (!datasets)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it))) {
		struct sl_logged_dataset *one = &datasets[search->dataset_count++];
		*one = (struct sl_logged_dataset){sl_json_str(item, "dataset_name", NULL), sl_json_str(item, "dataset_digest", NULL)};
		if (!one->name || !*one->name)
			return sl_fail(err, SL_E_INVALID, "`dataset_name` in the `datasets` clause must be specified.");
	}
	search->datasets = datasets;
	return 0;
}

static int read_search(struct sl_ml_call *call, struct sl_logged_search *ret, struct sl_error *err)
{
	*ret = (struct sl_logged_search){0};
	int rc = sl_ml_text(call, "filter", &ret->common.filter, err);
	rc = rc ? rc : sl_ml_text(call, "page_token", &ret->common.page_token, err);
	rc = rc ? rc : read_order(call, ret, err);
	rc = rc ? rc : read_datasets(call, ret, err);
	rc = rc ? rc : sl_ml_int(call, "max_results", PAGE, &ret->common.max, err);
	if (rc < 0)
		return rc;
	if (ret->common.max < 1 || ret->common.max > PAGE_MAX)
		return sl_fail(err, SL_E_INVALID, "Invalid value %lld for parameter 'max_results' supplied. It must be between 1 and %d",
			(long long)ret->common.max, PAGE_MAX);
	return 0;
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_logged_search search;
	struct sl_search_page page;
	struct sl_logged_model model;
	int64_t *experiments;
	size_t count;
	int rc = read_search(call, &search, err);
	rc = rc ? rc : read_experiments(call, &experiments, &count, err);
	rc = rc ? rc : sl_logged_models_search(&call->record, &search, experiments, count, call->arena, &page, err);
	if (rc)
		return rc;
	sl_buf_str(&call->out, "{\"models\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		int found = sl_logged_model_at(&call->record, page.nums[i], call->arena, &model, err);
		if (found < 0)
			return found;
		sl_ml_comma(&call->out);
		rc = found ? put_model(call, &model, err) : 0;
	}
	sl_buf_char(&call->out, ']');
	if (page.token)
		sl_ml_put_text(&call->out, "next_page_token", page.token);
	sl_buf_char(&call->out, '}');
	return rc;
}

#define MODELS "/mlflow/logged-models"
const struct sl_ml_route sl_ml_routes_logged[] = {
	{SL_ML_V2, SL_HTTP_POST, MODELS, SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/search", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/{}", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, MODELS "/{}", SL_PERMIT_RUN, SL_ML_WRITE, finalize, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, MODELS "/{}", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, MODELS "/{}/tags", SL_PERMIT_RUN, SL_ML_WRITE, tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, MODELS "/{}/tags/{*}", SL_PERMIT_RUN, SL_ML_WRITE, untag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/{}/params", SL_PERMIT_RUN, SL_ML_WRITE, log_params, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/{}/artifacts/directories", SL_PERMIT_VIEW, SL_ML_SLOW, list_artifacts, NULL, NULL},
	{0},
};

/* /mlflow/runs: everything but search, which is in search.c. */
#include <string.h>

#include "mlflow/entity.h"
#include "mlflow/route.h"
#include "os/clock.h"
#include "record/input.h"
#include "record/log.h"

/* The run that the request names; in a write, it must exist. */
static int named(struct sl_ml_call *call, struct sl_rec_run *ret, struct sl_error *err)
{
	const char *id;
	int rc = sl_ml_need_run(call, &id, err);
	return rc ? rc : sl_rec_run_get(&call->record, id, call->arena, ret, err);
}

static int answer_run(struct sl_ml_call *call, const struct sl_rec_run *run, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"run\":");
	int rc = sl_ml_write_run(&call->record, run, &call->out, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- starting, ending ----------------------------------------------------------------------------------------------- */

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run_start start = {0};
	struct sl_experiment experiment;
	struct sl_rec_run run;
	struct sl_pair *tags;
	const char *id;
	struct sl_change change = sl_ml_change(call, "logged.create");
	int rc = sl_ml_text(call, "experiment_id", &id, err);
	if (!rc)
		rc = sl_ml_text(call, "run_name", &start.name, err);
	if (!rc)
		rc = sl_ml_text(call, "user_id", &start.user, err);
	if (!rc)
		rc = sl_ml_int(call, "start_time", 0, &start.started_ms, err);
	if (rc >= 0)
		rc = sl_ml_pairs(call, "tags", &tags, &start.tag_count, err);
	if (!rc)
		rc = sl_experiment_get(&call->record, id ? id : "0", SL_REC_ALL, call->arena, &experiment, err);
	if (rc)
		return rc;
	start.tags = tags;
	rc = sl_rec_run_create(&call->record, &experiment, &start, &change, call->arena, &run, err);
	return rc ? rc : answer_run(call, &run, err);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run run;
	int rc = named(call, &run, err);
	return rc ? rc : answer_run(call, &run, err);
}

/* By name, or by the number that protobuf has for it. */
static int status_of(struct sl_ml_call *call, const char **ret, struct sl_error *err)
{
	static const char *const NAMES[] = {NULL, "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
	int64_t number;
	*ret = NULL;
	if (!sl_ml_has(call, "status"))
		return 0;
	if (sl_ml_int(call, "status", 0, &number, NULL) == 1)
		*ret = number > 0 && number < (int64_t)SL_ARRAY_LEN(NAMES) ? NAMES[number] : NULL;
	else if (sl_ml_text(call, "status", ret, err))
		return err ? err->code : SL_E_INVALID;
	if (*ret && sl_rec_status_valid(*ret))
		return 0;
	return sl_fail(err, SL_E_INVALID, "Invalid value \"%.60s\" for parameter 'status' supplied:  Hint: Value was of type 'str'. See "
		"the API docs for more information about request parameters.", *ret ? *ret : "");
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run_update update = {0};
	struct sl_rec_run run;
	int64_t ended_ms;
	struct sl_change change = sl_ml_change(call, "logged.update");
	int rc = named(call, &run, err);
	if (!rc)
		rc = status_of(call, &update.status, err);
	if (!rc)
		rc = sl_ml_text(call, "run_name", &update.name, err);
	if (!rc)
		rc = sl_ml_int(call, "end_time", 0, &ended_ms, err);
	if (rc < 0)
		return rc;
	update.ended_ms = rc ? &ended_ms : NULL;
	rc = sl_rec_run_update(&call->record, &run, &update, &change, err);
	if (rc)
		return rc;
	sl_buf_str(&call->out, "{\"run_info\":");
	sl_ml_write_run_info(&run, &call->out);
	sl_buf_char(&call->out, '}');
	return 0;
}

static int set_deleted(struct sl_ml_call *call, bool deleted, const char *action, struct sl_error *err)
{
	struct sl_rec_run run;
	struct sl_change change = sl_ml_change(call, action);
	int rc = named(call, &run, err);
	return rc ? rc : sl_rec_run_set_deleted(&call->record, &run, deleted, &change, err);
}

static int delete(struct sl_ml_call *call, struct sl_error *err) { return set_deleted(call, true, "logged.delete", err); }
static int restore(struct sl_ml_call *call, struct sl_error *err) { return set_deleted(call, false, "logged.restore", err); }

/* ---- logging -------------------------------------------------------------------------------------------------------- */

/* One metric out of an object; `path` names it: "metrics[3]", or "" for the request itself. */
static int read_metric(struct sl_ml_call *call, yyjson_val *object, const char *path, struct sl_rec_metric *m, struct sl_error *err)
{
	char full[80];
	const char *absent = NULL;
	m->name = sl_ml_member_text(object, "key", call->arena);
	int rc = sl_ml_member_double(object, path, "value", &m->value, err);
	if (!m->name || !*m->name)
		absent = "key";
	else if (rc == 0)
		absent = "value";
	if (rc >= 0)
		rc = sl_ml_member_int(object, path, "timestamp", 0, &m->time_ms, err);
	if (rc == 0 && !absent)
		absent = "timestamp";
	if (rc >= 0)
		rc = sl_ml_member_int(object, path, "step", 0, &m->step, err);
	if (rc < 0)
		return rc;
	if (absent) {
		snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", absent);
		return sl_ml_missing(full, err);
	}
	const char *model = sl_ml_member_text(object, "model_id", call->arena);
	const char *name = sl_ml_member_text(object, "dataset_name", call->arena);
	const char *digest = sl_ml_member_text(object, "dataset_digest", call->arena);
	m->model = model ? model : "";
	m->dataset_name = name ? name : "";
	m->dataset_digest = digest ? digest : "";
	return 0;
}

static int log_batch_into(struct sl_ml_call *call, const struct sl_rec_batch *batch, const char *action, struct sl_error *err)
{
	struct sl_rec_run run;
	struct sl_change change = sl_ml_change(call, action);
	int rc = named(call, &run, err);
	return rc ? rc : sl_rec_log(&call->record, &run, batch, &change, call->arena, err);
}

static int log_metric(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_metric metric;
	const char *id;
	int rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = read_metric(call, call->body, "", &metric, err);
	struct sl_rec_batch batch = {.metrics = &metric, .metric_count = 1, .single = true};
	return rc ? rc : log_batch_into(call, &batch, "logged.metric", err);
}

/* log-parameter and set-tag: one key and its value. */
static int read_pair(struct sl_ml_call *call, struct sl_pair *ret, struct sl_error *err)
{
	int rc = sl_ml_need(call, "key", &ret->name, err);
	if (!rc)
		rc = sl_ml_text(call, "value", &ret->value, err);
	if (!rc && !ret->value)
		ret->value = "";
	return rc;
}

static int log_parameter(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_pair param;
	struct sl_rec_batch batch = {.params = &param, .param_count = 1, .single = true};
	int rc = read_pair(call, &param, err);
	return rc ? rc : log_batch_into(call, &batch, "logged.param", err);
}

static int set_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_pair tag;
	struct sl_rec_batch batch = {.tags = &tag, .tag_count = 1, .single = true};
	int rc = read_pair(call, &tag, err);
	return rc ? rc : log_batch_into(call, &batch, "logged.tag", err);
}

static int delete_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run run;
	const char *key;
	struct sl_change change = sl_ml_change(call, "logged.untag");
	int rc = named(call, &run, err);
	if (!rc)
		rc = sl_ml_need(call, "key", &key, err);
	return rc ? rc : sl_rec_delete_tag(&call->record, &run, key, &change, err);
}

static int read_metrics(struct sl_ml_call *call, struct sl_rec_metric **ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list, *item;
	char path[40];
	int rc = sl_ml_list(call, "metrics", &list, err);
	struct sl_rec_metric *metrics = rc ? NULL : sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *metrics);
	if (!metrics)
		return rc ? rc : sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	*ret_count = 0;
	while (!rc && (item = yyjson_arr_iter_next(&it))) {
		snprintf(path, sizeof path, "metrics[%zu]", *ret_count);
		rc = read_metric(call, item, path, &metrics[(*ret_count)++], err);
	}
	*ret = metrics;
	return rc;
}

static int log_batch(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_batch batch = {0};
	struct sl_rec_metric *metrics = NULL;
	struct sl_pair *params = NULL, *tags = NULL;
	const char *id;
	int rc = sl_ml_need_run(call, &id, err);
	if (!rc)
		rc = read_metrics(call, &metrics, &batch.metric_count, err);
	if (!rc)
		rc = sl_ml_pairs(call, "params", &params, &batch.param_count, err);
	if (!rc)
		rc = sl_ml_pairs(call, "tags", &tags, &batch.tag_count, err);
	batch.metrics = metrics;
	batch.params = params;
	batch.tags = tags;
	return rc ? rc : log_batch_into(call, &batch, "logged.batch", err);
}

/* ---- inputs and outputs --------------------------------------------------------------------------------------------- */

static int read_dataset_tags(struct sl_ml_call *call, yyjson_val *input, struct sl_rec_dataset *ret, struct sl_error *err)
{
	yyjson_val *list = yyjson_obj_get(input, "tags"), *item;
	struct sl_pair *tags = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *tags);
	if (!tags)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while ((item = yyjson_arr_iter_next(&it))) {
		struct sl_pair *tag = &tags[ret->tag_count++];
		tag->name = sl_ml_member_text(item, "key", call->arena);
		tag->value = sl_ml_member_text(item, "value", call->arena);
		if (!tag->name || !tag->value)
			return sl_fail(err, SL_E_INVALID, "InputTag %s cannot be None", tag->name ? "value" : "key");
		if (strcmp(tag->name, "mlflow.data.context") == 0)
			ret->context = tag->value;
	}
	ret->tags = tags;
	return 0;
}

static int read_dataset(struct sl_ml_call *call, yyjson_val *input, struct sl_rec_dataset *ret, struct sl_error *err)
{
	yyjson_val *dataset = yyjson_obj_get(input, "dataset");
	struct sl_arena *arena = call->arena;
	if (!yyjson_is_obj(dataset))
		return sl_fail(err, SL_E_INVALID, "Dataset cannot be None");
	*ret = (struct sl_rec_dataset){
		.name = sl_ml_member_text(dataset, "name", arena), .digest = sl_ml_member_text(dataset, "digest", arena),
		.source_type = sl_ml_member_text(dataset, "source_type", arena), .source = sl_ml_member_text(dataset, "source", arena),
		.schema = sl_ml_member_text(dataset, "schema", arena), .profile = sl_ml_member_text(dataset, "profile", arena),
		.context = ""};
	return read_dataset_tags(call, input, ret, err);
}

static int read_models(struct sl_ml_call *call, struct sl_rec_model **ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list, *item;
	int rc = sl_ml_list(call, "models", &list, err);
	struct sl_rec_model *models = rc ? NULL : sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *models);
	if (!models)
		return rc ? rc : sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	*ret_count = 0;
	*ret = models;
	while ((item = yyjson_arr_iter_next(&it))) {
		struct sl_rec_model *model = &models[(*ret_count)++];
		model->id = sl_ml_member_text(item, "model_id", call->arena);
		if (!model->id || !*model->id)
			return sl_ml_missing("models[].model_id", err);
		rc = sl_ml_member_int(item, "models", "step", 0, &model->step, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int log_inputs(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run run;
	struct sl_rec_model *models;
	yyjson_val *list, *item;
	size_t count = 0, model_count;
	struct sl_change change = sl_ml_change(call, "logged.inputs");
	int rc = named(call, &run, err);
	if (!rc)
		rc = sl_ml_list(call, "datasets", &list, err);
	if (!rc)
		rc = read_models(call, &models, &model_count, err);
	struct sl_rec_dataset *datasets = rc ? NULL : sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *datasets);
	if (!datasets)
		return rc ? rc : sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while (!rc && (item = yyjson_arr_iter_next(&it)))
		rc = read_dataset(call, item, &datasets[count++], err);
	return rc ? rc : sl_rec_log_inputs(&call->record, &run, datasets, count, models, model_count, &change, err);
}

static int log_outputs(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_rec_run run;
	struct sl_rec_model *models;
	size_t count;
	struct sl_change change = sl_ml_change(call, "logged.outputs");
	int rc = named(call, &run, err);
	if (!rc)
		rc = read_models(call, &models, &count, err);
	return rc ? rc : sl_rec_log_outputs(&call->record, &run, models, count, &change, err);
}

const struct sl_ml_route sl_ml_routes_runs[] = {
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/log-metric", SL_PERMIT_RUN, SL_ML_WRITE, log_metric, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/log-batch", SL_PERMIT_RUN, SL_ML_WRITE, log_batch, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/runs/get", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/create", SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/update", SL_PERMIT_RUN, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/delete", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/restore", SL_PERMIT_EDIT, SL_ML_WRITE, restore, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/log-parameter", SL_PERMIT_RUN, SL_ML_WRITE, log_parameter, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/set-tag", SL_PERMIT_RUN, SL_ML_WRITE, set_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/delete-tag", SL_PERMIT_RUN, SL_ML_WRITE, delete_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/log-inputs", SL_PERMIT_RUN, SL_ML_WRITE, log_inputs, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/outputs", SL_PERMIT_RUN, SL_ML_WRITE, log_outputs, NULL, NULL},
	{0},
};

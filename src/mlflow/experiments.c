/* /mlflow/experiments: everything but search, which is in search.c. */
#include <inttypes.h>
#include <stdio.h>

#include "mlflow/entity.h"
#include "mlflow/route.h"
#include "os/clock.h"
#include "record/experiment.h"

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	const char *name, *location;
	struct sl_pair *tags;
	size_t tag_count;
	int64_t id;
	struct sl_change change = sl_ml_change(call, "experiment.create");
	int rc = sl_ml_need(call, "name", &name, err);
	if (!rc)
		rc = sl_ml_text(call, "artifact_location", &location, err);
	if (!rc)
		rc = sl_ml_pairs(call, "tags", &tags, &tag_count, err);
	if (!rc)
		rc = sl_experiment_create(&call->record, name, location, tags, tag_count, &change, &id, err);
	if (!rc)
		sl_buf_printf(&call->out, "{\"experiment_id\":\"%" PRId64 "\"}", id);
	return rc;
}

static int answer_experiment(struct sl_ml_call *call, const struct sl_experiment *experiment, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"experiment\":");
	int rc = sl_ml_write_experiment(&call->record, experiment, call->arena, &call->out, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	const char *id;
	struct sl_experiment experiment;
	int rc = sl_ml_need(call, "experiment_id", &id, err);
	if (!rc)
		rc = sl_experiment_get(&call->record, id, SL_REC_ALL, call->arena, &experiment, err);
	return rc ? rc : answer_experiment(call, &experiment, err);
}

static int get_by_name(struct sl_ml_call *call, struct sl_error *err)
{
	const char *name;
	struct sl_experiment experiment;
	int rc = sl_ml_need(call, "experiment_name", &name, err);
	if (!rc)
		rc = sl_experiment_by_name(&call->record, name, call->arena, &experiment, err);
	return rc ? rc : answer_experiment(call, &experiment, err);
}

static int named(struct sl_ml_call *call, enum sl_rec_view view, struct sl_experiment *ret, struct sl_error *err)
{
	const char *id;
	int rc = sl_ml_need(call, "experiment_id", &id, err);
	return rc ? rc : sl_experiment_get(&call->record, id, view, call->arena, ret, err);
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	const char *name;
	struct sl_change change = sl_ml_change(call, "experiment.rename");
	int rc = named(call, SL_REC_ALL, &experiment, err);
	if (!rc)
		rc = sl_ml_text(call, "new_name", &name, err);
	return rc || !name ? rc : sl_experiment_rename(&call->record, &experiment, name, &change, err);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	struct sl_change change = sl_ml_change(call, "experiment.delete");
	int rc = named(call, SL_REC_ACTIVE, &experiment, err);
	return rc ? rc : sl_experiment_set_deleted(&call->record, &experiment, true, &change, err);
}

static int restore(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	struct sl_change change = sl_ml_change(call, "experiment.restore");
	int rc = named(call, SL_REC_DELETED, &experiment, err);
	return rc ? rc : sl_experiment_set_deleted(&call->record, &experiment, false, &change, err);
}

static int set_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	const char *key, *value;
	struct sl_change change = sl_ml_change(call, "experiment.tag");
	int rc = named(call, SL_REC_ALL, &experiment, err);
	if (!rc)
		rc = sl_ml_need(call, "key", &key, err);
	if (!rc)
		rc = sl_ml_text(call, "value", &value, err);
	return rc ? rc : sl_experiment_set_tag(&call->record, &experiment, key, value ? value : "", &change, err);
}

static int delete_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	const char *key;
	struct sl_change change = sl_ml_change(call, "experiment.untag");
	int rc = named(call, SL_REC_ALL, &experiment, err);
	if (!rc)
		rc = sl_ml_need(call, "key", &key, err);
	return rc ? rc : sl_experiment_delete_tag(&call->record, &experiment, key, &change, err);
}

const struct sl_ml_route sl_ml_routes_experiments[] = {
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/create", SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/experiments/get", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/experiments/get-by-name", SL_PERMIT_VIEW, SL_ML_READ, get_by_name, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/update", SL_PERMIT_RUN, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/delete", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/restore", SL_PERMIT_EDIT, SL_ML_WRITE, restore, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/set-experiment-tag", SL_PERMIT_RUN, SL_ML_WRITE, set_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/delete-experiment-tag", SL_PERMIT_RUN, SL_ML_WRITE, delete_tag, NULL, NULL},
	{0},
};

#include "mlflow/entity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "record/input.h"

static const char *stage_of(bool deleted) { return deleted ? "deleted" : "active"; }

static void put_id(struct sl_buf *out, const char *name, int64_t id)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, id);
	sl_ml_put_text(out, name, text);
}

static int write_pair(void *context, const char *name, const char *value)
{
	struct sl_buf *out = context;
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "key", name);
	sl_ml_put_text(out, "value", value);
	sl_buf_char(out, '}');
	return 0;
}

int sl_ml_write_experiment(struct sl_record *record, const struct sl_experiment *experiment, struct sl_arena *arena,
	struct sl_buf *out, struct sl_error *err)
{
	struct sl_pair *tags;
	size_t count;
	int rc = sl_experiment_tags(record, experiment->id, arena, &tags, &count, err);
	if (rc)
		return rc;
	sl_buf_char(out, '{');
	put_id(out, "experiment_id", experiment->id);
	sl_ml_put_text(out, "name", experiment->name);
	sl_ml_put_text(out, "artifact_location", experiment->artifact_location);
	sl_ml_put_text(out, "lifecycle_stage", stage_of(experiment->deleted));
	sl_ml_put_int(out, "last_update_time", experiment->updated_ms);
	sl_ml_put_int(out, "creation_time", experiment->created_ms);
	if (count) {
		sl_ml_open(out, "tags", '[');
		for (size_t i = 0; i < count; i++)
			write_pair(out, tags[i].name, tags[i].value);
		sl_buf_char(out, ']');
	}
	sl_ml_put_text(out, "workspace", "default");
	sl_buf_char(out, '}');
	return 0;
}

void sl_ml_write_run_info(const struct sl_rec_run *run, struct sl_buf *out)
{
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "run_uuid", run->id);
	put_id(out, "experiment_id", run->experiment);
	sl_ml_put_text(out, "run_name", run->name);
	sl_ml_put_text(out, "user_id", run->user);
	sl_ml_put_text(out, "status", run->status);
	sl_ml_put_int(out, "start_time", run->started_ms);
	if (run->ended)
		sl_ml_put_int(out, "end_time", run->ended_ms);
	sl_ml_put_text(out, "artifact_uri", run->artifact_uri);
	sl_ml_put_text(out, "lifecycle_stage", stage_of(run->deleted));
	sl_ml_put_text(out, "run_id", run->id);
	sl_buf_char(out, '}');
}

#define ADD(out, literal) sl_buf_add(out, literal, sizeof(literal) - 1)

/* Histories are millions of these. */
void sl_ml_write_point(struct sl_buf *out, const struct sl_rec_point *point, const char *run_id)
{
	sl_ml_comma(out);
	ADD(out, "{\"key\":");
	sl_json_string(out, point->name, strlen(point->name));
	ADD(out, ",\"value\":");
	sl_json_double(out, point->value);
	ADD(out, ",\"timestamp\":");
	sl_ml_add_int(out, point->time_ms);
	ADD(out, ",\"step\":");
	sl_ml_add_int(out, point->step);
	if (run_id)
		sl_ml_put_text(out, "run_id", run_id);
	sl_buf_char(out, '}');
}

static int write_latest(void *context, const struct sl_rec_point *point)
{
	sl_ml_write_point(context, point, NULL);
	return 0;
}

/* A list that is left out when it turns out empty. */
static void close_list(struct sl_buf *out, size_t before)
{
	if (out->len && out->data[out->len - 1] == '[')
		out->data[out->len = before] = 0;
	else
		sl_buf_char(out, ']');
}

static int write_data(struct sl_record *record, int64_t run, struct sl_buf *out, struct sl_error *err)
{
	sl_ml_open(out, "data", '{');
	size_t before = out->len;
	sl_ml_open(out, "metrics", '[');
	int rc = sl_rec_latest(record, run, write_latest, out, err);
	close_list(out, before);
	before = out->len;
	sl_ml_open(out, "params", '[');
	if (!rc)
		rc = sl_rec_params(record, run, write_pair, out, err);
	close_list(out, before);
	before = out->len;
	sl_ml_open(out, "tags", '[');
	if (!rc)
		rc = sl_rec_tags(record, run, write_pair, out, err);
	close_list(out, before);
	sl_buf_char(out, '}');
	return rc;
}

static int write_dataset(void *context, const struct sl_rec_dataset *dataset, struct sl_error *err)
{
	struct sl_buf *out = context;
	(void)err;
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	if (strcmp(dataset->tags_json, "[]") != 0)
		sl_buf_printf(out, "\"tags\":%s,", dataset->tags_json);
	sl_buf_str(out, "\"dataset\":{");
	sl_ml_put_text(out, "name", dataset->name);
	sl_ml_put_text(out, "digest", dataset->digest);
	sl_ml_put_text(out, "source_type", dataset->source_type);
	sl_ml_put_text(out, "source", dataset->source);
	if (dataset->schema)
		sl_ml_put_text(out, "schema", dataset->schema);
	if (dataset->profile)
		sl_ml_put_text(out, "profile", dataset->profile);
	sl_buf_str(out, "}}");
	return 0;
}

static int write_model_in(void *context, const struct sl_rec_model *model, struct sl_error *err)
{
	struct sl_buf *out = context;
	(void)err;
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "model_id", model->id);
	sl_buf_char(out, '}');
	return 0;
}

static int write_model_out(void *context, const struct sl_rec_model *model, struct sl_error *err)
{
	struct sl_buf *out = context;
	(void)err;
	sl_ml_comma(out);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "model_id", model->id);
	sl_ml_put_int(out, "step", model->step);
	sl_buf_char(out, '}');
	return 0;
}

static int write_in_and_out(struct sl_record *record, int64_t run, struct sl_buf *out, struct sl_error *err)
{
	sl_ml_open(out, "inputs", '{');
	size_t before = out->len;
	sl_ml_open(out, "dataset_inputs", '[');
	int rc = sl_rec_inputs(record, run, write_dataset, out, err);
	close_list(out, before);
	before = out->len;
	sl_ml_open(out, "model_inputs", '[');
	if (!rc)
		rc = sl_rec_models(record, run, false, write_model_in, out, err);
	close_list(out, before);
	sl_buf_char(out, '}');
	sl_ml_open(out, "outputs", '{');
	before = out->len;
	sl_ml_open(out, "model_outputs", '[');
	if (!rc)
		rc = sl_rec_models(record, run, true, write_model_out, out, err);
	close_list(out, before);
	sl_buf_char(out, '}');
	return rc;
}

int sl_ml_write_run(struct sl_record *record, const struct sl_rec_run *run, struct sl_buf *out, struct sl_error *err)
{
	sl_buf_str(out, "{\"info\":");
	sl_ml_write_run_info(run, out);
	int rc = write_data(record, run->num, out, err);
	if (!rc)
		rc = write_in_and_out(record, run->num, out, err);
	sl_buf_char(out, '}');
	return rc;
}

#include "op/import_remote.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/import_remote_models.h"
#include "op/remote_json.h"
#include "os/file.h"
#include "record/input.h"
#include "record/limits.h"

enum { EXPERIMENTS_PAGE = 1000, RUNS_PAGE = 100, HISTORY_PAGE = 10000, DEPTH_MAX = 32 };
#define API "/api/2.0/mlflow"

/* ---- artifacts ------------------------------------------------------------------------------------------------------ */

static int fetch_file(struct sl_remote_reader *r, const struct sl_remote_tree *tree, const char *path, struct sl_error *err)
{
	char file[SL_PATH_MAX];
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX);
	SL_AUTO_CLOSE int fd = -1;
	sl_buf_str(&url, tree->file);
	sl_remote_encode(&url, path, false);
	int rc = sl_import_pause(r->import, err);
	rc = rc ? rc : sl_path_join(file, r->dir, "artifact", err);
	rc = rc ? rc : sl_file_open(file, O_RDWR | O_CREAT | O_TRUNC, 0600, &fd, err);
	rc = rc ? rc : sl_remote_download(r->remote, sl_buf_cstr(&url), fd, err);
	return rc ? rc : sl_import_artifact(r->import, file, tree->uri, path, true, err);
}

int sl_remote_tree_fetch(struct sl_remote_reader *r, const struct sl_remote_tree *tree, const char *folder, int depth, struct sl_error *err)
{
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX);
	char token[SL_REMOTE_TOKEN_MAX] = "";
	int rc = depth > DEPTH_MAX ? sl_fail(err, SL_E_TOO_LARGE, "the folder '%.200s' is too deep", folder) : 0;
	do {
		SL_AUTO_JSON yyjson_doc *doc = NULL;
		yyjson_val *item;
		size_t i, max;
		sl_buf_clear(&url);
		sl_buf_str(&url, tree->list);
		sl_remote_encode(&url, folder, false);
		if (*token) {
			sl_buf_str(&url, "&page_token=");
			sl_remote_encode(&url, token, false);
		}
		rc = rc ? rc : sl_import_pause(r->import, err);
		rc = rc ? rc : sl_remote_get(r->remote, sl_buf_cstr(&url), &doc, err);
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "files"), i, max, item) {
			const char *path = sl_json_str(item, "path", "");
			if (rc || !*path)
				break;
			rc = sl_json_bool(item, "is_dir", false) ? sl_remote_tree_fetch(r, tree, path, depth + 1, err) : fetch_file(r, tree, path, err);
		}
		sl_remote_token(doc, token);
	} while (!rc && *token);
	return rc;
}

static int fetch_artifacts(struct sl_remote_reader *r, const char *run, struct sl_error *err)
{
	struct sl_buf list SL_AUTO_BUF = SL_BUF_INIT(1024), file SL_AUTO_BUF = SL_BUF_INIT(1024);
	sl_buf_printf(&list, API "/artifacts/list?run_id=%.100s&path=", run);
	sl_buf_printf(&file, "/get-artifact?run_uuid=%.100s&path=", run);
	const struct sl_remote_tree tree = {sl_buf_cstr(&list), sl_buf_cstr(&file), r->import->run.artifact_uri};
	return sl_remote_tree_fetch(r, &tree, "", 0, err);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

static int put_points(struct sl_remote_reader *r, const char *name, yyjson_val *list, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_rec_metric *points = arena ? sl_arena_array(arena, SL_REC_BATCH_METRICS, sizeof *points) : NULL;
	size_t i, max, count = 0;
	yyjson_val *item;
	int rc = points ? 0 : sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item) {
		if (rc)
			break;
		points[count++] = (struct sl_rec_metric){.name = name, .value = sl_remote_double(yyjson_obj_get(item, "value")),
			.time_ms = sl_remote_int(item, "timestamp", 0), .step = sl_remote_int(item, "step", 0), .model = "", .dataset_name = "",
			.dataset_digest = ""};
		if (count < SL_REC_BATCH_METRICS && i + 1 < max)
			continue;
		rc = sl_import_metrics(r->import, points, count, arena, err);
		count = 0;
	}
	return rc;
}

static int fetch_history(struct sl_remote_reader *r, const char *run, const char *name, struct sl_error *err)
{
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX);
	char token[SL_REMOTE_TOKEN_MAX] = "";
	int rc;
	do {
		SL_AUTO_JSON yyjson_doc *doc = NULL;
		sl_buf_clear(&url);
		sl_buf_printf(&url, API "/metrics/get-history?run_id=%.100s&max_results=%d&metric_key=", run, HISTORY_PAGE);
		sl_remote_encode(&url, name, false);
		if (*token) {
			sl_buf_str(&url, "&page_token=");
			sl_remote_encode(&url, token, false);
		}
		rc = sl_import_pause(r->import, err);
		rc = rc ? rc : sl_remote_get(r->remote, sl_buf_cstr(&url), &doc, err);
		rc = rc ? rc : put_points(r, name, yyjson_obj_get(yyjson_doc_get_root(doc), "metrics"), err);
		sl_remote_token(doc, token);
	} while (!rc && *token);
	return rc;
}

static int fetch_metrics(struct sl_remote_reader *r, const char *run, yyjson_val *metrics, struct sl_error *err)
{
	yyjson_val *item;
	size_t i, max;
	int rc = 0;
	yyjson_arr_foreach(metrics, i, max, item)
		if (!rc)
			rc = fetch_history(r, run, sl_json_str(item, "key", ""), err);
	return rc;
}

/* ---- runs ----------------------------------------------------------------------------------------------------------- */

static void read_dataset(yyjson_val *input, struct sl_arena *arena, struct sl_rec_dataset *ret)
{
	yyjson_val *dataset = yyjson_obj_get(input, "dataset");
	struct sl_pair *tags = NULL;
	size_t count = 0;
	if (sl_remote_pairs(yyjson_obj_get(input, "tags"), arena, &tags, &count))
		count = 0;
	*ret = (struct sl_rec_dataset){.name = sl_json_str(dataset, "name", ""), .digest = sl_json_str(dataset, "digest", ""),
		.source_type = sl_json_str(dataset, "source_type", ""), .source = sl_json_str(dataset, "source", ""),
		.schema = sl_json_str(dataset, "schema", NULL), .profile = sl_json_str(dataset, "profile", NULL), .context = "", .tags = tags,
		.tag_count = count};
	for (size_t i = 0; i < count; i++)
		if (strcmp(tags[i].name, "mlflow.data.context") == 0)
			ret->context = tags[i].value;
}

static int read_models(yyjson_val *list, struct sl_arena *arena, struct sl_rec_model **ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *item;
	size_t i, max;
	*ret = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof **ret);
	*ret_count = 0;
	if (!*ret)
		return sl_fail_memory(err);
	yyjson_arr_foreach(list, i, max, item)
		(*ret)[(*ret_count)++] = (struct sl_rec_model){sl_json_str(item, "model_id", ""), sl_remote_int(item, "step", 0)};
	return 0;
}

/* Datasets and logged models that the run read and made. */
static int put_links(struct sl_remote_reader *r, yyjson_val *run, struct sl_arena *arena, struct sl_error *err)
{
	yyjson_val *inputs = yyjson_obj_get(run, "inputs"), *list = yyjson_obj_get(inputs, "dataset_inputs"), *item;
	struct sl_rec_dataset *datasets = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof *datasets);
	struct sl_rec_model *in, *out;
	size_t i, max, count = 0, in_count, out_count;
	const struct sl_change change = {"logged.import", r->import->source, strlen(r->import->source)};
	int rc = datasets ? read_models(yyjson_obj_get(inputs, "model_inputs"), arena, &in, &in_count, err) : sl_fail_memory(err);
	rc = rc ? rc : read_models(yyjson_obj_get(yyjson_obj_get(run, "outputs"), "model_outputs"), arena, &out, &out_count, err);
	if (rc)
		return rc;
	yyjson_arr_foreach(list, i, max, item)
		read_dataset(item, arena, &datasets[count++]);
	if (count || in_count)
		rc = sl_rec_log_inputs(r->import->record, &r->import->run, datasets, count, in, in_count, &change, err);
	if (!rc && out_count)
		rc = sl_rec_log_outputs(r->import->record, &r->import->run, out, out_count, &change, err);
	return rc;
}

static int import_body(struct sl_remote_reader *r, yyjson_val *json, const struct sl_import_run *run, struct sl_arena *arena, struct sl_error *err)
{
	int rc = put_links(r, json, arena, err);
	rc = rc ? rc : fetch_metrics(r, run->id, yyjson_obj_get(yyjson_obj_get(json, "data"), "metrics"), err);
	rc = rc ? rc : fetch_artifacts(r, run->id, err);
	return rc ? rc : sl_import_run_end(r->import, run, err);
}

static int import_run(void *context, yyjson_val *json, struct sl_error *err)
{
	struct sl_remote_reader *r = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	yyjson_val *info = yyjson_obj_get(json, "info"), *data = yyjson_obj_get(json, "data");
	struct sl_pair *tags, *params;
	const char *id = sl_json_str(info, "run_id", "");
	struct sl_import_run run = {.id = *id ? id : sl_json_str(info, "run_uuid", ""), .name = sl_json_str(info, "run_name", ""),
		.user = sl_json_str(info, "user_id", ""), .status = sl_json_str(info, "status", ""), .started_ms = sl_remote_int(info, "start_time", 0),
		.ended = yyjson_obj_get(info, "end_time") != NULL, .ended_ms = sl_remote_int(info, "end_time", 0),
		.deleted = strcmp(sl_json_str(info, "lifecycle_stage", ""), "deleted") == 0};
	if (!sl_rec_status_valid(run.status))
		run.status = "FINISHED";
	int rc = arena ? sl_remote_pairs(yyjson_obj_get(data, "tags"), arena, &tags, &run.tag_count) : SL_E_NO_MEMORY;
	rc = rc ? rc : sl_remote_pairs(yyjson_obj_get(data, "params"), arena, &params, &run.param_count);
	if (rc)
		return sl_fail_memory(err);
	run.tags = tags;
	run.params = params;
	rc = sl_import_run_begin(r->import, &r->experiment, &run, arena, err);
	if (rc == 1)
		rc = import_body(r, json, &run, arena, err);
	sl_import_drop(r->import);
	return rc;
}

/* ---- experiments ---------------------------------------------------------------------------------------------------- */

static int import_experiment(void *context, yyjson_val *json, struct sl_error *err)
{
	struct sl_remote_reader *r = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	struct sl_pair *tags;
	size_t count;
	const char *id = sl_json_str(json, "experiment_id", "");
	int rc = arena && !sl_remote_pairs(yyjson_obj_get(json, "tags"), arena, &tags, &count) ? 0 : sl_fail_memory(err);
	rc = rc ? rc : sl_import_experiment(r->import, id, sl_json_str(json, "name", ""), tags, count,
		strcmp(sl_json_str(json, "lifecycle_stage", ""), "deleted") == 0, arena, &r->experiment, err);
	rc = rc ? rc : sl_import_remote_models(r, id, err);
	sl_buf_str(&body, "{\"run_view_type\":\"ALL\",\"order_by\":[\"attributes.start_time ASC\"],\"experiment_ids\":[");
	sl_json_string(&body, id, strlen(id));
	sl_buf_char(&body, ']');
	return rc ? rc : sl_remote_each(r->remote, API "/runs/search", sl_buf_cstr(&body), RUNS_PAGE, "runs", import_run, r, err);
}

int sl_import_remote(struct sl_import *import, struct sl_remote *remote, const char *tmp_dir, struct sl_error *err)
{
	struct sl_remote_reader r = {.import = import, .remote = remote};
	int rc = sl_dir_make_temporary(tmp_dir, "import-", r.dir, err);
	if (rc)
		return rc;
	rc = sl_remote_each(remote, API "/experiments/search", "{\"view_type\":\"ALL\",\"order_by\":[\"creation_time ASC\"]", EXPERIMENTS_PAGE,
		"experiments", import_experiment, &r, err);
	rc = rc ? rc : sl_import_remote_registry(&r, err);
	sl_dir_remove(r.dir, NULL);
	return rc;
}

#include "op/import_remote_models.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/remote_json.h"
#include "record/logged_model.h"

enum { MODELS_PAGE = 100, REGISTERED_PAGE = 1000, VERSIONS_PAGE = 10000 };
#define API "/api/2.0/mlflow"

/* ---- logged models -------------------------------------------------------------------------------------------------- */

static int make_model(struct sl_remote_reader *r, yyjson_val *info, yyjson_val *data, struct sl_arena *arena, struct sl_logged_model *ret,
	struct sl_error *err)
{
	const struct sl_change change = {"logged-model.import", r->import->source, strlen(r->import->source)};
	struct sl_logged_model_start start = {.id = sl_json_str(info, "model_id", ""), .name = sl_json_str(info, "name", NULL),
		.model_type = sl_json_str(info, "model_type", NULL), .run = sl_json_str(info, "source_run_id", NULL)};
	struct sl_pair *tags, *params;
	if (sl_remote_pairs(yyjson_obj_get(info, "tags"), arena, &tags, &start.tag_count) ||
	    sl_remote_pairs(yyjson_obj_get(data, "params"), arena, &params, &start.param_count))
		return sl_fail_memory(err);
	start.tags = tags;
	start.params = params;
	int rc = sl_meta_begin(r->import->record->meta, err);
	return rc ? rc : sl_meta_end(r->import->record->meta,
		sl_logged_model_create(r->import->record, &r->experiment, &start, &change, arena, ret, err), err);
}

/* Its state comes last: until it is the one over there, the next import fetches the files again. */
static int finish_model(struct sl_remote_reader *r, struct sl_logged_model *model, const char *status, struct sl_error *err)
{
	const struct sl_change change = {"logged-model.import", r->import->source, strlen(r->import->source)};
	int rc = sl_import_pause(r->import, err);
	rc = rc ? rc : sl_meta_begin(r->import->record->meta, err);
	return rc ? rc : sl_meta_end(r->import->record->meta, sl_logged_model_finalize(r->import->record, model, status, &change, err), err);
}

static int import_model(void *context, yyjson_val *json, struct sl_error *err)
{
	struct sl_remote_reader *r = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_buf list SL_AUTO_BUF = SL_BUF_INIT(1024), file SL_AUTO_BUF = SL_BUF_INIT(1024);
	yyjson_val *info = yyjson_obj_get(json, "info");
	const char *id = sl_json_str(info, "model_id", ""), *status = sl_json_str(info, "status", "LOGGED_MODEL_READY");
	struct sl_logged_model model;
	r->import->read.logged_models++;
	int rc = arena ? sl_logged_model_get(r->import->record, id, arena, &model, err) : SL_E_NO_MEMORY;
	bool complete = rc == 0 && strcmp(model.status, status) == 0 && strcmp(status, "LOGGED_MODEL_PENDING") != 0;
	if (rc == SL_E_NOT_FOUND)
		rc = make_model(r, info, yyjson_obj_get(json, "data"), arena, &model, err);
	sl_buf_printf(&list, API "/logged-models/%.100s/artifacts/directories?artifact_directory_path=", id);
	sl_buf_printf(&file, "/ajax-api/2.0/mlflow/logged-models/%.100s/artifacts/files?artifact_file_path=", id);
	const struct sl_remote_tree tree = {sl_buf_cstr(&list), sl_buf_cstr(&file), model.artifact_uri};
	if (!rc && !complete)
		rc = sl_remote_tree_fetch(r, &tree, "", 0, err);
	if (!rc && !complete)
		rc = finish_model(r, &model, status, err);
	sl_import_drop(r->import);
	r->import->there.logged_models += !rc;
	return rc;
}

int sl_import_remote_models(struct sl_remote_reader *r, const char *id, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	struct sl_error why = {0};
	sl_buf_str(&body, "{\"experiment_ids\":[");
	sl_json_string(&body, id, strlen(id));
	sl_buf_char(&body, ']');
	int rc = sl_remote_each(r->remote, API "/logged-models/search", sl_buf_cstr(&body), MODELS_PAGE, "models", import_model, r, &why);
	if (rc == SL_E_NOT_FOUND && !r->import->read.logged_models)
		return 0;
	if (rc)
		*err = why;
	return rc;
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

static int64_t number_of(yyjson_val *version) { return sl_remote_int(version, "version", 0); }

/* Where the artifacts of a run lie over there: "" when it is gone. */
static int run_artifacts(struct sl_remote_reader *r, const char *run, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(1024);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	*ret = "";
	if (!*run)
		return 0;
	sl_buf_printf(&url, API "/runs/get?run_id=%.100s", run);
	struct sl_error why = {0};
	int rc = sl_remote_get(r->remote, sl_buf_cstr(&url), &doc, &why);
	if (rc && rc != SL_E_NOT_FOUND) {
		*err = why;
		return rc;
	}
	*ret = sl_arena_strdup(arena, sl_json_str(yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "info"), "artifact_uri", ""));
	return *ret ? 0 : sl_fail_memory(err);
}

static int import_version(void *context, yyjson_val *json, struct sl_error *err)
{
	struct sl_remote_reader *r = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_pair *tags;
	struct sl_import_version version = {.model = sl_json_str(json, "name", ""), .description = sl_json_str(json, "description", ""),
		.source = sl_json_str(json, "source", ""), .run = sl_json_str(json, "run_id", ""), .stage = sl_json_str(json, "current_stage", "None"),
		.version = number_of(json)};
	int rc = arena ? run_artifacts(r, version.run, arena, &version.run_artifacts, err) : SL_E_NO_MEMORY;
	if (!rc && sl_remote_pairs(yyjson_obj_get(json, "tags"), arena, &tags, &version.tag_count))
		rc = sl_fail_memory(err);
	version.tags = rc ? NULL : tags;
	return rc ? rc : sl_import_version(r->import, &version, arena, err);
}

static int import_versions(struct sl_remote_reader *r, const char *name, struct sl_error *err)
{
	struct sl_buf path SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX), filter SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_buf_printf(&filter, "name='%s'", name);
	sl_buf_str(&path, API "/model-versions/search?order_by=version_number%20ASC&filter=");
	sl_remote_encode(&path, sl_buf_cstr(&filter), false);
	return sl_remote_each(r->remote, sl_buf_cstr(&path), NULL, VERSIONS_PAGE, "model_versions", import_version, r, err);
}

static int import_registered(void *context, yyjson_val *json, struct sl_error *err)
{
	struct sl_remote_reader *r = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	const char *name = sl_json_str(json, "name", "");
	struct sl_pair *tags;
	size_t count, i, max;
	yyjson_val *alias;
	int rc = arena && !sl_remote_pairs(yyjson_obj_get(json, "tags"), arena, &tags, &count) ? 0 : sl_fail_memory(err);
	rc = rc ? rc : sl_import_model(r->import, name, sl_json_str(json, "description", ""), tags, count, arena, err);
	rc = rc ? rc : import_versions(r, name, err);
	yyjson_arr_foreach(yyjson_obj_get(json, "aliases"), i, max, alias)
		if (!rc)
			rc = sl_import_alias(r->import, name, sl_json_str(alias, "alias", ""), number_of(alias), arena, err);
	return rc;
}

int sl_import_remote_registry(struct sl_remote_reader *r, struct sl_error *err)
{
	static const char *const FILTERS[] = {"", "tags.%60mlflow.prompt.is_prompt%60%20%3D%20%27true%27"}; /* prompts show only when asked for */
	int rc = 0;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(FILTERS); i++) {
		struct sl_buf path SL_AUTO_BUF = SL_BUF_INIT(1024);
		sl_buf_printf(&path, API "/registered-models/search?filter=%s", FILTERS[i]);
		rc = sl_remote_each(r->remote, sl_buf_cstr(&path), NULL, REGISTERED_PAGE, "registered_models", import_registered, r, err);
	}
	return rc;
}

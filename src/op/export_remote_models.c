#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/export_remote.h"
#include "op/remote_json.h"
#include "os/file.h"
#include "record/artifact.h"
#include "record/registry.h"

enum { BODY_MAX = 64 << 20, MODELS_PAGE = 100, GAP_MAX = 10000, FOLDER_PAGE = 1000 };
static const char MODEL_TAG[] = "sluice.model_id";

/* ---- requests ------------------------------------------------------------------------------------------------------- */

int sl_export_post(struct sl_exporter *e, const char *what, struct sl_buf *body, yyjson_doc **ret, struct sl_error *err)
{
	char path[256];
	snprintf(path, sizeof path, "/api/2.0/mlflow/%s", what);
	int rc = sl_buf_check(body, "a request", err);
	return rc ? rc : sl_remote_send(e->remote, "POST", path, body->data, body->len, ret, err);
}

void sl_export_text(struct sl_buf *out, const char *name, const char *value)
{
	sl_buf_printf(out, "\"%s\":", name);
	sl_json_string(out, value, strlen(value));
}

void sl_export_pairs(struct sl_buf *out, const char *name, const struct sl_pair *pairs, size_t count)
{
	sl_buf_printf(out, "\"%s\":[", name);
	for (size_t i = 0; i < count; i++) {
		sl_buf_str(out, i ? ",{" : "{");
		sl_export_text(out, "key", pairs[i].name);
		sl_buf_char(out, ',');
		sl_export_text(out, "value", pairs[i].value);
		sl_buf_char(out, '}');
	}
	sl_buf_char(out, ']');
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------ */

struct tree { struct sl_exporter *exporter; const char *from, *to; struct sl_error *err; };

static int send_file(struct tree *tree, const struct sl_artifact *artifact)
{
	struct sl_exporter *e = tree->exporter;
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX);
	char file[SL_PATH_MAX];
	SL_AUTO_CLOSE int fd = -1;
	sl_buf_str(&url, "/api/2.0/mlflow-artifacts/artifacts/");
	sl_remote_encode(&url, tree->to, true);
	sl_buf_char(&url, '/');
	sl_remote_encode(&url, artifact->name, true);
	e->here.artifacts++;
	int rc = sl_objects_path(e->objects, &artifact->hash, file, tree->err);
	rc = rc ? rc : sl_file_open(file, O_RDONLY, 0, &fd, tree->err);
	rc = rc ? rc : sl_remote_upload(e->remote, sl_buf_cstr(&url), fd, artifact->size_bytes, tree->err);
	e->there.artifacts += !rc;
	return rc;
}

static int send_folder(struct tree *tree);

static int send_entry(void *context, const struct sl_artifact *artifact)
{
	struct tree *tree = context;
	char from[SL_ARTIFACT_PATH_MAX], to[SL_ARTIFACT_PATH_MAX * 2];
	if (!artifact->is_folder)
		return send_file(tree, artifact);
	snprintf(from, sizeof from, "%s/%s", tree->from, artifact->name);
	snprintf(to, sizeof to, "%s/%s", tree->to, artifact->name);
	struct tree below = {tree->exporter, from, to, tree->err};
	return send_folder(&below);
}

static int send_folder(struct tree *tree)
{
	return sl_artifact_each(tree->exporter->record, tree->from, "", INT64_MAX, send_entry, tree, tree->err);
}

int sl_export_tree(struct sl_exporter *e, const char *from, const char *to, struct sl_error *err)
{
	struct sl_artifact first;
	struct tree tree = {e, sl_artifact_path_of(from), sl_artifact_path_of(to), err};
	char text[400];
	if (!tree.from || sl_artifact_find(e->record, tree.from, &first, NULL))
		return 0;
	if (tree.to)
		return send_folder(&tree);
	snprintf(text, sizeof text, "artifacts for '%.300s' were not sent: that place is not behind the server's proxy", to);
	e->refused++;
	if (e->news)
		e->news(e->context, text);
	return 0;
}

/* ---- logged models ---------------------------------------------------------------------------------------------------- */

static int keep_model(struct sl_exporter *e, const char *ours, yyjson_val *info, struct sl_error *err)
{
	struct sl_export_there *there = sl_arena_alloc(e->arena, sizeof *there);
	if (!there)
		return sl_fail_memory(err);
	*there = (struct sl_export_there){sl_arena_strdup(e->arena, sl_json_str(info, "model_id", "")),
		sl_arena_strdup(e->arena, sl_json_str(info, "artifact_uri", "")), sl_arena_strdup(e->arena, sl_json_str(info, "status", ""))};
	return there->id && there->uri && there->exported ? sl_map_set(e->models, ours, there, NULL, err) : sl_fail_memory(err);
}

static int note_model(void *context, yyjson_val *model, struct sl_error *err)
{
	struct sl_exporter *e = context;
	yyjson_val *info = yyjson_obj_get(model, "info"), *tag;
	size_t i, max;
	yyjson_arr_foreach(yyjson_obj_get(info, "tags"), i, max, tag)
		if (strcmp(sl_json_str(tag, "key", ""), MODEL_TAG) == 0)
			return keep_model(e, sl_json_str(tag, "value", ""), info, err);
	return 0;
}

static int create_model(struct sl_exporter *e, const struct sl_logged_model *model, const char *experiment, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	const struct sl_export_there *run = *model->run ? sl_map_get(e->runs, model->run) : NULL;
	struct sl_pair *tags, *params, *all;
	size_t tag_count, param_count;
	int rc = sl_pairs_read(e->record, SL_PAIR_LOGGED_TAG, model->num, arena, &tags, &tag_count, err);
	rc = rc ? rc : sl_pairs_read(e->record, SL_PAIR_LOGGED_PARAM, model->num, arena, &params, &param_count, err);
	if (rc)
		return rc;
	if (!(all = sl_arena_array(arena, tag_count + 1, sizeof *all)))
		return sl_fail_memory(err);
	memcpy(all, tags, tag_count * sizeof *all);
	all[tag_count] = (struct sl_pair){MODEL_TAG, model->id};
	sl_buf_char(&body, '{');
	sl_export_text(&body, "experiment_id", experiment);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "name", model->name);
	if (run) {
		sl_buf_char(&body, ',');
		sl_export_text(&body, "source_run_id", run->id);
	}
	if (*model->model_type) {
		sl_buf_char(&body, ',');
		sl_export_text(&body, "model_type", model->model_type);
	}
	sl_buf_char(&body, ',');
	sl_export_pairs(&body, "tags", all, tag_count + 1);
	sl_buf_char(&body, ',');
	sl_export_pairs(&body, "params", params, param_count);
	sl_buf_char(&body, '}');
	rc = sl_export_post(e, "logged-models", &body, &doc, err);
	return rc ? rc : keep_model(e, model->id, yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "model"), "info"), err);
}

static int finish_model(struct sl_exporter *e, const struct sl_logged_model *model, const struct sl_export_there *there, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	const struct sl_export_there *run = *model->run ? sl_map_get(e->runs, model->run) : NULL;
	char path[256];
	int rc = 0;
	if (run) {
		sl_buf_printf(&body, "{\"run_id\":\"%s\",\"models\":[{\"model_id\":\"%s\",\"step\":0}]}", run->id, there->id);
		rc = sl_export_post(e, "runs/outputs", &body, NULL, err);
		sl_buf_clear(&body);
	}
	snprintf(path, sizeof path, "/api/2.0/mlflow/logged-models/%.100s", there->id);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "model_id", there->id);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "status", model->status);
	sl_buf_char(&body, '}');
	return rc ? rc : sl_remote_send(e->remote, "PATCH", path, body.data, body.len, NULL, err);
}

static int export_model(struct sl_exporter *e, const struct sl_logged_model *model, const char *experiment, struct sl_arena *arena,
	struct sl_error *err)
{
	const struct sl_export_there *there = sl_map_get(e->models, model->id);
	e->here.logged_models++;
	int rc = there ? 0 : create_model(e, model, experiment, arena, err);
	there = sl_map_get(e->models, model->id);
	if (!rc && strcmp(there->exported, model->status) != 0) {
		rc = sl_export_tree(e, model->artifact_uri, there->uri, err);
		rc = rc ? rc : finish_model(e, model, there, err);
	}
	e->there.logged_models += !rc;
	return rc;
}

int sl_export_models(struct sl_exporter *e, int64_t experiment, const char *id, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	int64_t num = 0, any;
	int rc = sl_meta_int(e->record->meta, 0, &any, err, "SELECT count(*) FROM logged_model WHERE experiment = ?1 AND deleted = 0", "i", experiment);
	if (rc || !any)
		return rc;
	sl_buf_str(&body, "{\"experiment_ids\":[");
	sl_json_string(&body, id, strlen(id));
	sl_buf_char(&body, ']');
	rc = sl_remote_each(e->remote, "/api/2.0/mlflow/logged-models/search", sl_buf_cstr(&body), MODELS_PAGE, "models", note_model, e, err);
	while (!rc) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_logged_model model;
		rc = arena ? sl_meta_int(e->record->meta, 0, &num, err, "SELECT min(num) FROM logged_model WHERE num > ?1 AND experiment = ?2 AND "
			"deleted = 0", "ii", num, experiment) : SL_E_NO_MEMORY;
		if (rc || !num)
			break;
		rc = sl_logged_model_at(e->record, num, arena, &model, err);
		rc = rc < 0 ? rc : export_model(e, &model, id, arena, err);
	}
	return rc;
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

/* `uri` of this store as that server knows it: below a run's artifacts, a logged model, or as it is. NULL: memory is out. */
static const char *uri_there(struct sl_exporter *e, const char *uri)
{
	for (size_t pass = 0; pass < 2; pass++) {
		struct sl_map *map = pass ? e->models : e->runs;
		for (const char *part = uri; (part = strstr(part, pass ? "m-" : "/")); part++) {
			char id[40];
			const char *from = pass ? part : part + 1;
			snprintf(id, sizeof id, "%.*s", (int)strcspn(from, "/"), from);
			const struct sl_export_there *there = sl_map_get(map, id);
			if (!there)
				continue;
			const char *rest = strstr(from, "/artifacts");
			return sl_str_starts(uri, "models:/") ? sl_arena_printf(e->arena, "models:/%s", there->id)
				: sl_arena_printf(e->arena, "%s%s", there->uri, rest ? rest + 10 : "");
		}
	}
	return sl_arena_strdup(e->arena, uri);
}

static int send_version(struct sl_exporter *e, const struct sl_reg_version *v, bool real, int64_t *ret, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	const struct sl_export_there *run = *v->run ? sl_map_get(e->runs, v->run) : NULL,
				     *model = *v->logged_model ? sl_map_get(e->models, v->logged_model) : NULL;
	struct sl_pair *tags;
	size_t count;
	const char *source = uri_there(e, v->source);
	int rc = arena && source ? sl_pairs_read(e->record, SL_PAIR_VERSION_TAG, v->num, arena, &tags, &count, err) : sl_fail_memory(err);
	if (rc)
		return rc;
	sl_buf_char(&body, '{');
	sl_export_text(&body, "name", v->model);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "source", source);
	if (run) {
		sl_buf_char(&body, ',');
		sl_export_text(&body, "run_id", run->id);
	}
	if (model) {
		sl_buf_char(&body, ',');
		sl_export_text(&body, "model_id", model->id);
	}
	if (real) {
		sl_buf_char(&body, ',');
		sl_export_text(&body, "description", v->description);
		sl_buf_char(&body, ',');
		sl_export_pairs(&body, "tags", tags, count);
	}
	sl_buf_char(&body, '}');
	rc = sl_export_post(e, "model-versions/create", &body, &doc, err);
	*ret = sl_remote_int(yyjson_obj_get(yyjson_doc_get_root(doc), "model_version"), "version", 0);
	return rc;
}

static int version_call(struct sl_exporter *e, const char *method, const char *what, const char *name, int64_t version, const char *more,
	struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(8192);
	char path[128];
	snprintf(path, sizeof path, "/api/2.0/mlflow/%s", what);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "name", name);
	sl_buf_printf(&body, ",\"version\":\"%" PRId64 "\"%s}", version, more);
	int rc = sl_buf_check(&body, "a request", err);
	return rc ? rc : sl_remote_send(e->remote, method, path, body.data, body.len, NULL, err);
}

/* Versions are numbered by the server: numbers that are free here are made and deleted there. */
static int make_version(struct sl_exporter *e, const struct sl_reg_version *v, int64_t *last, struct sl_error *err)
{
	int rc = 0;
	while (!rc && *last < v->version) {
		int64_t made = 0;
		rc = send_version(e, v, *last + 1 == v->version, &made, err);
		if (!rc && (made <= *last || made > *last + GAP_MAX))
			return sl_fail(err, SL_E_CONFLICT, "the server gave '%.200s' the version %" PRId64 " after %" PRId64, v->model, made, *last);
		*last = rc ? *last : made;
		if (!rc && made < v->version)
			rc = version_call(e, "DELETE", "model-versions/delete", v->model, made, "", err);
	}
	if (!rc && *last == v->version && strcmp(v->stage, "None") != 0) {
		char stage[128];
		snprintf(stage, sizeof stage, ",\"stage\":\"%.40s\",\"archive_existing_versions\":false", v->stage);
		rc = version_call(e, "POST", "model-versions/transition-stage", v->model, v->version, stage, err);
	}
	return rc;
}

static int has_version(struct sl_exporter *e, const char *name, int64_t version, bool *ret, struct sl_error *err)
{
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	struct sl_error why = {0};
	sl_buf_str(&url, "/api/2.0/mlflow/model-versions/get?name=");
	sl_remote_encode(&url, name, false);
	sl_buf_printf(&url, "&version=%" PRId64, version);
	int rc = sl_remote_get(e->remote, sl_buf_cstr(&url), &doc, &why);
	*ret = rc == 0;
	if (rc && rc != SL_E_NOT_FOUND)
		*err = why;
	return rc == SL_E_NOT_FOUND ? 0 : rc;
}

static int export_versions(struct sl_exporter *e, const struct sl_reg_model *model, struct sl_error *err)
{
	int64_t number = 0, last = 0;
	int rc = 0;
	while (!rc) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_reg_version version;
		char text[24];
		bool there = false;
		rc = arena ? sl_meta_int(e->record->meta, 0, &number, err, "SELECT min(version) FROM reg_version WHERE model = ?1 AND version > ?2 AND "
			"deleted = 0", "ii", model->num, number) : SL_E_NO_MEMORY;
		if (rc || !number)
			break;
		snprintf(text, sizeof text, "%" PRId64, number);
		rc = sl_reg_version_get(e->record, model->name, text, arena, &version, err);
		e->here.versions++;
		rc = rc ? rc : has_version(e, model->name, number, &there, err);
		if (!rc && there)
			last = number;
		else if (!rc)
			rc = make_version(e, &version, &last, err);
		e->there.versions += !rc;
	}
	return rc;
}

struct alias { struct sl_exporter *exporter; const char *model; struct sl_error *err; };

static int send_alias(void *context, const char *alias, int64_t version)
{
	struct alias *a = context;
	struct sl_buf more SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_buf_char(&more, ',');
	sl_export_text(&more, "alias", alias);
	return version_call(a->exporter, "POST", "registered-models/alias", a->model, version, sl_buf_cstr(&more), a->err);
}

static int export_registered(struct sl_exporter *e, const struct sl_reg_model *model, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	struct sl_pair *tags;
	size_t count;
	struct alias alias = {e, model->name, err};
	struct sl_error why = {0};
	e->here.models++;
	int rc = sl_pairs_read(e->record, SL_PAIR_MODEL_TAG, model->num, arena, &tags, &count, err);
	if (rc)
		return rc;
	sl_buf_char(&body, '{');
	sl_export_text(&body, "name", model->name);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "description", model->description);
	sl_buf_char(&body, ',');
	sl_export_pairs(&body, "tags", tags, count);
	sl_buf_char(&body, '}');
	rc = sl_export_post(e, "registered-models/create", &body, NULL, &why);
	if (rc && rc != SL_E_CONFLICT) {
		*err = why;
		return rc;
	}
	rc = export_versions(e, model, err);
	rc = rc ? rc : sl_reg_aliases(e->record, model->num, send_alias, &alias, err);
	e->there.models += !rc;
	return rc;
}

int sl_export_registry(struct sl_exporter *e, struct sl_error *err)
{
	int64_t num = 0;
	int rc = 0;
	while (!rc) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_reg_model model;
		rc = arena ? sl_meta_int(e->record->meta, 0, &num, err, "SELECT min(num) FROM reg_model WHERE num > ?1", "i", num) : SL_E_NO_MEMORY;
		if (rc || !num)
			break;
		rc = sl_reg_model_at(e->record, num, arena, &model, err);
		rc = rc ? rc : export_registered(e, &model, arena, err);
	}
	return rc;
}

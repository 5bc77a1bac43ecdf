/* MLflow's file store (mlflow/store/tracking/file_store.py, store/model_registry/file_store.py):
 *
 *   mlruns/<experiment id>/meta.yaml, tags/<name>
 *                         /<run id>/meta.yaml, params/<name>, tags/<name>, metrics/<name> (lines "time value step"), artifacts/
 *   mlruns/.trash/<experiment id>/...
 *   mlruns/models/<name>/meta.yaml, tags/, aliases/<alias>, version-<n>/meta.yaml, tags/
 *
 * A name with slashes is a path. */
#include "record/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/yaml.h"
#include "os/file.h"
#include "record/limits.h"

enum { META_MAX = 1 << 20, VALUE_MAX = 1 << 20, METRIC_FILE_MAX = 1 << 30, PAIRS_MAX = 100000, DEPTH_MAX = 32 };

struct reader {
	struct sl_import *import;
	struct sl_experiment experiment;
	bool trash;
	bool count_only;
};

/* ---- small files ---------------------------------------------------------------------------------------------------- */

static int read_text(const char *path, size_t max, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(max);
	int rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	if (!sl_utf8_valid(sl_buf_cstr(&text), text.len) || strlen(sl_buf_cstr(&text)) != text.len)
		return sl_fail_at(err, SL_E_INVALID, path, "is not UTF-8 text");
	*ret = sl_arena_strdup(arena, sl_buf_cstr(&text));
	return *ret ? 0 : sl_fail_memory(err);
}

/* dir/meta.yaml; SL_E_NOT_FOUND when there is none. */
static int read_meta(const char *dir, struct sl_arena *arena, const struct sl_yaml **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	const char *text;
	int rc = sl_path_join(path, dir, "meta.yaml", err);
	if (!rc)
		rc = read_text(path, META_MAX, arena, &text, err);
	return rc ? rc : sl_yaml_parse(text, strlen(text), path, arena, ret, err);
}

static const char *text_of(const struct sl_yaml *meta, const char *key)
{
	const struct sl_yaml *node = sl_yaml_get(meta, key);
	return node && node->kind == SL_YAML_SCALAR && !sl_yaml_is_null(node) ? node->text : "";
}

/* false: absent, null or no number. */
static bool int_of(const struct sl_yaml *meta, const char *key, int64_t *ret)
{
	*ret = 0;
	return sl_str_int(text_of(meta, key), ret);
}

/* ---- folders of named values ---------------------------------------------------------------------------------------- */

struct pairs {
	struct sl_arena *arena;
	const char *dir, *prefix;
	struct sl_pair *items;
	size_t count, room;
	int depth;
	bool values; /* read the files; else value is the path */
};

static int add_pair(struct pairs *pairs, const char *name, const char *value, struct sl_error *err)
{
	if (pairs->count == pairs->room) {
		size_t room = pairs->room ? pairs->room * 2 : 64;
		struct sl_pair *more = room <= PAIRS_MAX * 2 ? sl_arena_array(pairs->arena, room, sizeof *more) : NULL;
		if (!more)
			return sl_fail_at(err, SL_E_TOO_LARGE, pairs->dir, "has more than %d values", PAIRS_MAX);
		if (pairs->count)
			memcpy(more, pairs->items, pairs->count * sizeof *more);
		pairs->items = more;
		pairs->room = room;
	}
	pairs->items[pairs->count++] = (struct sl_pair){name, value};
	return 0;
}

static int visit_value(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct pairs *pairs = context;
	char path[SL_PATH_MAX];
	const char *whole = sl_arena_printf(pairs->arena, "%s%s", pairs->prefix, name), *value;
	int rc = whole ? sl_path_join(path, pairs->dir, name, err) : sl_fail_memory(err);
	if (rc || (!info->is_dir && !info->is_regular) || info->is_link)
		return rc;
	if (info->is_dir) {
		const char *dir = pairs->dir, *prefix = pairs->prefix;
		pairs->dir = path;
		pairs->prefix = sl_arena_printf(pairs->arena, "%s/", whole);
		rc = !pairs->prefix ? sl_fail_memory(err) : ++pairs->depth > DEPTH_MAX ? sl_fail_at(err, SL_E_TOO_LARGE, path, "is too deep")
			: sl_dir_each(path, visit_value, pairs, err);
		pairs->depth--;
		pairs->dir = dir;
		pairs->prefix = prefix;
		return rc;
	}
	if (pairs->values)
		rc = read_text(path, VALUE_MAX, pairs->arena, &value, err);
	else if (!(value = sl_arena_strdup(pairs->arena, path)))
		rc = sl_fail_memory(err);
	return rc ? rc : add_pair(pairs, whole, value, err);
}

/* The files below dir/name; none when there is no such folder. */
static int read_pairs(const char *dir, const char *name, bool values, struct sl_arena *arena, struct pairs *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	*ret = (struct pairs){.arena = arena, .prefix = "", .values = values};
	int rc = sl_path_join(path, dir, name, err);
	if (rc || !sl_dir_exists(path))
		return rc;
	ret->dir = path;
	rc = sl_dir_each(path, visit_value, ret, err);
	ret->dir = "";
	return rc;
}

/* ---- runs ----------------------------------------------------------------------------------------------------------- */

/* "time value step"; the step is missing in the oldest stores. */
static bool parse_point(char *line, struct sl_rec_metric *ret)
{
	char *rest = NULL, *time = strtok_r(line, " \r", &rest), *value = strtok_r(NULL, " \r", &rest), *step = strtok_r(NULL, " \r", &rest);
	return time && value && sl_str_int(time, &ret->time_ms) && sl_str_double(value, &ret->value) &&
		(!step || sl_str_int(step, &ret->step));
}

static int import_metric(struct reader *r, const struct sl_pair *file, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(METRIC_FILE_MAX);
	struct sl_rec_metric *points = arena ? sl_arena_array(arena, SL_REC_BATCH_METRICS, sizeof *points) : NULL;
	char *rest = NULL;
	size_t count = 0;
	int rc = points ? sl_file_read(file->value, &text, err) : sl_fail_memory(err);
	if (rc || !text.len)
		return rc;
	sl_buf_cstr(&text);
	for (char *line = strtok_r(text.data, "\n", &rest); line && !rc; line = strtok_r(NULL, "\n", &rest)) {
		points[count] = (struct sl_rec_metric){.name = file->name, .model = "", .dataset_name = "", .dataset_digest = ""};
		if (!parse_point(line, &points[count]))
			return sl_fail_at(err, SL_E_INVALID, file->value, "'%.60s' is not a point (time, value, step)", line);
		if (++count == SL_REC_BATCH_METRICS) {
			rc = sl_import_metrics(r->import, points, count, arena, err);
			count = 0;
		}
	}
	return rc || !count ? rc : sl_import_metrics(r->import, points, count, arena, err);
}

/* MLflow wrote numbers at first, names later. */
static const char *status_of(const char *text)
{
	static const char *const NAMES[] = {"", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
	int64_t number;
	if (sl_str_int(text, &number))
		return number > 0 && number < (int64_t)SL_ARRAY_LEN(NAMES) ? NAMES[number] : "FINISHED";
	return sl_rec_status_valid(text) ? text : "FINISHED";
}

static int import_body(struct reader *r, const char *dir, const struct sl_import_run *run, struct sl_arena *arena, struct sl_error *err)
{
	struct pairs metrics;
	char artifacts[SL_PATH_MAX];
	int rc = read_pairs(dir, "metrics", false, arena, &metrics, err);
	for (size_t i = 0; !rc && i < metrics.count; i++)
		rc = import_metric(r, &metrics.items[i], err);
	if (!rc)
		rc = sl_path_join(artifacts, dir, "artifacts", err);
	if (!rc)
		rc = sl_import_artifacts(r->import, artifacts, "", err);
	return rc ? rc : sl_import_run_end(r->import, run, err);
}

static int import_run(struct reader *r, const char *dir, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	const struct sl_yaml *meta;
	struct pairs tags, params;
	int rc = arena ? read_meta(dir, arena, &meta, err) : SL_E_NO_MEMORY;
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc; /* another folder: models, traces */
	rc = read_pairs(dir, "tags", true, arena, &tags, err);
	if (!rc)
		rc = read_pairs(dir, "params", true, arena, &params, err);
	if (rc)
		return rc;
	const char *id = text_of(meta, "run_id");
	struct sl_import_run run = {.id = *id ? id : text_of(meta, "run_uuid"), .user = text_of(meta, "user_id"),
		.status = status_of(text_of(meta, "status")), .deleted = r->trash || strcmp(text_of(meta, "lifecycle_stage"), "deleted") == 0,
		.tags = tags.items, .tag_count = tags.count, .params = params.items, .param_count = params.count};
	run.name = text_of(meta, "run_name");
	if (!*run.name)
		run.name = text_of(meta, "name");
	int_of(meta, "start_time", &run.started_ms);
	run.ended = int_of(meta, "end_time", &run.ended_ms);
	if (!*run.id)
		return sl_fail_at(err, SL_E_INVALID, dir, "meta.yaml has no run_id");
	rc = sl_import_run_begin(r->import, &r->experiment, &run, arena, err);
	if (rc == 1)
		rc = import_body(r, dir, &run, arena, err);
	sl_import_drop(r->import);
	return rc;
}

/* ---- experiments ---------------------------------------------------------------------------------------------------- */

struct level { struct reader *reader; const char *dir; };

static int visit_run(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct level *level = context;
	char dir[SL_PATH_MAX];
	static const char *const OTHERS[] = {"tags", "models", "traces", "datasets"};
	if (!info->is_dir || info->is_link)
		return 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(OTHERS); i++)
		if (strcmp(name, OTHERS[i]) == 0)
			return 0;
	int rc = sl_path_join(dir, level->dir, name, err);
	if (!rc && level->reader->count_only) {
		level->reader->import->runs_total++;
		return 0;
	}
	return rc ? rc : import_run(level->reader, dir, err);
}

static int import_experiment(struct reader *r, const char *dir, const char *folder, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	const struct sl_yaml *meta;
	struct pairs tags;
	struct level level = {r, dir};
	int rc = arena ? read_meta(dir, arena, &meta, err) : SL_E_NO_MEMORY;
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	if (r->count_only)
		return sl_dir_each(dir, visit_run, &level, err);
	rc = read_pairs(dir, "tags", true, arena, &tags, err);
	const char *name = text_of(meta, "name"), *id = text_of(meta, "experiment_id");
	if (!rc)
		rc = sl_import_experiment(r->import, *id ? id : folder, *name ? name : folder, tags.items, tags.count,
			r->trash || strcmp(text_of(meta, "lifecycle_stage"), "deleted") == 0, arena, &r->experiment, err);
	return rc ? rc : sl_dir_each(dir, visit_run, &level, err);
}

static int visit_experiment(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct level *level = context;
	char dir[SL_PATH_MAX];
	if (!info->is_dir || info->is_link || strcmp(name, ".trash") == 0 || strcmp(name, "models") == 0)
		return 0;
	int rc = sl_path_join(dir, level->dir, name, err);
	return rc ? rc : import_experiment(level->reader, dir, name, err);
}

static int import_experiments(struct reader *r, const char *dir, struct sl_error *err)
{
	char trash[SL_PATH_MAX];
	struct level level = {r, dir}, below = {r, trash};
	r->trash = false;
	int rc = sl_path_join(trash, dir, ".trash", err);
	if (!rc)
		rc = sl_dir_each(dir, visit_experiment, &level, err);
	r->trash = true;
	if (!rc && sl_dir_exists(trash))
		rc = sl_dir_each(trash, visit_experiment, &below, err);
	return rc;
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

struct model { struct reader *reader; const char *dir; int64_t versions[10000]; size_t count; };

static int visit_version(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct model *model = context;
	int64_t number;
	if (!info->is_dir || info->is_link || !sl_str_starts(name, "version-") || !sl_str_int(name + 8, &number))
		return 0;
	if (model->count == SL_ARRAY_LEN(model->versions))
		return sl_fail_at(err, SL_E_TOO_LARGE, model->dir, "has more than %zu versions", SL_ARRAY_LEN(model->versions));
	model->versions[model->count++] = number;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static int import_version(struct model *model, const char *name, int64_t number, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	char dir[SL_PATH_MAX], folder[40];
	const struct sl_yaml *meta;
	struct pairs tags;
	snprintf(folder, sizeof folder, "version-%lld", (long long)number);
	int rc = arena ? sl_path_join(dir, model->dir, folder, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = read_meta(dir, arena, &meta, err);
	if (!rc)
		rc = read_pairs(dir, "tags", true, arena, &tags, err);
	if (rc || strcmp(text_of(meta, "current_stage"), "Deleted_Internal") == 0)
		return rc;
	struct sl_import_version version = {.model = name, .description = text_of(meta, "description"), .source = text_of(meta, "source"),
		.run = text_of(meta, "run_id"), .stage = text_of(meta, "current_stage"), .version = number, .tags = tags.items,
		.tag_count = tags.count};
	const char *at = *version.run ? strstr(version.source, version.run) : NULL, *artifacts = at ? strstr(at, "/artifacts") : NULL;
	version.run_artifacts = artifacts ? sl_arena_strndup(arena, version.source, (size_t)(artifacts - version.source) + 10) : "";
	return version.run_artifacts ? sl_import_version(model->reader->import, &version, arena, err) : sl_fail_memory(err);
}

static int import_aliases(struct model *model, const char *name, struct sl_arena *arena, struct sl_error *err)
{
	struct pairs aliases;
	int64_t number;
	int rc = read_pairs(model->dir, "aliases", true, arena, &aliases, err);
	for (size_t i = 0; !rc && i < aliases.count; i++)
		if (sl_str_int(aliases.items[i].value, &number))
			rc = sl_import_alias(model->reader->import, name, aliases.items[i].name, number, arena, err);
	return rc;
}

static int visit_model(void *context, const char *folder, const struct sl_file_info *info, struct sl_error *err)
{
	struct level *level = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct model *model = arena ? sl_arena_alloc(arena, sizeof *model) : NULL;
	char dir[SL_PATH_MAX];
	const struct sl_yaml *meta;
	struct pairs tags;
	if (!info->is_dir || info->is_link)
		return 0;
	int rc = model ? sl_path_join(dir, level->dir, folder, err) : sl_fail_memory(err);
	if (!rc)
		rc = read_meta(dir, arena, &meta, err);
	if (!rc)
		rc = read_pairs(dir, "tags", true, arena, &tags, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	const char *name = *text_of(meta, "name") ? text_of(meta, "name") : folder;
	model->reader = level->reader;
	model->dir = dir;
	rc = sl_import_model(level->reader->import, name, text_of(meta, "description"), tags.items, tags.count, arena, err);
	if (!rc)
		rc = sl_dir_each(dir, visit_version, model, err);
	if (model->count)
		qsort(model->versions, model->count, sizeof *model->versions, compare_numbers);
	for (size_t i = 0; !rc && i < model->count; i++)
		rc = import_version(model, name, model->versions[i], err);
	return rc ? rc : import_aliases(model, name, arena, err);
}

int sl_import_mlflow_files(struct sl_import *import, const char *dir, struct sl_error *err)
{
	struct reader reader = {.import = import, .count_only = true};
	char models[SL_PATH_MAX];
	struct level level = {&reader, models};
	if (!sl_dir_exists(dir))
		return sl_fail_at(err, SL_E_NOT_FOUND, dir, "there is no such folder");
	int rc = import_experiments(&reader, dir, err);
	reader.count_only = false;
	if (!rc)
		rc = import_experiments(&reader, dir, err);
	if (!rc)
		rc = sl_path_join(models, dir, "models", err);
	return rc || !sl_dir_exists(models) ? rc : sl_dir_each(models, visit_model, &level, err);
}

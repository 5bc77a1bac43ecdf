/* Sessions that ClearML's package (2.1) kept in off-line mode: a zip of
 *
 *   task.json        the task: name, project_name, hyperparams {section: {key: {value}}}, configuration, tags, script
 *   metrics.jsonl    a list of events a line: {"type":"training_stats_scalar","metric","variant","iter","value","timestamp"}; others are plots
 *   log.jsonl        a list a line: {"timestamp","msg"}
 *   data/.../<task name>.<task id>/artifacts/<key>/<file>, models/...
 */
#include "record/import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "os/file.h"
#include "port/archive.h"
#include "record/limits.h"

enum { TASK_MAX = 64 << 20, EVENTS_MAX = 1 << 30, PAIRS_MAX = 10000, TEXT_MAX = 1 << 30 };
static const int64_t SINGLE_VALUE = -2147483648; /* the "iter" of a value that stands by itself */

struct reader {
	struct sl_import *import;
	const char *zip;
	char dir[SL_PATH_MAX];     /* the session, unpacked */
	struct sl_arena *arena;
	struct sl_buf log, plots;  /* texts that become artifacts */
	int64_t first_ms, last_ms; /* of all events */
	/* Of the member that is being unpacked. */
	char path[SL_PATH_MAX];
	int fd;
};

/* ---- unpacking ------------------------------------------------------------------------------------------------------ */

static int begin_member(void *context, const struct sl_archive_member *member, struct sl_error *err)
{
	struct reader *r = context;
	int rc = sl_path_join(r->path, r->dir, member->path, err);
	char *slash = rc ? NULL : strrchr(r->path, '/');
	if (rc)
		return rc;
	*slash = 0;
	rc = sl_dir_make(r->path, err);
	*slash = '/';
	return rc ? rc : sl_file_open(r->path, O_WRONLY | O_CREAT | O_EXCL, 0600, &r->fd, err);
}

static int member_piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct reader *r = context;
	return sl_file_write_all(r->fd, data, len, r->path, err);
}

static int end_member(void *context, struct sl_error *err)
{
	struct reader *r = context;
	(void)err;
	sl_file_close(&r->fd);
	return 0;
}

static int read_file(const struct reader *r, const char *name, struct sl_buf *out, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, r->dir, name, err);
	return rc ? rc : sl_file_read(path, out, err);
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

typedef int event_fn(struct reader *r, yyjson_val *event, struct sl_error *err);

static void note_time(struct reader *r, yyjson_val *event)
{
	int64_t ms = sl_json_int(event, "timestamp", 0);
	if (ms > 0 && (!r->first_ms || ms < r->first_ms))
		r->first_ms = ms;
	if (ms > r->last_ms)
		r->last_ms = ms;
}

/* Each event of a file whose lines are lists; Python writes NaN and Infinity as these words. No such file: none. */
static int each_event(struct reader *r, const char *name, event_fn *each, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(EVENTS_MAX);
	struct sl_error why = {0};
	int rc = read_file(r, name, &text, &why);
	if (rc == SL_E_NOT_FOUND)
		return 0;
	if (rc)
		*err = why;
	for (char *at = text.len && !rc ? text.data : NULL, *end = at + text.len; at && at < end && !rc;) {
		char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line_end ? line_end : end) - at);
		SL_AUTO_JSON yyjson_doc *doc = yyjson_read(at, len, YYJSON_READ_ALLOW_INF_AND_NAN);
		yyjson_val *event;
		size_t i, max;
		if (!doc && len)
			return sl_fail_at(err, SL_E_INVALID, r->zip, "%s has a line that is no JSON", name);
		yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, event) {
			note_time(r, event);
			rc = rc ? rc : each(r, event, err);
		}
		at += len + 1;
	}
	return rc;
}

static int only_time(struct reader *r, yyjson_val *event, struct sl_error *err)
{
	(void)r, (void)event, (void)err;
	return 0;
}

/* Characters that no name of a metric can have become "_". */
static const char *clean(struct sl_arena *arena, const char *text)
{
	char *name = sl_arena_strndup(arena, text, strnlen(text, SL_REC_KEY_MAX));
	for (char *c = name; c && *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /:", *c))
			*c = '_';
	if (name && sl_rec_check_key(name, "key", NULL))
		for (char *c = name; *c; c++)
			*c = *c == '/' || *c == '.' ? '_' : *c;
	return name;
}

static int put_plot(struct reader *r, yyjson_val *event, struct sl_error *err)
{
	size_t before = r->plots.len;
	if (sl_json_canonical(event, &r->plots, NULL)) /* what has NaN in it is no JSON for others */
		r->plots.len = before;
	else
		sl_buf_char(&r->plots, '\n');
	return sl_buf_check(&r->plots, "plots.jsonl", err);
}

static int put_event(struct reader *r, yyjson_val *event, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = NULL;
	if (strcmp(sl_json_str(event, "type", ""), "training_stats_scalar") != 0)
		return put_plot(r, event, err);
	if (!(arena = sl_arena_new(0, err)))
		return SL_E_NO_MEMORY;
	int64_t step = sl_json_int(event, "iter", 0);
	const char *metric = sl_json_str(event, "metric", ""), *variant = sl_json_str(event, "variant", "");
	yyjson_val *value = yyjson_obj_get(event, "value");
	struct sl_rec_metric point = {.value = yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN, .step = step == SINGLE_VALUE ? 0 : step,
		.time_ms = sl_json_int(event, "timestamp", 0), .model = "", .dataset_name = "", .dataset_digest = ""};
	const char *name = step == SINGLE_VALUE ? variant : sl_arena_printf(arena, "%s%s%s", metric, *variant ? "/" : "", variant);
	point.name = name ? clean(arena, name) : NULL;
	return point.name ? sl_import_metrics(r->import, &point, 1, arena, err) : sl_fail_memory(err);
}

static int put_log(struct reader *r, yyjson_val *event, struct sl_error *err)
{
	sl_buf_str(&r->log, sl_json_str(event, "msg", ""));
	sl_buf_char(&r->log, '\n');
	return sl_buf_check(&r->log, "log.txt", err);
}

/* ---- the task ------------------------------------------------------------------------------------------------------- */

struct pairs { struct sl_pair items[PAIRS_MAX]; size_t count; };

static int add(struct reader *r, struct pairs *pairs, const char *name, const char *value, struct sl_error *err)
{
	name = name ? clean(r->arena, name) : NULL;
	if (!name || !value)
		return sl_fail_memory(err);
	for (size_t i = 0; i < pairs->count; i++)
		if (strcmp(pairs->items[i].name, name) == 0)
			return 0; /* two names that differ in what became "_" */
	if (pairs->count == PAIRS_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, r->zip, "the task has more than %d parameters", PAIRS_MAX);
	pairs->items[pairs->count++] = (struct sl_pair){name, value};
	return 0;
}

static int read_params(struct reader *r, yyjson_val *task, struct pairs *params, struct sl_error *err)
{
	yyjson_val *section, *key, *item, *name;
	size_t i, max, k, count;
	int rc = 0;
	yyjson_obj_foreach(yyjson_obj_get(task, "hyperparams"), i, max, section, item) {
		bool general = strcmp(yyjson_get_str(section), "General") == 0;
		yyjson_val *value;
		yyjson_obj_foreach(item, k, count, name, value) {
			key = yyjson_obj_get(value, "value");
			const char *whole = general ? yyjson_get_str(name)
						    : sl_arena_printf(r->arena, "%s/%s", yyjson_get_str(section), yyjson_get_str(name));
			rc = rc ? rc : add(r, params, whole, yyjson_is_str(key) ? yyjson_get_str(key) : "", err);
		}
	}
	return rc;
}

static int read_tags(struct reader *r, yyjson_val *task, struct pairs *tags, struct sl_error *err)
{
	struct sl_buf list SL_AUTO_BUF = SL_BUF_INIT(TASK_MAX);
	yyjson_val *script = yyjson_obj_get(task, "script"), *tag;
	size_t i, max;
	yyjson_arr_foreach(yyjson_obj_get(task, "tags"), i, max, tag)
		sl_buf_printf(&list, "%s%s", i ? "," : "", yyjson_is_str(tag) ? yyjson_get_str(tag) : "");
	const struct { const char *name, *value; } rows[] = {{"clearml.task_id", sl_json_str(task, "id", "")}, {"clearml.tags", sl_buf_cstr(&list)},
		{"clearml.type", sl_json_str(task, "type", "")}, {"mlflow.note.content", sl_json_str(task, "comment", "")},
		{"mlflow.source.name", sl_json_str(script, "entry_point", "")}, {"mlflow.source.git.repoURL", sl_json_str(script, "repository", "")},
		{"mlflow.source.git.commit", sl_json_str(script, "version_num", "")}};
	int rc = 0;
	for (i = 0; !rc && i < SL_ARRAY_LEN(rows); i++)
		if (*rows[i].value)
			rc = add(r, tags, rows[i].name, sl_arena_strdup(r->arena, rows[i].value), err);
	return rc;
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------ */

static int put_text(struct reader *r, const char *name, const char *text, size_t len, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = len ? sl_path_join(path, r->dir, "text", err) : 0;
	if (rc || !len)
		return rc;
	rc = sl_file_replace(path, text, len, 0600, err);
	return rc ? rc : sl_import_artifact(r->import, path, r->import->run.artifact_uri, name, true, err);
}

static int put_configurations(struct reader *r, yyjson_val *task, struct sl_error *err)
{
	yyjson_val *key, *item;
	size_t i, max;
	int rc = 0;
	yyjson_obj_foreach(yyjson_obj_get(task, "configuration"), i, max, key, item) {
		const char *value = sl_json_str(item, "value", ""), *name = clean(r->arena, yyjson_get_str(key));
		const char *path = name ? sl_arena_printf(r->arena, "configuration/%s", name) : NULL;
		rc = rc ? rc : path ? put_text(r, path, value, strlen(value), err) : sl_fail_memory(err);
	}
	return rc;
}

struct search { struct reader *reader; const char *dir, *ending; int depth; };

/* The folder "<task name>.<task id>", whose files are the task's. */
static int visit_data(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct search *s = context;
	char dir[SL_PATH_MAX];
	size_t len = strlen(name), end = strlen(s->ending);
	if (!info->is_dir || s->depth > 32)
		return 0;
	int rc = sl_path_join(dir, s->dir, name, err);
	if (!rc && len > end && strcmp(name + len - end, s->ending) == 0)
		return sl_import_artifacts(s->reader->import, dir, "", err);
	struct search below = {s->reader, dir, s->ending, s->depth + 1};
	return rc ? rc : sl_dir_each(dir, visit_data, &below, err);
}

static int put_files(struct reader *r, yyjson_val *task, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	struct search search = {r, dir, sl_arena_printf(r->arena, ".%s", sl_json_str(task, "id", "")), 0};
	int rc = search.ending ? sl_path_join(dir, r->dir, "data", err) : sl_fail_memory(err);
	return rc || !sl_dir_exists(dir) ? rc : sl_dir_each(dir, visit_data, &search, err);
}

/* ---- one session ---------------------------------------------------------------------------------------------------- */

static int import_body(struct reader *r, yyjson_val *task, const struct sl_import_run *run, struct sl_error *err)
{
	int rc = each_event(r, "metrics.jsonl", put_event, err);
	rc = rc ? rc : each_event(r, "log.jsonl", put_log, err);
	rc = rc ? rc : put_text(r, "log.txt", sl_buf_cstr(&r->log), r->log.len, err);
	rc = rc ? rc : put_text(r, "plots.jsonl", sl_buf_cstr(&r->plots), r->plots.len, err);
	rc = rc ? rc : put_configurations(r, task, err);
	rc = rc ? rc : put_files(r, task, err);
	return rc ? rc : sl_import_run_end(r->import, run, err);
}

static int import_task(struct reader *r, yyjson_val *task, struct sl_error *err)
{
	struct sl_experiment experiment;
	struct pairs *params = sl_arena_alloc(r->arena, sizeof *params), *tags = sl_arena_alloc(r->arena, sizeof *tags);
	const char *project = sl_json_str(task, "project_name", ""), *id = sl_json_str(task, "id", "");
	if (!*id)
		return sl_fail_at(err, SL_E_INVALID, r->zip, "task.json has no id");
	int rc = params && tags ? read_params(r, task, params, err) : sl_fail_memory(err);
	rc = rc ? rc : read_tags(r, task, tags, err);
	rc = rc ? rc : each_event(r, "metrics.jsonl", only_time, err);
	rc = rc ? rc : each_event(r, "log.jsonl", only_time, err);
	rc = rc ? rc : sl_import_experiment(r->import, "", *project ? project : "ClearML", NULL, 0, false, r->arena, &experiment, err);
	if (rc)
		return rc;
	const struct sl_import_run run = {.id = id, .name = sl_json_str(task, "name", id), .user = "", .status = "FINISHED",
		.started_ms = r->first_ms, .ended = true, .ended_ms = r->last_ms, .tags = tags->items, .tag_count = tags->count,
		.params = params->items, .param_count = params->count};
	rc = sl_import_run_begin(r->import, &experiment, &run, r->arena, err);
	if (rc == 1)
		rc = import_body(r, task, &run, err);
	sl_import_drop(r->import);
	return rc;
}

static int import_unpacked(struct reader *r, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(TASK_MAX);
	struct sl_error why;
	int rc = read_file(r, "task.json", &text, &why);
	if (rc) {
		sl_fail_at(err, SL_E_INVALID, r->zip, "has no task.json that can be read: %s", why.message);
		return sl_error_hint(err, "the zip of an off-line session is what ClearML names when such a task ends");
	}
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(sl_buf_cstr(&text), text.len, YYJSON_READ_ALLOW_INF_AND_NAN);
	return doc ? import_task(r, yyjson_doc_get_root(doc), err) : sl_fail_at(err, SL_E_INVALID, r->zip, "its task.json is no JSON");
}

static int import_zip(struct sl_import *import, const char *zip, const char *tmp_dir, struct sl_error *err)
{
	struct reader r = {.import = import, .zip = zip, .fd = -1, .log = SL_BUF_INIT(TEXT_MAX), .plots = SL_BUF_INIT(TEXT_MAX)};
	const struct sl_archive_taker taker = {begin_member, member_piece, end_member, &r};
	int rc = sl_dir_make_temporary(tmp_dir, "import-", r.dir, err);
	if (rc)
		return rc;
	r.arena = sl_arena_new(0, err);
	rc = r.arena ? sl_archive_unpack(zip, zip, &taker, err) : SL_E_NO_MEMORY;
	sl_file_close(&r.fd);
	rc = rc ? rc : import_unpacked(&r, err);
	sl_buf_done(&r.log);
	sl_buf_done(&r.plots);
	sl_arena_free(r.arena);
	sl_dir_remove(r.dir, NULL);
	return rc;
}

/* ---- all of a folder ------------------------------------------------------------------------------------------------ */

struct folder { struct sl_import *import; const char *dir, *tmp_dir; bool count_only; };

static int visit_zip(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct folder *folder = context;
	char path[SL_PATH_MAX];
	size_t len = strlen(name);
	if (!info->is_regular || info->is_link || len < 5 || strcmp(name + len - 4, ".zip") != 0)
		return 0;
	folder->import->runs_total += folder->count_only;
	int rc = sl_path_join(path, folder->dir, name, err);
	return rc || folder->count_only ? rc : import_zip(folder->import, path, folder->tmp_dir, err);
}

int sl_import_clearml(struct sl_import *import, const char *path, const char *tmp_dir, struct sl_error *err)
{
	struct folder folder = {import, path, tmp_dir, true};
	if (!sl_dir_exists(path))
		return import_zip(import, path, tmp_dir, err);
	int rc = sl_dir_each(path, visit_zip, &folder, err);
	folder.count_only = false;
	return rc ? rc : sl_dir_each(path, visit_zip, &folder, err);
}

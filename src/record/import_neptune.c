/* What neptune-exporter wrote (neptune-ai/neptune-exporter, src/neptune_exporter/model.py and storage/parquet_writer.py):
 *
 *   DIR/data/<project>/<run>_part_<n>.parquet     one row per attribute or point; a run is whole once part 0 is there
 *   DIR/files/...                                 what the column file_value.path names
 *
 *   attribute_type   becomes
 *   float, int, string, bool, datetime, string_set      a parameter; of "sys/..." a tag "neptune.sys/..."
 *   float_series                                        a metric
 *   string_series, histogram_series                     an artifact <attribute>/series.jsonl, a line per point
 *   file, artifact, file_series, file_set               artifacts below <attribute>
 *
 * Steps are decimals there and integers here: all steps of a run are multiplied by the smallest power of ten that makes them whole, which its
 * tag sluice.step_scale names. A fork has the tags sluice.fork.run and sluice.fork.step; like its export, it holds its own points only. */
#include "record/import.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "os/file.h"
#include "port/sql.h"
#include "record/artifact.h"
#include "record/limits.h"

enum { PARTS_MAX = 10000, ATTRIBUTES_MAX = 100000, MEMORY_BYTES = 256 << 20, LINES_FLUSH = 1 << 20 };

struct reader {
	struct sl_import *import;
	char files_dir[SL_PATH_MAX], tmp_dir[SL_PATH_MAX];
	struct sl_sql *sql;     /* over the run's parts, as table x */
	int64_t scale;
	struct sl_arena *arena; /* the run's */
	struct sl_map *names;   /* what attributes are called here: two may not meet */
	struct sl_pair *params, *tags;
	size_t param_count, tag_count;
};

/* ---- names ---------------------------------------------------------------------------------------------------------- */

/* As a name or path that MLflow's clients can have: other characters become "_". NULL: memory is out. */
static const char *clean(struct reader *r, const char *text)
{
	char *name = sl_arena_strndup(r->arena, text, strnlen(text, SL_REC_KEY_MAX));
	if (!name)
		return NULL;
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /", *c))
			*c = '_';
	if (sl_rec_check_key(name, "key", NULL) || sl_artifact_check_path(name, NULL))
		for (char *c = name; *c; c++)
			*c = *c == '/' || *c == '.' ? '_' : *c;
	return name;
}

static const char *text_at(const struct sl_sql_column *column, size_t row, struct sl_arena *arena)
{
	if (column->valid && !column->valid[row])
		return "";
	return sl_arena_strndup(arena, column->texts[row].data, column->texts[row].len);
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

struct run_facts {
	const char *project, *id, *name, *owner, *fork_of, *fork_step;
	int64_t created_ms, modified_ms;
	bool failed;
};

static void note_fact(struct run_facts *facts, const char *path, const char *value)
{
	const struct { const char *path; const char **text; int64_t *time_ms; } places[] = {
		{"sys/name", &facts->name, NULL}, {"sys/owner", &facts->owner, NULL}, {"sys/forking/parent", &facts->fork_of, NULL},
		{"sys/forking/step", &facts->fork_step, NULL}, {"sys/creation_time", NULL, &facts->created_ms},
		{"sys/modification_time", NULL, &facts->modified_ms}};
	for (size_t i = 0; i < SL_ARRAY_LEN(places); i++) {
		if (strcmp(places[i].path, path) != 0)
			continue;
		if (places[i].text)
			*places[i].text = value;
		else
			sl_str_int(value, places[i].time_ms);
	}
	if (strcmp(path, "sys/failed") == 0)
		facts->failed = strcmp(value, "true") == 0;
}

static int add_value(struct reader *r, struct run_facts *facts, const char *path, const char *value, struct sl_error *err)
{
	bool system = sl_str_starts(path, "sys/");
	const char *name = clean(r, system ? sl_arena_printf(r->arena, "neptune.%s", path) : path);
	if (!name)
		return sl_fail_memory(err);
	note_fact(facts, path, value);
	if (sl_map_has(r->names, name) || r->param_count + r->tag_count >= ATTRIBUTES_MAX) {
		if (r->import->news)
			r->import->news(r->import->context, sl_arena_printf(r->arena, "attribute '%.200s' was left out: '%.200s' is there already", path, name));
		return 0;
	}
	struct sl_pair *list = system ? r->tags : r->params;
	size_t *count = system ? &r->tag_count : &r->param_count;
	list[(*count)++] = (struct sl_pair){name, value};
	return sl_map_set(r->names, name, r, NULL, err);
}

static int read_values(struct reader *r, struct run_facts *facts, struct sl_error *err)
{
	static const char SQL[] =
		"SELECT project_id, run_id, attribute_path, CASE attribute_type WHEN 'float' THEN CAST(float_value AS VARCHAR) WHEN 'int' THEN "
		"CAST(int_value AS VARCHAR) WHEN 'bool' THEN CAST(bool_value AS VARCHAR) WHEN 'datetime' THEN CAST(epoch_ms(datetime_value) AS VARCHAR) "
		"WHEN 'string_set' THEN array_to_string(list_sort(string_set_value), ',') ELSE string_value END AS v FROM x WHERE attribute_type IN "
		"('float', 'int', 'string', 'bool', 'datetime', 'string_set') ORDER BY attribute_path";
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = sl_sql_query(r->sql, SQL, NULL, 0, "neptune", &result, err);
	while (!rc && (rc = sl_sql_next(result, &columns, &rows, err)) == 1) {
		rc = 0;
		for (size_t i = 0; !rc && i < rows; i++) {
			const char *path = text_at(&columns[2], i, r->arena), *value = text_at(&columns[3], i, r->arena);
			rc = path && value ? add_value(r, facts, path, value, err) : sl_fail_memory(err);
		}
	}
	return rc;
}

/* Whose run it is, and by what its steps become whole. */
static int read_head(struct reader *r, struct run_facts *facts, struct sl_error *err)
{
	static const char SQL[] =
		"SELECT any_value(project_id), any_value(run_id), CASE WHEN coalesce(bool_and(step = round(step, 0)), true) THEN 1 WHEN bool_and(step = "
		"round(step, 1)) THEN 10 WHEN bool_and(step = round(step, 2)) THEN 100 WHEN bool_and(step = round(step, 3)) THEN 1000 WHEN bool_and(step = "
		"round(step, 4)) THEN 10000 WHEN bool_and(step = round(step, 5)) THEN 100000 ELSE 1000000 END FROM x";
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	size_t rows = 0;
	int rc = sl_sql_query(r->sql, SQL, NULL, 0, "neptune", &result, err);
	if (!rc)
		rc = sl_sql_next(result, &columns, &rows, err);
	if (rc != 1 || rows != 1)
		return rc < 0 ? rc : sl_fail(err, SL_E_INVALID, "the export of a run is empty");
	facts->project = text_at(&columns[0], 0, r->arena);
	facts->id = text_at(&columns[1], 0, r->arena);
	r->scale = columns[2].ints[0];
	return facts->project && facts->id ? 0 : sl_fail_memory(err);
}

/* ---- series --------------------------------------------------------------------------------------------------------- */

#define SCALED "CAST(CAST(coalesce(step, 0) AS DECIMAL(38, 6)) * $scale AS BIGINT)"

static int import_metrics(struct reader *r, struct sl_error *err)
{
	static const char SQL[] = "SELECT attribute_path, " SCALED ", coalesce(epoch_ms(timestamp), 0), float_value FROM x WHERE attribute_type = "
		"'float_series' ORDER BY attribute_path, step";
	const struct sl_sql_param scale = {.name = "scale", .type = 'i', .i = r->scale};
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	struct sl_rec_metric points[SL_REC_BATCH_METRICS];
	size_t rows;
	int rc = sl_sql_query(r->sql, SQL, &scale, 1, "neptune", &result, err);
	while (!rc && (rc = sl_sql_next(result, &columns, &rows, err)) == 1) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		size_t count = 0;
		rc = arena ? 0 : SL_E_NO_MEMORY;
		for (size_t i = 0; !rc && i < rows; i++) {
			const char *path = text_at(&columns[0], i, arena), *name = path ? clean(r, path) : NULL;
			bool nan = columns[3].valid && !columns[3].valid[i];
			if (!name)
				return sl_fail_memory(err);
			points[count++] = (struct sl_rec_metric){.name = name, .step = columns[1].ints[i], .time_ms = columns[2].ints[i],
				.value = nan ? (double)NAN : columns[3].doubles[i], .model = "", .dataset_name = "", .dataset_digest = ""};
			if (count < SL_REC_BATCH_METRICS && i + 1 < rows)
				continue;
			rc = sl_import_metrics(r->import, points, count, arena, err);
			count = 0;
		}
	}
	return rc;
}

/* Lines of one attribute on their way into a file. */
struct lines { struct reader *reader; char path[SL_PATH_MAX]; int fd; struct sl_buf text; const char *name; };

static int write_lines(struct lines *l, struct sl_error *err)
{
	int rc = sl_buf_check(&l->text, "a series", err);
	rc = rc ? rc : sl_file_write_all(l->fd, l->text.data, l->text.len, l->path, err);
	sl_buf_clear(&l->text);
	return rc;
}

static int end_lines(struct lines *l, struct sl_error *err)
{
	char path[SL_REC_KEY_MAX + 16];
	if (!l->name)
		return 0;
	int rc = write_lines(l, err);
	sl_file_close(&l->fd);
	snprintf(path, sizeof path, "%s/series.jsonl", l->name);
	l->name = NULL;
	return rc ? rc : sl_import_artifact(l->reader->import, l->path, l->reader->import->run.artifact_uri, path, true, err);
}

static int begin_lines(struct lines *l, const char *name, struct sl_error *err)
{
	int rc = end_lines(l, err);
	rc = rc ? rc : sl_path_join(l->path, l->reader->tmp_dir, "series", err);
	rc = rc ? rc : sl_file_open(l->path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &l->fd, err);
	l->name = rc ? NULL : name;
	return rc;
}

/* Texts and histograms: {"step","timestamp","value"} a line, the step as it was. */
static int import_lines(struct reader *r, struct sl_error *err)
{
	static const char SQL[] =
		"SELECT attribute_path, CAST(json_object('step', CAST(step AS DOUBLE), 'timestamp', epoch_ms(timestamp), 'value', CASE attribute_type WHEN "
		"'string_series' THEN to_json(string_value) ELSE to_json(histogram_value) END) AS VARCHAR) FROM x WHERE attribute_type IN ('string_series', "
		"'histogram_series') ORDER BY attribute_path, step";
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	struct lines lines = {.reader = r, .fd = -1, .text = SL_BUF_INIT(256 << 20)};
	size_t rows;
	int rc = sl_sql_query(r->sql, SQL, NULL, 0, "neptune", &result, err);
	while (!rc && (rc = sl_sql_next(result, &columns, &rows, err)) == 1) {
		rc = 0;
		for (size_t i = 0; !rc && i < rows; i++) {
			const char *path = text_at(&columns[0], i, r->arena), *name = path ? clean(r, path) : NULL;
			rc = !name ? sl_fail_memory(err) : lines.name && strcmp(lines.name, name) == 0 ? 0 : begin_lines(&lines, name, err);
			sl_buf_add(&lines.text, columns[1].texts[i].data, columns[1].texts[i].len);
			sl_buf_char(&lines.text, '\n');
			if (!rc && lines.text.len >= LINES_FLUSH)
				rc = write_lines(&lines, err);
		}
	}
	rc = rc ? rc : end_lines(&lines, err);
	sl_file_close(&lines.fd);
	sl_buf_done(&lines.text);
	return rc;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static int import_file(struct reader *r, const char *attribute, const char *file, const char *step, struct sl_error *err)
{
	char from[SL_PATH_MAX], to[SL_ARTIFACT_PATH_MAX];
	const char *slash = strrchr(file, '/'), *name = clean(r, attribute);
	if (!name)
		return sl_fail_memory(err);
	if (!sl_relative_path_valid(file))
		return sl_fail(err, SL_E_INVALID, "attribute '%.200s' names the file '%.300s', which is not below the folder of files", attribute, file);
	int rc = sl_path_join(from, r->files_dir, file, err);
	if (rc)
		return rc;
	if (sl_dir_exists(from))
		return sl_import_artifacts(r->import, from, name, err);
	snprintf(to, sizeof to, "%s/%s%s%s", name, step, *step ? "/" : "", slash ? slash + 1 : file);
	if (sl_file_exists(from))
		return sl_import_artifact(r->import, from, r->import->run.artifact_uri, to, false, err);
	r->import->read.artifacts++;
	if (r->import->news)
		r->import->news(r->import->context, sl_arena_printf(r->arena, "the file '%.300s' of attribute '%.200s' is not there", file, attribute));
	return 0;
}

static int import_files(struct reader *r, struct sl_error *err)
{
	static const char SQL[] =
		"SELECT attribute_path, file_value.path, CASE WHEN attribute_type = 'file_series' THEN 'step_' || CAST(CAST(step AS DOUBLE) AS VARCHAR) ELSE "
		"'' END FROM x WHERE attribute_type IN ('file', 'artifact', 'file_series', 'file_set') AND file_value.path IS NOT NULL ORDER BY 1, step";
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = sl_sql_query(r->sql, SQL, NULL, 0, "neptune", &result, err);
	while (!rc && (rc = sl_sql_next(result, &columns, &rows, err)) == 1) {
		rc = 0;
		for (size_t i = 0; !rc && i < rows; i++) {
			const char *path = text_at(&columns[0], i, r->arena), *file = text_at(&columns[1], i, r->arena), *step = text_at(&columns[2], i, r->arena);
			rc = path && file && step ? import_file(r, path, file, step, err) : sl_fail_memory(err);
		}
	}
	return rc;
}

/* ---- one run -------------------------------------------------------------------------------------------------------- */

static int add_tag(struct reader *r, const char *name, const char *value, struct sl_error *err)
{
	r->tags[r->tag_count++] = (struct sl_pair){name, value};
	return value ? 0 : sl_fail_memory(err);
}

/* Runs of several projects may have the same name for their id. */
static int add_own_tags(struct reader *r, const struct run_facts *facts, struct sl_error *err)
{
	int rc = add_tag(r, "neptune.project", facts->project, err);
	rc = rc ? rc : add_tag(r, "neptune.run_id", facts->id, err);
	if (!rc && r->scale != 1)
		rc = add_tag(r, "sluice.step_scale", sl_arena_printf(r->arena, "%" PRId64, r->scale), err);
	if (rc || !*facts->fork_of)
		return rc;
	char *parent = sl_arena_alloc(r->arena, SL_ID_HEX + 1);
	const char *whole = sl_arena_printf(r->arena, "%s/%s", facts->project, facts->fork_of);
	if (!parent || !whole)
		return sl_fail_memory(err);
	sl_import_id(whole, parent);
	rc = add_tag(r, "sluice.fork.run", parent, err);
	return rc ? rc : add_tag(r, "sluice.fork.step", facts->fork_step, err);
}

static int import_body(struct reader *r, const struct sl_import_run *run, struct sl_error *err)
{
	int rc = import_metrics(r, err);
	rc = rc ? rc : import_lines(r, err);
	rc = rc ? rc : import_files(r, err);
	return rc ? rc : sl_import_run_end(r->import, run, err);
}

static int import_run(struct reader *r, struct sl_error *err)
{
	struct run_facts facts = {.name = "", .owner = "", .fork_of = "", .fork_step = ""};
	struct sl_experiment experiment;
	int rc = read_head(r, &facts, err);
	rc = rc ? rc : read_values(r, &facts, err);
	rc = rc ? rc : add_own_tags(r, &facts, err);
	rc = rc ? rc : sl_import_experiment(r->import, "", facts.project, NULL, 0, false, r->arena, &experiment, err);
	struct sl_import_run run = {.name = *facts.name ? facts.name : facts.id, .user = facts.owner, .status = facts.failed ? "FAILED" : "FINISHED",
		.started_ms = facts.created_ms, .ended = true, .ended_ms = facts.modified_ms, .tags = r->tags, .params = r->params,
		.tag_count = r->tag_count, .param_count = r->param_count};
	if (rc)
		return rc;
	run.id = sl_arena_printf(r->arena, "%s/%s", facts.project, facts.id);
	rc = run.id ? sl_import_run_begin(r->import, &experiment, &run, r->arena, err) : sl_fail_memory(err);
	if (rc == 1)
		rc = import_body(r, &run, err);
	sl_import_drop(r->import);
	return rc;
}

static int open_run(struct reader *r, const char *const *parts, size_t count, struct sl_error *err)
{
	const struct sl_sql_table table = {.name = "x", .paths = parts, .path_count = count};
	const struct sl_sql_options options = {.tables = &table, .table_count = 1, .memory_bytes = MEMORY_BYTES, .threads = 1};
	r->param_count = r->tag_count = 0;
	r->arena = sl_arena_new(0, err);
	r->names = r->arena ? sl_map_new(err) : NULL;
	r->params = r->names ? sl_arena_array(r->arena, ATTRIBUTES_MAX, sizeof *r->params) : NULL;
	r->tags = r->params ? sl_arena_array(r->arena, ATTRIBUTES_MAX + 8, sizeof *r->tags) : NULL;
	int rc = r->tags ? sl_sql_open(&options, &r->sql, err) : sl_fail_memory(err);
	rc = rc ? rc : import_run(r, err);
	if (rc)
		sl_error_context(err, "%.300s", parts[0]);
	sl_sql_closep(&r->sql);
	sl_map_freep(&r->names);
	sl_arena_freep(&r->arena);
	return rc;
}

/* ---- the folder ----------------------------------------------------------------------------------------------------- */

struct parts { struct sl_arena *arena; const char *dir; const char **paths; size_t count, room; };

static int visit_part(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct parts *p = context;
	char path[SL_PATH_MAX];
	size_t len = strlen(name);
	if (!info->is_regular || info->is_link || len < 9 || strcmp(name + len - 8, ".parquet") != 0 || !strstr(name, "_part_"))
		return 0;
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 256;
		const char **more = sl_arena_array(p->arena, room, sizeof *more);
		if (!more)
			return sl_fail_memory(err);
		if (p->count)
			memcpy(more, p->paths, p->count * sizeof *more);
		p->paths = more;
		p->room = room;
	}
	int rc = sl_path_join(path, p->dir, name, err);
	p->paths[p->count] = rc ? NULL : sl_arena_strdup(p->arena, path);
	return rc ? rc : p->paths[p->count++] ? 0 : sl_fail_memory(err);
}

/* Up to and with "_part_": what the parts of a run share. */
static size_t stem(const char *path)
{
	const char *at = path, *last = path;
	while ((at = strstr(at, "_part_")))
		last = at++;
	return (size_t)(last - path) + 6;
}

static int compare_paths(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_whole(const char *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(parts[i] + stem(parts[i]), "0.parquet") == 0)
			return true;
	return false;
}

struct project { struct reader *reader; const char *dir; bool count_only; };

static int visit_project(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct project *project = context;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	char dir[SL_PATH_MAX];
	if (!info->is_dir || info->is_link)
		return 0;
	struct parts parts = {.arena = arena, .dir = dir};
	int rc = arena ? sl_path_join(dir, project->dir, name, err) : SL_E_NO_MEMORY;
	rc = rc ? rc : sl_dir_each(dir, visit_part, &parts, err);
	if (!rc && parts.count)
		qsort(parts.paths, parts.count, sizeof *parts.paths, compare_paths);
	for (size_t i = 0, n; !rc && i < parts.count; i += n) {
		for (n = 1; i + n < parts.count && stem(parts.paths[i + n]) == stem(parts.paths[i]) &&
			strncmp(parts.paths[i], parts.paths[i + n], stem(parts.paths[i])) == 0; n++)
			;
		if (!is_whole(parts.paths + i, n) || n > PARTS_MAX) /* its export was cut short */
			continue;
		if (project->count_only)
			project->reader->import->runs_total++;
		else
			rc = open_run(project->reader, parts.paths + i, n, err);
	}
	return rc;
}

int sl_import_neptune(struct sl_import *import, const char *dir, const char *files_dir, const char *tmp_dir, struct sl_error *err)
{
	struct reader reader = {.import = import};
	char data[SL_PATH_MAX];
	struct project project = {&reader, data, true};
	int rc = sl_path_join(data, dir, "data", err);
	if (!rc && !sl_dir_exists(data))
		rc = sl_fail_at(err, SL_E_NOT_FOUND, data, "there is no such folder: an export of neptune-exporter has 'data' and 'files'");
	if (!rc && files_dir)
		snprintf(reader.files_dir, sizeof reader.files_dir, "%s", files_dir);
	else if (!rc)
		rc = sl_path_join(reader.files_dir, dir, "files", err);
	rc = rc ? rc : sl_dir_make_temporary(tmp_dir, "import-", reader.tmp_dir, err);
	if (rc)
		return rc;
	rc = sl_dir_each(data, visit_project, &project, err);
	project.count_only = false;
	rc = rc ? rc : sl_dir_each(data, visit_project, &project, err);
	sl_dir_remove(reader.tmp_dir, NULL);
	return rc;
}

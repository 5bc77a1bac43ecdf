/* The child that runs one job: it opens no database, sees only the paths in its job, and leaves result.json beside what it
 * staged, or tells its error on descriptor 3. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "data/check_past.h"
#include "data/ingest.h"
#include "flow/execute.h"
#include "flow/flow.h"
#include "flow/keeper.h"
#include "learn/evaluate.h"
#include "learn/package.h"
#include "learn/train.h"
#include "os/disk.h"
#include "port/train.h"

enum { EVENTS_FD = 3, JOB_BYTES_MAX = 256 << 20 };

static volatile int cancel; /* of the process, because a signal handler has nothing else */
static void on_term(int signal_number)
{
	(void)signal_number;
	cancel = 1;
}

struct worker {
	struct sl_arena *arena;
	yyjson_val *job;
	yyjson_mut_doc *doc;     /* of the result */
	yyjson_mut_val *result;
	struct sl_work work;
	struct sl_sql_param *params;
	size_t param_count;
	const char *staging;
	struct sl_error *err;
};

/* ---- news -------------------------------------------------------------------------------------------------------------------------- */

static void tell(struct sl_buf *line)
{
	sl_buf_char(line, '\n');
	if (!line->failed)
		sl_file_write_all(EVENTS_FD, line->data, line->len, "events", NULL);
}

static void on_progress(void *context, double fraction, const char *what)
{
	(void)context;
	SL_AUTO_BUF struct sl_buf line = SL_BUF_INIT(4096);
	sl_buf_printf(&line, "{\"progress\":%.4f,\"what\":", fraction);
	sl_json_string(&line, what ? what : "", what ? strlen(what) : 0);
	sl_buf_char(&line, '}');
	tell(&line);
}

static void on_sql_progress(void *context, double fraction) { on_progress(context, fraction, "querying"); }

static void on_metric(void *context, const char *name, int64_t round, double value)
{
	(void)context;
	if (value - value != 0)
		return; /* NaN or infinite: JSON has no word for it */
	SL_AUTO_BUF struct sl_buf line = SL_BUF_INIT(4096);
	sl_buf_str(&line, "{\"metric\":");
	sl_json_string(&line, name, strlen(name));
	sl_buf_printf(&line, ",\"step\":%lld,\"value\":%.17g}", (long long)round, value);
	tell(&line);
}

/* ---- reading the job ------------------------------------------------------------------------------------------------------------------ */

static const char *text_of(struct worker *w, yyjson_val *object, const char *name) { return sl_arena_strdup(w->arena, sl_json_str(object, name, "")); }

static int read_names(struct worker *w, yyjson_val *list, struct sl_names *ret)
{
	yyjson_val *item;
	size_t i, max;
	ret->count = yyjson_arr_size(list);
	ret->items = sl_arena_array(w->arena, ret->count + 1, sizeof *ret->items);
	if (!ret->items)
		return sl_fail_memory(w->err);
	yyjson_arr_foreach(list, i, max, item)
		ret->items[i] = yyjson_get_str(item);
	return 0;
}

static int read_params(struct worker *w)
{
	yyjson_val *list = yyjson_obj_get(w->job, "params"), *one;
	size_t i, max;
	w->params = sl_arena_array(w->arena, yyjson_arr_size(list) + 1, sizeof *w->params);
	if (!w->params)
		return sl_fail_memory(w->err);
	yyjson_arr_foreach(list, i, max, one)
		w->params[w->param_count++] = (struct sl_sql_param){.name = sl_json_str(one, "name", ""), .type = *sl_json_str(one, "type", "n"),
								    .text = sl_json_str(one, "text", ""), .i = sl_json_int(one, "i", 0),
								    .d = sl_json_num(one, "d", 0)};
	return 0;
}

static int read_tables(struct worker *w, struct sl_sql_table **ret, size_t *ret_count)
{
	yyjson_val *list = yyjson_obj_get(w->job, "tables"), *one;
	size_t i, max;
	struct sl_sql_table *tables = sl_arena_array(w->arena, yyjson_arr_size(list) + 1, sizeof *tables);
	if (!tables)
		return sl_fail_memory(w->err);
	yyjson_arr_foreach(list, i, max, one) {
		struct sl_names paths;
		int rc = read_names(w, yyjson_obj_get(one, "paths"), &paths);
		if (rc)
			return rc;
		tables[i] = (struct sl_sql_table){.name = sl_json_str(one, "name", ""), .paths = paths.items, .path_count = paths.count,
						  .columns = sl_json_str(one, "columns", "")};
	}
	*ret = tables;
	*ret_count = yyjson_arr_size(list);
	return 0;
}

static int find_table(struct worker *w, const char *name, const struct sl_sql_table **ret)
{
	struct sl_sql_table *tables;
	size_t count;
	int rc = read_tables(w, &tables, &count);
	for (size_t i = 0; !rc && i < count; i++)
		if (strcmp(tables[i].name, name) == 0) {
			*ret = &tables[i];
			return 0;
		}
	return rc ? rc : sl_fail(w->err, SL_E_BUG, "the job has no table '%s'", name);
}

static int read_evaluate(struct worker *w, struct sl_evaluate *ret)
{
	yyjson_val *e = yyjson_obj_get(w->job, "evaluate");
	*ret = (struct sl_evaluate){.model = "", .data = text_of(w, e, "data"), .where = text_of(w, e, "where"), .target = text_of(w, e, "target"),
				    .weight = text_of(w, e, "weight")};
	return read_names(w, yyjson_obj_get(e, "slices"), &ret->slices);
}

/* ---- tables ----------------------------------------------------------------------------------------------------------------------------- */

/* Runs the checks of `from` (the job, or one of its outputs) over a staged table and adds the report to the result. A failed check is the report's matter, not an error here. */
static int check_table(struct worker *w, const char *dataset, yyjson_val *from, const struct sl_staged *table, const struct sl_staged *broken)
{
	struct sl_check *parsed;
	struct sl_check_report report = {0};
	struct sl_check_job job = {.dataset = dataset, .table = *table, .params = w->params, .param_count = w->param_count};
	char dir[SL_PATH_MAX];
	if (broken)
		job.broken = *broken;
	int rc = sl_checks_parse(yyjson_obj_get(from, "checks"), w->arena, &parsed, &job.count, w->err);
	rc = rc ? rc : sl_check_past_parse(yyjson_obj_get(from, "past"), w->arena, &job, w->err);
	job.checks = parsed;
	rc = rc ? rc : sl_path_join(dir, w->staging, dataset, w->err);
	rc = rc ? rc : sl_dir_make(dir, w->err);
	rc = rc ? rc : sl_check_execute(&job, dir, &w->work, w->arena, &report, w->err);
	if (rc)
		return rc;
	yyjson_mut_val *reports = yyjson_mut_obj_get(w->result, "reports");
	reports = reports ? reports : yyjson_mut_obj_add_arr(w->doc, w->result, "reports");
	yyjson_mut_val *json = sl_check_report_json(w->doc, &report);
	return reports && json && yyjson_mut_arr_append(reports, json) ? 0 : sl_fail_memory(w->err);
}

static int run_ingest(struct worker *w)
{
	struct sl_ingest_job job;
	struct sl_ingest_result result = {0};
	int rc = sl_ingest_job_parse(yyjson_obj_get(w->job, "ingest"), w->arena, &job, w->err);
	rc = rc ? rc : sl_ingest_execute(&job, w->staging, &w->work, w->arena, &result, w->err);
	return rc ? rc : check_table(w, text_of(w, w->job, "dataset"), w->job, &result.table, &result.broken);
}

static int run_sql(struct worker *w)
{
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	struct sl_sql_table *tables;
	struct sl_sql_options options = {.write_dir = w->staging, .memory_bytes = w->work.memory_bytes, .cancel = &cancel, .progress = on_sql_progress};
	struct sl_staged staged;
	char path[SL_PATH_MAX];
	int rc = read_tables(w, &tables, &options.table_count);
	options.tables = tables;
	rc = rc ? rc : sl_path_join(path, w->staging, "result.parquet", w->err);
	rc = rc ? rc : sl_sql_open(&options, &sql, w->err);
	rc = rc ? rc : sl_sql_write(sql, sl_json_str(w->job, "text", ""), w->params, w->param_count, sl_json_str(w->job, "where", ""), path, NULL, w->err);
	const char *const paths[] = {path};
	rc = rc ? rc : sl_staged_inspect_in(sql, paths, NULL, 1, w->arena, &staged, w->err);
	if (rc)
		return rc;
	sl_sql_close(SL_TAKE(sql)); /* its memory is for the checks now */
	return check_table(w, text_of(w, w->job, "dataset"), w->job, &staged, NULL);
}

struct parquet_list { struct sl_arena *arena; const char *dir; const char **items; size_t count; };

static int add_parquet(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct parquet_list *list = context;
	if (!info->is_regular || !sl_str_ends(name, ".parquet"))
		return sl_fail_at(err, SL_E_FAILED, name, "an output table is a .parquet file, or a folder of nothing else");
	if (list->count == SL_DATA_FILES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, list->dir, "an output table has too many files");
	if ((list->count & (list->count - 1)) == 0) { /* 0 and powers of two: room doubles */
		const char **items = sl_arena_array(list->arena, list->count ? list->count * 2 : 1, sizeof *items);
		if (!items)
			return sl_fail_memory(err);
		if (list->count)
			memcpy(items, list->items, list->count * sizeof *items);
		list->items = items;
	}
	list->items[list->count] = sl_arena_printf(list->arena, "%s/%s", list->dir, name);
	return list->items[list->count++] ? 0 : sl_fail_memory(err);
}

/* Tables that a command made: one file, or a folder of files. */
static int run_inspect(struct worker *w)
{
	yyjson_val *outputs = yyjson_obj_get(w->job, "outputs"), *one;
	size_t i, max;
	yyjson_arr_foreach(outputs, i, max, one) {
		struct parquet_list list = {.arena = w->arena, .dir = text_of(w, one, "path")};
		struct sl_staged staged;
		int rc = 0;
		const char *const single[] = {list.dir};
		if (sl_dir_exists(list.dir))
			rc = sl_dir_each(list.dir, add_parquet, &list, w->err);
		rc = rc ? rc : sl_staged_inspect(list.count ? list.items : single, NULL, list.count ? list.count : 1, w->arena, &staged, w->err);
		rc = rc ? rc : check_table(w, text_of(w, one, "dataset"), one, &staged, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- models ------------------------------------------------------------------------------------------------------------------------------ */

static int add_scores(struct worker *w, const struct sl_scores *scores)
{
	yyjson_mut_val *list = yyjson_mut_obj_get(w->result, "scores");
	list = list ? list : yyjson_mut_obj_add_arr(w->doc, w->result, "scores");
	yyjson_mut_val *one = list ? yyjson_mut_arr_add_obj(w->doc, list) : NULL;
	bool ok = one != NULL;
	for (size_t i = 0; ok && i < scores->count; i++) {
		double value = scores->items[i].value;
		yyjson_mut_val *number = value - value == 0 ? yyjson_mut_real(w->doc, value) : yyjson_mut_null(w->doc);
		ok = yyjson_mut_obj_add(one, yyjson_mut_strcpy(w->doc, scores->items[i].name), number);
	}
	return ok ? 0 : sl_fail_memory(w->err);
}

static int read_lookups(struct worker *w, yyjson_val *list, struct sl_train_request *request)
{
	struct sl_lookup *lookups = sl_arena_array(w->arena, yyjson_arr_size(list) + 1, sizeof *lookups);
	yyjson_val *one;
	size_t i, max;
	int rc = lookups ? 0 : sl_fail_memory(w->err);
	yyjson_arr_foreach(list, i, max, one)
		rc = rc ? rc : sl_lookup_parse(one, w->arena, &lookups[request->lookup_count++], w->err);
	request->lookups = lookups;
	return rc;
}

static int run_train(struct worker *w)
{
	yyjson_val *t = yyjson_obj_get(w->job, "train");
	struct sl_train spec = {.algorithm = text_of(w, t, "algorithm"), .data = text_of(w, t, "data"), .where = text_of(w, t, "where"),
				.validation = text_of(w, t, "validation"), .target = text_of(w, t, "target"), .weight = text_of(w, t, "weight"),
				.task = text_of(w, t, "task"), .options = text_of(w, t, "options"), .rounds = sl_json_int(t, "rounds", 0),
				.early_stopping = sl_json_int(t, "early_stopping", 0), .seed = sl_json_int(t, "seed", 0)};
	struct sl_train_request request = {.spec = &spec, .params = w->params, .param_count = w->param_count, .out_dir = w->staging,
					   .memory_bytes = w->work.memory_bytes, .cancel = &cancel, .metric = on_metric, .progress = on_progress};
	struct sl_train_result result;
	int rc = read_names(w, yyjson_obj_get(t, "features"), &spec.features);
	rc = rc ? rc : find_table(w, spec.data, &request.table);
	rc = rc ? rc : read_lookups(w, yyjson_obj_get(t, "lookups"), &request);
	rc = rc ? rc : sl_learn_train(&request, &result, w->err);
	return rc ? rc : add_scores(w, &result.scores);
}

static int evaluate_one(struct worker *w, struct sl_objects *objects, const struct sl_evaluate *spec, const char *hex, struct sl_buf *json)
{
	struct sl_hash hash;
	struct sl_package package;
	struct sl_infer *infer = NULL;
	struct sl_scores scores = {0};
	struct sl_evaluate_request request = {.package = &package, .spec = spec, .params = w->params, .param_count = w->param_count,
					      .memory_bytes = w->work.memory_bytes, .cancel = &cancel, .progress = on_progress};
	int rc = sl_hash_parse(hex, &hash) ? find_table(w, spec->data, &request.table) : sl_fail(w->err, SL_E_BUG, "the job's package is no hash");
	rc = rc ? rc : sl_package_read(objects, &hash, w->arena, &package, w->err);
	rc = rc ? rc : sl_package_load(objects, NULL, &package, &infer, w->err);
	if (rc)
		return rc;
	request.infer = infer;
	rc = sl_learn_evaluate(&request, &scores, json, w->err);
	sl_infer_free(infer);
	return rc ? rc : add_scores(w, &scores);
}

/* Scores each package on the same rows; the first one's tables become the report. */
static int run_evaluate(struct worker *w)
{
	yyjson_val *packages = yyjson_obj_get(w->job, "packages"), *one;
	struct sl_objects *objects = NULL;
	struct sl_evaluate spec;
	SL_AUTO_BUF struct sl_buf json = SL_BUF_INIT(64 << 20);
	char path[SL_PATH_MAX];
	size_t i, max;
	int rc = read_evaluate(w, &spec);
	rc = rc ? rc : sl_objects_open(sl_json_str(w->job, "objects", ""), sl_json_str(w->job, "tmp", ""), &objects, w->err);
	if (rc)
		return rc;
	yyjson_arr_foreach(packages, i, max, one)
		rc = rc ? rc : evaluate_one(w, objects, &spec, yyjson_get_str(one), i == 0 ? &json : NULL);
	sl_objects_close(objects);
	rc = rc ? rc : sl_path_join(path, w->staging, "report.json", w->err);
	return rc ? rc : sl_file_replace(path, sl_buf_cstr(&json), json.len, 0644, w->err);
}

/* ---- the process --------------------------------------------------------------------------------------------------------------------------- */

static int run_job(struct worker *w)
{
	static const struct { const char *name; int (*run)(struct worker *w); } ACTIONS[] = {
		{"ingest", run_ingest}, {"sql", run_sql}, {"inspect", run_inspect}, {"train", run_train}, {"evaluate", run_evaluate},
	};
	const char *action = sl_json_str(w->job, "action", "");
	int rc = read_params(w);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(ACTIONS); i++)
		if (strcmp(ACTIONS[i].name, action) == 0)
			return ACTIONS[i].run(w);
	return rc ? rc : sl_fail(w->err, SL_E_INVALID, "there is no job of kind '%.60s'", action);
}

/* "duckdb 1.5.6, xgboost 3.2.0": what the work was done with; every job reads its rows by the first. */
static int add_libraries(struct worker *w)
{
	const char *sql = sl_sql_version(NULL), *trainer = sl_str_eq(sl_json_str(w->job, "action", ""), "train") ? sl_trainer_version(NULL) : NULL;
	const char *text = sl_arena_printf(w->arena, "%s%s%s", sql ? sql : "", sql && trainer ? ", " : "", trainer ? trainer : "");
	return text && yyjson_mut_obj_add_str(w->doc, w->result, "libraries", text) ? 0 : sl_fail_memory(w->err);
}

static int write_result(struct worker *w, const char *path)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(JOB_BYTES_MAX);
	SL_AUTO_CLOSE int fd = -1;
	int rc = sl_json_write(w->result, false, &out, w->err);
	rc = rc ? rc : sl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, w->err);
	return rc ? rc : sl_file_write_all(fd, out.data, out.len, path, w->err);
}

/* Over the pipe and not in a file: the reason may be that the disk is full. What was staged makes room first. */
static void tell_error(struct worker *w)
{
	SL_AUTO_BUF struct sl_buf line = SL_BUF_INIT(64 << 10);
	const struct { const char *name, *text; } members[] = {{"where", w->err->where}, {"message", w->err->message}, {"hint", w->err->hint}};
	sl_disk_hint(w->err, *w->err->where == '/' ? w->err->where : w->staging, 0);
	sl_dir_remove(w->staging, NULL);
	sl_buf_printf(&line, "{\"error\":{\"code\":%d", w->err->code);
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
		sl_buf_printf(&line, ",\"%s\":", members[i].name);
		sl_json_string(&line, members[i].text, strlen(members[i].text));
	}
	sl_buf_str(&line, "}}");
	tell(&line);
}

static int work(struct worker *w, const char *job_path)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(JOB_BYTES_MAX);
	int rc = sl_file_read(job_path, &text, w->err);
	if (rc)
		return rc;
	SL_AUTO_JSON yyjson_doc *job = sl_json_parse(sl_buf_cstr(&text), text.len, job_path, w->err);
	if (!job)
		return SL_E_INVALID;
	w->job = yyjson_doc_get_root(job);
	w->staging = sl_json_str(w->job, "staging", "");
	w->work = (struct sl_work){.memory_bytes = (uint64_t)sl_json_int(w->job, "memory", 0), .cancel = &cancel, .progress = on_progress};
	rc = run_job(w);
	rc = rc ? rc : add_libraries(w);
	rc = rc ? rc : write_result(w, sl_json_str(w->job, "result", ""));
	if (rc)
		tell_error(w);
	return rc;
}

int sl_flow_worker(const char *job_path)
{
	if (sl_str_starts(job_path, FLOW_KEEPER))
		return flow_keeper_stand(job_path + sizeof FLOW_KEEPER - 1);
	struct sl_error err = {0};
	struct sigaction action = {.sa_handler = on_term};
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct worker w = {.arena = arena, .doc = doc, .result = doc ? yyjson_mut_obj(doc) : NULL, .err = &err};
	int rc = arena && w.result ? work(&w, job_path) : sl_fail_memory(&err);
	if (rc)
		fprintf(stderr, "error: %s%s%s\n", err.where, *err.where ? ": " : "", err.message);
	return sl_code_exit_status(rc);
}

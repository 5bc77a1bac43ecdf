#include "op/export_remote.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/remote_json.h"
#include "record/history.h"
#include "record/input.h"
#include "record/limits.h"

enum { BODY_MAX = 64 << 20, RUNS_PAGE = 1000 };
static const char RUN_TAG[] = "sluice.run_id", DONE_TAG[] = "sluice.exported";

/* ---- one run's data --------------------------------------------------------------------------------------------------- */

/* What waits to be sent in one log-batch. */
struct batch {
	struct sl_exporter *exporter;
	const char *run;
	struct sl_buf metrics, params, tags;
	int metric_count, param_count, tag_count;
	struct sl_error *err;
};

static int flush(struct batch *b)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	if (!b->metric_count && !b->param_count && !b->tag_count)
		return 0;
	sl_buf_char(&body, '{');
	sl_export_text(&body, "run_id", b->run);
	sl_buf_printf(&body, ",\"metrics\":[%s],", sl_buf_cstr(&b->metrics));
	sl_buf_printf(&body, "\"params\":[%s],", sl_buf_cstr(&b->params));
	sl_buf_printf(&body, "\"tags\":[%s]}", sl_buf_cstr(&b->tags));
	sl_buf_clear(&b->metrics);
	sl_buf_clear(&b->params);
	sl_buf_clear(&b->tags);
	b->metric_count = b->param_count = b->tag_count = 0;
	return sl_export_post(b->exporter, "runs/log-batch", &body, NULL, b->err);
}

/* Room for one more of whatever it is. */
static int make_room(struct batch *b)
{
	int all = b->metric_count + b->param_count + b->tag_count;
	return all >= SL_REC_BATCH_ALL || b->param_count >= SL_REC_BATCH_PAIRS || b->tag_count >= SL_REC_BATCH_PAIRS ? flush(b) : 0;
}

static void add_pair(struct sl_buf *out, int count, const char *name, const char *value)
{
	sl_buf_str(out, count ? ",{" : "{");
	sl_export_text(out, "key", name);
	sl_buf_char(out, ',');
	sl_export_text(out, "value", value);
	sl_buf_char(out, '}');
}

static int add_param(void *context, const char *name, const char *value)
{
	struct batch *b = context;
	int rc = make_room(b);
	add_pair(&b->params, b->param_count++, name, value);
	b->exporter->here.params++;
	return rc;
}

static int add_tag(void *context, const char *name, const char *value)
{
	struct batch *b = context;
	const struct sl_export_there *parent = strcmp(name, "mlflow.parentRunId") == 0 ? sl_map_get(b->exporter->runs, value) : NULL;
	int rc = make_room(b);
	add_pair(&b->tags, b->tag_count++, name, parent ? parent->id : value);
	return rc;
}

static int add_point(void *context, const struct sl_rec_point *point)
{
	struct batch *b = context;
	int rc = make_room(b);
	sl_buf_str(&b->metrics, b->metric_count++ ? ",{" : "{");
	sl_export_text(&b->metrics, "key", point->name);
	if (isnan(point->value))
		sl_buf_str(&b->metrics, ",\"value\":\"NaN\"");
	else
		sl_buf_printf(&b->metrics, ",\"value\":%.17g", point->value);
	sl_buf_printf(&b->metrics, ",\"timestamp\":%" PRId64 ",\"step\":%" PRId64 "}", point->time_ms, point->step);
	b->exporter->here.points++;
	return rc;
}

static int add_history(struct batch *b, int64_t run, const char *name)
{
	struct sl_rec_cursor cursor = {0};
	int64_t series, n;
	int rc = sl_rec_series(b->exporter->record, run, name, &series, b->err);
	if (rc)
		return rc;
	do
		n = sl_rec_history(b->exporter->record, series, name, &cursor, SL_REC_BATCH_METRICS, add_point, b, b->err);
	while (n == SL_REC_BATCH_METRICS);
	return n < 0 ? (int)n : 0;
}

/* Names first: what sends must not stand in the middle of a statement. */
struct names { struct sl_arena *arena; const char **items; size_t count, room; };

static int add_name(void *context, const struct sl_rec_point *point)
{
	struct names *names = context;
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		const char **more = sl_arena_array(names->arena, room, sizeof *more);
		if (!more)
			return SL_E_NO_MEMORY;
		if (names->count)
			memcpy(more, names->items, names->count * sizeof *more);
		names->items = more;
		names->room = room;
	}
	names->items[names->count] = sl_arena_strdup(names->arena, point->name);
	return names->items[names->count++] ? 0 : SL_E_NO_MEMORY;
}

static int send_data(struct batch *b, const struct sl_rec_run *run, struct sl_arena *arena)
{
	struct names names = {.arena = arena};
	struct sl_record *record = b->exporter->record;
	int rc = sl_rec_params(record, run->num, add_param, b, b->err);
	rc = rc ? rc : sl_rec_tags(record, run->num, add_tag, b, b->err);
	rc = rc ? rc : sl_rec_latest(record, run->num, add_name, &names, b->err);
	b->exporter->here.metrics += (int64_t)names.count;
	for (size_t i = 0; !rc && i < names.count; i++)
		rc = add_history(b, run->num, names.items[i]);
	return rc ? rc : flush(b);
}

static int add_input(void *context, const struct sl_rec_dataset *dataset, struct sl_error *err)
{
	struct sl_buf *out = context;
	(void)err;
	sl_buf_str(out, out->data[out->len - 1] == '[' ? "{\"tags\":" : ",{\"tags\":");
	sl_buf_str(out, dataset->tags_json);
	sl_buf_str(out, ",\"dataset\":{");
	sl_export_text(out, "name", dataset->name);
	const char *const members[][2] = {{"digest", dataset->digest}, {"source_type", dataset->source_type}, {"source", dataset->source},
		{"schema", dataset->schema}, {"profile", dataset->profile}};
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
		if (!members[i][1])
			continue;
		sl_buf_char(out, ',');
		sl_export_text(out, members[i][0], members[i][1]);
	}
	sl_buf_str(out, "}}");
	return 0;
}

static int send_inputs(struct sl_exporter *e, const struct sl_rec_run *run, const char *id, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "run_id", id);
	sl_buf_str(&body, ",\"datasets\":[");
	size_t empty = body.len;
	int rc = sl_rec_inputs(e->record, run->num, add_input, &body, err);
	if (rc || body.len == empty)
		return rc;
	sl_buf_str(&body, "]}");
	return sl_export_post(e, "runs/log-inputs", &body, NULL, err);
}

/* ---- one run ---------------------------------------------------------------------------------------------------------- */

static int keep(struct sl_exporter *e, const char *ours, const char *id, const char *uri, const char *exported, struct sl_export_there **ret,
	struct sl_error *err)
{
	struct sl_export_there *there = sl_arena_alloc(e->arena, sizeof *there);
	if (!there)
		return sl_fail_memory(err);
	*there = (struct sl_export_there){sl_arena_strdup(e->arena, id), sl_arena_strdup(e->arena, uri), sl_arena_strdup(e->arena, exported)};
	if (!there->id || !there->uri || !there->exported)
		return sl_fail_memory(err);
	if (ret)
		*ret = there;
	return sl_map_set(e->runs, ours, there, NULL, err);
}

static int create_run(struct sl_exporter *e, const struct sl_rec_run *run, const char *experiment, struct sl_export_there **ret, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	const struct sl_pair tag = {RUN_TAG, run->id};
	sl_buf_printf(&body, "{\"start_time\":%" PRId64 ",", run->started_ms);
	sl_export_text(&body, "experiment_id", experiment);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "run_name", run->name);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "user_id", run->user);
	sl_buf_char(&body, ',');
	sl_export_pairs(&body, "tags", &tag, 1);
	sl_buf_char(&body, '}');
	int rc = sl_export_post(e, "runs/create", &body, &doc, err);
	yyjson_val *info = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "info");
	e->runs_new += !rc;
	return rc ? rc : keep(e, run->id, sl_json_str(info, "run_id", ""), sl_json_str(info, "artifact_uri", ""), "", ret, err);
}

static int finish_run(struct sl_exporter *e, const struct sl_rec_run *run, const char *id, const char *done, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "run_id", id);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "status", run->status);
	if (run->ended)
		sl_buf_printf(&body, ",\"end_time\":%" PRId64, run->ended_ms);
	sl_buf_char(&body, '}');
	int rc = sl_export_post(e, "runs/update", &body, NULL, err);
	sl_buf_clear(&body);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "run_id", id);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "key", DONE_TAG);
	sl_buf_char(&body, ',');
	sl_export_text(&body, "value", done);
	sl_buf_char(&body, '}');
	rc = rc ? rc : sl_export_post(e, "runs/set-tag", &body, NULL, err);
	sl_buf_clear(&body);
	sl_buf_char(&body, '{');
	sl_export_text(&body, "run_id", id);
	sl_buf_char(&body, '}');
	return rc || !run->deleted ? rc : sl_export_post(e, "runs/delete", &body, NULL, err);
}

static int send_run(struct sl_exporter *e, const struct sl_rec_run *run, const struct sl_export_there *there, const char *done, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct batch batch = {.exporter = e, .run = there->id, .err = err, .metrics = SL_BUF_INIT(BODY_MAX), .params = SL_BUF_INIT(BODY_MAX),
		.tags = SL_BUF_INIT(BODY_MAX)};
	int rc = arena ? send_data(&batch, run, arena) : SL_E_NO_MEMORY;
	sl_buf_done(&batch.metrics);
	sl_buf_done(&batch.params);
	sl_buf_done(&batch.tags);
	rc = rc ? rc : send_inputs(e, run, there->id, err);
	rc = rc ? rc : sl_export_tree(e, run->artifact_uri, there->uri, err);
	return rc ? rc : finish_run(e, run, there->id, done, err);
}

static int export_run(struct sl_exporter *e, const struct sl_rec_run *run, const char *experiment, struct sl_error *err)
{
	struct sl_export_there *there = sl_map_get(e->runs, run->id);
	char done[64];
	int rc = 0;
	snprintf(done, sizeof done, "%.20s %" PRId64, run->status, run->ended_ms);
	e->here.runs++;
	if (there && strcmp(there->exported, done) == 0) {
		e->runs_passed++;
	} else {
		rc = there ? 0 : create_run(e, run, experiment, &there, err);
		rc = rc ? rc : send_run(e, run, there, done, err);
	}
	if (!rc && e->progress && e->progress(e->context, e))
		return sl_fail(err, SL_E_CANCELLED, "the export was stopped");
	return rc;
}

/* ---- experiments ------------------------------------------------------------------------------------------------------ */

static const char *tag_of(yyjson_val *run, const char *name)
{
	yyjson_val *item;
	size_t i, max;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_obj_get(run, "data"), "tags"), i, max, item)
		if (strcmp(sl_json_str(item, "key", ""), name) == 0)
			return sl_json_str(item, "value", "");
	return "";
}

static int note_run(void *context, yyjson_val *run, struct sl_error *err)
{
	struct sl_exporter *e = context;
	yyjson_val *info = yyjson_obj_get(run, "info");
	return keep(e, tag_of(run, RUN_TAG), sl_json_str(info, "run_id", ""), sl_json_str(info, "artifact_uri", ""), tag_of(run, DONE_TAG), NULL, err);
}

static int count_run(void *context, yyjson_val *run, struct sl_error *err)
{
	struct sl_exporter *e = context;
	yyjson_val *data = yyjson_obj_get(run, "data");
	(void)err;
	e->there.runs += *tag_of(run, DONE_TAG) != 0;
	e->there.params += (int64_t)yyjson_arr_size(yyjson_obj_get(data, "params"));
	e->there.metrics += (int64_t)yyjson_arr_size(yyjson_obj_get(data, "metrics"));
	return 0;
}

static int each_exported(struct sl_exporter *e, const char *experiment, sl_remote_each_fn *each, struct sl_error *err)
{
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_buf_str(&body, "{\"run_view_type\":\"ALL\",\"filter\":\"tags.`sluice.run_id` != ''\",\"order_by\":[\"attributes.start_time ASC\"],\"experiment_ids\":[");
	sl_json_string(&body, experiment, strlen(experiment));
	sl_buf_char(&body, ']');
	return sl_remote_each(e->remote, "/api/2.0/mlflow/runs/search", sl_buf_cstr(&body), RUNS_PAGE, "runs", each, e, err);
}

static int create_experiment(struct sl_exporter *e, const struct sl_experiment *experiment, char out[32], struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(BODY_MAX);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	struct sl_pair *tags;
	size_t count;
	int rc = arena ? sl_experiment_tags(e->record, experiment->id, arena, &tags, &count, err) : SL_E_NO_MEMORY;
	if (rc)
		return rc;
	sl_buf_char(&body, '{');
	sl_export_text(&body, "name", experiment->name);
	sl_buf_char(&body, ',');
	sl_export_pairs(&body, "tags", tags, count);
	sl_buf_char(&body, '}');
	rc = sl_export_post(e, "experiments/create", &body, &doc, err);
	snprintf(out, 32, "%s", sl_json_str(yyjson_doc_get_root(doc), "experiment_id", ""));
	return rc;
}

/* Its number over there; made, or taken out of the bin, when need be. */
static int find_experiment(struct sl_exporter *e, const struct sl_experiment *experiment, char out[32], struct sl_error *err)
{
	struct sl_buf url SL_AUTO_BUF = SL_BUF_INIT(SL_REMOTE_URL_MAX), body SL_AUTO_BUF = SL_BUF_INIT(4096);
	SL_AUTO_JSON yyjson_doc *doc = NULL;
	struct sl_error why = {0};
	sl_buf_str(&url, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=");
	sl_remote_encode(&url, experiment->name, false);
	int rc = sl_remote_get(e->remote, sl_buf_cstr(&url), &doc, &why);
	if (rc == SL_E_NOT_FOUND)
		return create_experiment(e, experiment, out, err);
	if (rc) {
		*err = why;
		return rc;
	}
	yyjson_val *found = yyjson_obj_get(yyjson_doc_get_root(doc), "experiment");
	snprintf(out, 32, "%s", sl_json_str(found, "experiment_id", ""));
	if (strcmp(sl_json_str(found, "lifecycle_stage", ""), "deleted") != 0)
		return 0;
	sl_buf_char(&body, '{');
	sl_export_text(&body, "experiment_id", out);
	sl_buf_char(&body, '}');
	return sl_export_post(e, "experiments/restore", &body, NULL, err);
}

static int export_experiment(struct sl_exporter *e, const struct sl_experiment *experiment, struct sl_error *err)
{
	char id[32];
	int64_t num = 0;
	e->here.experiments++;
	int rc = find_experiment(e, experiment, id, err);
	rc = rc ? rc : each_exported(e, id, note_run, err);
	while (!rc) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_rec_run run;
		rc = arena ? sl_meta_int(e->record->meta, 0, &num, err, "SELECT min(num) FROM rec_run WHERE num > ?1 AND experiment = ?2", "ii", num,
				     experiment->id) : SL_E_NO_MEMORY;
		if (rc || !num)
			break;
		rc = sl_rec_run_at(e->record, num, arena, &run, err);
		rc = rc < 0 ? rc : export_run(e, &run, id, err);
	}
	rc = rc ? rc : sl_export_models(e, experiment->id, id, err);
	rc = rc ? rc : each_exported(e, id, count_run, err);
	e->there.experiments += !rc;
	return rc;
}

static bool is_wanted(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return count == 0;
}

int sl_export_runs(struct sl_exporter *e, const char *const *names, size_t name_count, struct sl_error *err)
{
	int64_t id = -1;
	size_t found = 0;
	int rc = sl_meta_int(e->record->meta, 0, &e->runs_total, err, "SELECT count(*) FROM rec_run", NULL);
	while (!rc) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_experiment experiment;
		char text[24];
		rc = arena ? sl_meta_int(e->record->meta, -1, &id, err, "SELECT min(id) FROM experiment WHERE id > ?1 AND deleted = 0", "i", id)
			   : SL_E_NO_MEMORY;
		if (rc || id < 0)
			break;
		snprintf(text, sizeof text, "%" PRId64, id);
		rc = sl_experiment_get(e->record, text, SL_REC_ACTIVE, arena, &experiment, err);
		if (rc || !is_wanted(experiment.name, names, name_count))
			continue;
		found++;
		rc = export_experiment(e, &experiment, err);
	}
	return rc || found >= name_count ? rc : sl_fail(err, SL_E_NOT_FOUND, "one of the experiments that were named is not here");
}

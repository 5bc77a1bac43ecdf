#include "watch/monitor.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "ledger/rows.h"
#include "os/clock.h"
#include "port/stream.h"
#include "serve/log.h"
#include "serve/plan.h"
#include "watch/baseline.h"
#include "watch/event.h"
#include "watch/join.h"
#include "watch/label.h"
#include "watch/verdict.h"
#include "watch/window.h"

struct sl_monitor_watch {
	struct sl_store *store;
	const struct sl_project *project;
	const struct sl_monitor *spec;
	struct sl_stream *predictions, *labels; /* NULL until the log exists; labels stays NULL for an input monitor */
	int64_t prediction_offset, label_offset;
	int64_t counted_predictions, counted_labels; /* offsets below were read before a restart: their late rows are counted already */
	struct sl_windows windows;
	struct sl_watched_model **models;
	size_t model_count;
	const struct sl_watched_model *newest;  /* of the last record */
	struct sl_arena *texts;                 /* of segments */
	const char *segments[SL_MONITOR_SEGMENTS_MAX + 2];
	size_t segment_count;
	bool estimates;                         /* some bar is of quality before labels */
	struct sl_join *join;                   /* quality monitors, once outputs are known */
	uint64_t unlabelled;
	/* Since which window's end the level has been at least warn, alarm; 0: it is not. */
	int64_t since_ms[3];
	enum sl_level level;
	int64_t level_since_ms;
};

static bool is_quality(const struct sl_monitor_watch *w) { return w->spec->labels[0] != 0; }

/* ---- state ---------------------------------------------------------------------------------------------------------- */

static enum sl_level level_of(const char *name)
{
	return sl_str_eq(name, "alarm") ? SL_LEVEL_ALARM : sl_str_eq(name, "warn") ? SL_LEVEL_WARN : SL_LEVEL_OK;
}

static int parse_state(struct sl_monitor_watch *w, const char *text, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "monitor_state", err);
	if (!doc)
		return SL_E_CORRUPT;
	yyjson_val *o = yyjson_doc_get_root(doc);
	w->prediction_offset = sl_json_int(o, "prediction_offset", 0);
	w->label_offset = sl_json_int(o, "label_offset", 0);
	w->windows.next_end_ms = sl_json_int(o, "next_end", INT64_MIN);
	w->counted_predictions = sl_json_int(o, "counted_predictions", 0);
	w->counted_labels = sl_json_int(o, "counted_labels", 0);
	w->windows.late_rows = (uint64_t)sl_json_int(o, "late_rows", 0);
	w->windows.future_rows = (uint64_t)sl_json_int(o, "future_rows", 0);
	w->unlabelled = (uint64_t)sl_json_int(o, "unlabelled", 0);
	w->since_ms[SL_LEVEL_WARN] = sl_json_int(o, "warn_since", 0);
	w->since_ms[SL_LEVEL_ALARM] = sl_json_int(o, "alarm_since", 0);
	return 0;
}

static int load_state(struct sl_monitor_watch *w, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(w->store->meta, &stmt, err, "SELECT level, since_ms, state FROM monitor_state WHERE monitor = ?1", "s", w->spec->name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	w->level = level_of(sl_stmt_text(stmt, 0));
	w->level_since_ms = sl_stmt_int(stmt, 1);
	return parse_state(w, sl_stmt_text(stmt, 2), err);
}

static int save_state(struct sl_monitor_watch *w, int64_t prediction_offset, int64_t label_offset, struct sl_error *err)
{
	char state[640];
	int64_t read_predictions = prediction_offset, read_labels = label_offset;
	sl_windows_resume_at(&w->windows, &prediction_offset, &label_offset);
	snprintf(state, sizeof state,
		 "{\"prediction_offset\":%" PRId64 ",\"label_offset\":%" PRId64 ",\"counted_predictions\":%" PRId64 ",\"counted_labels\":%" PRId64
		 ",\"next_end\":%" PRId64 ",\"late_rows\":%" PRIu64 ",\"future_rows\":%" PRIu64
		 ",\"unlabelled\":%" PRIu64 ",\"warn_since\":%" PRId64 ",\"alarm_since\":%" PRId64 "}",
		 prediction_offset, label_offset, read_predictions, read_labels, w->windows.next_end_ms, w->windows.late_rows, w->windows.future_rows, w->unlabelled,
		 w->since_ms[SL_LEVEL_WARN], w->since_ms[SL_LEVEL_ALARM]);
	int64_t n = sl_meta_exec(w->store->meta, err,
		"INSERT INTO monitor_state(monitor, level, since_ms, state) VALUES (?1, ?2, ?3, ?4) "
		"ON CONFLICT(monitor) DO UPDATE SET level = excluded.level, since_ms = excluded.since_ms, state = excluded.state", "ssis",
		w->spec->name, sl_level_name(w->level), w->level_since_ms, state);
	return n < 0 ? (int)n : 0;
}

/* ---- closing a window ------------------------------------------------------------------------------------------------- */

/* The level that has held for `for_ms` up to the window that ends at `end_ms`. */
static enum sl_level raised_level(struct sl_monitor_watch *w, enum sl_level window_level, int64_t end_ms)
{
	enum sl_level raised = SL_LEVEL_OK;
	for (enum sl_level level = SL_LEVEL_WARN; level <= SL_LEVEL_ALARM; level++) {
		if (window_level < level)
			w->since_ms[level] = 0;
		else if (!w->since_ms[level])
			w->since_ms[level] = end_ms;
		if (w->since_ms[level] && end_ms - w->since_ms[level] >= w->spec->for_ms)
			raised = level;
	}
	/* A level that was raised already does not fall back for want of a longer hold. */
	return raised < w->level && window_level >= w->level ? w->level : raised;
}

static int add_event(struct sl_monitor_watch *w, int64_t from_ms, int64_t to_ms, const char *evidence, struct sl_error *err)
{
	char kind[32];
	snprintf(kind, sizeof kind, "monitor.%s", sl_level_name(w->level));
	struct sl_event event = {.kind = kind, .subject = w->spec->name, .from_ms = from_ms, .to_ms = to_ms, .detail = evidence};
	return sl_event_add(&w->store->track, &event, NULL, err);
}

/* The window's row, its ledger entry, and the new state; inside the transaction. */
static int record_window(struct sl_monitor_watch *w, int64_t from_ms, int64_t to_ms, enum sl_level level, uint64_t rows, const char *evidence, struct sl_error *err)
{
	int64_t n = sl_meta_exec(w->store->meta, err,
		"INSERT INTO monitor_window(monitor, from_ms, to_ms, level, rows, evidence, made_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
		"ON CONFLICT(monitor, from_ms, to_ms) DO UPDATE SET level = excluded.level, rows = excluded.rows, evidence = excluded.evidence, made_ms = excluded.made_ms",
		"siisisi", w->spec->name, from_ms, to_ms, sl_level_name(level), (int64_t)rows, evidence, sl_now_ms());
	if (n < 0)
		return (int)n;
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1], subject[SL_NAME_MAX + 16];
	sl_sha256(evidence, strlen(evidence), &hash);
	snprintf(subject, sizeof subject, "monitor:%s", w->spec->name);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_int(doc, detail, "from_ms", from_ms) || !yyjson_mut_obj_add_int(doc, detail, "to_ms", to_ms) ||
	    !yyjson_mut_obj_add_str(doc, detail, "level", sl_level_name(level)) || !yyjson_mut_obj_add_str(doc, detail, "evidence", sl_hash_hex(&hash, hex)))
		return sl_fail_memory(err);
	int rc = sl_ledger_cover(w->store->ledger, doc, detail, "monitor_window", err, "sii", w->spec->name, from_ms, to_ms);
	return rc ? rc : sl_ledger_append(w->store->ledger, "monitor.window", subject, detail, NULL, err);
}

/* Commits the due window; `prediction_offset` and `label_offset`: the record being read, which a restart must read again. */
static int commit_window(struct sl_monitor_watch *w, const struct sl_pane *sum, enum sl_level window_level, const char *evidence, int64_t prediction_offset,
			 int64_t label_offset, struct sl_error *err)
{
	int64_t to = w->windows.next_end_ms, from = to - w->windows.window_ms;
	enum sl_level before = w->level, raised = raised_level(w, window_level, to);
	int rc = sl_meta_begin(w->store->meta, err);
	if (rc)
		return rc;
	rc = record_window(w, from, to, window_level, is_quality(w) ? sum->quality.rows : sum->rows, evidence, err);
	if (raised != before) {
		w->level = raised;
		w->level_since_ms = to;
		if (!rc)
			rc = add_event(w, from, to, evidence, err);
	}
	sl_windows_next(&w->windows);
	if (!rc)
		rc = save_state(w, prediction_offset, label_offset, err);
	return sl_meta_end(w->store->meta, rc, err);
}

/* The newest version that answered in the window brings the reference; a quality monitor only needs to know the task. */
static const struct sl_watched_model *model_of(const struct sl_monitor_watch *w, const struct sl_pane *window)
{
	const struct sl_watched_model *newest = NULL;
	for (const struct sl_pane_inputs *inputs = window->inputs; inputs; inputs = inputs->next)
		if (inputs->rows && (!newest || inputs->model->version > newest->version))
			newest = inputs->model;
	return is_quality(w) ? w->newest : newest;
}

static int close_due_windows(struct sl_monitor_watch *w, int64_t prediction_offset, int64_t label_offset, struct sl_error *err)
{
	while (sl_windows_due(&w->windows)) {
		if (w->join)
			w->unlabelled += sl_join_expire(w->join, w->windows.next_end_ms - w->windows.window_ms);
		struct sl_pane sum;
		if (!sl_windows_sum(&w->windows, &sum))
			return sl_fail_memory(err);
		int64_t to = w->windows.next_end_ms;
		struct sl_verdict_input in = {
			.monitor = w->spec, .window = &sum, .model = model_of(w, &sum), .from_ms = to - w->windows.window_ms, .to_ms = to,
			.late_rows = w->windows.late_rows, .future_rows = w->windows.future_rows, .unlabelled = w->unlabelled,
			.waiting = w->join ? sl_join_waiting(w->join) : 0,
		};
		yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
		yyjson_mut_val *evidence = NULL;
		enum sl_level level = SL_LEVEL_OK;
		struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT((size_t)16 << 20);
		int rc = doc ? sl_verdict(&in, doc, &evidence, &level, err) : sl_fail_memory(err);
		if (!rc)
			rc = sl_json_mut_canonical(evidence, &text, err);
		if (!rc)
			rc = commit_window(w, &sum, level, sl_buf_cstr(&text), prediction_offset, label_offset, err);
		sl_pane_done(&sum);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- predictions ------------------------------------------------------------------------------------------------------ */

static int find_model(struct sl_monitor_watch *w, const struct sl_hash *package, int64_t version, const struct sl_watched_model **ret, struct sl_error *err)
{
	for (size_t i = 0; i < w->model_count; i++)
		if (sl_hash_eq(&w->models[i]->package.hash, package)) {
			*ret = w->models[i];
			return 0;
		}
	struct sl_watched_model **models = sl_realloc(w->models, (w->model_count + 1) * sizeof *models, err);
	if (!models)
		return SL_E_NO_MEMORY;
	w->models = models;
	int rc = sl_watched_model_load(w->store->objects, package, version, &w->models[w->model_count], err);
	if (!rc && w->spec->reference[0] && (rc = sl_baseline_take(w->store, w->spec->reference, w->models[w->model_count], err)))
		sl_watched_model_free(w->models[w->model_count]);
	if (!rc)
		*ret = w->models[w->model_count++];
	return rc ? sl_error_context(err, "monitor %s", w->spec->name) : 0;
}

/* Where a logged column goes in the model: its feature, or -1 when the model does not read it. */
static int feature_of(const struct sl_watched_model *model, const struct sl_logged_column *column)
{
	return column->hashed ? -1 : sl_watched_feature(model, column->name, column->name_len);
}

static void count_feature(struct sl_pane_inputs *inputs, int feature, const struct sl_cell *cell)
{
	float value;
	int encoded = sl_encode(&inputs->model->package.features[feature], cell, &value, NULL);
	sl_pane_value(inputs, (size_t)feature, value, encoded == SL_ENCODED_UNSEEN);
}

/* The watch's own text of a segment, so that segments compare by address; beyond SL_MONITOR_SEGMENTS_MAX all are one. NULL: no memory. */
static const char *intern_segment(struct sl_monitor_watch *w, const char *value, size_t len)
{
	static const char OTHERS[] = "(all further values)";
	for (size_t i = 0; i < w->segment_count; i++)
		if (strlen(w->segments[i]) == len && memcmp(w->segments[i], value, len) == 0)
			return w->segments[i];
	if (w->segment_count >= SL_MONITOR_SEGMENTS_MAX)
		return OTHERS;
	if (!w->texts && !(w->texts = sl_arena_new(0, NULL)))
		return NULL;
	const char *copy = sl_arena_strndup(w->texts, value, len);
	if (copy)
		w->segments[w->segment_count++] = copy;
	return copy;
}

static const char *segment_of(struct sl_monitor_watch *w, const struct sl_cell *cell)
{
	char text[40];
	switch (cell->kind) {
	case SL_CELL_TEXT: return intern_segment(w, cell->text, cell->len);
	case SL_CELL_BOOL: return intern_segment(w, cell->b ? "true" : "false", cell->b ? 4 : 5);
	case SL_CELL_INT: return intern_segment(w, text, (size_t)snprintf(text, sizeof text, "%" PRId64, cell->i));
	case SL_CELL_DOUBLE: return intern_segment(w, text, (size_t)snprintf(text, sizeof text, "%.15g", cell->d));
	default: return "(no value)";
	}
}

static int count_inputs(struct sl_pane *pane, const struct sl_watched_model *model, const char *segment, const struct sl_prediction *p, size_t row,
			const int *features, struct sl_error *err)
{
	struct sl_pane_inputs *inputs = sl_pane_inputs(pane, model, segment);
	if (!inputs)
		return sl_fail_memory(err);
	inputs->rows++;
	for (size_t c = 0; c < p->column_count; c++)
		if (features[c] >= 0)
			count_feature(inputs, features[c], &p->columns[c].cells[row]);
	for (size_t o = 0; o < p->output_count && o < model->reference.prediction_count; o++)
		sl_pane_value(inputs, model->reference.feature_count + o, p->outputs[row * p->output_count + o], false);
	return 0;
}

void sl_monitor_key(const struct sl_prediction *p, size_t row, struct sl_join_key *ret)
{
	char text[64];
	const struct sl_cell *key = p->keys ? &p->keys[row] : NULL;
	if (key && key->kind == SL_CELL_TEXT) {
		sl_join_key(false, key->text, key->len, ret);
		return;
	}
	int n;
	bool by_id = !key || key->kind != SL_CELL_INT;
	if (by_id)
		n = snprintf(text, sizeof text, "%s#%zu", p->id.text, (size_t)p->first_row + row); /* a long request is several records */
	else
		n = snprintf(text, sizeof text, "%" PRId64, key->i);
	sl_join_key(by_id, text, (size_t)n, ret);
}

/* A pair of prediction and label goes into the prediction's pane, if that is still open. `again`: it was read before a restart. */
static void count_pair(struct sl_monitor_watch *w, const struct sl_join_match *match, bool again)
{
	struct sl_pane *pane = sl_windows_find(&w->windows, match->time_ms);
	if (pane)
		sl_quality_add(&pane->quality, w->newest->package.task, match->outputs, sl_join_outputs(w->join), match->label);
	else
		w->windows.late_rows += !again;
}

static int wait_for_label(struct sl_monitor_watch *w, const struct sl_prediction *p, size_t row, int64_t time_ms, bool again, struct sl_error *err)
{
	if (w->join && sl_join_outputs(w->join) != p->output_count) {
		sl_join_free(w->join); /* another kind of model answers now: what waited cannot be compared with it */
		w->join = NULL;
	}
	if (!w->join && !(w->join = sl_join_new(p->output_count, err)))
		return SL_E_NO_MEMORY;
	struct sl_join_key key;
	struct sl_join_match match;
	sl_monitor_key(p, row, &key);
	int rc = sl_join_prediction(w->join, &key, time_ms, p->outputs + row * p->output_count, &match, err);
	if (rc == 1)
		count_pair(w, &match, again);
	return rc < 0 ? rc : 0;
}

static int count_row(struct sl_monitor_watch *w, const struct sl_prediction *p, size_t row, const int *features, int64_t offset, struct sl_error *err)
{
	int64_t time_ms = p->times_ms ? p->times_ms[row] : p->received_ms;
	bool again = offset < w->counted_predictions;
	uint64_t late = w->windows.late_rows, future = w->windows.future_rows;
	int why;
	struct sl_pane *pane = sl_windows_pane(&w->windows, time_ms, sl_now_ms(), offset, w->label_offset, &why);
	if (again) {
		w->windows.late_rows = late;
		w->windows.future_rows = future;
	}
	if (!pane)
		return why >= 0 ? 0 : sl_fail(err, why, "monitor '%s' cannot keep another pane", w->spec->name);
	sl_pane_count(pane, p->version, 1);
	if (is_quality(w))
		return wait_for_label(w, p, row, time_ms, again, err);
	int rc = count_inputs(pane, w->newest, NULL, p, row, features, err);
	if (!rc && w->estimates && w->newest->package.task == SL_TASK_BINARY && !sl_estimate_add(&pane->estimate, (double)p->outputs[row], 1))
		return sl_fail_memory(err);
	for (size_t c = 0; !rc && w->spec->segment[0] && c < p->column_count; c++) {
		const struct sl_logged_column *column = &p->columns[c];
		if (strlen(w->spec->segment) != column->name_len || memcmp(w->spec->segment, column->name, column->name_len) != 0)
			continue;
		const char *segment = segment_of(w, &column->cells[row]);
		rc = segment ? count_inputs(pane, w->newest, segment, p, row, features, err) : sl_fail_memory(err);
	}
	return rc;
}

struct visit {
	struct sl_monitor_watch *watch;
	struct sl_arena *arena;
	int64_t stop_offset; /* labels: where the log ended before the predictions were read */
};

static int visit_prediction(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct visit *visit = context;
	struct sl_monitor_watch *w = visit->watch;
	struct sl_prediction p;
	sl_arena_reset(visit->arena);
	int rc = sl_predlog_decode(record, visit->arena, &p, err);
	if (!rc && p.variant && p.reason == SL_ROUTE_SHADOW) /* nobody had it for an answer */
		return 0;
	if (!rc)
		rc = find_model(w, &p.package, p.version, &w->newest, err);
	int *features = rc ? NULL : sl_arena_array(visit->arena, p.column_count + 1, sizeof *features);
	if (!features)
		return rc ? rc : sl_fail_memory(err);
	for (size_t c = 0; c < p.column_count; c++)
		features[c] = feature_of(w->newest, &p.columns[c]);
	for (size_t row = 0; !rc && row < p.row_count; row++)
		rc = count_row(w, &p, row, features, record->offset, err);
	if (rc || is_quality(w))
		return rc;
	if (record->time_ms <= sl_now_ms() + SL_FUTURE_MS)
		sl_windows_advance(&w->windows, record->time_ms);
	return close_due_windows(w, record->offset, 0, err);
}

/* ---- labels ----------------------------------------------------------------------------------------------------------- */

/* A label as the model's task counts it: a class by name becomes its number. NaN when the model has no such class. */
static double label_value(const struct sl_package *package, const struct sl_label *label)
{
	if (!label->is_text)
		return label->number;
	for (size_t i = 0; i < package->class_count; i++)
		if (strlen(package->classes[i]) == label->text_len && memcmp(package->classes[i], label->text, label->text_len) == 0)
			return (double)i;
	return NAN;
}

static int count_label(struct sl_monitor_watch *w, const struct sl_record *record, struct sl_error *err)
{
	struct sl_label label;
	int rc = sl_label_decode(record, &label, err);
	if (rc)
		return rc;
	struct sl_join_key key;
	struct sl_join_match match;
	double value = label_value(&w->newest->package, &label);
	sl_join_key(label.by_prediction, label.key, label.key_len, &key);
	rc = isnan(value) ? 0 : sl_join_label(w->join, &key, label.time_ms, value, &match, err);
	if (rc == 1)
		count_pair(w, &match, record->offset < w->counted_labels);
	if (rc < 0)
		return rc;
	w->label_offset = record->offset;
	if (label.time_ms <= sl_now_ms() + SL_FUTURE_MS)
		sl_windows_advance(&w->windows, label.time_ms);
	return close_due_windows(w, w->prediction_offset, record->offset, err);
}

/* The record that stops the reading counts as read: stop at the last one that may be read, not behind it. */
static int visit_label(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct visit *visit = context;
	int rc = count_label(visit->watch, record, err);
	return rc ? rc : record->offset + 1 >= visit->stop_offset;
}

/* ---- the watch ---------------------------------------------------------------------------------------------------------- */

static int check_spec(const struct sl_monitor *spec, struct sl_error *err)
{
	if (spec->window_ms <= 0 || spec->every_ms <= 0 || spec->window_ms % spec->every_ms)
		return sl_fail(err, SL_E_INVALID, "monitor '%s': its window must be a multiple of 'every'", spec->name);
	if (spec->window_ms / spec->every_ms > SL_PANES_MAX / 2)
		return sl_fail(err, SL_E_TOO_LARGE, "monitor '%s': its window has more than %d panes", spec->name, SL_PANES_MAX / 2);
	return 0;
}

int sl_monitor_open(struct sl_store *store, const struct sl_project *project, const struct sl_monitor *monitor, struct sl_monitor_watch **ret, struct sl_error *err)
{
	int rc = check_spec(monitor, err);
	if (rc)
		return rc;
	struct sl_monitor_watch *w = sl_alloc(sizeof *w, err);
	if (!w)
		return SL_E_NO_MEMORY;
	w->store = store;
	w->project = project;
	w->spec = monitor;
	for (size_t i = 0; i < monitor->bar_count; i++)
		w->estimates = w->estimates || sl_str_starts(monitor->bars[i].statistic, "estimated_");
	sl_windows_init(&w->windows, monitor->window_ms, monitor->every_ms, monitor->lateness_ms);
	rc = load_state(w, err);
	if (rc)
		sl_monitor_close(w);
	else
		*ret = w;
	return rc;
}

void sl_monitor_close(struct sl_monitor_watch *w)
{
	if (!w)
		return;
	sl_windows_done(&w->windows);
	sl_join_free(w->join);
	sl_arena_free(w->texts);
	for (size_t i = 0; i < w->model_count; i++)
		sl_watched_model_free(w->models[i]);
	sl_free(w->models);
	sl_stream_close(w->predictions);
	sl_stream_close(w->labels);
	sl_free(w);
}

/* A log that nobody has written yet is no error: look again at the next tick. */
static int open_log(struct sl_monitor_watch *w, const char *name, struct sl_stream **stream, int64_t *offset, struct sl_error *err)
{
	if (*stream)
		return 0;
	int rc = sl_stream_open_reader(w->store->streams_dir, name, stream, err);
	if (rc == SL_E_NOT_FOUND)
		return 0;
	if (!rc && *offset < sl_stream_begin_offset(*stream))
		*offset = sl_stream_begin_offset(*stream); /* retention has passed us by */
	return rc;
}

static int open_logs(struct sl_monitor_watch *w, struct sl_error *err)
{
	char name[SL_NAME_MAX + 32];
	sl_predlog_name(w->spec->endpoint, name);
	int rc = open_log(w, name, &w->predictions, &w->prediction_offset, err);
	if (rc || !is_quality(w))
		return rc;
	snprintf(name, sizeof name, "labels-%s", w->spec->labels);
	return open_log(w, name, &w->labels, &w->label_offset, err);
}

int sl_monitor_tick(struct sl_monitor_watch *w, size_t max_bytes, struct sl_error *err)
{
	int rc = open_logs(w, err);
	if (rc || !w->predictions)
		return rc;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new((size_t)256 << 20, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	/* A label is written after its prediction: read labels only up to where they ended before the last prediction was read. */
	struct visit visit = {w, arena, w->labels ? sl_stream_end_offset(w->labels) : 0};
	int64_t next = w->prediction_offset;
	rc = sl_stream_read(w->predictions, w->prediction_offset, max_bytes, visit_prediction, &visit, &next, err);
	if (rc < 0)
		return rc;
	w->prediction_offset = next;
	if (next < sl_stream_end_offset(w->predictions))
		return 1;
	if (!w->labels || !w->join || w->label_offset >= visit.stop_offset) /* labels of predictions that are still to come wait */
		return 0;
	next = w->label_offset;
	rc = sl_stream_read(w->labels, w->label_offset, max_bytes, visit_label, &visit, &next, err);
	if (rc < 0)
		return rc;
	w->label_offset = next;
	return next < visit.stop_offset;
}

/* run, worker: brings names up to date. */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "flow/flow.h"
#include "op/diff_data.h"
#include "op/each.h"
#include "op/flow_json.h"
#include "op/handlers.h"
#include "op/openlineage.h"
#include "op/pins.h"
#include "op/run.h"
#include "op/words.h"

static void sort_words(const char *const *words, size_t count, struct sl_run_words *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (strchr(words[i], '=') || words[i][0] == '+' || words[i][0] == '~')
			ret->overrides[ret->override_count++] = words[i];
		else
			ret->names[ret->name_count++] = words[i];
	}
}

int sl_run_words(struct sl_call *call, struct sl_run_words *ret, struct sl_error *err)
{
	size_t count;
	const char *const *words = sl_call_list(call, "what", &count);
	*ret = (struct sl_run_words){.names = sl_arena_array(call->arena, count + 1, sizeof *ret->names),
		.overrides = sl_arena_array(call->arena, count + 1, sizeof *ret->overrides)};
	if (!ret->names || !ret->overrides)
		return sl_fail_memory(err);
	sort_words(words, count, ret);
	return 0;
}

/* What is to be done: as the call says, or as the killed run's did. */
struct request { const char *const *words; size_t count; bool force, keep_going, pin; struct sl_run_words sorted; };

static int make_room(struct sl_call *call, struct request *r, struct sl_error *err)
{
	r->sorted = (struct sl_run_words){.names = sl_arena_array(call->arena, r->count + 1, sizeof *r->sorted.names),
		.overrides = sl_arena_array(call->arena, r->count + 1, sizeof *r->sorted.overrides)};
	return r->sorted.names && r->sorted.overrides ? 0 : sl_fail_memory(err);
}

/* As it was typed, for the record. */
static const char *command_text(struct sl_call *call, const struct request *r)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	sl_buf_str(&text, "sluice run");
	for (size_t i = 0; i < r->count; i++)
		sl_buf_printf(&text, " %s", r->words[i]);
	return text.failed ? "sluice run" : sl_arena_strdup(call->arena, sl_buf_cstr(&text));
}

/* For `run --resume`, when this one is killed. NULL when memory is out. */
static const char *remember(struct sl_call *call, const struct request *r)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	yyjson_mut_val *object = yyjson_mut_obj(call->doc), *what = sl_put_array(call, object, "what");
	for (size_t i = 0; i < r->count; i++)
		yyjson_mut_arr_append(what, sl_call_json_text(call, r->words[i]));
	sl_put_bool(call, object, "force", r->force);
	sl_put_bool(call, object, "keep-going", r->keep_going);
	sl_put_bool(call, object, "pin", r->pin);
	return sl_json_write(object, false, &text, NULL) ? NULL : sl_arena_strdup(call->arena, sl_buf_cstr(&text));
}

/* 1; 0: no run was killed. */
static int recall(struct sl_call *call, struct sl_store *store, struct request *r, struct sl_error *err)
{
	const char *kept;
	int64_t steps;
	if (r->count)
		return sl_fail(err, SL_E_INVALID, "--resume takes names and parameters from the run that was killed");
	int rc = sl_flow_interrupted(store, call->arena, &kept, &steps, err);
	yyjson_doc *doc SL_AUTO_JSON = rc == 1 && *kept ? sl_json_parse(kept, strlen(kept), "the killed run", err) : NULL;
	if (rc != 1 || !doc)
		return rc != 1 ? rc : *kept ? SL_E_CORRUPT : 0;
	yyjson_val *root = yyjson_doc_get_root(doc), *what = yyjson_obj_get(root, "what"), *word;
	const char **words = sl_arena_array(call->arena, yyjson_arr_size(what) + 1, sizeof *words);
	size_t i, max;
	bool ok = words != NULL;
	yyjson_arr_foreach(what, i, max, word)
		ok = ok && (words[r->count++] = sl_arena_strdup(call->arena, yyjson_is_str(word) ? yyjson_get_str(word) : "")) != NULL;
	r->words = words;
	r->force = sl_json_bool(root, "force", false);
	r->keep_going = sl_json_bool(root, "keep-going", false);
	r->pin = sl_json_bool(root, "pin", false);
	return ok ? 1 : sl_fail_memory(err);
}

/* 1; 0: there is nothing to do. */
static int make_request(struct sl_call *call, struct sl_store *store, struct request *r, struct sl_error *err)
{
	*r = (struct request){.force = sl_call_flag(call, "force"), .keep_going = sl_call_flag(call, "keep-going"), .pin = sl_call_flag(call, "pin")};
	r->words = sl_call_list(call, "what", &r->count);
	int rc = sl_call_flag(call, "resume") ? recall(call, store, r, err) : 1;
	rc = rc == 1 ? make_room(call, r, err) : rc ? rc : 1;
	if (rc)
		return rc < 0 ? rc : 0;
	sort_words(r->words, r->count, &r->sorted);
	return 1;
}

/* ---- news while it runs ---- */

/* What the callbacks below get. */
struct news { struct sl_call *call; struct sl_openlineage_beside beside; };

static void on_started(void *context, const struct sl_flow_node *node)
{
	struct news *news = context;
	sl_call_line(news->call, "%-8s %s: %s", node->action, node->name, node->reason);
	sl_call_advance(news->call, node->name, -1, node->action);
	sl_openlineage_accompany(news->call, &news->beside);
}

static void on_progress(void *context, const struct sl_flow_node *node, double fraction, const char *what)
{
	const struct news *news = context;
	sl_call_advance(news->call, node->name, fraction >= 1 ? 0.999 : fraction, what);
}

static void on_metric(void *context, const struct sl_flow_node *node, const char *name, int64_t step, double value)
{
	const struct news *news = context;
	char what[96];
	snprintf(what, sizeof what, "round %lld, %.40s %.5g", (long long)step, name, value);
	sl_call_advance(news->call, node->name, -2, what); /* -2: the fraction stays */
}

static void on_again(void *context, const struct sl_flow_node *node, int64_t wait_ms)
{
	const struct news *news = context;
	char wait[SL_TIME_TEXT];
	sl_call_line(news->call, "%-8s %s: %s; again in %s", "failed", node->name, node->cause, sl_duration_format(wait_ms, wait));
}

static void on_ended(void *context, const struct sl_flow_node *node)
{
	const struct news *news = context;
	char took[SL_TIME_TEXT];
	if (!node->started_ms)
		return;
	sl_call_advance(news->call, node->name, 1, "");
	sl_duration_format(node->ended_ms - node->started_ms, took);
	if (node->cause[0])
		sl_call_line(news->call, "%-8s %s: %s after %s", sl_flow_state_name(node->state), node->name, node->cause, took);
	else
		sl_call_line(news->call, "%-8s %s: %s%s%s", sl_flow_state_name(node->state), node->name, node->note,
			node->note[0] ? ", " : "", took);
}

static void fill_options(struct sl_call *call, const struct request *request, struct news *news, struct sl_flow_options *options)
{
	*options = (struct sl_flow_options){
		.names = request->sorted.names,
		.name_count = request->sorted.name_count,
		.jobs = (int)sl_call_int(call, "jobs"),
		.force = request->force,
		.keep_going = request->keep_going,
		.preview = sl_call_flag(call, "dry-run"),
		.repeat = sl_call_flag(call, "check-repeatable"),
		.wait = sl_call_flag(call, "wait"),
		.command = command_text(call, request),
		.words = remember(call, request),
		.cancel = call->cancel,
		.events =
			{.started = on_started, .progress = on_progress, .metric = on_metric, .again = on_again, .ended = on_ended, .context = news},
	};
}

/* Steps whose items are the answer of a query: with the answers of now. */
static int settle_each(struct sl_call *call, struct sl_store *store, const struct request *request, const struct sl_flow_options *options,
	struct sl_project **project, struct sl_error *err)
{
	bool changed = !options->preview;
	int rc = 0;
	for (size_t i = 0, most = (*project)->each_query_count; !rc && changed && i <= most; i++) {
		rc = sl_each_settle(call, store, *project, options, &changed, err);
		if (!rc && changed)
			rc = sl_pins_project(call, store, request->sorted.overrides, request->sorted.override_count, false, project, err);
	}
	return rc;
}

/* What was another one the second time, and where the two part. */
static int put_differences(struct sl_call *call, struct sl_store *store, const struct sl_flow_report *report, yyjson_mut_val *result, struct sl_error *err)
{
	yyjson_mut_val *list = sl_put_array(call, result, "differences");
	int rc = 0;
	for (size_t i = 0; !rc && i < report->difference_count; i++) {
		const struct sl_flow_difference *d = &report->differences[i];
		const struct sl_hash hashes[2] = {d->first, d->second};
		yyjson_mut_val *item = sl_add_object(call, list);
		sl_put_text(call, item, "step", d->node);
		sl_put_text(call, item, "output", d->output);
		rc = sl_diff_contents(call, store, hashes, item, err);
	}
	return rc;
}

/* When a node failed, the report is shown, and the error beside it; the exit status tells the user's failure from the machine's. */
static int finish(struct sl_call *call, struct sl_store *store, const struct sl_flow_report *report, int rc, struct sl_error *err)
{
	if (rc && (!report->failed || rc == SL_E_CANCELLED))
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_flow_put_report(call, result, report);
	struct sl_error why;
	if (report->difference_count && put_differences(call, store, report, result, &why)) {
		*err = why;
		return err->code;
	}
	sl_put_bool(call, result, "preview", sl_call_flag(call, "dry-run"));
	if (!rc)
		return 0;
	call->failed = true;
	call->exit_status = sl_code_exit_status(rc);
	yyjson_mut_obj_add_val(call->doc, result, "error", yyjson_mut_obj_get(sl_error_json(call->doc, err), "error"));
	return 0;
}

int sl_run_project(struct sl_call *call, const struct sl_flow_face *face, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_project *project;
	struct request request;
	struct sl_flow_options options;
	struct sl_flow_report report = {0};
	struct news news = {.call = call, .beside = SL_OPENLINEAGE_NOBODY};
	int rc = sl_call_store(call, &store, err);
	rc = rc ? rc : make_request(call, store, &request, err);
	if (rc == 0)
		sl_put_text(call, sl_call_object(call), "note", "no run was killed");
	if (rc != 1)
		return rc;
	rc = 0;
	bool settle = !sl_call_flag(call, "dry-run");
	if (!rc && settle && sl_call_flag(call, "unpin"))
		rc = sl_pins_drop(call, store, "sluice run --unpin", err);
	if (!rc)
		rc = sl_pins_project(call, store, request.sorted.overrides, request.sorted.override_count, settle, &project, err);
	if (rc)
		return rc;
	fill_options(call, &request, &news, &options);
	options.face = face;
	if (options.repeat && !options.name_count)
		return sl_fail(err, SL_E_INVALID, "--check-repeatable takes the names of steps");
	if (!options.preview)
		sl_openlineage_prepare(call, store, project, &news.beside);
	rc = settle_each(call, store, &request, &options, &project, err);
	rc = rc ? rc : sl_flow_run(store, project, &options, &report, err);
	sl_openlineage_done(call, store, &news.beside);
	if (!rc && request.pin && !options.preview)
		rc = sl_pins_keep(call, store, request.sorted.overrides, request.sorted.override_count, err);
	rc = finish(call, store, &report, rc, err);
	sl_flow_report_done(&report);
	return rc;
}

int sl_op_worker(struct sl_call *call, struct sl_error *err)
{
	(void)err;
	sl_call_object(call);
	call->exit_status = sl_flow_worker(sl_call_text(call, "job"));
	return 0;
}

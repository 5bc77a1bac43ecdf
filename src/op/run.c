/* run, worker: brings names up to date. */
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "flow/flow.h"
#include "op/flow_json.h"
#include "op/handlers.h"
#include "op/pins.h"
#include "op/run.h"
#include "op/words.h"

int sl_run_words(struct sl_call *call, struct sl_run_words *ret, struct sl_error *err)
{
	size_t count;
	const char *const *words = sl_call_list(call, "what", &count);
	*ret = (struct sl_run_words){.names = sl_arena_array(call->arena, count + 1, sizeof *ret->names),
		.overrides = sl_arena_array(call->arena, count + 1, sizeof *ret->overrides)};
	if (!ret->names || !ret->overrides)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		if (strchr(words[i], '=') || words[i][0] == '+' || words[i][0] == '~')
			ret->overrides[ret->override_count++] = words[i];
		else
			ret->names[ret->name_count++] = words[i];
	}
	return 0;
}

/* As it was typed, for the record. */
static const char *command_text(struct sl_call *call)
{
	size_t count;
	const char *const *words = sl_call_list(call, "what", &count);
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	sl_buf_str(&text, "sluice run");
	for (size_t i = 0; i < count; i++)
		sl_buf_printf(&text, " %s", words[i]);
	return text.failed ? "sluice run" : sl_arena_strdup(call->arena, sl_buf_cstr(&text));
}

/* ---- news while it runs ---- */

static void on_started(void *context, const struct sl_flow_node *node)
{
	sl_call_line(context, "%-8s %s: %s", node->action, node->name, node->reason);
	sl_call_advance(context, node->name, -1, node->action);
}

static void on_progress(void *context, const struct sl_flow_node *node, double fraction, const char *what)
{
	sl_call_advance(context, node->name, fraction >= 1 ? 0.999 : fraction, what);
}

static void on_metric(void *context, const struct sl_flow_node *node, const char *name, int64_t step, double value)
{
	char what[96];
	snprintf(what, sizeof what, "round %lld, %.40s %.5g", (long long)step, name, value);
	sl_call_advance(context, node->name, -2, what); /* -2: the fraction stays */
}

static void on_again(void *context, const struct sl_flow_node *node, int64_t wait_ms)
{
	char wait[SL_TIME_TEXT];
	sl_call_line(context, "%-8s %s: %s; again in %s", "failed", node->name, node->cause, sl_duration_format(wait_ms, wait));
}

static void on_ended(void *context, const struct sl_flow_node *node)
{
	char took[SL_TIME_TEXT];
	if (!node->started_ms)
		return;
	sl_call_advance(context, node->name, 1, "");
	sl_duration_format(node->ended_ms - node->started_ms, took);
	if (node->cause[0])
		sl_call_line(context, "%-8s %s: %s after %s", sl_flow_state_name(node->state), node->name, node->cause, took);
	else
		sl_call_line(context, "%-8s %s: %s%s%s", sl_flow_state_name(node->state), node->name, node->note,
			node->note[0] ? ", " : "", took);
}

static void fill_options(struct sl_call *call, const struct sl_run_words *request, struct sl_flow_options *options)
{
	*options = (struct sl_flow_options){
		.names = request->names,
		.name_count = request->name_count,
		.jobs = (int)sl_call_int(call, "jobs"),
		.force = sl_call_flag(call, "force"),
		.keep_going = sl_call_flag(call, "keep-going"),
		.preview = sl_call_flag(call, "dry-run"),
		.wait = sl_call_flag(call, "wait"),
		.command = command_text(call),
		.cancel = call->cancel,
		.events =
			{.started = on_started, .progress = on_progress, .metric = on_metric, .again = on_again, .ended = on_ended, .context = call},
	};
}

/* When a node failed, the report is shown, and the error beside it; the exit status tells the user's failure from the machine's. */
static int finish(struct sl_call *call, const struct sl_flow_report *report, int rc, struct sl_error *err)
{
	if (rc && (!report->failed || rc == SL_E_CANCELLED))
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_flow_put_report(call, result, report);
	sl_put_bool(call, result, "preview", sl_call_flag(call, "dry-run"));
	if (!rc)
		return 0;
	call->failed = true;
	call->exit_status = sl_code_exit_status(rc);
	yyjson_mut_obj_add_val(call->doc, result, "error", yyjson_mut_obj_get(sl_error_json(call->doc, err), "error"));
	return 0;
}

int sl_run_project(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_project *project;
	struct sl_run_words request;
	struct sl_flow_options options;
	struct sl_flow_report report = {0};
	int rc = sl_run_words(call, &request, err);
	if (!rc)
		rc = sl_call_store(call, &store, err);
	bool settle = !sl_call_flag(call, "dry-run");
	if (!rc && settle && sl_call_flag(call, "unpin"))
		rc = sl_pins_drop(call, store, "sluice run --unpin", err);
	if (!rc)
		rc = sl_pins_project(call, store, request.overrides, request.override_count, settle, &project, err);
	if (rc)
		return rc;
	fill_options(call, &request, &options);
	rc = sl_flow_run(store, project, &options, &report, err);
	if (!rc && sl_call_flag(call, "pin") && !options.preview)
		rc = sl_pins_keep(call, store, request.overrides, request.override_count, err);
	rc = finish(call, &report, rc, err);
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

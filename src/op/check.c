/* check: a dataset's checks, run now on any version of it. */
#include <string.h>

#include "base/str.h"
#include "data/check_past.h"
#include "data/check_publish.h"
#include "data/check_suggest.h"
#include "op/handlers.h"
#include "op/pins.h"
#include "op/profile.h"
#include "op/resolve.h"
#include "os/clock.h"

static void on_progress(void *context, double fraction, const char *what)
{
	sl_call_advance(context, "check", fraction >= 1 ? 0.999 : fraction, what);
}

static int find_table(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_check_job *job, struct sl_error *err)
{
	struct sl_dataset_head head;
	int rc = sl_dataset_find(&store->track, ref->name, ref->version, &head, err);
	rc = rc ? rc : sl_staged_version(store->objects, &head.hash, call->arena, &job->table, err);
	return rc ? rc : sl_check_past_find(&store->track, store->objects, head.seq, call->arena, job, err);
}

static int put_report(struct sl_call *call, const struct sl_check_report *report, struct sl_error *err)
{
	yyjson_mut_val *value = sl_check_report_json(call->doc, report);
	if (!value)
		return sl_fail_memory(err);
	yyjson_mut_obj_add_val(call->doc, sl_call_object(call), "report", value);
	struct sl_error why = {0};
	if (sl_check_report_error(report, &why)) {
		call->failed = true;
		yyjson_mut_obj_add_val(
			call->doc, sl_call_object(call), "error", yyjson_mut_obj_get(sl_error_json(call->doc, &why), "error"));
	}
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	sl_check_report_text(report, &text);
	sl_put_text(call, sl_call_object(call), "text", sl_buf_cstr(&text));
	return 0;
}

/* The report as a file: JUnit, a page, or the JSON of --json, by the file's name. */
static int write_report(struct sl_call *call, const struct sl_check_report *report, struct sl_error *err)
{
	const char *name = sl_call_text(call, "report");
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	char path[SL_PATH_MAX];
	int rc = call->remote ? sl_fail(err, SL_E_INVALID, "a report is written by the command; over HTTP the answer has it") : 0;
	if (!rc && sl_str_ends(name, ".xml"))
		sl_check_report_junit(report, &text);
	else if (!rc && sl_str_ends(name, ".html"))
		rc = sl_check_report_html(report, sl_now_ms(), &text, err);
	else if (!rc && sl_str_ends(name, ".json"))
		rc = sl_json_write(yyjson_mut_obj_get(sl_call_object(call), "report"), true, &text, err);
	else if (!rc)
		rc = sl_fail(err, SL_E_INVALID, "a report is a .json, .xml (JUnit) or .html file, not '%.200s'", name);
	rc = rc ? rc : sl_buf_check(&text, "the report", err);
	rc = rc ? rc : sl_call_path(call, name, path, err);
	return rc ? rc : sl_file_replace(path, sl_buf_cstr(&text), text.len, 0644, err);
}

static int suggest(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, struct sl_error *err)
{
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	struct sl_dataset_head head;
	struct sl_profile profile;
	const char *text;
	int rc = sl_dataset_find(&store->track, ref->name, ref->version, &head, err);
	rc = rc ? rc : sl_profile_text(call, store, &head.hash, &text, err);
	rc = rc ? rc : sl_profile_parse(text, strlen(text), call->arena, &profile, err);
	rc = rc ? rc : sl_check_suggest(&profile, ref->name, &out, err);
	if (!rc)
		sl_put_text(call, sl_call_object(call), "text", sl_buf_cstr(&out));
	return rc;
}

/* Is there such an environment at all? */
static int known_environment(const struct sl_project *project, const char *environment, struct sl_error *err)
{
	for (size_t i = 0; i < project->dataset_count; i++) {
		const struct sl_dataset *d = &project->datasets[i];
		if (sl_str_eq(d->environment, environment))
			return 0;
		for (size_t k = 0; k < d->check_count; k++)
			for (size_t n = 0; n < d->checks[k].environments.count; n++)
				if (sl_str_eq(d->checks[k].environments.items[n], environment))
					return 0;
	}
	sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml knows no environment '%.100s'", environment);
	return sl_error_hint(err, "an environment stands beside a check (environments: [%.60s]) or a dataset (environment: %.60s)", environment, environment);
}

/* The checks that hold in the environment that is asked for; all of the dataset's own without one. */
static int choose_checks(struct sl_call *call, const struct sl_project *project, const struct sl_dataset *declared, struct sl_check_job *job, struct sl_error *err)
{
	const char *environment = sl_call_text(call, "environment");
	struct sl_check *checks = sl_arena_array(call->arena, declared->check_count + 1, sizeof *checks);
	int rc = checks ? 0 : sl_fail_memory(err);
	job->checks = checks;
	if (!rc && environment && *declared->environment && !sl_str_eq(declared->environment, environment)) {
		sl_fail(err, SL_E_INVALID, "'%s' is of environment '%s'", declared->name, declared->environment);
		return sl_error_hint(err, "check the dataset whose checks it takes over: %s", *declared->checks_of ? declared->checks_of : declared->name);
	}
	rc = rc || !environment ? rc : known_environment(project, environment, err);
	for (size_t i = 0; !rc && i < declared->check_count; i++)
		if (sl_check_holds_in(&declared->checks[i], environment ? environment : ""))
			checks[job->count++] = declared->checks[i];
	return rc;
}

static int run_checks(struct sl_call *call, struct sl_store *store, const struct sl_project *project, const struct sl_ref *ref,
	struct sl_check_report *ret, struct sl_error *err)
{
	struct sl_check_job job = {.dataset = ref->name};
	struct sl_work work = {.cancel = call->cancel, .progress = on_progress, .context = call};
	const struct sl_dataset *declared = sl_project_dataset(project, ref->name);
	if (!declared || !declared->check_count) {
		sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no checks for '%s'", ref->name);
		return sl_error_hint(err, "'sluice check %s --suggest' proposes some; they stand under datasets: %s: checks:", ref->name, ref->name);
	}
	int rc = choose_checks(call, project, declared, &job, err);
	rc = rc ? rc : find_table(call, store, ref, &job, err);
	rc = rc ? rc : sl_check_params(project, call->arena, &job, err);
	rc = rc ? rc : sl_check_execute(&job, NULL, &work, call->arena, ret, err);
	sl_call_advance(call, "check", 1, "");
	return rc;
}

int sl_op_check(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_project *project;
	struct sl_ref ref;
	struct sl_check_report report;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_ref_parse(sl_call_text(call, "dataset"), &ref, err);
	if (!rc && ref.kind != SL_REF_ANY && ref.kind != SL_REF_DATASET)
		rc = sl_fail(err, SL_E_INVALID, "'%s' is no dataset", sl_call_text(call, "dataset"));
	if (rc)
		return rc;
	if (sl_call_flag(call, "suggest"))
		return suggest(call, store, &ref, err);
	rc = sl_pins_project(call, store, NULL, 0, false, &project, err);
	rc = rc ? rc : run_checks(call, store, project, &ref, &report, err);
	rc = rc ? rc : put_report(call, &report, err);
	return rc || !sl_call_given(call, "report") ? rc : write_report(call, &report, err);
}

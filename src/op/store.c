/* verify: proves the store, or a bundle of evidence. */
#include <string.h>

#include "op/context.h"
#include "op/evidence.h"
#include "op/handlers.h"
#include "op/prove.h"
#include "track/verify.h"

enum { PROBLEMS_SHOWN = 1000 };

struct telling {
	struct sl_call *call;
	yyjson_mut_val *problems;
};

static void on_problem(void *context, const char *what)
{
	struct telling *t = context;
	if (yyjson_mut_arr_size(t->problems) < PROBLEMS_SHOWN)
		yyjson_mut_arr_append(t->problems, sl_call_json_text(t->call, what));
}

static void on_progress(void *context, const char *part, double fraction)
{
	struct telling *t = context;
	sl_call_advance(t->call, "verify", fraction >= 1 ? 0.999 : fraction, part);
}

static void put_report(struct sl_call *call, yyjson_mut_val *result, const struct sl_verify_report *report)
{
	const struct { const char *name; int64_t value;
	} rows[] = {
		{"ledger_entries", report->ledger_entries},
		{"ledger_tiles", report->ledger_tiles},
		{"runs", report->runs},
		{"rows", report->rows},
		{"dataset_versions", report->dataset_versions},
		{"model_versions", report->model_versions},
		{"aliases", report->aliases},
		{"manifests", report->manifests},
		{"objects", report->objects},
		{"size_bytes", report->object_bytes},
		{"streams", report->streams},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
		sl_put_int(call, result, rows[i].name, rows[i].value);
}

int sl_op_verify(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_verify_report report = {0};
	if (sl_call_given(call, "bundle"))
		return sl_verify_bundle(call, err);
	if (sl_call_given(call, "key"))
		return sl_fail(err, SL_E_INVALID, "--key belongs to a bundle");
	int rc = sl_call_store(call, &store, err);
	if (rc || sl_call_given(call, "prove"))
		return rc ? rc : sl_op_prove(call, store, err);
	if (sl_call_given(call, "since") || sl_call_given(call, "out"))
		return sl_fail(err, SL_E_INVALID, "--since and --out belong to --prove");
	yyjson_mut_val *result = sl_call_object(call);
	struct telling telling = {call, yyjson_mut_arr(call->doc)};
	struct sl_verify_listener listener = {.problem = on_problem, .progress = on_progress, .context = &telling};
	rc = sl_store_verify(store, &listener, &report, err);
	sl_call_advance(call, "verify", 1, "");
	if (rc && rc != SL_E_CORRUPT)
		return rc;
	sl_put_text(call, result, "verdict", rc ? "corrupt" : "ok");
	put_report(call, result, &report);
	if (!rc)
		return 0;
	yyjson_mut_obj_add_val(call->doc, result, "problems", telling.problems);
	yyjson_mut_obj_add_val(call->doc, result, "error", yyjson_mut_obj_get(sl_error_json(call->doc, err), "error"));
	call->failed = true;
	call->exit_status = sl_code_exit_status(SL_E_CORRUPT);
	return 0;
}

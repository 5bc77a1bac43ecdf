/* export: hands on what this store has. */
#include <inttypes.h>
#include <stdio.h>

#include "op/context.h"
#include "op/export_remote.h"
#include "op/handlers.h"

static int on_run(void *context, const struct sl_exporter *e)
{
	struct sl_call *call = context;
	char what[96];
	double share = e->runs_total > 0 ? (double)e->here.runs / (double)e->runs_total : -1;
	snprintf(what, sizeof what, "%" PRId64 " runs, %" PRId64 " points", e->here.runs, e->here.points);
	sl_call_advance(call, "export", share >= 1 ? 0.999 : share, what);
	return sl_call_cancelled(call);
}

static void on_news(void *context, const char *text) { sl_call_line(context, "%s", text); }

static void put_result(struct sl_call *call, const struct sl_exporter *e)
{
	const struct { const char *what; int64_t here, there; } rows[] = {
		{"experiments", e->here.experiments, e->there.experiments}, {"runs", e->here.runs, e->there.runs},
		{"parameters sent", e->here.params, e->there.params}, {"metrics sent", e->here.metrics, e->there.metrics},
		{"artifacts sent", e->here.artifacts, e->there.artifacts}, {"logged models", e->here.logged_models, e->there.logged_models},
		{"registered models", e->here.models, e->there.models}, {"model versions", e->here.versions, e->there.versions}};
	yyjson_mut_val *result = sl_call_object(call), *list = sl_put_array(call, result, "counts");
	char note[200];
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		yyjson_mut_val *row = sl_add_object(call, list);
		sl_put_text(call, row, "what", rows[i].what);
		sl_put_int(call, row, "here", rows[i].here);
		sl_put_int(call, row, "there", rows[i].there);
	}
	snprintf(note, sizeof note, "%" PRId64 " runs are new, %" PRId64 " were complete before; %" PRId64 " points sent", e->runs_new, e->runs_passed,
		e->here.points);
	sl_put_text(call, result, "note", note);
	sl_put_int(call, result, "runs_new", e->runs_new);
	sl_put_int(call, result, "runs_complete_before", e->runs_passed);
	sl_put_int(call, result, "refused", e->refused);
	call->failed = e->refused > 0 || e->there.runs < e->here.runs || e->there.params < e->here.params || e->there.metrics < e->here.metrics;
}

static int export_all(struct sl_call *call, struct sl_exporter *e, struct sl_error *err)
{
	size_t count;
	const char *const *names = sl_call_list(call, "experiment", &count);
	int rc = sl_experiments_prepare(e->record, err);
	rc = rc ? rc : sl_export_runs(e, names, count, err);
	return rc || count ? rc : sl_export_registry(e, err);
}

int sl_op_export(struct sl_call *call, struct sl_error *err)
{
	struct sl_remote *remote SL_CLEANUP(sl_remote_closep) = NULL;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new((size_t)1 << 30, err);
	struct sl_map *runs SL_CLEANUP(sl_map_freep) = sl_map_new(err), *models SL_CLEANUP(sl_map_freep) = sl_map_new(err);
	struct sl_store *store;
	if (!arena || !runs || !models)
		return SL_E_NO_MEMORY;
	int rc = sl_call_store(call, &store, err);
	rc = rc ? rc : sl_remote_open(sl_call_text(call, "url"), &remote, err);
	if (rc)
		return rc;
	struct sl_record record = {.meta = store->meta, .ledger = store->ledger, .artifact_root = "mlflow-artifacts:/"};
	struct sl_exporter exporter = {.record = &record, .objects = store->objects, .remote = remote, .progress = on_run, .news = on_news,
		.context = call, .arena = arena, .runs = runs, .models = models};
	rc = export_all(call, &exporter, err);
	sl_call_advance(call, "export", 1, "");
	if (!rc)
		put_result(call, &exporter);
	return rc;
}

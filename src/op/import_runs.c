#include "op/import_runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/import_remote.h"
#include "record/import.h"

static const char ROOT[] = "mlflow-artifacts:/";

static int on_run(void *context, const struct sl_import *import)
{
	struct sl_call *call = context;
	char what[96];
	double share = import->runs_total > 0 ? (double)import->read.runs / (double)import->runs_total : -1;
	snprintf(what, sizeof what, "%" PRId64 " runs, %" PRId64 " points", import->read.runs, import->read.points);
	sl_call_advance(call, "import", share >= 1 ? 0.999 : share, what);
	return sl_call_cancelled(call);
}

static void on_news(void *context, const char *text) { sl_call_line(context, "%s", text); }

struct table { struct sl_call *call; yyjson_mut_val *list; struct sl_buf text; };

static void put_count(struct table *table, const char *what, int64_t read, int64_t there)
{
	struct sl_call *call = table->call;
	yyjson_mut_val *row = sl_add_object(call, table->list);
	sl_buf_printf(&table->text, "%-18s %12" PRId64 " read  %12" PRId64 " here\n", what, read, there);
	sl_put_text(call, row, "what", what);
	sl_put_int(call, row, "read", read);
	sl_put_int(call, row, "there", there);
}

/* Runs that were complete before were not read again: their points and artifacts count on the side of the store only. */
static void put_result(struct sl_call *call, const struct sl_import *import)
{
	const struct sl_import_count *read = &import->read, *there = &import->there;
	yyjson_mut_val *result = sl_call_object(call);
	struct table table = {call, sl_put_array(call, result, "counts"), SL_BUF_INIT(4096)};
	char note[160];
	put_count(&table, "experiments", read->experiments, there->experiments);
	put_count(&table, "runs", read->runs, there->runs);
	put_count(&table, "parameters", read->params, there->params);
	put_count(&table, "tags", read->tags, there->tags);
	put_count(&table, "metric points", read->points, there->points);
	put_count(&table, "artifacts", read->artifacts, there->artifacts);
	put_count(&table, "logged models", read->logged_models, there->logged_models);
	put_count(&table, "registered models", read->models, there->models);
	put_count(&table, "model versions", read->versions, there->versions);
	snprintf(note, sizeof note, "%" PRId64 " runs are new, %" PRId64 " were complete before", import->runs_new, import->runs_passed);
	sl_put_text(call, result, "text", sl_buf_cstr(&table.text));
	sl_put_text(call, result, "note", note);
	sl_buf_done(&table.text);
	sl_put_int(call, result, "runs_new", import->runs_new);
	sl_put_int(call, result, "runs_complete_before", import->runs_passed);
	sl_put_int(call, result, "refused", import->refused);
	call->failed = there->runs < read->runs || there->logged_models < read->logged_models || there->params < read->params || there->versions + import->refused < read->versions;
}

static bool is_address(const char *text) { return sl_str_starts(text, "http://") || sl_str_starts(text, "https://"); }

static int import_from_server(struct sl_import *import, const char *url, struct sl_store *store, struct sl_error *err)
{
	struct sl_remote *remote SL_CLEANUP(sl_remote_closep) = NULL;
	int rc = sl_remote_open(url, &remote, err);
	return rc ? rc : sl_import_remote(import, remote, store->tmp_dir, err);
}

static int import_from(struct sl_call *call, struct sl_import *import, struct sl_store *store, struct sl_error *err)
{
	char artifacts[SL_PATH_MAX];
	int rc = 0;
	if (is_address(import->source))
		return import_from_server(import, import->source, store, err);
	if (strcmp(sl_call_text(call, "format"), "mlflow-files") == 0)
		return sl_import_mlflow_files(import, import->source, err);
	if (strcmp(sl_call_text(call, "format"), "clearml") == 0)
		return sl_import_clearml(import, import->source, store->tmp_dir, err);
	if (sl_call_given(call, "artifacts"))
		rc = sl_call_path(call, sl_call_text(call, "artifacts"), artifacts, err);
	if (!rc && strcmp(sl_call_text(call, "format"), "neptune") == 0)
		return sl_import_neptune(import, import->source, sl_call_given(call, "artifacts") ? artifacts : NULL, store->tmp_dir, err);
	return rc ? rc : sl_import_mlflow_database(import, import->source, sl_call_given(call, "artifacts") ? artifacts : NULL, err);
}

int sl_import_runs(struct sl_call *call, struct sl_error *err)
{
	const char *file = sl_call_text(call, "file");
	char path[SL_PATH_MAX];
	struct sl_store *store;
	int rc = is_address(file) ? 0 : sl_call_path(call, file, path, err);
	if (!rc)
		rc = sl_call_store(call, &store, err);
	if (rc)
		return rc;
	struct sl_record record = {.meta = store->meta, .ledger = store->ledger, .artifact_root = ROOT};
	struct sl_import import = {.record = &record, .objects = store->objects, .source = is_address(file) ? file : path, .progress = on_run,
		.news = on_news, .context = call};
	rc = sl_experiments_prepare(&record, err);
	rc = rc ? rc : import_from(call, &import, store, err);
	sl_import_drop(&import);
	sl_call_advance(call, "import", 1, "");
	if (!rc)
		put_result(call, &import);
	return rc;
}

/* evidence: the bundle of a model version; verify BUNDLE: its proof, without a store. */
#include "op/evidence.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "evidence/evidence.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "track/model.h"

enum { KEY_MAX = 4096 };

/* The monitors of the endpoints that `model` answers. */
static int find_monitors(struct sl_call *call, const char *model, struct sl_evidence_about *about, struct sl_error *err)
{
	struct sl_project *project;
	int rc = sl_call_project(call, &project, err);
	if (rc)
		return rc;
	const char **names = sl_arena_array(call->arena, project->monitor_count + 1, sizeof *names);
	if (!names)
		return sl_fail_memory(err);
	for (size_t i = 0; i < project->monitor_count; i++) {
		const struct sl_endpoint *endpoint = sl_project_endpoint(project, project->monitors[i].endpoint);
		if (endpoint && sl_str_eq(endpoint->model, model))
			names[about->monitor_count++] = project->monitors[i].name;
	}
	about->monitors = names;
	return 0;
}

static int write_bundle(struct sl_call *call, struct sl_store *store, const struct sl_evidence_about *about, struct sl_error *err)
{
	char path[SL_PATH_MAX], name[300], digest[SL_HASH_HEX + 1];
	struct sl_buf bundle SL_AUTO_BUF = SL_BUF_INIT(SL_EVIDENCE_MAX_BYTES);
	struct sl_hash hash;
	const char *out = sl_call_text(call, "out");
	snprintf(name, sizeof name, "%s-%lld.evidence.tar", about->model, (long long)about->version);
	int rc = sl_call_path(call, out ? out : name, path, err);
	if (!rc)
		rc = sl_evidence_make(store, about, &bundle, err);
	if (!rc)
		rc = sl_file_replace(path, bundle.data, bundle.len, 0644, err);
	if (rc)
		return rc;
	sl_sha256(bundle.data, bundle.len, &hash);
	yyjson_mut_val *result = sl_call_object(call);
	snprintf(name, sizeof name, "model:%s@%lld", about->model, (long long)about->version);
	sl_put_text(call, result, "of", name);
	sl_put_text(call, result, "file", path);
	sl_put_int(call, result, "size_bytes", (int64_t)bundle.len);
	sl_put_text(call, result, "sha256", sl_hash_hex(&hash, digest));
	sl_put_text(call, result, "next", "'sluice verify FILE' proves it anywhere; card.html in it is for reading");
	return 0;
}

int sl_op_evidence(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_model_version version;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_ref_parse(sl_call_text(call, "model"), &ref, err);
	if (!rc && ref.kind != SL_REF_ANY && ref.kind != SL_REF_MODEL)
		rc = sl_fail(err, SL_E_INVALID, "'%s' is not a model", sl_call_text(call, "model"));
	if (!rc)
		rc = sl_model_find(&store->track, ref.name, ref.version, &version, err);
	if (rc)
		return rc;
	struct sl_evidence_about about = {.model = ref.name, .version = version.version};
	rc = find_monitors(call, ref.name, &about, err);
	return rc ? rc : write_bundle(call, store, &about, err);
}

/* ---- verify BUNDLE -------------------------------------------------------------------------------------------------- */

static void put_report(struct sl_call *call, const struct sl_evidence_report *report)
{
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "verdict", "ok");
	sl_put_text(call, result, "of", report->subject);
	sl_put_int(call, result, "members", report->members);
	sl_put_int(call, result, "rows", report->rows);
	sl_put_int(call, result, "runs", report->runs);
	sl_put_int(call, result, "entries", report->entries);
	sl_put_int(call, result, "ledger_entries", report->ledger_size);
	sl_put_text(call, result, "key", report->key);
	if (!sl_call_given(call, "key"))
		sl_put_text(call, result, "note", "compare the key with one that you have from elsewhere, or give it with --key");
}

static void put_problem(struct sl_call *call, const struct sl_error *why)
{
	char text[sizeof why->where + sizeof why->message + 2];
	yyjson_mut_val *result = sl_call_object(call);
	snprintf(text, sizeof text, "%s%s%s", why->where, why->where[0] ? ": " : "", why->message);
	sl_put_text(call, result, "verdict", "corrupt");
	yyjson_mut_arr_append(sl_put_array(call, result, "problems"), sl_call_json_text(call, text));
	yyjson_mut_obj_add_val(call->doc, result, "error", yyjson_mut_obj_get(sl_error_json(call->doc, why), "error"));
	call->failed = true;
	call->exit_status = sl_code_exit_status(SL_E_CORRUPT);
}

int sl_verify_bundle(struct sl_call *call, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf bundle SL_AUTO_BUF = SL_BUF_INIT(SL_EVIDENCE_MAX_BYTES), key SL_AUTO_BUF = SL_BUF_INIT(KEY_MAX);
	struct sl_evidence_report report;
	const char *wanted = sl_call_text(call, "key");
	if (call->remote)
		return sl_fail(err, SL_E_DENIED, "files cannot be named over HTTP");
	int rc = sl_call_path(call, sl_call_text(call, "bundle"), path, err);
	if (!rc)
		rc = sl_file_read(path, &bundle, err);
	if (!rc && wanted)
		rc = sl_call_path(call, wanted, path, err);
	if (!rc && wanted)
		rc = sl_file_read(path, &key, err);
	if (rc)
		return rc;
	struct sl_error why = {0};
	rc = sl_evidence_verify(sl_buf_cstr(&bundle), bundle.len, wanted ? sl_buf_cstr(&key) : NULL, &report, &why);
	if (!rc)
		put_report(call, &report);
	else if (rc == SL_E_CORRUPT)
		put_problem(call, &why);
	else if (err)
		*err = why;
	return rc == SL_E_CORRUPT ? 0 : rc;
}

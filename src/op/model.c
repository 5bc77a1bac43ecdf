/* promote, rollback, approve: which version of a model answers. */
#include "track/model.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "learn/package.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "serve/adopt.h"

/* A version that a client registered while no server stood by, or that came with an import. */
static int adopt(struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, int64_t number, struct sl_model_version *version,
	struct sl_error *err)
{
	struct sl_error why;
	struct sl_project *project;
	int rc = sl_call_project(call, &project, &why);
	if (rc && rc != SL_E_NOT_FOUND) { /* rules that cannot be read are not taken for none */
		*err = why;
		return rc;
	}
	rc = sl_adopt(store, rc ? NULL : project, ref->name, number, &why);
	if (rc == SL_E_NOT_FOUND) /* what was said before is about this program's own */
		return rc;
	if (!rc)
		return sl_model_find(&store->track, ref->name, ref->version, version, err);
	*err = why;
	sl_error_context(err, "version %lld of '%s', which a client registered, cannot be taken", (long long)number, ref->name);
	return rc;
}

/* "delay", "delay@3", "model:delay@challenger" */
static int find_version(
	struct sl_call *call, struct sl_store *store, struct sl_ref *ref, struct sl_model_version *version, struct sl_error *err)
{
	int64_t number;
	int rc = sl_ref_parse(sl_call_text(call, "model"), ref, err);
	if (!rc && ref->kind != SL_REF_ANY && ref->kind != SL_REF_MODEL)
		rc = sl_fail(err, SL_E_INVALID, "'%s' is no model", sl_call_text(call, "model"));
	rc = rc ? rc : sl_model_find(&store->track, ref->name, ref->version, version, err);
	return rc == SL_E_NOT_FOUND && sl_str_int(ref->version, &number) ? adopt(call, store, ref, number, version, err) : rc;
}

/* The refusal itself goes into the ledger; that it cannot is no second error. */
static void note_refused(struct sl_store *store, const char *model, int64_t version, const struct sl_error *why)
{
	char subject[SL_NAME_MAX + 40];
	struct sl_error err = {0};
	snprintf(subject, sizeof subject, "model:%s@%lld", model, (long long)version);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_strcpy(doc, detail, "error", why->message) || sl_meta_begin(store->meta, &err))
		return;
	if (sl_ledger_append(store->ledger, "model.refused", subject, detail, NULL, &err) == 0)
		sl_meta_commit(store->meta, &err);
	else
		sl_meta_rollback(store->meta);
}

/* A version whose model cannot be loaded never answers, so no alias moves to it. What has no package of ours is the endpoint's to judge. */
static int check_loadable(
	struct sl_call *call, struct sl_store *store, const char *model, const struct sl_model_version *version, struct sl_error *err)
{
	struct sl_package package;
	struct sl_infer *infer = NULL;
	if (sl_package_read(store->objects, &version->hash, call->arena, &package, NULL))
		return 0;
	int rc = sl_package_load(store->objects, NULL, &package, &infer, err);
	sl_infer_free(infer);
	if (!rc || rc == SL_E_NO_LIBRARY)
		return 0;
	sl_error_context(err, "%s@%lld cannot be served", model, (long long)version->version);
	return sl_error_hint(err, "nothing was changed; 'sluice verify' tells whether the stored bytes are those that were written");
}

static int want_loadable(
	struct sl_call *call, struct sl_store *store, const char *model, const struct sl_model_version *version, struct sl_error *err)
{
	int rc = check_loadable(call, store, model, version, err);
	if (rc)
		note_refused(store, model, version->version, err);
	return rc;
}

static void put_result(struct sl_call *call, const char *model, const char *alias, int64_t version, int64_t before)
{
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "model", model);
	sl_put_text(call, result, "alias", alias);
	sl_put_int(call, result, "version", version);
	if (before)
		sl_put_int(call, result, "before", before);
}

static int64_t present_version(struct sl_store *store, const char *model, const char *alias)
{
	int64_t version = 0;
	sl_meta_int(store->meta, 0, &version, NULL, "SELECT version FROM model_alias WHERE model = ?1 AND alias = ?2", "ss",
		model, alias);
	return version;
}

static const char *reason(const struct sl_call *call, const char *otherwise)
{
	const char *text = sl_call_text(call, "reason");
	return text ? text : otherwise;
}

int sl_op_promote(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_model_version version;
	const char *alias = sl_call_text(call, "alias");
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_ref_parse(sl_call_text(call, "model"), &ref, err);
	if (!rc && !ref.version[0] && !(rc = sl_model_find(&store->track, ref.name, "", &version, err))) {
		sl_fail(err, SL_E_INVALID, "promote needs a version: %s@N", ref.name);
		return sl_error_hint(err, "sluice ls models %s", ref.name);
	}
	if (!rc)
		rc = find_version(call, store, &ref, &version, err);
	if (!rc)
		rc = want_loadable(call, store, ref.name, &version, err);
	if (rc)
		return rc;
	int64_t before = present_version(store, ref.name, alias);
	rc = sl_model_alias(&store->track, ref.name, alias, version.version, reason(call, "promoted by hand"),
		sl_call_flag(call, "force"), err);
	if (!rc)
		put_result(call, ref.name, alias, version.version, before);
	return rc;
}

/* In one transaction, so that the version which was looked at is the one that answers. */
static int roll_back(struct sl_call *call, struct sl_store *store, const char *model, const char *alias, int64_t *ret_version,
	struct sl_error *err)
{
	struct sl_model_version version;
	char number[24];
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	bool refused = false;
	rc = sl_model_rollback(&store->track, model, alias, ret_version, err);
	snprintf(number, sizeof number, "%lld", (long long)*ret_version);
	if (!rc)
		rc = sl_model_find(&store->track, model, number, &version, err);
	if (!rc)
		refused = (rc = check_loadable(call, store, model, &version, err)) != 0;
	if (!rc)
		return sl_meta_commit(store->meta, err);
	sl_meta_rollback(store->meta);
	if (refused)
		note_refused(store, model, version.version, err);
	return rc;
}

int sl_op_rollback(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	const char *alias = sl_call_text(call, "alias");
	struct sl_ref ref;
	int64_t version = 0;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_ref_parse(sl_call_text(call, "model"), &ref, err);
	if (!rc && ref.version[0])
		rc = sl_fail(err, SL_E_INVALID, "rollback takes a model, not a version; sluice promote %s moves to one",
			sl_call_text(call, "model"));
	if (rc)
		return rc;
	struct sl_model_version newest;
	rc = sl_model_find(&store->track, ref.name, "", &newest, err); /* a name that nobody knows is not one without history */
	if (rc)
		return rc;
	int64_t before = present_version(store, ref.name, alias);
	rc = roll_back(call, store, ref.name, alias, &version, err);
	if (!rc)
		put_result(call, ref.name, alias, version, before);
	return rc;
}

/* Ready and champion in one transaction: nobody sees an approved version that does not answer. */
static int approve(struct sl_call *call, struct sl_store *store, const char *model, const struct sl_model_version *version,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char *gate = NULL, *metrics = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err,
		"SELECT gate, metrics FROM model_version WHERE model = ?1 AND version = ?2", "si", model, version->version);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc < 0 ? rc
			      : sl_fail(err, SL_E_NOT_FOUND, "model '%s' has no version %lld", model,
					(long long)version->version);
	gate = sl_arena_strdup(call->arena, sl_stmt_text(stmt, 0));
	metrics = sl_arena_strdup(call->arena, sl_stmt_text(stmt, 1));
	if (!gate || !metrics)
		return sl_fail_memory(err);
	rc = sl_model_gate(&store->track, model, version->version, "ready", gate, metrics, err);
	return rc ? rc : sl_model_alias(&store->track, model, "champion", version->version, reason(call, "approved"), false, err);
}

/* Without a version: the newest that waits. */
static int find_waiting(
	struct sl_call *call, struct sl_store *store, struct sl_ref *ref, struct sl_model_version *version, struct sl_error *err)
{
	int64_t newest = 0;
	int rc = find_version(call, store, ref, version, err);
	if (rc || ref->version[0])
		return rc;
	rc = sl_meta_int(store->meta, 0, &newest, err,
		"SELECT max(version) FROM model_version WHERE model = ?1 AND status = 'waiting'", "s", ref->name);
	if (rc || !newest)
		return rc;
	snprintf(ref->version, sizeof ref->version, "%lld", (long long)newest);
	return sl_model_find(&store->track, ref->name, ref->version, version, err);
}

int sl_op_approve(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_model_version version;
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = find_waiting(call, store, &ref, &version, err);
	if (!rc && strcmp(version.status, "waiting") != 0) {
		sl_fail(err, SL_E_CONFLICT, "%s@%lld does not wait for approval: it is %s", ref.name, (long long)version.version,
			version.status);
		return sl_error_hint(err, "sluice ls models %s", ref.name);
	}
	if (!rc)
		rc = want_loadable(call, store, ref.name, &version, err);
	if (!rc)
		rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	int64_t before = present_version(store, ref.name, "champion");
	rc = approve(call, store, ref.name, &version, err);
	if (!rc)
		rc = sl_meta_commit(store->meta, err);
	else
		sl_meta_rollback(store->meta);
	if (!rc)
		put_result(call, ref.name, "champion", version.version, before);
	return rc;
}

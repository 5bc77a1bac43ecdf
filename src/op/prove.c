#include "op/prove.h"

#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "op/resolve.h"
#include "track/model.h"

enum { PROOF_MAX = 1 << 20, CHECKPOINT_MAX = 4096 };

/* What an entry about `ref` says as its subject, and a text that must stand in its detail ("" for any). */
struct wanted {
	char subject[400], inside[100];
};

static int want_dataset(struct sl_store *store, const struct sl_ref *ref, struct wanted *ret, struct sl_error *err)
{
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dataset_find(&store->track, ref->name, ref->version, &head, err);
	snprintf(ret->subject, sizeof ret->subject, "dataset:%s", ref->name);
	if (!rc)
		snprintf(ret->inside, sizeof ret->inside, "\"version\":\"%s\"", sl_hash_hex(&head.hash, hex));
	return rc;
}

static int want(struct sl_call *call, struct sl_store *store, const char *what, struct wanted *ret, struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_id run;
	struct sl_model_version model;
	*ret = (struct wanted){0};
	int rc = sl_resolve(call, store, what, &ref, err);
	if (rc)
		return rc;
	switch (ref.kind) {
	case SL_REF_DATASET: return want_dataset(store, &ref, ret, err);
	case SL_REF_MODEL:
		rc = sl_model_find(&store->track, ref.name, ref.version, &model, err);
		if (!rc)
			snprintf(ret->subject, sizeof ret->subject, "model:%s@%lld", ref.name, (long long)model.version);
		return rc;
	case SL_REF_RUN:
		rc = sl_run_find(&store->track, ref.name, &run, err);
		if (!rc)
			snprintf(ret->subject, sizeof ret->subject, "run:%s", run.text);
		return rc;
	default: snprintf(ret->subject, sizeof ret->subject, "%s:%s", sl_ref_kind_name(ref.kind), ref.name);
	}
	return 0;
}

static bool fits(const char *entry, size_t len, const struct wanted *wanted)
{
	yyjson_doc *doc SL_AUTO_JSON = NULL;
	if (!memmem(entry, len, wanted->subject, strlen(wanted->subject)) ||
	    (wanted->inside[0] && !memmem(entry, len, wanted->inside, strlen(wanted->inside))))
		return false;
	doc = sl_json_parse(entry, len, "entry", NULL);
	return doc && sl_str_eq(sl_json_str(yyjson_doc_get_root(doc), "subject", ""), wanted->subject);
}

int sl_prove_find(struct sl_call *call, struct sl_store *store, const char *what, int64_t *ret_seq, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct wanted wanted;
	if (sl_str_int(what, ret_seq))
		return 0;
	int rc = want(call, store, what, &wanted, err);
	if (!rc)
		rc = sl_meta_query(store->meta, &stmt, err, "SELECT seq, entry FROM ledger_entry ORDER BY seq DESC", NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *entry = sl_stmt_blob(stmt, 1, &len);
		*ret_seq = sl_stmt_int(stmt, 0);
		if (fits(entry, len, &wanted))
			return 0;
		rc = 0;
	}
	return rc ? rc : sl_fail(err, SL_E_NOT_FOUND, "the ledger has no entry about '%s'", wanted.subject);
}

static int read_since(struct sl_call *call, struct sl_buf *text, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	const char *since = sl_call_text(call, "since");
	int rc = since ? sl_call_path(call, since, path, err) : 0;
	return rc || !since ? rc : sl_file_read(path, text, err);
}

static int put_proof(struct sl_call *call, const struct sl_buf *proof, int64_t seq, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	const char *out = sl_call_text(call, "out");
	if (!out) {
		call->raw = sl_arena_strdup(call->arena, sl_buf_cstr(proof));
		return call->raw ? 0 : sl_fail_memory(err);
	}
	int rc = sl_call_path(call, out, path, err);
	if (!rc)
		rc = sl_file_replace(path, proof->data, proof->len, 0644, err);
	sl_put_int(call, sl_call_object(call), "entry", seq);
	sl_put_text(call, sl_call_object(call), "file", path);
	sl_put_text(call, sl_call_object(call), "next", "tools/check_proof.py checks it without this program");
	return rc;
}

int sl_op_prove(struct sl_call *call, struct sl_store *store, struct sl_error *err)
{
	struct sl_buf proof SL_AUTO_BUF = SL_BUF_INIT(PROOF_MAX), since SL_AUTO_BUF = SL_BUF_INIT(CHECKPOINT_MAX);
	int64_t seq;
	if (call->remote && (sl_call_given(call, "since") || sl_call_given(call, "out")))
		return sl_fail(err, SL_E_DENIED, "files cannot be named over HTTP");
	int rc = sl_prove_find(call, store, sl_call_text(call, "prove"), &seq, err);
	if (!rc)
		rc = sl_ledger_publish(store->ledger, err); /* else the newest entry could not be proved yet */
	if (rc == SL_E_IO)
		rc = 0; /* a store that cannot be written: what is published can be proved */
	if (!rc)
		rc = read_since(call, &since, err);
	if (!rc)
		rc = sl_ledger_prove(store->ledger, seq, since.len ? &since : NULL, &proof, err);
	return rc ? rc : put_proof(call, &proof, seq, err);
}

/* why: where a thing came from. */
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "op/handlers.h"
#include "op/prediction.h"
#include "op/resolve.h"
#include "track/lineage.h"
#include "track/prov.h"

enum { PROV_MAX = 64 << 20 };

/* Lineage knows datasets by hash: other spellings are looked up here. */
static int pin_dataset(struct sl_store *store, struct sl_ref *ref, struct sl_error *err)
{
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dataset_find(&store->track, ref->name, ref->version, &head, err);
	if (!rc)
		snprintf(ref->version, sizeof ref->version, "%s", sl_hash_hex(&head.hash, hex));
	return rc;
}

static int find_lineage(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	bool down = sl_call_flag(call, "down");
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_resolve(call, store, sl_call_text(call, "ref"), &ref, err);
	if (!rc && ref.kind == SL_REF_DATASET)
		rc = pin_dataset(store, &ref, err);
	if (rc)
		return rc;
	if (ref.kind != SL_REF_PREDICTION)
		return sl_lineage_why(store, &ref, down, call->doc, &call->result, err);
	struct sl_lineage_prediction prediction;
	if (down)
		return sl_fail(err, SL_E_INVALID, "nothing is made from a prediction");
	rc = sl_prediction_origin(call, store, &ref, &prediction, err);
	return rc ? rc : sl_lineage_why_prediction(store, &prediction, call->doc, &call->result, err);
}

static int as_prov(struct sl_call *call, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(PROV_MAX);
	yyjson_mut_val *prov;
	int rc = sl_prov_write(call->result, call->doc, &prov, err);
	if (!rc)
		rc = sl_json_write(prov, true, &text, err);
	if (rc)
		return rc;
	sl_buf_char(&text, '\n');
	call->raw = sl_arena_strdup(call->arena, sl_buf_cstr(&text));
	return call->raw ? sl_buf_check(&text, "PROV document", err) : sl_fail_memory(err);
}

int sl_op_why(struct sl_call *call, struct sl_error *err)
{
	int rc = find_lineage(call, err);
	return rc || !sl_str_eq(sl_call_text(call, "format"), "prov") ? rc : as_prov(call, err);
}

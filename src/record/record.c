#include "record/record.h"

#include <stdio.h>

#include "base/json.h"

int sl_record_entry(struct sl_record *record, const struct sl_change *change, const char *kind, const char *id,
	struct sl_error *err)
{
	char subject[64], hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	snprintf(subject, sizeof subject, "%s:%.50s", kind, id);
	sl_sha256(change->content, change->content_len, &hash);
	if (!detail || !yyjson_mut_obj_add_strcpy(doc, detail, "content", sl_hash_hex(&hash, hex)))
		return sl_fail_memory(err);
	return sl_ledger_append(record->ledger, change->action, subject, detail, NULL, err);
}

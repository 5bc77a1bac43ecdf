#include "ledger/proof.h"

#include <string.h>

#include "base/str.h"
#include "ledger/tile.h"

enum { PATH_MAX_HASHES = 64 };

void sl_proof_done(struct sl_proof *proof)
{
	yyjson_doc_free(proof->doc);
	*proof = (struct sl_proof){0};
}

static bool read_path(yyjson_val *list, struct sl_hash path[PATH_MAX_HASHES], size_t *ret)
{
	yyjson_val *item;
	size_t i, max;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > PATH_MAX_HASHES)
		return false;
	yyjson_arr_foreach(list, i, max, item)
		if (!yyjson_is_str(item) || !sl_hash_parse(yyjson_get_str(item), &path[i]))
			return false;
	*ret = max;
	return true;
}

/* What is wrong between entry, path and signed root, in words; NULL: nothing. */
static const char *wrong_in(yyjson_val *root, const struct sl_checkpoint *at, int64_t seq)
{
	yyjson_val *entry = yyjson_obj_get(root, "entry");
	struct sl_hash path[PATH_MAX_HASHES], leaf, told, got;
	size_t count;
	if (!yyjson_is_str(entry) || !read_path(yyjson_obj_get(root, "path"), path, &count))
		return "has no entry, or no audit path";
	sl_tree_leaf(yyjson_get_str(entry), yyjson_get_len(entry), &leaf);
	if (!sl_hash_parse(sl_json_str(root, "leaf", ""), &told) || !sl_hash_eq(&leaf, &told))
		return "the leaf is not the hash of the entry";
	if (seq < 0 || sl_json_int(root, "size", -1) != (int64_t)at->size ||
	    !sl_tree_included(&leaf, (uint64_t)seq, at->size, path, count, &got) || !sl_hash_eq(&got, &at->root))
		return "entry and path do not give the signed root";
	return NULL;
}

/* The same key and the same checkpoint as the ones at hand. */
static const char *wrong_around(yyjson_val *root, const struct sl_ledger_key *key, const char *checkpoint)
{
	struct sl_ledger_key told;
	const char *text = sl_json_str(root, "key", "");
	if (!sl_str_eq(sl_json_str(root, "format", ""), "sluice.proof/1"))
		return "is not a sluice.proof/1";
	if (sl_ledger_key_read(text, strlen(text), "key", &told, NULL) || told.has_secret || strcmp(told.origin, key->origin) ||
	    memcmp(told.public_key, key->public_key, SL_SIGN_KEY))
		return "is made with another key";
	return sl_str_eq(sl_json_str(root, "checkpoint", ""), checkpoint) ? NULL : "has another checkpoint";
}

int sl_proof_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *checkpoint, const char *where,
		  struct sl_proof *ret, struct sl_error *err)
{
	struct sl_checkpoint at;
	yyjson_doc *outer SL_AUTO_JSON = sl_json_parse(text, len, where, err), *inner SL_AUTO_JSON = NULL;
	if (!outer)
		return SL_E_CORRUPT;
	yyjson_val *root = yyjson_doc_get_root(outer);
	int64_t seq = sl_json_int(root, "seq", -1);
	int rc = sl_checkpoint_read(checkpoint, strlen(checkpoint), key, where, &at, err);
	const char *wrong = rc ? NULL : wrong_around(root, key, checkpoint);
	if (!rc && !wrong)
		wrong = wrong_in(root, &at, seq);
	if (wrong)
		rc = sl_fail_at(err, SL_E_CORRUPT, where, "%s", wrong);
	if (rc)
		return rc;
	yyjson_val *entry = yyjson_obj_get(root, "entry");
	inner = sl_json_parse(yyjson_get_str(entry), yyjson_get_len(entry), where, err);
	if (!inner)
		return SL_E_CORRUPT;
	if (sl_json_int(yyjson_doc_get_root(inner), "seq", -1) != seq)
		return sl_fail_at(err, SL_E_CORRUPT, where, "the entry has another number than the proof");
	*ret = (struct sl_proof){.seq = seq, .entry = yyjson_doc_get_root(inner), .doc = SL_TAKE(inner)};
	return 0;
}

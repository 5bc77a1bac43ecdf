#include "evidence/bundle.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

const char *const sl_member_names[SL_MEMBER_COUNT] = {
	"INDEX", "card.html", "checkpoint", "key.pub", "lineage.json", "package.json", "proofs.jsonl", "rows.json", "runs.jsonl",
};

static int read_member(const struct sl_buf *text, enum sl_member member, yyjson_doc **ret, struct sl_error *err)
{
	*ret = sl_json_parse(sl_buf_cstr(text), text->len, sl_member_names[member], err);
	if (*ret && yyjson_is_obj(yyjson_doc_get_root(*ret)))
		return 0;
	return *ret ? sl_fail_at(err, SL_E_CORRUPT, sl_member_names[member], "is not a JSON object") : SL_E_CORRUPT;
}

/* The next line, without its end, from *at on; false at the end. A last line without an end is one too. */
static bool next_line(const struct sl_buf *text, size_t *at, const char **ret, size_t *ret_len)
{
	if (*at >= text->len)
		return false;
	const char *stop = memchr(text->data + *at, '\n', text->len - *at);
	*ret = text->data + *at;
	*ret_len = stop ? (size_t)(stop - *ret) : text->len - *at;
	*at += *ret_len + 1;
	return true;
}

static int count_lines(const struct sl_buf *text, enum sl_member member, size_t *ret, struct sl_error *err)
{
	const char *line;
	size_t len, at = 0;
	for (*ret = 0; next_line(text, &at, &line, &len); ++*ret)
		if (*ret == SL_EVIDENCE_LINES_MAX)
			return sl_fail_at(err, SL_E_TOO_LARGE, sl_member_names[member], "has more than %d lines", SL_EVIDENCE_LINES_MAX);
	return 0;
}

static int read_runs(const struct sl_buf *text, struct sl_bundle *bundle, struct sl_error *err)
{
	const char *line;
	char where[64];
	size_t len, count, at = 0;
	int rc = count_lines(text, SL_MEMBER_RUNS, &count, err);
	if (rc)
		return rc;
	bundle->runs = sl_alloc_array(count + 1, sizeof *bundle->runs, err);
	if (!bundle->runs)
		return SL_E_NO_MEMORY;
	while (next_line(text, &at, &line, &len)) {
		snprintf(where, sizeof where, "runs.jsonl: line %zu", bundle->run_count + 1);
		yyjson_doc *doc = sl_json_parse(line, len, where, err);
		if (!doc)
			return SL_E_CORRUPT;
		bundle->runs[bundle->run_count++] = doc;
	}
	return 0;
}

static int read_proofs(const struct sl_buf text[SL_MEMBER_COUNT], const struct sl_ledger_key *key, struct sl_bundle *bundle,
		       struct sl_error *err)
{
	const char *line;
	char where[64];
	size_t len, count, at = 0;
	int rc = count_lines(&text[SL_MEMBER_PROOFS], SL_MEMBER_PROOFS, &count, err);
	if (rc)
		return rc;
	bundle->proofs = sl_alloc_array(count + 1, sizeof *bundle->proofs, err);
	if (!bundle->proofs)
		return SL_E_NO_MEMORY;
	while (next_line(&text[SL_MEMBER_PROOFS], &at, &line, &len)) {
		struct sl_proof *proof = &bundle->proofs[bundle->proof_count];
		snprintf(where, sizeof where, "proofs.jsonl: line %zu", bundle->proof_count + 1);
		rc = sl_proof_read(line, len, key, sl_buf_cstr(&text[SL_MEMBER_CHECKPOINT]), where, proof, err);
		if (rc)
			return rc;
		bundle->proof_count++;
		if (bundle->proof_count > 1 && proof[-1].seq >= proof->seq)
			return sl_fail_at(err, SL_E_CORRUPT, where, "the entries are not in their order");
	}
	return 0;
}

int sl_bundle_read(const struct sl_buf text[SL_MEMBER_COUNT], const struct sl_ledger_key *key, struct sl_bundle *ret,
		   struct sl_error *err)
{
	struct sl_bundle bundle = {0};
	int rc = read_member(&text[SL_MEMBER_LINEAGE], SL_MEMBER_LINEAGE, &bundle.lineage, err);
	if (!rc)
		rc = read_member(&text[SL_MEMBER_PACKAGE], SL_MEMBER_PACKAGE, &bundle.package, err);
	if (!rc)
		rc = read_member(&text[SL_MEMBER_ROWS], SL_MEMBER_ROWS, &bundle.rows, err);
	if (!rc)
		rc = read_runs(&text[SL_MEMBER_RUNS], &bundle, err);
	if (!rc)
		rc = read_proofs(text, key, &bundle, err);
	if (rc)
		sl_bundle_done(&bundle);
	else
		*ret = bundle;
	return rc;
}

void sl_bundle_done(struct sl_bundle *bundle)
{
	yyjson_doc_free(bundle->lineage);
	yyjson_doc_free(bundle->package);
	yyjson_doc_free(bundle->rows);
	for (size_t i = 0; i < bundle->run_count; i++)
		yyjson_doc_free(bundle->runs[i]);
	for (size_t i = 0; i < bundle->proof_count; i++)
		sl_proof_done(&bundle->proofs[i]);
	sl_free(bundle->runs);
	sl_free(bundle->proofs);
	*bundle = (struct sl_bundle){0};
}

yyjson_val *sl_bundle_table(const struct sl_bundle *bundle, const char *table)
{
	return yyjson_obj_get(yyjson_doc_get_root(bundle->rows), table);
}

void sl_bundle_index(const struct sl_buf text[SL_MEMBER_COUNT], const char *subject, struct sl_buf *out)
{
	char hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	sl_buf_printf(out, SL_EVIDENCE_HEAD "\n%s\n", subject);
	for (int i = SL_MEMBER_INDEX + 1; i < SL_MEMBER_COUNT; i++) {
		sl_sha256(sl_buf_cstr(&text[i]), text[i].len, &hash);
		sl_buf_printf(out, "%s %zu %s\n", sl_hash_hex(&hash, hex), text[i].len, sl_member_names[i]);
	}
}

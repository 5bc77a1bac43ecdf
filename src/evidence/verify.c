/* Proves a bundle, outside in: archive, signature, members, ledger entries, and then everything against those entries. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "base/tar.h"
#include "evidence/bundle.h"

struct check {
	struct sl_buf text[SL_MEMBER_COUNT];
	struct sl_ledger_key key;
	struct sl_bundle bundle;
	struct sl_map *said; /* "table:key" and "run:ID" -> yyjson_val: the digest as the newest entry has it; null: removed */
	struct sl_evidence_report *report;
};

static int bad(struct sl_error *err, enum sl_member member, const char *what)
{
	return sl_fail_at(err, SL_E_CORRUPT, sl_member_names[member], "%s", what);
}

/* ---- archive, index, signature -------------------------------------------------------------------------------------- */

static int read_archive(struct check *c, const char *data, size_t len, struct sl_error *err)
{
	struct sl_tar tar = {.data = data, .len = len};
	int i = 0, rc;
	while ((rc = sl_tar_next(&tar, err)) == 1) {
		if (i == SL_MEMBER_COUNT || strcmp(tar.name, sl_member_names[i]) > 0)
			return i == SL_MEMBER_COUNT ? sl_fail_at(err, SL_E_CORRUPT, tar.name, "does not belong in a bundle")
						    : bad(err, (enum sl_member)i, "is missing");
		if (strcmp(tar.name, sl_member_names[i]) < 0)
			return sl_fail_at(err, SL_E_CORRUPT, tar.name, "does not belong in a bundle");
		if (memchr(tar.content, 0, tar.content_len))
			return bad(err, (enum sl_member)i, "has a zero byte");
		sl_buf_init(&c->text[i], SL_EVIDENCE_MAX_BYTES);
		sl_buf_add(&c->text[i], tar.content, tar.content_len);
		rc = sl_buf_check(&c->text[i], tar.name, err);
		if (rc)
			return rc;
		i++;
	}
	if (!rc && i < SL_MEMBER_COUNT)
		rc = bad(err, (enum sl_member)i, "is missing");
	return rc;
}

static int read_key(struct check *c, const char *wanted, struct sl_error *err)
{
	const struct sl_buf *text = &c->text[SL_MEMBER_KEY];
	struct sl_ledger_key other;
	int rc = sl_ledger_key_read(sl_buf_cstr(text), text->len, "key.pub", &c->key, err);
	if (!rc && c->key.has_secret)
		rc = bad(err, SL_MEMBER_KEY, "is a private key");
	if (!rc && wanted)
		rc = sl_ledger_key_read(wanted, strlen(wanted), "the key that was given", &other, err);
	if (!rc && wanted && (strcmp(other.origin, c->key.origin) || memcmp(other.public_key, c->key.public_key, SL_SIGN_KEY)))
		rc = bad(err, SL_MEMBER_KEY, "is another key than the one that was given");
	snprintf(c->report->key, sizeof c->report->key, "%.*s", (int)strcspn(sl_buf_cstr(text), "\n"), sl_buf_cstr(text));
	return rc;
}

/* The line of the index that differs, as the member that it is of. */
static int name_difference(const char *told, const char *made, struct sl_error *err)
{
	int line = 0;
	for (; *told && *told == *made; told++, made++)
		line += *told == '\n';
	int member = line - 1; /* behind head and subject */
	if (member <= SL_MEMBER_INDEX || member >= SL_MEMBER_COUNT)
		return bad(err, SL_MEMBER_INDEX, "is not an index of these members");
	return bad(err, (enum sl_member)member, "has not the size and SHA-256 that the index says");
}

/* The signed index must be, letter for letter, the one of these members. */
static int check_index(struct check *c, struct sl_error *err)
{
	const struct sl_buf *index = &c->text[SL_MEMBER_INDEX];
	struct sl_buf made SL_AUTO_BUF = SL_BUF_INIT(1 << 16), told SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	size_t len, head = strlen(SL_EVIDENCE_HEAD "\n");
	int rc = sl_note_read(sl_buf_cstr(index), index->len, &c->key, "INDEX", &len, err);
	if (rc)
		return rc;
	if (len <= head || memcmp(index->data, SL_EVIDENCE_HEAD "\n", head))
		return bad(err, SL_MEMBER_INDEX, "is not of the format '" SL_EVIDENCE_HEAD "'");
	snprintf(c->report->subject, sizeof c->report->subject, "%.*s", (int)strcspn(index->data + head, "\n"), index->data + head);
	sl_buf_add(&told, index->data, len);
	sl_bundle_index(c->text, c->report->subject, &made);
	rc = sl_buf_check(&made, "index", err);
	rc = rc ? rc : sl_buf_check(&told, "index", err);
	if (!rc && strcmp(made.data, told.data))
		rc = name_difference(told.data, made.data, err);
	return rc;
}

/* ---- what the entries say ------------------------------------------------------------------------------------------- */

static int note_entry(struct check *c, yyjson_val *entry, struct sl_error *err)
{
	yyjson_val *detail = yyjson_obj_get(entry, "detail"), *name, *value;
	size_t i, max;
	int rc = 0;
	yyjson_obj_foreach(yyjson_obj_get(detail, "covers"), i, max, name, value)
		if (!rc)
			rc = sl_map_set(c->said, yyjson_get_str(name), value, NULL, err);
	if (!rc && sl_str_eq(sl_json_str(entry, "action", ""), "run.end"))
		rc = sl_map_set(c->said, sl_json_str(entry, "subject", ""), yyjson_obj_get(detail, "record"), NULL, err);
	return rc;
}

/* NULL when no entry tells of it, or the newest that does says that it was removed. */
static const char *digest_of(const struct check *c, const char *name) { return yyjson_get_str(sl_map_get(c->said, name)); }

static bool is_said(const struct check *c, const char *name, const void *data, size_t len)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	const char *said = digest_of(c, name);
	sl_sha256(data, len, &hash);
	return said && strcmp(said, sl_hash_hex(&hash, hex)) == 0;
}

static void name_row(const struct sl_ledger_table *table, yyjson_val *row, char name[SL_ROW_KEY_MAX])
{
	int at = snprintf(name, SL_ROW_KEY_MAX, "%s", table->name);
	for (int i = 0; i < table->keys && at < SL_ROW_KEY_MAX; i++) {
		yyjson_val *key = yyjson_arr_get(row, (size_t)i);
		at += yyjson_is_str(key) ? snprintf(name + at, SL_ROW_KEY_MAX - (size_t)at, ":%s", yyjson_get_str(key))
					 : snprintf(name + at, SL_ROW_KEY_MAX - (size_t)at, ":%lld", (long long)yyjson_get_sint(key));
	}
}

static int check_row(struct check *c, const struct sl_ledger_table *table, yyjson_val *row, struct sl_error *err)
{
	char name[SL_ROW_KEY_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_EVIDENCE_MAX_BYTES);
	int rc = yyjson_is_arr(row) ? sl_json_canonical(row, &text, err) : bad(err, SL_MEMBER_ROWS, "a row is not an array");
	if (rc)
		return rc;
	name_row(table, row, name);
	if (!is_said(c, name, text.data, text.len))
		return sl_fail_at(err, SL_E_CORRUPT, "rows.json", "row %.200s is not what the ledger says of it", name);
	c->report->rows++;
	return 0;
}

static int check_rows(struct check *c, struct sl_error *err)
{
	size_t known = 0;
	int rc = 0;
	for (size_t t = 0; t < sl_ledger_table_count && !rc; t++) {
		yyjson_val *rows = sl_bundle_table(&c->bundle, sl_ledger_tables[t].name), *row;
		size_t i, max;
		known += rows != NULL;
		yyjson_arr_foreach(rows, i, max, row)
			if (!rc)
				rc = check_row(c, &sl_ledger_tables[t], row, err);
	}
	if (!rc && known != yyjson_obj_size(yyjson_doc_get_root(c->bundle.rows)))
		rc = bad(err, SL_MEMBER_ROWS, "has a table that no ledger covers");
	return rc;
}

static int check_runs(struct check *c, struct sl_error *err)
{
	const char *at = sl_buf_cstr(&c->text[SL_MEMBER_RUNS]);
	char name[SL_ROW_KEY_MAX];
	for (size_t i = 0; i < c->bundle.run_count; i++) {
		size_t len = strcspn(at, "\n");
		snprintf(name, sizeof name, "run:%s", sl_json_str(yyjson_doc_get_root(c->bundle.runs[i]), "id", ""));
		if (!is_said(c, name, at, len))
			return sl_fail_at(err, SL_E_CORRUPT, "runs.jsonl", "line %zu is not the record that the ledger has of %.100s", i + 1, name);
		at += len + (at[len] != 0);
		c->report->runs++;
	}
	return 0;
}

/* ---- the members beside each other ---------------------------------------------------------------------------------- */

/* The one row of model_version is of the subject, and the package is the one that it names. */
static int check_model(struct check *c, struct sl_error *err)
{
	yyjson_val *rows = sl_bundle_table(&c->bundle, "model_version"), *row = yyjson_arr_get_first(rows);
	char subject[300], hex[SL_HASH_HEX + 1];
	const char *model = yyjson_get_str(yyjson_arr_get(row, 0)), *hash = yyjson_get_str(yyjson_arr_get(row, 2));
	struct sl_hash package;
	if (yyjson_arr_size(rows) != 1 || !model || !hash)
		return bad(err, SL_MEMBER_ROWS, "is not of one model version");
	snprintf(subject, sizeof subject, "model:%.200s@%lld", model, (long long)yyjson_get_sint(yyjson_arr_get(row, 1)));
	if (strcmp(subject, c->report->subject))
		return bad(err, SL_MEMBER_ROWS, "is of another model version than the index");
	if (strcmp(subject, sl_json_str(yyjson_doc_get_root(c->bundle.lineage), "root", "")))
		return bad(err, SL_MEMBER_LINEAGE, "is of another model version than the index");
	sl_sha256(sl_buf_cstr(&c->text[SL_MEMBER_PACKAGE]), c->text[SL_MEMBER_PACKAGE].len, &package);
	return strcmp(sl_hash_hex(&package, hex), hash) ? bad(err, SL_MEMBER_PACKAGE, "is not the model's: its SHA-256 differs") : 0;
}

/* A finished run of the lineage is the one that the ledger has; hashes of datasets are those of their versions' rows. */
static int check_node(struct check *c, yyjson_val *node, struct sl_error *err)
{
	const char *kind = sl_json_str(node, "kind", ""), *id = sl_json_str(node, "id", ""), *record = sl_json_str(node, "record", NULL);
	if (sl_str_eq(kind, "run") && record && *record && !sl_str_eq(record, digest_of(c, id)))
		return sl_fail_at(err, SL_E_CORRUPT, "lineage.json", "%.200s is not the run that the ledger has", id);
	if (!sl_str_eq(kind, "dataset"))
		return 0;
	yyjson_val *row;
	size_t i, max;
	yyjson_arr_foreach(sl_bundle_table(&c->bundle, "dataset_version"), i, max, row)
		if (sl_str_eq(yyjson_get_str(yyjson_arr_get(row, 1)), sl_json_str(node, "name", "")) &&
		    sl_str_eq(yyjson_get_str(yyjson_arr_get(row, 2)), sl_json_str(node, "hash", "")))
			return 0;
	return sl_fail_at(err, SL_E_CORRUPT, "lineage.json", "%.200s is not a version that the ledger has", id);
}

static int check_lineage(struct check *c, struct sl_error *err)
{
	yyjson_val *node;
	size_t i, max;
	int rc = 0;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(c->bundle.lineage), "nodes"), i, max, node)
		if (!rc)
			rc = check_node(c, node, err);
	return rc;
}

/* The card is what the other members say, and nothing else. */
static int check_card(struct check *c, struct sl_error *err)
{
	struct sl_buf made SL_AUTO_BUF = SL_BUF_INIT(SL_EVIDENCE_MAX_BYTES);
	const char *told = sl_buf_cstr(&c->text[SL_MEMBER_CARD]), *at;
	int line = 1;
	sl_bundle_card(&c->bundle, c->report->subject, &made);
	int rc = sl_buf_check(&made, "card", err);
	if (rc || strcmp(made.data, told) == 0)
		return rc;
	for (at = made.data; *told && *told == *at; told++, at++)
		line += *told == '\n';
	return sl_fail_at(err, SL_E_CORRUPT, "card.html", "line %d is not what the other members say", line);
}

static int check_contents(struct check *c, struct sl_error *err)
{
	const struct sl_buf *checkpoint = &c->text[SL_MEMBER_CHECKPOINT];
	struct sl_checkpoint at;
	int rc = sl_checkpoint_read(sl_buf_cstr(checkpoint), checkpoint->len, &c->key, "checkpoint", &at, err);
	if (!rc)
		rc = sl_bundle_read(c->text, &c->key, &c->bundle, err);
	for (size_t i = 0; !rc && i < c->bundle.proof_count; i++)
		rc = note_entry(c, c->bundle.proofs[i].entry, err);
	if (!rc)
		rc = check_rows(c, err);
	if (!rc)
		rc = check_runs(c, err);
	if (!rc)
		rc = check_model(c, err);
	if (!rc)
		rc = check_lineage(c, err);
	if (!rc)
		rc = check_card(c, err);
	if (rc)
		return rc;
	c->report->members = SL_MEMBER_COUNT;
	c->report->entries = (int64_t)c->bundle.proof_count;
	c->report->ledger_size = (int64_t)at.size;
	return 0;
}

int sl_evidence_verify(const char *data, size_t len, const char *key, struct sl_evidence_report *ret, struct sl_error *err)
{
	struct check c = {.report = ret};
	*ret = (struct sl_evidence_report){0};
	c.said = sl_map_new(err);
	int rc = c.said ? read_archive(&c, data, len, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = read_key(&c, key, err);
	if (!rc)
		rc = check_index(&c, err);
	if (!rc)
		rc = check_contents(&c, err);
	sl_bundle_done(&c.bundle);
	sl_map_free(c.said);
	for (int i = 0; i < SL_MEMBER_COUNT; i++)
		sl_buf_done(&c.text[i]);
	return rc;
}

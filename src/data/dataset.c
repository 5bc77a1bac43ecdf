/* Names of versions: which manifest a dataset's name stands for, now and at any time before. */
#include "data/dataset.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "data/refs.h"
#include "ledger/rows.h"
#include "os/clock.h"

enum { PREFIX_MIN = 4 };

#define HEAD_COLUMNS "hash, run, seq, created_ms, rows, size_bytes"

static int read_head(struct sl_stmt *stmt, struct sl_dataset_head *ret, struct sl_error *err)
{
	if (!sl_hash_parse(sl_stmt_text(stmt, 0), &ret->hash))
		return sl_fail(err, SL_E_CORRUPT, "table dataset_version holds '%s' where a hash belongs", sl_stmt_text(stmt, 0));
	snprintf(ret->run.text, sizeof ret->run.text, "%s", sl_stmt_text(stmt, 1));
	ret->seq = sl_stmt_int(stmt, 2);
	ret->created_ms = sl_stmt_int(stmt, 3);
	ret->rows = (uint64_t)sl_stmt_int(stmt, 4);
	ret->size_bytes = (uint64_t)sl_stmt_int(stmt, 5);
	return 0;
}

/* 0 with the row, 1 when there is none. */
static int one_head(struct sl_stmt *stmt, struct sl_dataset_head *ret, struct sl_error *err)
{
	int rc = sl_stmt_step(stmt, err);

	return rc == 1 ? read_head(stmt, ret, err) : rc == 0 ? 1 : rc;
}

static int newest(struct sl_track *track, const char *dataset, int64_t back, struct sl_dataset_head *ret, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT " HEAD_COLUMNS
			       " FROM dataset_version WHERE dataset = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2",
			       "si", dataset, back);

	return rc < 0 ? rc : one_head(stmt, ret, err);
}

static int not_after(struct sl_track *track, const char *dataset, int64_t time_ms, struct sl_dataset_head *ret,
		     struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT " HEAD_COLUMNS
			       " FROM dataset_version WHERE dataset = ?1 AND created_ms <= ?2 ORDER BY seq DESC LIMIT 1",
			       "si", dataset, time_ms);

	return rc < 0 ? rc : one_head(stmt, ret, err);
}

/* The newest commit of the one version whose hash starts so. */
static int by_prefix(struct sl_track *track, const char *dataset, const char *prefix, struct sl_dataset_head *ret,
		     struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	char lower[SL_HASH_HEX + 1] = "", above[SL_HASH_HEX + 2];
	struct sl_dataset_head other;

	for (size_t i = 0; prefix[i]; i++)
		lower[i] = (char)tolower((unsigned char)prefix[i]);
	snprintf(above, sizeof above, "%sg", lower);
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT " HEAD_COLUMNS
			       " FROM dataset_version WHERE dataset = ?1 AND hash >= ?2 AND hash < ?3 ORDER BY seq DESC",
			       "sss", dataset, lower, above);
	if (rc < 0 || (rc = one_head(stmt, ret, err)) != 0)
		return rc;
	while ((rc = one_head(stmt, &other, err)) == 0)
		if (!sl_hash_eq(&other.hash, &ret->hash)) {
			sl_fail(err, SL_E_INVALID, "'%s' is the beginning of several versions of dataset '%s'", prefix, dataset);
			return sl_error_hint(err, "give more digits of it");
		}
	return rc < 0 ? rc : 0;
}

/* A tag's or branch's version: its newest commit. 1: there is no such name. */
static int by_name(struct sl_track *track, const char *dataset, const char *name, struct sl_dataset_head *ret, struct sl_error *err)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dataset_ref_find(track, dataset, name, &hash, err);
	return rc == 1 ? by_prefix(track, dataset, sl_hash_hex(&hash, hex), ret, err) : rc == 0 ? 1 : rc;
}

/* What `gc` may have removed the bytes of is no version any more. */
static int check_kept(struct sl_track *track, const char *dataset, const struct sl_dataset_head *head, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int64_t gone = 0;
	int rc = sl_meta_int(track->meta, 0, &gone, err, "SELECT seq FROM dataset_expired WHERE seq = ?1", "i", head->seq);
	if (rc || !gone)
		return rc;
	sl_fail(err, SL_E_NOT_FOUND, "version %.12s of dataset '%s' was let go by its retention rule, or after it was dropped",
		sl_hash_hex(&head->hash, hex), dataset);
	return sl_error_hint(err, "a tag keeps a version: `sluice tag`");
}

static bool is_prefix(const char *text)
{
	size_t len = strspn(text, "0123456789abcdefABCDEF");

	return !text[len] && len >= PREFIX_MIN && len <= SL_HASH_HEX;
}

/* "^", "^^", "~3": how many commits back; false when it is neither. */
static bool parse_back(const char *version, int64_t *ret)
{
	size_t carets = strspn(version, "^");

	if (carets && !version[carets]) {
		*ret = (int64_t)carets;
		return true;
	}
	return version[0] == '~' && sl_str_int(version + 1, ret) && *ret >= 0;
}

int sl_dataset_head(struct sl_track *track, const char *dataset, struct sl_dataset_head *ret, struct sl_error *err)
{
	return sl_dataset_find(track, dataset, "", ret, err);
}

int sl_dataset_find(struct sl_track *track, const char *dataset, const char *version, struct sl_dataset_head *ret,
		    struct sl_error *err)
{
	int64_t back = 0, time_ms;
	int rc;

	/* Digits that could be both a year and a prefix ("2001") are a prefix; "2001-03-01" is a time. */
	if (sl_dataset_ref_name_valid(version))
		rc = by_name(track, dataset, version, ret, err);
	else if (!*version || parse_back(version, &back))
		rc = newest(track, dataset, back, ret, err);
	else if (is_prefix(version))
		rc = by_prefix(track, dataset, version, ret, err);
	else if (sl_time_parse(version, &time_ms))
		rc = not_after(track, dataset, time_ms, ret, err);
	else {
		sl_fail(err, SL_E_INVALID, "'%s' is not a version of a dataset", version);
		return sl_error_hint(err,
			"write a tag, a hash or its first digits, a time like 2001-03-01T10:00, ^ or ~2; `sluice ls datasets %s` "
			"lists them",
			dataset);
	}
	if (rc != 1)
		return rc ? rc : check_kept(track, dataset, ret, err);
	if (!*version)
		sl_fail(err, SL_E_NOT_FOUND, "dataset '%s' has no version yet", dataset);
	else
		sl_fail(err, SL_E_NOT_FOUND, "dataset '%s' has no version '%s'", dataset, version);
	return sl_error_hint(err, *version ? "`sluice ls datasets %s` lists what there is" : "`sluice run %s` makes one",
			     dataset);
}

/* ---- commit ----------------------------------------------------------------------------------------------------------- */

/* Covers the version and its event. */
static int append_entry(struct sl_track *track, const char *dataset, const char *hex, const struct sl_manifest *manifest,
			const struct sl_id *run, int64_t version_seq, int64_t event_seq, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	char subject[SL_NAME_MAX + 16];

	snprintf(subject, sizeof subject, "dataset:%s", dataset);
	if (!detail || !yyjson_mut_obj_add_str(doc, detail, "version", hex)
	    || !yyjson_mut_obj_add_uint(doc, detail, "rows", manifest->rows)
	    || !yyjson_mut_obj_add_uint(doc, detail, "size", manifest->size_bytes)
	    || !yyjson_mut_obj_add_str(doc, detail, "run", run->text))
		return sl_fail_memory(err);
	int rc = sl_ledger_cover(track->ledger, doc, detail, "dataset_version", err, "i", version_seq);
	if (!rc)
		rc = sl_ledger_cover(track->ledger, doc, detail, "event", err, "i", event_seq);
	return rc ? rc : sl_ledger_append(track->ledger, "dataset.commit", subject, detail, NULL, err);
}

/* What "data" triggers listen to (watch/event.h). */
static int add_event(struct sl_track *track, const char *dataset, const char *hex, const struct sl_manifest *manifest,
		     const struct sl_id *run, int64_t now_ms, int64_t *ret_seq, struct sl_error *err)
{
	char detail[256];
	int rc = sl_meta_int(track->meta, 1, ret_seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM event", "");

	if (rc < 0)
		return rc;
	snprintf(detail, sizeof detail, "{\"version\":\"%s\",\"rows\":%llu,\"run\":\"%s\"}", hex,
		 (unsigned long long)manifest->rows, run->text);
	int64_t changed = sl_meta_exec(
		track->meta, err,
		"INSERT INTO event(seq, kind, subject, from_ms, to_ms, detail, made_ms) VALUES (?1, 'data', ?2, NULL, NULL, ?3, ?4)",
		"issi", *ret_seq, dataset, detail, now_ms);
	return changed < 0 ? (int)changed : 0;
}

int sl_dataset_commit(struct sl_track *track, const char *dataset, const struct sl_hash *hash, const struct sl_manifest *manifest,
		      const struct sl_id *run, struct sl_error *err)
{
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int64_t seq, event_seq, now_ms = sl_now_ms();
	int rc = newest(track, dataset, 0, &head, err);

	if (rc < 0)
		return rc;
	if (rc == 0 && sl_hash_eq(&head.hash, hash))
		return 1;
	if ((rc = sl_meta_int(track->meta, 1, &seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM dataset_version", "")) < 0)
		return rc;
	sl_hash_hex(hash, hex);
	int64_t changed = sl_meta_exec(
		track->meta, err,
		"INSERT INTO dataset_version(seq, dataset, hash, rows, size_bytes, files, run, created_ms) VALUES (?1, "
		"?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		"issiiisi", seq, dataset, hex, (int64_t)manifest->rows, (int64_t)manifest->size_bytes,
		(int64_t)manifest->file_count, run->text, now_ms);
	if (changed >= 0)
		changed = sl_meta_exec(track->meta, err, "DELETE FROM dataset_dropped WHERE dataset = ?1", "s", dataset);
	if (changed < 0)
		return (int)changed;
	if ((rc = add_event(track, dataset, hex, manifest, run, now_ms, &event_seq, err)) < 0)
		return rc;
	return append_entry(track, dataset, hex, manifest, run, seq, event_seq, err);
}

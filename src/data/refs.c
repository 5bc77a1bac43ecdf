#include "data/refs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "os/clock.h"

/* ---- the ledger ----------------------------------------------------------------------------------------------------- */

static int append_entry(struct sl_track *track, const char *kind, const char *dataset, const char *name, const struct sl_hash *hash,
			struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	char subject[SL_NAME_MAX + 32], hex[SL_HASH_HEX + 1];
	snprintf(subject, sizeof subject, "dataset:%s", dataset);
	if (!detail || (name && !yyjson_mut_obj_add_strcpy(doc, detail, "name", name)) ||
	    (hash && !yyjson_mut_obj_add_strcpy(doc, detail, "version", sl_hash_hex(hash, hex))))
		return sl_fail_memory(err);
	return sl_ledger_append(track->ledger, kind, subject, detail, NULL, err);
}

/* ---- tags and branches ---------------------------------------------------------------------------------------------- */

bool sl_dataset_ref_name_valid(const char *name)
{
	int64_t time_ms;
	return sl_name_valid(name) && name[strspn(name, "0123456789abcdefABCDEF")] && !sl_time_parse(name, &time_ms);
}

int sl_dataset_ref_find(struct sl_track *track, const char *dataset, const char *name, struct sl_hash *ret, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err, "SELECT hash FROM dataset_ref WHERE dataset = ?1 AND name = ?2", "ss", dataset, name);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc == 1 && !sl_hash_parse(sl_stmt_text(stmt, 0), ret))
		return sl_fail(err, SL_E_CORRUPT, "table dataset_ref holds '%s' where a hash belongs", sl_stmt_text(stmt, 0));
	return rc;
}

/* May the name be set? */
static int check_present(struct sl_track *track, const char *dataset, const char *name, const char *kind, const char *hex, bool force,
			 struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_query(track->meta, &stmt, err, "SELECT kind, hash FROM dataset_ref WHERE dataset = ?1 AND name = ?2", "ss", dataset,
			       name);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	if (strcmp(sl_stmt_text(stmt, 0), kind) != 0)
		return sl_fail(err, SL_E_CONFLICT, "'%s' is a %s of '%s'", name, sl_stmt_text(stmt, 0), dataset);
	if (force || strcmp(kind, "branch") == 0 || strcmp(sl_stmt_text(stmt, 1), hex) == 0)
		return 0;
	sl_fail(err, SL_E_CONFLICT, "the tag '%s' of '%s' stands on %.12s", name, dataset, sl_stmt_text(stmt, 1));
	return sl_error_hint(err, "a tag stays where it is; --force moves it");
}

int sl_dataset_ref_set(struct sl_track *track, const char *dataset, const char *name, bool branch, const struct sl_hash *hash,
		       bool force, struct sl_error *err)
{
	const char *kind = branch ? "branch" : "tag";
	char hex[SL_HASH_HEX + 1];
	if (!sl_dataset_ref_name_valid(name)) {
		sl_fail(err, SL_E_INVALID, "'%.100s' cannot be the name of a %s", name, kind);
		return sl_error_hint(err, "letters, digits, '_', '-' and '.', beginning with a letter; not what could be a hash or a time");
	}
	int rc = check_present(track, dataset, name, kind, sl_hash_hex(hash, hex), force, err);
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(track->meta, err,
				 "INSERT INTO dataset_ref(dataset, name, kind, hash, changed_ms) VALUES(?1, ?2, ?3, ?4, ?5) "
				 "ON CONFLICT(dataset, name) DO UPDATE SET hash = ?4, changed_ms = ?5",
				 "ssssi", dataset, name, kind, hex, sl_now_ms());
	return n < 0 ? (int)n : append_entry(track, "dataset.ref", dataset, name, hash, err);
}

int sl_dataset_ref_remove(struct sl_track *track, const char *dataset, const char *name, struct sl_error *err)
{
	int64_t n = sl_meta_exec(track->meta, err, "DELETE FROM dataset_ref WHERE dataset = ?1 AND name = ?2", "ss", dataset, name);
	if (n == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "'%s' has neither a tag nor a branch '%.100s'", dataset, name);
	return n < 0 ? (int)n : append_entry(track, "dataset.ref", dataset, name, NULL, err);
}

/* ---- clone, drop ---------------------------------------------------------------------------------------------------- */

int sl_dataset_clone(struct sl_track *track, const struct sl_dataset_head *from, const char *to, struct sl_error *err)
{
	int64_t files = 0;
	int rc = sl_meta_int(track->meta, 0, &files, err, "SELECT files FROM dataset_version WHERE seq = ?1", "i", from->seq);
	const struct sl_manifest manifest = {.rows = from->rows, .size_bytes = from->size_bytes, .file_count = (size_t)files};
	if (!rc && !sl_name_valid(to))
		rc = sl_fail(err, SL_E_INVALID, "'%.100s' is not a name", to);
	return rc ? rc : sl_dataset_commit(track, to, &from->hash, &manifest, &from->run, err);
}

int sl_dataset_drop(struct sl_track *track, const char *dataset, struct sl_error *err)
{
	int64_t n = sl_meta_exec(track->meta, err,
				 "INSERT INTO dataset_dropped(dataset, dropped_ms) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM dataset_version "
				 "WHERE dataset = ?1) ON CONFLICT(dataset) DO NOTHING",
				 "si", dataset, sl_now_ms());
	if (n == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "there is no dataset '%.100s', or it is dropped already", dataset);
	return n < 0 ? (int)n : append_entry(track, "dataset.drop", dataset, NULL, NULL, err);
}

int sl_dataset_undrop(struct sl_track *track, const char *dataset, struct sl_error *err)
{
	int64_t n = sl_meta_exec(track->meta, err,
				 "DELETE FROM dataset_dropped WHERE dataset = ?1 AND EXISTS (SELECT 1 FROM dataset_version WHERE dataset = ?1 AND "
				 "seq NOT IN (SELECT seq FROM dataset_expired))",
				 "s", dataset);
	if (n == 0) {
		sl_fail(err, SL_E_NOT_FOUND, "'%.100s' was not dropped, or its versions are gone", dataset);
		return sl_error_hint(err, "`sluice ls datasets` lists what is there");
	}
	return n < 0 ? (int)n : append_entry(track, "dataset.undrop", dataset, NULL, NULL, err);
}

/* ---- retention ------------------------------------------------------------------------------------------------------ */

static int each_row(struct sl_stmt *stmt, sl_expiring_visit *each, void *context, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_expiring version = {.seq = sl_stmt_int(stmt, 0)};
		snprintf(version.dataset, sizeof version.dataset, "%s", sl_stmt_text(stmt, 1));
		if (!sl_hash_parse(sl_stmt_text(stmt, 2), &version.hash))
			return sl_fail(err, SL_E_CORRUPT, "table dataset_version holds no hash");
		rc = each(context, &version, err);
		if (rc)
			return rc;
	}
	return rc;
}

#define NOT_EXPIRED "seq NOT IN (SELECT seq FROM dataset_expired)"

/* A rule with only `last` keeps nothing for its age, and the other way round. */
static int each_of_rule(struct sl_track *track, const struct sl_retention *rule, int64_t now_ms, sl_expiring_visit *each, void *context,
			struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int64_t last = rule->last > 1 ? rule->last : 1, since = rule->for_ms ? now_ms - rule->for_ms : INT64_MAX;
	if (!rule->last && !rule->for_ms)
		return 0;
	int rc = sl_meta_query(track->meta, &stmt, err,
			       "SELECT seq, dataset, hash FROM dataset_version WHERE dataset = ?1 AND created_ms < ?2 AND " NOT_EXPIRED
			       " AND seq NOT IN (SELECT seq FROM dataset_version WHERE dataset = ?1 ORDER BY seq DESC LIMIT ?3)"
			       " AND hash NOT IN (SELECT hash FROM dataset_ref WHERE dataset = ?1) ORDER BY seq",
			       "sii", rule->dataset, since, last);
	return rc ? rc : each_row(stmt, each, context, err);
}

int sl_retention_each(struct sl_track *track, const struct sl_retention *rules, size_t count, int64_t now_ms, int64_t dropped_ms,
		      sl_expiring_visit *each, void *context, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++)
		rc = each_of_rule(track, &rules[i], now_ms, each, context, err);
	rc = rc ? rc : sl_meta_query(track->meta, &stmt, err,
				     "SELECT seq, dataset, hash FROM dataset_version WHERE dataset IN (SELECT dataset FROM dataset_dropped WHERE "
				     "dropped_ms <= ?1) AND " NOT_EXPIRED " ORDER BY seq",
				     "i", now_ms - dropped_ms);
	return rc ? rc : each_row(stmt, each, context, err);
}

int sl_dataset_expire(struct sl_track *track, const struct sl_expiring *version, int64_t now_ms, struct sl_error *err)
{
	int64_t n = sl_meta_exec(track->meta, err, "INSERT INTO dataset_expired(seq, expired_ms) VALUES(?1, ?2) ON CONFLICT(seq) DO NOTHING",
				 "ii", version->seq, now_ms);
	return n <= 0 ? (int)n : append_entry(track, "dataset.expire", version->dataset, NULL, &version->hash, err);
}

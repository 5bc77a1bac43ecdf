#include "track/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ledger/rows.h"
#include "os/clock.h"
#include "record/own_registry.h"
#include "track/notify.h"

/* An alias has moved: the roles that serve it shall look. */
static int finish_move(struct sl_track *track, int rc, struct sl_error *err)
{
	rc = sl_meta_end(track->meta, rc, err);
	if (!rc && track->dir)
		sl_notify_ring(track->dir);
	return rc;
}

static int changed(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int check_name(const char *what, const char *name, struct sl_error *err)
{
	return sl_name_valid(name) ? 0 : sl_fail(err, SL_E_INVALID, "'%.64s' is not a name of %s", name, what);
}

/* The rows that an entry answers for: the version's own, or those of a move of an alias. */
static int cover(struct sl_track *track, yyjson_mut_doc *doc, yyjson_mut_val *detail, const char *model, int64_t version,
		 int64_t move_seq, struct sl_error *err)
{
	if (!move_seq)
		return sl_ledger_cover(track->ledger, doc, detail, "model_version", err, "si", model, version);
	const char *alias = yyjson_mut_get_str(yyjson_mut_obj_get(detail, "alias"));
	int rc = sl_ledger_cover(track->ledger, doc, detail, "model_alias", err, "ss", model, alias);
	return rc ? rc : sl_ledger_cover(track->ledger, doc, detail, "alias_move", err, "i", move_seq);
}

/* A ledger entry "model:<model>@<version>" with a few text members. `move_seq`: of the row of alias_move, 0 when none moved. */
static int append(struct sl_track *track, const char *action, const char *model, int64_t version, const char *const members[][2],
		  size_t count, int64_t move_seq, struct sl_error *err)
{
	char subject[SL_NAME_MAX + 40];
	snprintf(subject, sizeof subject, "model:%s@%" PRId64, model, version);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	bool ok = detail != NULL;
	for (size_t i = 0; ok && i < count; i++)
		ok = yyjson_mut_obj_add_str(doc, detail, members[i][0], members[i][1]);
	int rc = ok ? cover(track, doc, detail, model, version, move_seq, err) : sl_fail_memory(err);
	return rc ? rc : sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
}

static int create(struct sl_track *track, const char *model, int64_t version, const char *hash, const struct sl_id *run,
		  const char *metrics_json, struct sl_error *err)
{
	int64_t now_ms = sl_now_ms();
	int rc = changed(sl_meta_exec(track->meta, err,
				      "INSERT INTO model_version(model, version, hash, run, status, metrics, created_ms) "
				      "VALUES (?1, ?2, ?3, ?4, 'candidate', ?5, ?6)",
				      "sisssi", model, version, hash, run->text, metrics_json, now_ms));
	if (!rc)
		rc = sl_own_version(track->meta, model, version, hash, now_ms, err);
	struct sl_hash metrics;
	char metrics_hex[SL_HASH_HEX + 1];
	sl_sha256(metrics_json, strlen(metrics_json), &metrics);
	const char *const members[][2] = {{"package", hash}, {"run", run->text}, {"metrics", sl_hash_hex(&metrics, metrics_hex)}};
	return rc ? rc : append(track, "model.create", model, version, members, 3, 0, err);
}

int sl_model_create_as(struct sl_track *track, const char *model, int64_t version, const struct sl_hash *package, const struct sl_id *run,
		       const char *metrics_json, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int rc = check_name("a model", model, err);
	if (!rc)
		rc = sl_meta_begin(track->meta, err);
	return rc ? rc
		  : sl_meta_end(track->meta, create(track, model, version, sl_hash_hex(package, hex), run, metrics_json, err), err);
}

int sl_model_create(struct sl_track *track, const char *model, const struct sl_hash *package, const struct sl_id *run,
		    const char *metrics_json, int64_t *ret_version, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	if (rc)
		return rc;
	rc = sl_own_next_version(track->meta, model, ret_version, err);
	if (!rc)
		rc = sl_model_create_as(track, model, *ret_version, package, run, metrics_json, err);
	return sl_meta_end(track->meta, rc, err);
}

static int set_gate(struct sl_track *track, const char *model, int64_t version, const char *status, const char *gate_json,
		    const char *metrics_json, struct sl_error *err)
{
	int64_t rows =
		sl_meta_exec(track->meta, err,
			     "UPDATE model_version SET status = ?3, gate = ?4, metrics = ?5 WHERE model = ?1 AND version = ?2",
			     "sisss", model, version, status, gate_json, metrics_json);
	if (rows <= 0)
		return rows < 0 ? (int)rows : sl_fail(err, SL_E_NOT_FOUND, "model '%s' has no version %" PRId64, model, version);
	int rc = sl_own_version_status(track->meta, model, version, status, err);
	if (rc)
		return rc;
	struct sl_hash gate, metrics;
	char gate_hex[SL_HASH_HEX + 1], metrics_hex[SL_HASH_HEX + 1];
	sl_sha256(gate_json, strlen(gate_json), &gate);
	sl_sha256(metrics_json, strlen(metrics_json), &metrics);
	const char *const members[][2] = {
		{"status", status}, {"gate", sl_hash_hex(&gate, gate_hex)}, {"metrics", sl_hash_hex(&metrics, metrics_hex)}};
	return append(track, "model.gate", model, version, members, 3, 0, err);
}

int sl_model_gate(struct sl_track *track, const char *model, int64_t version, const char *status, const char *gate_json,
		  const char *metrics_json, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	return rc ? rc : sl_meta_end(track->meta, set_gate(track, model, version, status, gate_json, metrics_json, err), err);
}

static int alias_version(struct sl_track *track, const char *model, const char *alias, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(track->meta, 0, ret, err, "SELECT version FROM model_alias WHERE model = ?1 AND alias = ?2", "ss",
			   model, alias);
}

static int check_status(struct sl_track *track, const char *model, int64_t version, struct sl_error *err)
{
	char number[24];
	struct sl_model_version found;
	snprintf(number, sizeof number, "%" PRId64, version);
	int rc = sl_model_find(track, model, number, &found, err);
	if (rc || sl_str_eq(found.status, "ready"))
		return rc;
	sl_fail(err, SL_E_CONFLICT, "version %" PRId64 " of model '%s' is %s", version, model, found.status);
	if (sl_str_eq(found.status, "waiting"))
		return sl_error_hint(err, "approve it first: sluice approve %s@%" PRId64, model, version);
	return sl_error_hint(err, "see why with: sluice show model:%s@%" PRId64, model, version);
}

/* One move of an alias, and the row that remembers it. */
static int move_alias(struct sl_track *track, const char *model, const char *alias, int64_t version, const char *action,
		      const char *reason, struct sl_error *err)
{
	int64_t previous, seq, now = sl_now_ms();
	int rc = alias_version(track, model, alias, &previous, err);
	if (!rc && version)
		rc = changed(sl_meta_exec(
			track->meta, err,
			"INSERT INTO model_alias(model, alias, version, changed_ms) VALUES (?1, ?2, ?3, ?4) "
			"ON CONFLICT(model, alias) DO UPDATE SET version = excluded.version, changed_ms = excluded.changed_ms",
			"ssii", model, alias, version, now));
	else if (!rc)
		rc = changed(sl_meta_exec(track->meta, err, "DELETE FROM model_alias WHERE model = ?1 AND alias = ?2", "ss",
					  model, alias));
	if (!rc)
		rc = sl_own_alias(track->meta, model, alias, version, err);
	if (!rc)
		rc = sl_meta_int(track->meta, 1, &seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM alias_move", "");
	if (!rc)
		rc = changed(sl_meta_exec(track->meta, err,
					  "INSERT INTO alias_move(seq, model, alias, version, previous, reason, actor, moved_ms) "
					  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
					  "issiissi", seq, model, alias, version, previous, reason,
					  sl_ledger_actor(track->ledger), now));
	char before[24];
	snprintf(before, sizeof before, "%" PRId64, previous);
	const char *const members[][2] = {{"alias", alias}, {"previous", before}, {"reason", reason}};
	return rc ? rc : append(track, action, model, version, members, 3, seq, err);
}

static int set_alias(struct sl_track *track, const char *model, const char *alias, int64_t version, const char *reason,
		     bool force, struct sl_error *err)
{
	int64_t now;
	int rc = version && !force ? check_status(track, model, version, err) : 0;
	if (!rc)
		rc = alias_version(track, model, alias, &now, err);
	if (rc || now == version)
		return rc;
	return move_alias(track, model, alias, version, "model.alias", reason, err);
}

int sl_model_alias(struct sl_track *track, const char *model, const char *alias, int64_t version, const char *reason, bool force,
		   struct sl_error *err)
{
	int rc = check_name("an alias", alias, err);
	if (!rc)
		rc = sl_meta_begin(track->meta, err);
	return rc ? rc : finish_move(track, set_alias(track, model, alias, version, reason, force, err), err);
}

/* The version that stood before the present one. Moves that were rolled back do not count: two rollbacks go back two versions,
 * not to and fro. The moves form a stack: a plain move pushes, a rollback pops. */
static int version_before(struct sl_track *track, const char *model, const char *alias, int64_t *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(
		track->meta, &stmt, err,
		"SELECT version, previous, reason FROM alias_move WHERE model = ?1 AND alias = ?2 ORDER BY seq DESC", "ss", model,
		alias);
	int64_t skip = 0;
	*ret = 0;
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		rc = 0;
		if (sl_str_eq(sl_stmt_text(stmt, 2), "rollback"))
			skip++;
		else if (skip)
			skip--;
		else {
			*ret = sl_stmt_int(stmt, 1);
			return 0;
		}
	}
	return rc;
}

static int roll_back(struct sl_track *track, const char *model, const char *alias, int64_t *ret_version, struct sl_error *err)
{
	int64_t before;
	int rc = version_before(track, model, alias, &before, err);
	if (rc)
		return rc;
	if (!before)
		return sl_fail(err, SL_E_CONFLICT, "%s@%s has no version before its present one", model, alias);
	rc = move_alias(track, model, alias, before, "model.rollback", "rollback", err);
	if (!rc)
		*ret_version = before;
	return rc;
}

int sl_model_rollback(struct sl_track *track, const char *model, const char *alias, int64_t *ret_version, struct sl_error *err)
{
	int rc = sl_meta_begin(track->meta, err);
	return rc ? rc : finish_move(track, roll_back(track, model, alias, ret_version, err), err);
}

static int read_version(struct sl_stmt *stmt, struct sl_model_version *ret, struct sl_error *err)
{
	ret->version = sl_stmt_int(stmt, 0);
	snprintf(ret->status, sizeof ret->status, "%s", sl_stmt_text(stmt, 3));
	ret->created_ms = sl_stmt_int(stmt, 4);
	if (!sl_hash_parse(sl_stmt_text(stmt, 1), &ret->hash) || !sl_id_parse(sl_stmt_text(stmt, 2), &ret->run))
		return sl_fail(err, SL_E_CORRUPT, "version %" PRId64 " of a model has a broken hash or run", ret->version);
	return 0;
}

static int no_such(struct sl_track *track, const char *model, const char *version, struct sl_error *err)
{
	int64_t newest;
	int rc = sl_meta_int(track->meta, 0, &newest, err,
			     "SELECT MAX(version) FROM model_version WHERE model = ?1 HAVING MAX(version) IS NOT NULL", "s",
			     model);
	if (rc)
		return rc;
	if (!newest)
		return sl_fail(err, SL_E_NOT_FOUND, "there is no version of model '%.64s' yet", model);
	sl_fail(err, SL_E_NOT_FOUND, "model '%s' has no version, alias or hash '%.64s'", model, version);
	return sl_error_hint(err, "its newest version is %" PRId64, newest);
}

/* The version number that `text` names: a number, an alias, or a hash prefix of at least 6 digits; 0 when none. */
static int resolve(struct sl_track *track, const char *model, const char *text, int64_t *ret, struct sl_error *err)
{
	if (sl_str_int(text, ret))
		return 0;
	if (!text[0]) {
		int rc = alias_version(track, model, "champion", ret, err);
		return rc || *ret
			       ? rc
			       : sl_meta_int(track->meta, 0, ret, err,
					     "SELECT COALESCE(MAX(version), 0) FROM model_version WHERE model = ?1", "s", model);
	}
	int rc = alias_version(track, model, text, ret, err);
	if (rc || *ret || strlen(text) < 6 || strspn(text, "0123456789abcdef") != strlen(text))
		return rc;
	char end[SL_HASH_HEX + 2];
	if (snprintf(end, sizeof end, "%sg", text) >= (int)sizeof end)
		return 0;
	return sl_meta_int(
		track->meta, 0, ret, err,
		"SELECT version FROM model_version WHERE model = ?1 AND hash >= ?2 AND hash < ?3 ORDER BY version DESC LIMIT 1",
		"sss", model, text, end);
}

int sl_model_find(struct sl_track *track, const char *model, const char *version, struct sl_model_version *ret,
		  struct sl_error *err)
{
	int64_t number = 0;
	int rc = resolve(track, model, version, &number, err);
	if (rc)
		return rc;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	rc = sl_meta_query(track->meta, &stmt, err,
			   "SELECT version, hash, run, status, created_ms FROM model_version WHERE model = ?1 AND version = ?2",
			   "si", model, number);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc ? rc : no_such(track, model, version, err);
	return read_version(stmt, ret, err);
}

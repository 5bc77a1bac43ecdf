#include "record/erase.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "record/artifact.h"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_id id;
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	return sl_record_entry(record, change, "run", id.text, err);
}

/* ---- erasing -------------------------------------------------------------------------------------------------------- */

/* What may not lose it. */
static int check_needed(struct sl_record *record, const struct sl_rec_run *run, const char *ulid, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int64_t logged;
	if (!run->deleted) {
		sl_fail(err, SL_E_CONFLICT, "run %s is not in the bin", run->id);
		return sl_error_hint(err, "only what a client has deleted is erased");
	}
	int rc = sl_meta_int(record->meta, 0, &logged, err, "SELECT count(*) FROM run WHERE id = ?1 AND kind = 'logged'", "s", ulid);
	if (rc || !logged)
		return rc ? rc : sl_fail(err, SL_E_CONFLICT, "run %s is one of `sluice run`: the ledger covers its rows, so it stays", ulid);
	rc = sl_meta_query(record->meta, &row, err,
		"SELECT m.name, v.version FROM reg_version v JOIN reg_model m ON m.num = v.model WHERE v.deleted = 0 AND (v.run = ?1 OR v.logged_model IN "
		"(SELECT id FROM logged_model WHERE run = ?1)) UNION ALL SELECT model, version FROM model_version WHERE run = ?2 LIMIT 1", "ss", run->id,
		ulid);
	if (!rc)
		rc = sl_stmt_step(row, err);
	if (rc <= 0)
		return rc;
	return sl_fail(err, SL_E_CONFLICT, "version %" PRId64 " of '%.200s' came from run %s", sl_stmt_int(row, 1), sl_stmt_text(row, 0), run->id);
}

static int drop_artifacts(struct sl_record *record, const char *uri, struct sl_error *err)
{
	const char *path = sl_artifact_path_of(uri);
	return path && *path ? sl_artifact_delete(record, path, err) : 0;
}

/* Its models, and that traces belong to it. */
static int drop_models(struct sl_record *record, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT artifact_uri FROM logged_model WHERE run = ?1", "s", run->id);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1)
		rc = drop_artifacts(record, sl_stmt_text(row, 0), err);
	static const char *const sql[] = {
		"DELETE FROM rec_model_metric WHERE model IN (SELECT id FROM logged_model WHERE run = ?1)",
		"DELETE FROM rec_run_model WHERE model IN (SELECT id FROM logged_model WHERE run = ?1)",
		"DELETE FROM reg_pair WHERE kind IN (3, 4) AND owner IN (SELECT num FROM logged_model WHERE run = ?1)",
		"DELETE FROM logged_model WHERE run = ?1",
		"DELETE FROM trace_link WHERE kind = 'run' AND target = ?1"};
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(sql); i++)
		rc = from_rows(sl_meta_exec(record->meta, err, sql[i], "s", run->id));
	return rc;
}

static int drop_rows(struct sl_record *record, const struct sl_rec_run *run, const char *ulid, int64_t *ret_points, struct sl_error *err)
{
	static const char *const sql[] = {
		"DELETE FROM rec_series WHERE run = ?1", "DELETE FROM rec_param WHERE run = ?1", "DELETE FROM rec_tag WHERE run = ?1",
		"DELETE FROM rec_input WHERE run = ?1", "DELETE FROM rec_run_model WHERE run = ?1", "DELETE FROM rec_run WHERE num = ?1"};
	int64_t points = sl_meta_exec(record->meta, err, "DELETE FROM rec_point WHERE series IN (SELECT id FROM rec_series WHERE run = ?1)", "i",
		run->num);
	int rc = from_rows(points);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(sql); i++)
		rc = from_rows(sl_meta_exec(record->meta, err, sql[i], "i", run->num));
	*ret_points = points;
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err, "DELETE FROM run WHERE id = ?1", "s", ulid));
}

int sl_rec_run_erase(struct sl_record *record, const struct sl_rec_run *run, const struct sl_change *change, int64_t *ret_points,
	struct sl_error *err)
{
	struct sl_id id;
	assert(sl_meta_in_transaction(record->meta));
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	int rc = check_needed(record, run, id.text, err);
	rc = rc ? rc : drop_artifacts(record, run->artifact_uri, err);
	rc = rc ? rc : drop_models(record, run, err);
	rc = rc ? rc : drop_rows(record, run, id.text, ret_points, err);
	return rc ? rc : entry(record, change, run, err);
}

/* ---- moving --------------------------------------------------------------------------------------------------------- */

/* Datasets are kept by experiment: those that it read are made known over there. */
static int move_inputs(struct sl_record *record, const struct sl_rec_run *run, int64_t to, struct sl_error *err)
{
	int rc = from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO rec_dataset(experiment, name, digest, source_type, source, schema, profile) SELECT ?2, d.name, d.digest, d.source_type, "
		"d.source, d.schema, d.profile FROM rec_input i JOIN rec_dataset d ON d.id = i.dataset WHERE i.run = ?1 ON CONFLICT DO NOTHING", "ii",
		run->num, to));
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err,
		"UPDATE rec_input SET dataset = (SELECT n.id FROM rec_dataset d JOIN rec_dataset n ON n.experiment = ?2 AND n.name = d.name AND n.digest = "
		"d.digest WHERE d.id = rec_input.dataset) WHERE run = ?1", "ii", run->num, to));
}

int sl_rec_run_move(struct sl_record *record, const struct sl_rec_run *run, const struct sl_experiment *to, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	if (to->deleted)
		return sl_fail(err, SL_E_INVALID, "experiment '%.300s' is in the bin", to->name);
	int rc = sl_rec_run_check_active(run, err);
	if (rc || run->experiment == to->id)
		return rc;
	rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_run SET experiment = ?2 WHERE num = ?1", "ii", run->num, to->id));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_series SET experiment = ?2 WHERE run = ?1", "ii", run->num, to->id));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE logged_model SET experiment = ?2 WHERE run = ?1", "si", run->id, to->id));
	rc = rc ? rc : move_inputs(record, run, to->id, err);
	return rc ? rc : entry(record, change, run, err);
}

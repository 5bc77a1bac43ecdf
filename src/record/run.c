#include "record/run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "os/clock.h"
#include "record/limits.h"
#include "record/log.h"

static const char NAME_TAG[] = "mlflow.runName", PARENT_TAG[] = "mlflow.parentRunId";
#define COLUMNS "num, id, experiment, deleted, status, started_ms, ended_ms, name, user_name, artifact_uri"

/* How table run calls a status. */
static const struct { const char *status, *word; } STATUSES[] = {
	{"RUNNING", "running"}, {"SCHEDULED", "running"}, {"FINISHED", "ok"}, {"FAILED", "failed"}, {"KILLED", "killed"}};

static const char *word_of(const char *status)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(STATUSES); i++)
		if (strcmp(STATUSES[i].status, status) == 0)
			return STATUSES[i].word;
	return NULL;
}

bool sl_rec_status_valid(const char *status) { return word_of(status) != NULL; }

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err)
{
	struct sl_id id;
	*ret = (struct sl_rec_run){
		.num = sl_stmt_int(row, 0), .experiment = sl_stmt_int(row, 2), .deleted = sl_stmt_int(row, 3),
		.started_ms = sl_stmt_int(row, 5), .ended = !sl_stmt_null(row, 6), .ended_ms = sl_stmt_int(row, 6),
		.status = sl_arena_strdup(arena, sl_stmt_text(row, 4)), .name = sl_arena_strdup(arena, sl_stmt_text(row, 7)),
		.user = sl_arena_strdup(arena, sl_stmt_text(row, 8)), .artifact_uri = sl_arena_strdup(arena, sl_stmt_text(row, 9)),
	};
	if (!sl_id_parse(sl_stmt_text(row, 1), &id))
		return sl_fail(err, SL_E_CORRUPT, "a run has the id '%.64s'", sl_stmt_text(row, 1));
	sl_id_hex(&id, ret->id);
	return ret->status && ret->name && ret->user && ret->artifact_uri ? 0 : sl_fail_memory(err);
}

int sl_rec_run_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_id key;
	if (!sl_id_parse_hex(id, &key) && !sl_id_parse(id, &key))
		return sl_fail(err, SL_E_NOT_FOUND, "Run with id=%.256s not found", id);
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT " COLUMNS " FROM rec_run WHERE id = ?1", "s", key.text);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 1)
		return fill(stmt, arena, ret, err);
	return rc ? rc : sl_fail(err, SL_E_NOT_FOUND, "Run with id=%.256s not found", id);
}

int sl_rec_run_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT " COLUMNS " FROM rec_run WHERE num = ?1", "i", num);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	rc = fill(stmt, arena, ret, err);
	return rc ? rc : 1;
}

int sl_rec_run_check_active(const struct sl_rec_run *run, struct sl_error *err)
{
	if (!run->deleted)
		return 0;
	return sl_fail(err, SL_E_INVALID, "The run %s must be in the 'active' state. Current state is deleted.", run->id);
}

/* ---- starting ------------------------------------------------------------------------------------------------------- */

/* As MLflow names a run that nobody named: "adjective-animal-123". */
static int make_name(struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	static const char *const FIRST[] = {
		"abundant", "agile", "amused", "bold", "brave", "bright", "calm", "capable", "clean", "clever", "crisp", "curious",
		"defiant", "eager", "fearless", "gentle", "glad", "honest", "keen", "lively", "loud", "lucky", "merry", "nimble",
		"polite", "proud", "quiet", "rapid", "sassy", "serious", "skillful", "spry"};
	static const char *const SECOND[] = {
		"ant", "bass", "bear", "bee", "bird", "boar", "calf", "carp", "cat", "colt", "crab", "crane", "crow", "deer", "dolphin",
		"duck", "elk", "finch", "fish", "fowl", "fox", "frog", "goat", "grouse", "hare", "hawk", "hen", "horse", "lamb", "lark",
		"loon", "lynx"};
	unsigned char random[4];
	int rc = sl_random(random, sizeof random, err);
	if (rc)
		return rc;
	*ret = sl_arena_printf(arena, "%s-%s-%d", FIRST[random[0] % SL_ARRAY_LEN(FIRST)], SECOND[random[1] % SL_ARRAY_LEN(SECOND)],
		(random[2] << 8 | random[3]) % 1000);
	return *ret ? 0 : sl_fail_memory(err);
}

static const char *tag_of(const struct sl_rec_run_start *start, const char *name)
{
	for (size_t i = 0; i < start->tag_count; i++)
		if (strcmp(start->tags[i].name, name) == 0 && *start->tags[i].value)
			return start->tags[i].value;
	return NULL;
}

static int choose_name(const struct sl_rec_run_start *start, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	const char *given = start->name && *start->name ? start->name : NULL, *tag = tag_of(start, NAME_TAG);
	if (given && tag && strcmp(given, tag) != 0)
		return sl_fail(err, SL_E_INVALID, "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
			"values (run_name='%.300s', mlflow.runName='%.300s').", given, tag);
	*ret = given ? given : tag;
	return *ret ? 0 : make_name(arena, ret, err);
}

/* Its row in table run: the place from which lineage and `ls runs` know it. */
static int insert_run(struct sl_record *record, const struct sl_rec_run_start *start, const struct sl_id *id, const char *name,
	struct sl_error *err)
{
	struct sl_id parent;
	const char *tag = tag_of(start, PARENT_TAG);
	bool nested = tag && sl_id_parse_hex(tag, &parent);
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO run(id, parent, kind, name, status, started_ms) VALUES (?1, ?2, 'logged', ?3, 'running', ?4)", "sssi",
		id->text, nested ? parent.text : NULL, name, start->started_ms));
}

static int insert_rec_run(struct sl_record *record, const struct sl_rec_run *run, const struct sl_id *id, struct sl_error *err)
{
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO rec_run(num, id, experiment, status, started_ms, name, user_name, artifact_uri) VALUES (?1, ?2, ?3, "
		"'RUNNING', ?4, ?5, ?6, ?7)", "isiisss", run->num, id->text, run->experiment, run->started_ms, run->name, run->user,
		run->artifact_uri));
}

static int insert_tags(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_run_start *start,
	struct sl_arena *arena, struct sl_error *err)
{
	int rc = sl_rec_put_tag(record, run->num, NAME_TAG, run->name, err);
	for (size_t i = 0; !rc && i < start->tag_count; i++) {
		const char *path = sl_arena_printf(arena, "tags[%zu].key", i);
		const char *value = sl_rec_cut(start->tags[i].value, SL_REC_TAG_MAX, arena);
		if (!path || !value)
			return sl_fail_memory(err);
		rc = sl_rec_check_key(start->tags[i].name, path, err);
		if (!rc)
			rc = sl_rec_check_length(start->tags[i].name, SL_REC_KEY_MAX, "key", err);
		if (!rc)
			rc = sl_rec_put_tag(record, run->num, start->tags[i].name, value, err);
	}
	return rc;
}

int sl_rec_run_create(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_rec_run_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_rec_run *ret, struct sl_error *err)
{
	struct sl_id id;
	struct sl_rec_run run = {.experiment = experiment->id, .started_ms = start->started_ms, .status = "RUNNING"};
	assert(sl_meta_in_transaction(record->meta));
	if (experiment->deleted)
		return sl_fail(err, SL_E_INVALID, "The experiment %" PRId64 " must be in the 'active' state. Current state is deleted.",
			experiment->id);
	run.user = start->user ? start->user : "";
	int rc = choose_name(start, arena, &run.name, err);
	if (!rc && start->id && !sl_id_parse_hex(start->id, &id))
		rc = sl_fail(err, SL_E_INVALID, "'%.64s' is not the id of a run", start->id);
	if (!rc && !start->id)
		rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	sl_id_hex(&id, run.id);
	run.artifact_uri = sl_arena_printf(arena, "%s/%s/artifacts", experiment->artifact_location, run.id);
	if (!run.artifact_uri)
		return sl_fail_memory(err);
	rc = sl_meta_int(record->meta, 1, &run.num, err, "SELECT max(num) + 1 FROM rec_run", NULL);
	if (!rc)
		rc = insert_rec_run(record, &run, &id, err);
	if (!rc)
		rc = insert_run(record, start, &id, run.name, err);
	if (!rc)
		rc = insert_tags(record, &run, start, arena, err);
	if (!rc)
		rc = sl_record_entry(record, change, "run", id.text, err);
	if (!rc)
		*ret = run;
	return rc;
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_id id;
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	return sl_record_entry(record, change, "run", id.text, err);
}

/* A run of our own keeps its own row: its end is the engine's to write. */
static int mirror(struct sl_record *record, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_id id;
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	if (!run->ended)
		return from_rows(sl_meta_exec(record->meta, err,
			"UPDATE run SET name = ?2, status = ?3, ended_ms = NULL WHERE id = ?1 AND kind = 'logged'", "sss", id.text,
			run->name, word_of(run->status)));
	return from_rows(sl_meta_exec(record->meta, err,
		"UPDATE run SET name = ?2, status = ?3, ended_ms = ?4 WHERE id = ?1 AND kind = 'logged'", "sssi", id.text, run->name,
		word_of(run->status), run->ended_ms));
}

static int store(struct sl_record *record, const struct sl_rec_run *run, struct sl_error *err)
{
	if (!run->ended)
		return from_rows(sl_meta_exec(record->meta, err,
			"UPDATE rec_run SET status = ?2, name = ?3 WHERE num = ?1", "iss", run->num, run->status, run->name));
	return from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_run SET status = ?2, name = ?3, ended_ms = ?4 WHERE num = ?1",
		"issi", run->num, run->status, run->name, run->ended_ms));
}

int sl_rec_run_update(struct sl_record *record, struct sl_rec_run *run, const struct sl_rec_run_update *update,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_rec_run_check_active(run, err);
	if (rc)
		return rc;
	if (update->status)
		run->status = update->status;
	if (update->ended_ms) {
		run->ended = true;
		run->ended_ms = *update->ended_ms;
	}
	if (update->name && *update->name) {
		run->name = update->name;
		rc = sl_rec_put_tag(record, run->num, NAME_TAG, run->name, err);
	}
	if (!rc)
		rc = store(record, run, err);
	if (!rc)
		rc = mirror(record, run, err);
	return rc ? rc : entry(record, change, run, err);
}

int sl_rec_run_set_deleted(struct sl_record *record, const struct sl_rec_run *run, bool deleted, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_run SET deleted = ?2, deleted_ms = CASE WHEN ?2 = 1 THEN ?3 END "
		"WHERE num = ?1", "iii", run->num, (int64_t)deleted, sl_now_ms()));
	return rc ? rc : entry(record, change, run, err);
}

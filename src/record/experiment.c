#include "record/experiment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "os/clock.h"
#include "record/limits.h"
#include "record/own.h"

#define COLUMNS "id, name, artifact_location, deleted, created_ms, updated_ms"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_experiment *ret, struct sl_error *err)
{
	*ret = (struct sl_experiment){
		.id = sl_stmt_int(row, 0), .name = sl_arena_strdup(arena, sl_stmt_text(row, 1)),
		.artifact_location = sl_arena_strdup(arena, sl_stmt_text(row, 2)), .deleted = sl_stmt_int(row, 3),
		.created_ms = sl_stmt_int(row, 4), .updated_ms = sl_stmt_int(row, 5),
	};
	return ret->name && ret->artifact_location ? 0 : sl_fail_memory(err);
}

int sl_experiment_get(struct sl_record *record, const char *id, enum sl_rec_view view, struct sl_arena *arena,
	struct sl_experiment *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t number;
	if (!sl_str_int(*id ? id : "0", &number))
		return sl_fail(err, SL_E_INVALID, "Invalid experiment ID: '%.64s'", id);
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT " COLUMNS " FROM experiment WHERE id = ?1", "i", number);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || (view != SL_REC_ALL && (sl_stmt_int(stmt, 3) != 0) != (view == SL_REC_DELETED)))
		return sl_fail(err, SL_E_NOT_FOUND, "No Experiment with id=%" PRId64 " exists", number);
	return fill(stmt, arena, ret, err);
}

int sl_experiment_by_name(struct sl_record *record, const char *name, struct sl_arena *arena, struct sl_experiment *ret,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT " COLUMNS " FROM experiment WHERE name = ?1", "s", name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Could not find experiment with name '%.600s'", name);
	return rc < 0 ? rc : fill(stmt, arena, ret, err);
}

int sl_experiment_tags(struct sl_record *record, int64_t id, struct sl_arena *arena, struct sl_pair **ret, size_t *ret_count,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t count;
	int rc = sl_meta_int(record->meta, 0, &count, err, "SELECT count(*) FROM experiment_tag WHERE experiment = ?1", "i", id);
	struct sl_pair *pairs = rc ? NULL : sl_arena_array(arena, (size_t)count + 1, sizeof *pairs);
	if (!pairs)
		return rc ? rc : sl_fail_memory(err);
	size_t n = 0;
	rc = sl_meta_query(record->meta, &stmt, err, "SELECT name, value FROM experiment_tag WHERE experiment = ?1 ORDER BY name", "i",
		id);
	while (!rc && n < (size_t)count && (rc = sl_stmt_step(stmt, err)) == 1) {
		pairs[n].name = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
		pairs[n].value = sl_arena_strdup(arena, sl_stmt_text(stmt, 1));
		rc = pairs[n].name && pairs[n].value ? 0 : sl_fail_memory(err);
		n++;
	}
	*ret = pairs;
	*ret_count = n;
	return rc < 0 ? rc : 0;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static int entry(struct sl_record *record, const struct sl_change *change, int64_t id, struct sl_error *err)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, id);
	return sl_record_entry(record, change, "experiment", text, err);
}

static int put_tag(struct sl_record *record, int64_t id, const char *name, const char *value, struct sl_error *err)
{
	int rc = sl_rec_check_key(name, "key", err);
	if (!rc)
		rc = sl_rec_check_length(name, SL_REC_KEY_MAX, "key", err);
	if (!rc)
		rc = sl_rec_check_length(value, SL_REC_EXPERIMENT_TAG_MAX, "value", err);
	if (rc)
		return rc;
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO experiment_tag(experiment, name, value) VALUES (?1, ?2, ?3) "
		"ON CONFLICT(experiment, name) DO UPDATE SET value = excluded.value", "iss", id, name, value));
}

static int check_name(const char *name, struct sl_error *err)
{
	if (!*name)
		return sl_fail(err, SL_E_INVALID, "Invalid experiment name: ''");
	return sl_rec_check_length(name, SL_REC_EXPERIMENT_NAME_MAX, "name", err);
}

/* "<root>/<id>", the root's own slash kept as it is. */
static int default_location(const struct sl_record *record, int64_t id, char out[SL_REC_LOCATION_MAX], struct sl_error *err)
{
	size_t len = strlen(record->artifact_root);
	int n = snprintf(out, SL_REC_LOCATION_MAX, "%s%s%" PRId64, record->artifact_root,
		len && record->artifact_root[len - 1] == '/' ? "" : "/", id);
	return n < SL_REC_LOCATION_MAX ? 0 : sl_fail(err, SL_E_TOO_LARGE, "the artifact root is longer than %d bytes",
							SL_REC_LOCATION_MAX);
}

static int check_location(const char *location, struct sl_error *err)
{
	if (sl_str_starts(location, "runs:"))
		return sl_fail(err, SL_E_INVALID, "Artifact location cannot be a runs:/ URI. Given: '%.400s'", location);
	if (strchr(location, '#') || strchr(location, '?') || strstr(location, ".."))
		return sl_fail(err, SL_E_INVALID, "Invalid artifact_location: '%.400s'. It cannot have '#', '?' or '..'.", location);
	if (sl_rec_length(location) > SL_REC_LOCATION_MAX)
		return sl_fail(err, SL_E_INVALID, "Invalid artifact path length. The length of the artifact path cannot be greater "
			"than %d characters. To configure this limit, please set the MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment "
			"variable.", SL_REC_LOCATION_MAX);
	return 0;
}

static int insert(struct sl_record *record, int64_t id, const char *name, const char *location, struct sl_error *err)
{
	char own[SL_REC_LOCATION_MAX];
	int rc = location && *location ? 0 : default_location(record, id, own, err);
	if (rc)
		return rc;
	rc = from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO experiment(id, name, artifact_location, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?4)", "issi", id,
		name, location && *location ? location : own, sl_now_ms()));
	return rc == SL_E_CONFLICT ? sl_fail(err, SL_E_CONFLICT, "Experiment(name=%.600s) already exists.", name) : rc;
}

int sl_experiment_create(struct sl_record *record, const char *name, const char *artifact_location, const struct sl_pair *tags,
	size_t tag_count, const struct sl_change *change, int64_t *ret_id, struct sl_error *err)
{
	int64_t id;
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_name(name, err);
	if (!rc && artifact_location)
		rc = check_location(artifact_location, err);
	if (!rc)
		rc = sl_meta_int(record->meta, 1, &id, err, "SELECT max(id) + 1 FROM experiment", NULL);
	if (!rc)
		rc = insert(record, id, name, artifact_location, err);
	for (size_t i = 0; !rc && i < tag_count; i++)
		rc = put_tag(record, id, tags[i].name, tags[i].value, err);
	if (!rc)
		rc = entry(record, change, id, err);
	if (!rc)
		*ret_id = id;
	return rc;
}

static int make_default(struct sl_record *record, struct sl_error *err)
{
	int64_t there;
	int rc = sl_meta_int(record->meta, 0, &there, err, "SELECT 1 FROM experiment WHERE id = 0", NULL);
	if (rc || there)
		return rc;
	rc = sl_meta_begin(record->meta, err);
	if (rc)
		return rc;
	rc = sl_meta_int(record->meta, 0, &there, err, "SELECT 1 FROM experiment WHERE id = 0", NULL);
	if (!rc && !there)
		rc = insert(record, 0, "Default", NULL, err);
	return sl_meta_end(record->meta, rc, err);
}

int sl_experiments_prepare(struct sl_record *record, struct sl_error *err)
{
	int rc = make_default(record, err);
	return rc ? rc : sl_own_catch_up(record->meta, err);
}

int sl_experiment_rename(struct sl_record *record, const struct sl_experiment *experiment, const char *name,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_name(name, err);
	if (!rc && experiment->deleted)
		rc = sl_fail(err, SL_E_INVALID, "Cannot rename a non-active experiment.");
	if (!rc)
		rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE experiment SET name = ?2, updated_ms = ?3 WHERE id = ?1", "isi",
			experiment->id, name, sl_now_ms()));
	if (rc == SL_E_CONFLICT)
		return sl_fail(err, SL_E_CONFLICT, "Experiment(name=%.600s) already exists.", name);
	return rc ? rc : entry(record, change, experiment->id, err);
}

int sl_experiment_set_deleted(struct sl_record *record, const struct sl_experiment *experiment, bool deleted,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int64_t now = sl_now_ms();
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE experiment SET deleted = ?2, updated_ms = ?3 WHERE id = ?1", "iii",
		experiment->id, (int64_t)deleted, now));
	if (!rc)
		rc = from_rows(sl_meta_exec(record->meta, err,
			"UPDATE rec_run SET deleted = ?2, deleted_ms = CASE WHEN ?2 = 1 THEN ?3 END WHERE experiment = ?1 AND deleted = "
			"1 - ?2", "iii", experiment->id, (int64_t)deleted, now));
	return rc ? rc : entry(record, change, experiment->id, err);
}

static int check_active(const struct sl_experiment *experiment, struct sl_error *err)
{
	if (!experiment->deleted)
		return 0;
	return sl_fail(err, SL_E_INVALID, "The experiment %" PRId64 " must be in the 'active' state. Current state is deleted.",
		experiment->id);
}

int sl_experiment_set_tag(struct sl_record *record, const struct sl_experiment *experiment, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_active(experiment, err);
	if (!rc)
		rc = put_tag(record, experiment->id, name, value, err);
	return rc ? rc : entry(record, change, experiment->id, err);
}

int sl_experiment_delete_tag(struct sl_record *record, const struct sl_experiment *experiment, const char *name,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_active(experiment, err);
	int64_t rows = rc ? rc : sl_meta_exec(record->meta, err, "DELETE FROM experiment_tag WHERE experiment = ?1 AND name = ?2", "is",
					experiment->id, name);
	if (rows == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "No tag with name: %.300s in experiment with id %" PRId64, name, experiment->id);
	return rows < 0 ? (int)rows : entry(record, change, experiment->id, err);
}

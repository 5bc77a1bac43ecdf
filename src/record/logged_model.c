#include "record/logged_model.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "os/clock.h"
#include "record/limits.h"

#define COLUMNS "num, id, experiment, name, artifact_uri, status, model_type, run, deleted, created_ms, updated_ms"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_logged_model *model, struct sl_error *err)
{
	return sl_record_entry(record, change, "logged", model->id, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_logged_model *ret, struct sl_error *err)
{
	*ret = (struct sl_logged_model){
		.num = sl_stmt_int(row, 0), .id = sl_arena_strdup(arena, sl_stmt_text(row, 1)), .experiment = sl_stmt_int(row, 2),
		.name = sl_arena_strdup(arena, sl_stmt_text(row, 3)), .artifact_uri = sl_arena_strdup(arena, sl_stmt_text(row, 4)),
		.status = sl_arena_strdup(arena, sl_stmt_text(row, 5)), .model_type = sl_arena_strdup(arena, sl_stmt_text(row, 6)),
		.run = sl_arena_strdup(arena, sl_stmt_text(row, 7)), .deleted = sl_stmt_int(row, 8), .created_ms = sl_stmt_int(row, 9),
		.updated_ms = sl_stmt_int(row, 10)};
	return ret->id && ret->name && ret->artifact_uri && ret->status && ret->model_type && ret->run ? 0 : sl_fail_memory(err);
}

int sl_logged_model_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_logged_model *ret,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM logged_model WHERE id = ?1 AND deleted = 0", "s", id);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Logged model with ID '%.256s' not found.", id);
	return rc < 0 ? rc : fill(row, arena, ret, err);
}

int sl_logged_model_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_logged_model *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM logged_model WHERE num = ?1", "i", num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	rc = fill(row, arena, ret, err);
	return rc ? rc : 1;
}

int sl_logged_model_metrics(struct sl_record *record, const struct sl_logged_model *model, sl_logged_metric_fn *each, void *context,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT m.name, m.value, m.time_ms, m.step, m.dataset_name, m.dataset_digest, r.id FROM rec_model_metric m JOIN rec_run r ON "
		"r.num = m.run WHERE m.model = ?1 AND NOT EXISTS (SELECT 1 FROM rec_model_metric l WHERE l.model = m.model AND l.name = m.name "
		"AND l.run = m.run AND l.dataset_name = m.dataset_name AND l.dataset_digest = m.dataset_digest AND (l.step > m.step OR (l.step "
		"= m.step AND l.time_ms > m.time_ms))) ORDER BY m.name, m.dataset_name, m.run", "s", model->id);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		struct sl_id id;
		char run[SL_ID_HEX + 1];
		if (!sl_id_parse(sl_stmt_text(row, 6), &id))
			return sl_fail(err, SL_E_CORRUPT, "a run has the id '%.64s'", sl_stmt_text(row, 6));
		sl_id_hex(&id, run);
		struct sl_logged_metric metric = {
			.name = sl_stmt_text(row, 0), .value = sl_stmt_null(row, 1) ? (double)NAN : sl_stmt_double(row, 1),
			.time_ms = sl_stmt_int(row, 2), .step = sl_stmt_int(row, 3), .dataset_name = sl_stmt_text(row, 4),
			.dataset_digest = sl_stmt_text(row, 5), .run = run};
		rc = each(context, &metric, err);
	}
	return rc;
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static int check_name(const char *name, struct sl_error *err)
{
	if (!strpbrk(name, "/:.%\"'"))
		return 0;
	return sl_fail(err, SL_E_INVALID, "Invalid model name ('%.300s') provided. Model name must be a non-empty string and cannot contain "
		"the following characters: ('/', ':', '.', '%%', '\"', \"'\")", name);
}

static int insert(struct sl_record *record, const struct sl_logged_model *model, struct sl_error *err)
{
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO logged_model(num, id, experiment, name, artifact_uri, status, model_type, run, created_ms, updated_ms) VALUES "
		"(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)", "isisssssi", model->num, model->id, model->experiment, model->name,
		model->artifact_uri, model->status, model->model_type, model->run, model->created_ms));
}

int sl_logged_model_create(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_logged_model_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_logged_model *ret, struct sl_error *err)
{
	struct sl_id id;
	char hex[SL_ID_HEX + 1];
	assert(sl_meta_in_transaction(record->meta));
	if (experiment->deleted)
		return sl_fail(err, SL_E_INVALID, "The experiment %" PRId64 " must be in the 'active' state. Current state is deleted.",
			experiment->id);
	int rc = start->name ? check_name(start->name, err) : 0;
	if (!rc && start->id && (strncmp(start->id, "m-", 2) != 0 || !sl_id_parse_hex(start->id + 2, &id)))
		rc = sl_fail(err, SL_E_INVALID, "'%.64s' is not the id of a logged model", start->id);
	else if (!rc && !start->id)
		rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	sl_id_hex(&id, hex);
	struct sl_logged_model model = {.experiment = experiment->id, .status = "LOGGED_MODEL_PENDING", .created_ms = sl_now_ms()};
	model.updated_ms = model.created_ms;
	model.model_type = start->model_type ? start->model_type : "";
	model.run = start->run ? start->run : "";
	model.id = sl_arena_printf(arena, "m-%s", hex);
	model.name = start->name ? start->name : sl_arena_printf(arena, "model-%.8s", hex + 24);
	model.artifact_uri = sl_arena_printf(arena, "%s/models/m-%s/artifacts", experiment->artifact_location, hex);
	if (!model.id || !model.name || !model.artifact_uri)
		return sl_fail_memory(err);
	rc = sl_meta_int(record->meta, 1, &model.num, err, "SELECT max(num) + 1 FROM logged_model", NULL);
	rc = rc ? rc : insert(record, &model, err);
	rc = rc ? rc : sl_pairs_put(record, SL_PAIR_LOGGED_TAG, model.num, start->tags, start->tag_count, "tags", err);
	rc = rc ? rc : sl_pairs_put(record, SL_PAIR_LOGGED_PARAM, model.num, start->params, start->param_count, "params", err);
	rc = rc ? rc : entry(record, change, &model, err);
	if (!rc)
		*ret = model;
	return rc;
}

int sl_logged_model_finalize(struct sl_record *record, struct sl_logged_model *model, const char *status, const struct sl_change *change,
	struct sl_error *err)
{
	static const char *const STATUSES[] = {"LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"};
	assert(sl_meta_in_transaction(record->meta));
	for (size_t i = 0; i < SL_ARRAY_LEN(STATUSES); i++)
		if (strcmp(status, STATUSES[i]) == 0)
			model->status = STATUSES[i];
	if (strcmp(status, model->status) != 0)
		return sl_fail(err, SL_E_INVALID, "Invalid model status: %.100s", status);
	model->updated_ms = sl_now_ms();
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE logged_model SET status = ?2, updated_ms = ?3 WHERE num = ?1", "isi",
		model->num, model->status, model->updated_ms));
	return rc ? rc : entry(record, change, model, err);
}

int sl_logged_model_delete(struct sl_record *record, const struct sl_logged_model *model, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE logged_model SET deleted = 1, updated_ms = ?2 WHERE num = ?1", "ii",
		model->num, sl_now_ms()));
	return rc ? rc : entry(record, change, model, err);
}

int sl_logged_model_tag(struct sl_record *record, const struct sl_logged_model *model, const struct sl_pair *tags, size_t count,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_pairs_put(record, SL_PAIR_LOGGED_TAG, model->num, tags, count, "tags", err);
	return rc ? rc : entry(record, change, model, err);
}

int sl_logged_model_untag(struct sl_record *record, const struct sl_logged_model *model, const char *name, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int64_t rows = sl_pair_delete(record, SL_PAIR_LOGGED_TAG, model->num, name, err);
	if (rows == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "No tag with key '%.250s' found for model with ID '%s'.", name, model->id);
	return rows < 0 ? (int)rows : entry(record, change, model, err);
}

int sl_logged_model_params(struct sl_record *record, const struct sl_logged_model *model, const struct sl_pair *params, size_t count,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_pairs_put(record, SL_PAIR_LOGGED_PARAM, model->num, params, count, "params", err);
	return rc ? rc : entry(record, change, model, err);
}

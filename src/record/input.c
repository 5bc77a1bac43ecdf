#include "record/input.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/limits.h"

enum { TAGS_MAX = 1 << 20 };

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_id id;
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	return sl_record_entry(record, change, "run", id.text, err);
}

static int check_dataset(const struct sl_rec_dataset *dataset, struct sl_error *err)
{
	const struct { const char *value; size_t max; const char *name; bool needed; } rules[] = {
		{dataset->name, SL_REC_DATASET_NAME_MAX, "name", true}, {dataset->digest, SL_REC_DATASET_DIGEST_MAX, "digest", true},
		{dataset->source_type, SL_REC_DATASET_SOURCE_MAX, "source_type", true},
		{dataset->source, SL_REC_DATASET_SOURCE_MAX, "source", true},
		{dataset->schema, SL_REC_DATASET_SCHEMA_MAX, "schema", false},
		{dataset->profile, SL_REC_DATASET_PROFILE_MAX, "profile", false}};
	int rc = 0;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(rules); i++) {
		if (rules[i].needed && !rules[i].value)
			return sl_fail(err, SL_E_INVALID, "Dataset %s cannot be None", rules[i].name);
		rc = sl_rec_check_length(rules[i].value, rules[i].max, rules[i].name, err);
	}
	for (size_t i = 0; !rc && i < dataset->tag_count; i++) {
		rc = sl_rec_check_length(dataset->tags[i].name, SL_REC_INPUT_TAG_KEY_MAX, "key", err);
		if (!rc)
			rc = sl_rec_check_length(dataset->tags[i].value, SL_REC_INPUT_TAG_VALUE_MAX, "value", err);
	}
	return rc;
}

static void write_tags(const struct sl_rec_dataset *dataset, struct sl_buf *out)
{
	sl_buf_char(out, '[');
	for (size_t i = 0; i < dataset->tag_count; i++) {
		sl_buf_str(out, i ? ",{\"key\":" : "{\"key\":");
		sl_json_string(out, dataset->tags[i].name, strlen(dataset->tags[i].name));
		sl_buf_str(out, ",\"value\":");
		sl_json_string(out, dataset->tags[i].value, strlen(dataset->tags[i].value));
		sl_buf_char(out, '}');
	}
	sl_buf_char(out, ']');
}

static int put_dataset(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_dataset *dataset,
	struct sl_error *err)
{
	struct sl_buf tags SL_AUTO_BUF = SL_BUF_INIT(TAGS_MAX);
	int64_t id;
	int rc = check_dataset(dataset, err);
	if (!rc)
		rc = from_rows(sl_meta_exec(record->meta, err,
			"INSERT INTO rec_dataset(experiment, name, digest, source_type, source, schema, profile) VALUES (?1, ?2, ?3, ?4, ?5, "
			"?6, ?7) ON CONFLICT DO NOTHING", "issssss", run->experiment, dataset->name, dataset->digest, dataset->source_type,
			dataset->source, dataset->schema, dataset->profile));
	if (!rc)
		rc = sl_meta_int(record->meta, 0, &id, err,
			"SELECT id FROM rec_dataset WHERE experiment = ?1 AND name = ?2 AND digest = ?3", "iss", run->experiment,
			dataset->name, dataset->digest);
	if (rc)
		return rc;
	write_tags(dataset, &tags);
	rc = sl_buf_check(&tags, "the dataset's tags", err);
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO rec_input(run, dataset, context, tags) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING", "iiss", run->num, id,
		dataset->context, sl_buf_cstr(&tags)));
}

static int put_models(struct sl_record *record, const struct sl_rec_run *run, const char *direction,
	const struct sl_rec_model *models, size_t count, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++)
		rc = from_rows(sl_meta_exec(record->meta, err,
			"INSERT INTO rec_run_model(run, direction, model, step) VALUES (?1, ?2, ?3, ?4) "
			"ON CONFLICT(run, direction, model) DO UPDATE SET step = excluded.step", "issi", run->num, direction, models[i].id,
			models[i].step));
	return rc;
}

int sl_rec_log_inputs(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_dataset *datasets, size_t count,
	const struct sl_rec_model *models, size_t model_count, const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_rec_run_check_active(run, err);
	for (size_t i = 0; !rc && i < count; i++)
		rc = put_dataset(record, run, &datasets[i], err);
	if (!rc)
		rc = put_models(record, run, "in", models, model_count, err);
	return rc ? rc : entry(record, change, run, err);
}

int sl_rec_log_outputs(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_model *models, size_t count,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_rec_run_check_active(run, err);
	if (!rc)
		rc = put_models(record, run, "out", models, count, err);
	return rc ? rc : entry(record, change, run, err);
}

int sl_rec_inputs(struct sl_record *record, int64_t run, sl_rec_dataset_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err,
		"SELECT d.name, d.digest, d.source_type, d.source, d.schema, d.profile, i.context, i.tags FROM rec_input i JOIN "
		"rec_dataset d ON d.id = i.dataset WHERE i.run = ?1 ORDER BY i.dataset", "i", run);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_rec_dataset dataset = {
			.name = sl_stmt_text(stmt, 0), .digest = sl_stmt_text(stmt, 1), .source_type = sl_stmt_text(stmt, 2),
			.source = sl_stmt_text(stmt, 3), .schema = sl_stmt_null(stmt, 4) ? NULL : sl_stmt_text(stmt, 4),
			.profile = sl_stmt_null(stmt, 5) ? NULL : sl_stmt_text(stmt, 5), .context = sl_stmt_text(stmt, 6),
			.tags_json = sl_stmt_text(stmt, 7)};
		rc = each(context, &dataset, err);
	}
	return rc;
}

int sl_rec_dataset_summaries(struct sl_record *record, int64_t experiment, int64_t max, sl_rec_dataset_fn *each, void *context,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT DISTINCT d.name, d.digest, i.context FROM rec_dataset d JOIN rec_input i ON i.dataset = d.id WHERE d.experiment = ?1 "
		"ORDER BY d.name, d.digest, i.context LIMIT ?2", "ii", experiment, max);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		struct sl_rec_dataset dataset = {.name = sl_stmt_text(row, 0), .digest = sl_stmt_text(row, 1), .context = sl_stmt_text(row, 2)};
		rc = each(context, &dataset, err);
	}
	return rc;
}

int sl_rec_models(struct sl_record *record, int64_t run, bool outputs, sl_rec_model_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err,
		"SELECT model, step FROM rec_run_model WHERE run = ?1 AND direction = ?2 ORDER BY model", "is", run,
		outputs ? "out" : "in");
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_rec_model model = {sl_stmt_text(stmt, 0), sl_stmt_int(stmt, 1)};
		rc = each(context, &model, err);
	}
	return rc;
}

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "os/clock.h"
#include "record/registry.h"
#include "record/registry_source.h"

#define COLUMNS \
	"v.num, v.model, m.name, v.version, v.stage, v.description, v.source, v.storage, v.run, v.run_link, v.logged_model, v.created_ms, " \
	"v.updated_ms"
#define FROM " FROM reg_version v JOIN reg_model m ON m.num = v.model"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_reg_version *version, struct sl_error *err)
{
	char id[64];
	snprintf(id, sizeof id, "%.30s@%" PRId64, version->model, version->version);
	return sl_record_entry(record, change, "registered", id, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_reg_version *ret, struct sl_error *err)
{
	const char **const texts[] = {&ret->model, NULL, &ret->stage, &ret->description, &ret->source, &ret->storage, &ret->run,
		&ret->run_link, &ret->logged_model};
	*ret = (struct sl_reg_version){
		.num = sl_stmt_int(row, 0), .model_num = sl_stmt_int(row, 1), .version = sl_stmt_int(row, 3), .created_ms = sl_stmt_int(row, 11),
		.updated_ms = sl_stmt_int(row, 12)};
	for (int i = 0; i < (int)SL_ARRAY_LEN(texts); i++) {
		if (!texts[i])
			continue;
		*texts[i] = sl_arena_strdup(arena, sl_stmt_text(row, i + 2));
		if (!*texts[i])
			return sl_fail_memory(err);
	}
	return 0;
}

int sl_reg_version_get(struct sl_record *record, const char *name, const char *version, struct sl_arena *arena, struct sl_reg_version *ret,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int64_t number;
	if (!sl_str_int(version, &number))
		return sl_fail(err, SL_E_INVALID, "Parameter 'version' must be an integer, got '%.100s'.", version);
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS FROM " WHERE m.name = ?1 AND v.version = ?2 AND v.deleted = 0", "si",
		name, number);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Model Version (name=%.300s, version=%" PRId64 ") not found", name, number);
	return rc < 0 ? rc : fill(row, arena, ret, err);
}

int sl_reg_version_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_reg_version *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS FROM " WHERE v.num = ?1", "i", num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Model Version not found");
	return rc < 0 ? rc : fill(row, arena, ret, err);
}

int sl_reg_latest(struct sl_record *record, const struct sl_reg_model *model, int64_t ret[SL_REG_STAGES], size_t *ret_count,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	*ret_count = 0;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT num, max(version) FROM reg_version WHERE model = ?1 AND deleted = 0 GROUP BY "
		"stage ORDER BY 2", "i", model->num);
	while (!rc && *ret_count < SL_REG_STAGES && (rc = sl_stmt_step(row, err)) == 1) {
		ret[(*ret_count)++] = sl_stmt_int(row, 0);
		rc = 0;
	}
	return rc;
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* The tag by which MLflow's pages show where a logged model is registered. */
static int tell_logged_model(struct sl_record *record, const struct sl_reg_version *version, struct sl_arena *arena, struct sl_error *err)
{
	static const char TAG[] = "mlflow.modelVersions";
	struct sl_logged_model model;
	const char *before;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 10), name SL_AUTO_BUF = SL_BUF_INIT(16 << 10);
	int rc = sl_logged_model_get(record, version->logged_model, arena, &model, err);
	rc = rc ? rc : sl_pair_get(record, SL_PAIR_LOGGED_TAG, model.num, TAG, arena, &before, err);
	if (rc)
		return rc;
	size_t len = before ? strlen(before) : 0;
	bool more = len > 2 && before[len - 1] == ']';
	sl_json_string(&name, version->model, strlen(version->model));
	sl_buf_printf(&text, "%.*s%s{\"name\": %s, \"version\": %" PRId64 "}]", more ? (int)(len - 1) : 0, more ? before : "", more ? ", " : "[",
		sl_buf_cstr(&name), version->version);
	const struct sl_pair pair = {TAG, sl_buf_cstr(&text)};
	rc = sl_buf_check(&text, "the list of versions", err);
	return rc ? rc : sl_pair_put(record, SL_PAIR_LOGGED_TAG, model.num, &pair, "key", err);
}

static int insert(struct sl_record *record, const struct sl_reg_version *v, struct sl_error *err)
{
	int rc = from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO reg_version(num, model, version, stage, description, source, storage, run, run_link, logged_model, created_ms, "
		"updated_ms) VALUES (?1, ?2, ?3, 'None', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)", "iiissssssi", v->num, v->model_num, v->version,
		v->description, v->source, v->storage, v->run, v->run_link, v->logged_model, v->created_ms));
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_model SET updated_ms = ?2 WHERE num = ?1", "ii", v->model_num,
		v->created_ms));
}

static bool is_prompt(const struct sl_reg_version_new *new)
{
	for (size_t i = 0; i < new->tag_count; i++)
		if (strcmp(new->tags[i].name, "mlflow.prompt.is_prompt") == 0)
			return strcasecmp(new->tags[i].value, "true") == 0;
	return false;
}

int sl_reg_version_create(struct sl_record *record, const struct sl_reg_model *model, const struct sl_reg_version_new *new,
	const struct sl_change *change, struct sl_arena *arena, struct sl_reg_version *ret, struct sl_error *err)
{
	struct sl_reg_source source = {new->source, new->source, new->run, new->logged_model};
	struct sl_reg_version v = {.model_num = model->num, .model = model->name, .stage = "None", .created_ms = sl_now_ms()};
	assert(sl_meta_in_transaction(record->meta));
	int rc = is_prompt(new) ? sl_reg_source_of_prompt(new->source, err) : sl_reg_source_resolve(record, &source, arena, err);
	rc = rc ? rc : sl_meta_int(record->meta, 1, &v.num, err, "SELECT max(num) + 1 FROM reg_version", NULL);
	rc = rc ? rc : sl_meta_int(record->meta, 1, &v.version, err, "SELECT max(version) + 1 FROM reg_version WHERE model = ?1", "i", model->num);
	if (rc)
		return rc;
	v.updated_ms = v.created_ms;
	v.description = new->description ? new->description : "";
	v.run_link = new->run_link ? new->run_link : "";
	v.source = source.source;
	v.storage = source.storage;
	v.run = source.run ? source.run : "";
	v.logged_model = source.logged_model ? source.logged_model : "";
	rc = insert(record, &v, err);
	rc = rc ? rc : sl_pairs_put(record, SL_PAIR_VERSION_TAG, v.num, new->tags, new->tag_count, "tags", err);
	if (!rc && *v.logged_model)
		rc = tell_logged_model(record, &v, arena, err);
	rc = rc ? rc : entry(record, change, &v, err);
	if (!rc)
		*ret = v;
	return rc;
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

int sl_reg_version_describe(struct sl_record *record, struct sl_reg_version *version, const char *description,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	version->description = description;
	version->updated_ms = sl_now_ms();
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_version SET description = ?2, updated_ms = ?3 WHERE num = ?1", "isi",
		version->num, description, version->updated_ms));
	return rc ? rc : entry(record, change, version, err);
}

const char *sl_reg_stage(const char *stage, struct sl_error *err)
{
	static const char *const STAGES[SL_REG_STAGES] = {"None", "Staging", "Production", "Archived"};
	for (size_t i = 0; i < SL_REG_STAGES; i++)
		if (strcasecmp(stage, STAGES[i]) == 0)
			return STAGES[i];
	sl_fail(err, SL_E_INVALID, "Invalid Model Version stage: %.100s. Value must be one of None, Staging, Production, Archived.", stage);
	return NULL;
}

int sl_reg_version_transition(struct sl_record *record, struct sl_reg_version *version, const char *stage, bool archive,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	const char *to = sl_reg_stage(stage, err);
	int64_t now = sl_now_ms();
	if (!to)
		return SL_E_INVALID;
	if (archive && strcmp(to, "Staging") != 0 && strcmp(to, "Production") != 0)
		return sl_fail(err, SL_E_INVALID, "Model version transition cannot archive existing model versions because '%.100s' is not an Active "
			"stage. Valid stages are ['Staging', 'Production']", stage);
	int rc = archive ? from_rows(sl_meta_exec(record->meta, err,
		"UPDATE reg_version SET stage = 'Archived', updated_ms = ?3 WHERE model = ?1 AND stage = ?2 AND deleted = 0", "isi",
		version->model_num, to, now)) : 0;
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_version SET stage = ?2, updated_ms = ?3 WHERE num = ?1", "isi",
		version->num, to, now));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_model SET updated_ms = ?2 WHERE num = ?1", "ii", version->model_num,
		now));
	version->stage = to;
	version->updated_ms = now;
	return rc ? rc : entry(record, change, version, err);
}

/* The row stays, so that its number does not come again, but says nothing any more. */
int sl_reg_version_delete(struct sl_record *record, const struct sl_reg_version *version, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int64_t now = sl_now_ms();
	int rc = from_rows(sl_meta_exec(record->meta, err,
		"UPDATE reg_version SET deleted = 1, stage = 'None', description = '', source = '', storage = '', run = '', run_link = '', "
		"logged_model = '', updated_ms = ?2 WHERE num = ?1", "ii", version->num, now));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "DELETE FROM reg_alias WHERE model = ?1 AND version = ?2", "ii",
		version->model_num, version->version));
	rc = rc ? rc : sl_pairs_delete(record, SL_PAIR_VERSION_TAG, version->num, err);
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_model SET updated_ms = ?2 WHERE num = ?1", "ii", version->model_num,
		now));
	return rc ? rc : entry(record, change, version, err);
}

int sl_reg_version_set_tag(struct sl_record *record, const struct sl_reg_version *version, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err)
{
	const struct sl_pair pair = {name, value};
	assert(sl_meta_in_transaction(record->meta));
	int rc = value ? sl_pair_put(record, SL_PAIR_VERSION_TAG, version->num, &pair, "key", err)
		       : from_rows(sl_pair_delete(record, SL_PAIR_VERSION_TAG, version->num, name, err));
	return rc ? rc : entry(record, change, version, err);
}

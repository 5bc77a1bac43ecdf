/* Registered models and their aliases; versions are in registry_version.c. */
#include "record/registry.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "os/clock.h"
#include "record/limits.h"

#define COLUMNS "num, name, description, created_ms, updated_ms"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_reg_model *model, struct sl_error *err)
{
	return sl_record_entry(record, change, "registered", model->name, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err)
{
	*ret = (struct sl_reg_model){
		.num = sl_stmt_int(row, 0), .name = sl_arena_strdup(arena, sl_stmt_text(row, 1)),
		.description = sl_arena_strdup(arena, sl_stmt_text(row, 2)), .created_ms = sl_stmt_int(row, 3),
		.updated_ms = sl_stmt_int(row, 4)};
	return ret->name && ret->description ? 0 : sl_fail_memory(err);
}

int sl_reg_model_get(struct sl_record *record, const char *name, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM reg_model WHERE name = ?1", "s", name);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Registered Model with name=%.300s not found", name);
	return rc < 0 ? rc : fill(row, arena, ret, err);
}

int sl_reg_model_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM reg_model WHERE num = ?1", "i", num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Registered Model not found");
	return rc < 0 ? rc : fill(row, arena, ret, err);
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static int check_name(const char *name, const char *what, struct sl_error *err)
{
	if (strspn(name, " \t\r\n") == strlen(name))
		return sl_fail(err, SL_E_INVALID, "Missing value for required parameter '%s'.", what);
	if (strpbrk(name, "/:"))
		return sl_fail(err, SL_E_INVALID, "Invalid model name '%.300s'. Names cannot contain '/' or ':'.", name);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return sl_rec_invalid(err, "name", name, "Names may be treated as files in certain cases, and must not resolve to other names "
			"when treated as such.");
	return sl_rec_check_length(name, SL_REG_NAME_MAX, "name", err);
}

static int exists(const char *name, struct sl_error *err)
{
	return sl_fail(err, SL_E_CONFLICT, "Registered Model (name=%.300s) already exists.", name);
}

int sl_reg_model_create(struct sl_record *record, const char *name, const char *description, const struct sl_pair *tags, size_t tag_count,
	const struct sl_change *change, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err)
{
	int64_t num;
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_name(name, "name", err);
	rc = rc ? rc : sl_meta_int(record->meta, 1, &num, err, "SELECT max(num) + 1 FROM reg_model", NULL);
	if (rc)
		return rc;
	rc = from_rows(sl_meta_exec(record->meta, err, "INSERT INTO reg_model(num, name, description, created_ms, updated_ms) VALUES (?1, ?2, "
		"?3, ?4, ?4)", "issi", num, name, description ? description : "", sl_now_ms()));
	if (rc == SL_E_CONFLICT)
		return exists(name, err);
	rc = rc ? rc : sl_pairs_put(record, SL_PAIR_MODEL_TAG, num, tags, tag_count, "tags", err);
	rc = rc ? rc : sl_reg_model_at(record, num, arena, ret, err);
	return rc ? rc : entry(record, change, ret, err);
}

int sl_reg_model_rename(struct sl_record *record, struct sl_reg_model *model, const char *name, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int64_t now = sl_now_ms();
	int rc = check_name(name, "new_name", err);
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_model SET name = ?2, updated_ms = ?3 WHERE num = ?1", "isi",
		model->num, name, now));
	if (rc == SL_E_CONFLICT)
		return exists(name, err);
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_version SET updated_ms = ?2 WHERE model = ?1 AND deleted = 0", "ii",
		model->num, now));
	rc = rc ? rc : entry(record, change, model, err); /* under the name that it had */
	model->name = name;
	model->updated_ms = now;
	return rc;
}

int sl_reg_model_describe(struct sl_record *record, struct sl_reg_model *model, const char *description, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	model->description = description;
	model->updated_ms = sl_now_ms();
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE reg_model SET description = ?2, updated_ms = ?3 WHERE num = ?1", "isi",
		model->num, description, model->updated_ms));
	return rc ? rc : entry(record, change, model, err);
}

int sl_reg_model_delete(struct sl_record *record, const struct sl_reg_model *model, const struct sl_change *change, struct sl_error *err)
{
	static const char *const STATEMENTS[] = {
		"DELETE FROM reg_pair WHERE kind = 2 AND owner IN (SELECT num FROM reg_version WHERE model = ?1)",
		"DELETE FROM reg_version WHERE model = ?1", "DELETE FROM reg_alias WHERE model = ?1",
		"DELETE FROM reg_pair WHERE kind = 1 AND owner = ?1", "DELETE FROM reg_model WHERE num = ?1"};
	int rc = 0;
	assert(sl_meta_in_transaction(record->meta));
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(STATEMENTS); i++)
		rc = from_rows(sl_meta_exec(record->meta, err, STATEMENTS[i], "i", model->num));
	return rc ? rc : entry(record, change, model, err);
}

int sl_reg_model_set_tag(struct sl_record *record, const struct sl_reg_model *model, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err)
{
	const struct sl_pair pair = {name, value};
	assert(sl_meta_in_transaction(record->meta));
	int rc = value ? sl_pair_put(record, SL_PAIR_MODEL_TAG, model->num, &pair, "key", err)
		       : from_rows(sl_pair_delete(record, SL_PAIR_MODEL_TAG, model->num, name, err));
	return rc ? rc : entry(record, change, model, err);
}

/* ---- aliases -------------------------------------------------------------------------------------------------------- */

static int check_alias(const char *alias, struct sl_error *err)
{
	for (const char *c = alias; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-' && (unsigned char)*c < 128)
			return sl_fail(err, SL_E_INVALID, "Invalid alias name: '%.300s'. Names may only contain alphanumerics, underscores (_), and "
				"dashes (-).", alias);
	return sl_rec_check_length(alias, SL_REG_ALIAS_MAX, "Registered model alias name", err);
}

static int check_reserved(const char *alias, struct sl_error *err)
{
	if (strcasecmp(alias, "latest") == 0)
		return sl_fail(err, SL_E_INVALID, "'latest' alias name (case insensitive) is reserved.");
	if ((alias[0] | 32) == 'v' && alias[1] && strspn(alias + 1, "0123456789") == strlen(alias + 1))
		return sl_fail(err, SL_E_INVALID, "Version alias name '%.300s' is reserved.", alias);
	return 0;
}

int sl_reg_alias_set(struct sl_record *record, const struct sl_reg_model *model, const char *alias, const struct sl_reg_version *version,
	const struct sl_change *change, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_alias(alias, err);
	if (!rc && version)
		rc = check_reserved(alias, err);
	if (!rc && version)
		rc = from_rows(sl_meta_exec(record->meta, err, "INSERT INTO reg_alias(model, alias, version) VALUES (?1, ?2, ?3) ON CONFLICT "
			"(model, alias) DO UPDATE SET version = excluded.version", "isi", model->num, alias, version->version));
	if (!rc && !version)
		rc = from_rows(sl_meta_exec(record->meta, err, "DELETE FROM reg_alias WHERE model = ?1 AND alias = ?2", "is", model->num, alias));
	return rc ? rc : entry(record, change, model, err);
}

int sl_reg_alias_get(struct sl_record *record, const struct sl_reg_model *model, const char *alias, struct sl_arena *arena,
	struct sl_reg_version *ret, struct sl_error *err)
{
	int64_t num;
	int rc = check_alias(alias, err);
	if (rc)
		return rc;
	if (strcasecmp(alias, "latest") == 0) {
		rc = sl_meta_int(record->meta, 0, &num, err, "SELECT num FROM reg_version WHERE model = ?1 AND deleted = 0 ORDER BY version DESC "
			"LIMIT 1", "i", model->num);
		if (!rc && !num)
			return sl_fail(err, SL_E_NOT_FOUND, "Latest version not found for model %.300s.", model->name);
	} else {
		rc = sl_meta_int(record->meta, 0, &num, err, "SELECT v.num FROM reg_alias a JOIN reg_version v ON v.model = a.model AND v.version "
			"= a.version WHERE a.model = ?1 AND a.alias = ?2", "is", model->num, alias);
		if (!rc && !num)
			return sl_fail(err, SL_E_INVALID, "Registered model alias %.300s not found.", alias);
	}
	return rc ? rc : sl_reg_version_at(record, num, arena, ret, err);
}

int sl_reg_aliases(struct sl_record *record, int64_t model, sl_reg_alias_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT alias, version FROM reg_alias WHERE model = ?1 ORDER BY alias", "i", model);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1)
		rc = each(context, sl_stmt_text(row, 0), sl_stmt_int(row, 1));
	return rc;
}

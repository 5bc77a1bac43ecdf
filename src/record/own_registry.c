#include "record/own_registry.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "record/pair.h"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

int sl_own_next_version(struct sl_meta *meta, const char *model, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(meta, 1, ret, err,
		"SELECT 1 + max(n) FROM (SELECT max(version) AS n FROM model_version WHERE model = ?1 UNION ALL SELECT max(version) FROM "
		"reg_version WHERE model = (SELECT num FROM reg_model WHERE name = ?1))", "s", model);
}

static int find_model(struct sl_meta *meta, const char *model, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(meta, 0, ret, err, "SELECT num FROM reg_model WHERE name = ?1", "s", model);
}

static int make_model(struct sl_meta *meta, const char *model, int64_t now_ms, int64_t *ret, struct sl_error *err)
{
	int rc = find_model(meta, model, ret, err);
	if (rc || *ret)
		return rc;
	rc = sl_meta_int(meta, 1, ret, err, "SELECT max(num) + 1 FROM reg_model", NULL);
	return rc ? rc : from_rows(sl_meta_exec(meta, err,
		"INSERT INTO reg_model(num, name, description, created_ms, updated_ms) VALUES (?1, ?2, '', ?3, ?3)", "isi", *ret, model, now_ms));
}

/* The first run that made the package, as its clients know it; "" when none is on record. */
static int maker_of(struct sl_meta *meta, const char *package, char hex[SL_ID_HEX + 1], struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	struct sl_id id;
	hex[0] = 0;
	int rc = sl_meta_query(meta, &row, err, "SELECT run FROM run_output WHERE hash = ?1 ORDER BY run LIMIT 1", "s", package);
	if (!rc)
		rc = sl_stmt_step(row, err);
	if (rc == 1 && sl_id_parse(sl_stmt_text(row, 0), &id))
		sl_id_hex(&id, hex);
	return rc < 0 ? rc : 0;
}

static int insert(struct sl_meta *meta, int64_t model, int64_t version, const char *run, int64_t created_ms, struct sl_error *err)
{
	char source[96] = "";
	if (*run)
		snprintf(source, sizeof source, "mlflow-artifacts:/0/%s/artifacts/model", run);
	return from_rows(sl_meta_exec(meta, err,
		"INSERT INTO reg_version(num, model, version, source, storage, run, created_ms, updated_ms) SELECT coalesce(max(num), 0) + 1, ?1, ?2, "
		"?3, ?3, ?4, ?5, ?5 FROM reg_version", "iissi", model, version, source, run, created_ms));
}

int sl_own_version(struct sl_meta *meta, const char *model, int64_t version, const char *package, int64_t created_ms, struct sl_error *err)
{
	char run[SL_ID_HEX + 1];
	int64_t num, there;
	assert(sl_meta_in_transaction(meta));
	int rc = make_model(meta, model, created_ms, &num, err);
	if (!rc)
		rc = sl_meta_int(meta, 0, &there, err, "SELECT count(*) FROM reg_version WHERE model = ?1 AND version = ?2", "ii", num, version);
	if (rc || there)
		return rc;
	rc = maker_of(meta, package, run, err);
	return rc ? rc : insert(meta, num, version, run, created_ms, err);
}

int sl_own_version_status(struct sl_meta *meta, const char *model, int64_t version, const char *status, struct sl_error *err)
{
	struct sl_record record = {.meta = meta};
	const struct sl_pair tag = {"sluice.status", status};
	int64_t num;
	int rc = sl_meta_int(meta, 0, &num, err,
		"SELECT v.num FROM reg_version v JOIN reg_model m ON m.num = v.model WHERE m.name = ?1 AND v.version = ?2", "si", model, version);
	return rc || !num ? rc : sl_pair_put(&record, SL_PAIR_VERSION_TAG, num, &tag, "key", err);
}

int sl_own_alias(struct sl_meta *meta, const char *model, const char *alias, int64_t version, struct sl_error *err)
{
	int64_t num;
	int rc = find_model(meta, model, &num, err);
	if (rc || !num)
		return rc;
	if (!version)
		return from_rows(sl_meta_exec(meta, err, "DELETE FROM reg_alias WHERE model = ?1 AND alias = ?2", "is", num, alias));
	return from_rows(sl_meta_exec(meta, err,
		"INSERT INTO reg_alias(model, alias, version) VALUES (?1, ?2, ?3) ON CONFLICT(model, alias) DO UPDATE SET version = excluded.version",
		"isi", num, alias, version));
}

/* ---- versions of before ----------------------------------------------------------------------------------------------- */

static int show_versions(struct sl_meta *meta, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(meta, &row, err, "SELECT model, version, hash, created_ms, status FROM model_version ORDER BY model, version", NULL);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		const char *model = sl_stmt_text(row, 0);
		rc = sl_own_version(meta, model, sl_stmt_int(row, 1), sl_stmt_text(row, 2), sl_stmt_int(row, 3), err);
		rc = rc ? rc : sl_own_version_status(meta, model, sl_stmt_int(row, 1), sl_stmt_text(row, 4), err);
	}
	return rc;
}

/* Where a client's registry had the name already, its own aliases stand. */
static int show_aliases(struct sl_meta *meta, struct sl_error *err)
{
	return from_rows(sl_meta_exec(meta, err,
		"INSERT INTO reg_alias(model, alias, version) SELECT m.num, a.alias, a.version FROM model_alias a JOIN reg_model m ON m.name = a.model "
		"WHERE 1 = 1 ON CONFLICT DO NOTHING", ""));
}

int sl_own_registry_show(struct sl_meta *meta, struct sl_error *err)
{
	int rc = show_versions(meta, err);
	return rc ? rc : show_aliases(meta, err);
}

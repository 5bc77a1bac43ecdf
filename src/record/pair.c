#include "record/pair.h"

#include <stdio.h>

#include "record/limits.h"

/* Values are cut or refused by what they belong to: MLflow's own limits, in characters. */
static const size_t VALUE_MAX[] = {0, 100000, 100000, SL_REC_TAG_MAX, SL_REC_PARAM_MAX};

int sl_pairs_read(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, struct sl_arena *arena, struct sl_pair **ret,
	size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t count;
	int rc = sl_meta_int(record->meta, 0, &count, err, "SELECT count(*) FROM reg_pair WHERE kind = ?1 AND owner = ?2", "ii",
		(int64_t)kind, owner);
	struct sl_pair *pairs = rc ? NULL : sl_arena_array(arena, (size_t)count + 1, sizeof *pairs);
	if (!pairs)
		return rc ? rc : sl_fail_memory(err);
	size_t n = 0;
	rc = sl_meta_query(record->meta, &stmt, err, "SELECT name, value FROM reg_pair WHERE kind = ?1 AND owner = ?2 ORDER BY name",
		"ii", (int64_t)kind, owner);
	while (!rc && n < (size_t)count && (rc = sl_stmt_step(stmt, err)) == 1) {
		pairs[n].name = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
		pairs[n].value = sl_arena_strdup(arena, sl_stmt_text(stmt, 1));
		rc = pairs[n].name && pairs[n].value ? 0 : sl_fail_memory(err);
		n++;
	}
	*ret = pairs;
	*ret_count = n;
	return rc;
}

int sl_pair_get(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const char *name, struct sl_arena *arena,
	const char **ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	*ret = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT value FROM reg_pair WHERE kind = ?1 AND owner = ?2 AND name = ?3", "iis",
		(int64_t)kind, owner, name);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	*ret = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
	return *ret ? 0 : sl_fail_memory(err);
}

int sl_pair_put(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const struct sl_pair *pair, const char *path,
	struct sl_error *err)
{
	int rc = sl_rec_check_key(pair->name, path, err);
	if (!rc)
		rc = sl_rec_check_length(pair->name, SL_REC_KEY_MAX, "key", err);
	if (!rc)
		rc = sl_rec_check_length(pair->value, VALUE_MAX[kind], "value", err);
	if (rc)
		return rc;
	int64_t rows = sl_meta_exec(record->meta, err,
		"INSERT INTO reg_pair(kind, owner, name, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (kind, owner, name) DO UPDATE SET value = "
		"excluded.value", "iiss", (int64_t)kind, owner, pair->name, pair->value);
	return rows < 0 ? (int)rows : 0;
}

int sl_pairs_put(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const struct sl_pair *pairs, size_t count,
	const char *list, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++) {
		char path[64];
		snprintf(path, sizeof path, "%.30s[%zu].key", list, i);
		rc = sl_pair_put(record, kind, owner, &pairs[i], path, err);
	}
	return rc;
}

int64_t sl_pair_delete(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, const char *name, struct sl_error *err)
{
	return sl_meta_exec(record->meta, err, "DELETE FROM reg_pair WHERE kind = ?1 AND owner = ?2 AND name = ?3", "iis", (int64_t)kind,
		owner, name);
}

int sl_pairs_delete(struct sl_record *record, enum sl_pair_kind kind, int64_t owner, struct sl_error *err)
{
	int64_t rows = sl_meta_exec(record->meta, err, "DELETE FROM reg_pair WHERE kind = ?1 AND owner = ?2", "ii", (int64_t)kind, owner);
	return rows < 0 ? (int)rows : 0;
}

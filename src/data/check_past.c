#include "data/check_past.h"

#include <string.h>

#include "data/profile.h"

/* ---- finding ---------------------------------------------------------------------------------------------------------- */

struct needs { bool previous; size_t profiles, others; };

static struct needs look(const struct sl_check_job *job)
{
	struct needs needs = {0};

	for (size_t i = 0; i < job->count; i++) {
		const struct sl_check *check = &job->checks[i];
		size_t profiles = check->kind == SL_CHECK_CHANGE ? 1 : check->kind == SL_CHECK_ANOMALY ? (size_t)check->span : 0;
		needs.profiles = profiles > needs.profiles ? profiles : needs.profiles;
		needs.previous |= check->kind == SL_CHECK_SCHEMA
			|| (check->kind == SL_CHECK_DISTRIBUTION && strcmp(check->other, "previous") == 0);
		needs.others += sl_check_reads_dataset(check);
	}
	return needs;
}

static int find_others(struct sl_track *track, struct sl_objects *objects, size_t most, struct sl_arena *arena, struct sl_check_job *job,
		       struct sl_error *err)
{
	struct sl_sql_table *tables = sl_arena_array(arena, most + 1, sizeof *tables);

	if (!tables)
		return sl_fail_memory(err);
	job->tables = tables;
	for (size_t i = 0; i < job->count; i++) {
		const struct sl_check *check = &job->checks[i];
		struct sl_dataset_head head;
		bool known = !sl_check_reads_dataset(check);
		for (size_t k = 0; k < job->table_count && !known; k++)
			known = strcmp(tables[k].name, check->other) == 0;
		if (known)
			continue;
		int rc = sl_dataset_head(track, check->other, &head, err);
		if (rc == SL_E_NOT_FOUND)
			continue;
		rc = rc < 0 ? rc : sl_dataset_table(objects, check->other, &head.hash, arena, &tables[job->table_count], err);
		if (rc < 0)
			return rc;
		job->table_count++;
	}
	return 0;
}

static int keep_previous(struct sl_objects *objects, const char *hex, struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err)
{
	struct sl_hash hash;
	struct sl_manifest manifest;
	struct sl_sql_table *table = sl_arena_alloc(arena, sizeof *table);
	int rc = !table ? sl_fail_memory(err) : sl_hash_parse(hex, &hash) ? 0 : sl_fail(err, SL_E_CORRUPT, "'%.64s' is no version", hex);

	rc = rc < 0 ? rc : sl_manifest_read(objects, &hash, arena, &manifest, err);
	rc = rc < 0 ? rc : sl_dataset_table(objects, job->dataset, &hash, arena, table, err);
	if (rc < 0)
		return rc;
	job->previous = table;
	job->previous_columns = manifest.columns;
	job->previous_column_count = manifest.column_count;
	return 0;
}

static int find_versions(struct sl_track *track, struct sl_objects *objects, const struct needs *needs, int64_t before,
			 struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err)
{
	size_t most = needs->profiles ? needs->profiles : 1;
	const char **profiles = sl_arena_array(arena, most + 1, sizeof *profiles);
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = profiles ? 0 : sl_fail_memory(err);

	job->profiles = profiles;
	rc = rc ? rc : sl_meta_query(track->meta, &stmt, err,
				     "SELECT v.hash, p.profile FROM dataset_version v LEFT JOIN dataset_profile p ON p.hash = v.hash "
				     "WHERE v.dataset = ?1 AND v.seq < ?2 ORDER BY v.seq DESC LIMIT ?3",
				     "sii", job->dataset, before, (int64_t)most);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		rc = needs->previous && !job->previous ? keep_previous(objects, sl_stmt_text(stmt, 0), arena, job, err) : 0;
		const char *text = sl_stmt_text(stmt, 1);
		if (rc || !needs->profiles || !text || !*text)
			continue;
		if (!(profiles[job->profile_count++] = sl_arena_strdup(arena, text)))
			return sl_fail_memory(err);
	}
	return rc;
}

int sl_check_past_find(struct sl_track *track, struct sl_objects *objects, int64_t before, struct sl_arena *arena,
		       struct sl_check_job *job, struct sl_error *err)
{
	struct needs needs = look(job);
	int rc = needs.others ? find_others(track, objects, needs.others, arena, job, err) : 0;

	if (rc < 0 || (!needs.previous && !needs.profiles))
		return rc;
	return find_versions(track, objects, &needs, before, arena, job, err);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *table_json(yyjson_mut_doc *doc, const struct sl_sql_table *table)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_val *paths = yyjson_mut_arr_with_strcpy(doc, (const char **)(uintptr_t)table->paths, table->path_count);

	yyjson_mut_obj_add_strcpy(doc, root, "name", table->name);
	yyjson_mut_obj_add_strcpy(doc, root, "columns", table->columns ? table->columns : "");
	return paths && yyjson_mut_obj_add_val(doc, root, "paths", paths) ? root : NULL;
}

yyjson_mut_val *sl_check_past_json(yyjson_mut_doc *doc, const struct sl_check_job *job)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *tables = yyjson_mut_arr(doc), *columns = yyjson_mut_arr(doc);
	yyjson_mut_val *profiles = yyjson_mut_arr_with_strcpy(doc, (const char **)(uintptr_t)job->profiles, job->profile_count);

	for (size_t i = 0; i < job->table_count; i++)
		if (!yyjson_mut_arr_append(tables, table_json(doc, &job->tables[i])))
			return NULL;
	for (size_t i = 0; i < job->previous_column_count; i++) {
		yyjson_mut_val *column = yyjson_mut_arr_add_obj(doc, columns);
		yyjson_mut_obj_add_strcpy(doc, column, "name", job->previous_columns[i].name);
		yyjson_mut_obj_add_strcpy(doc, column, "type", job->previous_columns[i].type);
	}
	if (job->previous && !yyjson_mut_obj_add_val(doc, root, "previous", table_json(doc, job->previous)))
		return NULL;
	return yyjson_mut_obj_add_val(doc, root, "tables", tables) && yyjson_mut_obj_add_val(doc, root, "columns", columns)
			&& (!profiles || yyjson_mut_obj_add_val(doc, root, "profiles", profiles))
		? root
		: NULL;
}

static int parse_texts(yyjson_val *list, struct sl_arena *arena, const char ***ret, size_t *ret_count)
{
	const char **items = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof *items);
	yyjson_val *item;
	size_t i, max;

	*ret = items;
	*ret_count = 0;
	yyjson_arr_foreach(list, i, max, item)
		if (!items || !yyjson_is_str(item) || !(items[(*ret_count)++] = sl_arena_strdup(arena, yyjson_get_str(item))))
			return -1;
	return items ? 0 : -1;
}

static int parse_table(yyjson_val *object, struct sl_arena *arena, struct sl_sql_table *ret)
{
	const char **paths;

	*ret = (struct sl_sql_table){.name = sl_arena_strdup(arena, sl_json_str(object, "name", "")),
				     .columns = sl_arena_strdup(arena, sl_json_str(object, "columns", ""))};
	if (!ret->name || !ret->columns || parse_texts(yyjson_obj_get(object, "paths"), arena, &paths, &ret->path_count) < 0)
		return -1;
	ret->paths = paths;
	return 0;
}

static int parse_columns(yyjson_val *list, struct sl_arena *arena, struct sl_check_job *job)
{
	struct sl_data_column *columns = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof *columns);
	yyjson_val *item;
	size_t i, max;

	job->previous_columns = columns;
	yyjson_arr_foreach(list, i, max, item) {
		if (!columns)
			return -1;
		columns[i].name = sl_arena_strdup(arena, sl_json_str(item, "name", ""));
		columns[i].type = sl_arena_strdup(arena, sl_json_str(item, "type", ""));
		if (!columns[i].name || !columns[i].type)
			return -1;
		job->previous_column_count++;
	}
	return columns ? 0 : -1;
}

int sl_check_past_parse(yyjson_val *value, struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err)
{
	yyjson_val *tables = yyjson_obj_get(value, "tables"), *previous = yyjson_obj_get(value, "previous"), *item;
	struct sl_sql_table *parsed = sl_arena_array(arena, yyjson_arr_size(tables) + 2, sizeof *parsed);
	const char **profiles;
	size_t i, max;
	int rc = parsed ? 0 : -1;

	job->tables = parsed;
	yyjson_arr_foreach(tables, i, max, item)
		rc = rc ? rc : parse_table(item, arena, &parsed[job->table_count++]);
	if (rc == 0 && previous) {
		job->previous = &parsed[job->table_count];
		rc = parse_table(previous, arena, &parsed[job->table_count]);
	}
	rc = rc ? rc : parse_columns(yyjson_obj_get(value, "columns"), arena, job);
	rc = rc ? rc : parse_texts(yyjson_obj_get(value, "profiles"), arena, &profiles, &job->profile_count);
	if (rc < 0)
		return sl_fail(err, SL_E_INVALID, "what the checks compare with is incomplete");
	job->profiles = profiles;
	return 0;
}

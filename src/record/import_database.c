/* The database of MLflow's SQLAlchemy store (mlflow/store/tracking/dbmodels/models.py, store/model_registry/dbmodels/models.py), SQLite. */
#include "record/import.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "os/file.h"
#include "record/limits.h"

enum { PAIRS_MAX = 100000 };

struct reader {
	struct sl_import *import;
	struct sl_meta *from;
	const char *artifacts_dir; /* behind mlflow-artifacts:/ ; NULL: unknown */
};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static const char *copy(struct sl_stmt *row, int column, struct sl_arena *arena)
{
	return sl_arena_strdup(arena, sl_stmt_text(row, column)); /* NULL when memory is out */
}

/* The keys and values of `sql` (two columns), in the arena. */
static int read_pairs(struct reader *r, const char *sql, const char *types, const char *owner, int64_t number, struct sl_arena *arena,
	struct sl_pair **ret, size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	size_t room = 64;
	struct sl_pair *pairs = sl_arena_array(arena, room, sizeof *pairs);
	int rc = pairs ? sl_meta_query(r->from, &stmt, err, sql, types, owner, number) : sl_fail_memory(err);
	*ret_count = 0;
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		if (*ret_count == room) {
			struct sl_pair *more = room < PAIRS_MAX ? sl_arena_array(arena, room *= 2, sizeof *more) : NULL;
			if (!more)
				return sl_fail(err, SL_E_TOO_LARGE, "'%.200s' has more than %d tags or parameters", owner, PAIRS_MAX);
			memcpy(more, pairs, *ret_count * sizeof *more);
			pairs = more;
		}
		pairs[*ret_count] = (struct sl_pair){copy(stmt, 0, arena), copy(stmt, 1, arena)};
		rc = pairs[*ret_count].name && pairs[*ret_count].value ? 0 : sl_fail_memory(err);
		++*ret_count;
	}
	*ret = pairs;
	return rc;
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------ */

/* The folder on this machine that `uri` means; "" when it lies elsewhere or is not known. */
static int local_folder(const struct reader *r, const char *uri, char out[SL_PATH_MAX], struct sl_error *err)
{
	static const char PROXY[] = "mlflow-artifacts:/";
	*out = 0;
	if (strstr(uri, "..")) /* never out of the folder that was named */
		return 0;
	if (sl_str_starts(uri, PROXY)) {
		const char *path = uri + sizeof PROXY - 1;
		if (*path == '/') /* mlflow-artifacts://host/path */
			path += strcspn(path + 1, "/") + 1;
		return r->artifacts_dir ? sl_path_join(out, r->artifacts_dir, path + strspn(path, "/"), err) : 0;
	}
	if (sl_str_starts(uri, "file://"))
		uri += 7;
	else if (sl_str_starts(uri, "file:"))
		uri += 5;
	if (*uri == '/' && strlen(uri) < SL_PATH_MAX)
		strcpy(out, uri);
	return 0;
}

/* ---- runs ----------------------------------------------------------------------------------------------------------- */

static int import_metrics(struct reader *r, const char *run, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = NULL;
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_rec_metric points[SL_REC_BATCH_METRICS];
	size_t count = 0;
	int rc = sl_meta_query(r->from, &stmt, err, "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ?1 ORDER BY key", "s",
		run);
	for (bool more = true; !rc && more;) {
		if (!arena && !(arena = sl_arena_new(0, err)))
			return SL_E_NO_MEMORY;
		int step = sl_stmt_step(stmt, err);
		if (step < 0)
			return step;
		more = step == 1;
		if (more) {
			bool nan = sl_stmt_int(stmt, 4) != 0 || sl_stmt_null(stmt, 1);
			points[count++] = (struct sl_rec_metric){.name = copy(stmt, 0, arena), .value = nan ? (double)NAN : sl_stmt_double(stmt, 1),
				.time_ms = sl_stmt_int(stmt, 2), .step = sl_stmt_int(stmt, 3), .model = "", .dataset_name = "", .dataset_digest = ""};
			if (!points[count - 1].name)
				return sl_fail_memory(err);
		}
		if (count == SL_REC_BATCH_METRICS || (!more && count)) {
			rc = sl_import_metrics(r->import, points, count, arena, err);
			count = 0;
			sl_arena_free(arena);
			arena = NULL;
		}
	}
	return rc;
}

static int import_body(struct reader *r, const struct sl_import_run *run, const char *uri, struct sl_error *err)
{
	char folder[SL_PATH_MAX];
	int rc = import_metrics(r, run->id, err);
	if (!rc)
		rc = local_folder(r, uri, folder, err);
	if (!rc && *folder)
		rc = sl_import_artifacts(r->import, folder, "", err);
	return rc ? rc : sl_import_run_end(r->import, run, err);
}

static int import_run(struct reader *r, const struct sl_experiment *experiment, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	struct sl_import_run run = {.id = copy(row, 0, arena), .name = copy(row, 1, arena), .user = copy(row, 2, arena),
		.status = sl_rec_status_valid(sl_stmt_text(row, 3)) ? copy(row, 3, arena) : "FINISHED", .started_ms = sl_stmt_int(row, 4),
		.ended = !sl_stmt_null(row, 5), .ended_ms = sl_stmt_int(row, 5), .deleted = strcmp(sl_stmt_text(row, 6), "deleted") == 0};
	const char *uri = copy(row, 7, arena);
	struct sl_pair *tags, *params;
	if (!run.id || !run.name || !run.user || !run.status || !uri)
		return sl_fail_memory(err);
	int rc = read_pairs(r, "SELECT key, value FROM tags WHERE run_uuid = ?1 ORDER BY key", "s", run.id, 0, arena, &tags, &run.tag_count, err);
	if (!rc)
		rc = read_pairs(r, "SELECT key, value FROM params WHERE run_uuid = ?1 ORDER BY key", "s", run.id, 0, arena, &params,
			&run.param_count, err);
	if (rc)
		return rc;
	run.tags = tags;
	run.params = params;
	rc = sl_import_run_begin(r->import, experiment, &run, arena, err);
	if (rc == 1)
		rc = import_body(r, &run, uri, err);
	sl_import_drop(r->import);
	return rc;
}

static int import_experiment(struct reader *r, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_experiment experiment;
	struct sl_pair *tags;
	size_t count;
	const char *id = arena ? copy(row, 0, arena) : NULL;
	int rc = id ? read_pairs(r, "SELECT key, value FROM experiment_tags WHERE experiment_id = ?1 ORDER BY key", "s", id, 0, arena, &tags, &count,
				    err) : sl_fail_memory(err);
	if (!rc)
		rc = sl_import_experiment(r->import, id, sl_stmt_text(row, 1), tags, count, strcmp(sl_stmt_text(row, 2), "deleted") == 0, arena,
			&experiment, err);
	if (!rc)
		rc = sl_meta_query(r->from, &stmt, err, "SELECT run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri FROM "
			"runs WHERE experiment_id = ?1 ORDER BY start_time, run_uuid", "s", id);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = import_run(r, &experiment, stmt, err);
	return rc;
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

static int import_version(struct reader *r, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_stmt *run SL_AUTO_STMT = NULL;
	struct sl_pair *tags;
	if (!arena)
		return SL_E_NO_MEMORY;
	struct sl_import_version version = {.model = sl_stmt_text(row, 0), .version = sl_stmt_int(row, 1), .description = sl_stmt_text(row, 2),
		.source = sl_stmt_text(row, 3), .run = sl_stmt_text(row, 4), .stage = sl_stmt_text(row, 5), .run_artifacts = ""};
	int rc = read_pairs(r, "SELECT key, value FROM model_version_tags WHERE name = ?1 AND version = ?2 ORDER BY key", "si", version.model,
		version.version, arena, &tags, &version.tag_count, err);
	if (!rc)
		rc = sl_meta_query(r->from, &run, err, "SELECT artifact_uri FROM runs WHERE run_uuid = ?1", "s", version.run);
	if (!rc && (rc = sl_stmt_step(run, err)) == 1)
		version.run_artifacts = sl_stmt_text(run, 0);
	version.tags = tags;
	return rc < 0 ? rc : sl_import_version(r->import, &version, arena, err);
}

static int import_model(struct reader *r, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_pair *tags;
	size_t count;
	const char *name = sl_stmt_text(row, 0);
	int rc = arena ? read_pairs(r, "SELECT key, value FROM registered_model_tags WHERE name = ?1 ORDER BY key", "s", name, 0, arena, &tags,
				     &count, err) : SL_E_NO_MEMORY;
	return rc ? rc : sl_import_model(r->import, name, sl_stmt_text(row, 1), tags, count, arena, err);
}

static int import_alias(struct reader *r, struct sl_stmt *row, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	return arena ? sl_import_alias(r->import, sl_stmt_text(row, 0), sl_stmt_text(row, 1), sl_stmt_int(row, 2), arena, err) : SL_E_NO_MEMORY;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

typedef int row_fn(struct reader *r, struct sl_stmt *row, struct sl_error *err);

static int each_row(struct reader *r, const char *sql, row_fn *each, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(r->from, &stmt, err, sql, NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = each(r, stmt, err);
	return rc;
}

/* A database of before aliases (2.3) has no such table. */
static int has_table(struct reader *r, const char *name, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(r->from, 0, ret, err, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1", "s", name);
}

static int import_registry(struct reader *r, struct sl_error *err)
{
	int64_t models, aliases;
	int rc = has_table(r, "registered_models", &models, err);
	if (!rc)
		rc = has_table(r, "registered_model_aliases", &aliases, err);
	if (!rc && models)
		rc = each_row(r, "SELECT name, description FROM registered_models ORDER BY name", import_model, err);
	if (!rc && models)
		rc = each_row(r, "SELECT name, version, description, source, run_id, current_stage FROM model_versions WHERE current_stage <> "
			"'Deleted_Internal' ORDER BY name, version", import_version, err);
	if (!rc && aliases)
		rc = each_row(r, "SELECT name, alias, version FROM registered_model_aliases ORDER BY name, alias", import_alias, err);
	return rc;
}

static int import_all(struct reader *r, const char *path, struct sl_error *err)
{
	int64_t there;
	int rc = has_table(r, "runs", &there, err);
	if (!rc && !there) {
		sl_fail_at(err, SL_E_INVALID, path, "is not the database of an MLflow server: it has no table 'runs'");
		return sl_error_hint(err, "a folder 'mlruns' is read by 'sluice import mlflow-files'");
	}
	if (!rc)
		rc = sl_meta_int(r->from, 0, &r->import->runs_total, err, "SELECT count(*) FROM runs", NULL);
	if (!rc)
		rc = each_row(r, "SELECT experiment_id, name, lifecycle_stage FROM experiments ORDER BY experiment_id", import_experiment, err);
	return rc ? rc : import_registry(r, err);
}

int sl_import_mlflow_database(struct sl_import *import, const char *path, const char *artifacts_dir, struct sl_error *err)
{
	struct reader reader = {.import = import, .artifacts_dir = artifacts_dir};
	int rc = sl_meta_open_foreign(path, &reader.from, err);
	if (!rc)
		rc = sl_meta_begin_read(reader.from, err); /* one state, whatever its server does meanwhile */
	if (!rc) {
		rc = import_all(&reader, path, err);
		sl_meta_end_read(reader.from);
	}
	sl_meta_close(reader.from);
	return rc;
}

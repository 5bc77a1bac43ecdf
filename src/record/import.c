#include "record/import.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "record/artifact.h"
#include "record/limits.h"
#include "record/log.h"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* What the ledger keeps of a change: where it came from. */
static struct sl_change change_of(const struct sl_import *import, const char *action)
{
	return (struct sl_change){action, import->source, strlen(import->source)};
}

static int begin(struct sl_import *import, struct sl_error *err)
{
	int rc = sl_meta_begin(import->record->meta, err);
	import->open = !rc;
	return rc;
}

static int commit(struct sl_import *import, struct sl_error *err)
{
	import->open = false;
	import->pending = 0;
	return sl_meta_commit(import->record->meta, err);
}

/* The transaction of the run under way. */
static int enter(struct sl_import *import, struct sl_error *err) { return import->open ? 0 : begin(import, err); }

int sl_import_pause(struct sl_import *import, struct sl_error *err) { return import->open ? commit(import, err) : 0; }

void sl_import_drop(struct sl_import *import)
{
	if (import->open)
		sl_meta_rollback(import->record->meta);
	import->open = false;
}

static int end(struct sl_import *import, int rc, struct sl_error *err)
{
	if (!rc)
		return commit(import, err);
	sl_import_drop(import);
	return rc;
}

/* ---- experiments ---------------------------------------------------------------------------------------------------- */

static int make_experiment(struct sl_import *import, const char *name, const struct sl_pair *tags, size_t tag_count, bool deleted,
	struct sl_arena *arena, struct sl_experiment *ret, struct sl_error *err)
{
	int64_t id;
	struct sl_change change = change_of(import, "experiment.import");
	int rc = begin(import, err);
	if (rc)
		return rc;
	rc = sl_experiment_create(import->record, name, NULL, tags, tag_count, &change, &id, err);
	if (!rc)
		rc = sl_experiment_by_name(import->record, name, arena, ret, err);
	if (!rc && deleted)
		rc = sl_experiment_set_deleted(import->record, ret, true, &change, err);
	return end(import, rc, err);
}

int sl_import_experiment(struct sl_import *import, const char *id, const char *name, const struct sl_pair *tags, size_t tag_count, bool deleted,
	struct sl_arena *arena, struct sl_experiment *ret, struct sl_error *err)
{
	import->read.experiments++;
	int rc = strcmp(id, "0") == 0 ? sl_experiment_get(import->record, "0", SL_REC_ALL, arena, ret, err)
				      : sl_experiment_by_name(import->record, name, arena, ret, err);
	if (rc == SL_E_NOT_FOUND)
		rc = make_experiment(import, name, tags, tag_count, deleted, arena, ret, err);
	ret->deleted = false; /* its runs are taken in; each says whether it is in the bin */
	import->there.experiments += !rc;
	return rc;
}

/* ---- runs ----------------------------------------------------------------------------------------------------------- */

void sl_import_id(const char *text, char out[SL_ID_HEX + 1])
{
	struct sl_id id;
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	if (sl_id_parse_hex(text, &id)) {
		sl_id_hex(&id, out);
		return;
	}
	sl_sha256(text, strlen(text), &hash);
	snprintf(out, SL_ID_HEX + 1, "%.32s", sl_hash_hex(&hash, hex));
}

static int put_pairs(struct sl_import *import, const struct sl_import_run *run, struct sl_arena *arena, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < run->tag_count; i += SL_REC_BATCH_PAIRS) {
		size_t left = run->tag_count - i;
		struct sl_rec_batch batch = {.tags = run->tags + i, .tag_count = left < SL_REC_BATCH_PAIRS ? left : SL_REC_BATCH_PAIRS};
		rc = sl_rec_log(import->record, &import->run, &batch, NULL, arena, err);
	}
	for (size_t i = 0; !rc && i < run->param_count; i += SL_REC_BATCH_PAIRS) {
		size_t left = run->param_count - i;
		struct sl_rec_batch batch = {.params = run->params + i, .param_count = left < SL_REC_BATCH_PAIRS ? left : SL_REC_BATCH_PAIRS};
		rc = sl_rec_log(import->record, &import->run, &batch, NULL, arena, err);
	}
	return rc;
}

static int start_run(struct sl_import *import, const struct sl_experiment *experiment, const struct sl_import_run *run, const char *id,
	struct sl_arena *arena, struct sl_error *err)
{
	struct sl_change change = change_of(import, "logged.import");
	struct sl_rec_run_start start = {.id = id, .name = run->name, .user = run->user, .started_ms = run->started_ms};
	import->runs_new++;
	return sl_rec_run_create(import->record, experiment, &start, &change, arena, &import->run, err);
}

static int count_there(struct sl_import *import, struct sl_error *err)
{
	int64_t points, params, tags, num = import->run.num;
	int rc = sl_meta_int(import->record->meta, 0, &points, err,
		"SELECT count(*) FROM rec_series s JOIN rec_point p ON p.series = s.id WHERE s.run = ?1", "i", num);
	if (!rc)
		rc = sl_meta_int(import->record->meta, 0, &params, err, "SELECT count(*) FROM rec_param WHERE run = ?1", "i", num);
	if (!rc)
		rc = sl_meta_int(import->record->meta, 0, &tags, err, "SELECT count(*) FROM rec_tag WHERE run = ?1", "i", num);
	if (rc)
		return rc;
	import->there.runs++;
	import->there.points += points;
	import->there.params += params;
	import->there.tags += tags;
	return import->progress && import->progress(import->context, import) ? sl_fail(err, SL_E_CANCELLED, "the import was stopped") : 0;
}

static bool names(const struct sl_import_run *run, const char *tag)
{
	for (size_t i = 0; i < run->tag_count; i++)
		if (strcmp(run->tags[i].name, tag) == 0)
			return true;
	return false;
}

/* Complete: it has ended here as it has there. */
static bool is_complete(const struct sl_rec_run *here, const struct sl_import_run *run)
{
	return here->deleted || (strcmp(here->status, "RUNNING") != 0 && strcmp(here->status, run->status) == 0 && here->ended == run->ended &&
		(!run->ended || here->ended_ms == run->ended_ms));
}

int sl_import_run_begin(struct sl_import *import, const struct sl_experiment *experiment, const struct sl_import_run *run,
	struct sl_arena *arena, struct sl_error *err)
{
	char id[SL_ID_HEX + 1];
	sl_import_id(run->id, id);
	import->read.runs++;
	import->read.params += (int64_t)run->param_count;
	import->read.tags += (int64_t)run->tag_count + !names(run, "mlflow.runName"); /* which every run has here */
	import->points = 0;
	int rc = sl_rec_run_get(import->record, id, arena, &import->run, err);
	if (rc == 0 && is_complete(&import->run, run)) {
		import->runs_passed++;
		return count_there(import, err);
	}
	if (rc && rc != SL_E_NOT_FOUND)
		return rc;
	bool new = rc != 0;
	rc = begin(import, err);
	if (!rc && new)
		rc = start_run(import, experiment, run, id, arena, err);
	if (!rc)
		rc = put_pairs(import, run, arena, err);
	if (rc)
		sl_import_drop(import);
	return rc ? rc : 1;
}

int sl_import_metrics(struct sl_import *import, const struct sl_rec_metric *metrics, size_t count, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_rec_batch batch = {.metrics = metrics, .metric_count = count};
	assert(count <= SL_REC_BATCH_METRICS);
	int rc = enter(import, err);
	rc = rc ? rc : sl_rec_log(import->record, &import->run, &batch, NULL, arena, err);
	import->read.points += (int64_t)count;
	import->pending += (int64_t)count;
	if (rc || import->pending < SL_IMPORT_POINTS_MAX)
		return rc;
	return commit(import, err);
}

int sl_import_run_end(struct sl_import *import, const struct sl_import_run *run, struct sl_error *err)
{
	struct sl_change change = change_of(import, "logged.import");
	struct sl_rec_run_update update = {.status = run->status, .ended_ms = run->ended ? &run->ended_ms : NULL};
	int rc = enter(import, err);
	rc = rc ? rc : sl_rec_run_update(import->record, &import->run, &update, &change, err);
	if (!rc && run->deleted)
		rc = sl_rec_run_set_deleted(import->record, &import->run, true, &change, err);
	rc = end(import, rc, err);
	return rc ? rc : count_there(import, err);
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------ */

struct tree {
	struct sl_import *import;
	const char *dir, *path; /* over there, and in this store */
};

static int put_file(struct sl_import *import, const char *file, const char *path, enum sl_put_how how, struct sl_error *err)
{
	struct sl_hash hash;
	uint64_t size;
	int rc = sl_artifact_check_path(path, err);
	if (!rc)
		rc = sl_objects_put_file(import->objects, file, how, &hash, &size, err);
	if (!rc)
		rc = enter(import, err);
	if (!rc)
		rc = sl_artifact_put(import->record, path, &hash, size, err);
	import->read.artifacts++;
	import->there.artifacts += !rc;
	return rc;
}

static int put_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct tree *tree = context;
	char from[SL_PATH_MAX], to[SL_ARTIFACT_PATH_MAX];
	int rc = sl_path_join(from, tree->dir, name, err);
	if (!rc && snprintf(to, sizeof to, "%s/%s", tree->path, name) >= (int)sizeof to)
		rc = sl_fail_at(err, SL_E_TOO_LARGE, from, "the path of the artifact is longer than %d bytes", SL_ARTIFACT_PATH_MAX - 1);
	if (rc || info->is_link)
		return rc;
	if (info->is_regular)
		return put_file(tree->import, from, to, SL_PUT_COPY, err);
	struct tree below = {tree->import, from, to};
	return info->is_dir ? sl_dir_each(from, put_entry, &below, err) : 0;
}

int sl_import_artifact(struct sl_import *import, const char *file, const char *uri, const char *path, bool move, struct sl_error *err)
{
	char whole[SL_ARTIFACT_PATH_MAX];
	const char *folder = sl_artifact_path_of(uri);
	if (!folder)
		return 0;
	if (snprintf(whole, sizeof whole, "%s/%s", folder, path) >= (int)sizeof whole)
		return sl_fail(err, SL_E_TOO_LARGE, "the path of the artifact '%.200s' is longer than %d bytes", path, SL_ARTIFACT_PATH_MAX - 1);
	return put_file(import, file, whole, move ? SL_PUT_MOVE : SL_PUT_COPY, err);
}

int sl_import_artifacts(struct sl_import *import, const char *dir, const char *below, struct sl_error *err)
{
	char path[SL_ARTIFACT_PATH_MAX];
	const char *root = sl_artifact_path_of(import->run.artifact_uri);
	struct tree tree = {import, dir, path};
	if (!root || !sl_dir_exists(dir)) /* this store's artifacts are kept elsewhere: nothing is put there */
		return 0;
	if (snprintf(path, sizeof path, "%s%s%s", root, *below ? "/" : "", below) >= (int)sizeof path)
		return sl_fail_at(err, SL_E_TOO_LARGE, dir, "the path of the artifacts is longer than %d bytes", SL_ARTIFACT_PATH_MAX - 1);
	return sl_dir_each(dir, put_entry, &tree, err);
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

int sl_import_model(struct sl_import *import, const char *name, const char *description, const struct sl_pair *tags, size_t tag_count,
	struct sl_arena *arena, struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_change change = change_of(import, "model.import");
	import->read.models++;
	int rc = sl_reg_model_get(import->record, name, arena, &model, err);
	if (rc == SL_E_NOT_FOUND && (rc = begin(import, err)) == 0)
		rc = end(import, sl_reg_model_create(import->record, name, description, tags, tag_count, &change, arena, &model, err), err);
	import->there.models += !rc;
	return rc;
}

/* Where the source is now: below the artifacts of its run, which came along, or where it was. */
static const char *moved_source(struct sl_import *import, const struct sl_import_version *version, struct sl_arena *arena)
{
	struct sl_rec_run run;
	struct sl_error absent;
	char id[SL_ID_HEX + 1];
	size_t len = strlen(version->run_artifacts);
	sl_import_id(version->run, id);
	if (!len || strncmp(version->source, version->run_artifacts, len) != 0 || sl_rec_run_get(import->record, id, arena, &run, &absent))
		return version->source;
	return sl_arena_printf(arena, "%s%s", run.artifact_uri, version->source + len);
}

static int make_version(struct sl_import *import, const struct sl_import_version *version, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_change change = change_of(import, "version.import");
	struct sl_reg_model model;
	struct sl_reg_version made;
	char id[SL_ID_HEX + 1];
	sl_import_id(version->run, id);
	struct sl_reg_version_new new = {.source = moved_source(import, version, arena), .description = version->description,
		.run = *version->run ? id : NULL, .tags = version->tags, .tag_count = version->tag_count};
	if (!new.source)
		return sl_fail_memory(err);
	if (sl_str_starts(new.source, "models:/m-"))
		new.logged_model = new.source + 8;
	int rc = sl_reg_model_get(import->record, version->model, arena, &model, err);
	if (!rc)
		rc = sl_reg_version_create(import->record, &model, &new, &change, arena, &made, err);
	/* The number that it has there: those of versions that were deleted stay free, and one that could not be taken before comes in its place. */
	if (!rc && made.version != version->version) {
		rc = from_rows(sl_meta_exec(import->record->meta, err, "UPDATE reg_version SET version = ?2 WHERE num = ?1", "ii", made.num,
			version->version));
		made.version = version->version;
	}
	if (!rc && strcmp(version->stage, "None") != 0 && *version->stage)
		rc = sl_reg_version_transition(import->record, &made, version->stage, false, &change, err);
	return rc;
}

int sl_import_version(struct sl_import *import, const struct sl_import_version *version, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_reg_version there;
	struct sl_error why;
	char number[24], text[700];
	snprintf(number, sizeof number, "%" PRId64, version->version);
	import->read.versions++;
	int rc = sl_reg_version_get(import->record, version->model, number, arena, &there, err);
	if (rc == SL_E_NOT_FOUND) {
		rc = begin(import, err);
		if (rc)
			return rc;
		rc = end(import, make_version(import, version, arena, &why), &why);
		if (rc == SL_E_INVALID || rc == SL_E_NOT_FOUND) {
			import->refused++;
			snprintf(text, sizeof text, "version %s of %.200s was not taken: %.400s", number, version->model, why.message);
			if (import->news)
				import->news(import->context, text);
			return 0;
		}
		if (rc && err)
			*err = why;
	}
	import->there.versions += !rc;
	return rc;
}

int sl_import_alias(struct sl_import *import, const char *model, const char *alias, int64_t version, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_change change = change_of(import, "alias.import");
	struct sl_reg_model found;
	struct sl_reg_version target, now;
	struct sl_error absent;
	char number[24];
	snprintf(number, sizeof number, "%" PRId64, version);
	int rc = sl_reg_model_get(import->record, model, arena, &found, err);
	if (rc)
		return rc;
	rc = sl_reg_version_get(import->record, model, number, arena, &target, &absent);
	if (rc == SL_E_NOT_FOUND || sl_reg_alias_get(import->record, &found, alias, arena, &now, &absent) == 0)
		return 0; /* its version was not taken; or it points somewhere here already */
	rc = begin(import, err);
	return rc ? rc : end(import, sl_reg_alias_set(import->record, &found, alias, &target, &change, err), err);
}

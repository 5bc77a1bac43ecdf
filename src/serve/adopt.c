#include "serve/adopt.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "learn/gate.h"
#include "record/artifact.h"
#include "record/registry.h"
#include "serve/model_open.h"
#include "track/model.h"

enum { FILES_MAX = 1000, DEPTH_MAX = 8, MANIFEST_MAX = 64 << 20, JSON_MAX = 4 << 20 };

/* ---- its files ------------------------------------------------------------------------------------------------------ */

struct placing {
	struct sl_store *store;
	struct sl_record *record;
	const char *from, *to; /* the folder among the artifacts, and on disk */
	int depth, count;
	struct sl_error *err;
};

static int place_folder(struct placing *placing);

static int place(void *context, const struct sl_artifact *artifact)
{
	struct placing *p = context;
	char from[SL_ARTIFACT_PATH_MAX], to[SL_PATH_MAX];
	if (++p->count > FILES_MAX || p->depth > DEPTH_MAX)
		return sl_fail(p->err, SL_E_TOO_LARGE, "the model has more than %d files, or folders deeper than %d", FILES_MAX, DEPTH_MAX);
	if (snprintf(from, sizeof from, "%s/%s", p->from, artifact->name) >= (int)sizeof from)
		return sl_fail(p->err, SL_E_TOO_LARGE, "a path of the model is longer than %d bytes", SL_ARTIFACT_PATH_MAX - 1);
	int rc = sl_path_join(to, p->to, artifact->name, p->err);
	if (rc || !artifact->is_folder)
		return rc ? rc : sl_objects_place(p->store->objects, &artifact->hash, to, 0400, SL_PLACE_LINK, p->err);
	struct placing below = *p;
	below.from = from;
	below.to = to;
	below.depth++;
	rc = sl_dir_make(to, p->err);
	rc = rc ? rc : place_folder(&below);
	p->count = below.count;
	return rc;
}

static int place_folder(struct placing *placing)
{
	return sl_artifact_each(placing->record, placing->from, "", FILES_MAX + 1, place, placing, placing->err);
}

/* The version's folder below `dir`, as "model". */
static int place_files(struct sl_store *store, const struct sl_reg_version *version, const char *dir, struct sl_error *err)
{
	struct sl_record record = {.meta = store->meta};
	const char *path = sl_artifact_path_of(version->storage);
	char to[SL_PATH_MAX];
	if (!path) {
		sl_fail(err, SL_E_DENIED, "its files lie at '%.300s', not in this store", version->storage);
		return sl_error_hint(err, "only what clients sent through this server can be served");
	}
	struct placing placing = {.store = store, .record = &record, .from = path, .to = to, .err = err};
	int rc = sl_path_join(to, dir, "model", err);
	rc = rc ? rc : sl_dir_make(to, err);
	rc = rc ? rc : place_folder(&placing);
	if (!rc && !placing.count)
		rc = sl_fail(err, SL_E_NOT_FOUND, "there are no files at '%.300s'", version->storage);
	return rc;
}

/* ---- the package ---------------------------------------------------------------------------------------------------- */

static int fill_reference(const struct sl_package *package, struct sl_arena *arena, struct sl_reference *ret, struct sl_error *err)
{
	static const uint64_t none[1] = {0};
	*ret = (struct sl_reference){.target_mean = NAN, .feature_count = package->feature_count, .prediction_count = package->output_count,
		.features = sl_arena_array(arena, package->feature_count, sizeof *ret->features),
		.predictions = sl_arena_array(arena, package->output_count, sizeof *ret->predictions)};
	double *shares = sl_arena_array(arena, package->output_count, sizeof *shares);
	if (!ret->features || !ret->predictions || !shares)
		return sl_fail_memory(err);
	const struct sl_reference_column empty = {.bin_count = 1, .counts = none, .min = NAN, .max = NAN, .mean = NAN};
	for (size_t i = 0; i < package->feature_count; i++) {
		ret->features[i] = empty;
		ret->features[i].name = package->features[i].name;
	}
	for (size_t i = 0; i < package->output_count; i++) {
		ret->predictions[i] = empty;
		ret->predictions[i].name = package->task == SL_TASK_MULTICLASS ? package->classes[i] : package->output;
	}
	ret->class_shares = package->task == SL_TASK_MULTICLASS ? shares : NULL;
	return 0;
}

/* As the file's objective has it; model_open names LightGBM's outputs alike. */
static void set_task(struct sl_package *package, const struct sl_infer *infer)
{
	struct sl_infer_info info;
	sl_infer_info(infer, &info);
	if (sl_str_eq(info.objective, "binary")) {
		package->task = SL_TASK_BINARY;
		package->output = "probability";
	} else if (info.outputs > 1) {
		package->task = SL_TASK_MULTICLASS;
		package->output = "probabilities";
	}
}

/* Classes are 0, 1, ...: the file knows no other names. */
static int fill_target(struct sl_package *package, struct sl_arena *arena, struct sl_error *err)
{
	package->target = "target";
	package->threshold = 0.5;
	package->class_count = package->task == SL_TASK_BINARY ? 2 : package->task == SL_TASK_MULTICLASS ? package->output_count : 0;
	package->classes = sl_arena_array(arena, package->class_count + 1, sizeof *package->classes);
	for (size_t i = 0; package->classes && i < package->class_count; i++)
		if (!(package->classes[i] = sl_arena_printf(arena, "%zu", i)))
			return sl_fail_memory(err);
	return package->classes ? 0 : sl_fail_memory(err);
}

static int keep_package(struct sl_store *store, struct sl_package *package, const struct sl_reg_version *version, struct sl_arena *arena,
	struct sl_hash *ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(MANIFEST_MAX), facts SL_AUTO_BUF = SL_BUF_INIT(JSON_MAX);
	struct sl_reference reference;
	sl_buf_str(&facts, "{\"library\":\"mlflow\",\"source\":");
	sl_json_string(&facts, version->source, strlen(version->source));
	sl_buf_char(&facts, '}');
	package->training = sl_buf_cstr(&facts);
	int rc = sl_buf_check(&facts, "the model's source", err);
	rc = rc ? rc : fill_target(package, arena, err);
	rc = rc ? rc : fill_reference(package, arena, &reference, err);
	rc = rc ? rc : sl_reference_write(&reference, &text, err);
	rc = rc ? rc : sl_objects_put(store->objects, text.data, text.len, &package->reference, err);
	sl_buf_clear(&text);
	rc = rc ? rc : sl_package_write(package, &text, err);
	return rc ? rc : sl_objects_put(store->objects, text.data, text.len, ret, err);
}

/* Out of the folder `dir`. */
static int make_package(struct sl_store *store, const struct sl_reg_version *version, const char *dir, struct sl_arena *arena,
	struct sl_hash *ret, struct sl_error *err)
{
	static const struct sl_endpoint spec = {.name = "model", .key = "", .time = ""};
	struct sl_models_found found;
	struct sl_served *served = NULL;
	int rc = sl_models_find(NULL, 0, dir, arena, &found, err);
	if (!rc && !found.count)
		rc = sl_fail(err, SL_E_INVALID, "its files have no MLmodel among them");
	if (!rc && found.models[0].problem)
		rc = sl_fail(err, SL_E_DENIED, "%s", found.models[0].problem);
	rc = rc ? rc : sl_model_open(NULL, &spec, &found.models[0].versions[0], NULL, &served, err);
	if (!rc)
		set_task(&served->package, served->infer);
	rc = rc ? rc : keep_package(store, &served->package, version, arena, ret, err);
	sl_served_unref(served);
	return rc;
}

static int package_of(struct sl_store *store, const struct sl_reg_version *version, struct sl_arena *arena, struct sl_hash *ret,
	struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	int rc = sl_dir_make_temporary(store->tmp_dir, "adopt-", dir, err);
	if (rc)
		return rc;
	rc = place_files(store, version, dir, err);
	rc = rc ? rc : make_package(store, version, dir, arena, ret, err);
	sl_dir_remove(dir, NULL);
	return rc;
}

/* ---- the version ---------------------------------------------------------------------------------------------------- */

/* The run that logged it, or one that stands for its registration. */
static int run_of(struct sl_store *store, const struct sl_reg_version *version, struct sl_id *ret, struct sl_error *err)
{
	int64_t there = 0;
	int rc = 0;
	if (sl_id_parse_hex(version->run, ret))
		rc = sl_meta_int(store->meta, 0, &there, err, "SELECT count(*) FROM run WHERE id = ?1", "s", ret->text);
	if (rc || there)
		return rc;
	const struct sl_run_start start = {.kind = "register", .name = version->model, .reason = "a client registered a model without a run"};
	rc = sl_run_begin(&store->track, &start, ret, err);
	return rc ? rc : sl_run_end(&store->track, ret, "ok", "", err);
}

/* The latest values of a run's metrics; `scores` gets those that a gate knows. */
static int metrics_of(struct sl_store *store, const char *run, struct sl_scores *scores, struct sl_buf *json, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *all = doc ? yyjson_mut_obj(doc) : NULL;
	int rc = all ? sl_meta_query(store->meta, &row, err, "SELECT s.name, s.value FROM rec_series s JOIN rec_run r ON r.num = s.run WHERE r.id = ?1 "
		"AND s.value IS NOT NULL ORDER BY s.name LIMIT 10000", "s", run) : sl_fail_memory(err);
	scores->count = 0;
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		double value = sl_stmt_double(row, 1);
		yyjson_mut_val *name = yyjson_mut_strcpy(doc, sl_stmt_text(row, 0)), *number = yyjson_mut_real(doc, value);
		rc = name && number && yyjson_mut_obj_add(all, name, number) ? 0 : sl_fail_memory(err);
		for (size_t i = 0; !rc && sl_metric_names[i]; i++)
			if (sl_str_eq(sl_metric_names[i], sl_stmt_text(row, 0)) && scores->count < SL_SCORES_MAX)
				sl_scores_add(scores, sl_metric_names[i], value);
	}
	return rc ? rc : sl_json_mut_canonical(all, json, err);
}

static int champion_scores(struct sl_store *store, const char *model, struct sl_scores *ret, bool *ret_there, struct sl_error *err)
{
	struct sl_buf json SL_AUTO_BUF = SL_BUF_INIT(JSON_MAX);
	struct sl_model_version champion;
	int rc = sl_model_find(&store->track, model, "champion", &champion, err);
	*ret_there = rc == 0;
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	return metrics_of(store, champion.run.text, ret, &json, err);
}

static int judge(struct sl_store *store, const struct sl_model *rules, const char *model, int64_t version, const struct sl_scores *scores,
	const char *metrics, struct sl_error *err)
{
	struct sl_buf verdict SL_AUTO_BUF = SL_BUF_INIT(JSON_MAX);
	struct sl_scores champion;
	bool passed = true, has_champion = false;
	if (!rules)
		return sl_model_gate(&store->track, model, version, "ready", "[]", metrics, err);
	int rc = champion_scores(store, model, &champion, &has_champion, err);
	rc = rc ? rc : sl_gate_check(rules->gate.items, rules->gate.count, scores, has_champion ? &champion : NULL, &passed, &verdict, err);
	const char *status = !passed ? "refused" : rules->promote_auto ? "ready" : "waiting";
	rc = rc ? rc : sl_model_gate(&store->track, model, version, status, sl_buf_cstr(&verdict), metrics, err);
	if (rc || !passed)
		return rc;
	return rules->promote_auto ? sl_model_alias(&store->track, model, "champion", version, "passed the gate", false, err)
				   : sl_model_alias(&store->track, model, "challenger", version, "passed the gate", true, err);
}

static int record(struct sl_store *store, const struct sl_model *rules, const struct sl_reg_version *version, const struct sl_hash *package,
	struct sl_error *err)
{
	struct sl_buf metrics SL_AUTO_BUF = SL_BUF_INIT(JSON_MAX);
	struct sl_scores scores;
	struct sl_id run;
	int rc = run_of(store, version, &run, err);
	rc = rc ? rc : metrics_of(store, run.text, &scores, &metrics, err);
	rc = rc ? rc : sl_model_create_as(&store->track, version->model, version->version, package, &run, sl_buf_cstr(&metrics), err);
	return rc ? rc : judge(store, rules, version->model, version->version, &scores, sl_buf_cstr(&metrics), err);
}

static int is_adopted(struct sl_store *store, const char *model, int64_t version, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(store->meta, 0, ret, err, "SELECT count(*) FROM model_version WHERE model = ?1 AND version = ?2", "si", model, version);
}

int sl_adopt(struct sl_store *store, const struct sl_project *project, const char *model, int64_t version, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_record over = {.meta = store->meta, .ledger = store->ledger};
	struct sl_reg_version found;
	struct sl_hash package;
	char number[24];
	int64_t there;
	int rc = arena ? is_adopted(store, model, version, &there, err) : SL_E_NO_MEMORY;
	if (rc || there)
		return rc;
	snprintf(number, sizeof number, "%" PRId64, version);
	rc = sl_reg_version_get(&over, model, number, arena, &found, err);
	if (!rc && !sl_name_valid(model))
		rc = sl_fail(err, SL_E_DENIED, "'%.200s' is no name that a model may have here", model);
	rc = rc ? rc : package_of(store, &found, arena, &package, err);
	rc = rc ? rc : sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	rc = is_adopted(store, model, version, &there, err); /* by another process meanwhile */
	const struct sl_model *rules = project ? sl_project_model(project, model) : NULL;
	if (!rc && !there)
		rc = record(store, rules && !*rules->from ? rules : NULL, &found, &package, err);
	return sl_meta_end(store->meta, rc, err);
}

/* ---- aliases -------------------------------------------------------------------------------------------------------- */

/* Moves one alias that stands elsewhere here; 0: none is left. `after` is where to go on. */
static int next_alias(struct sl_store *store, const char *model, char after[SL_NAME_MAX + 1], int64_t *ret_version, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &row, err,
		"SELECT name, version FROM (SELECT a.alias AS name, a.version AS version FROM reg_alias a JOIN reg_model m ON m.num = a.model JOIN "
		"model_version v ON v.model = m.name AND v.version = a.version WHERE m.name = ?1 AND NOT EXISTS (SELECT 1 FROM model_alias o WHERE "
		"o.model = ?1 AND o.alias = a.alias AND o.version = a.version) UNION ALL SELECT o.alias, 0 FROM model_alias o WHERE o.model = ?1 AND "
		"NOT EXISTS (SELECT 1 FROM reg_alias a JOIN reg_model m ON m.num = a.model WHERE m.name = ?1 AND a.alias = o.alias)) WHERE name > ?2 "
		"ORDER BY name LIMIT 1", "ss", model, after);
	if (!rc)
		rc = sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	snprintf(after, SL_NAME_MAX + 1, "%s", sl_stmt_text(row, 0));
	*ret_version = sl_stmt_int(row, 1);
	return 1;
}

int sl_adopt_aliases(struct sl_store *store, const char *model, struct sl_error *err)
{
	char alias[SL_NAME_MAX + 1] = "";
	int64_t version;
	int rc;
	while ((rc = next_alias(store, model, alias, &version, err)) == 1) {
		struct sl_error why;
		if (sl_name_valid(alias) && sl_model_alias(&store->track, model, alias, version, "set by a client", false, &why))
			sl_log(SL_LOG_WARNING, "alias '%s' of model '%s' does not move here: %s", alias, model, why.message);
	}
	return rc;
}

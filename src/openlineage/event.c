#include "openlineage/event.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "openlineage/internal.h"

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *put(struct ol *o, yyjson_mut_val *into, const char *name, yyjson_mut_val *value)
{
	yyjson_mut_val *key = yyjson_mut_strcpy(o->doc, name);
	o->failed |= !key || !value || !yyjson_mut_obj_put(into, key, value);
	return value;
}

yyjson_mut_val *ol_object(struct ol *o, yyjson_mut_val *into, const char *name) { return put(o, into, name, yyjson_mut_obj(o->doc)); }
yyjson_mut_val *ol_array(struct ol *o, yyjson_mut_val *into, const char *name) { return put(o, into, name, yyjson_mut_arr(o->doc)); }
void ol_int(struct ol *o, yyjson_mut_val *into, const char *name, int64_t value) { put(o, into, name, yyjson_mut_sint(o->doc, value)); }
void ol_bool(struct ol *o, yyjson_mut_val *into, const char *name, bool value) { put(o, into, name, yyjson_mut_bool(o->doc, value)); }

yyjson_mut_val *ol_item(struct ol *o, yyjson_mut_val *list)
{
	yyjson_mut_val *value = yyjson_mut_arr_add_obj(o->doc, list);
	o->failed |= !value;
	return value;
}

/* Names of files and words of commands are bytes: what is no UTF-8 among them goes through the one function that mends it. */
static yyjson_mut_val *text_value(struct ol *o, const char *text)
{
	struct sl_buf mended SL_AUTO_BUF = SL_BUF_INIT(SL_OPENLINEAGE_EVENT_MAX);
	if (sl_utf8_valid(text, strlen(text)))
		return yyjson_mut_strcpy(o->doc, text);
	sl_json_string(&mended, text, strlen(text));
	yyjson_doc *doc SL_AUTO_JSON = mended.failed ? NULL : yyjson_read(sl_buf_cstr(&mended), mended.len, 0);
	return doc ? yyjson_val_mut_copy(o->doc, yyjson_doc_get_root(doc)) : NULL;
}

void ol_text(struct ol *o, yyjson_mut_val *into, const char *name, const char *value)
{
	put(o, into, name, value ? text_value(o, value) : NULL);
}

void ol_number(struct ol *o, yyjson_mut_val *into, const char *name, double value)
{
	if (isfinite(value))
		put(o, into, name, yyjson_mut_real(o->doc, value));
}

#define PRODUCER "urn:sluice:" SLUICE_VERSION

yyjson_mut_val *ol_facet(struct ol *o, yyjson_mut_val *facets, const char *name, const char *schema)
{
	yyjson_mut_val *facet = ol_object(o, facets, name);
	char url[200];
	snprintf(url, sizeof url, SL_OPENLINEAGE_SPEC "facets/%.60s.json#/$defs%.60s", schema, strchr(schema, '/'));
	ol_text(o, facet, "_producer", PRODUCER);
	ol_text(o, facet, "_schemaURL", url);
	return facet;
}

const char *ol_name(struct ol *o, const char *name, const char *part)
{
	const char *whole = sl_arena_printf(o->arena, "%s.%s%s%s", o->target->project, name, part ? "." : "", part ? part : "");
	o->failed |= !whole;
	return whole ? whole : "";
}

/* An id's 128 bits, as a UUID is spelt. */
static const char *uuid_text(struct ol *o, const char hex[SL_ID_HEX + 1])
{
	const char *text = sl_arena_printf(o->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	o->failed |= !text;
	return text ? text : "";
}

static const char *run_uuid(struct ol *o, const char *id)
{
	char hex[SL_ID_HEX + 1] = "";
	struct sl_id parsed;
	o->failed |= !sl_id_parse(id, &parsed);
	if (!o->failed)
		sl_id_hex(&parsed, hex);
	return uuid_text(o, hex);
}

/* The checks of a dataset have no run in the store: theirs is of the making run's id and the dataset's name. Version 8 (RFC 9562): bits of our own choice. */
static const char *checks_uuid(struct ol *o, const char *id, const char *dataset)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1], text[400];
	int len = snprintf(text, sizeof text, "checks:%.40s:%.300s", id, dataset);
	sl_sha256(text, (size_t)len, &hash);
	hash.bytes[6] = (unsigned char)(0x80 | (hash.bytes[6] & 0x0f));
	hash.bytes[8] = (unsigned char)(0x80 | (hash.bytes[8] & 0x3f));
	return uuid_text(o, sl_hash_hex(&hash, hex));
}

/* ---- run and job ---------------------------------------------------------------------------------------------------- */

static void put_job_name(struct ol *o, yyjson_mut_val *job, const char *name)
{
	ol_text(o, job, "namespace", o->target->namespace);
	ol_text(o, job, "name", name);
}

static void put_run_and_job(struct ol *o, yyjson_mut_val *into, const char *run, const char *job)
{
	ol_text(o, ol_object(o, into, "run"), "runId", run_uuid(o, run));
	put_job_name(o, ol_object(o, into, "job"), job);
}

/* `parent` of the whole run, or of the node whose dataset was checked. */
static void put_parent(struct ol *o, yyjson_mut_val *facets, const char *parent, const char *job, const char *root)
{
	yyjson_mut_val *facet = ol_facet(o, facets, "parent", "1-2-0/ParentRunFacet");
	put_run_and_job(o, facet, parent, job);
	put_run_and_job(o, ol_object(o, facet, "root"), root, o->target->project);
}

static void put_error(struct ol *o, yyjson_mut_val *facets, const char *message)
{
	yyjson_mut_val *facet = ol_facet(o, facets, "errorMessage", "1-0-1/ErrorMessageRunFacet");
	ol_text(o, facet, "message", message);
	ol_text(o, facet, "programmingLanguage", "C");
}

static void put_engine(struct ol *o, yyjson_mut_val *facets)
{
	yyjson_mut_val *facet = ol_facet(o, facets, "processing_engine", "1-1-1/ProcessingEngineRunFacet");
	ol_text(o, facet, "name", "sluice");
	ol_text(o, facet, "version", SLUICE_VERSION);
}

static int put_params(struct ol *o, yyjson_mut_val *facets, const struct ol_run *run, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *list = NULL;
	int rc = sl_meta_query(o->store->meta, &stmt, err, "SELECT name, value FROM run_param WHERE run = ?1 ORDER BY name", "s", run->id);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		if (!list)
			list = ol_array(o, ol_facet(o, facets, "executionParameters", "1-0-0/ExecutionParametersRunFacet"), "parameters");
		yyjson_mut_val *item = ol_item(o, list);
		ol_text(o, item, "key", sl_stmt_text(stmt, 0));
		ol_text(o, item, "name", sl_stmt_text(stmt, 0));
		ol_text(o, item, "value", sl_stmt_text(stmt, 1));
		rc = 0;
	}
	return rc;
}

static const char *job_type(const char *kind)
{
	static const char *const TYPES[][2] = {
		{"run", "PIPELINE"}, {"ingest", "INGEST"}, {"step", "STEP"}, {"train", "TRAINING"}, {"evaluate", "EVALUATION"}, {"checks", "TEST"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(TYPES); i++)
		if (sl_str_eq(TYPES[i][0], kind))
			return TYPES[i][1];
	return NULL;
}

static yyjson_mut_val *put_job(struct ol *o, yyjson_mut_val *event, const char *name, const char *kind)
{
	yyjson_mut_val *job = ol_object(o, event, "job"), *facets, *type;
	put_job_name(o, job, name);
	facets = ol_object(o, job, "facets");
	type = ol_facet(o, facets, "jobType", "2-0-4/JobTypeJobFacet");
	ol_text(o, type, "processingType", "BATCH");
	ol_text(o, type, "integration", "SLUICE");
	ol_text(o, type, "jobType", job_type(kind));
	return facets;
}

int ol_step(struct ol *o, const struct ol_run *run, const struct sl_step **ret, struct sl_error *err)
{
	const struct sl_step *step = sl_project_step(o->project, run->name);
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	int64_t same = 1;
	int rc = 0;
	if (step && step->kind == SL_STEP_SQL && *step->sql_path) {
		sl_sha256(step->sql_text, strlen(step->sql_text), &hash);
		rc = sl_meta_int(o->store->meta, 0, &same, err, "SELECT 1 FROM run_input WHERE run = ?1 AND kind = 'code' AND hash = ?2", "ss", run->id,
				 sl_hash_hex(&hash, hex));
	}
	*ret = same ? step : NULL;
	return rc;
}

/* A command's words, as a shell would take them. */
static const char *command_text(struct ol *o, const struct sl_step *step)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	if (step->argv.count == 3 && sl_str_eq(step->argv.items[0], "/bin/sh") && sl_str_eq(step->argv.items[1], "-c"))
		return step->argv.items[2];
	for (size_t i = 0; i < step->argv.count; i++) {
		const char *word = step->argv.items[i];
		bool plain = *word && !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-")];
		sl_buf_str(&text, i ? " " : "");
		sl_buf_str(&text, plain ? "" : "'");
		for (; *word; word++)
			sl_buf_add(&text, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
		sl_buf_str(&text, plain ? "" : "'");
	}
	return text.failed ? "" : sl_arena_strdup(o->arena, sl_buf_cstr(&text));
}

static int put_source(struct ol *o, yyjson_mut_val *facets, const struct ol_run *run, struct sl_error *err)
{
	const struct sl_step *step = NULL;
	int rc = ol_step(o, run, &step, err);
	if (rc || !step)
		return rc;
	if (step->kind == SL_STEP_SQL) {
		yyjson_mut_val *sql = ol_facet(o, facets, "sql", "1-1-0/SQLJobFacet");
		ol_text(o, sql, "query", step->sql_text);
		ol_text(o, sql, "dialect", "duckdb");
		return 0;
	}
	yyjson_mut_val *source = ol_facet(o, facets, "sourceCode", "1-0-1/SourceCodeJobFacet");
	ol_text(o, source, "language", step->kind == SL_STEP_RUN ? "shell" : "json");
	ol_text(o, source, "sourceCode", step->kind == SL_STEP_RUN ? command_text(o, step) : step->definition);
	return 0;
}

/* ---- checks --------------------------------------------------------------------------------------------------------- */

/* One row of check_result. The failing rows stay here: they are data. True when it fails its dataset. */
static bool put_assertion(struct ol *o, yyjson_mut_val *list, struct sl_stmt *stmt)
{
	const char *name = sl_stmt_text(stmt, 0), *severity = sl_stmt_text(stmt, 1), *open = strchr(name, '(');
	bool passed = sl_stmt_int(stmt, 2) != 0;
	yyjson_doc *result SL_AUTO_JSON = yyjson_read(sl_stmt_text(stmt, 3), strlen(sl_stmt_text(stmt, 3)), 0);
	yyjson_val *root = yyjson_doc_get_root(result), *observed = yyjson_obj_get(root, "observed");
	yyjson_mut_val *item = ol_item(o, list);
	const char *kind = open ? sl_arena_strndup(o->arena, name, (size_t)(open - name)) : name, *message = sl_json_str(root, "message", "");
	ol_text(o, item, "assertion", kind);
	ol_bool(o, item, "success", passed);
	ol_text(o, item, "severity", severity);
	ol_text(o, item, "name", name);
	size_t len = open ? strcspn(open + 1, ",)") : 0;
	if (open && len && open[1 + len] == ')' && !open[2 + len])
		ol_text(o, item, "column", sl_arena_strndup(o->arena, open + 1, len));
	if (*message)
		ol_text(o, item, "description", message);
	if (observed) {
		char text[32];
		snprintf(text, sizeof text, "%.10g", yyjson_get_num(observed));
		ol_text(o, item, "actual", text);
	}
	if (*sl_json_str(root, "sql", "")) {
		ol_text(o, item, "content", sl_json_str(root, "sql", ""));
		ol_text(o, item, "contentType", "sql");
	}
	return !passed && sl_str_eq(severity, "error");
}

/* The dataset as input, with what its checks said; *ret_failed gets how many of severity error failed. */
static int put_checked(struct ol *o, yyjson_mut_val *event, const struct ol_run *run, const char *name, const struct sl_hash *version, size_t *ret_failed,
		       struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *dataset;
	int rc = ol_table(o, ol_array(o, event, "inputs"), name, version, "inputFacets", &dataset, err);
	rc = rc ? rc : sl_meta_query(o->store->meta, &stmt, err,
				     "SELECT check_name, severity, passed, result FROM check_result WHERE run = ?1 AND dataset = ?2 ORDER BY seq", "ss", run->id, name);
	if (rc)
		return rc;
	yyjson_mut_val *facets = yyjson_mut_obj_get(dataset, "inputFacets");
	facets = facets ? facets : ol_object(o, dataset, "inputFacets");
	yyjson_mut_val *list = ol_array(o, ol_facet(o, facets, "dataQualityAssertions", "1-1-0/DataQualityAssertionsDatasetFacet"), "assertions");
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		*ret_failed += put_assertion(o, list, stmt);
		rc = 0;
	}
	ol_array(o, event, "outputs");
	return rc;
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static yyjson_mut_val *begin_event(struct ol *o, const char *type, const char *time)
{
	yyjson_mut_val *event = yyjson_mut_obj(o->doc);
	o->failed |= !event;
	ol_text(o, event, "eventType", type);
	ol_text(o, event, "eventTime", time);
	ol_text(o, event, "producer", PRODUCER);
	ol_text(o, event, "schemaURL", SL_OPENLINEAGE_SPEC "2-0-2/OpenLineage.json#/$defs/RunEvent");
	return event;
}

struct sending { sl_openlineage_sink *sink; void *context; };

static int send(struct ol *o, yyjson_mut_val *event, const struct sending *to, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_OPENLINEAGE_EVENT_MAX);
	int rc = o->failed ? sl_fail_memory(err) : sl_json_write(event, false, &text, err);
	while (text.len && text.data[text.len - 1] == '\n')
		text.len--;
	return rc ? rc : to->sink(to->context, sl_buf_cstr(&text), text.len, err);
}

static const char *type_of(const char *status)
{
	return sl_str_eq(status, "ok") ? "COMPLETE" : sl_str_eq(status, "failed") ? "FAIL" : "ABORT";
}

static int run_event(struct ol *o, const struct ol_run *run, bool ended, const char *time, const struct sending *to, struct sl_error *err)
{
	bool whole = sl_str_eq(run->kind, "run");
	yyjson_mut_val *event = begin_event(o, ended ? type_of(run->status) : "START", time), *value = ol_object(o, event, "run"), *facets;
	ol_text(o, value, "runId", run_uuid(o, run->id));
	facets = ol_object(o, value, "facets");
	put_engine(o, facets);
	if (*run->parent)
		put_parent(o, facets, run->parent, o->target->project, run->parent);
	if (ended && !sl_str_eq(run->status, "ok"))
		put_error(o, facets, *run->cause ? run->cause : run->status);
	int rc = put_params(o, facets, run, err);
	facets = put_job(o, event, whole ? o->target->project : ol_name(o, run->name, NULL), run->kind);
	rc = rc ? rc : put_source(o, facets, run, err);
	rc = rc ? rc : ol_datasets(o, run, ended, event, err);
	return rc ? rc : send(o, event, to, err);
}

static int checks_event(struct ol *o, const struct ol_run *run, const char *dataset, const struct sl_hash *version, bool ended, const char *time,
			const struct sending *to, struct sl_error *err)
{
	yyjson_mut_val *event = begin_event(o, "START", time), *value = ol_object(o, event, "run"), *facets;
	size_t failed = 0;
	char message[64];
	ol_text(o, value, "runId", checks_uuid(o, run->id, dataset));
	facets = ol_object(o, value, "facets");
	put_engine(o, facets);
	put_parent(o, facets, run->id, ol_name(o, run->name, NULL), *run->parent ? run->parent : run->id);
	put_job(o, event, ol_name(o, dataset, "checks"), "checks");
	int rc = put_checked(o, event, run, dataset, version, &failed, err);
	snprintf(message, sizeof message, "%zu %s failed", failed, failed == 1 ? "check" : "checks");
	if (ended && failed)
		put_error(o, facets, message);
	if (ended)
		ol_text(o, event, "eventType", failed ? "FAIL" : "COMPLETE");
	return rc ? rc : send(o, event, to, err);
}

/* A run each for the datasets that were checked when this one ended. */
static int checks_events(struct ol *o, const struct ol_run *run, const char *time, const struct sending *to, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(o->store->meta, &stmt, err, "SELECT dataset, max(hash) FROM check_result WHERE run = ?1 GROUP BY dataset ORDER BY dataset", "s", run->id);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_hash version;
		const char *dataset = sl_arena_strdup(o->arena, sl_stmt_text(stmt, 0));
		rc = !dataset ? sl_fail_memory(err) : sl_hash_parse(sl_stmt_text(stmt, 1), &version) ? 0 : SL_E_CORRUPT;
		rc = rc ? rc : checks_event(o, run, dataset, &version, false, time, to, err);
		rc = rc ? rc : checks_event(o, run, dataset, &version, true, time, to, err);
	}
	return rc;
}

static const char *copy_text(struct ol *o, struct sl_stmt *stmt, int column)
{
	const char *text = sl_arena_strdup(o->arena, sl_stmt_text(stmt, column));
	o->failed |= !text;
	return text ? text : "";
}

/* 1 and filled; 0: there is none, or it is one of a client's. */
static int read_run(struct ol *o, const char *id, struct ol_run *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(o->store->meta, &stmt, err, "SELECT id, parent, kind, name, status, cause, fingerprint FROM run WHERE id = ?1", "s", id);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	*ret = (struct ol_run){copy_text(o, stmt, 0), copy_text(o, stmt, 1), copy_text(o, stmt, 2), copy_text(o, stmt, 3),
			       copy_text(o, stmt, 4), copy_text(o, stmt, 5), copy_text(o, stmt, 6)};
	return o->failed ? sl_fail_memory(err) : job_type(ret->kind) ? 1 : 0;
}

static int compose(struct ol *o, const char *id, bool ended, const char *time, const struct sending *to, struct sl_error *err)
{
	struct ol_run run;
	int rc = read_run(o, id, &run, err);
	rc = rc == 1 ? run_event(o, &run, ended, time, to, err) : rc;
	return rc || !ended ? rc : checks_events(o, &run, time, to, err);
}

int sl_openlineage_compose(struct sl_store *store, const struct sl_project *project, const struct sl_openlineage_target *target, const char *entry,
			   size_t len, sl_openlineage_sink *sink, void *context, struct sl_error *err)
{
	/* Most entries are of other things: they are not parsed. */
	if (!memmem(entry, len, "\"run.begin\"", 11) && !memmem(entry, len, "\"run.end\"", 9))
		return 0;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(entry, len, "ledger entry", err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *action = sl_json_str(root, "action", ""), *subject = sl_json_str(root, "subject", "");
	bool ended = sl_str_eq(action, "run.end");
	if (!doc)
		return SL_E_CORRUPT;
	if ((!ended && !sl_str_eq(action, "run.begin")) || !sl_str_starts(subject, "run:"))
		return 0;
	const struct sending to = {sink, context};
	struct ol o = {.store = store, .project = project, .target = target, .arena = sl_arena_new(0, err), .doc = yyjson_mut_doc_new(NULL)};
	int rc = o.arena && o.doc ? compose(&o, subject + 4, ended, sl_json_str(root, "time", ""), &to, err) : sl_fail_memory(err);
	yyjson_mut_doc_free(o.doc);
	sl_arena_free(o.arena);
	return rc;
}
